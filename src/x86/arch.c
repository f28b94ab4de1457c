// SPDX-License-Identifier: GPL-2.0
/*
 * x86 as the common core sees it: module load, lifetimes, and the ioctls of the
 * device and the VM (the vCPU's are state_ioctl.c's). What they do lives with its
 * subject; here are the tables, and the order in which things come and go.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compat.h>
#include <linux/printk.h>
#include <linux/sched/stat.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <minikvm/arch.h>
#include <minikvm/ioctl.h>
#include "compat/emergency.h"
#include "x86/cpuid.h"
#include "x86/hyperv/hyperv.h"
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic.h"
#include "x86/x86.h"

struct vendor_caps vendor_caps __ro_after_init;
static struct vendor_ops vendor __ro_after_init;

#define V(verb, result, args)						\
	DEFINE_STATIC_CALL_NULL(vendor_##verb, *((struct vendor_ops *)0)->verb);
VENDOR_VERBS(V)
#undef V

static void bind_vendor(void)
{
#define V(verb, result, args)						\
	static_call_update(vendor_##verb, (typeof(*((struct vendor_ops *)0)->verb) *)vendor.verb);
	VENDOR_VERBS(V)
#undef V
}

/* --- The module. --- */

static int probe_vendor(void)
{
	int r = svm_probe(&vendor);

	if (r == -ENODEV)
		r = vmx_probe(&vendor);
	if (r == -ENODEV)
		pr_err("this CPU has neither AMD SVM nor Intel VMX\n");
	return r;
}

static bool emergency_registered;

int arch_init(void)
{
	int r;

	r = probe_vendor();
	if (r)
		return r;
	bind_vendor();
	r = vendor.setup();
	if (r)
		return r;
	r = mmu_init(&vendor.spte_format);
	if (r)
		goto err_vendor;
	r = clock_init();
	if (r)
		goto err_mmu;
	run_init();
	cpuid_init();
	msr_init();
	emergency_registered = compat_emergency_register(vendor.emergency_disable);
	return 0;

err_mmu:
	mmu_exit();
err_vendor:
	vendor.teardown();
	return r;
}

void arch_exit(void)
{
	if (emergency_registered)
		compat_emergency_unregister(vendor.emergency_disable);
	clock_exit();
	mmu_exit();
	vendor.teardown();
}

int arch_cpu_enable(void)
{
	return static_call(vendor_cpu_enable)();
}

void arch_cpu_disable(void)
{
	static_call(vendor_cpu_disable)();
}

void arch_suspend(void)
{
	clock_suspend();
}

void arch_resume(void)
{
	clock_resume();
}

/* --- The device's ioctls. --- */

static long dev_msr_index_list(void *obj, void *arg, unsigned long raw)
{
	return msr_index_list((void __user *)raw);
}

static long dev_msr_feature_list(void *obj, void *arg, unsigned long raw)
{
	return msr_feature_index_list((void __user *)raw);
}

static long dev_get_msrs(void *obj, void *arg, unsigned long raw)
{
	return msr_feature_io((void __user *)raw);
}

static long dev_supported_cpuid(void *obj, void *arg, unsigned long raw)
{
	struct kvm_cpuid2 __user *user = (void __user *)raw;

	return cpuid_get_supported(arg, user->entries);
}

static long dev_emulated_cpuid(void *obj, void *arg, unsigned long raw)
{
	struct kvm_cpuid2 __user *user = (void __user *)raw;

	return cpuid_get_emulated(arg, user->entries);
}

static long dev_supported_hv_cpuid(void *obj, void *arg, unsigned long raw)
{
	struct kvm_cpuid2 __user *user = (void __user *)raw;

	return hv_cpuid_supported(NULL, arg, user->entries);
}

/* The device's only attribute: the XSAVE components that a guest can have. */
static long dev_has_attr(void *obj, void *arg, unsigned long raw)
{
	const struct kvm_device_attr *attr = arg;

	return attr->group || attr->attr != KVM_X86_XCOMP_GUEST_SUPP ? -ENXIO : 0;
}

