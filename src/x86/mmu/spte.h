/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One second-level table entry: its bits in both formats, and the questions
 * asked of it. Nothing here touches a table.
 *
 * Invariants:
 *  - 0 is an entry that maps nothing. Every other value has SPTE_PRESENT.
 *  - At level 1 an entry is always a leaf; above it, SPTE_HUGE says so.
 *  - Non-leaf entries give all rights; leaves say what is allowed.
 *  - A leaf may be writable in hardware only if its host page is writable
 *    (SPTE_HOST_WRITABLE) and its slot, where it is logged, has the page's
 *    bit set.
 *  - Table pages are never shared, and are reached from one entry only.
 */
#ifndef MINIKVM_X86_MMU_SPTE_H
#define MINIKVM_X86_MMU_SPTE_H

#include <linux/bits.h>
#include <linux/mm.h>
#include <asm/pgtable_types.h>
#include <asm/vmx.h>
#include "x86/mmu/mmu.h"

#define TABLE_ENTRIES	512
#define TABLE_SHIFT	9

/* Ours, and ignored by hardware in both formats (SDM 28.3.2, APM 5.3.3). */
#define SPTE_HOST_WRITABLE	BIT_ULL(52)

#define SPTE_PFN_MASK		GENMASK_ULL(51, PAGE_SHIFT)

/*
 * The bits whose place differs; one of two constant tables, chosen at load.
 */
struct spte_bits {
	u64 present;		/* in every entry that is not 0 */
	u64 write, exec, no_exec;
	u64 huge, accessed, dirty;
	u64 leaf;		/* in every leaf: the memory type */
	u64 table;		/* in every non-leaf entry: all rights */
};

extern struct spte_bits spte_bits;

static inline bool spte_present(u64 spte)
{
	return spte != 0;
}

static inline bool spte_is_leaf(u64 spte, int level)
{
	return spte_present(spte) && (level == 1 || (spte & spte_bits.huge));
}

static inline bool spte_is_table(u64 spte, int level)
{
	return spte_present(spte) && level > 1 && !(spte & spte_bits.huge);
}

static inline u64 *spte_table(u64 spte)
{
	return __va(spte & SPTE_PFN_MASK);
}

static inline bool spte_writable(u64 spte)
{
	return spte & spte_bits.write;
}

/* Frames that an entry of a level covers. */
static inline u64 level_pages(int level)
{
	return 1ULL << ((level - 1) * TABLE_SHIFT);
}

static inline gfn_t level_base(gfn_t gfn, int level)
{
	return gfn & ~(level_pages(level) - 1);
}

static inline unsigned int table_index(gfn_t gfn, int level)
{
	return (gfn >> ((level - 1) * TABLE_SHIFT)) & (TABLE_ENTRIES - 1);
}

static inline u64 spte_make_table(u64 *table)
{
	return __pa(table) | spte_bits.table;
}

static inline u64 spte_make_leaf(unsigned long pfn, int level, bool write, bool host_writable)
{
	return (u64)pfn << PAGE_SHIFT | spte_bits.leaf |
	       (level > 1 ? spte_bits.huge : 0) |
	       (write ? spte_bits.write | spte_bits.dirty : 0) |
	       (host_writable ? SPTE_HOST_WRITABLE : 0);
}

#endif
