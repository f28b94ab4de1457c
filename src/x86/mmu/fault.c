// SPDX-License-Identifier: GPL-2.0
/*
 * Second-level faults: from a guest address to a leaf.
 *
 *	slot -> fix without the lock? -> invalidation sequence -> host page
 *	     -> memcache -> mmu_lock for read -> stale? -> walk, install
 *	     -> what comes after it (around.c)
 *
 * A lost race is no error: the guest is entered again, and faults again if
 * there is still a reason to.
 */
#include <linux/sched/signal.h>
#include <minikvm/dirty_log.h>
#include "x86/exit.h"
#include "x86/mmu/tdp.h"
#include "x86/vendor.h"

struct fault {
	struct vcpu *vcpu;
	struct mmu *mmu;
	u64 *root;			/* of the vCPU's address space */
	struct memslot *slot;
	gfn_t gfn;
	bool write, exec;
	u8 level;			/* the largest page that will do */
	bool follows;			/* a 4K page that comes after a mapped one */
	struct host_page host;
};

/* It has run there, or it would not fault. */
static u64 *vcpu_root(struct vcpu *vcpu)
{
	return tdp_root(vcpu->vm->arch.mmu, vcpu->space);
}

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
		spte = (spte | SPTE_LARGE) & ~spte_bits.small_only;
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
 * A leaf that is larger than may be written at once, or executed: the same pages
 * by smaller ones, with the same rights and what only the smallest have; or, where
 * hardware logs, with that of being written and logged. No right is taken away, so
 * nothing is flushed.
 */
static void split(struct fault *f, u64 *sptep, u64 old, int level)
{
	struct memcache *mc = &f->vcpu->arch.table_cache;
	u64 *table = memcache_alloc(mc);
	u64 child = level == LEVEL_2M ? (old & ~SPTE_LARGE) | spte_bits.small_only : old;
	bool arm = level == LEVEL_2M && memslot_logged(f->slot) && spte_bits.dirty_burst;
	u64 step = level_pages(level - 1) << PAGE_SHIFT;
	unsigned int i;

	if (arm)
		child = spte_armed(child);
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

	if (!write && level == LEVEL_4K && spte_bits.dirty_burst)
		new = spte_armed(new);
	if (spte_present(old)) {
		if (!f->write || (old & SPTE_WRITE))
			return true;	/* somebody was faster */
		if (spte_pfn(old) != spte_pfn(new))
			return false;	/* its removal is under way */
	}
	if (f->host.writable)
		host_page_dirty(&f->host);
	if (unlikely(!f->host.page))
		WRITE_ONCE(f->vcpu->vm->arch.has_device, true);
	if (!try_cmpxchg64(sptep, &old, new))
		return false;
	f->follows = level == LEVEL_4K && level_index(f->gfn, level) &&
		     spte_present(READ_ONCE(sptep[-1]));
	count_mapped(f, level);
	return true;
}

