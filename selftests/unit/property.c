// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "property.h"

struct world property_worlds[2];
int property_results[2];
u8 property_code[16];
int property_code_mode = -1;

struct input {
	const u8 *data;
	size_t size;
};

static u64 take(struct input *in, unsigned int bytes)
{
	u64 val = 0;

	if (in->size < bytes) {
		in->size = 0;
		return 0;
	}
	memcpy(&val, in->data, bytes);
	in->data += bytes;
	in->size -= bytes;
	return val;
}

/* Most registers and bases lie near the pages, or nothing would ever be accessed. */
static u64 take_address(struct input *in, u64 base)
{
	u8 how = take(in, 1);

	if (how < 0xa0)
		return base + take(in, 2) % WORLD_SIZE;
	if (how < 0xc0)
		return (s8)take(in, 1);
	return take(in, 8);
}

static void take_segment(struct input *in, struct world *w, enum emul_seg seg)
{
	struct kvm_segment *s = &w->seg[seg];
	u8 how = take(in, 1);

	if (how < 0x60)
		return;
	s->base = w->e.mode < EMUL_PROT16 ? w->base : (u32)take_address(in, 0);
	if (how < 0x90)
		return;
	s->limit = how & 1 ? take(in, 2) : take(in, 4);
	if (w->e.mode < EMUL_PROT16)
		return;
	s->type = take(in, 1) & 15;
	s->db = how >> 1 & 1;
	s->unusable = (how & 0x1c) == 0;
	s->present = (how & 0x1c) != 4;
}

static void fill(u8 *mem)
{
	static u8 pattern[WORLD_SIZE];
	unsigned int i;

	for (i = 0; !pattern[1] && i < WORLD_SIZE; i++)
		pattern[i] = i * 29 + (i >> 8);
	memcpy(mem, pattern, WORLD_SIZE);
}

static void take_world(struct input *in, struct world *w)
{
	static const u64 bases[] = { 0x10000, 0x7fffffff8000, 0xffffc000, 0xffffffffffffc000 };
	enum emul_mode mode = take(in, 1) % (EMUL_LONG64 + 1);
	u8 how = take(in, 1);
	u64 base = bases[how & 3];
	unsigned int i, n;

	if (mode == EMUL_REAL || mode == EMUL_VM86)
		base = 0x10000;
	else if (mode != EMUL_LONG64 && base > 0xffffffff)
		base = 0xffffc000;
	world_init(w, mode, base);
	w->cpl = how & 4 ? 3 : 0;
	w->cr0 ^= how & 0x18 ? 0 : X86_CR0_TS;
	w->cr4 ^= how & 0xe0 ? 0 : X86_CR4_LA57;
	w->cmpxchg_fails = (how & 0x30) == 0x30;
	for (i = 0; i < WORLD_PAGES; i++)
		w->page[i] = (u8[]){ 2, 2, 3, 3, 3, 1, 0, 3 }[take(in, 1) & 7];
	for (i = EMUL_SEG_ES; i <= EMUL_SEG_LDTR; i++)
		take_segment(in, w, i);
	if (mode < EMUL_PROT16)
		for (i = EMUL_SEG_ES; i <= EMUL_SEG_GS; i++)
			w->seg[i].base = base;
	for (i = 0; i < 16; i++)
		w->gpr[i] = take_address(in, mode < EMUL_PROT16 ? 0 : base);
	if (how & 0x40)
		w->gpr[EMUL_RCX] &= 63;
	w->e.rflags |= take(in, 3) & 0x247fd5;
	w->gdt_base = base + 0x1000;
	w->gdt_limit = 0x5fff;
	fill(w->mem);

	/* The code is in memory, at the end of some page, with or without the next one. */
	w->page[1] = WORLD_WRITABLE;
	n = 1 + take(in, 1) % 16;
	w->e.rip = 2 * WORLD_PAGE - n;
	for (i = 0; i < 16; i++)
		w->mem[w->e.rip + i] = property_code_mode < 0 ? take(in, 1) : property_code[i];
	if (w->page[2] == WORLD_DEVICE)
		w->page[2] = WORLD_WRITABLE;
	/* What wraps to address 0 is two ops, and after the first of them it is too late. */
	w->races = take(in, 2) & take(in, 2);
	if (base > 0xffffffff - WORLD_SIZE)
		w->races = 0;
	w->e.rip += base - (mode == EMUL_LONG64 ? 0 : w->seg[EMUL_SEG_CS].base);
	if (mode != EMUL_LONG64)
		w->e.rip = (u32)w->e.rip;
}

