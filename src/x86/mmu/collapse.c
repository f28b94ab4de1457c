// SPDX-License-Identifier: GPL-2.0
/*
 * Collapse: what dirty logging left mapped small, and the host has mapped
 * huge, becomes huge again, in place and out of anybody's way.
 *
 * One delayed work item a VM. Each stop of logging puts it off anew, so that
 * one run serves all slots of a migration that was called off.
 *
 * The worker keeps nothing from one region to the next but a frame number. For
 * each it looks the slot up anew, and holds vm->srcu until the region is done:
 * who changes the slot waits for that, and then does with the new mapping what
 * it would have done with the old ones. So logging that has started again is
 * seen as a slot that is logged, and a slot that is gone as no slot.
 *
 * The huge entry takes the table's place in one exchange, and says the same of
 * each frame that the table mapped. The guest finds the one or the other; what
 * its TLB has of the table stays true until the flush, which comes in batches,
 * ahead of the table's release.
 */
#include <linux/kthread.h>
#include <linux/moduleparam.h>
#include <linux/sched/mm.h>
#include "x86/mmu/tdp.h"

/* Regions in one flush; and in one go with the VMM's mm held. */
#define BATCH	32

static unsigned int collapse_delay_ms = 60000;
module_param(collapse_delay_ms, uint, 0644);
MODULE_PARM_DESC(collapse_delay_ms,
		 "huge mappings are rebuilt this long after dirty logging last stopped");

struct run {
	struct vm *vm;
	struct mmu *mmu;
	unsigned int space;
	u64 *root;			/* its */
	gfn_t gfn;			/* where to go on */
	unsigned int seen;		/* in this batch */
	struct dead_tables tables;	/* replaced, not yet flushed */
};

/* mmu_lock is held. The entry at @level on the way to @gfn, if it is a table. */
static u64 *table_entry(u64 *root, gfn_t gfn, int level)
{
	u64 *table = root, *sptep, spte;
	int l;

	for (l = spte_bits.levels;; l--) {
		sptep = spte_ptr(table, gfn, l);
		spte = READ_ONCE(*sptep);
		if (!spte_is_table(spte, l))
			return NULL;
		if (l == level)
			return sptep;
		table = spte_table(spte);
	}
}

static bool replace_locked(struct run *run, const struct host_page *hp, int level)
{
	u64 *sptep = table_entry(run->root, run->gfn, level);
	u64 old;

	if (!sptep)
		return false;
	if (hp->writable)
		host_page_dirty(hp);
	old = xchg(sptep, spte_make_leaf(hp, level, hp->writable));
	reclaim_add(&run->tables, old);
	tlb_mark(run->vm);
	return true;
}

static bool replace(struct run *run, struct memslot *slot, const struct host_page *hp,
		    int level, unsigned long seq)
{
	hva_t hva = memslot_hva(slot, run->gfn);
	bool done = false;

	write_lock(&run->vm->mmu_lock);
	if (!invalidation_since(run->vm, seq, hva, hva + (level_pages(level) << PAGE_SHIFT)))
		done = replace_locked(run, hp, level);
	write_unlock(&run->vm->mmu_lock);
	return done;
}

/* The slot is not logged: nothing above the region needs to say otherwise. */
static void allow_writes(struct run *run, struct memslot *slot)
{
	u64 *table = run->root, *sptep, spte;
	int level;

	read_lock(&run->vm->mmu_lock);
	for (level = spte_bits.levels; level > LEVEL_4K; level--) {
		sptep = spte_ptr(table, run->gfn, level);
		spte = READ_ONCE(*sptep);
		if (!spte_is_table(spte, level))
			break;
		if (!(spte & SPTE_WRITE))
			protect_push(run->mmu, slot, run->gfn, sptep, level);
		table = spte_table(spte);
	}
	read_unlock(&run->vm->mmu_lock);
}

/* One region: what became of it. vm->srcu is held, the VMM's mm is ours. */
static enum mmu_stat collapse_region(struct run *run, int level)
{
	struct memslot *slot = memslot_find(run->vm, run->space, run->gfn);
	struct host_page hp;
	unsigned long seq;
	bool done;

	if (!slot)
		return MMU_STAT_collapse_no_slot;
	if (memslot_logged(slot))
		return MMU_STAT_collapse_logged;
	seq = invalidation_seq(run->vm);
	if (host_level(run->vm, slot, run->gfn) < level) {
		allow_writes(run, slot);
		return MMU_STAT_collapse_small;
	}
	if (!(!memslot_read_only(slot) && host_page_get_fast(slot, run->gfn, true, &hp)) &&
	    !host_page_get_fast(slot, run->gfn, false, &hp))
		return MMU_STAT_collapse_raced;
	done = replace(run, slot, &hp, level, seq);
	host_page_put(&hp);
	if (!done)
		return MMU_STAT_collapse_raced;
	allow_writes(run, slot);
	return MMU_STAT_collapsed;
}

