// SPDX-License-Identifier: GPL-2.0
/*
 * Hyper-V's MSRs (TLFS, appendix "Hypervisor Synthetic MSRs"): one table says of each which right
 * it takes, whether it is the VM's or the vCPU's, and where its value lives. The rows of x86's own
 * table (x86/msr.c) lead here.
 *
 * A guest has them if its CPUID has the interface. User space has them always, and what it reads
 * it can write back.
 */
#include <linux/nospec.h>
#include <linux/sched/cputime.h>
#include <asm/apicdef.h>
#include <minikvm/guest_memory.h>
#include "x86/hyperv/state.h"
#include "x86/irq/lapic.h"

/* The LAPIC timer counts nanoseconds, before its divider: irq/lapic_timer.c. */
#define APIC_TIMER_HZ	1000000000ull

struct access {
	struct hv_vcpu *hv;
	u32 msr;
	bool host;
};

struct row {
	u32 first, last;
	struct hv_right right;
	bool vm;			/* the whole VM's: under its lock */
	u16 home;			/* into struct hv_vm, u64s; NO_HOME: none */
	int (*get)(const struct access *a, u64 *value);
	int (*set)(const struct access *a, u64 value);
};

#define NO_HOME		0xffff

/* --- Who the guest is, and its hypercall page. --- */

/* Without an identity there are no hypercalls (TLFS, "Establishing the Hypercall Interface"). */
static int set_guest_os_id(const struct access *a, u64 value)
{
	struct hv_vm *vm = a->hv->vm;

	WRITE_ONCE(vm->guest_os_id, value);
	if (!value)
		vm->hypercall &= ~(u64)HV_X64_MSR_HYPERCALL_ENABLE;
	return 0;
}

/* VMCALL or VMMCALL, and RET */
static int write_hypercall_page(struct vcpu *vcpu, gpa_t gpa)
{
	u8 code[4];

	static_call(vendor_hypercall_insn)(code);
	code[3] = 0xc3;
	return guest_write(vcpu, SPACE_MAIN, gpa, code, sizeof(code));
}

static int set_hypercall(const struct access *a, u64 value)
{
	struct hv_vm *vm = a->hv->vm;

	if (!vm->guest_os_id)
		return 0;
	if ((value & HV_X64_MSR_HYPERCALL_ENABLE) &&
	    write_hypercall_page(a->hv->vcpu, value & HV_X64_MSR_HYPERCALL_PAGE_ADDRESS_MASK))
		return 1;
	vm->hypercall = value;
	return 0;
}

static int get_vp_index(const struct access *a, u64 *value)
{
	*value = a->hv->vp_index;
	return 0;
}

static int set_vp_index(const struct access *a, u64 value)
{
	if (!a->host || value >= VCPUS_MAX)
		return 1;
	WRITE_ONCE(a->hv->vp_index, value);
	return 0;
}

static int get_zero(const struct access *a, u64 *value)
{
	*value = 0;
	return 0;
}

static int set_reset(const struct access *a, u64 value)
{
	if (value == 1 && !a->host)
		hv_owe_exit(a->hv, HV_EXIT_RESET);
	return 0;
}

/* What user space has us offer is what the guest reads; its own write is a cry. */
static int set_crash_ctl(const struct access *a, u64 value)
{
	if (a->host)
		a->hv->vm->crash_ctl = value & HV_CRASH_CTL_CRASH_NOTIFY;
	else if (value & HV_CRASH_CTL_CRASH_NOTIFY)
		hv_owe_exit(a->hv, HV_EXIT_CRASH);
	return 0;
}

/* --- Time. --- */

/* User space may write back what it has read of these; it is ours to say all the same. */
static int set_read_only(const struct access *a, u64 value)
{
	return !a->host;
}

static u64 thread_runtime(void)
{
	u64 user, system;

	task_cputime_adjusted(current, &user, &system);
	return div_u64(user + system, 100);
}

static int get_runtime(const struct access *a, u64 *value)
{
	*value = thread_runtime() + a->hv->runtime_offset;
	return 0;
}

static int set_runtime(const struct access *a, u64 value)
{
	if (!a->host)
		return 1;
	a->hv->runtime_offset = value - thread_runtime();
	return 0;
}

