// SPDX-License-Identifier: GPL-2.0
/*
 * The interface of Microsoft's hypervisor (its Top Level Functional Specification, TLFS): CPUID,
 * MSRs, reference time, hypercalls, the synthetic interrupt controller and timers; what a guest
 * gets that does not know of it, or may not use it; and that all of it migrates.
 */
#include <sys/eventfd.h>

#include "lib/test.h"

#define MSR_GUEST_OS_ID		0x40000000
#define MSR_HYPERCALL		0x40000001
#define MSR_VP_INDEX		0x40000002
#define MSR_RESET		0x40000003
#define MSR_VP_RUNTIME		0x40000010
#define MSR_TIME_REF		0x40000020
#define MSR_REFERENCE_TSC	0x40000021
#define MSR_TSC_FREQUENCY	0x40000022
#define MSR_APIC_FREQUENCY	0x40000023
#define MSR_EOI			0x40000070
#define MSR_ICR			0x40000071
#define MSR_TPR			0x40000072
#define MSR_ASSIST_PAGE		0x40000073
#define MSR_SCONTROL		0x40000080
#define MSR_SVERSION		0x40000081
#define MSR_SIEFP		0x40000082
#define MSR_SIMP		0x40000083
#define MSR_EOM			0x40000084
#define MSR_SINT(n)		(0x40000090 + (n))
#define MSR_CONFIG(n)		(0x400000b0 + 2 * (n))
#define MSR_COUNT(n)		(0x400000b1 + 2 * (n))
#define MSR_SYNDBG_CONTROL	0x400000f1
#define MSR_SYNDBG_STATUS	0x400000f2
#define MSR_SYNDBG_PENDING	0x400000f5
#define MSR_SYNDBG_OPTIONS	0x400000ff
#define MSR_CRASH(n)		(0x40000100 + (n))
#define MSR_CRASH_CTL		0x40000105
#define MSR_REENLIGHTENMENT	0x40000106
#define MSR_EMULATION_CONTROL	0x40000107
#define MSR_EMULATION_STATUS	0x40000108

#define LEAF_FEATURES		0x40000003
#define LEAF_RECOMMENDED	0x40000004
#define DIRECT_TIMERS		(1u << 19)	/* EDX of the one */
#define CLUSTER_IPI		(1u << 10)	/* EAX of the other */

#define CALL_FLUSH_SPACE	0x02
#define CALL_FLUSH_LIST		0x03
#define CALL_SPIN_WAIT		0x08
#define CALL_SEND_IPI		0x0b
#define CALL_FLUSH_SPACE_EX	0x13
#define CALL_FLUSH_LIST_EX	0x14
#define CALL_SEND_IPI_EX	0x15
#define CALL_POST_MESSAGE	0x5c
#define CALL_SIGNAL_EVENT	0x5d
#define CALL_RESET_DEBUG	0x6b
#define FAST			(1ull << 16)
#define BANKS(n)		((u64)(n) << 17)
#define REPS(n)			((u64)(n) << 32)
#define FIRST_REP(n)		((u64)(n) << 48)

#define INVALID_CODE		2
#define INVALID_INPUT		3
#define INVALID_ALIGNMENT	4
#define ACCESS_DENIED		6

#define OS_ID			(0x8100ull << 48)
#define SINT_MASKED		(1ull << 16)
#define SINT_AUTO_EOI		(1ull << 17)
#define TIMER_ENABLE		1ull
#define TIMER_PERIODIC		2ull
#define TIMER_AUTO_ENABLE	8ull
#define TIMER_VECTOR(v)		((u64)(v) << 4)
#define TIMER_DIRECT		(1ull << 12)
#define TIMER_SINT(n)		((u64)(n) << 16)
#define MESSAGE_TIMER		0x80000010

#define CALL_PAGE		(GUEST_FREE + 0x0000)
#define INPUT			(GUEST_FREE + 0x1000)
#define TSC_PAGE		(GUEST_FREE + 0x2000)
#define ASSIST			(GUEST_FREE + 0x3000)
#define MESSAGES		(GUEST_FREE + 0x4000)
#define EVENTS			(GUEST_FREE + 0x5000)
#define NO_MEMORY		(GUEST_MEMORY + 0x100000)

#define VECTOR			0x61
#define OTHER_VECTOR		0x72
#define GSI			40

static volatile u64 intel, hits[GUEST_MAX_CPUS], others, ready, leave;

/* ---- guests that know the interface ---- */

static struct kvm_cpuid2 *hv_cpuid(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));
	struct kvm_cpuid2 *hv = calloc(1, sizeof(*hv) + 32 * sizeof(hv->entries[0]));
	u32 i, n = 0;

	c->nent = 256;
	do_ioctl(vcpu->fd, KVM_GET_CPUID2, c);
	hv->nent = 32;
	do_ioctl(vcpu->fd, KVM_GET_SUPPORTED_HV_CPUID, hv);
	/* KVM of 6.1 does not say how many there are; behind the last, all is 0. */
	for (i = 0; i < c->nent && (!i || c->entries[i].function); i++)
		if (c->entries[i].function >> 8 != 0x400000)
			c->entries[n++] = c->entries[i];
	for (i = 0; i < hv->nent; i++)
		c->entries[n++] = hv->entries[i];
	c->nent = n;
	free(hv);
	return c;
}

static void set_hv_cpuid(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *c = hv_cpuid(vcpu);

	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	free(c);
}

static struct vcpu *hv_vcpu(struct vm *vm, int id, void *entry, u64 arg)
{
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct vcpu *vcpu = vcpu_create(vm, id, entry, arg);

	guest_var(vm, intel) = host_is_intel();
	set_hv_cpuid(vcpu);
	do_ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp);
	return vcpu;
}

static int enable(struct vcpu *vcpu, u32 cap, u64 arg)
{
	struct kvm_enable_cap e = { .cap = cap, .args = { arg } };

	return ioctl_errno(vcpu->fd, KVM_ENABLE_CAP, &e);
}

static struct vcpu *synic_vcpu(struct vm *vm, int id, void *entry, u64 arg)
{
	struct vcpu *vcpu = hv_vcpu(vm, id, entry, arg);

	if (enable(vcpu, KVM_CAP_HYPERV_SYNIC2, 0))
		die("KVM_CAP_HYPERV_SYNIC2: %m");
	return vcpu;
}

/* The result, or how the instruction faulted. */
static __guest u64 call(u64 control, u64 in, u64 out)
{
	register u64 r8 asm("r8") = out;
	u64 ret = ~0ull;

	if (intel)
		asm volatile("vmcall" : "+a"(ret), "+c"(control), "+d"(in) : "r"(r8)
			     : "memory", "cc", "r9", "r10", "r11");
	else
		asm volatile("vmmcall" : "+a"(ret), "+c"(control), "+d"(in) : "r"(r8)
			     : "memory", "cc", "r9", "r10", "r11");
	return ret;
}

static __guest void introduce(void)
{
	wrmsr(MSR_GUEST_OS_ID, OS_ID);
}

static __guest u32 my_id(void)
{
	return xapic_read(0x20) >> 24;
}

static __guest void on_vector(struct trap_frame *f)
{
	hits[my_id()]++;
	xapic_write(0xb0, 0);
}

static __guest void on_vector_no_eoi(struct trap_frame *f)
{
	hits[my_id()]++;
}

static __guest void on_other(struct trap_frame *f)
{
	others++;
	xapic_write(0xb0, 0);
}

/* ---- CPUID ---- */

static struct kvm_cpuid2 *supported_hv(int fd)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 32 * sizeof(c->entries[0]));

	c->nent = 32;
	do_ioctl(fd, KVM_GET_SUPPORTED_HV_CPUID, c);
	return c;
}

