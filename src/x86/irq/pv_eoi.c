// SPDX-License-Identifier: GPL-2.0
/*
 * Paravirtual EOI (KVM_FEATURE_PV_EOI): a bit in guest memory says that the
 * interrupt in service is nobody's business but the guest's; the guest then ends
 * it by clearing the bit, with no exit (Documentation/virt/kvm/x86/msr.rst).
 *
 * The bit is set before an entry and taken back after the exit, so whatever looks
 * at the LAPIC in between exits finds it as it is. An interrupt that arrives
 * while the guest runs kicks the vCPU, as ever.
 */
#include <linux/kvm_para.h>
#include <minikvm/guest_memory.h>
#include <minikvm/memslot.h>
#include <minikvm/vcpu.h>
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic.h"
#include "x86/irq/lapic_state.h"
#include "x86/x86.h"

static gpa_t word_gpa(struct vcpu *vcpu)
{
	return vcpu->arch.pv.eoi_msr & ~(u64)KVM_MSR_ENABLED;
}

static int word_write(struct vcpu *vcpu, u8 value)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	int r = guest_write(vcpu, SPACE_MAIN, word_gpa(vcpu), &value, sizeof(value));

	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

static int word_read(struct vcpu *vcpu, u8 *value)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	int r = guest_read(vcpu->vm, SPACE_MAIN, word_gpa(vcpu), value, sizeof(*value));

	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

/**
 * pv_eoi_arm() - let the guest end the interrupt in service, if it may
 * @vcpu: loaded; about to enter
 *
 * Not if hardware ends interrupts without exits, if another interrupt waits for that, nor if
 * the EOI is of interest to an IOAPIC or to one of its devices.
 *
 * Context: may sleep.
 */
void pv_eoi_arm(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;

	if (!apic || apic->hardware || apic->in_service < 0 || apic->irr_pending ||
	    READ_ONCE(apic->arrived.on) ||
	    irqchip_wants_eoi(vcpu, apic->in_service,
			      lapic_test_vector(apic, APIC_TMR, apic->in_service)))
		return;
	vcpu->arch.pv.eoi_armed = !word_write(vcpu, 1);
}

/**
 * pv_eoi_collect() - take the bit back; if it is gone, that was an EOI
 * @vcpu: loaded; pv.eoi_armed
 *
 * Context: may sleep.
 */
void pv_eoi_collect(struct vcpu *vcpu)
{
	u8 value;

	vcpu->arch.pv.eoi_armed = false;
	if (word_read(vcpu, &value))
		return;
	if (value & 1)
		word_write(vcpu, value & ~1);
	else
		lapic_eoi(vcpu);
}

static bool writable_memory(struct vm *vm, gfn_t gfn)
{
	const struct memslot *slot = memslot_find(vm, SPACE_MAIN, gfn);

	return slot && !memslot_read_only(slot);
}

/**
 * pv_eoi_set() - WRMSR to MSR_KVM_PV_EOI_EN
 * @vcpu:	loaded
 * @msr:	where the bit is, and whether
 *
 * Context: vm->srcu held. Return: 0, or 1 for #GP, also where there is no memory.
 */
int pv_eoi_set(struct vcpu *vcpu, u64 msr)
{
	if ((msr & ~(u64)KVM_MSR_ENABLED) & 3)
		return 1;
	if ((msr & KVM_MSR_ENABLED) && !writable_memory(vcpu->vm, msr >> PAGE_SHIFT))
		return 1;
	vcpu->arch.pv.eoi_msr = msr;
	return 0;
}
