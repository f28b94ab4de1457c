/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the x86 core's files offer each other: one section a file, in the
 * order in which a KVM_RUN meets them.
 */
#ifndef MINIKVM_X86_H
#define MINIKVM_X86_H

#include <linux/compat.h>
#include <linux/kvm_para.h>
#include <asm/mce.h>
#include <asm/processor.h>
#include <minikvm/vcpu.h>
#include "compat/spec_ctrl.h"
#include "x86/entry.h"
#include "x86/mmu/mmu.h"
#include "x86/vendor.h"

/* As KVM; an id is an APIC id, so it may be sparse. */
#define MAX_VCPU_IDS	4096

/* KVM_X86_QUIRK_* that can be disabled here. */
#define SUPPORTED_QUIRKS						\
	(KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_CD_NW_CLEARED |	\
	 KVM_X86_QUIRK_LAPIC_MMIO_HOLE | KVM_X86_QUIRK_OUT_7E_INC_RIP |	\
	 KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT |				\
	 KVM_X86_QUIRK_FIX_HYPERCALL_INSN |				\
	 KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)

/* What KVM_SET_GUEST_DEBUG can do; of the rest nothing comes, as in KVM. */
#define GUEST_DEBUG_FLAGS						\
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |		\
	 KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP |		\
	 KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |		\
	 KVM_GUESTDBG_BLOCKIRQ)

/* SDM vol. 3, 2.5: the rest of CR0's low half is ignored and reads as zero. */
#define CR0_DEFINED ( \
	X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | \
	X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)

/* Bits of the debug registers that no kernel header names: SDM vol. 3, 17.2. */
#define DR6_ACTIVE_LOW	0xffff0ff0ULL	/* at rest these read as 1 */
#define DR6_BD		(1ULL << 13)
#define DR7_GD		(1ULL << 13)
#define DR7_RESTING	0x400ULL	/* always 1 */
#define DR7_ENABLES	0xffULL
#define DR7_LOCAL	0x155ULL	/* L0 to L3, and LE: off in each new task */

/* DR7 as the hardware shall have it: user space's breakpoints come first. */
static inline u64 effective_dr7(struct vcpu *vcpu)
{
	u64 dr7 = vcpu->arch.guest_debug & KVM_GUESTDBG_USE_HW_BP ?
		  vcpu->arch.guest_debug_dr7 : vcpu->arch.dr7;

	return dr7 | DR7_RESTING;
}

/* Else an Intel CPU, or one made like it. */
static inline bool host_is_amd(void)
{
	return boot_cpu_data.x86_vendor == X86_VENDOR_AMD ||
	       boot_cpu_data.x86_vendor == X86_VENDOR_HYGON;
}

/* run.c */
void run_init(void);
void tsc_aux_set(struct vcpu *vcpu, u64 value);

/* events.c: what is on its way into the guest */
void queue_exception(struct vcpu *vcpu, u8 vector);
void queue_exception_ec(struct vcpu *vcpu, u8 vector, u32 error_code);
void queue_exception_payload(struct vcpu *vcpu, u8 vector, u64 payload);
void queue_page_fault(struct vcpu *vcpu, const struct guest_fault *fault);
void queue_gp(struct vcpu *vcpu);		/* #GP(0) */
void queue_nmi(struct vcpu *vcpu);		/* from any vCPU's context */
void events_requeue(struct vcpu *vcpu);		/* what the exit broke off */
void events_inject(struct vcpu *vcpu);
void events_cancel(struct vcpu *vcpu);		/* what no entry delivered */
void events_delivered(struct vcpu *vcpu);	/* by software */
bool events_wake(struct vcpu *vcpu);
bool irq_open(struct vcpu *vcpu);
bool user_may_inject(struct vcpu *vcpu);
bool user_irq_window_open(struct vcpu *vcpu);
void events_get(struct vcpu *vcpu, struct kvm_vcpu_events *e);
int events_set(struct vcpu *vcpu, const struct kvm_vcpu_events *e);

/* smm.c */
#define SPACE_SMM	1		/* the address space of a vCPU in SMM */
#define SMBASE_RESET	0x30000

