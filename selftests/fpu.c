// SPDX-License-Identifier: GPL-2.0
/*
 * Floating-point and vector state: the guest's survives every way out of the
 * guest and back, the host's survives the guest, and the state ioctls see and
 * change the guest's image alone, whatever is loaded at that moment.
 *
 * The program is built without vector code (see the Makefile), so that what is
 * in the registers is what a test put there. libc uses them, though: a test
 * reads them back with nothing but a KVM_RUN in between.
 */
#include <cpuid.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "lib/test.h"

#define XCR0_X87	1
#define XCR0_SSE	2
#define XCR0_AVX	4

typedef struct { u8 b[16][32]; } vectors;

/* ---- registers in and out; both sides use these ---- */

#define EACH_REG(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11) m(12) m(13) \
	m(14) m(15)

static inline __attribute__((always_inline)) void load_sse(const vectors *v)
{
#define LOAD(n) asm volatile("movups %0, %%xmm" #n : : "m"(v->b[n]));
	EACH_REG(LOAD)
#undef LOAD
}

static inline __attribute__((always_inline)) void store_sse(vectors *v)
{
#define STORE(n) asm volatile("movups %%xmm" #n ", %0" : "=m"(v->b[n]));
	EACH_REG(STORE)
#undef STORE
}

static inline __attribute__((always_inline)) void load_avx(const vectors *v)
{
#define LOAD(n) asm volatile("vmovups %0, %%ymm" #n : : "m"(v->b[n]));
	EACH_REG(LOAD)
#undef LOAD
}

static inline __attribute__((always_inline)) void store_avx(vectors *v)
{
#define STORE(n) asm volatile("vmovups %%ymm" #n ", %0" : "=m"(v->b[n]));
	EACH_REG(STORE)
#undef STORE
}

/* Stored by SSE, only the low half of each register is there. */
static void fill(vectors *v, u8 seed, int bytes)
{
	int i, j;

	for (i = 0; i < 16; i++)
		for (j = 0; j < 32; j++)
			v->b[i][j] = j < bytes ? seed + 16 * i + j : 0;
}

static bool same(const vectors *a, const vectors *b, int bytes)
{
	int i, j;

	for (i = 0; i < 16; i++)
		for (j = 0; j < bytes; j++)
			if (a->b[i][j] != b->b[i][j])
				return false;
	return true;
}

static bool host_has_avx(void)
{
	u32 eax, ebx, ecx, edx;

	__cpuid(1, eax, ebx, ecx, edx);
	return (ecx & (bit_AVX | bit_OSXSAVE)) == (bit_AVX | bit_OSXSAVE);
}

static bool guest_has_avx(void)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	bool ret = (cpuid_find(c, 1, 0)->ecx & bit_AVX) && cpuid_find(c, 0xd, 0) &&
		   (cpuid_find(c, 0xd, 0)->eax & XCR0_AVX);

	free(c);
	return ret;
}

/* One KVM_RUN and nothing else, between loading and storing the host's registers. */
static inline __attribute__((always_inline)) long raw_run(int fd)
{
	long ret;

	asm volatile("syscall" : "=a"(ret)
		     : "a"(__NR_ioctl), "D"(fd), "S"(KVM_RUN), "d"(0)
		     : "rcx", "r11", "memory");
	return ret;
}

/* ---- the guest keeps its registers, the host keeps its own ---- */

static vectors want, got;
static bool use_avx;

/*
 * XCR0 is set from outside, because QEMU's TCG does not intercept XSETBV: a
 * hypervisor there does not learn what the guest has set.
 */
static void set_xcr0(struct vcpu *vcpu, u64 value)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = value };
	struct kvm_sregs s = vcpu_sregs(vcpu);

	s.cr4 |= 1 << 18;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &s);
	do_ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs);
}

static void guest_load(void)
{
	if (use_avx)
		load_avx(&want);
	else
		load_sse(&want);
}

static void guest_check(int where)
{
	if (use_avx)
		store_avx(&got);
	else
		store_sse(&got);
	GUEST_CHECK(same(&want, &got, use_avx ? 32 : 16), "vector registers kept", where,
		    *(u64 *)&got);
}

