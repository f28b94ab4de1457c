// SPDX-License-Identifier: GPL-2.0
/*
 * Events into an SVM guest (APM 15.20), and the windows in which the guest
 * will take the next one.
 */
#include "x86/svm/svm.h"

/**
 * svm_inject_exception() - vendor_inject_exception()
 * @vcpu:	the vCPU, loaded
 */
void svm_inject_exception(struct vcpu *vcpu)
{
	const struct vcpu_events *e = &vcpu->arch.events;
	struct vmcb_control_area *control = &to_vmcb(vcpu)->control;

	control->event_inj = e->exception.vector | SVM_EVTINJ_TYPE_EXEPT | SVM_EVTINJ_VALID;
	if (e->exception.has_error_code)
		control->event_inj |= SVM_EVTINJ_VALID_ERR;
	control->event_inj_err = e->exception.error_code;
}

/**
 * svm_inject_irq() - vendor_inject_irq()
 * @vcpu:	the vCPU, loaded
 */
void svm_inject_irq(struct vcpu *vcpu)
{
	to_vmcb(vcpu)->control.event_inj = vcpu->arch.events.irq.vector |
					   SVM_EVTINJ_TYPE_INTR | SVM_EVTINJ_VALID;
}

/**
 * svm_inject_nmi() - vendor_inject_nmi(): NMIs are blocked from here on
 * @vcpu:	the vCPU, loaded
 */
void svm_inject_nmi(struct vcpu *vcpu)
{
	to_vmcb(vcpu)->control.event_inj = SVM_EVTINJ_TYPE_NMI | SVM_EVTINJ_VALID;
	svm_set_nmi_mask(vcpu, true);
}

/**
 * svm_cancel_injection() - vendor_cancel_injection()
 * @vcpu:	the vCPU, loaded
 */
void svm_cancel_injection(struct vcpu *vcpu)
{
	to_vmcb(vcpu)->control.event_inj = 0;
}

/**
 * svm_get_shadow() - vendor_get_shadow()
 * @vcpu:	the vCPU, loaded
 *
 * Return: both of SHADOW_*, or 0: SVM does not tell STI's from MOV SS's.
 */
u32 svm_get_shadow(struct vcpu *vcpu)
{
	/* SVM does not tell STI's from MOV SS's. */
	return to_vmcb(vcpu)->control.int_state & SVM_INTERRUPT_SHADOW_MASK ?
		SHADOW_STI | SHADOW_MOV_SS : 0;
}

/**
 * svm_set_shadow() - vendor_set_shadow()
 * @vcpu:	the vCPU, loaded
 * @shadow: either of SHADOW_*, or 0
 */
void svm_set_shadow(struct vcpu *vcpu, u32 shadow)
{
	u32 *state = &to_vmcb(vcpu)->control.int_state;

	if (shadow)
		*state |= SVM_INTERRUPT_SHADOW_MASK;
	else
		*state &= ~SVM_INTERRUPT_SHADOW_MASK;
}

/**
 * svm_get_nmi_mask() - vendor_get_nmi_mask()
 * @vcpu:	the vCPU, loaded
 */
bool svm_get_nmi_mask(struct vcpu *vcpu)
{
	return to_svm(vcpu)->nmi_masked;
}

/**
 * svm_set_nmi_mask() - vendor_set_nmi_mask()
 * @vcpu:	the vCPU, loaded
 * @masked: NMIs are blocked until the guest's next IRET
 */
void svm_set_nmi_mask(struct vcpu *vcpu, bool masked)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->nmi_masked = masked;
	svm->iret_seen = false;
	intercept_set(svm->vmcb, INTERCEPT_IRET, masked);
}

/**
 * svm_irq_window() - vendor_irq_window(): exit when an interrupt could be taken
 * @vcpu:	the vCPU, loaded
 * @want:	whether
 *
 * A virtual interrupt that exits when it would be taken: the vector does not
 * matter (APM 15.21.4). The TPR is not asked, for one of 15 holds back even
 * the highest priority, and not what comes from a PIC or from user space.
 */
