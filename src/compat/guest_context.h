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
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/task_work.h>
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

/*
 * Interrupts off; from here to guest_context_exit() only noinstr code.
 *
 * To RCU a guest is as good as user space: who goes there holds nothing. It asks no more often than
 * the host's tick comes, so once after an @interrupt of the host's is enough; where there is no
 * tick, context tracking knows by itself.
 */
static __always_inline void guest_context_enter(bool interrupt)
{
	if (!context_tracking_guest_enter() && interrupt) {
		instrumentation_begin();
		compat_rcu_note();
		instrumentation_end();
	}
}

static __always_inline void guest_context_exit(void)
{
	context_tracking_guest_exit();
}

/*
 * Work that a thread must do before it goes into a guest, as on its way to
 * user space. The kernel's own xfer_to_guest_mode_handle_work() writes into a
 * struct kvm_vcpu, so it is KVM's alone. What it does beyond this, accounting
 * and rseq, may wait until KVM_RUN returns. Task work (NUMA balancing has some
 * once a second) may not, and only the return to user space can do it: KVM_RUN
 * goes that way with -ERESTARTNOHAND, and comes back (host_work_restart()); but
 * where that work was a timer of CPU time, whose signal has a handler, it ends.
 */
static __always_inline bool task_work_waits(unsigned long flags)
{
	return (flags & _TIF_NOTIFY_RESUME) && task_work_pending(current);
}

#define HOST_SIGNALS	(_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL)

static __always_inline bool host_work_pending(void)
{
	unsigned long flags = READ_ONCE(current_thread_info()->flags);

	return unlikely(flags & (HOST_SIGNALS | _TIF_NEED_RESCHED)) ||
	       unlikely(task_work_waits(flags));
}

/* May sleep. 0, or -EINTR or -ERESTARTNOHAND: out to user space. */
static inline int host_work_do(void)
{
	unsigned long flags = READ_ONCE(current_thread_info()->flags);

	if (flags & HOST_SIGNALS)
		return -EINTR;
	if (task_work_waits(flags))
		return -ERESTARTNOHAND;
	cond_resched();
	return 0;
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
