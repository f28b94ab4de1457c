// SPDX-License-Identifier: GPL-2.0
/*
 * The 82093AA I/O APIC (Intel order number 290566): 24 pins, and a message to
 * the LAPICs for each. Polarity is kept but means nothing, as lines here are
 * up or down and no volts; delivery is immediate, so its status is always idle.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <asm/apicdef.h>
#include <minikvm/bus.h>
#include <minikvm/vcpu.h>
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic.h"
#include "x86/vendor.h"

#define IOAPIC_MMIO_LEN		0x100
#define IOAPIC_VERSION		(0x11 | (KVM_IOAPIC_NUM_PINS - 1) << 16)

/* Registers in the memory map, and those behind the window. */
#define REG_SELECT		0x00
#define REG_WINDOW		0x10
#define INDEX_ID		0x00
#define INDEX_VERSION		0x01
#define INDEX_ARBITRATION	0x02
#define INDEX_ENTRIES		0x10

/* A redirection entry's bits that a guest can't write. */
#define RTE_STATUS		BIT_ULL(12)
#define RTE_REMOTE_IRR		BIT_ULL(14)
#define RTE_READ_ONLY		(RTE_STATUS | RTE_REMOTE_IRR)

/*
 * A pin that is up again at every EOI, this many times in a row, is a storm;
 * then the next interrupt waits, so that the guest gets something else done.
 */
#define STORM_EOIS		10000
#define STORM_DELAY		(HZ / 100)

union rte {
	u64 bits;
	struct {
		u64 vector:8, delivery:3, logical:1, status:1, polarity:1,
		    remote_irr:1, level:1, mask:1, reserved:39, dest:8;
	};
};

static_assert(sizeof(union rte) == sizeof_field(struct kvm_ioapic_state, redirtbl[0]));

struct ioapic {
	struct vm *vm;
	raw_spinlock_t lock;
	u64 base_address;		/* kept for user space; we stay where we are */
	u32 index, id;
	u32 irr;			/* pins that are up, or were, if edge-triggered */
	u32 delivered;			/* edges in irr whose message is out */
	union rte rte[KVM_IOAPIC_NUM_PINS];
	u8 sources[KVM_IOAPIC_NUM_PINS];	/* bit for each enum irq_source */
	u32 eois[KVM_IOAPIC_NUM_PINS];	/* in a row with the pin up */
	DECLARE_BITMAP(vectors, 256);	/* in any entry; read without the lock */
	struct delayed_work storm_over;
	struct io_device mmio;
};

/* Sends the pin's message if the entry lets it. As irq_route_fn. */
static int pin_send(struct ioapic *ioapic, unsigned int pin)
{
	union rte *rte = &ioapic->rte[pin];
	struct apic_msg msg = {
		.dest = rte->dest,
		.vector = rte->vector,
		.delivery = rte->delivery,
		.logical = rte->logical,
		.level = rte->level,
		.assert = true,
	};
	int r;

	if (rte->mask || (rte->level && rte->remote_irr))
		return -1;
	if (!rte->level)
		ioapic->delivered |= BIT(pin);
	r = lapic_deliver(ioapic->vm, NULL, &msg);
	if (r > 0 && rte->level)
		rte->remote_irr = 1;
	return r;
}

static int pin_set(struct ioapic *ioapic, unsigned int pin, bool level)
{
	bool was = ioapic->irr & BIT(pin);

	if (!level) {
		ioapic->irr &= ~BIT(pin);
		return 1;
	}
	ioapic->irr |= BIT(pin);
	if (!ioapic->rte[pin].level) {
		ioapic->delivered &= ~BIT(pin);
		if (was)
			return 0;
	}
	return pin_send(ioapic, pin);
}

/**
 * ioapic_set_pin() - drive a pin
 * @vm:		with an in-kernel IOAPIC
 * @pin:	0 to 23
 * @source:	who
 * @level:	0 or 1
 *
 * Context: any but NMI. Return: as irq_route_fn.
 */
int ioapic_set_pin(struct vm *vm, unsigned int pin, enum irq_source source, int level)
{
	struct ioapic *ioapic = vm->arch.ioapic;
	unsigned long flags;
	int r;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	ioapic->sources[pin] &= ~(1 << source);
	ioapic->sources[pin] |= !!level << source;
	r = pin_set(ioapic, pin, ioapic->sources[pin]);
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
	return r;
}

/* The pin's interrupt has been served; does it ask for another? */
static void pin_eoi(struct ioapic *ioapic, unsigned int pin)
{
	union rte *rte = &ioapic->rte[pin];

	rte->remote_irr = 0;
	if (rte->mask || !(ioapic->irr & BIT(pin))) {
		ioapic->eois[pin] = 0;
		return;
	}
	if (++ioapic->eois[pin] < STORM_EOIS) {
		pin_send(ioapic, pin);
		return;
	}
	ioapic->eois[pin] = 0;
	schedule_delayed_work(&ioapic->storm_over, STORM_DELAY);
}

