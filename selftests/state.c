// SPDX-License-Identifier: GPL-2.0
/*
 * State in and out: each pair of ioctls gives back what was set, the guest sees
 * it, what the guest does is seen, and a vCPU that is rebuilt from what was read
 * goes on as if nothing had been.
 */
#include "lib/test.h"

/* ---- general registers ---- */

static volatile u64 guest_saw[16];

asm(".pushsection .text\n"
    "guest_regs:\n"
    "	mov	%rax, guest_saw\n"
    "	mov	%rbx, guest_saw + 8\n"
    "	mov	%rcx, guest_saw + 16\n"
    "	mov	%rdx, guest_saw + 24\n"
    "	mov	%rsi, guest_saw + 32\n"
    "	mov	%rdi, guest_saw + 40\n"
    "	mov	%rsp, guest_saw + 48\n"
    "	mov	%rbp, guest_saw + 56\n"
    "	mov	%r8, guest_saw + 64\n"
    "	mov	%r9, guest_saw + 72\n"
    "	mov	%r10, guest_saw + 80\n"
    "	mov	%r11, guest_saw + 88\n"
    "	mov	%r12, guest_saw + 96\n"
    "	mov	%r13, guest_saw + 104\n"
    "	mov	%r14, guest_saw + 112\n"
    "	mov	%r15, guest_saw + 120\n"
    "	not	%rbx\n"
    "	not	%r8\n"
    "	not	%r15\n"
    "	not	%rbp\n"
    "	out	%al, $0x10\n"
    ".popsection");
extern char guest_regs[];

TEST(regs)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_regs, 0);
	struct kvm_regs set, got;
	u64 *r = (u64 *)&set;
	int i;

	for (i = 0; i < 16; i++)
		r[i] = 0x1111111111111111ull * i + 0x8000000000000001;
	set.rsp = GUEST_FREE + 0x1230;
	set.rip = (u64)guest_regs;
	set.rflags = 0x246;
	do_ioctl(vcpu->fd, KVM_SET_REGS, &set);
	do_ioctl(vcpu->fd, KVM_GET_REGS, &got);
	EXPECT_EQ(0, memcmp(&set, &got, sizeof(set)));
	vcpu_run_exit(vcpu, KVM_EXIT_IO);
	/* struct kvm_regs has them in the order in which the guest stores them. */
	for (i = 0; i < 16; i++) {
		EXPECT_EQ(r[i], guest_var(vm, guest_saw)[i]) TH_LOG("register %d", i);
	}
	do_ioctl(vcpu->fd, KVM_GET_REGS, &got);
	EXPECT_EQ(~set.rbx, got.rbx);
	EXPECT_EQ(~set.r8, got.r8);
	EXPECT_EQ(~set.r15, got.r15);
	EXPECT_EQ(~set.rbp, got.rbp);
	EXPECT_EQ(set.rcx, got.rcx);
	EXPECT_EQ(set.rsp, got.rsp);
	EXPECT_EQ(set.rflags, got.rflags);
	/* Bit 1 of RFLAGS is always set. */
	set.rflags = 0;
	do_ioctl(vcpu->fd, KVM_SET_REGS, &set);
	EXPECT_EQ(2, vcpu_regs(vcpu).rflags & 2);
}

/* ---- segments and control registers ---- */

