/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of mmu/ share.
 *
 * Locks, outermost first; only the first three may be held asleep:
 *
 *	vm->slots_lock		slots change; logs are read and cleared
 *	mmap_lock		the host's, below get_user_pages
 *	vm->srcu (read)		a slot is used
 *	vm->slots.hva_lock	not held with any of the next
 *	vm->mmu_lock		read: entries change one at a time, by cmpxchg, and
 *				    tables are added; write: anything goes
 *	mmu->push_lock		protection moves down a level (write_protect.c)
 *	invalidation.lock
 *
 * The notifier comes with the host's page table lock held, perhaps: it takes
 * hva_lock and mmu_lock only, and neither is ever held over something that
 * faults or sleeps.
 *
 * Tables are removed with mmu_lock held for write, so whoever holds it for
 * read may follow any pointer. Who holds nothing but rcu_read_lock() may
 * follow them too, for a removed table is freed after a grace period and a
 * flush (reclaim.c), but must change entries by cmpxchg and count on its
 * change being for nothing.
 *
 * A mapping that was removed or lost a right is *marked* (tlb_mark) before
 * mmu_lock is released; see tlb.c.
 */
#ifndef MINIKVM_X86_TDP_H
#define MINIKVM_X86_TDP_H

#include <linux/atomic.h>
#include <linux/llist.h>
#include <linux/workqueue.h>
#include <minikvm/vcpu.h>
#include "x86/mmu/mmu.h"
#include "x86/mmu/spte.h"

/* Counters, in debugfs by these names. */
#define MMU_STATS(S)							\
	S(faults) S(fast_fixes) S(retries) S(mapped_4k) S(mapped_2m)	\
	S(mapped_1g) S(around) S(splits) S(pushes) S(zapped)		\
	S(tables_dropped) S(flushes) S(mmio) S(hw_logged)		\
	S(collapse_runs) S(collapse_seen) S(collapsed)			\
	S(collapse_logged) S(collapse_no_slot) S(collapse_small)	\
	S(collapse_raced)

#define S(name) MMU_STAT_##name,
enum mmu_stat { MMU_STATS(S) NR_MMU_STATS };
#undef S

struct mmu {
	struct vm *vm;
	/* Of each address space; all but SPACE_MAIN's: NULL until a vCPU is there. */
	u64 *roots[MINIKVM_ADDRESS_SPACES];
	spinlock_t push_lock;
	atomic64_t tlb_done;		/* vm->tlb_gen that all vCPUs are past */
	struct delayed_work collapse;
	bool ending;			/* the VM goes: no new work */
	struct dentry *debugfs;
	atomic64_t stats[NR_MMU_STATS];
};

static inline void mmu_count_more(struct mmu *mmu, enum mmu_stat stat, unsigned int n)
{
	atomic64_add(n, &mmu->stats[stat]);
}

static inline void mmu_count(struct mmu *mmu, enum mmu_stat stat)
{
	mmu_count_more(mmu, stat, 1);
}

static inline u64 *spte_ptr(u64 *table, gfn_t gfn, int level)
{
	return table + level_index(gfn, level);
}

/*
 * The root of an address space, or NULL: nothing was ever mapped there. Who comes to remove
 * something, with mmu_lock, may trust that as it may trust an empty entry: a root is there
 * before the fault that is to see its invalidation takes the lock.
 */
static inline u64 *tdp_root(struct mmu *mmu, unsigned int space)
{
	return READ_ONCE(mmu->roots[space]);
}

/* tdp.c */
u64 *tdp_last_entry(u64 *root, gfn_t gfn, int *level);
int table_level(const u64 *table);
void table_set_level(u64 *table, int level);

/* host_page.c: what the host has behind a frame. */
struct host_page {
	unsigned long pfn;		/* of the frame itself, at any level */
	struct page *page;		/* referenced; NULL: the pfn has none */
	bool writable;
	bool at_hand;			/* host_page_get(): the host had it mapped */
};

int host_page_get(struct vm *vm, struct memslot *slot, gfn_t gfn, bool write,
		  struct host_page *out);
bool host_page_get_fast(struct memslot *slot, gfn_t gfn, bool write, struct host_page *out);
void host_page_dirty(const struct host_page *hp);
void host_page_put(struct host_page *hp);
int host_level(struct vm *vm, const struct memslot *slot, gfn_t gfn);

/* fault.c */
u64 spte_make_leaf(const struct host_page *hp, int level, bool write);

/* around.c */
void fault_around(struct mmu *mmu, struct memslot *slot, gfn_t gfn, bool write);

/* write_protect.c */
u64 spte_armed(u64 spte);
void protect_push(struct mmu *mmu, struct memslot *slot, gfn_t gfn, u64 *sptep, int level);

/* collapse.c */
void collapse_init(struct mmu *mmu);
void collapse_exit(struct mmu *mmu);
void collapse_later(struct vm *vm);
void collapse_now(struct mmu *mmu);

/* tlb.c */
void tlb_mark(struct vm *vm);

/* reclaim.c */
int reclaim_init(void);
void reclaim_exit(void);

/* Trees of tables that are out of use, chained through their roots' pages. */
struct dead_tables {
	struct llist_node head, *last;		/* @last: at first, the head */
};

#define DEAD_TABLES_INIT(dead)	{ .last = &(dead).head }

static inline bool dead_tables_empty(const struct dead_tables *dead)
{
	return dead->last == &dead->head;
}

/* Collect the tree below an entry; nothing points to it any more. */
static inline void reclaim_add(struct dead_tables *dead, u64 spte)
{
	struct llist_node *node = (void *)&pfn_to_page(spte_pfn(spte))->lru;

	dead->last->next = node;
	dead->last = node;
}

void reclaim_tables(struct dead_tables *dead);
void reclaim_root(u64 *root);

#endif
