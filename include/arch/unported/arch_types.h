/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a vm and a vcpu have on an architecture that has no port yet: next to
 * nothing. With this the common code can be compiled there, and shows that it needs no
 * more of one than <minikvm/arch.h>, <minikvm/vm.h> and <minikvm/vcpu.h> say.
 */
#ifndef MINIKVM_ARCH_TYPES_H
#define MINIKVM_ARCH_TYPES_H

#define IRQ_CHIPS	1
#define IRQ_CHIP_PINS	1

struct vm_arch {
};

struct vcpu_arch {
};

#endif
