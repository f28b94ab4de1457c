// SPDX-License-Identifier: GPL-2.0
/*
 * Guests that do what no guest should: random code, bad descriptor tables and
 * control registers, every MSR number, state that user space makes up. Each must
 * end in an exit or be stopped by a signal, and the host must not be the worse
 * for it: no splat, and another VM still runs.
 *
 * Seeds are fixed, so that what fails once fails again; MINIKVM_SEED is another.
 */
#include <signal.h>
#include <sys/time.h>

#include "lib/random.h"
#include "lib/test.h"

/* ---- random numbers ---- */

static u64 seed;

static u64 rnd(void)
{
	return xorshift(&seed);
}

static void seed_with(u64 n)
{
	seed = option("MINIKVM_SEED", 0x9e3779b97f4a7c15) + n * 0x2545f4914f6cdd1d;
}

/* ---- the host ---- */

static __guest void guest_nothing(void)
{
}

FIXTURE(wild) {
	long splats;
	struct vm *vm;
	struct vcpu *vcpu;
};

FIXTURE_VARIANT(wild) {
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(wild, plain) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(wild, irqchip) {
	.flags = VM_PIT,
};

static void on_alarm(int sig)
{
}

FIXTURE_SETUP(wild)
{
	struct sigaction sa = { .sa_handler = on_alarm };

	self->splats = host_splats();
	sigaction(SIGALRM, &sa, NULL);
	self->vm = vm_create(variant->flags);
	self->vcpu = vcpu_create(self->vm, 0, NULL, 0);
}

/* Nothing in the host's log, and a well-behaved guest beside this one still runs. */
FIXTURE_TEARDOWN(wild)
{
	struct vm *vm = vm_create(VM_PIT);

	vcpu_run_done(vcpu_create(vm, 0, guest_nothing, 0));
	EXPECT_EQ(self->splats, host_splats());
}

/*
 * Run for a while, answering whatever can be answered. Whether the guest gets
 * anywhere does not matter; KVM_RUN must return, with an errno that it has.
 */
static int run_wild(struct __test_metadata *_metadata, struct vcpu *vcpu, int ms, int exits)
{
	struct itimerval it = { { 0, 5000 }, { 0, ms * 1000 } }, off = { 0 };
	struct kvm_run *run = vcpu->run;
	int err = 0;

	setitimer(ITIMER_REAL, &it, NULL);
	while (!err && exits--) {
		err = vcpu_run_once(vcpu);
		if (err)
			break;
		if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write) {
			EXPECT_LE(run->mmio.len, 8);
			memset(run->mmio.data, 0xff, 8);
		} else if (run->exit_reason == KVM_EXIT_IO) {
			EXPECT_LE(run->io.data_offset + run->io.count * run->io.size,
				  vcpu->run_size);
		} else if (run->exit_reason != KVM_EXIT_MMIO) {
			break;
		}
	}
	setitimer(ITIMER_REAL, &off, NULL);
	EXPECT_TRUE(err == 0 || err == EINTR || err == EFAULT || err == EAGAIN || err == EINVAL) {
		TH_LOG("KVM_RUN: %s", strerror(err));
	}
	return err;
}

/* ---- random code ---- */

#define CODE	GUEST_FREE
#define BYTES	512

/* Not IRET: it may enter virtual-8086 mode, and Bochs's SVM ends Bochs there. */
static void random_code(u8 *code)
{
	int i;

	for (i = 0; i < BYTES; i++) {
		code[i] = rnd() >> 20;
		if (code[i] == 0xcf)
			code[i] = 0x90;
	}
	/* Most random code dies of its first bytes; help it to something interesting. */
	for (i = 0; i < BYTES - 8; i += 8 + rnd() % 24) {
		static const char *const starts[] = {
			"\x0f\x22", "\x0f\x20", "\x0f\x23", "\x0f\x30", "\x0f\x32", "\x0f\x01",
			"\x0f\x00", "\x0f\xa2", "\xf3\xa4", "\xf3\x6c", "\xf3\x6e", "\xe4\x42",
			"\xe6\x43", "\xec\x90", "\xef\x90", "\x0f\xae", "\x0f\xc7", "\x8e\xd8",
		};

		memcpy(code + i, starts[rnd() % ARRAY_SIZE(starts)], 2);
	}
}

