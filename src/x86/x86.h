/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the x86 core's files offer each other: one section a file, in the
 * order in which a KVM_RUN meets them.
 */
#ifndef MINIKVM_X86_H
#define MINIKVM_X86_H

#include <minikvm/vcpu.h>
#include "x86/mmu/mmu.h"
#include "x86/vendor.h"

/* As many as KVM has; an id is an APIC id, so it may be sparse. */
#define MAX_VCPUS	1024
#define MAX_VCPU_IDS	4096

#define MCE_BANKS	32

/* KVM_X86_QUIRK_* that can be disabled here. */
#define SUPPORTED_QUIRKS						\
	(KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_CD_NW_CLEARED |	\
	 KVM_X86_QUIRK_LAPIC_MMIO_HOLE | KVM_X86_QUIRK_OUT_7E_INC_RIP |	\
	 KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT |				\
	 KVM_X86_QUIRK_FIX_HYPERCALL_INSN |				\
	 KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)

/* Bits of the debug registers that no kernel header names: SDM vol. 3, 17.2. */
#define DR6_ACTIVE_LOW	0xffff0ff0ULL	/* at rest these read as 1 */
#define DR6_BD		(1ULL << 13)
#define DR7_GD		(1ULL << 13)
#define DR7_RESTING	0x400ULL
#define DR7_ENABLES	0xffULL

