// SPDX-License-Identifier: GPL-2.0
/*
 * Memory slots: what may be set and what may not, create, delete, move and
 * re-flag under a guest that looks, neighbours, gaps and aliases, and as many
 * slots as there can be.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/syscall.h>

#include "lib/debugfs.h"
#include "lib/test.h"

#define BASE 0x10000000ul	/* behind slot 0, below 4 GiB */

/* A guest that does what user space puts here, at each sync point. */
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

FIXTURE(slots) {
	struct vm *vm;
	struct vcpu *vcpu;
};

FIXTURE_SETUP(slots)
{
	self->vm = vm_create(0);
	self->vcpu = vcpu_create(self->vm, 0, guest_worker, 0);
	vcpu_run_sync(self->vcpu, 1);
}

FIXTURE_TEARDOWN(slots)
{
	vcpu_free(self->vcpu);
	vm_free(self->vm);
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

#define MMIO_MAGIC 0x5150515051505150

/* True if reading there is an MMIO exit. */
static bool guest_read_is_mmio(struct vcpu *vcpu, u64 gpa)
{
	struct report r;

	guest_var(vcpu->vm, job).write_gpa = 0;
	guest_var(vcpu->vm, job).read_gpa = gpa;
	r = vcpu_run(vcpu);
	if (r.kind == REPORT_SYNC)
		return false;
	if (r.kind != REPORT_EXIT || r.exit != KVM_EXIT_MMIO ||
	    vcpu->run->mmio.phys_addr != gpa || vcpu->run->mmio.is_write)
		die("an exit that is not the read's: %u", r.exit);
	*(u64 *)vcpu->run->mmio.data = MMIO_MAGIC;
	vcpu_run_sync(vcpu, 1);
	return guest_var(vcpu->vm, job).value == MMIO_MAGIC;
}

/* ---- address spaces: the same frames, other slots ---- */

#define SECOND(slot)	(1u << 16 | (slot))

TEST_F(slots, address_spaces)
{
	struct vm *vm = self->vm;
	char *mem = map_memory(8 * PAGE_SIZE);
	const u64 P = PAGE_SIZE;
	unsigned int max = check_extension(KVM_CAP_NR_MEMSLOTS);

	ASSERT_EQ(2, check_extension(KVM_CAP_MULTI_ADDRESS_SPACE));
	*(u64 *)mem = 0x11;
	*(u64 *)(mem + 4 * P) = 0x22;
	/* one number, one place; each space keeps to itself */
	ASSERT_EQ(0, vm_set_slot(vm, 1, 0, BASE, 4 * P, mem));
	ASSERT_EQ(0, vm_set_slot(vm, SECOND(1), 0, BASE, 4 * P, mem + 4 * P));
	EXPECT_EQ(EEXIST, vm_set_slot(vm, SECOND(2), 0, BASE + P, P, mem));
	EXPECT_EQ(EEXIST, vm_set_slot(vm, 2, 0, BASE + P, P, mem));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, SECOND(1), 0, BASE, 2 * P, mem + 4 * P));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, SECOND(max), 0, BASE + 8 * P, P, mem));
	ASSERT_EQ(0, vm_set_slot(vm, SECOND(max - 1), 0, BASE + 8 * P, P, mem));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, max - 1, 0, BASE, 0, mem));
	EXPECT_TRUE(guest_read_is_mmio(self->vcpu, BASE + 8 * P));
	EXPECT_EQ(0x11, guest_read(self->vcpu, BASE));
	/* what becomes of the one is nothing to the other */
	ASSERT_EQ(0, vm_set_slot(vm, SECOND(1), 0, BASE + 16 * P, 4 * P, mem + 4 * P));
	EXPECT_EQ(0x11, guest_read(self->vcpu, BASE));
	EXPECT_TRUE(guest_read_is_mmio(self->vcpu, BASE + 16 * P));
	ASSERT_EQ(0, vm_set_slot(vm, 1, 0, BASE, 0, mem));
	EXPECT_TRUE(guest_read_is_mmio(self->vcpu, BASE));
	ASSERT_EQ(0, vm_set_slot(vm, SECOND(1), 0, BASE, 4 * P, mem + 4 * P));
	EXPECT_TRUE(guest_read_is_mmio(self->vcpu, BASE));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 0, BASE, 0, mem));
	EXPECT_EQ(0, vm_set_slot(vm, SECOND(1), 0, BASE, 0, mem));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, SECOND(1), 0, BASE, 0, mem));
}

