/* SPDX-License-Identifier: GPL-2.0 */
/*
 * When to warn that a guest can read what its host left in the L1D. The decisions
 * alone, so that they can be tested over all their inputs.
 */
#ifndef MINIKVM_X86_VMX_L1TF_H
#define MINIKVM_X86_VMX_L1TF_H

/* The kernel's mitigations, as far as they differ here. */
enum l1tf_choice {
	L1TF_CHOICE_OFF,		/* the admin said so: no word about it */
	L1TF_CHOICE_FLUSH_NOWARN,	/* likewise */
	L1TF_CHOICE_FLUSH,		/* flushes, and leaves SMT as it is */
	L1TF_CHOICE_FULL_FORCE,		/* SMT is off and stays off */
};

/**
 * l1tf_smt_warning() - is SMT an open door, now?
 * @affected:		the CPU has the bug
 * @choice:		what the mitigation does
 * @siblings_online:	two threads of a core are online at this moment
 *
 * Return: whether to warn.
 */
static inline bool l1tf_smt_warning(bool affected, enum l1tf_choice choice,
				    bool siblings_online)
{
	return affected && choice == L1TF_CHOICE_FLUSH && siblings_online;
}

/**
 * l1tf_flush_warning() - does the guest find the L1D as the host leaves it?
 * @ours:	to flush it is up to us
 * @choice:	what the mitigation does
 * @can_flush:	the CPU has a flush
 *
 * Return: whether to warn.
 */
static inline bool l1tf_flush_warning(bool ours, enum l1tf_choice choice, bool can_flush)
{
	return ours && !can_flush && choice != L1TF_CHOICE_OFF &&
	       choice != L1TF_CHOICE_FLUSH_NOWARN;
}

#endif
