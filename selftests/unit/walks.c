// SPDX-License-Identifier: GPL-2.0
/*
 * The walk of a guest's page tables (src/x86/mmu/guest_walk.c), raced by a
 * guest that changes an entry each time that its accessed or dirty bit is about
 * to be set: how such a race ends, and that it does end. And whom SMAP stops.
 */
#include "unit.h"

#include "x86/mmu/guest_walk.c"

#define PAGES		16
#define GVA		0x40201000ul	/* another index at each level */
#define FRAME_OF_GVA	8ul		/* page 8 of the memory; the tables are pages 0 to 4 */
#define ENTRY_BITS	(_PAGE_PRESENT | _PAGE_RW | _PAGE_USER)
#define AVAILABLE	BIT_ULL(9)	/* of an entry: software's own */

static char memory[PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
static struct vm vm = { .slot = { memory, sizeof(memory) } };
static struct vcpu vcpu = { .vm = &vm };

/* The racing guest: so many times it is first, and this is what it does to the entry. */
static unsigned long races, raced;
static u64 toggles;

static const struct mode {
	const char *name;
	u64 cr4, efer;
	int levels, shift, entry;
	bool pdptes_held;
} modes[] = {
	{ "32-bit paging", 0, 0, 2, 10, 4 },
	{ "PAE paging", X86_CR4_PAE, 0, 3, 9, 8 },
	{ "PAE paging by registers", X86_CR4_PAE, 0, 3, 9, 8, true },
	{ "4-level paging", X86_CR4_PAE, EFER_LMA | EFER_NX, 4, 9, 8 },
	{ "5-level paging", X86_CR4_PAE | X86_CR4_LA57, EFER_LMA | EFER_NX, 5, 9, 8 },
};

int guest_cmpxchg(struct vcpu *v, unsigned int space, gpa_t gpa, void *old, const void *new,
		  unsigned int len)
{
	void *at = memory + gpa;

	assert(gpa + len <= sizeof(memory) && !(gpa % len));
	assert(raced < 1000);		/* or the walk goes on for ever */
	if (raced < races) {
		u64 now = 0;

		raced++;
		memcpy(&now, at, len);
		now ^= toggles;
		memcpy(at, &now, len);
	}
	if (memcmp(at, old, len))
		return -EAGAIN;
	memcpy(at, new, len);
	return 0;
}

int guest_write(struct vcpu *v, unsigned int space, gpa_t gpa, const void *data, size_t len)
{
	assert(gpa + len <= sizeof(memory));
	memcpy(memory + gpa, data, len);
	return 0;
}

static void *entry_at(const struct mode *m, int level)
{
	unsigned int index = GVA >> (PAGE_SHIFT + (level - 1) * m->shift) & (BIT(m->shift) - 1);

	/* The top table is page 0, the next one page 1. */
	return memory + (m->levels - level) * PAGE_SIZE + index * m->entry;
}

/* Nobody is to look for them in memory. */
static void hold_pdptes(const struct mode *m)
{
	vendor_caps.pdptes_held = m->pdptes_held;
	if (!m->pdptes_held)
		return;
	memcpy(vcpu.arch.pdptrs, memory, sizeof(vcpu.arch.pdptrs));
	memset(memory, 0, sizeof(vcpu.arch.pdptrs));
}

/* A new address space that maps GVA, and nothing marked in it. */
static void machine(const struct mode *m)
{
	int level;

	memset(memory, 0, sizeof(memory));
	for (level = m->levels; level; level--) {
		u64 frame = level == 1 ? FRAME_OF_GVA : m->levels - level + 1;
		u64 bits = m->levels == 3 && level == 3 ? _PAGE_PRESENT : ENTRY_BITS;
		u64 entry = frame << PAGE_SHIFT | bits;

		memcpy(entry_at(m, level), &entry, m->entry);
	}
	memset(&vcpu.arch, 0, sizeof(vcpu.arch));
	vcpu.arch.cr0 = X86_CR0_PG | X86_CR0_PE;
	vcpu.arch.cr4 = m->cr4;
	vcpu.arch.efer = m->efer;
	vcpu.arch.has_run = true;
	vcpu.arch.cpuid.max_phyaddr = 40;
	hold_pdptes(m);
	races = raced = 0;
	toggles = AVAILABLE;
}

static bool lasting(const struct mode *m)
{
	struct guest_fault fault;
	gpa_t gpa;
	u32 code;
	u8 byte;

	machine(m);
	races = ~0ul;
	if (guest_translate(&vcpu, GVA, X86_PF_WRITE, &gpa, &fault) != -EAGAIN || raced > 32)
		return false;
	/* Nothing is remembered of it. */
	return !vcpu.arch.walks[0].n &&
	       guest_read_virt(&vcpu, GVA, &byte, 1, 0, &fault) == -EAGAIN &&
	       guest_write_virt(&vcpu, GVA, &byte, 1, X86_PF_WRITE, &fault) == -EAGAIN &&
	       !guest_peek_code(&vcpu, GVA, 0, &code) && !memory[FRAME_OF_GVA * PAGE_SIZE];
}

static bool passing(const struct mode *m)
{
	struct guest_fault fault;
	gpa_t gpa;
	unsigned int n;

	for (n = 0; n < 4; n++) {
		machine(m);
		races = n;
		if (guest_translate(&vcpu, GVA + 5, X86_PF_WRITE, &gpa, &fault) || raced != n ||
		    gpa != FRAME_OF_GVA * PAGE_SIZE + 5)
			return false;
		if (!(*(u8 *)entry_at(m, 1) & _PAGE_DIRTY))
			return false;
	}
	return true;
}

/* The entry is gone, or what it allows, when the walk comes back. */
static bool lost(const struct mode *m, u64 bit, u32 code)
{
	struct guest_fault fault;
	gpa_t gpa;

	machine(m);
	races = 1;
	toggles = bit;
	return guest_translate(&vcpu, GVA, X86_PF_WRITE | X86_PF_USER, &gpa, &fault) == -EFAULT &&
	       raced == 1 && fault.vector == X86_TRAP_PF && fault.error_code == code &&
	       fault.address == GVA;
}

static bool read_allowed(u32 access, u64 rflags)
{
	struct guest_fault fault;
	gpa_t gpa;
	int r;

	vcpu.arch.rflags = rflags;
	r = guest_translate(&vcpu, GVA, access, &gpa, &fault);
	return !r || fault.vector != X86_TRAP_PF || fault.error_code != X86_PF_PROT;
}

/* SMAP on a user's page: EFLAGS.AC exempts what an instruction reads, nothing that the CPU does. */
static bool smap(const struct mode *m)
{
	machine(m);
	vcpu.arch.cr4 |= X86_CR4_SMAP;
	return !read_allowed(0, 0) && read_allowed(0, X86_EFLAGS_AC) &&
	       !read_allowed(WALK_IMPLICIT, 0) && !read_allowed(WALK_IMPLICIT, X86_EFLAGS_AC) &&
	       read_allowed(0, X86_EFLAGS_AC) && read_allowed(X86_PF_USER, 0);
}

static void result(const struct mode *m, bool ok, const char *what)
{
	char name[96];

	snprintf(name, sizeof(name), "%s: %s", m->name, what);
	unit_result(ok, name);
}

int main(int argc, char **argv)
{
	const struct mode *m;

	unit_options(argc, argv, 1);
	for (m = modes; m < modes + sizeof(modes) / sizeof(modes[0]); m++) {
		result(m, lasting(m), "the walk ends if the entry never stays");
		result(m, passing(m), "a race that is lost now and then does not matter");
		result(m, lost(m, _PAGE_PRESENT, X86_PF_WRITE | X86_PF_USER), "the entry goes");
		result(m, lost(m, _PAGE_RW, X86_PF_PROT | X86_PF_WRITE | X86_PF_USER), "its right goes");
		result(m, smap(m), "EFLAGS.AC and SMAP");
	}
	return unit_done();
}
