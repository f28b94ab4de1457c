// SPDX-License-Identifier: GPL-2.0
/*
 * The PIT: its interrupt through PIC and IOAPIC in modes 0, 2 and 3, reading the
 * count and status back, the speaker port's gate and output, save and restore.
 */
#include "lib/test.h"

#define CH0		0x40
#define CH2		0x42
#define CONTROL		0x43
#define SPEAKER		0x61
#define PIC1		0x20
#define VECTOR		0x50	/* PIC base: IRQ 0 */
#define IOAPIC_VECTOR	0x71
#define HZ_1000		1193

static volatile u64 ticks;

static __guest void pic_tick(struct trap_frame *f)
{
	ticks++;
	outb(0x20, PIC1);
}

static __guest void apic_tick(struct trap_frame *f)
{
	ticks++;
	xapic_write(0xb0, 0);
}

static __guest void pic_init(void)
{
	guest_handlers[VECTOR] = pic_tick;
	outb(0x11, PIC1);
	outb(VECTOR, PIC1 + 1);
	outb(4, PIC1 + 1);
	outb(1, PIC1 + 1);
	outb(0xfe, PIC1 + 1);
	sti();
}

/* KVM's default routing has GSI n on pin n, GSI 0 with it. */
static __guest void ioapic_init(void)
{
	guest_handlers[IOAPIC_VECTOR] = apic_tick;
	xapic_enable();
	outb(0xff, PIC1 + 1);
	outb(0xff, 0xa1);
	ioapic_route(0, IOAPIC_VECTOR);
	sti();
}

static __guest void pit_set(int channel, int mode, u16 count)
{
	outb(channel << 6 | 3 << 4 | mode << 1, CONTROL);
	outb(count & 0xff, CH0 + channel);
	outb(count >> 8, CH0 + channel);
}

static __guest u16 pit_count(int channel)
{
	u16 v;

	outb(channel << 6, CONTROL);		/* latch */
	v = inb(CH0 + channel);
	return v | inb(CH0 + channel) << 8;
}

static __guest void guest_periodic(u64 mode)
{
	u16 a;

	pit_set(0, mode, HZ_1000);
	while (ticks < 10)
		sti_hlt();
	a = pit_count(0);
	GUEST_ASSERT(a <= HZ_1000);
	/* Mode 0 with a long count: silence. */
	pit_set(0, 0, 0xffff);
}

static __guest void guest_pic(u64 mode)
{
	pic_init();
	guest_periodic(mode);
}

static __guest void guest_ioapic(u64 mode)
{
	ioapic_init();
	guest_periodic(mode);
}

static void run(void *guest, u64 mode)
{
	struct vm *vm = vm_create(VM_PIT);

	vcpu_run_done(vcpu_create(vm, 0, guest, mode));
	vm_free(vm);
}

TEST(mode_2_pic) { run(guest_pic, 2); }
TEST(mode_3_pic) { run(guest_pic, 3); }
TEST(mode_2_ioapic) { run(guest_ioapic, 2); }
TEST(mode_3_ioapic) { run(guest_ioapic, 3); }

static long ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static __guest void guest_rate(void)
{
	pic_init();
	pit_set(0, 2, 10 * HZ_1000);
	while (ticks < 20)
		sti_hlt();
}

/* Twenty ticks of 10 ms take about 200 ms: the divisor means what it says. */
TEST(rate)
{
	struct vm *vm = vm_create(VM_PIT);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_rate, 0);
	struct timespec start;
	long ms;

	clock_gettime(CLOCK_MONOTONIC, &start);
	vcpu_run_done(vcpu);
	ms = ms_since(&start);
	EXPECT_GE(ms, 185);
	EXPECT_LE(ms, 2000);	/* a slow host may be late, but not for ever */
}

/* ---- ticks that come while the guest does not take them ---- */

#define MISSED		20
#define PERIOD_MS	10	/* a slow host takes a tick in less, or there is no catching up */

static __guest void guest_misses(void)
{
	pic_init();
	cli();
	pit_set(0, 2, PERIOD_MS * HZ_1000);
	GUEST_SYNC(1);		/* MISSED ticks and more pass */
	for (;;) {
		sti_hlt();
		cli();
		GUEST_VALUE(ticks);
	}
}

/* How many the guest still lacks when it has had enough of them, or all that there were. */
static long missing_after_a_pause(bool reinject)
{
	struct kvm_reinject_control control = { .pit_reinject = reinject };
	struct vm *vm = vm_create(VM_PIT);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_misses, 0);
	struct timespec start;
	long taken, missing;

	do_ioctl(vm->fd, KVM_REINJECT_CONTROL, &control);
	vcpu_run_sync(vcpu, 1);
	clock_gettime(CLOCK_MONOTONIC, &start);
	usleep(MISSED * PERIOD_MS * 1000);
	do {
		taken = vcpu_run_value(vcpu);
		missing = ms_since(&start) / PERIOD_MS - taken;
	} while (missing > 1 && taken < 5 * MISSED);
	vm_free(vm);
	return missing;
}

/* Those that are sent later come faster than others, however fast that is. */
TEST(missed_ticks)
{
	EXPECT_LE(missing_after_a_pause(true), 1);
	EXPECT_GE(missing_after_a_pause(false), MISSED / 2);
}

