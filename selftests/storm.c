// SPDX-License-Identifier: GPL-2.0
/*
 * Every ioctl of docs/abi.md, by several threads at once, with arguments that are
 * half right, on VMs, vCPUs, memory and eventfds which other threads use, move and
 * close meanwhile; then SIGKILL in the middle of it. Nothing is asked of the
 * answers: the host must come out of it unhurt, with nothing left behind. The
 * kernel that watches (check --debug-kernel) sees more than this test does.
 *
 * MINIKVM_SEED and MINIKVM_IOCTLS (of a round) are other seeds and numbers; with
 * MINIKVM_TELL=1, it says which ioctls worked how often, and what guests exited for.
 * What threads do to each other is no more repeatable than they are.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/param.h>
#include <sys/wait.h>

#include "lib/random.h"
#include "lib/test.h"

#define FD_device	1
#define FD_vm		2
#define FD_vcpu		4

#define ROW(name)
#define HEADER(name)
#define CAP(name, minikvm, kvm)
#define IOCTL(name, minikvm, kvm)	{ #name, name, minikvm },
static const struct row {
	const char *name;
	unsigned long cmd;
	int on;
} rows[] = {
#include "abi_rows.h"
};
#undef CAP
#undef IOCTL
#define CAP(name, minikvm, kvm)		name,
#define IOCTL(name, minikvm, kvm)
static const u32 caps[] = {
#include "abi_rows.h"
};

#define THREADS		4
#define VMS		2
#define VCPUS		3		/* of a VM */
#define EVENTS		4
#define ARG_SIZE	(64 << 10)	/* the greatest argument, with what follows it */
#define MEM_SIZE	(8ul << 20)
#define TABLES_GPA	0x70000000ul	/* of guests in long mode; not theirs to write */
#define TABLES_SIZE	(6 * PAGE_SIZE)
#define TABLES_SLOT	8
#define RING_BYTES	(16ul << 10)

static int device;
static int vms[VMS], vcpus[VMS * VCPUS], events[EVENTS];
static char *mem, *tables;
static struct kvm_msr_list *msrs;

/* Shared with the test, which wants to know that something was done. */
static struct {
	u64 ioctls, done, runs, exits;
	u64 tried[ARRAY_SIZE(rows)], worked[ARRAY_SIZE(rows)];
	u64 reasons[64], errors[256];		/* of KVM_RUN */
} *counts;

#define count(what)	((void)__atomic_fetch_add(&counts->what, 1, __ATOMIC_RELAXED))

/* ---- random numbers, of each thread ---- */

static __thread u64 seed;

static u64 rnd(void)
{
	return xorshift(&seed);
}

static u64 below(u64 n)
{
	return (rnd() >> 16) % n;
}

static bool one_in(u64 n)
{
	return !below(n);
}

/* ---- arguments ---- */

static u64 page_in_mem(void)
{
	return (u64)mem + (below(MEM_SIZE) & ~(PAGE_SIZE - 1));
}

/* A number that may mean something somewhere. */
static u64 number(void)
{
	switch (below(10)) {
	case 0: return rnd();
	case 1: return ~0ull >> below(64);
	case 2: return 1ull << below(64);
	case 3: return page_in_mem();
	case 4: return below(MEM_SIZE) & ~(PAGE_SIZE - 1);
	case 5: return 0xfee00000 + below(PAGE_SIZE);
	case 6: return events[below(EVENTS)];
	case 7: return 0;
	default: return below(64);
	}
}

/* Bochs's SVM ends Bochs in virtual-8086 mode: so nothing there that may lead to it. */
static bool without_vm86(void)
{
	return !host_is_intel() && !host_is_tcg();
}

#define RFLAGS_VM	(1ull << 17)

static u64 rflags_mask(void)
{
	return without_vm86() ? ~RFLAGS_VM : ~0ull;
}

static void scribble(void *arg, u64 size)
{
	u64 i, n = one_in(2) ? 3 : size / 4;

	for (i = 0; i < n; i++)
		((u32 *)arg)[below(size / 4)] = number();
}

static void make_slot(struct kvm_userspace_memory_region *r)
{
	r->slot = below(4);
	r->flags = one_in(2) ? KVM_MEM_LOG_DIRTY_PAGES : below(4);
	r->guest_phys_addr = r->slot * MEM_SIZE + (one_in(2) ? 0 : below(4) << 12);
	r->userspace_addr = one_in(2) ? (u64)mem : page_in_mem();
	r->memory_size = (u64)mem + MEM_SIZE - r->userspace_addr;
	if (one_in(8))
		r->memory_size = one_in(2) ? 0 : below(MEM_SIZE) & ~(PAGE_SIZE - 1);
}

