// SPDX-License-Identifier: GPL-2.0
/*
 * Memory slots: their checks, their publication, and the ways to find one.
 * What a change means to mappings is the MMU's (mmu_*).
 *
 * Order of a deletion: unpublish, wait for those who found the slot before
 * (SRCU), zap what they may have mapped, free. A new slot needs no waiting:
 * until it is published, nobody can have acted on its absence but by an exit
 * to user space.
 */
#include <linux/gfp.h>
#include <linux/lockdep.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>
#include <minikvm/dirty_log.h>
#include <minikvm/mmu.h>
#include <minikvm/vm.h>

/* KVM's own limit: page numbers within a slot fit an int. */
#define SLOT_PAGES_MAX	((1UL << 31) - 1)

/* --- By guest frame: slots never overlap, so they are in order. --- */

struct gfn_range {
	gfn_t first, last;
};

static struct memslot *slot_of(struct latch_tree_node *node)
{
	return container_of(node, struct memslot, gfn_node);
}

static __always_inline bool starts_before(struct latch_tree_node *a, struct latch_tree_node *b)
{
	return slot_of(a)->base_gfn < slot_of(b)->base_gfn;
}

/* 0: they have a frame in common. */
static __always_inline int compare(void *key, struct latch_tree_node *node)
{
	const struct memslot *slot = slot_of(node);
	const struct gfn_range *range = key;

	if (range->last < slot->base_gfn)
		return -1;
	return range->first > memslot_last(slot);
}

static const struct latch_tree_ops by_gfn_ops = { .less = starts_before, .comp = compare };

static struct memslot *find_in(struct memslots *s, unsigned int space, gfn_t first, gfn_t last)
{
	struct gfn_range range = { first, last };
	struct latch_tree_node *node = latch_tree_find(&range, &s->by_gfn[space], &by_gfn_ops);

	return node ? slot_of(node) : NULL;
}

/**
 * memslot_find() - the slot of a guest frame
 * @vm:		the VM; its srcu is held for as long as the slot is used
 * @space:	which of its address spaces
 * @gfn:	guest frame
 *
 * Context: any. Return: the slot or NULL. O(log n).
 */
struct memslot *memslot_find(struct vm *vm, unsigned int space, gfn_t gfn)
{
	lockdep_assert(srcu_read_lock_held(&vm->srcu));
	return find_in(&vm->slots, space, gfn, gfn);
}

/* --- By user space's number: vm->slots_lock is held. --- */

#define PLACES_PER_SPACE	(MEMSLOT_PAGES * MEMSLOTS_PER_PAGE)
#define PLACES			(MINIKVM_ADDRESS_SPACES * PLACES_PER_SPACE)

/* Its place among the slots of all spaces. */
static unsigned int place_of(u32 id)
{
	return (id >> 16) * PLACES_PER_SPACE + (u16)id;
}

/* Where a slot is noted, or NULL: there was never one near that place. */
static struct memslot **noted_at(struct memslots *s, unsigned int place)
{
	struct memslot **page = s->by_id[place / MEMSLOTS_PER_PAGE];

	return page ? page + place % MEMSLOTS_PER_PAGE : NULL;
}

/* Of a slot whose place was made. */
static struct memslot **noted(struct memslots *s, const struct memslot *slot)
{
	return noted_at(s, place_of(slot->id));
}

static int make_place(struct memslots *s, const struct memslot *slot)
{
	struct memslot ***page = &s->by_id[place_of(slot->id) / MEMSLOTS_PER_PAGE];

	if (!*page)
		*page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return *page ? 0 : -ENOMEM;
}

/**
 * memslot_id_valid() - can there be a slot with such a number?
 * @id: user space's: the address space in the upper half, the slot in the lower
 */
bool memslot_id_valid(u32 id)
{
	return id >> 16 < MINIKVM_ADDRESS_SPACES && (u16)id < MEMSLOTS_MAX;
}

/**
 * memslot_by_id() - the slot that user space knows by a number
 * @vm:	the VM; its slots_lock is held
 * @id:	number; any
 *
 * Return: the slot or NULL.
 */
struct memslot *memslot_by_id(struct vm *vm, u32 id)
{
	struct memslot **at;

	if (!memslot_id_valid(id))
		return NULL;
	at = noted_at(&vm->slots, array_index_nospec(place_of(id), PLACES));
	return at ? *at : NULL;
}

/**
 * memslots_next() - go through the slots of all spaces
 * @vm:		the VM; its slots_lock is held, or nobody uses it any more
 * @place:	where to begin: 0, or one behind the last; that of the slot on return
 *
 * Return: the slot or NULL.
 */
struct memslot *memslots_next(struct vm *vm, unsigned int *place)
{
	struct memslot **at;

