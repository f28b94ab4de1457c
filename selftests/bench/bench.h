/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A bench is a row: a name, a function that measures one operation, and the
 * highest share of stock KVM's cost that it may have. To add one: write the
 * function beside its relatives, add the row to its file's table.
 *
 * Costs are in ticks of the TSC: on a host under -icount, one instruction each.
 */
#ifndef SELFTESTS_BENCH_H
#define SELFTESTS_BENCH_H

#include "lib/vm.h"

#define ROUNDS		5	/* measured, the cheapest counts: a timer tick costs extra */
#define NOT_MEASURED	(-1.0)	/* the device, or the host, lacks what it takes */

struct bench {
	const char *name;
	double (*measure)(void);	/* ticks an operation, or NOT_MEASURED */
	double limit;			/* of the ratio to stock KVM; 0: only shown */
};

extern const struct bench exit_benches[], fault_benches[], dirty_log_benches[];

/* Rows that are not in a table: slots of several sizes (slot_sizes.c). */
void slot_size_benches(void);

/* Does the command line ask for this row? */
bool bench_wanted(const char *row);
/* @flat: the row that this one may not be dearer than, but for FLAT of scripts/bench; or "-". */
void bench_report(const char *name, double ticks, double limit, const char *flat);

/*
 * Run a guest to its GUEST_VALUE(), which is returned. Port and MMIO writes on
 * the way go back in at once: theirs is what a bench may want to measure.
 */
u64 bench_run(struct vcpu *vcpu);

/* ---- a slot full of pages (faults.c) ---- */

#define SLOT		1
#define SLOT_MAX	(8ul << 30)	/* what the guest's page tables map */

struct slot_bench {
	struct vm *vm;
	struct vcpu *vcpu;
	void *memory;		/* present in the host, of the page size asked for */
	size_t size;
};

/* Anonymous memory. Return: NULL if the host has no huge pages to give. */
void *slot_memory(size_t size, bool huge);
/* A VM with no slot for @memory yet. @ring: bytes of its dirty rings, 0 for a log in bitmaps. */
void slot_bench_open(struct slot_bench *bench, size_t size, void *memory, u64 ring);
void slot_bench_close(struct slot_bench *bench);	/* the memory stays */
/* Create the slot, or change its flags; ticks that it took. */
u64 slot_bench_set(struct slot_bench *bench, u32 flags);
u64 slot_bench_delete(struct slot_bench *bench);
/* The guest writes to each page of @stride bytes once; ticks. */
u64 slot_bench_touch(struct slot_bench *bench, u64 stride);

static inline double cheapest(double a, double b)
{
	return a < 0 || b < a ? b : a;
}

#endif /* SELFTESTS_BENCH_H */
