/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private to this folder: what a row of the opcode table is, the forms of its operands, and the
 * helpers that the handlers share. The table itself is opcodes.c.
 */
#ifndef MINIKVM_X86_EMULATE_OPCODE_H
#define MINIKVM_X86_EMULATE_OPCODE_H

#include "x86/emulate/emulate.h"

/*
 * Forms of an operand, named as in SDM Vol. 2, appendix A: where it is, and how wide.
 * b, w, d, q, dq: 1, 2, 4, 8, 16 bytes; v: operand size; z: operand size but at most 4;
 * y: 8 with REX.W, else 4; x: vector length.
 */
enum emul_form {
	FORM_NONE,
	/* general register or memory, from ModRM.rm */
	FORM_Eb, FORM_Ew, FORM_Ed, FORM_Ey, FORM_Ev,
	/* 16 bits of memory, or a register of operand size (at most 4) */
	FORM_EwRv, FORM_EwRz,
	/* memory only: no data of its own, or of the width given; p: far pointer */
	FORM_M, FORM_Mb, FORM_Mw, FORM_Md, FORM_Mq, FORM_Mdq, FORM_My, FORM_Mv, FORM_Mp, FORM_Mx,
	/* register only */
	FORM_Rv, FORM_Ry,
	/* vector or MMX register, or memory */
	FORM_Wx, FORM_Wddup, FORM_Wdq, FORM_Wq, FORM_Wd, FORM_Qq,
	/* register in ModRM.reg */
	FORM_Gb, FORM_Gw, FORM_Gv, FORM_Gy, FORM_Sw, FORM_Cy, FORM_Dy,
	FORM_Vx, FORM_Vdq, FORM_Vq, FORM_Vd, FORM_Pq,
	FORM_MODRM_LAST = FORM_Pq,
	/* register in VEX.vvvv */
	FORM_Hdq,
	/* register in the opcode, or implied */
	FORM_Zb, FORM_Zv, FORM_AL, FORM_rAX, FORM_CL, FORM_DX,
	FORM_ES, FORM_CS, FORM_SS, FORM_DS, FORM_FS, FORM_GS,
	/* immediate: s: sign-extended to the operand size; One: the number 1 */
	FORM_Ib, FORM_Isb, FORM_Iw, FORM_Iz, FORM_Iv, FORM_One,
	/* displacement of a jump, far pointer, address without ModRM */
	FORM_Jb, FORM_Jz, FORM_Ap, FORM_Ob, FORM_Ov,
	/* string operands at DS:rSI and ES:rDI */
	FORM_Xb, FORM_Xv, FORM_Xz, FORM_Yb, FORM_Yv, FORM_Yz,
	FORM_COUNT
};

/* Where an operand of some form is. */
enum emul_place {
	PLACE_NONE,
	PLACE_RM,		/* general register or memory */
	PLACE_MEMORY,
	PLACE_RM_REG,		/* general register in ModRM.rm */
	PLACE_VEC_RM,		/* vector register or memory */
	PLACE_MMX_RM,		/* MMX register or memory */
	PLACE_REG,		/* register in ModRM.reg: general, vector, MMX, ... */
	PLACE_VEC_REG,
	PLACE_MMX_REG,
	PLACE_SEG_REG,
	PLACE_CR_REG,
	PLACE_DR_REG,
	PLACE_VEC_VVVV,		/* vector register in VEX.vvvv */
	PLACE_OPCODE,		/* general register in the opcode */
	PLACE_RAX,
	PLACE_RCX,
	PLACE_RDX,
	PLACE_SEG,		/* segment register in the opcode */
	PLACE_IMM,
	PLACE_JUMP,
	PLACE_FAR,
	PLACE_OFFSET,		/* memory, the address follows the opcode */
	PLACE_SRC,		/* memory at rSI */
	PLACE_DST,		/* memory at ES:rDI */
};

/* How wide: a number of bytes, or one of these. */
enum emul_width {
	WIDTH_V = 0x80,		/* operand size */
	WIDTH_Y,		/* 8 with REX.W, else 4 */
	WIDTH_Z,		/* operand size, at most 4 */
	WIDTH_X,		/* vector length */
	WIDTH_DDUP,		/* 32 if the vector length is, else 8 */
	WIDTH_P,		/* far pointer: operand size and 2 */
	WIDTH_WV,		/* memory: 2; register: operand size */
	WIDTH_WZ,		/* memory: 2; register: operand size, at most 4 */
};

