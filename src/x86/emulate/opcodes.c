// SPDX-License-Identifier: GPL-2.0
/*
 * The opcode table: one row for each instruction form, which alone drives decoding, lengths and
 * execution. SDM Vol. 2, appendix A, in its notation. Only data lives here.
 *
 * I() is a row that is executed, D() one that is only decoded; then come the flags and operands.
 * An empty row is an opcode of which nothing is known: EMUL_UNHANDLED.
 */
#include "x86/emulate/opcode.h"

#define HAS_MODRM(f) (FORM_##f >= FORM_Eb && FORM_##f <= FORM_MODRM_LAST ? ROW_MODRM : 0)

#define ROW(name, handler, bits, a, b, c) {					\
	.exec = handler,							\
	.flags = (bits) | HAS_MODRM(a) | HAS_MODRM(b) | HAS_MODRM(c),		\
	.form = { FORM_##a, FORM_##b, FORM_##c },				\
	.id = EMUL_OP_##name,							\
}
#define I(name, handler, bits, a, b, c) ROW(name, emul_exec_##handler, bits, a, b, c)
#define D(name, bits, a, b, c) ROW(name, NULL, bits, a, b, c)
#define SUB(kind, table) { .sub = (table), .flags = (kind) }

#define BY_REG(table) SUB(ROW_REG | ROW_MODRM, table)
#define BY_MOD(table) SUB(ROW_MOD | ROW_MODRM, table)
#define BY_RM(table) SUB(ROW_RM | ROW_MODRM, table)
#define BY_PREFIX(table) SUB(ROW_PREFIX, table)
#define BY_SIZE(table) SUB(ROW_SIZE, table)
#define BY_REXB(table) SUB(ROW_REXB, table)
#define BY_REXW(table) SUB(ROW_REXW, table)
#define BY_LONG(table) SUB(ROW_LONG, table)
#define UNDEFINED { .flags = ROW_INVALID }

typedef const struct emul_opcode table_t[];

_Static_assert(EMUL_OP_COUNT <= 256, "mnemonics must fit in a byte");

const struct emul_form_info emul_forms[FORM_COUNT] = {
	[FORM_Eb] = { PLACE_RM, 1 },
	[FORM_Ew] = { PLACE_RM, 2 },
	[FORM_Ed] = { PLACE_RM, 4 },
	[FORM_Ey] = { PLACE_RM, WIDTH_Y },
	[FORM_Ev] = { PLACE_RM, WIDTH_V },
	[FORM_EwRv] = { PLACE_RM, WIDTH_WV },
	[FORM_EwRz] = { PLACE_RM, WIDTH_WZ },
	[FORM_M] = { PLACE_MEMORY, 0 },
	[FORM_Mb] = { PLACE_MEMORY, 1 },
	[FORM_Mw] = { PLACE_MEMORY, 2 },
	[FORM_Md] = { PLACE_MEMORY, 4 },
	[FORM_Mq] = { PLACE_MEMORY, 8 },
	[FORM_Mdq] = { PLACE_MEMORY, 16 },
	[FORM_My] = { PLACE_MEMORY, WIDTH_Y },
	[FORM_Mv] = { PLACE_MEMORY, WIDTH_V },
	[FORM_Mp] = { PLACE_MEMORY, WIDTH_P },
	[FORM_Mx] = { PLACE_MEMORY, WIDTH_X },
	[FORM_Rv] = { PLACE_RM_REG, WIDTH_V },
	[FORM_Ry] = { PLACE_RM_REG, WIDTH_Y },
	[FORM_Wx] = { PLACE_VEC_RM, WIDTH_X },
	[FORM_Wddup] = { PLACE_VEC_RM, WIDTH_DDUP },
	[FORM_Wdq] = { PLACE_VEC_RM, 16 },
	[FORM_Wq] = { PLACE_VEC_RM, 8 },
	[FORM_Wd] = { PLACE_VEC_RM, 4 },
	[FORM_Qq] = { PLACE_MMX_RM, 8 },
	[FORM_Gb] = { PLACE_REG, 1 },
	[FORM_Gw] = { PLACE_REG, 2 },
	[FORM_Gv] = { PLACE_REG, WIDTH_V },
	[FORM_Gy] = { PLACE_REG, WIDTH_Y },
	[FORM_Sw] = { PLACE_SEG_REG, 2 },
	[FORM_Cy] = { PLACE_CR_REG, WIDTH_V },
	[FORM_Dy] = { PLACE_DR_REG, WIDTH_V },
	[FORM_Vx] = { PLACE_VEC_REG, WIDTH_X },
	[FORM_Vdq] = { PLACE_VEC_REG, 16 },
	[FORM_Vq] = { PLACE_VEC_REG, 8 },
	[FORM_Vd] = { PLACE_VEC_REG, 4 },
	[FORM_Pq] = { PLACE_MMX_REG, 8 },
	[FORM_Hdq] = { PLACE_VEC_VVVV, 16 },
	[FORM_Zb] = { PLACE_OPCODE, 1 },
	[FORM_Zv] = { PLACE_OPCODE, WIDTH_V },
	[FORM_AL] = { PLACE_RAX, 1 },
	[FORM_rAX] = { PLACE_RAX, WIDTH_V },
	[FORM_CL] = { PLACE_RCX, 1 },
	[FORM_DX] = { PLACE_RDX, 2 },
	[FORM_ES] = { PLACE_SEG, WIDTH_V },
	[FORM_CS] = { PLACE_SEG, WIDTH_V },
	[FORM_SS] = { PLACE_SEG, WIDTH_V },
	[FORM_DS] = { PLACE_SEG, WIDTH_V },
	[FORM_FS] = { PLACE_SEG, WIDTH_V },
	[FORM_GS] = { PLACE_SEG, WIDTH_V },
	[FORM_Ib] = { PLACE_IMM, 1 },
	[FORM_Isb] = { PLACE_IMM, WIDTH_V },
	[FORM_Iw] = { PLACE_IMM, 2 },
	[FORM_Iz] = { PLACE_IMM, WIDTH_V },
	[FORM_Iv] = { PLACE_IMM, WIDTH_V },
	[FORM_One] = { PLACE_IMM, 1 },
	[FORM_Jb] = { PLACE_JUMP, WIDTH_V },
	[FORM_Jz] = { PLACE_JUMP, WIDTH_V },
	[FORM_Ap] = { PLACE_FAR, WIDTH_P },
	[FORM_Ob] = { PLACE_OFFSET, 1 },
	[FORM_Ov] = { PLACE_OFFSET, WIDTH_V },
	[FORM_Xb] = { PLACE_SRC, 1 },
	[FORM_Xv] = { PLACE_SRC, WIDTH_V },
	[FORM_Xz] = { PLACE_SRC, WIDTH_Z },
	[FORM_Yb] = { PLACE_DST, 1 },
	[FORM_Yv] = { PLACE_DST, WIDTH_V },
	[FORM_Yz] = { PLACE_DST, WIDTH_Z },
};

