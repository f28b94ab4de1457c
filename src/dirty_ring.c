// SPDX-License-Identifier: GPL-2.0
/*
 * The dirty ring: KVM_CAP_DIRTY_LOG_RING, KVM_RESET_DIRTY_RINGS.
 *
 * It is another way out of the same log (dirty_log.c): the bit of a page says
 * that the page is in some ring, or about to be. Who sets it pushes the page;
 * KVM_RESET_DIRTY_RINGS clears it and write-protects the page, for those that
 * user space says it has harvested. So a page is in the rings once, however
 * many vCPUs and the module itself write it. User space reads a page's content
 * only after it was reset, as the ABI wants: what is written until then is in.
 *
 * One writer, the vCPU's own thread; one reader of the kernel's, under
 * vm->slots_lock. User space may write anything into the ring: an entry can
 * make it lose its own log, no more; indices are the kernel's.
 *
 * A vCPU is not entered with fewer than RESERVED free entries, which is more
 * than one exit can fill. What user space can do to a vCPU beside KVM_RUN may
 * fill them: guest_write() fails then.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/vmalloc.h>
#include <minikvm/dirty_log.h>
#include <minikvm/dirty_ring.h>
#include <minikvm/mmu.h>
#include <minikvm/vcpu.h>

/* One instruction's writes, and the accessed and dirty bits of its walks. */
#define RESERVED	64

static u32 reserved(void)
{
	return RESERVED + mmu_dirty_burst();
}

static u32 used(const struct dirty_ring *ring)
{
	return READ_ONCE(ring->pushed) - READ_ONCE(ring->reset);
}

static struct kvm_dirty_gfn *entry_at(const struct dirty_ring *ring, u32 index)
{
	return &ring->gfns[index & (ring->size - 1)];
}

/* --- Life. --- */

static bool any_slot_logged(struct vm *vm)
{
	struct memslot *slot;
	unsigned int i;

	for (i = 0; (slot = memslots_next(vm, &i)); i++)
		if (slot->log)
			return true;
	return false;
}

/* vm->lock is held, so no vCPU comes; vm->slots_lock, so no slot. */
static int enable_locked(struct vm *vm, u64 bytes)
{
	if (vm->dirty_ring_bytes || vm->nvcpus || any_slot_logged(vm))
		return -EINVAL;
	vm->dirty_ring_bytes = bytes;
	return 0;
}

/**
 * dirty_ring_enable() - KVM_ENABLE_CAP of KVM_CAP_DIRTY_LOG_RING(_ACQ_REL)
 * @vm:		the VM; it has no vCPUs yet
 * @bytes:	of each vCPU's ring
 *
 * Context: sleeps. Return: 0; -EINVAL for a size that is no power of two or
 * too small, or if it is too late; -E2BIG.
 */
int dirty_ring_enable(struct vm *vm, u64 bytes)
{
	int r;

	if (!is_power_of_2(bytes) || bytes < PAGE_SIZE ||
	    bytes < reserved() * sizeof(struct kvm_dirty_gfn))
		return -EINVAL;
	if (bytes > DIRTY_RING_BYTES_MAX)
		return -E2BIG;
	mutex_lock(&vm->lock);
	mutex_lock(&vm->slots_lock);
	r = enable_locked(vm, bytes);
	mutex_unlock(&vm->slots_lock);
	mutex_unlock(&vm->lock);
	return r;
}

/**
 * dirty_ring_init() - a new vCPU's ring, if its VM has rings
 * @vcpu: not yet published; vm->lock is held
 *
 * Context: sleeps. Return: 0 or -ENOMEM.
 */
