/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host's speculation defences round a guest, by one name for each whatever the kernel
 * calls them. For assembly only.
 */
#ifndef MINIKVM_COMPAT_ENTRY_ASM_H
#define MINIKVM_COMPAT_ENTRY_ASM_H

#include <linux/linkage.h>
#include <linux/version.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>

/*
 * Before the first RET: all of the return stack where the guest's predictions are in it, or
 * one entry, where the CPU drops the guest's by itself and an error lets the next RET go
 * astray (PBRSB: eIBRS).
 */
.macro COMPAT_FILL_RSB reg:req
	FILL_RETURN_BUFFER \reg, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, \
			   X86_FEATURE_RSB_VMEXIT_LITE
.endm

/* What indirect branches have been predicted from must not be the guest's: BHI. Clobbers RAX, RCX. */
.macro COMPAT_CLEAR_BRANCH_HISTORY
#if defined(X86_FEATURE_CLEAR_BHB_LOOP_ON_VMEXIT) || defined(X86_FEATURE_CLEAR_BHB_VMEXIT)
	CLEAR_BRANCH_HISTORY_VMEXIT
#elif defined(X86_FEATURE_CLEAR_BHB_LOOP)
	CLEAR_BRANCH_HISTORY
#endif
.endm

/*
 * Returns must not take the guest's predictions: AMD's Retbleed and SRSO. 6.9 has a macro for
 * the way out of a guest; in the stable series of 6.1 an IBPB there is an alternative by
 * itself. Clobbers RAX, RCX, RDX.
 */
.macro COMPAT_UNTRAIN_RET_VM
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	UNTRAIN_RET_VM
#else
	UNTRAIN_RET
#ifdef X86_FEATURE_IBPB_ON_VMEXIT
	ALTERNATIVE "", "call entry_ibpb", X86_FEATURE_IBPB_ON_VMEXIT
#endif
#endif
.endm

/*
 * Buffers that VERW clears must not be left to a guest. Intel's MDS, TAA, RFDS are answered by
 * one feature for guests and for user space; AMD's TSA by one for each. An #ifdef is needed,
 * for kernels before 6.8 (and its like in the stable series) have no macro: see spec_ctrl.h.
 */
.macro COMPAT_VMX_CLEAR_CPU_BUFFERS
#ifdef X86_FEATURE_CLEAR_CPU_BUF
	CLEAR_CPU_BUFFERS
#endif
.endm

.macro COMPAT_SVM_CLEAR_CPU_BUFFERS
#ifdef X86_FEATURE_CLEAR_CPU_BUF_VM
	VM_CLEAR_CPU_BUFFERS
#endif
.endm

#endif
