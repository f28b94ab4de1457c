// SPDX-License-Identifier: GPL-2.0
/*
 * Model-specific registers: one table, sorted by index, says of each who may
 * touch it, which bits, and where the value lives. The lists that user space
 * asks for come out of the same rows. MSRs whose value hardware holds (FS_BASE,
 * STAR, ...) have rows here too, and are fetched by vendor verbs; an MSR with
 * no row at all is offered to the vendor last, and then it is a #GP.
 *
 * Whatever is listed can be read by user space at any time, and what was read
 * can be written back: that is what makes a VM migratable.
 */
#include <linux/bsearch.h>
#include <linux/cpufeature.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/hyperv-tlfs.h>
#include <asm/kvm_para.h>
#include <asm/mce.h>
#include <asm/msr.h>
#include <asm/mtrr.h>
#include "x86/hyperv/hyperv.h"
#include "x86/irq/lapic.h"
#include "x86/x86.h"

/* KVM's bound on one KVM_GET_MSRS or KVM_SET_MSRS. */
#define MSR_IO_MAX	256

/* Named by no kernel header. */
#define MSR_AMD_PSTATE_FIRST	0xc0010061
#define MSR_AMD_PSTATE_LAST	0xc001006b

enum msr_flags {
	MSR_LISTED	= BIT(0),	/* in KVM_GET_MSR_INDEX_LIST */
	MSR_FEATURE	= BIT(1),	/* in KVM_GET_MSR_FEATURE_INDEX_LIST */
	MSR_RO		= BIT(2),	/* a guest's write is a #GP, user space's is not */
	MSR_IGNORE	= BIT(3),	/* a guest's write is taken and forgotten */
	MSR_ASK		= BIT(4),	/* exists if vendor_has_emulated_msr() says so */
	MSR_AMD		= BIT(5),	/* exists on AMD hosts only */
	MSR_INTEL	= BIT(6),	/* exists on Intel hosts only */
	MSR_VENDOR	= BIT(7),	/* the vendor's, if it wants it; else this row */
	MSR_CANONICAL	= BIT(8),	/* takes a linear address */
	MSR_EXTEND	= BIT(9),	/* so too, and makes it canonical by itself */
	MSR_LIVE	= BIT(10),	/* set at load: it exists on this host */
};

struct msr_access {
	struct vcpu *vcpu;
	u32 index;
	bool host;
};

struct msr_row {
	u32 first, last;
	u16 flags;
	u16 feature;			/* X86_FEATURE_*: the guest must have it; 0: any */
	u16 offset;			/* into struct msr_state; NO_HOME: none */
	u64 writable;			/* bits that a write may set; else #GP */
	u64 value;			/* read when there is no home, and none to ask */
	/* Where a plain load or store is not all; 0, or 1 for #GP. */
	int (*get)(const struct msr_access *a, u64 *value);
	int (*set)(const struct msr_access *a, u64 value);
};

#define NO_HOME		0xffff
#define ANY		~0ULL
#define IN(member)	offsetof(struct msr_state, member)

static u64 *home(struct vcpu *vcpu, const struct msr_row *row, u32 index)
{
	/* Rows with a range are arrays of u64. */
	u32 i = array_index_nospec(index - row->first, row->last - row->first + 1);

	return (void *)&vcpu->arch.msr + row->offset + i * sizeof(u64);
}

/* Memory types and MTRRs: SDM vol. 3, 12.11 and 12.12. */
static bool mtrr_type_valid(u8 type)
{
	return type < 8 && (BIT(type) & 0x73);	/* 0, 1, 4, 5, 6 */
}

/* Eight types: 0, 1, 4, 5, 6, 7. */
static bool pat_valid(u64 pat)
{
	/* No bits above 2, and types 2 and 3 (bit 1 without bit 2) do not exist. */
	return !(pat & 0xf8f8f8f8f8f8f8f8ull) &&
	       !((pat & 0x0202020202020202ull) & ~((pat & 0x0404040404040404ull) >> 1));
}

static int set_pat(const struct msr_access *a, u64 value)
{
	if (!pat_valid(value))
		return 1;
	a->vcpu->arch.msr.pat = value;
	return static_call(vendor_set_msr)(a->vcpu, a->index, value) > 0;
}

static int set_mtrr_def_type(const struct msr_access *a, u64 value)
{
	if ((value & ~0xcffull) || !mtrr_type_valid(value & 0xff))
		return 1;
	a->vcpu->arch.msr.mtrr_def_type = value;
	return 0;
}

static unsigned int mtrr_fixed_slot(u32 index)
{
	if (index == MSR_MTRRfix64K_00000)
		return 0;
	if (index <= MSR_MTRRfix16K_A0000)
		return 1 + index - MSR_MTRRfix16K_80000;
	return array_index_nospec(3 + index - MSR_MTRRfix4K_C0000, 11);
}

static int get_mtrr_fixed(const struct msr_access *a, u64 *value)
{
	*value = a->vcpu->arch.msr.mtrr_fixed[mtrr_fixed_slot(a->index)];
	return 0;
}

static int set_mtrr_fixed(const struct msr_access *a, u64 value)
{
	int i;

	for (i = 0; i < 64; i += 8)
		if (!mtrr_type_valid(value >> i))
			return 1;
	a->vcpu->arch.msr.mtrr_fixed[mtrr_fixed_slot(a->index)] = value;
	return 0;
}

/* Even: base and type. Odd: mask and a valid bit. */
static int set_mtrr_variable(const struct msr_access *a, u64 value)
{
	unsigned int slot = array_index_nospec(a->index - MTRRphysBase_MSR(0), 2 * MTRR_VARIABLE);
	u64 reserved = ~0ULL << a->vcpu->arch.cpuid.max_phyaddr;
	bool mask = slot & 1;

	reserved |= mask ? 0x7ff : 0xf00;
	if ((value & reserved) || (!mask && !mtrr_type_valid(value & 0xff)))
		return 1;
	a->vcpu->arch.msr.mtrr_var[slot] = value;
	return 0;
}

/* Time. */
static int get_tsc(const struct msr_access *a, u64 *value)
{
	*value = tsc_guest(a->vcpu, rdtsc());
	return 0;
}

