// SPDX-License-Identifier: GPL-2.0
/*
 * SSE, AVX and MMX moves: bytes from one place to another, no arithmetic and not one vector
 * register of the CPU touched here. Without VEX, the bits of a vector register above 128 stay;
 * with VEX they become 0.
 */
#include "x86/emulate/opcode.h"

#define XCR0_SSE_AVX 6

/* #UD and #NM of an instruction on MMX, SSE or AVX state (SDM Vol. 2, 2.4 and 2.5). */
static int check_enabled(struct emul *e, bool mmx)
{
	u64 cr0 = e->ops->sysreg(e, EMUL_CR0);
	u64 cr4 = e->ops->sysreg(e, EMUL_CR4);
	bool ok;

	if (e->insn.vex)
		ok = (cr4 & X86_CR4_OSXSAVE) &&
		     (e->ops->sysreg(e, EMUL_XCR0) & XCR0_SSE_AVX) == XCR0_SSE_AVX;
	else
		ok = !(cr0 & X86_CR0_EM) && (mmx || (cr4 & X86_CR4_OSFXSR));
	if (!ok)
		return emul_raise(e, UD_VECTOR);
	if (cr0 & X86_CR0_TS)
		return emul_raise(e, NM_VECTOR);
	return EMUL_OK;
}

static bool has_place(const struct emul *e, enum emul_place place)
{
	const u8 *form = e->insn.row->form;

	return emul_forms[form[0]].place == place || emul_forms[form[1]].place == place;
}

static int begin(struct emul *e)
{
	bool mmx = has_place(e, PLACE_MMX_REG);
	int rc;

	if (!e->ops->read_vec || !e->ops->write_vec)
		return EMUL_UNHANDLED;
	if (mmx && !e->ops->check_mmx)
		return EMUL_UNHANDLED;
	rc = check_enabled(e, mmx);
	return rc || !mmx ? rc : e->ops->check_mmx(e);
}

/* The first bytes of an operand, followed by zeros. */
static int load(struct emul *e, const struct emul_operand *op, u8 buf[EMUL_DATA_MAX])
{
	u64 val;

	memset(buf, 0, EMUL_DATA_MAX);
	switch (op->kind) {
	case OPERAND_MEM:
		return emul_mem_read(e, op->la, buf, op->size);
	case OPERAND_VEC:
		e->ops->read_vec(e, op->reg, buf, op->size > 16 ? 32 : 16);
		memset(buf + op->size, 0, EMUL_DATA_MAX - op->size);
		return EMUL_OK;
	case OPERAND_MMX:
		e->ops->read_mmx(e, op->reg, buf);
		return EMUL_OK;
	case OPERAND_REG:
		val = emul_reg_read(e, op->reg, op->size);
		memcpy(buf, &val, sizeof(val));
		return EMUL_OK;
	default:
		return EMUL_UNHANDLED;
	}
}

static int store(struct emul *e, const struct emul_operand *op, const u8 buf[EMUL_DATA_MAX])
{
	u64 val;

	switch (op->kind) {
	case OPERAND_MEM:
		return emul_mem_write(e, op->la, buf, op->size);
	case OPERAND_VEC:
		e->ops->write_vec(e, op->reg, buf, e->insn.vex ? 32 : 16);
		return EMUL_OK;
	case OPERAND_MMX:
		e->ops->write_mmx(e, op->reg, buf);
		return EMUL_OK;
	case OPERAND_REG:
		memcpy(&val, buf, sizeof(val));
		emul_reg_write(e, op->reg, val, op->size);
		return EMUL_OK;
	default:
		return EMUL_UNHANDLED;
	}
}

/* The smaller of the two operands is moved; a register gets zeros behind it. */
int emul_exec_vec_move(struct emul *e)
{
	u8 buf[EMUL_DATA_MAX];
	int rc;

	rc = begin(e);
	if (!rc)
		rc = emul_resolve(e, 0, true);
	if (!rc)
		rc = emul_resolve(e, 1, false);
	if (!rc)
		rc = load(e, &e->op[1], buf);
	if (rc)
		return rc;
	if (e->op[0].size < EMUL_DATA_MAX)
		memset(buf + e->op[0].size, 0, EMUL_DATA_MAX - e->op[0].size);
	return store(e, &e->op[0], buf);
}

