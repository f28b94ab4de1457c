// SPDX-License-Identifier: GPL-2.0
/*
 * NMI: by KVM_NMI, by an IPI, held back until IRET while one is handled, in
 * KVM_VCPU_EVENTS, and waking a halted vCPU.
 */
#include "lib/module.h"
#include "lib/test.h"

/* Then the host takes an IRET to be over when interrupts are on: vmx_options.c. */
#define NEED_IRET_SEEN() do {							\
	if (strstr(module_args(), "vnmi"))					\
		SKIP(return, "without virtual NMIs the CPU does not tell of an IRET"); \
} while (0)

static volatile u64 nmis, nested;
static volatile bool in_nmi, report_from_nmi;

static __guest void handle_nmi(struct trap_frame *f)
{
	if (in_nmi)
		nested++;
	in_nmi = true;
	nmis++;
	if (report_from_nmi)
		GUEST_SYNC(100);
	in_nmi = false;
}

static __guest void guest_nmi(void)
{
	guest_handlers[2] = handle_nmi;
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(1, nmis);	/* whatever IF says */
	sti();
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(2, nmis);
}

static void nmi(struct vcpu *vcpu)
{
	do_ioctl(vcpu->fd, KVM_NMI, 0);
}

TEST(at_once)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_nmi, 0);

	vcpu_run_sync(vcpu, 1);
	nmi(vcpu);
	vcpu_run_sync(vcpu, 2);
	nmi(vcpu);
	vcpu_run_done(vcpu);
}

/*
 * While one is handled, no other is delivered: one is kept for after IRET. How
 * many more are is not said, but no NMI may nest.
 */
static __guest void guest_blocked(void)
{
	guest_handlers[2] = handle_nmi;
	report_from_nmi = true;
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(0, nested);
	GUEST_ASSERT_EQ(2, nmis);
	GUEST_SYNC(3);
	GUEST_ASSERT_EQ(2, nmis);
}

TEST(blocked_until_iret)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_blocked, 0);
	struct kvm_vcpu_events ev;

	NEED_IRET_SEEN();
	vcpu_run_sync(vcpu, 1);
	nmi(vcpu);
	vcpu_run_sync(vcpu, 100);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(1, ev.nmi.masked);
	nmi(vcpu);
	vcpu_run_sync(vcpu, 100);
	EXPECT_EQ(2, guest_var(vm, nmis));
	vcpu_run_sync(vcpu, 3);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(0, ev.nmi.masked);
	EXPECT_EQ(0, ev.nmi.pending);
	vcpu_run_done(vcpu);
}

/* An exception in the handler, whose IRET unblocks NMI as every IRET does. */
static __guest void handle_nmi_with_fault(struct trap_frame *f)
{
	nmis++;
	if (nmis == 1) {
		GUEST_SYNC(100);
		GUEST_ASSERT_EQ(1, nmis);
		GUEST_ASSERT_EQ(TRAP(6, 0), TRY("ud2", ,));
		GUEST_ASSERT_EQ(2, nmis);
	}
}

static __guest void guest_fault_inside(void)
{
	guest_handlers[2] = handle_nmi_with_fault;
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(2, nmis);
}

TEST(unblocked_by_any_iret)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_fault_inside, 0);

	NEED_IRET_SEEN();
	vcpu_run_sync(vcpu, 1);
	nmi(vcpu);
	vcpu_run_sync(vcpu, 100);
	nmi(vcpu);
	vcpu_run_done(vcpu);
}

/* The same through KVM_SET_VCPU_EVENTS, as after a migration. */
TEST(events)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_nmi, 0);
	struct kvm_vcpu_events ev;

	NEED_IRET_SEEN();
	vcpu_run_sync(vcpu, 1);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(0, ev.nmi.injected | ev.nmi.pending | ev.nmi.masked);
	ev.nmi.injected = 1;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(1, ev.nmi.injected);
	vcpu_run_sync(vcpu, 2);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	ev.nmi.pending = 1;
	ev.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	vcpu_run_done(vcpu);
}

