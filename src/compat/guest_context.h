/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Telling the kernel that this CPU goes into a guest and comes back: for RCU
 * and context tracking (nohz_full), and for the accounting of guest time; and
 * the work that a thread must do before it goes. KVM's own helpers for this
 * are in headers that are KVM's alone.
 */
#ifndef MINIKVM_COMPAT_GUEST_CONTEXT_H
#define MINIKVM_COMPAT_GUEST_CONTEXT_H

#include <linux/context_tracking.h>
#include <linux/entry-kvm.h>
#include <linux/rcupdate.h>
#include <linux/smp.h>
#include <linux/version.h>
#include <linux/vtime.h>

static __always_inline void compat_rcu_note(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
	rcu_virt_note_context_switch();
#else
	rcu_virt_note_context_switch(smp_processor_id());
#endif
}

/* Interrupts off; from here to guest_context_exit() only noinstr code. */
static __always_inline void guest_context_enter(void)
{
	if (!context_tracking_guest_enter()) {
		instrumentation_begin();
		compat_rcu_note();
		instrumentation_end();
	}
}

static __always_inline void guest_context_exit(void)
{
	context_tracking_guest_exit();
}

/* Signals, rescheduling, task work: is there any, and do it (-EINTR: signal). */
static __always_inline bool host_work_pending(void)
{
	return READ_ONCE(current_thread_info()->flags) & XFER_TO_GUEST_MODE_WORK;
}

static inline int host_work_do(void)
{
	/* On x86 the vcpu argument is handed to nobody. */
	return xfer_to_guest_mode_handle_work(NULL);
}

#endif
