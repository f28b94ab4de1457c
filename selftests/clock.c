// SPDX-License-Identifier: GPL-2.0
/*
 * Clocks of the guest: KVM_GET_CLOCK and KVM_SET_CLOCK, the kvmclock page and
 * what a guest computes from it, the wall clock, the TSC's frequency.
 */
#include <time.h>

#include "lib/test.h"

#define MSR_WALL_CLOCK	0x4b564d00
#define MSR_SYSTEM_TIME	0x4b564d01
#define CLOCK_PAGE	(GUEST_FREE + 0x100)
#define WALL_PAGE	(GUEST_FREE + 0x200)

struct wall_clock {
	u32 version, sec, nsec;
};

static u64 clock_of(struct vm *vm)
{
	struct kvm_clock_data data = { 0 };

	do_ioctl(vm->fd, KVM_GET_CLOCK, &data);
	return data.clock;
}

/* ---- user space's side ---- */

TEST(get_and_set)
{
	struct vm *vm = vm_create(VM_BARE);
	struct kvm_clock_data data = { .clock = 1ull << 50 };
	u64 a, b;

	a = clock_of(vm);
	usleep(20000);
	b = clock_of(vm);
	EXPECT_GE(b - a, 19000000);
	EXPECT_LT(b - a, 20000000000);
	do_ioctl(vm->fd, KVM_SET_CLOCK, &data);
	a = clock_of(vm);
	EXPECT_GE(a, 1ull << 50);
	EXPECT_LT(a, (1ull << 50) + 20000000000);
	/* And back, in time as well. */
	data.clock = 5;
	do_ioctl(vm->fd, KVM_SET_CLOCK, &data);
	EXPECT_LT(clock_of(vm), 20000000000);
}

/* What else is told with it: the TSC and the time of day at that moment. */
TEST(host_pair)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_clock_data data = { 0 };
	u64 before = rdtsc(), after;
	struct timespec now;

	do_ioctl(vm->fd, KVM_GET_CLOCK, &data);
	after = rdtsc();
	clock_gettime(CLOCK_REALTIME, &now);
	vcpu_free(vcpu);
	if (!(data.flags & KVM_CLOCK_HOST_TSC))
		SKIP(return, "this host's clock is not its TSC");
	EXPECT_GE(data.host_tsc, before);
	EXPECT_LE(data.host_tsc, after);
	EXPECT_LE(data.realtime, now.tv_sec * 1000000000ull + now.tv_nsec);
	EXPECT_GE(data.realtime + 10000000000, now.tv_sec * 1000000000ull);
}

TEST(tsc_khz)
{
	struct vm *vm = vm_create(VM_BARE);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	int khz = do_ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);

	EXPECT_GT(khz, 10000);
	/* Its own frequency, or 0 for the host's, can always be set. */
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_SET_TSC_KHZ, khz));
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_SET_TSC_KHZ, 0));
	EXPECT_EQ(khz, ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0));
	if (!check_extension(KVM_CAP_TSC_CONTROL))
		return;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_TSC_KHZ, (void *)0xfffffffful));
	EXPECT_EQ(khz, ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0));
}

/* ---- the guest's side ---- */

static __guest void guest_clock(void)
{
	volatile struct time_info *t = (void *)CLOCK_PAGE;
	u64 last, now;
	int i;

	wrmsr(MSR_SYSTEM_TIME, CLOCK_PAGE | 1);
	GUEST_ASSERT_EQ(CLOCK_PAGE | 1, rdmsr(MSR_SYSTEM_TIME));
	GUEST_ASSERT(t->version != 0);
	GUEST_ASSERT_EQ(0, t->version & 1);
	GUEST_ASSERT(t->tsc_to_system_mul != 0);
	last = page_time(t);
	for (i = 0; i < 2000; i++) {
		if (i % 100 == 0)
			cpuid(0, 0);
		now = page_time(t);
		GUEST_ASSERT(now >= last);
		last = now;
	}
	for (;;)
		GUEST_VALUE(page_time(t));
}

