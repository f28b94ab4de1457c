// SPDX-License-Identifier: GPL-2.0
/*
 * From what the VMCS says of an exit to struct exit: a table of exit reasons
 * (SDM vol. 3, appendix C) and the few decoders that its rows need. Nothing is
 * decided here.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>
#include <uapi/asm/debugreg.h>
#include "x86/vmx/bus_lock.h"
#include "x86/vmx/vmx.h"

struct vmx_exit_row {
	u8 reason;				/* enum exit_reason */
	void (*decode)(struct vcpu *vcpu, struct exit *exit, unsigned long qual);
};

#define DECODE(name)							\
	static void name(struct vcpu *vcpu, struct exit *exit, unsigned long qual)

/* Table 27-5. */
DECODE(decode_io)
{
	exit->io.port = qual >> 16;
	exit->io.size = (qual & 7) + 1;
	exit->io.in = qual & BIT(3);
	exit->io.string = qual & BIT(4);
	exit->io.rep = qual & BIT(5);
}

/* Table 27-3. */
DECODE(decode_cr)
{
	unsigned int type = qual >> 4 & 3;

	exit->cr.cr = qual & 0xf;
	exit->cr.gpr = qual >> 8 & 0xf;
	exit->cr.write = type == 0;
	exit->cr.clts = type == 2;
	exit->cr.lmsw = type == 3;
	exit->cr.smsw = 0;
	exit->cr.msw = qual >> 16;
	exit->cr.decoded = true;
}

/* Table 27-4. */
DECODE(decode_dr)
{
	exit->dr.dr = qual & 7;
	exit->dr.write = !(qual & BIT(4));
	exit->dr.gpr = qual >> 8 & 0xf;
	exit->dr.decoded = true;
}

/*
 * An IRET that faulted has unblocked NMIs although it will execute again:
 * block them anew (27.2.3).
 */
static void reblock_nmi(struct vcpu *vcpu, bool unblocked)
{
	if (unblocked && vendor_caps.vnmi && !vcpu->arch.exit.vectoring.type)
		vmx_set_nmi_mask(vcpu, true);
}

/* Table 27-7. */
DECODE(decode_ept)
{
	exit->npf.gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	exit->npf.access = (qual & EPT_VIOLATION_RWX_MASK ? NPF_PRESENT : 0) |
			   (qual & EPT_VIOLATION_ACC_WRITE ? NPF_WRITE : 0) |
			   (qual & EPT_VIOLATION_ACC_INSTR ? NPF_EXEC : 0);
	exit->len = 0;
	reblock_nmi(vcpu, qual & INTR_INFO_UNBLOCK_NMI);
}

DECODE(decode_pml_full)
{
	reblock_nmi(vcpu, qual & INTR_INFO_UNBLOCK_NMI);
}

DECODE(decode_misconfig)
{
	exit->npf.gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	exit->npf.access = NPF_RESERVED;
	exit->len = 0;
}

/*
 * NMIs and machine checks have been to the host already. A #DB brings the new
 * bits of DR6 in the qualification, of which some rest at 1 in DR6 itself.
 */
DECODE(decode_exception)
{
	u32 info = to_vmx(vcpu)->intr_info, type = info & INTR_INFO_INTR_TYPE_MASK;

	if (type == INTR_TYPE_NMI_INTR) {
		exit->reason = EXIT_NONE;
		return;
	}
	exit->exception.vector = info & INTR_INFO_VECTOR_MASK;
	exit->exception.has_error_code = info & INTR_INFO_DELIVER_CODE_MASK;
	exit->exception.error_code = vmcs_read(VM_EXIT_INTR_ERROR_CODE);
	exit->exception.payload = qual;
	exit->exception.int1 = type == INTR_TYPE_PRIV_SW_EXCEPTION;
	if (exit->exception.vector == X86_TRAP_DB)
		vmx_pending_step(vcpu);
	if (exit->exception.vector == X86_TRAP_MC)
		exit->reason = EXIT_MCE;
	else if (exit->exception.vector != X86_TRAP_DF)
		reblock_nmi(vcpu, info & INTR_INFO_UNBLOCK_NMI);
	/* INT1, INT3 and INTO are their own length; a fault's is not an instruction's. */
	if (type != INTR_TYPE_SOFT_EXCEPTION && type != INTR_TYPE_PRIV_SW_EXCEPTION)
		exit->len = 0;
}

