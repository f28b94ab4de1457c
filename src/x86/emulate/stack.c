// SPDX-License-Identifier: GPL-2.0
/*
 * Handlers of what works on the stack: PUSH and POP in all their forms but those of segment
 * registers (segment.c), near calls, jumps and returns, stack frames.
 */
#include "x86/emulate/opcode.h"

int emul_exec_push(struct emul *e)
{
	return emul_push(e, e->op[0].val, e->insn.opsize);
}

/* The address of a destination relative to rSP is taken after the pop. */
int emul_exec_pop(struct emul *e)
{
	u64 val;
	int rc;

	rc = emul_pop(e, &val, e->insn.opsize);
	if (!rc)
		rc = emul_resolve(e, 0, true);
	if (rc)
		return rc;
	e->op[0].val = val;
	return emul_store(e, &e->op[0], 0);
}

static int call_to(struct emul *e, u64 target)
{
	u64 back = e->new_rip;
	int rc;

	rc = emul_code_target(e, target & emul_mask(e->insn.opsize));
	return rc ? rc : emul_push(e, back, e->insn.opsize);
}

int emul_exec_call(struct emul *e)
{
	return call_to(e, e->op[0].val);
}

int emul_exec_call_rel(struct emul *e)
{
	return call_to(e, e->new_rip + e->insn.imm);
}

int emul_exec_jmp(struct emul *e)
{
	return emul_code_target(e, e->op[0].val);
}

int emul_exec_ret(struct emul *e)
{
	unsigned int width = emul_stack_size(e);
	u64 target;
	int rc;

	rc = emul_pop(e, &target, e->insn.opsize);
	if (rc)
		return rc;
	emul_reg_write(e, EMUL_RSP, emul_reg_read(e, EMUL_RSP, width) + e->insn.imm, width);
	return emul_code_target(e, target);
}

/*
 * Only level 0, the one that compilers use; the others copy frame pointers. A write through the
 * new stack pointer must be possible.
 */
int emul_exec_enter(struct emul *e)
{
	unsigned int width = emul_stack_size(e), size = e->insn.opsize;
	u64 frame, la;
	int rc;

	if (e->insn.imm2 & 31)
		return EMUL_UNHANDLED;
	rc = emul_push(e, emul_reg_read(e, EMUL_RBP, size), size);
	if (rc)
		return rc;
	frame = emul_reg_read(e, EMUL_RSP, width);
	emul_reg_write(e, EMUL_RBP, frame, size);
	emul_reg_write(e, EMUL_RSP, frame - e->insn.imm, width);
	rc = emul_linear(e, EMUL_SEG_SS, emul_reg_read(e, EMUL_RSP, width), size, true, &la);
	return rc ? rc : emul_probe(e, la, size, true);
}

int emul_exec_leave(struct emul *e)
{
	unsigned int width = emul_stack_size(e), size = e->insn.opsize;
	u64 val;
	int rc;

	emul_reg_write(e, EMUL_RSP, emul_reg_read(e, EMUL_RBP, width), width);
	rc = emul_pop(e, &val, size);
	if (!rc)
		emul_reg_write(e, EMUL_RBP, val, size);
	return rc;
}

/* --- All registers at once. --- */

#define REGISTERS	8

/* RSP as it was before. */
int emul_exec_pusha(struct emul *e)
{
	unsigned int size = e->insn.opsize, i;
	int rc;

	rc = emul_check_pushes(e, REGISTERS, size);
	for (i = 0; i < REGISTERS && !rc; i++)
		rc = emul_push(e, e->gpr[i], size);
	return rc;
}

/* RSP is passed over, not loaded. */
int emul_exec_popa(struct emul *e)
{
	unsigned int size = e->insn.opsize, i;
	u64 val;
	int rc;

	for (i = REGISTERS; i-- > 0;) {
		rc = emul_pop(e, &val, size);
		if (rc)
			return rc;
		if (i != EMUL_RSP)
			emul_reg_write(e, i, val, size);
	}
	return EMUL_OK;
}

/* --- Flags. --- */

static unsigned int iopl(const struct emul *e)
{
	return (e->rflags & X86_EFLAGS_IOPL) >> X86_EFLAGS_IOPL_BIT;
}

/*
 * In virtual-8086 mode PUSHF and POPF are for IOPL 3. Below, CR4.VME may lend them VIF in place
 * of IF, which is not done here.
 */
static int check_vm86_flags(struct emul *e)
{
	if (e->mode != EMUL_VM86 || iopl(e) == 3)
		return EMUL_OK;
	if (e->ops->sysreg(e, EMUL_CR4) & X86_CR4_VME)
		return EMUL_UNHANDLED;
	return emul_raise_code(e, GP_VECTOR, 0);
}

int emul_exec_pushf(struct emul *e)
{
	int rc = check_vm86_flags(e);

	if (rc)
		return rc;
	return emul_push(e, e->rflags & ~(u64)(X86_EFLAGS_RF | X86_EFLAGS_VM), e->insn.opsize);
}

/* What POPF leaves as it is: SDM Vol. 2, "POPF", table 4-16. RF is cleared as always. */
static u64 flags_kept(struct emul *e)
{
	u64 kept = X86_EFLAGS_RF | X86_EFLAGS_VM | X86_EFLAGS_VIF | X86_EFLAGS_VIP;
	unsigned int cpl = e->mode == EMUL_REAL ? 0 : e->ops->sysreg(e, EMUL_CPL);

	if (cpl > 0)
		kept |= X86_EFLAGS_IOPL;
	if (cpl > iopl(e))
		kept |= X86_EFLAGS_IF;
	return kept | ~emul_mask(e->insn.opsize);
}

int emul_exec_popf(struct emul *e)
{
	u64 kept = flags_kept(e), val;
	int rc;

	rc = check_vm86_flags(e);
	if (!rc)
		rc = emul_pop(e, &val, e->insn.opsize);
	if (rc)
		return rc;
	val &= FLAGS_KNOWN;
	e->new_rflags = (e->rflags & kept) | (val & ~kept) | X86_EFLAGS_FIXED;
	return EMUL_OK;
}
