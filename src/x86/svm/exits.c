// SPDX-License-Identifier: GPL-2.0
/*
 * From what the VMCB says of an exit to struct exit: a table of exit codes
 * (APM appendix C) and the few decoders that its rows need. Nothing is
 * decided here.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>
#include "x86/svm/svm.h"

struct svm_exit_row {
	u8 reason;				/* enum exit_reason */
	void (*decode)(struct vcpu *vcpu, struct exit *exit,
		       const struct vmcb_control_area *control);
};

#define DECODE(name)							\
	static void name(struct vcpu *vcpu, struct exit *exit,		\
			 const struct vmcb_control_area *control)

DECODE(decode_msr)
{
	exit->reason = control->exit_info_1 ? EXIT_MSR_WRITE : EXIT_MSR_READ;
}

/* APM 15.10.2. EXITINFO2 is the next RIP, with or without NRIPS. */
DECODE(decode_io)
{
	u32 info = control->exit_info_1;

	exit->io.port = info >> 16;
	exit->io.size = (info & SVM_IOIO_SIZE_MASK) >> SVM_IOIO_SIZE_SHIFT;
	exit->io.in = info & SVM_IOIO_TYPE_MASK;
	exit->io.string = info & SVM_IOIO_STR_MASK;
	exit->io.rep = info & BIT(SVM_IOIO_REP_SHIFT);
	exit->len = control->exit_info_2 - vcpu->arch.rip;
}

/* APM 15.25.6. */
DECODE(decode_npf)
{
	u64 info = control->exit_info_1;

	exit->npf.gpa = control->exit_info_2;
	exit->npf.access = info & NPF_BITS;
	if (exit->npf.access & NPF_RESERVED)
		exit->reason = EXIT_NPF_MISCONFIG;
}

/*
 * Bit 63 says that EXITINFO1 is about a MOV: APM 15.8.1. All of exit->cr is written, for what
 * else it could be must be said not to be, and the last exit's words are in the same place.
 */
DECODE(decode_cr)
{
	u64 info = control->exit_info_1;

	exit->cr = (typeof(exit->cr)){
		.cr = control->exit_code & 0xf,
		.write = control->exit_code >= SVM_EXIT_WRITE_CR0,
		.decoded = vendor_caps.decode_assists && (info & BIT_ULL(63)),
		.gpr = info & SVM_EXITINFO_REG_MASK,
	};
}

DECODE(decode_dr)
{
	exit->dr.dr = control->exit_code & 0xf;
	exit->dr.write = control->exit_code >= SVM_EXIT_WRITE_DR0;
	exit->dr.decoded = vendor_caps.decode_assists;
	exit->dr.gpr = control->exit_info_1 & SVM_EXITINFO_REG_MASK;
}

DECODE(decode_exception)
{
	u8 vector = control->exit_code - SVM_EXIT_EXCP_BASE;

	exit->exception.vector = vector;
	exit->exception.has_error_code = vector == X86_TRAP_AC || vector == X86_TRAP_PF;
	exit->exception.error_code = control->exit_info_1;
	exit->exception.int1 = false;
	if (vector == X86_TRAP_PF)
		exit->exception.payload = control->exit_info_2;
	if (vector == X86_TRAP_DB) {
		exit->exception.payload = to_vmcb(vcpu)->save.dr6 ^ DR6_ACTIVE_LOW;
		/* Nor is the next one, or the guest, to be told of this one's. */
		svm_debug_regs_changed(vcpu);
		if (svm_step_exit(vcpu))
			exit->reason = EXIT_NONE;
	}
	/* The host has had it. */
	if (vector == X86_TRAP_MC)
		exit->reason = EXIT_MCE;
}

/* APM 15.14.1. */
#define TASK_RF		BIT_ULL(48)

DECODE(decode_task_switch)
{
	u64 info = control->exit_info_2;

	/* The flag as the old task is to have it, which a fault sets. */
	if (info & TASK_RF)
		vcpu->arch.rflags |= X86_EFLAGS_RF;
	exit->task.selector = control->exit_info_1;
	exit->task.has_error_code = info & BIT_ULL(SVM_EXITINFOSHIFT_TS_HAS_ERROR_CODE);
	exit->task.error_code = info;
	if (info & BIT_ULL(SVM_EXITINFOSHIFT_TS_REASON_IRET))
		exit->task.source = TASK_SWITCH_IRET;
	else if (info & BIT_ULL(SVM_EXITINFOSHIFT_TS_REASON_JMP))
		exit->task.source = TASK_SWITCH_JMP;
	else if (exit->vectoring.type)
		exit->task.source = TASK_SWITCH_GATE;
	else
		exit->task.source = TASK_SWITCH_CALL;
}

