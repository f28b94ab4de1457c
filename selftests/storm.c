// SPDX-License-Identifier: GPL-2.0
/*
 * Every ioctl of docs/abi.md, by several threads at once, with arguments that are
 * half right, on VMs, vCPUs, memory and eventfds which other threads use, move and
 * close meanwhile; then SIGKILL in the middle of it. Nothing is asked of the
 * answers: the host must come out of it unhurt, with nothing left behind. The
 * kernel that watches (check --debug-kernel) sees more than this test does.
 *
 * MINIKVM_SEED and MINIKVM_IOCTLS (of a round) are other seeds and numbers. What
 * threads do to each other is no more repeatable than they are.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/param.h>
#include <sys/wait.h>

#include "lib/random.h"
#include "lib/test.h"

#define FD_device	1
#define FD_vm		2
#define FD_vcpu		4

static const struct row {
	unsigned long cmd;
	int on;
} rows[] = {
#define CAP(name, minikvm, kvm)
#define IOCTL(name, minikvm, kvm)	{ name, minikvm },
#define ROW(name)
#define HEADER(name)
#include "abi_rows.h"
};

#define THREADS		4
#define VMS		2
#define VCPUS		3		/* of a VM */
#define EVENTS		4
#define ARG_SIZE	(64 << 10)	/* the greatest argument, with what follows it */
#define MEM_SIZE	(8ul << 20)

static int device;
static int vms[VMS], vcpus[VMS * VCPUS], events[EVENTS];
static char *mem;

/* Shared with the test, which wants to know that something was done. */
static struct {
	u64 ioctls, done, runs, exits;
} *counts;

#define count(what)	((void)__atomic_fetch_add(&counts->what, 1, __ATOMIC_RELAXED))

/* ---- random numbers, of each thread ---- */

static __thread u64 seed;

static u64 rnd(void)
{
	return xorshift(&seed);
}

static u64 below(u64 n)
{
	return (rnd() >> 16) % n;
}

static bool one_in(u64 n)
{
	return !below(n);
}

/* ---- arguments ---- */

static u64 page_in_mem(void)
{
	return (u64)mem + (below(MEM_SIZE) & ~(PAGE_SIZE - 1));
}

/* A number that may mean something somewhere. */
static u64 number(void)
{
	switch (below(10)) {
	case 0: return rnd();
	case 1: return ~0ull >> below(64);
	case 2: return 1ull << below(64);
	case 3: return page_in_mem();
	case 4: return below(MEM_SIZE) & ~(PAGE_SIZE - 1);
	case 5: return 0xfee00000 + below(PAGE_SIZE);
	case 6: return events[below(EVENTS)];
	case 7: return 0;
	default: return below(64);
	}
}

static void scribble(void *arg, u64 size)
{
	u64 i, n = one_in(2) ? 3 : size / 4;

	for (i = 0; i < n; i++)
		((u32 *)arg)[below(size / 4)] = number();
}

static void make_slot(struct kvm_userspace_memory_region *r)
{
	r->slot = below(4);
	r->flags = below(4);
	r->guest_phys_addr = r->slot * MEM_SIZE + (below(4) << 12);
	r->memory_size = one_in(4) ? 0 : (below(MEM_SIZE / 2) | PAGE_SIZE) & ~(PAGE_SIZE - 1);
	r->userspace_addr = page_in_mem();
}

static void make_log(struct kvm_dirty_log *log)
{
	log->slot = below(4);
	log->dirty_bitmap = (void *)page_in_mem();
}

static void make_irqfd(struct kvm_irqfd *irqfd)
{
	irqfd->fd = events[below(EVENTS)];
	irqfd->gsi = below(24);
	irqfd->flags = below(4);
	irqfd->resamplefd = events[below(EVENTS)];
}

static void make_ioeventfd(struct kvm_ioeventfd *e)
{
	e->addr = one_in(2) ? 0x1000 : 0xd0000000;
	e->len = 1 << below(4);
	e->fd = events[below(EVENTS)];
	e->flags = below(8);
	e->datamatch = below(2);
}

/* An interruptible guest is all that ends KVM_RUN. */
static void make_mask(struct kvm_signal_mask *mask)
{
	mask->len = 8;
	memset(mask->sigset, 0, 8);
}

/* Arguments for which luck does not do. Others are what the kernel gave, scribbled over. */
static void make_argument(unsigned long cmd, void *arg)
{
	switch (cmd) {
	case KVM_SET_USER_MEMORY_REGION: make_slot(arg); break;
	case KVM_GET_DIRTY_LOG:
	case KVM_CLEAR_DIRTY_LOG: make_log(arg); break;
	case KVM_IRQFD: make_irqfd(arg); break;
	case KVM_IOEVENTFD: make_ioeventfd(arg); break;
	}
}

