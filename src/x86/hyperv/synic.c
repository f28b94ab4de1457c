// SPDX-License-Identifier: GPL-2.0
/*
 * The synthetic interrupt controller (TLFS, "Virtual Interrupt Controller": SynIC): sixteen
 * sources, each with a vector of the vCPU's LAPIC; a page of messages, with a slot for each of
 * them, and a page of event flags. Messages here are the timers'; all others, and the flags, are
 * written by user space, which is told of every change of the pages and raises SINTs by routes
 * (KVM_IRQ_ROUTING_HV_SINT).
 *
 * As with KVM, SCONTROL's enable bit holds nothing back: user space may have set it to 0 at a
 * reset, of guests that never touch it.
 */
#include <linux/mm.h>
#include <minikvm/guest_memory.h>
#include <minikvm/irq_routing.h>
#include "x86/hyperv/state.h"
#include "x86/irq/lapic.h"

static u64 sint_get(const struct hv_synic *synic, unsigned int sint)
{
	return READ_ONCE(synic->sint[sint]);
}

/* -1: it brings no interrupt. */
static int sint_vector(u64 sint)
{
	return sint & HV_SYNIC_SINT_MASKED ? -1 : sint & HV_SYNIC_SINT_VECTOR_MASK;
}

/**
 * hv_synic_init() - a SynIC as it is when nobody has asked for one
 * @synic: zeroed
 */
void hv_synic_init(struct hv_synic *synic)
{
	unsigned int i;

	synic->version = HV_SYNIC_VERSION_1;
	for (i = 0; i < HV_SYNIC_SINT_COUNT; i++)
		synic->sint[i] = HV_SYNIC_SINT_MASKED;
}

/**
 * hv_synic_activate() - KVM_CAP_HYPERV_SYNIC and KVM_CAP_HYPERV_SYNIC2
 * @vcpu:	the vCPU
 * @keep_pages:	the pages are not cleared when the guest enables them
 *
 * Context: vcpu->lock held; may sleep. Return: 0; -EINVAL if the LAPIC is user space's; -ENOMEM.
 */
int hv_synic_activate(struct vcpu *vcpu, bool keep_pages)
{
	struct hv_vcpu *hv;

	if (!vcpu->arch.lapic)
		return -EINVAL;
	hv = hv_vcpu_get(vcpu);
	if (!hv)
		return -ENOMEM;
	hv->synic.keep_pages = keep_pages;
	hv->synic.control = HV_SYNIC_CONTROL_ENABLE;
	/* Pairs with hv_synic_raise(). */
	smp_store_release(&hv->synic.active, true);
	return 0;
}

/* --- Interrupts. --- */

static bool raise(struct hv_vcpu *hv, unsigned int sint)
{
	int vector = sint_vector(sint_get(&hv->synic, sint));
	const struct apic_msg msg = {
		.vector = vector, .delivery = APIC_DM_FIXED >> 8, .assert = true,
	};

	return vector >= HV_SYNIC_FIRST_VALID_VECTOR && lapic_accept_msg(hv->vcpu->arch.lapic, &msg);
}

/**
 * hv_synic_raise() - a GSI that leads to a SINT is up
 * @vm:		the VM
 * @vp_index:	whose
 * @sint:	which, less than HV_SYNIC_SINT_COUNT
 *
 * Context: any but NMI. Return: 1 if the LAPIC took it, 0 if not; -1 if there is no such SINT, or
 * it is masked.
 */
int hv_synic_raise(struct vm *vm, u32 vp_index, u32 sint)
{
	struct vcpu *vcpu = hv_vcpu_by_vp(vm, vp_index);
	struct hv_vcpu *hv = vcpu ? smp_load_acquire(&vcpu->arch.hv) : NULL;

	if (!hv || !smp_load_acquire(&hv->synic.active) ||
	    sint_vector(sint_get(&hv->synic, sint)) < 0)
		return -1;
	return raise(hv, sint);
}

/**
 * hv_synic_sints() - which SINTs have this vector?
 * @vcpu:	in its own thread; it has a struct hv_vcpu
 * @vector:	of an interrupt
 *
 * Return: a bit for each.
 */
