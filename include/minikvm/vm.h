/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtual machine: one address space, its vCPUs, buses and interrupts.
 *
 * Lifetime: each open VM fd and each vCPU fd holds a reference (vm_get/vm_put);
 * the last one to go destroys it. The mm is held by mmgrab() until then, and
 * ioctls come from that mm only.
 */
#ifndef MINIKVM_VM_H
#define MINIKVM_VM_H

#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/xarray.h>
#include <minikvm/bus.h>
#include <minikvm/irq_routing.h>
#include <minikvm/memslot.h>
#include <arch_types.h>

/*
 * What host invalidations are under way. A fault takes the sequence before it
 * asks the host for a page, and drops what it found if an invalidation of that
 * address ran since then, or runs still.
 */
struct invalidation {
	spinlock_t lock;
	unsigned long seq;		/* moves when one ends */
	unsigned int running;
	hva_t start, end;		/* the hull of all that run */
};

/* As many as KVM has. */
#define VCPUS_MAX	1024

struct vm {
	refcount_t users;
	struct mm_struct *mm;
	/* Creation of vCPUs and irqchips, and VM-wide attributes. */
	struct mutex lock;

	struct vcpu *vcpus[VCPUS_MAX];	/* by index, dense from 0, never removed */
	unsigned int nvcpus;		/* published after the vcpu is */
	struct xarray vcpu_ids;		/* by the user's id */
	unsigned int max_vcpu_ids;

	struct mutex slots_lock;	/* memslots and buses: writers */
	struct srcu_struct srcu;	/* memslots and buses: readers */
	struct memslots slots;
	struct io_bus __rcu *buses[BUS_KINDS];

	struct mmu_notifier notifier;
	struct invalidation invalidation;
	rwlock_t mmu_lock;
	atomic64_t tlb_gen;		/* see x86/mmu/tlb.c */

	struct srcu_struct irq_srcu;
	struct mutex irq_lock;		/* routing, ack notifiers: writers */
	struct irq_routing __rcu *routing;
	struct hlist_head ack_notifiers;
	struct eventfds *eventfds;	/* irqfds and ioeventfds: eventfd.c */
	struct coalesced *coalesced;	/* zones and their ring: coalesced.c */

	u64 manual_dirty_log;		/* KVM_DIRTY_LOG_* of ENABLE_CAP */
	u64 halt_poll;			/* KVM_CAP_HALT_POLL's ns, plus 1; 0: none was given */
	u32 dirty_ring_bytes;		/* each vCPU's; 0: the log is a bitmap */
	struct vm_arch arch;
};

int vm_create(unsigned long type);
void vm_get(struct vm *vm);
void vm_put(struct vm *vm);
void vm_wait_readers(struct srcu_struct *srcu);	/* @srcu: a VM's */
long vm_check_extension(struct vm *vm, long cap);

struct vcpu *vm_vcpu_by_id(struct vm *vm, unsigned int id);

/**
 * vm_vcpu() - a vCPU by its index
 * @vm:		the VM
 * @index:	from 0 to the number of vCPUs less one
 *
 * Context: any. A vCPU, once created, stays until its VM is destroyed.
 * Return: the vCPU, or NULL past the last.
 */
static inline struct vcpu *vm_vcpu(struct vm *vm, unsigned int index)
{
	/* Pairs with vcpu_create(): the count moves after the vCPU is there. */
	return index < smp_load_acquire(&vm->nvcpus) ? vm->vcpus[index] : NULL;
}

#define vm_for_each_vcpu(i, vcpu, vm) \
	for ((i) = 0; ((vcpu) = vm_vcpu((vm), (i))); (i)++)

/* --- Supplied by the architecture; called under no lock unless said so. --- */

/**
 * arch_vm_size() - bytes of a VM: struct vm comes first
 */
size_t arch_vm_size(void);

/**
 * arch_vm_init() - the architecture's part of a new VM
 * @vm:		zeroed, but for what the core has in it
 * @type:	the argument of KVM_CREATE_VM
 *
 * Context: sleeps. Return: 0, or an errno, with nothing to undo: -EINVAL for a type that is none.
 */
int arch_vm_init(struct vm *vm, unsigned long type);

/**
 * arch_vm_pre_destroy() - stop all that may still look for a vCPU
 * @vm: going; its vCPUs are still there
 */
void arch_vm_pre_destroy(struct vm *vm);

/**
 * arch_vm_destroy() - free what arch_vm_init(), and ioctls since, have made
 * @vm: going; its vCPUs are gone
 */
void arch_vm_destroy(struct vm *vm);

/**
 * arch_vm_has_irqchip() - are interrupts routed in the kernel?
 * @vm: the VM
 */
bool arch_vm_has_irqchip(struct vm *vm);

/**
 * arch_vm_ioctl() - an ioctl of a VM that the core has no row for
 * @vm:		the VM
 * @cmd:	its number
 * @raw:	its argument
 *
 * Context: sleeps. Return: 0, or an errno: -ENOTTY if there is no such ioctl.
 */
long arch_vm_ioctl(struct vm *vm, unsigned int cmd, unsigned long raw);

/**
 * arch_vm_check_extension() - KVM_CHECK_EXTENSION of what the core does not know
 * @vm:		the VM that is asked, or NULL for the device
 * @ext:	KVM_CAP_*
 *
 * Return: 0 for no, else what the capability says yes with.
 */
long arch_vm_check_extension(struct vm *vm, long ext);

/**
 * arch_vm_enable_cap() - KVM_ENABLE_CAP of what the core does not know
 * @vm:		the VM
 * @cap:	which, and its arguments
 *
 * Context: sleeps. Return: 0, or an errno: -EINVAL if it can't be enabled, or not so.
 */
long arch_vm_enable_cap(struct vm *vm, const struct kvm_enable_cap *cap);

#endif
