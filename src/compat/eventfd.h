/* SPDX-License-Identifier: GPL-2.0 */
/*
 * eventfd_signal() took a count up to 6.7; 6.8 signals by one, always. This is
 * the latter for both.
 */
#ifndef MINIKVM_COMPAT_EVENTFD_H
#define MINIKVM_COMPAT_EVENTFD_H

#include <linux/eventfd.h>
#include <linux/version.h>

static inline void eventfd_notify(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx, 1);
#else
	eventfd_signal(ctx);
#endif
}

#endif
