// SPDX-License-Identifier: GPL-2.0
/*
 * Exceptions: each vector raised in the guest by the instruction that does so,
 * with its error code; what user space injects; delivery through pages that the
 * host has taken away; contributory, double and triple faults.
 */
#include "lib/test.h"

/* The one handler of most tests: notes what it saw, and may skip the instruction. */
static struct {
	u64 count, vector, error, rip, rflags, cs, rsp, cr2;
	u64 skip_to;
} seen;

static __guest void note_trap(struct trap_frame *f)
{
	seen.count++;
	seen.vector = f->vector;
	seen.error = f->error;
	seen.rip = f->rip;
	seen.rflags = f->rflags;
	seen.cs = f->cs;
	seen.rsp = f->rsp;
	seen.cr2 = read_cr2();
	if (seen.skip_to)
		f->rip = seen.skip_to;
}

/* ---- faults, by TRY() ---- */

static __guest void guest_faults(void)
{
	u64 rax, rdx;

	rax = 1, rdx = 0;
	GUEST_ASSERT_EQ(TRAP(0, 0), TRY("div %3", AND "+a"(rax) AND "+d"(rdx), "r"(0ul) : "cc"));
	rax = 0, rdx = 1;
	GUEST_ASSERT_EQ(TRAP(0, 0), TRY("div %3", AND "+a"(rax) AND "+d"(rdx), "r"(1ul) : "cc"));
	GUEST_ASSERT_EQ(TRAP(6, 0), TRY("ud2", ,));
	GUEST_ASSERT_EQ(TRAP(6, 0), TRY(".byte 0x0f, 0xb9, 0xc0", ,));	/* UD1 */

	/* #NM: an FPU instruction with CR0.TS. */
	write_cr0(read_cr0() | 8);
	GUEST_ASSERT_EQ(TRAP(7, 0), TRY("fninit", ,));
	GUEST_ASSERT_EQ(TRAP(7, 0), TRY("movaps %%xmm0, %%xmm1", ,));
	asm volatile("clts");
	GUEST_ASSERT_EQ(NO_TRAP, TRY("fninit", ,));

	/* Selectors: not present, and past the end of the table. */
	GUEST_ASSERT_EQ(TRAP(11, SEL_NOT_PRESENT), TRY("mov %1, %%ds", , "r"(SEL_NOT_PRESENT)));
	GUEST_ASSERT_EQ(TRAP(12, SEL_NOT_PRESENT), TRY("mov %1, %%ss", , "r"(SEL_NOT_PRESENT)));
	GUEST_ASSERT_EQ(TRAP(13, 0x1230), TRY("mov %1, %%es", , "r"(0x1230)));

	/* #GP: control registers, non-canonical addresses, unaligned SSE. */
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("mov %1, %%cr0", , "r"(read_cr0() & ~1ul)));	/* PG, no PE */
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("mov %1, %%cr4", , "r"(read_cr4() & ~0x20ul)));	/* PAE */
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("mov %1, %%cr4", , "r"(1ul << 31)));
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("mov %1, %%cr8", , "r"(16ul)));
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("mov (%2), %1", AND "=r"(rax), "r"(1ul << 63)));
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("movaps (%1), %%xmm0", , "r"(GUEST_FREE + 1)));
	GUEST_ASSERT_EQ(TRAP(13, SEL_TSS), TRY("lldt %w1", , "r"(SEL_TSS)));
}

TEST(faults)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_faults, 0);

	vcpu_run_done(vcpu);
}

/* ---- page faults: every bit of the error code ---- */

#define PF_P 1
#define PF_W 2
#define PF_U 4
#define PF_I 16

#define RO_PAGE	(GVA_TEST + 0x0000)
#define NX_PAGE	(GVA_TEST + 0x1000)
#define NO_PAGE	(GVA_TEST + 0x2000)

static __guest void guest_page_faults(void)
{
	u64 v;

	GUEST_ASSERT_EQ(TRAP(14, 0), TRY("mov (%2), %1", AND "=r"(v), "r"(NO_PAGE + 8)));
	GUEST_ASSERT_EQ(NO_PAGE + 8, read_cr2());
	GUEST_ASSERT_EQ(TRAP(14, PF_W), TRY("mov %%rax, (%1)", , "r"(NO_PAGE + 16) : "memory"));
	GUEST_ASSERT_EQ(NO_PAGE + 16, read_cr2());
	GUEST_ASSERT_EQ(NO_TRAP, TRY("mov (%2), %1", AND "=r"(v), "r"(RO_PAGE)));
	GUEST_ASSERT_EQ(TRAP(14, PF_W | PF_P), TRY("mov %%rax, (%1)", , "r"(RO_PAGE + 24) : "memory"));
	GUEST_ASSERT_EQ(RO_PAGE + 24, read_cr2());
	/* Half of the access is on the bad page: CR2 is that half. */
	GUEST_ASSERT_EQ(TRAP(14, 0), TRY("mov (%2), %1", AND "=r"(v), "r"(NO_PAGE - 4)));
	GUEST_ASSERT_EQ(NO_PAGE, read_cr2());

	/* Without CR0.WP, the supervisor may write to a read-only page. */
	write_cr0(read_cr0() & ~(1ul << 16));
	GUEST_ASSERT_EQ(NO_TRAP, TRY("mov %%rax, (%1)", , "r"(RO_PAGE + 24) : "memory"));
	write_cr0(read_cr0() | 1 << 16);
	GUEST_ASSERT_EQ(TRAP(14, PF_W | PF_P), TRY("mov %%rax, (%1)", , "r"(RO_PAGE + 24) : "memory"));
}

