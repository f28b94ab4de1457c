// SPDX-License-Identifier: GPL-2.0
/*
 * Who is meant by an interrupt message, and sending it there (SDM vol. 3,
 * 11.6): IPIs, MSIs and the IOAPIC's pins all come through lapic_deliver().
 *
 * The rule is apic_matches(): each LAPIC can say whether a message is for it.
 * The apic_map answers the common questions without asking everybody; it is
 * only a shortcut, and where it has no answer (or there was no memory for one)
 * every LAPIC is asked.
 */
#include <linux/bitops.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <minikvm/vcpu.h>
#include "x86/irq/lapic_state.h"

#define XAPIC_BROADCAST		0xffu
#define X2APIC_BROADCAST	0xffffffffu

/* What the logical ids of all enabled LAPICs have in common. */
enum logical_mode { LOGICAL_NONE, LOGICAL_FLAT, LOGICAL_CLUSTER, LOGICAL_X2APIC, LOGICAL_MIXED };

/*
 * Replaced whole, under vm->arch.apic_map_lock; read under RCU, in any context
 * but NMI. LAPICs stay as long as their VM.
 */
struct apic_map {
	struct rcu_head rcu;
	enum logical_mode logical_mode;
	u32 max_id;
	struct lapic *xapic_logical[16][8];	/* cluster (flat: 0), bit of it */
	struct lapic *by_id[];
};

/*
 * The rule
 */

/*
 * The destination as @apic reads it. KVM has a quirk here that user space can
 * switch off: 0xff in an MSI or IOAPIC message means all, x2APIC or not.
 */
static bool is_broadcast(struct lapic *apic, struct lapic *source, u32 dest)
{
	bool quirk = !apic->vcpu->vm->arch.x2apic_no_broadcast_quirk;

	if (!lapic_is_x2apic(apic))
		return dest == XAPIC_BROADCAST;
	return dest == X2APIC_BROADCAST || (quirk && !source && dest == XAPIC_BROADCAST);
}

/*
 * An id over 255 has no place in xAPIC's register, and what is left of it there
 * is another's. Such a LAPIC is addressed by its whole id, as KVM has it, to be
 * woken up and brought to x2APIC mode in the first place.
 */
static u32 physical_id(struct lapic *apic)
{
	bool too_big = !lapic_is_x2apic(apic) && apic->vcpu->id > 0xff;

	return too_big ? apic->vcpu->id : lapic_id(apic);
}

static bool matches_logical(struct lapic *apic, u32 dest)
{
	u32 ldr = lapic_reg(apic, APIC_LDR);

	if (lapic_is_x2apic(apic))
		return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
	if (dest > 0xff)
		return false;
	ldr >>= 24;
	switch (lapic_reg(apic, APIC_DFR)) {
	case APIC_DFR_FLAT:
		return ldr & dest;
	case APIC_DFR_CLUSTER:
		return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
	default:
		return false;
	}
}

/* Is @msg for @apic? @source: the LAPIC that sends an IPI; NULL for others. */
static bool apic_matches(struct lapic *apic, struct lapic *source, const struct apic_msg *msg)
{
	if (!lapic_hw_enabled(apic))
		return false;
	switch (msg->shorthand << 18) {
	case APIC_DEST_SELF:
		return apic == source;
	case APIC_DEST_ALLINC:
		return true;
	case APIC_DEST_ALLBUT:
		return apic != source;
	}
	if (is_broadcast(apic, source, msg->dest))
		return true;
	return msg->logical ? matches_logical(apic, msg->dest) : msg->dest == physical_id(apic);
}

/*
 * The map
 */

static enum logical_mode mode_of(struct lapic *apic)
{
	if (lapic_is_x2apic(apic))
		return LOGICAL_X2APIC;
	if (!lapic_reg(apic, APIC_LDR))
		return LOGICAL_NONE;
	switch (lapic_reg(apic, APIC_DFR)) {
	case APIC_DFR_FLAT:
		return LOGICAL_FLAT;
	case APIC_DFR_CLUSTER:
		return LOGICAL_CLUSTER;
	default:
		return LOGICAL_MIXED;
	}
}

/* A place that two want can't be answered by the map: their ids clash. */
static void map_add_logical(struct apic_map *map, struct lapic *apic)
{
	enum logical_mode mode = mode_of(apic);
	u32 ldr = lapic_reg(apic, APIC_LDR) >> 24;
	u32 cluster = mode == LOGICAL_CLUSTER ? ldr >> 4 : 0;
	unsigned long bits = mode == LOGICAL_CLUSTER ? ldr & 0xf : ldr;
	unsigned int bit;

	if (mode == LOGICAL_NONE)
		return;
	if (map->logical_mode == LOGICAL_NONE)
		map->logical_mode = mode;
	else if (map->logical_mode != mode)
		map->logical_mode = LOGICAL_MIXED;
	if (mode == LOGICAL_X2APIC || mode == LOGICAL_MIXED)
		return;
	for_each_set_bit(bit, &bits, 8) {
		if (map->xapic_logical[cluster][bit] || !is_power_of_2(bits))
			map->logical_mode = LOGICAL_MIXED;
		map->xapic_logical[cluster][bit] = apic;
	}
}