static __guest void guest_keep(void)
{
	u32 mxcsr = 0x1fa0, seen;
	u16 cw = 0x27f, cw_seen;
	int i;

	asm volatile("fninit; fldcw %0; fld1; fldpi; ldmxcsr %1" : : "m"(cw), "m"(mxcsr));
	for (i = 0; i < 10; i++) {
		fill(&want, 7 * i + 1, use_avx ? 32 : 16);
		guest_load();
		cpuid(0, 0);			/* an exit that stays in the kernel */
		guest_check(1);
		inb(0x80);			/* to user space */
		guest_check(2);
		GUEST_SYNC(1);
		guest_check(3);
		asm volatile("stmxcsr %0; fnstcw %1" : "=m"(seen), "=m"(cw_seen));
		GUEST_ASSERT_EQ(mxcsr, seen);
		GUEST_ASSERT_EQ(cw, cw_seen);
	}
	/* The x87 stack as it was: pi, then 1. */
	u64 one[2] = { 0 }, pi[2] = { 0 };

	asm volatile("fstpt %0; fstpt %1" : "=m"(pi), "=m"(one));
	GUEST_ASSERT_EQ(0xc90fdaa22168c235, pi[0]);
	GUEST_ASSERT_EQ(0x8000000000000000, one[0]);
	GUEST_ASSERT_EQ(0x3fff, one[1]);
}

static void keep_both(struct __test_metadata *_metadata, bool host_avx, bool guest_avx)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_keep, 0);
	vectors mine, seen;
	u32 mxcsr = 0x1f80 | 1 << 15, mxcsr_seen;	/* flush to zero */
	int i;

	guest_var(vm, use_avx) = guest_avx;
	if (guest_avx)
		set_xcr0(vcpu, XCR0_X87 | XCR0_SSE | XCR0_AVX);
	for (i = 0; i < 20; i++) {
		fill(&mine, 200 - i, host_avx ? 32 : 16);
		asm volatile("ldmxcsr %0" : : "m"(mxcsr));
		if (host_avx) {
			load_avx(&mine);
			raw_run(vcpu->fd);
			store_avx(&seen);
		} else {
			load_sse(&mine);
			raw_run(vcpu->fd);
			store_sse(&seen);
		}
		asm volatile("stmxcsr %0" : "=m"(mxcsr_seen));
		ASSERT_TRUE(same(&mine, &seen, host_avx ? 32 : 16));
		ASSERT_EQ(mxcsr, mxcsr_seen);
		ASSERT_EQ(KVM_EXIT_IO, vcpu->run->exit_reason);
		if (vcpu->run->io.port == REPORT_PORT) {
			ASSERT_EQ(REPORT_SYNC, *(u32 *)((char *)vcpu->run + vcpu->run->io.data_offset));
		}
	}
	vcpu_run_done(vcpu);
	vm_free(vm);
}

TEST(sse)
{
	keep_both(_metadata, false, false);
}

TEST(avx)
{
	if (!host_has_avx() || !guest_has_avx())
		SKIP(return, "the CPU has no AVX");
	keep_both(_metadata, true, true);
}

/* The upper halves are live on one side only. */
TEST(avx_in_the_host_only)
{
	if (!host_has_avx())
		SKIP(return, "the CPU has no AVX");
	keep_both(_metadata, true, false);
}

TEST(avx_in_the_guest_only)
{
	if (!host_has_avx() || !guest_has_avx())
		SKIP(return, "the CPU has no AVX");
	keep_both(_metadata, false, true);
}

/* Two vCPUs by turns in one thread: neither sees the other's. */
static __guest void guest_turns(u64 seed)
{
	int i;

	fill(&want, seed, 16);
	load_sse(&want);
	for (i = 0; i < 10; i++) {
		GUEST_SYNC(i);
		guest_check(i);
	}
}

TEST(two_vcpus_by_turns)
{
	struct vm *a = vm_create(0), *b = vm_create(0);
	struct vcpu *va = vcpu_create(a, 0, guest_turns, 11), *vb = vcpu_create(b, 0, guest_turns, 99);
	int i;

	for (i = 0; i < 10; i++) {
		vcpu_run_sync(va, i);
		vcpu_run_sync(vb, i);
	}
	vcpu_run_done(va);
	vcpu_run_done(vb);
}

/* ---- the ioctls: image and registers are one state ---- */

#define MXCSR 6		/* in struct kvm_xsave's words; KVM_GET_FPU has never filled it in */

