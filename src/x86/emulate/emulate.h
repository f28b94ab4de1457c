/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The instruction decoder and emulator, as its users see it: what to fill in, what to call, what
 * comes back. Nothing here knows about VMs, vCPUs or hardware; all of the guest is reached through
 * struct emul_ops, so that the same code runs in the module and in the user-space tests.
 *
 * How an instruction is emulated:
 *
 *	e->mode = ...; e->gpr = ...; e->rip = ...; e->rflags = ...;
 *	rc = emul_decode(e);
 *	if (rc == EMUL_OK)
 *		rc = emul_execute(e);
 *
 * Restart rule: registers, rip and rflags change only when emul_execute() returns EMUL_OK or
 * EMUL_AGAIN, never otherwise. After EMUL_SUSPEND the caller lets user space answer the access,
 * and then runs the very same instruction again from the start; it repeats the same accesses in
 * the same order, and those answered before are served from a log (see replay.h).
 */
#ifndef MINIKVM_X86_EMULATE_EMULATE_H
#define MINIKVM_X86_EMULATE_EMULATE_H

#include "x86/emulate/types.h"

struct emul;
struct emul_opcode;

/** enum emul_result - what became of an instruction, and what every op returns */
enum emul_result {
	/** @EMUL_OK: done; for emul_execute(): rip is behind the instruction */
	EMUL_OK = 0,
	/**
	 * @EMUL_AGAIN: run emul_execute() again, rip is still at the instruction. One iteration
	 * of a REP string is committed (emul.repeat): the caller forgets its replay log, looks
	 * for interrupts, and comes back. Or a race was lost, by a locked access or by an op, and
	 * nothing changed: the log stays, so that no device is asked twice.
	 */
	EMUL_AGAIN,
	/** @EMUL_FAULT: nothing changed; inject the exception in emul.fault */
	EMUL_FAULT,
	/** @EMUL_SUSPEND: nothing changed; user space must answer an access first */
	EMUL_SUSPEND,
	/** @EMUL_UNHANDLED: not known here; nothing changed */
	EMUL_UNHANDLED,
	/** @EMUL_TRUNCATED: emul_decode_bytes() only: the instruction goes on behind the bytes */
	EMUL_TRUNCATED,
	/** @EMUL_INVALID: emul_decode_bytes() only: the CPU raises #UD */
	EMUL_INVALID,
	/** @EMUL_TOO_LONG: emul_decode_bytes() only: more than 15 bytes, the CPU raises #GP */
	EMUL_TOO_LONG,
};

/** enum emul_mode - how the CPU reads instructions: CR0.PE, EFLAGS.VM, EFER.LMA, CS.L and CS.D */
enum emul_mode {
	EMUL_REAL,		/* CR0.PE = 0 */
	EMUL_VM86,		/* EFLAGS.VM = 1 */
	EMUL_PROT16,		/* protected or compatibility mode, CS.D = 0 */
	EMUL_PROT32,		/* protected or compatibility mode, CS.D = 1 */
	EMUL_LONG64,		/* EFER.LMA = 1 and CS.L = 1 */
};

/** enum emul_seg - segment registers, in the order of the instruction encoding */
enum emul_seg {
	EMUL_SEG_ES,
	EMUL_SEG_CS,
	EMUL_SEG_SS,
	EMUL_SEG_DS,
	EMUL_SEG_FS,
	EMUL_SEG_GS,
	EMUL_SEG_TR,		/* for the I/O permission bitmap */
	EMUL_SEG_LDTR,		/* for loading the others */
	EMUL_SEG_NONE,
};

/** enum emul_gpr - general registers, in the order of the instruction encoding */
enum emul_gpr {
	EMUL_RAX,
	EMUL_RCX,
	EMUL_RDX,
	EMUL_RBX,
	EMUL_RSP,
	EMUL_RBP,
	EMUL_RSI,
	EMUL_RDI,
};

/** enum emul_sysreg - system state that few instructions ask for */
enum emul_sysreg {
	EMUL_CPL,
	EMUL_CR0,
	EMUL_CR4,
	EMUL_XCR0,
	EMUL_EFER,
	EMUL_GDT_BASE,
	EMUL_GDT_LIMIT,
};

/** enum emul_access - whose rights an access to memory has */
enum emul_access {
	EMUL_DATA,		/* those of the current CPL */
	EMUL_SYSTEM,		/* a supervisor's: TSS, descriptors, whatever the CPL is */
};