static enum mmu_stat collapse_one(struct run *run, int level)
{
	int idx = srcu_read_lock(&run->vm->srcu);
	enum mmu_stat what = collapse_region(run, level);

	srcu_read_unlock(&run->vm->srcu, idx);
	return what;
}

/* The next frame behind a table that maps 4K pages. False: there is none. */
static bool find_small(struct run *run)
{
	bool found = false;
	int level;

	read_lock(&run->vm->mmu_lock);
	while (run->gfn <= mmu_max_gfn()) {
		tdp_last_entry(run->root, run->gfn, &level);
		found = level == LEVEL_4K;
		if (found || need_resched())
			break;
		run->gfn = level_next(run->gfn, level);
	}
	read_unlock(&run->vm->mmu_lock);
	return found;
}

/* A 1G region is tried when its first frame comes by, then in 2M pieces. */
static void collapse_here(struct run *run)
{
	enum mmu_stat what = MMU_STAT_collapse_small;
	int level;

	for (level = spte_bits.max_leaf; level > LEVEL_4K; level--) {
		if (run->gfn != level_base(run->gfn, level))
			continue;
		what = collapse_one(run, level);
		if (what == MMU_STAT_collapsed)
			break;
	}
	mmu_count(run->mmu, MMU_STAT_collapse_seen);
	mmu_count(run->mmu, what);
	run->gfn = level_next(run->gfn, max(level, LEVEL_2M));
}

static void collapse_batch(struct run *run)
{
	for (run->seen = 0; run->seen < BATCH && find_small(run); run->seen++)
		collapse_here(run);
	if (dead_tables_empty(&run->tables))
		return;
	mmu_tlb_flush_vm(run->vm);
	reclaim_tables(&run->tables);
}

/* The mm is held for one batch at a time, so that the VMM can end meanwhile. */
static bool batch_with_mm(struct run *run)
{
	struct mm_struct *mm = run->vm->mm;

	if (!mmget_not_zero(mm))
		return false;
	kthread_use_mm(mm);
	collapse_batch(run);
	kthread_unuse_mm(mm);
	mmput(mm);
	cond_resched();
	return run->gfn <= mmu_max_gfn();
}

/* A space that has no root yet has nothing to collapse. */
static void collapse_space(struct run *run, unsigned int space)
{
	run->space = space;
	run->root = tdp_root(run->mmu, space);
	run->gfn = 0;
	while (run->root && !READ_ONCE(run->mmu->ending) && batch_with_mm(run))
		;
}

static void collapse(struct work_struct *work)
{
	struct mmu *mmu = container_of(to_delayed_work(work), struct mmu, collapse);
	struct run run = {
		.vm = mmu->vm,
		.mmu = mmu,
		.tables = DEAD_TABLES_INIT(run.tables),
	};
	unsigned int space;

	mmu_count(mmu, MMU_STAT_collapse_runs);
	if (spte_bits.max_leaf == LEVEL_4K)
		return;
	for (space = 0; space < MINIKVM_ADDRESS_SPACES; space++)
		collapse_space(&run, space);
}

/**
 * collapse_later() - logging stopped somewhere
 * @vm: the VM
 */
void collapse_later(struct vm *vm)
{
	mod_delayed_work(system_unbound_wq, &vm->arch.mmu->collapse,
			 msecs_to_jiffies(READ_ONCE(collapse_delay_ms)));
}

/**
 * collapse_now() - and wait until it is done
 * @mmu: the VM's
 */
void collapse_now(struct mmu *mmu)
{
	mod_delayed_work(system_unbound_wq, &mmu->collapse, 0);
	flush_delayed_work(&mmu->collapse);
}

/**
 * collapse_init() - a VM's worker, with nothing to do
 * @mmu: the VM's, being created
 */
void collapse_init(struct mmu *mmu)
{
	INIT_DELAYED_WORK(&mmu->collapse, collapse);
}

/**
 * collapse_exit() - the VM ends: the worker stops at its next batch
 * @mmu: the VM's; nobody calls collapse_later() or collapse_now() any more
 *
 * Context: sleeps until it has stopped.
 */
void collapse_exit(struct mmu *mmu)
{
	WRITE_ONCE(mmu->ending, true);
	cancel_delayed_work_sync(&mmu->collapse);
}
