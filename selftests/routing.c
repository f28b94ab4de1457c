// SPDX-License-Identifier: GPL-2.0
/*
 * Where interrupts go: KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI, the irqchips' state
 * as user space sees it, and the split irqchip, whose PIC and IOAPIC user space
 * has.
 */
#include <signal.h>

#include "lib/test.h"

#define VECTOR		0x51
#define EXTINT		0x33
#define MSI_ADDRESS	0xfee00000
#define LOGICAL		(1 << 2)
#define REDIRECT	(1 << 3)
#define NMI		(4 << 8)
#define LEVEL		(1 << 15)

static volatile u64 hits[4], last;

static __guest void hit(struct trap_frame *f)
{
	hits[xapic_read(0x20) >> 24]++;
	last = f->vector;
	if (f->vector != EXTINT)
		xapic_write(0xb0, 0);
}

static int msi(struct vm *vm, u32 dest, u32 bits, u32 data)
{
	struct kvm_msi msi = { .address_lo = MSI_ADDRESS | dest << 12 | bits, .data = data };

	return ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

/* The entries that are not there are not looked at. */
static int set_routing(struct vm *vm, const struct kvm_irq_routing_entry *entries, u32 n, u32 flags)
{
	char buffer[sizeof(struct kvm_irq_routing) + 8 * sizeof(*entries)];
	struct kvm_irq_routing *routing = (void *)buffer;

	routing->nr = n;
	routing->flags = flags;
	memcpy(routing->entries, entries, (n > 3 ? 0 : n) * sizeof(*entries));
	return ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, routing);
}

static int line_status(struct vm *vm, u32 gsi, int level)
{
	struct kvm_irq_level irq = { .irq = gsi, .level = level };

	do_ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &irq);
	return irq.status;
}

/* ---- messages ---- */

/* KVM's word for a message that no LAPIC could be meant by. */
TEST(message_for_nobody)
{
	struct vm *vm = vm_create(VM_BARE | VM_IRQCHIP);

	EXPECT_EQ(-1, msi(vm, 0, 0, VECTOR));
	EXPECT_EQ(EPERM, errno);
	ASSERT_GE(ioctl(vm->fd, KVM_CREATE_VCPU, 0), 0);
	EXPECT_EQ(0, msi(vm, 7, 0, VECTOR));
}

static __guest void guest_two(void)
{
	u32 id = xapic_read(0x20) >> 24;

	guest_handlers[VECTOR] = hit;
	xapic_enable();
	xapic_write(0xe0, ~0u);
	xapic_write(0xd0, 1u << 24 << id);
	sti();
	GUEST_SYNC(1);
	GUEST_SYNC(2);
}

TEST(signal_msi)
{
	struct vm *vm = vm_create(VM_IRQCHIP), *bare = vm_create(VM_BARE);
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct vcpu *a = vcpu_create(vm, 0, guest_two, 0);
	struct vcpu *b = vcpu_create(vm, 1, guest_two, 0);

	EXPECT_EQ(-1, msi(bare, 0, 0, VECTOR));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, msi(vm, 0, 0, VECTOR));		/* its APIC is off still */
	EXPECT_EQ(0, msi(vm, 0, REDIRECT, VECTOR));
	do_ioctl(b->fd, KVM_SET_MP_STATE, &mp);
	vcpu_run_sync(a, 1);
	vcpu_run_sync(b, 1);
	EXPECT_EQ(1, msi(vm, 1, 0, VECTOR));
	vcpu_run_sync(a, 2);
	vcpu_run_sync(b, 2);
	EXPECT_EQ(0, guest_var(vm, hits[0]));
	EXPECT_EQ(1, guest_var(vm, hits[1]));
	EXPECT_EQ(2, msi(vm, 0xff, 0, VECTOR));
	EXPECT_EQ(2, msi(vm, 3, LOGICAL, VECTOR));
	EXPECT_EQ(1, msi(vm, 3, LOGICAL, VECTOR | 1 << 8));	/* lowest priority */
	EXPECT_EQ(0, msi(vm, 7, 0, VECTOR));			/* nobody */
	vcpu_run_done(a);
	vcpu_run_done(b);
	EXPECT_EQ(1, guest_var(vm, hits[0]));
	EXPECT_EQ(2, guest_var(vm, hits[1]));
}

