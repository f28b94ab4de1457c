// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC's timer: one-shot, periodic and TSC-deadline (SDM vol. 3,
 * 11.5.4). The APIC's bus clock ticks once a nanosecond, as KVM's does.
 *
 * While the vCPU runs, hardware may watch for the time (vendor_set_timer());
 * that costs an exit, and no interrupt of the host's. One hrtimer a vCPU does it
 * where that can't be, and while the vCPU sleeps. Whichever it is, hrtimer's
 * expiry says when.
 *
 * The callback only notes that the timer has fired. The vCPU turns that into
 * an interrupt: so a stopped vCPU's registers stand still, and can be saved,
 * while the host's clock goes on.
 */
#include <linux/math64.h>
#include <minikvm/vcpu.h>
#include "compat/hrtimer.h"
#include "x86/irq/lapic_state.h"
#include "x86/x86.h"

/* A guest may not keep the host busy with a faster periodic timer; KVM's floor. */
#define PERIOD_MIN_NS	(200 * NSEC_PER_USEC)

/* Further away than this (146 years) is never: keeps the arithmetic in range. */
#define DEADLINE_MAX_NS	(1ull << 62)

#define TIMER_MODE_MASK	(3u << 17)

static u32 timer_mode(const struct lapic *apic)
{
	return lapic_reg(apic, APIC_LVTT) & TIMER_MODE_MASK;
}

static bool timer_periodic(const struct lapic *apic)
{
	return timer_mode(apic) == APIC_LVT_TIMER_PERIODIC;
}

static bool timer_tsc_deadline(const struct lapic *apic)
{
	return timer_mode(apic) == APIC_LVT_TIMER_TSCDEADLINE;
}

/* TDCR bits 3, 1 and 0 are an exponent less one, modulo 8: 111 divides by 1. */
static unsigned int divide_shift(u32 tdcr)
{
	return (((tdcr & 3) | (tdcr & 8) >> 1) + 1) & 7;
}

static void timer_fired(struct lapic *apic)
{
	WRITE_ONCE(apic->timer.pending, true);
	vcpu_request(apic->vcpu, VCPU_REQ_APIC_TIMER);
	vcpu_kick(apic->vcpu);
}

/*
 * How many whole periods ago was the expiry? Their ticks are one with that which fires. Not
 * hrtimer_forward(): on a host without high resolution that takes a period which is shorter
 * than the host's own tick for as long as that.
 */
static u64 periods_late(const struct lapic *apic, ktime_t now)
{
	s64 late = ktime_to_ns(ktime_sub(now, hrtimer_get_expires(&apic->timer.hrtimer)));

	return late > 0 ? div64_u64(late, apic->timer.period) : 0;
}

/*
 * A host without high resolution comes with its tick, so a period of about as long ends a
 * little before that in one case, and a little behind in the next, to be told by the next
 * tick. So the last period that has ended by now is not skipped, but fires next: else a guest
 * would lose every other of its ticks, and its clock.
 */
static enum hrtimer_restart timer_callback(struct hrtimer *hrtimer)
{
	struct lapic *apic = container_of(hrtimer, struct lapic, timer.hrtimer);
	u64 periods;

	timer_fired(apic);
	if (!timer_periodic(apic) || !apic->timer.period)
		return HRTIMER_NORESTART;
	periods = max(periods_late(apic, ktime_get()), 1ull);
	hrtimer_add_expires_ns(hrtimer, periods * apic->timer.period);
	return HRTIMER_RESTART;
}

/**
 * lapic_timer_init() - a timer that is not running
 * @apic:	being created
 */
void lapic_timer_init(struct lapic *apic)
{
	hrtimer_setup(&apic->timer.hrtimer, timer_callback, CLOCK_MONOTONIC,
		      HRTIMER_MODE_ABS_PINNED_HARD);
	apic->timer.host_tsc = TIMER_OFF;
}

static bool in_hardware(const struct lapic *apic)
{
	return apic->timer.host_tsc != TIMER_OFF;
}

/* Is there an expiry that is yet to come, or to be seen? */
static bool timer_watched(const struct lapic *apic)
{
	return in_hardware(apic) || hrtimer_active(&apic->timer.hrtimer);
}

