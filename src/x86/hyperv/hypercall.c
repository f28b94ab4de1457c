// SPDX-License-Identifier: GPL-2.0
/*
 * Hyper-V's hypercalls (TLFS, "Hypercall Interface"): one row each. All input is the guest's,
 * in registers (fast) or in its memory, and each of its sizes is looked at before it is used.
 *
 * We do all of a rep hypercall at once, so none is ever continued.
 */
#include <linux/sched.h>
#include <asm/fpu/api.h>
#include <asm/trapnr.h>
#include <minikvm/guest_memory.h>
#include "compat/eventfd.h"
#include "compat/fpregs.h"
#include "x86/hyperv/call.h"

/* Ends in user space, which gives the result. */
#define TO_USER		(~0ull)

/* What a call may have. */
enum { REP = 1, VARIABLE = 2, XMM = 4 };

/* --- Input. --- */

/**
 * hv_read_input() - read parameters from the guest's memory
 * @hv:		the vCPU
 * @call:	not a fast one
 * @offset:	in bytes, from where its input begins
 * @data:	where they go
 * @len:	bytes; with @offset, no more than a few hundred
 *
 * They are 8-byte aligned and don't cross a page (TLFS, "Hypercall Interface").
 *
 * Context: vm->srcu held; may sleep. Return: HV_STATUS_*.
 */
u16 hv_read_input(struct hv_vcpu *hv, const struct hv_call *call, unsigned int offset,
		  void *data, unsigned int len)
{
	if ((call->in & 7) || offset_in_page(call->in) + offset + len > PAGE_SIZE)
		return HV_STATUS_INVALID_ALIGNMENT;
	if (guest_read(hv->vcpu->vm, SPACE_MAIN, call->in + offset, data, len))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	return HV_STATUS_SUCCESS;
}

#define SAVE_XMM(n)	asm volatile("movdqu %%xmm" #n ", %0" : "=m" (*(u64 (*)[2])&xmm[2 * (n)]))

/* The guest's registers are in the CPU while KVM_RUN lasts. */
static void read_xmm(u64 *xmm)
{
	compat_fpregs_lock();
	SAVE_XMM(0);
	SAVE_XMM(1);
	SAVE_XMM(2);
	SAVE_XMM(3);
	SAVE_XMM(4);
	SAVE_XMM(5);
	fpregs_unlock();
}

/* --- Waiting, messages, events. --- */

static u64 long_spin_wait(struct hv_vcpu *hv, struct hv_call *call)
{
	if (!vcpu_yield_to_any(hv->vcpu))
		cond_resched();
	return HV_STATUS_SUCCESS;
}

static void set_result(struct vcpu *vcpu, u64 result)
{
	u64 *gpr = vcpu->arch.gpr;

	if (is_64bit_code(vcpu)) {
		gpr[GPR_RAX] = result;
	} else {
		gpr[GPR_RAX] = (u32)result;
		gpr[GPR_RDX] = result >> 32;
	}
}

static int complete_call(struct vcpu *vcpu)
{
	set_result(vcpu, READ_ONCE(vcpu->run->hyperv.u.hcall.result));
	return vcpu_skip(vcpu);
}

static u64 to_user(struct hv_vcpu *hv, const struct hv_call *call)
{
	struct kvm_run *run = hv->vcpu->run;

	run->exit_reason = KVM_EXIT_HYPERV;
	run->hyperv = (struct kvm_hyperv_exit){
		.type = KVM_EXIT_HYPERV_HCALL,
		.u.hcall = { .input = call->control, .params = { call->in, call->out } },
	};
	complete_later(hv->vcpu, complete_call);
	return TO_USER;
}

/* User space that has not enabled the SynIC knows nothing of messages and events. */
static u64 post_message(struct hv_vcpu *hv, struct hv_call *call)
{
	return hv->synic.active ? to_user(hv, call) : HV_STATUS_INVALID_HYPERCALL_INPUT;
}

/*
 * A connection, and the flag behind its base one: none that is not 0 is ever asked for. What has
 * no eventfd may be known to user space.
 */
