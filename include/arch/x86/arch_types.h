/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a vm and a vcpu have on x86: the state that no vendor and no device
 * keeps for itself.
 *
 * Three places hold guest state, and each piece has one home:
 *  - here, what the core decides about (control registers, events, MSRs);
 *  - in the vendor's VMCS or VMCB, what hardware changes behind our back
 *    (segments, descriptor tables, CR3, DR7): reached by vendor verbs alone;
 *  - in struct fpu_guest, the FPU (fpu.c).
 */
#ifndef MINIKVM_ARCH_TYPES_H
#define MINIKVM_ARCH_TYPES_H

#include <linux/kvm.h>
#include <asm/cpufeature.h>
#include <asm/fpu/types.h>
#include <minikvm/memcache.h>
#include <minikvm/types.h>
#include "x86/emulate/replay.h"
#include "x86/exit.h"

/* General registers, as instructions number them. */
enum gpr {
	GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI,
	GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15,
	GPRS
};

/*
 * Events on their way into the guest. "pending" has had no effect yet and may
 * still be given up or merged; "injected" is being delivered: hardware was
 * told, and if an exit breaks the delivery off it is injected again, unchanged.
 * At most one of the three is injected at a time.
 */
struct vcpu_events {
	struct {
		bool pending, injected, has_error_code, has_payload;
		u8 vector;
		u32 error_code;
		u64 payload;		/* CR2 or DR6 bits, not yet in place */
	} exception;
	struct {
		bool injected;
		u8 vector;
	} irq;
	struct {
		atomic_t queued;	/* sent by others, not yet seen */
		u8 pending;		/* 0, 1 or 2: one being handled, one latched */
		bool injected;
	} nmi;
	/* It is never in flight: it is taken, or waits. */
	struct {
		bool pending;
		bool inside_nmi;	/* the one in service interrupted an NMI's handler */
	} smi;
};

/* Words of feature bits: the kernel's own, and those that it keeps no word for. */
#define CPUID_WORD_7_1_EDX		(NCAPINTS + 0)
#define CPUID_WORD_8000_0007_EDX	(NCAPINTS + 1)
#define CPUID_WORDS			(NCAPINTS + 2)
#define FEATURE_INVARIANT_TSC		(CPUID_WORD_8000_0007_EDX * 32 + 8)

#define CPUID_HINTS	32

/* Answers to CPUID, as user space set them; cpuid.c has the ways in. */
struct cpuid_model {
	struct kvm_cpuid_entry2 *entries;	/* in the order they were given */
	unsigned int n;
	u8 hint[CPUID_HINTS];		/* where a leaf was found last */
	u32 words[CPUID_WORDS];		/* what guest_has() asks */
	bool amd;			/* says that it is an AMD or Hygon CPU */
	u8 max_phyaddr;
	u64 cr4_reserved;		/* bits this guest may not set */
	u64 xcr0_allowed;
	u32 pv_features;		/* KVM_FEATURE_* the guest was told */
	bool pv_enforce;
};

/* As many as KVM has, so that any KVM_X86_SETUP_MCE fits. */
#define MCE_BANKS	32
#define MTRR_VARIABLE	8

/* Plain MSR state that has no other home; rows in msr.c point into it. */
struct msr_state {
	u64 pat, tsc_aux, misc_enable, spec_ctrl, virt_spec_ctrl, arch_capabilities;
	u64 platform_info, misc_features, ucode_rev, tsc_adjust, smi_count;
	u64 feature_control, power_ctl, debugctl, poll_control;
	u64 mcg_status, mcg_cap, mcg_ctl, mcg_ext_ctl;
	u64 mce_banks[MCE_BANKS * 4], mce_ctl2[MCE_BANKS];
	u64 mtrr_def_type, mtrr_fixed[11], mtrr_var[2 * MTRR_VARIABLE];
	u64 smbase, xss, hwcr, de_cfg, osvw_length, osvw_status;
};

