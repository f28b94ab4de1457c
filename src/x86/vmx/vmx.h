/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of vmx/ share: the vCPU's VMCS and its bookkeeping, and the
 * instructions on it. Nothing outside vmx/ includes this.
 */
#ifndef MINIKVM_X86_VMX_H
#define MINIKVM_X86_VMX_H

#include <asm/asm.h>
#include <asm/cpufeature.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>
#include <asm/vmx.h>
#include "x86/vmx/entry.h"
#include "x86/x86.h"

/* Controls as this machine can have them: caps.c, constant after load. */
struct vmx_caps {
	u32 revision;
	u32 pin, proc, proc2, exit, entry;
	u64 ept_vpid;
	u64 cr0_fixed, cr4_fixed;	/* bits that must be 1 in a guest */
	u8 timer_shift;			/* a tick of the preemption timer: so many bits of the TSC */
	bool flush_l1d;
};

extern struct vmx_caps vmx_caps;

struct vmcs {
	u32 revision;
	u32 abort;
	u8 data[PAGE_SIZE - 8];
};
static_assert(sizeof(struct vmcs) == PAGE_SIZE);

/* Syscall MSRs that hold the guest's values from load to put. */
enum switched_msr { SW_STAR, SW_LSTAR, SW_CSTAR, SW_SYSCALL_MASK, SW_KERNEL_GS_BASE, SW_MSRS };

struct vmx_vcpu {
	struct vcpu vcpu;		/* first: the core allocates it */
	struct vmcs *vmcs;
	struct vmx_entry entry;
	int vmcs_cpu;			/* where it is active, or -1 */
	struct list_head active;	/* per-CPU list: vmcs.c */
	u16 vpid;			/* 0: none */
	void *msr_bitmap;
	void *vapic;			/* a page that holds the TPR shadow, and */
	void *apic_page;		/* the one that does now: it, or the LAPIC's registers */
	u64 *pml;			/* the page of pml.c */
	void *perf_lists;		/* the page of perf.c, */
	unsigned int perf_msrs;		/* and how many there are in each of its lists */
	u64 eptp;
	/* What the VMCS has, so that only changes are written. */
	u64 rip, rflags, rsp, host_cr3, host_cr4;
	u32 proc, timer_ticks;
	u64 timer_tsc;			/* of vendor_set_timer(), or TIMER_OFF */
	u64 msrs[SW_MSRS];
	struct { u16 fs, gs, ds, es, ldt; } host;
	u64 nmi_masked_until;		/* without virtual NMIs: see inject.c */
	bool nmi_window;		/* likewise, or in STI's shadow: the interrupt window is one */
	u32 exit_reason, intr_info;	/* read with interrupts still off */
};

static inline struct vmx_vcpu *to_vmx(struct vcpu *vcpu)
{
	return container_of(vcpu, struct vmx_vcpu, vcpu);
}

/*
 * VMREAD and VMWRITE of the current VMCS. After a reboot took VMX operation
 * away they are #UD: what is read is 0, and nobody will look.
 */
