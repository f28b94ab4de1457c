// SPDX-License-Identifier: GPL-2.0
/*
 * Dirty logging and slot deletion, a 4K page: what a live migration pays for.
 */
#include "bench.h"

#define SIZE		(16ul << 20)
#define PAGES		(SIZE / PAGE_SIZE)

struct phases {
	double start, write, get, stop, delete;		/* ticks of each */
};

static double get_log(struct slot_bench *bench)
{
	static u64 bitmap[PAGES / 64];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };
	u64 start = rdtsc();

	if (ioctl(bench->vm->fd, KVM_GET_DIRTY_LOG, &log))
		die("KVM_GET_DIRTY_LOG: %m");
	return rdtsc() - start;
}

/* Map all, log, write to all, read the log, stop, delete. */
static void one_round(struct slot_bench *bench, struct phases *best)
{
	slot_bench_set(bench, 0);
	slot_bench_touch(bench, PAGE_SIZE);
	best->start = cheapest(best->start, slot_bench_set(bench, KVM_MEM_LOG_DIRTY_PAGES));
	best->write = cheapest(best->write, slot_bench_touch(bench, PAGE_SIZE));
	best->get = cheapest(best->get, get_log(bench));
	best->stop = cheapest(best->stop, slot_bench_set(bench, 0));
	best->delete = cheapest(best->delete, slot_bench_delete(bench));
}

static struct phases measure(bool huge)
{
	struct phases best = { NOT_MEASURED, NOT_MEASURED, NOT_MEASURED, NOT_MEASURED, NOT_MEASURED };
	struct slot_bench bench;
	void *memory = slot_memory(SIZE, huge);

	if (!memory)
		return best;
	slot_bench_open(&bench, SIZE, memory, 0);
	for (int round = 0; round < ROUNDS; round++)
		one_round(&bench, &best);
	slot_bench_close(&bench);
	munmap(memory, SIZE);
	return best;
}

static double a_page(double ticks)
{
	return ticks < 0 ? NOT_MEASURED : ticks / PAGES;
}

static double measure_start(void)
{
	return a_page(measure(false).start);
}

static double measure_write(void)
{
	return a_page(measure(false).write);
}

static double measure_write_huge(void)
{
	return a_page(measure(true).write);
}

static double measure_get(void)
{
	return a_page(measure(false).get);
}

static double measure_stop(void)
{
	return a_page(measure(true).stop);
}

static double measure_delete(void)
{
	return a_page(measure(false).delete);
}

/* What a dirty page costs in all that a migration repeats: half of stock KVM's. */
#define DIRTY_PAGE	0.5

const struct bench dirty_log_benches[] = {
	{ "log-start-4k", measure_start },
	{ "log-first-write-4k", measure_write, DIRTY_PAGE },
	{ "log-first-write-2m", measure_write_huge, DIRTY_PAGE },
	{ "log-get-4k", measure_get, DIRTY_PAGE },
	{ "log-stop-2m-backed", measure_stop },
	{ "slot-delete-4k", measure_delete },
	{ }
};
