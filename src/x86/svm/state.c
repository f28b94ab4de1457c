// SPDX-License-Identifier: GPL-2.0
/*
 * Registers that live in the VMCB: segments, descriptor tables, control and
 * debug registers, and the MSRs that VMLOAD and VMSAVE carry. Values were
 * checked by the core; here they only change their shape.
 */
#include <asm/msr-index.h>
#include <asm/tlbflush.h>
#include "x86/svm/svm.h"

static const u16 segment_offset[SEGS] = {
	[SEG_ES] = offsetof(struct vmcb_save_area, es),
	[SEG_CS] = offsetof(struct vmcb_save_area, cs),
	[SEG_SS] = offsetof(struct vmcb_save_area, ss),
	[SEG_DS] = offsetof(struct vmcb_save_area, ds),
	[SEG_FS] = offsetof(struct vmcb_save_area, fs),
	[SEG_GS] = offsetof(struct vmcb_save_area, gs),
	[SEG_TR] = offsetof(struct vmcb_save_area, tr),
	[SEG_LDTR] = offsetof(struct vmcb_save_area, ldtr),
};

static struct vmcb_seg *vmcb_segment(struct vcpu *vcpu, enum seg seg)
{
	return (void *)&to_vmcb(vcpu)->save + segment_offset[seg];
}

/**
 * svm_get_segment() - vendor_get_segment()
 * @vcpu:	the vCPU, loaded
 * @seg:	which
 * @s:	out, its limit in bytes
 */
void svm_get_segment(struct vcpu *vcpu, enum seg seg, struct kvm_segment *s)
{
	const struct vmcb_seg *v = vmcb_segment(vcpu, seg);

	*s = (struct kvm_segment){
		.base		= v->base,
		.limit		= v->limit,
		.selector	= v->selector,
		.type		= v->attrib & SVM_SELECTOR_TYPE_MASK,
		.s		= !!(v->attrib & SVM_SELECTOR_S_MASK),
		.dpl		= (v->attrib & SVM_SELECTOR_DPL_MASK) >> SVM_SELECTOR_DPL_SHIFT,
		.present	= !!(v->attrib & SVM_SELECTOR_P_MASK),
		.avl		= !!(v->attrib & SVM_SELECTOR_AVL_MASK),
		.l		= !!(v->attrib & SVM_SELECTOR_L_MASK),
		.db		= !!(v->attrib & SVM_SELECTOR_DB_MASK),
		.g		= v->limit > 0xfffff,
	};
	s->unusable = !s->present;

	/*
	 * What SVM leaves undefined and VMX's checks want told in one way:
	 * a loaded TR is busy; loaded data segments are accessed; an unusable SS
	 * is not a big one; and CPL is a field of its own, which SS.DPL shall
	 * agree with. All as KVM tells it.
	 */
	if (seg == SEG_TR)
		s->type |= 2;
	else if (seg == SEG_SS)
		s->dpl = to_vmcb(vcpu)->save.cpl;
	else if (s->s && !s->unusable)
		s->type |= 1;
	if (s->unusable && seg == SEG_SS)
		s->db = 0;
}

/**
 * svm_set_segment() - vendor_set_segment()
 * @vcpu:	the vCPU, loaded
 * @seg:	which
 * @s:	from here; SS.DPL becomes the CPL
 */
void svm_set_segment(struct vcpu *vcpu, enum seg seg, const struct kvm_segment *s)
{
	struct vmcb_seg *v = vmcb_segment(vcpu, seg);

	v->base = s->base;
	v->limit = s->limit;
	v->selector = s->selector;
	v->attrib = (s->type & SVM_SELECTOR_TYPE_MASK) |
		    (s->s & 1) << SVM_SELECTOR_S_SHIFT |
		    (s->dpl & 3) << SVM_SELECTOR_DPL_SHIFT |
		    ((s->present & 1) && !s->unusable) << SVM_SELECTOR_P_SHIFT |
		    (s->avl & 1) << SVM_SELECTOR_AVL_SHIFT |
		    (s->l & 1) << SVM_SELECTOR_L_SHIFT |
		    (s->db & 1) << SVM_SELECTOR_DB_SHIFT |
		    (s->g & 1) << SVM_SELECTOR_G_SHIFT;
	if (seg == SEG_SS)
		to_vmcb(vcpu)->save.cpl = s->dpl & 3;
	vmcb_dirty(to_vmcb(vcpu), CLEAN_SEG);
}

