/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The irqchips beside the LAPIC: two 8259s, an IOAPIC, an 8254; and the few
 * questions that the run loop asks of all of them at once.
 *
 * Locks: pic->lock and ioapic->lock are raw spinlocks, taken in any context
 * but NMI. Neither is held while the other is taken, nor while acknowledgement
 * notifiers are called; under them LAPICs accept messages and vCPUs are kicked.
 */
#ifndef MINIKVM_X86_IRQCHIP_H
#define MINIKVM_X86_IRQCHIP_H

#include <linux/kvm.h>
#include <minikvm/irq_routing.h>
#include <minikvm/types.h>

/* vm->lock held, no vCPU yet; all or nothing. */
int irqchip_create(struct vm *vm);
int irqchip_create_split(struct vm *vm, u64 pins);
/* No vCPU runs; before vCPUs are destroyed, after pit_destroy(). */
void irqchip_destroy(struct vm *vm);
int irqchip_get(struct vm *vm, struct kvm_irqchip *chip);
int irqchip_set(struct vm *vm, const struct kvm_irqchip *chip);

/* vm->lock held to create it; it stays until pit_destroy(). */
int pit_create(struct vm *vm, const struct kvm_pit_config *config);
void pit_destroy(struct vm *vm);
int pit_get(struct vm *vm, struct kvm_pit_state2 *s);
int pit_set(struct vm *vm, const struct kvm_pit_state2 *s);
int pit_set_reinject(struct vm *vm, bool reinject);

/*
 * For the run loop, any irqchip mode: is there an interrupt to deliver to
 * this vcpu, and take it (-1: none after all). RFLAGS.IF is the caller's.
 */
bool irq_pending(struct vcpu *vcpu);
bool irq_injectable(struct vcpu *vcpu);		/* pending, and not hardware's to deliver */
int irq_take(struct vcpu *vcpu);

int irqchip_report_eoi(struct vcpu *vcpu);	/* VCPU_REQ_IOAPIC_EOI */

/* The parts, for each other. */
void irqchip_eoi(struct vcpu *vcpu, int vector, bool level);
bool irqchip_wants_eoi(struct vcpu *vcpu, int vector, bool level);
int pic_create(struct vm *vm);
void pic_destroy(struct vm *vm);
int pic_read_vector(struct vm *vm);		/* the INTA cycle */
bool pic_output(struct vm *vm);
int pic_set_pin(struct vm *vm, unsigned int pin, enum irq_source source, int level);
void pic_get(struct vm *vm, unsigned int chip, struct kvm_pic_state *s);
void pic_set(struct vm *vm, unsigned int chip, const struct kvm_pic_state *s);

int ioapic_create(struct vm *vm);
void ioapic_destroy(struct vm *vm);
int ioapic_set_pin(struct vm *vm, unsigned int pin, enum irq_source source, int level);
void ioapic_eoi(struct vcpu *vcpu, int vector, bool level);
bool ioapic_wants_eoi(struct vm *vm, int vector);
void ioapic_get(struct vm *vm, struct kvm_ioapic_state *s);
void ioapic_set(struct vm *vm, const struct kvm_ioapic_state *s);

#endif
