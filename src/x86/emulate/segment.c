// SPDX-License-Identifier: GPL-2.0
/*
 * Loading segment registers: MOV, POP, LDS and its kin, LLDT, LTR; far JMP, CALL and RET to a code
 * segment of the same privilege. SDM Vol. 3, 5.5 to 5.8, and the instructions' pages in Vol. 2.
 * Gates, and returns to a lower privilege, are not handled; task switches are task.c's.
 */
#include "x86/emulate/opcode.h"

#define DESC_ACCESSED	(1ULL << 40)

/**
 * emul_raise_selector() - an exception that is about a selector
 * @e: context; its fault is filled in
 * @vector: #GP, #NP, #SS or #TS. Where an instruction's is a #GP, a task switch's is a #TS
 * @selector: for the error code, without its RPL
 *
 * Context: any.
 *
 * Return: EMUL_FAULT.
 */
int emul_raise_selector(struct emul *e, u8 vector, u16 selector)
{
	return emul_raise_code(e, vector == GP_VECTOR ? e->bad_selector : vector, selector & ~3u);
}

static bool is_null(u16 selector)
{
	return !(selector & ~3u);
}

/* Base and limit of the table that the selector is an index of */
static bool find_table(struct emul *e, u16 selector, u64 *base, u32 *limit)
{
	struct kvm_segment ldt;

	if (!(selector & 4)) {
		*base = e->ops->sysreg(e, EMUL_GDT_BASE);
		*limit = e->ops->sysreg(e, EMUL_GDT_LIMIT);
		return true;
	}
	e->ops->segment(e, EMUL_SEG_LDTR, &ldt);
	*base = ldt.base;
	*limit = ldt.limit;
	return !ldt.unusable && ldt.present;
}

/**
 * emul_read_descriptor() - the descriptor that a selector means
 * @e: context
 * @selector: not null: who calls has looked
 * @desc: its 8 bytes
 * @la: their linear address
 *
 * It is the CPU that reads, not the program: at any CPL, with a supervisor's rights.
 *
 * Context: that of the ops.
 *
 * Return: EMUL_OK, EMUL_FAULT, also where the table ends before it, or what the read op says.
 */
int emul_read_descriptor(struct emul *e, u16 selector, u64 *desc, u64 *la)
{
	u64 base;
	u32 limit;

	if (!find_table(e, selector, &base, &limit) || (selector | 7u) > limit)
		return emul_raise_selector(e, GP_VECTOR, selector);
	*la = base + (selector & ~7u);
	return e->ops->read(e, *la, desc, sizeof(*desc), EMUL_SYSTEM);
}

/**
 * emul_parse_descriptor() - take a descriptor apart (SDM Vol. 3, figure 3-8)
 * @desc: 8 bytes of it; a system descriptor's upper base is not among them
 * @selector: that it was found by
 * @s: the segment, its limit in bytes. Nothing is checked
 *
 * Context: any.
 */
void emul_parse_descriptor(u64 desc, u16 selector, struct kvm_segment *s)
{
	*s = (struct kvm_segment){
		.base = ((desc >> 16) & 0xffffff) | ((desc >> 56) & 0xff) << 24,
		.limit = (desc & 0xffff) | ((desc >> 48) & 0xf) << 16,
		.selector = selector,
		.type = (desc >> 40) & 0xf,
		.s = (desc >> 44) & 1,
		.dpl = (desc >> 45) & 3,
		.present = (desc >> 47) & 1,
		.avl = (desc >> 52) & 1,
		.l = (desc >> 53) & 1,
		.db = (desc >> 54) & 1,
		.g = (desc >> 55) & 1,
	};
	if (s->g)
		s->limit = s->limit << 12 | 0xfff;
}

/* Set the accessed bit, in the table and in what will be loaded. */
static int mark_accessed(struct emul *e, u64 la, u64 desc, struct kvm_segment *s)
{
	u64 marked = desc | DESC_ACCESSED;

	if (desc & DESC_ACCESSED)
		return EMUL_OK;
	s->type |= 1;
	return e->ops->compare_swap(e, la, &desc, &marked, sizeof(desc), EMUL_SYSTEM);
}

