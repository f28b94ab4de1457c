// SPDX-License-Identifier: GPL-2.0
/*
 * External interrupts without an in-kernel interrupt controller (KVM_INTERRUPT,
 * the window, shadows) and with one (KVM_IRQ_LINE through PIC and IOAPIC), and
 * HLT on both.
 */
#include <signal.h>
#include <sys/time.h>

#include "lib/test.h"

#define VECTOR 0x41

static volatile u64 interrupts, last_rip, last_vector;

static __guest void count_interrupt(struct trap_frame *f)
{
	interrupts++;
	last_rip = f->rip;
	last_vector = f->vector;
}

static int interrupt(struct vcpu *vcpu, u32 vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	return ioctl_errno(vcpu->fd, KVM_INTERRUPT, &irq);
}

/* ---- KVM_INTERRUPT ---- */

static __guest void guest_three(void)
{
	guest_handlers[VECTOR] = count_interrupt;
	GUEST_SYNC(1);			/* here it is queued, IF is clear */
	GUEST_ASSERT_EQ(0, interrupts);
	sti_nop_cli();
	GUEST_ASSERT_EQ(1, interrupts);
}

/*
 * Queued with IF clear is for the KVM_RUN after user space saw the window open;
 * KVM takes the vector whenever it is told to, so user space asks first.
 */
TEST(window)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_three, 0);

	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(0, vcpu->run->ready_for_interrupt_injection);
	EXPECT_EQ(0, vcpu->run->if_flag);
	vcpu->run->request_interrupt_window = 1;
	vcpu_run_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(1, vcpu->run->ready_for_interrupt_injection);
	EXPECT_EQ(1, vcpu->run->if_flag);
	EXPECT_EQ(0, guest_var(vm, interrupts));
	vcpu->run->request_interrupt_window = 0;
	ASSERT_EQ(0, interrupt(vcpu, VECTOR));
	vcpu_run_done(vcpu);
	EXPECT_EQ(1, guest_var(vm, interrupts));
	EXPECT_EQ(VECTOR, guest_var(vm, last_vector));
}

/* What was queued is in the vCPU's events until it is delivered. */
/* A TPR holds back what a LAPIC has: there is none, and what user space brings comes through. */
static __guest void guest_three_above_tpr(void)
{
	write_cr8(15);
	guest_three();
}

TEST(window_at_the_highest_tpr)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_three_above_tpr, 0);

	if (!host_is_intel())
		SKIP_ON_STOCK("has no window there on AMD hosts");
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(15, vcpu->run->cr8);
	vcpu->run->request_interrupt_window = 1;
	vcpu_run_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	vcpu->run->request_interrupt_window = 0;
	ASSERT_EQ(0, interrupt(vcpu, VECTOR));
	vcpu_run_done(vcpu);
	EXPECT_EQ(1, guest_var(vm, interrupts));
}

TEST(queued)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_three, 0);
	struct kvm_vcpu_events ev;

	vcpu_run_sync(vcpu, 1);
	ASSERT_EQ(0, interrupt(vcpu, VECTOR));
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(1, ev.interrupt.injected);
	EXPECT_EQ(VECTOR, ev.interrupt.nr);
	EXPECT_EQ(0, ev.interrupt.soft);
	ev.interrupt.injected = 0;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(0, ev.interrupt.injected);
}

/* No interrupt in the shadow of STI and of MOV SS: the window is behind it. */
static __guest void guest_sti_shadow(void)
{
	u64 shadowed;

	guest_handlers[VECTOR] = count_interrupt;
	GUEST_SYNC(1);
	asm volatile("sti; nop; 1: lea 1b(%%rip), %0; cli" : "=r"(shadowed) : : "memory");
	GUEST_ASSERT_EQ(1, interrupts);
	/* Not before the instruction that follows STI. */
	GUEST_ASSERT(last_rip >= shadowed);
}

TEST(sti_shadow)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_sti_shadow, 0);

	vcpu_run_sync(vcpu, 1);
	vcpu->run->request_interrupt_window = 1;
	vcpu_run_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	vcpu->run->request_interrupt_window = 0;
	ASSERT_EQ(0, interrupt(vcpu, VECTOR));
	vcpu_run_done(vcpu);
}