u32 hv_synic_sints(struct vcpu *vcpu, unsigned int vector)
{
	const struct hv_synic *synic = &vcpu->arch.hv->synic;
	unsigned int i;
	u32 sints = 0;

	for (i = 0; synic->active && i < HV_SYNIC_SINT_COUNT; i++)
		if (sint_vector(sint_get(synic, i)) == vector)
			sints |= BIT(i);
	return sints;
}

/**
 * hv_synic_auto_eoi() - is an interrupt over as soon as it is delivered?
 * @vcpu:	in its own thread; it has a struct hv_vcpu
 * @vector:	of the interrupt
 */
bool hv_synic_auto_eoi(struct vcpu *vcpu, unsigned int vector)
{
	unsigned long sints = hv_synic_sints(vcpu, vector);
	unsigned int i;

	for_each_set_bit(i, &sints, HV_SYNIC_SINT_COUNT)
		if (sint_get(&vcpu->arch.hv->synic, i) & HV_SYNIC_SINT_AUTO_EOI)
			return true;
	return false;
}

/**
 * hv_synic_any_auto_eoi() - is there one, that no hardware could deliver for us?
 * @vcpu:	in its own thread, or with vcpu->lock held; it has a struct hv_vcpu
 */
bool hv_synic_any_auto_eoi(struct vcpu *vcpu)
{
	const struct hv_synic *synic = &vcpu->arch.hv->synic;
	unsigned int i;

	for (i = 0; i < HV_SYNIC_SINT_COUNT; i++)
		if ((sint_get(synic, i) & HV_SYNIC_SINT_AUTO_EOI) &&
		    sint_vector(sint_get(synic, i)) >= 0)
			return true;
	return false;
}

/* A message may go into a slot that another was in; who raised a GSI may raise it again. */
static void acknowledged(struct hv_vcpu *hv, u32 sints)
{
	hv_stimers_retry(hv, sints);
	irq_acked_lines(hv->vcpu->vm, KVM_IRQ_ROUTING_HV_SINT, hv->vp_index, sints);
}

/**
 * hv_synic_eoi() - an interrupt has ended
 * @vcpu:	in its own thread; it has a struct hv_vcpu
 * @vector:	of the interrupt
 */
void hv_synic_eoi(struct vcpu *vcpu, unsigned int vector)
{
	u32 sints = hv_synic_sints(vcpu, vector);

	if (sints)
		acknowledged(vcpu->arch.hv, sints);
}

/* --- Messages. --- */

static gpa_t slot_gpa(const struct hv_synic *synic, u32 sint)
{
	return (synic->message_page & PAGE_MASK) +
	       offsetof(struct hv_message_page, sint_message[sint]);
}

/* The guest will say when the slot is free: by EOM (TLFS, "SIM page"). */
static int ask_for_eom(struct vcpu *vcpu, gpa_t slot)
{
	const union hv_message_flags flags = { .msg_pending = 1 };

	return guest_write(vcpu, SPACE_MAIN, slot + offsetof(struct hv_message, header.message_flags),
			   &flags, sizeof(flags)) ? -EFAULT : -EAGAIN;
}

/**
 * hv_synic_message() - put a message into a SINT's slot, and raise it
 * @hv:		the vCPU, in its own thread, outside the guest
 * @sint:	which
 * @message:	its header says how long it is
 * @wait:	if the slot is not free, ask to be told; else give it up
 *
 * Context: vm->srcu held; may sleep. Return: 0 when it is delivered or given up; -EAGAIN if it has to
 * wait; -ENOENT if the guest has no page of messages, -EFAULT if there is no memory there.
 */
int hv_synic_message(struct hv_vcpu *hv, u32 sint, const struct hv_message *message, bool wait)
{
	struct vcpu *vcpu = hv->vcpu;
	gpa_t slot = slot_gpa(&hv->synic, sint);
	u32 type;

	if (!(hv->synic.message_page & HV_SYNIC_SIMP_ENABLE))
		return -ENOENT;
	if (guest_read(vcpu->vm, SPACE_MAIN, slot, &type, sizeof(type)))
		return -EFAULT;
	if (type != HVMSG_NONE)
		return wait ? ask_for_eom(vcpu, slot) : 0;
	if (guest_write(vcpu, SPACE_MAIN, slot, message,
			sizeof(message->header) + message->header.payload_size))
		return -EFAULT;
	/* Who polls a masked SINT finds it there. */
	raise(hv, sint);
	return 0;
}

