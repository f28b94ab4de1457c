// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator against the CPU that the test runs on: random instructions with random registers
 * and memory, once in the emulator's world and once for real, in user mode; in 64-bit mode, and in
 * 32 and 16-bit segments of a local descriptor table with random bases, limits and types.
 * Registers, flags, memory, vector registers and exceptions must come out the same.
 *
 * The real one runs in pages at the same addresses as the world's. The emulator goes first: an
 * instruction that it sees reaching for other memory is not run for real.
 */
#define _GNU_SOURCE
#include <Zydis/Zydis.h>
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "generate.h"
#include "unit.h"
#include "world.h"
#include "x86/emulate/opcode.h"

#define DATA_BASE	0x10000000ULL	/* below 2 GiB: reached with 32-bit addresses */
#define CODE_BASE	0x20000000ULL
#define CODE_SIZE	(2 * WORLD_PAGE)

/* As emulate_native.S has it. */
struct native_state {
	u64 gpr[16];
	u64 rflags;
	u64 unused[3];
	u8 ymm[16][32];
	u8 mmx[8][8];
};

_Static_assert(offsetof(struct native_state, ymm) == 160, "see emulate_native.S");
_Static_assert(offsetof(struct native_state, mmx) == 672, "see emulate_native.S");

extern struct native_state native_state;
extern u64 native_entry;
extern struct {
	u32 offset;
	u16 selector;
} native_far;
extern u16 native_segments[4];	/* ES, DS, GS, SS */
extern char native_exit[], native_enter_compat[], native_exit_compat[];
void native_run(bool vectors, bool compat);

static struct native_fault {
	bool happened;
	u64 rip;
	u8 vector;
	u32 error_code;
	u64 cr2;
} native_fault;

static ZydisDecoder zydis;
/* The data pages where the instruction sees them, and all of them writable, elsewhere. */
static u8 *data = (u8 *)DATA_BASE, *alias;
static u8 *code = (u8 *)CODE_BASE;
static u64 fs_base;
static u16 user_cs;

/* The mode being tested, and its segments as the local descriptor table has them now */
static enum emul_mode mode;
static struct kvm_segment segments[EMUL_SEG_GS + 1];
static u64 cs_base;

/* The interrupted code may have set AC, and the compiler knows nothing of that. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *gregs = uc->uc_mcontext.gregs;

	asm volatile("pushfq; andl $~0x40000, (%%rsp); popfq" ::: "memory", "cc");
	(void)sig;
	(void)info;
	if (gregs[REG_RIP] + cs_base - CODE_BASE >= CODE_SIZE) {
		static const char msg[] = "Bail out! a signal outside of the code under test\n";

		(void)!write(1, msg, sizeof(msg) - 1);
		_exit(1);
	}
	native_fault.happened = true;
	native_fault.rip = gregs[REG_RIP];
	native_fault.vector = gregs[REG_TRAPNO];
	native_fault.error_code = gregs[REG_ERR];
	native_fault.cr2 = gregs[REG_CR2];
	gregs[REG_RIP] = (greg_t)native_exit;
	if (mode != EMUL_LONG64) {
		gregs[REG_RIP] = (greg_t)native_exit_compat;
		gregs[REG_CSGSFS] = (gregs[REG_CSGSFS] & ~0xffffLL) | user_cs;
	}
}

static void set_up(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	static char stack[65536];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	unsigned int i;
	int fd;

	fd = memfd_create("data", 0);
	if (fd < 0 || ftruncate(fd, WORLD_SIZE) ||
	    mmap(data, WORLD_SIZE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, 0) != data ||
	    mmap(code, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0) != code) {
		perror("mmap");
		exit(1);
	}
	/* Page 4 can be read only, those behind are not there. Touched: present, once and for all. */
	alias = mmap(NULL, WORLD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	memset(data, 1, WORLD_SIZE);
	mprotect(data + 4 * WORLD_PAGE, WORLD_PAGE, PROT_READ);
	(void)*(volatile u8 *)(data + 4 * WORLD_PAGE);
	munmap(data + 5 * WORLD_PAGE, 3 * WORLD_PAGE);
	munmap(data, WORLD_PAGE);
	sigaltstack(&ss, NULL);
	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
	syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_base);
}

