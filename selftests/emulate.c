// SPDX-License-Identifier: GPL-2.0
/*
 * Instructions on device memory that drivers seldom use and that an emulator
 * must know all the same: vectors, segment loads, far jumps, a stack, locked
 * operations of all widths; faults and single-step in the middle of them. The
 * plain ones are in mmio.c. What each instruction computes is compared with a
 * CPU's results in unit/; here it is the way through the module that counts.
 */
#include "lib/test.h"

#define MMIO 0xd0000000ul

static u8 device[4096];

static struct report run_device(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	for (;;) {
		struct report r = vcpu_run(vcpu);
		u8 *byte;

		if (r.kind != REPORT_EXIT || r.exit != KVM_EXIT_MMIO)
			return r;
		byte = device + (run->mmio.phys_addr - MMIO) % sizeof(device);
		if (run->mmio.is_write)
			memcpy(byte, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, byte, run->mmio.len);
	}
}

FIXTURE(emulate) {
	struct vm *vm;
};

FIXTURE_SETUP(emulate)
{
	int i;

	self->vm = vm_create(0);
	for (i = 0; i < sizeof(device); i++)
		device[i] = 0x80 + i * 3;
}

FIXTURE_TEARDOWN(emulate)
{
	vm_free(self->vm);
}

#define RUN_TO_END(entry) do {							\
	struct vcpu *__vcpu = vcpu_create(self->vm, 0, entry, 0);		\
	struct report __r = run_device(__vcpu);					\
	ASSERT_EQ(REPORT_DONE, __r.kind) {					\
		TH_LOG("KVM_EXIT %u instead of done", __r.exit);		\
	}									\
} while (0)

static volatile u64 *const reg = (u64 *)MMIO;

/* ---- vectors ---- */

static u64 v[4] __attribute__((aligned(32)));

static __guest void enable_sse(void)
{
	write_cr0((read_cr0() & ~(1ul << 2)) | 2);	/* EM off, MP on */
	write_cr4(read_cr4() | 3 << 9);			/* OSFXSR, OSXMMEXCPT */
}

static __guest void guest_sse(void)
{
	enable_sse();
	asm volatile("movups (%0), %%xmm3; movaps %%xmm3, (%1)" : : "r"(MMIO + 1), "r"(v) : "memory");
	GUEST_ASSERT_EQ(0x9895928f8c898683, v[0]);
	GUEST_ASSERT_EQ(0xb0adaaa7a4a19e9b, v[1]);
	asm volatile("movdqa %%xmm3, (%0)" : : "r"(MMIO + 32) : "memory");
	GUEST_ASSERT_EQ(v[1], reg[5]);
	asm volatile("movntdq %%xmm3, (%0)" : : "r"(MMIO + 64) : "memory");
	GUEST_ASSERT_EQ(v[0], reg[8]);
	/* Unaligned where it must be aligned */
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("movaps (%1), %%xmm0", , "r"(MMIO + 1)));
}

TEST_F(emulate, sse)
{
	RUN_TO_END(guest_sse);
}

static __guest void guest_sse_parts(void)
{
	enable_sse();
	asm volatile("movss (%0), %%xmm3; movaps %%xmm3, (%1)" : : "r"(MMIO), "r"(v) : "memory");
	GUEST_ASSERT_EQ(0x89868380, v[0]);
	GUEST_ASSERT_EQ(0, v[1]);
	asm volatile("movhps (%0), %%xmm3; movlps %%xmm3, (%1); movhps %%xmm3, (%1)"
		     : : "r"(MMIO + 8), "r"(MMIO + 96) : "memory");
	GUEST_ASSERT_EQ(reg[1], reg[12]);
	asm volatile("movd %0, %%xmm15; movq %%xmm15, (%1)" : : "r"(0x12345678), "r"(MMIO + 96)
		     : "memory");
	GUEST_ASSERT_EQ(0x12345678, reg[12]);
}

TEST_F(emulate, sse_parts)
{
	SKIP_ON_STOCK("executes no moves of parts of a vector register");
	RUN_TO_END(guest_sse_parts);
}

