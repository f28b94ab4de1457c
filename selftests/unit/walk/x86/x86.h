/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the walk of the guest's page tables (src/x86/mmu/guest_walk.c) looks at
 * of a vCPU and calls of the core, over irq/kernel.h; the rest is in walks.c.
 */
#ifndef MINIKVM_UNIT_WALK_X86_H
#define MINIKVM_UNIT_WALK_X86_H

#include <asm/processor-flags.h>
#include <minikvm/types.h>

#define likely(x)		(x)
#define noinline
#define offset_in_page(a)	((a) & (PAGE_SIZE - 1))
#define static_call(verb)	verb
#define EFER_LMA		BIT_ULL(10)
#define EFER_NX			BIT_ULL(11)

enum { X86_FEATURE_GBPAGES };

/* Guest memory is one slot, and user space's addresses are ours. */
struct memslot { char *memory; unsigned long size; };
struct vm { struct { u64 generation; } slots; struct memslot slot; };

struct walk_key {
	u64 generation, page, cr0, cr3, cr4, efer, rights;
};

struct walk_memo {
	struct walk_key key;
	gfn_t gfn;
	unsigned int n;
	struct {
		u64 *at;
		u64 entry;
	} read[5];
};

struct vcpu {
	struct vm *vm;
	unsigned int space;
	struct vcpu_arch {
		u64 cr0, cr3, cr4, efer, rflags;
		u32 pkru;
		bool has_run;
		u64 pdptrs[4];
		struct { u32 max_phyaddr; } cpuid;
		struct walk_memo walks[2];
	} arch;
};

struct guest_fault {
	u8 vector;
	u32 error_code;
	u64 address;
};

#define WALK_IMPLICIT		(1u << 31)

static inline u64 vendor_get_cr3(struct vcpu *vcpu)
{
	return vcpu->arch.cr3;
}

static struct { bool pdptes_held; } vendor_caps;

static inline void vendor_get_pdptrs(struct vcpu *vcpu, u64 *pdptrs)
{
	memcpy(pdptrs, vcpu->arch.pdptrs, sizeof(vcpu->arch.pdptrs));
}

static inline struct memslot *vcpu_memslot(struct vcpu *vcpu, gfn_t gfn)
{
	return gfn < vcpu->vm->slot.size >> PAGE_SHIFT ? &vcpu->vm->slot : NULL;
}

static inline unsigned long memslot_hva(struct memslot *slot, gfn_t gfn)
{
	return (unsigned long)slot->memory + (gfn << PAGE_SHIFT);
}

static inline bool guest_has(struct vcpu *vcpu, unsigned int feature)
{
	return feature == X86_FEATURE_GBPAGES;
}

#endif