static const struct { unsigned long set, get; } pairs[] = {
	{ KVM_SET_REGS, KVM_GET_REGS }, { KVM_SET_SREGS, KVM_GET_SREGS },
	{ KVM_SET_SREGS2, KVM_GET_SREGS2 }, { KVM_SET_LAPIC, KVM_GET_LAPIC },
	{ KVM_SET_VCPU_EVENTS, KVM_GET_VCPU_EVENTS }, { KVM_SET_XSAVE, KVM_GET_XSAVE },
	{ KVM_SET_FPU, KVM_GET_FPU }, { KVM_SET_XCRS, KVM_GET_XCRS },
	{ KVM_SET_DEBUGREGS, KVM_GET_DEBUGREGS }, { KVM_SET_MP_STATE, KVM_GET_MP_STATE },
	{ KVM_SET_PIT2, KVM_GET_PIT2 }, { KVM_SET_CLOCK, KVM_GET_CLOCK },
	{ KVM_SET_IRQCHIP, KVM_GET_IRQCHIP },
};

static unsigned long getter_of(unsigned long cmd)
{
	for (int i = 0; i < ARRAY_SIZE(pairs); i++)
		if (pairs[i].set == cmd)
			return pairs[i].get;
	return 0;
}

/* Lists begin with how many there are; that shall fit what is mapped. */
static void fill_argument(int fd, unsigned long cmd, void *arg)
{
	u64 size = _IOC_SIZE(cmd) ?: 8;
	unsigned long get = getter_of(cmd);

	if (cmd == KVM_SET_SIGNAL_MASK) {
		make_mask(arg);
		return;
	}
	if (one_in(8))
		memset(arg, 0, ARG_SIZE);
	if (get)
		ioctl(fd, get, arg);
	else
		*(u32 *)arg = below(32);
	make_argument(cmd, arg);
	if (!one_in(3))
		scribble(arg, one_in(4) ? size + 256 : size);
}

/* ---- what a thread does ---- */

static int pick(const int *fds, int n)
{
	return __atomic_load_n(&fds[below(n)], __ATOMIC_RELAXED);
}

static int pick_fd(int on)
{
	if ((on & FD_vcpu) && (!(on & FD_vm) || one_in(2)))
		return pick(vcpus, VMS * VCPUS);
	if (on & FD_vm)
		return pick(vms, VMS);
	return device;
}

/* Whoever still uses what was there has a number that may be another file's by now. */
static void put(int *place, int fd)
{
	int old;

	if (fd < 0)
		return;
	old = __atomic_exchange_n(place, fd, __ATOMIC_RELAXED);
	if (old >= 0)
		close(old);
}

static void add_vcpu(int i)
{
	struct kvm_cpuid2 *cpuid;
	int fd = ioctl(vms[i / VCPUS], KVM_CREATE_VCPU, below(2 * VCPUS));

	if (fd >= 0 && one_in(2)) {
		cpuid = supported_cpuid();
		ioctl(fd, KVM_SET_CPUID2, cpuid);
		free(cpuid);
	}
	put(&vcpus[i], fd);
}

static void add_vm(int i)
{
	struct kvm_userspace_memory_region all = {
		.memory_size = MEM_SIZE, .userspace_addr = (u64)mem,
	};
	struct kvm_pit_config pit = { 0 };

	put(&vms[i], ioctl(device, KVM_CREATE_VM, 0));
	ioctl(vms[i], KVM_SET_USER_MEMORY_REGION, &all);
	if (!one_in(4))
		ioctl(vms[i], KVM_CREATE_IRQCHIP, 0);
	if (one_in(2))
		ioctl(vms[i], KVM_CREATE_PIT2, &pit);
	for (int n = 0; n < VCPUS; n++)
		add_vcpu(i * VCPUS + n);
}

static void any_ioctl(char *arg)
{
	const struct row *row = &rows[below(ARRAY_SIZE(rows))];
	int fd = pick_fd(row->on);

	if (!row->on)
		return;
	fill_argument(fd, row->cmd, arg);
	fd = ioctl(fd, row->cmd, one_in(8) ? (void *)number() : arg);
	count(ioctls);
	if (fd >= 0)
		count(done);
	if (fd > 2 && (row->cmd == KVM_CREATE_VM || row->cmd == KVM_CREATE_VCPU ||
		       row->cmd == KVM_GET_STATS_FD))
		close(fd);
}

static void run_vcpu(void)
{
	int fd = pick(vcpus, VMS * VCPUS);
	struct kvm_run *run = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (run == MAP_FAILED)
		return;
	for (int i = 0; i < 8; i++) {
		if (one_in(4))
			scribble(run, sizeof(*run));
		run->immediate_exit = one_in(4);
		count(runs);
		if (!ioctl(fd, KVM_RUN, 0))
			count(exits);
		else if (errno != EINTR)
			break;
	}
	munmap(run, PAGE_SIZE);
}

