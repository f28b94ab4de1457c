// SPDX-License-Identifier: GPL-2.0
/*
 * Port I/O that user space answers: IN and OUT of every size, immediate and DX
 * forms, string I/O both ways, with REP, backwards, across a page boundary; and
 * what user space may write over kvm_run before it goes on.
 */
#include "lib/test.h"

#define PORT 0x1f0

static void expect_io(struct __test_metadata *_metadata, struct vcpu *vcpu, int direction,
		      u16 port, int size)
{
	vcpu_run_exit(vcpu, KVM_EXIT_IO);
	ASSERT_EQ(direction, vcpu->run->io.direction);
	ASSERT_EQ(port, vcpu->run->io.port);
	ASSERT_EQ(size, vcpu->run->io.size);
}

static void *io_data(struct vcpu *vcpu)
{
	return (char *)vcpu->run + vcpu->run->io.data_offset;
}

static __guest void guest_out(void)
{
	outb(0x11, PORT);
	outw(0x2222, PORT + 1);
	outl(0x33333333, PORT + 2);
	asm volatile("outb %%al, $0x70" : : "a"(0x44));
	asm volatile("outw %%ax, $0xff" : : "a"(0x5555));
	asm volatile("outl %%eax, $0x71" : : "a"(0x66666666));
}

TEST(out_all_sizes)
{
	static const struct { u16 port; int size; u32 data; } expected[] = {
		{ PORT, 1, 0x11 }, { PORT + 1, 2, 0x2222 }, { PORT + 2, 4, 0x33333333 },
		{ 0x70, 1, 0x44 }, { 0xff, 2, 0x5555 }, { 0x71, 4, 0x66666666 },
	};
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_out, 0);
	u32 data;
	int i;

	for (i = 0; i < ARRAY_SIZE(expected); i++) {
		expect_io(_metadata, vcpu, KVM_EXIT_IO_OUT, expected[i].port, expected[i].size);
		ASSERT_EQ(1, vcpu->run->io.count);
		data = 0;
		memcpy(&data, io_data(vcpu), expected[i].size);
		ASSERT_EQ(expected[i].data, data);
	}
	vcpu_run_done(vcpu);
}

/* IN replaces as much of RAX as its size says; only the 32-bit form clears the top. */
static __guest void guest_in(void)
{
	u64 rax = 0x1122334455667788;

	asm volatile("inb %%dx, %%al" : "+a"(rax) : "d"(PORT));
	GUEST_ASSERT_EQ(0x11223344556677a1, rax);
	asm volatile("inw %%dx, %%ax" : "+a"(rax) : "d"(PORT));
	GUEST_ASSERT_EQ(0x112233445566b2b2, rax);
	asm volatile("inl %%dx, %%eax" : "+a"(rax) : "d"(PORT));
	GUEST_ASSERT_EQ(0xc3c3c3c3, rax);
	asm volatile("inb $0x60, %%al" : "+a"(rax));
	GUEST_ASSERT_EQ(0xc3c3c3d4, rax);
}

TEST(in_all_sizes)
{
	static const struct { u16 port; int size; u32 data; } answers[] = {
		{ PORT, 1, 0xa1 }, { PORT, 2, 0xb2b2 }, { PORT, 4, 0xc3c3c3c3 }, { 0x60, 1, 0xd4 },
	};
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_in, 0);
	int i;

	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		expect_io(_metadata, vcpu, KVM_EXIT_IO_IN, answers[i].port, answers[i].size);
		ASSERT_EQ(1, vcpu->run->io.count);
		memcpy(io_data(vcpu), &answers[i].data, answers[i].size);
	}
	vcpu_run_done(vcpu);
}

/* A string instruction may be split into exits as the kernel likes: sum them up. */
static void run_string(struct __test_metadata *_metadata, struct vcpu *vcpu, int direction,
		       u8 *data, int size, int total)
{
	int done = 0, chunk;

	while (done < total) {
		expect_io(_metadata, vcpu, direction, PORT, size);
		chunk = vcpu->run->io.count * size;
		ASSERT_GT(chunk, 0);
		ASSERT_LE(done + chunk, total);
		if (direction == KVM_EXIT_IO_OUT)
			memcpy(data + done, io_data(vcpu), chunk);
		else
			memcpy(io_data(vcpu), data + done, chunk);
		done += chunk;
	}
}

#define STRING_BYTES 6000	/* more than a page, and not a multiple of one */

static u8 buffer[STRING_BYTES + 64];

#define STRING_IO(insn, count, src, dst) ({					\
	u64 __n = (count), __s = (u64)(src), __d = (u64)(dst);			\
	asm volatile(insn : "+c"(__n), "+S"(__s), "+D"(__d) : "d"(PORT) : "memory", "cc"); \
	GUEST_ASSERT_EQ(0, __n);						\
	__s - (u64)(src) + __d - (u64)(dst); })

