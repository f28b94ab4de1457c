// SPDX-License-Identifier: GPL-2.0
/*
 * What random comparison can't show: that an instruction which suspends has changed nothing and
 * comes out the same as one that did not, that faults at any byte leave no trace, the rules of
 * segmentation, ports and locks, what is reported to the core. One function a rule.
 */
#include "unit.h"
#include "world.h"

#define BASE 0x10000ULL

static struct world w;
static const char *failed;

#define CHECK(cond)								\
	do {									\
		if (!(cond) && !failed) {					\
			failed = #cond;						\
			printf("# %s:%d: %s\n", __func__, __LINE__, #cond);	\
		}								\
	} while (0)

#define CODE(str) world_code(&w, BASE, str, sizeof(str) - 1)

static bool faulted(int rc, u8 vector, bool has_code, u32 code)
{
	return rc == EMUL_FAULT && w.e.fault.vector == vector &&
	       w.e.fault.has_error_code == has_code && (!has_code || w.e.fault.error_code == code);
}

static void long_mode(void)
{
	world_init(&w, EMUL_LONG64, BASE);
}

/* A read of a device suspends, changes nothing, and is served from the log. */
static void mmio_read(void)
{
	long_mode();
	w.page[2] = WORLD_DEVICE;
	w.gpr[EMUL_RBX] = BASE + 0x2010;
	w.gpr[EMUL_RAX] = ~0ULL;
	CODE("\x8b\x03");			/* mov (%rbx), %eax */
	CHECK(emul_decode(&w.e) == EMUL_OK);
	CHECK(emul_execute(&w.e) == EMUL_SUSPEND);
	CHECK(w.gpr[EMUL_RAX] == ~0ULL && w.e.rip == BASE);
	CHECK(emul_replay_pending(&w.replay)->addr == 0x2010);
	CHECK(world_run(&w, 1) == EMUL_OK);
	CHECK(w.gpr[EMUL_RAX] == 0x04030201 && w.e.rip == BASE + 2);
	CHECK(w.exit_count == 1 && w.exits[0].len == 4 && w.exits[0].addr == 0x2010);
}

/* 16 bytes from a device over a page boundary to another: pieces of 8 at most, each once. */
static void mmio_pieces(void)
{
	unsigned int i;

	long_mode();
	w.page[2] = w.page[3] = WORLD_DEVICE;
	w.gpr[EMUL_RBX] = BASE + 0x2ffd;
	CODE("\x0f\x10\x0b");			/* movups (%rbx), %xmm1 */
	CHECK(world_run(&w, 1) == EMUL_OK);
	CHECK(w.exit_count == 3);
	CHECK(w.exits[0].addr == 0x2ffd && w.exits[0].len == 3);
	CHECK(w.exits[1].addr == 0x3000 && w.exits[1].len == 8);
	CHECK(w.exits[2].addr == 0x3008 && w.exits[2].len == 5);
	for (i = 0; i < 16; i++)
		CHECK(w.vec[1][i] == i + 1);
}

/* The same access to memory and to a device gives the same; here a read, a change and a write. */
static void mmio_read_modify_write(void)
{
	long_mode();
	w.page[2] = WORLD_DEVICE;
	w.gpr[EMUL_RBX] = BASE + 0x2008;
	w.gpr[EMUL_RCX] = 0x1000;
	CODE("\xf0\x48\x01\x0b");		/* lock add %rcx, (%rbx) */
	CHECK(world_run(&w, 1) == EMUL_OK);
	CHECK(w.exit_count == 2);
	CHECK(w.exits[0].kind == EMUL_PIECE_MMIO_READ);
	CHECK(w.exits[1].kind == EMUL_PIECE_MMIO_WRITE);
	CHECK(w.exits[1].data == 0x0807060504031201);
	/* Half of it is memory: that is changed last, and once. */
	w.gpr[EMUL_RBX] = BASE + 0x1ffe;
	w.mem[0x1ffe] = 0x70;
	CODE("\x83\x03\x11");			/* addl $0x11, (%rbx) */
	CHECK(world_run(&w, 1) == EMUL_OK && w.exit_count == 4 && w.mem[0x1ffe] == 0x81);
}

static void mmio_movs(void)
{
	long_mode();
	w.page[2] = w.page[3] = WORLD_DEVICE;
	w.gpr[EMUL_RSI] = BASE + 0x2000;
	w.gpr[EMUL_RDI] = BASE + 0x3000;
	w.gpr[EMUL_RCX] = 3;
	CODE("\xf3\x66\xa5");			/* rep movsw */
	CHECK(world_run(&w, 2) == EMUL_AGAIN);
	CHECK(w.gpr[EMUL_RCX] == 1 && w.e.rip == BASE);
	CHECK(world_run(&w, 2) == EMUL_OK);
	CHECK(w.gpr[EMUL_RCX] == 0 && w.e.rip == BASE + 3);
	CHECK(w.exit_count == 6);
	CHECK(w.exits[4].addr == 0x2004 && w.exits[5].addr == 0x3004);
	CHECK(w.exits[5].data == 0x0605);
}

/* The answer of an access that is not asked for any more is dropped. */
static void replay_is_cut(void)
{
	long_mode();
	w.page[2] = WORLD_DEVICE;
	w.gpr[EMUL_RBX] = BASE + 0x2010;
	CODE("\x8b\x03");
	CHECK(emul_decode(&w.e) == EMUL_OK && emul_execute(&w.e) == EMUL_SUSPEND);
	emul_replay_pending(&w.replay)->data[0] = 0x77;
	emul_replay_answered(&w.replay);
	w.gpr[EMUL_RBX] += 8;
	emul_replay_restart(&w.replay);
	CHECK(emul_execute(&w.e) == EMUL_SUSPEND);
	CHECK(emul_replay_pending(&w.replay)->addr == 0x2018);
	w.gpr[EMUL_RBX] -= 8;
	emul_replay_restart(&w.replay);
	CHECK(emul_execute(&w.e) == EMUL_SUSPEND);
}

static void replay_is_bounded(void)
{
	u8 buf[EMUL_DATA_MAX];
	int rc = EMUL_OK, i;

	long_mode();
	for (i = 0; i < 2 * EMUL_REPLAY_MAX && rc == EMUL_OK; i++) {
		rc = emul_replay_mmio(&w.replay, 0x1000 + i, buf, 1, false);
		if (rc == EMUL_SUSPEND) {
			emul_replay_answered(&w.replay);
			rc = emul_replay_mmio(&w.replay, 0x1000 + i, buf, 1, false);
		}
	}
	CHECK(i == EMUL_REPLAY_MAX + 1 && rc == EMUL_UNHANDLED);
}

/* A device in the kernel answers at once, and the access is repeated without a restart. */
static void replay_without_restart(void)
{
	u8 buf[16] = {};
	unsigned int i;

	long_mode();
	for (i = 0; i < 2; i++) {
		CHECK(emul_replay_mmio(&w.replay, 0x1000, buf, 16, false) == EMUL_SUSPEND);
		CHECK(emul_replay_pending(&w.replay)->addr == 0x1000 + i * 8);
		emul_replay_pending(&w.replay)->data[0] = 0x10 + i;
		emul_replay_answered(&w.replay);
	}
	CHECK(emul_replay_mmio(&w.replay, 0x1000, buf, 16, false) == EMUL_OK);
	CHECK(buf[0] == 0x10 && buf[8] == 0x11 && !emul_replay_pending(&w.replay));
}

/* A store over a page boundary is all or nothing, whichever page faults. */
static void write_faults_at_any_byte(void)
{
	static u8 before[WORLD_SIZE];
	unsigned int i;

	for (i = 1; i < 8; i++) {
		long_mode();
		w.page[3] = WORLD_READ_ONLY;
		w.gpr[EMUL_RBX] = BASE + 0x3000 - i;
		w.gpr[EMUL_RAX] = 0x1122334455667788;
		CODE("\x48\x89\x03");		/* mov %rax, (%rbx) */
		memcpy(before, w.mem, sizeof(before));
		CHECK(faulted(world_run(&w, 1), PF_VECTOR, true, 3));
		CHECK(w.e.fault.cr2 == BASE + 0x3000);
		CHECK(!memcmp(before, w.mem, sizeof(before)) && w.e.rip == BASE);
	}
}

/* Code that goes on in a page that is not there faults only if it is needed, at its first byte. */
static void fetch_faults_at_any_byte(void)
{
	static const u8 code[] = { 0x48, 0x81, 0x80, 1, 0, 0, 0, 5, 0, 0, 0 };
	unsigned int i;

	for (i = 1; i <= sizeof(code); i++) {
		long_mode();
		w.page[3] = WORLD_ABSENT;
		w.gpr[EMUL_RAX] = BASE + 0x1000;
		world_code(&w, BASE + 0x3000 - i, code, i);
		if (i == sizeof(code)) {
			CHECK(world_run(&w, 1) == EMUL_OK && w.mem[0x1001] == 5);
			CHECK(w.max_fetched == 0x3000);
		} else {
			CHECK(faulted(world_run(&w, 1), PF_VECTOR, true, 0x10));
			CHECK(w.e.fault.cr2 == BASE + 0x3000);
		}
	}
}

static void too_long(void)
{
	u8 code[16];

	memset(code, 0x66, sizeof(code));
	long_mode();
	code[14] = 0x90;
	world_code(&w, BASE, code, 16);
	CHECK(world_run(&w, 1) == EMUL_OK && w.e.rip == BASE + 15);
	long_mode();
	code[14] = 0x66;
	code[15] = 0x90;
	world_code(&w, BASE, code, 16);
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
	/* Not even a page that is not there makes it anything else. */
	long_mode();
	w.page[1] = WORLD_ABSENT;
	world_code(&w, BASE + 0x1000 - 15, code, 15);
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
}

static void undefined(void)
{
	long_mode();
	CODE("\x0f\x0b");			/* ud2 */
	CHECK(faulted(world_run(&w, 1), UD_VECTOR, false, 0));
	CODE("\xf0\x8b\x03");			/* lock mov */
	CHECK(faulted(world_run(&w, 1), UD_VECTOR, false, 0));
	CODE("\xf0\x01\xc3");			/* lock add to a register */
	CHECK(faulted(world_run(&w, 1), UD_VECTOR, false, 0));
	CODE("\xf0\x39\x03");			/* lock cmp */
	CHECK(faulted(world_run(&w, 1), UD_VECTOR, false, 0));
	CODE("\xf0\x0f\xa3\x03");		/* lock bt */
	CHECK(faulted(world_run(&w, 1), UD_VECTOR, false, 0));
}

/* What the table does not know is not guessed at, and what it only decodes is not executed. */
static void unhandled(void)
{
	u64 gpr[16];

	long_mode();
	CODE("\xd9\x03");			/* flds (%rbx) */
	memcpy(gpr, w.gpr, sizeof(gpr));
	CHECK(world_run(&w, 1) == EMUL_UNHANDLED);
	CODE("\x0f\xa2");			/* cpuid */
	CHECK(world_run(&w, 1) == EMUL_UNHANDLED && w.e.insn.id == EMUL_OP_CPUID);
	CHECK(w.e.insn.len == 2);
	CHECK(!memcmp(gpr, w.gpr, sizeof(gpr)) && w.e.rip == BASE);
}

/* An interrupt may come between two iterations; single-step traps come there, too. */
static void single_step(void)
{
	long_mode();
	w.e.rflags |= X86_EFLAGS_TF | X86_EFLAGS_RF;
	w.gpr[EMUL_RDI] = BASE + 0x1000;
	w.gpr[EMUL_RCX] = 2;
	CODE("\xf3\xaa");			/* rep stosb */
	CHECK(emul_decode(&w.e) == EMUL_OK);
	CHECK(emul_execute(&w.e) == EMUL_AGAIN && w.e.single_step);
	CHECK(w.e.rflags & X86_EFLAGS_RF);
	CHECK(emul_execute(&w.e) == EMUL_OK && w.e.single_step);
	CHECK(!(w.e.rflags & X86_EFLAGS_RF));
	w.e.rflags &= ~(u64)X86_EFLAGS_TF;
	w.gpr[EMUL_RCX] = 1;
	w.e.rip = BASE;
	CHECK(world_run(&w, 1) == EMUL_OK && !w.e.single_step);
}

static void locked_race(void)
{
	long_mode();
	w.gpr[EMUL_RBX] = BASE + 0x1000;
	w.cmpxchg_fails = 3;
	w.e.rflags |= X86_EFLAGS_TF;
	CODE("\xf0\xff\x03");			/* lock incl (%rbx) */
	CHECK(emul_decode(&w.e) == EMUL_OK && emul_execute(&w.e) == EMUL_AGAIN);
	CHECK(w.e.rip == BASE && !w.e.single_step);
	CHECK(world_run(&w, 10) == EMUL_OK && w.mem[0x1000] == 1);
	/* XCHG is locked without the prefix. */
	w.cmpxchg_fails = 1;
	CODE("\x87\x03");
	CHECK(world_run(&w, 10) == EMUL_OK && w.cmpxchg_fails == 0);
}

/* The stack pointer moves only when the push has succeeded, and POP (%rsp) uses the new one. */
static void push_and_pop(void)
{
	u64 val = 0xabcdef;

	long_mode();
	w.page[1] = WORLD_READ_ONLY;
	w.gpr[EMUL_RSP] = BASE + 0x2004;
	w.gpr[EMUL_RBX] = BASE + 0x3000;
	CODE("\xff\x33");			/* push (%rbx) */
	CHECK(faulted(world_run(&w, 1), PF_VECTOR, true, 3));
	CHECK(w.gpr[EMUL_RSP] == BASE + 0x2004);
	memcpy(w.mem + 0x3000, &val, 8);
	w.gpr[EMUL_RSP] = BASE + 0x2008;
	CHECK(world_run(&w, 1) == EMUL_OK && w.gpr[EMUL_RSP] == BASE + 0x2000);
	CHECK(!memcmp(w.mem + 0x2000, &val, 8));
	CODE("\x8f\x04\x24");			/* pop (%rsp) */
	CHECK(world_run(&w, 1) == EMUL_OK && !memcmp(w.mem + 0x2008, &val, 8));
	CODE("\x5c");				/* pop %rsp */
	CHECK(world_run(&w, 1) == EMUL_OK && w.gpr[EMUL_RSP] == val);
}

static void branches(void)
{
	u64 target = BASE + 0x123, back;

	long_mode();
	w.gpr[EMUL_RSP] = BASE + 0x2000;
	w.gpr[EMUL_RBX] = BASE + 0x3000;
	memcpy(w.mem + 0x3000, &target, 8);
	CODE("\xff\x13");			/* call *(%rbx) */
	CHECK(world_run(&w, 1) == EMUL_OK && w.e.rip == target);
	memcpy(&back, w.mem + 0x1ff8, 8);
	CHECK(w.gpr[EMUL_RSP] == BASE + 0x1ff8 && back == BASE + 2);
	world_code(&w, target, "\xc2\x10\x00", 3);	/* ret $16 */
	CHECK(world_run(&w, 1) == EMUL_OK && w.e.rip == back);
	CHECK(w.gpr[EMUL_RSP] == BASE + 0x2010);
	CODE("\xff\x23");			/* jmp *(%rbx) */
	CHECK(world_run(&w, 1) == EMUL_OK && w.e.rip == target);
	CODE("\xe8\xfb\xff\xff\xff");		/* call to itself */
	CHECK(world_run(&w, 1) == EMUL_OK && w.e.rip == BASE);
	/* Not canonical: #GP, and nothing is pushed. */
	target = 1ULL << 47;
	memcpy(w.mem + 0x3000, &target, 8);
	back = w.gpr[EMUL_RSP];
	CODE("\xff\x13");
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0) && w.gpr[EMUL_RSP] == back);
	world_init(&w, EMUL_PROT32, BASE);
	w.seg[EMUL_SEG_CS].limit = 0x1ffff;
	w.gpr[EMUL_RBX] = 0x20000;
	CODE("\xff\xe3");			/* jmp *%ebx */
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
	w.gpr[EMUL_RBX] = 0x1ffff;
	CHECK(world_run(&w, 1) == EMUL_OK && w.e.rip == 0x1ffff);
}