static void make_log(struct kvm_dirty_log *log)
{
	log->slot = one_in(2) ? 0 : below(4);
	log->dirty_bitmap = (void *)page_in_mem();
}

static void make_clear(struct kvm_clear_dirty_log *log)
{
	log->slot = one_in(2) ? 0 : below(4);
	log->first_page = one_in(2) ? 0 : 64 * below(4);
	log->num_pages = 64 * below(32);
	log->dirty_bitmap = (void *)page_in_mem();
}

static u64 pick_msr(void)
{
	switch (below(4)) {
	case 0: return 0x800 + below(0x40);
	case 1: return 0x1b;
	default: return msrs->indices[below(msrs->nmsrs)];
	}
}

static void make_msrs(struct kvm_msrs *m)
{
	m->nmsrs = 1 + below(8);
	for (u32 i = 0; i < m->nmsrs; i++)
		m->entries[i] = (struct kvm_msr_entry){ .index = pick_msr(), .data = number() | below(2) };
}

static void make_filter(struct kvm_msr_filter *f)
{
	memset(f, 0, sizeof(*f));
	f->flags = below(2);
	for (int i = 0; i < 4; i++) {
		f->ranges[i].flags = 1 + below(3);
		f->ranges[i].base = pick_msr();
		f->ranges[i].nmsrs = below(64);
		f->ranges[i].bitmap = (void *)page_in_mem();
	}
}

static void make_cpuid(struct kvm_cpuid2 *c)
{
	struct kvm_cpuid_entry2 *e;

	c->nent = 256;
	if (ioctl(device, KVM_GET_SUPPORTED_CPUID, c))
		return;
	e = &c->entries[below(c->nent)];
	(&e->eax)[below(4)] = number();
}

static void make_routes(struct kvm_irq_routing *r)
{
	struct kvm_irq_routing_entry *e = r->entries;

	r->nr = below(8);
	r->flags = 0;
	for (u32 i = 0; i < r->nr; i++, e++) {
		*e = (struct kvm_irq_routing_entry){ .gsi = 3 * i + below(3), .type = 1 + below(2) };
		if (e->type == KVM_IRQ_ROUTING_IRQCHIP)
			e->u.irqchip = (struct kvm_irq_routing_irqchip){ below(3), below(8) };
		else
			e->u.msi = (struct kvm_irq_routing_msi){
				.address_lo = 0xfee00000 + below(8) * 0x1000, .data = rnd() & 0x4fff,
			};
	}
}

static void make_cap(struct kvm_enable_cap *cap)
{
	memset(cap, 0, sizeof(*cap));
	for (int i = 0; i < 8; i++) {
		cap->cap = caps[below(ARRAY_SIZE(caps))];
		if (ioctl(device, KVM_CHECK_EXTENSION, cap->cap) > 0)
			break;
	}
	cap->args[0] = one_in(4) ? number() : below(4);
}

static void make_attr(struct kvm_device_attr *attr)
{
	attr->flags = 0;
	attr->group = attr->attr = 0;
	attr->addr = (u64)attr + ARG_SIZE / 2;
	*(u64 *)attr->addr = number();
}

static void make_irqfd(struct kvm_irqfd *irqfd)
{
	irqfd->fd = events[below(EVENTS)];
	irqfd->gsi = below(24);
	irqfd->flags = below(4);
	irqfd->resamplefd = events[below(EVENTS)];
}

static void make_ioeventfd(struct kvm_ioeventfd *e)
{
	e->addr = one_in(2) ? 0x1000 : 0xd0000000;
	e->len = 1 << below(4);
	e->fd = events[below(EVENTS)];
	e->flags = below(8);
	e->datamatch = below(2);
}

/* An interruptible guest is all that ends KVM_RUN. */
static void make_mask(struct kvm_signal_mask *mask)
{
	mask->len = 8;
	memset(mask->sigset, 0, 8);
}