static u16 selector(enum emul_seg seg)
{
	u16 sel = 0;

	switch (seg) {
	case EMUL_SEG_ES:
		asm("mov %%es, %0" : "=r"(sel));
		break;
	case EMUL_SEG_CS:
		asm("mov %%cs, %0" : "=r"(sel));
		break;
	case EMUL_SEG_SS:
		asm("mov %%ss, %0" : "=r"(sel));
		break;
	case EMUL_SEG_DS:
		asm("mov %%ds, %0" : "=r"(sel));
		break;
	case EMUL_SEG_FS:
		asm("mov %%fs, %0" : "=r"(sel));
		break;
	case EMUL_SEG_GS:
		asm("mov %%gs, %0" : "=r"(sel));
		break;
	default:
		break;
	}
	return sel;
}

/* Put a segment into the local descriptor table. False if the kernel does not want it. */
static bool write_ldt(enum emul_seg seg)
{
	struct kvm_segment *s = &segments[seg];
	bool code = s->type & 8;
	struct user_desc desc = {
		.entry_number = seg,
		.base_addr = s->base,
		.limit = s->g ? s->limit >> 12 : s->limit,
		.limit_in_pages = s->g,
		.seg_32bit = s->db,
		.contents = code ? MODIFY_LDT_CONTENTS_CODE :
			    s->type & 4 ? MODIFY_LDT_CONTENTS_STACK : MODIFY_LDT_CONTENTS_DATA,
		.read_exec_only = !(s->type & 2),
		.useable = 1,
	};

	s->selector = seg << 3 | 7;
	return !syscall(SYS_modify_ldt, 1, &desc, sizeof(desc));
}

static void random_segment(enum emul_seg seg, uint64_t *random)
{
	static const u8 types[] = { 3, 3, 3, 7, 1, 5, 11 };
	struct kvm_segment *s = &segments[seg];

	*s = (struct kvm_segment){
		.base = DATA_BASE + unit_below(random, 2) * unit_below(random, 0x3000),
		.limit = unit_below(random, 2) ? 0xffff : unit_below(random, 0x5000),
		.type = types[unit_below(random, seg == EMUL_SEG_SS ? 4 : sizeof(types))],
		.present = 1, .s = 1, .dpl = 3,
		.db = unit_below(random, 2),
	};
	if (unit_below(random, 3) == 0) {
		s->base = 0;
		s->limit = 0xffffffff;
		s->g = 1;
		if ((s->type & 0xc) == 4)
			s->limit = 0xffff;
	}
}

/* New segments for the mode that is being tested. A null selector can't be used, but loaded. */
static bool new_segments(uint64_t *random)
{
	static const enum emul_seg data_segs[] = { EMUL_SEG_ES, EMUL_SEG_DS, EMUL_SEG_GS,
						   EMUL_SEG_SS };
	unsigned int i;

	segments[EMUL_SEG_CS] = (struct kvm_segment){
		.base = CODE_BASE, .limit = 0xffff, .type = 11, .present = 1, .s = 1, .dpl = 3,
		.db = mode == EMUL_PROT32,
	};
	cs_base = CODE_BASE;
	if (!write_ldt(EMUL_SEG_CS))
		return false;
	for (i = 0; i < ARRAY_SIZE(data_segs); i++) {
		enum emul_seg seg = data_segs[i];

		random_segment(seg, random);
		if (!write_ldt(seg))
			return false;
		if (seg != EMUL_SEG_SS && unit_below(random, 16) == 0)
			segments[seg] = (struct kvm_segment){ .unusable = 1 };
		native_segments[i] = segments[seg].selector;
	}
	return true;
}

