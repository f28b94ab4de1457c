/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kinds of address that a hypervisor must never mix up. Only typedefs
 * live here.
 *
 *	gva	guest virtual (linear)	gpa	guest physical (bytes)
 *	gfn	guest physical (pages)	hva	host virtual, in the VMM's mm
 *	hpa	host physical (bytes)	pfn	host physical (pages)
 */
#ifndef MINIKVM_TYPES_H
#define MINIKVM_TYPES_H

#include <linux/types.h>

typedef unsigned long gva_t;
typedef u64 gpa_t;
typedef u64 gfn_t;
typedef u64 hpa_t;
typedef unsigned long hva_t;

struct vm;
struct vcpu;
struct memslot;

#endif