int dirty_ring_init(struct vcpu *vcpu)
{
	struct dirty_ring *ring = &vcpu->dirty_ring;
	u32 bytes = vcpu->vm->dirty_ring_bytes;

	if (!bytes)
		return 0;
	ring->gfns = __vmalloc(bytes, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	ring->size = bytes / sizeof(*ring->gfns);
	return ring->gfns ? 0 : -ENOMEM;
}

/**
 * dirty_ring_destroy() - the reverse of dirty_ring_init()
 * @vcpu: a vCPU that nobody can reach any more
 */
void dirty_ring_destroy(struct vcpu *vcpu)
{
	vfree(vcpu->dirty_ring.gfns);
}

/**
 * dirty_ring_mapped() - would a mapping of a vCPU's fd have some of its ring?
 * @vm:		the VM
 * @pgoff:	first page of the mapping
 * @pages:	how many
 */
bool dirty_ring_mapped(struct vm *vm, unsigned long pgoff, unsigned long pages)
{
	return pgoff < KVM_DIRTY_LOG_PAGE_OFFSET + vm->dirty_ring_bytes / PAGE_SIZE &&
	       pgoff + pages > KVM_DIRTY_LOG_PAGE_OFFSET;
}

/**
 * dirty_ring_page() - a page of the ring, as it lies in the vCPU's mapping
 * @vcpu:	the vCPU
 * @pgoff:	page of the mapping; dirty_ring_mapped() says yes
 */
struct page *dirty_ring_page(struct vcpu *vcpu, unsigned long pgoff)
{
	unsigned long offset = (pgoff - KVM_DIRTY_LOG_PAGE_OFFSET) * PAGE_SIZE;

	return vmalloc_to_page((void *)vcpu->dirty_ring.gfns + offset);
}

/* --- The vCPU's side: in its own thread. --- */

static bool nearly_full(const struct dirty_ring *ring)
{
	return used(ring) >= ring->size - reserved();
}

/**
 * dirty_ring_full() - must the module not write guest memory now?
 * @vcpu: whose thread this is
 */
bool dirty_ring_full(struct vcpu *vcpu)
{
	struct dirty_ring *ring = &vcpu->dirty_ring;

	return ring->gfns && used(ring) >= ring->size;
}

/**
 * dirty_ring_serve() - VCPU_REQ_DIRTY_RING
 * @vcpu: about to enter
 *
 * Return: 1, or 0 for user space to make room first.
 */
int dirty_ring_serve(struct vcpu *vcpu)
{
	if (!nearly_full(&vcpu->dirty_ring))
		return 1;
	/* It stands until there is room: no other request's work is done before. */
	vcpu_request(vcpu, VCPU_REQ_DIRTY_RING);
	vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
	return 0;
}

/**
 * dirty_ring_push() - a page has become dirty, and is in no ring
 * @vcpu:	who made it so
 * @slot:	its slot
 * @page:	its number in the slot
 */
void dirty_ring_push(struct vcpu *vcpu, struct memslot *slot, unsigned long page)
{
	struct dirty_ring *ring = &vcpu->dirty_ring;
	struct kvm_dirty_gfn *entry = entry_at(ring, ring->pushed);

	if (WARN_ON_ONCE(dirty_ring_full(vcpu)))
		return;
	WRITE_ONCE(entry->slot, slot->id);
	WRITE_ONCE(entry->offset, page);
	/* Pairs with user space's load of the flags. */
	smp_store_release(&entry->flags, KVM_DIRTY_GFN_F_DIRTY);
	/* Pairs with reset_one(): there is an entry before it is counted. */
	smp_store_release(&ring->pushed, ring->pushed + 1);
	if (nearly_full(ring))
		vcpu_request(vcpu, VCPU_REQ_DIRTY_RING);
}

/* --- KVM_RESET_DIRTY_RINGS: vm->slots_lock is held. --- */

/* Pages of one word of one slot's log, which neighbours in a ring often are. */
struct rearm {
	struct vm *vm;
	u32 slot;
	u64 word, mask;
	bool flush;
};

static void rearm_now(struct rearm *r)
{
	if (r->mask && dirty_log_take(r->vm, r->slot, r->word, r->mask))
		r->flush = true;
	r->mask = 0;
}

static void rearm(struct rearm *r, u32 slot, u64 page)
{
	if (slot != r->slot || page / 64 != r->word)
		rearm_now(r);
	r->slot = slot;
	r->word = page / 64;
	r->mask |= BIT_ULL(page % 64);
}

/* The oldest entry. False: there is none, or user space is not done with it. */
static bool reset_one(struct rearm *r, struct dirty_ring *ring)
{
	struct kvm_dirty_gfn *entry = entry_at(ring, ring->reset);

	if (smp_load_acquire(&ring->pushed) == ring->reset ||
	    !(smp_load_acquire(&entry->flags) & KVM_DIRTY_GFN_F_RESET))
		return false;
	rearm(r, READ_ONCE(entry->slot), READ_ONCE(entry->offset));
	WRITE_ONCE(entry->flags, 0);
	/* Pairs with used(): the entry is free before it is pushed again. */
	smp_store_release(&ring->reset, ring->reset + 1);
	return true;
}

static long reset_ring(struct rearm *r, struct dirty_ring *ring)
{
	long n = 0;

	/* No more than a ring: its vCPU and user space may be as fast as we are. */
	while (ring->gfns && n < ring->size && reset_one(r, ring)) {
		n++;
		cond_resched();
	}
	rearm_now(r);
	return n;
}

/**
 * dirty_rings_reset() - KVM_RESET_DIRTY_RINGS
 * @vm: the VM
 *
 * Context: sleeps. Return: how many entries are free again; -EINVAL if the VM
 * has no rings.
 */
long dirty_rings_reset(struct vm *vm)
{
	struct rearm r = { .vm = vm };
	struct vcpu *vcpu;
	unsigned long i;
	long n = 0;

	if (!vm->dirty_ring_bytes)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	vm_for_each_vcpu(i, vcpu, vm) {
		n += reset_ring(&r, &vcpu->dirty_ring);
		if (fatal_signal_pending(current))
			break;
	}
	if (r.flush)
		mmu_tlb_flush_vm(vm);
	mutex_unlock(&vm->slots_lock);
	return n;
}
