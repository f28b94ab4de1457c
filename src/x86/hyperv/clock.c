// SPDX-License-Identifier: GPL-2.0
/*
 * Reference time: what a guest reads of Hyper-V's clock, by an MSR or out of a page that says
 * how to make it of the TSC (TLFS, "Timers": partition reference time).
 *
 * It is kvmclock in units of 100 ns. The page is made from the master clock and is valid while
 * that is; when there is a new one (VCPU_REQ_CLOCK), the first vCPU that comes to enter the
 * guest writes the page anew. The page's sequence is 0 while it is not valid: the guest asks the
 * MSR then. While it is valid the MSR says the same as the page, to the tick.
 */
#include <linux/math64.h>
#include <asm/pvclock-abi.h>
#include <minikvm/guest_memory.h>
#include "x86/hyperv/state.h"

static gpa_t page_gpa(const struct hv_tsc_page *page)
{
	return page->msr & PAGE_MASK;
}

/*
 * A guest that has asked for the emulation of its TSC after a migration expects the page as it
 * is until it says otherwise. The TSC is scaled where it has to be, so that the page stays true.
 */
static bool frozen(const struct hv_vm *hv)
{
	return READ_ONCE(hv->tsc_emulation_control) && hv->tsc_page.state != TSC_PAGE_GUEST;
}

static bool up_to_date(struct vm *vm, const struct hv_vm *hv)
{
	return hv->tsc_page.state == TSC_PAGE_VALID &&
	       (frozen(hv) || hv->tsc_page.generation == READ_ONCE(vm->arch.master.generation));
}

/**
 * hv_time_ref() - reference time now
 * @hv:	the vCPU that wants to know
 *
 * Timers are armed by it, so it takes no lock.
 *
 * Context: does not sleep. Return: units of 100 ns.
 */
u64 hv_time_ref(struct hv_vcpu *hv)
{
	const struct hv_vm *vm = hv->vm;
	u64 scale, offset;
	unsigned int seq;
	bool by_page;

	do {
		seq = read_seqcount_begin(&vm->tsc_seq);
		by_page = up_to_date(hv->vcpu->vm, vm);
		scale = vm->tsc_page.scale;
		offset = vm->tsc_page.offset;
	} while (read_seqcount_retry(&vm->tsc_seq, seq));
	if (!by_page)
		return div_u64(clock_kvmclock_ns(hv->vcpu->vm), 100);
	return mul_u64_u64_shr(tsc_guest(hv->vcpu, rdtsc()), scale, 64) + offset;
}

/* hv_vm.lock is held. */
static void publish(struct hv_vm *hv, const struct hv_tsc_page *page)
{
	write_seqcount_begin(&hv->tsc_seq);
	hv->tsc_page = *page;
	write_seqcount_end(&hv->tsc_seq);
}

/*
 * kvmclock:	ns       = ((tsc - timestamp) << shift) * mul / 2^32 + system_time
 * the page:	ns / 100 = tsc * scale / 2^64 + offset
 *
 * The two agree if scale is mul * 2^(32 + shift) / 100, and offset what is missing at timestamp.
 * False: the scale has no room in 64 bits.
 */
static bool convert(const struct pvclock_vcpu_time_info *info, struct hv_tsc_page *page)
{
	if (info->tsc_to_system_mul >= 100ull << (32 - info->tsc_shift))
		return false;
	page->scale = mul_u64_u32_div(1ull << (32 + info->tsc_shift), info->tsc_to_system_mul, 100);
	page->offset = div_u64(info->system_time, 100) -
		       mul_u64_u64_shr(info->tsc_timestamp, page->scale, 64);
	return true;
}

static int write_sequence(struct vcpu *vcpu, const struct hv_tsc_page *page, u32 sequence)
{
	/* What is in the page before this is seen by who sees it, and what comes after is not. */
	smp_wmb();
	if (guest_write(vcpu, SPACE_MAIN, page_gpa(page), &sequence, sizeof(sequence)))
		return -EFAULT;
	smp_wmb();
	return 0;
}

