// SPDX-License-Identifier: GPL-2.0
/*
 * The vCPU's fd: creation, the run page, and the parts of running that no
 * architecture changes: load and put, kick, sleep.
 */
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
/* The tracepoint behind smp_send_reschedule() in newer kernels. */
#include <trace/events/ipi.h>
#include <minikvm/coalesced.h>
#include <minikvm/ioctl.h>
#include <minikvm/stats.h>
#include <minikvm/vcpu.h>
#include "compat/guest_context.h"

static unsigned int halt_poll_ns = 200000;
module_param(halt_poll_ns, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns, "a vCPU that halts polls for so long at most before it sleeps; 0: not at all");

#define POLL_FIRST_NS	10000

static struct kmem_cache *vcpu_cachep;
/* For vcpus_kick_and_wait(); used with preemption off. */
static DEFINE_PER_CPU(cpumask_var_t, kick_mask);

/**
 * vcpu_load() - bind a vCPU to this thread and this CPU
 * @vcpu: the vCPU; its mutex is held, or nobody knows it yet
 *
 * From here to vcpu_put() the scheduler moves its hardware state along.
 */
void vcpu_load(struct vcpu *vcpu)
{
	int cpu = get_cpu();

	preempt_notifier_register(&vcpu->preempt);
	arch_vcpu_load(vcpu, cpu);
	put_cpu();
}

/**
 * vcpu_put() - the reverse of vcpu_load()
 * @vcpu: the vCPU
 */
void vcpu_put(struct vcpu *vcpu)
{
	preempt_disable();
	arch_vcpu_put(vcpu);
	preempt_notifier_unregister(&vcpu->preempt);
	preempt_enable();
}

static void sched_in(struct preempt_notifier *notifier, int cpu)
{
	struct vcpu *vcpu = container_of(notifier, struct vcpu, preempt);

	WRITE_ONCE(vcpu->preempted, false);
	arch_vcpu_load(vcpu, cpu);
}

static void sched_out(struct preempt_notifier *notifier, struct task_struct *next)
{
	struct vcpu *vcpu = container_of(notifier, struct vcpu, preempt);

	if (task_is_running(current))
		WRITE_ONCE(vcpu->preempted, true);
	arch_vcpu_put(vcpu);
}

static struct preempt_ops preempt_ops = { .sched_in = sched_in, .sched_out = sched_out };

/* Ends a vCPU's sleep; returns whether it slept. Context: any. */
static bool wake(struct vcpu *vcpu)
{
	bool slept = rcuwait_wake_up(&vcpu->wait);

	/* Two at a time may count as one: it is a statistic. */
	if (slept)
		vcpu->stats.halt_wakeup++;
	return slept;
}

/**
 * vcpu_memslot_anew() - vcpu_memslot() of what it does not know
 * @vcpu:	the vCPU, of this thread; vm->srcu is held
 * @gfn:	guest frame
 *
 * Return: the slot or NULL.
 */
struct memslot *vcpu_memslot_anew(struct vcpu *vcpu, gfn_t gfn)
{
	struct memslot_cache *cache = &vcpu->slot_cache;
	unsigned long generation = smp_load_acquire(&vcpu->vm->slots.generation);
	struct memslot *slot = memslot_find(vcpu->vm, vcpu->space, gfn);

	if (cache->generation != generation)
		*cache = (struct memslot_cache){ .generation = generation, .hole = NO_GFN };
	if (slot)
		cache->slot = slot;
	else
		cache->hole = gfn;
	return slot;
}

/**
 * vcpu_kick() - have a vCPU look at its requests soon
 * @vcpu: the vCPU; what it shall see was written before
 *
 * Context: any but NMI. Does not wait.
 */
void vcpu_kick(struct vcpu *vcpu)
{
	int cpu, here;

	if (wake(vcpu))
		return;
	here = get_cpu();
	/* Pairs with the barrier after VCPU_IN_GUEST is set: see vcpu.h. */
	smp_mb();
	cpu = READ_ONCE(vcpu->cpu);
	if (cpu >= 0 && cpu != here &&
	    atomic_cmpxchg(&vcpu->mode, VCPU_IN_GUEST, VCPU_EXITING) == VCPU_IN_GUEST)
		smp_send_reschedule(cpu);
	put_cpu();
}