static long dev_get_attr(void *obj, void *arg, unsigned long raw)
{
	const struct kvm_device_attr *attr = arg;

	return dev_has_attr(obj, arg, raw) ?:
	       put_user(cpuid_host_xcr0, (u64 __user *)(unsigned long)attr->addr);
}

static long dev_mce_cap(void *obj, void *arg, unsigned long raw)
{
	*(u64 *)arg = MCE_CAPS;
	return 0;
}

static const struct ioctl_row dev_ioctls[] = {
	{ KVM_GET_MSR_INDEX_LIST,		IOCTL_RAW,	dev_msr_index_list },
	{ KVM_GET_MSR_FEATURE_INDEX_LIST,	IOCTL_RAW,	dev_msr_feature_list },
	{ KVM_GET_MSRS,				IOCTL_RAW,	dev_get_msrs },
	{ KVM_GET_SUPPORTED_CPUID,		0,		dev_supported_cpuid },
	{ KVM_GET_EMULATED_CPUID,		0,		dev_emulated_cpuid },
	{ KVM_GET_SUPPORTED_HV_CPUID,		0,		dev_supported_hv_cpuid },
	{ KVM_X86_GET_MCE_CAP_SUPPORTED,	0,		dev_mce_cap },
	{ KVM_HAS_DEVICE_ATTR,			0,		dev_has_attr },
	{ KVM_GET_DEVICE_ATTR,			0,		dev_get_attr },
};

long arch_dev_ioctl(unsigned int cmd, unsigned long raw)
{
	long r = ioctl_call(dev_ioctls, ARRAY_SIZE(dev_ioctls), NULL, cmd, raw);

	/* KVM says -EINVAL for what its device does not know. */
	return r == -ENOTTY ? -EINVAL : r;
}

/* --- A VM. --- */

size_t arch_vm_size(void)
{
	return vendor.vm_size;
}

int arch_vm_init(struct vm *vm, unsigned long type)
{
	int r;

	if (type)
		return -EINVAL;
	mutex_init(&vm->arch.apic_map_lock);
	r = mmu_vm_init(vm);
	if (r)
		return r;
	r = static_call(vendor_vm_init)(vm);
	if (r) {
		mmu_vm_stop(vm);
		mmu_vm_destroy(vm);
		return r;
	}
	clock_vm_init(vm);
	return 0;
}

void arch_vm_pre_destroy(struct vm *vm)
{
	clock_vm_destroy(vm);
	pit_destroy(vm);
	irqchip_destroy(vm);
	mmu_vm_stop(vm);
}

void arch_vm_destroy(struct vm *vm)
{
	msr_filter_free(vm);
	hv_vm_destroy(vm);
	static_call(vendor_vm_destroy)(vm);
	mmu_vm_destroy(vm);
}

bool arch_vm_has_irqchip(struct vm *vm)
{
	return vm->arch.irqchip != IRQCHIP_NONE;
}

static long vm_create_irqchip(void *obj, void *arg, unsigned long raw)
{
	struct vm *vm = obj;
	long r;

	mutex_lock(&vm->lock);
	r = irqchip_create(vm);
	mutex_unlock(&vm->lock);
	return r;
}

static long vm_get_irqchip(void *obj, void *arg, unsigned long raw)
{
	return irqchip_get(obj, arg);
}

static long vm_set_irqchip(void *obj, void *arg, unsigned long raw)
{
	return irqchip_set(obj, arg);
}

static long create_pit(struct vm *vm, const struct kvm_pit_config *config)
{
	long r;

	mutex_lock(&vm->lock);
	r = pit_create(vm, config);
	mutex_unlock(&vm->lock);
	return r;
}

static long vm_create_pit(void *obj, void *arg, unsigned long raw)
{
	const struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };

	return create_pit(obj, &config);
}

static long vm_create_pit2(void *obj, void *arg, unsigned long raw)
{
	return create_pit(obj, arg);
}

static long vm_get_pit2(void *obj, void *arg, unsigned long raw)
{
	return pit_get(obj, arg);
}

static long vm_set_pit2(void *obj, void *arg, unsigned long raw)
{
	return pit_set(obj, arg);
}

