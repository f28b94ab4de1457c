/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A sequence of ioctls and small guests that is the same for each device: every step
 * prints one line of what it did and what came out (main.c), for scripts/differ to
 * compare. A step has a seed of its own, so what an earlier one found decides nothing.
 */
#ifndef SELFTESTS_DIFFER_H
#define SELFTESTS_DIFFER_H

#include "lib/random.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define VCPUS		2
#define RAM_SIZE	HUGE_SIZE	/* slot 0, at guest-physical 0 */
#define OTHER_SIZE	(64 * PAGE_SIZE)	/* what other slots are made of */
#define CLOCKS		0x100000	/* in slot 0, where no guest's code or data is */
#define RUN_SIZE	(3 * PAGE_SIZE)	/* struct kvm_run, port data, coalesced writes */
#define MSRS_MAX	256
#define MCE_NOT_CLAIMED	0x8000400ull	/* local machine checks, corrected ones' interrupts: KVM's on Intel */

/* What an episode plays with. */
struct world {
	int dev, vm, vcpu[VCPUS], event[2];
	struct kvm_run *run[VCPUS];
	char *ram, *other;
	bool pic;		/* in the kernel */
	bool has_ram;
};

struct step {
	const char *name;
	int weight;
	void (*run)(struct world *w);
};

extern const struct step device_steps[], vm_steps[], irq_steps[], vcpu_steps[], guest_steps[],
	device_access_steps[];

/* ---- random numbers, of the step ---- */

u64 rnd(void);
u64 below(u64 n);
bool one_in(u64 n);
u64 value(void);		/* one at which something may end or begin */
u32 pick_msr(void);
#define pick(table) ((table)[below(ARRAY_SIZE(table))])

/* ---- the step's line ---- */

void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* As "offset:word", of those that aren't 0. */
void say_bytes(const char *name, const void *p, size_t size);

/* ---- ioctls ---- */

/* Zeroed, and its end is the end of what is mapped. */
void *argument(size_t size);
/* A few fields are changed, or none. */
void tweak(void *p, size_t size);
/* ioctl(), with the line's " = result"; now and then with a pointer that is no good. */
int call(int fd, const char *name, unsigned long cmd, void *arg);
#define CALL(fd, cmd, arg) call(fd, #cmd, cmd, (void *)(arg))
/* The same with an argument that is a number, and with a pointer that is good. */
int call_raw(int fd, const char *name, unsigned long cmd, unsigned long arg);
#define CALL_RAW(fd, cmd, arg) call_raw(fd, #cmd, cmd, (unsigned long)(arg))

struct kvm_cpuid2 *model_cpuid(void);	/* the same for each device; the caller's */
u64 cr4_not_claimed(void);
u64 rflags_not_here(void);
extern u32 msr_list[MSRS_MAX], nr_msrs;	/* likewise */

void say_now(void);
void episode_over(void);		/* what follows isn't repeatable */
bool episode_is_over(void);

/* ---- guests: guest.c ---- */

#define CODE		0x3000
#define DATA		0x4000
#define STACK_TOP	0x6000
#define HANDLERS	0x7000
#define IDT32		0x8000
#define IDT64		0x9000
#define GDT		0xa000
#define TSS		0xb000
#define RSP0_TOP	0xd000
#define PML4		0x10000		/* then a PDPT and four page directories */
#define DIR32		0x16000		/* of 4 MiB pages */
#define PDPT_PAE	0x17000		/* with the page directories of PML4 */
#define STUBS		0x18000		/* of interrupts: devices.c */
#define LAYOUT_END	0x1a000

#define VECTOR_PORT	0xf0
#define DONE_PORT	0xf1

/* A vCPU that can run a guest, or -1. */
int ready_vcpu(struct world *w);
/* Protected mode, flat, paging off; handlers of all vectors. False: it can't be. */
bool start_flat(struct world *w, int n, struct kvm_regs *regs);
/* False for a guest that spins: where it was is not repeatable. */
bool say_run(struct world *w, int n);

/* vcpu.c: everything that can be asked of a vCPU, of a VM */
void say_vcpu(struct world *w, int n);
void add_vcpu(struct world *w, int n, u64 id);
void set_model_cpuid(struct world *w, int n);
void say_vm(struct world *w);
u32 some_msr(void);		/* that minikvm claims, or that nobody does */
u64 msr_value(u32 msr);
void mask_sregs(void *state);
void mask_events(void *state);
bool scales(void);		/* the TSC */

#endif
