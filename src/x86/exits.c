// SPDX-License-Identifier: GPL-2.0
/*
 * What the core does about each exit: one row a reason, one short function a
 * row. A handler answers 1 to enter the guest again, 0 when the run page is
 * filled for user space, or an errno.
 */
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <asm/cpu.h>
#include <asm/debugreg.h>
#include <asm/trapnr.h>
#include <minikvm/bus.h>
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic.h"
#include "x86/x86.h"

/* --- Getting past an instruction. --- */

static int debug_to_user(struct vcpu *vcpu, u8 vector, u64 dr6)
{
	struct kvm_debug_exit_arch *debug = &vcpu->run->debug.arch;

	debug->dr6 = dr6;
	debug->dr7 = effective_dr7(vcpu);
	debug->pc = linear_rip(vcpu);
	debug->exception = vector;
	vcpu->run->exit_reason = KVM_EXIT_DEBUG;
	return 0;
}

/**
 * vcpu_single_step() - a step over an instruction that the core executed, not the CPU
 * @vcpu: the vCPU, loaded, behind the instruction; RFLAGS.TF was set before it
 *
 * The guest's own step is its #DB; one of user space, which debugs it, is not for the guest.
 *
 * Return: as exit_dispatch(): 1, or 0 for KVM_EXIT_DEBUG.
 */
int vcpu_single_step(struct vcpu *vcpu)
{
	if (vcpu->arch.guest_debug & KVM_GUESTDBG_SINGLESTEP)
		return debug_to_user(vcpu, X86_TRAP_DB, DR_STEP | DR6_ACTIVE_LOW);
	queue_exception_payload(vcpu, X86_TRAP_DB, DR_STEP);
	return 1;
}

/* To the next instruction, which ends an interrupt shadow. */
static void move_on(struct vcpu *vcpu, int len)
{
	u64 rip = vcpu->arch.rip + len;

	/* Outside 64-bit code RIP is 32 bits; a wrap is the guest's to see. */
	if (unlikely((rip ^ vcpu->arch.rip) >> 31) && !is_64bit_code(vcpu))
		rip = (u32)rip;
	vcpu->arch.rip = rip;
	static_call(vendor_set_shadow)(vcpu, 0);
	vcpu->arch.rflags &= ~(u64)X86_EFLAGS_RF;
}

/**
 * vcpu_skip() - finish the instruction that exited
 * @vcpu: the vCPU, loaded
 *
 * Moves RIP, ends an interrupt shadow, and traps if the guest single-steps.
 *
 * Return: as exit_dispatch(): 1, 0 for KVM_EXIT_DEBUG, or an errno.
 */
int vcpu_skip(struct vcpu *vcpu)
{
	int len = vcpu->arch.exit.len;

	if (!len) {
		len = emulate_length(vcpu);
		if (unlikely(len <= 0))
			return len ? 1 : emulate_failed(vcpu);
	}
	move_on(vcpu, len);
	if (unlikely(vcpu->arch.rflags & X86_EFLAGS_TF))
		return vcpu_single_step(vcpu);
	return 1;
}

static int skip_or_gp(struct vcpu *vcpu, int failed)
{
	if (!failed)
		return vcpu_skip(vcpu);
	queue_gp(vcpu);
	return 1;
}

static int exit_ud(struct vcpu *vcpu)
{
	queue_exception(vcpu, X86_TRAP_UD);
	return 1;
}

static int exit_rsm(struct vcpu *vcpu)
{
	return in_smm(vcpu) ? smm_leave(vcpu) : exit_ud(vcpu);
}

static int exit_gp(struct vcpu *vcpu)
{
	queue_gp(vcpu);
	return 1;
}

static int exit_again(struct vcpu *vcpu)
{
	return 1;
}

static int exit_event(struct vcpu *vcpu)
{
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	return 1;
}

/* --- CPUID, MSRs, hypercalls. --- */

static int exit_cpuid(struct vcpu *vcpu)
{
	u64 *gpr = vcpu->arch.gpr;
	u32 eax = gpr[GPR_RAX], ecx = gpr[GPR_RCX], ebx, edx;

	if (unlikely(vcpu->arch.msr.misc_features & MSR_MISC_FEATURES_ENABLES_CPUID_FAULT) &&
	    static_call(vendor_cpl)(vcpu))
		return exit_gp(vcpu);
	cpuid_query(vcpu, &eax, &ebx, &ecx, &edx);
	gpr[GPR_RAX] = eax;
	gpr[GPR_RBX] = ebx;
	gpr[GPR_RCX] = ecx;
	gpr[GPR_RDX] = edx;
	return vcpu_skip(vcpu);
}

