// SPDX-License-Identifier: GPL-2.0
/*
 * Guest time: the TSC (offset, scaling, and its agreement between vCPUs), the
 * paravirtual clock (kvmclock) and steal time.
 *
 * kvmclock counts CLOCK_MONOTONIC_RAW plus suspend time, so that no NTP
 * adjustment bends it, and extrapolates by the TSC. When the host's own clock
 * is the TSC and all vCPUs' TSCs agree, all get one (TSC, ns) pair, the master
 * clock, and the guest is told that it may compare readings between vCPUs
 * (PVCLOCK_TSC_STABLE_BIT); otherwise each vCPU gets a pair of its own.
 *
 * Locks: vm->arch.clock_lock for what the vCPUs' clocks have in common (struct
 * vm_arch says what); clock_vms_lock for the list of VMs. The rest belongs to the
 * vCPU's thread, or to clock_resume(), when there are no threads.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/clocksource.h>
#include <linux/irq_work.h>
#include <linux/kvm_para.h>
#include <linux/math64.h>
#include <linux/printk.h>
#include <linux/pvclock_gtod.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/timekeeper_internal.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>
#include <minikvm/guest_memory.h>
#include <vdso/clocksource.h>
#include "x86/hyperv/hyperv.h"
#include "x86/irq/lapic.h"
#include "x86/x86.h"

/* A guest TSC this near to the host's is the host's (crystals differ more). */
#define TSC_TOLERANCE_PPM	250

u32 host_tsc_khz;

static bool host_clock_is_tsc;
static LIST_HEAD(clock_vms);
/* Not a mutex: clock_resume() can't wait for who was preempted with it. */
static DEFINE_SPINLOCK(clock_vms_lock);

/* --- The host's clocks. --- */

static s64 boot_offset(void)
{
	return ktime_to_ns(ktime_mono_to_any(0, TK_OFFS_BOOT));
}

/* What kvmclock counts, before each VM's own offset. */
static s64 base_ns(void)
{
	return ktime_get_raw_ns() + boot_offset();
}

struct clock_pair {
	u64 host_tsc;
	s64 base_ns, real_ns;
};

/*
 * All of them at one instant, which only a clock that is the TSC can tell. The
 * clock may be changed under us: believe the reading only if it lies between
 * two of ours.
 */
static bool read_pair(struct clock_pair *pair)
{
	struct system_time_snapshot snap;
	u64 before, after;

	if (!READ_ONCE(host_clock_is_tsc) || check_tsc_unstable())
		return false;
	before = rdtsc_ordered();
	ktime_get_snapshot(&snap);
	after = rdtsc_ordered();
	if (snap.cycles < before || snap.cycles > after)
		return false;
	pair->host_tsc = snap.cycles;
	pair->base_ns = ktime_to_ns(snap.raw) + boot_offset();
	pair->real_ns = ktime_to_ns(snap.real);
	return true;
}

/* --- The TSC. --- */

static u64 scale(u64 host_tsc, u64 ratio)
{
	return ratio ? mul_u64_u64_shr(host_tsc, ratio, vendor_caps.tsc_ratio_frac_bits) :
		       host_tsc;
}

/**
 * tsc_guest() - the guest's TSC at a moment of the host's
 * @vcpu:	the vCPU
 * @host_tsc:	the moment
 *
 * Context: any.
 */
u64 tsc_guest(struct vcpu *vcpu, u64 host_tsc)
{
	return scale(host_tsc, vcpu->arch.tsc.ratio) + vcpu->arch.tsc.offset;
}

/**
 * tsc_host_cycles() - how long a time by the guest's TSC is by the host's
 * @vcpu:		the vCPU
 * @guest_cycles:	the time
 *
 * Return: cycles, never too few; ~0 if they are too many.
 */
u64 tsc_host_cycles(struct vcpu *vcpu, u64 guest_cycles)
{
	unsigned int bits = vendor_caps.tsc_ratio_frac_bits;
	u64 ratio = vcpu->arch.tsc.ratio;

	if (!ratio)
		return guest_cycles;
	if (guest_cycles >> (64 - bits) >= ratio)
		return ~0ull;
	return mul_u64_u64_div_u64(guest_cycles, 1ull << bits, ratio) + 1;
}

static void write_offset(struct vcpu *vcpu, u64 offset)
{
	vcpu->arch.tsc.offset = offset;
	static_call(vendor_tsc_changed)(vcpu);
}