TEST(page_faults)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_page_faults, 0);

	vm_map_page(vm, RO_PAGE, GUEST_FREE, 0);
	vm_map_page(vm, NX_PAGE, GUEST_FREE, PTE_NX);
	vcpu_run_done(vcpu);
}

/* A fetch from a no-execute page; the frame's RIP is where it was to go. */
static __guest void guest_nx(void)
{
	guest_handlers[14] = note_trap;
	seen.skip_to = (u64)&&after;
	asm goto("jmp *%0" : : "r"(NX_PAGE + 0x10) : "memory" : after);
after:
	GUEST_ASSERT_EQ(1, seen.count);
	GUEST_ASSERT_EQ(PF_P | PF_I, seen.error);
	GUEST_ASSERT_EQ(NX_PAGE + 0x10, seen.rip);
	GUEST_ASSERT_EQ(NX_PAGE + 0x10, seen.cr2);
}

TEST(no_execute)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_nx, 0);

	vm_map_page(vm, NX_PAGE, GUEST_FREE, PTE_NX);
	vcpu_run_done(vcpu);
}

/* ---- at the end of the addresses ---- */

#define LOWER_HALF_END	(1ul << 47)

/* What exits may be the last thing below: only the fetch of what would come next is a #GP. */
static __guest void guest_end_of_addresses(u64 intel)
{
	static const u8 cpuid[] = { 0x0f, 0xa2 }, vmcall[] = { 0x0f, 0x01, 0xc1 },
			vmmcall[] = { 0x0f, 0x01, 0xd9 };
	const struct { const u8 *bytes; u64 len; } insns[] = {
		{ cpuid, sizeof(cpuid) }, { intel ? vmcall : vmmcall, 3 },
		{ intel ? vmmcall : vmcall, 3 },	/* KVM_X86_QUIRK_FIX_HYPERCALL_INSN */
	};
	u64 i, j, at, back;

	guest_handlers[13] = note_trap;
	for (i = 0; i < 3; i++) {
		at = LOWER_HALF_END - insns[i].len;
		for (j = 0; j < insns[i].len; j++)
			((volatile u8 *)at)[j] = insns[i].bytes[j];
		seen.count = 0;
		asm volatile("lea 1f(%%rip), %0; mov %0, %1; jmp *%2; 1:"
			     : "=&r"(back), "=m"(seen.skip_to) : "r"(at), "a"(0x7777), "c"(0)
			     : "rbx", "rdx", "memory");
		GUEST_ASSERT_EQ(1, seen.count);
		GUEST_ASSERT_EQ(0, seen.error);
		GUEST_ASSERT_EQ(LOWER_HALF_END, seen.rip);
	}
}

TEST(end_of_addresses)
{
	struct vm *vm = vm_create(0);

	vm_map_page(vm, LOWER_HALF_END - 4096, GUEST_FREE, PTE_W);
	vcpu_run_done(vcpu_create(vm, 0, guest_end_of_addresses, host_is_intel()));
}

/* From CPL 3: the user bit, #GP for privileged instructions, INT n to the kernel. */
asm(".pushsection .rodata\n"
    "user_code:\n"
    "	mov	(%rdi), %rax\n"		/* a supervisor page */
    "	hlt\n"
    "	cli\n"
    "	mov	%cr0, %rax\n"
    "	int	$0x80\n"
    "user_end:\n"
    ".popsection");
extern const char user_code[], user_end[];

/* On VMX the exit comes before the check of the privilege level. */
asm(".pushsection .rodata\n"
    "debug_code:\n"
    "	mov	%db0, %rax\n"
    "	mov	%rax, %db0\n"
    "	mov	%db7, %rax\n"
    "	mov	%rax, %db7\n"
    "	int	$0x80\n"
    "debug_end:\n"
    ".popsection");
extern const char debug_code[], debug_end[];

/* What CR4.UMIP leaves to the kernel. */
asm(".pushsection .rodata\n"
    "umip_code:\n"
    "	sgdt	-16(%rsp)\n"
    "	sidt	-16(%rsp)\n"
    "	smsw	%eax\n"
    "	str	%eax\n"
    "	int	$0x80\n"
    "umip_end:\n"
    ".popsection");
extern const char umip_code[], umip_end[];

#define USER_TEXT	(GVA_TEST + 0x10000)
#define USER_STACK	(GVA_TEST + 0x11000)
#define KERNEL_PAGE	(GVA_TEST + 0x12000)

static u64 user_vectors[8], user_errors[8], user_traps, user_cr4;
static u8 user_lengths[4];

