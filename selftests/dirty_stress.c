// SPDX-License-Identifier: GPL-2.0
/*
 * Not one dirty page is lost: vCPUs write at random while the log is started,
 * read, stopped and started again, while slots are deleted, made anew, split
 * and moved, while the host collapses, splits, swaps, merges, copies and moves
 * the memory, and while the collapse worker runs.
 *
 *  - A copy that is kept up to date from the log alone must be the guest's
 *    memory, byte for byte.
 *  - A page that the guest's own record says was written since logging began
 *    must be in the union of the logs.
 *  - The guest's own sum of what it wrote must be that of its memory.
 *
 * MINIKVM_WRITES (100,000) are shared by the tests; each goes on for as many,
 * and for MINIKVM_LOGS (20) readings of the log, from MINIKVM_SEED (1).
 */
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <sys/swap.h>
#include <sys/wait.h>

#include "lib/debugfs.h"
#include "lib/random.h"
#include "lib/test.h"

/* A run of 10 million is the caller's to watch. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 7200

#define BASE	0x40000000ul
#define AWAY	0x50000000ul		/* where a slot is moved, and comes back from */
#define SIZE	(4 * HUGE_SIZE)
#define PAGES	(SIZE / PAGE_SIZE)
#define SLOT	1
#define CPUS	3
#define TESTS	6

WITH_TLB_DEBUG

#define RING_ENTRIES	1024
#define RING_BYTES	(RING_ENTRIES * sizeof(struct kvm_dirty_gfn))

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* ---- the guest ---- */

static volatile struct {
	u64 seed;
	u64 done;		/* the guest's record: how many, */
	u64 sum;		/* the sum of all values that are in memory, */
	u32 wrote[PAGES];	/* and in which epoch it last wrote a page */
	u64 paused;		/* answers ->pause */
} jobs[CPUS];
static volatile struct {
	u32 epoch;		/* moves when a log has begun */
	u64 pause;
	bool stop;
} control;

static __guest void guest_pause(u64 cpu)
{
	u64 n = control.pause;

	if (!n)
		return;
	jobs[cpu].paused = n;
	while (control.pause == n)
		cpu_pause();
}

/*
 * Each vCPU has its own part of each page, so that none disturbs another's sum.
 * A write replaces a value: the sum follows. Sizes from 1 to 8 bytes, and
 * atomic operations.
 */
static __guest void guest_write(u64 cpu)
{
	u64 s = jobs[cpu].seed, i, r, page, old, v;
	volatile u64 *p;
	u32 epoch;

	for (i = 0; !control.stop; i++) {
		guest_pause(cpu);
		r = xorshift(&s);
		page = r % PAGES;
		p = (u64 *)(BASE + page * PAGE_SIZE) +
		    cpu * (PAGE_SIZE / 8 / CPUS) + (r >> 32) % (PAGE_SIZE / 8 / CPUS);
		/* What it says holds for the write that follows. */
		epoch = control.epoch;
		old = *p;
		switch (r >> 60) {
		case 0:
			*(volatile u8 *)p = r >> 40;
			break;
		case 1:
			*(volatile u16 *)p = r >> 40;
			break;
		case 2:
			*(volatile u32 *)p = r >> 40;
			break;
		case 3:
			v = r;
			asm volatile("lock xaddq %0, (%1)" : "+r"(v) : "r"(p) : "memory");
			break;
		case 4:
			v = old;
			asm volatile("lock cmpxchgq %1, (%2)" : "+a"(v) : "r"(r), "r"(p)
				     : "memory");
			break;
		default:
			*p = r;
		}
		jobs[cpu].wrote[page] = epoch;
		jobs[cpu].sum += *p - old;
		jobs[cpu].done = i + 1;
	}
}

/* ---- the host ---- */

enum backing { SMALL, HUGE, HUGETLB, SHARED };

struct stress;

