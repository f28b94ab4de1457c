// SPDX-License-Identifier: GPL-2.0
/*
 * Save and restore, at any instruction: a guest of two vCPUs that does all at
 * once is stopped at random points, all that KVM has of it is read, written into
 * a fresh VM, read again from there, which must give the same, and the guest goes
 * on; it checks by itself that nothing is lost, changed or done twice.
 *
 *	MIGRATE_COUNT	how often (default: a hundred and some)
 *	MIGRATE_SEED	of the random numbers; on a host whose time is counted in
 *			instructions, a seed gives the same run
 *
 * One thread runs both vCPUs in turn, for random times; what one sends is in
 * flight while the other does not run.
 */
#include <signal.h>
#include <stddef.h>
#include <time.h>

#include "lib/test.h"

/* Ten thousand take their time; what is too slow, the watchdog outside ends. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 7200

#define CPUS		2
#define DEFAULT_COUNT	120

#define BYTES_PORT	0x510		/* + id: string output */
#define SUM_PORT	0x520		/* + 4 * id: what its bytes add up to */
#define COUNT_PORT	0x530		/* + id: counts up, a byte at a time */
#define DEVICE		0xd0000000ul	/* + id * 0x1000: registers of user space's device: */
#define DEV_COUNTER	0		/* each read gives one more */
#define DEV_RING	8		/* writing raises the device's line */
#define DEV_ACK		16		/* and lowers it */
#define DEVICE_GSI	10		/* + id */

#define VEC_IPI		0x61
#define VEC_SELF	0x62
/* Of its own for each pin: an EOI ends the interrupt of all that share one. */
#define VEC_DEVICE	0x64		/* + id */
#define VEC_TIMER	0x70
#define VEC_PIT		0x71
#define VEC_INT		0x50

#define MSR_KVMCLOCK	0x4b564d01
#define MSR_STEAL	0x4b564d03

/* ---- the guest ---- */

/* One writer each, unless it says otherwise. */
static volatile u64 stop;		/* the host */
static volatile u64 use_x2apic, use_avx, use_deadline;	/* the host */
static volatile u64 rounds[CPUS], ready;
static volatile u64 ipis[CPUS], self_ipis[CPUS], devices[CPUS], timers[CPUS], nmis[CPUS], pits;
static volatile u64 ints[CPUS], breakpoints[CPUS], steps[CPUS], hardware[CPUS];
static volatile u64 deadline[CPUS];

static inline u32 apic_read(u32 reg)
{
	return use_x2apic ? (u32)x2apic_read(reg) : xapic_read(reg);
}

static inline void apic_write(u32 reg, u32 v)
{
	if (use_x2apic)
		x2apic_write(reg, v);
	else
		xapic_write(reg, v);
}

static inline void send(u32 dest, u32 icr)
{
	if (use_x2apic) {
		x2apic_write(0x300, (u64)dest << 32 | icr);
		return;
	}
	xapic_write(0x310, dest << 24);
	xapic_write(0x300, icr);
}

/* The vCPU's number: each has a GDT of its own. */
static inline u64 me(void)
{
	struct __attribute__((packed)) { u16 limit; u64 base; } gdt;

	asm volatile("sgdt %0" : "=m"(gdt));
	return (gdt.base - GUEST_CPU(0)) / 0x10000;
}


static __guest void on_ipi(struct trap_frame *f)
{
	ipis[me()]++;
	apic_write(0xb0, 0);
}

static __guest void on_self(struct trap_frame *f)
{
	self_ipis[me()]++;
	apic_write(0xb0, 0);
}

static __guest void on_device(struct trap_frame *f)
{
	u64 id = me();

	*(volatile u32 *)(DEVICE + id * 0x1000 + DEV_ACK) = 1;
	devices[id]++;
	apic_write(0xb0, 0);
}

static __guest void arm(void)
{
	wrmsr(0x6e0, rdtsc() + deadline[me()]);
}

static __guest void on_timer(struct trap_frame *f)
{
	timers[me()]++;
	apic_write(0xb0, 0);
}

static __guest void on_pit(struct trap_frame *f)
{
	pits++;
	apic_write(0xb0, 0);
}

static __guest void on_nmi(struct trap_frame *f)
{
	nmis[me()]++;
}

static __guest void on_int(struct trap_frame *f)
{
	ints[me()]++;
}

static __guest void on_bp(struct trap_frame *f)
{
	breakpoints[me()]++;
}

