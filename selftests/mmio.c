// SPDX-License-Identifier: GPL-2.0
/*
 * Accesses to guest-physical addresses without memory, which end in
 * KVM_EXIT_MMIO: every size and common form of instruction, reads with their
 * extensions, page-crossing ones, string instructions, and from real mode. What
 * the instruction decoder cannot know must end in an internal error.
 */
#include "lib/test.h"

#define MMIO 0xd0000000ul

/*
 * User space's device: a page of bytes behind two pages, so that crossing has
 * somewhere to go. Runs the guest until something other than MMIO happens.
 */
struct device {
	u8 bytes[3 * 4096];
	int reads, writes;
};

static struct report run_device(struct __test_metadata *_metadata, struct vcpu *vcpu,
				struct device *dev)
{
	struct kvm_run *run = vcpu->run;
	struct report r;
	u64 offset;

	for (;;) {
		r = vcpu_run(vcpu);
		if (r.kind != REPORT_EXIT || r.exit != KVM_EXIT_MMIO)
			return r;
		offset = run->mmio.phys_addr - MMIO;
		EXPECT_LE(run->mmio.len, 8);
		EXPECT_LE(offset + run->mmio.len, sizeof(dev->bytes));
		if (offset + run->mmio.len > sizeof(dev->bytes))
			return r;
		if (run->mmio.is_write) {
			memcpy(dev->bytes + offset, run->mmio.data, run->mmio.len);
			dev->writes++;
		} else {
			memcpy(run->mmio.data, dev->bytes + offset, run->mmio.len);
			dev->reads++;
		}
	}
}

#define EXPECT_DONE(r) do {							\
	struct report __r = (r);						\
	ASSERT_EQ(REPORT_DONE, __r.kind) {					\
		TH_LOG("KVM_EXIT %u instead of done", __r.exit);		\
	}									\
} while (0)

FIXTURE(mmio) {
	struct vm *vm;
	struct device dev;
};

FIXTURE_SETUP(mmio)
{
	int i;

	self->vm = vm_create(0);
	for (i = 0; i < sizeof(self->dev.bytes); i++)
		self->dev.bytes[i] = 0x80 + i * 3;
}

FIXTURE_TEARDOWN(mmio)
{
	vm_free(self->vm);
}

/* ---- plain moves ---- */

static __guest void guest_writes(void)
{
	asm volatile("movb %%al, (%1)" : : "a"(0x11), "r"(MMIO));
	asm volatile("movw %%ax, 2(%1)" : : "a"(0x2233), "r"(MMIO));
	asm volatile("movl %%eax, 4(%1)" : : "a"(0x44556677), "r"(MMIO));
	asm volatile("movq %%rax, 8(%1)" : : "a"(0x8899aabbccddeeff), "r"(MMIO));
	asm volatile("movb $0x12, 16(%0)" : : "r"(MMIO));
	asm volatile("movw $0x3456, 18(%0)" : : "r"(MMIO));
	asm volatile("movl $0x789abcde, 20(%0)" : : "r"(MMIO));
	asm volatile("movq $-2, 24(%0)" : : "r"(MMIO));
	/* A high byte register, then one that only REX can name. */
	asm volatile("movb %%ah, 32(%1)" : : "a"(0xabcd), "q"(MMIO));
	asm volatile("mov $0x5a, %%r9d; movb %%r9b, 33(%0)" : : "r"(MMIO) : "r9");
	asm volatile("movabs %%eax, %P0" : : "i"(MMIO + 36), "a"(0x01020304));
	/* All that an address can have: base, scaled index, displacement, and RIP-relative. */
	asm volatile("movl %%eax, -0x100(%1, %2, 8)" : : "a"(0x0a0b0c0d), "r"(MMIO), "r"(37ul));
}

