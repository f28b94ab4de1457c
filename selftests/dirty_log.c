// SPDX-License-Identifier: GPL-2.0
/*
 * The dirty log of a slot, bit by bit, in a slot of more than 256 MiB of which the
 * guest writes single pages: reading with and without clearing, clearing parts, logs
 * that begin with all pages dirty, and what is refused. dirty_stress.c does it all at
 * once; here each rule is seen alone.
 */
#include "lib/debugfs.h"
#include "lib/test.h"

#define BASE	0x40000000ul
#define SIZE	((300ul << 20) + 5 * PAGE_SIZE)	/* and not a multiple of 64 pages */
#define PAGES	(SIZE / PAGE_SIZE)
#define WORDS	((PAGES + 63) / 64)

/* Ends of words, of 2M, of 128 MiB, and of the slot. */
static const u64 pages[] = {
	0, 1, 63, 64, 511, 512, 4097, 32767, 32768, 40000, 65535, 65536, PAGES - 6, PAGES - 1,
};
#define N	(sizeof(pages) / sizeof(pages[0]))

static volatile u64 write_gpa;

static __guest void guest_worker(void)
{
	for (;;) {
		GUEST_SYNC(1);
		*(volatile u64 *)write_gpa += 1;
	}
}

FIXTURE(log) {
	struct vm *vm;
	struct vcpu *vcpu;
	char *mem;
	u64 bitmap[WORDS + 1];
};

FIXTURE_SETUP(log)
{
	self->vm = vm_create(0);
	self->vcpu = vcpu_create(self->vm, 0, guest_worker, 0);
	vcpu_run_sync(self->vcpu, 1);
	self->mem = map_memory(SIZE);
}

FIXTURE_TEARDOWN(log)
{
	vcpu_free(self->vcpu);
	vm_free(self->vm);
	munmap(self->mem, SIZE);
}

typedef FIXTURE_DATA(log) fixture;

static void manual(struct __test_metadata *_metadata, fixture *self, u64 flags)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { flags } };

	ASSERT_EQ(flags, check_extension(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) & flags);
	ASSERT_EQ(0, ioctl_errno(self->vm->fd, KVM_ENABLE_CAP, &cap));
}

static void set_logging(struct __test_metadata *_metadata, fixture *self, bool on)
{
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, on ? KVM_MEM_LOG_DIRTY_PAGES : 0, BASE, SIZE,
				 self->mem));
}

static void guest_write(fixture *self, u64 page)
{
	guest_var(self->vm, write_gpa) = BASE + page * PAGE_SIZE;
	vcpu_run_sync(self->vcpu, 1);
}

static void guest_write_all(fixture *self)
{
	for (u64 i = 0; i < N; i++)
		guest_write(self, pages[i]);
}

