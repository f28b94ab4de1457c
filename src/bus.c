// SPDX-License-Identifier: GPL-2.0
/*
 * Which device inside the module answers at an address. Only the lookup lives
 * here; what a device does with an access is its own business.
 *
 * A bus is an array of ranges sorted by address, replaced whole when a range
 * is added. Ranges may overlap (ioeventfds sit on top of devices), so each one
 * carries the furthest end of all up to it: a lookup knows how far back it has
 * to look. A range that leaves only loses its device, in place: taking one out
 * never allocates and so never fails; the next range to come sweeps it up.
 */
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <minikvm/bus.h>
#include <minikvm/vcpu.h>
#include <minikvm/vm.h>

/* Far more than a VMM's ioeventfds; a bound on the copy made for each. */
#define BUS_RANGES_MAX	65536

struct bus_range {
	gpa_t first, last;
	gpa_t furthest;			/* max of last over ranges[0..this] */
	struct io_device *dev;		/* NULL: it has left */
};

struct io_bus {
	unsigned int n;
	struct bus_range ranges[];
};

/**
 * io_bus_init() - give @vm its empty buses
 * @vm:	being created
 *
 * Context: may sleep. Return: 0 or -ENOMEM (io_bus_destroy() then cleans up).
 */
int io_bus_init(struct vm *vm)
{
	enum bus_kind kind;

	for (kind = 0; kind < BUS_KINDS; kind++) {
		struct io_bus *bus = kzalloc(sizeof(*bus), GFP_KERNEL_ACCOUNT);

		if (!bus)
			return -ENOMEM;
		rcu_assign_pointer(vm->buses[kind], bus);
	}
	return 0;
}

static void bus_forget(struct io_bus *bus, struct io_device *dev)
{
	unsigned int i;

	for (i = 0; bus && i < bus->n; i++) {
		if (bus->ranges[i].dev == dev)
			WRITE_ONCE(bus->ranges[i].dev, NULL);
	}
}

/* Sleeps: of a full bus, where each device is looked for in all ranges, all going takes seconds. */
static void device_destroy(struct io_device *dev)
{
	if (dev->ops->destroy)
		dev->ops->destroy(dev);
	cond_resched();
}

/**
 * io_bus_destroy() - destroy the devices that are left, and the buses
 * @vm:	being destroyed; no vCPU runs any more
 *
 * Context: may sleep.
 */
void io_bus_destroy(struct vm *vm)
{
	enum bus_kind kind;
	unsigned int i;

	for (kind = 0; kind < BUS_KINDS; kind++) {
		struct io_bus *bus = rcu_dereference_protected(vm->buses[kind], 1);

		for (i = 0; bus && i < bus->n; i++) {
			struct io_device *dev = bus->ranges[i].dev;

			if (!dev)
				continue;
			bus_forget(bus, dev);
			device_destroy(dev);
		}
		RCU_INIT_POINTER(vm->buses[kind], NULL);
		kvfree(bus);
	}
}

static unsigned int live_ranges(const struct io_bus *bus)
{
	unsigned int i, n = 0;

	for (i = 0; i < bus->n; i++)
		n += !!bus->ranges[i].dev;
	return n;
}

/* Live ranges of @old with @add among them, by address, the oldest first. */
static void bus_merge(struct io_bus *new, const struct io_bus *old, const struct bus_range *add)
{
	gpa_t furthest = 0;
	unsigned int i;

	new->n = 0;
	for (i = 0; i < old->n; i++) {
		if (!old->ranges[i].dev)
			continue;
		if (add && old->ranges[i].first > add->first) {
			new->ranges[new->n++] = *add;
			add = NULL;
		}
		new->ranges[new->n++] = old->ranges[i];
	}
	if (add)
		new->ranges[new->n++] = *add;

	for (i = 0; i < new->n; i++) {
		furthest = max(furthest, new->ranges[i].last);
		new->ranges[i].furthest = furthest;
	}
}

/**
 * io_bus_register() - let @dev answer at a range of addresses
 * @vm:		the VM
 * @kind:	which bus
 * @addr:	first address, in bytes
 * @len:	of the range, in bytes; 0 for a device that is asked about
 *		accesses of any length that begin at @addr
 * @dev:	may be registered several times, for several ranges
 *
 * Context: vm->slots_lock held; sleeps.
 * Return: 0, -EINVAL for a range that wraps, -ENOSPC, -ENOMEM.
 */