static inline bool in_smm(const struct vcpu *vcpu)
{
	return READ_ONCE(vcpu->space) == SPACE_SMM;
}

bool smm_open(struct vcpu *vcpu);
void smm_enter(struct vcpu *vcpu);
int smm_leave(struct vcpu *vcpu);		/* as exit_dispatch */
void smm_set(struct vcpu *vcpu, bool in);
void smm_reset(struct vcpu *vcpu, bool init);

/* exits.c */
static inline void complete_later(struct vcpu *vcpu, complete_fn fn)
{
	vcpu->arch.complete = fn;
	vcpu->arch.complete_rip = vcpu->arch.rip;
}

int exit_dispatch(struct vcpu *vcpu);		/* 1: enter again; 0: to user space */
int vcpu_skip(struct vcpu *vcpu);		/* past the exiting instruction */
int vcpu_single_step(struct vcpu *vcpu);	/* RFLAGS.TF's trap, behind one */

/* emulate_glue.c: the emulator's way to guest state and memory */
int emulate_instruction(struct vcpu *vcpu);	/* as exit_dispatch */
int emulate_length(struct vcpu *vcpu);		/* bytes, or -EFAULT: fault queued */
int emulate_failed(struct vcpu *vcpu);		/* KVM_EXIT_INTERNAL_ERROR */
bool emulate_is_rsm(struct vcpu *vcpu);		/* the instruction at RIP */
int emulate_decode_operand(struct vcpu *vcpu);	/* fills exit.cr or exit.dr */
int emulate_task_switch(struct vcpu *vcpu);

/* cpuid_offer.c: what this host can offer */
void cpuid_init(void);				/* module load */
void cpuid_withhold(unsigned int feature);	/* a vendor lacks a control for it */
bool cpuid_offered(unsigned int feature);	/* X86_FEATURE_* */
int cpuid_get_supported(struct kvm_cpuid2 *head, struct kvm_cpuid_entry2 __user *e);
int cpuid_get_emulated(struct kvm_cpuid2 *head, struct kvm_cpuid_entry2 __user *e);

/* cpuid.c: what a vCPU says of itself */
void cpuid_vcpu_init(struct vcpu *vcpu);
int cpuid_set(struct vcpu *vcpu, const struct kvm_cpuid2 *head,
	      const struct kvm_cpuid_entry2 __user *e);
int cpuid_set_legacy(struct vcpu *vcpu, const struct kvm_cpuid *head,
		     const struct kvm_cpuid_entry __user *e);
int cpuid_get(struct vcpu *vcpu, struct kvm_cpuid2 *head,
	      struct kvm_cpuid_entry2 __user *e);
