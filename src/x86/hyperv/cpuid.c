// SPDX-License-Identifier: GPL-2.0
/*
 * Hyper-V's CPUID leaves (TLFS, "Feature and Interface Discovery"): what we have of the
 * interface, and what a guest that is held to its CPUID may use of it.
 */
#include <linux/cpu.h>
#include <linux/uaccess.h>
#include "x86/cpuid.h"
#include "x86/hyperv/state.h"

/* "Linux KVM Hv", as KVM calls itself here: EBX, ECX, EDX */
#define VENDOR		.ebx = 0x756e694c, .ecx = 0x564b2078, .edx = 0x7648204d

/* Build 14393, version 10.0: Windows Server 2016's, whose interface this is about. */
#define VERSION_BUILD	0x3839
#define VERSION_MAJOR	(10 << 16)

/* Before a spinning guest asks for help, by NOTIFY_LONG_SPIN_WAIT */
#define SPIN_RETRIES	0xfff

#define LOGICAL_CPUS	64

/* Where the LAPIC is user space's, these have nobody to send the interrupt to. */
#define WANTS_LAPIC_EDX	HV_STIMER_DIRECT_MODE_AVAILABLE
#define WANTS_LAPIC_EAX	HV_X64_CLUSTER_IPI_RECOMMENDED

static const struct kvm_cpuid_entry2 leaves[] = {
	{ .function = HYPERV_CPUID_VENDOR_AND_MAX_FUNCTIONS,
	  .eax = HYPERV_CPUID_VIRT_STACK_PROPERTIES, VENDOR },
	{ .function = HYPERV_CPUID_INTERFACE, .eax = HV_INTERFACE_SIGNATURE },
	{ .function = HYPERV_CPUID_VERSION, .eax = VERSION_BUILD, .ebx = VERSION_MAJOR },
	{ .function = HYPERV_CPUID_FEATURES,
	  .eax = HV_MSR_VP_RUNTIME_AVAILABLE | HV_MSR_TIME_REF_COUNT_AVAILABLE |
		 HV_MSR_SYNIC_AVAILABLE | HV_MSR_SYNTIMER_AVAILABLE |
		 HV_MSR_APIC_ACCESS_AVAILABLE | HV_MSR_HYPERCALL_AVAILABLE |
		 HV_MSR_VP_INDEX_AVAILABLE | HV_MSR_RESET_AVAILABLE |
		 HV_MSR_REFERENCE_TSC_AVAILABLE | HV_ACCESS_FREQUENCY_MSRS |
		 HV_ACCESS_REENLIGHTENMENT,
	  .ebx = HV_POST_MESSAGES | HV_SIGNAL_EVENTS | HV_DEBUGGING,
	  .edx = HV_X64_GUEST_DEBUGGING_AVAILABLE | HV_X64_HYPERCALL_XMM_INPUT_AVAILABLE |
		 HV_FEATURE_FREQUENCY_MSRS_AVAILABLE | HV_FEATURE_GUEST_CRASH_MSR_AVAILABLE |
		 HV_FEATURE_DEBUG_MSRS_AVAILABLE | HV_STIMER_DIRECT_MODE_AVAILABLE },
	{ .function = HYPERV_CPUID_ENLIGHTMENT_INFO,
	  .eax = HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED | HV_X64_APIC_ACCESS_RECOMMENDED |
		 HV_X64_RELAXED_TIMING_RECOMMENDED | HV_DEPRECATING_AEOI_RECOMMENDED |
		 HV_X64_CLUSTER_IPI_RECOMMENDED | HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED,
	  .ebx = SPIN_RETRIES },
	{ .function = HYPERV_CPUID_IMPLEMENT_LIMITS, .eax = VCPUS_MAX, .ebx = LOGICAL_CPUS },
	{ .function = HV_CPUID_SYNDBG_VENDOR, VENDOR },
	{ .function = HYPERV_CPUID_VIRT_STACK_INTERFACE,
	  .eax = HYPERV_VS_INTERFACE_EAX_SIGNATURE },
	{ .function = HYPERV_CPUID_VIRT_STACK_PROPERTIES, .eax = HV_SYNDBG_ALLOW_DEBUGGING },
	/*
	 * For a hypervisor in the guest. There can be none, for neither VMX nor SVM is offered;
	 * but user space counts on the leaf, and on the bit that KVM always sets: that of a
	 * bitmap which its guest would maintain, if it ran one.
	 */
	{ .function = HYPERV_CPUID_NESTED_FEATURES, .eax = HV_X64_NESTED_MSR_BITMAP },
};