static u8 *xmm_of(struct kvm_xsave *x, int n)
{
	return (u8 *)x->region + 160 + 16 * n;
}

static __guest void guest_ioctl(void)
{
	u16 cw = 0x37e;
	int i;

	/* The x87, too, is in use: see set_fpu_out_of_nothing. */
	asm volatile("fldcw %0" : : "m"(cw));
	fill(&want, 1, 16);
	load_sse(&want);
	GUEST_SYNC(1);		/* GET_FPU, GET_XSAVE look */
	guest_check(1);
	GUEST_SYNC(2);		/* SET_FPU writes another seed */
	fill(&want, 33, 16);
	guest_check(2);
	GUEST_SYNC(3);		/* SET_XSAVE writes a third */
	fill(&want, 77, 16);
	guest_check(3);
	for (i = 0; i < 20; i++) {
		GUEST_SYNC(4);	/* all of them, at every stop */
		guest_check(4);
	}
}

TEST(get_and_set)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_ioctl, 0);
	struct kvm_xsave *x = map_memory(16384);
	bool has_xsave = check_extension(KVM_CAP_XSAVE) > 0;
	struct kvm_fpu fpu;
	vectors v;
	int i;

	vcpu_run_sync(vcpu, 1);
	fill(&v, 1, 16);
	do_ioctl(vcpu->fd, KVM_GET_FPU, &fpu);
	for (i = 0; i < 16; i++) {
		EXPECT_EQ(0, memcmp(v.b[i], fpu.xmm[i], 16));
	}
	if (has_xsave) {
		do_ioctl(vcpu->fd, KVM_GET_XSAVE, x);
		EXPECT_EQ(0x1f80, x->region[MXCSR]);
		for (i = 0; i < 16; i++) {
			EXPECT_EQ(0, memcmp(v.b[i], xmm_of(x, i), 16));
		}
		EXPECT_EQ(XCR0_SSE, *(u64 *)&x->region[128] & XCR0_SSE);
	}
	vcpu_run_sync(vcpu, 2);
	fill(&v, 33, 16);
	for (i = 0; i < 16; i++)
		memcpy(fpu.xmm[i], v.b[i], 16);
	fpu.fcw = 0x27f;
	fpu.mxcsr = 0;		/* of which KVM_SET_FPU takes no notice */
	do_ioctl(vcpu->fd, KVM_SET_FPU, &fpu);
	if (has_xsave) {
		do_ioctl(vcpu->fd, KVM_GET_XSAVE, x);
		EXPECT_EQ(0x27f, x->region[0] & 0xffff);
		EXPECT_EQ(0x1f80, x->region[MXCSR]);
	}
	vcpu_run_sync(vcpu, 3);
	fill(&v, 77, 16);
	if (has_xsave) {
		do_ioctl(vcpu->fd, KVM_GET_XSAVE, x);
		for (i = 0; i < 16; i++)
			memcpy(xmm_of(x, i), v.b[i], 16);
		do_ioctl(vcpu->fd, KVM_SET_XSAVE, x);
	} else {
		for (i = 0; i < 16; i++)
			memcpy(fpu.xmm[i], v.b[i], 16);
		do_ioctl(vcpu->fd, KVM_SET_FPU, &fpu);
	}
	for (i = 0; i < 20; i++) {
		vcpu_run_sync(vcpu, 4);
		do_ioctl(vcpu->fd, KVM_GET_FPU, &fpu);
		do_ioctl(vcpu->fd, KVM_SET_FPU, &fpu);
		if (has_xsave) {
			do_ioctl(vcpu->fd, KVM_GET_XSAVE, x);
			do_ioctl(vcpu->fd, KVM_SET_XSAVE, x);
		}
	}
	vcpu_run_done(vcpu);
}

/*
 * A component that XSTATE_BV does not have is in its initial state, whatever
 * the guest's registers or the image hold; the others are as the image says.
 */
static __guest void guest_initial(void)
{
	u16 cw = 0x27f, cw_seen;

	fill(&want, 5, 16);
	asm volatile("fninit; fldcw %0" : : "m"(cw));
	load_sse(&want);
	GUEST_SYNC(1);		/* without SSE */
	fill(&want, 0, 0);
	guest_check(1);
	asm volatile("fnstcw %0" : "=m"(cw_seen));
	GUEST_ASSERT_EQ(cw, cw_seen);
	fill(&want, 9, 16);
	load_sse(&want);
	GUEST_SYNC(2);		/* without x87 */
	guest_check(2);
	asm volatile("fnstcw %0" : "=m"(cw_seen));
	GUEST_ASSERT_EQ(0x37f, cw_seen);
}

