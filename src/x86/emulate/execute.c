// SPDX-License-Identifier: GPL-2.0
/*
 * The engine: fetch, then load operands, run the row's handler, store, commit. What a single
 * instruction does is in integer.c, string.c and vector.c.
 */
#include "x86/emulate/opcode.h"

#define PAGE_BYTES 4096u

/*
 * How much code can be fetched at once from offset @done of the instruction: to the end of the
 * page at most, because the next page may fault and the instruction may not need it; and to the
 * end of the code segment.
 */
static int fetch_window(struct emul *e, unsigned int done, u64 *la, unsigned int *len)
{
	u64 ip = e->rip + done;
	struct kvm_segment cs;
	u64 room = EMUL_INSN_MAX - done;

	if (e->mode == EMUL_LONG64) {
		int rc = emul_linear(e, EMUL_SEG_DS, ip, 1, false, la);

		if (rc)
			return rc;
	} else {
		e->ops->segment(e, EMUL_SEG_CS, &cs);
		ip = (u32)ip;
		if (ip > cs.limit)
			return emul_raise_code(e, GP_VECTOR, 0);
		if (room > cs.limit - ip + 1)
			room = cs.limit - ip + 1;
		*la = (u32)(cs.base + ip);
	}
	if (room > PAGE_BYTES - *la % PAGE_BYTES)
		room = PAGE_BYTES - *la % PAGE_BYTES;
	*len = room;
	return EMUL_OK;
}

int emul_decode(struct emul *e)
{
	unsigned int done = 0, len = 0;
	u64 la;
	int rc;

	e->fetched = 0;
	do {
		rc = fetch_window(e, done, &la, &len);
		if (rc)
			return rc;
		rc = e->ops->fetch(e, la, e->insn.bytes + done, len);
		if (rc)
			return rc;
		done += len;
		e->fetched = done;
		rc = emul_decode_bytes(&e->insn, e->mode, e->insn.bytes, done);
	} while (rc == EMUL_TRUNCATED);

	if (rc == EMUL_INVALID)
		return emul_raise(e, UD_VECTOR);
	if (rc == EMUL_TOO_LONG)
		return emul_raise_code(e, GP_VECTOR, 0);
	return rc;
}

static void begin(struct emul *e)
{
	memcpy(e->new_gpr, e->gpr, sizeof(e->new_gpr));
	e->new_rflags = e->rflags;
	e->new_rip = e->rip + e->insn.len;
	if (e->mode != EMUL_LONG64)
		e->new_rip = (u32)e->new_rip;
	e->single_step = false;
	e->mov_ss = false;
	e->repeat = false;
	e->bad_selector = GP_VECTOR;
}

/* The only place where the vCPU's registers change. */
static int commit(struct emul *e)
{
	memcpy(e->gpr, e->new_gpr, sizeof(e->new_gpr));
	e->single_step = e->rflags & X86_EFLAGS_TF;
	e->rflags = e->new_rflags;
	if (e->repeat)
		return EMUL_AGAIN;
	e->rflags &= ~(u64)X86_EFLAGS_RF;
	e->rip = e->new_rip;
	return EMUL_OK;
}

/* Resolve all operands, then load the sources, then the destination if it is read. */
static int load_operands(struct emul *e)
{
	u32 flags = e->insn.row->flags;
	unsigned int i;
	int rc;

	for (i = 0; i < ARRAY_SIZE(e->op); i++) {
		rc = emul_resolve(e, i, i == 0 && (flags & ROW_STORE));
		if (!rc && i > 0)
			rc = emul_load(e, &e->op[i]);
		if (rc)
			return rc;
	}
	if ((flags & ROW_RMW) == ROW_RMW)
		return emul_load_for_update(e, &e->op[0]);
	if (flags & ROW_LOAD)
		return emul_load(e, &e->op[0]);
	return EMUL_OK;
}

static int run(struct emul *e)
{
	const struct emul_opcode *row = e->insn.row;
	u64 old;
	int rc;

	if (row->flags & ROW_SELF)
		return row->exec(e);

	rc = load_operands(e);
	if (rc)
		return rc;
	old = e->op[0].val;
	rc = row->exec(e);
	if (rc || !(row->flags & ROW_STORE))
		return rc;
	return emul_store(e, &e->op[0], old);
}

int emul_execute(struct emul *e)
{
	int rc;

	if (!e->insn.row || !e->insn.row->exec)
		return EMUL_UNHANDLED;
	begin(e);
	rc = run(e);
	return rc == EMUL_OK ? commit(e) : rc;
}

bool emul_is_store(const struct emul *e, unsigned int len)
{
	return e->insn.id == EMUL_OP_MOV && (e->insn.row->flags & ROW_STORE) &&
	       e->op[0].kind == OPERAND_MEM && e->op[0].size == len;
}
