// SPDX-License-Identifier: GPL-2.0
/*
 * Two cascaded 8259A interrupt controllers (Intel order number 231468) with
 * the ELCR of a PC's chipset. The state of a chip is kept in the very form in
 * which user space saves it.
 *
 * Acknowledgements are noted under the lock and told after it: pic_unlock().
 */
#include <linux/bitops.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <minikvm/bus.h>
#include <minikvm/vcpu.h>
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic.h"

#define CASCADE_PIN	2		/* of the master: the slave's output */
#define SPURIOUS_PIN	7

#define ICW1_SELECT	0x10
#define ICW1_ICW4	0x01
#define ICW4_AUTO_EOI	0x02
#define ICW4_SFNM	0x10
#define OCW3_SELECT	0x08
#define OCW3_READ	0x02		/* bit 0 says which: 1 is ISR */
#define OCW3_POLL	0x04
#define OCW3_SMM	0x40		/* bit 5 says: on or off */

/* init_state: the initialization command word that comes next. */
enum { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };

struct pic {
	struct vm *vm;
	raw_spinlock_t lock;
	struct kvm_pic_state chips[2];
	u8 sources[16];			/* by pin: bit for each enum irq_source */
	bool output;			/* the master's INT; read without the lock */
	bool raised;			/* output rose: tell the vCPUs */
	u16 acked, unmasked;		/* pins to tell of when the lock is free */
	struct io_device ports, elcr;
};

/* Which of a PC's pins can be level-triggered: not 0, 1, 2, 8 and 13. */
static const u8 elcr_mask[2] = { 0xf8, 0xde };

/* The PIC's pins reach at most one processor: the first that listens. */
static void wake_listener(struct vm *vm)
{
	struct vcpu *vcpu;
	unsigned long i;

	vm_for_each_vcpu(i, vcpu, vm) {
		if (lapic_accepts_pic(vcpu)) {
			vcpu_request(vcpu, VCPU_REQ_EVENT);
			vcpu_kick(vcpu);
			return;
		}
	}
}

static void pic_unlock(struct pic *pic, unsigned long flags)
	__releases(&pic->lock)
{
	unsigned long acked = pic->acked, unmasked = pic->unmasked;
	bool raised = pic->raised;
	unsigned int pin;

	pic->acked = 0;
	pic->unmasked = 0;
	pic->raised = false;
	raw_spin_unlock_irqrestore(&pic->lock, flags);

	if (raised)
		wake_listener(pic->vm);
	for_each_set_bit(pin, &acked, 16)
		irq_acked(pic->vm, pin / 8, pin);
	for_each_set_bit(pin, &unmasked, 16)
		irq_unmasked(pic->vm, pin / 8, pin, false);
}

/*
 * A chip
 */

static bool is_slave(const struct pic *pic, const struct kvm_pic_state *chip)
{
	return chip == &pic->chips[1];
}

/* The place of the best request in @mask, 0 being the highest; 8: none. */
static unsigned int chip_priority(const struct kvm_pic_state *chip, u8 mask)
{
	unsigned int place = 0;

	if (!mask)
		return 8;
	while (!(mask & (1 << ((place + chip->priority_add) & 7))))
		place++;
	return place;
}

/* The request that the chip would raise its output for, or -1. */
static int chip_request(const struct pic *pic, const struct kvm_pic_state *chip)
{
	unsigned int place = chip_priority(chip, chip->irr & ~chip->imr);
	u8 served = chip->isr;

	if (place == 8)
		return -1;
	/* Special fully nested: another of the slave's may interrupt the first. */
	if (chip->special_fully_nested_mode && !is_slave(pic, chip))
		served &= ~(1 << CASCADE_PIN);
	/* Special mask: what is in service and masked holds nothing back. */
	if (chip->special_mask)
		served &= ~chip->imr;
	if (place >= chip_priority(chip, served))
		return -1;
	return (place + chip->priority_add) & 7;
}

/* As irq_route_fn has it: -1 masked, 0 coalesced, 1 new. */
static int chip_set_pin(struct kvm_pic_state *chip, unsigned int pin, bool level)
{
	u8 bit = 1 << pin;
	int r = 1;

	if (!level) {
		chip->last_irr &= ~bit;
		if (chip->elcr & bit)
			chip->irr &= ~bit;
	} else {
		if ((chip->elcr & bit) || !(chip->last_irr & bit)) {
			r = !(chip->irr & bit);
			chip->irr |= bit;
		}
		chip->last_irr |= bit;
	}
	return chip->imr & bit ? -1 : r;
}

