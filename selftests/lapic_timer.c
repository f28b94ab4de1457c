// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC's timer: one-shot, periodic and TSC-deadline, through xAPIC
 * memory and x2APIC MSRs, masked and unmasked, across modes, and while the vCPU
 * sleeps in HLT or user space has it.
 */
#include "lib/test.h"

#define VECTOR		0xec
#define MSR_TSC		0x10
#define MSR_TSC_ADJUST	0x3b
#define MSR_TSC_DEADLINE 0x6e0

#define ONE_SHOT	0
#define PERIODIC	(1u << 17)
#define DEADLINE	(2u << 17)
#define MASKED		(1u << 16)

#define APIC_LVTT	0x320
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390
#define APIC_TDCR	0x3e0
#define APIC_EOI	0xb0
#define APIC_IRR	0x200

#define SHORT		100000		/* ticks of 1 ns, divided by 1 */
#define LONG		2000000000u	/* not to be reached */

static volatile u64 ticks;
static bool x2apic;

static u32 rd(u32 reg)
{
	return x2apic ? x2apic_read(reg) : xapic_read(reg);
}

static void wr(u32 reg, u32 v)
{
	if (x2apic)
		x2apic_write(reg, v);
	else
		xapic_write(reg, v);
}

static __guest void tick(struct trap_frame *f)
{
	ticks++;
	wr(APIC_EOI, 0);
}

static __guest void init(void)
{
	guest_handlers[VECTOR] = tick;
	if (x2apic)
		x2apic_enable();
	else
		xapic_enable();
	wr(APIC_TDCR, 0xb);	/* divide by 1 */
	sti();
}

FIXTURE(timer) {
	struct vm *vm;
};

FIXTURE_VARIANT(timer) {
	bool x2apic;
};

FIXTURE_VARIANT_ADD(timer, xapic) {
	.x2apic = false,
};

FIXTURE_VARIANT_ADD(timer, x2apic) {
	.x2apic = true,
};

FIXTURE_SETUP(timer)
{
	self->vm = vm_create(VM_IRQCHIP);
	guest_var(self->vm, x2apic) = variant->x2apic;
}

FIXTURE_TEARDOWN(timer)
{
	vm_free(self->vm);
}

/* ---- one-shot ---- */

static __guest void guest_one_shot(void)
{
	u32 left;

	init();
	wr(APIC_LVTT, VECTOR | ONE_SHOT);
	GUEST_ASSERT_EQ(0, rd(APIC_TMCCT));
	wr(APIC_TMICT, SHORT);
	while (!ticks)
		;
	GUEST_ASSERT_EQ(0, rd(APIC_TMCCT));
	GUEST_ASSERT_EQ(SHORT, rd(APIC_TMICT));

	/* It counts down; a write of 0 stops it. */
	wr(APIC_TMICT, LONG);
	left = rd(APIC_TMCCT);
	GUEST_ASSERT(left > 0 && left <= LONG);
	while (rd(APIC_TMCCT) == left)
		;
	GUEST_ASSERT(rd(APIC_TMCCT) < left);
	wr(APIC_TMICT, 0);
	GUEST_ASSERT_EQ(0, rd(APIC_TMCCT));

	/* In HLT, and once only. */
	cli();
	wr(APIC_TMICT, SHORT);
	sti_hlt();
	GUEST_ASSERT_EQ(2, ticks);

	/* A second start moves the first. */
	wr(APIC_TMICT, LONG);
	wr(APIC_TMICT, SHORT);
	while (ticks < 3)
		;
	/* Run down, it is not started by a change of mode. */
	wr(APIC_LVTT, VECTOR | PERIODIC);
	GUEST_ASSERT_EQ(0, rd(APIC_TMCCT));
	GUEST_ASSERT_EQ(SHORT, rd(APIC_TMICT));
	wr(APIC_LVTT, VECTOR | ONE_SHOT);
	/* The divisor counts: 128 times slower. Changed only while the timer is off. */
	wr(APIC_TMICT, 0);
	wr(APIC_TDCR, 0xa);
	wr(APIC_TMICT, LONG);
	left = rd(APIC_TMCCT);
	GUEST_ASSERT(left > LONG - LONG / 100);
	wr(APIC_TMICT, 0);
	GUEST_ASSERT_EQ(3, ticks);
}