/* A step, or an instruction's breakpoint, which shall not hit it once more. */
static __guest void on_db(struct trap_frame *f)
{
	u64 dr6 = read_dr6();

	GUEST_ASSERT(dr6 & (1 << 14 | 1));
	if (dr6 & 1 << 14)
		steps[me()]++;
	if (dr6 & 1) {
		hardware[me()]++;
		f->rflags |= 1 << 16;
	}
	write_dr6(0xffff0ff0);
}

/* ---- what a round does ---- */

struct regs {
	u64 r[14];
};

/* All registers but RSP and RDI hold something that matters, for a while. */
static __guest void churn_registers(struct regs *regs)
{
	asm volatile(
		"push	%%rbp\n"
		"mov	(%%rdi), %%rax; mov 8(%%rdi), %%rbx; mov 16(%%rdi), %%rdx\n"
		"mov	24(%%rdi), %%rsi; mov 32(%%rdi), %%rbp; mov 40(%%rdi), %%r8\n"
		"mov	48(%%rdi), %%r9; mov 56(%%rdi), %%r10; mov 64(%%rdi), %%r11\n"
		"mov	72(%%rdi), %%r12; mov 80(%%rdi), %%r13; mov 88(%%rdi), %%r14\n"
		"mov	96(%%rdi), %%r15; mov $400, %%ecx\n"
		"1:	add %%rax, %%rbx; adc %%rbx, %%rdx; rol $7, %%rdx; xor %%rdx, %%rsi\n"
		"	sub %%rsi, %%rbp; rcr $3, %%r8; adc %%rbp, %%r8; imul %%r8, %%r9\n"
		"	add %%r9, %%r10; sbb %%r10, %%r11; xadd %%r11, %%r12; xor %%r12, %%r13\n"
		"	lea (%%r13, %%r14, 4), %%r14; bswap %%r15; add %%r14, %%r15\n"
		"	add %%r15, %%rax; dec %%ecx; jnz 1b\n"
		"mov	%%rax, (%%rdi); mov %%rbx, 8(%%rdi); mov %%rdx, 16(%%rdi)\n"
		"mov	%%rsi, 24(%%rdi); mov %%rbp, 32(%%rdi); mov %%r8, 40(%%rdi)\n"
		"mov	%%r9, 48(%%rdi); mov %%r10, 56(%%rdi); mov %%r11, 64(%%rdi)\n"
		"mov	%%r12, 72(%%rdi); mov %%r13, 80(%%rdi); mov %%r14, 88(%%rdi)\n"
		"mov	%%r15, 96(%%rdi)\n"
		"pop	%%rbp\n"
		: : "D"(regs)
		: "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
		  "r15", "cc", "memory");
}

static __guest void step_registers(u64 seed)
{
	struct regs a, b;
	int i;

	for (i = 0; i < 13; i++)
		a.r[i] = b.r[i] = (seed + i) * 0x9e3779b97f4a7c15;
	churn_registers(&a);
	churn_registers(&b);
	for (i = 0; i < 13; i++)
		GUEST_ASSERT_EQ(a.r[i], b.r[i]);
}

static __guest void step_exceptions(u64 id)
{
	u64 n;

	GUEST_ASSERT_EQ(TRAP(6, 0), TRY("ud2", , ));
	GUEST_ASSERT_EQ(TRAP(0, 0), TRY("divl %1", , "r"(0), "a"(1), "d"(0)));
	GUEST_ASSERT_EQ(TRAP(14, 2), TRY("movb $1, (%1)", , "r"(GVA_TEST + 0x1000 * id + 5)));
	GUEST_ASSERT_EQ(GVA_TEST + 0x1000 * id + 5, read_cr2());
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("movb $1, (%1)", , "r"(1ull << 60)));
	n = ints[id];
	asm volatile("int %0" : : "i"(VEC_INT) : "memory");
	GUEST_ASSERT_EQ(n + 1, ints[id]);
	n = breakpoints[id];
	asm volatile("int3" : : : "memory");
	GUEST_ASSERT_EQ(n + 1, breakpoints[id]);
}

/* DR0 is on the second of three stepped instructions. */
static __guest void step_debug(u64 id, u64 seed)
{
	u64 n = steps[id], m = hardware[id];

	write_dr1(seed);
	write_dr2(~seed);
	asm volatile("lea 1f(%%rip), %%rax; mov %%rax, %%dr0\n"
		     "mov $0x402, %%eax; mov %%rax, %%dr7\n"
		     "pushfq; orl $0x100, (%%rsp); popfq\n"
		     "nop\n"
		     "1: nop\n"
		     "pushfq; andl $~0x100, (%%rsp); popfq\n"
		     "mov $0x400, %%eax; mov %%rax, %%dr7\n" : : : "rax", "memory", "cc");
	/* nop, nop, PUSHF, AND, POPF */
	GUEST_ASSERT_EQ(n + 5, steps[id]);
	GUEST_ASSERT_EQ(m + 1, hardware[id]);
	GUEST_ASSERT_EQ(seed, read_dr1());
	GUEST_ASSERT_EQ(~seed, read_dr2());
}

