// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC in x2APIC mode, where a host's hardware may do what elsewhere costs
 * exits: priorities and EOIs, registers that are there and that are not, whose EOIs
 * reach an IOAPIC, interrupts that are pending or in service when user space moves the
 * vCPU or the guest changes the mode.
 */
#include "lib/test.h"

#define LOW		0x61
#define HIGH		0x91

#define APIC_ID		0x20
#define APIC_LVR	0x30
#define APIC_TPR	0x80
#define APIC_PPR	0xa0
#define APIC_EOI	0xb0
#define APIC_SPIV	0xf0
#define APIC_ISR	0x100
#define APIC_TMR	0x180
#define APIC_IRR	0x200
#define APIC_ICR	0x300
#define APIC_LVTT	0x320
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390
#define APIC_TDCR	0x3e0
#define APIC_SELF_IPI	0x3f0

#define LEVEL		(1 << 15)

static volatile u64 hits;
static volatile u32 last;
static volatile bool eoi_at_once;

static __guest void hit(struct trap_frame *f)
{
	hits++;
	last = f->vector;
	if (eoi_at_once)
		x2apic_write(APIC_EOI, 0);
}

static __guest void init(void)
{
	guest_handlers[LOW] = guest_handlers[HIGH] = hit;
	x2apic_enable();
}

static __guest bool in_bank(u32 bank, u32 vector)
{
	return x2apic_read(bank + (vector >> 5) * 16) & 1u << (vector & 31);
}

/* SDM vol. 3, 11.8.3.1: bits 3:0 are the sub-class, which CR8 does not have. */
#define TPR_IS_WHOLE() do {							\
	if (!host_is_intel())							\
		SKIP_ON_STOCK("keeps of the TPR what is in CR8, on SVM");	\
} while (0)

/* ---- priorities ---- */

static __guest void guest_priorities(void)
{
	init();
	eoi_at_once = true;
	sti();
	x2apic_write(APIC_TPR, 0x65);
	cpuid(0, 0);					/* an exit */
	GUEST_ASSERT_EQ(0x65, x2apic_read(APIC_TPR));
	GUEST_ASSERT_EQ(0x65, x2apic_read(APIC_PPR));
	GUEST_ASSERT_EQ(6, read_cr8());
	x2apic_write(APIC_SELF_IPI, LOW);		/* not above the TPR's class */
	asm volatile("nop");
	GUEST_ASSERT_EQ(0, hits);
	GUEST_ASSERT(in_bank(APIC_IRR, LOW));
	x2apic_write(APIC_SELF_IPI, HIGH);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, hits);
	GUEST_ASSERT_EQ(HIGH, last);
	GUEST_ASSERT(!in_bank(APIC_ISR, HIGH));
	write_cr8(5);
	asm volatile("nop");
	GUEST_ASSERT_EQ(0x50, x2apic_read(APIC_TPR));
	GUEST_ASSERT_EQ(2, hits);
	GUEST_ASSERT_EQ(LOW, last);

	/* In service, the higher one holds the lower one back. */
	eoi_at_once = false;
	x2apic_write(APIC_TPR, 0);
	GUEST_ASSERT_EQ(0, read_cr8());
	x2apic_write(APIC_ICR, 1 << 18 | HIGH);
	asm volatile("nop");
	GUEST_ASSERT_EQ(3, hits);
	GUEST_ASSERT_EQ(0x90, x2apic_read(APIC_PPR));
	x2apic_write(APIC_ICR, 1 << 18 | LOW);
	asm volatile("nop");
	GUEST_ASSERT_EQ(3, hits);
	GUEST_ASSERT(in_bank(APIC_ISR, HIGH));
	GUEST_ASSERT(in_bank(APIC_IRR, LOW));
	x2apic_write(APIC_EOI, 0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(4, hits);
	GUEST_ASSERT_EQ(LOW, last);
	x2apic_write(APIC_EOI, 0);
	GUEST_ASSERT_EQ(0, x2apic_read(APIC_PPR));

	/* With interrupts off, two of one vector are one. */
	cli();
	x2apic_write(APIC_SELF_IPI, LOW);
	x2apic_write(APIC_SELF_IPI, LOW);
	sti_hlt();
	cli();
	GUEST_ASSERT_EQ(5, hits);
	x2apic_write(APIC_EOI, 0);
	sti_nop_cli();
	GUEST_ASSERT_EQ(5, hits);
}

