// SPDX-License-Identifier: GPL-2.0
/* Steps on a vCPU: each part of its state, got, changed and set. */
#include <stddef.h>

#include "differ.h"

static int any(void)
{
	return one_in(4);
}

/* ---- state that is one struct ---- */

struct part {
	const char *name;
	unsigned long get, set;
	size_t size;
	void (*change)(void *state);
	void (*mask)(void *state);
};

/* What an operating system might want of it, so that not all is refused. */
static void change_sregs(void *state)
{
	struct kvm_sregs *s = state;
	static const u64 cr0[] = { 0x10, 0x11, 0x80000011, 0x80050033, 0x60000010, 0xe0000011 };
	static const u64 cr4[] = { 0, 0x20, 0x10, 0x620, 0x2020, 0x1000, 0x40000, 0x200000, 0x20020 };
	static const u64 efer[] = { 0, 0x500, 0x100, 0xd01, 0x400 };

	if (one_in(2))
		s->cr0 = pick(cr0);
	if (one_in(2))
		s->cr4 = pick(cr4);
	if (one_in(2))
		s->efer = pick(efer);
	s->cr4 &= ~cr4_not_claimed();
	if (one_in(4))
		s->cr3 = value();
	/* Bits 63:32 are ignored in PAE paging, but KVM looks for PDPTEs there. */
	if (!(s->efer & 0x400))
		s->cr3 = (u32)s->cr3;
	if (one_in(4))
		s->cr8 = one_in(2) ? below(16) : value();
	if (one_in(8))
		s->apic_base = one_in(2) ? 0xfee00000 | below(16) << 8 : value();
	if (one_in(8))
		s->interrupt_bitmap[below(4)] = 1ull << below(64);
	say(" cr0 %llx cr3 %llx cr4 %llx efer %llx cr8 %llx base %llx", s->cr0, s->cr3, s->cr4,
	    s->efer, s->cr8, s->apic_base);
}

/* sregs2 begins like sregs. */
static void change_sregs2(void *state)
{
	struct kvm_sregs2 *s = state;
	struct kvm_sregs old;

	memcpy(&old, s, offsetof(struct kvm_sregs, interrupt_bitmap));
	change_sregs(&old);
	memcpy(s, &old, offsetof(struct kvm_sregs, interrupt_bitmap));
	if (one_in(4))
		s->flags = value();
	if (one_in(4))
		s->pdptrs[below(4)] = value();
}

static void change_regs(void *state)
{
	struct kvm_regs *r = state;

	if (one_in(2))
		r->rflags = value();
	if (one_in(2))
		r->rip = value();
}

