// SPDX-License-Identifier: GPL-2.0
/*
 * Handlers of the general-purpose instructions, strings and the stack apart. A handler finds its operands in
 * e->op[].val and leaves the result in e->op[0].val; flags go to e->new_rflags. Flags that the
 * SDM calls undefined are left alone or come out as the formula gives them.
 */
#include "x86/emulate/opcode.h"

static void set_flags(struct emul *e, u64 mask, u64 flags)
{
	e->new_rflags = (e->new_rflags & ~mask) | (flags & mask);
}

static u64 carry_in(const struct emul *e)
{
	return !!(e->new_rflags & X86_EFLAGS_CF);
}

static u64 flag_if(bool set, u64 flag)
{
	return set ? flag : 0;
}

/* Even number of ones in the low byte. */
static bool parity(u64 val)
{
	val ^= val >> 4;
	return !((0x6996 >> (val & 15)) & 1);
}

/* SF, ZF and PF follow the result. */
static u64 result_flags(u64 res, unsigned int size)
{
	res &= emul_mask(size);
	return flag_if(res & emul_sign(size), X86_EFLAGS_SF) | flag_if(!res, X86_EFLAGS_ZF) |
	       flag_if(parity(res), X86_EFLAGS_PF);
}

static u64 add_flags(u64 a, u64 b, u64 res, unsigned int size)
{
	u64 sign = emul_sign(size);

	return result_flags(res, size) |
	       flag_if(((a & b) | ((a | b) & ~res)) & sign, X86_EFLAGS_CF) |
	       flag_if((a ^ b ^ res) & 0x10, X86_EFLAGS_AF) |
	       flag_if((a ^ res) & (b ^ res) & sign, X86_EFLAGS_OF);
}

static u64 sub_flags(u64 a, u64 b, u64 res, unsigned int size)
{
	u64 sign = emul_sign(size);

	return result_flags(res, size) |
	       flag_if(((~a & b) | ((~a | b) & res)) & sign, X86_EFLAGS_CF) |
	       flag_if((a ^ b ^ res) & 0x10, X86_EFLAGS_AF) |
	       flag_if((a ^ b) & (a ^ res) & sign, X86_EFLAGS_OF);
}

static u64 do_add(struct emul *e, u64 a, u64 b, u64 carry, unsigned int size)
{
	u64 res = a + b + carry;

	set_flags(e, STATUS_FLAGS, add_flags(a, b, res, size));
	return res;
}

/**
 * emul_sub() - subtract, and set the flags as SUB and CMP do
 * @e: context; the six status flags go to new_rflags
 * @a: from this
 * @b: this
 * @borrow: and this: 0 or 1
 * @size: of the numbers, 1 to 8 bytes; what is above counts for nothing, here and in the result
 *
 * Context: any.
 *
 * Return: the difference.
 */
u64 emul_sub(struct emul *e, u64 a, u64 b, u64 borrow, unsigned int size)
{
	u64 res = a - b - borrow;

	set_flags(e, STATUS_FLAGS, sub_flags(a, b, res, size));
	return res;
}

static u64 do_logic(struct emul *e, u64 res, unsigned int size)
{
	set_flags(e, STATUS_FLAGS, result_flags(res, size));
	return res;
}

int emul_exec_add(struct emul *e)
{
	e->op[0].val = do_add(e, e->op[0].val, e->op[1].val, 0, e->op[0].size);
	return EMUL_OK;
}

int emul_exec_adc(struct emul *e)
{
	e->op[0].val = do_add(e, e->op[0].val, e->op[1].val, carry_in(e), e->op[0].size);
	return EMUL_OK;
}

int emul_exec_sub(struct emul *e)
{
	e->op[0].val = emul_sub(e, e->op[0].val, e->op[1].val, 0, e->op[0].size);
	return EMUL_OK;
}

int emul_exec_sbb(struct emul *e)
{
	e->op[0].val = emul_sub(e, e->op[0].val, e->op[1].val, carry_in(e), e->op[0].size);
	return EMUL_OK;
}

int emul_exec_cmp(struct emul *e)
{
	emul_sub(e, e->op[0].val, e->op[1].val, 0, e->op[0].size);
	return EMUL_OK;
}

int emul_exec_and(struct emul *e)
{
	e->op[0].val = do_logic(e, e->op[0].val & e->op[1].val, e->op[0].size);
	return EMUL_OK;
}

