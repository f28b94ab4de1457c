// SPDX-License-Identifier: GPL-2.0
/*
 * Setting a VM up over the KVM ABI (Documentation/virt/kvm/api.rst), and
 * starting and stopping its vCPUs' threads.
 */
#define _GNU_SOURCE
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "cpuid.h"
#include "status.h"

#define HUGE_BYTES	(2UL << 20)
#define MAX_CPUID	256
#define KICK		SIGUSR1
#define JOIN_SECONDS	10

/* Pages that KVM keeps for itself in the hole; some Intel CPUs need them. */
#define IDENTITY_MAP	0xfffbc000ULL
#define TSS_PAGES	0xfffbd000UL

static const struct {
	int number;
	const char *name;
} needed[] = {
	{ KVM_CAP_USER_MEMORY, "memory slots" },
	{ KVM_CAP_IRQCHIP, "in-kernel interrupt controllers" },
	{ KVM_CAP_PIT2, "an in-kernel PIT" },
	{ KVM_CAP_EXT_CPUID, "KVM_SET_CPUID2" },
	{ KVM_CAP_SET_TSS_ADDR, "KVM_SET_TSS_ADDR" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate_exit" },
};

static int check_extension(const struct vm *vm, int number)
{
	int answer = ioctl(vm->device_fd, KVM_CHECK_EXTENSION, number);

	return answer < 0 ? 0 : answer;
}

static const char *open_hint(int error)
{
	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return "is the module loaded? (insmod minikvm.ko, or try --device /dev/kvm)";
	case EACCES:
	case EPERM:
		return "run as root, or join the group that owns it (usually kvm)";
	case EBUSY:
		return "another hypervisor holds the CPU's virtualization extensions";
	default:
		return "cannot be used";
	}
}

static int open_device(struct vm *vm)
{
	const char *path = vm->config->device;
	int version;

	vm->device_fd = open(path, O_RDWR | O_CLOEXEC);
	if (vm->device_fd < 0)
		return fail("%s: %s; %s", path, strerror(errno), open_hint(errno));
	version = ioctl(vm->device_fd, KVM_GET_API_VERSION, 0);
	if (version < 0)
		return fail("%s is not a KVM device: give one with --device", path);
	if (version != KVM_API_VERSION)
		return fail("%s speaks API version %d, not %d", path, version, KVM_API_VERSION);
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (!check_extension(vm, needed[i].number))
			return fail("%s lacks %s (capability %d)", path, needed[i].name,
				    needed[i].number);
	}
	return 0;
}

static int check_cpus(const struct vm *vm)
{
	int max = check_extension(vm, KVM_CAP_MAX_VCPUS);

	if (!max)
		max = check_extension(vm, KVM_CAP_NR_VCPUS);
	if (max && vm->config->cpus > (unsigned int)max)
		return fail("%s gives a guest %d CPUs at most: lower --cpus", vm->config->device,
			    max);
	return 0;
}

/* Aligned to 2 MiB, so that host huge pages can become guest huge pages. */
static int allocate_ram(struct vm *vm)
{
	size_t size = vm->config->memory;
	uintptr_t start;
	void *block;

	block = mmap(NULL, size + HUGE_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (block == MAP_FAILED)
		return fail("cannot map %zu MiB of guest memory (%s): lower --memory", size >> 20,
			    strerror(errno));
	start = ((uintptr_t)block + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
	madvise((void *)start, size, MADV_HUGEPAGE);
	vm->ram.base = (uint8_t *)start;
	vm->ram.size = size;
	return 0;
}

static int add_slot(struct vm *vm, unsigned int slot, uint64_t gpa, uint64_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)ram_at(&vm->ram, gpa, size),
	};

	if (!size)
		return 0;
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
		return fail("KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
	return 0;
}

static int create_memory(struct vm *vm)
{
	if (allocate_ram(vm) || add_slot(vm, 0, 0, ram_low(&vm->ram)))
		return -1;
	return add_slot(vm, 1, HOLE_END, ram_high(&vm->ram));
}

static int create_vm(struct vm *vm)
{
	uint64_t identity_map = IDENTITY_MAP;

	vm->fd = ioctl(vm->device_fd, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return fail("KVM_CREATE_VM: %s; %s", strerror(errno), open_hint(errno));
	if (check_extension(vm, KVM_CAP_SET_IDENTITY_MAP_ADDR) &&
	    ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map))
		return fail("KVM_SET_IDENTITY_MAP_ADDR: %s", strerror(errno));
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_PAGES))
		return fail("KVM_SET_TSS_ADDR: %s", strerror(errno));
	return 0;
}

