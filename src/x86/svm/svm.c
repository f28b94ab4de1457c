// SPDX-License-Identifier: GPL-2.0
/*
 * SVM as a vendor: what the CPU offers, its per-CPU and per-vCPU structures,
 * ASIDs, and the entry itself. Chapters are those of the AMD APM, volume 2.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/io.h>
#include <linux/slab.h>
#include <asm/mem_encrypt.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/processor.h>
#include "compat/debugctl.h"
#include "compat/guest_context.h"
#include "compat/host_event.h"
#include "compat/perf.h"
#include "compat/spec_ctrl.h"
#include "x86/svm/svm.h"

struct svm_cpu {
	struct page *hsave;		/* VM_HSAVE_PA: the CPU's own */
	struct page *host_state;	/* VMSAVE and VMLOAD of the host */
	u64 host_state_pa;
	u64 asid_generation;
	u32 next_asid;
	struct vcpu *last;		/* whose branches were predicted last */
};

static DEFINE_PER_CPU(struct svm_cpu, svm_cpu);
static u32 max_asid;
static unsigned long *iopm;		/* all ones: every port exits */

bool svm_has_flush_by_asid, svm_has_lbrv, svm_has_nrips, svm_has_spec_ctrl;

/* What every vCPU exits on, always. */
static const u8 intercepts[] = {
	INTERCEPT_INTR, INTERCEPT_NMI, INTERCEPT_SMI, INTERCEPT_INIT,
	INTERCEPT_CR0_READ, INTERCEPT_CR0_WRITE,
	INTERCEPT_CR4_READ, INTERCEPT_CR4_WRITE,
	INTERCEPT_DR0_READ, INTERCEPT_DR1_READ, INTERCEPT_DR2_READ,
	INTERCEPT_DR3_READ, INTERCEPT_DR4_READ, INTERCEPT_DR5_READ,
	INTERCEPT_DR6_READ, INTERCEPT_DR7_READ,
	INTERCEPT_DR0_WRITE, INTERCEPT_DR1_WRITE, INTERCEPT_DR2_WRITE,
	INTERCEPT_DR3_WRITE, INTERCEPT_DR4_WRITE, INTERCEPT_DR5_WRITE,
	INTERCEPT_DR6_WRITE, INTERCEPT_DR7_WRITE,
	/*
	 * The host's machine checks; and the two that a guest can make a CPU
	 * raise for ever within one instruction's delivery (CVE-2015-5307).
	 */
	INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_MC,
	INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_DB,
	INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_AC,
	INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_UD,
	INTERCEPT_RDPMC, INTERCEPT_CPUID, INTERCEPT_RSM, INTERCEPT_INVD,
	INTERCEPT_HLT, INTERCEPT_INVLPGA, INTERCEPT_IOIO_PROT,
	INTERCEPT_MSR_PROT, INTERCEPT_TASK_SWITCH, INTERCEPT_FERR_FREEZE,
	INTERCEPT_SHUTDOWN,
	INTERCEPT_VMRUN, INTERCEPT_VMMCALL, INTERCEPT_VMLOAD,
	INTERCEPT_VMSAVE, INTERCEPT_STGI, INTERCEPT_CLGI, INTERCEPT_SKINIT,
	INTERCEPT_WBINVD, INTERCEPT_MONITOR, INTERCEPT_MWAIT,
	INTERCEPT_XSETBV, INTERCEPT_RDPRU,
};

