// SPDX-License-Identifier: GPL-2.0
/*
 * Hypercalls about other virtual processors: flushes of their TLBs, and interrupts.
 */
#include "x86/hyperv/call.h"
#include "x86/irq/lapic.h"

/* --- Sets of them (TLFS, "Virtual Processor Set"). --- */

#define VP_BANKS	(VCPUS_MAX / 64)
#define BANKS_MAX	64		/* as many as the mask has bits */

struct vp_set {
	bool all;
	u64 banks[VP_BANKS];
};

static bool in_set(const struct vp_set *set, struct vcpu *vcpu)
{
	u32 vp = hv_vp_index(vcpu);

	return set->all || (set->banks[vp / 64] & BIT_ULL(vp % 64));
}

/*
 * The banks that @mask names, one after the other, behind @offset bytes of parameters or @halves
 * halves of XMM registers. No VP is in those that there is no room for here.
 */
static u16 read_banks(struct hv_vcpu *hv, const struct hv_call *call, u64 mask,
		      unsigned int offset, unsigned int halves, struct vp_set *set)
{
	u64 words[BANKS_MAX];
	unsigned int i, bank = 0;
	u16 r;

	if (call->fast) {
		if (call->banks > HV_XMM_HALVES - halves)
			return HV_STATUS_INVALID_HYPERCALL_INPUT;
		memcpy(words, &call->xmm[halves], call->banks * sizeof(words[0]));
	} else {
		r = hv_read_input(hv, call, offset, words, call->banks * sizeof(words[0]));
		if (r)
			return r;
	}
	for (i = 0; i < call->banks; i++, bank++) {
		while (!(mask & BIT_ULL(bank)))
			bank++;
		if (bank < VP_BANKS)
			set->banks[bank] = words[i];
	}
	return HV_STATUS_SUCCESS;
}

static u16 read_set(struct hv_vcpu *hv, const struct hv_call *call, u64 format, u64 mask,
		    unsigned int offset, unsigned int halves, struct vp_set *set)
{
	/* So there are no more banks than read_banks() has words. */
	if (call->banks != hweight64(mask))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	if (format == HV_GENERIC_SET_ALL) {
		set->all = true;
		return HV_STATUS_SUCCESS;
	}
	if (format != HV_GENERIC_SET_SPARSE_4K)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	return read_banks(hv, call, mask, offset, halves, set);
}

/* --- TLB flushes. --- */

/*
 * Whichever address space and addresses are meant: a guest's CR3 of now is known to its own vCPU
 * alone. When this returns, none of the set runs with translations of before.
 */
static void flush(struct vm *vm, const struct vp_set *set)
{
	DECLARE_BITMAP(wanted, VCPUS_MAX) = {};
	struct vcpu *vcpu;
	unsigned long i;

	vm_for_each_vcpu(i, vcpu, vm) {
		if (!in_set(set, vcpu))
			continue;
		vcpu_request(vcpu, VCPU_REQ_HV_FLUSH);
		__set_bit(i, wanted);
	}
	vcpus_kick_and_wait_for(vm, wanted);
}

/**
 * hv_tlb_flush() - VCPU_REQ_HV_FLUSH: another vCPU has asked for it
 * @vcpu: the vCPU, in its own thread
 *
 * Return: 1.
 */
int hv_tlb_flush(struct vcpu *vcpu)
{
	static_call(vendor_tlb_flush)(vcpu);
	vcpu->arch.stats.tlb_flush++;
	return 1;
}

static u64 flush_done(const struct hv_call *call)
{
	return HV_STATUS_SUCCESS | (u64)call->reps << HV_HYPERCALL_REP_COMP_OFFSET;
}

/**
 * hv_call_flush_vas() - HvCallFlushVirtualAddressSpace and ...List
 * @hv:		the vCPU that calls
 * @call:	the call
 *
 * Context: vm->srcu held; may sleep. Return: HV_STATUS_*, and how many elements are done.
 */
