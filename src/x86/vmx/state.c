// SPDX-License-Identifier: GPL-2.0
/*
 * Registers that live in the VMCS: segments, descriptor tables, control and
 * debug registers, and MSRs. Values were checked by the core; here they only
 * change their shape, and take on what VM entry demands (SDM vol. 3, 26.3).
 */
#include <asm/msr-index.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>
#include "x86/vmx/vmx.h"

/* The order of the VMCS's segment fields: SDM vol. 3, appendix B. */
static const u8 segment_order[SEGS] = {
	[SEG_ES] = 0, [SEG_CS] = 1, [SEG_SS] = 2, [SEG_DS] = 3,
	[SEG_FS] = 4, [SEG_GS] = 5, [SEG_LDTR] = 6, [SEG_TR] = 7,
};

static unsigned long selector_field(enum seg seg)
{
	return GUEST_ES_SELECTOR + 2 * segment_order[seg];
}

static unsigned long base_field(enum seg seg)
{
	return GUEST_ES_BASE + 2 * segment_order[seg];
}

static unsigned long limit_field(enum seg seg)
{
	return GUEST_ES_LIMIT + 2 * segment_order[seg];
}

static unsigned long rights_field(enum seg seg)
{
	return GUEST_ES_AR_BYTES + 2 * segment_order[seg];
}

/* Access rights: SDM vol. 3, table 24-2. */
#define AR_UNUSABLE	BIT(16)

/* Of an unusable segment the CPU looks at SS.DPL alone, which is the CPL; user space gets all back. */
static u32 pack_rights(const struct kvm_segment *s)
{
	return (s->type & 15) | (s->s & 1) << 4 | (s->dpl & 3) << 5 | (s->present & 1) << 7 |
	       (s->avl & 1) << 12 | (s->l & 1) << 13 | (s->db & 1) << 14 | (s->g & 1) << 15 |
	       (s->unusable || !s->present ? AR_UNUSABLE : 0);
}

/**
 * vmx_get_segment() - vendor_get_segment()
 * @vcpu:	the vCPU, loaded
 * @seg:	which
 * @s:	out, its limit in bytes
 */
void vmx_get_segment(struct vcpu *vcpu, enum seg seg, struct kvm_segment *s)
{
	u32 ar = vmcs_read(rights_field(seg));

	*s = (struct kvm_segment){
		.base		= vmcs_read(base_field(seg)),
		.limit		= vmcs_read(limit_field(seg)),
		.selector	= vmcs_read(selector_field(seg)),
		.type		= ar & 15,
		.s		= ar >> 4 & 1,
		.dpl		= ar >> 5 & 3,
		.present	= !(ar & AR_UNUSABLE),
		.avl		= ar >> 12 & 1,
		.l		= ar >> 13 & 1,
		.db		= ar >> 14 & 1,
		.g		= ar >> 15 & 1,
		.unusable	= !!(ar & AR_UNUSABLE),
	};
}

/**
 * vmx_set_segment() - vendor_set_segment()
 * @vcpu:	the vCPU, loaded
 * @seg:	which
 * @s:	from here; SS.DPL becomes the CPL
 */
void vmx_set_segment(struct vcpu *vcpu, enum seg seg, const struct kvm_segment *s)
{
	u32 ar = pack_rights(s);

	/* What is usable was loaded, so it is accessed (26.3.1.2); of others nobody asks. */
	if (seg != SEG_LDTR)
		ar |= 1;
	vmcs_write(base_field(seg), s->base);
	vmcs_write(limit_field(seg), s->limit);
	vmcs_write(selector_field(seg), s->selector);
	vmcs_write(rights_field(seg), ar);
}

/**
 * vmx_segment_base() - vendor_segment_base()
 * @vcpu:	the vCPU, loaded
 * @seg:	which
 */
u64 vmx_segment_base(struct vcpu *vcpu, enum seg seg)
{
	return vmcs_read(base_field(seg));
}

/**
 * vmx_cs_mode() - vendor_cs_mode()
 * @vcpu:	the vCPU, loaded
 * @db:	CS.D
 * @l:	CS.L
 */