/**
 * vcpu_kick_self() - the guest about to be entered on this CPU is left at once
 *
 * What the entry injects is delivered before: no instruction of the guest runs.
 *
 * Context: interrupts off, between the last look at the requests and the entry.
 */
void vcpu_kick_self(void)
{
	smp_send_reschedule(smp_processor_id());
}

static void arrived(void *unused)
{
}

/**
 * vcpus_kick_and_wait_for() - none of these vCPUs is in the guest since before this call
 * @vm:		the VM
 * @wanted:	a bit for each that is meant, by index; NULL: all
 *
 * On return each of them has been outside the guest at least once, or will make
 * its last checks after what the caller wrote before the call.
 *
 * Context: interrupts on; may be under a spinning lock.
 */
void vcpus_kick_and_wait_for(struct vm *vm, const unsigned long *wanted)
{
	struct cpumask *mask = NULL;
	struct vcpu *vcpu;
	unsigned long i;
	int here = get_cpu(), cpu;

	/* Pairs with the barrier after VCPU_IN_GUEST is set: see vcpu.h. */
	smp_mb();
	vm_for_each_vcpu(i, vcpu, vm) {
		if ((wanted && !test_bit(i, wanted)) || atomic_read(&vcpu->mode) == VCPU_OUTSIDE)
			continue;
		atomic_cmpxchg(&vcpu->mode, VCPU_IN_GUEST, VCPU_EXITING);
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu < 0 || cpu == here)
			continue;
		if (!mask) {
			mask = this_cpu_cpumask_var_ptr(kick_mask);
			cpumask_clear(mask);
		}
		cpumask_set_cpu(cpu, mask);
	}
	/* An IPI that was answered is a guest that was left. */
	if (mask)
		smp_call_function_many(mask, arrived, NULL, true);
	put_cpu();
}

/**
 * vcpus_kick_and_wait() - the same of all vCPUs
 * @vm: the VM
 *
 * Context: as vcpus_kick_and_wait_for().
 */
void vcpus_kick_and_wait(struct vm *vm)
{
	vcpus_kick_and_wait_for(vm, NULL);
}

static bool awake(struct vcpu *vcpu)
{
	return arch_vcpu_runnable(vcpu) || signal_pending(current);
}

static u32 poll_limit(struct vcpu *vcpu)
{
	u64 own = READ_ONCE(vcpu->vm->halt_poll);

	return own ? own - 1 : READ_ONCE(halt_poll_ns);
}

/*
 * Look again and again, for vcpu->poll_ns at most: to sleep and be woken costs
 * more than many a wait takes. Not if somebody else could use the CPU.
 * Returns whether there is something to run for.
 */
static bool poll(struct vcpu *vcpu, u64 start)
{
	u64 now = start;
	bool found;

	if (!vcpu->poll_ns || !arch_vcpu_may_poll(vcpu))
		return false;
	vcpu->stats.halt_attempted_poll++;
	while (!(found = awake(vcpu)) && now - start < vcpu->poll_ns &&
	       single_task_running() && !need_resched()) {
		cpu_relax();
		now = ktime_get_ns();
	}
	vcpu->stats.halt_successful_poll += found;
	*(found ? &vcpu->stats.halt_poll_success_ns : &vcpu->stats.halt_poll_fail_ns) += now - start;
	return found;
}

/*
 * The next wait is taken to be as long as this one: poll for longer if that
 * would have been enough, and not at all if no allowed time would.
 */
static void poll_adapt(struct vcpu *vcpu, u64 waited)
{
	u64 limit = poll_limit(vcpu), ns = vcpu->poll_ns;

	if (waited > limit)
		ns = 0;
	else if (waited > ns)
		ns = max_t(u64, 2 * ns, POLL_FIRST_NS);
	vcpu->poll_ns = min(ns, limit);
}

