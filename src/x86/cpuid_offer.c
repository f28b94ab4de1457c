// SPDX-License-Identifier: GPL-2.0
/*
 * What CPUID this host can offer a guest: KVM_GET_SUPPORTED_CPUID.
 *
 * Everything is opt-in. A feature bit is offered when its name stands in
 * host_features[] and both the CPU and the kernel have it, or when it stands
 * in own_features[], which need no hardware. A leaf that has no row in leaves[]
 * reads as zero. What a guest is told in the end is user space's choice:
 * cpuid.c.
 */
#include <linux/cpufeature.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/fpu/xcr.h>
#include <asm/fpu/xstate.h>
#include <asm/kvm_para.h>
#include <asm/processor.h>
#include "compat/spec_ctrl.h"
#include "x86/cpuid.h"
#include "x86/x86.h"

#define MAX_BASIC	0x1f
#define MAX_EXTENDED	0x80000021

const struct cpuid_word cpuid_words[] = {
	{ 0x00000001, 0, REG_EDX, CPUID_1_EDX },
	{ 0x00000001, 0, REG_ECX, CPUID_1_ECX },
	{ 0x00000006, 0, REG_EAX, CPUID_6_EAX },
	{ 0x00000007, 0, REG_EBX, CPUID_7_0_EBX },
	{ 0x00000007, 0, REG_ECX, CPUID_7_ECX },
	{ 0x00000007, 0, REG_EDX, CPUID_7_EDX },
	{ 0x00000007, 1, REG_EAX, CPUID_7_1_EAX },
	{ 0x00000007, 1, REG_EDX, CPUID_WORD_7_1_EDX },
	{ 0x0000000d, 1, REG_EAX, CPUID_D_1_EAX },
	{ 0x80000001, 0, REG_EDX, CPUID_8000_0001_EDX },
	{ 0x80000001, 0, REG_ECX, CPUID_8000_0001_ECX },
	{ 0x80000007, 0, REG_EDX, CPUID_WORD_8000_0007_EDX },
	{ 0x80000008, 0, REG_EBX, CPUID_8000_0008_EBX },
	{ 0x80000021, 0, REG_EAX, CPUID_8000_0021_EAX },
};
const unsigned int cpuid_nwords = ARRAY_SIZE(cpuid_words);

#define F(x) X86_FEATURE_##x

/*
 * Offered if this CPU has it and the kernel did not turn it off. Left out on
 * purpose: nested virtualization (VMX, SVM), SMX, performance counters and
 * tracing (no PMU here), SGX, MPX, AMX, CET, PASID, memory encryption, and
 * whatever we have not learnt yet.
 */
