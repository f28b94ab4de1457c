// SPDX-License-Identifier: GPL-2.0
/*
 * Every ioctl with bad input: numbers, sizes, flags, pointers, order of calls.
 * What stands here is the errno that stock KVM gives; that nothing is left half
 * done is checked by going on with the same VM. Slots are in memslots.c, CPUID
 * and MSRs in files of their own.
 */
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "lib/test.h"

#define BAD_POINTER ((void *)0xffff888000000000)

/* ---- the device ---- */

TEST(device)
{
	int fd = device_open(), vm, page = sysconf(_SC_PAGESIZE);

	EXPECT_EQ(12, ioctl(fd, KVM_GET_API_VERSION, 0));
	EXPECT_EQ(EINVAL, ioctl_errno(fd, KVM_GET_API_VERSION, (void *)1));
	EXPECT_GE(ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0), page);
	EXPECT_EQ(0, ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0) % page);
	EXPECT_EQ(EINVAL, ioctl_errno(fd, KVM_GET_VCPU_MMAP_SIZE, (void *)1));
	EXPECT_EQ(0, ioctl(fd, KVM_CHECK_EXTENSION, 0x7fffffff));
	EXPECT_EQ(EINVAL, ioctl_errno(fd, KVM_CREATE_VM, (void *)1));
	EXPECT_EQ(EINVAL, ioctl_errno(fd, KVM_CREATE_VM, (void *)~0ul));

	/* Of another fd, of nobody, and not KVM's at all. */
	EXPECT_EQ(EINVAL, ioctl_errno(fd, KVM_RUN, 0));
	EXPECT_EQ(EINVAL, ioctl_errno(fd, KVM_CREATE_VCPU, 0));
	EXPECT_EQ(EINVAL, ioctl_errno(fd, _IO(KVMIO, 0xfe), 0));
	EXPECT_NE(0, ioctl_errno(fd, 0x5401, 0));

	/* A VM outlives the device fd that it came from. */
	vm = ioctl(fd, KVM_CREATE_VM, 0);
	ASSERT_GE(vm, 0);
	close(fd);
	EXPECT_EQ(1, ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY));
	close(vm);
}

/* ---- bad pointers: no ioctl that reads or writes memory may take one ---- */

struct row {
	unsigned long request;
	const char *name;
};

#define ROW(request) { request, #request }

static const struct row device_rows[] = {
	ROW(KVM_GET_MSR_INDEX_LIST), ROW(KVM_GET_SUPPORTED_CPUID),
};

static const struct row vm_rows[] = {
	ROW(KVM_SET_USER_MEMORY_REGION), ROW(KVM_GET_DIRTY_LOG), ROW(KVM_IRQ_LINE),
	ROW(KVM_IRQ_LINE_STATUS), ROW(KVM_GET_IRQCHIP), ROW(KVM_SET_IRQCHIP),
	ROW(KVM_GET_PIT2), ROW(KVM_SET_PIT2), ROW(KVM_SET_CLOCK), ROW(KVM_GET_CLOCK),
	ROW(KVM_SET_GSI_ROUTING), ROW(KVM_CREATE_PIT2),
	ROW(KVM_IRQFD), ROW(KVM_IOEVENTFD), ROW(KVM_SIGNAL_MSI), ROW(KVM_ENABLE_CAP),
};

static const struct row vcpu_rows[] = {
	ROW(KVM_GET_REGS), ROW(KVM_SET_REGS), ROW(KVM_GET_SREGS), ROW(KVM_SET_SREGS),
	ROW(KVM_GET_FPU), ROW(KVM_SET_FPU), ROW(KVM_GET_LAPIC), ROW(KVM_SET_LAPIC),
	ROW(KVM_GET_MSRS), ROW(KVM_SET_MSRS), ROW(KVM_GET_CPUID2), ROW(KVM_SET_CPUID2),
	ROW(KVM_GET_MP_STATE), ROW(KVM_SET_MP_STATE), ROW(KVM_GET_VCPU_EVENTS),
	ROW(KVM_SET_VCPU_EVENTS), ROW(KVM_GET_DEBUGREGS), ROW(KVM_SET_DEBUGREGS),
	ROW(KVM_GET_XSAVE), ROW(KVM_SET_XSAVE), ROW(KVM_GET_XCRS), ROW(KVM_SET_XCRS),
	ROW(KVM_INTERRUPT), ROW(KVM_SET_SIGNAL_MASK),
};

