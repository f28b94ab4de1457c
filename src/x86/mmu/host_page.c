// SPDX-License-Identifier: GPL-2.0
/*
 * What the host has behind a guest frame: the page, whether it may be written,
 * and how large a mapping of it is. Nothing here knows second-level tables,
 * and nothing found here holds longer than the invalidation sequence that was
 * taken before says.
 */
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include "compat/pfnmap.h"
#include "x86/mmu/tdp.h"

static void found(struct host_page *out, struct page *page, bool writable)
{
	out->page = page;
	out->pfn = page_to_pfn(page);
	out->writable = writable;
}

/**
 * host_page_get_fast() - the host's page, if it is at hand
 * @slot:	a slot
 * @gfn:	a frame of it
 * @write:	it must be writable
 * @out:	the page, referenced; writable is true exactly if @write
 *
 * Context: does not sleep. Return: whether it was at hand.
 */
bool host_page_get_fast(struct memslot *slot, gfn_t gfn, bool write, struct host_page *out)
{
	struct page *page;

	if (get_user_pages_fast_only(memslot_hva(slot, gfn), 1, write ? FOLL_WRITE : 0,
				     &page) != 1)
		return false;
	found(out, page, write);
	return true;
}

/*
 * No struct page to reference, or none that wants to be: VM_PFNMAP, VM_IO.
 * The reference is not missed: the notifier tells when the mapping goes.
 */
static int get_pfnmap(struct vm *vm, hva_t hva, bool write, struct host_page *out)
{
	struct vm_area_struct *vma;
	bool unlocked = false;
	int r = -EFAULT;

	mmap_read_lock(vm->mm);
	vma = find_vma_intersection(vm->mm, hva, hva + 1);
	if (!vma || !(vma->vm_flags & (VM_IO | VM_PFNMAP)) ||
	    !(vma->vm_flags & (write ? VM_WRITE : VM_READ)))
		goto out;
	out->page = NULL;
	r = compat_pfnmap_get(vma, hva, &out->pfn, &out->writable);
	if (!r && (out->writable || !write))
		goto out;
	r = fixup_user_fault(vm->mm, hva, write ? FAULT_FLAG_WRITE : 0, &unlocked);
	/* It is there now, or the lock was let go: look again, from the top. */
	r = r ? -EFAULT : -EAGAIN;
out:
	mmap_read_unlock(vm->mm);
	return r;
}

static int get_slow(struct vm *vm, struct memslot *slot, gfn_t gfn, bool write,
		    struct host_page *out)
{
	hva_t hva = memslot_hva(slot, gfn);
	struct page *page;
	long r;

	r = get_user_pages_unlocked(hva, 1, &page, FOLL_HWPOISON | (write ? FOLL_WRITE : 0));
	if (r == 1) {
		found(out, page, write);
		return 0;
	}
	if (r == -EHWPOISON)
		return r;
	if (fatal_signal_pending(current))
		return -EINTR;
	return get_pfnmap(vm, hva, write, out);
}

/**
 * host_page_get() - the host's page, whatever that takes
 * @vm:		the VM, of the current mm
 * @slot:	a slot; vm->srcu is held
 * @gfn:	a frame of it
 * @write:	it must be writable; without it, it is made so only if that is free
 * @out:	the page, referenced
 *
 * Context: sleeps. Return: 0; -EAGAIN: ask again; -EFAULT, -EHWPOISON, -EINTR.
 */
int host_page_get(struct vm *vm, struct memslot *slot, gfn_t gfn, bool write,
		  struct host_page *out)
{
	bool read_only = memslot_read_only(slot);
	struct host_page better = { };
	int r;

	out->at_hand = true;
	if (!read_only && host_page_get_fast(slot, gfn, true, out))
		return 0;
	if (!write && host_page_get_fast(slot, gfn, false, out))
		return 0;
	out->at_hand = false;
	r = get_slow(vm, slot, gfn, write, out);
	if (read_only)
		out->writable = false;
	if (r || write || read_only || !out->page)
		return r;
	if (host_page_get_fast(slot, gfn, true, &better)) {
		host_page_put(out);
		*out = better;
	}
	return 0;
}

/**
 * host_page_dirty() - a page is about to be mapped writable
 * @hp: the page
 *
 * All that the host asks of us comes before the mapping: when it cleans the
 * page later, it has to write-protect its own mapping, and that removes ours.
 *
 * Context: mmu_lock held, so that the page can't be truncated meanwhile.
 */
void host_page_dirty(const struct host_page *hp)
{
	if (hp->page && !PageDirty(hp->page) && !PageReserved(hp->page))
		set_page_dirty(hp->page);
}

/**
 * host_page_put() - give the reference back
 * @hp: of host_page_get()
 */
void host_page_put(struct host_page *hp)
{
	if (hp->page)
		put_page(hp->page);
	hp->page = NULL;
}

/* --- How large is the host's mapping? --- */

/* Interrupts are off: that keeps the host's tables, see mm/gup.c. */
static int mapping_level(struct mm_struct *mm, hva_t hva)
{
	pgd_t pgd = READ_ONCE(*pgd_offset(mm, hva));
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	if (pgd_none(pgd))
		return LEVEL_4K;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		return LEVEL_4K;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (pud_none(pud) || !pud_present(pud))
		return LEVEL_4K;
	if (pud_leaf(pud))
		return LEVEL_1G;
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (pmd_none(pmd) || !pmd_present(pmd))
		return LEVEL_4K;
	return pmd_leaf(pmd) ? LEVEL_2M : LEVEL_4K;
}

/* Is the large page around @gfn within the slot, and aligned in the host too? */
static bool level_fits(const struct memslot *slot, gfn_t gfn, int level)
{
	gfn_t base = level_base(gfn, level), pages = level_pages(level);

	return base >= slot->base_gfn && base + pages - 1 <= memslot_last(slot) &&
	       !((slot->base_gfn ^ (slot->hva >> PAGE_SHIFT)) & (pages - 1));
}

/**
 * host_level() - the largest page that can map a frame
 * @vm:		the VM
 * @slot:	a slot
 * @gfn:	a frame of it that the host has mapped
 *
 * Return: LEVEL_4K, LEVEL_2M or LEVEL_1G.
 */
int host_level(struct vm *vm, const struct memslot *slot, gfn_t gfn)
{
	unsigned long flags;
	int level;

	if (spte_bits.max_leaf == LEVEL_4K || !level_fits(slot, gfn, LEVEL_2M))
		return LEVEL_4K;
	local_irq_save(flags);
	level = mapping_level(vm->mm, memslot_hva(slot, gfn));
	local_irq_restore(flags);
	level = min_t(int, level, spte_bits.max_leaf);
	while (level > LEVEL_4K && !level_fits(slot, gfn, level))
		level--;
	return level;
}
