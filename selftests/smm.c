// SPDX-License-Identifier: GPL-2.0
/*
 * System management mode: the way in and out from each mode, what the handler
 * sees, what the map in SMRAM holds and what RSM makes of a bad one; which events
 * wait for RSM; the slots of the second address space; a vCPU saved in SMM.
 *
 * The handlers are 16-bit code of this program, copied to SMRAM. Registers of the
 * guest come back at RSM, so that they may use all of them.
 */
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>
#include "lib/test.h"

#define SMBASE		0x30000ul	/* as at reset; in the main space page tables are there */
#define SMRAM_SIZE	0x10000ul
#define SMRAM_SLOT	(1u << 16 | 1)
#define OTHER_SLOT	(1u << 16 | 2)
#define OTHER		0x50000ul
#define HANDLER		0x8000		/* from SMBASE, as is the map: */
#define MAP		0xfe00
#define MSR_SMBASE	0x9e
#define MSR_SMI_COUNT	0x34
#define IN_SMM		100		/* the handlers' stage */

#define STRINGIFY(x)	#x
#define STRING(x)	STRINGIFY(x)

/* Report %edi as the stage; mov %eax's value is REPORT_SYNC. */
#define REPORT	"movl $5, %eax\n movw $" STRING(REPORT_PORT) ", %dx\n outl %eax, %dx\n"

#define HANDLER_CODE(name, text)						\
	extern const char name[], name##_end[];					\
	asm(".pushsection .rodata\n.code16\n" #name ":\n" text "\n" #name "_end:\n.code64\n.popsection")

_Static_assert(REPORT_SYNC == 5, "as the handlers have it");

HANDLER_CODE(plain, "movl $100, %edi\n" REPORT "rsm");
HANDLER_CODE(twice, "movl $100, %edi\n" REPORT "incl %edi\n" REPORT "rsm");
HANDLER_CODE(load_smram, "addr32 movl %ds:0x31000, %edi\n" REPORT "rsm");
HANDLER_CODE(store_smram, "addr32 movb $1, %ds:0x32000\n movl $100, %edi\n" REPORT "rsm");
HANDLER_CODE(load_main, "addr32 movl %ds:0x100000, %edi\n" REPORT "rsm");
HANDLER_CODE(load_other, "1: addr32 movl %ds:0x50000, %edi\n" REPORT "jmp 1b");

/* OUT; JMP to it: the same in every mode. */
static const u8 loop_code[] = { 0xe6, 0x80, 0xeb, 0xfc };

FIXTURE(smm) {
	struct vm *vm;
	struct vcpu *vcpu;
	char *smram;
};

static void set_handler(char *smram, const char *from, const char *to)
{
	memcpy(smram + HANDLER, from, to - from);
}

#define HANDLE(name) set_handler(self->smram, name, name##_end)

FIXTURE_SETUP(smm)
{
	self->vm = vm_create(VM_IRQCHIP);
	self->vcpu = vcpu_create(self->vm, 0, NULL, 0);
	self->smram = map_memory(SMRAM_SIZE);
	memcpy(guest_ptr(self->vm, GUEST_LOW), loop_code, sizeof(loop_code));
	ASSERT_EQ(1, check_extension(KVM_CAP_X86_SMM));
	ASSERT_EQ(0, vm_set_slot(self->vm, SMRAM_SLOT, 0, SMBASE, SMRAM_SIZE, self->smram));
	HANDLE(plain);
}

FIXTURE_TEARDOWN(smm)
{
	vcpu_free(self->vcpu);
	vm_free(self->vm);
}

static struct kvm_vcpu_events get_events(struct vcpu *vcpu)
{
	struct kvm_vcpu_events e;

	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &e);
	return e;
}

static void smi(struct vcpu *vcpu)
{
	do_ioctl(vcpu->fd, KVM_SMI, 0);
}

static u64 map64(const char *smram, unsigned int at)
{
	u64 v;

	memcpy(&v, smram + MAP + at, sizeof(v));
	return v;
}

static u32 map32(const char *smram, unsigned int at)
{
	return map64(smram, at);
}

/* ---- all registers ---- */

struct state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debug;
};

static struct state get_state(struct vcpu *vcpu)
{
	struct state s;

	memset(&s, 0, sizeof(s));
	s.regs = vcpu_regs(vcpu);
	s.sregs = vcpu_sregs(vcpu);
	do_ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &s.debug);
	return s;
}

/* Values that differ from each other in every byte. */
static void fill_regs(struct vcpu *vcpu, u64 mask)
{
	struct kvm_regs r = vcpu_regs(vcpu);
	u64 *reg = (u64 *)&r;

	for (int i = 0; i < 16; i++)
		reg[i] = (0x8182838485868788 + i * 0x0101010101010101) & mask;
	r.rflags = 0x8d7;
	do_ioctl(vcpu->fd, KVM_SET_REGS, &r);
}

static void fill_debugregs(struct vcpu *vcpu)
{
	struct kvm_debugregs d;

	do_ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &d);
	d.db[0] = 0x1234;
	d.dr6 |= 2;
	d.dr7 |= 0x10000;
	do_ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &d);
}

