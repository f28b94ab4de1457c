// SPDX-License-Identifier: GPL-2.0
/*
 * Switches of tasks (SDM vol. 3, chapter 8; APM vol. 2, chapter 12): what goes into the old task's
 * TSS and comes out of the new one's, by whichever way; and who gets the fault, if there is one.
 *
 * Task A is where a guest begins. Its code, a few instructions, is in the test. Other tasks begin
 * with an OUT to the report port, for which their TSS has the registers, so that the host sees
 * them as they were loaded.
 */
#include <stddef.h>

#include "kselftest.h"
#include "lib/test.h"

#define GDT		0x3000
#define IDT		0x3800
#define TSS(task)	(0x4000 + (task) * 0x100)
#define LDT		0x5000
#define STACK(task)	(0x8000 + (task) * 0x1000)	/* its top */
#define TABLES		GUEST_FREE

enum task { A, B, SHORT, H, TASKS };	/* SHORT has a 16-bit TSS, H handles exceptions */

#define SEL_CODE	0x08
#define SEL_FLAT	0x10
#define SEL_TASK(task)	(0x18 + (task) * 8)
#define SEL_GATE	0x38		/* to B */
#define SEL_LDT		0x40
#define SEL_CODE_SHORT	0x48
#define SEL_USER_CODE	0x53
#define SEL_USER_FLAT	0x5b
#define SEL_ABSENT	0x60		/* data, not present */
#define SEL_READ_ONLY	0x68
#define SEL_CODE_ABSENT	0x70
#define SEL_UNREADABLE	0x78		/* code */
#define SEL_SMALL	0x80		/* stack of 16 bytes */
#define SEL_FRESH	0x88		/* data, not accessed */
#define SEL_BEYOND	0x90		/* behind the GDT's limit */

#define RIGHTS_BUSY	(2ull << 40)
#define ACCESSED	(1ull << 40)
#define FLAG_TF		(1u << 8)
#define FLAG_IF		(1u << 9)
#define FLAG_NT		(1u << 14)
#define FLAG_RF		(1u << 16)
#define FLAG_VM		(1u << 17)

struct tss32 {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
	u32 eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs, ss, ds, fs, gs, ldt;
	u16 trap, iomap;
};

struct tss16 {
	u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags;
	u16 ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
};

/*
 * REPORT: of a handler, whose registers do not matter. AGAIN: of a task that is entered there and
 * reports at once, and then goes back by IRET, as often as you like.
 */
#define REPORT(value)							\
    "	mov	$" #value ", %edi\n"					\
    "	mov	$4, %eax\n"			/* REPORT_VALUE */	\
    "	mov	$0x900, %edx\n"			/* REPORT_PORT */	\
    "	out	%eax, %dx\n"

asm(".pushsection .rodata\n"
    ".code32\n"
    "task_code:\n"
    "again:\n"
    "	out	%eax, %dx\n"
    "again_iret:\n"
    "	iret\n"
    "again_back:\n"
    "	jmp	again\n"
    "call_b:\n"
    "	lcall	$0x20, $0\n"
    "call_b_back:\n"
    REPORT(100)
    "jmp_b:\n"
    "	ljmp	$0x20, $0\n"
    "jmp_b_back:\n"
    REPORT(101)
    "call_gate:\n"
    "	lcall	$0x38, $0x12345678\n"
    "call_gate_back:\n"
    REPORT(102)
    "call_short:\n"
    "	lcall	$0x28, $0\n"
    REPORT(103)
    "call_memory:\n"
    "	.byte	0x36\n"				/* ss, a prefix that does nothing */
    "	lcall	*(%ebx)\n"
    "call_memory_back:\n"
    REPORT(104)
    "iret_nt:\n"
    "	pushf\n"
    "	orl	$0x4000, (%esp)\n"
    "	popf\n"
    "iret_nt_at:\n"
    "	iret\n"
    REPORT(105)
    "jmp_a:\n"					/* registers stay as the TSS has them */
    "	ljmp	$0x18, $0\n"
    "jmp_a_back:\n"
    REPORT(106)
    "traps:\n"
    "	ud2\n"
    "	int3\n"
    "traps_int3:\n"
    "	int	$0x30\n"
    "traps_int:\n"
    "	mov	$0x7fffffff, %eax\n"
    "	inc	%eax\n"
    "	into\n"
    "traps_into:\n"
    "	xor	%ecx, %ecx\n"
    "	mov	%cx, %ss\n"			/* #GP(0) */
    "	ud2\n"
    "spin:\n"
    "	jmp	spin\n"
    "int30:\n"
    "	int	$0x30\n"
    "int30_back:\n"
    REPORT(107)
    "touch:\n"
    "	movl	$1, 0x700000\n"
    "touch_back:\n"
    REPORT(108)
    "nmi_twice:\n"				/* entered at each NMI; the first asks for another */
    "	out	%eax, %dx\n"
    "	nop\n"
    "	iret\n"
    "	jmp	nmi_twice\n"
    /* Interrupt gates: the stack is left as it is for the host to see. */
    "gate_8:\n" REPORT(208)
    "gate_10:\n" REPORT(210)
    "gate_11:\n" REPORT(211)
    "gate_12:\n" REPORT(212)
    "gate_13:\n" REPORT(213)
    "gate_14:\n" REPORT(214)
    "gate_1:\n" REPORT(201)
    ".code16\n"
    "short_again:\n"
    "	out	%eax, %dx\n"
    "	iret\n"
    "	jmp	short_again\n"
    "vm86_code:\n"
    "	out	%eax, %dx\n"
    "	ud2\n"
    ".code64\n"
    "task_code_end:\n"
    ".popsection");
