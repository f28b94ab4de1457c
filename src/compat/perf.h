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

#endif