static void check_handler_state(struct __test_metadata *_metadata, struct vcpu *vcpu)
{
	struct state s = get_state(vcpu);
	struct kvm_vcpu_events e = get_events(vcpu);

	EXPECT_TRUE(vcpu->run->flags & KVM_RUN_X86_SMM);
	EXPECT_TRUE(e.flags & KVM_VCPUEVENT_VALID_SMM);
	EXPECT_EQ(1, e.smi.smm);
	EXPECT_EQ(0, e.smi.pending);
	EXPECT_EQ(0, e.smi.smm_inside_nmi);
	EXPECT_EQ(1, e.nmi.masked);
	EXPECT_EQ(2, s.regs.rflags);
	EXPECT_EQ(0, s.sregs.cr0 & 0x8000000d);
	EXPECT_EQ(0, s.sregs.cr4);
	EXPECT_EQ(0, s.sregs.efer);
	EXPECT_EQ(0x400, s.debug.dr7);
	EXPECT_EQ(SMBASE, s.sregs.cs.base);
	EXPECT_EQ(SMBASE >> 4, s.sregs.cs.selector);
	EXPECT_EQ(0xffffffff, s.sregs.cs.limit);
	EXPECT_EQ(0, s.sregs.ds.base | s.sregs.ds.selector | s.sregs.ss.base | s.sregs.es.base);
	EXPECT_EQ(0xffffffff, s.sregs.ds.limit);
	EXPECT_EQ(0, s.sregs.fs.base | s.sregs.gs.base | s.sregs.idt.limit);
}

/* Nothing of what the handler leaves in the registers may be seen behind it. */
static void spoil(struct vcpu *vcpu, bool wide)
{
	struct kvm_regs r = vcpu_regs(vcpu);
	struct kvm_sregs s = vcpu_sregs(vcpu);

	r.rbx = r.rbp = r.rsp = 0x5555;
	if (wide)
		r.r8 = r.r15 = 0x5555;
	do_ioctl(vcpu->fd, KVM_SET_REGS, &r);
	s.ds.base = s.ss.base = s.fs.base = s.gs.base = 0x7000;
	s.gdt.base = s.idt.base = 0x7000;
	s.cr3 = 0x7000;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &s);
}

/* The vCPU is at the loop; on return as well, with all that it had. @wide: its map has 64 bits. */
static void round_trip(struct __test_metadata *_metadata, struct vcpu *vcpu, bool wide)
{
	struct state before, after;

	vcpu_run_to_out(vcpu);
	before = get_state(vcpu);
	smi(vcpu);
	EXPECT_EQ(1, get_events(vcpu).smi.pending);
	vcpu_run_sync(vcpu, IN_SMM);
	check_handler_state(_metadata, vcpu);
	spoil(vcpu, wide);
	vcpu_run_to_out(vcpu);
	after = get_state(vcpu);
	EXPECT_FALSE(vcpu->run->flags & KVM_RUN_X86_SMM);
	EXPECT_EQ(0, get_events(vcpu).smi.smm);
	EXPECT_EQ(0, get_events(vcpu).nmi.masked);
	EXPECT_EQ(0, memcmp(&before.regs, &after.regs, sizeof(before.regs)));
	EXPECT_EQ(0, memcmp(&before.sregs, &after.sregs, sizeof(before.sregs)));
	EXPECT_EQ(0, memcmp(&before.debug, &after.debug, sizeof(before.debug)));
}

TEST_F(smm, from_long_mode)
{
	struct kvm_sregs s;

	vcpu_start64(self->vcpu, (void *)GUEST_LOW, 0);
	fill_regs(self->vcpu, ~0ull);
	fill_debugregs(self->vcpu);
	s = vcpu_sregs(self->vcpu);
	s.fs.base = 0x7fff12345678;
	s.gs.base = 0xffff888012345000;
	do_ioctl(self->vcpu->fd, KVM_SET_SREGS, &s);
	round_trip(_metadata, self->vcpu, true);
	/* the map: AMD's, with what was in the registers */
	s = vcpu_sregs(self->vcpu);
	EXPECT_EQ(0x20064, map32(self->smram, 0xfc));
	EXPECT_EQ(SMBASE, map32(self->smram, 0x100));
	EXPECT_EQ(vcpu_regs(self->vcpu).rax, map64(self->smram, 0x1f8));
	EXPECT_EQ(vcpu_regs(self->vcpu).rcx, map64(self->smram, 0x1f0));
	EXPECT_EQ(vcpu_regs(self->vcpu).rsp, map64(self->smram, 0x1d8));
	EXPECT_EQ(vcpu_regs(self->vcpu).r15, map64(self->smram, 0x180));
	EXPECT_EQ(GUEST_LOW + 2, map64(self->smram, 0x178));
	EXPECT_EQ(s.cr0, map64(self->smram, 0x158));
	EXPECT_EQ(s.cr3, map64(self->smram, 0x150));
	EXPECT_EQ(s.cr4, map64(self->smram, 0x148));
	EXPECT_EQ(s.efer, map64(self->smram, 0xd0));
	EXPECT_EQ(s.gs.base, map64(self->smram, 0x58));
	EXPECT_EQ(s.cs.selector, map32(self->smram, 0x10) & 0xffff);
}

