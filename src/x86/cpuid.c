// SPDX-License-Identifier: GPL-2.0
/*
 * A vCPU's CPUID: what user space set, what follows from it (reserved CR4
 * bits, the XCR0 that may be set, the answers of guest_has()), and the CPUID
 * instruction itself. What a host can offer is in cpuid_offer.c.
 *
 * The model changes under vcpu->lock only, and is read by the vCPU's own
 * thread; words[] may be read by anybody, at any time.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/fpu/xstate.h>
#include <asm/hyperv-tlfs.h>
#include <asm/kvm_para.h>
#include <asm/processor-flags.h>
#include "x86/cpuid.h"
#include "x86/hyperv/hyperv.h"
#include "x86/x86.h"

/* CR4 bits that exist with a feature, and with no other condition. */
static const struct {
	u32 cr4;
	u16 feature;
} cr4_features[] = {
	{ X86_CR4_OSXSAVE,	X86_FEATURE_XSAVE },
	{ X86_CR4_SMEP,		X86_FEATURE_SMEP },
	{ X86_CR4_SMAP,		X86_FEATURE_SMAP },
	{ X86_CR4_FSGSBASE,	X86_FEATURE_FSGSBASE },
	{ X86_CR4_PKE,		X86_FEATURE_PKU },
	{ X86_CR4_LA57,		X86_FEATURE_LA57 },
	{ X86_CR4_UMIP,		X86_FEATURE_UMIP },
	{ X86_CR4_PCIDE,	X86_FEATURE_PCID },
};

/* CR4 bits that every CPU which can run us has. */
#define CR4_ALWAYS ( \
	X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | \
	X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | \
	X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT)

static unsigned int hint_slot(u32 function)
{
	/* 0x8000000n and 0x4000000n go to other slots than 0xn. */
	return (function ^ (function >> 27)) % CPUID_HINTS;
}

static bool matches(const struct kvm_cpuid_entry2 *e, u32 function, u32 index)
{
	return e->function == function &&
	       (e->index == index || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX));
}

static struct kvm_cpuid_entry2 *find_slow(struct cpuid_model *m, u32 function, u32 index)
{
	unsigned int i;

	for (i = 0; i < m->n; i++) {
		if (!matches(&m->entries[i], function, index))
			continue;
		m->hint[hint_slot(function)] = i;
		return &m->entries[i];
	}
	return NULL;
}

/* A leaf that was asked for before is a few instructions away. */
static struct kvm_cpuid_entry2 *find(struct cpuid_model *m, u32 function, u32 index)
{
	unsigned int i = m->hint[hint_slot(function)];

	if (likely(i < m->n && matches(&m->entries[i], function, index)))
		return &m->entries[i];
	return find_slow(m, function, index);
}

/*
 * Which leaf answers for one that there is not. An AMD CPU says zeros. An
 * Intel CPU answers a leaf above the last one of its range with the last basic
 * leaf (SDM vol. 2, CPUID). The ranges are 64K leaves each: basic, hypervisor
 * (256 apart: there may be several), extended, and Centaur's.
 */
static struct kvm_cpuid_entry2 *find_redirected(struct cpuid_model *m, u32 *leaf, u32 index)
{
	u32 function = *leaf;
	struct kvm_cpuid_entry2 *basic = find(m, 0, 0), *range;

	if (!basic || m->amd)
		return NULL;
	if (function >= 0x40000000 && function <= 0x4fffffff)
		range = find(m, function & 0xffffff00, 0);
	else if (function >= 0xc0000000)
		range = find(m, 0xc0000000, 0);
	else
		range = find(m, function & 0x80000000, 0);
	/* Below the range's last leaf: one that was left out is zero. */
	if (range && function <= range->eax)
		return NULL;
	*leaf = basic->eax;
	return find(m, basic->eax, index);
}

/* Sub-leaves past the last one still say their number and the x2APIC id. */
static void topology_tail(struct cpuid_model *m, u32 function, u32 index, u32 *ecx, u32 *edx)
{
	struct kvm_cpuid_entry2 *e;

	if (function != 0xb && function != 0x1f)
		return;
	e = find(m, function, 1);
	if (!e)
		return;
	*ecx = index & 0xff;
	*edx = e->edx;
}

static void query_missing(struct vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	struct cpuid_model *m = &vcpu->arch.cpuid;
	u32 function = *eax, index = *ecx;
	struct kvm_cpuid_entry2 *e = find_redirected(m, &function, index);

	*eax = *ebx = *ecx = *edx = 0;
	if (!e) {
		topology_tail(m, function, index, ecx, edx);
		return;
	}
	*eax = e->eax;
	*ebx = e->ebx;
	*ecx = e->ecx;
	*edx = e->edx;
}