/* A shadow that user space sees and sets. */
static __guest void guest_shadow_exit(void)
{
	guest_handlers[VECTOR] = count_interrupt;
	/* The OUT is in STI's shadow when it exits. Completing it ends the shadow. */
	asm volatile("sti; outl %%eax, %%dx; nop; cli"
		     : : "a"(REPORT_SYNC), "d"(REPORT_PORT), "D"(1ul) : "memory");
	GUEST_ASSERT_EQ(1, interrupts);
}

TEST(shadow_at_an_exit)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_shadow_exit, 0);

	vcpu_run_sync(vcpu, 1);
	vcpu->run->request_interrupt_window = 1;
	vcpu_run_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	vcpu->run->request_interrupt_window = 0;
	ASSERT_EQ(0, interrupt(vcpu, VECTOR));
	vcpu_run_done(vcpu);
}

/* One that user space sets, as where a vCPU was saved in it: the window is behind one instruction. */
static __guest void guest_nops(void)
{
	asm volatile("outl %%eax, %%dx; nop; nop; nop; cli"
		     : : "a"(REPORT_SYNC), "d"(REPORT_PORT), "D"(1ul) : "memory");
}

TEST(shadow_at_an_entry)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_nops, 0);
	struct kvm_vcpu_events events;
	struct kvm_regs regs;

	vcpu_run_sync(vcpu, 1);
	vcpu_complete(vcpu);
	regs = vcpu_regs(vcpu);
	regs.rflags |= 0x200;
	do_ioctl(vcpu->fd, KVM_SET_REGS, &regs);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	events.flags = KVM_VCPUEVENT_VALID_SHADOW;
	events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	vcpu->run->request_interrupt_window = 1;
	vcpu_run_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(regs.rip + 1, vcpu_regs(vcpu).rip);
	vcpu->run->request_interrupt_window = 0;
	vcpu_run_done(vcpu);
}

/* User space is told which of the two: with IF clear, as behind the second, VMX knows no other. */
static __guest void guest_two_shadows(void)
{
	u64 ss;

	asm volatile("sti; outl %%eax, %%dx; cli"
		     : : "a"(REPORT_SYNC), "d"(REPORT_PORT), "D"(1ul) : "memory");
	asm volatile("mov %%ss, %0; mov %0, %%ss; outl %%eax, %%dx"
		     : "=&r"(ss) : "a"(REPORT_SYNC), "d"(REPORT_PORT), "D"(2ul) : "memory");
}

TEST(kinds_of_shadow)
{
	static const u8 shadows[] = { KVM_X86_SHADOW_INT_STI, KVM_X86_SHADOW_INT_MOV_SS };
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_two_shadows, 0);
	struct kvm_vcpu_events events;
	int i;

	for (i = 0; i < 2; i++) {
		vcpu_run_sync(vcpu, i + 1);
		do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
		/* SVM has one for both. */
		EXPECT_EQ(host_is_intel() ? shadows[i] : 3, events.interrupt.shadow);
	}
	vcpu_run_done(vcpu);
}

/* An endless loop of guest code: each KVM_RUN takes one interrupt. */
static __guest void guest_loop(void)
{
	guest_handlers[VECTOR] = count_interrupt;
	sti();
	while (interrupts < 20)
		asm volatile("mov $1000, %%ecx; 1: dec %%ecx; jnz 1b" : : : "ecx", "memory");
	cli();
}

TEST(many)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_loop, 0);
	int i;

	for (i = 0; i < 20; i++) {
		vcpu->run->request_interrupt_window = 1;
		vcpu_run_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
		ASSERT_EQ(i, guest_var(vm, interrupts));
		ASSERT_EQ(0, interrupt(vcpu, VECTOR));
	}
	vcpu->run->request_interrupt_window = 0;
	vcpu_run_done(vcpu);
}

/* CR8 exits tell user space, which then decides what may be injected. */
static __guest void guest_cr8(void)
{
	write_cr8(5);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(9, read_cr8());
	write_cr8(0);
}

