// SPDX-License-Identifier: GPL-2.0
/*
 * From bytes to struct emul_insn: prefixes, opcode, ModRM, SIB, displacement, immediates, as the
 * rows of the opcode table say. Looks at no register and no memory; SDM Vol. 2, chapter 2.
 */
#include "x86/emulate/opcode.h"

/* Reads code a piece at a time; once it is at the end, every further read gives 0. */
struct cursor {
	const u8 *pos;
	const u8 *end;
	bool overrun;
};

static u8 take_byte(struct cursor *c)
{
	if (c->pos == c->end) {
		c->overrun = true;
		return 0;
	}
	return *c->pos++;
}

/* Little-endian number of @size bytes, not extended. */
static u64 take_number(struct cursor *c, unsigned int size)
{
	u64 val = 0;

	if ((unsigned int)(c->end - c->pos) < size) {
		c->overrun = true;
		c->pos = c->end;
		return 0;
	}
	memcpy(&val, c->pos, size);
	c->pos += size;
	return val;
}

static u64 take_signed(struct cursor *c, unsigned int size)
{
	return emul_sext(take_number(c, size), size);
}

/* In 64-bit mode only FS and GS overrides mean anything. */
static void set_segment(struct emul_insn *insn, enum emul_seg seg)
{
	if (insn->mode != EMUL_LONG64 || seg >= EMUL_SEG_FS)
		insn->seg = seg;
}

/*
 * All legacy prefixes and REX. Return the first byte that is neither. A REX prefix counts only
 * if it is the last one.
 */
static u8 take_prefixes(struct emul_insn *insn, struct cursor *c, bool *adsize67)
{
	for (;;) {
		u8 byte = take_byte(c);

		switch (byte) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			set_segment(insn, (byte >> 3) & 3);
			break;
		case 0x64:
		case 0x65:
			set_segment(insn, byte & 7);
			break;
		case 0x66:
			insn->opsize66 = true;
			break;
		case 0x67:
			*adsize67 = true;
			break;
		case 0xf0:
			insn->lock = true;
			break;
		case 0xf2:
		case 0xf3:
			insn->rep = byte;
			break;
		case 0x40 ... 0x4f:
			if (insn->mode != EMUL_LONG64)
				return byte;
			insn->rex = byte;
			continue;
		default:
			return byte;
		}
		insn->rex = 0;
	}
}

/*
 * C4 or C5 starts a VEX prefix in 64-bit mode always, in protected mode if the next two bits are
 * set (it is LES or LDS otherwise), in real and virtual-8086 mode never.
 */
static bool is_vex(const struct emul_insn *insn, const struct cursor *c, u8 byte)
{
	if (byte != 0xc4 && byte != 0xc5)
		return false;
	if (insn->mode == EMUL_LONG64)
		return true;
	return insn->mode >= EMUL_PROT16 && c->pos != c->end && *c->pos >= 0xc0;
}

/* The VEX prefix (SDM Vol. 2, 2.3.5), told as the REX and legacy prefixes that it stands for. */
static const struct emul_opcode *take_vex(struct emul_insn *insn, struct cursor *c, u8 byte)
{
	static const struct emul_opcode invalid = { .flags = ROW_INVALID };
	static const u8 rep[4] = { 0, 0, 0xf3, 0xf2 };
	bool bad_prefix = insn->opsize66 || insn->rep || insn->lock || insn->rex;
	u8 payload = take_byte(c);
	u8 rex = 0x40 | (payload & 0x80 ? 0 : 4);

	insn->map = 1;
	if (byte == 0xc4) {
		rex |= (payload & 0x40 ? 0 : 2) | (payload & 0x20 ? 0 : 1);
		insn->map = payload & 0x1f;
		payload = take_byte(c);
		rex |= payload & 0x80 ? 8 : 0;
	}
	insn->vex = payload & 4 ? 32 : 16;
	insn->vvvv = (~payload >> 3) & 15;
	insn->opsize66 = (payload & 3) == 1;
	insn->rep = rep[payload & 3];
	insn->rex = insn->mode == EMUL_LONG64 ? rex : 0x40;
	insn->opcode = take_byte(c);
	if (bad_prefix)
		return &invalid;
	if (insn->map == 0 || insn->map > 3)
		return NULL;
	return &emul_map_vex[insn->map][insn->opcode];
}