	while (*place < PLACES) {
		at = noted_at(&vm->slots, *place);
		if (at && *at)
			return *at;
		*place = at ? *place + 1 : round_up(*place + 1, MEMSLOTS_PER_PAGE);
	}
	return NULL;
}

/* --- Life. --- */

/**
 * memslots_init() - no slots yet
 * @vm: the VM
 */
void memslots_init(struct vm *vm)
{
	struct memslots *s = &vm->slots;
	unsigned int i;

	for (i = 0; i < MINIKVM_ADDRESS_SPACES; i++)
		seqcount_latch_init(&s->by_gfn[i].seq);
	rwlock_init(&s->hva_lock);
	s->by_hva = RB_ROOT_CACHED;
}

static void slot_free(struct memslot *slot)
{
	if (slot->log)
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
	unsigned int i;

	for (i = 0; (slot = memslots_next(vm, &i)); i++)
		slot_free(slot);
	for (i = 0; i < ARRAY_SIZE(vm->slots.by_id); i++)
		free_page((unsigned long)vm->slots.by_id[i]);
}

/* --- By host address, and those that begin alike as they came (hva_serial). --- */

static struct memslot *slot_at(struct interval_tree_node *node)
{
	return container_of(node, struct memslot, hva_node);
}

static bool is_behind(const struct hva_walk *walk, const struct memslot *slot)
{
	return slot->hva > walk->at_hva ||
	       (slot->hva == walk->at_hva && slot->hva_serial > walk->at_serial);
}

/* The first one behind what was found last, in the range or not. */
static struct interval_tree_node *first_behind(struct memslots *s, const struct hva_walk *walk)
{
	struct rb_node *rb = s->by_hva.rb_root.rb_node;
	struct interval_tree_node *node, *best = NULL;

	while (rb) {
		node = rb_entry(rb, struct interval_tree_node, rb);
		if (is_behind(walk, slot_at(node))) {
			best = node;
			rb = rb->rb_left;
		} else {
			rb = rb->rb_right;
		}
	}
	return best;
}

static struct memslot *next_in_hva(struct memslots *s, const struct hva_walk *walk)
{
	struct interval_tree_node *node = first_behind(s, walk);
	hva_t last = walk->end - 1;

	if (node && (node->last < walk->start || node->start > last))
		node = interval_tree_iter_next(node, walk->start, last);
	while (node && slot_at(node)->hva_serial > walk->newest)
		node = interval_tree_iter_next(node, walk->start, last);
	return node ? slot_at(node) : NULL;
}

static void found(struct hva_walk *walk, const struct memslot *slot)
{
	hva_t start = max(walk->start, slot->hva);
	hva_t last = min(walk->end - 1, slot->hva + (slot->npages << PAGE_SHIFT) - 1);

	walk->space = memslot_space(slot);
	walk->first = slot->base_gfn + ((start - slot->hva) >> PAGE_SHIFT);
	walk->last = slot->base_gfn + ((last - slot->hva) >> PAGE_SHIFT);
	walk->at_hva = slot->hva;
	walk->at_serial = slot->hva_serial;
}

/**
 * memslots_next_in_hva() - walk the slots behind a range of host addresses
 * @vm:		the VM
 * @walk:	start and end given, all else zero; on true, first and last are
 *		the guest frames, in space, of the next slot whose memory is in the range
 *
 * Slots may come and go between two calls. Each one that was there at the first
 * call, and still is, is seen once. One that came later is not seen: for who
 * notes an invalidation first, nothing of it can have been mapped. So whoever
 * changes slots all the time makes no walk longer.
 *
 * Context: any but interrupts; takes hva_lock. Return: false at the end.
 */