/* Not from the scheduler: if a deadline has passed by this, the vCPU is kicked. */
static void move_tsc(struct vcpu *vcpu, u64 offset)
{
	write_offset(vcpu, offset);
	lapic_timer_tsc_moved(vcpu);
}

static void request_all(struct vm *vm)
{
	struct vcpu *vcpu;
	unsigned long i;

	vm_for_each_vcpu(i, vcpu, vm) {
		vcpu_request(vcpu, VCPU_REQ_CLOCK);
		vcpu_kick(vcpu);
	}
}

/* Take a new pair, or none. clock_lock held. */
static void renew_master(struct vm *vm)
{
	struct master_clock *m = &vm->arch.master;
	struct clock_pair pair;

	m->generation++;
	m->valid = vm->arch.tsc_sync.matched == READ_ONCE(vm->nvcpus) && read_pair(&pair);
	if (!m->valid)
		return;
	m->host_tsc = pair.host_tsc;
	m->ns = pair.base_ns;
}

/**
 * clock_renew() - all vCPUs publish the time anew, by a new master clock if there can be one
 * @vm:	the VM
 *
 * Context: any but NMI.
 */
void clock_renew(struct vm *vm)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&vm->arch.clock_lock, flags);
	renew_master(vm);
	raw_spin_unlock_irqrestore(&vm->arch.clock_lock, flags);
	request_all(vm);
}

/*
 * Modulo 2^64, as a TSC is. Not mul_u64_u32_div(), which takes a #DE where that cuts anything
 * off: for a few weeks at a rate that user space has chosen, or a time that went backwards.
 */
static u64 cycles(struct vcpu *vcpu, u64 ns)
{
	u32 rest;
	u64 ms = div_u64_rem(ns, USEC_PER_SEC, &rest);

	return ms * vcpu->arch.tsc.khz + div_u64((u64)rest * vcpu->arch.tsc.khz, USEC_PER_SEC);
}

/*
 * Is this write an attempt to bring the TSCs together? Firmware and kernels
 * write the same value to all CPUs, one after the other; so does a VMM that
 * restores a VM. Zero is what a new CPU has. Anything within a second of what
 * the last write has become by now is taken for that.
 */
static bool means_to_match(struct vcpu *vcpu, const struct tsc_sync *s, u64 value, u64 now)
{
	u64 expected, second = (u64)vcpu->arch.tsc.khz * 1000;

	if (!s->generation || vcpu->arch.tsc.khz != s->last_khz)
		return false;
	if (!value)
		return true;
	expected = s->last_write + cycles(vcpu, now - s->last_nsec);
	return value < expected + second && value + second > expected;
}

/* Enter @value, with its @offset, as the last write. clock_lock held. */
static void join(struct vcpu *vcpu, u64 offset, u64 value, u64 now, bool matched)
{
	struct tsc_sync *s = &vcpu->vm->arch.tsc_sync;

	s->last_nsec = now;
	s->last_write = value;
	s->last_khz = vcpu->arch.tsc.khz;
	if (!matched) {
		s->generation++;
		s->offset = offset;
		s->matched = 0;
	}
	if (vcpu->arch.tsc.generation != s->generation)
		s->matched++;
	vcpu->arch.tsc.generation = s->generation;
	renew_master(vcpu->vm);
}

/* The guest's TSC shall read @value now, or whatever brings it in step. */
static void synchronize(struct vcpu *vcpu, u64 value)
{
	struct vm *vm = vcpu->vm;
	struct tsc_sync *s = &vm->arch.tsc_sync;
	unsigned long flags;
	u64 offset, now;
	bool matched;

	raw_spin_lock_irqsave(&vm->arch.clock_lock, flags);
	offset = value - scale(rdtsc(), vcpu->arch.tsc.ratio);
	now = base_ns();
	matched = means_to_match(vcpu, s, value, now);
	if (matched && !check_tsc_unstable()) {
		offset = s->offset;
	} else if (matched) {
		/* The host's TSCs differ: no common offset, only a common time. */
		value += cycles(vcpu, now - s->last_nsec);
		offset = value - scale(rdtsc(), vcpu->arch.tsc.ratio);
	}
	join(vcpu, offset, value, now, matched);
	raw_spin_unlock_irqrestore(&vm->arch.clock_lock, flags);
	move_tsc(vcpu, offset);
	request_all(vm);
}

/**
 * tsc_write() - WRMSR to the TSC
 * @vcpu:	the vCPU, loaded
 * @guest_tsc:	the value
 * @host:	user space writes: the value may be meant to match other vCPUs'
 *
 * A guest's own write moves its TSC, and TSC_ADJUST with it (SDM vol. 3,
 * 18.17.3).
 */