static __guest void guest_rep_outs(void)
{
	int i;

	for (i = 0; i < STRING_BYTES; i++)
		buffer[i] = i * 7 + (i >> 8);
	GUEST_ASSERT_EQ(STRING_BYTES, STRING_IO("rep outsb", STRING_BYTES, buffer, 0));
	GUEST_ASSERT_EQ(STRING_BYTES, STRING_IO("rep outsw", STRING_BYTES / 2, buffer, 0));
	GUEST_ASSERT_EQ(STRING_BYTES, STRING_IO("rep outsl", STRING_BYTES / 4, buffer, 0));
}

TEST(rep_outs)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_rep_outs, 0);
	u8 seen[STRING_BYTES];
	int size, i;

	for (size = 1; size <= 4; size *= 2) {
		memset(seen, 0, sizeof(seen));
		run_string(_metadata, vcpu, KVM_EXIT_IO_OUT, seen, size, STRING_BYTES);
		for (i = 0; i < STRING_BYTES; i++) {
			ASSERT_EQ((u8)(i * 7 + (i >> 8)), seen[i]);
		}
	}
	vcpu_run_done(vcpu);
}

static __guest void guest_rep_ins(void)
{
	int i;

	GUEST_ASSERT_EQ(STRING_BYTES, STRING_IO("rep insb", STRING_BYTES, 0, buffer));
	for (i = 0; i < STRING_BYTES; i++)
		GUEST_ASSERT_EQ((u8)(i * 5 + (i >> 8) + 1), buffer[i]);
	GUEST_ASSERT_EQ(STRING_BYTES, STRING_IO("rep insw", STRING_BYTES / 2, 0, buffer));
	for (i = 0; i < STRING_BYTES; i++)
		GUEST_ASSERT_EQ((u8)(i * 5 + (i >> 8) + 2), buffer[i]);
	GUEST_ASSERT_EQ(STRING_BYTES, STRING_IO("rep insl", STRING_BYTES / 4, 0, buffer));
	for (i = 0; i < STRING_BYTES; i++)
		GUEST_ASSERT_EQ((u8)(i * 5 + (i >> 8) + 4), buffer[i]);
	for (; i < sizeof(buffer); i++)
		GUEST_ASSERT_EQ(0, buffer[i]);
}

TEST(rep_ins)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_rep_ins, 0);
	u8 data[STRING_BYTES];
	int size, i;

	for (size = 1; size <= 4; size *= 2) {
		for (i = 0; i < STRING_BYTES; i++)
			data[i] = i * 5 + (i >> 8) + size;
		run_string(_metadata, vcpu, KVM_EXIT_IO_IN, data, size, STRING_BYTES);
	}
	vcpu_run_done(vcpu);
}

/* One element without REP, backwards with DF, none at all with RCX 0. */
static __guest void guest_string_corners(void)
{
	u64 di, n;

	di = (u64)buffer;
	asm volatile("insw" : "+D"(di) : "d"(PORT) : "memory");
	GUEST_ASSERT_EQ((u64)buffer + 2, di);
	GUEST_ASSERT_EQ(0xbeef, *(u16 *)buffer);

	di = (u64)buffer + 8;
	n = 3;
	asm volatile("std; rep insb; cld" : "+D"(di), "+c"(n) : "d"(PORT) : "memory");
	GUEST_ASSERT_EQ(0, n);
	GUEST_ASSERT_EQ((u64)buffer + 5, di);
	GUEST_ASSERT_EQ(1, buffer[8]);
	GUEST_ASSERT_EQ(2, buffer[7]);
	GUEST_ASSERT_EQ(3, buffer[6]);

	n = 0;
	asm volatile("rep insb" : "+D"(di), "+c"(n) : "d"(PORT) : "memory");
	GUEST_ASSERT_EQ(0, n);
	GUEST_ASSERT_EQ((u64)buffer + 5, di);
}

TEST(string_corners)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_string_corners, 0);
	u8 bytes[] = { 1, 2, 3 };

	expect_io(_metadata, vcpu, KVM_EXIT_IO_IN, PORT, 2);
	ASSERT_EQ(1, vcpu->run->io.count);
	*(u16 *)io_data(vcpu) = 0xbeef;
	run_string(_metadata, vcpu, KVM_EXIT_IO_IN, bytes, 1, 3);
	vcpu_run_done(vcpu);
}

/*
 * INS into a page that the guest has not mapped: the fault must come with the
 * elements before it done and RCX, RDI saying so.
 */
static __guest void guest_ins_fault(void)
{
	u64 di = GVA_TEST + 0xffc, n = 8, trap;

	trap = TRY("rep insb", AND "+D"(di) AND "+c"(n), "d"(PORT) : "memory");
	GUEST_ASSERT_EQ(TRAP(14, 2), trap);
	GUEST_ASSERT_EQ(GVA_TEST + 0x1000, read_cr2());
	GUEST_ASSERT_EQ(4, n);
	GUEST_ASSERT_EQ(GVA_TEST + 0x1000, di);
	GUEST_ASSERT_EQ(0x04030201, *(u32 *)(GVA_TEST + 0xffc));
}