static void random_regs(struct vcpu *vcpu, struct kvm_regs *regs)
{
	u64 *r = (u64 *)regs;
	int i;

	for (i = 0; i < 16; i++)
		r[i] = rnd() & 1 ? rnd() % GUEST_MEMORY : rnd() & 2 ? rnd() & 0xffff : rnd();
	regs->rsp = CODE + 0x8000;
	regs->rflags = 0x202;
}

static void run_random(struct __test_metadata *_metadata, struct vcpu *vcpu, int mode, int n)
{
	struct kvm_regs regs;
	struct kvm_sregs s;
	u64 code = mode == 64 ? CODE : GUEST_LOW;

	seed_with(n * 3 + mode);
	random_code(guest_ptr(vcpu->vm, code));
	if (mode == 64)
		vcpu_start64(vcpu, (void *)code, 0);
	else if (mode == 32)
		vcpu_start32(vcpu, code);
	else
		vcpu_start16(vcpu, code);
	s = vcpu_sregs(vcpu);
	s.idt.limit = 0;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &s);
	random_regs(vcpu, &regs);
	regs.rip = code;
	if (mode == 16)
		regs.rsp = 0x8000;
	do_ioctl(vcpu->fd, KVM_SET_REGS, &regs);
	run_wild(_metadata, vcpu, 10, 50);
}

TEST_F(wild, random_code_64)
{
	int i;

	for (i = 0; i < 60; i++)
		run_random(_metadata, self->vcpu, 64, i);
}

TEST_F(wild, random_code_32)
{
	int i;

	for (i = 0; i < 60; i++)
		run_random(_metadata, self->vcpu, 32, i);
}

TEST_F(wild, random_code_16)
{
	int i;

	for (i = 0; i < 60; i++)
		run_random(_metadata, self->vcpu, 16, i);
}

/* ---- in the guest: what the architecture forbids, one after the other ---- */

