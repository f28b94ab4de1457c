// SPDX-License-Identifier: GPL-2.0
/*
 * KVM's hypercalls (Documentation/virt/kvm/x86/hypercalls.rst): one row each.
 */
#include <linux/kvm_para.h>
#include <asm/apicdef.h>
#include <asm/trap_pf.h>
#include "compat/kvm_run.h"
#include "x86/hyperv/hyperv.h"
#include "x86/irq/lapic.h"
#include "x86/x86.h"

struct hypercall_args {
	u64 a[4];
	bool long_mode;
};

/* Ends in user space; the result comes with the next KVM_RUN. */
#define TO_USER		LONG_MIN

static long vapic_poll_irq(struct vcpu *vcpu, const struct hypercall_args *args)
{
	return 0;
}

static struct vcpu *by_apic_id(struct vm *vm, u32 apic_id)
{
	/* A guest that uses these features leaves its APIC ids as they came. */
	return vm_vcpu_by_id(vm, apic_id);
}

/* a1: the APIC id of a vCPU that sleeps in HLT, waiting for a lock. */
static long kick_cpu(struct vcpu *vcpu, const struct hypercall_args *args)
{
	struct vcpu *target = by_apic_id(vcpu->vm, args->a[1]);

	if (target) {
		WRITE_ONCE(target->arch.pv.unhalted, true);
		vcpu_request(target, VCPU_REQ_EVENT);
		vcpu_kick(target);
	}
	return 0;
}

/* a0: the APIC id of a vCPU that was preempted, and that the caller waits for. */
static long sched_yield_to(struct vcpu *vcpu, const struct hypercall_args *args)
{
	struct vcpu *target = by_apic_id(vcpu->vm, args->a[0]);

	vcpu->arch.stats.directed_yield_attempted++;
	if (target && target != vcpu && vcpu_yield_to(target))
		vcpu->arch.stats.directed_yield_successful++;
	return 0;
}

/* Both bits of the field; the destinations are in the bitmap. */
#define ICR_SHORTHAND	APIC_DEST_ALLBUT

/*
 * Straight to the LAPIC: as a destination, 255 and 0xffffffff could mean all.
 * Past the last id there is nobody, and the count does not begin anew.
 */
static bool send_one(struct vcpu *vcpu, u64 apic_id, u32 icr)
{
	const struct apic_msg msg = {
		.vector = icr & APIC_VECTOR_MASK,
		.delivery = (icr & APIC_DM_FIXED_MASK) >> 8,
		.level = icr & APIC_INT_LEVELTRIG,
		.assert = icr & APIC_INT_ASSERT,
	};
	struct vcpu *target = apic_id > U32_MAX ? NULL : by_apic_id(vcpu->vm, apic_id);

	return target && lapic_accept_msg(target->arch.lapic, &msg);
}

/*
 * a0, a1: a bitmap of 64 (or, of a 32-bit guest, 32) bits each; a2: the APIC id
 * of its bit 0; a3: the low half of an ICR. Returns how many got it.
 */
static long send_ipi(struct vcpu *vcpu, const struct hypercall_args *args)
{
	unsigned int width = args->long_mode ? 64 : 32, bit;
	u64 first = (u32)args->a[2];
	u32 icr = args->a[3];
	long sent = 0;
	int half;

	if (!vcpu->arch.lapic || (icr & (ICR_SHORTHAND | APIC_DEST_LOGICAL)))
		return -KVM_EINVAL;
	for (half = 0; half < 2; half++) {
		unsigned long map = args->a[half];

		for_each_set_bit(bit, &map, width)
			sent += send_one(vcpu, first + half * width + bit, icr);
	}
	return sent;
}

/* a0: where the pair goes; a1: which clock. */
static long clock_pair(struct vcpu *vcpu, const struct hypercall_args *args)
{
	if (args->a[1] != KVM_CLOCK_PAIRING_WALLCLOCK)
		return -KVM_EOPNOTSUPP;
	return clock_pairing(vcpu, args->a[0]);
}

/* How wide the result is depends on the guest's mode now, not on that of the call. */
static int finish_to_user(struct vcpu *vcpu)
{
	u64 ret = vcpu->run->hypercall.ret;

	if (!is_64bit_code(vcpu))
		ret = (u32)ret;
	vcpu->arch.gpr[GPR_RAX] = ret;
	return vcpu_skip(vcpu);
}

/* a0: gpa; a1: pages; a2: attributes. User space's to decide. */
static long map_gpa_range(struct vcpu *vcpu, const struct hypercall_args *args)
{
	struct kvm_run *run = vcpu->run;
	u64 gfn = args->a[0] >> PAGE_SHIFT, npages = args->a[1];

	if (!(vcpu->vm->arch.exit_hypercalls & BIT(KVM_HC_MAP_GPA_RANGE)))
		return -KVM_ENOSYS;
	if (!PAGE_ALIGNED(args->a[0]) || !npages || gfn + npages <= gfn)
		return -KVM_EINVAL;
	run->exit_reason = KVM_EXIT_HYPERCALL;
	run->hypercall.nr = KVM_HC_MAP_GPA_RANGE;
	run->hypercall.args[0] = args->a[0];
	run->hypercall.args[1] = npages;
	run->hypercall.args[2] = args->a[2];
	compat_hypercall_mode(run, args->long_mode);
	complete_later(vcpu, finish_to_user);
	return TO_USER;
}