TEST_F(timer, one_shot)
{
	vcpu_run_done(vcpu_create(self->vm, 0, guest_one_shot, 0));
}

/* ---- periodic ---- */

static __guest void guest_periodic(void)
{
	u64 seen;

	init();
	wr(APIC_LVTT, VECTOR | PERIODIC);
	wr(APIC_TMICT, 10 * SHORT);
	while (ticks < 10)
		sti_hlt();
	GUEST_ASSERT(rd(APIC_TMCCT) <= 10 * SHORT);
	wr(APIC_TMICT, 0);
	cli();
	seen = ticks;
	GUEST_SYNC(1);			/* time passes; it is off */
	sti_nop_cli();
	/* One may have been on its way when it was stopped. */
	GUEST_ASSERT(ticks <= seen + 1);
}

TEST_F(timer, periodic)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_periodic, 0);

	vcpu_run_sync(vcpu, 1);
	usleep(20000);
	vcpu_run_done(vcpu);
}

/*
 * A host without high resolution looks at its timers every few milliseconds. What the count
 * says is none of its business, whenever between two of its looks the timer was started.
 */
#define STARTS		8
#define READS		400

static __guest void spin(u64 cycles)
{
	u64 start = rdtsc();

	while (rdtsc() - start < cycles)
		cpu_pause();
}

static __guest void start_and_wait(u32 mode, u32 count)
{
	u64 seen = ticks;

	wr(APIC_LVTT, VECTOR | mode);
	wr(APIC_TMICT, count);
	while (ticks == seen)
		cpu_pause();
}

static __guest void guest_counts(u64 khz)
{
	u32 i, n, left, high;
	u64 start;

	init();
	for (i = 0; i < STARTS; i++) {
		start_and_wait(ONE_SHOT, SHORT);
		spin(i * khz / 2);
		start_and_wait(PERIODIC, 10 * SHORT);
		start = rdtsc();
		for (n = high = 0; n < READS || rdtsc() - start < 10 * khz; n++) {
			left = rd(APIC_TMCCT);
			GUEST_ASSERT(left <= 10 * SHORT);
			high += left > 8 * SHORT;
		}
		/* It is there for a fifth of the time. */
		GUEST_CHECK(high < n / 2, "the count stands still", high, n);
	}
}

TEST_F(timer, counts_whenever_the_host_looks)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, NULL, 0);

	vcpu_start64(vcpu, guest_counts, do_ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0));
	vcpu_run_done(vcpu);
}

/* ---- TSC deadline ---- */

static __guest void guest_deadline(u64 khz)
{
	u64 when;

	init();
	wr(APIC_LVTT, VECTOR | DEADLINE);
	asm volatile("mfence" : : : "memory");
	GUEST_ASSERT_EQ(0, rdmsr(MSR_TSC_DEADLINE));

	/* The initial count means nothing in this mode. */
	wr(APIC_TMICT, SHORT);
	GUEST_ASSERT_EQ(0, rd(APIC_TMCCT));

	when = rdtsc() + khz;
	wrmsr(MSR_TSC_DEADLINE, when);
	while (!ticks)
		;
	GUEST_ASSERT(rdtsc() >= when);
	GUEST_ASSERT_EQ(0, rdmsr(MSR_TSC_DEADLINE));

	/* One that has passed fires at once. */
	wrmsr(MSR_TSC_DEADLINE, 1);
	while (ticks < 2)
		;
	/* Disarmed by 0. */
	when = rdtsc() + (khz << 20);
	wrmsr(MSR_TSC_DEADLINE, when);
	GUEST_ASSERT_EQ(when, rdmsr(MSR_TSC_DEADLINE));
	wrmsr(MSR_TSC_DEADLINE, 0);
	GUEST_ASSERT_EQ(0, rdmsr(MSR_TSC_DEADLINE));

	/* In HLT. */
	cli();
	when = rdtsc() + 5 * khz;
	wrmsr(MSR_TSC_DEADLINE, when);
	sti_hlt();
	GUEST_ASSERT_EQ(3, ticks);
	GUEST_ASSERT(rdtsc() >= when);

	/* Leaving the mode disarms it, and outside the mode the MSR is deaf. */
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + (khz << 20));
	wr(APIC_LVTT, VECTOR | ONE_SHOT);
	GUEST_ASSERT_EQ(0, rdmsr(MSR_TSC_DEADLINE));
	wrmsr(MSR_TSC_DEADLINE, 1);
	GUEST_ASSERT_EQ(0, rdmsr(MSR_TSC_DEADLINE));
	GUEST_ASSERT_EQ(3, ticks);
}

