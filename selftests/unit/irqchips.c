// SPDX-License-Identifier: GPL-2.0
/*
 * The irqchips' own code, compiled against a kernel of a few macros
 * (irq/kernel.h): registers and priorities, where a test in a guest would need
 * many exits to ask one question; timers, with a clock that the test moves.
 *
 * IPIs are checked against a rule of their own: the APIC map, a shortcut, must
 * send a message to the same LAPICs as asking each of them would.
 */
#include "unit.h"

#include "x86/irq/ipi.c"
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic_state.h"
#include "x86/x86.h"

/*
 * The core, as far as it is called
 */

ktime_t unit_now;
struct hrtimer *unit_timers;

static struct vm vm;
static struct vcpu vcpus[UNIT_VCPUS];
static struct kvm_run run;
static bool has_tsc_deadline;
static u64 tsc_offset;

static struct { enum bus_kind kind; gpa_t addr; unsigned int len; struct io_device *dev; } bus[16];
static unsigned int nbus;
static struct irq_ack_notifier *notifiers[4];
static unsigned int nnotifiers;
static unsigned int acks[3][24], unmasks[3][24];

int io_bus_register(struct vm *v, enum bus_kind kind, gpa_t addr, unsigned int len,
		    struct io_device *dev)
{
	assert(nbus < 16);
	bus[nbus].kind = kind;
	bus[nbus].addr = addr;
	bus[nbus].len = len;
	bus[nbus++].dev = dev;
	return 0;
}

void io_bus_unregister(struct vm *v, enum bus_kind kind, struct io_device *dev)
{
	unsigned int i;

	for (i = 0; i < nbus; i++) {
		if (bus[i].dev == dev)
			bus[i].dev = NULL;
	}
}

static struct io_device *device_at(enum bus_kind kind, gpa_t addr)
{
	unsigned int i;

	for (i = 0; i < nbus; i++) {
		if (bus[i].dev && bus[i].kind == kind && addr - bus[i].addr < bus[i].len)
			return bus[i].dev;
	}
	abort();
}

/* GSI n is pin n of each chip, as KVM_CREATE_IRQCHIP has it. */
int irq_set(struct vm *v, enum irq_source source, u32 gsi, int level)
{
	int pic = gsi < 16 && v->arch.pic ? pic_set_pin(v, gsi, source, level) : -1;
	int ioapic = v->arch.ioapic ? ioapic_set_pin(v, gsi, source, level) : -1;

	return pic < 0 ? ioapic : ioapic < 0 ? pic : pic + ioapic;
}

void irq_acked(struct vm *v, u32 chip, u32 pin)
{
	unsigned int i;

	acks[chip][pin]++;
	for (i = 0; i < nnotifiers; i++) {
		if (notifiers[i]->gsi == pin)
			notifiers[i]->acked(notifiers[i]);
	}
}

void irq_unmasked(struct vm *v, u32 chip, u32 pin, bool up)
{
	unsigned int i;

	unmasks[chip][pin]++;
	for (i = 0; i < nnotifiers; i++) {
		if (notifiers[i]->gsi == pin)
			notifiers[i]->unmasked(notifiers[i], up);
	}
}

void irq_ack_notifier_add(struct vm *v, struct irq_ack_notifier *n)
{
	notifiers[nnotifiers++] = n;
}

void irq_ack_notifier_del(struct vm *v, struct irq_ack_notifier *n)
{
	nnotifiers = 0;
}

int irq_routing_set(struct vm *v, const struct kvm_irq_routing_entry *e, unsigned int n)
{
	return 0;
}

void vendor_get_segment(struct vcpu *vcpu, enum seg seg, struct kvm_segment *s)
{
	memset(s, 0, sizeof(*s));
}

void vendor_set_segment(struct vcpu *vcpu, enum seg seg, const struct kvm_segment *s)
{
}

void queue_nmi(struct vcpu *vcpu)
{
	vcpu->nmis++;
}

void vcpu_reset(struct vcpu *vcpu, bool init)
{
	lapic_reset(vcpu, init);
}

void cpuid_runtime(struct vcpu *vcpu)
{
}

bool guest_has(struct vcpu *vcpu, unsigned int feature)
{
	return feature == X86_FEATURE_X2APIC || has_tsc_deadline;
}

u64 tsc_guest(struct vcpu *vcpu, u64 host_tsc)
{
	return host_tsc + tsc_offset;
}

/*
 * A machine, and what a guest does with it
 */

static const char *failed;

#define CHECK(cond)								\
	do {									\
		if (!(cond) && !failed) {					\
			failed = #cond;						\
			printf("# %s:%d: %s\n", __func__, __LINE__, #cond);	\
		}								\
	} while (0)

static void machine_free(void)
{
	unsigned int i;

	pit_destroy(&vm);
	irqchip_destroy(&vm);
	for (i = 0; i < vm.nvcpus; i++)
		lapic_destroy(&vcpus[i]);
	unit_timers = NULL;
	nbus = 0;
	nnotifiers = 0;
}

static void machine(unsigned int n)
{
	const struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	unsigned int i;

	machine_free();
	memset(&vm, 0, sizeof(vm));
	memset(vcpus, 0, sizeof(vcpus));
	memset(acks, 0, sizeof(acks));
	memset(unmasks, 0, sizeof(unmasks));
	unit_now = 1000000;
	has_tsc_deadline = true;
	tsc_offset = 0;
	assert(!irqchip_create(&vm));
	assert(!pit_create(&vm, &config));
	for (i = 0; i < n; i++) {
		struct vcpu *vcpu = &vcpus[i];

		vcpu->vm = &vm;
		vcpu->run = &run;
		vcpu->id = i;
		vcpu->arch.user_irq = -1;
		vcpu->arch.cpuid.max_phyaddr = 40;
		vcpu->arch.tsc.khz = 1000000;
		assert(!lapic_create(vcpu));
		vcpu_reset(vcpu, false);
		vm.vcpus[i] = vcpu;
		vm.nvcpus = i + 1;
	}
	apic_map_rebuild(&vm);
}

/* Moves the clock, and lets timers fire in their order. */
static void pass(u64 ns)
{
	ktime_t end = unit_now + ns;
	struct hrtimer *t, *first;

	for (;;) {
		first = NULL;
		for (t = unit_timers; t; t = t->next) {
			if (t->active && t->expires <= end && (!first || t->expires < first->expires))
				first = t;
		}
		if (!first)
			break;
		unit_now = max(unit_now, first->expires);
		first->active = false;
		if (first->fn(first) == HRTIMER_RESTART)
			first->active = true;
	}
	unit_now = end;
}

static void outb(u16 port, u8 value)
{
	struct io_device *dev = device_at(BUS_PIO, port);

	CHECK(dev->ops->write(&vcpus[0], dev, port, 1, &value) == 0);
}

static u8 inb(u16 port)
{
	struct io_device *dev = device_at(BUS_PIO, port);
	u8 value = 0xa5;

	CHECK(dev->ops->read(&vcpus[0], dev, port, 1, &value) == 0);
	return value;
}

static void apic_write_on(unsigned int cpu, u32 reg, u32 value)
{
	CHECK(lapic_mmio_write(&vcpus[cpu], 0xfee00000 + reg, 4, &value) == 0);
}

static u32 apic_read_on(unsigned int cpu, u32 reg)
{
	u32 value = 0;

	CHECK(lapic_mmio_read(&vcpus[cpu], 0xfee00000 + reg, 4, &value) == 0);
	return value;
}

#define apic_write(reg, value)	apic_write_on(0, reg, value)
#define apic_read(reg)		apic_read_on(0, reg)

static void ioapic_write(u8 index, u32 value)
{
	struct io_device *dev = device_at(BUS_MMIO, 0xfec00000);
	u32 select = index;

	dev->ops->write(&vcpus[0], dev, 0xfec00000, 4, &select);
	dev->ops->write(&vcpus[0], dev, 0xfec00010, 4, &value);
}

static u32 ioapic_read(u8 index)
{
	struct io_device *dev = device_at(BUS_MMIO, 0xfec00000);
	u32 value = index;

	dev->ops->write(&vcpus[0], dev, 0xfec00000, 4, &value);
	dev->ops->read(&vcpus[0], dev, 0xfec00010, 4, &value);
	return value;
}

static void line(u32 gsi, int level)
{
	irq_set(&vm, IRQ_SOURCE_USER, gsi, level);
}

/* What the processor would be given now, or -1. */
static int interrupt(void)
{
	return irq_pending(&vcpus[0]) ? irq_take(&vcpus[0]) : -1;
}

static bool in_bank(unsigned int cpu, u32 bank, u8 vector)
{
	return apic_read_on(cpu, bank + vector / 32 * 16) >> (vector % 32) & 1;
}

static void apic_enable(unsigned int cpu)
{
	apic_write_on(cpu, APIC_SPIV, 0x1ff);
}

static void apic_fixed(u8 vector)
{
	const struct apic_msg msg = { .dest = 0, .vector = vector, .assert = true };

	lapic_deliver(&vm, NULL, &msg);
}

/*
 * PIC
 */

/* As a PC's firmware and Linux do: bases 0x20 and 0x28. */
static void pic_program(u8 icw4)
{
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 0x04);
	outb(0x21, icw4);
	outb(0xa0, 0x11);
	outb(0xa1, 0x28);
	outb(0xa1, 0x02);
	outb(0xa1, icw4);
	outb(0x21, 0x00);
	outb(0xa1, 0x00);
}

