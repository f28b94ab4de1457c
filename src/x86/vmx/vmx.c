// SPDX-License-Identifier: GPL-2.0
/*
 * VMX as a vendor: the vCPU's life, the entry itself, and the table of verbs.
 * Chapters are those of the Intel SDM, volume 3.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/sched/smt.h>
#include <asm/mmu_context.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/processor.h>
#include <asm/special_insns.h>
#include <asm/tlbflush.h>
#include "compat/debugctl.h"
#include "compat/guest_context.h"
#include "compat/host_event.h"
#include "compat/vmx.h"
#include "x86/vmx/vmx.h"

#define PAUSE_GAP	128
#define PAUSE_WINDOW	4096

/* MSRs that VM entries and exits switch, and the one that stays from load to put. */
static const u32 passed_msrs[] = {
	MSR_KERNEL_GS_BASE, MSR_FS_BASE, MSR_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

static int vm_init(struct vm *vm)
{
	vmx_warn_l1tf();
	return 0;
}

static void vm_destroy(struct vm *vm)
{
}

/* All that the VMCS points to. */
static void free_pages_of(struct vmx_vcpu *vmx)
{
	free_page((unsigned long)vmx->perf_lists);
	free_page((unsigned long)vmx->pml);
	free_page((unsigned long)vmx->vapic);
	free_page((unsigned long)vmx->msr_bitmap);
}

static int vcpu_init_vmx(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx->vmcs_cpu = -1;
	vmx->timer_tsc = TIMER_OFF;
	vmx->msr_bitmap = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	vmx->vapic = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vmx->pml = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vmx->perf_lists = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vmx->vmcs = vmcs_alloc();
	if (!vmx->msr_bitmap || !vmx->vapic || !vmx->pml || !vmx->perf_lists || !vmx->vmcs) {
		free_page((unsigned long)vmx->vmcs);
		free_pages_of(vmx);
		return -ENOMEM;
	}
	vmx->apic_page = vmx->vapic;
	memset(vmx->msr_bitmap, 0xff, PAGE_SIZE);
	vmx->vpid = vpid_alloc();
	vmx->entry.common.gpr = vcpu->arch.gpr;
	return 0;
}

static void vcpu_destroy_vmx(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vpid_free(vmx->vpid);
	vmcs_free(vmx);
	free_pages_of(vmx);
}

/* What user space does without: KVM_CAP_X86_DISABLE_EXITS; or has not asked for. */
static void drop_controls(struct vm *vm, u32 *proc, u32 *proc2)
{
	u64 off = vm->arch.disabled_exits;

	if (!vm->arch.bus_lock_exit)
		*proc2 &= ~SECONDARY_EXEC_BUS_LOCK_DETECTION;
	if (off & KVM_X86_DISABLE_EXITS_HLT)
		*proc &= ~CPU_BASED_HLT_EXITING;
	if (off & KVM_X86_DISABLE_EXITS_MWAIT)
		*proc &= ~(CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING);
	if (off & KVM_X86_DISABLE_EXITS_PAUSE)
		*proc2 &= ~SECONDARY_EXEC_PAUSE_LOOP_EXITING;
}

/* The fields that no later verb writes; all others start out as 0. */
static void write_constants(struct vmx_vcpu *vmx)
{
	u32 pin = vmx_caps.pin, proc = vmx_caps.proc, proc2 = vmx_caps.proc2;

	drop_controls(vmx->vcpu.vm, &proc, &proc2);

	if (!vmx->vpid)
		proc2 &= ~SECONDARY_EXEC_ENABLE_VPID;
	vmcs_write(VMCS_LINK_POINTER, -1UL);
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, proc);
	vmx->proc = proc;
	vmx_apicv_controls(vmx, &pin, &proc2);
	vmcs_write(PIN_BASED_VM_EXEC_CONTROL, pin);
	vmcs_write(SECONDARY_VM_EXEC_CONTROL, proc2);
	vmcs_write(VM_EXIT_CONTROLS, vmx_caps.exit);
	vmcs_write(VM_ENTRY_CONTROLS, vmx_caps.entry);
	vmcs_write(MSR_BITMAP, __pa(vmx->msr_bitmap));
	if (vmx->vpid)
		vmcs_write(VIRTUAL_PROCESSOR_ID, vmx->vpid);
	if (proc2 & SECONDARY_EXEC_PAUSE_LOOP_EXITING) {
		vmcs_write(PLE_GAP, PAUSE_GAP);
		vmcs_write(PLE_WINDOW, PAUSE_WINDOW);
	}
	if (proc2 & SECONDARY_EXEC_TSC_SCALING)
		vmcs_write(TSC_MULTIPLIER, vendor_caps.default_tsc_ratio);
	/* No XSAVES component exits: IA32_XSS is switched whole. */
	if (proc2 & SECONDARY_EXEC_ENABLE_XSAVES)
		vmcs_write(XSS_EXIT_BITMAP, 0);
	/* All bits of both are the host's: each change exits (24.6.6). */
	vmcs_write(CR0_GUEST_HOST_MASK, -1UL);
	vmcs_write(CR4_GUEST_HOST_MASK, -1UL);
	/* The two that a guest can make a CPU raise for ever, and ours. */
	vmcs_write(EXCEPTION_BITMAP, BIT(X86_TRAP_MC) | BIT(X86_TRAP_DB) |
		   BIT(X86_TRAP_AC) | BIT(X86_TRAP_UD));
	vmx_pml_reset(vmx);
	vmx_timer_reset(vmx);
	vmx_perf_reset(vmx);
	vmx_host_constants();
}

