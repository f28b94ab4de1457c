// SPDX-License-Identifier: GPL-2.0
/*
 * Eventfds at both ends of the guest: one that is written raises an interrupt
 * (irqfd); a guest's write to an address signals one (ioeventfd).
 *
 * Life of an irqfd: it is on eventfds->active from KVM_IRQFD until the first
 * of deassignment, the eventfd's close and the VM fd's close takes it off,
 * under eventfds->lock; whoever does that puts it on eventfds->dead, and from
 * there eventfds->reaper alone tears it down. The close comes with the
 * eventfd's wait queue lock held, and the reaper takes that lock: hence the
 * two steps.
 *
 * A resample irqfd holds its GSI up until the guest acknowledges it; then the
 * line goes down, and all who share the GSI are asked, by their second
 * eventfds, to raise it again if they still need to.
 *
 * Locks, outermost first: slots_lock (ioeventfds); resampler_lock; an
 * eventfd's wait queue lock; eventfds->lock.
 */
#include <linux/file.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <minikvm/bus.h>
#include <minikvm/eventfd.h>
#include <minikvm/irq_routing.h>
#include <minikvm/vm.h>
#include "compat/eventfd.h"

struct eventfds {
	struct vm *vm;
	spinlock_t lock;		/* active, dead; interrupts off */
	struct list_head active, dead;	/* irqfds */
	struct work_struct reaper;
	struct mutex resampler_lock;
	struct list_head resamplers;
	struct list_head ioeventfds;	/* vm->slots_lock */
};

/* One for each GSI that has resample irqfds. */
struct resampler {
	struct list_head link;		/* eventfds->resamplers */
	struct irq_ack_notifier notifier;
	struct vm *vm;
	struct list_head irqfds;	/* readers: vm->irq_srcu */
};

struct irqfd {
	struct list_head link;		/* active or dead */
	struct vm *vm;
	u32 gsi;
	struct eventfd_ctx *ctx;
	wait_queue_entry_t wait;	/* on ctx's queue */
	poll_table poll;
	struct resampler *resampler;	/* NULL: edges */
	struct eventfd_ctx *resample_ctx;
	struct list_head resample_link;
};

struct ioeventfd {
	struct list_head link;
	struct eventfd_ctx *ctx;
	enum bus_kind kind;
	u64 addr;
	u32 len;			/* 0: any */
	bool match;			/* only writes of: */
	u64 data;
	struct io_device dev;
};

/*
 * irqfd: the interrupt
 */

/* Context: any but NMI; the eventfd's wait queue lock may be held. */
static void irqfd_raise(struct irqfd *irqfd)
{
	if (irqfd->resampler) {
		irq_set(irqfd->vm, IRQ_SOURCE_RESAMPLE, irqfd->gsi, 1);
	} else {
		irq_set(irqfd->vm, IRQ_SOURCE_USER, irqfd->gsi, 1);
		irq_set(irqfd->vm, IRQ_SOURCE_USER, irqfd->gsi, 0);
	}
}

/* eventfds->lock is held. */
static void irqfd_kill(struct eventfds *eventfds, struct irqfd *irqfd)
{
	list_move_tail(&irqfd->link, &eventfds->dead);
	queue_work(system_unbound_wq, &eventfds->reaper);
}

static bool is_active(struct eventfds *eventfds, struct irqfd *wanted)
{
	struct irqfd *irqfd;

	list_for_each_entry(irqfd, &eventfds->active, link) {
		if (irqfd == wanted)
			return true;
	}
	return false;
}

/* The eventfd is written, or closed. Its wait queue lock is held. */
static int irqfd_wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *irqfd = container_of(wait, struct irqfd, wait);
	struct eventfds *eventfds = irqfd->vm->eventfds;
	__poll_t flags = key_to_poll(key);
	unsigned long irq_flags;
	int consumed = 0;
	u64 count;

	if (flags & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->ctx, &count);
		irqfd_raise(irqfd);
		consumed = 1;
	}
	if (flags & EPOLLHUP) {
		spin_lock_irqsave(&eventfds->lock, irq_flags);
		if (is_active(eventfds, irqfd))
			irqfd_kill(eventfds, irqfd);
		spin_unlock_irqrestore(&eventfds->lock, irq_flags);
	}
	return consumed;
}