static void change_memory(void)
{
	void *p = (void *)page_in_mem();
	u64 size = MIN(PAGE_SIZE << below(8), (u64)(mem + MEM_SIZE - (char *)p));

	switch (below(6)) {
	case 0: madvise(p, size, MADV_DONTNEED); break;
	case 1: mprotect(p, size, PROT_READ); break;
	case 2: mprotect(p, size, PROT_READ | PROT_WRITE); break;
	case 3: madvise(p, size, one_in(2) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE); break;
	case 4: mmap(p, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); break;
	case 5: madvise(p, size, MADV_COLD); break;
	}
}

static void change_files(void)
{
	switch (below(8)) {
	case 0: add_vm(below(VMS)); break;
	case 1: put(&events[below(EVENTS)], eventfd(0, EFD_NONBLOCK)); break;
	case 2: eventfd_write(events[below(EVENTS)], 1); break;
	default: add_vcpu(below(VMS * VCPUS)); break;
	}
}

static void on_signal(int sig)
{
}

static void *blow(void *n)
{
	char *arg = mmap(NULL, ARG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	seed = option("MINIKVM_SEED", 1) * 0x9e3779b97f4a7c15 + (u64)n * 0x2545f4914f6cdd1d;
	for (;;) {
		switch (below(32)) {
		case 0: change_files(); break;
		case 1: case 2: change_memory(); break;
		case 3: case 4: case 5: run_vcpu(); break;
		default: any_ioctl(arg); break;
		}
	}
	return NULL;
}

/* Eight bytes each, of which the last are NOPs, or a jump over them. */
static const u64 instructions[] = {
	0x9090909090eeec90,	/* IN AL, DX; OUT DX, AL */
	0x9090909090efed90,	/* IN EAX, DX; OUT DX, EAX */
	0x90909090906cf390,	/* REP INSB */
	0x90909090906ef390,	/* REP OUTSB */
	0x9090909090078b90,	/* a load and a store, where memory may not be */
	0x9090909090078990,
	0x909090909090a20f,	/* CPUID */
	0x909090909090320f,	/* RDMSR */
	0x909090909090300f,	/* WRMSR */
	0x90909090f490fb90,	/* STI; HLT */
	0x9090909090c1010f,	/* VMCALL, VMMCALL */
	0x9090909090d9010f,
	0x909090909003ebcf,	/* IRET; a jump */
};

/* Code that no assembler made, and that mostly gets somewhere. */
static void fill_memory(void)
{
	for (u64 i = 0; i < MEM_SIZE; i += 8)
		*(u64 *)(mem + i) = one_in(4) ? rnd() : instructions[below(ARRAY_SIZE(instructions))];
}

/* A process that only SIGKILL ends. Its threads get signals, for KVM_RUN to return. */
static void storm(u64 round)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pthread_t threads[THREADS];

	seed = option("MINIKVM_SEED", 1) + round * 0x9e3779b97f4a7c15;
	sigaction(SIGUSR1, &sa, NULL);
	device = device_open();
	mem = map_memory(MEM_SIZE);
	fill_memory();
	memset(vms, -1, sizeof(vms));
	memset(vcpus, -1, sizeof(vcpus));
	for (int i = 0; i < EVENTS; i++)
		events[i] = eventfd(0, EFD_NONBLOCK);
	for (int i = 0; i < VMS; i++)
		add_vm(i);
	for (u64 i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, blow, (void *)(round * THREADS + i + 1));
	for (;;) {
		usleep(1000);
		pthread_kill(threads[below(THREADS)], SIGUSR1);
	}
}

/* ---- the host, before and after ---- */

static __guest void guest_nothing(void)
{
}

/* Whether it went on to the end: a guest may write over its own VMM, which is the VMM's affair. */
static bool storm_until(u64 round, u64 ioctls)
{
	bool ended = false;
	pid_t pid = fork();

	if (!pid)
		storm(round);
	while (!ended && counts->ioctls < ioctls) {
		usleep(10000);
		ended = waitpid(pid, NULL, WNOHANG) == pid;
	}
	if (!ended) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return !ended;
}

TEST(ioctls)
{
	u64 ioctls = option("MINIKVM_IOCTLS", 800), rounds = 6, whole = 0;
	long before = host_splats();

	/* KVM_SET_MP_STATE on a vCPU whose timer is VMX's. */
	if (host_is_intel())
		SKIP_ON_STOCK("lets user space make it WARN");
	counts = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (u64 round = 0; round < rounds; round++) {
		whole += storm_until(round, counts->ioctls + ioctls);
		vcpu_run_done(vcpu_create(vm_create(VM_PIT), 0, guest_nothing, 0));
		ASSERT_EQ(before, host_splats());
	}
	TH_LOG("%llu ioctls, %llu of them done; %llu runs of a vCPU, %llu exits", counts->ioctls,
	       counts->done, counts->runs, counts->exits);
	EXPECT_LT(rounds / 2, whole);
	EXPECT_LT(counts->ioctls / 8, counts->done);
	EXPECT_LT(0, counts->exits);
}

TEST_HARNESS_MAIN
