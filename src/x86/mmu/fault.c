// SPDX-License-Identifier: GPL-2.0
/*
 * Second-level faults: from a guest address to a leaf.
 *
 *	slot -> fix without the lock? -> invalidation sequence -> host page
 *	     -> memcache -> mmu_lock for read -> stale? -> walk, install
 *
 * A lost race is no error: the guest is entered again, and faults again if
 * there is still a reason to.
 */
#include <linux/sched/signal.h>
#include <minikvm/dirty_log.h>
#include "x86/exit.h"
#include "x86/mmu/tdp.h"

struct fault {
	struct vcpu *vcpu;
	struct mmu *mmu;
	struct memslot *slot;
	gfn_t gfn;
	bool write;
	u8 level;			/* the largest page that will do */
	struct host_page host;
};

/* --- Leaves. --- */

/* Devices behind VM_PFNMAP: the guest's own memory type must not make them cached. */
static bool is_device(const struct host_page *hp)
{
	return !hp->page && !pfn_valid(hp->pfn);
}

/**
 * spte_make_leaf() - the entry that maps a host page
 * @hp:		the page
 * @level:	of the entry
 * @write:	the guest may write; the page is writable then
 */
u64 spte_make_leaf(const struct host_page *hp, int level, bool write)
{
	unsigned long pfn = level_base(hp->pfn, level);
	u64 spte = ((u64)pfn << PAGE_SHIFT) | spte_bits.leaf;

	spte |= is_device(hp) ? spte_bits.uncached : spte_bits.cached;
	if (is_device(hp))
		spte &= ~spte_bits.encrypt;
	if (level > LEVEL_4K)
		spte |= SPTE_LARGE;
	if (hp->writable)
		spte |= SPTE_HOST_WRITABLE;
	if (write)
		spte |= SPTE_WRITE | spte_bits.dirty;
	return spte;
}

/* --- The walk. mmu_lock is held for read. --- */

/* The entry is empty: put a table there. Somebody else's will do. */
static void add_table(struct fault *f, u64 *sptep, u64 old, int level)
{
	struct memcache *mc = &f->vcpu->arch.table_cache;
	u64 *table = memcache_alloc(mc);

	table_set_level(table, level - 1);
	if (!try_cmpxchg64(sptep, &old, spte_make_table(table)))
		memcache_return(mc, table);
}

/*
 * A leaf that is larger than may be written at once: the same pages by smaller
 * ones, with the same rights. No translation changes, so nothing is flushed.
 */
static void split(struct fault *f, u64 *sptep, u64 old, int level)
{
	struct memcache *mc = &f->vcpu->arch.table_cache;
	u64 *table = memcache_alloc(mc);
	u64 child = level == LEVEL_2M ? old & ~SPTE_LARGE : old;
	u64 step = level_pages(level - 1) << PAGE_SHIFT;
	unsigned int i;

	table_set_level(table, level - 1);
	for (i = 0; i < SPTES_PER_TABLE; i++)
		table[i] = child + i * step;
	if (try_cmpxchg64(sptep, &old, spte_make_table(table))) {
		mmu_count(f->mmu, MMU_STAT_splits);
		return;
	}
	clear_page(table);
	memcache_return(mc, table);
}

static void count_mapped(struct fault *f, int level)
{
	mmu_count(f->mmu, MMU_STAT_mapped_4k + level - LEVEL_4K);
}

/* The entry that shall map the frame. False: it changed under us. */
static bool set_leaf(struct fault *f, u64 *sptep, u64 old, int level)
{
	bool write = f->host.writable && (f->write || !memslot_logged(f->slot));
	u64 new = spte_make_leaf(&f->host, level, write);

	if (spte_present(old)) {
		if (!f->write || (old & SPTE_WRITE))
			return true;	/* somebody was faster */
		if (spte_pfn(old) != spte_pfn(new))
			return false;	/* its removal is under way */
	}
	if (f->host.writable)
		host_page_dirty(&f->host);
	if (!try_cmpxchg64(sptep, &old, new))
		return false;
	count_mapped(f, level);
	return true;
}

static bool install(struct fault *f)
{
	u64 *table = f->mmu->root, *sptep, spte;
	int level = spte_bits.levels;

	for (;;) {
		sptep = spte_ptr(table, f->gfn, level);
		spte = READ_ONCE(*sptep);
		if (!spte_is_table(spte, level)) {
			if (level <= f->level)
				return set_leaf(f, sptep, spte, level);
			if (spte_present(spte))
				split(f, sptep, spte, level);
			else
				add_table(f, sptep, spte, level);
			spte = READ_ONCE(*sptep);
			if (!spte_is_table(spte, level))
				return false;
		}
		if (f->write && !(spte & SPTE_WRITE))
			protect_push(f->mmu, f->slot, f->gfn, sptep, level);
		table = spte_table(spte);
		level--;
	}
}