static void chip_end(struct pic *pic, struct kvm_pic_state *chip, unsigned int pin)
{
	chip->isr &= ~(1 << pin);
	pic->acked |= 1 << (is_slave(pic, chip) ? pin + 8 : pin);
}

static void chip_acknowledge(struct pic *pic, struct kvm_pic_state *chip, unsigned int pin)
{
	chip->isr |= 1 << pin;
	if (!(chip->elcr & (1 << pin)))
		chip->irr &= ~(1 << pin);
	if (chip->auto_eoi) {
		if (chip->rotate_on_auto_eoi)
			chip->priority_add = (pin + 1) & 7;
		chip_end(pic, chip, pin);
	}
}

/*
 * The slave's output to the master's pin, the master's to the processor. The slave asks anew each
 * time, so that no level stays behind in a state that KVM might be given: there each is an edge.
 */
static void pic_update(struct pic *pic)
{
	bool output;

	if (chip_request(pic, &pic->chips[1]) >= 0) {
		chip_set_pin(&pic->chips[0], CASCADE_PIN, false);
		chip_set_pin(&pic->chips[0], CASCADE_PIN, true);
		chip_set_pin(&pic->chips[0], CASCADE_PIN, false);
	} else {
		pic->chips[0].irr &= ~(1 << CASCADE_PIN);
	}
	output = chip_request(pic, &pic->chips[0]) >= 0;
	if (output)
		pic->raised = true;
	WRITE_ONCE(pic->output, output);
}

/**
 * pic_set_pin() - drive a pin
 * @vm:		with an in-kernel PIC
 * @pin:	0 to 15
 * @source:	who
 * @level:	0 or 1
 *
 * Context: any but NMI. Return: as irq_route_fn.
 */
int pic_set_pin(struct vm *vm, unsigned int pin, enum irq_source source, int level)
{
	struct pic *pic = vm->arch.pic;
	unsigned long flags;
	int r;

	raw_spin_lock_irqsave(&pic->lock, flags);
	pic->sources[pin] &= ~(1 << source);
	pic->sources[pin] |= !!level << source;
	r = chip_set_pin(&pic->chips[pin / 8], pin % 8, pic->sources[pin]);
	pic_update(pic);
	pic_unlock(pic, flags);
	return r;
}

/**
 * pic_output() - does the PIC ask for an interrupt?
 * @vm:	any
 *
 * Context: any.
 */
bool pic_output(struct vm *vm)
{
	return vm->arch.pic && READ_ONCE(vm->arch.pic->output);
}

/* One chip's answer to INTA; a request that has gone is a spurious one. */
static unsigned int chip_inta(struct pic *pic, struct kvm_pic_state *chip)
{
	int pin = chip_request(pic, chip);

	if (pin < 0)
		return SPURIOUS_PIN;
	chip_acknowledge(pic, chip, pin);
	return pin;
}

/**
 * pic_read_vector() - the processor's INTA cycle
 * @vm:	with an in-kernel PIC
 *
 * Context: a vCPU's thread. Return: the vector.
 */
int pic_read_vector(struct vm *vm)
{
	struct pic *pic = vm->arch.pic;
	unsigned long flags;
	unsigned int pin;
	int vector;

	raw_spin_lock_irqsave(&pic->lock, flags);
	pin = chip_inta(pic, &pic->chips[0]);
	vector = pic->chips[0].irq_base + pin;
	if (pin == CASCADE_PIN)
		vector = pic->chips[1].irq_base + chip_inta(pic, &pic->chips[1]);
	pic_update(pic);
	pic_unlock(pic, flags);
	return vector;
}

/*
 * Ports
 */

static void chip_init(struct pic *pic, struct kvm_pic_state *chip, u8 icw1)
{
	unsigned long dropped = chip->isr | (chip->irr & ~chip->elcr);
	unsigned int pin;

	chip->last_irr = 0;
	chip->irr &= chip->elcr;
	chip->imr = 0;
	chip->isr = 0;
	chip->priority_add = 0;
	chip->special_mask = 0;
	chip->read_reg_select = 0;
	chip->init4 = icw1 & ICW1_ICW4;
	if (!chip->init4) {
		chip->special_fully_nested_mode = 0;
		chip->auto_eoi = 0;
	}
	chip->init_state = INIT_ICW2;
	/* Nobody will ever acknowledge these now. */
	for_each_set_bit(pin, &dropped, 8)
		chip_end(pic, chip, pin);
}

