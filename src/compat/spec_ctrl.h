/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host's side of speculation control, whose names move between kernels.
 */
#ifndef MINIKVM_COMPAT_SPEC_CTRL_H
#define MINIKVM_COMPAT_SPEC_CTRL_H

#include <linux/percpu.h>
#include <asm/cpufeature.h>
#include <asm/nospec-branch.h>
#include <asm/spec-ctrl.h>

/* SPEC_CTRL as this CPU has it now; 0 where there is none. */
static inline u64 compat_host_spec_ctrl(void)
{
	if (!cpu_feature_enabled(X86_FEATURE_MSR_SPEC_CTRL))
		return 0;
	return this_cpu_read(x86_spec_ctrl_current);
}

#endif
