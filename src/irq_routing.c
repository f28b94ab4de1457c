// SPDX-License-Identifier: GPL-2.0
/*
 * The GSI routing table and the list of those who wait for acknowledgements.
 * No irqchip lives here: a route carries the function that delivers it.
 *
 * Both are read under vm->irq_srcu, from any context, and written under
 * vm->irq_lock.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/srcu.h>
#include <minikvm/irq_routing.h>
#include <minikvm/vm.h>

struct irq_routing {
	u32 ngsis;			/* highest GSI, plus one */
	u32 nroutes;
	int gsi_of[IRQ_CHIPS][IRQ_CHIP_PINS];	/* -1: none */
	u32 *first;			/* by gsi, ngsis + 1 of them: its routes */
	struct irq_route routes[];	/* by gsi */
};

static struct irq_routing *routing_alloc(u32 nroutes, u32 ngsis)
{
	struct irq_routing *routing;
	size_t size = struct_size(routing, routes, nroutes);

	routing = kvzalloc(size + (ngsis + 1) * sizeof(u32), GFP_KERNEL_ACCOUNT);
	if (!routing)
		return NULL;
	routing->first = (void *)routing + size;
	routing->nroutes = nroutes;
	routing->ngsis = ngsis;
	memset(routing->gsi_of, -1, sizeof(routing->gsi_of));
	return routing;
}

/**
 * irq_routing_init() - give @vm an empty table
 * @vm:	being created; vm->irq_srcu and vm->irq_lock are ready
 *
 * Context: may sleep. Return: 0 or -ENOMEM.
 */
int irq_routing_init(struct vm *vm)
{
	struct irq_routing *routing = routing_alloc(0, 0);

	if (!routing)
		return -ENOMEM;
	INIT_HLIST_HEAD(&vm->ack_notifiers);
	rcu_assign_pointer(vm->routing, routing);
	return 0;
}

/**
 * irq_routing_destroy() - free the table
 * @vm:	being destroyed: nothing raises interrupts any more
 *
 * Context: may sleep.
 */
void irq_routing_destroy(struct vm *vm)
{
	kvfree(rcu_dereference_protected(vm->routing, 1));
	RCU_INIT_POINTER(vm->routing, NULL);
}

static int entry_check(const struct kvm_irq_routing_entry *entry)
{
	u32 flags = entry->type == KVM_IRQ_ROUTING_MSI ? KVM_MSI_VALID_DEVID : 0;

	return entry->gsi < IRQ_ROUTES_MAX && !(entry->flags & ~flags) ? 0 : -EINVAL;
}

static int route_cmp(const void *a, const void *b)
{
	const struct irq_route *x = a, *y = b;

	return x->gsi < y->gsi ? -1 : x->gsi > y->gsi;
}

/*
 * A GSI drives one message, or one pin of each irqchip, as KVM has it: so the
 * routes of a GSI are few, and comparing all pairs is cheap.
 */
static int routes_check(const struct irq_routing *routing)
{
	const struct irq_route *a, *b, *end = routing->routes + routing->nroutes;

	for (a = routing->routes; a < end; a++) {
		for (b = a + 1; b < end && b->gsi == a->gsi; b++) {
			if (a->type != KVM_IRQ_ROUTING_IRQCHIP ||
			    b->type != KVM_IRQ_ROUTING_IRQCHIP ||
			    a->irqchip.chip == b->irqchip.chip)
				return -EINVAL;
		}
	}
	return 0;
}

static void routing_index(struct irq_routing *routing)
{
	u32 i, gsi = 0;

	for (i = 0; i < routing->nroutes; i++) {
		const struct irq_route *route = &routing->routes[i];

		while (gsi <= route->gsi)
			routing->first[gsi++] = i;
		if (route->type == KVM_IRQ_ROUTING_IRQCHIP)
			routing->gsi_of[route->irqchip.chip][route->irqchip.pin] = route->gsi;
	}
	while (gsi <= routing->ngsis)
		routing->first[gsi++] = i;
}

