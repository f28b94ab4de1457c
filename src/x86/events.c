// SPDX-License-Identifier: GPL-2.0
/*
 * Events on their way into the guest: exceptions, NMIs and interrupts, which
 * goes first, what two of them make together, and what becomes of one whose
 * delivery an exit broke off. How hardware is told is the vendor's business;
 * what the events are is struct vcpu_events.
 */
#include <linux/percpu.h>
#include <asm/debugreg.h>
#include <asm/trapnr.h>
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic.h"
#include "x86/x86.h"

enum exception_class { BENIGN, CONTRIBUTORY, PAGE_FAULT };

/* SDM vol. 3, table 6-4. */
static enum exception_class exception_class(u8 vector)
{
	switch (vector) {
	case X86_TRAP_PF:
		return PAGE_FAULT;
	case X86_TRAP_DE:
	case X86_TRAP_TS:
	case X86_TRAP_NP:
	case X86_TRAP_SS:
	case X86_TRAP_GP:
		return CONTRIBUTORY;
	default:
		return BENIGN;
	}
}

/* SDM vol. 3, table 6-5: do these two, one raised by the other, make a #DF? */
static bool double_fault(u8 first, u8 second)
{
	enum exception_class a = exception_class(first), b = exception_class(second);

	return (a == CONTRIBUTORY && b == CONTRIBUTORY) ||
	       (a == PAGE_FAULT && b != BENIGN);
}

/* Traps report after the instruction; all else that is not an abort before. */
static bool is_fault(u8 vector)
{
	return vector != X86_TRAP_DB && vector != X86_TRAP_BP &&
	       vector != X86_TRAP_OF && vector != X86_TRAP_DF &&
	       vector != X86_TRAP_MC;
}

/*
 * DR6 as the payload of a #DB: its low bits are set, and those whose resting
 * state is 1 are cleared. GD is cleared so that the handler gets at the
 * debug registers (SDM vol. 3, 17.2.3, 17.2.4).
 */
static void deliver_db_payload(struct vcpu *vcpu, u64 payload)
{
	u64 dr6 = (vcpu->arch.dr6 & ~DR_TRAP_BITS) | DR6_ACTIVE_LOW;

	vcpu->arch.dr6 = (dr6 | payload) ^ (payload & DR6_ACTIVE_LOW);
	vcpu->arch.dr7 &= ~DR7_GD;
	static_call(vendor_debug_regs_changed)(vcpu);
}

static void deliver_payload(struct vcpu *vcpu)
{
	struct vcpu_events *e = &vcpu->arch.events;

	if (!e->exception.has_payload)
		return;
	if (e->exception.vector == X86_TRAP_DB)
		deliver_db_payload(vcpu, e->exception.payload);
	else if (e->exception.vector == X86_TRAP_PF)
		vcpu->arch.cr2 = e->exception.payload;
	e->exception.has_payload = false;
	e->exception.payload = 0;
}