extern const char task_code[], task_code_end[], again[], again_iret[], again_back[], call_b[],
	call_b_back[], jmp_b[], jmp_b_back[], call_gate[], call_gate_back[], call_short[],
	call_memory[], call_memory_back[], iret_nt[], iret_nt_at[], jmp_a[], jmp_a_back[], traps[],
	traps_int3[], traps_int[], traps_into[], spin[], int30[], int30_back[], touch[], nmi_twice[],
	gate_1[], gate_8[], gate_10[], gate_11[], gate_12[], gate_13[], gate_14[], short_again[],
	vm86_code[];

/* In low memory, so that 16-bit code gets there. */
#define CODE(label)	(GUEST_LOW + (u32)((label) - task_code))

FIXTURE(tasks) {
	struct vm *vm;
	struct vcpu *vcpu;
	u64 *gdt, *idt;
	struct tss32 *a, *b, *h;
	struct tss16 *s;
};

static u64 descriptor(u32 base, u32 limit, u8 rights, u8 flags)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)rights << 40 |
	       (u64)(limit >> 16 & 0xf) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

static u64 interrupt_gate(u32 offset)
{
	return (offset & 0xffff) | SEL_CODE << 16 | 0x8eull << 40 | (u64)(offset >> 16) << 48;
}

static u64 task_gate(u16 selector)
{
	return (u64)selector << 16 | 0xe5ull << 40;	/* DPL 3: for INT n of anybody */
}

static void make_gdt(u64 *gdt)
{
	memset(gdt, 0, SEL_BEYOND);
	gdt[SEL_CODE / 8] = descriptor(0, 0xfffff, 0x9b, 0xc);
	gdt[SEL_FLAT / 8] = descriptor(0, 0xfffff, 0x93, 0xc);
	gdt[SEL_TASK(A) / 8] = descriptor(TSS(A), sizeof(struct tss32) - 1, 0x8b, 0);
	gdt[SEL_TASK(B) / 8] = descriptor(TSS(B), sizeof(struct tss32) - 1, 0x89, 0);
	gdt[SEL_TASK(SHORT) / 8] = descriptor(TSS(SHORT), sizeof(struct tss16) - 1, 0x81, 0);
	gdt[SEL_TASK(H) / 8] = descriptor(TSS(H), sizeof(struct tss32) - 1, 0x89, 0);
	gdt[SEL_GATE / 8] = task_gate(SEL_TASK(B));
	gdt[SEL_LDT / 8] = descriptor(LDT, 0xf, 0x82, 0);
	gdt[SEL_CODE_SHORT / 8] = descriptor(0, 0xffff, 0x9b, 0);
	gdt[SEL_USER_CODE / 8] = descriptor(0, 0xfffff, 0xfb, 0xc);
	gdt[SEL_USER_FLAT / 8] = descriptor(0, 0xfffff, 0xf3, 0xc);
	gdt[SEL_ABSENT / 8] = descriptor(0, 0xfffff, 0x13, 0xc);
	gdt[SEL_READ_ONLY / 8] = descriptor(0, 0xfffff, 0x91, 0xc);
	gdt[SEL_CODE_ABSENT / 8] = descriptor(0, 0xfffff, 0x1b, 0xc);
	gdt[SEL_UNREADABLE / 8] = descriptor(0, 0xfffff, 0x99, 0xc);
	gdt[SEL_SMALL / 8] = descriptor(0, 0xf, 0x93, 0x4);
	gdt[SEL_FRESH / 8] = descriptor(0, 0xfffff, 0x92, 0xc);
}

static struct tss32 tss32_of(enum task task, u32 eip)
{
	return (struct tss32){
		.esp0 = STACK(task), .ss0 = SEL_FLAT, .eip = eip, .eflags = 2, .cr3 = TABLES,
		.eax = REPORT_VALUE, .ecx = 0xc0 + task, .edx = REPORT_PORT, .ebx = 0xb0 + task,
		.esp = STACK(task), .ebp = 0xb100 + task, .esi = 0x51 + task, .edi = task,
		.es = SEL_FLAT, .cs = SEL_CODE, .ss = SEL_FLAT, .ds = SEL_FLAT, .fs = SEL_FLAT,
		.gs = SEL_FLAT, .iomap = sizeof(struct tss32),
	};
}