static const u16 host_features[] = {
	/* 1.EDX */
	F(FPU), F(VME), F(DE), F(PSE), F(TSC), F(MSR), F(PAE), F(MCE), F(CX8),
	F(APIC), F(SEP), F(MTRR), F(PGE), F(MCA), F(CMOV), F(PAT), F(PSE36),
	F(CLFLUSH), F(MMX), F(FXSR), F(XMM), F(XMM2), F(SELFSNOOP),
	/* 1.ECX */
	F(XMM3), F(PCLMULQDQ), F(SSSE3), F(FMA), F(CX16), F(PCID), F(XMM4_1),
	F(XMM4_2), F(MOVBE), F(POPCNT), F(AES), F(XSAVE), F(AVX), F(F16C),
	F(RDRAND),
	/* 7.0.EBX */
	F(FSGSBASE), F(BMI1), F(HLE), F(AVX2), F(FDP_EXCPTN_ONLY), F(SMEP),
	F(BMI2), F(ERMS), F(INVPCID), F(RTM), F(ZERO_FCS_FDS), F(AVX512F),
	F(AVX512DQ), F(RDSEED), F(ADX), F(SMAP), F(AVX512IFMA), F(CLFLUSHOPT),
	F(CLWB), F(AVX512PF), F(AVX512ER), F(AVX512CD), F(SHA_NI), F(AVX512BW),
	F(AVX512VL),
	/* 7.0.ECX */
	F(AVX512VBMI), F(UMIP), F(PKU), F(AVX512_VBMI2), F(GFNI), F(VAES),
	F(VPCLMULQDQ), F(AVX512_VNNI), F(AVX512_BITALG), F(AVX512_VPOPCNTDQ),
	F(LA57), F(RDPID), F(CLDEMOTE), F(MOVDIRI), F(MOVDIR64B),
	/* 7.0.EDX */
	F(AVX512_4VNNIW), F(AVX512_4FMAPS), F(FSRM), F(AVX512_VP2INTERSECT),
	F(MD_CLEAR), F(SERIALIZE), F(TSXLDTRK), F(AVX512_FP16), F(SPEC_CTRL),
	F(INTEL_STIBP), F(SPEC_CTRL_SSBD),
	/* 7.1.EAX */
	F(AVX_VNNI), F(AVX512_BF16),
	/* D.1.EAX */
	F(XSAVEOPT), F(XSAVEC), F(XGETBV1), F(XSAVES),
	/* 80000001.EDX; its copies of 1.EDX are aliases[] */
	F(SYSCALL), F(NX), F(MMXEXT), F(FXSR_OPT), F(GBPAGES), F(RDTSCP), F(LM),
	F(3DNOWEXT), F(3DNOW),
	/* 80000001.ECX */
	F(LAHF_LM), F(CMP_LEGACY), F(CR8_LEGACY), F(ABM), F(SSE4A),
	F(MISALIGNSSE), F(3DNOWPREFETCH), F(OSVW), F(XOP), F(FMA4), F(TBM),
	F(TOPOEXT),
	/* 80000007.EDX */
	FEATURE_INVARIANT_TSC,
	/* 80000008.EBX */
	F(CLZERO), F(XSAVEERPTR), F(WBNOINVD), F(AMD_IBPB), F(AMD_IBRS),
	F(AMD_STIBP), F(AMD_STIBP_ALWAYS_ON), F(AMD_SSBD), F(AMD_SSB_NO),
	F(BTC_NO),
};

/*
 * Of our own making, with no help from the CPU. The LAPIC timer's TSC-deadline
 * mode is, too; but user space may bring a LAPIC that has no such mode, and so
 * is told of it by KVM_CAP_TSC_DEADLINE_TIMER alone.
 */
static const u16 own_features[] = {
	F(X2APIC), F(HYPERVISOR), F(TSC_ADJUST), F(ARAT),
};

/*
 * One mechanism, two names: what the host has under the one name is offered
 * under the other as well, so that a guest finds it whatever vendor user space
 * makes it believe in (as far as the MSR is the same).
 */
static const struct {
	u16 host, guest;
} synonyms[] = {
	{ F(IBPB),	F(AMD_IBPB) },
	{ F(IBRS),	F(AMD_IBRS) },
	{ F(STIBP),	F(AMD_STIBP) },
	{ F(SPEC_CTRL_SSBD), F(AMD_SSBD) },
	{ F(STIBP),	F(INTEL_STIBP) },
	{ F(AMD_SSBD),	F(SPEC_CTRL_SSBD) },
};

/* Bits that AMD's 80000001.EDX repeats from 1.EDX (APM vol. 3, E.4.2). */
#define ALIASES	0x0183f3ff

/* KVM_FEATURE_*: each works, or its bit is not here. */
#define PV_FEATURES ( \
	BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_NOP_IO_DELAY) | \
	BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_STEAL_TIME) | \
	BIT(KVM_FEATURE_PV_EOI) | BIT(KVM_FEATURE_PV_TLB_FLUSH) | \
	BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_SEND_IPI) | \
	BIT(KVM_FEATURE_POLL_CONTROL) | BIT(KVM_FEATURE_PV_SCHED_YIELD) | \
	BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT))