/* An APIC that is off takes an NMI; there is nobody else whom a physical id could be redirected to. */
TEST(redirected_nmi)
{
	struct vm *vm = vm_create(VM_BARE | VM_IRQCHIP);
	int fd = do_ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	struct kvm_vcpu_events events;

	EXPECT_EQ(1, msi(vm, 0, REDIRECT, NMI));
	do_ioctl(fd, KVM_GET_VCPU_EVENTS, &events);
	EXPECT_EQ(1, events.nmi.pending);
}

/* ---- routes ---- */

static __guest void guest_routes(void)
{
	guest_handlers[VECTOR] = hit;
	xapic_enable();
	ioapic_route(5, VECTOR);
	sti();
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(1, hits[0]);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(2, hits[0]);
}

TEST(routes)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_routes, 0);
	struct kvm_irq_routing_entry entries[2] = {
		{ .gsi = 100, .type = KVM_IRQ_ROUTING_IRQCHIP,
		  .u.irqchip = { KVM_IRQCHIP_IOAPIC, 5 } },
		{ .gsi = 4095, .type = KVM_IRQ_ROUTING_MSI,
		  .u.msi = { .address_lo = MSI_ADDRESS, .data = VECTOR } },
	};

	vcpu_run_sync(vcpu, 1);
	ASSERT_EQ(0, set_routing(vm, entries, 2, 0));
	EXPECT_EQ(-1, line_status(vm, 5, 1));		/* no longer anywhere */
	EXPECT_EQ(1, line_status(vm, 100, 1));
	EXPECT_EQ(0, line_status(vm, 100, 1));		/* up already */
	line_status(vm, 100, 0);
	vcpu_run_sync(vcpu, 2);
	EXPECT_EQ(1, line_status(vm, 4095, 1));
	EXPECT_EQ(-1, line_status(vm, 4095, 0));
	vcpu_run_done(vcpu);
	EXPECT_EQ(-1, line_status(vm, ~0u, 1));
}

TEST(routing_input)
{
	struct vm *vm = vm_create(VM_BARE | VM_IRQCHIP), *bare = vm_create(VM_BARE);
	struct kvm_irq_routing_entry e[3] = {
		{ .gsi = 5, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { KVM_IRQCHIP_IOAPIC, 5 } },
		{ .gsi = 5, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { KVM_IRQCHIP_PIC_MASTER, 5 } },
		{ .gsi = 5, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { KVM_IRQCHIP_PIC_SLAVE, 5 } },
	}, bad;

	EXPECT_EQ(EINVAL, set_routing(bare, e, 1, 0));
	EXPECT_EQ(0, set_routing(vm, e, 3, 0));
	EXPECT_EQ(0, set_routing(vm, e, 0, 0));
	EXPECT_EQ(EINVAL, set_routing(vm, e, 1, 1));
	EXPECT_EQ(EINVAL, set_routing(vm, e, 4097, 0));
	bad = e[0], bad.u.irqchip.pin = 24;
	EXPECT_EQ(EINVAL, set_routing(vm, &bad, 1, 0));
	bad = e[1], bad.u.irqchip.pin = 8;
	EXPECT_EQ(EINVAL, set_routing(vm, &bad, 1, 0));
	bad = e[0], bad.u.irqchip.irqchip = 3;
	EXPECT_EQ(EINVAL, set_routing(vm, &bad, 1, 0));
	bad = e[0], bad.gsi = 4096;
	EXPECT_EQ(EINVAL, set_routing(vm, &bad, 1, 0));
	bad = e[0], bad.flags = 1;
	EXPECT_EQ(EINVAL, set_routing(vm, &bad, 1, 0));
	bad = e[0], bad.type = 77;
	EXPECT_EQ(EINVAL, set_routing(vm, &bad, 1, 0));
	e[1] = e[0];				/* two pins of one chip */
	EXPECT_EQ(EINVAL, set_routing(vm, e, 2, 0));
	e[1].type = KVM_IRQ_ROUTING_MSI;	/* a pin and a message */
	e[1].u.msi.address_lo = MSI_ADDRESS;
	EXPECT_EQ(EINVAL, set_routing(vm, e, 2, 0));
}