/* --- A write to what is only write-protected: no lock, no look at the host. --- */

/* The leaf of @gfn, if all tables above it let it be written. */
static u64 *writable_path(struct mmu *mmu, gfn_t gfn, int *level)
{
	u64 *table = mmu->root, *sptep, spte;

	for (*level = spte_bits.levels;; (*level)--) {
		sptep = spte_ptr(table, gfn, *level);
		spte = READ_ONCE(*sptep);
		if (!spte_is_table(spte, *level))
			return sptep;
		if (!(spte & SPTE_WRITE))
			return NULL;
		table = spte_table(spte);
	}
}

static bool fix_leaf(struct fault *f)
{
	u64 *sptep, spte;
	int level;

	sptep = writable_path(f->mmu, f->gfn, &level);
	if (!sptep)
		return false;
	spte = READ_ONCE(*sptep);
	if (!spte_is_leaf(spte, level) || !(spte & SPTE_HOST_WRITABLE))
		return false;
	if (level > LEVEL_4K && memslot_logged(f->slot))
		return false;
	return (spte & SPTE_WRITE) ||
	       try_cmpxchg64(sptep, &spte, spte | SPTE_WRITE | spte_bits.dirty);
}

static bool fast_fix(struct fault *f)
{
	bool fixed;

	rcu_read_lock();
	fixed = fix_leaf(f);
	rcu_read_unlock();
	if (!fixed)
		return false;
	/* Mapped first, logged then: see dirty_log.c. */
	dirty_log_mark(f->vcpu, f->slot, f->gfn);
	mmu_count(f->mmu, MMU_STAT_fast_fixes);
	return true;
}

/* --- The whole of a fault. --- */

static bool map_locked(struct fault *f, unsigned long seq)
{
	struct vm *vm = f->vcpu->vm;
	hva_t size = level_pages(f->level) << PAGE_SHIFT;
	hva_t start = memslot_hva(f->slot, f->gfn) & ~(size - 1);
	bool done = false;

	read_lock(&vm->mmu_lock);
	if (!invalidation_since(vm, seq, start, start + size))
		done = install(f);
	read_unlock(&vm->mmu_lock);
	return done;
}

static int map(struct fault *f)
{
	struct vm *vm = f->vcpu->vm;
	unsigned long seq = invalidation_seq(vm);
	bool done;
	int r;

	r = host_page_get(vm, f->slot, f->gfn, f->write, &f->host);
	if (r)
		return r;
	f->level = f->write && memslot_logged(f->slot) ? LEVEL_4K :
		   host_level(vm, f->slot, f->gfn);
	/* At most a table for each level but the root's. */
	r = memcache_topup(&f->vcpu->arch.table_cache, spte_bits.levels);
	if (!r) {
		done = map_locked(f, seq);
		if (done && f->write)
			dirty_log_mark(f->vcpu, f->slot, f->gfn);
		if (!done)
			mmu_count(f->mmu, MMU_STAT_retries);
	}
	host_page_put(&f->host);
	return r;
}

/* The VMM hears of broken memory as it would by touching it: SIGBUS. */
static int poisoned(struct fault *f)
{
	send_sig_mceerr(BUS_MCEERR_AR,
			(void __user *)memslot_hva(f->slot, f->gfn), PAGE_SHIFT, current);
	return MMU_FAULT_DONE;
}

static int no_slot(struct fault *f)
{
	return MMU_FAULT_EMULATE;
}

/**
 * mmu_fault() - resolve a second-level fault
 * @vcpu:	the vCPU, of the current thread; vm->srcu is held
 * @gpa:	guest physical address, in bytes
 * @access:	NPF_*
 *
 * Context: sleeps for host pages and for memory.
 * Return: enum mmu_fault_result; below 0 what KVM_RUN shall fail with.
 */
int mmu_fault(struct vcpu *vcpu, gpa_t gpa, u32 access)
{
	struct fault f = {
		.vcpu = vcpu,
		.mmu = vcpu->vm->arch.mmu,
		.gfn = gpa >> PAGE_SHIFT,
		.write = access & NPF_WRITE,
	};
	int r;

	mmu_count(f.mmu, MMU_STAT_faults);
	f.slot = vcpu_memslot(vcpu, f.gfn);
	if (!f.slot)
		return no_slot(&f);
	if (f.write && memslot_read_only(f.slot))
		return MMU_FAULT_EMULATE;
	if (f.write && (access & NPF_PRESENT) && fast_fix(&f))
		return MMU_FAULT_DONE;
	r = map(&f);
	if (r == -EHWPOISON)
		return poisoned(&f);
	return r == -EAGAIN ? MMU_FAULT_DONE : r;
}
