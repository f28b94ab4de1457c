// SPDX-License-Identifier: GPL-2.0
/*
 * Where operands are and how they are read and written: general registers, effective addresses,
 * segmentation, memory, the stack. Everything an instruction changes here goes to emul.new_*, or
 * to memory as its last step. SDM Vol. 3, chapters 5 (protection) and 6.15 (exceptions).
 */
#include "x86/emulate/opcode.h"

/**
 * emul_raise() - an exception that has no error code
 * @e: context; its fault is filled in
 * @vector: of the exception
 *
 * Context: any.
 *
 * Return: EMUL_FAULT.
 */
int emul_raise(struct emul *e, u8 vector)
{
	e->fault = (struct emul_fault){ .vector = vector };
	return EMUL_FAULT;
}

/**
 * emul_raise_code() - an exception that has an error code
 * @e: context; its fault is filled in
 * @vector: of the exception
 * @error_code: dropped in real mode, where no exception has one
 *
 * Context: any.
 *
 * Return: EMUL_FAULT.
 */
int emul_raise_code(struct emul *e, u8 vector, u32 error_code)
{
	e->fault = (struct emul_fault){
		.vector = vector,
		.has_error_code = e->mode != EMUL_REAL,
		.error_code = error_code,
	};
	return EMUL_FAULT;
}

/**
 * emul_reg_read() - the low part of a general register
 * @e: context
 * @reg: number, as in enum emul_gpr; AH, CH, DH and BH can't be named so
 * @size: 1 to 8 bytes
 *
 * Registers that the instruction has changed already are read as changed.
 *
 * Context: any.
 *
 * Return: the number, zero-extended.
 */
u64 emul_reg_read(const struct emul *e, unsigned int reg, unsigned int size)
{
	return e->new_gpr[reg & 15] & emul_mask(size);
}

/**
 * emul_reg_write() - change the low part of a general register
 * @e: context; what changes is new_gpr, which becomes the vCPU's when all has worked
 * @reg: number, as in enum emul_gpr; AH, CH, DH and BH can't be named so
 * @val: what is above @size counts for nothing
 * @size: 1 to 8 bytes; 4 zero the upper half of the register, less leave the rest alone
 *
 * Context: any.
 */
void emul_reg_write(struct emul *e, unsigned int reg, u64 val, unsigned int size)
{
	u64 *gpr = &e->new_gpr[reg & 15];
	u64 mask = emul_mask(size);

	if (size >= 4)
		*gpr = val & mask;
	else
		*gpr = (*gpr & ~mask) | (val & mask);
}

/**
 * emul_effective_address() - offset of the memory operand that ModRM says
 * @e: context
 *
 * Registers are taken as the instruction has left them: POP to memory relative to rSP counts on
 * that.
 *
 * Context: any.
 *
 * Return: the offset in its segment, cut to the address size.
 */
u64 emul_effective_address(const struct emul *e)
{
	const struct emul_insn *insn = &e->insn;
	u64 ea = (s64)insn->disp;

	if (insn->base == EMUL_REG_RIP)
		ea += e->new_rip;
	else if (insn->base != EMUL_REG_NONE)
		ea += e->new_gpr[insn->base & 15];
	if (insn->index != EMUL_REG_NONE)
		ea += e->new_gpr[insn->index & 15] << insn->scale;
	return ea & emul_mask(insn->adsize);
}

static bool fits(u64 la, unsigned int bits)
{
	return (u64)((s64)(la << (64 - bits)) >> (64 - bits)) == la;
}

/**
 * emul_is_canonical() - can a linear address be one of 64-bit mode?
 * @e: context
 * @la: the address
 *
 * What 48 bits can say, 57 can: CR4 is asked only where it makes a difference.
 *
 * Context: that of the sysreg op.
 *
 * Return: whether.
 */
bool emul_is_canonical(struct emul *e, u64 la)
{
	return fits(la, 48) || (fits(la, 57) && (e->ops->sysreg(e, EMUL_CR4) & X86_CR4_LA57));
}

