// SPDX-License-Identifier: GPL-2.0
/*
 * What starting, reading and stopping a dirty log, deleting a slot and ending
 * a VM cost as the slot grows: 256 MiB to 8 GiB, every page of it mapped.
 *
 * The memory behind a slot is one small file, mapped again and again until the
 * slot is full: what KVM maps is what counts, not how much memory there is.
 *
 * Rows are called OPERATION-BACKING-SIZE. Those of the largest slot may have a
 * limit, as a share of stock KVM's; those that must not grow are compared with
 * the smallest slot's.
 */
#include <sys/mman.h>

#include "bench.h"

#define FILE_SIZE	(64ul << 20)
#define RING_SIZE	(4096 * sizeof(struct kvm_dirty_gfn))
#define SIZES		(sizeof(sizes) / sizeof(sizes[0]))
#define LARGEST		(SIZES - 1)

static const struct {
	const char *name;
	size_t size;
} sizes[] = {
	{ "256m", 256ul << 20 },
	{ "1g", 1ul << 30 },
	{ "4g", 4ul << 30 },
	{ "8g", SLOT_MAX },
};

static const struct backing {
	const char *name;
	size_t page;
} backings[] = {
	{ "4k", PAGE_SIZE },
	{ "2m", HUGE_SIZE },
};

enum operation { START, GET_IDLE, CLEAR_IDLE, RESET_IDLE, STOP, DELETE, DESTROY, OPERATIONS };

static const struct {
	const char *name;
	bool flat;
	double limit[2];	/* by backing, at the largest size; 0: only shown */
} operations[OPERATIONS] = {
	[START]		= { "start", true, { 0.001, 0.001 } },
	[GET_IDLE]	= { "get-idle" },
	[CLEAR_IDLE]	= { "clear-idle", true },
	[RESET_IDLE]	= { "reset-idle", true },
	[STOP]		= { "stop", true, { 0, 0.01 } },
	[DELETE]	= { "delete", true, { 0.001, 0.001 } },
	[DESTROY]	= { "destroy" },
};

/* ---- memory ---- */

static void reserve_huge_pages(size_t n)
{
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "w");

	if (!f)
		return;
	fprintf(f, "%zu\n", n);
	fclose(f);
}

/* Return: the largest slot's memory, present; NULL if the host has no such pages. */
static char *map_file(const struct backing *backing)
{
	bool huge = backing->page == HUGE_SIZE;
	int fd = memfd_create("slot", huge ? MFD_HUGETLB : 0);
	char *memory = map_memory(SLOT_MAX);

	if (huge)
		reserve_huge_pages(FILE_SIZE / HUGE_SIZE);
	if (fd < 0 || ftruncate(fd, FILE_SIZE))
		return NULL;
	for (size_t at = 0; at < SLOT_MAX; at += FILE_SIZE)
		if (mmap(memory + at, FILE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED)
			return NULL;
	close(fd);
	return memory;
}

/* ---- the dirty log ---- */

static u64 bitmap[SLOT_MAX / PAGE_SIZE / 64];

static u64 get_idle(struct slot_bench *bench)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };
	size_t words = bench->size / PAGE_SIZE / 64;
	u64 start, ticks;

	memset(bitmap, 0xff, sizeof(bitmap));
	start = rdtsc();
	if (ioctl(bench->vm->fd, KVM_GET_DIRTY_LOG, &log))
		die("KVM_GET_DIRTY_LOG: %m");
	ticks = rdtsc() - start;
	for (size_t i = 0; i < words; i++)
		if (bitmap[i])
			die("nobody wrote, and word %zu of the log is %#llx", i,
			    (unsigned long long)bitmap[i]);
	return ticks;
}

/* With what get_idle() has left in the bitmap. */
static u64 clear_idle(struct slot_bench *bench)
{
	struct kvm_clear_dirty_log log = {
		.slot = SLOT,
		.num_pages = bench->size / PAGE_SIZE,
		.dirty_bitmap = bitmap,
	};
	u64 start = rdtsc();

	if (ioctl(bench->vm->fd, KVM_CLEAR_DIRTY_LOG, &log))
		die("KVM_CLEAR_DIRTY_LOG: %m");
	return rdtsc() - start;
}

/* What ring users do where the others get and clear. */
static u64 reset_idle(struct slot_bench *bench)
{
	u64 start = rdtsc();
	int n = ioctl(bench->vm->fd, KVM_RESET_DIRTY_RINGS, 0);
	u64 ticks = rdtsc() - start;

	if (n)
		die("KVM_RESET_DIRTY_RINGS: %d for an idle slot", n);
	return ticks;
}

static void clear_by_ioctl(struct slot_bench *bench)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE },
	};

	do_ioctl(bench->vm->fd, KVM_ENABLE_CAP, &cap);
}

