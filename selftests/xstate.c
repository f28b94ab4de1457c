// SPDX-License-Identifier: GPL-2.0
/*
 * The components of XSAVE one by one: what the state ioctls take and refuse of
 * them, their size, and those that are not registers of every program: PKRU,
 * AVX-512, components that XCR0 or IA32_XSS turns off and on. The registers
 * that all have are fpu.c's.
 *
 * Of the test hosts amd has PKU, and none AMX, which is not offered either.
 */
#include <cpuid.h>
#include <sys/syscall.h>

#include "lib/test.h"

#define XCR0_X87	1ull
#define XCR0_SSE	2ull
#define XCR0_AVX	4ull
#define XCR0_AVX512	0xe0ull
#define XCR0_PKRU	(1ull << 9)
#define CR4_OSXSAVE	(1ull << 18)
#define CR4_PKE		(1ull << 22)

/* In the standard format (SDM vol. 1, 13.4). */
#define AT_MXCSR	24
#define AT_XMM		160
#define AT_XSTATE_BV	512
#define AT_XCOMP_BV	520
#define AT_RESERVED	528
#define AT_RESERVED_END	576

#define IMAGE_MAX	16384

static u8 *image_new(void)
{
	return map_memory(IMAGE_MAX);
}

static u64 get64(const void *image, int at)
{
	return *(const u64 *)((const char *)image + at);
}

static void or64(void *image, int at, u64 bits)
{
	*(u64 *)((char *)image + at) |= bits;
}

/* KVM_GET_SUPPORTED_CPUID's leaf 0xd, subleaf 0 or 1; zeros if there is none. */
static struct kvm_cpuid_entry2 supported_xsave(u32 index)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0xd, index), ret = { 0 };

	if (e)
		ret = *e;
	free(c);
	return ret;
}

static u64 supported_xcr0(void)
{
	struct kvm_cpuid_entry2 e = supported_xsave(0);

	return e.eax | (u64)e.edx << 32;
}

static void set_xcr0(struct vcpu *vcpu, u64 value)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = value };
	struct kvm_sregs s = vcpu_sregs(vcpu);

	s.cr4 |= CR4_OSXSAVE;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &s);
	do_ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs);
}

static u64 get_xcr0(struct vcpu *vcpu)
{
	struct kvm_xcrs xcrs;

	do_ioctl(vcpu->fd, KVM_GET_XCRS, &xcrs);
	return xcrs.xcrs[0].value;
}

static inline void xsetbv(u64 v)
{
	asm volatile("xsetbv" : : "c"(0), "a"((u32)v), "d"((u32)(v >> 32)));
}

/* ---- the ioctls ---- */

TEST(size)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	int size = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	int needed = supported_xsave(0).ecx;
	u8 *image = image_new(), *edge;

	if (!supported_xcr0())
		SKIP(return, "the CPU has no XSAVE");
	EXPECT_EQ(check_extension(KVM_CAP_XSAVE2), size);
	EXPECT_EQ(needed > (int)sizeof(struct kvm_xsave) ? needed : (int)sizeof(struct kvm_xsave), size);

	/* All of it is written, and nothing behind it. */
	memset(image, 0xa5, IMAGE_MAX);
	do_ioctl(vcpu->fd, KVM_GET_XSAVE2, image);
	EXPECT_EQ(0, image[size - 1]);
	EXPECT_EQ(0xa5, image[size]);

	/* And so it is read. */
	ASSERT_EQ(0, mprotect(image + 2 * PAGE_SIZE, PAGE_SIZE, PROT_NONE));
	edge = image + 2 * PAGE_SIZE - size;
	memset(edge, 0, size);
	do_ioctl(vcpu->fd, KVM_GET_XSAVE2, edge);
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_XSAVE, edge));
	EXPECT_EQ(EFAULT, ioctl_errno(vcpu->fd, KVM_SET_XSAVE, edge + 1));
	EXPECT_EQ(EFAULT, ioctl_errno(vcpu->fd, KVM_GET_XSAVE2, edge + 1));
}