void svm_irq_window(struct vcpu *vcpu, bool want)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	if (want == intercept_is_set(vmcb, INTERCEPT_VINTR))
		return;
	intercept_set(vmcb, INTERCEPT_VINTR, want);
	vmcb->control.int_ctl &= ~V_IRQ_INJECTION_BITS_MASK;
	if (want)
		vmcb->control.int_ctl |= V_IRQ_MASK | V_INTR_PRIO_MASK | V_IGN_TPR_MASK;
	vmcb->control.int_vector = 0;
	vmcb_dirty(vmcb, CLEAN_INTR);
}

/**
 * svm_nmi_window() - vendor_nmi_window(): exit when an NMI could be taken
 * @vcpu:	the vCPU, loaded
 * @want:	whether
 *
 * While masked, the IRET intercept will tell. What is left is the one
 * instruction (IRET itself, or what follows STI or MOV SS) that has to pass.
 */
void svm_nmi_window(struct vcpu *vcpu, bool want)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->nmi_window = want && (!svm->nmi_masked || svm->iret_seen);
}

#define STEP_FLAGS	(X86_EFLAGS_TF | X86_EFLAGS_RF)

/**
 * svm_step_in() - have a guest that an NMI waits for execute one instruction
 * @svm: the vCPU, about to be entered, its registers in the VMCB; its nmi_window is true
 *
 * An event that goes in with it would push the flags of the step, for the guest to see. So it
 * goes in alone: an interrupt of this CPU's own ends the guest at its handler's first
 * instruction (it is taken after the event has been delivered: APM vol. 2, 15.20).
 *
 * Context: interrupts off.
 */
void svm_step_in(struct svm_vcpu *svm)
{
	struct vmcb *vmcb = svm->vmcb;

	vcpu_request(&svm->vcpu, VCPU_REQ_EVENT);
	if (vmcb->control.event_inj & SVM_EVTINJ_VALID) {
		vcpu_kick_self();
		return;
	}
	svm->single_step = true;
	svm->step_rflags = vmcb->save.rflags & STEP_FLAGS;
	vmcb->save.rflags |= STEP_FLAGS;
}

/**
 * svm_step_out() - the flags are the guest's again, whatever the exit was
 * @svm: the vCPU, which has stepped, its registers taken out of the VMCB
 */
void svm_step_out(struct svm_vcpu *svm)
{
	svm->vcpu.arch.rflags &= ~(u64)STEP_FLAGS | svm->step_rflags;
}

/**
 * svm_tpr_window() - vendor_tpr_window(): each write to CR8 exits
 * @vcpu:	the vCPU, loaded
 * @want:	whether
 */
void svm_tpr_window(struct vcpu *vcpu, bool want)
{
	intercept_set(to_vmcb(vcpu), INTERCEPT_CR8_WRITE, want);
}

/**
 * svm_iret_exit() - IRET is about to execute: see struct svm_vcpu
 * @vcpu:	the vCPU, loaded, after that exit
 */
void svm_iret_exit(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	intercept_set(svm->vmcb, INTERCEPT_IRET, false);
	svm->iret_seen = true;
	svm->iret_rip = vcpu->arch.rip;
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/**
 * svm_step_exit() - was a #DB only the step that svm_nmi_window() asked for?
 * @vcpu:	the vCPU, loaded, after that exit
 *
 * Return: false as well if the guest's own TF was set or user space is
 * stepping: the trap is theirs then.
 */
bool svm_step_exit(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	return svm->single_step && !(svm->step_rflags & X86_EFLAGS_TF) &&
	       !(vcpu->arch.guest_debug & KVM_GUESTDBG_SINGLESTEP);
}

/**
 * svm_nmi_progress() - has the IRET that ends the blocking of NMIs completed?
 * @vcpu:	the vCPU, loaded, after any exit
 */
void svm_nmi_progress(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (!svm->iret_seen || vcpu->arch.rip == svm->iret_rip)
		return;
	svm->nmi_masked = svm->iret_seen = false;
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}
