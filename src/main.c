// SPDX-License-Identifier: GPL-2.0
/*
 * The life of the module: load and unload, the device node, and which CPUs
 * are in virtualization mode. Nothing of a vm or of an architecture is here.
 *
 * Every online CPU is enabled from load to unload, so that creating a VM costs
 * no round of IPIs, and so that whoever else wants the hardware is told at
 * once that it is taken.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/syscore_ops.h>
#include <minikvm/arch.h>
#include <minikvm/dirty_log.h>
#include <minikvm/vcpu.h>
#include <minikvm/vm.h>

static long dev_ioctl(struct file *file, unsigned int cmd, unsigned long raw)
{
	switch (cmd) {
	case KVM_GET_API_VERSION:
		return raw ? -EINVAL : KVM_API_VERSION;
	case KVM_CREATE_VM:
		return vm_create(raw);
	case KVM_CHECK_EXTENSION:
		return vm_check_extension(NULL, raw);
	case KVM_GET_VCPU_MMAP_SIZE:
		return raw ? -EINVAL : arch_vcpu_mmap_pages * PAGE_SIZE;
	default:
		return arch_dev_ioctl(cmd, raw);
	}
}

static const struct file_operations dev_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= dev_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.llseek		= noop_llseek,
};

static struct miscdevice dev = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= KBUILD_MODNAME,
	.mode	= 0660,
	.fops	= &dev_fops,
};

/*
 * Hotplug threads come here with interrupts on; enabling wants them off. The CPU that loads the
 * module has been asked by then: what is refused here, at load or when a CPU comes online, is
 * another one, and nobody else says why.
 */
static int enable_cpu(unsigned int cpu)
{
	unsigned long flags;
	int r;

	local_irq_save(flags);
	r = arch_cpu_enable();
	local_irq_restore(flags);
	if (r == -EBUSY)
		pr_err("CPU %u is held by another hypervisor: stop its guests and unload it\n", cpu);
	else if (r)
		pr_err("CPU %u can't run guests: it is not like the others (error %d)\n", cpu, r);
	return r;
}

static int disable_cpu(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	arch_cpu_disable();
	local_irq_restore(flags);
	return 0;
}

static void disable_this_cpu(void *unused)
{
	arch_cpu_disable();
}

/*
 * Firmware and the next kernel expect CPUs that are not in virtualization
 * mode. A vCPU that is still running is stopped by the exception fixup of its
 * entry (see the vendors' entry.S).
 */
static int reboot_notify(struct notifier_block *nb, unsigned long what, void *unused)
{
	on_each_cpu(disable_this_cpu, NULL, 1);
	return NOTIFY_OK;
}

static struct notifier_block reboot_nb = { .notifier_call = reboot_notify };

/* Suspend takes all CPUs but one down by hotplug; this is for that one. */
static int suspend(void)
{
	arch_suspend();
	disable_this_cpu(NULL);
	return 0;
}

static void resume(void)
{
	WARN_ON(arch_cpu_enable());
	arch_resume();
}

static struct syscore_ops syscore = { .suspend = suspend, .resume = resume };

static enum cpuhp_state hotplug_state;

static int __init minikvm_init(void)
{
	int r;

	r = arch_init();
	if (r)
		return r;
	r = vcpu_init();
	if (r)
		goto err_arch;
	r = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "minikvm:online", enable_cpu, disable_cpu);
	if (r < 0)
		goto err_vcpu;
	hotplug_state = r;
	register_reboot_notifier(&reboot_nb);
	register_syscore_ops(&syscore);
	r = misc_register(&dev);
	if (r)
		goto err_hotplug;
	return 0;

err_hotplug:
	unregister_syscore_ops(&syscore);
	unregister_reboot_notifier(&reboot_nb);
	cpuhp_remove_state(hotplug_state);
err_vcpu:
	vcpu_exit();
err_arch:
	arch_exit();
	return r;
}

static void __exit minikvm_exit(void)
{
	misc_deregister(&dev);
	unregister_syscore_ops(&syscore);
	unregister_reboot_notifier(&reboot_nb);
	cpuhp_remove_state(hotplug_state);
	dirty_log_exit();
	vcpu_exit();
	arch_exit();
}

module_init(minikvm_init);
module_exit(minikvm_exit);

MODULE_DESCRIPTION("A small KVM, for AMD SVM and Intel VMX");
MODULE_AUTHOR("The minikvm developers");
MODULE_LICENSE("GPL");
