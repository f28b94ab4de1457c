// SPDX-License-Identifier: GPL-2.0
/*
 * The machine-check architecture of a vCPU: its banks, and errors that user
 * space injects (SDM vol. 3, ch. 16). No error of the host's comes here.
 */
#include <linux/nospec.h>
#include <asm/mce.h>
#include <asm/msr-index.h>
#include <asm/trapnr.h>
#include "x86/x86.h"

enum { BANK_CTL, BANK_STATUS, BANK_ADDR, BANK_MISC, BANK_REGS };

#define HWCR_MC_STATUS_WR_EN	BIT_ULL(18)

static unsigned int banks(struct vcpu *vcpu)
{
	return vcpu->arch.msr.mcg_cap & MCG_BANKCNT_MASK;
}

/**
 * mce_configure() - KVM_X86_SETUP_MCE
 * @vcpu:	the vCPU
 * @cap:	IA32_MCG_CAP
 *
 * Context: vcpu->lock held. Return: 0 or -EINVAL.
 */
int mce_configure(struct vcpu *vcpu, u64 cap)
{
	struct msr_state *m = &vcpu->arch.msr;
	unsigned int n = cap & MCG_BANKCNT_MASK, i;

	if (!n || n > MCE_BANKS ||
	    (cap & ~(MCE_CAPS | MCG_BANKCNT_MASK | MCG_EXT_CNT_MASK)))
		return -EINVAL;
	m->mcg_cap = cap;
	if (cap & MCG_CTL_P)
		m->mcg_ctl = ~0ULL;
	for (i = 0; i < n; i++)
		m->mce_banks[i * BANK_REGS + BANK_CTL] = ~0ULL;
	return 0;
}

static void log_error(u64 *bank, const struct kvm_x86_mce *mce)
{
	u64 overflow = bank[BANK_STATUS] & MCI_STATUS_VAL ? MCI_STATUS_OVER : 0;

	bank[BANK_ADDR] = mce->addr;
	bank[BANK_MISC] = mce->misc;
	bank[BANK_STATUS] = mce->status | overflow;
}

static void raise_uncorrected(struct vcpu *vcpu, u64 *bank, const struct kvm_x86_mce *mce)
{
	struct msr_state *m = &vcpu->arch.msr;

	/* Reporting of it is off: for all banks, or for this one. */
	if (((m->mcg_cap & MCG_CTL_P) && m->mcg_ctl != ~0ULL) || bank[BANK_CTL] != ~0ULL)
		return;
	/* A second one while the first is handled, or none wanted: shutdown. */
	if ((m->mcg_status & MCG_STATUS_MCIP) || !(vcpu->arch.cr4 & X86_CR4_MCE)) {
		vcpu_request(vcpu, VCPU_REQ_TRIPLE_FAULT);
		return;
	}
	log_error(bank, mce);
	m->mcg_status = mce->mcg_status;
	queue_exception(vcpu, X86_TRAP_MC);
}

/**
 * mce_inject() - KVM_X86_SET_MCE
 * @vcpu:	the vCPU
 * @mce:	the error
 *
 * Context: vcpu->lock held. Return: 0 or -EINVAL.
 */
