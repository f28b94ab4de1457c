/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What can be seen of the MMU from outside: debugfs.c.
 */
#ifndef MINIKVM_X86_MMU_DEBUGFS_H
#define MINIKVM_X86_MMU_DEBUGFS_H

struct mmu;

void mmu_debugfs_init(void);
void mmu_debugfs_exit(void);
void mmu_debugfs_add(struct mmu *mmu);
void mmu_debugfs_remove(struct mmu *mmu);

#endif