static __guest void guest_mmx(void)
{
	u64 val;

	write_cr0((read_cr0() & ~(1ul << 2)) | 2);
	asm volatile("fninit; movq (%1), %%mm5; movq %%mm5, %0; movq %%mm5, (%2); emms"
		     : "=m"(val) : "r"(MMIO), "r"(MMIO + 16) : "memory");
	GUEST_ASSERT_EQ(0x95928f8c89868380, val);
	GUEST_ASSERT_EQ(val, reg[2]);
	/* An x87 exception that waits is the guest's #MF, and nothing that the host notices. */
	write_cr0(read_cr0() | 1 << 5);			/* NE */
	val = 0x37b;					/* division by zero unmasked */
	asm volatile("fninit; fldcw %0; fld1; fldz; fdivrp" : : "m"(val));
	GUEST_ASSERT_EQ(16, TRAP_VECTOR(TRY("movq %%mm0, (%1)", , "r"(MMIO))));
	asm volatile("fnclex; fninit");
}

TEST_F(emulate, mmx)
{
	RUN_TO_END(guest_mmx);
}

static __guest void guest_avx(void)
{
	u32 lo, hi;

	write_cr0((read_cr0() & ~(1ul << 2)) | 2);
	write_cr4(read_cr4() | 3 << 9 | 1 << 18);	/* OSXSAVE */
	asm volatile("xsetbv" : : "c"(0), "a"(7), "d"(0));
	GUEST_SYNC(1);
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	GUEST_VALUE(lo);
	asm volatile("vmovdqu (%0), %%ymm2; vmovdqa %%ymm2, (%1)" : : "r"(MMIO + 3), "r"(v) : "memory");
	GUEST_ASSERT_EQ(0x9e9b9895928f8c89, v[0]);
	GUEST_ASSERT_EQ(0xe6e3e0dddad7d4d1, v[3]);
	/* VEX.128 zeroes the upper half. */
	asm volatile("vmovdqu (%0), %%xmm2; vmovups %%ymm2, (%1)" : : "r"(MMIO), "r"(MMIO + 128) : "memory");
	GUEST_ASSERT_EQ(reg[1], reg[17]);
	GUEST_ASSERT_EQ(0, reg[18]);
	GUEST_ASSERT_EQ(0, reg[19]);
}

TEST_F(emulate, avx)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 1, 0);
	struct vcpu *vcpu;

	SKIP_ON_STOCK("executes no instruction with a VEX prefix");
	if (!(e->ecx & 1u << 28))
		SKIP(return, "the host has no AVX");
	vcpu = vcpu_create(self->vm, 0, guest_avx, 0);
	vcpu_run_sync(vcpu, 1);
	if (vcpu_run_value(vcpu) != 7)
		SKIP(return, "the host does not intercept XSETBV (QEMU's TCG)");
	ASSERT_EQ(REPORT_DONE, run_device(vcpu).kind);
}

/* ---- locked and wide ---- */

static __guest void guest_cmpxchg16b(void)
{
	u64 rax = 0x1122334455667788, rdx = 5;
	u8 zf;

	reg[0] = rax;
	reg[1] = rdx;
	asm volatile("lock cmpxchg16b (%3); setz %2" : "+a"(rax), "+d"(rdx), "=q"(zf)
		     : "r"(MMIO), "b"(77), "c"(88) : "memory");
	GUEST_ASSERT_EQ(1, zf);
	GUEST_ASSERT_EQ(77, reg[0]);
	GUEST_ASSERT_EQ(88, reg[1]);
	asm volatile("lock cmpxchg16b (%3); setz %2" : "+a"(rax), "+d"(rdx), "=q"(zf)
		     : "r"(MMIO), "b"(1), "c"(1) : "memory");
	GUEST_ASSERT_EQ(0, zf);
	GUEST_ASSERT_EQ(77, rax);
	GUEST_ASSERT_EQ(88, rdx);
	GUEST_ASSERT_EQ(77, reg[0]);
}

TEST_F(emulate, cmpxchg16b)
{
	SKIP_ON_STOCK("does not execute CMPXCHG16B");
	RUN_TO_END(guest_cmpxchg16b);
}