/*
 * The forms that take one part of the result from the last operand and the rest from the first
 * source: VEX.vvvv, or the destination without VEX. Leaves the last operand's bytes in @part and
 * the first source's 16 bytes in @whole.
 */
static int load_merge(struct emul *e, u8 part[EMUL_DATA_MAX], u8 whole[EMUL_DATA_MAX])
{
	unsigned int last = e->insn.vex ? 2 : 1;
	int rc;

	rc = begin(e);
	if (!rc)
		rc = emul_resolve(e, 0, true);
	if (!rc)
		rc = emul_resolve(e, last, false);
	if (!rc)
		rc = load(e, &e->op[last], part);
	if (rc)
		return rc;
	memset(whole, 0, EMUL_DATA_MAX);
	e->ops->read_vec(e, e->insn.vex ? e->insn.vvvv : e->op[0].reg, whole, 16);
	return EMUL_OK;
}

/* MOVSS and MOVSD between registers */
int emul_exec_vec_merge(struct emul *e)
{
	u8 part[EMUL_DATA_MAX], whole[EMUL_DATA_MAX];
	int rc = load_merge(e, part, whole);

	if (rc)
		return rc;
	memcpy(whole, part, e->op[0].size);
	return store(e, &e->op[0], whole);
}

/* Low half from memory or from the high half of a register: MOVLPS, MOVHLPS */
int emul_exec_vec_low(struct emul *e)
{
	u8 part[EMUL_DATA_MAX], whole[EMUL_DATA_MAX];
	int rc = load_merge(e, part, whole);

	if (rc)
		return rc;
	memcpy(whole, part + (e->insn.modrm >= 0xc0 ? 8 : 0), 8);
	return store(e, &e->op[0], whole);
}

/* High half from memory or from the low half of a register: MOVHPS, MOVLHPS */
int emul_exec_vec_high(struct emul *e)
{
	u8 part[EMUL_DATA_MAX], whole[EMUL_DATA_MAX];
	int rc = load_merge(e, part, whole);

	if (rc)
		return rc;
	memcpy(whole + 8, part, 8);
	return store(e, &e->op[0], whole);
}

/* MOVHPS to memory */
int emul_exec_vec_store_high(struct emul *e)
{
	u8 buf[EMUL_DATA_MAX];
	int rc;

	rc = begin(e);
	if (!rc)
		rc = emul_resolve(e, 0, true);
	if (!rc)
		rc = emul_resolve(e, 1, false);
	if (!rc)
		rc = load(e, &e->op[1], buf);
	if (rc)
		return rc;
	memcpy(buf, buf + 8, 8);
	return store(e, &e->op[0], buf);
}

/*
 * Elements of the source twice each: MOVSLDUP those with even numbers, MOVSHDUP those with odd
 * ones, of 4 bytes; MOVDDUP those with even numbers, of 8 bytes.
 */
int emul_exec_vec_dup(struct emul *e)
{
	unsigned int bytes = e->insn.id == EMUL_OP_MOVDDUP ? 8 : 4, i;
	unsigned int from = e->insn.id == EMUL_OP_MOVSHDUP ? bytes : 0;
	u8 src[EMUL_DATA_MAX], dst[EMUL_DATA_MAX];
	int rc;

	rc = begin(e);
	if (!rc)
		rc = emul_resolve(e, 0, true);
	if (!rc)
		rc = emul_resolve(e, 1, false);
	if (!rc)
		rc = load(e, &e->op[1], src);
	if (rc)
		return rc;
	memset(dst, 0, sizeof(dst));
	for (i = 0; i < e->op[0].size; i += 2 * bytes) {
		memcpy(dst + i, src + i + from, bytes);
		memcpy(dst + i + bytes, src + i + from, bytes);
	}
	return store(e, &e->op[0], dst);
}