/* The six forms of the classic arithmetic instructions. */
#define ALU(base, name, handler, bits)						\
	[(base) + 0] = I(name, handler, (bits) | ROW_LOCK, Eb, Gb, NONE),	\
	[(base) + 1] = I(name, handler, (bits) | ROW_LOCK, Ev, Gv, NONE),	\
	[(base) + 2] = I(name, handler, bits, Gb, Eb, NONE),			\
	[(base) + 3] = I(name, handler, bits, Gv, Ev, NONE),			\
	[(base) + 4] = I(name, handler, bits, AL, Ib, NONE),			\
	[(base) + 5] = I(name, handler, bits, rAX, Iz, NONE)

#define GROUP1(bits, e, i) {							\
	I(ADD, add, (bits) | ROW_RMW | ROW_LOCK, e, i, NONE),			\
	I(OR, or, (bits) | ROW_RMW | ROW_LOCK, e, i, NONE),			\
	I(ADC, adc, (bits) | ROW_RMW | ROW_LOCK, e, i, NONE),			\
	I(SBB, sbb, (bits) | ROW_RMW | ROW_LOCK, e, i, NONE),			\
	I(AND, and, (bits) | ROW_RMW | ROW_LOCK, e, i, NONE),			\
	I(SUB, sub, (bits) | ROW_RMW | ROW_LOCK, e, i, NONE),			\
	I(XOR, xor, (bits) | ROW_RMW | ROW_LOCK, e, i, NONE),			\
	I(CMP, cmp, (bits) | ROW_LOAD, e, i, NONE),				\
}

static table_t group1_80 = GROUP1(0, Eb, Ib);
static table_t group1_81 = GROUP1(0, Ev, Iz);
static table_t group1_82 = GROUP1(ROW_NO64, Eb, Ib);
static table_t group1_83 = GROUP1(0, Ev, Isb);

static table_t group1a = { I(POP, pop, ROW_SELF | ROW_DEFAULT64, Ev, NONE, NONE), [7] = {} };

/* /6 does what /4 does, on every CPU there is. */
#define GROUP2(e, i) {								\
	I(ROL, shift, ROW_RMW, e, i, NONE),					\
	I(ROR, shift, ROW_RMW, e, i, NONE),					\
	I(RCL, shift, ROW_RMW, e, i, NONE),					\
	I(RCR, shift, ROW_RMW, e, i, NONE),					\
	I(SHL, shift, ROW_RMW, e, i, NONE),					\
	I(SHR, shift, ROW_RMW, e, i, NONE),					\
	I(SHL, shift, ROW_RMW, e, i, NONE),					\
	I(SAR, shift, ROW_RMW, e, i, NONE),					\
}

static table_t group2_c0 = GROUP2(Eb, Ib);
static table_t group2_c1 = GROUP2(Ev, Ib);
static table_t group2_d0 = GROUP2(Eb, One);
static table_t group2_d1 = GROUP2(Ev, One);
static table_t group2_d2 = GROUP2(Eb, CL);
static table_t group2_d3 = GROUP2(Ev, CL);

#define GROUP3(e, i) {								\
	I(TEST, test, ROW_LOAD, e, i, NONE),					\
	I(TEST, test, ROW_LOAD, e, i, NONE),					\
	I(NOT, not, ROW_RMW | ROW_LOCK, e, NONE, NONE),				\
	I(NEG, neg, ROW_RMW | ROW_LOCK, e, NONE, NONE),				\
	I(MUL, mul, ROW_LOAD, e, NONE, NONE),					\
	I(IMUL, imul, ROW_LOAD, e, NONE, NONE),					\
	I(DIV, div, ROW_LOAD, e, NONE, NONE),					\
	I(IDIV, idiv, ROW_LOAD, e, NONE, NONE),					\
}

static table_t group3_f6 = GROUP3(Eb, Ib);
static table_t group3_f7 = GROUP3(Ev, Iz);

static table_t group4 = {
	I(INC, inc, ROW_RMW | ROW_LOCK, Eb, NONE, NONE),
	I(DEC, dec, ROW_RMW | ROW_LOCK, Eb, NONE, NONE),
	UNDEFINED, UNDEFINED, UNDEFINED, UNDEFINED, UNDEFINED, UNDEFINED,
};

static table_t group5 = {
	I(INC, inc, ROW_RMW | ROW_LOCK, Ev, NONE, NONE),
	I(DEC, dec, ROW_RMW | ROW_LOCK, Ev, NONE, NONE),
	I(CALL, call, ROW_LOAD | ROW_FORCE64, Ev, NONE, NONE),
	I(CALL, call_far, ROW_SELF, Mp, NONE, NONE),
	I(JMP, jmp, ROW_LOAD | ROW_FORCE64, Ev, NONE, NONE),
	I(JMP, jmp_far, ROW_SELF, Mp, NONE, NONE),
	I(PUSH, push, ROW_LOAD | ROW_DEFAULT64, Ev, NONE, NONE),
	UNDEFINED,
};

static table_t group11_c6 = { I(MOV, mov, ROW_STORE, Eb, Ib, NONE), [7] = {} };
static table_t group11_c7 = { I(MOV, mov, ROW_STORE, Ev, Iz, NONE), [7] = {} };

static table_t nop_pause = {
	I(NOP, nop, 0, NONE, NONE, NONE),
	I(NOP, nop, 0, NONE, NONE, NONE),
	D(PAUSE, 0, NONE, NONE, NONE),
	I(NOP, nop, 0, NONE, NONE, NONE),
};

static table_t opcode_90 = { BY_PREFIX(nop_pause), I(XCHG, xchg, ROW_RMW, Zv, rAX, NONE) };

static table_t opcode_98 = {
	D(CBW, 0, NONE, NONE, NONE), D(CWDE, 0, NONE, NONE, NONE), D(CDQE, 0, NONE, NONE, NONE),
};

static table_t opcode_99 = {
	D(CWD, 0, NONE, NONE, NONE), D(CDQ, 0, NONE, NONE, NONE), D(CQO, 0, NONE, NONE, NONE),
};

static table_t movsxd = {
	I(MOVSXD, movsx, ROW_STORE, Gv, Ew, NONE),
	I(MOVSXD, movsx, ROW_STORE, Gv, Ed, NONE),
	I(MOVSXD, movsx, ROW_STORE, Gv, Ed, NONE),
};

/* EVEX in 64-bit mode, and elsewhere if mod is 3: not known here. */
static table_t bound = { D(BOUND, 0, Gv, M, NONE), {} };
static table_t opcode_62 = { BY_MOD(bound), {} };
static table_t opcode_63 = { D(ARPL, ROW_PROTECTED, Ew, Gw, NONE), BY_SIZE(movsxd) };