#define NO_FEATURE	0xff

static const struct hypercall_row {
	u32 nr;
	u8 feature;		/* KVM_FEATURE_* that a held-to-CPUID guest needs */
	long (*fn)(struct vcpu *vcpu, const struct hypercall_args *args);
} hypercalls[] = {
	{ KVM_HC_VAPIC_POLL_IRQ,	NO_FEATURE,			vapic_poll_irq },
	{ KVM_HC_KICK_CPU,		KVM_FEATURE_PV_UNHALT,		kick_cpu },
	{ KVM_HC_CLOCK_PAIRING,		NO_FEATURE,			clock_pair },
	{ KVM_HC_SEND_IPI,		KVM_FEATURE_PV_SEND_IPI,	send_ipi },
	{ KVM_HC_SCHED_YIELD,		KVM_FEATURE_PV_SCHED_YIELD,	sched_yield_to },
	{ KVM_HC_MAP_GPA_RANGE,		KVM_FEATURE_HC_MAP_GPA_RANGE,	map_gpa_range },
};

static long call(struct vcpu *vcpu, u64 nr, const struct hypercall_args *args)
{
	const struct hypercall_row *row;

	if (static_call(vendor_cpl)(vcpu) != 0)
		return -KVM_EPERM;
	for (row = hypercalls; row < hypercalls + ARRAY_SIZE(hypercalls); row++) {
		if (row->nr != nr)
			continue;
		if (row->feature != NO_FEATURE && !cpuid_pv_has(vcpu, row->feature))
			break;
		return row->fn(vcpu, args);
	}
	return -KVM_ENOSYS;
}

/* VMCALL and VMMCALL are 0F 01 C1 and 0F 01 D9. */
static bool is_hypercall_insn(const u8 *insn)
{
	return insn[0] == 0x0f && insn[1] == 0x01 && (insn[2] == 0xc1 || insn[2] == 0xd9);
}

/**
 * hypercall_fix() - is this #UD the other vendor's hypercall instruction?
 * @vcpu: the vCPU, loaded
 *
 * If so, and KVM_X86_QUIRK_FIX_HYPERCALL_INSN is in force, it is rewritten to
 * this CPU's, so that there is no second time. Where the guest may not write
 * its own code it stays as it is: the caller does the call either way.
 *
 * Context: vm->srcu held; may sleep. Return: whether it is to be done.
 */
bool hypercall_fix(struct vcpu *vcpu)
{
	u32 user = static_call(vendor_cpl)(vcpu) == 3 ? X86_PF_USER : 0;
	struct guest_fault fault;
	u8 insn[3];

	if (vcpu->vm->arch.disabled_quirks & KVM_X86_QUIRK_FIX_HYPERCALL_INSN)
		return false;
	if (guest_read_virt(vcpu, linear_rip(vcpu), insn, sizeof(insn),
			    X86_PF_INSTR | user, &fault) || !is_hypercall_insn(insn))
		return false;
	static_call(vendor_hypercall_insn)(insn);
	guest_write_virt(vcpu, linear_rip(vcpu), insn, sizeof(insn), X86_PF_WRITE | user, &fault);
	return true;
}

/**
 * hypercall() - VMCALL or VMMCALL
 * @vcpu: the vCPU, loaded; number in RAX, arguments in RBX, RCX, RDX, RSI
 *
 * A guest that has introduced itself to Hyper-V means Hyper-V's, in other registers.
 *
 * Outside 64-bit code, numbers, arguments and result are 32 bits wide.
 *
 * Context: vm->srcu held; may sleep. Return: as exit_dispatch().
 */
int hypercall(struct vcpu *vcpu)
{
	u64 *gpr = vcpu->arch.gpr, nr = gpr[GPR_RAX];
	struct hypercall_args args = {
		.a = { gpr[GPR_RBX], gpr[GPR_RCX], gpr[GPR_RDX], gpr[GPR_RSI] },
		.long_mode = is_64bit_code(vcpu),
	};
	long ret;
	int i;

	if (hv_hypercalls_on(vcpu))
		return hv_hypercall(vcpu);
	if (!args.long_mode) {
		nr = (u32)nr;
		for (i = 0; i < ARRAY_SIZE(args.a); i++)
			args.a[i] = (u32)args.a[i];
	}
	ret = call(vcpu, nr, &args);
	if (ret == TO_USER)
		return 0;
	gpr[GPR_RAX] = args.long_mode ? ret : (u32)ret;
	return vcpu_skip(vcpu);
}