TEST(cr8)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_cr8, 0);
	struct report r = vcpu_run(vcpu);

	/* Without an in-kernel APIC, lowering CR8 may be an exit of its own. */
	if (r.kind == REPORT_EXIT && r.exit == KVM_EXIT_SET_TPR)
		r = vcpu_run(vcpu);
	ASSERT_EQ(REPORT_SYNC, r.kind);
	EXPECT_EQ(5, vcpu->run->cr8);
	EXPECT_EQ(5, vcpu_sregs(vcpu).cr8);
	vcpu->run->cr8 = 9;
	r = vcpu_run(vcpu);
	if (r.kind == REPORT_EXIT) {
		ASSERT_EQ(KVM_EXIT_SET_TPR, r.exit);
		EXPECT_EQ(0, vcpu->run->cr8);
		r = vcpu_run(vcpu);
	}
	ASSERT_EQ(REPORT_DONE, r.kind);
}

/* ---- HLT ---- */

static __guest void guest_halt(void)
{
	guest_handlers[VECTOR] = count_interrupt;
	sti_hlt();
	GUEST_ASSERT_EQ(1, interrupts);
	cli();
	hlt();
	GUEST_ASSERT_EQ(1, interrupts);
}

/* Without an in-kernel APIC, HLT is user space's; running again is waking up. */
TEST(hlt_exit)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_halt, 0);

	vcpu_run_exit(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(1, vcpu->run->ready_for_interrupt_injection);
	ASSERT_EQ(0, interrupt(vcpu, VECTOR));
	vcpu_run_exit(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(0, vcpu->run->if_flag);
	vcpu_run_done(vcpu);
}

/* With it, HLT sleeps in the kernel until something comes: here, a signal. */
static void on_alarm(int sig)
{
}

static void alarm_in_ms(int ms)
{
	struct itimerval it = { .it_value.tv_usec = ms * 1000 };
	struct sigaction sa = { .sa_handler = on_alarm };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
}

static __guest void guest_halt_forever(void)
{
	cli();
	hlt();
}

TEST(hlt_in_kernel)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_halt_forever, 0);
	struct kvm_mp_state mp;

	alarm_in_ms(50);
	EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
	EXPECT_EQ(KVM_EXIT_INTR, vcpu->run->exit_reason);
	do_ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_HALTED, mp.mp_state);
	/* User space may wake it. */
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	do_ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp);
	vcpu_run_done(vcpu);
}

/*
 * A guest whose HLT is replaced in memory, by way of a page table, while its CPU
 * still has the old translation: it is for a CPU to say which of the two is
 * executed. Where HLT exits and does not say how long it is, it is not there any
 * more. Whatever becomes of that: who has halted stands behind HLT, not at it.
 */
asm(".pushsection .rodata\n"
    "remaps: mov %rsi, (%rdi)\n"
    "remapped: hlt\n"
    "ret\n"
    ".popsection\n");
extern char remaps[], remapped[];

#define REMAPPED_HLT	(GVA_TEST + (remapped - remaps))
#define PAGES_HLT	GUEST_FREE
#define PAGES_OTHER	(GUEST_FREE + 0x1000)
#define HALTS_AT_HLT	"halts also where it does not get past the HLT"

static __guest void not_the_hlt(struct trap_frame *f)
{
	GUEST_ASSERT_EQ(REMAPPED_HLT, f->rip);
	GUEST_DONE();
}

static __guest void guest_remap(u64 entry)
{
	void (*code)(u64 *pte, u64 entry) = (void *)GVA_TEST;

	guest_handlers[6] = not_the_hlt;
	guest_handlers[14] = not_the_hlt;
	code(guest_pte(GVA_TEST), entry);
}

/* As far as it gets; and is it said, in the way of such a VM, that it has halted? */
static bool remap_hlt(struct vcpu *vcpu, bool irqchip)
{
	struct kvm_mp_state mp;

	memcpy(guest_ptr(vcpu->vm, PAGES_HLT), remaps, 16);
	/* No instruction, of any CPU; the emulator knows nothing of it. */
	memcpy(guest_ptr(vcpu->vm, PAGES_OTHER) + (remapped - remaps), "\x0f\x04", 2);
	vm_map_page(vcpu->vm, GVA_TEST, PAGES_HLT, 0);
	alarm_in_ms(50);
	if (!vcpu_run_once(vcpu) && vcpu->run->exit_reason == KVM_EXIT_IO &&
	    vcpu_report(vcpu).kind != REPORT_DONE)
		die("neither HLT nor what replaced it");
	if (!irqchip)
		return vcpu->run->exit_reason == KVM_EXIT_HLT;
	do_ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp);
	return mp.mp_state == KVM_MP_STATE_HALTED;
}