int emul_exec_or(struct emul *e)
{
	e->op[0].val = do_logic(e, e->op[0].val | e->op[1].val, e->op[0].size);
	return EMUL_OK;
}

int emul_exec_xor(struct emul *e)
{
	e->op[0].val = do_logic(e, e->op[0].val ^ e->op[1].val, e->op[0].size);
	return EMUL_OK;
}

int emul_exec_test(struct emul *e)
{
	do_logic(e, e->op[0].val & e->op[1].val, e->op[0].size);
	return EMUL_OK;
}

int emul_exec_not(struct emul *e)
{
	e->op[0].val = ~e->op[0].val;
	return EMUL_OK;
}

int emul_exec_neg(struct emul *e)
{
	e->op[0].val = emul_sub(e, 0, e->op[0].val, 0, e->op[0].size);
	return EMUL_OK;
}

/* INC and DEC leave CF alone. */
int emul_exec_inc(struct emul *e)
{
	u64 a = e->op[0].val;

	set_flags(e, STATUS_FLAGS & ~X86_EFLAGS_CF, add_flags(a, 1, a + 1, e->op[0].size));
	e->op[0].val = a + 1;
	return EMUL_OK;
}

int emul_exec_dec(struct emul *e)
{
	u64 a = e->op[0].val;

	set_flags(e, STATUS_FLAGS & ~X86_EFLAGS_CF, sub_flags(a, 1, a - 1, e->op[0].size));
	e->op[0].val = a - 1;
	return EMUL_OK;
}

int emul_exec_nop(struct emul *e)
{
	(void)e;
	return EMUL_OK;
}

int emul_exec_mov(struct emul *e)
{
	e->op[0].val = e->op[1].val;
	return EMUL_OK;
}

int emul_exec_movsx(struct emul *e)
{
	e->op[0].val = emul_sext(e->op[1].val, e->op[1].size);
	return EMUL_OK;
}

static u64 swap_bytes(u64 val, unsigned int size)
{
	return __builtin_bswap64(val) >> (64 - size * 8);
}

int emul_exec_movbe(struct emul *e)
{
	e->op[0].val = swap_bytes(e->op[1].val, e->op[0].size);
	return EMUL_OK;
}

/* BSWAP of a 16-bit register is undefined; all CPUs give 0. */
int emul_exec_bswap(struct emul *e)
{
	e->op[0].val = e->op[0].size == 2 ? 0 : swap_bytes(e->op[0].val, e->op[0].size);
	return EMUL_OK;
}

int emul_exec_lea(struct emul *e)
{
	e->op[0].size = e->insn.opsize;
	emul_reg_write(e, e->insn.reg, emul_effective_address(e), e->insn.opsize);
	return EMUL_OK;
}

/* AL = [rBX + AL] */
int emul_exec_xlat(struct emul *e)
{
	u64 ea = emul_reg_read(e, EMUL_RBX, 8) + emul_reg_read(e, EMUL_RAX, 1);
	u64 la, val = 0;
	int rc;

	rc = emul_linear(e, e->insn.seg, ea & emul_mask(e->insn.adsize), 1, false, &la);
	if (!rc)
		rc = emul_mem_read(e, la, &val, 1);
	if (!rc)
		emul_reg_write(e, EMUL_RAX, val, 1);
	return rc;
}

/* There is no cache before a device. What is left are the faults of a one-byte read. */
int emul_exec_clflush(struct emul *e)
{
	u64 la;
	int rc;

	rc = emul_linear(e, e->insn.seg, emul_effective_address(e), 1, false, &la);
	return rc ? rc : emul_probe(e, la, 1, false);
}

/**
 * emul_condition() - would Jcc, SETcc or CMOVcc see its condition met?
 * @rflags: the flags
 * @code: low four bits of the opcode; the lowest of them inverts (SDM Vol. 1, appendix B)
 *
 * Context: any.
 *
 * Return: whether.
 */
bool emul_condition(u64 rflags, unsigned int code)
{
	bool sf_ne_of = !(rflags & X86_EFLAGS_SF) != !(rflags & X86_EFLAGS_OF);
	bool res;

	switch (code >> 1) {
	case 0:
		res = rflags & X86_EFLAGS_OF;
		break;
	case 1:
		res = rflags & X86_EFLAGS_CF;
		break;
	case 2:
		res = rflags & X86_EFLAGS_ZF;
		break;
	case 3:
		res = rflags & (X86_EFLAGS_CF | X86_EFLAGS_ZF);
		break;
	case 4:
		res = rflags & X86_EFLAGS_SF;
		break;
	case 5:
		res = rflags & X86_EFLAGS_PF;
		break;
	case 6:
		res = sf_ne_of;
		break;
	default:
		res = sf_ne_of || (rflags & X86_EFLAGS_ZF);
		break;
	}
	return res != (code & 1);
}

