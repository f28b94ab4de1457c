/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one place where the CPU goes into an SVM guest and comes back
 * (APM vol. 2, 15.5). Only what must be next to VMRUN is here.
 */
#include "compat/entry_asm.h"
#include "x86/svm/entry.h"

.section .noinstr.text, "ax"

SYM_FUNC_START(svm_vmrun)
	PUSH_HOST_GPRS
	push	%rdi

	/*
	 * From CLGI to STGI nothing reaches this CPU. IF is set in between:
	 * with V_INTR_MASKING it is the host's IF that says whether a physical
	 * interrupt makes the guest exit (APM 15.21.1).
	 */
.Lclgi:
	clgi
.Lno_gif:
	sti

	SPEC_CTRL_IN
	mov	SVM_ENTRY_VMCB(%rdi), %rax
	mov	ENTRY_GPR(%rdi), %rdi
	LOAD_GUEST_GPRS

	COMPAT_SVM_CLEAR_CPU_BUFFERS
.Lvmload:
	vmload	%rax
.Lvmrun:
	vmrun	%rax
.Lvmsave:
	vmsave	%rax
.Lback:
	/* RAX is the VMCB's address again; the frame is where RSP was. */
	mov	(%rsp), %rax
	mov	ENTRY_GPR(%rax), %rax
	SAVE_GUEST_GPRS
	pop	%rdi
	xor	%ebx, %ebx
	CLEAR_GUEST_GPRS
	mov	SVM_ENTRY_HOST(%rdi), %rax
.Lhost_load:
	vmload	%rax
.Lhost_loaded:
	COMPAT_FILL_RSB %rax
	SPEC_CTRL_OUT
	COMPAT_UNTRAIN_RET_VM

	cli
.Lstgi:
	stgi
.Ldone:
	POP_HOST_GPRS
	RET

	/*
	 * A reboot takes SVME from under us: each instruction then raises #UD,
	 * and the exit code that the caller preset says that nothing ran.
	 */
	_ASM_EXTABLE(.Lclgi, .Lno_gif)
	_ASM_EXTABLE(.Lvmload, .Lvmrun)
	_ASM_EXTABLE(.Lvmrun, .Lvmsave)
	_ASM_EXTABLE(.Lvmsave, .Lback)
	_ASM_EXTABLE(.Lhost_load, .Lhost_loaded)
	_ASM_EXTABLE(.Lstgi, .Ldone)
SYM_FUNC_END(svm_vmrun)