/* All but the sequence, which is 0. */
static int write_body(struct vcpu *vcpu, const struct hv_tsc_page *page)
{
	const struct ms_hyperv_tsc_page body = {
		.tsc_scale = page->scale, .tsc_offset = page->offset,
	};

	return guest_write(vcpu, SPACE_MAIN, page_gpa(page), &body, sizeof(body));
}

/* Neither of these two is a sequence (TLFS, "Partition Reference TSC Mechanism"). */
static u32 next_sequence(u32 sequence)
{
	return ++sequence == 0 || sequence == U32_MAX ? 1 : sequence;
}

static int make_page(struct vcpu *vcpu, struct hv_vm *hv, u32 sequence)
{
	struct hv_tsc_page page = hv->tsc_page;
	struct pvclock_vcpu_time_info info;
	u64 generation;

	if (write_sequence(vcpu, &page, 0))
		return -EFAULT;
	/* Without a master clock the page waits for one. */
	if (!clock_info(vcpu, &info, &generation) || !convert(&info, &page)) {
		if (page.state != TSC_PAGE_GUEST)
			page.state = TSC_PAGE_HOST;
		publish(hv, &page);
		return 0;
	}
	if (write_body(vcpu, &page))
		return -EFAULT;
	page.generation = generation;
	page.state = TSC_PAGE_VALID;
	/* First, so that who reads the page and then the MSR reads the same clock. */
	publish(hv, &page);
	return write_sequence(vcpu, &page, next_sequence(sequence));
}

/* A page that came with the guest's memory, and is to stay. */
static int take_page(struct vcpu *vcpu, struct hv_vm *hv)
{
	struct hv_tsc_page page = hv->tsc_page;
	struct ms_hyperv_tsc_page body;

	if (guest_read(vcpu->vm, SPACE_MAIN, page_gpa(&page), &body, sizeof(body)))
		return -EFAULT;
	page.scale = body.tsc_scale;
	page.offset = body.tsc_offset;
	page.state = TSC_PAGE_VALID;
	publish(hv, &page);
	return 0;
}

static int renew_page(struct vcpu *vcpu, struct hv_vm *hv)
{
	u32 sequence;

	if (guest_read(vcpu->vm, SPACE_MAIN, page_gpa(&hv->tsc_page), &sequence, sizeof(sequence)))
		return -EFAULT;
	return sequence && frozen(hv) ? take_page(vcpu, hv) : make_page(vcpu, hv, sequence);
}

static void set_state(struct hv_vm *hv, u64 msr, enum hv_tsc_page_state state)
{
	struct hv_tsc_page page = hv->tsc_page;

	page.msr = msr;
	page.state = state;
	publish(hv, &page);
}

/**
 * hv_tsc_page_update() - VCPU_REQ_CLOCK: write the TSC page, if that is due
 * @vcpu: the vCPU, in its own thread, outside the guest; its VM has a struct hv_vm
 *
 * Context: may sleep.
 */
void hv_tsc_page_update(struct vcpu *vcpu)
{
	struct hv_vm *hv = smp_load_acquire(&vcpu->vm->arch.hv);
	int idx = srcu_read_lock(&vcpu->vm->srcu);

	mutex_lock(&hv->lock);
	if (hv->tsc_page.state != TSC_PAGE_OFF && hv->tsc_page.state != TSC_PAGE_BROKEN &&
	    !up_to_date(vcpu->vm, hv) && renew_page(vcpu, hv))
		set_state(hv, hv->tsc_page.msr, TSC_PAGE_BROKEN);
	mutex_unlock(&hv->lock);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

/**
 * hv_tsc_page_set() - WRMSR to HV_X64_MSR_REFERENCE_TSC
 * @hv:		the vCPU
 * @value:	where the page is, and whether
 * @host:	user space restores it
 *
 * Context: hv_vm.lock held. The page is written before the guest goes on.
 */
void hv_tsc_page_set(struct hv_vcpu *hv, u64 value, bool host)
{
	if (!(value & HV_X64_MSR_TSC_REFERENCE_ENABLE)) {
		set_state(hv->vm, value, TSC_PAGE_OFF);
		return;
	}
	set_state(hv->vm, value, host ? TSC_PAGE_HOST : TSC_PAGE_GUEST);
	clock_renew(hv->vcpu->vm);
}
