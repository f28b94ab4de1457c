// SPDX-License-Identifier: GPL-2.0
/*
 * The run loop: KVM_RUN from its first line to its last. One exit costs one
 * turn of enter_once(); its phases come in pairs, in the order of the page.
 *
 *	fpu_enter
 *	    requests -> inject -> interrupts off -> last check -> state in
 *	        vendor enter
 *	    state out -> interrupts on -> what was broken off -> dispatch
 *	fpu_leave
 *
 * Nothing here allocates, takes a sleeping lock or prints.
 */
#include <linux/percpu.h>
#include <asm/debugreg.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include "compat/fpregs.h"
#include "compat/guest_context.h"
#include "compat/kvm_run.h"
#include "x86/hyperv/hyperv.h"
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic.h"
#include "x86/x86.h"

/* --- Requests: each row is work for the vCPU itself; 1: go on. --- */

static int triple_fault(struct vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return 0;
}

/* Not before each entry, but when a vCPU is new or has come into another address space. */
static int load_root(struct vcpu *vcpu)
{
	hpa_t root = mmu_root(vcpu->vm, vcpu->space);

	if (unlikely(!root)) {
		vcpu_request(vcpu, VCPU_REQ_LOAD_ROOT);
		return -ENOMEM;
	}
	static_call(vendor_load_root)(vcpu, root);
	return 1;
}

static int publish_clock(struct vcpu *vcpu)
{
	clock_update(vcpu);
	return 1;
}

static int publish_steal_time(struct vcpu *vcpu)
{
	clock_steal_update(vcpu);
	return 1;
}

static int take_timer(struct vcpu *vcpu)
{
	lapic_timer_take(vcpu);
	return 1;
}

/* An IOAPIC's entries have changed, and hardware knows whose EOIs are wanted. */
static int rescan_eois(struct vcpu *vcpu)
{
	lapic_hardware_rescan(vcpu);
	return 1;
}

static int take_smi(struct vcpu *vcpu)
{
	vcpu->arch.events.smi.pending = true;
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	return 1;
}

/* The SMI was to come behind an entry that was then not made. */
static int look_again(struct vcpu *vcpu)
{
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	return 1;
}

static int pass_msrs(struct vcpu *vcpu)
{
	msr_filter_apply(vcpu);
	return 1;
}

static int (*const request_rows[VCPU_REQS])(struct vcpu *vcpu) = {
	[VCPU_REQ_DIRTY_RING]	= dirty_ring_serve,
	[VCPU_REQ_LOAD_ROOT]	= load_root,
	[VCPU_REQ_CLOCK]	= publish_clock,
	[VCPU_REQ_STEAL]	= publish_steal_time,
	[VCPU_REQ_APIC_TIMER]	= take_timer,
	[VCPU_REQ_SCAN_IOAPIC]	= rescan_eois,
	[VCPU_REQ_IOAPIC_EOI]	= irqchip_report_eoi,
	[VCPU_REQ_MSR_FILTER]	= pass_msrs,
	[VCPU_REQ_SMI]		= take_smi,
	[VCPU_REQ_SMI_NEXT]	= look_again,
	[VCPU_REQ_HV_FLUSH]	= hv_tlb_flush,
	[VCPU_REQ_HV_STIMER]	= hv_stimers_run,
	[VCPU_REQ_HV_EXIT]	= hv_report_exit,
	[VCPU_REQ_TRIPLE_FAULT]	= triple_fault,
};

/* INIT and SIPI come before all other events; a vCPU may stop running here. */
static void prepare_events(struct vcpu *vcpu)
{
	if (unlikely(lapic_has_init_sipi(vcpu)))
		lapic_take_init_sipi(vcpu);
	if (likely(vcpu->arch.mp_state == KVM_MP_STATE_RUNNABLE))
		events_inject(vcpu);
}

/* All but VCPU_REQ_EVENT, which is the next phase's. */
static int serve_requests(struct vcpu *vcpu)
{
	unsigned long todo = READ_ONCE(vcpu->requests) & ~BIT(VCPU_REQ_EVENT);
	unsigned int req;
	int r;

	for_each_set_bit(req, &todo, VCPU_REQS) {
		if (!vcpu_consume(vcpu, req))
			continue;
		r = request_rows[req](vcpu);
		if (r <= 0)
			return r;
	}
	return 1;
}

/* --- State that hardware does not switch, in and out: interrupts off. --- */

static u64 host_xcr0;
static u64 host_xss;

