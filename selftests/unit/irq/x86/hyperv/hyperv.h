/* SPDX-License-Identifier: GPL-2.0 */
/* What the irqchips ask of the Hyper-V interface: here it is not in use. */
#ifndef MINIKVM_UNIT_IRQ_HYPERV_H
#define MINIKVM_UNIT_IRQ_HYPERV_H

#include <minikvm/vcpu.h>

static inline bool hv_auto_eoi(struct vcpu *vcpu, unsigned int vector)
{
	return false;
}

static inline bool hv_any_auto_eoi(struct vcpu *vcpu)
{
	return false;
}

static inline bool hv_wants_eoi(struct vcpu *vcpu, unsigned int vector)
{
	return false;
}

static inline void hv_eoi(struct vcpu *vcpu, unsigned int vector)
{
}

static inline int hv_synic_raise(struct vm *vm, u32 vp_index, u32 sint)
{
	return -1;
}

#endif
