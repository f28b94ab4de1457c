/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory slots: which guest frames exist, and which host virtual addresses of
 * the VMM's mm stand behind them.
 *
 * A slot never changes once it is published: a change of flags, place or size
 * publishes a new struct and frees the old one after a grace period. Readers
 * hold vm->srcu for as long as they use a slot; writers hold vm->slots_lock.
 *
 * A VM has MINIKVM_ADDRESS_SPACES address spaces, each with slots of its own:
 * what a vCPU sees of memory depends on the space that it is in (vcpu->space).
 */
#ifndef MINIKVM_MEMSLOT_H
#define MINIKVM_MEMSLOT_H

#include <linux/interval_tree.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/rbtree_latch.h>
#include <linux/spinlock.h>
#include <minikvm/types.h>
#include <kvm_types.h>

/* Of each space, as many as KVM says it has: 15 bits of slot id, less its private three. */
#define MEMSLOTS_MAX	32764

/* The space that a vCPU begins in, and in which the module's own data for a guest are. */
#define SPACE_MAIN	0

struct dirty_log;

struct memslot {
	gfn_t base_gfn;
	unsigned long npages;
	hva_t hva;
	u32 flags;			/* KVM_MEM_* */
	u32 id;				/* user space's number: its space is the upper half */
	struct dirty_log *log;		/* NULL: not logged */
	struct latch_tree_node gfn_node;
	struct interval_tree_node hva_node;
	u64 hva_serial;			/* hva_serials as it got there */
};

#define MEMSLOTS_PER_PAGE	(PAGE_SIZE / sizeof(struct memslot *))
#define MEMSLOT_PAGES		DIV_ROUND_UP(MEMSLOTS_MAX, MEMSLOTS_PER_PAGE)

struct memslots {
	struct latch_tree_root by_gfn[MINIKVM_ADDRESS_SPACES];	/* readers: vm->srcu */
	/* Pages of pointers, space after space; each there from its first slot on. slots_lock. */
	struct memslot **by_id[MINIKVM_ADDRESS_SPACES * MEMSLOT_PAGES];
	rwlock_t hva_lock;		/* guards by_hva */
	struct rb_root_cached by_hva;	/* of all spaces */
	u64 hva_serials;		/* counts who came into by_hva */
	unsigned long generation;	/* moves with every change, after it */
};

/*
 * @gfn is the slot's. A guest may have chosen it, and had the CPU predict that it is: what is
 * read ahead is the slot's as well.
 */
static inline hva_t memslot_hva(const struct memslot *slot, gfn_t gfn)
{
	unsigned long page = gfn - slot->base_gfn;

	page = array_index_nospec(page, slot->npages);
	return slot->hva + (page << PAGE_SHIFT);
}

static inline bool memslot_read_only(const struct memslot *slot)
{
	return slot->flags & KVM_MEM_READONLY;
}

static inline bool memslot_logged(const struct memslot *slot)
{
	return slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
}

static inline unsigned int memslot_space(const struct memslot *slot)
{
	return slot->id >> 16;
}

static inline gfn_t memslot_last(const struct memslot *slot)
{
	return slot->base_gfn + slot->npages - 1;
}

#define NO_GFN	(~0ULL)

/* What was found last, good for as long as no slot changes. */
struct memslot_cache {
	unsigned long generation;
	struct memslot *slot;		/* or NULL */
	gfn_t hole;			/* a frame without a slot, or NO_GFN */
};

/* A walk of memslots_next_in_hva(): the range, and the place of what was found last. */
struct hva_walk {
	hva_t start, end;		/* bytes; @end is not in it */
	unsigned int space;
	gfn_t first, last;
	hva_t at_hva;			/* slot->hva, slot->hva_serial */
	u64 at_serial;
	u64 newest;			/* hva_serials at the first call */
};

void memslots_init(struct vm *vm);
void memslots_destroy(struct vm *vm);
int memslot_set(struct vm *vm, const struct kvm_userspace_memory_region *r);
struct memslot *memslot_find(struct vm *vm, unsigned int space, gfn_t gfn);
bool memslot_id_valid(u32 id);
struct memslot *memslot_by_id(struct vm *vm, u32 id);
struct memslot *memslots_next(struct vm *vm, unsigned int *place);
bool memslots_next_in_hva(struct vm *vm, struct hva_walk *walk);

#endif
