// SPDX-License-Identifier: GPL-2.0
/*
 * The host changes the memory under a guest that is running on it: protection,
 * moves, discards, copy-on-write after fork, hole punching, page merging. The
 * guest checks each word that it wrote, and the host that no write goes to a page
 * that the guest should no longer have.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "lib/debugfs.h"
#include "lib/test.h"

#define BASE		0x10000000ul
#define PAGES		64ul
#define SIZE		(PAGES * PAGE_SIZE)
#define SLOT		1

WITH_TLB_DEBUG

/* ---- a guest that writes and verifies for as long as it is told to ---- */

static volatile u64 rounds;
static volatile bool stop;

static u64 pattern(u64 round, u64 page)
{
	return round << 32 | page << 8 | 0x5a;
}

static __guest void guest_verify(void)
{
	u64 round, i;

	for (round = 1; !stop; round++) {
		for (i = 0; i < PAGES; i++)
			((volatile u64 *)(BASE + i * PAGE_SIZE))[i] = pattern(round, i);
		for (i = 0; i < PAGES; i++)
			GUEST_ASSERT_EQ(pattern(round, i),
					((volatile u64 *)(BASE + i * PAGE_SIZE))[i]);
		rounds = round;
	}
}

/*
 * While its memory is away a guest that needs it cannot go on: KVM_RUN says
 * EFAULT, and is simply called again.
 */
static void *run_through_faults(void *arg)
{
	struct vcpu *vcpu = arg;
	struct report r;
	int err;

	do
		err = vcpu_run_once(vcpu);
	while (err == EFAULT);
	if (err)
		die("KVM_RUN: %s", strerror(err));
	r = vcpu_report(vcpu);
	if (r.kind != REPORT_DONE)
		die("exit %u instead of done", r.exit);
	return NULL;
}

FIXTURE(notifier) {
	struct vm *vm;
	struct vcpu *vcpu;
	char *mem;
	pthread_t thread;
};

FIXTURE_SETUP(notifier)
{
	self->vm = vm_create(0);
	self->mem = map_memory(SIZE);
	ASSERT_EQ(0, vm_set_slot(self->vm, SLOT, 0, BASE, SIZE, self->mem));
	self->vcpu = vcpu_create(self->vm, 0, guest_verify, 0);
	pthread_create(&self->thread, NULL, run_through_faults, self->vcpu);
}

FIXTURE_TEARDOWN(notifier)
{
	guest_var(self->vm, stop) = true;
	pthread_join(self->thread, NULL);
	vcpu_free(self->vcpu);
	vm_free(self->vm);
}

/* Until the guest has done n more rounds over all pages. */
static void wait_rounds(struct vm *vm, u64 n)
{
	volatile u64 *now = &guest_var(vm, rounds);
	u64 end = *now + n;

	while (*now < end)
		usleep(1000);
}

TEST_F(notifier, protection)
{
	int i;

	for (i = 0; i < 50; i++) {
		wait_rounds(self->vm, 1);
		ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ));
		ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ | PROT_WRITE));
	}
}

/* A page is gone for a moment, and comes back with its content. */
TEST_F(notifier, mremap_away_and_back)
{
	char *away = map_memory(PAGE_SIZE), *page;
	int i;

	for (i = 0; i < 50; i++) {
		wait_rounds(self->vm, 1);
		page = self->mem + i % PAGES * PAGE_SIZE;
		ASSERT_EQ(away, mremap(page, PAGE_SIZE, PAGE_SIZE,
				       MREMAP_MAYMOVE | MREMAP_FIXED, away));
		if (i & 1)
			usleep(100);
		ASSERT_EQ(page, mremap(away, PAGE_SIZE, PAGE_SIZE,
				       MREMAP_MAYMOVE | MREMAP_FIXED, page));
	}
}