static void chip_ocw3(struct kvm_pic_state *chip, u8 value)
{
	if (value & OCW3_POLL)
		chip->poll = 1;
	if (value & OCW3_READ)
		chip->read_reg_select = value & 1;
	if (value & OCW3_SMM)
		chip->special_mask = (value >> 5) & 1;
}

static void chip_ocw2(struct pic *pic, struct kvm_pic_state *chip, u8 value)
{
	unsigned int place = chip_priority(chip, chip->isr);
	unsigned int served = (place + chip->priority_add) & 7;
	unsigned int level = value & 7;

	/* R, SL and EOI are bits 7, 6 and 5. */
	switch (value >> 5) {
	case 0:		/* rotation on automatic EOI: off */
	case 4:		/* on */
		chip->rotate_on_auto_eoi = value >> 7;
		break;
	case 1:		/* EOI of what is in service */
	case 5:		/* and rotate */
		if (place == 8)
			break;
		if (value >> 7)
			chip->priority_add = (served + 1) & 7;
		chip_end(pic, chip, served);
		break;
	case 3:		/* EOI of the level given */
		chip_end(pic, chip, level);
		break;
	case 7:		/* and rotate */
		chip->priority_add = (level + 1) & 7;
		chip_end(pic, chip, level);
		break;
	case 6:		/* set priority */
		chip->priority_add = (level + 1) & 7;
		break;
	}
}

static void chip_write_imr(struct pic *pic, struct kvm_pic_state *chip, u8 value)
{
	u16 unmasked = chip->imr & ~value;

	pic->unmasked |= is_slave(pic, chip) ? unmasked << 8 : unmasked;
	chip->imr = value;
}

/* The odd port: OCW1, or the initialization's next word. */
static void chip_write_data(struct pic *pic, struct kvm_pic_state *chip, u8 value)
{
	switch (chip->init_state) {
	case INIT_DONE:
		chip_write_imr(pic, chip, value);
		break;
	case INIT_ICW2:
		chip->irq_base = value & 0xf8;
		chip->init_state = INIT_ICW3;
		break;
	case INIT_ICW3:		/* a PC is wired in one way only */
		chip->init_state = chip->init4 ? INIT_ICW4 : INIT_DONE;
		break;
	case INIT_ICW4:
		chip->special_fully_nested_mode = !!(value & ICW4_SFNM);
		chip->auto_eoi = !!(value & ICW4_AUTO_EOI);
		chip->init_state = INIT_DONE;
		break;
	}
}

static void chip_write(struct pic *pic, struct kvm_pic_state *chip, bool odd, u8 value)
{
	if (odd)
		chip_write_data(pic, chip, value);
	else if (value & ICW1_SELECT)
		chip_init(pic, chip, value);
	else if (value & OCW3_SELECT)
		chip_ocw3(chip, value);
	else
		chip_ocw2(pic, chip, value);
	pic_update(pic);
}

/* A poll is an INTA cycle without the vector (8259A data sheet, "Poll command"). */
static u8 chip_poll(struct pic *pic, struct kvm_pic_state *chip)
{
	int pin = chip_request(pic, chip);

	chip->poll = 0;
	if (pin < 0)
		return SPURIOUS_PIN;
	chip_acknowledge(pic, chip, pin);
	pic_update(pic);
	return 0x80 | pin;
}

static u8 chip_read(struct pic *pic, struct kvm_pic_state *chip, bool odd)
{
	if (chip->poll)
		return chip_poll(pic, chip);
	if (odd)
		return chip->imr;
	return chip->read_reg_select ? chip->isr : chip->irr;
}

/* 0x20 and 0x21 are the master's, 0xa0 and 0xa1 the slave's. */
static struct kvm_pic_state *chip_at(struct pic *pic, gpa_t port)
{
	return &pic->chips[port >> 7 & 1];
}

/* Wider accesses are answered with 0, and lost, as in KVM. */
static int ports_read(struct vcpu *vcpu, struct io_device *dev, gpa_t port,
		      unsigned int len, void *data)
{
	struct pic *pic = container_of(dev, struct pic, ports);
	unsigned long flags;

	memset(data, 0, len);
	if (len != 1)
		return 0;
	raw_spin_lock_irqsave(&pic->lock, flags);
	*(u8 *)data = chip_read(pic, chip_at(pic, port), port & 1);
	pic_unlock(pic, flags);
	return 0;
}