/* Arguments for which luck does not do. Others are what the kernel gave, scribbled over. */
static void make_argument(unsigned long cmd, void *arg)
{
	switch (cmd) {
	case KVM_SET_USER_MEMORY_REGION: make_slot(arg); break;
	case KVM_GET_DIRTY_LOG: make_log(arg); break;
	case KVM_CLEAR_DIRTY_LOG: make_clear(arg); break;
	case KVM_IRQFD: make_irqfd(arg); break;
	case KVM_IOEVENTFD: make_ioeventfd(arg); break;
	case KVM_GET_MSRS:
	case KVM_SET_MSRS: make_msrs(arg); break;
	case KVM_X86_SET_MSR_FILTER: make_filter(arg); break;
	case KVM_SET_CPUID2: make_cpuid(arg); break;
	case KVM_SET_GSI_ROUTING: make_routes(arg); break;
	case KVM_ENABLE_CAP: make_cap(arg); break;
	case KVM_HAS_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR: make_attr(arg); break;
	}
}

/* Arguments that are numbers. */
static u64 make_number(unsigned long cmd)
{
	switch (cmd) {
	case KVM_SET_TSC_KHZ: return one_in(2) ? 0 : number();
	case KVM_SET_TSS_ADDR: return below(16) << 28;
	default: return one_in(2) ? 0 : below(8);
	}
}

static const struct { unsigned long set, get; } pairs[] = {
	{ KVM_SET_REGS, KVM_GET_REGS }, { KVM_SET_SREGS, KVM_GET_SREGS },
	{ KVM_SET_SREGS2, KVM_GET_SREGS2 }, { KVM_SET_LAPIC, KVM_GET_LAPIC },
	{ KVM_SET_VCPU_EVENTS, KVM_GET_VCPU_EVENTS }, { KVM_SET_XSAVE, KVM_GET_XSAVE },
	{ KVM_SET_FPU, KVM_GET_FPU }, { KVM_SET_XCRS, KVM_GET_XCRS },
	{ KVM_SET_DEBUGREGS, KVM_GET_DEBUGREGS }, { KVM_SET_MP_STATE, KVM_GET_MP_STATE },
	{ KVM_SET_PIT2, KVM_GET_PIT2 }, { KVM_SET_CLOCK, KVM_GET_CLOCK },
	{ KVM_SET_IRQCHIP, KVM_GET_IRQCHIP },
};

static unsigned long getter_of(unsigned long cmd)
{
	for (int i = 0; i < ARRAY_SIZE(pairs); i++)
		if (pairs[i].set == cmd)
			return pairs[i].get;
	return 0;
}

/* Lists begin with how many there are; that shall fit what is mapped. */
static void fill_argument(int fd, unsigned long cmd, void *arg)
{
	u64 size = _IOC_SIZE(cmd) ?: 8;
	unsigned long get = getter_of(cmd);

	if (cmd == KVM_SET_SIGNAL_MASK) {
		make_mask(arg);
		return;
	}
	if (one_in(8))
		memset(arg, 0, ARG_SIZE);
	if (get)
		ioctl(fd, get, arg);
	else
		*(u32 *)arg = below(32);
	make_argument(cmd, arg);
	if (!one_in(3))
		scribble(arg, one_in(4) ? size + 256 : size);
	if (cmd == KVM_SET_REGS)
		((struct kvm_regs *)arg)->rflags &= rflags_mask();
}

/* ---- what a thread does ---- */

static int pick(const int *fds, int n)
{
	return __atomic_load_n(&fds[below(n)], __ATOMIC_RELAXED);
}

static int pick_fd(int on)
{
	if ((on & FD_vcpu) && (!(on & FD_vm) || one_in(2)))
		return pick(vcpus, VMS * VCPUS);
	if (on & FD_vm)
		return pick(vms, VMS);
	return device;
}

/* Whoever still uses what was there has a number that may be another file's by now. */
static void put(int *place, int fd)
{
	int old;

	if (fd < 0)
		return;
	old = __atomic_exchange_n(place, fd, __ATOMIC_RELAXED);
	if (old >= 0)
		close(old);
}

static void add_vcpu(int i)
{
	struct kvm_cpuid2 *cpuid;
	int fd = ioctl(vms[i / VCPUS], KVM_CREATE_VCPU, below(2 * VCPUS));

	if (fd >= 0 && one_in(2)) {
		cpuid = supported_cpuid();
		ioctl(fd, KVM_SET_CPUID2, cpuid);
		free(cpuid);
	}
	put(&vcpus[i], fd);
}