TEST_F(mmio, writes)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_writes, 0);
	static const u8 expected[] = {
		0x11, 0x83, 0x33, 0x22, 0x77, 0x66, 0x55, 0x44,
		0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88,
		0x12, 0xb3, 0x56, 0x34, 0xde, 0xbc, 0x9a, 0x78,
		0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xab, 0x5a, 0xe6, 0xe9, 0x04, 0x03, 0x02, 0x01,
		0x0d, 0x0c, 0x0b, 0x0a,
	};
	int i;

	EXPECT_DONE(run_device(_metadata, vcpu, &self->dev));
	for (i = 0; i < sizeof(expected); i++) {
		ASSERT_EQ(expected[i], self->dev.bytes[i]) TH_LOG("byte %d", i);
	}
	ASSERT_EQ(12, self->dev.writes);
	ASSERT_EQ(0, self->dev.reads);
}

/* The device's bytes n..n+3 are 0x80 + 3n and so on: all have their top bit set. */
static __guest void guest_reads(void)
{
	u64 rax;

#define READ(insn, from, expected) do {						\
	rax = 0x1122334455667788;						\
	asm volatile(insn : "+a"(rax) : "r"(MMIO + (from)));			\
	GUEST_ASSERT_EQ(expected, rax);						\
} while (0)
	READ("movb (%1), %%al", 0, 0x1122334455667780);
	READ("movb (%1), %%ah", 1, 0x1122334455668388);
	READ("movw (%1), %%ax", 2, 0x1122334455668986);
	READ("movl (%1), %%eax", 4, 0x95928f8c);
	READ("movq (%1), %%rax", 8, 0xadaaa7a4a19e9b98);
	READ("movzbl (%1), %%eax", 3, 0x89);
	READ("movzbw (%1), %%ax", 3, 0x1122334455660089);
	READ("movzwl (%1), %%eax", 2, 0x8986);
	READ("movzwq (%1), %%rax", 2, 0x8986);
	READ("movsbl (%1), %%eax", 3, 0xffffff89);
	READ("movsbq (%1), %%rax", 3, 0xffffffffffffff89);
	READ("movsbw (%1), %%ax", 3, 0x112233445566ff89);
	READ("movswl (%1), %%eax", 2, 0xffff8986);
	READ("movswq (%1), %%rax", 2, 0xffffffffffff8986);
	READ("movslq (%1), %%rax", 4, 0xffffffff95928f8c);
#undef READ
	asm volatile("movabs %P1, %%eax" : "=a"(rax) : "i"(MMIO + 4));
	GUEST_ASSERT_EQ(0x95928f8c, rax);
}

TEST_F(mmio, reads)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_reads, 0);

	EXPECT_DONE(run_device(_metadata, vcpu, &self->dev));
	ASSERT_EQ(16, self->dev.reads);
	ASSERT_EQ(0, self->dev.writes);
}

/* ---- read, modify, write; comparisons; exchanges ---- */

#define FLAGS_ALU 0x8d5		/* OF SF ZF AF PF CF */

static __guest void guest_alu(void)
{
	volatile u32 *reg = (u32 *)MMIO;
	u64 flags, rax;

	*reg = 0x10;
	asm volatile("orl $1, (%0)" : : "r"(MMIO));
	GUEST_ASSERT_EQ(0x11, *reg);
	asm volatile("andl $0xfffffffe, (%0)" : : "r"(MMIO));
	GUEST_ASSERT_EQ(0x10, *reg);
	asm volatile("addl %1, (%0)" : : "r"(MMIO), "r"(0xfffffff0));
	GUEST_ASSERT_EQ(0, *reg);
	asm volatile("subl $1, (%1); pushfq; pop %0" : "=r"(flags) : "r"(MMIO));
	GUEST_ASSERT_EQ(0x95, flags & FLAGS_ALU);	/* SF AF PF CF */
	GUEST_ASSERT_EQ(~0u, *reg);
	asm volatile("xorl %1, (%0)" : : "r"(MMIO), "r"(0xff));
	GUEST_ASSERT_EQ(0xffffff00, *reg);
	asm volatile("incl (%0)" : : "r"(MMIO));
	asm volatile("notl (%0)" : : "r"(MMIO));
	GUEST_ASSERT_EQ(0xfe, *reg);
	asm volatile("cmpl $0xfe, (%1); pushfq; pop %0" : "=r"(flags) : "r"(MMIO));
	GUEST_ASSERT_EQ(0x44, flags & FLAGS_ALU);	/* ZF PF */
	asm volatile("testb $2, (%1); pushfq; pop %0" : "=r"(flags) : "r"(MMIO));
	GUEST_ASSERT_EQ(0, flags & 0x40);
	asm volatile("shll $4, (%0)" : : "r"(MMIO));
	GUEST_ASSERT_EQ(0xfe0, *reg);
	rax = 0x1111;
	asm volatile("addl (%1), %%eax" : "+a"(rax) : "r"(MMIO));
	GUEST_ASSERT_EQ(0x20f1, rax);

	rax = 0xdeadbeef;
	asm volatile("xchgl %%eax, (%1)" : "+a"(rax) : "r"(MMIO));
	GUEST_ASSERT_EQ(0xfe0, rax);
	rax = 0xdeadbeef;
	asm volatile("lock cmpxchgl %2, (%1)" : "+a"(rax) : "r"(MMIO), "r"(0x42));
	GUEST_ASSERT_EQ(0x42, *reg);
	asm volatile("lock btsl $3, (%0)" : : "r"(MMIO));
	GUEST_ASSERT_EQ(0x4a, *reg);
}