static void change_events(void *state)
{
	struct kvm_vcpu_events *e = state;

	memset(&e->smi, 0, sizeof(e->smi));
	/* When KVM refuses a triple fault it has set all the rest: settable() has that as it is. */
	if (one_in(16)) {
		e->flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
		return;
	}
	if (one_in(2)) {
		e->exception.injected = below(2);
		e->exception.nr = one_in(4) ? value() : below(32);
		e->exception.has_error_code = below(2);
		e->exception.error_code = below(64);
		e->exception.pending = one_in(4);
	}
	if (one_in(4)) {
		e->interrupt.injected = below(2);
		e->interrupt.nr = value();
	}
	if (one_in(4)) {
		e->nmi.injected = below(2);
		e->nmi.pending = below(4);
		e->nmi.masked = below(2);
	}
	if (one_in(4))
		e->sipi_vector = value();
	if (one_in(4))
		e->interrupt.shadow = below(4);
	if (one_in(8))
		e->triple_fault.pending = below(2);
	if (one_in(8))
		e->exception_has_payload = below(2), e->exception_payload = value();
	if (one_in(2))
		e->flags = one_in(4) ? value() : below(64);
	/* No handler of SMM's is there. */
	e->flags &= ~(KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	/* Of two that are on their way one is lost, sooner or later. */
	if (e->exception.injected)
		e->nmi.injected = 0;
	if (e->exception.injected || e->nmi.injected)
		e->interrupt.injected = 0;
}

static void change_mp_state(void *state)
{
	struct kvm_mp_state *mp = state;

	mp->mp_state = one_in(8) ? value() : below(6);
}

static void change_debugregs(void *state)
{
	struct kvm_debugregs *d = state;

	if (one_in(2))
		d->dr6 = value();
	if (one_in(2))
		d->dr7 = value();
	if (one_in(2))
		d->db[below(4)] = value();
	if (one_in(8))
		d->flags = value();
}

static void change_xcrs(void *state)
{
	struct kvm_xcrs *x = state;

	x->nr_xcrs = one_in(8) ? value() : 1;
	x->xcrs[0].value = one_in(2) ? value() : 1 | below(512);
	x->xcrs[0].xcr = one_in(8) ? below(4) : 0;
	if (one_in(8))
		x->flags = value();
}

static void change_fpu(void *state)
{
	struct kvm_fpu *f = state;

	if (one_in(2))
		f->mxcsr = one_in(2) ? value() : 0x1f80;
	if (one_in(2))
		f->fcw = value();
	if (one_in(2))
		f->ftwx = value();
}

static void change_xsave(void *state)
{
	struct kvm_xsave *x = state;
	u64 *header = (u64 *)&x->region[128];

	if (one_in(2))
		header[0] = one_in(2) ? value() : below(1024);
	if (one_in(8))
		header[1 + below(7)] = value();
	if (one_in(2))
		x->region[6] = one_in(2) ? value() : 0x1f80;	/* MXCSR */
	if (one_in(4))
		x->region[below(200)] = value();
}

void mask_events(void *state)
{
	struct kvm_vcpu_events *e = state;

	/* KVM of 6.1 says whether one waits, and loses the other. */
	e->nmi.pending = !!e->nmi.pending;
	/* KVM tells of the last one, when there is none. */
	if (!e->exception.injected && !e->exception.pending)
		memset(&e->exception, 0, sizeof(e->exception));
	if (!e->exception.has_error_code)
		e->exception.error_code = 0;
	if (!e->exception_has_payload)
		e->exception_payload = 0;
	/* Nor is INT3 or INTO one that is injected. */
	if (e->exception.nr == 3 || e->exception.nr == 4)
		memset(&e->exception, 0, sizeof(e->exception));
	if (!e->interrupt.injected)
		e->interrupt.nr = e->interrupt.soft = 0;
}

/* Bochs's SVM ends Bochs in virtual-8086 mode, where KVM enters it. */
u64 rflags_not_here(void)
{
	return host_is_intel() || host_is_tcg() ? 0 : 0x20000;
}

/* RF is KVM's between two iterations that it emulates. */
static void mask_regs(void *state)
{
	struct kvm_regs *r = state;

	r->rflags &= ~0x10000ull;
}

/* Until it has run, KVM on SVM has types that no instruction would have loaded. */
void mask_sregs(void *state)
{
	struct kvm_sregs *s = state;

	s->cs.type |= 1;
	s->ss.type |= 1;
	s->tr.type |= 8;
	s->cr0 |= 0x10;			/* ET, which KVM lets user space clear */
}

/* The count goes on; and KVM keeps what is set between the registers. */
static void mask_lapic(void *state)
{
	struct kvm_lapic_state *l = state;

	memset(l->regs + 0x390, 0, 4);
	memset(l->regs + 0xa0, 0, 4);		/* KVM counts what is in service too late */
	l->regs[0x80] &= 0xf0;			/* and on SVM loses what CR8 has no room for */
	memset(l->regs + 0xc0, 0, 4);
	memset(l->regs + 0x180, 0, 2);		/* it takes vectors below 16, and has no errors */
	memset(l->regs + 0x200, 0, 2);
	memset(l->regs + 0x280, 0, 4);
	memset(l->regs + 0x290, 0, 4);
	memset(l->regs + 0x400, 0, sizeof(l->regs) - 0x400);
	for (int i = 0; i < 0x400; i += 16)
		memset(l->regs + i + 4, 0, i == 0x300 ? 0 : 12);
}

/* TCG keeps in DR6 what is always 0; and of what is always 1 KVM learns late, where it is not emulated. */
static void mask_debugregs(void *state)
{
	struct kvm_debugregs *d = state;

	d->dr6 = (d->dr6 & ~0x1000ull) | 0xffff0ff0;
	d->dr7 |= 0x400;
}

static void change_lapic(void *state)
{
	static const u16 regs[] = {
		0x30, 0x80, 0xd0, 0xe0, 0xf0, 0x280, 0x300, 0x310, 0x320, 0x330, 0x340, 0x350,
		0x360, 0x370, 0x3e0, 0x100, 0x110, 0x170, 0x180, 0x200, 0x210, 0x270,
	};
	struct kvm_lapic_state *l = state;
	u32 v;

	for (int i = below(4); i > 0; i--) {
		u16 reg = pick(regs);

		v = one_in(2) ? value() : 1u << below(32);
		/* A timer's interrupts come when they come; and errors KVM does not detect. */
		if (reg == 0x320 || reg == 0x370)
			v |= 1 << 16;
		memcpy(l->regs + reg, &v, 4);
		say(" %x=%x", reg, v);
	}
}

static const struct part parts[] = {
	{ "regs", KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs), change_regs, mask_regs },
	{ "sregs", KVM_GET_SREGS, KVM_SET_SREGS, sizeof(struct kvm_sregs), change_sregs, mask_sregs },
	{ "sregs2", KVM_GET_SREGS2, KVM_SET_SREGS2, sizeof(struct kvm_sregs2), change_sregs2, mask_sregs },
	{ "events", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, sizeof(struct kvm_vcpu_events), change_events, mask_events },
	{ "mp_state", KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state), change_mp_state },
	{ "debugregs", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs), change_debugregs, mask_debugregs },
	{ "xcrs", KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs), change_xcrs },
	{ "fpu", KVM_GET_FPU, KVM_SET_FPU, sizeof(struct kvm_fpu), change_fpu },
	{ "xsave", KVM_GET_XSAVE, KVM_SET_XSAVE, sizeof(struct kvm_xsave), change_xsave },
	{ "lapic", KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state), change_lapic, mask_lapic },
};