static void enable(int vm, u32 capability, u64 value)
{
	struct kvm_enable_cap cap = { .cap = capability, .args[0] = value };

	ioctl(vm, KVM_ENABLE_CAP, &cap);
}

static void add_vm(int i)
{
	struct kvm_userspace_memory_region all = {
		.flags = below(2), .memory_size = MEM_SIZE, .userspace_addr = (u64)mem,
	}, table = {
		.slot = TABLES_SLOT, .flags = KVM_MEM_READONLY, .guest_phys_addr = TABLES_GPA,
		.memory_size = TABLES_SIZE, .userspace_addr = (u64)tables,
	};
	struct kvm_pit_config pit = { 0 };

	put(&vms[i], ioctl(device, KVM_CREATE_VM, 0));
	if (one_in(3))
		enable(vms[i], KVM_CAP_DIRTY_LOG_RING, RING_BYTES);
	ioctl(vms[i], KVM_SET_USER_MEMORY_REGION, &all);
	ioctl(vms[i], KVM_SET_USER_MEMORY_REGION, &table);
	switch (below(4)) {
	case 0: break;
	case 1: enable(vms[i], KVM_CAP_SPLIT_IRQCHIP, 24); break;
	default: ioctl(vms[i], KVM_CREATE_IRQCHIP, 0); break;
	}
	if (one_in(2))
		ioctl(vms[i], KVM_CREATE_PIT2, &pit);
	for (int n = 0; n < VCPUS; n++)
		add_vcpu(i * VCPUS + n);
}

static void any_ioctl(char *arg)
{
	const struct row *row = &rows[below(ARRAY_SIZE(rows))];
	int fd = pick_fd(row->on);
	u64 argument = (u64)arg;

	if (!row->on)
		return;
	fill_argument(fd, row->cmd, arg);
	/* Any other mask, and nothing might end KVM_RUN. */
	if (row->cmd != KVM_SET_SIGNAL_MASK && one_in(8))
		argument = number();
	else if (_IOC_DIR(row->cmd) == _IOC_NONE && row->cmd != KVM_REINJECT_CONTROL)
		argument = make_number(row->cmd);
	fd = ioctl(fd, row->cmd, argument);
	count(ioctls);
	count(tried[row - rows]);
	if (fd >= 0) {
		count(done);
		count(worked[row - rows]);
	}
	if (fd > 2 && (row->cmd == KVM_CREATE_VM || row->cmd == KVM_CREATE_VCPU ||
		       row->cmd == KVM_GET_STATS_FD))
		close(fd);
}

/* ---- a guest somewhere in its memory ---- */

enum mode { AT_RESET, REAL, PROTECTED, LONG, MODES };

static void set_mode(struct kvm_sregs *s, enum mode mode)
{
	struct kvm_segment data = {
		.limit = ~0u, .selector = 16, .type = 3, .s = 1, .present = 1, .db = 1, .g = 1,
	}, code = data;

	if (mode == AT_RESET)
		return;
	if (mode == REAL) {
		s->cs.base = s->cs.selector = 0;
		return;
	}
	code.selector = 8;
	code.type = 11;
	code.l = mode == LONG;
	code.db = !code.l;
	s->cs = code;
	s->ds = s->es = s->ss = s->fs = s->gs = data;
	s->cr0 |= 1;
	if (mode == PROTECTED)
		return;
	s->cr3 = TABLES_GPA;
	s->cr4 |= 1 << 5 | 3 << 9;		/* PAE, SSE */
	s->efer |= 1 << 8 | 1 << 10;		/* LME, LMA */
	s->cr0 |= 1u << 31;
}

/* Devices of ours, and one that is nobody's. */
static const u16 ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x40, 0x42, 0x43, 0x61, 0x4d0, 0x1000, 0x3f8 };
static const u32 devices[] = { 0xfee00000, 0xfec00000, 0xd0000000, TABLES_GPA };

/* An address, of memory or not; or a port; or an MSR; or anything. */
static u64 operand(void)
{
	switch (below(5)) {
	case 0: return devices[below(ARRAY_SIZE(devices))] + (below(64) << 4);
	case 1: return ports[below(ARRAY_SIZE(ports))];
	case 2: return pick_msr();
	case 3: return below(MEM_SIZE);
	default: return number();
	}
}

static enum mode pick_mode(void)
{
	enum mode mode = below(MODES);

	return mode == PROTECTED && without_vm86() ? LONG : mode;
}

