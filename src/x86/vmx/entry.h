/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What entry.S is handed: shared by C and assembly, so the layout is said in
 * numbers and held to them in C.
 */
#ifndef MINIKVM_X86_VMX_ENTRY_H
#define MINIKVM_X86_VMX_ENTRY_H

#define VMX_ENTRY_GPR		0
#define VMX_ENTRY_LAUNCHED	8
#define VMX_ENTRY_HOST_RSP	16
#define VMX_ENTRY_GUEST_SPEC	24
#define VMX_ENTRY_HOST_SPEC	32
#define VMX_ENTRY_READ_SPEC	40

#ifndef __ASSEMBLY__
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

struct vmx_entry {
	u64 *gpr;		/* vcpu->arch.gpr */
	u64 launched;		/* VMRESUME, not VMLAUNCH */
	u64 host_rsp;		/* what the VMCS has */
	u64 guest_spec_ctrl;	/* SPEC_CTRL to run with, */
	u64 host_spec_ctrl;	/* and to come back to */
	u64 read_spec_ctrl;	/* the guest may have changed it: read it back */
};

static_assert(offsetof(struct vmx_entry, gpr) == VMX_ENTRY_GPR);
static_assert(offsetof(struct vmx_entry, launched) == VMX_ENTRY_LAUNCHED);
static_assert(offsetof(struct vmx_entry, host_rsp) == VMX_ENTRY_HOST_RSP);
static_assert(offsetof(struct vmx_entry, guest_spec_ctrl) == VMX_ENTRY_GUEST_SPEC);
static_assert(offsetof(struct vmx_entry, host_spec_ctrl) == VMX_ENTRY_HOST_SPEC);
static_assert(offsetof(struct vmx_entry, read_spec_ctrl) == VMX_ENTRY_READ_SPEC);

/* Interrupts off. 0, or 1 if the CPU refused VMLAUNCH or VMRESUME itself. */
int vmx_run(struct vmx_entry *entry);
/* Where VM exits arrive: HOST_RIP. Not to be called. */
void vmx_exit_point(void);
#endif

#endif