static void make_idt(u64 *idt)
{
	static const struct { u8 vector; const char *handler; } gates[] = {
		{ 1, gate_1 }, { 8, gate_8 }, { 10, gate_10 }, { 11, gate_11 }, { 12, gate_12 },
		{ 13, gate_13 }, { 14, gate_14 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(gates); i++)
		idt[gates[i].vector] = interrupt_gate(CODE(gates[i].handler));
}

/* QEMU's SVM has no intercept of task switches: its TCG carries them out, and not all of it. */
static void __attribute__((constructor)) skip_on_tcg(void)
{
	if (host_is_tcg())
		_exit(KSFT_SKIP);
}

FIXTURE_SETUP(tasks)
{
	self->vm = vm_create(0);
	self->vcpu = vcpu_create(self->vm, 0, NULL, 0);
	self->gdt = guest_ptr(self->vm, GDT);
	self->idt = guest_ptr(self->vm, IDT);
	self->a = guest_ptr(self->vm, TSS(A));
	self->b = guest_ptr(self->vm, TSS(B));
	self->h = guest_ptr(self->vm, TSS(H));
	self->s = guest_ptr(self->vm, TSS(SHORT));
	memcpy(guest_ptr(self->vm, GUEST_LOW), task_code, task_code_end - task_code);
	make_gdt(self->gdt);
	make_idt(self->idt);
	*self->a = tss32_of(A, 0);
	*self->b = tss32_of(B, CODE(again));
	*self->h = tss32_of(H, CODE(again));
	*self->s = (struct tss16){
		.ip = CODE(short_again), .flags = 2, .ax = REPORT_VALUE, .cx = 0xc0 + SHORT,
		.dx = REPORT_PORT, .bx = 0xb0 + SHORT, .sp = STACK(SHORT), .bp = 0xb100,
		.si = 0x51, .di = SHORT, .es = SEL_FLAT, .cs = SEL_CODE_SHORT, .ss = SEL_FLAT,
		.ds = SEL_FLAT,
	};
}

FIXTURE_TEARDOWN(tasks)
{
	vcpu_free(self->vcpu);
	vm_free(self->vm);
}

/* In task A, at @label, with registers that none of the TSSs has. */
static void start(struct vcpu *vcpu, const char *label, u64 cr0)
{
	struct kvm_regs regs = {
		.rip = CODE(label), .rflags = 2 | 0x8d5,
		.rax = 0xa0, .rbx = 0xa1, .rcx = 0xa2, .rdx = 0xa3,
		.rsi = 0xa4, .rdi = 0xa5, .rbp = 0xa6, .rsp = STACK(A),
	};
	struct kvm_sregs s;

	vcpu_start32(vcpu, 0);
	s = vcpu_sregs(vcpu);
	s.gdt = (struct kvm_dtable){ .base = GDT, .limit = SEL_BEYOND - 1 };
	s.idt = (struct kvm_dtable){ .base = IDT, .limit = 0x100 * 8 - 1 };
	s.cs.selector = SEL_CODE;
	s.ss.selector = s.ds.selector = s.es.selector = SEL_FLAT;
	s.fs.selector = s.gs.selector = SEL_FLAT;
	s.tr = (struct kvm_segment){
		.base = TSS(A), .limit = sizeof(struct tss32) - 1, .selector = SEL_TASK(A),
		.type = 11, .present = 1,
	};
	s.cr0 |= cr0;
	if (cr0 >> 31) {
		s.cr3 = TABLES;
		s.cr4 |= 0x10;		/* PSE */
	}
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &s);
	do_ioctl(vcpu->fd, KVM_SET_REGS, &regs);
}

static bool busy(const u64 *gdt, enum task task)
{
	return gdt[SEL_TASK(task) / 8] & RIGHTS_BUSY;
}

/* What a handler at a gate of ring 0 finds on its stack. */
struct pushed {
	u32 error, eip, cs, eflags;
};

static struct pushed pushed(struct vcpu *vcpu)
{
	return *(struct pushed *)guest_ptr(vcpu->vm, vcpu_regs(vcpu).rsp);
}

/* ---- there and back ---- */

static void expect_registers(struct __test_metadata *_metadata, struct kvm_regs r, enum task task)
{
	EXPECT_EQ(REPORT_VALUE, r.rax);
	EXPECT_EQ(0xc0 + task, r.rcx);
	EXPECT_EQ(REPORT_PORT, r.rdx);
	EXPECT_EQ(0xb0 + task, r.rbx);
	EXPECT_EQ(STACK(task), r.rsp);
	EXPECT_EQ(0xb100 + task, r.rbp);
	EXPECT_EQ(0x51 + task, r.rsi);
	EXPECT_EQ(task, r.rdi);
}

static void expect_saved(struct __test_metadata *_metadata, const struct tss32 *tss)
{
	EXPECT_EQ(0x8d7, tss->eflags);
	EXPECT_EQ(0xa0, tss->eax);
	EXPECT_EQ(0xa1, tss->ebx);
	EXPECT_EQ(0xa2, tss->ecx);
	EXPECT_EQ(0xa3, tss->edx);
	EXPECT_EQ(0xa4, tss->esi);
	EXPECT_EQ(0xa5, tss->edi);
	EXPECT_EQ(0xa6, tss->ebp);
	EXPECT_EQ(STACK(A), tss->esp);
	EXPECT_EQ(SEL_CODE, tss->cs);
	EXPECT_EQ(SEL_FLAT, tss->ss);
	EXPECT_EQ(SEL_FLAT, tss->ds);
	EXPECT_EQ(SEL_FLAT, tss->es);
	EXPECT_EQ(SEL_FLAT, tss->fs);
	EXPECT_EQ(SEL_FLAT, tss->gs);
	/* No switch writes these. */
	EXPECT_EQ(STACK(A), tss->esp0);
	EXPECT_EQ(TABLES, tss->cr3);
	EXPECT_EQ(0, tss->ldt);
	EXPECT_EQ(0, tss->link);
}

static void expect_task(struct __test_metadata *_metadata, struct vcpu *vcpu, enum task task)
{
	struct kvm_sregs s = vcpu_sregs(vcpu);

	EXPECT_EQ(SEL_TASK(task), s.tr.selector);
	EXPECT_EQ(TSS(task), s.tr.base);
	EXPECT_EQ(task == SHORT ? 43 : 103, s.tr.limit);
	EXPECT_EQ(task == SHORT ? 3 : 11, s.tr.type);
	EXPECT_EQ(8, s.cr0 & 8);
}