/**
 * svm_segment_base() - vendor_segment_base()
 * @vcpu:	the vCPU, loaded
 * @seg:	which
 */
u64 svm_segment_base(struct vcpu *vcpu, enum seg seg)
{
	return vmcb_segment(vcpu, seg)->base;
}

/**
 * svm_cs_mode() - vendor_cs_mode()
 * @vcpu:	the vCPU, loaded
 * @db:	CS.D
 * @l:	CS.L
 */
void svm_cs_mode(struct vcpu *vcpu, bool *db, bool *l)
{
	u16 attrib = to_vmcb(vcpu)->save.cs.attrib;

	*db = attrib & SVM_SELECTOR_DB_MASK;
	*l = attrib & SVM_SELECTOR_L_MASK;
}

/**
 * svm_cpl() - vendor_cpl()
 * @vcpu:	the vCPU, loaded
 */
int svm_cpl(struct vcpu *vcpu)
{
	return to_vmcb(vcpu)->save.cpl;
}

static void get_table(const struct vmcb_seg *v, struct kvm_dtable *dt)
{
	*dt = (struct kvm_dtable){ .base = v->base, .limit = v->limit };
}

static void set_table(struct vcpu *vcpu, struct vmcb_seg *v, const struct kvm_dtable *dt)
{
	v->base = dt->base;
	v->limit = dt->limit;
	vmcb_dirty(to_vmcb(vcpu), CLEAN_DT);
}

/**
 * svm_get_gdt() - vendor_get_gdt()
 * @vcpu:	the vCPU, loaded
 * @dt:	out
 */
void svm_get_gdt(struct vcpu *vcpu, struct kvm_dtable *dt)
{
	get_table(&to_vmcb(vcpu)->save.gdtr, dt);
}

/**
 * svm_set_gdt() - vendor_set_gdt()
 * @vcpu:	the vCPU, loaded
 * @dt:	from here
 */
void svm_set_gdt(struct vcpu *vcpu, const struct kvm_dtable *dt)
{
	set_table(vcpu, &to_vmcb(vcpu)->save.gdtr, dt);
}

/**
 * svm_get_idt() - vendor_get_idt()
 * @vcpu:	the vCPU, loaded
 * @dt:	out
 */
void svm_get_idt(struct vcpu *vcpu, struct kvm_dtable *dt)
{
	get_table(&to_vmcb(vcpu)->save.idtr, dt);
}

/**
 * svm_set_idt() - vendor_set_idt()
 * @vcpu:	the vCPU, loaded
 * @dt:	from here
 */
void svm_set_idt(struct vcpu *vcpu, const struct kvm_dtable *dt)
{
	set_table(vcpu, &to_vmcb(vcpu)->save.idtr, dt);
}

/**
 * svm_cr0_changed() - vendor_cr0_changed()
 * @vcpu:	the vCPU, loaded
 *
 * CD and NW are the guest's word only: with them in the VMCB all its memory
 * would be uncached (APM 15.25.8). It reads its own value back by an exit,
 * which is needed only while the two differ.
 */
void svm_cr0_changed(struct vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);
	u64 hidden = X86_CR0_CD | X86_CR0_NW;

	vmcb->save.cr0 = vcpu->arch.cr0 & ~hidden;
	intercept_set(vmcb, INTERCEPT_CR0_READ, vcpu->arch.cr0 & hidden);
	vmcb_dirty(vmcb, CLEAN_CR);
	/* As a MOV to it would, for PG and WP among others: APM 5.5.3. */
	svm_tlb_flush(vcpu);
	/* EFER.LMA follows CR0.PG. */
	svm_efer_changed(vcpu);
}

/**
 * svm_cr4_changed() - vendor_cr4_changed()
 * @vcpu:	the vCPU, loaded
 *
 * A machine check with CR4.MCE clear shuts the CPU down: APM 15.14.
 */
void svm_cr4_changed(struct vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	vmcb->save.cr4 = vcpu->arch.cr4 | (cr4_read_shadow() & X86_CR4_MCE);
	vmcb_dirty(vmcb, CLEAN_CR);
	/* PGE, PSE, PAE, SMEP: the intercept has taken the CPU's own flush. */
	svm_tlb_flush(vcpu);
}

/**
 * svm_efer_changed() - vendor_efer_changed()
 * @vcpu:	the vCPU, loaded
 *
 * VMRUN demands SVME in the guest's EFER: APM 15.5.1.
 */
