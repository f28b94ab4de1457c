// SPDX-License-Identifier: GPL-2.0
/*
 * Guest memory on huge pages of the host: transparent ones, hugetlbfs, collapsed
 * and split under the guest, at every alignment of guest and host address, with
 * dirty logging on top. What a test looks at is the data; and, where the module
 * tells (KVM_GET_STATS_FD, minikvm's debugfs), that huge mappings are used.
 */
#include "lib/debugfs.h"
#include "lib/module.h"
#include "lib/test.h"

#define BASE	0x40000000ul
#define SIZE	(4 * HUGE_SIZE)
#define PAGES	(SIZE / PAGE_SIZE)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* ---- a guest that writes and checks each page of a range ---- */

static volatile struct {
	u64 gpa, pages, seed;
	bool write;
} job;

static u64 pattern(u64 seed, u64 page)
{
	return (seed + page) * 0x9e3779b97f4a7c15;
}

static __guest void guest_worker(void)
{
	volatile u64 *p;
	u64 i;

	for (;;) {
		GUEST_SYNC(1);
		for (i = 0; i < job.pages; i++) {
			p = (u64 *)(job.gpa + i * PAGE_SIZE) + i % 512;
			if (job.write)
				*p = pattern(job.seed, i);
			else
				GUEST_ASSERT_EQ(pattern(job.seed, i), *p);
		}
	}
}

static struct vcpu *worker(void)
{
	struct vcpu *vcpu = vcpu_create(vm_create(0), 0, guest_worker, 0);

	vcpu_run_sync(vcpu, 1);
	return vcpu;
}

static void guest_do(struct vcpu *vcpu, bool write, u64 gpa, u64 pages, u64 seed)
{
	guest_var(vcpu->vm, job).gpa = gpa;
	guest_var(vcpu->vm, job).pages = pages;
	guest_var(vcpu->vm, job).seed = seed;
	guest_var(vcpu->vm, job).write = write;
	vcpu_run_sync(vcpu, 1);
}

static void guest_write(struct vcpu *vcpu, u64 gpa, u64 pages, u64 seed)
{
	guest_do(vcpu, true, gpa, pages, seed);
}

static void guest_verify(struct vcpu *vcpu, u64 gpa, u64 pages, u64 seed)
{
	guest_do(vcpu, false, gpa, pages, seed);
}

static bool host_verify(const char *mem, u64 pages, u64 seed)
{
	u64 i;

	for (i = 0; i < pages; i++)
		if (((u64 *)(mem + i * PAGE_SIZE))[i % 512] != pattern(seed, i))
			return false;
	return true;
}

/* ---- the host's huge pages ---- */

static char *map_thp(struct __test_metadata *_metadata)
{
	char *mem = map_memory(SIZE);

	ASSERT_EQ(0, madvise(mem, SIZE, MADV_HUGEPAGE));
	return mem;
}

/* Memory that /proc/self/smaps calls huge, of the mapping that begins at mem. */
static long huge_kb(const char *mem)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long start;
	char line[256];
	bool mine = false;
	long kb, sum = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-", &start) == 1 && strchr(line, '-') &&
		    strchr(line, '-') < strchr(line, ' '))
			mine = start >= (unsigned long)mem && start < (unsigned long)mem + SIZE;
		else if (mine && sscanf(line, "AnonHugePages: %ld", &kb) == 1)
			sum += kb;
	}
	if (f)
		fclose(f);
	return sum;
}

#define THP_ENABLED "/sys/kernel/mm/transparent_hugepage/enabled"

static bool thp_available(void)
{
	FILE *f = fopen(THP_ENABLED, "r");
	char line[128] = "";

	if (!f || !fgets(line, sizeof(line), f))
		return false;
	fclose(f);
	return !strstr(line, "[never]");
}

#define NEED_THP() do {								\
	if (!thp_available())							\
		SKIP(return, "transparent huge pages are off in this host's kernel"); \
} while (0)

/* ---- tests ---- */