TEST(hlt_undecodable)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_remap, PAGES_OTHER | PTE_P);

	SKIP_ON_STOCK(HALTS_AT_HLT);
	if (remap_hlt(vcpu, true)) {
		EXPECT_EQ(REMAPPED_HLT + 1, vcpu_regs(vcpu).rip);
	} else if (vcpu->run->exit_reason != KVM_EXIT_IO) {
		EXPECT_EQ(KVM_EXIT_INTERNAL_ERROR, vcpu->run->exit_reason);
	}
}

TEST(hlt_unmapped)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_remap, 0);

	SKIP_ON_STOCK(HALTS_AT_HLT);
	if (remap_hlt(vcpu, false)) {
		EXPECT_EQ(REMAPPED_HLT + 1, vcpu_regs(vcpu).rip);
	} else {
		EXPECT_EQ(KVM_EXIT_IO, vcpu->run->exit_reason);
	}
}

/* ---- PIC: GSI 0..15 as at reset ---- */

#define PIC1		0x20
#define PIC2		0xa0
#define PIC_BASE	0x50

static __guest void pic_interrupt(struct trap_frame *f)
{
	interrupts++;
	last_vector = f->vector;
	if (f->vector >= PIC_BASE + 8)
		outb(0x20, PIC2);
	outb(0x20, PIC1);
}

static __guest void pic_init(u8 mask1, u8 mask2)
{
	int i;

	for (i = 0; i < 16; i++)
		guest_handlers[PIC_BASE + i] = pic_interrupt;
	outb(0x11, PIC1);		/* ICW1: edge, cascade, ICW4 */
	outb(PIC_BASE, PIC1 + 1);
	outb(4, PIC1 + 1);
	outb(1, PIC1 + 1);
	outb(0x11, PIC2);
	outb(PIC_BASE + 8, PIC2 + 1);
	outb(2, PIC2 + 1);
	outb(1, PIC2 + 1);
	outb(mask1, PIC1 + 1);
	outb(mask2, PIC2 + 1);
}

static __guest void guest_pic(void)
{
	pic_init(0, 0);
	sti();
	GUEST_SYNC(1);		/* edge on 5 */
	GUEST_ASSERT_EQ(1, interrupts);
	GUEST_ASSERT_EQ(PIC_BASE + 5, last_vector);
	GUEST_SYNC(2);		/* still high: no second one */
	GUEST_ASSERT_EQ(1, interrupts);
	GUEST_SYNC(3);		/* down, up, down */
	GUEST_ASSERT_EQ(2, interrupts);
	GUEST_SYNC(4);		/* 12, through the cascade */
	GUEST_ASSERT_EQ(3, interrupts);
	GUEST_ASSERT_EQ(PIC_BASE + 12, last_vector);

	/* Masked: noted, and delivered on unmasking. */
	outb(1 << 5, PIC1 + 1);
	GUEST_SYNC(5);
	GUEST_ASSERT_EQ(3, interrupts);
	outb(0x0a, PIC1);	/* OCW3: read IRR */
	GUEST_ASSERT_EQ(1 << 5, inb(PIC1) & 1 << 5);
	outb(0, PIC1 + 1);
	asm volatile("nop");
	GUEST_ASSERT_EQ(4, interrupts);
	GUEST_ASSERT_EQ(PIC_BASE + 5, last_vector);

	/* Two at once with IF clear: the lower number first. */
	cli();
	GUEST_SYNC(6);		/* 7 and 3 */
	sti();
	asm volatile("nop");
	GUEST_ASSERT_EQ(6, interrupts);
	GUEST_ASSERT_EQ(PIC_BASE + 7, last_vector);
}

TEST(pic)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_pic, 0);

	vcpu_run_sync(vcpu, 1);
	vm_irq_line(vm, 5, 1);
	vcpu_run_sync(vcpu, 2);
	vm_irq_line(vm, 5, 1);
	vcpu_run_sync(vcpu, 3);
	vm_irq_line(vm, 5, 0);
	vm_irq_line(vm, 5, 1);
	vm_irq_line(vm, 5, 0);
	vcpu_run_sync(vcpu, 4);
	vm_irq_line(vm, 12, 1);
	vcpu_run_sync(vcpu, 5);
	vm_irq_line(vm, 12, 0);
	vm_irq_line(vm, 5, 1);
	vcpu_run_sync(vcpu, 6);
	vm_irq_line(vm, 7, 1);
	vm_irq_line(vm, 3, 1);
	vcpu_run_done(vcpu);
	EXPECT_EQ(6, guest_var(vm, interrupts));
}

