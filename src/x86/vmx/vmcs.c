// SPDX-License-Identifier: GPL-2.0
/*
 * VMX operation of each CPU, and the life of a VMCS in it: active on one CPU
 * at a time, current on it, cleared before it goes to another (SDM vol. 3,
 * 24.1 and 24.11). Also VPIDs and the flushes that go with them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/gfp.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>
#include "compat/perf.h"
#include "x86/vmx/feature_control.h"
#include "x86/vmx/vmx.h"

/* Changed on its own CPU with interrupts off only. */
struct vmx_cpu {
	struct vmcs *vmxon;
	struct vmcs *current_vmcs;
	struct list_head active;
	bool enabled;
};

static DEFINE_PER_CPU(struct vmx_cpu, vmx_cpu);

/**
 * vmcs_write_failed() - say once that hardware has refused a VMWRITE
 * @field: a field that this CPU does not have, or can't write
 * @value: what it was to be
 *
 * A defect of ours, and no reason to stop: vmcs_write() goes on.
 *
 * Context: any in which the VMCS is current.
 */
void vmcs_write_failed(unsigned long field, unsigned long value)
{
	pr_warn_once("VMWRITE of %#lx to field %#lx failed: error %lu\n", value, field,
		     vmcs_read(VM_INSTRUCTION_ERROR));
}

/* --- The instructions. Each clears CF and ZF when it has worked. --- */

