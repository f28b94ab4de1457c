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
#include <linux/errno.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
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

/* Signals, rescheduling, task work: is there any? */
static __always_inline bool host_work_pending(void)
{
	return READ_ONCE(current_thread_info()->flags) & XFER_TO_GUEST_MODE_WORK;
}

/*
 * xfer_to_guest_mode_handle_work() is exported, but on a signal it writes to
 * its argument, KVM's own struct kvm_vcpu: it is not for us. The rest of what
 * it does (rseq, task work, memory cgroups) no module can call; the way back to
 * user space does it. So KVM_RUN goes that way with -ERESTARTNOINTR, and comes
 * back: see host_work_restart().
 */
static inline int host_work_do(void)
{
	if (signal_pending(current))
		return -EINTR;
	if (need_resched())
		schedule();
	if (signal_pending(current))
		return -EINTR;
	return test_thread_flag(TIF_NOTIFY_RESUME) ? -ERESTARTNOINTR : 0;
}

/*
 * A system call is restarted only on the way by a signal: feign one. User space
 * sees nothing of it. Last of all, as changing the signal mask undoes it.
 */
static inline void host_work_restart(void)
{
	set_thread_flag(TIF_SIGPENDING);
}

#endif