/* MSRs whose state VMLOAD and VMSAVE switch. */
static const u32 passed_msrs[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_KERNEL_GS_BASE,
	MSR_FS_BASE, MSR_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/*
 * Addresses that the CPU is given by number go round the kernel's page tables, and SME's bit
 * is a bit of them (APM vol. 2, 7.10.1): without it the CPU would see what is encrypted.
 */
static u64 hardware_address(const void *p)
{
	return __sme_pa(p);
}

static int cpu_enable(void)
{
	struct svm_cpu *c = this_cpu_ptr(&svm_cpu);
	u64 efer, vm_cr;

	if (!rdmsrl_safe(MSR_VM_CR, &vm_cr) && (vm_cr & SVM_VM_CR_SVM_DIS_MASK))
		return -EOPNOTSUPP;
	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		return -EBUSY;
	wrmsrl(MSR_EFER, efer | EFER_SVME);
	wrmsrl(MSR_VM_HSAVE_PA, hardware_address(page_address(c->hsave)));
	/* Nothing is known of what this CPU's TLB holds: begin anew. */
	c->asid_generation++;
	c->next_asid = max_asid + 1;
	compat_perf_svm(true);
	compat_reduce_speculation(true);
	return 0;
}

/* Was SVM on? */
static bool svme_off(void)
{
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	if (!(efer & EFER_SVME))
		return false;
	/* EFER.SVME must not go while GIF is clear (APM 15.4); it never is. */
	wrmsrl(MSR_VM_HSAVE_PA, 0);
	wrmsrl(MSR_EFER, efer & ~EFER_SVME);
	return true;
}

static void cpu_disable(void)
{
	if (!svme_off())
		return;
	compat_perf_svm(false);
	compat_reduce_speculation(false);
}

/*
 * An NMI between CLGI and STGI is held, but a crash may begin there, and GIF
 * blocks INIT. Where SVME is off already, STGI is #UD and skipped.
 */
static void emergency_disable(void)
{
	asm volatile("1: stgi\n2:\n" _ASM_EXTABLE(1b, 2b) : : : "memory");
	svme_off();
}

static int vm_init(struct vm *vm)
{
	return 0;
}

static void vm_destroy(struct vm *vm)
{
}

static int vcpu_init_svm(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->vmcb = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!svm->vmcb)
		return -ENOMEM;
	svm->msrpm = (void *)__get_free_pages(GFP_KERNEL_ACCOUNT,
					      get_order(MSRPM_PAGES * PAGE_SIZE));
	if (!svm->msrpm) {
		free_page((unsigned long)svm->vmcb);
		return -ENOMEM;
	}
	memset(svm->msrpm, 0xff, MSRPM_PAGES * PAGE_SIZE);
	svm->entry.vmcb_pa = hardware_address(svm->vmcb);
	svm->entry.common.gpr = vcpu->arch.gpr;
	svm->last_cpu = -1;
	return 0;
}

static void vcpu_destroy_svm(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	int cpu;

	/* Another vCPU may get this one's address; it must not get its past. */
	for_each_possible_cpu(cpu)
		cmpxchg(&per_cpu(svm_cpu, cpu).last, vcpu, NULL);
	free_pages((unsigned long)svm->msrpm, get_order(MSRPM_PAGES * PAGE_SIZE));
	free_page((unsigned long)svm->vmcb);
}

static void reset_segment(struct vmcb_seg *s, u16 attrib)
{
	*s = (struct vmcb_seg){ .limit = 0xffff, .attrib = attrib };
}

/*
 * Real mode at reset, APM table 14-2. Attributes: present; 3 data, B code,
 * both writable or readable and accessed; 2 LDT, B busy TSS.
 */
static void reset_segments(struct vmcb_save_area *save)
{
	reset_segment(&save->es, 0x93);
	reset_segment(&save->ss, 0x93);
	reset_segment(&save->ds, 0x93);
	reset_segment(&save->fs, 0x93);
	reset_segment(&save->gs, 0x93);
	reset_segment(&save->cs, 0x9b);
	save->cs.selector = 0xf000;
	save->cs.base = 0xffff0000;
	reset_segment(&save->gdtr, 0);
	reset_segment(&save->idtr, 0);
	reset_segment(&save->ldtr, 0x82);
	reset_segment(&save->tr, 0x8b);
}