/* A slot of the second space has a log of its own; nobody writes there. */
TEST_F(slots, address_spaces_log)
{
	struct vm *vm = self->vm;
	char *mem = map_memory(4 * PAGE_SIZE);
	u64 bitmap = ~0ull;
	struct kvm_dirty_log log = { .slot = SECOND(1), .dirty_bitmap = &bitmap };

	ASSERT_EQ(0, vm_set_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, 4 * PAGE_SIZE, mem));
	EXPECT_EQ(ENOENT, ioctl_errno(vm->fd, KVM_GET_DIRTY_LOG, &log));
	ASSERT_EQ(0, vm_set_slot(vm, SECOND(1), KVM_MEM_LOG_DIRTY_PAGES, BASE, 4 * PAGE_SIZE, mem));
	guest_write(self->vcpu, BASE + PAGE_SIZE, 1);
	EXPECT_EQ(0, ioctl_errno(vm->fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(0, bitmap);
	log.slot = 1;
	EXPECT_EQ(0, ioctl_errno(vm->fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(2, bitmap);
	log.slot = 2u << 16 | 1;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_GET_DIRTY_LOG, &log));
	log.slot = SECOND(0xffff);
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_GET_DIRTY_LOG, &log));
}

/* ---- what is refused ---- */

TEST_F(slots, refused)
{
	struct vm *vm = self->vm;
	char *mem = map_memory(16 * PAGE_SIZE);
	const u64 P = PAGE_SIZE;

	/* flags */
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 1 << 7, BASE, P, mem));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 1u << 31, BASE, P, mem));
	/* alignment of size, address, and host address */
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 0, BASE, P + 1, mem));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 0, BASE, 512, mem));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 0, BASE + 512, P, mem));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 0, BASE, P, mem + 1));
	/* not the user's addresses */
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 0, BASE, P, (void *)0xffff888000000000));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 0, BASE, 1ull << 48, mem));
	/* wraps */
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 0, -P, 2 * P, mem));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 0, BASE, -P, mem));
	/* ids: the slot, and the address space above bit 16 */
	EXPECT_EQ(EINVAL, vm_set_slot(vm, check_extension(KVM_CAP_NR_MEMSLOTS), 0, BASE, P, mem));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 0xffff, 0, BASE, P, mem));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 2 << 16, 0, BASE, P, mem));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 0xffff0001, 0, BASE, P, mem));
	/* deleting what is not there */
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 0, BASE, 0, mem));
	EXPECT_EQ(EFAULT, ioctl_errno(vm->fd, KVM_SET_USER_MEMORY_REGION, NULL));

	/* overlaps: with the first, the middle, the last page, and all round */
	ASSERT_EQ(0, vm_set_slot(vm, 1, 0, BASE + 4 * P, 4 * P, mem));
	EXPECT_EQ(EEXIST, vm_set_slot(vm, 2, 0, BASE + 4 * P, P, mem));
	EXPECT_EQ(EEXIST, vm_set_slot(vm, 2, 0, BASE + 5 * P, P, mem));
	EXPECT_EQ(EEXIST, vm_set_slot(vm, 2, 0, BASE + 7 * P, 2 * P, mem));
	EXPECT_EQ(EEXIST, vm_set_slot(vm, 2, 0, BASE + 3 * P, 2 * P, mem));
	EXPECT_EQ(EEXIST, vm_set_slot(vm, 2, 0, BASE, 16 * P, mem));
	/* touching is not overlapping */
	EXPECT_EQ(0, vm_set_slot(vm, 2, 0, BASE + 3 * P, P, mem));
	EXPECT_EQ(0, vm_set_slot(vm, 3, 0, BASE + 8 * P, P, mem));
	/* moving onto another */
	EXPECT_EQ(EEXIST, vm_set_slot(vm, 2, 0, BASE + 4 * P, P, mem));
	EXPECT_EQ(EEXIST, vm_set_slot(vm, 1, 0, BASE + 5 * P, 4 * P, mem));
	EXPECT_EQ(EEXIST, vm_set_slot(vm, 1, 0, BASE + 3 * P, 4 * P, mem));

	/* an existing slot keeps its size, its memory and whether it is read-only */
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 0, BASE + 4 * P, 3 * P, mem));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, 0, BASE + 4 * P, 4 * P, mem + P));
	EXPECT_EQ(EINVAL, vm_set_slot(vm, 1, KVM_MEM_READONLY, BASE + 4 * P, 4 * P, mem));

	/* after all that, the slot works, and setting it once more is nothing */
	EXPECT_EQ(0, vm_set_slot(vm, 1, 0, BASE + 4 * P, 4 * P, mem));
	guest_write(self->vcpu, BASE + 4 * P, 0x1234);
	EXPECT_EQ(0x1234, *(u64 *)mem);
}

