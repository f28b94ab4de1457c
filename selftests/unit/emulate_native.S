/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Run one instruction on the CPU with a whole register file of the caller's choice. The state is
 * in native_state (struct native_state), at fixed offsets. In 64-bit mode native_entry points to
 * the instruction; otherwise native_far does, with the code segment to use, and the data segments
 * are in native_segments. Behind the instruction stands a jump to native_exit or
 * native_exit_compat; the signal handler goes there, too.
 */
#define GPR(n)		native_state + 8 * (n)
#define RFLAGS		native_state + 128
#define YMM(n)		native_state + 160 + 32 * (n)
#define MMX(n)		native_state + 672 + 8 * (n)

	.bss
	.balign 64
	.globl native_state, native_entry, native_far, native_segments
native_state:
	.skip 736
native_entry:
	.skip 8
host_rsp:
	.skip 8
native_far:
	.skip 8		/* offset, 4 bytes; selector, 2 bytes */
native_segments:
	.skip 8		/* ES, DS, GS, SS, 2 bytes each */
host_ss:
	.skip 8

	.text
	/* void native_run(bool vectors, bool compat); */
	.globl native_run
native_run:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi
	push	%rsi
	mov	%rsp, host_rsp(%rip)
	mov	%ss, host_ss(%rip)

	test	%edi, %edi
	jz	1f
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovdqa	YMM(\n)(%rip), %ymm\n
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	movq	MMX(\n)(%rip), %mm\n
	.endr
1:
	test	%esi, %esi
	jz	2f
	mov	native_segments(%rip), %es
	mov	native_segments + 2(%rip), %ds
	mov	native_segments + 4(%rip), %gs
2:
	push	RFLAGS(%rip)
	popfq
	/* Neither JRCXZ nor MOV changes flags. */
	mov	%esi, %ecx
	jrcxz	3f
	mov	native_segments + 6(%rip), %ss
3:
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

	.globl native_enter_compat
native_enter_compat:
	ljmp	*native_far(%rip)

	.globl native_exit_compat
native_exit_compat:
	mov	%rsp, GPR(4)(%rip)
	mov	host_ss(%rip), %ss
	mov	host_rsp(%rip), %rsp
	jmp	1f

	.globl native_exit
native_exit:
	mov	%rsp, GPR(4)(%rip)
	mov	host_rsp(%rip), %rsp
1:
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

	pop	%rsi
	test	%esi, %esi
	jz	1f
	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %gs
1:
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