TEST(leaves)
{
	struct vm *vm = vm_create(VM_IRQCHIP), *bare = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0), *without = vcpu_create(bare, 0, NULL, 0);
	struct kvm_cpuid2 *c = supported_hv(vm->dev), *v = supported_hv(vcpu->fd);
	struct kvm_cpuid2 *w = supported_hv(without->fd);

	ASSERT_EQ(10, c->nent);
	EXPECT_EQ(0x31237648, cpuid_find(c, 0x40000001, 0)->eax);
	EXPECT_EQ(0x40000082, cpuid_find(c, 0x40000000, 0)->eax);
	EXPECT_EQ(0, memcmp(c->entries, v->entries, 10 * sizeof(c->entries[0])));
	/* What takes a LAPIC in the kernel is not there without one. */
	EXPECT_TRUE(cpuid_find(c, LEAF_FEATURES, 0)->edx & DIRECT_TIMERS);
	EXPECT_TRUE(cpuid_find(c, LEAF_RECOMMENDED, 0)->eax & CLUSTER_IPI);
	EXPECT_FALSE(cpuid_find(w, LEAF_FEATURES, 0)->edx & DIRECT_TIMERS);
	EXPECT_FALSE(cpuid_find(w, LEAF_RECOMMENDED, 0)->eax & CLUSTER_IPI);
	c->nent = 9;
	c->entries[0].function = 77;
	EXPECT_EQ(E2BIG, ioctl_errno(vm->dev, KVM_GET_SUPPORTED_HV_CPUID, c));
	EXPECT_EQ(E2BIG, ioctl_errno(vcpu->fd, KVM_GET_SUPPORTED_HV_CPUID, c));
	EXPECT_EQ(77, c->entries[0].function);
	EXPECT_EQ(EFAULT, ioctl_errno(vm->dev, KVM_GET_SUPPORTED_HV_CPUID, NULL));
	EXPECT_EQ(EINVAL, enable(without, KVM_CAP_HYPERV_SYNIC, 0));
	EXPECT_EQ(EINVAL, enable(vcpu, KVM_CAP_HYPERV_SYNIC2, 1));
}

static const u32 every_msr[] = {
	MSR_GUEST_OS_ID, MSR_HYPERCALL, MSR_VP_INDEX, MSR_RESET, MSR_VP_RUNTIME, MSR_TIME_REF,
	MSR_REFERENCE_TSC, MSR_TSC_FREQUENCY, MSR_APIC_FREQUENCY, MSR_ICR, MSR_TPR,
	MSR_ASSIST_PAGE, MSR_SCONTROL, MSR_SVERSION, MSR_SIEFP, MSR_SIMP, MSR_EOM, MSR_SINT(0),
	MSR_SINT(15), MSR_CONFIG(0), MSR_COUNT(3), MSR_SYNDBG_CONTROL, MSR_SYNDBG_STATUS,
	MSR_SYNDBG_PENDING, MSR_SYNDBG_OPTIONS, MSR_CRASH(0), MSR_CRASH(4), MSR_CRASH_CTL,
	MSR_REENLIGHTENMENT, MSR_EMULATION_CONTROL, MSR_EMULATION_STATUS,
};

#define MSRS	(sizeof(every_msr) / sizeof(every_msr[0]))

static __guest void guest_has_none(u64 expected)
{
	u64 v, trap;
	int i;

	for (i = 0; i < MSRS; i++) {
		trap = try_rdmsr(every_msr[i], &v);
		GUEST_CHECK(trap == expected, "RDMSR", every_msr[i], trap);
	}
}

/* By name, or by rights. What user space asks for is there. */
TEST(no_interface)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_has_none, TRAP(13, 0));
	struct vcpu *held;
	struct kvm_cpuid2 *c;

	ASSERT_EQ(0, enable(vcpu, KVM_CAP_HYPERV_SYNIC2, 0));
	EXPECT_EQ(0, vcpu_get_msr(vcpu, MSR_GUEST_OS_ID));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_CRASH(2), 7));
	EXPECT_EQ(7, vcpu_get_msr(vcpu, MSR_CRASH(2)));
	vcpu_run_done(vcpu);

	held = synic_vcpu(vm, 1, guest_has_none, TRAP(13, 0));
	c = hv_cpuid(held);
	memset(&cpuid_find(c, LEAF_FEATURES, 0)->eax, 0, 16);
	ASSERT_EQ(0, enable(held, KVM_CAP_HYPERV_ENFORCE_CPUID, 1));
	do_ioctl(held->fd, KVM_SET_CPUID2, c);
	vcpu_run_done(held);
}

TEST(whole_interface)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = synic_vcpu(vm, 0, guest_has_none, NO_TRAP);

	ASSERT_EQ(0, enable(vcpu, KVM_CAP_HYPERV_ENFORCE_CPUID, 1));
	vcpu_run_done(vcpu);
}

/* ---- identity, and the page to call through ---- */

static __guest void guest_identity(void)
{
	u64 result = ~0ull, control = CALL_SPIN_WAIT, in = 0;

	/* Not before it has said who it is. */
	wrmsr(MSR_HYPERCALL, CALL_PAGE | 1);
	GUEST_ASSERT_EQ(0, rdmsr(MSR_HYPERCALL));
	introduce();
	GUEST_ASSERT_EQ(OS_ID, rdmsr(MSR_GUEST_OS_ID));
	wrmsr(MSR_HYPERCALL, CALL_PAGE | 1);
	GUEST_ASSERT_EQ(CALL_PAGE | 1, rdmsr(MSR_HYPERCALL));
	asm volatile("call *%3" : "+a"(result), "+c"(control), "+d"(in)
		     : "r"((u64)CALL_PAGE) : "memory", "cc", "r8", "r9", "r10", "r11");
	GUEST_ASSERT_EQ(0, result);
	/* There is no memory to write it to. */
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_HYPERCALL, NO_MEMORY | 1));
	GUEST_ASSERT_EQ(CALL_PAGE | 1, rdmsr(MSR_HYPERCALL));
	wrmsr(MSR_GUEST_OS_ID, 0);
	GUEST_ASSERT_EQ(CALL_PAGE, rdmsr(MSR_HYPERCALL));
	/* It is KVM that is called now. */
	GUEST_ASSERT_EQ(-1000ull, call(CALL_SPIN_WAIT, 0, 0));

	GUEST_ASSERT_EQ(5, rdmsr(MSR_VP_INDEX));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_VP_INDEX, 5));
	GUEST_ASSERT_EQ(1000000000, rdmsr(MSR_APIC_FREQUENCY));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_APIC_FREQUENCY, 1));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_TIME_REF, 1));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_VP_RUNTIME, 1));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_EMULATION_STATUS, 1));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_SVERSION, 1));
	GUEST_VALUE(rdmsr(MSR_TSC_FREQUENCY));
}

TEST(identity)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = hv_vcpu(vm, 0, guest_identity, 0);

	EXPECT_EQ(0, vcpu_set_msr(vcpu, MSR_VP_INDEX, 1024));
	EXPECT_EQ(0, vcpu_get_msr(vcpu, MSR_VP_INDEX));
	ASSERT_EQ(1, vcpu_set_msr(vcpu, MSR_VP_INDEX, 5));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_TIME_REF, 5));
	ASSERT_EQ(0, enable(vcpu, KVM_CAP_HYPERV_SYNIC2, 0));
	EXPECT_EQ(ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0) * 1000ull, vcpu_run_value(vcpu));
	vcpu_run_done(vcpu);
}

/* ---- what user space is told ---- */

static __guest void guest_dies(void)
{
	int i;

	for (i = 0; i < 5; i++)
		wrmsr(MSR_CRASH(i), 0x100 + i);
	GUEST_ASSERT_EQ(1ull << 63, rdmsr(MSR_CRASH_CTL));
	wrmsr(MSR_CRASH_CTL, 1);		/* no cry */
	wrmsr(MSR_RESET, 0);			/* no reset */
	GUEST_SYNC(1);
	wrmsr(MSR_CRASH_CTL, 1ull << 63);
	GUEST_SYNC(2);
	wrmsr(MSR_RESET, 1);
	GUEST_SYNC(3);
	wrmsr(MSR_SYNDBG_OPTIONS, 0);
	wrmsr(MSR_SYNDBG_STATUS, 4);
	wrmsr(MSR_SYNDBG_CONTROL, 0x77);
	GUEST_ASSERT_EQ(0x99, rdmsr(MSR_SYNDBG_STATUS));
}