/* After fork, writes of the guest go to the parent's copy: the child's stays as it was. */
TEST_F(notifier, copy_on_write)
{
	u64 before[PAGES], i;
	int n, status;
	pid_t pid;
	int go[2];
	char c;

	for (n = 0; n < 10; n++) {
		wait_rounds(self->vm, 1);
		ASSERT_EQ(0, pipe(go));
		pid = fork();
		if (!pid) {
			for (i = 0; i < PAGES; i++)
				before[i] = ((u64 *)(self->mem + i * PAGE_SIZE))[i];
			/* The parent says when the guest has been over all pages again. */
			if (read(go[0], &c, 1) != 1)
				_exit(2);
			for (i = 0; i < PAGES; i++)
				if (before[i] != ((u64 *)(self->mem + i * PAGE_SIZE))[i])
					_exit(1);
			_exit(0);
		}
		wait_rounds(self->vm, 3);
		ASSERT_EQ(1, write(go[1], "g", 1));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		close(go[0]);
		close(go[1]);
	}
}

/* Aged, and put up for reclaim (to where there is swap): content unchanged. */
TEST_F(notifier, reclaim)
{
	int i;

	for (i = 0; i < 30; i++) {
		wait_rounds(self->vm, 1);
		madvise(self->mem, SIZE, MADV_COLD);
		wait_rounds(self->vm, 1);
		madvise(self->mem, SIZE, MADV_PAGEOUT);
	}
}

/* ---- content that changes, step by step ---- */

static volatile struct {
	u64 read_gpa, write_gpa, value;
} job;

static __guest void guest_worker(void)
{
	for (;;) {
		GUEST_SYNC(1);
		if (job.write_gpa)
			*(volatile u64 *)job.write_gpa = job.value;
		if (job.read_gpa)
			job.value = *(volatile u64 *)job.read_gpa;
	}
}

static void guest_write(struct vcpu *vcpu, u64 gpa, u64 value)
{
	guest_var(vcpu->vm, job).write_gpa = gpa;
	guest_var(vcpu->vm, job).read_gpa = 0;
	guest_var(vcpu->vm, job).value = value;
	vcpu_run_sync(vcpu, 1);
}

static u64 guest_read(struct vcpu *vcpu, u64 gpa)
{
	guest_var(vcpu->vm, job).write_gpa = 0;
	guest_var(vcpu->vm, job).read_gpa = gpa;
	vcpu_run_sync(vcpu, 1);
	return guest_var(vcpu->vm, job).value;
}

static struct vcpu *worker(void)
{
	struct vcpu *vcpu = vcpu_create(vm_create(0), 0, guest_worker, 0);

	vcpu_run_sync(vcpu, 1);
	return vcpu;
}

/* The guest has each page mapped; then user space has another page there. */
TEST(discard)
{
	struct vcpu *vcpu = worker();
	char *mem = map_memory(SIZE);
	u64 i;

	ASSERT_EQ(0, vm_set_slot(vcpu->vm, SLOT, 0, BASE, SIZE, mem));
	for (i = 0; i < PAGES; i++)
		guest_write(vcpu, BASE + i * PAGE_SIZE, 100 + i);
	for (i = 0; i < PAGES; i += 3) {
		ASSERT_EQ(0, madvise(mem + i * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED));
	}
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i % 3 ? 100 + i : 0, guest_read(vcpu, BASE + i * PAGE_SIZE));
	}
	guest_write(vcpu, BASE, 7);
	EXPECT_EQ(7, *(u64 *)mem);
}