/* XSAVE components that the FPU code carries for a guest. */
#define XCR0_SUPPORTED ( \
	XFEATURE_MASK_FPSSE | XFEATURE_MASK_YMM | XFEATURE_MASK_AVX512 | \
	XFEATURE_MASK_PKRU)

u64 cpuid_host_xcr0;

static u32 offered[CPUID_WORDS];
static u32 withheld[CPUID_WORDS];	/* cpuid_withhold() */

/* CPUID.0xD.n of this host, for n = 2 and up (SDM vol. 1, 13.2). */
static struct {
	u32 size, offset, flags;
} xcomp[64];
#define XCOMP_ALIGN64	BIT(1)

/**
 * cpuid_xsave_size() - bytes of an XSAVE area
 * @features:	the components that it has (XCR0 | IA32_XSS)
 * @compacted:	in the format of XSAVEC and XSAVES
 *
 * Context: any.
 */
u32 cpuid_xsave_size(u64 features, bool compacted)
{
	u32 end = FXSAVE_SIZE + XSAVE_HDR_SIZE, at;
	int i;

	for (i = 2; i < 63; i++) {
		if (!(features & BIT_ULL(i)))
			continue;
		at = xcomp[i].offset;
		if (compacted)
			at = xcomp[i].flags & XCOMP_ALIGN64 ? ALIGN(end, 64) : end;
		end = compacted ? at + xcomp[i].size : max(end, at + xcomp[i].size);
	}
	return end;
}

static u32 host_reg(const struct cpuid_word *w)
{
	struct kvm_cpuid_entry2 e = {};

	if (cpuid_eax(w->function & 0x80000000) < w->function)
		return 0;
	cpuid_count(w->function, w->index, &e.eax, &e.ebx, &e.ecx, &e.edx);
	return *cpuid_entry_reg(&e, w->reg);
}

static void offer(unsigned int feature)
{
	offered[feature / 32] |= BIT(feature % 32);
}

static bool is_offered(unsigned int feature)
{
	return offered[feature / 32] & ~withheld[feature / 32] & BIT(feature % 32);
}

/* In hardware, and, where the kernel keeps track, not turned off by it. */
static bool host_has(unsigned int feature, const u32 *host)
{
	if (!(host[feature / 32] & BIT(feature % 32)))
		return false;
	return feature >= NCAPINTS * 32 || boot_cpu_has(feature);
}

static void probe_xstate(void)
{
	u32 unused;
	int i;

	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return;
	for (i = 2; i < 63; i++)
		cpuid_count(XSTATE_CPUID, i, &xcomp[i].size, &xcomp[i].offset,
			    &xcomp[i].flags, &unused);
	cpuid_host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK) & XCR0_SUPPORTED;
	/* All of AVX-512's three components or none (SDM vol. 1, 13.3). */
	if ((cpuid_host_xcr0 & XFEATURE_MASK_AVX512) != XFEATURE_MASK_AVX512)
		cpuid_host_xcr0 &= ~XFEATURE_MASK_AVX512;
	if (!boot_cpu_has(X86_FEATURE_OSPKE))
		cpuid_host_xcr0 &= ~XFEATURE_MASK_PKRU;
}

/**
 * cpuid_init() - find out what this host can offer
 *
 * Context: module load, once, before anything else of this file or of cpuid.c is used, but for
 * cpuid_withhold().
 */
