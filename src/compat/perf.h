/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What perf wants of who runs guests: the counters are the host's, and no guest has any.
 * One small header, for newer kernels export these to KVM alone.
 */
#ifndef MINIKVM_COMPAT_PERF_H
#define MINIKVM_COMPAT_PERF_H

#include <linux/perf_event.h>
#include <asm/perf_event.h>

/*
 * MSRs that are to have another value in the guest; NULL: none. The argument is KVM's model of
 * its guest's counters, which perf takes for none where it is NULL. Interrupts off.
 */
static inline const struct perf_guest_switch_msr *compat_perf_msrs(int *n)
{
	*n = 0;
	return perf_guest_get_msrs(n, NULL);
}

/*
 * This CPU goes into VMX operation, or has left it. Some have no Processor Trace there, and to
 * switch it on is a #GP (SDM vol. 3, A.6: IA32_VMX_MISC[14]). Interrupts off.
 */
static inline void compat_perf_vmx(bool on)
{
	intel_pt_handle_vmx(on);
}

/*
 * EFER.SVME is on, or is off again. Counters can tell host and guest apart while it is on
 * (APM vol. 2, 13.2.1); one that shall count the host alone counts nothing while it is off,
 * so until then perf leaves that out. Interrupts off.
 */
static inline void compat_perf_svm(bool on)
{
	if (on)
		amd_pmu_enable_virt();
	else
		amd_pmu_disable_virt();
}

#endif