static __guest void user_trap(struct trap_frame *f)
{
	user_vectors[user_traps] = f->vector;
	user_errors[user_traps] = f->error;
	GUEST_ASSERT_EQ(SEL_USER_CODE64, f->cs);
	GUEST_ASSERT_EQ(USER_STACK + 0x800, f->rsp);
	GUEST_ASSERT(((u64)f & ~0xfffful) == (GUEST_CPU(0) & ~0xfffful));
	if (f->vector == 0x80)
		GUEST_DONE();
	f->rip += user_lengths[user_traps++];
}

static __guest void guest_user(void)
{
	guest_handlers[13] = guest_handlers[14] = guest_handlers[0x80] = user_trap;
	write_cr4(read_cr4() | user_cr4);
	/* Not mov to DS: the descriptor's base and limit do not matter in 64-bit mode. */
	asm volatile("pushq %0; pushq %1; pushq $2; pushq %2; pushq %3; iretq"
		     : : "i"(SEL_USER_DATA), "r"(USER_STACK + 0x800), "i"(SEL_USER_CODE64),
			 "r"(USER_TEXT), "D"(KERNEL_PAGE) : "memory");
}

/* lengths: of the instructions, each of which traps */
static struct vm *run_user(const char *code, const char *end, const u8 lengths[4], u64 cr4)
{
	struct vm *vm = vm_create(0);

	vm_map_page(vm, USER_TEXT, GUEST_FREE, PTE_U);
	vm_map_page(vm, USER_STACK, GUEST_FREE + 0x1000, PTE_U | PTE_W);
	vm_map_page(vm, KERNEL_PAGE, GUEST_FREE + 0x2000, PTE_W);
	memcpy(guest_ptr(vm, GUEST_FREE), code, end - code);
	memcpy(guest_var(vm, user_lengths), lengths, sizeof(user_lengths));
	guest_var(vm, user_cr4) = cr4;
	vcpu_run_done(vcpu_create(vm, 0, guest_user, 0));
	return vm;
}

TEST(user_mode)
{
	static const u8 lengths[] = { 3, 1, 1, 3 };
	static const u64 vectors[] = { 14, 13, 13, 13, 0x80 };
	struct vm *vm = run_user(user_code, user_end, lengths, 0);
	int i;

	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		EXPECT_EQ(vectors[i], guest_var(vm, user_vectors)[i]);
	}
	EXPECT_EQ(PF_P | PF_U, guest_var(vm, user_errors)[0]);
	EXPECT_EQ(0, guest_var(vm, user_errors)[1]);
}

TEST(user_mode_debug_registers)
{
	static const u8 lengths[] = { 3, 3, 3, 3 };
	struct vm *vm = run_user(debug_code, debug_end, lengths, 0);
	int i;

	for (i = 0; i < 4; i++) {
		EXPECT_EQ(13, guest_var(vm, user_vectors)[i]);
		EXPECT_EQ(0, guest_var(vm, user_errors)[i]);
	}
	EXPECT_EQ(0x80, guest_var(vm, user_vectors)[4]);
}

TEST(user_mode_instruction_prevention)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 7, 0);
	static const u8 lengths[] = { 5, 5, 3, 3 };
	struct vm *vm;
	int i;

	if (!e || !(e->ecx & 1 << 2))
		SKIP(return, "the CPU has no UMIP");
	if (!(cpuid(7, 0).ecx & 1 << 2))
		SKIP_ON_STOCK("makes up for a CPU without UMIP, but not for SMSW");
	vm = run_user(umip_code, umip_end, lengths, 1 << 11);
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(13, guest_var(vm, user_vectors)[i]);
		EXPECT_EQ(0, guest_var(vm, user_errors)[i]);
	}
	EXPECT_EQ(0x80, guest_var(vm, user_vectors)[4]);
}

/* #AC is for CPL 3, CR0.AM and EFLAGS.AC together; with any less, a CPU takes it as it comes. */
asm(".pushsection .rodata\n"
    "unaligned_code:\n"
    "	mov	0x101(%rsp), %eax\n"
    "	lock incq 0x13c(%rsp)\n"	/* two cache lines */
    "	int	$0x80\n"
    "unaligned_end:\n"
    ".popsection");
extern const char unaligned_code[], unaligned_end[];

static u64 ac_traps;

static __guest void ac_trap(struct trap_frame *f)
{
	GUEST_ASSERT_EQ(17, f->vector);
	GUEST_ASSERT_EQ(0, f->error);
	GUEST_ASSERT_EQ(USER_TEXT, f->rip);
	ac_traps++;
	f->rflags &= ~(1ul << 18);
}

static __guest void unaligned_done(struct trap_frame *f)
{
	GUEST_ASSERT_EQ(1, ac_traps);
	GUEST_DONE();
}

static __guest void guest_unaligned(void)
{
	u64 *split = (u64 *)(GUEST_FREE + 0x103c);

	guest_handlers[17] = ac_trap;
	guest_handlers[0x80] = unaligned_done;
	write_cr0(read_cr0() | 1 << 18);
	asm volatile("pushf; orl $1 << 18, (%%rsp); popf; lock incq %0; push $2; popf"
		     : "+m"(*split) : : "cc");
	GUEST_ASSERT_EQ(0, ac_traps);
	asm volatile("pushq %0; pushq %1; pushq $0x40002; pushq %2; pushq %3; iretq"
		     : : "i"(SEL_USER_DATA), "r"(USER_STACK), "i"(SEL_USER_CODE64),
			 "r"(USER_TEXT) : "memory");
}