/* False: two have the same id, and a message to it is for both. */
static bool map_add(struct apic_map *map, struct lapic *apic)
{
	u32 id = physical_id(apic);

	if (id > map->max_id || map->by_id[id])
		return false;
	map->by_id[id] = apic;
	map_add_logical(map, apic);
	return true;
}

static struct apic_map *map_build(struct vm *vm)
{
	struct apic_map *map;
	struct vcpu *vcpu;
	unsigned long i;
	u32 max_id = 0xff;

	vm_for_each_vcpu(i, vcpu, vm)
		max_id = max_t(u32, max_id, vcpu->id);
	map = kvzalloc(struct_size(map, by_id, max_id + 1), GFP_KERNEL_ACCOUNT);
	if (!map)
		return NULL;
	map->max_id = max_id;
	vm_for_each_vcpu(i, vcpu, vm) {
		struct lapic *apic = vcpu->arch.lapic;

		if (apic && lapic_hw_enabled(apic) && !map_add(map, apic)) {
			kvfree(map);
			return NULL;
		}
	}
	return map;
}

static void map_replace(struct vm *vm, struct apic_map *new)
{
	struct apic_map *old;

	old = rcu_replace_pointer(vm->arch.apic_map, new,
				  lockdep_is_held(&vm->arch.apic_map_lock));
	if (old)
		kvfree_rcu(old, rcu);
}

/**
 * apic_map_rebuild() - an id, an LDR, a DFR or a mode has changed
 * @vm:	the VM
 *
 * The last of several rebuilds at once sees all changes, as each writes its
 * registers before it comes for the lock.
 *
 * Context: sleeps; takes vm->arch.apic_map_lock.
 */
void apic_map_rebuild(struct vm *vm)
{
	mutex_lock(&vm->arch.apic_map_lock);
	map_replace(vm, map_build(vm));
	mutex_unlock(&vm->arch.apic_map_lock);
}

/**
 * apic_map_free() - the VM goes
 * @vm:	nobody sends messages in it any more
 */
void apic_map_free(struct vm *vm)
{
	kvfree(rcu_dereference_protected(vm->arch.apic_map, 1));
	RCU_INIT_POINTER(vm->arch.apic_map, NULL);
}

/*
 * Sending
 */

/*
 * Where a message goes, as the map has it: bits of a table of 16 at most. The
 * rule still has its word on each: an x2APIC cluster in the map has those, too,
 * that are in xAPIC mode yet, where the message has no meaning.
 */
struct targets {
	struct lapic *const *table;
	unsigned long bits;
};

static bool targets_physical(const struct apic_map *map, u32 dest, struct targets *t)
{
	t->bits = 0;
	if (dest <= map->max_id) {
		t->table = &map->by_id[array_index_nospec(dest, map->max_id + 1)];
		t->bits = 1;
	}
	return true;
}

static bool targets_logical(const struct apic_map *map, u32 dest, struct targets *t)
{
	u32 first = (dest >> 16) << 4;

	t->bits = 0;
	switch (map->logical_mode) {
	case LOGICAL_FLAT:
		t->table = map->xapic_logical[0];
		t->bits = dest <= 0xff ? dest : 0;
		return true;
	case LOGICAL_CLUSTER:
		t->table = map->xapic_logical[(dest >> 4) & 0xf];
		t->bits = dest <= 0xff ? dest & 0xf : 0;
		return true;
	case LOGICAL_X2APIC:
		if (dest >> 16 <= map->max_id >> 4 && first <= map->max_id) {
			first = array_index_nospec(first, map->max_id + 1);
			t->table = &map->by_id[first];
			t->bits = dest & 0xffff &
				  GENMASK(min_t(u32, map->max_id - first, 15), 0);
		}
		return true;
	default:
		return false;
	}
}

/* False: the map can't say; ask everybody. */
static bool map_targets(const struct apic_map *map, const struct apic_msg *msg,
			struct targets *t)
{
	/* What some LAPIC could take for a broadcast is left to the rule. */
	if (!map || msg->shorthand || msg->dest == XAPIC_BROADCAST ||
	    msg->dest == X2APIC_BROADCAST)
		return false;
	return msg->logical ? targets_logical(map, msg->dest, t) :
			      targets_physical(map, msg->dest, t);
}