TEST_F(mmio, alu)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_alu, 0);

	EXPECT_DONE(run_device(_metadata, vcpu, &self->dev));
}

/* ---- crossing a page ---- */

/* One access, two pages of device: user space must see all bytes, and only these. */
static __guest void guest_cross(void)
{
	u64 v;

	asm volatile("movq (%1), %0" : "=r"(v) : "r"(MMIO + 4096 - 3));
	GUEST_VALUE(v);
	asm volatile("movq %0, (%1)" : : "r"(0x1122334455667788), "r"(MMIO + 8192 - 5));
	asm volatile("movl %0, (%1)" : : "r"(0xa1a2a3a4), "r"(MMIO + 8192 + 3));
}

TEST_F(mmio, page_crossing)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_cross, 0);
	struct report r;
	u64 v;

	memcpy(&v, self->dev.bytes + 4096 - 3, 8);
	r = run_device(_metadata, vcpu, &self->dev);
	ASSERT_EQ(REPORT_VALUE, r.kind);
	ASSERT_EQ(v, r.value);
	EXPECT_DONE(run_device(_metadata, vcpu, &self->dev));
	memcpy(&v, self->dev.bytes + 8192 - 5, 8);
	ASSERT_EQ(0x1122334455667788, v);
	ASSERT_EQ(0xa1a2a3a4, *(u32 *)(self->dev.bytes + 8192 + 3));
	ASSERT_EQ((u8)(0x80 + (8192 - 6) * 3), self->dev.bytes[8192 - 6]);
	ASSERT_EQ((u8)(0x80 + (8192 + 7) * 3), self->dev.bytes[8192 + 7]);
}

/* Half in memory and half not: the bytes go where they belong. */
static __guest void guest_cross_memory(void)
{
	u64 v;

	*(volatile u32 *)(GVA_TEST + 0xffc) = 0x0badcafe;
	asm volatile("movq (%1), %0" : "=r"(v) : "r"(GVA_TEST + 0xffc));
	GUEST_ASSERT_EQ(0x898683800badcafe, v);
	asm volatile("movq %0, (%1)" : : "r"(0x1122334455667788), "r"(GVA_TEST + 0xffc));
	GUEST_ASSERT_EQ(0x55667788, *(volatile u32 *)(GVA_TEST + 0xffc));
	/* Read, changed and written once, though user space answers in the middle. */
	asm volatile("addq %0, (%1)" : : "r"(0x100000001), "r"(GVA_TEST + 0xffc) : "memory");
	GUEST_ASSERT_EQ(0x55667789, *(volatile u32 *)(GVA_TEST + 0xffc));
}