TEST(alignment)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_unaligned, 0);

	if (host_is_tcg())
		SKIP(return, "no alignment checks in QEMU's TCG");
	vm_map_page(vm, USER_TEXT, GUEST_FREE, PTE_U);
	vm_map_page(vm, USER_STACK, GUEST_FREE + 0x1000, PTE_U | PTE_W);
	memcpy(guest_ptr(vm, GUEST_FREE), unaligned_code, unaligned_end - unaligned_code);
	vcpu_run_done(vcpu);
	EXPECT_EQ(2, *(u64 *)guest_ptr(vm, GUEST_FREE + 0x113c) +
		     *(u64 *)guest_ptr(vm, GUEST_FREE + 0x103c));
}

/* ---- traps: the saved RIP is behind the instruction ---- */

static __guest void guest_traps(void)
{
	guest_handlers[3] = guest_handlers[4] = note_trap;

	asm volatile("int3; 1: lea 1b(%%rip), %0" : "=r"(seen.skip_to) : : "memory");
	GUEST_ASSERT_EQ(3, seen.vector);
	GUEST_ASSERT_EQ(seen.skip_to, seen.rip);
	seen.skip_to = 0;
	asm volatile("int $4" : : : "memory");
	GUEST_ASSERT_EQ(4, seen.vector);
	GUEST_ASSERT_EQ(2, seen.count);
}

TEST(traps)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_traps, 0);

	vcpu_run_done(vcpu);
}

/* Single step over an instruction that exits and one that does not. */
static u64 step_rips[8];

static __guest void note_step(struct trap_frame *f)
{
	if (seen.count < 8)
		step_rips[seen.count] = f->rip;
	seen.count++;
	seen.vector = read_dr6();
	write_dr6(0xffff0ff0);
}

static __guest void guest_single_step(void)
{
	u64 start;

	guest_handlers[1] = note_step;
	asm volatile("lea 1f(%%rip), %0\n"
		     "	xor %%eax, %%eax\n"
		     "	pushfq\n"
		     "	orq $0x100, (%%rsp)\n"
		     "	popfq\n"
		     "1: nop\n"			/* 1 byte */
		     "	cpuid\n"		/* 2: exits */
		     "	xor %%eax, %%eax\n"	/* 2 */
		     "	pushfq\n"		/* 1 */
		     "	andq $~0x100, (%%rsp)\n" /* 8 */
		     "	popfq\n"
		     : "=&r"(start) : : "rax", "rbx", "rcx", "rdx", "memory", "cc");
	GUEST_ASSERT_EQ(1, step_rips[0] - start);
	GUEST_ASSERT_EQ(3, step_rips[1] - start);
	GUEST_ASSERT_EQ(5, step_rips[2] - start);
	GUEST_ASSERT_EQ(6, step_rips[3] - start);
	GUEST_ASSERT_EQ(1 << 14, seen.vector & 0x600f);	/* DR6.BS */
	GUEST_ASSERT(seen.count == 6);
}

TEST(single_step)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_single_step, 0);

	vcpu_run_done(vcpu);
}

/*
 * Where a trap is held back, or is not: STI and MOV SS block interrupts, MOV SS blocks single steps
 * as well, and neither general detection nor INT1.
 */
static u64 step_dr6[8];

static __guest void note_shadowed_step(struct trap_frame *f)
{
	step_rips[seen.count] = f->rip;
	step_dr6[seen.count] = read_dr6();
	write_dr6(0);
	if (++seen.count == 8)
		f->rflags &= ~0x100ull;
}

#define STEPPED(before, after)						\
		     "	lea 1f(%%rip), %0\n"				\
		     "	mov %%ss, %%ecx\n"				\
		     "	xor %%edx, %%edx\n"				\
		     "	pushfq\n"					\
		     "	orq $0x100, (%%rsp)\n"				\
		     "	popfq\n"					\
		     before "1: " after					\
		     "	pushfq\n"					\
		     "	andq $~0x100, (%%rsp)\n"			\
		     "	popfq\n"

#define STEP(insns)	asm volatile(insns : "=&r"(start) : : "rcx", "rdx", "memory", "cc")

static __guest void expect_step(u32 i, u64 rip, u64 dr6)
{
	GUEST_ASSERT_EQ(rip, step_rips[i]);
	GUEST_ASSERT_EQ(0xffff0ff0 | dr6, step_dr6[i]);
}

#define BS	(1u << 14)
#define BD	(1u << 13)