/* Non-canonical: #SS if the stack segment is the default, #GP otherwise. */
static void canonical(void)
{
	long_mode();
	w.gpr[EMUL_RBX] = w.gpr[EMUL_RBP] = 0x7fffffffffff - 2;
	CODE("\x8b\x03");			/* mov (%rbx), %eax: the last byte is too far */
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
	CODE("\x8b\x45\x00");			/* mov (%rbp), %eax */
	CHECK(faulted(world_run(&w, 1), SS_VECTOR, true, 0));
	CODE("\x65\x8b\x45\x00");		/* mov %gs:(%rbp), %eax */
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
	w.cr4 |= X86_CR4_LA57;
	CODE("\x8b\x03");
	CHECK(faulted(world_run(&w, 1), PF_VECTOR, true, 0));
}

static void segment_limits(void)
{
	world_init(&w, EMUL_PROT32, BASE);
	w.seg[EMUL_SEG_DS].base = BASE;
	w.seg[EMUL_SEG_DS].limit = 0xfff;
	w.gpr[EMUL_RBX] = 0xffc;
	CODE("\x8b\x03");			/* mov (%ebx), %eax */
	CHECK(world_run(&w, 1) == EMUL_OK);
	w.gpr[EMUL_RBX]++;
	w.e.rip = BASE;
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
	/* expand-down: above the limit only */
	w.seg[EMUL_SEG_DS].type = 7;
	w.e.rip = BASE;
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
	w.gpr[EMUL_RBX] = 0xfff;
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
	w.gpr[EMUL_RBX] = 0x1000;
	CHECK(world_run(&w, 1) == EMUL_OK);
	/* read only, execute only, absent, null */
	w.seg[EMUL_SEG_DS] = w.seg[EMUL_SEG_ES];
	w.seg[EMUL_SEG_DS].type = 1;
	w.gpr[EMUL_RBX] = BASE + 0x1000;
	CODE("\x89\x03");			/* mov %eax, (%ebx) */
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
	CODE("\x2e\x8b\x03");			/* mov %cs:(%ebx), %eax */
	CHECK(world_run(&w, 1) == EMUL_OK);
	w.seg[EMUL_SEG_CS].type = 9;
	CODE("\x2e\x8b\x03");
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
	w.seg[EMUL_SEG_SS].unusable = 1;
	CODE("\x8b\x45\x00");			/* mov (%ebp), %eax */
	CHECK(faulted(world_run(&w, 1), SS_VECTOR, true, 0));
}