/* What is in use is the CPU's to say, when it has saved the state: KVM does so more often. */
static void say_state(const struct part *p, void *state)
{
	if (p->mask)
		p->mask(state);
	if (p->get == KVM_GET_XSAVE)
		((struct kvm_xsave *)state)->region[128] = 0;
	say_bytes(p->name, state, p->size);
}

#define HAVE_FPU	3		/* x87 and SSE, in XSTATE_BV */

/* Of what is not in use KVM tells what was there when it was. */
static void mask_unused(struct world *w, int n, struct kvm_fpu *fpu)
{
	struct kvm_xsave xsave = { 0 };

	ioctl(w->vcpu[n], KVM_GET_XSAVE, &xsave);
	if (!(xsave.region[128] & 1))
		memset(fpu->fpr, 0, sizeof(fpu->fpr));
	if (!(xsave.region[128] & 2))
		memset(fpu->xmm, 0, sizeof(fpu->xmm));
}

static void say_part(struct world *w, int n, const struct part *p, bool errors)
{
	void *state = argument(p->size);

	if (ioctl(w->vcpu[n], p->get, state)) {
		if (errors)
			say(" | %s = %s", p->name, strerrorname_np(errno));
		return;
	}
	if (p->get == KVM_GET_FPU)
		mask_unused(w, n, state);
	say_state(p, state);
}

static bool settable(struct world *w, int n, const struct part *p, void *state)
{
	struct kvm_vcpu_events *e = state;
	struct kvm_xsave xsave = { 0 };
	struct kvm_sregs *s = state;	/* sregs2 begins like it */
	struct kvm_regs *r = state;

	switch (p->set) {
	case KVM_SET_REGS:
		r->rflags &= ~rflags_not_here();
		return true;
	/* KVM takes any EFER, and then enters no guest. */
	case KVM_SET_SREGS:
	case KVM_SET_SREGS2:
		s->efer &= 0xd01;
		return true;
	/* Of what is always 1 KVM's guest sees what was set, until it has run with it. */
	case KVM_SET_DEBUGREGS:
		mask_debugregs(state);
		return true;
	/* No handler of SMM's is there; INT n executes again. */
	case KVM_SET_VCPU_EVENTS:
		if (e->flags == KVM_VCPUEVENT_VALID_TRIPLE_FAULT) {
			ioctl(w->vcpu[n], KVM_GET_VCPU_EVENTS, e);
			e->flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
			if (e->exception.pending)	/* that is not set without another flag */
				return false;
		}
		return !(e->flags & KVM_VCPUEVENT_VALID_SMM) && !e->interrupt.soft;
	/* KVM loses what is set of a component that was not in use. */
	case KVM_SET_FPU:
		ioctl(w->vcpu[n], KVM_GET_XSAVE, &xsave);
		return (xsave.region[128] & HAVE_FPU) == HAVE_FPU;
	default: return true;
	}
}