/* What user space does without: KVM_CAP_X86_DISABLE_EXITS. */
static void drop_intercepts(struct vcpu *vcpu)
{
	static const struct { u64 exit; u32 intercept; } rows[] = {
		{ KVM_X86_DISABLE_EXITS_HLT,	INTERCEPT_HLT },
		{ KVM_X86_DISABLE_EXITS_PAUSE,	INTERCEPT_PAUSE },
		{ KVM_X86_DISABLE_EXITS_MWAIT,	INTERCEPT_MONITOR },
		{ KVM_X86_DISABLE_EXITS_MWAIT,	INTERCEPT_MWAIT },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (vcpu->vm->arch.disabled_exits & rows[i].exit)
			intercept_set(to_vmcb(vcpu), rows[i].intercept, false);
}

static void vcpu_reset_svm(struct vcpu *vcpu, bool init)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *control = &svm->vmcb->control;
	struct vmcb_save_area *save = &svm->vmcb->save;
	unsigned int i;

	memset(control->intercepts, 0, sizeof(control->intercepts));
	for (i = 0; i < ARRAY_SIZE(intercepts); i++)
		intercept_set(svm->vmcb, intercepts[i], true);
	if (boot_cpu_has(X86_FEATURE_PAUSEFILTER)) {
		control->pause_filter_count = 3000;
		intercept_set(svm->vmcb, INTERCEPT_PAUSE, true);
	}
	drop_intercepts(vcpu);
	control->iopm_base_pa = hardware_address(iopm);
	control->msrpm_base_pa = hardware_address(svm->msrpm);
	control->int_ctl = V_INTR_MASKING_MASK;
	control->int_state = 0;
	control->event_inj = 0;
	control->nested_ctl = SVM_NESTED_CTL_NP_ENABLE;
	reset_segments(save);
	save->cpl = 0;
	save->cr3 = 0;
	if (!init) {
		save->g_pat = PAT_RESET;
		save->dbgctl = 0;
		save->star = save->lstar = save->cstar = save->sfmask = 0;
		save->kernel_gs_base = 0;
		save->sysenter_cs = save->sysenter_esp = save->sysenter_eip = 0;
		memset(svm->sysenter, 0, sizeof(svm->sysenter));
	}
	svm->nmi_masked = svm->iret_seen = svm->nmi_window = false;
	control->clean = 0;
}

static void load(struct vcpu *vcpu, int cpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct svm_cpu *c = per_cpu_ptr(&svm_cpu, cpu);

	if (svm->last_cpu != cpu) {
		/* ASIDs and VMCB caches are a CPU's own. */
		svm->asid_generation = 0;
		svm->vmcb->control.clean = 0;
		svm->last_cpu = cpu;
	}
	/*
	 * FS, GS, TR, LDTR and the syscall MSRs of this thread: APM 15.5.2. On a CPU that a
	 * reboot has taken SVME from, #UD; nothing is entered there, nothing loads them.
	 */
	asm volatile("1: vmsave %%rax\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "a" (c->host_state_pa) : "memory");
	svm->entry.host_pa = c->host_state_pa;
	if (c->last != vcpu) {
		c->last = vcpu;
		indirect_branch_prediction_barrier();
	}
}

static void put(struct vcpu *vcpu)
{
}

/*
 * A new ASID is the flush on CPUs that cannot flush by ASID. When they run
 * out, one flush of all begins a new generation (APM 15.16).
 */
static void take_asid(struct svm_vcpu *svm, struct svm_cpu *c)
{
	struct vmcb_control_area *control = &svm->vmcb->control;

	if (c->next_asid > max_asid) {
		c->asid_generation++;
		c->next_asid = 1;
		control->tlb_ctl = TLB_CONTROL_FLUSH_ALL_ASID;
	}
	svm->asid_generation = c->asid_generation;
	control->asid = c->next_asid++;
	vmcb_dirty(svm->vmcb, CLEAN_ASID);
}

/**
 * svm_tlb_flush() - vendor_tlb_flush()
 * @vcpu:	the vCPU, loaded
 *
 * Where one ASID can't be flushed, the vCPU takes a new one.
 */
void svm_tlb_flush(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (svm_has_flush_by_asid)
		svm->vmcb->control.tlb_ctl = TLB_CONTROL_FLUSH_ASID;
	else
		svm->asid_generation = 0;
}

static void load_root(struct vcpu *vcpu, hpa_t root)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	vmcb->control.nested_cr3 = root;
	vmcb_dirty(vmcb, CLEAN_NPT);
	/* Of the root before, with the same ASID; and the protocol of tlb.c is of one root. */
	svm_tlb_flush(vcpu);
}