/* The reasons that KVM_CAP_X86_USER_SPACE_MSR tells apart. */
static u32 msr_exit_reason(struct vcpu *vcpu, u32 index, bool write, int error)
{
	if (msr_filtered(vcpu->vm, index, write))
		return KVM_MSR_EXIT_REASON_FILTER;
	return error == -ENOENT ? KVM_MSR_EXIT_REASON_UNKNOWN : KVM_MSR_EXIT_REASON_INVAL;
}

static int complete_rdmsr(struct vcpu *vcpu)
{
	if (vcpu->run->msr.error)
		return exit_gp(vcpu);
	vcpu->arch.gpr[GPR_RAX] = (u32)vcpu->run->msr.data;
	vcpu->arch.gpr[GPR_RDX] = vcpu->run->msr.data >> 32;
	return vcpu_skip(vcpu);
}

static int complete_wrmsr(struct vcpu *vcpu)
{
	return skip_or_gp(vcpu, vcpu->run->msr.error);
}

/* An MSR access that failed: user space may have asked to see it first. */
static int msr_failed(struct vcpu *vcpu, u32 index, u64 data, bool write, int error)
{
	struct kvm_run *run = vcpu->run;
	u32 reason = msr_exit_reason(vcpu, index, write, error);

	if (!(vcpu->vm->arch.user_space_msr_mask & reason))
		return exit_gp(vcpu);
	run->exit_reason = write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	memset(run->msr.pad, 0, sizeof(run->msr.pad));
	run->msr.error = 0;
	run->msr.reason = reason;
	run->msr.index = index;
	run->msr.data = data;
	complete_later(vcpu, write ? complete_wrmsr : complete_rdmsr);
	return 0;
}

static int exit_msr_read(struct vcpu *vcpu)
{
	u32 index = vcpu->arch.gpr[GPR_RCX];
	u64 value;
	int r = msr_get(vcpu, index, &value, false);

	if (unlikely(r))
		return msr_failed(vcpu, index, 0, false, r);
	vcpu->arch.gpr[GPR_RAX] = (u32)value;
	vcpu->arch.gpr[GPR_RDX] = value >> 32;
	return vcpu_skip(vcpu);
}

static int exit_msr_write(struct vcpu *vcpu)
{
	const u64 *gpr = vcpu->arch.gpr;
	u32 index = gpr[GPR_RCX];
	u64 value = (u32)gpr[GPR_RAX] | gpr[GPR_RDX] << 32;
	int r = msr_set(vcpu, index, value, false);

	if (unlikely(r))
		return msr_failed(vcpu, index, value, true, r);
	return vcpu_skip(vcpu);
}

/* --- I/O. --- */

/* Into EAX clears the upper half of RAX; into AL and AX, nothing else. */
static u64 gpr_merge(u64 old, u64 value, unsigned int size)
{
	if (size == 8)
		return value;
	if (size == 4)
		return (u32)value;
	return (old & ~GENMASK_ULL(8 * size - 1, 0)) | (value & GENMASK_ULL(8 * size - 1, 0));
}

/* The size is ours: kvm_run is what user space, by now, has made of it. */
static int complete_in(struct vcpu *vcpu)
{
	unsigned int size = vcpu->arch.exit.io.size;
	u64 value = 0;

	memcpy(&value, vcpu->arch.pio_data, size);
	vcpu->arch.gpr[GPR_RAX] = gpr_merge(vcpu->arch.gpr[GPR_RAX], value, size);
	return vcpu_skip(vcpu);
}

static int io_to_user(struct vcpu *vcpu, const void *data)
{
	const struct exit *exit = &vcpu->arch.exit;
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = exit->io.in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = exit->io.size;
	run->io.port = exit->io.port;
	run->io.count = 1;
	run->io.data_offset = PAGE_SIZE;	/* the second page of the mapping */
	if (!exit->io.in)
		memcpy(vcpu->arch.pio_data, data, exit->io.size);
	complete_later(vcpu, exit->io.in ? complete_in : vcpu_skip);
	return 0;
}