/**
 * cpuid_query() - the CPUID instruction
 * @vcpu:	the vCPU
 * @eax:	leaf in, answer out
 * @ebx:	answer
 * @ecx:	sub-leaf in, answer out
 * @edx:	answer
 *
 * Context: the vCPU's thread; does not sleep.
 */
void cpuid_query(struct vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	struct kvm_cpuid_entry2 *e = find(&vcpu->arch.cpuid, *eax, *ecx);

	if (unlikely(!e))
		return query_missing(vcpu, eax, ebx, ecx, edx);
	*eax = e->eax;
	*ebx = e->ebx;
	*ecx = e->ecx;
	*edx = e->edx;
}

/**
 * cpuid_entry() - a leaf as it was set, with no redirection
 * @vcpu:	the vCPU
 * @function:	leaf
 * @index:	sub-leaf
 *
 * Return: the entry, or NULL. Context: the vCPU's thread.
 */
const struct kvm_cpuid_entry2 *cpuid_entry(struct vcpu *vcpu, u32 function, u32 index)
{
	return find(&vcpu->arch.cpuid, function, index);
}

static void set_bit_if(u32 *reg, unsigned int feature, bool on)
{
	u32 mask = BIT(feature % 32);

	*reg = on ? *reg | mask : *reg & ~mask;
}

/* Where the KVM leaves begin: user space may have moved them up. */
static u32 pv_base(struct cpuid_model *m)
{
	struct kvm_cpuid_entry2 *e;
	u32 base;

	for (base = KVM_CPUID_SIGNATURE; base < 0x40010000; base += 0x100) {
		e = find(m, base, 0);
		if (e && !memcmp(&e->ebx, KVM_SIGNATURE, 12))
			return base;
	}
	return 0;
}

static void runtime_1(struct vcpu *vcpu, struct cpuid_model *m)
{
	struct kvm_cpuid_entry2 *e = find(m, 1, 0);
	bool mwait_by_msr = vcpu->vm->arch.disabled_quirks & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT;

	if (!e)
		return;
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		set_bit_if(&e->ecx, X86_FEATURE_OSXSAVE, vcpu->arch.cr4 & X86_CR4_OSXSAVE);
	set_bit_if(&e->edx, X86_FEATURE_APIC, vcpu->arch.apic_base & MSR_IA32_APICBASE_ENABLE);
	if (mwait_by_msr)
		set_bit_if(&e->ecx, X86_FEATURE_MWAIT,
			   vcpu->arch.msr.misc_enable & MSR_IA32_MISC_ENABLE_MWAIT);
}

static void runtime_7(struct vcpu *vcpu, struct cpuid_model *m)
{
	struct kvm_cpuid_entry2 *e = find(m, 7, 0);

	if (e && boot_cpu_has(X86_FEATURE_PKU))
		set_bit_if(&e->ecx, X86_FEATURE_OSPKE, vcpu->arch.cr4 & X86_CR4_PKE);
}

static void runtime_xsave(struct vcpu *vcpu, struct cpuid_model *m)
{
	struct kvm_cpuid_entry2 *e = find(m, XSTATE_CPUID, 0);
	u32 compacts = BIT(X86_FEATURE_XSAVES % 32) | BIT(X86_FEATURE_XSAVEC % 32);

	if (e)
		e->ebx = cpuid_xsave_size(vcpu->arch.xcr0, false);
	e = find(m, XSTATE_CPUID, 1);
	if (e && (e->eax & compacts))
		e->ebx = cpuid_xsave_size(vcpu->arch.xcr0 | vcpu->arch.msr.xss, true);
}

/* PV_UNHALT is of no use to a guest whose HLT does not exit. */
static void runtime_pv(struct vcpu *vcpu, struct cpuid_model *m)
{
	struct kvm_cpuid_entry2 *e = NULL;
	u32 base = pv_base(m);

	if (base)
		e = find(m, base | KVM_CPUID_FEATURES, 0);
	if (e && (vcpu->vm->arch.disabled_exits & KVM_X86_DISABLE_EXITS_HLT))
		e->eax &= ~BIT(KVM_FEATURE_PV_UNHALT);
	m->pv_features = e ? e->eax : 0;
}

static void apply_runtime(struct vcpu *vcpu, struct cpuid_model *m)
{
	runtime_1(vcpu, m);
	runtime_7(vcpu, m);
	runtime_xsave(vcpu, m);
}