DECODE(decode_vintr)
{
	svm_irq_window(vcpu, false);
}

DECODE(decode_iret)
{
	svm_iret_exit(vcpu);
}

#define ROW(code, reason, decode)	[code] = { reason, decode }
static const struct svm_exit_row rows[] = {
	[SVM_EXIT_READ_CR0 ... SVM_EXIT_READ_CR8] = { EXIT_CR_ACCESS, decode_cr },
	[SVM_EXIT_WRITE_CR0 ... SVM_EXIT_WRITE_CR8] = { EXIT_CR_ACCESS, decode_cr },
	[SVM_EXIT_READ_DR0 ... SVM_EXIT_READ_DR7] = { EXIT_DR_ACCESS, decode_dr },
	[SVM_EXIT_WRITE_DR0 ... SVM_EXIT_WRITE_DR7] = { EXIT_DR_ACCESS, decode_dr },
	[SVM_EXIT_EXCP_BASE ... SVM_EXIT_LAST_EXCP] = { EXIT_EXCEPTION, decode_exception },
	ROW(SVM_EXIT_INTR,		EXIT_NONE,		NULL),
	ROW(SVM_EXIT_NMI,		EXIT_NONE,		NULL),
	ROW(SVM_EXIT_SMI,		EXIT_NONE,		NULL),
	ROW(SVM_EXIT_INIT,		EXIT_INIT,		NULL),
	ROW(SVM_EXIT_VINTR,		EXIT_IRQ_WINDOW,	decode_vintr),
	ROW(SVM_EXIT_RDPMC,		EXIT_RDPMC,		NULL),
	ROW(SVM_EXIT_CPUID,		EXIT_CPUID,		NULL),
	ROW(SVM_EXIT_RSM,		EXIT_RSM,		NULL),
	ROW(SVM_EXIT_IRET,		EXIT_NONE,		decode_iret),
	ROW(SVM_EXIT_INVD,		EXIT_INVD,		NULL),
	ROW(SVM_EXIT_PAUSE,		EXIT_PAUSE,		NULL),
	ROW(SVM_EXIT_HLT,		EXIT_HLT,		NULL),
	ROW(SVM_EXIT_INVLPG,		EXIT_INVLPG,		NULL),
	ROW(SVM_EXIT_INVLPGA,		EXIT_UD_OPCODE,		NULL),
	ROW(SVM_EXIT_IOIO,		EXIT_IO,		decode_io),
	ROW(SVM_EXIT_MSR,		EXIT_MSR_READ,		decode_msr),
	ROW(SVM_EXIT_TASK_SWITCH,	EXIT_TASK_SWITCH,	decode_task_switch),
	ROW(SVM_EXIT_FERR_FREEZE,	EXIT_NONE,		NULL),
	ROW(SVM_EXIT_SHUTDOWN,		EXIT_SHUTDOWN,		NULL),
	ROW(SVM_EXIT_VMRUN,		EXIT_UD_OPCODE,		NULL),
	ROW(SVM_EXIT_VMMCALL,		EXIT_HYPERCALL,		NULL),
	ROW(SVM_EXIT_VMLOAD,		EXIT_UD_OPCODE,		NULL),
	ROW(SVM_EXIT_VMSAVE,		EXIT_UD_OPCODE,		NULL),
	ROW(SVM_EXIT_STGI,		EXIT_UD_OPCODE,		NULL),
	ROW(SVM_EXIT_CLGI,		EXIT_UD_OPCODE,		NULL),
	ROW(SVM_EXIT_SKINIT,		EXIT_UD_OPCODE,		NULL),
	ROW(SVM_EXIT_RDTSCP,		EXIT_UD_OPCODE,		NULL),
	ROW(SVM_EXIT_WBINVD,		EXIT_WBINVD,		NULL),
	ROW(SVM_EXIT_MONITOR,		EXIT_MONITOR,		NULL),
	ROW(SVM_EXIT_MWAIT,		EXIT_MWAIT,		NULL),
	ROW(SVM_EXIT_MWAIT_COND,	EXIT_MWAIT,		NULL),
	ROW(SVM_EXIT_XSETBV,		EXIT_XSETBV,		NULL),
	ROW(SVM_EXIT_RDPRU,		EXIT_UD_OPCODE,		NULL),
	ROW(SVM_EXIT_INVPCID,		EXIT_UD_OPCODE,		NULL),
	ROW(SVM_EXIT_NPF,		EXIT_NPF,		decode_npf),
};