static const struct emul_opcode one_byte[256] = {
	ALU(0x00, ADD, add, ROW_RMW),
	[0x06] = I(PUSH, push_sreg, ROW_SELF | ROW_NO64, ES, NONE, NONE),
	[0x07] = I(POP, pop_sreg, ROW_SELF | ROW_NO64, ES, NONE, NONE),
	ALU(0x08, OR, or, ROW_RMW),
	[0x0e] = I(PUSH, push_sreg, ROW_SELF | ROW_NO64, CS, NONE, NONE),
	ALU(0x10, ADC, adc, ROW_RMW),
	[0x16] = I(PUSH, push_sreg, ROW_SELF | ROW_NO64, SS, NONE, NONE),
	[0x17] = I(POP, pop_sreg, ROW_SELF | ROW_NO64, SS, NONE, NONE),
	ALU(0x18, SBB, sbb, ROW_RMW),
	[0x1e] = I(PUSH, push_sreg, ROW_SELF | ROW_NO64, DS, NONE, NONE),
	[0x1f] = I(POP, pop_sreg, ROW_SELF | ROW_NO64, DS, NONE, NONE),
	ALU(0x20, AND, and, ROW_RMW),
	[0x27] = D(DAA, ROW_NO64, NONE, NONE, NONE),
	ALU(0x28, SUB, sub, ROW_RMW),
	[0x2f] = D(DAS, ROW_NO64, NONE, NONE, NONE),
	ALU(0x30, XOR, xor, ROW_RMW),
	[0x37] = D(AAA, ROW_NO64, NONE, NONE, NONE),
	[0x38] = I(CMP, cmp, ROW_LOAD, Eb, Gb, NONE),
	[0x39] = I(CMP, cmp, ROW_LOAD, Ev, Gv, NONE),
	[0x3a] = I(CMP, cmp, ROW_LOAD, Gb, Eb, NONE),
	[0x3b] = I(CMP, cmp, ROW_LOAD, Gv, Ev, NONE),
	[0x3c] = I(CMP, cmp, ROW_LOAD, AL, Ib, NONE),
	[0x3d] = I(CMP, cmp, ROW_LOAD, rAX, Iz, NONE),
	[0x3f] = D(AAS, ROW_NO64, NONE, NONE, NONE),
	/* REX prefixes in 64-bit mode */
	[0x40 ... 0x47] = I(INC, inc, ROW_RMW, Zv, NONE, NONE),
	[0x48 ... 0x4f] = I(DEC, dec, ROW_RMW, Zv, NONE, NONE),

	[0x50 ... 0x57] = I(PUSH, push, ROW_LOAD | ROW_DEFAULT64, Zv, NONE, NONE),
	[0x58 ... 0x5f] = I(POP, pop, ROW_SELF | ROW_DEFAULT64, Zv, NONE, NONE),
	[0x60] = I(PUSHA, pusha, ROW_SELF | ROW_NO64, NONE, NONE, NONE),
	[0x61] = I(POPA, popa, ROW_SELF | ROW_NO64, NONE, NONE, NONE),
	[0x62] = BY_LONG(opcode_62),
	[0x63] = BY_LONG(opcode_63),
	[0x68] = I(PUSH, push, ROW_LOAD | ROW_DEFAULT64, Iz, NONE, NONE),
	[0x69] = I(IMUL, imul3, ROW_STORE, Gv, Ev, Iz),
	[0x6a] = I(PUSH, push, ROW_LOAD | ROW_DEFAULT64, Isb, NONE, NONE),
	[0x6b] = I(IMUL, imul3, ROW_STORE, Gv, Ev, Isb),
	[0x6c] = I(INS, ins, ROW_SELF, Yb, DX, NONE),
	[0x6d] = I(INS, ins, ROW_SELF, Yz, DX, NONE),
	[0x6e] = I(OUTS, outs, ROW_SELF, DX, Xb, NONE),
	[0x6f] = I(OUTS, outs, ROW_SELF, DX, Xz, NONE),

	[0x70 ... 0x7f] = D(JCC, ROW_FORCE64, Jb, NONE, NONE),

	[0x80] = BY_REG(group1_80),
	[0x81] = BY_REG(group1_81),
	[0x82] = BY_REG(group1_82),
	[0x83] = BY_REG(group1_83),
	[0x84] = I(TEST, test, ROW_LOAD, Eb, Gb, NONE),
	[0x85] = I(TEST, test, ROW_LOAD, Ev, Gv, NONE),
	[0x86] = I(XCHG, xchg, ROW_RMW | ROW_LOCK, Eb, Gb, NONE),
	[0x87] = I(XCHG, xchg, ROW_RMW | ROW_LOCK, Ev, Gv, NONE),
	[0x88] = I(MOV, mov, ROW_STORE, Eb, Gb, NONE),
	[0x89] = I(MOV, mov, ROW_STORE, Ev, Gv, NONE),
	[0x8a] = I(MOV, mov, ROW_STORE, Gb, Eb, NONE),
	[0x8b] = I(MOV, mov, ROW_STORE, Gv, Ev, NONE),
	[0x8c] = I(MOV, mov, ROW_STORE, EwRv, Sw, NONE),
	[0x8d] = I(LEA, lea, ROW_SELF, Gv, M, NONE),
	[0x8e] = I(MOV, mov_sreg, ROW_SELF, Sw, Ew, NONE),
	[0x8f] = BY_REG(group1a),

	[0x90] = BY_REXB(opcode_90),
	[0x91 ... 0x97] = I(XCHG, xchg, ROW_RMW, Zv, rAX, NONE),
	[0x98] = BY_SIZE(opcode_98),
	[0x99] = BY_SIZE(opcode_99),
	[0x9a] = I(CALL, call_far, ROW_SELF | ROW_NO64, Ap, NONE, NONE),
	[0x9b] = D(FWAIT, 0, NONE, NONE, NONE),
	[0x9c] = I(PUSHF, pushf, ROW_SELF | ROW_DEFAULT64, NONE, NONE, NONE),
	[0x9d] = I(POPF, popf, ROW_SELF | ROW_DEFAULT64, NONE, NONE, NONE),
	[0x9e] = D(SAHF, 0, NONE, NONE, NONE),
	[0x9f] = D(LAHF, 0, NONE, NONE, NONE),

	[0xa0] = I(MOV, mov, ROW_STORE, AL, Ob, NONE),
	[0xa1] = I(MOV, mov, ROW_STORE, rAX, Ov, NONE),
	[0xa2] = I(MOV, mov, ROW_STORE, Ob, AL, NONE),
	[0xa3] = I(MOV, mov, ROW_STORE, Ov, rAX, NONE),
	[0xa4] = I(MOVS, movs, ROW_SELF, Yb, Xb, NONE),
	[0xa5] = I(MOVS, movs, ROW_SELF, Yv, Xv, NONE),
	[0xa6] = I(CMPS, cmps, ROW_SELF, Xb, Yb, NONE),
	[0xa7] = I(CMPS, cmps, ROW_SELF, Xv, Yv, NONE),
	[0xa8] = I(TEST, test, ROW_LOAD, AL, Ib, NONE),
	[0xa9] = I(TEST, test, ROW_LOAD, rAX, Iz, NONE),
	[0xaa] = I(STOS, stos, ROW_SELF, Yb, AL, NONE),
	[0xab] = I(STOS, stos, ROW_SELF, Yv, rAX, NONE),
	[0xac] = I(LODS, lods, ROW_SELF, AL, Xb, NONE),
	[0xad] = I(LODS, lods, ROW_SELF, rAX, Xv, NONE),
	[0xae] = I(SCAS, scas, ROW_SELF, AL, Yb, NONE),
	[0xaf] = I(SCAS, scas, ROW_SELF, rAX, Yv, NONE),

	[0xb0 ... 0xb7] = I(MOV, mov, ROW_STORE, Zb, Ib, NONE),
	[0xb8 ... 0xbf] = I(MOV, mov, ROW_STORE, Zv, Iv, NONE),

	[0xc0] = BY_REG(group2_c0),
	[0xc1] = BY_REG(group2_c1),
	[0xc2] = I(RET, ret, ROW_SELF | ROW_FORCE64, Iw, NONE, NONE),
	[0xc3] = I(RET, ret, ROW_SELF | ROW_FORCE64, NONE, NONE, NONE),
	/* VEX prefixes in 64-bit mode, and elsewhere if mod is 3 */
	[0xc4] = I(LES, load_far, ROW_SELF | ROW_NO64, Gv, Mp, NONE),
	[0xc5] = I(LDS, load_far, ROW_SELF | ROW_NO64, Gv, Mp, NONE),
	[0xc6] = BY_REG(group11_c6),
	[0xc7] = BY_REG(group11_c7),
	[0xc8] = I(ENTER, enter, ROW_SELF | ROW_DEFAULT64, Iw, Ib, NONE),
	[0xc9] = I(LEAVE, leave, ROW_SELF | ROW_DEFAULT64, NONE, NONE, NONE),
	[0xca] = I(RETF, ret_far, ROW_SELF, Iw, NONE, NONE),
	[0xcb] = I(RETF, ret_far, ROW_SELF, NONE, NONE, NONE),
	[0xcc] = D(INT3, 0, NONE, NONE, NONE),
	[0xcd] = D(INT, 0, Ib, NONE, NONE),
	[0xce] = D(INTO, ROW_NO64, NONE, NONE, NONE),
	[0xcf] = D(IRET, 0, NONE, NONE, NONE),

	[0xd0] = BY_REG(group2_d0),
	[0xd1] = BY_REG(group2_d1),
	[0xd2] = BY_REG(group2_d2),
	[0xd3] = BY_REG(group2_d3),
	[0xd4] = D(AAM, ROW_NO64, Ib, NONE, NONE),
	[0xd5] = D(AAD, ROW_NO64, Ib, NONE, NONE),
	[0xd6] = D(SALC, ROW_NO64, NONE, NONE, NONE),
	[0xd7] = I(XLAT, xlat, ROW_SELF, NONE, NONE, NONE),

	[0xe0] = D(LOOPNE, ROW_FORCE64, Jb, NONE, NONE),
	[0xe1] = D(LOOPE, ROW_FORCE64, Jb, NONE, NONE),
	[0xe2] = D(LOOP, ROW_FORCE64, Jb, NONE, NONE),
	[0xe3] = D(JCXZ, ROW_FORCE64, Jb, NONE, NONE),
	[0xe4] = I(IN, in, ROW_SELF, AL, Ib, NONE),
	[0xe5] = I(IN, in, ROW_SELF, rAX, Ib, NONE),
	[0xe6] = I(OUT, out, ROW_SELF, Ib, AL, NONE),
	[0xe7] = I(OUT, out, ROW_SELF, Ib, rAX, NONE),
	[0xe8] = I(CALL, call_rel, ROW_FORCE64, Jz, NONE, NONE),
	[0xe9] = D(JMP, ROW_FORCE64, Jz, NONE, NONE),
	[0xea] = I(JMP, jmp_far, ROW_SELF | ROW_NO64, Ap, NONE, NONE),
	[0xeb] = D(JMP, ROW_FORCE64, Jb, NONE, NONE),
	[0xec] = I(IN, in, ROW_SELF, AL, DX, NONE),
	[0xed] = I(IN, in, ROW_SELF, rAX, DX, NONE),
	[0xee] = I(OUT, out, ROW_SELF, DX, AL, NONE),
	[0xef] = I(OUT, out, ROW_SELF, DX, rAX, NONE),

	[0xf1] = D(INT1, 0, NONE, NONE, NONE),
	[0xf4] = D(HLT, 0, NONE, NONE, NONE),
	[0xf5] = D(CMC, 0, NONE, NONE, NONE),
	[0xf6] = BY_REG(group3_f6),
	[0xf7] = BY_REG(group3_f7),
	[0xf8] = D(CLC, 0, NONE, NONE, NONE),
	[0xf9] = D(STC, 0, NONE, NONE, NONE),
	[0xfa] = D(CLI, 0, NONE, NONE, NONE),
	[0xfb] = D(STI, 0, NONE, NONE, NONE),
	[0xfc] = D(CLD, 0, NONE, NONE, NONE),
	[0xfd] = D(STD, 0, NONE, NONE, NONE),
	[0xfe] = BY_REG(group4),
	[0xff] = BY_REG(group5),
};