static __guest void guest_shadowed_step(u64 what)
{
	u64 start;

	guest_handlers[1] = note_shadowed_step;
	seen.count = 0;
	write_dr6(0);
	switch (what) {
	case 0:			/* after STI itself */
		STEP(STEPPED("sti\n", "nop; cli\n"));
		expect_step(0, start, BS);
		expect_step(1, start + 1, BS);
		expect_step(2, start + 2, BS);
		break;
	case 1:			/* after what follows MOV SS */
		STEP(STEPPED("mov %%ecx, %%ss\n", "nop; nop\n"));
		expect_step(0, start + 1, BS);
		expect_step(1, start + 2, BS);
		break;
	case 2:			/* INT1 is a trap, and no step */
		STEP(STEPPED("mov %%ecx, %%ss\n", ".byte 0xf1, 0xf1; nop\n"));
		expect_step(0, start + 1, 0);
		expect_step(1, start + 2, 0);
		expect_step(2, start + 3, BS);
		break;
	case 3:			/* a fault, before the access; GD goes off with it */
		write_dr7(0x2400);
		STEP(STEPPED("mov %%ecx, %%ss\n", "mov %%rdx, %%dr0; nop\n"));
		expect_step(0, start, BD);
		expect_step(1, start + 3, BS);
		expect_step(2, start + 4, BS);
		GUEST_ASSERT_EQ(0x400, read_dr7());
		break;
	case 4:
		asm volatile(".byte 0xf1; 1: lea 1b(%%rip), %0" : "=r"(start) : : "memory");
		expect_step(0, start, 0);
		GUEST_ASSERT_EQ(1, seen.count);
		break;
	case 5:			/* with prefixes, and in the shadow of MOV SS */
		asm volatile("mov %%ss, %%ecx\n"
			     "mov %%ecx, %%ss\n"
			     ".byte 0x2e, 0x2e, 0xf1\n"
			     "1: lea 1b(%%rip), %0" : "=r"(start) : : "rcx", "memory");
		expect_step(0, start, 0);
		GUEST_ASSERT_EQ(1, seen.count);
		break;
	}
}

TEST(shadowed_steps)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	u64 i;

	if (host_is_tcg())
		SKIP(return, "QEMU's TCG does not step over STI");
	for (i = 0; i < 6; i++) {
		/* Bochs's SVM adds DR6.BS to a #DB that is injected; on VMX, KVM does. */
		if (i == 3 && (!host_is_intel() || device_is_stock()))
			continue;
		vcpu_start64(vcpu, guest_shadowed_step, i);
		vcpu_run_done(vcpu);
	}
}

/*
 * The guest's debug registers are its own: they survive exits, user space sees
 * and sets them, and the host's do not shine through. No breakpoint is enabled:
 * that one hits is the CPU's work, and emulated CPUs keep one after its guest.
 */
static __guest void guest_debug_registers(void)
{
	u64 dr4;

	write_dr0(0x1000);
	write_dr1(0x2000);
	write_dr2(0x3000);
	write_dr3((u64)guest_debug_registers);
	write_dr7(0xdd0400);
	cpuid(0, 0);
	GUEST_ASSERT_EQ(0x1000, read_dr0());
	GUEST_ASSERT_EQ(0x2000, read_dr1());
	GUEST_ASSERT_EQ(0xdd0400, read_dr7());
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(0x4000, read_dr0());
	GUEST_ASSERT_EQ(0x3000, read_dr2());
	GUEST_ASSERT_EQ((u64)guest_debug_registers, read_dr3());
	GUEST_ASSERT_EQ(0x400, read_dr7());
	/* Bits 63:32 are reserved. */
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("mov %1, %%dr7", , "r"(1ul << 32)));
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("mov %1, %%dr6", , "r"(1ul << 32)));
	GUEST_ASSERT_EQ(0x400, read_dr7());
	/* DR4 is DR6, or with CR4.DE nothing. */
	asm volatile("mov %%db4, %0" : "=r"(dr4));
	GUEST_ASSERT_EQ(read_dr6(), dr4);
	write_cr4(read_cr4() | 1 << 3);
	GUEST_ASSERT_EQ(TRAP(6, 0), TRY("mov %%db4, %1", AND "=r"(dr4),));
}

TEST(debug_registers)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_debug_registers, 0);
	struct kvm_debugregs d;

	vcpu_run_sync(vcpu, 1);
	do_ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &d);
	EXPECT_EQ(0x1000, d.db[0]);
	EXPECT_EQ((u64)guest_debug_registers, d.db[3]);
	EXPECT_EQ(0xdd0400, d.dr7);
	d.db[0] = 0x4000;
	d.dr7 = 0x400;
	do_ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &d);
	vcpu_run_done(vcpu);
}

/* DR7.GD: a debug register is not to be touched, but one that is none is undefined first. */
static __guest void guest_general_detect(void)
{
	u64 dr;

	write_cr4(read_cr4() | 1 << 3);
	write_dr7(0x2400);
	GUEST_ASSERT_EQ(TRAP(6, 0), TRY("mov %%db4, %1", AND "=r"(dr),));
	GUEST_ASSERT_EQ(TRAP(1, 0), TRY("mov %%dr0, %1", AND "=r"(dr),));
	GUEST_ASSERT_EQ(0x400, read_dr7());
}

TEST(general_detect)
{
	struct vcpu *vcpu = vcpu_create(vm_create(0), 0, guest_general_detect, 0);

	if (host_is_tcg() && device_is_stock())
		SKIP(return, "the kernel's own KVM leaves DR7.GD to the CPU, and QEMU's TCG has none");
	vcpu_run_done(vcpu);
}