int emul_exec_setcc(struct emul *e)
{
	e->op[0].val = emul_condition(e->rflags, e->insn.opcode & 15);
	return EMUL_OK;
}

/* The source is read and the destination is written whatever the condition. */
int emul_exec_cmovcc(struct emul *e)
{
	if (emul_condition(e->rflags, e->insn.opcode & 15))
		e->op[0].val = e->op[1].val;
	return EMUL_OK;
}

/* Write the second operand, a register, with the destination's old value. */
static int store_source(struct emul *e, u64 val)
{
	e->op[1].val = val;
	return emul_store(e, &e->op[1], 0);
}

int emul_exec_xchg(struct emul *e)
{
	u64 src = e->op[1].val;
	int rc = store_source(e, e->op[0].val);

	e->op[0].val = src;
	return rc;
}

int emul_exec_xadd(struct emul *e)
{
	u64 dst = e->op[0].val;
	u64 sum = do_add(e, dst, e->op[1].val, 0, e->op[0].size);
	int rc = store_source(e, dst);

	e->op[0].val = sum;
	return rc;
}

/*
 * After a comparison that failed, memory is written with its old value; a register is not written
 * at all, and keeps its upper half even if the operand size is 32 bits.
 */
int emul_exec_cmpxchg(struct emul *e)
{
	unsigned int size = e->op[0].size;
	u64 acc = emul_reg_read(e, EMUL_RAX, size);

	emul_sub(e, acc, e->op[0].val, 0, size);
	if (acc == e->op[0].val) {
		e->op[0].val = e->op[1].val;
		return EMUL_OK;
	}
	emul_reg_write(e, EMUL_RAX, e->op[0].val, size);
	if (e->op[0].kind != OPERAND_MEM)
		e->op[0].kind = OPERAND_NONE;
	return EMUL_OK;
}

/* CMPXCHG8B and CMPXCHG16B: rDX:rAX against memory, rCX:rBX is new. */
int emul_exec_cmpxchg_wide(struct emul *e)
{
	unsigned int size = emul_form_size(&e->insn, e->insn.row->form[0]), half = size / 2;
	u8 old[16], new[16];
	u64 low = 0, high = 0;
	bool equal;
	int rc;

	rc = emul_resolve(e, 0, true);
	if (rc)
		return rc;
	rc = emul_read_for_update(e, e->op[0].la, old, size);
	if (rc)
		return rc;

	memcpy(&low, old, half);
	memcpy(&high, old + half, half);
	equal = low == emul_reg_read(e, EMUL_RAX, half) && high == emul_reg_read(e, EMUL_RDX, half);
	if (equal) {
		memcpy(new, &e->new_gpr[EMUL_RBX], half);
		memcpy(new + half, &e->new_gpr[EMUL_RCX], half);
	} else {
		memcpy(new, old, size);
		emul_reg_write(e, EMUL_RAX, low, half);
		emul_reg_write(e, EMUL_RDX, high, half);
	}
	set_flags(e, X86_EFLAGS_ZF, flag_if(equal, X86_EFLAGS_ZF));
	return emul_mem_update(e, e->op[0].la, old, new, size);
}

/* The kinds of rotates and shifts, by ModRM.reg. */
enum shift { ROL, ROR, RCL, RCR, SHL, SHR, SAL, SAR };

/*
 * RCL by @count (1 to 8 * size) bits; @cf: carry in and out.
 */
static u64 rotate_carry_left(u64 val, unsigned int count, unsigned int bits, bool *cf)
{
	u64 res = count < 64 ? val << count : 0;

	if (count > 1)
		res |= val >> (bits + 1 - count);
	res |= (u64)*cf << (count - 1);
	*cf = (val >> (bits - count)) & 1;
	return res;
}