static __guest void guest_sregs(void)
{
	struct __attribute__((packed)) { u16 limit; u64 base; } gdt, idt;
	u16 tr, ldt, ds, fs;

	asm volatile("sgdt %0; sidt %1; str %2; sldt %3; mov %%ds, %4; mov %%fs, %5"
		     : "=m"(gdt), "=m"(idt), "=m"(tr), "=m"(ldt), "=m"(ds), "=m"(fs));
	GUEST_ASSERT_EQ(GUEST_CPU(0) + GUEST_CPU_GDT, gdt.base);
	GUEST_ASSERT_EQ(0x7f, gdt.limit);
	GUEST_ASSERT_EQ(GUEST_IDT, idt.base);
	GUEST_ASSERT_EQ(SEL_TSS, tr);
	GUEST_ASSERT_EQ(0x48, ldt);
	GUEST_ASSERT_EQ(SEL_DATA, ds);
	GUEST_ASSERT_EQ(SEL_USER_DATA, fs);
	GUEST_ASSERT_EQ(0x1234567000, rdmsr(0xc0000100));
	GUEST_ASSERT_EQ(0x1234, read_cr2());
	/* And what the guest loads is what user space reads. */
	asm volatile("mov %0, %%gs" : : "r"(SEL_USER_DATA));
	wrmsr(0xc0000101, 0xffff800000001000);
	asm volatile("mov %0, %%cr2" : : "r"(0xabcdul));
	gdt.limit = 0x6f;
	asm volatile("lgdt %0" : : "m"(gdt));
	GUEST_SYNC(1);
}

TEST(sregs)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_sregs, 0);
	struct kvm_sregs s = vcpu_sregs(vcpu), got;

	s.gdt.limit = 0x7f;
	s.cr2 = 0x1234;
	s.fs.base = 0x1234567000;
	s.fs.selector = SEL_USER_DATA;
	s.fs.dpl = 3;
	s.ldt.selector = 0x48;
	s.ldt.base = GUEST_FREE;
	s.ldt.limit = 0xffff;
	s.ldt.type = 2;
	s.ldt.present = 1;
	s.ldt.unusable = 0;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &s);
	got = vcpu_sregs(vcpu);
	EXPECT_EQ(s.fs.base, got.fs.base);
	EXPECT_EQ(s.fs.dpl, got.fs.dpl);
	EXPECT_EQ(s.ldt.base, got.ldt.base);
	EXPECT_EQ(s.ldt.limit, got.ldt.limit);
	EXPECT_EQ(s.gdt.limit, got.gdt.limit);
	EXPECT_EQ(s.cr0, got.cr0);
	EXPECT_EQ(s.cr2, got.cr2);
	EXPECT_EQ(s.cr3, got.cr3);
	EXPECT_EQ(s.cr4, got.cr4);
	EXPECT_EQ(s.efer, got.efer);
	EXPECT_EQ(s.apic_base, got.apic_base);
	vcpu_run_sync(vcpu, 1);
	got = vcpu_sregs(vcpu);
	EXPECT_EQ(SEL_USER_DATA, got.gs.selector);
	EXPECT_EQ(3, got.gs.dpl);
	EXPECT_EQ(0xffff800000001000, got.gs.base);
	EXPECT_EQ(0xabcd, got.cr2);
	EXPECT_EQ(0x6f, got.gdt.limit);
	EXPECT_EQ(1, got.cs.l);
	EXPECT_EQ(0, got.cs.db);
	vcpu_run_done(vcpu);
}

/* All is kept, but the D/B bit of a null SS, which AMD has cleared for VMX, where such a state may go. */
TEST(unusable_segments)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_sregs s = vcpu_sregs(vcpu);

	s.ss.present = s.es.present = 0;
	s.ss.unusable = s.es.unusable = 1;
	s.ss.db = s.es.db = 1;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &s);
	s = vcpu_sregs(vcpu);
	EXPECT_EQ(host_is_intel(), s.ss.db);
	EXPECT_EQ(1, s.es.db);
	EXPECT_EQ(1, s.es.unusable);
	EXPECT_EQ(0, s.es.present);
}

/* ---- PDPTEs, which a CPU loads with CR3 and keeps ---- */

#define PAE_CODE	GUEST_LOW
#define PAE_PDPT	(GUEST_LOW + 0x1000)
#define PAE_PD(i)	(GUEST_LOW + 0x2000 + (i) * 0x1000)
#define PAE_PAGE(i)	(GUEST_FREE + (i) * HUGE_SIZE)

#define LOAD_OUT	"\xa1\x00\x00\x00\x40\xe7\x80"		/* MOV EAX, [1G]; OUT 0x80, EAX */
#define CHANGE_CR4	"\x0f\x20\xe0\x35\x00\x04\x00\x00\x0f\x22\xe0"	/* XOR of OSXMMEXCPT */
#define LOAD_CR3	"\x0f\x20\xd8\x0f\x22\xd8"