TEST(system_events)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = hv_vcpu(vm, 0, guest_dies, 0);
	struct kvm_run *run = vcpu->run;

	/* Of what user space allows, one bit is known. */
	ASSERT_EQ(1, vcpu_set_msr(vcpu, MSR_CRASH_CTL, ~0ull));
	vcpu_run_sync(vcpu, 1);
	vcpu_run_exit(vcpu, KVM_EXIT_SYSTEM_EVENT);
	EXPECT_EQ(KVM_SYSTEM_EVENT_CRASH, run->system_event.type);
	EXPECT_EQ(0, run->system_event.ndata);
	EXPECT_EQ(0x104, vcpu_get_msr(vcpu, MSR_CRASH(4)));
	vcpu_run_sync(vcpu, 2);
	vcpu_run_exit(vcpu, KVM_EXIT_SYSTEM_EVENT);
	EXPECT_EQ(KVM_SYSTEM_EVENT_RESET, run->system_event.type);
	vcpu_run_sync(vcpu, 3);
	vcpu_run_exit(vcpu, KVM_EXIT_HYPERV);
	EXPECT_EQ(KVM_EXIT_HYPERV_SYNDBG, run->hyperv.type);
	EXPECT_EQ(MSR_SYNDBG_CONTROL, run->hyperv.u.syndbg.msr);
	EXPECT_EQ(0x77, run->hyperv.u.syndbg.control);
	run->hyperv.u.syndbg.status = 0x99;
	vcpu_run_done(vcpu);
}

/* ---- reference time ---- */

struct tsc_page {
	volatile u32 sequence, reserved;
	volatile u64 scale, offset;
};

#define TSC_PAGE_PTR	((struct tsc_page *)TSC_PAGE)

static __guest u64 page_ref(void)
{
	return (u64)((unsigned __int128)rdtsc() * TSC_PAGE_PTR->scale >> 64) + TSC_PAGE_PTR->offset;
}

/* The page and the MSR say the same: each reading lies between two of the other. */
static __guest void same_time(void)
{
	u64 a = page_ref(), b = rdmsr(MSR_TIME_REF), c = page_ref();

	GUEST_CHECK(a <= b && b <= c, "page, MSR, page", b - a, c - b);
}

static __guest void guest_time(void)
{
	u64 before = rdmsr(MSR_TIME_REF), sequence, offset;

	GUEST_SYNC(0);
	wrmsr(MSR_REFERENCE_TSC, TSC_PAGE | 1);
	GUEST_ASSERT(TSC_PAGE_PTR->sequence != 0);
	GUEST_ASSERT(TSC_PAGE_PTR->sequence != ~0u);
	same_time();
	GUEST_ASSERT(rdmsr(MSR_TIME_REF) >= before);
	sequence = TSC_PAGE_PTR->sequence;
	GUEST_SYNC(1);			/* the clock is set to 1000 s */
	GUEST_ASSERT(TSC_PAGE_PTR->sequence != sequence);
	GUEST_ASSERT(page_ref() >= 10000000000);
	GUEST_ASSERT(page_ref() < 20000000000);
	same_time();
	/* A guest whose TSC is emulated wants the page to stay. */
	wrmsr(MSR_EMULATION_CONTROL, 1);
	sequence = TSC_PAGE_PTR->sequence;
	offset = TSC_PAGE_PTR->offset;
	GUEST_SYNC(2);			/* to 5000 s */
	GUEST_ASSERT_EQ(sequence, TSC_PAGE_PTR->sequence);
	GUEST_ASSERT_EQ(offset, TSC_PAGE_PTR->offset);
	same_time();
	GUEST_SYNC(3);
}

static __guest void guest_time_thaws(void)
{
	u64 offset = TSC_PAGE_PTR->offset;

	wrmsr(MSR_EMULATION_CONTROL, 0);
	GUEST_ASSERT(TSC_PAGE_PTR->offset != offset);
	GUEST_ASSERT(page_ref() >= 50000000000);
	same_time();
	wrmsr(MSR_REFERENCE_TSC, TSC_PAGE);
	TSC_PAGE_PTR->sequence = 0;
	GUEST_SYNC(4);			/* to 1000 s */
	GUEST_ASSERT_EQ(0, TSC_PAGE_PTR->sequence);
	GUEST_ASSERT(rdmsr(MSR_TIME_REF) < 20000000000);
	/* Where no memory is, there is no page; but there is time. */
	wrmsr(MSR_REFERENCE_TSC, NO_MEMORY | 1);
	GUEST_ASSERT(rdmsr(MSR_TIME_REF) >= 10000000000);
	GUEST_ASSERT_EQ(NO_MEMORY | 1, rdmsr(MSR_REFERENCE_TSC));
}

static void set_clock(struct vm *vm, u64 seconds)
{
	struct kvm_clock_data data = { .clock = seconds * 1000000000 };

	do_ioctl(vm->fd, KVM_SET_CLOCK, &data);
}

/* With a TSC that is far from 0, as that of a guest which has been running for long. */
static struct vcpu *time_vcpu(struct vm *vm)
{
	struct vcpu *vcpu = hv_vcpu(vm, 0, guest_time, 0);

	if (vcpu_set_msr(vcpu, 0x10, 1ull << 45) != 1)
		die("the TSC can't be set");
	return vcpu;
}

static bool master_clock(struct vm *vm)
{
	struct kvm_clock_data data = {};

	do_ioctl(vm->fd, KVM_GET_CLOCK, &data);
	return data.flags & KVM_CLOCK_TSC_STABLE;
}

TEST(reference_time)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = time_vcpu(vm);

	vcpu_run_sync(vcpu, 0);
	if (!master_clock(vm))
		SKIP(return, "the host's clock is not the TSC");
	vcpu_run_sync(vcpu, 1);
	set_clock(vm, 1000);
	vcpu_run_sync(vcpu, 2);
	set_clock(vm, 5000);
	vcpu_run_sync(vcpu, 3);
	vcpu_run_done(vcpu);
}

TEST(time_after_emulation)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = time_vcpu(vm);

	SKIP_ON_STOCK("leaves the page as it was while the TSC was emulated");
	vcpu_run_sync(vcpu, 0);
	if (!master_clock(vm))
		SKIP(return, "the host's clock is not the TSC");
	vcpu_run_sync(vcpu, 1);
	set_clock(vm, 1000);
	vcpu_run_sync(vcpu, 2);
	set_clock(vm, 5000);
	vcpu_run_sync(vcpu, 3);
	vcpu_start64(vcpu, guest_time_thaws, 0);
	vcpu_run_sync(vcpu, 4);
	set_clock(vm, 1000);
	vcpu_run_done(vcpu);
}

static __guest void guest_runs(void)
{
	u64 before = rdmsr(MSR_VP_RUNTIME), t = rdmsr(MSR_TIME_REF);

	while (rdmsr(MSR_TIME_REF) - t < 500000)
		cpu_pause();
	GUEST_ASSERT(rdmsr(MSR_VP_RUNTIME) >= before);
	GUEST_VALUE(before);
}

TEST(runtime)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = hv_vcpu(vm, 0, guest_runs, 0);

	/* It goes on where user space says. */
	ASSERT_EQ(1, vcpu_set_msr(vcpu, MSR_VP_RUNTIME, 1ull << 40));
	EXPECT_EQ(1ull << 40, vcpu_run_value(vcpu) & ~((1ull << 32) - 1));
	vcpu_run_done(vcpu);
}

/* ---- the LAPIC by MSRs, and the assist page ---- */

static __guest void on_vector_msr(struct trap_frame *f)
{
	hits[0]++;
	wrmsr(MSR_EOI, 0);
}

