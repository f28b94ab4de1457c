// SPDX-License-Identifier: GPL-2.0
/*
 * L1TF: the warnings that a VM's creation may bring. For SMT, what is asked is
 * whether siblings are online now; the boot-time switch does not say that.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>
#include <linux/sched/smt.h>
#include <asm/cpufeature.h>
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

/* Old microcode: reading 64 KiB at each entry instead would cost more than most exits do. */
static bool flush_missing(void)
{
	return boot_cpu_has_bug(X86_BUG_L1TF) && l1tf_mitigation != L1TF_MITIGATION_OFF &&
	       !boot_cpu_has(X86_FEATURE_FLUSH_L1D);
}

/**
 * vmx_warn_l1tf() - say once, at a VM's creation, what leaves L1TF open
 */
void vmx_warn_l1tf(void)
{
	if (l1tf_smt_warning(boot_cpu_has_bug(X86_BUG_L1TF), choice(), sched_smt_active()))
		pr_warn_once("L1TF: SMT siblings are online, so guests may read the host's memory; see the kernel's admin-guide/hw-vuln/l1tf.rst\n");
	if (flush_missing())
		pr_warn_once("L1TF: this CPU's microcode can't flush the L1D, so guests may read the host's memory; update it\n");
}