/* Table 27-2. */
DECODE(decode_task_switch)
{
	exit->task.selector = qual;
	exit->task.source = qual >> 30 & 3;
	exit->task.has_error_code = exit->vectoring.has_error_code;
	exit->task.error_code = exit->vectoring.error_code;
}

DECODE(decode_irq_window)
{
	vmx_set_proc(to_vmx(vcpu), CPU_BASED_INTR_WINDOW_EXITING, false);
}

DECODE(decode_nmi_window)
{
	vmx_set_proc(to_vmx(vcpu), CPU_BASED_NMI_WINDOW_EXITING, false);
}

/* That one of the breakpoints is enabled (24.4.2): no bit of DR6. */
#define PENDING_ENABLED	BIT_ULL(12)

/*
 * Behind these the instruction has executed, and what debug traps it had is pending in the VMCS
 * (25.2, 26.6.3). It is taken with the exit: what comes next may be an SMI's handler, an event,
 * or user space, which looks at the vCPU or moves it; that state is none of theirs. In a
 * shadow, which holds traps back, it stays.
 */
static void take_traps(struct vcpu *vcpu, struct exit *exit)
{
	u64 pending = vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS);

	exit->traps = 0;
	if (likely(!(pending & (PENDING_ENABLED | DR_STEP))) || vmx_get_shadow(vcpu))
		return;
	exit->traps = pending & ~PENDING_ENABLED;
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
}

DECODE(decode_trap)
{
	take_traps(vcpu, exit);
}

DECODE(decode_apic_write)
{
	take_traps(vcpu, exit);
	exit->apic_offset = qual & 0xfff;
}

DECODE(decode_eoi)
{
	take_traps(vcpu, exit);
	exit->eoi_vector = qual;
}

/* Named by no header of ours: SDM vol. 3, appendix C. */
#define EXIT_REASON_GETSEC		11
#define EXIT_REASON_RSM			17
#define EXIT_REASON_PCONFIG		65
#define EXIT_REASON_SPP			66
#define EXIT_REASON_LOADIWKEY		69
#define EXIT_REASON_ENCLV		70
#define EXIT_REASON_ENQCMD		72
#define EXIT_REASON_ENQCMDS		73
#define EXIT_REASON_IO_SMI		5
#define EXIT_REASON_OTHER_SMI		6
#define EXIT_REASON_SEAMCALL		76
#define EXIT_REASON_TDCALL		77
#define EXIT_REASON_RDMSRLIST		78
#define EXIT_REASON_WRMSRLIST		79

/*
 * Each basic reason has its row. Instructions whose control is never set are
 * #UD in a guest by themselves, but SEAMCALL and TDCALL exit without one, and
 * all of them end the same way; UNUSED are those that no guest can bring about
 * with our controls.
 */