int io_bus_register(struct vm *vm, enum bus_kind kind, gpa_t addr,
		    unsigned int len, struct io_device *dev)
{
	struct io_bus *old = rcu_dereference_protected(vm->buses[kind],
						    lockdep_is_held(&vm->slots_lock));
	struct bus_range range = {
		.first = addr,
		.last = len ? addr + len - 1 : addr,
		.dev = dev,
	};
	unsigned int n = live_ranges(old);
	struct io_bus *new;

	if (range.last < range.first)
		return -EINVAL;
	if (n >= BUS_RANGES_MAX)
		return -ENOSPC;
	new = kvzalloc(struct_size(new, ranges, n + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	bus_merge(new, old, &range);
	rcu_assign_pointer(vm->buses[kind], new);
	vm_wait_readers(&vm->srcu);
	kvfree(old);
	return 0;
}

/**
 * io_bus_unregister() - take @dev off all its ranges and destroy it
 * @vm:		the VM
 * @kind:	the bus it is on
 * @dev:	nobody is inside its handlers when its destroy() is called
 *
 * Context: vm->slots_lock held; sleeps. Cannot fail.
 */
void io_bus_unregister(struct vm *vm, enum bus_kind kind, struct io_device *dev)
{
	bus_forget(rcu_dereference_protected(vm->buses[kind],
					     lockdep_is_held(&vm->slots_lock)), dev);
	vm_wait_readers(&vm->srcu);
	device_destroy(dev);
}

/* The index after the last range that begins at or before @addr. */
static unsigned int ranges_before(const struct io_bus *bus, gpa_t addr)
{
	unsigned int low = 0, high = bus->n;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (bus->ranges[mid].first <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/*
 * Does the range have the access? One of a single byte is asked about longer
 * accesses too: an ioeventfd of any length looks like that, and the others
 * look at the length themselves.
 */
static bool range_covers(const struct bus_range *range, gpa_t addr, gpa_t last)
{
	return range->first == range->last ? range->first == addr : range->last >= last;
}

/*
 * The devices that have [@addr, @last], one at a time: @at is the cursor, from
 * bus_first(), and @end the first index that can't have it.
 */
static struct io_device *bus_next(const struct io_bus *bus, unsigned int *at,
				   unsigned int end, gpa_t addr, gpa_t last)
{
	while (*at < end) {
		const struct bus_range *range = &bus->ranges[(*at)++];
		struct io_device *dev = READ_ONCE(range->dev);

		if (dev && range_covers(range, addr, last))
			return dev;
	}
	return NULL;
}

static unsigned int bus_first(const struct io_bus *bus, unsigned int end, gpa_t addr)
{
	unsigned int at = end;

	while (at && bus->ranges[at - 1].furthest >= addr)
		at--;
	return at;
}

/**
 * io_bus_read() - offer a read to the devices at @addr
 * @vcpu:	that reads
 * @kind:	which bus
 * @addr:	first address, in bytes
 * @len:	1, 2, 4 or 8 bytes
 * @data:	where they go
 *
 * Context: vm->srcu held. Return: 0, or -EOPNOTSUPP if no device took it.
 */
int io_bus_read(struct vcpu *vcpu, enum bus_kind kind, gpa_t addr,
		unsigned int len, void *data)
{
	const struct io_bus *bus = srcu_dereference(vcpu->vm->buses[kind], &vcpu->vm->srcu);
	unsigned int end = ranges_before(bus, addr);
	unsigned int at = bus_first(bus, end, addr);
	struct io_device *dev;

	while ((dev = bus_next(bus, &at, end, addr, addr + len - 1))) {
		if (dev->ops->read && !dev->ops->read(vcpu, dev, addr, len, data))
			return 0;
	}
	return -EOPNOTSUPP;
}

/**
 * io_bus_write() - offer a write to the devices at @addr
 * @vcpu:	that writes
 * @kind:	which bus
 * @addr:	first address, in bytes
 * @len:	1, 2, 4 or 8 bytes
 * @data:	what is written
 *
 * Context: vm->srcu held. Return: 0, or -EOPNOTSUPP if no device took it.
 */
int io_bus_write(struct vcpu *vcpu, enum bus_kind kind, gpa_t addr,
		 unsigned int len, const void *data)
{
	const struct io_bus *bus = srcu_dereference(vcpu->vm->buses[kind], &vcpu->vm->srcu);
	unsigned int end = ranges_before(bus, addr);
	unsigned int at = bus_first(bus, end, addr);
	struct io_device *dev;

	while ((dev = bus_next(bus, &at, end, addr, addr + len - 1))) {
		if (dev->ops->write && !dev->ops->write(vcpu, dev, addr, len, data))
			return 0;
	}
	return -EOPNOTSUPP;
}