static void derive_words(struct cpuid_model *m)
{
	struct kvm_cpuid_entry2 *e;
	unsigned int i;

	for (i = 0; i < cpuid_nwords; i++) {
		e = find(m, cpuid_words[i].function, cpuid_words[i].index);
		m->words[cpuid_words[i].word] =
			e ? *cpuid_entry_reg(e, cpuid_words[i].reg) : 0;
	}
}

/**
 * cpuid_runtime() - refresh what CPUID says of the vCPU's present state
 * @vcpu: CR4, XCR0, IA32_XSS, the APIC base or MISC_ENABLE of it changed
 *
 * Context: the vCPU's thread; does not sleep.
 */
void cpuid_runtime(struct vcpu *vcpu)
{
	apply_runtime(vcpu, &vcpu->arch.cpuid);
	derive_words(&vcpu->arch.cpuid);
}

/* As many as a table's entry has room for (SDM vol. 3, 4.1.4); what is shifted by more is undefined. */
#define PHYS_BITS_MAX	52u

static u8 phys_bits(struct cpuid_model *m)
{
	struct kvm_cpuid_entry2 *e = find(m, 0x80000000, 0);

	if (e && e->eax >= 0x80000008) {
		e = find(m, 0x80000008, 0);
		if (e)
			return min(e->eax & 0xff, PHYS_BITS_MAX);
	}
	return 36;
}

static bool says_amd(struct cpuid_model *m)
{
	struct kvm_cpuid_entry2 *e = find(m, 0, 0);

	/* EBX of "AuthenticAMD", "HygonGenuine", "AMDisbetter!" */
	return e && (e->ebx == 0x68747541 || e->ebx == 0x6f677948 || e->ebx == 0x69444d41);
}

static u64 host_cr4_reserved(void)
{
	u64 allowed = CR4_ALWAYS;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cr4_features); i++)
		if (cpuid_offered(cr4_features[i].feature))
			allowed |= cr4_features[i].cr4;
	return ~allowed;
}

static u64 guest_cr4_reserved(struct cpuid_model *m)
{
	u64 reserved = host_cr4_reserved();
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cr4_features); i++) {
		u16 f = cr4_features[i].feature;

		if (!(m->words[f / 32] & BIT(f % 32)))
			reserved |= cr4_features[i].cr4;
	}
	return reserved;
}

static u64 xcr0_of(struct cpuid_model *m)
{
	struct kvm_cpuid_entry2 *e = find(m, XSTATE_CPUID, 0);

	return e ? (e->eax | (u64)e->edx << 32) & cpuid_host_xcr0 : 0;
}

static void derive(struct cpuid_model *m)
{
	m->amd = says_amd(m);
	derive_words(m);
	m->max_phyaddr = phys_bits(m);
	m->cr4_reserved = guest_cr4_reserved(m);
	m->xcr0_allowed = xcr0_of(m);
}

/**
 * cpuid_vcpu_init() - the model of a vCPU that user space said nothing about
 * @vcpu: the vCPU
 *
 * It has no leaf at all, but may use whatever the host offers, for user space
 * may load registers before it says what the CPU is.
 */
void cpuid_vcpu_init(struct vcpu *vcpu)
{
	struct cpuid_model *m = &vcpu->arch.cpuid;

	m->max_phyaddr = phys_bits(m);
	m->cr4_reserved = host_cr4_reserved();
}

/**
 * cpuid_free() - free what cpuid_set() allocated
 * @vcpu: a vCPU that runs no more
 */
void cpuid_free(struct vcpu *vcpu)
{
	kvfree(vcpu->arch.cpuid.entries);
}

static bool valid(struct cpuid_model *m)
{
	struct kvm_cpuid_entry2 *e = find(m, 0x80000008, 0);
	u32 linear = e ? (e->eax >> 8) & 0xff : 0;

	return linear == 0 || linear == 48 || linear == 57;
}

static bool has_hyperv(struct cpuid_model *m)
{
	struct kvm_cpuid_entry2 *e = find(m, HYPERV_CPUID_INTERFACE, 0);

	return e && e->eax == HV_INTERFACE_SIGNATURE;
}

static bool same(const struct cpuid_model *a, const struct cpuid_model *b)
{
	unsigned int i;

	if (a->n != b->n)
		return false;
	/* All but the padding, which user space need not clear. */
	for (i = 0; i < a->n; i++)
		if (memcmp(&a->entries[i], &b->entries[i],
			   offsetof(struct kvm_cpuid_entry2, padding)))
			return false;
	return true;
}

/*
 * Takes @e over. Before the first entry anything goes; after it, the guest and
 * our own caches rely on the model, so only the same again.
 */