static void state_part(struct world *w)
{
	const struct part *p = &pick(parts);
	void *state = argument(p->size);
	int n = any();

	say(" %d %s", n, p->name);
	if (call(w->vcpu[n], "get", p->get, state) < 0)
		memset(state, 0, p->size);
	if (p->mask)
		p->mask(state);
	if (one_in(8))
		memset(state, 0, p->size);
	if (!one_in(4))
		p->change(state);
	if (one_in(2))
		tweak(state, p->size);
	/* Two LAPICs of one id, or modes: then all are asked, and a message to none is EPERM. */
	if (p->set == KVM_SET_LAPIC) {
		*(u32 *)(((struct kvm_lapic_state *)state)->regs + 0x20) = n << 24;
		*(u32 *)(((struct kvm_lapic_state *)state)->regs + 0xd0) &= 0xff000000;
	}
	if (!settable(w, n, p, state))
		return;
	call(w->vcpu[n], "set", p->set, state);
	if (w->vcpu[n] < 0)
		return;
	for (int i = 0; i < ARRAY_SIZE(parts); i++)
		say_part(w, n, &parts[i], false);
}

static void state_get(struct world *w)
{
	const struct part *p = &pick(parts);
	void *state = argument(p->size);
	int n = any();

	say(" %d %s", n, p->name);
	tweak(state, p->size);
	if (call(w->vcpu[n], "get", p->get, state) < 0)
		return;
	say_state(p, state);
}

/* ---- MSRs ---- */

static const struct range {
	u32 first, last;
} not_claimed[] = {
	{ 0xcd, 0xcd },				/* the clock of a bus, which KVM has to read only */
	{ 0x8c, 0x8f },				/* SGX */
	{ 0x40, 0x47 }, { 0x60, 0x67 }, { 0x1c8, 0x1c9 },	/* LBRs, which KVM has none of */
	{ 0x680, 0x69f }, { 0x6c0, 0x6df }, { 0xdc0, 0xddf },
	{ 0x9b, 0x9b },
	{ 0xc1, 0xc8 }, { 0x186, 0x18d },	/* PMU */
	{ 0x309, 0x30c }, { 0x38d, 0x390 }, { 0x345, 0x345 }, { 0x3f1, 0x3f2 }, { 0x3f7, 0x3f7 },
	{ 0x4c1, 0x4c8 },
	{ 0xc0010000, 0xc0010007 }, { 0xc0010200, 0xc001020b },
	{ 0x480, 0x491 },			/* nesting */
	{ 0x4b564d02, 0x4b564d02 }, { 0x4b564d06, 0x4b564d07 },	/* asynchronous faults */
	{ 0xc0010114, 0xc0010114 }, { 0xc0010117, 0xc0010117 },	/* nesting, on AMD */
	{ 0xc0000104, 0xc0000104 },
};

/* Of Intel's; KVM lists some of them on AMD, and has 0 there. */
static const u32 of_intel[] = { 0x3a, 0x48c, 0x10a, 0xe1, 0x122, 0xd90, 0x1c4, 0x1c5 };

bool msr_claimed(u32 msr)
{
	for (int i = 0; i < ARRAY_SIZE(not_claimed); i++)
		if (msr >= not_claimed[i].first && msr <= not_claimed[i].last)
			return false;
	for (int i = 0; i < ARRAY_SIZE(of_intel) && !host_is_intel(); i++)
		if (msr == of_intel[i])
			return false;
	return true;
}

/* Whose value is a time. */
static bool msr_is_time(u32 msr)
{
	/* Hyper-V's runtime and reference time, too, and the timer that counts it */
	if (msr == 0x40000010 || msr == 0x40000020 || (msr >= 0x400000b0 && msr <= 0x400000b7))
		return true;
	return msr == 0x10 || msr == 0x3b || msr == 0x6e0 || msr == 0x839;
}

u32 some_msr(void)
{
	u32 msr;

	do {
		switch (below(6)) {
		case 0: msr = pick_msr() + below(3) - 1; break;
		case 1: msr = 0x800 + below(0x40); break;
		case 2: msr = one_in(2) ? 0x200 + below(0x20) : 0x400 + below(0x84); break;
		default: msr = pick_msr();
		}
		if (one_in(32))
			msr = value();
	} while (!msr_claimed(msr) || msr_is_time(msr));
	return msr;
}

/* Where KVM's clocks, and the like, are written all the time. */
static bool msr_is_place(u32 msr)
{
	return msr == 0x11 || msr == 0x12 || (msr >= 0x4b564d00 && msr <= 0x4b564d04);
}

