/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A host that watches for split locks has the CPU raise #AC for one, and does so
 * in guests as well (Intel's MSR_TEST_CTRL). What is to become of it is the
 * host's to decide: split_lock_detect= on its command line.
 */
#ifndef MINIKVM_COMPAT_SPLIT_LOCK_H
#define MINIKVM_COMPAT_SPLIT_LOCK_H

#include <linux/types.h>
#include <asm/cpu.h>

/* May sleep. True: it may go on now; false: a signal to this thread says no. */
static inline bool compat_guest_split_lock(unsigned long ip)
{
	return handle_guest_split_lock(ip);
}

#endif
