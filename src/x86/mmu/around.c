// SPDX-License-Identifier: GPL-2.0
/*
 * Fault-around: who faults on a page that follows a mapped one seems to go
 * through memory in order; the next ones are mapped with it, as far as the
 * host has them at hand. That is a fault for 16 pages instead of 16, for a
 * guest on memory that is populated, restored, or was unmapped by the host for
 * a moment; and nothing for a guest that jumps about.
 *
 * Only mapping is guessed at, use is not: the entries are made as not
 * accessed. Where hardware does not tell, or where a log runs, there is none
 * of this.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <minikvm/memslot.h>
#include "x86/mmu/tdp.h"

#define AROUND_PAGES	16	/* the aligned window; within one table */

static_assert(SPTES_PER_TABLE % AROUND_PAGES == 0);

/* How many frames after @gfn are in the window, and in the slot. */
static unsigned int frames_after(const struct memslot *slot, gfn_t gfn)
{
	gfn_t last = min_t(gfn_t, gfn | (AROUND_PAGES - 1), memslot_last(slot));

	return last - gfn;
}

static bool set_unused_leaf(u64 *sptep, struct page *page, bool write)
{
	struct host_page hp = { .page = page, .pfn = page_to_pfn(page), .writable = write };
	u64 old = 0, new = spte_make_leaf(&hp, LEVEL_4K, write) & ~spte_bits.accessed;

	if (READ_ONCE(*sptep))
		return false;
	if (write)
		host_page_dirty(&hp);
	return try_cmpxchg64(sptep, &old, new);
}

/* mmu_lock is held for read, and the pages are not stale. */
static void map_after(struct mmu *mmu, unsigned int space, gfn_t gfn, struct page **pages,
		      unsigned int n, bool write)
{
	unsigned int i, mapped = 0;
	int level;
	u64 *sptep = tdp_last_entry(tdp_root(mmu, space), gfn, &level);

	if (level != LEVEL_4K)
		return;
	for (i = 0; i < n; i++)
		mapped += set_unused_leaf(sptep + 1 + i, pages[i], write);
	atomic64_add(mapped, &mmu->stats[MMU_STAT_around]);
}

/**
 * fault_around() - map what comes after a frame
 * @mmu:	the VM's
 * @slot:	a slot that is not logged; vm->srcu is held
 * @gfn:	a frame of it that was just mapped by a 4K leaf
 * @write:	its leaf is writable, and so are to be the others
 *
 * Context: any but with mmu_lock.
 */
void fault_around(struct mmu *mmu, struct memslot *slot, gfn_t gfn, bool write)
{
	unsigned long seq = invalidation_seq(mmu->vm);
	struct page *pages[AROUND_PAGES - 1];
	unsigned int n = frames_after(slot, gfn);
	hva_t start = memslot_hva(slot, gfn + 1);

	if (!n || !spte_bits.accessed)
		return;
	n = max(get_user_pages_fast_only(start, n, write ? FOLL_WRITE : 0, pages), 0);
	if (!n)
		return;
	read_lock(&mmu->vm->mmu_lock);
	if (!invalidation_since(mmu->vm, seq, start, start + n * PAGE_SIZE))
		map_after(mmu, memslot_space(slot), gfn, pages, n, write);
	read_unlock(&mmu->vm->mmu_lock);
	release_pages(pages, n);
}