/* If the bit is there, it is the EOI. */
static __guest void on_vector_assist(struct trap_frame *f)
{
	volatile u32 *assist = (u32 *)ASSIST;

	hits[0]++;
	if (__atomic_fetch_and(assist, ~1u, __ATOMIC_SEQ_CST) & 1)
		others++;
	else
		xapic_write(0xb0, 0);
}

static __guest void guest_apic(void)
{
	u64 v, saved;

	guest_handlers[VECTOR] = on_vector_msr;
	xapic_enable();
	sti();
	wrmsr(MSR_ICR, VECTOR);			/* to id 0 */
	while (hits[0] < 1)
		cpu_pause();
	wrmsr(MSR_ICR, 1ull << 56 | VECTOR);	/* to id 1: nobody */
	wrmsr(MSR_TPR, 0x70);
	GUEST_ASSERT_EQ(7, read_cr8());
	wrmsr(MSR_ICR, VECTOR);			/* held back */
	sti_nop_cli();
	GUEST_ASSERT_EQ(1, hits[0]);
	GUEST_ASSERT_EQ(0x70, rdmsr(MSR_TPR));
	GUEST_ASSERT_EQ(VECTOR, rdmsr(MSR_ICR));
	sti();
	wrmsr(MSR_TPR, 0);
	while (hits[0] < 2)
		cpu_pause();
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_TPR, 1ull << 32));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(MSR_EOI, &v));

	guest_handlers[VECTOR] = on_vector_assist;
	*(volatile u32 *)ASSIST = ~0u;
	*(volatile u32 *)(ASSIST + 4) = ~0u;
	wrmsr(MSR_ASSIST_PAGE, ASSIST | 1);
	/* Of the page, the first word is the hypervisor's. */
	GUEST_ASSERT_EQ(0, *(volatile u32 *)ASSIST);
	GUEST_ASSERT_EQ(~0u, *(volatile u32 *)(ASSIST + 4));
	wrmsr(MSR_ICR, VECTOR);
	while (hits[0] < 3)
		cpu_pause();
	wrmsr(MSR_ICR, VECTOR);
	while (hits[0] < 4)
		cpu_pause();
	/* When it saves an EOI is the hypervisor's to say; here nothing stands against it. */
	GUEST_ASSERT(others > 0);
	saved = others;
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_ASSIST_PAGE, NO_MEMORY | 1));
	GUEST_ASSERT_EQ(ASSIST | 1, rdmsr(MSR_ASSIST_PAGE));
	wrmsr(MSR_ASSIST_PAGE, 0);
	wrmsr(MSR_ICR, VECTOR);
	while (hits[0] < 5)
		cpu_pause();
	GUEST_ASSERT_EQ(saved, others);
}

TEST(apic)
{
	struct vm *vm = vm_create(VM_IRQCHIP);

	vcpu_run_done(hv_vcpu(vm, 0, guest_apic, 0));
}

/* ---- hypercalls: their form ---- */

static __guest u64 *input(int words, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	u64 *in = (u64 *)INPUT, values[] = { a, b, c, d, e };
	int i;

	for (i = 0; i < 5; i++)
		in[i] = i < words ? values[i] : ~0ull;
	return in;
}

static __guest void set_xmm(u64 a, u64 b, u64 c, u64 d)
{
	u64 v[4] = { a, b, c, d };

	asm volatile("movdqu %0, %%xmm0; movdqu %1, %%xmm1"
		     : : "m"(*(u64 (*)[2])&v[0]), "m"(*(u64 (*)[2])&v[2]));
}

#define MINE	1ull			/* a bank with VP 0 */

static __guest void guest_calls(void)
{
	introduce();
	GUEST_ASSERT_EQ(INVALID_CODE, call(0xbeef, INPUT, 0));
	GUEST_ASSERT_EQ(0, call(CALL_SPIN_WAIT | FAST, 7, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_SPIN_WAIT | FAST | REPS(1), 7, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_SPIN_WAIT | FAST | BANKS(1), 7, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_SPIN_WAIT | FAST | 1ull << 27, 7, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_SPIN_WAIT | FAST | 1ull << 44, 7, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_SPIN_WAIT | FAST | 1ull << 60, 7, 0));

	input(3, 0, 0, MINE, 0, 0);
	GUEST_ASSERT_EQ(0, call(CALL_FLUSH_SPACE, INPUT, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_FLUSH_SPACE | REPS(1), INPUT, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_FLUSH_SPACE | BANKS(1), INPUT, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_FLUSH_SPACE, NO_MEMORY, 0));
	/* As many as there were are done; none is not a list. */
	GUEST_ASSERT_EQ(REPS(3), call(CALL_FLUSH_LIST | REPS(3), INPUT, 0));
	GUEST_ASSERT_EQ(REPS(0xfff), call(CALL_FLUSH_LIST | REPS(0xfff), INPUT, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_FLUSH_LIST, INPUT, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_FLUSH_LIST | REPS(3) | FIRST_REP(3), INPUT, 0));
	set_xmm(MINE, 0, 0, 0);
	GUEST_ASSERT_EQ(0, call(CALL_FLUSH_SPACE | FAST, 0, 0));

	/* Space, flags, format, mask, bank */
	input(5, 0, 0, 0, 1, MINE);
	GUEST_ASSERT_EQ(0, call(CALL_FLUSH_SPACE_EX | BANKS(1), INPUT, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_FLUSH_SPACE_EX, INPUT, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_FLUSH_SPACE_EX | BANKS(2), INPUT, 0));
	GUEST_ASSERT_EQ(REPS(1), call(CALL_FLUSH_LIST_EX | BANKS(1) | REPS(1), INPUT, 0));
	/* The banks of VPs that there can't be are there all the same. */
	input(4, 0, 0, 0, ~0ull, 0);
	GUEST_ASSERT_EQ(0, call(CALL_FLUSH_SPACE_EX | BANKS(64), INPUT, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_FLUSH_SPACE_EX | BANKS(65), INPUT, 0));
	/* All VPs */
	input(4, 0, 0, 1, 0, 0);
	GUEST_ASSERT_EQ(0, call(CALL_FLUSH_SPACE_EX, INPUT, 0));
	/* By registers: format and mask, then banks in halves of the five others. */
	set_xmm(0, 3, MINE, MINE);
	GUEST_ASSERT_EQ(0, call(CALL_FLUSH_SPACE_EX | FAST | BANKS(2), 0, 0));
	set_xmm(0, 0x7ff, 0, 0);
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_FLUSH_SPACE_EX | FAST | BANKS(11), 0, 0));

	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_POST_MESSAGE, INPUT, 0));
}

TEST(calls)
{
	struct vm *vm = vm_create(VM_IRQCHIP);

	vcpu_run_done(hv_vcpu(vm, 0, guest_calls, 0));
}

static __guest void guest_calls_astray(void)
{
	introduce();
	/* TLFS, "Hypercall Inputs": 8-byte aligned, in one page */
	GUEST_ASSERT_EQ(INVALID_ALIGNMENT, call(CALL_FLUSH_SPACE, INPUT + 4, 0));
	GUEST_ASSERT_EQ(INVALID_ALIGNMENT, call(CALL_FLUSH_SPACE, INPUT + 0xff0, 0));
	GUEST_ASSERT_EQ(INVALID_ALIGNMENT, call(CALL_SEND_IPI, INPUT + 0xff8, 0));
	input(4, 0, 0, 0, 3, 0);
	((u64 *)(INPUT + 0xfd8))[0] = ((u64 *)(INPUT + 0xfd8))[1] = 0;
	((u64 *)(INPUT + 0xfd8))[2] = 0;
	((u64 *)(INPUT + 0xfd8))[3] = 3;
	GUEST_ASSERT_EQ(INVALID_ALIGNMENT, call(CALL_FLUSH_SPACE_EX | BANKS(2), INPUT + 0xfd8, 0));
	/* A format that there is not */
	input(5, 0, 0, 2, 1, MINE);
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_FLUSH_SPACE_EX | BANKS(1), INPUT, 0));
	input(3, VECTOR, 2, 0, 0, 0);
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_SEND_IPI_EX, INPUT, 0));
}