/* What was in the bitmap before must not matter, and what is behind it must stay. */
static void get(struct __test_metadata *_metadata, fixture *self)
{
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = self->bitmap };

	memset(self->bitmap, 0xa5, sizeof(self->bitmap));
	ASSERT_EQ(0, ioctl_errno(self->vm->fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(0xa5a5a5a5a5a5a5a5, self->bitmap[WORDS]);
}

static bool bit(const u64 *map, u64 n)
{
	return map[n / 64] >> n % 64 & 1;
}

static u64 count(const u64 *map)
{
	u64 n = 0;

	for (u64 i = 0; i < WORDS; i++)
		n += __builtin_popcountll(map[i]);
	return n;
}

/* The pages from, to (not included) of the list, and no others, are in the log. */
static void expect_dirty(struct __test_metadata *_metadata, fixture *self, u64 from, u64 to)
{
	get(_metadata, self);
	EXPECT_EQ(to - from, count(self->bitmap));
	for (u64 i = from; i < to; i++) {
		EXPECT_TRUE(bit(self->bitmap, pages[i])) TH_LOG("page %lu", pages[i]);
	}
}

static int clear(fixture *self, u64 first, u64 n, void *bitmap)
{
	struct kvm_clear_dirty_log log = {
		.slot = 1, .first_page = first, .num_pages = n, .dirty_bitmap = bitmap,
	};

	return ioctl_errno(self->vm->fd, KVM_CLEAR_DIRTY_LOG, &log);
}

TEST_F(log, read_and_clear)
{
	set_logging(_metadata, self, true);
	for (int round = 0; round < 3; round++) {
		expect_dirty(_metadata, self, 0, 0);
		guest_write_all(self);
		guest_write_all(self);
		expect_dirty(_metadata, self, 0, N);
	}
	expect_dirty(_metadata, self, 0, 0);
	/* A log that begins anew knows nothing of before. */
	guest_write_all(self);
	set_logging(_metadata, self, false);
	guest_write_all(self);
	set_logging(_metadata, self, true);
	expect_dirty(_metadata, self, 0, 0);
	guest_write_all(self);
	expect_dirty(_metadata, self, 0, N);
}

/* A bitmap that can't be written to: what it was not told is still dirty. */
TEST_F(log, nowhere_to_write_it)
{
	struct kvm_dirty_log log = { .slot = 1 };
	size_t size = (WORDS * 8 + PAGE_SIZE) & ~(PAGE_SIZE - 1);

	SKIP_ON_STOCK("forgets what it could not write to the bitmap");
	log.dirty_bitmap = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, log.dirty_bitmap);
	set_logging(_metadata, self, true);
	guest_write_all(self);
	EXPECT_EQ(EFAULT, ioctl_errno(self->vm->fd, KVM_GET_DIRTY_LOG, &log));
	expect_dirty(_metadata, self, 0, N);
	munmap(log.dirty_bitmap, size);
}

