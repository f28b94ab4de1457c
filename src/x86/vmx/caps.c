// SPDX-License-Identifier: GPL-2.0
/*
 * What this CPU's VMX can do, read from its capability MSRs once (SDM vol. 3,
 * appendix A), and every control computed from them: a bit that must be 1 is,
 * a bit that is wanted is where it may be, and one that is needed and may not
 * be is a line in the log.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <asm/msr.h>
#include "compat/posted_intr.h"
#include "compat/vmx.h"
#include "x86/vmx/vmx.h"

struct vmx_caps vmx_caps __ro_after_init;

static const struct control {
	const char *name;
	u32 msr;
	u32 needed;
	size_t offset;		/* in struct vmx_caps */
} controls[] = {
	{ "pin-based", MSR_IA32_VMX_TRUE_PINBASED_CTLS,
	  PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING, offsetof(struct vmx_caps, pin) },
	{ "processor-based", MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
	  CPU_BASED_HLT_EXITING | CPU_BASED_UNCOND_IO_EXITING |
	  CPU_BASED_MOV_DR_EXITING | CPU_BASED_USE_TSC_OFFSETTING |
	  CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING |
	  CPU_BASED_RDPMC_EXITING | CPU_BASED_USE_MSR_BITMAPS |
	  CPU_BASED_ACTIVATE_SECONDARY_CONTROLS, offsetof(struct vmx_caps, proc) },
	{ "secondary", MSR_IA32_VMX_PROCBASED_CTLS2,
	  SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_UNRESTRICTED_GUEST,
	  offsetof(struct vmx_caps, proc2) },
	{ "VM-exit", MSR_IA32_VMX_TRUE_EXIT_CTLS,
	  VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_LOAD_IA32_EFER |
	  VM_EXIT_SAVE_IA32_PAT | VM_EXIT_LOAD_IA32_PAT |
	  VM_EXIT_SAVE_DEBUG_CONTROLS, offsetof(struct vmx_caps, exit) },
	{ "VM-entry", MSR_IA32_VMX_TRUE_ENTRY_CTLS,
	  VM_ENTRY_LOAD_IA32_EFER | VM_ENTRY_LOAD_IA32_PAT |
	  VM_ENTRY_LOAD_DEBUG_CONTROLS, offsetof(struct vmx_caps, entry) },
};

/*
 * Used where the CPU has them, and unless vmx_without names them: for tests of
 * what is done without, and for CPUs (or their emulators) with errors. An
 * instruction whose control is off is #UD in a guest, so its feature is not
 * offered then, and the control follows the guest's CPUID.
 */
static const struct option {
	const char *name;
	size_t offset;
	u32 bit;
	u16 features[2];	/* X86_FEATURE_*, or 0 */
} options[] = {
#define OPTION(name, word, bit, ...) { name, offsetof(struct vmx_caps, word), bit, { __VA_ARGS__ } }
	OPTION("vnmi",		pin,	PIN_BASED_VIRTUAL_NMIS),
	OPTION("preemption-timer", pin,	PIN_BASED_VMX_PREEMPTION_TIMER),
	OPTION("tpr-shadow",	proc,	CPU_BASED_TPR_SHADOW),
	OPTION("vpid",		proc2,	SECONDARY_EXEC_ENABLE_VPID),
	OPTION("rdtscp",	proc2,	SECONDARY_EXEC_ENABLE_RDTSCP,
	       X86_FEATURE_RDTSCP, X86_FEATURE_RDPID),
	OPTION("invpcid",	proc2,	SECONDARY_EXEC_ENABLE_INVPCID, X86_FEATURE_INVPCID),
	OPTION("xsaves",	proc2,	SECONDARY_EXEC_ENABLE_XSAVES, X86_FEATURE_XSAVES),
	OPTION("wbinvd",	proc2,	SECONDARY_EXEC_WBINVD_EXITING),
	OPTION("ple",		proc2,	SECONDARY_EXEC_PAUSE_LOOP_EXITING),
	OPTION("tsc-scaling",	proc2,	SECONDARY_EXEC_TSC_SCALING),
	OPTION("pml",		proc2,	SECONDARY_EXEC_ENABLE_PML),
	OPTION("apicv",		proc2,	VMX_APICV),
	OPTION("posted-interrupts", pin, PIN_BASED_POSTED_INTR),
	OPTION("bus-lock",	proc2,	SECONDARY_EXEC_BUS_LOCK_DETECTION),
#undef OPTION
};

static char *without[ARRAY_SIZE(options)];
static int n_without;
module_param_array_named(vmx_without, without, charp, &n_without, 0444);
MODULE_PARM_DESC(vmx_without, "VMX features to do without: vnmi, tpr-shadow, vpid, ...");

static bool wanted(const struct option *o)
{
	int i;

	for (i = 0; i < n_without; i++)
		if (!strcmp(without[i], o->name))
			return false;
	return true;
}

/* A name that is none is a typing error. */
static int check_without(void)
{
	unsigned int i, o;

	for (i = 0; i < n_without; i++) {
		for (o = 0; o < ARRAY_SIZE(options); o++)
			if (!strcmp(without[i], options[o].name))
				break;
		if (o == ARRAY_SIZE(options)) {
			pr_err("vmx_without: there is no '%s'\n", without[i]);
			return -EINVAL;
		}
	}
	return 0;
}

static u32 wanted_bits(size_t offset)
{
	const struct option *o;
	u32 bits = 0;

	for (o = options; o < options + ARRAY_SIZE(options); o++)
		if (o->offset == offset && wanted(o))
			bits |= o->bit;
	return bits;
}