static table_t group6 = {
	I(SLDT, sldt, ROW_PROTECTED | ROW_STORE, EwRv, NONE, NONE),
	I(STR, str, ROW_PROTECTED | ROW_STORE, EwRv, NONE, NONE),
	I(LLDT, lldt, ROW_PROTECTED | ROW_LOAD, Ew, NONE, NONE),
	I(LTR, ltr, ROW_PROTECTED | ROW_LOAD, Ew, NONE, NONE),
	D(VERR, ROW_PROTECTED, Ew, NONE, NONE),
	D(VERW, ROW_PROTECTED, Ew, NONE, NONE),
	[7] = UNDEFINED,
};

static table_t group7_memory = {
	D(SGDT, ROW_FORCE64, M, NONE, NONE),
	D(SIDT, ROW_FORCE64, M, NONE, NONE),
	D(LGDT, ROW_FORCE64, M, NONE, NONE),
	D(LIDT, ROW_FORCE64, M, NONE, NONE),
	I(SMSW, smsw, ROW_STORE, EwRv, NONE, NONE),
	{},
	I(LMSW, lmsw, ROW_LOAD, Ew, NONE, NONE),
	D(INVLPG, 0, M, NONE, NONE),
};

#define PLAIN(name, bits) ROW(name, NULL, (bits) | ROW_MODRM, NONE, NONE, NONE)

static table_t group7_c0 = {
	{}, PLAIN(VMCALL, ROW_NP), PLAIN(VMLAUNCH, ROW_NP | ROW_PROTECTED),
	PLAIN(VMRESUME, ROW_NP | ROW_PROTECTED), PLAIN(VMXOFF, ROW_NP | ROW_PROTECTED), [7] = {},
};

static table_t group7_c8 = {
	PLAIN(MONITOR, ROW_NP), PLAIN(MWAIT, ROW_NP), PLAIN(CLAC, ROW_NP), PLAIN(STAC, ROW_NP),
	[7] = {},
};