static void start_somewhere(int fd)
{
	enum mode mode = pick_mode();
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (ioctl(fd, KVM_GET_SREGS, &sregs))
		return;
	set_mode(&sregs, mode);
	ioctl(fd, KVM_SET_SREGS, &sregs);
	for (int i = 0; i < 16; i++)
		((u64 *)&regs)[i] = operand();
	regs.rsp = below(MEM_SIZE) & ~7;
	regs.rip = below(mode == REAL ? 0x10000 : MEM_SIZE) & ~7;
	regs.rflags = 2 | (one_in(2) ? 0x200 : 0);
	ioctl(fd, KVM_SET_REGS, &regs);
}

#define RUN_PAGES	3		/* struct kvm_run, port data, coalesced writes */

/* The general registers have RFLAGS among them. */
static u64 dirty_regs(void)
{
	return without_vm86() ? 7 & ~KVM_SYNC_X86_REGS : 7;
}

static void scribble_run(struct kvm_run *run)
{
	scribble(run, one_in(2) ? sizeof(*run) : RUN_PAGES * PAGE_SIZE);
	if (one_in(16) && !without_vm86())
		return;
	/* Or KVM_RUN would fail for these alone. */
	run->kvm_valid_regs &= 7;
	run->kvm_dirty_regs = one_in(4) ? run->kvm_dirty_regs & dirty_regs() : 0;
}

/* As harvested, most of it. */
static void scribble_ring(int fd)
{
	struct kvm_dirty_gfn *ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
					  KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE);

	if (ring == MAP_FAILED)
		return;
	/* The mapping says nothing of whether there is a ring. */
	if (!madvise(ring, RING_BYTES, MADV_POPULATE_WRITE)) {
		if (one_in(4))
			scribble(ring, RING_BYTES);
		for (u64 i = 0; i < RING_BYTES / sizeof(*ring); i++)
			ring[i].flags |= KVM_DIRTY_GFN_F_RESET;
	}
	munmap(ring, RING_BYTES);
}

static void run_vcpu(void)
{
	int fd = pick(vcpus, VMS * VCPUS);
	struct kvm_run *run = mmap(NULL, RUN_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
				   fd, 0);

	if (run == MAP_FAILED)
		return;
	if (one_in(2))
		start_somewhere(fd);
	for (int i = 0; i < 8; i++) {
		if (one_in(4))
			scribble_run(run);
		if (one_in(8))
			scribble_ring(fd);
		run->immediate_exit = one_in(4);
		count(runs);
		if (!ioctl(fd, KVM_RUN, 0)) {
			count(exits);
			count(reasons[run->exit_reason % ARRAY_SIZE(counts->reasons)]);
			continue;
		}
		count(errors[errno % ARRAY_SIZE(counts->errors)]);
		if (errno != EINTR)
			break;
	}
	munmap(run, RUN_PAGES * PAGE_SIZE);
}

static void change_memory(void)
{
	void *p = (void *)page_in_mem();
	u64 size = MIN(PAGE_SIZE << below(8), (u64)(mem + MEM_SIZE - (char *)p));

	switch (below(6)) {
	case 0: madvise(p, size, MADV_DONTNEED); break;
	case 1: mprotect(p, size, PROT_READ); break;
	case 2: mprotect(p, size, PROT_READ | PROT_WRITE); break;
	case 3: madvise(p, size, one_in(2) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE); break;
	case 4: mmap(p, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); break;
	case 5: madvise(p, size, MADV_COLD); break;
	}
}

static void change_files(void)
{
	switch (below(8)) {
	case 0: add_vm(below(VMS)); break;
	case 1: put(&events[below(EVENTS)], eventfd(0, EFD_NONBLOCK)); break;
	case 2: eventfd_write(events[below(EVENTS)], 1); break;
	default: add_vcpu(below(VMS * VCPUS)); break;
	}
}

static void on_signal(int sig)
{
}

