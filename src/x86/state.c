// SPDX-License-Identifier: GPL-2.0
/*
 * Control and debug registers, EFER, XCR0: what a guest may write to them, and
 * what follows when it does; reset and INIT. User space's way to the same
 * state, with fewer questions asked, is state_ioctl.c.
 *
 * vcpu->arch holds these registers as the guest sees them. The vendor is told
 * after each change and works out what hardware wants.
 *
 * All functions run in the vCPU's thread with the vCPU loaded.
 */
#include <linux/percpu.h>
#include <asm/debugreg.h>
#include <asm/fpu/xcr.h>
#include <asm/processor-flags.h>
#include <minikvm/guest_memory.h>
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic.h"
#include "x86/x86.h"

/* Changes that drop guest translations (SDM vol. 3, 4.10.4.1). */
#define CR4_FLUSHES ( \
	X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP | \
	X86_CR4_SMAP | X86_CR4_LA57 | X86_CR4_PKE)
/* Changes that reload the PDPTEs (SDM vol. 3, 4.4.1). */
#define CR4_PDPTR_BITS	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_SMEP)
#define CR0_PDPTR_BITS	(X86_CR0_CD | X86_CR0_NW | X86_CR0_PG)

/* Debug registers (SDM vol. 3, 18.2): what is kept, and what reads as 1. */
#define DR6_VOLATILE	0x0001e80full
#define DR6_ONES	0xfffe07f0ull
#define DR6_RTM		BIT_ULL(16)
#define DR7_VOLATILE	0xffff2bffull

/**
 * is_long_mode() - EFER.LMA: is the guest in 64-bit or compatibility mode?
 * @vcpu:	the vCPU
 */
bool is_long_mode(struct vcpu *vcpu)
{
	return vcpu->arch.efer & EFER_LMA;
}

/**
 * is_64bit_code() - does the guest execute 64-bit code?
 * @vcpu:	the vCPU, loaded: CS.L is the vendor's to know
 */
bool is_64bit_code(struct vcpu *vcpu)
{
	bool db, l;

	if (!is_long_mode(vcpu))
		return false;
	static_call(vendor_cs_mode)(vcpu, &db, &l);
	return l;
}

/**
 * is_pae_paging() - does the guest translate by way of four PDPTEs?
 * @vcpu:	the vCPU
 *
 * PAE paging outside of IA-32e mode (SDM vol. 3, 4.4).
 */
bool is_pae_paging(struct vcpu *vcpu)
{
	return (vcpu->arch.cr0 & X86_CR0_PG) && (vcpu->arch.cr4 & X86_CR4_PAE) &&
	       !is_long_mode(vcpu);
}

/**
 * pdptrs_set() - new PDPTEs, for the vendor to take with its next verb
 * @vcpu:	the vCPU
 * @pdptrs:	four of them
 */
void pdptrs_set(struct vcpu *vcpu, const u64 *pdptrs)
{
	memcpy(vcpu->arch.pdptrs, pdptrs, sizeof(vcpu->arch.pdptrs));
	vcpu->arch.pdptrs_new = true;
}

/**
 * pdptrs_read() - the four PDPTEs of PAE paging, as they are in memory
 * @vcpu:	the vCPU
 * @cr3:	where they are
 * @pdptrs:	where they go
 *
 * Context: takes vm->srcu; may sleep. Return: false if one of them has a reserved
 * bit, or there is no memory there: a #GP.
 */
bool pdptrs_read(struct vcpu *vcpu, u64 cr3, u64 *pdptrs)
{
	/* Bits 2:1, 8:5 and those above the address (SDM vol. 3, table 4-8). */
	u64 reserved = (~0ULL << vcpu->arch.cpuid.max_phyaddr) | 0x1e6;
	int i, idx, r;

	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = guest_read(vcpu->vm, vcpu->space, cr3 & 0xffffffe0, pdptrs, 4 * sizeof(*pdptrs));
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (r)
		return false;
	for (i = 0; i < 4; i++)
		if ((pdptrs[i] & 1) && (pdptrs[i] & reserved))
			return false;
	return true;
}

/**
 * pdptrs_load() - load the four PDPTEs of PAE paging
 * @vcpu:	the vCPU
 * @cr3:	where they are
 *
 * Context and return: as pdptrs_read(); false: with nothing changed.
 */
