// SPDX-License-Identifier: GPL-2.0
/*
 * A local APIC that hardware has a part in (SDM vol. 3, ch. 29): in x2APIC mode the
 * guest reads most registers, sets its TPR and ends interrupts without an exit, and
 * the CPU delivers what is in IRR as soon as the guest can take it. So no window is
 * asked for, and nothing is injected but a PIC's interrupts. Where hardware can be sent
 * them (29.6), those whose EOI nobody wants to see reach IRR while the guest runs.
 *
 * The registers stay where they are, in apic->regs, and mean what they always mean:
 * hardware works on that page while the vCPU is in the guest, we do while it is not.
 * Beside it hardware has the best vector of IRR and the one of ISR, which it keeps in
 * step by itself; lapic_hardware_sync() tells it what we have changed.
 *
 * xAPIC mode is done in software: its registers are memory, which would want a page
 * in the guest's tables that is there for some vCPUs, and not for others.
 */
#include <linux/bitops.h>
#include <linux/slab.h>
#include <minikvm/vcpu.h>
#include "x86/hyperv/hyperv.h"
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic_state.h"
#include "x86/x86.h"

/**
 * lapic_hardware() - does hardware deliver this LAPIC's interrupts?
 * @vcpu:	in its own thread
 */
bool lapic_hardware(struct vcpu *vcpu)
{
	return vcpu->arch.lapic && vcpu->arch.lapic->hardware;
}

/**
 * lapic_hardware_create() - what hardware wants of memory, for lapic_create()
 * @vcpu:	nobody knows it yet. vcpu->arch.posted is to be freed
 *
 * Return: 0 or -ENOMEM.
 */
int lapic_hardware_create(struct vcpu *vcpu)
{
	/* Of a power of two, so that it is aligned to it: 26.2.1.1. */
	if (vendor_caps.posted_irqs)
		vcpu->arch.posted = kzalloc(sizeof(*vcpu->arch.posted), GFP_KERNEL_ACCOUNT);
	return vendor_caps.posted_irqs && !vcpu->arch.posted ? -ENOMEM : 0;
}

/*
 * The current count is not in the page, and of the ICR only half is where hardware
 * would look.
 */
static bool offset_readable(struct lapic *apic, unsigned int offset)
{
	return offset != APIC_TMCCT && offset != APIC_ICR && lapic_readable(apic, offset);
}

/**
 * lapic_hardware_msr() - is this one of the MSRs that need not exit?
 * @vcpu:	with a LAPIC in x2APIC mode
 * @msr:	0x800 to 0x8ff
 * @write:	it is written
 */
bool lapic_hardware_msr(struct vcpu *vcpu, u32 msr, bool write)
{
	unsigned int offset = (msr - APIC_BASE_MSR) << 4;

	if (!write)
		return offset_readable(vcpu->arch.lapic, offset);
	return offset == APIC_TASKPRI || offset == APIC_EOI || offset == APIC_SELF_IPI;
}

static bool wants_eoi(struct lapic *apic, unsigned int vector)
{
	return irqchip_wants_eoi(apic->vcpu, vector, lapic_test_vector(apic, APIC_TMR, vector));
}

static void write_eoi_exits(struct lapic *apic)
{
	static_call(vendor_apic_eoi_exits)(apic->vcpu, (const u64 *)apic->eoi_exits);
}

/**
 * lapic_hardware_arrived() - an interrupt comes to IRR: is its EOI for us to see?
 * @apic:	whose; hardware has a part in it
 * @vector:	of the interrupt, which is not delivered yet
 *
 * Context: as lapic_collect(), the vCPU loaded.
 */
void lapic_hardware_arrived(struct lapic *apic, unsigned int vector)
{
	if (wants_eoi(apic, vector) == test_bit(vector, apic->eoi_exits))
		return;
	__change_bit(vector, apic->eoi_exits);
	write_eoi_exits(apic);
}

/* The CPU that is in the guest takes it; else the vCPU itself does, before it enters. */
static void tell_of_posted(struct vcpu *vcpu)
{
	int here = get_cpu(), cpu = READ_ONCE(vcpu->cpu);

	if (cpu >= 0 && cpu != here && atomic_read(&vcpu->mode) == VCPU_IN_GUEST) {
		static_call(vendor_apic_notify)(cpu);
	} else {
		vcpu_request(vcpu, VCPU_REQ_EVENT);
		vcpu_kick(vcpu);
	}
	put_cpu();
}