TEST(calls_astray)
{
	struct vm *vm = vm_create(VM_IRQCHIP);

	SKIP_ON_STOCK("reads its input from wherever it is, and takes any format");
	vcpu_run_done(hv_vcpu(vm, 0, guest_calls_astray, 0));
}

static __guest void guest_call_denied(void)
{
	introduce();
	GUEST_ASSERT_EQ(ACCESS_DENIED, call(CALL_FLUSH_SPACE, INPUT, 0));
	GUEST_ASSERT_EQ(ACCESS_DENIED, call(CALL_SEND_IPI, INPUT, 0));
	GUEST_ASSERT_EQ(ACCESS_DENIED, call(CALL_SPIN_WAIT, INPUT, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_POST_MESSAGE, INPUT, 0));
}

TEST(calls_denied)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = hv_vcpu(vm, 0, guest_call_denied, 0);
	struct kvm_cpuid2 *c = hv_cpuid(vcpu);

	memset(&cpuid_find(c, LEAF_RECOMMENDED, 0)->eax, 0, 16);
	ASSERT_EQ(0, enable(vcpu, KVM_CAP_HYPERV_ENFORCE_CPUID, 1));
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	vcpu_run_done(vcpu);
}

/* 32-bit code has its parameters in pairs, EDX:EAX, EBX:ECX, EDI:ESI; the result is in the first. */
extern const char calls32[];

asm(".pushsection .text\n"
    ".code32\n"
    "calls32: mov $0x40000000, %ecx; mov $0x81000000, %edx; xor %eax, %eax; wrmsr\n"
    "	mov $3, %edx; mov $3, %eax\n"			/* CALL_FLUSH_LIST, 3 elements */
    "	xor %ebx, %ebx; mov $0x1001000, %ecx\n"		/* INPUT */
    "	call call32\n"
    "	xor %edx, %edx; mov $0x1000b, %eax\n"		/* CALL_SEND_IPI | FAST */
    "	mov $1, %ebx; mov $0x61, %ecx\n"		/* VECTOR; what is reserved is not 0 */
    "	xor %edi, %edi; mov $1, %esi\n"
    "	call call32\n"
    "	xor %ebx, %ebx; mov $0x61, %ecx\n"
    "	xor %edx, %edx; mov $0x1000b, %eax\n"
    "	mov $1, %edi; xor %esi, %esi\n"			/* to VP 32: nobody */
    "	call call32\n"
    "	hlt\n"
    /* VMCALL; on SVM it is made VMMCALL the first time. */
    "call32: .byte 0x0f, 0x01, 0xc1\n"
    "	mov %edx, %edi; mov %eax, %ebp; shl $16, %edi; or %ebp, %edi\n"
    "	mov $4, %eax; mov $0x900, %edx; outl %eax, %dx\n"	/* REPORT_VALUE */
    "	ret\n"
    ".code64\n"
    ".popsection");

TEST(calls_32bit)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = hv_vcpu(vm, 0, NULL, 0);

	memset(guest_ptr(vm, INPUT), 0, PAGE_SIZE);
	vcpu_start32(vcpu, (u64)calls32);
	/* The elements that are done are in the high half. */
	EXPECT_EQ(3 << 16, vcpu_run_value(vcpu));
	EXPECT_EQ(INVALID_INPUT, vcpu_run_value(vcpu));
	EXPECT_EQ(0, vcpu_run_value(vcpu));
}

/* ---- hypercalls: what they do ---- */

#define CPUS	3

static __guest void guest_receives(void)
{
	guest_handlers[VECTOR] = on_vector;
	xapic_enable();
	sti();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	while (!leave)
		cpu_pause();
}

static __guest void wait_hits(u64 a, u64 b, u64 c)
{
	while (hits[0] < a || hits[1] < b || hits[2] < c)
		cpu_pause();
	GUEST_ASSERT_EQ(a, hits[0]);
	GUEST_ASSERT_EQ(b, hits[1]);
	GUEST_ASSERT_EQ(c, hits[2]);
}

/* VP indices: vCPU 0 has 0, 1 has 70, 2 has 2. */
static __guest void guest_sends(void)
{
	guest_handlers[VECTOR] = on_vector;
	xapic_enable();
	introduce();
	sti();
	while (ready < CPUS - 1)
		cpu_pause();
	input(2, VECTOR, 5, 0, 0, 0);
	GUEST_ASSERT_EQ(0, call(CALL_SEND_IPI, INPUT, 0));
	wait_hits(1, 0, 1);
	GUEST_ASSERT_EQ(0, call(CALL_SEND_IPI | FAST, VECTOR, 4));
	wait_hits(1, 0, 2);
	/* Vector, format, mask, bank: VP 70 is bit 6 of bank 1. */
	input(4, VECTOR, 0, 2, 1 << 6, 0);
	GUEST_ASSERT_EQ(0, call(CALL_SEND_IPI_EX | BANKS(1), INPUT, 0));
	wait_hits(1, 1, 2);
	set_xmm(3, 1, 1 << 6, 0);
	GUEST_ASSERT_EQ(0, call(CALL_SEND_IPI_EX | FAST | BANKS(2), VECTOR, 0));
	wait_hits(2, 2, 2);
	input(3, VECTOR, 1, 0, 0, 0);
	GUEST_ASSERT_EQ(0, call(CALL_SEND_IPI_EX, INPUT, 0));
	wait_hits(3, 3, 3);
	/* Nobody; a vector that is the processor's; a reserved field; a bank too many. */
	GUEST_ASSERT_EQ(0, call(CALL_SEND_IPI | FAST, VECTOR, 8));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_SEND_IPI | FAST, 15, 1));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_SEND_IPI | FAST, 256, 1));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_SEND_IPI | FAST, 1ull << 32 | VECTOR, 1));
	set_xmm(0xfff, 0, 0, 0);
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_SEND_IPI_EX | FAST | BANKS(12), VECTOR, 0));
	wait_hits(3, 3, 3);
	leave = 1;
}

TEST(send_ipi)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpus[CPUS];
	pthread_t threads[CPUS];
	int i;

	for (i = 0; i < CPUS; i++)
		vcpus[i] = hv_vcpu(vm, i, i ? guest_receives : guest_sends, 0);
	ASSERT_EQ(1, vcpu_set_msr(vcpus[1], MSR_VP_INDEX, 70));
	for (i = CPUS - 1; i >= 0; i--)
		vcpu_run_thread(vcpus[i], &threads[i]);
	for (i = 0; i < CPUS; i++)
		pthread_join(threads[i], NULL);
}

/*
 * The other CPU reads by a translation that goes; when the call has returned it reads the new page.
 * (An emulated TLB may forget by itself; it is never to remember.)
 */
#define FLUSHES	200

static volatile u64 seen, turn;

static __guest void guest_reads(void)
{
	while (!leave) {
		seen = *(volatile u64 *)GVA_TEST;
		__atomic_store_n(&ready, turn, __ATOMIC_SEQ_CST);
	}
}

static __guest void guest_flushes(u64 pages)
{
	u64 *pte = guest_pte(GVA_TEST), i, flags = *pte & 0xfff;

	introduce();
	while (!seen)
		cpu_pause();
	for (i = 1; i <= FLUSHES; i++) {
		*(volatile u64 *)pte = (pages + (i & 1) * 0x1000) | flags;
		set_xmm(2, 0, 0, 0);
		GUEST_ASSERT_EQ(0, call(CALL_FLUSH_SPACE | FAST, 0, 0));
		turn = i;
		/* A whole reading after the call */
		while (ready != i)
			cpu_pause();
		turn = i + FLUSHES;
		while (ready != i + FLUSHES)
			cpu_pause();
		GUEST_ASSERT_EQ(1 + (i & 1), seen);
	}
	leave = 1;
}