void svm_efer_changed(struct vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	vmcb->save.efer = vcpu->arch.efer | EFER_SVME;
	vmcb_dirty(vmcb, CLEAN_CR);
}

/**
 * svm_get_cr3() - vendor_get_cr3()
 * @vcpu:	the vCPU, loaded
 */
u64 svm_get_cr3(struct vcpu *vcpu)
{
	return to_vmcb(vcpu)->save.cr3;
}

/**
 * svm_get_pdptrs() - vendor_get_pdptrs()
 * @vcpu:	the vCPU, loaded
 * @pdptrs: four, out
 *
 * With nested paging they are read from memory when they are used: APM vol. 2, 15.25.10.
 * Where that can't be read, they are the last that the core has loaded.
 *
 * Context: takes vm->srcu; may sleep.
 */
void svm_get_pdptrs(struct vcpu *vcpu, u64 *pdptrs)
{
	if (!pdptrs_read(vcpu, svm_get_cr3(vcpu), pdptrs))
		memcpy(pdptrs, vcpu->arch.pdptrs, sizeof(vcpu->arch.pdptrs));
}

/**
 * svm_set_cr3() - vendor_set_cr3(): its translations are flushed as well
 * @vcpu:	the vCPU, loaded
 * @cr3:	checked by the core
 */
void svm_set_cr3(struct vcpu *vcpu, u64 cr3)
{
	to_vmcb(vcpu)->save.cr3 = cr3;
	vmcb_dirty(to_vmcb(vcpu), CLEAN_CR);
	svm_tlb_flush(vcpu);
}

/**
 * svm_cr4_valid() - vendor_cr4_valid()
 * @vcpu:	the vCPU, loaded
 * @cr4:	that the guest, or user space, would have
 */
bool svm_cr4_valid(struct vcpu *vcpu, u64 cr4)
{
	return !(cr4 & X86_CR4_VMXE);
}

/**
 * svm_debug_regs_changed() - vendor_debug_regs_changed()
 * @vcpu:	the vCPU, loaded
 */
void svm_debug_regs_changed(struct vcpu *vcpu)
{
	bool users = vcpu->arch.guest_debug & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP);
	struct vmcb *vmcb = to_vmcb(vcpu);

	/* The CPU adds to it. User space is told what is new; the guest has what it did not clear. */
	vmcb->save.dr6 = users ? DR6_ACTIVE_LOW : vcpu->arch.dr6;
	vmcb->save.dr7 = effective_dr7(vcpu);
	vmcb_dirty(vmcb, CLEAN_DR);
}

/* MSRs that are fields of the save area. */
static const struct { u32 msr; u16 offset; } msr_fields[] = {
#define FIELD(msr, field) { msr, offsetof(struct vmcb_save_area, field) }
	FIELD(MSR_STAR, star),
	FIELD(MSR_LSTAR, lstar),
	FIELD(MSR_CSTAR, cstar),
	FIELD(MSR_SYSCALL_MASK, sfmask),
	FIELD(MSR_KERNEL_GS_BASE, kernel_gs_base),
	FIELD(MSR_FS_BASE, fs.base),
	FIELD(MSR_GS_BASE, gs.base),
	FIELD(MSR_IA32_SYSENTER_CS, sysenter_cs),
	FIELD(MSR_IA32_SYSENTER_ESP, sysenter_esp),
	FIELD(MSR_IA32_SYSENTER_EIP, sysenter_eip),
	FIELD(MSR_IA32_CR_PAT, g_pat),
	FIELD(MSR_IA32_DEBUGCTLMSR, dbgctl),
	FIELD(MSR_IA32_LASTBRANCHFROMIP, br_from),
	FIELD(MSR_IA32_LASTBRANCHTOIP, br_to),
	FIELD(MSR_IA32_LASTINTFROMIP, last_excp_from),
	FIELD(MSR_IA32_LASTINTTOIP, last_excp_to),
#undef FIELD
};

/*
 * AMD's CPUs need, and may keep, no more than 32 bits of them, for they have no SYSENTER in long
 * mode (APM vol. 2, 6.1.2). A guest whose CPU is one of Intel's reads all that it wrote.
 */
static u64 *sysenter_whole(struct vcpu *vcpu, u32 msr)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (!svm->sysenter_whole || (msr != MSR_IA32_SYSENTER_ESP && msr != MSR_IA32_SYSENTER_EIP))
		return NULL;
	return &svm->sysenter[msr == MSR_IA32_SYSENTER_EIP];
}