bool pdptrs_load(struct vcpu *vcpu, u64 cr3)
{
	u64 pdptrs[4];

	if (!pdptrs_read(vcpu, cr3, pdptrs))
		return false;
	pdptrs_set(vcpu, pdptrs);
	return true;
}

/**
 * cr0_valid() - is this a CR0 that some CPU could have?
 * @cr0: the value
 */
bool cr0_valid(u64 cr0)
{
	if (upper_32_bits(cr0))
		return false;
	if ((cr0 & X86_CR0_NW) && !(cr0 & X86_CR0_CD))
		return false;
	return !(cr0 & X86_CR0_PG) || (cr0 & X86_CR0_PE);
}

/* Paging goes on or off: EFER.LMA follows CR0.PG and EFER.LME. */
static bool paging_change_ok(struct vcpu *vcpu, u64 cr0)
{
	u64 cr4 = vcpu->arch.cr4;
	bool db, l;

	if (!(cr0 & X86_CR0_PG))
		return !is_64bit_code(vcpu) && !(cr4 & X86_CR4_PCIDE);
	if (!(vcpu->arch.efer & EFER_LME))
		return true;
	static_call(vendor_cs_mode)(vcpu, &db, &l);
	return (cr4 & X86_CR4_PAE) && !l;
}

static bool cr0_pdptrs_ok(struct vcpu *vcpu, u64 cr0)
{
	bool pae = (cr0 & X86_CR0_PG) && (vcpu->arch.cr4 & X86_CR4_PAE) &&
		   !(vcpu->arch.efer & EFER_LME);

	if (!pae || !((cr0 ^ vcpu->arch.cr0) & CR0_PDPTR_BITS))
		return true;
	return pdptrs_load(vcpu, static_call(vendor_get_cr3)(vcpu));
}

static void follow_paging(struct vcpu *vcpu)
{
	u64 efer = vcpu->arch.efer & ~(u64)EFER_LMA;

	if ((vcpu->arch.cr0 & X86_CR0_PG) && (efer & EFER_LME))
		efer |= EFER_LMA;
	if (efer == vcpu->arch.efer)
		return;
	vcpu->arch.efer = efer;
	static_call(vendor_efer_changed)(vcpu);
}

/**
 * set_cr0() - MOV to CR0, CLTS
 * @vcpu:	the vCPU
 * @cr0:	the new value
 *
 * SDM vol. 3, 2.5 and 4.1.2; APM vol. 2, 3.1.1. Context: may sleep (PDPTEs).
 * Return: 0, or 1 for #GP.
 */
int set_cr0(struct vcpu *vcpu, u64 cr0)
{
	u64 changed;

	if (upper_32_bits(cr0))
		return 1;
	cr0 = (cr0 & CR0_DEFINED) | X86_CR0_ET;
	changed = cr0 ^ vcpu->arch.cr0;
	if (!cr0_valid(cr0))
		return 1;
	if ((changed & X86_CR0_PG) && !paging_change_ok(vcpu, cr0))
		return 1;
	if (!cr0_pdptrs_ok(vcpu, cr0))
		return 1;
	vcpu->arch.cr0 = cr0;
	if (changed & X86_CR0_PG)
		follow_paging(vcpu);
	static_call(vendor_cr0_changed)(vcpu);
	if (changed & X86_CR0_PG)
		static_call(vendor_tlb_flush)(vcpu);
	return 0;
}

/**
 * set_msw() - LMSW
 * @vcpu:	the vCPU
 * @msw:	bits 3:0 of CR0; PE can be set by it, but not cleared (SDM vol. 2)
 *
 * Context and return: as set_cr0().
 */
int set_msw(struct vcpu *vcpu, u16 msw)
{
	return set_cr0(vcpu, (vcpu->arch.cr0 & ~0xeULL) | (msw & 0xf));
}

/**
 * set_cr3() - MOV to CR3
 * @vcpu:	the vCPU
 * @cr3:	the new value; bit 63, with CR4.PCIDE, keeps translations
 *
 * Context: may sleep (PDPTEs). Return: 0, or 1 for #GP.
 */
