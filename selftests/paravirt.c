// SPDX-License-Identifier: GPL-2.0
/*
 * KVM's own interface to guests: hypercalls, EOI by a bit in memory, the
 * "preempted" flag and the flush that is left for later, and that a guest which
 * is held to its CPUID gets no more than that (Documentation/virt/kvm/x86).
 */

#include "lib/test.h"

#define HC_KICK_CPU		5
#define HC_SEND_IPI		10
#define HC_SCHED_YIELD		11
#define HC_MAP_GPA_RANGE	12
#define HC_ENOSYS		(-1000l)
#define HC_EINVAL		(-22l)

#define MSR_STEAL		0x4b564d03
#define MSR_PV_EOI		0x4b564d04
#define PREEMPTED		1
#define FLUSH_TLB		2

#define FEATURE_PV_EOI		6
#define FEATURE_PV_UNHALT	7
#define FEATURE_PV_TLB_FLUSH	9
#define FEATURE_PV_SEND_IPI	11
#define FEATURE_PV_SCHED_YIELD	13

#define VECTOR			0x61
#define LOW_VECTOR		0x41
#define CPUS			3

static volatile u64 intel, ready, woken, hits[CPUS], low_hits, bit_was_set;
static volatile u8 eoi_word[64] __attribute__((aligned(64)));
static volatile u8 steal[CPUS][64] __attribute__((aligned(64)));

static __guest long hypercall(u64 nr, u64 a, u64 b, u64 c, u64 d)
{
	long ret;

	if (intel)
		asm volatile("vmcall" : "=a"(ret)
			     : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	else
		asm volatile("vmmcall" : "=a"(ret)
			     : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	return ret;
}

static struct vm *make_vm(void)
{
	struct vm *vm = vm_create(VM_IRQCHIP);

	guest_var(vm, intel) = host_is_intel();
	return vm;
}

static void start_thread(struct vm *vm, int id, void *entry, pthread_t *thread)
{
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct vcpu *vcpu = vcpu_create(vm, id, entry, id);

	do_ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp);
	vcpu_run_thread(vcpu, thread);
}

static bool offered(int feature)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0x40000001, 0);
	bool ret = e && e->eax >> feature & 1;

	free(c);
	return ret;
}

/* ---- KVM_HC_MAP_GPA_RANGE is user space's, if it asked for it (KVM_CAP_EXIT_HYPERCALL) ---- */

#define RANGE	0x12345000ul
#define PAGES	3
#define ATTRS	0x11
#define RESULT	0x1122334455667788l

static __guest void guest_range(u64 asked)
{
	if (!asked) {
		GUEST_ASSERT_EQ(HC_ENOSYS, hypercall(HC_MAP_GPA_RANGE, RANGE, PAGES, ATTRS, 0));
		return;
	}
	GUEST_ASSERT_EQ(RESULT, hypercall(HC_MAP_GPA_RANGE, RANGE, PAGES, ATTRS, 0));
	GUEST_ASSERT_EQ(HC_EINVAL, hypercall(HC_MAP_GPA_RANGE, RANGE + 1, PAGES, ATTRS, 0));
	GUEST_ASSERT_EQ(HC_EINVAL, hypercall(HC_MAP_GPA_RANGE, RANGE, 0, ATTRS, 0));
	GUEST_ASSERT_EQ(HC_EINVAL, hypercall(HC_MAP_GPA_RANGE, RANGE, ~0ul, ATTRS, 0));
}

TEST(map_gpa_range)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_EXIT_HYPERCALL, .args[0] = 1 << HC_MAP_GPA_RANGE,
	};
	struct vm *vm = make_vm();
	struct vcpu *vcpu = vcpu_create(make_vm(), 0, guest_range, false);

	EXPECT_EQ(1 << HC_MAP_GPA_RANGE, check_extension(KVM_CAP_EXIT_HYPERCALL));
	vcpu_run_done(vcpu);
	do_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
	cap.args[0] = 1 << HC_SEND_IPI;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_ENABLE_CAP, &cap));
	vcpu = vcpu_create(vm, 0, guest_range, true);
	vcpu_run_exit(vcpu, KVM_EXIT_HYPERCALL);
	EXPECT_EQ(HC_MAP_GPA_RANGE, vcpu->run->hypercall.nr);
	EXPECT_EQ(RANGE, vcpu->run->hypercall.args[0]);
	EXPECT_EQ(PAGES, vcpu->run->hypercall.args[1]);
	EXPECT_EQ(ATTRS, vcpu->run->hypercall.args[2]);
	EXPECT_EQ(1, vcpu->run->hypercall.longmode);
	vcpu->run->hypercall.ret = RESULT;
	vcpu_run_done(vcpu);
}