TEST(replaced_by_mmap)
{
	struct vcpu *vcpu = worker();
	char *mem = map_memory(SIZE);

	ASSERT_EQ(0, vm_set_slot(vcpu->vm, SLOT, 0, BASE, SIZE, mem));
	guest_write(vcpu, BASE, 1);
	ASSERT_EQ(mem, mmap(mem, SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(0, guest_read(vcpu, BASE));
	guest_write(vcpu, BASE + 8, 2);
	EXPECT_EQ(2, ((u64 *)mem)[1]);
}

/* Pages that go elsewhere by mremap take their content along; the guest must not follow. */
TEST(moved_away)
{
	struct vcpu *vcpu = worker();
	char *mem = map_memory(SIZE), *away = map_memory(SIZE);
	u64 i;

	ASSERT_EQ(0, vm_set_slot(vcpu->vm, SLOT, 0, BASE, SIZE, mem));
	for (i = 0; i < PAGES; i++)
		guest_write(vcpu, BASE + i * PAGE_SIZE, 100 + i);
	ASSERT_EQ(away, mremap(mem, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, away));
	ASSERT_EQ(mem, mmap(mem, SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, guest_read(vcpu, BASE + i * PAGE_SIZE));
		guest_write(vcpu, BASE + i * PAGE_SIZE, 200 + i);
		EXPECT_EQ(100 + i, *(u64 *)(away + i * PAGE_SIZE));
		EXPECT_EQ(200 + i, *(u64 *)(mem + i * PAGE_SIZE));
	}
	/* And back again. */
	ASSERT_EQ(mem, mremap(away, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, mem));
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(100 + i, guest_read(vcpu, BASE + i * PAGE_SIZE));
	}
}

/* A read maps the zero page, or a page that is shared after fork; a write must not hit it. */
TEST(zero_page)
{
	struct vcpu *vcpu = worker();
	char *mem = map_memory(2 * PAGE_SIZE);

	ASSERT_EQ(0, vm_set_slot(vcpu->vm, SLOT, 0, BASE, 2 * PAGE_SIZE, mem));
	EXPECT_EQ(0, guest_read(vcpu, BASE));
	EXPECT_EQ(0, guest_read(vcpu, BASE + PAGE_SIZE));
	guest_write(vcpu, BASE, 5);
	EXPECT_EQ(0, guest_read(vcpu, BASE + PAGE_SIZE));
	EXPECT_EQ(5, *(u64 *)mem);
	/* By the host, after the guest had read it. */
	*(u64 *)(mem + PAGE_SIZE) = 6;
	EXPECT_EQ(6, guest_read(vcpu, BASE + PAGE_SIZE));
}

/* A file's pages: a hole reads as zero, and writes come through to the file. */
TEST(shared_file_and_holes)
{
	struct vcpu *vcpu = worker();
	int fd = memfd_create("guest", 0);
	char *mem;
	u64 v, i;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, SLOT, 0, BASE, SIZE, mem));
	for (i = 0; i < PAGES; i++)
		guest_write(vcpu, BASE + i * PAGE_SIZE, 100 + i);
	ASSERT_EQ(8, pread(fd, &v, 8, 5 * PAGE_SIZE));
	EXPECT_EQ(105, v);
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5 * PAGE_SIZE,
			       PAGE_SIZE));
	EXPECT_EQ(0, guest_read(vcpu, BASE + 5 * PAGE_SIZE));
	EXPECT_EQ(106, guest_read(vcpu, BASE + 6 * PAGE_SIZE));
	v = 0x1234;
	ASSERT_EQ(8, pwrite(fd, &v, 8, 6 * PAGE_SIZE));
	EXPECT_EQ(0x1234, guest_read(vcpu, BASE + 6 * PAGE_SIZE));
	/* Cut off: no memory there any more, which is KVM_RUN's to say. */
	ASSERT_EQ(0, ftruncate(fd, PAGE_SIZE));
	guest_var(vcpu->vm, job).read_gpa = BASE + 7 * PAGE_SIZE;
	EXPECT_EQ(EFAULT, vcpu_run_once(vcpu));
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(0, guest_var(vcpu->vm, job).value);
}

