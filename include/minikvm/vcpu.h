/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtual CPU, as far as every architecture has one: its fd, the run page,
 * requests, kicks and sleep.
 */
#ifndef MINIKVM_VCPU_H
#define MINIKVM_VCPU_H

#include <linux/kvm.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcuwait.h>
#include <linux/signal_types.h>
#include <minikvm/dirty_ring.h>
#include <minikvm/vm.h>

/*
 * Where a vCPU is, for those who want its attention. Legal transitions:
 *
 *	OUTSIDE  -> IN_GUEST	itself, interrupts off, before its last check
 *	IN_GUEST -> EXITING	anybody, by cmpxchg; the winner sends the IPI
 *	any      -> OUTSIDE	itself, interrupts still off after the exit
 *
 * The vCPU sets IN_GUEST and then, after a full barrier, looks at requests,
 * signals and the TLB generation; a kicker sets its request and then, after a
 * full barrier, looks at the mode. So one of the two sees the other.
 */
enum vcpu_mode { VCPU_OUTSIDE, VCPU_IN_GUEST, VCPU_EXITING };

/*
 * Requests: work that a vCPU does for itself before its next entry. Set from
 * anywhere; consumed by the vCPU alone. Bits from 8 are the architecture's.
 */
enum vcpu_request {
	VCPU_REQ_DIRTY_RING,		/* nearly full; ahead of all that writes memory */
};

struct vcpu {
	struct vm *vm;
	struct kvm_run *run;
	int id;				/* the user's number */
	int index;			/* ours */
	int cpu;			/* where it is loaded, or -1 */
	atomic_t mode;			/* enum vcpu_mode */
	unsigned long requests;
	u64 tlb_gen;			/* vm->tlb_gen that our last flush covers */
	unsigned int space;		/* which of the VM's address spaces it is in */
	struct memslot_cache slot_cache;	/* its thread's own: vcpu_memslot() */
	struct dirty_ring dirty_ring;
	struct mutex lock;		/* held by each vCPU ioctl */
	struct preempt_notifier preempt;
	struct rcuwait wait;
	sigset_t sigset;
	bool sigset_active;
	struct task_struct *task;	/* that is in KVM_RUN; read under RCU */
	bool preempted;			/* scheduled out while runnable */
	unsigned int yielded_to;	/* whom, last: an index */
	u32 poll_ns;			/* before it sleeps: vcpu_block() */
	struct {
		u64 halt_wakeup, halt_wait_ns, blocking;
		u64 halt_attempted_poll, halt_successful_poll;
		u64 halt_poll_success_ns, halt_poll_fail_ns;
	} stats;			/* x86/stats.c has the names */
	struct vcpu_arch arch;
};

static inline void vcpu_request(struct vcpu *vcpu, unsigned int req)
{
	/* What was written before the request is seen by who consumes it. */
	smp_wmb();
	set_bit(req, &vcpu->requests);
}

static inline bool vcpu_requested(struct vcpu *vcpu, unsigned int req)
{
	return test_bit(req, &vcpu->requests);
}

static inline bool vcpu_consume(struct vcpu *vcpu, unsigned int req)
{
	return test_bit(req, &vcpu->requests) &&
	       test_and_clear_bit(req, &vcpu->requests);
}

struct memslot *vcpu_memslot_anew(struct vcpu *vcpu, gfn_t gfn);

/*
 * memslot_find() for a vCPU's own thread, which mostly finds, or misses, what
 * it did last. vm->srcu is held for as long as the slot is used; a slot whose
 * generation is still current then was not freed before it was taken.
 */
static inline struct memslot *vcpu_memslot(struct vcpu *vcpu, gfn_t gfn)
{
	const struct memslot_cache *cache = &vcpu->slot_cache;
	struct memslot *slot = cache->slot;

	if (likely(cache->generation == smp_load_acquire(&vcpu->vm->slots.generation))) {
		if (likely(slot && gfn - slot->base_gfn < slot->npages))
			return slot;
		if (gfn == cache->hole)
			return NULL;
	}
	return vcpu_memslot_anew(vcpu, gfn);
}