/* First in the queue: user space that polls as well must not take the count. */
static void irqfd_queue(struct file *file, wait_queue_head_t *wqh, poll_table *poll)
{
	struct irqfd *irqfd = container_of(poll, struct irqfd, poll);

	add_wait_queue_priority(wqh, &irqfd->wait);
}

/*
 * irqfd: resampling
 */

/* The line down first, for all; then ask all of them, as one may answer at once. */
static void resample(struct irq_ack_notifier *n)
{
	struct resampler *resampler = container_of(n, struct resampler, notifier);
	struct vm *vm = resampler->vm;
	struct irqfd *irqfd;

	irq_set(vm, IRQ_SOURCE_RESAMPLE, n->gsi, 0);
	list_for_each_entry_srcu(irqfd, &resampler->irqfds, resample_link,
				 srcu_read_lock_held(&vm->irq_srcu))
		eventfd_notify(irqfd->resample_ctx);
}

/* What came while the pin was masked may be long over: ask before it is sent. */
static void resample_unmasked(struct irq_ack_notifier *n, bool up)
{
	if (up)
		resample(n);
}

static struct resampler *resampler_find(struct eventfds *eventfds, u32 gsi)
{
	struct resampler *resampler;

	list_for_each_entry(resampler, &eventfds->resamplers, link) {
		if (resampler->notifier.gsi == gsi)
			return resampler;
	}
	return NULL;
}

static struct resampler *resampler_create(struct eventfds *eventfds, u32 gsi)
{
	struct resampler *resampler = kzalloc(sizeof(*resampler), GFP_KERNEL_ACCOUNT);

	if (!resampler)
		return NULL;
	resampler->vm = eventfds->vm;
	INIT_LIST_HEAD(&resampler->irqfds);
	resampler->notifier.gsi = gsi;
	resampler->notifier.acked = resample;
	resampler->notifier.unmasked = resample_unmasked;
	list_add(&resampler->link, &eventfds->resamplers);
	irq_ack_notifier_add(eventfds->vm, &resampler->notifier);
	return resampler;
}

static int irqfd_join_resampler(struct eventfds *eventfds, struct irqfd *irqfd)
{
	struct resampler *resampler;

	mutex_lock(&eventfds->resampler_lock);
	resampler = resampler_find(eventfds, irqfd->gsi);
	if (!resampler)
		resampler = resampler_create(eventfds, irqfd->gsi);
	if (resampler) {
		irqfd->resampler = resampler;
		list_add_rcu(&irqfd->resample_link, &resampler->irqfds);
	}
	mutex_unlock(&eventfds->resampler_lock);
	return resampler ? 0 : -ENOMEM;
}

/* The last to go lets the line down. Nobody looks at @irqfd afterwards. */
static void irqfd_leave_resampler(struct eventfds *eventfds, struct irqfd *irqfd)
{
	struct resampler *resampler = irqfd->resampler;

	mutex_lock(&eventfds->resampler_lock);
	list_del_rcu(&irqfd->resample_link);
	if (list_empty(&resampler->irqfds)) {
		list_del(&resampler->link);
		irq_ack_notifier_del(eventfds->vm, &resampler->notifier);
		irq_set(eventfds->vm, IRQ_SOURCE_RESAMPLE, irqfd->gsi, 0);
		kfree(resampler);
	} else {
		vm_wait_readers(&eventfds->vm->irq_srcu);
	}
	mutex_unlock(&eventfds->resampler_lock);
}

/*
 * irqfd: coming and going
 */

/* Not on any list or queue. */
static void irqfd_free(struct irqfd *irqfd)
{
	if (irqfd->resampler)
		irqfd_leave_resampler(irqfd->vm->eventfds, irqfd);
	if (irqfd->resample_ctx)
		eventfd_ctx_put(irqfd->resample_ctx);
	if (irqfd->ctx)
		eventfd_ctx_put(irqfd->ctx);
	kfree(irqfd);
}