/* kvmclock, steal time and friends: clock.c, hypercall.c. */
struct pv_state {
	u64 system_time_msr, steal_time_msr, eoi_msr;
	bool eoi_armed;			/* the guest may end an interrupt: irq/pv_eoi.c */
	bool at_boundary;		/* out of the guest between two instructions */
	u64 steal_last;			/* our thread's wait, last time we looked */
	bool guest_stopped;		/* KVM_KVMCLOCK_CTRL: tell the guest once */
	bool unhalted;			/* KVM_HC_KICK_CPU: the next HLT does not sleep */
};

struct tsc_state {
	u64 offset;			/* guest TSC = host TSC * ratio + offset */
	u64 ratio;			/* vendor's fixed point; 0: none */
	u32 khz;			/* what the guest was promised */
	u64 generation;			/* vm->arch.tsc_sync's when last matched */
	u64 last_host;			/* host TSC when last unloaded */
	bool moved;			/* by a resume; hardware does not know yet */
	int clock_cpu;			/* where it was loaded last */
};

/*
 * What the vCPUs' TSCs have in common. A write that comes near to what the
 * last one would have become by now joins its generation: one offset for all.
 */
struct tsc_sync {
	u64 last_nsec, last_write;
	u32 last_khz;
	u64 offset;			/* of the generation */
	u64 generation;
	unsigned int matched;		/* vCPUs in it */
};

/* One (TSC, ns) pair for all vCPUs, when the host's clock allows one. */
struct master_clock {
	bool valid;
	u64 generation;			/* moves with each change of the rest */
	u64 host_tsc;
	s64 ns;
};

/* A walk of the guest's page tables, to be repeated by comparing: mmu/guest_walk.c. */
struct walk_key {
	u64 generation, page, cr0, cr3, cr4, efer, rights;
};

struct walk_memo {
	struct walk_key key;
	gfn_t gfn;			/* the result */
	unsigned int n;			/* entries read; 0: nothing is remembered */
	struct {
		u64 __user *at;
		u64 entry;		/* accessed and dirty as the walk left them */
	} read[5];
};

struct hv_vm;
struct hv_vcpu;
struct lapic;
struct lapic_mail;
struct ioapic;
struct pic;
struct pit;
struct apic_map;

/* What routes may lead to: the two PICs and the I/O APIC. */
#define IRQ_CHIPS	KVM_NR_IRQCHIPS
#define IRQ_CHIP_PINS	24		/* of the largest */

/* The kernel has a whole irqchip, only LAPICs, or nothing. */
enum irqchip_mode { IRQCHIP_NONE, IRQCHIP_SPLIT, IRQCHIP_KERNEL };

struct vm_arch {
	enum irqchip_mode irqchip;
	struct pic *pic;
	struct ioapic *ioapic;
	struct pit *pit;
	struct apic_map __rcu *apic_map;	/* irq/ipi.c */
	struct mutex apic_map_lock;
	u32 bsp_id;

	/* MMU: x86/mmu/ */
	struct mmu *mmu;
	bool has_device;			/* a page that is no memory was mapped, once */

	/* Clock: clock.c */
	raw_spinlock_t clock_lock;		/* the three below */
	s64 kvmclock_offset;			/* ns, added to raw boot time */
	struct master_clock master;
	struct tsc_sync tsc_sync;
	u32 default_tsc_khz;			/* of new vCPUs; vm->lock */
	struct list_head clock_link;		/* clock.c's list of VMs */
	u64 wall_clock_msr;

	u64 disabled_quirks;
	u64 disabled_exits;			/* KVM_X86_DISABLE_EXITS_* */
	bool bus_lock_exit;			/* KVM_BUS_LOCK_DETECTION_EXIT */
	u32 user_space_msr_mask;		/* KVM_MSR_EXIT_REASON_* */
	bool exception_payload, triple_fault_event, exit_on_emulation_error;
	bool x2apic_api_32bit, x2apic_no_broadcast_quirk;
	u64 exit_hypercalls;
	struct msr_filter __rcu *msr_filter;	/* read under vm->srcu */
	bool hide_platform_info;		/* KVM_CAP_MSR_PLATFORM_INFO off */
	struct hv_vm *hv;			/* NULL: nobody has asked for it; x86/hyperv/ */
};