static bool set_mode(enum emul_mode new_mode, uint64_t *random)
{
	unsigned int i;

	mode = new_mode;
	cs_base = 0;
	user_cs = selector(EMUL_SEG_CS);
	ZydisDecoderInit(&zydis, mode == EMUL_LONG64 ? ZYDIS_MACHINE_MODE_LONG_64 :
				 mode == EMUL_PROT32 ? ZYDIS_MACHINE_MODE_LEGACY_32 :
						       ZYDIS_MACHINE_MODE_LEGACY_16,
			 mode == EMUL_LONG64 ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
	if (mode != EMUL_LONG64)
		return new_segments(random);
	for (i = 0; i <= EMUL_SEG_GS; i++)
		segments[i] = (struct kvm_segment){ .selector = selector(i) };
	segments[EMUL_SEG_FS].base = fs_base;
	return true;
}

/* --- Far transfers. --- */

/* The descriptors as the emulator sees them: the kernel's table, and behind it the local one. */
#define GDT_SIZE	128
#define LDT_SIZE	(EMUL_SEG_GS + 1)
static u64 tables[GDT_SIZE / 8 + LDT_SIZE];

static u64 descriptor(const struct kvm_segment *s)
{
	u32 limit = s->g ? s->limit >> 12 : s->limit;

	if (!s->present)
		return 0;
	return (limit & 0xffff) | (s->base & 0xffffff) << 16 | (u64)s->type << 40 |
	       (u64)s->s << 44 | (u64)s->dpl << 45 | (u64)s->present << 47 |
	       (u64)(limit >> 16) << 48 | (u64)s->l << 53 | (u64)s->db << 54 | (u64)s->g << 55 |
	       (s->base >> 24 & 0xff) << 56;
}

/* There is only one entry of the kernel's table that is used, and known: that of our own CS. */
static void fill_tables(struct world *w)
{
	static const struct kvm_segment user64 = {
		.limit = 0xffffffff, .type = 11, .s = 1, .dpl = 3, .present = 1, .l = 1, .g = 1,
	};
	unsigned int i;

	tables[user_cs >> 3] = descriptor(&user64);
	for (i = 0; i < LDT_SIZE; i++)
		tables[GDT_SIZE / 8 + i] = descriptor(&segments[i]);
	w->tables = (u8 *)tables;
	w->tables_len = sizeof(tables);
	w->gdt_base = 0;
	w->gdt_limit = GDT_SIZE - 1;
	w->seg[EMUL_SEG_LDTR] = (struct kvm_segment){
		.base = GDT_SIZE, .limit = LDT_SIZE * 8 - 1, .present = 1,
		.unusable = mode == EMUL_LONG64,
	};
}

static u16 random_code_selector(uint64_t *random)
{
	u16 own = mode == EMUL_LONG64 ? user_cs : segments[EMUL_SEG_CS].selector;
	unsigned int n;

	switch (unit_below(random, 8)) {
	case 0:
		return unit_below(random, 4);
	case 1:
		/*
		 * Data, or behind the table: code that is not ours would be run. Of an entry that
		 * is in no register now, the table has something old.
		 */
		n = unit_below(random, LDT_SIZE + 2);
		if (mode == EMUL_LONG64 ||
		    (n < LDT_SIZE && (!segments[n].present || (segments[n].type & 8))))
			return own;
		return n << 3 | 4 | unit_below(random, 4);
	case 2:
		return (own & ~3) | unit_below(random, 4);
	default:
		return own;
	}
}

static bool is_far(const struct emul_insn *insn)
{
	return insn->id == EMUL_OP_RETF || insn->row->form[0] == FORM_Ap ||
	       (insn->row->form[0] == FORM_Mp && insn->row->form[1] == FORM_NONE);
}

/* To the next instruction, or where no code can be; the pointer is in @bytes or at @target. */
static void aim_far(struct world *w, const struct emul_insn *insn, u8 *bytes, u64 rip, u64 target,
		    uint64_t *random)
{
	u64 offset = unit_below(random, 16) ? rip + insn->len : ~0ULL >> 1;
	unsigned int size = insn->opsize, gap = insn->id == EMUL_OP_RETF ? 2 * size : size + 2;
	u16 sel = random_code_selector(random);
	u8 *at = bytes + insn->len - gap;

	if (insn->row->form[0] != FORM_Ap) {
		if (target - DATA_BASE > WORLD_SIZE - 16)
			return;
		at = w->mem + (target - DATA_BASE);
	}
	memcpy(at, &offset, size);
	memcpy(at + size, &sel, 2);
}

/* An address in the data pages, more often than not near the border of two. */
static u64 random_target(uint64_t *random)
{
	static const u8 borders[] = { 1, 2, 2, 3, 3, 4, 5 };
	u64 border = DATA_BASE + borders[unit_below(random, sizeof(borders))] * WORLD_PAGE;

	if (unit_below(random, 3) == 0)
		return DATA_BASE + WORLD_PAGE + unit_below(random, 2 * WORLD_PAGE);
	return border + unit_below(random, 80) - 40;
}

static void random_state(struct world *w, uint64_t *random)
{
	static u8 noise[WORLD_SIZE + 64];
	unsigned int i, slide;

	world_init(w, mode, DATA_BASE);
	w->cpl = 3;
	w->code = code;
	w->code_base = CODE_BASE;
	w->code_len = CODE_SIZE;
	memcpy(w->seg, segments, sizeof(segments));
	w->seg[EMUL_SEG_TR].limit = 0;
	fill_tables(w);
	memset(w->page, WORLD_ABSENT, sizeof(w->page));
	w->page[1] = w->page[2] = w->page[3] = WORLD_WRITABLE;
	w->page[4] = WORLD_READ_ONLY;

	for (i = 0; i < 16; i++)
		w->gpr[i] = unit_below(random, 3) ? generate_value(random) : random_target(random);
	for (i = 0; i < 16 && mode != EMUL_LONG64; i++)
		w->gpr[i] = i < 8 ? (u32)w->gpr[i] : 0;
	w->e.rflags = X86_EFLAGS_FIXED | X86_EFLAGS_IF |
		      (unit_random(random) & (STATUS_FLAGS | X86_EFLAGS_DF));
	if (unit_below(random, 16) == 0)
		w->e.rflags |= X86_EFLAGS_AC;

	/* Memory is a window into the same noise, some of it new every time. */
	for (i = 0; i < 64; i++)
		((u64 *)noise)[unit_below(random, WORLD_SIZE / 8)] = generate_value(random);
	slide = unit_below(random, 64);
	memcpy(w->mem + WORLD_PAGE, noise + slide, 4 * WORLD_PAGE);
	for (i = 0; i < 16; i++) {
		u64 val[4] = { unit_random(random), unit_random(random), unit_random(random), i };

		memcpy(w->vec[i], val, sizeof(val));
	}
	for (i = 0; i < 8; i++) {
		u64 val = unit_random(random);

		memcpy(w->mmx[i], &val, sizeof(val));
	}
}

/* Segments that have no base in 64-bit mode have none in segments[] either. */
static u64 seg_base(const struct world *w, const struct emul_insn *insn)
{
	return w->seg[insn->seg].base;
}

static bool uses_string(const struct emul_insn *insn)
{
	return emul_forms[insn->row->form[0]].place >= PLACE_SRC ||
	       emul_forms[insn->row->form[1]].place >= PLACE_SRC;
}

static bool uses_offset(const struct emul_insn *insn)
{
	return emul_forms[insn->row->form[0]].place == PLACE_OFFSET ||
	       emul_forms[insn->row->form[1]].place == PLACE_OFFSET;
}

/* Patch the displacement in the bytes; Zydis knows where it is. */
static void patch_displacement(u8 *bytes, u64 disp)
{
	ZydisDecodedInstruction zi;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&zydis, NULL, bytes, 15, &zi)) ||
	    zi.raw.disp.size < 32)
		return;
	memcpy(bytes + zi.raw.disp.offset, &disp, zi.raw.disp.size / 8);
}