TEST_F(tasks, call_and_return)
{
	struct kvm_debugregs d = { .dr6 = 0xffff0ff0, .dr7 = 0x7ff };

	start(self->vcpu, call_b, 0);
	do_ioctl(self->vcpu->fd, KVM_SET_DEBUGREGS, &d);
	ASSERT_EQ(B, vcpu_run_value(self->vcpu));
	expect_registers(_metadata, vcpu_regs(self->vcpu), B);
	expect_task(_metadata, self->vcpu, B);
	expect_saved(_metadata, self->a);
	EXPECT_EQ(CODE(call_b_back), self->a->eip);
	EXPECT_EQ(2 | FLAG_NT, vcpu_regs(self->vcpu).rflags);
	EXPECT_EQ(SEL_TASK(A), self->b->link);
	EXPECT_TRUE(busy(self->gdt, A));
	EXPECT_TRUE(busy(self->gdt, B));
	do_ioctl(self->vcpu->fd, KVM_GET_DEBUGREGS, &d);
	EXPECT_EQ(0x6aa, d.dr7);

	ASSERT_EQ(100, vcpu_run_value(self->vcpu));
	expect_task(_metadata, self->vcpu, A);
	EXPECT_EQ(0, vcpu_regs(self->vcpu).rflags & FLAG_NT);
	EXPECT_EQ(0xa1, vcpu_regs(self->vcpu).rbx);
	EXPECT_EQ(CODE(again_back), self->b->eip);
	EXPECT_EQ(2, self->b->eflags);
	EXPECT_TRUE(busy(self->gdt, A));
	EXPECT_FALSE(busy(self->gdt, B));
}

TEST_F(tasks, jump)
{
	start(self->vcpu, jmp_b, 0);
	self->b->link = 0x77;
	self->b->eip = CODE(jmp_a);
	ASSERT_EQ(101, vcpu_run_value(self->vcpu));
	expect_saved(_metadata, self->a);
	EXPECT_EQ(CODE(jmp_b_back), self->a->eip);
	EXPECT_EQ(CODE(jmp_a_back), self->b->eip);
	EXPECT_EQ(0x77, self->b->link);
	EXPECT_EQ(2, self->b->eflags);
	EXPECT_TRUE(busy(self->gdt, A));
	EXPECT_FALSE(busy(self->gdt, B));
	expect_task(_metadata, self->vcpu, A);
}

TEST_F(tasks, gate)
{
	start(self->vcpu, call_gate, 0);
	ASSERT_EQ(B, vcpu_run_value(self->vcpu));
	expect_saved(_metadata, self->a);
	EXPECT_EQ(CODE(call_gate_back), self->a->eip);
	EXPECT_EQ(SEL_TASK(A), self->b->link);
	ASSERT_EQ(102, vcpu_run_value(self->vcpu));
}

/* An instruction whose length the opcode does not tell. */
TEST_F(tasks, pointer_in_memory)
{
	struct kvm_regs regs;

	start(self->vcpu, call_memory, 0);
	regs = vcpu_regs(self->vcpu);
	regs.rbx = 0x6000;
	do_ioctl(self->vcpu->fd, KVM_SET_REGS, &regs);
	*(u16 *)guest_ptr(self->vm, 0x6004) = SEL_TASK(B);
	ASSERT_EQ(B, vcpu_run_value(self->vcpu));
	EXPECT_EQ(CODE(call_memory_back), self->a->eip);
	ASSERT_EQ(104, vcpu_run_value(self->vcpu));
}

TEST_F(tasks, sixteen_bits)
{
	struct kvm_sregs s;

	SKIP_ON_STOCK("saves the old task in the form of the new one's TSS");
	start(self->vcpu, call_short, 0);
	ASSERT_EQ(SHORT, vcpu_run_value(self->vcpu));
	expect_saved(_metadata, self->a);
	expect_task(_metadata, self->vcpu, SHORT);
	s = vcpu_sregs(self->vcpu);
	EXPECT_EQ(0, s.fs.selector);
	EXPECT_TRUE(s.fs.unusable);
	EXPECT_TRUE(s.gs.unusable);
	EXPECT_EQ(SEL_FLAT, s.ds.selector);
	EXPECT_EQ(0, s.cs.db);
	EXPECT_EQ(2 | FLAG_NT, vcpu_regs(self->vcpu).rflags);
	EXPECT_EQ(STACK(SHORT), (u16)vcpu_regs(self->vcpu).rsp);
	EXPECT_EQ(0x51, (u16)vcpu_regs(self->vcpu).rsi);
	EXPECT_EQ(SEL_TASK(A), self->s->link);
	ASSERT_EQ(103, vcpu_run_value(self->vcpu));
	EXPECT_EQ(CODE(short_again) + 3, self->s->ip);
	EXPECT_EQ(2, self->s->flags);
	EXPECT_EQ(0x51, self->s->si);
	EXPECT_EQ(SEL_CODE_SHORT, self->s->cs);
	EXPECT_EQ(0, self->s->ldt);
	EXPECT_EQ(0xa4, vcpu_regs(self->vcpu).rsi);
}

/* IRET finds out by NT alone; a CALL's frame on the stack does not matter. */
TEST_F(tasks, return_by_nt)
{
	start(self->vcpu, iret_nt, 0);
	self->a->link = SEL_TASK(B);
	self->gdt[SEL_TASK(B) / 8] |= RIGHTS_BUSY;
	ASSERT_EQ(B, vcpu_run_value(self->vcpu));
	EXPECT_EQ(2, vcpu_regs(self->vcpu).rflags);
	EXPECT_EQ(CODE(iret_nt_at) + 1, self->a->eip);
	EXPECT_EQ(0, self->a->eflags & FLAG_NT);
	EXPECT_FALSE(busy(self->gdt, A));
	EXPECT_TRUE(busy(self->gdt, B));
}

