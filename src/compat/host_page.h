/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host page behind a user address, for as long as it takes to map it. The
 * ways to ask differ between kernels.
 */
#ifndef MINIKVM_COMPAT_HOST_PAGE_H
#define MINIKVM_COMPAT_HOST_PAGE_H

#include <linux/types.h>

struct page;

struct host_page {
	unsigned long pfn;
	struct page *page;	/* NULL: a raw pfn (VM_PFNMAP), no reference held */
	bool writable;
};

/*
 * @want_write: the guest writes. @may_write: it is allowed to; then a page
 * that is writable anyway is had so. May sleep. 0, -EFAULT, -EHWPOISON, -EINTR.
 */
int host_page_get(unsigned long hva, bool want_write, bool may_write, struct host_page *out);
void host_page_put(struct host_page *page);


#endif