static __always_inline void xcr0_in(struct vcpu *vcpu)
{
	if (vcpu->arch.xcr0 != host_xcr0 && (vcpu->arch.cr4 & X86_CR4_OSXSAVE))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->arch.xcr0);
	if (vcpu->arch.msr.xss != host_xss)
		wrmsrl(MSR_IA32_XSS, vcpu->arch.msr.xss);
}

/*
 * XSETBV is intercepted, so XCR0 is what xcr0_in() left; but a host whose
 * hypervisor misses the intercept would save and restore the wrong state for
 * every thread from here on. Look: it costs one instruction.
 */
static __always_inline void xcr0_out(struct vcpu *vcpu)
{
	if ((vcpu->arch.cr4 & X86_CR4_OSXSAVE) &&
	    xgetbv(XCR_XFEATURE_ENABLED_MASK) != host_xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, host_xcr0);
	if (vcpu->arch.msr.xss != host_xss)
		wrmsrl(MSR_IA32_XSS, host_xss);
}

/*
 * PKRU is XSAVE state, but the guest runs with its own between the swaps. Two
 * ways lead to it: RDPKRU and WRPKRU, which want CR4.PKE, and XSAVE and XRSTOR,
 * which do not (SDM vol. 1, 13.1).
 */
static __always_inline bool reaches_pkru(struct vcpu *vcpu)
{
	return cpu_feature_enabled(X86_FEATURE_OSPKE) &&
	       ((vcpu->arch.cr4 & X86_CR4_PKE) || (vcpu->arch.xcr0 & XFEATURE_MASK_PKRU));
}

static void breakpoints_in(struct vcpu *vcpu)
{
	const u64 *db = vcpu->arch.guest_debug & KVM_GUESTDBG_USE_HW_BP ?
			vcpu->arch.guest_debug_db : vcpu->arch.db;

	set_debugreg(0, 7);
	set_debugreg(db[0], 0);
	set_debugreg(db[1], 1);
	set_debugreg(db[2], 2);
	set_debugreg(db[3], 3);
}

static __always_inline bool breakpoints_armed(struct vcpu *vcpu)
{
	return effective_dr7(vcpu) & DR7_ENABLES;
}

static __always_inline void guest_state_in(struct vcpu *vcpu)
{
	if (unlikely(breakpoints_armed(vcpu)))
		breakpoints_in(vcpu);
	xcr0_in(vcpu);
	if (reaches_pkru(vcpu) && vcpu->arch.pkru != vcpu->arch.host_pkru)
		wrpkru(vcpu->arch.pkru);
}

static __always_inline void guest_state_out(struct vcpu *vcpu)
{
	if (reaches_pkru(vcpu)) {
		vcpu->arch.pkru = rdpkru();
		if (vcpu->arch.pkru != vcpu->arch.host_pkru)
			wrpkru(vcpu->arch.host_pkru);
	}
	xcr0_out(vcpu);
	if (unlikely(breakpoints_armed(vcpu)) || hw_breakpoint_active())
		hw_breakpoint_restore();
}

/* --- One entry, one exit. --- */

/* Interrupts are off: is there a reason, after all, not to enter? */
static __always_inline bool must_not_enter(struct vcpu *vcpu)
{
	return READ_ONCE(vcpu->requests) || lapic_posted(vcpu) || host_work_pending();
}

/*
 * An SMI comes behind what this entry delivers: the guest is left at once, before the handler's
 * first instruction (see vcpu_kick_self()). That is no reason not to enter.
 */
static noinline bool only_smi_next(struct vcpu *vcpu)
{
	if (READ_ONCE(vcpu->requests) != BIT(VCPU_REQ_SMI_NEXT) || host_work_pending())
		return false;
	vcpu_kick_self();
	return true;
}

static void leave_guest_mode(struct vcpu *vcpu)
{
	/* What was done in the guest is seen by who sees us outside. */
	smp_wmb();
	atomic_set(&vcpu->mode, VCPU_OUTSIDE);
}

/*
 * Interrupts that arrived in the guest are taken in here, with PF_VCPU still
 * set, so that the tick counts as guest time.
 */
static __always_inline void interrupts_on(struct vcpu *vcpu)
{
	if (vendor_caps.posted_irqs)
		static_call(vendor_host_interrupt)(vcpu);
	local_irq_enable();
	local_irq_disable();
	vtime_account_guest_exit();
	local_irq_enable();
}