static void sweep(struct __test_metadata *_metadata, int fd, const struct row *rows, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		EXPECT_EQ(EFAULT, ioctl_errno(fd, rows[i].request, BAD_POINTER))
			TH_LOG("%s", rows[i].name);
	}
}

TEST(bad_pointers)
{
	struct vm *vm = vm_create(VM_PIT);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);

	sweep(_metadata, vm->dev, device_rows, ARRAY_SIZE(device_rows));
	sweep(_metadata, vm->fd, vm_rows, ARRAY_SIZE(vm_rows));
	sweep(_metadata, vcpu->fd, vcpu_rows, ARRAY_SIZE(vcpu_rows));
}

/* Memory that ends in the middle of the structure. */
TEST(half_a_structure)
{
	struct vm *vm = vm_create(VM_PIT);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	char *page = map_memory(2 * PAGE_SIZE);
	int i;

	ASSERT_EQ(0, mprotect(page + PAGE_SIZE, PAGE_SIZE, PROT_NONE));
	for (i = 0; i < ARRAY_SIZE(vcpu_rows); i++) {
		EXPECT_NE(0, ioctl_errno(vcpu->fd, vcpu_rows[i].request, page + PAGE_SIZE - 2))
			TH_LOG("%s", vcpu_rows[i].name);
	}
	for (i = 0; i < ARRAY_SIZE(vm_rows); i++) {
		EXPECT_NE(0, ioctl_errno(vm->fd, vm_rows[i].request, page + PAGE_SIZE - 2))
			TH_LOG("%s", vm_rows[i].name);
	}
}

/* ---- the VM ---- */

TEST(create_vcpu)
{
	struct vm *vm = vm_create(VM_BARE);
	int max_id = check_extension(KVM_CAP_MAX_VCPU_ID), i, fd;

	if (max_id <= 0)
		max_id = check_extension(KVM_CAP_MAX_VCPUS);
	ASSERT_GE(max_id, 4);
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_CREATE_VCPU, (void *)(long)max_id));
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_CREATE_VCPU, (void *)~0ul));
	fd = ioctl(vm->fd, KVM_CREATE_VCPU, 3);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(EEXIST, ioctl_errno(vm->fd, KVM_CREATE_VCPU, (void *)3));
	/* Closing its fd does not free the id. */
	close(fd);
	EXPECT_EQ(EEXIST, ioctl_errno(vm->fd, KVM_CREATE_VCPU, (void *)3));
	for (i = 0; i < 3; i++) {
		ASSERT_GE(ioctl(vm->fd, KVM_CREATE_VCPU, i), 0);
	}
}

static const char *fd_name(int fd)
{
	static char name[64];
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	name[n < 0 ? 0 : n] = 0;
	return name;
}

/* By which tools know a VM and its vCPUs. */
TEST(names_of_fds)
{
	struct vm *vm = vm_create(VM_BARE);
	int vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 123);

	ASSERT_GE(vcpu, 0);
	EXPECT_STREQ("anon_inode:kvm-vm", fd_name(vm->fd));
	EXPECT_STREQ("anon_inode:kvm-vcpu:123", fd_name(vcpu));
	EXPECT_STREQ("anon_inode:kvm-vm-stats", fd_name(do_ioctl(vm->fd, KVM_GET_STATS_FD, 0)));
	EXPECT_STREQ("anon_inode:kvm-vcpu-stats:123", fd_name(do_ioctl(vcpu, KVM_GET_STATS_FD, 0)));
}