static volatile u8 text[CPUS][64];

static __guest void step_strings(u64 id, u64 seed)
{
	static u8 counted[CPUS];
	u64 count = 40 + seed % 24, left;
	const volatile u8 *p;
	volatile u8 *q;
	u32 sum = 0;
	u64 i;

	for (i = 0; i < count; i++)
		sum += text[id][i] = seed + i * i;
	left = count;
	p = text[id];
	asm volatile("rep outsb" : "+S"(p), "+c"(left) : "d"(BYTES_PORT + id) : "memory");
	GUEST_ASSERT_EQ(0, left);
	GUEST_ASSERT_EQ(text[id] + count, p);
	outl(sum, SUM_PORT + 4 * id);

	left = count;
	q = text[id];
	asm volatile("rep insb" : "+D"(q), "+c"(left) : "d"(COUNT_PORT + id) : "memory");
	GUEST_ASSERT_EQ(0, left);
	for (i = 0; i < count; i++)
		GUEST_ASSERT_EQ(counted[id]++, text[id][i]);
}

static __guest void step_mmio(u64 id)
{
	volatile u64 *counter = (void *)(DEVICE + id * 0x1000 + DEV_COUNTER);
	u64 first = *counter, moved, left = 1;
	void *to = &moved;
	volatile void *from = counter;

	GUEST_ASSERT_EQ(first + 1, *counter);
	asm volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(left) : : "memory");
	GUEST_ASSERT_EQ(first + 2, moved);
}

static __guest void step_device(u64 id)
{
	u64 n = devices[id];

	*(volatile u32 *)(DEVICE + id * 0x1000 + DEV_RING) = 1;
	while (devices[id] == n)
		sti_nop_cli();
	GUEST_ASSERT_EQ(n + 1, devices[id]);
	sti();
}

static __guest void step_ipis(u64 id, u64 seed)
{
	u64 n = ipis[!id];

	send(!id, VEC_IPI);
	while (ipis[!id] == n && !stop)
		cpu_pause();
	if (!stop)
		GUEST_ASSERT_EQ(n + 1, ipis[!id]);
	n = self_ipis[id];
	send(0, 1 << 18 | VEC_SELF);
	while (self_ipis[id] == n)
		cpu_pause();
	GUEST_ASSERT_EQ(n + 1, self_ipis[id]);
	if (seed & 1)
		return;
	n = nmis[id];
	send(id, 4 << 8);
	while (nmis[id] == n)
		cpu_pause();
	GUEST_ASSERT_EQ(n + 1, nmis[id]);
}

static __guest void step_timer(u64 id, u64 seed)
{
	u64 n = timers[id];

	if (id && use_deadline)
		arm();
	else if (id)
		apic_write(0x380, 300000);
	for (cli(); timers[id] == n; cli())
		sti_hlt();
	sti();
	n = pits;
	while (id == 0 && seed % 8 == 0 && pits == n)
		cpu_pause();
}

static struct time_info clocks[CPUS] __attribute__((aligned(64)));
static u8 steal[CPUS][64] __attribute__((aligned(64)));

/*
 * Without PVCLOCK_TSC_STABLE_BIT the host's TSC is not its clock, and the guest
 * has to live with what comes of that.
 */
static __guest void step_clocks(u64 id)
{
	static u64 last_tsc[CPUS], last_ns[CPUS];
	u64 tsc = rdtsc(), ns;

	GUEST_CHECK(tsc > last_tsc[id], "TSC goes on", last_tsc[id], tsc);
	ns = page_time(&clocks[id]);
	if (clocks[id].flags & 1)
		GUEST_CHECK(ns >= last_ns[id], "kvmclock goes on", last_ns[id], ns);
	last_tsc[id] = tsc;
	last_ns[id] = ns;
}

/* ---- what stays as it is for a whole round ---- */

/* SYSENTER_ESP and EIP, STAR, LSTAR, CSTAR, the bases of FS and GS, and swapped GS. */
static const u32 kept_msrs[] = {
	0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102,
};

#define KEPT_MSRS (sizeof(kept_msrs) / sizeof(kept_msrs[0]))