/* ---- KVM_HC_KICK_CPU ends a HLT that no interrupt could ---- */

static __guest void guest_sleeps(void)
{
	cli();
	ready = 1;
	hlt();
	woken = 1;
}

static __guest void guest_kicks(void)
{
	while (!ready)
		cpu_pause();
	/* It may not sleep yet; then the kick is kept for its HLT. */
	GUEST_ASSERT_EQ(0, hypercall(HC_KICK_CPU, 0, 1, 0, 0));
	while (!woken)
		cpu_pause();
	/* Of nobody: no error. */
	GUEST_ASSERT_EQ(0, hypercall(HC_KICK_CPU, 0, 99, 0, 0));
}

TEST(kick_cpu)
{
	struct vm *vm = make_vm();
	pthread_t threads[2];

	start_thread(vm, 1, guest_sleeps, &threads[1]);
	start_thread(vm, 0, guest_kicks, &threads[0]);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

/* ---- KVM_HC_SEND_IPI: a bitmap of APIC ids ---- */

static __guest void on_hit(struct trap_frame *f)
{
	hits[xapic_read(0x20) >> 24]++;
	xapic_write(0xb0, 0);
}

static __guest void guest_receives(u64 id)
{
	guest_handlers[VECTOR] = on_hit;
	xapic_enable();
	sti();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	while (!woken)
		cpu_pause();
}

static __guest void guest_sends(void)
{
	guest_handlers[VECTOR] = on_hit;
	xapic_enable();
	sti();
	while (ready < CPUS - 1)
		cpu_pause();
	/* Ids 0 and 2 of a bitmap from 0, then 1 from one that begins there. */
	GUEST_ASSERT_EQ(2, hypercall(HC_SEND_IPI, 5, 0, 0, VECTOR));
	GUEST_ASSERT_EQ(1, hypercall(HC_SEND_IPI, 1, 0, 1, VECTOR));
	while (!hits[0] || !hits[1] || !hits[2])
		cpu_pause();
	/* The second word of the bitmap: ids from 64 on, which there are not. */
	GUEST_ASSERT_EQ(0, hypercall(HC_SEND_IPI, 0, 7, 0, VECTOR));
	GUEST_ASSERT_EQ(0, hypercall(HC_SCHED_YIELD, 1, 0, 0, 0));
	GUEST_ASSERT_EQ(0, hypercall(HC_SCHED_YIELD, 99, 0, 0, 0));
	GUEST_ASSERT_EQ(HC_ENOSYS, hypercall(0x7777, 0, 0, 0, 0));
	GUEST_ASSERT_EQ(1, hits[0]);
	GUEST_ASSERT_EQ(1, hits[1]);
	GUEST_ASSERT_EQ(1, hits[2]);
	woken = 1;
}

TEST(send_ipi)
{
	struct vm *vm = make_vm();
	pthread_t threads[CPUS];
	int i;

	for (i = 1; i < CPUS; i++)
		start_thread(vm, i, guest_receives, &threads[i]);
	start_thread(vm, 0, guest_sends, &threads[0]);
	for (i = 0; i < CPUS; i++)
		pthread_join(threads[i], NULL);
}

/* ---- KVM_HC_SCHED_YIELD: the CPU to one that was preempted ---- */

#define YIELDS 200

static volatile u64 progress;

static __guest void guest_works(void)
{
	/* Only who uses its LAPIC is sure to be known by an APIC id. */
	xapic_enable();
	while (!woken)
		progress++;
}

static __guest void guest_yields(void)
{
	u64 before;
	int i;

	while (!progress)
		hypercall(HC_SCHED_YIELD, 1, 0, 0, 0);
	for (i = 0; i < YIELDS; i++) {
		before = progress;
		do
			GUEST_ASSERT_EQ(0, hypercall(HC_SCHED_YIELD, 1, 0, 0, 0));
		while (progress == before);
	}
	/* To oneself: nothing. */
	GUEST_ASSERT_EQ(0, hypercall(HC_SCHED_YIELD, 0, 0, 0, 0));
	woken = 1;
}

TEST(directed_yield)
{
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct vm *vm = make_vm();
	struct vcpu *yields = vcpu_create(vm, 0, guest_yields, 0);
	struct vcpu *works = vcpu_create(vm, 1, guest_works, 1);
	pthread_t threads[2];
	s64 tried, done;

	if (!offered(FEATURE_PV_SCHED_YIELD))
		SKIP(return, "no KVM_FEATURE_PV_SCHED_YIELD");
	/* Both on one CPU, so that either is preempted while the other runs. */
	host_go_to(0);
	do_ioctl(works->fd, KVM_SET_MP_STATE, &mp);
	vcpu_run_thread(works, &threads[1]);
	vcpu_run_thread(yields, &threads[0]);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	tried = vcpu_stat(yields, "directed_yield_attempted");
	done = vcpu_stat(yields, "directed_yield_successful");
	EXPECT_GE(tried, YIELDS);
	EXPECT_GT(done, 0);
	EXPECT_LT(done, tried);		/* not the last */
	EXPECT_EQ(0, vcpu_stat(works, "directed_yield_attempted"));
}

/* ---- PV EOI ---- */

static __guest bool clear_bit_of_eoi(void)
{
	return __atomic_fetch_and(&eoi_word[0], (u8)~1, __ATOMIC_SEQ_CST) & 1;
}

static __guest void on_pv(struct trap_frame *f)
{
	hits[0]++;
	if (clear_bit_of_eoi())
		bit_was_set++;
	else
		xapic_write(0xb0, 0);
}

static __guest void on_low(struct trap_frame *f)
{
	low_hits++;
	xapic_write(0xb0, 0);
}

/* Another interrupt is on its way by the time that this one ends. */
static __guest void on_pv_busy(struct trap_frame *f)
{
	xapic_write(0x300, 1 << 18 | LOW_VECTOR);
	GUEST_ASSERT_EQ(0, low_hits);
	GUEST_ASSERT(!clear_bit_of_eoi());
	xapic_write(0xb0, 0);
}

static __guest u32 in_service(u32 vector)
{
	return xapic_read(0x100 + vector / 32 * 16) >> vector % 32 & 1;
}

static __guest void guest_pv_eoi(void)
{
	int i;

	guest_handlers[VECTOR] = on_pv;
	guest_handlers[LOW_VECTOR] = on_low;
	xapic_enable();
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_PV_EOI, (u64)eoi_word + 2));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_PV_EOI, 0xd0000001));	/* no memory */
	wrmsr(MSR_PV_EOI, (u64)eoi_word | 1);
	GUEST_ASSERT_EQ((u64)eoi_word | 1, rdmsr(MSR_PV_EOI));
	sti();
	for (i = 1; i <= 10; i++) {
		xapic_write(0x300, 1 << 18 | VECTOR);
		while (hits[0] != i)
			cpu_pause();
		GUEST_ASSERT_EQ(0, in_service(VECTOR));
	}
	GUEST_ASSERT(bit_was_set > 5);
	/* It is at an end for the LAPIC as well: a lower one comes through. */
	xapic_write(0x300, 1 << 18 | LOW_VECTOR);
	while (!low_hits)
		cpu_pause();
	low_hits = 0;
	guest_handlers[VECTOR] = on_pv_busy;
	xapic_write(0x300, 1 << 18 | VECTOR);
	while (!low_hits)
		cpu_pause();
	/* An IOAPIC that wants to hear of it. */
	guest_handlers[VECTOR] = on_pv;
	bit_was_set = 0;
	ioapic_route(20, 1 << 15 | VECTOR);		/* level */
	xapic_write(0x300, 1 << 18 | VECTOR);
	while (hits[0] != 11)
		cpu_pause();
	GUEST_ASSERT_EQ(0, bit_was_set);
	GUEST_ASSERT_EQ(0, in_service(VECTOR));
	/* Switched off, the word is left alone. */
	ioapic_route(20, 1 << 16);
	wrmsr(MSR_PV_EOI, 0);
	xapic_write(0x300, 1 << 18 | VECTOR);
	while (hits[0] != 12)
		cpu_pause();
	GUEST_ASSERT_EQ(0, bit_was_set);
}

