// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_X86_SET_MSR_FILTER: the guest is kept from what the filter denies, be it
 * an MSR that hardware gives it with no exit, or one that the module emulates;
 * user space is not. And IA32_SPEC_CTRL, which only some guests have.
 */
#include "lib/test.h"

#define MSR_SPEC_CTRL		0x48
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_EIP	0x176
#define MSR_MISC_ENABLE		0x1a0
#define MSR_CR_PAT		0x277
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_STAR		0xc0000081
#define MSR_SYSCALL_MASK	0xc0000084

/* Passed by both vendors, by SVM alone, and by none. */
static const u32 tried[] = {
	MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_STAR, MSR_SYSCALL_MASK, MSR_MISC_ENABLE, MSR_CR_PAT,
};

static u8 nothing[KVM_MSR_FILTER_MAX_BITMAP_SIZE];

/* Deny the MSRs of tried[] to accesses of the kinds in @flags, and nothing else. */
static void deny(struct vm *vm, u32 flags)
{
	static const struct { u32 base, n; } ranges[] = {
		{ MSR_SYSENTER_CS, 3 }, { MSR_MISC_ENABLE, 1 }, { MSR_CR_PAT, 1 },
		{ MSR_STAR, 4 }, { MSR_FS_BASE, 3 }, { MSR_SPEC_CTRL, 1 },
	};
	struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
	int i;

	for (i = 0; flags && i < ARRAY_SIZE(ranges); i++)
		f.ranges[i] = (struct kvm_msr_filter_range){
			.flags = flags, .base = ranges[i].base, .nmsrs = ranges[i].n,
			.bitmap = nothing,
		};
	do_ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f);
}

static __guest void expect(u64 denied_reads, u64 denied_writes)
{
	u64 v, trap;
	int i;

	for (i = 0; i < ARRAY_SIZE(tried); i++) {
		trap = try_rdmsr(tried[i], &v);
		GUEST_CHECK(trap == (denied_reads ? TRAP(13, 0) : NO_TRAP), "RDMSR", tried[i], trap);
		/* The value that is there, so that the guest goes on as it was. */
		if (denied_reads)
			continue;
		trap = try_wrmsr(tried[i], v);
		GUEST_CHECK(trap == (denied_writes ? TRAP(13, 0) : NO_TRAP), "WRMSR", tried[i], trap);
	}
}

static __guest void guest_in_turn(void)
{
	expect(0, 0);
	GUEST_SYNC(1);
	expect(0, 1);
	GUEST_SYNC(2);
	expect(1, 1);
	GUEST_SYNC(3);
	expect(0, 0);
}

/* A filter changes under a vCPU that has run without one. */
TEST(comes_and_goes)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_in_turn, 0);

	vcpu_run_sync(vcpu, 1);
	deny(vm, KVM_MSR_FILTER_WRITE);
	vcpu_run_sync(vcpu, 2);
	deny(vm, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE);
	vcpu_run_sync(vcpu, 3);
	deny(vm, 0);
	vcpu_run_done(vcpu);
}

static __guest void guest_denied_writes(void)
{
	expect(0, 1);
}

/* And one that was there before the vCPU was. */
TEST(before_the_vcpu)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu;

	deny(vm, KVM_MSR_FILTER_WRITE);
	vcpu = vcpu_create(vm, 0, guest_denied_writes, 0);
	vcpu_run_done(vcpu);
	/* Nor is user space kept from anything. */
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_KERNEL_GS_BASE, 0x1000));
	EXPECT_EQ(0x1000, vcpu_get_msr(vcpu, MSR_KERNEL_GS_BASE));
}

static __guest void guest_asks_user(void)
{
	u64 v = 0;

	GUEST_ASSERT_EQ(NO_TRAP, try_rdmsr(MSR_KERNEL_GS_BASE, &v));
	GUEST_ASSERT_EQ(0x1234, v);
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_KERNEL_GS_BASE, 0x5000));
}