static u64 kept_value(u64 seed, u64 i)
{
	return (seed * 0x10001 + i * 0x1111) & 0x7fffffffffff;
}

static u8 vectors[CPUS][16][32], vectors_now[CPUS][16][32];

#define EACH_REG(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11) m(12) m(13) \
	m(14) m(15)

static __guest void load_vectors(u8 (*v)[32])
{
#define AVX(n) asm volatile("vmovups %0, %%ymm" #n : : "m"(*(u8 (*)[32])v[n]));
#define SSE(n) asm volatile("movups %0, %%xmm" #n : : "m"(*(u8 (*)[16])v[n]));
	if (use_avx) {
		EACH_REG(AVX)
	} else {
		EACH_REG(SSE)
	}
#undef AVX
#undef SSE
}

static __guest void store_vectors(u8 (*v)[32])
{
#define AVX(n) asm volatile("vmovups %%ymm" #n ", %0" : "=m"(*(u8 (*)[32])v[n]));
#define SSE(n) asm volatile("movups %%xmm" #n ", %0" : "=m"(*(u8 (*)[16])v[n]));
	if (use_avx) {
		EACH_REG(AVX)
	} else {
		EACH_REG(SSE)
	}
#undef AVX
#undef SSE
}

static __guest void keep(u64 id, u64 seed)
{
	u16 control = 0x37f ^ (seed & 3) << 10;
	u32 mxcsr = 0x1f80 ^ (seed & 3) << 13;
	u64 i, j;

	for (i = 0; i < KEPT_MSRS; i++)
		wrmsr(kept_msrs[i], kept_value(seed, i));
	for (i = 0; i < 16; i++)
		for (j = 0; j < 32; j++)
			vectors[id][i][j] = seed * 7 + i * 16 + j;
	load_vectors(vectors[id]);
	asm volatile("fninit; fldcw %0; fldpi; fildll %1; ldmxcsr %2"
		     : : "m"(control), "m"(seed), "m"(mxcsr));
	write_cr8(seed & 3);
	write_dr3(seed << 4);
}

static __guest void check_kept(u64 id, u64 seed)
{
	u16 control, expected = 0x37f ^ (seed & 3) << 10;
	u64 i, value;
	u32 mxcsr;

	for (i = 0; i < KEPT_MSRS; i++)
		GUEST_ASSERT_EQ(kept_value(seed, i), rdmsr(kept_msrs[i]));
	store_vectors(vectors_now[id]);
	for (i = 0; i < 16; i++)
		GUEST_ASSERT(!memcmp(vectors[id][i], vectors_now[id][i], use_avx ? 32 : 16));
	asm volatile("fnstcw %0; fistpll %1; stmxcsr %2; fstp %%st(0)"
		     : "=m"(control), "=m"(value), "=m"(mxcsr));
	GUEST_ASSERT_EQ(expected, control);
	GUEST_ASSERT_EQ(seed, value);
	GUEST_ASSERT_EQ(0x1f80 ^ (seed & 3) << 13, mxcsr & ~0x3f);
	GUEST_ASSERT_EQ(seed & 3, read_cr8());
	GUEST_ASSERT_EQ(seed << 4, read_dr3());
}

/* ---- from its beginning to its end ---- */

static __guest void handlers(void)
{
	guest_handlers[1] = on_db;
	guest_handlers[2] = on_nmi;
	guest_handlers[3] = on_bp;
	guest_handlers[VEC_INT] = on_int;
	guest_handlers[VEC_IPI] = on_ipi;
	guest_handlers[VEC_SELF] = on_self;
	guest_handlers[VEC_DEVICE] = guest_handlers[VEC_DEVICE + 1] = on_device;
	guest_handlers[VEC_TIMER] = on_timer;
	guest_handlers[VEC_PIT] = on_pit;
}

/* Seldom enough for a guest to get on, on a host that is slow and busy. */
static __guest void start_timers(u64 id)
{
	apic_write(0x3e0, 0xb);		/* by 1: a nanosecond */
	if (id == 0) {
		apic_write(0x320, 1 << 17 | VEC_TIMER);
		apic_write(0x380, 4000000);
		/* PIT channel 0: mode 2, 10 ms; KVM has it on pin 0 of the IOAPIC; not by the PIC */
		outb(0xff, 0x21);
		outb(0xff, 0xa1);
		ioapic_route(0, VEC_PIT);
		outb(0x34, 0x43);
		outb(11932 & 0xff, 0x40);
		outb(11932 >> 8, 0x40);
	} else if (use_deadline) {
		apic_write(0x320, 2 << 17 | VEC_TIMER);
	} else {
		apic_write(0x320, VEC_TIMER);
	}
}

