// SPDX-License-Identifier: GPL-2.0
#include "unit.h"
#include "world.h"

static struct world *world_of(struct emul *e)
{
	return (struct world *)((char *)e - offsetof(struct world, e));
}

static int page_fault(struct world *w, u64 la, bool present, bool write, bool fetch)
{
	w->e.fault = (struct emul_fault){
		.vector = PF_VECTOR,
		.has_error_code = true,
		.error_code = present | write << 1 | (w->cpl == 3) << 2 | fetch << 4,
		.cr2 = la,
	};
	return EMUL_FAULT;
}

/* Rights of the page of @la, or #PF. */
static int check_page(struct world *w, u64 la, bool write, bool system, u8 *kind)
{
	u64 offset = la - w->base;
	bool write_protected;

	*kind = offset < WORLD_SIZE ? w->page[offset / WORLD_PAGE] : WORLD_ABSENT;
	if (offset + WORLD_PAGE >= WORLD_SIZE + 2 * WORLD_PAGE)
		w->outside = true;
	write_protected = write && *kind == WORLD_READ_ONLY;
	if (*kind != WORLD_ABSENT && !write_protected)
		return EMUL_OK;
	page_fault(w, la, *kind != WORLD_ABSENT, write, false);
	if (system)
		w->e.fault.error_code &= ~4u;
	return EMUL_FAULT;
}

static int access_range(struct world *w, u64 la, u8 *buf, unsigned int len, bool write)
{
	u8 kind;
	int rc;

	rc = check_page(w, la, write, false, &kind);
	if (rc)
		return rc;
	if (kind == WORLD_DEVICE)
		return emul_replay_mmio(&w->replay, la - w->base, buf, len, write);
	if (write)
		memcpy(w->mem + (la - w->base), buf, len);
	else
		memcpy(buf, w->mem + (la - w->base), len);
	return EMUL_OK;
}

static unsigned int to_page_end(u64 la, unsigned int len)
{
	unsigned int room = WORLD_PAGE - la % WORLD_PAGE;

	return room < len ? room : len;
}

static bool loses_race(struct world *w)
{
	bool lost = w->races & 1;

	w->races >>= 1;
	return lost;
}

static int check_range(struct world *w, u64 la, unsigned int len, bool write)
{
	int rc, res = EMUL_OK;
	unsigned int n;
	u8 kind;

	for (; len; la += n, len -= n) {
		n = to_page_end(la, len);
		rc = check_page(w, la, write, false, &kind);
		if (rc)
			return rc;
		if (kind == WORLD_DEVICE)
			res = EMUL_SUSPEND;
	}
	return res;
}

/* The pages that are devices, or those that are not */
static int access_kind(struct world *w, u64 la, u8 *buf, unsigned int len, bool write, bool device)
{
	unsigned int n;
	int rc;

	for (; len; la += n, buf += n, len -= n) {
		n = to_page_end(la, len);
		if (device != (check_range(w, la, n, write) == EMUL_SUSPEND))
			continue;
		rc = access_range(w, la, buf, n, write);
		if (rc)
			return rc;
	}
	return EMUL_OK;
}

/* On a page crossing nothing is touched unless all of it may be, and devices come first. */
static int access_memory(struct world *w, u64 la, u8 *buf, unsigned int len, bool write)
{
	int rc = check_range(w, la, len, write);

	if (rc != EMUL_FAULT)
		rc = access_kind(w, la, buf, len, write, true);
	return rc ? rc : access_kind(w, la, buf, len, write, false);
}

static int op_probe(struct emul *e, u64 la, unsigned int len, bool write, enum emul_access as)
{
	struct world *w = world_of(e);

	(void)as;
	return loses_race(w) ? EMUL_AGAIN : check_range(w, la, len, write);
}

static int op_read(struct emul *e, u64 la, void *buf, unsigned int len, enum emul_access as)
{
	struct world *w = world_of(e);

	if (as == EMUL_SYSTEM && w->tables && la + len <= w->tables_len) {
		memcpy(buf, w->tables + la, len);
		return EMUL_OK;
	}
	return loses_race(w) ? EMUL_AGAIN : access_memory(w, la, buf, len, false);
}

static int op_write(struct emul *e, u64 la, const void *buf, unsigned int len, enum emul_access as)
{
	struct world *w = world_of(e);

	(void)as;
	return loses_race(w) ? EMUL_AGAIN : access_memory(w, la, (u8 *)buf, len, true);
}