/* --- Registers. --- */

static void owe_exit(struct hv_vcpu *hv, u32 msr)
{
	hv->exit = (struct kvm_hyperv_exit){
		.type = KVM_EXIT_HYPERV_SYNIC,
		.u.synic = {
			.msr = msr,
			.control = hv->synic.control,
			.evt_page = hv->synic.event_page,
			.msg_page = hv->synic.message_page,
		},
	};
	hv_owe_exit(hv, HV_EXIT_HYPERV);
}

static int clear_page_of(struct vcpu *vcpu, gpa_t gpa)
{
	return guest_write(vcpu, SPACE_MAIN, gpa, page_address(ZERO_PAGE(0)), PAGE_SIZE);
}

/* SIEFP and SIMP have the same enable bit. */
static int set_page(struct hv_vcpu *hv, u32 msr, u64 *page, u64 value, bool host)
{
	if (!host && !hv->synic.keep_pages && (value & HV_SYNIC_SIMP_ENABLE) &&
	    clear_page_of(hv->vcpu, value & PAGE_MASK))
		return 1;
	*page = value;
	if (!host)
		owe_exit(hv, msr);
	return 0;
}

/*
 * Vectors below 16 are the processor's; a masked SINT has none, and user space restores what a
 * reset leaves.
 */
static int set_sint(struct hv_vcpu *hv, unsigned int sint, u64 value, bool host)
{
	if (!host && !(value & HV_SYNIC_SINT_MASKED) &&
	    (value & HV_SYNIC_SINT_VECTOR_MASK) < HV_SYNIC_FIRST_VALID_VECTOR)
		return 1;
	WRITE_ONCE(hv->synic.sint[sint], value);
	/* Which EOIs are wanted, and whether hardware can do its part at all. */
	lapic_hardware_update(hv->vcpu);
	return 0;
}

/**
 * hv_synic_set() - write one of the SynIC's registers
 * @hv:		the vCPU, loaded
 * @msr:	HV_X64_MSR_SCONTROL to HV_X64_MSR_SINT15
 * @value:	the new value
 * @host:	user space asks; while there is no SynIC it can only write 0
 *
 * Context: vm->srcu held; may sleep. Return: 0, or 1 for #GP.
 */
int hv_synic_set(struct hv_vcpu *hv, u32 msr, u64 value, bool host)
{
	struct hv_synic *synic = &hv->synic;

	if (!synic->active)
		return !host || value;
	switch (msr) {
	case HV_X64_MSR_SCONTROL:
		synic->control = value;
		if (!host)
			owe_exit(hv, msr);
		return 0;
	case HV_X64_MSR_SVERSION:
		if (host)
			synic->version = value;
		return !host;
	case HV_X64_MSR_SIEFP:
		return set_page(hv, msr, &synic->event_page, value, host);
	case HV_X64_MSR_SIMP:
		return set_page(hv, msr, &synic->message_page, value, host);
	case HV_X64_MSR_EOM:
		acknowledged(hv, GENMASK(HV_SYNIC_SINT_COUNT - 1, 0));
		return 0;
	default:
		return set_sint(hv, msr - HV_X64_MSR_SINT0, value, host);
	}
}

/**
 * hv_synic_get() - read one of the SynIC's registers
 * @hv:		the vCPU
 * @msr:	as hv_synic_set()
 * @value:	where the value goes
 * @host:	user space asks
 *
 * Return: 0, or 1 for #GP.
 */
int hv_synic_get(struct hv_vcpu *hv, u32 msr, u64 *value, bool host)
{
	const struct hv_synic *synic = &hv->synic;

	if (!synic->active && !host)
		return 1;
	switch (msr) {
	case HV_X64_MSR_SCONTROL:
		*value = synic->control;
		return 0;
	case HV_X64_MSR_SVERSION:
		*value = synic->version;
		return 0;
	case HV_X64_MSR_SIEFP:
		*value = synic->event_page;
		return 0;
	case HV_X64_MSR_SIMP:
		*value = synic->message_page;
		return 0;
	case HV_X64_MSR_EOM:
		*value = 0;
		return 0;
	default:
		*value = sint_get(synic, msr - HV_X64_MSR_SINT0);
		return 0;
	}
}
