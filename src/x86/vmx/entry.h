/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What entry.S is handed, after what both vendors have: x86/entry.h.
 */
#ifndef MINIKVM_X86_VMX_ENTRY_H
#define MINIKVM_X86_VMX_ENTRY_H

#include "x86/entry.h"

#define VMX_ENTRY_LAUNCHED	ENTRY_SIZE
#define VMX_ENTRY_HOST_RSP	(ENTRY_SIZE + 8)

#ifndef __ASSEMBLY__
struct vmx_entry {
	struct guest_entry common;
	u64 launched;		/* VMRESUME, not VMLAUNCH */
	u64 host_rsp;		/* what the VMCS has */
};

static_assert(offsetof(struct vmx_entry, launched) == VMX_ENTRY_LAUNCHED);
static_assert(offsetof(struct vmx_entry, host_rsp) == VMX_ENTRY_HOST_RSP);

/* Interrupts off. 0, or 1 if the CPU refused VMLAUNCH or VMRESUME itself. */
int vmx_run(struct vmx_entry *entry);
/* Interrupts off. What @handler, of a gate of the host's IDT, does for an interrupt. */
void vmx_call_gate(unsigned long handler);
/* Where VM exits arrive: HOST_RIP. Not to be called. */
void vmx_exit_point(void);
#endif

#endif
