// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator against the CPU that the test runs on: random instructions with random registers
 * and memory, once in the emulator's world and once for real, in user mode and 64-bit mode.
 * Registers, flags, memory, vector registers and exceptions must come out the same.
 *
 * The real one runs in pages at the same addresses as the world's. The emulator goes first: an
 * instruction that it sees reaching for other memory is not run for real.
 */
#define _GNU_SOURCE
#include <Zydis/Zydis.h>
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
extern char native_exit[];
void native_run(bool vectors);

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

/* The interrupted code may have set AC, and the compiler knows nothing of that. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *gregs = uc->uc_mcontext.gregs;

	asm volatile("pushfq; andl $~0x40000, (%%rsp); popfq" ::: "memory", "cc");
	(void)sig;
	(void)info;
	if (gregs[REG_RIP] < (greg_t)CODE_BASE || gregs[REG_RIP] >= (greg_t)(CODE_BASE + CODE_SIZE)) {
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
	ZydisDecoderInit(&zydis, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
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

	world_init(w, EMUL_LONG64, DATA_BASE);
	w->cpl = 3;
	w->code = code;
	w->code_base = CODE_BASE;
	w->code_len = CODE_SIZE;
	w->seg[EMUL_SEG_FS].base = fs_base;
	w->seg[EMUL_SEG_TR].limit = 0;
	for (i = 0; i <= EMUL_SEG_GS; i++)
		w->seg[i].selector = selector(i);
	memset(w->page, WORLD_ABSENT, sizeof(w->page));
	w->page[1] = w->page[2] = w->page[3] = WORLD_WRITABLE;
	w->page[4] = WORLD_READ_ONLY;

	for (i = 0; i < 16; i++)
		w->gpr[i] = unit_below(random, 3) ? generate_value(random) : random_target(random);
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

static u64 seg_base(const struct world *w, const struct emul_insn *insn)
{
	return insn->seg >= EMUL_SEG_FS ? w->seg[insn->seg].base : 0;
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

/* Registers that an instruction of this kind reads addresses and counts from. */
static void prepare(struct world *w, const struct emul_insn *insn, u8 *bytes, u64 rip,
		    uint64_t *random)
{
	bool memory = insn->has_modrm && insn->modrm < 0xc0;

	w->gpr[EMUL_RSP] = random_target(random);
	if (uses_string(insn)) {
		w->gpr[EMUL_RSI] = random_target(random) - seg_base(w, insn);
		w->gpr[EMUL_RDI] = random_target(random);
		w->gpr[EMUL_RCX] = unit_below(random, 40);
		if (unit_below(random, 16) == 0)
			w->gpr[EMUL_RCX] = unit_below(random, 5000);
		/* Something to find and to be equal to */
		if (unit_below(random, 2))
			memset(w->mem + WORLD_PAGE, w->gpr[EMUL_RAX], 3 * WORLD_PAGE);
	}
	if (is_bit_test(insn))
		w->gpr[insn->reg] = (s64)unit_below(random, 400) - 200;
	/* Can't be aimed, and with #AC it is not seen where it goes. */
	if (insn->base == insn->index)
		w->e.rflags &= ~(u64)X86_EFLAGS_AC;
	if (uses_offset(insn) || (memory && unit_below(random, 16)))
		aim(w, insn, bytes, rip, random_target(random));
	if (insn->id == EMUL_OP_CMPXCHG8B || insn->id == EMUL_OP_CMPXCHG16B) {
		u64 ea = w->gpr[insn->base & 15] + (s64)insn->disp - DATA_BASE;

		if (unit_below(random, 2) && insn->base < 16 && ea < WORLD_SIZE - 16) {
			memcpy(&w->gpr[EMUL_RAX], w->mem + ea, 4);
			memcpy(&w->gpr[EMUL_RDX], w->mem + ea + 4, 4);
		}
	}
	if (insn->id == EMUL_OP_DIV || insn->id == EMUL_OP_IDIV)
		w->gpr[EMUL_RDX] = unit_below(random, 2) ? 0 : w->gpr[EMUL_RDX] >> unit_below(random, 64);
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
 * Branches go elsewhere, and are not for a test that runs one instruction. A bit offset that is
 * part of the address as well can't be kept small.
 */
static bool is_suitable(const struct emul_insn *insn)
{
	if (!insn->row->exec)
		return false;
	if (is_bit_test(insn) && (insn->reg == insn->base || insn->reg == insn->index))
		return false;
	switch (insn->id) {
	case EMUL_OP_CALL:
	case EMUL_OP_JMP:
	case EMUL_OP_RET:
		return false;
	case EMUL_OP_MOVSXD:
		/* AMD's CPUs read 32 bits here. */
		return insn->opsize != 2;
	default:
		return true;
	}
}

/* A relative jump reads no memory, which EFLAGS.AC would have a say in. */
static void put_exit(u8 *at)
{
	s32 distance = (s64)native_exit - (s64)(at + 5);

	at[0] = 0xe9;
	memcpy(at + 1, &distance, sizeof(distance));
}

static void run_native(const struct world *w, u64 rip, bool vectors)
{
	memcpy(native_state.gpr, w->gpr, sizeof(w->gpr));
	native_state.rflags = w->e.rflags;
	memcpy(native_state.ymm, w->vec, sizeof(w->vec));
	memcpy(native_state.mmx, w->mmx, sizeof(w->mmx));
	memcpy(alias + WORLD_PAGE, w->mem + WORLD_PAGE, 4 * WORLD_PAGE);
	native_entry = rip;
	native_fault = (struct native_fault){};
	native_run(vectors);
}

static const char *compare_fault(const struct world *w, int rc, u64 rip)
{
	const struct emul_fault *f = &w->e.fault;

	if ((rc == EMUL_FAULT) != native_fault.happened)
		return "exception";
	if (!native_fault.happened)
		return NULL;
	/* If both of its operands fault, either may come first: AMD's CPUs take the second. */
	if (w->e.insn.id == EMUL_OP_CMPS && native_fault.rip == rip)
		return NULL;
	if (f->vector != native_fault.vector || native_fault.rip != rip || w->e.rip != rip)
		return "exception";
	if (f->has_error_code && f->error_code != native_fault.error_code)
		return "error code";
	if (f->vector == PF_VECTOR && f->cr2 != native_fault.cr2)
		return "CR2";
	return NULL;
}

static const char *compare_state(const struct world *w, int rc, u64 rip, bool vectors)
{
	bool ok = rc == EMUL_OK;
	const char *what = compare_fault(w, rc, rip);
	u64 flags = STATUS_FLAGS | X86_EFLAGS_DF;

	if (what)
		return what;
	if (ok)
		flags &= ~undefined_flags(w);
	if (ok && undefined_result(w))
		return NULL;
	if (memcmp(w->gpr, native_state.gpr, sizeof(w->gpr)))
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

/* One random instruction: 1: ran and is the same, 0: not run, -1: different */
static int one_case(uint64_t *random)
{
	static struct world before, w;
	struct emul_insn insn;
	const char *what;
	bool vectors;
	u8 bytes[16];
	u64 rip;
	int rc;

	generate(random, EMUL_LONG64, bytes);
	if (emul_decode_bytes(&insn, EMUL_LONG64, bytes, 15) != EMUL_OK || !is_suitable(&insn))
		return 0;
	rip = CODE_BASE + 64 + unit_below(random, WORLD_PAGE);
	random_state(&before, random);
	prepare(&before, &insn, bytes, rip, random);
	memcpy(code + (rip - CODE_BASE), bytes, insn.len);
	put_exit(code + (rip - CODE_BASE) + insn.len);
	before.e.rip = rip;

	w = before;
	w.e.gpr = w.gpr;
	rc = world_run(&w, 10000);
	if (w.outside)
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

int main(int argc, char **argv)
{
	unsigned long same = 0, different = 0, tried, kinds = 0, i;
	uint64_t random;

	unit_options(argc, argv, 50000);
	set_up();
	random = unit_seed;
	for (tried = 0; same < unit_count && different < 10; tried++) {
		int rc = one_case(&random);

		same += rc > 0;
		different += rc < 0;
	}
	for (i = 0; i < EMUL_OP_COUNT; i++)
		kinds += ran[i] != 0;
	printf("# %lu generated, %lu run, %lu of them faulted, %lu different; %lu mnemonics\n",
	       tried, same + different, faulted, different, kinds);
	unit_result(!different && same, "execute as the CPU does: 64-bit");
	return unit_done();
}