/* In real mode there are limits and no types, and no exception has an error code. */
static void real_mode(void)
{
	world_init(&w, EMUL_REAL, BASE);
	w.seg[EMUL_SEG_CS].base = BASE;
	w.seg[EMUL_SEG_DS].base = BASE;
	w.seg[EMUL_SEG_DS].type = 1;
	w.gpr[EMUL_RBX] = 0xaaaa1000;
	w.gpr[EMUL_RAX] = 0x1234;
	world_code(&w, BASE, "\x89\x07", 2);	/* mov %ax, (%bx) */
	w.e.rip = 0;
	CHECK(world_run(&w, 1) == EMUL_OK && w.mem[0x1000] == 0x34 && w.mem[0x1001] == 0x12);
	w.gpr[EMUL_RBX] = 0xffff;
	w.e.rip = 0;
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, false, 0));
	/* 16-bit addresses wrap before they are an offset. */
	world_code(&w, BASE, "\x89\x47\x01", 3);	/* mov %ax, 1(%bx) */
	w.e.rip = 0;
	CHECK(world_run(&w, 1) == EMUL_OK && w.mem[0] == 0x34);
	/* An instruction can't go on behind the limit of its segment. */
	w.code = (const u8 *)"\x66\xb8\x01\x02\x03\x04";
	w.code_base = BASE + 0xfffd;
	w.code_len = 6;
	w.e.rip = 0xfffd;
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, false, 0));
	w.e.rip = 0xfffd;
	w.code = (const u8 *)"\xb8\x01\x02\x03\x04\x05";
	CHECK(world_run(&w, 1) == EMUL_OK && w.e.rip == 0x10000);
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, false, 0));
}

static void address_wraps(void)
{
	world_init(&w, EMUL_PROT32, 0xffffc000);
	w.page[4] = WORLD_ABSENT;
	w.seg[EMUL_SEG_DS].base = 0xffff8000;
	w.gpr[EMUL_RBX] = 0x5ffe;		/* linear 0xffffdffe */
	world_code(&w, 0xffffd000, "\x8b\x03", 2);
	CHECK(world_run(&w, 1) == EMUL_OK);
	/* The linear address wraps at 4 GiB: the second half is read at 0. */
	w.gpr[EMUL_RBX] = 0x7ffe;
	w.e.rip = 0xffffd000;
	CHECK(faulted(world_run(&w, 1), PF_VECTOR, true, 0) && w.e.fault.cr2 == 0);
	/* So does the instruction pointer. */
	world_code(&w, 0xffffffff, "\x90", 1);
	CHECK(world_run(&w, 1) == EMUL_OK && w.e.rip == 0);
}

static void ports(void)
{
	long_mode();
	w.gpr[EMUL_RDX] = 0x3f8;
	CODE("\xec");				/* in %dx, %al */
	w.gpr[EMUL_RAX] = 0x1100;
	CHECK(world_run(&w, 1) == EMUL_OK && w.gpr[EMUL_RAX] == 0x1101);
	CHECK(w.exits[0].kind == EMUL_PIECE_PIO_IN && w.exits[0].addr == 0x3f8);
	CODE("\xe7\x80");			/* out %eax, $0x80 */
	CHECK(world_run(&w, 1) == EMUL_OK && w.exits[1].addr == 0x80 && w.exits[1].len == 4);
	CHECK(w.exits[1].data == 0x1101);
	/* User mode asks the bitmap, two bytes of it. */
	w.cpl = 3;
	w.e.rip = BASE;
	CHECK(world_run(&w, 1) == EMUL_FAULT && w.e.fault.cr2 == 102);
	w.seg[EMUL_SEG_TR].base = BASE + 0x1000;
	w.seg[EMUL_SEG_TR].limit = 0x100;
	w.mem[0x1000 + 102] = 0x80;
	memset(w.mem + 0x1080, 0xff, 0x80);
	CODE("\xe7\x80");
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
	w.mem[0x1080 + 0x10] = 0xf0;
	CHECK(world_run(&w, 1) == EMUL_OK);
	CODE("\xe7\x81");
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
	w.seg[EMUL_SEG_TR].limit = 0x90;
	CODE("\xe7\x80");
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
	w.e.rflags |= X86_EFLAGS_IOPL;
	CHECK(world_run(&w, 1) == EMUL_OK);
	/* In virtual-8086 mode IOPL does not help. */
	w.e.mode = EMUL_VM86;
	w.seg[EMUL_SEG_CS].base = BASE;
	w.e.rip = 0;
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
}