static int create_irqchip(struct vm *vm)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0))
		return fail("KVM_CREATE_IRQCHIP: %s", strerror(errno));
	if (ioctl(vm->fd, KVM_CREATE_PIT2, &pit))
		return fail("KVM_CREATE_PIT2: %s", strerror(errno));
	return 0;
}

static int set_cpuid(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	struct kvm_cpuid2 *cpuid;
	int ret = 0;

	cpuid = calloc(1, sizeof(*cpuid) + MAX_CPUID * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return fail("out of memory");
	cpuid->nent = MAX_CPUID;
	if (ioctl(vm->device_fd, KVM_GET_SUPPORTED_CPUID, cpuid)) {
		ret = fail("KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
	} else {
		cpuid_personalize(cpuid, vcpu->index, vm->config->cpus,
				  check_extension(vm, KVM_CAP_TSC_DEADLINE_TIMER));
		if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid))
			ret = fail("KVM_SET_CPUID2: %s", strerror(errno));
	}
	free(cpuid);
	return ret;
}

static int create_vcpu(struct vm *vm, unsigned int index)
{
	struct vcpu *vcpu = &vm->vcpus[index];

	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, index);
	if (vcpu->fd < 0)
		return fail("KVM_CREATE_VCPU %u: %s", index, strerror(errno));
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		return fail("cannot map the run page of vCPU %u: %s", index, strerror(errno));
	return set_cpuid(vcpu);
}

static int create_vcpus(struct vm *vm)
{
	int size = ioctl(vm->device_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (size < (int)sizeof(struct kvm_run))
		return fail("KVM_GET_VCPU_MMAP_SIZE: %s", size < 0 ? strerror(errno) : "too small");
	vm->run_size = size;
	vm->vcpus = calloc(vm->config->cpus, sizeof(*vm->vcpus));
	if (!vm->vcpus)
		return fail("out of memory");
	for (unsigned int i = 0; i < vm->config->cpus; i++) {
		if (create_vcpu(vm, i))
			return -1;
	}
	return 0;
}

static void transmit(void *context, uint8_t byte)
{
	ssize_t ret;

	do {
		ret = write(STDOUT_FILENO, &byte, 1);
	} while (ret < 0 && errno == EINTR);
	/* A reader that has gone, as in "minivmm ... | head", ends the run. */
	if (ret < 0 && errno == EPIPE)
		vm_stop(context, STATUS_SIGNAL + SIGPIPE);
}

static void set_uart_irq(void *context, bool level)
{
	struct kvm_irq_level irq = { .irq = UART_IRQ, .level = level };
	struct vm *vm = context;

	if (ioctl(vm->fd, KVM_IRQ_LINE, &irq)) {
		say("KVM_IRQ_LINE: %s", strerror(errno));
		vm_stop(vm, STATUS_ERROR);
	}
}

static void wake(void *context)
{
	struct vm *vm = context;

	eventfd_write(vm->wake_fd, 1);
}

static void power_off(void *context)
{
	vm_stop(context, STATUS_POWEROFF);
}

static void reset(void *context)
{
	vm_stop(context, STATUS_RESET);
}

static const struct platform_ops board_ops = {
	.uart = {
		.transmit = transmit,
		.set_irq = set_uart_irq,
		.want_input = wake,
	},
	.power_off = power_off,
	.reset = reset,
};

int vm_create(struct vm *vm, const struct config *config)
{
	*vm = (struct vm){ .config = config, .status = STATUS_RUNNING };
	vm->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->wake_fd < 0)
		return fail("eventfd: %s", strerror(errno));
	platform_init(&vm->platform, &board_ops, vm);
	if (open_device(vm) || check_cpus(vm) || create_vm(vm) || create_memory(vm) ||
	    create_irqchip(vm) || create_vcpus(vm))
		return -1;
	say_verbose("%s: %u CPUs, %llu MiB", config->device, config->cpus,
		    (unsigned long long)config->memory >> 20);
	return 0;
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool code)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.l = code,
		.db = !code,
		.g = 1,
	};
}

