// SPDX-License-Identifier: GPL-2.0
/*
 * The VMX-preemption timer (SDM vol. 3, 25.5.1 and 26.7.4): it counts down, from the
 * entry, each time that bit IA32_VMX_MISC[4:0] of the TSC changes, and exits at 0. It
 * is loaded at each entry, and not saved at exits, for time goes on outside.
 *
 * The control is always on. A timer that is off has the greatest count: an exit every
 * 2^32 ticks, and only of a guest that has no other.
 */
#include <asm/tsc.h>
#include "x86/vmx/vmx.h"

static bool have_timer(void)
{
	return vmx_caps.pin & PIN_BASED_VMX_PREEMPTION_TIMER;
}

/**
 * vmx_timer_reset() - the VMCS is new
 * @vmx: the vCPU, loaded. What was set stays so
 */
void vmx_timer_reset(struct vmx_vcpu *vmx)
{
	vmx->timer_ticks = U32_MAX;
	if (have_timer())
		vmcs_write(VMX_PREEMPTION_TIMER_VALUE, vmx->timer_ticks);
}

/**
 * vmx_set_timer() - vendor_set_timer()
 * @vcpu:	its own thread has it, or an ioctl that holds vcpu->lock
 * @host_tsc:	when, or TIMER_OFF
 */
bool vmx_set_timer(struct vcpu *vcpu, u64 host_tsc)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx->timer_tsc = TIMER_OFF;
	if (host_tsc == TIMER_OFF)
		return true;
	/* A vCPU may come to another CPU, whose TSC must be the same. */
	if (!have_timer() || check_tsc_unstable() ||
	    (s64)(host_tsc - rdtsc()) >> vmx_caps.timer_shift >= U32_MAX)
		return false;
	vmx->timer_tsc = host_tsc;
	return true;
}

/*
 * Ticks are changes of one bit, wherever in between the entry falls: so the first
 * may be short. This many are never too few, nor one too many.
 */
static u32 ticks_until(u64 host_tsc)
{
	unsigned int shift = vmx_caps.timer_shift;
	u64 now = rdtsc();

	if (host_tsc <= now)
		return 0;
	return min_t(u64, ((host_tsc - 1) >> shift) + 1 - (now >> shift), U32_MAX);
}

/**
 * vmx_timer_write() - what is left, for the coming entry
 * @vmx: the vCPU, loaded; interrupts off
 */
void vmx_timer_write(struct vmx_vcpu *vmx)
{
	u32 ticks = vmx->timer_tsc == TIMER_OFF ? U32_MAX : ticks_until(vmx->timer_tsc);

	if (ticks == vmx->timer_ticks)
		return;
	vmx->timer_ticks = ticks;
	vmcs_write(VMX_PREEMPTION_TIMER_VALUE, ticks);
}
