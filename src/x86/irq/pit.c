// SPDX-License-Identifier: GPL-2.0
/*
 * The 8254 programmable interval timer (Intel order number 231164) as a PC
 * has it: channel 0 on GSI 0, channel 2 behind port 0x61's speaker gate.
 *
 * Counters are not counted but computed from the time since they were loaded.
 * Channel 0 alone has a timer behind it. Whether a tick that comes before the
 * last one was acknowledged is sent again later is user space's choice
 * (KVM_REINJECT_CONTROL).
 *
 * Locks: pit->lock guards the channels, in threads only. The timer's callback
 * uses pit->tick_lock alone, so the timer can be cancelled under pit->lock.
 */
#include <linux/bcd.h>
#include <linux/hrtimer.h>
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <minikvm/bus.h>
#include <minikvm/irq_routing.h>
#include <minikvm/vcpu.h>
#include "compat/hrtimer.h"
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic.h"

#define PIT_HZ			1193182u
#define PIT_GSI			0
#define PORT_BASE		0x40
#define PORT_CONTROL		3	/* from PORT_BASE */
#define PORT_SPEAKER		0x61
#define SPEAKER_CHANNEL		2

/* Periodic ticks come no faster than this, whatever was programmed; as KVM. */
#define PERIOD_MIN_NS		(200 * NSEC_PER_USEC)

/* Control word: access modes, and the two halves of a 16-bit access. */
enum { RW_LATCH, RW_LOW, RW_HIGH, RW_BOTH, RW_BOTH_HIGH };

#define CONTROL_READ_BACK	3	/* as the channel */
#define READ_BACK_NO_STATUS	0x10
#define READ_BACK_NO_COUNT	0x20

/*
 * What user space may restore. HPET_LEGACY: its HPET has taken GSI 0 over, and
 * channel 0 ticks no more.
 */
#define FLAGS_RESTORED	(KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON)

struct pit {
	struct vm *vm;
	raw_spinlock_t lock;
	struct kvm_pit_channel_state channels[3];
	u32 flags;				/* KVM_PIT_FLAGS_* */

	struct hrtimer timer;
	u64 period;				/* ns; changes with the timer stopped */
	bool periodic;				/* it runs, and will run on */

	raw_spinlock_t tick_lock;
	bool reinject;
	bool acked;				/* the guest has had the last tick */
	u32 missed;				/* ticks not sent, or not acknowledged */

	struct irq_ack_notifier notifier;
	struct io_device ports, speaker;
	bool has_speaker;
};

/*
 * Ticks
 */

/* Context: any but NMI; no lock of ours held. */
static void tick_send(struct pit *pit)
{
	irq_set(pit->vm, IRQ_SOURCE_PIT, PIT_GSI, 1);
	irq_set(pit->vm, IRQ_SOURCE_PIT, PIT_GSI, 0);
	lapic_nmi_watchdog(pit->vm);
}

/*
 * Goes on to the first tick that is still to come; returns how many came before. Not
 * hrtimer_forward(): on a host without high resolution that takes a period which is shorter
 * than the host's own tick for as long as that.
 */
static u64 ticks_until_now(struct pit *pit)
{
	s64 late = ktime_get_ns() - ktime_to_ns(hrtimer_get_expires(&pit->timer));
	u64 ticks = 1 + div64_u64(max_t(s64, late, 0), pit->period);

	hrtimer_add_expires_ns(&pit->timer, ticks * pit->period);
	return ticks;
}

static enum hrtimer_restart tick(struct hrtimer *timer)
{
	struct pit *pit = container_of(timer, struct pit, timer);
	u64 ticks = 1;
	bool send = true;

	/* A host that is late has several at once, and must not run after them. */
	if (pit->periodic)
		ticks = ticks_until_now(pit);
	raw_spin_lock(&pit->tick_lock);
	if (pit->reinject) {
		pit->missed = min_t(u64, pit->missed + ticks, U32_MAX);
		send = pit->acked;
		pit->acked = false;
	}
	raw_spin_unlock(&pit->tick_lock);
	if (send)
		tick_send(pit);
	return pit->periodic ? HRTIMER_RESTART : HRTIMER_NORESTART;
}

