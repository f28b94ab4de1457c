/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The dirty ring: each vCPU tells user space of the pages that it makes dirty
 * through a ring in its mapping, instead of all of them through a bitmap a slot.
 */
#ifndef MINIKVM_DIRTY_RING_H
#define MINIKVM_DIRTY_RING_H

#include <linux/kvm.h>
#include <minikvm/types.h>

#define DIRTY_RING_BYTES_MAX	(65536 * sizeof(struct kvm_dirty_gfn))

struct dirty_ring {
	struct kvm_dirty_gfn *gfns;	/* user space has it mapped; NULL: there is none */
	u32 size;			/* entries, a power of two */
	u32 pushed, reset;		/* entries so far: by the vCPU; vm->slots_lock */
};

int dirty_ring_enable(struct vm *vm, u64 bytes);
int dirty_ring_init(struct vcpu *vcpu);
void dirty_ring_destroy(struct vcpu *vcpu);
bool dirty_ring_mapped(struct vm *vm, unsigned long pgoff, unsigned long pages);
struct page *dirty_ring_page(struct vcpu *vcpu, unsigned long pgoff);
bool dirty_ring_full(struct vcpu *vcpu);
int dirty_ring_serve(struct vcpu *vcpu);
void dirty_ring_push(struct vcpu *vcpu, struct memslot *slot, unsigned long page);
long dirty_rings_reset(struct vm *vm);

#endif