TEST_F(mmio, crossing_from_memory)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_cross_memory, 0);

	vm_map_page(self->vm, GVA_TEST, GUEST_FREE, PTE_W);
	vm_map_page(self->vm, GVA_TEST + 4096, MMIO, PTE_W);
	EXPECT_DONE(run_device(_metadata, vcpu, &self->dev));
	ASSERT_EQ(0x11223345, *(u32 *)self->dev.bytes);
}

/* ---- string instructions ---- */

static u8 buffer[256];

static __guest void guest_strings(void)
{
	u64 di, si, n, rax;
	int i;

	for (i = 0; i < sizeof(buffer); i++)
		buffer[i] = i ^ 0x5a;

	/* memory to device, by bytes, words, dwords, qwords */
	si = (u64)buffer, di = MMIO, n = 5;
	asm volatile("rep movsb" : "+S"(si), "+D"(di), "+c"(n) : : "memory");
	n = 5;
	asm volatile("rep movsw" : "+S"(si), "+D"(di), "+c"(n) : : "memory");
	n = 5;
	asm volatile("rep movsl" : "+S"(si), "+D"(di), "+c"(n) : : "memory");
	n = 5;
	asm volatile("rep movsq" : "+S"(si), "+D"(di), "+c"(n) : : "memory");
	GUEST_ASSERT_EQ(0, n);
	GUEST_ASSERT_EQ((u64)buffer + 75, si);
	GUEST_ASSERT_EQ(MMIO + 75, di);

	/* and back */
	si = MMIO, di = (u64)buffer + 128, n = 75;
	asm volatile("rep movsb" : "+S"(si), "+D"(di), "+c"(n) : : "memory");
	for (i = 0; i < 75; i++)
		GUEST_ASSERT_EQ((u8)(i ^ 0x5a), buffer[128 + i]);

	/* device to device */
	si = MMIO, di = MMIO + 0x100, n = 3;
	asm volatile("rep movsl" : "+S"(si), "+D"(di), "+c"(n) : : "memory");
	GUEST_ASSERT_EQ(*(u32 *)(buffer + 8), *(volatile u32 *)(MMIO + 0x108));

	di = MMIO + 0x200, n = 4;
	asm volatile("rep stosl" : "+D"(di), "+c"(n) : "a"(0x76543210) : "memory");
	GUEST_ASSERT_EQ(0x76543210, *(volatile u32 *)(MMIO + 0x20c));

	/* backwards */
	di = MMIO + 0x302, n = 3;
	asm volatile("std; rep stosb; cld" : "+D"(di), "+c"(n) : "a"(0x99) : "memory");
	GUEST_ASSERT_EQ(MMIO + 0x2ff, di);
	GUEST_ASSERT_EQ(0x99, *(volatile u8 *)(MMIO + 0x300));

	si = MMIO + 0x20c;
	asm volatile("lodsl" : "=a"(rax), "+S"(si));
	GUEST_ASSERT_EQ(0x76543210, rax);
	GUEST_ASSERT_EQ(MMIO + 0x210, si);

	/* the first different byte ends CMPS, the first equal one SCAS */
	si = (u64)buffer, di = MMIO, n = 75;
	asm volatile("rep cmpsb" : "+S"(si), "+D"(di), "+c"(n) : : "memory", "cc");
	GUEST_ASSERT_EQ(0, n);
	buffer[10]++;
	si = (u64)buffer, di = MMIO, n = 75;
	asm volatile("rep cmpsb" : "+S"(si), "+D"(di), "+c"(n) : : "memory", "cc");
	GUEST_ASSERT_EQ(64, n);
	di = MMIO, n = 75;
	asm volatile("repne scasb" : "+D"(di), "+c"(n) : "a"(7 ^ 0x5a) : "memory", "cc");
	GUEST_ASSERT_EQ(MMIO + 8, di);
	GUEST_ASSERT_EQ(67, n);
}

TEST_F(mmio, strings)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_strings, 0);

	EXPECT_DONE(run_device(_metadata, vcpu, &self->dev));
	ASSERT_EQ(0x76543210, *(u32 *)(self->dev.bytes + 0x200));
	ASSERT_EQ((u8)(0x80 + 0x303 * 3), self->dev.bytes[0x303]);
	ASSERT_EQ((u8)(0x80 + 0x2ff * 3), self->dev.bytes[0x2ff]);
}

