// SPDX-License-Identifier: GPL-2.0
/*
 * The VM's fd: creation, lifetime, and the table of the ioctls that every
 * architecture has. What an ioctl does lives with its subject.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <minikvm/coalesced.h>
#include <minikvm/dirty_log.h>
#include <minikvm/dirty_ring.h>
#include <minikvm/eventfd.h>
#include <minikvm/ioctl.h>
#include <minikvm/stats.h>
#include <minikvm/vcpu.h>
#include <minikvm/vm.h>
#include "compat/srcu.h"

/**
 * vm_wait_readers() - wait until all have left who may have seen what is gone
 * @srcu: the VM's, under which they read
 *
 * A grace period takes other threads; that nobody reads, which is so as long as vCPUs are in
 * the guest or not run at all, can be seen from here.
 *
 * Context: sleeps; not inside a read section of @srcu.
 */
void vm_wait_readers(struct srcu_struct *srcu)
{
	if (!compat_srcu_idle(srcu))
		synchronize_srcu_expedited(srcu);
}

/**
 * vm_vcpu_by_id() - a vCPU by the number that user space gave it
 * @vm:		the VM
 * @id:		the user's number
 *
 * Context: any. Return: the vCPU, or NULL.
 */
struct vcpu *vm_vcpu_by_id(struct vm *vm, unsigned int id)
{
	return xa_load(&vm->vcpu_ids, id);
}

static struct vm *vm_alloc(unsigned long type)
{
	struct vm *vm = kvzalloc(arch_vm_size(), GFP_KERNEL_ACCOUNT);
	int r = -ENOMEM;

	if (!vm)
		return ERR_PTR(r);
	refcount_set(&vm->users, 1);
	mutex_init(&vm->lock);
	mutex_init(&vm->slots_lock);
	mutex_init(&vm->irq_lock);
	rwlock_init(&vm->mmu_lock);
	spin_lock_init(&vm->invalidation.lock);
	xa_init(&vm->vcpu_ids);
	vm->mm = current->mm;
	mmgrab(vm->mm);

	if (init_srcu_struct(&vm->srcu))
		goto err_free;
	if (init_srcu_struct(&vm->irq_srcu))
		goto err_srcu;
	memslots_init(vm);
	r = io_bus_init(vm);
	if (r)
		goto err_slots;
	r = irq_routing_init(vm);
	if (r)
		goto err_bus;
	r = eventfds_init(vm);
	if (r)
		goto err_routing;
	r = coalesced_init(vm);
	if (r)
		goto err_eventfds;
	r = arch_vm_init(vm, type);
	if (r)
		goto err_coalesced;
	preempt_notifier_inc();
	return vm;

err_coalesced:
	coalesced_destroy(vm);
err_eventfds:
	eventfds_destroy(vm);
err_routing:
	irq_routing_destroy(vm);
err_bus:
	io_bus_destroy(vm);
err_slots:
	memslots_destroy(vm);
	cleanup_srcu_struct(&vm->irq_srcu);
err_srcu:
	cleanup_srcu_struct(&vm->srcu);
err_free:
	mmdrop(vm->mm);
	kvfree(vm);
	return ERR_PTR(r);
}

/*
 * Whoever can still call in is stopped first: eventfds, timers and devices,
 * then the host's mm and the MMU's worker, both of which flush vCPUs; only then
 * do vCPUs and the memory behind them go.
 */
static void vm_free(struct vm *vm)
{
	struct vcpu *vcpu;
	unsigned long i;

	eventfds_destroy(vm);
	arch_vm_pre_destroy(vm);
	vm_for_each_vcpu(i, vcpu, vm)
		vcpu_destroy(vcpu);
	io_bus_destroy(vm);
	coalesced_destroy(vm);
	arch_vm_destroy(vm);
	irq_routing_destroy(vm);
	memslots_destroy(vm);
	xa_destroy(&vm->vcpu_ids);
	cleanup_srcu_struct(&vm->irq_srcu);
	cleanup_srcu_struct(&vm->srcu);
	preempt_notifier_dec();
	mmdrop(vm->mm);
	kvfree(vm);
}

/**
 * vm_get() - one more holder of the VM
 * @vm: a VM that the caller has a right to
 */
void vm_get(struct vm *vm)
{
	refcount_inc(&vm->users);
}

/**
 * vm_put() - one holder less; the last one destroys the VM
 * @vm: the VM
 *
 * Context: may sleep.
 */
void vm_put(struct vm *vm)
{
	if (refcount_dec_and_test(&vm->users))
		vm_free(vm);
}

