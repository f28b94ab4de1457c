// SPDX-License-Identifier: GPL-2.0
/*
 * What a second-level fault maps: the page that was asked for, what comes
 * after it, memory of devices; and what the host learns of which pages a guest
 * uses.
 */
#include <fcntl.h>

#include "lib/debugfs.h"
#include "lib/test.h"

#define BASE		0x10000000ul
#define PAGES		1024ul
#define SIZE		(PAGES * PAGE_SIZE)
#define SLOT		1
#define WINDOW		16	/* pages that a fault in order may map */

/* ---- a guest that touches pages when told ---- */

static volatile struct {
	u64 first, end, step;		/* pages; the step may go backwards */
	u64 value;			/* 0: only read */
	u64 sum;
} job;

static __guest void guest_touch(void)
{
	for (;;) {
		GUEST_SYNC(1);
		job.sum = 0;
		for (u64 page = job.first; page != job.end; page += job.step) {
			volatile u64 *p = (u64 *)(BASE + page * PAGE_SIZE);

			if (job.value)
				*p = job.value + page;
			job.sum += *p;
		}
	}
}

static u64 touch(struct vcpu *vcpu, u64 first, u64 end, u64 step, u64 value)
{
	guest_var(vcpu->vm, job).first = first;
	guest_var(vcpu->vm, job).end = end;
	guest_var(vcpu->vm, job).step = step;
	guest_var(vcpu->vm, job).value = value;
	vcpu_run_sync(vcpu, 1);
	return guest_var(vcpu->vm, job).sum;
}

FIXTURE(faults) {
	struct vcpu *vcpu;
	char *mem;
};

FIXTURE_SETUP(faults)
{
	self->vcpu = vcpu_create(vm_create(0), 0, guest_touch, 0);
	vcpu_run_sync(self->vcpu, 1);
	self->mem = map_memory(SIZE);
	madvise(self->mem, SIZE, MADV_NOHUGEPAGE);
	ASSERT_EQ(0, vm_set_slot(self->vcpu->vm, SLOT, 0, BASE, SIZE, self->mem));
}

FIXTURE_TEARDOWN(faults)
{
}

static void populate(char *mem, u64 value)
{
	for (u64 i = 0; i < PAGES; i++)
		*(u64 *)(mem + i * PAGE_SIZE) = value + i;
}

static u64 sum_of(u64 value)
{
	return PAGES * value + PAGES * (PAGES - 1) / 2;
}

/* ---- fault-around ---- */

TEST_F(faults, pages_in_order_share_a_fault)
{
	s64 around, faults;

	NEED_MMU_DEBUGFS();
	populate(self->mem, 100);
	around = mmu_stat("around");
	faults = mmu_stat("faults");
	EXPECT_EQ(sum_of(100), touch(self->vcpu, 0, PAGES, 1, 0));
	if (host_is_intel() && mmu_stat("around") == around)
		SKIP(return, "no accessed bits in this host's EPT");
	EXPECT_GE(PAGES / WINDOW + 4, mmu_stat("faults") - faults);
	/* What was read can be written at once, as what was asked for can. */
	faults = mmu_stat("faults");
	EXPECT_EQ(sum_of(200), touch(self->vcpu, 0, PAGES, 1, 200));
	EXPECT_EQ(faults, mmu_stat("faults"));
	EXPECT_EQ(200 + PAGES - 1, *(u64 *)(self->mem + (PAGES - 1) * PAGE_SIZE));
}

TEST_F(faults, pages_out_of_order_do_not)
{
	s64 around;

	NEED_MMU_DEBUGFS();
	populate(self->mem, 100);
	around = mmu_stat("around");
	touch(self->vcpu, 0, PAGES, 2, 0);
	touch(self->vcpu, PAGES - 1, -1, -2, 0);
	EXPECT_EQ(around, mmu_stat("around"));
}

static u64 pages_present(char *mem, u64 first, u64 n)
{
	unsigned char present[n];
	u64 sum = 0;

	if (mincore(mem + first * PAGE_SIZE, n * PAGE_SIZE, present))
		die("mincore: %m");
	for (u64 i = 0; i < n; i++)
		sum += present[i] & 1;
	return sum;
}

TEST_F(faults, nothing_is_made_present)
{
	touch(self->vcpu, 0, 5, 1, 7);
	EXPECT_EQ(5, pages_present(self->mem, 0, PAGES));
}

/* Pages that the guest has not written are in no log. */
TEST_F(faults, a_logged_slot_has_exact_faults)
{
	u64 bitmap[PAGES / 64];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };

	SKIP_ON_STOCK("logs pages that were only read, if the host may write them");
	populate(self->mem, 100);
	ASSERT_EQ(0, vm_set_slot(self->vcpu->vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, BASE, SIZE,
				 self->mem));
	touch(self->vcpu, 0, PAGES, 1, 0);
	touch(self->vcpu, 3, 7, 1, 300);
	do_ioctl(self->vcpu->vm->fd, KVM_GET_DIRTY_LOG, &log);
	EXPECT_EQ(0x78, bitmap[0]);
	for (int i = 1; i < PAGES / 64; i++)
		EXPECT_EQ(0, bitmap[i]);
	/* The pages that came along before the log are in it when they are written. */
	touch(self->vcpu, 64, 128, 1, 400);
	do_ioctl(self->vcpu->vm->fd, KVM_GET_DIRTY_LOG, &log);
	EXPECT_EQ(0, bitmap[0]);
	EXPECT_EQ(~0ull, bitmap[1]);
}

