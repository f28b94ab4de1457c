/* SPDX-License-Identifier: GPL-2.0 */
/* Of struct vm and struct vcpu, what the irqchips look at; see ../kernel.h. */
#ifndef MINIKVM_UNIT_IRQ_VCPU_H
#define MINIKVM_UNIT_IRQ_VCPU_H

#include <linux/kvm.h>
#include <minikvm/bus.h>
#include <minikvm/irq_routing.h>
#include <minikvm/types.h>

enum irqchip_mode { IRQCHIP_NONE, IRQCHIP_SPLIT, IRQCHIP_KERNEL };
enum {
	VCPU_REQ_EVENT = 8, VCPU_REQ_APIC_TIMER, VCPU_REQ_IOAPIC_EOI, VCPU_REQ_SCAN_IOAPIC,
	VCPU_REQ_SMI,
};

enum vcpu_mode { VCPU_OUTSIDE, VCPU_IN_GUEST };

#define UNIT_VCPUS	64

struct vcpu {
	struct vm *vm;
	struct kvm_run *run;
	int id, cpu;
	atomic_t mode;
	unsigned long requests;
	struct {
		u64 rip, cr8, apic_base;
		int user_irq;
		struct lapic *lapic;
		struct lapic_mail *posted;
		u32 mp_state, guest_debug;
		unsigned long pending_init_sipi;
		u8 sipi_vector;
		struct { u32 max_phyaddr; } cpuid;
		struct { u32 khz; } tsc;
	} arch;
	unsigned int nmis, kicks;	/* for the tests */
};

struct vm {
	struct mutex lock, slots_lock, irq_lock;
	unsigned int nvcpus;
	struct vcpu *vcpus[UNIT_VCPUS];
	struct {
		enum irqchip_mode irqchip;
		struct pic *pic;
		struct ioapic *ioapic;
		struct pit *pit;
		struct apic_map *apic_map;
		struct mutex apic_map_lock;
		u32 bsp_id;
		u64 disabled_quirks;
		bool x2apic_api_32bit, x2apic_no_broadcast_quirk;
	} arch;
};

#define vm_vcpu(vm, i)	((i) < (vm)->nvcpus ? (vm)->vcpus[i] : NULL)
#define vm_for_each_vcpu(i, vcpu, vm) \
	for ((i) = 0; ((vcpu) = vm_vcpu((vm), (i))); (i)++)

static inline void vcpu_request(struct vcpu *vcpu, unsigned int req)
{
	set_bit(req, &vcpu->requests);
}

static inline void vcpu_kick(struct vcpu *vcpu)
{
	vcpu->kicks++;
}

#endif