/* From a port to a device, over the end of its first page */
#define PORT 0x320

static __guest void guest_port_to_device(void)
{
	u64 di = MMIO + 4096 - 6, n = 8;

	asm volatile("rep insw" : "+D"(di), "+c"(n) : "d"(PORT) : "memory");
	GUEST_ASSERT_EQ(0, n);
	GUEST_ASSERT_EQ(MMIO + 4096 + 10, di);
}

TEST_F(mmio, port_to_device)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_port_to_device, 0);
	struct kvm_run *run = vcpu->run;
	struct report r;
	int i, ins = 0;

	while ((r = run_device(_metadata, vcpu, &self->dev)).kind == REPORT_EXIT) {
		ASSERT_EQ(KVM_EXIT_IO, r.exit);
		ASSERT_EQ(PORT, run->io.port);
		ASSERT_EQ(KVM_EXIT_IO_IN, run->io.direction);
		for (i = 0; i < run->io.count; i++)
			memset((u8 *)run + run->io.data_offset + i * run->io.size, 0x40 + ins++,
			       run->io.size);
	}
	EXPECT_DONE(r);
	EXPECT_EQ(8, ins);
	for (i = 0; i < 16; i++)
		EXPECT_EQ(0x40 + i / 2, self->dev.bytes[4096 - 6 + i]);
}

/* ---- exits in detail ---- */

/* A write to a slot that is read-only is MMIO; a read of it is not an exit. */
static __guest void guest_rom(void)
{
	volatile u64 *rom = (u64 *)MMIO;

	GUEST_ASSERT_EQ(0x1122334455667788, *rom);
	*rom = 0xabcdef;
	GUEST_ASSERT_EQ(0x1122334455667788, *rom);
	/* Once mapped by a read, a write must still not go through. */
	rom[1] = 1;
	GUEST_ASSERT_EQ(0, rom[1]);
}

TEST_F(mmio, read_only_slot)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_rom, 0);
	u64 *rom = map_memory(PAGE_SIZE);

	rom[0] = 0x1122334455667788;
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, KVM_MEM_READONLY, MMIO, PAGE_SIZE, rom));
	EXPECT_DONE(run_device(_metadata, vcpu, &self->dev));
	ASSERT_EQ(2, self->dev.writes);
	ASSERT_EQ(0, self->dev.reads);
	ASSERT_EQ(0xabcdef, *(u64 *)self->dev.bytes);
	ASSERT_EQ(0x1122334455667788, rom[0]);
	ASSERT_EQ(0, rom[1]);
}

/* At an MMIO read's exit the instruction is not complete: the next KVM_RUN does that. */
static __guest void guest_one_read(void)
{
	u64 v;

	asm volatile("movl (%1), %k0" : "=a"(v) : "r"(MMIO));
	GUEST_VALUE(v);
	GUEST_VALUE(*(volatile u32 *)MMIO);
}

TEST_F(mmio, completed_by_the_next_run)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_one_read, 0);
	u64 rip;

	vcpu_run_exit(vcpu, KVM_EXIT_MMIO);
	ASSERT_EQ(MMIO, vcpu->run->mmio.phys_addr);
	ASSERT_EQ(4, vcpu->run->mmio.len);
	ASSERT_EQ(0, vcpu->run->mmio.is_write);
	rip = vcpu_regs(vcpu).rip;
	*(u32 *)vcpu->run->mmio.data = 0xfeedface;

	/* immediate_exit completes it, and does not enter the guest. */
	vcpu->run->immediate_exit = 1;
	ASSERT_EQ(EINTR, vcpu_run_once(vcpu));
	vcpu->run->immediate_exit = 0;
	ASSERT_NE(rip, vcpu_regs(vcpu).rip);
	ASSERT_EQ(0xfeedface, vcpu_regs(vcpu).rax);
	ASSERT_EQ(0xfeedface, vcpu_run_value(vcpu));
	vcpu_run_exit(vcpu, KVM_EXIT_MMIO);
	*(u32 *)vcpu->run->mmio.data = 0x1234;
	ASSERT_EQ(0x1234, vcpu_run_value(vcpu));
}

