// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's FPU: x87, SSE, AVX and whatever else XSAVE carries.
 *
 * The kernel keeps a second FPU image for a thread that runs a guest. It is
 * swapped in by fpu_enter() and out by fpu_leave(), once per KVM_RUN, and
 * nowhere else: between the two the registers, or the thread's image if it was
 * scheduled out, are the guest's. So outside KVM_RUN, where all state ioctls
 * run, the saved image is the whole truth.
 *
 * XCR0 and PKRU are not part of it: the host runs with its own XCR0, and PKRU
 * is switched around each entry (run.c).
 */
#include <linux/slab.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include "compat/fpu.h"
#include "x86/cpuid.h"
#include "x86/x86.h"

/**
 * fpu_create() - give a new vCPU its FPU image, in its reset state
 * @vcpu: the vCPU
 *
 * Context: may sleep. Return: 0 or -ENOMEM.
 */
int fpu_create(struct vcpu *vcpu)
{
	return fpu_alloc_guest_fpstate(&vcpu->arch.fpu) ? 0 : -ENOMEM;
}

/**
 * fpu_destroy() - the reverse of fpu_create()
 * @vcpu: a vCPU that runs no more
 */
void fpu_destroy(struct vcpu *vcpu)
{
	fpu_free_guest_fpstate(&vcpu->arch.fpu);
}

/**
 * fpu_enter() - the user's FPU state out, the guest's in
 * @vcpu: the vCPU, at the beginning of KVM_RUN
 *
 * Context: preemptible.
 */
void fpu_enter(struct vcpu *vcpu)
{
	fpu_swap_kvm_fpstate(&vcpu->arch.fpu, true);
}

/**
 * fpu_leave() - the reverse of fpu_enter()
 * @vcpu: the vCPU, at the end of KVM_RUN
 *
 * Context: preemptible.
 */
void fpu_leave(struct vcpu *vcpu)
{
	fpu_swap_kvm_fpstate(&vcpu->arch.fpu, false);
}

/* Components that user space may move: what the guest may have, and x87, SSE. */
static u64 movable(struct vcpu *vcpu)
{
	return vcpu->arch.cpuid.xcr0_allowed | XFEATURE_MASK_FPSSE;
}

/**
 * fpu_xsave_size() - bytes that KVM_GET_XSAVE2 writes and KVM_SET_XSAVE reads
 *
 * No dynamic component (AMX) is offered, so that all VMs have the same.
 */
size_t fpu_xsave_size(void)
{
	return max_t(size_t, sizeof(struct kvm_xsave), cpuid_xsave_size(cpuid_host_xcr0, false));
}

/**
 * fpu_get_xsave() - the image in XSAVE's standard format
 * @vcpu:	the vCPU, outside KVM_RUN
 * @region:	where it goes
 * @size:	bytes there, at least what the components need
 *
 * Context: vcpu->lock held.
 */
void fpu_get_xsave(struct vcpu *vcpu, void *region, size_t size)
{
	compat_fpu_copy_out(&vcpu->arch.fpu, region, size, movable(vcpu), vcpu->arch.pkru);
}

/**
 * fpu_set_xsave() - the reverse of fpu_get_xsave()
 * @vcpu:	the vCPU, outside KVM_RUN
 * @region:	fpu_xsave_size() bytes
 *
 * Context: vcpu->lock held. Return: 0, or -EINVAL, with nothing changed, for
 * components or MXCSR bits that there are not.
 */
int fpu_set_xsave(struct vcpu *vcpu, const void *region)
{
	return fpu_copy_uabi_to_guest_fpstate(&vcpu->arch.fpu, region, cpuid_host_xcr0,
					      &vcpu->arch.pkru);
}

static struct fxregs_state *copy_image(struct vcpu *vcpu)
{
	size_t size = fpu_xsave_size();
	void *region = kvzalloc(size, GFP_KERNEL_ACCOUNT);

	if (region)
		fpu_get_xsave(vcpu, region, size);
	return region;
}

/**
 * fpu_get() - KVM_GET_FPU: x87 and SSE
 * @vcpu:	the vCPU, outside KVM_RUN
 * @f:		where it goes
 *
 * By way of the XSAVE format, which says of a component in its initial state
 * what that is; the image itself may hold anything there. As with KVM, MXCSR is
 * not filled in.
 *
 * Context: may sleep. Return: 0 or -ENOMEM.
 */
int fpu_get(struct vcpu *vcpu, struct kvm_fpu *f)
{
	struct fxregs_state *fx = copy_image(vcpu);

	if (!fx)
		return -ENOMEM;
	memcpy(f->fpr, fx->st_space, sizeof(f->fpr));
	f->fcw = fx->cwd;
	f->fsw = fx->swd;
	f->ftwx = fx->twd;
	f->last_opcode = fx->fop;
	f->last_ip = fx->rip;
	f->last_dp = fx->rdp;
	memcpy(f->xmm, fx->xmm_space, sizeof(f->xmm));
	kvfree(fx);
	return 0;
}

/**
 * fpu_set() - KVM_SET_FPU: x87 and the XMM registers, and nothing else
 * @vcpu:	the vCPU, outside KVM_RUN
 * @f:		the new state; KVM does not look at its MXCSR, so VMMs leave it 0
 *
 * Context: may sleep. Return: 0 or -ENOMEM.
 */
int fpu_set(struct vcpu *vcpu, const struct kvm_fpu *f)
{
	struct fxregs_state *fx = copy_image(vcpu);
	int r;

	if (!fx)
		return -ENOMEM;
	memcpy(fx->st_space, f->fpr, sizeof(f->fpr));
	fx->cwd = f->fcw;
	fx->swd = f->fsw;
	fx->twd = f->ftwx;
	fx->fop = f->last_opcode;
	fx->rip = f->last_ip;
	fx->rdp = f->last_dp;
	memcpy(fx->xmm_space, f->xmm, sizeof(f->xmm));
	/* Or XRSTOR would take both for being in their initial state. */
	((struct xregs_state *)fx)->header.xfeatures |= XFEATURE_MASK_FPSSE;
	r = fpu_set_xsave(vcpu, fx);
	kvfree(fx);
	return r;
}