static void pic_machine(u8 icw4)
{
	machine(1);
	pic_program(icw4);
}

static void pulse(u32 gsi)
{
	line(gsi, 1);
	line(gsi, 0);
}

static void pic_priorities(void)
{
	pic_machine(0x01);
	pulse(5);
	pulse(3);
	CHECK(interrupt() == 0x23);
	CHECK(interrupt() == -1);		/* 5 is below 3 */
	pulse(1);
	CHECK(interrupt() == 0x21);		/* 1 above: nested */
	outb(0x20, 0x20);
	CHECK(acks[0][1] == 1 && acks[0][3] == 0);
	CHECK(interrupt() == -1);
	outb(0x20, 0x20);
	CHECK(interrupt() == 0x25);
	outb(0x20, 0x65);			/* specific EOI of 5 */
	CHECK(acks[0][5] == 1);
	CHECK(interrupt() == -1);
}

static void pic_mask(void)
{
	pic_machine(0x01);
	outb(0x21, 0x08);
	CHECK(pic_set_pin(&vm, 3, IRQ_SOURCE_USER, 1) < 0);
	CHECK(interrupt() == -1);
	CHECK(unmasks[0][3] == 0);
	outb(0x21, 0x00);
	CHECK(unmasks[0][3] == 1);
	CHECK(interrupt() == 0x23);
	CHECK(inb(0x21) == 0x00);
}

static void pic_cascade(void)
{
	struct kvm_pic_state master;

	pic_machine(0x01);
	pulse(12);
	pic_get(&vm, 0, &master);
	CHECK(!(master.last_irr & 4));		/* for KVM, the slave's next is an edge */
	CHECK(interrupt() == 0x2c);
	outb(0x20, 0x0b);
	outb(0xa0, 0x0b);
	CHECK(inb(0x20) == 0x04 && inb(0xa0) == 0x10);
	pulse(8);				/* the slave may, the master not */
	CHECK(interrupt() == -1);
	pulse(1);
	CHECK(interrupt() == 0x21);
	outb(0x20, 0x20);
	outb(0xa0, 0x20);
	CHECK(acks[1][12] == 1);
	CHECK(interrupt() == -1);
	outb(0x20, 0x20);
	CHECK(interrupt() == 0x28);
}

static void pic_fully_nested(void)
{
	pic_machine(0x11);
	pulse(12);
	CHECK(interrupt() == 0x2c);
	pulse(8);
	CHECK(interrupt() == 0x28);		/* within the slave's own order */
	pulse(13);
	CHECK(interrupt() == -1);
}

static void pic_level(void)
{
	pic_machine(0x01);
	outb(0x4d0, 0xff);
	outb(0x4d1, 0xff);
	CHECK(inb(0x4d0) == 0xf8 && inb(0x4d1) == 0xde);
	line(5, 1);
	CHECK(interrupt() == 0x25);
	outb(0x20, 0x20);
	CHECK(interrupt() == 0x25);		/* still up */
	line(5, 0);
	outb(0x20, 0x20);
	CHECK(interrupt() == -1);
	/* Up while any source is. */
	irq_set(&vm, IRQ_SOURCE_USER, 5, 1);
	irq_set(&vm, IRQ_SOURCE_RESAMPLE, 5, 1);
	irq_set(&vm, IRQ_SOURCE_USER, 5, 0);
	CHECK(interrupt() == 0x25);
	irq_set(&vm, IRQ_SOURCE_RESAMPLE, 5, 0);
	outb(0x20, 0x20);
	CHECK(interrupt() == -1);
}

static void pic_spurious(void)
{
	pic_machine(0x01);
	outb(0x4d0, 0x20);
	line(5, 1);
	line(5, 0);
	CHECK(pic_read_vector(&vm) == 0x27);
	outb(0x20, 0x0b);
	CHECK(inb(0x20) == 0);			/* nothing in service */
}

static void pic_auto_eoi(void)
{
	pic_machine(0x03);
	pulse(3);
	CHECK(interrupt() == 0x23);
	CHECK(acks[0][3] == 1);
	pulse(4);
	CHECK(interrupt() == 0x24);
	outb(0x20, 0x80);			/* rotate on automatic EOI */
	pulse(3);
	CHECK(interrupt() == 0x23);		/* 4 is the highest now */
	pulse(3);
	pulse(5);
	CHECK(interrupt() == 0x25);
}

static void pic_rotation(void)
{
	pic_machine(0x01);
	outb(0x20, 0xc0 | 4);			/* 4 is the lowest: 5 the highest */
	pulse(0);
	pulse(4);
	pulse(6);
	CHECK(interrupt() == 0x26);
	outb(0x20, 0xa0);			/* EOI, 6 the lowest: 7 the highest */
	pulse(6);
	CHECK(interrupt() == 0x20);
	outb(0x20, 0xe0 | 0);			/* specific: 0 the lowest */
	CHECK(interrupt() == 0x24);
}

static void pic_special_mask(void)
{
	pic_machine(0x01);
	pulse(3);
	CHECK(interrupt() == 0x23);
	pulse(5);
	CHECK(interrupt() == -1);
	outb(0x21, 0x08);
	outb(0x20, 0x68);
	CHECK(interrupt() == 0x25);
	outb(0x20, 0x48);
	pulse(6);
	CHECK(interrupt() == -1);
}

static void pic_poll(void)
{
	pic_machine(0x01);
	outb(0x20, 0x0c);
	CHECK(inb(0x20) == 7);
	pulse(5);
	outb(0x20, 0x0c);
	CHECK(inb(0x20) == 0x85);
	outb(0x20, 0x0b);
	CHECK(inb(0x20) == 0x20);		/* in service, like an INTA */
	CHECK(interrupt() == -1);
}

static void pic_save(void)
{
	struct kvm_irqchip a = { .chip_id = KVM_IRQCHIP_PIC_MASTER }, b = a;

	pic_machine(0x01);
	pulse(5);
	pulse(3);
	CHECK(interrupt() == 0x23);
	CHECK(irqchip_get(&vm, &a) == 0);
	machine(1);
	CHECK(irqchip_set(&vm, &a) == 0);
	CHECK(irqchip_get(&vm, &b) == 0);
	CHECK(!memcmp(&a, &b, sizeof(a)));
	outb(0x20, 0x20);
	CHECK(interrupt() == 0x25);
}

/*
 * IOAPIC
 */

static void ioapic_machine(unsigned int n)
{
	unsigned int i;

	machine(n);
	for (i = 0; i < n; i++)
		apic_enable(i);
	apic_write(APIC_LVT0, APIC_LVT_MASKED);
}