TEST_F(smm, from_protected_mode)
{
	vcpu_start32(self->vcpu, GUEST_LOW);
	fill_regs(self->vcpu, 0xffffffff);
	round_trip(_metadata, self->vcpu, true);
}

TEST_F(smm, from_real_mode)
{
	struct kvm_sregs s;

	vcpu_start16(self->vcpu, GUEST_LOW);
	fill_regs(self->vcpu, 0xffffffff);
	s = vcpu_sregs(self->vcpu);
	s.ds.selector = 0x123;
	s.ds.base = 0x1230;
	s.gs.selector = 0x456;
	s.gs.base = 0x4560;
	do_ioctl(self->vcpu->fd, KVM_SET_SREGS, &s);
	round_trip(_metadata, self->vcpu, true);
}

/* A CPU without long mode: Intel's map of 32 bits. */
TEST_F(smm, map_of_32_bits)
{
	struct kvm_cpuid2 *cpuid = supported_cpuid();

	cpuid_find(cpuid, 0x80000001, 0)->edx &= ~(1u << 29);
	do_ioctl(self->vcpu->fd, KVM_SET_CPUID2, cpuid);
	free(cpuid);
	vcpu_start32(self->vcpu, GUEST_LOW);
	fill_regs(self->vcpu, 0xffffffff);
	round_trip(_metadata, self->vcpu, false);
	EXPECT_EQ(0x20000, map32(self->smram, 0xfc));
	EXPECT_EQ(SMBASE, map32(self->smram, 0xf8));
	EXPECT_EQ(vcpu_regs(self->vcpu).rax, map32(self->smram, 0x1d0));
	EXPECT_EQ(vcpu_regs(self->vcpu).rdi, map32(self->smram, 0x1ec));
	EXPECT_EQ(GUEST_LOW + 2, map32(self->smram, 0x1f0));
	EXPECT_EQ(vcpu_sregs(self->vcpu).cr0, map32(self->smram, 0x1fc));
}

/* RSM moves SMBASE to where the map says; user space finds it in an MSR. */
TEST_F(smm, smbase)
{
	u32 base = SMBASE + 0x1000000;

	EXPECT_EQ(SMBASE, vcpu_get_msr(self->vcpu, MSR_SMBASE));
	EXPECT_EQ(0, vcpu_get_msr(self->vcpu, MSR_SMI_COUNT));
	vcpu_start64(self->vcpu, (void *)GUEST_LOW, 0);
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	memcpy(self->smram + MAP + 0x100, &base, sizeof(base));
	vcpu_run_to_out(self->vcpu);
	EXPECT_EQ(base, vcpu_get_msr(self->vcpu, MSR_SMBASE));
	EXPECT_EQ(1, vcpu_get_msr(self->vcpu, MSR_SMI_COUNT));
	ASSERT_EQ(0, vm_set_slot(self->vm, OTHER_SLOT, 0, base, SMRAM_SIZE, self->smram));
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	EXPECT_EQ(base, vcpu_sregs(self->vcpu).cs.base);
	EXPECT_EQ(1, vcpu_set_msr(self->vcpu, MSR_SMBASE, SMBASE));
	EXPECT_EQ(SMBASE, vcpu_get_msr(self->vcpu, MSR_SMBASE));
}

/* ---- what RSM refuses ---- */

static const struct { const char *what; u16 at; u64 set, clear; bool stock; } bad[] = {
	{ "CR0: paging without protection",	0x158, 0, 1, true },
	{ "CR0: NW without CD",			0x158, 1 << 29, 1 << 30, true },
	{ "CR0: bit 32",			0x158, 1ull << 32, 0, false },
	{ "CR4: a bit that is not",		0x148, 1 << 15, 0, true },
	{ "CR4: VMXE",				0x148, 1 << 13, 0, false },
	{ "CR4: long mode without PAE",		0x148, 0, 1 << 5, true },
	{ "CR3: no such address",		0x150, 1ull << 60, 0, true },
	{ "EFER: a bit that is not",		0xd0, 1ull << 40, 0, true },
	{ "EFER: no long mode, and PAE paging with bad PDPTEs", 0xd0, 0, 1 << 8, false },
	{ "DR6: bit 32",			0x168, 1ull << 32, 0, true },
	{ "DR7: bit 32",			0x160, 1ull << 32, 0, true },
	{ "RFLAGS: VM in long mode",		0x170, 1 << 17, 0, false },
	{ "RIP: not canonical",			0x178, 1ull << 60, 0, false },
};