/* ---- life of a slot ---- */

TEST_F(slots, create_delete)
{
	u64 *mem = map_memory(2 * PAGE_SIZE);
	int i;

	EXPECT_TRUE(guest_read_is_mmio(self->vcpu, BASE));
	for (i = 1; i < 20; i++) {
		ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, 2 * PAGE_SIZE, mem));
		guest_write(self->vcpu, BASE + PAGE_SIZE, i);
		EXPECT_EQ(i, mem[512]);
		mem[0] = 1000 + i;
		EXPECT_EQ(1000 + i, guest_read(self->vcpu, BASE));
		ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, 0, mem));
		EXPECT_TRUE(guest_read_is_mmio(self->vcpu, BASE));
		EXPECT_TRUE(guest_read_is_mmio(self->vcpu, BASE + PAGE_SIZE));
	}
}

/* Delete and create elsewhere in host memory: no stale mapping may be left. */
TEST_F(slots, other_memory_same_place)
{
	u64 *a = map_memory(PAGE_SIZE), *b = map_memory(PAGE_SIZE);
	int i;

	a[0] = 0xa;
	b[0] = 0xb;
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, PAGE_SIZE, i % 2 ? b : a));
		EXPECT_EQ(i % 2 ? 0xb : 0xa, guest_read(self->vcpu, BASE));
		ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, 0, NULL));
	}
}

TEST_F(slots, move)
{
	u64 *mem = map_memory(4 * PAGE_SIZE);
	const u64 P = PAGE_SIZE;

	mem[0] = 0x11;
	mem[512] = 0x22;
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, 4 * P, mem));
	EXPECT_EQ(0x11, guest_read(self->vcpu, BASE));
	EXPECT_EQ(0x22, guest_read(self->vcpu, BASE + P));
	/* to where it overlaps itself */
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE + P, 4 * P, mem));
	EXPECT_TRUE(guest_read_is_mmio(self->vcpu, BASE));
	EXPECT_EQ(0x11, guest_read(self->vcpu, BASE + P));
	EXPECT_EQ(0x22, guest_read(self->vcpu, BASE + 2 * P));
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, 4 * P, mem));
	EXPECT_EQ(0x11, guest_read(self->vcpu, BASE));
	EXPECT_TRUE(guest_read_is_mmio(self->vcpu, BASE + 4 * P));
	/* far away, and back */
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE + 0x40000000, 4 * P, mem));
	EXPECT_TRUE(guest_read_is_mmio(self->vcpu, BASE));
	EXPECT_EQ(0x22, guest_read(self->vcpu, BASE + 0x40000000 + P));
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, 4 * P, mem));
	EXPECT_EQ(0x11, guest_read(self->vcpu, BASE));
	EXPECT_TRUE(guest_read_is_mmio(self->vcpu, BASE + 0x40000000));
}