static __always_inline unsigned long vmcs_read(unsigned long field)
{
	unsigned long value = 0;

	asm volatile("1: vmread %1, %0\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : "+r" (value) : "r" (field) : "cc");
	return value;
}

void vmcs_write_failed(unsigned long field, unsigned long value);

static __always_inline void vmcs_write(unsigned long field, unsigned long value)
{
	bool failed = false;

	asm volatile("1: vmwrite %2, %1\n\tsetna %0\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : "+qm" (failed) : "r" (field), "rm" (value) : "cc");
	if (unlikely(failed))
		vmcs_write_failed(field, value);
}

/* vmcs.c: the life of a VMCS, and which one is current */
bool vmx_allowed(void);
int vmcs_cpu_enable(void);
void vmcs_cpu_disable(void);
void vmcs_emergency_disable(void);
int vmcs_setup(void);
void vmcs_teardown(void);
struct vmcs *vmcs_alloc(void);
void vmcs_free(struct vmx_vcpu *vmx);
bool vmcs_load(struct vmx_vcpu *vmx, int cpu);
u16 vpid_alloc(void);
void vpid_free(u16 vpid);
void ept_flush(u64 eptp);
void vpid_flush(u16 vpid);

/* host.c: what VMX does not switch by itself, from load to put */
extern const u32 vmx_switched[SW_MSRS];
void vmx_host_setup(void);
void vmx_host_constants(void);
void vmx_host_load(struct vmx_vcpu *vmx, int cpu, bool moved);
void vmx_host_put(struct vmx_vcpu *vmx);
void vmx_host_interrupt(struct vcpu *vcpu);

/* pml.c */
#define VMX_PML_ENTRIES	512
void vmx_pml_reset(struct vmx_vcpu *vmx);
unsigned int vmx_take_written(struct vcpu *vcpu, const u64 **gpas);

/* l1tf.c */
bool vmx_flushes_l1d(void);
void vmx_warn_l1tf(void);

/* perf.c */
void vmx_perf_reset(struct vmx_vcpu *vmx);
void vmx_perf_write(struct vmx_vcpu *vmx);

/* Before each entry. */
static __always_inline void vmx_perf_in(struct vmx_vcpu *vmx)
{
	if (cpu_feature_enabled(X86_FEATURE_ARCH_PERFMON))
		vmx_perf_write(vmx);
}

/* caps.c */
int vmx_read_caps(void);
bool vmx_caps_fit(void);
u32 vmx_feature_controls(struct vcpu *vcpu, u32 proc2);

/* exits.c */
void vmx_exit_info(struct vcpu *vcpu);
void vmx_exit_words(struct vcpu *vcpu, u64 *words);
void vmx_dump(struct vcpu *vcpu);

/* state.c: registers that live in the VMCS */
void vmx_get_segment(struct vcpu *vcpu, enum seg seg, struct kvm_segment *s);
void vmx_set_segment(struct vcpu *vcpu, enum seg seg, const struct kvm_segment *s);
u64 vmx_segment_base(struct vcpu *vcpu, enum seg seg);
void vmx_cs_mode(struct vcpu *vcpu, bool *db, bool *l);
int vmx_cpl(struct vcpu *vcpu);
void vmx_get_gdt(struct vcpu *vcpu, struct kvm_dtable *dt);
void vmx_set_gdt(struct vcpu *vcpu, const struct kvm_dtable *dt);
void vmx_get_idt(struct vcpu *vcpu, struct kvm_dtable *dt);
void vmx_set_idt(struct vcpu *vcpu, const struct kvm_dtable *dt);
void vmx_cr0_changed(struct vcpu *vcpu);
void vmx_cr4_changed(struct vcpu *vcpu);
void vmx_efer_changed(struct vcpu *vcpu);
u64 vmx_get_cr3(struct vcpu *vcpu);
void vmx_get_pdptrs(struct vcpu *vcpu, u64 *pdptrs);
void vmx_set_cr3(struct vcpu *vcpu, u64 cr3);
bool vmx_cr4_valid(struct vcpu *vcpu, u64 cr4);
void vmx_debug_regs_changed(struct vcpu *vcpu);
int vmx_get_msr(struct vcpu *vcpu, u32 msr, u64 *value);
int vmx_set_msr(struct vcpu *vcpu, u32 msr, u64 value);
bool vmx_has_emulated_msr(u32 msr);
void vmx_pass_msr(struct vcpu *vcpu, u32 msr, bool read, bool write);
void vmx_reset_segments(struct vcpu *vcpu);

/* apicv.c */
#define VMX_APICV	(SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE | SECONDARY_EXEC_APIC_REGISTER_VIRT | \
			 SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY)
void vmx_apicv_controls(struct vmx_vcpu *vmx, u32 *pin, u32 *proc2);
void vmx_apic_hardware(struct vcpu *vcpu, void *page, bool on);
void vmx_apic_notify(int cpu);
void vmx_apic_irqs(struct vcpu *vcpu, u8 pending, u8 in_service);
void vmx_apic_eoi_exits(struct vcpu *vcpu, const u64 *vectors);

/* Is the page of the TPR shadow the LAPIC's own? */
static inline bool vmx_apicv_on(const struct vmx_vcpu *vmx)
{
	return vmx->apic_page != vmx->vapic;
}

/* timer.c */
void vmx_timer_reset(struct vmx_vcpu *vmx);
bool vmx_set_timer(struct vcpu *vcpu, u64 host_tsc);
void vmx_timer_write(struct vmx_vcpu *vmx);

/* Before each entry, as late as can be. */
static __always_inline void vmx_timer_in(struct vmx_vcpu *vmx)
{
	if (vmx->timer_tsc != TIMER_OFF || vmx->timer_ticks != U32_MAX)
		vmx_timer_write(vmx);
}

/* inject.c: events in, and windows for them */
void vmx_leave_hlt(struct vcpu *vcpu);
void vmx_inject_exception(struct vcpu *vcpu);
void vmx_inject_irq(struct vcpu *vcpu);
void vmx_inject_nmi(struct vcpu *vcpu);
void vmx_cancel_injection(struct vcpu *vcpu);
u32 vmx_get_shadow(struct vcpu *vcpu);
void vmx_set_shadow(struct vcpu *vcpu, u32 shadow);
bool vmx_get_nmi_mask(struct vcpu *vcpu);
void vmx_set_nmi_mask(struct vcpu *vcpu, bool masked);
void vmx_nmi_progress(struct vcpu *vcpu);
void vmx_pending_step(struct vcpu *vcpu);
void vmx_irq_window(struct vcpu *vcpu, bool want);
void vmx_nmi_window(struct vcpu *vcpu, bool want);
void vmx_tpr_window(struct vcpu *vcpu, bool want);
void vmx_set_proc(struct vmx_vcpu *vmx, u32 bits, bool on);

#endif
