// SPDX-License-Identifier: GPL-2.0
/*
 * The second-level tables of a VM: their life, and what is done to a range of
 * them: removal and ageing. One root for each address space of the VM, shared by
 * all the vCPUs that are in it.
 *
 * Ranges are walked in steps of at most one table, each from the root, so that
 * the lock can be released between two steps whatever happens to the tables.
 * What a range covers whole is unlinked at the top, whatever is below.
 */
#include <linux/memcontrol.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "x86/mmu/debugfs.h"
#include "x86/mmu/tdp.h"

struct spte_bits spte_bits __ro_after_init;

/**
 * table_level() - the level of a table, by which whoever frees it knows its shape
 * @table: marked by table_set_level()
 *
 * Context: any. Return: LEVEL_4K for one of leaves only, and so on upwards.
 */
int table_level(const u64 *table)
{
	return page_private(virt_to_page(table));
}

/**
 * table_set_level() - mark a table with its level
 * @table: a page of its own, which nothing points to yet
 * @level: of its entries
 *
 * Context: any.
 */
void table_set_level(u64 *table, int level)
{
	set_page_private(virt_to_page(table), level);
}

/*
 * A misconfigured entry in EPT is one that is written but not read (SDM vol. 3,
 * 29.3.3.1); in NPT, one with address bits that the CPU does not have (APM
 * 15.25.6). A CPU that has them all gets no such entries.
 */
static u64 mmio_entry(const struct spte_format *format)
{
	if (format->ept)
		return SPTE_MMIO | SPTE_WRITE | SPTE_ALWAYS;
	if (!format->reserved)
		return 0;
	return SPTE_MMIO | format->reserved | SPTE_PRESENT | SPTE_WRITE | SPTE_ALWAYS;
}

/**
 * spte_init() - settle the bits of all entries from now on
 * @format: what the vendor says that hardware wants
 */
void spte_init(const struct spte_format *format)
{
	struct spte_bits *b = &spte_bits;

	*b = (struct spte_bits){
		.levels = format->levels,
		.max_leaf = !format->page_2m ? LEVEL_4K : format->page_1g ? LEVEL_1G : LEVEL_2M,
		.max_gfn = min(level_pages(format->levels + 1), 1ULL << (format->phys_bits - PAGE_SHIFT)) - 1,
		.dirty_burst = format->dirty_burst,
		.small_only = format->small_exec ? VMX_EPT_EXECUTABLE_MASK : 0,
		.mmio = mmio_entry(format),
	};
	if (format->ept) {
		b->cached = (VMX_EPTP_MT_WB << VMX_EPT_MT_EPTE_SHIFT) | VMX_EPT_IPAT_BIT;
		b->accessed = format->ad_bits ? VMX_EPT_ACCESS_BIT : 0;
		b->dirty = format->ad_bits ? VMX_EPT_DIRTY_BIT : 0;
	} else {
		b->accessed = _PAGE_ACCESSED;
		b->dirty = _PAGE_DIRTY;
		b->encrypt = sme_me_mask;
	}
	b->address = SPTE_ADDRESS & ~b->encrypt;
	b->leaf = SPTE_PRESENT | SPTE_ALWAYS | b->accessed | b->encrypt;
	b->table = SPTE_PRESENT | SPTE_ALWAYS | SPTE_WRITE | b->accessed | b->encrypt;
}

/**
 * tdp_last_entry() - where the walk to a frame ends
 * @root:	of the address space
 * @gfn:	the frame
 * @level:	the entry's: LEVEL_4K, or above it a huge leaf or nothing at all
 *
 * Context: mmu_lock held, or RCU.
 */
u64 *tdp_last_entry(u64 *root, gfn_t gfn, int *level)
{
	u64 *table = root, *sptep, spte;

	for (*level = spte_bits.levels;; (*level)--) {
		sptep = spte_ptr(table, gfn, *level);
		spte = READ_ONCE(*sptep);
		if (!spte_is_table(spte, *level))
			return sptep;
		table = spte_table(spte);
	}
}

/**
 * mmu_max_gfn() - the last guest frame that a table can map
 */