/* Dirty logging is a flag that may change; the guest must not notice. */
TEST_F(slots, flags)
{
	u64 *mem = map_memory(4 * PAGE_SIZE);
	u64 bitmap = 0;
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = &bitmap };
	int i;

	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, 4 * PAGE_SIZE, mem));
	EXPECT_EQ(ENOENT, ioctl_errno(self->vm->fd, KVM_GET_DIRTY_LOG, &log));
	guest_write(self->vcpu, BASE, 1);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, vm_set_slot(self->vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE,
					 4 * PAGE_SIZE, mem));
		do_ioctl(self->vm->fd, KVM_GET_DIRTY_LOG, &log);
		guest_write(self->vcpu, BASE + (i & 3) * PAGE_SIZE, i);
		EXPECT_EQ(i, mem[512 * (i & 3)]);
		do_ioctl(self->vm->fd, KVM_GET_DIRTY_LOG, &log);
		EXPECT_EQ(1ul << (i & 3), bitmap);
		do_ioctl(self->vm->fd, KVM_GET_DIRTY_LOG, &log);
		EXPECT_EQ(0, bitmap);
		ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, 4 * PAGE_SIZE, mem));
		guest_write(self->vcpu, BASE, i);
		EXPECT_EQ(ENOENT, ioctl_errno(self->vm->fd, KVM_GET_DIRTY_LOG, &log));
	}
	/* created with it */
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, 0, mem));
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, 4 * PAGE_SIZE, mem));
	do_ioctl(self->vm->fd, KVM_GET_DIRTY_LOG, &log);
	guest_read(self->vcpu, BASE);
	guest_write(self->vcpu, BASE + PAGE_SIZE, 1);
	do_ioctl(self->vm->fd, KVM_GET_DIRTY_LOG, &log);
	/* A page that was only read may be in the log, one that nobody touched may not. */
	EXPECT_EQ(2, bitmap & ~1ull);
}

/*
 * An access where no slot is leaves an entry that says so, and the next one exits
 * through it: that is the counter mmio. Where a slot appears such entries go: were
 * they to stay, the guest would still see the right data, an instruction at a time.
 */
TEST_F(slots, mmio_entries)
{
	const u64 P = PAGE_SIZE, gpa = BASE + P;
	u64 *mem = map_memory(2 * HUGE_SIZE);
	struct vcpu *vcpu = self->vcpu;
	s64 exits;

	NEED_MMU_DEBUGFS();
	mem[512] = 0x1111;
	mem[0] = 0x2222;
	EXPECT_TRUE(guest_read_is_mmio(vcpu, gpa));
	if (!mmu_is_mmio(gpa))
		SKIP(return, "this CPU has no address bits to mark MMIO with");
	exits = mmu_stat("mmio");
	EXPECT_TRUE(guest_read_is_mmio(vcpu, gpa));
	EXPECT_EQ(exits + 1, mmu_stat("mmio"));

	/* A slot is created, */
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, 4 * P, mem));
	EXPECT_FALSE(mmu_is_mmio(gpa));
	EXPECT_EQ(0x1111, guest_read(vcpu, gpa));
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, 0, mem));
	EXPECT_TRUE(guest_read_is_mmio(vcpu, gpa));
	EXPECT_TRUE(mmu_is_mmio(gpa));

	/* one is moved to here, and away, */
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, 2 * BASE, 4 * P, mem));
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, gpa, 4 * P, mem));
	EXPECT_FALSE(mmu_is_mmio(gpa));
	EXPECT_EQ(0x2222, guest_read(vcpu, gpa));
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, 2 * BASE, 4 * P, mem));
	EXPECT_TRUE(guest_read_is_mmio(vcpu, gpa));

	/* one is created that covers whole tables of such entries. */
	ASSERT_EQ(0, vm_set_slot(self->vm, 2, 0, BASE, 2 * HUGE_SIZE, mem));
	EXPECT_FALSE(mmu_is_mmio(gpa));
	EXPECT_EQ(0x1111, guest_read(vcpu, gpa));
	EXPECT_EQ(exits + 1, mmu_stat("mmio"));
}

/* ---- several slots ---- */

