// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_SET_GUEST_DEBUG: user space as the guest's debugger, by single steps, by
 * breakpoints in debug registers and by INT3, without the guest's noticing.
 */
#include <stddef.h>

#include "lib/test.h"

#define TF		(1ull << 8)
#define DR6_B(n)	(1ull << (n))
#define DR6_BT		(1ull << 15)
#define DR6_BS		(1ull << 14)
#define DR7_EXEC(n)	(0x400ull | 2ull << 2 * (n))
#define DR7_WRITE8(n)	(DR7_EXEC(n) | 9ull << (16 + 4 * (n)))	/* a write, 8 bytes */

static void set_debug(struct vcpu *vcpu, struct kvm_guest_debug *debug)
{
	do_ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, debug);
}

static void debug_off(struct vcpu *vcpu)
{
	struct kvm_guest_debug debug = { 0 };

	set_debug(vcpu, &debug);
}

static u64 run_to_debug(struct vcpu *vcpu)
{
	vcpu_run_exit(vcpu, KVM_EXIT_DEBUG);
	return vcpu->run->debug.arch.pc;
}

/* ---- single steps ---- */

/* CPUID and RDMSR exit, and are stepped over by the module; PUSHF sees no TF. */
asm(".pushsection .text\n"
    "step_0: nop\n"
    "step_1: xor %eax, %eax\n"
    "step_2: cpuid\n"
    "step_3: mov $0x1b, %ecx\n"
    "step_4: rdmsr\n"
    "step_5: mov $3, %ecx\n"
    "step_6: dec %ecx\n"
    "step_7: jnz step_6\n"
    "step_8: nop\n"
    "step_9: mov $1, %eax; mov $0x900, %edx; out %eax, %dx\n"
    ".popsection");
extern char step_0[], step_1[], step_2[], step_3[], step_4[], step_5[], step_6[], step_7[],
	    step_8[], step_9[];

TEST(single_step)
{
	static char *const path[] = {
		step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_6, step_7, step_6,
		step_7, step_8, step_9,
	};
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
	};
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, step_0, 0);
	int i;

	for (i = 0; i < ARRAY_SIZE(path); i++) {
		set_debug(vcpu, &debug);
		EXPECT_EQ((u64)path[i], run_to_debug(vcpu)) TH_LOG("step %d", i);
		EXPECT_EQ(1, vcpu->run->debug.arch.exception);
		EXPECT_EQ(DR6_BS, vcpu->run->debug.arch.dr6 & (DR6_BS | 0xf));
		EXPECT_EQ((u64)path[i], vcpu_regs(vcpu).rip);
		EXPECT_EQ(0, vcpu_regs(vcpu).rflags & TF);
	}
	debug_off(vcpu);
	vcpu_run_done(vcpu);
}

/*
 * What the module emulates as a whole: accesses to its devices and to user space's, strings,
 * which are a step each iteration.
 */
asm(".pushsection .text\n"
    "emul_0: mov $0xfee00030, %ebx\n"
    "emul_1: mov (%rbx), %eax\n"
    "emul_2: mov %eax, (%rbx)\n"
    "emul_3: mov $0xd0000000, %ebx\n"
    "emul_4: add (%rbx), %eax\n"
    "emul_5: lea emul_0(%rip), %rsi\n"
    "emul_6: mov %rbx, %rdi\n"
    "emul_7: mov $2, %ecx\n"
    "emul_8: rep movsb\n"
    "emul_9: mov $1, %eax; mov $0x900, %edx; out %eax, %dx\n"
    ".popsection");
extern char emul_0[], emul_1[], emul_2[], emul_3[], emul_4[], emul_5[], emul_6[], emul_7[],
	    emul_8[], emul_9[];

TEST(step_over_emulated)
{
	static const struct { char *at; int mmio; } path[] = {
		{ emul_1, 0 }, { emul_2, 0 }, { emul_3, 0 }, { emul_4, 0 }, { emul_5, 1 },
		{ emul_6, 0 }, { emul_7, 0 }, { emul_8, 0 }, { emul_8, 1 }, { emul_9, 1 },
	};
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
	};
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, emul_0, 0);
	struct kvm_debugregs regs;
	int i;

	for (i = 0; i < ARRAY_SIZE(path); i++) {
		set_debug(vcpu, &debug);
		if (path[i].mmio)
			vcpu_run_exit(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ((u64)path[i].at, run_to_debug(vcpu)) TH_LOG("step %d", i);
		EXPECT_EQ(DR6_BS, vcpu->run->debug.arch.dr6 & (DR6_BS | 0xf));
		EXPECT_EQ((u64)path[i].at, vcpu_regs(vcpu).rip);
		EXPECT_EQ(0, vcpu_regs(vcpu).rflags & TF);
	}
	debug_off(vcpu);
	do_ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &regs);
	EXPECT_EQ(0, regs.dr6 & DR6_BS);
	vcpu_run_done(vcpu);
}

