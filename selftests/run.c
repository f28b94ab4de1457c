// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_RUN itself: immediate_exit, signals with and without KVM_SET_SIGNAL_MASK,
 * threads that come and go, and what happens to a VM whose process is killed.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "lib/test.h"

static volatile u64 counter;

static __guest void guest_spin(void)
{
	for (;;)
		counter++;
}

static __guest void guest_syncs(void)
{
	GUEST_SYNC(1);
	GUEST_SYNC(2);
}

static volatile int signals;

static void on_signal(int sig)
{
	signals++;
}

static void handle(int sig)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(sig, &sa, NULL);
}

static void signal_in_ms(int ms)
{
	struct itimerval it = { { 0 }, { ms / 1000, ms % 1000 * 1000 } };

	handle(SIGALRM);
	setitimer(ITIMER_REAL, &it, NULL);
}

/* ---- immediate_exit ---- */

TEST(immediate_exit)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_syncs, 0);

	vcpu->run->immediate_exit = 1;
	EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
	EXPECT_EQ((u64)guest_syncs, vcpu_regs(vcpu).rip);
	vcpu->run->immediate_exit = 0;
	vcpu_run_sync(vcpu, 1);
	/* It completes the OUT that is pending and goes no further. */
	vcpu->run->immediate_exit = 1;
	EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
	EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
	vcpu->run->immediate_exit = 0;
	vcpu_run_sync(vcpu, 2);
	vcpu_run_done(vcpu);
}

/* Any value but 0 means it. */
TEST(immediate_exit_any_value)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_syncs, 0);

	vcpu->run->immediate_exit = 0x80;
	EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
}

/* ---- signals ---- */

/* On a busy machine a short time may not be enough for the guest to begin. */
TEST(signal_stops_a_loop)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_spin, 0);
	int ms = 20, sent = 0, moved = 0;
	u64 before;

	while (moved < 3 && ms < 5000) {
		before = guest_var(vm, counter);
		signal_in_ms(ms);
		EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
		EXPECT_EQ(KVM_EXIT_INTR, vcpu->run->exit_reason);
		EXPECT_EQ(++sent, signals);
		if (guest_var(vm, counter) > before)
			moved++;
		else
			ms *= 2;
	}
	EXPECT_EQ(3, moved);
}

/* A timer of CPU time may be found by the host's tick, and its signal be made later than that. */
TEST(cpu_time_stops_a_loop)
{
	const struct itimerval soon = { .it_value = { .tv_usec = 50000 } };
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_spin, 0);

	handle(SIGPROF);
	for (int i = 1; i <= 3; i++) {
		setitimer(ITIMER_PROF, &soon, NULL);
		EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
		EXPECT_EQ(KVM_EXIT_INTR, vcpu->run->exit_reason);
		EXPECT_EQ(i, signals);
	}
}

/* A signal that is pending already: the guest is not entered at all. */
TEST(pending_signal)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_spin, 0);

	handle(SIGUSR1);
	signal_in_run_alone(vcpu, SIGUSR1);
	raise(SIGUSR1);
	EXPECT_EQ(0, signals);
	EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
	EXPECT_EQ(0, guest_var(vm, counter));
	/* The mask was KVM_RUN's alone: outside it, the signal is still blocked and pending. */
	EXPECT_EQ(0, signals);
	EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
	signal_block(SIGUSR1, false);
	EXPECT_EQ(1, signals);
}

/* A mask that is refused leaves the one that there is. */
TEST(refused_mask)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_syncs, 0);
	struct signal_mask bad = { .head.len = 4 };

	handle(SIGUSR1);
	signal_in_run_alone(vcpu, SIGUSR1);
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_SIGNAL_MASK, &bad));
	EXPECT_EQ(EFAULT, ioctl_errno(vcpu->fd, KVM_SET_SIGNAL_MASK, (void *)8));
	raise(SIGUSR1);
	/* Without it the signal is blocked, and the guest gets to its first sync point. */
	EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
	EXPECT_EQ(0, signals);
	signal_block(SIGUSR1, false);
}