/* Make the memory operand point to @target, by whatever of the address can be changed. */
static void aim(struct world *w, const struct emul_insn *insn, u8 *bytes, u64 rip, u64 target)
{
	u64 ea = target - seg_base(w, insn), rest = (s64)insn->disp;

	if (insn->index != EMUL_REG_NONE)
		rest += w->gpr[insn->index] << insn->scale;
	if (insn->base == EMUL_REG_RIP)
		patch_displacement(bytes, ea - (rip + insn->len));
	else if (insn->base != EMUL_REG_NONE)
		w->gpr[insn->base] = ea - rest;
	else if (insn->index != EMUL_REG_NONE)
		w->gpr[insn->index] = (ea - (s64)insn->disp) >> insn->scale;
	else
		patch_displacement(bytes, ea);
}

static bool is_bit_test(const struct emul_insn *insn)
{
	return insn->id == EMUL_OP_BT || insn->id == EMUL_OP_BTS || insn->id == EMUL_OP_BTR ||
	       insn->id == EMUL_OP_BTC;
}

/* Where the stack is, as an offset into the world. */
static u64 stack_top(const struct world *w)
{
	const struct kvm_segment *ss = &w->seg[EMUL_SEG_SS];
	u64 sp = w->gpr[EMUL_RSP];

	if (mode != EMUL_LONG64)
		sp = (u32)((ss->db ? (u32)sp : (u16)sp) + ss->base);
	return sp - DATA_BASE;
}

/* What would trap behind the instruction is not for a test of one instruction. */
static void clear_trap_flag(struct world *w)
{
	u64 at = stack_top(w) + 1;

	if (at < WORLD_SIZE)
		w->mem[at] &= ~(X86_EFLAGS_TF >> 8);
}

/*
 * Of more than 8 bytes, and not aligned by law: the SDM leaves #AC to the CPU. AMD's raise it, and
 * Intel's do not.
 */
static bool wide_access(const struct emul_insn *insn)
{
	const struct emul_opcode *row = insn->row;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(row->form); i++) {
		switch (row->form[i]) {
		case FORM_Wx:
		case FORM_Mx:
		case FORM_Wdq:
		case FORM_Wddup:
			return !(row->flags & ROW_ALIGNED);
		}
	}
	return false;
}