static int set_tsc(const struct msr_access *a, u64 value)
{
	tsc_write(a->vcpu, value, a->host);
	return 0;
}

/*
 * The guest's write moves the TSC; user space's only says how far it moved. Some guests do not
 * ask CPUID first: as in KVM, the register is there for all, and moves nothing without the feature.
 */
static int set_tsc_adjust(const struct msr_access *a, u64 value)
{
	u64 *adjust = &a->vcpu->arch.msr.tsc_adjust;

	if (!a->host && !guest_has(a->vcpu, X86_FEATURE_TSC_ADJUST))
		return 0;
	if (!a->host)
		tsc_adjust(a->vcpu, value - *adjust);
	*adjust = value;
	return 0;
}

static int get_deadline(const struct msr_access *a, u64 *value)
{
	*value = lapic_get_tsc_deadline(a->vcpu);
	return 0;
}

static int set_deadline(const struct msr_access *a, u64 value)
{
	lapic_set_tsc_deadline(a->vcpu, value);
	return 0;
}

/* The APIC. */
static int get_apic_base(const struct msr_access *a, u64 *value)
{
	*value = a->vcpu->arch.apic_base;
	return 0;
}

static int set_apic_base(const struct msr_access *a, u64 value)
{
	return lapic_set_base(a->vcpu, value, a->host);
}

static int get_x2apic(const struct msr_access *a, u64 *value)
{
	return lapic_x2apic_read(a->vcpu, a->index, value);
}

static int set_x2apic(const struct msr_access *a, u64 value)
{
	return lapic_x2apic_write(a->vcpu, a->index, value);
}

static int get_efer(const struct msr_access *a, u64 *value)
{
	*value = a->vcpu->arch.efer;
	return 0;
}

static int set_efer_msr(const struct msr_access *a, u64 value)
{
	return set_efer(a->vcpu, value, a->host);
}

/*
 * What a hypervisor says of its CPU's immunities. Bits that we do not know are
 * not passed on; a bug that the kernel does not see in this CPU is told as one
 * that is not there, since old microcode has no MSR to say so.
 */
#define ARCH_CAP_PASSED ( \
	ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_RSBA | ARCH_CAP_SSB_NO | \
	ARCH_CAP_MDS_NO | ARCH_CAP_PSCHANGE_MC_NO | ARCH_CAP_TAA_NO | \
	ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO | \
	ARCH_CAP_FB_CLEAR | ARCH_CAP_RRSBA | ARCH_CAP_PBRSB_NO | \
	ARCH_CAP_GDS_NO | ARCH_CAP_RFDS_NO | ARCH_CAP_BHI_NO | ARCH_CAP_ITS_NO)

static u64 arch_capabilities(void)
{
	u64 value = 0;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrl_safe(MSR_IA32_ARCH_CAPABILITIES, &value);
	value &= ARCH_CAP_PASSED;
	if (!boot_cpu_has_bug(X86_BUG_CPU_MELTDOWN))
		value |= ARCH_CAP_RDCL_NO;
	if (!boot_cpu_has_bug(X86_BUG_SPEC_STORE_BYPASS))
		value |= ARCH_CAP_SSB_NO;
	if (!boot_cpu_has_bug(X86_BUG_MDS))
		value |= ARCH_CAP_MDS_NO;
	if (!boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT))
		value |= ARCH_CAP_PSCHANGE_MC_NO;
	if (!boot_cpu_has_bug(X86_BUG_GDS))
		value |= ARCH_CAP_GDS_NO;
	if (!boot_cpu_has_bug(X86_BUG_RFDS))
		value |= ARCH_CAP_RFDS_NO;
	if (!boot_cpu_has_bug(X86_BUG_ITS))
		value |= ARCH_CAP_ITS_NO;
	/* No RTM, no TAA: and the guest sees that there is no RTM. */
	if (!boot_cpu_has(X86_FEATURE_RTM))
		value &= ~ARCH_CAP_TAA_NO;
	return value;
}

static int get_arch_capabilities(const struct msr_access *a, u64 *value)
{
	*value = a->vcpu ? a->vcpu->arch.msr.arch_capabilities : arch_capabilities();
	return 0;
}

/* User space may say of its guest's CPU what it likes, as to KVM. */
static int set_arch_capabilities(const struct msr_access *a, u64 value)
{
	a->vcpu->arch.msr.arch_capabilities = value;
	return 0;
}

static int get_ucode_rev(const struct msr_access *a, u64 *value)
{
	*value = 0;
	if (a->vcpu)
		*value = a->vcpu->arch.msr.ucode_rev;
	else
		rdmsrl_safe(MSR_IA32_UCODE_REV, value);
	return 0;
}

static u64 host_de_cfg(void)
{
	return boot_cpu_has(X86_FEATURE_LFENCE_RDTSC) ? MSR_AMD64_DE_CFG_LFENCE_SERIALIZE : 0;
}

static int get_de_cfg(const struct msr_access *a, u64 *value)
{
	*value = a->vcpu ? a->vcpu->arch.msr.de_cfg : host_de_cfg();
	return 0;
}

/* The guest may write what is there already (old Linux writes it blindly). */
static int set_de_cfg(const struct msr_access *a, u64 value)
{
	u64 *de_cfg = &a->vcpu->arch.msr.de_cfg;

	if ((value & ~host_de_cfg()) || (!a->host && value != *de_cfg))
		return 1;
	*de_cfg = value;
	return 0;
}

/* Speculation control: bits follow the guest's CPUID, whichever way it says so. */
static u64 spec_ctrl_bits(struct vcpu *vcpu, bool host)
{
	static const struct {
		u16 feature, bit;
	} bits[] = {
		{ X86_FEATURE_SPEC_CTRL, SPEC_CTRL_IBRS },
		{ X86_FEATURE_AMD_IBRS, SPEC_CTRL_IBRS },
		{ X86_FEATURE_INTEL_STIBP, SPEC_CTRL_STIBP },
		{ X86_FEATURE_AMD_STIBP, SPEC_CTRL_STIBP },
		{ X86_FEATURE_SPEC_CTRL_SSBD, SPEC_CTRL_SSBD },
		{ X86_FEATURE_AMD_SSBD, SPEC_CTRL_SSBD },
	};
	u64 allowed = 0;
	unsigned int i;

	/* A bit that the CPU lacks would fault on the way into the guest. */
	if (!boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL))
		return 0;
	for (i = 0; i < ARRAY_SIZE(bits); i++)
		if (cpuid_offered(bits[i].feature) && (host || guest_has(vcpu, bits[i].feature)))
			allowed |= bits[i].bit;
	return allowed;
}