static bool vmxon(u64 pa)
{
	bool failed = true;

	asm volatile("1: vmxon %1\n\tsetna %0\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : "+qm" (failed) : "m" (pa) : "cc", "memory");
	return !failed;
}

static void vmxoff(void)
{
	asm volatile("1: vmxoff\n2:\n" _ASM_EXTABLE(1b, 2b) : : : "cc", "memory");
	cr4_clear_bits(X86_CR4_VMXE);
}

static void vmclear(struct vmcs *vmcs)
{
	u64 pa = __pa(vmcs);

	asm volatile("1: vmclear %0\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "m" (pa) : "cc", "memory");
}

static void vmptrld(struct vmcs *vmcs)
{
	u64 pa = __pa(vmcs);

	asm volatile("1: vmptrld %0\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "m" (pa) : "cc", "memory");
}

struct inv_descriptor { u64 first, second; };

static void invept(unsigned long type, u64 eptp)
{
	struct inv_descriptor d = { eptp, 0 };

	asm volatile("1: invept %0, %1\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "m" (d), "r" (type) : "cc", "memory");
}

static void invvpid(unsigned long type, u16 vpid)
{
	struct inv_descriptor d = { vpid, 0 };

	asm volatile("1: invvpid %0, %1\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "m" (d), "r" (type) : "cc", "memory");
}

/**
 * ept_flush() - drop all translations that came through a root, on this CPU
 * @eptp: the root, as the VMCS has it
 */
void ept_flush(u64 eptp)
{
	if (vmx_caps.ept_vpid & VMX_EPT_EXTENT_CONTEXT_BIT)
		invept(VMX_EPT_EXTENT_CONTEXT, eptp);
	else
		invept(VMX_EPT_EXTENT_GLOBAL, 0);
}

/**
 * vpid_flush() - drop all translations of a vCPU, on this CPU
 * @vpid: its tag; without one, each entry flushes anyway
 */
void vpid_flush(u16 vpid)
{
	if (vpid)
		invvpid(VMX_VPID_EXTENT_SINGLE_CONTEXT, vpid);
}

/* --- A CPU. --- */

/**
 * vmx_allowed() - does IA32_FEATURE_CONTROL let this CPU be in VMX operation?
 *
 * Reads only; vmcs_cpu_enable() locks what firmware left unlocked.
 */
bool vmx_allowed(void)
{
	u64 value;

	return !rdmsrl_safe(MSR_IA32_FEAT_CTL, &value) &&
	       feature_control_allows(value, this_cpu_has(X86_FEATURE_VMX));
}

static void lock_feature_control(void)
{
	u64 value, want;

	if (rdmsrl_safe(MSR_IA32_FEAT_CTL, &value))
		return;
	want = feature_control_unlocked(value, boot_cpu_has(X86_FEATURE_SMX));
	if (want != value)
		wrmsrl_safe(MSR_IA32_FEAT_CTL, want);
}

/**
 * vmcs_cpu_enable() - vendor_cpu_enable(): VMX operation on this CPU
 *
 * Context: interrupts off, after vmcs_setup().
 * Return: 0; -EBUSY: somebody else has it; -EOPNOTSUPP: firmware forbids it, or this CPU can do
 * less than the module counts on; -EIO: VMXON failed.
 */
int vmcs_cpu_enable(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);

	if (cr4_read_shadow() & X86_CR4_VMXE)
		return -EBUSY;
	if (!vmx_allowed() || !vmx_caps_fit())
		return -EOPNOTSUPP;
	lock_feature_control();
	INIT_LIST_HEAD(&c->active);
	c->current_vmcs = NULL;
	compat_perf_vmx(true);
	cr4_set_bits(X86_CR4_VMXE);
	if (!vmxon(__pa(c->vmxon))) {
		cr4_clear_bits(X86_CR4_VMXE);
		compat_perf_vmx(false);
		return -EIO;
	}
	c->enabled = true;
	/* Translations of whoever was here before may still be cached. */
	invept(VMX_EPT_EXTENT_GLOBAL, 0);
	return 0;
}

static void deactivate(struct vmx_cpu *c, struct vmx_vcpu *vmx)
{
	vmclear(vmx->vmcs);
	if (c->current_vmcs == vmx->vmcs)
		c->current_vmcs = NULL;
	list_del(&vmx->active);
	vmx->entry.launched = 0;
	/* Whoever sees -1 may make it active elsewhere. */
	smp_store_release(&vmx->vmcs_cpu, -1);
}

/**
 * vmcs_cpu_disable() - vendor_cpu_disable(): out of VMX operation
 *
 * What is active here is cleared first, for other CPUs to load.
 *
 * Context: interrupts off. Harmless where VMX operation is off.
 */
void vmcs_cpu_disable(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);
	struct vmx_vcpu *vmx, *next;

	if (!c->enabled)
		return;
	list_for_each_entry_safe(vmx, next, &c->active, active)
		deactivate(c, vmx);
	vmxoff();
	compat_perf_vmx(false);
	c->enabled = false;
}

/**
 * vmcs_emergency_disable() - vendor_emergency_disable(): the same in a crash
 *
 * What a VMCS has in the CPU's cache belongs to the dump, and VMX operation
 * would block the INIT of the next kernel (SDM vol. 3, 24.8). The list can be
 * walked: list_add() links an entry last, and nothing is taken off here.
 *
 * Context: interrupts off; perhaps an NMI.
 */
void vmcs_emergency_disable(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);
	struct vmx_vcpu *vmx;

	if (!c->enabled)
		return;
	list_for_each_entry(vmx, &c->active, active)
		vmclear(vmx->vmcs);
	vmxoff();
}

/* --- A VMCS. --- */

static void deactivate_here(void *arg)
{
	struct vmx_vcpu *vmx = arg;

	/* It may have been cleared by the CPU's going offline. */
	if (vmx->vmcs_cpu == smp_processor_id())
		deactivate(this_cpu_ptr(&vmx_cpu), vmx);
}

static void deactivate_anywhere(struct vmx_vcpu *vmx)
{
	int cpu = READ_ONCE(vmx->vmcs_cpu);

	if (cpu >= 0)
		smp_call_function_single(cpu, deactivate_here, vmx, 1);
}

/**
 * vmcs_load() - make a vCPU's VMCS the current one of this CPU
 * @vmx:	the vCPU
 * @cpu:	this CPU; preemption is off, interrupts are on
 *
 * Return: whether it came from another CPU (or from none).
 */
bool vmcs_load(struct vmx_vcpu *vmx, int cpu)
{
	struct vmx_cpu *c = per_cpu_ptr(&vmx_cpu, cpu);
	bool moved = vmx->vmcs_cpu != cpu;
	unsigned long flags;

	if (moved) {
		deactivate_anywhere(vmx);
		local_irq_save(flags);
		list_add(&vmx->active, &c->active);
		vmx->vmcs_cpu = cpu;
		local_irq_restore(flags);
	}
	if (c->current_vmcs != vmx->vmcs) {
		c->current_vmcs = vmx->vmcs;
		vmptrld(vmx->vmcs);
		indirect_branch_prediction_barrier();
	}
	return moved;
}

/**
 * vmcs_alloc() - a VMCS that is active nowhere
 *
 * Its fields have no values yet; whoever loads it first writes them.
 *
 * Context: sleeps; this CPU is in VMX operation. Return: the VMCS, or NULL.
 */
struct vmcs *vmcs_alloc(void)
{
	struct vmcs *vmcs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

	if (!vmcs)
		return NULL;
	vmcs->revision = vmx_caps.revision;
	/* Its launch state is "clear" only once VMCLEAR says so. */
	preempt_disable();
	vmclear(vmcs);
	preempt_enable();
	return vmcs;
}

/**
 * vmcs_free() - clear a vCPU's VMCS on the CPU where it is active, and free it
 * @vmx:	the vCPU, which nobody loads any more
 *
 * Context: waits for an IPI: not with interrupts off.
 */
void vmcs_free(struct vmx_vcpu *vmx)
{
	deactivate_anywhere(vmx);
	free_page((unsigned long)vmx->vmcs);
}

/* --- VPIDs: 0 is the host's. --- */

#define VPIDS	(1 << 16)
static DECLARE_BITMAP(vpids, VPIDS);
static DEFINE_SPINLOCK(vpid_lock);

/**
 * vpid_alloc() - a tag for a vCPU's translations
 *
 * Some CPU may have translations that its last owner left: they are flushed
 * when the new one is loaded there first.
 *
 * Context: not in interrupts.
 * Return: the VPID; 0: none, each entry then flushes.
 */
u16 vpid_alloc(void)
{
	unsigned long vpid;

	if (!(vmx_caps.proc2 & SECONDARY_EXEC_ENABLE_VPID))
		return 0;
	spin_lock(&vpid_lock);
	vpid = find_next_zero_bit(vpids, VPIDS, 1);
	if (vpid < VPIDS)
		__set_bit(vpid, vpids);
	else
		vpid = 0;
	spin_unlock(&vpid_lock);
	return vpid;
}

/**
 * vpid_free() - give a tag back
 * @vpid:	of vpid_alloc(), 0 as well
 *
 * Context: not in interrupts.
 */
void vpid_free(u16 vpid)
{
	if (!vpid)
		return;
	spin_lock(&vpid_lock);
	__clear_bit(vpid, vpids);
	spin_unlock(&vpid_lock);
}

/* --- The module. --- */

/**
 * vmcs_setup() - a page for each CPU's VMXON, at module load
 *
 * Context: sleeps, after vmx_read_caps(). Return: 0 or -ENOMEM, with nothing left behind.
 */
int vmcs_setup(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct vmcs *vmcs = (void *)get_zeroed_page(GFP_KERNEL);

		if (!vmcs) {
			vmcs_teardown();
			return -ENOMEM;
		}
		vmcs->revision = vmx_caps.revision;
		per_cpu(vmx_cpu, cpu).vmxon = vmcs;
	}
	return 0;
}

/**
 * vmcs_teardown() - free them, at module unload
 *
 * Context: no CPU is in VMX operation.
 */
void vmcs_teardown(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		free_page((unsigned long)per_cpu(vmx_cpu, cpu).vmxon);
		per_cpu(vmx_cpu, cpu).vmxon = NULL;
	}
}