/* ---- what a task brings with it ---- */

/* 4M pages, the first of them one to one; @page is what is at 4M. */
static void make_tables(struct vm *vm, u64 tables, u32 page)
{
	u32 *pd = guest_ptr(vm, tables);

	memset(pd, 0, PAGE_SIZE);
	pd[0] = 0x87;
	pd[1] = page | 0x87;
}

TEST_F(tasks, address_space)
{
	struct kvm_sregs s;

	make_tables(self->vm, TABLES, 0x400000);
	make_tables(self->vm, TABLES + PAGE_SIZE, 0x1400000);
	self->b->cr3 = TABLES + PAGE_SIZE;
	self->b->eip = CODE(touch);
	*(u32 *)guest_ptr(self->vm, 0x700000) = 0;
	start(self->vcpu, call_b, 1u << 31);
	ASSERT_EQ(108, vcpu_run_value(self->vcpu));
	s = vcpu_sregs(self->vcpu);
	EXPECT_EQ(TABLES + PAGE_SIZE, s.cr3);
	EXPECT_EQ(0, *(u32 *)guest_ptr(self->vm, 0x700000));
	EXPECT_EQ(1, *(u32 *)guest_ptr(self->vm, 0x1700000));
}

TEST_F(tasks, local_descriptors)
{
	struct kvm_sregs s;

	*(u64 *)guest_ptr(self->vm, LDT + 8) = descriptor(0x12345000, 0xff, 0x92, 4);
	self->b->ldt = SEL_LDT;
	self->b->es = 8 | 4;
	self->b->gs = SEL_FRESH;
	start(self->vcpu, call_b, 0);
	ASSERT_EQ(B, vcpu_run_value(self->vcpu));
	s = vcpu_sregs(self->vcpu);
	EXPECT_EQ(SEL_LDT, s.ldt.selector);
	EXPECT_EQ(LDT, s.ldt.base);
	EXPECT_EQ(0x12345000, s.es.base);
	EXPECT_EQ(0xff, s.es.limit);
	EXPECT_TRUE(*(u64 *)guest_ptr(self->vm, LDT + 8) & ACCESSED);
	EXPECT_TRUE(self->gdt[SEL_FRESH / 8] & ACCESSED);
	ASSERT_EQ(100, vcpu_run_value(self->vcpu));
	s = vcpu_sregs(self->vcpu);
	EXPECT_EQ(0, s.ldt.selector);
	EXPECT_TRUE(s.ldt.unusable);
	/* The LDT's selector is the task's for good. */
	EXPECT_EQ(SEL_LDT, self->b->ldt);
}

/* To CPL 3, where IOPL lets it do its OUT, and back. */
TEST_F(tasks, user_mode)
{
	struct kvm_sregs s;

	self->b->cs = SEL_USER_CODE;
	self->b->ss = self->b->es = SEL_USER_FLAT;
	self->b->ds = SEL_USER_FLAT;
	self->b->fs = self->b->gs = 0;
	self->b->eflags |= 0x3000;
	self->gdt[(SEL_USER_FLAT & ~7) / 8] &= ~ACCESSED;
	start(self->vcpu, call_b, 0);
	ASSERT_EQ(B, vcpu_run_value(self->vcpu));
	s = vcpu_sregs(self->vcpu);
	EXPECT_EQ(3, s.cs.dpl);
	EXPECT_EQ(3, s.ss.dpl);
	EXPECT_EQ(SEL_USER_FLAT, s.ds.selector);
	EXPECT_TRUE(s.fs.unusable);
	EXPECT_TRUE(self->gdt[(SEL_USER_FLAT & ~7) / 8] & ACCESSED);
	ASSERT_EQ(100, vcpu_run_value(self->vcpu));
	EXPECT_EQ(0, vcpu_sregs(self->vcpu).ss.dpl);
}

/* Its OUT wants a bitmap, which wants a longer TSS. */
#define LONG_TSS	0x6000
#define BITMAP_SIZE	(REPORT_PORT / 8 + 2)

TEST_F(tasks, virtual_8086)
{
	struct tss32 *b = guest_ptr(self->vm, LONG_TSS);
	struct kvm_sregs s;

	if (!host_is_intel())
		SKIP(return, "Bochs's SVM ends Bochs in virtual-8086 mode");
	*b = *self->b;
	b->eflags = 2 | FLAG_VM;
	b->cs = GUEST_LOW >> 4;
	b->eip = CODE(vm86_code) - GUEST_LOW;
	b->ss = 0x700;
	b->ds = 0xabcd;
	b->fs = b->gs = b->es = 3;
	self->gdt[SEL_TASK(B) / 8] = descriptor(LONG_TSS, sizeof(*b) + BITMAP_SIZE - 1, 0x89, 0);
	self->idt[6] = task_gate(SEL_TASK(H));
	start(self->vcpu, jmp_b, 0);
	ASSERT_EQ(B, vcpu_run_value(self->vcpu));
	s = vcpu_sregs(self->vcpu);
	EXPECT_EQ(GUEST_LOW, s.cs.base);
	EXPECT_EQ(0xabcd0, s.ds.base);
	EXPECT_EQ(0xabcd, s.ds.selector);
	EXPECT_EQ(0xffff, s.ds.limit);
	EXPECT_EQ(0x30, s.gs.base);
	EXPECT_EQ(3, s.ss.dpl);
	ASSERT_EQ(H, vcpu_run_value(self->vcpu));
	EXPECT_EQ(CODE(vm86_code) - GUEST_LOW + 2, b->eip);
	EXPECT_EQ(2 | FLAG_VM | FLAG_RF, b->eflags);
	EXPECT_EQ(0xabcd, b->ds);
	EXPECT_EQ(SEL_CODE, vcpu_sregs(self->vcpu).cs.selector);
	EXPECT_EQ(0, vcpu_sregs(self->vcpu).ss.dpl);
}

