// SPDX-License-Identifier: GPL-2.0
/*
 * The dirty ring: enabling it, its place in the vCPU's mapping, what is pushed
 * and by whom, harvest and reset, a full ring, slots that go while their pages
 * are in it, and a user space that writes nonsense into it.
 *
 * KVM with page-modification logging keeps 512 + 64 entries free, other hosts
 * 64: so the small ring here has 1024, and nothing leans on the rest.
 */
#include "lib/test.h"

#define BASE		0x40000000ul
#define PAGES		4096ul
#define SLOT		3

#define ENTRIES		1024u
#define BYTES		(ENTRIES * sizeof(struct kvm_dirty_gfn))

#define MSR_WALL_CLOCK	0x4b564d00
#define MSR_SYSTEM_TIME	0x4b564d01
#define MMIO		0xe0000000ul

/* ---- the guest ---- */

static volatile struct {
	u64 first, count, value;
} job[2];

/* Writes its job's pages in order, and again whenever the host says so. */
static __guest void guest_write(u64 cpu)
{
	u64 i;

	for (;;) {
		for (i = 0; i < job[cpu].count; i++)
			*(volatile u64 *)(BASE + (job[cpu].first + i) * PAGE_SIZE + 8 * cpu) =
				job[cpu].value + i;
		GUEST_SYNC(1);
	}
}

/* ---- the host ---- */

FIXTURE(ring) {
	struct vm *vm;
	struct vcpu *vcpu[2];
	struct kvm_dirty_gfn *gfns[2];
	u32 next[2];			/* the entry to look at */
	char *mem;
};

static int enable(int vm_fd, u32 cap, u64 bytes)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { bytes } };

	return ioctl_errno(vm_fd, KVM_ENABLE_CAP, &enable);
}

static void *map_ring(struct vcpu *vcpu, size_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd,
		    KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE);
}

FIXTURE_SETUP(ring)
{
	int i;

	if (!check_extension(KVM_CAP_DIRTY_LOG_RING))
		SKIP(return, "no dirty ring");
	self->vm = vm_create(0);
	ASSERT_EQ(0, enable(self->vm->fd, KVM_CAP_DIRTY_LOG_RING, BYTES));
	self->mem = map_memory(PAGES * PAGE_SIZE);
	ASSERT_EQ(0, vm_set_slot(self->vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, BASE,
				 PAGES * PAGE_SIZE, self->mem));
	for (i = 0; i < 2; i++) {
		self->vcpu[i] = vcpu_create(self->vm, i, guest_write, i);
		self->gfns[i] = map_ring(self->vcpu[i], BYTES);
		ASSERT_NE(MAP_FAILED, self->gfns[i]);
	}
}

FIXTURE_TEARDOWN(ring)
{
	int i;

	for (i = 0; i < 2; i++) {
		munmap(self->gfns[i], BYTES);
		vcpu_free(self->vcpu[i]);
	}
	vm_free(self->vm);
	munmap(self->mem, PAGES * PAGE_SIZE);
}

typedef FIXTURE_DATA(ring) rings;

static void set_job(rings *self, int cpu, u64 first, u64 count, u64 value)
{
	guest_var(self->vm, job)[cpu].first = first;
	guest_var(self->vm, job)[cpu].count = count;
	guest_var(self->vm, job)[cpu].value = value;
}

static void write_pages(rings *self, int cpu, u64 first, u64 count)
{
	set_job(self, cpu, first, count, 1);
	vcpu_run_sync(self->vcpu[cpu], 1);
}

/* The next entry, which is dirty; it is harvested. NULL: there is none. */
static struct kvm_dirty_gfn *harvest(rings *self, int cpu)
{
	struct kvm_dirty_gfn *gfn = &self->gfns[cpu][self->next[cpu] % ENTRIES];

