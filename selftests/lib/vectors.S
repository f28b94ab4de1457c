/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest's 256 interrupt entries, where a guest function returns to, and the
 * layout of struct trap_frame. Nothing else.
 */
#include "lib/guest_layout.h"

	.text
	/* An entry is VECTOR_STUB_SIZE long, so that the host can compute the IDT. */
	.balign	VECTOR_STUB_SIZE
	.globl	guest_vector_stubs
guest_vector_stubs:
	vector = 0
	.rept	256
	.balign	VECTOR_STUB_SIZE
	/* 8, 10-14, 17, 21, 29, 30 push an error code of their own. */
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || \
		  vector == 21 || vector == 29 || vector == 30)
	pushq	$0
	.endif
	pushq	$vector
	jmp	trap_common
	vector = vector + 1
	.endr

trap_common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	cld
	mov	%rsp, %rdi
	call	guest_trap
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

	/* The return address of every guest function that a vCPU starts in. */
	.globl	guest_return
guest_return:
	mov	$1, %eax		/* REPORT_DONE */
	mov	$0x900, %edx		/* REPORT_PORT */
	out	%eax, %dx
	jmp	guest_return

	/* One entry, so that __start_ and __stop_ exist in every program. */
	.section trap_fixups, "a"
	.quad	0, 0

	.section .note.GNU-stack, "", @progbits