/* String input: as much as the page takes at once; nothing is read that can't be stored. */
static void string_input(void)
{
	unsigned int i;

	long_mode();
	w.page[3] = WORLD_ABSENT;
	w.gpr[EMUL_RDX] = 0x1f0;
	w.gpr[EMUL_RDI] = BASE + 0x3000 - 10;
	w.gpr[EMUL_RCX] = 100;
	CODE("\xf3\x66\x6d");			/* rep insw */
	CHECK(faulted(world_run(&w, 100), PF_VECTOR, true, 2) && w.e.fault.cr2 == BASE + 0x3000);
	CHECK(w.exit_count == 1 && w.exits[0].count == 5 && w.exits[0].len == 2);
	CHECK(w.gpr[EMUL_RCX] == 95 && w.gpr[EMUL_RDI] == BASE + 0x3000 && w.e.rip == BASE);
	for (i = 0; i < 10; i++)
		CHECK(w.mem[0x3000 - 10 + i] == i + 1);
	/* The page is there now, and 95 words fit into it. */
	w.page[3] = WORLD_WRITABLE;
	CHECK(world_run(&w, 100) == EMUL_OK && w.exit_count == 2 && w.exits[1].count == 95);
	CHECK(w.gpr[EMUL_RCX] == 0 && w.e.rip == BASE + 3);
	/* Downwards, and into a device: one by one */
	w.e.rflags |= X86_EFLAGS_DF;
	w.gpr[EMUL_RCX] = 3;
	w.e.rip = BASE;
	CHECK(world_run(&w, 100) == EMUL_OK && w.exit_count == 5);
	w.e.rflags &= ~(u64)X86_EFLAGS_DF;
	w.page[4] = WORLD_DEVICE;
	w.gpr[EMUL_RDI] = BASE + 0x4000;
	w.gpr[EMUL_RCX] = 2;
	w.e.rip = BASE;
	CHECK(world_run(&w, 100) == EMUL_OK && w.exit_count == 9);
	CHECK(w.exits[5].kind == EMUL_PIECE_PIO_IN && w.exits[6].kind == EMUL_PIECE_MMIO_WRITE);
	/* DI begins anew at 0, in the middle of a page of a large segment. */
	world_init(&w, EMUL_PROT16, BASE);
	w.seg[EMUL_SEG_ES].base = BASE - 0xf000 + 0x800;
	w.gpr[EMUL_RDI] = 0xfffe;
	w.gpr[EMUL_RCX] = 4;
	CODE("\xf3\x6c");			/* rep insb */
	CHECK(world_run(&w, 100) == EMUL_FAULT && w.e.fault.cr2 == BASE - 0xf000 + 0x800);
	CHECK(w.gpr[EMUL_RCX] == 2 && w.gpr[EMUL_RDI] == 0 && w.mem[0x17ff] == 2 && !w.mem[0x1800]);
}

static void string_output(void)
{
	long_mode();
	w.gpr[EMUL_RDX] = 0x1f0;
	w.gpr[EMUL_RSI] = BASE + 0x1000;
	w.gpr[EMUL_RCX] = 2000;
	memcpy(w.mem + 0x1000, "minikvm", 8);
	CODE("\xf3\x6e");			/* rep outsb */
	CHECK(world_run(&w, 100) == EMUL_OK && w.exit_count == 2);
	CHECK(w.exits[0].count == EMUL_IO_MAX && w.exits[1].count == 2000 - EMUL_IO_MAX);
	CHECK(!memcmp(&w.exits[0].data, "minikvm", 8));
	CHECK(w.gpr[EMUL_RSI] == BASE + 0x1000 + 2000);
	/* A step is an iteration. */
	w.gpr[EMUL_RSI] = BASE + 0x1000;
	w.gpr[EMUL_RCX] = 2;
	w.e.rip = BASE;
	w.e.rflags |= X86_EFLAGS_TF;
	CHECK(world_run(&w, 1) == EMUL_AGAIN && w.e.single_step && w.gpr[EMUL_RCX] == 1);
	CHECK(w.exit_count == 3 && w.exits[2].count == 1);
}

/* User space may change rCX while it has the exit: fewer are taken, and never more than given. */
static void string_count_changes(void)
{
	long_mode();
	w.gpr[EMUL_RDI] = BASE + 0x1000;
	w.gpr[EMUL_RCX] = 3;
	CODE("\xf3\x6c");			/* rep insb */
	CHECK(emul_decode(&w.e) == EMUL_OK && emul_execute(&w.e) == EMUL_SUSPEND);
	CHECK(emul_replay_pending(&w.replay)->count == 3);
	emul_replay_answered(&w.replay);
	w.gpr[EMUL_RCX] = 8192;
	emul_replay_restart(&w.replay);
	CHECK(emul_execute(&w.e) == EMUL_AGAIN && w.gpr[EMUL_RCX] == 8189);
	w.gpr[EMUL_RCX] = 2;
	emul_replay_forget(&w.replay);
	CHECK(emul_execute(&w.e) == EMUL_SUSPEND);
	emul_replay_answered(&w.replay);
	w.gpr[EMUL_RCX] = 1;
	emul_replay_restart(&w.replay);
	CHECK(emul_execute(&w.e) == EMUL_OK && w.gpr[EMUL_RCX] == 0);
	CHECK(w.gpr[EMUL_RDI] == BASE + 0x1004);
}

/* Vector instructions: CR0 and CR4 first */
static void vector_state(void)
{
	long_mode();
	w.gpr[EMUL_RBX] = 1ULL << 50;
	w.cr0 |= X86_CR0_TS;
	CODE("\x0f\x10\x03");			/* movups (%rbx), %xmm0 */
	CHECK(faulted(world_run(&w, 1), NM_VECTOR, false, 0));
	w.cr4 &= ~(u64)X86_CR4_OSFXSR;
	CHECK(faulted(world_run(&w, 1), UD_VECTOR, false, 0));
	CODE("\x0f\x6f\x03");			/* movq (%rbx), %mm0 */
	CHECK(faulted(world_run(&w, 1), NM_VECTOR, false, 0));
	w.cr0 |= X86_CR0_EM;
	CHECK(faulted(world_run(&w, 1), UD_VECTOR, false, 0));
	CODE("\xc5\xf8\x10\x03");		/* vmovups (%rbx), %xmm0 */
	CHECK(faulted(world_run(&w, 1), NM_VECTOR, false, 0));
	w.xcr0 = 3;
	CHECK(faulted(world_run(&w, 1), UD_VECTOR, false, 0));
	w.xcr0 = 7;
	w.cr4 &= ~(u64)X86_CR4_OSXSAVE;
	CHECK(faulted(world_run(&w, 1), UD_VECTOR, false, 0));
}

static void vector_upper_half(void)
{
	long_mode();
	w.x87_pending = true;
	w.gpr[EMUL_RBX] = 1ULL << 50;
	CODE("\x0f\x7f\x03");			/* movq %mm0, (%rbx) */
	CHECK(faulted(world_run(&w, 1), MF_VECTOR, false, 0));
	memset(w.vec, 0xee, sizeof(w.vec));
	w.gpr[EMUL_RBX] = BASE + 0x1000;
	CODE("\x0f\x10\x03");
	CHECK(world_run(&w, 1) == EMUL_OK && w.vec[0][0] == 0 && w.vec[0][16] == 0xee);
	CODE("\xc5\xf8\x10\x03");
	CHECK(world_run(&w, 1) == EMUL_OK && w.vec[0][16] == 0);
}