	if (__atomic_load_n(&gfn->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
		return NULL;
	__atomic_store_n(&gfn->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	self->next[cpu]++;
	return gfn;
}

static u32 harvest_all(rings *self, int cpu)
{
	u32 n = 0;

	while (harvest(self, cpu))
		n++;
	return n;
}

static int reset(rings *self)
{
	return do_ioctl(self->vm->fd, KVM_RESET_DIRTY_RINGS, 0);
}

/* Harvests @count pages from @first on, in this order and nothing else. */
#define EXPECT_PAGES(cpu, from, count) do {					\
	u64 __i;								\
										\
	for (__i = 0; __i < (count); __i++) {					\
		struct kvm_dirty_gfn *__g = harvest(self, cpu);			\
										\
		ASSERT_NE(NULL, __g);						\
		EXPECT_EQ(SLOT, __g->slot);					\
		EXPECT_EQ((from) + __i, __g->offset);				\
	}									\
	EXPECT_EQ(NULL, harvest(self, cpu));					\
} while (0)

/* ---- enabling ---- */

TEST(sizes)
{
	int max = check_extension(KVM_CAP_DIRTY_LOG_RING);
	struct vm *vm;

	if (!max)
		SKIP(return, "no dirty ring");
	EXPECT_EQ(max, check_extension(KVM_CAP_DIRTY_LOG_RING_ACQ_REL));
	vm = vm_create(0);
	EXPECT_EQ(EINVAL, enable(vm->fd, KVM_CAP_DIRTY_LOG_RING, 0));
	EXPECT_EQ(EINVAL, enable(vm->fd, KVM_CAP_DIRTY_LOG_RING, 16));
	EXPECT_EQ(EINVAL, enable(vm->fd, KVM_CAP_DIRTY_LOG_RING, PAGE_SIZE / 2));
	EXPECT_EQ(EINVAL, enable(vm->fd, KVM_CAP_DIRTY_LOG_RING, 5 * PAGE_SIZE));
	EXPECT_EQ(EINVAL, enable(vm->fd, KVM_CAP_DIRTY_LOG_RING, BYTES + 1));
	EXPECT_EQ(E2BIG, enable(vm->fd, KVM_CAP_DIRTY_LOG_RING, 2ul * max));
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_RESET_DIRTY_RINGS, NULL));
	EXPECT_EQ(0, enable(vm->fd, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, max));
	EXPECT_EQ(EINVAL, enable(vm->fd, KVM_CAP_DIRTY_LOG_RING, max));
	EXPECT_EQ(0, do_ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0));
	vm_free(vm);
}

TEST(too_late)
{
	struct vcpu *vcpu;
	struct vm *vm;

	if (!check_extension(KVM_CAP_DIRTY_LOG_RING))
		SKIP(return, "no dirty ring");
	vm = vm_create(0);
	vcpu = vcpu_create(vm, 0, NULL, 0);
	EXPECT_EQ(EINVAL, enable(vm->fd, KVM_CAP_DIRTY_LOG_RING, BYTES));
	vcpu_free(vcpu);
	vm_free(vm);
}

TEST_F(ring, bitmap_is_gone)
{
	u64 bitmap[PAGES / 64];
	struct kvm_dirty_log get = { .slot = SLOT, .dirty_bitmap = bitmap };
	struct kvm_clear_dirty_log clear = {
		.slot = SLOT, .num_pages = PAGES, .dirty_bitmap = bitmap,
	};

	EXPECT_EQ(ENXIO, ioctl_errno(self->vm->fd, KVM_GET_DIRTY_LOG, &get));
	EXPECT_EQ(ENXIO, ioctl_errno(self->vm->fd, KVM_CLEAR_DIRTY_LOG, &clear));
}

TEST_F(ring, mappings)
{
	const off_t at = KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE;
	int fd = self->vcpu[0]->fd;
	struct kvm_dirty_gfn *second;

	EXPECT_EQ(MAP_FAILED, mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE, fd, at));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, at));
	/* Only its last page is in it, or its first. */
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 2 * PAGE_SIZE, PROT_READ, MAP_PRIVATE, fd,
				   at - PAGE_SIZE));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 2 * PAGE_SIZE, PROT_READ, MAP_PRIVATE, fd,
				   at + BYTES - PAGE_SIZE));
	EXPECT_NE(MAP_FAILED, mmap(NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE, fd, at + BYTES));
	/* The same ring, seen twice. */
	second = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, at);
	ASSERT_NE(MAP_FAILED, second);
	write_pages(self, 0, 7, 1);
	EXPECT_EQ(KVM_DIRTY_GFN_F_DIRTY, second[0].flags);
	EXPECT_EQ(7, second[0].offset);
}

