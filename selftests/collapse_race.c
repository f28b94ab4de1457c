// SPDX-License-Identifier: GPL-2.0
/*
 * The collapse worker against slots that change under it: deleted, moved,
 * split, resized, logged again, thousands of times; against VMs that end, and
 * against a module that is unloaded.
 *
 * Each page holds its number. A guest that reads and writes all of them finds
 * that number, or nothing where there is no slot, and never another page's.
 *
 * MINIKVM_CHANGES (3,000), MINIKVM_SEED (1).
 */
#include <fcntl.h>
#include <glob.h>

#include "lib/debugfs.h"
#include "lib/module.h"
#include "lib/random.h"
#include "lib/test.h"

#define BASE	0x40000000ul
#define SIZE	(4 * HUGE_SIZE)
#define PAGES	(SIZE / PAGE_SIZE)
#define SLOT	1
#define NO_SLOT	(~0ull)
#define MAGIC	0x6d696e69ull

#define DELAY	"/sys/module/minikvm/parameters/collapse_delay_ms"
#define DEBUGFS	"/sys/kernel/debug/minikvm/"

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

WITH_TLB_DEBUG

#define NEED_WORKER() do {							\
	if (access(DELAY, W_OK) || access(DEBUGFS, F_OK))			\
		SKIP(return, "no " DELAY ", or no debugfs");			\
} while (0)

/* ---- the guest ---- */

static volatile bool stop;
static volatile u64 turns;

static __guest void guest_check(u64 unused)
{
	u64 i, v;

	for (i = 0; !stop; i = (i + 1) % PAGES) {
		volatile u64 *p = (u64 *)(BASE + i * PAGE_SIZE);

		v = *p;
		GUEST_ASSERT(v == MAGIC + i || v == NO_SLOT);
		*p = MAGIC + i;
		turns++;
	}
}

/* ---- the host ---- */

struct race {
	struct vm *vm;
	struct vcpu *vcpu;
	char *mem;
	u64 first, pages;		/* of the slot; 0: there is none */
	bool logging;
	volatile bool over;
};

/* Reads of what is not there give NO_SLOT, writes go nowhere. */
static void *run_vcpu(void *arg)
{
	struct vcpu *vcpu = ((struct race *)arg)->vcpu;
	struct report r;

	for (;;) {
		r = vcpu_run(vcpu);
		if (r.kind == REPORT_DONE)
			return NULL;
		if (r.kind != REPORT_EXIT || r.exit != KVM_EXIT_MMIO)
			die("exit reason %u", r.exit);
		if (!vcpu->run->mmio.is_write)
			memset(vcpu->run->mmio.data, 0xff, 8);
	}
}

/* The worker never rests. */
static void *run_collapse(void *arg)
{
	struct race *race = arg;
	glob_t found;
	size_t i;

	while (!race->over) {
		if (glob(DEBUGFS "*/collapse_now", 0, NULL, &found))
			continue;
		for (i = 0; i < found.gl_pathc; i++)
			write_file(found.gl_pathv[i], "1");
		globfree(&found);
	}
	return NULL;
}

static void set_slot(struct race *race)
{
	if (vm_set_slot(race->vm, SLOT, race->logging ? KVM_MEM_LOG_DIRTY_PAGES : 0,
			BASE + race->first * PAGE_SIZE, race->pages * PAGE_SIZE,
			race->mem + race->first * PAGE_SIZE))
		die("%lu pages from %lu: %m", race->pages, race->first);
}

static void delete_slot(struct race *race)
{
	if (race->pages)
		vm_set_slot(race->vm, SLOT, 0, BASE, 0, NULL);
	race->pages = 0;
}

static void make_slot(struct race *race, u64 first, u64 pages)
{
	delete_slot(race);
	race->first = first;
	race->pages = pages;
	set_slot(race);
}