/**
 * guest_has_spec_ctrl() - does this guest have IA32_SPEC_CTRL?
 * @vcpu: the vCPU
 *
 * Return: false also if user space claims features that the CPU lacks: the
 * MSR must not be touched there.
 */
bool guest_has_spec_ctrl(struct vcpu *vcpu)
{
	return spec_ctrl_bits(vcpu, false);
}

static int get_spec_ctrl(const struct msr_access *a, u64 *value)
{
	if (!a->host && !guest_has_spec_ctrl(a->vcpu))
		return 1;
	*value = a->vcpu->arch.msr.spec_ctrl;
	return 0;
}

static int set_spec_ctrl(const struct msr_access *a, u64 value)
{
	u64 allowed = spec_ctrl_bits(a->vcpu, a->host);

	if ((!a->host && !allowed) || (value & ~allowed))
		return 1;
	a->vcpu->arch.msr.spec_ctrl = value;
	return static_call(vendor_set_msr)(a->vcpu, a->index, value) > 0;
}

static int set_pred_cmd(const struct msr_access *a, u64 value)
{
	if (!a->host && !guest_has(a->vcpu, X86_FEATURE_SPEC_CTRL) &&
	    !guest_has(a->vcpu, X86_FEATURE_AMD_IBPB))
		return 1;
	if (!boot_cpu_has(X86_FEATURE_IBPB) || (value & ~PRED_CMD_IBPB))
		return 1;
	if (value)
		wrmsrl(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
	return 0;
}

static int get_refuse(const struct msr_access *a, u64 *value)
{
	return 1;
}

static int set_zero_only(const struct msr_access *a, u64 value)
{
	return value != 0;
}

static int set_refuse(const struct msr_access *a, u64 value)
{
	return 1;
}

/*
 * EMON is read-only and its writes are dropped; the two that say "no BTS, no
 * PEBS" may not be changed. MWAIT shows in CPUID when that quirk is off.
 */
#define MISC_ENABLE_NO_PMU \
	(MSR_IA32_MISC_ENABLE_BTS_UNAVAIL | MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL)

static int set_misc_enable(const struct msr_access *a, u64 value)
{
	struct vcpu *vcpu = a->vcpu;
	u64 old = vcpu->arch.msr.misc_enable;
	bool quirk = !(vcpu->vm->arch.disabled_quirks & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT);

	if (!a->host) {
		if ((old ^ value) & MISC_ENABLE_NO_PMU)
			return 1;
		value &= ~MSR_IA32_MISC_ENABLE_EMON;
		value |= old & MSR_IA32_MISC_ENABLE_EMON;
	}
	if (!quirk && ((old ^ value) & MSR_IA32_MISC_ENABLE_MWAIT) &&
	    !guest_has(vcpu, X86_FEATURE_XMM3))
		return 1;
	vcpu->arch.msr.misc_enable = value;
	if (!quirk)
		cpuid_runtime(vcpu);
	return 0;
}

static int get_platform_info(const struct msr_access *a, u64 *value)
{
	if (!a->host && a->vcpu->vm->arch.hide_platform_info)
		return 1;
	*value = a->vcpu->arch.msr.platform_info;
	return 0;
}

static int set_platform_info(const struct msr_access *a, u64 value)
{
	struct msr_state *m = &a->vcpu->arch.msr;

	if (!(value & MSR_PLATFORM_INFO_CPUID_FAULT) &&
	    (m->misc_features & MSR_MISC_FEATURES_ENABLES_CPUID_FAULT))
		return 1;
	m->platform_info = value;
	return 0;
}

static int set_misc_features(const struct msr_access *a, u64 value)
{
	struct msr_state *m = &a->vcpu->arch.msr;

	if ((value & MSR_MISC_FEATURES_ENABLES_CPUID_FAULT) &&
	    !(m->platform_info & MSR_PLATFORM_INFO_CPUID_FAULT))
		return 1;
	m->misc_features = value;
	return 0;
}

static int set_xss(const struct msr_access *a, u64 value)
{
	a->vcpu->arch.msr.xss = value;
	cpuid_runtime(a->vcpu);
	return 0;
}

static int get_tsc_aux(const struct msr_access *a, u64 *value)
{
	if (!a->host && !guest_has(a->vcpu, X86_FEATURE_RDTSCP) &&
	    !guest_has(a->vcpu, X86_FEATURE_RDPID))
		return 1;
	*value = a->vcpu->arch.msr.tsc_aux;
	return 0;
}

/* 32 bits; Intel's CPUs fault on more, AMD's drop them (APM vol. 2, TSC_AUX). */
static int set_tsc_aux(const struct msr_access *a, u64 value)
{
	bool intel = guest_is_intel(a->vcpu);
	u64 ignored;

	if (get_tsc_aux(a, &ignored) || (intel && upper_32_bits(value)))
		return 1;
	tsc_aux_set(a->vcpu, lower_32_bits(value));
	return 0;
}

/* Once locked, only user space changes it (SDM vol. 3, 24.7). */
static int set_feature_control(const struct msr_access *a, u64 value)
{
	u64 *fc = &a->vcpu->arch.msr.feature_control;

	if (!a->host && (*fc & FEAT_CTL_LOCKED))
		return 1;
	*fc = value;
	return 0;
}

/* BIOS-era knobs that may be set and mean nothing here; McStatusWrEn is real. */
#define HWCR_IGNORED	(BIT_ULL(3) | BIT_ULL(6) | BIT_ULL(8))
#define HWCR_KEPT	(BIT_ULL(18) | BIT_ULL(24))

static int set_hwcr(const struct msr_access *a, u64 value)
{
	value &= ~HWCR_IGNORED;
	if (value & ~HWCR_KEPT)
		return 1;
	a->vcpu->arch.msr.hwcr = value;
	return 0;
}

/* Machine-check banks: mce.c. */
static int get_mce(const struct msr_access *a, u64 *value)
{
	return mce_get(a->vcpu, a->index, value, a->host);
}

static int set_mce(const struct msr_access *a, u64 value)
{
	return mce_set(a->vcpu, a->index, value, a->host);
}

/* Hyper-V's: x86/hyperv/msr.c has a table of them. */
static int get_hv(const struct msr_access *a, u64 *value)
{
	return hv_msr_get(a->vcpu, a->index, value, a->host);
}

static int set_hv(const struct msr_access *a, u64 value)
{
	return hv_msr_set(a->vcpu, a->index, value, a->host);
}

/* KVM's own: <asm/kvm_para.h>. Each is there if its feature is. */
static const struct {
	u32 msr;
	u8 feature;
} pv_msrs[] = {
	{ MSR_KVM_WALL_CLOCK,		KVM_FEATURE_CLOCKSOURCE },
	{ MSR_KVM_SYSTEM_TIME,		KVM_FEATURE_CLOCKSOURCE },
	{ MSR_KVM_WALL_CLOCK_NEW,	KVM_FEATURE_CLOCKSOURCE2 },
	{ MSR_KVM_SYSTEM_TIME_NEW,	KVM_FEATURE_CLOCKSOURCE2 },
	{ MSR_KVM_STEAL_TIME,		KVM_FEATURE_STEAL_TIME },
	{ MSR_KVM_PV_EOI_EN,		KVM_FEATURE_PV_EOI },
	{ MSR_KVM_POLL_CONTROL,		KVM_FEATURE_POLL_CONTROL },
};

static bool pv_msr_allowed(const struct msr_access *a)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pv_msrs); i++)
		if (pv_msrs[i].msr == a->index)
			return cpuid_pv_has(a->vcpu, pv_msrs[i].feature);
	return false;
}

