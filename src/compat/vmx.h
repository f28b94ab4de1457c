/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Names in the kernel's VMX headers that changed between the kernels we build for.
 */
#ifndef MINIKVM_COMPAT_VMX_H
#define MINIKVM_COMPAT_VMX_H

#include <asm/msr-index.h>
#include <asm/vmx.h>

/* As newer kernels call it. */
#ifndef SECONDARY_EXEC_ENABLE_XSAVES
#define SECONDARY_EXEC_ENABLE_XSAVES	SECONDARY_EXEC_XSAVES
#endif

/* IA32_VMX_BASIC[53:50], the memory type for the VMCS (SDM vol. 3, A.1). */
#define COMPAT_VMX_BASIC_MEM_TYPE(basic)	(((basic) >> 50) & 0xf)
#define COMPAT_VMX_MEM_TYPE_WB			6

#endif /* MINIKVM_COMPAT_VMX_H */