static void put_descriptor(unsigned int index, u32 base, u32 limit, u16 attributes)
{
	u64 desc = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)attributes << 40 |
		   (u64)(limit >> 16 & 0xf) << 48 | (u64)(base >> 24) << 56;

	memcpy(w.mem + 0x4000 + index * 8, &desc, 8);
}

/* A GDT at BASE + 0x4000, and selectors to be loaded from a device at BASE + 0x2000 */
static void with_gdt(enum emul_mode mode)
{
	world_init(&w, mode, BASE);
	w.page[2] = WORLD_DEVICE;
	w.device_is_memory = true;
	w.gdt_base = BASE + 0x4000;
	w.gdt_limit = 0x3f;
	w.gpr[EMUL_RBX] = BASE + 0x2000;
	put_descriptor(1, 0, 0xfffff, 0xa09a);		/* code, 64-bit */
	put_descriptor(2, 0x12345678, 0xfffff, 0xc092);	/* data, 4 GiB */
	put_descriptor(3, 0, 0xfff, 0x4012);		/* data, not present */
	put_descriptor(4, 0, 0xfffff, 0xc0f2);		/* data, DPL 3 */
	put_descriptor(5, 0, 0xfffff, 0xc09a);		/* code, 32-bit */
	put_descriptor(6, 0, 0xfffff, 0x0089);		/* TSS */
}

static int load_sreg(const char *code, u16 selector)
{
	memcpy(w.mem + 0x2000, &selector, 2);
	world_code(&w, BASE, code, 2);
	return world_run(&w, 1);
}

#define MOV_DS "\x8e\x1b"
#define MOV_SS "\x8e\x13"
#define MOV_GS "\x8e\x2b"

static void load_segments(void)
{
	with_gdt(EMUL_LONG64);
	CHECK(load_sreg(MOV_GS, 0x10) == EMUL_OK && w.exit_count == 1 && !w.e.mov_ss);
	CHECK(w.seg[EMUL_SEG_GS].base == 0x12345678 && w.seg[EMUL_SEG_GS].limit == ~0u);
	CHECK(w.seg[EMUL_SEG_GS].type == 3 && w.seg[EMUL_SEG_GS].selector == 0x10);
	CHECK(w.mem[0x4015] == 0x93);		/* accessed */
	CHECK(load_sreg(MOV_DS, 0) == EMUL_OK && w.seg[EMUL_SEG_DS].unusable);
	CHECK(load_sreg(MOV_DS, 0x0b) == EMUL_FAULT);	/* RPL 3, DPL 0 */
	CHECK(faulted(EMUL_FAULT, GP_VECTOR, true, 0x08));
	CHECK(load_sreg(MOV_DS, 0x23) == EMUL_OK && w.seg[EMUL_SEG_DS].dpl == 3);
	CHECK(faulted(load_sreg(MOV_DS, 0x18), NP_VECTOR, true, 0x18));
	CHECK(faulted(load_sreg(MOV_DS, 0x30), GP_VECTOR, true, 0x30));
	CHECK(faulted(load_sreg(MOV_DS, 0x40), GP_VECTOR, true, 0x40));
	CHECK(w.seg[EMUL_SEG_DS].selector == 0x23);
	w.seg[EMUL_SEG_LDTR].unusable = 1;
	CHECK(faulted(load_sreg(MOV_DS, 0x0c), GP_VECTOR, true, 0x0c));
	w.seg[EMUL_SEG_LDTR] = (struct kvm_segment){
		.base = BASE + 0x4000, .limit = 0x3f, .present = 1,
	};
	CHECK(load_sreg(MOV_DS, 0x14) == EMUL_OK && w.seg[EMUL_SEG_DS].base == 0x12345678);
}

static void load_stack_segment(void)
{
	with_gdt(EMUL_LONG64);
	CHECK(load_sreg(MOV_SS, 0) == EMUL_OK && w.seg[EMUL_SEG_SS].unusable && w.e.mov_ss);
	CHECK(faulted(load_sreg(MOV_SS, 3), GP_VECTOR, true, 0) && !w.e.mov_ss);
	CHECK(load_sreg(MOV_SS, 0x10) == EMUL_OK && w.e.mov_ss);
	CHECK(faulted(load_sreg(MOV_SS, 0x20), GP_VECTOR, true, 0x20));
	CHECK(faulted(load_sreg(MOV_SS, 0x08), GP_VECTOR, true, 0x08));
	CHECK(faulted(load_sreg(MOV_SS, 0x18), SS_VECTOR, true, 0x18));
	with_gdt(EMUL_PROT32);
	CHECK(faulted(load_sreg(MOV_SS, 0), GP_VECTOR, true, 0));
	/* In real mode anything goes. */
	world_init(&w, EMUL_REAL, BASE);
	w.seg[EMUL_SEG_CS].base = w.seg[EMUL_SEG_DS].base = BASE;
	world_code(&w, BASE, "\x8e\x1f", 2);		/* mov (%bx), %ds */
	w.e.rip = 0;
	w.gpr[EMUL_RBX] = 0x1000;
	w.mem[0x1001] = 0xb8;
	CHECK(world_run(&w, 1) == EMUL_OK && w.seg[EMUL_SEG_DS].base == 0xb8000);
	/* CS is not loaded like that. */
	world_code(&w, BASE, "\x8e\x0f", 2);
	w.e.rip = 0;
	CHECK(faulted(world_run(&w, 1), UD_VECTOR, false, 0));
}

static int system_insn(const char *code, u16 selector)
{
	memcpy(w.mem + 0x2000, &selector, 2);
	world_code(&w, BASE, code, 3);
	return world_run(&w, 1);
}

#define LLDT "\x0f\x00\x13"
#define LTR "\x0f\x00\x1b"
#define STR "\x0f\x00\x0b"
#define SLDT "\x0f\x00\x03"

