/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which exits tell of a bus lock. The decision alone, so that it can be tested where no CPU
 * makes such exits.
 */
#ifndef MINIKVM_X86_VMX_BUS_LOCK_H
#define MINIKVM_X86_VMX_BUS_LOCK_H

#include <asm/vmx.h>

/* Named by no header of ours: SDM vol. 3, 24.9.1. */
#define EXIT_REASON_BUS_LOCKED		(1U << 26)

/**
 * exit_has_bus_lock() - has the guest locked the bus?
 * @reason: the VMCS's exit reason, all of it
 *
 * The bit comes with any exit of an instruction that has locked the bus. That the exit which
 * is for nothing else has it as well is not relied on.
 *
 * Return: whether it has, while "VMM bus-lock detection" was 1.
 */
static inline bool exit_has_bus_lock(u32 reason)
{
	return (reason & EXIT_REASON_BUS_LOCKED) || (u16)reason == EXIT_REASON_BUS_LOCK;
}

#endif
