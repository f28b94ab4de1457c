/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The size of a memcache on arm, whose port begins here: the common code compiles
 * against it. Four levels at most with LPAE: a table for each below the root.
 */
#ifndef MINIKVM_ARCH_KVM_TYPES_H
#define MINIKVM_ARCH_KVM_TYPES_H

#define MINIKVM_MEMCACHE_OBJECTS	32
#define MINIKVM_MEMCACHE_GFP		GFP_KERNEL_ACCOUNT

/* One: all that a vCPU can address. */
#define MINIKVM_ADDRESS_SPACES	1

#endif