static int vm_release(struct inode *inode, struct file *file)
{
	struct vm *vm = file->private_data;

	eventfds_release(vm);
	vm_put(vm);
	return 0;
}

static long create_vcpu(void *obj, void *arg, unsigned long raw)
{
	return vcpu_create(obj, raw);
}

/*
 * Copied here, where the compiler knows the size and hardened usercopy has nothing
 * to look up: that would be a twentieth of what a delete costs.
 */
static long set_memory(void *obj, void *arg, unsigned long raw)
{
	struct kvm_userspace_memory_region region;
	struct vm *vm = obj;
	long r;

	if (copy_from_user(&region, (void __user *)raw, sizeof(region)))
		return -EFAULT;
	mutex_lock(&vm->slots_lock);
	r = memslot_set(vm, &region);
	mutex_unlock(&vm->slots_lock);
	return r;
}

static long get_dirty_log(void *obj, void *arg, unsigned long raw)
{
	return dirty_log_get(obj, arg);
}

static long clear_dirty_log(void *obj, void *arg, unsigned long raw)
{
	return dirty_log_clear(obj, arg);
}

static long reset_dirty_rings(void *obj, void *arg, unsigned long raw)
{
	return dirty_rings_reset(obj);
}

static long irq_line(void *obj, void *arg, unsigned long raw)
{
	struct vm *vm = obj;
	struct kvm_irq_level *level = arg;

	if (!arch_vm_has_irqchip(vm))
		return -ENXIO;
	level->status = irq_set(vm, IRQ_SOURCE_USER, level->irq, level->level);
	return 0;
}

static long signal_msi(void *obj, void *arg, unsigned long raw)
{
	if (!arch_vm_has_irqchip(obj))
		return -EINVAL;
	return irq_send_msi(obj, arg);
}

static long set_gsi_routing(void *obj, void *arg, unsigned long raw)
{
	struct kvm_irq_routing __user *user = (void __user *)raw;
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry *entries = NULL;
	struct vm *vm = obj;
	long r;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (!arch_vm_has_irqchip(vm) || head.nr > IRQ_ROUTES_MAX || head.flags)
		return -EINVAL;
	if (head.nr) {
		entries = vmemdup_user(user->entries,
				       array_size(sizeof(*entries), head.nr));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	mutex_lock(&vm->irq_lock);
	r = irq_routing_set(vm, entries, head.nr);
	mutex_unlock(&vm->irq_lock);
	kvfree(entries);
	return r;
}

static long irqfd(void *obj, void *arg, unsigned long raw)
{
	return irqfd_set(obj, arg);
}

static long ioeventfd(void *obj, void *arg, unsigned long raw)
{
	return ioeventfd_set(obj, arg);
}

static long register_coalesced(void *obj, void *arg, unsigned long raw)
{
	return coalesced_register(obj, arg);
}

static long unregister_coalesced(void *obj, void *arg, unsigned long raw)
{
	return coalesced_unregister(obj, arg);
}

static long get_stats_fd(void *obj, void *arg, unsigned long raw)
{
	return stats_fd(obj, &arch_vm_stats, arch_vm_stats_base(obj), -1);
}

static long check_extension(void *obj, void *arg, unsigned long raw)
{
	return vm_check_extension(obj, raw);
}

static long enable_manual_log(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->flags || (cap->args[0] & ~DIRTY_LOG_MANUAL_FLAGS) ||
	    cap->args[0] == KVM_DIRTY_LOG_INITIALLY_SET)
		return -EINVAL;
	vm->manual_dirty_log = cap->args[0];
	return 0;
}

static long enable_cap(void *obj, void *arg, unsigned long raw)
{
	const struct kvm_enable_cap *cap = arg;

	switch (cap->cap) {
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return enable_manual_log(obj, cap);
	case KVM_CAP_DIRTY_LOG_RING:
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
		return cap->flags ? -EINVAL : dirty_ring_enable(obj, cap->args[0]);
	case KVM_CAP_HALT_POLL:
		return cap->flags ? -EINVAL : halt_poll_enable(obj, cap->args[0]);
	default:
		return arch_vm_enable_cap(obj, cap);
	}
}