/* KVM_CAP_MAX_VCPU_ID: once, and before the first vCPU; 0 leaves it open. */
TEST(limit_of_ids)
{
	struct vm *vm = vm_create(VM_BARE), *other = vm_create(VM_BARE);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MAX_VCPU_ID };
	u64 max = check_extension(KVM_CAP_MAX_VCPU_ID);

	EXPECT_EQ(0, ioctl_errno(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = max + 1;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = 2;
	EXPECT_EQ(0, ioctl_errno(vm->fd, KVM_ENABLE_CAP, &cap));
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_CREATE_VCPU, (void *)2));
	ASSERT_GE(ioctl(other->fd, KVM_CREATE_VCPU, 0), 0);
	EXPECT_EQ(EINVAL, ioctl_errno(other->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = max;
	EXPECT_EQ(0, ioctl_errno(other->fd, KVM_ENABLE_CAP, &cap));
}

TEST(vm)
{
	struct vm *vm = vm_create(VM_BARE);
	struct kvm_enable_cap cap = { .cap = 0x7fffffff };
	struct kvm_create_device device = { .type = 0x7fffffff };
	struct kvm_dirty_log log = { .slot = 5 };
	struct kvm_clock_data clock = { .flags = 1u << 31 };
	u64 bitmap[64];

	EXPECT_EQ(ENOTTY, ioctl_errno(vm->fd, _IO(KVMIO, 0xfe), 0));
	EXPECT_EQ(ENOTTY, ioctl_errno(vm->fd, KVM_RUN, 0));
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_ENABLE_CAP, &cap));
	EXPECT_NE(0, ioctl_errno(vm->fd, KVM_CREATE_DEVICE, &device));
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SET_CLOCK, &clock));
	log.dirty_bitmap = bitmap;
	EXPECT_EQ(ENOENT, ioctl_errno(vm->fd, KVM_GET_DIRTY_LOG, &log));
	log.slot = 0x7fff;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_GET_DIRTY_LOG, &log));
	log.slot = 7 << 16;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(0, ioctl(vm->fd, KVM_CHECK_EXTENSION, 0x7fffffff));
}

/* ---- interrupt controllers: in which order what may come ---- */

TEST(irqchip_order)
{
	struct vm *vm = vm_create(VM_BARE);
	struct kvm_irqchip chip = { .chip_id = 0 };
	struct kvm_pit_config pit = { 0 };
	struct kvm_pit_state2 pit_state;
	struct kvm_irq_level line = { .irq = 1, .level = 1 };
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x40 };
	int i;

	/* Without one */
	EXPECT_EQ(ENXIO, ioctl_errno(vm->fd, KVM_IRQ_LINE, &line));
	EXPECT_EQ(ENXIO, ioctl_errno(vm->fd, KVM_GET_IRQCHIP, &chip));
	EXPECT_EQ(ENXIO, ioctl_errno(vm->fd, KVM_SET_IRQCHIP, &chip));
	EXPECT_EQ(ENXIO, ioctl_errno(vm->fd, KVM_GET_PIT2, &pit_state));
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SIGNAL_MSI, &msi));

	ASSERT_EQ(0, ioctl_errno(vm->fd, KVM_CREATE_IRQCHIP, 0));
	EXPECT_EQ(EEXIST, ioctl_errno(vm->fd, KVM_CREATE_IRQCHIP, 0));
	EXPECT_EQ(ENXIO, ioctl_errno(vm->fd, KVM_GET_PIT2, &pit_state));
	ASSERT_EQ(0, ioctl_errno(vm->fd, KVM_CREATE_PIT2, &pit));
	EXPECT_EQ(EEXIST, ioctl_errno(vm->fd, KVM_CREATE_PIT2, &pit));
	EXPECT_EQ(0, ioctl_errno(vm->fd, KVM_GET_PIT2, &pit_state));
	EXPECT_EQ(0, ioctl_errno(vm->fd, KVM_IRQ_LINE, &line));
	chip.chip_id = 3;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_GET_IRQCHIP, &chip));
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SET_IRQCHIP, &chip));
	for (i = 0; i < 3; i++) {
		chip.chip_id = i;
		EXPECT_EQ(0, ioctl_errno(vm->fd, KVM_GET_IRQCHIP, &chip));
		EXPECT_EQ(0, ioctl_errno(vm->fd, KVM_SET_IRQCHIP, &chip));
	}
}