/* User space's alone: a guest changes it by RSM. */
static int get_smbase(const struct msr_access *a, u64 *value)
{
	*value = a->vcpu->arch.msr.smbase;
	return !a->host;
}

static int set_smbase(const struct msr_access *a, u64 value)
{
	if (!a->host)
		return 1;
	a->vcpu->arch.msr.smbase = value;
	return 0;
}

static int get_pv(const struct msr_access *a, u64 *value)
{
	if (!pv_msr_allowed(a))
		return 1;
	switch (a->index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*value = a->vcpu->vm->arch.wall_clock_msr;
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*value = a->vcpu->arch.pv.system_time_msr;
		return 0;
	case MSR_KVM_STEAL_TIME:
		*value = a->vcpu->arch.pv.steal_time_msr;
		return 0;
	case MSR_KVM_PV_EOI_EN:
		*value = a->vcpu->arch.pv.eoi_msr;
		return 0;
	case MSR_KVM_POLL_CONTROL:
		*value = a->vcpu->arch.msr.poll_control;
		return 0;
	}
	return 1;
}

static int set_pv(const struct msr_access *a, u64 value)
{
	if (!pv_msr_allowed(a))
		return 1;
	switch (a->index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		a->vcpu->vm->arch.wall_clock_msr = value;
		clock_write_wall(a->vcpu, value);
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		clock_set_system_time(a->vcpu, value);
		return 0;
	case MSR_KVM_STEAL_TIME:
		return clock_set_steal_time(a->vcpu, value);
	case MSR_KVM_PV_EOI_EN:
		return pv_eoi_set(a->vcpu, value);
	case MSR_KVM_POLL_CONTROL:
		if (value & ~1ULL)
			return 1;
		a->vcpu->arch.msr.poll_control = value;
		return 0;
	}
	return 1;
}

/* Rows of a few common kinds. */
#define ONE(i)			.first = (i), .last = (i)
#define RANGE(i, j)		.first = (i), .last = (j)
#define STORED(member, mask)	.offset = IN(member), .writable = (mask)
#define FUNCS(g, s)		.offset = NO_HOME, .get = (g), .set = (s), .writable = ANY
#define READS(v, s)		.offset = NO_HOME, .value = (v), .set = (s), .writable = ANY
/* The vendor's, or, if it does not want it, zero, and takes only zero. */
#define VENDOR_OR_ZERO		.offset = NO_HOME, .set = set_zero_only, .writable = ANY