static __guest void guest_wide(void)
{
	u64 rax = 3, rdx;

	reg[0] = 77;
	asm volatile("lock xaddq %0, (%1)" : "+r"(rax) : "r"(MMIO) : "memory");
	GUEST_ASSERT_EQ(77, rax);
	GUEST_ASSERT_EQ(80, reg[0]);
	rax = 10, rdx = 0;
	asm volatile("mulq (%2)" : "+a"(rax), "+d"(rdx) : "r"(MMIO));
	GUEST_ASSERT_EQ(800, rax);
	asm volatile("divq (%2)" : "+a"(rax), "+d"(rdx) : "r"(MMIO));
	GUEST_ASSERT_EQ(10, rax);
	reg[0] = 0;
	GUEST_ASSERT_EQ(0, TRAP_VECTOR(TRY("divq (%1)", , "r"(MMIO))));
	/* A bit far from the operand's own word */
	asm volatile("lock btsq %0, (%1)" : : "r"(64 * 5 + 3ul), "r"(MMIO) : "memory");
	GUEST_ASSERT_EQ(1, (reg[5] >> 3) & 1);
}

TEST_F(emulate, wide)
{
	RUN_TO_END(guest_wide);
}

/* ---- segments and far pointers ---- */

static __guest void guest_segments(void)
{
	volatile u16 *sel = (u16 *)MMIO;
	u16 ss, ds, cs, now;

	asm volatile("mov %%ss, %0; mov %%ds, %1; mov %%cs, %2" : "=r"(ss), "=r"(ds), "=r"(cs));
	asm volatile("movw %%cs, (%0)" : : "r"(MMIO + 8) : "memory");
	GUEST_ASSERT_EQ(cs, sel[4]);
	sel[0] = 0;
	asm volatile("movw (%1), %%ss; mov %%ss, %0" : "=r"(now) : "r"(MMIO));
	GUEST_ASSERT_EQ(0, now);
	sel[0] = 3;
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("movw (%1), %%ss", , "r"(MMIO)));
	sel[0] = 0xfff8;
	GUEST_ASSERT_EQ(TRAP(13, 0xfff8), TRY("movw (%1), %%ds", , "r"(MMIO)));
	sel[0] = ss;
	asm volatile("movw (%1), %%ss; mov %%ss, %0" : "=r"(now) : "r"(MMIO));
	GUEST_ASSERT_EQ(ss, now);
}

TEST_F(emulate, segments)
{
	RUN_TO_END(guest_segments);
}

static __guest void guest_far_jump(void)
{
	u64 reached = 0;
	u16 cs;

	asm volatile("mov %%cs, %0" : "=r"(cs));
	((volatile u16 *)MMIO)[4] = cs;
	asm volatile("lea 1f(%%rip), %%rax; mov %%rax, (%1); rex64 ljmp *(%1); jmp 2f\n"
		     "1: mov $1, %0; 2:" : "+r"(reached) : "r"(MMIO) : "rax", "memory");
	GUEST_ASSERT_EQ(1, reached);
	((volatile u16 *)MMIO)[4] = 0;
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("rex64 ljmp *(%1)", , "r"(MMIO)));
}

TEST_F(emulate, far_jump)
{
	RUN_TO_END(guest_far_jump);
}

/* ---- a stack in a device ---- */

static __guest void guest_stack(void)
{
	u64 sp, popped;

	reg[0] = 0x1234567890abcdef;
	asm volatile("mov %%rsp, %%r12; mov %3, %%rsp\n"
		     "pushq $-7; pushq (%2); pushw $0x55; popw %%ax; popq %0; popq 8(%2)\n"
		     "mov %%rsp, %1; mov %%r12, %%rsp"
		     : "=&r"(popped), "=&r"(sp) : "r"(MMIO), "r"(MMIO + 0x800)
		     : "rax", "r12", "memory");
	GUEST_ASSERT_EQ(0x1234567890abcdef, popped);
	GUEST_ASSERT_EQ(-7ul, reg[1]);
	GUEST_ASSERT_EQ(MMIO + 0x800, sp);
}

TEST_F(emulate, stack)
{
	RUN_TO_END(guest_stack);
}