/* KVM offers the feature when its APIC has it: by capability, not in the list. */
static struct vcpu *deadline_vcpu(struct vm *vm, void *entry)
{
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_cpuid2 *c = supported_cpuid();

	if (check_extension(KVM_CAP_TSC_DEADLINE_TIMER) != 1)
		die("no KVM_CAP_TSC_DEADLINE_TIMER");
	cpuid_find(c, 1, 0)->ecx |= 1u << 24;
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	vcpu_start64(vcpu, entry, do_ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0));
	return vcpu;
}

TEST_F(timer, tsc_deadline)
{
	vcpu_run_done(deadline_vcpu(self->vm, guest_deadline));
}

/*
 * The TSC moves under a deadline that waits. Stock KVM's timer keeps the time that it was
 * armed for; SDM vol. 3, 11.5.4.1 has it fire when the TSC reaches the deadline.
 */
#define HOUR(khz)	((khz) * 3600000)

static __guest void wait_tick(u64 n)
{
	u32 i;

	/* Not for ever: at least 25 ms. */
	for (i = 0; ticks < n && i < 5000000; i++)
		cpu_pause();
	GUEST_ASSERT_EQ(n, ticks);
	GUEST_ASSERT_EQ(0, rdmsr(MSR_TSC_DEADLINE));
}

static __guest void guest_moves_tsc(u64 khz)
{
	u64 when;

	init();
	wr(APIC_LVTT, VECTOR | DEADLINE);
	asm volatile("mfence" : : : "memory");

	/* Onto the deadline, and up to just before it, by either MSR. */
	when = rdtsc() + HOUR(khz);
	wrmsr(MSR_TSC_DEADLINE, when);
	wrmsr(MSR_TSC, when);
	wait_tick(1);
	when = rdtsc() + HOUR(khz);
	wrmsr(MSR_TSC_DEADLINE, when);
	wrmsr(MSR_TSC_ADJUST, rdmsr(MSR_TSC_ADJUST) + HOUR(khz) - 5 * khz);
	wait_tick(2);
	GUEST_ASSERT(rdtsc() >= when);

	/* Away from it: nothing comes for now; and back, in HLT. */
	cli();
	when = rdtsc() + 10 * khz;
	wrmsr(MSR_TSC_DEADLINE, when);
	wrmsr(MSR_TSC, rdtsc() - HOUR(khz));
	GUEST_SYNC(1);			/* 50 ms */
	sti_nop_cli();
	GUEST_ASSERT_EQ(2, ticks);
	GUEST_ASSERT_EQ(when, rdmsr(MSR_TSC_DEADLINE));
	wrmsr(MSR_TSC, when - khz);
	sti_hlt();
	wait_tick(3);

	/* User space moves it, by the MSR and by the offset. */
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + HOUR(khz));
	GUEST_SYNC(2);
	wait_tick(4);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + HOUR(khz));
	GUEST_SYNC(3);
	wait_tick(5);
}

static u64 *tsc_offset(struct vcpu *vcpu, unsigned long op, u64 *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (unsigned long)offset,
	};

	do_ioctl(vcpu->fd, op, &attr);
	return offset;
}

#define DEADLINE_STAYS "leaves the timer as it was when the guest's TSC changes"

TEST_F(timer, deadline_of_a_tsc_that_moves)
{
	struct vcpu *vcpu = deadline_vcpu(self->vm, guest_moves_tsc);
	u64 hour = HOUR((u64)do_ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0)), offset;

	SKIP_ON_STOCK(DEADLINE_STAYS);
	vcpu_run_sync(vcpu, 1);
	usleep(50000);
	vcpu_run_sync(vcpu, 2);
	ASSERT_EQ(1, vcpu_set_msr(vcpu, MSR_TSC, vcpu_get_msr(vcpu, MSR_TSC) + hour));
	vcpu_run_sync(vcpu, 3);
	*tsc_offset(vcpu, KVM_GET_DEVICE_ATTR, &offset) += hour;
	tsc_offset(vcpu, KVM_SET_DEVICE_ATTR, &offset);
	vcpu_run_done(vcpu);
}