static int io_simple(struct vcpu *vcpu)
{
	const struct exit *exit = &vcpu->arch.exit;
	u64 *rax = &vcpu->arch.gpr[GPR_RAX];
	u64 value = *rax;

	if (!exit->io.in) {
		if (io_bus_write(vcpu, BUS_PIO, exit->io.port, exit->io.size, &value))
			return io_to_user(vcpu, &value);
		return vcpu_skip(vcpu);
	}
	value = 0;
	if (io_bus_read(vcpu, BUS_PIO, exit->io.port, exit->io.size, &value))
		return io_to_user(vcpu, NULL);
	*rax = gpr_merge(*rax, value, exit->io.size);
	return vcpu_skip(vcpu);
}

static int exit_io(struct vcpu *vcpu)
{
	return vcpu->arch.exit.io.string ? emulate_instruction(vcpu) : io_simple(vcpu);
}

/* --- Memory. --- */

/*
 * The access was an event's delivery (to a stack or a table), not that of the instruction at
 * RIP, and we can emulate instructions only. The event stays, to be delivered by the next entry.
 */
static int delivery_failed(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
	run->internal.ndata = EXIT_WORDS;
	static_call(vendor_exit_words)(vcpu, run->internal.data);
	return 0;
}

/* Where no memory is, or none that may be written. */
static int emulate_access(struct vcpu *vcpu)
{
	if (unlikely(vcpu->arch.exit.vectoring.type != VECTORING_NONE))
		return delivery_failed(vcpu);
	return emulate_instruction(vcpu);
}

static int exit_npf(struct vcpu *vcpu)
{
	const struct exit *exit = &vcpu->arch.exit;
	int r = mmu_fault(vcpu, exit->npf.gpa, exit->npf.access);

	if (likely(r == MMU_FAULT_DONE))
		return 1;
	return r < 0 ? r : emulate_access(vcpu);
}

static int exit_mmio(struct vcpu *vcpu)
{
	mmu_mmio_exit(vcpu);
	return emulate_access(vcpu);
}

/* --- Halts. --- */

/*
 * A debugger that steps over a HLT finds a vCPU that is halted behind it. If the
 * instruction can't be skipped, as its bytes are gone, the vCPU has not halted.
 */
static int exit_hlt(struct vcpu *vcpu)
{
	u64 rip = vcpu->arch.rip;
	int r = vcpu_skip(vcpu);

	if (unlikely(vcpu->arch.rip == rip))
		return r;
	if (vcpu->arch.lapic) {
		vcpu->arch.mp_state = KVM_MP_STATE_HALTED;
		return r;
	}
	if (r <= 0)
		return r;
	vcpu->run->exit_reason = KVM_EXIT_HLT;
	return 0;
}

/* A spinning guest: let one that it may wait for have the CPU, or who wants it. */
static int exit_pause(struct vcpu *vcpu)
{
	if (!vcpu_yield_to_any(vcpu))
		cond_resched();
	return vcpu_skip(vcpu);
}

static int exit_mwait(struct vcpu *vcpu)
{
	if ((vcpu->vm->arch.disabled_quirks & KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS) &&
	    !guest_has(vcpu, X86_FEATURE_MWAIT))
		return exit_ud(vcpu);
	return vcpu_skip(vcpu);
}

/* On VMX user space finds the state in which the guest gave up. */
static int exit_shutdown(struct vcpu *vcpu)
{
	if (!vendor_caps.shutdown_state)
		vcpu_reset(vcpu, true);
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return 0;
}

static int exit_timer(struct vcpu *vcpu)
{
	lapic_timer_take(vcpu);
	return 1;
}

/* --- Control and debug registers. --- */

static int cr_write(struct vcpu *vcpu, unsigned int cr, u64 value)
{
	switch (cr) {
	case 0:
		return set_cr0(vcpu, value);
	case 3:
		return set_cr3(vcpu, value);
	case 4:
		return set_cr4(vcpu, value);
	default:
		return set_cr8(vcpu, value);
	}
}

static u64 cr_read(struct vcpu *vcpu, unsigned int cr)
{
	switch (cr) {
	case 0:
		return vcpu->arch.cr0;
	case 3:
		return static_call(vendor_get_cr3)(vcpu);
	case 4:
		return vcpu->arch.cr4;
	default:
		return lapic_get_tpr(vcpu);
	}
}

static int cr8_to_user(struct vcpu *vcpu, u64 before)
{
	if (vcpu->arch.lapic || before <= lapic_get_tpr(vcpu))
		return 1;
	vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
	return 0;
}