static void *blow(void *n)
{
	char *arg = mmap(NULL, ARG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	seed = option("MINIKVM_SEED", 1) * 0x9e3779b97f4a7c15 + (u64)n * 0x2545f4914f6cdd1d;
	for (;;) {
		switch (below(32)) {
		case 0: change_files(); break;
		case 1: case 2: change_memory(); break;
		case 3: case 4: case 5: run_vcpu(); break;
		default: any_ioctl(arg); break;
		}
	}
	return NULL;
}

/* Eight bytes each, of which the last are NOPs, or a jump over them. All modes have most of them. */
static const u64 instructions[] = {
	0x9090909090eeec90,	/* IN AL, DX; OUT DX, AL */
	0x9090909090efed90,	/* IN EAX, DX; OUT DX, EAX */
	0x90909090906cf390,	/* REP INSB */
	0x90909090906ef390,	/* REP OUTSB */
	0x90909090906df390,	/* REP INSD */
	0x9090909090078b90,	/* loads and stores, where memory may not be */
	0x9090909090078990,
	0x9090909090038b90,
	0x9090909090038990,
	0x90909090900301f0,	/* LOCK ADD, LOCK XADD, CMPXCHG8B */
	0x9090909003c10ff0,
	0x90909090900bc70f,
	0x9090909090a4f390,	/* REP MOVSB, REP STOSD, LODSD, REP CMPSB */
	0x9090909090abf390,
	0x9090909090ad9090,
	0x9090909090a6f390,
	0x9090909090036f0f,	/* MOVQ and MOVDQU, both ways */
	0x9090909090037f0f,
	0x90909090036f0ff3,
	0x90909090037f0ff3,
	0x9090909090616090,	/* PUSHA; POPA */
	0x90fee00300250489,	/* stores to ICR, EOI, LVTT, TMICT, SPIV; a load of TMCCT */
	0x90fee000b0250489,
	0x90fee00320250489,
	0x90fee00380250489,
	0x90fee000f0250489,
	0x90fee0039025048b,
	0x90fec00000250489,	/* IOREGSEL, IOWIN */
	0x90fec00010250489,
	0x909090909090a20f,	/* CPUID */
	0x909090909090320f,	/* RDMSR */
	0x909090909090300f,	/* WRMSR */
	0x90909090f490fb90,	/* STI; HLT */
	0x9090909090c1010f,	/* VMCALL, VMMCALL */
	0x9090909090d9010f,
	0x9090909090c0200f,	/* MOV from CR0, to CR3, CR4, CR8; CLTS, SMSW */
	0x9090909090d8220f,
	0x9090909090e0220f,
	0x90909090c0220f44,
	0x909090909090060f,
	0x9090909090e3010f,
	0x9090909090f8230f,	/* MOV to DR7, DR0, from DR6 */
	0x9090909090c0230f,
	0x9090909090f0210f,
	0x9090909090d1010f,	/* XSETBV */
	0x90909090909090cc,	/* INT3, INT 0x80, INT1 */
	0x90909090909080cd,
	0x90909090909090f1,
	0x9090909090d88e90,	/* MOV DS, AX; MOV SS, AX */
	0x9090909090d08e90,
	0x909090909013010f,	/* LGDT, LIDT, LTR, LLDT */
	0x90909090901b010f,
	0x9090909090d8000f,
	0x9090909090d0000f,
	0x9090909090902bff,	/* JMP FAR; RETF; SYSCALL; SYSENTER */
	0x90909090909090cb,
	0x909090909090050f,
	0x909090909090340f,
	0x909090909090310f,	/* RDTSC, RDPMC, WBINVD, INVLPG, PAUSE, MONITOR, MWAIT, RSM, UD2 */
	0x909090909090330f,
	0x909090909090090f,
	0x90909090903b010f,
	0x90909090909090f3,
	0x9090909090c8010f,
	0x9090909090c9010f,
	0x909090909090aa0f,
	0x9090909090900b0f,
	0x9090909090d8010f,	/* VMRUN; VMREAD */
	0x9090909090c0780f,
	/* The last ones may lead to virtual-8086 mode: MOV to CR0, LMSW, IRET, a jump. */
	0x9090909090c0220f,
	0x9090909090f0010f,
	0x909090909003ebcf,
};
#define INSTRUCTIONS_VM86	3

static u64 pick_instruction(void)
{
	return instructions[below(ARRAY_SIZE(instructions) -
				  (without_vm86() ? INSTRUCTIONS_VM86 : 0))];
}

/* MOV of a constant to EAX, ECX, EDX, EBX, ESI or EDI. */
static u64 load_operand(void)
{
	static const u8 opcodes[] = { 0xb8, 0xb9, 0xba, 0xbb, 0xbe, 0xbf };

	return 0x9090900000000000 | (operand() & 0xffffffff) << 8 | opcodes[below(ARRAY_SIZE(opcodes))];
}

/* Code that no assembler made, and that mostly gets somewhere. */
static void fill_memory(void)
{
	for (u64 i = 0; i < MEM_SIZE; i += 8) {
		u64 *at = (u64 *)(mem + i);

		switch (below(8)) {
		case 0: *at = rnd(); break;
		case 1: case 2: case 3: *at = load_operand(); break;
		default: *at = pick_instruction(); break;
		}
	}
}

/* 4 GiB, one to one, as accessed and dirty as they will ever be. */
static void fill_tables(void)
{
	u64 *table = (u64 *)tables, bits = PTE_P | PTE_W | PTE_U | 3 << 5;

	table[0] = (TABLES_GPA + PAGE_SIZE) | bits;
	for (int i = 0; i < 4; i++)
		table[512 + i] = (TABLES_GPA + (2 + i) * PAGE_SIZE) | bits;
	for (u64 i = 0; i < 4 * 512; i++)
		table[1024 + i] = i * HUGE_SIZE | bits | PTE_PS;
}

static void list_msrs(void)
{
	msrs = calloc(1, ARG_SIZE);
	msrs->nmsrs = ARG_SIZE / 4 - 1;
	do_ioctl(device, KVM_GET_MSR_INDEX_LIST, msrs);
}

/* A process that only SIGKILL ends. Its threads get signals, for KVM_RUN to return. */
static void storm(u64 round)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pthread_t threads[THREADS];

	seed = option("MINIKVM_SEED", 1) + round * 0x9e3779b97f4a7c15;
	sigaction(SIGUSR1, &sa, NULL);
	device = device_open();
	mem = map_memory(MEM_SIZE);
	tables = map_memory(TABLES_SIZE);
	list_msrs();
	fill_memory();
	fill_tables();
	memset(vms, -1, sizeof(vms));
	memset(vcpus, -1, sizeof(vcpus));
	for (int i = 0; i < EVENTS; i++)
		events[i] = eventfd(0, EFD_NONBLOCK);
	for (int i = 0; i < VMS; i++)
		add_vm(i);
	for (u64 i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, blow, (void *)(round * THREADS + i + 1));
	for (;;) {
		usleep(1000);
		pthread_kill(threads[below(THREADS)], SIGUSR1);
	}
}