static void sleep(struct vcpu *vcpu)
{
	u64 start = ktime_get_ns();

	vcpu->stats.blocking = 1;
	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (awake(vcpu))
			break;
		schedule();
	}
	finish_rcuwait(&vcpu->wait);
	vcpu->stats.blocking = 0;
	vcpu->stats.halt_wait_ns += ktime_get_ns() - start;
}

/**
 * vcpu_block() - wait until the vCPU can run or its thread is wanted
 * @vcpu: the vCPU, loaded
 *
 * Context: sleeps; vm->srcu must not be held.
 */
void vcpu_block(struct vcpu *vcpu)
{
	u64 start = ktime_get_ns();

	if (!poll(vcpu, start))
		sleep(vcpu);
	poll_adapt(vcpu, ktime_get_ns() - start);
}

/**
 * halt_poll_enable() - KVM_CAP_HALT_POLL: a limit of the VM's own
 * @vm:	the VM
 * @ns:	the longest that a vCPU polls before it sleeps; 0: none does
 *
 * Return: 0, or -EINVAL for more than 32 bits.
 */
int halt_poll_enable(struct vm *vm, u64 ns)
{
	if (ns > U32_MAX)
		return -EINVAL;
	WRITE_ONCE(vm->halt_poll, ns + 1);
	return 0;
}

/**
 * vcpu_yield_to() - give this CPU's time to a vCPU that was preempted
 * @target: not the caller's own
 *
 * vcpu->task is a thread that is in KVM_RUN; should it leave and exit, RCU keeps
 * its task_struct until we have a reference.
 *
 * Context: a vCPU's thread; may schedule. Return: false if @target does not
 * wait for a CPU, or the scheduler sees no way to help it.
 */
bool vcpu_yield_to(struct vcpu *target)
{
	struct task_struct *task;
	bool yielded;

	if (!READ_ONCE(target->preempted))
		return false;
	rcu_read_lock();
	task = READ_ONCE(target->task);
	if (task)
		get_task_struct(task);
	rcu_read_unlock();
	if (!task)
		return false;
	yielded = yield_to(task, true) > 0;
	put_task_struct(task);
	return yielded;
}

/**
 * vcpu_yield_to_any() - the guest spins: help the vCPU that it may wait for
 * @vcpu: that spins
 *
 * Which one it is nobody knows. They have their turns: each search begins
 * behind the one that was found last.
 *
 * Context: @vcpu's thread; may schedule. Return: whether one was found.
 */
bool vcpu_yield_to_any(struct vcpu *vcpu)
{
	unsigned int n = READ_ONCE(vcpu->vm->nvcpus), i, index;

	for (i = 1; i <= n; i++) {
		index = (vcpu->yielded_to + i) % n;
		if (index != vcpu->index && vcpu_yield_to(vm_vcpu(vcpu->vm, index))) {
			vcpu->yielded_to = index;
			return true;
		}
	}
	return false;
}

static vm_fault_t run_page_fault(struct vm_fault *vmf)
{
	struct vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page;

	if (vmf->pgoff == 0)
		page = virt_to_page(vcpu->run);
	else if (vmf->pgoff == KVM_COALESCED_MMIO_PAGE_OFFSET)
		page = coalesced_page(vcpu->vm);
	else if (dirty_ring_mapped(vcpu->vm, vmf->pgoff, 1))
		page = dirty_ring_page(vcpu, vmf->pgoff);
	else
		page = arch_vcpu_mmap_page(vcpu, vmf->pgoff);
	if (!page)
		return VM_FAULT_SIGBUS;
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct run_page_ops = { .fault = run_page_fault };

/* A private copy of a ring would tell the kernel nothing. */
static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vcpu *vcpu = file->private_data;

	if (dirty_ring_mapped(vcpu->vm, vma->vm_pgoff, vma_pages(vma)) &&
	    (!(vma->vm_flags & VM_SHARED) || (vma->vm_flags & VM_EXEC)))
		return -EINVAL;
	vma->vm_ops = &run_page_ops;
	return 0;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct vcpu *vcpu = file->private_data;

	vm_put(vcpu->vm);
	return 0;
}