TEST_F(tasks, trap_bit)
{
	struct kvm_debugregs d;

	SKIP_ON_STOCK("knows of no T bit in a TSS");
	self->b->trap = 1;
	start(self->vcpu, call_b, 0);
	ASSERT_EQ(201, vcpu_run_value(self->vcpu));
	do_ioctl(self->vcpu->fd, KVM_GET_DEBUGREGS, &d);
	EXPECT_EQ(1 << 15, d.dr6 & 0xe00f);
	/* No error code: EIP is on top. */
	EXPECT_EQ(CODE(again), pushed(self->vcpu).error);
	expect_task(_metadata, self->vcpu, B);
}

/* ---- events by a task gate ---- */

static void expect_handled(struct __test_metadata *_metadata, struct vcpu *vcpu,
			   const struct tss32 *a, u32 eip, u32 rf)
{
	ASSERT_EQ(H, vcpu_run_value(vcpu));
	EXPECT_EQ(eip, a->eip);
	EXPECT_EQ(rf, a->eflags & FLAG_RF);
	EXPECT_EQ(STACK(H), vcpu_regs(vcpu).rsp);
	expect_task(_metadata, vcpu, H);
	EXPECT_EQ(FLAG_NT, vcpu_regs(vcpu).rflags & FLAG_NT);
}

TEST_F(tasks, exceptions)
{
	static const u8 vectors[] = { 3, 4, 6, 0x30 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vectors); i++)
		self->idt[vectors[i]] = task_gate(SEL_TASK(H));
	start(self->vcpu, traps, 0);
	expect_handled(_metadata, self->vcpu, self->a, CODE(traps), FLAG_RF);
	/* The handler lets it go on behind UD2. */
	self->a->eip += 2;
	expect_handled(_metadata, self->vcpu, self->a, CODE(traps_int3), 0);
	expect_handled(_metadata, self->vcpu, self->a, CODE(traps_int), 0);
	expect_handled(_metadata, self->vcpu, self->a, CODE(traps_into), 0);
}

TEST_F(tasks, error_code)
{
	self->idt[13] = task_gate(SEL_TASK(H));
	start(self->vcpu, traps_into, 0);
	ASSERT_EQ(H, vcpu_run_value(self->vcpu));
	EXPECT_EQ(CODE(traps_into) + 2, self->a->eip);
	EXPECT_EQ(FLAG_RF, self->a->eflags & FLAG_RF);
	EXPECT_EQ(STACK(H) - 4, vcpu_regs(self->vcpu).rsp);
	EXPECT_EQ(0, *(u32 *)guest_ptr(self->vm, STACK(H) - 4));
}

TEST_F(tasks, page_fault)
{
	struct kvm_sregs s;

	make_tables(self->vm, TABLES, 0);
	((u32 *)guest_ptr(self->vm, TABLES))[1] = 0;
	self->idt[14] = task_gate(SEL_TASK(H));
	start(self->vcpu, touch, 1u << 31);
	ASSERT_EQ(H, vcpu_run_value(self->vcpu));
	s = vcpu_sregs(self->vcpu);
	EXPECT_EQ(0x700000, s.cr2);
	EXPECT_EQ(2, *(u32 *)guest_ptr(self->vm, STACK(H) - 4));
	EXPECT_EQ(CODE(touch), self->a->eip);
}

TEST_F(tasks, interrupt)
{
	struct kvm_interrupt irq = { .irq = 0x40 };
	struct kvm_regs regs;

	self->idt[0x40] = task_gate(SEL_TASK(H));
	start(self->vcpu, spin, 0);
	regs = vcpu_regs(self->vcpu);
	regs.rflags = 2 | FLAG_IF;
	do_ioctl(self->vcpu->fd, KVM_SET_REGS, &regs);
	do_ioctl(self->vcpu->fd, KVM_INTERRUPT, &irq);
	expect_handled(_metadata, self->vcpu, self->a, CODE(spin), 0);
	EXPECT_EQ(2 | FLAG_IF, self->a->eflags);
	EXPECT_EQ(2 | FLAG_NT, vcpu_regs(self->vcpu).rflags);
	/* Once only. */
	self->a->eip = CODE(jmp_b_back);
	ASSERT_EQ(101, vcpu_run_value(self->vcpu));
}

/* Masked from the switch to the IRET, which lets the second one in. */
TEST_F(tasks, nmi)
{
	struct kvm_vcpu_events e;

	self->idt[2] = task_gate(SEL_TASK(H));
	self->h->eip = CODE(nmi_twice);
	start(self->vcpu, spin, 0);
	do_ioctl(self->vcpu->fd, KVM_NMI, 0);
	expect_handled(_metadata, self->vcpu, self->a, CODE(spin), 0);
	do_ioctl(self->vcpu->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, e.nmi.masked);
	EXPECT_EQ(0, e.nmi.injected);
	do_ioctl(self->vcpu->fd, KVM_NMI, 0);
	self->a->eip = CODE(spin);
	expect_handled(_metadata, self->vcpu, self->a, CODE(spin), 0);
	EXPECT_EQ(CODE(nmi_twice) + 3, self->h->eip);
	self->a->eip = CODE(jmp_b_back);
	ASSERT_EQ(101, vcpu_run_value(self->vcpu));
	do_ioctl(self->vcpu->fd, KVM_GET_VCPU_EVENTS, &e);
	EXPECT_EQ(0, e.nmi.masked);
	EXPECT_EQ(0, e.nmi.pending);
}