#define ROW(code, reason, decode)	[EXIT_REASON_##code] = { reason, decode }
#define UNUSED(code)			[EXIT_REASON_##code] = { EXIT_UNKNOWN, NULL }
static const struct vmx_exit_row rows[] = {
	ROW(EXCEPTION_NMI,		EXIT_EXCEPTION,		decode_exception),
	ROW(EXTERNAL_INTERRUPT,		EXIT_NONE,		NULL),
	ROW(TRIPLE_FAULT,		EXIT_SHUTDOWN,		NULL),
	ROW(INIT_SIGNAL,		EXIT_INIT,		NULL),
	ROW(SIPI_SIGNAL,		EXIT_INIT,		NULL),
	ROW(INTERRUPT_WINDOW,		EXIT_IRQ_WINDOW,	decode_irq_window),
	ROW(NMI_WINDOW,			EXIT_NMI_WINDOW,	decode_nmi_window),
	ROW(TASK_SWITCH,		EXIT_TASK_SWITCH,	decode_task_switch),
	ROW(CPUID,			EXIT_CPUID,		NULL),
	ROW(HLT,			EXIT_HLT,		NULL),
	ROW(INVD,			EXIT_INVD,		NULL),
	ROW(INVLPG,			EXIT_INVLPG,		NULL),
	ROW(RDPMC,			EXIT_RDPMC,		NULL),
	ROW(VMCALL,			EXIT_HYPERCALL,		NULL),
	ROW(VMCLEAR,			EXIT_UD_OPCODE,		NULL),
	ROW(VMLAUNCH,			EXIT_UD_OPCODE,		NULL),
	ROW(VMPTRLD,			EXIT_UD_OPCODE,		NULL),
	ROW(VMPTRST,			EXIT_UD_OPCODE,		NULL),
	ROW(VMREAD,			EXIT_UD_OPCODE,		NULL),
	ROW(VMRESUME,			EXIT_UD_OPCODE,		NULL),
	ROW(VMWRITE,			EXIT_UD_OPCODE,		NULL),
	ROW(VMOFF,			EXIT_UD_OPCODE,		NULL),
	ROW(VMON,			EXIT_UD_OPCODE,		NULL),
	ROW(CR_ACCESS,			EXIT_CR_ACCESS,		decode_cr),
	ROW(DR_ACCESS,			EXIT_DR_ACCESS,		decode_dr),
	ROW(IO_INSTRUCTION,		EXIT_IO,		decode_io),
	ROW(MSR_READ,			EXIT_MSR_READ,		NULL),
	ROW(MSR_WRITE,			EXIT_MSR_WRITE,		NULL),
	ROW(MWAIT_INSTRUCTION,		EXIT_MWAIT,		NULL),
	ROW(MONITOR_TRAP_FLAG,		EXIT_NONE,		NULL),
	ROW(MONITOR_INSTRUCTION,	EXIT_MONITOR,		NULL),
	ROW(PAUSE_INSTRUCTION,		EXIT_PAUSE,		NULL),
	ROW(MCE_DURING_VMENTRY,		EXIT_MCE,		NULL),
	ROW(TPR_BELOW_THRESHOLD,	EXIT_TPR_BELOW,		decode_trap),
	ROW(EOI_INDUCED,		EXIT_EOI,		decode_eoi),
	ROW(EPT_VIOLATION,		EXIT_NPF,		decode_ept),
	ROW(EPT_MISCONFIG,		EXIT_NPF_MISCONFIG,	decode_misconfig),
	ROW(INVEPT,			EXIT_UD_OPCODE,		NULL),
	ROW(RDTSCP,			EXIT_UD_OPCODE,		NULL),
	ROW(PREEMPTION_TIMER,		EXIT_TIMER,		NULL),
	ROW(INVVPID,			EXIT_UD_OPCODE,		NULL),
	ROW(WBINVD,			EXIT_WBINVD,		NULL),
	ROW(XSETBV,			EXIT_XSETBV,		NULL),
	ROW(APIC_WRITE,			EXIT_APIC_WRITE,	decode_apic_write),
	ROW(RDRAND,			EXIT_UD_OPCODE,		NULL),
	ROW(INVPCID,			EXIT_UD_OPCODE,		NULL),
	ROW(VMFUNC,			EXIT_UD_OPCODE,		NULL),
	ROW(ENCLS,			EXIT_UD_OPCODE,		NULL),
	ROW(RDSEED,			EXIT_UD_OPCODE,		NULL),
	ROW(PML_FULL,			EXIT_PML_FULL,		decode_pml_full),
	ROW(XSAVES,			EXIT_UD_OPCODE,		NULL),
	ROW(XRSTORS,			EXIT_UD_OPCODE,		NULL),
	ROW(UMWAIT,			EXIT_UD_OPCODE,		NULL),
	ROW(TPAUSE,			EXIT_UD_OPCODE,		NULL),
	ROW(PCONFIG,			EXIT_UD_OPCODE,		NULL),
	ROW(LOADIWKEY,			EXIT_UD_OPCODE,		NULL),
	ROW(ENCLV,			EXIT_UD_OPCODE,		NULL),
	ROW(ENQCMD,			EXIT_UD_OPCODE,		NULL),
	ROW(ENQCMDS,			EXIT_UD_OPCODE,		NULL),
	ROW(BUS_LOCK,			EXIT_BUS_LOCK,		decode_trap),
	ROW(SEAMCALL,			EXIT_UD_OPCODE,		NULL),
	ROW(TDCALL,			EXIT_UD_OPCODE,		NULL),
	ROW(RDMSRLIST,			EXIT_UD_OPCODE,		NULL),
	ROW(WRMSRLIST,			EXIT_UD_OPCODE,		NULL),
	ROW(GETSEC,			EXIT_UD_OPCODE,		NULL),
	ROW(RSM,			EXIT_UD_OPCODE,		NULL),
	UNUSED(RDTSC),
	UNUSED(APIC_ACCESS),
	UNUSED(NOTIFY),
	UNUSED(IO_SMI),
	UNUSED(OTHER_SMI),
	UNUSED(INVALID_STATE),		/* these two come with the failed-entry flag */
	UNUSED(MSR_LOAD_FAIL),
	UNUSED(GDTR_IDTR),
	UNUSED(LDTR_TR),
	UNUSED(SPP),
};

