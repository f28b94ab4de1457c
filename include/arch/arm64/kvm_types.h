/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The size of a memcache on arm64, whose port begins here: the common code compiles
 * against it. Four levels at most below the root (52-bit addresses with 4K pages).
 */
#ifndef MINIKVM_ARCH_KVM_TYPES_H
#define MINIKVM_ARCH_KVM_TYPES_H

#define MINIKVM_MEMCACHE_OBJECTS	40
#define MINIKVM_MEMCACHE_GFP		GFP_KERNEL_ACCOUNT

/* One: all that a vCPU can address. */
#define MINIKVM_ADDRESS_SPACES	1

#endif