/* Of what the guest has not cleared in its DR6 user space is not told, nor of its own steps the guest. */
TEST(only_what_is_new)
{
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
	};
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, step_0, 0);
	const u64 old = DR6_B(0) | DR6_BT;
	struct kvm_debugregs regs;

	do_ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &regs);
	regs.dr6 |= old;
	regs.dr7 = 0;
	do_ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &regs);
	set_debug(vcpu, &debug);
	EXPECT_EQ((u64)step_1, run_to_debug(vcpu));
	EXPECT_EQ(DR6_BS, vcpu->run->debug.arch.dr6 & (DR6_BS | old));
	EXPECT_EQ(0x400, vcpu->run->debug.arch.dr7);	/* as no CPU has it clear */
	do_ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &regs);
	EXPECT_EQ(old, regs.dr6 & (DR6_BS | old));
	debug_off(vcpu);
	vcpu_run_done(vcpu);
}

/* Behind HLT a vCPU sleeps, step or no step. */
asm(".pushsection .text\n"
    "halts: cli; hlt\n"
    "halted: mov $1, %eax; mov $0x900, %edx; out %eax, %dx\n"
    ".popsection");
extern char halts[], halted[];

TEST(step_over_hlt)
{
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
	};
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, halts, 0);
	struct kvm_mp_state mp;

	set_debug(vcpu, &debug);
	EXPECT_EQ((u64)halted - 1, run_to_debug(vcpu));
	set_debug(vcpu, &debug);
	EXPECT_EQ((u64)halted, run_to_debug(vcpu));
	do_ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_HALTED, mp.mp_state);
	debug_off(vcpu);
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	do_ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp);
	vcpu_run_done(vcpu);
}

/* What is stepped is moved elsewhere: no TF stays behind. */
TEST(no_step_left_behind)
{
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
	};
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, step_0, 0);
	struct kvm_regs regs;

	set_debug(vcpu, &debug);
	EXPECT_EQ((u64)step_1, run_to_debug(vcpu));
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(0, regs.rflags & TF);
	do_ioctl(vcpu->fd, KVM_SET_REGS, &regs);
	debug_off(vcpu);
	EXPECT_EQ(0, vcpu_regs(vcpu).rflags & TF);
	vcpu_run_done(vcpu);
}

/* ---- breakpoints in registers ---- */

/* QEMU's TCG arms no breakpoint by VMRUN, and lets no #BP of INT3 exit. */
#define SKIP_ON_TCG() do {							\
	if (host_is_tcg())							\
		SKIP(return, "QEMU's TCG does not have breakpoints in guests");	\
} while (0)

static volatile u64 watched;

static __guest void guest_watched(void)
{
	write_dr0(0x1234);
	write_dr7(0x400);
	watched = 1;
	barrier();
	GUEST_ASSERT_EQ(0x1234, read_dr0());
	GUEST_ASSERT_EQ(0x400, read_dr7());
	watched = 2;
	GUEST_ASSERT_EQ(0, read_dr6() & 0xf);
}

TEST(execution_breakpoint)
{
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = { [2] = (u64)step_8, [7] = DR7_EXEC(2) },
	};
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, step_0, 0);

	SKIP_ON_TCG();
	set_debug(vcpu, &debug);
	EXPECT_EQ((u64)step_8, run_to_debug(vcpu));
	EXPECT_EQ(1, vcpu->run->debug.arch.exception);
	EXPECT_EQ(DR6_B(2), vcpu->run->debug.arch.dr6 & (DR6_BS | 0xf));
	EXPECT_EQ(DR7_EXEC(2), vcpu->run->debug.arch.dr7);
	EXPECT_EQ((u64)step_8, vcpu_regs(vcpu).rip);
	debug_off(vcpu);
	vcpu_run_done(vcpu);
}

TEST(data_breakpoint)
{
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = { [1] = (u64)&watched, [7] = DR7_WRITE8(1) },
	};
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_watched, 0);
	u64 i;

	SKIP_ON_TCG();
	set_debug(vcpu, &debug);
	for (i = 1; i <= 2; i++) {
		run_to_debug(vcpu);
		EXPECT_EQ(DR6_B(1), vcpu->run->debug.arch.dr6 & (DR6_BS | 0xf));
		/* A trap: it is written. */
		EXPECT_EQ(i, guest_var(vm, watched));
	}
	vcpu_run_done(vcpu);
}

/* ---- the debug registers themselves ---- */

/* DR7.GD in user space's DR7: it is told of what the guest does with its debug registers. */
static __guest void guest_uses_registers(void)
{
	asm volatile(".globl uses_dr6, used_dr6; uses_dr6: mov %%dr6, %%rax; used_dr6:" ::: "rax");
}
extern char uses_dr6[], used_dr6[];