/* Offsets of an expand-down data segment are those above the limit. */
static bool in_limit(const struct kvm_segment *seg, u64 ea, unsigned int size, bool protected)
{
	u64 last = ea + size - 1;

	if (protected && (seg->type & 0xc) == 0x4)
		return ea > seg->limit && last <= (seg->db ? 0xffffffffULL : 0xffffULL);
	return last <= seg->limit;
}

/* Type bits: 8: code, 2: writable data or readable code. */
static bool type_allows(const struct kvm_segment *seg, bool write)
{
	if (seg->unusable || !seg->present || !seg->s)
		return false;
	if (write)
		return (seg->type & 0xa) == 0x2;
	return (seg->type & 0xa) != 0x8;
}

static bool segment_allows(struct emul *e, const struct kvm_segment *seg, u64 ea,
			   unsigned int size, bool write)
{
	bool protected = emul_is_protected(e);

	if (protected && !type_allows(seg, write))
		return false;
	return in_limit(seg, ea, size, protected);
}

/* Operands that must be aligned to their size. #GP for it comes before all other checks. */
static bool breaks_alignment(const struct emul *e, u64 la, unsigned int size)
{
	return (la & (size - 1)) && (e->insn.row->flags & ROW_ALIGNED);
}

/*
 * #AC is for user mode with CR0.AM and EFLAGS.AC set. For more than 8 bytes the SDM leaves it to
 * the CPU; AMD's raise it, and want 16 bytes at most.
 */
static bool wants_alignment(struct emul *e, u64 la, unsigned int size)
{
	unsigned int align = size < 16 ? size : 16;

	return (la & (align - 1)) && (e->rflags & X86_EFLAGS_AC) &&
	       (e->ops->sysreg(e, EMUL_CR0) & X86_CR0_AM) && e->ops->sysreg(e, EMUL_CPL) == 3;
}

static int raise_segment(struct emul *e, enum emul_seg seg)
{
	return emul_raise_code(e, seg == EMUL_SEG_SS ? SS_VECTOR : GP_VECTOR, 0);
}

static int linear_long(struct emul *e, enum emul_seg seg, u64 ea, unsigned int size, u64 *la)
{
	*la = ea;
	if (seg >= EMUL_SEG_FS) {
		struct kvm_segment s;

		e->ops->segment(e, seg, &s);
		*la += s.base;
	}
	if (breaks_alignment(e, *la, size))
		return emul_raise_code(e, GP_VECTOR, 0);
	if (!emul_is_canonical(e, *la) || !emul_is_canonical(e, *la + size - 1))
		return raise_segment(e, seg);
	return EMUL_OK;
}

static int linear_segmented(struct emul *e, enum emul_seg seg, u64 ea, unsigned int size,
			    bool write, u64 *la)
{
	struct kvm_segment s;

	e->ops->segment(e, seg, &s);
	*la = (u32)(s.base + ea);
	if (breaks_alignment(e, *la, size))
		return emul_raise_code(e, GP_VECTOR, 0);
	if (!segment_allows(e, &s, ea, size, write))
		return raise_segment(e, seg);
	return EMUL_OK;
}

/**
 * emul_linear() - from an offset to a linear address, with all the checks of segmentation
 * @e: context
 * @seg: segment; in 64-bit mode its base counts for FS and those behind it only, its rights never
 * @ea: offset
 * @size: how many bytes will be accessed there
 * @write: they will be written
 * @la: the address; set even if it may not be used
 *
 * Alignment is checked here as well; paging is the ops' business.
 *
 * Context: that of the segment and sysreg ops.
 *
 * Return: EMUL_OK, or EMUL_FAULT with #GP, #SS or #AC.
 */
int emul_linear(struct emul *e, enum emul_seg seg, u64 ea, unsigned int size, bool write, u64 *la)
{
	int rc;

	if (e->mode == EMUL_LONG64)
		rc = linear_long(e, seg, ea, size, la);
	else
		rc = linear_segmented(e, seg, ea, size, write, la);
	if (!rc && wants_alignment(e, *la, size))
		return emul_raise_code(e, AC_VECTOR, 0);
	return rc;
}