static int ports_write(struct vcpu *vcpu, struct io_device *dev, gpa_t port,
		       unsigned int len, const void *data)
{
	struct pic *pic = container_of(dev, struct pic, ports);
	unsigned long flags;

	if (len != 1)
		return 0;
	raw_spin_lock_irqsave(&pic->lock, flags);
	chip_write(pic, chip_at(pic, port), port & 1, *(const u8 *)data);
	pic_unlock(pic, flags);
	return 0;
}

static const struct io_device_ops ports_ops = {
	.read	= ports_read,
	.write	= ports_write,
};

static int elcr_read(struct vcpu *vcpu, struct io_device *dev, gpa_t port,
		     unsigned int len, void *data)
{
	struct pic *pic = container_of(dev, struct pic, elcr);

	memset(data, 0, len);
	if (len == 1)
		*(u8 *)data = READ_ONCE(pic->chips[port & 1].elcr);
	return 0;
}

static int elcr_write(struct vcpu *vcpu, struct io_device *dev, gpa_t port,
		      unsigned int len, const void *data)
{
	struct pic *pic = container_of(dev, struct pic, elcr);
	unsigned long flags;

	if (len != 1)
		return 0;
	raw_spin_lock_irqsave(&pic->lock, flags);
	pic->chips[port & 1].elcr = *(const u8 *)data & elcr_mask[port & 1];
	pic_unlock(pic, flags);
	return 0;
}

static const struct io_device_ops elcr_ops = {
	.read	= elcr_read,
	.write	= elcr_write,
};

/**
 * pic_get() - save a chip
 * @vm:		with an in-kernel PIC
 * @chip:	0, the master, or 1
 * @s:		out
 */
void pic_get(struct vm *vm, unsigned int chip, struct kvm_pic_state *s)
{
	struct pic *pic = vm->arch.pic;
	unsigned long flags;

	raw_spin_lock_irqsave(&pic->lock, flags);
	*s = pic->chips[chip];
	pic_unlock(pic, flags);
}

/**
 * pic_set() - restore a chip
 * @vm:		with an in-kernel PIC
 * @chip:	0, the master, or 1
 * @s:		any values: what can't be is not taken over
 */
void pic_set(struct vm *vm, unsigned int chip, const struct kvm_pic_state *s)
{
	struct pic *pic = vm->arch.pic;
	unsigned long flags;

	raw_spin_lock_irqsave(&pic->lock, flags);
	pic->chips[chip] = *s;
	pic->chips[chip].priority_add &= 7;
	pic->chips[chip].elcr &= elcr_mask[chip];
	pic->chips[chip].elcr_mask = elcr_mask[chip];
	if (s->init_state > INIT_ICW4)
		pic->chips[chip].init_state = INIT_DONE;
	pic_update(pic);
	pic_unlock(pic, flags);
}

/**
 * pic_create() - make the PICs and put them on the bus
 * @vm:	vm->slots_lock is held
 *
 * Context: sleeps. Return: 0, -ENOMEM or -ENOSPC.
 */
int pic_create(struct vm *vm)
{
	struct pic *pic = kzalloc(sizeof(*pic), GFP_KERNEL_ACCOUNT);
	int r;

	if (!pic)
		return -ENOMEM;
	pic->vm = vm;
	raw_spin_lock_init(&pic->lock);
	pic->chips[0].elcr_mask = elcr_mask[0];
	pic->chips[1].elcr_mask = elcr_mask[1];
	pic->ports.ops = &ports_ops;
	pic->elcr.ops = &elcr_ops;
	vm->arch.pic = pic;

	r = io_bus_register(vm, BUS_PIO, 0x20, 2, &pic->ports);
	if (!r)
		r = io_bus_register(vm, BUS_PIO, 0xa0, 2, &pic->ports);
	if (!r)
		r = io_bus_register(vm, BUS_PIO, 0x4d0, 2, &pic->elcr);
	if (r)
		pic_destroy(vm);
	return r;
}

/**
 * pic_destroy() - take them away
 * @vm:	vm->slots_lock is held; nobody drives pins any more
 *
 * Context: sleeps.
 */
void pic_destroy(struct vm *vm)
{
	struct pic *pic = vm->arch.pic;

	if (!pic)
		return;
	io_bus_unregister(vm, BUS_PIO, &pic->ports);
	io_bus_unregister(vm, BUS_PIO, &pic->elcr);
	vm->arch.pic = NULL;
	kfree(pic);
}