static __guest void guest_forbidden(void)
{
	u64 cr0 = read_cr0(), cr4 = read_cr4(), cr3 = read_cr3(), i, v;
	u64 osxsave = (cpuid(1, 0).ecx >> 26 & 1) << 18;

	for (i = 0; i < 64; i++) {
		TRY("mov %1, %%cr0", , "r"(cr0 | 1ull << i) : "memory");
		TRY("mov %1, %%cr0", , "r"(cr0) : "memory");
		TRY("mov %1, %%cr4", , "r"(cr4 | 1ull << i) : "memory");
		TRY("mov %1, %%cr4", , "r"(cr4) : "memory");
		TRY("mov %1, %%cr8", , "r"(1ull << i) : "memory");
		TRY("mov %1, %%cr8", , "r"(0ull) : "memory");
		TRY("mov %1, %%dr7", , "r"(1ull << i & ~0x20ffull) : "memory");
		TRY("mov %1, %%dr7", , "r"(0x400ull) : "memory");
		TRY("wrmsr", , "c"(0xc0000080), "a"((u32)(0xd00 | 1ull << i)),
		    "d"((u32)(1ull << i >> 32)) : "memory");
		TRY("wrmsr", , "c"(0xc0000080), "a"(0xd00), "d"(0) : "memory");
		/* XCR0 is there with CR4.OSXSAVE; without its lowest bit it is always wrong. */
		TRY("mov %1, %%cr4", , "r"(cr4 | osxsave) : "memory");
		TRY("xsetbv", , "c"(0), "a"((u32)(1ull << i)), "d"((u32)(1ull << i >> 32)) : "memory");
		TRY("xsetbv", , "c"(0), "a"(1 | (u32)(1ull << i)), "d"((u32)(1ull << i >> 32)) : "memory");
		TRY("xsetbv", , "c"(0), "a"(1), "d"(0) : "memory");
		TRY("mov %1, %%cr4", , "r"(cr4) : "memory");
	}
	/* CR3 above what there is, then back: the mapping is global enough to survive. */
	for (i = 52; i < 63; i++)
		TRY("mov %1, %%cr3", , "r"(cr3 | 1ull << i) : "memory");

	/* Instructions of the vendors, and odd ones; #UD or nothing. */
	TRY("vmcall", , "a"(0xdeadbeef) : "memory");
	TRY("vmmcall", , "a"(0xdeadbeef) : "memory");
	TRY("vmxoff", , "a"(0) : "memory");
	TRY("vmlaunch", , "a"(0) : "memory");
	TRY("vmrun", , "a"(0) : "memory");
	TRY("vmload", , "a"(0) : "memory");
	TRY("stgi", , "a"(0) : "memory");
	TRY("skinit", , "a"(0) : "memory");
	TRY("invlpga", , "a"(0), "c"(0) : "memory");
	TRY("rsm", , "a"(0) : "memory");
	TRY("monitor", , "a"(GUEST_FREE), "c"(0), "d"(0) : "memory");
	TRY("wbinvd", , "a"(0) : "memory");
	TRY("invd", , "a"(0) : "memory");
	TRY("invlpg (%1)", , "r"(1ull << 63) : "memory");
	TRY("rdpmc", AND "=a"(v), "c"(0x40000001) : "rdx");
	TRY("lmsw %w1", , "r"(0xffff) : "memory");
	TRY("getsec", , "a"(0) : "memory");
	TRY("encls", , "a"(0) : "memory");
	TRY("xsaves (%1)", , "r"(GUEST_FREE), "a"(~0u), "d"(~0u) : "memory");
	TRY("ltr %w1", , "r"(SEL_NOT_PRESENT) : "memory");
	TRY("lldt %w1", , "r"(0xfff8) : "memory");
}

TEST_F(wild, forbidden)
{
	struct report r;

	vcpu_start64(self->vcpu, guest_forbidden, 0);
	/* Any exit will do as an answer, if it is one: the guest need not survive it. */
	do
		r = vcpu_run(self->vcpu);
	while (r.kind == REPORT_EXIT && (r.exit == KVM_EXIT_IO || r.exit == KVM_EXIT_MMIO));
	EXPECT_TRUE(r.kind == REPORT_DONE || r.kind == REPORT_EXIT);
}

/* Write to each MSR number what was read from it, then something else. */
static __guest void guest_msrs(u64 first)
{
	u64 v = 0, i;

	for (i = first; i < first + 0x800; i++) {
		/* Not the APIC base (moves the APIC) and not what the guest stands on. */
		if (i == 0x1b || i == 0xc0000080 || (i >= 0x800 && i < 0x900))
			continue;
		try_rdmsr(i, &v);
		if (try_wrmsr(i, ~v) == NO_TRAP)
			try_wrmsr(i, v);
		try_wrmsr(i, 0x5a5a5a5a5a5a5a5a);
		try_wrmsr(i, v);
	}
}

TEST_F(wild, every_msr)
{
	static const u32 ranges[] = {
		0, 0x800, 0x1000, 0x4b564d00, 0x40000000, 0xc0000000, 0xc0010000, 0xc0011000,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		vcpu_start64(self->vcpu, guest_msrs, ranges[i]);
		run_wild(_metadata, self->vcpu, 3000, 10);
	}
}

/* ---- tables that point nowhere ---- */

static __guest void guest_ud(void)
{
	asm volatile("ud2");
}

