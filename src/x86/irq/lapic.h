/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The local APIC: registers, priorities, timer, IPIs (SDM vol. 3, ch. 11).
 *
 * Functions on a vcpu are for its own thread, or for an ioctl that holds
 * vcpu->lock, but where said otherwise. All of them take a vcpu without a
 * LAPIC (arch.lapic NULL: it is user space's) as one whose LAPIC is off.
 */
#ifndef MINIKVM_X86_LAPIC_H
#define MINIKVM_X86_LAPIC_H

#include <linux/kvm.h>
#include <asm/apicdef.h>
#include <minikvm/vcpu.h>

struct lapic;

/*
 * Interrupts on the way to IRR. A sender sets the vector's bit, then `on`; who takes them
 * clears `on`, then the bits: whichever way they meet, none stays behind unseen. Laid out as
 * hardware has it that takes them by itself (SDM vol. 3, 29.6).
 */
struct lapic_mail {
	DECLARE_BITMAP(vectors, 256);
	unsigned long on;		/* bit 0; 0: there are none, or their sender is not done */
	unsigned long unused[3];
};
static_assert(sizeof(struct lapic_mail) == 64);

/* One interrupt message, whoever sends it: an IPI, an MSI, an IOAPIC pin. */
struct apic_msg {
	u32 dest;
	u8 vector;
	u8 delivery;		/* APIC_DM_* >> 8 */
	u8 shorthand;		/* 0 none, 1 self, 2 all, 3 all but self */
	bool logical, level, assert;
	bool redirect;		/* MSI redirection hint: one of them is enough */
};

/* Bits of vcpu->arch.pending_init_sipi. */
enum { PENDING_INIT, PENDING_SIPI };

int lapic_create(struct vcpu *vcpu);
void lapic_destroy(struct vcpu *vcpu);
void lapic_reset(struct vcpu *vcpu, bool init);

/*
 * After a vCPU came to vm->vcpus: let messages find it. Sleeps; the LAPIC's
 * own changes call it themselves.
 */
void apic_map_rebuild(struct vm *vm);
void apic_map_free(struct vm *vm);		/* nobody sends any more */

/* Interrupt acceptance and delivery. Any context but NMI: */
int lapic_deliver(struct vm *vm, struct lapic *source, const struct apic_msg *msg);
bool lapic_accept_msg(struct lapic *apic, const struct apic_msg *msg);	/* for it alone */
bool lapic_local(struct vcpu *vcpu, unsigned int lvt);	/* APIC_LVT0, APIC_LVTPC, ... */
void lapic_nmi_watchdog(struct vm *vm);		/* PIT channel 0 through LINT0 */
bool lapic_accepts_pic(struct vcpu *vcpu);	/* LINT0 is open to ExtINT */
/* The vCPU's own thread: */
int lapic_pending_vector(struct vcpu *vcpu);	/* -1: none above PPR */
void lapic_accept(struct vcpu *vcpu, int vector);	/* IRR -> ISR */
bool lapic_tpr_blocks(struct vcpu *vcpu);	/* an IRR above ISR, held by TPR alone */
void lapic_eoi(struct vcpu *vcpu);
bool lapic_has_init_sipi(struct vcpu *vcpu);
void lapic_take_init_sipi(struct vcpu *vcpu);	/* acts on pending INIT and SIPI */
bool lapic_directed_eoi(struct vcpu *vcpu);	/* EOIs are not broadcast */

/* The timer: what hardware's callback left to do, and the way to sleep on it. */
void lapic_timer_take(struct vcpu *vcpu);
void lapic_timer_leave_hardware(struct vcpu *vcpu);
void lapic_timer_tsc_moved(struct vcpu *vcpu);
void lapic_timer_migrate(struct vcpu *vcpu);	/* loaded on another CPU than before */

/*
 * Where hardware does a part of all this, in x2APIC mode, without exits. What is left
 * to do is for the vCPU's own thread.
 */
bool lapic_hardware(struct vcpu *vcpu);		/* it does, now */
bool lapic_hardware_msr(struct vcpu *vcpu, u32 msr, bool write);
void lapic_hardware_update(struct vcpu *vcpu);	/* what it depends on has changed */
void lapic_hardware_sync(struct vcpu *vcpu);	/* before an entry: what has arrived */
void lapic_take_posted(struct vcpu *vcpu);

/* Is there something that hardware would have taken, had the vCPU been in the guest? */
static inline bool lapic_posted(const struct vcpu *vcpu)
{
	return vcpu->arch.posted && READ_ONCE(vcpu->arch.posted->on);
}

void lapic_hardware_rescan(struct vcpu *vcpu);	/* whose EOIs are wanted has changed */
void lapic_hardware_eoi(struct vcpu *vcpu, u8 vector);		/* EXIT_EOI */
void lapic_hardware_write(struct vcpu *vcpu, unsigned int offset);	/* EXIT_APIC_WRITE */

/* Registers. */
u64 lapic_get_tpr(struct vcpu *vcpu);		/* CR8: TPR >> 4 */
void lapic_set_tpr(struct vcpu *vcpu, u64 cr8);
int lapic_set_base(struct vcpu *vcpu, u64 base, bool user);
int lapic_x2apic_read(struct vcpu *vcpu, u32 msr, u64 *value);
int lapic_x2apic_write(struct vcpu *vcpu, u32 msr, u64 value);
int lapic_msr_read(struct vcpu *vcpu, unsigned int offset, u64 *value);	/* in any mode */
int lapic_msr_write(struct vcpu *vcpu, unsigned int offset, u64 value);
u64 lapic_get_tsc_deadline(struct vcpu *vcpu);
void lapic_set_tsc_deadline(struct vcpu *vcpu, u64 deadline);
int lapic_mmio_read(struct vcpu *vcpu, gpa_t gpa, unsigned int len, void *data);
int lapic_mmio_write(struct vcpu *vcpu, gpa_t gpa, unsigned int len, const void *data);
int lapic_get_state(struct vcpu *vcpu, struct kvm_lapic_state *s);
int lapic_set_state(struct vcpu *vcpu, const struct kvm_lapic_state *s);

#endif