static __guest void guest_stack_frame(void)
{
	u64 sp, frame;

	asm volatile("mov %%rsp, %%r12; mov %2, %%rsp\n"
		     "mov %%rbp, %%r13; mov $0x99, %%ebp; enter $0x100, $0\n"
		     "mov %%rbp, %1; leave; mov %%rsp, %0\n"
		     "mov %%r13, %%rbp; mov %%r12, %%rsp"
		     : "=&r"(sp), "=&r"(frame) : "r"(MMIO + 0x800) : "r12", "r13", "memory");
	GUEST_ASSERT_EQ(MMIO + 0x800, sp);
	GUEST_ASSERT_EQ(MMIO + 0x7f8, frame);
	GUEST_ASSERT_EQ(0x99, reg[0x7f8 / 8]);
}

TEST_F(emulate, stack_frame)
{
	RUN_TO_END(guest_stack_frame);
}

static __guest void guest_stack_call(void)
{
	u64 popped;

	asm volatile("mov %%rsp, %%r12; mov %2, %%rsp; xor %k0, %k0\n"
		     "lea 1f(%%rip), %%rax; mov %%rax, (%1); call *(%1); jmp 2f\n"
		     "1: mov $5, %k0; ret\n"
		     "2: mov %%r12, %%rsp" : "=&r"(popped) : "r"(MMIO), "r"(MMIO + 0x800)
		     : "rax", "r12", "memory");
	GUEST_ASSERT_EQ(5, popped);
}

TEST_F(emulate, stack_call)
{
	RUN_TO_END(guest_stack_call);
}

/* Of what else an instruction wrote nobody hears. */
#define ONE_WRITE "gives user space the last of an instruction's writes to a device"

/* Far, and with flags */
static __guest void guest_stack_far(void)
{
	u64 popped, sp;

	asm volatile("mov %%rsp, %%r12; mov %3, %%rsp; xor %k0, %k0\n"
		     "lea 1f(%%rip), %%eax; mov %%eax, (%2); mov %%cs, 4(%2); lcalll *(%2)\n"
		     "mov %%rsp, %1; jmp 2f\n"
		     "1: mov $7, %k0; lretl\n"
		     "2: stc; pushfq; clc; popfq; adc $0, %0\n"
		     "mov %%r12, %%rsp" : "=&r"(popped), "=&r"(sp) : "r"(MMIO), "r"(MMIO + 0x800)
		     : "rax", "r12", "memory", "cc");
	GUEST_ASSERT_EQ(8, popped);
	GUEST_ASSERT_EQ(MMIO + 0x800, sp);
}

TEST_F(emulate, stack_far)
{
	SKIP_ON_STOCK(ONE_WRITE);
	RUN_TO_END(guest_stack_far);
}

/* In real mode: what is pushed is popped, and far calls come back. GUEST_LOW is 0x2000. */
asm(".pushsection .rodata\n"
    "stack16: .code16\n"
    "	mov	$0xf000, %ax\n"		/* a hole in the low megabyte, below */
    "	mov	%ax, %ds\n"
    "	mov	%ax, %ss\n"
    "	mov	$0xe0, %sp\n"
    "	mov	$0x1234, %bp\n"
    "	pusha\n"
    "	xor	%bp, %bp\n"
    "	stc\n"
    "	pushf\n"
    "	clc\n"
    "	popf\n"
    "	popa\n"
    "	mov	%bp, 0x50\n"		/* 0x1234 */
    "	adc	$0, %bp\n"
    "	mov	%bp, 0x52\n"		/* 0x1235 */
    "	mov	%sp, 0x54\n"		/* 0xe0 */
    "	movw	$1f - stack16 + 0x2000, 0x60\n"
    "	mov	%cs, 0x62\n"
    "	lcall	*0x60\n"
    "	lcall	$0, $1f - stack16 + 0x2000\n"
    "	mov	%bp, 0x56\n"		/* 0x1237 */
    "	mov	%sp, 0x58\n"		/* 0xe0 */
    "	mov	$1, %eax\n"
    "	mov	$0x900, %dx\n"
    "	out	%eax, %dx\n"
    "1:	inc	%bp\n"
    "	lret\n"
    "stack16_end: .code64\n"
    ".popsection");
extern const char stack16[], stack16_end[];