TEST(pv_eoi)
{
	struct vm *vm = make_vm();

	if (!offered(FEATURE_PV_EOI))
		SKIP(return, "KVM_FEATURE_PV_EOI is not offered");
	if (host_is_intel())
		SKIP_ON_STOCK("has hardware's EOIs, with an xAPIC as well");
	vcpu_run_done(vcpu_create(vm, 0, guest_pv_eoi, 0));
}

/* Who starts after an INIT has not asked for it, and the word may be anybody's. */
TEST(pv_eoi_ends_with_init)
{
	struct vm *vm = make_vm();
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_pv_eoi, 0);
	struct kvm_vcpu_events events = { .flags = KVM_VCPUEVENT_VALID_SMM };
	struct kvm_mp_state mp;

	if (!offered(FEATURE_PV_EOI))
		SKIP(return, "KVM_FEATURE_PV_EOI is not offered");
	vcpu_set_msr(vcpu, MSR_PV_EOI, GUEST_LOW | 1);
	ASSERT_EQ(GUEST_LOW | 1, vcpu_get_msr(vcpu, MSR_PV_EOI));
	events.smi.latched_init = 1;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	/* which acts on the INIT */
	do_ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp);
	ASSERT_EQ(0, vcpu_get_msr(vcpu, MSR_PV_EOI));
}