static table_t group7_d0 = {
	PLAIN(XGETBV, ROW_NP), PLAIN(XSETBV, ROW_NP), [4] = PLAIN(VMFUNC, ROW_NP),
	[7] = PLAIN(ENCLU, ROW_NP | ROW_PROTECTED),
};

static table_t group7_d8 = {
	PLAIN(VMRUN, ROW_PROTECTED), PLAIN(VMMCALL, 0), PLAIN(VMLOAD, ROW_PROTECTED),
	PLAIN(VMSAVE, ROW_PROTECTED), PLAIN(STGI, ROW_PROTECTED), PLAIN(CLGI, ROW_PROTECTED),
	PLAIN(SKINIT, ROW_PROTECTED), PLAIN(INVLPGA, ROW_PROTECTED),
};

static table_t group7_f8 = {
	PLAIN(SWAPGS, ROW_ONLY64), PLAIN(RDTSCP, 0), PLAIN(MONITORX, ROW_NP),
	PLAIN(MWAITX, ROW_NP),
	PLAIN(CLZERO, 0), PLAIN(RDPRU, 0), {}, {},
};

static table_t group7_register = {
	BY_RM(group7_c0), BY_RM(group7_c8), BY_RM(group7_d0), BY_RM(group7_d8),
	I(SMSW, smsw, ROW_STORE, EwRv, NONE, NONE), {}, I(LMSW, lmsw, ROW_LOAD, Ew, NONE, NONE), BY_RM(group7_f8),
};

static table_t group7_mod = { BY_REG(group7_memory), BY_REG(group7_register) };

static table_t group8 = {
	UNDEFINED, UNDEFINED, UNDEFINED, UNDEFINED,
	I(BT, bt, ROW_SELF, Ev, Ib, NONE),
	I(BTS, bts, ROW_SELF | ROW_LOCK, Ev, Ib, NONE),
	I(BTR, btr, ROW_SELF | ROW_LOCK, Ev, Ib, NONE),
	I(BTC, btc, ROW_SELF | ROW_LOCK, Ev, Ib, NONE),
};

static table_t cmpxchg_wide = {
	I(CMPXCHG8B, cmpxchg_wide, ROW_SELF | ROW_LOCK, Mq, NONE, NONE),
	I(CMPXCHG16B, cmpxchg_wide, ROW_SELF | ROW_LOCK | ROW_ALIGNED, Mdq, NONE, NONE),
};

/* With no mandatory prefix only */
#define NP(row) { row, [3] = {} }

static table_t group9_6 = {
	D(VMPTRLD, ROW_PROTECTED, Mq, NONE, NONE), D(VMCLEAR, ROW_PROTECTED, Mq, NONE, NONE),
	D(VMXON, ROW_PROTECTED, Mq, NONE, NONE), {},
};

static table_t group9_7 = { D(VMPTRST, ROW_PROTECTED, Mq, NONE, NONE), [3] = {} };

static table_t xrstors = NP(D(XRSTORS, 0, M, NONE, NONE));
static table_t xsavec = NP(D(XSAVEC, 0, M, NONE, NONE));
static table_t xsaves = NP(D(XSAVES, 0, M, NONE, NONE));

static table_t group9_memory = {
	[1] = BY_REXW(cmpxchg_wide),
	[3] = BY_PREFIX(xrstors),
	[4] = BY_PREFIX(xsavec),
	[5] = BY_PREFIX(xsaves),
	[6] = BY_PREFIX(group9_6),
	[7] = BY_PREFIX(group9_7),
};

static table_t rdrand = {
	D(RDRAND, 0, Rv, NONE, NONE), D(RDRAND, 0, Rv, NONE, NONE), [3] = {},
};

static table_t rdseed = {
	D(RDSEED, 0, Rv, NONE, NONE), D(RDSEED, 0, Rv, NONE, NONE),
	D(RDPID, ROW_FORCE64 | ROW_FORCE32, Rv, NONE, NONE), {},
};

static table_t group9_register = { [6] = BY_PREFIX(rdrand), [7] = BY_PREFIX(rdseed) };
static table_t group9_mod = { BY_REG(group9_memory), BY_REG(group9_register) };

static table_t fxsave = NP(D(FXSAVE, 0, M, NONE, NONE));
static table_t fxrstor = NP(D(FXRSTOR, 0, M, NONE, NONE));
static table_t ldmxcsr = NP(D(LDMXCSR, 0, Md, NONE, NONE));
static table_t stmxcsr = NP(D(STMXCSR, 0, Md, NONE, NONE));
static table_t xsave = NP(D(XSAVE, 0, M, NONE, NONE));
static table_t xrstor = NP(D(XRSTOR, 0, M, NONE, NONE));
static table_t xsaveopt = {
	D(XSAVEOPT, 0, M, NONE, NONE), I(CLWB, clflush, ROW_SELF, M, NONE, NONE), {}, {},
};
static table_t clflush = {
	I(CLFLUSH, clflush, ROW_SELF, M, NONE, NONE),
	I(CLFLUSHOPT, clflush, ROW_SELF, M, NONE, NONE), {}, {},
};
static table_t lfence = NP(PLAIN(LFENCE, 0));
static table_t mfence = NP(PLAIN(MFENCE, 0));
static table_t sfence = NP(PLAIN(SFENCE, 0));

static table_t group15_memory = {
	BY_PREFIX(fxsave), BY_PREFIX(fxrstor), BY_PREFIX(ldmxcsr), BY_PREFIX(stmxcsr),
	BY_PREFIX(xsave), BY_PREFIX(xrstor), BY_PREFIX(xsaveopt), BY_PREFIX(clflush),
};

static table_t group15_register = {
	[5] = BY_PREFIX(lfence), [6] = BY_PREFIX(mfence), [7] = BY_PREFIX(sfence),
};

static table_t group15_mod = { BY_REG(group15_memory), BY_REG(group15_register) };

/* 0F 18 /0 to /3; register forms and the rest are hints, too, but not of this name. */
static table_t prefetch_memory = {
	D(PREFETCH, 0, Mb, NONE, NONE), D(PREFETCH, 0, Mb, NONE, NONE),
	D(PREFETCH, 0, Mb, NONE, NONE), D(PREFETCH, 0, Mb, NONE, NONE), [7] = {},
};

static table_t prefetchw_memory = {
	D(PREFETCH, 0, Mb, NONE, NONE), D(PREFETCH, 0, Mb, NONE, NONE),
	D(PREFETCH, 0, Mb, NONE, NONE), [7] = {},
};

static table_t prefetch_mod = { BY_REG(prefetch_memory), {} };
static table_t prefetchw_mod = { BY_REG(prefetchw_memory), {} };

static table_t wbinvd = {
	D(WBINVD, 0, NONE, NONE, NONE), D(WBINVD, 0, NONE, NONE, NONE),
	D(WBNOINVD, 0, NONE, NONE, NONE), D(WBINVD, 0, NONE, NONE, NONE),
};

