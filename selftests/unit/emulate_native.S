/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Run one instruction on the CPU with a whole register file of the caller's choice, 64-bit mode.
 * The state is in native_state (struct native_state), at fixed offsets. native_entry points to
 * the instruction, behind which stands a jump to native_exit; the signal handler goes there, too.
 */
#define GPR(n)		native_state + 8 * (n)
#define RFLAGS		native_state + 128
#define YMM(n)		native_state + 160 + 32 * (n)
#define MMX(n)		native_state + 672 + 8 * (n)

	.bss
	.balign 64
	.globl native_state, native_entry
native_state:
	.skip 736
native_entry:
	.skip 8
host_rsp:
	.skip 8

	.text
	/* void native_run(bool vectors); */
	.globl native_run
native_run:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi
	mov	%rsp, host_rsp(%rip)

	test	%edi, %edi
	jz	1f
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovdqa	YMM(\n)(%rip), %ymm\n
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	movq	MMX(\n)(%rip), %mm\n
	.endr
1:
	push	RFLAGS(%rip)
	popfq
	mov	GPR(0)(%rip), %rax
	mov	GPR(1)(%rip), %rcx
	mov	GPR(2)(%rip), %rdx
	mov	GPR(3)(%rip), %rbx
	mov	GPR(4)(%rip), %rsp
	mov	GPR(5)(%rip), %rbp
	mov	GPR(6)(%rip), %rsi
	mov	GPR(7)(%rip), %rdi
	mov	GPR(8)(%rip), %r8
	mov	GPR(9)(%rip), %r9
	mov	GPR(10)(%rip), %r10
	mov	GPR(11)(%rip), %r11
	mov	GPR(12)(%rip), %r12
	mov	GPR(13)(%rip), %r13
	mov	GPR(14)(%rip), %r14
	mov	GPR(15)(%rip), %r15
	jmp	*native_entry(%rip)

	.globl native_exit
native_exit:
	mov	%rsp, GPR(4)(%rip)
	mov	host_rsp(%rip), %rsp
	pushfq
	pop	RFLAGS(%rip)
	push	$2
	popfq
	mov	%rax, GPR(0)(%rip)
	mov	%rcx, GPR(1)(%rip)
	mov	%rdx, GPR(2)(%rip)
	mov	%rbx, GPR(3)(%rip)
	mov	%rbp, GPR(5)(%rip)
	mov	%rsi, GPR(6)(%rip)
	mov	%rdi, GPR(7)(%rip)
	mov	%r8, GPR(8)(%rip)
	mov	%r9, GPR(9)(%rip)
	mov	%r10, GPR(10)(%rip)
	mov	%r11, GPR(11)(%rip)
	mov	%r12, GPR(12)(%rip)
	mov	%r13, GPR(13)(%rip)
	mov	%r14, GPR(14)(%rip)
	mov	%r15, GPR(15)(%rip)

	pop	%rdi
	test	%edi, %edi
	jz	1f
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovdqa	%ymm\n, YMM(\n)(%rip)
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	movq	%mm\n, MMX(\n)(%rip)
	.endr
	emms
	vzeroupper
1:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret

	.section .note.GNU-stack, "", @progbits
