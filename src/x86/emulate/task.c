// SPDX-License-Identifier: GPL-2.0
/*
 * Switches of tasks: SDM Vol. 3, chapter 8 (Task Management); APM Vol. 2, chapter 12. Hypervisors
 * have to carry them out, for neither vendor's hardware does so in a guest.
 *
 * Three parts, in the order of SDM 8.3: what can still fail in the old task, and changes nothing;
 * the old task's state saved and the new one's loaded, from where there is no way back; and the
 * new task's segments, whose faults are its own.
 */
#include "x86/emulate/opcode.h"

/*
 * Both kinds of TSS are the same thing in words of 2 or 4 bytes: after a static part come, a word
 * each, (E)IP, (E)FLAGS, the general registers and the segment registers in the order of their
 * encoding, and then the LDT's selector (SDM figures 8-2 and 8-10). Only selectors have 16 bits in
 * either. Of the rest, the 32-bit kind alone has CR3 and the trap bit.
 */
struct tss_format {
	u8 word;
	u8 first;		/* offset of (E)IP */
	u8 segments;		/* segment registers: ES, CS, SS, DS, and FS, GS */
	u8 size;
};

static const struct tss_format tss16 = { .word = 2, .first = 14, .segments = 4, .size = 44 };
static const struct tss_format tss32 = { .word = 4, .first = 32, .segments = 6, .size = 104 };

enum tss_word { WORD_IP, WORD_FLAGS, WORD_GPR, WORD_SEGMENT = WORD_GPR + 8 };

#define TSS_LINK	0
#define TSS_CR3		28
#define TSS_TRAP	100
#define TSS_MAX		104

/* The rights of a descriptor: a byte of its own, so that a locked access is within a page. */
#define DESC_RIGHTS	5
#define RIGHTS_BUSY	2

struct tss {
	const struct tss_format *format;
	struct kvm_segment seg;
	u64 descriptor;		/* linear address */
};

struct task_switch {
	struct emul *e;
	const struct emul_task *task;
	struct tss old, new;
};

static const struct tss_format *format_of(const struct kvm_segment *seg)
{
	return seg->type & 8 ? &tss32 : &tss16;
}

static unsigned int word_offset(const struct tss_format *f, unsigned int word)
{
	return f->first + f->word * word;
}

/* What a task's registers take: all but the LDT's selector, which no task changes. */
static unsigned int saved_size(const struct tss_format *f)
{
	return f->word * (WORD_SEGMENT + f->segments);
}

static u64 tss_address(const struct tss *tss, unsigned int offset)
{
	return (u32)(tss->seg.base + offset);
}

/* --- In the old task. --- */

/* A TSS that is available, or for IRET one that is busy: SDM table 8-1. */
static int check_descriptor(const struct task_switch *s)
{
	const struct kvm_segment *seg = &s->new.seg;
	u8 busy = s->task->returns ? RIGHTS_BUSY : 0;

	if (seg->s || (seg->type & 5) != 1 || (seg->type & RIGHTS_BUSY) != busy)
		return emul_raise_selector(s->e, GP_VECTOR, seg->selector);
	if (!seg->present)
		return emul_raise_selector(s->e, NP_VECTOR, seg->selector);
	if (seg->limit < format_of(seg)->size - 1u)
		return emul_raise_selector(s->e, TS_VECTOR, seg->selector);
	return EMUL_OK;
}

/* Only the GDT has TSSs. */
static int find_new(struct task_switch *s)
{
	struct emul *e = s->e;
	u16 selector = s->task->selector;
	u64 desc;
	int rc;

	if (selector & 4 || !(selector & ~3u))
		return emul_raise_selector(e, GP_VECTOR, selector);
	rc = emul_read_descriptor(e, selector, &desc, &s->new.descriptor);
	if (rc)
		return rc;
	emul_parse_descriptor(desc, selector, &s->new.seg);
	s->new.format = format_of(&s->new.seg);
	return check_descriptor(s);
}

/* A selector beyond the GDT's limit can be in TR: its descriptor was there when it was loaded. */
static int find_old(struct task_switch *s)
{
	struct emul *e = s->e;
	struct tss *old = &s->old;

	e->ops->segment(e, EMUL_SEG_TR, &old->seg);
	old->format = format_of(&old->seg);
	old->descriptor = e->ops->sysreg(e, EMUL_GDT_BASE) + (old->seg.selector & ~7u);
	if (old->seg.limit < word_offset(old->format, 0) + saved_size(old->format) - 1)
		return emul_raise_selector(e, TS_VECTOR, old->seg.selector);
	return EMUL_OK;
}

