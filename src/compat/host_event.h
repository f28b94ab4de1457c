/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An event of the host's own that has ended a guest, and that hardware does not bring to
 * the host's handler by itself. Interrupts off, RCU watching.
 */
#ifndef MINIKVM_COMPAT_HOST_EVENT_H
#define MINIKVM_COMPAT_HOST_EVENT_H

#include <asm/cpufeature.h>
#include <asm/mce.h>
#include <asm/ptrace.h>
#include <asm/segment.h>
#include <asm/trapnr.h>

#ifdef X86_FEATURE_FRED
#include <asm/fred.h>

/* With FRED, INT 2 is a program's and not an NMI. */
static __always_inline void compat_host_nmi(void)
{
	if (cpu_feature_enabled(X86_FEATURE_FRED))
		fred_entry_from_kvm(EVENT_TYPE_NMI, X86_TRAP_NMI);
	else
		asm volatile("int $2");
}

/* False: there is an IDT. */
static __always_inline bool compat_fred_interrupt(unsigned int vector)
{
	if (!cpu_feature_enabled(X86_FEATURE_FRED))
		return false;
	fred_entry_from_kvm(EVENT_TYPE_EXTINT, vector);
	return true;
}

#else

static __always_inline bool compat_fred_interrupt(unsigned int vector)
{
	return false;
}

static __always_inline void compat_host_nmi(void)
{
	asm volatile("int $2");
}

#endif

#ifdef CONFIG_X86_MCE

/*
 * As one that this thread's user space has met, whose memory the guest's is: so what the
 * kernel can contain ends with this thread. In the kernel it would be fatal for the host.
 */
static inline void compat_host_machine_check(void)
{
	struct pt_regs regs = { .cs = __USER_CS, .flags = X86_EFLAGS_IF };

	do_machine_check(&regs);
}

#else

static inline void compat_host_machine_check(void)
{
}

#endif

#endif