static void reap(struct work_struct *work)
{
	struct eventfds *eventfds = container_of(work, struct eventfds, reaper);
	struct irqfd *irqfd, *next;
	LIST_HEAD(dead);
	u64 count;

	spin_lock_irq(&eventfds->lock);
	list_splice_init(&eventfds->dead, &dead);
	spin_unlock_irq(&eventfds->lock);

	/* irqfd_assign() may not be done with one that died young. */
	vm_wait_readers(&eventfds->vm->irq_srcu);
	list_for_each_entry_safe(irqfd, next, &dead, link) {
		eventfd_ctx_remove_wait_queue(irqfd->ctx, &irqfd->wait, &count);
		irqfd_free(irqfd);
	}
}

static struct irqfd *irqfd_alloc(struct vm *vm, struct file *file, const struct kvm_irqfd *args)
{
	struct irqfd *irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	struct eventfd_ctx *ctx;
	int r = 0;

	if (!irqfd)
		return ERR_PTR(-ENOMEM);
	irqfd->vm = vm;
	irqfd->gsi = args->gsi;
	INIT_LIST_HEAD(&irqfd->link);
	init_waitqueue_func_entry(&irqfd->wait, irqfd_wakeup);
	init_poll_funcptr(&irqfd->poll, irqfd_queue);

	ctx = eventfd_ctx_fileget(file);
	if (IS_ERR(ctx)) {
		r = PTR_ERR(ctx);
		goto err;
	}
	irqfd->ctx = ctx;
	if (!(args->flags & KVM_IRQFD_FLAG_RESAMPLE))
		return irqfd;
	ctx = eventfd_ctx_fdget(args->resamplefd);
	if (IS_ERR(ctx)) {
		r = PTR_ERR(ctx);
		goto err;
	}
	irqfd->resample_ctx = ctx;
	r = irqfd_join_resampler(vm->eventfds, irqfd);
	if (!r)
		return irqfd;
err:
	irqfd_free(irqfd);
	return ERR_PTR(r);
}

/* -EBUSY: the eventfd raises an interrupt of this VM already. */
static int irqfd_publish(struct eventfds *eventfds, struct irqfd *irqfd)
{
	struct irqfd *other;
	int r = 0;

	spin_lock_irq(&eventfds->lock);
	list_for_each_entry(other, &eventfds->active, link) {
		if (other->ctx == irqfd->ctx)
			r = -EBUSY;
	}
	if (!r)
		list_add_tail(&irqfd->link, &eventfds->active);
	spin_unlock_irq(&eventfds->lock);
	return r;
}