static __guest void guest_work(u64 id)
{
	u64 seed;

	if (id == 0)
		handlers();
	while (id != ready)
		cpu_pause();
	if (use_x2apic)
		x2apic_enable();
	else
		xapic_enable();
	wrmsr(MSR_KVMCLOCK, (u64)&clocks[id] | 1);
	wrmsr(MSR_STEAL, (u64)steal[id] | 1);
	ioapic_route(DEVICE_GSI + id, id << 56 | 1 << 15 | (VEC_DEVICE + id));
	start_timers(id);
	ready = id + 1;
	sti();
	while (ready < CPUS)
		cpu_pause();
	for (seed = 1 + id; !stop; seed += 3) {
		keep(id, seed);
		step_registers(seed);
		step_exceptions(id);
		step_debug(id, seed);
		step_strings(id, seed);
		step_mmio(id);
		step_device(id);
		step_ipis(id, seed);
		step_timer(id, seed);
		step_clocks(id);
		check_kept(id, seed);
		rounds[id]++;
	}
	cli();
}

/* ---- the host: what the device of user space does ---- */

struct machine {
	struct vm *vm;
	struct vcpu *vcpu[CPUS];
	u64 counter[CPUS];
	u32 sum[CPUS];
	u8 count[CPUS];
	bool done[CPUS];
};

static u64 random_state;

static u64 random_below(u64 n)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (random_state >> 33) % n;
}

static void serve_port(struct machine *m, struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u8 *data = (u8 *)run + run->io.data_offset;
	int id = vcpu->id;
	u32 i;

	if (run->io.port == REPORT_PORT) {
		if (__vcpu_report(__FILE__, __LINE__, vcpu).kind != REPORT_DONE)
			die("vCPU %d: a report that no guest makes", id);
		m->done[id] = true;
	} else if (run->io.port == BYTES_PORT + id) {
		for (i = 0; i < run->io.count; i++)
			m->sum[id] += data[i];
	} else if (run->io.port == SUM_PORT + 4 * id) {
		if (m->sum[id] != *(u32 *)data)
			die("vCPU %d: bytes lost or twice: %#x, not %#x", id, m->sum[id], *(u32 *)data);
		m->sum[id] = 0;
	} else if (run->io.port == COUNT_PORT + id) {
		for (i = 0; i < run->io.count; i++)
			data[i] = m->count[id]++;
	} else {
		die("vCPU %d: port %#x", id, run->io.port);
	}
}

static void serve_mmio(struct machine *m, struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	int id = vcpu->id;
	u64 reg = run->mmio.phys_addr - DEVICE - id * 0x1000;

	if (reg == DEV_COUNTER && !run->mmio.is_write && run->mmio.len == 8)
		memcpy(run->mmio.data, &m->counter[id], 8), m->counter[id]++;
	else if (reg == DEV_RING && run->mmio.is_write)
		vm_irq_line(m->vm, DEVICE_GSI + id, 1);
	else if (reg == DEV_ACK && run->mmio.is_write)
		vm_irq_line(m->vm, DEVICE_GSI + id, 0);
	else
		die("vCPU %d: device access %#llx", id, run->mmio.phys_addr);
}

static void serve(struct machine *m, struct vcpu *vcpu)
{
	if (vcpu->run->exit_reason == KVM_EXIT_IO)
		serve_port(m, vcpu);
	else if (vcpu->run->exit_reason == KVM_EXIT_MMIO)
		serve_mmio(m, vcpu);
	else
		die("vCPU %d: exit %u at %#llx", vcpu->id, vcpu->run->exit_reason,
		    vcpu_regs(vcpu).rip);
}

/* ---- running for a random time ---- */

static struct kvm_run *volatile running;

static void alarm_handler(int signal)
{
	running->immediate_exit = 1;
}

static timer_t make_timer(void)
{
	struct sigaction action = { .sa_handler = alarm_handler };
	timer_t timer;

	sigaction(SIGALRM, &action, NULL);
	if (timer_create(CLOCK_MONOTONIC, NULL, &timer))
		die("timer_create: %m");
	return timer;
}