int set_cr3(struct vcpu *vcpu, u64 cr3)
{
	bool keep = false;

	if (vcpu->arch.cr4 & X86_CR4_PCIDE) {
		keep = cr3 & X86_CR3_PCID_NOFLUSH;
		cr3 &= ~X86_CR3_PCID_NOFLUSH;
	}
	if (is_long_mode(vcpu) && (cr3 >> vcpu->arch.cpuid.max_phyaddr))
		return 1;
	if (is_pae_paging(vcpu) && !pdptrs_load(vcpu, cr3))
		return 1;
	static_call(vendor_set_cr3)(vcpu, cr3);
	if (!keep)
		static_call(vendor_tlb_flush)(vcpu);
	return 0;
}

/**
 * cr4_valid() - may this vCPU have this CR4?
 * @vcpu:	the vCPU
 * @cr4:	the value
 */
bool cr4_valid(struct vcpu *vcpu, u64 cr4)
{
	return !(cr4 & vcpu->arch.cpuid.cr4_reserved) &&
	       static_call(vendor_cr4_valid)(vcpu, cr4);
}

static bool cr4_change_ok(struct vcpu *vcpu, u64 cr4)
{
	u64 changed = cr4 ^ vcpu->arch.cr4, cr3;

	if (is_long_mode(vcpu)) {
		if (!(cr4 & X86_CR4_PAE) || (changed & X86_CR4_LA57))
			return false;
	} else if ((vcpu->arch.cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) &&
		   (changed & CR4_PDPTR_BITS)) {
		if (!pdptrs_load(vcpu, static_call(vendor_get_cr3)(vcpu)))
			return false;
	}
	if (!(changed & cr4 & X86_CR4_PCIDE))
		return true;
	/* PCIDs start from PCID 0, in long mode (SDM vol. 3, 4.10.1). */
	cr3 = static_call(vendor_get_cr3)(vcpu);
	return is_long_mode(vcpu) && !(cr3 & X86_CR3_PCID_MASK);
}

/**
 * set_cr4() - MOV to CR4
 * @vcpu:	the vCPU
 * @cr4:	the new value
 *
 * Context: may sleep (PDPTEs). Return: 0, or 1 for #GP.
 */
int set_cr4(struct vcpu *vcpu, u64 cr4)
{
	u64 changed = cr4 ^ vcpu->arch.cr4;

	if (!cr4_valid(vcpu, cr4) || !cr4_change_ok(vcpu, cr4))
		return 1;
	vcpu->arch.cr4 = cr4;
	static_call(vendor_cr4_changed)(vcpu);
	if (changed & CR4_FLUSHES)
		static_call(vendor_tlb_flush)(vcpu);
	if (changed & (X86_CR4_OSXSAVE | X86_CR4_PKE))
		cpuid_runtime(vcpu);
	return 0;
}

/**
 * set_cr8() - MOV to CR8: the task priority
 * @vcpu:	the vCPU
 * @cr8:	the new value
 *
 * Return: 0, or 1 for #GP.
 */
int set_cr8(struct vcpu *vcpu, u64 cr8)
{
	if (cr8 & ~X86_CR8_TPR)
		return 1;
	lapic_set_tpr(vcpu, cr8);
	return 0;
}

/**
 * efer_allowed() - EFER bits that this host can give a guest
 */
u64 efer_allowed(void)
{
	u64 allowed = EFER_SCE | EFER_LME | EFER_LMA;

	if (cpuid_offered(X86_FEATURE_NX))
		allowed |= EFER_NX;
	if (cpuid_offered(X86_FEATURE_FXSR_OPT))
		allowed |= EFER_FFXSR;
	return allowed;
}

/**
 * efer_fits_cpuid() - has the vCPU got what is on in an EFER?
 * @vcpu:	the vCPU
 * @efer:	the value
 */
bool efer_fits_cpuid(struct vcpu *vcpu, u64 efer)
{
	if ((efer & EFER_NX) && !guest_has(vcpu, X86_FEATURE_NX))
		return false;
	if ((efer & (EFER_LME | EFER_LMA)) && !guest_has(vcpu, X86_FEATURE_LM))
		return false;
	return !(efer & EFER_FFXSR) || guest_has(vcpu, X86_FEATURE_FXSR_OPT);
}