/* Fetching code where no memory is cannot be emulated: an internal error. */
static __guest void guest_jump(void)
{
	((void (*)(void))MMIO)();
}

TEST_F(mmio, execute)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_jump, 0);

	vcpu_run_exit(vcpu, KVM_EXIT_INTERNAL_ERROR);
	ASSERT_EQ(KVM_INTERNAL_ERROR_EMULATION, vcpu->run->internal.suberror);
	ASSERT_EQ(MMIO, vcpu_regs(vcpu).rip);
	/* No bytes, and none of another instruction's; hardware's words of the exit. */
	EXPECT_EQ(0, vcpu->run->emulation_failure.flags);
	EXPECT_EQ(6, vcpu->run->emulation_failure.ndata);
	EXPECT_NE(0, vcpu->run->internal.data[1]);
}

/* An instruction that no decoder of MMIO knows; its bytes are for user space to see. */
static __guest void guest_unknown(void)
{
	GUEST_ASSERT_EQ(TRAP(6, 0), TRY("1: fbld (%1)", , "r"(MMIO)));
}

TEST_F(mmio, unknown_instruction)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, guest_unknown, 0);
	struct kvm_run *run = vcpu->run;
	u8 *insn;

	vcpu_run_exit(vcpu, KVM_EXIT_INTERNAL_ERROR);
	ASSERT_EQ(KVM_INTERNAL_ERROR_EMULATION, run->internal.suberror);
	insn = guest_ptr(self->vm, vcpu_regs(vcpu).rip);
	ASSERT_EQ(0xdf, insn[0]);
	if (run->emulation_failure.ndata >= 1 &&
	    (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
		ASSERT_GE(run->emulation_failure.insn_size, 2);
		ASSERT_EQ(0, memcmp(insn, run->emulation_failure.insn_bytes,
				    run->emulation_failure.insn_size));
	}
	EXPECT_EQ(8, run->emulation_failure.ndata);
	/* Who goes on in spite of it has a #UD for it. */
	vcpu_run_done(vcpu);
}

/* ---- other modes ---- */

asm(".pushsection .rodata\n"
    "mmio16: .code16\n"
    "	mov	$0xf000, %ax\n"		/* 0xf0000: a hole in the low megabyte, below */
    "	mov	%ax, %ds\n"
    "	movb	0x10, %bl\n"
    "	movw	%bx, 0x20\n"
    "	movl	0x20, %ecx\n"
    "	movl	%ecx, 0x30\n"
    "	mov	$0x30, %si\n"
    "	mov	$0x40, %di\n"
    "	push	%ds\n"
    "	pop	%es\n"
    "	movsw\n"
    "	mov	$1, %eax\n"
    "	mov	$0x900, %dx\n"
    "	out	%eax, %dx\n"
    "mmio16_end:\n"
    "mmio32: .code32\n"
    "	mov	$0xd0000000, %esi\n"
    "	mov	0x10(%esi), %bl\n"
    "	movzbl	%bl, %ebx\n"
    "	mov	%bx, 0x20(%esi)\n"
    "	movl	0x20(%esi), %ecx\n"
    "	movl	%ecx, 0xd0000030\n"
    "	lea	0x40(%esi), %edi\n"
    "	add	$0x30, %esi\n"
    "	movsw\n"
    "	mov	$1, %eax\n"
    "	mov	$0x900, %edx\n"
    "	out	%eax, %dx\n"
    "mmio32_end: .code64\n"
    ".popsection");
extern const char mmio16[], mmio16_end[], mmio32[], mmio32_end[];

TEST_F(mmio, protected_mode)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 0, NULL, 0);

	memcpy(guest_ptr(self->vm, GUEST_LOW), mmio32, mmio32_end - mmio32);
	vcpu_start32(vcpu, GUEST_LOW);
	EXPECT_DONE(run_device(_metadata, vcpu, &self->dev));
	ASSERT_EQ(0x80 + 0x10 * 3, *(u16 *)(self->dev.bytes + 0x30));
	ASSERT_EQ(0x80 + 0x10 * 3, *(u16 *)(self->dev.bytes + 0x40));
}

