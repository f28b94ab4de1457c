/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host's speculation defences on the way out of a guest, by one name for
 * each whatever the kernel calls them. For assembly only.
 */
#ifndef MINIKVM_COMPAT_ENTRY_ASM_H
#define MINIKVM_COMPAT_ENTRY_ASM_H

#include <linux/linkage.h>
#include <linux/version.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>

/* RETs on the way out of a VMX guest must not take its predictions. */
#ifdef X86_FEATURE_RSB_VMEXIT
#define COMPAT_RSB_VMEXIT	X86_FEATURE_RSB_VMEXIT
#else
#define COMPAT_RSB_VMEXIT	X86_FEATURE_RETPOLINE
#endif

/* Before 6.9 (and 6.1's stable series) there was one macro for all entries. */
.macro COMPAT_UNTRAIN_RET_VM
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	UNTRAIN_RET_VM
#else
	UNTRAIN_RET
#endif
.endm

/* Buffers that VERW clears must not be left to a guest: MDS, TAA, TSA. */
.macro COMPAT_VM_CLEAR_CPU_BUFFERS
#if defined(VM_CLEAR_CPU_BUFFERS)
	VM_CLEAR_CPU_BUFFERS
#elif defined(CLEAR_CPU_BUFFERS)
	CLEAR_CPU_BUFFERS
#endif
.endm

#endif