int mce_inject(struct vcpu *vcpu, const struct kvm_x86_mce *mce)
{
	u64 *bank;

	if (mce->bank >= banks(vcpu) || !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = &vcpu->arch.msr.mce_banks[array_index_nospec(mce->bank, MCE_BANKS) * BANK_REGS];
	if (mce->status & MCI_STATUS_UC)
		raise_uncorrected(vcpu, bank, mce);
	else if ((bank[BANK_STATUS] & MCI_STATUS_VAL) && (bank[BANK_STATUS] & MCI_STATUS_UC))
		bank[BANK_STATUS] |= MCI_STATUS_OVER;	/* the worse one stays */
	else
		log_error(bank, mce);
	return 0;
}

static u64 *bank_reg(struct vcpu *vcpu, u32 index)
{
	u32 i = index - MSR_IA32_MC0_CTL;

	if (i >= banks(vcpu) * BANK_REGS)
		return NULL;
	return &vcpu->arch.msr.mce_banks[array_index_nospec(i, MCE_BANKS * BANK_REGS)];
}

static u64 *ctl2_reg(struct vcpu *vcpu, u32 index)
{
	u32 i = index - MSR_IA32_MC0_CTL2;

	if (i >= banks(vcpu))
		return NULL;
	return &vcpu->arch.msr.mce_ctl2[array_index_nospec(i, MCE_BANKS)];
}

/* The register, or NULL if this vCPU does not have it for whom asks. */
static u64 *reg(struct vcpu *vcpu, u32 index, bool host)
{
	struct msr_state *m = &vcpu->arch.msr;

	switch (index) {
	case MSR_IA32_MCG_CAP:
		return &m->mcg_cap;
	case MSR_IA32_MCG_STATUS:
		return &m->mcg_status;
	case MSR_IA32_MCG_CTL:
		return host || (m->mcg_cap & MCG_CTL_P) ? &m->mcg_ctl : NULL;
	case MSR_IA32_MCG_EXT_CTL:
		return m->mcg_cap & MCG_LMCE_P ? &m->mcg_ext_ctl : NULL;
	case MSR_IA32_MC0_CTL2 ... MSR_IA32_MCx_CTL2(MCE_BANKS - 1):
		return host || (m->mcg_cap & MCG_CMCI_P) ? ctl2_reg(vcpu, index) : NULL;
	}
	return bank_reg(vcpu, index);
}

/**
 * mce_get() - read a machine-check MSR
 * @vcpu:	the vCPU
 * @index:	the MSR
 * @value:	where the value goes
 * @host:	user space asks
 *
 * Return: 0, or 1 for #GP.
 */
int mce_get(struct vcpu *vcpu, u32 index, u64 *value, bool host)
{
	u64 *p = reg(vcpu, index, host);

	if (!p)
		return 1;
	*value = *p;
	return 0;
}

static bool bank_value_ok(struct vcpu *vcpu, u32 index, u64 value, bool host)
{
	switch ((index - MSR_IA32_MC0_CTL) % BANK_REGS) {
	case BANK_CTL:
		/*
		 * All ones or zero; but Linux clears bit 10 for a K8 erratum,
		 * and UnixWare clears bit 0.
		 */
		return !value || (value | BIT(10) | 1) == ~0ULL;
	case BANK_STATUS:
		/* Only zero, unless HWCR.McStatusWrEn (APM vol. 2, 9.3.2.1). */
		return host || !value || (vcpu->arch.msr.hwcr & HWCR_MC_STATUS_WR_EN);
	}
	return true;
}

static bool value_ok(struct vcpu *vcpu, u32 index, u64 value, bool host)
{
	switch (index) {
	case MSR_IA32_MCG_CTL:
		return !value || value == ~0ULL;
	case MSR_IA32_MCG_EXT_CTL:
		return !(value & ~MCG_EXT_CTL_LMCE_EN);
	case MSR_IA32_MC0_CTL2 ... MSR_IA32_MCx_CTL2(MCE_BANKS - 1):
		return !(value & ~(MCI_CTL2_CMCI_EN | MCI_CTL2_CMCI_THRESHOLD_MASK)) &&
		       (!value || (vcpu->arch.msr.mcg_cap & MCG_CMCI_P));
	case MSR_IA32_MC0_CTL ... MSR_IA32_MCx_MISC(MCE_BANKS - 1):
		return bank_value_ok(vcpu, index, value, host);
	}
	return true;
}

/**
 * mce_set() - write a machine-check MSR
 * @vcpu:	the vCPU
 * @index:	the MSR
 * @value:	the new value
 * @host:	user space asks
 *
 * Return: 0, or 1 for #GP.
 */
int mce_set(struct vcpu *vcpu, u32 index, u64 value, bool host)
{
	u64 *p = reg(vcpu, index, host && !value);

	if (!p || !value_ok(vcpu, index, value, host))
		return 1;
	*p = value;
	return 0;
}