static int mov_to_cr(struct vcpu *vcpu, unsigned int cr, u64 value)
{
	u64 cr8 = lapic_get_tpr(vcpu);
	int r;

	if (!is_64bit_code(vcpu))
		value = (u32)value;
	if (cr_write(vcpu, cr, value))
		return exit_gp(vcpu);
	r = vcpu_skip(vcpu);
	if (r <= 0 || cr != 8)
		return r;
	return cr8_to_user(vcpu, cr8);
}

static int exit_cr(struct vcpu *vcpu)
{
	struct exit *exit = &vcpu->arch.exit;
	u64 *gpr;

	if (!exit->cr.decoded) {
		int r = emulate_decode_operand(vcpu);

		/* LMSW and SMSW with memory, which may be a device */
		if (r <= 0)
			return r < 0 ? 1 : emulate_instruction(vcpu);
	}
	if (exit->cr.clts)
		return skip_or_gp(vcpu, set_cr0(vcpu, vcpu->arch.cr0 & ~X86_CR0_TS));
	if (exit->cr.lmsw)
		return skip_or_gp(vcpu, set_msw(vcpu, exit->cr.msw));
	gpr = &vcpu->arch.gpr[exit->cr.gpr];
	if (exit->cr.smsw) {
		*gpr = gpr_merge(*gpr, vcpu->arch.cr0, exit->cr.smsw);
		return vcpu_skip(vcpu);
	}
	if (exit->cr.write)
		return mov_to_cr(vcpu, exit->cr.cr, *gpr);
	*gpr = cr_read(vcpu, exit->cr.cr);
	if (!is_64bit_code(vcpu))
		*gpr = (u32)*gpr;
	return vcpu_skip(vcpu);
}

/* DR7.GD: a #DB before the access, SDM vol. 3, 17.2.4. User space that debugs has its own DR7. */
static int general_detect(struct vcpu *vcpu)
{
	if ((vcpu->arch.guest_debug & KVM_GUESTDBG_USE_HW_BP) && (effective_dr7(vcpu) & DR7_GD))
		return debug_to_user(vcpu, X86_TRAP_DB, DR6_BD | DR6_ACTIVE_LOW);
	queue_exception_payload(vcpu, X86_TRAP_DB, DR6_BD);
	return 1;
}

static int exit_dr(struct vcpu *vcpu)
{
	struct exit *exit = &vcpu->arch.exit;
	int dr = exit->dr.dr;
	u64 value;

	/* With CR4.DE they do not exist; else set_dr() takes them for DR6 and DR7. */
	if ((dr == 4 || dr == 5) && (vcpu->arch.cr4 & X86_CR4_DE))
		return exit_ud(vcpu);
	/* On VMX the exit comes before either check (SDM vol. 3, 25.1.3). */
	if (static_call(vendor_cpl)(vcpu) > 0)
		return exit_gp(vcpu);
	if ((effective_dr7(vcpu) | vcpu->arch.dr7) & DR7_GD)
		return general_detect(vcpu);
	if (!exit->dr.decoded) {
		int r = emulate_decode_operand(vcpu);

		if (r <= 0)
			return r < 0 ? 1 : emulate_failed(vcpu);
	}
	if (exit->dr.write) {
		value = vcpu->arch.gpr[exit->dr.gpr];
		if (!is_64bit_code(vcpu))
			value = (u32)value;
		return skip_or_gp(vcpu, set_dr(vcpu, dr, value));
	}
	vcpu->arch.gpr[exit->dr.gpr] = get_dr(vcpu, dr);
	return vcpu_skip(vcpu);
}

static int exit_xsetbv(struct vcpu *vcpu)
{
	const u64 *gpr = vcpu->arch.gpr;
	u64 value = (u32)gpr[GPR_RAX] | gpr[GPR_RDX] << 32;

	return skip_or_gp(vcpu, static_call(vendor_cpl)(vcpu) ||
				set_xcr(vcpu, gpr[GPR_RCX], value));
}

/* --- Exceptions that are intercepted. --- */

static bool user_takes_db(struct vcpu *vcpu)
{
	return vcpu->arch.guest_debug & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP);
}

static int debug_trap(struct vcpu *vcpu, u64 payload)
{
	if (user_takes_db(vcpu)) {
		/* The step has taken the guest out of it. */
		static_call(vendor_set_shadow)(vcpu, 0);
		return debug_to_user(vcpu, X86_TRAP_DB, payload ^ DR6_ACTIVE_LOW);
	}
	queue_exception_payload(vcpu, X86_TRAP_DB, payload);
	return 1;
}