static bool is_code(const struct kvm_segment *s)
{
	return s->s && (s->type & 8);
}

static int check_stack(struct emul *e, u16 selector, const struct kvm_segment *s)
{
	unsigned int cpl = e->ops->sysreg(e, EMUL_CPL);

	if ((selector & 3) != cpl || !s->s || (s->type & 0xa) != 2 || s->dpl != cpl)
		return emul_raise_selector(e, GP_VECTOR, selector);
	return s->present ? EMUL_OK : emul_raise_selector(e, SS_VECTOR, selector);
}

/* Data, or code that can be read; conforming code may be of any privilege. */
static int check_data(struct emul *e, u16 selector, const struct kvm_segment *s)
{
	unsigned int cpl = e->ops->sysreg(e, EMUL_CPL), rpl = selector & 3;
	bool conforming = is_code(s) && (s->type & 4);

	if (!s->s || (s->type & 0xa) == 8 ||
	    (!conforming && (rpl > s->dpl || cpl > s->dpl)))
		return emul_raise_selector(e, GP_VECTOR, selector);
	return s->present ? EMUL_OK : emul_raise_selector(e, NP_VECTOR, selector);
}

/* In 64-bit mode SS may be null, but not at CPL 3, and its RPL is the CPL. */
static int load_null(struct emul *e, enum emul_seg seg, u16 selector)
{
	struct kvm_segment s = { .selector = selector, .unusable = 1 };
	unsigned int cpl = e->ops->sysreg(e, EMUL_CPL);

	if (seg == EMUL_SEG_SS) {
		if (e->mode != EMUL_LONG64 || cpl == 3 || (selector & 3) != cpl)
			return emul_raise_selector(e, GP_VECTOR, 0);
		/* The CPU keeps the CPL here. */
		s.dpl = cpl;
	}
	e->ops->set_segment(e, seg, &s);
	return EMUL_OK;
}

/* In real and virtual-8086 mode only base and selector change. */
static int load_paragraph(struct emul *e, enum emul_seg seg, u16 selector)
{
	struct kvm_segment s;

	e->ops->segment(e, seg, &s);
	s.selector = selector;
	s.base = selector << 4;
	e->ops->set_segment(e, seg, &s);
	return EMUL_OK;
}

/**
 * emul_load_segment() - load a data segment register, or SS
 * @e: context
 * @seg: any but CS
 * @selector: what to load; the accessed bit is set in its descriptor
 *
 * It can't be taken back, so in an instruction nothing that may fail comes after. The interrupt
 * shadow of a new SS is for the caller.
 *
 * Context: that of the ops.
 *
 * Return: EMUL_OK, EMUL_FAULT, or what the ops say; EMUL_UNHANDLED without a set_segment op.
 */
int emul_load_segment(struct emul *e, enum emul_seg seg, u16 selector)
{
	struct kvm_segment s;
	u64 desc, la;
	int rc;

	if (!e->ops->set_segment)
		return EMUL_UNHANDLED;
	if (!emul_is_protected(e))
		return load_paragraph(e, seg, selector);
	if (is_null(selector))
		return load_null(e, seg, selector);

	rc = emul_read_descriptor(e, selector, &desc, &la);
	if (rc)
		return rc;
	emul_parse_descriptor(desc, selector, &s);
	rc = seg == EMUL_SEG_SS ? check_stack(e, selector, &s) : check_data(e, selector, &s);
	if (!rc)
		rc = mark_accessed(e, la, desc, &s);
	if (!rc)
		e->ops->set_segment(e, seg, &s);
	return rc;
}

int emul_exec_mov_sreg(struct emul *e)
{
	enum emul_seg seg = e->insn.reg & 7;
	int rc;

	rc = emul_resolve(e, 1, false);
	if (!rc)
		rc = emul_load(e, &e->op[1]);
	if (!rc)
		rc = emul_load_segment(e, seg, e->op[1].val);
	e->mov_ss = !rc && seg == EMUL_SEG_SS;
	return rc;
}

static enum emul_seg implied_segment(const struct emul *e)
{
	return e->insn.row->form[0] - FORM_ES + EMUL_SEG_ES;
}