static void ioapic_edge(void)
{
	ioapic_machine(2);
	CHECK(ioapic_read(1) == 0x170011);
	ioapic_write(0x10 + 2 * 5, 0x35);
	ioapic_write(0x11 + 2 * 5, 1u << 24);
	CHECK(ioapic_set_pin(&vm, 5, IRQ_SOURCE_USER, 1) == 1);
	CHECK(in_bank(1, APIC_IRR, 0x35) && !in_bank(1, APIC_TMR, 0x35));
	CHECK(ioapic_set_pin(&vm, 5, IRQ_SOURCE_USER, 1) == 0);	/* no new edge */
	ioapic_set_pin(&vm, 5, IRQ_SOURCE_USER, 0);
	CHECK(ioapic_read(0x10 + 2 * 5) == 0x35);
	ioapic_write(0x10 + 2 * 5, 0x10035);
	CHECK(ioapic_set_pin(&vm, 5, IRQ_SOURCE_USER, 1) < 0);
}

static void ioapic_level(void)
{
	ioapic_machine(1);
	ioapic_write(0x10 + 2 * 9, 0x8039);
	line(9, 1);
	CHECK(ioapic_read(0x10 + 2 * 9) == 0xc039);	/* remote IRR */
	CHECK(in_bank(0, APIC_TMR, 0x39));
	CHECK(interrupt() == 0x39);
	CHECK(ioapic_set_pin(&vm, 9, IRQ_SOURCE_USER, 1) < 0);
	apic_write(APIC_EOI, 0);
	CHECK(acks[2][9] == 1);
	CHECK(interrupt() == 0x39);			/* still up */
	line(9, 0);
	apic_write(APIC_EOI, 0);
	CHECK(interrupt() == -1);
	CHECK(ioapic_read(0x10 + 2 * 9) == 0x8039);
	/* Up while masked: sent when it is opened; gone again: not. */
	ioapic_write(0x10 + 2 * 9, 0x18039);
	line(9, 1);
	CHECK(interrupt() == -1);
	ioapic_write(0x10 + 2 * 9, 0x8039);
	CHECK(unmasks[2][9] == 2);
	CHECK(interrupt() == 0x39);
	/* Through edge mode, remote IRR is cleared. */
	ioapic_write(0x10 + 2 * 9, 0x10039);
	CHECK(ioapic_read(0x10 + 2 * 9) == 0x10039);
}

/* It is kept, and a line that is up is up (KVM_CAP_IOAPIC_POLARITY_IGNORED). */
static void ioapic_polarity(void)
{
	unsigned int low;

	for (low = 0; low < 2; low++) {
		ioapic_machine(1);
		ioapic_write(0x10 + 2 * 9, 0x8039 | low << 13);
		CHECK(ioapic_read(0x10 + 2 * 9) == (0x8039 | low << 13));
		CHECK(interrupt() == -1);
		line(9, 1);
		CHECK(interrupt() == 0x39);
		line(9, 0);
		apic_write(APIC_EOI, 0);
		CHECK(interrupt() == -1);
	}
}

static void ioapic_save(void)
{
	struct kvm_irqchip a = { .chip_id = KVM_IRQCHIP_IOAPIC }, b = a;

	ioapic_machine(1);
	ioapic_write(0x10 + 2 * 9, 0x18039);
	ioapic_write(0x11 + 2 * 9, 3u << 24);
	ioapic_write(0x00, 7u << 24);
	line(9, 1);
	CHECK(irqchip_get(&vm, &a) == 0);
	CHECK(a.chip.ioapic.irr == 1 << 9 && a.chip.ioapic.id == 7);
	machine(1);
	CHECK(irqchip_set(&vm, &a) == 0);
	CHECK(irqchip_get(&vm, &b) == 0);
	CHECK(!memcmp(&a, &b, sizeof(a)));
}

/*
 * LAPIC
 */

static void lapic_priorities(void)
{
	machine(1);
	apic_write(APIC_LVT0, APIC_LVT_MASKED);
	apic_fixed(0x40);
	CHECK(interrupt() == -1);		/* disabled by software: lost */
	apic_enable(0);
	apic_fixed(0x40);
	apic_fixed(0x51);
	CHECK(interrupt() == 0x51);
	CHECK(apic_read(APIC_PROCPRI) == 0x50);
	apic_fixed(0x5f);
	CHECK(interrupt() == -1);		/* the same class */
	apic_fixed(0x60);
	CHECK(interrupt() == 0x60);
	apic_write(APIC_EOI, 0);
	CHECK(interrupt() == -1);
	apic_write(APIC_EOI, 0);
	CHECK(interrupt() == 0x5f);
	apic_write(APIC_TASKPRI, 0x48);
	apic_write(APIC_EOI, 0);
	CHECK(vcpus[0].arch.cr8 == 4);
	CHECK(apic_read(APIC_PROCPRI) == 0x48);
	CHECK(interrupt() == -1);
	CHECK(lapic_tpr_blocks(&vcpus[0]));
	vcpus[0].requests = 0;
	lapic_set_tpr(&vcpus[0], 3);
	CHECK(test_bit(VCPU_REQ_EVENT, &vcpus[0].requests));
	CHECK(interrupt() == 0x40);
	apic_write(APIC_EOI, 0);
	apic_write(APIC_EOI, 0);		/* one too many */
	CHECK(interrupt() == -1);
	apic_fixed(0x0f);			/* below all: never delivered */
	apic_write(APIC_TASKPRI, 0);
	CHECK(interrupt() == -1);
}

static void lapic_registers(void)
{
	u32 value;

	machine(3);
	CHECK(apic_read_on(2, APIC_ID) == 2u << 24);
	CHECK(apic_read(APIC_LVR) == 0x50014);
	CHECK(apic_read(APIC_DFR) == 0xffffffff);
	CHECK(apic_read(APIC_LVT0) == 0x700 && apic_read_on(1, APIC_LVT0) == 0x10000);
	apic_write(APIC_LVT1, 0x400);
	CHECK(apic_read(APIC_LVT1) == 0x10400);	/* masked while disabled */
	apic_enable(0);
	apic_write(APIC_LVT1, ~0u);
	CHECK(apic_read(APIC_LVT1) == 0x1f7ff);
	apic_write(APIC_LVTERR, ~0u);
	CHECK(apic_read(APIC_LVTERR) == 0x110ff);
	apic_write(APIC_LVTT, ~0u);
	CHECK(apic_read(APIC_LVTT) == 0x710ff);
	has_tsc_deadline = false;
	apic_write(APIC_LVTT, ~0u);
	CHECK(apic_read(APIC_LVTT) == 0x310ff);
	apic_write(APIC_LVTT, 0x300);
	apic_write(APIC_SPIV, 0xff);
	CHECK(apic_read(APIC_LVTT) & APIC_LVT_MASKED);
	apic_write(APIC_SPIV, ~0u);
	CHECK(apic_read(APIC_SPIV) == 0x3ff);	/* no directed EOI here */
	/* Writes of another size, or not aligned, are lost. */
	value = 0;
	CHECK(lapic_mmio_write(&vcpus[0], 0xfee000f0, 1, &value) == 0);
	CHECK(lapic_mmio_write(&vcpus[0], 0xfee000f2, 4, &value) == 0);
	CHECK(apic_read(APIC_SPIV) == 0x3ff);
	CHECK(lapic_mmio_read(&vcpus[0], 0xfee000f1, 2, &value) == 0 && value == 0x0003);
	CHECK(lapic_mmio_read(&vcpus[0], 0xfed00000, 4, &value) == -EOPNOTSUPP);
}

#define SENT_ILLEGAL		0x20
#define RECEIVED_ILLEGAL	0x40
#define ILLEGAL_REGISTER	0x80

static void forget_irr(unsigned int cpu)
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		lapic_set_reg(vcpus[cpu].arch.lapic, APIC_IRR + i * 16, 0);
}

/* ESR, and whether its interrupt has come since. */
static u32 errors(unsigned int cpu, bool *told)
{
	*told = in_bank(cpu, APIC_IRR, 0xe1);
	apic_write_on(cpu, APIC_ESR, 0);
	forget_irr(cpu);
	return apic_read_on(cpu, APIC_ESR);
}

