/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one place where the CPU goes into a VMX guest and comes back
 * (SDM vol. 3, ch. 26 and 27). Only what must be next to VMRESUME is here.
 */
#include "compat/entry_asm.h"
#include <asm/unwind_hints.h>
#include "x86/vmx/entry.h"

#define GPR(n)	((n) * 8)
#define VMCS_HOST_RSP	0x6c14

/* The registers that VMX does not switch: all but RSP. %rdi: their home. */
.macro LOAD_GUEST_GPRS
	mov	GPR(0)(%rdi), %rax
	mov	GPR(1)(%rdi), %rcx
	mov	GPR(2)(%rdi), %rdx
	mov	GPR(3)(%rdi), %rbx
	mov	GPR(5)(%rdi), %rbp
	mov	GPR(6)(%rdi), %rsi
	mov	GPR(8)(%rdi), %r8
	mov	GPR(9)(%rdi), %r9
	mov	GPR(10)(%rdi), %r10
	mov	GPR(11)(%rdi), %r11
	mov	GPR(12)(%rdi), %r12
	mov	GPR(13)(%rdi), %r13
	mov	GPR(14)(%rdi), %r14
	mov	GPR(15)(%rdi), %r15
	mov	GPR(7)(%rdi), %rdi
.endm

/* %rax: their home; the guest's RAX is on the stack. */
.macro SAVE_GUEST_GPRS
	mov	%rcx, GPR(1)(%rax)
	mov	%rdx, GPR(2)(%rax)
	mov	%rbx, GPR(3)(%rax)
	mov	%rbp, GPR(5)(%rax)
	mov	%rsi, GPR(6)(%rax)
	mov	%rdi, GPR(7)(%rax)
	mov	%r8, GPR(8)(%rax)
	mov	%r9, GPR(9)(%rax)
	mov	%r10, GPR(10)(%rax)
	mov	%r11, GPR(11)(%rax)
	mov	%r12, GPR(12)(%rax)
	mov	%r13, GPR(13)(%rax)
	mov	%r14, GPR(14)(%rax)
	mov	%r15, GPR(15)(%rax)
	popq	GPR(0)(%rax)
.endm

/* Nothing that a guest chose may steer speculation in the host. */
.macro CLEAR_GUEST_GPRS
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebp, %ebp
	xor	%esi, %esi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d
.endm

/* %rdi: struct vmx_entry. Clobbers %rax, %rcx, %rdx. */
.macro WRITE_SPEC_CTRL from:req
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	mov	\from(%rdi), %eax
	mov	4 + \from(%rdi), %edx
	wrmsr
.endm

.section .noinstr.text, "ax"

SYM_FUNC_START(vmx_run)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi

	/* VM exits load RSP from the VMCS; write it only when it moved. */
	cmp	%rsp, VMX_ENTRY_HOST_RSP(%rdi)
	je	.Lrsp_known
	mov	$VMCS_HOST_RSP, %eax
.Lvmwrite:
	vmwrite	%rsp, %rax
	mov	%rsp, VMX_ENTRY_HOST_RSP(%rdi)
.Lrsp_known:
	mov	VMX_ENTRY_GUEST_SPEC(%rdi), %rax
	cmp	VMX_ENTRY_HOST_SPEC(%rdi), %rax
	je	.Lspec_is_guests
	WRITE_SPEC_CTRL VMX_ENTRY_GUEST_SPEC
.Lspec_is_guests:
	/* CF outlives the moves and VERW, which changes ZF alone. */
	btl	$0, VMX_ENTRY_LAUNCHED(%rdi)
	mov	VMX_ENTRY_GPR(%rdi), %rdi
	LOAD_GUEST_GPRS
	COMPAT_VM_CLEAR_CPU_BUFFERS
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
	mov	VMX_ENTRY_GPR(%rax), %rax
	SAVE_GUEST_GPRS
	xor	%ebx, %ebx
.Lrestore_host:
	pop	%rdi
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, COMPAT_RSB_VMEXIT

	/* The host's SPEC_CTRL, before the first RET. */
	cmpq	$0, VMX_ENTRY_READ_SPEC(%rdi)
	je	.Lspec_known
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	rdmsr
	mov	%eax, VMX_ENTRY_GUEST_SPEC(%rdi)
	mov	%edx, 4 + VMX_ENTRY_GUEST_SPEC(%rdi)
.Lspec_known:
	mov	VMX_ENTRY_GUEST_SPEC(%rdi), %rax
	cmp	VMX_ENTRY_HOST_SPEC(%rdi), %rax
	je	.Lspec_is_hosts
	WRITE_SPEC_CTRL VMX_ENTRY_HOST_SPEC
.Lspec_is_hosts:
	CLEAR_GUEST_GPRS
	mov	%ebx, %eax

	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

	/* A reboot takes VMX operation from under us: #UD. */
	_ASM_EXTABLE(.Lvmwrite, .Lrsp_known)
	_ASM_EXTABLE(.Lvmlaunch, .Lrefused)
	_ASM_EXTABLE(.Lvmresume, .Lrefused)
SYM_FUNC_END(vmx_run)