/* Registers that an instruction of this kind reads addresses and counts from. */
static void prepare(struct world *w, const struct emul_insn *insn, u8 *bytes, u64 rip,
		    uint64_t *random)
{
	bool memory = insn->has_modrm && insn->modrm < 0xc0;
	unsigned int i;
	u64 target;

	w->gpr[EMUL_RSP] = random_target(random) - w->seg[EMUL_SEG_SS].base;
	if (uses_string(insn)) {
		w->gpr[EMUL_RSI] = random_target(random) - seg_base(w, insn);
		w->gpr[EMUL_RDI] = random_target(random) - w->seg[EMUL_SEG_ES].base;
		w->gpr[EMUL_RCX] = unit_below(random, 40);
		if (unit_below(random, 16) == 0)
			w->gpr[EMUL_RCX] = unit_below(random, 5000);
		/* Intel's CPUs cut off the indices' upper halves even then. */
		if (mode == EMUL_LONG64 && insn->adsize == 4 && insn->rep)
			w->gpr[EMUL_RCX] |= 1;
		/* Something to find and to be equal to */
		if (unit_below(random, 2))
			memset(w->mem + WORLD_PAGE, w->gpr[EMUL_RAX], 3 * WORLD_PAGE);
	}
	if (is_bit_test(insn))
		w->gpr[insn->reg] = (s64)unit_below(random, 400) - 200;
	/* Can't be aimed, or may go there: with #AC it is not seen where. */
	if (insn->base == insn->index || wide_access(insn))
		w->e.rflags &= ~(u64)X86_EFLAGS_AC;
	target = random_target(random);
	if (uses_offset(insn) || (memory && unit_below(random, 16)))
		aim(w, insn, bytes, rip, target);
	if (insn->id == EMUL_OP_RETF)
		target = stack_top(w) + DATA_BASE;
	if (is_far(insn))
		aim_far(w, insn, bytes, rip, target, random);
	if (insn->id == EMUL_OP_POPF)
		clear_trap_flag(w);
	if (insn->id == EMUL_OP_LEAVE)
		w->gpr[EMUL_RBP] = random_target(random) - w->seg[EMUL_SEG_SS].base;
	if (insn->id == EMUL_OP_XLAT)
		w->gpr[EMUL_RBX] = random_target(random) - seg_base(w, insn);
	if (insn->id == EMUL_OP_CMPXCHG8B || insn->id == EMUL_OP_CMPXCHG16B) {
		u64 ea = w->gpr[insn->base & 15] + (s64)insn->disp - DATA_BASE;

		if (unit_below(random, 2) && insn->base < 16 && ea < WORLD_SIZE - 16) {
			memcpy(&w->gpr[EMUL_RAX], w->mem + ea, 4);
			memcpy(&w->gpr[EMUL_RDX], w->mem + ea + 4, 4);
		}
	}
	if (insn->id == EMUL_OP_DIV || insn->id == EMUL_OP_IDIV)
		w->gpr[EMUL_RDX] = unit_below(random, 2) ? 0 :
				   w->gpr[EMUL_RDX] >> unit_below(random, 64);
	for (i = 0; i < 16 && mode != EMUL_LONG64; i++)
		w->gpr[i] = i < 8 ? (u32)w->gpr[i] : 0;
}

/* Flags that the SDM leaves undefined for what is about to be run. */
static u64 undefined_flags(const struct world *w)
{
	const u64 all = STATUS_FLAGS;
	const struct emul_insn *insn = &w->e.insn;
	unsigned int bits = w->e.op[0].size * 8;
	unsigned int count = w->e.op[1].val & (bits == 64 ? 63 : 31);

	switch (insn->id) {
	case EMUL_OP_AND:
	case EMUL_OP_OR:
	case EMUL_OP_XOR:
	case EMUL_OP_TEST:
		return X86_EFLAGS_AF;
	case EMUL_OP_ROL:
	case EMUL_OP_ROR:
	case EMUL_OP_RCL:
	case EMUL_OP_RCR:
		return count > 1 ? X86_EFLAGS_OF : 0;
	case EMUL_OP_SHL:
	case EMUL_OP_SHR:
	case EMUL_OP_SAR:
		if (!count)
			return 0;
		return X86_EFLAGS_AF | (count > 1 ? X86_EFLAGS_OF : 0) |
		       (count >= bits ? X86_EFLAGS_CF : 0);
	case EMUL_OP_SHLD:
	case EMUL_OP_SHRD:
		count = w->e.op[2].val & (bits == 64 ? 63 : 31);
		if (!count)
			return 0;
		return count > bits ? all : X86_EFLAGS_AF | (count > 1 ? X86_EFLAGS_OF : 0);
	case EMUL_OP_MUL:
	case EMUL_OP_IMUL:
		return all & ~(X86_EFLAGS_CF | X86_EFLAGS_OF);
	case EMUL_OP_DIV:
	case EMUL_OP_IDIV:
		return all;
	case EMUL_OP_BT:
	case EMUL_OP_BTS:
	case EMUL_OP_BTR:
	case EMUL_OP_BTC:
		return all & ~(X86_EFLAGS_CF | X86_EFLAGS_ZF);
	case EMUL_OP_BSF:
	case EMUL_OP_BSR:
		return all & ~X86_EFLAGS_ZF;
	default:
		return 0;
	}
}