/* With F3 these are TZCNT and LZCNT. */
static table_t bsf = {
	I(BSF, bsf, ROW_RMW, Gv, Ev, NONE), I(BSF, bsf, ROW_RMW, Gv, Ev, NONE), {},
	I(BSF, bsf, ROW_RMW, Gv, Ev, NONE),
};

static table_t bsr = {
	I(BSR, bsr, ROW_RMW, Gv, Ev, NONE), I(BSR, bsr, ROW_RMW, Gv, Ev, NONE), {},
	I(BSR, bsr, ROW_RMW, Gv, Ev, NONE),
};

static table_t movnti = NP(I(MOVNTI, mov, ROW_STORE, My, Gy, NONE));
static table_t vmread = NP(D(VMREAD, ROW_PROTECTED | ROW_FORCE64 | ROW_FORCE32, Ev, Gv, NONE));
static table_t vmwrite = NP(D(VMWRITE, ROW_PROTECTED | ROW_FORCE64 | ROW_FORCE32, Gv, Ev, NONE));

/*
 * SSE and AVX moves. The VEX forms that merge have a source more; all of them zero the bits above.
 */
#define V(name, handler, bits, a, b, c) I(name, handler, ROW_SELF | (bits), a, b, c)

static table_t movss_load = {
	V(MOVSS, vec_move, 0, Vdq, Md, NONE), V(MOVSS, vec_merge, 0, Vd, Wd, NONE),
};
static table_t movsd_load = {
	V(MOVSD, vec_move, 0, Vdq, Mq, NONE), V(MOVSD, vec_merge, 0, Vq, Wq, NONE),
};
static table_t movss_store = {
	V(MOVSS, vec_move, 0, Md, Vd, NONE), V(MOVSS, vec_merge, 0, Wd, Vd, NONE),
};
static table_t movsd_store = {
	V(MOVSD, vec_move, 0, Mq, Vq, NONE), V(MOVSD, vec_merge, 0, Wq, Vq, NONE),
};
static table_t sse_10 = {
	V(MOVUPS, vec_move, 0, Vx, Wx, NONE), V(MOVUPD, vec_move, 0, Vx, Wx, NONE),
	BY_MOD(movss_load), BY_MOD(movsd_load),
};
static table_t sse_11 = {
	V(MOVUPS, vec_move, 0, Wx, Vx, NONE), V(MOVUPD, vec_move, 0, Wx, Vx, NONE),
	BY_MOD(movss_store), BY_MOD(movsd_store),
};
static table_t sse_12_none = {
	V(MOVLPS, vec_low, 0, Vq, Mq, NONE), V(MOVHLPS, vec_low, 0, Vdq, Wdq, NONE),
};
static table_t sse_12 = {
	BY_MOD(sse_12_none), V(MOVLPD, vec_low, 0, Vq, Mq, NONE),
	V(MOVSLDUP, vec_dup, ROW_ALIGNED, Vx, Wx, NONE), V(MOVDDUP, vec_dup, 0, Vx, Wddup, NONE),
};
static table_t sse_13 = {
	V(MOVLPS, vec_move, 0, Mq, Vq, NONE), V(MOVLPD, vec_move, 0, Mq, Vq, NONE), {}, {},
};
static table_t sse_16_none = {
	V(MOVHPS, vec_high, 0, Vdq, Mq, NONE), V(MOVLHPS, vec_high, 0, Vdq, Wdq, NONE),
};
static table_t sse_16 = {
	BY_MOD(sse_16_none), V(MOVHPD, vec_high, 0, Vdq, Mq, NONE),
	V(MOVSHDUP, vec_dup, ROW_ALIGNED, Vx, Wx, NONE), {},
};
static table_t sse_17 = {
	V(MOVHPS, vec_store_high, 0, Mq, Vdq, NONE),
	V(MOVHPD, vec_store_high, 0, Mq, Vdq, NONE), {}, {},
};
static table_t sse_28 = {
	V(MOVAPS, vec_move, ROW_ALIGNED, Vx, Wx, NONE),
	V(MOVAPD, vec_move, ROW_ALIGNED, Vx, Wx, NONE), {}, {},
};
static table_t sse_29 = {
	V(MOVAPS, vec_move, ROW_ALIGNED, Wx, Vx, NONE),
	V(MOVAPD, vec_move, ROW_ALIGNED, Wx, Vx, NONE), {}, {},
};
static table_t sse_2b = {
	V(MOVNTPS, vec_move, ROW_ALIGNED, Mx, Vx, NONE),
	V(MOVNTPD, vec_move, ROW_ALIGNED, Mx, Vx, NONE), {}, {},
};
static table_t mmx_6e = { V(MOVD, vec_move, 0, Pq, Ey, NONE), V(MOVQ, vec_move, 0, Pq, Ey, NONE) };
static table_t sse_6e_66 = {
	V(MOVD, vec_move, 0, Vdq, Ey, NONE), V(MOVQ, vec_move, 0, Vdq, Ey, NONE),
};
static table_t sse_6e = { BY_REXW(mmx_6e), BY_REXW(sse_6e_66), {}, {} };
static table_t sse_6f = {
	V(MOVQ, vec_move, 0, Pq, Qq, NONE),
	V(MOVDQA, vec_move, ROW_ALIGNED, Vx, Wx, NONE),
	V(MOVDQU, vec_move, 0, Vx, Wx, NONE), {},
};
static table_t mmx_7e = { V(MOVD, vec_move, 0, Ey, Pq, NONE), V(MOVQ, vec_move, 0, Ey, Pq, NONE) };
static table_t sse_7e_66 = {
	V(MOVD, vec_move, 0, Ey, Vdq, NONE), V(MOVQ, vec_move, 0, Ey, Vdq, NONE),
};
static table_t sse_7e = {
	BY_REXW(mmx_7e), BY_REXW(sse_7e_66), V(MOVQ, vec_move, 0, Vdq, Wq, NONE), {},
};
static table_t sse_7f = {
	V(MOVQ, vec_move, 0, Qq, Pq, NONE),
	V(MOVDQA, vec_move, ROW_ALIGNED, Wx, Vx, NONE),
	V(MOVDQU, vec_move, 0, Wx, Vx, NONE), {},
};
static table_t sse_d6 = { {}, V(MOVQ, vec_move, 0, Wq, Vq, NONE), {}, {} };
static table_t sse_e7 = {
	V(MOVNTQ, vec_move, 0, Mq, Pq, NONE),
	V(MOVNTDQ, vec_move, ROW_ALIGNED, Mx, Vx, NONE), {}, {},
};
static table_t sse_f0 = { {}, {}, {}, V(LDDQU, vec_move, 0, Vx, Mx, NONE) };
static table_t sse_382a = { {}, V(MOVNTDQA, vec_move, ROW_ALIGNED, Vx, Mx, NONE), {}, {} };

