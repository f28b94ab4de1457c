/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one place where the CPU goes into an SVM guest and comes back
 * (APM vol. 2, 15.5). Only what must be next to VMRUN is here.
 */
#include "compat/entry_asm.h"
#include "x86/svm/entry.h"

#define GPR(n)	((n) * 8)

/* The registers that VMRUN does not switch: all but RAX and RSP. */
.macro LOAD_GUEST_GPRS
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

/* %rax points at the registers' home; %rdi is still the guest's. */
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
.endm

/* Nothing that a guest chose may steer speculation in the host. */
.macro CLEAR_GUEST_GPRS
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebx, %ebx
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

/* %rdi: struct svm_entry. Clobbers %rax, %rcx, %rdx. */
.macro WRITE_SPEC_CTRL from:req
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	mov	\from(%rdi), %eax
	mov	4 + \from(%rdi), %edx
	wrmsr
.endm

.section .noinstr.text, "ax"

SYM_FUNC_START(svm_vmrun)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
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

	mov	SVM_ENTRY_GUEST_SPEC(%rdi), %rax
	cmp	SVM_ENTRY_HOST_SPEC(%rdi), %rax
	je	.Lspec_is_guests
	WRITE_SPEC_CTRL SVM_ENTRY_GUEST_SPEC
.Lspec_is_guests:
	mov	SVM_ENTRY_VMCB(%rdi), %rax
	mov	SVM_ENTRY_GPR(%rdi), %rdi
	LOAD_GUEST_GPRS

	COMPAT_VM_CLEAR_CPU_BUFFERS
.Lvmload:
	vmload	%rax
.Lvmrun:
	vmrun	%rax
.Lvmsave:
	vmsave	%rax
.Lback:
	/* RAX is the VMCB's address again; the frame is where RSP was. */
	mov	(%rsp), %rax
	mov	SVM_ENTRY_GPR(%rax), %rax
	SAVE_GUEST_GPRS
	pop	%rdi
	mov	SVM_ENTRY_HOST(%rdi), %rax
.Lhost_load:
	vmload	%rax
.Lhost_loaded:
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RETPOLINE

	/* The host's SPEC_CTRL, before the first RET. */
	cmpq	$0, SVM_ENTRY_READ_SPEC(%rdi)
	je	.Lspec_known
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	rdmsr
	mov	%eax, SVM_ENTRY_GUEST_SPEC(%rdi)
	mov	%edx, 4 + SVM_ENTRY_GUEST_SPEC(%rdi)
.Lspec_known:
	mov	SVM_ENTRY_GUEST_SPEC(%rdi), %rax
	cmp	SVM_ENTRY_HOST_SPEC(%rdi), %rax
	je	.Lspec_is_hosts
	WRITE_SPEC_CTRL SVM_ENTRY_HOST_SPEC
.Lspec_is_hosts:
	COMPAT_UNTRAIN_RET_VM
	CLEAR_GUEST_GPRS

	cli
.Lstgi:
	stgi
.Ldone:
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
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
