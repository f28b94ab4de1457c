// SPDX-License-Identifier: GPL-2.0
/*
 * Memory slots: their checks, their publication, and the ways to find one.
 * What a change means to mappings is the MMU's (mmu_slot_*).
 *
 * Order of a deletion: unpublish, wait for those who found the slot before
 * (SRCU), zap what they may have mapped, free. A new slot needs no waiting:
 * until it is published, nobody can have acted on its absence but by an exit
 * to user space.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <minikvm/dirty_log.h>
#include <minikvm/mmu.h>
#include <minikvm/vm.h>

/* KVM's own limit: page numbers within a slot fit an int. */
#define SLOT_PAGES_MAX	((1UL << 31) - 1)

/**
 * memslots_init() - no slots yet
 * @vm: the VM
 *
 * Return: 0.
 */
int memslots_init(struct vm *vm)
{
	struct memslots *s = &vm->slots;

	mt_init_flags(&s->by_gfn, MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
	xa_init(&s->by_id);
	rwlock_init(&s->hva_lock);
	s->by_hva = RB_ROOT_CACHED;
	return 0;
}

static void slot_free(struct memslot *slot)
{
	dirty_log_free(slot);
	kfree(slot);
}

/**
 * memslots_destroy() - free all slots
 * @vm: a VM that nobody uses any more
 */
void memslots_destroy(struct vm *vm)
{
	struct memslot *slot;
	unsigned long id;

	xa_for_each(&vm->slots.by_id, id, slot)
		slot_free(slot);
	xa_destroy(&vm->slots.by_id);
	mtree_destroy(&vm->slots.by_gfn);
}

/**
 * memslot_find() - the slot of a guest frame
 * @vm:		the VM; its srcu is held for as long as the slot is used
 * @gfn:	guest frame
 *
 * Context: any. Return: the slot or NULL. O(log n).
 */
struct memslot *memslot_find(struct vm *vm, gfn_t gfn)
{
	return mtree_load(&vm->slots.by_gfn, gfn);
}

/**
 * memslot_by_id() - the slot that user space knows by a number
 * @vm:	the VM; its srcu or slots_lock is held
 * @id:	number
 *
 * Return: the slot or NULL.
 */
struct memslot *memslot_by_id(struct vm *vm, unsigned int id)
{
	return xa_load(&vm->slots.by_id, id);
}

static void clip(struct hva_walk *walk, const struct memslot *slot)
{
	hva_t start = max(walk->start, slot->hva);
	hva_t last = min(walk->end - 1, slot->hva + (slot->npages << PAGE_SHIFT) - 1);

	walk->first = slot->base_gfn + ((start - slot->hva) >> PAGE_SHIFT);
	walk->last = slot->base_gfn + ((last - slot->hva) >> PAGE_SHIFT);
}

/**
 * memslots_next_in_hva() - walk the slots behind a range of host addresses
 * @vm:		the VM
 * @walk:	start and end given, all else zero; on true, first and last are
 *		the guest frames of the next slot whose memory is in the range
 *
 * If slots change between two calls the walk begins anew: a slot may be seen
 * twice, and none is missed that was there all the time.
 *
 * Context: any but interrupts; takes hva_lock. Return: false at the end.
 */
bool memslots_next_in_hva(struct vm *vm, struct hva_walk *walk)
{
	struct memslots *s = &vm->slots;
	struct interval_tree_node *node = walk->node;

	read_lock(&s->hva_lock);
	/* While nothing has changed, the node is still in the tree. */
	if (node && walk->changes == s->hva_changes)
		node = interval_tree_iter_next(node, walk->start, walk->end - 1);
	else
		node = interval_tree_iter_first(&s->by_hva, walk->start, walk->end - 1);
	walk->changes = s->hva_changes;
	walk->node = node;
	if (node)
		clip(walk, container_of(node, struct memslot, hva_node));
	read_unlock(&s->hva_lock);
	return node;
}

/* --- Checks: what KVM refuses, and with which errno. --- */

static int check_region(const struct kvm_userspace_memory_region *r)
{
	if (r->flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return -EINVAL;
	if (r->memory_size != (unsigned long)r->memory_size ||
	    !PAGE_ALIGNED(r->memory_size) || !PAGE_ALIGNED(r->guest_phys_addr) ||
	    !PAGE_ALIGNED(r->userspace_addr))
		return -EINVAL;
	if (untagged_addr(r->userspace_addr) != r->userspace_addr ||
	    !access_ok((void __user *)(unsigned long)r->userspace_addr, r->memory_size))
		return -EINVAL;
	/* One address space: SMM, which would have its own, is not offered. */
	if (r->slot >= MEMSLOTS_MAX)
		return -EINVAL;
	if (r->guest_phys_addr + r->memory_size < r->guest_phys_addr)
		return -EINVAL;
	return r->memory_size >> PAGE_SHIFT > SLOT_PAGES_MAX ? -EINVAL : 0;
}

/* A slot may change its place and its logging, not its size or its memory. */
static int check_change(const struct memslot *old,
			const struct kvm_userspace_memory_region *r)
{
	if (r->userspace_addr != old->hva ||
	    r->memory_size >> PAGE_SHIFT != old->npages ||
	    (r->flags ^ old->flags) & KVM_MEM_READONLY)
		return -EINVAL;
	return 0;
}

static bool overlaps(struct vm *vm, gfn_t first, gfn_t last, const struct memslot *self)
{
	unsigned long index = first;
	struct memslot *slot;

	mt_for_each(&vm->slots.by_gfn, slot, index, last)
		if (slot != self)
			return true;
	return false;
}

/* --- Publication: vm->slots_lock held. --- */

static void link_hva(struct vm *vm, struct memslot *slot)
{
	slot->hva_node.start = slot->hva;
	slot->hva_node.last = slot->hva + (slot->npages << PAGE_SHIFT) - 1;
	write_lock(&vm->slots.hva_lock);
	interval_tree_insert(&slot->hva_node, &vm->slots.by_hva);
	vm->slots.hva_changes++;
	write_unlock(&vm->slots.hva_lock);
}

static void unlink_hva(struct vm *vm, struct memslot *slot)
{
	write_lock(&vm->slots.hva_lock);
	interval_tree_remove(&slot->hva_node, &vm->slots.by_hva);
	vm->slots.hva_changes++;
	write_unlock(&vm->slots.hva_lock);
}

static int publish_gfn(struct vm *vm, struct memslot *slot)
{
	return mtree_store_range(&vm->slots.by_gfn, slot->base_gfn, memslot_last(slot), slot,
				 GFP_KERNEL_ACCOUNT);
}

/* The tree may need memory to forget something, and may not get it. */
static int unpublish_gfn(struct vm *vm, struct memslot *slot)
{
	mtree_erase(&vm->slots.by_gfn, slot->base_gfn);
	return mtree_load(&vm->slots.by_gfn, slot->base_gfn) ? -ENOMEM : 0;
}

/* Pairs with vcpu_memslot(): the slots first, their generation then. */
static void changed(struct vm *vm)
{
	smp_store_release(&vm->slots.generation, vm->slots.generation + 1);
}

static struct memslot *slot_new(struct vm *vm, const struct kvm_userspace_memory_region *r)
{
	struct memslot *slot = kzalloc(sizeof(*slot), GFP_KERNEL_ACCOUNT);

	if (!slot)
		return NULL;
	slot->id = r->slot;
	slot->base_gfn = r->guest_phys_addr >> PAGE_SHIFT;
	slot->npages = r->memory_size >> PAGE_SHIFT;
	slot->hva = r->userspace_addr;
	slot->flags = r->flags;
	return slot;
}

/* A new place for a slot: is it free, and within what tables can map? */
static int check_place(struct vm *vm, const struct memslot *slot, const struct memslot *self)
{
	if (overlaps(vm, slot->base_gfn, memslot_last(slot), self))
		return -EEXIST;
	return memslot_last(slot) > mmu_max_gfn() ? -EINVAL : 0;
}

/*
 * Make a slot known, to who looks for it by address last: whoever found it
 * there may map its memory, and then the notifier must find it too.
 */
static int publish(struct vm *vm, struct memslot *slot)
{
	struct memslot *before = memslot_by_id(vm, slot->id);
	int r = xa_err(xa_store(&vm->slots.by_id, slot->id, slot, GFP_KERNEL_ACCOUNT));

	if (r)
		return r;
	link_hva(vm, slot);
	r = publish_gfn(vm, slot);
	if (r) {
		unlink_hva(vm, slot);
		/* Its place in the array is there: this needs no memory. */
		xa_store(&vm->slots.by_id, slot->id, before, GFP_KERNEL_ACCOUNT);
	}
	return r;
}

static int create(struct vm *vm, const struct kvm_userspace_memory_region *r)
{
	struct memslot *slot = slot_new(vm, r);
	int ret;

	if (!slot)
		return -ENOMEM;
	ret = check_place(vm, slot, NULL);
	if (!ret && memslot_logged(slot))
		ret = dirty_log_alloc(vm, slot);
	if (!ret)
		ret = publish(vm, slot);
	if (ret) {
		slot_free(slot);
		return ret;
	}
	vm->slots.npages += slot->npages;
	vm->slots.nslots++;
	changed(vm);
	mmu_slot_created(vm, slot);
	return 0;
}

/* Nobody finds the slot any more; wait for those who have. */
static void retire(struct vm *vm)
{
	changed(vm);
	vm_wait_readers(&vm->srcu);
}

static int delete(struct vm *vm, struct memslot *slot)
{
	int r = unpublish_gfn(vm, slot);

	if (r)
		return r;
	xa_erase(&vm->slots.by_id, slot->id);
	retire(vm);
	mmu_slot_removed(vm, slot);
	unlink_hva(vm, slot);
	vm->slots.npages -= slot->npages;
	vm->slots.nslots--;
	slot_free(slot);
	return 0;
}

/*
 * The old slot is gone from the guest before the new one appears, as for two
 * ioctls. If there is no memory for the new place, the old one is whole still.
 */
static int move(struct vm *vm, struct memslot *old, struct memslot *new)
{
	int r = check_place(vm, new, old) ?: unpublish_gfn(vm, old);

	if (r)
		return r;
	r = publish(vm, new);
	if (r) {
		/* There was room for it just now. */
		WARN_ON(publish_gfn(vm, old));
		return r;
	}
	retire(vm);
	mmu_slot_removed(vm, old);
	unlink_hva(vm, old);
	mmu_slot_created(vm, new);
	return 0;
}

/* Same place, other flags: the entry of the range is replaced in one store. */
static int change_flags(struct vm *vm, struct memslot *old, struct memslot *new)
{
	int r = publish(vm, new);

	if (r)
		return r;
	retire(vm);
	mmu_slot_flags_changed(vm, old, new);
	unlink_hva(vm, old);
	return 0;
}

static int change(struct vm *vm, struct memslot *old,
		  const struct kvm_userspace_memory_region *r)
{
	bool moves = r->guest_phys_addr >> PAGE_SHIFT != old->base_gfn;
	struct memslot *new;
	int ret;

	ret = check_change(old, r);
	if (ret)
		return ret;
	if (!moves && r->flags == old->flags)
		return 0;
	new = slot_new(vm, r);
	if (!new)
		return -ENOMEM;
	if (r->flags & KVM_MEM_LOG_DIRTY_PAGES) {
		/* A slot that stays logged keeps its log. */
		if (old->log)
			new->log = old->log;
		else
			ret = dirty_log_alloc(vm, new);
	}
	if (!ret)
		ret = moves ? move(vm, old, new) : change_flags(vm, old, new);
	if (ret) {
		if (new->log == old->log)
			new->log = NULL;
		slot_free(new);
		return ret;
	}
	if (new->log == old->log)
		old->log = NULL;
	slot_free(old);
	return 0;
}

/**
 * memslot_set() - KVM_SET_USER_MEMORY_REGION
 * @vm:	the VM; its slots_lock is held
 * @r:	what user space wants
 *
 * Context: sleeps. Return: 0; -EINVAL for a region that cannot be, -EEXIST for
 * one that overlaps another, -ENOMEM. Nothing is changed by a failure.
 */
int memslot_set(struct vm *vm, const struct kvm_userspace_memory_region *r)
{
	struct memslot *old;
	int ret;

	ret = check_region(r);
	if (ret)
		return ret;
	old = memslot_by_id(vm, r->slot);
	if (!r->memory_size)
		return old ? delete(vm, old) : -EINVAL;
	return old ? change(vm, old, r) : create(vm, r);
}