static __always_inline bool enter_guest(struct vcpu *vcpu)
{
	preempt_disable();
	local_irq_disable();
	atomic_set(&vcpu->mode, VCPU_IN_GUEST);
	smp_mb();	/* see enum vcpu_mode */
	if (unlikely(must_not_enter(vcpu)) && !only_smi_next(vcpu)) {
		leave_guest_mode(vcpu);
		local_irq_enable();
		preempt_enable();
		events_cancel(vcpu);
		lapic_take_posted(vcpu);
		return false;
	}
	compat_fpregs_load();
	mmu_tlb_sync(vcpu);
	guest_state_in(vcpu);
	vtime_account_guest_enter();

	static_call(vendor_enter)(vcpu);

	compat_guest_has_run();
	guest_state_out(vcpu);
	leave_guest_mode(vcpu);
	interrupts_on(vcpu);
	preempt_enable();
	return true;
}

/* Below 0 or 0: back to user space, with the run page filled. */
static int enter_once(struct vcpu *vcpu)
{
	bool entered;
	int r;

	if (unlikely(READ_ONCE(vcpu->requests))) {
		r = serve_requests(vcpu);
		if (r <= 0)
			return r;
		if (vcpu_consume(vcpu, VCPU_REQ_EVENT))
			prepare_events(vcpu);
		if (unlikely(vcpu->arch.mp_state != KVM_MP_STATE_RUNNABLE))
			return 1;
	}
	if (unlikely(vcpu->arch.pv.eoi_msr & KVM_MSR_ENABLED))
		pv_eoi_arm(vcpu);
	/* Until the exit is decoded: the thread may lose the CPU before that. */
	vcpu->arch.pv.at_boundary = false;
	entered = enter_guest(vcpu);
	if (unlikely(vcpu->arch.pv.eoi_armed))
		pv_eoi_collect(vcpu);
	if (!entered)
		return 1;
	vcpu->arch.has_run = true;
	static_call(vendor_exit_info)(vcpu);
	if (vendor_caps.pml)
		mmu_log_written(vcpu);
	vcpu->arch.pv.at_boundary = vcpu->arch.exit.reason == EXIT_NONE;
	events_requeue(vcpu);
	if (vcpu->arch.lapic && vcpu->arch.cr8 != lapic_get_tpr(vcpu))
		lapic_set_tpr(vcpu, vcpu->arch.cr8);
	return exit_dispatch(vcpu);
}

/* --- Sleeping in the kernel: HLT, or a processor that waits for its SIPI. --- */

bool arch_vcpu_runnable(struct vcpu *vcpu)
{
	if (READ_ONCE(vcpu->requests) & ~BIT(VCPU_REQ_EVENT))
		return true;
	if (lapic_has_init_sipi(vcpu))
		return true;
	switch (vcpu->arch.mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		return true;
	case KVM_MP_STATE_HALTED:
		return events_wake(vcpu);
	default:
		return false;
	}
}

/*
 * A processor that waits for its SIPI may wait for long; and a guest that polls
 * itself before it halts has said so (MSR_KVM_POLL_CONTROL).
 */
bool arch_vcpu_may_poll(struct vcpu *vcpu)
{
	return vcpu->arch.mp_state == KVM_MP_STATE_HALTED && (vcpu->arch.msr.poll_control & 1);
}

static int sleep_once(struct vcpu *vcpu)
{
	int r;

	vcpu->arch.pv.at_boundary = true;
	lapic_timer_leave_hardware(vcpu);
	vcpu_block(vcpu);
	r = serve_requests(vcpu);
	if (r <= 0)
		return r;
	if (lapic_has_init_sipi(vcpu))
		lapic_take_init_sipi(vcpu);
	if (vcpu->arch.mp_state == KVM_MP_STATE_HALTED && events_wake(vcpu)) {
		vcpu->arch.pv.unhalted = false;
		vcpu->arch.mp_state = KVM_MP_STATE_RUNNABLE;
		vcpu_request(vcpu, VCPU_REQ_EVENT);
	}
	return 1;
}

/* --- The loop, and what stands around it. --- */

static int run_loop(struct vcpu *vcpu)
{
	int r;

	for (;;) {
		r = likely(vcpu->arch.mp_state == KVM_MP_STATE_RUNNABLE) ?
			enter_once(vcpu) : sleep_once(vcpu);
		if (r <= 0)
			return r;
		/* Before a signal has its turn, as in KVM. */
		if (unlikely(user_irq_window_open(vcpu))) {
			vcpu->arch.stats.request_irq_exits++;
			vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
			return 0;
		}
		if (unlikely(host_work_pending())) {
			r = host_work_do();
			if (r)
				break;
		}
	}
	/* A signal; or work on the way to user space, from where we come again. */
	vcpu->arch.stats.signal_exits++;
	vcpu->run->exit_reason = KVM_EXIT_INTR;
	return r;
}