/* x86/stats.c has their names, and stats.h what user space makes of them. */
struct vcpu_arch_stats {
	u64 exits, by_reason[EXIT_REASONS];
	u64 mmio_exits, signal_exits, request_irq_exits;
	u64 insn_emulation, insn_emulation_fail;
	u64 irq_injections, nmi_injections, tlb_flush;
	u64 directed_yield_attempted, directed_yield_successful;
};

/* Why KVM_RUN went to user space in the middle of an instruction. */
typedef int (*complete_fn)(struct vcpu *vcpu);

struct vcpu_arch {
	u64 gpr[GPRS];			/* RSP too; see enum gpr */
	u64 rip, rflags;
	u64 cr0, cr2, cr4, cr8, efer;	/* as the guest sees them */
	u64 xcr0;
	u32 pkru, host_pkru;		/* swapped around each entry: run.c */
	u64 host_tsc_aux;
	u64 apic_base;
	u64 pdptrs[4];			/* as loaded with CR3 under PAE paging */
	bool pdptrs_new;		/* hardware is yet to get them */
	u64 db[4], dr6, dr7;		/* dr7 as the guest wrote it */

	struct exit exit;		/* why it last left the guest */
	struct vcpu_arch_stats stats;
	struct vcpu_events events;
	bool has_run;			/* KVM_RUN was called: CPUID is settled */
	/*
	 * Run first on the next KVM_RUN, to finish the instruction at
	 * complete_rip; not if user space has moved RIP elsewhere.
	 */
	complete_fn complete;
	u64 complete_rip;
	int user_irq;			/* split irqchip: KVM_INTERRUPT's vector, or -1 */

	struct lapic *lapic;		/* NULL: the APIC is user space's */
	struct lapic_mail *posted;	/* lapic_posted(); NULL: hardware has no such thing */
	struct hv_vcpu *hv;		/* as the VM's */
	u32 mp_state;			/* KVM_MP_STATE_* */
	unsigned long pending_init_sipi;
	u8 sipi_vector;

	struct cpuid_model cpuid;
	struct msr_state msr;
	struct pv_state pv;
	struct tsc_state tsc;
	struct fpu_guest fpu;

	struct memcache table_cache;	/* MMU tables: x86/mmu/ */
	struct walk_memo walks[2];	/* the last of data, and of code */
	struct emul emul;
	struct emul_replay replay;
	void *pio_data;			/* the second page of the run mapping */

	u32 guest_debug;		/* KVM_GUESTDBG_* */
	u64 guest_debug_db[4], guest_debug_dr7, singlestep_rip;
};

/* Requests beside those of <minikvm/vcpu.h>. */
enum vcpu_arch_request {
	VCPU_REQ_EVENT = 8,		/* look at events and the APIC anew */
	VCPU_REQ_CLOCK,			/* publish kvmclock */
	VCPU_REQ_STEAL,			/* publish steal time */
	VCPU_REQ_TRIPLE_FAULT,
	VCPU_REQ_APIC_TIMER,		/* the LAPIC timer has fired */
	VCPU_REQ_SCAN_IOAPIC,		/* EOI exit map is out of date */
	VCPU_REQ_IOAPIC_EOI,		/* split irqchip: EOI for user space */
	VCPU_REQ_MSR_FILTER,		/* pass-through MSRs are out of date */
	VCPU_REQ_SMI,			/* one has come */
	VCPU_REQ_SMI_NEXT,		/* it waits for what is being delivered */
	VCPU_REQ_LOAD_ROOT,		/* it is in another address space than its root */
	VCPU_REQ_HV_FLUSH,		/* a hypercall of another vCPU's: flush the TLB */
	VCPU_REQ_HV_STIMER,		/* a synthetic timer is due */
	VCPU_REQ_HV_EXIT,		/* the Hyper-V interface has news for user space */
	VCPU_REQS
};

#endif