struct runner {
	struct stress *stress;
	struct vcpu *vcpu;
	struct kvm_dirty_gfn *ring;
	u32 next;			/* entry of the ring */
	pthread_t thread;
	volatile u64 outs;		/* times that a signal got it out of KVM_RUN */
	volatile bool ended;
};

struct stress {
	struct vm *vm;
	char *mem, *copy;
	enum backing backing;
	u64 manual;			/* KVM_DIRTY_LOG_* */
	bool ring, logging;
	u64 split;			/* pages in the first of two slots; 0: there is one */
	u64 s, dirty, rounds, changes;
	bool in_log[PAGES];
	struct runner runners[CPUS];
};

static void *run_vcpu(void *arg)
{
	struct runner *r = arg;
	int error;

	for (;;) {
		error = vcpu_run_once(r->vcpu);
		if (error == EINTR)
			r->outs++;
		else if (error)
			die("KVM_RUN: %s", strerror(error));
		else if (r->vcpu->run->exit_reason == KVM_EXIT_DIRTY_RING_FULL)
			usleep(100);
		else
			break;
	}
	if (vcpu_report(r->vcpu).kind != REPORT_DONE)
		die("vCPU %d: exit reason %u", r->vcpu->id, r->vcpu->run->exit_reason);
	r->ended = true;
	return NULL;
}

static void nothing(int sig)
{
}

/* ---- slots ---- */

static void set_slot(struct stress *st, u32 slot, u64 gpa, u64 first, u64 pages)
{
	u32 flags = st->logging ? KVM_MEM_LOG_DIRTY_PAGES : 0;

	if (vm_set_slot(st->vm, slot, flags, gpa + first * PAGE_SIZE, pages * PAGE_SIZE,
			st->mem + first * PAGE_SIZE))
		die("slot %u of %lu pages cannot be set: %m", slot, pages);
}

static void set_slots(struct stress *st, u64 gpa)
{
	set_slot(st, SLOT, gpa, 0, st->split ?: PAGES);
	if (st->split)
		set_slot(st, SLOT + 1, gpa, st->split, PAGES - st->split);
}

static void delete_slots(struct stress *st)
{
	vm_set_slot(st->vm, SLOT, 0, BASE, 0, NULL);
	if (st->split)
		vm_set_slot(st->vm, SLOT + 1, 0, BASE, 0, NULL);
}

/* ---- the log ---- */

static void copy_page(struct stress *st, u64 page)
{
	memcpy(st->copy + page * PAGE_SIZE, st->mem + page * PAGE_SIZE, PAGE_SIZE);
	st->in_log[page] = true;
	st->dirty++;
}

/* Get and clear first, then copy: what is written in between is dirty again. */
static void harvest_slot(struct stress *st, u32 slot, u64 first, u64 pages)
{
	u64 bitmap[PAGES / 64] = {}, i;
	struct kvm_dirty_log get = { .slot = slot, .dirty_bitmap = bitmap };
	struct kvm_clear_dirty_log clear = {
		.slot = slot, .num_pages = pages, .dirty_bitmap = bitmap,
	};

	do_ioctl(st->vm->fd, KVM_GET_DIRTY_LOG, &get);
	if (st->manual)
		do_ioctl(st->vm->fd, KVM_CLEAR_DIRTY_LOG, &clear);
	for (i = 0; i < pages; i++)
		if (bitmap[i / 64] >> i % 64 & 1)
			copy_page(st, first + i);
}

