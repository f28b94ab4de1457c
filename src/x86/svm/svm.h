/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of svm/ share: the vCPU's VMCB and its bookkeeping. Nothing
 * outside svm/ includes this.
 */
#ifndef MINIKVM_X86_SVM_H
#define MINIKVM_X86_SVM_H

#include <asm/svm.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>
#include "x86/svm/entry.h"
#include "x86/x86.h"

/* The sizes that the APM lays down (appendix B). */
static_assert(sizeof(struct vmcb_control_area) == 0x400);
static_assert(offsetof(struct vmcb_save_area, rax) == 0x1f8);
static_assert(offsetof(struct vmcb_save_area, cr2) == 0x240);

/* VMCB clean bits, APM 15.15.3: which parts the CPU may take from its cache. */
enum vmcb_clean {
	CLEAN_INTERCEPTS, CLEAN_PERM_MAP, CLEAN_ASID, CLEAN_INTR, CLEAN_NPT,
	CLEAN_CR, CLEAN_DR, CLEAN_DT, CLEAN_SEG, CLEAN_CR2, CLEAN_LBR,
};
/* The TPR and CR2 change with every exit and are never worth marking. */
#define CLEAN_ALL	(0x7ff & ~(BIT(CLEAN_INTR) | BIT(CLEAN_CR2)))

#define MSRPM_PAGES	2
#define IOPM_PAGES	3

struct svm_vcpu {
	struct vcpu vcpu;		/* first: the core allocates it */
	struct vmcb *vmcb;
	struct svm_entry entry;
	unsigned long *msrpm;
	u64 asid_generation;		/* of the per-CPU counter when taken */
	int last_cpu;
	/*
	 * NMIs are blocked from their injection to the end of IRET. IRET is
	 * intercepted, but the intercept comes before it executes: the mask is
	 * dropped when RIP has moved on.
	 */
	bool nmi_masked, iret_seen;
	u64 iret_rip;
	/* An NMI waits for an instruction to pass: the next entry steps, the last one has stepped. */
	bool nmi_window, single_step;
	u64 step_rflags;		/* TF and RF as the guest had them */
	/* SYSENTER_ESP and _EIP, of a guest of Intel's: see sysenter_whole(). */
	u64 sysenter[2];
	bool sysenter_whole;
};

static inline struct svm_vcpu *to_svm(struct vcpu *vcpu)
{
	return container_of(vcpu, struct svm_vcpu, vcpu);
}

static inline struct vmcb *to_vmcb(struct vcpu *vcpu)
{
	return to_svm(vcpu)->vmcb;
}

static inline void vmcb_dirty(struct vmcb *vmcb, enum vmcb_clean part)
{
	vmcb->control.clean &= ~BIT(part);
}

static inline void intercept_set(struct vmcb *vmcb, unsigned int bit, bool on)
{
	u32 *word = &vmcb->control.intercepts[bit / 32];
	u32 mask = BIT(bit % 32);
	u32 value = on ? *word | mask : *word & ~mask;

	if (value == *word)
		return;
	*word = value;
	vmcb_dirty(vmcb, CLEAN_INTERCEPTS);
}

static inline bool intercept_is_set(const struct vmcb *vmcb, unsigned int bit)
{
	return vmcb->control.intercepts[bit / 32] & BIT(bit % 32);
}

/* svm.c */
extern bool svm_has_flush_by_asid, svm_has_lbrv, svm_has_nrips, svm_has_spec_ctrl;

void svm_tlb_flush(struct vcpu *vcpu);

/* exits.c: what hardware says -> struct exit */
void svm_exit_info(struct vcpu *vcpu);
void svm_exit_words(struct vcpu *vcpu, u64 *words);
void svm_dump(struct vcpu *vcpu);

/* state.c: registers that live in the VMCB */
void svm_get_segment(struct vcpu *vcpu, enum seg seg, struct kvm_segment *s);
void svm_set_segment(struct vcpu *vcpu, enum seg seg, const struct kvm_segment *s);
u64 svm_segment_base(struct vcpu *vcpu, enum seg seg);
void svm_cs_mode(struct vcpu *vcpu, bool *db, bool *l);
int svm_cpl(struct vcpu *vcpu);
void svm_get_gdt(struct vcpu *vcpu, struct kvm_dtable *dt);
void svm_set_gdt(struct vcpu *vcpu, const struct kvm_dtable *dt);
void svm_get_idt(struct vcpu *vcpu, struct kvm_dtable *dt);
void svm_set_idt(struct vcpu *vcpu, const struct kvm_dtable *dt);
void svm_cr0_changed(struct vcpu *vcpu);
void svm_cr4_changed(struct vcpu *vcpu);
void svm_efer_changed(struct vcpu *vcpu);
u64 svm_get_cr3(struct vcpu *vcpu);
void svm_get_pdptrs(struct vcpu *vcpu, u64 *pdptrs);
void svm_set_cr3(struct vcpu *vcpu, u64 cr3);
bool svm_cr4_valid(struct vcpu *vcpu, u64 cr4);
void svm_debug_regs_changed(struct vcpu *vcpu);
int svm_get_msr(struct vcpu *vcpu, u32 msr, u64 *value);
int svm_set_msr(struct vcpu *vcpu, u32 msr, u64 value);
bool svm_has_emulated_msr(u32 msr);
void svm_pass_msr(struct vcpu *vcpu, u32 msr, bool read, bool write);

/* inject.c: events in, and windows for them */
void svm_inject_exception(struct vcpu *vcpu);
void svm_inject_irq(struct vcpu *vcpu);
void svm_inject_nmi(struct vcpu *vcpu);
void svm_cancel_injection(struct vcpu *vcpu);
u32 svm_get_shadow(struct vcpu *vcpu);
void svm_set_shadow(struct vcpu *vcpu, u32 shadow);
bool svm_get_nmi_mask(struct vcpu *vcpu);
void svm_set_nmi_mask(struct vcpu *vcpu, bool masked);
void svm_irq_window(struct vcpu *vcpu, bool want);
void svm_nmi_window(struct vcpu *vcpu, bool want);
void svm_tpr_window(struct vcpu *vcpu, bool want);
void svm_iret_exit(struct vcpu *vcpu);
void svm_step_in(struct svm_vcpu *svm);
void svm_step_out(struct svm_vcpu *svm);
bool svm_step_exit(struct vcpu *vcpu);
void svm_nmi_progress(struct vcpu *vcpu);

#endif