/* What KVM_RUN has to finish from last time, before the guest goes on. */
static int complete_last(struct vcpu *vcpu)
{
	complete_fn complete = vcpu->arch.complete;

	if (!complete)
		return 1;
	vcpu->arch.complete = NULL;
	return vcpu->arch.rip == vcpu->arch.complete_rip ? complete(vcpu) : 1;
}

static void run_page_in(struct vcpu *vcpu)
{
	if (!vcpu->arch.lapic)
		set_cr8(vcpu, vcpu->run->cr8);
	if (vcpu->run->request_interrupt_window)
		vcpu_request(vcpu, VCPU_REQ_EVENT);
}

static void run_page_out(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->if_flag = !!(vcpu->arch.rflags & X86_EFLAGS_IF);
	run->cr8 = lapic_get_tpr(vcpu);
	run->apic_base = vcpu->arch.apic_base;
	if (in_smm(vcpu))
		run->flags |= KVM_RUN_X86_SMM;
	run->ready_for_interrupt_injection = user_may_inject(vcpu);
}

static int run_synced(struct vcpu *vcpu)
{
	int r;

	run_page_in(vcpu);
	fpu_enter(vcpu);
	/* What is half done is finished even if the guest shall not run on. */
	r = complete_last(vcpu);
	if (r > 0) {
		/* The exit reason stays last time's: user space may not be done. */
		if (compat_immediate_exit(vcpu->run)) {
			r = -EINTR;
		} else {
			vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
			r = run_loop(vcpu);
		}
	}
	fpu_leave(vcpu);
	return r;
}

/**
 * arch_vcpu_run() - KVM_RUN
 * @vcpu: the vCPU, locked and loaded
 *
 * The run page is filled in whatever becomes of it, as by KVM.
 *
 * Return: 0 with run->exit_reason set, or an errno: -EINTR for a signal or
 * immediate_exit, -EFAULT for memory that user space does not have, -EINVAL for
 * registers in the run page that can't be.
 */
int arch_vcpu_run(struct vcpu *vcpu)
{
	int r;

	vcpu->run->flags = 0;
	r = state_sync_in(vcpu);
	if (!r)
		r = run_synced(vcpu);
	run_page_out(vcpu);
	state_sync_out(vcpu);
	return r;
}

/* --- Binding to a CPU. --- */

static bool has_tsc_aux(void)
{
	return boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID);
}

/*
 * Of the host only user space reads TSC_AUX, so the guest's value may stay from
 * load to put. (That the kernel does without RDPID is for hypervisors' sake: see
 * arch/x86/entry/calling.h.)
 */
static void tsc_aux_load(struct vcpu *vcpu)
{
	if (!has_tsc_aux())
		return;
	rdmsrl(MSR_TSC_AUX, vcpu->arch.host_tsc_aux);
	if (vcpu->arch.msr.tsc_aux != vcpu->arch.host_tsc_aux)
		wrmsrl(MSR_TSC_AUX, vcpu->arch.msr.tsc_aux);
}

/**
 * tsc_aux_set() - the guest's TSC_AUX, in its place and in the hardware
 * @vcpu:	the vCPU, loaded
 * @value:	checked by the caller
 */
void tsc_aux_set(struct vcpu *vcpu, u64 value)
{
	preempt_disable();
	vcpu->arch.msr.tsc_aux = value;
	wrmsrl(MSR_TSC_AUX, value);
	preempt_enable();
}

static void tsc_aux_put(struct vcpu *vcpu)
{
	if (has_tsc_aux() && vcpu->arch.msr.tsc_aux != vcpu->arch.host_tsc_aux)
		wrmsrl(MSR_TSC_AUX, vcpu->arch.host_tsc_aux);
}

void arch_vcpu_load(struct vcpu *vcpu, int cpu)
{
	if (vcpu->cpu != cpu)
		lapic_timer_migrate(vcpu);
	WRITE_ONCE(vcpu->cpu, cpu);
	static_call(vendor_load)(vcpu, cpu);
	tsc_aux_load(vcpu);
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		vcpu->arch.host_pkru = rdpkru();
	clock_vcpu_load(vcpu, cpu);
	if (vcpu->arch.pv.steal_time_msr & KVM_MSR_ENABLED)
		vcpu_request(vcpu, VCPU_REQ_STEAL);
}

void arch_vcpu_put(struct vcpu *vcpu)
{
	if (vcpu->arch.pv.steal_time_msr & KVM_MSR_ENABLED)
		clock_steal_preempted(vcpu);
	clock_vcpu_put(vcpu);
	tsc_aux_put(vcpu);
	static_call(vendor_put)(vcpu);
}

/**
 * run_init() - what the host runs with, read once at load
 */
void run_init(void)
{
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, host_xss);
}