/* Nobody watches any more. The expiry stays. */
static void timer_off(struct lapic *apic)
{
	if (!in_hardware(apic)) {
		hrtimer_cancel(&apic->timer.hrtimer);
		return;
	}
	apic->timer.host_tsc = TIMER_OFF;
	static_call(vendor_set_timer)(apic->vcpu, TIMER_OFF);
}

static void start_hrtimer(struct lapic *apic)
{
	hrtimer_start_expires(&apic->timer.hrtimer, HRTIMER_MODE_ABS_PINNED_HARD);
}

/* @ns and @cycles, of the host's TSC, are the same time. Nobody watches yet. */
static void timer_arm_both(struct lapic *apic, u64 ns, u64 cycles)
{
	u64 now = rdtsc();

	hrtimer_set_expires(&apic->timer.hrtimer, ktime_add_ns(ktime_get(), ns));
	if (cycles < TIMER_OFF - now &&
	    static_call(vendor_set_timer)(apic->vcpu, now + cycles))
		apic->timer.host_tsc = now + cycles;
	else
		start_hrtimer(apic);
}

/* @ns: of at most a whole count, 2^39. */
static void timer_arm(struct lapic *apic, u64 ns)
{
	timer_arm_both(apic, ns, mul_u64_u32_div(ns, host_tsc_khz, USEC_PER_SEC) + 1);
}

static bool hardware_due(const struct lapic *apic)
{
	return in_hardware(apic) && rdtsc() >= apic->timer.host_tsc;
}

/*
 * What the hrtimer's callback does. The two clocks differ by parts per million:
 * what the TSC says is now the expiry, so that the count agrees with it.
 */
static void hardware_fired(struct lapic *apic)
{
	struct hrtimer *hrtimer = &apic->timer.hrtimer;
	ktime_t now = ktime_get();

	timer_off(apic);
	WRITE_ONCE(apic->timer.pending, true);
	if (ktime_after(hrtimer_get_expires(hrtimer), now))
		hrtimer_set_expires(hrtimer, now);
	if (!(apic->timer.period && timer_periodic(apic)))
		return;
	hrtimer_add_expires_ns(hrtimer, (periods_late(apic, now) + 1) * apic->timer.period);
	timer_arm(apic, ktime_to_ns(ktime_sub(hrtimer_get_expires(hrtimer), now)));
}

/**
 * lapic_timer_stop() - stop the timer, and forget what has fired
 * @apic:	the APIC; its vCPU is loaded. TMICT keeps its value
 *
 * Context: waits for the hrtimer's callback, but does not sleep.
 */
void lapic_timer_stop(struct lapic *apic)
{
	timer_off(apic);
	apic->timer.period = 0;
	apic->timer.tsc_deadline = 0;
	WRITE_ONCE(apic->timer.pending, false);
}

/* The whole count in ns, from TMICT and TDCR. */
static void timer_set_period(struct lapic *apic)
{
	u64 period = (u64)lapic_reg(apic, APIC_TMICT) <<
		     divide_shift(lapic_reg(apic, APIC_TDCR));

	if (period && timer_periodic(apic))
		period = max_t(u64, period, PERIOD_MIN_NS);
	apic->timer.period = period;
}

/* Stops the timer; if it has fired by now, that is an interrupt all the same. */
static void timer_cancel(struct lapic *apic)
{
	if (hardware_due(apic))
		hardware_fired(apic);
	timer_off(apic);
	lapic_timer_take(apic->vcpu);
}

/**
 * lapic_timer_restart() - TMICT was written: count from there, or stop at 0
 * @apic:	the APIC, not in TSC-deadline mode; its vCPU is loaded
 *
 * If it has fired before, that stays an interrupt.
 *
 * Context: waits for the hrtimer's callback, but does not sleep.
 */
void lapic_timer_restart(struct lapic *apic)
{
	timer_cancel(apic);
	timer_set_period(apic);
	if (apic->timer.period)
		timer_arm(apic, apic->timer.period);
}

/**
 * lapic_timer_restore() - go on where a saved timer stood
 * @apic:	LVTT, TMICT and TDCR are in place
 * @count:	the saved TMCCT
 *
 * A one-shot timer at 0 has fired before it was saved, and stays so:
 * lapic_timer_count() never says 0 while that is still to come. KVM fires it
 * once more. A TSC deadline comes back by its MSR.
 */