static int exception_db(struct vcpu *vcpu)
{
	const struct exit *exit = &vcpu->arch.exit;

	/* A trap; and no step is reported with it: SDM vol. 3, 6.9. */
	if (exit->exception.int1 && !user_takes_db(vcpu))
		move_on(vcpu, exit->len);
	return debug_trap(vcpu, exit->exception.payload);
}

/* --- Exits that come behind what they are about: there is nothing to skip. --- */

/* The instruction's own traps, which came with the exit. */
static int instruction_traps(struct vcpu *vcpu)
{
	u64 traps = vcpu->arch.exit.traps;

	return unlikely(traps) ? debug_trap(vcpu, traps) : 1;
}

static int exit_eoi(struct vcpu *vcpu)
{
	lapic_hardware_eoi(vcpu, vcpu->arch.exit.eoi_vector);
	return instruction_traps(vcpu);
}

static int exit_apic_write(struct vcpu *vcpu)
{
	lapic_hardware_write(vcpu, vcpu->arch.exit.apic_offset);
	return instruction_traps(vcpu);
}

static int exit_tpr_below(struct vcpu *vcpu)
{
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	return instruction_traps(vcpu);
}

static int exception_bp(struct vcpu *vcpu)
{
	return debug_to_user(vcpu, X86_TRAP_BP, 0);
}

/* SDM vol. 3, 6.15, interrupt 17: does the guest have its user space's alignment checked? */
static bool checks_alignment(struct vcpu *vcpu)
{
	return (vcpu->arch.cr0 & X86_CR0_AM) && (vcpu->arch.rflags & X86_EFLAGS_AC) &&
	       static_call(vendor_cpl)(vcpu) == 3;
}

/*
 * One that the guest has not asked for is for a split lock, which a host that watches for
 * them sees in guests as well. What becomes of it is the host's to decide (its command
 * line's split_lock_detect=): it may sleep, and lets the guest go on, or has this thread die.
 */
static int exception_ac(struct vcpu *vcpu)
{
	u32 error_code = vcpu->arch.exit.exception.error_code;

	if (checks_alignment(vcpu)) {
		queue_exception_ec(vcpu, X86_TRAP_AC, error_code);
		return 1;
	}
	if (handle_guest_split_lock(linear_rip(vcpu)))
		return 1;
	vcpu->run->exit_reason = KVM_EXIT_EXCEPTION;
	vcpu->run->ex.exception = X86_TRAP_AC;
	vcpu->run->ex.error_code = error_code;
	return 0;
}

/*
 * The other vendor's hypercall instruction is a #UD here. A guest that was
 * built for it, or moved here, gets it rewritten once
 * (KVM_X86_QUIRK_FIX_HYPERCALL_INSN).
 */
static int exception_ud(struct vcpu *vcpu)
{
	/* The host is not in SMM; so to a CPU that does not intercept it, it is one. */
	if (unlikely(in_smm(vcpu)) && emulate_is_rsm(vcpu))
		return smm_leave(vcpu);
	return hypercall_fix(vcpu) ? hypercall(vcpu) : exit_ud(vcpu);
}

static int (*const exception_rows[32])(struct vcpu *vcpu) = {
	[X86_TRAP_DB] = exception_db,
	[X86_TRAP_BP] = exception_bp,
	[X86_TRAP_UD] = exception_ud,
	[X86_TRAP_AC] = exception_ac,
};

static int exit_unknown(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON;
	run->internal.ndata = 2;
	run->internal.data[0] = vcpu->arch.exit.hw_reason;
	run->internal.data[1] = raw_smp_processor_id();
	return 0;
}

static int exit_exception(struct vcpu *vcpu)
{
	u8 vector = vcpu->arch.exit.exception.vector & 31;

	return exception_rows[vector] ? exception_rows[vector](vcpu) : exit_unknown(vcpu);
}

static bool dump_failed_entry;
module_param(dump_failed_entry, bool, 0644);
MODULE_PARM_DESC(dump_failed_entry, "log the VMCB or VMCS of an entry that the CPU refuses");

static int exit_fail_entry(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (unlikely(READ_ONCE(dump_failed_entry)))
		static_call(vendor_dump)(vcpu);
	run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	run->fail_entry.hardware_entry_failure_reason = vcpu->arch.exit.hw_reason;
	run->fail_entry.cpu = vcpu->cpu;
	return 0;
}