/* ---- KVM_GET_IRQCHIP and back ---- */

TEST(irqchip_state)
{
	struct vm *vm = vm_create(VM_BARE | VM_IRQCHIP), *bare = vm_create(VM_BARE);
	struct kvm_irqchip a, b;
	u32 chip;

	for (chip = 0; chip < 3; chip++) {
		memset(&a, 0, sizeof(a));
		a.chip_id = chip;
		EXPECT_EQ(ENXIO, ioctl_errno(bare->fd, KVM_GET_IRQCHIP, &a));
		EXPECT_EQ(ENXIO, ioctl_errno(bare->fd, KVM_SET_IRQCHIP, &a));
		do_ioctl(vm->fd, KVM_GET_IRQCHIP, &a);
		if (chip == KVM_IRQCHIP_IOAPIC) {
			EXPECT_EQ(IOAPIC_PHYS, a.chip.ioapic.base_address);
			EXPECT_EQ(0, a.chip.ioapic.irr);
			EXPECT_EQ(1 << 16, a.chip.ioapic.redirtbl[7].bits);
			a.chip.ioapic.redirtbl[7].bits = 0x0300000000008051;
			a.chip.ioapic.redirtbl[8].fields.vector = 0x66;
			a.chip.ioapic.ioregsel = 0x12;
			a.chip.ioapic.id = 5;
		} else {
			EXPECT_EQ(chip ? 0xde : 0xf8, a.chip.pic.elcr_mask);
			a.chip.pic.irq_base = 0x70;
			a.chip.pic.imr = 0xa5;
			a.chip.pic.isr = 0x10;
		}
		do_ioctl(vm->fd, KVM_SET_IRQCHIP, &a);
		memset(&b, 0, sizeof(b));
		b.chip_id = chip;
		do_ioctl(vm->fd, KVM_GET_IRQCHIP, &b);
		EXPECT_EQ(0, memcmp(&a, &b, sizeof(a)));
	}
	a.chip_id = 3;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_GET_IRQCHIP, &a));
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SET_IRQCHIP, &a));
}

/* ---- split ---- */

static int enable_split(struct vm *vm, u64 pins)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = pins };

	return ioctl_errno(vm->fd, KVM_ENABLE_CAP, &cap);
}

TEST(split_input)
{
	struct vm *vm = vm_create(VM_BARE), *kernel = vm_create(VM_BARE | VM_IRQCHIP);
	struct vm *late = vm_create(VM_BARE);
	struct kvm_irq_routing_entry pin = {
		.type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { KVM_IRQCHIP_IOAPIC, 5 },
	};
	struct kvm_irqchip chip = {};

	if (check_extension(KVM_CAP_SPLIT_IRQCHIP) <= 0)
		SKIP(return, "no KVM_CAP_SPLIT_IRQCHIP");
	do_ioctl(late->fd, KVM_CREATE_VCPU, 0);
	EXPECT_EQ(EEXIST, enable_split(late, 24));
	EXPECT_EQ(EEXIST, enable_split(kernel, 24));
	EXPECT_EQ(EINVAL, enable_split(vm, 4097));
	EXPECT_EQ(0, enable_split(vm, 24));
	EXPECT_EQ(EEXIST, enable_split(vm, 24));
	EXPECT_EQ(EEXIST, ioctl_errno(vm->fd, KVM_CREATE_IRQCHIP, NULL));
	EXPECT_EQ(ENXIO, ioctl_errno(vm->fd, KVM_GET_IRQCHIP, &chip));
	EXPECT_EQ(EINVAL, set_routing(vm, &pin, 1, 0));
}