/* ---- what is pushed ---- */

/* Pages that were written before: hardware logs them, if it can. */
#define IN_ORDER() do {								\
	if (host_is_intel())							\
		SKIP_ON_STOCK("gives what PML logged in the reverse order");	\
} while (0)

TEST_F(ring, pages_in_order)
{
	EXPECT_EQ(NULL, harvest(self, 0));
	write_pages(self, 0, 100, 50);
	EXPECT_PAGES(0, 100ul, 50);
	EXPECT_EQ(NULL, harvest(self, 1));
	EXPECT_EQ(50, reset(self));
	EXPECT_EQ(0, reset(self));
}

TEST_F(ring, reset_arms_again)
{
	IN_ORDER();
	write_pages(self, 0, 0, 20);
	EXPECT_PAGES(0, 0ul, 20);
	/* Harvested, but not reset: still known to be dirty. */
	write_pages(self, 0, 0, 20);
	EXPECT_EQ(NULL, harvest(self, 0));
	EXPECT_EQ(20, reset(self));
	write_pages(self, 0, 0, 20);
	EXPECT_PAGES(0, 0ul, 20);
}

TEST_F(ring, only_the_harvested_are_reset)
{
	int i;

	IN_ORDER();
	write_pages(self, 0, 0, 20);
	for (i = 0; i < 8; i++)
		EXPECT_NE(NULL, harvest(self, 0));
	EXPECT_EQ(8, reset(self));
	write_pages(self, 0, 0, 20);
	/* The twelve that were left, then the eight anew. */
	for (i = 8; i < 28; i++) {
		struct kvm_dirty_gfn *gfn = harvest(self, 0);

		ASSERT_NE(NULL, gfn);
		EXPECT_EQ(i % 20, gfn->offset);
	}
	EXPECT_EQ(NULL, harvest(self, 0));
}

/* From two vCPUs: each page in one ring at least, and in the ring of who wrote it. */
TEST_F(ring, two_vcpus)
{
	IN_ORDER();
	write_pages(self, 0, 0, 10);
	write_pages(self, 1, 10, 10);
	EXPECT_PAGES(0, 0ul, 10);
	EXPECT_PAGES(1, 10ul, 10);
	EXPECT_EQ(20, reset(self));
	write_pages(self, 1, 0, 10);
	EXPECT_PAGES(1, 0ul, 10);
	EXPECT_EQ(NULL, harvest(self, 0));
}

static __guest void guest_module_writes(void)
{
	wrmsr(MSR_WALL_CLOCK, BASE + 5 * PAGE_SIZE);
	wrmsr(MSR_SYSTEM_TIME, (BASE + 6 * PAGE_SIZE) | 1);
	/* From a device to memory: no CPU writes this, the emulator does. */
	asm volatile("movsq" : : "S"(MMIO), "D"(BASE + 7 * PAGE_SIZE) : "memory");
	GUEST_SYNC(1);
}

TEST_F(ring, writes_of_the_module)
{
	bool seen[PAGES] = {};
	struct kvm_dirty_gfn *gfn;
	struct report r;

	vcpu_start64(self->vcpu[0], guest_module_writes, 0);
	r = vcpu_run(self->vcpu[0]);
	ASSERT_EQ(REPORT_EXIT, r.kind);
	ASSERT_EQ(KVM_EXIT_MMIO, r.exit);
	memset(self->vcpu[0]->run->mmio.data, 0x5a, 8);
	vcpu_run_sync(self->vcpu[0], 1);
	while ((gfn = harvest(self, 0))) {
		EXPECT_EQ(SLOT, gfn->slot);
		ASSERT_LT(gfn->offset, PAGES);
		seen[gfn->offset] = true;
	}
	EXPECT_TRUE(seen[5]);
	EXPECT_TRUE(seen[6]);
	EXPECT_TRUE(seen[7]);
	EXPECT_EQ(0x5a5a5a5a5a5a5a5a, *(u64 *)(self->mem + 7 * PAGE_SIZE));
}

/* ---- a full ring ---- */