static void tick_acked(struct irq_ack_notifier *n)
{
	struct pit *pit = container_of(n, struct pit, notifier);
	unsigned long flags;
	bool send = false;

	raw_spin_lock_irqsave(&pit->tick_lock, flags);
	if (pit->reinject) {
		if (pit->missed)
			pit->missed--;
		send = pit->missed;
		pit->acked = !send;
	}
	raw_spin_unlock_irqrestore(&pit->tick_lock, flags);
	if (send)
		tick_send(pit);
}

static void ticks_reset(struct pit *pit)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&pit->tick_lock, flags);
	pit->missed = 0;
	pit->acked = true;
	raw_spin_unlock_irqrestore(&pit->tick_lock, flags);
}

/* What was sent while the pin was masked will never be acknowledged. */
static void tick_unmasked(struct irq_ack_notifier *n, bool up)
{
	ticks_reset(container_of(n, struct pit, notifier));
}

/*
 * Modes 2 and 3 tick for ever, the others once. Modes 1 and 5 wait for a gate
 * that channel 0's never moves; KVM counts in 1 and not in 5.
 */
static void timer_start(struct pit *pit)
{
	const struct kvm_pit_channel_state *channel = &pit->channels[0];

	hrtimer_cancel(&pit->timer);
	pit->periodic = false;
	ticks_reset(pit);
	if ((pit->flags & KVM_PIT_FLAGS_HPET_LEGACY) || channel->mode > 4)
		return;
	pit->periodic = channel->mode == 2 || channel->mode == 3;
	pit->period = mul_u64_u32_div(channel->count, NSEC_PER_SEC, PIT_HZ);
	if (pit->periodic)
		pit->period = max_t(u64, pit->period, PERIOD_MIN_NS);
	hrtimer_start(&pit->timer, ktime_add_ns(ktime_get(), pit->period),
		      HRTIMER_MODE_ABS_HARD);
}

/*
 * A channel. Its callers hold pit->lock.
 */

/*
 * PIT clocks since the channel was loaded. Channel 0 counts from the tick that
 * its timer is at, so that the guest's ticks and its counter agree.
 */
static u64 channel_elapsed(struct pit *pit, unsigned int i)
{
	s64 ns = ktime_get_ns() - pit->channels[i].count_load_time;

	if (i == 0 && pit->periodic)
		ns = pit->period - ktime_to_ns(hrtimer_get_remaining(&pit->timer));
	return mul_u64_u32_div(max_t(s64, ns, 0), PIT_HZ, NSEC_PER_SEC);
}

/* The counter that was programmed, 1 to 65536; user space may restore others. */
static u32 channel_count(const struct kvm_pit_channel_state *channel)
{
	return channel->count ?: 0x10000;
}

static u16 to_bcd(u32 value)
{
	value %= 10000;
	return bin2bcd(value / 100) << 8 | bin2bcd(value % 100);
}

/* The counting element, as a read or a latch sees it. */
static u16 channel_read_count(struct pit *pit, unsigned int i)
{
	const struct kvm_pit_channel_state *channel = &pit->channels[i];
	u32 count = channel_count(channel), now;
	u64 d = channel_elapsed(pit, i);

	switch (channel->mode) {
	case 2:
		now = count - (u32)(d % count);
		break;
	case 3:		/* counts by two, twice a period */
		now = count - (u32)(2 * d % count);
		break;
	default:	/* wraps and goes on after the end */
		now = count - (u32)d;
		break;
	}
	return channel->bcd ? to_bcd(now) : now;
}

/*
 * OUT. What modes 1, 2, 4 and 5 show is what KVM shows, which is not what the
 * data sheet has: the pulse is up where it should be down.
 */
static bool channel_output(struct pit *pit, unsigned int i)
{
	const struct kvm_pit_channel_state *channel = &pit->channels[i];
	u32 count = channel_count(channel);
	u64 d = channel_elapsed(pit, i);

	switch (channel->mode) {
	case 1:
		return d < count;
	case 2:
		return d && d % count == 0;
	case 3:
		return d % count < (count + 1) / 2;
	case 4:
	case 5:
		return d == count;
	default:
		return d >= count;
	}
}