/* ---- INT n of every vector ---- */

#define INT_TABLE	GUEST_FREE	/* "int n; ret" for each n, 4 bytes each */

static __guest void guest_int_n(void)
{
	int i;

	for (i = 32; i < 256; i++) {
		guest_handlers[i] = note_trap;
		((void (*)(void))(INT_TABLE + 4ul * i))();
		GUEST_ASSERT_EQ(i, seen.vector);
		GUEST_ASSERT_EQ(INT_TABLE + 4ul * i + 2, seen.rip);
	}
	GUEST_ASSERT_EQ(224, seen.count);
}

TEST(int_n)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_int_n, 0);
	int i;

	for (i = 0; i < 256; i++)
		memcpy(guest_ptr(vm, INT_TABLE + 4 * i), (u8 []) { 0xcd, i, 0xc3, 0xcc }, 4);
	vcpu_run_done(vcpu);
}

/* ---- from user space ---- */

static bool has_error_code(int vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static __guest void guest_wait_injected(u64 vector)
{
	guest_handlers[vector] = note_trap;
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(1, seen.count);
	GUEST_ASSERT_EQ(vector, seen.vector);
	GUEST_VALUE(seen.error);
}

TEST(injected_by_user_space)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_vcpu_events events;
	int vector;

	for (vector = 0; vector < 20; vector++) {
		/* Not NMI; INT3 and INTO are traps; #DF does not return; 9 and 15 are not there. */
		if (vector == 2 || vector == 3 || vector == 4 || vector == 8 || vector == 9 ||
		    vector == 15)
			continue;
		memset(&guest_var(vm, seen), 0, sizeof(seen));
		vcpu_start64(vcpu, guest_wait_injected, vector);
		vcpu_run_sync(vcpu, 1);
		do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
		events.exception.injected = 1;
		events.exception.nr = vector;
		events.exception.has_error_code = has_error_code(vector);
		events.exception.error_code = has_error_code(vector) ? 0x1230 : 0;
		do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
		EXPECT_EQ(has_error_code(vector) ? 0x1230 : 0, vcpu_run_value(vcpu))
			TH_LOG("vector %d", vector);
		vcpu_run_done(vcpu);
	}
}

/* ---- delivery through pages that are not mapped ---- */

/*
 * The host takes away, one after the other, each page that delivery needs: IDT,
 * GDT, TSS, stack. What is delivered must arrive once, with the right RIP.
 */
static __guest void guest_delivery(void)
{
	int i;

	guest_handlers[6] = note_trap;
	guest_handlers[3] = guest_handlers[0x80] = note_trap;
	for (i = 0; i < 4; i++) {
		seen.count = 0;
		GUEST_SYNC(1);
		GUEST_ASSERT_EQ(TRAP(13, 0x1230), TRY("mov %1, %%es", , "r"(0x1230)));
		GUEST_SYNC(1);
		asm volatile("int3; 1: lea 1b(%%rip), %0" : "=r"(seen.skip_to) : : "memory");
		GUEST_ASSERT_EQ(seen.skip_to, seen.rip);
		seen.skip_to = 0;
		GUEST_SYNC(1);
		asm volatile("int $0x80; 1: lea 1b(%%rip), %0" : "=r"(seen.skip_to) : : "memory");
		GUEST_ASSERT_EQ(seen.skip_to, seen.rip);
		seen.skip_to = 0;
		GUEST_ASSERT_EQ(2, seen.count);
	}
}

TEST(delivery_through_unmapped_pages)
{
	static const u64 pages[] = {
		GUEST_IDT, GUEST_CPU(0) + GUEST_CPU_GDT, GUEST_CPU(0) + GUEST_CPU_TSS,
		GUEST_CPU(0) + GUEST_CPU_STACK_TOP - PAGE_SIZE,
	};
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_delivery, 0);
	int i, j;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		for (j = 0; j < 3; j++) {
			vcpu_run_sync(vcpu, 1);
			vm_drop_page(vm, pages[i]);
		}
	}
	vcpu_run_done(vcpu);
}

/*
 * INT n in the shadow of STI, with an interrupt waiting: the interrupt comes when INT n has been
 * delivered, even if the first attempt at that ends at a page that the host has taken away.
 */
static __guest void note_order(struct trap_frame *f)
{
	seen.count = seen.count * 10 + (f->vector == 0x80 ? 1 : 2);
	if (f->vector == 0x81)
		xapic_write(0xb0, 0);
}

static __guest void guest_soft_before_hard(void)
{
	int i;

	guest_handlers[0x80] = guest_handlers[0x81] = note_order;
	xapic_enable();
	for (i = 0; i < 2; i++) {
		seen.count = 0;
		xapic_write(0x300, 0x44081);		/* to itself, fixed */
		GUEST_SYNC(1);
		asm volatile("sti; int $0x80; nop; cli" : : : "memory");
		GUEST_ASSERT_EQ(12, seen.count);
	}
}

