/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What entry.S is handed: shared by C and assembly, so the layout is said in
 * numbers and held to them in C.
 */
#ifndef MINIKVM_X86_SVM_ENTRY_H
#define MINIKVM_X86_SVM_ENTRY_H

#define SVM_ENTRY_VMCB		0
#define SVM_ENTRY_HOST		8
#define SVM_ENTRY_GPR		16
#define SVM_ENTRY_GUEST_SPEC	24
#define SVM_ENTRY_HOST_SPEC	32
#define SVM_ENTRY_READ_SPEC	40

#ifndef __ASSEMBLY__
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

struct svm_entry {
	u64 vmcb_pa;
	u64 host_pa;		/* where this CPU's VMSAVE area is */
	u64 *gpr;		/* vcpu->arch.gpr */
	u64 guest_spec_ctrl;	/* SPEC_CTRL to run with, */
	u64 host_spec_ctrl;	/* and to come back to */
	u64 read_spec_ctrl;	/* the guest may have changed it: read it back */
};

static_assert(offsetof(struct svm_entry, vmcb_pa) == SVM_ENTRY_VMCB);
static_assert(offsetof(struct svm_entry, host_pa) == SVM_ENTRY_HOST);
static_assert(offsetof(struct svm_entry, gpr) == SVM_ENTRY_GPR);
static_assert(offsetof(struct svm_entry, guest_spec_ctrl) == SVM_ENTRY_GUEST_SPEC);
static_assert(offsetof(struct svm_entry, host_spec_ctrl) == SVM_ENTRY_HOST_SPEC);
static_assert(offsetof(struct svm_entry, read_spec_ctrl) == SVM_ENTRY_READ_SPEC);

/* Interrupts off, GIF set; both are so again on return. */
void svm_vmrun(struct svm_entry *entry);
#endif

#endif
