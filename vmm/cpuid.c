// SPDX-License-Identifier: GPL-2.0
/*
 * One table: a leaf, and what makes it the vCPU's own (Intel SDM volume 2,
 * CPUID; AMD APM volume 3, appendix E).
 */
#include "cpuid.h"

#include <stddef.h>
#include <stdint.h>

#define LEAF1_TSC_DEADLINE	(1U << 24)	/* ECX */
#define LEAF1_HYPERVISOR	(1U << 31)	/* ECX */
#define LEAF1_HTT		(1U << 28)	/* EDX: leaf 1 EBX[23:16] is valid */
#define AMD_CMP_LEGACY		(1U << 1)	/* 0x80000001 ECX: cores, not threads */

struct identity {
	unsigned int apic_id;
	unsigned int cpus;
	unsigned int id_bits;	/* of the APIC ID that number the cores */
	bool tsc_deadline;
};

static void features(struct kvm_cpuid_entry2 *entry, const struct identity *id)
{
	entry->ebx = (entry->ebx & 0xff00) | id->apic_id << 24 | (1U << id->id_bits & 0xff) << 16;
	entry->ecx &= ~LEAF1_TSC_DEADLINE;
	entry->ecx |= LEAF1_HYPERVISOR | (id->tsc_deadline ? LEAF1_TSC_DEADLINE : 0);
	entry->edx &= ~LEAF1_HTT;
	entry->edx |= id->cpus > 1 ? LEAF1_HTT : 0;
}

/* Deterministic cache parameters: who shares each cache, cores in the package. */
static void caches(struct kvm_cpuid_entry2 *entry, const struct identity *id)
{
	unsigned int level = entry->eax >> 5 & 7;
	unsigned int sharers = level >= 3 ? (1U << id->id_bits) - 1 : 0;

	if (!(entry->eax & 0x1f))
		return;
	entry->eax = (entry->eax & 0x3fff) | sharers << 14 | ((1U << id->id_bits) - 1) << 26;
}

static void topology(struct kvm_cpuid_entry2 *entry, const struct identity *id)
{
	switch (entry->index) {
	case 0:		/* threads of a core */
		entry->eax = 0;
		entry->ebx = 1;
		entry->ecx = 1 << 8;
		break;
	case 1:		/* cores of the package */
		entry->eax = id->id_bits;
		entry->ebx = id->cpus;
		entry->ecx = 2 << 8 | 1;
		break;
	default:
		entry->eax = 0;
		entry->ebx = 0;
		entry->ecx = entry->index;
	}
	entry->edx = id->apic_id;
}

/* The newer topology leaf: left out, so that the guest takes leaf 0xb. */
static void none(struct kvm_cpuid_entry2 *entry, const struct identity *id)
{
	(void)id;
	entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
}

static void amd_features(struct kvm_cpuid_entry2 *entry, const struct identity *id)
{
	entry->ecx &= ~AMD_CMP_LEGACY;
	entry->ecx |= id->cpus > 1 ? AMD_CMP_LEGACY : 0;
}

static void amd_core_count(struct kvm_cpuid_entry2 *entry, const struct identity *id)
{
	entry->ecx = (entry->ecx & ~0xf0ffU) | id->id_bits << 12 | ((id->cpus - 1) & 0xff);
}

static void amd_caches(struct kvm_cpuid_entry2 *entry, const struct identity *id)
{
	caches(entry, id);
	entry->eax &= (1U << 26) - 1;	/* reserved there */
}

static void amd_topology(struct kvm_cpuid_entry2 *entry, const struct identity *id)
{
	entry->eax = id->apic_id;
	entry->ebx = id->apic_id & 0xff;	/* core ID; one thread each */
	entry->ecx = 0;				/* node 0, one node */
}

static const struct {
	uint32_t function;
	void (*change)(struct kvm_cpuid_entry2 *entry, const struct identity *id);
} leaves[] = {
	{ 0x1, features },
	{ 0x4, caches },
	{ 0xb, topology },
	{ 0x1f, none },
	{ 0x80000001, amd_features },
	{ 0x80000008, amd_core_count },
	{ 0x8000001d, amd_caches },
	{ 0x8000001e, amd_topology },
};

void cpuid_personalize(struct kvm_cpuid2 *cpuid, unsigned int apic_id, unsigned int cpus,
		       bool tsc_deadline)
{
	struct identity id = { apic_id, cpus, 0, tsc_deadline };

	while (1U << id.id_bits < cpus)
		id.id_bits++;
	for (unsigned int i = 0; i < cpuid->nent; i++) {
		for (size_t row = 0; row < sizeof(leaves) / sizeof(leaves[0]); row++) {
			if (leaves[row].function == cpuid->entries[i].function)
				leaves[row].change(&cpuid->entries[i], &id);
		}
	}
}