TEST_F(wild, descriptor_tables)
{
	static const u64 bases[] = {
		0, 0xfffffffffffff000, 0x800000000000, 0xd0000000, 0xfee00000, ~0ull, 1ull << 40,
		GUEST_MEMORY - 8,
	};
	struct kvm_sregs good, s;
	int i, which;

	vcpu_start64(self->vcpu, guest_ud, 0);
	good = vcpu_sregs(self->vcpu);
	for (which = 0; which < 4; which++) {
		for (i = 0; i < ARRAY_SIZE(bases); i++) {
			vcpu_start64(self->vcpu, guest_ud, 0);
			s = good;
			if (which == 0)
				s.idt.base = bases[i];
			else if (which == 1)
				s.gdt.base = bases[i];
			else if (which == 2)
				s.tr.base = bases[i];
			else
				s.cr3 = bases[i] & 0xffffffffff000;
			/* Some of these may be refused; none may do harm. */
			if (!ioctl_errno(self->vcpu->fd, KVM_SET_SREGS, &s))
				run_wild(_metadata, self->vcpu, 50, 1000);
		}
	}
}

/* Page tables that point at themselves, at devices, and at nothing. */
static __guest void guest_touch(void)
{
	volatile u8 *p;

	for (p = (u8 *)GVA_TEST; p < (u8 *)(GVA_TEST + (1ull << 39)); p += 1ull << 30)
		*p = 1;
}

TEST_F(wild, page_tables)
{
	u64 *pml4 = guest_ptr(self->vm, GUEST_PML4), *pdpt = guest_ptr(self->vm, GUEST_FREE);
	int i, n;

	for (n = 0; n < 50; n++) {
		seed_with(1000 + n);
		for (i = 0; i < 512; i++)
			pdpt[i] = rnd() & 3 ? rnd() : GUEST_FREE | 7;
		pml4[1] = n & 1 ? GUEST_FREE | 7 : n & 2 ? GUEST_PML4 | 7 : 0xd0000007;
		vcpu_start64(self->vcpu, guest_touch, 0);
		run_wild(_metadata, self->vcpu, 50, 50);
	}
}

/* ---- state that user space makes up ---- */

static void scramble(void *p, size_t size, int changes)
{
	while (changes--)
		((u8 *)p)[rnd() % size] ^= 1 << rnd() % 8;
}

TEST_F(wild, made_up_state)
{
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events ev;
	struct kvm_sregs good, s;
	struct kvm_regs regs;
	int i;

	vcpu_start64(self->vcpu, guest_ud, 0);
	good = vcpu_sregs(self->vcpu);
	for (i = 0; i < 100; i++) {
		seed_with(5000 + i);
		s = good;
		scramble(&s, sizeof(s), 1 + rnd() % 4);
		s.tr = good.tr;		/* QEMU's TCG aborts on a task register that is none */
		if (ioctl_errno(self->vcpu->fd, KVM_SET_SREGS, &s))
			do_ioctl(self->vcpu->fd, KVM_SET_SREGS, &good);
		random_regs(self->vcpu, &regs);
		regs.rip = (u64)guest_ud;
		if (rnd() % 4 == 0)
			regs.rflags = rnd() | 0x200;
		ioctl(self->vcpu->fd, KVM_SET_REGS, &regs);
		if (!ioctl(self->vcpu->fd, KVM_GET_VCPU_EVENTS, &ev) && rnd() % 2) {
			scramble(&ev, sizeof(ev), 3);
			ev.flags &= 0xf;
			ioctl(self->vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
		}
		if (!ioctl(self->vcpu->fd, KVM_GET_LAPIC, &lapic) && rnd() % 4 == 0) {
			scramble(&lapic, sizeof(lapic), 8);
			ioctl(self->vcpu->fd, KVM_SET_LAPIC, &lapic);
		}
		run_wild(_metadata, self->vcpu, 5, 10);
		/* From a clean slate; a vCPU that shut down, halted or waits for a SIPI, too. */
		ioctl(self->vcpu->fd, KVM_SET_MP_STATE,
		      &(struct kvm_mp_state) { KVM_MP_STATE_RUNNABLE });
		memset(&ev, 0, sizeof(ev));
		ioctl(self->vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	}
}

TEST_HARNESS_MAIN