static u64 signal_event(struct hv_vcpu *hv, struct hv_call *call)
{
	struct eventfd_ctx *ctx;
	u64 event = call->in;
	u16 r = call->fast ? 0 : hv_read_input(hv, call, 0, &event, sizeof(event));

	if (r)
		return r;
	if (event & GENMASK_ULL(47, 32))
		return post_message(hv, call);
	if (event & ~(u64)KVM_HYPERV_CONN_ID_MASK)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	/* It stays as long as vm->srcu is held: hv_eventfd(). */
	ctx = xa_load(&hv->vm->eventfds, event);
	if (!ctx)
		return post_message(hv, call);
	eventfd_notify(ctx);
	return HV_STATUS_SUCCESS;
}

/* The debugger's, who says by an MSR that it uses hypercalls. */
static u64 debug(struct hv_vcpu *hv, struct hv_call *call)
{
	if (!hv_says(hv, HV_SYNDBG_EAX, HV_SYNDBG_ALLOW_DEBUGGING))
		return HV_STATUS_INVALID_HYPERCALL_CODE;
	if (call->fast && call->code != HVCALL_RESET_DEBUG_SESSION)
		return HV_STATUS_INVALID_PARAMETER;
	if (!(READ_ONCE(hv->vm->syndbg_options) & HV_SYNDBG_USE_HCALLS))
		return HV_STATUS_OPERATION_DENIED;
	return to_user(hv, call);
}

/* --- Rights. --- */

/* How often to spin before: 0 and "never" are said by who has not got it (TLFS 2.4.5). */
static bool may_spin_wait(const struct hv_vcpu *hv)
{
	u32 retries = hv->words[HV_RECOMMENDED_EBX];

	return !hv->enforce || (retries && retries != U32_MAX);
}

/* Without the debugger it is not the right to it that is missing: debug(). */
static bool may_debug(const struct hv_vcpu *hv)
{
	static const struct hv_right right = { HV_FEATURES_EBX, HV_DEBUGGING };

	return !hv_says(hv, HV_SYNDBG_EAX, HV_SYNDBG_ALLOW_DEBUGGING) || hv_may(hv, &right);
}

#define EX	HV_X64_EX_PROCESSOR_MASKS_RECOMMENDED
#define FLUSH	HV_X64_REMOTE_TLB_FLUSH_RECOMMENDED
#define IPI	HV_X64_CLUSTER_IPI_RECOMMENDED

static const struct row {
	u16 code;
	u8 form;			/* REP, VARIABLE, XMM */
	struct hv_right right;
	u64 (*fn)(struct hv_vcpu *hv, struct hv_call *call);
	bool (*may)(const struct hv_vcpu *hv);
} rows[] = {
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE, XMM,
	  { HV_RECOMMENDED_EAX, FLUSH }, hv_call_flush_vas },
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST, XMM | REP,
	  { HV_RECOMMENDED_EAX, FLUSH }, hv_call_flush_vas },
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX, XMM | VARIABLE,
	  { HV_RECOMMENDED_EAX, FLUSH | EX }, hv_call_flush_vas_ex },
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX, XMM | VARIABLE | REP,
	  { HV_RECOMMENDED_EAX, FLUSH | EX }, hv_call_flush_vas_ex },
	{ HVCALL_SEND_IPI, 0, { HV_RECOMMENDED_EAX, IPI }, hv_call_send_ipi },
	{ HVCALL_SEND_IPI_EX, XMM | VARIABLE,
	  { HV_RECOMMENDED_EAX, IPI | EX }, hv_call_send_ipi_ex },
	{ HVCALL_NOTIFY_LONG_SPIN_WAIT, 0, {}, long_spin_wait, may_spin_wait },
	{ HVCALL_POST_MESSAGE, 0, { HV_FEATURES_EBX, HV_POST_MESSAGES }, post_message },
	{ HVCALL_SIGNAL_EVENT, 0, { HV_FEATURES_EBX, HV_SIGNAL_EVENTS }, signal_event },
	{ HVCALL_POST_DEBUG_DATA, 0, {}, debug, may_debug },
	{ HVCALL_RETRIEVE_DEBUG_DATA, 0, {}, debug, may_debug },
	{ HVCALL_RESET_DEBUG_SESSION, 0, {}, debug, may_debug },
};

static const struct row *find(u16 code)
{
	const struct row *row;

	for (row = rows; row < rows + ARRAY_SIZE(rows); row++)
		if (row->code == code)
			return row;
	return NULL;
}

