/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one place where the CPU goes into a VMX guest and comes back
 * (SDM vol. 3, ch. 26 and 27). Only what must be next to VMRESUME is here.
 */
#include "compat/entry_asm.h"
#include <asm/segment.h>
#include <asm/unwind_hints.h>
#include "x86/vmx/entry.h"

#define VMCS_HOST_RSP	0x6c14

.section .noinstr.text, "ax"

SYM_FUNC_START(vmx_run)
	PUSH_HOST_GPRS
	push	%rdi

	/* VM exits load RSP from the VMCS; write it only when it moved. */
	cmp	%rsp, VMX_ENTRY_HOST_RSP(%rdi)
	je	.Lrsp_known
	mov	$VMCS_HOST_RSP, %eax
.Lvmwrite:
	vmwrite	%rsp, %rax
	mov	%rsp, VMX_ENTRY_HOST_RSP(%rdi)
.Lrsp_known:
	SPEC_CTRL_IN
	/* CF outlives the moves and VERW, which changes ZF alone. */
	btl	$0, VMX_ENTRY_LAUNCHED(%rdi)
	mov	ENTRY_GPR(%rdi), %rdi
	mov	GPR(0)(%rdi), %rax
	LOAD_GUEST_GPRS
	COMPAT_VMX_CLEAR_CPU_BUFFERS
	UNWIND_HINT_SAVE
	jc	.Lvmresume
.Lvmlaunch:
	vmlaunch
	jmp	.Lrefused
.Lvmresume:
	vmresume
.Lrefused:
	/* The guest's registers are still loaded; RSP is ours. */
	mov	$1, %ebx
	jmp	.Lrestore_host

SYM_INNER_LABEL(vmx_exit_point, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR
	push	%rax
	mov	8(%rsp), %rax
	mov	ENTRY_GPR(%rax), %rax
	SAVE_GUEST_GPRS
	popq	GPR(0)(%rax)
	xor	%ebx, %ebx
.Lrestore_host:
	pop	%rdi
	CLEAR_GUEST_GPRS
	COMPAT_FILL_RSB %rax
	SPEC_CTRL_OUT
	COMPAT_CLEAR_BRANCH_HISTORY
	mov	%ebx, %eax

	POP_HOST_GPRS
	RET

	/* A reboot takes VMX operation from under us: #UD. */
	_ASM_EXTABLE(.Lvmwrite, .Lrsp_known)
	_ASM_EXTABLE(.Lvmlaunch, .Lrefused)
	_ASM_EXTABLE(.Lvmresume, .Lrefused)
SYM_FUNC_END(vmx_run)

.section .text, "ax"

/*
 * What the CPU does for an interrupt without a change of stacks (SDM vol. 3, 6.14.2): aligns
 * RSP, pushes SS, RSP, RFLAGS, CS and RIP, which here is the return address. The handler's IRET
 * comes back here, with the RSP that was pushed; interrupts stay off.
 */
SYM_FUNC_START(vmx_call_gate)
	push	%rbp
	mov	%rsp, %rbp
	and	$-16, %rsp
	push	$__KERNEL_DS
	push	%rbp
	pushf
	push	$__KERNEL_CS
	CALL_NOSPEC rdi
	/* RSP is RBP already; objtool does not know. */
	mov	%rbp, %rsp
	pop	%rbp
	RET
SYM_FUNC_END(vmx_call_gate)
