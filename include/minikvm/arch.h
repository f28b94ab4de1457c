/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What an architecture gives the module as a whole; what it gives a vm and a
 * vcpu stands in <minikvm/vm.h> and <minikvm/vcpu.h>.
 */
#ifndef MINIKVM_ARCH_H
#define MINIKVM_ARCH_H

#include <linux/types.h>

int arch_init(void);		/* 0, or an errno after one line that says why */
void arch_exit(void);
int arch_cpu_enable(void);	/* on the CPU in question, interrupts off */
void arch_cpu_disable(void);	/* likewise; idempotent */
void arch_suspend(void);	/* the host's, on its last CPU, still enabled; interrupts off */
void arch_resume(void);		/* likewise */
long arch_dev_ioctl(unsigned int cmd, unsigned long raw);

#endif
