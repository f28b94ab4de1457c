/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The notification that tells a CPU of interrupts that were posted for the guest it is in.
 * The kernel has a vector for it, with a handler that does nothing, if it is built for KVM.
 */
#ifndef MINIKVM_COMPAT_POSTED_INTR_H
#define MINIKVM_COMPAT_POSTED_INTR_H

#include <linux/cpumask.h>
#include <linux/version.h>
#include <asm/apic.h>
#include <asm/irq_vectors.h>

#if IS_ENABLED(CONFIG_KVM)

#define COMPAT_POSTED_INTR_VECTOR	POSTED_INTR_VECTOR

/* Preemption off. */
static inline void compat_post_intr(int cpu)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	__apic_send_IPI_mask(cpumask_of(cpu), POSTED_INTR_VECTOR);
#else
	apic->send_IPI_mask(cpumask_of(cpu), POSTED_INTR_VECTOR);
#endif
}

#else

#define COMPAT_POSTED_INTR_VECTOR	0

static inline void compat_post_intr(int cpu)
{
}

#endif

#endif