/* The older struct is the newer one's beginning. */
static long vm_get_pit(void *obj, void *arg, unsigned long raw)
{
	struct kvm_pit_state2 s = {};
	long r = vm_get_pit2(obj, &s, raw);

	memcpy(arg, &s, sizeof(struct kvm_pit_state));
	return r;
}

static long vm_set_pit(void *obj, void *arg, unsigned long raw)
{
	struct kvm_pit_state2 s = {};
	long r = vm_get_pit2(obj, &s, raw);

	memcpy(&s, arg, sizeof(struct kvm_pit_state));
	return r ?: vm_set_pit2(obj, &s, raw);
}

static long vm_reinject(void *obj, void *arg, unsigned long raw)
{
	struct kvm_reinject_control control;

	/* The number says nothing of the struct that comes with it. */
	if (copy_from_user(&control, (void __user *)raw, sizeof(control)))
		return -EFAULT;
	return pit_set_reinject(obj, control.pit_reinject);
}

/*
 * KVM on lesser hardware needs room for a task state and a page table of its
 * own; minikvm has no use for either, and only checks what it is given.
 */
static long vm_set_tss(void *obj, void *arg, unsigned long raw)
{
	return raw > (u32)(-3 * PAGE_SIZE) ? -EINVAL : 0;
}

static long vm_set_identity_map(void *obj, void *arg, unsigned long raw)
{
	return vm_vcpu(obj, 0) ? -EINVAL : 0;
}