/* Mapped along, then logged: the first write to each is seen. */
TEST_F(faults, what_came_along_is_logged)
{
	u64 bitmap[PAGES / 64];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };

	populate(self->mem, 100);
	touch(self->vcpu, 0, 4, 1, 200);
	ASSERT_EQ(0, vm_set_slot(self->vcpu->vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, BASE, SIZE,
				 self->mem));
	touch(self->vcpu, 2, 12, 1, 300);
	do_ioctl(self->vcpu->vm->fd, KVM_GET_DIRTY_LOG, &log);
	EXPECT_EQ(0xffc, bitmap[0]);
}

/* Read-only in the host, for now: a neighbour must not become writable for all that. */
TEST_F(faults, neighbours_follow_the_host)
{
	populate(self->mem, 100);
	ASSERT_EQ(0, mprotect(self->mem + 4 * PAGE_SIZE, PAGE_SIZE, PROT_READ));
	touch(self->vcpu, 0, 3, 1, 200);
	guest_var(self->vcpu->vm, job).first = 4;
	guest_var(self->vcpu->vm, job).end = 5;
	guest_var(self->vcpu->vm, job).step = 1;
	guest_var(self->vcpu->vm, job).value = 200;
	EXPECT_EQ(EFAULT, vcpu_run_once(self->vcpu));
	EXPECT_EQ(104, *(u64 *)(self->mem + 4 * PAGE_SIZE));
	ASSERT_EQ(0, mprotect(self->mem + 4 * PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE));
	vcpu_run_sync(self->vcpu, 1);
	EXPECT_EQ(204, *(u64 *)(self->mem + 4 * PAGE_SIZE));
}

/* ---- memory that the host has no page structures for, or whose pages are a device's ---- */

/* The legacy BIOS: what /dev/mem lets everyone with the right see, as VM_PFNMAP. */
TEST(device_memory)
{
	int fd = open("/dev/mem", O_RDONLY);
	char *mem = MAP_FAILED;
	struct vcpu *vcpu;
	u64 sum = 0;

	if (fd >= 0)
		mem = mmap(NULL, WINDOW * PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0xf0000);
	if (mem == MAP_FAILED)
		SKIP(return, "/dev/mem can't be mapped here");
	vcpu = vcpu_create(vm_create(0), 0, guest_touch, 0);
	vcpu_run_sync(vcpu, 1);
	ASSERT_EQ(0, vm_set_slot(vcpu->vm, SLOT, KVM_MEM_READONLY, BASE, WINDOW * PAGE_SIZE, mem));
	for (int i = 0; i < WINDOW; i++)
		sum += *(u64 *)(mem + i * PAGE_SIZE);
	EXPECT_NE(0, sum);
	EXPECT_EQ(sum, touch(vcpu, 0, WINDOW, 1, 0));
	/* The mapping goes, and with it what the guest had of it. */
	ASSERT_EQ(mem, mmap(mem, WINDOW * PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			    -1, 0));
	EXPECT_EQ(0, touch(vcpu, 0, WINDOW, 1, 0));
}

/* ---- which pages are in use, as the host's reclaim hears of it ---- */

#define HOT	32ul	/* pages that the guest goes on using */

/*
 * The guest uses a few pages again and again, and the host wants memory back,
 * a little at a time, until half of the others are gone. Only the guest's
 * accesses say which pages are in use, and those stay.
 */
TEST_F(faults, used_pages_are_not_reclaimed)
{
	u64 hot_lost = 0, cold_lost = 0;

	if (!host_swap_on())
		SKIP(return, "no swap here");
	if (!cgroup_enter())
		SKIP(return, "no memory cgroups here, or not root");
	if (!cgroup_write("memory.reclaim", "0")) {
		cgroup_leave();
		SKIP(return, "no memory.reclaim here");
	}
	/* Again, for this group to pay for it. */
	madvise(self->mem, SIZE, MADV_DONTNEED);
	touch(self->vcpu, 0, PAGES, 1, 100);
	/* Present, and forgotten that anybody used them: by the guest, and by the host. */
	mprotect(self->mem, SIZE, PROT_READ);
	mprotect(self->mem, SIZE, PROT_READ | PROT_WRITE);
	madvise(self->mem, SIZE, MADV_COLD);
	for (int round = 0; round < 64 && cold_lost < (PAGES - HOT) / 2; round++) {
		touch(self->vcpu, 0, HOT, 1, 0);
		cgroup_write("memory.reclaim", "64K");
		hot_lost += HOT - pages_present(self->mem, 0, HOT);
		cold_lost = PAGES - HOT - pages_present(self->mem, HOT, PAGES - HOT);
	}
	cgroup_leave();
	TH_LOG("lost: %llu hot, %llu cold", hot_lost, cold_lost);
	EXPECT_LE((PAGES - HOT) / 2, cold_lost);
	EXPECT_GT(HOT / 4, hot_lost);
	EXPECT_EQ(sum_of(100), touch(self->vcpu, 0, PAGES, 1, 0));
}

TEST_HARNESS_MAIN