TEST(ins_faults_midway)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_ins_fault, 0);
	struct report r;
	int done = 0;
	u32 i;

	vm_map_page(vm, GVA_TEST, GUEST_FREE, PTE_W);
	for (;;) {
		r = vcpu_run(vcpu);
		if (r.kind == REPORT_DONE)
			break;
		ASSERT_EQ(REPORT_EXIT, r.kind);
		ASSERT_EQ(KVM_EXIT_IO, r.exit);
		/* A kernel may read ahead; what was not stored is lost with the fault. */
		for (i = 0; i < vcpu->run->io.count; i++)
			((u8 *)io_data(vcpu))[i] = ++done;
	}
	ASSERT_GE(done, 4);
}

/* Changing a register while the exit of an OUT is pending changes no port access. */
static __guest void guest_two_outs(void)
{
	u64 rbx = 1;

	asm volatile("outb %%al, %%dx; mov %%rbx, %%rax; outb %%al, %%dx"
		     : "+b"(rbx) : "a"(7), "d"(PORT));
}

TEST(registers_at_exit)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_two_outs, 0);
	struct kvm_regs regs;

	expect_io(_metadata, vcpu, KVM_EXIT_IO_OUT, PORT, 1);
	ASSERT_EQ(7, *(u8 *)io_data(vcpu));
	regs = vcpu_regs(vcpu);
	ASSERT_EQ(1, regs.rbx);
	ASSERT_EQ(PORT, regs.rdx);
	regs.rbx = 9;
	do_ioctl(vcpu->fd, KVM_SET_REGS, &regs);
	expect_io(_metadata, vcpu, KVM_EXIT_IO_OUT, PORT, 1);
	ASSERT_EQ(9, *(u8 *)io_data(vcpu));
	vcpu_run_done(vcpu);
}

/* In real mode, from a segment with a base, and with 16-bit addressing. */
asm(".pushsection .rodata\n"
    "real_start: .code16\n"
    "	mov	$0x300, %ax\n"
    "	mov	%ax, %ds\n"
    "	mov	$0x400, %ax\n"
    "	mov	%ax, %es\n"
    "	mov	$0x1f0, %dx\n"
    "	xor	%si, %si\n"
    "	mov	$3, %cx\n"
    "	rep outsb\n"
    "	mov	$4, %cx\n"
    "	xor	%di, %di\n"
    "	rep insb\n"
    "	es mov	%di, 4\n"
    "	mov	$1, %eax\n"
    "	mov	$0x900, %dx\n"
    "	out	%eax, %dx\n"
    "real_end: .code64\n"
    ".popsection");
extern const char real_start[], real_end[];

TEST(real_mode)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	u8 bytes[4] = { 9, 8, 7, 6 }, seen[3];

	memcpy(guest_ptr(vm, GUEST_LOW), real_start, real_end - real_start);
	memcpy(guest_ptr(vm, 0x3000), "abc", 3);
	vcpu_start16(vcpu, GUEST_LOW);
	run_string(_metadata, vcpu, KVM_EXIT_IO_OUT, seen, 1, 3);
	ASSERT_EQ(0, memcmp(seen, "abc", 3));
	run_string(_metadata, vcpu, KVM_EXIT_IO_IN, bytes, 1, 4);
	vcpu_run_done(vcpu);
	ASSERT_EQ(0, memcmp(guest_ptr(vm, 0x4000), bytes, 4));
	ASSERT_EQ(4, *(u16 *)guest_ptr(vm, 0x4004));
}

/* All of the exit is told anew; of the answer, only the data count. */
static void lie(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_MMIO;
	memset(run->padding, 0xff, sizeof(run->padding));
}

TEST(lies_about_in)
{
	struct vcpu *vcpu = vcpu_create(vm_create(0), 0, guest_in, 0);
	static const u32 answers[] = { 0xa1, 0xb2b2, 0xc3c3c3c3, 0xd4 };

	for (int i = 0; i < ARRAY_SIZE(answers); i++) {
		vcpu_run_exit(vcpu, KVM_EXIT_IO);
		memcpy(io_data(vcpu), &answers[i], 4);
		lie(vcpu);
	}
	vcpu_run_done(vcpu);
}

TEST(lies_about_ins)
{
	struct vcpu *vcpu = vcpu_create(vm_create(0), 0, guest_rep_ins, 0);
	u8 data[STRING_BYTES];

	for (int size = 1; size <= 4; size *= 2) {
		for (int i = 0; i < STRING_BYTES; i++)
			data[i] = i * 5 + (i >> 8) + size;
		for (int done = 0, chunk; done < STRING_BYTES; done += chunk) {
			expect_io(_metadata, vcpu, KVM_EXIT_IO_IN, PORT, size);
			chunk = vcpu->run->io.count * size;
			memcpy(io_data(vcpu), data + done, chunk);
			lie(vcpu);
		}
	}
	vcpu_run_done(vcpu);
}

TEST_HARNESS_MAIN