TEST(general_detect)
{
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = { [7] = 0x400 | 1 << 13 },
	};
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_uses_registers, 0);

	if (host_is_tcg() && device_is_stock())
		SKIP(return, "the kernel's own KVM leaves DR7.GD to the CPU, and QEMU's TCG has none");
	set_debug(vcpu, &debug);
	EXPECT_EQ((u64)uses_dr6, run_to_debug(vcpu));
	EXPECT_EQ(1, vcpu->run->debug.arch.exception);
	EXPECT_EQ(1 << 13, vcpu->run->debug.arch.dr6 & (1 << 13 | DR6_BS | 0xf));
	debug_off(vcpu);
	vcpu_run_done(vcpu);
}

/* ---- INT3 ---- */

TEST(software_breakpoint)
{
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP,
	};
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, step_0, 0);
	u8 *code = guest_ptr(vm, (u64)step_8), old = *code;

	SKIP_ON_TCG();
	*code = 0xcc;
	set_debug(vcpu, &debug);
	EXPECT_EQ((u64)step_8, run_to_debug(vcpu));
	EXPECT_EQ(3, vcpu->run->debug.arch.exception);
	EXPECT_EQ((u64)step_8, vcpu_regs(vcpu).rip);
	*code = old;
	vcpu_run_done(vcpu);
}

/* ---- the guest's own, which user space does not ask for ---- */

static volatile u64 traps;

static __guest void count_trap(struct trap_frame *f)
{
	traps++;
}

static __guest void guest_int3(void)
{
	guest_handlers[3] = count_trap;
	asm volatile("int3");
	GUEST_ASSERT_EQ(1, traps);
}

TEST(int3_is_the_guests)
{
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
	};
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_int3, 0);

	set_debug(vcpu, &debug);
	vcpu_run_done(vcpu);
}

static __guest void guest_traps(void)
{
	guest_handlers[1] = guest_handlers[3] = count_trap;
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(1, traps);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(2, traps);
}

TEST(injected)
{
	struct kvm_guest_debug db = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB };
	struct kvm_guest_debug bp = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP };
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_traps, 0);
	struct kvm_vcpu_events events;

	vcpu_run_sync(vcpu, 1);
	set_debug(vcpu, &db);
	vcpu_run_sync(vcpu, 2);
	set_debug(vcpu, &bp);
	EXPECT_EQ(EBUSY, ioctl_errno(vcpu->fd, KVM_SET_GUEST_DEBUG, &bp));
	/* Set as one that is on its way it is no more in the way. */
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	EXPECT_EQ(3, events.exception.nr);
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	set_debug(vcpu, &bp);
	debug_off(vcpu);
	vcpu_run_done(vcpu);
}

/* ---- interrupts wait while user space steps ---- */

static __guest void guest_interrupted(void)
{
	guest_handlers[0x41] = count_trap;
	xapic_enable();
	GUEST_SYNC(1);
	sti();
	xapic_write(0x300, 1 << 18 | 0x41);	/* to itself */
	asm volatile("nop; nop");
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(1, traps);
}

/* What @guest is sent between its first sync point and its second comes after that. */
static void expect_held_back(struct __test_metadata *_metadata, void (*guest)(void))
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ };
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest, 0);

	vcpu_run_sync(vcpu, 1);
	set_debug(vcpu, &debug);
	vcpu_run_sync(vcpu, 2);
	EXPECT_EQ(0, guest_var(vm, traps));
	debug_off(vcpu);
	vcpu_run_done(vcpu);
	EXPECT_EQ(1, guest_var(vm, traps));
}

TEST(blocked_interrupts)
{
	int flags = check_extension(KVM_CAP_SET_GUEST_DEBUG2);

	ASSERT_EQ(flags, flags | KVM_GUESTDBG_BLOCKIRQ | KVM_GUESTDBG_SINGLESTEP);
	expect_held_back(_metadata, guest_interrupted);
}

/* One that the TPR held back when user space began to step, and that it holds back no more. */
static __guest void guest_interrupted_above_tpr(void)
{
	guest_handlers[0x41] = count_trap;
	xapic_enable();
	write_cr8(5);
	xapic_write(0x300, 1 << 18 | 0x41);
	sti();
	GUEST_SYNC(1);
	write_cr8(0);
	asm volatile("nop; nop");
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(1, traps);
}

TEST(blocked_interrupts_and_the_tpr)
{
	expect_held_back(_metadata, guest_interrupted_above_tpr);
}

/* User space that asks for a window gets it, before the guest's next instruction. */
static __guest void guest_open(void)
{
	sti();
	GUEST_SYNC(1);
	asm volatile("nop");
	GUEST_SYNC(2);
}

TEST(window_of_blocked_interrupts)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ };
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_open, 0);

	vcpu_run_sync(vcpu, 1);
	set_debug(vcpu, &debug);
	vcpu->run->request_interrupt_window = 1;
	vcpu_run_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	vcpu_run_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	vcpu->run->request_interrupt_window = 0;
	vcpu_run_sync(vcpu, 2);
}

TEST_HARNESS_MAIN
