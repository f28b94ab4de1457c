// SPDX-License-Identifier: GPL-2.0
/*
 * Not one dirty page is lost: vCPUs write at random while the log is started,
 * read, stopped and started again, and while the host collapses, splits, ages
 * and protects the memory. A copy that is kept up to date from the log alone
 * must in the end be the guest's memory, byte for byte; and the guest's own
 * count of what it wrote must be in it.
 *
 * It goes on until the guest has written MINIKVM_WRITES times (100,000) and the
 * host has read the log MINIKVM_LOGS times (20), from MINIKVM_SEED.
 */
#include "lib/test.h"

#define BASE	0x40000000ul
#define SIZE	(2 * HUGE_SIZE)
#define PAGES	(SIZE / PAGE_SIZE)
#define SLOT	1
#define CPUS	2

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static u64 xorshift(u64 *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static u64 option(const char *name, u64 otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 0) : otherwise;
}

/* ---- the guest ---- */

static volatile struct {
	u64 seed;
	u64 done;		/* the guest's record: how many */
	u64 sum;		/* and the sum of all values that are in memory */
} jobs[CPUS];
static volatile bool stop;

/*
 * Each vCPU has its own half of each page, so that neither disturbs the other's
 * sum. A write replaces a value: the sum follows. Sizes from 1 to 8 bytes, and
 * sometimes a run of a page or an atomic operation.
 */
static __guest void guest_write(u64 cpu)
{
	u64 s = jobs[cpu].seed, i, r, old, v;
	volatile u64 *p;

	for (i = 0; !stop; i++) {
		r = xorshift(&s);
		p = (u64 *)(BASE + r % PAGES * PAGE_SIZE + cpu * (PAGE_SIZE / 2)) +
		    (r >> 32) % (PAGE_SIZE / 2 / 8);
		old = *p;
		switch (r >> 60) {
		case 0:
			*(volatile u8 *)p = r >> 40;
			break;
		case 1:
			*(volatile u16 *)p = r >> 40;
			break;
		case 2:
			*(volatile u32 *)p = r >> 40;
			break;
		case 3:
			v = r;
			asm volatile("lock xaddq %0, (%1)" : "+r"(v) : "r"(p) : "memory");
			break;
		case 4:
			v = old;
			asm volatile("lock cmpxchgq %1, (%2)" : "+a"(v) : "r"(r), "r"(p)
				     : "memory");
			break;
		default:
			*p = r;
		}
		jobs[cpu].sum += *p - old;
		jobs[cpu].done = i + 1;
	}
}

/* ---- the host ---- */

struct stress {
	struct vm *vm;
	char *mem, *copy;
	bool logging;
	u64 bitmap[PAGES / 64], dirty, rounds;
};

static void set_logging(struct stress *s, bool on)
{
	if (vm_set_slot(s->vm, SLOT, on ? KVM_MEM_LOG_DIRTY_PAGES : 0, BASE, SIZE, s->mem))
		die("the slot's flags cannot be changed");
	s->logging = on;
	/* Whoever starts a log begins with all of it; that is the rule of migration. */
	if (on)
		memcpy(s->copy, s->mem, SIZE);
}

/* Get and clear first, then copy: what is written in between is dirty again. */
static void harvest(struct stress *s)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = s->bitmap };
	u64 i;

	do_ioctl(s->vm->fd, KVM_GET_DIRTY_LOG, &log);
	for (i = 0; i < PAGES; i++) {
		if (!(s->bitmap[i / 64] >> i % 64 & 1))
			continue;
		memcpy(s->copy + i * PAGE_SIZE, s->mem + i * PAGE_SIZE, PAGE_SIZE);
		s->dirty++;
	}
	s->rounds++;
}