static void channel_load(struct pit *pit, unsigned int i, u16 value)
{
	struct kvm_pit_channel_state *channel = &pit->channels[i];

	if (channel->bcd)
		channel->count = (bcd2bin(value >> 8) * 100 + bcd2bin(value & 0xff)) ?: 10000;
	else
		channel->count = value ?: 0x10000;
	channel->count_load_time = ktime_get_ns();
	if (i == 0)
		timer_start(pit);
}

static void channel_latch_count(struct pit *pit, unsigned int i)
{
	struct kvm_pit_channel_state *channel = &pit->channels[i];

	/* A latch that has not been read stays (data sheet, "Counter latch"). */
	if (channel->count_latched)
		return;
	channel->latched_count = channel_read_count(pit, i);
	channel->count_latched = channel->rw_mode;
}

static void channel_latch_status(struct pit *pit, unsigned int i)
{
	struct kvm_pit_channel_state *channel = &pit->channels[i];

	if (channel->status_latched)
		return;
	/* NULL COUNT, bit 6, is never up: a count is there once it is written. */
	channel->status = channel_output(pit, i) << 7 | (channel->rw_mode & 3) << 4 |
			  (channel->mode & 7) << 1 | (channel->bcd & 1);
	channel->status_latched = 1;
}

static void read_back(struct pit *pit, u8 control)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		if (!(control & (2 << i)))
			continue;
		if (!(control & READ_BACK_NO_COUNT))
			channel_latch_count(pit, i);
		if (!(control & READ_BACK_NO_STATUS))
			channel_latch_status(pit, i);
	}
}

static void control_write(struct pit *pit, u8 control)
{
	unsigned int i = control >> 6, rw = (control >> 4) & 3;
	struct kvm_pit_channel_state *channel;

	if (i == CONTROL_READ_BACK) {
		read_back(pit, control);
		return;
	}
	if (rw == RW_LATCH) {
		channel_latch_count(pit, i);
		return;
	}
	channel = &pit->channels[i];
	channel->rw_mode = rw;
	channel->read_state = rw;
	channel->write_state = rw;
	channel->bcd = control & 1;
	channel->mode = (control >> 1) & 7;
	/* Modes 2 and 3 have a don't-care bit. */
	if (channel->mode > 5)
		channel->mode -= 4;
	channel->count_latched = 0;
	channel->status_latched = 0;
}

static void data_write(struct pit *pit, unsigned int i, u8 value)
{
	struct kvm_pit_channel_state *channel = &pit->channels[i];

	switch (channel->write_state) {
	case RW_LOW:
		channel_load(pit, i, value);
		break;
	case RW_HIGH:
		channel_load(pit, i, value << 8);
		break;
	case RW_BOTH:
		channel->write_latch = value;
		channel->write_state = RW_BOTH_HIGH;
		break;
	case RW_BOTH_HIGH:
		channel->write_state = RW_BOTH;
		channel_load(pit, i, channel->write_latch | value << 8);
		break;
	}
}

static u8 count_byte(u16 count, u8 state)
{
	return state == RW_HIGH || state == RW_BOTH_HIGH ? count >> 8 : count;
}

static u8 data_read(struct pit *pit, unsigned int i)
{
	struct kvm_pit_channel_state *channel = &pit->channels[i];
	u8 state = channel->count_latched;

	if (channel->status_latched) {
		channel->status_latched = 0;
		return channel->status;
	}
	if (state) {
		channel->count_latched = state == RW_BOTH ? RW_HIGH : 0;
		return count_byte(channel->latched_count, state);
	}
	state = channel->read_state;
	if (state == RW_BOTH)
		channel->read_state = RW_BOTH_HIGH;
	else if (state == RW_BOTH_HIGH)
		channel->read_state = RW_BOTH;
	return count_byte(channel_read_count(pit, i), state);
}

/*
 * Ports
 */

