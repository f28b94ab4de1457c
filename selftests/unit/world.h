/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest for the emulator, in user space: registers, segments, a few pages of memory each with
 * rights of its own, device memory answered as a VMM would, ports. Whatever the emulator does to
 * it can be looked at afterwards.
 */
#ifndef MINIKVM_SELFTESTS_UNIT_WORLD_H
#define MINIKVM_SELFTESTS_UNIT_WORLD_H

#include "x86/emulate/replay.h"

#define WORLD_PAGES	8
#define WORLD_PAGE	4096u
#define WORLD_SIZE	(WORLD_PAGES * WORLD_PAGE)

enum world_page {
	WORLD_ABSENT,
	WORLD_READ_ONLY,
	WORLD_WRITABLE,
	WORLD_DEVICE,
};

/* One access that left the world, as a VMM sees it. */
struct world_exit {
	u8 kind;	/* enum emul_piece_kind */
	u8 len;
	u16 count;
	u64 addr;
	u64 data;	/* of writes */
};

/**
 * struct world - a guest
 * @e: the emulator's context; e.gpr points to @gpr
 * @base: linear address of mem[0]
 * @outside: some access went further away from the pages than one page
 * @code: if not NULL, instructions are fetched from here, all of it present: @code_base on
 * @tables: if not NULL, descriptors are read from here, @tables_len bytes at 0
 * @exits: what user space has seen, in order
 * @device: what a device read gives: one byte more for each byte read
 * @device_is_memory: devices are backed by mem[] instead
 * @changed: registers changed although nothing was done
 * @cmpxchg_fails: that many locked accesses lose their race
 * @races: a bit for each op to come that reaches memory: it loses a race with the page tables
 */
struct world {
	struct emul e;
	u64 gpr[16];
	struct kvm_segment seg[EMUL_SEG_NONE];
	u64 cr0, cr4, xcr0, cpl, efer, gdt_base, gdt_limit;
	u16 msw;	/* what LMSW loaded */
	u8 vec[16][32];
	u8 mmx[8][8];
	bool x87_pending;
	u64 base;
	u8 mem[WORLD_SIZE];
	u8 page[WORLD_PAGES];
	bool outside;
	const u8 *code;
	u64 code_base;
	unsigned int code_len;
	const u8 *tables;
	unsigned int tables_len;
	struct emul_replay replay;
	struct world_exit exits[64];
	unsigned int exit_count;
	unsigned int suspends;
	u8 device;
	bool device_is_memory;
	bool changed;
	unsigned int cmpxchg_fails;
	u32 races;
	u8 pio[4096];
	u32 max_fetched;	/* end of the code read so far, in mem[] */
};

/* A guest at @base in @mode, CPL 0, flat segments, all pages writable, everything else zero. */
void world_init(struct world *w, enum emul_mode mode, u64 base);

/*
 * Decode and execute the instruction at rip, with user space answering, until it is complete:
 * EMUL_OK, EMUL_FAULT or EMUL_UNHANDLED. At most @max iterations; EMUL_AGAIN if there are more.
 */
int world_run(struct world *w, unsigned int max);

/* Write code to linear address @la and set rip, for a flat code segment. */
void world_code(struct world *w, u64 la, const void *bytes, unsigned int len);

#endif