TEST_F(slots, neighbours_and_gaps)
{
	char *mem = map_memory(64 * PAGE_SIZE);
	const u64 P = PAGE_SIZE;
	int i;

	/* Every third page is a hole; host memory runs the other way. */
	for (i = 0; i < 60; i++)
		*(u64 *)(mem + (63 - i) * P) = 100 + i;
	for (i = 0; i < 60; i++) {
		if (i % 3 == 0)
			continue;
		ASSERT_EQ(0, vm_set_slot(self->vm, 1 + i, 0, BASE + i * P, P,
					 mem + (63 - i) * P));
	}
	for (i = 0; i < 60; i++) {
		if (i % 3) {
			EXPECT_EQ(100 + i, guest_read(self->vcpu, BASE + i * P));
		} else {
			EXPECT_TRUE(guest_read_is_mmio(self->vcpu, BASE + i * P));
		}
	}
	/* An access over the seam of two slots. */
	guest_write(self->vcpu, BASE + 2 * P - 4, 0x1122334455667788);
	EXPECT_EQ(0x55667788, *(u32 *)(mem + 62 * P + P - 4));
	EXPECT_EQ(0x11223344, *(u32 *)(mem + 61 * P));
}

/* Two slots of one host page: what is written through one is read through the other. */
TEST_F(slots, aliases)
{
	u64 *mem = map_memory(PAGE_SIZE);

	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, PAGE_SIZE, mem));
	ASSERT_EQ(0, vm_set_slot(self->vm, 2, 0, BASE + HUGE_SIZE, PAGE_SIZE, mem));
	ASSERT_EQ(0, vm_set_slot(self->vm, 3, KVM_MEM_READONLY, BASE + 2 * HUGE_SIZE, PAGE_SIZE,
				 mem));
	guest_write(self->vcpu, BASE, 0xabc);
	EXPECT_EQ(0xabc, guest_read(self->vcpu, BASE + HUGE_SIZE));
	EXPECT_EQ(0xabc, guest_read(self->vcpu, BASE + 2 * HUGE_SIZE));
	guest_write(self->vcpu, BASE + HUGE_SIZE + 8, 0xdef);
	EXPECT_EQ(0xdef, guest_read(self->vcpu, BASE + 8));
	/* One of them goes; the other stays. */
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, 0, mem));
	EXPECT_EQ(0xdef, guest_read(self->vcpu, BASE + HUGE_SIZE + 8));
	EXPECT_TRUE(guest_read_is_mmio(self->vcpu, BASE));
}

/* Host memory that is not there, or goes: an error of KVM_RUN, and no harm. */
TEST_F(slots, no_host_memory)
{
	void *mem = map_memory(PAGE_SIZE);

	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, PAGE_SIZE, mem));
	guest_write(self->vcpu, BASE, 1);
	ASSERT_EQ(0, munmap(mem, PAGE_SIZE));
	guest_var(self->vm, job).write_gpa = BASE;
	EXPECT_EQ(EFAULT, vcpu_run_once(self->vcpu));
	/* Memory again: it goes on where it was. */
	ASSERT_EQ(mem, mmap(mem, PAGE_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	vcpu_run_sync(self->vcpu, 1);
	EXPECT_EQ(1, *(u64 *)mem);
	guest_write(self->vcpu, BASE, 2);
	EXPECT_EQ(2, *(u64 *)mem);
}

/* A mapping that user space may only read: the guest reads it, and cannot write. */
TEST_F(slots, read_only_mapping)
{
	u64 *mem = map_memory(PAGE_SIZE);

	mem[0] = 0x77;
	ASSERT_EQ(0, mprotect(mem, PAGE_SIZE, PROT_READ));
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, PAGE_SIZE, mem));
	EXPECT_EQ(0x77, guest_read(self->vcpu, BASE));
	guest_var(self->vm, job).write_gpa = BASE;
	EXPECT_EQ(EFAULT, vcpu_run_once(self->vcpu));
	EXPECT_EQ(0x77, mem[0]);
}

/* ---- a reader that takes its time ---- */

static int uffd_open(void *mem, u64 size)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register area = {
		.range = { (u64)mem, size }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);	/* else poll() fails */

	if (fd >= 0) {
		do_ioctl(fd, UFFDIO_API, &api);
		do_ioctl(fd, UFFDIO_REGISTER, &area);
	}
	return fd;
}

static struct {
	struct vm *vm;
	int begun, done;	/* deletions of slot 1 */
} deletion;