static const struct bad_image {
	const char *what;
	int at;
	u64 bits;
} bad_images[] = {
	{ "XSTATE_BV bit 63",		AT_XSTATE_BV,		1ull << 63 },
	{ "XSTATE_BV bit 62",		AT_XSTATE_BV,		1ull << 62 },
	{ "XSTATE_BV, PT",		AT_XSTATE_BV,		1ull << 8 },
	{ "XSTATE_BV, CET",		AT_XSTATE_BV,		3ull << 11 },
	{ "compacted",			AT_XCOMP_BV,		1ull << 63 },
	{ "XCOMP_BV",			AT_XCOMP_BV,		1 },
	{ "the header's first",		AT_RESERVED,		1 },
	{ "the header's last",		AT_RESERVED_END - 8,	1ull << 63 },
	{ "MXCSR bit 16",		AT_MXCSR,		1ull << 16 },
	{ "MXCSR bit 31",		AT_MXCSR,		1ull << 31 },
};

TEST(refused)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	u8 *good = image_new(), *bad = image_new(), *seen = image_new();
	int i;

	if (!supported_xcr0())
		SKIP(return, "the CPU has no XSAVE");
	do_ioctl(vcpu->fd, KVM_GET_XSAVE2, good);
	memset(good + AT_XMM, 0x5a, 256);
	or64(good, AT_XSTATE_BV, XCR0_X87 | XCR0_SSE);
	do_ioctl(vcpu->fd, KVM_SET_XSAVE, good);
	do_ioctl(vcpu->fd, KVM_GET_XSAVE2, good);
	for (i = 0; i < (int)(sizeof(bad_images) / sizeof(bad_images[0])); i++) {
		memcpy(bad, good, IMAGE_MAX);
		memset(bad + AT_XMM, 0x77, 256);
		or64(bad, bad_images[i].at, bad_images[i].bits);
		EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XSAVE, bad)) {
			TH_LOG("%s", bad_images[i].what);
		}
		do_ioctl(vcpu->fd, KVM_GET_XSAVE2, seen);
		EXPECT_EQ(0, memcmp(good, seen, IMAGE_MAX)) {
			TH_LOG("%s: half set", bad_images[i].what);
		}
	}
}

/* The host's components that this one does not have by its CPUID. */
static void without_avx(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *c = supported_cpuid();

	cpuid_find(c, 1, 0)->ecx &= ~bit_AVX;
	cpuid_find(c, 0xd, 0)->eax = XCR0_X87 | XCR0_SSE;
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	free(c);
}

static __guest void guest_nothing(void)
{
}

/*
 * As with KVM, what counts for KVM_SET_XSAVE is the host: an image may be set
 * before CPUID. What the guest can reach of it counts for XCR0.
 */
TEST(not_in_the_guests_cpuid)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_nothing, 0);
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	u8 *image = image_new();

	if (!(supported_xcr0() & XCR0_AVX))
		SKIP(return, "the CPU has no AVX");
	without_avx(vcpu);
	do_ioctl(vcpu->fd, KVM_GET_XSAVE2, image);
	or64(image, AT_XSTATE_BV, XCR0_X87 | XCR0_SSE | XCR0_AVX);
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_XSAVE, image));
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XCRS, &xcrs));
	EXPECT_EQ(XCR0_X87, get_xcr0(vcpu));
	vcpu_run_done(vcpu);
}

TEST(set_xcrs_input)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_xcrs ok = { .nr_xcrs = 1, .xcrs[0].value = 3 }, x;

	if (!supported_xcr0())
		SKIP(return, "the CPU has no XSAVE");
	do_ioctl(vcpu->fd, KVM_SET_XCRS, &ok);
	x = ok, x.flags = 1;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XCRS, &x));
	x = ok, x.nr_xcrs = KVM_MAX_XCRS + 1;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XCRS, &x));
	x = ok, x.xcrs[0].value = 2;			/* without x87 */
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XCRS, &x));
	x = ok, x.xcrs[0].value = 5;			/* AVX without SSE */
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XCRS, &x));
	x = ok, x.xcrs[0].value = 1ull << 63 | 1;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_XCRS, &x));
	x = ok, x.xcrs[0].xcr = 1, x.xcrs[0].value = 1;	/* no such register: passed over */
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_XCRS, &x));
	EXPECT_EQ(3, get_xcr0(vcpu));
}