/**
 * emul_code_target() - jump within the code segment
 * @e: context; new_rip is set
 * @target: offset, cut to the operand size by the caller
 *
 * Context: that of the segment and sysreg ops.
 *
 * Return: EMUL_OK, or EMUL_FAULT with #GP(0) for what is outside of the segment or not canonical.
 */
int emul_code_target(struct emul *e, u64 target)
{
	struct kvm_segment cs;

	if (e->mode == EMUL_LONG64) {
		if (!emul_is_canonical(e, target))
			return emul_raise_code(e, GP_VECTOR, 0);
	} else {
		e->ops->segment(e, EMUL_SEG_CS, &cs);
		if (target > cs.limit)
			return emul_raise_code(e, GP_VECTOR, 0);
	}
	e->new_rip = target;
	return EMUL_OK;
}

/**
 * emul_stack_size() - width of the stack pointer
 * @e: context
 *
 * Context: that of the segment op.
 *
 * Return: 2, 4 or 8 bytes.
 */
unsigned int emul_stack_size(struct emul *e)
{
	struct kvm_segment ss;

	if (e->mode == EMUL_LONG64)
		return 8;
	e->ops->segment(e, EMUL_SEG_SS, &ss);
	return ss.db ? 4 : 2;
}

/**
 * emul_push() - push a value
 * @e: context; rSP moves only if the write has worked
 * @val: the value
 * @size: how many bytes of it: 2, 4 or 8
 *
 * Memory has changed when it returns: who pushes more than one asks emul_check_pushes() first.
 *
 * Context: that of the ops.
 *
 * Return: EMUL_OK, EMUL_FAULT, or what the write op says.
 */
int emul_push(struct emul *e, u64 val, unsigned int size)
{
	unsigned int width = emul_stack_size(e);
	u64 sp = (emul_reg_read(e, EMUL_RSP, 8) - size) & emul_mask(width);
	u64 la;
	int rc;

	rc = emul_linear(e, EMUL_SEG_SS, sp, size, true, &la);
	if (rc)
		return rc;
	rc = emul_mem_write(e, la, &val, size);
	if (rc)
		return rc;
	emul_reg_write(e, EMUL_RSP, sp, width);
	return EMUL_OK;
}

/**
 * emul_check_pushes() - may some values be pushed?
 * @e: context; nothing changes
 * @n: how many values
 * @size: of each, in bytes
 *
 * Where there is no room for all of them none shall be: a device must not see some of them twice.
 * A 16-bit stack pointer may wrap in between.
 *
 * Context: that of the ops.
 *
 * Return: EMUL_OK, EMUL_FAULT, or what the probe op says.
 */
int emul_check_pushes(struct emul *e, unsigned int n, unsigned int size)
{
	unsigned int width = emul_stack_size(e), i;
	u64 sp = emul_reg_read(e, EMUL_RSP, 8), la;
	int rc;

	for (i = 1; i <= n; i++) {
		rc = emul_linear(e, EMUL_SEG_SS, (sp - i * size) & emul_mask(width), size, true,
				 &la);
		if (!rc)
			rc = emul_probe(e, la, size, true);
		if (rc)
			return rc;
	}
	return EMUL_OK;
}

/**
 * emul_pop() - pop a value
 * @e: context; rSP moves only if the read has worked
 * @val: the value, zero-extended; not valid unless EMUL_OK is returned
 * @size: how many bytes: 2, 4 or 8
 *
 * Context: that of the ops.
 *
 * Return: EMUL_OK, EMUL_FAULT, or what the read op says.
 */
int emul_pop(struct emul *e, u64 *val, unsigned int size)
{
	unsigned int width = emul_stack_size(e);
	u64 sp = emul_reg_read(e, EMUL_RSP, width);
	u64 la;
	int rc;

	rc = emul_linear(e, EMUL_SEG_SS, sp, size, false, &la);
	if (rc)
		return rc;
	*val = 0;
	rc = emul_mem_read(e, la, val, size);
	if (rc)
		return rc;
	emul_reg_write(e, EMUL_RSP, sp + size, width);
	return EMUL_OK;
}

