// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and unloading: refused while a VM, a vCPU or the device is open,
 * complete afterwards, and again and again.
 *
 * MINIKVM_MODULE is the path of the .ko; without it these tests cannot be run
 * and say so. (The host then has the module under test built in, or it is not
 * ours to unload.)
 */
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "lib/module.h"
#include "lib/test.h"

#define MSR_EFER	0xc0000080
#define EFER_SVME	(1u << 12)
#define MSR_VM_CR	0xc0010114
#define VM_CR_SVMDIS	(1u << 4)

/* "In use": EWOULDBLOCK is delete_module()'s own word for it, EBUSY a module's. */
#define EXPECT_IN_USE() do {							\
	int __err = module_unload();						\
	EXPECT_TRUE(__err == EBUSY || __err == EWOULDBLOCK) {			\
		TH_LOG("unload: %s", __err ? strerror(__err) : "it went");	\
		if (!__err)							\
			module_load(module_args());				\
	}									\
} while (0)

static __guest void guest_nothing(void)
{
}

static void run_a_vm(void)
{
	struct vm *vm = vm_create(VM_PIT);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_nothing, 0);

	vcpu_run_done(vcpu);
	vcpu_free(vcpu);
	vm_free(vm);
}

TEST(refused_while_in_use)
{
	int dev, vm, vcpu;
	void *run;

	NEED_MODULE();
	dev = device_open();
	EXPECT_IN_USE();
	vm = do_ioctl(dev, KVM_CREATE_VM, 0);
	close(dev);
	EXPECT_IN_USE();
	vcpu = do_ioctl(vm, KVM_CREATE_VCPU, 0);
	close(vm);
	EXPECT_IN_USE();
	/* The run page alone keeps the vCPU, and so the module. */
	run = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, vcpu, 0);
	ASSERT_NE(MAP_FAILED, run);
	close(vcpu);
	EXPECT_IN_USE();
	munmap(run, PAGE_SIZE);

	EXPECT_EQ(0, module_unload_soon());
	EXPECT_FALSE(module_loaded());
	EXPECT_NE(0, access(device_path(), F_OK));
	EXPECT_EQ(0, module_load(module_args()));
	EXPECT_TRUE(module_device_appears());
	run_a_vm();
}

TEST(again_and_again)
{
	int i;

	NEED_MODULE();
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, module_unload_soon());
		ASSERT_EQ(0, module_load(module_args()));
		ASSERT_TRUE(module_device_appears());
		run_a_vm();
	}
}

/* The kernel's own KVM, as Debian's kernel has it. */
static const char *stock_module(const char *name)
{
	static char path[256];
	struct utsname u;

	uname(&u);
	snprintf(path, sizeof(path), "/modules/%s.ko", name);
	if (access(path, F_OK))
		snprintf(path, sizeof(path), "/lib/modules/%s/kernel/arch/x86/kvm/%s.ko", u.release, name);
	return access(path, F_OK) ? NULL : path;
}

static bool load_stock(void)
{
	static const char *const names[] = { "irqbypass", "ccp", "kvm", NULL };
	const char *vendor = host_is_intel() ? "kvm-intel" : "kvm-amd", *path;
	int i, r;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		path = stock_module(names[i] ?: vendor);
		/* ccp is a part of some kernels, and of some CPUs' only. */
		if (!path && names[i])
			continue;
		r = path ? module_load_file(path, "") : ENOENT;
		if (r && r != EEXIST && (!names[i] || strcmp(names[i], "ccp")))
			return false;
	}
	return true;
}

static void unload_stock(void)
{
	syscall(SYS_delete_module, host_is_intel() ? "kvm_intel" : "kvm_amd", O_NONBLOCK);
	syscall(SYS_delete_module, "kvm", O_NONBLOCK);
}

/*
 * Two hypervisors can't hold the CPU at once: who comes second is refused, and
 * told what to do. Newer KVMs take the CPU when they are loaded, older ones
 * with their first VM.
 */
