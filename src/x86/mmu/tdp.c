// SPDX-License-Identifier: GPL-2.0
/*
 * The second-level tables of a VM: map, zap, age, write-protect.
 *
 * Who maps holds mmu_lock for reading, so several vCPUs do at once, and every
 * change is one cmpxchg of one entry. Who takes away holds it for writing.
 * Tables that are unlinked are freed by a worker, after the TLBs were flushed.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <minikvm/memcache.h>
#include <minikvm/vcpu.h>
#include "x86/mmu/tdp.h"

struct spte_bits spte_bits;
u8 mmu_levels;

/* Largest leaf, in levels: 1 4K, 2 2M, 3 1G. */
static u8 max_leaf_level;
static struct workqueue_struct *free_wq;

/* NPT is the CPU's own format, in which a guest is always a user: APM 15.25.5. */
static const struct spte_bits npt_bits = {
	.present	= _PAGE_PRESENT,
	.write		= _PAGE_RW,
	.no_exec	= _PAGE_NX,
	.huge		= _PAGE_PSE,
	.accessed	= _PAGE_ACCESSED,
	.dirty		= _PAGE_DIRTY,
	.leaf		= _PAGE_PRESENT | _PAGE_USER | _PAGE_ACCESSED,
	.table		= _PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED,
};

/* EPT: SDM vol. 3, tables 28-1 to 28-6. Write-back, the guest's PAT honoured. */
static const struct spte_bits ept_bits = {
	.present	= VMX_EPT_READABLE_MASK,
	.write		= VMX_EPT_WRITABLE_MASK,
	.exec		= VMX_EPT_EXECUTABLE_MASK,
	.huge		= BIT_ULL(7),
	.accessed	= VMX_EPT_ACCESS_BIT,
	.dirty		= VMX_EPT_DIRTY_BIT,
	.leaf		= VMX_EPT_READABLE_MASK | VMX_EPT_EXECUTABLE_MASK |
			  VMX_EPT_ACCESS_BIT |
			  (VMX_EPTP_MT_WB << VMX_EPT_MT_EPTE_SHIFT),
	.table		= VMX_EPT_RWX_MASK,
};

/* --- Freeing. --- */

static void free_tables(u64 *table, int level)
{
	unsigned int i;

	for (i = 0; i < TABLE_ENTRIES; i++)
		if (spte_is_table(table[i], level))
			free_tables(spte_table(table[i]), level - 1);
	free_page((unsigned long)table);
}

/*
 * Unlinked tables wait in a list that is threaded through their struct page;
 * what hung below them hangs there still.
 */
static void free_unlinked(struct list_head *pages)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, pages, lru) {
		list_del(&page->lru);
		free_tables(page_address(page), page_private(page));
		cond_resched();
	}
}

static void unlink_table(struct list_head *pages, u64 *table, int level)
{
	struct page *page = virt_to_page(table);

	set_page_private(page, level);
	list_add_tail(&page->lru, pages);
}

/* --- Mapping: mmu_lock held for reading. --- */

static bool install(u64 *sptep, u64 old, u64 new)
{
	return cmpxchg64(sptep, old, new) == old;
}

/* Make a huge leaf a table of smaller ones that map the same. */
static bool split(struct vcpu *vcpu, u64 *sptep, u64 old, int level)
{
	u64 *table = memcache_alloc(&vcpu->arch.table_cache);
	u64 small = level - 1 > 1 ? old : old & ~spte_bits.huge;
	unsigned int i;

	for (i = 0; i < TABLE_ENTRIES; i++)
		table[i] = small + i * (level_pages(level - 1) << PAGE_SHIFT);
	if (install(sptep, old, spte_make_table(table)))
		return true;
	clear_page(table);
	memcache_return(&vcpu->arch.table_cache, table);
	return false;
}

static bool add_table(struct vcpu *vcpu, u64 *sptep)
{
	u64 *table = memcache_alloc(&vcpu->arch.table_cache);

	if (install(sptep, 0, spte_make_table(table)))
		return true;
	memcache_return(&vcpu->arch.table_cache, table);
	return false;
}

static bool same_page(u64 spte, const struct tdp_mapping *m, int level)
{
	u64 pfn = m->pfn & ~(level_pages(level) - 1);

	return (spte & SPTE_PFN_MASK) >> PAGE_SHIFT == pfn;
}

static enum tdp_result install_leaf(u64 *sptep, u64 old, const struct tdp_mapping *m, int level)
{
	u64 new = spte_make_leaf(m->pfn & ~(level_pages(level) - 1), level, m->write,
				 m->host_writable);