/**
 * lapic_hardware_post() - have the CPU put an interrupt into IRR, without an exit
 * @apic:	whose
 * @vector:	of the interrupt; its trigger mode is in TMR
 *
 * It is posted, then the mode is looked at; the vCPU sets VCPU_IN_GUEST and then looks for
 * what is posted (must_not_enter()). So a notification that comes when the guest has been
 * left is not missed.
 *
 * Context: any but NMI. Return: false: the vCPU has to put it there, for hardware has no part
 * in this LAPIC, or has to be told that the EOI is wanted.
 */
bool lapic_hardware_post(struct lapic *apic, unsigned int vector)
{
	struct lapic_mail *mail = apic->vcpu->arch.posted;

	if (!mail || !READ_ONCE(apic->hardware) || wants_eoi(apic, vector))
		return false;
	/* One that is there has been announced by who set it. */
	if (!test_and_set_bit(vector, mail->vectors) && !test_and_set_bit(0, &mail->on))
		tell_of_posted(apic->vcpu);
	return true;
}

/**
 * lapic_take_posted() - something was posted when the vCPU was about to enter
 * @vcpu:	loaded
 *
 * Who posted it may have made no request.
 */
void lapic_take_posted(struct vcpu *vcpu)
{
	if (!lapic_posted(vcpu))
		return;
	lapic_collect(vcpu->arch.lapic);
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/**
 * lapic_hardware_rescan() - whose EOIs are wanted may have changed
 * @vcpu:	loaded
 *
 * Of interrupts that are yet to come, lapic_collect() will ask.
 */
void lapic_hardware_rescan(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;
	unsigned int vector;

	if (!lapic_hardware(vcpu))
		return;
	for (vector = 0; vector < 256; vector++)
		__assign_bit(vector, apic->eoi_exits, wants_eoi(apic, vector) &&
			     (lapic_test_vector(apic, APIC_IRR, vector) ||
			      lapic_test_vector(apic, APIC_ISR, vector)));
	write_eoi_exits(apic);
}

/**
 * lapic_hardware_sync() - tell hardware of what is in IRR and ISR
 * @vcpu:	loaded; about to enter, for VCPU_REQ_EVENT
 */
void lapic_hardware_sync(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;

	if (!lapic_hardware(vcpu))
		return;
	lapic_collect(apic);
	static_call(vendor_apic_irqs)(vcpu, max(lapic_bank_highest(apic, APIC_IRR), 0),
				      max(lapic_bank_highest(apic, APIC_ISR), 0));
}

/*
 * A debugger that holds interrupts back does so by not injecting them. And of one that ends when
 * it is delivered hardware knows nothing.
 */
static bool wanted(struct vcpu *vcpu)
{
	return vendor_caps.apic_hardware && lapic_is_x2apic(vcpu->arch.lapic) &&
	       !(vcpu->arch.guest_debug & KVM_GUESTDBG_BLOCKIRQ) && !hv_any_auto_eoi(vcpu);
}

/* It reads what is in the page, of which this is not otherwise used. */
static void turn_on(struct lapic *apic)
{
	lapic_set_reg(apic, APIC_LVR, lapic_version(apic));
	lapic_hardware_rescan(apic->vcpu);
}

/* What hardware has changed is in the page. */
static void turn_off(struct lapic *apic)
{
	apic->in_service = lapic_bank_highest(apic, APIC_ISR);
	apic->irr_pending = true;
}

/**
 * lapic_hardware_update() - mode, registers or debugging have been changed
 * @vcpu:	loaded, or not yet seen by anybody
 */
void lapic_hardware_update(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;
	bool was;

	if (!apic)
		return;
	was = apic->hardware;
	WRITE_ONCE(apic->hardware, wanted(vcpu));
	if (apic->hardware != was)
		static_call(vendor_apic_hardware)(vcpu, apic->regs, apic->hardware);
	if (apic->hardware)
		turn_on(apic);
	else if (was)
		turn_off(apic);
	if (apic->hardware || was)
		vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/**
 * lapic_hardware_eoi() - hardware has ended an interrupt whose EOI is wanted
 * @vcpu:	loaded
 * @vector:	it is in ISR no more
 */
void lapic_hardware_eoi(struct vcpu *vcpu, u8 vector)
{
	struct lapic *apic = vcpu->arch.lapic;

	irqchip_eoi(vcpu, vector, lapic_test_vector(apic, APIC_TMR, vector));
}

/**
 * lapic_hardware_write() - a register has been written that hardware can do no more with
 * @vcpu:	loaded
 * @offset:	of the register; its value is in the page
 */
void lapic_hardware_write(struct vcpu *vcpu, unsigned int offset)
{
	lapic_x2apic_write(vcpu, APIC_BASE_MSR + (offset >> 4),
			   lapic_reg(vcpu->arch.lapic, offset));
}