/* SVM has none. */
static bool set_timer(struct vcpu *vcpu, u64 host_tsc)
{
	return false;
}

static void tsc_changed(struct vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	vmcb->control.tsc_offset = vcpu->arch.tsc.offset;
	vmcb_dirty(vmcb, CLEAN_INTERCEPTS);
}

/* vcpu->arch on the left, the VMCB on the right; back again after the exit. */
static void state_in(struct svm_vcpu *svm)
{
	const struct vcpu_arch *arch = &svm->vcpu.arch;
	struct vmcb *vmcb = svm->vmcb;

	vmcb->save.rax = arch->gpr[GPR_RAX];
	vmcb->save.rsp = arch->gpr[GPR_RSP];
	vmcb->save.rip = arch->rip;
	vmcb->save.rflags = arch->rflags;
	vmcb->save.cr2 = arch->cr2;
	if (svm_has_spec_ctrl)
		vmcb->save.spec_ctrl = arch->msr.spec_ctrl;
	vmcb->control.int_ctl = (vmcb->control.int_ctl & ~V_TPR_MASK) | arch->cr8;
	/* What stays if nothing runs: see the exception table of entry.S. */
	vmcb->control.exit_code = SVM_EXIT_ERR;
}

static void registers_out(struct svm_vcpu *svm)
{
	struct vcpu_arch *arch = &svm->vcpu.arch;
	const struct vmcb *vmcb = svm->vmcb;

	arch->gpr[GPR_RAX] = vmcb->save.rax;
	arch->gpr[GPR_RSP] = vmcb->save.rsp;
	arch->rip = vmcb->save.rip;
	arch->rflags = vmcb->save.rflags;
	arch->cr2 = vmcb->save.cr2;
	if (svm_has_spec_ctrl)
		arch->msr.spec_ctrl = vmcb->save.spec_ctrl;
	arch->cr8 = vmcb->control.int_ctl & V_TPR_MASK;
}

/*
 * Nothing has run: what the VMCB has now is not the guest's. And nothing says that a VMRUN that
 * was refused has flushed the TLB, or read what the clean bits will say that it knows. So a new
 * generation of ASIDs begins, with a flush that all others wait for.
 */
static noinline void refused(struct svm_vcpu *svm, struct svm_cpu *c)
{
	svm->vmcb->control.clean = 0;
	svm->asid_generation = 0;
	c->next_asid = max_asid + 1;
}

static void state_out(struct svm_vcpu *svm, struct svm_cpu *c)
{
	struct vmcb *vmcb = svm->vmcb;

	vmcb->control.tlb_ctl = TLB_CONTROL_DO_NOTHING;
	vmcb->control.clean = CLEAN_ALL;
	if (likely(vmcb->control.exit_code != (u32)SVM_EXIT_ERR))
		registers_out(svm);
	else
		refused(svm, c);
	spec_ctrl_out(&svm->entry.common, &svm->vcpu);
}

/* RCU does not watch in here: nothing may be traced. */
static noinstr void run_guest(struct svm_vcpu *svm)
{
	guest_context_enter(svm->vcpu.arch.exit.reason == EXIT_NONE);
	compat_clear_divider();
	svm_vmrun(&svm->entry);
	guest_context_exit();
}

/*
 * RFLAGS.VM goes with protected mode that is not long mode. VMRUN need not refuse other
 * states (APM vol. 2, 15.5.1), as VM entry does (SDM vol. 3, 27.3.1.4), and nothing says
 * what it would run. Only user space can make them, also by an EFER whose LMA is not what
 * LME and paging make it.
 */
static bool vm86_nowhere(const struct vcpu_arch *arch)
{
	if (likely(!(arch->rflags & X86_EFLAGS_VM)))
		return false;
	return !(arch->cr0 & X86_CR0_PE) || (arch->efer & EFER_LMA) ||
	       ((arch->efer & EFER_LME) && (arch->cr0 & X86_CR0_PG));
}

/*
 * Interrupts, NMIs, SMIs and INITs that ended the guest are still pending, and the host has
 * them at STGI. A machine check is not: the intercept was all (APM vol. 2, 15.12 and 15.13).
 */