/* Until the alarm; what the guest has begun with user space is finished then. */
static void run_slice(struct machine *m, int id, timer_t timer, u64 ns)
{
	struct itimerspec at = { .it_value.tv_nsec = ns };
	struct vcpu *vcpu = m->vcpu[id];

	if (m->done[id])
		return;
	running = vcpu->run;
	if (timer_settime(timer, 0, &at, NULL))
		die("timer_settime: %m");
	while (!ioctl(vcpu->fd, KVM_RUN, 0))
		serve(m, vcpu);
	if (errno != EINTR)
		die("vCPU %d: KVM_RUN: %m", id);
	/* The signal may be that of a timer which has not fired yet. */
	memset(&at, 0, sizeof(at));
	timer_settime(timer, 0, &at, NULL);
	vcpu->run->immediate_exit = 0;
}

/* ---- all state ---- */

#define NR_MSRS		512
#define XSAVE_MAX	16384

struct cpu_state {
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_lapic_state lapic;
	struct { struct kvm_msrs head; struct kvm_msr_entry e[NR_MSRS]; } msrs;
	u64 tsc_offset;
	u8 xsave[XSAVE_MAX];
};

struct state {
	struct kvm_clock_data clock;
	struct kvm_irqchip chip[3];
	struct kvm_pit_state2 pit;
	struct cpu_state cpu[CPUS];
};

static void list_msrs(struct cpu_state *c, int dev)
{
	struct { struct kvm_msr_list head; u32 indices[NR_MSRS]; } list = { .head.nmsrs = NR_MSRS };
	u32 i;

	do_ioctl(dev, KVM_GET_MSR_INDEX_LIST, &list);
	c->msrs.head.nmsrs = list.head.nmsrs;
	for (i = 0; i < list.head.nmsrs; i++)
		c->msrs.e[i].index = list.indices[i];
}

static struct kvm_device_attr tsc_attr(u64 *offset)
{
	return (struct kvm_device_attr) {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (unsigned long)offset,
	};
}

static void save_cpu(struct vcpu *vcpu, struct cpu_state *c)
{
	struct kvm_device_attr attr = tsc_attr(&c->tsc_offset);

	list_msrs(c, vcpu->vm->dev);
	do_ioctl(vcpu->fd, KVM_GET_MP_STATE, &c->mp);
	do_ioctl(vcpu->fd, KVM_GET_REGS, &c->regs);
	do_ioctl(vcpu->fd, KVM_GET_XSAVE2, c->xsave);
	do_ioctl(vcpu->fd, KVM_GET_XCRS, &c->xcrs);
	do_ioctl(vcpu->fd, KVM_GET_SREGS2, &c->sregs);
	if (do_ioctl(vcpu->fd, KVM_GET_MSRS, &c->msrs) != (int)c->msrs.head.nmsrs)
		die("not all MSRs of the list can be read");
	do_ioctl(vcpu->fd, KVM_GET_LAPIC, &c->lapic);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &c->events);
	do_ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &c->debugregs);
	do_ioctl(vcpu->fd, KVM_GET_DEVICE_ATTR, &attr);
}

static void save(struct machine *m, struct state *s)
{
	int i;

	memset(s, 0, sizeof(*s));
	do_ioctl(m->vm->fd, KVM_GET_CLOCK, &s->clock);
	do_ioctl(m->vm->fd, KVM_GET_PIT2, &s->pit);
	for (i = 0; i < 3; i++) {
		s->chip[i].chip_id = i;
		do_ioctl(m->vm->fd, KVM_GET_IRQCHIP, &s->chip[i]);
	}
	for (i = 0; i < CPUS; i++)
		save_cpu(m->vcpu[i], &s->cpu[i]);
}

#define MSR_TSC 0x10

/* The TSC comes by its offset: its value would be that of some time ago. */
static void set_msrs(struct vcpu *vcpu, struct cpu_state *c)
{
	typeof(c->msrs) msrs = { 0 };
	u32 i, n = 0;
	int set;

	for (i = 0; i < c->msrs.head.nmsrs; i++)
		if (c->msrs.e[i].index != MSR_TSC)
			msrs.e[n++] = c->msrs.e[i];
	msrs.head.nmsrs = n;
	set = do_ioctl(vcpu->fd, KVM_SET_MSRS, &msrs);
	if (set != (int)n)
		die("MSR %#x cannot be set", msrs.e[set].index);
}

/* A deadline wants the timer's mode, and both want the TSC: hence this order. */
static void restore_cpu(struct vcpu *vcpu, struct cpu_state *c)
{
	struct kvm_device_attr attr = tsc_attr(&c->tsc_offset);

	do_ioctl(vcpu->fd, KVM_SET_SREGS2, &c->sregs);
	do_ioctl(vcpu->fd, KVM_SET_REGS, &c->regs);
	do_ioctl(vcpu->fd, KVM_SET_XCRS, &c->xcrs);
	do_ioctl(vcpu->fd, KVM_SET_XSAVE, c->xsave);
	do_ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &c->debugregs);
	do_ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr);
	do_ioctl(vcpu->fd, KVM_SET_LAPIC, &c->lapic);
	set_msrs(vcpu, c);
	do_ioctl(vcpu->fd, KVM_SET_MP_STATE, &c->mp);
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &c->events);
}