/**
 * set_efer() - WRMSR to EFER
 * @vcpu:	the vCPU
 * @efer:	the new value; LMA in it is ignored
 * @host:	user space asks: only the host's limits count
 *
 * Return: 0, or 1 for #GP.
 */
int set_efer(struct vcpu *vcpu, u64 efer, bool host)
{
	u64 old = vcpu->arch.efer;

	if (efer & ~efer_allowed())
		return 1;
	if (!host) {
		if (!efer_fits_cpuid(vcpu, efer))
			return 1;
		if ((vcpu->arch.cr0 & X86_CR0_PG) && ((efer ^ old) & EFER_LME))
			return 1;
	}
	vcpu->arch.efer = (efer & ~(u64)EFER_LMA) | (old & EFER_LMA);
	static_call(vendor_efer_changed)(vcpu);
	if ((efer ^ old) & EFER_NX)
		static_call(vendor_tlb_flush)(vcpu);
	return 0;
}

/**
 * set_xcr() - XSETBV; the caller has checked the privilege level
 * @vcpu:	the vCPU
 * @index:	0, or a #GP
 * @value:	the new XCR0
 *
 * SDM vol. 1, 13.3. Return: 0, or 1 for #GP.
 */
int set_xcr(struct vcpu *vcpu, u32 index, u64 value)
{
	u64 avx512 = value & XFEATURE_MASK_AVX512;

	if (index != XCR_XFEATURE_ENABLED_MASK || !(value & XFEATURE_MASK_FP))
		return 1;
	if ((value & XFEATURE_MASK_YMM) && !(value & XFEATURE_MASK_SSE))
		return 1;
	if (value & ~(vcpu->arch.cpuid.xcr0_allowed | XFEATURE_MASK_FP))
		return 1;
	if (avx512 && (!(value & XFEATURE_MASK_YMM) || avx512 != XFEATURE_MASK_AVX512))
		return 1;
	if (value != vcpu->arch.xcr0) {
		vcpu->arch.xcr0 = value;
		cpuid_runtime(vcpu);
	}
	return 0;
}

/* Bits of DR6 that are always 1: some are so only where the guest lacks a feature. */
static u64 dr6_fixed(struct vcpu *vcpu)
{
	u64 fixed = DR6_ONES;

	if (!guest_has(vcpu, X86_FEATURE_RTM))
		fixed |= DR6_RTM;
	if (!guest_has(vcpu, X86_FEATURE_BUS_LOCK_DETECT))
		fixed |= DR_BUS_LOCK;
	return fixed;
}

/**
 * set_dr() - MOV to a debug register
 * @vcpu:	the vCPU
 * @dr:		0 to 7; 4 and 5 are 6 and 7. That CR4.DE makes them a #UD is the caller's check
 * @value:	the new value
 *
 * Return: 0, or 1 for #GP.
 */
int set_dr(struct vcpu *vcpu, int dr, u64 value)
{
	if (dr < 4) {
		vcpu->arch.db[dr] = value;
	} else {
		if (upper_32_bits(value))
			return 1;
		if (dr == 4 || dr == 6)
			vcpu->arch.dr6 = (value & DR6_VOLATILE) | dr6_fixed(vcpu);
		else
			vcpu->arch.dr7 = (value & DR7_VOLATILE) | DR7_RESTING;
	}
	static_call(vendor_debug_regs_changed)(vcpu);
	return 0;
}

/**
 * get_dr() - MOV from a debug register
 * @vcpu:	the vCPU
 * @dr:		as for set_dr()
 *
 * Bits that no CPU has clear are set, whatever KVM_SET_DEBUGREGS was given.
 */
u64 get_dr(struct vcpu *vcpu, int dr)
{
	if (dr < 4)
		return vcpu->arch.db[dr];
	if (dr == 4 || dr == 6)
		return vcpu->arch.dr6 | dr6_fixed(vcpu);
	return vcpu->arch.dr7 | DR7_RESTING;
}

/**
 * vcpu_rflags() - RFLAGS as the guest set them
 * @vcpu: the vCPU
 *
 * While user space single-steps the guest, the TF that is set is user space's.
 */