static long vm_set_boot_cpu(void *obj, void *arg, unsigned long raw)
{
	struct vm *vm = obj;
	long r = -EBUSY;

	mutex_lock(&vm->lock);
	if (!vm->nvcpus) {
		vm->arch.bsp_id = raw;
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static long vm_get_clock(void *obj, void *arg, unsigned long raw)
{
	clock_vm_get(obj, arg);
	return 0;
}

static long vm_set_clock(void *obj, void *arg, unsigned long raw)
{
	return clock_vm_set(obj, arg);
}

static long vm_msr_filter(void *obj, void *arg, unsigned long raw)
{
	return msr_filter_set(obj, arg);
}

static long vm_msr_filter32(void *obj, void *arg, unsigned long raw)
{
	return in_compat_syscall() ? msr_filter_set32(obj, arg) : -ENOTTY;
}

/* The number of shadow pages: there are none to limit, but VMMs ask. */
static long vm_set_mmu_pages(void *obj, void *arg, unsigned long raw)
{
	return raw < 64 ? -EINVAL : 0;
}

static long vm_get_mmu_pages(void *obj, void *arg, unsigned long raw)
{
	return 0;
}

static long vm_set_tsc_khz(void *obj, void *arg, unsigned long raw)
{
	struct vm *vm = obj;
	long r = -EINVAL;

	mutex_lock(&vm->lock);
	if (!vm->nvcpus)
		r = tsc_set_default_khz(vm, raw);
	mutex_unlock(&vm->lock);
	return r;
}

static long vm_get_tsc_khz(void *obj, void *arg, unsigned long raw)
{
	struct vm *vm = obj;

	return vm->arch.default_tsc_khz;
}

static long vm_hyperv_eventfd(void *obj, void *arg, unsigned long raw)
{
	return hv_eventfd(obj, arg);
}

static const struct ioctl_row vm_ioctls[] = {
	{ KVM_CREATE_IRQCHIP,		0,		vm_create_irqchip },
	{ KVM_GET_IRQCHIP,		0,		vm_get_irqchip },
	{ KVM_SET_IRQCHIP,		IOCTL_IN,	vm_set_irqchip },
	{ KVM_CREATE_PIT,		0,		vm_create_pit },
	{ KVM_CREATE_PIT2,		0,		vm_create_pit2 },
	{ KVM_GET_PIT,			0,		vm_get_pit },
	{ KVM_SET_PIT,			IOCTL_IN,	vm_set_pit },
	{ KVM_GET_PIT2,			0,		vm_get_pit2 },
	{ KVM_SET_PIT2,			0,		vm_set_pit2 },
	{ KVM_REINJECT_CONTROL,		0,		vm_reinject },
	{ KVM_SET_TSS_ADDR,		0,		vm_set_tss },
	{ KVM_SET_IDENTITY_MAP_ADDR,	0,		vm_set_identity_map },
	{ KVM_SET_BOOT_CPU_ID,		0,		vm_set_boot_cpu },
	{ KVM_GET_CLOCK,		0,		vm_get_clock },
	{ KVM_SET_CLOCK,		0,		vm_set_clock },
	{ KVM_X86_SET_MSR_FILTER,	0,		vm_msr_filter },
	{ KVM_X86_SET_MSR_FILTER32,	0,		vm_msr_filter32 },
	{ KVM_SET_NR_MMU_PAGES,		0,		vm_set_mmu_pages },
	{ KVM_GET_NR_MMU_PAGES,		0,		vm_get_mmu_pages },
	{ KVM_SET_TSC_KHZ,		0,		vm_set_tsc_khz },
	{ KVM_GET_TSC_KHZ,		0,		vm_get_tsc_khz },
	{ KVM_HYPERV_EVENTFD,		0,		vm_hyperv_eventfd },
};

long arch_vm_ioctl(struct vm *vm, unsigned int cmd, unsigned long raw)
{
	return ioctl_call(vm_ioctls, ARRAY_SIZE(vm_ioctls), vm, cmd, raw);
}

/* --- What KVM_CHECK_EXTENSION says yes to, and KVM_ENABLE_CAP turns on. --- */

static long cap_nr_vcpus(struct vm *vm)
{
	return min_t(long, num_online_cpus(), VCPUS_MAX);
}

static long cap_tsc_control(struct vm *vm)
{
	return vendor_caps.tsc_scaling;
}

static long cap_xsave2(struct vm *vm)
{
	return fpu_xsave_size();
}

/* A host that does not count its threads' waiting has nothing to tell. */
static long cap_steal_time(struct vm *vm)
{
	return sched_info_on();
}

/* MWAIT in a guest is good for nothing where it cannot wake for an interrupt. */
static bool can_mwait(void)
{
	return boot_cpu_has(X86_FEATURE_MWAIT) && boot_cpu_has(X86_FEATURE_ARAT) &&
	       !boot_cpu_has_bug(X86_BUG_MONITOR);
}

static long cap_disable_exits(struct vm *vm)
{
	return KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE |
	       (can_mwait() ? KVM_X86_DISABLE_EXITS_MWAIT : 0);
}

static long cap_bus_lock_exit(struct vm *vm)
{
	return vendor_caps.bus_lock_exit ?
	       KVM_BUS_LOCK_DETECTION_OFF | KVM_BUS_LOCK_DETECTION_EXIT : 0;
}

#define X2APIC_API_FLAGS \
	(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

static const struct {
	long cap, value;
	long (*ask)(struct vm *vm);
} extensions[] = {
	{ KVM_CAP_NR_VCPUS,		0, cap_nr_vcpus },
	{ KVM_CAP_MAX_VCPUS,		VCPUS_MAX },
	{ KVM_CAP_MAX_VCPU_ID,		MAX_VCPU_IDS },
	{ KVM_CAP_IRQCHIP,		1 },
	{ KVM_CAP_SPLIT_IRQCHIP,	1 },
	{ KVM_CAP_X2APIC_API,		X2APIC_API_FLAGS },
	{ KVM_CAP_HLT,			1 },
	{ KVM_CAP_SET_TSS_ADDR,		1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ KVM_CAP_EXT_CPUID,		1 },
	{ KVM_CAP_EXT_EMUL_CPUID,	1 },
	{ KVM_CAP_CLOCKSOURCE,		1 },
	{ KVM_CAP_ADJUST_CLOCK,		KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME |
					KVM_CLOCK_HOST_TSC },
	{ KVM_CAP_PIT,			1 },
	{ KVM_CAP_PIT2,			1 },
	{ KVM_CAP_PIT_STATE2,		1 },
	{ KVM_CAP_REINJECT_CONTROL,	1 },
	{ KVM_CAP_NOP_IO_DELAY,		1 },
	{ KVM_CAP_MP_STATE,		1 },
	{ KVM_CAP_X86_SMM,		1 },
	{ KVM_CAP_USER_NMI,		1 },
	{ KVM_CAP_VCPU_EVENTS,		1 },
	{ KVM_CAP_DEBUGREGS,		1 },
	{ KVM_CAP_XSAVE,		1 },
	{ KVM_CAP_XSAVE2,		0, cap_xsave2 },
	{ KVM_CAP_XCRS,			1 },
	{ KVM_CAP_SREGS2,		1 },
	{ KVM_CAP_MCE,			MCE_BANKS },
	{ KVM_CAP_GET_TSC_KHZ,		1 },
	{ KVM_CAP_TSC_CONTROL,		0, cap_tsc_control },
	{ KVM_CAP_VM_TSC_CONTROL,	0, cap_tsc_control },
	{ KVM_CAP_MSR_PLATFORM_INFO,	1 },
	{ KVM_CAP_SYNC_REGS,		KVM_SYNC_X86_VALID_FIELDS },
	{ KVM_CAP_EXIT_HYPERCALL,	EXIT_HYPERCALLS },
	{ KVM_CAP_TSC_DEADLINE_TIMER,	1 },
	{ KVM_CAP_VCPU_ATTRIBUTES,	1 },
	{ KVM_CAP_SET_BOOT_CPU_ID,	1 },
	{ KVM_CAP_KVMCLOCK_CTRL,	1 },
	{ KVM_CAP_SET_GUEST_DEBUG,	1 },
	{ KVM_CAP_SET_GUEST_DEBUG2,	GUEST_DEBUG_FLAGS },
	{ KVM_CAP_X86_ROBUST_SINGLESTEP, 1 },
	{ KVM_CAP_SYS_ATTRIBUTES,	1 },
	{ KVM_CAP_STEAL_TIME,		0, cap_steal_time },
	{ KVM_CAP_IOAPIC_POLARITY_IGNORED, 1 },
	{ KVM_CAP_LAST_CPU,		1 },
	{ KVM_CAP_X86_DISABLE_EXITS,	0, cap_disable_exits },
	{ KVM_CAP_X86_BUS_LOCK_EXIT,	0, cap_bus_lock_exit },
	{ KVM_CAP_GET_MSR_FEATURES,	1 },
	{ KVM_CAP_X86_USER_SPACE_MSR,	1 },
	{ KVM_CAP_X86_MSR_FILTER,	1 },
	{ KVM_CAP_EXCEPTION_PAYLOAD,	1 },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1 },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1 },
	{ KVM_CAP_DISABLE_QUIRKS,	1 },
	{ KVM_CAP_DISABLE_QUIRKS2,	SUPPORTED_QUIRKS },
	{ KVM_CAP_ENABLE_CAP,		1 },
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1 },
	{ KVM_CAP_SYSTEM_EVENT_DATA,	1 },
	{ KVM_CAP_HYPERV,		1 },
	{ KVM_CAP_HYPERV_VAPIC,		1 },
	{ KVM_CAP_HYPERV_SPIN,		1 },
	{ KVM_CAP_HYPERV_TIME,		1 },
	{ KVM_CAP_HYPERV_SYNIC,		1 },
	{ KVM_CAP_HYPERV_SYNIC2,	1 },
	{ KVM_CAP_HYPERV_VP_INDEX,	1 },
	{ KVM_CAP_HYPERV_EVENTFD,	1 },
	{ KVM_CAP_HYPERV_TLBFLUSH,	1 },
	{ KVM_CAP_HYPERV_SEND_IPI,	1 },
	{ KVM_CAP_HYPERV_CPUID,		1 },
	{ KVM_CAP_SYS_HYPERV_CPUID,	1 },
	{ KVM_CAP_HYPERV_ENFORCE_CPUID,	1 },
};