/* Documentation/virt/kvm/api.rst, KVM_CREATE_PIT2: only after KVM_CREATE_IRQCHIP. */
TEST(split_has_no_pit)
{
	struct vm *vm = vm_create(VM_BARE);
	struct kvm_pit_config pit = {};

	SKIP_ON_STOCK("makes a PIT that has no PIC");
	EXPECT_EQ(ENOENT, ioctl_errno(vm->fd, KVM_CREATE_PIT2, &pit));
	ASSERT_EQ(0, enable_split(vm, 24));
	EXPECT_EQ(ENOENT, ioctl_errno(vm->fd, KVM_CREATE_PIT2, &pit));
}

static __guest void guest_split(void)
{
	guest_handlers[VECTOR] = hit;
	guest_handlers[EXTINT] = hit;
	xapic_enable();
	GUEST_ASSERT_EQ(1 << 24, xapic_read(0x30) & 1 << 24);	/* directed EOI */
	GUEST_SYNC(1);
	sti();
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, hits[0]);
	GUEST_ASSERT_EQ(EXTINT, last);
	GUEST_SYNC(2);					/* a level: EOI exits */
	asm volatile("nop");
	GUEST_ASSERT_EQ(2, hits[0]);
	GUEST_ASSERT_EQ(VECTOR, last);
	GUEST_SYNC(3);					/* an edge: not */
	asm volatile("nop");
	GUEST_ASSERT_EQ(3, hits[0]);
	GUEST_SYNC(4);
	xapic_write(0xf0, 0x11ff);			/* no broadcasts */
	GUEST_SYNC(5);
	asm volatile("nop");
	GUEST_ASSERT_EQ(4, hits[0]);
}

TEST(split)
{
	struct vm *vm = vm_create(0);
	struct kvm_interrupt irq = { EXTINT };
	struct kvm_irq_routing_entry route = {
		.gsi = 3, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = MSI_ADDRESS, .data = VECTOR | LEVEL | 1 << 14 },
	};
	struct vcpu *vcpu;

	if (check_extension(KVM_CAP_SPLIT_IRQCHIP) <= 0)
		SKIP(return, "no KVM_CAP_SPLIT_IRQCHIP");
	ASSERT_EQ(0, enable_split(vm, 24));
	ASSERT_EQ(0, set_routing(vm, &route, 1, 0));
	vcpu = vcpu_create(vm, 0, guest_split, 0);
	vcpu_run_sync(vcpu, 1);
	do_ioctl(vcpu->fd, KVM_INTERRUPT, &irq);
	EXPECT_EQ(EEXIST, ioctl_errno(vcpu->fd, KVM_INTERRUPT, &irq));
	vcpu_run_sync(vcpu, 2);
	vm_irq_line(vm, 3, 1);
	vcpu_run_exit(vcpu, KVM_EXIT_IOAPIC_EOI);
	EXPECT_EQ(VECTOR, vcpu->run->eoi.vector);
	vcpu_run_sync(vcpu, 3);
	/* An edge has a vector of its own, as every sane machine does it. */
	route.u.msi.data = VECTOR;
	ASSERT_EQ(0, set_routing(vm, &route, 1, 0));
	vm_irq_line(vm, 3, 1);
	vcpu_run_sync(vcpu, 4);
	route.u.msi.data = VECTOR | LEVEL | 1 << 14;
	vcpu_run_sync(vcpu, 5);
	EXPECT_EQ(1, msi(vm, 0, 0, VECTOR | LEVEL | 1 << 14));
	vcpu_run_done(vcpu);
}

static __guest void guest_unmasks(void)
{
	guest_handlers[EXTINT] = hit;
	xapic_enable();
	xapic_write(0x350, 1 << 16 | 7 << 8);		/* LINT0 masked */
	sti();
	GUEST_SYNC(1);
	asm volatile("nop");
	GUEST_ASSERT_EQ(0, hits[0]);
	GUEST_SYNC(2);
	xapic_write(0x350, 7 << 8);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, hits[0]);
}