/* ---- XCR0: a component that is off is kept, not lost (SDM vol. 1, 13.3) ---- */

static u8 ymm[32], ymm_seen[32];
static volatile u64 all;

static __guest void ymm_fill(u8 seed)
{
	int i;

	for (i = 0; i < 32; i++)
		ymm[i] = seed + i;
}

static __guest void guest_off_and_on(void)
{
	int i;

	ymm_fill(3);
	asm volatile("vmovups %0, %%ymm7" : : "m"(ymm));
	xsetbv(XCR0_X87 | XCR0_SSE);
	cpuid(0, 0);
	GUEST_SYNC(1);
	xsetbv(XCR0_X87 | XCR0_SSE | XCR0_AVX);
	asm volatile("vmovups %%ymm7, %0" : "=m"(ymm_seen));
	for (i = 0; i < 32; i++)
		GUEST_ASSERT_EQ(ymm[i], ymm_seen[i]);
}

TEST(xcr0_off_and_on)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_off_and_on, 0);

	if (!(supported_xcr0() & XCR0_AVX))
		SKIP(return, "the CPU has no AVX");
	set_xcr0(vcpu, XCR0_X87 | XCR0_SSE | XCR0_AVX);
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(XCR0_X87 | XCR0_SSE, get_xcr0(vcpu));
	vcpu_run_done(vcpu);
}

/* ---- IA32_XSS and the compacted format ---- */

#define MSR_XSS		0xda0
#define COMPACTED	(1ull << 63)

static u8 area[4096] __attribute__((aligned(64)));

static __guest void guest_xss(void)
{
	u64 v, i;

	GUEST_ASSERT_EQ(NO_TRAP, try_rdmsr(MSR_XSS, &v));
	GUEST_ASSERT_EQ(0, v);
	GUEST_ASSERT_EQ(NO_TRAP, try_wrmsr(MSR_XSS, 0));
	for (i = 0; i < 64; i++)
		GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_XSS, 1ull << i));
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(all);
	ymm_fill(50);
	asm volatile("movups %0, %%xmm3" : : "m"(ymm));
	asm volatile("xsaves64 %0" : "+m"(area) : "a"(~0u), "d"(~0u));
	/* What was asked for, and is on in XCR0: no supervisor component of the host's. */
	GUEST_ASSERT_EQ(COMPACTED | all, *(u64 *)(area + AT_XCOMP_BV));
	GUEST_ASSERT_EQ(0, *(u64 *)(area + AT_XSTATE_BV) & ~all);
	GUEST_SYNC(1);
	asm volatile("xorps %%xmm3, %%xmm3; xrstors64 %0; movups %%xmm3, %1"
		     : : "m"(area), "m"(ymm_seen), "a"(~0u), "d"(~0u) : "memory");
	for (i = 0; i < 16; i++)
		GUEST_ASSERT_EQ(ymm[i], ymm_seen[i]);
}

TEST(xss)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_xss, 0);
	struct kvm_cpuid_entry2 e = supported_xsave(1);

	if (!(e.eax & 8))
		SKIP(return, "the CPU has no XSAVES");
	EXPECT_EQ(0, e.ecx | e.edx);
	EXPECT_EQ(0, vcpu_set_msr(vcpu, MSR_XSS, 1 << 8));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_XSS, 0));
	guest_var(vm, all) = supported_xcr0();
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(0, vcpu_get_msr(vcpu, MSR_XSS));
	vcpu_run_done(vcpu);
}

/* ---- AMX is not offered: no XFD ---- */

#define MSR_XFD		0x1c4
#define MSR_XFD_ERR	0x1c5

static __guest void guest_no_xfd(void)
{
	u64 v;

	GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(MSR_XFD, &v));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(MSR_XFD_ERR, &v));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_XFD, 1 << 18));
}