static const struct emul_opcode *take_opcode(struct emul_insn *insn, struct cursor *c, u8 byte)
{
	if (is_vex(insn, c, byte))
		return take_vex(insn, c, byte);

	if (byte == 0x0f) {
		insn->map = 1;
		byte = take_byte(c);
		if (byte == 0x38 || byte == 0x3a) {
			insn->map = byte == 0x38 ? 2 : 3;
			byte = take_byte(c);
		}
	}
	insn->opcode = byte;
	return &emul_map_legacy[insn->map][byte];
}

static void take_modrm(struct emul_insn *insn, struct cursor *c)
{
	if (insn->has_modrm)
		return;
	insn->has_modrm = true;
	insn->modrm = take_byte(c);
	insn->reg = ((insn->modrm >> 3) & 7) | (insn->rex & 4) << 1;
	insn->rm = (insn->modrm & 7) | (insn->rex & 1) << 3;
}

static unsigned int default_opsize(const struct emul_insn *insn)
{
	bool small = insn->opsize66;

	if (insn->mode == EMUL_LONG64 && (insn->rex & 8))
		return 8;
	if (insn->mode < EMUL_PROT32)
		small = !small;
	return small ? 2 : 4;
}

static unsigned int default_adsize(const struct emul_insn *insn, bool adsize67)
{
	if (insn->mode == EMUL_LONG64)
		return adsize67 ? 4 : 8;
	return (insn->mode == EMUL_PROT32) != adsize67 ? 4 : 2;
}

static void adjust_opsize(struct emul_insn *insn, u32 flags)
{
	if (insn->mode != EMUL_LONG64) {
		if (flags & ROW_FORCE32)
			insn->opsize = 4;
		return;
	}
	if ((flags & ROW_FORCE64) || ((flags & ROW_DEFAULT64) && insn->opsize == 4))
		insn->opsize = 8;
}

static unsigned int prefix_index(const struct emul_insn *insn)
{
	if (insn->rep)
		return insn->rep == 0xf3 ? 2 : 3;
	return insn->opsize66;
}

/* Follow the row to the next table, one step. */
static const struct emul_opcode *next_row(struct emul_insn *insn, struct cursor *c,
					  const struct emul_opcode *row)
{
	if (row->flags & ROW_MODRM)
		take_modrm(insn, c);

	switch (row->flags & ROW_KIND) {
	case ROW_REG:
		return &row->sub[(insn->modrm >> 3) & 7];
	case ROW_MOD:
		return &row->sub[insn->modrm >= 0xc0];
	case ROW_RM:
		return &row->sub[insn->modrm & 7];
	case ROW_PREFIX:
		return &row->sub[prefix_index(insn)];
	case ROW_SIZE:
		return &row->sub[insn->opsize >> 2];
	case ROW_REXB:
		return &row->sub[insn->rex & 1];
	case ROW_REXW:
		return &row->sub[(insn->rex >> 3) & 1];
	default:
		return &row->sub[insn->mode == EMUL_LONG64];
	}
}

/* 16-bit addressing: SDM Vol. 2, table 2-1. */
static void take_memory16(struct emul_insn *insn, struct cursor *c)
{
	static const u8 base[8] = {
		EMUL_RBX, EMUL_RBX, EMUL_RBP, EMUL_RBP, EMUL_RSI, EMUL_RDI, EMUL_RBP, EMUL_RBX,
	};
	static const u8 index[8] = {
		EMUL_RSI, EMUL_RDI, EMUL_RSI, EMUL_RDI,
		EMUL_REG_NONE, EMUL_REG_NONE, EMUL_REG_NONE, EMUL_REG_NONE,
	};
	unsigned int mod = insn->modrm >> 6, rm = insn->modrm & 7;

	if (mod == 0 && rm == 6) {
		insn->disp = take_signed(c, 2);
		return;
	}
	insn->base = base[rm];
	insn->index = index[rm];
	if (mod)
		insn->disp = take_signed(c, mod);
}

