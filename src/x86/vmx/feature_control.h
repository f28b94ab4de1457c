/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What IA32_FEATURE_CONTROL lets a CPU do: SDM vol. 3, 23.7. The decision alone, so that it can be
 * tested over all its inputs.
 */
#ifndef MINIKVM_X86_VMX_FEATURE_CONTROL_H
#define MINIKVM_X86_VMX_FEATURE_CONTROL_H

#include <asm/msr-index.h>

/**
 * feature_control_allows() - may VMXON be executed?
 * @value:		the MSR
 * @kernel_has_vmx:	the kernel, which knows whether tboot put it into SMX operation, has looked
 *			at the MSR too and left the CPU its feature flag
 *
 * In SMX operation it is one bit that counts, outside the other; which of the two it is, nobody
 * but the kernel can tell. Where both are set it does not matter.
 *
 * Return: whether it may, if the MSR is locked; otherwise, after feature_control_unlocked().
 */
static inline bool feature_control_allows(u64 value, bool kernel_has_vmx)
{
	const u64 both = FEAT_CTL_VMX_ENABLED_INSIDE_SMX | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX;

	if (!(value & FEAT_CTL_LOCKED))
		return true;
	if ((value & both) == both)
		return true;
	return (value & both) && kernel_has_vmx;
}

/**
 * feature_control_unlocked() - what to write into an MSR that firmware left unlocked
 * @value:	the MSR
 * @has_smx:	the CPU has SMX: on others the bit for VMX in SMX operation raises #GP
 *
 * An unlocked MSR refuses VMXON, whatever its other bits are. Those are kept: the lock is for all.
 *
 * Return: the value, or @value itself: nothing to write.
 */
static inline u64 feature_control_unlocked(u64 value, bool has_smx)
{
	if (value & FEAT_CTL_LOCKED)
		return value;
	value |= FEAT_CTL_LOCKED | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX;
	return value | (has_smx ? FEAT_CTL_VMX_ENABLED_INSIDE_SMX : 0);
}

#endif
