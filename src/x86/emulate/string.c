// SPDX-License-Identifier: GPL-2.0
/*
 * String instructions and port I/O. One call is one iteration of a REP string, so that interrupts
 * are looked at between them; of INS and OUTS, as many as fit in a page and in emul.io at once,
 * because each of them costs an exit to user space.
 */
#include "x86/emulate/opcode.h"

#define PAGE_BYTES 4096u

/* Element size: that of the memory operand, which is the first or the second. */
static unsigned int element_size(const struct emul *e)
{
	const u8 *form = e->insn.row->form;
	bool first = emul_forms[form[0]].place >= PLACE_SRC;

	return emul_form_size(&e->insn, form[first ? 0 : 1]);
}

static u64 index_read(const struct emul *e, unsigned int reg)
{
	return emul_reg_read(e, reg, e->insn.adsize);
}

static void index_advance(struct emul *e, unsigned int reg, unsigned int bytes)
{
	u64 val = index_read(e, reg);

	val += e->rflags & X86_EFLAGS_DF ? -(u64)bytes : bytes;
	emul_reg_write(e, reg, val, e->insn.adsize);
}

static int source_linear(struct emul *e, unsigned int len, u64 *la)
{
	return emul_linear(e, e->insn.seg, index_read(e, EMUL_RSI), len, false, la);
}

static int destination_linear(struct emul *e, unsigned int len, bool write, u64 *la)
{
	return emul_linear(e, EMUL_SEG_ES, index_read(e, EMUL_RDI), len, write, la);
}

static int read_source(struct emul *e, u64 *val, unsigned int size)
{
	u64 la;
	int rc;

	*val = 0;
	rc = source_linear(e, size, &la);
	return rc ? rc : emul_mem_read(e, la, val, size);
}

static int read_destination(struct emul *e, u64 *val, unsigned int size)
{
	u64 la;
	int rc;

	*val = 0;
	rc = destination_linear(e, size, false, &la);
	return rc ? rc : emul_mem_read(e, la, val, size);
}

static int write_destination(struct emul *e, u64 val, unsigned int size)
{
	u64 la;
	int rc;

	rc = destination_linear(e, size, true, &la);
	return rc ? rc : emul_mem_write(e, la, &val, size);
}

/* Is there anything to do at all? Without a REP prefix there always is. */
static bool has_work(const struct emul *e)
{
	return !e->insn.rep || index_read(e, EMUL_RCX) != 0;
}

/* @done iterations are over: count them, and say whether there is more to do. */
static int finish(struct emul *e, u64 done, bool stop)
{
	u64 left;

	if (!e->insn.rep)
		return EMUL_OK;
	left = index_read(e, EMUL_RCX) - done;
	emul_reg_write(e, EMUL_RCX, left, e->insn.adsize);
	e->repeat = left != 0 && !stop;
	return EMUL_OK;
}

/* REPE goes on while equal, REPNE while not. */
static bool compare_stops(const struct emul *e)
{
	return !(e->new_rflags & X86_EFLAGS_ZF) == (e->insn.rep == 0xf3);
}

int emul_exec_movs(struct emul *e)
{
	unsigned int size = element_size(e);
	u64 val;
	int rc;

	if (!has_work(e))
		return EMUL_OK;
	rc = read_source(e, &val, size);
	if (!rc)
		rc = write_destination(e, val, size);
	if (rc)
		return rc;
	index_advance(e, EMUL_RSI, size);
	index_advance(e, EMUL_RDI, size);
	return finish(e, 1, false);
}

int emul_exec_stos(struct emul *e)
{
	unsigned int size = element_size(e);
	int rc;

	if (!has_work(e))
		return EMUL_OK;
	rc = write_destination(e, emul_reg_read(e, EMUL_RAX, size), size);
	if (rc)
		return rc;
	index_advance(e, EMUL_RDI, size);
	return finish(e, 1, false);
}

