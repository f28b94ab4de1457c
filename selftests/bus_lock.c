// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_CAP_X86_BUS_LOCK_EXIT: user space learns that a guest has locked the bus, by a locked
 * access to two cache lines. What an exit's reason says of it is selftests/unit/bus_lock.c's.
 */
#include "lib/test.h"

#define LINE		64
#define MODES		(KVM_BUS_LOCK_DETECTION_OFF | KVM_BUS_LOCK_DETECTION_EXIT)

static int set_mode(struct vm *vm, u64 mode)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_BUS_LOCK_EXIT, .args[0] = mode };

	return ioctl_errno(vm->fd, KVM_ENABLE_CAP, &cap);
}

static bool detects(void)
{
	return check_extension(KVM_CAP_X86_BUS_LOCK_EXIT);
}

#define NEEDS_DETECTION() do {							\
	if (!detects())								\
		SKIP(return, "this CPU does not tell of bus locks");		\
} while (0)

TEST(modes)
{
	struct vm *vm = vm_create(VM_BARE);
	int there = check_extension(KVM_CAP_X86_BUS_LOCK_EXIT);

	SKIP_ON_STOCK("takes neither mode for one, and each of them on any CPU");
	EXPECT_TRUE(there == 0 || there == MODES);
	EXPECT_EQ(EINVAL, set_mode(vm, 0));
	EXPECT_EQ(EINVAL, set_mode(vm, MODES));
	EXPECT_EQ(EINVAL, set_mode(vm, 1 << 2));
	EXPECT_EQ(EINVAL, set_mode(vm, 1ull << 32));
	EXPECT_EQ(there ? 0 : EINVAL, set_mode(vm, KVM_BUS_LOCK_DETECTION_EXIT));
	EXPECT_EQ(there ? 0 : EINVAL, set_mode(vm, KVM_BUS_LOCK_DETECTION_OFF));
}

TEST(not_of_a_vcpu_that_is_there)
{
	struct vm *vm = vm_create(VM_BARE);

	SKIP_ON_STOCK("takes it, to no effect on vCPUs that are there");
	vcpu_create(vm, 0, NULL, 0);
	EXPECT_EQ(EINVAL, set_mode(vm, KVM_BUS_LOCK_DETECTION_EXIT));
	EXPECT_EQ(EINVAL, set_mode(vm, KVM_BUS_LOCK_DETECTION_OFF));
}

static u8 lines[2 * LINE] __attribute__((aligned(LINE)));

extern const char behind_add[], behind_xchg[];

/* One that must not be seen before each one that must. */
static __guest void guest_locks(void)
{
	u32 *split = (u32 *)(lines + LINE - 2);
	u32 value = 7;

	asm volatile("addl $1, %0" : "+m"(*split));
	asm volatile("lock addl $1, %0; .globl behind_add; behind_add:" : "+m"(*split));
	asm volatile("lock addl $1, %0" : "+m"(*(u32 *)(lines + LINE - 4)));
	asm volatile("xchgl %0, %1; .globl behind_xchg; behind_xchg:" : "+r"(value), "+m"(*split));
	GUEST_ASSERT_EQ(7, *split);
	GUEST_VALUE(value);
}

static void expect_bus_lock(struct __test_metadata *_metadata, struct vcpu *vcpu, const char *rip)
{
	vcpu_run_exit(vcpu, KVM_EXIT_X86_BUS_LOCK);
	EXPECT_EQ(KVM_RUN_X86_BUS_LOCK, vcpu->run->flags);
	if (rip)
		EXPECT_EQ((u64)rip, vcpu_regs(vcpu).rip);
}

TEST(exits)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu;

	NEEDS_DETECTION();
	ASSERT_EQ(0, set_mode(vm, KVM_BUS_LOCK_DETECTION_EXIT));
	vcpu = vcpu_create(vm, 0, guest_locks, 0);
	/* A trap: the instruction has executed. */
	expect_bus_lock(_metadata, vcpu, behind_add);
	EXPECT_EQ(2, *(u32 *)(guest_ptr(vm, (u64)lines) + LINE - 2));
	expect_bus_lock(_metadata, vcpu, behind_xchg);
	EXPECT_EQ(2, vcpu_run_value(vcpu));
	EXPECT_EQ(0, vcpu->run->flags);
	vcpu_run_done(vcpu);
	EXPECT_EQ(0, vcpu->run->flags);
}

TEST(does_not_exit)
{
	u64 modes[] = { KVM_BUS_LOCK_DETECTION_OFF, 0 };
	struct vcpu *vcpu;
	struct vm *vm;
	int i;

	NEEDS_DETECTION();
	for (i = 0; i < 2; i++) {
		vm = vm_create(0);
		if (modes[i]) {
			ASSERT_EQ(0, set_mode(vm, KVM_BUS_LOCK_DETECTION_EXIT));
			ASSERT_EQ(0, set_mode(vm, modes[i]));
		}
		vcpu = vcpu_create(vm, 0, guest_locks, 0);
		vcpu_run_value(vcpu);
		EXPECT_EQ(0, vcpu->run->flags);
		vcpu_run_done(vcpu);
		vcpu_free(vcpu);
		vm_free(vm);
	}
}

/* What the instruction has made pending is not lost. */
static volatile u64 steps;

extern const char stepped[];

static __guest void on_db(struct trap_frame *f)
{
	steps++;
	GUEST_ASSERT_EQ((u64)stepped, f->rip);
	GUEST_ASSERT_EQ(1 << 14, read_dr6() & 0xf00f);
	f->rflags &= ~0x100ull;
}

static __guest void guest_steps(void)
{
	guest_handlers[1] = on_db;
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq; lock addl $1, %0\n"
		     ".globl stepped; stepped: nop" : "+m"(*(u32 *)(lines + LINE - 2)) : : "cc");
	GUEST_ASSERT_EQ(1, steps);
}

TEST(single_step_behind_it)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu;

	NEEDS_DETECTION();
	ASSERT_EQ(0, set_mode(vm, KVM_BUS_LOCK_DETECTION_EXIT));
	vcpu = vcpu_create(vm, 0, guest_steps, 0);
	expect_bus_lock(_metadata, vcpu, stepped);
	vcpu_run_done(vcpu);
}

/* Who has not accessed memory has not locked anything, until it does. */
static __guest void guest_faults(u64 page)
{
	u32 *split = (u32 *)(page - 2);

	*guest_pte(page) &= ~PTE_P;
	asm volatile("invlpg (%0)" : : "r"(page) : "memory");
	GUEST_ASSERT_EQ(TRAP(14, 2), TRY("lock addl $1, %1", , "m"(*split) : "memory"));
	GUEST_SYNC(1);
	*guest_pte(page) |= PTE_P;
	asm volatile("lock addl $1, %0" : "+m"(*split));
}

TEST(not_where_it_faults)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu;

	NEEDS_DETECTION();
	ASSERT_EQ(0, set_mode(vm, KVM_BUS_LOCK_DETECTION_EXIT));
	vm_map_page(vm, GVA_TEST, GUEST_LOW, PTE_P | PTE_W);
	vm_map_page(vm, GVA_TEST + PAGE_SIZE, GUEST_LOW + PAGE_SIZE, PTE_P | PTE_W);
	vcpu = vcpu_create(vm, 0, guest_faults, GVA_TEST + PAGE_SIZE);
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(0, vcpu->run->flags);
	expect_bus_lock(_metadata, vcpu, NULL);
	vcpu_run_done(vcpu);
}

TEST_HARNESS_MAIN