/* Bytes of an instruction, at most (SDM Vol. 2, 2.3.11). */
#define EMUL_INSN_MAX	15
/* Bytes that one INS or OUTS op moves, at most. */
#define EMUL_IO_MAX	1024
/* Bytes of one memory access that is not string I/O, at most. */
#define EMUL_DATA_MAX	32

/*
 * Every instruction that the table knows, by its mnemonic. The core compares insn.id with these;
 * the tests take the names to compare them with another disassembler's.
 */
#define EMUL_MNEMONICS(X)							\
	X(NONE)									\
	/* arithmetic and logic */						\
	X(ADD) X(OR) X(ADC) X(SBB) X(AND) X(SUB) X(XOR) X(CMP) X(TEST)		\
	X(NOT) X(NEG) X(INC) X(DEC) X(MUL) X(IMUL) X(DIV) X(IDIV)		\
	X(ROL) X(ROR) X(RCL) X(RCR) X(SHL) X(SHR) X(SAR) X(SHLD) X(SHRD)	\
	X(BT) X(BTS) X(BTR) X(BTC) X(BSF) X(BSR) X(BSWAP)			\
	X(XCHG) X(XADD) X(CMPXCHG) X(CMPXCHG8B) X(CMPXCHG16B)			\
	X(AAA) X(AAS) X(AAD) X(AAM) X(DAA) X(DAS)				\
	X(CBW) X(CWDE) X(CDQE) X(CWD) X(CDQ) X(CQO)				\
	/* moves */								\
	X(MOV) X(MOVZX) X(MOVSX) X(MOVSXD) X(MOVBE) X(MOVNTI) X(MOVDIRI) X(LEA) X(XLAT)	\
	X(CMOVCC) X(SETCC) X(LAHF) X(SAHF) X(SALC)				\
	X(PUSH) X(POP) X(PUSHA) X(POPA) X(PUSHF) X(POPF) X(ENTER) X(LEAVE)	\
	X(LDS) X(LES) X(LSS) X(LFS) X(LGS)					\
	/* control flow */							\
	X(CALL) X(JMP) X(JCC) X(LOOP) X(LOOPE) X(LOOPNE) X(JCXZ)		\
	X(RET) X(RETF) X(IRET) X(BOUND)						\
	X(INT3) X(INT) X(INTO) X(INT1) X(UD0) X(UD1) X(UD2)			\
	X(NOP) X(PAUSE) X(PREFETCH) X(CLFLUSH) X(CLFLUSHOPT) X(CLWB)		\
	X(LFENCE) X(MFENCE) X(SFENCE) X(CLC) X(STC) X(CMC) X(CLD) X(STD)	\
	/* strings and ports */							\
	X(MOVS) X(STOS) X(LODS) X(CMPS) X(SCAS) X(INS) X(OUTS) X(IN) X(OUT)	\
	/* system */								\
	X(HLT) X(CLI) X(STI) X(CLTS) X(CPUID) X(RDMSR) X(WRMSR) X(RDTSC)	\
	X(RDTSCP) X(RDPMC) X(INVD) X(WBINVD) X(INVLPG) X(INVPCID) X(XGETBV)	\
	X(XSETBV) X(MONITOR) X(MWAIT) X(MONITORX) X(MWAITX) X(RSM) X(SWAPGS)	\
	X(LGDT) X(LIDT) X(LLDT) X(LTR) X(SGDT) X(SIDT) X(SLDT) X(STR)		\
	X(LMSW) X(SMSW) X(VERR) X(VERW) X(LAR) X(LSL) X(ARPL) X(CLAC) X(STAC)	\
	X(SYSCALL) X(SYSRET) X(SYSENTER) X(SYSEXIT) X(RDRAND) X(RDSEED)		\
	X(RDPID) X(WBNOINVD) X(ENCLU) X(CLZERO) X(RDPRU)			\
	X(VMCALL) X(VMMCALL) X(VMLAUNCH) X(VMRESUME) X(VMXOFF) X(VMFUNC)	\
	X(VMPTRLD) X(VMPTRST) X(VMCLEAR) X(VMXON) X(VMREAD) X(VMWRITE)		\
	X(INVEPT) X(INVVPID)							\
	X(VMRUN) X(VMLOAD) X(VMSAVE) X(STGI) X(CLGI) X(SKINIT) X(INVLPGA)	\
	X(XSAVE) X(XSAVEOPT) X(XSAVEC) X(XSAVES) X(XRSTOR) X(XRSTORS)		\
	X(FXSAVE) X(FXRSTOR) X(LDMXCSR) X(STMXCSR) X(FWAIT)			\
	/* SSE and AVX moves */							\
	X(MOVUPS) X(MOVUPD) X(MOVSS) X(MOVSD) X(MOVAPS) X(MOVAPD)		\
	X(MOVLPS) X(MOVLPD) X(MOVHPS) X(MOVHPD) X(MOVHLPS) X(MOVLHPS)		\
	X(MOVNTPS) X(MOVNTPD) X(MOVD) X(MOVQ) X(MOVDQA) X(MOVDQU)		\
	X(MOVNTDQ) X(MOVNTDQA) X(MOVNTQ) X(LDDQU)	\
	X(MOVSLDUP) X(MOVSHDUP) X(MOVDDUP)

