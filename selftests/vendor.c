// SPDX-License-Identifier: GPL-2.0
/*
 * Where Intel and AMD differ, and must: which MSRs exist, and which CPUID leaves
 * and features are offered. The vendor is the host CPU's.
 *
 * Stock KVM is no yardstick for two of these tests: it emulates
 * IA32_ARCH_CAPABILITIES on AMD as well, and knows no model-specific LBR MSRs.
 */
#include <cpuid.h>

#include "lib/test.h"

#define MSR_ARCH_CAPABILITIES	0x10a
#define MSR_DEBUGCTL		0x1d9
#define ARCH_CAP_RDCL_NO	1

static bool listed(unsigned long request, u32 msr)
{
	struct { struct kvm_msr_list head; u32 indices[1024]; } list = { .head.nmsrs = 1024 };
	int fd = device_open();
	u32 i;

	do_ioctl(fd, request, &list);
	close(fd);
	for (i = 0; i < list.head.nmsrs; i++)
		if (list.indices[i] == msr)
			return true;
	return false;
}

static int get_msr(struct vcpu *vcpu, u32 msr)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } m = {
		.head.nmsrs = 1, .entry.index = msr,
	};

	return do_ioctl(vcpu->fd, KVM_GET_MSRS, &m);
}

/* ---- IA32_ARCH_CAPABILITIES: Intel's alone ---- */

static __guest void guest_reads_arch_capabilities(u64 expected)
{
	u64 v;

	if (expected == NO_TRAP) {
		GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(MSR_ARCH_CAPABILITIES, &v));
	} else {
		GUEST_ASSERT_EQ(NO_TRAP, try_rdmsr(MSR_ARCH_CAPABILITIES, &v));
		GUEST_ASSERT_EQ(expected, v);
	}
	/* Nobody's to write. */
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_ARCH_CAPABILITIES, 0));
}

TEST(arch_capabilities_intel)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm *vm;
	struct vcpu *vcpu;

	if (!host_is_intel())
		SKIP(return, "the CPU is not Intel's");
	EXPECT_TRUE(listed(KVM_GET_MSR_INDEX_LIST, MSR_ARCH_CAPABILITIES));
	EXPECT_TRUE(listed(KVM_GET_MSR_FEATURE_INDEX_LIST, MSR_ARCH_CAPABILITIES));
	EXPECT_NE(0, cpuid_find(c, 7, 0)->edx & 1u << 29);
	vm = vm_create(0);
	vcpu = vcpu_create(vm, 0, guest_reads_arch_capabilities, ARCH_CAP_RDCL_NO);
	EXPECT_EQ(1, get_msr(vcpu, MSR_ARCH_CAPABILITIES));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_ARCH_CAPABILITIES, ARCH_CAP_RDCL_NO));
	EXPECT_EQ(ARCH_CAP_RDCL_NO, vcpu_get_msr(vcpu, MSR_ARCH_CAPABILITIES));
	vcpu_run_done(vcpu);

	/* A guest whose CPUID lacks it does not have it. */
	vm = vm_create(0);
	vcpu = vcpu_create(vm, 0, guest_reads_arch_capabilities, NO_TRAP);
	cpuid_find(c, 7, 0)->edx &= ~(1u << 29);
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	vcpu_run_done(vcpu);
}

TEST(arch_capabilities_amd)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 7, 0);
	struct vm *vm;
	struct vcpu *vcpu;

	if (host_is_intel())
		SKIP(return, "the CPU is Intel's");
	SKIP_ON_STOCK("gives an AMD guest what only Intel has");
	EXPECT_FALSE(listed(KVM_GET_MSR_INDEX_LIST, MSR_ARCH_CAPABILITIES));
	EXPECT_FALSE(listed(KVM_GET_MSR_FEATURE_INDEX_LIST, MSR_ARCH_CAPABILITIES));
	EXPECT_EQ(0, e ? e->edx & 1u << 29 : 0);
	vm = vm_create(0);
	vcpu = vcpu_create(vm, 0, guest_reads_arch_capabilities, NO_TRAP);
	EXPECT_EQ(0, get_msr(vcpu, MSR_ARCH_CAPABILITIES));
	EXPECT_EQ(0, vcpu_set_msr(vcpu, MSR_ARCH_CAPABILITIES, 0));
	/* Not even if user space claims the feature. */
	if (e) {
		e->edx |= 1u << 29;
		do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	}
	vcpu_run_done(vcpu);
}

/* ---- last-branch records ---- */

