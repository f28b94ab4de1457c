// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_SET_VCPU_EVENTS and KVM_GET_VCPU_EVENTS with what has to be enabled
 * first: payloads of pending exceptions, and triple faults.
 */
#include "lib/test.h"

#define ADDRESS		0x123456789000ul
#define DR6_AT_REST	0xffff0ff0ul
#define DR6_STEP	(1ul << 14)

static void enable(struct vm *vm, u32 capability)
{
	struct kvm_enable_cap cap = { .cap = capability, .args[0] = 1 };

	do_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static struct kvm_vcpu_events get_events(struct vcpu *vcpu)
{
	struct kvm_vcpu_events e;

	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &e);
	return e;
}

/* The trap that TRY() tells of is that of the NOP. */
#define WAIT "outb %%al, $0x80; 1: nop"

static __guest void guest_payloads(void)
{
	write_cr2(1);
	write_dr6(DR6_AT_REST);
	GUEST_ASSERT_EQ(TRAP(14, 2), TRY(WAIT, , "a"(0)));
	GUEST_ASSERT_EQ(ADDRESS, read_cr2());
	GUEST_ASSERT_EQ(TRAP(1, 0), TRY(WAIT, , "a"(0)));
	GUEST_ASSERT_EQ(DR6_AT_REST | DR6_STEP, read_dr6());
	GUEST_ASSERT_EQ(ADDRESS, read_cr2());
}

/* CR2 and DR6 change when the exception is delivered, and not before. */
TEST(payloads)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_payloads, 0);
	struct kvm_vcpu_events e, seen;
	struct kvm_debugregs dr;

	enable(vm, KVM_CAP_EXCEPTION_PAYLOAD);
	vcpu_run_to_out(vcpu);
	e = get_events(vcpu);
	EXPECT_TRUE(e.flags & KVM_VCPUEVENT_VALID_PAYLOAD);
	e.exception.pending = 1;
	e.exception.nr = 14;
	e.exception.has_error_code = 1;
	e.exception.error_code = 2;
	e.exception_has_payload = 1;
	e.exception_payload = ADDRESS;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	seen = get_events(vcpu);
	EXPECT_EQ(1, seen.exception.pending);
	EXPECT_EQ(0, seen.exception.injected);
	EXPECT_EQ(1, seen.exception_has_payload);
	EXPECT_EQ(ADDRESS, seen.exception_payload);
	EXPECT_EQ(1, vcpu_sregs(vcpu).cr2);
	vcpu_run_to_out(vcpu);
	e = get_events(vcpu);
	EXPECT_EQ(0, e.exception.pending);
	EXPECT_EQ(0, e.exception_has_payload);
	e.exception.pending = 1;
	e.exception.nr = 1;
	e.exception.has_error_code = 0;
	e.exception_has_payload = 1;
	e.exception_payload = DR6_STEP;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	do_ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &dr);
	EXPECT_EQ(DR6_AT_REST, dr.dr6);
	vcpu_run_done(vcpu);
}

/* What was not enabled is not shown and not taken. */
TEST(not_enabled)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_vcpu_events e = get_events(vcpu);

	EXPECT_FALSE(e.flags & (KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT));
	e.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	EXPECT_EQ(-1, ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e));
	EXPECT_EQ(EINVAL, errno);
	e.flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	EXPECT_EQ(-1, ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e));
	EXPECT_EQ(EINVAL, errno);
}

static __guest void guest_nothing(void)
{
}

/* One NMI to come and one that waits for its end; none of them is lost on the way. */
TEST(nmis)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_vcpu_events e = get_events(vcpu);

	SKIP_ON_STOCK("says whether one waits, up to 6.2, and then how many");
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	e.nmi.pending = 3;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	EXPECT_EQ(2, get_events(vcpu).nmi.pending);
	e.nmi.masked = 1;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, get_events(vcpu).nmi.pending);
	e.nmi.pending = 0;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, get_events(vcpu).nmi.pending);
}

/* Without payloads, what is pending is told as injected too, and can't be set. */
TEST(pending_without_payloads)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_sregs s = vcpu_sregs(vcpu);
	struct kvm_vcpu_events e = get_events(vcpu);

	e.exception.pending = 1;
	e.exception.nr = 40;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	e = get_events(vcpu);
	EXPECT_EQ(0, e.exception.pending | e.exception.injected);
	/* Code where no memory is: an error, with a #UD that waits. */
	vcpu_start16(vcpu, 0);
	s = vcpu_sregs(vcpu);
	s.cs.base = 0xf0000000;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &s);
	vcpu_run_exit(vcpu, KVM_EXIT_INTERNAL_ERROR);
	e = get_events(vcpu);
	EXPECT_EQ(1, e.exception.pending);
	EXPECT_EQ(1, e.exception.injected);
	EXPECT_EQ(6, e.exception.nr);
}

/* A triple fault that was on its way when the vCPU was saved comes to its end elsewhere. */
TEST(triple_fault)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_nothing, 0);
	struct kvm_vcpu_events e;

	enable(vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT);
	e = get_events(vcpu);
	EXPECT_TRUE(e.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	EXPECT_EQ(0, e.triple_fault.pending);
	e.triple_fault.pending = 1;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	e = get_events(vcpu);
	EXPECT_EQ(1, e.triple_fault.pending);
	vcpu_run_exit(vcpu, KVM_EXIT_SHUTDOWN);
	e = get_events(vcpu);
	EXPECT_EQ(0, e.triple_fault.pending);
	/* And it can be taken back. */
	e.triple_fault.pending = 1;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	e.triple_fault.pending = 0;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	vcpu_run_done(vcpu);
}

TEST_HARNESS_MAIN