static void vcpu_reset_vmx(struct vcpu *vcpu, bool init)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	static const struct kvm_dtable table = { .limit = 0xffff };

	write_constants(vmx);
	vmx_reset_segments(vcpu);
	vmx_set_gdt(vcpu, &table);
	vmx_set_idt(vcpu, &table);
	vmcs_write(GUEST_CR3, 0);
	vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, 0);
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	if (!init) {
		vmcs_write(GUEST_IA32_PAT, PAT_RESET);
		vmcs_write(GUEST_IA32_DEBUGCTL, 0);
		vmcs_write(GUEST_SYSENTER_CS, 0);
		vmcs_write(GUEST_SYSENTER_ESP, 0);
		vmcs_write(GUEST_SYSENTER_EIP, 0);
	}
	vmx->nmi_masked_until = 0;
	/* So that the first entry writes them. */
	vmx->rip = ~vcpu->arch.rip;
	vmx->rsp = ~vcpu->arch.gpr[GPR_RSP];
	vmx->rflags = ~vcpu->arch.rflags;
	vmx->host_cr3 = vmx->host_cr4 = 0;
}

static void load(struct vcpu *vcpu, int cpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	bool moved = vmcs_load(vmx, cpu);

	vmx_host_load(vmx, cpu, moved);
	if (!moved)
		return;
	/* What this CPU cached of the guest's memory may be of long ago. */
	if (vmx->eptp)
		ept_flush(vmx->eptp);
	vpid_flush(vmx->vpid);
}

static void put(struct vcpu *vcpu)
{
	vmx_host_put(to_vmx(vcpu));
}

static void load_root(struct vcpu *vcpu, hpa_t root)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx->eptp = root | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4;
	if (vendor_caps.dirty_logging)
		vmx->eptp |= VMX_EPTP_AD_ENABLE_BIT;
	vmcs_write(EPT_POINTER, vmx->eptp);
	/* What this CPU still has of an earlier stay there has missed flushes since: mmu/tlb.c. */
	ept_flush(vmx->eptp);
}

static void tlb_flush(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	ept_flush(vmx->eptp);
	vpid_flush(vmx->vpid);
}

static void tsc_changed(struct vcpu *vcpu)
{
	vmcs_write(TSC_OFFSET, vcpu->arch.tsc.offset);
	if (vendor_caps.tsc_scaling)
		vmcs_write(TSC_MULTIPLIER, vcpu->arch.tsc.ratio ?: vendor_caps.default_tsc_ratio);
}

/* --- One entry. --- */

static void host_area(struct vmx_vcpu *vmx)
{
	unsigned long cr3 = __get_current_cr3_fast(), cr4 = cr4_read_shadow();

	if (unlikely(cr3 != vmx->host_cr3)) {
		vmx->host_cr3 = cr3;
		vmcs_write(HOST_CR3, cr3);
	}
	if (unlikely(cr4 != vmx->host_cr4)) {
		vmx->host_cr4 = cr4;
		vmcs_write(HOST_CR4, cr4);
	}
}

