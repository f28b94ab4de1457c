// SPDX-License-Identifier: GPL-2.0
/*
 * A CPU of the host goes offline and comes back, under guests that run on it, have run on it, or
 * are made meanwhile. None of them notices, and it comes back in virtualization mode: it has left
 * that before it went, or its INIT would have been blocked (SDM vol. 3, 24.8).
 */
#include <fcntl.h>

#include "lib/test.h"

#define ONLINE		"/sys/devices/system/cpu/cpu1/online"
#define MSR_LSTAR	0xc0000082
#define MSR_KERNEL_GS	0xc0000102
#define ROUNDS		4

static volatile u64 turns;
static volatile bool stop;

static void set_cpu1(bool online)
{
	int fd = open(ONLINE, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, online ? "1" : "0", 1) != 1)
		die("CPU 1 does not go %s: %m", online ? "online" : "offline");
	close(fd);
}

static __guest void check_state(u64 n)
{
	u64 v;

	GUEST_ASSERT_EQ(0x123400 + n, rdmsr(MSR_LSTAR));
	GUEST_ASSERT_EQ(0x567800 + n, rdmsr(MSR_KERNEL_GS));
	asm volatile("movq %%xmm7, %0" : "=r"(v));
	GUEST_ASSERT_EQ(n, v);
}

static __guest void set_state(u64 n)
{
	wrmsr(MSR_LSTAR, 0x123400 + n);
	wrmsr(MSR_KERNEL_GS, 0x567800 + n);
	asm volatile("movq %0, %%xmm7" : : "r"(n));
}

static __guest void guest_stages(u64 n)
{
	u64 i;

	set_state(n);
	for (i = 0; i < 3; i++) {
		GUEST_SYNC(i);
		check_state(n);
	}
}

static __guest void guest_turns(u64 n)
{
	set_state(n);
	while (!stop) {
		check_state(n);
		turns++;
	}
}

static struct vcpu *stages(u64 n)
{
	return vcpu_create(vm_create(0), 0, guest_stages, n);
}

static void discard(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	vcpu_free(vcpu);
	vm_free(vm);
}

#define NEED_TWO_CPUS() do {							\
	if (!host_is_emulated())						\
		SKIP(return, "this machine is no emulated host: its CPUs stay");	\
	if (host_cpus() < 2 || access(ONLINE, W_OK))				\
		SKIP(return, "one CPU, or none that can go offline");		\
} while (0)

TEST(where_a_vcpu_has_run)
{
	struct vcpu *stays, *moves, *goes, *comes;

	NEED_TWO_CPUS();
	host_go_to(1);
	stays = stages(1);
	moves = stages(2);
	goes = stages(3);
	vcpu_run_sync(stays, 0);
	vcpu_run_sync(moves, 0);
	vcpu_run_sync(goes, 0);
	set_cpu1(false);
	vcpu_run_sync(moves, 1);
	discard(goes);
	comes = stages(4);
	vcpu_run_sync(comes, 0);
	set_cpu1(true);
	/* One that goes offline forgets who was to run there. */
	host_go_to(1);
	vcpu_run_sync(stays, 1);
	vcpu_run_sync(moves, 2);
	vcpu_run_sync(comes, 1);
	vcpu_run_sync(comes, 2);
	host_go_to(0);
	vcpu_run_sync(stays, 2);
	vcpu_run_done(stays);
	vcpu_run_done(moves);
	vcpu_run_done(comes);
	discard(stays);
	discard(moves);
	discard(comes);
}

static bool turns_on(struct vm *vm)
{
	volatile u64 *count = &guest_var(vm, turns);
	u64 n = *count;
	int i;

	for (i = 0; i < 1000 && *count < n + 2; i++)
		usleep(10000);
	return *count >= n + 2;
}

TEST(under_running_vcpus)
{
	struct vcpu *vcpus[2];
	pthread_t threads[2];
	int i, round;

	NEED_TWO_CPUS();
	for (i = 0; i < 2; i++) {
		vcpus[i] = vcpu_create(vm_create(0), 0, guest_turns, i + 1);
		/* It inherits its place. */
		host_go_to(i);
		vcpu_run_thread(vcpus[i], &threads[i]);
	}
	host_go_to(0);
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < 2; i++)
			ASSERT_TRUE(turns_on(vcpus[i]->vm));
		set_cpu1(round & 1);
	}
	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(turns_on(vcpus[i]->vm));
		guest_var(vcpus[i]->vm, stop) = true;
		pthread_join(threads[i], NULL);
		discard(vcpus[i]);
	}
}

TEST_HARNESS_MAIN
