// SPDX-License-Identifier: GPL-2.0
/*
 * Hyper-V's hypercalls (TLFS, "Hypercall Interface"): one row each. All input is the guest's,
 * in registers (fast) or in its memory, and each of its sizes is looked at before it is used.
 *
 * We do all of a rep hypercall at once, so none is ever continued.
 */
#include <linux/eventfd.h>
#include <linux/sched.h>
#include <asm/fpu/api.h>
#include <asm/trapnr.h>
#include <minikvm/guest_memory.h>
#include "compat/eventfd.h"
#include "compat/fpregs.h"
#include "x86/hyperv/state.h"
#include "x86/irq/lapic.h"

#define XMM_HALVES	(2 * HV_HYPERCALL_MAX_XMM_REGISTERS)

struct call {
	u64 control;			/* the input value, TLFS "Hypercall Inputs" */
	u64 in, out;			/* where the parameters are; fast: the parameters */
	u64 xmm[XMM_HALVES];		/* and what comes behind them */
	u16 code;
	u16 banks;			/* 64-bit words of the variable-sized header */
	u16 reps, first_rep;
	bool fast;
};

/* Ends in user space, which gives the result. */
#define TO_USER		(~0ull)

/* What a call may have. */
enum { REP = 1, VARIABLE = 2, XMM = 4 };

/* --- Input. --- */

/* Parameters are 8-byte aligned and don't cross a page (TLFS, "Alignment Requirements"). */
static u16 read_input(struct hv_vcpu *hv, const struct call *call, unsigned int offset,
		      void *data, unsigned int len)
{
	gpa_t gpa = call->in + offset;

	if ((call->in & 7) || offset_in_page(call->in) + offset + len > PAGE_SIZE)
		return HV_STATUS_INVALID_ALIGNMENT;
	return guest_read(hv->vcpu->vm, SPACE_MAIN, gpa, data, len) ? HV_STATUS_INVALID_HYPERCALL_INPUT :
							  HV_STATUS_SUCCESS;
}

#define SAVE_XMM(n)	asm volatile("movdqu %%xmm" #n ", %0" : "=m" (*(u64 (*)[2])&xmm[2 * (n)]))

/* The guest's registers are in the CPU while KVM_RUN lasts. */
static void read_xmm(u64 *xmm)
{
	fpregs_lock();
	compat_fpregs_load();
	SAVE_XMM(0);
	SAVE_XMM(1);
	SAVE_XMM(2);
	SAVE_XMM(3);
	SAVE_XMM(4);
	SAVE_XMM(5);
	fpregs_unlock();
}

/* --- Sets of virtual processors (TLFS, "Virtual Processor Set"). --- */

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
static u16 read_banks(struct hv_vcpu *hv, const struct call *call, u64 mask,
		      unsigned int offset, unsigned int halves, struct vp_set *set)
{
	u64 words[BANKS_MAX];
	unsigned int i, bank = 0;
	u16 r;

	if (call->fast) {
		if (call->banks > XMM_HALVES - halves)
			return HV_STATUS_INVALID_HYPERCALL_INPUT;
		memcpy(words, &call->xmm[halves], call->banks * sizeof(words[0]));
	} else {
		r = read_input(hv, call, offset, words, call->banks * sizeof(words[0]));
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

static u16 read_set(struct hv_vcpu *hv, const struct call *call, u64 format, u64 mask,
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

static u64 flush_done(const struct call *call)
{
	return HV_STATUS_SUCCESS | (u64)call->reps << HV_HYPERCALL_REP_COMP_OFFSET;
}

static u64 flush_vas(struct hv_vcpu *hv, struct call *call)
{
	struct hv_tlb_flush in = { call->in, call->out, call->xmm[0] };
	struct vp_set set = {};
	u16 r = call->fast ? 0 : read_input(hv, call, 0, &in, sizeof(in));

	if (r)
		return r;
	/* Windows Server 2012 means all of them by an empty mask, and dies of it otherwise. */
	set.all = (in.flags & HV_FLUSH_ALL_PROCESSORS) || !in.processor_mask;
	set.banks[0] = in.processor_mask;
	flush(hv->vcpu->vm, &set);
	return flush_done(call);
}

static u64 flush_vas_ex(struct hv_vcpu *hv, struct call *call)
{
	struct hv_tlb_flush_ex in = {
		call->in, call->out, { .format = call->xmm[0], .valid_bank_mask = call->xmm[1] },
	};
	struct vp_set set = {};
	u16 r = call->fast ? 0 : read_input(hv, call, 0, &in, sizeof(in));

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

/* HvCallSendSyntheticClusterIpi */
static u64 send_ipi(struct hv_vcpu *hv, struct call *call)
{
	struct hv_send_ipi in = { .vector = call->in, call->in >> 32, call->out };
	struct vp_set set = {};
	u16 r = call->fast ? 0 : read_input(hv, call, 0, &in, sizeof(in));

	if (r)
		return r;
	if (in.reserved || !hv->vcpu->arch.lapic)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	set.banks[0] = in.cpu_mask;
	return send(hv->vcpu->vm, in.vector, &set);
}

static u64 send_ipi_ex(struct hv_vcpu *hv, struct call *call)
{
	struct hv_send_ipi_ex in = {
		call->in, call->in >> 32, { .format = call->out, .valid_bank_mask = call->xmm[0] },
	};
	struct vp_set set = {};
	u16 r = call->fast ? 0 : read_input(hv, call, 0, &in, sizeof(in));

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

/* --- Waiting, messages, events. --- */

static u64 long_spin_wait(struct hv_vcpu *hv, struct call *call)
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

static u64 to_user(struct hv_vcpu *hv, const struct call *call)
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
static u64 post_message(struct hv_vcpu *hv, struct call *call)
{
	return hv->synic.active ? to_user(hv, call) : HV_STATUS_INVALID_HYPERCALL_INPUT;
}

/*
 * A connection, and the flag behind its base one: none that is not 0 is ever asked for. What has
 * no eventfd may be known to user space.
 */
static u64 signal_event(struct hv_vcpu *hv, struct call *call)
{
	struct eventfd_ctx *ctx;
	u64 event = call->in;
	u16 r = call->fast ? 0 : read_input(hv, call, 0, &event, sizeof(event));

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
static u64 debug(struct hv_vcpu *hv, struct call *call)
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
	u64 (*fn)(struct hv_vcpu *hv, struct call *call);
	bool (*may)(const struct hv_vcpu *hv);
} rows[] = {
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE, XMM, { HV_RECOMMENDED_EAX, FLUSH }, flush_vas },
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST, XMM | REP, { HV_RECOMMENDED_EAX, FLUSH }, flush_vas },
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX, XMM | VARIABLE,
	  { HV_RECOMMENDED_EAX, FLUSH | EX }, flush_vas_ex },
	{ HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX, XMM | VARIABLE | REP,
	  { HV_RECOMMENDED_EAX, FLUSH | EX }, flush_vas_ex },
	{ HVCALL_SEND_IPI, 0, { HV_RECOMMENDED_EAX, IPI }, send_ipi },
	{ HVCALL_SEND_IPI_EX, XMM | VARIABLE, { HV_RECOMMENDED_EAX, IPI | EX }, send_ipi_ex },
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
static bool form_ok(const struct row *row, const struct call *call)
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
static void read_registers(struct vcpu *vcpu, struct call *call)
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
	struct call call = {};
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
