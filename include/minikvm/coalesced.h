/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Coalesced I/O: guest writes that need no answer wait in a ring for user
 * space, instead of costing an exit each.
 */
#ifndef MINIKVM_COALESCED_H
#define MINIKVM_COALESCED_H

#include <linux/kvm.h>
#include <minikvm/types.h>

/* Where the ABI has no page for the ring (s390), the answer of KVM_CAP_COALESCED_MMIO is no. */
#ifndef KVM_COALESCED_MMIO_PAGE_OFFSET
#define KVM_COALESCED_MMIO_PAGE_OFFSET	0
#endif

int coalesced_init(struct vm *vm);
void coalesced_destroy(struct vm *vm);
struct page *coalesced_page(struct vm *vm);	/* the ring, for vCPUs' mmap */
int coalesced_register(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone);
int coalesced_unregister(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone);

#endif
