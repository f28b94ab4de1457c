/* SPDX-License-Identifier: GPL-2.0 */
/*
 * SRCU's own count of its readers, which it shows to nobody. Where it may look otherwise
 * than below, there seems to be a reader all the time.
 */
#ifndef MINIKVM_COMPAT_SRCU_H
#define MINIKVM_COMPAT_SRCU_H

#include <linux/percpu.h>
#include <linux/srcu.h>
#include <linux/version.h>

#if defined(CONFIG_TREE_SRCU) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)

/*
 * A long up to 6.1, and an atomic one in later kernels. With few CPUs, the iterator's calls
 * would cost more than all else here.
 */
#define compat_srcu_sum(srcu, member) ({					\
	unsigned long __sum = 0;						\
	int __cpu;								\
										\
	for (__cpu = 0; __cpu < nr_cpu_ids; __cpu++) {				\
		const unsigned long *__counts;					\
										\
		if (!cpu_possible(__cpu))					\
			continue;						\
		__counts = (void *)per_cpu_ptr((srcu)->sda, __cpu)->member;	\
		__sum += READ_ONCE(__counts[0]) + READ_ONCE(__counts[1]);	\
	}									\
	__sum; })

/*
 * Has each who locked unlocked? The unlocks are counted first: what is among them has its
 * lock among the locks, wherever that was, so that a reader can't be made up for.
 *
 * The caller has published what new readers shall see. One whose lock is not among the
 * locks sees it: __srcu_read_lock() has a full barrier behind its count, as there is one
 * here before ours. And the barrier before the count of an unlock, with the same one here,
 * has what that reader did come before what the caller does next.
 */
static inline bool compat_srcu_idle(struct srcu_struct *srcu)
{
	unsigned long unlocks = compat_srcu_sum(srcu, srcu_unlock_count);

	smp_mb();
	return compat_srcu_sum(srcu, srcu_lock_count) == unlocks;
}

#else

static inline bool compat_srcu_idle(struct srcu_struct *srcu)
{
	return false;
}

#endif

#endif