static bool have(const struct option *o)
{
	return *(u32 *)((void *)&vmx_caps + o->offset) & o->bit;
}

static void withhold_features(void)
{
	const struct option *o;
	unsigned int i;

	for (o = options; o < options + ARRAY_SIZE(options); o++)
		for (i = 0; i < ARRAY_SIZE(o->features) && !have(o); i++)
			if (o->features[i])
				cpuid_withhold(o->features[i]);
}

/**
 * vmx_feature_controls() - the secondary controls for a guest's CPUID
 * @vcpu:	the vCPU
 * @proc2:	the controls as they are
 *
 * Return: @proc2 with each instruction's control as the guest's feature is.
 */
u32 vmx_feature_controls(struct vcpu *vcpu, u32 proc2)
{
	const struct option *o;

	for (o = options; o < options + ARRAY_SIZE(options); o++) {
		if (!o->features[0])
			continue;
		proc2 &= ~o->bit;
		if (have(o) && (guest_has(vcpu, o->features[0]) ||
				(o->features[1] && guest_has(vcpu, o->features[1]))))
			proc2 |= o->bit;
	}
	return proc2;
}

/* What older CPUs lack, by the name that it has in their data sheets. */
static const char *lacks(const struct control *c, u32 missing)
{
	if (c->offset != offsetof(struct vmx_caps, proc2))
		return "";
	return missing & SECONDARY_EXEC_ENABLE_EPT ? ", EPT" : ", unrestricted guest";
}

/* The low half says what must be 1, the high half what may be: appendix A.2. */
static int read_control(const struct control *c)
{
	u32 *value = (void *)&vmx_caps + c->offset;
	u32 must, may, missing;

	rdmsr(c->msr, must, may);
	*value = (must | c->needed | wanted_bits(c->offset)) & may;
	missing = c->needed & ~*value;
	if (!missing)
		return 0;
	pr_err("this CPU's VMX lacks what minikvm needs: %s controls %#x%s\n",
	       c->name, missing, lacks(c, missing));
	return -EOPNOTSUPP;
}

/**
 * vmx_caps_fit() - can this CPU do what the module found out on another?
 *
 * Not all CPUs of a machine need be alike; a VM entry on one that lacks a control, or that
 * must have one more, fails.
 *
 * Context: preemption off. Return: whether it can.
 */
bool vmx_caps_fit(void)
{
	const struct control *c;
	u32 must, may, value;

	for (c = controls; c < controls + ARRAY_SIZE(controls); c++) {
		value = *(u32 *)((void *)&vmx_caps + c->offset);
		if (rdmsr_safe(c->msr, &must, &may) || (must & ~value) || (value & ~may))
			return false;
	}
	return true;
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
	/* It logs when a dirty bit is set. */
	if (!(vmx_caps.ept_vpid & VMX_EPT_AD_BIT))
		vmx_caps.proc2 &= ~SECONDARY_EXEC_ENABLE_PML;
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

/*
 * CPUs with an erratum by which the preemption timer does not count as it should
 * (BA86, AAX65, AAT59, AAU65, ... of Intel's specification updates), of those that
 * have unrestricted guest.
 */
static const u32 broken_timers[] = { 0x206e6, 0x20652, 0x20655, 0x306a8 };

static void read_timer(void)
{
	u32 signature = cpuid_eax(1);
	unsigned int i;
	u64 misc;

	rdmsrl(MSR_IA32_VMX_MISC, misc);
	vmx_caps.timer_shift = vmx_misc_preemption_timer_rate(misc);
	for (i = 0; i < ARRAY_SIZE(broken_timers); i++)
		if (signature == broken_timers[i])
			vmx_caps.pin &= ~PIN_BASED_VMX_PREEMPTION_TIMER;
}

/*
 * All of it or nothing; and it shadows the TPR (26.2.1.1). To post interrupts wants all of
 * that as well, exits that acknowledge the host's, and a kernel that has a handler for the
 * notification.
 */
static void read_apicv(void)
{
	u64 exit;

	if ((vmx_caps.proc2 & VMX_APICV) != VMX_APICV || !(vmx_caps.proc & CPU_BASED_TPR_SHADOW))
		vmx_caps.proc2 &= ~VMX_APICV;
	rdmsrl(MSR_IA32_VMX_TRUE_EXIT_CTLS, exit);
	if (!(vmx_caps.proc2 & VMX_APICV) || !COMPAT_POSTED_INTR_VECTOR ||
	    !(exit >> 32 & VM_EXIT_ACK_INTR_ON_EXIT))
		vmx_caps.pin &= ~PIN_BASED_POSTED_INTR;
	if (vmx_caps.pin & PIN_BASED_POSTED_INTR)
		vmx_caps.exit |= VM_EXIT_ACK_INTR_ON_EXIT;
}

/**
 * vmx_read_caps() - fill vmx_caps
 *
 * Return: 0, or -EOPNOTSUPP or -EINVAL after one line.
 */
int vmx_read_caps(void)
{
	unsigned int i;
	int r = check_without();

	if (!r)
		r = read_basic();
	for (i = 0; !r && i < ARRAY_SIZE(controls); i++)
		r = read_control(&controls[i]);
	if (!r)
		r = read_ept();
	if (r)
		return r;
	/* CR8 exits are for CPUs that cannot shadow the TPR. */
	if (!(vmx_caps.proc & CPU_BASED_TPR_SHADOW))
		vmx_caps.proc |= CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING;
	read_apicv();
	withhold_features();
	read_fixed();
	read_timer();
	return 0;
}