TEST_F(smm, bad_map)
{
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		u64 v;

		if (device_is_stock() && !bad[i].stock)
			continue;
		do_ioctl(self->vcpu->fd, KVM_SET_MP_STATE,
			 &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE });
		vcpu_start64(self->vcpu, (void *)GUEST_LOW, 0);
		smi(self->vcpu);
		vcpu_run_sync(self->vcpu, IN_SMM);
		v = (map64(self->smram, bad[i].at) & ~bad[i].clear) | bad[i].set;
		memcpy(self->smram + MAP + bad[i].at, &v, sizeof(v));
		TH_LOG("%s", bad[i].what);
		vcpu_run_exit(self->vcpu, KVM_EXIT_SHUTDOWN);
		EXPECT_EQ(0, get_events(self->vcpu).smi.smm);
	}
}

static void no_action(int sig)
{
}

/*
 * Any other bits are as good as any: the vCPU goes on for a while, or user space is told.
 * RIP alone stays, so that it does not get lost.
 */
TEST(wild_maps)
{
	const struct itimerval soon = { { .tv_usec = 50000 }, { .tv_usec = 50000 } };
	char *smram = map_memory(SMRAM_SIZE);
	u64 x = 0x9e3779b97f4a7c15;

	signal(SIGPROF, no_action);
	for (int round = 0; round < 40; round++) {
		struct vm *vm = vm_create(0);
		struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);

		memcpy(guest_ptr(vm, GUEST_LOW), loop_code, sizeof(loop_code));
		ASSERT_EQ(0, vm_set_slot(vm, SMRAM_SLOT, 0, SMBASE, SMRAM_SIZE, smram));
		set_handler(smram, plain, plain_end);
		vcpu_start64(vcpu, (void *)GUEST_LOW, 0);
		smi(vcpu);
		vcpu_run_sync(vcpu, IN_SMM);
		for (int n = 1 + round % 7; n; n--) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			if (x % 512 / 8 != 0x178 / 8)
				smram[MAP + x % 512] = x >> 32;
		}
		setitimer(ITIMER_PROF, &soon, NULL);
		vcpu_run_once(vcpu);
		setitimer(ITIMER_PROF, &(struct itimerval){ }, NULL);
		EXPECT_EQ(0, get_events(vcpu).smi.smm);
		vcpu_free(vcpu);
		vm_free(vm);
	}
}

TEST_F(smm, no_map)
{
	SKIP_ON_STOCK("says that it could not emulate RSM");
	vcpu_start64(self->vcpu, (void *)GUEST_LOW, 0);
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	ASSERT_EQ(0, vm_set_slot(self->vm, SMRAM_SLOT, 0, SMBASE, 0, self->smram));
	ASSERT_EQ(0, vm_set_slot(self->vm, SMRAM_SLOT, 0, SMBASE, 0xf000, self->smram));
	vcpu_run_exit(self->vcpu, KVM_EXIT_SHUTDOWN);
}

static __guest void guest_outside(void)
{
	u64 v;

	GUEST_ASSERT_EQ(TRAP(6, 0), TRY("rsm", ,));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(MSR_SMBASE, &v));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_SMBASE, 0x30000));
	GUEST_ASSERT_EQ(NO_TRAP, try_rdmsr(MSR_SMI_COUNT, &v));
	GUEST_ASSERT_EQ(0, v);
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_SMI_COUNT, 0));
}

TEST_F(smm, outside)
{
	vcpu_start64(self->vcpu, guest_outside, 0);
	vcpu_run_done(self->vcpu);
}

/* ---- events ---- */

TEST_F(smm, second_is_latched)
{
	vcpu_start64(self->vcpu, (void *)GUEST_LOW, 0);
	vcpu_run_to_out(self->vcpu);
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	smi(self->vcpu);
	smi(self->vcpu);
	EXPECT_EQ(1, get_events(self->vcpu).smi.pending);
	/* from RSM to the next one's handler, with no instruction in between */
	vcpu_run_sync(self->vcpu, IN_SMM);
	EXPECT_EQ(GUEST_LOW + 2, map64(self->smram, 0x178));
	EXPECT_EQ(0, get_events(self->vcpu).smi.pending);
	vcpu_run_to_out(self->vcpu);
	EXPECT_EQ(2, vcpu_get_msr(self->vcpu, MSR_SMI_COUNT));
}

static volatile u64 nmis;

static __guest void handle_nmi(struct trap_frame *f)
{
	nmis++;
}

static __guest void guest_nmi(void)
{
	guest_handlers[2] = handle_nmi;
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(1, nmis);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(2, nmis);
}

/* An NMI waits for RSM; and the SMI comes first of the two. */
TEST_F(smm, nmi_waits)
{
	vcpu_start64(self->vcpu, guest_nmi, 0);
	vcpu_run_sync(self->vcpu, 1);
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	do_ioctl(self->vcpu->fd, KVM_NMI, 0);
	EXPECT_EQ(1, get_events(self->vcpu).nmi.pending);
	EXPECT_EQ(1, get_events(self->vcpu).nmi.masked);
	vcpu_run_sync(self->vcpu, 2);
	do_ioctl(self->vcpu->fd, KVM_NMI, 0);
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	EXPECT_EQ(1, guest_var(self->vm, nmis));
	vcpu_run_done(self->vcpu);
}

