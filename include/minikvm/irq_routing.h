/* SPDX-License-Identifier: GPL-2.0 */
/*
 * GSI routing: from the number that user space knows an interrupt by to the
 * pins and messages it drives. The table is replaced whole; readers hold
 * vm->irq_srcu.
 */
#ifndef MINIKVM_IRQ_ROUTING_H
#define MINIKVM_IRQ_ROUTING_H

#include <linux/kvm.h>
#include <linux/list.h>
#include <minikvm/types.h>

#define IRQ_ROUTES_MAX	4096		/* KVM_CAP_IRQ_ROUTING's answer, too */

/* Who drives a line: a pin is up while any of its sources is. */
enum irq_source { IRQ_SOURCE_USER, IRQ_SOURCE_RESAMPLE, IRQ_SOURCE_PIT };

struct irq_route;

/*
 * Delivers to one destination: 1 and up, so many vCPUs got it; 0, coalesced
 * with one that is pending; below 0, masked. Called under vm->irq_srcu, in
 * any context but NMI: must not sleep.
 */
typedef int (*irq_route_fn)(struct vm *vm, const struct irq_route *route,
			    enum irq_source source, int level);

struct irq_route {
	u32 gsi;
	u32 type;			/* KVM_IRQ_ROUTING_* */
	irq_route_fn deliver;
	union {
		struct { u32 chip, pin; } irqchip;
		struct { u32 address_lo, address_hi, data, devid; bool has_devid; } msi;
		/* The architecture's own kinds: one of several lines to a target */
		struct { u32 target, nr; } line;
	};
};

/*
 * Told, under vm->irq_srcu and with no irqchip's lock held, when the guest has
 * acknowledged (EOI) what a GSI brought, and when it has unmasked its pin;
 * @up: with a level waiting there.
 */
struct irq_ack_notifier {
	struct hlist_node link;
	u32 gsi;
	void (*acked)(struct irq_ack_notifier *n);
	void (*unmasked)(struct irq_ack_notifier *n, bool up);
};

int irq_routing_init(struct vm *vm);
void irq_routing_destroy(struct vm *vm);
int irq_routing_set(struct vm *vm, const struct kvm_irq_routing_entry *entries,
		    unsigned int n);
int irq_set(struct vm *vm, enum irq_source source, u32 gsi, int level);
int irq_send_msi(struct vm *vm, const struct kvm_msi *msi);
void irq_acked(struct vm *vm, u32 chip, u32 pin);
void irq_acked_lines(struct vm *vm, u32 type, u32 target, u32 lines);
void irq_unmasked(struct vm *vm, u32 chip, u32 pin, bool up);
void irq_ack_notifier_add(struct vm *vm, struct irq_ack_notifier *n);
void irq_ack_notifier_del(struct vm *vm, struct irq_ack_notifier *n);

/* The architecture: fills @route from @entry, or says -EINVAL. */
int arch_irq_route_fill(struct vm *vm, struct irq_route *route,
			const struct kvm_irq_routing_entry *entry);

/* May an eventfd drive GSIs; and, for @resample, are acknowledgements seen here? */
bool arch_irqfd_allowed(struct vm *vm, bool resample);

#endif