static void drop_component(struct vcpu *vcpu, u64 component)
{
	struct kvm_xsave *x = map_memory(16384);

	do_ioctl(vcpu->fd, KVM_GET_XSAVE, x);
	*(u64 *)&x->region[128] &= ~component;
	do_ioctl(vcpu->fd, KVM_SET_XSAVE, x);
}

TEST(set_xsave_without_a_component)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_initial, 0);

	if (check_extension(KVM_CAP_XSAVE) <= 0)
		SKIP(return, "the CPU has no XSAVE");
	EXPECT_LE(sizeof(struct kvm_xsave), check_extension(KVM_CAP_XSAVE2));
	vcpu_run_sync(vcpu, 1);
	drop_component(vcpu, XCR0_SSE);
	vcpu_run_sync(vcpu, 2);
	drop_component(vcpu, XCR0_X87);
	vcpu_run_done(vcpu);
}

/* SET_FPU where no component is in use: now they are. */
static __guest void guest_set_out_of_nothing(void)
{
	u16 cw_seen;

	asm volatile("fnstcw %0" : "=m"(cw_seen));
	fill(&want, 21, 16);
	guest_check(1);
	GUEST_ASSERT_EQ(0x27f, cw_seen);
}

TEST(set_fpu_out_of_nothing)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_set_out_of_nothing, 0);
	struct kvm_fpu fpu = { .fcw = 0x27f };
	vectors v;
	int i;

	SKIP_ON_STOCK("loses what KVM_SET_FPU sets if the component was not in use");
	if (check_extension(KVM_CAP_XSAVE) > 0)
		drop_component(vcpu, ~0ull);
	fill(&v, 21, 16);
	for (i = 0; i < 16; i++)
		memcpy(fpu.xmm[i], v.b[i], 16);
	do_ioctl(vcpu->fd, KVM_SET_FPU, &fpu);
	vcpu_run_done(vcpu);
}

/* SET_FPU knows nothing of AVX: the upper halves must not change by it. */
static __guest void guest_upper(void)
{
	fill(&want, 5, 32);
	load_avx(&want);
	GUEST_SYNC(1);
	use_avx = true;
	guest_check(1);
}

TEST(set_fpu_keeps_avx)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_upper, 0);
	struct kvm_fpu fpu;

	if (!guest_has_avx())
		SKIP(return, "the CPU has no AVX");
	set_xcr0(vcpu, XCR0_X87 | XCR0_SSE | XCR0_AVX);
	vcpu_run_sync(vcpu, 1);
	do_ioctl(vcpu->fd, KVM_GET_FPU, &fpu);
	do_ioctl(vcpu->fd, KVM_SET_FPU, &fpu);
	vcpu_run_done(vcpu);
}

/* State ioctls from another thread, while this one has its own registers live. */
static void *get_set_in_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	struct kvm_fpu fpu;
	vectors mine, seen;

	fill(&mine, 123, 16);
	load_sse(&mine);
	asm volatile("syscall" : : "a"(__NR_ioctl), "D"(vcpu->fd), "S"(KVM_GET_FPU), "d"(&fpu)
		     : "rcx", "r11", "memory");
	asm volatile("syscall" : : "a"(__NR_ioctl), "D"(vcpu->fd), "S"(KVM_SET_FPU), "d"(&fpu)
		     : "rcx", "r11", "memory");
	store_sse(&seen);
	return (void *)(long)same(&mine, &seen, 16);
}

TEST(get_and_set_by_another_thread)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_turns, 42);
	pthread_t thread;
	void *ok;
	int i;

	for (i = 0; i < 10; i++) {
		vcpu_run_sync(vcpu, i);
		pthread_create(&thread, NULL, get_set_in_thread, vcpu);
		pthread_join(thread, &ok);
		EXPECT_NE(NULL, ok);
	}
	vcpu_run_done(vcpu);
}

/* ---- XCR0 and CR4.OSXSAVE ---- */

