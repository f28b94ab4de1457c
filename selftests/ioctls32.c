// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls of a 32-bit program, whose pointers are half as long: this program makes them by
 * INT 0x80, the 32-bit system calls' gate. What it hands over is static, so below 4 GiB.
 */
#include <signal.h>
#include <sys/wait.h>
#include "lib/test.h"

#define NR_GETPID	20	/* the numbers of 32-bit x86 */
#define NR_IOCTL	54

#define MSR_SYSENTER_CS	0x174
#define DATA_GPA	0x40000000ull
#define PAGES		128

static long syscall32(long nr, u32 a, u32 b, u32 c)
{
	long ret;

	/* r8 to r11 do not come back */
	asm volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(a), "c"(b), "d"(c)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

/* An errno, or 0. */
static int ioctl32(int fd, u32 cmd, void *arg)
{
	long ret = syscall32(NR_IOCTL, fd, cmd, (u64)arg);

	return ret < 0 ? -ret : 0;
}

static void no_gate(int sig)
{
	_exit(1);
}

/* A signal that is taken is none of the kernel's log. */
static bool host_takes_them(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, no_gate);
		_exit(syscall32(NR_GETPID, 0, 0, 0) != getpid());
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

#define NEED_THEM() do { \
	if (!host_takes_them()) \
		SKIP(return, "the host's kernel takes no 32-bit programs"); \
} while (0)

/* ---- what is the same for both ---- */

static __guest void guest_counts(void)
{
	u64 n;

	for (n = 1; ; n++)
		GUEST_VALUE(n);
}

TEST(runs)
{
	static struct kvm_regs regs;
	struct vcpu *vcpu;
	struct vm *vm;

	NEED_THEM();
	vm = vm_create(0);
	vcpu = vcpu_create(vm, 0, guest_counts, 0);
	EXPECT_EQ(0, ioctl32(vcpu->fd, KVM_RUN, NULL));
	EXPECT_EQ(1, vcpu_report(vcpu).value);
	EXPECT_EQ(2, vcpu_run_value(vcpu));
	EXPECT_EQ(0, ioctl32(vcpu->fd, KVM_GET_REGS, &regs));
	EXPECT_EQ(vcpu_regs(vcpu).rip, regs.rip);
	regs.rip = 0;
	EXPECT_EQ(0, ioctl32(vcpu->fd, KVM_SET_REGS, &regs));
	EXPECT_EQ(0, vcpu_regs(vcpu).rip);
	vm_free(vm);
}

/* ---- a bitmap's address in a field of 64 bits ---- */

static u64 bitmap[PAGES / 64];

#define CHANCE		0xdeadbeef00000000ull	/* what such a program may leave in its upper half */

static __guest void guest_writes(u64 gva)
{
	for (;;) {
		*(volatile u64 *)gva = 1;
		*(volatile u64 *)(gva + PAGE_SIZE) = 1;
		GUEST_SYNC(1);
	}
}

TEST(dirty_log)
{
	static struct kvm_clear_dirty_log clear = { .slot = 1, .num_pages = PAGES };
	static struct kvm_dirty_log log = { .slot = 1 };
	struct kvm_enable_cap manual = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { 1 } };
	struct vcpu *vcpu;
	struct vm *vm;

	NEED_THEM();
	vm = vm_create(0);
	do_ioctl(vm->fd, KVM_ENABLE_CAP, &manual);
	ASSERT_EQ(0, vm_set_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, DATA_GPA, PAGES * PAGE_SIZE,
				 map_memory(PAGES * PAGE_SIZE)));
	vm_map_page(vm, GVA_TEST, DATA_GPA + 5 * PAGE_SIZE, PTE_W);
	vm_map_page(vm, GVA_TEST + PAGE_SIZE, DATA_GPA + 6 * PAGE_SIZE, PTE_W);
	vcpu = vcpu_create(vm, 0, guest_writes, GVA_TEST);
	vcpu_run_sync(vcpu, 1);
	log.padding2 = CHANCE | (u64)bitmap;
	ASSERT_EQ(0, ioctl32(vm->fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(3 << 5, bitmap[0]);
	/* One of the two */
	bitmap[0] = 1 << 5;
	clear.padding2 = CHANCE | (u64)bitmap;
	ASSERT_EQ(0, ioctl32(vm->fd, KVM_CLEAR_DIRTY_LOG, &clear));
	ASSERT_EQ(0, ioctl32(vm->fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(1 << 6, bitmap[0]);
	/* A 64-bit program's pointer is all of the field. */
	EXPECT_EQ(EFAULT, ioctl_errno(vm->fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(EFAULT, ioctl_errno(vm->fd, KVM_CLEAR_DIRTY_LOG, &clear));
	vm_free(vm);
}

/* ---- pointers in an array: another layout, so another number ---- */

struct msr_filter32 {
	u32 flags;
	struct {
		u32 flags, nmsrs, base, bitmap;
	} ranges[KVM_MSR_FILTER_MAX_RANGES];
};

#define SET_MSR_FILTER32	_IOW(KVMIO, 0xc6, struct msr_filter32)

static __guest void guest_reads(void)
{
	u64 v;

	for (;;)
		GUEST_VALUE(try_rdmsr(MSR_SYSENTER_CS, &v));
}

TEST(msr_filter)
{
	static u8 nothing[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	static struct msr_filter32 filter = {
		.ranges[1] = { .flags = KVM_MSR_FILTER_READ, .nmsrs = 1, .base = MSR_SYSENTER_CS },
	}, none;
	struct vcpu *vcpu;
	struct vm *vm;

	NEED_THEM();
	vm = vm_create(0);
	vcpu = vcpu_create(vm, 0, guest_reads, 0);
	filter.ranges[1].bitmap = (u64)nothing;
	EXPECT_EQ(NO_TRAP, vcpu_run_value(vcpu));
	EXPECT_EQ(ENOTTY, ioctl_errno(vm->fd, SET_MSR_FILTER32, &filter));
	ASSERT_EQ(0, ioctl32(vm->fd, SET_MSR_FILTER32, &filter));
	EXPECT_EQ(TRAP(13, 0), vcpu_run_value(vcpu));
	ASSERT_EQ(0, ioctl32(vm->fd, SET_MSR_FILTER32, &none));
	EXPECT_EQ(NO_TRAP, vcpu_run_value(vcpu));
	/* And the errors: nothing is half done. */
	munmap(nothing, PAGE_SIZE);
	EXPECT_EQ(EFAULT, ioctl32(vm->fd, SET_MSR_FILTER32, &filter));
	filter.flags = 4;
	EXPECT_EQ(EINVAL, ioctl32(vm->fd, SET_MSR_FILTER32, &filter));
	EXPECT_EQ(NO_TRAP, vcpu_run_value(vcpu));
	vm_free(vm);
}

TEST_HARNESS_MAIN