/* One that interrupts the handler of an NMI leaves NMIs masked behind RSM. */
TEST_F(smm, inside_nmi)
{
	struct kvm_vcpu_events e;

	vcpu_start64(self->vcpu, (void *)GUEST_LOW, 0);
	e = get_events(self->vcpu);
	e.nmi.masked = 1;
	do_ioctl(self->vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	EXPECT_EQ(1, get_events(self->vcpu).smi.smm_inside_nmi);
	vcpu_run_to_out(self->vcpu);
	EXPECT_EQ(1, get_events(self->vcpu).nmi.masked);
	EXPECT_EQ(0, get_events(self->vcpu).smi.smm_inside_nmi);
}

static volatile u64 uds;

static __guest void handle_ud(struct trap_frame *f)
{
	uds++;
	f->rip += 2;
}

static __guest void guest_with_exception(void)
{
	guest_handlers[6] = handle_ud;
	asm volatile("ud2");
	GUEST_SYNC(1);
	asm volatile("ud2");
	GUEST_ASSERT_EQ(2, uds);
}

/* Behind an exception that is on its way; before its handler's first instruction. */
TEST_F(smm, behind_an_exception)
{
	struct kvm_vcpu_events e;

	vcpu_start64(self->vcpu, guest_with_exception, 0);
	vcpu_run_sync(self->vcpu, 1);
	vcpu_complete(self->vcpu);
	e = get_events(self->vcpu);
	e.exception.injected = 1;
	e.exception.nr = 6;
	do_ioctl(self->vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	/* at a vector's stub, with the frame on the stack */
	EXPECT_EQ(1, guest_var(self->vm, uds));
	EXPECT_EQ(vcpu_sregs(self->vcpu).gdt.base, GUEST_CPU(0) + GUEST_CPU_GDT);
	EXPECT_NE(0, map64(self->smram, 0x178));
	vcpu_run_done(self->vcpu);
}

/*
 * An EOI that exits behind its instruction, where hardware has the LAPIC, leaves a single step
 * pending. It is not the handler's, and comes back with RSM.
 */
#define LEVEL_VECTOR	0x91

static volatile u64 steps, ended;

extern const char behind_eoi[];

static __guest void on_step(struct trap_frame *f)
{
	steps++;
	GUEST_ASSERT_EQ((u64)behind_eoi, f->rip);
	f->rflags &= ~0x100ull;
}

static __guest void on_level(struct trap_frame *f)
{
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq; wrmsr\n"
		     ".globl behind_eoi; behind_eoi: nop"
		     : : "a"(0), "d"(0), "c"(MSR_X2APIC + 0xb) : "memory", "cc");
	ended++;
}

static __guest void guest_level(void)
{
	guest_handlers[1] = on_step;
	guest_handlers[LEVEL_VECTOR] = on_level;
	x2apic_enable();
	sti();
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(1, ended);
	GUEST_ASSERT_EQ(1, steps);
}

TEST(behind_a_trap)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	struct vm *vm = vm_create(0);
	char *smram = map_memory(SMRAM_SIZE);
	struct vcpu *vcpu;

	do_ioctl(vm->fd, KVM_ENABLE_CAP, &split);
	vm_route_msi(vm, 3, LEVEL_VECTOR | 1 << 14 | 1 << 15);
	vcpu = vcpu_create(vm, 0, guest_level, 0);
	ASSERT_EQ(0, vm_set_slot(vm, SMRAM_SLOT, 0, SMBASE, SMRAM_SIZE, smram));
	set_handler(smram, plain, plain_end);
	vcpu_run_sync(vcpu, 1);
	vm_irq_line(vm, 3, 1);
	vcpu_run_exit(vcpu, KVM_EXIT_IOAPIC_EOI);
	smi(vcpu);
	vcpu_run_sync(vcpu, IN_SMM);
	vcpu_run_done(vcpu);
	vcpu_free(vcpu);
	vm_free(vm);
}