static int routing_fill(struct vm *vm, struct irq_routing *routing,
			const struct kvm_irq_routing_entry *entries)
{
	u32 i;
	int r;

	for (i = 0; i < routing->nroutes; i++) {
		struct irq_route *route = &routing->routes[i];

		route->gsi = entries[i].gsi;
		route->type = entries[i].type;
		r = arch_irq_route_fill(vm, route, &entries[i]);
		if (r)
			return r;
	}
	sort(routing->routes, routing->nroutes, sizeof(routing->routes[0]), route_cmp, NULL);
	r = routes_check(routing);
	if (!r)
		routing_index(routing);
	return r;
}

/**
 * irq_routing_set() - replace the routing table, whole or not at all
 * @vm:		the VM
 * @entries:	as user space gave them, copied in
 * @n:		how many; at most IRQ_ROUTES_MAX
 *
 * Context: vm->irq_lock held; sleeps. When it returns nobody uses the old
 * table any more.
 * Return: 0, -EINVAL for an entry that makes no sense here, -ENOMEM.
 */
int irq_routing_set(struct vm *vm, const struct kvm_irq_routing_entry *entries,
		    unsigned int n)
{
	struct irq_routing *new, *old;
	u32 i, ngsis = 0;
	int r;

	if (n > IRQ_ROUTES_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		r = entry_check(&entries[i]);
		if (r)
			return r;
		ngsis = max(ngsis, entries[i].gsi + 1);
	}
	new = routing_alloc(n, ngsis);
	if (!new)
		return -ENOMEM;
	r = routing_fill(vm, new, entries);
	if (r) {
		kvfree(new);
		return r;
	}
	old = rcu_replace_pointer(vm->routing, new, lockdep_is_held(&vm->irq_lock));
	vm_wait_readers(&vm->irq_srcu);
	kvfree(old);
	return 0;
}

/**
 * irq_set() - drive a GSI
 * @vm:		the VM
 * @source:	who drives it
 * @gsi:	the GSI; one without routes is nobody's
 * @level:	0 or 1; messages are sent on 1
 *
 * Context: any but NMI; takes vm->irq_srcu.
 * Return: the sum over the destinations that are not masked of how many vCPUs
 * got it, 0 when it was coalesced; -1 when there is no such destination. That
 * is the status of KVM_IRQ_LINE_STATUS.
 */
int irq_set(struct vm *vm, enum irq_source source, u32 gsi, int level)
{
	const struct irq_routing *routing;
	int idx, r, result = -1;
	u32 i;

	idx = srcu_read_lock(&vm->irq_srcu);
	routing = srcu_dereference(vm->routing, &vm->irq_srcu);
	if (gsi < routing->ngsis) {
		gsi = array_index_nospec(gsi, routing->ngsis);
		for (i = routing->first[gsi]; i < routing->first[gsi + 1]; i++) {
			const struct irq_route *route = &routing->routes[i];

			r = route->deliver(vm, route, source, level);
			if (r >= 0)
				result = max(result, 0) + r;
		}
	}
	srcu_read_unlock(&vm->irq_srcu, idx);
	return result;
}

/**
 * irq_send_msi() - send one message, with no GSI (KVM_SIGNAL_MSI)
 * @vm:		the VM
 * @msi:	the message
 *
 * Context: any but NMI; takes vm->irq_srcu.
 * Return: how many vCPUs got it; -EINVAL for a message that can't be, -EPERM (KVM's
 * word for it) for one that is for nobody.
 */
int irq_send_msi(struct vm *vm, const struct kvm_msi *msi)
{
	const struct kvm_irq_routing_entry entry = {
		.type = KVM_IRQ_ROUTING_MSI,
		.flags = msi->flags,
		.u.msi = {
			.address_lo = msi->address_lo,
			.address_hi = msi->address_hi,
			.data = msi->data,
			.devid = msi->devid,
		},
	};
	struct irq_route route = { .type = KVM_IRQ_ROUTING_MSI };
	int idx, r;

	r = entry_check(&entry);
	if (!r)
		r = arch_irq_route_fill(vm, &route, &entry);
	if (r)
		return r;
	idx = srcu_read_lock(&vm->irq_srcu);
	r = route.deliver(vm, &route, IRQ_SOURCE_USER, 1);
	srcu_read_unlock(&vm->irq_srcu, idx);
	return r < 0 ? -EPERM : r;
}

