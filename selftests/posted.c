// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts that are sent while the target runs on another CPU, where a host's hardware
 * may take them into the guest with no exit: none gets lost, whatever the vCPU is about.
 */
#include "lib/module.h"
#include "lib/test.h"

#define EDGE		0x61
#define LEVEL		0x91
#define PIN		20
#define EOI		0xb0
#define TRIGGER_LEVEL	(1 << 15)

static volatile u64 edges, levels;
static volatile bool stop;

static __guest void edge(struct trap_frame *f)
{
	edges++;
	x2apic_write(EOI, 0);
}

static __guest void level(struct trap_frame *f)
{
	levels++;
	x2apic_write(EOI, 0);
}

static __guest void init(void)
{
	guest_handlers[EDGE] = edge;
	guest_handlers[LEVEL] = level;
	x2apic_enable();
	ioapic_route(PIN, LEVEL | TRIGGER_LEVEL);
	sti();
}

/* ---- what the guest is about ---- */

static __guest void spins(void)
{
}

static __guest void exits(void)
{
	cpuid(0, 0);
}

static __guest void halts(void)
{
	cli();
	if (!stop)
		sti_hlt();
	sti();
}

static __guest void masks(void)
{
	write_cr8(15);
	cpuid(0, 0);
	write_cr8(0);
}

static __guest void guest_target(void (*activity)(void))
{
	init();
	GUEST_SYNC(1);
	while (!stop)
		activity();
}

/* One after the other, so that one that is lost is waited for in vain. */
#define SENT	1000

static void send_all(struct vm *vm)
{
	volatile u64 *seen;
	u64 before;
	int i;

	for (i = 1; i <= SENT; i++) {
		seen = i % 8 ? &guest_var(vm, edges) : &guest_var(vm, levels);
		before = *seen;
		if (i % 8) {
			vm_signal_msi(vm, EDGE);
		} else {	/* the IOAPIC sends no other until it has heard of this one's end */
			vm_irq_line(vm, PIN, 1);
			vm_irq_line(vm, PIN, 0);
		}
		while (*seen == before)
			host_give_way();
	}
}

static void send_to_one_that(struct __test_metadata *_metadata, void (*activity)(void))
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_target, (u64)activity);
	pthread_t thread;

	vcpu_run_sync(vcpu, 1);
	vcpu_run_thread(vcpu, &thread);
	send_all(vm);
	guest_var(vm, stop) = true;
	vm_signal_msi(vm, EDGE);
	pthread_join(thread, NULL);
	/* The last may find nobody any more. */
	EXPECT_LE(guest_var(vm, edges), SENT - SENT / 8 + 1);
}

TEST(to_one_that_spins)
{
	send_to_one_that(_metadata, spins);
}

TEST(to_one_that_exits)
{
	send_to_one_that(_metadata, exits);
}

TEST(to_one_that_halts)
{
	send_to_one_that(_metadata, halts);
}

TEST(to_one_that_masks)
{
	send_to_one_that(_metadata, masks);
}

/* ---- what it costs ---- */

#define COUNTED	100

/* Exits of a guest that spins, while interrupts come one after the other. */
static s64 exits_of_edges(void)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_target, (u64)spins);
	volatile u64 *seen = &guest_var(vm, edges);
	pthread_t thread;
	s64 n;
	int i;

	vcpu_run_sync(vcpu, 1);
	n = vcpu_stat(vcpu, "exits");
	vcpu_run_thread(vcpu, &thread);
	for (i = 0; i < COUNTED; i++) {
		vm_signal_msi(vm, EDGE);
		while (*seen == i)
			;
	}
	guest_var(vm, stop) = true;
	pthread_join(thread, NULL);
	n = vcpu_stat(vcpu, "exits") - n;
	vcpu_free(vcpu);
	vm_free(vm);
	return n;
}

TEST(without_exits)
{
	if (!host_is_intel())
		SKIP(return, "the CPU is not Intel's: it has no VMX");
	if (host_cpus() < 2)
		SKIP(return, "one CPU: who sends is never where a guest is not");
	NEED_MODULE();
	module_reload(module_args());
	EXPECT_LT(exits_of_edges(), COUNTED / 2);
	module_reload("vmx_without=posted-interrupts");
	EXPECT_GE(exits_of_edges(), COUNTED);
	module_reload("vmx_without=apicv");
	EXPECT_GE(exits_of_edges(), COUNTED);
	module_reload(module_args());
}

TEST_HARNESS_MAIN