/* Wider accesses touch the first byte's port, as in KVM. */
static int ports_read(struct vcpu *vcpu, struct io_device *dev, gpa_t port,
		      unsigned int len, void *data)
{
	struct pit *pit = container_of(dev, struct pit, ports);
	unsigned int i = (port - PORT_BASE) & 3;
	unsigned long flags;

	memset(data, 0, len);
	if (i == PORT_CONTROL)
		return 0;
	raw_spin_lock_irqsave(&pit->lock, flags);
	*(u8 *)data = data_read(pit, i);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}

static int ports_write(struct vcpu *vcpu, struct io_device *dev, gpa_t port,
		       unsigned int len, const void *data)
{
	struct pit *pit = container_of(dev, struct pit, ports);
	unsigned int i = (port - PORT_BASE) & 3;
	unsigned long flags;

	raw_spin_lock_irqsave(&pit->lock, flags);
	if (i == PORT_CONTROL)
		control_write(pit, *(const u8 *)data);
	else
		data_write(pit, i, *(const u8 *)data);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}

static const struct io_device_ops ports_ops = {
	.read	= ports_read,
	.write	= ports_write,
};

/* Port 0x61: gate, speaker data, refresh toggle (15 us, near enough), output. */
static int speaker_read(struct vcpu *vcpu, struct io_device *dev, gpa_t port,
			unsigned int len, void *data)
{
	struct pit *pit = container_of(dev, struct pit, speaker);
	u8 value = (ktime_get_ns() >> 14 & 1) << 4;
	unsigned long flags;

	raw_spin_lock_irqsave(&pit->lock, flags);
	if (pit->channels[SPEAKER_CHANNEL].gate)
		value |= BIT(0);
	if (pit->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON)
		value |= BIT(1);
	if (channel_output(pit, SPEAKER_CHANNEL))
		value |= BIT(5);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	memset(data, 0, len);
	*(u8 *)data = value;
	return 0;
}

/* Modes 1, 2, 3 and 5 begin anew when the gate opens. */
static void gate_write(struct kvm_pit_channel_state *channel, bool open)
{
	if (open && !channel->gate && channel->mode != 0 && channel->mode != 4)
		channel->count_load_time = ktime_get_ns();
	channel->gate = open;
}

static int speaker_write(struct vcpu *vcpu, struct io_device *dev, gpa_t port,
			 unsigned int len, const void *data)
{
	struct pit *pit = container_of(dev, struct pit, speaker);
	u8 value = *(const u8 *)data;
	unsigned long flags;

	raw_spin_lock_irqsave(&pit->lock, flags);
	pit->flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	if (value & 2)
		pit->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	gate_write(&pit->channels[SPEAKER_CHANNEL], value & 1);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}

static const struct io_device_ops speaker_ops = {
	.read	= speaker_read,
	.write	= speaker_write,
};

/*
 * User space
 */

/**
 * pit_get() - KVM_GET_PIT2, and the channels of KVM_GET_PIT
 * @vm:	the VM
 * @s:	out
 *
 * Return: 0, or -ENXIO without a PIT.
 */
int pit_get(struct vm *vm, struct kvm_pit_state2 *s)
{
	struct pit *pit = vm->arch.pit;
	unsigned long flags;

	if (!pit)
		return -ENXIO;
	memset(s, 0, sizeof(*s));
	raw_spin_lock_irqsave(&pit->lock, flags);
	memcpy(s->channels, pit->channels, sizeof(s->channels));
	s->flags = pit->flags;
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}

/**
 * pit_set() - KVM_SET_PIT2, and KVM_SET_PIT
 * @vm:	the VM
 * @s:	any values
 *
 * All channels begin to count anew, as in KVM: load times are of the host that
 * they were saved on.
 *
 * Return: 0, or -ENXIO without a PIT.
 */
int pit_set(struct vm *vm, const struct kvm_pit_state2 *s)
{
	struct pit *pit = vm->arch.pit;
	unsigned long flags;
	unsigned int i;

	if (!pit)
		return -ENXIO;
	raw_spin_lock_irqsave(&pit->lock, flags);
	memcpy(pit->channels, s->channels, sizeof(pit->channels));
	pit->flags = s->flags & FLAGS_RESTORED;
	for (i = 0; i < 3; i++) {
		pit->channels[i].count = min_t(u32, channel_count(&pit->channels[i]), 0x10000);
		pit->channels[i].count_load_time = ktime_get_ns();
	}
	timer_start(pit);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}