TEST(irqchip_after_vcpu)
{
	struct vm *vm = vm_create(VM_BARE);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_lapic_state lapic;

	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_CREATE_IRQCHIP, 0));
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_GET_LAPIC, &lapic));
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_LAPIC, &lapic));
	EXPECT_EQ(EBUSY, ioctl_errno(vm->fd, KVM_SET_BOOT_CPU_ID, 0));
}

struct routing {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry entry[2];
};

TEST(gsi_routing)
{
	struct vm *vm = vm_create(VM_BARE | VM_IRQCHIP);
	struct routing r = { .head.nr = 1 };
	struct kvm_irq_routing_entry *e = &r.entry[0];
	struct kvm_irq_level line = { .irq = 5, .level = 0 };
	u32 max = check_extension(KVM_CAP_IRQ_ROUTING);

	ASSERT_GE(max, 24);
	e->gsi = 5;
	e->type = KVM_IRQ_ROUTING_IRQCHIP;
	e->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	e->u.irqchip.pin = 5;
	EXPECT_EQ(0, ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &r));
	r.head.flags = 1;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &r));
	r.head.flags = 0;
	r.head.nr = max + 1;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &r));
	r.head.nr = 1;
	e->gsi = max;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &r));
	e->gsi = 5;
	e->type = 0;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &r));
	e->type = 99;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &r));
	e->type = KVM_IRQ_ROUTING_IRQCHIP;
	e->u.irqchip.irqchip = 9;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &r));
	e->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	e->u.irqchip.pin = 24;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &r));
	e->u.irqchip.irqchip = KVM_IRQCHIP_PIC_MASTER;
	e->u.irqchip.pin = 8;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &r));
	e->u.irqchip.pin = 5;
	e->flags = 1u << 30;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &r));
	e->flags = 0;
	/* One GSI to the same chip twice. */
	r.head.nr = 2;
	r.entry[1] = r.entry[0];
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &r));
	/* None at all is a table, too. */
	r.head.nr = 0;
	EXPECT_EQ(0, ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &r));
	EXPECT_EQ(0, ioctl_errno(vm->fd, KVM_IRQ_LINE, &line));
}

TEST(eventfds)
{
	struct vm *vm = vm_create(VM_BARE | VM_IRQCHIP);
	struct kvm_irqfd irqfd = { .fd = -1, .gsi = 5 };
	struct kvm_ioeventfd io = { .fd = -1, .addr = 0x1000, .len = 4 };

	if (check_extension(KVM_CAP_IRQFD) > 0) {
		EXPECT_EQ(EBADF, ioctl_errno(vm->fd, KVM_IRQFD, &irqfd));
		irqfd.fd = vm->dev;	/* a file, but no eventfd */
		EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_IRQFD, &irqfd));
		irqfd.flags = 1u << 31;
		EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_IRQFD, &irqfd));
	}
	if (check_extension(KVM_CAP_IOEVENTFD) > 0) {
		EXPECT_EQ(EBADF, ioctl_errno(vm->fd, KVM_IOEVENTFD, &io));
		io.len = 3;
		EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_IOEVENTFD, &io));
		io.len = 16;
		EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_IOEVENTFD, &io));
		io.len = 4;
		io.flags = 1u << 31;
		EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_IOEVENTFD, &io));
		io.flags = 0;
		io.addr = ~0ull;	/* wraps */
		EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_IOEVENTFD, &io));
		/* Who takes away what can't be finds nothing. */
		io.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
		EXPECT_EQ(EBADF, ioctl_errno(vm->fd, KVM_IOEVENTFD, &io));
		io.fd = eventfd(0, 0);
		EXPECT_EQ(ENOENT, ioctl_errno(vm->fd, KVM_IOEVENTFD, &io));
		close(io.fd);
	}
}