void tsc_write(struct vcpu *vcpu, u64 guest_tsc, bool host)
{
	s64 delta;

	if (host)
		return synchronize(vcpu, guest_tsc);
	delta = guest_tsc - tsc_guest(vcpu, rdtsc());
	tsc_adjust(vcpu, delta);
	vcpu->arch.msr.tsc_adjust += delta;
}

/**
 * tsc_adjust() - move the guest's TSC
 * @vcpu:	the vCPU, loaded
 * @delta:	by how much
 */
void tsc_adjust(struct vcpu *vcpu, s64 delta)
{
	move_tsc(vcpu, vcpu->arch.tsc.offset + delta);
	vcpu_request(vcpu, VCPU_REQ_CLOCK);
}

/**
 * tsc_set_offset() - KVM_VCPU_TSC_OFFSET
 * @vcpu:	the vCPU, loaded
 * @offset:	guest TSC less (scaled) host TSC
 *
 * vCPUs that are given the same offset agree, by definition.
 */
void tsc_set_offset(struct vcpu *vcpu, u64 offset)
{
	struct vm *vm = vcpu->vm;
	struct tsc_sync *s = &vm->arch.tsc_sync;
	unsigned long flags;
	bool matched;

	raw_spin_lock_irqsave(&vm->arch.clock_lock, flags);
	matched = s->generation && s->last_khz == vcpu->arch.tsc.khz && s->offset == offset;
	join(vcpu, offset, scale(rdtsc(), vcpu->arch.tsc.ratio) + offset, base_ns(), matched);
	raw_spin_unlock_irqrestore(&vm->arch.clock_lock, flags);
	move_tsc(vcpu, offset);
	request_all(vm);
}

static bool near_host(u32 khz)
{
	u32 slack = mul_u64_u32_div(host_tsc_khz, TSC_TOLERANCE_PPM, USEC_PER_SEC);

	return khz >= host_tsc_khz - slack && khz <= host_tsc_khz + slack;
}

/* 0 and the ratio, 0 for none; -EINVAL if this host cannot. */
static int ratio_for(u32 khz, u64 *ratio)
{
	*ratio = 0;
	if (near_host(khz))
		return 0;
	/* KVM_GET_TSC_KHZ has an int to tell it. */
	if (!vendor_caps.tsc_scaling || khz >= INT_MAX)
		return -EINVAL;
	*ratio = mul_u64_u32_div(1ULL << vendor_caps.tsc_ratio_frac_bits, khz, host_tsc_khz);
	return *ratio && *ratio < vendor_caps.max_tsc_ratio ? 0 : -EINVAL;
}

/**
 * tsc_set_khz() - KVM_SET_TSC_KHZ
 * @vcpu:	the vCPU, loaded
 * @khz:	its TSC's frequency, or 0: the host's
 *
 * Return: 0, or -EINVAL if the host's hardware cannot scale to it.
 */
int tsc_set_khz(struct vcpu *vcpu, u32 khz)
{
	u64 ratio;
	int r;

	khz = khz ?: host_tsc_khz;
	r = ratio_for(khz, &ratio);
	if (r)
		return r;
	vcpu->arch.tsc.khz = khz;
	vcpu->arch.tsc.ratio = ratio;
	static_call(vendor_tsc_changed)(vcpu);
	lapic_timer_tsc_moved(vcpu);
	vcpu_request(vcpu, VCPU_REQ_CLOCK);
	return 0;
}

/**
 * tsc_set_default_khz() - KVM_SET_TSC_KHZ of a VM
 * @vm:		the VM
 * @khz:	the frequency of vCPUs that are yet to be created, or 0: the host's
 *
 * Context: vm->lock held. Return: 0 or -EINVAL.
 */
int tsc_set_default_khz(struct vm *vm, u32 khz)
{
	u64 ratio;
	int r;

	khz = khz ?: host_tsc_khz;
	r = ratio_for(khz, &ratio);
	if (!r)
		vm->arch.default_tsc_khz = khz;
	return r;
}

/* --- Life. --- */

/**
 * clock_vm_init() - a VM's clock begins at zero
 * @vm: the VM
 *
 * Context: may sleep.
 */
void clock_vm_init(struct vm *vm)
{
	raw_spin_lock_init(&vm->arch.clock_lock);
	vm->arch.kvmclock_offset = -base_ns();
	vm->arch.default_tsc_khz = host_tsc_khz;
	spin_lock(&clock_vms_lock);
	list_add(&vm->arch.clock_link, &clock_vms);
	spin_unlock(&clock_vms_lock);
}

