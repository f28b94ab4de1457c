/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The irqchips beside the LAPIC: two 8259s, an IOAPIC, an 8254; and the few
 * questions that the run loop asks of all of them at once.
 */
#ifndef MINIKVM_X86_IRQCHIP_H
#define MINIKVM_X86_IRQCHIP_H

#include <linux/kvm.h>
#include <minikvm/types.h>

/* vm->lock held, no vCPU yet; all or nothing. */
int irqchip_create(struct vm *vm);
int irqchip_create_split(struct vm *vm, unsigned int pins);
void irqchip_destroy(struct vm *vm);
int irqchip_get(struct vm *vm, struct kvm_irqchip *chip);
int irqchip_set(struct vm *vm, const struct kvm_irqchip *chip);

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
int irq_take(struct vcpu *vcpu);

/* Requests, split irqchip: which vectors exit on EOI; one of them did. */
int irqchip_scan(struct vcpu *vcpu);
int irqchip_report_eoi(struct vcpu *vcpu);

/* The parts, for each other. */
int pic_read_vector(struct vm *vm);		/* the INTA cycle */
bool pic_output(struct vm *vm);
int pic_set_pin(struct vm *vm, unsigned int pin, int source, int level);
int ioapic_set_pin(struct vm *vm, unsigned int pin, int source, int level);
void ioapic_eoi(struct vcpu *vcpu, int vector, bool level);

#endif