static long set_signal_mask(void *obj, void *arg, unsigned long raw)
{
	struct kvm_signal_mask __user *user = (void __user *)raw;
	struct vcpu *vcpu = obj;
	struct kvm_signal_mask head;
	sigset_t set;

	if (!user) {
		vcpu->sigset_active = false;
		return 0;
	}
	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.len != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, user->sigset, sizeof(set)))
		return -EFAULT;
	sigdelsetmask(&set, sigmask(SIGKILL) | sigmask(SIGSTOP));
	vcpu->sigset = set;
	vcpu->sigset_active = true;
	return 0;
}

/*
 * KVM_SET_SIGNAL_MASK's mask holds from entry to exit of KVM_RUN. The old one
 * waits in ->real_blocked, as for sigtimedwait(), whose own use of it cannot
 * overlap with ours.
 */
static void sigset_enter(struct vcpu *vcpu)
{
	if (vcpu->sigset_active)
		sigprocmask(SIG_SETMASK, &vcpu->sigset, &current->real_blocked);
}

static void sigset_leave(struct vcpu *vcpu)
{
	if (!vcpu->sigset_active)
		return;
	sigprocmask(SIG_SETMASK, &current->real_blocked, NULL);
	sigemptyset(&current->real_blocked);
}

static long run(void *obj, void *arg, unsigned long raw)
{
	struct vcpu *vcpu = obj;
	long r;

	if (raw)
		return -EINVAL;
	sigset_enter(vcpu);
	WRITE_ONCE(vcpu->task, current);
	r = arch_vcpu_run(vcpu);
	WRITE_ONCE(vcpu->task, NULL);
	sigset_leave(vcpu);
	if (r == -ERESTARTNOHAND)
		host_work_restart();
	return r;
}

static long get_stats_fd(void *obj, void *arg, unsigned long raw)
{
	struct vcpu *vcpu = obj;

	return stats_fd(vcpu->vm, &arch_vcpu_stats, vcpu, vcpu->id);
}

static const struct ioctl_row vcpu_ioctls[] = {
	{ KVM_RUN,		0,		run },
	{ KVM_SET_SIGNAL_MASK,	IOCTL_RAW,	set_signal_mask },
	{ KVM_GET_STATS_FD,	0,		get_stats_fd },
};

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long raw)
{
	struct vcpu *vcpu = file->private_data;
	long r;

	if (vcpu->vm->mm != current->mm)
		return -EIO;
	if (_IOC_TYPE(cmd) != KVMIO)
		return -EINVAL;
	if (mutex_lock_killable(&vcpu->lock))
		return -EINTR;
	vcpu_load(vcpu);
	r = ioctl_call(vcpu_ioctls, ARRAY_SIZE(vcpu_ioctls), vcpu, cmd, raw);
	if (r == -ENOTTY)
		r = arch_vcpu_ioctl(vcpu, cmd, raw);
	vcpu_put(vcpu);
	mutex_unlock(&vcpu->lock);
	/* For an unknown command KVM's vCPUs say -EINVAL, like its device; its VMs don't. */
	return r == -ENOTTY ? -EINVAL : r;
}

static const struct file_operations vcpu_fops = {
	.owner		= THIS_MODULE,
	.release	= vcpu_release,
	.unlocked_ioctl	= vcpu_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.mmap		= vcpu_mmap,
	.llseek		= noop_llseek,
};

static struct vcpu *vcpu_alloc(struct vm *vm, unsigned int id)
{
	struct vcpu *vcpu = kmem_cache_zalloc(vcpu_cachep, GFP_KERNEL_ACCOUNT);
	int r = -ENOMEM;

	if (!vcpu)
		return ERR_PTR(r);
	vcpu->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->run)
		goto err_vcpu;
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->index = vm->nvcpus;
	vcpu->cpu = -1;
	mutex_init(&vcpu->lock);
	rcuwait_init(&vcpu->wait);
	preempt_notifier_init(&vcpu->preempt, &preempt_ops);
	r = dirty_ring_init(vcpu);
	if (r)
		goto err_run;
	r = arch_vcpu_create(vcpu);
	if (r)
		goto err_ring;
	return vcpu;

err_ring:
	dirty_ring_destroy(vcpu);
