/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The dirty log of a memslot: one bit a page, as user space sees it
 * (KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG).
 */
#ifndef MINIKVM_DIRTY_LOG_H
#define MINIKVM_DIRTY_LOG_H

#include <linux/kvm.h>
#include <minikvm/types.h>

/* What KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 can be enabled with. */
#define DIRTY_LOG_MANUAL_FLAGS \
	(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)

int dirty_log_alloc(struct vm *vm, struct memslot *slot);
void dirty_log_free(struct memslot *slot);
void dirty_log_exit(void);
void dirty_log_mark(struct vcpu *vcpu, struct memslot *slot, gfn_t gfn);
bool dirty_log_take(struct vm *vm, u32 id, u64 nr, u64 mask);
int dirty_log_get(struct vm *vm, const struct kvm_dirty_log *log);
int dirty_log_clear(struct vm *vm, const struct kvm_clear_dirty_log *log);

#endif