static void changed(u64 *have, u64 want, unsigned long field)
{
	if (*have == want)
		return;
	*have = want;
	vmcs_write(field, want);
}

/* vcpu->arch on the left, the VMCS on the right; back again after the exit. */
static void state_in(struct vmx_vcpu *vmx)
{
	const struct vcpu_arch *arch = &vmx->vcpu.arch;

	changed(&vmx->rip, arch->rip, GUEST_RIP);
	changed(&vmx->rsp, arch->gpr[GPR_RSP], GUEST_RSP);
	changed(&vmx->rflags, arch->rflags, GUEST_RFLAGS);
	/* Of no effect where the LAPIC's own page is in use. */
	*(u32 *)(vmx->vapic + APIC_TASKPRI) = arch->cr8 << 4;
	spec_ctrl_in(&vmx->entry.common, &vmx->vcpu);
	vmx_perf_in(vmx);
	vmx_timer_in(vmx);
}

static void state_out(struct vmx_vcpu *vmx)
{
	struct vcpu_arch *arch = &vmx->vcpu.arch;

	arch->rip = vmx->rip = vmcs_read(GUEST_RIP);
	arch->gpr[GPR_RSP] = vmx->rsp = vmcs_read(GUEST_RSP);
	arch->rflags = vmx->rflags = vmcs_read(GUEST_RFLAGS);
	if (vmx_caps.proc & CPU_BASED_TPR_SHADOW)
		arch->cr8 = (*(u32 *)(vmx->apic_page + APIC_TASKPRI) >> 4) & 0xf;
	spec_ctrl_out(&vmx->entry.common, &vmx->vcpu);
}

/*
 * An NMI or machine check that ended the guest has not reached the host yet:
 * the VM exit was all (27.1).
 */