/* One that comes with an exception has its turn before the handler's first instruction. */
static volatile u64 ud_rflags, nmis_before_ud;

static __guest void handle_ud(struct trap_frame *f)
{
	nmis_before_ud = nmis;
	ud_rflags = f->rflags;
}

static __guest void guest_behind_exception(void)
{
	struct trap_frame f = { 0 };

	/* An exit for a page of these would be a way to the NMI as well. */
	GUEST_ASSERT_EQ(TRAP(6, 0), TRY("ud2", ,));
	handle_ud(&f);
	guest_handlers[2] = handle_nmi;
	guest_handlers[6] = handle_ud;
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(1, nmis_before_ud);
	GUEST_ASSERT_EQ(2, ud_rflags & 0x102);	/* no TF, with which SVM's NMIs wait */
}

TEST(behind_an_exception)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_behind_exception, 0);
	struct kvm_vcpu_events ev;

	NEED_IRET_SEEN();
	vcpu_run_sync(vcpu, 1);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	ev.exception.injected = 1;
	ev.exception.nr = 6;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	nmi(vcpu);
	vcpu_run_done(vcpu);
}

/* One that waits for the end of a shadow leaves no trace in the flags that user space sees. */
static __guest void guest_two_outs(void)
{
	guest_handlers[2] = handle_nmi;
	asm volatile("out %al, $0x80; out %al, $0x80");
	GUEST_ASSERT_EQ(1, nmis);
}

/* The guest is behind its first OUT then, in a shadow that user space has set. */
static void nmi_in_shadow(struct vcpu *vcpu, u8 shadow)
{
	struct kvm_vcpu_events ev;

	vcpu_run_to_out(vcpu);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	ev.interrupt.shadow = shadow;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	nmi(vcpu);
}

TEST(behind_a_shadow)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_two_outs, 0);

	if (device_is_stock() && !host_is_intel())
		SKIP(return, "on SVM the kernel's own KVM has the NMI wait for longer than the shadow");
	nmi_in_shadow(vcpu, KVM_X86_SHADOW_INT_MOV_SS);
	vcpu_run_exit(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(0, vcpu_regs(vcpu).rflags & 0x100);
	vcpu_run_done(vcpu);
}

static volatile u64 nmi_rip;

static __guest void note_nmi(struct trap_frame *f)
{
	nmis++;
	nmi_rip = f->rip;
}

static __guest void guest_sti_shadow(void)
{
	u64 shadowed;

	guest_handlers[2] = note_nmi;
	asm volatile("sti; out %%al, $0x80; 1: nop; nop; nop; cli; lea 1b(%%rip), %0"
		     : "=r"(shadowed) : : "memory");
	GUEST_ASSERT_EQ(1, nmis);
	GUEST_ASSERT_EQ(shadowed + 1, nmi_rip);
}

/*
 * In STI's shadow it comes behind the one instruction, and is not asked for by a window for NMIs:
 * a CPU may open that in the shadow, where the NMI can't go in, at each entry again.
 */
TEST(behind_sti)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_sti_shadow, 0);
	s64 windows;

	nmi_in_shadow(vcpu, KVM_X86_SHADOW_INT_STI);
	windows = vcpu_stat(vcpu, "nmi_window_exits");
	vcpu_run_done(vcpu);
	/* SVM has no such windows, but KVM counts what it does instead. */
	if (host_is_intel()) {
		EXPECT_EQ(windows, vcpu_stat(vcpu, "nmi_window_exits"));
	}
}

/* Masked by user space: pending until the guest's next IRET. */
static __guest void guest_masked(void)
{
	guest_handlers[2] = handle_nmi;
	GUEST_SYNC(1);			/* masked and pending now */
	asm volatile("nop; nop");
	GUEST_ASSERT_EQ(0, nmis);
	GUEST_ASSERT_EQ(TRAP(6, 0), TRY("ud2", ,));
	GUEST_ASSERT_EQ(1, nmis);
}

