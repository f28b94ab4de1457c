// SPDX-License-Identifier: GPL-2.0
/*
 * What this CPU's VMX can do, read from its capability MSRs once (SDM vol. 3,
 * appendix A), and every control computed from them: a bit that must be 1 is,
 * a bit that is wanted is where it may be, and one that is needed and may not
 * be is a line in the log.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>
#include <asm/msr.h>
#include "compat/vmx.h"
#include "x86/vmx/vmx.h"

struct vmx_caps vmx_caps __ro_after_init;

static const struct control {
	const char *name;
	u32 msr;
	u32 needed, wanted;
	size_t offset;		/* in struct vmx_caps */
} controls[] = {
	{ "pin-based", MSR_IA32_VMX_TRUE_PINBASED_CTLS,
	  PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING,
	  PIN_BASED_VIRTUAL_NMIS, offsetof(struct vmx_caps, pin) },
	{ "processor-based", MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
	  CPU_BASED_HLT_EXITING | CPU_BASED_UNCOND_IO_EXITING |
	  CPU_BASED_MOV_DR_EXITING | CPU_BASED_USE_TSC_OFFSETTING |
	  CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING |
	  CPU_BASED_RDPMC_EXITING | CPU_BASED_USE_MSR_BITMAPS |
	  CPU_BASED_ACTIVATE_SECONDARY_CONTROLS,
	  CPU_BASED_TPR_SHADOW, offsetof(struct vmx_caps, proc) },
	{ "secondary", MSR_IA32_VMX_PROCBASED_CTLS2,
	  SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_UNRESTRICTED_GUEST,
	  SECONDARY_EXEC_ENABLE_VPID | SECONDARY_EXEC_ENABLE_RDTSCP |
	  SECONDARY_EXEC_ENABLE_INVPCID | SECONDARY_EXEC_ENABLE_XSAVES |
	  SECONDARY_EXEC_WBINVD_EXITING | SECONDARY_EXEC_PAUSE_LOOP_EXITING |
	  SECONDARY_EXEC_TSC_SCALING, offsetof(struct vmx_caps, proc2) },
	{ "VM-exit", MSR_IA32_VMX_TRUE_EXIT_CTLS,
	  VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_LOAD_IA32_EFER |
	  VM_EXIT_SAVE_IA32_PAT | VM_EXIT_LOAD_IA32_PAT |
	  VM_EXIT_SAVE_DEBUG_CONTROLS, 0, offsetof(struct vmx_caps, exit) },
	{ "VM-entry", MSR_IA32_VMX_TRUE_ENTRY_CTLS,
	  VM_ENTRY_LOAD_IA32_EFER | VM_ENTRY_LOAD_IA32_PAT |
	  VM_ENTRY_LOAD_DEBUG_CONTROLS, 0, offsetof(struct vmx_caps, entry) },
};

/* The low half says what must be 1, the high half what may be: appendix A.2. */
static int read_control(const struct control *c)
{
	u32 *value = (void *)&vmx_caps + c->offset;
	u32 must, may, missing;

	rdmsr(c->msr, must, may);
	*value = (must | c->needed | c->wanted) & may;
	missing = c->needed & ~*value;
	if (!missing)
		return 0;
	pr_err("this CPU's VMX lacks what minikvm needs: %s controls %#x\n",
	       c->name, missing);
	return -EOPNOTSUPP;
}

/* EPT: four levels, write-back, and a flush of one context: appendix A.10. */
static int read_ept(void)
{
	u64 need = VMX_EPT_PAGE_WALK_4_BIT | VMX_EPTP_WB_BIT | VMX_EPT_INVEPT_BIT;

	rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, vmx_caps.ept_vpid);
	if ((vmx_caps.ept_vpid & need) != need ||
	    !(vmx_caps.ept_vpid & (VMX_EPT_EXTENT_CONTEXT_BIT | VMX_EPT_EXTENT_GLOBAL_BIT))) {
		pr_err("this CPU's EPT is not enough: capabilities %#llx\n", vmx_caps.ept_vpid);
		return -EOPNOTSUPP;
	}
	/* Without a way to flush one, VPIDs are of no use. */
	if (!(vmx_caps.ept_vpid & VMX_VPID_INVVPID_BIT) ||
	    !(vmx_caps.ept_vpid & VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT))
		vmx_caps.proc2 &= ~SECONDARY_EXEC_ENABLE_VPID;
	return 0;
}

static int read_basic(void)
{
	u64 basic;

	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	vmx_caps.revision = vmx_basic_vmcs_revision_id(basic);
	if (vmx_basic_vmcs_size(basic) > PAGE_SIZE || !(basic & VMX_BASIC_TRUE_CTLS) ||
	    COMPAT_VMX_BASIC_MEM_TYPE(basic) != COMPAT_VMX_MEM_TYPE_WB) {
		pr_err("this CPU's VMX is too old: IA32_VMX_BASIC is %#llx\n", basic);
		return -EOPNOTSUPP;
	}
	return 0;
}

/* PE and PG need not be 1 in an unrestricted guest: SDM vol. 3, 24.8. */
static void read_fixed(void)
{
	rdmsrl(MSR_IA32_VMX_CR0_FIXED0, vmx_caps.cr0_fixed);
	vmx_caps.cr0_fixed &= ~(u64)(X86_CR0_PE | X86_CR0_PG);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED0, vmx_caps.cr4_fixed);
}

/**
 * vmx_read_caps() - fill vmx_caps
 *
 * Return: 0, or -EOPNOTSUPP after one line.
 */
int vmx_read_caps(void)
{
	unsigned int i;
	int r = read_basic();

	for (i = 0; !r && i < ARRAY_SIZE(controls); i++)
		r = read_control(&controls[i]);
	if (!r)
		r = read_ept();
	if (r)
		return r;
	/* CR8 exits are for CPUs that cannot shadow the TPR. */
	if (!(vmx_caps.proc & CPU_BASED_TPR_SHADOW))
		vmx_caps.proc |= CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING;
	read_fixed();
	return 0;
}
