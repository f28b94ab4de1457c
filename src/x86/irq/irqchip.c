// SPDX-License-Identifier: GPL-2.0
/*
 * The irqchips taken together: making them all or none, what a GSI leads to
 * on x86, and the run loop's two questions.
 */
#include <linux/mutex.h>
#include <linux/slab.h>
#include <asm/hyperv-tlfs.h>
#include <minikvm/irq_routing.h>
#include <minikvm/vcpu.h>
#include "x86/hyperv/hyperv.h"
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic_state.h"

#define PIC_PINS		8	/* of one chip */

/*
 * Routes
 */

static int deliver_pic(struct vm *vm, const struct irq_route *route,
		       enum irq_source source, int level)
{
	return pic_set_pin(vm, route->irqchip.pin, source, level);
}

static int deliver_ioapic(struct vm *vm, const struct irq_route *route,
			  enum irq_source source, int level)
{
	return ioapic_set_pin(vm, route->irqchip.pin, source, level);
}

/* SDM vol. 3, 11.11: the form of an MSI. */
static int deliver_msi(struct vm *vm, const struct irq_route *route,
		       enum irq_source source, int level)
{
	u32 address = route->msi.address_lo, data = route->msi.data;
	struct apic_msg msg = {
		.dest = (address >> 12) & 0xff,
		.vector = data & 0xff,
		.delivery = (data >> 8) & 7,
		.level = data >> 15 & 1,
		.assert = true,
		.logical = address >> 2 & 1,
		.redirect = address >> 3 & 1,
	};

	if (!level)
		return -1;
	/* KVM_CAP_X2APIC_API: the upper word carries bits 31:8 of the id. */
	if (vm->arch.x2apic_api_32bit)
		msg.dest |= route->msi.address_hi & 0xffffff00;
	return lapic_deliver(vm, NULL, &msg);
}

static int fill_irqchip(struct vm *vm, struct irq_route *route, u32 chip, u32 pin)
{
	u32 pins = chip == KVM_IRQCHIP_IOAPIC ? KVM_IOAPIC_NUM_PINS : PIC_PINS;

	if (vm->arch.irqchip == IRQCHIP_SPLIT || chip > KVM_IRQCHIP_IOAPIC || pin >= pins)
		return -EINVAL;
	route->irqchip.chip = chip;
	route->irqchip.pin = chip == KVM_IRQCHIP_PIC_SLAVE ? pin + PIC_PINS : pin;
	route->deliver = chip == KVM_IRQCHIP_IOAPIC ? deliver_ioapic : deliver_pic;
	return 0;
}

static int fill_msi(struct vm *vm, struct irq_route *route,
		    const struct kvm_irq_routing_entry *entry)
{
	if (vm->arch.x2apic_api_32bit && (entry->u.msi.address_hi & 0xff))
		return -EINVAL;
	route->msi.address_lo = entry->u.msi.address_lo;
	route->msi.address_hi = entry->u.msi.address_hi;
	route->msi.data = entry->u.msi.data;
	route->msi.devid = entry->u.msi.devid;
	route->msi.has_devid = entry->flags & KVM_MSI_VALID_DEVID;
	route->deliver = deliver_msi;
	return 0;
}

static int deliver_sint(struct vm *vm, const struct irq_route *route,
			enum irq_source source, int level)
{
	return level ? hv_synic_raise(vm, route->line.target, route->line.nr) : -1;
}

/* A VP index may be given to a vCPU that is yet to come. */
static int fill_sint(struct vm *vm, struct irq_route *route,
		     const struct kvm_irq_routing_hv_sint *sint)
{
	if (sint->sint >= HV_SYNIC_SINT_COUNT)
		return -EINVAL;
	route->line.target = sint->vcpu;
	route->line.nr = sint->sint;
	route->deliver = deliver_sint;
	return 0;
}

/**
 * arch_irq_route_fill() - what a routing entry means on x86
 * @vm:		with an irqchip, or about to have one
 * @route:	out
 * @entry:	as user space gave it
 *
 * Return: 0, or -EINVAL: no such chip, pin or kind of route.
 */
int arch_irq_route_fill(struct vm *vm, struct irq_route *route,
			const struct kvm_irq_routing_entry *entry)
{
	switch (entry->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		return fill_irqchip(vm, route, entry->u.irqchip.irqchip,
				    entry->u.irqchip.pin);
	case KVM_IRQ_ROUTING_MSI:
		return fill_msi(vm, route, entry);
	case KVM_IRQ_ROUTING_HV_SINT:
		return fill_sint(vm, route, &entry->u.hv_sint);
	default:
		return -EINVAL;
	}
}

