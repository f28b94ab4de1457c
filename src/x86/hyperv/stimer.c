// SPDX-License-Identifier: GPL-2.0
/*
 * Synthetic timers (TLFS, "Timers"): four a vCPU, which count reference time, once or again and
 * again, and send a message to a SINT, or, in direct mode, an interrupt to the LAPIC.
 *
 * An hrtimer watches for the time; its callback only marks the timer as due and wakes the vCPU,
 * which looks at reference time itself. So a timer that is started, restored or changed is just
 * marked as due.
 */
#include <linux/math64.h>
#include <minikvm/guest_memory.h>
#include "compat/hrtimer.h"
#include "x86/hyperv/state.h"
#include "x86/irq/lapic.h"

/* As the LAPIC timer's: a guest shall not drown the host in interrupts. */
#define PERIOD_MIN	(200 * NSEC_PER_USEC / 100)

static unsigned int index_of(const struct hv_stimer *timer)
{
	return timer - timer->hv->stimers;
}

static void mark_due(struct hv_stimer *timer)
{
	set_bit(index_of(timer), &timer->hv->stimers_due);
	vcpu_request(timer->hv->vcpu, VCPU_REQ_HV_STIMER);
}

/* Hard interrupt context. */
static enum hrtimer_restart on_time(struct hrtimer *hrtimer)
{
	struct hv_stimer *timer = container_of(hrtimer, struct hv_stimer, hrtimer);

	mark_due(timer);
	vcpu_kick(timer->hv->vcpu);
	return HRTIMER_NORESTART;
}

static void stop(struct hv_stimer *timer)
{
	hrtimer_cancel(&timer->hrtimer);
	clear_bit(index_of(timer), &timer->hv->stimers_due);
	timer->undelivered = false;
	timer->expires = 0;
}

/**
 * hv_stimers_init() - timers that are off
 * @hv:	being made; zeroed
 */