/* A guest that sleeps in HLT is woken by a line that another thread raises. */
static __guest void guest_sleep(void)
{
	pic_init(0, 0);
	GUEST_SYNC(1);
	sti_hlt();
	GUEST_ASSERT_EQ(1, interrupts);
}

static void *raise_line(void *arg)
{
	usleep(30000);
	vm_irq_line(arg, 4, 1);
	return NULL;
}

TEST(wakes_from_hlt)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_sleep, 0);
	pthread_t thread;

	vcpu_run_sync(vcpu, 1);
	pthread_create(&thread, NULL, raise_line, vm);
	vcpu_run_done(vcpu);
	pthread_join(thread, NULL);
}

/* And a guest that runs is interrupted, though it never exits by itself. */
static __guest void guest_spin(void)
{
	pic_init(0, 0);
	GUEST_SYNC(1);
	sti();
	while (!interrupts)
		;
}

TEST(kicks_a_running_guest)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_spin, 0);
	pthread_t thread;

	vcpu_run_sync(vcpu, 1);
	pthread_create(&thread, NULL, raise_line, vm);
	vcpu_run_done(vcpu);
	pthread_join(thread, NULL);
}

/* ---- IOAPIC ---- */

#define IOAPIC_VECTOR	0x71

static volatile bool eoi_at_once;

static __guest void apic_interrupt(struct trap_frame *f)
{
	interrupts++;
	last_vector = f->vector;
	if (eoi_at_once)
		xapic_write(0xb0, 0);
}

static __guest void guest_ioapic(void)
{
	guest_handlers[IOAPIC_VECTOR] = apic_interrupt;
	eoi_at_once = true;
	xapic_enable();
	GUEST_ASSERT_EQ(0x17, ioapic_read(1) >> 16 & 0xff);	/* 24 pins */
	GUEST_ASSERT_EQ(1 << 16, ioapic_read(0x10 + 2 * 20) & 1 << 16);	/* masked at reset */
	sti();

	/* edge */
	ioapic_route(20, IOAPIC_VECTOR);
	GUEST_SYNC(1);		/* up */
	GUEST_ASSERT_EQ(1, interrupts);
	GUEST_SYNC(2);		/* down, up, down */
	GUEST_ASSERT_EQ(2, interrupts);

	/* level: once, and again after EOI for as long as the line is up */
	eoi_at_once = false;
	ioapic_route(20, IOAPIC_VECTOR | 1 << 15);
	GUEST_SYNC(3);		/* up */
	GUEST_ASSERT_EQ(3, interrupts);
	GUEST_ASSERT_EQ(1 << 14, ioapic_read(0x10 + 2 * 20) & 1 << 14);	/* remote IRR */
	GUEST_ASSERT_EQ(1u << (IOAPIC_VECTOR & 31), xapic_read(0x100 + (IOAPIC_VECTOR >> 5) * 16));
	xapic_write(0xb0, 0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(4, interrupts);
	GUEST_SYNC(4);		/* down */
	xapic_write(0xb0, 0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(4, interrupts);
	GUEST_ASSERT_EQ(0, ioapic_read(0x10 + 2 * 20) & 1 << 14);

	/* masked, then not */
	ioapic_route(20, IOAPIC_VECTOR | 1 << 15 | 1 << 16);
	GUEST_SYNC(5);		/* up */
	GUEST_ASSERT_EQ(4, interrupts);
	ioapic_route(20, IOAPIC_VECTOR | 1 << 15);
	asm volatile("nop");
	GUEST_ASSERT_EQ(5, interrupts);
}

TEST(ioapic)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_ioapic, 0);

	vcpu_run_sync(vcpu, 1);
	vm_irq_line(vm, 20, 1);
	vcpu_run_sync(vcpu, 2);
	vm_irq_line(vm, 20, 0);
	vm_irq_line(vm, 20, 1);
	vm_irq_line(vm, 20, 0);
	vcpu_run_sync(vcpu, 3);
	vm_irq_line(vm, 20, 1);
	vcpu_run_sync(vcpu, 4);
	vm_irq_line(vm, 20, 0);
	vcpu_run_sync(vcpu, 5);
	vm_irq_line(vm, 20, 1);
	vcpu_run_done(vcpu);
}