u64 msr_value(u32 msr)
{
	u64 v = one_in(3) ? below(256) : value();

	if (msr_is_place(msr) && v < CLOCKS)
		v |= CLOCKS;

	/* KVM has 32 bits of SYSENTER_ESP and EIP on AMD. */
	if (msr == 0x175 || msr == 0x176)
		v = (u32)v;
	return v;
}

/* Behind the last that worked KVM writes back what it has, or 0. */
static void say_msr_entries(struct kvm_msrs *m, int n)
{
	if (n > 0)
		say_bytes("msrs", m->entries, n * sizeof(m->entries[0]));
}

static void get_msrs(struct world *w)
{
	u32 n = one_in(16) ? 256 + below(2) : 1 + below(4);
	struct kvm_msrs *m = argument(sizeof(*m) + (n > 4 ? 0 : n) * sizeof(m->entries[0]));
	int v = any();

	m->nmsrs = n;
	for (u32 i = 0; i < n && n <= 4; i++) {
		m->entries[i].index = some_msr();
		if (one_in(8))
			m->entries[i].reserved = value();
		say(" %x", m->entries[i].index);
	}
	say_msr_entries(m, CALL(w->vcpu[v], KVM_GET_MSRS, m));
}

static void set_msrs(struct world *w)
{
	u32 n = 1 + (one_in(4) ? below(4) : 0);
	struct kvm_msrs *m = argument(sizeof(*m) + n * sizeof(m->entries[0]));
	int v = any();

	m->nmsrs = n;
	for (u32 i = 0; i < n; i++) {
		m->entries[i].index = some_msr();
		m->entries[i].data = msr_value(m->entries[i].index);
		say(" %x=%llx", m->entries[i].index, m->entries[i].data);
	}
	CALL(w->vcpu[v], KVM_SET_MSRS, m);
	say_msr_entries(m, CALL_RAW(w->vcpu[v], KVM_GET_MSRS, m));
}

static void say_msrs(struct world *w, int n)
{
	struct kvm_msrs *m = argument(sizeof(*m) + sizeof(m->entries[0]));

	say(" | all msrs");
	for (u32 i = 0; i < nr_msrs; i++) {
		if (msr_is_time(msr_list[i]))
			continue;
		m->nmsrs = 1;
		m->entries[0].index = msr_list[i];
		if (ioctl(w->vcpu[n], KVM_GET_MSRS, m) == 1 && m->entries[0].data)
			say(" %x:%llx", msr_list[i], m->entries[0].data);
	}
}

void say_vcpu(struct world *w, int n)
{
	if (w->vcpu[n] < 0)
		return;
	say(" | vCPU %d", n);
	for (int i = 0; i < ARRAY_SIZE(parts); i++)
		say_part(w, n, &parts[i], true);
	say_msrs(w, n);
}

static void vcpu_all(struct world *w)
{
	say_vcpu(w, any());
}

/* ---- CPUID ---- */

void set_model_cpuid(struct world *w, int n)
{
	CALL_RAW(w->vcpu[n], KVM_SET_CPUID2, model_cpuid());
}

static void set_cpuid(struct world *w)
{
	struct kvm_cpuid2 *c = model_cpuid();
	struct kvm_cpuid_entry2 *e;
	u32 all = c->nent;
	int n = any();

	if (one_in(8))
		c->nent = one_in(2) ? below(c->nent + 1) : value();
	for (int i = below(4); i > 0 && c->nent && c->nent < 256; i--) {
		e = &c->entries[below(c->nent)];
		if (one_in(2)) {
			e = cpuid_find(c, one_in(2) ? 0x80000008 : one_in(2) ? 0xd : 7, 0) ?: e;
			say(" %x", e->function);
		}
		tweak(e, sizeof(*e));
		if (e->function == 0xd)		/* AMX, which has to be asked for */
			e->eax &= ~0x60000;
	}
	/* What has no entry may be the device's own. */
	CALL(w->vcpu[n], KVM_SET_CPUID2, c);
	/* KVM keeps the paravirtual features that there were before. */
	if (c->nent < all || one_in(4))
		set_model_cpuid(w, n);
}