TEST(transparent)
{
	struct vcpu *vcpu = worker();
	char *mem;
	s64 mapped;

	NEED_THP();
	mem = map_thp(_metadata);
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, BASE, SIZE, mem));
	guest_write(vcpu, BASE, PAGES, 1);
	EXPECT_EQ(SIZE / 1024, huge_kb(mem));
	EXPECT_TRUE(host_verify(mem, PAGES, 1));
	mapped = vm_stat(vcpu->vm, "pages_2m");
	if (mapped >= 0) {
		EXPECT_GE(mapped, SIZE / HUGE_SIZE);
	}
	guest_verify(vcpu, BASE, PAGES, 1);
}

/* Every way in which guest and host address differ below 2M, and slots that begin amid. */
TEST(misaligned)
{
	static const struct { u64 gpa, hva, pages; } rows[] = {
		{ 0, 1, PAGES - 1 }, { 1, 0, PAGES - 1 }, { 7, 7, PAGES - 7 }, { 1, 1, 100 },
		{ 511, 511, 2 }, { 300, 300, 600 }, { 256, 0, 1024 },
	};
	struct vcpu *vcpu = worker();
	char *mem;
	u64 gpa;
	int i;

	NEED_THP();
	mem = map_thp(_metadata);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		gpa = BASE + rows[i].gpa * PAGE_SIZE;
		memset(mem, 0xee, SIZE);
		ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, gpa, rows[i].pages * PAGE_SIZE,
					 mem + rows[i].hva * PAGE_SIZE));
		guest_write(vcpu, gpa, rows[i].pages, 10 + i);
		EXPECT_TRUE(host_verify(mem + rows[i].hva * PAGE_SIZE, rows[i].pages, 10 + i));
		/* What is outside the slot is not the guest's. */
		if (rows[i].hva) {
			EXPECT_EQ(0xeeeeeeeeeeeeeeee,
				  *(u64 *)(mem + rows[i].hva * PAGE_SIZE - 8));
		}
		ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, 0, 0, NULL));
	}
}

/* Two slots in one 2M of guest-physical memory: neither may be mapped over the other. */
TEST(two_slots_in_one_huge_page)
{
	struct vcpu *vcpu = worker();
	char *a, *b;

	NEED_THP();
	a = map_thp(_metadata);
	b = map_thp(_metadata);
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, BASE, HUGE_SIZE / 2, a));
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, 2, 0, BASE + HUGE_SIZE / 2, HUGE_SIZE / 2,
				 b + HUGE_SIZE / 2));
	guest_write(vcpu, BASE, 512, 5);
	EXPECT_TRUE(host_verify(a, 256, 5));
	EXPECT_EQ(pattern(5, 256), ((u64 *)(b + 256 * PAGE_SIZE))[256]);
	EXPECT_EQ(0, ((u64 *)(a + 256 * PAGE_SIZE))[256]);
}

/* One small page of a huge one goes, is protected, or is replaced; the rest stays. */
TEST(split)
{
	struct vcpu *vcpu = worker();
	char *mem;
	u64 i;

	NEED_THP();
	mem = map_thp(_metadata);
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, BASE, SIZE, mem));
	guest_write(vcpu, BASE, PAGES, 1);
	ASSERT_EQ(0, madvise(mem + 100 * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED));
	guest_verify(vcpu, BASE, 100, 1);
	EXPECT_EQ(0, ((u64 *)(mem + 100 * PAGE_SIZE))[100]);
	/* The guest sees the new, zero page as well. */
	guest_write(vcpu, BASE + 100 * PAGE_SIZE, 1, 77);
	EXPECT_EQ(pattern(77, 0), *(u64 *)(mem + 100 * PAGE_SIZE));
	guest_write(vcpu, BASE, PAGES, 2);
	ASSERT_EQ(0, mprotect(mem + 700 * PAGE_SIZE, PAGE_SIZE, PROT_READ));
	guest_verify(vcpu, BASE, PAGES, 2);
	ASSERT_EQ(0, mprotect(mem + 700 * PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE));
	for (i = 0; i < PAGES; i += 97) {
		ASSERT_EQ(0, mprotect(mem + i * PAGE_SIZE, PAGE_SIZE, PROT_NONE));
		ASSERT_EQ(0, mprotect(mem + i * PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE));
	}
	guest_verify(vcpu, BASE, PAGES, 2);
	guest_write(vcpu, BASE, PAGES, 3);
	EXPECT_TRUE(host_verify(mem, PAGES, 3));
}