	if (spte_present(old)) {
		/* Another vCPU was here; its mapping may allow more. */
		if (same_page(old, m, level) && (spte_writable(old) || !m->write))
			return TDP_MAPPED;
		/* Anything but more rights to the same page needs a flush. */
		if (!same_page(old, m, level))
			return TDP_AGAIN;
	}
	return install(sptep, old, new) ? TDP_MAPPED : TDP_AGAIN;
}

/**
 * tdp_map() - map a guest frame, and its neighbours where a huge leaf may be
 * @vcpu:	the vCPU; its table cache has a table for each level
 * @m:		the mapping
 *
 * Context: mmu_lock held for reading.
 * Return: TDP_MAPPED, or TDP_AGAIN if somebody else changed the entry.
 */
enum tdp_result tdp_map(struct vcpu *vcpu, const struct tdp_mapping *m)
{
	u64 *table = vcpu->vm->arch.mmu->root;
	int level, target = m->level;
	u64 *sptep, old;

	for (level = mmu_levels; ; level--) {
		sptep = &table[table_index(m->gfn, level)];
		old = READ_ONCE(*sptep);
		if (level == target && !spte_is_table(old, level))
			return install_leaf(sptep, old, m, level);
		if (spte_is_leaf(old, level)) {
			/* A larger one that will do, or has to be cut. */
			if (same_page(old, m, level) && (spte_writable(old) || !m->write))
				return TDP_MAPPED;
			if (!split(vcpu, sptep, old, level))
				return TDP_AGAIN;
		} else if (!spte_present(old) && !add_table(vcpu, sptep)) {
			return TDP_AGAIN;
		}
		/* Where tables are already, the mapping is as small as they. */
		if (target >= level)
			target = level - 1;
		table = spte_table(READ_ONCE(*sptep));
	}
}

/* --- Taking away: mmu_lock held for writing. --- */

static bool zap_table(u64 *table, int level, gfn_t base, gfn_t first, gfn_t last,
		      struct list_head *pages)
{
	unsigned int i, from, to;
	bool zapped = false;

	from = first > base ? table_index(first, level) : 0;
	to = last < base + level_pages(level) * TABLE_ENTRIES - 1 ?
		table_index(last, level) : TABLE_ENTRIES - 1;
	for (i = from; i <= to; i++) {
		gfn_t entry = base + i * level_pages(level);
		u64 spte = table[i];

		if (!spte_present(spte))
			continue;
		if (spte_is_table(spte, level)) {
			if (first > entry || last < entry + level_pages(level) - 1) {
				zapped |= zap_table(spte_table(spte), level - 1, entry,
						    first, last, pages);
				continue;
			}
			unlink_table(pages, spte_table(spte), level - 1);
		}
		WRITE_ONCE(table[i], 0);
		zapped = true;
	}
	return zapped;
}

/**
 * mmu_zap() - unmap [first, last]
 * @vm:		the VM
 * @first:	first guest frame
 * @last:	last guest frame, may be beyond all tables
 *
 * Whole subtrees are unlinked at their top, so the cost follows the edges of
 * the range, not its size. Flushes before it returns.
 *
 * Context: does not sleep (the notifier calls it under spinning locks).
 */
void mmu_zap(struct vm *vm, gfn_t first, gfn_t last)
{
	struct mmu *mmu = vm->arch.mmu;
	gfn_t top = level_pages(mmu_levels + 1) - 1;
	LIST_HEAD(pages);
	bool zapped;

	if (first > top)
		return;
	write_lock(&vm->mmu_lock);
	zapped = zap_table(mmu->root, mmu_levels, 0, first, min(last, top), &pages);
	write_unlock(&vm->mmu_lock);
	if (!zapped)
		return;
	mmu_tlb_flush_vm(vm);
	if (list_empty(&pages))
		return;
	spin_lock(&mmu->free_lock);
	list_splice_tail(&pages, &mmu->free_list);
	spin_unlock(&mmu->free_lock);
	queue_work(free_wq, &mmu->free_work);
}

static void free_worker(struct work_struct *work)
{
	struct mmu *mmu = container_of(work, struct mmu, free_work);
	LIST_HEAD(pages);

	spin_lock(&mmu->free_lock);
	list_splice_init(&mmu->free_list, &pages);
	spin_unlock(&mmu->free_lock);
	free_unlinked(&pages);
}

/* --- Single entries: aging and write protection. --- */