gfn_t mmu_max_gfn(void)
{
	return spte_bits.max_gfn;
}

/* --- Removal. mmu_lock is held for write. --- */

struct zap {
	struct vm *vm;
	u64 *root;
	gfn_t last;
	unsigned int ntables, nleaves;	/* removed */
	unsigned int marked;		/* so many of them, by a mark after it */
	struct dead_tables tables;	/* unlinked, not yet flushed */
};

static void zap_table(struct zap *z, u64 *sptep, u64 spte)
{
	/* Only its accessed bit can still change. */
	WRITE_ONCE(*sptep, 0);
	reclaim_add(&z->tables, spte);
	z->ntables++;
}

static void zap_leaf(struct zap *z, u64 *sptep)
{
	/* Lockless fixers may still change it: take it whole. */
	if (spte_present(xchg(sptep, 0)))
		z->nleaves++;
}

/* Of a table of the lowest level. */
static void zap_pages(struct zap *z, u64 *sptep, u64 *end)
{
	for (; sptep < end; sptep++)
		if (READ_ONCE(*sptep))
			zap_leaf(z, sptep);
}

static void zap_entries(struct zap *z, u64 *sptep, u64 *end)
{
	u64 spte;

	for (; sptep < end; sptep++) {
		spte = READ_ONCE(*sptep);
		if (spte_is_table(spte, LEVEL_2M))
			zap_table(z, sptep, spte);
		else if (spte)
			zap_leaf(z, sptep);
	}
}

/*
 * One step: neighbours in the table that @gfn leads to, down to the highest
 * entry that is in the range as a whole, or is no table. A huge page that is
 * partly in the range goes as well.
 */
static gfn_t zap_step(struct zap *z, gfn_t gfn)
{
	u64 *table = z->root, *sptep, *end, spte;
	int level = spte_bits.levels;
	gfn_t last;

	for (;; level--) {
		sptep = spte_ptr(table, gfn, level);
		spte = READ_ONCE(*sptep);
		if (!spte_is_table(spte, level) || level_covered(gfn, z->last, level))
			break;
		table = spte_table(spte);
	}
	last = min(z->last, level_next(gfn, level + 1) - 1);
	end = sptep + level_index(last, level) - level_index(gfn, level);
	gfn = level_base(last, level);
	/* A table that is in the range in part: the next step goes down there. */
	if (!spte_is_table(READ_ONCE(*end), level) || level_covered(gfn, last, level)) {
		gfn += level_pages(level);
		end++;
	}
	if (level == LEVEL_4K)
		zap_pages(z, sptep, end);
	else
		zap_entries(z, sptep, end);
	return gfn;
}

static void mark_removed(struct zap *z)
{
	if (z->ntables + z->nleaves == z->marked)
		return;
	tlb_mark(z->vm);
	z->marked = z->ntables + z->nleaves;
}

static void zap_locked(struct zap *z, gfn_t gfn, bool may_sleep)
{
	while (gfn <= z->last) {
		gfn = zap_step(z, gfn);
		if (!may_sleep || gfn > z->last)
			continue;
		if (need_resched() || rwlock_needbreak(&z->vm->mmu_lock)) {
			mark_removed(z);
			cond_resched_rwlock_write(&z->vm->mmu_lock);
		}
	}
	mark_removed(z);
}

static void zap_range(struct zap *z, unsigned int space, gfn_t first, gfn_t last, bool may_sleep)
{
	z->last = min(last, mmu_max_gfn());
	write_lock(&z->vm->mmu_lock);
	z->root = tdp_root(z->vm->arch.mmu, space);
	if (z->root)
		zap_locked(z, first, may_sleep);
	write_unlock(&z->vm->mmu_lock);
}

static void zap_end(struct zap *z)
{
	mmu_count_more(z->vm->arch.mmu, MMU_STAT_tables_dropped, z->ntables);
	mmu_count_more(z->vm->arch.mmu, MMU_STAT_zapped, z->nleaves);
	/* Even if nothing was there: somebody else may be about to flush it. */
	mmu_tlb_flush_vm(z->vm);
	reclaim_tables(&z->tables);
}