static int get_time_ref(const struct access *a, u64 *value)
{
	*value = hv_time_ref(a->hv);
	return 0;
}

static int set_tsc_page(const struct access *a, u64 value)
{
	hv_tsc_page_set(a->hv, value, a->host);
	return 0;
}

static int get_tsc_frequency(const struct access *a, u64 *value)
{
	*value = (u64)a->hv->vcpu->arch.tsc.khz * 1000;
	return 0;
}

static int get_apic_frequency(const struct access *a, u64 *value)
{
	*value = APIC_TIMER_HZ;
	return 0;
}

/* The TSC page that was kept for the guest's sake is due, once it needs that no more. */
static int set_emulation_control(const struct access *a, u64 value)
{
	WRITE_ONCE(a->hv->vm->tsc_emulation_control, value);
	vcpu_request(a->hv->vcpu, VCPU_REQ_CLOCK);
	return 0;
}

static int set_emulation_status(const struct access *a, u64 value)
{
	if (value && !a->host)
		return 1;
	a->hv->vm->tsc_emulation_status = value;
	return 0;
}

/* --- The LAPIC's registers, and the assist page that saves EOIs. --- */

static unsigned int apic_offset(u32 msr)
{
	switch (msr) {
	case HV_X64_MSR_EOI:
		return APIC_EOI;
	case HV_X64_MSR_ICR:
		return APIC_ICR;
	default:
		return APIC_TASKPRI;
	}
}

static int get_apic(const struct access *a, u64 *value)
{
	return lapic_msr_read(a->hv->vcpu, apic_offset(a->msr), value);
}

static int set_apic(const struct access *a, u64 value)
{
	return lapic_msr_write(a->hv->vcpu, apic_offset(a->msr), value);
}

static int get_assist_page(const struct access *a, u64 *value)
{
	*value = a->hv->assist_page;
	return 0;
}

/*
 * Its first word is the bit that pv_eoi.c knows, which begins as 0; what is behind it may be the
 * guest's already, after a migration.
 */
static int set_assist_page(const struct access *a, u64 value)
{
	gpa_t gpa = value & HV_X64_MSR_VP_ASSIST_PAGE_ADDRESS_MASK;
	const u32 none = 0;

	if (value & HV_X64_MSR_VP_ASSIST_PAGE_ENABLE) {
		if (guest_write(a->hv->vcpu, SPACE_MAIN, gpa, &none, sizeof(none)) ||
		    pv_eoi_set(a->hv->vcpu, gpa | KVM_MSR_ENABLED))
			return 1;
	} else if (pv_eoi_set(a->hv->vcpu, 0)) {
		return 1;
	}
	a->hv->assist_page = value;
	return 0;
}

/* --- The synthetic interrupt controller and timers. --- */

static int get_synic(const struct access *a, u64 *value)
{
	return hv_synic_get(a->hv, a->msr, value, a->host);
}

static int set_synic(const struct access *a, u64 value)
{
	return hv_synic_set(a->hv, a->msr, value, a->host);
}

static int get_stimer(const struct access *a, u64 *value)
{
	return hv_stimer_get(a->hv, a->msr, value, a->host);
}

static int set_stimer(const struct access *a, u64 value)
{
	return hv_stimer_set(a->hv, a->msr, value, a->host);
}

/* --- The synthetic debugger: user space's, which is told of the two that start something. --- */

static bool syndbg_allowed(const struct access *a)
{
	return a->host || hv_says(a->hv, HV_SYNDBG_EAX, HV_SYNDBG_ALLOW_DEBUGGING);
}

static u64 *syndbg_home(const struct access *a)
{
	u32 i;

	if (a->msr == HV_MSR_SYNDBG_OPTIONS)
		return &a->hv->vm->syndbg_options;
	i = a->msr - HV_MSR_SYNDBG_CONTROL;
	return &a->hv->vm->syndbg.control + array_index_nospec(i, 5);
}

static int get_syndbg(const struct access *a, u64 *value)
{
	if (!syndbg_allowed(a))
		return 1;
	*value = *syndbg_home(a);
	return 0;
}

