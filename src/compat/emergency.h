/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's one callback for a crash or an emergency restart, by which each
 * CPU leaves virtualization mode. Older 6.1 kernels have none; they look for
 * VMX and SVM by themselves. Kbuild finds out which it is.
 */
#ifndef MINIKVM_COMPAT_EMERGENCY_H
#define MINIKVM_COMPAT_EMERGENCY_H

#include <linux/module.h>
#include <linux/printk.h>
#include <asm/reboot.h>

#ifdef MINIKVM_EMERGENCY_CALLBACK

/* There is room for one, and a WARN for a second; KVM's modules have theirs from load on. */
static inline bool compat_emergency_taken(void)
{
	if (!__symbol_get("kvm_init"))
		return false;
	__symbol_put("kvm_init");
	return true;
}

/* Returns whether it is to be unregistered. */
static inline bool compat_emergency_register(void (*leave)(void))
{
	if (compat_emergency_taken()) {
		pr_info("the kernel's own KVM is loaded: should the host crash, CPUs stay in virtualization mode\n");
		return false;
	}
	cpu_emergency_register_virt_callback(leave);
	return true;
}

static inline void compat_emergency_unregister(void (*leave)(void))
{
	cpu_emergency_unregister_virt_callback(leave);
}

#else

static inline bool compat_emergency_register(void (*leave)(void))
{
	return false;
}

static inline void compat_emergency_unregister(void (*leave)(void))
{
}

#endif

#endif