/* ---- one size ---- */

/* Of everything, the first time in a process or a VM costs extra. */
static void warm_up(struct slot_bench *bench)
{
	slot_bench_set(bench, 0);
	slot_bench_set(bench, KVM_MEM_LOG_DIRTY_PAGES);
	slot_bench_set(bench, 0);
	slot_bench_delete(bench);
}

static void map_all(struct slot_bench *bench, const struct backing *backing)
{
	warm_up(bench);
	slot_bench_set(bench, 0);
	slot_bench_touch(bench, backing->page);
}

/* Logging in which reading clears; at its end, a page of each 2M has been written. */
static void start_to_delete(struct slot_bench *bench, const struct backing *backing, double *cost)
{
	map_all(bench, backing);
	cost[START] = slot_bench_set(bench, KVM_MEM_LOG_DIRTY_PAGES);
	for (int round = 0; round < ROUNDS; round++)
		cost[GET_IDLE] = cheapest(cost[GET_IDLE], get_idle(bench));
	slot_bench_touch(bench, HUGE_SIZE);
	cost[STOP] = slot_bench_set(bench, 0);
	slot_bench_touch(bench, HUGE_SIZE);
	cost[DELETE] = slot_bench_delete(bench);
}

/* Logging with a clear of its own; the VM ends with all mapped. */
static void start_to_destroy(struct slot_bench *bench, const struct backing *backing, double *cost)
{
	u64 start;

	clear_by_ioctl(bench);
	map_all(bench, backing);
	slot_bench_set(bench, KVM_MEM_LOG_DIRTY_PAGES);
	for (int round = 0; round < ROUNDS; round++) {
		get_idle(bench);
		cost[CLEAR_IDLE] = cheapest(cost[CLEAR_IDLE], clear_idle(bench));
	}
	vcpu_free(bench->vcpu);
	start = rdtsc();
	vm_free(bench->vm);
	cost[DESTROY] = rdtsc() - start;
}

/* Logging in rings. */
static void idle_rings(struct slot_bench *bench, const struct backing *backing, double *cost)
{
	map_all(bench, backing);
	slot_bench_set(bench, KVM_MEM_LOG_DIRTY_PAGES);
	for (int round = 0; round < ROUNDS; round++)
		cost[RESET_IDLE] = cheapest(cost[RESET_IDLE], reset_idle(bench));
}

static void measure(char *memory, size_t size, const struct backing *backing, double *cost)
{
	struct slot_bench bench;

	slot_bench_open(&bench, size, memory, 0);
	start_to_delete(&bench, backing, cost);
	slot_bench_close(&bench);
	slot_bench_open(&bench, size, memory, 0);
	start_to_destroy(&bench, backing, cost);
	if (!check_extension(KVM_CAP_DIRTY_LOG_RING))
		return;
	slot_bench_open(&bench, size, memory, RING_SIZE);
	idle_rings(&bench, backing, cost);
	slot_bench_close(&bench);
}

/* ---- rows ---- */

struct row_name {
	char text[64];
};

static struct row_name row_name(enum operation op, const struct backing *backing, size_t size)
{
	struct row_name name;

	snprintf(name.text, sizeof(name.text), "%s-%s-%s", operations[op].name, backing->name,
		 sizes[size].name);
	return name;
}

static bool wanted(const struct backing *backing, size_t size)
{
	for (int op = 0; op < OPERATIONS; op++)
		if (bench_wanted(row_name(op, backing, size).text))
			return true;
	return false;
}

static void report(const struct backing *backing, size_t size, const double *cost)
{
	for (int op = 0; op < OPERATIONS; op++) {
		struct row_name name = row_name(op, backing, size);
		struct row_name smallest = row_name(op, backing, 0);
		double limit = size == LARGEST ? operations[op].limit[backing - backings] : 0;

		if (bench_wanted(name.text))
			bench_report(name.text, cost[op], limit,
				     operations[op].flat && size ? smallest.text : "-");
	}
}

static void bench_backing(const struct backing *backing)
{
	double cost[OPERATIONS];
	char *memory = NULL;

	for (size_t size = 0; size < SIZES; size++) {
		if (!wanted(backing, size))
			continue;
		if (!memory)
			memory = map_file(backing);
		for (int op = 0; op < OPERATIONS; op++)
			cost[op] = NOT_MEASURED;
		if (memory)
			measure(memory, sizes[size].size, backing, cost);
		report(backing, size, cost);
	}
	if (memory)
		munmap(memory, SLOT_MAX);
}

void slot_size_benches(void)
{
	for (size_t i = 0; i < sizeof(backings) / sizeof(backings[0]); i++)
		bench_backing(&backings[i]);
}