/* An INIT waits for RSM, and is in the events meanwhile; SMBASE survives it. */
TEST_F(smm, init_is_latched)
{
	char *top = map_memory(PAGE_SIZE);
	struct kvm_lapic_state lapic;

	/* KVM finds no LAPIC that nobody has touched. */
	do_ioctl(self->vcpu->fd, KVM_GET_LAPIC, &lapic);
	do_ioctl(self->vcpu->fd, KVM_SET_LAPIC, &lapic);
	memcpy(top + 0xff0, loop_code, sizeof(loop_code));
	ASSERT_EQ(0, vm_set_slot(self->vm, 3, 0, 0xfffff000, PAGE_SIZE, top));
	vcpu_start64(self->vcpu, (void *)GUEST_LOW, 0);
	HANDLE(twice);
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	vm_signal_msi(self->vm, 5 << 8 | 1 << 14);
	EXPECT_EQ(1, get_events(self->vcpu).smi.latched_init);
	vcpu_run_sync(self->vcpu, IN_SMM + 1);
	EXPECT_EQ(1, get_events(self->vcpu).smi.smm);
	EXPECT_EQ(1, get_events(self->vcpu).smi.latched_init);
	vcpu_run_to_out(self->vcpu);
	EXPECT_EQ(0xf000, vcpu_sregs(self->vcpu).cs.selector);
	EXPECT_EQ(0xfff2, vcpu_regs(self->vcpu).rip);
	EXPECT_EQ(0, get_events(self->vcpu).smi.smm);
	EXPECT_EQ(0, get_events(self->vcpu).smi.latched_init);
	EXPECT_EQ(SMBASE, vcpu_get_msr(self->vcpu, MSR_SMBASE));
	/* nor may user space make the vCPU wait for a SIPI in SMM */
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	EXPECT_EQ(EINVAL, ioctl_errno(self->vcpu->fd, KVM_SET_MP_STATE,
				      &(struct kvm_mp_state){ KVM_MP_STATE_INIT_RECEIVED }));
	EXPECT_EQ(EINVAL, ioctl_errno(self->vcpu->fd, KVM_SET_MP_STATE,
				      &(struct kvm_mp_state){ KVM_MP_STATE_SIPI_RECEIVED }));
}

/* Events of a vCPU that waits for a SIPI have no SMM, and no SMI. */
TEST_F(smm, events_that_cannot_be)
{
	struct kvm_vcpu_events e = get_events(self->vcpu), seen;

	do_ioctl(self->vcpu->fd, KVM_SET_MP_STATE,
		 &(struct kvm_mp_state){ KVM_MP_STATE_INIT_RECEIVED });
	e.flags = KVM_VCPUEVENT_VALID_SMM;
	e.smi.smm = 1;
	EXPECT_EQ(EINVAL, ioctl_errno(self->vcpu->fd, KVM_SET_VCPU_EVENTS, &e));
	e.smi.smm = 0;
	e.smi.pending = 1;
	EXPECT_EQ(EINVAL, ioctl_errno(self->vcpu->fd, KVM_SET_VCPU_EVENTS, &e));
	do_ioctl(self->vcpu->fd, KVM_SET_MP_STATE,
		 &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE });
	EXPECT_EQ(0, get_events(self->vcpu).smi.smm);
	/* there and back; inside_nmi goes with smm */
	e.smi.smm = e.smi.pending = e.smi.smm_inside_nmi = e.smi.latched_init = 1;
	do_ioctl(self->vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	seen = get_events(self->vcpu);
	EXPECT_EQ(0, memcmp(&e.smi, &seen.smi, sizeof(e.smi)));
	/* without the flag nothing of it counts */
	memset(&e.smi, 0, sizeof(e.smi));
	e.flags = 0;
	do_ioctl(self->vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	EXPECT_EQ(1, get_events(self->vcpu).smi.smm);
	e.flags = KVM_VCPUEVENT_VALID_SMM;
	do_ioctl(self->vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	seen = get_events(self->vcpu);
	EXPECT_EQ(0, memcmp(&e.smi, &seen.smi, sizeof(e.smi)));
}

/* Another thread's SMI, by an MSI, ends a HLT with interrupts off; behind RSM the guest goes on. */
static __guest void guest_halt(void)
{
	xapic_enable();
	GUEST_SYNC(1);
	cli();
	hlt();
	GUEST_SYNC(2);
	/* by an IPI to itself */
	xapic_write(0x310, 0);
	xapic_write(0x300, 2 << 8 | 1 << 14 | 1 << 18);
	cpuid(0, 0);
}

static void *send_smi(void *vm)
{
	poll(NULL, 0, 200);
	vm_signal_msi(vm, 2 << 8);
	return NULL;
}

TEST_F(smm, from_halt)
{
	pthread_t thread;

	vcpu_start64(self->vcpu, guest_halt, 0);
	vcpu_run_sync(self->vcpu, 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, send_smi, self->vm));
	vcpu_run_sync(self->vcpu, IN_SMM);
	pthread_join(thread, NULL);
	vcpu_run_sync(self->vcpu, 2);
	vcpu_run_sync(self->vcpu, IN_SMM);
	vcpu_run_done(self->vcpu);
}

/* The same, where HLT is no exit, and hardware may know that the vCPU is in one. */
static __guest void guest_halts(void)
{
	sti();
	for (;;)
		hlt();
}

TEST(from_halt_on_the_cpu)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_DISABLE_EXITS, .args[0] = KVM_X86_DISABLE_EXITS_HLT,
	};
	struct vm *vm = vm_create(VM_IRQCHIP);
	char *smram = map_memory(SMRAM_SIZE);
	struct kvm_lapic_state lapic;
	struct vcpu *vcpu;
	pthread_t thread;

	do_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
	vcpu = vcpu_create(vm, 0, guest_halts, 0);
	do_ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic);
	do_ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic);
	ASSERT_EQ(0, vm_set_slot(vm, SMRAM_SLOT, 0, SMBASE, SMRAM_SIZE, smram));
	set_handler(smram, plain, plain_end);
	ASSERT_EQ(0, pthread_create(&thread, NULL, send_smi, vm));
	vcpu_run_sync(vcpu, IN_SMM);
	pthread_join(thread, NULL);
	vcpu_free(vcpu);
	vm_free(vm);
}

