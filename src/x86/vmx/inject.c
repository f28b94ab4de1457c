// SPDX-License-Identifier: GPL-2.0
/*
 * Events into a VMX guest (SDM vol. 3, 24.8.3, 26.6), and the windows in which
 * the guest will take the next one (26.7.5, 26.7.6).
 */
#include <linux/ktime.h>
#include <asm/debugreg.h>
#include "x86/vmx/vmx.h"

/**
 * vmx_leave_hlt() - vendor_leave_hlt()
 * @vcpu:	the vCPU, loaded
 *
 * Where HLT does not exit, the guest may be in it. An event that it is entered
 * with ends that; a hardware exception may not even come with it (26.3.1.5).
 */
void vmx_leave_hlt(struct vcpu *vcpu)
{
	if (unlikely(vcpu->vm->arch.disabled_exits & KVM_X86_DISABLE_EXITS_HLT))
		vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
}

static void inject(struct vcpu *vcpu, u32 info)
{
	vmx_leave_hlt(vcpu);
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, info | INTR_INFO_VALID_MASK);
}

/**
 * vmx_inject_exception() - vendor_inject_exception()
 * @vcpu:	the vCPU, loaded
 */
void vmx_inject_exception(struct vcpu *vcpu)
{
	const struct vcpu_events *e = &vcpu->arch.events;
	u32 info = e->exception.vector | INTR_TYPE_HARD_EXCEPTION;

	if (e->exception.has_error_code) {
		info |= INTR_INFO_DELIVER_CODE_MASK;
		/* Bits 31:16 must be 0: 26.2.1.3. */
		vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, (u16)e->exception.error_code);
	}
	inject(vcpu, info);
}

/**
 * vmx_inject_irq() - vendor_inject_irq()
 * @vcpu:	the vCPU, loaded
 */
void vmx_inject_irq(struct vcpu *vcpu)
{
	inject(vcpu, vcpu->arch.events.irq.vector | INTR_TYPE_EXT_INTR);
}

/**
 * vmx_inject_nmi() - vendor_inject_nmi(): NMIs are blocked from here on
 * @vcpu:	the vCPU, loaded
 */
void vmx_inject_nmi(struct vcpu *vcpu)
{
	inject(vcpu, X86_TRAP_NMI | INTR_TYPE_NMI_INTR);
	if (!vendor_caps.vnmi)
		vmx_set_nmi_mask(vcpu, true);
}

/**
 * vmx_cancel_injection() - vendor_cancel_injection()
 * @vcpu:	the vCPU, loaded
 */
void vmx_cancel_injection(struct vcpu *vcpu)
{
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
}

/**
 * vmx_get_shadow() - vendor_get_shadow()
 * @vcpu:	the vCPU, loaded
 *
 * Return: SHADOW_*.
 */
u32 vmx_get_shadow(struct vcpu *vcpu)
{
	u32 state = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);

	return (state & GUEST_INTR_STATE_STI ? SHADOW_STI : 0) |
	       (state & GUEST_INTR_STATE_MOV_SS ? SHADOW_MOV_SS : 0);
}

static void change_state(u32 clear, u32 set)
{
	u32 old = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
	u32 new = (old & ~clear) | set;

	if (new != old)
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO, new);
}

/**
 * vmx_pending_step() - tell VM entry whether a single step is pending
 * @vcpu:	the vCPU, loaded
 *
 * Where there are a shadow and TF, it wants to be told so (26.3.1.5). Hardware says so by
 * itself, but not after a #DB: that was what pended.
 */
void vmx_pending_step(struct vcpu *vcpu)
{
	bool step = (vcpu->arch.rflags & X86_EFLAGS_TF) && vmx_get_shadow(vcpu) &&
		    !(vmcs_read(GUEST_IA32_DEBUGCTL) & DEBUGCTLMSR_BTF);

	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, step ? DR_STEP : 0);
}

/**
 * vmx_set_shadow() - vendor_set_shadow()
 * @vcpu:	the vCPU, loaded
 * @shadow: SHADOW_*; of both, MOV SS's it is: 26.3.1.5
 */
void vmx_set_shadow(struct vcpu *vcpu, u32 shadow)
{
	u32 set = 0;

	if (shadow & SHADOW_MOV_SS)
		set = GUEST_INTR_STATE_MOV_SS;
	else if (shadow & SHADOW_STI)
		set = GUEST_INTR_STATE_STI;
	change_state(GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS, set);
	if (unlikely(set))
		vmx_pending_step(vcpu);
}