/* Rotates change CF and OF only. A rotate through carry is one over a number a bit wider. */
static u64 do_rotate(struct emul *e, enum shift kind, u64 val, unsigned int count,
		     unsigned int size)
{
	unsigned int bits = size * 8, n;
	bool cf = carry_in(e), top, next;
	u64 res = val;

	if (kind == ROL || kind == ROR) {
		n = (kind == ROL ? count : bits - count % bits) % bits;
		if (n)
			res = val << n | val >> (bits - n);
		cf = kind == ROL ? res & 1 : !!(res & emul_sign(size));
	} else {
		n = count % (bits + 1);
		if (kind == RCR && n)
			n = bits + 1 - n;
		if (n)
			res = rotate_carry_left(val, n, bits, &cf);
	}
	top = res & emul_sign(size);
	next = res & (emul_sign(size) >> 1);
	set_flags(e, X86_EFLAGS_CF | X86_EFLAGS_OF,
		  flag_if(cf, X86_EFLAGS_CF) |
		  flag_if(kind == ROL || kind == RCL ? top != cf : top != next, X86_EFLAGS_OF));
	return res;
}

/* @count is 1 to 63, and may be more than there are bits. */
static u64 do_shift(struct emul *e, enum shift kind, u64 val, unsigned int count,
		    unsigned int size)
{
	u64 sign = emul_sign(size), res;
	bool cf, of;

	if (kind == SHR) {
		res = val >> count;
		cf = (val >> (count - 1)) & 1;
		of = val & sign;
	} else if (kind == SAR) {
		s64 wide = emul_sext(val, size);

		res = wide >> count;
		cf = (wide >> (count - 1)) & 1;
		of = false;
	} else {
		res = val << count;
		cf = (val << (count - 1)) & sign;
		of = !!(res & sign) != cf;
	}
	set_flags(e, STATUS_FLAGS, result_flags(res, size) | flag_if(cf, X86_EFLAGS_CF) |
				   flag_if(of, X86_EFLAGS_OF));
	return res;
}

static unsigned int shift_count(u64 val, unsigned int size)
{
	return val & (size == 8 ? 63 : 31);
}

int emul_exec_shift(struct emul *e)
{
	enum shift kind = (e->insn.modrm >> 3) & 7;
	unsigned int size = e->op[0].size;
	unsigned int count = shift_count(e->op[1].val, size);

	if (!count)
		return EMUL_OK;
	if (kind < SHL)
		e->op[0].val = do_rotate(e, kind, e->op[0].val, count, size);
	else
		e->op[0].val = do_shift(e, kind, e->op[0].val, count, size);
	return EMUL_OK;
}

/* OF is defined for a count of 1: the sign changed. */
static int double_shift(struct emul *e, u64 res, bool cf)
{
	unsigned int size = e->op[0].size;

	set_flags(e, STATUS_FLAGS,
		  result_flags(res, size) | flag_if(cf, X86_EFLAGS_CF) |
		  flag_if((res ^ e->op[0].val) & emul_sign(size), X86_EFLAGS_OF));
	e->op[0].val = res;
	return EMUL_OK;
}

/*
 * A 16-bit double shift by more than 16 is undefined; here the bits that follow the source are
 * the destination's again.
 */
int emul_exec_shld(struct emul *e)
{
	unsigned int size = e->op[0].size, bits = size * 8;
	unsigned int count = shift_count(e->op[2].val, size);
	u64 dst = e->op[0].val, src = e->op[1].val;

	if (!count)
		return EMUL_OK;
	if (size == 2) {
		u64 all = dst << 32 | src << 16 | dst;

		return double_shift(e, (all << count) >> 32, (all >> (48 - count)) & 1);
	}
	return double_shift(e, dst << count | src >> (bits - count),
			    (dst >> (bits - count)) & 1);
}

int emul_exec_shrd(struct emul *e)
{
	unsigned int size = e->op[0].size, bits = size * 8;
	unsigned int count = shift_count(e->op[2].val, size);
	u64 dst = e->op[0].val, src = e->op[1].val;

	if (!count)
		return EMUL_OK;
	if (size == 2) {
		u64 all = dst << 32 | src << 16 | dst;

		return double_shift(e, (all >> count) & 0xffff, (all >> (count - 1)) & 1);
	}
	return double_shift(e, dst >> count | src << (bits - count), (dst >> (count - 1)) & 1);
}

/*
 * A bit offset in a register reaches any memory around the operand: signed, in units of the
 * operand size. One in an immediate, and one into a register, stays inside.
 */