/* What waits for LINT0 to be unmasked comes then, and not whenever something else does. */
TEST(split_unmasked)
{
	struct vm *vm = vm_create(0);
	struct kvm_interrupt irq = { EXTINT };
	struct vcpu *vcpu;

	SKIP_ON_STOCK("does not look for a PIC's interrupt when LINT0 is unmasked");
	if (check_extension(KVM_CAP_SPLIT_IRQCHIP) <= 0)
		SKIP(return, "no KVM_CAP_SPLIT_IRQCHIP");
	ASSERT_EQ(0, enable_split(vm, 24));
	vcpu = vcpu_create(vm, 0, guest_unmasks, 0);
	vcpu_run_sync(vcpu, 1);
	do_ioctl(vcpu->fd, KVM_INTERRUPT, &irq);
	vcpu_run_sync(vcpu, 2);
	vcpu_run_done(vcpu);
}

/*
 * A guest that has masked LINT0 cannot take what a window is asked for; it
 * runs on, and the window comes when it unmasks. QEMU asks as long as its PIC
 * has something.
 */
TEST(split_window)
{
	struct vm *vm = vm_create(0);
	struct kvm_interrupt irq = { EXTINT };
	struct vcpu *vcpu;

	if (check_extension(KVM_CAP_SPLIT_IRQCHIP) <= 0)
		SKIP(return, "no KVM_CAP_SPLIT_IRQCHIP");
	ASSERT_EQ(0, enable_split(vm, 24));
	vcpu = vcpu_create(vm, 0, guest_unmasks, 0);
	vcpu_run_sync(vcpu, 1);
	vcpu->run->request_interrupt_window = 1;
	vcpu_run_sync(vcpu, 2);
	EXPECT_EQ(0, vcpu->run->ready_for_interrupt_injection);
	vcpu_run_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(1, vcpu->run->ready_for_interrupt_injection);
	vcpu->run->request_interrupt_window = 0;
	do_ioctl(vcpu->fd, KVM_INTERRUPT, &irq);
	vcpu_run_done(vcpu);
}

static __guest void guest_waits(void)
{
	guest_handlers[EXTINT] = hit;
	xapic_enable();
	xapic_write(0x350, 7 << 8);
	sti();
	GUEST_SYNC(1);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, hits[0]);
}

static void nothing(int sig)
{
}

/*
 * Whose PIC is in user space wakes a vCPU that has halted by a signal, to inject. The window it
 * asked for is told of before the signal ends KVM_RUN, so nobody has to come again for it.
 */
TEST(split_window_before_signal)
{
	struct kvm_mp_state halted = { KVM_MP_STATE_HALTED };
	struct sigaction action = { .sa_handler = nothing };
	struct kvm_interrupt irq = { EXTINT };
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu;

	if (check_extension(KVM_CAP_SPLIT_IRQCHIP) <= 0)
		SKIP(return, "no KVM_CAP_SPLIT_IRQCHIP");
	ASSERT_EQ(0, enable_split(vm, 24));
	vcpu = vcpu_create(vm, 0, guest_waits, 0);
	vcpu_run_sync(vcpu, 1);
	sigaction(SIGUSR1, &action, NULL);
	signal_in_run_alone(vcpu, SIGUSR1);
	do_ioctl(vcpu->fd, KVM_SET_MP_STATE, &halted);
	raise(SIGUSR1);
	vcpu->run->request_interrupt_window = 1;
	ASSERT_EQ(0, vcpu_run_once(vcpu));
	EXPECT_EQ(KVM_EXIT_IRQ_WINDOW_OPEN, vcpu->run->exit_reason);
	vcpu->run->request_interrupt_window = 0;
	EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
	signal_block(SIGUSR1, false);
	do_ioctl(vcpu->fd, KVM_INTERRUPT, &irq);
	vcpu_run_done(vcpu);
}

TEST_HARNESS_MAIN