/* ---- the host, before and after ---- */

static __guest void guest_nothing(void)
{
}

/* Whether it went on to the end: a guest may write over its own VMM, which is the VMM's affair. */
static bool storm_until(u64 round, u64 ioctls)
{
	bool ended = false;
	pid_t pid = fork();
	int status;

	if (!pid)
		storm(round);
	while (!ended && counts->ioctls < ioctls) {
		usleep(10000);
		ended = waitpid(pid, &status, WNOHANG) == pid;
	}
	if (ended)
		printf("# round %lu ended by signal %d\n", round, WTERMSIG(status));
	if (!ended) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return !ended;
}

static void tell(void)
{
	for (int i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].on)
			printf("# %-32s %6lu of %6lu\n", rows[i].name, counts->worked[i], counts->tried[i]);
	for (int i = 0; i < ARRAY_SIZE(counts->reasons); i++)
		if (counts->reasons[i])
			printf("# exit %2d %6lu\n", i, counts->reasons[i]);
	for (int i = 0; i < ARRAY_SIZE(counts->errors); i++)
		if (counts->errors[i])
			printf("# errno %2d %6lu\n", i, counts->errors[i]);
	fflush(stdout);
}

TEST(ioctls)
{
	u64 ioctls = option("MINIKVM_IOCTLS", 500), rounds = 6, whole = 0;
	long before = host_splats();

	/* KVM_SET_MP_STATE on a vCPU whose timer is VMX's. */
	if (host_is_intel())
		SKIP_ON_STOCK("lets user space make it WARN");
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (u64 round = 0; round < rounds; round++) {
		whole += storm_until(round, counts->ioctls + ioctls);
		vcpu_run_done(vcpu_create(vm_create(VM_PIT), 0, guest_nothing, 0));
		ASSERT_EQ(before, host_splats());
	}
	if (option("MINIKVM_TELL", 0))
		tell();
	TH_LOG("%llu ioctls, %llu of them done; %llu runs of a vCPU, %llu exits", counts->ioctls,
	       counts->done, counts->runs, counts->exits);
	EXPECT_LT(rounds / 2, whole);
	EXPECT_LT(counts->ioctls / 8, counts->done);
	EXPECT_LT(0, counts->exits);
}

TEST_HARNESS_MAIN
