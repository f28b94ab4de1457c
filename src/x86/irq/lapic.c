// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC's registers: what reading and writing them does, by MMIO, by
 * MSR and by ioctl; and the way of an interrupt from IRR to ISR to EOI (SDM
 * vol. 3, 11.8). The timer is lapic_timer.c's, and who is meant by a message
 * is ipi.c's.
 *
 * Where KVM is seen by guests or user space to differ from the manual, this
 * follows KVM, and says so.
 */
#include <linux/bitops.h>
#include <linux/slab.h>
#include <minikvm/vcpu.h>
#include "x86/hyperv/hyperv.h"
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic_state.h"
#include "x86/x86.h"

#define LAPIC_VERSION		0x14
#define LAPIC_LVTS		6
#define LAPIC_STATE_SIZE	sizeof_field(struct kvm_lapic_state, regs)

/* Bits of each LVT that a guest can set (SDM vol. 3, figure 11-8). */
#define LVT_BITS	(APIC_LVT_MASKED | APIC_SEND_PENDING | APIC_VECTOR_MASK)
#define LVT_LINT_BITS	(LVT_BITS | APIC_MODE_MASK | APIC_INPUT_POLARITY | \
			 APIC_LVT_REMOTE_IRR | APIC_LVT_LEVEL_TRIGGER)

static const struct lvt_row { u16 offset; u32 bits; } lvts[LAPIC_LVTS] = {
	{ APIC_LVTT,	LVT_BITS },		/* and the mode: lvtt_bits() */
	{ APIC_LVTTHMR,	LVT_BITS | APIC_MODE_MASK },
	{ APIC_LVTPC,	LVT_BITS | APIC_MODE_MASK },
	{ APIC_LVT0,	LVT_LINT_BITS },
	{ APIC_LVT1,	LVT_LINT_BITS },
	{ APIC_LVTERR,	LVT_BITS },
};

/*
 * IRR, ISR and priorities
 */

/**
 * lapic_bank_highest() - the highest vector in IRR, ISR or TMR
 * @apic:	the APIC
 * @bank:	APIC_IRR, APIC_ISR or APIC_TMR
 *
 * Return: a vector, or -1.
 */
int lapic_bank_highest(const struct lapic *apic, unsigned int bank)
{
	int i;

	for (i = 7; i >= 0; i--) {
		u32 word = lapic_reg(apic, bank + i * 0x10);

		if (word)
			return i * 32 + __fls(word);
	}
	return -1;
}

static u32 lapic_ppr(const struct lapic *apic)
{
	u32 tpr = lapic_reg(apic, APIC_TASKPRI) & APIC_TPRI_MASK;
	int vector = lapic_in_service(apic);
	u32 served = vector < 0 ? 0 : vector & 0xf0;

	return (tpr & 0xf0) >= served ? tpr : served;
}

/* Hardware takes from IRR, and a guest's self-IPI puts into it. */
static bool irr_in_use(const struct lapic *apic)
{
	return apic->irr_pending || apic->hardware;
}

static bool irr_may_pend(struct lapic *apic)
{
	lapic_collect(apic);
	return irr_in_use(apic);
}

/**
 * lapic_pending_vector() - the interrupt that the LAPIC would deliver now
 * @vcpu:	in its own thread
 *
 * Return: a vector whose class is above the processor's priority, or -1.
 */
int lapic_pending_vector(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;
	int vector;

	if (!apic || !irr_may_pend(apic) || !lapic_hw_enabled(apic))
		return -1;
	vector = lapic_bank_highest(apic, APIC_IRR);
	return vector >= 0 && (vector & 0xf0) > (lapic_ppr(apic) & 0xf0) ? vector : -1;
}

/**
 * lapic_tpr_blocks() - would a lower TPR let an interrupt through?
 * @vcpu:	in its own thread
 *
 * Return: true if the best of IRR is above what is in service, but not above
 * the TPR.
 */
bool lapic_tpr_blocks(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;
	int vector;

	if (!apic || apic->hardware || !irr_may_pend(apic) || !lapic_hw_enabled(apic))
		return false;
	vector = lapic_bank_highest(apic, APIC_IRR);
	return vector >> 4 <= (lapic_ppr(apic) & 0xf0) >> 4 &&
	       vector >> 4 > max(apic->in_service, 0) >> 4;
}

static void irr_clear(struct lapic *apic, int vector)
{
	__clear_bit(vector % 32, lapic_vector_word(apic, APIC_IRR, vector));
	apic->irr_pending = lapic_bank_highest(apic, APIC_IRR) >= 0;
}

/**
 * lapic_accept() - the processor takes an interrupt
 * @vcpu:	in its own thread
 * @vector:	from lapic_pending_vector(), with nothing in between
 */
void lapic_accept(struct vcpu *vcpu, int vector)
{
	struct lapic *apic = vcpu->arch.lapic;

	irr_clear(apic, vector);
	if (hv_auto_eoi(vcpu, vector))
		return;
	__set_bit(vector % 32, lapic_vector_word(apic, APIC_ISR, vector));
	apic->in_service = vector;
}

/**
 * lapic_eoi() - end of the interrupt in service
 * @vcpu:	in its own thread
 *
 * The EOI of a level-triggered interrupt is broadcast to the IOAPIC, be it
 * ours or user space's; of others, too, somebody may want to know.
 */