static void change(struct race *race, u64 r)
{
	char *huge = race->mem + (r >> 32) % (SIZE / HUGE_SIZE) * HUGE_SIZE;

	switch (r % 8) {
	case 0:
		delete_slot(race);
		break;
	case 1:
		/* Any part of it, and mostly not on a boundary of 2M. */
		make_slot(race, (r >> 8) % (PAGES / 2), 1 + (r >> 32) % (PAGES / 2));
		break;
	case 2:
		if (!race->pages)
			break;
		/* Away, to where nobody looks, and back. */
		vm_set_slot(race->vm, SLOT, race->logging ? KVM_MEM_LOG_DIRTY_PAGES : 0,
			    BASE + 2 * SIZE, race->pages * PAGE_SIZE,
			    race->mem + race->first * PAGE_SIZE);
		set_slot(race);
		break;
	case 3:
		madvise(huge, HUGE_SIZE, r >> 63 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		madvise(huge, HUGE_SIZE, MADV_COLD);
		break;
	case 4:
		make_slot(race, 0, PAGES);
		break;
	default:
		race->logging = !race->logging;
		if (race->pages)
			set_slot(race);
	}
}

/* A moment in which there is something to collapse. */
static void settle(struct race *race)
{
	race->logging = false;
	make_slot(race, 0, PAGES);
	madvise(race->mem, SIZE, MADV_HUGEPAGE);
	race->logging = true;
	set_slot(race);
	usleep(3000);
	race->logging = false;
	set_slot(race);
	usleep(3000);
}

/* A number out of mmu_stats, summed over all VMs there are. */
static u64 counter(const char *name)
{
	char line[256], word[64];
	u64 sum = 0, v;
	glob_t found;
	size_t i;
	FILE *f;

	if (glob(DEBUGFS "*/mmu_stats", 0, NULL, &found))
		return 0;
	for (i = 0; i < found.gl_pathc; i++) {
		f = fopen(found.gl_pathv[i], "r");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "%63[a-z0-9_]%*[: \t]%lu", word, &v) == 2 &&
			    !strcmp(word, name))
				sum += v;
		if (f)
			fclose(f);
	}
	globfree(&found);
	return sum;
}

static void fill(char *mem)
{
	u64 i;

	for (i = 0; i < PAGES; i++)
		*(u64 *)(mem + i * PAGE_SIZE) = MAGIC + i;
}

TEST(slots)
{
	u64 changes = option("MINIKVM_CHANGES", 3000), s = option("MINIKVM_SEED", 1), i;
	struct race *race = calloc(1, sizeof(*race));
	pthread_t vcpu, worker;
	bool huge;

	NEED_WORKER();
	write_file(DELAY, "0");
	race->vm = vm_create(0);
	race->mem = map_memory(SIZE);
	/* A kernel with PREEMPT_RT has no huge pages of this kind. */
	huge = !madvise(race->mem, SIZE, MADV_HUGEPAGE);
	fill(race->mem);
	make_slot(race, 0, PAGES);
	race->vcpu = vcpu_create(race->vm, 0, guest_check, 0);
	pthread_create(&vcpu, NULL, run_vcpu, race);
	pthread_create(&worker, NULL, run_collapse, race);
	for (i = 0; i < changes || guest_var(race->vm, turns) < 10 * PAGES; i++) {
		change(race, xorshift(&s));
		if (i % 64 == 0)
			settle(race);
		else if (i % 16 == 0)
			usleep(1000);
	}
	race->logging = false;
	make_slot(race, 0, PAGES);
	race->over = true;
	guest_var(race->vm, stop) = true;
	pthread_join(worker, NULL);
	pthread_join(vcpu, NULL);
	write_file(DELAY, "60000");

	for (i = 0; i < PAGES; i++)
		ASSERT_EQ(MAGIC + i, *(u64 *)(race->mem + i * PAGE_SIZE));
	TH_LOG("%lu pages checked, %lu runs of the worker, %lu regions seen, %lu collapsed",
	       guest_var(race->vm, turns), counter("collapse_runs"), counter("collapse_seen"),
	       counter("collapsed"));
	EXPECT_LT(10, counter("collapse_runs"));
	if (huge)
		EXPECT_LT(0, counter("collapsed"));
	vcpu_free(race->vcpu);
	vm_free(race->vm);
}

/* ---- what ends under it ---- */

static __guest void guest_touch(void)
{
	u64 i;

	for (i = 0; i < PAGES; i++)
		*(volatile u64 *)(BASE + i * PAGE_SIZE) = i;
}

/* A VM, mapped small, whose collapse is due, or under way, ends. */
static void vm_with_work(void)
{
	char *mem = map_memory(SIZE);
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu;

	madvise(mem, SIZE, MADV_HUGEPAGE);
	vm_set_slot(vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, BASE, SIZE, mem);
	vcpu = vcpu_create(vm, 0, guest_touch, 0);
	vcpu_run_done(vcpu);
	vm_set_slot(vm, SLOT, 0, BASE, SIZE, mem);
	vcpu_free(vcpu);
	vm_free(vm);
	munmap(mem, SIZE);
}

TEST(vm_ends)
{
	int i;

	NEED_WORKER();
	for (i = 0; i < 60; i++) {
		/* Waiting, about to run, running. */
		write_file(DELAY, i % 3 == 0 ? "60000" : i % 3 == 1 ? "1" : "0");
		vm_with_work();
	}
	write_file(DELAY, "60000");
}

TEST(module_goes)
{
	int i;

	NEED_WORKER();
	NEED_MODULE();
	for (i = 0; i < 6; i++) {
		write_file(DELAY, i % 2 ? "60000" : "0");
		vm_with_work();
		ASSERT_EQ(0, module_unload_soon());
		ASSERT_EQ(0, module_load(module_args()));
		ASSERT_TRUE(module_device_appears());
	}
}

TEST_HARNESS_MAIN