void cpuid_free(struct vcpu *vcpu);
void cpuid_runtime(struct vcpu *vcpu);		/* OSXSAVE, APIC, XCR0 sizes, ... */
void cpuid_query(struct vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
const struct kvm_cpuid_entry2 *cpuid_entry(struct vcpu *vcpu, u32 function, u32 index);

/* Does the guest's CPUID name a CPU, and none of AMD's kind? */
static inline bool guest_is_intel(struct vcpu *vcpu)
{
	return cpuid_entry(vcpu, 0, 0) && !vcpu->arch.cpuid.amd;
}

bool cpuid_pv_has(struct vcpu *vcpu, unsigned int feature);	/* KVM_FEATURE_* */

/* Did user space give the guest this X86_FEATURE_*? Any context. */
static inline bool guest_has(const struct vcpu *vcpu, unsigned int feature)
{
	return vcpu->arch.cpuid.words[feature / 32] & BIT(feature % 32);
}

/* msr.c: @host says that user space asks, who may more than the guest */
void msr_init(void);				/* module load: probe the list */
void msr_vcpu_init(struct vcpu *vcpu);
int msr_get(struct vcpu *vcpu, u32 index, u64 *value, bool host);	/* 0, or #GP */
int msr_set(struct vcpu *vcpu, u32 index, u64 value, bool host);
int msr_index_list(struct kvm_msr_list __user *list);
int msr_feature_index_list(struct kvm_msr_list __user *list);
int msr_io(struct vcpu *vcpu, struct kvm_msrs __user *msrs, bool write);
int msr_feature_io(struct kvm_msrs __user *msrs);
#define PAT_RESET	0x0007040600070406ULL	/* SDM vol. 3, 11.12.4 */
bool guest_has_spec_ctrl(struct vcpu *vcpu);

/* SPEC_CTRL for an entry, and back: a guest without it runs with the host's. */
static inline void spec_ctrl_in(struct guest_entry *entry, const struct vcpu *vcpu)
{
	entry->host_spec_ctrl = compat_host_spec_ctrl();
	entry->guest_spec_ctrl = entry->read_spec_ctrl ?
		vcpu->arch.msr.spec_ctrl : entry->host_spec_ctrl;
}

static inline void spec_ctrl_out(const struct guest_entry *entry, struct vcpu *vcpu)
{
	if (entry->read_spec_ctrl)
		vcpu->arch.msr.spec_ctrl = entry->guest_spec_ctrl;
}

/* msr_filter.c */
struct msr_filter32 {
	u32 flags;
	struct {
		u32 flags, nmsrs, base;
		compat_uptr_t bitmap;
	} ranges[KVM_MSR_FILTER_MAX_RANGES];
};

#define KVM_X86_SET_MSR_FILTER32 _IOW(KVMIO, 0xc6, struct msr_filter32)

int msr_filter_set(struct vm *vm, const struct kvm_msr_filter *from);
int msr_filter_set32(struct vm *vm, const struct msr_filter32 *from);
void msr_filter_free(struct vm *vm);
void msr_filter_apply(struct vcpu *vcpu);	/* to the pass-through MSRs */
bool msr_filtered(struct vm *vm, u32 index, bool write);	/* true: denied */

/* mce.c: the machine-check banks */
#define MCE_CAPS	(MCG_CTL_P | MCG_SER_P)	/* that KVM_X86_SETUP_MCE may ask for */
int mce_configure(struct vcpu *vcpu, u64 cap);
int mce_inject(struct vcpu *vcpu, const struct kvm_x86_mce *mce);
int mce_get(struct vcpu *vcpu, u32 index, u64 *value, bool host);
int mce_set(struct vcpu *vcpu, u32 index, u64 value, bool host);

/* state.c: control registers, debug registers, reset */
int set_cr0(struct vcpu *vcpu, u64 cr0);	/* 0, or 1: #GP */
int set_msw(struct vcpu *vcpu, u16 msw);
int set_cr3(struct vcpu *vcpu, u64 cr3);
int set_cr4(struct vcpu *vcpu, u64 cr4);
int set_cr8(struct vcpu *vcpu, u64 cr8);
int set_efer(struct vcpu *vcpu, u64 efer, bool host);
int set_xcr(struct vcpu *vcpu, u32 index, u64 value);
int set_dr(struct vcpu *vcpu, int dr, u64 value);
u64 get_dr(struct vcpu *vcpu, int dr);
u64 vcpu_rflags(struct vcpu *vcpu);		/* without a debugger's TF */
void vcpu_set_rflags(struct vcpu *vcpu, u64 rflags);
u64 linear_rip(struct vcpu *vcpu);
void vcpu_reset(struct vcpu *vcpu, bool init);
bool cr0_valid(u64 cr0);
bool cr4_valid(struct vcpu *vcpu, u64 cr4);
u64 efer_allowed(void);
bool efer_fits_cpuid(struct vcpu *vcpu, u64 efer);
bool is_long_mode(struct vcpu *vcpu);
bool is_64bit_code(struct vcpu *vcpu);
bool is_pae_paging(struct vcpu *vcpu);
bool pdptrs_read(struct vcpu *vcpu, u64 cr3, u64 *pdptrs);
bool pdptrs_load(struct vcpu *vcpu, u64 cr3);
void pdptrs_set(struct vcpu *vcpu, const u64 *pdptrs);

/* state_ioctl.c: user space's way to a vCPU's state */
extern const u16 sregs_segments[SEGS];		/* where struct kvm_sregs has each */
int state_sync_in(struct vcpu *vcpu);		/* KVM_CAP_SYNC_REGS */
void state_sync_out(struct vcpu *vcpu);
void state_get_regs(struct vcpu *vcpu, struct kvm_regs *regs);
void state_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs);
void state_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs);
int state_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs);