int vcpu_init(void);
void vcpu_exit(void);
int vcpu_create(struct vm *vm, unsigned long id);
void vcpu_destroy(struct vcpu *vcpu);
void vcpu_load(struct vcpu *vcpu);
void vcpu_put(struct vcpu *vcpu);
void vcpu_kick(struct vcpu *vcpu);
void vcpu_kick_self(void);
void vcpus_kick_and_wait(struct vm *vm);
void vcpus_kick_and_wait_for(struct vm *vm, const unsigned long *wanted);
void vcpu_block(struct vcpu *vcpu);
bool vcpu_yield_to(struct vcpu *target);
bool vcpu_yield_to_any(struct vcpu *vcpu);
int halt_poll_enable(struct vm *vm, u64 ns);

/* --- Supplied by the architecture. --- */

/**
 * arch_vcpu_size() - bytes of a vCPU: struct vcpu comes first
 */
size_t arch_vcpu_size(void);

/**
 * arch_vcpu_precreate() - may the VM have this vCPU?
 * @vm:	the VM
 * @id:	the user's number for it
 *
 * Context: vm->lock held. Return: 0, or -EINVAL for an id or a count out of range.
 */
int arch_vcpu_precreate(struct vm *vm, unsigned int id);

/**
 * arch_vcpu_create() - the architecture's part of a new vCPU, as after a reset
 * @vcpu: zeroed, but for what the core has in it; nobody knows it yet
 *
 * Context: sleeps; vm->lock held. Return: 0, or an errno, with nothing to undo.
 */
int arch_vcpu_create(struct vcpu *vcpu);

/**
 * arch_vcpu_postcreate() - a vCPU is among those of its VM now
 * @vcpu: the vCPU
 *
 * Context: sleeps; vm->lock and vcpu->lock held.
 */
void arch_vcpu_postcreate(struct vcpu *vcpu);

/**
 * arch_vcpu_destroy() - free what arch_vcpu_create(), and ioctls since, have made
 * @vcpu: one that nobody can reach any more
 */
void arch_vcpu_destroy(struct vcpu *vcpu);

/**
 * arch_vcpu_load() - a vCPU's thread, and with it the vCPU, comes to a CPU
 * @vcpu:	the vCPU
 * @cpu:	this CPU
 *
 * Context: preemption off.
 */
void arch_vcpu_load(struct vcpu *vcpu, int cpu);

/**
 * arch_vcpu_put() - and leaves it
 * @vcpu: the vCPU
 *
 * Context: preemption off.
 */
void arch_vcpu_put(struct vcpu *vcpu);

int arch_vcpu_run(struct vcpu *vcpu);

/**
 * arch_vcpu_runnable() - is there a reason for a vCPU that sleeps to wake?
 * @vcpu: the vCPU
 *
 * Context: the vCPU's thread; its state may be any that a sleeper has: takes no sleeping lock.
 */
bool arch_vcpu_runnable(struct vcpu *vcpu);

/**
 * arch_vcpu_may_poll() - is a sleep that may be short worth the CPU's time?
 * @vcpu: the vCPU, about to sleep
 */
bool arch_vcpu_may_poll(struct vcpu *vcpu);

/**
 * arch_vcpu_ioctl() - an ioctl of a vCPU that the core has no row for
 * @vcpu:	the vCPU
 * @cmd:	its number
 * @raw:	its argument
 *
 * Context: sleeps; vcpu->lock held, the vCPU loaded. Return: the command's, or an errno: -ENOTTY
 * if there is no such ioctl.
 */
long arch_vcpu_ioctl(struct vcpu *vcpu, unsigned int cmd, unsigned long raw);

/**
 * arch_vcpu_mmap_page() - a page of the vCPU's fd that is the architecture's
 * @vcpu:	the vCPU
 * @pgoff:	which
 *
 * Return: the page, or NULL: there is none.
 */
struct page *arch_vcpu_mmap_page(struct vcpu *vcpu, unsigned long pgoff);
extern const unsigned int arch_vcpu_mmap_pages;
/* The part of struct vcpu that guest memory is copied to and from directly. */
extern const unsigned int arch_vcpu_usercopy_offset, arch_vcpu_usercopy_size;

#endif