static const struct ioctl_row vm_ioctls[] = {
	{ KVM_CREATE_VCPU,		0,		create_vcpu },
	{ KVM_SET_USER_MEMORY_REGION,	IOCTL_RAW,	set_memory },
	{ KVM_GET_DIRTY_LOG,		0,		get_dirty_log },
	{ KVM_CLEAR_DIRTY_LOG,		0,		clear_dirty_log },
	{ KVM_RESET_DIRTY_RINGS,	0,		reset_dirty_rings },
	{ KVM_IRQ_LINE,			0,		irq_line },
	{ KVM_IRQ_LINE_STATUS,		0,		irq_line },
	{ KVM_SIGNAL_MSI,		0,		signal_msi },
	{ KVM_SET_GSI_ROUTING,		IOCTL_RAW,	set_gsi_routing },
	{ KVM_IRQFD,			0,		irqfd },
	{ KVM_IOEVENTFD,		0,		ioeventfd },
	{ KVM_REGISTER_COALESCED_MMIO,	0,		register_coalesced },
	{ KVM_UNREGISTER_COALESCED_MMIO, 0,		unregister_coalesced },
	{ KVM_CHECK_EXTENSION,		0,		check_extension },
	{ KVM_ENABLE_CAP,		0,		enable_cap },
	{ KVM_GET_STATS_FD,		0,		get_stats_fd },
};

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long raw)
{
	struct vm *vm = file->private_data;
	long r;

	if (vm->mm != current->mm)
		return -EIO;
	r = ioctl_call(vm_ioctls, ARRAY_SIZE(vm_ioctls), vm, cmd, raw);
	return r == -ENOTTY ? arch_vm_ioctl(vm, cmd, raw) : r;
}

static const struct file_operations vm_fops = {
	.owner		= THIS_MODULE,
	.release	= vm_release,
	.unlocked_ioctl	= vm_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= noop_llseek,
};

/**
 * vm_create() - KVM_CREATE_VM
 * @type: the architecture's kind of machine; 0 is the plain one
 *
 * Context: may sleep. Return: a new fd, or an errno.
 */
int vm_create(unsigned long type)
{
	struct vm *vm = vm_alloc(type);
	int fd;

	if (IS_ERR(vm))
		return PTR_ERR(vm);
	fd = anon_inode_getfd("kvm-vm", &vm_fops, vm, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		vm_put(vm);
	return fd;
}

/* What every architecture has; true for exactly what works. */
static const struct { long cap, value; } extensions[] = {
	{ KVM_CAP_USER_MEMORY,			1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS,	1 },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS,	1 },
	{ KVM_CAP_READONLY_MEM,			1 },
	{ KVM_CAP_SYNC_MMU,			1 },
	{ KVM_CAP_NR_MEMSLOTS,			MEMSLOTS_MAX },
	/* Said only where there is more than one. */
	{ KVM_CAP_MULTI_ADDRESS_SPACE,
	  MINIKVM_ADDRESS_SPACES > 1 ? MINIKVM_ADDRESS_SPACES : 0 },
	{ KVM_CAP_INTERNAL_ERROR_DATA,		1 },
	{ KVM_CAP_CHECK_EXTENSION_VM,		1 },
	{ KVM_CAP_ENABLE_CAP_VM,		1 },
	{ KVM_CAP_IMMEDIATE_EXIT,		1 },
	{ KVM_CAP_BINARY_STATS_FD,		1 },
	{ KVM_CAP_HALT_POLL,			1 },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,	DIRTY_LOG_MANUAL_FLAGS },
	{ KVM_CAP_DIRTY_LOG_RING,		DIRTY_RING_BYTES_MAX },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL,	DIRTY_RING_BYTES_MAX },
	{ KVM_CAP_IRQFD,			1 },
	{ KVM_CAP_IRQFD_RESAMPLE,		1 },
	{ KVM_CAP_IOEVENTFD,			1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH,		1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH,		1 },
	{ KVM_CAP_COALESCED_MMIO,		KVM_COALESCED_MMIO_PAGE_OFFSET },
	{ KVM_CAP_COALESCED_PIO,		1 },
	{ KVM_CAP_IRQ_ROUTING,			IRQ_ROUTES_MAX },
	{ KVM_CAP_IRQ_INJECT_STATUS,		1 },
	{ KVM_CAP_SIGNAL_MSI,			1 },
};

/**
 * vm_check_extension() - KVM_CHECK_EXTENSION
 * @vm:		the VM that is asked, or NULL for the device
 * @cap:	KVM_CAP_*
 *
 * Return: 0 for no, else what the capability says yes with.
 */
long vm_check_extension(struct vm *vm, long cap)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(extensions); i++)
		if (extensions[i].cap == cap)
			return extensions[i].value;
	return arch_vm_check_extension(vm, cap);
}
