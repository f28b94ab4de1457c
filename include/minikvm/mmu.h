/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the common core asks of an architecture's MMU: mappings of guest
 * frames go, or lose rights, when slots or the host's own mappings change.
 */
#ifndef MINIKVM_MMU_H
#define MINIKVM_MMU_H

#include <minikvm/types.h>

/* vm->slots_lock held; the slot is published, replaced. */
void mmu_slot_created(struct vm *vm, struct memslot *slot);
void mmu_slot_flags_changed(struct vm *vm, struct memslot *from, struct memslot *to);

gfn_t mmu_max_gfn(void);		/* no slot may reach beyond it */
/* No mapping of a space's [first, last] is in any table or TLB on return. */
void mmu_zap(struct vm *vm, unsigned int space, gfn_t first, gfn_t last, bool may_sleep);
/* The same of all that slots have at host addresses, bytes [start, end). */
void mmu_zap_hva(struct vm *vm, hva_t start, hva_t end, bool may_sleep);
/* Test, and if @clear clear, the accessed bits of a space's [first, last]. */
bool mmu_age(struct vm *vm, unsigned int space, gfn_t first, gfn_t last, bool clear);
/* The next write to each of @slot's frames @base + bit of @mask is seen, after a flush. */
void mmu_write_protect(struct vm *vm, const struct memslot *slot, gfn_t base, u64 mask);
/* Pages that one exit may log, beside those that the module writes itself. */
unsigned int mmu_dirty_burst(void);
void mmu_dirty_sync(struct vm *vm);	/* before a log is read */
/* No vCPU uses what was removed or write-protected before. Does not sleep. */
void mmu_tlb_flush_vm(struct vm *vm);

/* The notifier of the VMM's mm: mmu_notifier.c. */
int invalidation_init(struct vm *vm);
void invalidation_exit(struct vm *vm);
unsigned long invalidation_seq(struct vm *vm);
bool invalidation_since(struct vm *vm, unsigned long seq, hva_t start, hva_t end);

#endif