/* LBR_SELECT and TOS, the FROM and TO stacks since Nehalem, INFO since Skylake. */
static const struct { u32 first, count; } lbr_ranges[] = {
	{ 0x1c8, 2 }, { 0x680, 16 }, { 0x6c0, 16 }, { 0xdc0, 16 },
};

/* As Windows 10 does round its debug registers: save, use them, restore. */
static struct { u64 first, count; } lbrs;

static __guest void guest_saves_lbrs(void)
{
	u64 v, i;

	write_dr0(GUEST_FREE);
	for (i = lbrs.first; i < lbrs.first + lbrs.count; i++) {
		GUEST_ASSERT_EQ(NO_TRAP, try_rdmsr(i, &v));
		GUEST_CHECK(!v, "an LBR MSR reads zero", i, v);
		GUEST_CHECK(try_wrmsr(i, 0) == NO_TRAP, "an LBR MSR takes zero", i, 0);
	}
	write_dr0(0);
}

static bool skylake_or_later(void)
{
	u32 eax, ebx, ecx, edx, model;

	__cpuid(1, eax, ebx, ecx, edx);
	model = (eax >> 4 & 15) | (eax >> 12 & 0xf0);
	return (eax >> 8 & 15) == 6 && (model == 0x4e || model == 0x5e || model >= 0x55);
}

TEST(model_specific_lbrs_intel)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	int i;

	if (!host_is_intel())
		SKIP(return, "the CPU is not Intel's");
	SKIP_ON_STOCK("of 6.1 refuses them");
	for (i = 0; i < ARRAY_SIZE(lbr_ranges); i++) {
		if (lbr_ranges[i].first == 0xdc0 && !skylake_or_later())
			continue;
		guest_var(vm, lbrs).first = lbr_ranges[i].first;
		guest_var(vm, lbrs).count = lbr_ranges[i].count;
		vcpu_start64(vcpu, guest_saves_lbrs, 0);
		vcpu_run_done(vcpu);
	}
}

/* What both vendors have: DEBUGCTL, and the last branch and the last interrupt. */
static __guest void guest_last_branch(void)
{
	u64 v;
	u32 i;

	GUEST_ASSERT_EQ(NO_TRAP, try_rdmsr(MSR_DEBUGCTL, &v));
	GUEST_ASSERT_EQ(0, v);
	GUEST_ASSERT_EQ(NO_TRAP, try_wrmsr(MSR_DEBUGCTL, 0));
	for (i = 0x1db; i <= 0x1de; i++) {
		GUEST_ASSERT_EQ(NO_TRAP, try_rdmsr(i, &v));
		GUEST_ASSERT_EQ(0, v);
	}
}

TEST(last_branch)
{
	struct vm *vm = vm_create(0);

	vcpu_run_done(vcpu_create(vm, 0, guest_last_branch, 0));
}

/* ---- CPUID ---- */

TEST(vendor_leaves)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *basic = cpuid_find(c, 0, 0), *ext = cpuid_find(c, 0x80000001, 0);

	if (host_is_intel()) {
		EXPECT_EQ(0, memcmp(&basic->ebx, "Genu", 4));
		/* AMD's features of leaf 0x80000001: SVM, SSE4A, 3DNow!, ... */
		EXPECT_EQ(0, ext->ecx & (1u << 2 | 1u << 6 | 1u << 11 | 1u << 16));
		EXPECT_EQ(NULL, cpuid_find(c, 0x8000000a, 0));
	} else {
		EXPECT_NE(0, memcmp(&basic->ebx, "Genu", 4));
		/* Intel's: VMX, SMX, and the deterministic cache and monitoring leaves. */
		EXPECT_EQ(0, cpuid_find(c, 1, 0)->ecx & (1u << 5 | 1u << 6));
		EXPECT_EQ(0, cpuid_find(c, 0xa, 0) ? cpuid_find(c, 0xa, 0)->eax & 0xff : 0);
	}
}

/* Vendor-specific MSRs of the other vendor: #GP. */
static __guest void guest_foreign(u64 intel)
{
	u64 v;

	if (intel) {
		GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(0xc0010117, &v));	/* VM_HSAVE_PA */
		GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(0xc0010114, 0));		/* VM_CR */
	} else {
		GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(0x480, &v));		/* VMX_BASIC */
		GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(0x480, 0));
	}
}

TEST(foreign_msrs)
{
	struct vm *vm = vm_create(0);

	if (host_is_intel())
		SKIP_ON_STOCK("reads AMD's VM_HSAVE_PA as 0");
	vcpu_run_done(vcpu_create(vm, 0, guest_foreign, host_is_intel()));
}

TEST_HARNESS_MAIN