void vmx_cs_mode(struct vcpu *vcpu, bool *db, bool *l)
{
	u32 ar = vmcs_read(GUEST_CS_AR_BYTES);

	*db = ar & BIT(14);
	*l = ar & BIT(13);
}

/**
 * vmx_cpl() - vendor_cpl(): SS.DPL is the CPL: SDM vol. 3, 24.4.1
 * @vcpu:	the vCPU, loaded
 */
int vmx_cpl(struct vcpu *vcpu)
{
	return vmcs_read(GUEST_SS_AR_BYTES) >> 5 & 3;
}

/**
 * vmx_reset_segments() - real mode's, as at reset: SDM vol. 3, table 9-1
 * @vcpu:	the vCPU, loaded
 */
void vmx_reset_segments(struct vcpu *vcpu)
{
	static const struct kvm_segment data = {
		.limit = 0xffff, .type = 3, .s = 1, .present = 1,
	};
	static const struct kvm_segment code = {
		.base = 0xffff0000, .limit = 0xffff, .selector = 0xf000,
		.type = 11, .s = 1, .present = 1,
	};
	static const struct kvm_segment ldt = { .limit = 0xffff, .type = 2, .present = 1 };
	static const struct kvm_segment tss = { .limit = 0xffff, .type = 11, .present = 1 };

	vmx_set_segment(vcpu, SEG_ES, &data);
	vmx_set_segment(vcpu, SEG_SS, &data);
	vmx_set_segment(vcpu, SEG_DS, &data);
	vmx_set_segment(vcpu, SEG_FS, &data);
	vmx_set_segment(vcpu, SEG_GS, &data);
	vmx_set_segment(vcpu, SEG_CS, &code);
	vmx_set_segment(vcpu, SEG_LDTR, &ldt);
	vmx_set_segment(vcpu, SEG_TR, &tss);
}

/**
 * vmx_get_gdt() - vendor_get_gdt()
 * @vcpu:	the vCPU, loaded
 * @dt:	out
 */
void vmx_get_gdt(struct vcpu *vcpu, struct kvm_dtable *dt)
{
	*dt = (struct kvm_dtable){
		.base = vmcs_read(GUEST_GDTR_BASE), .limit = vmcs_read(GUEST_GDTR_LIMIT),
	};
}

/**
 * vmx_set_gdt() - vendor_set_gdt()
 * @vcpu:	the vCPU, loaded
 * @dt:	from here
 */
void vmx_set_gdt(struct vcpu *vcpu, const struct kvm_dtable *dt)
{
	vmcs_write(GUEST_GDTR_BASE, dt->base);
	vmcs_write(GUEST_GDTR_LIMIT, dt->limit);
}

/**
 * vmx_get_idt() - vendor_get_idt()
 * @vcpu:	the vCPU, loaded
 * @dt:	out
 */
void vmx_get_idt(struct vcpu *vcpu, struct kvm_dtable *dt)
{
	*dt = (struct kvm_dtable){
		.base = vmcs_read(GUEST_IDTR_BASE), .limit = vmcs_read(GUEST_IDTR_LIMIT),
	};
}

/**
 * vmx_set_idt() - vendor_set_idt()
 * @vcpu:	the vCPU, loaded
 * @dt:	from here
 */
void vmx_set_idt(struct vcpu *vcpu, const struct kvm_dtable *dt)
{
	vmcs_write(GUEST_IDTR_BASE, dt->base);
	vmcs_write(GUEST_IDTR_LIMIT, dt->limit);
}

/*
 * With EPT, VM entry takes a PAE guest's PDPTEs from the VMCS: 26.3.2.4. The
 * guest's own MOV to CR3 changes those and nothing else, so they are written
 * only when the core has loaded others.
 */
static void write_pdptrs(struct vcpu *vcpu)
{
	unsigned int i;

	if (!vcpu->arch.pdptrs_new)
		return;
	vcpu->arch.pdptrs_new = false;
	for (i = 0; i < 4; i++)
		vmcs_write(GUEST_PDPTR0 + 2 * i, vcpu->arch.pdptrs[i]);
}

