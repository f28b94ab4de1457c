/* SPDX-License-Identifier: GPL-2.0 */
/* What the irqchips call of the core: each is in the test. */
#ifndef MINIKVM_UNIT_IRQ_X86_H
#define MINIKVM_UNIT_IRQ_X86_H

#include <minikvm/vcpu.h>

enum seg { SEG_CS };
enum { X86_FEATURE_X2APIC, X86_FEATURE_TSC_DEADLINE_TIMER };

#define static_call(verb)	verb
#define rdtsc()			((u64)unit_now)
#define host_tsc_khz		((u32)1000000)
#define TIMER_OFF		(~0ull)

/* Hardware that helps with nothing. */
static const struct { bool apic_hardware, posted_irqs; } vendor_caps;

void vendor_get_segment(struct vcpu *vcpu, enum seg seg, struct kvm_segment *s);
void vendor_set_segment(struct vcpu *vcpu, enum seg seg, const struct kvm_segment *s);

static inline bool vendor_set_timer(struct vcpu *vcpu, u64 host_tsc)
{
	return false;
}

static inline void vendor_apic_hardware(struct vcpu *vcpu, void *page, bool on)
{
}

static inline void vendor_apic_notify(int cpu)
{
}

static inline void vendor_apic_irqs(struct vcpu *vcpu, u8 pending, u8 in_service)
{
}

static inline void vendor_apic_eoi_exits(struct vcpu *vcpu, const u64 *vectors)
{
}

static inline u64 tsc_host_cycles(struct vcpu *vcpu, u64 cycles)
{
	return cycles;
}

/* Nobody is in SMM. */
static inline bool in_smm(const struct vcpu *vcpu)
{
	return false;
}

void queue_nmi(struct vcpu *vcpu);
void vcpu_reset(struct vcpu *vcpu, bool init);
void cpuid_runtime(struct vcpu *vcpu);
bool guest_has(struct vcpu *vcpu, unsigned int feature);
u64 tsc_guest(struct vcpu *vcpu, u64 host_tsc);

#endif
