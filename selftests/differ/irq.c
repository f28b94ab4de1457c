// SPDX-License-Identifier: GPL-2.0
/* Steps about interrupts: the chips, the PIT, routes, lines, eventfds, messages. */
#include <stddef.h>

#include "differ.h"

static void create_chips(struct world *w)
{
	struct kvm_pit_config *pit = argument(sizeof(*pit));

	/* KVM of 6.1 makes a PIT without a PIC. */
	switch (w->pic ? below(3) : 0) {
	case 0:
		if (!CALL_RAW(w->vm, KVM_CREATE_IRQCHIP, one_in(2) ? 0 : value()))
			w->pic = true;
		return;
	case 1: CALL_RAW(w->vm, KVM_CREATE_PIT, 0); return;
	}
	pit->flags = below(2);
	if (one_in(2))
		tweak(pit, sizeof(*pit));
	CALL(w->vm, KVM_CREATE_PIT2, pit);
}

/* KVM's master keeps a request of the slave's that is there no more, and its IOAPIC the padding. */
static void say_chip(const char *name, const struct kvm_irqchip *chip)
{
	struct kvm_irqchip copy = *chip;

	if (copy.chip_id == 0)
		copy.chip.pic.irr &= ~4;
	if (copy.chip_id == 2)
		copy.chip.ioapic.pad = 0;
	say_bytes(name, &copy, sizeof(copy));
}

static void irqchip(struct world *w)
{
	struct kvm_irqchip *chip = argument(sizeof(*chip));

	chip->chip_id = one_in(8) ? value() : below(3);
	say(" %x", chip->chip_id);
	if (CALL(w->vm, KVM_GET_IRQCHIP, chip) < 0 && !one_in(4))
		return;
	say_chip("chip", chip);
	if (one_in(2))
		return;
	/* KVM lets user space change which lines can be level-triggered. */
	tweak(&chip->chip, chip->chip_id == 2 ? 0xd8 : offsetof(struct kvm_pic_state, elcr));
	if (chip->chip_id < 2) {
		chip->chip.pic.priority_add &= 7;	/* likewise any priority, or step of its ICWs */
		chip->chip.pic.init_state &= 3;
	}
	CALL(w->vm, KVM_SET_IRQCHIP, chip);
}

/* KVM keeps a count that no counter has. */
static void clamp_counts(struct kvm_pit_channel_state *c)
{
	for (int i = 0; i < 3; i++)
		if (c[i].count > 0x10000)
			c[i].count = 0x10000;
}

/* When a counter was loaded is a time. */
static void say_pit(const char *name, struct kvm_pit_channel_state *c, u32 flags)
{
	for (int i = 0; i < 3; i++) {
		c[i].count_load_time = 0;
		/* KVM latches the mode of a counter that was never given one as 127. */
		c[i].status = 0;
	}
	say_bytes(name, c, 3 * sizeof(*c));
	say(" flags %x", flags & (KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON));
}

static void pit_state(struct world *w)
{
	struct kvm_pit_state2 *s = argument(sizeof(*s));

	if (one_in(3)) {
		struct kvm_pit_state *old = argument(sizeof(*old));

		if (CALL(w->vm, KVM_GET_PIT, old) < 0)
			return;
		say_pit("pit", old->channels, 0);
		tweak(old, sizeof(*old));
		clamp_counts(old->channels);
		CALL(w->vm, KVM_SET_PIT, old);
		return;
	}
	if (CALL(w->vm, KVM_GET_PIT2, s) < 0)
		return;
	say_pit("pit", s->channels, s->flags);
	tweak(s, sizeof(*s));
	clamp_counts(s->channels);
	CALL(w->vm, KVM_SET_PIT2, s);
}

static void reinject(struct world *w)
{
	struct kvm_reinject_control *c = argument(sizeof(*c));

	c->pit_reinject = value();
	CALL(w->vm, KVM_REINJECT_CONTROL, c);
}

#define CASCADE	2	/* KVM's PIC keeps a request at the slave's pin that is not the slave's */

static u32 some_gsi(void)
{
	u32 gsi = one_in(8) ? value() : below(24);

	return gsi == CASCADE ? 0 : gsi;
}