int emul_exec_push_sreg(struct emul *e)
{
	struct kvm_segment s;

	e->ops->segment(e, implied_segment(e), &s);
	return emul_push(e, s.selector, e->insn.opsize);
}

int emul_exec_pop_sreg(struct emul *e)
{
	enum emul_seg seg = implied_segment(e);
	u64 val;
	int rc;

	rc = emul_pop(e, &val, e->insn.opsize);
	if (!rc)
		rc = emul_load_segment(e, seg, val);
	e->mov_ss = !rc && seg == EMUL_SEG_SS;
	return rc;
}

static bool in_long_mode(struct emul *e)
{
	return e->ops->sysreg(e, EMUL_EFER) & (1 << 10);	/* EFER.LMA */
}

/* --- LDTR and TR. --- */

/*
 * A system segment's descriptor is the GDT's, and in long mode it has 16 bytes, with zeroes where
 * the second half would have a type (SDM Vol. 3, 3.5.2, 8.2.3).
 */
static int read_system_descriptor(struct emul *e, u16 selector, struct kvm_segment *s, u64 *desc,
				  u64 *la)
{
	bool wide = in_long_mode(e);
	u64 high = 0;
	int rc;

	if (selector & 4 || (wide && (selector | 15u) > e->ops->sysreg(e, EMUL_GDT_LIMIT)))
		return emul_raise_selector(e, GP_VECTOR, selector);
	rc = emul_read_descriptor(e, selector, desc, la);
	if (!rc && wide)
		rc = e->ops->read(e, *la + 8, &high, sizeof(high), EMUL_SYSTEM);
	if (rc)
		return rc;
	emul_parse_descriptor(*desc, selector, s);
	s->base |= high << 32;
	if ((high >> 40 & 0x1f) || (wide && !emul_is_canonical(e, s->base)))
		return emul_raise_selector(e, GP_VECTOR, selector);
	return EMUL_OK;
}

/**
 * emul_load_ldt() - load LDTR
 * @e: context; with a set_segment op, privilege has been checked
 * @selector: of the GDT; a null one makes LDTR unusable
 * @absent: vector that an LDT which is not present raises
 *
 * Context: that of the ops.
 *
 * Return: EMUL_OK, EMUL_FAULT, or what the read op says.
 */
int emul_load_ldt(struct emul *e, u16 selector, u8 absent)
{
	struct kvm_segment s = { .selector = selector, .unusable = 1 };
	u64 desc, la;
	int rc;

	if (!is_null(selector)) {
		rc = read_system_descriptor(e, selector, &s, &desc, &la);
		if (rc)
			return rc;
		if (s.s || s.type != 2)
			return emul_raise_selector(e, GP_VECTOR, selector);
		if (!s.present)
			return emul_raise_selector(e, absent, selector);
	}
	e->ops->set_segment(e, EMUL_SEG_LDTR, &s);
	return EMUL_OK;
}

/* LLDT and LTR are the system's, and have nowhere to load from without the op. */
static int check_system_load(struct emul *e)
{
	if (!e->ops->set_segment)
		return EMUL_UNHANDLED;
	return e->ops->sysreg(e, EMUL_CPL) ? emul_raise_code(e, GP_VECTOR, 0) : EMUL_OK;
}

int emul_exec_lldt(struct emul *e)
{
	int rc = check_system_load(e);

	return rc ? rc : emul_load_ldt(e, e->op[0].val, NP_VECTOR);
}

#define DESC_BUSY	(1ULL << 41)

/* A TSS that is not busy, of 16 bits not in long mode: it becomes busy. */
int emul_exec_ltr(struct emul *e)
{
	u16 selector = e->op[0].val;
	struct kvm_segment s;
	u64 desc, busy, la;
	int rc;

	rc = check_system_load(e);
	if (!rc && is_null(selector))
		rc = emul_raise_code(e, GP_VECTOR, 0);
	if (!rc)
		rc = read_system_descriptor(e, selector, &s, &desc, &la);
	if (rc)
		return rc;
	if (s.s || (s.type != 9 && (s.type != 1 || in_long_mode(e))))
		return emul_raise_selector(e, GP_VECTOR, selector);
	if (!s.present)
		return emul_raise_selector(e, NP_VECTOR, selector);
	busy = desc | DESC_BUSY;
	rc = e->ops->compare_swap(e, la, &desc, &busy, sizeof(desc), EMUL_SYSTEM);
	if (rc)
		return rc;
	s.type |= 2;
	e->ops->set_segment(e, EMUL_SEG_TR, &s);
	return EMUL_OK;
}