void hv_stimers_init(struct hv_vcpu *hv)
{
	struct hv_stimer *timer;

	for (timer = hv->stimers; timer < hv->stimers + HV_SYNIC_STIMER_COUNT; timer++) {
		timer->hv = hv;
		hrtimer_setup(&timer->hrtimer, on_time, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	}
}

/**
 * hv_stimers_stop() - the vCPU goes
 * @hv:	the vCPU
 */
void hv_stimers_stop(struct hv_vcpu *hv)
{
	unsigned int i;

	for (i = 0; i < HV_SYNIC_STIMER_COUNT; i++)
		stop(&hv->stimers[i]);
}

/* --- Running. --- */

static void watch(struct hv_stimer *timer, u64 delta)
{
	ktime_t ns = delta >= KTIME_MAX / 100 ? KTIME_MAX : delta * 100;

	hrtimer_start(&timer->hrtimer, ktime_add_safe(ktime_get(), ns), HRTIMER_MODE_ABS_HARD);
}

/* The next of its beats; those that were missed are lost. */
static void start_periodic(struct hv_stimer *timer, u64 time)
{
	u64 rest;

	if (!timer->expires) {
		timer->expires = time + timer->count;
	} else if (time >= timer->expires) {
		div64_u64_rem(time - timer->expires, timer->count, &rest);
		timer->expires = time + timer->count - rest;
	}
	watch(timer, max_t(u64, timer->expires - time, PERIOD_MIN));
}

/* One whose time has come already expires at once (TLFS, "Synthetic Timer Expiration"). */
static void start_once(struct hv_stimer *timer, u64 time)
{
	timer->expires = timer->count;
	if (time >= timer->expires)
		mark_due(timer);
	else
		watch(timer, timer->expires - time);
}

static int send_message(struct hv_stimer *timer, u64 time)
{
	const struct hv_timer_message_payload payload = {
		.timer_index = index_of(timer),
		.expiration_time = timer->expires,
		.delivery_time = time,
	};
	struct hv_message message = {
		.header = {
			.message_type = HVMSG_TIMER_EXPIRED,
			.payload_size = sizeof(payload),
		},
	};

	memcpy(message.u.payload, &payload, sizeof(payload));
	/* The next beat of a periodic one says as much. */
	return hv_synic_message(timer->hv, timer->config.sintx, &message, !timer->config.periodic);
}

static void send_interrupt(struct hv_stimer *timer)
{
	const struct apic_msg msg = {
		.vector = timer->config.apic_vector,
		.delivery = APIC_DM_FIXED >> 8,
		.assert = true,
	};

	lapic_accept_msg(timer->hv->vcpu->arch.lapic, &msg);
}

static void expire(struct hv_stimer *timer, u64 time)
{
	if (timer->config.direct_mode)
		send_interrupt(timer);
	else
		timer->undelivered = send_message(timer, time);
	if (!timer->undelivered && !timer->config.periodic)
		timer->config.enable = 0;
}

static void look(struct hv_stimer *timer)
{
	u64 time;

	if (!timer->config.enable)
		return;
	time = hv_time_ref(timer->hv);
	if (timer->expires && time >= timer->expires)
		expire(timer, time);
	if (!timer->config.enable || !timer->count)
		stop(timer);
	else if (timer->undelivered)
		return;		/* until its slot is free: hv_stimers_retry() */
	else if (timer->config.periodic)
		start_periodic(timer, time);
	else
		start_once(timer, time);
}

/**
 * hv_stimers_run() - VCPU_REQ_HV_STIMER: look at the timers that are due
 * @vcpu: the vCPU, in its own thread, outside the guest
 *
 * Context: may sleep. Return: 1.
 */
int hv_stimers_run(struct vcpu *vcpu)
{
	struct hv_vcpu *hv = vcpu->arch.hv;
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	unsigned int i;

	for (i = 0; i < HV_SYNIC_STIMER_COUNT; i++)
		if (test_and_clear_bit(i, &hv->stimers_due))
			look(&hv->stimers[i]);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return 1;
}

/**
 * hv_stimers_retry() - the guest may have made room for messages
 * @hv:		the vCPU, in its own thread
 * @sints:	a bit for each SINT that it has
 */
void hv_stimers_retry(struct hv_vcpu *hv, u32 sints)
{
	struct hv_stimer *timer;

	for (timer = hv->stimers; timer < hv->stimers + HV_SYNIC_STIMER_COUNT; timer++)
		if (timer->undelivered && timer->config.enable &&
		    (sints & BIT(timer->config.sintx)))
			mark_due(timer);
}

/* --- Registers: a configuration and a count, by turns. --- */

static struct hv_stimer *timer_of(struct hv_vcpu *hv, u32 msr)
{
	return &hv->stimers[(msr - HV_X64_MSR_STIMER0_CONFIG) / 2 % HV_SYNIC_STIMER_COUNT];
}

static bool is_count(u32 msr)
{
	return (msr - HV_X64_MSR_STIMER0_CONFIG) & 1;
}

/* SINT 0 is the hypervisor's own: a timer that would send there is not enabled. */
static void begin(struct hv_stimer *timer)
{
	if (!timer->config.direct_mode && !timer->config.sintx)
		timer->config.enable = 0;
	if (timer->config.enable)
		mark_due(timer);
}

static int set_config(struct hv_stimer *timer, u64 value, bool host)
{
	static const struct hv_right right = { HV_FEATURES_EDX, HV_STIMER_DIRECT_MODE_AVAILABLE };
	union hv_stimer_config config = { .as_uint64 = value };

	if (config.direct_mode && !host && !hv_may(timer->hv, &right))
		return 1;
	stop(timer);
	timer->config = config;
	begin(timer);
	return 0;
}

/* User space restores both registers, and means nothing else by either. */
static int set_count(struct hv_stimer *timer, u64 value, bool host)
{
	stop(timer);
	timer->count = value;
	if (!host && !value)
		timer->config.enable = 0;
	else if (!host && timer->config.auto_enable)
		timer->config.enable = 1;
	begin(timer);
	return 0;
}

/**
 * hv_stimer_set() - write one of the timers' registers
 * @hv:		the vCPU
 * @msr:	HV_X64_MSR_STIMER0_CONFIG to HV_X64_MSR_STIMER3_COUNT
 * @value:	the new value
 * @host:	user space asks; while there is no SynIC it can only write 0
 *
 * Context: vCPU's thread, or vcpu->lock held. Return: 0, or 1 for #GP.
 */
int hv_stimer_set(struct hv_vcpu *hv, u32 msr, u64 value, bool host)
{
	struct hv_stimer *timer = timer_of(hv, msr);

	if (!hv->synic.active)
		return !host || value;
	return is_count(msr) ? set_count(timer, value, host) : set_config(timer, value, host);
}

/**
 * hv_stimer_get() - read one of the timers' registers
 * @hv:		the vCPU
 * @msr:	as hv_stimer_set()
 * @value:	where the value goes
 * @host:	user space asks
 *
 * Return: 0.
 */
int hv_stimer_get(struct hv_vcpu *hv, u32 msr, u64 *value, bool host)
{
	const struct hv_stimer *timer = timer_of(hv, msr);

	*value = is_count(msr) ? timer->count : timer->config.as_uint64;
	return 0;
}
