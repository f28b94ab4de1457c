// SPDX-License-Identifier: GPL-2.0
/*
 * debugfs: minikvm/<pid>-<n>/ holds a VM's MMU counters. Nothing here changes
 * a table.
 */
#include "x86/mmu/debugfs.h"

void mmu_debugfs_init(void)
{
}

void mmu_debugfs_exit(void)
{
}

void mmu_debugfs_add(struct mmu *mmu)
{
}

void mmu_debugfs_remove(struct mmu *mmu)
{
}