static struct msr_row rows[] = {
	/* P5's machine-check registers: zero */
	{ RANGE(MSR_IA32_P5_MC_ADDR, MSR_IA32_P5_MC_TYPE), 0, READS(0, set_refuse) },
	{ ONE(MSR_IA32_TSC), MSR_LISTED, FUNCS(get_tsc, set_tsc) },
	{ ONE(MSR_KVM_WALL_CLOCK), MSR_LISTED, FUNCS(get_pv, set_pv) },
	{ ONE(MSR_KVM_SYSTEM_TIME), MSR_LISTED, FUNCS(get_pv, set_pv) },
	{ ONE(MSR_IA32_PLATFORM_ID), 0, READS(0, set_zero_only) },
	{ ONE(MSR_IA32_APICBASE), 0, FUNCS(get_apic_base, set_apic_base) },
	{ ONE(MSR_IA32_EBL_CR_POWERON), 0, READS(0, set_zero_only) },
	/* P4's bus frequency: the field's value for 100 MHz, which cannot be 0 */
	{ ONE(MSR_EBC_FREQUENCY_ID), 0, READS(1 << 24, set_zero_only) },
	{ ONE(MSR_SMI_COUNT), MSR_LISTED | MSR_RO, STORED(smi_count, ANY) },
	{ ONE(MSR_IA32_FEAT_CTL), MSR_LISTED | MSR_INTEL, .offset = IN(feature_control),
	  .writable = FEAT_CTL_LOCKED, .set = set_feature_control },
	{ ONE(MSR_IA32_TSC_ADJUST), MSR_LISTED, .offset = IN(tsc_adjust), .writable = ANY,
	  .set = set_tsc_adjust },
	{ RANGE(MSR_LBR_CORE_FROM, MSR_LBR_CORE_FROM + 7), MSR_INTEL, READS(0, set_zero_only) },
	{ ONE(MSR_IA32_SPEC_CTRL), MSR_LISTED, FUNCS(get_spec_ctrl, set_spec_ctrl) },
	{ ONE(MSR_IA32_PRED_CMD), 0, FUNCS(get_refuse, set_pred_cmd) },
	{ RANGE(MSR_LBR_CORE_TO, MSR_LBR_CORE_TO + 7), MSR_INTEL, READS(0, set_zero_only) },
	{ ONE(MSR_IA32_UCODE_WRITE), MSR_IGNORE, READS(0, NULL) },
	/* AMD: PATCH_LEVEL */
	{ ONE(MSR_IA32_UCODE_REV), MSR_LISTED | MSR_FEATURE | MSR_IGNORE,
	  .offset = IN(ucode_rev), .writable = ANY, .get = get_ucode_rev },
	{ ONE(MSR_IA32_SMBASE), MSR_LISTED, FUNCS(get_smbase, set_smbase) },
	{ RANGE(MSR_P6_PERFCTR0, MSR_P6_PERFCTR1), MSR_IGNORE, READS(0, NULL) },
	{ ONE(MSR_FSB_FREQ), 0, READS(3, set_zero_only) },
	{ ONE(MSR_PLATFORM_INFO), MSR_LISTED | MSR_RO, FUNCS(get_platform_info, set_platform_info) },
	/* Write-combining, fixed ranges, eight variable ones */
	{ ONE(MSR_MTRRcap), 0, READS(0x500 | MTRR_VARIABLE, set_refuse) },
	{ ONE(MSR_IA32_ARCH_CAPABILITIES), MSR_LISTED | MSR_FEATURE | MSR_RO | MSR_ASK,
	  .feature = X86_FEATURE_ARCH_CAPABILITIES,
	  FUNCS(get_arch_capabilities, set_arch_capabilities) },
	{ ONE(MSR_IA32_BBL_CR_CTL3), 0, READS(0xbe702111, set_zero_only) },
	{ ONE(MSR_MISC_FEATURES_ENABLES), MSR_LISTED, .offset = IN(misc_features),
	  .writable = MSR_MISC_FEATURES_ENABLES_CPUID_FAULT, .set = set_misc_features },
	{ ONE(MSR_IA32_SYSENTER_CS), MSR_LISTED | MSR_VENDOR, VENDOR_OR_ZERO },
	{ RANGE(MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP),
	  MSR_LISTED | MSR_VENDOR | MSR_EXTEND, VENDOR_OR_ZERO },
	{ ONE(MSR_IA32_MCG_CAP), 0, FUNCS(get_mce, set_refuse) },
	{ ONE(MSR_IA32_MCG_STATUS), MSR_LISTED, FUNCS(get_mce, set_mce) },
	{ ONE(MSR_IA32_MCG_CTL), MSR_LISTED, FUNCS(get_mce, set_mce) },
	{ RANGE(MSR_P6_EVNTSEL0, MSR_P6_EVNTSEL1), MSR_IGNORE, READS(0, NULL) },
	/* 1.0 GHz at the present ratio of 4: some guests divide by it */
	{ ONE(MSR_IA32_PERF_STATUS), MSR_IGNORE, READS(1000ULL | 4ULL << 40, NULL) },
	{ ONE(MSR_IA32_PERF_CTL), MSR_IGNORE, READS(0, NULL) },
	{ ONE(MSR_IA32_MISC_ENABLE), MSR_LISTED, .offset = IN(misc_enable), .writable = ANY,
	  .set = set_misc_enable },
	{ RANGE(MSR_LBR_SELECT, MSR_LBR_TOS), MSR_INTEL | MSR_VENDOR, VENDOR_OR_ZERO },
	{ ONE(MSR_IA32_DEBUGCTLMSR), MSR_VENDOR, STORED(debugctl, 0) },
	{ RANGE(MSR_IA32_LASTBRANCHFROMIP, MSR_IA32_LASTINTTOIP), MSR_VENDOR, VENDOR_OR_ZERO },
	{ ONE(MSR_IA32_POWER_CTL), MSR_LISTED, STORED(power_ctl, ANY) },
	{ RANGE(MTRRphysBase_MSR(0), MTRRphysMask_MSR(MTRR_VARIABLE - 1)), MSR_LISTED,
	  .offset = IN(mtrr_var), .writable = ANY, .set = set_mtrr_variable },
	{ ONE(MSR_MTRRfix64K_00000), MSR_LISTED, FUNCS(get_mtrr_fixed, set_mtrr_fixed) },
	{ RANGE(MSR_MTRRfix16K_80000, MSR_MTRRfix16K_A0000), MSR_LISTED,
	  FUNCS(get_mtrr_fixed, set_mtrr_fixed) },
	{ RANGE(MSR_MTRRfix4K_C0000, MSR_MTRRfix4K_F8000), MSR_LISTED,
	  FUNCS(get_mtrr_fixed, set_mtrr_fixed) },
	{ ONE(MSR_IA32_CR_PAT), MSR_LISTED, .offset = IN(pat), .writable = ANY, .set = set_pat },
	{ RANGE(MSR_IA32_MC0_CTL2, MSR_IA32_MCx_CTL2(MCE_BANKS - 1)), 0, FUNCS(get_mce, set_mce) },
	{ ONE(MSR_MTRRdefType), MSR_LISTED, .offset = IN(mtrr_def_type), .writable = ANY,
	  .set = set_mtrr_def_type },
	/* There is no PMU: listed as KVM lists it, and always 0 */
	{ ONE(MSR_IA32_PERF_CAPABILITIES), MSR_LISTED | MSR_FEATURE | MSR_RO,
	  .feature = X86_FEATURE_PDCM, READS(0, set_zero_only) },
	{ RANGE(MSR_IA32_MC0_CTL, MSR_IA32_MCx_MISC(MCE_BANKS - 1)), 0, FUNCS(get_mce, set_mce) },
	{ ONE(MSR_IA32_MCG_EXT_CTL), 0, FUNCS(get_mce, set_mce) },
	{ ONE(MSR_RAPL_POWER_UNIT), 0, READS(0, set_zero_only) },
	{ ONE(MSR_PKG_ENERGY_STATUS), 0, READS(0, set_zero_only) },
	{ ONE(MSR_DRAM_ENERGY_STATUS), 0, READS(0, set_zero_only) },
	{ ONE(MSR_PP0_ENERGY_STATUS), 0, READS(0, set_zero_only) },
	{ ONE(MSR_PP1_ENERGY_STATUS), 0, READS(0, set_zero_only) },
	/* The last-branch stacks: Windows saves them around debug-register state */
	{ RANGE(MSR_LBR_NHM_FROM, MSR_LBR_NHM_FROM + 31), MSR_INTEL, READS(0, set_zero_only) },
	{ RANGE(MSR_LBR_NHM_TO, MSR_LBR_NHM_TO + 31), MSR_INTEL, READS(0, set_zero_only) },
	{ ONE(MSR_IA32_TSC_DEADLINE), MSR_LISTED, FUNCS(get_deadline, set_deadline) },
	{ RANGE(APIC_BASE_MSR, APIC_BASE_MSR + 0xff), 0, FUNCS(get_x2apic, set_x2apic) },
	/* No supervisor component is offered: nothing but 0 */
	{ ONE(MSR_IA32_XSS), MSR_LISTED, .feature = X86_FEATURE_XSAVES, .offset = IN(xss),
	  .writable = 0, .set = set_xss },
	{ RANGE(MSR_LBR_INFO_0, MSR_LBR_INFO_0 + 31), MSR_INTEL, READS(0, set_zero_only) },
	/* Of registers that there are several of, KVM lists the first, for all of them. */
	{ RANGE(HV_X64_MSR_GUEST_OS_ID, HV_X64_MSR_RESET), MSR_LISTED, FUNCS(get_hv, set_hv) },
	{ ONE(HV_X64_MSR_VP_RUNTIME), MSR_LISTED, FUNCS(get_hv, set_hv) },
	{ RANGE(HV_X64_MSR_TIME_REF_COUNT, HV_X64_MSR_APIC_FREQUENCY), MSR_LISTED,
	  FUNCS(get_hv, set_hv) },
	{ RANGE(HV_X64_MSR_EOI, HV_X64_MSR_TPR), 0, FUNCS(get_hv, set_hv) },
	{ ONE(HV_X64_MSR_VP_ASSIST_PAGE), MSR_LISTED, FUNCS(get_hv, set_hv) },
	{ ONE(HV_X64_MSR_SCONTROL), MSR_LISTED, FUNCS(get_hv, set_hv) },
	{ RANGE(HV_X64_MSR_SVERSION, HV_X64_MSR_EOM), 0, FUNCS(get_hv, set_hv) },
	{ RANGE(HV_X64_MSR_SINT0, HV_X64_MSR_SINT15), 0, FUNCS(get_hv, set_hv) },
	{ ONE(HV_X64_MSR_STIMER0_CONFIG), MSR_LISTED, FUNCS(get_hv, set_hv) },
	{ RANGE(HV_X64_MSR_STIMER0_COUNT, HV_X64_MSR_STIMER3_COUNT), 0, FUNCS(get_hv, set_hv) },
	/* The synthetic debugger's, which no header names */
	{ RANGE(0x400000f1, 0x400000f5), MSR_LISTED, FUNCS(get_hv, set_hv) },
	{ ONE(0x400000ff), MSR_LISTED, FUNCS(get_hv, set_hv) },
	{ RANGE(HV_X64_MSR_CRASH_P0, HV_X64_MSR_TSC_EMULATION_STATUS), MSR_LISTED,
	  FUNCS(get_hv, set_hv) },
	{ ONE(MSR_KVM_WALL_CLOCK_NEW), MSR_LISTED, FUNCS(get_pv, set_pv) },
	{ ONE(MSR_KVM_SYSTEM_TIME_NEW), MSR_LISTED, FUNCS(get_pv, set_pv) },
	{ ONE(MSR_KVM_STEAL_TIME), MSR_LISTED, FUNCS(get_pv, set_pv) },
	{ ONE(MSR_KVM_PV_EOI_EN), MSR_LISTED, FUNCS(get_pv, set_pv) },
	{ ONE(MSR_KVM_POLL_CONTROL), MSR_LISTED, FUNCS(get_pv, set_pv) },
	{ ONE(MSR_EFER), 0, FUNCS(get_efer, set_efer_msr) },
	{ ONE(MSR_STAR), MSR_LISTED | MSR_VENDOR, VENDOR_OR_ZERO },
	{ RANGE(MSR_LSTAR, MSR_CSTAR), MSR_LISTED | MSR_VENDOR | MSR_CANONICAL, VENDOR_OR_ZERO },
	{ ONE(MSR_SYSCALL_MASK), MSR_LISTED | MSR_VENDOR, VENDOR_OR_ZERO },
	/* In the segments of KVM_GET_SREGS as well */
	{ RANGE(MSR_FS_BASE, MSR_GS_BASE), MSR_VENDOR | MSR_CANONICAL, VENDOR_OR_ZERO },
	{ ONE(MSR_KERNEL_GS_BASE), MSR_LISTED | MSR_VENDOR | MSR_CANONICAL, VENDOR_OR_ZERO },
	{ ONE(MSR_TSC_AUX), MSR_LISTED, FUNCS(get_tsc_aux, set_tsc_aux) },
	{ RANGE(MSR_K7_EVNTSEL0, MSR_K7_PERFCTR3), MSR_IGNORE, READS(0, NULL) },
	{ ONE(MSR_AMD64_SYSCFG), MSR_IGNORE, READS(0, NULL) },
	{ ONE(MSR_K7_HWCR), MSR_LISTED, .offset = IN(hwcr), .writable = ANY, .set = set_hwcr },
	{ ONE(MSR_K7_CLK_CTL), MSR_IGNORE, READS(0x20000000, NULL) },
	{ ONE(MSR_AMD64_NB_CFG), MSR_IGNORE, READS(0, NULL) },
	{ ONE(MSR_AMD64_PATCH_LOADER), MSR_IGNORE, READS(0, NULL) },
	{ ONE(MSR_K8_INT_PENDING_MSG), MSR_IGNORE, READS(0, NULL) },
	{ ONE(MSR_FAM10H_MMIO_CONF_BASE), 0, READS(0, set_zero_only) },
	{ RANGE(MSR_AMD_PSTATE_FIRST, MSR_AMD_PSTATE_LAST), MSR_AMD | MSR_IGNORE, READS(0, NULL) },
	{ RANGE(MSR_K8_TSEG_ADDR, MSR_K8_TSEG_MASK), MSR_IGNORE, READS(0, NULL) },
	/* No SVM for the guest: its registers are there, and zero */
	{ ONE(MSR_VM_CR), MSR_AMD, READS(0, set_zero_only) },
	{ ONE(MSR_VM_HSAVE_PA), MSR_AMD | MSR_IGNORE, READS(0, NULL) },
	{ ONE(MSR_AMD64_VIRT_SPEC_CTRL), MSR_LISTED, .feature = X86_FEATURE_VIRT_SSBD,
	  STORED(virt_spec_ctrl, SPEC_CTRL_SSBD) },
	{ ONE(MSR_AMD64_OSVW_ID_LENGTH), MSR_RO, .feature = X86_FEATURE_OSVW,
	  STORED(osvw_length, ANY) },
	{ ONE(MSR_AMD64_OSVW_STATUS), MSR_RO, .feature = X86_FEATURE_OSVW,
	  STORED(osvw_status, ANY) },
	{ ONE(MSR_AMD64_DC_CFG), MSR_IGNORE, READS(0, NULL) },
	{ ONE(MSR_AMD64_TW_CFG), MSR_IGNORE, READS(0, NULL) },
	{ ONE(MSR_AMD64_DE_CFG), MSR_LISTED | MSR_FEATURE | MSR_AMD, FUNCS(get_de_cfg, set_de_cfg) },
	{ ONE(MSR_AMD64_BU_CFG2), MSR_IGNORE, READS(0, NULL) },
	{ ONE(MSR_F15H_EX_CFG), MSR_IGNORE, READS(0, NULL) },
};