static int store_selector(struct emul *e, enum emul_seg seg)
{
	struct kvm_segment s;

	e->ops->segment(e, seg, &s);
	e->op[0].val = s.selector;
	return emul_check_umip(e);
}

int emul_exec_sldt(struct emul *e)
{
	return store_selector(e, EMUL_SEG_LDTR);
}

int emul_exec_str(struct emul *e)
{
	return store_selector(e, EMUL_SEG_TR);
}

/* --- Far transfers. --- */

/* A far pointer in memory: offset, then selector; two accesses, and aligned or not as such. */
static int read_far_pointer(struct emul *e, u64 *offset, u16 *selector)
{
	u64 ea = emul_effective_address(e), mask = emul_mask(e->insn.adsize), la;
	unsigned int size = e->insn.opsize;
	int rc;

	*offset = 0;
	rc = emul_linear(e, e->insn.seg, ea, size, false, &la);
	if (!rc)
		rc = emul_mem_read(e, la, offset, size);
	if (!rc)
		rc = emul_linear(e, e->insn.seg, (ea + size) & mask, 2, false, &la);
	return rc ? rc : emul_mem_read(e, la, selector, 2);
}

/* LES, LDS, LSS, LFS, LGS */
int emul_exec_load_far(struct emul *e)
{
	static const u8 segs[EMUL_OP_COUNT] = {
		[EMUL_OP_LES] = EMUL_SEG_ES, [EMUL_OP_LDS] = EMUL_SEG_DS,
		[EMUL_OP_LSS] = EMUL_SEG_SS, [EMUL_OP_LFS] = EMUL_SEG_FS,
		[EMUL_OP_LGS] = EMUL_SEG_GS,
	};
	u16 selector;
	u64 offset;
	int rc;

	rc = read_far_pointer(e, &offset, &selector);
	if (!rc)
		rc = emul_load_segment(e, segs[e->insn.id], selector);
	if (!rc)
		emul_reg_write(e, e->insn.reg, offset, e->insn.opsize);
	return rc;
}

/* A segment with L and D both set is reserved. */
static int check_code(struct emul *e, u16 selector, const struct kvm_segment *s)
{
	unsigned int cpl = e->ops->sysreg(e, EMUL_CPL), rpl = selector & 3;
	bool conforming = s->type & 4;

	if (conforming ? s->dpl > cpl : rpl > cpl || s->dpl != cpl)
		return emul_raise_selector(e, GP_VECTOR, selector);
	if (!s->present)
		return emul_raise_selector(e, NP_VECTOR, selector);
	if (s->l && s->db && in_long_mode(e))
		return emul_raise_selector(e, GP_VECTOR, selector);
	return EMUL_OK;
}

/* Call gates, task gates and available tasks, by type; in long mode there are 64-bit gates only. */
static bool is_gate_or_task(struct emul *e, const struct kvm_segment *s)
{
	u16 types = in_long_mode(e) ? 1 << 12 : 1 << 1 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 12;

	return !s->s && (types & (1 << s->type));
}

/**
 * emul_find_code() - a code segment that may be gone to; the caller loads it
 * @e: context, in protected mode
 * @selector: of the segment
 * @s: what CS will be, with EMUL_OK: its RPL is the CPL. The accessed bit is set in its descriptor
 * @gates: the instruction could mean a gate or a task as well
 *
 * Context: that of the ops.
 *
 * Return: EMUL_OK, EMUL_FAULT, or what the ops say; with @gates, EMUL_UNHANDLED for a gate or a
 * task.
 */