u64 hv_call_flush_vas(struct hv_vcpu *hv, struct hv_call *call)
{
	struct hv_tlb_flush in = { call->in, call->out, call->xmm[0] };
	struct vp_set set = {};
	u16 r = call->fast ? 0 : hv_read_input(hv, call, 0, &in, sizeof(in));

	if (r)
		return r;
	/* Windows Server 2012 means all of them by an empty mask, and dies of it otherwise. */
	set.all = (in.flags & HV_FLUSH_ALL_PROCESSORS) || !in.processor_mask;
	set.banks[0] = in.processor_mask;
	flush(hv->vcpu->vm, &set);
	return flush_done(call);
}

/**
 * hv_call_flush_vas_ex() - the same of a set of VPs
 * @hv:		the vCPU that calls
 * @call:	the call
 *
 * Context: vm->srcu held; may sleep. Return: HV_STATUS_*, and how many elements are done.
 */
u64 hv_call_flush_vas_ex(struct hv_vcpu *hv, struct hv_call *call)
{
	struct hv_tlb_flush_ex in = {
		call->in, call->out, { .format = call->xmm[0], .valid_bank_mask = call->xmm[1] },
	};
	struct vp_set set = {};
	u16 r = call->fast ? 0 : hv_read_input(hv, call, 0, &in, sizeof(in));

	if (!r)
		r = read_set(hv, call, in.hv_vp_set.format, in.hv_vp_set.valid_bank_mask,
			     sizeof(in), 2, &set);
	if (r)
		return r;
	if (in.flags & HV_FLUSH_ALL_PROCESSORS)
		set.all = true;
	flush(hv->vcpu->vm, &set);
	return flush_done(call);
}

/* --- IPIs. --- */

static u64 send(struct vm *vm, u32 vector, const struct vp_set *set)
{
	const struct apic_msg msg = {
		.vector = vector, .delivery = APIC_DM_FIXED >> 8, .assert = true,
	};
	struct vcpu *vcpu;
	unsigned long i;

	if (vector < HV_IPI_LOW_VECTOR || vector > HV_IPI_HIGH_VECTOR)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	vm_for_each_vcpu(i, vcpu, vm)
		if (vcpu->arch.lapic && in_set(set, vcpu))
			lapic_accept_msg(vcpu->arch.lapic, &msg);
	return HV_STATUS_SUCCESS;
}

/**
 * hv_call_send_ipi() - HvCallSendSyntheticClusterIpi
 * @hv:		the vCPU that calls
 * @call:	the call
 *
 * Context: vm->srcu held; may sleep. Return: HV_STATUS_*.
 */
u64 hv_call_send_ipi(struct hv_vcpu *hv, struct hv_call *call)
{
	struct hv_send_ipi in = { .vector = call->in, call->in >> 32, call->out };
	struct vp_set set = {};
	u16 r = call->fast ? 0 : hv_read_input(hv, call, 0, &in, sizeof(in));

	if (r)
		return r;
	if (in.reserved || !hv->vcpu->arch.lapic)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	set.banks[0] = in.cpu_mask;
	return send(hv->vcpu->vm, in.vector, &set);
}

/**
 * hv_call_send_ipi_ex() - the same to a set of VPs
 * @hv:		the vCPU that calls
 * @call:	the call
 *
 * Context: vm->srcu held; may sleep. Return: HV_STATUS_*.
 */
u64 hv_call_send_ipi_ex(struct hv_vcpu *hv, struct hv_call *call)
{
	struct hv_send_ipi_ex in = {
		call->in, call->in >> 32, { .format = call->out, .valid_bank_mask = call->xmm[0] },
	};
	struct vp_set set = {};
	u16 r = call->fast ? 0 : hv_read_input(hv, call, 0, &in, sizeof(in));

	if (!r)
		r = read_set(hv, call, in.vp_set.format, in.vp_set.valid_bank_mask,
			     sizeof(in), 1, &set);
	if (r)
		return r;
	if (!hv->vcpu->arch.lapic)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	/* To nobody, whatever it is. */
	if (!set.all && !call->banks)
		return HV_STATUS_SUCCESS;
	return send(hv->vcpu->vm, in.vector, &set);
}