/* The result itself is undefined, or differs between vendors where the SDM is on our side. */
static bool undefined_result(const struct world *w)
{
	const struct emul_insn *insn = &w->e.insn;
	unsigned int bits = w->e.op[0].size * 8;

	switch (insn->id) {
	case EMUL_OP_SHLD:
	case EMUL_OP_SHRD:
		return bits == 16 && (w->e.op[2].val & 31) > 16;
	case EMUL_OP_BSF:
	case EMUL_OP_BSR:
		return !w->e.op[1].val;
	case EMUL_OP_BSWAP:
		return insn->opsize == 2;
	default:
		return false;
	}
}

static bool is_vector(const struct emul_insn *insn)
{
	enum emul_place a = emul_forms[insn->row->form[0]].place;
	enum emul_place b = emul_forms[insn->row->form[1]].place;

	return a == PLACE_VEC_REG || b == PLACE_VEC_REG || a == PLACE_MMX_REG || b == PLACE_MMX_REG;
}

/*
 * Near branches go elsewhere, and are not for a test that runs one instruction; the kernel has a
 * say in what data segment registers hold. A bit offset that is part of the address as well can't
 * be kept small.
 */
static bool is_suitable(const struct emul_insn *insn)
{
	if (!insn->row->exec)
		return false;
	/* FS is the C library's. */
	if (mode != EMUL_LONG64 && insn->seg == EMUL_SEG_FS)
		return false;
	if (is_bit_test(insn) && (insn->reg == insn->base || insn->reg == insn->index))
		return false;
	if (insn->row->form[0] == FORM_Sw || emul_forms[insn->row->form[0]].place == PLACE_SEG)
		return false;
	/* XCHG with R8, or with F3 PAUSE: the one on AMD's CPUs, the other on Intel's. */
	if (insn->id == EMUL_OP_XCHG && insn->opcode == 0x90 && insn->rep == 0xf3)
		return false;
	switch (insn->id) {
	case EMUL_OP_CALL:
	case EMUL_OP_JMP:
		/* AMD's CPUs have no far pointers with 64 bits of offset. */
		return is_far(insn) && insn->opsize != 8;
	case EMUL_OP_RET:
	case EMUL_OP_LES:
	case EMUL_OP_LDS:
	case EMUL_OP_LSS:
	case EMUL_OP_LFS:
	case EMUL_OP_LGS:
	case EMUL_OP_SLDT:
	case EMUL_OP_STR:
	case EMUL_OP_LLDT:
	case EMUL_OP_LTR:
	case EMUL_OP_SMSW:
	case EMUL_OP_LMSW:
		return false;
	case EMUL_OP_ENTER:
		return !(insn->imm2 & 31);
	case EMUL_OP_MOVDIRI:
		/* Few CPUs have it. */
		return false;
	case EMUL_OP_MOVSXD:
		/* AMD's CPUs read 32 bits here. */
		return insn->opsize != 2;
	default:
		return true;
	}
}

/* A relative jump reads no memory, which EFLAGS.AC would have a say in; nor does a far one. */
static void put_exit(u8 *at)
{
	s32 distance = (s64)native_exit - (s64)(at + 5);
	u32 target = (u64)native_exit_compat;

	if (mode == EMUL_LONG64) {
		*at++ = 0xe9;
		memcpy(at, &distance, sizeof(distance));
		return;
	}
	if (mode == EMUL_PROT16)
		*at++ = 0x66;
	*at++ = 0xea;
	memcpy(at, &target, sizeof(target));
	memcpy(at + 4, &user_cs, sizeof(user_cs));
}