TEST(kvmclock)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_clock, 0);
	struct kvm_clock_data data = { .clock = 1ull << 40 };
	u64 before, guest, after;
	int i;

	for (i = 0; i < 5; i++) {
		before = clock_of(vm);
		guest = vcpu_run_value(vcpu);
		after = clock_of(vm);
		/* Two ways to one clock; a millisecond for the rounding of its updates. */
		EXPECT_GE(guest, before - 1000000);
		EXPECT_LE(guest, after + 1000000);
		usleep(5000);
	}
	/* The guest follows when user space sets it. */
	do_ioctl(vm->fd, KVM_SET_CLOCK, &data);
	guest = vcpu_run_value(vcpu);
	EXPECT_GE(guest, 1ull << 40);
	EXPECT_LE(guest, clock_of(vm) + 1000000);
}

/* Told that it was stopped (KVM_KVMCLOCK_CTRL), the guest finds the flag, once. */
TEST(paused)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_clock, 0);
	volatile struct time_info *t = guest_ptr(vm, CLOCK_PAGE);
	struct kvm_clock_data data = { 0 };

	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_KVMCLOCK_CTRL, 0));
	vcpu_run_value(vcpu);
	EXPECT_EQ(0, t->flags & 2);
	do_ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
	vcpu_run_value(vcpu);
	EXPECT_EQ(2, t->flags & 2);
	/* It is the guest that clears it; the next update does not bring it back. */
	t->flags &= ~2;
	do_ioctl(vm->fd, KVM_SET_CLOCK, &data);
	vcpu_run_value(vcpu);
	EXPECT_EQ(0, t->flags & 2);
}

/* Switched off, the page is left alone. */
static __guest void guest_off(void)
{
	volatile struct time_info *t = (void *)CLOCK_PAGE;
	u32 version;

	wrmsr(MSR_SYSTEM_TIME, CLOCK_PAGE | 1);
	GUEST_ASSERT(t->version != 0);
	wrmsr(MSR_SYSTEM_TIME, 0);
	version = t->version;
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(version, t->version);
	/* A page that is not there: nothing happens, and the guest goes on. */
	wrmsr(MSR_SYSTEM_TIME, 0xd0000001);
	cpuid(0, 0);
	wrmsr(MSR_SYSTEM_TIME, 0);
}

TEST(off_and_nowhere)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_off, 0);
	struct kvm_clock_data data = { .clock = 1ull << 40 };

	vcpu_run_sync(vcpu, 1);
	do_ioctl(vm->fd, KVM_SET_CLOCK, &data);
	vcpu_run_done(vcpu);
}

/* Wall clock plus system time is the time of day. */
static __guest void guest_wall(void)
{
	volatile struct wall_clock *w = (void *)WALL_PAGE;
	volatile struct time_info *t = (void *)CLOCK_PAGE;

	wrmsr(MSR_SYSTEM_TIME, CLOCK_PAGE | 1);
	wrmsr(MSR_WALL_CLOCK, WALL_PAGE);
	GUEST_ASSERT_EQ(0, w->version & 1);
	GUEST_VALUE(w->sec * 1000000000ull + w->nsec + page_time(t));
}

TEST(wall_clock)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_wall, 0);
	struct timespec a, b;
	u64 guest;

	clock_gettime(CLOCK_REALTIME, &a);
	guest = vcpu_run_value(vcpu);
	clock_gettime(CLOCK_REALTIME, &b);
	EXPECT_GE(guest + 50000000, a.tv_sec * 1000000000ull + a.tv_nsec);
	EXPECT_LE(guest, b.tv_sec * 1000000000ull + b.tv_nsec + 50000000);
}

/* The TSC runs as fast as KVM_GET_TSC_KHZ says. */
static __guest void guest_tsc(void)
{
	for (;;)
		GUEST_VALUE(rdtsc());
}

static u64 monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* The TSC as the guest reads it, at some time between the two. */
static u64 tsc_between(struct vcpu *vcpu, u64 *before, u64 *after)
{
	u64 tsc;

	*before = monotonic_ns();
	tsc = vcpu_run_value(vcpu);
	*after = monotonic_ns();
	return tsc;
}

TEST(tsc_rate)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_tsc, 0);
	u64 khz = do_ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0), from[2], to[2], ns;

	vcpu_run_value(vcpu);
	ns = tsc_between(vcpu, &from[0], &from[1]);
	usleep(100000);
	ns = (tsc_between(vcpu, &to[0], &to[1]) - ns) * 1000000 / khz;
	EXPECT_GE(ns, (to[0] - from[1]) * 9 / 10);
	EXPECT_LE(ns, (to[1] - from[0]) * 11 / 10);
}

TEST_HARNESS_MAIN