static int probe(struct emul *e, u64 la, unsigned int len, bool write)
{
	int rc = e->ops->probe(e, (u32)la, len, write, EMUL_SYSTEM);

	/* A TSS in a device: nobody's. */
	return rc == EMUL_SUSPEND ? EMUL_UNHANDLED : rc;
}

/* Everything that will be written or read of both, so that page faults come now or never. */
static int probe_all(const struct task_switch *s)
{
	const struct emul_task *t = s->task;
	const struct tss *old = &s->old, *new = &s->new;
	struct emul *e = s->e;
	int rc;

	rc = probe(e, tss_address(old, word_offset(old->format, 0)), saved_size(old->format), true);
	if (!rc)
		rc = probe(e, tss_address(new, 0), new->format->size, false);
	if (!rc && t->nests)
		rc = probe(e, tss_address(new, TSS_LINK), 2, true);
	if (!rc && !t->nests)
		rc = probe(e, old->descriptor + DESC_RIGHTS, 1, true);
	if (!rc && !t->returns)
		rc = probe(e, new->descriptor + DESC_RIGHTS, 1, true);
	return rc;
}

/* IRET's complaints of the back link are #TS, all others' of their selector #GP. */
static int check(struct task_switch *s)
{
	int rc;

	s->e->bad_selector = s->task->returns ? TS_VECTOR : GP_VECTOR;
	rc = find_new(s);
	if (!rc)
		rc = find_old(s);
	return rc ? rc : probe_all(s);
}

/* --- From one to the other: what was probed does not fail, or the guest is past help. --- */

static int read_system(struct emul *e, u64 la, void *buf, unsigned int len)
{
	return e->ops->read(e, (u32)la, buf, len, EMUL_SYSTEM) ? EMUL_UNHANDLED : EMUL_OK;
}

static int write_system(struct emul *e, u64 la, const void *buf, unsigned int len)
{
	return e->ops->write(e, (u32)la, buf, len, EMUL_SYSTEM) ? EMUL_UNHANDLED : EMUL_OK;
}

static void put_word(const struct tss_format *f, u8 *image, unsigned int word, u32 value)
{
	memcpy(image + word_offset(f, word), &value, f->word);
}

static u32 get_word(const struct tss_format *f, const u8 *image, unsigned int word)
{
	u32 value = 0;

	memcpy(&value, image + word_offset(f, word), f->word);
	return value;
}

static u16 get_selector(const struct tss_format *f, const u8 *image, unsigned int seg)
{
	return get_word(f, image, WORD_SEGMENT + seg);
}

/* The flags that the old task goes on with: IRET ends the nesting. */
static u64 flags_to_save(const struct task_switch *s)
{
	return s->task->returns ? s->e->rflags & ~(u64)X86_EFLAGS_NT : s->e->rflags;
}

/* Bytes beside a selector stay as they are. */
static int save_old(const struct task_switch *s)
{
	const struct tss_format *f = s->old.format;
	struct emul *e = s->e;
	u64 la = tss_address(&s->old, f->first);
	struct kvm_segment seg;
	u8 image[TSS_MAX];
	unsigned int i;

	if (read_system(e, la, image + f->first, saved_size(f)))
		return EMUL_UNHANDLED;
	put_word(f, image, WORD_IP, e->rip);
	put_word(f, image, WORD_FLAGS, flags_to_save(s));
	for (i = 0; i < 8; i++)
		put_word(f, image, WORD_GPR + i, e->gpr[i]);
	for (i = 0; i < f->segments; i++) {
		e->ops->segment(e, i, &seg);
		memcpy(image + word_offset(f, WORD_SEGMENT + i), &seg.selector, 2);
	}
	return write_system(e, la, image + f->first, saved_size(f));
}

/* Races that are lost in a row: more than other vCPUs have a reason for. */
#define RACE_TRIES	8

