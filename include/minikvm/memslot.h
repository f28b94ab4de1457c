/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory slots: which guest frames exist, and which host virtual addresses of
 * the VMM's mm stand behind them.
 *
 * A slot never changes once it is published: a change of flags, place or size
 * publishes a new struct and frees the old one after a grace period. Readers
 * hold vm->srcu for as long as they use a slot; writers hold vm->slots_lock.
 */
#ifndef MINIKVM_MEMSLOT_H
#define MINIKVM_MEMSLOT_H

#include <linux/interval_tree.h>
#include <linux/kvm.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/spinlock.h>
#include <linux/xarray.h>
#include <minikvm/types.h>

/* As many as KVM says it has: 15 bits of slot id, less its private three. */
#define MEMSLOTS_MAX	32764

struct memslot {
	gfn_t base_gfn;
	unsigned long npages;
	hva_t hva;
	u32 flags;			/* KVM_MEM_* */
	u16 id;
	unsigned long *dirty_bitmap;	/* NULL: not logged to a bitmap */
	struct interval_tree_node hva_node;
};

struct memslots {
	struct maple_tree by_gfn;	/* gfn range -> memslot; RCU inside SRCU */
	struct xarray by_id;
	rwlock_t hva_lock;		/* guards by_hva */
	struct rb_root_cached by_hva;
	u64 generation;			/* moves with every change */
	unsigned long npages;		/* the sum over all slots */
	unsigned int nslots;
};

static inline hva_t memslot_hva(const struct memslot *slot, gfn_t gfn)
{
	return slot->hva + ((gfn - slot->base_gfn) << PAGE_SHIFT);
}

static inline bool memslot_read_only(const struct memslot *slot)
{
	return slot->flags & KVM_MEM_READONLY;
}

int memslots_init(struct vm *vm);
void memslots_destroy(struct vm *vm);
int memslot_set(struct vm *vm, const struct kvm_userspace_memory_region *r);
struct memslot *memslot_find(struct vm *vm, gfn_t gfn);
struct memslot *memslot_by_id(struct vm *vm, unsigned int id);
bool memslots_next_in_hva(struct vm *vm, hva_t start, hva_t end,
			  unsigned int *cursor, gfn_t *first, gfn_t *last);

#endif