/* STI's shadow is in the map, and not the handler's. */
TEST_F(smm, shadow)
{
	struct kvm_vcpu_events e;
	struct kvm_regs r;

	SKIP_ON_STOCK("loses it");
	vcpu_start64(self->vcpu, (void *)GUEST_LOW, 0);
	r = vcpu_regs(self->vcpu);
	r.rflags |= 0x200;
	do_ioctl(self->vcpu->fd, KVM_SET_REGS, &r);
	e = get_events(self->vcpu);
	e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	e.flags = KVM_VCPUEVENT_VALID_SHADOW;
	do_ioctl(self->vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	EXPECT_EQ(0, get_events(self->vcpu).interrupt.shadow);
	/* SVM does not tell the two kinds apart */
	EXPECT_TRUE(self->smram[MAP + 0xcb] & KVM_X86_SHADOW_INT_STI);
	vcpu_run_to_out(self->vcpu);
	/* one that can't be, for interrupts are off */
	r = vcpu_regs(self->vcpu);
	r.rflags &= ~0x200ul;
	do_ioctl(self->vcpu->fd, KVM_SET_REGS, &r);
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	self->smram[MAP + 0xcb] = KVM_X86_SHADOW_INT_STI;
	vcpu_run_to_out(self->vcpu);
}

/* ---- slots ---- */

TEST_F(smm, own_memory)
{
	*(u64 *)(self->smram + 0x1000) = 0x1111;
	*(u64 *)guest_ptr(self->vm, SMBASE + 0x1000) = 0x2222;
	HANDLE(load_smram);
	vcpu_start64(self->vcpu, (void *)GUEST_LOW, 0);
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, 0x1111);
	vcpu_run_to_out(self->vcpu);
	EXPECT_EQ(0x2222, *(u64 *)guest_ptr(self->vm, SMBASE + 0x1000));
	/* what the main space has is not there */
	HANDLE(load_main);
	smi(self->vcpu);
	vcpu_run_exit(self->vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(0x100000, self->vcpu->run->mmio.phys_addr);
	*(u32 *)self->vcpu->run->mmio.data = 0x3333;
	vcpu_run_sync(self->vcpu, 0x3333);
	vcpu_run_to_out(self->vcpu);
}

static u64 dirty(struct vm *vm, u32 slot)
{
	u64 bitmap = 0;
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = &bitmap };

	do_ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
	return bitmap;
}

/* The map's page by the module's write, another by the handler's; each time anew. */
TEST_F(smm, dirty_log)
{
	HANDLE(store_smram);
	vcpu_start64(self->vcpu, (void *)GUEST_LOW, 0);
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	vcpu_run_to_out(self->vcpu);
	ASSERT_EQ(0, vm_set_slot(self->vm, SMRAM_SLOT, KVM_MEM_LOG_DIRTY_PAGES, SMBASE, SMRAM_SIZE,
				 self->smram));
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, dirty(self->vm, SMRAM_SLOT));
		smi(self->vcpu);
		vcpu_run_sync(self->vcpu, IN_SMM);
		vcpu_run_to_out(self->vcpu);
		EXPECT_EQ(1ull << 15 | 1ull << 2, dirty(self->vm, SMRAM_SLOT));
	}
}

