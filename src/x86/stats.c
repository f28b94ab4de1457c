// SPDX-License-Identifier: GPL-2.0
/*
 * The statistics of KVM_GET_STATS_FD: by KVM's names where KVM counts the same
 * thing, so that tools know them. What the MMU counts is in debugfs as well.
 */
#include <minikvm/stats.h>
#include <minikvm/vcpu.h>
#include "x86/mmu/tdp.h"

#define COUNTER(field)	STAT_COUNTER(#field, offsetof(struct vcpu, arch.stats.field))
#define BY_REASON(name, reason) \
	STAT_COUNTER(name, offsetof(struct vcpu, arch.stats.by_reason[reason]))

static const struct stat_row vcpu_rows[] = {
	STAT_COUNTER("halt_attempted_poll", offsetof(struct vcpu, stats.halt_attempted_poll)),
	STAT_COUNTER("halt_successful_poll", offsetof(struct vcpu, stats.halt_successful_poll)),
	STAT_NANOSECONDS("halt_poll_success_ns", offsetof(struct vcpu, stats.halt_poll_success_ns)),
	STAT_NANOSECONDS("halt_poll_fail_ns", offsetof(struct vcpu, stats.halt_poll_fail_ns)),
	STAT_COUNTER("halt_wakeup",	offsetof(struct vcpu, stats.halt_wakeup)),
	STAT_NANOSECONDS("halt_wait_ns", offsetof(struct vcpu, stats.halt_wait_ns)),
	STAT_IS_NOW("blocking",		offsetof(struct vcpu, stats.blocking)),
	COUNTER(exits),
	BY_REASON("io_exits",		EXIT_IO),
	BY_REASON("halt_exits",		EXIT_HLT),
	BY_REASON("hypercalls",		EXIT_HYPERCALL),
	BY_REASON("irq_exits",		EXIT_NONE),
	BY_REASON("irq_window_exits",	EXIT_IRQ_WINDOW),
	BY_REASON("nmi_window_exits",	EXIT_NMI_WINDOW),
	BY_REASON("pf_taken",		EXIT_NPF),
	BY_REASON("invlpg",		EXIT_INVLPG),
	BY_REASON("cpuid_exits",	EXIT_CPUID),
	BY_REASON("msr_read_exits",	EXIT_MSR_READ),
	BY_REASON("msr_write_exits",	EXIT_MSR_WRITE),
	BY_REASON("cr_exits",		EXIT_CR_ACCESS),
	BY_REASON("exception_exits",	EXIT_EXCEPTION),
	BY_REASON("pause_exits",	EXIT_PAUSE),
	BY_REASON("timer_exits",	EXIT_TIMER),
	BY_REASON("eoi_exits",		EXIT_EOI),
	COUNTER(mmio_exits),
	COUNTER(signal_exits),
	COUNTER(request_irq_exits),
	COUNTER(insn_emulation),
	COUNTER(insn_emulation_fail),
	COUNTER(irq_injections),
	COUNTER(nmi_injections),
	COUNTER(tlb_flush),
	COUNTER(directed_yield_attempted),
	COUNTER(directed_yield_successful),
};

const struct stat_table arch_vcpu_stats = { vcpu_rows, ARRAY_SIZE(vcpu_rows) };

#define MMU(name, stat)	STAT_COUNTER(name, offsetof(struct mmu, stats[MMU_STAT_##stat]))

static const struct stat_row vm_rows[] = {
	MMU("remote_tlb_flush",		flushes),
	MMU("mmu_faults",		faults),
	MMU("mmu_fast_fixes",		fast_fixes),
	MMU("mmu_mapped_4k",		mapped_4k),
	MMU("mmu_mapped_2m",		mapped_2m),
	MMU("mmu_mapped_1g",		mapped_1g),
	MMU("mmu_splits",		splits),
	MMU("mmu_zapped",		zapped),
	MMU("mmu_collapsed",		collapsed),
};

const struct stat_table arch_vm_stats = { vm_rows, ARRAY_SIZE(vm_rows) };

/* The counters of a VM are its MMU's, and an atomic64_t is its value. */
static_assert(sizeof(atomic64_t) == sizeof(u64));

/**
 * arch_vm_stats_base() - what the offsets of arch_vm_stats are in
 * @vm:	the VM
 *
 * Context: any. Return: its MMU, whose life is the VM's.
 */
const void *arch_vm_stats_base(struct vm *vm)
{
	return vm->arch.mmu;
}