/*
 * KVM_CAP_X86_BUS_LOCK_EXIT: user space is told with what it gets anyway, or by an exit of
 * its own. The instruction has executed: nothing is left to be done for it.
 */
static int bus_lock_to_user(struct vcpu *vcpu, int r)
{
	vcpu->run->flags |= KVM_RUN_X86_BUS_LOCK;
	if (r <= 0)
		return r;
	vcpu->run->exit_reason = KVM_EXIT_X86_BUS_LOCK;
	return 0;
}

/* A row that uses guest memory, or the MSR filter, runs under vm->srcu. */
#define MEMORY	true

static const struct { int (*handle)(struct vcpu *vcpu); bool memory; } rows[EXIT_REASONS] = {
	[EXIT_NONE]		= { exit_again },
	[EXIT_CPUID]		= { exit_cpuid },
	[EXIT_MSR_READ]		= { exit_msr_read,	MEMORY },
	[EXIT_MSR_WRITE]	= { exit_msr_write,	MEMORY },
	[EXIT_IO]		= { exit_io,		MEMORY },
	[EXIT_HLT]		= { exit_hlt },
	[EXIT_PAUSE]		= { exit_pause },
	[EXIT_HYPERCALL]	= { hypercall,		MEMORY },
	[EXIT_NPF]		= { exit_npf,		MEMORY },
	[EXIT_NPF_MISCONFIG]	= { exit_mmio,		MEMORY },
	/* The log has been taken on the way out already: mmu_log_written(). */
	[EXIT_PML_FULL]		= { exit_again },
	[EXIT_CR_ACCESS]	= { exit_cr,		MEMORY },
	[EXIT_DR_ACCESS]	= { exit_dr,		MEMORY },
	[EXIT_EXCEPTION]	= { exit_exception,	MEMORY },
	[EXIT_IRQ_WINDOW]	= { exit_event },
	[EXIT_NMI_WINDOW]	= { exit_event },
	[EXIT_SHUTDOWN]		= { exit_shutdown },
	[EXIT_INIT]		= { exit_again },
	[EXIT_INVD]		= { vcpu_skip },
	[EXIT_WBINVD]		= { vcpu_skip },
	[EXIT_INVLPG]		= { vcpu_skip },
	[EXIT_RDPMC]		= { exit_gp },
	[EXIT_MONITOR]		= { exit_mwait },
	[EXIT_MWAIT]		= { exit_mwait },
	[EXIT_XSETBV]		= { exit_xsetbv },
	[EXIT_RSM]		= { exit_rsm,		MEMORY },
	[EXIT_UD_OPCODE]	= { exit_ud },
	[EXIT_TASK_SWITCH]	= { emulate_task_switch,	MEMORY },
	[EXIT_TPR_BELOW]	= { exit_tpr_below },
	[EXIT_TIMER]		= { exit_timer },
	[EXIT_EOI]		= { exit_eoi,		MEMORY },
	[EXIT_APIC_WRITE]	= { exit_apic_write },
	[EXIT_BUS_LOCK]		= { instruction_traps },
	[EXIT_MCE]		= { exit_again },
	[EXIT_FAIL_ENTRY]	= { exit_fail_entry },
	[EXIT_UNKNOWN]		= { exit_unknown },
};

/**
 * exit_dispatch() - answer the exit in vcpu->arch.exit
 * @vcpu: the vCPU, loaded
 *
 * Context: may sleep only where the guest's memory has to be faulted in.
 * Return: 1 to enter again, 0 for user space, or an errno for it.
 */
int exit_dispatch(struct vcpu *vcpu)
{
	unsigned int reason = vcpu->arch.exit.reason;
	int idx, r;

	vcpu->arch.stats.exits++;
	vcpu->arch.stats.by_reason[reason]++;
	if (unlikely(!rows[reason].handle)) {
		r = exit_unknown(vcpu);
	} else if (!rows[reason].memory) {
		r = rows[reason].handle(vcpu);
	} else {
		idx = srcu_read_lock(&vcpu->vm->srcu);
		r = rows[reason].handle(vcpu);
		srcu_read_unlock(&vcpu->vm->srcu, idx);
	}
	return unlikely(vcpu->arch.exit.bus_lock) ? bus_lock_to_user(vcpu, r) : r;
}
