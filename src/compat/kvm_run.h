/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Members of struct kvm_run that newer kernels name differently, at the same
 * place.
 */
#ifndef MINIKVM_COMPAT_KVM_RUN_H
#define MINIKVM_COMPAT_KVM_RUN_H

#include <linux/compiler.h>
#include <linux/kvm.h>

/* User space changes it at any time, while KVM_RUN runs as well. */
static inline bool compat_immediate_exit(const struct kvm_run *run)
{
#ifdef HINT_UNSAFE_IN_KVM
	return READ_ONCE(run->HINT_UNSAFE_IN_KVM(immediate_exit));
#else
	return READ_ONCE(run->immediate_exit);
#endif
}

static inline void compat_hypercall_mode(struct kvm_run *run, bool long_mode)
{
#ifdef KVM_EXIT_HYPERCALL_LONG_MODE
	run->hypercall.flags = long_mode ? KVM_EXIT_HYPERCALL_LONG_MODE : 0;
#else
	run->hypercall.longmode = long_mode;
#endif
}

#endif