static void *delete_slot(void *mem)
{
	__atomic_store_n(&deletion.begun, 1, __ATOMIC_SEQ_CST);
	if (vm_set_slot(deletion.vm, 1, 0, BASE, 0, mem))
		die("the slot is not deleted: %m");
	__atomic_store_n(&deletion.done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static __guest void guest_outs(void)
{
	u64 from = BASE;

	asm volatile("outsb" : "+S"(from) : "d"(REPORT_PORT + 1) : "memory");
}

static void *run_to_out(void *arg)
{
	vcpu_run_exit(arg, KVM_EXIT_IO);
	return NULL;
}

/*
 * The memory that an instruction is emulated with belongs to its slot until that has been
 * read: user space may give it to something else when KVM says that the slot is gone.
 */
TEST_F(slots, deletion_waits_for_emulation)
{
	void *mem = map_memory(PAGE_SIZE);
	struct uffdio_zeropage zero = { .range = { (u64)mem, PAGE_SIZE } };
	struct pollfd missing = { .fd = uffd_open(mem, PAGE_SIZE), .events = POLLIN };
	pthread_t runs, deletes;

	if (missing.fd < 0)
		SKIP(return, "the kernel has no userfaultfd: %s", strerror(errno));
	deletion.vm = self->vm;
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, 0, BASE, PAGE_SIZE, mem));
	vcpu_start64(self->vcpu, guest_outs, 0);
	ASSERT_EQ(0, pthread_create(&runs, NULL, run_to_out, self->vcpu));
	ASSERT_EQ(1, poll(&missing, 1, 60000));
	ASSERT_EQ(POLLIN, missing.revents);
	ASSERT_EQ(0, pthread_create(&deletes, NULL, delete_slot, mem));
	while (!__atomic_load_n(&deletion.begun, __ATOMIC_SEQ_CST))
		usleep(1000);
	usleep(300000);
	EXPECT_EQ(0, __atomic_load_n(&deletion.done, __ATOMIC_SEQ_CST));
	do_ioctl(missing.fd, UFFDIO_ZEROPAGE, &zero);
	pthread_join(deletes, NULL);
	pthread_join(runs, NULL);
	close(missing.fd);
}

/* All of them: each is found, and what lies between them is not. */
#define STRIDE		(2 * PAGE_SIZE)
#define NR_PAGES	64ul

TEST(as_many_as_there_can_be)
{
	int max = check_extension(KVM_CAP_NR_MEMSLOTS), i;
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_worker, 0);
	char *mem = map_memory(NR_PAGES * PAGE_SIZE);
	u64 gpa;

	ASSERT_GE(max, 32764);
	for (i = 0; i < NR_PAGES; i++)
		*(u64 *)(mem + i * PAGE_SIZE) = i;
	/* In an order that is neither up nor down. */
	for (i = 1; i < max; i++) {
		gpa = BASE + (u64)i * 7919 % max * STRIDE;
		ASSERT_EQ(0, vm_set_slot(vm, i, 0, gpa, PAGE_SIZE, mem + i % NR_PAGES * PAGE_SIZE))
			TH_LOG("slot %d of %d", i, max);
	}
	ASSERT_EQ(EINVAL, vm_set_slot(vm, max, 0, BASE - STRIDE, PAGE_SIZE, mem));
	vcpu_run_sync(vcpu, 1);
	for (i = 1; i < max; i += 331) {
		gpa = BASE + (u64)i * 7919 % max * STRIDE;
		EXPECT_EQ(i % NR_PAGES, guest_read(vcpu, gpa));
		EXPECT_TRUE(guest_read_is_mmio(vcpu, gpa + PAGE_SIZE));
	}
	/* Some go, at random, and only these. */
	for (i = 1; i < max; i += 662) {
		ASSERT_EQ(0, vm_set_slot(vm, i, 0, 0, 0, NULL));
	}
	for (i = 1; i < max; i += 331) {
		gpa = BASE + (u64)i * 7919 % max * STRIDE;
		EXPECT_EQ(i & 1, guest_read_is_mmio(vcpu, gpa));
	}
}

TEST_HARNESS_MAIN