/* Reading clears nothing; each page is cleared alone, and is then logged again. */
TEST_F(log, clear_one_by_one)
{
	u64 word, i;

	manual(_metadata, self, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	set_logging(_metadata, self, true);
	guest_write_all(self);
	expect_dirty(_metadata, self, 0, N);
	for (i = 0; i < N; i++) {
		u64 first = pages[i] & ~63ull, rest = PAGES - first;

		expect_dirty(_metadata, self, i, N);
		word = 1ull << pages[i] % 64;
		EXPECT_EQ(0, clear(self, first, rest < 64 ? rest : 64, &word));
	}
	expect_dirty(_metadata, self, 0, 0);
	guest_write_all(self);
	expect_dirty(_metadata, self, 0, N);
	/* Bits of pages that are clean do no harm, and say nothing. */
	memset(self->bitmap, 0xff, sizeof(self->bitmap));
	EXPECT_EQ(0, clear(self, 0, PAGES, self->bitmap));
	expect_dirty(_metadata, self, 0, 0);
	memset(self->bitmap, 0xff, sizeof(self->bitmap));
	EXPECT_EQ(0, clear(self, 0, PAGES, self->bitmap));
	guest_write_all(self);
	expect_dirty(_metadata, self, 0, N);
}

/* Of a range in the middle, the bits of the user's bitmap are counted from its first page. */
TEST_F(log, clear_a_range)
{
	u64 map[(65536 - 512) / 64], i, in_range = 0;

	manual(_metadata, self, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	set_logging(_metadata, self, true);
	guest_write_all(self);
	memset(map, 0xff, sizeof(map));
	EXPECT_EQ(0, clear(self, 512, 65536 - 512, map));
	get(_metadata, self);
	for (i = 0; i < N; i++) {
		bool inside = pages[i] >= 512 && pages[i] < 65536;

		EXPECT_EQ(!inside, bit(self->bitmap, pages[i])) TH_LOG("page %lu", pages[i]);
		in_range += inside;
	}
	EXPECT_EQ(N - in_range, count(self->bitmap));
	EXPECT_EQ(0, clear(self, 512, 0, map));
}

TEST_F(log, all_dirty_at_first)
{
	manual(_metadata, self,
	       KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
	guest_var(self->vm, write_gpa) = BASE;
	set_logging(_metadata, self, true);
	guest_write_all(self);
	for (int round = 0; round < 2; round++) {
		get(_metadata, self);
		EXPECT_EQ(PAGES, count(self->bitmap));
	}
	EXPECT_EQ(0, clear(self, 0, PAGES, self->bitmap));
	expect_dirty(_metadata, self, 0, 0);
	guest_write_all(self);
	expect_dirty(_metadata, self, 0, N);
	/* Cleared before it was ever read. */
	set_logging(_metadata, self, false);
	set_logging(_metadata, self, true);
	memset(self->bitmap, 0xff, sizeof(self->bitmap));
	EXPECT_EQ(0, clear(self, 64, 64, self->bitmap));
	get(_metadata, self);
	EXPECT_EQ(PAGES - 64, count(self->bitmap));
	EXPECT_EQ(0, self->bitmap[1]);
	guest_write(self, 64);
	get(_metadata, self);
	EXPECT_EQ(1, self->bitmap[1]);
}

/* Where hardware logs, the first write in 2M is a fault, and no other is, then or later. */
TEST_F(log, by_hardware)
{
	const u64 n = 511;
	s64 faults;

	NEED_MMU_DEBUGFS();
	set_logging(_metadata, self, false);
	for (u64 i = 0; i <= n; i++)
		guest_write(self, i);
	set_logging(_metadata, self, true);
	guest_write(self, 0);
	guest_write(self, 1);
	if (!mmu_stat("hw_logged"))
		SKIP(return, "this CPU does not log pages that are written");
	faults = mmu_stat("faults");
	for (int round = 0; round < 3; round++) {
		for (u64 i = 0; i <= n; i++)
			guest_write(self, i);
		EXPECT_EQ(faults, mmu_stat("faults"));
		get(_metadata, self);
		EXPECT_EQ(n + 1, count(self->bitmap));
		get(_metadata, self);
		EXPECT_EQ(0, count(self->bitmap));
	}
	EXPECT_EQ(faults, mmu_stat("faults"));
}

/* The guest writes more pages in one go than any hardware's log holds. */
static __guest void guest_writes_many(void)
{
	for (;;) {
		GUEST_SYNC(1);
		for (u64 i = 0; i < 2000; i++)
			*(volatile u64 *)(BASE + i * PAGE_SIZE) += 1;
	}
}

TEST_F(log, many_at_once)
{
	struct vcpu *vcpu = vcpu_create(self->vm, 1, guest_writes_many, 0);

	set_logging(_metadata, self, false);
	vcpu_run_sync(vcpu, 1);
	vcpu_run_sync(vcpu, 1);
	set_logging(_metadata, self, true);
	for (int round = 0; round < 3; round++) {
		vcpu_run_sync(vcpu, 1);
		get(_metadata, self);
		EXPECT_EQ(2000, count(self->bitmap));
		get(_metadata, self);
		EXPECT_EQ(0, count(self->bitmap));
	}
	vcpu_free(vcpu);
}

TEST_F(log, refused)
{
	void *nothing = mmap(NULL, 2 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = nothing };

	EXPECT_EQ(ENOENT, clear(self, 0, PAGES, self->bitmap));
	manual(_metadata, self, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	set_logging(_metadata, self, true);
	EXPECT_EQ(EINVAL, clear(self, 1, 64, self->bitmap));
	EXPECT_EQ(EINVAL, clear(self, 0, 63, self->bitmap));
	EXPECT_EQ(EINVAL, clear(self, 0, PAGES + 1, self->bitmap));
	EXPECT_EQ(EINVAL, clear(self, 64, PAGES, self->bitmap));
	EXPECT_EQ(EINVAL, clear(self, PAGES + 64, 0, self->bitmap));
	EXPECT_EQ(EINVAL, clear(self, -64ull, 128, self->bitmap));
	EXPECT_EQ(EFAULT, clear(self, 0, PAGES, (void *)0xffff888000000000));
	guest_write_all(self);
	EXPECT_EQ(EFAULT, clear(self, 0, PAGES, nothing));
	EXPECT_EQ(EFAULT, ioctl_errno(self->vm->fd, KVM_GET_DIRTY_LOG, &log));
	/* And nothing was lost by it. */
	expect_dirty(_metadata, self, 0, N);
}

TEST_HARNESS_MAIN