static void run_native(const struct world *w, u64 rip, bool vectors)
{
	memcpy(native_state.gpr, w->gpr, sizeof(w->gpr));
	native_state.rflags = w->e.rflags;
	memcpy(native_state.ymm, w->vec, sizeof(w->vec));
	memcpy(native_state.mmx, w->mmx, sizeof(w->mmx));
	memcpy(alias + WORLD_PAGE, w->mem + WORLD_PAGE, 4 * WORLD_PAGE);
	native_entry = mode == EMUL_LONG64 ? rip : (u64)native_enter_compat;
	native_far.offset = rip;
	native_far.selector = segments[EMUL_SEG_CS].selector;
	native_fault = (struct native_fault){};
	native_run(vectors, mode != EMUL_LONG64);
}

/*
 * A fault in the middle: the registers that were popped, and what is below the stack pointer, are
 * nobody's then; AMD's CPUs have loaded and stored some of it.
 */
static bool leaves_traces(const struct world *w)
{
	switch (w->e.insn.id) {
	case EMUL_OP_CALL:
	case EMUL_OP_PUSHA:
	case EMUL_OP_POPA:
		return true;
	default:
		return false;
	}
}

/*
 * What the SDM leaves to the CPU: #AC or #GP for what deserves both, and an access that wraps around
 * at the end of a segment of 4 GiB (vol. 3, 5.3).
 */
static bool is_up_to_the_cpu(const struct world *w, int rc)
{
	const struct emul_fault *f = &w->e.fault;
	bool segment = f->vector == GP_VECTOR || f->vector == SS_VECTOR;

	if (rc != EMUL_FAULT || !segment || !native_fault.happened)
		return false;
	if (native_fault.vector == AC_VECTOR)
		return w->e.rflags & X86_EFLAGS_AC;
	return mode != EMUL_LONG64 && native_fault.vector == PF_VECTOR &&
	       native_fault.cr2 >> 12 == 0xfffff;
}

static const char *compare_fault(const struct world *w, int rc, u64 rip)
{
	const struct emul_fault *f = &w->e.fault;

	if ((rc == EMUL_FAULT) != native_fault.happened)
		return "exception";
	if (!native_fault.happened)
		return NULL;
	/* If both of its operands fault, either may come first: AMD's CPUs take the second. */
	if ((w->e.insn.id == EMUL_OP_CMPS || w->e.insn.id == EMUL_OP_RETF) &&
	    native_fault.rip == rip)
		return NULL;
	if (f->vector != native_fault.vector || native_fault.rip != rip || w->e.rip != rip)
		return "exception";
	if (f->has_error_code && f->error_code != native_fault.error_code)
		return "error code";
	if (f->vector == PF_VECTOR && f->cr2 != native_fault.cr2)
		return "CR2";
	return NULL;
}

/* Outside of 64-bit mode there are 8 of 32 bits. */
static bool same_registers(const struct world *w)
{
	unsigned int i;

	if (mode == EMUL_LONG64)
		return !memcmp(w->gpr, native_state.gpr, sizeof(w->gpr));
	for (i = 0; i < 8; i++)
		if ((u32)w->gpr[i] != (u32)native_state.gpr[i])
			return false;
	return true;
}

static const char *compare_state(const struct world *w, int rc, u64 rip, bool vectors)
{
	bool ok = rc == EMUL_OK;
	const char *what = is_up_to_the_cpu(w, rc) ? NULL : compare_fault(w, rc, rip);
	u64 flags = STATUS_FLAGS | X86_EFLAGS_DF | X86_EFLAGS_IF | X86_EFLAGS_IOPL |
		    X86_EFLAGS_NT | X86_EFLAGS_AC | X86_EFLAGS_ID;

	if (what)
		return what;
	if (ok)
		flags &= ~undefined_flags(w);
	else if (w->e.insn.id == EMUL_OP_CMPS || w->e.insn.id == EMUL_OP_SCAS)
		flags &= ~STATUS_FLAGS;
	if (ok ? undefined_result(w) : leaves_traces(w) || is_up_to_the_cpu(w, rc))
		return NULL;
	if (!same_registers(w))
		return "registers";
	if ((w->e.rflags ^ native_state.rflags) & flags)
		return "flags";
	if (memcmp(data + WORLD_PAGE, w->mem + WORLD_PAGE, 4 * WORLD_PAGE))
		return "memory";
	if (vectors && (memcmp(w->vec, native_state.ymm, sizeof(w->vec)) ||
			memcmp(w->mmx, native_state.mmx, sizeof(w->mmx))))
		return "vectors";
	return NULL;
}