/**
 * clock_vm_destroy() - the reverse of clock_vm_init()
 * @vm: the VM, its vCPUs not yet freed
 */
void clock_vm_destroy(struct vm *vm)
{
	spin_lock(&clock_vms_lock);
	list_del(&vm->arch.clock_link);
	spin_unlock(&clock_vms_lock);
}

/**
 * tsc_vcpu_init() - a new vCPU's TSC runs as its VM says
 * @vcpu: the vCPU; nobody else knows it yet
 */
void tsc_vcpu_init(struct vcpu *vcpu)
{
	vcpu->arch.tsc.khz = vcpu->vm->arch.default_tsc_khz;
	ratio_for(vcpu->arch.tsc.khz, &vcpu->arch.tsc.ratio);
}

/**
 * clock_vcpu_postcreate() - a new vCPU's TSC joins those of the others
 * @vcpu: the vCPU, which vm->nvcpus counts by now
 *
 * Context: vm->lock and vcpu->lock held; may sleep.
 */
void clock_vcpu_postcreate(struct vcpu *vcpu)
{
	vcpu_load(vcpu);
	synchronize(vcpu, 0);
	vcpu_put(vcpu);
}

/*
 * The host's TSC is behind what this vCPU saw last: another CPU with another
 * TSC. The guest's must not go back, and agrees with the others' no longer.
 */
static void catch_up(struct vcpu *vcpu, u64 behind)
{
	struct vm *vm = vcpu->vm;
	struct vcpu *other;
	unsigned long i;

	write_offset(vcpu, vcpu->arch.tsc.offset + behind);
	raw_spin_lock(&vm->arch.clock_lock);
	if (vcpu->arch.tsc.generation == vm->arch.tsc_sync.generation)
		vm->arch.tsc_sync.matched--;
	vcpu->arch.tsc.generation = 0;
	vm->arch.master.valid = false;
	vm->arch.master.generation++;
	raw_spin_unlock(&vm->arch.clock_lock);
	/* No kicks from here: each hears of it at its next exit. */
	vm_for_each_vcpu(i, other, vm)
		vcpu_request(other, VCPU_REQ_CLOCK);
}

/**
 * clock_vcpu_load() - a vCPU comes to a CPU
 * @vcpu:	the vCPU
 * @cpu:	the CPU
 *
 * Context: preemption off, perhaps in the scheduler: no sleep, no wake-up.
 */
void clock_vcpu_load(struct vcpu *vcpu, int cpu)
{
	struct tsc_state *t = &vcpu->arch.tsc;
	u64 now = rdtsc();
	unsigned long flags;

	if (unlikely(t->moved)) {
		t->moved = false;
		lapic_timer_leave_hardware(vcpu);
		static_call(vendor_tsc_changed)(vcpu);
	}
	if (unlikely(now < t->last_host)) {
		lapic_timer_leave_hardware(vcpu);
		local_irq_save(flags);
		catch_up(vcpu, scale(t->last_host, t->ratio) - scale(now, t->ratio));
		local_irq_restore(flags);
	} else if (t->clock_cpu != cpu && !READ_ONCE(vcpu->vm->arch.master.valid)) {
		vcpu_request(vcpu, VCPU_REQ_CLOCK);
	}
	t->clock_cpu = cpu;
}

/**
 * clock_vcpu_put() - a vCPU leaves its CPU
 * @vcpu: the vCPU
 *
 * Context: as clock_vcpu_load().
 */
void clock_vcpu_put(struct vcpu *vcpu)
{
	vcpu->arch.tsc.last_host = rdtsc();
}

/* --- kvmclock. --- */

/*
 * A multiplier and a shift such that ns = (cycles << shift) * mul >> 32
 * (asm/pvclock-abi.h), as exact as 32 bits allow.
 */
static void time_scale(u64 khz, s8 *shift, u32 *mul)
{
	u64 hz = max(khz, 1ULL) * 1000;		/* a scaled rate can come to 0 */
	int s = 0;

	/* Between one and two cycles a nanosecond, so that mul fits and is full. */
	for (; hz > 2 * NSEC_PER_SEC; hz >>= 1)
		s--;
	for (; hz <= NSEC_PER_SEC; hz <<= 1)
		s++;
	*shift = s;
	*mul = div64_u64((u64)NSEC_PER_SEC << 32, hz);
}