static void harvest_ring(struct stress *st, struct runner *r, bool *pages)
{
	struct kvm_dirty_gfn *gfn;

	for (;; r->next++) {
		gfn = &r->ring[r->next % RING_ENTRIES];
		if (__atomic_load_n(&gfn->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
			break;
		pages[gfn->offset + (gfn->slot == SLOT + 1 ? st->split : 0)] = true;
		__atomic_store_n(&gfn->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
}

static void harvest_rings(struct stress *st)
{
	bool pages[PAGES] = {};
	u64 i;

	for (i = 0; i < CPUS; i++)
		harvest_ring(st, &st->runners[i], pages);
	do_ioctl(st->vm->fd, KVM_RESET_DIRTY_RINGS, 0);
	for (i = 0; i < PAGES; i++)
		if (pages[i])
			copy_page(st, i);
}

static void harvest(struct stress *st)
{
	if (st->ring) {
		harvest_rings(st);
	} else {
		harvest_slot(st, SLOT, 0, st->split ?: PAGES);
		if (st->split)
			harvest_slot(st, SLOT + 1, st->split, PAGES - st->split);
	}
	st->rounds++;
}

/* Entries of a log that has ended would be taken for those of the next. */
static void set_logging(struct stress *st, bool on)
{
	st->logging = on;
	set_slots(st, BASE);
	if (!on)
		return;
	if (st->ring)
		harvest_rings(st);
	memset(st->in_log, 0, sizeof(st->in_log));
	/* Whoever starts a log begins with all of it, or has it begin so. */
	if (!(st->manual & KVM_DIRTY_LOG_INITIALLY_SET))
		memcpy(st->copy, st->mem, SIZE);
	guest_var(st->vm, control).epoch++;
}

/* ---- while the guest stands still ---- */

static void get_out(struct runner *r)
{
	u64 outs = r->outs;

	while (r->outs == outs && !r->ended) {
		pthread_kill(r->thread, SIGUSR1);
		usleep(200);
	}
}

static void pause_guest(struct stress *st)
{
	u64 n = ++st->changes, i;

	guest_var(st->vm, control).pause = n;
	for (i = 0; i < CPUS; i++) {
		while (guest_var(st->vm, jobs)[i].paused != n) {
			/* It may wait for room in its ring. */
			if (st->ring && st->logging)
				harvest(st);
			usleep(200);
		}
		/* What hardware still knows of dirty pages comes out with it. */
		if (st->ring)
			get_out(&st->runners[i]);
	}
}

/* With the guest still and the log read, copy and record are exact. */
static void check(struct stress *st)
{
	u32 epoch = guest_var(st->vm, control).epoch;
	u64 i, cpu;

	for (i = 0; i < PAGES; i++) {
		if (memcmp(st->copy + i * PAGE_SIZE, st->mem + i * PAGE_SIZE, PAGE_SIZE))
			die("page %#lx was written and is not in the log", i);
		for (cpu = 0; cpu < CPUS; cpu++)
			if (guest_var(st->vm, jobs)[cpu].wrote[i] == epoch && !st->in_log[i])
				die("vCPU %lu says it wrote page %#lx, no log does", cpu, i);
	}
}

static void move_slots(struct stress *st)
{
	set_slots(st, AWAY);
	set_slots(st, BASE);
}

static void new_slots(struct stress *st, u64 r)
{
	delete_slots(st);
	st->split = r & 1 ? 0 : 1 + (r >> 1) % (PAGES - 1);
	set_slots(st, BASE);
}

/* A page or a huge page goes and comes back, unless it is of two mappings. */
static void remap(struct stress *st, u64 r)
{
	size_t size = r & 1 ? PAGE_SIZE : HUGE_SIZE;
	char *mem = st->mem + (r >> 1) % (SIZE / size) * size;
	char *away;

	if (st->backing == HUGETLB)
		return;
	away = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mremap(mem, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, away) == away) {
		if (mremap(away, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, mem) != mem)
			die("mremap: %m");
	} else {
		munmap(away, size);
	}
}

static void change(struct stress *st, u64 r)
{
	pause_guest(st);
	if (st->logging) {
		harvest(st);
		check(st);
	}
	switch (r % 4) {
	case 0:
		move_slots(st);
		break;
	case 1:
		remap(st, r >> 2);
		break;
	default:
		new_slots(st, r >> 2);
	}
	guest_var(st->vm, control).pause = 0;
}

/* ---- what a host does to memory, of its own accord ---- */

static void write_file(const char *pattern, const char *text)
{
	glob_t found;
	size_t i;
	int fd;

	if (glob(pattern, 0, NULL, &found))
		return;
	for (i = 0; i < found.gl_pathc; i++) {
		fd = open(found.gl_pathv[i], O_WRONLY);
		if (fd < 0)
			continue;
		/* What this host has not got, it does without. */
		(void)!write(fd, text, strlen(text));
		close(fd);
	}
	globfree(&found);
}

static void fork_and_end(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
}

static void disturb(struct stress *st, u64 r)
{
	char *huge = st->mem + r % (SIZE / HUGE_SIZE) * HUGE_SIZE;
	char *page = huge + (r >> 40) % 512 * PAGE_SIZE;

	switch (r >> 32 & 15) {
	case 0 ... 2:
		madvise(huge, HUGE_SIZE, MADV_HUGEPAGE);
		madvise(huge, HUGE_SIZE, MADV_COLLAPSE);
		break;
	case 3:
		madvise(huge, HUGE_SIZE, MADV_NOHUGEPAGE);
		madvise(page, PAGE_SIZE, MADV_PAGEOUT);
		break;
	case 4:
		madvise(huge, HUGE_SIZE, MADV_PAGEOUT);
		break;
	case 5:
		madvise(huge, HUGE_SIZE, MADV_COLD);
		break;
	case 6:
		/* Another slot comes and goes next door. */
		vm_set_slot(st->vm, SLOT + 2, 0, BASE + SIZE, PAGE_SIZE, st->copy);
		vm_set_slot(st->vm, SLOT + 2, 0, BASE + SIZE, 0, NULL);
		break;
	case 7:
		madvise(huge, HUGE_SIZE, r >> 63 ? MADV_MERGEABLE : MADV_UNMERGEABLE);
		break;
	case 8:
		write_file("/proc/sys/vm/compact_memory", "1");
		break;
	case 9:
		if (st->backing != HUGETLB)
			fork_and_end();
		break;
	case 10 ... 12:
		write_file("/sys/kernel/debug/minikvm/*/collapse_now", "1");
		break;
	}
}

/* Swap and page merging, on a host that is there for tests; else do without. */
static void prepare_host(void)
{
	write_file("/sys/module/minikvm/parameters/collapse_delay_ms", "20");
	write_file("/sys/kernel/mm/ksm/sleep_millisecs", "20");
	write_file("/sys/kernel/mm/ksm/run", "1");
	if (!host_swap_on())
		fprintf(stderr, "# no swap here\n");
}

/* ---- a run ---- */

static char *map_backing(enum backing backing)
{
	char *mem;
	int fd;

	switch (backing) {
	case SHARED:
		fd = memfd_create("stress", 0);
		if (fd < 0 || ftruncate(fd, SIZE))
			return MAP_FAILED;
		mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
		return mem;
	case HUGETLB:
		write_file("/proc/sys/vm/nr_hugepages", "8");
		return mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	case HUGE:
		mem = map_memory(SIZE);
		madvise(mem, SIZE, MADV_HUGEPAGE);
		return mem;
	default:
		return map_memory(SIZE);
	}
}

static void start_vcpus(struct stress *st)
{
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct runner *r;
	u64 i;

	for (i = 0; i < CPUS; i++) {
		r = &st->runners[i];
		guest_var(st->vm, jobs)[i].seed = xorshift(&st->s);
		r->stress = st;
		r->vcpu = vcpu_create(st->vm, i, guest_write, i);
		if (st->ring)
			r->ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
				       r->vcpu->fd, KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE);
		do_ioctl(r->vcpu->fd, KVM_SET_MP_STATE, &mp);
		pthread_create(&r->thread, NULL, run_vcpu, r);
	}
}

static void enable(struct stress *st, u32 cap, u64 arg)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg } };

	do_ioctl(st->vm->fd, KVM_ENABLE_CAP, &enable);
}