/* Small at first, made huge by the host under the guest, and back, several times. */
TEST(collapse)
{
	struct vcpu *vcpu = worker();
	char *mem = map_memory(SIZE);
	int i;

	NEED_THP();
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, BASE, SIZE, mem));
	guest_write(vcpu, BASE, PAGES, 0);
	EXPECT_EQ(0, huge_kb(mem));
	for (i = 1; i < 5; i++) {
		ASSERT_EQ(0, madvise(mem, SIZE, MADV_HUGEPAGE));
		if (madvise(mem, SIZE, MADV_COLLAPSE) && errno == EINVAL)
			SKIP(return, "this host's kernel has no MADV_COLLAPSE");
		guest_verify(vcpu, BASE, PAGES, i - 1);
		EXPECT_LT(0, huge_kb(mem));
		guest_write(vcpu, BASE, PAGES, i);
		EXPECT_TRUE(host_verify(mem, PAGES, i));
		/* Split again by way of its middle. */
		ASSERT_EQ(0, madvise(mem, SIZE, MADV_NOHUGEPAGE));
		ASSERT_EQ(0, mprotect(mem + 33 * PAGE_SIZE, PAGE_SIZE, PROT_READ));
		ASSERT_EQ(0, mprotect(mem + 33 * PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE));
		guest_verify(vcpu, BASE, PAGES, i);
	}
}

/* Collapse while the guest writes without a pause. */
static volatile u64 rounds;
static volatile bool stop;

static __guest void guest_busy(void)
{
	volatile u64 *p;
	u64 round, i;

	for (round = 1; !stop; round++) {
		for (i = 0; i < PAGES; i += 8) {
			p = (u64 *)(BASE + i * PAGE_SIZE);
			GUEST_ASSERT_EQ(round == 1 ? 0 : pattern(round - 1, i), *p);
			*p = pattern(round, i);
		}
		rounds = round;
	}
}

TEST(collapse_under_a_running_guest)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_busy, 0);
	volatile u64 *now = &guest_var(vm, rounds);
	char *mem = map_memory(SIZE);
	pthread_t thread;
	u64 last;
	int i;

	NEED_THP();
	ASSERT_EQ(0, vm_set_slot(vm, 1, 0, BASE, SIZE, mem));
	vcpu_run_thread(vcpu, &thread);
	for (i = 0; i < 10; i++) {
		last = *now;
		while (*now == last)
			usleep(500);
		madvise(mem, SIZE, MADV_HUGEPAGE);
		madvise(mem, SIZE, MADV_COLLAPSE);
		last = *now;
		while (*now == last)
			usleep(500);
		madvise(mem, SIZE, MADV_NOHUGEPAGE);
		madvise(mem + i * PAGE_SIZE, PAGE_SIZE, MADV_PAGEOUT);
	}
	guest_var(vm, stop) = true;
	pthread_join(thread, NULL);
	EXPECT_GT(*now, 10);
}

/* ---- dirty logging over huge mappings ---- */

static bool bit(const u64 *map, u64 n)
{
	return map[n / 64] >> n % 64 & 1;
}