long arch_vm_check_extension(struct vm *vm, long cap)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(extensions); i++)
		if (extensions[i].cap == cap)
			return extensions[i].ask ? extensions[i].ask(vm) : extensions[i].value;
	return 0;
}

static long enable_quirks(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->cap == KVM_CAP_DISABLE_QUIRKS2 && (cap->args[0] & ~SUPPORTED_QUIRKS))
		return -EINVAL;
	vm->arch.disabled_quirks = cap->args[0];
	return 0;
}

static long enable_split_irqchip(struct vm *vm, const struct kvm_enable_cap *cap)
{
	long r;

	mutex_lock(&vm->lock);
	r = irqchip_create_split(vm, cap->args[0]);
	mutex_unlock(&vm->lock);
	return r;
}

static long enable_x2apic_api(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~(u64)X2APIC_API_FLAGS)
		return -EINVAL;
	if (cap->args[0] & KVM_X2APIC_API_USE_32BIT_IDS)
		vm->arch.x2apic_api_32bit = true;
	if (cap->args[0] & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		vm->arch.x2apic_no_broadcast_quirk = true;
	return 0;
}

static long disable_exits(struct vm *vm, const struct kvm_enable_cap *cap)
{
	long r = -EINVAL;

	mutex_lock(&vm->lock);
	if (!vm->nvcpus && !(cap->args[0] & ~(u64)KVM_X86_DISABLE_VALID_EXITS)) {
		vm->arch.disabled_exits |= cap->args[0] & cap_disable_exits(vm);
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

/* One of the modes that there are; a vCPU that is there has its own already. */
static long enable_bus_lock_exit(struct vm *vm, const struct kvm_enable_cap *cap)
{
	long r = -EINVAL;

	mutex_lock(&vm->lock);
	if (!vm->nvcpus && hweight64(cap->args[0]) == 1 &&
	    !(cap->args[0] & ~(u64)cap_bus_lock_exit(vm))) {
		vm->arch.bus_lock_exit = cap->args[0] == KVM_BUS_LOCK_DETECTION_EXIT;
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static long enable_user_msr(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~(u64)(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
				  KVM_MSR_EXIT_REASON_FILTER))
		return -EINVAL;
	vm->arch.user_space_msr_mask = cap->args[0];
	return 0;
}

static long enable_platform_info(struct vm *vm, const struct kvm_enable_cap *cap)
{
	vm->arch.hide_platform_info = !cap->args[0];
	return 0;
}

static long enable_exit_hypercall(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~EXIT_HYPERCALLS)
		return -EINVAL;
	vm->arch.exit_hypercalls = cap->args[0];
	return 0;
}

static long enable_payload(struct vm *vm, const struct kvm_enable_cap *cap)
{
	vm->arch.exception_payload = cap->args[0];
	return 0;
}

static long enable_triple_fault(struct vm *vm, const struct kvm_enable_cap *cap)
{
	vm->arch.triple_fault_event = cap->args[0];
	return 0;
}

static long enable_emulation_exit(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~1ULL)
		return -EINVAL;
	vm->arch.exit_on_emulation_error = cap->args[0];
	return 0;
}

static long enable_max_vcpu_id(struct vm *vm, const struct kvm_enable_cap *cap)
{
	long r = -EINVAL;

	if (cap->args[0] > MAX_VCPU_IDS)
		return r;
	mutex_lock(&vm->lock);
	if (!vm->max_vcpu_ids || vm->max_vcpu_ids == cap->args[0]) {
		vm->max_vcpu_ids = cap->args[0];
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static const struct {
	u32 cap;
	long (*enable)(struct vm *vm, const struct kvm_enable_cap *cap);
} enablers[] = {
	{ KVM_CAP_DISABLE_QUIRKS,		enable_quirks },
	{ KVM_CAP_DISABLE_QUIRKS2,		enable_quirks },
	{ KVM_CAP_SPLIT_IRQCHIP,		enable_split_irqchip },
	{ KVM_CAP_X2APIC_API,			enable_x2apic_api },
	{ KVM_CAP_X86_USER_SPACE_MSR,		enable_user_msr },
	{ KVM_CAP_MSR_PLATFORM_INFO,		enable_platform_info },
	{ KVM_CAP_EXIT_HYPERCALL,		enable_exit_hypercall },
	{ KVM_CAP_EXCEPTION_PAYLOAD,		enable_payload },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT,	enable_triple_fault },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE,	enable_emulation_exit },
	{ KVM_CAP_MAX_VCPU_ID,			enable_max_vcpu_id },
	{ KVM_CAP_X86_DISABLE_EXITS,		disable_exits },
	{ KVM_CAP_X86_BUS_LOCK_EXIT,		enable_bus_lock_exit },
};

long arch_vm_enable_cap(struct vm *vm, const struct kvm_enable_cap *cap)
{
	unsigned int i;

	if (cap->flags)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(enablers); i++)
		if (enablers[i].cap == cap->cap)
			return enablers[i].enable(vm, cap);
	return -EINVAL;
}