/* EXITINTINFO: APM 15.7.2. */
static void decode_vectoring(struct exit *exit, u32 info, u32 error_code)
{
	exit->vectoring.type = VECTORING_NONE;
	if (!(info & SVM_EXITINTINFO_VALID))
		return;
	exit->vectoring.vector = info & SVM_EXITINTINFO_VEC_MASK;
	exit->vectoring.has_error_code = info & SVM_EXITINTINFO_VALID_ERR;
	exit->vectoring.error_code = error_code;
	switch (info & SVM_EXITINTINFO_TYPE_MASK) {
	case SVM_EXITINTINFO_TYPE_INTR:
		exit->vectoring.type = VECTORING_IRQ;
		break;
	case SVM_EXITINTINFO_TYPE_NMI:
		exit->vectoring.type = VECTORING_NMI;
		break;
	case SVM_EXITINTINFO_TYPE_SOFT:
		exit->vectoring.type = VECTORING_SOFT;
		break;
	case SVM_EXITINTINFO_TYPE_EXEPT:
		/* INT3 and INTO come as exceptions; RIP is still at them. */
		exit->vectoring.type = exit->vectoring.vector == X86_TRAP_BP ||
				       exit->vectoring.vector == X86_TRAP_OF ?
				       VECTORING_SOFT : VECTORING_EXCEPTION;
		break;
	}
}

/**
 * svm_exit_info() - vendor_exit_info(): the VMCB becomes struct exit
 * @vcpu:	the vCPU, loaded
 *
 * Context: interrupts on, after each exit.
 */
void svm_exit_info(struct vcpu *vcpu)
{
	const struct vmcb_control_area *control = &to_vmcb(vcpu)->control;
	struct exit *exit = &vcpu->arch.exit;
	u32 code = control->exit_code;

	exit->hw_reason = code;
	exit->len = svm_has_nrips && control->next_rip ?
		    control->next_rip - vcpu->arch.rip : 0;
	decode_vectoring(exit, control->exit_int_info, control->exit_int_info_err);
	svm_nmi_progress(vcpu);

	if (unlikely(code >= ARRAY_SIZE(rows) || !rows[code].reason)) {
		exit->reason = code == (u32)SVM_EXIT_ERR ? EXIT_FAIL_ENTRY : EXIT_UNKNOWN;
		exit->raw[0] = control->exit_info_1;
		exit->raw[1] = control->exit_info_2;
		return;
	}
	exit->reason = rows[code].reason;
	if (rows[code].decode)
		rows[code].decode(vcpu, exit, control);
}

/**
 * svm_exit_words() - vendor_exit_words()
 * @vcpu:	the vCPU, loaded
 * @words:	EXIT_WORDS of them
 */
void svm_exit_words(struct vcpu *vcpu, u64 *words)
{
	const struct vmcb_control_area *control = &to_vmcb(vcpu)->control;
	u32 event = control->exit_int_info;
	const u32 valid = SVM_EXITINTINFO_VALID | SVM_EXITINTINFO_VALID_ERR;

	words[0] = control->exit_code;
	words[1] = control->exit_info_1;
	words[2] = control->exit_info_2;
	words[3] = event;
	words[4] = (event & valid) == valid ? control->exit_int_info_err : 0;
}

/**
 * svm_dump() - vendor_dump(): the VMCB, to the log
 * @vcpu:	the vCPU, loaded
 */
void svm_dump(struct vcpu *vcpu)
{
	const struct vmcb *vmcb = to_vmcb(vcpu);

	pr_info("VMCB of vcpu %d:\n", vcpu->id);
	print_hex_dump(KERN_INFO, "control ", DUMP_PREFIX_OFFSET, 16, 8,
		       &vmcb->control, 0x100, false);
	print_hex_dump(KERN_INFO, "save ", DUMP_PREFIX_OFFSET, 16, 8,
		       &vmcb->save, sizeof(vmcb->save), false);
}
