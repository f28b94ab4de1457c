// SPDX-License-Identifier: GPL-2.0
/*
 * Objects set aside before a lock is taken: see <minikvm/memcache.h>.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <minikvm/memcache.h>

static void *alloc_object(struct memcache *mc, gfp_t gfp)
{
	if (mc->kmem)
		return kmem_cache_zalloc(mc->kmem, gfp);
	return (void *)__get_free_page(gfp | __GFP_ZERO);
}

static void free_object(struct memcache *mc, void *object)
{
	if (mc->kmem)
		kmem_cache_free(mc->kmem, object);
	else
		free_page((unsigned long)object);
}

/**
 * memcache_init() - an empty memcache
 * @mc:		the memcache
 * @kmem:	where its objects come from; NULL for zeroed whole pages
 */
void memcache_init(struct memcache *mc, struct kmem_cache *kmem)
{
	mc->nobjs = 0;
	mc->kmem = kmem;
}

/**
 * memcache_topup() - have at least @min objects
 * @mc:		the memcache
 * @min:	how many the coming critical section may take
 *
 * When there are fewer, it is filled whole, so that this is rare. Getting
 * @min of them is success.
 *
 * Context: may sleep. Return: 0 or -ENOMEM.
 */
int memcache_topup(struct memcache *mc, unsigned int min)
{
	void *object;

	if (mc->nobjs >= min)
		return 0;
	while (mc->nobjs < MINIKVM_MEMCACHE_OBJECTS) {
		object = alloc_object(mc, MINIKVM_MEMCACHE_GFP);
		if (!object)
			return mc->nobjs >= min ? 0 : -ENOMEM;
		mc->objects[mc->nobjs++] = object;
	}
	return 0;
}

/**
 * memcache_alloc() - take an object
 * @mc: a memcache that was topped up for this
 *
 * Context: any. Return: a zeroed object; never NULL: if the count was wrong,
 * the reserves of the system are tried, once loudly.
 */
void *memcache_alloc(struct memcache *mc)
{
	if (WARN_ON_ONCE(!mc->nobjs))
		return alloc_object(mc, GFP_ATOMIC | __GFP_NOFAIL);
	return mc->objects[--mc->nobjs];
}

/**
 * memcache_return() - put back an object that was not used
 * @mc:		the memcache it came from
 * @object:	still zeroed
 */
void memcache_return(struct memcache *mc, void *object)
{
	mc->objects[mc->nobjs++] = object;
}

/**
 * memcache_free() - give all objects back to the system
 * @mc: the memcache
 */
void memcache_free(struct memcache *mc)
{
	while (mc->nobjs)
		free_object(mc, mc->objects[--mc->nobjs]);
}
