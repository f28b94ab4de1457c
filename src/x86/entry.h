/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What both vendors' entry.S have in common: registers that hardware does not
 * switch, and SPEC_CTRL. Shared by C and assembly, so the layout is said in
 * numbers and held to them in C.
 */
#ifndef MINIKVM_X86_ENTRY_H
#define MINIKVM_X86_ENTRY_H

#define ENTRY_GPR		0
#define ENTRY_GUEST_SPEC	8
#define ENTRY_HOST_SPEC		16
#define ENTRY_READ_SPEC		24
#define ENTRY_SIZE		32

#ifdef __ASSEMBLY__

#define GPR(n)	((n) * 8)

/* All but RAX and RSP. %rdi: their home. */
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

/* %rax: their home; %rdi is still the guest's. */
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

/* Nothing that a guest chose may steer speculation in the host. %rbx and %rax: the caller's. */
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

.macro PUSH_HOST_GPRS
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
.endm

.macro POP_HOST_GPRS
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
.endm

/* %rdi: struct guest_entry. Clobbers %rax, %rcx, %rdx. */
.macro WRITE_SPEC_CTRL from:req
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	mov	\from(%rdi), %eax
	mov	4 + \from(%rdi), %edx
	wrmsr
.endm

.macro SPEC_CTRL_IN
	mov	ENTRY_GUEST_SPEC(%rdi), %rax
	cmp	ENTRY_HOST_SPEC(%rdi), %rax
	je	.Lspec_is_guests\@
	WRITE_SPEC_CTRL ENTRY_GUEST_SPEC
.Lspec_is_guests\@:
.endm

/*
 * Before the first RET. With IBRS for the kernel alone (Skylake's answer to Retbleed) it is the
 * write that counts, after each way in from code that may predict less, whatever was there.
 * The host's value is in place before anything is executed that a wrong guess about the
 * branches here has begun. Clobbers %rax, %rcx, %rdx.
 */
.macro SPEC_CTRL_OUT
	cmpq	$0, ENTRY_READ_SPEC(%rdi)
	je	.Lspec_known\@
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	rdmsr
	mov	%eax, ENTRY_GUEST_SPEC(%rdi)
	mov	%edx, 4 + ENTRY_GUEST_SPEC(%rdi)
.Lspec_known\@:
	mov	ENTRY_GUEST_SPEC(%rdi), %rax
	cmp	ENTRY_HOST_SPEC(%rdi), %rax
	ALTERNATIVE "je .Lspec_is_hosts\@", "", X86_FEATURE_KERNEL_IBRS
	WRITE_SPEC_CTRL ENTRY_HOST_SPEC
.Lspec_is_hosts\@:
	ALTERNATIVE "", "lfence", X86_FEATURE_LFENCE_RDTSC
.endm

#else
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

struct vcpu;

/* The beginning of what each vendor's entry is handed. */
struct guest_entry {
	u64 *gpr;		/* vcpu->arch.gpr */
	u64 guest_spec_ctrl;	/* SPEC_CTRL to run with, */
	u64 host_spec_ctrl;	/* and to come back to */
	u64 read_spec_ctrl;	/* the guest may have changed it: read it back */
};

static_assert(offsetof(struct guest_entry, gpr) == ENTRY_GPR);
static_assert(offsetof(struct guest_entry, guest_spec_ctrl) == ENTRY_GUEST_SPEC);
static_assert(offsetof(struct guest_entry, host_spec_ctrl) == ENTRY_HOST_SPEC);
static_assert(offsetof(struct guest_entry, read_spec_ctrl) == ENTRY_READ_SPEC);
static_assert(sizeof(struct guest_entry) == ENTRY_SIZE);

#endif

#endif