static u32 effective_khz(struct vcpu *vcpu)
{
	return scale(host_tsc_khz, vcpu->arch.tsc.ratio);
}

/* Writes to guest memory from wherever we are called. */
static int put_guest(struct vcpu *vcpu, gpa_t gpa, const void *data, size_t len)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	int r = guest_write(vcpu, SPACE_MAIN, gpa, data, len);

	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

static int get_guest(struct vcpu *vcpu, gpa_t gpa, void *data, size_t len)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	int r = guest_read(vcpu->vm, SPACE_MAIN, gpa, data, len);

	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

/*
 * Publish a structure that begins with, or holds, a version: odd while its
 * contents change. @s has the new contents, @version points into it.
 */
static void publish(struct vcpu *vcpu, gpa_t gpa, void *s, size_t len, u32 *version)
{
	gpa_t version_gpa = gpa + ((void *)version - s);

	*version = (*version + 1) | 1;
	if (put_guest(vcpu, version_gpa, version, sizeof(*version)))
		return;
	/* Other vCPUs may be reading: odd before, even after. */
	smp_wmb();
	put_guest(vcpu, gpa, s, len);
	smp_wmb();
	++*version;
	put_guest(vcpu, version_gpa, version, sizeof(*version));
}

static bool vcpu_pair(struct vcpu *vcpu, u64 *host_tsc, s64 *ns, u64 *generation)
{
	struct vm *vm = vcpu->vm;
	unsigned long flags;
	bool master;

	raw_spin_lock_irqsave(&vm->arch.clock_lock, flags);
	master = vm->arch.master.valid;
	if (master) {
		*host_tsc = vm->arch.master.host_tsc;
		*ns = vm->arch.master.ns;
	} else {
		*host_tsc = rdtsc();
		*ns = base_ns();
	}
	*ns += vm->arch.kvmclock_offset;
	*generation = vm->arch.master.generation;
	raw_spin_unlock_irqrestore(&vm->arch.clock_lock, flags);
	return master;
}

/**
 * clock_info() - kvmclock's parameters for a vCPU now
 * @vcpu:		the vCPU, in its own thread
 * @info:		timestamp, time, multiplier and shift are filled in
 * @generation:		of the master clock, if they are made from it
 *
 * Return: whether there is a master clock, so that they are the same for all vCPUs.
 */
bool clock_info(struct vcpu *vcpu, struct pvclock_vcpu_time_info *info, u64 *generation)
{
	u64 host_tsc;
	s64 ns;
	bool master = vcpu_pair(vcpu, &host_tsc, &ns, generation);

	info->tsc_timestamp = tsc_guest(vcpu, host_tsc);
	info->system_time = ns;
	time_scale(effective_khz(vcpu), &info->tsc_shift, &info->tsc_to_system_mul);
	return master;
}

/**
 * clock_update() - publish kvmclock, and Hyper-V's TSC page, to the guest
 * @vcpu: the vCPU
 *
 * Context: the vCPU's thread, outside the guest; may sleep.
 */
void clock_update(struct vcpu *vcpu)
{
	struct pv_state *pv = &vcpu->arch.pv;
	gpa_t gpa = pv->system_time_msr & ~(u64)KVM_MSR_ENABLED;
	struct pvclock_vcpu_time_info info;
	u64 generation;
	u8 flags;

	hv_clock_update(vcpu);
	if (!(pv->system_time_msr & KVM_MSR_ENABLED))
		return;
	if (get_guest(vcpu, gpa, &info, sizeof(info)))
		return;
	/* It is the guest that clears the one that is there. */
	flags = info.flags & PVCLOCK_GUEST_STOPPED;
	if (clock_info(vcpu, &info, &generation))
		flags |= PVCLOCK_TSC_STABLE_BIT;
	if (pv->guest_stopped)
		flags |= PVCLOCK_GUEST_STOPPED;
	pv->guest_stopped = false;
	info.flags = flags;
	publish(vcpu, gpa, &info, sizeof(info), &info.version);
}

/**
 * clock_set_system_time() - WRMSR to MSR_KVM_SYSTEM_TIME(_NEW)
 * @vcpu:	the vCPU
 * @msr:	where its clock is, and whether
 */
void clock_set_system_time(struct vcpu *vcpu, u64 msr)
{
	vcpu->arch.pv.system_time_msr = msr;
	/* Without a master clock all vCPUs' pairs are renewed together. */
	if (READ_ONCE(vcpu->vm->arch.master.valid))
		vcpu_request(vcpu, VCPU_REQ_CLOCK);
	else
		request_all(vcpu->vm);
}