static const char pae_code[] = LOAD_OUT CHANGE_CR4 LOAD_OUT LOAD_CR3 LOAD_OUT CHANGE_CR4 LOAD_OUT;

static void pae_start(struct vcpu *vcpu)
{
	u64 *pdpt = guest_ptr(vcpu->vm, PAE_PDPT);
	struct kvm_sregs s;

	memcpy(guest_ptr(vcpu->vm, PAE_CODE), pae_code, sizeof(pae_code));
	for (int i = 0; i < 2; i++) {
		*(u64 *)guest_ptr(vcpu->vm, PAE_PD(i)) = PAE_PAGE(i) | PTE_P | PTE_PS;
		*(u32 *)guest_ptr(vcpu->vm, PAE_PAGE(i)) = i;
	}
	pdpt[0] = (GUEST_PML4 + 0x2000) | PTE_P;
	pdpt[1] = PAE_PD(0) | PTE_P;
	pdpt[2] = pdpt[3] = 0;
	vcpu_start32(vcpu, PAE_CODE);
	s = vcpu_sregs(vcpu);
	s.cr3 = PAE_PDPT;
	s.cr4 = 1 << 5;
	s.cr0 |= 1u << 31;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &s);
}

static u32 pae_page(struct vcpu *vcpu)
{
	vcpu_run_exit(vcpu, KVM_EXIT_IO);
	return *(u32 *)((char *)vcpu->run + vcpu->run->io.data_offset);
}

static u64 pae_translated(struct vcpu *vcpu)
{
	struct kvm_translation t = { .linear_address = 1ul << 30 };

	do_ioctl(vcpu->fd, KVM_TRANSLATE, &t);
	return t.valid ? t.physical_address : 0;
}

/*
 * To look at them loads none, nor does what is refused, and a walk in software is by
 * what the CPU has: SDM vol. 3, 4.4.1.
 */
TEST(pdptes)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_sregs2 s;

	if (!host_is_intel())
		SKIP(return, "SVM's nested paging reads them from memory");
	pae_start(vcpu);
	EXPECT_EQ(0, pae_page(vcpu));
	((u64 *)guest_ptr(vm, PAE_PDPT))[1] = PAE_PD(1) | PTE_P;
	do_ioctl(vcpu->fd, KVM_GET_SREGS2, &s);
	EXPECT_EQ(PAE_PD(0) | PTE_P, s.pdptrs[1]);	/* the CPU's own */
	EXPECT_EQ(PAE_PAGE(0), pae_translated(vcpu));
	EXPECT_EQ(0, pae_page(vcpu));
	EXPECT_EQ(1, pae_page(vcpu));
	EXPECT_EQ(PAE_PAGE(1), pae_translated(vcpu));
	s.pdptrs[1] = PAE_PD(0) | PTE_P;
	s.cr4 |= 1ull << 31;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_SREGS2, &s));
	EXPECT_EQ(1, pae_page(vcpu));
}

/*
 * QEMU's CPU marks PDPTEs as accessed; what it has gone through, a walk in software can. On VMX
 * they are in registers, and what is done to them in memory takes nothing from the guest.
 */
TEST(accessed_pdpte)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);

	pae_start(vcpu);
	((u64 *)guest_ptr(vm, PAE_PDPT))[1] |= 1 << 5;
	EXPECT_EQ(PAE_PAGE(0), pae_translated(vcpu));
}

/* Long mode prepared, PAE not yet: the exit must not leave any of that to the host. */
TEST(long_mode_without_pae)
{
	struct vcpu *vcpu = vcpu_create(vm_create(0), 0, NULL, 0);
	struct kvm_sregs s;

	memcpy(guest_ptr(vcpu->vm, GUEST_LOW), "\xe7\x80\xf4", 3);	/* OUT 0x80, EAX; HLT */
	vcpu_start32(vcpu, GUEST_LOW);
	s = vcpu_sregs(vcpu);
	s.efer = 1 << 8;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &s);
	vcpu_run_exit(vcpu, KVM_EXIT_IO);
	vcpu_run_exit(vcpu, KVM_EXIT_HLT);
	s = vcpu_sregs(vcpu);
	EXPECT_EQ(1 << 8, s.efer);
	EXPECT_EQ(0, s.cr4);
}