static __guest void guest_xcr0(void)
{
	u32 lo, hi;

	GUEST_ASSERT_EQ(TRAP(6, 0), TRY("xgetbv", AND "=a"(lo) AND "=d"(hi), "c"(0)));
	write_cr4(read_cr4() | 1 << 18);
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	GUEST_ASSERT_EQ(XCR0_X87, lo);
	asm volatile("xsetbv" : : "c"(0), "a"(3), "d"(0));
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	GUEST_ASSERT_EQ(3, lo);
	GUEST_SYNC(1);		/* user space sets 3, then 1 */
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	GUEST_ASSERT_EQ(3, lo);
	cpuid(0, 0);
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	GUEST_ASSERT_EQ(3, lo);
	GUEST_SYNC(2);
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	GUEST_ASSERT_EQ(1, lo);
	/* x87 may not be off, and reserved bits not on. */
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("xsetbv", , "c"(0), "a"(2), "d"(0)));
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("xsetbv", , "c"(0), "a"(1), "d"(1 << 30)));
	GUEST_ASSERT_EQ(TRAP(13, 0), TRY("xsetbv", , "c"(1), "a"(1), "d"(0)));
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	GUEST_ASSERT_EQ(1, lo);
}

static u64 host_xcr0(void)
{
	u32 lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return lo | (u64)hi << 32;
}

TEST(xcr0)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_xcr0, 0);
	struct kvm_xcrs xcrs;
	u64 host;

	if (ioctl(vcpu->fd, KVM_GET_XCRS, &xcrs))
		SKIP(return, "the CPU has no XSAVE");
	host = host_xcr0();
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(host, host_xcr0());
	set_xcr0(vcpu, 3);
	vcpu_run_sync(vcpu, 2);
	EXPECT_EQ(host, host_xcr0());
	do_ioctl(vcpu->fd, KVM_GET_XCRS, &xcrs);
	ASSERT_EQ(1, xcrs.nr_xcrs);
	EXPECT_EQ(3, xcrs.xcrs[0].value);
	set_xcr0(vcpu, 1);
	vcpu_run_done(vcpu);
	EXPECT_EQ(host, host_xcr0());
}

/* ---- in the middle of things ---- */

/* A timer's signal handler that uses the registers itself, again and again. */
static volatile int alarms;

static void clobber(int sig)
{
	vectors v;

	fill(&v, 0xee, 16);
	load_sse(&v);
	alarms++;
}

static __guest void guest_long(void)
{
	u64 i, j;

	fill(&want, 3, 16);
	load_sse(&want);
	for (i = 0; i < 4000; i++) {
		for (j = 0; j < 5000; j++)
			asm volatile("");
		guest_check(i);
	}
}

TEST(signals)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct itimerval it = { { 0, 3000 }, { 0, 3000 } };
	struct sigaction sa = { .sa_handler = clobber };
	int err, tries = 20;

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	/* A busy machine may have no tick for its emulated host in all that time. */
	do {
		vcpu_start64(vcpu, guest_long, 0);
		while ((err = vcpu_run_once(vcpu)) == EINTR)
			;
		ASSERT_EQ(0, err);
		ASSERT_EQ(KVM_EXIT_IO, vcpu->run->exit_reason);
		ASSERT_EQ(REPORT_DONE,
			  *(u32 *)((char *)vcpu->run + vcpu->run->io.data_offset));
	} while (!alarms && --tries);
	memset(&it, 0, sizeof(it));
	setitimer(ITIMER_REAL, &it, NULL);
	EXPECT_GT(alarms, 0);
}

/* A task that does nothing but vector work, on the same CPUs. */
static volatile bool stop;

static void *heavy(void *arg)
{
	vectors mine, seen;
	long bad = 0;

	fill(&mine, (long)arg, 16);
	while (!stop) {
		load_sse(&mine);
		for (volatile int i = 0; i < 2000; i++)
			;
		store_sse(&seen);
		bad += !same(&mine, &seen, 16);
	}
	return (void *)bad;
}

TEST(preempted_by_vector_code)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_long, 0);
	pthread_t threads[2];
	void *bad;
	long i;

	for (i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, heavy, (void *)(0x40 + i));
	vcpu_run_done(vcpu);
	stop = true;
	for (i = 0; i < 2; i++) {
		pthread_join(threads[i], &bad);
		EXPECT_EQ(NULL, bad);
	}
}