TEST(no_xfd)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_no_xfd, 0);

	if (supported_xsave(1).eax & 16)
		SKIP(return, "KVM offers XFD here");
	EXPECT_EQ(0, supported_xcr0() & 3ull << 17);
	vcpu_run_done(vcpu);
}

/* ---- AVX-512: the guest's and the host's ---- */

static u8 zmm[64], zmm_seen[64];

static inline __attribute__((always_inline)) void avx512_load(u8 seed)
{
	int i;

	for (i = 0; i < 64; i++)
		zmm[i] = seed + i;
	asm volatile("vmovdqu64 %0, %%zmm3; vmovdqu64 %0, %%zmm30; kmovw %1, %%k5"
		     : : "m"(zmm), "r"((u32)seed));
}

/* 0, or which one is not as avx512_load() left it. */
static inline __attribute__((always_inline)) int avx512_lost(u8 seed)
{
	u32 k;
	int i;

	asm volatile("kmovw %%k5, %0; vmovdqu64 %%zmm30, %1" : "=r"(k), "=m"(zmm_seen));
	for (i = 0; i < 64; i++)
		if (zmm_seen[i] != (u8)(seed + i))
			return 30;
	asm volatile("vmovdqu64 %%zmm3, %0" : "=m"(zmm_seen));
	for (i = 0; i < 64; i++)
		if (zmm_seen[i] != (u8)(seed + i))
			return 3;
	return k == seed ? 0 : 5;
}

static __guest void guest_avx512(void)
{
	int i;

	for (i = 0; i < 10; i++) {
		avx512_load(i);
		cpuid(0, 0);
		GUEST_ASSERT_EQ(0, avx512_lost(i));
		GUEST_SYNC(i);
		GUEST_ASSERT_EQ(0, avx512_lost(i));
	}
}

TEST(avx512)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_avx512, 0);
	long ret;
	int i;

	if ((supported_xcr0() & XCR0_AVX512) != XCR0_AVX512)
		SKIP(return, "the CPU has no AVX-512");
	set_xcr0(vcpu, supported_xcr0());
	for (i = 0; i < 10; i++) {
		avx512_load(100 + i);
		asm volatile("syscall" : "=a"(ret)
			     : "a"(__NR_ioctl), "D"(vcpu->fd), "S"(KVM_RUN), "d"(0)
			     : "rcx", "r11", "memory");
		ASSERT_EQ(0, avx512_lost(100 + i));
		ASSERT_EQ(0, ret);
		ASSERT_EQ(REPORT_SYNC, vcpu_report(vcpu).kind);
	}
	vcpu_run_done(vcpu);
}

/* ---- PKRU ---- */

static inline u32 rdpkru(void)
{
	u32 v, edx;

	asm volatile("rdpkru" : "=a"(v), "=d"(edx) : "c"(0));
	return v;
}

static inline void wrpkru(u32 v)
{
	asm volatile("wrpkru" : : "a"(v), "c"(0), "d"(0) : "memory");
}

#define GUEST_PKRU	0x5555550c		/* keys 0 and 1 ... */
#define KEY(n)		((u64)(n) << 59)

/* By XSAVE and XRSTOR, which do not ask for CR4.PKE. */
static volatile u64 pkru_at;

static __guest u32 xsave_pkru(void)
{
	asm volatile("xsave64 %0" : "+m"(area) : "a"((u32)XCR0_PKRU), "d"(0));
	return *(u64 *)(area + AT_XSTATE_BV) & XCR0_PKRU ? *(u32 *)(area + pkru_at) : 0;
}

static __guest void xrstor_pkru(u32 v)
{
	*(u64 *)(area + AT_XSTATE_BV) = XCR0_PKRU;
	*(u32 *)(area + pkru_at) = v;
	asm volatile("xrstor64 %0" : : "m"(area), "a"((u32)XCR0_PKRU), "d"(0));
}