/* A TSS and an LDT of 16 bytes each in long mode, of 8 elsewhere */
static void system_segments(void)
{
	with_gdt(EMUL_LONG64);
	w.efer = 0x500;
	w.gdt_limit = 0x4f;
	put_descriptor(6, 0x12345678, 0x67, 0x0089);
	put_descriptor(7, 0, 0, 0);
	w.mem[0x4038] = 0x9a;			/* base 63:32 */
	put_descriptor(8, BASE, 0xf, 0x0082);
	put_descriptor(9, 0, 0, 0);
	CHECK(system_insn(LTR, 0x30) == EMUL_OK && w.seg[EMUL_SEG_TR].base == 0x9a12345678);
	CHECK(w.seg[EMUL_SEG_TR].type == 11 && w.mem[0x4035] == 0x8b);
	CHECK(faulted(system_insn(LTR, 0x30), GP_VECTOR, true, 0x30));	/* busy */
	CHECK(faulted(system_insn(LTR, 0), GP_VECTOR, true, 0));
	CHECK(faulted(system_insn(LTR, 0x40), GP_VECTOR, true, 0x40));
	CHECK(system_insn(LLDT, 0x40) == EMUL_OK && w.seg[EMUL_SEG_LDTR].base == BASE);
	CHECK(faulted(system_insn(LLDT, 0x30), GP_VECTOR, true, 0x30));
	CHECK(faulted(system_insn(LLDT, 0x44), GP_VECTOR, true, 0x44));
	w.gdt_limit = 0x47;			/* the second half is beyond */
	CHECK(faulted(system_insn(LLDT, 0x40), GP_VECTOR, true, 0x40));
	w.gdt_limit = 0x4f;
	w.mem[0x404d] = 1;			/* a type where there is none */
	CHECK(faulted(system_insn(LLDT, 0x40), GP_VECTOR, true, 0x40));
	w.mem[0x404d] = 0;
	w.mem[0x4045] = 2;
	CHECK(faulted(system_insn(LLDT, 0x40), NP_VECTOR, true, 0x40));
	CHECK(w.seg[EMUL_SEG_LDTR].selector == 0x40 && !w.seg[EMUL_SEG_LDTR].unusable);
	CHECK(system_insn(SLDT, 0) == EMUL_OK && w.mem[0x2000] == 0x40);
	CHECK(system_insn(STR, 0) == EMUL_OK && w.mem[0x2000] == 0x30 && w.mem[0x2002] == 0);
	CHECK(system_insn(LLDT, 0) == EMUL_OK && w.seg[EMUL_SEG_LDTR].unusable);
	w.cpl = 3;
	CHECK(faulted(system_insn(LTR, 0x30), GP_VECTOR, true, 0));
	w.cr4 |= X86_CR4_UMIP;
	CHECK(faulted(system_insn(STR, 0), GP_VECTOR, true, 0));
	with_gdt(EMUL_PROT32);
	w.efer = 0;
	CHECK(system_insn(LTR, 0x30) == EMUL_OK && w.mem[0x4035] == 0x8b);
}

static int jump_far(const char *code, unsigned int len, u64 target, unsigned int size, u16 selector)
{
	memcpy(w.mem + 0x2000, &target, size);
	memcpy(w.mem + 0x2000 + size, &selector, 2);
	world_code(&w, BASE, code, len);
	return world_run(&w, 1);
}

static void far_jumps(void)
{
	with_gdt(EMUL_LONG64);
	CHECK(jump_far("\x48\xff\x2b", 3, 0x123456789a, 8, 0x08) == EMUL_OK);	/* rex.w ljmp */
	CHECK(w.e.rip == 0x123456789a && w.seg[EMUL_SEG_CS].l);
	CHECK(jump_far("\xff\x2b", 2, 0x5678, 4, 0x28) == EMUL_OK);
	CHECK(w.e.rip == 0x5678 && w.seg[EMUL_SEG_CS].db && !w.seg[EMUL_SEG_CS].l);
	CHECK(faulted(jump_far("\x48\xff\x2b", 3, 1ULL << 50, 8, 0x08), GP_VECTOR, true, 0));
	CHECK(faulted(jump_far("\xff\x2b", 2, 0, 4, 0x10), GP_VECTOR, true, 0x10));
	CHECK(faulted(jump_far("\xff\x2b", 2, 0, 4, 0), GP_VECTOR, true, 0));
	/* A task, which long mode does not switch to */
	CHECK(faulted(jump_far("\xff\x2b", 2, 0, 4, 0x30), GP_VECTOR, true, 0x30));
	CHECK(w.seg[EMUL_SEG_CS].selector == 0x28 && w.e.rip == BASE);
	with_gdt(EMUL_PROT32);
	w.efer = 0;
	CHECK(jump_far("\xff\x2b", 2, 0, 4, 0x30) == EMUL_UNHANDLED);
}

static u64 stacked(unsigned int at, unsigned int size)
{
	u64 val = 0;

	memcpy(&val, w.mem + at, size);
	return val;
}

/* TSSs at BASE + 0x5000 (its descriptor is 6) and 0x6000 (7), with code and data of ours */
static void with_tasks(void)
{
	with_gdt(EMUL_PROT32);
	put_descriptor(2, 0, 0xfffff, 0xc092);
	put_descriptor(6, BASE + 0x5000, 0x67, 0x008b);
	put_descriptor(7, BASE + 0x6000, 0x67, 0x0089);
	w.seg[EMUL_SEG_TR] = (struct kvm_segment){
		.base = BASE + 0x5000, .limit = 0x67, .selector = 0x30, .type = 11, .present = 1,
	};
	memset(w.mem + 0x5000, 0, 0x2000);
	w.mem[0x604c] = 0x28;			/* CS */
	w.mem[0x6050] = 0x10;			/* SS */
}

static int switch_to(u16 selector, bool returns)
{
	struct emul_task t = { .selector = selector, .returns = returns };

	w.e.rip = BASE;
	return emul_task_switch(&w.e, &t);
}

/* Hardware has looked at all of this too, but not at the same moment. */
static void refused_tasks(void)
{
	with_tasks();
	CHECK(faulted(switch_to(0, false), GP_VECTOR, true, 0) && !w.e.switched);
	CHECK(faulted(switch_to(0x3c, false), GP_VECTOR, true, 0x3c));
	CHECK(faulted(switch_to(0x40, false), GP_VECTOR, true, 0x40));
	CHECK(faulted(switch_to(0x10, false), GP_VECTOR, true, 0x10));
	CHECK(faulted(switch_to(0x30, false), GP_VECTOR, true, 0x30));	/* busy */
	CHECK(faulted(switch_to(0x38, true), TS_VECTOR, true, 0x38));	/* not busy */
	put_descriptor(7, BASE + 0x6000, 0x66, 0x0089);
	CHECK(faulted(switch_to(0x38, false), TS_VECTOR, true, 0x38));
	put_descriptor(7, BASE + 0x6000, 0x67, 0x0009);
	CHECK(faulted(switch_to(0x38, false), NP_VECTOR, true, 0x38));
	put_descriptor(7, BASE + 0x6000, 0x67, 0x0089);
	w.seg[EMUL_SEG_TR].limit = 0x5e;
	CHECK(faulted(switch_to(0x38, false), TS_VECTOR, true, 0x30));
	w.seg[EMUL_SEG_TR].limit = 0x67;
	w.page[6] = WORLD_ABSENT;
	CHECK(faulted(switch_to(0x38, false), PF_VECTOR, true, 0) && !w.e.switched);
	w.page[6] = WORLD_DEVICE;
	CHECK(switch_to(0x38, false) == EMUL_UNHANDLED && !w.e.switched);
	CHECK(stacked(0x5020, 4) == 0 && w.e.rip == BASE && !(w.cr0 & X86_CR0_TS));
}

/*
 * A race before there is a new task begins anew, and so does the loading of its segments; in
 * between, where what was looked at must work, the guest is past help.
 */
static void races_of_tasks(void)
{
	unsigned int i, again = 0;
	int rc;

	for (i = 0; i < 24; i++) {
		with_tasks();
		w.races = 1u << i;
		rc = switch_to(0x38, false);
		if (rc == EMUL_AGAIN) {
			CHECK(!w.e.switched && stacked(0x5020, 4) == 0 && !(w.mem[0x403d] & 2));
			again++;
		} else {
			CHECK(rc == EMUL_OK || (rc == EMUL_UNHANDLED && !w.e.switched));
		}
		if (rc == EMUL_OK)
			CHECK(w.e.switched && w.seg[EMUL_SEG_TR].selector == 0x38 &&
			      w.mem[0x403d] & 2 && !(w.mem[0x4035] & 2) &&
			      stacked(0x5020, 4) == (u32)BASE);
	}
	CHECK(again >= 4 && rc == EMUL_OK);
}