static void lapic_errors(void)
{
	struct kvm_lapic_state state;
	u32 word = 0;
	bool told;

	machine(2);
	apic_enable(0);
	apic_enable(1);
	apic_write_on(0, APIC_LVTERR, 0xe1);
	apic_write_on(1, APIC_LVTERR, 0xe1);
	CHECK(errors(0, &told) == 0 && !told);
	/* To another: one has sent it, one has received it, and nobody is interrupted by it. */
	apic_write(APIC_ICR2, 1u << 24);
	apic_write(APIC_ICR, 0x400f);
	CHECK(!in_bank(1, APIC_IRR, 0x0f));
	CHECK(apic_read(APIC_ESR) == 0);		/* not before it is written */
	CHECK(errors(0, &told) == SENT_ILLEGAL && told);
	CHECK(errors(0, &told) == 0 && !told);
	CHECK(errors(1, &told) == RECEIVED_ILLEGAL && told);
	/* To itself; told once. NMI and INIT have no vector. */
	apic_write(APIC_ICR, 0x44003);
	CHECK(in_bank(0, APIC_IRR, 0xe1));
	forget_irr(0);
	apic_write(APIC_ICR, 0x44003);
	CHECK(!in_bank(0, APIC_IRR, 0xe1));
	CHECK(errors(0, &told) == (SENT_ILLEGAL | RECEIVED_ILLEGAL));
	apic_write(APIC_ICR, 0x4400);
	CHECK(errors(0, &told) == 0 && !told);
	/* By an entry of LVT, the error's own among them, which is not told then. */
	apic_write(APIC_LVT1, 0x05);
	CHECK(lapic_local(&vcpus[0], APIC_LVT1));
	CHECK(errors(0, &told) == RECEIVED_ILLEGAL && told);
	apic_write(APIC_LVTERR, 0x05);
	CHECK(lapic_local(&vcpus[0], APIC_LVT1));
	CHECK(errors(0, &told) == RECEIVED_ILLEGAL && !told);
	apic_write(APIC_LVTERR, 0x100e1);
	CHECK(lapic_local(&vcpus[0], APIC_LVT1));
	CHECK(errors(0, &told) == RECEIVED_ILLEGAL && !told);
	/* Registers that are not there. */
	apic_write(APIC_LVTERR, 0xe1);
	CHECK(lapic_mmio_read(&vcpus[0], 0xfee00040, 4, &word) == 0);
	CHECK(errors(0, &told) == ILLEGAL_REGISTER && told);
	CHECK(lapic_mmio_write(&vcpus[0], 0xfee00ff0, 4, &word) == 0);
	CHECK(errors(0, &told) == ILLEGAL_REGISTER && told);
	CHECK(lapic_mmio_read(&vcpus[0], 0xfee000b0, 4, &word) == 0);
	CHECK(errors(0, &told) == 0 && !told);
	/* What is noted, and not shown yet, migrates. */
	apic_write(APIC_ICR, 0x44003);
	lapic_get_state(&vcpus[0], &state);
	*(u32 *)(state.regs + 0x290) |= 0xff00;
	CHECK(!lapic_set_state(&vcpus[1], &state));
	CHECK(errors(1, &told) == (SENT_ILLEGAL | RECEIVED_ILLEGAL) && told);
	/* x2APIC: by the self-IPI register, too. */
	CHECK(!lapic_set_base(&vcpus[0], 0xfee00000 | 3 << 10, true));
	CHECK(!lapic_x2apic_write(&vcpus[0], 0x83f, 0x02));
	CHECK(lapic_x2apic_write(&vcpus[0], 0x828, 1) == 1);
	CHECK(!lapic_x2apic_write(&vcpus[0], 0x828, 0));
	CHECK(lapic_reg(vcpus[0].arch.lapic, APIC_ESR) == (SENT_ILLEGAL | RECEIVED_ILLEGAL));
}

static u64 base_of(unsigned int cpu)
{
	return vcpus[cpu].arch.apic_base;
}

static void lapic_modes(void)
{
	const u64 base = 0xfee00000, en = 1 << 11, x2 = 1 << 10, bsp = 1 << 8;
	u64 value;
	u32 word = 0;

	machine(20);
	CHECK(base_of(0) == (base | en | bsp) && base_of(1) == (base | en));
	CHECK(lapic_set_base(&vcpus[17], base | x2, false));
	CHECK(lapic_set_base(&vcpus[17], base | en | 1, false));
	CHECK(lapic_set_base(&vcpus[17], 1ull << 40 | en, false));
	CHECK(lapic_x2apic_read(&vcpus[17], 0x802, &value));
	CHECK(!lapic_set_base(&vcpus[17], base | en | x2, false));
	CHECK(!lapic_x2apic_read(&vcpus[17], 0x802, &value) && value == 17);
	CHECK(!lapic_x2apic_read(&vcpus[17], 0x80d, &value) && value == 0x10002);
	CHECK(lapic_x2apic_read(&vcpus[17], 0x80e, &value));	/* DFR */
	CHECK(lapic_x2apic_read(&vcpus[17], 0x831, &value));	/* ICR2 */
	CHECK(lapic_x2apic_read(&vcpus[17], 0x83f, &value));	/* self IPI */
	CHECK(lapic_x2apic_read(&vcpus[17], 0x80b, &value));	/* EOI */
	CHECK(lapic_x2apic_read(&vcpus[17], 0x8ff, &value));
	CHECK(lapic_x2apic_write(&vcpus[17], 0x802, 0));
	CHECK(lapic_x2apic_write(&vcpus[17], 0x80d, 0));
	CHECK(lapic_x2apic_write(&vcpus[17], 0x828, 1));	/* ESR */
	CHECK(!lapic_x2apic_write(&vcpus[17], 0x828, 0));
	CHECK(lapic_x2apic_write(&vcpus[17], 0x808, 1ull << 32));
	CHECK(!lapic_x2apic_write(&vcpus[17], 0x808, 0x20));
	/* The page is a hole now; with the quirk off it is user space's. */
	CHECK(!lapic_mmio_read(&vcpus[17], base, 4, &word) && word == ~0u);
	vm.arch.disabled_quirks = KVM_X86_QUIRK_LAPIC_MMIO_HOLE;
	CHECK(lapic_mmio_read(&vcpus[17], base, 4, &word) == -EOPNOTSUPP);
	/* The ways out: not to xAPIC, but to disabled, and from there. */
	CHECK(lapic_set_base(&vcpus[17], base | en, false));
	CHECK(!lapic_set_base(&vcpus[17], base, false));
	CHECK(lapic_set_base(&vcpus[17], base | en | x2, false));
	CHECK(!lapic_set_base(&vcpus[17], base | en, false));
	CHECK(apic_read_on(17, APIC_ID) == 17u << 24);
	/* User space may do what a guest may not. */
	CHECK(!lapic_set_base(&vcpus[17], base | en | x2, true));
	CHECK(!lapic_set_base(&vcpus[17], base | en, true));
	CHECK(!lapic_set_base(&vcpus[17], 0xfee01000 | en, false));
	CHECK(lapic_mmio_read(&vcpus[17], base, 4, &word) == -EOPNOTSUPP);
	CHECK(!lapic_mmio_read(&vcpus[17], 0xfee01020, 4, &word) && word == 17u << 24);
}