static const struct emul_opcode map_0f[256] = {
	[0x00] = BY_REG(group6),
	[0x01] = BY_MOD(group7_mod),
	[0x02] = D(LAR, ROW_PROTECTED, Gv, EwRz, NONE),
	[0x03] = D(LSL, ROW_PROTECTED, Gv, EwRz, NONE),
	[0x05] = D(SYSCALL, 0, NONE, NONE, NONE),
	[0x06] = D(CLTS, 0, NONE, NONE, NONE),
	[0x07] = D(SYSRET, 0, NONE, NONE, NONE),
	[0x08] = D(INVD, 0, NONE, NONE, NONE),
	[0x09] = BY_PREFIX(wbinvd),
	[0x0b] = D(UD2, ROW_INVALID, NONE, NONE, NONE),
	[0x0d] = BY_MOD(prefetchw_mod),
	[0x10] = BY_PREFIX(sse_10),
	[0x11] = BY_PREFIX(sse_11),
	[0x12] = BY_PREFIX(sse_12),
	[0x13] = BY_PREFIX(sse_13),
	[0x16] = BY_PREFIX(sse_16),
	[0x17] = BY_PREFIX(sse_17),
	[0x18] = BY_MOD(prefetch_mod),
	[0x1f] = D(NOP, 0, Ev, NONE, NONE),
	[0x20] = D(MOV, ROW_FORCE64 | ROW_FORCE32 | ROW_IGNORE_MOD, Rv, Cy, NONE),
	[0x21] = D(MOV, ROW_FORCE64 | ROW_FORCE32 | ROW_IGNORE_MOD, Rv, Dy, NONE),
	[0x22] = D(MOV, ROW_FORCE64 | ROW_FORCE32 | ROW_IGNORE_MOD, Cy, Rv, NONE),
	[0x23] = D(MOV, ROW_FORCE64 | ROW_FORCE32 | ROW_IGNORE_MOD, Dy, Rv, NONE),
	[0x28] = BY_PREFIX(sse_28),
	[0x29] = BY_PREFIX(sse_29),
	[0x2b] = BY_PREFIX(sse_2b),
	[0x30] = D(WRMSR, 0, NONE, NONE, NONE),
	[0x31] = D(RDTSC, 0, NONE, NONE, NONE),
	[0x32] = D(RDMSR, 0, NONE, NONE, NONE),
	[0x33] = D(RDPMC, 0, NONE, NONE, NONE),
	[0x34] = D(SYSENTER, 0, NONE, NONE, NONE),
	[0x35] = D(SYSEXIT, 0, NONE, NONE, NONE),
	[0x40 ... 0x4f] = I(CMOVCC, cmovcc, ROW_RMW, Gv, Ev, NONE),
	[0x6e] = BY_PREFIX(sse_6e),
	[0x6f] = BY_PREFIX(sse_6f),
	[0x78] = BY_PREFIX(vmread),
	[0x79] = BY_PREFIX(vmwrite),
	[0x7e] = BY_PREFIX(sse_7e),
	[0x7f] = BY_PREFIX(sse_7f),
	[0x80 ... 0x8f] = D(JCC, ROW_FORCE64, Jz, NONE, NONE),
	[0x90 ... 0x9f] = I(SETCC, setcc, ROW_STORE, Eb, NONE, NONE),
	[0xa0] = I(PUSH, push_sreg, ROW_SELF | ROW_DEFAULT64, FS, NONE, NONE),
	[0xa1] = I(POP, pop_sreg, ROW_SELF | ROW_DEFAULT64, FS, NONE, NONE),
	[0xa2] = D(CPUID, 0, NONE, NONE, NONE),
	[0xa3] = I(BT, bt, ROW_SELF, Ev, Gv, NONE),
	[0xa4] = I(SHLD, shld, ROW_RMW, Ev, Gv, Ib),
	[0xa5] = I(SHLD, shld, ROW_RMW, Ev, Gv, CL),
	[0xa8] = I(PUSH, push_sreg, ROW_SELF | ROW_DEFAULT64, GS, NONE, NONE),
	[0xa9] = I(POP, pop_sreg, ROW_SELF | ROW_DEFAULT64, GS, NONE, NONE),
	[0xaa] = D(RSM, 0, NONE, NONE, NONE),
	[0xab] = I(BTS, bts, ROW_SELF | ROW_LOCK, Ev, Gv, NONE),
	[0xac] = I(SHRD, shrd, ROW_RMW, Ev, Gv, Ib),
	[0xad] = I(SHRD, shrd, ROW_RMW, Ev, Gv, CL),
	[0xae] = BY_MOD(group15_mod),
	[0xaf] = I(IMUL, imul3, ROW_RMW, Gv, Ev, NONE),
	[0xb0] = I(CMPXCHG, cmpxchg, ROW_RMW | ROW_LOCK, Eb, Gb, NONE),
	[0xb1] = I(CMPXCHG, cmpxchg, ROW_RMW | ROW_LOCK, Ev, Gv, NONE),
	[0xb2] = I(LSS, load_far, ROW_SELF, Gv, Mp, NONE),
	[0xb3] = I(BTR, btr, ROW_SELF | ROW_LOCK, Ev, Gv, NONE),
	[0xb4] = I(LFS, load_far, ROW_SELF, Gv, Mp, NONE),
	[0xb5] = I(LGS, load_far, ROW_SELF, Gv, Mp, NONE),
	[0xb6] = I(MOVZX, mov, ROW_STORE, Gv, Eb, NONE),
	[0xb7] = I(MOVZX, mov, ROW_STORE, Gv, Ew, NONE),
	[0xb9] = D(UD1, ROW_INVALID, Gv, Ev, NONE),
	[0xba] = BY_REG(group8),
	[0xbb] = I(BTC, btc, ROW_SELF | ROW_LOCK, Ev, Gv, NONE),
	[0xbc] = BY_PREFIX(bsf),
	[0xbd] = BY_PREFIX(bsr),
	[0xbe] = I(MOVSX, movsx, ROW_STORE, Gv, Eb, NONE),
	[0xbf] = I(MOVSX, movsx, ROW_STORE, Gv, Ew, NONE),
	[0xc0] = I(XADD, xadd, ROW_RMW | ROW_LOCK, Eb, Gb, NONE),
	[0xc1] = I(XADD, xadd, ROW_RMW | ROW_LOCK, Ev, Gv, NONE),
	[0xc3] = BY_PREFIX(movnti),
	[0xc7] = BY_MOD(group9_mod),
	[0xc8 ... 0xcf] = I(BSWAP, bswap, ROW_RMW, Zv, NONE, NONE),
	[0xd6] = BY_PREFIX(sse_d6),
	[0xe7] = BY_PREFIX(sse_e7),
	[0xf0] = BY_PREFIX(sse_f0),
	[0xff] = D(UD0, ROW_INVALID, Gv, Ev, NONE),
};

static table_t movbe_load = {
	I(MOVBE, movbe, ROW_STORE, Gv, Mv, NONE), I(MOVBE, movbe, ROW_STORE, Gv, Mv, NONE), {}, {},
};
static table_t movbe_store = {
	I(MOVBE, movbe, ROW_STORE, Mv, Gv, NONE), I(MOVBE, movbe, ROW_STORE, Mv, Gv, NONE), {}, {},
};