TEST(soft_before_hard)
{
	static const u64 pages[] = { GUEST_IDT, GUEST_CPU(0) + GUEST_CPU_STACK_TOP - PAGE_SIZE };
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_soft_before_hard, 0);
	int i;

	if (host_is_tcg())
		SKIP(return, "QEMU's TCG takes the interrupt first");
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		vcpu_run_sync(vcpu, 1);
		ASSERT_EQ(0, mprotect(guest_ptr(vm, pages[i]), PAGE_SIZE, PROT_NONE));
		ASSERT_EQ(0, mprotect(guest_ptr(vm, pages[i]), PAGE_SIZE, PROT_READ | PROT_WRITE));
	}
	vcpu_run_done(vcpu);
}

/* ---- double and triple faults ---- */

/* #GP whose gate has a bad selector: #GP while #GP is delivered makes #DF, error 0. */
static __guest void note_double_fault(struct trap_frame *f)
{
	GUEST_ASSERT_EQ(8, f->vector);
	GUEST_ASSERT_EQ(0, f->error);
	/* On the stack that the gate's IST names. */
	GUEST_ASSERT((u64)f < GUEST_CPU(0) + GUEST_CPU_IST1_TOP);
	GUEST_ASSERT((u64)f > GUEST_CPU(0) + GUEST_CPU_TSS);
	GUEST_DONE();
}

static __guest void guest_double_fault(void)
{
	guest_handlers[8] = note_double_fault;
	((volatile u64 *)GUEST_IDT)[2 * 13] |= 0x1230 << 16;
	asm volatile("mov %0, %%es" : : "r"(0x1230));
	GUEST_ASSERT(false);
}

TEST(double_fault)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_double_fault, 0);

	vcpu_run_done(vcpu);
}

/* #PF on the way to deliver #PF: a stack that is not mapped. */
static __guest void guest_bad_stack(void)
{
	guest_handlers[8] = note_double_fault;
	asm volatile("mov %0, %%rsp; mov (%0), %%rax" : : "r"(NO_PAGE + 0x800) : "rax", "memory");
}

TEST(double_fault_of_page_faults)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_bad_stack, 0);

	vcpu_run_done(vcpu);
}

/* Benign and contributory in a row are delivered in a row: #UD's gate missing is #NP. */
static __guest void guest_serial(void)
{
	guest_handlers[11] = note_trap;
	seen.skip_to = (u64)&&after;
	((volatile u64 *)GUEST_IDT)[2 * 6] &= ~(1ull << 47);
	asm goto("ud2" : : : "memory" : after);
after:
	GUEST_ASSERT_EQ(11, seen.vector);
	GUEST_ASSERT_EQ(2, seen.error & 6);	/* in the IDT */
	GUEST_ASSERT_EQ(1, seen.count);
}

TEST(benign_then_contributory)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_serial, 0);

	vcpu_run_done(vcpu);
}

/*
 * #GP on top of what is being delivered already: not the CPU's to see, since user
 * space puts the first there, and then fails the RDMSR that it was asked about.
 */
#define UNKNOWN_MSR	0x12345

static __guest void guest_asks_for_msr(u64 expected)
{
	u32 eax, edx;

	GUEST_ASSERT_EQ(expected, TRY("rdmsr", AND "=a"(eax) AND "=d"(edx), "c"(UNKNOWN_MSR)));
}

static void gp_on_top(struct __test_metadata *_metadata, u8 first, bool has_error_code,
		      u64 expected)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args = { KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN },
	};
	struct kvm_vcpu_events events;
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_asks_for_msr, expected);

	do_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
	vcpu_run_exit(vcpu, KVM_EXIT_X86_RDMSR);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	events.exception.injected = 1;
	events.exception.nr = first;
	events.exception.has_error_code = has_error_code;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	vcpu->run->msr.error = 1;
	if (expected)
		vcpu_run_done(vcpu);
	else
		vcpu_run_exit(vcpu, KVM_EXIT_SHUTDOWN);
	vcpu_free(vcpu);
	vm_free(vm);
}

TEST(on_top_of_another)
{
	gp_on_top(_metadata, 6, false, TRAP(13, 0));	/* benign: the newer one alone */
	gp_on_top(_metadata, 13, true, TRAP(8, 0));
	gp_on_top(_metadata, 14, true, TRAP(8, 0));
	gp_on_top(_metadata, 8, true, 0);		/* a shutdown */
}

static __guest void guest_triple_fault(u64 how)
{
	struct __attribute__((packed)) { u16 limit; u64 base; } idt = { 0, 0 };

	if (how == 0)
		asm volatile("lidt %0; ud2" : : "m"(idt));
	else if (how == 1)
		asm volatile("lidt %0; int3" : : "m"(idt));
	else if (how == 2)
		asm volatile("lidt %0; mov (%1), %%rax" : : "m"(idt), "r"(NO_PAGE) : "rax");
	else
		write_cr3(GUEST_FREE);	/* a PML4 of zeros */
}

TEST(triple_fault)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu;
	int how;

	for (how = 0; how < 4; how++) {
		vcpu = vcpu_create(vm, how, guest_triple_fault, how);
		vcpu_run_exit(vcpu, KVM_EXIT_SHUTDOWN);
		vcpu_free(vcpu);
	}
}

