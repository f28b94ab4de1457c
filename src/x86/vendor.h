/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The vendor boundary: every verb that VMX and SVM translate for the core.
 *
 * The list is the whole contract. Each verb is a static call named
 * vendor_<verb>(); a vendor supplies all of them (svm/svm.c, vmx/vmx.c), and
 * nothing outside svm/ and vmx/ knows a VMCB or a VMCS.
 *
 * Unless its comment says otherwise, a verb on a vcpu runs with that vcpu
 * loaded (vcpu_load) on this CPU, may not sleep, and cannot fail.
 */
#ifndef MINIKVM_X86_VENDOR_H
#define MINIKVM_X86_VENDOR_H

#include <linux/kvm.h>
#include <linux/static_call.h>
#include <minikvm/vcpu.h>
#include "x86/mmu/mmu.h"

enum seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_TR, SEG_LDTR, SEGS };

/* Blocking by STI or MOV SS: no interrupt before the next instruction's end. As in kvm_vcpu_events. */
#define SHADOW_STI	((u32)KVM_X86_SHADOW_INT_STI)
#define SHADOW_MOV_SS	((u32)KVM_X86_SHADOW_INT_MOV_SS)

/* How many there are of vendor_exit_words(). */
#define EXIT_WORDS	5

/* vendor_set_timer(): no time at all. */
#define TIMER_OFF	(~0ull)

/*		verb		result		arguments */
#define VENDOR_VERBS(V) \
	/* This CPU enters or leaves virtualization; interrupts off. */ \
	V(cpu_enable,		int,	(void)) \
	V(cpu_disable,		void,	(void)) \
	/* The same in a crash: NMI, anything may be half done, nothing comes after. */ \
	V(emergency_disable,	void,	(void)) \
	/* May sleep; nothing is loaded. */ \
	V(vm_init,		int,	(struct vm *vm)) \
	V(vm_destroy,		void,	(struct vm *vm)) \
	V(vcpu_init,		int,	(struct vcpu *vcpu)) \
	V(vcpu_destroy,		void,	(struct vcpu *vcpu)) \
	/* Architectural reset or INIT of all that the vendor holds. */ \
	V(vcpu_reset,		void,	(struct vcpu *vcpu, bool init)) \
	/* Preemption off: bind to, and leave, this CPU. */ \
	V(load,			void,	(struct vcpu *vcpu, int cpu)) \
	V(put,			void,	(struct vcpu *vcpu)) \
	/* Interrupts off; runs the guest and keeps gpr[], rip, rflags, cr2 and cr8 in step. */ \
	V(enter,		void,	(struct vcpu *vcpu)) \
	/* \
	 * Interrupts still off, and all else is the host's again: the host's interrupt that the \
	 * exit has taken from its APIC goes to its handler. With vendor_caps.posted_irqs only. \
	 */ \
	V(host_interrupt,	void,	(struct vcpu *vcpu)) \
	/* Interrupts on again: decode the exit just taken. */ \
	V(exit_info,		void,	(struct vcpu *vcpu)) \
	/* \
	 * That exit as hardware told it, for reports: code, two words of information, the \
	 * event, its error code. \
	 */ \
	V(exit_words,		void,	(struct vcpu *vcpu, u64 *words)) \
	V(get_segment,		void,	(struct vcpu *vcpu, enum seg seg, struct kvm_segment *s)) \
	V(set_segment,		void,	(struct vcpu *vcpu, enum seg seg, const struct kvm_segment *s)) \
	V(segment_base,		u64,	(struct vcpu *vcpu, enum seg seg)) \
	V(cs_mode,		void,	(struct vcpu *vcpu, bool *db, bool *l)) \
	V(cpl,			int,	(struct vcpu *vcpu)) \
	V(get_gdt,		void,	(struct vcpu *vcpu, struct kvm_dtable *dt)) \
	V(set_gdt,		void,	(struct vcpu *vcpu, const struct kvm_dtable *dt)) \
	V(get_idt,		void,	(struct vcpu *vcpu, struct kvm_dtable *dt)) \
	V(set_idt,		void,	(struct vcpu *vcpu, const struct kvm_dtable *dt)) \
	/* Values were checked by the core and are in vcpu->arch already. */ \
	V(cr0_changed,		void,	(struct vcpu *vcpu)) \
	V(cr4_changed,		void,	(struct vcpu *vcpu)) \
	V(efer_changed,		void,	(struct vcpu *vcpu)) \
	V(get_cr3,		u64,	(struct vcpu *vcpu)) \
	V(set_cr3,		void,	(struct vcpu *vcpu, u64 cr3)) \
	/* Of PAE paging, as the CPU would use them now. May sleep; takes vm->srcu. */ \
	V(get_pdptrs,		void,	(struct vcpu *vcpu, u64 *pdptrs)) \
	/* CR4 bits this vendor cannot give a guest (VMXE) are refused here. */ \
	V(cr4_valid,		bool,	(struct vcpu *vcpu, u64 cr4)) \
	/* Debug registers: DR0-3, DR6 and DR7 of vcpu->arch changed. */ \
	V(debug_regs_changed,	void,	(struct vcpu *vcpu)) \
	/* #BP, #DB, #UD intercepts follow vcpu->arch.guest_debug and quirks. */ \
	V(intercepts_changed,	void,	(struct vcpu *vcpu)) \
	/* MSRs whose value the vendor holds; -ENOENT: not one of mine. */ \
	V(get_msr,		int,	(struct vcpu *vcpu, u32 msr, u64 *value)) \
	V(set_msr,		int,	(struct vcpu *vcpu, u32 msr, u64 value)) \
	/* Is this MSR emulated on this vendor's hosts? Any context. */ \
	V(has_emulated_msr,	bool,	(u32 msr)) \
	V(pass_msr,		void,	(struct vcpu *vcpu, u32 msr, bool read, bool write)) \
	/* Tell hardware to deliver vcpu->arch.events.* on the next entry. */ \
	V(inject_exception,	void,	(struct vcpu *vcpu)) \
	V(inject_irq,		void,	(struct vcpu *vcpu)) \
	V(inject_nmi,		void,	(struct vcpu *vcpu)) \
	/* Take back what inject_* armed and no entry delivered. */ \
	V(cancel_injection,	void,	(struct vcpu *vcpu)) \
	V(get_shadow,		u32,	(struct vcpu *vcpu)) \
	V(set_shadow,		void,	(struct vcpu *vcpu, u32 shadow)) \
	V(get_nmi_mask,		bool,	(struct vcpu *vcpu)) \
	V(set_nmi_mask,		void,	(struct vcpu *vcpu, bool masked)) \
	/* Where HLT does not exit, hardware may hold the vCPU in one: it shall go on. */ \
	V(leave_hlt,		void,	(struct vcpu *vcpu)) \
	V(irq_window,		void,	(struct vcpu *vcpu, bool want)) \
	V(nmi_window,		void,	(struct vcpu *vcpu, bool want)) \
	/* Exit when the guest lowers its TPR. enter keeps arch.cr8 in step. */ \
	V(tpr_window,		void,	(struct vcpu *vcpu, bool want)) \
	V(tsc_changed,		void,	(struct vcpu *vcpu)) \
	/* \
	 * Leave the guest, by EXIT_TIMER, when this host's TSC reaches @host_tsc; with \
	 * TIMER_OFF, don't. False: hardware has no such timer, or not for so long; it is \
	 * off then. Nothing happens outside the guest; an entry that comes too late \
	 * exits at once. \
	 */ \
	V(set_timer,		bool,	(struct vcpu *vcpu, u64 host_tsc)) \
	V(cpuid_changed,	void,	(struct vcpu *vcpu)) \
	/* \
	 * Hardware delivers the interrupts of the LAPIC whose registers are in @page, and \
	 * answers its MSRs where lapic_hardware_msr() says so; with vendor_caps.apic_hardware \
	 * only, as are the next two. Off: it does not, and all of that exits. \
	 */ \
	V(apic_hardware,	void,	(struct vcpu *vcpu, void *page, bool on)) \
	/* The best vectors of IRR and ISR, or 0; hardware has put in order what else is there. */ \
	V(apic_irqs,		void,	(struct vcpu *vcpu, u8 pending, u8 in_service)) \
	/* \
	 * A guest that @cpu is in shall take what is posted (vcpu->arch.posted); any context, \
	 * preemption off. With vendor_caps.posted_irqs only. \
	 */ \
	V(apic_notify,		void,	(int cpu)) \
	/* 256 bits: an EOI of which vectors is an EXIT_EOI. */ \
	V(apic_eoi_exits,	void,	(struct vcpu *vcpu, const u64 *vectors)) \
	/* Another second-level root; nothing that the TLB has of it from before is believed. */ \
	V(load_root,		void,	(struct vcpu *vcpu, hpa_t root)) \
	/* All of this vcpu's guest translations, before its next entry. */ \
	V(tlb_flush,		void,	(struct vcpu *vcpu)) \
	/* Pages that hardware logged as written, the oldest last; with vendor_caps.pml only. */ \
	V(take_written,		unsigned int, (struct vcpu *vcpu, const u64 **gpas)) \
	/* Write VMCALL or VMMCALL over the three bytes at @insn. */ \
	V(hypercall_insn,	void,	(u8 *insn)) \
	V(dump,			void,	(struct vcpu *vcpu))

