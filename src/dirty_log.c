// SPDX-License-Identifier: GPL-2.0
/*
 * The dirty log of a memslot. A bit is set when a page is made writable, or
 * written by the module; it is taken by KVM_GET_DIRTY_LOG or
 * KVM_CLEAR_DIRTY_LOG, which then have the page write-protected again.
 *
 * Order, so that no write is lost: the bit is cleared, the page is
 * write-protected, the TLBs are flushed, and only then does user space read
 * the page. Who makes a page writable maps it first and sets the bit then.
 */
#include <linux/bitops.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <minikvm/dirty_log.h>
#include <minikvm/mmu.h>
#include <minikvm/vm.h>

static size_t bitmap_longs(const struct memslot *slot)
{
	return BITS_TO_LONGS(slot->npages);
}

/**
 * dirty_log_alloc() - a log for a slot that begins to be logged
 * @vm:		the VM
 * @slot:	not yet published
 *
 * Context: sleeps. Return: 0 or -ENOMEM.
 */
int dirty_log_alloc(struct vm *vm, struct memslot *slot)
{
	slot->dirty_bitmap = kvcalloc(bitmap_longs(slot), sizeof(long), GFP_KERNEL_ACCOUNT);
	if (!slot->dirty_bitmap)
		return -ENOMEM;
	if (vm->manual_dirty_log & KVM_DIRTY_LOG_INITIALLY_SET)
		bitmap_set(slot->dirty_bitmap, 0, slot->npages);
	return 0;
}

/**
 * dirty_log_free() - the reverse of dirty_log_alloc()
 * @slot: not reachable any more
 */
void dirty_log_free(struct memslot *slot)
{
	kvfree(slot->dirty_bitmap);
	slot->dirty_bitmap = NULL;
}

/**
 * dirty_log_mark() - a page was, or may be, written
 * @vm:		the VM; its srcu is held
 * @slot:	its slot
 * @gfn:	its frame
 *
 * Context: any.
 */
void dirty_log_mark(struct vm *vm, struct memslot *slot, gfn_t gfn)
{
	unsigned long bit = gfn - slot->base_gfn;

	/* The test spares the cache line of a page that is dirty already. */
	if (slot->dirty_bitmap && !test_bit(bit, slot->dirty_bitmap))
		set_bit(bit, slot->dirty_bitmap);
}

static struct memslot *logged_slot(struct vm *vm, u32 id)
{
	struct memslot *slot = id < MEMSLOTS_MAX ? memslot_by_id(vm, id) : NULL;

	return slot && slot->dirty_bitmap ? slot : NULL;
}

/* Set bits of a word that vCPUs set bits of as well. */
static void set_mask(struct memslot *slot, unsigned long word, unsigned long mask)
{
	atomic_long_or(mask, (atomic_long_t *)&slot->dirty_bitmap[word]);
}

/* Clear the bits of @mask, and say which of them were set. */
static unsigned long take_mask(struct memslot *slot, unsigned long word, unsigned long mask)
{
	return mask & atomic_long_fetch_andnot(mask, (atomic_long_t *)&slot->dirty_bitmap[word]);
}

/* Without manual protection, reading the log also starts it anew. */
static int take_all(struct vm *vm, struct memslot *slot, unsigned long __user *user)
{
	unsigned long i, mask;
	bool flush = false;
	int r = 0;

	for (i = 0; i < bitmap_longs(slot); i++) {
		mask = READ_ONCE(slot->dirty_bitmap[i]) ?
			xchg(&slot->dirty_bitmap[i], 0) : 0;
		if (mask) {
			mmu_write_protect(vm, slot->base_gfn + i * BITS_PER_LONG, mask);
			flush = true;
		}
		if (put_user(mask, user + i)) {
			/* What was not handed over is still dirty. */
			set_mask(slot, i, mask);
			r = -EFAULT;
			break;
		}
		cond_resched();
	}
	if (flush)
		mmu_tlb_flush_vm(vm);
	return r;
}

static int get_locked(struct vm *vm, const struct kvm_dirty_log *log)
{
	struct memslot *slot;

	if (log->slot >= MEMSLOTS_MAX)
		return -EINVAL;
	slot = logged_slot(vm, log->slot);
	if (!slot)
		return -ENOENT;
	if (!vm->manual_dirty_log)
		return take_all(vm, slot, log->dirty_bitmap);
	return copy_to_user(log->dirty_bitmap, slot->dirty_bitmap,
			    bitmap_longs(slot) * sizeof(long)) ? -EFAULT : 0;
}

/**
 * dirty_log_get() - KVM_GET_DIRTY_LOG
 * @vm:		the VM
 * @log:	slot and destination
 *
 * Context: sleeps. Return: 0; -EINVAL, -ENOENT (not logged), -EFAULT.
 */
int dirty_log_get(struct vm *vm, const struct kvm_dirty_log *log)
{
	int r;

	mutex_lock(&vm->slots_lock);
	r = get_locked(vm, log);
	mutex_unlock(&vm->slots_lock);
	return r;
}

static int clear_locked(struct vm *vm, const struct kvm_clear_dirty_log *log)
{
	struct memslot *slot;
	unsigned long i, first, longs, mask;
	unsigned long __user *user = log->dirty_bitmap;
	bool flush = false;

	if (log->slot >= MEMSLOTS_MAX || (log->first_page & 63))
		return -EINVAL;
	slot = logged_slot(vm, log->slot);
	if (!slot)
		return -ENOENT;
	if (log->first_page > slot->npages ||
	    log->num_pages > slot->npages - log->first_page ||
	    (log->num_pages < slot->npages - log->first_page && (log->num_pages & 63)))
		return -EINVAL;

	first = log->first_page / BITS_PER_LONG;
	longs = BITS_TO_LONGS(log->num_pages);
	for (i = 0; i < longs; i++) {
		if (get_user(mask, user + i))
			break;
		mask = take_mask(slot, first + i, mask);
		if (mask) {
			mmu_write_protect(vm, slot->base_gfn + (first + i) * BITS_PER_LONG, mask);
			flush = true;
		}
		cond_resched();
	}
	if (flush)
		mmu_tlb_flush_vm(vm);
	return i < longs ? -EFAULT : 0;
}

/**
 * dirty_log_clear() - KVM_CLEAR_DIRTY_LOG
 * @vm:		the VM
 * @log:	which pages of which slot
 *
 * Context: sleeps. Return: 0; -EINVAL, -ENOENT (not logged), -EFAULT.
 */
int dirty_log_clear(struct vm *vm, const struct kvm_clear_dirty_log *log)
{
	int r;

	mutex_lock(&vm->slots_lock);
	r = clear_locked(vm, log);
	mutex_unlock(&vm->slots_lock);
	return r;
}