static int bit_operand(struct emul *e, unsigned int *bit)
{
	const struct emul_insn *insn = &e->insn;
	struct emul_operand *op = &e->op[0];
	bool write = insn->id != EMUL_OP_BT;
	u64 ea;
	s64 offset;
	int rc;

	op->size = insn->opsize;
	rc = emul_resolve(e, 1, false);
	if (!rc)
		rc = emul_load(e, &e->op[1]);
	if (rc)
		return rc;
	*bit = e->op[1].val & (op->size * 8 - 1);

	if (e->op[1].kind == OPERAND_IMM || insn->modrm >= 0xc0)
		return emul_resolve(e, 0, write);

	offset = emul_sext(e->op[1].val, op->size) >> (op->size == 8 ? 6 : op->size == 4 ? 5 : 4);
	ea = (emul_effective_address(e) + offset * op->size) & emul_mask(insn->adsize);
	op->kind = OPERAND_MEM;
	return emul_linear(e, insn->seg, ea, op->size, write, &op->la);
}

/* Bits to clear and bits to toggle, given the bit in question: all of BT, BTS, BTR, BTC. */
static int bit_test(struct emul *e, bool clear, bool toggle)
{
	struct emul_operand *op = &e->op[0];
	unsigned int bit;
	u64 old;
	int rc;

	rc = bit_operand(e, &bit);
	if (rc)
		return rc;
	if (clear || toggle)
		rc = emul_load_for_update(e, op);
	else
		rc = emul_load(e, op);
	if (rc)
		return rc;

	old = op->val;
	set_flags(e, X86_EFLAGS_CF, flag_if((old >> bit) & 1, X86_EFLAGS_CF));
	if (!clear && !toggle)
		return EMUL_OK;
	if (clear)
		op->val &= ~(1ULL << bit);
	if (toggle)
		op->val ^= 1ULL << bit;
	return emul_store(e, op, old);
}

int emul_exec_bt(struct emul *e)
{
	return bit_test(e, false, false);
}

int emul_exec_bts(struct emul *e)
{
	return bit_test(e, true, true);
}

int emul_exec_btr(struct emul *e)
{
	return bit_test(e, true, false);
}

int emul_exec_btc(struct emul *e)
{
	return bit_test(e, false, true);
}

/* A source of 0 sets ZF and leaves the destination alone, upper half and all. */
static int bit_scan(struct emul *e, unsigned int bit)
{
	set_flags(e, X86_EFLAGS_ZF, flag_if(!e->op[1].val, X86_EFLAGS_ZF));
	if (e->op[1].val)
		e->op[0].val = bit;
	else
		e->op[0].kind = OPERAND_NONE;
	return EMUL_OK;
}

int emul_exec_bsf(struct emul *e)
{
	u64 val = e->op[1].val;

	return bit_scan(e, val ? __builtin_ctzll(val) : 0);
}

int emul_exec_bsr(struct emul *e)
{
	u64 val = e->op[1].val;

	return bit_scan(e, val ? 63 - __builtin_clzll(val) : 0);
}

static void set_mul_flags(struct emul *e, bool overflow)
{
	set_flags(e, X86_EFLAGS_CF | X86_EFLAGS_OF,
		  flag_if(overflow, X86_EFLAGS_CF | X86_EFLAGS_OF));
}

/* rDX:rAX (AX for bytes) = @high:@low */
static void write_wide(struct emul *e, u64 high, u64 low, unsigned int size)
{
	if (size == 1) {
		emul_reg_write(e, EMUL_RAX, (high & 0xff) << 8 | (low & 0xff), 2);
		return;
	}
	emul_reg_write(e, EMUL_RAX, low, size);
	emul_reg_write(e, EMUL_RDX, high, size);
}

/* Part of a product of 64 by 64 bits above bit @shift. */
static u64 product_high(unsigned __int128 product, unsigned int size)
{
	return (u64)(product >> (size * 8));
}

int emul_exec_mul(struct emul *e)
{
	unsigned int size = e->op[0].size;
	unsigned __int128 product;
	u64 high;

	product = (unsigned __int128)emul_reg_read(e, EMUL_RAX, size) * e->op[0].val;
	high = product_high(product, size);
	write_wide(e, high, (u64)product, size);
	set_mul_flags(e, high);
	return EMUL_OK;
}

/* The product fits if extending its low part gives it back. */
static __int128 signed_product(struct emul *e, u64 a, u64 b, unsigned int size)
{
	__int128 product = (__int128)emul_sext(a, size) * emul_sext(b, size);

	set_mul_flags(e, product != emul_sext((u64)product, size));
	return product;
}

