// SPDX-License-Identifier: GPL-2.0
/*
 * The decoder against Zydis: for random instructions in every mode, lengths, mnemonics, operands
 * and what is invalid must be the same. Where the two differ and the SDM is on our side, the case
 * stands in is_known_difference().
 */
#include <Zydis/Zydis.h>
#include <ctype.h>

#include "generate.h"
#include "unit.h"
#include "x86/emulate/opcode.h"

#define MNEMONIC_NAME(name) #name,
static const char *const names[] = { EMUL_MNEMONICS(MNEMONIC_NAME) };

struct subject {
	const char *name;
	enum emul_mode mode;
	ZydisMachineMode machine;
	ZydisStackWidth stack;
};

static const struct subject subjects[] = {
	{ "real mode", EMUL_REAL, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
	{ "16-bit", EMUL_PROT16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
	{ "32-bit", EMUL_PROT32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
	{ "64-bit", EMUL_LONG64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
};

struct decoded {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/* Ours covers families where Zydis has a name for each width or condition. */
static const struct {
	u8 id;
	const char *pattern;	/* '?': any letters, none as well */
} families[] = {
	{ EMUL_OP_JCC, "j?" }, { EMUL_OP_CMOVCC, "cmov?" }, { EMUL_OP_SETCC, "set?" },
	{ EMUL_OP_JCXZ, "j?cxz" }, { EMUL_OP_MOVS, "movs?" }, { EMUL_OP_STOS, "stos?" },
	{ EMUL_OP_LODS, "lods?" }, { EMUL_OP_CMPS, "cmps?" }, { EMUL_OP_SCAS, "scas?" },
	{ EMUL_OP_INS, "ins?" }, { EMUL_OP_OUTS, "outs?" }, { EMUL_OP_PUSHF, "pushf?" },
	{ EMUL_OP_POPF, "popf?" }, { EMUL_OP_PUSHA, "pusha?" }, { EMUL_OP_POPA, "popa?" },
	{ EMUL_OP_IRET, "iret?" }, { EMUL_OP_RETF, "ret" }, { EMUL_OP_PREFETCH, "prefetch?" },
	{ EMUL_OP_XSAVE, "xsave?" }, { EMUL_OP_XSAVEOPT, "xsaveopt?" },
	{ EMUL_OP_XSAVEC, "xsavec?" }, { EMUL_OP_XSAVES, "xsaves?" },
	{ EMUL_OP_XRSTOR, "xrstor?" }, { EMUL_OP_XRSTORS, "xrstors?" },
	{ EMUL_OP_FXSAVE, "fxsave?" }, { EMUL_OP_FXRSTOR, "fxrstor?" },
	{ EMUL_OP_SYSRET, "sysret?" }, { EMUL_OP_SYSEXIT, "sysexit?" },
	{ EMUL_OP_LDMXCSR, "ldmxcsr" }, { EMUL_OP_XLAT, "xlat" },
};

static bool matches(const char *pattern, const char *name)
{
	for (; *pattern && *pattern != '?'; pattern++, name++)
		if (*pattern != *name)
			return false;
	if (*pattern != '?')
		return *name == 0;
	pattern++;
	return strlen(name) >= strlen(pattern) &&
	       !strcmp(name + strlen(name) - strlen(pattern), pattern);
}

static bool same_mnemonic(const struct emul_insn *insn, const struct decoded *d)
{
	const char *theirs = ZydisMnemonicGetString(d->insn.mnemonic);
	char ours[32];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(families); i++)
		if (families[i].id == insn->id)
			return matches(families[i].pattern, theirs);
	snprintf(ours, sizeof(ours), "%s%s", insn->vex ? "v" : "", names[insn->id]);
	for (i = 0; ours[i]; i++)
		ours[i] = tolower(ours[i]);
	return !strcmp(ours, theirs);
}

static ZydisRegister gpr_name(unsigned int reg, unsigned int bytes, bool rex)
{
	if (bytes == 1)
		return ZydisRegisterEncode(ZYDIS_REGCLASS_GPR8, rex || reg < 4 ? reg + (reg > 3 ? 4 : 0)
							      : reg);
	return ZydisRegisterEncode(bytes == 2 ? ZYDIS_REGCLASS_GPR16 :
				   bytes == 4 ? ZYDIS_REGCLASS_GPR32 : ZYDIS_REGCLASS_GPR64, reg);
}

static ZydisRegister base_name(const struct emul_insn *insn, unsigned int reg)
{
	if (reg == EMUL_REG_NONE)
		return ZYDIS_REGISTER_NONE;
	if (reg == EMUL_REG_RIP)
		return insn->adsize == 8 ? ZYDIS_REGISTER_RIP : ZYDIS_REGISTER_EIP;
	return gpr_name(reg, insn->adsize, true);
}

static bool same_memory(const struct emul_insn *insn, const ZydisDecodedOperand *op)
{
	const ZydisDecodedOperandMem *mem = &op->mem;
	bool offset = emul_forms[insn->row->form[0]].place == PLACE_OFFSET ||
		      emul_forms[insn->row->form[1]].place == PLACE_OFFSET;
	u64 disp = offset ? insn->imm : (u64)(s64)insn->disp;
	ZydisRegister base = base_name(insn, insn->base), index = base_name(insn, insn->index);
	u64 mask = emul_mask(insn->adsize);

	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
		return false;
	/* [index * 1] is a base to Zydis, and has no effect on the address. */
	if (mem->base != base || mem->index != index)
		return false;
	if (index != ZYDIS_REGISTER_NONE && mem->scale != 1 << insn->scale)
		return false;
	if ((disp & mask) != ((u64)mem->disp.value & mask))
		return false;
	if (op->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
		return true;
	return ZydisRegisterGetId(mem->segment) == insn->seg;
}

static bool is_register(const ZydisDecodedOperand *op, ZydisRegister reg)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value == reg;
}

static ZydisRegister vec_name(unsigned int reg, unsigned int bytes)
{
	return ZydisRegisterEncode(bytes == 32 ? ZYDIS_REGCLASS_YMM : ZYDIS_REGCLASS_XMM, reg);
}

/* Immediates are compared as numbers of the operand size. */
static bool same_immediate(const struct emul_insn *insn, const ZydisDecodedOperand *op,
			   unsigned int bytes, u64 val)
{
	u64 mask = emul_mask(bytes);

	(void)insn;
	return op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	       (op->imm.value.u & mask) == (val & mask);
}

static bool same_operand(const struct emul_insn *insn, unsigned int i,
			 const ZydisDecodedOperand *op)
{
	enum emul_form form = insn->row->form[i];
	unsigned int bytes = emul_form_size(insn, form);
	bool memory = insn->has_modrm && insn->modrm < 0xc0;
	u64 imm = i == 1 && insn->row->form[0] == FORM_Iw ? insn->imm2 : insn->imm;

	switch (emul_forms[form].place) {
	case PLACE_RM:
	case PLACE_VEC_RM:
	case PLACE_MMX_RM:
	case PLACE_MEMORY:
		if (memory)
			return same_memory(insn, op) &&
			       (form == FORM_M || op->size == bytes * 8 || insn->id == EMUL_OP_NOP);
		if (emul_forms[form].place == PLACE_VEC_RM)
			return is_register(op, vec_name(insn->rm, bytes));
		if (emul_forms[form].place == PLACE_MMX_RM)
			return is_register(op, ZYDIS_REGISTER_MM0 + (insn->rm & 7));
		return is_register(op, gpr_name(insn->rm, bytes, insn->rex));
	case PLACE_RM_REG:
		return is_register(op, gpr_name(insn->rm, bytes, insn->rex));
	case PLACE_REG:
		return is_register(op, gpr_name(insn->reg, bytes, insn->rex));
	case PLACE_VEC_REG:
		return is_register(op, vec_name(insn->reg, bytes));
	case PLACE_VEC_VVVV:
		return is_register(op, vec_name(insn->vvvv, bytes));
	case PLACE_MMX_REG:
		return is_register(op, ZYDIS_REGISTER_MM0 + (insn->reg & 7));
	case PLACE_SEG_REG:
		return is_register(op, ZYDIS_REGISTER_ES + (insn->reg & 7));
	case PLACE_CR_REG:
		return is_register(op, ZYDIS_REGISTER_CR0 + insn->reg);
	case PLACE_DR_REG:
		return is_register(op, ZYDIS_REGISTER_DR0 + insn->reg);
	case PLACE_OPCODE:
		return is_register(op, gpr_name((insn->opcode & 7) | (insn->rex & 1) << 3, bytes,
						insn->rex));
	case PLACE_RAX:
		/* I/O has no 64-bit form. */
		if (insn->id == EMUL_OP_IN || insn->id == EMUL_OP_OUT)
			bytes = bytes == 8 ? 4 : bytes;
		return is_register(op, gpr_name(0, bytes, true));
	case PLACE_RCX:
		return is_register(op, gpr_name(1, bytes, true));
	case PLACE_RDX:
		return is_register(op, gpr_name(2, bytes, true));
	case PLACE_SEG:
		return is_register(op, ZYDIS_REGISTER_ES + form - FORM_ES);
	case PLACE_OFFSET:
		return same_memory(insn, op) && op->size == bytes * 8;
	case PLACE_IMM:
	case PLACE_JUMP:
		return same_immediate(insn, op, bytes, imm);
	case PLACE_FAR:
		return op->type == ZYDIS_OPERAND_TYPE_POINTER && op->ptr.segment == insn->imm2 &&
		       op->ptr.offset == insn->imm;
	default:
		return true;
	}
}

/* Operands that are not encoded: Zydis does not count them, or we do not. */
static bool hides_operands(const struct emul_insn *insn)
{
	const u8 *form = insn->row->form;

	return form[0] == FORM_NONE || emul_forms[form[0]].place >= PLACE_SRC ||
	       emul_forms[form[1]].place >= PLACE_SRC || insn->id == EMUL_OP_NOP;
}

static bool same_operands(const struct emul_insn *insn, const struct decoded *d)
{
	unsigned int i;

	if (hides_operands(insn))
		return true;
	for (i = 0; i < ARRAY_SIZE(insn->row->form) && insn->row->form[i]; i++) {
		if (i >= d->insn.operand_count_visible || !same_operand(insn, i, &d->op[i]))
			return false;
	}
	return i == d->insn.operand_count_visible;
}

static void complain(const char *what, const u8 *bytes, int len, const struct decoded *d,
		     bool decoded, const struct emul_insn *insn)
{
	int i;

	printf("# %s: us %d %s, Zydis %d %s:", what, len, names[insn->id],
	       decoded ? d->insn.length : -1,
	       decoded ? ZydisMnemonicGetString(d->insn.mnemonic) : "");
	for (i = 0; i < 15; i++)
		printf(" %02x", bytes[i]);
	printf("\n");
	for (i = 0; decoded && i < d->insn.operand_count_visible; i++)
		printf("#   operand %d: type %d size %d %s, memory %s %s*%d %s %lld type %d\n", i,
		       d->op[i].type, d->op[i].size, ZydisRegisterGetString(d->op[i].reg.value),
		       ZydisRegisterGetString(d->op[i].mem.base),
		       ZydisRegisterGetString(d->op[i].mem.index), d->op[i].mem.scale,
		       ZydisRegisterGetString(d->op[i].mem.segment),
		       (long long)d->op[i].mem.disp.value, d->op[i].mem.type);
}

static bool is_known_difference(const struct emul_insn *insn, const struct decoded *d,
				bool decoded)
{
	/* No base if SIB.base is 5 and mod is 0: REX.B does not count (SDM Vol. 2, table 2-5). */
	if (insn->adsize == 4 && (insn->rex & 1) && insn->base == EMUL_REG_NONE && decoded &&
	    d->insn.length == insn->len)
		return true;
	/* These are there in real mode as well, and raise #GP. */
	if (!decoded && (insn->id == EMUL_OP_SYSRET || insn->id == EMUL_OP_SYSENTER ||
			 insn->id == EMUL_OP_SYSEXIT))
		return true;
	/* F3 0F 09 (SDM); Zydis sees the one without a prefix. */
	if (insn->id == EMUL_OP_WBNOINVD)
		return decoded && d->insn.mnemonic == ZYDIS_MNEMONIC_WBINVD;
	/* The source is r32/m16 (SDM) and only 16 bits of it count, Zydis has r64. */
	if (insn->id == EMUL_OP_LAR)
		return decoded && insn->opsize == 8 && insn->modrm >= 0xc0;
	/* 66 63 is MOVSXD r16, r/m16 (SDM). AMD's CPUs and Zydis read 32 bits. */
	if (insn->id == EMUL_OP_MOVSXD)
		return decoded && insn->opsize == 2;
	/* With REX.B it is XCHG r8, rAX, whatever the other prefixes; seen on a CPU. */
	if (insn->id == EMUL_OP_XCHG)
		return decoded && insn->opcode == 0x90 && insn->rep == 0xf3;
	/* #UD in real mode (SDM, exceptions of each). */
	if (insn->id == EMUL_OP_VMREAD || insn->id == EMUL_OP_VMWRITE)
		return decoded && insn->mode == EMUL_REAL;
	/* 3E is a segment override, and also NOTRACK, in which Zydis sees only that. */
	if (insn->id == EMUL_OP_CALL || insn->id == EMUL_OP_JMP)
		return decoded && insn->mode != EMUL_LONG64 && insn->seg == EMUL_SEG_DS;
	return false;
}

/* UD0, UD1 and UD2 are instructions to Zydis; they raise #UD, which is what we say of them. */
static bool is_undefined(const struct decoded *d)
{
	return d->insn.mnemonic == ZYDIS_MNEMONIC_UD0 || d->insn.mnemonic == ZYDIS_MNEMONIC_UD1 ||
	       d->insn.mnemonic == ZYDIS_MNEMONIC_UD2;
}

/* 1: the same, 0: unhandled, -1: different */
static int compare(ZydisDecoder *decoder, enum emul_mode mode, const u8 *bytes)
{
	struct emul_insn insn = {};
	struct decoded d;
	int rc = emul_decode_bytes(&insn, mode, bytes, 15);
	bool decoded = ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, bytes, 15, &d.insn, d.op));
	const char *what = NULL;

	if (rc == EMUL_UNHANDLED)
		return 0;
	if ((rc == EMUL_OK) != (decoded && !is_undefined(&d)))
		what = "validity";
	else if (rc != EMUL_OK)
		return 1;
	else if (insn.len != d.insn.length)
		what = "length";
	else if (!same_mnemonic(&insn, &d))
		what = "mnemonic";
	else if (!same_operands(&insn, &d))
		what = "operands";
	if (!what || is_known_difference(&insn, &d, decoded))
		return 1;
	complain(what, bytes, rc == EMUL_OK ? insn.len : -rc, &d, decoded, &insn);
	return -1;
}

/* Every shorter piece of an instruction is truncated, and no byte behind it is looked at. */
static bool length_is_exact(enum emul_mode mode, const u8 *bytes)
{
	int len = emul_length(bytes, 15, mode), i;

	for (i = 0; i < len; i++)
		if (emul_length(bytes, i, mode) != -EMUL_TRUNCATED)
			return false;
	return len <= 0 || emul_length(bytes, len, mode) == len;
}

static void run_subject(const struct subject *s)
{
	unsigned long i, same = 0, different = 0, inexact = 0;
	uint64_t random = unit_seed;
	ZydisDecoder decoder;
	char name[80];
	u8 bytes[16];

	ZydisDecoderInit(&decoder, s->machine, s->stack);
	ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_TRUE);
	for (i = 0; i < unit_count && different < 8; i++) {
		int rc;

		generate(&random, s->mode, bytes);
		rc = compare(&decoder, s->mode, bytes);
		same += rc > 0;
		different += rc < 0;
		if (i % 16 == 0)
			inexact += !length_is_exact(s->mode, bytes);
	}
	printf("# %s: %lu the same, %lu different, %lu not known to us\n", s->name, same,
	       different, i - same - different);
	snprintf(name, sizeof(name), "decode as Zydis does: %s", s->name);
	unit_result(!different && same > unit_count / 2, name);
	snprintf(name, sizeof(name), "decode looks at its own bytes only: %s", s->name);
	unit_result(!inexact, name);
}

int main(int argc, char **argv)
{
	unsigned int i;

	unit_options(argc, argv, 100000);
	for (i = 0; i < ARRAY_SIZE(subjects); i++)
		run_subject(&subjects[i]);
	return unit_done();
}