static int irqfd_assign(struct vm *vm, const struct kvm_irqfd *args)
{
	struct irqfd *irqfd;
	struct file *file;
	int r, idx;

	if (!arch_irqfd_allowed(vm, args->flags & KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	file = fget(args->fd);
	if (!file)
		return -EBADF;
	irqfd = irqfd_alloc(vm, file, args);
	if (IS_ERR(irqfd)) {
		fput(file);
		return PTR_ERR(irqfd);
	}
	/* From irqfd_publish() on others can kill it; the reaper waits for us. */
	idx = srcu_read_lock(&vm->irq_srcu);
	r = irqfd_publish(vm->eventfds, irqfd);
	if (!r && (vfs_poll(file, &irqfd->poll) & EPOLLIN))
		irqfd_raise(irqfd);
	srcu_read_unlock(&vm->irq_srcu, idx);
	if (r)
		irqfd_free(irqfd);
	fput(file);
	return r;
}

static int irqfd_deassign(struct vm *vm, const struct kvm_irqfd *args)
{
	struct eventfds *eventfds = vm->eventfds;
	struct eventfd_ctx *ctx = eventfd_ctx_fdget(args->fd);
	struct irqfd *irqfd, *next;

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	spin_lock_irq(&eventfds->lock);
	list_for_each_entry_safe(irqfd, next, &eventfds->active, link) {
		if (irqfd->ctx == ctx && irqfd->gsi == args->gsi)
			irqfd_kill(eventfds, irqfd);
	}
	spin_unlock_irq(&eventfds->lock);
	eventfd_ctx_put(ctx);
	/* No interrupt comes by it after this call. */
	flush_work(&eventfds->reaper);
	return 0;
}

/**
 * irqfd_set() - KVM_IRQFD
 * @vm:		the VM
 * @args:	as user space gave them
 *
 * Deassigning what is not assigned succeeds, as in KVM.
 *
 * Context: sleeps.
 * Return: 0, -EINVAL for unknown flags or without an irqchip that could do it,
 * -EBADF, -EBUSY, -ENOMEM.
 */
int irqfd_set(struct vm *vm, const struct kvm_irqfd *args)
{
	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return irqfd_deassign(vm, args);
	return irqfd_assign(vm, args);
}

/*
 * ioeventfd
 */

static int ioeventfd_write(struct vcpu *vcpu, struct io_device *dev, gpa_t addr,
			   unsigned int len, const void *data)
{
	struct ioeventfd *p = container_of(dev, struct ioeventfd, dev);
	u64 value = 0;

	if (addr != p->addr || (p->len && p->len != len) || len > sizeof(value))
		return -EOPNOTSUPP;
	if (p->match) {
		memcpy(&value, data, len);
		if (value != p->data)
			return -EOPNOTSUPP;
	}
	eventfd_notify(p->ctx);
	return 0;
}

static void ioeventfd_destroy(struct io_device *dev)
{
	struct ioeventfd *p = container_of(dev, struct ioeventfd, dev);

	list_del(&p->link);
	eventfd_ctx_put(p->ctx);
	kfree(p);
}

static const struct io_device_ops ioeventfd_ops = {
	.write		= ioeventfd_write,
	.destroy	= ioeventfd_destroy,
};

/* Could one write be for both? */
static bool ioeventfds_collide(const struct ioeventfd *a, const struct ioeventfd *b)
{
	if (a->kind != b->kind || a->addr != b->addr)
		return false;
	if (!a->len || !b->len)
		return true;
	return a->len == b->len && (!a->match || !b->match || a->data == b->data);
}

/* What @args describe; on success @p holds a reference to the eventfd. */
static int ioeventfd_fill(struct ioeventfd *p, const struct kvm_ioeventfd *args)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fdget(args->fd);

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	p->ctx = ctx;
	p->kind = args->flags & KVM_IOEVENTFD_FLAG_PIO ? BUS_PIO : BUS_MMIO;
	p->addr = args->addr;
	p->len = args->len;
	p->match = args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH;
	p->data = p->match ? args->datamatch : 0;
	p->dev.ops = &ioeventfd_ops;
	INIT_LIST_HEAD(&p->link);
	return 0;
}

/* vm->slots_lock is held. On failure @p is the caller's still. */
static int ioeventfd_insert(struct vm *vm, struct ioeventfd *p)
{
	struct ioeventfd *other;
	int r;

	list_for_each_entry(other, &vm->eventfds->ioeventfds, link) {
		if (ioeventfds_collide(other, p))
			return -EEXIST;
	}
	r = io_bus_register(vm, p->kind, p->addr, p->len, &p->dev);
	if (!r)
		list_add_tail(&p->link, &vm->eventfds->ioeventfds);
	return r;
}

static int ioeventfd_assign(struct vm *vm, const struct kvm_ioeventfd *args)
{
	struct ioeventfd *p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	int r;

	if (!p)
		return -ENOMEM;
	r = ioeventfd_fill(p, args);
	if (r) {
		kfree(p);
		return r;
	}
	mutex_lock(&vm->slots_lock);
	r = ioeventfd_insert(vm, p);
	mutex_unlock(&vm->slots_lock);
	if (r)
		ioeventfd_destroy(&p->dev);
	return r;
}

static bool ioeventfd_same(const struct ioeventfd *a, const struct ioeventfd *b)
{
	return a->ctx == b->ctx && a->kind == b->kind && a->addr == b->addr &&
	       a->len == b->len && a->match == b->match && a->data == b->data;
}

static int ioeventfd_deassign(struct vm *vm, const struct kvm_ioeventfd *args)
{
	struct ioeventfd wanted, *p, *next;
	int r;

	r = ioeventfd_fill(&wanted, args);
	if (r)
		return r;
	r = -ENOENT;
	mutex_lock(&vm->slots_lock);
	list_for_each_entry_safe(p, next, &vm->eventfds->ioeventfds, link) {
		if (!ioeventfd_same(p, &wanted))
			continue;
		io_bus_unregister(vm, p->kind, &p->dev);
		r = 0;
		break;
	}
	mutex_unlock(&vm->slots_lock);
	eventfd_ctx_put(wanted.ctx);
	return r;
}

static bool ioeventfd_valid(const struct kvm_ioeventfd *args)
{
	const u32 flags = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO |
			  KVM_IOEVENTFD_FLAG_DEASSIGN;

	if (args->flags & ~flags)
		return false;
	if (args->len > 8 || hweight32(args->len) > 1)
		return false;
	if (args->addr + args->len < args->addr)
		return false;
	return args->len || !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH);
}