/* At creation: what a CPU is after RESET (SDM 3A, table 9-1). */
TEST(at_reset)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_sregs s = vcpu_sregs(vcpu);
	struct kvm_regs r = vcpu_regs(vcpu);
	struct kvm_debugregs d;

	EXPECT_EQ(0xfff0, r.rip);
	EXPECT_EQ(2, r.rflags);
	EXPECT_EQ(0, r.rax | r.rbx | r.rcx | r.rsp | r.rsi | r.r15);
	EXPECT_EQ(0xf000, s.cs.selector);
	EXPECT_EQ(0xffff0000, s.cs.base);
	EXPECT_EQ(0xffff, s.cs.limit);
	EXPECT_EQ(0, s.ds.base | s.ds.selector | s.ss.selector);
	EXPECT_EQ(0x60000010, s.cr0);
	EXPECT_EQ(0, s.cr2 | s.cr3 | s.cr4 | s.cr8 | s.efer);
	EXPECT_EQ(0xffff, s.gdt.limit);
	EXPECT_EQ(0xffff, s.idt.limit);
	EXPECT_EQ(0xfee00900, s.apic_base);
	do_ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &d);
	EXPECT_EQ(0xffff0ff0, d.dr6);
	EXPECT_EQ(0x400, d.dr7);
}

/* ---- events ---- */

TEST(vcpu_events)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_vcpu_events ev, got;

	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(0, ev.exception.injected | ev.interrupt.injected | ev.nmi.injected);
	EXPECT_NE(0, ev.flags & KVM_VCPUEVENT_VALID_SHADOW);
	ev.exception.injected = 1;
	ev.exception.nr = 13;
	ev.exception.has_error_code = 1;
	ev.exception.error_code = 0x1234;
	ev.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	ev.flags = KVM_VCPUEVENT_VALID_SHADOW;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &got);
	EXPECT_EQ(1, got.exception.injected);
	EXPECT_EQ(13, got.exception.nr);
	EXPECT_EQ(1, got.exception.has_error_code);
	EXPECT_EQ(0x1234, got.exception.error_code);
	EXPECT_NE(0, got.interrupt.shadow);
	memset(&ev, 0, sizeof(ev));
	ev.flags = KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &got);
	EXPECT_EQ(0, got.exception.injected);
	EXPECT_EQ(0, got.interrupt.shadow);
}

/* Shadow set by user space: the first instruction is not interrupted. */
static volatile u64 hit_rip;

static __guest void note(struct trap_frame *f)
{
	hit_rip = f->rip;
}

static __guest void guest_shadow(void)
{
	u64 next;

	guest_handlers[0x41] = note;
	sti();
	GUEST_SYNC(1);
	asm volatile("nop; lea (%%rip), %0; nop" : "=r"(next));
	GUEST_ASSERT(hit_rip != 0);
}

TEST(interrupt_set_as_event)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_shadow, 0);
	struct kvm_vcpu_events ev;

	vcpu_run_sync(vcpu, 1);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	ev.interrupt.injected = 1;
	ev.interrupt.nr = 0x41;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	vcpu_run_done(vcpu);
}

/* ---- debug registers ---- */

TEST(debugregs)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_debugregs set = {
		.db = { 0x1000, 0x2000, 0xffff800000003000, 0x4000 },
		.dr6 = 0xffff0ff0 | 1 << 14, .dr7 = 0xdd0400,
	}, got;

	do_ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &set);
	do_ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &got);
	EXPECT_EQ(0, memcmp(set.db, got.db, sizeof(set.db)));
	EXPECT_EQ(set.dr6, got.dr6);
	EXPECT_EQ(set.dr7, got.dr7);
}