/* Blocked by the vCPU's mask, a signal waits until KVM_RUN returns for another reason. */
struct two_signals {
	pthread_t target;
	volatile u64 *counter;		/* moves once the target is in KVM_RUN */
};

static void *send_two_signals(void *arg)
{
	struct two_signals *s = arg;

	while (!*s->counter)
		usleep(1000);
	pthread_kill(s->target, SIGUSR1);
	usleep(20000);
	pthread_kill(s->target, SIGALRM);
	return NULL;
}

TEST(mask_blocks)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_spin, 0);
	struct signal_mask mask = { .head.len = 8, .bits = 1ull << (SIGUSR1 - 1) };
	struct two_signals two = { pthread_self(), &guest_var(vm, counter) };
	struct timespec start, end;
	pthread_t thread;

	handle(SIGUSR1);
	handle(SIGALRM);
	do_ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask);
	pthread_create(&thread, NULL, send_two_signals, &two);
	clock_gettime(CLOCK_MONOTONIC, &start);
	EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
	clock_gettime(CLOCK_MONOTONIC, &end);
	/* Both are delivered, but the first one, blocked, did not end the run. */
	EXPECT_EQ(2, signals);
	EXPECT_GE((end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000, 20);
	EXPECT_GT(guest_var(vm, counter), 0);
	pthread_join(thread, NULL);
}

/* No mask keeps out SIGKILL, whatever its bits say. */
TEST(killed_with_all_masked)
{
	struct signal_mask all = { .head.len = 8, .bits = ~0ull };
	int i, status;
	pid_t child = fork();

	if (!child) {
		struct vcpu *vcpu = vcpu_create(vm_create(0), 0, guest_spin, 0);

		do_ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &all);
		vcpu_run_once(vcpu);
		_exit(0);
	}
	usleep(300000);
	ASSERT_EQ(0, waitpid(child, &status, WNOHANG));
	kill(child, SIGKILL);
	for (i = 0; i < 100 && waitpid(child, &status, WNOHANG) != child; i++)
		usleep(100000);
	ASSERT_LT(i, 100);
	EXPECT_TRUE(WIFSIGNALED(status));
}

/* From one thread to the next; the second sees the state that the first left. */
static void *run_in_thread(void *arg)
{
	vcpu_run_sync((struct vcpu *)arg, 1);
	return NULL;
}

TEST(another_thread)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_syncs, 0);
	pthread_t thread;

	pthread_create(&thread, NULL, run_in_thread, vcpu);
	pthread_join(thread, NULL);
	vcpu_run_sync(vcpu, 2);
	vcpu_run_done(vcpu);
}

/* ---- kill -9 ---- */

/*
 * The child runs a guest that never exits, or sleeps, and is killed; the pipe's
 * end says when it, with its VM, is gone. Meanwhile another VM goes on.
 */
static void kill_in_run(struct __test_metadata *_metadata, unsigned int flags, void *guest,
			int threads)
{
	struct vm *vm;
	pthread_t thread;
	int ready[2], status, i;
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	if (!pid) {
		vm = vm_create(flags);
		for (i = 0; i < threads; i++)
			vcpu_run_thread(vcpu_create(vm, i, guest, i), &thread);
		usleep(10000);
		status = write(ready[1], "r", 1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &c, 1));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
	EXPECT_EQ(0, read(ready[0], &c, 1));
	close(ready[0]);
}

static __guest void guest_halt(void)
{
	for (;;)
		hlt();
}

static __guest void guest_mmio_loop(void)
{
	for (;;)
		cpuid(0, 0);
}

TEST(kill_spinning)
{
	int i;

	for (i = 0; i < 5; i++)
		kill_in_run(_metadata, 0, guest_spin, 1);
}

TEST(kill_halted)
{
	int i;

	for (i = 0; i < 5; i++)
		kill_in_run(_metadata, VM_IRQCHIP, guest_halt, 1);
}