int emul_exec_lods(struct emul *e)
{
	unsigned int size = element_size(e);
	u64 val;
	int rc;

	if (!has_work(e))
		return EMUL_OK;
	rc = read_source(e, &val, size);
	if (rc)
		return rc;
	emul_reg_write(e, EMUL_RAX, val, size);
	index_advance(e, EMUL_RSI, size);
	return finish(e, 1, false);
}

int emul_exec_cmps(struct emul *e)
{
	unsigned int size = element_size(e);
	u64 src, dst;
	int rc;

	if (!has_work(e))
		return EMUL_OK;
	rc = read_source(e, &src, size);
	if (!rc)
		rc = read_destination(e, &dst, size);
	if (rc)
		return rc;
	emul_sub(e, src, dst, 0, size);
	index_advance(e, EMUL_RSI, size);
	index_advance(e, EMUL_RDI, size);
	return finish(e, 1, compare_stops(e));
}

int emul_exec_scas(struct emul *e)
{
	unsigned int size = element_size(e);
	u64 val;
	int rc;

	if (!has_work(e))
		return EMUL_OK;
	rc = read_destination(e, &val, size);
	if (rc)
		return rc;
	emul_sub(e, emul_reg_read(e, EMUL_RAX, size), val, 0, size);
	index_advance(e, EMUL_RDI, size);
	return finish(e, 1, compare_stops(e));
}

/*
 * The I/O permission bitmap: 2 bytes of it are always read, and both must be inside of the TSS
 * (SDM Vol. 1, 19.5.2). Only a 32-bit or 64-bit TSS has one.
 */
static int check_io_bitmap(struct emul *e, u16 port, unsigned int size)
{
	struct kvm_segment tr;
	u16 base = 0, bits = 0;
	int rc;

	e->ops->segment(e, EMUL_SEG_TR, &tr);
	if (!tr.present || tr.unusable || !(tr.type & 8) || tr.limit < 103)
		return emul_raise_code(e, GP_VECTOR, 0);
	rc = e->ops->read(e, tr.base + 102, &base, sizeof(base), EMUL_SYSTEM);
	if (rc)
		return rc;
	if (base + port / 8u + 1 > tr.limit)
		return emul_raise_code(e, GP_VECTOR, 0);
	rc = e->ops->read(e, tr.base + base + port / 8, &bits, sizeof(bits), EMUL_SYSTEM);
	if (rc)
		return rc;
	if ((bits >> (port & 7)) & ((1 << size) - 1))
		return emul_raise_code(e, GP_VECTOR, 0);
	return EMUL_OK;
}

/* In virtual-8086 mode the bitmap alone decides, elsewhere IOPL may allow everything. */
static int check_io(struct emul *e, u16 port, unsigned int size)
{
	unsigned int iopl = (e->rflags & X86_EFLAGS_IOPL) >> 12;

	if (e->mode == EMUL_REAL)
		return EMUL_OK;
	if (e->mode != EMUL_VM86 && e->ops->sysreg(e, EMUL_CPL) <= iopl)
		return EMUL_OK;
	return check_io_bitmap(e, port, size);
}

/*
 * How many elements one op may move, starting at @index: those left to do, up to the end of the
 * page, upwards, to plain memory that may be accessed. Anything else goes one by one, and so
 * does who steps: each iteration is a step (SDM Vol. 3, 17.3.1.4).
 */