/* Is it level-triggered, and up? */
static bool pin_waits(const struct ioapic *ioapic, unsigned int pin)
{
	return ioapic->rte[pin].level && (ioapic->irr & BIT(pin));
}

static void storm_over(struct work_struct *work)
{
	struct ioapic *ioapic = container_of(to_delayed_work(work), struct ioapic, storm_over);
	unsigned long flags;
	unsigned int pin;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	for (pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
		if (pin_waits(ioapic, pin))
			pin_send(ioapic, pin);
	}
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
}

/**
 * ioapic_eoi() - a LAPIC has ended an interrupt
 * @vcpu:	that did
 * @vector:	of the interrupt
 * @level:	it was level-triggered (TMR): the EOI is broadcast
 *
 * An EOI names a vector and nothing else, so it is for every pin with that
 * vector, as in hardware.
 *
 * Context: @vcpu's thread.
 */
void ioapic_eoi(struct vcpu *vcpu, int vector, bool level)
{
	struct ioapic *ioapic = vcpu->vm->arch.ioapic;
	unsigned long flags;
	unsigned int pin;

	if (!test_bit(vector, ioapic->vectors))
		return;
	for (pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
		if ((READ_ONCE(ioapic->rte[pin].bits) & 0xff) != vector)
			continue;
		/* Told first: a device that lets go now asks for no other. */
		irq_acked(ioapic->vm, KVM_IRQCHIP_IOAPIC, pin);
		if (!level)
			continue;
		raw_spin_lock_irqsave(&ioapic->lock, flags);
		if (ioapic->rte[pin].level && ioapic->rte[pin].vector == vector)
			pin_eoi(ioapic, pin);
		raw_spin_unlock_irqrestore(&ioapic->lock, flags);
	}
}

/**
 * ioapic_wants_eoi() - is there an entry with this vector?
 * @vm:		with an in-kernel IOAPIC
 * @vector:	the vector
 *
 * Context: any.
 */
bool ioapic_wants_eoi(struct vm *vm, int vector)
{
	return test_bit(vector, vm->arch.ioapic->vectors);
}

/*
 * Registers
 */

/*
 * Under the lock; a reader that still sees the old set looks once in vain. LAPICs
 * that are hardware's have to be told.
 */