/* ---- priorities: TPR and CR8 ---- */

static __guest void guest_priorities(void)
{
	guest_handlers[0x61] = guest_handlers[0x91] = apic_interrupt;
	eoi_at_once = true;
	xapic_enable();
	sti();
	write_cr8(6);
	GUEST_ASSERT_EQ(0x60, xapic_read(0x80));
	xapic_write(0x300, 0x40061);		/* to self: not above the TPR's class */
	asm volatile("nop");
	GUEST_ASSERT_EQ(0, interrupts);
	xapic_write(0x300, 0x40091);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, interrupts);
	GUEST_ASSERT_EQ(0x91, last_vector);
	GUEST_ASSERT_EQ(0x60, xapic_read(0xa0));
	write_cr8(5);
	asm volatile("nop");
	GUEST_ASSERT_EQ(2, interrupts);
	GUEST_ASSERT_EQ(0x61, last_vector);

	/* In service, the higher one holds the lower one back. */
	eoi_at_once = false;
	xapic_write(0x80, 0);
	GUEST_ASSERT_EQ(0, read_cr8());
	xapic_write(0x300, 0x40091);
	asm volatile("nop");
	GUEST_ASSERT_EQ(3, interrupts);
	GUEST_ASSERT_EQ(0x90, xapic_read(0xa0));
	xapic_write(0x300, 0x40061);
	asm volatile("nop");
	GUEST_ASSERT_EQ(3, interrupts);
	GUEST_ASSERT_EQ(1u << 1, xapic_read(0x230));	/* IRR of 0x60..0x7f */
	xapic_write(0xb0, 0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(4, interrupts);
	GUEST_ASSERT_EQ(0x61, last_vector);
	xapic_write(0xb0, 0);
	GUEST_ASSERT_EQ(0, xapic_read(0xa0));
}

TEST(priorities)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_priorities, 0);

	vcpu_run_done(vcpu);
}

/* ---- errors: SDM vol. 3, 11.5.3 ---- */

static __guest u32 read_esr(void)
{
	xapic_write(0x280, 0);
	return xapic_read(0x280);
}

static __guest void guest_errors(void)
{
	guest_handlers[0xe1] = apic_interrupt;
	eoi_at_once = true;
	xapic_enable();
	xapic_write(0x370, 0xe1);
	sti();
	GUEST_ASSERT_EQ(0, read_esr());
	/* A vector below 16, to itself: sent, received, and told once. */
	xapic_write(0x300, 0x40005);
	xapic_write(0x300, 0x40005);
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, interrupts);
	GUEST_ASSERT_EQ(0xe1, last_vector);
	GUEST_ASSERT_EQ(0, xapic_read(0x200) & 0xffff);
	GUEST_ASSERT_EQ(0x60, read_esr());
	GUEST_ASSERT_EQ(0, read_esr());
	/* No such register. */
	xapic_read(0x3a0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(2, interrupts);
	GUEST_ASSERT_EQ(0x80, read_esr());
	/* Masked: nothing but the register tells. */
	xapic_write(0x370, 0x100e1);
	xapic_write(0x3a0, 0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(2, interrupts);
	GUEST_ASSERT_EQ(0x80, read_esr());
}

TEST(apic_errors)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_errors, 0);

	SKIP_ON_STOCK("detects no errors of a LAPIC's");
	vcpu_run_done(vcpu);
}

/* An interrupt that is under delivery when a page of it is missing is not lost. */
static __guest void guest_delivery(void)
{
	int i;

	guest_handlers[0x61] = apic_interrupt;
	eoi_at_once = true;
	xapic_enable();
	sti();
	for (i = 0; i < 3; i++) {
		GUEST_SYNC(1);
		xapic_write(0x300, 0x40061);
		asm volatile("nop");
		GUEST_ASSERT_EQ(i + 1, interrupts);
	}
}

TEST(delivery_through_unmapped_pages)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_delivery, 0);
	int i;

	for (i = 0; i < DELIVERY_PAGES; i++) {
		vcpu_run_sync(vcpu, 1);
		vm_drop_page(vm, delivery_pages[i]);
	}
	vcpu_run_done(vcpu);
}

TEST_HARNESS_MAIN