/**
 * clock_guest_paused() - KVM_KVMCLOCK_CTRL: the guest did not run for a while
 * @vcpu: the vCPU
 *
 * Context: vcpu->lock held. Return: 0, or -EINVAL if it has no kvmclock.
 */
int clock_guest_paused(struct vcpu *vcpu)
{
	if (!(vcpu->arch.pv.system_time_msr & KVM_MSR_ENABLED))
		return -EINVAL;
	vcpu->arch.pv.guest_stopped = true;
	vcpu_request(vcpu, VCPU_REQ_CLOCK);
	return 0;
}

/* kvmclock at a moment of the host's TSC, by the master clock. */
static s64 master_ns(struct vm *vm, u64 host_tsc)
{
	const struct master_clock *m = &vm->arch.master;
	s8 shift;
	u32 mul;

	time_scale(host_tsc_khz, &shift, &mul);
	return m->ns + vm->arch.kvmclock_offset +
	       pvclock_scale_delta(host_tsc - m->host_tsc, mul, shift);
}

/**
 * clock_kvmclock_ns() - a VM's kvmclock now
 * @vm: the VM
 *
 * Context: any but NMI. Return: ns.
 */
u64 clock_kvmclock_ns(struct vm *vm)
{
	unsigned long flags;
	s64 ns;

	raw_spin_lock_irqsave(&vm->arch.clock_lock, flags);
	if (vm->arch.master.valid)
		ns = master_ns(vm, rdtsc());
	else
		ns = base_ns() + vm->arch.kvmclock_offset;
	raw_spin_unlock_irqrestore(&vm->arch.clock_lock, flags);
	return ns;
}

/**
 * clock_vm_get() - KVM_GET_CLOCK
 * @vm:		the VM
 * @data:	zeroed by the caller
 */
void clock_vm_get(struct vm *vm, struct kvm_clock_data *data)
{
	struct clock_pair pair;
	unsigned long flags;

	raw_spin_lock_irqsave(&vm->arch.clock_lock, flags);
	if (vm->arch.master.valid && read_pair(&pair)) {
		data->clock = master_ns(vm, pair.host_tsc);
		data->host_tsc = pair.host_tsc;
		data->realtime = pair.real_ns;
		data->flags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	} else {
		data->clock = base_ns() + vm->arch.kvmclock_offset;
	}
	raw_spin_unlock_irqrestore(&vm->arch.clock_lock, flags);
}

/**
 * clock_vm_set() - KVM_SET_CLOCK
 * @vm:		the VM
 * @data:	the new time; with KVM_CLOCK_REALTIME, when that was
 *
 * Context: may sleep. Return: 0 or -EINVAL.
 */
int clock_vm_set(struct vm *vm, const struct kvm_clock_data *data)
{
	u64 clock = data->clock, real;
	unsigned long flags;

	if (data->flags & ~(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC))
		return -EINVAL;
	raw_spin_lock_irqsave(&vm->arch.clock_lock, flags);
	renew_master(vm);
	if (data->flags & KVM_CLOCK_REALTIME) {
		real = ktime_get_real_ns();
		/* The clock is never set back. */
		if (real > data->realtime)
			clock += real - data->realtime;
	}
	vm->arch.kvmclock_offset = clock -
		(vm->arch.master.valid ? vm->arch.master.ns : base_ns());
	raw_spin_unlock_irqrestore(&vm->arch.clock_lock, flags);
	request_all(vm);
	return 0;
}

/**
 * clock_write_wall() - WRMSR to MSR_KVM_WALL_CLOCK(_NEW)
 * @vcpu:	the vCPU
 * @gpa:	where it wants to know the time at which kvmclock was zero
 *
 * Context: may sleep.
 */
void clock_write_wall(struct vcpu *vcpu, gpa_t gpa)
{
	struct pvclock_wall_clock wall = {};
	u32 nsec;

	if (!gpa || get_guest(vcpu, gpa, &wall.version, sizeof(wall.version)))
		return;
	wall.sec = div_u64_rem(ktime_get_real_ns() - clock_kvmclock_ns(vcpu->vm),
			       NSEC_PER_SEC, &nsec);
	wall.nsec = nsec;
	publish(vcpu, gpa, &wall, sizeof(wall), &wall.version);
}