static void owe_syndbg_exit(const struct access *a)
{
	struct hv_vm *vm = a->hv->vm;

	a->hv->exit = (struct kvm_hyperv_exit){
		.type = KVM_EXIT_HYPERV_SYNDBG,
		.u.syndbg = {
			.msr = a->msr,
			.control = vm->syndbg.control,
			.status = vm->syndbg.status,
			.send_page = vm->syndbg.send_page,
			.recv_page = vm->syndbg.recv_page,
			.pending_page = vm->syndbg.pending_page,
		},
	};
	hv_owe_exit(a->hv, HV_EXIT_HYPERV);
}

static int set_syndbg(const struct access *a, u64 value)
{
	if (!syndbg_allowed(a))
		return 1;
	*syndbg_home(a) = value;
	if (!a->host && (a->msr == HV_MSR_SYNDBG_CONTROL ||
			 a->msr == HV_MSR_SYNDBG_PENDING_BUFFER))
		owe_syndbg_exit(a);
	return 0;
}

/* --- The table. --- */

#define ONE(i)		.first = (i), .last = (i)
#define RANGE(i, j)	.first = (i), .last = (j)
#define EAX(bit)	.right = { HV_FEATURES_EAX, HV_##bit }
#define EDX(bit)	.right = { HV_FEATURES_EDX, HV_FEATURE_##bit }
#define IN(member)	.vm = true, .home = offsetof(struct hv_vm, member)
#define OF_VM(g, s)	.vm = true, .home = NO_HOME, .get = (g), .set = (s)
#define OF_VCPU(g, s)	.home = NO_HOME, .get = (g), .set = (s)

static const struct row rows[] = {
	{ ONE(HV_X64_MSR_GUEST_OS_ID), EAX(MSR_HYPERCALL_AVAILABLE), IN(guest_os_id),
	  .set = set_guest_os_id },
	{ ONE(HV_X64_MSR_HYPERCALL), EAX(MSR_HYPERCALL_AVAILABLE), IN(hypercall),
	  .set = set_hypercall },
	{ ONE(HV_X64_MSR_VP_INDEX), EAX(MSR_VP_INDEX_AVAILABLE),
	  OF_VCPU(get_vp_index, set_vp_index) },
	{ ONE(HV_X64_MSR_RESET), EAX(MSR_RESET_AVAILABLE), OF_VM(get_zero, set_reset) },
	{ ONE(HV_X64_MSR_VP_RUNTIME), EAX(MSR_VP_RUNTIME_AVAILABLE),
	  OF_VCPU(get_runtime, set_runtime) },
	{ ONE(HV_X64_MSR_TIME_REF_COUNT), EAX(MSR_TIME_REF_COUNT_AVAILABLE),
	  OF_VCPU(get_time_ref, set_read_only) },
	{ ONE(HV_X64_MSR_REFERENCE_TSC), EAX(MSR_REFERENCE_TSC_AVAILABLE), IN(tsc_page.msr),
	  .set = set_tsc_page },
	{ ONE(HV_X64_MSR_TSC_FREQUENCY), EAX(ACCESS_FREQUENCY_MSRS),
	  OF_VCPU(get_tsc_frequency, set_read_only) },
	{ ONE(HV_X64_MSR_APIC_FREQUENCY), EAX(ACCESS_FREQUENCY_MSRS),
	  OF_VCPU(get_apic_frequency, set_read_only) },
	{ RANGE(HV_X64_MSR_EOI, HV_X64_MSR_TPR), EAX(MSR_APIC_ACCESS_AVAILABLE),
	  OF_VCPU(get_apic, set_apic) },
	{ ONE(HV_X64_MSR_VP_ASSIST_PAGE), EAX(MSR_APIC_ACCESS_AVAILABLE),
	  OF_VCPU(get_assist_page, set_assist_page) },
	{ RANGE(HV_X64_MSR_SCONTROL, HV_X64_MSR_EOM), EAX(MSR_SYNIC_AVAILABLE),
	  OF_VCPU(get_synic, set_synic) },
	{ RANGE(HV_X64_MSR_SINT0, HV_X64_MSR_SINT15), EAX(MSR_SYNIC_AVAILABLE),
	  OF_VCPU(get_synic, set_synic) },
	{ RANGE(HV_X64_MSR_STIMER0_CONFIG, HV_X64_MSR_STIMER3_COUNT), EAX(MSR_SYNTIMER_AVAILABLE),
	  OF_VCPU(get_stimer, set_stimer) },
	{ RANGE(HV_MSR_SYNDBG_CONTROL, HV_MSR_SYNDBG_PENDING_BUFFER), EDX(DEBUG_MSRS_AVAILABLE),
	  OF_VM(get_syndbg, set_syndbg) },
	{ ONE(HV_MSR_SYNDBG_OPTIONS), EDX(DEBUG_MSRS_AVAILABLE), OF_VM(get_syndbg, set_syndbg) },
	{ RANGE(HV_X64_MSR_CRASH_P0, HV_X64_MSR_CRASH_P4), EDX(GUEST_CRASH_MSR_AVAILABLE),
	  IN(crash_param) },
	{ ONE(HV_X64_MSR_CRASH_CTL), EDX(GUEST_CRASH_MSR_AVAILABLE), IN(crash_ctl),
	  .set = set_crash_ctl },
	{ ONE(HV_X64_MSR_REENLIGHTENMENT_CONTROL), EAX(ACCESS_REENLIGHTENMENT),
	  IN(reenlightenment_control) },
	{ ONE(HV_X64_MSR_TSC_EMULATION_CONTROL), EAX(ACCESS_REENLIGHTENMENT),
	  IN(tsc_emulation_control), .set = set_emulation_control },
	{ ONE(HV_X64_MSR_TSC_EMULATION_STATUS), EAX(ACCESS_REENLIGHTENMENT),
	  IN(tsc_emulation_status), .set = set_emulation_status },
};