TEST_F(ring, full)
{
	bool seen[PAGES] = {};
	struct kvm_dirty_gfn *gfn;
	u64 i, twice = 0, fulls = 0;
	struct report r;

	set_job(self, 0, 0, PAGES, 1000);
	for (;;) {
		r = vcpu_run(self->vcpu[0]);
		if (r.kind == REPORT_EXIT) {
			ASSERT_EQ(KVM_EXIT_DIRTY_RING_FULL, r.exit);
			fulls++;
			/* Nobody made room. */
			r = vcpu_run(self->vcpu[0]);
			ASSERT_EQ(REPORT_EXIT, r.kind);
			ASSERT_EQ(KVM_EXIT_DIRTY_RING_FULL, r.exit);
		}
		for (i = 0; (gfn = harvest(self, 0)); i++) {
			ASSERT_LT(gfn->offset, PAGES);
			twice += seen[gfn->offset];
			seen[gfn->offset] = true;
		}
		EXPECT_LT(i, ENTRIES);
		EXPECT_EQ(i, reset(self));
		if (r.kind == REPORT_SYNC)
			break;
	}
	EXPECT_GE(fulls, PAGES / ENTRIES);
	/* A page that made the ring full is reset before it is written. */
	EXPECT_LE(twice, fulls);
	for (i = 0; i < PAGES; i++) {
		EXPECT_TRUE(seen[i]);
		EXPECT_EQ(1000 + i, *(u64 *)(self->mem + i * PAGE_SIZE));
	}
	/* The other vCPU's ring was never full. */
	write_pages(self, 1, 0, 1);
}

/* ---- slots that change ---- */

TEST_F(ring, slot_goes)
{
	IN_ORDER();
	write_pages(self, 0, 1000, 30);
	EXPECT_EQ(0, vm_set_slot(self->vm, SLOT, 0, BASE, 0, NULL));
	EXPECT_EQ(30, harvest_all(self, 0));
	EXPECT_EQ(30, reset(self));

	ASSERT_EQ(0, vm_set_slot(self->vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, BASE,
				 PAGES * PAGE_SIZE, self->mem));
	write_pages(self, 0, 1000, 30);
	/* A smaller one under the same number, at another place. */
	EXPECT_EQ(0, vm_set_slot(self->vm, SLOT, 0, BASE, 0, NULL));
	ASSERT_EQ(0, vm_set_slot(self->vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, BASE, 64 * PAGE_SIZE,
				 self->mem));
	write_pages(self, 0, 0, 3);
	EXPECT_EQ(33, harvest_all(self, 0));
	EXPECT_EQ(33, reset(self));
	write_pages(self, 0, 0, 3);
	EXPECT_PAGES(0, 0ul, 3);
}

TEST_F(ring, logging_stops_and_starts)
{
	IN_ORDER();
	write_pages(self, 0, 0, 10);
	EXPECT_EQ(0, vm_set_slot(self->vm, SLOT, 0, BASE, PAGES * PAGE_SIZE, self->mem));
	write_pages(self, 0, 0, 20);
	EXPECT_EQ(10, harvest_all(self, 0));
	ASSERT_EQ(0, vm_set_slot(self->vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, BASE,
				 PAGES * PAGE_SIZE, self->mem));
	write_pages(self, 0, 0, 20);
	EXPECT_PAGES(0, 0ul, 20);
	EXPECT_EQ(30, reset(self));
}

/* ---- a user space that is mad ---- */

TEST_F(ring, nonsense)
{
	struct kvm_dirty_gfn *gfns = self->gfns[0];
	u64 seed = 1, i, round;

	write_pages(self, 0, 0, 400);	/* a CPU that logs has 512 entries reserved */
	for (round = 0; round < 20; round++) {
		for (i = 0; i < ENTRIES; i++) {
			seed = seed * 6364136223846793005 + 1442695040888963407;
			gfns[i].slot = seed >> 32;
			gfns[i].offset = seed >> (seed & 63);
			gfns[i].flags = KVM_DIRTY_GFN_F_RESET | seed;
		}
		i = reset(self);
		EXPECT_LE(i, ENTRIES);
		/* It harms who does it: the guest goes on, or waits for room. */
		set_job(self, 0, 0, 200, round);
		vcpu_run(self->vcpu[0]);
	}
}

TEST_HARNESS_MAIN