static int io_batch(struct emul *e, unsigned int index, u64 la, unsigned int size, bool write,
		    u32 *count)
{
	u32 max = (PAGE_BYTES - la % PAGE_BYTES) / size;
	u64 left = index_read(e, EMUL_RCX), first = index_read(e, index), unused;
	int rc;

	*count = 1;
	rc = e->ops->probe(e, la, size, write, EMUL_DATA);
	if (rc != EMUL_OK && rc != EMUL_SUSPEND)
		return rc;
	if (rc || !e->insn.rep || (e->rflags & (X86_EFLAGS_DF | X86_EFLAGS_TF)))
		return EMUL_OK;
	if (max > EMUL_IO_MAX / size)
		max = EMUL_IO_MAX / size;
	if (max > left)
		max = left;
	/* The segment may end before the page does, or the index begin anew at 0. */
	if (max > 1 && max * size - 1 <= emul_mask(e->insn.adsize) - first &&
	    !emul_linear(e, index == EMUL_RDI ? EMUL_SEG_ES : e->insn.seg, first, max * size, write,
			 &unused))
		*count = max;
	return EMUL_OK;
}

/*
 * The destination is checked before the port is read: what has been read from a port can't be
 * read again after a page fault.
 */
int emul_exec_ins(struct emul *e)
{
	unsigned int size = element_size(e);
	u16 port = emul_reg_read(e, EMUL_RDX, 2);
	u32 count;
	u64 la;
	int rc;

	rc = check_io(e, port, size);
	if (rc || !has_work(e))
		return rc;
	if (!e->ops->pio_in)
		return EMUL_UNHANDLED;
	rc = destination_linear(e, size, true, &la);
	if (!rc)
		rc = io_batch(e, EMUL_RDI, la, size, true, &count);
	if (!rc)
		rc = e->ops->pio_in(e, port, size, e->io, &count);
	if (!rc)
		rc = emul_mem_write(e, la, e->io, count * size);
	if (rc)
		return rc;
	index_advance(e, EMUL_RDI, count * size);
	return finish(e, count, false);
}

int emul_exec_outs(struct emul *e)
{
	unsigned int size = element_size(e);
	u16 port = emul_reg_read(e, EMUL_RDX, 2);
	u32 count;
	u64 la;
	int rc;

	rc = check_io(e, port, size);
	if (rc || !has_work(e))
		return rc;
	if (!e->ops->pio_out)
		return EMUL_UNHANDLED;
	rc = source_linear(e, size, &la);
	if (!rc)
		rc = io_batch(e, EMUL_RSI, la, size, false, &count);
	if (!rc)
		rc = emul_mem_read(e, la, e->io, count * size);
	if (!rc)
		rc = e->ops->pio_out(e, port, size, e->io, &count);
	if (rc)
		return rc;
	index_advance(e, EMUL_RSI, count * size);
	return finish(e, count, false);
}

/* Port and width of IN and OUT; @port_form says which operand is the port. */
static u16 io_port(const struct emul *e, unsigned int port_form)
{
	if (e->insn.row->form[port_form] == FORM_Ib)
		return e->insn.imm;
	return emul_reg_read(e, EMUL_RDX, 2);
}

static unsigned int io_size(const struct emul *e)
{
	if (!(e->insn.opcode & 1))
		return 1;
	return e->insn.opsize == 2 ? 2 : 4;
}

int emul_exec_in(struct emul *e)
{
	u16 port = io_port(e, 1);
	unsigned int size = io_size(e);
	u32 count = 1;
	u64 val = 0;
	int rc;

	rc = check_io(e, port, size);
	if (rc)
		return rc;
	if (!e->ops->pio_in)
		return EMUL_UNHANDLED;
	rc = e->ops->pio_in(e, port, size, &val, &count);
	if (rc)
		return rc;
	emul_reg_write(e, EMUL_RAX, val, size);
	return EMUL_OK;
}

int emul_exec_out(struct emul *e)
{
	u16 port = io_port(e, 0);
	unsigned int size = io_size(e);
	u64 val = emul_reg_read(e, EMUL_RAX, size);
	u32 count = 1;
	int rc;

	rc = check_io(e, port, size);
	if (rc)
		return rc;
	if (!e->ops->pio_out)
		return EMUL_UNHANDLED;
	return e->ops->pio_out(e, port, size, &val, &count);
}