static void deliver_to_host(struct vmx_vcpu *vmx)
{
	if ((u16)vmx->exit_reason == EXIT_REASON_MCE_DURING_VMENTRY) {
		compat_host_machine_check();
		return;
	}
	if ((u16)vmx->exit_reason != EXIT_REASON_EXCEPTION_NMI)
		return;
	vmx->intr_info = vmcs_read(VM_EXIT_INTR_INFO);
	if ((vmx->intr_info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR)
		compat_host_nmi();
	else if ((vmx->intr_info & INTR_INFO_VECTOR_MASK) == X86_TRAP_MC)
		compat_host_machine_check();
}

/*
 * What the host has read must not be left to a guest: in the L1D (L1TF), whose flush clears
 * the other buffers as well, or in those alone.
 */
static __always_inline void clear_buffers(struct vmx_vcpu *vmx)
{
	if (vmx_caps.flush_l1d)
		native_wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
	else if (compat_cpu_buffers_leak(vmx->vcpu.vm->arch.has_device))
		compat_clear_cpu_buffers();
}

/* RCU does not watch in here: nothing may be traced. */
static noinstr int run_guest(struct vmx_vcpu *vmx)
{
	int refused;

	guest_context_enter(vmx->vcpu.arch.exit.reason == EXIT_NONE);
	clear_buffers(vmx);
	/* VMX leaves it to us. As late as that: what is traced may fault. */
	if (vmx->vcpu.arch.cr2 != native_read_cr2())
		native_write_cr2(vmx->vcpu.arch.cr2);
	refused = vmx_run(&vmx->entry);
	vmx->vcpu.arch.cr2 = native_read_cr2();
	guest_context_exit();
	return refused;
}

/*
 * A VM exit clears DEBUGCTL (27.5.1): what perf, a debugger or the watch for bus locks has
 * set there is the host's at the time, for an IPI may change it while the vCPU is loaded.
 */
static int run_with_debugctl(struct vmx_vcpu *vmx)
{
	u64 debugctl = get_debugctlmsr();
	int refused = run_guest(vmx);

	if (unlikely(debugctl))
		update_debugctlmsr(debugctl);
	return refused;
}

static void enter(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	host_area(vmx);
	state_in(vmx);
	if (unlikely(run_with_debugctl(vmx))) {
		/* Not an exit: the error says which rule of ch. 26 was broken. */
		vmx->exit_reason = VMX_EXIT_REASONS_FAILED_VMENTRY | 0xffff;
		return;
	}
	vmx->exit_reason = vmcs_read(VM_EXIT_REASON);
	/*
	 * One that failed while it loaded the guest's state has not launched it, and what it was to
	 * bring is still to come (26.8): see failed_entry().
	 */
	if (likely(!(vmx->exit_reason & VMX_EXIT_REASONS_FAILED_VMENTRY))) {
		vmx->entry.launched = 1;
		vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	}
	state_out(vmx);
	deliver_to_host(vmx);
}

/* The intercepts that user space's debugging changes. */
static void intercepts_changed(struct vcpu *vcpu)
{
	u32 bitmap = vmcs_read(EXCEPTION_BITMAP) & ~BIT(X86_TRAP_BP);

	if (vcpu->arch.guest_debug & KVM_GUESTDBG_USE_SW_BP)
		bitmap |= BIT(X86_TRAP_BP);
	vmcs_write(EXCEPTION_BITMAP, bitmap);
}

static void cpuid_changed(struct vcpu *vcpu)
{
	u32 proc2 = vmcs_read(SECONDARY_VM_EXEC_CONTROL);

	vmcs_write(SECONDARY_VM_EXEC_CONTROL, vmx_feature_controls(vcpu, proc2));
	to_vmx(vcpu)->entry.common.read_spec_ctrl = guest_has_spec_ctrl(vcpu);
}

static void hypercall_insn(u8 *insn)
{
	insn[0] = 0x0f;
	insn[1] = 0x01;
	insn[2] = 0xc1;		/* VMCALL */
}

static const struct vendor_ops vmx_ops = {
	.name = "VMX",
	.vm_size = sizeof(struct vm),
	.vcpu_size = sizeof(struct vmx_vcpu),
	.setup = vmcs_setup,
	.teardown = vmcs_teardown,
	.cpu_enable = vmcs_cpu_enable,
	.cpu_disable = vmcs_cpu_disable,
	.emergency_disable = vmcs_emergency_disable,
	.vm_init = vm_init,
	.vm_destroy = vm_destroy,
	.vcpu_init = vcpu_init_vmx,
	.vcpu_destroy = vcpu_destroy_vmx,
	.vcpu_reset = vcpu_reset_vmx,
	.load = load,
	.put = put,
	.enter = enter,
	.host_interrupt = vmx_host_interrupt,
	.exit_info = vmx_exit_info,
	.exit_words = vmx_exit_words,
	.get_segment = vmx_get_segment,
	.set_segment = vmx_set_segment,
	.segment_base = vmx_segment_base,
	.cs_mode = vmx_cs_mode,
	.cpl = vmx_cpl,
	.get_gdt = vmx_get_gdt,
	.set_gdt = vmx_set_gdt,
	.get_idt = vmx_get_idt,
	.set_idt = vmx_set_idt,
	.cr0_changed = vmx_cr0_changed,
	.cr4_changed = vmx_cr4_changed,
	.efer_changed = vmx_efer_changed,
	.get_cr3 = vmx_get_cr3,
	.get_pdptrs = vmx_get_pdptrs,
	.set_cr3 = vmx_set_cr3,
	.cr4_valid = vmx_cr4_valid,
	.debug_regs_changed = vmx_debug_regs_changed,
	.intercepts_changed = intercepts_changed,
	.get_msr = vmx_get_msr,
	.set_msr = vmx_set_msr,
	.has_emulated_msr = vmx_has_emulated_msr,
	.pass_msr = vmx_pass_msr,
	.inject_exception = vmx_inject_exception,
	.inject_irq = vmx_inject_irq,
	.inject_nmi = vmx_inject_nmi,
	.cancel_injection = vmx_cancel_injection,
	.get_shadow = vmx_get_shadow,
	.set_shadow = vmx_set_shadow,
	.get_nmi_mask = vmx_get_nmi_mask,
	.set_nmi_mask = vmx_set_nmi_mask,
	.leave_hlt = vmx_leave_hlt,
	.irq_window = vmx_irq_window,
	.nmi_window = vmx_nmi_window,
	.tpr_window = vmx_tpr_window,
	.tsc_changed = tsc_changed,
	.set_timer = vmx_set_timer,
	.cpuid_changed = cpuid_changed,
	.load_root = load_root,
	.tlb_flush = tlb_flush,
	.take_written = vmx_take_written,
	.apic_hardware = vmx_apic_hardware,
	.apic_notify = vmx_apic_notify,
	.apic_irqs = vmx_apic_irqs,
	.apic_eoi_exits = vmx_apic_eoi_exits,
	.hypercall_insn = hypercall_insn,
	.dump = vmx_dump,
};

/* In the order in which they stop one: SDM vol. 3, 23.6 and 23.7. */
static int check_cpu(void)
{
	if (!vmx_allowed()) {
		pr_err("VMX is disabled by the firmware: enable it in the firmware's setup\n");
		return -EOPNOTSUPP;
	}
	if (cr4_read_shadow() & X86_CR4_VMXE) {
		pr_err("VMX is held by another hypervisor: stop its guests and run 'rmmod kvm_intel'\n");
		return -EBUSY;
	}
	return vmx_read_caps();
}

static int nx_huge_pages = -1;
module_param(nx_huge_pages, int, 0444);
MODULE_PARM_DESC(nx_huge_pages, "map what a guest executes by small pages only: 1, 0, or -1: if the CPU needs it");

/*
 * ITLB multihit: while a guest executes from a page whose size it changes, some CPUs find two
 * entries for it and raise a machine check that stops the host, not the guest. The size that
 * counts is the smaller of the guest's and ours.
 */
static bool needs_small_exec(void)
{
	if (nx_huge_pages >= 0)
		return nx_huge_pages;
	return boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) && !cpu_mitigations_off();
}