TEST(kill_exiting)
{
	int i;

	for (i = 0; i < 5; i++)
		kill_in_run(_metadata, VM_PIT, guest_mmio_loop, 1);
}

TEST(kill_several_vcpus)
{
	int i;

	for (i = 0; i < 3; i++) {
		kill_in_run(_metadata, VM_IRQCHIP, guest_spin, 3);
	}
	/* And the device still works. */
	vcpu_run_sync(vcpu_create(vm_create(0), 0, guest_syncs, 0), 1);
}

/* Closing every fd while a vCPU runs in a thread: the VM lives until that returns. */
static void *run_until_signal(void *arg)
{
	struct vcpu *vcpu = arg;

	return (void *)(long)vcpu_run_once(vcpu);
}

TEST(close_while_running)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_spin, 0);
	pthread_t thread;
	void *ret;

	handle(SIGUSR1);
	pthread_create(&thread, NULL, run_until_signal, vcpu);
	while (!*(volatile u64 *)&guest_var(vm, counter))
		usleep(1000);
	close(vm->fd);
	close(vcpu->fd);
	munmap((char *)vm->ram + GUEST_FREE, GUEST_MEMORY - GUEST_FREE);
	usleep(10000);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, &ret);
	EXPECT_EQ(EINTR, (long)ret);
}

/* ---- entries that the CPU refuses ---- */

/* Of the module under test; false where it has no such parameter. */
static bool set_dump(char value)
{
	int fd = open("/sys/module/minikvm/parameters/dump_failed_entry", O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, &value, 1) == 1;

	close(fd);
	return ok;
}

static void refused(struct vcpu *vcpu)
{
	vcpu_run_exit(vcpu, KVM_EXIT_FAIL_ENTRY);
	/* SDM vol. 3, 27.8: an entry, and its reason is "invalid guest state". */
	if (host_is_intel() &&
	    vcpu->run->fail_entry.hardware_entry_failure_reason != (1u << 31 | 33))
		die("reason %#llx", vcpu->run->fail_entry.hardware_entry_failure_reason);
}

/*
 * The guest's physical addresses are wider than the CPU's, so its CR3 can be,
 * too: SDM vol. 3, 27.3.1.1. And its code is 64-bit and 32-bit at once: APM 15.5.1.
 */
static void make_bad(struct vcpu *vcpu, const struct kvm_sregs *good)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0x80000008, 0);
	struct kvm_sregs sregs = *good;

	e->eax = (e->eax & ~0xffu) | 52;
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	sregs.cr3 |= 1ull << 51;
	sregs.cs.db = 1;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &sregs);
	free(c);
}

/*
 * What no CPU enters: user space is told, each time, the log only if it is
 * asked; and the vCPU runs when it is mended.
 */
TEST(entry_refused)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 7, guest_syncs, 0);
	const char *dump = host_is_intel() ? "VMCS of vcpu 7" : "VMCB of vcpu 7";
	struct kvm_sregs good = vcpu_sregs(vcpu);

	if (!host_is_intel())
		SKIP_ON_STOCK("takes registers out of a VMCB that nothing has run in");
	if ((cpuid_find(supported_cpuid(), 0x80000008, 0)->eax & 0xff) == 52)
		SKIP(return, "the CPU has all 52 physical address bits");
	/* SVM does not say that the VMCB is left as it was: so all of it again. */
	make_bad(vcpu, &good);
	if (!host_is_intel() && !vcpu_run_once(vcpu) &&
	    vcpu->run->exit_reason != KVM_EXIT_FAIL_ENTRY)
		SKIP(return, "the CPU's VMRUN checks neither CR3 nor CS, as SVM's should");
	make_bad(vcpu, &good);
	refused(vcpu);
	make_bad(vcpu, &good);
	refused(vcpu);
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &good);
	vcpu_run_sync(vcpu, 1);

	make_bad(vcpu, &good);
	refused(vcpu);
	EXPECT_FALSE(host_logged(dump));
	if (set_dump('1')) {
		make_bad(vcpu, &good);
		refused(vcpu);
		EXPECT_TRUE(host_logged(dump));
		set_dump('0');
	}
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &good);
	vcpu_run_sync(vcpu, 2);
}