/* The host changes the memory behind SMRAM: while the vCPU is in SMM, and while it is not. */
TEST_F(smm, notifier)
{
	char *page = self->smram + 0x1000;

	HANDLE(load_smram);
	*(u64 *)page = 0x1111;
	vcpu_start64(self->vcpu, (void *)GUEST_LOW, 0);
	for (int i = 1; i < 6; i++) {
		smi(self->vcpu);
		vcpu_run_sync(self->vcpu, 0x1111 * i);
		if (i & 1)
			vcpu_run_to_out(self->vcpu);
		ASSERT_EQ(page, mmap(page, PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		*(u64 *)page = 0x1111 * (i + 1);
		if (!(i & 1))
			vcpu_run_to_out(self->vcpu);
	}
}

/* Slots come, go and move under a vCPU that stays in SMM. */
TEST_F(smm, slots_change)
{
	struct vm *vm = self->vm;
	char *mem = map_memory(2 * PAGE_SIZE);

	*(u64 *)mem = 0x1111;
	*(u64 *)(mem + PAGE_SIZE) = 0x2222;
	HANDLE(load_other);
	vcpu_start64(self->vcpu, (void *)GUEST_LOW, 0);
	ASSERT_EQ(0, vm_set_slot(vm, OTHER_SLOT, 0, OTHER, PAGE_SIZE, mem));
	smi(self->vcpu);
	for (int i = 0; i < 5; i++) {
		vcpu_run_sync(self->vcpu, 0x1111);
		ASSERT_EQ(0, vm_set_slot(vm, OTHER_SLOT, 0, OTHER, 0, mem));
		vcpu_run_exit(self->vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(OTHER, self->vcpu->run->mmio.phys_addr);
		*(u32 *)self->vcpu->run->mmio.data = 0x3333;
		vcpu_run_sync(self->vcpu, 0x3333);
		ASSERT_EQ(0, vm_set_slot(vm, OTHER_SLOT, 0, OTHER, PAGE_SIZE, mem + PAGE_SIZE));
		vcpu_run_sync(self->vcpu, 0x2222);
		ASSERT_EQ(0, vm_set_slot(vm, OTHER_SLOT, 0, OTHER + 0x10000, PAGE_SIZE,
					 mem + PAGE_SIZE));
		vcpu_run_exit(self->vcpu, KVM_EXIT_MMIO);
		*(u32 *)self->vcpu->run->mmio.data = 0x4444;
		vcpu_run_sync(self->vcpu, 0x4444);
		ASSERT_EQ(0, vm_set_slot(vm, OTHER_SLOT, 0, OTHER, 0, mem));
		ASSERT_EQ(0, vm_set_slot(vm, OTHER_SLOT, 0, OTHER, PAGE_SIZE, mem));
	}
	EXPECT_EQ(1, get_events(self->vcpu).smi.smm);
}

/* ---- a fresh VM ---- */

/* Saved in SMM and restored elsewhere, the vCPU comes back at RSM to what it was. */
TEST_F(smm, saved_in_smm)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct state before, in, after;
	struct kvm_vcpu_events e;

	vcpu_start64(self->vcpu, (void *)GUEST_LOW, 0);
	fill_regs(self->vcpu, ~0ull);
	fill_debugregs(self->vcpu);
	vcpu_set_msr(self->vcpu, MSR_SMBASE, SMBASE);
	vcpu_run_to_out(self->vcpu);
	before = get_state(self->vcpu);
	smi(self->vcpu);
	vcpu_run_sync(self->vcpu, IN_SMM);
	smi(self->vcpu);
	self->vcpu->run->immediate_exit = 1;
	ASSERT_EQ(EINTR, vcpu_run_once(self->vcpu));
	in = get_state(self->vcpu);
	e = get_events(self->vcpu);
	EXPECT_EQ(1, e.smi.smm);
	EXPECT_EQ(1, e.smi.pending);

	memcpy(vm->ram, self->vm->ram, GUEST_MEMORY);
	ASSERT_EQ(0, vm_set_slot(vm, SMRAM_SLOT, 0, SMBASE, SMRAM_SIZE, self->smram));
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &in.sregs);
	vcpu_set_msr(vcpu, MSR_SMBASE, SMBASE);
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	do_ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &in.debug);
	do_ioctl(vcpu->fd, KVM_SET_REGS, &in.regs);
	/* RSM, the SMI that waited, RSM, the loop */
	vcpu_run_sync(vcpu, IN_SMM);
	vcpu_run_to_out(vcpu);
	after = get_state(vcpu);
	EXPECT_EQ(0, get_events(vcpu).smi.smm);
	EXPECT_EQ(0, memcmp(&before.regs, &after.regs, sizeof(before.regs)));
	EXPECT_EQ(0, memcmp(&before.sregs, &after.sregs, sizeof(before.sregs)));
	EXPECT_EQ(0, memcmp(&before.debug, &after.debug, sizeof(before.debug)));
	vcpu_free(vcpu);
	vm_free(vm);
}

/* In SMM with PAE paging: the four entries that CR3 points to are SMRAM's, whatever came first. */
TEST_F(smm, restored_with_pae)
{
	const u64 pdpt = SMBASE + 0x4000, pd = SMBASE + 0x5000;
	struct kvm_vcpu_events e;
	struct kvm_sregs s;
	struct kvm_regs r;

	*(u64 *)(self->smram + 0x4000) = pd | PTE_P;
	*(u64 *)(self->smram + 0x5000) = PTE_PS | PTE_W | PTE_P;
	memset(guest_ptr(self->vm, pdpt), 0, PAGE_SIZE);
	memcpy(self->smram + HANDLER, loop_code, sizeof(loop_code));
	vcpu_start32(self->vcpu, SMBASE + HANDLER);
	s = vcpu_sregs(self->vcpu);
	r = vcpu_regs(self->vcpu);
	s.cr3 = pdpt;
	s.cr4 |= 1 << 5;
	s.cr0 |= 1u << 31;
	do_ioctl(self->vcpu->fd, KVM_SET_SREGS, &s);
	e = get_events(self->vcpu);
	e.smi.smm = 1;
	do_ioctl(self->vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	do_ioctl(self->vcpu->fd, KVM_SET_REGS, &r);
	vcpu_run_to_out(self->vcpu);
	EXPECT_EQ(SMBASE + HANDLER + 2, vcpu_regs(self->vcpu).rip);
}

TEST_HARNESS_MAIN