static int compare(const void *key, const void *elt)
{
	const struct msr_row *row = elt;
	u32 index = *(const u32 *)key;

	return index < row->first ? -1 : index > row->last;
}

static const struct msr_row *find(u32 index)
{
	const struct msr_row *row;

	row = __inline_bsearch(&index, rows, ARRAY_SIZE(rows), sizeof(rows[0]), compare);
	return row && (row->flags & MSR_LIVE) ? row : NULL;
}

static bool exists_here(const struct msr_row *row)
{
	if ((row->flags & MSR_AMD) && !host_is_amd())
		return false;
	if ((row->flags & MSR_INTEL) && host_is_amd())
		return false;
	if (row->flags & MSR_ASK)
		return static_call(vendor_has_emulated_msr)(row->first);
	switch (row->first) {
	case MSR_IA32_SPEC_CTRL:
		return boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL);
	case MSR_AMD64_VIRT_SPEC_CTRL:
		return cpuid_offered(X86_FEATURE_VIRT_SSBD);
	case MSR_IA32_XSS:
		return cpuid_offered(X86_FEATURE_XSAVES);
	case MSR_TSC_AUX:
		return cpuid_offered(X86_FEATURE_RDTSCP) || cpuid_offered(X86_FEATURE_RDPID);
	}
	return true;
}