/* ---- faults of the old task ---- */

static void expect_refused(struct __test_metadata *_metadata, struct vcpu *vcpu, u8 vector,
			   u32 error, const char *at)
{
	struct pushed p;

	ASSERT_EQ(200 + vector, vcpu_run_value(vcpu));
	p = pushed(vcpu);
	EXPECT_EQ(error, p.error);
	EXPECT_EQ(CODE(at), p.eip);
	EXPECT_EQ(SEL_TASK(A), vcpu_sregs(vcpu).tr.selector);
	EXPECT_EQ(0, vcpu_sregs(vcpu).cr0 & 8);
}

TEST_F(tasks, refused)
{
	u64 *desc = &self->gdt[SEL_TASK(B) / 8], good = *desc;
	struct tss32 a = *self->a;

	start(self->vcpu, call_b, 0);
	*desc = good | RIGHTS_BUSY;
	expect_refused(_metadata, self->vcpu, 13, SEL_TASK(B), call_b);
	start(self->vcpu, call_b, 0);
	*desc = good & ~(1ull << 47);
	expect_refused(_metadata, self->vcpu, 11, SEL_TASK(B), call_b);
	start(self->vcpu, call_b, 0);
	*desc = good - 1;
	expect_refused(_metadata, self->vcpu, 10, SEL_TASK(B), call_b);
	start(self->vcpu, jmp_b, 0);
	expect_refused(_metadata, self->vcpu, 10, SEL_TASK(B), jmp_b);
	*desc = good;
	EXPECT_EQ(0, memcmp(&a, self->a, sizeof(a)));
	EXPECT_TRUE(busy(self->gdt, A));
}

TEST_F(tasks, refused_return)
{
	static const u16 links[] = { 0, SEL_TASK(B), SEL_BEYOND, SEL_FLAT, SEL_TASK(B) | 4 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(links); i++) {
		self->a->link = links[i];
		start(self->vcpu, iret_nt, 0);
		expect_refused(_metadata, self->vcpu, 10, links[i], iret_nt_at);
	}
}

TEST_F(tasks, refused_gate)
{
	u64 *desc = &self->gdt[SEL_TASK(H) / 8];
	struct kvm_interrupt irq = { .irq = 0x30 };
	struct kvm_regs regs;

	self->idt[0x30] = task_gate(SEL_TASK(H));
	*desc &= ~(1ull << 47);
	start(self->vcpu, int30, 0);
	expect_refused(_metadata, self->vcpu, 11, SEL_TASK(H), int30);
	/* The same from outside has EXT in the error code. */
	start(self->vcpu, spin, 0);
	regs = vcpu_regs(self->vcpu);
	regs.rflags = 2 | FLAG_IF;
	do_ioctl(self->vcpu->fd, KVM_SET_REGS, &regs);
	do_ioctl(self->vcpu->fd, KVM_INTERRUPT, &irq);
	expect_refused(_metadata, self->vcpu, 11, SEL_TASK(H) | 1, spin);
}

/* Where the CPU leaves it to KVM to find the fault. */
#define FAULTS_LOST "raises no fault in a task switch"

/* The TSS is on a page that is not there. */
TEST_F(tasks, refused_page)
{
	SKIP_ON_STOCK(FAULTS_LOST);
	make_tables(self->vm, TABLES, 0);
	((u32 *)guest_ptr(self->vm, TABLES))[1] = 0;
	self->gdt[SEL_TASK(B) / 8] = descriptor(0x500000, sizeof(struct tss32) - 1, 0x89, 0);
	start(self->vcpu, call_b, 1u << 31);
	ASSERT_EQ(214, vcpu_run_value(self->vcpu));
	EXPECT_EQ(CODE(call_b), pushed(self->vcpu).eip);
	EXPECT_EQ(0x500000, vcpu_sregs(self->vcpu).cr2 & ~0xffull);
	EXPECT_EQ(SEL_TASK(A), vcpu_sregs(self->vcpu).tr.selector);
	EXPECT_EQ(0, self->a->eip);
}

/* ---- faults of the new one ---- */

#define FIELD(f)	offsetof(struct tss32, f)

static const struct { u16 field; u32 value; u8 vector; u32 error; } bad[] = {
	{ FIELD(ldt),	SEL_FLAT,		10, SEL_FLAT },
	{ FIELD(ldt),	SEL_LDT | 4,		10, SEL_LDT | 4 },
	{ FIELD(ldt),	SEL_BEYOND,		10, SEL_BEYOND },
	{ FIELD(cs),	0,			10, 0 },
	{ FIELD(cs),	SEL_FLAT,		10, SEL_FLAT },
	{ FIELD(cs),	SEL_CODE | 1,		10, SEL_CODE },
	{ FIELD(cs),	SEL_CODE_ABSENT,	11, SEL_CODE_ABSENT },
	{ FIELD(cs),	SEL_TASK(H),		10, SEL_TASK(H) },
	{ FIELD(ss),	0,			10, 0 },
	{ FIELD(ss),	SEL_READ_ONLY,		10, SEL_READ_ONLY },
	{ FIELD(ss),	SEL_FLAT | 3,		10, SEL_FLAT },
	{ FIELD(ss),	SEL_USER_FLAT,		10, SEL_USER_FLAT & ~3 },
	{ FIELD(ss),	SEL_ABSENT,		12, SEL_ABSENT },
	{ FIELD(ds),	SEL_ABSENT,		11, SEL_ABSENT },
	{ FIELD(es),	SEL_TASK(A),		10, SEL_TASK(A) },
	{ FIELD(fs),	SEL_UNREADABLE,		10, SEL_UNREADABLE },
	{ FIELD(gs),	SEL_FLAT | 3,		10, SEL_FLAT },
	{ FIELD(gs),	SEL_BEYOND | 4,		10, SEL_BEYOND | 4 },
};