static const u8 vectoring_types[8] = {
	[INTR_TYPE_EXT_INTR >> 8]		= VECTORING_IRQ,
	[INTR_TYPE_NMI_INTR >> 8]		= VECTORING_NMI,
	[INTR_TYPE_HARD_EXCEPTION >> 8]		= VECTORING_EXCEPTION,
	[INTR_TYPE_SOFT_INTR >> 8]		= VECTORING_SOFT,
	[INTR_TYPE_PRIV_SW_EXCEPTION >> 8]	= VECTORING_SOFT,
	[INTR_TYPE_SOFT_EXCEPTION >> 8]		= VECTORING_SOFT,
};

/* IDT-vectoring information (27.2.4) and what an entry is to inject (24.8.3) look the same. */
static void decode_event(struct exit *exit, u32 info, unsigned long error_code_field)
{
	exit->vectoring.type = VECTORING_NONE;
	if (likely(!(info & VECTORING_INFO_VALID_MASK)))
		return;
	exit->vectoring.type = vectoring_types[(info & VECTORING_INFO_TYPE_MASK) >> 8];
	exit->vectoring.vector = info & VECTORING_INFO_VECTOR_MASK;
	exit->vectoring.has_error_code = info & VECTORING_INFO_DELIVER_CODE_MASK;
	if (exit->vectoring.has_error_code)
		exit->vectoring.error_code = vmcs_read(error_code_field);
}

static void decode_vectoring(struct exit *exit)
{
	decode_event(exit, vmcs_read(IDT_VECTORING_INFO_FIELD), IDT_VECTORING_ERROR_CODE);
}

/*
 * The event waits, as after an exit in its delivery; or, if it was what the CPU could not
 * take, until user space takes it back. The VMCS is not to bring it by itself.
 */
static void failed_entry(struct vmx_vcpu *vmx, struct exit *exit)
{
	exit->reason = EXIT_FAIL_ENTRY;
	decode_event(exit, vmcs_read(VM_ENTRY_INTR_INFO_FIELD), VM_ENTRY_EXCEPTION_ERROR_CODE);
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	/* Refused outright: the instruction's error; else the exit reason. */
	if ((u16)vmx->exit_reason == 0xffff)
		exit->hw_reason = vmcs_read(VM_INSTRUCTION_ERROR);
}

/**
 * vmx_exit_info() - vendor_exit_info(): the VMCS becomes struct exit
 * @vcpu:	the vCPU, loaded
 *
 * Context: interrupts on, after each exit.
 */
void vmx_exit_info(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct exit *exit = &vcpu->arch.exit;
	u16 code = vmx->exit_reason;

	exit->hw_reason = vmx->exit_reason;
	exit->bus_lock = exit_has_bus_lock(vmx->exit_reason);
	if (unlikely(vmx->exit_reason & VMX_EXIT_REASONS_FAILED_VMENTRY)) {
		failed_entry(vmx, exit);
		return;
	}
	decode_vectoring(exit);
	if (unlikely(!vendor_caps.vnmi))
		vmx_nmi_progress(vcpu);
	if (unlikely(code >= ARRAY_SIZE(rows) || rows[code].reason == EXIT_NO_ROW ||
		     rows[code].reason == EXIT_UNKNOWN)) {
		exit->reason = EXIT_UNKNOWN;
		exit->raw[0] = vmcs_read(EXIT_QUALIFICATION);
		exit->raw[1] = vmcs_read(VM_EXIT_INTR_INFO);
		return;
	}
	exit->reason = rows[code].reason;
	/* Meaningless, and unused, where no instruction has exited: 27.2.5. */
	exit->len = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
	if (rows[code].decode)
		rows[code].decode(vcpu, exit, vmcs_read(EXIT_QUALIFICATION));
}

