/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The inside of a local APIC, for the files that make it up: lapic.c
 * (registers, priorities), lapic_timer.c, ipi.c (who is meant by a message).
 * Everybody else includes lapic.h.
 *
 * Who may touch what:
 *  - the errors noted: anybody, atomically;
 *  - arrived, posted, TMR: anybody, atomically, in any context but NMI; what is there
 *    the vCPU alone takes, or the CPU that is in its guest, and puts it into IRR;
 *  - timer.pending: set by the timer's callback, taken by the vCPU;
 *  - TPR: as all else, and vcpu->arch.cr8 is always its bits 7:4;
 *  - while the vCPU is in the guest with ->hardware: IRR, ISR, TPR and PPR belong to
 *    the CPU. What is cached of them, irr_pending and in_service, is not valid;
 *  - all else: the vCPU's own thread, or an ioctl that holds vcpu->lock. Other
 *    CPUs read single registers (ID, LDR, DFR, LVT) as they find them.
 */
#ifndef MINIKVM_X86_LAPIC_STATE_H
#define MINIKVM_X86_LAPIC_STATE_H

#include <linux/hrtimer.h>
#include <asm/apicdef.h>
#include <asm/msr-index.h>
#include <minikvm/vcpu.h>
#include "x86/irq/lapic.h"

/* Bits of ESR. What is noted there comes into it when it is written. */
enum lapic_error {
	LAPIC_SENT_ILLEGAL	= 5,
	LAPIC_RECEIVED_ILLEGAL,
	LAPIC_ILLEGAL_REGISTER,
};

#define LAPIC_ERRORS		0xe0
#define APIC_ERRORS_NOTED	0x290

/* 0 to 15 are exceptions. */
static inline bool lapic_vector_illegal(unsigned int vector)
{
	return vector < 16;
}

struct lapic_timer {
	struct hrtimer hrtimer;		/* its expiry is the timer's, whoever watches for it */
	u64 host_tsc;			/* hardware watches; TIMER_OFF: the hrtimer does */
	u64 period;			/* ns of a whole count; 0: not running */
	u64 tsc_deadline;		/* as the guest wrote it; 0: disarmed */
	bool pending;			/* has fired; the vCPU does not know yet */
};

struct lapic {
	struct vcpu *vcpu;
	void *regs;			/* a page, laid out as KVM_GET_LAPIC has it */
	struct lapic_mail arrived;	/* on the way to IRR; vcpu->arch.posted is the other one */
	bool irr_pending;		/* false: IRR is empty for sure */
	int in_service;			/* highest vector in ISR, or -1: lapic_in_service() */
	bool hardware;			/* delivers our interrupts: lapic_hardware.c */
	DECLARE_BITMAP(eoi_exits, 256);	/* what the EOI of which must come here, then */
	u8 eoi_exit_vector;		/* split irqchip: for VCPU_REQ_IOAPIC_EOI */
	struct lapic_timer timer;
};

static inline u32 lapic_reg(const struct lapic *apic, unsigned int offset)
{
	return READ_ONCE(*(u32 *)(apic->regs + offset));
}

static inline void lapic_set_reg(struct lapic *apic, unsigned int offset, u32 value)
{
	WRITE_ONCE(*(u32 *)(apic->regs + offset), value);
}

/* 256 bits, as 8 registers 16 bytes apart: IRR, ISR, TMR. */
static inline unsigned long *lapic_vector_word(const struct lapic *apic,
					       unsigned int bank, unsigned int vector)
{
	return apic->regs + bank + (vector / 32) * 0x10;
}

static inline bool lapic_test_vector(const struct lapic *apic, unsigned int bank,
				     unsigned int vector)
{
	return test_bit(vector % 32, lapic_vector_word(apic, bank, vector));
}

static inline bool lapic_hw_enabled(const struct lapic *apic)
{
	return READ_ONCE(apic->vcpu->arch.apic_base) & MSR_IA32_APICBASE_ENABLE;
}

static inline bool lapic_sw_enabled(const struct lapic *apic)
{
	return lapic_reg(apic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED;
}

static inline bool lapic_is_x2apic(const struct lapic *apic)
{
	return (READ_ONCE(apic->vcpu->arch.apic_base) &
		(MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE)) ==
		(MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE);
}

static inline u32 lapic_id(const struct lapic *apic)
{
	u32 id = lapic_reg(apic, APIC_ID);

	return lapic_is_x2apic(apic) ? id : id >> 24;
}

/* The x2APIC's LDR is a function of its id (SDM vol. 3, 11.12.10.2). */
static inline u32 lapic_x2apic_ldr(u32 id)
{
	return (id >> 4) << 16 | 1u << (id & 0xf);
}

/* lapic.c */
int lapic_bank_highest(const struct lapic *apic, unsigned int bank);	/* -1: none */
u32 lapic_version(struct lapic *apic);
bool lapic_readable(struct lapic *apic, unsigned int offset);
void lapic_collect(struct lapic *apic);		/* what has arrived, into IRR */
void lapic_error(struct lapic *apic, enum lapic_error error);

/* The highest vector in ISR, or -1. */
static inline int lapic_in_service(const struct lapic *apic)
{
	return unlikely(apic->hardware) ? lapic_bank_highest(apic, APIC_ISR) : apic->in_service;
}

/* lapic_hardware.c */
int lapic_hardware_create(struct vcpu *vcpu);
void lapic_hardware_arrived(struct lapic *apic, unsigned int vector);
bool lapic_hardware_post(struct lapic *apic, unsigned int vector);

/* lapic_timer.c */
void lapic_timer_init(struct lapic *apic);
void lapic_timer_stop(struct lapic *apic);
void lapic_timer_restart(struct lapic *apic);
void lapic_timer_restore(struct lapic *apic, u32 count);
void lapic_timer_set_divide(struct lapic *apic, u32 tdcr);
void lapic_timer_set_lvt(struct lapic *apic, u32 lvtt);
u32 lapic_timer_count(struct lapic *apic);

/* ipi.c */
void lapic_send_icr(struct lapic *apic, u32 low, u32 dest);

#endif