/* How many of @len bytes come before the linear address space wraps to 0. */
static unsigned int before_wrap(const struct emul *e, u64 la, unsigned int len)
{
	u64 room = (e->mode == EMUL_LONG64 ? 0 : 1ULL << 32) - la;

	return room && room < len ? room : len;
}

/* Memory or a device, that does not matter. */
static int probe_piece(struct emul *e, u64 la, unsigned int len, bool write)
{
	int rc = e->ops->probe(e, la, len, write, EMUL_DATA);

	return rc == EMUL_SUSPEND ? EMUL_OK : rc;
}

/**
 * emul_probe() - would an access fail?
 * @e: context
 * @la: linear address, of emul_linear()
 * @len: 1 to EMUL_DATA_MAX bytes; they may wrap to linear address 0
 * @write: it would be a write
 *
 * Context: that of the probe op.
 *
 * Return: EMUL_OK: no; otherwise what the access would return, which is not EMUL_SUSPEND.
 */
int emul_probe(struct emul *e, u64 la, unsigned int len, bool write)
{
	unsigned int first = before_wrap(e, la, len);
	int rc = probe_piece(e, la, first, write);

	return rc || first == len ? rc : probe_piece(e, 0, len - first, write);
}

/**
 * emul_mem_read() - read memory with the rights of the CPL
 * @e: context
 * @la: linear address, of emul_linear()
 * @buf: where to
 * @len: 1 to EMUL_DATA_MAX bytes; they may wrap to linear address 0
 *
 * Context: that of the read op.
 *
 * Return: EMUL_OK, or what the op says; @buf may have been written in part then.
 */
int emul_mem_read(struct emul *e, u64 la, void *buf, unsigned int len)
{
	unsigned int first = before_wrap(e, la, len);
	int rc;

	rc = e->ops->read(e, la, buf, first, EMUL_DATA);
	if (rc || first == len)
		return rc;
	return e->ops->read(e, 0, (u8 *)buf + first, len - first, EMUL_DATA);
}

/**
 * emul_mem_write() - write memory with the rights of the CPL
 * @e: context
 * @la: linear address, of emul_linear()
 * @buf: what
 * @len: 1 to EMUL_DATA_MAX bytes; they may wrap to linear address 0
 *
 * Context: that of the write and probe ops.
 *
 * Return: EMUL_OK, or what the ops say. Of an access that wraps, one half may have been written if
 * the guest's tables have changed between the two.
 */
int emul_mem_write(struct emul *e, u64 la, const void *buf, unsigned int len)
{
	unsigned int first = before_wrap(e, la, len), second = len - first;
	const u8 *rest = (const u8 *)buf + first;
	int rc;

	if (!second)
		return e->ops->write(e, la, buf, len, EMUL_DATA);
	rc = probe_piece(e, la, first, true);
	if (!rc)
		rc = e->ops->probe(e, 0, second, true, EMUL_DATA);
	if (rc == EMUL_OK) {
		rc = e->ops->write(e, la, buf, first, EMUL_DATA);
		if (rc)
			return rc;
		rc = e->ops->write(e, 0, rest, second, EMUL_DATA);
		/* Half of it is in memory: to begin anew would do it twice. */
		return rc == EMUL_AGAIN ? EMUL_UNHANDLED : rc;
	}
	if (rc != EMUL_SUSPEND)
		return rc;
	/* A device comes first: memory must not have changed when it makes us begin again. */
	rc = e->ops->write(e, 0, rest, second, EMUL_DATA);
	return rc ? rc : e->ops->write(e, la, buf, first, EMUL_DATA);
}

