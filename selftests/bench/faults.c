// SPDX-License-Identifier: GPL-2.0
/*
 * Nested page faults on memory that the host has already, and the slot full of
 * pages that the MMU's benches share.
 */
#include "bench.h"

#define SLOT		1
#define SLOT_GPA	0x40000000ul
#define SLOT_MAX	0x40000000ul	/* the guest maps 4 GiB one to one, 1 GiB is ours */

/* Write to each of @count pages; the stride is in guest memory: one argument only. */
static volatile u64 touch_stride;

static __guest void guest_touch(u64 size)
{
	u64 start = rdtsc();

	for (u64 gpa = SLOT_GPA; gpa < SLOT_GPA + size; gpa += touch_stride)
		write_mem8((u8 *)gpa, 1);
	GUEST_VALUE(rdtsc() - start);
}

/* Kilobytes of @memory's mapping that are in transparent huge pages. */
static long huge_kb(const void *memory)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	unsigned long from, to, kb;
	bool inside = false;
	char line[256];
	long sum = 0;

	while (smaps && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (unsigned long)memory >= from && (unsigned long)memory < to;
		else if (inside && sscanf(line, "AnonHugePages: %lu", &kb) == 1)
			sum += kb;
	}
	if (smaps)
		fclose(smaps);
	return sum;
}

static bool populate(struct slot_bench *bench)
{
	madvise(bench->memory, bench->size, bench->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (size_t i = 0; i < bench->size; i += PAGE_SIZE)
		((volatile char *)bench->memory)[i] = 1;
	return !bench->huge || (size_t)huge_kb(bench->memory) << 10 >= bench->size;
}

bool slot_bench_open(struct slot_bench *bench, size_t size, bool huge)
{
	if (size > SLOT_MAX)
		die("the slot is too large for the guest's page tables");
	*bench = (struct slot_bench){ .size = size, .huge = huge };
	bench->memory = map_memory(size);
	if (!populate(bench)) {
		munmap(bench->memory, size);
		return false;
	}
	bench->vm = vm_create(0);
	bench->vcpu = vcpu_create(bench->vm, 0, NULL, 0);
	return true;
}

void slot_bench_close(struct slot_bench *bench)
{
	vcpu_free(bench->vcpu);
	vm_free(bench->vm);
	munmap(bench->memory, bench->size);
}

u64 slot_bench_set(struct slot_bench *bench, u32 flags)
{
	u64 start = rdtsc();
	int error = vm_set_slot(bench->vm, SLOT, flags, SLOT_GPA, bench->size, bench->memory);
	u64 ticks = rdtsc() - start;

	if (error)
		die("slot, flags %#x: %s", flags, strerror(error));
	return ticks;
}

u64 slot_bench_delete(struct slot_bench *bench)
{
	u64 start = rdtsc();
	int error = vm_set_slot(bench->vm, SLOT, 0, SLOT_GPA, 0, bench->memory);
	u64 ticks = rdtsc() - start;

	if (error)
		die("delete slot: %s", strerror(error));
	return ticks;
}

u64 slot_bench_touch(struct slot_bench *bench, u64 stride)
{
	guest_var(bench->vm, touch_stride) = stride;
	vcpu_start64(bench->vcpu, guest_touch, bench->size);
	return bench_run(bench->vcpu);
}

/* The second touch of the same pages is the loop without faults. */
static double measure_fault(size_t size, bool huge)
{
	u64 stride = huge ? HUGE_SIZE : PAGE_SIZE;
	double best = NOT_MEASURED, faults;
	struct slot_bench bench;

	if (!slot_bench_open(&bench, size, huge))
		return NOT_MEASURED;
	for (int round = 0; round < ROUNDS; round++) {
		slot_bench_set(&bench, 0);
		faults = slot_bench_touch(&bench, stride);
		best = cheapest(best, faults - slot_bench_touch(&bench, stride));
		slot_bench_delete(&bench);
	}
	slot_bench_close(&bench);
	return best / (size / stride);
}

static double measure_fault_4k(void)
{
	return measure_fault(16ul << 20, false);
}

static double measure_fault_2m(void)
{
	return measure_fault(256ul << 20, true);
}

const struct bench fault_benches[] = {
	{ "fault-4k", measure_fault_4k },
	{ "fault-2m", measure_fault_2m },
	{ }
};
