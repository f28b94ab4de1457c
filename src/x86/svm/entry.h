/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What entry.S is handed, after what both vendors have: x86/entry.h.
 */
#ifndef MINIKVM_X86_SVM_ENTRY_H
#define MINIKVM_X86_SVM_ENTRY_H

#include "x86/entry.h"

#define SVM_ENTRY_VMCB		ENTRY_SIZE
#define SVM_ENTRY_HOST		(ENTRY_SIZE + 8)

#ifndef __ASSEMBLY__
struct svm_entry {
	struct guest_entry common;
	u64 vmcb_pa;
	u64 host_pa;		/* where this CPU's VMSAVE area is */
};

static_assert(offsetof(struct svm_entry, vmcb_pa) == SVM_ENTRY_VMCB);
static_assert(offsetof(struct svm_entry, host_pa) == SVM_ENTRY_HOST);

/* Interrupts off, GIF set; both are so again on return. */
void svm_vmrun(struct svm_entry *entry);
#endif

#endif
