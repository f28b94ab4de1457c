/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What cpuid_offer.c (the host's side) and cpuid.c (a vCPU's side) know
 * together: in which leaf and register each word of feature bits stands, and
 * how large an XSAVE area is.
 */
#ifndef MINIKVM_X86_CPUID_H
#define MINIKVM_X86_CPUID_H

#include <linux/kvm.h>
#include <minikvm/vcpu.h>

/* KVM's own bound on what user space may set. */
#define CPUID_ENTRIES_MAX	256

enum cpuid_reg { REG_EAX, REG_EBX, REG_ECX, REG_EDX };

/* A word of feature numbers (<asm/cpufeatures.h>: word * 32 + bit). */
struct cpuid_word {
	u32 function, index;
	u8 reg;			/* enum cpuid_reg */
	u8 word;
};

extern const struct cpuid_word cpuid_words[];
extern const unsigned int cpuid_nwords;

/* XCR0 and IA32_XSS as far as this host lets a guest have them. */
extern u64 cpuid_host_xcr0;

static inline u32 *cpuid_entry_reg(struct kvm_cpuid_entry2 *e, enum cpuid_reg reg)
{
	/* The four stand in this order in the uapi struct. */
	return &e->eax + reg;
}

u32 cpuid_xsave_size(u64 features, bool compacted);

#endif