/* Control registers: paging, protection and PAE on, long mode enabled and active. */
#define CR0_PE_ET_NE_PG	0x80000031
#define CR4_PAE		0x20
#define EFER_LME_LMA	0x500

int vm_set_entry(struct vm *vm, uint64_t entry)
{
	struct kvm_regs regs = {
		.rip = entry,
		.rsi = BOOT_PARAMS,
		.rsp = BOOT_STACK,
		.rflags = 2,
	};
	int fd = vm->vcpus[0].fd;
	struct kvm_sregs sregs;

	if (ioctl(fd, KVM_GET_SREGS, &sregs))
		return fail("KVM_GET_SREGS: %s", strerror(errno));
	sregs.cs = flat_segment(BOOT_CS, 0xb, true);
	sregs.ds = flat_segment(BOOT_DS, 0x3, false);
	sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
	sregs.gdt.base = BOOT_GDT;
	sregs.gdt.limit = 4 * 8 - 1;
	sregs.idt.base = 0;
	sregs.idt.limit = 0;
	sregs.cr0 = CR0_PE_ET_NE_PG;
	sregs.cr3 = BOOT_PML4;
	sregs.cr4 = CR4_PAE;
	sregs.efer = EFER_LME_LMA;
	if (ioctl(fd, KVM_SET_SREGS, &sregs))
		return fail("KVM_SET_SREGS: %s", strerror(errno));
	if (ioctl(fd, KVM_SET_REGS, &regs))
		return fail("KVM_SET_REGS: %s", strerror(errno));
	return 0;
}

void vm_stop(struct vm *vm, int status)
{
	int running = STATUS_RUNNING;

	if (atomic_compare_exchange_strong(&vm->status, &running, status))
		wake(vm);
}

static void on_kick(int signal_number)
{
	(void)signal_number;	/* its arrival alone makes KVM_RUN return */
}

int vm_start(struct vm *vm)
{
	struct sigaction action = { .sa_handler = on_kick };
	int error;

	sigaction(KICK, &action, NULL);
	for (unsigned int i = 0; i < vm->config->cpus; i++) {
		error = pthread_create(&vm->vcpus[i].thread, NULL, vcpu_thread, &vm->vcpus[i]);
		if (error)
			return fail("cannot start the thread of vCPU %u: %s", i, strerror(error));
	}
	return 0;
}

/*
 * immediate_exit makes the next KVM_RUN return, the signal makes the present one
 * return: between them there is no window in which a vCPU could be missed.
 */
static bool join_vcpu(struct vcpu *vcpu)
{
	struct timespec deadline;

	vcpu->run->immediate_exit = 1;
	pthread_kill(vcpu->thread, KICK);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += JOIN_SECONDS;
	return !pthread_timedjoin_np(vcpu->thread, NULL, &deadline);
}

int vm_join(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->config->cpus; i++) {
		if (!join_vcpu(&vm->vcpus[i]))
			return fail("vCPU %u does not leave KVM_RUN: that is a defect of %s", i,
				    vm->config->device);
	}
	return 0;
}