/**
 * vmx_exit_words() - vendor_exit_words()
 * @vcpu:	the vCPU, loaded
 * @words:	EXIT_WORDS of them
 */
void vmx_exit_words(struct vcpu *vcpu, u64 *words)
{
	const u32 with_code = INTR_INFO_VALID_MASK | INTR_INFO_DELIVER_CODE_MASK;
	u32 event = vmcs_read(VM_EXIT_INTR_INFO);

	words[0] = to_vmx(vcpu)->exit_reason;
	words[1] = vmcs_read(EXIT_QUALIFICATION);
	words[2] = vmcs_read(IDT_VECTORING_INFO_FIELD);
	words[3] = event;
	words[4] = (event & with_code) == with_code ? vmcs_read(VM_EXIT_INTR_ERROR_CODE) : 0;
}

static const struct { const char *name; u32 field; } dumped[] = {
	{ "CR0", GUEST_CR0 }, { "CR3", GUEST_CR3 }, { "CR4", GUEST_CR4 },
	{ "EFER", GUEST_IA32_EFER }, { "RIP", GUEST_RIP }, { "RSP", GUEST_RSP },
	{ "RFLAGS", GUEST_RFLAGS }, { "DR7", GUEST_DR7 },
	{ "CS", GUEST_CS_SELECTOR }, { "CS rights", GUEST_CS_AR_BYTES },
	{ "CS base", GUEST_CS_BASE }, { "CS limit", GUEST_CS_LIMIT },
	{ "SS", GUEST_SS_SELECTOR }, { "SS rights", GUEST_SS_AR_BYTES },
	{ "SS base", GUEST_SS_BASE }, { "SS limit", GUEST_SS_LIMIT },
	{ "DS rights", GUEST_DS_AR_BYTES }, { "DS limit", GUEST_DS_LIMIT },
	{ "ES rights", GUEST_ES_AR_BYTES }, { "ES limit", GUEST_ES_LIMIT },
	{ "FS rights", GUEST_FS_AR_BYTES }, { "FS limit", GUEST_FS_LIMIT },
	{ "GS rights", GUEST_GS_AR_BYTES }, { "GS limit", GUEST_GS_LIMIT },
	{ "TR rights", GUEST_TR_AR_BYTES }, { "TR limit", GUEST_TR_LIMIT },
	{ "LDTR rights", GUEST_LDTR_AR_BYTES }, { "LDTR limit", GUEST_LDTR_LIMIT },
	{ "interruptibility", GUEST_INTERRUPTIBILITY_INFO },
	{ "activity", GUEST_ACTIVITY_STATE },
	{ "pin", PIN_BASED_VM_EXEC_CONTROL }, { "proc", CPU_BASED_VM_EXEC_CONTROL },
	{ "proc2", SECONDARY_VM_EXEC_CONTROL }, { "entry", VM_ENTRY_CONTROLS },
	{ "exit", VM_EXIT_CONTROLS }, { "entry event", VM_ENTRY_INTR_INFO_FIELD },
	{ "interrupt status", GUEST_INTR_STATUS },
	{ "exit reason", VM_EXIT_REASON }, { "qualification", EXIT_QUALIFICATION },
	{ "instruction error", VM_INSTRUCTION_ERROR },
};

/**
 * vmx_dump() - vendor_dump(): the VMCS, to the log
 * @vcpu:	the vCPU, loaded
 */
void vmx_dump(struct vcpu *vcpu)
{
	unsigned int i;

	pr_info("VMCS of vcpu %d:\n", vcpu->id);
	for (i = 0; i < ARRAY_SIZE(dumped); i++)
		pr_info("  %-18s %#lx\n", dumped[i].name, vmcs_read(dumped[i].field));
}