/* A private file mapping: the guest's write is a copy, the file keeps its own. */
TEST(private_file)
{
	struct vcpu *vcpu = worker();
	int fd = memfd_create("guest", 0);
	u64 v = 0x77;
	char *mem;

	ASSERT_EQ(8, pwrite(fd, &v, 8, 0));
	ASSERT_EQ(0, ftruncate(fd, PAGE_SIZE));
	mem = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, SLOT, 0, BASE, PAGE_SIZE, mem));
	EXPECT_EQ(0x77, guest_read(vcpu, BASE));
	guest_write(vcpu, BASE, 0x88);
	EXPECT_EQ(0x88, guest_read(vcpu, BASE));
	EXPECT_EQ(0x88, *(u64 *)mem);
	ASSERT_EQ(8, pread(fd, &v, 8, 0));
	EXPECT_EQ(0x77, v);
}

/* VMs come and go while their memory is changed: the last of a VM must not be flushed for it. */
static void *discard_forever(void *mem)
{
	while (!stop)
		madvise(mem, SIZE, MADV_DONTNEED);
	return NULL;
}

TEST(vm_ends_meanwhile)
{
	char *mem = map_memory(SIZE);
	struct vcpu *vcpu;
	pthread_t thread;
	struct vm *vm;

	pthread_create(&thread, NULL, discard_forever, mem);
	for (u64 i = 1; i < 50; i++) {
		vcpu = worker();
		vm = vcpu->vm;
		ASSERT_EQ(0, vm_set_slot(vm, SLOT, 0, BASE, SIZE, mem));
		guest_write(vcpu, BASE + i % PAGES * PAGE_SIZE, i);
		vcpu_free(vcpu);
		vm_free(vm);
	}
	stop = true;
	pthread_join(thread, NULL);
}

/* ---- page merging ---- */

static long read_number(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = -1;

	if (f) {
		if (fscanf(f, "%ld", &n) != 1)
			n = -1;
		fclose(f);
	}
	return n;
}

static bool write_number(const char *path, long n)
{
	FILE *f = fopen(path, "w");
	bool ok = f && fprintf(f, "%ld\n", n) > 0;

	return f && !fclose(f) && ok;
}

#define KSM "/sys/kernel/mm/ksm/"

/* Two pages of the guest become one; a write to either makes them two again. */
TEST(merged_pages)
{
	struct vcpu *vcpu = worker();
	char *mem = map_memory(SIZE);
	u64 i;
	int n;

	if (read_number(KSM "run") < 0 || !write_number(KSM "run", 1))
		SKIP(return, "no " KSM "run, or not root");
	write_number(KSM "sleep_millisecs", 5);
	write_number(KSM "pages_to_scan", 1000);
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, SLOT, 0, BASE, SIZE, mem));
	for (i = 0; i < PAGES; i++)
		guest_write(vcpu, BASE + i * PAGE_SIZE, 0x4444);
	ASSERT_EQ(0, madvise(mem, SIZE, MADV_MERGEABLE));
	for (n = 0; n < 2000 && read_number(KSM "pages_sharing") < (long)PAGES - 1; n++)
		usleep(5000);
	EXPECT_GE(read_number(KSM "pages_sharing"), (long)PAGES - 1);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(0x4444, guest_read(vcpu, BASE + i * PAGE_SIZE));
	}
	for (i = 0; i < PAGES; i += 2)
		guest_write(vcpu, BASE + i * PAGE_SIZE, i);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i & 1 ? 0x4444 : i, guest_read(vcpu, BASE + i * PAGE_SIZE));
		EXPECT_EQ(i & 1 ? 0x4444 : i, *(u64 *)(mem + i * PAGE_SIZE));
	}
	write_number(KSM "run", 2);	/* unmerge */
	write_number(KSM "run", 0);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(i & 1 ? 0x4444 : i, guest_read(vcpu, BASE + i * PAGE_SIZE));
	}
}

/* ---- one page behind many slots ---- */

#define ALIASES		30000u

