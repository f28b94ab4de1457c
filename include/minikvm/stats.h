/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Binary statistics (KVM_GET_STATS_FD): a file that describes counters and has
 * their values. A counter is a u64 that its owner increments where it counts;
 * a row says what user space knows it by.
 */
#ifndef MINIKVM_STATS_H
#define MINIKVM_STATS_H

#include <linux/kvm.h>
#include <linux/types.h>

struct vm;

struct stat_row {
	const char *name;
	unsigned int offset;		/* of the u64 in what the table is about */
	u32 flags;			/* KVM_STATS_TYPE_*, _UNIT_*, _BASE_* */
	s16 exponent;
};

struct stat_table {
	const struct stat_row *rows;
	unsigned int n;
};

#define STAT_COUNTER(name, offset) \
	{ name, offset, KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10, 0 }
#define STAT_NANOSECONDS(name, offset) \
	{ name, offset, KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_SECONDS | KVM_STATS_BASE_POW10, -9 }
#define STAT_IS_NOW(name, offset) \
	{ name, offset, KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_BOOLEAN | KVM_STATS_BASE_POW10, 0 }

int stats_fd(struct vm *vm, const struct stat_table *table, const void *base, int vcpu_id);

/* Supplied by the architecture: offsets in struct vcpu, and in arch_vm_stats_base(). */
extern const struct stat_table arch_vcpu_stats, arch_vm_stats;
const void *arch_vm_stats_base(struct vm *vm);

#endif