/* Where the guest gave up is of interest; on AMD it is undefined, and as after INIT. */
TEST(state_after_triple_fault)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_triple_fault, 2);
	u64 entry = vcpu_regs(vcpu).rip, rip;

	vcpu_run_exit(vcpu, KVM_EXIT_SHUTDOWN);
	rip = vcpu_regs(vcpu).rip;
	if (!host_is_intel()) {
		EXPECT_EQ(0xfff0, rip);
		return;
	}
	EXPECT_EQ(entry & ~0xffful, rip & ~0xffful);
	EXPECT_EQ(NO_PAGE, vcpu_sregs(vcpu).cr2);
	EXPECT_EQ(1, vcpu_sregs(vcpu).cs.l);
}

/* A stack where no memory is: nothing is executed in the place of what can't be delivered. */
#define NO_STACK	(GVA_TEST + 0x20000)

static __guest void guest_without_stack(void)
{
	asm volatile("mov %0, %%rsp; ud2" : : "r"(NO_STACK + 0x800) : "memory");
}

TEST(no_memory_to_deliver_to)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_without_stack, 0);
	struct kvm_vcpu_events events;
	int i;

	SKIP_ON_STOCK("tries the instruction instead, on SVM for ever");
	vm_map_page(vm, NO_STACK, 0xd0000000, PTE_W);
	for (i = 0; i < 2; i++) {
		vcpu_run_exit(vcpu, KVM_EXIT_INTERNAL_ERROR);
		EXPECT_EQ(KVM_INTERNAL_ERROR_DELIVERY_EV, vcpu->run->internal.suberror);
		do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
		EXPECT_EQ(1, events.exception.injected);
		EXPECT_EQ(6, events.exception.nr);
		EXPECT_EQ(NO_STACK + 0x800, vcpu_regs(vcpu).rsp);
	}
}

/* A vCPU that has shut down can be started afresh. */
static __guest void guest_nothing(void)
{
}

TEST(again_after_triple_fault)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_triple_fault, 0);

	vcpu_run_exit(vcpu, KVM_EXIT_SHUTDOWN);
	vcpu_start64(vcpu, guest_nothing, 0);
	vcpu_run_done(vcpu);
}

/* ---- 32-bit and real mode ---- */

asm(".pushsection .rodata\n"
    "bound32: .code32\n"			/* IDT at 0x3000: 32-bit gates to 0x2800 + 16n */
    "	lidt	0x2f00\n"
    "	mov	$5, %eax\n"
    "	bound	%eax, 0x2f10\n"		/* limits 0, 1 */
    "	ud2\n"
    "bound32_handler:\n"
    "	mov	$4, %eax\n"			/* REPORT_VALUE */
    "	mov	$5, %edi\n"
    "	mov	$0x900, %edx\n"
    "	out	%eax, %dx\n"
    "	mov	$0x7fffffff, %eax\n"
    "	inc	%eax\n"
    "	into\n"
    "	ud2\n"
    "into32_handler:\n"
    "	mov	$4, %eax\n"
    "	mov	$4, %edi\n"
    "	mov	$0x900, %edx\n"
    "	out	%eax, %dx\n"
    "bound32_end: .code64\n"
    "ivt16: .code16\n"			/* vector 6 of the IVT points behind ud2 */
    "	ud2\n"
    "ivt16_handler:\n"
    "	mov	$4, %eax\n"
    "	pop	%di\n"			/* IP pushed */
    "	movzwl	%di, %edi\n"
    "	mov	$0x900, %dx\n"
    "	out	%eax, %dx\n"
    "ivt16_end: .code64\n"
    ".popsection");
extern const char bound32[], bound32_handler[], into32_handler[], bound32_end[];
extern const char ivt16[], ivt16_handler[], ivt16_end[];

static u64 gate32(u64 offset)
{
	return (offset & 0xffff) | (u64)SEL_CODE32 << 16 | 0x8eull << 40 |
	       (offset >> 16 & 0xffff) << 48;
}

TEST(bound_and_into)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	u64 *idt = guest_ptr(vm, 0x3000);

	memcpy(guest_ptr(vm, GUEST_LOW), bound32, bound32_end - bound32);
	*(u16 *)guest_ptr(vm, 0x2f00) = 0x7ff;
	*(u32 *)guest_ptr(vm, 0x2f02) = 0x3000;
	*(u32 *)guest_ptr(vm, 0x2f14) = 1;
	idt[5] = gate32(GUEST_LOW + (bound32_handler - bound32));
	idt[4] = gate32(GUEST_LOW + (into32_handler - bound32));
	vcpu_start32(vcpu, GUEST_LOW);
	ASSERT_EQ(5, vcpu_run_value(vcpu));
	ASSERT_EQ(4, vcpu_run_value(vcpu));
}

TEST(real_mode)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);

	memcpy(guest_ptr(vm, GUEST_LOW), ivt16, ivt16_end - ivt16);
	*(u16 *)guest_ptr(vm, 4 * 6) = GUEST_LOW + (ivt16_handler - ivt16);
	vcpu_start16(vcpu, GUEST_LOW);
	ASSERT_EQ(GUEST_LOW, vcpu_run_value(vcpu));
}

TEST_HARNESS_MAIN
