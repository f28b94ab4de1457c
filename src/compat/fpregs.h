/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is the FPU state that this thread owns in the registers? A context switch
 * saves it and leaves the reloading to the return to user space, which is
 * later than a guest needs it.
 */
#ifndef MINIKVM_COMPAT_FPREGS_H
#define MINIKVM_COMPAT_FPREGS_H

#include <linux/thread_info.h>
#include <asm/fpu/api.h>

/* Interrupts or preemption off; the state stays loaded until they are on. */
static __always_inline void compat_fpregs_load(void)
{
	if (unlikely(test_thread_flag(TIF_NEED_FPU_LOAD)))
		switch_fpu_return();
}

/* The thread's own state is in the registers, until fpregs_unlock(). */
static inline void compat_fpregs_lock(void)
{
	fpregs_lock();
	compat_fpregs_load();
}

#endif