/**
 * clock_pairing() - KVM_HC_CLOCK_PAIRING: the host's wall clock and the TSC
 * @vcpu:	the vCPU
 * @gpa:	where the pair goes
 *
 * Context: may sleep. Return: 0, -KVM_EOPNOTSUPP, -KVM_EFAULT.
 */
int clock_pairing(struct vcpu *vcpu, gpa_t gpa)
{
	struct kvm_clock_pairing out = {};
	struct clock_pair pair;
	struct timespec64 ts;

	if (!read_pair(&pair))
		return -KVM_EOPNOTSUPP;
	ts = ns_to_timespec64(pair.real_ns);
	out.sec = ts.tv_sec;
	out.nsec = ts.tv_nsec;
	out.tsc = tsc_guest(vcpu, pair.host_tsc);
	return put_guest(vcpu, gpa, &out, sizeof(out)) ? -KVM_EFAULT : 0;
}

/* --- Steal time. --- */

/**
 * clock_set_steal_time() - WRMSR to MSR_KVM_STEAL_TIME
 * @vcpu:	the vCPU
 * @msr:	where its steal time is, and whether
 *
 * Return: 0, or 1 for #GP.
 */
int clock_set_steal_time(struct vcpu *vcpu, u64 msr)
{
	if (msr & KVM_STEAL_RESERVED_MASK)
		return 1;
	vcpu->arch.pv.steal_time_msr = msr;
	if (msr & KVM_MSR_ENABLED)
		vcpu_request(vcpu, VCPU_REQ_STEAL);
	return 0;
}

static gpa_t preempted_gpa(const struct pv_state *pv)
{
	return (pv->steal_time_msr & KVM_STEAL_VALID_BITS) +
	       offsetof(struct kvm_steal_time, preempted);
}

/**
 * clock_steal_preempted() - the guest may know that this vCPU does not run
 * @vcpu: the vCPU
 *
 * A guest that wants this vCPU's TLB flushed may then leave it a note instead
 * (KVM_FEATURE_PV_TLB_FLUSH), which holds from the next entry on. So it is told
 * only when no instruction is half done, which would go on with translations of
 * before.
 *
 * Context: preemption off, perhaps in the scheduler. Not in the dirty log:
 * clock_steal_update() writes there before the vCPU runs again.
 */
