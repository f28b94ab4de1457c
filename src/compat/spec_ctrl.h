/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host's side of speculation control in C, whose names move between kernels; what must
 * be in assembly is in entry_asm.h.
 */
#ifndef MINIKVM_COMPAT_SPEC_CTRL_H
#define MINIKVM_COMPAT_SPEC_CTRL_H

#include <linux/jump_label.h>
#include <linux/percpu.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/processor.h>
#include <asm/spec-ctrl.h>

/* SPEC_CTRL as this CPU has it now; 0 where there is none. */
static inline u64 compat_host_spec_ctrl(void)
{
	if (!cpu_feature_enabled(X86_FEATURE_MSR_SPEC_CTRL))
		return 0;
	return this_cpu_read(x86_spec_ctrl_current);
}

/*
 * AMD's CPUs before Zen 2 switch speculative store bypass off by an MSR of the model's (LS_CFG),
 * which threads of a core may share; only the kernel knows how. It knows it for guests, too: who
 * has VIRT_SSBD asks by MSR_AMD64_VIRT_SPEC_CTRL, and the hypervisor for it.
 */
static inline bool compat_has_virt_ssbd(void)
{
	return boot_cpu_has(X86_FEATURE_LS_CFG_SSBD);
}

/* What the kernel's function looks at, without a call of it on each entry and exit. */
static __always_inline bool host_has_ssbd(void)
{
	return static_cpu_has(X86_FEATURE_SPEC_STORE_BYPASS_DISABLE) || test_thread_flag(TIF_SSBD);
}

/* Before an entry and after it, with interrupts off. @virt_spec_ctrl: the guest's, SSBD or 0. */
static __always_inline void compat_virt_ssbd_switch(u64 virt_spec_ctrl, bool in)
{
	if (static_cpu_has(X86_FEATURE_LS_CFG_SSBD) && unlikely(virt_spec_ctrl || host_has_ssbd()))
		x86_virt_spec_ctrl(virt_spec_ctrl, in);
}

/*
 * VMSCAPE: the branch predictions of a guest steer its VMM as well. Where that is so the kernel
 * issues an IBPB before it goes back to user space, once it is told that a guest has run.
 */
#ifdef X86_FEATURE_IBPB_EXIT_TO_USER
static __always_inline void compat_guest_has_run(void)
{
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
}
#else
static __always_inline void compat_guest_has_run(void)
{
}
#endif

/*
 * SRSO on CPUs that are safe from it between user space and kernel, but not between guest and
 * host (Zen 5): whoever runs guests sets the bit that has the CPU predict less. On this CPU.
 */
#ifdef X86_FEATURE_SRSO_BP_SPEC_REDUCE
static inline void compat_reduce_speculation(bool on)
{
	if (!cpu_feature_enabled(X86_FEATURE_SRSO_BP_SPEC_REDUCE))
		return;
	if (on)
		msr_set_bit(MSR_ZEN4_BP_CFG, MSR_ZEN4_BP_CFG_BP_SPEC_REDUCE_BIT);
	else
		msr_clear_bit(MSR_ZEN4_BP_CFG, MSR_ZEN4_BP_CFG_BP_SPEC_REDUCE_BIT);
}
#else
static inline void compat_reduce_speculation(bool on)
{
}
#endif

/* AMD's DIV0: the last quotient of the host's stays in the divider of some CPUs. */
#ifdef X86_BUG_DIV0
static __always_inline void compat_clear_divider(void)
{
	amd_clear_divider();
}
#else
static __always_inline void compat_clear_divider(void)
{
}
#endif

/*
 * Are there buffers to clear that the VERW of entry_asm.h does not? Those of CPUs with MMIO
 * stale data alone, which a guest reads through a device that it has; and of kernels without
 * a macro for that VERW.
 */
#ifdef X86_FEATURE_CLEAR_CPU_BUF
static __always_inline bool compat_cpu_buffers_leak(bool device)
{
	return static_branch_unlikely(&mmio_stale_data_clear) && device;
}
#else
static __always_inline bool compat_cpu_buffers_leak(bool device)
{
	return static_branch_likely(&mds_user_clear) ||
	       (static_branch_unlikely(&mmio_stale_data_clear) && device);
}
#endif

/*
 * The memory operand alone has that effect. The kernel's own function for it has one name or
 * another within one stable series.
 */
static __always_inline void compat_clear_cpu_buffers(void)
{
	static const u16 selector = __KERNEL_DS;

	asm volatile("verw %0" : : "m" (selector) : "cc");
}

#endif