/*
 * INIT while another vCPU has live state: the host's registers of the thread
 * that is in KVM_RUN at that time must not be reset with the guest's; and the
 * guest's are not reset either (SDM vol. 3, table 10-1; vol. 1, 11.6.4).
 */
static volatile u64 victim_ready;

static __guest void guest_init_victim(void)
{
	u32 mxcsr = 0x1fa0;
	u16 cw = 0x27f;

	asm volatile("fninit; fldcw %0; ldmxcsr %1" : : "m"(cw), "m"(mxcsr));
	fill(&want, 9, 16);
	load_sse(&want);
	victim_ready = 1;
	for (;;)
		cpu_pause();
}

static __guest void guest_init_sender(void)
{
	xapic_enable();
	while (!victim_ready)
		cpu_pause();
	xapic_write(0x310, 1 << 24);
	xapic_write(0x300, 0x4500);
	GUEST_SYNC(1);
	xapic_write(0x300, 0x4600 | GUEST_LOW >> 12);
}

static void *run_victim(void *arg)
{
	struct vcpu *vcpu = arg;
	vectors mine, seen;
	long ret;

	fill(&mine, 0x33, 16);
	do {
		load_sse(&mine);
		ret = raw_run(vcpu->fd);
		store_sse(&seen);
		if (!same(&mine, &seen, 16))
			return (void *)1;
	} while (ret == -EAGAIN);
	return (void *)(ret ? 2l : 0l);
}

TEST(init_while_live)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *sender = vcpu_create(vm, 0, guest_init_sender, 0);
	struct vcpu *victim = vcpu_create(vm, 1, guest_init_victim, 0);
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct kvm_xsave *x = map_memory(16384);
	struct kvm_xcrs xcrs;
	struct kvm_fpu fpu;
	pthread_t thread;
	vectors v;
	void *ret;
	int i;

	if (check_extension(KVM_CAP_XSAVE) > 0)
		set_xcr0(victim, XCR0_X87 | XCR0_SSE);
	/* What the SIPI starts: "out %al, $0x80", in real mode. */
	memcpy(guest_ptr(vm, GUEST_LOW), "\xe6\x80", 2);
	do_ioctl(victim->fd, KVM_SET_MP_STATE, &mp);
	pthread_create(&thread, NULL, run_victim, victim);
	vcpu_run_sync(sender, 1);
	usleep(20000);
	vcpu_run_done(sender);
	pthread_join(thread, &ret);
	EXPECT_EQ(NULL, ret);
	ASSERT_EQ(KVM_EXIT_IO, victim->run->exit_reason);
	EXPECT_EQ(0, vcpu_sregs(victim).cr0 & 1);
	do_ioctl(victim->fd, KVM_GET_FPU, &fpu);
	EXPECT_EQ(0x27f, fpu.fcw);
	fill(&v, 9, 16);
	for (i = 0; i < 16; i++) {
		EXPECT_EQ(0, memcmp(v.b[i], fpu.xmm[i], 16));
	}
	if (check_extension(KVM_CAP_XSAVE) <= 0)
		return;
	do_ioctl(victim->fd, KVM_GET_XSAVE, x);
	EXPECT_EQ(0x1fa0, x->region[MXCSR]);
	do_ioctl(victim->fd, KVM_GET_XCRS, &xcrs);
	EXPECT_EQ(3, xcrs.xcrs[0].value);
}

/* As at reset: control words, empty stack, zeros. */
TEST(at_reset)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_xsave *x = map_memory(16384);
	struct kvm_fpu fpu;
	static const u8 zero[16];
	int i;

	do_ioctl(vcpu->fd, KVM_GET_FPU, &fpu);
	EXPECT_EQ(0x37f, fpu.fcw);
	EXPECT_EQ(0, fpu.fsw);
	EXPECT_EQ(0, fpu.ftwx);
	for (i = 0; i < 16; i++) {
		EXPECT_EQ(0, memcmp(fpu.xmm[i], zero, 16));
	}
	if (check_extension(KVM_CAP_XSAVE) <= 0)
		return;
	do_ioctl(vcpu->fd, KVM_GET_XSAVE, x);
	EXPECT_EQ(0x1f80, x->region[MXCSR]);
}

TEST_HARNESS_MAIN