void cpuid_init(void)
{
	u32 host[CPUID_WORDS] = {};
	unsigned int i;

	for (i = 0; i < cpuid_nwords; i++)
		host[cpuid_words[i].word] = host_reg(&cpuid_words[i]);
	for (i = 0; i < ARRAY_SIZE(host_features); i++)
		if (host_has(host_features[i], host))
			offer(host_features[i]);
	for (i = 0; i < ARRAY_SIZE(own_features); i++)
		offer(own_features[i]);
	for (i = 0; i < ARRAY_SIZE(synonyms); i++)
		if (boot_cpu_has(synonyms[i].host))
			offer(synonyms[i].guest);
	/* One bit says both on Intel's side: IBRS and IBPB. */
	if (boot_cpu_has(X86_FEATURE_IBRS) && boot_cpu_has(X86_FEATURE_IBPB))
		offer(X86_FEATURE_SPEC_CTRL);
	if (compat_has_virt_ssbd())
		offer(X86_FEATURE_VIRT_SSBD);
	if (!boot_cpu_has(X86_FEATURE_OSPKE))
		cpuid_withhold(X86_FEATURE_PKU);
	probe_xstate();
}

/**
 * cpuid_withhold() - a feature that this host cannot give a guest after all
 * @feature: X86_FEATURE_*
 *
 * For a vendor whose controls for it are missing. Context: module load, before
 * or after cpuid_init().
 */
void cpuid_withhold(unsigned int feature)
{
	withheld[feature / 32] |= BIT(feature % 32);
}

/**
 * cpuid_offered() - is a feature in the supported list?
 * @feature: X86_FEATURE_*
 *
 * Context: any.
 */
bool cpuid_offered(unsigned int feature)
{
	if (feature == X86_FEATURE_ARCH_CAPABILITIES)
		return static_call(vendor_has_emulated_msr)(MSR_IA32_ARCH_CAPABILITIES);
	return is_offered(feature);
}

/* The list under construction; what does not fit is counted all the same. */
struct list {
	struct kvm_cpuid_entry2 *e;
	unsigned int n, max;
	struct kvm_cpuid_entry2 overflow;
};

/* Add a leaf as the host's CPU answers it, features reduced to the offer. */
static struct kvm_cpuid_entry2 *add(struct list *l, u32 function, u32 index, u32 flags)
{
	struct kvm_cpuid_entry2 *e;
	unsigned int i;

	e = l->n < l->max ? &l->e[l->n] : &l->overflow;
	l->n++;
	memset(e, 0, sizeof(*e));
	e->function = function;
	e->index = index;
	e->flags = flags;
	cpuid_count(function, index, &e->eax, &e->ebx, &e->ecx, &e->edx);
	for (i = 0; i < cpuid_nwords; i++)
		if (cpuid_words[i].function == function && cpuid_words[i].index == index)
			*cpuid_entry_reg(e, cpuid_words[i].reg) =
				offered[cpuid_words[i].word] & ~withheld[cpuid_words[i].word];
	return e;
}

static struct kvm_cpuid_entry2 *add_plain(struct list *l, u32 function)
{
	return add(l, function, 0, 0);
}

