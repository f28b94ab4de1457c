// SPDX-License-Identifier: GPL-2.0
/*
 * Write protection for dirty logging, at a cost that does not grow with the
 * slot.
 *
 * A guest may write where all levels of its tables say so. Logging starts by
 * taking the permission away in a few entries near the root (protect_top). A
 * write then faults; the fault handler gives the permission back at that level
 * after it has been taken from the entries of the next one (protect_push), and
 * so on down to the page, which is logged as it becomes writable. A table is
 * gone through once, by the first write below it, and never if there is none.
 *
 * Where hardware logs the pages whose dirty bit it sets (dirty_burst), the last
 * step is another: the 512 leaves of a table become writable and lose their
 * dirty bits. So the first write in a table faults, and no other does.
 *
 * The entries near the root may reach beyond the slot. Memory of other slots
 * below them pays a fault or two to get its permission back, no more.
 *
 * Logging stops by changing the slot; what is still protected then is given
 * back by the same faults, a table at a time, as nothing needs to be taken
 * from the next level any more.
 */
#include "x86/mmu/tdp.h"

/* As many entries as protect_top() may touch, or so: it picks a level. */
#define TOP_ENTRIES	16

static bool inside(const struct memslot *slot, gfn_t gfn, int level)
{
	gfn = level_base(gfn, level);
	return gfn >= slot->base_gfn && gfn + level_pages(level) - 1 <= memslot_last(slot);
}

/* Hardware sets accessed and dirty bits beside us. */
static void clear_write(u64 *sptep)
{
	clear_bit(SPTE_WRITE_BIT, (unsigned long *)sptep);
}

/**
 * spte_armed() - a 4K leaf whose next write is logged by hardware
 * @spte: the leaf
 */
u64 spte_armed(u64 spte)
{
	return spte & SPTE_HOST_WRITABLE ? (spte | SPTE_WRITE) & ~spte_bits.dirty : spte;
}

/* Hardware may set its bits meanwhile; nobody else changes what is present. */
static void arm_leaf(u64 *sptep)
{
	u64 spte = READ_ONCE(*sptep);

	while (spte_present(spte) && !try_cmpxchg64(sptep, &spte, spte_armed(spte)))
		;
}

/* An entry of a table whose own permission is off. See protect_push(). */
static void push_to(const struct memslot *slot, gfn_t gfn, u64 *sptep, int level)
{
	bool ours = inside(slot, gfn, level), logged = memslot_logged(slot);

	if (ours && logged && level == LEVEL_4K && spte_bits.dirty_burst)
		arm_leaf(sptep);
	/* What is not ours may be logged: its own faults will tell. */
	else if (logged || !ours)
		clear_write(sptep);
}

/**
 * protect_push() - give a table its write permission, take it from the next
 * @mmu:	the VM's
 * @slot:	of @gfn
 * @gfn:	a frame that is being written
 * @sptep:	the table's entry on the way to it
 * @level:	of that entry
 *
 * While the entry says no, no TLB holds a writable translation of anything
 * below: what is cleared there needs no flush. push_lock makes this so until
 * the last one is cleared; without it a slower second pusher would clear an
 * entry that a vCPU has logged and written through meanwhile, and the next
 * reading of the log would not know that there is something to flush.
 *
 * Context: mmu_lock held for read.
 */
void protect_push(struct mmu *mmu, struct memslot *slot, gfn_t gfn, u64 *sptep, int level)
{
	u64 *child = spte_table(READ_ONCE(*sptep));
	gfn_t base = level_base(gfn, level);
	unsigned int i;

	spin_lock(&mmu->push_lock);
	if (READ_ONCE(*sptep) & SPTE_WRITE)
		goto out;
	for (i = 0; i < SPTES_PER_TABLE; i++, base += level_pages(level - 1)) {
		if (spte_present(READ_ONCE(child[i])))
			push_to(slot, base, &child[i], level - 1);
	}
	set_bit(SPTE_WRITE_BIT, (unsigned long *)sptep);
	mmu_count(mmu, MMU_STAT_pushes);
out:
	spin_unlock(&mmu->push_lock);
}

/* The lowest level at which the slot has but a few entries. */
static int top_level(const struct memslot *slot)
{
	int level = LEVEL_2M;

	while (level < spte_bits.levels &&
	       (memslot_last(slot) - slot->base_gfn) / level_pages(level) >= TOP_ENTRIES)
		level++;
	return level;
}