void lapic_timer_restore(struct lapic *apic, u32 count)
{
	u64 ns = (u64)count << divide_shift(lapic_reg(apic, APIC_TDCR));

	lapic_timer_stop(apic);
	if (timer_tsc_deadline(apic))
		return;
	timer_set_period(apic);
	if (!apic->timer.period)
		return;
	if (!count && timer_periodic(apic))
		ns = apic->timer.period;
	if (ns)
		timer_arm(apic, min(ns, apic->timer.period));
}

/* ns until the timer fires next; below 1 when that has been. */
static s64 timer_remaining(struct lapic *apic)
{
	s64 ns = ktime_to_ns(ktime_sub(hrtimer_get_expires(&apic->timer.hrtimer), ktime_get()));

	/* The host may be late with a periodic timer: count in the next period. */
	if (ns <= 0 && timer_periodic(apic))
		ns = apic->timer.period - (u64)-ns % apic->timer.period;
	return ns;
}

/**
 * lapic_timer_count() - what TMCCT reads as
 * @apic:	the APIC
 *
 * Return: what is left, in steps of the divided clock; 0 when the timer is not
 * running, has fired, or is in TSC-deadline mode. Due, but not yet an interrupt, is 1.
 */
u32 lapic_timer_count(struct lapic *apic)
{
	unsigned int shift = divide_shift(lapic_reg(apic, APIC_TDCR));
	s64 ns;

	if (!apic->timer.period || timer_tsc_deadline(apic))
		return 0;
	ns = timer_remaining(apic);
	if (ns > 0)
		return min_t(u64, ((u64)ns + (1u << shift) - 1) >> shift,
			     lapic_reg(apic, APIC_TMICT));
	/* Due, but the interrupt has not been seen: 0 would mean that it has. */
	return timer_watched(apic) || READ_ONCE(apic->timer.pending);
}

/**
 * lapic_timer_set_divide() - TDCR is written
 * @apic:	the APIC; its vCPU is loaded
 * @tdcr:	the new value, reserved bits cleared
 *
 * A timer that is running goes on from its count, at the new pace.
 *
 * Context: waits for the hrtimer's callback, but does not sleep.
 */
void lapic_timer_set_divide(struct lapic *apic, u32 tdcr)
{
	u32 old = divide_shift(lapic_reg(apic, APIC_TDCR));
	s64 ns;

	lapic_set_reg(apic, APIC_TDCR, tdcr);
	if (divide_shift(tdcr) == old || !apic->timer.period)
		return;
	/* What is left of the count stays; each step of it takes another time. */
	timer_cancel(apic);
	ns = timer_remaining(apic);
	timer_set_period(apic);
	if (ns > 0)
		timer_arm(apic, (u64)ns >> old << divide_shift(tdcr));
}

/**
 * lapic_timer_set_lvt() - LVTT is written
 * @apic:	the APIC
 * @lvtt:	the new value, reserved bits cleared
 *
 * Entering or leaving TSC-deadline mode disarms the timer (SDM vol. 3,
 * 11.5.4.1); between one-shot and periodic it runs on, or stays at 0 where it has
 * run down. What has fired by now is an interrupt of the old entry.
 */
void lapic_timer_set_lvt(struct lapic *apic, u32 lvtt)
{
	u32 old = lapic_reg(apic, APIC_LVTT);
	bool was = timer_tsc_deadline(apic);

	if (!((old ^ lvtt) & TIMER_MODE_MASK)) {
		lapic_set_reg(apic, APIC_LVTT, lvtt);
		return;
	}
	lapic_timer_take(apic->vcpu);
	lapic_set_reg(apic, APIC_LVTT, lvtt);
	if (was || timer_tsc_deadline(apic)) {
		lapic_timer_stop(apic);
		lapic_set_reg(apic, APIC_TMICT, 0);
	} else if (timer_watched(apic)) {
		timer_set_period(apic);
	} else {
		apic->timer.period = 0;
	}
}