static u64 guest_done(struct stress *st)
{
	u64 n = 0;
	int i;

	for (i = 0; i < CPUS; i++)
		n += guest_var(st->vm, jobs)[i].done;
	return n;
}

static u64 sum_of_memory(const char *mem)
{
	const u64 *p = (const u64 *)mem;
	u64 sum = 0, i;

	for (i = 0; i < SIZE / 8; i++)
		sum += p[i];
	return sum;
}

static void one_round(struct stress *st)
{
	u64 r = xorshift(&st->s);

	if (!st->logging || r % 16 == 0)
		set_logging(st, !st->logging);
	else if (r % 16 == 1)
		change(st, xorshift(&st->s));
	else if (r % 4 == 2)
		disturb(st, xorshift(&st->s));
	else
		harvest(st);
	usleep(r >> 32 & 511);
}

static void end_guest(struct stress *st)
{
	u64 i;

	if (!st->logging)
		set_logging(st, true);
	guest_var(st->vm, control).stop = true;
	for (i = 0; i < CPUS; i++) {
		while (st->ring && !st->runners[i].ended) {
			harvest(st);
			usleep(200);
		}
		pthread_join(st->runners[i].thread, NULL);
	}
	harvest(st);
}

static void run_stress(struct __test_metadata *_metadata, struct stress *st)
{
	u64 writes = option("MINIKVM_WRITES", 100000) / TESTS, logs = option("MINIKVM_LOGS", 20);
	u64 seed = option("MINIKVM_SEED", 1), sum = 0, i;

	signal(SIGUSR1, nothing);
	prepare_host();
	/* Each test its own numbers out of one seed. */
	st->s = (seed * TESTS + st->backing + 8 * st->manual + 32 * st->ring + 1) *
		0x9e3779b97f4a7c15;
	st->vm = vm_create(VM_IRQCHIP);
	if (st->ring)
		enable(st, KVM_CAP_DIRTY_LOG_RING, RING_BYTES);
	if (st->manual)
		enable(st, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, st->manual);
	st->copy = map_memory(SIZE);
	set_logging(st, false);
	start_vcpus(st);
	while (guest_done(st) < writes || st->rounds < logs)
		one_round(st);
	end_guest(st);
	check(st);

	for (i = 0; i < CPUS; i++)
		sum += guest_var(st->vm, jobs)[i].sum;
	EXPECT_EQ(sum, sum_of_memory(st->mem));
	/* The guest was busy all over its memory: a log that says little is a test that does. */
	EXPECT_GT(st->dirty, 10 * st->rounds);
	TH_LOG("seed %lu: %lu writes, %lu logs read, %lu pages in them, %lu changes of slots",
	       seed, guest_done(st), st->rounds, st->dirty, st->changes);
	/* What comes next begins on a host as it was. */
	write_file("/proc/sys/vm/nr_hugepages", "0");
}

static void run(struct __test_metadata *_metadata, enum backing backing, u64 manual, bool ring)
{
	struct stress *st = calloc(1, sizeof(*st));

	st->backing = backing;
	st->manual = manual;
	st->ring = ring;
	st->mem = map_backing(backing);
	if (st->mem == MAP_FAILED)
		SKIP(return, "this host has no such memory: %m");
	run_stress(_metadata, st);
}

TEST(small_pages)
{
	run(_metadata, SMALL, 0, false);
}

TEST(huge_pages)
{
	run(_metadata, HUGE, 0, false);
}

TEST(hugetlb)
{
	run(_metadata, HUGETLB, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE, false);
}

TEST(shared_memory)
{
	run(_metadata, SHARED, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE, false);
}

TEST(initially_set)
{
	run(_metadata, HUGE, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET,
	    false);
}

TEST(rings)
{
	if (!check_extension(KVM_CAP_DIRTY_LOG_RING))
		SKIP(return, "no dirty ring");
	run(_metadata, HUGE, 0, true);
}

TEST_HARNESS_MAIN
