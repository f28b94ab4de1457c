/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The size of a memcache on powerpc, whose port begins here: the common code compiles
 * against it. Four levels in a radix tree.
 */
#ifndef MINIKVM_ARCH_KVM_TYPES_H
#define MINIKVM_ARCH_KVM_TYPES_H

#define MINIKVM_MEMCACHE_OBJECTS	32
#define MINIKVM_MEMCACHE_GFP		GFP_KERNEL_ACCOUNT

/* One: all that a vCPU can address. */
#define MINIKVM_ADDRESS_SPACES	1

#endif
