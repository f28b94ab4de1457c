// SPDX-License-Identifier: GPL-2.0
/*
 * Collapse: small mappings of memory that is huge in the host become huge
 * again, in place, some time after dirty logging stopped.
 */
#include "x86/mmu/tdp.h"

void collapse_init(struct mmu *mmu)
{
}

void collapse_exit(struct mmu *mmu)
{
}

void collapse_later(struct vm *vm)
{
}