void lapic_eoi(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;
	int vector = lapic_in_service(apic);

	if (vector < 0)
		return;
	__clear_bit(vector % 32, lapic_vector_word(apic, APIC_ISR, vector));
	apic->in_service = lapic_bank_highest(apic, APIC_ISR);
	irqchip_eoi(vcpu, vector, lapic_test_vector(apic, APIC_TMR, vector));
	/* What is still to be collected has made its own request. */
	if (irr_in_use(apic))
		vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/**
 * lapic_directed_eoi() - has the guest switched EOI broadcasts off?
 * @vcpu:	the vCPU
 *
 * Return: SVR bit 12; it can be set only where the version register has it.
 */
bool lapic_directed_eoi(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;

	return apic && (lapic_reg(apic, APIC_SPIV) & APIC_SPIV_DIRECTED_EOI);
}

/*
 * The page of registers may be the CPU's while this runs: so not into IRR, but where
 * the vCPU finds it before it enters again.
 */
static void arrive(struct lapic *apic, unsigned int vector, bool level)
{
	unsigned long *tmr = lapic_vector_word(apic, APIC_TMR, vector);

	if (level != test_bit(vector % 32, tmr))
		assign_bit(vector % 32, tmr, level);
	if (lapic_hardware_post(apic, vector))
		return;
	/* One that is there has been announced by who set it. */
	if (test_and_set_bit(vector, apic->arrived.vectors))
		return;
	WRITE_ONCE(apic->arrived.on, 1);
	vcpu_request(apic->vcpu, VCPU_REQ_EVENT);
	vcpu_kick(apic->vcpu);
}

static void collect(struct lapic *apic, struct lapic_mail *mail)
{
	unsigned int vector;

	if (likely(!READ_ONCE(mail->on)))
		return;
	WRITE_ONCE(mail->on, 0);
	smp_mb();
	for_each_set_bit(vector, mail->vectors, 256) {
		if (!test_and_clear_bit(vector, mail->vectors))
			continue;
		__set_bit(vector % 32, lapic_vector_word(apic, APIC_IRR, vector));
		if (apic->hardware)
			lapic_hardware_arrived(apic, vector);
	}
	apic->irr_pending = true;
}

/**
 * lapic_collect() - put what has arrived into IRR
 * @apic:	whose vCPU's thread this is, or whose vcpu->lock is held
 */
void lapic_collect(struct lapic *apic)
{
	collect(apic, &apic->arrived);
	if (apic->vcpu->arch.posted)
		collect(apic, apic->vcpu->arch.posted);
}

static void drop(struct lapic_mail *mail)
{
	unsigned int vector;

	for_each_set_bit(vector, mail->vectors, 256)
		clear_bit(vector, mail->vectors);
}

/* What is on its way belongs to the state that is being replaced. */
static void drop_arrivals(struct lapic *apic)
{
	drop(&apic->arrived);
	if (apic->vcpu->arch.posted)
		drop(apic->vcpu->arch.posted);
}

/*
 * Errors (SDM vol. 3, 11.5.3)
 */

/* In the page, since they migrate; the register is a reserved one, which nobody can read. */
static unsigned long *errors_noted(struct lapic *apic)
{
	return apic->regs + APIC_ERRORS_NOTED;
}

/**
 * lapic_error() - an error was detected
 * @apic:	that has detected it
 * @error:	bit of ESR
 *
 * The first one since ESR was last written is told by LVT's error entry.
 *
 * Context: any but NMI.
 */
void lapic_error(struct lapic *apic, enum lapic_error error)
{
	bool armed = !READ_ONCE(*errors_noted(apic));

	set_bit(error, errors_noted(apic));
	if (armed)
		lapic_local(apic->vcpu, APIC_LVTERR);
}

/* Whatever is written: what was noted is shown, and nothing is noted. */
static void write_esr(struct lapic *apic)
{
	u32 esr = 0;
	int error;

	for (error = LAPIC_SENT_ILLEGAL; error <= LAPIC_ILLEGAL_REGISTER; error++)
		esr |= test_and_clear_bit(error, errors_noted(apic)) << error;
	lapic_set_reg(apic, APIC_ESR, esr);
}

static bool accept_fixed(struct lapic *apic, const struct apic_msg *msg)
{
	if ((msg->level && !msg->assert) || !lapic_sw_enabled(apic))
		return false;
	/* It has arrived, but IRR has no bit for it. */
	if (lapic_vector_illegal(msg->vector)) {
		lapic_error(apic, LAPIC_RECEIVED_ILLEGAL);
		return true;
	}
	arrive(apic, msg->vector, msg->level);
	return true;
}

static bool accept_nmi(struct lapic *apic, const struct apic_msg *msg)
{
	queue_nmi(apic->vcpu);
	vcpu_kick(apic->vcpu);
	return true;
}

static bool accept_init(struct lapic *apic, const struct apic_msg *msg)
{
	/* INIT level de-assert is a thing of the past (SDM vol. 3, 11.6.1). */
	if (msg->level && !msg->assert)
		return false;
	/* An INIT makes a SIPI that came before it meaningless. */
	WRITE_ONCE(apic->vcpu->arch.pending_init_sipi, BIT(PENDING_INIT));
	vcpu_request(apic->vcpu, VCPU_REQ_EVENT);
	vcpu_kick(apic->vcpu);
	return true;
}

static bool accept_sipi(struct lapic *apic, const struct apic_msg *msg)
{
	WRITE_ONCE(apic->vcpu->arch.sipi_vector, msg->vector);
	/* Pairs with lapic_take_init_sipi(): the vector is there first. */
	smp_wmb();
	set_bit(PENDING_SIPI, &apic->vcpu->arch.pending_init_sipi);
	vcpu_request(apic->vcpu, VCPU_REQ_EVENT);
	vcpu_kick(apic->vcpu);
	return true;
}

static bool accept_smi(struct lapic *apic, const struct apic_msg *msg)
{
	vcpu_request(apic->vcpu, VCPU_REQ_SMI);
	vcpu_kick(apic->vcpu);
	return true;
}

/* The two without a row are not delivered, as in KVM. */
static bool (* const accept[8])(struct lapic *apic, const struct apic_msg *msg) = {
	[APIC_DM_FIXED >> 8]	= accept_fixed,
	[APIC_DM_LOWEST >> 8]	= accept_fixed,
	[APIC_DM_SMI >> 8]	= accept_smi,
	[APIC_DM_NMI >> 8]	= accept_nmi,
	[APIC_DM_INIT >> 8]	= accept_init,
	[APIC_DM_STARTUP >> 8]	= accept_sipi,
};

/**
 * lapic_accept_msg() - a message has arrived
 * @apic:	that it is for
 * @msg:	the message; who it is for is settled
 *
 * Context: any but NMI. Return: whether it had an effect.
 */
bool lapic_accept_msg(struct lapic *apic, const struct apic_msg *msg)
{
	if (!lapic_hw_enabled(apic) || !accept[msg->delivery & 7])
		return false;
	return accept[msg->delivery & 7](apic, msg);
}

/**
 * lapic_local() - a local interrupt source is up
 * @vcpu:	whose
 * @lvt:	offset of its LVT register
 *
 * ExtINT at LINT0 is no message but a state: see lapic_accepts_pic().
 *
 * Context: any but NMI. Return: whether it had an effect.
 */
bool lapic_local(struct vcpu *vcpu, unsigned int lvt)
{
	struct lapic *apic = vcpu->arch.lapic;
	struct apic_msg msg = { .assert = true };
	u32 value;

	if (!apic)
		return false;
	value = lapic_reg(apic, lvt);
	if (value & APIC_LVT_MASKED)
		return false;
	msg.vector = value & APIC_VECTOR_MASK;
	msg.delivery = (value & APIC_MODE_MASK) >> 8;
	msg.level = value & APIC_LVT_LEVEL_TRIGGER;
	/* The performance counters' entry masks itself (SDM vol. 3, 11.5.1). */
	if (lvt == APIC_LVTPC)
		lapic_set_reg(apic, lvt, value | APIC_LVT_MASKED);
	return lapic_accept_msg(apic, &msg);
}

/**
 * lapic_nmi_watchdog() - the PIT ticks: an NMI where LINT0 is set up so
 * @vm:	the VM
 *
 * Context: any but NMI.
 */
void lapic_nmi_watchdog(struct vm *vm)
{
	struct vcpu *vcpu;
	unsigned long i;

	vm_for_each_vcpu(i, vcpu, vm) {
		if (vcpu->arch.lapic &&
		    (lapic_reg(vcpu->arch.lapic, APIC_LVT0) & APIC_MODE_MASK) == APIC_DM_NMI)
			lapic_local(vcpu, APIC_LVT0);
	}
}

/**
 * lapic_accepts_pic() - does the PIC's output reach this processor?
 * @vcpu:	any
 *
 * Context: any. Return: true if LINT0 is an unmasked ExtINT, or the LAPIC is
 * off: then the pin is plain INTR.
 */
bool lapic_accepts_pic(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;
	u32 lint0;

	if (!apic)
		return false;
	lint0 = lapic_reg(apic, APIC_LVT0);
	return !lapic_hw_enabled(apic) ||
	       (lint0 & (APIC_LVT_MASKED | APIC_MODE_MASK)) == APIC_DM_EXTINT;
}

/**
 * lapic_has_init_sipi() - has an INIT or a SIPI come that is to be acted on?
 * @vcpu:	any
 *
 * In SMM they are latched until RSM: SDM vol. 3, 31.3.
 *
 * Context: any.
 */
bool lapic_has_init_sipi(struct vcpu *vcpu)
{
	return vcpu->arch.lapic && READ_ONCE(vcpu->arch.pending_init_sipi) && !in_smm(vcpu);
}

static void start_at_sipi(struct vcpu *vcpu)
{
	struct kvm_segment cs;
	u8 vector;

	/* Pairs with accept_sipi(). */
	smp_rmb();
	vector = READ_ONCE(vcpu->arch.sipi_vector);
	static_call(vendor_get_segment)(vcpu, SEG_CS, &cs);
	cs.selector = vector << 8;
	cs.base = vector << 12;
	static_call(vendor_set_segment)(vcpu, SEG_CS, &cs);
	vcpu->arch.rip = 0;
}

/**
 * lapic_take_init_sipi() - act on the INIT and the SIPI that have come
 * @vcpu:	loaded, in its own thread
 *
 * An INIT resets the processor: the boot processor then runs, others wait for
 * a SIPI; a SIPI that nobody waits for is lost (SDM vol. 3, 9.4.4).
 */
void lapic_take_init_sipi(struct vcpu *vcpu)
{
	unsigned long *pending = &vcpu->arch.pending_init_sipi;

	if (!lapic_has_init_sipi(vcpu))
		return;
	if (test_and_clear_bit(PENDING_INIT, pending)) {
		vcpu_reset(vcpu, true);
		vcpu->arch.mp_state = vcpu->arch.apic_base & MSR_IA32_APICBASE_BSP ?
				      KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_INIT_RECEIVED;
	}
	if (test_and_clear_bit(PENDING_SIPI, pending) &&
	    vcpu->arch.mp_state == KVM_MP_STATE_INIT_RECEIVED) {
		start_at_sipi(vcpu);
		vcpu->arch.mp_state = KVM_MP_STATE_RUNNABLE;
	}
}

/*
 * Reading registers
 */

/* Registers 16 bytes apart, as one bit each. */
#define REG_BIT(offset)		BIT_ULL((offset) >> 4)
#define REG_BANK(offset)	(0xffull << ((offset) >> 4))

#define REGS_READABLE_X2APIC \
	(REG_BIT(APIC_ID) | REG_BIT(APIC_LVR) | REG_BIT(APIC_TASKPRI) | \
	 REG_BIT(APIC_PROCPRI) | REG_BIT(APIC_LDR) | REG_BIT(APIC_SPIV) | \
	 REG_BANK(APIC_ISR) | REG_BANK(APIC_TMR) | REG_BANK(APIC_IRR) | \
	 REG_BIT(APIC_ESR) | REG_BIT(APIC_ICR) | REG_BIT(APIC_LVTT) | \
	 REG_BIT(APIC_LVTTHMR) | REG_BIT(APIC_LVTPC) | REG_BIT(APIC_LVT0) | \
	 REG_BIT(APIC_LVT1) | REG_BIT(APIC_LVTERR) | REG_BIT(APIC_TMICT) | \
	 REG_BIT(APIC_TMCCT) | REG_BIT(APIC_TDCR))
#define REGS_READABLE \
	(REGS_READABLE_X2APIC | REG_BIT(APIC_ARBPRI) | REG_BIT(APIC_DFR) | \
	 REG_BIT(APIC_ICR2))

/**
 * lapic_version() - the version register, as this guest finds it
 * @apic:	the APIC
 *
 * Directed EOI is offered only where the IOAPIC has an EOI register: that is
 * user space's, perhaps; ours has none, and guests are known to forget to ask.
 */
u32 lapic_version(struct lapic *apic)
{
	u32 version = LAPIC_VERSION | (LAPIC_LVTS - 1) << 16;

	if (!apic->vcpu->vm->arch.ioapic && guest_has(apic->vcpu, X86_FEATURE_X2APIC))
		version |= APIC_LVR_DIRECTED_EOI;
	return version;
}

/**
 * lapic_readable() - is there a register to be read?
 * @apic:	the APIC, in whichever mode
 * @offset:	of the register, a multiple of 16
 */
bool lapic_readable(struct lapic *apic, unsigned int offset)
{
	u64 readable = lapic_is_x2apic(apic) ? REGS_READABLE_X2APIC : REGS_READABLE;

	return offset <= APIC_TDCR && (readable & REG_BIT(offset));
}

/* -EINVAL: there is no such register, or it can't be read. */
static int reg_read(struct lapic *apic, unsigned int offset, u32 *value)
{
	if (!lapic_readable(apic, offset))
		return -EINVAL;
	lapic_collect(apic);
	switch (offset) {
	case APIC_LVR:
		*value = lapic_version(apic);
		break;
	case APIC_PROCPRI:
		*value = lapic_ppr(apic);
		break;
	case APIC_TMCCT:
		*value = lapic_timer_count(apic);
		break;
	case APIC_ARBPRI:
		*value = 0;
		break;
	default:
		*value = lapic_reg(apic, offset);
	}
	return 0;
}

/*
 * Writing registers
 */

static void write_id(struct lapic *apic, u32 value)
{
	lapic_set_reg(apic, APIC_ID, value & 0xff000000);
	apic_map_rebuild(apic->vcpu->vm);
}

static void set_tpr(struct lapic *apic, u32 value)
{
	u32 old = lapic_reg(apic, APIC_TASKPRI);

	lapic_set_reg(apic, APIC_TASKPRI, value & APIC_TPRI_MASK);
	apic->vcpu->arch.cr8 = (value & APIC_TPRI_MASK) >> 4;
	/* Raising it can only hold interrupts back. */
	if (irr_in_use(apic) && (value & APIC_TPRI_MASK) < old)
		vcpu_request(apic->vcpu, VCPU_REQ_EVENT);
}

static void write_ldr(struct lapic *apic, u32 value)
{
	lapic_set_reg(apic, APIC_LDR, value & APIC_LDR_MASK);
	apic_map_rebuild(apic->vcpu->vm);
}

static void write_dfr(struct lapic *apic, u32 value)
{
	lapic_set_reg(apic, APIC_DFR, value | APIC_DFR_CLUSTER);
	apic_map_rebuild(apic->vcpu->vm);
}

static void write_spiv(struct lapic *apic, u32 value)
{
	u32 old = lapic_reg(apic, APIC_SPIV);
	u32 bits = APIC_VECTOR_MASK | APIC_SPIV_APIC_ENABLED | APIC_SPIV_FOCUS_DISABLED;
	unsigned int i;

	if (lapic_version(apic) & APIC_LVR_DIRECTED_EOI)
		bits |= APIC_SPIV_DIRECTED_EOI;
	lapic_set_reg(apic, APIC_SPIV, value & bits);
	/* Software disable masks all LVTs (SDM vol. 3, 11.4.7.2). */
	for (i = 0; !lapic_sw_enabled(apic) && i < LAPIC_LVTS; i++)
		lapic_set_reg(apic, lvts[i].offset,
			      lapic_reg(apic, lvts[i].offset) | APIC_LVT_MASKED);
	if ((old ^ value) & APIC_SPIV_APIC_ENABLED)
		apic_map_rebuild(apic->vcpu->vm);
}

static void write_icr(struct lapic *apic, u32 value)
{
	value &= ~APIC_ICR_BUSY;
	lapic_set_reg(apic, APIC_ICR, value);
	lapic_send_icr(apic, value, lapic_reg(apic, APIC_ICR2) >> 24);
}

static u32 lvtt_bits(struct lapic *apic)
{
	return LVT_BITS | APIC_LVT_TIMER_PERIODIC |
	       (guest_has(apic->vcpu, X86_FEATURE_TSC_DEADLINE_TIMER) ?
		APIC_LVT_TIMER_TSCDEADLINE : 0);
}

static void write_lvt(struct lapic *apic, unsigned int offset, u32 value)
{
	const struct lvt_row *row = lvts;

	while (row->offset != offset)
		row++;
	if (!lapic_sw_enabled(apic))
		value |= APIC_LVT_MASKED;
	if (offset == APIC_LVTT)
		lapic_timer_set_lvt(apic, value & lvtt_bits(apic));
	else
		lapic_set_reg(apic, offset, value & row->bits);
	/* LINT0 may have opened to a PIC that has been waiting. */
	if (offset == APIC_LVT0)
		vcpu_request(apic->vcpu, VCPU_REQ_EVENT);
}

static void write_tmict(struct lapic *apic, u32 value)
{
	if ((lapic_reg(apic, APIC_LVTT) & APIC_LVT_TIMER_TSCDEADLINE))
		return;
	lapic_set_reg(apic, APIC_TMICT, value);
	lapic_timer_restart(apic);
}

/* Registers that exist in one of the modes only. -EINVAL: not in this one. */
static int mode_reg_write(struct lapic *apic, unsigned int offset, u32 value)
{
	bool x2apic = lapic_is_x2apic(apic);

	switch (offset) {
	case APIC_ID:
		if (!x2apic)
			write_id(apic, value);
		return x2apic ? -EINVAL : 0;
	case APIC_LDR:
		if (!x2apic)
			write_ldr(apic, value);
		return x2apic ? -EINVAL : 0;
	case APIC_DFR:
		if (!x2apic)
			write_dfr(apic, value);
		return x2apic ? -EINVAL : 0;
	case APIC_ICR2:
		if (!x2apic)
			lapic_set_reg(apic, APIC_ICR2, value & 0xff000000);
		return x2apic ? -EINVAL : 0;
	case APIC_ESR:
		if (x2apic && value)
			return -EINVAL;
		write_esr(apic);
		return 0;
	case APIC_SELF_IPI:
		if (x2apic)
			lapic_send_icr(apic, APIC_DEST_SELF | (value & APIC_VECTOR_MASK), 0);
		return x2apic ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

static int reg_write(struct lapic *apic, unsigned int offset, u32 value)
{
	switch (offset) {
	case APIC_TASKPRI:
		set_tpr(apic, value);
		return 0;
	case APIC_EOI:
		lapic_eoi(apic->vcpu);
		return 0;
	case APIC_SPIV:
		write_spiv(apic, value);
		return 0;
	case APIC_ICR:
		write_icr(apic, value);
		return 0;
	case APIC_LVTT:
	case APIC_LVTTHMR:
	case APIC_LVTPC:
	case APIC_LVT0:
	case APIC_LVT1:
	case APIC_LVTERR:
		write_lvt(apic, offset, value);
		return 0;
	case APIC_TMICT:
		write_tmict(apic, value);
		return 0;
	case APIC_TDCR:
		lapic_timer_set_divide(apic, value & 0xb);
		return 0;
	default:
		return mode_reg_write(apic, offset, value);
	}
}

/**
 * lapic_msr_read() - read a register by an MSR of its own
 * @vcpu:	the vCPU
 * @offset:	of the register
 * @value:	out; the ICR's is 64 bits wide
 *
 * x2APIC's MSRs, and Hyper-V's three, which are there in either mode.
 *
 * Return: 0, or 1 for #GP.
 */
int lapic_msr_read(struct vcpu *vcpu, unsigned int offset, u64 *value)
{
	struct lapic *apic = vcpu->arch.lapic;
	u32 low;

	if (!apic || reg_read(apic, offset, &low))
		return 1;
	*value = low;
	if (offset == APIC_ICR)
		*value |= (u64)lapic_reg(apic, APIC_ICR2) << 32;
	return 0;
}

/* Like KVM up to 6.10, reserved bits of the low half are accepted. */
static void write_icr64(struct lapic *apic, u64 value)
{
	u32 dest = value >> 32;

	value &= ~(u64)APIC_ICR_BUSY;
	lapic_set_reg(apic, APIC_ICR, value);
	lapic_set_reg(apic, APIC_ICR2, lapic_is_x2apic(apic) ? dest : dest & 0xff000000);
	lapic_send_icr(apic, value, lapic_is_x2apic(apic) ? dest : dest >> 24);
}

/**
 * lapic_msr_write() - write a register by an MSR of its own
 * @vcpu:	the vCPU, loaded
 * @offset:	of the register
 * @value:	that is written; an EOI's may be anything of 32 bits
 *
 * Return: 0, or 1 for #GP.
 */
int lapic_msr_write(struct vcpu *vcpu, unsigned int offset, u64 value)
{
	struct lapic *apic = vcpu->arch.lapic;

	if (!apic)
		return 1;
	if (offset == APIC_ICR) {
		write_icr64(apic, value);
		return 0;
	}
	return value >> 32 || reg_write(apic, offset, value) ? 1 : 0;
}

/**
 * lapic_x2apic_read() - RDMSR of 0x800 to 0x8ff
 * @vcpu:	the vCPU
 * @msr:	the MSR
 * @value:	out
 *
 * Return: 0, or 1 for #GP.
 */
int lapic_x2apic_read(struct vcpu *vcpu, u32 msr, u64 *value)
{
	struct lapic *apic = vcpu->arch.lapic;

	return !apic || !lapic_is_x2apic(apic) ||
	       lapic_msr_read(vcpu, (msr - APIC_BASE_MSR) << 4, value);
}

/**
 * lapic_x2apic_write() - WRMSR to 0x800 to 0x8ff
 * @vcpu:	the vCPU, loaded
 * @msr:	the MSR
 * @value:	that is written
 *
 * Return: 0, or 1 for #GP.
 */
int lapic_x2apic_write(struct vcpu *vcpu, u32 msr, u64 value)
{
	struct lapic *apic = vcpu->arch.lapic;

	return !apic || !lapic_is_x2apic(apic) ||
	       lapic_msr_write(vcpu, (msr - APIC_BASE_MSR) << 4, value);
}

/* Registers that are there, if not to be read: of the others, an access is an error. */
#define REGS_THERE \
	(REGS_READABLE | REG_BIT(APIC_EOI) | REG_BIT(APIC_RRR) | REG_BIT(APIC_LVTCMCI))

static void note_illegal_register(struct lapic *apic, unsigned int offset)
{
	if (offset > APIC_TDCR || !(REGS_THERE & REG_BIT(offset)))
		lapic_error(apic, LAPIC_ILLEGAL_REGISTER);
}

/*
 * Is @gpa in the APIC's page? Then @answers says whether the APIC is there: in
 * the other modes the page is a hole, whose accesses KVM swallows unless user
 * space has switched that quirk off.
 */
static int mmio_claim(struct vcpu *vcpu, gpa_t gpa, bool *answers)
{
	struct lapic *apic = vcpu->arch.lapic;

	if (!apic || (gpa ^ vcpu->arch.apic_base) >> PAGE_SHIFT)
		return -EOPNOTSUPP;
	*answers = lapic_hw_enabled(apic) && !lapic_is_x2apic(apic);
	if (!*answers && (vcpu->vm->arch.disabled_quirks & KVM_X86_QUIRK_LAPIC_MMIO_HOLE))
		return -EOPNOTSUPP;
	return 0;
}

/**
 * lapic_mmio_read() - a guest reads the APIC's page
 * @vcpu:	that reads
 * @gpa:	where
 * @len:	in bytes
 * @data:	out: @len bytes
 *
 * Return: 0, or -EOPNOTSUPP if there is no APIC at @gpa.
 */
int lapic_mmio_read(struct vcpu *vcpu, gpa_t gpa, unsigned int len, void *data)
{
	unsigned int offset = gpa & ~PAGE_MASK;
	bool answers;
	u32 value;

	if (mmio_claim(vcpu, gpa, &answers))
		return -EOPNOTSUPP;
	memset(data, answers ? 0 : 0xff, len);
	if (answers)
		note_illegal_register(vcpu->arch.lapic, offset);
	if (answers && (offset & 0xf) + len <= 4 &&
	    !reg_read(vcpu->arch.lapic, offset & ~0xf, &value))
		memcpy(data, (void *)&value + (offset & 0xf), len);
	return 0;
}

/**
 * lapic_mmio_write() - a guest writes the APIC's page
 * @vcpu:	that writes, loaded
 * @gpa:	where
 * @len:	in bytes
 * @data:	@len bytes
 *
 * Registers take aligned 32-bit writes (SDM vol. 3, 11.4.1); others are lost.
 *
 * Return: 0, or -EOPNOTSUPP if there is no APIC at @gpa.
 */
int lapic_mmio_write(struct vcpu *vcpu, gpa_t gpa, unsigned int len, const void *data)
{
	unsigned int offset = gpa & ~PAGE_MASK;
	bool answers;
	u32 value;

	if (mmio_claim(vcpu, gpa, &answers))
		return -EOPNOTSUPP;
	if (answers)
		note_illegal_register(vcpu->arch.lapic, offset);
	if (answers && len == 4 && !(offset & 0xf)) {
		memcpy(&value, data, sizeof(value));
		reg_write(vcpu->arch.lapic, offset, value);
	}
	return 0;
}

/**
 * lapic_get_tpr() - CR8, the task priority, wherever it is kept
 * @vcpu:	the vCPU
 */
u64 lapic_get_tpr(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;

	return apic ? (lapic_reg(apic, APIC_TASKPRI) & 0xf0) >> 4 : vcpu->arch.cr8;
}

/**
 * lapic_set_tpr() - write CR8, likewise
 * @vcpu:	the vCPU
 * @cr8:	0 to 15
 */
void lapic_set_tpr(struct vcpu *vcpu, u64 cr8)
{
	if (vcpu->arch.lapic)
		set_tpr(vcpu->arch.lapic, (cr8 & 0xf) << 4);
	else
		vcpu->arch.cr8 = cr8;
}

/*
 * IA32_APIC_BASE
 */

/* Bits that are legal in themselves; x2APIC without enable is no mode. */
static bool base_valid(struct vcpu *vcpu, u64 base)
{
	unsigned int width = vcpu->arch.cpuid.max_phyaddr ?: 36;
	u64 legal = GENMASK_ULL(width - 1, PAGE_SHIFT) | MSR_IA32_APICBASE_BSP |
		    MSR_IA32_APICBASE_ENABLE;

	if (guest_has(vcpu, X86_FEATURE_X2APIC))
		legal |= X2APIC_ENABLE;
	return !(base & ~legal) &&
	       (base & (X2APIC_ENABLE | XAPIC_ENABLE)) != X2APIC_ENABLE;
}

/*
 * Out of x2APIC mode a guest gets only by disabling the APIC, and into it only
 * by xAPIC mode (SDM vol. 3, figure 11-27).
 */
static bool base_transition_ok(u64 from, u64 to)
{
	const u64 x2apic = XAPIC_ENABLE | X2APIC_ENABLE;

	from &= x2apic;
	to &= x2apic;
	return !(from == x2apic && to == XAPIC_ENABLE) && !(!from && to == x2apic);
}

/* The ID register has another form in each mode, and LDR another origin. */
static void set_ids(struct lapic *apic)
{
	u32 id = apic->vcpu->id;

	lapic_set_reg(apic, APIC_ID, id << 24);
	if (lapic_is_x2apic(apic)) {
		lapic_set_reg(apic, APIC_ID, id);
		lapic_set_reg(apic, APIC_LDR, lapic_x2apic_ldr(id));
	}
}

/**
 * lapic_set_base() - write IA32_APIC_BASE
 * @vcpu:	the vCPU, which may be without an APIC of ours
 * @base:	the new value
 * @user:	user space writes, and may change the mode at will
 *
 * Context: sleeps. Return: 0, or 1 for #GP with nothing changed.
 */
int lapic_set_base(struct vcpu *vcpu, u64 base, bool user)
{
	struct lapic *apic = vcpu->arch.lapic;
	u64 old = vcpu->arch.apic_base;

	if (!base_valid(vcpu, base) || !(user || base_transition_ok(old, base)))
		return 1;
	WRITE_ONCE(vcpu->arch.apic_base, base);
	if ((old ^ base) & MSR_IA32_APICBASE_ENABLE)
		cpuid_runtime(vcpu);
	if (!apic)
		return 0;
	if ((old ^ base) & (XAPIC_ENABLE | X2APIC_ENABLE)) {
		if (lapic_hw_enabled(apic))
			set_ids(apic);
		apic_map_rebuild(vcpu->vm);
		lapic_hardware_update(vcpu);
		vcpu_request(vcpu, VCPU_REQ_EVENT);
	}
	return 0;
}

/*
 * Save and restore
 */

/*
 * In x2APIC mode KVM's image has the id in bits 31:24 like xAPIC's, unless
 * user space asked for KVM_CAP_X2APIC_API's 32-bit ids.
 */
static bool image_id_shifted(struct lapic *apic)
{
	return lapic_is_x2apic(apic) && !apic->vcpu->vm->arch.x2apic_api_32bit;
}

static u32 image_get(const struct kvm_lapic_state *s, unsigned int offset)
{
	u32 value;

	memcpy(&value, s->regs + offset, sizeof(value));
	return value;
}

static void image_set(struct kvm_lapic_state *s, unsigned int offset, u32 value)
{
	memcpy(s->regs + offset, &value, sizeof(value));
}

/**
 * lapic_get_state() - KVM_GET_LAPIC
 * @vcpu:	loaded
 * @s:		out
 *
 * What can be lost between this and KVM_GET_MSRS is not changed here: a TSC
 * deadline that has passed is still in its MSR. Interrupts of the other modes
 * have nowhere else to be, and are put into IRR first.
 *
 * Return: 0, or -EINVAL without a LAPIC.
 */
int lapic_get_state(struct vcpu *vcpu, struct kvm_lapic_state *s)
{
	struct lapic *apic = vcpu->arch.lapic;
	u32 count;

	if (!apic)
		return -EINVAL;
	count = lapic_timer_count(apic);
	if (!apic->timer.tsc_deadline)
		lapic_timer_take(vcpu);
	lapic_collect(apic);
	memcpy(s->regs, apic->regs, LAPIC_STATE_SIZE);
	image_set(s, APIC_TMCCT, count);
	image_set(s, APIC_PROCPRI, lapic_ppr(apic));
	image_set(s, APIC_LVR, lapic_version(apic));
	if (image_id_shifted(apic))
		image_set(s, APIC_ID, lapic_reg(apic, APIC_ID) << 24);
	return 0;
}

/**
 * lapic_set_state() - KVM_SET_LAPIC
 * @vcpu:	loaded
 * @s:		the image; the mode is IA32_APIC_BASE's, which is set before
 *
 * Context: sleeps.
 * Return: 0, or -EINVAL, with nothing changed, without a LAPIC or for an
 * x2APIC id that is not the vCPU's.
 */
int lapic_set_state(struct vcpu *vcpu, const struct kvm_lapic_state *s)
{
	struct lapic *apic = vcpu->arch.lapic;

	if (!apic)
		return -EINVAL;
	if (lapic_is_x2apic(apic) && vcpu->vm->arch.x2apic_api_32bit &&
	    image_get(s, APIC_ID) != vcpu->id)
		return -EINVAL;
	lapic_timer_stop(apic);
	drop_arrivals(apic);
	memcpy(apic->regs, s->regs, LAPIC_STATE_SIZE);
	*errors_noted(apic) &= LAPIC_ERRORS;
	/* Neither is writable there, and 8 bits of an image can't hold each id. */
	if (lapic_is_x2apic(apic))
		set_ids(apic);
	vcpu->arch.cr8 = lapic_get_tpr(vcpu);
	apic->in_service = lapic_bank_highest(apic, APIC_ISR);
	apic->irr_pending = true;
	lapic_hardware_update(vcpu);
	lapic_timer_restore(apic, image_get(s, APIC_TMCCT));
	apic_map_rebuild(vcpu->vm);
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	return 0;
}

/*
 * Life
 */

/**
 * lapic_reset() - power-up, or INIT
 * @vcpu:	loaded, or not yet seen by anybody
 * @init:	INIT keeps the mode, the base and an x2APIC's id
 *
 * Context: sleeps.
 */
void lapic_reset(struct vcpu *vcpu, bool init)
{
	struct lapic *apic = vcpu->arch.lapic;
	bool bsp = vcpu->id == vcpu->vm->arch.bsp_id;
	unsigned int i;

	if (!init)
		WRITE_ONCE(vcpu->arch.apic_base, APIC_DEFAULT_PHYS_BASE |
			   MSR_IA32_APICBASE_ENABLE | (bsp ? MSR_IA32_APICBASE_BSP : 0));
	if (!apic)
		return;
	lapic_timer_stop(apic);
	drop_arrivals(apic);
	memset(apic->regs, 0, LAPIC_STATE_SIZE);
	set_ids(apic);
	lapic_set_reg(apic, APIC_DFR, APIC_DFR_FLAT);
	lapic_set_reg(apic, APIC_SPIV, 0xff);
	for (i = 0; i < LAPIC_LVTS; i++)
		lapic_set_reg(apic, lvts[i].offset, APIC_LVT_MASKED);
	/* What firmware would do: virtual wire mode on the boot processor. */
	if (bsp && !(vcpu->vm->arch.disabled_quirks & KVM_X86_QUIRK_LINT0_REENABLED))
		lapic_set_reg(apic, APIC_LVT0, APIC_DM_EXTINT);
	vcpu->arch.cr8 = 0;
	apic->irr_pending = false;
	apic->in_service = -1;
	lapic_hardware_update(vcpu);
	apic_map_rebuild(vcpu->vm);
}

/**
 * lapic_create() - give a vCPU its LAPIC
 * @vcpu:	being created; the VM has an irqchip. lapic_reset() comes next
 *
 * Context: may sleep. Return: 0 or -ENOMEM.
 */
int lapic_create(struct vcpu *vcpu)
{
	struct lapic *apic = kzalloc(sizeof(*apic), GFP_KERNEL_ACCOUNT);

	if (!apic)
		return -ENOMEM;
	apic->regs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!apic->regs || lapic_hardware_create(vcpu)) {
		free_page((unsigned long)apic->regs);
		kfree(apic);
		return -ENOMEM;
	}
	apic->vcpu = vcpu;
	apic->in_service = -1;
	lapic_timer_init(apic);
	vcpu->arch.lapic = apic;
	return 0;
}

/**
 * lapic_destroy() - and take it away again
 * @vcpu:	being destroyed; nobody sends it messages any more
 */
void lapic_destroy(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;

	if (!apic)
		return;
	hrtimer_cancel(&apic->timer.hrtimer);
	free_page((unsigned long)apic->regs);
	kfree(vcpu->arch.posted);
	kfree(apic);
	vcpu->arch.lapic = NULL;
}