TEST(priorities)
{
	TPR_IS_WHOLE();
	vcpu_run_done(vcpu_create(vm_create(VM_IRQCHIP), 0, guest_priorities, 0));
}

/* ---- registers ---- */

static volatile bool page_answers;

static __guest void guest_registers(u64 id)
{
	u64 v;

	init();
	GUEST_ASSERT_EQ(id, x2apic_read(APIC_ID));
	GUEST_ASSERT_EQ(0x14, x2apic_read(APIC_LVR) & 0xff);
	GUEST_ASSERT_EQ(0x1ff, x2apic_read(APIC_SPIV));
	x2apic_write(APIC_ICR, 0x700000000 | HIGH);
	GUEST_ASSERT_EQ(0x700000000 | HIGH, x2apic_read(APIC_ICR));
	x2apic_write(APIC_LVTT, 1 << 16 | HIGH);
	GUEST_ASSERT_EQ(1 << 16 | HIGH, x2apic_read(APIC_LVTT));
	/* The count counts. */
	x2apic_write(APIC_TDCR, 0xb);
	x2apic_write(APIC_TMICT, ~0u);
	v = x2apic_read(APIC_TMCCT);
	while (x2apic_read(APIC_TMCCT) == v)
		;
	GUEST_ASSERT(x2apic_read(APIC_TMCCT) < v);
	x2apic_write(APIC_TMICT, 0);
	/*
	 * What is not there; ID and PPR can't be written. (Of registers that can't be read,
	 * like EOI, KVM of 6.1 lets hardware answer what is in the page.)
	 */
	if (!page_answers)
		GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(0x8ff, &v));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(0x802, 0));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(0x80a, 0));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(0x808, 1ull << 32));
	/* Out of x2APIC mode, they are all gone. */
	wrmsr(0x1b, rdmsr(0x1b) & ~(u64)(1 << 11 | 1 << 10));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(0x802, &v));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(0x80b, 0));
	wrmsr(0x1b, rdmsr(0x1b) | 1 << 11);
	GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(0x808, &v));
	GUEST_ASSERT_EQ(id << 24, xapic_read(APIC_ID));
}

TEST(registers)
{
	struct vm *vm = vm_create(VM_IRQCHIP);

	guest_var(vm, page_answers) = device_is_stock();
	do_ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 5);
	vcpu_run_done(vcpu_create(vm, 5, guest_registers, 5));
}

/* ---- EOIs for an IOAPIC ---- */

static __guest bool remote_irr(void)
{
	return ioapic_read(0x10 + 2 * 20) & 1 << 14;
}

static __guest void guest_ioapic(void)
{
	init();
	ioapic_route(20, HIGH | LEVEL);
	sti();
	/* The EOI of a level that is still up brings the next. */
	GUEST_SYNC(1);		/* up */
	GUEST_ASSERT_EQ(1, hits);
	GUEST_ASSERT(remote_irr());
	GUEST_ASSERT(in_bank(APIC_TMR, HIGH));
	x2apic_write(APIC_EOI, 0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(2, hits);
	GUEST_SYNC(2);		/* down */
	x2apic_write(APIC_EOI, 0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(2, hits);
	GUEST_ASSERT(!remote_irr());
	/* The same vector as an edge. */
	eoi_at_once = true;
	ioapic_route(20, HIGH);
	GUEST_SYNC(3);		/* up */
	GUEST_ASSERT_EQ(3, hits);
	GUEST_ASSERT(!in_bank(APIC_TMR, HIGH));
	GUEST_SYNC(4);		/* down, up */
	GUEST_ASSERT_EQ(4, hits);
}

TEST(ioapic)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_ioapic, 0);

	vcpu_run_sync(vcpu, 1);
	vm_irq_line(vm, 20, 1);
	vcpu_run_sync(vcpu, 2);
	vm_irq_line(vm, 20, 0);
	vcpu_run_sync(vcpu, 3);
	vm_irq_line(vm, 20, 1);
	vcpu_run_sync(vcpu, 4);
	vm_irq_line(vm, 20, 0);
	vm_irq_line(vm, 20, 1);
	vcpu_run_done(vcpu);
}