/* Frames from @gfn on that one entry speaks for; nothing is there, or it is. */
static gfn_t protect_one(u64 *root, gfn_t gfn, int top)
{
	u64 *table = root, *sptep, spte;
	int level;

	for (level = spte_bits.levels;; level--) {
		sptep = spte_ptr(table, gfn, level);
		spte = READ_ONCE(*sptep);
		if (level == top || !spte_is_table(spte, level))
			break;
		table = spte_table(spte);
	}
	if (spte_present(spte))
		clear_write(sptep);
	return level_next(gfn, level);
}

/*
 * mmu_lock is held for write: a fault that has come past these entries, and
 * has yet to install something writable below, would not see them change.
 */
static void protect_top(struct vm *vm, const struct memslot *slot)
{
	gfn_t gfn = slot->base_gfn;
	int top = top_level(slot);
	u64 *root;

	write_lock(&vm->mmu_lock);
	root = tdp_root(vm->arch.mmu, memslot_space(slot));
	while (root && gfn <= memslot_last(slot))
		gfn = protect_one(root, gfn, top);
	tlb_mark(vm);
	write_unlock(&vm->mmu_lock);
	mmu_tlb_flush_vm(vm);
}

/**
 * mmu_slot_flags_changed() - a slot starts or stops to be logged
 * @vm:		the VM; its slots_lock is held
 * @from:	the slot as it was; nobody uses it any more
 * @to:		the slot as it is
 */
void mmu_slot_flags_changed(struct vm *vm, struct memslot *from, struct memslot *to)
{
	if (memslot_logged(to) && !memslot_logged(from))
		protect_top(vm, to);
	else if (!memslot_logged(to) && memslot_logged(from))
		collapse_later(vm);
}

/**
 * mmu_dirty_burst() - how many pages hardware logs before it exits
 */
unsigned int mmu_dirty_burst(void)
{
	return spte_bits.dirty_burst;
}

/**
 * mmu_dirty_sync() - what hardware has logged so far gets into the dirty logs
 * @vm: the VM
 *
 * A vCPU does that itself, soon after it was made to leave the guest: what is
 * not there yet when the log is read is there the next time.
 */
void mmu_dirty_sync(struct vm *vm)
{
	if (spte_bits.dirty_burst)
		vcpus_kick_and_wait(vm);
}

static bool same_entry(gfn_t a, gfn_t b, int level)
{
	return level_base(a, level) == level_base(b, level);
}

/* The next write to what it maps is to be seen. */
static void take_right(u64 *sptep, int level)
{
	u64 spte = READ_ONCE(*sptep);

	if (!spte_present(spte) || !(spte & SPTE_WRITE))
		return;
	if (level == LEVEL_4K && spte_bits.dirty_burst)
		clear_bit(ilog2(spte_bits.dirty), (unsigned long *)sptep);
	else
		clear_write(sptep);
}

/**
 * mmu_write_protect() - the next write to some frames of a logged slot is seen
 * @vm:		the VM; its slots_lock is held
 * @slot:	the slot
 * @base:	frame of bit 0
 * @mask:	which frames
 *
 * That holds once mmu_tlb_flush_vm() has returned.
 *
 * Context: any but interrupts.
 */
void mmu_write_protect(struct vm *vm, const struct memslot *slot, gfn_t base, u64 mask)
{
	unsigned long bits = mask;
	u64 *root, *sptep = NULL;
	unsigned int bit;
	gfn_t at = 0;
	int level;

	read_lock(&vm->mmu_lock);
	root = tdp_root(vm->arch.mmu, memslot_space(slot));
	if (!root)
		bits = 0;
	for_each_set_bit(bit, &bits, 64) {
		gfn_t gfn = base + bit;

		/* Neighbours share their table, or even the entry: one walk for all of them. */
		if (!sptep || !same_entry(gfn, at, max(level, LEVEL_2M)))
			sptep = tdp_last_entry(root, gfn, &level);
		else if (level == LEVEL_4K)
			sptep += gfn - at;
		else
			continue;
		at = gfn;
		take_right(sptep, level);
	}
	tlb_mark(vm);
	read_unlock(&vm->mmu_lock);
}
