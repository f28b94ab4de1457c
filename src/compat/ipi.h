/* SPDX-License-Identifier: GPL-2.0 */
/*
 * smp_send_reschedule(), which since 6.4 is a macro around a tracepoint that it
 * leaves to its user to declare.
 */
#ifndef MINIKVM_COMPAT_IPI_H
#define MINIKVM_COMPAT_IPI_H

#include <linux/smp.h>
#include <trace/events/ipi.h>

#endif /* MINIKVM_COMPAT_IPI_H */