/* Handled by a task, because the faulty one may have no stack. */
TEST_F(tasks, bad_segments)
{
	struct tss32 b = *self->b, h = *self->h;
	unsigned int i;

	SKIP_ON_STOCK(FAULTS_LOST);
	self->idt[10] = self->idt[11] = self->idt[12] = task_gate(SEL_TASK(H));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		make_gdt(self->gdt);
		*self->b = b;
		*self->h = h;
		*(u32 *)((char *)self->b + bad[i].field) = bad[i].value;
		start(self->vcpu, call_b, 0);
		ASSERT_EQ(H, vcpu_run_value(self->vcpu));
		EXPECT_EQ(bad[i].error, *(u32 *)guest_ptr(self->vm, STACK(H) - 4)) {
			TH_LOG("row %u", i);
		}
		EXPECT_EQ(SEL_TASK(B), self->h->link);
		EXPECT_EQ(CODE(again), self->b->eip);
		EXPECT_EQ(2 | FLAG_NT | FLAG_RF, self->b->eflags);
		EXPECT_EQ(bad[i].value, *(u16 *)((char *)self->b + bad[i].field));
		EXPECT_EQ(SEL_TASK(A), self->b->link);
		EXPECT_EQ(CODE(call_b_back), self->a->eip);
	}
}

/* Which of the vectors it was. */
TEST_F(tasks, bad_segments_by_gate)
{
	struct tss32 b = *self->b;
	unsigned int i;

	SKIP_ON_STOCK(FAULTS_LOST);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		/* Only a task with a stack and the right to use it can take it so. */
		if (bad[i].field < FIELD(ds) || bad[i].field > FIELD(gs))
			continue;
		make_gdt(self->gdt);
		*self->b = b;
		*(u32 *)((char *)self->b + bad[i].field) = bad[i].value;
		start(self->vcpu, call_b, 0);
		ASSERT_EQ(200 + bad[i].vector, vcpu_run_value(self->vcpu));
		EXPECT_EQ(bad[i].error, pushed(self->vcpu).error);
		EXPECT_EQ(CODE(again), pushed(self->vcpu).eip);
		EXPECT_EQ(STACK(B) - 16, vcpu_regs(self->vcpu).rsp);
		expect_task(_metadata, self->vcpu, B);
	}
}

TEST_F(tasks, beyond_the_code)
{
	self->b->cs = SEL_CODE_SHORT;
	self->b->eip = 0x12345;
	start(self->vcpu, call_b, 0);
	ASSERT_EQ(213, vcpu_run_value(self->vcpu));
	EXPECT_EQ(0, pushed(self->vcpu).error);
	EXPECT_EQ(0x12345, pushed(self->vcpu).eip);
	expect_task(_metadata, self->vcpu, B);
}

/* The error code does not fit: #SS in the delivery of #GP makes a #DF, in the new task. */
TEST_F(tasks, no_room_for_the_error_code)
{
	struct tss32 *b = self->b;

	SKIP_ON_STOCK(FAULTS_LOST);
	self->idt[13] = task_gate(SEL_TASK(H));
	self->idt[8] = task_gate(SEL_TASK(B));
	self->h->ss = SEL_SMALL;
	self->h->esp = 0x100;
	start(self->vcpu, traps_into, 0);
	ASSERT_EQ(B, vcpu_run_value(self->vcpu));
	EXPECT_EQ(SEL_TASK(H), b->link);
	EXPECT_EQ(STACK(B) - 4, vcpu_regs(self->vcpu).rsp);
	EXPECT_EQ(0, *(u32 *)guest_ptr(self->vm, STACK(B) - 4));
	EXPECT_EQ(CODE(again), self->h->eip);
}

/* A fault in the delivery of INT n is no double fault, and not external; of an interrupt, it is. */
TEST_F(tasks, bad_handler)
{
	struct kvm_interrupt irq = { .irq = 0x30 };
	struct tss32 h = *self->h;
	struct kvm_regs regs;

	SKIP_ON_STOCK(FAULTS_LOST);
	h.gs = SEL_ABSENT;
	*self->h = h;
	self->idt[0x30] = task_gate(SEL_TASK(H));
	start(self->vcpu, int30, 0);
	ASSERT_EQ(211, vcpu_run_value(self->vcpu));
	EXPECT_EQ(SEL_ABSENT, pushed(self->vcpu).error);
	EXPECT_EQ(CODE(int30_back), self->a->eip);
	expect_task(_metadata, self->vcpu, H);

	make_gdt(self->gdt);
	*self->h = h;
	start(self->vcpu, spin, 0);
	regs = vcpu_regs(self->vcpu);
	regs.rflags = 2 | FLAG_IF;
	do_ioctl(self->vcpu->fd, KVM_SET_REGS, &regs);
	do_ioctl(self->vcpu->fd, KVM_INTERRUPT, &irq);
	ASSERT_EQ(211, vcpu_run_value(self->vcpu));
	EXPECT_EQ(SEL_ABSENT | 1, pushed(self->vcpu).error);
	EXPECT_EQ(CODE(spin), self->a->eip);
}

TEST_HARNESS_MAIN
