// SPDX-License-Identifier: GPL-2.0
/*
 * The host's state around a VMX guest: what a VM exit loads (the VMCS's host
 * area, SDM vol. 3, 24.5), and what it does not, which is switched by hand
 * from load to put: syscall MSRs, KERNEL_GS_BASE, selectors that a VM exit
 * cannot load.
 */
#include <linux/sched.h>
#include <asm/desc.h>
#include <asm/mmu_context.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/segment.h>
#include <asm/tlbflush.h>
#include "compat/host_event.h"
#include "x86/vmx/vmx.h"

const u32 vmx_switched[SW_MSRS] = {
	[SW_STAR]		= MSR_STAR,
	[SW_LSTAR]		= MSR_LSTAR,
	[SW_CSTAR]		= MSR_CSTAR,
	[SW_SYSCALL_MASK]	= MSR_SYSCALL_MASK,
	[SW_KERNEL_GS_BASE]	= MSR_KERNEL_GS_BASE,
};

/* The kernel's own values of the first four: the same on each CPU, as is its IDT. */
static u64 host_msrs[SW_MSRS];
static const gate_desc *host_idt;

/**
 * vmx_host_setup() - read what is the same on all CPUs, at module load
 */
void vmx_host_setup(void)
{
	struct desc_ptr idt;
	unsigned int i;

	for (i = 0; i < SW_KERNEL_GS_BASE; i++)
		rdmsrl_safe(vmx_switched[i], &host_msrs[i]);
	store_idt(&idt);
	host_idt = (const gate_desc *)idt.address;
}

/**
 * vmx_host_constants() - the host area's fields that never change
 *
 * Context: the VMCS is current.
 */
void vmx_host_constants(void)
{
	u64 value;

	vmcs_write(HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write(HOST_SS_SELECTOR, __KERNEL_DS);
	vmcs_write(HOST_DS_SELECTOR, 0);
	vmcs_write(HOST_ES_SELECTOR, 0);
	vmcs_write(HOST_FS_SELECTOR, 0);
	vmcs_write(HOST_GS_SELECTOR, 0);
	vmcs_write(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmcs_write(HOST_CR0, read_cr0() & ~X86_CR0_TS);
	vmcs_write(HOST_IDTR_BASE, (unsigned long)host_idt);
	vmcs_write(HOST_RIP, (unsigned long)vmx_exit_point);
	rdmsrl(MSR_IA32_SYSENTER_CS, value);
	vmcs_write(HOST_IA32_SYSENTER_CS, (u32)value);
	rdmsrl(MSR_IA32_SYSENTER_EIP, value);
	vmcs_write(HOST_IA32_SYSENTER_EIP, value);
	rdmsrl(MSR_EFER, value);
	vmcs_write(HOST_IA32_EFER, value);
	rdmsrl(MSR_IA32_CR_PAT, value);
	vmcs_write(HOST_IA32_PAT, value);
}

static void cpu_fields(int cpu)
{
	unsigned long sysenter_esp;

	vmcs_write(HOST_TR_BASE, (unsigned long)&get_cpu_entry_area(cpu)->tss.x86_tss);
	vmcs_write(HOST_GDTR_BASE, (unsigned long)get_current_gdt_ro());
	vmcs_write(HOST_GS_BASE, cpu_kernelmode_gs_base(cpu));
	rdmsrl(MSR_IA32_SYSENTER_ESP, sysenter_esp);
	vmcs_write(HOST_IA32_SYSENTER_ESP, sysenter_esp);
}

/* A VM exit loads null selectors; what this thread had comes back in put. */
static void save_selectors(struct vmx_vcpu *vmx)
{
	savesegment(fs, vmx->host.fs);
	savesegment(gs, vmx->host.gs);
	savesegment(ds, vmx->host.ds);
	savesegment(es, vmx->host.es);
	store_ldt(vmx->host.ldt);
	current_save_fsgs();
	vmcs_write(HOST_FS_BASE, current->thread.fsbase);
}

static void restore_selectors(struct vmx_vcpu *vmx)
{
	if (unlikely(vmx->host.ldt))
		asm volatile("lldt %0" : : "m" (vmx->host.ldt));
	if (unlikely(vmx->host.fs)) {
		loadsegment(fs, vmx->host.fs);
		wrmsrl(MSR_FS_BASE, current->thread.fsbase);
	}
	if (unlikely(vmx->host.gs))
		load_gs_index(vmx->host.gs);
	if (unlikely(vmx->host.ds))
		loadsegment(ds, vmx->host.ds);
	if (unlikely(vmx->host.es))
		loadsegment(es, vmx->host.es);
}

/**
 * vmx_host_load() - the guest's side of what is switched by hand
 * @vmx:	the vCPU; its VMCS is current
 * @cpu:	this CPU
 * @moved:	it was on another one
 *
 * Context: preemption off.
 */
void vmx_host_load(struct vmx_vcpu *vmx, int cpu, bool moved)
{
	unsigned int i;

	if (moved)
		cpu_fields(cpu);
	save_selectors(vmx);
	for (i = 0; i < SW_KERNEL_GS_BASE; i++)
		if (vmx->msrs[i] != host_msrs[i])
			wrmsrl(vmx_switched[i], vmx->msrs[i]);
	wrmsrl(MSR_KERNEL_GS_BASE, vmx->msrs[SW_KERNEL_GS_BASE]);
}

/**
 * vmx_host_put() - and the host's again
 * @vmx: the vCPU
 *
 * Context: preemption off.
 */
void vmx_host_put(struct vmx_vcpu *vmx)
{
	unsigned int i;

	/* SWAPGS changes this one without an exit. */
	rdmsrl(MSR_KERNEL_GS_BASE, vmx->msrs[SW_KERNEL_GS_BASE]);
	for (i = 0; i < SW_KERNEL_GS_BASE; i++)
		if (vmx->msrs[i] != host_msrs[i])
			wrmsrl(vmx_switched[i], host_msrs[i]);
	restore_selectors(vmx);
	wrmsrl(MSR_KERNEL_GS_BASE, current->thread.gsbase);
	/* A VM exit leaves the GDT's limit at 64K: SDM vol. 3, 27.5.2. */
	load_fixmap_gdt(raw_smp_processor_id());
}

/**
 * vmx_host_interrupt() - vendor_host_interrupt()
 * @vcpu:	behind an exit; interrupts off
 *
 * "Acknowledge interrupt on exit" has left its vector in the VMCS (SDM vol. 3, 27.2.2). The
 * APIC has it in service, and will not bring it again.
 */
void vmx_host_interrupt(struct vcpu *vcpu)
{
	u32 vector;

	if (likely((u16)to_vmx(vcpu)->exit_reason != EXIT_REASON_EXTERNAL_INTERRUPT))
		return;
	vector = vmcs_read(VM_EXIT_INTR_INFO) & INTR_INFO_VECTOR_MASK;
	if (!compat_fred_interrupt(vector))
		vmx_call_gate(gate_offset(&host_idt[vector]));
}