/* ---- who sleeps or waits for a CPU is "preempted", and flushes when it runs again ---- */

#define GVA		GVA_TEST

static volatile u64 pages[2][512] __attribute__((aligned(4096)));
static volatile u64 sleeps, flush_left;

static __guest void on_wake(struct trap_frame *f)
{
	xapic_write(0xb0, 0);
}

static __guest void guest_flushed(u64 id)
{
	guest_handlers[VECTOR] = on_wake;
	xapic_enable();
	wrmsr(MSR_STEAL, (u64)steal[id] | 1);
	GUEST_ASSERT_EQ(1, *(volatile u64 *)GVA);
	ready = 1;
	if (sleeps)
		sti_hlt();
	cli();
	while (!flush_left)
		cpu_pause();
	GUEST_ASSERT_EQ(0, steal[id][16]);
	GUEST_ASSERT_EQ(2, *(volatile u64 *)GVA);
	woken = 1;
}

static __guest bool leave_flush(void)
{
	u8 seen = PREEMPTED;

	return __atomic_compare_exchange_n(&steal[1][16], &seen, PREEMPTED | FLUSH_TLB,
					   false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static __guest void guest_flushes(void)
{
	xapic_enable();
	while (!ready || steal[1][16] != PREEMPTED)
		cpu_pause();
	*guest_pte(GVA) = (u64)pages[1] | PTE_P | PTE_W;
	/* Who sleeps does so until it is woken; who was preempted may run again. */
	while (!leave_flush())
		GUEST_ASSERT(!sleeps);
	flush_left = 1;
	xapic_write(0x310, 1 << 24);
	xapic_write(0x300, VECTOR);
	while (!woken)
		cpu_pause();
}

static void flush_later(bool asleep)
{
	struct vm *vm = make_vm();
	pthread_t threads[2];

	vm_map_page(vm, GVA, (u64)pages[0], PTE_W);
	guest_var(vm, sleeps) = asleep;
	guest_var(vm, pages)[0][0] = 1;
	guest_var(vm, pages)[1][0] = 2;
	start_thread(vm, 1, guest_flushed, &threads[1]);
	start_thread(vm, 0, guest_flushes, &threads[0]);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

TEST(pv_tlb_flush)
{
	SKIP_ON_STOCK("does not say of a vCPU in HLT that it does not run");
	if (!offered(FEATURE_PV_TLB_FLUSH))
		SKIP(return, "KVM_FEATURE_PV_TLB_FLUSH is not offered");
	flush_later(true);
}

TEST(pv_tlb_flush_preempted)
{
	if (!offered(FEATURE_PV_TLB_FLUSH))
		SKIP(return, "KVM_FEATURE_PV_TLB_FLUSH is not offered");
	/* Both on one CPU, so that either is preempted while the other runs. */
	host_go_to(0);
	flush_later(false);
}

/* ---- held to its CPUID ---- */

static __guest void guest_without(void)
{
	u64 v;

	GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(MSR_STEAL, &v));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_STEAL, (u64)steal[0] | 1));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(MSR_PV_EOI, &v));
	GUEST_ASSERT_EQ(HC_ENOSYS, hypercall(HC_SEND_IPI, 1, 0, 0, VECTOR));
	GUEST_ASSERT_EQ(HC_ENOSYS, hypercall(HC_KICK_CPU, 0, 0, 0, 0));
}

static __guest void guest_with(void)
{
	u64 v;

	GUEST_ASSERT_EQ(NO_TRAP, try_rdmsr(MSR_STEAL, &v));
	GUEST_ASSERT_EQ(NO_TRAP, try_rdmsr(MSR_PV_EOI, &v));
	GUEST_ASSERT_EQ(0, hypercall(HC_KICK_CPU, 0, 0, 0, 0));
}

static void run_without(void *entry, bool enforce)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args[0] = 1 };
	struct vcpu *vcpu = vcpu_create(make_vm(), 0, entry, 0);
	struct kvm_cpuid2 *c = supported_cpuid();

	cpuid_find(c, 0x40000001, 0)->eax = 0;
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	if (enforce)
		do_ioctl(vcpu->fd, KVM_ENABLE_CAP, &cap);
	vcpu_run_done(vcpu);
	free(c);
}

TEST(enforced)
{
	run_without(guest_with, false);
	run_without(guest_without, true);
}

TEST_HARNESS_MAIN