/* The return address is pushed when nothing else can go wrong; to other privileges we do not go. */
static void far_calls(void)
{
	with_gdt(EMUL_LONG64);
	w.seg[EMUL_SEG_CS].selector = 0x08;
	w.gpr[EMUL_RSP] = BASE + 0x1808;
	CHECK(jump_far("\xff\x1b", 2, 0x5678, 4, 0x28) == EMUL_OK);	/* lcall *(%rbx) */
	CHECK(w.e.rip == 0x5678 && w.seg[EMUL_SEG_CS].selector == 0x28);
	CHECK(w.gpr[EMUL_RSP] == BASE + 0x1800 && stacked(0x1800, 4) == BASE + 2);
	CHECK(stacked(0x1804, 4) == 0x08);
	CODE("\xca\x08\x00");			/* lret $8 */
	CHECK(world_run(&w, 1) == EMUL_OK && w.e.rip == BASE + 2);
	CHECK(w.gpr[EMUL_RSP] == BASE + 0x1810 && w.seg[EMUL_SEG_CS].selector == 0x08);
	memcpy(w.mem + 0x1810, "\0\0\0\0\x0b", 5);
	CODE("\xcb");				/* lret to CPL 3 */
	CHECK(world_run(&w, 1) == EMUL_UNHANDLED && w.gpr[EMUL_RSP] == BASE + 0x1810);
	w.mem[0x1814] = 0x30;
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0x30));
	w.mem[0x1814] = 3;
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
	w.cpl = 3;
	w.mem[0x1814] = 0x08;
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0x08));
	/* No room for one of the two */
	w.cpl = 0;
	w.page[1] = WORLD_READ_ONLY;
	w.page[2] = WORLD_WRITABLE;
	w.gpr[EMUL_RSP] = BASE + 0x2004;
	memset(w.mem + 0x2000, 0, 4);
	w.gpr[EMUL_RBX] = BASE + 0x3000;
	memcpy(w.mem + 0x3000, "\0\0\0\0\x28", 6);
	CODE("\xff\x1b");
	CHECK(faulted(world_run(&w, 1), PF_VECTOR, true, 3) && w.e.fault.cr2 == BASE + 0x1ffc);
	CHECK(stacked(0x2000, 4) == 0 && w.gpr[EMUL_RSP] == BASE + 0x2004);
}

static void in_real_mode(const char *code, unsigned int len, u64 sp)
{
	world_init(&w, EMUL_REAL, BASE);
	w.seg[EMUL_SEG_CS].base = w.seg[EMUL_SEG_SS].base = BASE - 0x8000;
	w.seg[EMUL_SEG_CS].selector = (BASE - 0x8000) >> 4;
	w.gpr[EMUL_RSP] = 0xffff0000 | sp;
	world_code(&w, BASE, code, len);
	w.e.rip = 0x8000;
}

static void far_real_mode(void)
{
	in_real_mode("\x9a\x34\x12\xcd\xab", 5, 0x9000);		/* lcall $0xabcd, $0x1234 */
	CHECK(world_run(&w, 1) == EMUL_OK && w.e.rip == 0x1234);
	CHECK(w.seg[EMUL_SEG_CS].selector == 0xabcd && w.seg[EMUL_SEG_CS].base == 0xabcd0);
	CHECK(w.gpr[EMUL_RSP] == 0xffff8ffc && stacked(0x1000 - 4, 4) == 0x08008005);
	in_real_mode("\x66\xcb", 2, 0x9000);				/* lretl */
	memcpy(w.mem + 0x1000, "\x78\x56\0\0\x20\x10\xff\xff", 8);
	CHECK(world_run(&w, 1) == EMUL_OK && w.e.rip == 0x5678);
	CHECK(w.seg[EMUL_SEG_CS].base == 0x10200 && w.gpr[EMUL_RSP] == 0xffff9008);
	in_real_mode("\x66\xcb", 2, 0x9000);
	memcpy(w.mem + 0x1000, "\0\0\1\0", 4);
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, false, 0));
	/* The two words are at 1 and behind the end. */
	in_real_mode("\x9a\0\0\0\0", 5, 3);
	w.seg[EMUL_SEG_SS].base = BASE;
	CHECK(faulted(world_run(&w, 1), SS_VECTOR, false, 0));
	in_real_mode("\xea\x34\x12\xcd\xab", 5, 3);			/* ljmp */
	CHECK(world_run(&w, 1) == EMUL_OK && w.e.rip == 0x1234);
	CHECK(w.seg[EMUL_SEG_CS].base == 0xabcd0);
}

static void all_registers(void)
{
	unsigned int i;

	in_real_mode("\x60", 1, 0x9000);				/* pusha */
	for (i = 0; i < 8; i++)
		if (i != EMUL_RSP)
			w.gpr[i] = 0x11110101 * (i + 1);
	CHECK(world_run(&w, 1) == EMUL_OK && w.gpr[EMUL_RSP] == 0xffff8ff0);
	for (i = 0; i < 8; i++)
		CHECK(stacked(0xffe - 2 * i, 2) == (i == EMUL_RSP ? 0x9000 : 0x0101 * (i + 1)));
	w.mem[0xff0 + 6] = 0xee;					/* SP is not taken */
	memset(w.mem + 0xff0 + 14, 0x77, 2);
	world_code(&w, BASE, "\x61", 1);				/* popa */
	w.e.rip = 0x8000;
	CHECK(world_run(&w, 1) == EMUL_OK && w.gpr[EMUL_RSP] == 0xffff9000);
	CHECK(w.gpr[EMUL_RDI] == 0x88880808 && w.gpr[EMUL_RAX] == 0x11117777);
	/* An odd stack pointer does not get round the end, and no device is written before. */
	in_real_mode("\x60", 1, 0x8007);
	w.seg[EMUL_SEG_SS].limit = 0x7fff;
	CHECK(faulted(world_run(&w, 1), SS_VECTOR, false, 0));
	world_init(&w, EMUL_PROT32, BASE);
	w.page[1] = WORLD_READ_ONLY;
	w.page[2] = WORLD_DEVICE;
	w.gpr[EMUL_RSP] = BASE + 0x201c;
	CODE("\x60");
	CHECK(faulted(world_run(&w, 1), PF_VECTOR, true, 3) && !w.exit_count);
	/* Over the border of two: a piece more than registers */
	w.page[1] = WORLD_DEVICE;
	w.gpr[EMUL_RSP] = BASE + 0x200e;
	w.e.rip = BASE;
	CHECK(world_run(&w, 1) == EMUL_OK && w.exit_count == 9);
}

static u64 popf(enum emul_mode mode, unsigned int cpl, u64 rflags, const char *code, u64 val)
{
	world_init(&w, mode, BASE);
	w.cpl = cpl;
	w.seg[EMUL_SEG_SS].base = mode == EMUL_VM86 ? BASE : 0;
	w.seg[EMUL_SEG_CS].base = mode == EMUL_VM86 ? BASE : 0;
	w.gpr[EMUL_RSP] = 0x1000 + (mode == EMUL_VM86 ? 0 : BASE);
	w.e.rflags = rflags;
	memcpy(w.mem + 0x1000, &val, 8);
	world_code(&w, BASE, code, 2);
	if (mode == EMUL_VM86)
		w.e.rip = 0;
	return world_run(&w, 1) == EMUL_OK ? w.e.rflags : w.e.fault.vector;
}

#define IOPL(n) ((u64)(n) << X86_EFLAGS_IOPL_BIT)

