/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The size of a memcache on x86. One fault needs at most a table for each
 * level below the root (4 of 5); the rest lets a vCPU take many faults on one
 * top-up.
 */
#ifndef MINIKVM_ARCH_KVM_TYPES_H
#define MINIKVM_ARCH_KVM_TYPES_H

#define MINIKVM_MEMCACHE_OBJECTS	40
#define MINIKVM_MEMCACHE_GFP		GFP_KERNEL_ACCOUNT

/* What a vCPU sees in system management mode is the second: x86/smm.c. */
#define MINIKVM_ADDRESS_SPACES	2

#endif