/**
 * vmx_probe() - can this machine run VMX guests?
 * @ops: filled in when it can
 *
 * Return: 0; -ENODEV, silently, if the CPU has no VMX at all; or -EOPNOTSUPP
 * or -EBUSY after one line.
 */
int vmx_probe(struct vendor_ops *ops)
{
	int r;

	if (!(cpuid_ecx(1) & BIT(5)))
		return -ENODEV;
	r = check_cpu();
	if (r)
		return r;
	vmx_host_setup();
	vmx_caps.flush_l1d = vmx_flushes_l1d();
	vendor_caps = (struct vendor_caps){
		.passed_msrs = passed_msrs,
		.n_passed_msrs = ARRAY_SIZE(passed_msrs),
		.nrips = true,
		.vnmi = vmx_caps.pin & PIN_BASED_VIRTUAL_NMIS,
		.tsc_scaling = vmx_caps.proc2 & SECONDARY_EXEC_TSC_SCALING,
		.dirty_logging = vmx_caps.ept_vpid & VMX_EPT_AD_BIT,
		.pml = vmx_caps.proc2 & SECONDARY_EXEC_ENABLE_PML,
		.apic_hardware = vmx_caps.proc2 & VMX_APICV,
		.posted_irqs = vmx_caps.pin & PIN_BASED_POSTED_INTR,
		.bus_lock_exit = vmx_caps.proc2 & SECONDARY_EXEC_BUS_LOCK_DETECTION,
		.page_1g = vmx_caps.ept_vpid & VMX_EPT_1GB_PAGE_BIT,
		/* SDM vol. 3, 27.3; what an SVM's VMCB then has is undefined: APM vol. 2, 15.14.3. */
		.shutdown_state = true,
		.pdptes_held = true,
		.max_phyaddr = boot_cpu_data.x86_phys_bits,
		/* 16 whole and 48 fractional bits: SDM vol. 3, 25.3. */
		.tsc_ratio_frac_bits = 48,
		.default_tsc_ratio = 1ULL << 48,
		.max_tsc_ratio = ~0ULL,
	};
	*ops = vmx_ops;
	ops->spte_format = (struct spte_format){
		.ept = true,
		.ad_bits = vendor_caps.dirty_logging,
		.dirty_burst = vendor_caps.pml ? VMX_PML_ENTRIES : 0,
		.page_1g = vendor_caps.page_1g,
		.page_2m = vmx_caps.ept_vpid & VMX_EPT_2MB_PAGE_BIT,
		.small_exec = needs_small_exec(),
		.levels = 4,
		.phys_bits = boot_cpu_data.x86_phys_bits,
	};
	return 0;
}
