/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The inside of the Hyper-V interface, for the files that make it up. Everybody else includes
 * hyperv.h.
 *
 * Who may touch what:
 *  - struct hv_vm: under its lock, but for eventfds, which has its own and is read under
 *    vm->srcu, guest_os_id, which the vCPUs look at for each hypercall, and what reference
 *    time is made of, which hv_time_ref() reads by tsc_seq;
 *  - struct hv_vcpu: the vCPU's own thread, or an ioctl that holds vcpu->lock. Others read
 *    vp_index, synic.active and synic.sint[] at any time; a timer's callback sets its bit of
 *    stimers_due.
 *
 * hv_vm.lock is taken with vcpu->lock and vm->srcu held, and never held by who waits for
 * vm->srcu. Guest memory is read and written under it.
 */
#ifndef MINIKVM_X86_HYPERV_STATE_H
#define MINIKVM_X86_HYPERV_STATE_H

#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/mutex.h>
#include <linux/seqlock.h>
#include <linux/xarray.h>
#include <asm/hyperv-tlfs.h>
#include "x86/hyperv/hyperv.h"
#include "x86/x86.h"

/*
 * The synthetic debugger, which no version of the TLFS describes and no kernel header names:
 * QEMU's hv-syndbg and Windows' KDNET agree on these.
 */
#define HV_CPUID_SYNDBG_VENDOR		0x40000080
#define HV_SYNDBG_ALLOW_DEBUGGING	BIT(1)	/* EAX of HYPERV_CPUID_VIRT_STACK_PROPERTIES */
#define HV_MSR_SYNDBG_CONTROL		0x400000f1
#define HV_MSR_SYNDBG_STATUS		0x400000f2
#define HV_MSR_SYNDBG_PENDING_BUFFER	0x400000f5
#define HV_MSR_SYNDBG_OPTIONS		0x400000ff
#define HV_SYNDBG_USE_HCALLS		BIT(2)	/* of the options */

/* What of the guest's CPUID is asked for its rights. */
enum hv_word {
	HV_FEATURES_EAX,	/* HYPERV_CPUID_FEATURES */
	HV_FEATURES_EBX,
	HV_FEATURES_EDX,
	HV_RECOMMENDED_EAX,	/* HYPERV_CPUID_ENLIGHTMENT_INFO */
	HV_RECOMMENDED_EBX,
	HV_SYNDBG_EAX,		/* HYPERV_CPUID_VIRT_STACK_PROPERTIES */
	HV_WORDS
};

/* All of these bits of a word; none: nothing is needed. */
struct hv_right {
	u8 word;			/* enum hv_word */
	u32 bits;
};

enum hv_tsc_page_state {
	TSC_PAGE_OFF,
	TSC_PAGE_GUEST,			/* enabled by the guest, not yet written */
	TSC_PAGE_HOST,			/* the same by user space, which restores it */
	TSC_PAGE_VALID,
	TSC_PAGE_BROKEN,		/* no memory is there; until it is enabled again */
};

struct hv_tsc_page {
	u64 msr;
	enum hv_tsc_page_state state;
	u64 generation;			/* of the master clock that it was made from */
	u64 scale, offset;		/* as the page has them */
};

struct hv_vm {
	struct mutex lock;
	u64 guest_os_id, hypercall;
	u64 crash_param[HV_X64_MSR_CRASH_PARAMS], crash_ctl;
	u64 reenlightenment_control, tsc_emulation_control, tsc_emulation_status;
	/* HV_MSR_SYNDBG_CONTROL and those behind it, in their order */
	struct { u64 control, status, send_page, recv_page, pending_page; } syndbg;
	u64 syndbg_options;
	seqcount_mutex_t tsc_seq;	/* changes of tsc_page */
	struct hv_tsc_page tsc_page;
	struct xarray eventfds;		/* by connection id */
};

struct hv_synic {
	bool active;			/* user space has enabled it */
	bool keep_pages;		/* KVM_CAP_HYPERV_SYNIC2: they are not cleared */
	u64 control, version, event_page, message_page;
	u64 sint[HV_SYNIC_SINT_COUNT];
};

struct hv_stimer {
	struct hv_vcpu *hv;
	struct hrtimer hrtimer;
	union hv_stimer_config config;
	u64 count;			/* as it was written */
	u64 expires;			/* reference time; 0: not running */
	bool undelivered;		/* its message waits for its slot */
};

/* Exits that the vCPU owes to user space, in the order in which they are made. */
enum hv_exit { HV_EXIT_CRASH, HV_EXIT_RESET, HV_EXIT_HYPERV, HV_EXITS };

struct hv_vcpu {
	struct vcpu *vcpu;
	struct hv_vm *vm;
	u32 vp_index;
	bool enabled;			/* the guest's CPUID has the interface */
	bool enforce;			/* it has no more than its CPUID says */
	u32 words[HV_WORDS];
	u64 assist_page;
	u64 runtime_offset;
	struct hv_synic synic;
	struct hv_stimer stimers[HV_SYNIC_STIMER_COUNT];
	unsigned long stimers_due;	/* by index, atomically */
	unsigned long exits_owed;	/* by enum hv_exit */
	struct kvm_hyperv_exit exit;	/* of HV_EXIT_HYPERV */
};

/* hyperv.c */
struct hv_vm *hv_vm_get(struct vm *vm);		/* makes it; NULL: no memory */
struct hv_vcpu *hv_vcpu_get(struct vcpu *vcpu);	/* likewise; vcpu->lock held */
void hv_owe_exit(struct hv_vcpu *hv, enum hv_exit exit);
struct vcpu *hv_vcpu_by_vp(struct vm *vm, u32 vp_index);

static inline u32 hv_vp_index(struct vcpu *vcpu)
{
	struct hv_vcpu *hv = READ_ONCE(vcpu->arch.hv);

	return hv ? READ_ONCE(hv->vp_index) : vcpu->index;
}

/* cpuid.c */
bool hv_may(const struct hv_vcpu *hv, const struct hv_right *right);
static inline bool hv_says(const struct hv_vcpu *hv, enum hv_word word, u32 bit)
{
	return hv->words[word] & bit;
}

/* clock.c */
u64 hv_time_ref(struct hv_vcpu *hv);		/* in 100 ns */
void hv_tsc_page_set(struct hv_vcpu *hv, u64 value, bool host);	/* hv_vm.lock held */

/* synic.c; 0, or 1 for #GP */
int hv_synic_get(struct hv_vcpu *hv, u32 msr, u64 *value, bool host);
int hv_synic_set(struct hv_vcpu *hv, u32 msr, u64 value, bool host);
int hv_synic_message(struct hv_vcpu *hv, u32 sint, const struct hv_message *message, bool wait);
void hv_synic_init(struct hv_synic *synic);

/* stimer.c; 0, or 1 for #GP */
int hv_stimer_get(struct hv_vcpu *hv, u32 msr, u64 *value, bool host);
int hv_stimer_set(struct hv_vcpu *hv, u32 msr, u64 value, bool host);
void hv_stimers_init(struct hv_vcpu *hv);
void hv_stimers_stop(struct hv_vcpu *hv);
void hv_stimers_retry(struct hv_vcpu *hv, u32 sints);	/* slots that may be free */

#endif
