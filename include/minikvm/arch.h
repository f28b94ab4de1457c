/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What an architecture gives the module as a whole; what it gives a vm and a
 * vcpu stands in <minikvm/vm.h> and <minikvm/vcpu.h>.
 */
#ifndef MINIKVM_ARCH_H
#define MINIKVM_ARCH_H

#include <linux/types.h>

/**
 * arch_init() - find out what the CPU can do, and make ready what all VMs share
 *
 * Return: 0; or an errno, after one line in the log that says why.
 */
int arch_init(void);

/**
 * arch_exit() - undo arch_init(), when no CPU is enabled any more
 */
void arch_exit(void);

/**
 * arch_cpu_enable() - put this CPU into virtualization mode
 *
 * Context: interrupts off. Return: 0; -EBUSY if somebody else has it there, -EOPNOTSUPP if it
 * can't do what the CPU of arch_init() could, or another errno. The caller logs it.
 */
int arch_cpu_enable(void);

/**
 * arch_cpu_disable() - take this CPU out of virtualization mode
 *
 * Nothing happens to one that is not in it.
 *
 * Context: interrupts off.
 */
void arch_cpu_disable(void);

/**
 * arch_suspend() - the host goes to sleep
 *
 * Context: its last CPU, still enabled; interrupts off.
 */
void arch_suspend(void);

/**
 * arch_resume() - the host has woken up
 *
 * Context: its first CPU, enabled again; interrupts off.
 */
void arch_resume(void);

/**
 * arch_dev_ioctl() - an ioctl of the device that the core has no row for
 * @cmd:	its number
 * @raw:	its argument
 *
 * Context: sleeps. Return: 0, or an errno: -EINVAL if there is no such ioctl.
 */
long arch_dev_ioctl(unsigned int cmd, unsigned long raw);

#endif
