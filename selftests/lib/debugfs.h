/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What minikvm's debugfs says of the MMU of one VM: the one that this process
 * created last. Stock KVM has nothing of the kind, so a test that wants it
 * begins with NEED_MMU_DEBUGFS().
 */
#ifndef SELFTESTS_LIB_DEBUGFS_H
#define SELFTESTS_LIB_DEBUGFS_H

#include "lib/vm.h"

/* A line of mmu_stats, or of the totals in mmu_tables (pages_4k, ...); -1: there is none. */
s64 mmu_stat(const char *name);
/* Does mmu_tables say that the frame of this address is marked as MMIO? */
bool mmu_is_mmio(u64 gpa);
/* Collapse, now; returns when it is done. */
void mmu_collapse_now(void);

/* Of the module; 0 if it is there, or errno. */
int module_parameter_set(const char *name, const char *value);

void tlb_debug(bool on);

/*
 * For a program whose every entry shall be checked for the TLB protocol's invariant. What the check
 * finds is in the kernel's log, where it fails the run.
 */
#define WITH_TLB_DEBUG								\
	static __attribute__((constructor)) void tlb_debug_on(void)		\
	{									\
		tlb_debug(true);						\
	}									\
	static __attribute__((destructor)) void tlb_debug_off(void)		\
	{									\
		tlb_debug(false);						\
	}

#define NEED_MMU_DEBUGFS() do {						\
	if (mmu_stat("faults") < 0)					\
		SKIP(return, "only minikvm, with debugfs, tells of its MMU"); \
} while (0)

#endif /* SELFTESTS_LIB_DEBUGFS_H */