static void restore(struct machine *m, struct state *s)
{
	int i;

	do_ioctl(m->vm->fd, KVM_SET_CLOCK, &s->clock);
	for (i = 0; i < CPUS; i++)
		restore_cpu(m->vcpu[i], &s->cpu[i]);
	for (i = 0; i < 3; i++)
		do_ioctl(m->vm->fd, KVM_SET_IRQCHIP, &s->chip[i]);
	do_ioctl(m->vm->fd, KVM_SET_PIT2, &s->pit);
}

/* ---- the same, but for what time changes ---- */

static bool runs_on(u32 msr)
{
	return msr == MSR_TSC || msr == 0x3b || msr == 0xe7 || msr == 0xe8 || msr == 0x40000010 ||
	       msr == 0x40000020 || msr == 0x40000021;
}

static void clear_vector(struct kvm_lapic_state *l, u32 bank, int vector)
{
	*(u32 *)(l->regs + bank + (vector / 32) * 16) &= ~(1u << vector % 32);
}

/* A host whose TSC is not its clock may move a vCPU's offset, on KVM as well. */
static bool tsc_is_stable(void)
{
	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "r");
	char name[16] = "";
	bool stable = f && fgets(name, sizeof(name), f) && !strcmp(name, "tsc\n");

	if (f)
		fclose(f);
	return stable;
}

/* A timer of the new VM's may have fired between restoring and saving. */
static void forget_time(struct state *s)
{
	struct cpu_state *c;
	u32 i;

	memset(&s->clock, 0, sizeof(s->clock));
	s->pit.channels[0].count_load_time = s->pit.channels[1].count_load_time = 0;
	s->pit.channels[2].count_load_time = 0;
	s->chip[0].chip.pic.irr &= ~1;
	s->chip[0].chip.pic.last_irr &= ~1;
	s->chip[2].chip.ioapic.irr &= ~1;
	for (c = s->cpu; c < s->cpu + CPUS; c++) {
		if (!tsc_is_stable())
			c->tsc_offset = 0;
		memset(c->lapic.regs + 0x390, 0, 4);
		memset(c->lapic.regs + 0xa0, 0, 4);	/* PPR: derived */
		clear_vector(&c->lapic, 0x200, VEC_TIMER);
		clear_vector(&c->lapic, 0x200, VEC_PIT);
		for (i = 0; i < c->msrs.head.nmsrs; i++)
			if (runs_on(c->msrs.e[i].index))
				c->msrs.e[i].data = 0;
	}
}

static const struct { const char *name; size_t offset, size; } parts[] = {
#define PART(name) { #name, offsetof(struct cpu_state, name), sizeof(((struct cpu_state *)0)->name) }
	PART(mp), PART(regs), PART(sregs), PART(xcrs), PART(debugregs), PART(events), PART(lapic),
	PART(msrs), PART(tsc_offset), PART(xsave),
};

static int first_difference(const void *a, const void *b, size_t size)
{
	const u8 *x = a, *y = b;
	size_t i;

	for (i = 0; i < size && x[i] == y[i]; i++)
		;
	return i == size ? -1 : (int)i;
}

static void compare(struct state *a, struct state *b, int n)
{
	size_t p;
	int i, at;

	forget_time(a);
	forget_time(b);
	at = first_difference(a->chip, b->chip, sizeof(a->chip));
	if (at >= 0)
		die("move %d: the irqchips differ at byte %d", n, at);
	at = first_difference(&a->pit, &b->pit, sizeof(a->pit));
	if (at >= 0)
		die("move %d: the PIT differs at byte %d", n, at);
	for (i = 0; i < CPUS; i++) {
		for (p = 0; p < ARRAY_SIZE(parts); p++) {
			u8 *x = (u8 *)&a->cpu[i] + parts[p].offset;
			u8 *y = (u8 *)&b->cpu[i] + parts[p].offset;

			at = first_difference(x, y, parts[p].size);
			if (at >= 0)
				die("move %d: vCPU %d: %s differs at byte %d: %#x, then %#x", n, i,
				    parts[p].name, at, x[at], y[at]);
		}
	}
}

/* ---- a machine and its moves ---- */