/* Bits that are always 1 (SDM vol. 3, 17.2.3 and 17.2.4): those of optional features are left out. */
static __guest void guest_fixed_debugregs(void)
{
	GUEST_ASSERT_EQ(0xfffe07f0, read_dr6() & 0xfffe07f0);
	GUEST_ASSERT_EQ(0x400, read_dr7());
}

TEST(debugregs_as_no_cpu_has_them)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_fixed_debugregs, 0);
	struct kvm_debugregs zero = { 0 };

	SKIP_ON_STOCK("lets the guest read what user space set");
	do_ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &zero);
	vcpu_run_done(vcpu);
}

/* ---- interrupt controllers ---- */

TEST(irqchips)
{
	struct vm *vm = vm_create(VM_PIT);
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC }, got;
	int i;

	do_ioctl(vm->fd, KVM_GET_IRQCHIP, &chip);
	EXPECT_EQ(IOAPIC_PHYS, chip.chip.ioapic.base_address);
	EXPECT_EQ(1 << 16, chip.chip.ioapic.redirtbl[5].bits & 1 << 16);
	chip.chip.ioapic.redirtbl[5].bits = 0x0300000000008071;
	chip.chip.ioapic.id = 3;
	do_ioctl(vm->fd, KVM_SET_IRQCHIP, &chip);
	got.chip_id = KVM_IRQCHIP_IOAPIC;
	do_ioctl(vm->fd, KVM_GET_IRQCHIP, &got);
	EXPECT_EQ(0x0300000000008071, got.chip.ioapic.redirtbl[5].bits);
	EXPECT_EQ(3, got.chip.ioapic.id);

	for (i = 0; i < 2; i++) {
		chip.chip_id = i;
		do_ioctl(vm->fd, KVM_GET_IRQCHIP, &chip);
		chip.chip.pic.imr = 0xa0 + i;
		chip.chip.pic.irq_base = 0x50 + 8 * i;
		chip.chip.pic.auto_eoi = 1;
		do_ioctl(vm->fd, KVM_SET_IRQCHIP, &chip);
		got.chip_id = i;
		do_ioctl(vm->fd, KVM_GET_IRQCHIP, &got);
		EXPECT_EQ(0, memcmp(&chip.chip.pic, &got.chip.pic, sizeof(chip.chip.pic)));
	}
}

TEST(lapic)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_lapic_state l, got;
	u32 *regs = (u32 *)l.regs;

	do_ioctl(vcpu->fd, KVM_GET_LAPIC, &l);
	EXPECT_EQ(0, regs[0x20 / 4]);				/* id */
	EXPECT_EQ(0x14, regs[0x30 / 4] & 0xff);			/* version */
	EXPECT_EQ(0xff, regs[0xf0 / 4]);			/* software-disabled */
	EXPECT_EQ(~0u, regs[0xe0 / 4]);
	EXPECT_EQ(1 << 16, regs[0x320 / 4]);
	regs[0xf0 / 4] = 0x1ff;
	regs[0x80 / 4] = 0x40;
	regs[0x350 / 4] = 0x700;				/* LINT0: ExtINT */
	regs[0x370 / 4] = 0xfe;
	regs[0xd0 / 4] = 1 << 24;
	regs[0x230 / 4] = 1 << 2;				/* IRR: 0x62 */
	do_ioctl(vcpu->fd, KVM_SET_LAPIC, &l);
	do_ioctl(vcpu->fd, KVM_GET_LAPIC, &got);
	EXPECT_EQ(0x1ff, *(u32 *)(got.regs + 0xf0));
	EXPECT_EQ(0x40, *(u32 *)(got.regs + 0x80));
	EXPECT_EQ(0x700, *(u32 *)(got.regs + 0x350));
	EXPECT_EQ(0xfe, *(u32 *)(got.regs + 0x370));
	EXPECT_EQ(1 << 24, *(u32 *)(got.regs + 0xd0));
	EXPECT_EQ(1 << 2, *(u32 *)(got.regs + 0x230));
	EXPECT_EQ(4, vcpu_sregs(vcpu).cr8);
}

/* ---- all of a vCPU into another ---- */