/* Set or clear the busy bit, locked as on a CPU. */
static int mark_busy(struct emul *e, const struct tss *tss, bool busy)
{
	u64 la = (u32)(tss->descriptor + DESC_RIGHTS);
	int rc = EMUL_AGAIN, tries = RACE_TRIES;

	while (rc == EMUL_AGAIN && tries--) {
		u8 old, new;

		if (read_system(e, la, &old, 1))
			return EMUL_UNHANDLED;
		new = busy ? old | RIGHTS_BUSY : old & ~RIGHTS_BUSY;
		rc = e->ops->compare_swap(e, la, &old, &new, 1, EMUL_SYSTEM);
	}
	return rc ? EMUL_UNHANDLED : EMUL_OK;
}

/* Which of the two is busy, and who returns to whom: SDM table 8-2. */
static int link_tasks(const struct task_switch *s)
{
	const struct emul_task *t = s->task;
	int rc = EMUL_OK;

	if (t->nests)
		rc = write_system(s->e, tss_address(&s->new, TSS_LINK), &s->old.seg.selector, 2);
	else
		rc = mark_busy(s->e, &s->old, false);
	if (!rc && !t->returns)
		rc = mark_busy(s->e, &s->new, true);
	return rc;
}

static void load_gprs(struct emul *e, const struct tss_format *f, const u8 *image)
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		e->gpr[i] = get_word(f, image, WORD_GPR + i);
	memcpy(e->new_gpr, e->gpr, sizeof(e->new_gpr));
}

static void load_flags(const struct task_switch *s, u32 flags)
{
	s->e->rflags = (flags & FLAGS_KNOWN) | X86_EFLAGS_FIXED;
	if (s->task->nests)
		s->e->rflags |= X86_EFLAGS_NT;
}

static bool is_vm86(const struct emul *e)
{
	return e->rflags & X86_EFLAGS_VM;
}

/*
 * Until its descriptor is loaded, a segment register has the task's selector and no segment. SS
 * has the CPL, and CS must be one that hardware enters a guest with.
 */
static void load_selectors(const struct task_switch *s, const u8 *image)
{
	struct emul *e = s->e;
	u8 cpl = is_vm86(e) ? 3 : get_selector(s->new.format, image, EMUL_SEG_CS) & 3;
	unsigned int i;

	for (i = 0; i <= EMUL_SEG_GS; i++) {
		struct kvm_segment seg = { .dpl = cpl, .unusable = 1 };

		if (i < s->new.format->segments)
			seg.selector = get_selector(s->new.format, image, i);
		if (i == EMUL_SEG_CS) {
			seg = (struct kvm_segment){
				.limit = ~0u, .selector = seg.selector, .type = 11, .s = 1,
				.dpl = cpl, .present = 1, .db = 1, .g = 1,
			};
		}
		e->ops->set_segment(e, i, &seg);
	}
}

static void load_tr(const struct task_switch *s)
{
	struct kvm_segment tr = s->new.seg;

	tr.type |= RIGHTS_BUSY;
	s->e->ops->set_segment(s->e, EMUL_SEG_TR, &tr);
}

static int load_new(const struct task_switch *s, const u8 *image)
{
	const struct tss_format *f = s->new.format;
	struct emul *e = s->e;
	u64 cr3;

	load_tr(s);
	e->switched = true;
	e->rip = get_word(f, image, WORD_IP);
	load_gprs(e, f, image);
	load_flags(s, get_word(f, image, WORD_FLAGS));
	load_selectors(s, image);
	e->mode = is_vm86(e) ? EMUL_VM86 : EMUL_PROT32;
	memcpy(&cr3, image + TSS_CR3, sizeof(u32));
	cr3 = (u32)cr3;
	return e->ops->task_registers(e, f == &tss32 ? &cr3 : NULL);
}

/* --- In the new task. --- */

/* One that is not present is a #TS as well, other than for LLDT. */
static int load_ldt(struct emul *e, u16 selector)
{
	struct kvm_segment none = { .selector = selector, .unusable = 1 };

	e->ops->set_segment(e, EMUL_SEG_LDTR, &none);
	return emul_load_ldt(e, selector, TS_VECTOR);
}

/* SDM Vol. 3, 21.2.2: what is in the registers of a virtual-8086 task. */
static int load_vm86(const struct task_switch *s, const u8 *image)
{
	unsigned int i;

	for (i = 0; i <= EMUL_SEG_GS; i++) {
		u16 selector = get_selector(s->new.format, image, i);
		struct kvm_segment seg = {
			.base = selector << 4, .limit = 0xffff, .selector = selector,
			.type = 3, .s = 1, .dpl = 3, .present = 1,
		};

		s->e->ops->set_segment(s->e, i, &seg);
	}
	return EMUL_OK;
}