enum pin_event { PIN_ACKED, PIN_UNMASKED, PIN_UNMASKED_UP };

/* vm->irq_srcu is held. */
static void notify_gsi(struct vm *vm, int gsi, enum pin_event event)
{
	struct irq_ack_notifier *n;

	hlist_for_each_entry_srcu(n, &vm->ack_notifiers, link,
				  srcu_read_lock_held(&vm->irq_srcu)) {
		if (gsi < 0 || n->gsi != gsi)
			continue;
		if (event == PIN_ACKED)
			n->acked(n);
		else
			n->unmasked(n, event == PIN_UNMASKED_UP);
	}
}

static void notify(struct vm *vm, u32 chip, u32 pin, enum pin_event event)
{
	int idx = srcu_read_lock(&vm->irq_srcu);

	notify_gsi(vm, srcu_dereference(vm->routing, &vm->irq_srcu)->gsi_of[chip][pin], event);
	srcu_read_unlock(&vm->irq_srcu, idx);
}

/**
 * irq_acked() - the guest has acknowledged what a pin brought
 * @vm:		the VM
 * @chip:	KVM_IRQCHIP_*
 * @pin:	of that chip
 *
 * Context: any but NMI, with none of the irqchips' locks held: notifiers may
 * drive GSIs. Takes vm->irq_srcu.
 */
void irq_acked(struct vm *vm, u32 chip, u32 pin)
{
	notify(vm, chip, pin, PIN_ACKED);
}

/**
 * irq_acked_lines() - the guest has acknowledged what some lines of a target's brought
 * @vm:		the VM
 * @type:	KVM_IRQ_ROUTING_* of the routes that lead there: route->line says where
 * @target:	whose lines
 * @lines:	a bit for each
 *
 * Context: as irq_acked(). Goes through all routes, if there is anybody to be told.
 */
void irq_acked_lines(struct vm *vm, u32 type, u32 target, u32 lines)
{
	const struct irq_routing *routing;
	u32 i;
	int idx;

	if (hlist_empty(&vm->ack_notifiers))
		return;
	idx = srcu_read_lock(&vm->irq_srcu);
	routing = srcu_dereference(vm->routing, &vm->irq_srcu);
	for (i = 0; i < routing->nroutes; i++) {
		const struct irq_route *route = &routing->routes[i];

		if (route->type == type && route->line.target == target &&
		    (lines & BIT(route->line.nr)))
			notify_gsi(vm, route->gsi, PIN_ACKED);
	}
	srcu_read_unlock(&vm->irq_srcu, idx);
}

/**
 * irq_unmasked() - the guest has unmasked a pin
 * @vm:		the VM
 * @chip:	KVM_IRQCHIP_*
 * @pin:	of that chip
 * @up:		a level is waiting there, and is about to be sent
 *
 * Context: as irq_acked().
 */
void irq_unmasked(struct vm *vm, u32 chip, u32 pin, bool up)
{
	notify(vm, chip, pin, up ? PIN_UNMASKED_UP : PIN_UNMASKED);
}

/**
 * irq_ack_notifier_add() - begin to tell @n of its GSI
 * @vm:	the VM
 * @n:	all but the link filled in
 *
 * Context: sleeps; takes vm->irq_lock.
 */
void irq_ack_notifier_add(struct vm *vm, struct irq_ack_notifier *n)
{
	mutex_lock(&vm->irq_lock);
	hlist_add_head_rcu(&n->link, &vm->ack_notifiers);
	mutex_unlock(&vm->irq_lock);
}

/**
 * irq_ack_notifier_del() - end it; nobody is inside @n when this returns
 * @vm:	the VM
 * @n:	as it was added
 *
 * Context: sleeps; takes vm->irq_lock.
 */
void irq_ack_notifier_del(struct vm *vm, struct irq_ack_notifier *n)
{
	mutex_lock(&vm->irq_lock);
	hlist_del_init_rcu(&n->link);
	mutex_unlock(&vm->irq_lock);
	vm_wait_readers(&vm->irq_srcu);
}
