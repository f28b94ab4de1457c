// SPDX-License-Identifier: GPL-2.0
/*
 * Nested page faults on memory that the host has already, and the slot full of
 * pages that the MMU's benches share.
 */
#include "bench.h"

#define SLOT_GPA	0x100000000ul	/* the library's guests map what is below */
#define SLOT_TABLES	GUEST_FREE

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

void *slot_memory(size_t size, bool huge)
{
	char *memory = map_memory(size);

	madvise(memory, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (size_t i = 0; i < size; i += PAGE_SIZE)
		((volatile char *)memory)[i] = 1;
	if (!huge || (size_t)huge_kb(memory) << 10 >= size)
		return memory;
	munmap(memory, size);
	return NULL;
}

/* The guest's own mapping of the slot, one to one, by 2M pages. */
static void map_slot(struct vm *vm)
{
	u64 *pdpt = (u64 *)guest_ptr(vm, GUEST_PML4) + 512, *pd = guest_ptr(vm, SLOT_TABLES);
	u64 i;

	for (i = 0; i < SLOT_MAX >> 30; i++)
		pdpt[(SLOT_GPA >> 30) + i] = (SLOT_TABLES + i * PAGE_SIZE) | PTE_P | PTE_W;
	for (i = 0; i < SLOT_MAX / HUGE_SIZE; i++)
		pd[i] = (SLOT_GPA + i * HUGE_SIZE) | PTE_P | PTE_W | PTE_PS;
}

void slot_bench_open(struct slot_bench *bench, size_t size, void *memory, u64 ring)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING, .args = { ring } };

	if (size > SLOT_MAX)
		die("the slot is too large for the guest's page tables");
	*bench = (struct slot_bench){ .size = size, .memory = memory };
	bench->vm = vm_create(0);
	if (ring)
		do_ioctl(bench->vm->fd, KVM_ENABLE_CAP, &cap);
	bench->vcpu = vcpu_create(bench->vm, 0, NULL, 0);
	map_slot(bench->vm);
}

void slot_bench_close(struct slot_bench *bench)
{
	vcpu_free(bench->vcpu);
	vm_free(bench->vm);
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
static double measure_fault(size_t size, bool huge, u64 stride)
{
	double best = NOT_MEASURED, faults;
	void *memory = slot_memory(size, huge);
	struct slot_bench bench;

	if (!memory)
		return NOT_MEASURED;
	slot_bench_open(&bench, size, memory, 0);
	for (int round = 0; round < ROUNDS; round++) {
		slot_bench_set(&bench, 0);
		faults = slot_bench_touch(&bench, stride);
		best = cheapest(best, faults - slot_bench_touch(&bench, stride));
		slot_bench_delete(&bench);
	}
	slot_bench_close(&bench);
	munmap(memory, size);
	return best / (size / stride);
}

static double measure_fault_4k(void)
{
	return measure_fault(16ul << 20, false, PAGE_SIZE);
}

/* None of the pages is near another. */
static double measure_fault_4k_far(void)
{
	return measure_fault(64ul << 20, false, 64 * PAGE_SIZE);
}

static double measure_fault_2m(void)
{
	return measure_fault(256ul << 20, true, HUGE_SIZE);
}

const struct bench fault_benches[] = {
	{ "fault-4k", measure_fault_4k },
	{ "fault-4k-far", measure_fault_4k_far },
	{ "fault-2m", measure_fault_2m },
	{ }
};