static int load_code(struct emul *e, u16 selector)
{
	struct kvm_segment cs;
	int rc;

	rc = emul_find_code(e, selector, &cs, false);
	if (rc)
		return rc;
	e->ops->set_segment(e, EMUL_SEG_CS, &cs);
	e->mode = cs.db ? EMUL_PROT32 : EMUL_PROT16;
	return EMUL_OK;
}

/* CS first: its RPL is the CPL, which the others are judged by. */
static int load_protected(const struct task_switch *s, const u8 *image)
{
	static const u8 order[] = { EMUL_SEG_SS, EMUL_SEG_DS, EMUL_SEG_ES, EMUL_SEG_FS, EMUL_SEG_GS };
	const struct tss_format *f = s->new.format;
	struct emul *e = s->e;
	unsigned int i;
	int rc;

	rc = load_code(e, get_selector(f, image, EMUL_SEG_CS));
	for (i = 0; i < ARRAY_SIZE(order) && !rc; i++)
		if (order[i] < f->segments)
			rc = emul_load_segment(e, order[i], get_selector(f, image, order[i]));
	return rc;
}

/* The race is the guest's with itself, and the task cannot begin anew: see guest_translate(). */
static int in_new_task(int rc)
{
	return rc == EMUL_AGAIN || rc == EMUL_SUSPEND ? EMUL_UNHANDLED : rc;
}

static int load_segments(const struct task_switch *s, const u8 *image)
{
	struct emul *e = s->e;
	int rc;

	e->bad_selector = TS_VECTOR;
	rc = load_ldt(e, get_selector(s->new.format, image, s->new.format->segments));
	if (rc)
		return rc;
	return is_vm86(e) ? load_vm86(s, image) : load_protected(s, image);
}

/* As wide as the TSS is. */
static int push_error_code(const struct task_switch *s)
{
	int rc;

	if (!s->task->has_error_code)
		return EMUL_OK;
	rc = emul_push(s->e, s->task->error_code, s->new.format->word);
	if (!rc)
		memcpy(s->e->gpr, s->e->new_gpr, sizeof(s->e->new_gpr));
	return rc;
}

/*
 * Who loses a race, as by another vCPU that marks the same descriptor as accessed, loads all of
 * it again: the CPL is the same, and nothing has been pushed.
 */
static int enter_new(const struct task_switch *s, const u8 *image)
{
	int rc, tries = RACE_TRIES;

	do {
		rc = load_segments(s, image);
		if (!rc)
			rc = push_error_code(s);
	} while (rc == EMUL_AGAIN && --tries);
	return rc;
}

static int begin_new(const struct task_switch *s, const u8 *image)
{
	struct emul *e = s->e;
	int rc;

	rc = enter_new(s, image);
	if (!rc)
		rc = emul_code_target(e, e->rip);
	e->task_trap = s->new.format == &tss32 && image[TSS_TRAP] & 1;
	return in_new_task(rc);
}

static int switch_tasks(struct task_switch *s)
{
	u8 image[TSS_MAX] = { 0 };
	int rc;

	rc = check(s);
	if (rc)
		return rc;
	/* One task may be both, by an IRET to itself: so save, then read. */
	rc = save_old(s);
	if (!rc)
		rc = link_tasks(s);
	if (!rc)
		rc = read_system(s->e, tss_address(&s->new, 0), image, s->new.format->size);
	if (!rc)
		rc = load_new(s, image);
	return rc ? rc : begin_new(s, image);
}

int emul_task_switch(struct emul *e, const struct emul_task *t)
{
	/* No instruction: the error code's stack has no more rules than the segment's. */
	static const struct emul_opcode none;
	struct task_switch s = { .e = e, .task = t };
	int rc;

	if (!e->ops->task_registers || !e->ops->set_segment)
		return EMUL_UNHANDLED;
	e->insn = (struct emul_insn){ .row = &none };
	e->switched = false;
	e->task_trap = false;
	rc = switch_tasks(&s);
	/* EXT: SDM Vol. 3, 6.13. */
	if (rc == EMUL_FAULT && t->external && e->fault.vector != PF_VECTOR)
		e->fault.error_code |= 1;
	return rc;
}