/**
 * emul_read_for_update() - read what will be written
 * @e: context
 * @la: linear address, of emul_linear()
 * @buf: where to
 * @len: 1 to EMUL_DATA_MAX bytes; they may wrap to linear address 0
 *
 * It must be writable, and the CPU checks that before it reads.
 *
 * Context: that of the read and probe ops.
 *
 * Return: EMUL_OK, or what the ops say.
 */
int emul_read_for_update(struct emul *e, u64 la, void *buf, unsigned int len)
{
	int rc = emul_probe(e, la, len, true);

	return rc ? rc : emul_mem_read(e, la, buf, len);
}

static int resolve_memory(struct emul *e, struct emul_operand *op, u64 ea, bool write)
{
	op->kind = OPERAND_MEM;
	return emul_linear(e, e->insn.seg, ea, op->size, write, &op->la);
}

/* Without REX, byte registers 4 to 7 are the second bytes of registers 0 to 3. */
static void resolve_gpr(struct emul *e, struct emul_operand *op, unsigned int reg)
{
	op->kind = OPERAND_REG;
	op->reg = reg;
	if (op->size == 1 && !e->insn.rex && reg >= 4) {
		op->kind = OPERAND_REG_HIGH;
		op->reg = reg - 4;
	}
}

static void resolve_register(struct emul_operand *op, enum emul_operand_kind kind,
			     unsigned int reg)
{
	op->kind = kind;
	op->reg = reg;
}

/**
 * emul_resolve() - find out where an operand is
 * @e: context; op[@i] is filled in but for its value
 * @i: 0: destination; 1 and 2: sources
 * @write: it will be written
 *
 * For memory that is a linear address, checked. Strings, far pointers, segments in the opcode,
 * control and debug registers and VEX.vvvv stay OPERAND_NONE: they are their handlers' own.
 *
 * Context: that of the segment and sysreg ops.
 *
 * Return: EMUL_OK, or EMUL_FAULT as from emul_linear().
 */
int emul_resolve(struct emul *e, unsigned int i, bool write)
{
	const struct emul_insn *insn = &e->insn;
	struct emul_operand *op = &e->op[i];
	bool memory = insn->has_modrm && insn->modrm < 0xc0;

	op->kind = OPERAND_NONE;
	op->size = emul_form_size(insn, insn->row->form[i]);
	switch (emul_forms[insn->row->form[i]].place) {
	case PLACE_RM:
	case PLACE_MEMORY:
	case PLACE_RM_REG:
		if (memory)
			return resolve_memory(e, op, emul_effective_address(e), write);
		resolve_gpr(e, op, insn->rm);
		break;
	case PLACE_VEC_RM:
		if (memory)
			return resolve_memory(e, op, emul_effective_address(e), write);
		resolve_register(op, OPERAND_VEC, insn->rm);
		break;
	case PLACE_MMX_RM:
		if (memory)
			return resolve_memory(e, op, emul_effective_address(e), write);
		resolve_register(op, OPERAND_MMX, insn->rm & 7);
		break;
	case PLACE_OFFSET:
		return resolve_memory(e, op, insn->imm, write);
	case PLACE_REG:
		resolve_gpr(e, op, insn->reg);
		break;
	case PLACE_VEC_REG:
		resolve_register(op, OPERAND_VEC, insn->reg);
		break;
	case PLACE_MMX_REG:
		resolve_register(op, OPERAND_MMX, insn->reg & 7);
		break;
	case PLACE_SEG_REG:
		resolve_register(op, OPERAND_SEG, insn->reg & 7);
		break;
	case PLACE_OPCODE:
		resolve_gpr(e, op, (insn->opcode & 7) | (insn->rex & 1) << 3);
		break;
	case PLACE_RAX:
		resolve_register(op, OPERAND_REG, EMUL_RAX);
		break;
	case PLACE_RCX:
		resolve_register(op, OPERAND_REG, EMUL_RCX);
		break;
	case PLACE_RDX:
		resolve_register(op, OPERAND_REG, EMUL_RDX);
		break;
	case PLACE_IMM:
	case PLACE_JUMP:
		op->kind = OPERAND_IMM;
		break;
	default:
		break;
	}
	return EMUL_OK;
}