TEST(masked_by_user_space)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_masked, 0);
	struct kvm_vcpu_events ev;

	NEED_IRET_SEEN();
	vcpu_run_sync(vcpu, 1);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	ev.nmi.masked = 1;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	nmi(vcpu);
	vcpu_run_done(vcpu);
}

static int pending_nmis(struct vcpu *vcpu)
{
	struct kvm_vcpu_events ev;

	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	return ev.nmi.pending;
}

/* Two wait at most; while one is being handled, one. */
TEST(how_many_wait)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_vcpu_events ev;
	int i;

	for (i = 0; i < 4; i++)
		nmi(vcpu);
	/* KVM of 6.1 says no more than that there are some. */
	EXPECT_GE(pending_nmis(vcpu), 1);
	EXPECT_LE(pending_nmis(vcpu), 2);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	ev.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
	ev.nmi.pending = 0;
	ev.nmi.masked = 1;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	for (i = 0; i < 4; i++)
		nmi(vcpu);
	EXPECT_EQ(1, pending_nmis(vcpu));
}

/* Out of HLT, with interrupts off, in the kernel. */
static __guest void guest_halted(void)
{
	guest_handlers[2] = handle_nmi;
	xapic_enable();
	ioapic_route(20, 4 << 8);
	cli();
	GUEST_SYNC(1);
	hlt();
	GUEST_ASSERT_EQ(1, nmis);
}

/* A pin of the IOAPIC, for KVM_NMI waits for a vCPU that is in KVM_RUN. */
static void *nmi_later(void *arg)
{
	usleep(30000);
	vm_irq_line(arg, 20, 1);
	return NULL;
}

TEST(wakes_from_hlt)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_halted, 0);
	pthread_t thread;

	vcpu_run_sync(vcpu, 1);
	pthread_create(&thread, NULL, nmi_later, vm);
	vcpu_run_done(vcpu);
	pthread_join(thread, NULL);
}

/*
 * Interrupts a loop that never exits. With IF set, for Bochs keeps even the
 * host's own interrupts from a guest that loops without.
 */
static __guest void guest_spin(void)
{
	guest_handlers[2] = handle_nmi;
	xapic_enable();
	ioapic_route(20, 4 << 8);
	sti();
	GUEST_SYNC(1);
	while (!nmis)
		;
}

TEST(kicks_a_running_guest)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_spin, 0);
	pthread_t thread;

	vcpu_run_sync(vcpu, 1);
	pthread_create(&thread, NULL, nmi_later, vm);
	vcpu_run_done(vcpu);
	pthread_join(thread, NULL);
}

/* By the local APIC, to itself: delivery mode NMI. */
static __guest void guest_self(void)
{
	guest_handlers[2] = handle_nmi;
	xapic_enable();
	xapic_write(0x310, 0);
	xapic_write(0x300, 0x4400);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, nmis);
}

TEST(ipi)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_self, 0);

	vcpu_run_done(vcpu);
}

/* On a page that the host has taken away meanwhile: delivered once. */
static __guest void guest_delivery(void)
{
	int i;

	guest_handlers[2] = handle_nmi;
	sti();
	for (i = 0; i < 3; i++) {
		GUEST_SYNC(1);
		GUEST_ASSERT_EQ(i + 1, nmis);
	}
}

TEST(delivery_through_unmapped_pages)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_delivery, 0);
	int i;

	for (i = 0; i < DELIVERY_PAGES; i++) {
		vcpu_run_sync(vcpu, 1);
		vm_drop_page(vm, delivery_pages[i]);
		nmi(vcpu);
	}
	vcpu_run_done(vcpu);
}

TEST_HARNESS_MAIN
