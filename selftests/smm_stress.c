// SPDX-License-Identifier: GPL-2.0
/*
 * Two address spaces at work: vCPUs go in and out of SMM and write at random in both, at the
 * same guest-physical addresses, while the host logs what they write, copies and collapses the
 * memory behind the slots, and has slots come and go in both spaces.
 *
 *  - Each vCPU's own sum of what it wrote in a space is that of the space's memory; but for
 *    the last value, for it may be stopped between the two.
 *  - A copy that is kept up to date from the logs alone is the memory, byte for byte.
 *
 * MINIKVM_ROUNDS (60) of them, from MINIKVM_SEED (1).
 */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

#include "lib/random.h"
#include "lib/test.h"

#define CPUS		2
#define SPACES		2
#define BASE		0x40000000ul
#define SIZE		(2 * HUGE_SIZE)
#define PAGES		(SIZE / PAGE_SIZE)
#define STEP		0x10000ul	/* between pages that are written: few, in two tables */
#define SMRAM		0x30000ul
#define SMRAM_SIZE	0x20000ul	/* one SMBASE behind the other: 0x10000 for each vCPU */
#define HANDLER		0x8000
#define MSR_SMBASE	0x9e

#define SLOT		5
#define SMRAM_SLOT	(1u << 16 | 1)
#define FAR_SLOT	7
#define FAR		0x80000000ul

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/* ---- the guest ---- */

/* What a vCPU's handler keeps, at its SMBASE. The handler knows the offsets. */
struct smm_job {
	u32 seed, where, sum, done;
};

/* Add the next number of a sequence to this vCPU's word of a page: a 16-bit segment of flat limit. */
extern const char handler[], handler_end[];
asm(".pushsection .rodata\n.code16\n"
    "handler:\n"
    "addr32 movl %cs:0, %eax\n"
    "imull $1664525, %eax, %eax\n"
    "addl $1013904223, %eax\n"
    "addr32 movl %eax, %cs:0\n"
    "movl %eax, %ebx\n"
    "shrl $8, %ebx\n"
    "andl $0x3f0000, %ebx\n"
    "addr32 addl %cs:4, %ebx\n"
    "addr32 addl %eax, %ds:(%ebx)\n"
    "addr32 addl %eax, %cs:8\n"
    "addr32 incl %cs:12\n"
    "rsm\n"
    "handler_end:\n.code64\n.popsection");

_Static_assert(SIZE - STEP == 0x3f0000, "as the handler has it");

static volatile struct { u32 last, sum; } jobs[CPUS];
static volatile bool stop;

static __guest void guest_work(u64 cpu)
{
	u64 s = 77 + cpu;
	volatile u32 *p;

	xapic_enable();
	while (!stop) {
		p = (u32 *)(BASE + xorshift(&s) % (SIZE / STEP) * STEP) + cpu;
		jobs[cpu].last = s;
		*p += (u32)s;
		jobs[cpu].sum += (u32)s;
		/* An SMI to itself */
		if (s >> 63) {
			xapic_write(0x310, cpu << 24);
			xapic_write(0x300, 2 << 8 | 1 << 14);
		}
	}
}

/* ---- the host ---- */

struct stress;

struct runner {
	struct stress *stress;
	struct vcpu *vcpu;
	pthread_t thread;
	volatile bool out;
};

/* What one slot has, and the copy of it. */
struct memory {
	u32 slot;
	u64 gpa, size;
	char *mem, *copy;
	bool logging;
};

struct stress {
	struct vm *vm;
	struct memory memory[3];	/* of space 0, of space 1, SMRAM */
	volatile bool pause;
	struct runner runners[CPUS];
	u64 s;
};

static void nothing(int sig)
{
}

static void *run_vcpu(void *arg)
{
	struct runner *r = arg;
	int error;

	while ((error = vcpu_run_once(r->vcpu)) == EINTR) {
		while (r->stress->pause) {
			r->out = true;
			host_give_way();
		}
		r->out = false;
	}
	if (error)
		die("KVM_RUN: %s", strerror(error));
	if (vcpu_report(r->vcpu).kind != REPORT_DONE)
		die("vCPU %d: exit reason %u", r->vcpu->id, r->vcpu->run->exit_reason);
	return NULL;
}