static const struct row *find(u32 msr)
{
	const struct row *row;

	for (row = rows; row < rows + ARRAY_SIZE(rows); row++)
		if (msr >= row->first && msr <= row->last)
			return row;
	return NULL;
}

static u64 *home(const struct row *row, const struct access *a)
{
	u32 i = array_index_nospec(a->msr - row->first, row->last - row->first + 1);

	return (void *)a->hv->vm + row->home + i * sizeof(u64);
}

static int get(const struct row *row, const struct access *a, u64 *value)
{
	if (row->get)
		return row->get(a, value);
	*value = *home(row, a);
	return 0;
}

static int set(const struct row *row, const struct access *a, u64 value)
{
	if (row->set)
		return row->set(a, value);
	*home(row, a) = value;
	return 0;
}

/* Whose state, and which row? NULL: the guest has no such MSR, or there is no memory. */
static const struct row *prepare(struct vcpu *vcpu, struct access *a)
{
	const struct row *row = find(a->msr);

	a->hv = a->host ? hv_vcpu_get(vcpu) : vcpu->arch.hv;
	if (!a->hv || !row)
		return NULL;
	return a->host || (a->hv->enabled && hv_may(a->hv, &row->right)) ? row : NULL;
}

/**
 * hv_msr_get() - read one of Hyper-V's MSRs
 * @vcpu:	the vCPU, loaded
 * @msr:	which
 * @value:	where the value goes
 * @host:	user space asks
 *
 * Context: the vCPU's thread, vm->srcu held; may sleep. Return: 0, or 1 for #GP.
 */
int hv_msr_get(struct vcpu *vcpu, u32 msr, u64 *value, bool host)
{
	struct access a = { .msr = msr, .host = host };
	const struct row *row = prepare(vcpu, &a);
	int r;

	if (!row)
		return 1;
	if (!row->vm)
		return get(row, &a, value);
	mutex_lock(&a.hv->vm->lock);
	r = get(row, &a, value);
	mutex_unlock(&a.hv->vm->lock);
	return r;
}

/**
 * hv_msr_set() - write one of Hyper-V's MSRs
 * @vcpu:	the vCPU, loaded
 * @msr:	which
 * @value:	the new value
 * @host:	user space asks, who causes no exits, and may write what is read-only
 *
 * Context: as hv_msr_get(). Return: 0, or 1 for #GP, with nothing changed.
 */
int hv_msr_set(struct vcpu *vcpu, u32 msr, u64 value, bool host)
{
	struct access a = { .msr = msr, .host = host };
	const struct row *row = prepare(vcpu, &a);
	int r;

	if (!row)
		return 1;
	if (!row->vm)
		return set(row, &a, value);
	mutex_lock(&a.hv->vm->lock);
	r = set(row, &a, value);
	mutex_unlock(&a.hv->vm->lock);
	return r;
}
