/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which pfn a VM_PFNMAP mapping has at an address. follow_pte() became
 * follow_pfnmap_start() with 6.12.
 */
#ifndef MINIKVM_COMPAT_PFNMAP_H
#define MINIKVM_COMPAT_PFNMAP_H

#include <linux/mm.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)

/* mmap_lock held. 0, or -EINVAL: nothing is mapped. */
static inline int compat_pfnmap_get(struct vm_area_struct *vma, unsigned long addr,
				    unsigned long *pfn, bool *writable)
{
	struct follow_pfnmap_args args = { .vma = vma, .address = addr };
	int r = follow_pfnmap_start(&args);

	if (r)
		return r;
	*pfn = args.pfn;
	*writable = args.writable;
	follow_pfnmap_end(&args);
	return 0;
}

#else

static inline int compat_pfnmap_get(struct vm_area_struct *vma, unsigned long addr,
				    unsigned long *pfn, bool *writable)
{
	spinlock_t *ptl;
	pte_t *ptep;
	int r = follow_pte(vma->vm_mm, addr, &ptep, &ptl);

	if (r)
		return r;
	__acquire(ptl);
	*pfn = pte_pfn(*ptep);
	*writable = pte_write(*ptep);
	pte_unmap_unlock(ptep, ptl);
	return 0;
}

#endif

#endif