/**
 * lapic_timer_take() - turn a timer that has fired into an interrupt
 * @vcpu:	in its own thread
 *
 * For VCPU_REQ_APIC_TIMER and EXIT_TIMER; cheap and harmless at any other time.
 */
void lapic_timer_take(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;

	if (!apic)
		return;
	if (hardware_due(apic))
		hardware_fired(apic);
	if (!READ_ONCE(apic->timer.pending))
		return;
	WRITE_ONCE(apic->timer.pending, false);
	if (timer_tsc_deadline(apic))
		apic->timer.tsc_deadline = 0;
	lapic_local(vcpu, APIC_LVTT);
}

/**
 * lapic_timer_leave_hardware() - from now on, the hrtimer watches
 * @vcpu:	loaded, about to sleep; or the host's TSC has gone back
 *
 * Hardware tells only who is in the guest. It has its turn again when the timer
 * is set anew: who has slept is woken by the timer itself, more often than not.
 *
 * Context: preemption off or the vCPU's own thread; interrupts may be off.
 */
void lapic_timer_leave_hardware(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;

	if (!apic || !in_hardware(apic))
		return;
	timer_off(apic);
	start_hrtimer(apic);
}

/**
 * lapic_timer_migrate() - take the timer along to this CPU
 * @vcpu:	being loaded; preemption is off
 *
 * So that its interrupt finds the vCPU here and needs no IPI.
 */
void lapic_timer_migrate(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;

	if (apic && hrtimer_cancel(&apic->timer.hrtimer))
		start_hrtimer(apic);
}

/**
 * lapic_get_tsc_deadline() - IA32_TSC_DEADLINE
 * @vcpu:	the vCPU
 *
 * Return: 0 when it is disarmed, has fired, or the timer is in another mode.
 */
u64 lapic_get_tsc_deadline(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;

	return apic && timer_tsc_deadline(apic) ? apic->timer.tsc_deadline : 0;
}

static u64 guest_cycles_to_ns(struct vcpu *vcpu, u64 cycles)
{
	u32 khz = vcpu->arch.tsc.khz, rest;
	u64 ms = div_u64_rem(cycles, khz, &rest);

	if (ms >= DEADLINE_MAX_NS / NSEC_PER_MSEC)
		return DEADLINE_MAX_NS;
	/* Up, not down: an interrupt before its deadline confuses guests. */
	return ms * NSEC_PER_MSEC + DIV_ROUND_UP_ULL((u64)rest * NSEC_PER_MSEC, khz);
}

static void timer_arm_deadline(struct lapic *apic)
{
	struct vcpu *vcpu = apic->vcpu;
	u64 deadline = apic->timer.tsc_deadline;
	u64 now, ns = 0;

	if (!deadline)
		return;
	now = tsc_guest(vcpu, rdtsc());
	if (deadline > now)
		ns = guest_cycles_to_ns(vcpu, deadline - now);
	if (ns)
		timer_arm_both(apic, ns, tsc_host_cycles(vcpu, deadline - now));
	else
		timer_fired(apic);
}

/**
 * lapic_set_tsc_deadline() - write IA32_TSC_DEADLINE
 * @vcpu:	loaded
 * @deadline:	in the guest's TSC; 0 disarms; ignored in the other modes
 */
void lapic_set_tsc_deadline(struct vcpu *vcpu, u64 deadline)
{
	struct lapic *apic = vcpu->arch.lapic;

	if (!apic || !lapic_hw_enabled(apic) || !timer_tsc_deadline(apic))
		return;
	timer_cancel(apic);
	apic->timer.tsc_deadline = deadline;
	timer_arm_deadline(apic);
}

/**
 * lapic_timer_tsc_moved() - the guest's TSC reads otherwise from now on
 * @vcpu:	loaded, in its own thread or with vcpu->lock held
 *
 * A deadline that waits is the guest's TSC's, wherever that goes (SDM vol. 3,
 * 11.5.4.1). One that the old TSC has reached has been.
 */
void lapic_timer_tsc_moved(struct vcpu *vcpu)
{
	struct lapic *apic = vcpu->arch.lapic;

	if (!apic || !apic->timer.tsc_deadline)
		return;
	timer_cancel(apic);
	timer_arm_deadline(apic);
}
