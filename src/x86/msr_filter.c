// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_X86_SET_MSR_FILTER: which MSRs user space lets the guest touch. A filter
 * never changes once it is published; readers hold vm->srcu.
 */
#include <linux/bitmap.h>
#include <linux/compat.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/apicdef.h>
#include "x86/x86.h"

struct msr_range {
	u32 flags, base, n;
	unsigned long *bitmap;		/* a 1 allows */
};

struct msr_filter {
	bool default_allow;
	unsigned int n;
	struct msr_range ranges[KVM_MSR_FILTER_MAX_RANGES];
};

static void filter_free(struct msr_filter *f)
{
	unsigned int i;

	if (!f)
		return;
	for (i = 0; i < f->n; i++)
		kfree(f->ranges[i].bitmap);
	kfree(f);
}

static int filter_add(struct msr_filter *f, const struct kvm_msr_filter_range *from)
{
	size_t size = BITS_TO_LONGS((u64)from->nmsrs) * sizeof(long);
	struct msr_range *r = &f->ranges[f->n];

	if (!from->nmsrs)
		return 0;
	if (!from->flags || (from->flags & ~(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)) ||
	    size > KVM_MSR_FILTER_MAX_BITMAP_SIZE)
		return -EINVAL;
	r->bitmap = kmalloc(size, GFP_KERNEL_ACCOUNT);
	if (!r->bitmap)
		return -ENOMEM;
	r->flags = from->flags;
	r->base = from->base;
	r->n = from->nmsrs;
	f->n++;
	return copy_from_user(r->bitmap, (__user u8 *)from->bitmap, size) ? -EFAULT : 0;
}

static struct msr_filter *filter_make(const struct kvm_msr_filter *from)
{
	bool empty = true;
	struct msr_filter *f;
	unsigned int i;
	int r = 0;

	if (from->flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return ERR_PTR(-EINVAL);
	for (i = 0; i < ARRAY_SIZE(from->ranges); i++)
		empty &= !from->ranges[i].nmsrs;
	/* Deny all is not a filter that anybody can mean. */
	if (empty && (from->flags & KVM_MSR_FILTER_DEFAULT_DENY))
		return ERR_PTR(-EINVAL);
	f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		return ERR_PTR(-ENOMEM);
	f->default_allow = !(from->flags & KVM_MSR_FILTER_DEFAULT_DENY);
	for (i = 0; i < ARRAY_SIZE(from->ranges) && !r; i++)
		r = filter_add(f, &from->ranges[i]);
	if (r) {
		filter_free(f);
		return ERR_PTR(r);
	}
	return f;
}

/**
 * msr_filter_set() - KVM_X86_SET_MSR_FILTER
 * @vm:		the VM
 * @from:	the filter, its bitmaps still user space's
 *
 * Context: sleeps, takes vm->lock. Return: 0, -EINVAL, -EFAULT, -ENOMEM.
 */
int msr_filter_set(struct vm *vm, const struct kvm_msr_filter *from)
{
	struct msr_filter *f = filter_make(from), *old;
	struct vcpu *vcpu;
	unsigned long i;

	if (IS_ERR(f))
		return PTR_ERR(f);
	mutex_lock(&vm->lock);
	old = rcu_replace_pointer(vm->arch.msr_filter, f, lockdep_is_held(&vm->lock));
	mutex_unlock(&vm->lock);
	vm_wait_readers(&vm->srcu);
	filter_free(old);
	vm_for_each_vcpu(i, vcpu, vm) {
		vcpu_request(vcpu, VCPU_REQ_MSR_FILTER);
		vcpu_kick(vcpu);
	}
	return 0;
}

/**
 * msr_filter_set32() - the same for a 32-bit program, whose pointers are shorter
 * @vm:		the VM
 * @from:	the filter as such a program lays it out
 *
 * Context, return: as msr_filter_set().
 */
int msr_filter_set32(struct vm *vm, const struct msr_filter32 *from)
{
	struct kvm_msr_filter filter = { .flags = from->flags };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(filter.ranges); i++) {
		filter.ranges[i].flags = from->ranges[i].flags;
		filter.ranges[i].nmsrs = from->ranges[i].nmsrs;
		filter.ranges[i].base = from->ranges[i].base;
		filter.ranges[i].bitmap = (__force __u8 *)compat_ptr(from->ranges[i].bitmap);
	}
	return msr_filter_set(vm, &filter);
}

static void pass_msr(struct vcpu *vcpu, u32 msr, bool pass)
{
	static_call(vendor_pass_msr)(vcpu, msr, pass && !msr_filtered(vcpu->vm, msr, false),
				     pass && !msr_filtered(vcpu->vm, msr, true));
}

/**
 * msr_filter_apply() - let hardware pass the MSRs that the filter lets pass
 * @vcpu: the vCPU, loaded
 *
 * Context: the vCPU's thread (VCPU_REQ_MSR_FILTER: a new vCPU, a new filter, a
 * new CPUID).
 */
void msr_filter_apply(struct vcpu *vcpu)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	unsigned int i;

	for (i = 0; i < vendor_caps.n_passed_msrs; i++)
		pass_msr(vcpu, vendor_caps.passed_msrs[i], true);
	/* The CPU may have it, and this guest not. */
	pass_msr(vcpu, MSR_IA32_SPEC_CTRL, guest_has_spec_ctrl(vcpu));
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

/**
 * msr_filter_free() - free the filter of a VM that is going
 * @vm: the VM; no vCPU of it runs any more
 */
void msr_filter_free(struct vm *vm)
{
	filter_free(rcu_dereference_protected(vm->arch.msr_filter, true));
}

/**
 * msr_filtered() - does user space keep this access to itself?
 * @vm:		the VM
 * @index:	the MSR
 * @write:	a WRMSR
 *
 * The x2APIC's registers cannot be filtered: hardware may handle them with no
 * exit at all.
 *
 * Context: vm->srcu held; does not sleep. Return: true if it is denied.
 */
bool msr_filtered(struct vm *vm, u32 index, bool write)
{
	const struct msr_filter *f = srcu_dereference(vm->arch.msr_filter, &vm->srcu);
	u32 flag = write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ;
	const struct msr_range *r;

	if (likely(!f) || (index >= APIC_BASE_MSR && index <= APIC_BASE_MSR + 0xff))
		return false;
	for (r = f->ranges; r < f->ranges + f->n; r++)
		if ((r->flags & flag) && index >= r->base && index - r->base < r->n)
			return !test_bit(array_index_nospec(index - r->base, r->n), r->bitmap);
	return !f->default_allow;
}