/** struct emul_form_info - a form of operand, taken apart */
struct emul_form_info {
	u8 place;
	u8 width;
};

extern const struct emul_form_info emul_forms[];

/* What a row is: an instruction, or the way to one more table. */
#define ROW_KIND	0xf
#define ROW_INSN	0
#define ROW_REG		1	/* 8 rows, by ModRM.reg */
#define ROW_MOD		2	/* 2 rows, ModRM is memory or register */
#define ROW_RM		3	/* 8 rows, by ModRM.rm */
#define ROW_PREFIX	4	/* 4 rows: no prefix, 66, F3, F2 */
#define ROW_SIZE	5	/* 3 rows, by operand size: 16, 32, 64 */
#define ROW_REXB	6	/* 2 rows, by REX.B */
#define ROW_REXW	7	/* 2 rows, by REX.W */
#define ROW_LONG	8	/* 2 rows: other modes, 64-bit mode */

#define ROW_MODRM	(1 << 4)	/* a ModRM byte follows */
#define ROW_IGNORE_MOD	(1 << 5)	/* ModRM.rm is a register whatever mod says */
#define ROW_LOCK	(1 << 6)	/* LOCK is allowed if the destination is memory */
#define ROW_NO64	(1 << 7)	/* #UD in 64-bit mode */
#define ROW_ONLY64	(1 << 8)	/* #UD elsewhere */
#define ROW_PROTECTED	(1 << 9)	/* #UD in real and virtual-8086 mode */
#define ROW_DEFAULT64	(1 << 10)	/* operand size in 64-bit mode is 64 or 16 */
#define ROW_FORCE64	(1 << 11)	/* operand size in 64-bit mode is 64 */
#define ROW_INVALID	(1 << 12)	/* always #UD */
#define ROW_LOAD	(1 << 13)	/* the destination is read */
#define ROW_STORE	(1 << 14)	/* the destination is written */
#define ROW_SELF	(1 << 15)	/* the handler does its own loads and stores */
#define ROW_ALIGNED	(1 << 16)	/* #GP unless memory is aligned to its size */
#define ROW_L0		(1 << 17)	/* VEX.L must be 0 */
#define ROW_VVVV	(1 << 18)	/* VEX.vvvv is an operand; otherwise it must be 1111b */
#define ROW_FORCE32	(1 << 19)	/* operand size outside of 64-bit mode is 32 */
#define ROW_NP		(1 << 20)	/* with 66, F2 or F3 it is another one, not known */

#define ROW_RMW		(ROW_LOAD | ROW_STORE)

/**
 * struct emul_opcode - a row of the opcode table
 * @exec: handler; NULL: the instruction is decoded, but not executed
 * @sub: next table, if the row is not an instruction
 * @flags: ROW_*
 * @form: operands: destination, source, second source
 * @id: enum emul_mnemonic; EMUL_OP_NONE: nothing is known about this opcode
 */
struct emul_opcode {
	union {
		int (*exec)(struct emul *e);
		const struct emul_opcode *sub;
	};
	u32 flags;
	u8 form[3];
	u8 id;
};

/* One-byte opcodes, 0F, 0F 38, 0F 3A; and the VEX maps 1, 2 and 3. */
extern const struct emul_opcode *const emul_map_legacy[4];
extern const struct emul_opcode *const emul_map_vex[4];

/*
 * The handlers. Those without ROW_SELF find their operands loaded in e->op[].val and leave the
 * result in e->op[0].val.
 */
#define EMUL_HANDLERS(X)							\
	X(nop) X(mov) X(movsx) X(movbe) X(lea) X(bswap) X(setcc) X(cmovcc)	\
	X(add) X(or) X(adc) X(sbb) X(and) X(sub) X(xor) X(cmp) X(test)		\
	X(not) X(neg) X(inc) X(dec) X(shift) X(shld) X(shrd)			\
	X(xchg) X(xadd) X(cmpxchg) X(cmpxchg_wide) X(bt) X(bts) X(btr) X(btc)	\
	X(bsf) X(bsr) X(mul) X(imul) X(imul3) X(div) X(idiv)			\
	X(push) X(pop) X(pusha) X(popa) X(pushf) X(popf) X(call_rel) X(call) X(jmp) X(ret) X(enter) X(leave)	\
	X(mov_sreg) X(push_sreg) X(pop_sreg) X(load_far)			\
	X(jmp_far) X(call_far) X(ret_far)					\
	X(smsw) X(lmsw) X(sldt) X(str) X(lldt) X(ltr)				\
	X(movs) X(stos) X(lods) X(cmps) X(scas) X(ins) X(outs) X(in) X(out)	\
	X(xlat) X(clflush)						\
	X(vec_move) X(vec_merge) X(vec_dup) X(vec_low) X(vec_high) X(vec_store_high)