#define EMUL_MNEMONIC_ENUM(name) EMUL_OP_##name,
/** enum emul_mnemonic - EMUL_OP_MOV and so on, out of EMUL_MNEMONICS */
enum emul_mnemonic {
	EMUL_MNEMONICS(EMUL_MNEMONIC_ENUM)
	EMUL_OP_COUNT
};

#define EMUL_REG_NONE	0xff	/* no base, no index */
#define EMUL_REG_RIP	0xfe	/* base is the address of the next instruction */

/**
 * struct emul_insn - one decoded instruction; depends on the bytes and the mode alone
 * @row: the table's row, never NULL after a good decode
 * @imm: immediate, extended to 64 bits as the instruction wants; for MOV moffs the offset; for
 *	jumps the displacement
 * @disp: displacement of the memory operand, sign-extended
 * @imm2: second immediate: nesting level of ENTER, selector of a far pointer
 * @id: enum emul_mnemonic
 * @map: 0: one-byte, 1: 0F, 2: 0F 38, 3: 0F 3A
 * @opcode: opcode byte within @map
 * @len: length in bytes
 * @mode: enum emul_mode
 * @seg: segment of the memory operand, with overrides, enum emul_seg
 * @opsize: operand size in bytes: 2, 4 or 8 (byte forms: see the row)
 * @adsize: address size in bytes: 2, 4 or 8
 * @rep: 0, 0xf2 or 0xf3: the last of the REP prefixes
 * @lock: LOCK prefix present
 * @opsize66: 66 prefix present
 * @rex: REX prefix with its 4x, or 0
 * @vex: 0, or the vector length of a VEX instruction: 16 or 32
 * @vvvv: register number in VEX.vvvv
 * @has_modrm: @modrm is there
 * @modrm: the byte as it is
 * @reg: ModRM.reg with REX.R
 * @rm: register operand in ModRM.rm with REX.B, if modrm >= 0xc0
 * @base: base register of the memory operand, EMUL_REG_RIP or EMUL_REG_NONE
 * @index: index register or EMUL_REG_NONE
 * @scale: shift applied to the index: 0 to 3
 * @bytes: of emul_decode() only: the instruction, @len bytes of it, and what was fetched with it
 */
struct emul_insn {
	const struct emul_opcode *row;
	u64 imm;
	s32 disp;
	u16 imm2;
	u8 id;
	u8 map;
	u8 opcode;
	u8 len;
	u8 mode;
	u8 seg;
	u8 opsize;
	u8 adsize;
	u8 rep;
	bool lock;
	bool opsize66;
	u8 rex;
	u8 vex;
	u8 vvvv;
	bool has_modrm;
	u8 modrm;
	u8 reg;
	u8 rm;
	u8 base;
	u8 index;
	u8 scale;
	u8 bytes[EMUL_INSN_MAX];
};

/** struct emul_fault - the exception that EMUL_FAULT is about */
struct emul_fault {
	u8 vector;
	bool has_error_code;
	u32 error_code;
	u64 cr2;		/* of #PF only */
};

/**
 * struct emul_ops - the way to the guest
 *
 * Addresses are linear. They wrap nowhere: the emulator has split what wraps, and has checked what
 * segmentation checks. Lengths are 1 to EMUL_DATA_MAX for data and to EMUL_IO_MAX for string I/O,
 * and may cross one page boundary. Every op that returns an int returns EMUL_OK, EMUL_FAULT with
 * emul.fault filled in (#PF), EMUL_SUSPEND, EMUL_UNHANDLED, or EMUL_AGAIN if the guest's page
 * tables change too fast, and, unless it is EMUL_OK, has changed nothing that a restart would
 * notice.
 */