/* --- A vCPU. --- */

/* struct kvm_run, port data, coalesced writes */
const unsigned int arch_vcpu_mmap_pages = 3;

const unsigned int arch_vcpu_usercopy_offset = offsetof(struct vcpu, arch.emul);
const unsigned int arch_vcpu_usercopy_size = sizeof(struct emul) + sizeof(struct emul_replay);

size_t arch_vcpu_size(void)
{
	return vendor.vcpu_size;
}

int arch_vcpu_precreate(struct vm *vm, unsigned int id)
{
	/* From the first on, the limit stays. */
	if (!vm->max_vcpu_ids)
		vm->max_vcpu_ids = MAX_VCPU_IDS;
	return id >= vm->max_vcpu_ids || vm->nvcpus >= VCPUS_MAX ? -EINVAL : 0;
}

int arch_vcpu_create(struct vcpu *vcpu)
{
	int r = -ENOMEM;

	vcpu->arch.user_irq = -1;
	vcpu->arch.pio_data = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->arch.pio_data)
		return r;
	r = fpu_create(vcpu);
	if (r)
		goto err_pio;
	r = mmu_vcpu_init(vcpu);
	if (r)
		goto err_fpu;
	r = static_call(vendor_vcpu_init)(vcpu);
	if (r)
		goto err_mmu;
	if (vcpu->vm->arch.irqchip != IRQCHIP_NONE) {
		r = lapic_create(vcpu);
		if (r)
			goto err_vendor;
	}
	/* All but the boot CPU wait for a SIPI, if there is an APIC to bring it. */
	if (vcpu->arch.lapic && vcpu->id != vcpu->vm->arch.bsp_id)
		vcpu->arch.mp_state = KVM_MP_STATE_UNINITIALIZED;
	cpuid_vcpu_init(vcpu);
	msr_vcpu_init(vcpu);
	tsc_vcpu_init(vcpu);
	vcpu_load(vcpu);
	vcpu_reset(vcpu, false);
	vcpu_put(vcpu);
	vcpu_request(vcpu, VCPU_REQ_LOAD_ROOT);
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	return 0;

err_vendor:
	static_call(vendor_vcpu_destroy)(vcpu);
err_mmu:
	mmu_vcpu_destroy(vcpu);
err_fpu:
	fpu_destroy(vcpu);
err_pio:
	free_page((unsigned long)vcpu->arch.pio_data);
	return r;
}

void arch_vcpu_postcreate(struct vcpu *vcpu)
{
	if (vcpu->arch.lapic)
		apic_map_rebuild(vcpu->vm);
	clock_vcpu_postcreate(vcpu);
}

void arch_vcpu_destroy(struct vcpu *vcpu)
{
	hv_vcpu_destroy(vcpu);
	lapic_destroy(vcpu);
	static_call(vendor_vcpu_destroy)(vcpu);
	mmu_vcpu_destroy(vcpu);
	cpuid_free(vcpu);
	fpu_destroy(vcpu);
	free_page((unsigned long)vcpu->arch.pio_data);
}

struct page *arch_vcpu_mmap_page(struct vcpu *vcpu, unsigned long pgoff)
{
	return pgoff == 1 ? virt_to_page(vcpu->arch.pio_data) : NULL;
}
