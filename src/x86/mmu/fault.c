// SPDX-License-Identifier: GPL-2.0
/*
 * A second-level fault, from the guest's frame to a mapping: which slot, which
 * host page, how large a leaf.
 */
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <minikvm/dirty_log.h>
#include <minikvm/memcache.h>
#include <minikvm/vcpu.h>
#include "compat/host_page.h"
#include "x86/exit.h"
#include "x86/mmu/tdp.h"

/* --- How large is the host's own mapping? --- */

/*
 * A walk of the host's tables without their locks. Interrupts off keep them
 * from being freed (as for get_user_pages_fast()), and mmu_lock, with the
 * invalidation checked, keeps what is found from changing unseen.
 */
static int host_level(struct mm_struct *mm, hva_t hva)
{
	unsigned long flags;
	int level = 1;
	pgd_t pgd;
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	local_irq_save(flags);
	pgd = READ_ONCE(*pgd_offset(mm, hva));
	if (pgd_none(pgd))
		goto out;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		goto out;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (pud_none(pud) || !pud_present(pud))
		goto out;
	if (pud_leaf(pud)) {
		level = 3;
		goto out;
	}
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (!pmd_none(pmd) && pmd_present(pmd) && pmd_leaf(pmd))
		level = 2;
out:
	local_irq_restore(flags);
	return level;
}

/* Does the slot hold a whole page of this level, as aligned as its memory? */
static bool level_fits(const struct memslot *slot, gfn_t gfn, int level)
{
	u64 mask = level_pages(level) - 1;
	gfn_t base = level_base(gfn, level);

	return ((slot->base_gfn ^ (slot->hva >> PAGE_SHIFT)) & mask) == 0 &&
	       base >= slot->base_gfn &&
	       base + mask < slot->base_gfn + slot->npages;
}

static int leaf_level(struct vm *vm, const struct memslot *slot, gfn_t gfn)
{
	int level;

	if (slot->dirty_bitmap)
		return 1;
	level = min(host_level(vm->mm, memslot_hva(slot, gfn)), mmu_max_leaf_level());
	while (level > 1 && !level_fits(slot, gfn, level))
		level--;
	return level;
}

/* --- The fault. --- */

static enum tdp_result map(struct vcpu *vcpu, struct memslot *slot, gfn_t gfn, bool write,
			   const struct host_page *page, unsigned long seq)
{
	struct vm *vm = vcpu->vm;
	enum tdp_result r = TDP_AGAIN;
	struct tdp_mapping m = {
		.gfn = gfn,
		.pfn = page->pfn,
		.host_writable = page->writable,
		/* A logged page is writable once its bit is set, not before. */
		.write = page->writable && (write || !slot->dirty_bitmap) &&
			 !memslot_read_only(slot),
	};

	read_lock(&vm->mmu_lock);
	if (!invalidation_since(vm, seq, memslot_hva(slot, gfn))) {
		m.level = page->page ? leaf_level(vm, slot, gfn) : 1;
		r = tdp_map(vcpu, &m);
		if (r == TDP_MAPPED && m.write)
			dirty_log_mark(vm, slot, gfn);
	}
	read_unlock(&vm->mmu_lock);
	return r;
}

static int fault_once(struct vcpu *vcpu, struct memslot *slot, gfn_t gfn, bool write)
{
	unsigned long seq = invalidation_seq(vcpu->vm);
	struct host_page page;
	enum tdp_result mapped;
	int r;

	r = host_page_get(memslot_hva(slot, gfn), write, !memslot_read_only(slot), &page);
	if (r)
		return r;
	mapped = map(vcpu, slot, gfn, write, &page, seq);
	host_page_put(&page);
	return mapped == TDP_MAPPED ? MMU_FAULT_DONE : -EAGAIN;
}

/**
 * mmu_fault() - the guest touched a frame that is not, or not so, mapped
 * @vcpu:	the vCPU; vm->srcu is held
 * @gpa:	what it touched
 * @access:	NPF_*
 *
 * Context: may sleep.
 * Return: enum mmu_fault_result, or -EFAULT, -ENOMEM, -EINTR, -EHWPOISON.
 */
int mmu_fault(struct vcpu *vcpu, gpa_t gpa, u32 access)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;
	bool write = access & NPF_WRITE;
	struct memslot *slot = memslot_find(vcpu->vm, gfn);
	int r;

	if (!slot || (write && memslot_read_only(slot)))
		return MMU_FAULT_EMULATE;
	r = memcache_topup(&vcpu->arch.table_cache, mmu_levels);
	if (r)
		return r;
	r = fault_once(vcpu, slot, gfn, write);
	/* Somebody else was faster: the guest will find out what is left. */
	return r == -EAGAIN ? MMU_FAULT_DONE : r;
}