/* ---- mode 0 ---- */

/* Interrupts are off until HLT: no tick comes before it, however long the host takes. */
static __guest void guest_mode_0(void)
{
	pic_init();
	cli();
	pit_set(0, 0, HZ_1000);
	sti_hlt();
	GUEST_ASSERT_EQ(1, ticks);
	/* Once only. */
	GUEST_SYNC(1);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, ticks);
	/* And again when it is written again. */
	cli();
	pit_set(0, 0, HZ_1000);
	sti_hlt();
	GUEST_ASSERT_EQ(2, ticks);
}

TEST(mode_0)
{
	struct vm *vm = vm_create(VM_PIT);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_mode_0, 0);

	vcpu_run_sync(vcpu, 1);
	usleep(10000);
	vcpu_run_done(vcpu);
}

/* ---- reading back ---- */

static __guest void guest_read_back(void)
{
	u16 a, b;
	u8 status;

	outb(0xff, PIC1 + 1);
	pit_set(0, 2, 0xffff);
	a = pit_count(0);
	do
		b = pit_count(0);
	while (b == a);

	/* Read-back: status, then count, of channel 0. */
	outb(0xc2, CONTROL);
	status = inb(CH0);
	GUEST_ASSERT_EQ(0x34, status & 0x3f);	/* both bytes, mode 2, binary */
	inb(CH0);
	inb(CH0);
	outb(0xe2, CONTROL);			/* status alone */
	GUEST_ASSERT_EQ(0x34, inb(CH0) & 0x3f);

	/* A latch keeps the count still until it was read. */
	outb(0, CONTROL);
	GUEST_SYNC(1);
	a = inb(CH0);
	a |= inb(CH0) << 8;
	b = pit_count(0);
	GUEST_ASSERT(a != b);

	/* One byte only, high or low. */
	outb(0x1 << 4 | 2 << 1, CONTROL);
	outb(0x80, CH0);
	GUEST_ASSERT(inb(CH0) <= 0x80);
}

TEST(read_back)
{
	struct vm *vm = vm_create(VM_PIT);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_read_back, 0);

	vcpu_run_sync(vcpu, 1);
	usleep(3000);
	vcpu_run_done(vcpu);
}

/* ---- channel 2 and port 0x61, as a guest that calibrates its TSC uses them ---- */

static __guest void guest_speaker(void)
{
	u16 count;

	outb(0, SPEAKER);			/* gate off */
	GUEST_ASSERT_EQ(0, inb(SPEAKER) & 3);
	pit_set(2, 0, 10 * HZ_1000);
	GUEST_ASSERT_EQ(0, inb(SPEAKER) & 0x20);	/* output low in mode 0 */

	outb(1, SPEAKER);			/* gate on: it counts */
	GUEST_ASSERT_EQ(1, inb(SPEAKER) & 3);
	pit_set(2, 0, 10 * HZ_1000);
	count = pit_count(2);
	GUEST_ASSERT(count <= 10 * HZ_1000);
	while (!(inb(SPEAKER) & 0x20))
		;
	outb(2, SPEAKER);			/* speaker on, gate off */
	GUEST_ASSERT_EQ(2, inb(SPEAKER) & 3);
}

TEST(speaker_port)
{
	run(guest_speaker, 0);
}

/* ---- KVM_GET_PIT2, KVM_SET_PIT2 ---- */

static __guest void guest_saved(void)
{
	pic_init();
	pit_set(0, 2, HZ_1000);
	while (ticks < 2)
		sti_hlt();
	GUEST_SYNC(1);		/* stopped by user space, which sets mode 2 again */
	ticks = 0;
	while (ticks < 2)
		sti_hlt();
}

TEST(saved_and_restored)
{
	struct vm *vm = vm_create(VM_PIT);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_saved, 0);
	struct kvm_pit_state2 saved, s;

	vcpu_run_sync(vcpu, 1);
	do_ioctl(vm->fd, KVM_GET_PIT2, &saved);
	EXPECT_EQ(HZ_1000, saved.channels[0].count);
	EXPECT_EQ(2, saved.channels[0].mode);
	EXPECT_EQ(3, saved.channels[0].rw_mode);
	EXPECT_EQ(0, saved.channels[0].bcd);
	memset(&s, 0, sizeof(s));
	do_ioctl(vm->fd, KVM_SET_PIT2, &s);
	do_ioctl(vm->fd, KVM_SET_PIT2, &saved);
	vcpu_run_done(vcpu);
}

/* An ioctl whose number does not tell that it has an argument. */
TEST(reinject_control)
{
	struct kvm_reinject_control control = { .pit_reinject = 0 };
	struct vm *vm = vm_create(VM_BARE | VM_IRQCHIP | VM_PIT), *bare = vm_create(VM_BARE);

	EXPECT_EQ(0, ioctl_errno(vm->fd, KVM_REINJECT_CONTROL, &control));
	EXPECT_EQ(EFAULT, ioctl_errno(vm->fd, KVM_REINJECT_CONTROL, NULL));
	EXPECT_EQ(ENXIO, ioctl_errno(bare->fd, KVM_REINJECT_CONTROL, &control));
}

TEST_HARNESS_MAIN