static struct kvm_cpuid_entry2 *add_indexed(struct list *l, u32 function, u32 index)
{
	return add(l, function, index, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
}

static void leaf_zero(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_plain(l, function);

	e->eax = e->ebx = e->ecx = e->edx = 0;
}

static void leaf_host(struct list *l, u32 function)
{
	add_plain(l, function);
}

static void leaf_max_basic(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_plain(l, function);

	e->eax = min_t(u32, e->eax, MAX_BASIC);
}

/* The initial APIC id is that of whichever CPU we are on: leave it out. */
static void leaf_1(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_plain(l, function);

	e->ebx &= ~GENMASK(31, 24);
}

/* Cache parameters: one sub-leaf each, up to a type of 0. */
static void leaf_caches(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e;
	u32 index = 0;

	do {
		e = add_indexed(l, function, index++);
	} while ((e->eax & 0x1f) && index < 16);
}

static void leaf_6(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_plain(l, function);

	e->ebx = e->ecx = e->edx = 0;
}

static void leaf_7(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_indexed(l, function, 0);

	if (cpuid_offered(X86_FEATURE_ARCH_CAPABILITIES))
		e->edx |= BIT(X86_FEATURE_ARCH_CAPABILITIES % 32);
	e->eax = min_t(u32, e->eax, 1);
	if (!e->eax)
		return;
	e = add_indexed(l, function, 1);
	e->ebx = e->ecx = 0;
}

/* Topology is user space's to say: the host's would be a lie. */
static void leaf_topology(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_indexed(l, function, 0);

	e->eax = e->ebx = e->ecx = e->edx = 0;
}

static void leaf_xsave(struct list *l, u32 function)
{
	u64 xcr0 = is_offered(X86_FEATURE_XSAVE) ? cpuid_host_xcr0 : 0;
	struct kvm_cpuid_entry2 *e = add_indexed(l, function, 0);
	u32 i;

	e->eax = lower_32_bits(xcr0);
	e->edx = upper_32_bits(xcr0);
	e->ebx = e->ecx = xcr0 ? cpuid_xsave_size(xcr0, false) : 0;
	if (!xcr0)
		return;
	e = add_indexed(l, function, 1);
	e->ebx = 0;
	if (is_offered(X86_FEATURE_XSAVEC) || is_offered(X86_FEATURE_XSAVES))
		e->ebx = cpuid_xsave_size(xcr0, true);
	e->ecx = e->edx = 0;		/* no supervisor components: IA32_XSS is 0 */
	for (i = 2; i < 63; i++) {
		if (!(xcr0 & BIT_ULL(i)))
			continue;
		e = add_indexed(l, function, i);
		e->ecx &= XCOMP_ALIGN64;
		e->edx = 0;
	}
}

static void leaf_signature(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_plain(l, function);

	e->eax = KVM_CPUID_FEATURES;
	memcpy(&e->ebx, KVM_SIGNATURE, 4);
	memcpy(&e->ecx, KVM_SIGNATURE + 4, 4);
	memcpy(&e->edx, KVM_SIGNATURE + 8, 4);
}

static void leaf_pv_features(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_plain(l, function);

	e->eax = PV_FEATURES;
	e->ebx = e->ecx = e->edx = 0;
}

static void leaf_max_extended(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_plain(l, function);

	e->eax = min_t(u32, e->eax, MAX_EXTENDED);
}

static void leaf_80000001(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_plain(l, function);

	if (host_is_amd())
		e->edx |= offered[CPUID_1_EDX] & ALIASES;
	e->ebx &= ~GENMASK(27, 16);
}

static void leaf_80000007(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_plain(l, function);

	e->eax = e->ebx = e->ecx = 0;
}

/* EAX: physical, linear and guest-physical bits (APM vol. 3, E.4.7). */
static void leaf_80000008(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_plain(l, function);
	u32 linear = (e->eax >> 8) & 0xff;

	e->eax = (vendor_caps.max_phyaddr ?: boot_cpu_data.x86_phys_bits) |
		 max(linear, 48u) << 8;
	e->ecx = e->edx = 0;
}

static void leaf_80000019(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_plain(l, function);

	e->ecx = e->edx = 0;
}

static void leaf_8000001a(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_plain(l, function);

	e->eax &= GENMASK(2, 0);
	e->ebx = e->ecx = e->edx = 0;
}

/* LFENCE serializes; the host kernel sees to it on each CPU. */
static void leaf_80000021(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add_plain(l, function);

	e->eax = boot_cpu_has(X86_FEATURE_LFENCE_RDTSC) ? BIT(2) : 0;
	e->ebx = e->ecx = e->edx = 0;
}

static const struct leaf {
	u32 function;
	void (*add)(struct list *l, u32 function);
} leaves[] = {
	{ 0x00000000, leaf_max_basic },
	{ 0x00000001, leaf_1 },
	{ 0x00000002, leaf_host },
	{ 0x00000004, leaf_caches },
	{ 0x00000006, leaf_6 },
	{ 0x00000007, leaf_7 },
	{ 0x0000000b, leaf_topology },
	{ 0x0000000d, leaf_xsave },
	{ 0x0000001f, leaf_topology },
	{ 0x40000000, leaf_signature },
	{ 0x40000001, leaf_pv_features },
	{ 0x80000000, leaf_max_extended },
	{ 0x80000001, leaf_80000001 },
	{ 0x80000002, leaf_host },
	{ 0x80000003, leaf_host },
	{ 0x80000004, leaf_host },
	{ 0x80000005, leaf_host },
	{ 0x80000006, leaf_host },
	{ 0x80000007, leaf_80000007 },
	{ 0x80000008, leaf_80000008 },
	{ 0x80000019, leaf_80000019 },
	{ 0x8000001a, leaf_8000001a },
	{ 0x8000001d, leaf_caches },
	{ 0x80000021, leaf_80000021 },
};

static void add_leaf(struct list *l, u32 function)
{
	const struct leaf *leaf;

	for (leaf = leaves; leaf < leaves + ARRAY_SIZE(leaves); leaf++)
		if (leaf->function == function)
			return leaf->add(l, function);
	leaf_zero(l, function);
}

static void add_leaves(struct list *l, u32 base, u32 max)
{
	u32 function;

	for (function = base; function <= max; function++)
		add_leaf(l, function);
}

static void build_supported(struct list *l)
{
	add_leaves(l, 0, min_t(u32, cpuid_eax(0), MAX_BASIC));
	add_leaves(l, 0x80000000, min_t(u32, cpuid_eax(0x80000000), MAX_EXTENDED));
	add_leaves(l, KVM_CPUID_SIGNATURE, KVM_CPUID_FEATURES);
}

/* Instructions that we would emulate on a CPU without them: none. */
static void build_emulated(struct list *l)
{
	leaf_zero(l, 0);
	leaf_zero(l, 1);
	leaf_zero(l, 7);
	if (l->max)
		l->e[0].eax = 7;
}

static int get_list(void (*build)(struct list *l), struct kvm_cpuid2 *head,
		    struct kvm_cpuid_entry2 __user *user)
{
	struct list l = { .max = min_t(u32, head->nent, CPUID_ENTRIES_MAX) };
	int r = 0;