/* As they are for @vcpu; NULL: for one with a LAPIC in the kernel. */
static struct kvm_cpuid_entry2 offered(const struct kvm_cpuid_entry2 *leaf, struct vcpu *vcpu)
{
	bool lapic = !vcpu || vcpu->arch.lapic;
	struct kvm_cpuid_entry2 e = *leaf;

	if (e.function == HYPERV_CPUID_FEATURES && !lapic)
		e.edx &= ~WANTS_LAPIC_EDX;
	if (e.function == HYPERV_CPUID_ENLIGHTMENT_INFO && !lapic)
		e.eax &= ~WANTS_LAPIC_EAX;
	/* No sibling, no sharing with a stranger. */
	if (e.function == HYPERV_CPUID_ENLIGHTMENT_INFO && !cpu_smt_possible())
		e.eax |= HV_X64_NO_NONARCH_CORESHARING;
	return e;
}

/**
 * hv_cpuid_supported() - KVM_GET_SUPPORTED_HV_CPUID
 * @vcpu:	of which vCPU; NULL: the device is asked
 * @head:	nent says how many entries fit; set to how many there are
 * @user:	where they go
 *
 * Context: may sleep. Return: 0; -E2BIG, with nothing written, if they don't fit; -EFAULT.
 */
int hv_cpuid_supported(struct vcpu *vcpu, struct kvm_cpuid2 *head,
		       struct kvm_cpuid_entry2 __user *user)
{
	struct kvm_cpuid_entry2 e;
	unsigned int i;

	if (head->nent < ARRAY_SIZE(leaves))
		return -E2BIG;
	for (i = 0; i < ARRAY_SIZE(leaves); i++) {
		e = offered(&leaves[i], vcpu);
		if (copy_to_user(&user[i], &e, sizeof(e)))
			return -EFAULT;
	}
	head->nent = ARRAY_SIZE(leaves);
	return 0;
}

/**
 * hv_cpuid_prepare() - the guest will have the interface: make room for its state
 * @vcpu: the vCPU
 *
 * So that no guest's access has to allocate.
 *
 * Context: vcpu->lock held; may sleep. Return: 0 or -ENOMEM.
 */
int hv_cpuid_prepare(struct vcpu *vcpu)
{
	return hv_vcpu_get(vcpu) ? 0 : -ENOMEM;
}

/* Leaf and register of each enum hv_word */
static const struct { u32 function; u8 reg; } word_source[HV_WORDS] = {
	[HV_FEATURES_EAX]	= { HYPERV_CPUID_FEATURES, REG_EAX },
	[HV_FEATURES_EBX]	= { HYPERV_CPUID_FEATURES, REG_EBX },
	[HV_FEATURES_EDX]	= { HYPERV_CPUID_FEATURES, REG_EDX },
	[HV_RECOMMENDED_EAX]	= { HYPERV_CPUID_ENLIGHTMENT_INFO, REG_EAX },
	[HV_RECOMMENDED_EBX]	= { HYPERV_CPUID_ENLIGHTMENT_INFO, REG_EBX },
	[HV_SYNDBG_EAX]		= { HYPERV_CPUID_VIRT_STACK_PROPERTIES, REG_EAX },
};

/**
 * hv_cpuid_changed() - the guest has another CPUID
 * @vcpu: the vCPU
 *
 * Context: vcpu->lock held, the guest has not run yet.
 */
void hv_cpuid_changed(struct vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = cpuid_entry(vcpu, HYPERV_CPUID_INTERFACE, 0);
	struct hv_vcpu *hv = vcpu->arch.hv;
	unsigned int i;

	if (!hv)
		return;
	hv->enabled = e && e->eax == HV_INTERFACE_SIGNATURE;
	for (i = 0; i < HV_WORDS; i++) {
		e = hv->enabled ? cpuid_entry(vcpu, word_source[i].function, 0) : NULL;
		hv->words[i] = e ? *(&e->eax + word_source[i].reg) : 0;
	}
}

/**
 * hv_enforce_cpuid() - KVM_CAP_HYPERV_ENFORCE_CPUID
 * @vcpu:	the vCPU
 * @on:		it may use what its CPUID says, and nothing else
 *
 * Context: vcpu->lock held; may sleep. Return: 0 or -ENOMEM.
 */
int hv_enforce_cpuid(struct vcpu *vcpu, bool on)
{
	struct hv_vcpu *hv = on ? hv_vcpu_get(vcpu) : vcpu->arch.hv;

	if (!hv)
		return on ? -ENOMEM : 0;
	hv->enforce = on;
	return 0;
}

/**
 * hv_may() - may the guest do what takes this right?
 * @hv:		the vCPU
 * @right:	bits of its CPUID
 */
bool hv_may(const struct hv_vcpu *hv, const struct hv_right *right)
{
	return !hv->enforce || (hv->words[right->word] & right->bits) == right->bits;
}