/**
 * emul_load() - read an operand
 * @e: context
 * @op: resolved; its val is set, zero-extended
 *
 * Context: that of the ops.
 *
 * Return: EMUL_OK, or what the read op says; EMUL_UNHANDLED for vector and MMX registers and for
 * more than 8 bytes, which a handler reads by itself.
 */
int emul_load(struct emul *e, struct emul_operand *op)
{
	struct kvm_segment seg;

	op->val = 0;
	switch (op->kind) {
	case OPERAND_REG:
		op->val = emul_reg_read(e, op->reg, op->size);
		return EMUL_OK;
	case OPERAND_REG_HIGH:
		op->val = (e->new_gpr[op->reg] >> 8) & 0xff;
		return EMUL_OK;
	case OPERAND_IMM:
		op->val = e->insn.imm & emul_mask(op->size);
		return EMUL_OK;
	case OPERAND_SEG:
		e->ops->segment(e, op->reg, &seg);
		op->val = seg.selector;
		return EMUL_OK;
	case OPERAND_MEM:
		if (op->size > sizeof(op->val))
			return EMUL_UNHANDLED;
		return emul_mem_read(e, op->la, &op->val, op->size);
	case OPERAND_NONE:
		return EMUL_OK;
	default:
		return EMUL_UNHANDLED;
	}
}

/**
 * emul_load_for_update() - read an operand that will be written
 * @e: context
 * @op: resolved, at most 8 bytes; its val is set, zero-extended. Memory must be writable
 *
 * Context: that of the ops.
 *
 * Return: as emul_load().
 */
int emul_load_for_update(struct emul *e, struct emul_operand *op)
{
	if (op->kind != OPERAND_MEM)
		return emul_load(e, op);
	op->val = 0;
	return emul_read_for_update(e, op->la, &op->val, op->size);
}

/* XCHG with memory is locked with or without the prefix. */
static bool is_locked(const struct emul_insn *insn)
{
	return insn->lock || insn->id == EMUL_OP_XCHG;
}

/**
 * emul_mem_update() - write back what emul_read_for_update() has read
 * @e: context
 * @la: linear address
 * @old: what was read
 * @val: what is to be there
 * @len: bytes; with LOCK, and for XCHG, 1, 2, 4, 8 or 16
 *
 * Locked, it is one atomic exchange.
 *
 * Context: that of the ops.
 *
 * Return: EMUL_OK, or what the ops say; EMUL_AGAIN: a locked access found something else than @old;
 * EMUL_UNHANDLED: one would wrap to linear address 0.
 */
int emul_mem_update(struct emul *e, u64 la, const void *old, const void *val, unsigned int len)
{
	if (!is_locked(&e->insn))
		return emul_mem_write(e, la, val, len);
	if (before_wrap(e, la, len) < len)
		return EMUL_UNHANDLED;
	return e->ops->compare_swap(e, la, old, val, len, EMUL_DATA);
}

/**
 * emul_store() - write an operand
 * @e: context
 * @op: resolved for writing; its val is written
 * @old: what was there, zero-extended, for a locked access
 *
 * Context: that of the ops.
 *
 * Return: EMUL_OK, or as emul_mem_update(); EMUL_UNHANDLED for vector, MMX and segment registers.
 */
int emul_store(struct emul *e, const struct emul_operand *op, u64 old)
{
	switch (op->kind) {
	case OPERAND_REG:
		emul_reg_write(e, op->reg, op->val, op->size);
		return EMUL_OK;
	case OPERAND_REG_HIGH:
		e->new_gpr[op->reg] = (e->new_gpr[op->reg] & ~0xff00ULL) | (op->val & 0xff) << 8;
		return EMUL_OK;
	case OPERAND_MEM:
		return emul_mem_update(e, op->la, &old, &op->val, op->size);
	case OPERAND_NONE:
		return EMUL_OK;
	default:
		return EMUL_UNHANDLED;
	}
}
