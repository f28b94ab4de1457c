// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_CAP_X86_DISABLE_EXITS: a guest that halts, and pauses, on the CPU itself.
 */
#include <signal.h>
#include <sys/time.h>

#include "lib/test.h"

static int disable(struct vm *vm, u64 exits)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS, .args[0] = exits };

	return ioctl_errno(vm->fd, KVM_ENABLE_CAP, &cap);
}

TEST(what_there_is)
{
	struct vm *vm = vm_create(VM_BARE);
	int exits = check_extension(KVM_CAP_X86_DISABLE_EXITS);

	EXPECT_EQ(exits, exits | KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE);
	EXPECT_EQ(EINVAL, disable(vm, 1 << 10));
	EXPECT_EQ(0, disable(vm, KVM_X86_DISABLE_EXITS_HLT));
}

TEST(not_of_a_vcpu_that_is_there)
{
	struct vm *vm = vm_create(VM_BARE);

	SKIP_ON_STOCK("takes it, to no effect on vCPUs that are there");
	vcpu_create(vm, 0, NULL, 0);
	EXPECT_EQ(EINVAL, disable(vm, KVM_X86_DISABLE_EXITS_HLT));
}

/* Who halts on the CPU can't be kicked out of it by a hypercall. */
static __guest void guest_has_no_unhalt(void)
{
	GUEST_ASSERT(!(cpuid(0x40000001, 0).eax >> 7 & 1));	/* PV_UNHALT */
}

TEST(no_unhalt)
{
	struct vm *vm = vm_create(VM_IRQCHIP);

	SKIP_ON_STOCK("leaves KVM_FEATURE_PV_UNHALT in the first CPUID that a vCPU is given");
	ASSERT_EQ(0, disable(vm, KVM_X86_DISABLE_EXITS_HLT));
	vcpu_run_done(vcpu_create(vm, 0, guest_has_no_unhalt, 0));
}

static void on_alarm(int signal)
{
}

static void alarm_in(int ms)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval timer = { .it_value.tv_usec = ms * 1000 };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/*
 * SVM does not save that the guest was in HLT: any exit ends it. And Bochs does
 * not leave a HLT with interrupts off for the host's.
 */
static __guest void guest_halts(void)
{
	sti();
	for (;;)
		hlt();
}

/* With no irqchip each HLT would be an exit. */
TEST(no_exit)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu;

	ASSERT_EQ(0, disable(vm, KVM_X86_DISABLE_EXITS_HLT));
	vcpu = vcpu_create(vm, 0, guest_halts, 0);
	alarm_in(30);
	EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
	EXPECT_EQ(KVM_EXIT_INTR, vcpu->run->exit_reason);
}

/* It is not asleep in the kernel, and all the same an interrupt wakes it. */
static volatile u64 hits;

static __guest void on_timer(struct trap_frame *f)
{
	hits++;
	xapic_write(0xb0, 0);
}

static __guest void on_nmi(struct trap_frame *f)
{
	hits++;
}

static __guest void guest_wakes(void)
{
	u64 i;

	guest_handlers[0x61] = on_timer;
	guest_handlers[2] = on_nmi;
	xapic_enable();
	xapic_write(0x3e0, 0xb);
	xapic_write(0x320, 0x61);
	for (i = 1; i <= 5; i++) {
		xapic_write(0x380, 1000000);
		for (cli(); hits != i; cli())
			sti_hlt();
		cpu_pause();
	}
	GUEST_SYNC(1);
	/* An NMI from outside */
	sti();
	while (hits != 6)
		hlt();
}

TEST(wakes)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct kvm_mp_state mp;
	struct vcpu *vcpu;

	ASSERT_EQ(0, disable(vm, check_extension(KVM_CAP_X86_DISABLE_EXITS)));
	vcpu = vcpu_create(vm, 0, guest_wakes, 0);
	vcpu_run_sync(vcpu, 1);
	alarm_in(20);
	EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
	do_ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp.mp_state);
	do_ioctl(vcpu->fd, KVM_NMI, 0);
	vcpu_run_done(vcpu);
}

TEST_HARNESS_MAIN