static void deliver_to_host(const struct vmcb *vmcb)
{
	if (unlikely(vmcb->control.exit_code == SVM_EXIT_EXCP_BASE + X86_TRAP_MC))
		compat_host_machine_check();
}

/*
 * Without LBR virtualization DEBUGCTL is one for host and guest (APM vol. 2, 15.23), and what
 * the host has on in it, a trap of bus locks or of branches, is not to trap in the guest.
 */
static u64 hosts_debugctl(const struct vmcb *vmcb)
{
	return vmcb->control.virt_ext & LBR_CTL_ENABLE_MASK ? 0 : __rdmsr(MSR_IA32_DEBUGCTLMSR);
}

static void run(struct svm_vcpu *svm)
{
	struct svm_cpu *c = this_cpu_ptr(&svm_cpu);
	u64 debugctl = hosts_debugctl(svm->vmcb);

	if (unlikely(svm->asid_generation != c->asid_generation))
		take_asid(svm, c);
	spec_ctrl_in(&svm->entry.common, &svm->vcpu);
	if (unlikely(debugctl))
		update_debugctlmsr(0);
	compat_virt_ssbd_switch(svm->vcpu.arch.msr.virt_spec_ctrl, true);
	run_guest(svm);
	compat_virt_ssbd_switch(svm->vcpu.arch.msr.virt_spec_ctrl, false);
	if (unlikely(debugctl))
		update_debugctlmsr(debugctl);
	state_out(svm, c);
	deliver_to_host(svm->vmcb);
}

/* An event that a refused entry was to bring waits, as after an exit in its delivery. */
static void enter(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *control = &svm->vmcb->control;
	u32 event = control->event_inj, error_code = control->event_inj_err;

	state_in(svm);
	svm->single_step = false;
	if (unlikely(svm->nmi_window))
		svm_step_in(svm);
	if (likely(!vm86_nowhere(&vcpu->arch)))
		run(svm);
	if (unlikely(svm->single_step))
		svm_step_out(svm);
	control->event_inj = 0;
	if (unlikely(control->exit_code == (u32)SVM_EXIT_ERR)) {
		control->exit_int_info = event;
		control->exit_int_info_err = error_code;
	}
}

/* The intercepts that user space's debugging changes. */
static void intercepts_changed(struct vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);
	bool bp = vcpu->arch.guest_debug & KVM_GUESTDBG_USE_SW_BP;

	intercept_set(vmcb, INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_BP, bp);
}

/* User space may have set the two before it says whose CPU the guest has. */
static void sysenter_changed(struct svm_vcpu *svm)
{
	struct vmcb_save_area *save = &svm->vmcb->save;
	bool whole = guest_is_intel(&svm->vcpu);

	if (whole == svm->sysenter_whole)
		return;
	svm->sysenter_whole = whole;
	if (whole) {
		svm->sysenter[0] = save->sysenter_esp;
		svm->sysenter[1] = save->sysenter_eip;
	} else {
		save->sysenter_esp = svm->sysenter[0];
		save->sysenter_eip = svm->sysenter[1];
	}
}

static void cpuid_changed(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	sysenter_changed(svm);
	/* An instruction that the guest lacks must exit, to become #UD. */
	intercept_set(svm->vmcb, INTERCEPT_RDTSCP, !guest_has(vcpu, X86_FEATURE_RDTSCP));
	intercept_set(svm->vmcb, INTERCEPT_INVPCID, !guest_has(vcpu, X86_FEATURE_INVPCID));
	/*
	 * Where the VMCB has the guest's SPEC_CTRL (CPUID Fn8000_000A_EDX[20]), the MSR stays the
	 * host's, and the bits of both count in the guest.
	 */
	svm->entry.common.read_spec_ctrl = !svm_has_spec_ctrl && guest_has_spec_ctrl(vcpu);
}

static void hypercall_insn(u8 *insn)
{
	insn[0] = 0x0f;
	insn[1] = 0x01;
	insn[2] = 0xd9;		/* VMMCALL */
}