static void enable(struct vm *vm, u32 capability)
{
	struct kvm_enable_cap cap = { .cap = capability, .args[0] = 1 };

	do_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static void make_machine(struct machine *m, struct vm *vm)
{
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	int i;

	m->vm = vm;
	enable(vm, KVM_CAP_EXCEPTION_PAYLOAD);
	enable(vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT);
	for (i = 0; i < CPUS; i++) {
		m->vcpu[i] = vcpu_create(vm, i, NULL, 0);
		do_ioctl(m->vcpu[i]->fd, KVM_SET_MP_STATE, &mp);
	}
}

static void free_machine(struct machine *m)
{
	int i;

	for (i = 0; i < CPUS; i++)
		vcpu_free(m->vcpu[i]);
	vm_free(m->vm);
}

static void move(struct machine *m, int n)
{
	static struct state a, b;
	struct machine next = *m;
	struct vm *vm = vm_create(VM_BARE | VM_PIT);

	save(m, &a);
	vm->ram = m->vm->ram;
	m->vm->ram = NULL;
	free_machine(m);
	errno = vm_set_slot(vm, 0, 0, 0, GUEST_MEMORY, vm->ram);
	if (errno)
		die("the memory cannot be handed over: %m");
	make_machine(&next, vm);
	restore(&next, &a);
	save(&next, &b);
	*m = next;
	compare(&a, &b, n);
}

static bool guest_has(u32 function, u32 ecx_bit)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	bool has = cpuid_find(c, function, 0)->ecx >> ecx_bit & 1;

	free(c);
	return has;
}

static void set_xcr0(struct vcpu *vcpu)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	struct kvm_sregs s = vcpu_sregs(vcpu);

	s.cr4 |= 1 << 18;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &s);
	do_ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs);
}

static void start_machine(struct machine *m, bool x2apic)
{
	struct vm *vm = vm_create(VM_PIT);
	bool avx = guest_has(1, 28);
	int i, khz;

	memset(m, 0, sizeof(*m));
	make_machine(m, vm);
	khz = do_ioctl(m->vcpu[0]->fd, KVM_GET_TSC_KHZ, 0);
	guest_var(vm, use_x2apic) = x2apic;
	guest_var(vm, use_avx) = avx;
	guest_var(vm, use_deadline) = check_extension(KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	for (i = 0; i < CPUS; i++) {
		guest_var(vm, deadline)[i] = khz * 3ull / 10;	/* 300 us */
		vcpu_start64(m->vcpu[i], guest_work, i);
		if (avx)
			set_xcr0(m->vcpu[i]);
	}
}

static void run_between_moves(struct machine *m, timer_t timer)
{
	int slices = 1 + random_below(8);

	while (slices--)
		run_slice(m, random_below(CPUS), timer, 1000 + random_below(800000));
}

static void finish(struct machine *m, timer_t timer)
{
	int i;

	guest_var(m->vm, stop) = 1;
	for (i = 0; !m->done[0] || !m->done[1]; i++) {
		if (i == 50000)
			die("the guest does not end: rounds %lu and %lu, at %#llx and %#llx",
			    guest_var(m->vm, rounds)[0], guest_var(m->vm, rounds)[1],
			    vcpu_regs(m->vcpu[0]).rip, vcpu_regs(m->vcpu[1]).rip);
		run_slice(m, i % CPUS, timer, 500000);
	}
}

static void moves(struct __test_metadata *_metadata, bool x2apic)
{
	u64 count = option("MIGRATE_COUNT", DEFAULT_COUNT), seed = option("MIGRATE_SEED", 1), i;
	timer_t timer = make_timer();
	struct machine m;

	random_state = seed;
	start_machine(&m, x2apic);
	for (i = 0; i < count; i++) {
		run_between_moves(&m, timer);
		move(&m, i);
	}
	finish(&m, timer);
	TH_LOG("%lu moves, seed %lu: rounds %lu and %lu; timers %lu and %lu, PIT %lu, IPIs %lu and %lu",
	       count, seed, guest_var(m.vm, rounds)[0], guest_var(m.vm, rounds)[1],
	       guest_var(m.vm, timers)[0], guest_var(m.vm, timers)[1], guest_var(m.vm, pits),
	       guest_var(m.vm, ipis)[0], guest_var(m.vm, ipis)[1]);
	EXPECT_LT(count / 200, guest_var(m.vm, rounds)[0]);
	EXPECT_LT(count / 200, guest_var(m.vm, rounds)[1]);
	free_machine(&m);
}

TEST(xapic)
{
	moves(_metadata, false);
}

TEST(x2apic)
{
	moves(_metadata, true);
}

TEST_HARNESS_MAIN
