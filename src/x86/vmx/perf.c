// SPDX-License-Identifier: GPL-2.0
/*
 * The host's performance counters, which go on in a guest (SDM vol. 3, ch. 20) unless they are
 * told not to: those that count the host alone, and those with PEBS, whose records go to a
 * linear address of the host's and would be written into the guest's memory, or fault there.
 *
 * Both must change with the guest's entry and exit themselves, for an NMI of a counter may come
 * at any time before and after: the VMCS's lists of MSRs do that (24.7.2, 24.8.2).
 */
#include <asm/msr.h>
#include "compat/perf.h"
#include "x86/vmx/vmx.h"

/* IA32_PERF_GLOBAL_CTRL and IA32_PEBS_ENABLE; without the former (in a VM), each counter's own. */
#define PERF_MSRS	16

/* One page: what the guest has, and then what the host has. */
struct perf_lists {
	struct vmx_msr_entry guest[PERF_MSRS], host[PERF_MSRS];
};
static_assert(sizeof(struct perf_lists) <= PAGE_SIZE);
static_assert(sizeof(struct vmx_msr_entry) == 16);

/**
 * vmx_perf_reset() - the VMCS is new
 * @vmx: the vCPU, loaded
 */
void vmx_perf_reset(struct vmx_vcpu *vmx)
{
	struct perf_lists *lists = vmx->perf_lists;

	vmcs_write(VM_ENTRY_MSR_LOAD_ADDR, __pa(lists->guest));
	vmcs_write(VM_EXIT_MSR_LOAD_ADDR, __pa(lists->host));
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmx->perf_msrs = 0;
}

static void put_msr(struct vmx_msr_entry *entry, u32 index, u64 value)
{
	*entry = (struct vmx_msr_entry){ .index = index, .value = value };
}

/*
 * A record may still be on its way when PEBS goes off, and needs a moment that an entry does not
 * give it. Should an NMI set it again, the list has it off in the guest all the same.
 */
static void stop_pebs(const struct perf_guest_switch_msr *msr)
{
	if (msr->msr == MSR_IA32_PEBS_ENABLE)
		wrmsrl(msr->msr, 0);
}

/**
 * vmx_perf_write() - what the coming entry is to switch
 * @vmx: the vCPU, loaded; interrupts off
 */
void vmx_perf_write(struct vmx_vcpu *vmx)
{
	struct perf_lists *lists = vmx->perf_lists;
	const struct perf_guest_switch_msr *msrs;
	unsigned int used = 0;
	int i, n;

	msrs = compat_perf_msrs(&n);
	for (i = 0; msrs && i < n && used < PERF_MSRS; i++) {
		if (msrs[i].guest == msrs[i].host)
			continue;
		put_msr(&lists->guest[used], msrs[i].msr, msrs[i].guest);
		put_msr(&lists->host[used], msrs[i].msr, msrs[i].host);
		used++;
		stop_pebs(&msrs[i]);
	}
	if (likely(used == vmx->perf_msrs))
		return;
	vmx->perf_msrs = used;
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, used);
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, used);
}