static void set_alias(struct vm *vm, unsigned int i, u32 flags, u64 size, char *mem)
{
	if (vm_set_slot(vm, SLOT + i, flags, BASE + i * PAGE_SIZE, size, mem))
		die("slot %u", i);
}

/*
 * The guest has the page mapped by each of them; no mapping outlives the page, and they
 * go in one flush.
 */
TEST(aliases)
{
	struct vcpu *vcpu = worker();
	char *mem = map_memory(PAGE_SIZE);
	s64 flushes;
	u64 i;

	for (i = 0; i < PAGES; i++)
		set_alias(vcpu->vm, i, 0, PAGE_SIZE, mem);
	for (i = 0; i < PAGES; i++)
		guest_write(vcpu, BASE + i * PAGE_SIZE, 100 + i);
	/* Other flags, the same mappings. */
	for (i = 1; i < PAGES; i += 3)
		set_alias(vcpu->vm, i, KVM_MEM_LOG_DIRTY_PAGES, PAGE_SIZE, mem);
	for (i = 2; i < PAGES; i += 3)
		set_alias(vcpu->vm, i, 0, 0, mem);
	flushes = mmu_stat("flushes");
	ASSERT_EQ(0, madvise(mem, PAGE_SIZE, MADV_DONTNEED));
	if (flushes >= 0)
		EXPECT_EQ(flushes + 1, mmu_stat("flushes"));
	for (i = 0; i < PAGES; i++) {
		if (i % 3 != 2)
			EXPECT_EQ(0, guest_read(vcpu, BASE + i * PAGE_SIZE));
	}
}

static volatile bool flips_end;
static volatile unsigned int flips;

static u64 flip_ms(void)
{
	return 20000 * option("MINIKVM_SLOW", 1);
}

static u64 ms_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct flipper {
	struct vm *vm;
	char *mem;
};

static void *flip(void *arg)
{
	struct flipper *f = arg;
	u64 end = ms_now() + flip_ms();

	while (!flips_end && ms_now() < end) {
		flips++;
		set_alias(f->vm, ALIASES, 0, PAGE_SIZE, f->mem);
		set_alias(f->vm, ALIASES, 0, 0, f->mem);
	}
	return NULL;
}

/* Who changes slots all the time does not hold up the host, which goes through the others. */
TEST(slots_that_change)
{
	struct flipper f = { .vm = vm_create(0), .mem = map_memory(PAGE_SIZE) };
	pthread_t thread;
	unsigned int i;
	u64 start;

	if (host_cpus() < 2)
		SKIP(return, "one CPU");
	for (i = 0; i < ALIASES; i++)
		set_alias(f.vm, i, 0, PAGE_SIZE, f.mem);
	pthread_create(&thread, NULL, flip, &f);
	while (flips < 100)
		usleep(1000);
	start = ms_now();
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, madvise(f.mem, PAGE_SIZE, MADV_DONTNEED));
	EXPECT_LT(ms_now() - start, flip_ms() / 2);
	flips_end = true;
	pthread_join(thread, NULL);
}

/* ---- the pages of the guest's own tables and code ---- */

/* All of slot 0 is taken away again and again while the guest runs from it. */
static volatile u64 counter;

static __guest void guest_count(void)
{
	while (!stop)
		counter++;
}

TEST(code_and_page_tables)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_count, 0);
	volatile u64 *count = &guest_var(vm, counter);
	pthread_t thread;
	u64 last;
	int i;

	pthread_create(&thread, NULL, run_through_faults, vcpu);
	for (i = 0; i < 50; i++) {
		last = *count;
		ASSERT_EQ(0, mprotect(vm->ram, GUEST_MEMORY, PROT_NONE));
		ASSERT_EQ(0, mprotect(vm->ram, GUEST_MEMORY, PROT_READ | PROT_WRITE));
		while (*count == last)
			usleep(100);
	}
	guest_var(vm, stop) = true;
	pthread_join(thread, NULL);
}

TEST_HARNESS_MAIN