TEST(dirty_logging)
{
	struct vcpu *vcpu = worker();
	u64 bitmap[PAGES / 64], i;
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	char *mem;
	int round;

	NEED_THP();
	mem = map_thp(_metadata);
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, BASE, SIZE, mem));
	guest_write(vcpu, BASE, PAGES, 1);
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, SIZE, mem));
		do_ioctl(vcpu->vm->fd, KVM_GET_DIRTY_LOG, &log);
		/* Page by page, though the memory is huge. */
		for (i = 3; i < PAGES; i += 131)
			guest_write(vcpu, BASE + i * PAGE_SIZE, 1, i + round);
		memset(bitmap, 0xff, sizeof(bitmap));
		do_ioctl(vcpu->vm->fd, KVM_GET_DIRTY_LOG, &log);
		for (i = 0; i < PAGES; i++) {
			EXPECT_EQ(i % 131 == 3, bit(bitmap, i)) TH_LOG("page %lu", i);
		}
		/* Reading dirties nothing more, writing again does. */
		do_ioctl(vcpu->vm->fd, KVM_GET_DIRTY_LOG, &log);
		for (i = 0; i < PAGES / 64; i++) {
			EXPECT_EQ(0, bitmap[i]);
		}
		guest_write(vcpu, BASE + 3 * PAGE_SIZE, 1, 9);
		do_ioctl(vcpu->vm->fd, KVM_GET_DIRTY_LOG, &log);
		EXPECT_EQ(8, bitmap[0]);
		ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, BASE, SIZE, mem));
		guest_write(vcpu, BASE, PAGES, round + 5);
		EXPECT_TRUE(host_verify(mem, PAGES, round + 5));
	}
}

/* ---- after dirty logging ---- */

static char *log_and_write_all(struct __test_metadata *_metadata, struct vcpu *vcpu)
{
	char *mem = map_thp(_metadata);

	ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, BASE, SIZE, mem));
	guest_write(vcpu, BASE, PAGES, 1);
	ASSERT_EQ(SIZE / 1024, huge_kb(mem));
	EXPECT_EQ(SIZE / HUGE_SIZE, mmu_stat("pages_2m"));
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, SIZE, mem));
	guest_write(vcpu, BASE, PAGES, 2);
	EXPECT_EQ(0, mmu_stat("pages_2m"));
	EXPECT_GE(mmu_stat("pages_4k"), PAGES);
	return mem;
}

/* What logging has split is whole again, and nobody takes a fault for it. */
TEST(collapsed_after_logging)
{
	struct vcpu *vcpu = worker();
	s64 faults;
	char *mem;

	NEED_THP();
	NEED_MMU_DEBUGFS();
	mem = log_and_write_all(_metadata, vcpu);

	/* Not while it is logged. */
	mmu_collapse_now();
	EXPECT_EQ(0, mmu_stat("pages_2m"));
	EXPECT_EQ(0, mmu_stat("collapsed"));
	EXPECT_EQ(SIZE / HUGE_SIZE, mmu_stat("collapse_logged"));

	ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, BASE, SIZE, mem));
	EXPECT_EQ(0, mmu_stat("pages_2m"));
	mmu_collapse_now();
	EXPECT_EQ(SIZE / HUGE_SIZE, mmu_stat("pages_2m"));
	EXPECT_EQ(SIZE / HUGE_SIZE, mmu_stat("collapsed"));
	/* The program's own memory is small in the host, and was seen. */
	EXPECT_LT(0, mmu_stat("collapse_small"));
	EXPECT_EQ(mmu_stat("collapse_seen"),
		  mmu_stat("collapsed") + mmu_stat("collapse_logged") +
		  mmu_stat("collapse_small") + mmu_stat("collapse_no_slot") +
		  mmu_stat("collapse_raced"));

	faults = mmu_stat("faults");
	guest_verify(vcpu, BASE, PAGES, 2);
	guest_write(vcpu, BASE, PAGES, 3);
	EXPECT_EQ(faults, mmu_stat("faults"));
	EXPECT_TRUE(host_verify(mem, PAGES, 3));
}