static void make_route(struct kvm_irq_routing_entry *e)
{
	e->gsi = one_in(16) ? value() : below(26);
	e->type = one_in(16) ? below(6) : 1 + below(2);
	if (e->type == KVM_IRQ_ROUTING_IRQCHIP) {
		e->u.irqchip.irqchip = below(one_in(8) ? 5 : 3);
		e->u.irqchip.pin = one_in(8) ? value() : below(e->u.irqchip.irqchip == 2 ? 24 : 8);
		if (!e->u.irqchip.irqchip && e->u.irqchip.pin == CASCADE)
			e->u.irqchip.pin = 0;
	} else {
		e->u.msi.address_lo = 0xfee00000 | below(4) << 12 | below(4) << 2;
		e->u.msi.address_hi = one_in(8) ? below(4) << 8 : 0;
		e->u.msi.data = one_in(4) ? value() : 0x20 + below(0xe0);
	}
	if (one_in(16))
		tweak(e, sizeof(*e));
}

static void routing(struct world *w)
{
	u32 n = one_in(16) ? 4096 + below(2) : below(10);
	struct kvm_irq_routing *r = argument(sizeof(*r) + (n > 64 ? 0 : n * sizeof(r->entries[0])));

	r->nr = n;
	r->flags = one_in(8) ? value() : 0;
	say(" %x %x", r->nr, r->flags);
	for (u32 i = 0; i < n && n <= 64; i++)
		make_route(&r->entries[i]);
	/* KVM takes any HV_SINT, and XEN_EVTCHN isn't claimed. */
	for (u32 i = 0; i < n && n <= 64; i++)
		if (r->entries[i].type > 3)
			return;
	CALL(w->vm, KVM_SET_GSI_ROUTING, r);
}

static void irq_line(struct world *w)
{
	struct kvm_irq_level *l = argument(sizeof(*l));

	l->irq = some_gsi();
	l->level = one_in(8) ? value() : below(2);
	say(" %x %x", l->irq, l->level);
	if (one_in(2))
		CALL(w->vm, KVM_IRQ_LINE, l);
	else if (CALL(w->vm, KVM_IRQ_LINE_STATUS, l) >= 0)
		say(" %x", l->status);
}

static void signal_msi(struct world *w)
{
	struct kvm_msi *m = argument(sizeof(*m));

	m->address_lo = one_in(8) ? value() : 0xfee00000 | below(4) << 12 | below(4) << 2;
	m->address_hi = one_in(8) ? value() : 0;
	m->data = one_in(4) ? value() : 0x20 + below(0xe0);
	m->flags = one_in(8) ? value() : 0;
	say(" %x %x %x %x", m->address_lo, m->address_hi, m->data, m->flags);
	if (one_in(8))
		tweak(m, sizeof(*m));
	/* No handler of SMM's is there. */
	if ((m->data >> 8 & 7) == 2)
		m->data &= ~0x700;
	CALL(w->vm, KVM_SIGNAL_MSI, m);
}

static void irqfd(struct world *w)
{
	struct kvm_irqfd *f = argument(sizeof(*f));
	u64 one = 1;

	f->fd = one_in(8) ? -1 : w->event[0];
	f->gsi = some_gsi();
	f->flags = one_in(8) ? value() : below(4);
	f->resamplefd = one_in(8) ? -1 : w->event[1];
	say(" %x %x", f->gsi, f->flags);
	if (one_in(4))
		tweak((char *)f + 4, sizeof(*f) - 4);
	CALL(w->vm, KVM_IRQFD, f);
	if (one_in(4))
		say(" write %zd", write(w->event[0], &one, 8));
}

const struct step irq_steps[] = {
	{ "create_chips", 2, create_chips },
	{ "irqchip", 3, irqchip },
	{ "pit_state", 2, pit_state },
	{ "reinject", 1, reinject },
	{ "routing", 3, routing },
	{ "irq_line", 3, irq_line },
	{ "signal_msi", 3, signal_msi },
	{ "irqfd", 2, irqfd },
	{ }
};

static void say_chips(struct world *w)
{
	struct kvm_irqchip *chip = argument(sizeof(*chip));

	for (int i = 0; i < 3; i++) {
		memset(chip, 0, sizeof(*chip));
		chip->chip_id = i;
		if (!ioctl(w->vm, KVM_GET_IRQCHIP, chip))
			say_chip(i == 2 ? "ioapic" : "pic", chip);
	}
}

void say_vm(struct world *w)
{
	struct kvm_pit_state2 *pit = argument(sizeof(*pit));

	if (!ioctl(w->vm, KVM_GET_PIT2, pit))
		say_pit("pit", pit->channels, pit->flags);
	say_chips(w);
}