TEST(real_mode)
{
	struct vm *vm = vm_create(VM_BARE);
	struct vcpu *vcpu;
	struct kvm_run *run;
	u8 dev[0x100] = { [0x10] = 0x5a };
	struct report r;

	vm->ram = map_memory(GUEST_MEMORY);
	ASSERT_EQ(0, vm_set_slot(vm, 0, 0, 0, 0xf0000, vm->ram));
	memcpy(guest_ptr(vm, GUEST_LOW), mmio16, mmio16_end - mmio16);
	vcpu = vcpu_create(vm, 0, NULL, 0);
	run = vcpu->run;
	vcpu_start16(vcpu, GUEST_LOW);
	for (r = vcpu_run(vcpu); r.kind == REPORT_EXIT; r = vcpu_run(vcpu)) {
		ASSERT_EQ(KVM_EXIT_MMIO, r.exit);
		ASSERT_GE(run->mmio.phys_addr, 0xf0000);
		ASSERT_LE(run->mmio.phys_addr + run->mmio.len, 0xf0100);
		if (run->mmio.is_write)
			memcpy(dev + run->mmio.phys_addr - 0xf0000, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, dev + run->mmio.phys_addr - 0xf0000, run->mmio.len);
	}
	ASSERT_EQ(REPORT_DONE, r.kind);
	ASSERT_EQ(0x5a, dev[0x30]);
	ASSERT_EQ(0x5a, dev[0x40]);
}

/* Above 4 GiB and at the top of what the guest's tables can say. */
static __guest void guest_high(void)
{
	*(volatile u32 *)GVA_TEST = 0x1234;
	GUEST_ASSERT_EQ(0x77, *(volatile u8 *)(GVA_TEST + 5));
}

TEST(high_address)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_high, 0);
	u64 gpa = 0x123456000;

	vm_map_page(vm, GVA_TEST, gpa, PTE_W);
	vcpu_run_exit(vcpu, KVM_EXIT_MMIO);
	ASSERT_EQ(gpa, vcpu->run->mmio.phys_addr);
	ASSERT_EQ(1, vcpu->run->mmio.is_write);
	ASSERT_EQ(0x1234, *(u32 *)vcpu->run->mmio.data);
	vcpu_run_exit(vcpu, KVM_EXIT_MMIO);
	ASSERT_EQ(gpa + 5, vcpu->run->mmio.phys_addr);
	ASSERT_EQ(1, vcpu->run->mmio.len);
	vcpu->run->mmio.data[0] = 0x77;
	vcpu_run_done(vcpu);
}

/* MMIO becomes memory when a slot appears there, and again MMIO when it goes. */
static __guest void guest_comes_and_goes(void)
{
	volatile u32 *reg = (u32 *)MMIO;

	GUEST_ASSERT_EQ(0x11, *reg);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(0x22, *reg);
	*reg = 0x33;
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(0x44, *reg);
}

TEST(slot_comes_and_goes)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_comes_and_goes, 0);
	u32 *mem = map_memory(PAGE_SIZE);

	mem[0] = 0x22;
	vcpu_run_exit(vcpu, KVM_EXIT_MMIO);
	*(u32 *)vcpu->run->mmio.data = 0x11;
	vcpu_run_sync(vcpu, 1);
	ASSERT_EQ(0, vm_set_slot(vm, 1, 0, MMIO, PAGE_SIZE, mem));
	vcpu_run_sync(vcpu, 2);
	ASSERT_EQ(0x33, mem[0]);
	ASSERT_EQ(0, vm_set_slot(vm, 1, 0, MMIO, 0, mem));
	vcpu_run_exit(vcpu, KVM_EXIT_MMIO);
	*(u32 *)vcpu->run->mmio.data = 0x44;
	vcpu_run_done(vcpu);
}

TEST_HARNESS_MAIN