int emul_exec_imul(struct emul *e)
{
	unsigned int size = e->op[0].size;
	__int128 product = signed_product(e, emul_reg_read(e, EMUL_RAX, size), e->op[0].val, size);

	write_wide(e, product_high(product, size), (u64)product, size);
	return EMUL_OK;
}

/* The forms with two and with three operands. */
int emul_exec_imul3(struct emul *e)
{
	bool two = e->insn.row->form[2] == FORM_NONE;

	e->op[0].val = (u64)signed_product(e, two ? e->op[0].val : e->op[2].val, e->op[1].val,
					   e->op[0].size);
	return EMUL_OK;
}

/*
 * @high:@low / @div, for high < div, a bit at a time: the kernel has no 128-bit division in C.
 */
static u64 divide(u64 high, u64 low, u64 div, u64 *rem)
{
	u64 quot = 0;
	int i;

	for (i = 63; i >= 0; i--) {
		bool carry = high >> 63;

		high = high << 1 | ((low >> i) & 1);
		if (carry || high >= div) {
			high -= div;
			quot |= 1ULL << i;
		}
	}
	*rem = high;
	return quot;
}

/* The dividend, sign or zero-extended to 128 bits. */
static unsigned __int128 dividend(const struct emul *e, unsigned int size, bool is_signed)
{
	u64 low = emul_reg_read(e, EMUL_RAX, size == 1 ? 2 : size);
	u64 high = emul_reg_read(e, EMUL_RDX, size);

	if (size == 8)
		return (unsigned __int128)high << 64 | low;
	if (size > 1)
		low |= high << (size * 8);
	return is_signed ? (unsigned __int128)(__int128)emul_sext(low, size == 1 ? 2 : size * 2) :
	       low;
}

static int write_quotient(struct emul *e, u64 quot, u64 rem, unsigned int size)
{
	write_wide(e, rem, quot, size);
	return EMUL_OK;
}

int emul_exec_div(struct emul *e)
{
	unsigned int size = e->op[0].size;
	unsigned __int128 num = dividend(e, size, false);
	u64 div = e->op[0].val, quot, rem;

	if ((u64)(num >> 64) >= div)
		return emul_raise(e, DE_VECTOR);
	quot = divide((u64)(num >> 64), (u64)num, div, &rem);
	if (quot > emul_mask(size))
		return emul_raise(e, DE_VECTOR);
	return write_quotient(e, quot, rem, size);
}

/* On magnitudes; the remainder has the sign of the dividend. */
int emul_exec_idiv(struct emul *e)
{
	unsigned int size = e->op[0].size;
	unsigned __int128 num = dividend(e, size, true);
	s64 sdiv = emul_sext(e->op[0].val, size);
	bool num_neg = num >> 127, quot_neg = num_neg != (sdiv < 0);
	u64 div = sdiv < 0 ? -(u64)sdiv : (u64)sdiv, quot, rem;

	if (num_neg)
		num = -num;
	if ((u64)(num >> 64) >= div)
		return emul_raise(e, DE_VECTOR);
	quot = divide((u64)(num >> 64), (u64)num, div, &rem);
	if (quot > emul_sign(size) - !quot_neg)
		return emul_raise(e, DE_VECTOR);
	return write_quotient(e, quot_neg ? -quot : quot, num_neg ? -rem : rem, size);
}

/**
 * emul_check_umip() - user-mode instruction prevention, for SMSW, SLDT and STR
 * @e: context
 *
 * Context: that of the sysreg op.
 *
 * Return: EMUL_OK, or EMUL_FAULT with #GP(0) for CR4.UMIP and a CPL above 0.
 */
int emul_check_umip(struct emul *e)
{
	if ((e->ops->sysreg(e, EMUL_CR4) & X86_CR4_UMIP) && e->ops->sysreg(e, EMUL_CPL))
		return emul_raise_code(e, GP_VECTOR, 0);
	return EMUL_OK;
}

int emul_exec_smsw(struct emul *e)
{
	e->op[0].val = e->ops->sysreg(e, EMUL_CR0);
	return emul_check_umip(e);
}

/* The operand is loaded before the privilege is looked at; both are faults, and it has no effect. */
int emul_exec_lmsw(struct emul *e)
{
	if (!e->ops->lmsw)
		return EMUL_UNHANDLED;
	if (e->ops->sysreg(e, EMUL_CPL))
		return emul_raise_code(e, GP_VECTOR, 0);
	return e->ops->lmsw(e, e->op[0].val);
}