bool memslots_next_in_hva(struct vm *vm, struct hva_walk *walk)
{
	struct memslots *s = &vm->slots;
	struct memslot *slot;

	read_lock(&s->hva_lock);
	if (!walk->newest)
		walk->newest = s->hva_serials;
	slot = next_in_hva(s, walk);
	if (slot)
		found(walk, slot);
	read_unlock(&s->hva_lock);
	return slot;
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
	if (!memslot_id_valid(r->slot))
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

static bool taken(struct vm *vm, unsigned int space, gfn_t first, gfn_t last)
{
	return first <= last && find_in(&vm->slots, space, first, last);
}

/* Is there another slot than @self, which may be NULL, at the place of @slot? */
static bool overlaps(struct vm *vm, const struct memslot *slot, const struct memslot *self)
{
	gfn_t first = slot->base_gfn, last = memslot_last(slot);
	unsigned int space = memslot_space(slot);

	if (!self || self->base_gfn > last || memslot_last(self) < first)
		return taken(vm, space, first, last);
	/* They have the same size: one end sticks out. */
	return first < self->base_gfn ? taken(vm, space, first, self->base_gfn - 1) :
					taken(vm, space, memslot_last(self) + 1, last);
}

/* --- Publication: vm->slots_lock held. --- */

static void link_hva(struct vm *vm, struct memslot *slot)
{
	slot->hva_node.start = slot->hva;
	slot->hva_node.last = slot->hva + (slot->npages << PAGE_SHIFT) - 1;
	write_lock(&vm->slots.hva_lock);
	slot->hva_serial = ++vm->slots.hva_serials;
	/* Behind those that begin at the same address: is_behind(). */
	interval_tree_insert(&slot->hva_node, &vm->slots.by_hva);
	write_unlock(&vm->slots.hva_lock);
}

/*
 * @new maps what @old has mapped, so it takes its very place: a walk that has
 * yet to come there finds one of them.
 */
static void replace_hva(struct vm *vm, struct memslot *old, struct memslot *new)
{
	write_lock(&vm->slots.hva_lock);
	new->hva_node = old->hva_node;
	new->hva_serial = old->hva_serial;
	rb_replace_node_cached(&old->hva_node.rb, &new->hva_node.rb, &vm->slots.by_hva);
	write_unlock(&vm->slots.hva_lock);
}

static void unlink_hva(struct vm *vm, struct memslot *slot)
{
	write_lock(&vm->slots.hva_lock);
	interval_tree_remove(&slot->hva_node, &vm->slots.by_hva);
	write_unlock(&vm->slots.hva_lock);
}

static void link_gfn(struct vm *vm, struct memslot *slot)
{
	latch_tree_insert(&slot->gfn_node, &vm->slots.by_gfn[memslot_space(slot)], &by_gfn_ops);
}

static void unlink_gfn(struct vm *vm, struct memslot *slot)
{
	latch_tree_erase(&slot->gfn_node, &vm->slots.by_gfn[memslot_space(slot)], &by_gfn_ops);
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
	if (overlaps(vm, slot, self))
		return -EEXIST;
	return memslot_last(slot) > mmu_max_gfn() ? -EINVAL : 0;
}

/*
 * Make a slot known, to who looks for it by guest frame last: whoever found it
 * there may map its memory, and then the notifier must find it too.
 */
static void publish(struct vm *vm, struct memslot *slot)
{
	*noted(&vm->slots, slot) = slot;
	link_hva(vm, slot);
	link_gfn(vm, slot);
}

static int create(struct vm *vm, const struct kvm_userspace_memory_region *r)
{
	struct memslot *slot = slot_new(vm, r);
	int ret;

	if (!slot)
		return -ENOMEM;
	ret = check_place(vm, slot, NULL) ?: make_place(&vm->slots, slot);
	if (!ret && memslot_logged(slot))
		ret = dirty_log_alloc(vm, slot);
	if (ret) {
		slot_free(slot);
		return ret;
	}
	publish(vm, slot);
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

/* Nobody makes new mappings of it. */
static void zap(struct vm *vm, const struct memslot *slot)
{
	mmu_zap(vm, memslot_space(slot), slot->base_gfn, memslot_last(slot), true);
}

static void delete(struct vm *vm, struct memslot *slot)
{
	unlink_gfn(vm, slot);
	*noted(&vm->slots, slot) = NULL;
	retire(vm);
	zap(vm, slot);
	unlink_hva(vm, slot);
	slot_free(slot);
}

/* The old slot is gone from the guest before the new one appears, as for two ioctls. */
static void move(struct vm *vm, struct memslot *old, struct memslot *new)
{
	unlink_gfn(vm, old);
	publish(vm, new);
	retire(vm);
	zap(vm, old);
	unlink_hva(vm, old);
	mmu_slot_created(vm, new);
}

/* Same place, other flags: the guest finds the one slot or the other, never none. */
static void change_flags(struct vm *vm, struct memslot *old, struct memslot *new)
{
	*noted(&vm->slots, new) = new;
	replace_hva(vm, old, new);
	link_gfn(vm, new);
	unlink_gfn(vm, old);
	retire(vm);
	mmu_slot_flags_changed(vm, old, new);
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
	if (moves)
		ret = check_place(vm, new, old);
	if (!ret && memslot_logged(new) && !old->log)
		ret = dirty_log_alloc(vm, new);
	if (ret) {
		slot_free(new);
		return ret;
	}
	/* A slot that stays logged keeps its log. */
	if (memslot_logged(new) && old->log)
		new->log = old->log;
	if (moves)
		move(vm, old, new);
	else
		change_flags(vm, old, new);
	if (memslot_logged(new))
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
	if (r->memory_size)
		return old ? change(vm, old, r) : create(vm, r);
	if (!old)
		return -EINVAL;
	delete(vm, old);
	return 0;
}