static int op_cmpxchg(struct emul *e, u64 la, const void *old, const void *new, unsigned int len,
		      enum emul_access as)
{
	struct world *w = world_of(e);
	u8 now[16];
	int rc;

	(void)as;
	if (loses_race(w))
		return EMUL_AGAIN;
	if (w->cmpxchg_fails) {
		w->cmpxchg_fails--;
		return EMUL_AGAIN;
	}
	if (check_range(w, la, len, true) == EMUL_OK) {
		rc = access_memory(w, la, now, len, false);
		if (rc)
			return rc;
		if (memcmp(now, old, len))
			return EMUL_AGAIN;
	}
	return access_memory(w, la, (u8 *)new, len, true);
}

static int op_fetch(struct emul *e, u64 la, void *buf, unsigned int len)
{
	struct world *w = world_of(e);
	u8 kind;

	if (w->code) {
		if (la - w->code_base + len > w->code_len)
			return page_fault(w, la, false, false, true);
		memcpy(buf, w->code + (la - w->code_base), len);
		return EMUL_OK;
	}
	if (loses_race(w))
		return EMUL_AGAIN;
	if (check_page(w, la, false, false, &kind))
		return page_fault(w, la, false, false, true);
	if (la - w->base + len > w->max_fetched)
		w->max_fetched = la - w->base + len;
	memcpy(buf, w->mem + (la - w->base), len);
	return EMUL_OK;
}

static void op_segment(struct emul *e, enum emul_seg seg, struct kvm_segment *out)
{
	*out = world_of(e)->seg[seg];
}

static void op_set_segment(struct emul *e, enum emul_seg seg, const struct kvm_segment *s)
{
	world_of(e)->seg[seg] = *s;
}

static int op_lmsw(struct emul *e, u16 msw)
{
	world_of(e)->msw = msw;
	return EMUL_OK;
}

static int op_task_registers(struct emul *e, const u64 *cr3)
{
	(void)cr3;
	world_of(e)->cr0 |= X86_CR0_TS;
	return EMUL_OK;
}

static u64 op_sysreg(struct emul *e, enum emul_sysreg reg)
{
	struct world *w = world_of(e);
	const u64 values[] = {
		[EMUL_CPL] = w->cpl, [EMUL_CR0] = w->cr0, [EMUL_CR4] = w->cr4,
		[EMUL_XCR0] = w->xcr0, [EMUL_EFER] = w->efer,
		[EMUL_GDT_BASE] = w->gdt_base, [EMUL_GDT_LIMIT] = w->gdt_limit,
	};

	return values[reg];
}

static int op_pio_in(struct emul *e, u16 port, unsigned int size, void *buf, u32 *count)
{
	struct world *w = world_of(e);
	int rc = emul_replay_pio(&w->replay, port, size, count, false);

	if (!rc)
		memcpy(buf, w->pio, size * *count);
	return rc;
}

static int op_pio_out(struct emul *e, u16 port, unsigned int size, const void *buf, u32 *count)
{
	struct world *w = world_of(e);
	int rc = emul_replay_pio(&w->replay, port, size, count, true);

	if (rc == EMUL_SUSPEND)
		memcpy(w->pio, buf, size * *count);
	return rc;
}

static void op_read_vec(struct emul *e, unsigned int reg, void *buf, unsigned int len)
{
	memcpy(buf, world_of(e)->vec[reg], len);
}

static void op_write_vec(struct emul *e, unsigned int reg, const void *buf, unsigned int len)
{
	memcpy(world_of(e)->vec[reg], buf, len);
}

static int op_check_mmx(struct emul *e)
{
	if (!world_of(e)->x87_pending)
		return EMUL_OK;
	e->fault = (struct emul_fault){ .vector = MF_VECTOR };
	return EMUL_FAULT;
}

static void op_read_mmx(struct emul *e, unsigned int reg, void *buf)
{
	memcpy(buf, world_of(e)->mmx[reg], 8);
}

static void op_write_mmx(struct emul *e, unsigned int reg, const void *buf)
{
	memcpy(world_of(e)->mmx[reg], buf, 8);
}