static void lapic_init_sipi(void)
{
	struct vcpu *ap;

	machine(2);
	ap = &vcpus[1];
	apic_write(APIC_ICR2, 1u << 24);
	ap->arch.mp_state = KVM_MP_STATE_UNINITIALIZED;
	apic_write(APIC_ICR, 0x4600 | 0x9f);
	lapic_take_init_sipi(ap);
	CHECK(ap->arch.mp_state == KVM_MP_STATE_UNINITIALIZED);	/* nobody waited */
	apic_write(APIC_ICR, 0xc500);
	apic_write(APIC_ICR, 0x8500);				/* de-assert */
	apic_write(APIC_ICR, 0x4600 | 0x9a);
	CHECK(lapic_has_init_sipi(ap));
	lapic_take_init_sipi(ap);
	CHECK(ap->arch.mp_state == KVM_MP_STATE_RUNNABLE && ap->arch.sipi_vector == 0x9a);
	apic_write(APIC_ICR, 0x4500);
	lapic_take_init_sipi(ap);
	CHECK(ap->arch.mp_state == KVM_MP_STATE_INIT_RECEIVED);
	/* The boot processor runs on after INIT. */
	apic_write_on(1, APIC_ICR2, 0);
	apic_write_on(1, APIC_ICR, 0x4500);
	vcpus[0].arch.mp_state = KVM_MP_STATE_HALTED;
	lapic_take_init_sipi(&vcpus[0]);
	CHECK(vcpus[0].arch.mp_state == KVM_MP_STATE_RUNNABLE);
}

/* What goes into a KVM_GET_LAPIC comes out of the next, but for the timer. */
static void lapic_save(void)
{
	struct kvm_lapic_state a, b;
	unsigned int x2;

	for (x2 = 0; x2 < 4; x2++) {
		machine(3);
		vm.arch.x2apic_api_32bit = x2 & 2;
		if (x2)
			CHECK(!lapic_set_base(&vcpus[2], 0xfee00000 | 3 << 10, true));
		lapic_get_state(&vcpus[2], &a);
		CHECK(*(u32 *)(a.regs + APIC_ID) == (x2 & 2 ? 2 : 2u << 24));
		*(u32 *)(a.regs + APIC_TASKPRI) = 0x30;
		*(u32 *)(a.regs + APIC_SPIV) = 0x1ff;
		*(u32 *)(a.regs + APIC_IRR + 0x20) = 0x00010000;
		*(u32 *)(a.regs + APIC_ISR + 0x30) = 0x00000100;
		*(u32 *)(a.regs + APIC_ICR) = 0x4041;
		*(u32 *)(a.regs + APIC_ICR2) = 0x02000000;
		CHECK(!lapic_set_state(&vcpus[2], &a));
		lapic_get_state(&vcpus[2], &b);
		*(u32 *)(a.regs + APIC_PROCPRI) = 0x60;
		CHECK(!memcmp(&a, &b, sizeof(a)));
		CHECK(vcpus[2].arch.cr8 == 3);
		CHECK(lapic_pending_vector(&vcpus[2]) == -1);
		lapic_eoi(&vcpus[2]);
		CHECK(lapic_pending_vector(&vcpus[2]) == 0x50);
		*(u32 *)(a.regs + APIC_ID) = 9;
		if (x2 & 2)
			CHECK(lapic_set_state(&vcpus[2], &a) == -EINVAL);
	}
}

static void lapic_local_sources(void)
{
	machine(2);
	CHECK(!lapic_local(&vcpus[0], APIC_LVT1));	/* masked */
	apic_enable(0);
	apic_write(APIC_LVT1, 0x400);
	CHECK(lapic_local(&vcpus[0], APIC_LVT1) && vcpus[0].nmis == 1);
	apic_write(APIC_LVTPC, 0x77);
	CHECK(lapic_local(&vcpus[0], APIC_LVTPC));
	CHECK(in_bank(0, APIC_IRR, 0x77));
	CHECK(apic_read(APIC_LVTPC) == 0x10077);	/* masks itself */
	CHECK(lapic_accepts_pic(&vcpus[0]) && !lapic_accepts_pic(&vcpus[1]));
	apic_write(APIC_LVT0, 0x10700);
	CHECK(!lapic_accepts_pic(&vcpus[0]));
	CHECK(!lapic_set_base(&vcpus[1], 0xfee00000, true));
	CHECK(lapic_accepts_pic(&vcpus[1]));
}

/*
 * The LAPIC's timer
 */

static int timer_interrupt(void)
{
	int vector = interrupt();

	if (vector >= 0)
		apic_write(APIC_EOI, 0);
	return vector;
}

static void timer_machine(u32 lvtt)
{
	machine(1);
	apic_enable(0);
	apic_write(APIC_LVT0, APIC_LVT_MASKED);
	apic_write(APIC_LVTT, lvtt);
}

static void timer_one_shot(void)
{
	timer_machine(0x40);
	apic_write(APIC_TDCR, 0x3);			/* by 16 */
	apic_write(APIC_TMICT, 1000);
	CHECK(apic_read(APIC_TMCCT) == 1000);
	pass(4000);
	CHECK(apic_read(APIC_TMCCT) == 750);
	apic_write(APIC_TDCR, 0xb);			/* by 1: 750 ns are left */
	CHECK(apic_read(APIC_TMCCT) == 750);
	pass(749);
	CHECK(apic_read(APIC_TMCCT) == 1 && timer_interrupt() == -1);
	pass(1);
	CHECK(test_bit(VCPU_REQ_APIC_TIMER, &vcpus[0].requests));
	CHECK(apic_read(APIC_TMCCT) == 1);		/* due, but not yet seen */
	CHECK(timer_interrupt() == 0x40);
	CHECK(apic_read(APIC_TMCCT) == 0);
	pass(1000000);
	CHECK(timer_interrupt() == -1);
	apic_write(APIC_TMICT, 1000);
	apic_write(APIC_TMICT, 0);			/* stops it */
	pass(100000);
	CHECK(timer_interrupt() == -1);
	apic_write(APIC_LVTT, 0x10040);			/* masked: counts, and is silent */
	apic_write(APIC_TMICT, 1000);
	pass(500);
	CHECK(apic_read(APIC_TMCCT) == 500);
	pass(500);
	CHECK(timer_interrupt() == -1);
}

static void timer_periodic_mode(void)
{
	unsigned int i;

	timer_machine(0x20040);
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_TMICT, 1000000);
	for (i = 0; i < 5; i++) {
		pass(999999);
		CHECK(timer_interrupt() == -1 && apic_read(APIC_TMCCT) == 1);
		pass(1);
		CHECK(timer_interrupt() == 0x40 && apic_read(APIC_TMCCT) == 1000000);
	}
	apic_write(APIC_LVTT, 0x40);			/* to one-shot: one more */
	pass(1000000);
	CHECK(timer_interrupt() == 0x40);
	pass(10000000);
	CHECK(timer_interrupt() == -1);
	apic_write(APIC_LVTT, 0x20040);			/* run down, it does not begin anew */
	CHECK(apic_read(APIC_TMCCT) == 0 && apic_read(APIC_TMICT) == 1000000);
	pass(1500000);
	CHECK(apic_read(APIC_TMCCT) == 0 && timer_interrupt() == -1);
	apic_write(APIC_LVTT, 0x40);
	apic_write(APIC_TMICT, 1000000);
	pass(400000);
	apic_write(APIC_LVTT, 0x20040);			/* running, it runs on */
	CHECK(apic_read(APIC_TMCCT) == 600000);
	pass(600000);
	CHECK(timer_interrupt() == 0x40 && apic_read(APIC_TMCCT) == 1000000);
	apic_write(APIC_LVTT, 0x40);
	pass(1000000);
	apic_write(APIC_LVTT, 0x20041);			/* what has fired is the old entry's */
	CHECK(timer_interrupt() == 0x40);
	apic_write(APIC_LVTT, 0x20040);
	apic_write(APIC_TMICT, 1);			/* no storm */
	for (i = 0; pass(100), i < 10000; i++)
		timer_interrupt();
	CHECK(acks[0][0] == 0 && vcpus[0].kicks < 50);
}

