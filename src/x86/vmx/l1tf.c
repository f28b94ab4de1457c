// SPDX-License-Identifier: GPL-2.0
/*
 * L1TF: whether entries flush the L1D, and the warnings that a VM's creation may
 * bring. For SMT, what is asked is whether siblings are online now; the boot-time
 * switch does not say that. Where microcode has no flush, nothing else is done.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>
#include <linux/sched/smt.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include "x86/vmx/l1tf.h"
#include "x86/vmx/vmx.h"

static enum l1tf_choice choice(void)
{
	switch (l1tf_mitigation) {
	case L1TF_MITIGATION_OFF:
		return L1TF_CHOICE_OFF;
	case L1TF_MITIGATION_FLUSH_NOWARN:
		return L1TF_CHOICE_FLUSH_NOWARN;
	case L1TF_MITIGATION_FULL_FORCE:
		return L1TF_CHOICE_FULL_FORCE;
	default:
		return L1TF_CHOICE_FLUSH;
	}
}

/* Nobody below us does it, as a hypervisor that we run on may. */
static bool flush_is_ours(void)
{
	u64 caps = 0;

	if (!boot_cpu_has_bug(X86_BUG_L1TF) || choice() == L1TF_CHOICE_OFF)
		return false;
	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrl(MSR_IA32_ARCH_CAPABILITIES, caps);
	return !(caps & ARCH_CAP_SKIP_VMENTRY_L1DFLUSH);
}

/**
 * vmx_flushes_l1d() - is the L1D to be flushed at each entry, and can it be?
 */
bool vmx_flushes_l1d(void)
{
	return flush_is_ours() && boot_cpu_has(X86_FEATURE_FLUSH_L1D);
}

/**
 * vmx_warn_l1tf() - say once, at a VM's creation, what leaves L1TF open
 */
void vmx_warn_l1tf(void)
{
	if (l1tf_smt_warning(boot_cpu_has_bug(X86_BUG_L1TF), choice(), sched_smt_active()))
		pr_warn_once("L1TF: SMT siblings are online, so guests may read the host's memory; see the kernel's admin-guide/hw-vuln/l1tf.rst\n");
	if (l1tf_flush_warning(flush_is_ours(), choice(), boot_cpu_has(X86_FEATURE_FLUSH_L1D)))
		pr_warn_once("L1TF: this CPU's microcode can't flush the L1D, so guests may read the host's memory; update it\n");
}