/**
 * pit_set_reinject() - KVM_REINJECT_CONTROL
 * @vm:		the VM
 * @reinject:	send ticks that the guest missed later
 *
 * Return: 0, or -ENXIO without a PIT.
 */
int pit_set_reinject(struct vm *vm, bool reinject)
{
	struct pit *pit = vm->arch.pit;
	unsigned long flags;

	if (!pit)
		return -ENXIO;
	raw_spin_lock_irqsave(&pit->tick_lock, flags);
	pit->reinject = reinject;
	pit->missed = 0;
	pit->acked = true;
	raw_spin_unlock_irqrestore(&pit->tick_lock, flags);
	return 0;
}

static int pit_attach(struct vm *vm, struct pit *pit)
{
	int r;

	mutex_lock(&vm->slots_lock);
	r = io_bus_register(vm, BUS_PIO, PORT_BASE, 4, &pit->ports);
	if (!r && pit->has_speaker) {
		r = io_bus_register(vm, BUS_PIO, PORT_SPEAKER, 1, &pit->speaker);
		if (r)
			io_bus_unregister(vm, BUS_PIO, &pit->ports);
	}
	mutex_unlock(&vm->slots_lock);
	return r;
}

/**
 * pit_create() - KVM_CREATE_PIT2
 * @vm:		vm->lock is held
 * @config:	KVM_PIT_SPEAKER_DUMMY: port 0x61 is ours, too
 *
 * Context: sleeps.
 * Return: 0, -EEXIST, -ENOENT without an in-kernel PIC, -ENOMEM, -ENOSPC.
 */
int pit_create(struct vm *vm, const struct kvm_pit_config *config)
{
	struct pit *pit;
	unsigned int i;
	int r;

	if (vm->arch.pit)
		return -EEXIST;
	if (vm->arch.irqchip != IRQCHIP_KERNEL)
		return -ENOENT;
	pit = kzalloc(sizeof(*pit), GFP_KERNEL_ACCOUNT);
	if (!pit)
		return -ENOMEM;
	pit->vm = vm;
	raw_spin_lock_init(&pit->lock);
	raw_spin_lock_init(&pit->tick_lock);
	hrtimer_setup(&pit->timer, tick, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	pit->has_speaker = config->flags & KVM_PIT_SPEAKER_DUMMY;
	pit->ports.ops = &ports_ops;
	pit->speaker.ops = &speaker_ops;
	pit->notifier.gsi = PIT_GSI;
	pit->notifier.acked = tick_acked;
	pit->notifier.unmasked = tick_unmasked;
	for (i = 0; i < 3; i++) {
		pit->channels[i].mode = 0xff;		/* none has been programmed */
		pit->channels[i].gate = i != SPEAKER_CHANNEL;
		pit->channels[i].count = 0x10000;
	}
	pit->reinject = true;
	pit->acked = true;
	r = pit_attach(vm, pit);
	if (r) {
		kfree(pit);
		return r;
	}
	irq_ack_notifier_add(vm, &pit->notifier);
	/* Whoever sees it sees all of it. */
	smp_store_release(&vm->arch.pit, pit);
	return 0;
}

/**
 * pit_destroy() - the VM goes
 * @vm:	no vCPU runs; vCPUs and irqchips are still there
 *
 * Context: sleeps; takes vm->slots_lock and vm->irq_lock. Harmless without a
 * PIT.
 */
void pit_destroy(struct vm *vm)
{
	struct pit *pit = vm->arch.pit;

	if (!pit)
		return;
	mutex_lock(&vm->slots_lock);
	io_bus_unregister(vm, BUS_PIO, &pit->ports);
	if (pit->has_speaker)
		io_bus_unregister(vm, BUS_PIO, &pit->speaker);
	mutex_unlock(&vm->slots_lock);
	irq_ack_notifier_del(vm, &pit->notifier);
	hrtimer_cancel(&pit->timer);
	vm->arch.pit = NULL;
	kfree(pit);
}