int emul_find_code(struct emul *e, u16 selector, struct kvm_segment *s, bool gates)
{
	u64 desc, la;
	int rc;

	if (is_null(selector))
		return emul_raise_selector(e, GP_VECTOR, 0);
	rc = emul_read_descriptor(e, selector, &desc, &la);
	if (rc)
		return rc;
	emul_parse_descriptor(desc, selector, s);
	if (gates && is_gate_or_task(e, s))
		return EMUL_UNHANDLED;
	if (!is_code(s))
		return emul_raise_selector(e, GP_VECTOR, selector);
	rc = check_code(e, selector, s);
	if (!rc)
		rc = mark_accessed(e, la, desc, s);
	s->selector = (selector & ~3u) | e->ops->sysreg(e, EMUL_CPL);
	return rc;
}

/* What CS will be; the last step of a far transfer is to load it. */
static int far_segment(struct emul *e, u16 selector, struct kvm_segment *cs)
{
	if (!e->ops->set_segment)
		return EMUL_UNHANDLED;
	if (emul_is_protected(e))
		return emul_find_code(e, selector, cs, e->insn.id != EMUL_OP_RETF);
	e->ops->segment(e, EMUL_SEG_CS, cs);
	cs->selector = selector;
	cs->base = selector << 4;
	return EMUL_OK;
}

/* RIP, judged by the segment that we go to, not by the one that we come from */
static int go_to(struct emul *e, u64 target, const struct kvm_segment *cs)
{
	enum emul_mode old = e->mode;
	int rc;

	if (emul_is_protected(e) && cs->l && in_long_mode(e)) {
		e->mode = EMUL_LONG64;
		rc = emul_code_target(e, target);
		e->mode = old;
		return rc;
	}
	if (target > cs->limit)
		return emul_raise_code(e, GP_VECTOR, 0);
	e->new_rip = (u32)target;
	return EMUL_OK;
}

/* In memory, or in the instruction */
static int far_pointer(struct emul *e, u64 *target, u16 *selector)
{
	if (e->insn.row->form[0] != FORM_Ap)
		return read_far_pointer(e, target, selector);
	*target = e->insn.imm;
	*selector = e->insn.imm2;
	return EMUL_OK;
}

static int far_jump(struct emul *e, u16 selector, u64 target)
{
	struct kvm_segment cs;
	int rc;

	rc = far_segment(e, selector, &cs);
	if (!rc)
		rc = go_to(e, target, &cs);
	if (!rc)
		e->ops->set_segment(e, EMUL_SEG_CS, &cs);
	return rc;
}

int emul_exec_jmp_far(struct emul *e)
{
	u16 selector;
	u64 target;
	int rc;

	rc = far_pointer(e, &target, &selector);
	return rc ? rc : far_jump(e, selector, target);
}

int emul_exec_call_far(struct emul *e)
{
	unsigned int size = e->insn.opsize;
	u64 target, back = e->new_rip;
	struct kvm_segment cs, old;
	u16 selector;
	int rc;

	e->ops->segment(e, EMUL_SEG_CS, &old);
	rc = far_pointer(e, &target, &selector);
	if (!rc)
		rc = far_segment(e, selector, &cs);
	if (!rc)
		rc = emul_check_pushes(e, 2, size);
	if (!rc)
		rc = go_to(e, target, &cs);
	if (!rc)
		rc = emul_push(e, old.selector, size);
	if (!rc)
		rc = emul_push(e, back, size);
	if (!rc)
		e->ops->set_segment(e, EMUL_SEG_CS, &cs);
	return rc;
}

/* A return to a lower privilege has another stack to go to, and is not for us. */
static int check_return(struct emul *e, u16 selector)
{
	unsigned int cpl = e->ops->sysreg(e, EMUL_CPL), rpl = selector & 3;

	if (!emul_is_protected(e) || is_null(selector) || rpl == cpl)
		return EMUL_OK;
	return rpl < cpl ? emul_raise_selector(e, GP_VECTOR, selector) : EMUL_UNHANDLED;
}

int emul_exec_ret_far(struct emul *e)
{
	unsigned int width = emul_stack_size(e);
	u64 target, selector;
	int rc;

	rc = emul_pop(e, &target, e->insn.opsize);
	if (!rc)
		rc = emul_pop(e, &selector, e->insn.opsize);
	if (rc)
		return rc;
	emul_reg_write(e, EMUL_RSP, emul_reg_read(e, EMUL_RSP, width) + e->insn.imm, width);
	rc = check_return(e, selector);
	return rc ? rc : far_jump(e, selector, target);
}