/* ---- the vCPU ---- */

TEST(vcpu)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct { struct kvm_signal_mask head; u8 bytes[16]; } mask = { .head.len = 7 };
	struct kvm_mp_state mp;
	struct kvm_interrupt irq = { .irq = 256 };
	struct kvm_enable_cap cap = { .cap = 0x7fffffff };

	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, _IO(KVMIO, 0xfe), 0));
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_RUN, (void *)1));
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask));
	mask.head.len = 16;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask));
	mask.head.len = 8;
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask));
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_SIGNAL_MASK, NULL));
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_INTERRUPT, &irq));
	irq.irq = ~0u;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_INTERRUPT, &irq));
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_ENABLE_CAP, &cap));

	/* Without a local APIC a vCPU has but one MP state. */
	do_ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp.mp_state);
	mp.mp_state = KVM_MP_STATE_HALTED;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_MP_STATE, &mp));
	mp.mp_state = 77;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_MP_STATE, &mp));
}

TEST(vcpu_with_lapic)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_interrupt irq = { .irq = 0x40 };
	struct kvm_mp_state mp = { 77 };

	EXPECT_EQ(ENXIO, ioctl_errno(vcpu->fd, KVM_INTERRUPT, &irq));
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_MP_STATE, &mp));
	mp.mp_state = KVM_MP_STATE_HALTED;
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_MP_STATE, &mp));
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_MP_STATE, &mp));
}

static void break_lma(struct kvm_sregs *s) { s->efer &= ~(1ull << 10); }
static void break_pae(struct kvm_sregs *s) { s->cr4 &= ~(1ull << 5); }
static void break_cr4(struct kvm_sregs *s) { s->cr4 |= 1ull << 31; }
static void break_cr0_high(struct kvm_sregs *s) { s->cr0 |= 1ull << 32; }
static void break_cr0_pg(struct kvm_sregs *s) { s->cr0 &= ~1ull; }
static void break_cr0_nw(struct kvm_sregs *s) { s->cr0 |= 1ull << 29; }
static void break_cr3(struct kvm_sregs *s) { s->cr3 |= 1ull << 63; }

/* IA32_APIC_BASE has its rules where no LAPIC is in the kernel, as well. */
TEST(apic_base_without_lapic)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_sregs s = vcpu_sregs(vcpu);

	s.apic_base = 0x500;			/* x2APIC without being enabled */
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_SREGS, &s));
	s.apic_base = 0xfee00900 | 1;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_SREGS, &s));
	s.apic_base = 0xfee00900;
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_SREGS, &s));
	EXPECT_EQ(0, vcpu_set_msr(vcpu, 0x1b, 0xfee00900 | 1));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, 0x1b, 0xfec00900));
	EXPECT_EQ(0xfec00900, vcpu_sregs(vcpu).apic_base);
}

TEST(sregs)
{
	static const struct { void (*fn)(struct kvm_sregs *); const char *name; } rows[] = {
		{ break_pae, "long mode without PAE" }, { break_cr4, "reserved CR4" },
		{ break_cr0_high, "CR0 bit 32" }, { break_cr0_pg, "PG without PE" },
		{ break_cr0_nw, "NW without CD" }, { break_cr3, "CR3 bit 63" },
		{ break_lma, "LME and PG without LMA" },
	};
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_sregs good, bad, after;
	int i;

	vcpu_start64(vcpu, NULL, 0);
	good = vcpu_sregs(vcpu);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		bad = good;
		bad.gs.base = 0x1234000;
		rows[i].fn(&bad);
		EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_SREGS, &bad))
			TH_LOG("%s", rows[i].name);
		/* Not half of it is done. */
		after = vcpu_sregs(vcpu);
		EXPECT_EQ(0, memcmp(&good, &after, sizeof(good))) TH_LOG("%s", rows[i].name);
	}
}