/* KVM_CAP_X86_USER_SPACE_MSR: what the filter denies, user space may answer. */
TEST(user_space_answers)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR, .args[0] = KVM_MSR_EXIT_REASON_FILTER,
	};
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_asks_user, 0);

	do_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
	deny(vm, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE);
	vcpu_run_exit(vcpu, KVM_EXIT_X86_RDMSR);
	EXPECT_EQ(MSR_KERNEL_GS_BASE, vcpu->run->msr.index);
	EXPECT_EQ(KVM_MSR_EXIT_REASON_FILTER, vcpu->run->msr.reason);
	vcpu->run->msr.data = 0x1234;
	vcpu_run_exit(vcpu, KVM_EXIT_X86_WRMSR);
	EXPECT_EQ(0x5000, vcpu->run->msr.data);
	EXPECT_EQ(KVM_MSR_EXIT_REASON_FILTER, vcpu->run->msr.reason);
	vcpu->run->msr.error = 1;
	vcpu_run_done(vcpu);
}

/* ---- IA32_SPEC_CTRL ---- */

static __guest void guest_spec_ctrl(u64 has)
{
	u64 v = ~0ull;

	GUEST_ASSERT_EQ(has ? NO_TRAP : TRAP(13, 0), try_rdmsr(MSR_SPEC_CTRL, &v));
	if (has)
		GUEST_ASSERT_EQ(0, v);
	GUEST_ASSERT_EQ(has ? NO_TRAP : TRAP(13, 0), try_wrmsr(MSR_SPEC_CTRL, has ? v : 0));
}

static bool host_has_spec_ctrl(struct vcpu *vcpu)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } m = {
		.head.nmsrs = 1, .entry.index = MSR_SPEC_CTRL,
	};

	return do_ioctl(vcpu->fd, KVM_GET_MSRS, &m) == 1;
}

/*
 * User space may claim any feature. Of one that the CPU lacks the guest gets
 * #GP, and the host, which would load its SPEC_CTRL at each entry, nothing.
 */
TEST(spec_ctrl_claimed)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_spec_ctrl, 0);
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 7, 0), *amd = cpuid_find(c, 0x80000008, 0);

	ASSERT_NE(NULL, e);
	e->edx |= 1u << 26 | 1u << 27 | 1u << 31;	/* IBRS and IBPB, STIBP, SSBD */
	if (amd)
		amd->ebx |= 1u << 14 | 1u << 15 | 1u << 24;
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	vcpu_start64(vcpu, guest_spec_ctrl, host_has_spec_ctrl(vcpu));
	vcpu_run_done(vcpu);

	/* What is there is denied like the rest. */
	vm = vm_create(0);
	deny(vm, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE);
	vcpu = vcpu_create(vm, 0, guest_spec_ctrl, 0);
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	vcpu_run_done(vcpu);
}

/* ---- what is refused ---- */

TEST(bad_filters)
{
	struct kvm_msr_filter f = { .flags = 2 };
	struct vm *vm = vm_create(0);

	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
	/* To deny all, with no exception, is no filter. */
	f.flags = KVM_MSR_FILTER_DEFAULT_DENY;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
	f.flags = 0;
	f.ranges[0] = (struct kvm_msr_filter_range){ .base = 0x10, .nmsrs = 1, .bitmap = nothing };
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
	f.ranges[0].flags = KVM_MSR_FILTER_READ;
	f.ranges[0].nmsrs = 8 * KVM_MSR_FILTER_MAX_BITMAP_SIZE + 1;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
	f.ranges[0].nmsrs = 1;
	f.ranges[0].bitmap = NULL;
	EXPECT_EQ(EFAULT, ioctl_errno(vm->fd, KVM_X86_SET_MSR_FILTER, &f));
	EXPECT_EQ(EFAULT, ioctl_errno(vm->fd, KVM_X86_SET_MSR_FILTER, NULL));
}

TEST_HARNESS_MAIN