static void set_old_cpuid(struct world *w)
{
	struct kvm_cpuid2 *c = model_cpuid();
	struct kvm_cpuid_entry entries[100];
	struct kvm_cpuid *old;
	u32 n = c->nent < 100 ? c->nent : 100;

	for (u32 i = 0; i < n; i++)
		entries[i] = (struct kvm_cpuid_entry){
			c->entries[i].function, c->entries[i].eax, c->entries[i].ebx,
			c->entries[i].ecx, c->entries[i].edx,
		};
	old = argument(sizeof(*old) + n * sizeof(entries[0]));
	old->nent = n;
	memcpy(old->entries, entries, n * sizeof(entries[0]));
	CALL(w->vcpu[any()], KVM_SET_CPUID, old);
}

static void get_cpuid(struct world *w)
{
	u32 n = one_in(4) ? below(40) : 256;
	struct kvm_cpuid2 *c = argument(sizeof(*c) + n * sizeof(c->entries[0]));

	c->nent = n;
	say(" %x", n);
	/* KVM of 6.1 does not say how many, unless they are too many. */
	CALL(w->vcpu[any()], KVM_GET_CPUID2, c);
	for (u32 i = 0; i < n; i++)
		if (c->entries[i].function == 0x12)	/* SGX, of which KVM says more than it offers */
			c->entries[i].ecx = 0;
	say_bytes("cpuid", c->entries, n * sizeof(c->entries[0]));
}

/* ---- the rest ---- */

static void interrupt(struct world *w)
{
	struct kvm_interrupt *i = argument(sizeof(*i));

	if (one_in(4)) {
		CALL_RAW(w->vcpu[any()], KVM_NMI, one_in(2) ? 0 : value());
		return;
	}
	i->irq = one_in(2) ? value() : 32 + below(224);
	say(" %x", i->irq);
	CALL(w->vcpu[any()], KVM_INTERRUPT, i);
}

static void guest_debug(struct world *w)
{
	static const u32 controls[] = { 0, 1, 0x10001, 0x20001, 0x40001, 0x80001, 0x100001 };
	struct kvm_guest_debug *d = argument(sizeof(*d));

	/* A step is one from where the guest is then: program() does that. */
	d->control = pick(controls);
	if (one_in(4))
		d->control |= value() & ~(u64)KVM_GUESTDBG_SINGLESTEP;
	d->arch.debugreg[7] = one_in(2) ? 0x400 : value();
	d->arch.debugreg[0] = 0x3000;
	say(" %x", d->control);
	if (one_in(4))
		tweak(d, sizeof(*d));
	CALL(w->vcpu[any()], KVM_SET_GUEST_DEBUG, d);
}

static void translate(struct world *w)
{
	struct kvm_translation *t = argument(sizeof(*t));

	/* KVM translates what is not canonical. */
	t->linear_address = one_in(2) ? value() : below(RAM_SIZE);
	t->linear_address = (s64)(t->linear_address << 16) >> 16;
	/* The last of all is KVM's word for none, where there is no paging. */
	t->linear_address -= t->linear_address == ~0ull;
	say(" %llx", t->linear_address);
	CALL(w->vcpu[any()], KVM_TRANSLATE, t);
	say_bytes("translation", t, sizeof(*t));
}

/* Without TSC scaling KVM lets a TSC be too fast; and it knows 32 bits of what it is told. */
static void vcpu_tsc_khz(struct world *w)
{
	u64 khz = one_in(2) || !scales() ? 0 : (u32)value();

	if (one_in(2)) {
		CALL_RAW(w->vcpu[any()], KVM_GET_TSC_KHZ, 0);
		return;
	}
	say(" %llx", (long long)khz);
	CALL_RAW(w->vcpu[any()], KVM_SET_TSC_KHZ, khz);
}

static void vcpu_attr(struct world *w)
{
	struct kvm_device_attr *a = argument(sizeof(*a));
	u64 *v = (u64 *)a - 1;
	int n = any();

	a->addr = (u64)v;
	*v = 0;
	tweak(a, 16);
	switch (below(3)) {
	case 0: CALL(w->vcpu[n], KVM_HAS_DEVICE_ATTR, a); return;
	case 1: CALL(w->vcpu[n], KVM_GET_DEVICE_ATTR, a); return;
	}
	*v = value();
	CALL(w->vcpu[n], KVM_SET_DEVICE_ATTR, a);
}

#define SIGALRM_BIT	(1ull << 13)