TEST(other_hypervisor)
{
	int kvm, vm;

	NEED_MODULE();
	ASSERT_EQ(0, module_unload_soon());
	if (!load_stock()) {
		module_load(module_args());
		SKIP(return, "the host's kernel has no KVM of its own");
	}
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, kvm);
	if (!module_load(module_args())) {
		EXPECT_EQ(-1, ioctl(kvm, KVM_CREATE_VM, 0));
		EXPECT_EQ(EBUSY, errno);
		EXPECT_TRUE(module_device_appears());
		run_a_vm();
		EXPECT_EQ(0, module_unload_soon());
	}
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	EXPECT_LE(0, vm);
	EXPECT_EQ(EBUSY, module_load(module_args()));
	EXPECT_TRUE(host_logged(host_is_intel() ? "run 'rmmod kvm_intel'" : "run 'rmmod kvm_amd'"));
	close(vm);
	close(kvm);
	unload_stock();
	ASSERT_EQ(0, module_load(module_args()));
	EXPECT_TRUE(module_device_appears());
	run_a_vm();
}

static u64 get_msr(int fd, u32 msr)
{
	u64 value;

	if (pread(fd, &value, sizeof(value), msr) != sizeof(value))
		die("MSR %#x: %m", msr);
	return value;
}

static void change_msr(int fd, u32 msr, u64 clear, u64 set)
{
	u64 value = (get_msr(fd, msr) & ~clear) | set;

	if (pwrite(fd, &value, sizeof(value), msr) != sizeof(value))
		die("MSR %#x: %m", msr);
}

/* What a load says while a CPU has these bits of an MSR set. Without them the module is there again. */
static int load_with(int fd, u32 msr, u64 bits)
{
	int r;

	change_msr(fd, msr, 0, bits);
	r = module_load(module_args());
	change_msr(fd, msr, bits, 0);
	if (r && module_load(module_args()))
		die("the module can't be loaded any more");
	return r;
}

#define NEED_MSRS() do {							\
	if (!host_is_emulated())						\
		SKIP(return, "this machine is no emulated host: its MSRs stay");	\
} while (0)

/* One CPU is enough for a refusal, and a line that names it; none is left in between. */
TEST(other_hypervisor_on_one_cpu)
{
	int fd;

	NEED_MODULE();
	NEED_MSRS();
	if (host_is_intel())
		SKIP(return, "VMX is not turned on by an MSR");
	if (host_cpus() < 2)
		SKIP(return, "one CPU");
	fd = host_msrs_open(1, O_RDWR);
	if (fd < 0)
		SKIP(return, "there is no /dev/cpu/1/msr");
	host_go_to(0);
	ASSERT_EQ(0, module_unload_soon());
	EXPECT_EQ(EBUSY, load_with(fd, MSR_EFER, EFER_SVME));
	EXPECT_TRUE(host_logged("minikvm: CPU 1 is held by another hypervisor"));
	EXPECT_TRUE(module_device_appears());
	run_a_vm();
}

/* It may have no such bit, or be locked. */
static bool can_disable(int fd)
{
	bool disabled;

	change_msr(fd, MSR_VM_CR, 0, VM_CR_SVMDIS);
	disabled = get_msr(fd, MSR_VM_CR) & VM_CR_SVMDIS;
	change_msr(fd, MSR_VM_CR, VM_CR_SVMDIS, 0);
	return disabled;
}

/* VMX so disabled is a machine of its own: the test "refused" of scripts/check. */
TEST(disabled_by_firmware)
{
	int fd;

	NEED_MODULE();
	NEED_MSRS();
	if (host_is_intel())
		SKIP(return, "the MSR that disables VMX is locked");
	fd = host_msrs_open(0, O_RDWR);
	if (fd < 0)
		SKIP(return, "there is no /dev/cpu/0/msr");
	host_go_to(0);
	ASSERT_EQ(0, module_unload_soon());
	if (!can_disable(fd)) {
		ASSERT_EQ(0, module_load(module_args()));
		SKIP(return, "SVM can't be disabled: VM_CR is locked, or QEMU's TCG has none");
	}
	EXPECT_EQ(EOPNOTSUPP, load_with(fd, MSR_VM_CR, VM_CR_SVMDIS));
	EXPECT_TRUE(host_logged("minikvm: SVM is disabled by the firmware"));
	EXPECT_TRUE(module_device_appears());
	run_a_vm();
}

/* Loading twice is refused, and the first stays. */
TEST(twice)
{
	NEED_MODULE();
	EXPECT_EQ(EEXIST, module_load(module_args()));
	run_a_vm();
}

TEST_HARNESS_MAIN
