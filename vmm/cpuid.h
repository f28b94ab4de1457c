/* SPDX-License-Identifier: GPL-2.0 */
/*
 * CPUID for a vCPU: what the device supports, with the vCPU's own identity and
 * the guest's topology (one socket, one thread a core). Pure.
 */
#ifndef MINIVMM_CPUID_H
#define MINIVMM_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>

/**
 * cpuid_personalize - make supported CPUID leaves those of one vCPU
 * @cpuid: KVM_GET_SUPPORTED_CPUID's answer, changed in place
 * @apic_id: the vCPU's
 * @cpus: in the guest
 * @tsc_deadline: the device's LAPIC timer has that mode
 */
void cpuid_personalize(struct kvm_cpuid2 *cpuid, unsigned int apic_id, unsigned int cpus,
		       bool tsc_deadline);

#endif