#define EMUL_HANDLER_PROTOTYPE(name) int emul_exec_##name(struct emul *e);
EMUL_HANDLERS(EMUL_HANDLER_PROTOTYPE)

/* enum emul_operand_kind - where an operand of a running instruction is */
enum emul_operand_kind {
	OPERAND_NONE,
	OPERAND_REG,
	OPERAND_REG_HIGH,	/* AH, CH, DH, BH */
	OPERAND_MEM,
	OPERAND_IMM,
	OPERAND_VEC,
	OPERAND_MMX,
	OPERAND_SEG,
};

#define STATUS_FLAGS (X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF | \
		      X86_EFLAGS_SF | X86_EFLAGS_OF)
#define FLAGS_KNOWN	(STATUS_FLAGS | X86_EFLAGS_TF | X86_EFLAGS_IF | X86_EFLAGS_DF |	\
			 X86_EFLAGS_IOPL | X86_EFLAGS_NT | X86_EFLAGS_RF | X86_EFLAGS_VM |	\
			 X86_EFLAGS_AC | X86_EFLAGS_VIF | X86_EFLAGS_VIP | X86_EFLAGS_ID)

/* All ones in the low @size bytes. */
static inline u64 emul_mask(unsigned int size)
{
	return size >= 8 ? ~0ULL : (1ULL << (size * 8)) - 1;
}

/* Sign bit of a number of @size bytes. */
static inline u64 emul_sign(unsigned int size)
{
	return 1ULL << (size * 8 - 1);
}

/* Number of @size bytes, sign-extended. */
static inline s64 emul_sext(u64 val, unsigned int size)
{
	unsigned int shift = 64 - size * 8;

	return (s64)(val << shift) >> shift;
}

static inline bool emul_is_protected(const struct emul *e)
{
	return e->mode >= EMUL_PROT16;
}

unsigned int emul_form_size(const struct emul_insn *insn, enum emul_form form);

int emul_raise(struct emul *e, u8 vector);
int emul_raise_code(struct emul *e, u8 vector, u32 error_code);

u64 emul_reg_read(const struct emul *e, unsigned int reg, unsigned int size);
void emul_reg_write(struct emul *e, unsigned int reg, u64 val, unsigned int size);

u64 emul_effective_address(const struct emul *e);
int emul_linear(struct emul *e, enum emul_seg seg, u64 ea, unsigned int size, bool write,
		u64 *la);
bool emul_is_canonical(struct emul *e, u64 la);
int emul_code_target(struct emul *e, u64 target);
unsigned int emul_stack_size(struct emul *e);
int emul_check_pushes(struct emul *e, unsigned int n, unsigned int size);
int emul_push(struct emul *e, u64 val, unsigned int size);
int emul_pop(struct emul *e, u64 *val, unsigned int size);

int emul_probe(struct emul *e, u64 la, unsigned int len, bool write);
int emul_mem_read(struct emul *e, u64 la, void *buf, unsigned int len);
int emul_mem_write(struct emul *e, u64 la, const void *buf, unsigned int len);
int emul_read_for_update(struct emul *e, u64 la, void *buf, unsigned int len);
int emul_mem_update(struct emul *e, u64 la, const void *old, const void *val, unsigned int len);

int emul_resolve(struct emul *e, unsigned int i, bool write);
int emul_load(struct emul *e, struct emul_operand *op);
int emul_load_for_update(struct emul *e, struct emul_operand *op);
int emul_store(struct emul *e, const struct emul_operand *op, u64 old);

int emul_check_umip(struct emul *e);

int emul_raise_selector(struct emul *e, u8 vector, u16 selector);
int emul_read_descriptor(struct emul *e, u16 selector, u64 *desc, u64 *la);
void emul_parse_descriptor(u64 desc, u16 selector, struct kvm_segment *s);
int emul_load_segment(struct emul *e, enum emul_seg seg, u16 selector);
int emul_load_ldt(struct emul *e, u16 selector, u8 absent);
int emul_find_code(struct emul *e, u16 selector, struct kvm_segment *s, bool gates);

u64 emul_sub(struct emul *e, u64 a, u64 b, u64 borrow, unsigned int size);
bool emul_condition(u64 rflags, unsigned int code);

#endif