static __guest void guest_split(void)
{
	init();
	eoi_at_once = true;
	sti();
	GUEST_SYNC(1);		/* a level: its EOI exits */
	GUEST_ASSERT_EQ(1, hits);
	GUEST_SYNC(2);		/* an edge of another vector: not */
	GUEST_ASSERT_EQ(2, hits);
	GUEST_ASSERT_EQ(LOW, last);
	GUEST_SYNC(3);		/* the level again */
	GUEST_ASSERT_EQ(3, hits);
}

/* KVM itself goes by the routes, so there is one. */
TEST(split_irqchip)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu;
	int i;

	if (check_extension(KVM_CAP_SPLIT_IRQCHIP) <= 0)
		SKIP(return, "no KVM_CAP_SPLIT_IRQCHIP");
	do_ioctl(vm->fd, KVM_ENABLE_CAP, &split);
	vm_route_msi(vm, 3, HIGH | LEVEL | 1 << 14);
	vcpu = vcpu_create(vm, 0, guest_split, 0);
	vcpu_run_sync(vcpu, 1);
	for (i = 0; i < 2; i++) {
		vm_irq_line(vm, 3, 1);
		vcpu_run_exit(vcpu, KVM_EXIT_IOAPIC_EOI);
		EXPECT_EQ(HIGH, vcpu->run->eoi.vector);
		if (i)
			break;
		vcpu_run_sync(vcpu, 2);
		vm_signal_msi(vm, LOW);
		vcpu_run_sync(vcpu, 3);
	}
	vcpu_run_done(vcpu);
}

/* ---- user space moves it ---- */

static __guest void guest_moved(void)
{
	init();
	x2apic_write(APIC_TPR, 0x35);
	sti();
	x2apic_write(APIC_SELF_IPI, HIGH);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, hits);
	x2apic_write(APIC_SELF_IPI, LOW);
	GUEST_SYNC(1);
	/* One in service, one pending, and of user space's a third. */
	GUEST_ASSERT_EQ(1, hits);
	GUEST_ASSERT(in_bank(APIC_ISR, HIGH));
	GUEST_ASSERT(in_bank(APIC_IRR, LOW));
	GUEST_ASSERT_EQ(0x35, x2apic_read(APIC_TPR));
	GUEST_ASSERT_EQ(0x90, x2apic_read(APIC_PPR));
	x2apic_write(APIC_EOI, 0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(2, hits);
	GUEST_ASSERT_EQ(LOW, last);
	x2apic_write(APIC_EOI, 0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(2, hits);
	GUEST_ASSERT_EQ(0x35, x2apic_read(APIC_PPR));
}

static bool image_bit(const struct kvm_lapic_state *s, u32 bank, u32 vector)
{
	return *(u32 *)(s->regs + bank + (vector >> 5) * 16) & 1u << (vector & 31);
}

TEST(moved)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_moved, 0);
	struct kvm_lapic_state lapic, empty = { 0 };
	struct kvm_sregs sregs;

	TPR_IS_WHOLE();
	vcpu_run_sync(vcpu, 1);
	sregs = vcpu_sregs(vcpu);
	do_ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic);
	EXPECT_TRUE(image_bit(&lapic, APIC_ISR, HIGH));
	EXPECT_TRUE(image_bit(&lapic, APIC_IRR, LOW));
	EXPECT_EQ(0x35, *(u8 *)(lapic.regs + APIC_TPR));
	EXPECT_EQ(0x90, *(u8 *)(lapic.regs + APIC_PPR));
	EXPECT_EQ(3, sregs.cr8);
	/* Another's state in between: what was there is gone, then it is all back. */
	*(u32 *)(empty.regs + APIC_SPIV) = 0xff;
	do_ioctl(vcpu->fd, KVM_SET_LAPIC, &empty);
	sregs.apic_base &= ~(u64)(1 << 10);
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &sregs);
	sregs.apic_base |= 1 << 10;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &sregs);
	do_ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic);
	vcpu_run_done(vcpu);
}