static void free_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = per_cpu_ptr(&svm_cpu, cpu);

		if (c->hsave)
			__free_page(c->hsave);
		if (c->host_state)
			__free_page(c->host_state);
		memset(c, 0, sizeof(*c));
	}
}

static int alloc_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = per_cpu_ptr(&svm_cpu, cpu);

		c->hsave = alloc_page(GFP_KERNEL | __GFP_ZERO);
		c->host_state = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!c->hsave || !c->host_state) {
			free_cpus();
			return -ENOMEM;
		}
		c->host_state_pa = hardware_address(page_address(c->host_state));
	}
	return 0;
}

static int setup(void)
{
	iopm = (void *)__get_free_pages(GFP_KERNEL, get_order(IOPM_PAGES * PAGE_SIZE));
	if (!iopm)
		return -ENOMEM;
	memset(iopm, 0xff, IOPM_PAGES * PAGE_SIZE);
	if (!alloc_cpus())
		return 0;
	free_pages((unsigned long)iopm, get_order(IOPM_PAGES * PAGE_SIZE));
	return -ENOMEM;
}

static void teardown(void)
{
	free_cpus();
	free_pages((unsigned long)iopm, get_order(IOPM_PAGES * PAGE_SIZE));
}

/* RIP is behind the HLT, and no state of the VMCB says that it waits there. */
static void leave_hlt(struct vcpu *vcpu)
{
}

/* SVM has no such log. */
static unsigned int take_written(struct vcpu *vcpu, const u64 **gpas)
{
	return 0;
}

/* Nor is AVIC used: vendor_caps.apic_hardware is false. */
static void apic_hardware(struct vcpu *vcpu, void *page, bool on)
{
}

static void apic_irqs(struct vcpu *vcpu, u8 pending, u8 in_service)
{
}

static void apic_eoi_exits(struct vcpu *vcpu, const u64 *vectors)
{
}

static const struct vendor_ops svm_ops = {
	.name = "SVM",
	.vm_size = sizeof(struct vm),
	.vcpu_size = sizeof(struct svm_vcpu),
	.setup = setup,
	.teardown = teardown,
	.cpu_enable = cpu_enable,
	.cpu_disable = cpu_disable,
	.emergency_disable = emergency_disable,
	.vm_init = vm_init,
	.vm_destroy = vm_destroy,
	.vcpu_init = vcpu_init_svm,
	.vcpu_destroy = vcpu_destroy_svm,
	.vcpu_reset = vcpu_reset_svm,
	.load = load,
	.put = put,
	.enter = enter,
	.exit_info = svm_exit_info,
	.exit_words = svm_exit_words,
	.get_segment = svm_get_segment,
	.set_segment = svm_set_segment,
	.segment_base = svm_segment_base,
	.cs_mode = svm_cs_mode,
	.cpl = svm_cpl,
	.get_gdt = svm_get_gdt,
	.set_gdt = svm_set_gdt,
	.get_idt = svm_get_idt,
	.set_idt = svm_set_idt,
	.cr0_changed = svm_cr0_changed,
	.cr4_changed = svm_cr4_changed,
	.efer_changed = svm_efer_changed,
	.get_cr3 = svm_get_cr3,
	.get_pdptrs = svm_get_pdptrs,
	.set_cr3 = svm_set_cr3,
	.cr4_valid = svm_cr4_valid,
	.debug_regs_changed = svm_debug_regs_changed,
	.intercepts_changed = intercepts_changed,
	.get_msr = svm_get_msr,
	.set_msr = svm_set_msr,
	.has_emulated_msr = svm_has_emulated_msr,
	.pass_msr = svm_pass_msr,
	.inject_exception = svm_inject_exception,
	.inject_irq = svm_inject_irq,
	.inject_nmi = svm_inject_nmi,
	.cancel_injection = svm_cancel_injection,
	.get_shadow = svm_get_shadow,
	.set_shadow = svm_set_shadow,
	.get_nmi_mask = svm_get_nmi_mask,
	.set_nmi_mask = svm_set_nmi_mask,
	.leave_hlt = leave_hlt,
	.irq_window = svm_irq_window,
	.nmi_window = svm_nmi_window,
	.tpr_window = svm_tpr_window,
	.tsc_changed = tsc_changed,
	.set_timer = set_timer,
	.cpuid_changed = cpuid_changed,
	.load_root = load_root,
	.tlb_flush = svm_tlb_flush,
	.take_written = take_written,
	.apic_hardware = apic_hardware,
	.apic_irqs = apic_irqs,
	.apic_eoi_exits = apic_eoi_exits,
	.hypercall_insn = hypercall_insn,
	.dump = svm_dump,
};