/* 32 and 64-bit addressing: SDM Vol. 2, tables 2-2 and 2-3. */
static void take_memory32(struct emul_insn *insn, struct cursor *c)
{
	unsigned int mod = insn->modrm >> 6;

	insn->base = insn->rm;
	if ((insn->modrm & 7) == 4) {
		u8 sib = take_byte(c);

		insn->scale = sib >> 6;
		insn->index = ((sib >> 3) & 7) | (insn->rex & 2) << 2;
		if (insn->index == 4)
			insn->index = EMUL_REG_NONE;
		insn->base = (sib & 7) | (insn->rex & 1) << 3;
		if (mod == 0 && (sib & 7) == 5)
			insn->base = EMUL_REG_NONE;
	} else if (mod == 0 && (insn->modrm & 7) == 5) {
		insn->base = insn->mode == EMUL_LONG64 ? EMUL_REG_RIP : EMUL_REG_NONE;
	}

	if (mod == 1)
		insn->disp = take_signed(c, 1);
	else if (mod == 2 || insn->base == EMUL_REG_NONE || insn->base == EMUL_REG_RIP)
		insn->disp = take_signed(c, 4);
}

static void take_memory(struct emul_insn *insn, struct cursor *c)
{
	if (insn->modrm >= 0xc0 || (insn->row->flags & ROW_IGNORE_MOD))
		return;
	if (insn->adsize == 2)
		take_memory16(insn, c);
	else
		take_memory32(insn, c);
}

/* An address relative to rSP or rBP is in the stack segment, any other in the data segment. */
static void default_segment(struct emul_insn *insn)
{
	if (insn->seg != EMUL_SEG_NONE)
		return;
	insn->seg = insn->base == EMUL_RSP || insn->base == EMUL_RBP ? EMUL_SEG_SS : EMUL_SEG_DS;
}

static void take_immediate(struct emul_insn *insn, struct cursor *c, enum emul_form form)
{
	unsigned int z = insn->opsize == 2 ? 2 : 4;

	switch (form) {
	case FORM_Ib:
		/* ENTER has two: Iw, then Ib. */
		if (insn->row->form[0] == FORM_Iw)
			insn->imm2 = take_byte(c);
		else
			insn->imm = take_byte(c);
		break;
	case FORM_Isb:
	case FORM_Jb:
		insn->imm = take_signed(c, 1);
		break;
	case FORM_Iw:
		insn->imm = take_number(c, 2);
		break;
	case FORM_Iz:
	case FORM_Jz:
		insn->imm = take_signed(c, z);
		break;
	case FORM_Iv:
		insn->imm = take_number(c, insn->opsize);
		break;
	case FORM_Ap:
		insn->imm = take_number(c, z);
		insn->imm2 = take_number(c, 2);
		break;
	case FORM_Ob:
	case FORM_Ov:
		insn->imm = take_number(c, insn->adsize);
		break;
	case FORM_One:
		insn->imm = 1;
		break;
	default:
		break;
	}
}

/**
 * emul_form_size() - how wide an operand is
 * @insn: its sizes, prefixes and ModRM are decoded
 * @form: of the operand
 *
 * Context: any.
 *
 * Return: bytes; 0: the form has no data of its own.
 */
unsigned int emul_form_size(const struct emul_insn *insn, enum emul_form form)
{
	unsigned int width = emul_forms[form].width;

	switch (width) {
	case WIDTH_V:
		return insn->opsize;
	case WIDTH_Y:
		return insn->mode == EMUL_LONG64 && (insn->rex & 8) ? 8 : 4;
	case WIDTH_Z:
		return insn->opsize == 2 ? 2 : 4;
	case WIDTH_X:
		return insn->vex ? insn->vex : 16;
	case WIDTH_DDUP:
		return insn->vex == 32 ? 32 : 8;
	case WIDTH_P:
		return insn->opsize + 2;
	case WIDTH_WV:
		return insn->modrm >= 0xc0 ? insn->opsize : 2;
	case WIDTH_WZ:
		return insn->modrm >= 0xc0 && insn->opsize != 2 ? 4 : 2;
	default:
		return width;
	}
}

/* Does ModRM.mod suit the operands? */
static bool mod_is_valid(const struct emul_insn *insn)
{
	bool reg = insn->modrm >= 0xc0 || (insn->row->flags & ROW_IGNORE_MOD);
	unsigned int i;

	for (i = 0; insn->has_modrm && i < ARRAY_SIZE(insn->row->form); i++) {
		if (emul_forms[insn->row->form[i]].place == (reg ? PLACE_MEMORY : PLACE_RM_REG))
			return false;
	}
	return true;
}