static table_t movdiri = NP(I(MOVDIRI, mov, ROW_STORE, My, Gy, NONE));

#define INV_BITS (ROW_PROTECTED | ROW_FORCE64 | ROW_FORCE32)

static table_t invept = { {}, D(INVEPT, INV_BITS, Gv, Mdq, NONE), {}, {} };
static table_t invvpid = { {}, D(INVVPID, INV_BITS, Gv, Mdq, NONE), {}, {} };
static table_t invpcid = { {}, D(INVPCID, ROW_FORCE64 | ROW_FORCE32, Gv, Mdq, NONE), {}, {} };

static const struct emul_opcode map_0f38[256] = {
	[0x2a] = BY_PREFIX(sse_382a),
	[0x80] = BY_PREFIX(invept),
	[0x81] = BY_PREFIX(invvpid),
	[0x82] = BY_PREFIX(invpcid),
	[0xf0] = BY_PREFIX(movbe_load),
	[0xf1] = BY_PREFIX(movbe_store),
	[0xf9] = BY_PREFIX(movdiri),
};

static table_t vex_movss_load = {
	V(MOVSS, vec_move, 0, Vdq, Md, NONE), V(MOVSS, vec_merge, ROW_VVVV, Vd, Hdq, Wd),
};
static table_t vex_movsd_load = {
	V(MOVSD, vec_move, 0, Vdq, Mq, NONE), V(MOVSD, vec_merge, ROW_VVVV, Vq, Hdq, Wq),
};
static table_t vex_movss_store = {
	V(MOVSS, vec_move, 0, Md, Vd, NONE), V(MOVSS, vec_merge, ROW_VVVV, Wd, Hdq, Vd),
};
static table_t vex_movsd_store = {
	V(MOVSD, vec_move, 0, Mq, Vq, NONE), V(MOVSD, vec_merge, ROW_VVVV, Wq, Hdq, Vq),
};
static table_t vex_10 = {
	V(MOVUPS, vec_move, 0, Vx, Wx, NONE), V(MOVUPD, vec_move, 0, Vx, Wx, NONE),
	BY_MOD(vex_movss_load), BY_MOD(vex_movsd_load),
};
static table_t vex_11 = {
	V(MOVUPS, vec_move, 0, Wx, Vx, NONE), V(MOVUPD, vec_move, 0, Wx, Vx, NONE),
	BY_MOD(vex_movss_store), BY_MOD(vex_movsd_store),
};
static table_t vex_12_none = {
	V(MOVLPS, vec_low, ROW_L0 | ROW_VVVV, Vdq, Hdq, Mq),
	V(MOVHLPS, vec_low, ROW_L0 | ROW_VVVV, Vdq, Hdq, Wdq),
};
static table_t vex_12 = {
	BY_MOD(vex_12_none), V(MOVLPD, vec_low, ROW_L0 | ROW_VVVV, Vdq, Hdq, Mq),
	V(MOVSLDUP, vec_dup, 0, Vx, Wx, NONE), V(MOVDDUP, vec_dup, 0, Vx, Wddup, NONE),
};
static table_t vex_13 = {
	V(MOVLPS, vec_move, ROW_L0, Mq, Vq, NONE), V(MOVLPD, vec_move, ROW_L0, Mq, Vq, NONE),
	{}, {},
};
static table_t vex_16_none = {
	V(MOVHPS, vec_high, ROW_L0 | ROW_VVVV, Vdq, Hdq, Mq),
	V(MOVLHPS, vec_high, ROW_L0 | ROW_VVVV, Vdq, Hdq, Wdq),
};
static table_t vex_16 = {
	BY_MOD(vex_16_none), V(MOVHPD, vec_high, ROW_L0 | ROW_VVVV, Vdq, Hdq, Mq),
	V(MOVSHDUP, vec_dup, 0, Vx, Wx, NONE), {},
};
static table_t vex_17 = {
	V(MOVHPS, vec_store_high, ROW_L0, Mq, Vdq, NONE),
	V(MOVHPD, vec_store_high, ROW_L0, Mq, Vdq, NONE), {}, {},
};
static table_t vex_6e_66 = {
	V(MOVD, vec_move, ROW_L0, Vdq, Ey, NONE), V(MOVQ, vec_move, ROW_L0, Vdq, Ey, NONE),
};
static table_t vex_6e = { {}, BY_REXW(vex_6e_66), {}, {} };
static table_t vex_6f = {
	{}, V(MOVDQA, vec_move, ROW_ALIGNED, Vx, Wx, NONE), V(MOVDQU, vec_move, 0, Vx, Wx, NONE),
	{},
};
static table_t vex_7e_66 = {
	V(MOVD, vec_move, ROW_L0, Ey, Vdq, NONE), V(MOVQ, vec_move, ROW_L0, Ey, Vdq, NONE),
};
static table_t vex_7e = {
	{}, BY_REXW(vex_7e_66), V(MOVQ, vec_move, ROW_L0, Vdq, Wq, NONE), {},
};
static table_t vex_7f = {
	{}, V(MOVDQA, vec_move, ROW_ALIGNED, Wx, Vx, NONE), V(MOVDQU, vec_move, 0, Wx, Vx, NONE),
	{},
};
static table_t vex_d6 = { {}, V(MOVQ, vec_move, ROW_L0, Wq, Vq, NONE), {}, {} };
static table_t vex_e7 = { {}, V(MOVNTDQ, vec_move, ROW_ALIGNED, Mx, Vx, NONE), {}, {} };

static const struct emul_opcode map_vex_0f[256] = {
	[0x10] = BY_PREFIX(vex_10),
	[0x11] = BY_PREFIX(vex_11),
	[0x12] = BY_PREFIX(vex_12),
	[0x13] = BY_PREFIX(vex_13),
	[0x16] = BY_PREFIX(vex_16),
	[0x17] = BY_PREFIX(vex_17),
	[0x28] = BY_PREFIX(sse_28),
	[0x29] = BY_PREFIX(sse_29),
	[0x2b] = BY_PREFIX(sse_2b),
	[0x6e] = BY_PREFIX(vex_6e),
	[0x6f] = BY_PREFIX(vex_6f),
	[0x7e] = BY_PREFIX(vex_7e),
	[0x7f] = BY_PREFIX(vex_7f),
	[0xd6] = BY_PREFIX(vex_d6),
	[0xe7] = BY_PREFIX(vex_e7),
	[0xf0] = BY_PREFIX(sse_f0),
};

static const struct emul_opcode map_vex_0f38[256] = {
	[0x2a] = BY_PREFIX(sse_382a),
};

/* Nothing of 0F 3A is known. */
static const struct emul_opcode map_empty[256];

const struct emul_opcode *const emul_map_legacy[4] = { one_byte, map_0f, map_0f38, map_empty };
const struct emul_opcode *const emul_map_vex[4] = {
	map_empty, map_vex_0f, map_vex_0f38, map_empty,
};