static u64 host_tsc;

static __guest void guest_waits_long(void)
{
	init();
	wr(APIC_LVTT, VECTOR | DEADLINE);
	asm volatile("mfence" : : : "memory");
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + host_tsc);
	GUEST_SYNC(1);
	wait_tick(1);
}

/* Twice as fast, a TSC has counted as much again as the host's has by then. */
TEST_F(timer, deadline_of_a_tsc_that_is_faster)
{
	struct vcpu *vcpu = deadline_vcpu(self->vm, guest_waits_long);

	SKIP_ON_STOCK(DEADLINE_STAYS);
	if (!check_extension(KVM_CAP_TSC_CONTROL))
		SKIP(return, "the host's TSC can't be scaled");
	guest_var(self->vm, host_tsc) = rdtsc();
	vcpu_run_sync(vcpu, 1);
	do_ioctl(vcpu->fd, KVM_SET_TSC_KHZ, 2 * do_ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0));
	vcpu_run_done(vcpu);
}

/* ---- masks and modes ---- */

static __guest void guest_masked(void)
{
	init();
	wr(APIC_LVTT, VECTOR | MASKED);
	wr(APIC_TMICT, SHORT);
	while (rd(APIC_TMCCT))
		;
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(0, ticks);
	/* Stock KVM delivers it late, on unmasking; a CPU does not. No claim here. */
	wr(APIC_LVTT, VECTOR);
	GUEST_SYNC(2);
	ticks = 0;
	/* Held back by TPR, pending in IRR, taken when TPR falls. */
	wr(0x80, 0xe0);
	wr(APIC_TMICT, SHORT);
	while (!(rd(APIC_IRR + (VECTOR >> 5) * 16) & 1u << (VECTOR & 31)))
		;
	GUEST_ASSERT_EQ(0, ticks);
	wr(0x80, 0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, ticks);
}

TEST_F(timer, masked)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_masked, 0);

	vcpu_run_sync(vcpu, 1);
	usleep(5000);	/* the count reads 0 when it is time, a host timer is not that exact */
	vcpu_run_sync(vcpu, 2);
	vcpu_run_done(vcpu);
}

/* It fires while user space has the vCPU, and is pending at the next KVM_RUN. */
static __guest void guest_outside(void)
{
	init();
	cli();
	wr(APIC_LVTT, VECTOR);
	wr(APIC_TMICT, 10 * SHORT);
	GUEST_SYNC(1);
	sti_nop_cli();
	GUEST_ASSERT_EQ(1, ticks);
}

TEST_F(timer, fires_outside_the_guest)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_outside, 0);

	vcpu_run_sync(vcpu, 1);
	usleep(20000);
	vcpu_run_done(vcpu);
}

/* A timer that is far from done when user space saves and restores it. */
static __guest void guest_save(void)
{
	init();
	cli();
	wr(APIC_LVTT, VECTOR | PERIODIC);
	wr(APIC_TMICT, LONG);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(VECTOR | PERIODIC, rd(APIC_LVTT));
	GUEST_ASSERT_EQ(LONG, rd(APIC_TMICT));
	GUEST_ASSERT(rd(APIC_TMCCT) > 0);
	wr(APIC_TMICT, SHORT);
	sti_hlt();
	GUEST_ASSERT(ticks >= 1);	/* periodic: more than one, if entering took long */
}

/* KVM_GET_LAPIC and KVM_SET_LAPIC keep a running timer. */
TEST_F(timer, saved_and_restored)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_save, 0);
	struct kvm_lapic_state lapic;

	vcpu_run_sync(vcpu, 1);
	do_ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic);
	EXPECT_EQ(LONG, *(u32 *)(lapic.regs + APIC_TMICT));
	EXPECT_EQ(VECTOR | PERIODIC, *(u32 *)(lapic.regs + APIC_LVTT));
	EXPECT_GT(*(u32 *)(lapic.regs + APIC_TMCCT), 0);
	do_ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic);
	vcpu_run_done(vcpu);
}

TEST_HARNESS_MAIN