static void set_exception(struct vcpu *vcpu, u8 vector, bool has_ec, u32 ec)
{
	struct vcpu_events *e = &vcpu->arch.events;

	e->exception.pending = true;
	e->exception.injected = false;
	e->exception.vector = vector;
	e->exception.has_error_code = has_ec;
	e->exception.error_code = ec;
	e->exception.has_payload = false;
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/*
 * One that comes while another is being delivered: a double fault, or a
 * shutdown, or the newer one alone; the older one's instruction will raise it
 * again.
 */
static void queue(struct vcpu *vcpu, u8 vector, bool has_ec, u32 ec,
		  bool has_payload, u64 payload)
{
	struct vcpu_events *e = &vcpu->arch.events;
	bool busy = e->exception.pending || e->exception.injected;

	if (busy && e->exception.vector == X86_TRAP_DF) {
		e->exception.pending = e->exception.injected = false;
		vcpu_request(vcpu, VCPU_REQ_TRIPLE_FAULT);
		return;
	}
	if (busy && double_fault(e->exception.vector, vector)) {
		set_exception(vcpu, X86_TRAP_DF, true, 0);
		return;
	}
	set_exception(vcpu, vector, has_ec, ec);
	if (!has_payload)
		return;
	e->exception.has_payload = true;
	e->exception.payload = payload;
	deliver_payload(vcpu);
}

/**
 * queue_exception() - raise an exception without an error code
 * @vcpu:	the vCPU, loaded
 * @vector:	0 to 31
 */
void queue_exception(struct vcpu *vcpu, u8 vector)
{
	queue(vcpu, vector, false, 0, false, 0);
}

/**
 * queue_exception_ec() - raise an exception that has an error code
 * @vcpu:	the vCPU, loaded
 * @vector:	0 to 31
 * @error_code:	pushed in protected mode only
 */
void queue_exception_ec(struct vcpu *vcpu, u8 vector, u32 error_code)
{
	queue(vcpu, vector, true, error_code, false, 0);
}

/**
 * queue_exception_payload() - raise one that also changes a register
 * @vcpu:	the vCPU, loaded
 * @vector:	#DB
 * @payload:	bits of DR6, those that rest at 1 inverted
 */
void queue_exception_payload(struct vcpu *vcpu, u8 vector, u64 payload)
{
	queue(vcpu, vector, false, 0, true, payload);
}

/**
 * queue_page_fault() - raise what a walk of the guest's tables ended in
 * @vcpu:	the vCPU, loaded
 * @fault:	#PF with its address, or #GP
 */
void queue_page_fault(struct vcpu *vcpu, const struct guest_fault *fault)
{
	bool pf = fault->vector == X86_TRAP_PF;

	queue(vcpu, fault->vector, true, fault->error_code, pf, fault->address);
}

/**
 * queue_gp() - raise #GP(0)
 * @vcpu: the vCPU, loaded
 */
void queue_gp(struct vcpu *vcpu)
{
	queue_exception_ec(vcpu, X86_TRAP_GP, 0);
}

/**
 * queue_nmi() - send an NMI
 * @vcpu: any vCPU, whoever asks
 *
 * Context: any but NMI. The caller kicks.
 */
void queue_nmi(struct vcpu *vcpu)
{
	atomic_inc(&vcpu->arch.events.nmi.queued);
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/* A CPU holds one NMI in service and latches one more: SDM vol. 3, 6.7.1. */
static unsigned int nmis_at_most(struct vcpu *vcpu)
{
	return vcpu->arch.events.nmi.injected || static_call(vendor_get_nmi_mask)(vcpu) ? 1 : 2;
}

static void collect_nmis(struct vcpu *vcpu)
{
	struct vcpu_events *e = &vcpu->arch.events;
	unsigned int n;

	if (!atomic_read(&e->nmi.queued))
		return;
	n = e->nmi.pending + atomic_xchg(&e->nmi.queued, 0);
	e->nmi.pending = min(n, nmis_at_most(vcpu));
}

/*
 * INT n that an exit broke off executes again, and had begun before whatever
 * interrupt waits: in STI's shadow the guest can rely on that, and the exit may
 * have ended the shadow. With TF that is not worth a step's getting lost.
 */
static void hold_irqs(struct vcpu *vcpu)
{
	if ((vcpu->arch.rflags & (X86_EFLAGS_IF | X86_EFLAGS_TF)) == X86_EFLAGS_IF &&
	    !static_call(vendor_get_shadow)(vcpu))
		static_call(vendor_set_shadow)(vcpu, SHADOW_STI);
}

/**
 * events_requeue() - keep what the last exit broke off
 * @vcpu: the vCPU, loaded; its exit is decoded
 *
 * Whatever was injected has been delivered, unless the exit says that it was
 * still under way. INT n, INT3 and INTO are not kept: RIP is at the
 * instruction, which executes again.
 */
void events_requeue(struct vcpu *vcpu)
{
	const struct exit *exit = &vcpu->arch.exit;
	struct vcpu_events *e = &vcpu->arch.events;

	e->exception.injected = e->nmi.injected = e->irq.injected = false;
	if (likely(exit->vectoring.type == VECTORING_NONE))
		return;
	switch (exit->vectoring.type) {
	case VECTORING_IRQ:
		e->irq.injected = true;
		e->irq.vector = exit->vectoring.vector;
		break;
	case VECTORING_NMI:
		/* Not in service yet, so not masked by itself. */
		e->nmi.injected = true;
		static_call(vendor_set_nmi_mask)(vcpu, false);
		break;
	case VECTORING_EXCEPTION:
		e->exception.injected = true;
		e->exception.vector = exit->vectoring.vector;
		e->exception.has_error_code = exit->vectoring.has_error_code;
		e->exception.error_code = exit->vectoring.error_code;
		break;
	case VECTORING_SOFT:
		hold_irqs(vcpu);
		return;
	}
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/* Is something being delivered? */
static bool in_flight(struct vcpu *vcpu)
{
	const struct vcpu_events *e = &vcpu->arch.events;

	return e->exception.injected || e->nmi.injected || e->irq.injected;
}

/**
 * events_delivered() - what was in flight is the guest's now, by a task gate
 * @vcpu: the vCPU, loaded
 *
 * Whatever its delivery raised is pending already. An NMI is in service either
 * way.
 */
void events_delivered(struct vcpu *vcpu)
{
	struct vcpu_events *e = &vcpu->arch.events;

	if (e->nmi.injected)
		static_call(vendor_set_nmi_mask)(vcpu, true);
	e->exception.injected = e->nmi.injected = e->irq.injected = false;
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/* Real mode pushes no error code: SDM vol. 3, 20.1.4. */
static void inject_exception(struct vcpu *vcpu)
{
	struct vcpu_events *e = &vcpu->arch.events;

	if (!(vcpu->arch.cr0 & X86_CR0_PE))
		e->exception.has_error_code = false;
	static_call(vendor_inject_exception)(vcpu);
}

static bool inject_again(struct vcpu *vcpu)
{
	const struct vcpu_events *e = &vcpu->arch.events;

	if (e->nmi.injected)
		static_call(vendor_inject_nmi)(vcpu);
	else if (e->irq.injected)
		static_call(vendor_inject_irq)(vcpu);
	else
		return false;
	return true;
}

/*
 * An exception that the delivery of an interrupt raised takes its place, as
 * on a CPU: what was being delivered is gone.
 */
static bool inject_any_exception(struct vcpu *vcpu)
{
	struct vcpu_events *e = &vcpu->arch.events;

	if (e->exception.injected) {
		inject_exception(vcpu);
		return true;
	}
	if (!e->exception.pending)
		return false;
	deliver_payload(vcpu);
	e->exception.pending = e->nmi.injected = e->irq.injected = false;
	e->exception.injected = true;
	/* The instruction's breakpoint has had its turn: SDM vol. 3, 17.3.1.1. */
	if (is_fault(e->exception.vector))
		vcpu->arch.rflags |= X86_EFLAGS_RF;
	inject_exception(vcpu);
	return true;
}

/* Ahead of NMIs: SDM vol. 3, table 6-2. Behind what is being delivered. */
static void take_pending_smi(struct vcpu *vcpu, bool busy)
{
	if (likely(!smm_open(vcpu)))
		return;
	if (busy)
		vcpu_request(vcpu, VCPU_REQ_SMI_NEXT);
	else
		smm_enter(vcpu);
}

static bool nmi_open(struct vcpu *vcpu)
{
	return !static_call(vendor_get_nmi_mask)(vcpu) &&
	       !static_call(vendor_get_shadow)(vcpu);
}

static bool inject_pending_nmi(struct vcpu *vcpu)
{
	struct vcpu_events *e = &vcpu->arch.events;

	if (!e->nmi.pending || !nmi_open(vcpu))
		return false;
	e->nmi.pending--;
	e->nmi.injected = true;
	vcpu->arch.stats.nmi_injections++;
	static_call(vendor_inject_nmi)(vcpu);
	return true;
}

/**
 * irq_open() - would the guest take an interrupt now?
 * @vcpu: the vCPU, loaded
 */
bool irq_open(struct vcpu *vcpu)
{
	return (vcpu->arch.rflags & X86_EFLAGS_IF) &&
	       !static_call(vendor_get_shadow)(vcpu);
}

static bool inject_pending_irq(struct vcpu *vcpu)
{
	struct vcpu_events *e = &vcpu->arch.events;
	int vector;

	if (!irq_open(vcpu))
		return false;
	vector = irq_take(vcpu);
	if (vector < 0)
		return false;
	e->irq.vector = vector;
	e->irq.injected = true;
	vcpu->arch.stats.irq_injections++;
	static_call(vendor_inject_irq)(vcpu);
	return true;
}

/* Is there a place for KVM_INTERRUPT's vector, and a way from it to the CPU? */
static bool user_irq_accepted(struct vcpu *vcpu)
{
	return vcpu->arch.user_irq < 0 &&
	       (!vcpu->arch.lapic || lapic_accepts_pic(vcpu));
}

/*
 * A window that user space could make no use of must not be asked for: the
 * guest would exit for it at every entry, and never get any further.
 */
static bool user_wants_irq_window(struct vcpu *vcpu)
{
	return vcpu->run->request_interrupt_window &&
	       vcpu->vm->arch.irqchip != IRQCHIP_KERNEL && user_irq_accepted(vcpu);
}

/* User space that is the irqchip sees every lowering of the TPR. */
static bool tpr_holds_irq(struct vcpu *vcpu)
{
	return vcpu->arch.lapic ? lapic_tpr_blocks(vcpu) : true;
}

/* What could not go in now: have the guest exit when it can. */
static void request_windows(struct vcpu *vcpu)
{
	const struct vcpu_events *e = &vcpu->arch.events;

	static_call(vendor_nmi_window)(vcpu, e->nmi.pending);
	static_call(vendor_irq_window)(vcpu, irq_injectable(vcpu) ||
				       user_wants_irq_window(vcpu));
	static_call(vendor_tpr_window)(vcpu, tpr_holds_irq(vcpu));
}

/*
 * While a debugger holds events back they need no windows; and an old threshold must not stay,
 * which the TPR may be below by now (SDM vol. 3, 26.2.1.1). What user space itself has asked
 * for, a window or each lowering of the TPR, it gets all the same.
 */
static void request_users_window(struct vcpu *vcpu)
{
	static_call(vendor_nmi_window)(vcpu, false);
	static_call(vendor_irq_window)(vcpu, user_wants_irq_window(vcpu));
	static_call(vendor_tpr_window)(vcpu, !vcpu->arch.lapic);
}

/* A debugger that steps does not want to step into handlers. */
static bool debugger_blocks(struct vcpu *vcpu)
{
	return vcpu->arch.guest_debug & KVM_GUESTDBG_BLOCKIRQ;
}

/**
 * events_inject() - have the next entry deliver what comes first
 * @vcpu: the vCPU, loaded
 *
 * One event an entry: exceptions, then what was broken off, then NMIs and
 * interrupts (SDM vol. 3, table 6-2). An SMI comes ahead of those two, and is no
 * event of the entry: the vCPU is in SMM by then. May sleep for it.
 */
void events_inject(struct vcpu *vcpu)
{
	bool done;

	collect_nmis(vcpu);
	done = inject_any_exception(vcpu) || inject_again(vcpu);
	/* KVM_SET_GUEST_DEBUG makes us look again. */
	if (unlikely(debugger_blocks(vcpu))) {
		request_users_window(vcpu);
		return;
	}
	take_pending_smi(vcpu, done);
	if (!done && !inject_pending_nmi(vcpu))
		inject_pending_irq(vcpu);
	lapic_hardware_sync(vcpu);
	request_windows(vcpu);
}

/**
 * events_cancel() - the entry that events_inject() prepared will not be
 * @vcpu: the vCPU, loaded
 */
void events_cancel(struct vcpu *vcpu)
{
	if (!in_flight(vcpu))
		return;
	static_call(vendor_cancel_injection)(vcpu);
	if (vcpu->arch.events.nmi.injected)
		static_call(vendor_set_nmi_mask)(vcpu, false);
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/**
 * user_may_inject() - would KVM_INTERRUPT be taken at once?
 * @vcpu: the vCPU, loaded
 */
bool user_may_inject(struct vcpu *vcpu)
{
	if (vcpu->vm->arch.irqchip == IRQCHIP_KERNEL)
		return true;
	return irq_open(vcpu) && !in_flight(vcpu) &&
	       !vcpu->arch.events.exception.pending && user_irq_accepted(vcpu);
}

/**
 * user_irq_window_open() - is it time for KVM_EXIT_IRQ_WINDOW_OPEN?
 * @vcpu: the vCPU, loaded
 */
bool user_irq_window_open(struct vcpu *vcpu)
{
	return user_wants_irq_window(vcpu) && user_may_inject(vcpu);
}

/**
 * events_wake() - is there an event that ends a HLT?
 * @vcpu: the vCPU, loaded
 */
bool events_wake(struct vcpu *vcpu)
{
	const struct vcpu_events *e = &vcpu->arch.events;

	if (e->exception.pending || in_flight(vcpu))
		return true;
	if (READ_ONCE(vcpu->arch.pv.unhalted) || smm_open(vcpu))
		return true;
	if ((e->nmi.pending || atomic_read(&e->nmi.queued)) &&
	    !static_call(vendor_get_nmi_mask)(vcpu))
		return true;
	return irq_pending(vcpu) && irq_open(vcpu);
}

/* Without KVM_CAP_EXCEPTION_PAYLOAD a pending exception is one that is being injected, too. */
static void get_exception(struct vcpu *vcpu, struct kvm_vcpu_events *out)
{
	struct vcpu_events *e = &vcpu->arch.events;

	out->exception.pending = e->exception.pending;
	if (vcpu->vm->arch.exception_payload) {
		out->exception.injected = e->exception.injected;
		out->exception_has_payload = e->exception.has_payload;
		out->exception_payload = e->exception.payload;
		out->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	} else {
		deliver_payload(vcpu);
		out->exception.injected = e->exception.injected || e->exception.pending;
	}
	out->exception.nr = e->exception.vector;
	out->exception.has_error_code = e->exception.has_error_code;
	out->exception.error_code = e->exception.error_code;
}

static void get_smi(struct vcpu *vcpu, struct kvm_vcpu_events *out)
{
	struct vcpu_events *e = &vcpu->arch.events;

	if (vcpu_consume(vcpu, VCPU_REQ_SMI)) {
		e->smi.pending = true;
		vcpu_request(vcpu, VCPU_REQ_EVENT);
	}
	out->smi.smm = in_smm(vcpu);
	out->smi.pending = e->smi.pending;
	out->smi.smm_inside_nmi = e->smi.inside_nmi;
	out->smi.latched_init = vcpu->arch.lapic &&
				test_bit(PENDING_INIT, &vcpu->arch.pending_init_sipi);
	out->flags |= KVM_VCPUEVENT_VALID_SMM;
}

/* KVM_SET_SREGS comes before, and took them from the other space's memory. */
static void reload_pdptrs(struct vcpu *vcpu)
{
	u64 cr3 = static_call(vendor_get_cr3)(vcpu);

	if (is_pae_paging(vcpu) && pdptrs_load(vcpu, cr3))
		static_call(vendor_set_cr3)(vcpu, cr3);
}

static void set_smi(struct vcpu *vcpu, const struct kvm_vcpu_events *in)
{
	struct vcpu_events *e = &vcpu->arch.events;

	if (in_smm(vcpu) != !!in->smi.smm) {
		smm_set(vcpu, in->smi.smm);
		reload_pdptrs(vcpu);
	}
	e->smi.pending = in->smi.pending;
	e->smi.inside_nmi = in->smi.smm && in->smi.smm_inside_nmi;
	if (vcpu->arch.lapic)
		assign_bit(PENDING_INIT, &vcpu->arch.pending_init_sipi, in->smi.latched_init);
}

/**
 * events_get() - KVM_GET_VCPU_EVENTS
 * @vcpu:	the vCPU, loaded
 * @out:	zeroed
 */
void events_get(struct vcpu *vcpu, struct kvm_vcpu_events *out)
{
	struct vcpu_events *e = &vcpu->arch.events;

	collect_nmis(vcpu);
	get_exception(vcpu, out);
	out->interrupt.injected = e->irq.injected;
	out->interrupt.nr = e->irq.vector;
	out->interrupt.shadow = static_call(vendor_get_shadow)(vcpu);
	out->nmi.injected = e->nmi.injected;
	out->nmi.pending = e->nmi.pending;
	out->nmi.masked = static_call(vendor_get_nmi_mask)(vcpu);
	out->flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	get_smi(vcpu, out);
	if (vcpu->vm->arch.triple_fault_event) {
		out->triple_fault.pending = vcpu_requested(vcpu, VCPU_REQ_TRIPLE_FAULT);
		out->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
}

static bool events_valid(struct vcpu *vcpu, const struct kvm_vcpu_events *in)
{
	u32 flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
		    KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;

	/* Without that flag there is no pending exception. */
	bool pending = (in->flags & KVM_VCPUEVENT_VALID_PAYLOAD) && in->exception.pending;

	if (vcpu->vm->arch.exception_payload)
		flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (vcpu->vm->arch.triple_fault_event)
		flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	if (in->flags & ~flags)
		return false;
	if ((in->exception.injected || pending) &&
	    (in->exception.nr > 31 || in->exception.nr == X86_TRAP_NMI))
		return false;
	/* INIT is latched in SMM, and comes behind an SMI: nobody waits for a SIPI there. */
	return !(in->flags & KVM_VCPUEVENT_VALID_SMM) || !(in->smi.smm || in->smi.pending) ||
	       vcpu->arch.mp_state != KVM_MP_STATE_INIT_RECEIVED;
}

static void set_exception_state(struct vcpu *vcpu, const struct kvm_vcpu_events *in)
{
	struct vcpu_events *e = &vcpu->arch.events;
	bool payload = in->flags & KVM_VCPUEVENT_VALID_PAYLOAD;

	e->exception.pending = payload && in->exception.pending;
	e->exception.injected = in->exception.injected && !e->exception.pending;
	e->exception.vector = in->exception.nr;
	e->exception.has_error_code = in->exception.has_error_code;
	e->exception.error_code = in->exception.error_code;
	e->exception.has_payload = e->exception.pending && in->exception_has_payload;
	e->exception.payload = in->exception_payload;
}

/**
 * events_set() - KVM_SET_VCPU_EVENTS
 * @vcpu:	the vCPU, loaded
 * @in:		as user space gave it
 *
 * Return: 0, or -EINVAL with nothing changed.
 */
int events_set(struct vcpu *vcpu, const struct kvm_vcpu_events *in)
{
	struct vcpu_events *e = &vcpu->arch.events;

	if (!events_valid(vcpu, in))
		return -EINVAL;
	set_exception_state(vcpu, in);
	/* INT n executes again by itself: see events_requeue(). */
	e->irq.injected = in->interrupt.injected && !in->interrupt.soft;
	e->irq.vector = in->interrupt.nr;
	if (in->flags & KVM_VCPUEVENT_VALID_SHADOW)
		static_call(vendor_set_shadow)(vcpu, in->interrupt.shadow);
	e->nmi.injected = in->nmi.injected;
	if (in->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
		e->nmi.pending = in->nmi.pending;
		atomic_set(&e->nmi.queued, 0);
	}
	static_call(vendor_set_nmi_mask)(vcpu, in->nmi.masked);
	e->nmi.pending = min_t(unsigned int, e->nmi.pending, nmis_at_most(vcpu));
	if ((in->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) && vcpu->arch.lapic)
		vcpu->arch.sipi_vector = in->sipi_vector;
	if (in->flags & KVM_VCPUEVENT_VALID_SMM)
		set_smi(vcpu, in);
	if (in->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) {
		if (in->triple_fault.pending)
			vcpu_request(vcpu, VCPU_REQ_TRIPLE_FAULT);
		else
			vcpu_consume(vcpu, VCPU_REQ_TRIPLE_FAULT);
	}
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	return 0;
}