TEST(events_and_debug_registers)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_vcpu_events ev, bad;
	struct kvm_debugregs dr;

	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	bad = ev;
	bad.flags = 1u << 31;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_VCPU_EVENTS, &bad));
	bad = ev;
	bad.exception.injected = 1;
	bad.exception.nr = 32;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_VCPU_EVENTS, &bad));
	bad.exception.nr = 2;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_VCPU_EVENTS, &bad));
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev));

	do_ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &dr);
	dr.flags = 1;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_DEBUGREGS, &dr));
	dr.flags = 0;
	dr.dr6 |= 1ull << 32;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_DEBUGREGS, &dr));
	dr.dr6 &= ~(1ull << 32);
	dr.dr7 |= 1ull << 40;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_DEBUGREGS, &dr));
}

TEST(xcrs_and_xsave)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_xcrs xcrs, good;
	struct kvm_xsave *x = map_memory(16384);
	u64 *xfeatures = (u64 *)&x->region[512 / 4];

	if (ioctl(vcpu->fd, KVM_GET_XCRS, &good))
		SKIP(return, "the CPU has no XSAVE");
	xcrs = good;
	xcrs.flags = 1;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XCRS, &xcrs));
	xcrs = good;
	xcrs.nr_xcrs = KVM_MAX_XCRS + 1;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XCRS, &xcrs));
	xcrs = good;
	xcrs.xcrs[0].value = 2;		/* x87 may not be off */
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XCRS, &xcrs));
	xcrs.xcrs[0].value = 5;		/* AVX without SSE */
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XCRS, &xcrs));
	xcrs.xcrs[0].value = 1 | 1ull << 62;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XCRS, &xcrs));
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_XCRS, &good));

	do_ioctl(vcpu->fd, KVM_GET_XSAVE, x);
	*xfeatures |= 1ull << 62;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XSAVE, x));
	*xfeatures &= ~(1ull << 62);
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_XSAVE, x));
	x->region[24 / 4] = 1u << 31;	/* reserved bit of MXCSR */
	*xfeatures |= 2;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XSAVE, x));
}

/* ---- the run page ---- */

TEST(run_page)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	char *p;
	int status;
	pid_t pid;

	/* Past its end there is nothing: SIGBUS, not the kernel's memory. */
	p = mmap(NULL, vcpu->run_size + 16 * PAGE_SIZE, PROT_READ, MAP_SHARED, vcpu->fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	pid = fork();
	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		_exit(p[vcpu->run_size + 12 * PAGE_SIZE]);
	}
	waitpid(pid, &status, 0);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGBUS, WTERMSIG(status));
	/* The page of the vCPU stays for as long as somebody maps it. */
	close(vcpu->fd);
	close(vm->fd);
	EXPECT_EQ(0, vcpu->run->immediate_exit);
}

/* KVM_RUN fails for what it is to take or to give: what it can give is there all the same. */
TEST(run_page_of_a_refused_run)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_run *run = vcpu->run;

	run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	run->kvm_dirty_regs = 1ull << 40;
	EXPECT_EQ(EINVAL, vcpu_run_once(vcpu));
	EXPECT_EQ(vcpu_regs(vcpu).rip, run->s.regs.regs.rip);
	EXPECT_NE(0, run->s.regs.regs.rip);
	EXPECT_EQ(vcpu_sregs(vcpu).apic_base, run->apic_base);
}

/* A VM belongs to the address space that made it. */
TEST(another_process)
{
	struct vm *vm = vm_create(VM_BARE);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_regs regs;
	int status;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(ioctl_errno(vm->fd, KVM_CREATE_VCPU, (void *)1) == EIO &&
		      ioctl_errno(vcpu->fd, KVM_GET_REGS, &regs) == EIO &&
		      ioctl_errno(vcpu->fd, KVM_RUN, 0) == EIO ? 0 : 1);
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_GET_REGS, &regs));
}

TEST_HARNESS_MAIN