struct emul_ops {
	/** @fetch: read @len bytes of code at @la */
	int (*fetch)(struct emul *e, u64 la, void *buf, unsigned int len);
	/** @read: read memory */
	int (*read)(struct emul *e, u64 la, void *buf, unsigned int len, enum emul_access as);
	/**
	 * @write: write memory; on a page crossing, no page is written unless both may be, and a
	 * device before memory
	 */
	int (*write)(struct emul *e, u64 la, const void *buf, unsigned int len,
		     enum emul_access as);
	/**
	 * @compare_swap: replace @old by @new at once, @len is 1, 2, 4, 8 or 16. EMUL_AGAIN: there was
	 * something else. Where no slot is, a write of @new will do.
	 */
	int (*compare_swap)(struct emul *e, u64 la, const void *old, const void *new,
			    unsigned int len, enum emul_access as);
	/**
	 * @probe: EMUL_OK: an access would be to plain memory; EMUL_SUSPEND: it would need user
	 * space or a device; anything else: what it would return. Has no effect either way.
	 */
	int (*probe)(struct emul *e, u64 la, unsigned int len, bool write, enum emul_access as);
	/** @segment: fill in a segment register, hidden part and all; limit in bytes */
	void (*segment)(struct emul *e, enum emul_seg seg, struct kvm_segment *out);
	/**
	 * @set_segment: load a segment register, hidden part and all; the last thing that an
	 * instruction does. May be NULL: EMUL_UNHANDLED.
	 */
	void (*set_segment)(struct emul *e, enum emul_seg seg, const struct kvm_segment *s);
	/**
	 * @lmsw: load the low bits of CR0 as LMSW does, or #GP; the last thing that it does.
	 * May be NULL: EMUL_UNHANDLED.
	 */
	int (*lmsw)(struct emul *e, u16 msw);
	/**
	 * @task_registers: what a new task finds beside its TSS and segments: CR0.TS set, DR7's
	 * local breakpoints off, and, if @cr3 is not NULL and there is paging, that CR3, or #GP.
	 * May be NULL: EMUL_UNHANDLED.
	 */
	int (*task_registers)(struct emul *e, const u64 *cr3);
	/** @sysreg: value of a system register */
	u64 (*sysreg)(struct emul *e, enum emul_sysreg reg);
	/**
	 * @pio_in: read *@count times @size (1, 2 or 4) bytes from @port to @buf. May do fewer,
	 * but not none, and says so in *@count. May be NULL: EMUL_UNHANDLED.
	 */
	int (*pio_in)(struct emul *e, u16 port, unsigned int size, void *buf, u32 *count);
	/** @pio_out: as @pio_in, for writes */
	int (*pio_out)(struct emul *e, u16 port, unsigned int size, const void *buf, u32 *count);
	/**
	 * @read_vec: copy the low @len (16 or 32) bytes of vector register @reg (0 to 15). NULL:
	 * no vector instruction is handled.
	 */
	void (*read_vec)(struct emul *e, unsigned int reg, void *buf, unsigned int len);
	/** @write_vec: 16 bytes: leave the bits above as they are; 32 bytes: zero those above */
	void (*write_vec)(struct emul *e, unsigned int reg, const void *buf, unsigned int len);
	/**
	 * @check_mmx: EMUL_FAULT with #MF if an x87 exception is pending, as every MMX
	 * instruction finds out. May be NULL: no MMX instruction is handled.
	 */
	int (*check_mmx)(struct emul *e);
	/** @read_mmx: copy the 8 bytes of MMX register @reg */
	void (*read_mmx)(struct emul *e, unsigned int reg, void *buf);
	/** @write_mmx: write an MMX register, with the side effects on the x87 state */
	void (*write_mmx)(struct emul *e, unsigned int reg, const void *buf);
};

/** struct emul_operand - an operand while an instruction is executed (private) */
struct emul_operand {
	u8 kind;
	u8 size;
	u8 reg;
	u64 la;
	u64 val;
};

/**
 * struct emul - everything about the instruction being emulated
 * @ops: way to the guest
 * @gpr: the vCPU's 16 registers, in encoding order: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8-r15
 * @rip: instruction pointer, without the CS base
 * @rflags: flags
 * @mode: see there
 * @single_step: result, valid with EMUL_OK and EMUL_AGAIN: an instruction (or an iteration of a
 *	string) completed with RFLAGS.TF set: raise #DB with DR6.BS
 * @mov_ss: result, valid with EMUL_OK: SS was loaded by MOV or POP: begin an interrupt shadow
 * @repeat: result, valid with EMUL_AGAIN: an iteration was committed; else nothing changed
 * @switched: result of emul_task_switch(): registers are the new task's, with EMUL_FAULT as well
 * @task_trap: result of emul_task_switch(), valid with EMUL_OK: raise #DB with DR6.BT
 * @fault: result, valid with EMUL_FAULT
 * @fetched: result of emul_decode(), whatever it returns: how many of @insn's bytes were read
 * @insn: result of emul_decode()
 *
 * With EMUL_OK the caller also ends the interrupt shadow that there was, unless @mov_ss is set.
 *
 * The rest is private. The struct is about 1.3 KiB, lives with the vCPU and needs no initial value
 * but the first five members.
 */