/* What a host does to memory, of its own accord. */
static void disturb(struct stress *s, u64 r)
{
	char *huge = s->mem + r % (SIZE / HUGE_SIZE) * HUGE_SIZE;

	switch (r >> 32 & 7) {
	case 0:
	case 1:
		madvise(huge, HUGE_SIZE, MADV_HUGEPAGE);
		madvise(huge, HUGE_SIZE, MADV_COLLAPSE);
		break;
	case 2:
		madvise(huge, HUGE_SIZE, MADV_NOHUGEPAGE);
		madvise(huge + (r >> 40) % 512 * PAGE_SIZE, PAGE_SIZE, MADV_PAGEOUT);
		break;
	case 3:
		madvise(huge, HUGE_SIZE, MADV_PAGEOUT);
		break;
	case 4:
		madvise(huge, HUGE_SIZE, MADV_COLD);
		break;
	case 5:
		/* Another slot comes and goes next door. */
		vm_set_slot(s->vm, SLOT + 1, 0, BASE + SIZE, PAGE_SIZE, s->copy);
		vm_set_slot(s->vm, SLOT + 1, 0, BASE + SIZE, 0, NULL);
		break;
	}
}

static u64 guest_done(struct stress *s)
{
	u64 n = 0;
	int i;

	for (i = 0; i < CPUS; i++)
		n += guest_var(s->vm, jobs)[i].done;
	return n;
}

static u64 sum_of_memory(const char *mem)
{
	const u64 *p = (const u64 *)mem;
	u64 sum = 0, i;

	for (i = 0; i < SIZE / 8; i++)
		sum += p[i];
	return sum;
}

static void run_stress(struct __test_metadata *_metadata, u64 seed, bool huge)
{
	u64 writes = option("MINIKVM_WRITES", 100000), logs = option("MINIKVM_LOGS", 20);
	u64 s = seed, i, sum = 0;
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct stress *st = calloc(1, sizeof(*st));
	pthread_t threads[CPUS];
	struct vcpu *vcpu;

	TH_LOG("seed %#lx", seed);
	st->vm = vm_create(VM_IRQCHIP);
	st->mem = map_memory(SIZE);
	st->copy = map_memory(SIZE);
	if (huge)
		madvise(st->mem, SIZE, MADV_HUGEPAGE);
	set_logging(st, false);
	for (i = 0; i < CPUS; i++) {
		guest_var(st->vm, jobs)[i].seed = xorshift(&s);
		vcpu = vcpu_create(st->vm, i, guest_write, i);
		do_ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp);
		vcpu_run_thread(vcpu, &threads[i]);
	}
	while (guest_done(st) < writes || st->rounds < logs) {
		u64 r = xorshift(&s);

		if (!st->logging || r % 16 == 0)
			set_logging(st, !st->logging);
		else if (r % 4 == 1)
			disturb(st, xorshift(&s));
		else
			harvest(st);
		usleep(r >> 32 & 511);
	}
	guest_var(st->vm, stop) = true;
	for (i = 0; i < CPUS; i++)
		pthread_join(threads[i], NULL);
	if (!st->logging)
		set_logging(st, true);
	harvest(st);

	for (i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, memcmp(st->copy + i * PAGE_SIZE, st->mem + i * PAGE_SIZE, PAGE_SIZE)) {
			TH_LOG("page %#lx was written and not in the log; seed %#lx", i, seed);
		}
	}
	for (i = 0; i < CPUS; i++)
		sum += guest_var(st->vm, jobs)[i].sum;
	EXPECT_EQ(sum, sum_of_memory(st->mem));
	/* The guest was busy all over its memory: a log that says little is a test that does. */
	EXPECT_GT(st->dirty, 10 * st->rounds);
	TH_LOG("%lu writes, %lu logs read, %lu pages in them", guest_done(st), st->rounds, st->dirty);
}

TEST(small_pages)
{
	run_stress(_metadata, option("MINIKVM_SEED", 1) * 0x9e3779b97f4a7c15, false);
}

TEST(huge_pages)
{
	run_stress(_metadata, option("MINIKVM_SEED", 2) * 0x9e3779b97f4a7c15, true);
}

TEST_HARNESS_MAIN