/**
 * mmu_zap() - no mapping of some guest frames is in any table or TLB on return
 * @vm:		the VM
 * @space:	which of its address spaces
 * @first:	first frame
 * @last:	last frame
 * @may_sleep:	the lock may be given up and the CPU as well
 *
 * The caller sees to it that none comes back: by an invalidation that runs, or
 * a slot that is no more.
 *
 * Context: as @may_sleep says; interrupts on.
 */
void mmu_zap(struct vm *vm, unsigned int space, gfn_t first, gfn_t last, bool may_sleep)
{
	struct zap z = { .vm = vm, .tables = DEAD_TABLES_INIT(z.tables) };

	zap_range(&z, space, first, last, may_sleep);
	zap_end(&z);
}

/**
 * mmu_zap_hva() - no mapping of some host memory is in any table or TLB on return
 * @vm:		the VM
 * @start:	host address, in bytes
 * @end:	likewise; not itself in the range
 * @may_sleep:	as for mmu_zap()
 *
 * One flush for all slots that have some of it: there may be thousands.
 *
 * Context: as @may_sleep says; interrupts on.
 */
void mmu_zap_hva(struct vm *vm, hva_t start, hva_t end, bool may_sleep)
{
	struct zap z = { .vm = vm, .tables = DEAD_TABLES_INIT(z.tables) };
	struct hva_walk walk = { .start = start, .end = end };

	if (!memslots_next_in_hva(vm, &walk))
		return;
	do {
		zap_range(&z, walk.space, walk.first, walk.last, may_sleep);
		if (may_sleep)
			cond_resched();
	} while (memslots_next_in_hva(vm, &walk));
	zap_end(&z);
}

/**
 * mmu_slot_created() - entries that say "no memory here" are wrong now
 * @vm:		the VM; its slots_lock is held
 * @slot:	published
 */
void mmu_slot_created(struct vm *vm, struct memslot *slot)
{
	if (spte_bits.mmio)
		mmu_zap(vm, memslot_space(slot), slot->base_gfn, memslot_last(slot), true);
}

/* --- Ageing. --- */

/* Where hardware does not tell, what is mapped counts as used. */
static bool spte_young(u64 spte)
{
	return spte_present(spte) && (!spte_bits.accessed || (spte & spte_bits.accessed));
}

/* Next frame; @young: there was a leaf that the guest used. */
static gfn_t age_step(u64 *root, gfn_t gfn, bool clear, bool *young)
{
	int level;
	u64 *sptep = tdp_last_entry(root, gfn, &level);
	u64 spte = READ_ONCE(*sptep);

	if (spte_young(spte)) {
		*young = true;
		if (clear)
			clear_bit(ilog2(spte_bits.accessed), (unsigned long *)sptep);
	}
	return level_next(gfn, level);
}

/* Forgotten is then what is not mapped any more. */
static bool age_by_zapping(struct vm *vm, unsigned int space, gfn_t first, gfn_t last)
{
	s64 gen = atomic64_read(&vm->tlb_gen);

	mmu_zap(vm, space, first, last, false);
	return atomic64_read(&vm->tlb_gen) != gen;
}

/**
 * mmu_age() - were some guest frames used lately?
 * @vm:		the VM
 * @space:	which of its address spaces
 * @first:	first frame
 * @last:	last frame
 * @clear:	forget it. TLBs are not flushed, as the host itself does not on
 *		x86: a page that is in use will be seen used again soon enough.
 *
 * Context: does not sleep.
 */
bool mmu_age(struct vm *vm, unsigned int space, gfn_t first, gfn_t last, bool clear)
{
	bool young = false;
	gfn_t gfn = first;
	u64 *root;

	if (clear && !spte_bits.accessed)
		return age_by_zapping(vm, space, first, last);
	last = min(last, mmu_max_gfn());
	read_lock(&vm->mmu_lock);
	root = tdp_root(vm->arch.mmu, space);
	while (root && gfn <= last && (clear || !young))
		gfn = age_step(root, gfn, clear, &young);
	read_unlock(&vm->mmu_lock);
	return young;
}

/* --- Life. --- */

/**
 * mmu_init() - at module load
 * @format: of the second-level tables
 *
 * Return: 0 or -ENOMEM.
 */