static const struct emul_ops ops = {
	.fetch = op_fetch,
	.read = op_read,
	.write = op_write,
	.compare_swap = op_cmpxchg,
	.probe = op_probe,
	.segment = op_segment,
	.set_segment = op_set_segment,
	.lmsw = op_lmsw,
	.task_registers = op_task_registers,
	.sysreg = op_sysreg,
	.pio_in = op_pio_in,
	.pio_out = op_pio_out,
	.read_vec = op_read_vec,
	.write_vec = op_write_vec,
	.check_mmx = op_check_mmx,
	.read_mmx = op_read_mmx,
	.write_mmx = op_write_mmx,
};

void world_init(struct world *w, enum emul_mode mode, u64 base)
{
	unsigned int i;

	memset(w, 0, sizeof(*w));
	w->e.ops = &ops;
	w->e.gpr = w->gpr;
	w->e.mode = mode;
	w->e.rflags = X86_EFLAGS_FIXED;
	w->cr0 = mode == EMUL_REAL ? 0 : X86_CR0_PE | X86_CR0_PG | X86_CR0_AM;
	w->cr4 = X86_CR4_OSFXSR | X86_CR4_OSXSAVE;
	w->xcr0 = 7;
	w->efer = mode == EMUL_LONG64 ? 0xd01 : 0;
	w->base = base;
	for (i = 0; i < EMUL_SEG_NONE; i++)
		w->seg[i] = (struct kvm_segment){
			.limit = mode < EMUL_PROT16 ? 0xffff : 0xffffffff,
			.type = i == EMUL_SEG_CS ? 11 : 3,
			.present = 1,
			.s = 1,
			.db = mode == EMUL_PROT32,
			.l = mode == EMUL_LONG64 && i == EMUL_SEG_CS,
			.g = mode >= EMUL_PROT16,
			.selector = i * 8,
		};
	w->seg[EMUL_SEG_TR].type = 11;
	w->seg[EMUL_SEG_TR].s = 0;
	memset(w->page, WORLD_WRITABLE, sizeof(w->page));
}

/* Answer the pending piece as a VMM does. */
static void answer(struct world *w)
{
	struct emul_piece *piece = emul_replay_pending(&w->replay);
	struct world_exit *exit = &w->exits[w->exit_count++ % ARRAY_SIZE(w->exits)];
	unsigned int i;

	w->suspends++;
	*exit = (struct world_exit){
		.kind = piece->kind, .len = piece->len, .count = piece->count, .addr = piece->addr,
	};
	switch (piece->kind) {
	case EMUL_PIECE_MMIO_READ:
		if (w->device_is_memory) {
			memcpy(piece->data, w->mem + piece->addr, piece->len);
			break;
		}
		for (i = 0; i < piece->len; i++)
			piece->data[i] = ++w->device;
		break;
	case EMUL_PIECE_MMIO_WRITE:
		memcpy(&exit->data, piece->data, piece->len);
		if (w->device_is_memory)
			memcpy(w->mem + piece->addr, piece->data, piece->len);
		break;
	case EMUL_PIECE_PIO_IN:
		for (i = 0; i < piece->len * piece->count; i++)
			w->pio[i] = ++w->device;
		break;
	default:
		memcpy(&exit->data, w->pio, 8);
		break;
	}
	emul_replay_answered(&w->replay);
}

/* One run of the instruction; on its way, check the promise of a restart. */
static int run_once(struct world *w)
{
	u64 gpr[16], rip = w->e.rip, rflags = w->e.rflags;
	int rc;

	memcpy(gpr, w->gpr, sizeof(gpr));
	w->e.repeat = false;
	emul_replay_restart(&w->replay);
	rc = emul_decode(&w->e);
	if (rc == EMUL_OK)
		rc = emul_execute(&w->e);
	if (rc != EMUL_OK && !(rc == EMUL_AGAIN && w->e.repeat) &&
	    (memcmp(gpr, w->gpr, sizeof(gpr)) || rip != w->e.rip || rflags != w->e.rflags))
		w->changed = true;
	return rc;
}

int world_run(struct world *w, unsigned int max)
{
	int rc;

	emul_replay_forget(&w->replay);
	for (;;) {
		rc = run_once(w);
		if (rc == EMUL_SUSPEND) {
			answer(w);
			continue;
		}
		if (rc != EMUL_AGAIN || w->e.repeat)
			emul_replay_forget(&w->replay);
		if (rc != EMUL_AGAIN || --max == 0)
			return rc;
	}
}

void world_code(struct world *w, u64 la, const void *bytes, unsigned int len)
{
	memcpy(w->mem + (la - w->base), bytes, len);
	w->e.rip = la;
}