/**
 * arch_irqfd_allowed() - may an eventfd drive GSIs?
 * @vm:		the VM
 * @resample:	acknowledgements are asked for: only our own IOAPIC and PIC
 *		tell of them
 */
bool arch_irqfd_allowed(struct vm *vm, bool resample)
{
	enum irqchip_mode mode = smp_load_acquire(&vm->arch.irqchip);

	return mode == IRQCHIP_KERNEL || (mode == IRQCHIP_SPLIT && !resample);
}

/*
 * Until user space says otherwise, GSI n is pin n of the IOAPIC and, up to 15,
 * of the PICs. (The ISA timer's way to IOAPIC pin 2 is the VMM's to set.)
 */
static int default_routes(struct vm *vm)
{
	struct kvm_irq_routing_entry *entries, *e;
	unsigned int gsi;
	int r;

	entries = kcalloc(KVM_IOAPIC_NUM_PINS + 2 * PIC_PINS, sizeof(*entries), GFP_KERNEL);
	if (!entries)
		return -ENOMEM;
	e = entries;
	for (gsi = 0; gsi < KVM_IOAPIC_NUM_PINS; gsi++) {
		e->gsi = gsi;
		e->type = KVM_IRQ_ROUTING_IRQCHIP;
		e->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		e->u.irqchip.pin = gsi;
		e++;
		if (gsi >= 2 * PIC_PINS)
			continue;
		e->gsi = gsi;
		e->type = KVM_IRQ_ROUTING_IRQCHIP;
		e->u.irqchip.irqchip = gsi / PIC_PINS;
		e->u.irqchip.pin = gsi % PIC_PINS;
		e++;
	}
	mutex_lock(&vm->irq_lock);
	r = irq_routing_set(vm, entries, e - entries);
	mutex_unlock(&vm->irq_lock);
	kfree(entries);
	return r;
}

/*
 * Life
 */

static void chips_destroy(struct vm *vm)
{
	mutex_lock(&vm->slots_lock);
	ioapic_destroy(vm);
	pic_destroy(vm);
	mutex_unlock(&vm->slots_lock);
}

/**
 * irqchip_create() - KVM_CREATE_IRQCHIP: PICs, IOAPIC, and LAPICs to come
 * @vm:	vm->lock is held
 *
 * Context: sleeps.
 * Return: 0, or with nothing changed -EEXIST, -EINVAL (there are vCPUs),
 * -ENOMEM, -ENOSPC.
 */
int irqchip_create(struct vm *vm)
{
	int r;

	if (vm->arch.irqchip != IRQCHIP_NONE)
		return -EEXIST;
	if (vm->nvcpus)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	r = pic_create(vm);
	if (!r)
		r = ioapic_create(vm);
	mutex_unlock(&vm->slots_lock);
	if (!r)
		r = default_routes(vm);
	if (r) {
		chips_destroy(vm);
		return r;
	}
	/* Who sees the mode sees the chips and routes, too. */
	smp_store_release(&vm->arch.irqchip, IRQCHIP_KERNEL);
	return 0;
}

/**
 * irqchip_create_split() - LAPICs here, all else in user space
 * @vm:		vm->lock is held
 * @pins:	GSIs that user space's IOAPIC takes, from 0
 *
 * EOIs that leave a LAPIC are known by TMR, so @pins is checked and then not
 * needed.
 *
 * Context: sleeps. Return: 0, -EEXIST (of vCPUs as well, as KVM has it), -EINVAL.
 */
int irqchip_create_split(struct vm *vm, u64 pins)
{
	if (pins > IRQ_ROUTES_MAX)
		return -EINVAL;
	if (vm->arch.irqchip != IRQCHIP_NONE || vm->nvcpus)
		return -EEXIST;
	smp_store_release(&vm->arch.irqchip, IRQCHIP_SPLIT);
	return 0;
}

/**
 * irqchip_destroy() - the VM goes
 * @vm:	nothing raises interrupts any more, no vCPU runs
 *
 * Context: sleeps; takes vm->slots_lock. Harmless without irqchips.
 */
void irqchip_destroy(struct vm *vm)
{
	chips_destroy(vm);
	apic_map_free(vm);
}

/**
 * irqchip_get() - KVM_GET_IRQCHIP
 * @vm:		the VM
 * @chip:	chip_id is in, the rest out
 *
 * Return: 0, -ENXIO without an in-kernel irqchip, -EINVAL for an unknown one.
 */