	if (!l.max)
		return -E2BIG;
	l.e = kvcalloc(l.max, sizeof(*l.e), GFP_KERNEL_ACCOUNT);
	if (!l.e)
		return -ENOMEM;
	build(&l);
	if (l.n > l.max)
		r = -E2BIG;
	else if (copy_to_user(user, l.e, l.n * sizeof(*l.e)))
		r = -EFAULT;
	else
		head->nent = l.n;
	kvfree(l.e);
	return r;
}

/**
 * cpuid_get_supported() - KVM_GET_SUPPORTED_CPUID
 * @head:	nent says how many entries fit; set to how many there are
 * @user:	where they go
 *
 * Context: may sleep. Return: 0, -E2BIG if they do not fit, -EFAULT, -ENOMEM.
 */
int cpuid_get_supported(struct kvm_cpuid2 *head, struct kvm_cpuid_entry2 __user *user)
{
	return get_list(build_supported, head, user);
}

/**
 * cpuid_get_emulated() - KVM_GET_EMULATED_CPUID
 * @head:	as cpuid_get_supported()
 * @user:	where the entries go; their padding must be zero on the way in
 *
 * Context: may sleep. Return: as cpuid_get_supported(), or -EINVAL.
 */
int cpuid_get_emulated(struct kvm_cpuid2 *head, struct kvm_cpuid_entry2 __user *user)
{
	u32 i, n = min_t(u32, head->nent, CPUID_ENTRIES_MAX);
	struct kvm_cpuid_entry2 e;

	for (i = 0; i < n; i++) {
		if (copy_from_user(&e, &user[i], sizeof(e)))
			return -EFAULT;
		if (e.padding[0] || e.padding[1] || e.padding[2])
			return -EINVAL;
	}
	return get_list(build_emulated, head, user);
}
