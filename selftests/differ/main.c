// SPDX-License-Identifier: GPL-2.0
/*
 * Usage: differ		on $MINIKVM_DEVICE: one line a step
 *
 *   MINIKVM_SEED	another sequence
 *   MINIKVM_EPISODES	how many worlds, each with a VM of its own: 40
 *   MINIKVM_STEPS	of an episode
 *   MINIKVM_EPISODE	only this one
 *   MINIKVM_MODEL	file with the CPUID and the MSRs that all devices have: the first run
 *			writes it
 *
 * An episode is a process of its own, which dies when it takes too long.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <termios.h>

#include "differ.h"

#define EPISODE_SECONDS	20
#define ARG_SIZE	(64 << 10)
#define ARG_AT		0x10000000	/* with nothing behind them */
#define RAM_AT		0x100000000000
#define OTHER_AT	0x30000000

u32 msr_list[MSRS_MAX], nr_msrs;
static struct kvm_cpuid2 *model;
static char *arg_end;			/* behind it nothing is mapped */
static bool over;

/* ---- random numbers ---- */

static u64 state;

static void seed_step(u64 seed, u64 episode, u64 step)
{
	state = (seed * 0x9e3779b97f4a7c15 ^ episode * 0xbf58476d1ce4e5b9 ^
		 step * 0x94d049bb133111eb) | 1;
	for (int i = 0; i < 4; i++)
		rnd();
}

u64 rnd(void)
{
	return xorshift(&state);
}

u64 below(u64 n)
{
	return (rnd() >> 16) % n;
}

bool one_in(u64 n)
{
	return !below(n);
}

u64 value(void)
{
	static const u64 known[] = {
		0x7fffffffffff, 0x800000000000, 0xffff7fffffffffff, 0xffff800000000000, 0xfee00000,
		0xfee00800, 0xfee00900, 0xfee00d00, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x0007040600070406,
		0x0606060606060606, 0x500, 0xd01, 0xffff0ff0, 0x400, 0xfec00000,
	};

	switch (below(9)) {
	case 0: return 0;
	case 1: return 1ull << below(64);
	case 2: return (1ull << below(64)) - 1;
	case 3: return -1ull << below(64);
	case 4: return pick(known) + below(3) - 1;
	case 5: return pick(known);
	case 6: return rnd();
	default: return below(64);
	}
}

u32 pick_msr(void)
{
	return msr_list[below(nr_msrs)];
}

/* ---- lines ---- */

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}

void say_bytes(const char *name, const void *p, size_t size)
{
	u32 word;

	say(" | %s", name);
	for (size_t i = 0; i < size; i += 4) {
		word = 0;
		memcpy(&word, (char *)p + i, size - i < 4 ? size - i : 4);
		if (word)
			say(" %zx:%x", i, word);
	}
}

/* ---- ioctls ---- */

void *argument(size_t size)
{
	memset(arg_end - size, 0, size);
	return arg_end - size;
}

void tweak(void *p, size_t size)
{
	static const u8 sizes[] = { 1, 2, 4, 8 };
	u64 v, n, at;

	for (int i = below(3); i > 0; i--) {
		n = pick(sizes);
		if (n > size)
			n = 1;
		at = below(size / n) * n;
		v = 0;
		memcpy(&v, (char *)p + at, n);
		v = one_in(2) ? v ^ 1ull << below(8 * n) : value();
		memcpy((char *)p + at, &v, n);
		say(" [%llx/%llx]", (long long)at, (long long)n);
	}
}

int call_raw(int fd, const char *name, unsigned long cmd, unsigned long arg)
{
	int ret = ioctl(fd, cmd, arg), err = ret < 0 ? errno : 0;

	if (err)
		say(" %s = %s", name, strerrorname_np(err));
	else
		say(" %s = %d", name, ret);
	return ret;
}

int call(int fd, const char *name, unsigned long cmd, void *arg)
{
	unsigned long bad;

	if (!one_in(24))
		return call_raw(fd, name, cmd, (unsigned long)arg);
	/* Which errno, where something else is wrong as well, is not compared. */
	/*
	 * Half a struct kvm_cpuid2 is one without entries, of which KVM takes no notice everywhere;
	 * half a list is one of another length.
	 */
	bad = one_in(2) || cmd == KVM_SET_CPUID2 || cmd == KVM_GET_MSR_INDEX_LIST ||
	      cmd == KVM_GET_MSR_FEATURE_INDEX_LIST ? 0 : (unsigned long)arg + (_IOC_SIZE(cmd) + 1) / 2;
	say(" badly %s = %s", name, ioctl(fd, cmd, bad) < 0 ? "an error" : "0");
	return -1;
}

/* ---- what all devices have ---- */

static void ask_model(void)
{
	struct { struct kvm_msr_list head; u32 msrs[MSRS_MAX]; } list = { .head.nmsrs = MSRS_MAX };
	int dev = device_open();

	model = supported_cpuid();
	do_ioctl(dev, KVM_GET_MSR_INDEX_LIST, &list);
	nr_msrs = list.head.nmsrs;
	memcpy(msr_list, list.head.indices, 4 * nr_msrs);
	close(dev);
}

static void get_model(void)
{
	const char *path = getenv("MINIKVM_MODEL");
	FILE *f = path ? fopen(path, "r") : NULL;
	size_t size = sizeof(*model) + 256 * sizeof(model->entries[0]);
	bool there = f;

	if (there) {
		model = calloc(1, size);
		if (fread(model, size, 1, f) != 1 || fread(&nr_msrs, 4, 1, f) != 1 ||
		    fread(msr_list, sizeof(msr_list), 1, f) != 1)
			die("%s is no model", path);
		fclose(f);
		return;
	}
	ask_model();
	f = path ? fopen(path, "w") : NULL;
	if (!f)
		return;
	fwrite(model, size, 1, f);
	fwrite(&nr_msrs, 4, 1, f);
	fwrite(msr_list, sizeof(msr_list), 1, f);
	fclose(f);
}