/* ---- the guest changes the mode, with one in service and one pending ---- */

static __guest void guest_modes(void)
{
	xapic_enable();
	guest_handlers[LOW] = guest_handlers[HIGH] = hit;
	sti();
	xapic_write(APIC_ICR, 1 << 18 | HIGH);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, hits);
	xapic_write(APIC_ICR, 1 << 18 | LOW);
	wrmsr(0x1b, rdmsr(0x1b) | 1 << 10);
	GUEST_ASSERT(in_bank(APIC_ISR, HIGH));
	GUEST_ASSERT(in_bank(APIC_IRR, LOW));
	GUEST_ASSERT_EQ(1, hits);
	x2apic_write(APIC_EOI, 0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(2, hits);
	x2apic_write(APIC_EOI, 0);
	GUEST_ASSERT_EQ(0, x2apic_read(APIC_PPR));
	/* And out of it: it works in xAPIC mode as ever. */
	wrmsr(0x1b, rdmsr(0x1b) & ~(u64)(1 << 11 | 1 << 10));
	wrmsr(0x1b, rdmsr(0x1b) | 1 << 11);
	xapic_enable();
	xapic_write(APIC_ICR, 1 << 18 | LOW);
	asm volatile("nop");
	GUEST_ASSERT_EQ(3, hits);
	xapic_write(APIC_EOI, 0);
	GUEST_ASSERT_EQ(0, xapic_read(APIC_PPR));
}

TEST(modes)
{
	vcpu_run_done(vcpu_create(vm_create(VM_IRQCHIP), 0, guest_modes, 0));
}

/* ---- a debugger holds interrupts back, and lets them go ---- */

static __guest void guest_debugged(void)
{
	init();
	eoi_at_once = true;
	sti();
	GUEST_SYNC(1);		/* from here, they are held */
	x2apic_write(APIC_SELF_IPI, LOW);
	asm volatile("nop");
	GUEST_ASSERT_EQ(0, hits);
	GUEST_SYNC(2);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, hits);
}

TEST(debugger_blocks)
{
	struct kvm_guest_debug debug = { KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ };
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_debugged, 0);

	vcpu_run_sync(vcpu, 1);
	do_ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug);
	vcpu_run_sync(vcpu, 2);
	debug.control = 0;
	do_ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug);
	vcpu_run_done(vcpu);
}

/* ---- delivery that has to wait for a page ---- */

static __guest void guest_delivery(void)
{
	int i;

	init();
	eoi_at_once = true;
	sti();
	for (i = 0; i < 3; i++) {
		GUEST_SYNC(1);
		x2apic_write(APIC_SELF_IPI, LOW);
		asm volatile("nop");
		GUEST_ASSERT_EQ(i + 1, hits);
		GUEST_ASSERT(!in_bank(APIC_ISR, LOW));
	}
}

TEST(delivery_through_unmapped_pages)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_delivery, 0);
	int i;

	for (i = 0; i < DELIVERY_PAGES; i++) {
		vcpu_run_sync(vcpu, 1);
		vm_drop_page(vm, delivery_pages[i]);
	}
	vcpu_run_done(vcpu);
}

TEST_HARNESS_MAIN