TEST(stack_in_real_mode)
{
	struct vm *vm = vm_create(VM_BARE);
	u16 *dev = (u16 *)device;
	struct vcpu *vcpu;

	SKIP_ON_STOCK(ONE_WRITE);
	memset(device, 0, sizeof(device));
	vm->ram = map_memory(GUEST_MEMORY);
	ASSERT_EQ(0, vm_set_slot(vm, 0, 0, 0, 0xf0000, vm->ram));
	memcpy(guest_ptr(vm, GUEST_LOW), stack16, stack16_end - stack16);
	vcpu = vcpu_create(vm, 0, NULL, 0);
	vcpu_start16(vcpu, GUEST_LOW);
	ASSERT_EQ(REPORT_DONE, run_device(vcpu).kind);
	EXPECT_EQ(0x1234, dev[0x50 / 2]);
	EXPECT_EQ(0x1235, dev[0x52 / 2]);
	EXPECT_EQ(0xe0, dev[0x54 / 2]);
	EXPECT_EQ(0x1237, dev[0x56 / 2]);
	EXPECT_EQ(0xe0, dev[0x58 / 2]);
	vm_free(vm);
}

/* ---- machine status word ---- */

static __guest void guest_msw(void)
{
	volatile u16 *msw = (u16 *)MMIO;
	u64 cr0 = read_cr0();

	msw[1] = 0xabcd;
	asm volatile("smsw (%0)" : : "r"(MMIO) : "memory");
	GUEST_ASSERT_EQ((u16)cr0, msw[0]);
	GUEST_ASSERT_EQ(0xabcd, msw[1]);
	msw[0] = (cr0 & 0xfff0) | 0xb;			/* TS, MP and PE */
	asm volatile("lmsw (%0)" : : "r"(MMIO) : "memory");
	GUEST_ASSERT_EQ((cr0 & ~0xful) | 0xb, read_cr0());
	msw[0] = 0;					/* PE stays. */
	asm volatile("lmsw (%0)" : : "r"(MMIO) : "memory");
	GUEST_ASSERT_EQ((cr0 & ~0xful) | 1, read_cr0());
	write_cr0(cr0);
}

TEST_F(emulate, msw)
{
	RUN_TO_END(guest_msw);
}

/* In registers, where CR0 is another one than the CPU runs with: CD */
static __guest void guest_msw_registers(void)
{
	u64 cr0 = read_cr0(), with_cd = cr0 | 1 << 30, rax = 0x1234567890abcdef;

	write_cr0(with_cd);
	asm volatile("smsww %w0" : "+r"(rax));
	GUEST_ASSERT_EQ((0x1234567890abcdef & ~0xfffful) | (u16)cr0, rax);
	rax = ~0ul;
	asm volatile("smswl %k0" : "+r"(rax));
	GUEST_ASSERT_EQ(with_cd, rax);
	rax = ~0ul;
	asm volatile("smswq %0" : "+r"(rax));
	GUEST_ASSERT_EQ(with_cd, rax);
	asm volatile("lmsw %w0" : : "r"(~0ul ^ 4));	/* all but EM */
	GUEST_ASSERT_EQ(with_cd | 0xb, read_cr0());
	asm volatile("lmsw %w0" : : "r"(0));		/* PE stays. */
	GUEST_ASSERT_EQ((with_cd & ~0xful) | 1, read_cr0());
	write_cr0(cr0);
}

TEST_F(emulate, msw_registers)
{
	RUN_TO_END(guest_msw_registers);
}

/* ---- system segments ---- */