/**
 * vmx_get_pdptrs() - vendor_get_pdptrs()
 * @vcpu:	the vCPU, loaded
 * @pdptrs: four, out
 *
 * Its own as well: each exit has left them in the VMCS (27.3.4).
 */
void vmx_get_pdptrs(struct vcpu *vcpu, u64 *pdptrs)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		pdptrs[i] = vcpu->arch.pdptrs_new ? vcpu->arch.pdptrs[i] :
						    vmcs_read(GUEST_PDPTR0 + 2 * i);
}

static void paging_changed(struct vcpu *vcpu)
{
	write_pdptrs(vcpu);
	vpid_flush(to_vmx(vcpu)->vpid);
}

/**
 * vmx_cr0_changed() - vendor_cr0_changed()
 * @vcpu:	the vCPU, loaded
 *
 * CD and NW are the guest's word only; NE and what else is fixed is ours.
 */
void vmx_cr0_changed(struct vcpu *vcpu)
{
	u64 cr0 = vcpu->arch.cr0;

	vmcs_write(CR0_READ_SHADOW, cr0);
	vmcs_write(GUEST_CR0, (cr0 & ~(u64)(X86_CR0_CD | X86_CR0_NW)) | vmx_caps.cr0_fixed);
	paging_changed(vcpu);
	/* EFER.LMA follows CR0.PG. */
	vmx_efer_changed(vcpu);
}

/**
 * vmx_cr4_changed() - vendor_cr4_changed()
 * @vcpu:	the vCPU, loaded
 *
 * A machine check with CR4.MCE clear shuts the CPU down: SDM vol. 3, 15.2.
 */
void vmx_cr4_changed(struct vcpu *vcpu)
{
	u64 cr4 = vcpu->arch.cr4;

	vmcs_write(CR4_READ_SHADOW, cr4);
	vmcs_write(GUEST_CR4, cr4 | vmx_caps.cr4_fixed | (cr4_read_shadow() & X86_CR4_MCE));
	paging_changed(vcpu);
}

/**
 * vmx_efer_changed() - vendor_efer_changed()
 * @vcpu:	the vCPU, loaded
 *
 * The entry control and EFER.LMA must agree: SDM vol. 3, 26.3.1.1.
 */
void vmx_efer_changed(struct vcpu *vcpu)
{
	u32 entry = vmx_caps.entry;

	if (vcpu->arch.efer & EFER_LMA)
		entry |= VM_ENTRY_IA32E_MODE;
	vmcs_write(VM_ENTRY_CONTROLS, entry);
	vmcs_write(GUEST_IA32_EFER, vcpu->arch.efer);
}

/**
 * vmx_get_cr3() - vendor_get_cr3()
 * @vcpu:	the vCPU, loaded
 */
u64 vmx_get_cr3(struct vcpu *vcpu)
{
	return vmcs_read(GUEST_CR3);
}

/**
 * vmx_set_cr3() - vendor_set_cr3(): its translations are flushed as well
 * @vcpu:	the vCPU, loaded
 * @cr3:	checked by the core
 */
void vmx_set_cr3(struct vcpu *vcpu, u64 cr3)
{
	vmcs_write(GUEST_CR3, cr3);
	paging_changed(vcpu);
}

/**
 * vmx_cr4_valid() - vendor_cr4_valid()
 * @vcpu:	the vCPU, loaded
 * @cr4:	that the guest, or user space, would have
 */
bool vmx_cr4_valid(struct vcpu *vcpu, u64 cr4)
{
	return !(cr4 & X86_CR4_VMXE);
}

/**
 * vmx_debug_regs_changed() - vendor_debug_regs_changed()
 * @vcpu:	the vCPU, loaded
 */
void vmx_debug_regs_changed(struct vcpu *vcpu)
{
	vmcs_write(GUEST_DR7, effective_dr7(vcpu));
}

/* --- MSRs. --- */

