// SPDX-License-Identifier: GPL-2.0
/*
 * Before it sleeps in HLT a vCPU polls: if its waits are short, as long as the
 * limit allows, and not if guest or user space don't want that.
 */
#include "lib/test.h"

#define VECTOR		0x61
#define MSR_POLL	0x4b564d05

/* Of a count that the host knows in ns: KVM's APIC bus runs at 1 GHz. */
#define SHORT_NS	1000000
#define LONG_NS		30000000
#define LIMIT_NS	10000000
#define ROUNDS		40
#define LONG_ROUNDS	5
#define TRIES		5

static volatile u64 ticks, own_poll;

static __guest void tick(struct trap_frame *f)
{
	ticks++;
	xapic_write(0xb0, 0);
}

static __guest void sleep_ns(u64 ns)
{
	u64 before = ticks;

	cli();
	xapic_write(0x380, ns);
	while (ticks == before)
		sti_hlt(), cli();
}

static __guest void guest_sleeps(void)
{
	int i;

	guest_handlers[VECTOR] = tick;
	xapic_enable();
	xapic_write(0x3e0, 0xb);		/* divide by 1 */
	xapic_write(0x320, VECTOR);		/* one shot */
	if (own_poll)
		wrmsr(MSR_POLL, 0);
	for (i = 0; i < ROUNDS; i++)
		sleep_ns(SHORT_NS);
	GUEST_SYNC(1);
	for (i = 0; i < LONG_ROUNDS; i++)
		sleep_ns(LONG_NS);
}

struct counts {
	s64 tried, found, found_ns, failed_ns, waited_ns;
};

static struct counts counts_of(struct vcpu *vcpu)
{
	return (struct counts) {
		.tried = vcpu_stat(vcpu, "halt_attempted_poll"),
		.found = vcpu_stat(vcpu, "halt_successful_poll"),
		.found_ns = vcpu_stat(vcpu, "halt_poll_success_ns"),
		.failed_ns = vcpu_stat(vcpu, "halt_poll_fail_ns"),
		.waited_ns = vcpu_stat(vcpu, "halt_wait_ns"),
	};
}

static int set_limit(struct vm *vm, u64 ns, u32 flags)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HALT_POLL, .args[0] = ns, .flags = flags };

	return ioctl_errno(vm->fd, KVM_ENABLE_CAP, &cap);
}

static struct vcpu *make(struct __test_metadata *_metadata, u64 limit)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_sleeps, 0);
	struct counts none;

	ASSERT_EQ(0, set_limit(vm, limit, 0));
	none = counts_of(vcpu);
	ASSERT_EQ(0, none.tried | none.found | none.found_ns | none.failed_ns);
	return vcpu;
}

/* What the short waits, and then the long ones, come to. */
static void wait_short_and_long(struct vcpu *vcpu, struct counts *s, struct counts *l)
{
	vcpu_run_sync(vcpu, 1);
	*s = counts_of(vcpu);
	vcpu_run_done(vcpu);
	*l = counts_of(vcpu);
}

/* On a busy host, that stalls, what was to be a long wait may be a short one, and be polled. */
TEST(short_and_long)
{
	struct counts s, l;
	int i = 0;

	do
		wait_short_and_long(make(_metadata, LIMIT_NS), &s, &l);
	while ((l.tried - s.tried > 1 || l.found != s.found) && ++i < TRIES);
	EXPECT_GT(s.found, 0);
	EXPECT_LE(s.found, s.tried);
	EXPECT_LE(s.tried, ROUNDS);
	EXPECT_GT(s.found_ns, 0);
	/* The first that is too long for any poll is the last that is tried. */
	EXPECT_LE(l.tried - s.tried, 1);
	EXPECT_EQ(s.found, l.found);
	EXPECT_GT(l.waited_ns - s.waited_ns, (LONG_ROUNDS - 1ll) * LONG_NS);
}

/* Neither polls: waits are sleep, all of it. */
static void no_poll(struct __test_metadata *_metadata, struct vcpu *vcpu)
{
	struct counts c;

	vcpu_run_sync(vcpu, 1);
	vcpu_run_done(vcpu);
	c = counts_of(vcpu);
	EXPECT_EQ(0, c.tried | c.found | c.found_ns | c.failed_ns);
	EXPECT_GT(c.waited_ns, LONG_ROUNDS * (s64)LONG_NS);
}

TEST(off)
{
	no_poll(_metadata, make(_metadata, 0));
}

TEST(off_by_the_guest)
{
	struct vcpu *vcpu = make(_metadata, LIMIT_NS);

	guest_var(vcpu->vm, own_poll) = true;
	no_poll(_metadata, vcpu);
}

TEST(limits)
{
	struct vm *vm = vm_create(VM_BARE);

	EXPECT_EQ(EINVAL, set_limit(vm, 1ull << 32, 0));
	EXPECT_EQ(EINVAL, set_limit(vm, 1, 1));
	EXPECT_EQ(0, set_limit(vm, ~0u, 0));
}

TEST_HARNESS_MAIN