TEST(flush)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = hv_vcpu(vm, 0, guest_flushes, INPUT);
	struct vcpu *reader = hv_vcpu(vm, 1, guest_reads, 0);
	pthread_t threads[2];
	s64 flushes;

	*(u64 *)guest_ptr(vm, INPUT) = 1;
	*(u64 *)guest_ptr(vm, INPUT + 0x1000) = 2;
	vm_map_page(vm, GVA_TEST, INPUT, PTE_P | PTE_W);
	flushes = vcpu_stat(reader, "tlb_flush");
	vcpu_run_thread(reader, &threads[1]);
	vcpu_run_thread(vcpu, &threads[0]);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	/* None is left out: an emulator's TLB would not show it. */
	if (flushes >= 0)
		EXPECT_GE(vcpu_stat(reader, "tlb_flush") - flushes, FLUSHES);
}

static __guest void guest_signals(void)
{
	introduce();
	GUEST_ASSERT_EQ(0, call(CALL_SIGNAL_EVENT | FAST, 0x123, 0));
	*(volatile u64 *)INPUT = 0x123;
	GUEST_ASSERT_EQ(0, call(CALL_SIGNAL_EVENT, INPUT, 0));
	GUEST_ASSERT_EQ(INVALID_ALIGNMENT, call(CALL_SIGNAL_EVENT, INPUT + 1, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_SIGNAL_EVENT | FAST, 1ull << 24 | 0x123, 0));
	GUEST_ASSERT_EQ(INVALID_INPUT, call(CALL_SIGNAL_EVENT | FAST, 1ull << 48 | 0x123, 0));
	GUEST_SYNC(1);
	/* What has no eventfd is user space's; so is a flag number. */
	GUEST_ASSERT_EQ(0x55, call(CALL_SIGNAL_EVENT | FAST, 0x124, 9));
	GUEST_ASSERT_EQ(0x66, call(CALL_SIGNAL_EVENT | FAST, 1ull << 32 | 0x123, 9));
	GUEST_ASSERT_EQ(0x77, call(CALL_POST_MESSAGE, INPUT, INPUT + 8));
}

static int connection(struct vm *vm, u32 id, int fd, u32 flags)
{
	struct kvm_hyperv_eventfd e = { .conn_id = id, .fd = fd, .flags = flags };

	return ioctl_errno(vm->fd, KVM_HYPERV_EVENTFD, &e);
}

static void answer_call(struct __test_metadata *_metadata, struct vcpu *vcpu, u64 code, u64 in,
			u64 out, u64 result)
{
	struct kvm_hyperv_exit *e = &vcpu->run->hyperv;

	vcpu_run_exit(vcpu, KVM_EXIT_HYPERV);
	EXPECT_EQ(KVM_EXIT_HYPERV_HCALL, e->type);
	EXPECT_EQ(code, e->u.hcall.input);
	EXPECT_EQ(in, e->u.hcall.params[0]);
	EXPECT_EQ(out, e->u.hcall.params[1]);
	e->u.hcall.result = result;
}

TEST(signal_event)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = synic_vcpu(vm, 0, guest_signals, 0);
	int fd = eventfd(0, EFD_NONBLOCK);
	u64 n = 0;

	EXPECT_EQ(EINVAL, connection(vm, 1 << 24, fd, 0));
	EXPECT_EQ(EINVAL, connection(vm, 1, fd, 2));
	EXPECT_EQ(EBADF, connection(vm, 1, -1, 0));
	EXPECT_EQ(ENOENT, connection(vm, 0x123, fd, KVM_HYPERV_EVENTFD_DEASSIGN));
	ASSERT_EQ(0, connection(vm, 0x123, fd, 0));
	EXPECT_EQ(EEXIST, connection(vm, 0x123, fd, 0));
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(sizeof(n), read(fd, &n, sizeof(n)));
	EXPECT_EQ(2, n);
	answer_call(_metadata, vcpu, CALL_SIGNAL_EVENT | FAST, 0x124, 9, 0x55);
	answer_call(_metadata, vcpu, CALL_SIGNAL_EVENT | FAST, 1ull << 32 | 0x123, 9, 0x66);
	answer_call(_metadata, vcpu, CALL_POST_MESSAGE, INPUT, INPUT + 8, 0x77);
	vcpu_run_done(vcpu);
	ASSERT_EQ(0, connection(vm, 0x123, fd, KVM_HYPERV_EVENTFD_DEASSIGN));
	ASSERT_EQ(0, connection(vm, 0x123, fd, 0));
}

/* ---- the synthetic interrupt controller ---- */

static __guest void guest_pages(void)
{
	*(volatile u64 *)MESSAGES = 1;
	wrmsr(MSR_SIMP, MESSAGES | 1);
	GUEST_VALUE(*(volatile u64 *)MESSAGES);
	wrmsr(MSR_SIEFP, EVENTS | 1);
	wrmsr(MSR_SCONTROL, 1);
	GUEST_ASSERT_EQ(1, rdmsr(MSR_SVERSION));
	GUEST_ASSERT_EQ(0, rdmsr(MSR_EOM));
	GUEST_ASSERT_EQ(SINT_MASKED, rdmsr(MSR_SINT(9)));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_SINT(9), 15));
	wrmsr(MSR_SINT(9), SINT_MASKED | 15);
	wrmsr(MSR_SINT(9), 16);
}

static void expect_synic_exit(struct __test_metadata *_metadata, struct vcpu *vcpu, u32 msr,
			      u64 events, u64 messages)
{
	struct kvm_hyperv_exit *e = &vcpu->run->hyperv;

	vcpu_run_exit(vcpu, KVM_EXIT_HYPERV);
	EXPECT_EQ(KVM_EXIT_HYPERV_SYNIC, e->type);
	EXPECT_EQ(msr, e->u.synic.msr);
	EXPECT_EQ(1, e->u.synic.control);
	EXPECT_EQ(events, e->u.synic.evt_page);
	EXPECT_EQ(messages, e->u.synic.msg_page);
}

static void run_pages(struct __test_metadata *_metadata, u32 cap, u64 kept)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = hv_vcpu(vm, 0, guest_pages, 0);

	/* Without a SynIC there is nothing to be set. */
	EXPECT_EQ(0, vcpu_set_msr(vcpu, MSR_SIMP, MESSAGES | 1));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_SIMP, 0));
	ASSERT_EQ(0, enable(vcpu, cap, 0));
	expect_synic_exit(_metadata, vcpu, MSR_SIMP, 0, MESSAGES | 1);
	EXPECT_EQ(kept, vcpu_run_value(vcpu));
	expect_synic_exit(_metadata, vcpu, MSR_SIEFP, EVENTS | 1, MESSAGES | 1);
	expect_synic_exit(_metadata, vcpu, MSR_SCONTROL, EVENTS | 1, MESSAGES | 1);
	vcpu_run_done(vcpu);
}

TEST(synic_pages)
{
	run_pages(_metadata, KVM_CAP_HYPERV_SYNIC, 0);
}

TEST(synic2_pages)
{
	run_pages(_metadata, KVM_CAP_HYPERV_SYNIC2, 1);
}

static int route_sint(struct vm *vm, u32 vp, u32 sint)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} r = {
		.head.nr = 1,
		.entry = { .gsi = GSI, .type = KVM_IRQ_ROUTING_HV_SINT,
			   .u.hv_sint = { .vcpu = vp, .sint = sint } },
	};

	return ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &r);
}

static int raise_gsi(struct vm *vm)
{
	struct kvm_irq_level irq = { .irq = GSI, .level = 1 };

	do_ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &irq);
	return irq.status;
}