static void timer_deadline(void)
{
	timer_machine(0x40040);
	apic_write(APIC_TMICT, 1000);			/* ignored */
	CHECK(apic_read(APIC_TMICT) == 0 && apic_read(APIC_TMCCT) == 0);
	lapic_set_tsc_deadline(&vcpus[0], unit_now + 5000);
	CHECK(lapic_get_tsc_deadline(&vcpus[0]) == (u64)unit_now + 5000);
	pass(4999);
	CHECK(timer_interrupt() == -1);
	pass(1);
	CHECK(lapic_get_tsc_deadline(&vcpus[0]) == (u64)unit_now);	/* not yet seen */
	CHECK(timer_interrupt() == 0x40);
	CHECK(lapic_get_tsc_deadline(&vcpus[0]) == 0);
	lapic_set_tsc_deadline(&vcpus[0], unit_now - 1);		/* the past: at once */
	CHECK(timer_interrupt() == 0x40);
	lapic_set_tsc_deadline(&vcpus[0], ~0ull);
	pass(1000000);
	CHECK(timer_interrupt() == -1);
	lapic_set_tsc_deadline(&vcpus[0], unit_now + 5000);
	apic_write(APIC_LVTT, 0x40);			/* another mode disarms */
	CHECK(lapic_get_tsc_deadline(&vcpus[0]) == 0);
	pass(10000);
	CHECK(timer_interrupt() == -1);
	lapic_set_tsc_deadline(&vcpus[0], unit_now + 5000);	/* ignored */
	pass(10000);
	CHECK(timer_interrupt() == -1);
}

static void move_tsc(s64 delta)
{
	tsc_offset += delta;
	lapic_timer_tsc_moved(&vcpus[0]);
}

/* A deadline is compared with the guest's TSC, not with the time that was left. */
static void timer_deadline_moves(void)
{
	timer_machine(0x40040);
	lapic_set_tsc_deadline(&vcpus[0], unit_now + 5000);
	move_tsc(-3000);				/* back: it comes later */
	pass(7999);
	CHECK(timer_interrupt() == -1);
	pass(1);
	CHECK(timer_interrupt() == 0x40);
	lapic_set_tsc_deadline(&vcpus[0], unit_now + tsc_offset + 5000);
	move_tsc(4000);					/* forward: sooner */
	pass(999);
	CHECK(timer_interrupt() == -1);
	pass(1);
	CHECK(timer_interrupt() == 0x40);
	lapic_set_tsc_deadline(&vcpus[0], unit_now + tsc_offset + 5000);
	move_tsc(5000);					/* onto it: now, and once */
	CHECK(timer_interrupt() == 0x40);
	CHECK(lapic_get_tsc_deadline(&vcpus[0]) == 0);
	pass(10000);
	CHECK(timer_interrupt() == -1);
	lapic_set_tsc_deadline(&vcpus[0], unit_now + tsc_offset + 5000);
	pass(5000);
	move_tsc(-10000);				/* it had fired before that */
	CHECK(timer_interrupt() == 0x40);
	pass(20000);
	CHECK(timer_interrupt() == -1);
	move_tsc(1000000);				/* none is armed */
	CHECK(timer_interrupt() == -1);
}

/* A saved timer goes on where it stood; one that fired does not fire again. */
static void timer_save(void)
{
	struct kvm_lapic_state s;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		timer_machine(i ? 0x20040 : 0x40);
		apic_write(APIC_TDCR, 0xb);
		apic_write(APIC_TMICT, 1000000);
		pass(400000);
		lapic_get_state(&vcpus[0], &s);
		machine(1);
		CHECK(!lapic_set_state(&vcpus[0], &s));
		CHECK(apic_read(APIC_TMCCT) == 600000);
		pass(599999);
		CHECK(timer_interrupt() == -1);
		pass(1);
		/* It has fired, and the vCPU was stopped before it saw. */
		lapic_get_state(&vcpus[0], &s);
		machine(1);
		CHECK(!lapic_set_state(&vcpus[0], &s));
		pass(1);
		CHECK(timer_interrupt() == 0x40);
		if (i)
			continue;
		pass(1);
		timer_interrupt();
		lapic_get_state(&vcpus[0], &s);
		machine(1);
		CHECK(!lapic_set_state(&vcpus[0], &s));
		pass(10000000);
		CHECK(timer_interrupt() == -1);
	}
}

/*
 * IPIs
 */

struct got { bool irq[UNIT_VCPUS], nmi[UNIT_VCPUS]; unsigned int n; };

static struct got collect(u8 vector)
{
	struct got got = {};
	unsigned int i;

	for (i = 0; i < vm.nvcpus; i++) {
		struct lapic *apic = vcpus[i].arch.lapic;
		unsigned long *irr = lapic_vector_word(apic, APIC_IRR, vector);

		lapic_collect(apic);
		got.irq[i] = test_and_clear_bit(vector % 32, irr);
		got.nmi[i] = vcpus[i].nmis;
		vcpus[i].nmis = 0;
		got.n += got.irq[i] + got.nmi[i];
	}
	return got;
}

static void ipi_shorthands(void)
{
	struct got got;
	unsigned int i;

	machine(4);
	for (i = 0; i < 4; i++)
		apic_enable(i);
	apic_write_on(2, APIC_ICR, 0x40040);
	got = collect(0x40);
	CHECK(got.n == 1 && got.irq[2]);
	apic_write_on(2, APIC_ICR, 0x80040);
	CHECK(collect(0x40).n == 4);
	apic_write_on(2, APIC_ICR, 0xc0440);
	got = collect(0x40);
	CHECK(got.n == 3 && !got.nmi[2] && got.nmi[0]);
	apic_write_on(2, APIC_ICR2, 0xff000000);
	apic_write_on(2, APIC_ICR, 0x40);		/* to all, itself too */
	CHECK(collect(0x40).n == 4);
	apic_write_on(2, APIC_ICR2, 0x03000000);
	apic_write_on(2, APIC_ICR, 0x41 | 0x1000);
	got = collect(0x41);
	CHECK(got.n == 1 && got.irq[3]);
	CHECK(apic_read_on(2, APIC_ICR) == 0x41);	/* idle again at once */
	CHECK(!lapic_set_base(&vcpus[1], 0xfee00000 | 3 << 10, true));
	CHECK(!lapic_x2apic_write(&vcpus[1], 0x83f, 0x42));
	got = collect(0x42);
	CHECK(got.n == 1 && got.irq[1]);
	CHECK(!lapic_x2apic_write(&vcpus[1], 0x830, 0x200000042));
	got = collect(0x42);
	CHECK(got.n == 1 && got.irq[2]);
	CHECK(!lapic_x2apic_write(&vcpus[1], 0x830, 0xffffffff00000042));
	CHECK(collect(0x42).n == 1);			/* x2APIC's broadcast is not xAPIC's */
}

static void random_apic(uint64_t *rng, unsigned int cpu, unsigned int style)
{
	static const u32 dfrs[] = { APIC_DFR_FLAT, APIC_DFR_CLUSTER };
	u64 base = 0xfee00000 | 1 << 11;

	vcpus[cpu].id = unit_below(rng, 4) ? (int)cpu : (int)unit_below(rng, 600);
	vcpu_reset(&vcpus[cpu], false);
	if (style == 2 || (style == 3 && unit_below(rng, 2)))
		base |= 1 << 10;
	if (!unit_below(rng, 12))
		base = 0xfee00000;
	CHECK(!lapic_set_base(&vcpus[cpu], base, true));
	if (base & 1 << 10)
		lapic_x2apic_write(&vcpus[cpu], 0x80f, unit_below(rng, 8) ? 0x1ff : 0xff);
	if (!(base & 1 << 11) || base & 1 << 10)
		return;
	apic_write_on(cpu, APIC_SPIV, unit_below(rng, 8) ? 0x1ff : 0xff);
	apic_write_on(cpu, APIC_DFR, style == 3 ? dfrs[unit_below(rng, 2)] : dfrs[style & 1]);
	if (unit_below(rng, 2))
		apic_write_on(cpu, APIC_LDR, unit_random(rng) << 24);
	else
		apic_write_on(cpu, APIC_LDR, (style & 1 ? cpu / 4 << 28 | 1 << (24 + cpu % 4) :
					      1u << (24 + cpu % 8)));
	if (!unit_below(rng, 12))
		apic_write_on(cpu, APIC_ID, unit_random(rng) << 24);
}