/**
 * msr_init() - find out which rows exist on this host
 *
 * Context: module load, after the vendor's verbs are in place and cpuid_init()
 * has run.
 */
void msr_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		/* A row out of order would hide others from the search. */
		if (i)
			WARN_ON(rows[i].first <= rows[i - 1].last);
		if (exists_here(&rows[i]))
			rows[i].flags |= MSR_LIVE;
	}
}

static bool feature_missing(const struct msr_row *row, const struct msr_access *a)
{
	return row->feature && !a->host && !guest_has(a->vcpu, row->feature);
}

/* The vendor's answer, for rows that say so and MSRs without one. */
static bool vendor_get(const struct msr_row *row, const struct msr_access *a, u64 *value, int *r)
{
	if (row && !(row->flags & MSR_VENDOR))
		return false;
	*r = static_call(vendor_get_msr)(a->vcpu, a->index, value);
	return *r != -ENOENT;
}

static bool vendor_set(const struct msr_row *row, const struct msr_access *a, u64 value, int *r)
{
	if (row && !(row->flags & MSR_VENDOR))
		return false;
	*r = static_call(vendor_set_msr)(a->vcpu, a->index, value);
	return *r != -ENOENT;
}

/*
 * Addresses have as many bits as the CPU can make use of, 48 or 57, the last of them
 * repeated (SDM vol. 1, 3.3.7.1). That is not a question of CR4.LA57, which user space
 * may restore after the MSRs, and which MSRs that do not exit are not asked about.
 */
static bool address_ok(const struct msr_row *row, u64 *value)
{
	u64 extended;

	if (likely(!(row->flags & (MSR_CANONICAL | MSR_EXTEND))))
		return true;
	extended = __canonical_address(*value, cpuid_offered(X86_FEATURE_LA57) ? 57 : 48);
	if ((row->flags & MSR_CANONICAL) && *value != extended)
		return false;
	*value = extended;
	return true;
}

/**
 * msr_get() - read an MSR
 * @vcpu:	the vCPU, loaded
 * @index:	the MSR
 * @value:	where the value goes
 * @host:	user space asks: nothing depends on the guest's CPUID
 *
 * Context: the vCPU's thread, vm->srcu held. Return: 0; else the guest gets a
 * #GP: -ENOENT if there is no such MSR, -EPERM if user space has filtered it, 1
 * for any other reason.
 */
int msr_get(struct vcpu *vcpu, u32 index, u64 *value, bool host)
{
	struct msr_access a = { vcpu, index, host };
	const struct msr_row *row = find(index);
	int r;

	*value = 0;
	if (!host && msr_filtered(vcpu->vm, index, false))
		return -EPERM;
	if (vendor_get(row, &a, value, &r))
		return r != 0;
	if (!row)
		return -ENOENT;
	if (feature_missing(row, &a))
		return 1;
	if (row->get)
		return row->get(&a, value);
	*value = row->offset == NO_HOME ? row->value : *home(vcpu, row, index);
	return 0;
}