/* DR7 as the hardware shall have it: user space's breakpoints come first. */
static inline u64 effective_dr7(struct vcpu *vcpu)
{
	return vcpu->arch.guest_debug & KVM_GUESTDBG_USE_HW_BP ?
		vcpu->arch.guest_debug_dr7 : vcpu->arch.dr7;
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
bool events_in_flight(struct vcpu *vcpu);
bool events_wake(struct vcpu *vcpu);
bool irq_open(struct vcpu *vcpu);
bool user_may_inject(struct vcpu *vcpu);
bool user_irq_window_open(struct vcpu *vcpu);
int events_get(struct vcpu *vcpu, struct kvm_vcpu_events *e);
int events_set(struct vcpu *vcpu, const struct kvm_vcpu_events *e);

/* exits.c */
int exit_dispatch(struct vcpu *vcpu);		/* 1: enter again; 0: to user space */
int vcpu_skip(struct vcpu *vcpu);		/* past the exiting instruction */

/* emulate_glue.c: the emulator's way to guest state and memory */
int emulate_instruction(struct vcpu *vcpu);	/* as exit_dispatch */
int emulate_length(struct vcpu *vcpu);		/* bytes, or -EFAULT: fault queued */
int emulate_failed(struct vcpu *vcpu);		/* KVM_EXIT_INTERNAL_ERROR */
int emulate_decode_operand(struct vcpu *vcpu);	/* fills exit.cr or exit.dr */

/* cpuid.c */
int cpuid_get_supported(struct kvm_cpuid2 *head, struct kvm_cpuid_entry2 __user *e);
int cpuid_get_emulated(struct kvm_cpuid2 *head, struct kvm_cpuid_entry2 __user *e);
int cpuid_set(struct vcpu *vcpu, const struct kvm_cpuid2 *head,
	      const struct kvm_cpuid_entry2 __user *e);
int cpuid_set_legacy(struct vcpu *vcpu, const struct kvm_cpuid *head,
		     const struct kvm_cpuid_entry __user *e);
int cpuid_get(struct vcpu *vcpu, struct kvm_cpuid2 *head,
	      struct kvm_cpuid_entry2 __user *e);
void cpuid_free(struct vcpu *vcpu);
int cpuid_init(void);				/* module load: host allow-list */
void cpuid_runtime(struct vcpu *vcpu);		/* OSXSAVE, APIC, XCR0 sizes, ... */
void cpuid_query(struct vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
bool guest_has(struct vcpu *vcpu, unsigned int x86_feature);
bool cpuid_offered(unsigned int x86_feature);	/* in the supported list? */

/* msr.c: @host says that user space asks, who may more than the guest */
int msr_get(struct vcpu *vcpu, u32 index, u64 *value, bool host);
int msr_set(struct vcpu *vcpu, u32 index, u64 value, bool host);
int msr_get_feature(u32 index, u64 *value);
int msr_index_list(struct kvm_msr_list __user *list);
int msr_feature_index_list(struct kvm_msr_list __user *list);
int msr_io(struct vcpu *vcpu, struct kvm_msrs __user *msrs, bool write);
int msr_feature_io(struct kvm_msrs __user *msrs);
int msr_filter_set(struct vm *vm, const void __user *argp);
void msr_filter_free(struct vm *vm);
void msr_filter_apply(struct vcpu *vcpu);	/* to the pass-through MSRs */
bool msr_filtered(struct vm *vm, u32 index, bool write);
void msr_reset(struct vcpu *vcpu, bool init);
u64 msr_mce_supported(void);
void msr_init(void);				/* module load: probe the list */

/* state.c: control registers and the state ioctls */
int set_cr0(struct vcpu *vcpu, u64 cr0);	/* 0, or 1: #GP */
int set_cr3(struct vcpu *vcpu, u64 cr3);
int set_cr4(struct vcpu *vcpu, u64 cr4);
int set_cr8(struct vcpu *vcpu, u64 cr8);
u64 get_cr8(struct vcpu *vcpu);
int set_efer(struct vcpu *vcpu, u64 efer, bool host);
int set_xcr(struct vcpu *vcpu, u32 index, u64 value);
int set_dr(struct vcpu *vcpu, int dr, u64 value);
int get_dr(struct vcpu *vcpu, int dr, u64 *value);
void vcpu_reset(struct vcpu *vcpu, bool init);
long state_ioctl(struct vcpu *vcpu, unsigned int cmd, unsigned long raw);
bool is_long_mode(struct vcpu *vcpu);		/* EFER.LMA */
bool is_64bit_code(struct vcpu *vcpu);		/* and CS.L */

/* fpu.c */
int fpu_create(struct vcpu *vcpu);
void fpu_destroy(struct vcpu *vcpu);
void fpu_enter(struct vcpu *vcpu);		/* user's out, guest's in */
void fpu_leave(struct vcpu *vcpu);
void fpu_reset(struct vcpu *vcpu, bool init);	/* changes the saved image */
int fpu_get(struct vcpu *vcpu, struct kvm_fpu *f);
int fpu_set(struct vcpu *vcpu, const struct kvm_fpu *f);
int fpu_get_xsave(struct vcpu *vcpu, void *region, size_t size);
int fpu_set_xsave(struct vcpu *vcpu, const void *region);
int fpu_set_permitted(struct vcpu *vcpu);	/* after CPUID: dynamic features */
size_t fpu_xsave_size(struct vm *vm);

/* clock.c: TSC and kvmclock */
int clock_init(void);
void clock_exit(void);
void clock_vm_init(struct vm *vm);
void clock_vcpu_load(struct vcpu *vcpu, int cpu);
void clock_update(struct vcpu *vcpu);		/* VCPU_REQ_CLOCK */
void clock_write_wall(struct vcpu *vcpu, gpa_t gpa);
int clock_set_system_time(struct vcpu *vcpu, u64 msr);
int clock_set_steal_time(struct vcpu *vcpu, u64 msr);
void clock_steal_update(struct vcpu *vcpu);	/* VCPU_REQ_STEAL */
u64 clock_kvmclock_ns(struct vm *vm);
int clock_vm_get(struct vm *vm, struct kvm_clock_data *data);
int clock_vm_set(struct vm *vm, const struct kvm_clock_data *data);
u64 tsc_guest(struct vcpu *vcpu, u64 host_tsc);
void tsc_write(struct vcpu *vcpu, u64 guest_tsc, bool host);
void tsc_set_offset(struct vcpu *vcpu, u64 offset);
void tsc_adjust(struct vcpu *vcpu, s64 delta);
int tsc_set_khz(struct vcpu *vcpu, u32 khz);
int tsc_set_default_khz(struct vm *vm, u32 khz);
void tsc_vcpu_init(struct vcpu *vcpu);
extern u32 host_tsc_khz;

/* hypercall.c */
int hypercall(struct vcpu *vcpu);		/* as exit_dispatch */
bool hypercall_fix(struct vcpu *vcpu);		/* the other vendor's, rewritten */

#endif