/* SDM Vol. 2, "POPF", table 4-16 */
static void flags(void)
{
	const u64 keep = X86_EFLAGS_VIF | X86_EFLAGS_VIP, all = 0x3f7fd7;

	CHECK(popf(EMUL_LONG64, 0, 2 | X86_EFLAGS_RF, "\x9d", ~0ULL) == (all & ~0x1b0000));
	CHECK(popf(EMUL_LONG64, 0, 2 | keep, "\x9d", 0) == (2 | keep));
	CHECK(popf(EMUL_LONG64, 0, 2 | X86_EFLAGS_ID, "\x66\x9d", ~0ULL) ==
	      ((all & 0xffff) | X86_EFLAGS_ID));
	CHECK(popf(EMUL_LONG64, 3, 2 | IOPL(1), "\x9d", ~0ULL) ==
	      ((all & ~0x1b3200) | IOPL(1)));
	CHECK(popf(EMUL_LONG64, 3, 2 | IOPL(3) | X86_EFLAGS_IF, "\x9d", 0) == (2 | IOPL(3)));
	CHECK(popf(EMUL_VM86, 3, 2 | X86_EFLAGS_VM | IOPL(3), "\x9d", ~0ULL) ==
	      ((all & 0xffff) | X86_EFLAGS_VM));
	CHECK(popf(EMUL_VM86, 3, 2 | X86_EFLAGS_VM | IOPL(3), "\x66\x9d", 0) ==
	      (2 | X86_EFLAGS_VM | IOPL(3)));
	CHECK(popf(EMUL_VM86, 3, 2 | X86_EFLAGS_VM, "\x9d", 0) == GP_VECTOR);
	/* Virtual-8086 mode extensions are not done here. */
	w.cr4 |= X86_CR4_VME;
	CHECK(world_run(&w, 1) == EMUL_UNHANDLED);
	/* PUSHF shows neither RF nor VM. */
	popf(EMUL_LONG64, 0, 2, "\x9d", all & ~X86_EFLAGS_TF);
	w.e.rflags |= X86_EFLAGS_RF;
	CODE("\x9c");
	CHECK(world_run(&w, 1) == EMUL_OK && stacked(0x1000, 8) == (all & ~0x1b0100));
	popf(EMUL_VM86, 3, 2 | X86_EFLAGS_VM | IOPL(3), "\x66\x9d", 0);
	world_code(&w, BASE, "\x66\x9c", 2);
	w.e.rip = 0;
	CHECK(world_run(&w, 1) == EMUL_OK && stacked(0x1000, 4) == (2 | IOPL(3)));
}

/* ENTER, LEAVE, SMSW, LMSW */
static void stack_frames_and_msw(void)
{
	long_mode();
	w.page[2] = WORLD_DEVICE;
	w.device_is_memory = true;
	w.gpr[EMUL_RSP] = BASE + 0x2800;
	w.gpr[EMUL_RBP] = 0x1122;
	CODE("\xc8\x20\x00\x00");		/* enter $32, $0 */
	CHECK(world_run(&w, 1) == EMUL_OK && w.gpr[EMUL_RBP] == BASE + 0x27f8);
	CHECK(w.gpr[EMUL_RSP] == BASE + 0x27d8);
	CODE("\xc9");				/* leave */
	CHECK(world_run(&w, 1) == EMUL_OK && w.gpr[EMUL_RBP] == 0x1122);
	CHECK(w.gpr[EMUL_RSP] == BASE + 0x2800);
	w.gpr[EMUL_RBX] = BASE + 0x1000;
	w.cr0 = 0x80050033;
	CODE("\x0f\x01\x23");			/* smsw (%rbx) */
	CHECK(world_run(&w, 1) == EMUL_OK && !memcmp(w.mem + 0x1000, "\x33\0\5\x80", 2));
	CHECK(w.mem[0x1002] == 0);
	CODE("\x0f\x01\x33");			/* lmsw (%rbx) */
	CHECK(world_run(&w, 1) == EMUL_OK && w.msw == 0x33);
	w.cpl = 1;
	w.e.rip = BASE;
	CHECK(faulted(world_run(&w, 1), GP_VECTOR, true, 0));
}

/* Quotients are -128 to 127, no more. */
static void division(void)
{
	static const struct { u16 ax; u8 div; bool ok; u16 result; } cases[] = {
		{ 0x00fe, 2, true, 0x007f }, { 0x00ff, 2, true, 0x017f }, { 0x0100, 2, false, 0 },
		{ 0xff00, 2, true, 0x0080 }, { 0xfeff, 2, true, 0xff80 }, { 0xfefe, 2, false, 0 },
		{ 0x0100, 0xfe, true, 0x0080 }, { 0x1234, 0, false, 0 },
		{ 0x8000, 0xff, false, 0 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		long_mode();
		w.gpr[EMUL_RAX] = cases[i].ax;
		w.gpr[EMUL_RBX] = cases[i].div;
		CODE("\xf6\xfb");		/* idiv %bl */
		if (cases[i].ok)
			CHECK(world_run(&w, 1) == EMUL_OK &&
			      w.gpr[EMUL_RAX] == cases[i].result);
		else
			CHECK(faulted(world_run(&w, 1), DE_VECTOR, false, 0));
	}
}

#define RULE(function, what) { function, what }

static const struct {
	void (*run)(void);
	const char *what;
} rules[] = {
	RULE(mmio_read, "a device read suspends and is replayed"),
	RULE(mmio_pieces, "device accesses are split at pages and to 8 bytes"),
	RULE(mmio_read_modify_write, "a device is read once and written once"),
	RULE(mmio_movs, "REP MOVS between devices"),
	RULE(replay_is_cut, "an answer to another access is not used"),
	RULE(replay_without_restart, "a device in the kernel answers on the spot"),
	RULE(replay_is_bounded, "the log has an end"),
	RULE(write_faults_at_any_byte, "a store is all or nothing"),
	RULE(fetch_faults_at_any_byte, "code faults at any byte"),
	RULE(too_long, "more than 15 bytes"),
	RULE(undefined, "#UD, and LOCK where it is not allowed"),
	RULE(unhandled, "the unknown is not guessed at"),
	RULE(single_step, "TF and RF"),
	RULE(locked_race, "a lost race changes nothing"),
	RULE(push_and_pop, "PUSH and POP to memory"),
	RULE(branches, "CALL, JMP and RET"),
	RULE(load_segments, "MOV to a segment register"),
	RULE(load_stack_segment, "MOV to SS, and segments in real mode"),
	RULE(system_segments, "LLDT, LTR, SLDT, STR"),
	RULE(far_jumps, "JMP through a far pointer"),
	RULE(far_calls, "CALL and RET through far pointers"),
	RULE(refused_tasks, "switches of tasks that change nothing"),
	RULE(races_of_tasks, "switches of tasks that lose a race"),
	RULE(far_real_mode, "far transfers in real mode"),
	RULE(all_registers, "PUSHA and POPA"),
	RULE(flags, "PUSHF and POPF"),
	RULE(stack_frames_and_msw, "ENTER, LEAVE, SMSW, LMSW"),
	RULE(division, "limits of IDIV"),
	RULE(canonical, "non-canonical addresses"),
	RULE(segment_limits, "segment limits and types"),
	RULE(real_mode, "real mode"),
	RULE(address_wraps, "addresses wrap"),
	RULE(ports, "ports and the I/O permission bitmap"),
	RULE(string_input, "REP INS"),
	RULE(string_output, "REP OUTS"),
	RULE(string_count_changes, "rCX changes while user space has the exit"),
	RULE(vector_state, "#UD and #NM of vector instructions"),
	RULE(vector_upper_half, "upper halves of vector registers, #MF of MMX"),
};

int main(int argc, char **argv)
{
	unsigned int i;

	unit_options(argc, argv, 0);
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		failed = NULL;
		rules[i].run();
		unit_result(!failed, rules[i].what);
	}
	return unit_done();
}