#define NR_MSRS 512

struct saved {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp;
	struct kvm_vcpu_events events;
	struct { struct kvm_msrs head; struct kvm_msr_entry e[NR_MSRS]; } msrs;
};

static void list_msrs(struct saved *s)
{
	struct { struct kvm_msr_list head; u32 indices[NR_MSRS]; } list = { .head.nmsrs = NR_MSRS };
	int fd = device_open();
	u32 i;

	do_ioctl(fd, KVM_GET_MSR_INDEX_LIST, &list);
	close(fd);
	s->msrs.head.nmsrs = list.head.nmsrs;
	for (i = 0; i < list.head.nmsrs; i++)
		s->msrs.e[i].index = list.indices[i];
}

static void save(struct vcpu *vcpu, struct saved *s)
{
	memset(s, 0, sizeof(*s));
	list_msrs(s);
	do_ioctl(vcpu->fd, KVM_GET_REGS, &s->regs);
	do_ioctl(vcpu->fd, KVM_GET_SREGS, &s->sregs);
	do_ioctl(vcpu->fd, KVM_GET_FPU, &s->fpu);
	do_ioctl(vcpu->fd, KVM_GET_XSAVE, &s->xsave);
	do_ioctl(vcpu->fd, KVM_GET_XCRS, &s->xcrs);
	do_ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &s->debugregs);
	do_ioctl(vcpu->fd, KVM_GET_LAPIC, &s->lapic);
	do_ioctl(vcpu->fd, KVM_GET_MP_STATE, &s->mp);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &s->events);
	if (do_ioctl(vcpu->fd, KVM_GET_MSRS, &s->msrs) != (int)s->msrs.head.nmsrs)
		die("not all MSRs of the list can be read");
}

static void restore(struct vcpu *vcpu, struct saved *s)
{
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &s->sregs);
	do_ioctl(vcpu->fd, KVM_SET_REGS, &s->regs);
	do_ioctl(vcpu->fd, KVM_SET_XSAVE, &s->xsave);
	do_ioctl(vcpu->fd, KVM_SET_XCRS, &s->xcrs);
	do_ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &s->debugregs);
	if (do_ioctl(vcpu->fd, KVM_SET_MSRS, &s->msrs) != (int)s->msrs.head.nmsrs)
		die("not all MSRs of the list can be written");
	do_ioctl(vcpu->fd, KVM_SET_LAPIC, &s->lapic);
	do_ioctl(vcpu->fd, KVM_SET_MP_STATE, &s->mp);
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &s->events);
}

/* Runs a deterministic calculation over all kinds of registers, with stops. */
static __guest void guest_calculate(void)
{
	u64 x = 1, i, xmm[2] = { 1, 2 };

	wrmsr(0xc0000102, 0x1000);
	write_dr0(0);
	for (i = 0; i < 40; i++) {
		asm volatile("movups %0, %%xmm3" : : "m"(xmm));
		asm volatile("fld1");
		wrmsr(0xc0000102, rdmsr(0xc0000102) + 16);
		write_dr0(read_dr0() + 3);
		x = x * 6364136223846793005 + 1442695040888963407;
		GUEST_SYNC(i);
		asm volatile("movups %%xmm3, %0" : "=m"(xmm));
		xmm[0] += x;
		xmm[1] ^= xmm[0];
		asm volatile("fstp %st(0)");
	}
	GUEST_ASSERT_EQ(0x1000 + 40 * 16, rdmsr(0xc0000102));
	GUEST_ASSERT_EQ(40 * 3, read_dr0());
	GUEST_VALUE(x ^ xmm[0] ^ xmm[1]);
}