/* CR0, 2, 3, 4 and 8 exist; CS can't be loaded; there are six segment registers. */
static bool reg_is_valid(const struct emul_insn *insn)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		switch (insn->row->form[i]) {
		case FORM_Sw:
			if ((insn->modrm & 0x38) > 0x28 || (i == 0 && (insn->modrm & 0x38) == 0x08))
				return false;
			break;
		case FORM_Cy:
			if (insn->reg > 8 || !(0x11d & (1 << insn->reg)))
				return false;
			break;
		case FORM_Dy:
			if (insn->reg > 7)
				return false;
			break;
		default:
			break;
		}
	}
	return true;
}

static bool vex_is_valid(const struct emul_insn *insn)
{
	if (!insn->vex)
		return true;
	if ((insn->row->flags & ROW_L0) && insn->vex == 32)
		return false;
	return (insn->row->flags & ROW_VVVV) || insn->vvvv == 0;
}

/* Everything that makes the CPU raise #UD for an opcode that exists. */
static bool insn_is_valid(const struct emul_insn *insn)
{
	u32 flags = insn->row->flags;

	if (flags & ROW_INVALID)
		return false;
	if ((flags & ROW_NO64) && insn->mode == EMUL_LONG64)
		return false;
	if ((flags & ROW_ONLY64) && insn->mode != EMUL_LONG64)
		return false;
	if ((flags & ROW_PROTECTED) && insn->mode < EMUL_PROT16)
		return false;
	if (insn->lock && !((flags & ROW_LOCK) && insn->modrm < 0xc0))
		return false;
	return mod_is_valid(insn) && reg_is_valid(insn) && vex_is_valid(insn);
}

static void insn_init(struct emul_insn *insn, enum emul_mode mode)
{
	memset(insn, 0, offsetof(struct emul_insn, bytes));
	insn->mode = mode;
	insn->seg = EMUL_SEG_NONE;
	insn->base = EMUL_REG_NONE;
	insn->index = EMUL_REG_NONE;
}

static bool is_known(const struct emul_insn *insn, const struct emul_opcode *row)
{
	if ((row->flags & ROW_NP) && prefix_index(insn))
		return false;
	return row->id != EMUL_OP_NONE || (row->flags & ROW_INVALID);
}

static int decode_body(struct emul_insn *insn, struct cursor *c)
{
	const struct emul_opcode *row;
	bool adsize67 = false;
	unsigned int i;
	u8 byte;

	byte = take_prefixes(insn, c, &adsize67);
	row = take_opcode(insn, c, byte);
	if (c->overrun)
		return EMUL_OK;
	if (!row)
		return EMUL_UNHANDLED;

	insn->opsize = default_opsize(insn);
	insn->adsize = default_adsize(insn, adsize67);
	adjust_opsize(insn, row->flags);
	while (row->flags & ROW_KIND) {
		row = next_row(insn, c, row);
		adjust_opsize(insn, row->flags);
	}
	if (row->flags & ROW_MODRM)
		take_modrm(insn, c);
	if (c->overrun)
		return EMUL_OK;
	if (!is_known(insn, row))
		return EMUL_UNHANDLED;

	insn->row = row;
	insn->id = row->id;
	if (insn->has_modrm)
		take_memory(insn, c);
	default_segment(insn);
	for (i = 0; i < ARRAY_SIZE(row->form); i++)
		take_immediate(insn, c, row->form[i]);
	if (c->overrun)
		return EMUL_OK;
	if (!insn_is_valid(insn))
		return EMUL_INVALID;
	/* There are 8 registers; the fourth bit is looked at only if it is no register. */
	if (insn->mode != EMUL_LONG64)
		insn->vvvv &= 7;
	return EMUL_OK;
}

int emul_decode_bytes(struct emul_insn *insn, enum emul_mode mode, const u8 *bytes, unsigned int n)
{
	unsigned int max = n < EMUL_INSN_MAX ? n : EMUL_INSN_MAX;
	struct cursor c = { .pos = bytes, .end = bytes + max };
	int rc;

	insn_init(insn, mode);
	rc = decode_body(insn, &c);
	if (c.overrun)
		return n < EMUL_INSN_MAX ? EMUL_TRUNCATED : EMUL_TOO_LONG;
	insn->len = c.pos - bytes;
	return rc;
}

int emul_length(const u8 *bytes, unsigned int n, enum emul_mode mode)
{
	struct emul_insn insn;
	int rc = emul_decode_bytes(&insn, mode, bytes, n);

	return rc == EMUL_OK ? insn.len : -rc;
}