static u64 signalled(int fd)
{
	u64 n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static __guest void guest_sint(void)
{
	guest_handlers[VECTOR] = on_vector_no_eoi;
	xapic_enable();
	sti();
	GUEST_SYNC(1);			/* it is masked */
	wrmsr(MSR_SINT(4), VECTOR);
	GUEST_SYNC(2);			/* raised */
	GUEST_ASSERT_EQ(1, hits[0]);
	GUEST_SYNC(3);			/* not asked yet */
	xapic_write(0xb0, 0);
	GUEST_SYNC(4);			/* asked, by the EOI; raised by the eventfd */
	GUEST_ASSERT_EQ(2, hits[0]);
	xapic_write(0xb0, 0);
	GUEST_SYNC(5);
	wrmsr(MSR_EOM, 0);
	GUEST_SYNC(6);			/* asked, by EOM */
}

TEST(sint)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = synic_vcpu(vm, 0, guest_sint, 0);
	int fd = eventfd(0, EFD_NONBLOCK), asked = eventfd(0, EFD_NONBLOCK);
	struct kvm_irqfd irqfd = {
		.fd = fd, .gsi = GSI, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = asked,
	};
	const u64 one = 1;

	ASSERT_EQ(1, vcpu_set_msr(vcpu, MSR_VP_INDEX, 6));
	ASSERT_EQ(0, route_sint(vm, 6, 4));
	do_ioctl(vm->fd, KVM_IRQFD, &irqfd);
	vcpu_run_sync(vcpu, 1);
	EXPECT_GT(0, raise_gsi(vm));
	vcpu_run_sync(vcpu, 2);
	EXPECT_EQ(1, raise_gsi(vm));
	vcpu_run_sync(vcpu, 3);
	EXPECT_EQ(0, signalled(asked));
	vcpu_run_sync(vcpu, 4);
	EXPECT_EQ(1, signalled(asked));
	ASSERT_EQ(sizeof(one), write(fd, &one, sizeof(one)));
	vcpu_run_sync(vcpu, 5);
	EXPECT_EQ(1, signalled(asked));
	vcpu_run_sync(vcpu, 6);
	EXPECT_EQ(1, signalled(asked));
	vcpu_run_done(vcpu);
	/* Of another, there is none. */
	ASSERT_EQ(0, route_sint(vm, 0, 4));
	EXPECT_GT(0, raise_gsi(vm));
}

TEST(sint_out_of_range)
{
	struct vm *vm = vm_create(VM_IRQCHIP);

	SKIP_ON_STOCK("takes a route that can't be used");
	EXPECT_EQ(EINVAL, route_sint(vm, 0, 16));
}

static __guest void guest_auto_eoi(u64 x2apic)
{
	if (x2apic)
		x2apic_enable();
	else
		xapic_enable();
	guest_handlers[VECTOR] = (trap_handler)(x2apic ? on_other : on_vector_no_eoi);
	sti();
	wrmsr(MSR_SINT(4), VECTOR | SINT_AUTO_EOI);
	GUEST_SYNC(1);
	/* Delivered, and not in service; so the next one comes. */
	GUEST_ASSERT_EQ(0, x2apic ? x2apic_read(0x130) : xapic_read(0x130));
	GUEST_SYNC(2);
	GUEST_VALUE(x2apic ? others : hits[0]);
}

static void run_auto_eoi(struct __test_metadata *_metadata, u64 x2apic)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = synic_vcpu(vm, 0, guest_auto_eoi, x2apic);

	ASSERT_EQ(0, route_sint(vm, 0, 4));
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(1, raise_gsi(vm));
	vcpu_run_sync(vcpu, 2);
	EXPECT_EQ(1, raise_gsi(vm));
	EXPECT_EQ(2, vcpu_run_value(vcpu));
	vcpu_run_done(vcpu);
}

TEST(auto_eoi)
{
	run_auto_eoi(_metadata, 0);
}

/* Where hardware delivers interrupts, it knows nothing of this. */
static __guest void on_x2apic(struct trap_frame *f)
{
	others++;
}

static __guest void guest_auto_eoi_x2apic(void)
{
	x2apic_enable();
	guest_handlers[VECTOR] = on_x2apic;
	guest_handlers[OTHER_VECTOR] = on_x2apic;
	sti();
	wrmsr(MSR_SINT(4), VECTOR | SINT_AUTO_EOI);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(1, others);
	GUEST_ASSERT_EQ(0, x2apic_read(0x130));
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(2, others);
	/* Back to what hardware can do. */
	wrmsr(MSR_SINT(4), VECTOR);
	GUEST_SYNC(3);
	GUEST_ASSERT_EQ(3, others);
	GUEST_ASSERT_EQ(1 << (VECTOR & 31), x2apic_read(0x130));
	x2apic_write(0xb0, 0);
	GUEST_ASSERT_EQ(0, x2apic_read(0x130));
}

TEST(auto_eoi_x2apic)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = synic_vcpu(vm, 0, guest_auto_eoi_x2apic, 0);
	int i;

	ASSERT_EQ(0, route_sint(vm, 0, 4));
	for (i = 1; i <= 3; i++) {
		vcpu_run_sync(vcpu, i);
		EXPECT_EQ(1, raise_gsi(vm));
	}
	vcpu_run_done(vcpu);
}

/* ---- synthetic timers ---- */

struct message {
	volatile u32 type;
	volatile u8 size, flags, reserved[2];
	volatile u64 sender;
	volatile u32 timer, reserved2;
	volatile u64 expired, delivered;
	u8 rest[216];
};

#define MESSAGE(sint)	((struct message *)MESSAGES + (sint))
#define MS		10000ull		/* in reference time */

static __guest void timers_on(void)
{
	guest_handlers[VECTOR] = on_vector;
	guest_handlers[OTHER_VECTOR] = on_other;
	xapic_enable();
	wrmsr(MSR_SINT(2), VECTOR);
	wrmsr(MSR_SIMP, MESSAGES | 1);
	sti();
}

/* When it expired: read while the slot is not free, so that no other one can be there. */
static __guest u64 take_message(u64 n, u32 timer)
{
	struct message *m = MESSAGE(2);
	u64 expired;

	while (hits[0] < n)
		cpu_pause();
	GUEST_ASSERT_EQ(MESSAGE_TIMER, m->type);
	GUEST_ASSERT_EQ(24, m->size);
	GUEST_ASSERT_EQ(timer, m->timer);
	GUEST_ASSERT(m->delivered >= m->expired);
	GUEST_ASSERT(rdmsr(MSR_TIME_REF) >= m->delivered);
	expired = m->expired;
	m->type = 0;
	return expired;
}

static __guest void guest_timers(void)
{
	struct message *m = MESSAGE(2);
	u64 t, at, config;

	timers_on();
	/* Once, by a count that enables it */
	at = rdmsr(MSR_TIME_REF) + 50 * MS;
	wrmsr(MSR_CONFIG(1), TIMER_SINT(2) | TIMER_AUTO_ENABLE);
	wrmsr(MSR_COUNT(1), at);
	config = rdmsr(MSR_CONFIG(1));
	/* On a busy host the time may have come already. */
	if (rdmsr(MSR_TIME_REF) < at)
		GUEST_ASSERT_EQ(TIMER_SINT(2) | TIMER_AUTO_ENABLE | TIMER_ENABLE, config);
	GUEST_ASSERT_EQ(at, rdmsr(MSR_COUNT(1)));
	cli();
	while (!hits[0])
		sti_hlt(), cli();
	sti();
	GUEST_ASSERT(rdmsr(MSR_TIME_REF) >= at);
	GUEST_ASSERT_EQ(at, m->expired);
	take_message(1, 1);
	GUEST_ASSERT_EQ(TIMER_SINT(2) | TIMER_AUTO_ENABLE, rdmsr(MSR_CONFIG(1)));
	/* In the past: at once, and to a slot that is not free: when it is. */
	wrmsr(MSR_COUNT(1), 1);
	while (hits[0] < 2)
		cpu_pause();
	wrmsr(MSR_COUNT(1), 2);
	while (!(m->flags & 1))
		cpu_pause();
	GUEST_ASSERT_EQ(1, m->expired);
	GUEST_ASSERT_EQ(2, hits[0]);
	m->type = 0;
	wrmsr(MSR_EOM, 0);
	GUEST_ASSERT_EQ(2, take_message(3, 1));
	/* Again and again; each beat a period after the last. */
	wrmsr(MSR_COUNT(3), 2 * MS);
	wrmsr(MSR_CONFIG(3), TIMER_SINT(2) | TIMER_PERIODIC | TIMER_ENABLE);
	t = take_message(4, 3);
	at = take_message(5, 3);
	GUEST_ASSERT(at > t);
	GUEST_ASSERT_EQ(0, (at - t) % (2 * MS));
	take_message(6, 3);
	wrmsr(MSR_COUNT(3), 0);
	GUEST_ASSERT_EQ(TIMER_SINT(2) | TIMER_PERIODIC, rdmsr(MSR_CONFIG(3)));
	cli();
	t = hits[0];
	m->type = 0;
	/* Straight to the LAPIC */
	others = 0;
	wrmsr(MSR_COUNT(0), rdmsr(MSR_TIME_REF) + 2 * MS);
	wrmsr(MSR_CONFIG(0), TIMER_DIRECT | TIMER_VECTOR(OTHER_VECTOR) | TIMER_ENABLE);
	while (!others)
		sti_hlt(), cli();
	GUEST_ASSERT_EQ(1, others);
	GUEST_ASSERT_EQ(TIMER_DIRECT | TIMER_VECTOR(OTHER_VECTOR), rdmsr(MSR_CONFIG(0)));
	GUEST_ASSERT_EQ(t, hits[0]);
}