struct kvm_cpuid2 *model_cpuid(void)
{
	size_t size = sizeof(*model) + model->nent * sizeof(model->entries[0]);
	struct kvm_cpuid2 *copy = argument(size);

	memcpy(copy, model, size);
	return copy;
}

/* Without a CPUID that would forbid them KVM has VMX, and UMIP that it makes itself. */
u64 cr4_not_claimed(void)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(model, 7, 0);
	bool umip = e && e->ecx & 4;

	return host_is_intel() ? 0x2000 | (umip ? 0 : 0x800) : 0;
}

/* ---- episodes ---- */

/* What kills the host has its name said. */
void say_now(void)
{
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
}

void episode_over(void)
{
	over = true;
}

bool episode_is_over(void)
{
	return over;
}

static const struct step *const groups[] = {
	device_steps, vm_steps, irq_steps, vcpu_steps, guest_steps, device_access_steps,
};

static const struct step *pick_step(void)
{
	const struct step *s;
	int sum = 0;

	for (int i = 0; i < ARRAY_SIZE(groups); i++)
		for (s = groups[i]; s->name; s++)
			sum += s->weight;
	sum = below(sum);
	for (int i = 0; ; i++)
		for (s = groups[i]; s->name; s++)
			if ((sum -= s->weight) < 0)
				return s;
}

static void begin(u64 episode, u64 step, const char *name)
{
	printf("%llu.%llu %s", (long long)episode, (long long)step, name);
	say_now();
}

static void end(void)
{
	printf("\n");
	fflush(stdout);
}

/* What nearly every VMM does; now and then something is missing, or comes later. */
static void start_world(struct world *w)
{
	struct kvm_userspace_memory_region ram = {
		.memory_size = RAM_SIZE, .userspace_addr = (u64)w->ram, .flags = one_in(4),
	};
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = 24 };
	struct kvm_pit_config pit = { 0 };
	u64 chip = below(3);

	w->vm = CALL_RAW(w->dev, KVM_CREATE_VM, 0);
	if (chip == 1)
		CALL_RAW(w->vm, KVM_CREATE_IRQCHIP, 0);
	else if (chip == 2 && one_in(2))
		CALL_RAW(w->vm, KVM_ENABLE_CAP, &split);
	w->pic = chip == 1;
	if (w->pic && one_in(2))
		CALL_RAW(w->vm, KVM_CREATE_PIT2, &pit);
	if (!one_in(16))
		w->has_ram = !CALL_RAW(w->vm, KVM_SET_USER_MEMORY_REGION, &ram);
	for (int i = 0; i < VCPUS; i++) {
		if (one_in(8 - 4 * i))
			continue;
		add_vcpu(w, i, i);
		if (!one_in(6))
			set_model_cpuid(w, i);
	}
}

/* What is at a place of its own is in no run nearer to the end of what can be mapped. */
static void *map_at(u64 address, u64 size)
{
	void *p = mmap((void *)address, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (void *)address)
		die("mmap %#llx: %m", (long long)address);
	return p;
}

static void make_world(struct world *w)
{
	memset(w, 0, sizeof(*w));
	memset(w->vcpu, -1, sizeof(w->vcpu));
	w->dev = device_open();
	w->ram = map_at(RAM_AT, RAM_SIZE);
	w->other = map_at(OTHER_AT, OTHER_SIZE);
	for (int i = 0; i < ARRAY_SIZE(w->event); i++)
		w->event[i] = eventfd(0, EFD_NONBLOCK);
}

static void tick(int signal)
{
}

static void run_episode(u64 seed, u64 episode, u64 steps)
{
	struct sigaction action = { .sa_handler = tick };
	const struct step *step;
	struct world w;

	sigaction(SIGALRM, &action, NULL);
	make_world(&w);
	seed_step(seed, episode, 0);
	begin(episode, 0, "start");
	start_world(&w);
	end();
	for (u64 i = 1; i <= steps && !over; i++) {
		seed_step(seed, episode, i);
		step = pick_step();
		begin(episode, i, step->name);
		step->run(&w);
		end();
	}
	if (over)
		return;
	begin(episode, steps + 1, "end");
	say_vm(&w);
	for (int i = 0; i < VCPUS; i++)
		say_vcpu(&w, i);
	end();
}

static void watch_episode(u64 seed, u64 episode, u64 steps)
{
	struct timespec patience = { .tv_sec = EPISODE_SECONDS };
	sigset_t child;
	int status;
	pid_t pid;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		run_episode(seed, episode, steps);
		exit(0);
	}
	if (sigtimedwait(&child, NULL, &patience) < 0)
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (status)
		printf("\n%llu.~ died of status %x\n", (long long)episode, status);
}

int main(void)
{
	u64 seed = option("MINIKVM_SEED", 1), episodes = option("MINIKVM_EPISODES", 40);
	u64 steps = option("MINIKVM_STEPS", 40), only = option("MINIKVM_EPISODE", 0);

	arg_end = (char *)map_at(ARG_AT, ARG_SIZE) + ARG_SIZE;
	get_model();
	for (u64 i = 1; i <= episodes; i++)
		if (!only || only == i)
			watch_episode(seed, i, steps);
	return 0;
}