/* Nobody asks for it: the delay does it, and a log that was started again keeps it off. */
TEST(collapsed_after_a_delay)
{
	struct vcpu *vcpu = worker();
	char *mem;
	int i;

	NEED_THP();
	NEED_MMU_DEBUGFS();
	mem = log_and_write_all(_metadata, vcpu);
	ASSERT_EQ(0, module_parameter_set("collapse_delay_ms", "200"));
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, BASE, SIZE, mem));
	ASSERT_EQ(0, module_parameter_set("collapse_delay_ms", "60000"));
	for (i = 0; i < 600 && mmu_stat("pages_2m") < SIZE / HUGE_SIZE; i++)
		usleep(100000);
	EXPECT_EQ(SIZE / HUGE_SIZE, mmu_stat("pages_2m"));
	EXPECT_EQ(1, mmu_stat("collapse_runs"));
	guest_verify(vcpu, BASE, PAGES, 2);
}

/* ---- hugetlbfs ---- */

static void reserve_huge_pages(int n)
{
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "w");

	if (f) {
		fprintf(f, "%d\n", n);
		fclose(f);
	}
}

TEST(hugetlb)
{
	struct vcpu *vcpu = worker();
	s64 mapped;
	char *mem;

	reserve_huge_pages(SIZE / HUGE_SIZE);
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (mem == MAP_FAILED)
		SKIP(return, "this host gives no huge pages to hugetlbfs: %m");
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, BASE, SIZE, mem));
	guest_write(vcpu, BASE, PAGES, 1);
	EXPECT_TRUE(host_verify(mem, PAGES, 1));
	mapped = vm_stat(vcpu->vm, "pages_2m");
	if (mapped >= 0) {
		EXPECT_GE(mapped, SIZE / HUGE_SIZE);
	}
	/* A huge page of it is dropped: zeros, and only there. */
	ASSERT_EQ(0, madvise(mem + HUGE_SIZE, HUGE_SIZE, MADV_DONTNEED));
	guest_verify(vcpu, BASE, 512, 1);
	guest_write(vcpu, BASE, PAGES, 2);
	EXPECT_TRUE(host_verify(mem, PAGES, 2));
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, 1, 0, 0, 0, NULL));
	munmap(mem, SIZE);
	reserve_huge_pages(0);
}

/* ---- what is executed is mapped small, where the CPU wants that ---- */

static __guest void guest_execute(void)
{
	u64 gpa;

	for (gpa = BASE; gpa < BASE + SIZE; gpa += HUGE_SIZE)
		GUEST_ASSERT_EQ(0xc3, *(volatile u8 *)gpa);
	GUEST_SYNC(1);
	((void (*)(void))(BASE + PAGE_SIZE))();
	((void (*)(void))(BASE + 9 * PAGE_SIZE))();
	GUEST_SYNC(2);
	*(volatile u64 *)(BASE + PAGE_SIZE + 8) = 1;
	*(volatile u64 *)(BASE + HUGE_SIZE) = 1;
}

static void execute_from_huge_pages(struct __test_metadata *_metadata, int small)
{
	char *mem = map_thp(_metadata);
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_execute, 0);

	memset(mem, 0xc3, SIZE);	/* RET */
	ASSERT_EQ(SIZE / 1024, huge_kb(mem));
	ASSERT_EQ(0, vm_set_slot(vm, 1, 0, BASE, SIZE, mem));
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(SIZE / HUGE_SIZE, mmu_stat("pages_2m"));
	vcpu_run_sync(vcpu, 2);
	EXPECT_EQ(SIZE / HUGE_SIZE - small, mmu_stat("pages_2m"));
	EXPECT_EQ(small, mmu_stat("splits"));
	vcpu_run_done(vcpu);
	EXPECT_EQ(SIZE / HUGE_SIZE - small, mmu_stat("pages_2m"));
	vcpu_free(vcpu);
	vm_free(vm);
	munmap(mem, SIZE);
}

TEST(executed_small)
{
	if (!host_is_intel())
		SKIP(return, "only Intel's CPUs have the error that this is for");
	NEED_THP();
	NEED_MODULE();
	module_reload("nx_huge_pages=1");
	execute_from_huge_pages(_metadata, 1);
	module_reload("nx_huge_pages=0");
	execute_from_huge_pages(_metadata, 0);
	module_reload(module_args());
}

TEST_HARNESS_MAIN