static struct apic_msg random_msg(uint64_t *rng)
{
	static const u32 dests[] = { 0xff, ~0u, 0x10001, 0x1000f, 0x2ffff, 1 };
	struct apic_msg msg = {
		.vector = 0x40,
		.delivery = unit_below(rng, 2) ? APIC_DM_FIXED >> 8 : APIC_DM_NMI >> 8,
		.logical = unit_below(rng, 2),
		.assert = true,
		.shorthand = unit_below(rng, 8) ? 0 : unit_below(rng, 4),
	};

	switch (unit_below(rng, 4)) {
	case 0:
		msg.dest = dests[unit_below(rng, 6)];
		break;
	case 1:
		msg.dest = unit_random(rng);
		break;
	default:
		msg.dest = unit_below(rng, 256);
	}
	return msg;
}

/* The same message with and without the map, from the same machine. */
static void ipi_map_is_the_rule(void)
{
	uint64_t rng = unit_seed;
	unsigned long round, mapped = 0;
	unsigned int i;

	for (round = 0; round < unit_count && !failed; round++) {
		machine(1 + unit_below(&rng, 20));
		vm.arch.x2apic_no_broadcast_quirk = unit_below(&rng, 2);
		for (i = 0; i < vm.nvcpus; i++)
			random_apic(&rng, i, round & 3);
		mapped += !!vm.arch.apic_map;
		for (i = 0; i < 50; i++) {
			struct apic_msg msg = random_msg(&rng);
			struct lapic *source = unit_below(&rng, 2) || msg.shorthand ?
				vcpus[unit_below(&rng, vm.nvcpus)].arch.lapic : NULL;
			struct apic_map *map = vm.arch.apic_map;
			struct got with, without;
			int a, b;

			a = lapic_deliver(&vm, source, &msg);
			with = collect(0x40);
			vm.arch.apic_map = NULL;
			b = lapic_deliver(&vm, source, &msg);
			without = collect(0x40);
			vm.arch.apic_map = map;
			CHECK(!memcmp(&with, &without, sizeof(with)));
			/* "For nobody" is known only of who asks everybody. */
			CHECK(a == b || (a == 0 && b == -1));
			if (failed) {
				printf("# round %lu: dest %x logical %d shorthand %u source %d mode %d\n",
				       round, msg.dest, msg.logical, msg.shorthand,
				       source ? source->vcpu->id : -1, map ? map->logical_mode : -1);
				for (i = 0; i < vm.nvcpus; i++)
					printf("# id %d base %llx apicid %x ldr %x dfr %x spiv %x: %d%d %d%d\n",
					       vcpus[i].id, vcpus[i].arch.apic_base,
					       lapic_id(vcpus[i].arch.lapic),
					       lapic_reg(vcpus[i].arch.lapic, APIC_LDR),
					       lapic_reg(vcpus[i].arch.lapic, APIC_DFR),
					       lapic_reg(vcpus[i].arch.lapic, APIC_SPIV),
					       with.irq[i], with.nmi[i], without.irq[i], without.nmi[i]);
				return;
			}
			/* "For one of them" picks one, and one that could take it. */
			msg.delivery = APIC_DM_LOWEST >> 8;
			msg.shorthand = 0;
			a = lapic_deliver(&vm, source, &msg);
			with = collect(0x40);
			CHECK(with.n == (a > 0) && with.n <= 1);
			vm.arch.apic_map = NULL;
			lapic_deliver(&vm, source, &msg);
			without = collect(0x40);
			vm.arch.apic_map = map;
			CHECK(with.n == without.n);
		}
	}
	/* Else nothing was compared. */
	CHECK(mapped > unit_count / 4);
}

/*
 * PIT
 */

static void pit_program(unsigned int channel, unsigned int mode, u16 count)
{
	outb(0x43, channel << 6 | 0x30 | mode << 1);
	outb(0x40 + channel, count);
	outb(0x40 + channel, count >> 8);
}

static u16 pit_count(unsigned int channel)
{
	u16 low;

	outb(0x43, channel << 6);
	low = inb(0x40 + channel);
	return low | inb(0x40 + channel) << 8;
}

/* So many PIT clocks, and a little. */
static void clocks(u64 n)
{
	pass(n * 1000000000ull / 1193182 + 1);
}

static void pit_one_shot(void)
{
	machine(1);
	pic_program(1);
	pit_program(0, 0, 1193);
	CHECK(pit_count(0) == 1193);
	clocks(1000);
	CHECK(pit_count(0) == 193);
	CHECK(interrupt() == -1);
	clocks(200);
	CHECK(interrupt() == 0x20);
	outb(0x20, 0x20);
	pass(100000000);
	CHECK(interrupt() == -1);
}

static void pit_periodic(void)
{
	unsigned int i;

	machine(1);
	pic_program(1);
	pit_program(0, 2, 11932);			/* 10 ms */
	for (i = 0; i < 10; i++) {
		pass(10000153);
		CHECK(interrupt() == 0x20);
		outb(0x20, 0x20);
		CHECK(interrupt() == -1);
	}
	pit_program(0, 3, 2000);
	clocks(500);
	CHECK(pit_count(0) == 1000);
	clocks(500);
	CHECK(pit_count(0) == 2000 || pit_count(0) == 1998);
}

/*
 * Each mode: its count after 300 and after 1300 clocks of 1000, its output (by read-back) before and
 * at the end, its ticks in 3500 clocks. As KVM has it, that is: the data sheet's pulses are down,
 * modes 1 and 5 wait for a gate that channel 0's never moves, and 3 reloads by halves.
 */
static const struct pit_mode {
	u16 count, late_count;
	u8 out, end_out, ticks;
} pit_modes[] = {
	{ 700, 65236, 0, 1, 1 },
	{ 700, 65236, 1, 0, 1 },
	{ 700, 700, 0, 1, 3 },
	{ 400, 400, 1, 1, 3 },
	{ 700, 65236, 0, 1, 1 },
	{ 700, 65236, 0, 1, 0 },
	{ 700, 700, 0, 1, 3 },		/* 6 and 7 are 2 and 3 */
	{ 400, 400, 1, 1, 3 },
};

static u8 pit_status(unsigned int channel)
{
	outb(0x43, 0xe0 | 2 << channel);
	return inb(0x40 + channel);
}

static unsigned int pit_ticks(u64 n)
{
	unsigned int i, ticks = 0;

	for (i = 0; i < n / 100; i++) {
		clocks(100);
		if (interrupt() != 0x20)
			continue;
		ticks++;
		outb(0x20, 0x20);
	}
	return ticks;
}

static void pit_mode(unsigned int mode, const struct pit_mode *want)
{
	unsigned int real = mode > 5 ? mode - 4 : mode;

	machine(1);
	pic_program(1);
	outb(0x61, 1);
	pit_program(2, mode, 1000);
	clocks(300);
	CHECK(pit_count(2) == want->count);
	CHECK(pit_status(2) == (want->out << 7 | 0x30 | real << 1));
	clocks(700);
	CHECK(pit_status(2) >> 7 == want->end_out);
	clocks(300);
	CHECK(pit_count(2) == want->late_count);
	pit_program(0, mode, 1000);
	CHECK(pit_ticks(3500) == want->ticks);
}

static void pit_all_modes(void)
{
	unsigned int mode;

	for (mode = 0; mode < 8 && !failed; mode++)
		pit_mode(mode, &pit_modes[mode]);
	if (failed)
		printf("# mode %u\n", mode - 1);
}

static void pit_reinjection(void)
{
	unsigned int i, n = 0;

	machine(1);
	pic_program(1);
	pit_program(0, 2, 11932);
	pass(50010000);					/* 5 ticks, and nobody there */
	for (i = 0; i < 20; i++) {
		if (interrupt() == 0x20) {
			n++;
			outb(0x20, 0x20);
		}
	}
	CHECK(n == 5);
	CHECK(!pit_set_reinject(&vm, false));
	pass(50000000);
	for (i = n = 0; i < 20; i++) {
		if (interrupt() == 0x20) {
			n++;
			outb(0x20, 0x20);
		}
	}
	CHECK(n == 1);
	/* Ticks into a masked pin are not owed. */
	CHECK(!pit_set_reinject(&vm, true));
	outb(0x21, 0x01);
	pass(50000000);
	outb(0x21, 0x00);
	for (i = n = 0; i < 20; i++) {
		if (interrupt() == 0x20) {
			n++;
			outb(0x20, 0x20);
		}
	}
	CHECK(n == 1);
	pass(10000153);
	CHECK(interrupt() == 0x20);
}