static __guest void guest_system_segments(void)
{
	volatile u16 *at = (u16 *)MMIO;
	struct { u16 limit; u64 base; } __attribute__((packed)) gdtr;
	volatile u8 *rights;
	u16 tr = 0xffff, ldt = 0xffff;

	asm volatile("sgdt %0" : "=m"(gdtr));
	rights = (u8 *)gdtr.base + SEL_TSS + 5;
	*rights &= ~2;					/* not busy */
	rights[-5] = 0x70;				/* another limit, for the host to see */
	at[0] = SEL_TSS;
	asm volatile("ltr (%0)" : : "r"(MMIO) : "memory");
	GUEST_ASSERT_EQ(0x8b, *rights);
	asm volatile("str %0" : "=r"(tr));
	GUEST_ASSERT_EQ(SEL_TSS, tr);
	GUEST_ASSERT_EQ(TRAP(13, SEL_TSS), TRY("ltr (%1)", , "r"(MMIO) : "memory"));
	at[0] = 0;
	asm volatile("lldt (%0)" : : "r"(MMIO) : "memory");
	asm volatile("sldt %0" : "=r"(ldt));
	GUEST_ASSERT_EQ(0, ldt);
	at[1] = 0xabcd;
	asm volatile("str (%0)" : : "r"(MMIO) : "memory");
	GUEST_ASSERT_EQ(SEL_TSS, at[0]);
	GUEST_ASSERT_EQ(0xabcd, at[1]);
	asm volatile("sldt (%0)" : : "r"(MMIO) : "memory");
	GUEST_ASSERT_EQ(0, at[0]);
}

TEST_F(emulate, system_segments)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_system_segments, 0);

	ASSERT_EQ(REPORT_DONE, run_device(vcpu).kind);
	EXPECT_EQ(0x70, vcpu_sregs(vcpu).tr.limit);
	EXPECT_EQ(11, vcpu_sregs(vcpu).tr.type);
	vcpu_free(vcpu);
}

/* ---- in the middle ---- */

/* REP MOVS from a device into a page that may not be written: what was done is done. */
static __guest void guest_fault_inside(void)
{
	u64 si = MMIO, di = GVA_TEST + 4096 - 10, n = 5, trap;

	write_cr0(read_cr0() | 1 << 16);		/* WP */
	trap = TRY("rep movsl", AND "+S"(si) AND "+D"(di) AND "+c"(n), "m"(*reg) : "memory");
	/* Two iterations fit, the third crosses. */
	GUEST_ASSERT_EQ(TRAP(14, 3), trap);
	GUEST_ASSERT_EQ(GVA_TEST + 4096, read_cr2());
	GUEST_ASSERT_EQ(3, n);
	GUEST_ASSERT_EQ(MMIO + 8, si);
	GUEST_ASSERT_EQ(GVA_TEST + 4096 - 2, di);
}

TEST_F(emulate, fault_inside_a_string)
{
	vm_map_page(self->vm, GVA_TEST, GUEST_FREE, PTE_W);
	vm_map_page(self->vm, GVA_TEST + 4096, GUEST_FREE + 4096, 0);
	RUN_TO_END(guest_fault_inside);
}

static u64 steps, step_rips[8];

static void count_step(struct trap_frame *frame)
{
	if (steps < 8)
		step_rips[steps] = frame->rip;
	if (++steps == 5)
		frame->rflags &= ~(1ul << 8);
	write_dr6(0xffff0ff0);
}

/* With TF set there is a #DB after each iteration, too, and after a plain access. */
static __guest void guest_single_step(void)
{
	u64 di = MMIO, n = 3, at;

	guest_handlers[1] = count_step;
	asm volatile("lea 1f(%%rip), %2; pushfq; orq $0x100, (%%rsp); popfq\n"
		     "nop; 1: rep stosl; movl %%eax, (%3); nop"
		     : "+D"(di), "+c"(n), "=&r"(at) : "b"(MMIO + 64), "a"(0x77) : "memory");
	GUEST_ASSERT_EQ(5, steps);
	GUEST_ASSERT_EQ(at, step_rips[0]);		/* after the nop */
	GUEST_ASSERT_EQ(at, step_rips[1]);		/* two iterations */
	GUEST_ASSERT_EQ(at, step_rips[2]);
	GUEST_ASSERT_EQ(at + 2, step_rips[3]);		/* the last one */
	GUEST_ASSERT_EQ(at + 4, step_rips[4]);		/* the move */
	GUEST_ASSERT_EQ(0, n);
	GUEST_ASSERT_EQ(0x77, (u32)reg[8]);
}

TEST_F(emulate, single_step)
{
	SKIP_ON_STOCK("loses the trap of a single step that wrote to user space's device");
	RUN_TO_END(guest_single_step);
}

TEST_HARNESS_MAIN
