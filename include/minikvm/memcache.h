/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A memcache: objects set aside while sleeping is allowed, to be taken while
 * a spinning lock is held. How many, and with which GFP flags, is said by the
 * architecture's <kvm_types.h>.
 *
 * A memcache belongs to one vCPU (or to one worker) and is used by its owner
 * alone: it has no lock of its own.
 */
#ifndef MINIKVM_MEMCACHE_H
#define MINIKVM_MEMCACHE_H

#include <linux/types.h>
#include <kvm_types.h>

struct kmem_cache;

struct memcache {
	unsigned int nobjs;
	struct kmem_cache *kmem;	/* NULL: zeroed whole pages */
	void *objects[MINIKVM_MEMCACHE_OBJECTS];
};

void memcache_init(struct memcache *mc, struct kmem_cache *kmem);
int memcache_topup(struct memcache *mc, unsigned int min);
void *memcache_alloc(struct memcache *mc);
void memcache_return(struct memcache *mc, void *object);
void memcache_free(struct memcache *mc);

#endif