static u64 calculate(int moves)
{
	static struct saved s;
	struct vm *vm = vm_create(VM_IRQCHIP), *next;
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_calculate, 0);
	u64 i, result;

	for (i = 0; i < 40; i++) {
		vcpu_run_sync(vcpu, i);
		if (!moves || i % (40 / moves))
			continue;
		/* The OUT of the stop must be completed before its state is whole. */
		vcpu_complete(vcpu);
		save(vcpu, &s);
		next = vm_create(VM_BARE | VM_IRQCHIP);
		next->ram = vm->ram;
		vm->ram = NULL;
		vcpu_free(vcpu);
		vm_free(vm);
		if (vm_set_slot(next, 0, 0, 0, GUEST_MEMORY, next->ram))
			die("the memory cannot be handed over");
		vm = next;
		vcpu = vcpu_create(vm, 0, NULL, 0);
		restore(vcpu, &s);
	}
	result = vcpu_run_value(vcpu);
	vcpu_free(vcpu);
	vm_free(vm);
	return result;
}

TEST(moved_to_another_vm)
{
	EXPECT_EQ(calculate(0), calculate(8));
}

/* Save, restore into a fresh vCPU, save: the same, but for clocks that run on. */
static bool runs_on(u32 msr)
{
	return msr == 0x10 || msr == 0x3b || msr == 0xe7 || msr == 0xe8 || msr == 0x40000010 ||
	       msr == 0x40000020 || msr == 0x40000021;
}

TEST(saved_twice)
{
	static struct saved a, b;
	struct vm *vm = vm_create(VM_IRQCHIP), *other = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_calculate, 0);
	struct vcpu *copy = vcpu_create(other, 0, NULL, 0);
	u32 i;

	vcpu_run_sync(vcpu, 0);
	vcpu->run->immediate_exit = 1;
	vcpu_run_once(vcpu);
	save(vcpu, &a);
	restore(copy, &a);
	save(copy, &b);
	EXPECT_EQ(0, memcmp(&a.regs, &b.regs, sizeof(a.regs)));
	EXPECT_EQ(0, memcmp(&a.sregs, &b.sregs, sizeof(a.sregs)));
	EXPECT_EQ(0, memcmp(&a.fpu, &b.fpu, sizeof(a.fpu)));
	EXPECT_EQ(0, memcmp(&a.xsave, &b.xsave, sizeof(a.xsave)));
	EXPECT_EQ(0, memcmp(&a.xcrs, &b.xcrs, sizeof(a.xcrs)));
	EXPECT_EQ(0, memcmp(&a.debugregs, &b.debugregs, sizeof(a.debugregs)));
	EXPECT_EQ(0, memcmp(&a.lapic, &b.lapic, sizeof(a.lapic)));
	EXPECT_EQ(0, memcmp(&a.events, &b.events, sizeof(a.events)));
	EXPECT_EQ(a.mp.mp_state, b.mp.mp_state);
	ASSERT_EQ(a.msrs.head.nmsrs, b.msrs.head.nmsrs);
	for (i = 0; i < a.msrs.head.nmsrs; i++) {
		if (runs_on(a.msrs.e[i].index))
			continue;
		EXPECT_EQ(a.msrs.e[i].data, b.msrs.e[i].data) {
			TH_LOG("MSR %#x", a.msrs.e[i].index);
		}
	}
}

/* A timer goes on from the count that it was restored with. */
TEST(lapic_timer_count)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	static const struct { u32 reg, value; } timer[] = {
		{ 0xf0, 0x1ff },		/* enabled */
		{ 0x320, 0x20 },		/* one-shot */
		{ 0x3e0, 0xa },			/* by 128 */
		{ 0x380, 0xffffffff },		/* from here, */
		{ 0x390, 0x80000000 },		/* and half of it is over */
	};
	struct kvm_lapic_state s;
	u32 count;
	int i;

	do_ioctl(vcpu->fd, KVM_GET_LAPIC, &s);
	for (i = 0; i < ARRAY_SIZE(timer); i++)
		*(u32 *)(s.regs + timer[i].reg) = timer[i].value;
	do_ioctl(vcpu->fd, KVM_SET_LAPIC, &s);
	usleep(1000);
	do_ioctl(vcpu->fd, KVM_GET_LAPIC, &s);
	count = *(u32 *)(s.regs + 0x390);
	EXPECT_LT(count, 0x80000000);
	EXPECT_GT(count, 0x40000000);
}

TEST_HARNESS_MAIN
