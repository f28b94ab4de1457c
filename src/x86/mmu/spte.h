/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One entry of the second-level tables: its bits, and what they promise.
 * Nothing here walks or locks.
 *
 * NPT (the CPU's own format, APM 15.25.5) and EPT (SDM vol. 3, 29.3.2) agree
 * on more than they say: bit 0 makes an entry present (in EPT it is the read
 * permission, and every mapping of ours can be read), bit 1 lets it be
 * written, bit 2 is set always (NPT: nested walks are user accesses; EPT: the
 * guest decides what is executable; but see spte_bits.small_only), bit 7 makes
 * a leaf above level 1, and the address is in bits 51:12. What differs is in
 * struct spte_bits.
 *
 * Promises, kept by every change:
 *
 * 1. A present leaf maps the page that the host has at the slot's hva now: the
 *    notifier removes it before the host changes its mind. No page is
 *    referenced.
 * 2. SPTE_HOST_WRITABLE: the host's mapping could be written when the leaf was
 *    made (and so still can, by 1), and the page was marked dirty then: the
 *    leaf may become writable with no word to the host.
 * 3. SPTE_WRITE on a leaf implies SPTE_HOST_WRITABLE.
 * 4. A guest may write where *all* levels say SPTE_WRITE. A page of a logged
 *    slot for which this holds is in the log, or the thread that made it so is
 *    about to put it there before its vCPU runs again; or, where hardware logs
 *    (dirty_burst), its dirty bit is off, or hardware has set it, and the vCPU
 *    that wrote puts it there before it leaves KVM_RUN or enters again.
 * 5. SPTE_WRITE off in a table entry means: everything below counts as
 *    write-protected, whatever its own bits are. It comes back on only after
 *    the entries of the next level have been made to say the same.
 */
#ifndef MINIKVM_X86_SPTE_H
#define MINIKVM_X86_SPTE_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/mm.h>
#include <asm/page.h>
#include <asm/vmx.h>
#include <minikvm/types.h>

#define SPTE_PRESENT		BIT_ULL(0)
#define SPTE_WRITE_BIT		1
#define SPTE_WRITE		BIT_ULL(SPTE_WRITE_BIT)
#define SPTE_ALWAYS		BIT_ULL(2)
#define SPTE_LARGE		BIT_ULL(7)
#define SPTE_ADDRESS		GENMASK_ULL(51, 12)

/* Ours: ignored by hardware in both formats. */
#define SPTE_HOST_WRITABLE	BIT_ULL(52)
#define SPTE_MMIO		BIT_ULL(53)	/* not memory: no mapping, whatever bit 0 says */

static_assert(SPTE_PRESENT == VMX_EPT_READABLE_MASK && SPTE_PRESENT == _PAGE_PRESENT);
static_assert(SPTE_WRITE == VMX_EPT_WRITABLE_MASK && SPTE_WRITE == _PAGE_RW);
static_assert(SPTE_ALWAYS == VMX_EPT_EXECUTABLE_MASK && SPTE_ALWAYS == _PAGE_USER);
static_assert(SPTE_LARGE == _PAGE_PSE);
static_assert(!((SPTE_HOST_WRITABLE | SPTE_MMIO) & SPTE_ADDRESS));

#define SPTES_PER_TABLE		512
#define LEVEL_4K		1
#define LEVEL_2M		2
#define LEVEL_1G		3

/* Said once at module load: spte_init(). */
struct spte_bits {
	u64 leaf, table;		/* what each present entry of the kind has */
	u64 small_only;			/* of SPTE_ALWAYS, what larger leaves go without; mostly 0 */
	u64 cached, uncached;		/* EPT: the memory types, in a leaf */
	u64 accessed, dirty;		/* 0: hardware does not tell */
	u64 encrypt;			/* SME's bit */
	u64 address;			/* of SPTE_ADDRESS, all but SME's bit */
	u64 mmio;			/* a whole entry; 0: there is no such */
	u8 levels;			/* the root table's */
	u8 max_leaf;			/* the largest page */
	u16 dirty_burst;		/* as in struct spte_format */
	gfn_t max_gfn;			/* the last that a table can map */
};

extern struct spte_bits spte_bits;

struct spte_format;
void spte_init(const struct spte_format *format);

static inline bool spte_present(u64 spte)
{
	return (spte & (SPTE_PRESENT | SPTE_MMIO)) == SPTE_PRESENT;
}

static inline bool spte_is_leaf(u64 spte, int level)
{
	return spte_present(spte) && (level == LEVEL_4K || (spte & SPTE_LARGE));
}

static inline bool spte_is_table(u64 spte, int level)
{
	return level > LEVEL_4K &&
	       (spte & (SPTE_PRESENT | SPTE_MMIO | SPTE_LARGE)) == SPTE_PRESENT;
}

static inline hpa_t spte_address(u64 spte)
{
	return spte & spte_bits.address;
}

static inline u64 *spte_table(u64 spte)
{
	return __va(spte_address(spte));
}

static inline unsigned long spte_pfn(u64 spte)
{
	return spte_address(spte) >> PAGE_SHIFT;
}

/* Guest frames behind one entry, and below that entry's first. */
static inline gfn_t level_pages(int level)
{
	return 1ULL << (9 * (level - 1));
}

static inline gfn_t level_base(gfn_t gfn, int level)
{
	return gfn & ~(level_pages(level) - 1);
}

static inline gfn_t level_next(gfn_t gfn, int level)
{
	return level_base(gfn, level) + level_pages(level);
}

static inline unsigned int level_index(gfn_t gfn, int level)
{
	return (gfn >> (9 * (level - 1))) & (SPTES_PER_TABLE - 1);
}

static inline bool level_covered(gfn_t gfn, gfn_t last, int level)
{
	return gfn == level_base(gfn, level) && level_next(gfn, level) - 1 <= last;
}

static inline u64 spte_make_table(const u64 *table)
{
	return __pa(table) | spte_bits.table;
}

#endif