/**
 * ioeventfd_set() - KVM_IOEVENTFD
 * @vm:		the VM
 * @args:	as user space gave them
 *
 * Context: sleeps; takes vm->slots_lock.
 * Return: 0, -EINVAL, -EBADF, -EEXIST for one that another's writes would be
 * for, too, -ENOENT, -ENOMEM, -ENOSPC.
 */
int ioeventfd_set(struct vm *vm, const struct kvm_ioeventfd *args)
{
	/* What can't be is not there either: -ENOENT. */
	if (args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		return ioeventfd_deassign(vm, args);
	if (!ioeventfd_valid(args))
		return -EINVAL;
	return ioeventfd_assign(vm, args);
}

/*
 * The VM's life
 */

/**
 * eventfds_init() - a VM comes
 * @vm: with its buses and its routing
 *
 * Return: 0 or -ENOMEM.
 */
int eventfds_init(struct vm *vm)
{
	struct eventfds *eventfds = kzalloc(sizeof(*eventfds), GFP_KERNEL_ACCOUNT);

	if (!eventfds)
		return -ENOMEM;
	eventfds->vm = vm;
	spin_lock_init(&eventfds->lock);
	mutex_init(&eventfds->resampler_lock);
	INIT_LIST_HEAD(&eventfds->active);
	INIT_LIST_HEAD(&eventfds->dead);
	INIT_LIST_HEAD(&eventfds->resamplers);
	INIT_LIST_HEAD(&eventfds->ioeventfds);
	INIT_WORK(&eventfds->reaper, reap);
	vm->eventfds = eventfds;
	return 0;
}

/**
 * eventfds_release() - the VM's fd is closed
 * @vm:	no KVM_IRQFD comes any more, but eventfds may still be written or closed
 *
 * Context: sleeps.
 */
void eventfds_release(struct vm *vm)
{
	struct eventfds *eventfds = vm->eventfds;
	struct irqfd *irqfd, *next;

	spin_lock_irq(&eventfds->lock);
	list_for_each_entry_safe(irqfd, next, &eventfds->active, link)
		irqfd_kill(eventfds, irqfd);
	spin_unlock_irq(&eventfds->lock);
	flush_work(&eventfds->reaper);
}

/**
 * eventfds_destroy() - a VM goes
 * @vm:	its fd was closed, or never was
 *
 * Context: sleeps; takes vm->slots_lock.
 */
void eventfds_destroy(struct vm *vm)
{
	struct eventfds *eventfds = vm->eventfds;
	struct ioeventfd *p, *next;

	eventfds_release(vm);
	mutex_lock(&vm->slots_lock);
	list_for_each_entry_safe(p, next, &eventfds->ioeventfds, link)
		io_bus_unregister(vm, p->kind, &p->dev);
	mutex_unlock(&vm->slots_lock);
	vm->eventfds = NULL;
	kfree(eventfds);
}