static const struct { u32 msr; u32 field; } msr_fields[] = {
	{ MSR_FS_BASE,			GUEST_FS_BASE },
	{ MSR_GS_BASE,			GUEST_GS_BASE },
	{ MSR_IA32_SYSENTER_CS,		GUEST_SYSENTER_CS },
	{ MSR_IA32_SYSENTER_ESP,	GUEST_SYSENTER_ESP },
	{ MSR_IA32_SYSENTER_EIP,	GUEST_SYSENTER_EIP },
	{ MSR_IA32_CR_PAT,		GUEST_IA32_PAT },
	{ MSR_IA32_DEBUGCTLMSR,		GUEST_IA32_DEBUGCTL },
};

static u32 msr_field(u32 msr)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(msr_fields); i++)
		if (msr_fields[i].msr == msr)
			return msr_fields[i].field;
	return 0;
}

/* Those that are the guest's in hardware while its vCPU is loaded. */
static int switched_index(u32 msr)
{
	unsigned int i;

	for (i = 0; i < SW_MSRS; i++)
		if (vmx_switched[i] == msr)
			return i;
	return -ENOENT;
}

/**
 * vmx_get_msr() - vendor_get_msr()
 * @vcpu:	the vCPU, loaded
 * @msr:	its number
 * @value:	out
 *
 * Return: 0, or -ENOENT: neither in the VMCS nor switched by hand.
 */
int vmx_get_msr(struct vcpu *vcpu, u32 msr, u64 *value)
{
	u32 field = msr_field(msr);
	int i;

	if (field) {
		*value = vmcs_read(field);
		return 0;
	}
	i = switched_index(msr);
	if (i < 0)
		return i;
	/* SWAPGS changes this one in hardware. */
	if (i == SW_KERNEL_GS_BASE)
		rdmsrl(msr, to_vmx(vcpu)->msrs[i]);
	*value = to_vmx(vcpu)->msrs[i];
	return 0;
}

/**
 * vmx_set_msr() - vendor_set_msr()
 * @vcpu:	the vCPU, loaded
 * @msr:	its number
 * @value:	checked by the core, but for DEBUGCTL and what this CPU itself refuses
 *
 * Return: 0; -ENOENT: neither in the VMCS nor switched by hand; -EINVAL: no such value.
 */
int vmx_set_msr(struct vcpu *vcpu, u32 msr, u64 value)
{
	u32 field = msr_field(msr);
	int i, r = -EINVAL;

	if (msr == MSR_IA32_DEBUGCTLMSR) {
		/* No LBRs are offered; zero is always taken. */
		if (value & ~(u64)(DEBUGCTLMSR_BTF | DEBUGCTLMSR_LBR))
			return -EINVAL;
		value &= DEBUGCTLMSR_BTF;
	}
	if (field) {
		vmcs_write(field, value);
		return 0;
	}
	i = switched_index(msr);
	if (i < 0)
		return i;
	/* Which bits there are the CPU knows: above bit 31 of IA32_FMASK are none, for one. */
	preempt_disable();
	if (!wrmsrl_safe(msr, value)) {
		to_vmx(vcpu)->msrs[i] = value;
		r = 0;
	}
	preempt_enable();
	return r;
}

/**
 * vmx_has_emulated_msr() - vendor_has_emulated_msr()
 * @msr:	its number
 *
 * Context: any.
 */
bool vmx_has_emulated_msr(u32 msr)
{
	switch (msr) {
	case MSR_AMD64_TSC_RATIO:
		return false;
	default:
		return true;
	}
}

/**
 * vmx_pass_msr() - vendor_pass_msr()
 * @vcpu:	the vCPU, loaded
 * @msr:	its number; one that the bitmap does not cover exits always
 * @read:	reads do not exit
 * @write:	writes do not exit
 *
 * The bitmap's four quarters: reads of low MSRs, of high ones (0xc0000000),
 * then writes of each: SDM vol. 3, 24.6.9.
 */
void vmx_pass_msr(struct vcpu *vcpu, u32 msr, bool read, bool write)
{
	void *bitmap = to_vmx(vcpu)->msr_bitmap;
	bool high = msr >= 0xc0000000;
	u32 bit = msr & 0x1fff;

	if ((msr & ~0x1fffU) != (high ? 0xc0000000 : 0))
		return;
	bitmap += high ? 0x400 : 0;
	__assign_bit(bit, bitmap, !read);
	__assign_bit(bit, bitmap + 0x800, !write);
}