#define V(verb, result, args) result (*verb) args;
/* One of each vendor; filled by its probe, constant after. */
struct vendor_ops {
	const char *name;			/* "SVM" or "VMX" */
	size_t vm_size, vcpu_size;		/* struct vm, struct vcpu come first */
	struct spte_format spte_format;
	/* At module load and unload; may sleep. */
	int (*setup)(void);
	void (*teardown)(void);
	VENDOR_VERBS(V)
};
#undef V

/* What this host's hardware can do; filled at load, constant after. */
struct vendor_caps {
	bool nrips;			/* exits tell the instruction's length */
	bool decode_assists;
	bool tsc_scaling;
	bool vnmi;
	bool dirty_logging;		/* accessed and dirty bits in SPTEs */
	bool pml;
	bool apic_hardware;		/* an x2APIC works without exits */
	bool posted_irqs;		/* and interrupts can be sent to it; exits take the host's */
	bool bus_lock_exit;		/* exits tell that the guest has locked the bus */
	bool page_1g;
	bool shutdown_state;		/* a triple fault leaves the state defined */
	bool pdptes_held;		/* PDPTEs are registers, not read anew by each walk */
	u64 max_tsc_ratio, default_tsc_ratio;
	u8 tsc_ratio_frac_bits;
	u8 max_phyaddr;
	/* MSRs that a guest reads and writes with no exit, unless filtered. */
	const u32 *passed_msrs;
	unsigned int n_passed_msrs;
};

extern struct vendor_caps vendor_caps;

#define V(verb, result, args) DECLARE_STATIC_CALL(vendor_##verb, *((struct vendor_ops *)0)->verb);
VENDOR_VERBS(V)
#undef V

/*
 * Probe: 0 and @ops filled, or -ENODEV with nothing printed when this CPU is
 * of the other vendor, or another errno after exactly one line that says what
 * is missing and what to do.
 */
int svm_probe(struct vendor_ops *ops);
int vmx_probe(struct vendor_ops *ops);

#endif
