// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of an exit and the way back: those that the core answers itself, and
 * those that go to user space.
 */
#include "bench.h"

#define ITERATIONS	1000
#define UNUSED_PORT	0x910
#define UNUSED_MMIO	0xd0000000ul	/* no slot is there */
#define XAPIC_TPR	0xfee00080ul
#define X2APIC_EOI	0xb0
#define X2APIC_ICR	0x300
#define X2APIC_TO_SELF	(1 << 18)
#define VECTOR		0x40

/*
 * RDMSR reads IA32_APIC_BASE (0x1b), which the core emulates. Hypercall -1 does
 * not exist: the core says so. PIO and MMIO go where nothing is.
 *
 * The guest's loop round one instruction; what it took is its value.
 */
#define DEFINE_LOOP(name, ...)							\
static __guest void name(u64 count)						\
{										\
	u64 start = rdtsc();							\
										\
	for (u64 i = 0; i < count; i++)						\
		asm volatile(__VA_ARGS__);					\
	GUEST_VALUE(rdtsc() - start);						\
}

/* Loading the operands is counted: one or two instructions, of a thousand and more. */
DEFINE_LOOP(loop_nothing, "" : : : "memory")
DEFINE_LOOP(loop_cpuid, "xorl %%eax, %%eax; cpuid" : : : "rax", "rbx", "rcx", "rdx", "memory")
DEFINE_LOOP(loop_vmcall, "movl $-1, %%eax; vmcall" : : : "rax", "memory")
DEFINE_LOOP(loop_vmmcall, "movl $-1, %%eax; vmmcall" : : : "rax", "memory")
DEFINE_LOOP(loop_rdmsr, "movl $0x1b, %%ecx; rdmsr" : : : "rax", "rcx", "rdx", "memory")
DEFINE_LOOP(loop_pio, "outb %%al, %%dx" : : "a"(0), "d"(UNUSED_PORT) : "memory")
DEFINE_LOOP(loop_mmio, "movl %%eax, (%0)" : : "r"(UNUSED_MMIO), "a"(0) : "memory")

DEFINE_LOOP(loop_xapic, "movl %%eax, (%0)" : : "r"(XAPIC_TPR), "a"(0) : "memory")

static __guest void end_of_interrupt(struct trap_frame *frame)
{
	x2apic_write(X2APIC_EOI, 0);
}

/* Each interrupt is taken between its own ICR write and the next. */
static __guest void loop_self_ipi(u64 count)
{
	u64 start;

	x2apic_enable();
	asm volatile("sti");
	start = rdtsc();
	for (u64 i = 0; i < count; i++)
		x2apic_write(X2APIC_ICR, X2APIC_TO_SELF | VECTOR);
	GUEST_VALUE(rdtsc() - start);
}

static double cheapest_run(struct vcpu *vcpu, void *loop)
{
	double best = NOT_MEASURED;

	for (int round = 0; round < ROUNDS; round++) {
		vcpu_start64(vcpu, loop, ITERATIONS);
		best = cheapest(best, bench_run(vcpu));
	}
	return best;
}

static double measure_loop(void *loop)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	double empty = cheapest_run(vcpu, loop_nothing);
	double full = cheapest_run(vcpu, loop);

	vcpu_free(vcpu);
	vm_free(vm);
	return (full - empty) / ITERATIONS;
}

static double measure_cpuid(void)
{
	return measure_loop(loop_cpuid);
}

static double measure_hypercall(void)
{
	return measure_loop(host_is_intel() ? loop_vmcall : loop_vmmcall);
}

static double measure_rdmsr(void)
{
	return measure_loop(loop_rdmsr);
}

static double measure_pio(void)
{
	return measure_loop(loop_pio);
}

static double measure_mmio(void)
{
	return measure_loop(loop_mmio);
}

static double measure_xapic(void)
{
	return measure_loop(loop_xapic);
}

static double measure_self_ipi(void)
{
	guest_handlers[VECTOR] = end_of_interrupt;
	return measure_loop(loop_self_ipi);
}

/* In-core exits below half of stock KVM's: that is what the run loop is shaped for. */
#define IN_CORE	0.5
/* The way to user space and back is mostly not ours; nor does emulation get cheap. */
#define TO_USER	0.9
#define EMULATED 0.9
/* Two exits, and an interrupt that goes in. */
#define INTERRUPT 0.6

const struct bench exit_benches[] = {
	{ "cpuid", measure_cpuid, IN_CORE },
	{ "hypercall", measure_hypercall, IN_CORE },
	{ "rdmsr-apic-base", measure_rdmsr, IN_CORE },
	{ "xapic-write", measure_xapic, EMULATED },
	{ "self-ipi-x2apic", measure_self_ipi, INTERRUPT },
	{ "pio-userspace", measure_pio, TO_USER },
	{ "mmio-userspace", measure_mmio, TO_USER },
	{ }
};