static u64 *msr_field(struct vcpu *vcpu, u32 msr)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(msr_fields); i++)
		if (msr_fields[i].msr == msr)
			return (void *)&to_vmcb(vcpu)->save + msr_fields[i].offset;
	return NULL;
}

/**
 * svm_get_msr() - vendor_get_msr()
 * @vcpu:	the vCPU, loaded
 * @msr:	its number
 * @value:	out
 *
 * Return: 0, or -ENOENT: not one of the VMCB's.
 */
int svm_get_msr(struct vcpu *vcpu, u32 msr, u64 *value)
{
	const u64 *field = sysenter_whole(vcpu, msr) ?: msr_field(vcpu, msr);

	if (!field)
		return -ENOENT;
	*value = *field;
	return 0;
}

/* Only LBR and BTF mean anything to the CPU in a guest: APM 15.23. */
#define DEBUGCTL_VALID	(DEBUGCTLMSR_LBR | DEBUGCTLMSR_BTF)

static int set_debugctl(struct vcpu *vcpu, u64 value)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	if (value & ~0x3fULL)
		return -EINVAL;
	if (!svm_has_lbrv)
		return 0;
	vmcb->save.dbgctl = value & DEBUGCTL_VALID;
	/* It is what has VMRUN switch the register at all, for BTF as well. */
	if (vmcb->save.dbgctl)
		vmcb->control.virt_ext |= LBR_CTL_ENABLE_MASK;
	else
		vmcb->control.virt_ext &= ~LBR_CTL_ENABLE_MASK;
	vmcb_dirty(vmcb, CLEAN_LBR);
	return 0;
}

/**
 * svm_set_msr() - vendor_set_msr()
 * @vcpu:	the vCPU, loaded
 * @msr:	its number
 * @value:	checked by the core, but for DEBUGCTL and the last branches
 *
 * Return: 0; -ENOENT: not one of the VMCB's; -EINVAL: no such value.
 */
int svm_set_msr(struct vcpu *vcpu, u32 msr, u64 value)
{
	u64 *field = msr_field(vcpu, msr), *whole = sysenter_whole(vcpu, msr);

	if (!field)
		return -ENOENT;
	if (msr == MSR_IA32_DEBUGCTLMSR)
		return set_debugctl(vcpu, value);
	if (msr >= MSR_IA32_LASTBRANCHFROMIP && msr <= MSR_IA32_LASTINTTOIP)
		return value ? -EINVAL : 0;
	if (unlikely(whole))
		*whole = value;
	*field = whole ? (u32)value : value;
	if (msr == MSR_IA32_CR_PAT)
		vmcb_dirty(to_vmcb(vcpu), CLEAN_NPT);
	else if (msr == MSR_FS_BASE || msr == MSR_GS_BASE)
		vmcb_dirty(to_vmcb(vcpu), CLEAN_SEG);
	return 0;
}

/**
 * svm_has_emulated_msr() - vendor_has_emulated_msr()
 * @msr:	its number
 *
 * Context: any.
 */
bool svm_has_emulated_msr(u32 msr)
{
	switch (msr) {
	case MSR_IA32_ARCH_CAPABILITIES:
	case MSR_IA32_MCG_EXT_CTL:
	case MSR_IA32_FEAT_CTL:
		return false;
	default:
		return true;
	}
}

/* The three ranges that the permission map covers, 2 KiB each: APM 15.11. */
static const u32 msrpm_ranges[] = { 0, 0xc0000000, 0xc0010000 };
#define MSRPM_RANGE_MSRS	0x2000

/**
 * svm_pass_msr() - vendor_pass_msr()
 * @vcpu:	the vCPU, loaded
 * @msr:	its number; one that the map does not cover exits always
 * @read:	reads do not exit
 * @write:	writes do not exit
 */
void svm_pass_msr(struct vcpu *vcpu, u32 msr, bool read, bool write)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	bool pass = !sysenter_whole(vcpu, msr);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(msrpm_ranges); i++) {
		u32 index = msr - msrpm_ranges[i];
		unsigned long bit;

		if (index >= MSRPM_RANGE_MSRS)
			continue;
		bit = 2 * (i * MSRPM_RANGE_MSRS + index);
		__assign_bit(bit, svm->msrpm, !(read && pass));
		__assign_bit(bit + 1, svm->msrpm, !(write && pass));
		vmcb_dirty(svm->vmcb, CLEAN_PERM_MAP);
	}
}
