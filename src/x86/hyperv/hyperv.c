// SPDX-License-Identifier: GPL-2.0
/*
 * The state of the Hyper-V interface: how it comes and goes, who has which VP index, what a vCPU
 * has to tell user space, and the eventfds of events.
 */
#include <linux/eventfd.h>
#include <linux/slab.h>
#include "x86/hyperv/state.h"

/**
 * hv_vm_get() - a VM's state
 * @vm: the VM
 *
 * Made at first use, by whoever comes first.
 *
 * Context: may sleep. Return: it, or NULL for want of memory.
 */
struct hv_vm *hv_vm_get(struct vm *vm)
{
	struct hv_vm *hv = smp_load_acquire(&vm->arch.hv), *old;

	if (hv)
		return hv;
	hv = kzalloc(sizeof(*hv), GFP_KERNEL_ACCOUNT);
	if (!hv)
		return NULL;
	mutex_init(&hv->lock);
	seqcount_mutex_init(&hv->tsc_seq, &hv->lock);
	xa_init(&hv->eventfds);
	/* A full barrier: who sees the pointer sees what is behind it. */
	old = cmpxchg(&vm->arch.hv, NULL, hv);
	if (!old)
		return hv;
	kfree(hv);
	return old;
}

/**
 * hv_vm_destroy() - the VM goes
 * @vm: its vCPUs have gone
 *
 * Context: may sleep.
 */
void hv_vm_destroy(struct vm *vm)
{
	struct hv_vm *hv = vm->arch.hv;
	struct eventfd_ctx *ctx;
	unsigned long id;

	if (!hv)
		return;
	xa_for_each(&hv->eventfds, id, ctx)
		eventfd_ctx_put(ctx);
	xa_destroy(&hv->eventfds);
	kfree(hv);
	vm->arch.hv = NULL;
}

/**
 * hv_vcpu_get() - a vCPU's state
 * @vcpu: the vCPU
 *
 * Context: vcpu->lock held; may sleep. Return: it, or NULL for want of memory.
 */
struct hv_vcpu *hv_vcpu_get(struct vcpu *vcpu)
{
	struct hv_vm *hv_vm = hv_vm_get(vcpu->vm);
	struct hv_vcpu *hv = vcpu->arch.hv;

	if (hv || !hv_vm)
		return hv;
	hv = kzalloc(sizeof(*hv), GFP_KERNEL_ACCOUNT);
	if (!hv)
		return NULL;
	hv->vcpu = vcpu;
	hv->vm = hv_vm;
	hv->vp_index = vcpu->index;
	hv_synic_init(&hv->synic);
	hv_stimers_init(hv);
	/* Others look for VP indices and SINTs. */
	smp_store_release(&vcpu->arch.hv, hv);
	return hv;
}

/**
 * hv_vcpu_destroy() - the reverse of hv_vcpu_get()
 * @vcpu: a vCPU that runs no more, and that nobody raises SINTs of
 *
 * Context: may sleep.
 */
void hv_vcpu_destroy(struct vcpu *vcpu)
{
	if (!vcpu->arch.hv)
		return;
	hv_stimers_stop(vcpu->arch.hv);
	kfree(vcpu->arch.hv);
	vcpu->arch.hv = NULL;
}

/**
 * hv_vcpu_by_vp() - a vCPU by its VP index
 * @vm:		the VM
 * @vp_index:	as user space has set it, or else the vCPU's place in the VM
 *
 * Context: any but NMI. Return: the vCPU, or NULL.
 */
struct vcpu *hv_vcpu_by_vp(struct vm *vm, u32 vp_index)
{
	struct vcpu *vcpu = vm_vcpu(vm, vp_index);
	unsigned long i;

	if (vcpu && hv_vp_index(vcpu) == vp_index)
		return vcpu;
	vm_for_each_vcpu(i, vcpu, vm)
		if (hv_vp_index(vcpu) == vp_index)
			return vcpu;
	return NULL;
}