u64 vcpu_rflags(struct vcpu *vcpu)
{
	u64 rflags = vcpu->arch.rflags;

	if (vcpu->arch.guest_debug & KVM_GUESTDBG_SINGLESTEP)
		rflags &= ~(u64)X86_EFLAGS_TF;
	return rflags;
}

/**
 * linear_rip() - where the next instruction is, in linear memory
 * @vcpu: the vCPU
 */
u64 linear_rip(struct vcpu *vcpu)
{
	if (is_64bit_code(vcpu))
		return vcpu->arch.rip;
	return (u32)(static_call(vendor_segment_base)(vcpu, SEG_CS) + vcpu->arch.rip);
}

/**
 * vcpu_set_rflags() - the reverse of vcpu_rflags()
 * @vcpu:	the vCPU
 * @rflags:	the guest's
 */
void vcpu_set_rflags(struct vcpu *vcpu, u64 rflags)
{
	if ((vcpu->arch.guest_debug & KVM_GUESTDBG_SINGLESTEP) &&
	    linear_rip(vcpu) == vcpu->arch.singlestep_rip)
		rflags |= X86_EFLAGS_TF;
	vcpu->arch.rflags = rflags | X86_EFLAGS_FIXED;
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/* INIT leaves the cache controls as they are (SDM vol. 3, table 10-1). */
static u64 reset_cr0(u64 old, bool init)
{
	u64 caches = X86_CR0_CD | X86_CR0_NW;

	return X86_CR0_ET | (init ? old & caches : caches);
}

static void reset_registers(struct vcpu *vcpu, bool init)
{
	const struct kvm_cpuid_entry2 *leaf1 = cpuid_entry(vcpu, 1, 0);
	struct vcpu_arch *a = &vcpu->arch;

	memset(a->gpr, 0, sizeof(a->gpr));
	/* Family, model, stepping; with no CPUID set yet, a Pentium Pro. */
	a->gpr[GPR_RDX] = leaf1 ? leaf1->eax : 0x600;
	a->rip = 0xfff0;
	a->rflags = X86_EFLAGS_FIXED;
	a->cr0 = reset_cr0(a->cr0, init);
	a->cr2 = 0;
	a->cr4 = 0;
	a->cr8 = 0;
	a->efer = 0;
	memset(a->db, 0, sizeof(a->db));
	a->dr6 = dr6_fixed(vcpu);
	a->dr7 = DR7_RESTING;
	if (!init)
		a->xcr0 = XFEATURE_MASK_FP;
}

static void reset_events(struct vcpu *vcpu)
{
	memset(&vcpu->arch.events, 0, sizeof(vcpu->arch.events));
	vcpu->arch.pv.unhalted = false;
	vcpu->arch.complete = NULL;
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/**
 * vcpu_reset() - RESET or INIT
 * @vcpu:	the vCPU
 * @init:	INIT, which leaves the FPU, most MSRs, the TSC and the caches alone
 *
 * SDM vol. 3, table 10-1; APM vol. 2, 14.1.3. RESET comes once, when the vCPU is
 * created: what INIT leaves alone has its first value then from fpu_create(),
 * msr_vcpu_init() and tsc_vcpu_init(). Whether the vCPU runs after it is mp_state,
 * and the caller's to decide.
 */
void vcpu_reset(struct vcpu *vcpu, bool init)
{
	bool paged = vcpu->arch.cr0 & X86_CR0_PG;

	lapic_reset(vcpu, init);
	/* What runs after an INIT knows nothing of that word in memory. */
	vcpu->arch.pv.eoi_msr = 0;
	smm_reset(vcpu, init);
	reset_events(vcpu);
	reset_registers(vcpu, init);
	static_call(vendor_vcpu_reset)(vcpu, init);
	static_call(vendor_cr0_changed)(vcpu);
	static_call(vendor_cr4_changed)(vcpu);
	static_call(vendor_efer_changed)(vcpu);
	static_call(vendor_set_cr3)(vcpu, 0);
	static_call(vendor_debug_regs_changed)(vcpu);
	static_call(vendor_intercepts_changed)(vcpu);
	static_call(vendor_cpuid_changed)(vcpu);
	if (paged)
		static_call(vendor_tlb_flush)(vcpu);
	cpuid_runtime(vcpu);
}
