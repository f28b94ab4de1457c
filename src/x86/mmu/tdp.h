/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The second-level tables: what the files of mmu/ do with them. mmu_lock is
 * held for reading by who maps, for writing by who unmaps.
 */
#ifndef MINIKVM_X86_MMU_TDP_H
#define MINIKVM_X86_MMU_TDP_H

#include <linux/list.h>
#include <linux/workqueue.h>
#include "x86/mmu/spte.h"

struct mmu {
	u64 *root;
	/* Unlinked tables, flushed out of all TLBs, on their way to be freed. */
	spinlock_t free_lock;
	struct list_head free_list;
	struct work_struct free_work;
};

/* One leaf to be: what a fault found out. */
struct tdp_mapping {
	gfn_t gfn;
	unsigned long pfn;
	int level;		/* largest that the host and the slot allow */
	bool write;		/* the guest may write at once */
	bool host_writable;
};

enum tdp_result { TDP_MAPPED, TDP_AGAIN };

enum tdp_result tdp_map(struct vcpu *vcpu, const struct tdp_mapping *m);
int mmu_max_leaf_level(void);

extern u8 mmu_levels;

#endif