static void run_timers(struct vcpu *vcpu)
{
	vcpu_run_exit(vcpu, KVM_EXIT_HYPERV);	/* SIMP */
}

TEST(timers)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = synic_vcpu(vm, 0, guest_timers, 0);

	run_timers(vcpu);
	vcpu_run_done(vcpu);
}

static __guest void guest_timer_sint0(void)
{
	timers_on();
	wrmsr(MSR_COUNT(0), 1);
	wrmsr(MSR_CONFIG(0), TIMER_ENABLE | TIMER_AUTO_ENABLE);
	GUEST_ASSERT_EQ(TIMER_AUTO_ENABLE, rdmsr(MSR_CONFIG(0)));
	wrmsr(MSR_COUNT(0), 1);
	GUEST_ASSERT_EQ(TIMER_AUTO_ENABLE, rdmsr(MSR_CONFIG(0)));
}

TEST(timer_to_sint_0)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = synic_vcpu(vm, 0, guest_timer_sint0, 0);

	SKIP_ON_STOCK("enables a timer whose messages go to SINT 0");
	run_timers(vcpu);
	vcpu_run_done(vcpu);
}

static __guest void guest_no_direct(void)
{
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_CONFIG(0), TIMER_DIRECT));
	GUEST_ASSERT_EQ(NO_TRAP, try_wrmsr(MSR_CONFIG(0), 0));
}

TEST(timer_not_direct)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = synic_vcpu(vm, 0, guest_no_direct, 0);
	struct kvm_cpuid2 *c = hv_cpuid(vcpu);

	cpuid_find(c, LEAF_FEATURES, 0)->edx &= ~DIRECT_TIMERS;
	ASSERT_EQ(0, enable(vcpu, KVM_CAP_HYPERV_ENFORCE_CPUID, 1));
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	vcpu_run_done(vcpu);
}

/* ---- migration ---- */

static const u32 saved_msrs[] = {
	MSR_GUEST_OS_ID, MSR_HYPERCALL, MSR_VP_INDEX, MSR_REFERENCE_TSC, MSR_ASSIST_PAGE,
	MSR_SCONTROL, MSR_SVERSION, MSR_SIEFP, MSR_SIMP, MSR_SINT(0), MSR_SINT(2), MSR_SINT(5),
	MSR_COUNT(0), MSR_CONFIG(0), MSR_COUNT(2), MSR_CONFIG(2), MSR_CRASH(3), MSR_CRASH_CTL,
	MSR_REENLIGHTENMENT, MSR_EMULATION_CONTROL, MSR_EMULATION_STATUS, MSR_SYNDBG_STATUS,
	MSR_SYNDBG_OPTIONS,
};

#define SAVED	(sizeof(saved_msrs) / sizeof(saved_msrs[0]))

static __guest void guest_leaves(void)
{
	timers_on();
	introduce();
	wrmsr(MSR_HYPERCALL, CALL_PAGE | 1);
	wrmsr(MSR_REFERENCE_TSC, TSC_PAGE | 1);
	wrmsr(MSR_ASSIST_PAGE, ASSIST | 1);
	wrmsr(MSR_SINT(5), OTHER_VECTOR | SINT_AUTO_EOI);
	wrmsr(MSR_CRASH(3), 33);
	wrmsr(MSR_REENLIGHTENMENT, 0x100ff);
	wrmsr(MSR_SYNDBG_OPTIONS, 1);
	cli();
	/* One that has not come yet, and one that comes again and again */
	wrmsr(MSR_COUNT(0), rdmsr(MSR_TIME_REF) + 5 * MS);
	wrmsr(MSR_CONFIG(0), TIMER_DIRECT | TIMER_VECTOR(OTHER_VECTOR) | TIMER_ENABLE);
	wrmsr(MSR_COUNT(2), 1000 * MS);
	wrmsr(MSR_CONFIG(2), TIMER_SINT(2) | TIMER_PERIODIC | TIMER_ENABLE);
	GUEST_SYNC(1);
}

static __guest void guest_arrives(void)
{
	guest_handlers[VECTOR] = on_vector;
	guest_handlers[OTHER_VECTOR] = on_other;
	GUEST_ASSERT(TSC_PAGE_PTR->sequence != 0);
	same_time();
	while (!others)
		sti_hlt(), cli();
	sti();
	GUEST_ASSERT_EQ(TIMER_DIRECT | TIMER_VECTOR(OTHER_VECTOR), rdmsr(MSR_CONFIG(0)));
	take_message(1, 2);
	GUEST_ASSERT_EQ(0, call(CALL_SPIN_WAIT | FAST, 0, 0));
}

TEST(migration)
{
	struct vm *from = vm_create(VM_IRQCHIP), *to = vm_create(VM_IRQCHIP);
	struct vcpu *a = synic_vcpu(from, 0, guest_leaves, 0);
	struct vcpu *b = synic_vcpu(to, 0, guest_arrives, 0);
	struct kvm_clock_data clock = {};
	struct kvm_lapic_state lapic;
	u64 saved[SAVED];
	int i;

	run_timers(a);
	vcpu_run_sync(a, 1);
	if (!master_clock(from))
		SKIP(return, "the host's clock is not the TSC");
	for (i = 0; i < SAVED; i++)
		saved[i] = vcpu_get_msr(a, saved_msrs[i]);
	do_ioctl(a->fd, KVM_GET_LAPIC, &lapic);
	do_ioctl(b->fd, KVM_SET_LAPIC, &lapic);
	do_ioctl(from->fd, KVM_GET_CLOCK, &clock);
	clock.flags = 0;
	do_ioctl(to->fd, KVM_SET_CLOCK, &clock);
	memcpy(guest_ptr(to, GUEST_FREE), guest_ptr(from, GUEST_FREE), 0x6000);
	for (i = 0; i < SAVED; i++)
		EXPECT_EQ(1, vcpu_set_msr(b, saved_msrs[i], saved[i]));
	for (i = 0; i < SAVED; i++)
		EXPECT_EQ(saved[i], vcpu_get_msr(b, saved_msrs[i]));
	EXPECT_EQ(33, vcpu_get_msr(b, MSR_CRASH(3)));
	EXPECT_EQ(TIMER_SINT(2) | TIMER_PERIODIC | TIMER_ENABLE, vcpu_get_msr(b, MSR_CONFIG(2)));
	vcpu_run_done(b);
}

TEST_HARNESS_MAIN
