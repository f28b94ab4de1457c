/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The neutral exit: what a vendor tells the core of why the guest stopped.
 * A vendor translates and decides nothing; exits.c has one row for each
 * reason.
 */
#ifndef MINIKVM_X86_EXIT_H
#define MINIKVM_X86_EXIT_H

#include <linux/bits.h>
#include <linux/types.h>
#include <asm/trap_pf.h>

enum exit_reason {
	EXIT_NO_ROW,		/* 0: a hole in a vendor's table; no exit has it */
	EXIT_NONE,		/* an interrupt, an NMI or nothing: enter again */
	EXIT_CPUID,
	EXIT_MSR_READ,
	EXIT_MSR_WRITE,
	EXIT_IO,		/* exit.io */
	EXIT_HLT,
	EXIT_PAUSE,
	EXIT_HYPERCALL,
	EXIT_NPF,		/* second-level fault: exit.npf */
	EXIT_NPF_MISCONFIG,	/* an SPTE that marks MMIO: exit.npf.gpa */
	EXIT_CR_ACCESS,		/* exit.cr */
	EXIT_DR_ACCESS,		/* exit.dr */
	EXIT_EXCEPTION,		/* exit.exception */
	EXIT_IRQ_WINDOW,
	EXIT_NMI_WINDOW,
	EXIT_SHUTDOWN,		/* triple fault */
	EXIT_INIT,
	EXIT_INVD,
	EXIT_WBINVD,
	EXIT_INVLPG,
	EXIT_RDPMC,
	EXIT_MONITOR,
	EXIT_MWAIT,
	EXIT_XSETBV,
	EXIT_RSM,
	EXIT_UD_OPCODE,		/* an instruction this guest does not have: #UD */
	EXIT_TASK_SWITCH,	/* exit.task */
	EXIT_APIC_WRITE,	/* trap-like: exit.apic_offset was written */
	EXIT_EOI,		/* trap-like: virtualized EOI of exit.eoi_vector */
	EXIT_TPR_BELOW,		/* trap-like */
	EXIT_TIMER,		/* preemption timer */
	EXIT_PML_FULL,
	EXIT_BUS_LOCK,		/* trap-like: there is exit.bus_lock, and nothing else */
	EXIT_MCE,		/* the host's own: already delivered */
	EXIT_FAIL_ENTRY,	/* hardware refused to enter: exit.hw_reason */
	EXIT_UNKNOWN,		/* exit.hw_reason, exit.raw */
	EXIT_REASONS
};

/* Access bits of a second-level fault: a page fault's, where there is one. */
#define NPF_PRESENT	X86_PF_PROT	/* the entry was there; permission lacked */
#define NPF_WRITE	X86_PF_WRITE
#define NPF_RESERVED	X86_PF_RSVD	/* reserved bits: see EXIT_NPF_MISCONFIG */
#define NPF_EXEC	X86_PF_INSTR
#define NPF_BITS	(NPF_PRESENT | NPF_WRITE | NPF_RESERVED | NPF_EXEC)

struct exit {
	u16 reason;		/* enum exit_reason */
	u8 len;			/* of the instruction; 0: not known, decode it */
	bool bus_lock;		/* the guest has locked the bus before it, or in it */
	u32 hw_reason;		/* the vendor's own number, for reports */
	u64 traps;		/* of a trap-like exit: the instruction's own, as a payload of #DB */
	union {
		struct {
			u16 port;
			u8 size;
			bool in, string, rep;
		} io;
		struct {
			u64 gpa;
			u32 access;		/* NPF_* */
		} npf;
		struct {
			u8 cr;
			bool write, lmsw, clts;
			u8 smsw;		/* 0, or the bytes that SMSW stores */
			u8 gpr;
			u16 msw;
			bool decoded;		/* gpr and write are valid */
		} cr;
		struct {
			u8 dr;
			bool write;
			u8 gpr;
			bool decoded;
		} dr;
		struct {
			u8 vector;
			bool has_error_code;
			bool int1;		/* #DB of INT1, at which RIP still is */
			u32 error_code;
			u64 payload;		/* #PF: address; #DB: DR6, its ones at rest inverted */
		} exception;
		struct {
			u16 selector;
			u8 source;		/* enum task_switch_source */
			bool has_error_code;
			u32 error_code;
		} task;
		u32 apic_offset;
		u8 eoi_vector;
		u64 raw[2];
	};
	/* An event whose delivery this exit broke off. */
	struct {
		u8 type;		/* enum vectoring */
		u8 vector;
		bool has_error_code;
		u32 error_code;
	} vectoring;
};

/* Numbered as VMX does: SDM vol. 3, table 28-2. */
enum task_switch_source {
	TASK_SWITCH_CALL, TASK_SWITCH_IRET, TASK_SWITCH_JMP, TASK_SWITCH_GATE,
};

enum vectoring {
	VECTORING_NONE,
	VECTORING_IRQ,
	VECTORING_NMI,
	VECTORING_EXCEPTION,
	VECTORING_SOFT,		/* INT n, INT3, INTO: RIP is at it, it executes again */
};

#endif
