// SPDX-License-Identifier: GPL-2.0
/*
 * The host changes the memory behind a guest: swaps, migrates, merges or
 * collapses it. Here the mappings of it go first, and faults that race with
 * it are told to try again.
 *
 * A fault takes invalidation_seq(), asks the host for the page, takes
 * vm->mmu_lock and asks invalidation_since(). An invalidation is noted before
 * it zaps under mmu_lock: so either the fault sees the note, or the zap sees
 * the fault's mapping.
 */
#include <linux/mmu_notifier.h>
#include <minikvm/mmu.h>
#include <minikvm/vm.h>

static struct vm *notifier_vm(struct mmu_notifier *mn)
{
	return container_of(mn, struct vm, notifier);
}

/**
 * invalidation_seq() - the sequence to compare with later
 * @vm: the VM
 */
unsigned long invalidation_seq(struct vm *vm)
{
	/* Pairs with end(): the page is looked up after the sequence. */
	return smp_load_acquire(&vm->invalidation.seq);
}

/**
 * invalidation_since() - may what was looked up after @seq be stale?
 * @vm:		the VM; mmu_lock is held
 * @seq:	invalidation_seq() from before the look-up
 * @start:	first byte of what was looked up
 * @end:	first byte after it
 */
bool invalidation_since(struct vm *vm, unsigned long seq, hva_t start, hva_t end)
{
	struct invalidation *inv = &vm->invalidation;
	bool stale;

	spin_lock(&inv->lock);
	stale = inv->seq != seq ||
		(inv->running && start < inv->end && end > inv->start);
	spin_unlock(&inv->lock);
	return stale;
}

static void begin(struct vm *vm, hva_t start, hva_t end)
{
	struct invalidation *inv = &vm->invalidation;

	spin_lock(&inv->lock);
	if (!inv->running++) {
		inv->start = start;
		inv->end = end;
	} else {
		inv->start = min(inv->start, start);
		inv->end = max(inv->end, end);
	}
	spin_unlock(&inv->lock);
}

static void end(struct vm *vm)
{
	struct invalidation *inv = &vm->invalidation;

	spin_lock(&inv->lock);
	inv->running--;
	smp_store_release(&inv->seq, inv->seq + 1);
	spin_unlock(&inv->lock);
}

static int invalidate_range_start(struct mmu_notifier *mn,
				  const struct mmu_notifier_range *range)
{
	struct vm *vm = notifier_vm(mn);

	begin(vm, range->start, range->end);
	mmu_zap_hva(vm, range->start, range->end, mmu_notifier_range_blockable(range));
	return 0;
}

static void invalidate_range_end(struct mmu_notifier *mn,
				 const struct mmu_notifier_range *range)
{
	end(notifier_vm(mn));
}

static int age(struct mmu_notifier *mn, hva_t start, hva_t end, bool clear)
{
	struct hva_walk walk = { .start = start, .end = end };
	struct vm *vm = notifier_vm(mn);
	bool young = false;

	while (memslots_next_in_hva(vm, &walk))
		young |= mmu_age(vm, walk.space, walk.first, walk.last, clear);
	return young;
}

/*
 * For ageing, what a TLB still remembers does no harm: the host itself does
 * not flush for it on x86.
 */
static int clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
		       unsigned long start, unsigned long end)
{
	return age(mn, start, end, true);
}

static int test_young(struct mmu_notifier *mn, struct mm_struct *mm,
		      unsigned long address)
{
	return age(mn, address, address + 1, false);
}

/*
 * There is no release(): when the mm goes, no thread of it is left, so no vCPU
 * is in the guest, and none will ever be again (vcpu_ioctl()). What the tables
 * still say is read by nobody.
 */
static const struct mmu_notifier_ops ops = {
	.invalidate_range_start	= invalidate_range_start,
	.invalidate_range_end	= invalidate_range_end,
	.clear_flush_young	= clear_young,
	.clear_young		= clear_young,
	.test_young		= test_young,
};

/**
 * invalidation_init() - hear of the host's changes from now on
 * @vm: the VM, of the current mm
 *
 * Context: sleeps. Return: 0 or an errno.
 */
int invalidation_init(struct vm *vm)
{
	vm->notifier.ops = &ops;
	return mmu_notifier_register(&vm->notifier, vm->mm);
}

/**
 * invalidation_exit() - and no more
 * @vm: the VM
 *
 * Context: sleeps.
 */
void invalidation_exit(struct vm *vm)
{
	mmu_notifier_unregister(&vm->notifier, vm->mm);
}