/* The leaf that maps @gfn, or NULL; mmu_lock held. */
static u64 *leaf_of(struct vm *vm, gfn_t gfn, int *level)
{
	u64 *table = vm->arch.mmu->root;
	u64 *sptep;

	for (*level = mmu_levels; ; (*level)--) {
		sptep = &table[table_index(gfn, *level)];
		if (spte_is_leaf(READ_ONCE(*sptep), *level))
			return sptep;
		if (!spte_present(READ_ONCE(*sptep)))
			return NULL;
		table = spte_table(READ_ONCE(*sptep));
	}
}

bool mmu_age(struct vm *vm, gfn_t first, gfn_t last, bool clear)
{
	bool young = false;
	gfn_t gfn = first;

	write_lock(&vm->mmu_lock);
	while (gfn <= last) {
		int level;
		u64 *sptep = leaf_of(vm, gfn, &level);

		if (sptep && (*sptep & spte_bits.accessed)) {
			young = true;
			if (clear)
				clear_bit(ilog2(spte_bits.accessed), (unsigned long *)sptep);
		}
		gfn = level_base(gfn, sptep ? level : 1) + level_pages(sptep ? level : 1);
	}
	write_unlock(&vm->mmu_lock);
	return young;
}

void mmu_write_protect(struct vm *vm, gfn_t base, unsigned long mask)
{
	write_lock(&vm->mmu_lock);
	while (mask) {
		int level;
		u64 *sptep = leaf_of(vm, base + __ffs(mask), &level);

		if (sptep)
			clear_bit(ilog2(spte_bits.write), (unsigned long *)sptep);
		mask &= mask - 1;
	}
	write_unlock(&vm->mmu_lock);
}

/* --- Slots: vm->slots_lock held. --- */

void mmu_slot_created(struct vm *vm, struct memslot *slot)
{
}

void mmu_slot_removed(struct vm *vm, struct memslot *slot)
{
	mmu_zap(vm, slot->base_gfn, slot->base_gfn + slot->npages - 1);
}

/*
 * Logging starts with nothing mapped: the first read maps a page without
 * write permission, the first write marks it. When it ends, zapping lets huge
 * pages come back.
 */
void mmu_slot_flags_changed(struct vm *vm, struct memslot *from, struct memslot *to)
{
	mmu_zap(vm, to->base_gfn, to->base_gfn + to->npages - 1);
}

/* --- A VM's and the module's life. --- */

int mmu_vm_init(struct vm *vm)
{
	struct mmu *mmu = kzalloc(sizeof(*mmu), GFP_KERNEL_ACCOUNT);
	int r;

	if (!mmu)
		return -ENOMEM;
	mmu->root = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!mmu->root) {
		kfree(mmu);
		return -ENOMEM;
	}
	spin_lock_init(&mmu->free_lock);
	INIT_LIST_HEAD(&mmu->free_list);
	INIT_WORK(&mmu->free_work, free_worker);
	vm->arch.mmu = mmu;
	vm->arch.root = __pa(mmu->root);
	r = invalidation_init(vm);
	if (r) {
		free_page((unsigned long)mmu->root);
		kfree(mmu);
	}
	return r;
}

void mmu_vm_destroy(struct vm *vm)
{
	struct mmu *mmu = vm->arch.mmu;

	invalidation_exit(vm);
	cancel_work_sync(&mmu->free_work);
	free_unlinked(&mmu->free_list);
	free_tables(mmu->root, mmu_levels);
	kfree(mmu);
}

int mmu_vcpu_init(struct vcpu *vcpu)
{
	memcache_init(&vcpu->arch.table_cache, NULL);
	return 0;
}

void mmu_vcpu_destroy(struct vcpu *vcpu)
{
	memcache_free(&vcpu->arch.table_cache);
}

/**
 * mmu_max_leaf_level() - the largest leaf that this CPU can have
 */
int mmu_max_leaf_level(void)
{
	return max_leaf_level;
}

/**
 * mmu_init() - the MMU of this machine, at module load
 * @format: as the vendor found it
 *
 * Return: 0 or -ENOMEM.
 */
int mmu_init(const struct spte_format *format)
{
	spte_bits = format->ept ? ept_bits : npt_bits;
	if (format->ept && !format->ad_bits)
		spte_bits.leaf &= ~(u64)VMX_EPT_ACCESS_BIT;
	mmu_levels = format->levels;
	max_leaf_level = format->page_1g ? 3 : format->page_2m ? 2 : 1;
	free_wq = alloc_workqueue("minikvm_free", WQ_UNBOUND, 0);
	return free_wq ? 0 : -ENOMEM;
}

/**
 * mmu_exit() - the reverse of mmu_init()
 */
void mmu_exit(void)
{
	destroy_workqueue(free_wq);
}