static int install(struct vcpu *vcpu, struct kvm_cpuid_entry2 *e, unsigned int n)
{
	struct cpuid_model *old = &vcpu->arch.cpuid;
	struct cpuid_model m = {
		.entries = e, .n = n, .pv_enforce = old->pv_enforce,
	};
	int r;

	apply_runtime(vcpu, &m);
	runtime_pv(vcpu, &m);
	r = (vcpu->arch.has_run ? same(old, &m) : valid(&m)) ? 0 : -EINVAL;
	if (!r && has_hyperv(&m))
		r = hv_cpuid_prepare(vcpu);
	if (vcpu->arch.has_run || r) {
		kvfree(e);
		return r;
	}
	derive(&m);
	kvfree(old->entries);
	*old = m;
	hv_cpuid_changed(vcpu);
	static_call(vendor_cpuid_changed)(vcpu);
	/* SPEC_CTRL is passed to those that have it. */
	vcpu_request(vcpu, VCPU_REQ_MSR_FILTER);
	return 0;
}

/* For @n entries, zeroed, on the caller's account. */
static struct kvm_cpuid_entry2 *entries_alloc(u32 n)
{
	struct kvm_cpuid_entry2 *e;

	if (n > CPUID_ENTRIES_MAX)
		return ERR_PTR(-E2BIG);
	e = kvcalloc(n, sizeof(*e), GFP_KERNEL_ACCOUNT);
	return e ?: ERR_PTR(-ENOMEM);
}

/**
 * cpuid_set() - KVM_SET_CPUID2
 * @vcpu:	the vCPU, loaded
 * @head:	nent says how many entries there are
 * @user:	the entries
 *
 * Context: vcpu->lock held; may sleep. Return: 0; -E2BIG above 256 entries,
 * -EINVAL for an address width that no CPU has, or for a change after the
 * guest has run; -EFAULT, -ENOMEM.
 */
int cpuid_set(struct vcpu *vcpu, const struct kvm_cpuid2 *head,
	      const struct kvm_cpuid_entry2 __user *user)
{
	struct kvm_cpuid_entry2 *e = entries_alloc(head->nent);

	if (IS_ERR(e))
		return PTR_ERR(e);
	if (copy_from_user(e, user, head->nent * sizeof(*e))) {
		kvfree(e);
		return -EFAULT;
	}
	return install(vcpu, e, head->nent);
}

/**
 * cpuid_set_legacy() - KVM_SET_CPUID: no sub-leaves
 * @vcpu:	as cpuid_set()
 * @head:	likewise
 * @user:	likewise
 *
 * Context: vcpu->lock held; may sleep. Return: as cpuid_set().
 */
int cpuid_set_legacy(struct vcpu *vcpu, const struct kvm_cpuid *head,
		     const struct kvm_cpuid_entry __user *user)
{
	struct kvm_cpuid_entry2 *e = entries_alloc(head->nent);
	struct kvm_cpuid_entry one;
	u32 i;

	if (IS_ERR(e))
		return PTR_ERR(e);
	for (i = 0; i < head->nent; i++) {
		if (copy_from_user(&one, &user[i], sizeof(one))) {
			kvfree(e);
			return -EFAULT;
		}
		e[i].function = one.function;
		e[i].eax = one.eax;
		e[i].ebx = one.ebx;
		e[i].ecx = one.ecx;
		e[i].edx = one.edx;
	}
	return install(vcpu, e, head->nent);
}

/**
 * cpuid_get() - KVM_GET_CPUID2: the model, as its runtime bits are now
 * @vcpu:	the vCPU
 * @head:	nent says how many entries fit; set to how many there are
 * @user:	where they go
 *
 * Context: vcpu->lock held; may sleep. Return: 0, -E2BIG, -EFAULT.
 */
int cpuid_get(struct vcpu *vcpu, struct kvm_cpuid2 *head,
	      struct kvm_cpuid_entry2 __user *user)
{
	struct cpuid_model *m = &vcpu->arch.cpuid;

	if (head->nent < m->n)
		return -E2BIG;
	if (m->n && copy_to_user(user, m->entries, m->n * sizeof(*m->entries)))
		return -EFAULT;
	head->nent = m->n;
	return 0;
}

/**
 * cpuid_pv_has() - may the guest use a paravirtual feature?
 * @vcpu:	the vCPU
 * @feature:	KVM_FEATURE_*
 *
 * Any guest may, unless KVM_CAP_ENFORCE_PV_FEATURE_CPUID holds it to its
 * CPUID.
 */
bool cpuid_pv_has(struct vcpu *vcpu, unsigned int feature)
{
	const struct cpuid_model *m = &vcpu->arch.cpuid;

	return !m->pv_enforce || (m->pv_features & BIT(feature));
}
