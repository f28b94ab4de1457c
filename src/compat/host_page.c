// SPDX-License-Identifier: GPL-2.0
/*
 * The host page behind a user address: see the header.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/version.h>
#include "compat/host_page.h"

/* Device memory that was mapped into user space has a pfn but no page. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static int lookup_pfn(struct vm_area_struct *vma, unsigned long hva, struct host_page *out)
{
	struct follow_pfnmap_args args = { .vma = vma, .address = hva };

	if (follow_pfnmap_start(&args))
		return -EFAULT;
	out->pfn = args.pfn;
	out->writable = args.writable;
	follow_pfnmap_end(&args);
	return 0;
}
#else
static int lookup_pfn(struct vm_area_struct *vma, unsigned long hva, struct host_page *out)
{
	spinlock_t *ptl;
	pte_t *ptep;

	if (follow_pte(vma->vm_mm, hva, &ptep, &ptl))
		return -EFAULT;
	out->pfn = pte_pfn(*ptep);
	out->writable = pte_write(*ptep);
	pte_unmap_unlock(ptep, ptl);
	return 0;
}
#endif

static int raw_pfn(unsigned long hva, bool write, struct host_page *out)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	bool unlocked = false;
	int r = -EFAULT;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, hva);
	if (!vma || !(vma->vm_flags & (VM_IO | VM_PFNMAP)))
		goto out;
	if (write && !(vma->vm_flags & VM_WRITE))
		goto out;
	r = lookup_pfn(vma, hva, out);
	if (!r && (!write || out->writable))
		goto out;
	/* Not there yet: fault it in, and have the guest try again. */
	r = fixup_user_fault(mm, hva, write ? FAULT_FLAG_WRITE : 0, &unlocked);
	if (!r)
		r = -EAGAIN;
out:
	mmap_read_unlock(mm);
	out->page = NULL;
	return r;
}

int host_page_get(unsigned long hva, bool want_write, bool may_write, struct host_page *out)
{
	unsigned int flags = FOLL_HWPOISON | (want_write ? FOLL_WRITE : 0);
	long r;

	/* The common case: it is there, and writable. */
	out->writable = true;
	if (may_write && get_user_page_fast_only(hva, FOLL_WRITE, &out->page)) {
		out->pfn = page_to_pfn(out->page);
		return 0;
	}
	out->writable = want_write;
	r = get_user_pages_unlocked(hva, 1, &out->page, flags);
	if (r == 1) {
		out->pfn = page_to_pfn(out->page);
		return 0;
	}
	if (r == -EHWPOISON)
		return r;
	if (fatal_signal_pending(current))
		return -EINTR;
	return raw_pfn(hva, want_write, out);
}

void host_page_put(struct host_page *page)
{
	if (!page->page)
		return;
	/* The guest writes behind the back of the host's page tables. */
	if (page->writable && !PageReserved(page->page))
		set_page_dirty_lock(page->page);
	put_page(page->page);
}