/* A rep call has elements, from one of them on; others have neither (TLFS, "Hypercall Classes"). */
static bool form_ok(const struct row *row, const struct hv_call *call)
{
	if (call->control & HV_HYPERCALL_RSVD_MASK)
		return false;
	if (call->banks && !(row->form & VARIABLE))
		return false;
	return row->form & REP ? call->first_rep < call->reps : !(call->reps || call->first_rep);
}

static bool may(const struct hv_vcpu *hv, const struct row *row)
{
	return (!row->may || row->may(hv)) && hv_may(hv, &row->right);
}

static bool may_use_xmm(const struct hv_vcpu *hv)
{
	static const struct hv_right right = {
		HV_FEATURES_EDX, HV_X64_HYPERCALL_XMM_INPUT_AVAILABLE,
	};

	return hv_may(hv, &right);
}

static u64 pair(u64 high, u64 low)
{
	return high << 32 | (u32)low;
}

/* In RCX, RDX and R8; of 32-bit code in EDX:EAX, EBX:ECX and EDI:ESI. */
static void read_registers(struct vcpu *vcpu, struct hv_call *call)
{
	const u64 *gpr = vcpu->arch.gpr;

	if (is_64bit_code(vcpu)) {
		call->control = gpr[GPR_RCX];
		call->in = gpr[GPR_RDX];
		call->out = gpr[GPR_R8];
	} else {
		call->control = pair(gpr[GPR_RDX], gpr[GPR_RAX]);
		call->in = pair(gpr[GPR_RBX], gpr[GPR_RCX]);
		call->out = pair(gpr[GPR_RDI], gpr[GPR_RSI]);
	}
	call->code = call->control;
	call->fast = call->control & HV_HYPERCALL_FAST_BIT;
	call->banks = (call->control & HV_HYPERCALL_VARHEAD_MASK) >> HV_HYPERCALL_VARHEAD_OFFSET;
	call->reps = (call->control & HV_HYPERCALL_REP_COMP_MASK) >> HV_HYPERCALL_REP_COMP_OFFSET;
	call->first_rep = (call->control & HV_HYPERCALL_REP_START_MASK) >>
			  HV_HYPERCALL_REP_START_OFFSET;
}

static int undefined(struct vcpu *vcpu)
{
	queue_exception(vcpu, X86_TRAP_UD);
	return 1;
}

static int finish(struct vcpu *vcpu, u64 result)
{
	if (result == TO_USER)
		return 0;
	set_result(vcpu, result);
	return vcpu_skip(vcpu);
}

/**
 * hv_hypercalls_on() - is a hypercall of this guest's one of Hyper-V's?
 * @vcpu: the vCPU, in its own thread
 *
 * It is when the guest has said who it is. Until then it may call KVM.
 */
bool hv_hypercalls_on(struct vcpu *vcpu)
{
	const struct hv_vcpu *hv = vcpu->arch.hv;

	return unlikely(hv) && hv->enabled && READ_ONCE(hv->vm->guest_os_id);
}

/**
 * hv_hypercall() - VMCALL or VMMCALL of a guest of Hyper-V's
 * @vcpu: the vCPU, loaded; hv_hypercalls_on()
 *
 * Context: vm->srcu held; may sleep. Return: as exit_dispatch().
 */
int hv_hypercall(struct vcpu *vcpu)
{
	struct hv_vcpu *hv = vcpu->arch.hv;
	struct hv_call call = {};
	const struct row *row;

	/* TLFS, "Hypercall Interface": from protected mode and the highest privilege alone. */
	if (static_call(vendor_cpl)(vcpu) || !(vcpu->arch.cr0 & X86_CR0_PE))
		return undefined(vcpu);
	read_registers(vcpu, &call);
	row = find(call.code);
	if (!row)
		return finish(vcpu, HV_STATUS_INVALID_HYPERCALL_CODE);
	if (!may(hv, row))
		return finish(vcpu, HV_STATUS_ACCESS_DENIED);
	if (!form_ok(row, &call))
		return finish(vcpu, HV_STATUS_INVALID_HYPERCALL_INPUT);
	if (call.fast && (row->form & XMM)) {
		if (!may_use_xmm(hv))
			return undefined(vcpu);
		read_xmm(call.xmm);
	}
	return finish(vcpu, row->fn(hv, &call));
}