/* The same world with memory in place of devices, and no races lost */
static void without_devices(struct world *to, const struct world *from)
{
	unsigned int i;

	*to = *from;
	to->e.gpr = to->gpr;
	to->races = 0;
	for (i = 0; i < WORLD_PAGES; i++)
		if (to->page[i] == WORLD_DEVICE)
			to->page[i] = WORLD_WRITABLE;
}

static const char *compare(const struct world *a, const struct world *b, const int *rc)
{
	if (a->changed || b->changed)
		return "a run that did not succeed changed something";
	if (rc[0] != rc[1])
		return "results differ";
	if (rc[0] == EMUL_FAULT && memcmp(&a->e.fault, &b->e.fault, sizeof(a->e.fault)))
		return "exceptions differ";
	if (memcmp(a->gpr, b->gpr, sizeof(a->gpr)) || a->e.rip != b->e.rip ||
	    a->e.rflags != b->e.rflags)
		return "registers differ";
	if (memcmp(a->seg, b->seg, sizeof(a->seg)))
		return "segments differ";
	if (memcmp(a->mem, b->mem, sizeof(a->mem)))
		return "memory differs";
	if (memcmp(a->vec, b->vec, sizeof(a->vec)) || memcmp(a->mmx, b->mmx, sizeof(a->mmx)))
		return "vector registers differ";
	return NULL;
}

static const char *check_alone(const struct world *w, int rc)
{
	if (rc == EMUL_SUSPEND || rc > EMUL_UNHANDLED)
		return "not a final result";
	if (rc <= EMUL_AGAIN && (w->e.insn.len < 1 || w->e.insn.len > EMUL_INSN_MAX))
		return "length";
	if (rc == EMUL_FAULT && (w->e.fault.vector > XM_VECTOR ||
				 (w->e.mode == EMUL_REAL && w->e.fault.vector != PF_VECTOR &&
				  w->e.fault.has_error_code)))
		return "exception";
	return NULL;
}

/*
 * Batches of port I/O are cut at devices: the number of iterations may differ. And the I/O
 * permission bitmap, which INS may write over, is looked at once for a batch.
 */
static bool is_comparable(const struct world *b)
{
	return property_results[0] != EMUL_AGAIN && property_results[1] != EMUL_AGAIN &&
	       !(b->e.insn.id == EMUL_OP_INS && (b->cpl || b->e.mode == EMUL_VM86));
}

/* An instruction that overwrites itself is another one when it starts again. */
#define CODE_START	(2 * WORLD_PAGE - 16)
#define CODE_BYTES	32

const char *property_check(const u8 *data, size_t size)
{
	struct world *a = &property_worlds[0], *b = &property_worlds[1];
	struct input in = { data, size };
	u8 code[CODE_BYTES];
	const char *what;

	take_world(&in, b);
	memcpy(code, b->mem + CODE_START, CODE_BYTES);
	without_devices(a, b);
	b->device_is_memory = true;
	property_results[0] = world_run(a, 64);
	property_results[1] = world_run(b, 64);
	what = check_alone(a, property_results[0]);
	if (!what)
		what = check_alone(b, property_results[1]);
	if (!what && is_comparable(b) && !memcmp(code, a->mem + CODE_START, CODE_BYTES))
		what = compare(a, b, property_results);
	return what;
}

static void print_registers(const struct world *w, int result)
{
	unsigned int i;

	printf("#   %d, #%d, rip %llx rflags %llx", result, w->e.fault.vector,
	       (unsigned long long)w->e.rip, (unsigned long long)w->e.rflags);
	for (i = 0; i < 16; i++)
		printf(" %llx", (unsigned long long)w->gpr[i]);
	printf("\n");
}

void property_report(const char *what)
{
	const struct emul_insn *insn = &property_worlds[1].e.insn;
	unsigned int i;

	printf("# %s: mode %d:", what, property_worlds[1].e.mode);
	for (i = 0; i < insn->len; i++)
		printf(" %02x", insn->bytes[i]);
	printf("\n");
	for (i = 0; i < 2; i++)
		print_registers(&property_worlds[i], property_results[i]);
	fflush(stdout);
}