/*
 * Without virtual NMIs, IRET ends nothing that the CPU would tell of (26.3). Then
 * NMIs are taken to be masked until the guest is ready for an interrupt, which
 * handlers of NMIs leave to their IRET, or for this time: a guest that does
 * without interrupts would never get another NMI.
 */
#define NMI_MASKED_MAX	NSEC_PER_SEC

/**
 * vmx_get_nmi_mask() - vendor_get_nmi_mask()
 * @vcpu:	the vCPU, loaded
 */
bool vmx_get_nmi_mask(struct vcpu *vcpu)
{
	u64 until = to_vmx(vcpu)->nmi_masked_until;

	if (!vendor_caps.vnmi)
		return until && ktime_get_ns() < until;
	return vmcs_read(GUEST_INTERRUPTIBILITY_INFO) & GUEST_INTR_STATE_NMI;
}

/**
 * vmx_set_nmi_mask() - vendor_set_nmi_mask()
 * @vcpu:	the vCPU, loaded
 * @masked: NMIs are blocked; without virtual NMIs, for NMI_MASKED_MAX at most
 */
void vmx_set_nmi_mask(struct vcpu *vcpu, bool masked)
{
	if (vendor_caps.vnmi)
		change_state(GUEST_INTR_STATE_NMI, masked ? GUEST_INTR_STATE_NMI : 0);
	else
		to_vmx(vcpu)->nmi_masked_until = masked ? ktime_get_ns() + NMI_MASKED_MAX : 0;
}

/**
 * vmx_nmi_progress() - is there still a reason to hold NMIs back?
 * @vcpu: the vCPU, loaded, after an exit and without virtual NMIs
 */
void vmx_nmi_progress(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	/* What an injected NMI has blocked is the host's own (26.6.1). */
	change_state(GUEST_INTR_STATE_NMI, 0);
	if (vmx->nmi_masked_until && irq_open(vcpu))
		vmx->nmi_masked_until = 0;
	if (vcpu->arch.events.nmi.pending)
		vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/**
 * vmx_set_proc() - switch some of the primary processor-based controls
 * @vmx:	the vCPU, loaded
 * @bits:	which: CPU_BASED_*
 * @on:	on or off
 */
void vmx_set_proc(struct vmx_vcpu *vmx, u32 bits, bool on)
{
	u32 proc = on ? vmx->proc | bits : vmx->proc & ~bits;

	if (proc == vmx->proc)
		return;
	vmx->proc = proc;
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, proc);
}

/**
 * vmx_irq_window() - vendor_irq_window(): exit when an interrupt could be taken
 * @vcpu:	the vCPU, loaded
 * @want:	whether
 *
 * Comes after vmx_nmi_window().
 */
void vmx_irq_window(struct vcpu *vcpu, bool want)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx_set_proc(vmx, CPU_BASED_INTR_WINDOW_EXITING, want || vmx->nmi_window);
}

/**
 * vmx_nmi_window() - vendor_nmi_window(): exit when an NMI could be taken
 * @vcpu:	the vCPU, loaded
 * @want:	whether
 *
 * NMI windows need virtual NMIs. Without: see vmx_get_nmi_mask(). And NMIs wait for the end of
 * STI's shadow, of which a CPU may take no notice here (26.7.6): each entry would exit before
 * that one instruction. IF is set there, so the window for interrupts opens just behind it.
 */
void vmx_nmi_window(struct vcpu *vcpu, bool want)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	bool own = vendor_caps.vnmi && !(want && vmx_get_shadow(vcpu) & SHADOW_STI);

	vmx->nmi_window = want && !own;
	vmx_set_proc(vmx, CPU_BASED_NMI_WINDOW_EXITING, want && own);
}

/**
 * vmx_tpr_window() - vendor_tpr_window(): exit when the TPR falls below where it is now: 29.1.2
 * @vcpu:	the vCPU, loaded
 * @want:	whether
 */
void vmx_tpr_window(struct vcpu *vcpu, bool want)
{
	if (!(vmx_caps.proc & CPU_BASED_TPR_SHADOW))
		return;
	/*
	 * The threshold may not exceed the TPR itself (26.2.1.1). User space
	 * that is the irqchip wants to see each write instead.
	 */
	if (vcpu->arch.lapic)
		vmcs_write(TPR_THRESHOLD, want ? vcpu->arch.cr8 : 0);
	else
		vmx_set_proc(to_vmx(vcpu), CPU_BASED_CR8_LOAD_EXITING, want);
}