struct emul {
	const struct emul_ops *ops;
	u64 *gpr;
	u64 rip;
	u64 rflags;
	enum emul_mode mode;

	bool single_step;
	bool mov_ss;
	bool repeat;
	bool switched;
	bool task_trap;
	struct emul_fault fault;
	u8 fetched;
	struct emul_insn insn;

	/* private: what the instruction has done so far; copied to the above when it is complete */
	u64 new_gpr[16];
	u64 new_rip;
	u64 new_rflags;
	u8 bad_selector;	/* what a selector that may not be loaded raises: #GP, or #TS */
	struct emul_operand op[3];
	u8 io[EMUL_IO_MAX];
};

/**
 * emul_decode_bytes() - decode an instruction
 * @insn: result
 * @mode: mode that it is for
 * @bytes: code
 * @n: number of bytes there, 15 are always enough
 *
 * Context: any; touches nothing but its arguments and looks at no byte behind the instruction.
 *
 * Return: EMUL_OK, EMUL_TRUNCATED if @n is too small, EMUL_INVALID, EMUL_TOO_LONG,
 * EMUL_UNHANDLED.
 */
int emul_decode_bytes(struct emul_insn *insn, enum emul_mode mode, const u8 *bytes,
		      unsigned int n);

/**
 * emul_length() - length of an instruction
 * @bytes: code
 * @n: number of bytes there, 15 are always enough
 * @mode: mode that it is for
 *
 * Context: any.
 *
 * Return: length, 1 to 15, or the negative of emul_decode_bytes()'s result.
 */
int emul_length(const u8 *bytes, unsigned int n, enum emul_mode mode);

/**
 * emul_decode() - fetch and decode the instruction at rip
 * @e: context; ops, rip, rflags and mode are filled in
 *
 * Context: that of the fetch op.
 *
 * Return: EMUL_OK with e->insn filled in, EMUL_FAULT, EMUL_UNHANDLED; EMUL_SUSPEND or
 * EMUL_AGAIN if fetch said so.
 */
int emul_decode(struct emul *e);

/**
 * emul_execute() - execute the instruction that emul_decode() found
 * @e: context
 *
 * Context: that of the ops.
 *
 * Return: EMUL_OK, EMUL_AGAIN, EMUL_FAULT, EMUL_SUSPEND, EMUL_UNHANDLED; see there.
 */
int emul_execute(struct emul *e);

/**
 * emul_is_store() - is one write of @len bytes all that the instruction does?
 * @e: context; emul_execute() returned EMUL_SUSPEND for a write
 * @len: bytes
 *
 * Once the write is done, nothing is left but to go on behind the instruction.
 */
bool emul_is_store(const struct emul *e, unsigned int len);

/**
 * struct emul_task - a switch of tasks
 * @selector: of the new task's TSS
 * @nests: by CALL, interrupt or exception: the new task can return to the old one by IRET
 * @returns: by IRET with NT set; with neither, it is a JMP
 * @external: for an event that no instruction asked for: error codes have EXT set
 * @has_error_code: @error_code goes on the new task's stack
 * @error_code: of the exception
 */
struct emul_task {
	u16 selector;
	bool nests;
	bool returns;
	bool external;
	bool has_error_code;
	u32 error_code;
};

/**
 * emul_task_switch() - switch tasks as protected mode does
 * @e: context; ops, gpr, rip, rflags and mode are filled in; rip is where the old task goes on
 * @t: the switch; what hardware checked of a gate, and of privilege, is not checked again
 *
 * With e->switched, registers are the new task's, and an EMUL_FAULT is the new task's to take;
 * without, nothing has changed. EMUL_UNHANDLED after that point too: the guest cannot go on.
 *
 * Context: that of the ops; outside of IA-32e mode only.
 *
 * Return: EMUL_OK, EMUL_FAULT, EMUL_AGAIN (nothing changed), EMUL_UNHANDLED.
 */
int emul_task_switch(struct emul *e, const struct emul_task *t);

#endif