static void pit_read_back(void)
{
	u8 status;

	machine(1);
	pit_program(2, 3, 1000);
	outb(0x43, 0xe8);				/* status of channel 2 */
	clocks(100);
	status = inb(0x42);
	CHECK(status == 0xb6);				/* out, both bytes, mode 3 */
	outb(0x43, 0xc8);				/* count and status */
	clocks(600);
	CHECK((inb(0x42) & 0x3f) == 0x36);
	CHECK(inb(0x42) == (800 & 0xff) && inb(0x42) == 800 >> 8);
	/* A latch that is not read stays. */
	outb(0x43, 0x80);
	clocks(50);
	outb(0x43, 0x80);
	CHECK(inb(0x42) == (600 & 0xff) && inb(0x42) == 600 >> 8);
	/* The low byte alone, BCD. */
	outb(0x43, 0x91);
	outb(0x42, 0x99);
	clocks(9);
	CHECK(inb(0x42) == 0x90);
}

static void pit_speaker(void)
{
	u8 before;

	machine(1);
	outb(0x61, 0);
	pit_program(2, 0, 1000);
	CHECK((inb(0x61) & 0x23) == 0);
	outb(0x61, 3);
	CHECK((inb(0x61) & 0x23) == 3);
	clocks(1001);
	CHECK((inb(0x61) & 0x23) == 0x23);
	before = inb(0x61);
	pass(16384);
	CHECK((inb(0x61) ^ before) & 0x10);		/* refresh */
	/* Mode 1 begins when the gate opens. */
	outb(0x61, 0);
	pit_program(2, 1, 1000);
	clocks(700);
	outb(0x61, 1);
	clocks(300);
	CHECK(pit_count(2) == 700);
}

static void pit_save(void)
{
	struct kvm_pit_state2 a, b;
	unsigned int i;

	machine(1);
	pic_program(1);
	outb(0x61, 2);
	pit_program(0, 2, 11932);
	pit_program(2, 3, 1000);
	CHECK(!pit_get(&vm, &a));
	CHECK(a.channels[0].count == 11932 && a.channels[0].mode == 2);
	CHECK(a.flags == KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	machine(1);
	pic_program(1);
	CHECK(!pit_set(&vm, &a));
	CHECK(!pit_get(&vm, &b));
	for (i = 0; i < 3; i++)
		a.channels[i].count_load_time = b.channels[i].count_load_time;
	CHECK(!memcmp(&a, &b, sizeof(a)));
	pass(10000153);
	CHECK(interrupt() == 0x20);
	/* User space's HPET has GSI 0. */
	a.flags |= KVM_PIT_FLAGS_HPET_LEGACY;
	CHECK(!pit_set(&vm, &a));
	outb(0x20, 0x20);
	pass(100000000);
	CHECK(interrupt() == -1);
	/* Anything at all may be restored. */
	memset(&a, 0xff, sizeof(a));
	CHECK(!pit_set(&vm, &a));
	CHECK(!pit_get(&vm, &b));
	outb(0x43, 0xfe);
	inb(0x40);
	inb(0x61);
	memset(&a, 0, sizeof(a));
	CHECK(!pit_set(&vm, &a));
	pit_count(0);
	inb(0x61);
}

/*
 * The split irqchip
 */

static void split_irqchip(void)
{
	const struct apic_msg level = { .vector = 0x55, .level = true, .assert = true };

	machine(1);
	pit_destroy(&vm);
	irqchip_destroy(&vm);
	vm.arch.irqchip = IRQCHIP_SPLIT;
	apic_enable(0);
	CHECK(apic_read(APIC_LVR) & APIC_LVR_DIRECTED_EOI);
	vcpus[0].arch.user_irq = 0x22;
	CHECK(interrupt() == 0x22 && vcpus[0].arch.user_irq == -1);
	lapic_deliver(&vm, NULL, &level);
	CHECK(interrupt() == 0x55);
	vcpus[0].requests = 0;
	apic_write(APIC_EOI, 0);
	CHECK(test_bit(VCPU_REQ_IOAPIC_EOI, &vcpus[0].requests));
	CHECK(irqchip_report_eoi(&vcpus[0]) == 0 && run.exit_reason == KVM_EXIT_IOAPIC_EOI &&
	      run.eoi.vector == 0x55);
	apic_fixed(0x56);
	CHECK(interrupt() == 0x56);
	vcpus[0].requests = 0;
	apic_write(APIC_EOI, 0);
	CHECK(!test_bit(VCPU_REQ_IOAPIC_EOI, &vcpus[0].requests));
	apic_write(APIC_SPIV, 0x11ff);
	lapic_deliver(&vm, NULL, &level);
	CHECK(interrupt() == 0x55);
	vcpus[0].requests = 0;
	apic_write(APIC_EOI, 0);
	CHECK(!test_bit(VCPU_REQ_IOAPIC_EOI, &vcpus[0].requests));
}

#define RULE(fn, what) { fn, what }

static const struct { void (*run)(void); const char *what; } rules[] = {
	RULE(pic_priorities, "PIC: priorities and EOI"),
	RULE(pic_mask, "PIC: masks"),
	RULE(pic_cascade, "PIC: cascade"),
	RULE(pic_fully_nested, "PIC: special fully nested mode"),
	RULE(pic_level, "PIC: level-triggered pins, several sources"),
	RULE(pic_spurious, "PIC: spurious interrupts"),
	RULE(pic_auto_eoi, "PIC: automatic EOI"),
	RULE(pic_rotation, "PIC: rotation"),
	RULE(pic_special_mask, "PIC: special mask mode"),
	RULE(pic_poll, "PIC: poll"),
	RULE(pic_save, "PIC: save and restore"),
	RULE(ioapic_edge, "IOAPIC: edges"),
	RULE(ioapic_level, "IOAPIC: levels and remote IRR"),
	RULE(ioapic_polarity, "IOAPIC: polarity"),
	RULE(ioapic_save, "IOAPIC: save and restore"),
	RULE(lapic_priorities, "LAPIC: priorities, TPR and EOI"),
	RULE(lapic_registers, "LAPIC: registers"),
	RULE(lapic_errors, "LAPIC: errors"),
	RULE(lapic_modes, "LAPIC: modes and IA32_APIC_BASE"),
	RULE(lapic_init_sipi, "LAPIC: INIT and SIPI"),
	RULE(lapic_save, "LAPIC: save and restore"),
	RULE(lapic_local_sources, "LAPIC: local sources"),
	RULE(timer_one_shot, "LAPIC timer: one-shot"),
	RULE(timer_periodic_mode, "LAPIC timer: periodic"),
	RULE(timer_deadline, "LAPIC timer: TSC deadline"),
	RULE(timer_deadline_moves, "LAPIC timer: TSC deadline, and a TSC that moves"),
	RULE(timer_save, "LAPIC timer: save and restore"),
	RULE(ipi_shorthands, "IPI: shorthands and broadcasts"),
	RULE(ipi_map_is_the_rule, "IPI: the APIC map is a shortcut of the rule"),
	RULE(pit_one_shot, "PIT: one-shot"),
	RULE(pit_periodic, "PIT: periodic"),
	RULE(pit_all_modes, "PIT: each of its modes"),
	RULE(pit_reinjection, "PIT: re-injection"),
	RULE(pit_read_back, "PIT: latches and read-back"),
	RULE(pit_speaker, "PIT: gate and speaker"),
	RULE(pit_save, "PIT: save and restore"),
	RULE(split_irqchip, "split irqchip: ExtINT and EOIs for user space"),
};

int main(int argc, char **argv)
{
	unsigned int i;

	unit_options(argc, argv, 2000);
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		failed = NULL;
		rules[i].run();
		unit_result(!failed, rules[i].what);
	}
	return unit_done();
}
