/* SPDX-License-Identifier: GPL-2.0 */
/*
 * hrtimer_setup() came with 6.13 and hrtimer_init() left with 6.15: here is
 * the new one for older kernels.
 */
#ifndef MINIKVM_COMPAT_HRTIMER_H
#define MINIKVM_COMPAT_HRTIMER_H

#include <linux/hrtimer.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*fn)(struct hrtimer *),
				 clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = fn;
}
#endif

#endif