static void complain(const char *what, const struct world *before, const struct world *w, int rc,
		     u64 rip)
{
	unsigned int i;

	printf("# %s:", what);
	for (i = 0; i < w->e.insn.len; i++)
		printf(" %02x", w->e.insn.bytes[i]);
	printf(" at %llx\n", (unsigned long long)rip);
	printf("#   us: %d #%d(%x) cr2 %llx; CPU: %d #%d(%x) cr2 %llx rip %llx\n", rc,
	       w->e.fault.vector, w->e.fault.error_code, (unsigned long long)w->e.fault.cr2,
	       native_fault.happened, native_fault.vector, native_fault.error_code,
	       (unsigned long long)native_fault.cr2, (unsigned long long)native_fault.rip);
	for (i = 0; i < 16; i++)
		if (w->gpr[i] != native_state.gpr[i] || before->gpr[i] != w->gpr[i])
			printf("#   r%u: before %llx us %llx CPU %llx\n", i,
			       (unsigned long long)before->gpr[i], (unsigned long long)w->gpr[i],
			       (unsigned long long)native_state.gpr[i]);
	printf("#   rflags: before %llx us %llx CPU %llx; rsp %llx rcx %llx rsi %llx rdi %llx\n",
	       (unsigned long long)before->e.rflags, (unsigned long long)w->e.rflags,
	       (unsigned long long)native_state.rflags, (unsigned long long)before->gpr[4],
	       (unsigned long long)before->gpr[1], (unsigned long long)before->gpr[6],
	       (unsigned long long)before->gpr[7]);
}

static unsigned long ran[EMUL_OP_COUNT], faulted;

/*
 * It would not come back: it goes elsewhere, or it faults here and does not for real. Of CS on the
 * stack Intel's CPUs read 2 bytes, whatever its place has, and those behind may not be there.
 */
static bool gets_lost(const struct world *w, int rc, u64 next)
{
	if (w->outside || (rc == EMUL_OK && w->e.rip != next))
		return true;
	return rc == EMUL_FAULT && w->e.insn.id == EMUL_OP_RETF &&
	       (w->e.fault.vector == PF_VECTOR || w->e.fault.vector == SS_VECTOR);
}

/* One random instruction: 1: ran and is the same, 0: not run, -1: different */
static int one_case(uint64_t *random)
{
	static struct world before, w;
	struct emul_insn insn;
	const char *what;
	bool vectors;
	unsigned int offset;
	u8 bytes[16];
	u64 rip;
	int rc;

	generate(random, mode, bytes);
	if (emul_decode_bytes(&insn, mode, bytes, 15) != EMUL_OK || !is_suitable(&insn))
		return 0;
	offset = 64 + unit_below(random, WORLD_PAGE);
	rip = CODE_BASE + offset - cs_base;
	random_state(&before, random);
	prepare(&before, &insn, bytes, rip, random);
	memcpy(code + offset, bytes, insn.len);
	put_exit(code + offset + insn.len);
	before.e.rip = rip;

	w = before;
	w.e.gpr = w.gpr;
	rc = world_run(&w, 10000);
	if (gets_lost(&w, rc, rip + insn.len))
		return 0;
	vectors = is_vector(&insn);
	run_native(&before, rip, vectors);
	what = compare_state(&w, rc, rip, vectors);
	ran[insn.id]++;
	faulted += rc == EMUL_FAULT;
	if (!what)
		return 1;
	complain(what, &before, &w, rc, rip);
	return -1;
}

static void run_mode(enum emul_mode new_mode, const char *name)
{
	unsigned long same = 0, different = 0, tried, kinds = 0, i;
	uint64_t random = unit_seed;
	char line[80];

	snprintf(line, sizeof(line), "execute as the CPU does: %s", name);
	memset(ran, 0, sizeof(ran));
	faulted = 0;
	if (!set_mode(new_mode, &random)) {
		unit_skip(line, "no such segments on this kernel");
		return;
	}
	for (tried = 0; same < unit_count && different < 10; tried++) {
		int rc = one_case(&random);

		same += rc > 0;
		different += rc < 0;
		if (mode != EMUL_LONG64 && tried % 64 == 0)
			new_segments(&random);
	}
	for (i = 0; i < EMUL_OP_COUNT; i++)
		kinds += ran[i] != 0;
	printf("# %lu generated, %lu run, %lu of them faulted, %lu different; %lu mnemonics\n",
	       tried, same + different, faulted, different, kinds);
	unit_result(!different && same, line);
}

int main(int argc, char **argv)
{
	unit_options(argc, argv, 50000);
	set_up();
	run_mode(EMUL_LONG64, "64-bit");
	run_mode(EMUL_PROT32, "32-bit");
	run_mode(EMUL_PROT16, "16-bit");
	return unit_done();
}