int irqchip_get(struct vm *vm, struct kvm_irqchip *chip)
{
	if (smp_load_acquire(&vm->arch.irqchip) != IRQCHIP_KERNEL)
		return -ENXIO;
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		pic_get(vm, chip->chip_id, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_get(vm, &chip->chip.ioapic);
		return 0;
	default:
		return -EINVAL;
	}
}

/**
 * irqchip_set() - KVM_SET_IRQCHIP
 * @vm:		the VM
 * @chip:	which, and its state
 *
 * Return: as irqchip_get().
 */
int irqchip_set(struct vm *vm, const struct kvm_irqchip *chip)
{
	if (smp_load_acquire(&vm->arch.irqchip) != IRQCHIP_KERNEL)
		return -ENXIO;
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		pic_set(vm, chip->chip_id, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_set(vm, &chip->chip.ioapic);
		return 0;
	default:
		return -EINVAL;
	}
}

/*
 * The run loop's questions
 */

/*
 * ExtINT, the INTR pin of old, comes before all that the LAPIC has. Its vector
 * is the PIC's, or, if that is in user space, KVM_INTERRUPT's.
 */
static bool extint_pending(struct vcpu *vcpu)
{
	return (vcpu->arch.user_irq >= 0 || pic_output(vcpu->vm)) && lapic_accepts_pic(vcpu);
}

/**
 * irq_pending() - is there an interrupt that @vcpu would take with IF set?
 * @vcpu:	in its own thread
 *
 * A LAPIC timer that has fired becomes an interrupt here at the latest.
 */
bool irq_pending(struct vcpu *vcpu)
{
	lapic_timer_take(vcpu);
	return extint_pending(vcpu) || lapic_pending_vector(vcpu) >= 0;
}

/**
 * irq_injectable() - is there an interrupt that is ours to inject?
 * @vcpu:	in its own thread
 *
 * As irq_pending(), but for those that hardware delivers by itself.
 */
bool irq_injectable(struct vcpu *vcpu)
{
	lapic_timer_take(vcpu);
	return extint_pending(vcpu) ||
	       (!lapic_hardware(vcpu) && lapic_pending_vector(vcpu) >= 0);
}

/**
 * irq_take() - take the best interrupt, as the processor's acknowledge cycle
 * @vcpu:	in its own thread, about to inject it
 *
 * Return: the vector, or -1 if there is none that is ours to inject: those that hardware
 * delivers are not.
 */
int irq_take(struct vcpu *vcpu)
{
	int vector;

	lapic_timer_take(vcpu);
	if (extint_pending(vcpu)) {
		vector = vcpu->arch.user_irq;
		vcpu->arch.user_irq = -1;
		return vector >= 0 ? vector : pic_read_vector(vcpu->vm);
	}
	if (lapic_hardware(vcpu))
		return -1;
	vector = lapic_pending_vector(vcpu);
	if (vector >= 0)
		lapic_accept(vcpu, vector);
	return vector;
}

/**
 * irqchip_eoi() - a LAPIC has ended an interrupt
 * @vcpu:	that did
 * @vector:	of the interrupt
 * @level:	it was level-triggered: the EOI is broadcast to IOAPICs
 *
 * Context: @vcpu's thread.
 */
void irqchip_eoi(struct vcpu *vcpu, int vector, bool level)
{
	hv_eoi(vcpu, vector);
	if (vcpu->vm->arch.ioapic) {
		ioapic_eoi(vcpu, vector, level);
	} else if (level && !lapic_directed_eoi(vcpu)) {
		vcpu->arch.lapic->eoi_exit_vector = vector;
		vcpu_request(vcpu, VCPU_REQ_IOAPIC_EOI);
	}
}

/**
 * irqchip_wants_eoi() - would anybody but its LAPIC hear of this EOI?
 * @vcpu:	in its own thread
 * @vector:	of the interrupt
 * @level:	it is level-triggered
 */
bool irqchip_wants_eoi(struct vcpu *vcpu, int vector, bool level)
{
	if (hv_wants_eoi(vcpu, vector))
		return true;
	return vcpu->vm->arch.ioapic ? ioapic_wants_eoi(vcpu->vm, vector) : level;
}

/**
 * irqchip_report_eoi() - VCPU_REQ_IOAPIC_EOI: user space's IOAPIC is told
 * @vcpu:	in its own thread
 *
 * Return: 0, with KVM_EXIT_IOAPIC_EOI in the run page.
 */
int irqchip_report_eoi(struct vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
	vcpu->run->eoi.vector = vcpu->arch.lapic->eoi_exit_vector;
	return 0;
}