static bool install(struct fault *f)
{
	u64 *table = f->root, *sptep, spte;
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
static u64 *writable_path(u64 *root, gfn_t gfn, int *level)
{
	u64 *table = root, *sptep, spte;

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

static bool fix_leaf(u64 *root, const struct memslot *slot, gfn_t gfn)
{
	u64 *sptep, spte;
	int level;

	sptep = writable_path(root, gfn, &level);
	if (!sptep)
		return false;
	spte = READ_ONCE(*sptep);
	if (!spte_is_leaf(spte, level) || !(spte & SPTE_HOST_WRITABLE))
		return false;
	if (level > LEVEL_4K && memslot_logged(slot))
		return false;
	return (spte & SPTE_WRITE) ||
	       try_cmpxchg64(sptep, &spte, spte | SPTE_WRITE | spte_bits.dirty);
}

/* The most frequent of faults while a log runs: it is all here, and short. */
static bool fast_fix(struct vcpu *vcpu, struct memslot *slot, gfn_t gfn)
{
	struct mmu *mmu = vcpu->vm->arch.mmu;
	bool fixed;

	/* Tables that were removed stay until this is over: reclaim.c. */
	rcu_read_lock_sched();
	fixed = fix_leaf(vcpu_root(vcpu), slot, gfn);
	rcu_read_unlock_sched();
	if (!fixed)
		return false;
	/* Mapped first, logged then: see dirty_log.c. */
	dirty_log_mark(vcpu, slot, gfn);
	mmu_count(mmu, MMU_STAT_fast_fixes);
	return true;
}

/* --- No slot: an entry that says so, and exits faster than a fault. --- */

static void set_mmio(struct fault *f)
{
	u64 *table = f->root, *sptep, spte;
	int level;

	for (level = spte_bits.levels;; level--) {
		sptep = spte_ptr(table, f->gfn, level);
		spte = READ_ONCE(*sptep);
		if (!spte && level > LEVEL_4K) {
			add_table(f, sptep, spte, level);
			spte = READ_ONCE(*sptep);
		}
		if (!spte_is_table(spte, level))
			break;
		table = spte_table(spte);
	}
	if (!spte && level == LEVEL_4K)
		try_cmpxchg64(sptep, &spte, spte_bits.mmio);
}

/*
 * A slot that appears here is published, then moves the generation, then has
 * such entries zapped (mmu_slot_created). So with mmu_lock held, either the
 * generation has moved since the slot was looked for, or the zap is to come.
 * An old entry that a vCPU is just exiting through does no harm: the emulator
 * looks for the slot again.
 */
static noinline int no_slot(struct vcpu *vcpu, gfn_t gfn)
{
	/* As it was before vcpu_memslot() looked for the slot. */
	unsigned long generation = vcpu->slot_cache.generation;
	struct vm *vm = vcpu->vm;
	struct fault f = {
		.vcpu = vcpu, .mmu = vm->arch.mmu, .root = vcpu_root(vcpu), .gfn = gfn,
	};

	if (!spte_bits.mmio || gfn > mmu_max_gfn() ||
	    memcache_topup(&vcpu->arch.table_cache, spte_bits.levels))
		return MMU_FAULT_EMULATE;
	read_lock(&vm->mmu_lock);
	if (READ_ONCE(vm->slots.generation) == generation)
		set_mmio(&f);
	read_unlock(&vm->mmu_lock);
	return MMU_FAULT_EMULATE;
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

/* A page that the host had to make has no neighbours yet. */
static bool wants_around(const struct fault *f)
{
	return f->follows && f->host.at_hand && !memslot_logged(f->slot);
}

static u8 largest_level(const struct fault *f)
{
	if ((f->write && memslot_logged(f->slot)) || (f->exec && spte_bits.small_only))
		return LEVEL_4K;
	return host_level(f->vcpu->vm, f->slot, f->gfn);
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
	f->level = largest_level(f);
	/* At most a table for each level but the root's. */
	r = memcache_topup(&f->vcpu->arch.table_cache, spte_bits.levels);
	if (!r) {
		done = map_locked(f, seq);
		if (done && f->write)
			dirty_log_mark(f->vcpu, f->slot, f->gfn);
		if (!done)
			mmu_count(f->mmu, MMU_STAT_retries);
		else if (wants_around(f))
			fault_around(f->mmu, f->slot, f->gfn, f->host.writable);
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

/* Out of line, so that who needs none of this does not pay for its frame. */
static noinline int fault_in(struct vcpu *vcpu, struct memslot *slot, gfn_t gfn, u32 access)
{
	struct fault f = {
		.vcpu = vcpu,
		.mmu = vcpu->vm->arch.mmu,
		.root = vcpu_root(vcpu),
		.slot = slot,
		.gfn = gfn,
		.write = access & NPF_WRITE,
		.exec = access & NPF_EXEC,
	};
	int r = map(&f);

	if (r == -EHWPOISON)
		return poisoned(&f);
	return r == -EAGAIN ? MMU_FAULT_DONE : r;
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
	bool write = access & NPF_WRITE;
	gfn_t gfn = gpa >> PAGE_SHIFT;
	struct memslot *slot = vcpu_memslot(vcpu, gfn);

	mmu_count(vcpu->vm->arch.mmu, MMU_STAT_faults);
	if (!slot)
		return no_slot(vcpu, gfn);
	if (write && memslot_read_only(slot))
		return MMU_FAULT_EMULATE;
	if (write && (access & NPF_PRESENT) && fast_fix(vcpu, slot, gfn))
		return MMU_FAULT_DONE;
	return fault_in(vcpu, slot, gfn, access);
}

static void log_written(struct vcpu *vcpu, const u64 *gpas, unsigned int n)
{
	atomic64_add(n, &vcpu->vm->arch.mmu->stats[MMU_STAT_hw_logged]);
	/* The oldest is the last: user space sees the order in a ring. */
	while (n--) {
		gfn_t gfn = gpas[n] >> PAGE_SHIFT;
		struct memslot *slot = vcpu_memslot(vcpu, gfn);

		if (slot)
			dirty_log_mark(vcpu, slot, gfn);
	}
}

/**
 * mmu_log_written() - pages that hardware has logged go into the dirty log
 * @vcpu: the vCPU, of the current thread, between an exit and all else
 *
 * Context: may sleep.
 */
void mmu_log_written(struct vcpu *vcpu)
{
	const u64 *gpas;
	unsigned int n = static_call(vendor_take_written)(vcpu, &gpas);
	int idx;

	if (likely(!n))
		return;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	log_written(vcpu, gpas, n);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

/**
 * mmu_mmio_exit() - an access ran into an entry that marks MMIO
 * @vcpu: the vCPU, of the current thread
 */
void mmu_mmio_exit(struct vcpu *vcpu)
{
	mmu_count(vcpu->vm->arch.mmu, MMU_STAT_mmio);
}