/* fpu.c */
int fpu_create(struct vcpu *vcpu);
void fpu_destroy(struct vcpu *vcpu);
void fpu_enter(struct vcpu *vcpu);		/* user's out, guest's in */
void fpu_leave(struct vcpu *vcpu);
int fpu_get(struct vcpu *vcpu, struct kvm_fpu *f);
int fpu_set(struct vcpu *vcpu, const struct kvm_fpu *f);
void fpu_get_xsave(struct vcpu *vcpu, void *region, size_t size);
int fpu_set_xsave(struct vcpu *vcpu, const void *region);
size_t fpu_xsave_size(void);			/* of KVM_GET_XSAVE2 */

/* irq/pv_eoi.c: EOI by a bit in memory */
void pv_eoi_arm(struct vcpu *vcpu);		/* before an entry */
void pv_eoi_collect(struct vcpu *vcpu);		/* after it */
int pv_eoi_set(struct vcpu *vcpu, u64 msr);	/* 0, or #GP */

/* clock.c: TSC and kvmclock */
struct pvclock_vcpu_time_info;

int clock_init(void);
void clock_exit(void);
void clock_vm_init(struct vm *vm);
void clock_vm_destroy(struct vm *vm);
void clock_vcpu_postcreate(struct vcpu *vcpu);	/* it is counted in vm->nvcpus */
void clock_vcpu_load(struct vcpu *vcpu, int cpu);	/* preemption off */
void clock_vcpu_put(struct vcpu *vcpu);		/* preemption off */
void clock_suspend(void);			/* of the host: syscore */
void clock_resume(void);
void clock_update(struct vcpu *vcpu);		/* VCPU_REQ_CLOCK */
void clock_renew(struct vm *vm);
bool clock_info(struct vcpu *vcpu, struct pvclock_vcpu_time_info *info, u64 *generation);
void clock_write_wall(struct vcpu *vcpu, gpa_t gpa);
void clock_set_system_time(struct vcpu *vcpu, u64 msr);
int clock_set_steal_time(struct vcpu *vcpu, u64 msr);
void clock_steal_update(struct vcpu *vcpu);	/* VCPU_REQ_STEAL */
void clock_steal_preempted(struct vcpu *vcpu);	/* preemption off */
int clock_guest_paused(struct vcpu *vcpu);	/* KVM_KVMCLOCK_CTRL */
int clock_pairing(struct vcpu *vcpu, gpa_t gpa);	/* KVM_HC_CLOCK_PAIRING */
u64 clock_kvmclock_ns(struct vm *vm);
void clock_vm_get(struct vm *vm, struct kvm_clock_data *data);
int clock_vm_set(struct vm *vm, const struct kvm_clock_data *data);
u64 tsc_guest(struct vcpu *vcpu, u64 host_tsc);
u64 tsc_host_cycles(struct vcpu *vcpu, u64 guest_cycles);
void tsc_write(struct vcpu *vcpu, u64 guest_tsc, bool host);
void tsc_set_offset(struct vcpu *vcpu, u64 offset);	/* as user space asks */
void tsc_adjust(struct vcpu *vcpu, s64 delta);
int tsc_set_khz(struct vcpu *vcpu, u32 khz);
int tsc_set_default_khz(struct vm *vm, u32 khz);
void tsc_vcpu_init(struct vcpu *vcpu);
extern u32 host_tsc_khz;

/* hypercall.c */
#define EXIT_HYPERCALLS	BIT_ULL(KVM_HC_MAP_GPA_RANGE)	/* that user space may ask for */
int hypercall(struct vcpu *vcpu);		/* as exit_dispatch */
bool hypercall_fix(struct vcpu *vcpu);		/* the other vendor's, rewritten */

#endif