static void signal_mask(struct world *w)
{
	struct { struct kvm_signal_mask head; u8 set[8]; } __attribute__((packed)) *m = argument(12);
	u64 set = value() & ~SIGALRM_BIT;

	m->head.len = one_in(4) ? value() : 8;
	memcpy(m->set, &set, 8);
	say(" %x", m->head.len);
	CALL_RAW(w->vcpu[any()], KVM_SET_SIGNAL_MASK, one_in(4) ? NULL : m);
}

static void enable_cap_vcpu(struct world *w)
{
	static const u32 often[] = {
		KVM_CAP_ENFORCE_PV_FEATURE_CPUID, KVM_CAP_ENABLE_CAP, KVM_CAP_X86_DISABLE_EXITS,
	};
	struct kvm_enable_cap *cap = argument(sizeof(*cap));

	cap->cap = pick(often);
	cap->args[0] = value();
	tweak((char *)cap + 4, sizeof(*cap) - 4);
	CALL(w->vcpu[any()], KVM_ENABLE_CAP, cap);
}

static void mce(struct world *w)
{
	struct kvm_x86_mce *m = argument(sizeof(*m));
	u64 *cap;
	int n = any();

	if (one_in(2)) {
		cap = argument(8);
		*cap = one_in(2) ? value() : 0x1000100 | below(36);
		*cap &= ~MCE_NOT_CLAIMED;
		say(" %llx", (long long)*cap);
		CALL(w->vcpu[n], KVM_X86_SETUP_MCE, cap);
		return;
	}
	m->status = one_in(2) ? 1ull << 63 | below(8) << 60 : value();
	m->mcg_status = below(8);
	m->bank = one_in(4) ? value() : below(34);
	m->addr = value();
	m->misc = value();
	say(" %llx %x", m->status, m->bank);
	CALL(w->vcpu[n], KVM_X86_SET_MCE, m);
}

static void kvmclock_ctrl(struct world *w)
{
	CALL_RAW(w->vcpu[any()], KVM_KVMCLOCK_CTRL, one_in(2) ? 0 : value());
}

static void run_arg(struct world *w)
{
	u64 arg = value();

	if (arg)
		CALL_RAW(w->vcpu[any()], KVM_RUN, arg);
}

const struct step vcpu_steps[] = {
	{ "state_part", 16, state_part },
	{ "state_get", 3, state_get },
	{ "get_msrs", 4, get_msrs },
	{ "set_msrs", 10, set_msrs },
	{ "vcpu_all", 2, vcpu_all },
	{ "set_cpuid", 3, set_cpuid },
	{ "set_old_cpuid", 1, set_old_cpuid },
	{ "get_cpuid", 2, get_cpuid },
	{ "interrupt", 2, interrupt },
	{ "guest_debug", 2, guest_debug },
	{ "translate", 3, translate },
	{ "vcpu_tsc_khz", 1, vcpu_tsc_khz },
	{ "vcpu_attr", 2, vcpu_attr },
	{ "signal_mask", 1, signal_mask },
	{ "enable_cap_vcpu", 2, enable_cap_vcpu },
	{ "mce", 2, mce },
	{ "kvmclock_ctrl", 1, kvmclock_ctrl },
	{ "run_arg", 1, run_arg },
	{ }
};

/* KVM promises immunities for the sake of guests' guests: see device_msrs(). */
static void agree_on_immunities(int fd)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } m = {
		{ .nmsrs = 1 }, { .index = 0x10a },
	};

	ioctl(fd, KVM_SET_MSRS, &m);
}

/* KVM sends no message to a LAPIC that nothing has changed since the vCPU was made. */
static void agree_on_lapic(int fd)
{
	struct kvm_lapic_state lapic;

	if (!ioctl(fd, KVM_GET_LAPIC, &lapic))
		ioctl(fd, KVM_SET_LAPIC, &lapic);
}

/* A vCPU whose number is taken anew: the other one's fd is closed. */
void add_vcpu(struct world *w, int n, u64 id)
{
	int fd;

	say(" vCPU %d id %llx", n, (long long)id);
	fd = CALL_RAW(w->vm, KVM_CREATE_VCPU, id);
	if (fd < 0)
		return;
	if (w->run[n])
		munmap(w->run[n], RUN_SIZE);
	if (w->vcpu[n] >= 0)
		close(w->vcpu[n]);
	w->vcpu[n] = fd;
	agree_on_immunities(fd);
	agree_on_lapic(fd);
	w->run[n] = mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (w->run[n] == MAP_FAILED)
		w->run[n] = NULL;
}