/*
 * What the manual says must be asked before EFER.SVME is touched (APM 15.4),
 * with one line for each answer that ends here.
 */
static int check_cpu(void)
{
	u64 vm_cr, efer;

	if (!rdmsrl_safe(MSR_VM_CR, &vm_cr) && (vm_cr & SVM_VM_CR_SVM_DIS_MASK)) {
		pr_err("SVM is disabled by the firmware: enable it in the firmware's setup\n");
		return -EOPNOTSUPP;
	}
	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME) {
		pr_err("SVM is held by another hypervisor: stop its guests and run 'rmmod kvm_amd'\n");
		return -EBUSY;
	}
	if (!(cpuid_edx(SVM_CPUID_FUNC) & BIT(0))) {
		pr_err("this CPU has no nested paging (NPT), which minikvm needs\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

/* CPUID Fn8000_000A: APM 15.4, volume 3 appendix E. */
static void read_caps(void)
{
	u32 edx = cpuid_edx(SVM_CPUID_FUNC);

	max_asid = cpuid_ebx(SVM_CPUID_FUNC) - 1;
	svm_has_lbrv = edx & BIT(1);
	svm_has_nrips = edx & BIT(3);
	svm_has_flush_by_asid = edx & BIT(6);
	svm_has_spec_ctrl = edx & BIT(20);
	vendor_caps = (struct vendor_caps){
		.passed_msrs = passed_msrs,
		.n_passed_msrs = ARRAY_SIZE(passed_msrs),
		.nrips = svm_has_nrips,
		.decode_assists = edx & BIT(7),
		.dirty_logging = true,
		.page_1g = boot_cpu_has(X86_FEATURE_GBPAGES),
		.max_phyaddr = boot_cpu_data.x86_phys_bits,
	};
}

/*
 * Address bits that fault in a nested entry: those beyond what CPUID says, not
 * beyond what SME leaves of it. SME's own bit (Fn8000_001F) may be up there as
 * well, and then marks memory that is there: APM 7.10.1.
 */
static u64 reserved_address_bits(void)
{
	u8 maxphyaddr = cpuid_eax(0x80000008);
	u64 bits;

	if (maxphyaddr >= 52)
		return 0;
	bits = GENMASK_ULL(51, maxphyaddr);
	if (boot_cpu_data.extended_cpuid_level >= 0x8000001f)
		bits &= ~BIT_ULL(cpuid_ebx(0x8000001f) & 0x3f);
	return bits;
}

/**
 * svm_probe() - can this machine run SVM guests?
 * @ops: filled in when it can
 *
 * Return: 0; -ENODEV, silently, if the CPU has no SVM at all; or -EOPNOTSUPP
 * or -EBUSY after one line.
 */
int svm_probe(struct vendor_ops *ops)
{
	int r;

	/* Newer kernels hide the flag of a CPU whose firmware disabled SVM. */
	if (boot_cpu_data.extended_cpuid_level < SVM_CPUID_FUNC ||
	    !(cpuid_ecx(0x80000001) & BIT(2)))
		return -ENODEV;
	r = check_cpu();
	if (r)
		return r;
	read_caps();
	*ops = svm_ops;
	ops->spte_format = (struct spte_format){
		.ad_bits = true,
		.page_1g = vendor_caps.page_1g,
		.page_2m = true,
		/* NPT's depth is the host's own: APM 15.25.5. */
		.levels = pgtable_l5_enabled() ? 5 : 4,
		.phys_bits = boot_cpu_data.x86_phys_bits,
		.reserved = reserved_address_bits(),
	};
	return 0;
}