/**
 * hv_owe_exit() - go to user space before the guest's next instruction
 * @hv:		the vCPU, in its own thread
 * @exit:	what for
 */
void hv_owe_exit(struct hv_vcpu *hv, enum hv_exit exit)
{
	__set_bit(exit, &hv->exits_owed);
	vcpu_request(hv->vcpu, VCPU_REQ_HV_EXIT);
}

/* User space answers an operation of the debugger's with a status. */
static int complete_syndbg(struct vcpu *vcpu)
{
	struct hv_vcpu *hv = vcpu->arch.hv;

	if (hv->exit.u.syndbg.msr != HV_MSR_SYNDBG_CONTROL)
		return 1;
	mutex_lock(&hv->vm->lock);
	hv->vm->syndbg.status = READ_ONCE(vcpu->run->hyperv.u.syndbg.status);
	mutex_unlock(&hv->vm->lock);
	return 1;
}

static void report(struct hv_vcpu *hv, enum hv_exit exit)
{
	struct kvm_run *run = hv->vcpu->run;

	if (exit == HV_EXIT_HYPERV) {
		run->exit_reason = KVM_EXIT_HYPERV;
		run->hyperv = hv->exit;
		if (hv->exit.type == KVM_EXIT_HYPERV_SYNDBG)
			complete_later(hv->vcpu, complete_syndbg);
		return;
	}
	run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
	run->system_event.type = exit == HV_EXIT_CRASH ? KVM_SYSTEM_EVENT_CRASH :
							 KVM_SYSTEM_EVENT_RESET;
	run->system_event.ndata = 0;
}

/**
 * hv_report_exit() - VCPU_REQ_HV_EXIT: make the first of the exits that are owed
 * @vcpu: the vCPU, in its own thread
 *
 * Return: 0, with the run page filled; 1 if there is none.
 */
int hv_report_exit(struct vcpu *vcpu)
{
	struct hv_vcpu *hv = vcpu->arch.hv;
	unsigned int exit = find_first_bit(&hv->exits_owed, HV_EXITS);

	if (exit >= HV_EXITS)
		return 1;
	__clear_bit(exit, &hv->exits_owed);
	report(hv, exit);
	if (hv->exits_owed)
		vcpu_request(vcpu, VCPU_REQ_HV_EXIT);
	return 0;
}

/* --- KVM_HYPERV_EVENTFD. --- */

static int assign(struct hv_vm *hv, u32 connection, int fd)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fdget(fd);
	int r;

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	r = xa_insert(&hv->eventfds, connection, ctx, GFP_KERNEL_ACCOUNT);
	if (r)
		eventfd_ctx_put(ctx);
	return r == -EBUSY ? -EEXIST : r;
}

static int deassign(struct vm *vm, struct hv_vm *hv, u32 connection)
{
	struct eventfd_ctx *ctx = xa_erase(&hv->eventfds, connection);

	if (!ctx)
		return -ENOENT;
	vm_wait_readers(&vm->srcu);
	eventfd_ctx_put(ctx);
	return 0;
}

/**
 * hv_eventfd() - KVM_HYPERV_EVENTFD: an eventfd for a connection's events
 * @vm:		the VM
 * @args:	connection, eventfd, and whether that ends
 *
 * Context: may sleep; not under vm->srcu. Return: 0; -EINVAL for flags and connections that there
 * are not, -EEXIST, -ENOENT, -EBADF, -ENOMEM.
 */
int hv_eventfd(struct vm *vm, const struct kvm_hyperv_eventfd *args)
{
	struct hv_vm *hv;

	if ((args->flags & ~KVM_HYPERV_EVENTFD_DEASSIGN) ||
	    (args->conn_id & ~KVM_HYPERV_CONN_ID_MASK))
		return -EINVAL;
	hv = hv_vm_get(vm);
	if (!hv)
		return -ENOMEM;
	return args->flags & KVM_HYPERV_EVENTFD_DEASSIGN ?
	       deassign(vm, hv, args->conn_id) : assign(hv, args->conn_id, args->fd);
}
