// SPDX-License-Identifier: GPL-2.0
/*
 * Coalesced I/O: zones of addresses whose writes go into a ring that all of a
 * VM's vCPUs share with user space, which empties it at the next exit.
 *
 * The ring is user space's to scribble in: its indices are checked at every
 * use, and a nonsensical ring counts as full. A write that finds the ring full
 * exits like any other.
 */
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <minikvm/bus.h>
#include <minikvm/coalesced.h>
#include <minikvm/vcpu.h>
#include <minikvm/vm.h>

/* One slot stays free, or a full ring would look like an empty one. */
#define RING_SLOTS	KVM_COALESCED_MMIO_MAX

struct coalesced {
	struct kvm_coalesced_mmio_ring *ring;	/* a page */
	spinlock_t lock;			/* writers of the ring */
	struct list_head zones;			/* vm->slots_lock */
};

struct coalesced_zone {
	struct list_head link;
	struct coalesced *coalesced;
	enum bus_kind kind;
	u64 addr;
	u32 size;
	struct io_device dev;
};

static bool in_zone(const struct coalesced_zone *zone, u64 addr, u32 len)
{
	return addr >= zone->addr && addr + len >= addr &&
	       addr + len <= zone->addr + zone->size;
}

static bool ring_put(struct kvm_coalesced_mmio_ring *ring, const struct kvm_coalesced_mmio *entry)
{
	u32 first = READ_ONCE(ring->first), last = READ_ONCE(ring->last);
	u32 next = (last + 1) % RING_SLOTS;

	if (last >= RING_SLOTS || next == first % RING_SLOTS)
		return false;
	ring->coalesced_mmio[last] = *entry;
	/* The entry is there before the index says so. */
	smp_wmb();
	WRITE_ONCE(ring->last, next);
	return true;
}

static int zone_write(struct vcpu *vcpu, struct io_device *dev, gpa_t addr,
		      unsigned int len, const void *data)
{
	struct coalesced_zone *zone = container_of(dev, struct coalesced_zone, dev);
	struct kvm_coalesced_mmio entry = {
		.phys_addr = addr,
		.len = len,
		.pio = zone->kind == BUS_PIO,
	};
	bool done;

	if (!in_zone(zone, addr, len) || len > sizeof(entry.data))
		return -EOPNOTSUPP;
	memcpy(entry.data, data, len);
	spin_lock(&zone->coalesced->lock);
	done = ring_put(zone->coalesced->ring, &entry);
	spin_unlock(&zone->coalesced->lock);
	return done ? 0 : -EOPNOTSUPP;
}

static void zone_destroy(struct io_device *dev)
{
	struct coalesced_zone *zone = container_of(dev, struct coalesced_zone, dev);

	list_del(&zone->link);
	kfree(zone);
}

static const struct io_device_ops zone_ops = {
	.write		= zone_write,
	.destroy	= zone_destroy,
};

/**
 * coalesced_register() - KVM_REGISTER_COALESCED_MMIO
 * @vm:		the VM
 * @zone:	as user space gave it
 *
 * Context: sleeps; takes vm->slots_lock. Return: 0, -EINVAL, -ENOMEM, -ENOSPC.
 */
int coalesced_register(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct coalesced_zone *new;
	int r;

	if (zone->pio > 1)
		return -EINVAL;
	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	new->coalesced = vm->coalesced;
	new->kind = zone->pio ? BUS_PIO : BUS_MMIO;
	new->addr = zone->addr;
	new->size = zone->size;
	new->dev.ops = &zone_ops;

	mutex_lock(&vm->slots_lock);
	r = io_bus_register(vm, new->kind, new->addr, new->size, &new->dev);
	if (!r)
		list_add_tail(&new->link, &vm->coalesced->zones);
	mutex_unlock(&vm->slots_lock);
	if (r)
		kfree(new);
	return r;
}

/**
 * coalesced_unregister() - KVM_UNREGISTER_COALESCED_MMIO
 * @vm:		the VM
 * @zone:	every zone around this one goes; none need be there
 *
 * Context: sleeps; takes vm->slots_lock. Return: 0 or -EINVAL.
 */
int coalesced_unregister(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct coalesced_zone *old, *next;

	if (zone->pio > 1)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	list_for_each_entry_safe(old, next, &vm->coalesced->zones, link) {
		if (zone->pio == (old->kind == BUS_PIO) &&
		    in_zone(old, zone->addr, zone->size))
			io_bus_unregister(vm, old->kind, &old->dev);
	}
	mutex_unlock(&vm->slots_lock);
	return 0;
}

/**
 * coalesced_page() - the ring
 * @vm:	the VM
 */
struct page *coalesced_page(struct vm *vm)
{
	return virt_to_page(vm->coalesced->ring);
}

/**
 * coalesced_init() - a VM comes
 * @vm:	the VM
 *
 * Return: 0 or -ENOMEM.
 */
int coalesced_init(struct vm *vm)
{
	struct coalesced *coalesced = kzalloc(sizeof(*coalesced), GFP_KERNEL_ACCOUNT);

	if (!coalesced)
		return -ENOMEM;
	coalesced->ring = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!coalesced->ring) {
		kfree(coalesced);
		return -ENOMEM;
	}
	spin_lock_init(&coalesced->lock);
	INIT_LIST_HEAD(&coalesced->zones);
	vm->coalesced = coalesced;
	return 0;
}

/**
 * coalesced_destroy() - a VM goes
 * @vm:	its zones went with its buses
 */
void coalesced_destroy(struct vm *vm)
{
	if (!vm->coalesced)
		return;
	free_page((unsigned long)vm->coalesced->ring);
	kfree(vm->coalesced);
	vm->coalesced = NULL;
}