/* An exception that is on its way, as migration brings it. */
static void inject(struct vcpu *vcpu, u8 vector, bool has_error_code)
{
	struct kvm_vcpu_events events;

	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	events.exception.injected = 1;
	events.exception.nr = vector;
	events.exception.has_error_code = has_error_code;
	events.exception.error_code = 0;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
}

static __guest void guest_awaits_ud(void)
{
	GUEST_ASSERT_EQ(TRAP(6, 0), TRY("outb %%al, $0x80; 1: nop", , "a"(0)));
}

/* What the entry was to bring comes when the vCPU is mended, and is seen until then. */
TEST(entry_refused_with_event)
{
	struct vcpu *vcpu = vcpu_create(vm_create(0), 0, guest_awaits_ud, 0);
	struct kvm_vcpu_events events;
	struct kvm_regs good, bad;

	if (!host_is_intel())
		SKIP_ON_STOCK("enters what SVM does not refuse");
	vcpu_run_to_out(vcpu);
	good = bad = vcpu_regs(vcpu);
	bad.rflags |= 1 << 17;
	do_ioctl(vcpu->fd, KVM_SET_REGS, &bad);
	inject(vcpu, 6, false);
	for (int i = 0; i < 2; i++) {
		refused(vcpu);
		do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
		EXPECT_EQ(1, events.exception.injected);
		EXPECT_EQ(6, events.exception.nr);
	}
	do_ioctl(vcpu->fd, KVM_SET_REGS, &good);
	vcpu_run_done(vcpu);
}

/* SDM vol. 3, 27.2.1.3: a #UD has no error code. It is not the vCPU's for ever. */
TEST(event_refused)
{
	struct vcpu *vcpu = vcpu_create(vm_create(0), 0, guest_syncs, 0);
	struct kvm_vcpu_events good;

	if (!host_is_intel())
		SKIP(return, "SVM takes an error code with any exception");
	SKIP_ON_STOCK("keeps an event that was refused");
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &good);
	inject(vcpu, 6, true);
	vcpu_run_exit(vcpu, KVM_EXIT_FAIL_ENTRY);
	vcpu_run_exit(vcpu, KVM_EXIT_FAIL_ENTRY);
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &good);
	vcpu_run_sync(vcpu, 1);
	vcpu_run_sync(vcpu, 2);
}

static void expect_vm86_refused(struct vcpu *vcpu)
{
	struct kvm_regs good = vcpu_regs(vcpu), bad = good;

	bad.rflags |= 1 << 17;
	do_ioctl(vcpu->fd, KVM_SET_REGS, &bad);
	refused(vcpu);
	refused(vcpu);
	do_ioctl(vcpu->fd, KVM_SET_REGS, &good);
}

/* SVM leaves it to the hypervisor: APM vol. 2, 15.5.1; VMX does not: SDM vol. 3, 27.3.1.4. */
TEST(vm86_in_long_mode)
{
	struct vcpu *vcpu = vcpu_create(vm_create(0), 0, guest_syncs, 0);

	if (!host_is_intel())
		SKIP_ON_STOCK("enters what SVM does not refuse");
	expect_vm86_refused(vcpu);
	vcpu_run_sync(vcpu, 1);
}

TEST(vm86_in_real_mode)
{
	struct vcpu *vcpu = vcpu_create(vm_create(0), 0, guest_syncs, 0);
	struct kvm_sregs good = vcpu_sregs(vcpu), real = good;

	if (!host_is_intel())
		SKIP_ON_STOCK("enters what SVM does not refuse");
	real.cr0 &= ~(1ull << 31 | 1);
	real.efer = 0;
	real.cs.l = 0;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &real);
	expect_vm86_refused(vcpu);
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &good);
	vcpu_run_sync(vcpu, 1);
}

TEST_HARNESS_MAIN
