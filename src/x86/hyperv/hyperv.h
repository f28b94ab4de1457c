/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The interface of Microsoft's hypervisor, for guests that know it: what the rest of x86
 * calls. "TLFS" is the Hypervisor Top Level Functional Specification; the names are those of
 * <asm/hyperv-tlfs.h>.
 *
 * A VM and a vCPU that do not use it have no state of it: vm->arch.hv and vcpu->arch.hv are
 * NULL until user space gives a guest Hyper-V's CPUID, enables one of the capabilities, or asks
 * for one of the MSRs; from then on they stay for life. What is asked on every exit or
 * interrupt is asked of that pointer first, here.
 */
#ifndef MINIKVM_X86_HYPERV_H
#define MINIKVM_X86_HYPERV_H

#include <linux/kvm.h>
#include <minikvm/vcpu.h>

/* EAX of HYPERV_CPUID_INTERFACE: "Hv#1" (TLFS 2.4). */
#define HV_INTERFACE_SIGNATURE	0x31237648

/* hyperv.c: life, exits to user space, KVM_HYPERV_EVENTFD */
void hv_vcpu_destroy(struct vcpu *vcpu);
void hv_vm_destroy(struct vm *vm);
int hv_report_exit(struct vcpu *vcpu);		/* VCPU_REQ_HV_EXIT */
int hv_eventfd(struct vm *vm, const struct kvm_hyperv_eventfd *args);

/* cpuid.c; vcpu->lock held */
int hv_cpuid_supported(struct vcpu *vcpu, struct kvm_cpuid2 *head,
		       struct kvm_cpuid_entry2 __user *user);
int hv_cpuid_prepare(struct vcpu *vcpu);	/* Hyper-V's CPUID is about to be set */
void hv_cpuid_changed(struct vcpu *vcpu);
int hv_enforce_cpuid(struct vcpu *vcpu, bool on);

/* msr.c; 0, or 1 for #GP */
int hv_msr_get(struct vcpu *vcpu, u32 msr, u64 *value, bool host);
int hv_msr_set(struct vcpu *vcpu, u32 msr, u64 value, bool host);

/* hypercall.c */
bool hv_hypercalls_on(struct vcpu *vcpu);
int hv_hypercall(struct vcpu *vcpu);		/* as exit_dispatch() */

/* vp_calls.c */
int hv_tlb_flush(struct vcpu *vcpu);		/* VCPU_REQ_HV_FLUSH */

/* clock.c */
void hv_tsc_page_update(struct vcpu *vcpu);

/* VCPU_REQ_CLOCK: the TSC page follows the VM's clock. */
static inline void hv_clock_update(struct vcpu *vcpu)
{
	if (unlikely(READ_ONCE(vcpu->vm->arch.hv)))
		hv_tsc_page_update(vcpu);
}

/* synic.c */
int hv_synic_activate(struct vcpu *vcpu, bool keep_pages);
int hv_synic_raise(struct vm *vm, u32 vp_index, u32 sint);
u32 hv_synic_sints(struct vcpu *vcpu, unsigned int vector);
bool hv_synic_auto_eoi(struct vcpu *vcpu, unsigned int vector);
bool hv_synic_any_auto_eoi(struct vcpu *vcpu);
void hv_synic_eoi(struct vcpu *vcpu, unsigned int vector);

/* Has this interrupt ended when it is delivered? */
static inline bool hv_auto_eoi(struct vcpu *vcpu, unsigned int vector)
{
	return unlikely(vcpu->arch.hv) && hv_synic_auto_eoi(vcpu, vector);
}

static inline bool hv_any_auto_eoi(struct vcpu *vcpu)
{
	return unlikely(vcpu->arch.hv) && hv_synic_any_auto_eoi(vcpu);
}

/* Is the EOI of this interrupt a SINT's? */
static inline bool hv_wants_eoi(struct vcpu *vcpu, unsigned int vector)
{
	return unlikely(vcpu->arch.hv) && hv_synic_sints(vcpu, vector);
}

static inline void hv_eoi(struct vcpu *vcpu, unsigned int vector)
{
	if (unlikely(vcpu->arch.hv))
		hv_synic_eoi(vcpu, vector);
}

/* stimer.c */
int hv_stimers_run(struct vcpu *vcpu);		/* VCPU_REQ_HV_STIMER */

#endif