/**
 * msr_set() - write an MSR
 * @vcpu:	the vCPU, loaded
 * @index:	the MSR
 * @value:	the new value
 * @host:	user space asks: it may also write what a guest may only read
 *
 * Context: the vCPU's thread, vm->srcu held; may sleep (the paravirtual clocks
 * write guest memory). Return: as msr_get().
 */
int msr_set(struct vcpu *vcpu, u32 index, u64 value, bool host)
{
	struct msr_access a = { vcpu, index, host };
	const struct msr_row *row = find(index);
	int r;

	if (!host && msr_filtered(vcpu->vm, index, true))
		return -EPERM;
	if (row && !address_ok(row, &value))
		return 1;
	if (vendor_set(row, &a, value, &r))
		return r != 0;
	if (!row)
		return -ENOENT;
	if (feature_missing(row, &a) || ((row->flags & MSR_RO) && !host))
		return 1;
	if ((row->flags & MSR_IGNORE) && !host)
		return 0;
	if (value & ~row->writable)
		return 1;
	if (row->set)
		return row->set(&a, value);
	if (row->offset != NO_HOME)
		*home(vcpu, row, index) = value;
	return 0;
}

/* A feature MSR: what this host can offer. 1: it is none. */
static int get_feature(u32 index, u64 *value)
{
	struct msr_access a = { NULL, index, true };
	const struct msr_row *row = find(index);

	if (!row || !(row->flags & MSR_FEATURE))
		return 1;
	if (row->get)
		return row->get(&a, value);
	*value = row->value;
	return 0;
}

static int list_to_user(struct kvm_msr_list __user *user, unsigned int flag)
{
	const struct msr_row *row;
	u32 fit, n = 0, index;

	if (get_user(fit, &user->nmsrs))
		return -EFAULT;
	for (row = rows; row < rows + ARRAY_SIZE(rows); row++)
		if ((row->flags & flag) && (row->flags & MSR_LIVE))
			n += row->last - row->first + 1;
	if (put_user(n, &user->nmsrs))
		return -EFAULT;
	if (fit < n)
		return -E2BIG;
	n = 0;
	for (row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		if (!(row->flags & flag) || !(row->flags & MSR_LIVE))
			continue;
		for (index = row->first; index <= row->last; index++)
			if (put_user(index, &user->indices[n++]))
				return -EFAULT;
	}
	return 0;
}

/**
 * msr_index_list() - KVM_GET_MSR_INDEX_LIST
 * @list: nmsrs says how many fit, and is set to how many there are
 *
 * Context: may sleep. Return: 0, -E2BIG, -EFAULT.
 */
int msr_index_list(struct kvm_msr_list __user *list)
{
	return list_to_user(list, MSR_LISTED);
}

/**
 * msr_feature_index_list() - KVM_GET_MSR_FEATURE_INDEX_LIST
 * @list: as msr_index_list()
 */
int msr_feature_index_list(struct kvm_msr_list __user *list)
{
	return list_to_user(list, MSR_FEATURE);
}

static int msr_io_one(struct vcpu *vcpu, struct kvm_msr_entry *e, bool write)
{
	if (!vcpu)
		return get_feature(e->index, &e->data);
	return write ? msr_set(vcpu, e->index, e->data, true) :
		       msr_get(vcpu, e->index, &e->data, true);
}

/* How many were done before the first that cannot be. */
static int msr_io_all(struct vcpu *vcpu, struct kvm_msrs __user *user, bool write)
{
	struct kvm_msr_entry *e;
	struct kvm_msrs head;
	unsigned int i;
	size_t size;
	int r;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= MSR_IO_MAX)
		return -E2BIG;
	if (!head.nmsrs)
		return 0;
	size = head.nmsrs * sizeof(*e);
	e = memdup_user(user->entries, size);
	if (IS_ERR(e))
		return PTR_ERR(e);
	for (i = 0; i < head.nmsrs; i++)
		if (msr_io_one(vcpu, &e[i], write))
			break;
	r = i;
	if (!write && copy_to_user(user->entries, e, size))
		r = -EFAULT;
	kfree(e);
	return r;
}

/**
 * msr_io() - KVM_GET_MSRS and KVM_SET_MSRS of a vCPU
 * @vcpu:	the vCPU, loaded
 * @msrs:	which, and their values
 * @write:	set them
 *
 * Context: vcpu->lock held; may sleep. Return: how many were read or written
 * before the first that could not be; -E2BIG, -EFAULT, -ENOMEM.
 */
int msr_io(struct vcpu *vcpu, struct kvm_msrs __user *msrs, bool write)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	int r = msr_io_all(vcpu, msrs, write);

	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

/**
 * msr_feature_io() - KVM_GET_MSRS of /dev/minikvm: feature MSRs
 * @msrs: as msr_io()
 */
int msr_feature_io(struct kvm_msrs __user *msrs)
{
	return msr_io_all(NULL, msrs, false);
}

/**
 * msr_vcpu_init() - the MSRs of a new vCPU that are not zero
 * @vcpu: the vCPU; vcpu_reset() follows
 *
 * An INIT does not come here: it leaves them alone (SDM vol. 3, table 10-1).
 */
void msr_vcpu_init(struct vcpu *vcpu)
{
	struct msr_state *m = &vcpu->arch.msr;

	m->pat = PAT_RESET;
	m->misc_enable = MISC_ENABLE_NO_PMU;
	m->arch_capabilities = arch_capabilities();
	m->platform_info = MSR_PLATFORM_INFO_CPUID_FAULT;
	m->ucode_rev = host_is_amd() ? 0x01000065 : 0x100000000ULL;
	m->mcg_cap = MCE_BANKS;
	/* Errata 298 (0), 400 (1) and 415 (2) are known, and none is here. */
	m->osvw_length = 3;
	m->poll_control = 1;
	/* Hardware passes nothing yet, and the VM may have a filter already. */
	vcpu_request(vcpu, VCPU_REQ_MSR_FILTER);
}