static void pause_guest(struct stress *st)
{
	int i;

	st->pause = true;
	for (i = 0; i < CPUS; i++)
		while (!st->runners[i].out) {
			pthread_kill(st->runners[i].thread, SIGUSR1);
			host_give_way();
		}
}

static void resume_guest(struct stress *st)
{
	int i;

	st->pause = false;
	for (i = 0; i < CPUS; i++)
		while (st->runners[i].out)
			host_give_way();
}

static void set_slot(struct stress *st, struct memory *m, u64 size)
{
	u32 flags = m->logging ? KVM_MEM_LOG_DIRTY_PAGES : 0;

	if (vm_set_slot(st->vm, m->slot, flags, m->gpa, size, m->mem))
		die("slot %#x cannot be set: %m", m->slot);
}

static void harvest(struct stress *st, struct memory *m)
{
	u64 bitmap[PAGES / 64] = {}, i;
	struct kvm_dirty_log log = { .slot = m->slot, .dirty_bitmap = bitmap };

	if (!m->logging)
		return;
	do_ioctl(st->vm->fd, KVM_GET_DIRTY_LOG, &log);
	for (i = 0; i < m->size / PAGE_SIZE; i++)
		if (bitmap[i / 64] >> i % 64 & 1)
			memcpy(m->copy + i * PAGE_SIZE, m->mem + i * PAGE_SIZE, PAGE_SIZE);
}

static void set_logging(struct stress *st, struct memory *m, bool on)
{
	if (on == m->logging)
		return;
	m->logging = on;
	set_slot(st, m, m->size);
	if (on)
		memcpy(m->copy, m->mem, m->size);
}

/* All pages of it that are written become other ones, while a child has those of before. */
static void copy_on_write(struct memory *m)
{
	u64 step = m->slot == SMRAM_SLOT ? PAGE_SIZE : STEP;
	int pipes[2];
	pid_t pid;
	char c;
	u64 i;

	if (pipe(pipes))
		die("pipe: %m");
	pid = fork();
	if (!pid) {
		close(pipes[1]);
		_exit(read(pipes[0], &c, 1));
	}
	/* The vCPUs write meanwhile: the host adds nothing, and that atomically. */
	for (i = 0; i < m->size; i += step)
		__atomic_fetch_add((u32 *)(m->mem + i), 0, __ATOMIC_SEQ_CST);
	close(pipes[0]);
	close(pipes[1]);
	waitpid(pid, NULL, 0);
}

/* Gone for a moment, and back, with a vCPU in this space or the other. */
static void delete_for_a_moment(struct stress *st, struct memory *m)
{
	pause_guest(st);
	harvest(st, m);
	set_slot(st, m, 0);
	set_slot(st, m, m->size);
	if (m->logging)
		memcpy(m->copy, m->mem, m->size);
	resume_guest(st);
}

static void other_slots(struct stress *st, u64 r)
{
	unsigned int space;

	for (space = 0; space < SPACES; space++)
		if (r >> space & 1) {
			vm_set_slot(st->vm, space << 16 | FAR_SLOT, 0, FAR, PAGE_SIZE, st->memory[0].mem);
			vm_set_slot(st->vm, space << 16 | FAR_SLOT, 0, FAR, 0, NULL);
		}
}

static void disturb(struct stress *st, u64 r)
{
	struct memory *m = &st->memory[r % 3];

	switch (r >> 32 & 7) {
	case 0:
	case 1:
	case 2:
		set_logging(st, m, true);
		break;
	case 3:
		set_logging(st, m, false);
		break;
	case 4:
		copy_on_write(m);
		break;
	case 5:
		delete_for_a_moment(st, m);
		break;
	case 6:
		other_slots(st, r >> 40);
		break;
	default:
		madvise(m->mem, m->size, MADV_COLLAPSE);
		break;
	}
}

static u32 sum(const struct memory *m, unsigned int cpu)
{
	u32 all = 0;
	u64 i;

	for (i = 0; i < m->size; i += PAGE_SIZE)
		all += ((u32 *)(m->mem + i))[cpu];
	return all;
}

static struct smm_job *smm_job(struct stress *st, unsigned int cpu)
{
	return (void *)(st->memory[2].mem + cpu * 0x10000);
}