void clock_steal_preempted(struct vcpu *vcpu)
{
	const u8 preempted = KVM_VCPU_PREEMPTED;
	int idx;

	if (!vcpu->arch.pv.at_boundary || current->mm != vcpu->vm->mm)
		return;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	guest_write_nofault(vcpu->vm, preempted_gpa(&vcpu->arch.pv), &preempted,
			    sizeof(preempted));
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

/*
 * Take "preempted" back, which ends the notes: was one left? If the guest has
 * changed the byte under us, it may have been: who in doubt flushes is right.
 * The byte is 0 before the next entry anyway, by what is published then.
 */
static bool take_preempted(struct vcpu *vcpu, u8 seen)
{
	const u8 running = 0;
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	int r = guest_cmpxchg(vcpu, SPACE_MAIN, preempted_gpa(&vcpu->arch.pv), &seen, &running,
			      sizeof(seen));

	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r == -EAGAIN || (!r && (seen & KVM_VCPU_FLUSH_TLB));
}

/**
 * clock_steal_update() - publish how long the vCPU's thread waited for a CPU
 * @vcpu: the vCPU
 *
 * Context: the vCPU's thread, outside the guest; may sleep.
 */
void clock_steal_update(struct vcpu *vcpu)
{
	struct pv_state *pv = &vcpu->arch.pv;
	gpa_t gpa = pv->steal_time_msr & KVM_STEAL_VALID_BITS;
	u64 waited = current->sched_info.run_delay;
	struct kvm_steal_time st;

	if (!(pv->steal_time_msr & KVM_MSR_ENABLED) || get_guest(vcpu, gpa, &st, sizeof(st)))
		return;
	/* Another thread runs it now, which has waited less. */
	if (waited < pv->steal_last)
		pv->steal_last = waited;
	if (take_preempted(vcpu, st.preempted))
		static_call(vendor_tlb_flush)(vcpu);
	st.steal += waited - pv->steal_last;
	st.preempted = 0;
	pv->steal_last = waited;
	publish(vcpu, gpa, &st, sizeof(st), &st.version);
}

/* --- The host's clock changes. --- */

static void clocksource_changed(struct work_struct *work)
{
	struct vm *vm;

	spin_lock(&clock_vms_lock);
	list_for_each_entry(vm, &clock_vms, arch.clock_link)
		clock_renew(vm);
	spin_unlock(&clock_vms_lock);
}

static DECLARE_WORK(clocksource_work, clocksource_changed);

/* The timekeeper is locked in the notifier, and waking a worker reads time. */
static void clocksource_changed_irq(struct irq_work *work)
{
	queue_work(system_long_wq, &clocksource_work);
}

static DEFINE_IRQ_WORK(clocksource_irq_work, clocksource_changed_irq);

/* At each tick: one comparison. */
static int timekeeping_changed(struct notifier_block *nb, unsigned long unused, void *priv)
{
	const struct timekeeper *tk = priv;
	bool is_tsc = tk->tkr_mono.clock->vdso_clock_mode == VDSO_CLOCKMODE_TSC;

	if (is_tsc == READ_ONCE(host_clock_is_tsc))
		return 0;
	WRITE_ONCE(host_clock_is_tsc, is_tsc);
	irq_work_queue(&clocksource_irq_work);
	return 0;
}

static struct notifier_block timekeeping_notifier = {
	.notifier_call = timekeeping_changed,
};

/* --- The host sleeps. --- */

static struct {
	u64 tsc;
	s64 base_ns;
} slept_at;

/**
 * clock_suspend() - the host is about to sleep
 *
 * Context: syscore: one CPU, interrupts off, all threads of user space frozen.
 */
void clock_suspend(void)
{
	slept_at.tsc = rdtsc();
	slept_at.base_ns = base_ns();
}

/* kvmclock, by its old pair, has come as far as this; the new one is not behind it. */
static void renew_master_after(struct vm *vm, u64 host_tsc)
{
	struct master_clock *m = &vm->arch.master;
	s64 ns = m->valid ? master_ns(vm, host_tsc) - vm->arch.kvmclock_offset : 0;

	renew_master(vm);
	if (m->valid)
		m->ns = max(m->ns, ns);
}

/* All vCPUs by the same: those that agreed agree. */
static void host_tsc_fell(struct vm *vm, u64 by, s64 slept_ns)
{
	struct tsc_sync *s = &vm->arch.tsc_sync;
	struct vcpu *vcpu;
	unsigned long i;
	u64 ratio;

	raw_spin_lock(&vm->arch.clock_lock);
	vm_for_each_vcpu(i, vcpu, vm) {
		vcpu->arch.tsc.offset += scale(by, vcpu->arch.tsc.ratio);
		vcpu->arch.tsc.last_host = 0;
		vcpu->arch.tsc.moved = true;
		vcpu_request(vcpu, VCPU_REQ_CLOCK);
	}
	/* While the host slept the guests' TSCs stood still. */
	s->last_nsec += slept_ns;
	if (!ratio_for(s->last_khz, &ratio))
		s->offset += scale(by, ratio);
	renew_master_after(vm, slept_at.tsc);
	raw_spin_unlock(&vm->arch.clock_lock);
}

/**
 * clock_resume() - the host is awake: has its TSC begun anew?
 *
 * Each vCPU would be seen to by catch_up(), but only by as much as it lacks itself: by when it ran
 * last. And one whose time was long ago would not be seen to at all, once the host's TSC has come
 * past that.
 *
 * Context: syscore, after the timekeeper, which came earlier into the list.
 */
void clock_resume(void)
{
	u64 now = rdtsc();
	struct vm *vm;

	if (now >= slept_at.tsc)
		return;
	spin_lock(&clock_vms_lock);
	list_for_each_entry(vm, &clock_vms, arch.clock_link)
		host_tsc_fell(vm, slept_at.tsc - now, base_ns() - slept_at.base_ns);
	spin_unlock(&clock_vms_lock);
}

/**
 * clock_init() - watch the host's clock; at module load
 *
 * Return: 0; -EOPNOTSUPP after one line where the kernel has found no rate of
 * the TSC, which all of a guest's time is counted in; or another errno.
 */
int clock_init(void)
{
	host_tsc_khz = tsc_khz;
	if (!host_tsc_khz) {
		pr_err("the kernel does not know this CPU's TSC rate: boot it with tsc_early_khz=\n");
		return -EOPNOTSUPP;
	}
	return pvclock_gtod_register_notifier(&timekeeping_notifier);
}

/**
 * clock_exit() - the reverse of clock_init()
 */
void clock_exit(void)
{
	pvclock_gtod_unregister_notifier(&timekeeping_notifier);
	irq_work_sync(&clocksource_irq_work);
	cancel_work_sync(&clocksource_work);
}