static __guest void guest_pkru(void)
{
	u64 v;

	write_cr4(read_cr4() | CR4_PKE);
	wrpkru(GUEST_PKRU);
	cpuid(0, 0);
	GUEST_ASSERT_EQ(GUEST_PKRU, rdpkru());
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(GUEST_PKRU, rdpkru());
	GUEST_ASSERT_EQ(GUEST_PKRU, xsave_pkru());
	/* The page is a user's, its key 1: no access at all, and then no write. */
	GUEST_ASSERT_EQ(TRAP(14, 0x21), TRY("mov (%2), %1", AND "=r"(v), "r"(GVA_TEST)));
	wrpkru(GUEST_PKRU & ~4);
	GUEST_ASSERT_EQ(NO_TRAP, TRY("mov (%2), %1", AND "=r"(v), "r"(GVA_TEST)));
	GUEST_ASSERT_EQ(TRAP(14, 0x23), TRY("mov %1, (%2)", , "r"(v), "r"(GVA_TEST)));
	GUEST_SYNC(2);			/* KVM_SET_XSAVE: 0x10 */
	GUEST_ASSERT_EQ(0x10, rdpkru());
	GUEST_SYNC(3);			/* KVM_SET_XSAVE without it: as it was */
	GUEST_ASSERT_EQ(0x10, rdpkru());

	/* Out of force, PKRU is a register all the same. */
	write_cr4(read_cr4() & ~CR4_PKE);
	GUEST_ASSERT_EQ(0x10, xsave_pkru());
	GUEST_SYNC(4);
	GUEST_ASSERT_EQ(0x10, xsave_pkru());
	xrstor_pkru(0x40);
	cpuid(0, 0);
	GUEST_ASSERT_EQ(0x40, xsave_pkru());
	GUEST_SYNC(5);
	GUEST_ASSERT_EQ(0x40, xsave_pkru());
	write_cr4(read_cr4() | CR4_PKE);
	GUEST_ASSERT_EQ(0x40, rdpkru());
}

static u32 image_pkru(struct vcpu *vcpu, u8 *image)
{
	do_ioctl(vcpu->fd, KVM_GET_XSAVE2, image);
	return get64(image, AT_XSTATE_BV) & XCR0_PKRU ? get64(image, guest_var(vcpu->vm, pkru_at)) : 0;
}

TEST(pkru)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_pkru, 0);
	const u32 mine = 0x55555554 & ~(1u << 8);
	u8 *image = image_new();
	u32 size, at, ecx, edx;

	if (!(supported_xcr0() & XCR0_PKRU))
		SKIP(return, "the CPU has no PKU");
	__cpuid_count(0xd, 9, size, at, ecx, edx);
	guest_var(vm, pkru_at) = at;
	vm_map_page(vm, GVA_TEST, GUEST_FREE, PTE_W | PTE_U | KEY(1));
	set_xcr0(vcpu, XCR0_X87 | XCR0_SSE | XCR0_PKRU);
	wrpkru(mine);
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(mine, rdpkru());
	EXPECT_EQ(GUEST_PKRU, image_pkru(vcpu, image));
	vcpu_run_sync(vcpu, 2);
	EXPECT_EQ(GUEST_PKRU & ~4, image_pkru(vcpu, image));
	or64(image, AT_XSTATE_BV, XCR0_PKRU);
	*(u32 *)(image + at) = 0x10;
	do_ioctl(vcpu->fd, KVM_SET_XSAVE, image);
	vcpu_run_sync(vcpu, 3);
	*(u64 *)(image + AT_XSTATE_BV) &= ~XCR0_PKRU;
	do_ioctl(vcpu->fd, KVM_SET_XSAVE, image);
	vcpu_run_sync(vcpu, 4);
	EXPECT_EQ(mine, rdpkru());
	vcpu_run_sync(vcpu, 5);
	EXPECT_EQ(mine, rdpkru());
	EXPECT_EQ(0x40, image_pkru(vcpu, image));
	vcpu_run_done(vcpu);
	EXPECT_EQ(mine, rdpkru());
}

TEST_HARNESS_MAIN