static void vectors_update(struct ioapic *ioapic)
{
	DECLARE_BITMAP(vectors, 256);
	struct vcpu *vcpu;
	unsigned int pin;
	unsigned long i;

	bitmap_zero(vectors, 256);
	for (pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		__set_bit(ioapic->rte[pin].vector, vectors);
	if (bitmap_equal(ioapic->vectors, vectors, 256))
		return;
	bitmap_copy(ioapic->vectors, vectors, 256);
	if (!vendor_caps.apic_hardware)
		return;
	vm_for_each_vcpu(i, vcpu, ioapic->vm) {
		vcpu_request(vcpu, VCPU_REQ_SCAN_IOAPIC);
		vcpu_kick(vcpu);
	}
}

static void rte_write(struct ioapic *ioapic, unsigned int pin, bool high, u32 value)
{
	union rte *rte = &ioapic->rte[pin], old = *rte, new = old;

	if (high)
		new.bits = (u32)old.bits | (u64)value << 32;
	else
		new.bits = (old.bits & (~0xffffffffull | RTE_READ_ONLY)) |
			   (value & ~RTE_READ_ONLY);
	/* Guests clear a stuck remote IRR by going through edge mode. */
	if (!new.level)
		new.remote_irr = 0;
	WRITE_ONCE(rte->bits, new.bits);
	vectors_update(ioapic);
}

/* The pin whose entry the index register selects, or -1. */
static int index_pin(const struct ioapic *ioapic)
{
	unsigned int pin = (ioapic->index - INDEX_ENTRIES) / 2;

	if (ioapic->index < INDEX_ENTRIES || pin >= KVM_IOAPIC_NUM_PINS)
		return -1;
	return array_index_nospec(pin, KVM_IOAPIC_NUM_PINS);
}

static u32 index_read(const struct ioapic *ioapic)
{
	int pin = index_pin(ioapic);

	switch (ioapic->index) {
	case INDEX_VERSION:
		return IOAPIC_VERSION;
	case INDEX_ID:
	case INDEX_ARBITRATION:
		return (ioapic->id & 0xf) << 24;
	}
	if (pin < 0)
		return ~0u;
	return ioapic->rte[pin].bits >> (ioapic->index & 1 ? 32 : 0);
}

/*
 * A level that came while the pin was masked may be gone without our knowing,
 * if its device waits for an acknowledgement to tell us: so such devices are
 * asked before what is left is sent.
 */
static void window_write(struct ioapic *ioapic, u32 value)
{
	bool opened = false, up = false;
	unsigned long flags;
	int pin;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	if (ioapic->index == INDEX_ID)
		ioapic->id = (value >> 24) & 0xf;
	pin = index_pin(ioapic);
	if (pin >= 0) {
		opened = ioapic->rte[pin].mask;
		rte_write(ioapic, pin, ioapic->index & 1, value);
		opened = opened && !ioapic->rte[pin].mask;
		up = pin_waits(ioapic, pin);
	}
	if (opened) {
		raw_spin_unlock_irqrestore(&ioapic->lock, flags);
		irq_unmasked(ioapic->vm, KVM_IRQCHIP_IOAPIC, pin, up);
		raw_spin_lock_irqsave(&ioapic->lock, flags);
	}
	if (up && pin_waits(ioapic, pin))
		pin_send(ioapic, pin);
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
}

static int mmio_read(struct vcpu *vcpu, struct io_device *dev, gpa_t gpa,
		     unsigned int len, void *data)
{
	struct ioapic *ioapic = container_of(dev, struct ioapic, mmio);
	unsigned long flags;
	u64 value = 0;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	switch (gpa & (IOAPIC_MMIO_LEN - 1)) {
	case REG_SELECT:
		value = ioapic->index;
		break;
	case REG_WINDOW:
		value = index_read(ioapic);
		break;
	}
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
	memset(data, 0, len);
	memcpy(data, &value, min_t(unsigned int, len, sizeof(value)));
	return 0;
}

static int mmio_write(struct vcpu *vcpu, struct io_device *dev, gpa_t gpa,
		      unsigned int len, const void *data)
{
	struct ioapic *ioapic = container_of(dev, struct ioapic, mmio);
	u32 value = 0;

	memcpy(&value, data, min_t(unsigned int, len, sizeof(value)));
	switch (gpa & (IOAPIC_MMIO_LEN - 1)) {
	case REG_SELECT:
		WRITE_ONCE(ioapic->index, value & 0xff);
		break;
	case REG_WINDOW:
		window_write(ioapic, value);
		break;
	}
	return 0;
}

static const struct io_device_ops mmio_ops = {
	.read	= mmio_read,
	.write	= mmio_write,
};

/**
 * ioapic_get() - save
 * @vm:		with an in-kernel IOAPIC
 * @s:		out
 *
 * An edge whose message is out is no longer of interest: it is not in irr.
 */
void ioapic_get(struct vm *vm, struct kvm_ioapic_state *s)
{
	struct ioapic *ioapic = vm->arch.ioapic;
	unsigned long flags;
	unsigned int pin;

	memset(s, 0, sizeof(*s));
	raw_spin_lock_irqsave(&ioapic->lock, flags);
	s->base_address = ioapic->base_address;
	s->ioregsel = ioapic->index;
	s->id = ioapic->id;
	s->irr = ioapic->irr & ~ioapic->delivered;
	for (pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		s->redirtbl[pin].bits = ioapic->rte[pin].bits;
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
}

/**
 * ioapic_set() - restore, and send what was waiting
 * @vm:		with an in-kernel IOAPIC
 * @s:		any values
 */
void ioapic_set(struct vm *vm, const struct kvm_ioapic_state *s)
{
	struct ioapic *ioapic = vm->arch.ioapic;
	unsigned long flags;
	unsigned int pin;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	ioapic->base_address = s->base_address;
	ioapic->index = s->ioregsel & 0xff;
	ioapic->id = s->id & 0xf;
	ioapic->irr = 0;
	ioapic->delivered = 0;
	for (pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		ioapic->rte[pin].bits = s->redirtbl[pin].bits;
	vectors_update(ioapic);
	for (pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
		if (s->irr & BIT(pin))
			pin_set(ioapic, pin, true);
	}
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
}

/**
 * ioapic_create() - make the IOAPIC and put it on the bus
 * @vm:	vm->slots_lock is held
 *
 * Context: sleeps. Return: 0, -ENOMEM or -ENOSPC.
 */
int ioapic_create(struct vm *vm)
{
	struct ioapic *ioapic = kzalloc(sizeof(*ioapic), GFP_KERNEL_ACCOUNT);
	unsigned int pin;
	int r;

	if (!ioapic)
		return -ENOMEM;
	ioapic->vm = vm;
	raw_spin_lock_init(&ioapic->lock);
	INIT_DELAYED_WORK(&ioapic->storm_over, storm_over);
	ioapic->base_address = IO_APIC_DEFAULT_PHYS_BASE;
	for (pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		ioapic->rte[pin].mask = 1;
	ioapic->mmio.ops = &mmio_ops;
	r = io_bus_register(vm, BUS_MMIO, IO_APIC_DEFAULT_PHYS_BASE, IOAPIC_MMIO_LEN,
			    &ioapic->mmio);
	if (r)
		kfree(ioapic);
	else
		vm->arch.ioapic = ioapic;
	return r;
}

/**
 * ioapic_destroy() - take it away
 * @vm:	vm->slots_lock is held; nobody drives pins any more
 *
 * Context: sleeps.
 */
void ioapic_destroy(struct vm *vm)
{
	struct ioapic *ioapic = vm->arch.ioapic;

	if (!ioapic)
		return;
	cancel_delayed_work_sync(&ioapic->storm_over);
	io_bus_unregister(vm, BUS_MMIO, &ioapic->mmio);
	vm->arch.ioapic = NULL;
	kfree(ioapic);
}