err_run:
	free_page((unsigned long)vcpu->run);
err_vcpu:
	kmem_cache_free(vcpu_cachep, vcpu);
	return ERR_PTR(r);
}

/**
 * vcpu_destroy() - free what vcpu_create() made
 * @vcpu: a vCPU that nobody can reach any more
 */
void vcpu_destroy(struct vcpu *vcpu)
{
	arch_vcpu_destroy(vcpu);
	dirty_ring_destroy(vcpu);
	free_page((unsigned long)vcpu->run);
	kmem_cache_free(vcpu_cachep, vcpu);
}

/*
 * The place among the ids is made sure of before the fd exists: after
 * anon_inode_getfd() there is no way back, and before it nobody may find what
 * might still be freed. vm->nvcpus moves last, so nobody iterates over half a
 * vCPU. The vCPU's own lock is held until all is done: who guesses the fd's
 * number would make us wait for a guest, with vm->lock held.
 */
static int vcpu_publish(struct vm *vm, struct vcpu *vcpu)
{
	char name[sizeof("kvm-vcpu:") + 10];	/* strace, for one, takes the id from there */
	int r;

	snprintf(name, sizeof(name), "kvm-vcpu:%d", vcpu->id);
	r = xa_reserve(&vm->vcpu_ids, vcpu->id, GFP_KERNEL_ACCOUNT);
	if (r)
		return r;
	vm_get(vm);
	mutex_lock(&vcpu->lock);
	r = anon_inode_getfd(name, &vcpu_fops, vcpu, O_RDWR | O_CLOEXEC);
	if (r < 0)
		goto err_id;
	vm->vcpus[vcpu->index] = vcpu;
	xa_store(&vm->vcpu_ids, vcpu->id, vcpu, GFP_KERNEL_ACCOUNT);
	smp_store_release(&vm->nvcpus, vm->nvcpus + 1);
	arch_vcpu_postcreate(vcpu);
	mutex_unlock(&vcpu->lock);
	return r;

err_id:
	mutex_unlock(&vcpu->lock);
	vm_put(vm);
	xa_release(&vm->vcpu_ids, vcpu->id);
	return r;
}

/**
 * vcpu_create() - KVM_CREATE_VCPU
 * @vm:	the VM
 * @id:	the user's number for it
 *
 * Context: may sleep. Return: a new fd; -EINVAL for an id or a count out of
 * range, -EEXIST for an id that is taken, or another errno.
 */
int vcpu_create(struct vm *vm, unsigned long id)
{
	struct vcpu *vcpu;
	int r;

	mutex_lock(&vm->lock);
	r = id > INT_MAX ? -EINVAL : arch_vcpu_precreate(vm, id);
	if (!r && vm_vcpu_by_id(vm, id))
		r = -EEXIST;
	if (r)
		goto out;
	vcpu = vcpu_alloc(vm, id);
	r = PTR_ERR_OR_ZERO(vcpu);
	if (r)
		goto out;
	r = vcpu_publish(vm, vcpu);
	if (r < 0)
		vcpu_destroy(vcpu);
out:
	mutex_unlock(&vm->lock);
	return r;
}

/**
 * vcpu_init() - what vCPUs share, at module load
 *
 * Return: 0 or -ENOMEM.
 */
int vcpu_init(void)
{
	int cpu;

	vcpu_cachep = kmem_cache_create_usercopy("minikvm_vcpu", arch_vcpu_size(),
						 __alignof__(struct vcpu), SLAB_ACCOUNT,
						 arch_vcpu_usercopy_offset,
						 arch_vcpu_usercopy_size, NULL);
	if (!vcpu_cachep)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		if (!zalloc_cpumask_var_node(&per_cpu(kick_mask, cpu), GFP_KERNEL,
					     cpu_to_node(cpu)))
			goto err;
	return 0;
err:
	vcpu_exit();
	return -ENOMEM;
}

/**
 * vcpu_exit() - the reverse of vcpu_init()
 */
void vcpu_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		free_cpumask_var(per_cpu(kick_mask, cpu));
	kmem_cache_destroy(vcpu_cachep);
}