static bool wants_one(const struct apic_msg *msg)
{
	return msg->delivery == APIC_DM_LOWEST >> 8 || msg->redirect;
}

/*
 * "Lowest priority" says little of real processors; like KVM, spread by the
 * vector over those who could take it, so that a vector stays at one place.
 */
static int deliver_one_of(struct targets *t, struct lapic *source, const struct apic_msg *msg)
{
	struct lapic *able[16];
	unsigned int bit, n = 0;

	for_each_set_bit(bit, &t->bits, 16) {
		struct lapic *apic = t->table[bit];

		if (apic && apic_matches(apic, source, msg) && lapic_sw_enabled(apic))
			able[n++] = apic;
	}
	return n ? lapic_accept_msg(able[msg->vector % n], msg) : -1;
}

static int deliver_targets(struct targets *t, struct lapic *source, const struct apic_msg *msg)
{
	unsigned int bit;
	int r = -1;

	/* A physical id means one already, whatever state it is in: SDM vol. 3, 11.11.1. */
	if (msg->logical && wants_one(msg))
		return deliver_one_of(t, source, msg);
	for_each_set_bit(bit, &t->bits, 16) {
		struct lapic *apic = t->table[bit];

		if (apic && apic_matches(apic, source, msg))
			r = max(r, 0) + lapic_accept_msg(apic, msg);
	}
	return r;
}

static int deliver_one_of_all(struct vm *vm, struct lapic *source, const struct apic_msg *msg)
{
	unsigned int n = 0, pass, skip = 0;
	struct lapic *chosen = NULL;
	struct vcpu *vcpu;
	unsigned long i;

	/*
	 * Count them; then go to the one that the vector falls on, or to the last, if there are
	 * fewer by now.
	 */
	for (pass = 0; pass < 2; pass++) {
		vm_for_each_vcpu(i, vcpu, vm) {
			struct lapic *apic = vcpu->arch.lapic;

			if (!apic || !apic_matches(apic, source, msg) || !lapic_sw_enabled(apic))
				continue;
			chosen = apic;
			if (pass == 0)
				n++;
			else if (skip-- == 0)
				break;
		}
		if (!n)
			return -1;
		skip = msg->vector % n;
	}
	return lapic_accept_msg(chosen, msg);
}

static int deliver_all(struct vm *vm, struct lapic *source, const struct apic_msg *msg)
{
	struct vcpu *vcpu;
	unsigned long i;
	int r = -1;

	if (wants_one(msg))
		return deliver_one_of_all(vm, source, msg);
	vm_for_each_vcpu(i, vcpu, vm) {
		struct lapic *apic = vcpu->arch.lapic;

		if (apic && apic_matches(apic, source, msg))
			r = max(r, 0) + lapic_accept_msg(apic, msg);
	}
	return r;
}

/**
 * lapic_deliver() - send a message to those it is for
 * @vm:		the VM
 * @source:	the LAPIC that sends an IPI; NULL for MSIs and the IOAPIC
 * @msg:	the message
 *
 * Context: any but NMI. Return: how many took it; -1 when all had to be asked and
 * it is for nobody.
 */
int lapic_deliver(struct vm *vm, struct lapic *source, const struct apic_msg *msg)
{
	struct targets t;
	int r;

	if (source && msg->shorthand == APIC_DEST_SELF >> 18)
		return lapic_accept_msg(source, msg);
	rcu_read_lock();
	if (map_targets(rcu_dereference(vm->arch.apic_map), msg, &t))
		r = max(deliver_targets(&t, source, msg), 0);
	else
		r = deliver_all(vm, source, msg);
	rcu_read_unlock();
	return r;
}

/**
 * lapic_send_icr() - send what an ICR describes
 * @apic:	that sends
 * @low:	bits 31:0 of the ICR
 * @dest:	the destination: 8 bits of an xAPIC's, 32 of an x2APIC's
 */
void lapic_send_icr(struct lapic *apic, u32 low, u32 dest)
{
	const struct apic_msg msg = {
		.dest = dest,
		.vector = low & APIC_VECTOR_MASK,
		.delivery = (low & APIC_MODE_MASK) >> 8,
		.shorthand = (low & APIC_DEST_ALLBUT) >> 18,
		.logical = low & APIC_DEST_LOGICAL,
		.level = low & APIC_INT_LEVELTRIG,
		.assert = low & APIC_INT_ASSERT,
	};

	if ((msg.delivery == APIC_DM_FIXED >> 8 || msg.delivery == APIC_DM_LOWEST >> 8) &&
	    lapic_vector_illegal(msg.vector))
		lapic_error(apic, LAPIC_SENT_ILLEGAL);
	lapic_deliver(apic->vcpu->vm, apic, &msg);
}