/* Wait for more of everybody's work in both spaces. */
static void let_work(struct stress *st)
{
	unsigned int cpu;
	u32 done;

	for (cpu = 0; cpu < CPUS; cpu++)
		for (done = smm_job(st, cpu)->done; smm_job(st, cpu)->done - done < 20;)
			host_give_way();
}

static void check_sum(unsigned int cpu, const struct memory *m, u32 said, u32 last)
{
	u32 more = sum(m, cpu) - said;

	if (more && more != last)
		die("vCPU %u, slot %#x: the memory has %#x more than was written", cpu, m->slot,
		    more);
}

/* With the guest still and the logs read, all is exact. */
static void check(struct stress *st)
{
	struct memory *m;
	unsigned int cpu;
	u64 i;

	for (cpu = 0; cpu < CPUS; cpu++) {
		check_sum(cpu, &st->memory[0], guest_var(st->vm, jobs)[cpu].sum,
			  guest_var(st->vm, jobs)[cpu].last);
		/* The number that it adds is the seed of the next one. */
		check_sum(cpu, &st->memory[1], smm_job(st, cpu)->sum, smm_job(st, cpu)->seed);
	}
	for (m = st->memory; m < st->memory + 3; m++) {
		harvest(st, m);
		for (i = 0; m->logging && i < m->size; i += PAGE_SIZE)
			if (memcmp(m->copy + i, m->mem + i, PAGE_SIZE))
				die("slot %#x: page %#lx was written and is not in the log",
				    m->slot, i / PAGE_SIZE);
	}
}

static void add_memory(struct stress *st, unsigned int i, u32 slot, u64 gpa, u64 size)
{
	struct memory *m = &st->memory[i];

	*m = (struct memory){ .slot = slot, .gpa = gpa, .size = size };
	m->mem = map_memory(size);
	m->copy = map_memory(size);
	set_slot(st, m, size);
}

static void start_vcpu(struct stress *st, unsigned int cpu)
{
	struct runner *r = &st->runners[cpu];

	r->stress = st;
	r->vcpu = vcpu_create(st->vm, cpu, guest_work, cpu);
	vcpu_set_msr(r->vcpu, MSR_SMBASE, SMRAM + cpu * 0x10000);
	*smm_job(st, cpu) = (struct smm_job){ .seed = cpu + 1, .where = BASE + 4 * cpu };
	memcpy((char *)smm_job(st, cpu) + HANDLER, handler, handler_end - handler);
	do_ioctl(r->vcpu->fd, KVM_SET_MP_STATE,
		 &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE });
}

TEST(two_spaces)
{
	struct stress *st = calloc(1, sizeof(*st));
	u64 rounds = option("MINIKVM_ROUNDS", 60), i;

	signal(SIGUSR1, nothing);
	st->s = option("MINIKVM_SEED", 1);
	st->vm = vm_create(VM_IRQCHIP);
	add_memory(st, 0, SLOT, BASE, SIZE);
	add_memory(st, 1, 1u << 16 | SLOT, BASE, SIZE);
	add_memory(st, 2, SMRAM_SLOT, SMRAM, SMRAM_SIZE);
	for (i = 0; i < CPUS; i++)
		start_vcpu(st, i);
	for (i = 0; i < CPUS; i++)
		pthread_create(&st->runners[i].thread, NULL, run_vcpu, &st->runners[i]);
	for (i = 0; i < rounds; i++) {
		disturb(st, xorshift(&st->s));
		let_work(st);
		if (i % 2)
			continue;
		pause_guest(st);
		check(st);
		resume_guest(st);
	}
	guest_var(st->vm, stop) = true;
	for (i = 0; i < CPUS; i++)
		pthread_join(st->runners[i].thread, NULL);
	check(st);
	for (i = 0; i < CPUS; i++) {
		EXPECT_EQ(guest_var(st->vm, jobs)[i].sum, sum(&st->memory[0], i));
		EXPECT_EQ(smm_job(st, i)->sum, sum(&st->memory[1], i));
		vcpu_free(st->runners[i].vcpu);
	}
	vm_free(st->vm);
}

TEST_HARNESS_MAIN