int mmu_init(const struct spte_format *format)
{
	int r;

	spte_init(format);
	r = reclaim_init();
	if (!r)
		mmu_debugfs_init();
	return r;
}

/**
 * mmu_exit() - at module unload, when all VMs are gone
 */
void mmu_exit(void)
{
	mmu_debugfs_exit();
	reclaim_exit();
}

static u64 *root_alloc(void)
{
	u64 *root = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

	if (root)
		table_set_level(root, spte_bits.levels);
	return root;
}

static void root_free(u64 *root)
{
	set_page_private(virt_to_page(root), 0);
	free_page((unsigned long)root);
}

/* Two vCPUs may come into a space at once: one of them makes its root. */
static u64 *root_make(struct mmu *mmu, unsigned int space)
{
	u64 *root = root_alloc(), *other;

	if (!root)
		return NULL;
	other = cmpxchg(&mmu->roots[space], NULL, root);
	if (!other)
		return root;
	root_free(root);
	return other;
}

/**
 * mmu_root() - what hardware is given for an address space
 * @vm:		the VM
 * @space:	the space
 *
 * Context: sleeps, the first time. Return: the root's physical address with the
 * bits of an entry; 0: no memory.
 */
hpa_t mmu_root(struct vm *vm, unsigned int space)
{
	u64 *root = tdp_root(vm->arch.mmu, space) ?: root_make(vm->arch.mmu, space);

	return root ? __pa(root) | spte_bits.encrypt : 0;
}

/**
 * mmu_vm_init() - a new VM's tables, empty, and its notifier
 * @vm: of the current mm
 *
 * Context: sleeps. Return: 0 or an errno.
 */
int mmu_vm_init(struct vm *vm)
{
	struct mmu *mmu = kzalloc(sizeof(*mmu), GFP_KERNEL_ACCOUNT);
	int r = -ENOMEM;

	if (!mmu)
		return r;
	mmu->vm = vm;
	spin_lock_init(&mmu->push_lock);
	collapse_init(mmu);
	mmu->roots[SPACE_MAIN] = root_alloc();
	if (!mmu->roots[SPACE_MAIN])
		goto err_mmu;
	vm->arch.mmu = mmu;
	/* Ahead of a new vCPU's 0, whose first entry therefore flushes. */
	atomic64_set(&vm->tlb_gen, 1);
	r = invalidation_init(vm);
	if (r)
		goto err_root;
	mmu_debugfs_add(mmu);
	return 0;

err_root:
	vm->arch.mmu = NULL;
	root_free(mmu->roots[SPACE_MAIN]);
err_mmu:
	kfree(mmu);
	return r;
}

/**
 * mmu_vm_stop() - nobody comes to the VM's MMU from outside any more
 * @vm: the VM; its vCPUs are still there, for whoever is just flushing them
 *
 * Context: sleeps.
 */
void mmu_vm_stop(struct vm *vm)
{
	mmu_debugfs_remove(vm->arch.mmu);
	collapse_exit(vm->arch.mmu);
	invalidation_exit(vm);
}

/**
 * mmu_vm_destroy() - the end; tables are freed later, by the module
 * @vm: the VM, after mmu_vm_stop(); its vCPUs are gone
 */
void mmu_vm_destroy(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < MINIKVM_ADDRESS_SPACES; i++)
		if (vm->arch.mmu->roots[i])
			reclaim_root(vm->arch.mmu->roots[i]);
	kfree(vm->arch.mmu);
	vm->arch.mmu = NULL;
}

/**
 * mmu_vcpu_init() - what faults of a vCPU take their tables from
 * @vcpu: being created
 *
 * Return: 0; it is filled later, by the faults.
 */
int mmu_vcpu_init(struct vcpu *vcpu)
{
	memcache_init(&vcpu->arch.table_cache, NULL);
	return 0;
}

/**
 * mmu_vcpu_destroy() - give back the tables that no fault has used
 * @vcpu: being destroyed
 */
void mmu_vcpu_destroy(struct vcpu *vcpu)
{
	memcache_free(&vcpu->arch.table_cache);
}
