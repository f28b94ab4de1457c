// SPDX-License-Identifier: GPL-2.0
/*
 * Walks of the guest's own page tables, as its CPU does them (SDM vol. 3,
 * ch. 4; APM vol. 2, ch. 5), and reads and writes by linear address on top.
 *
 * Where exits do not tell an instruction's length, each of them comes through
 * here: a walk remembers the slot of the last table, and its reads do not
 * sleep unless they must.
 */
#include <linux/uaccess.h>
#include <asm/pgtable_types.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>
#include <minikvm/guest_memory.h>
#include "x86/x86.h"

struct walk {
	struct vcpu *vcpu;
	struct memslot *slot;		/* where the last entry was */
	u32 access;			/* X86_PF_WRITE, _USER, _INSTR */
	bool pae;			/* entries of 8 bytes */
	bool nx;			/* EFER.NXE */
	int levels;
	/* What all levels allow together. */
	bool writable, user, no_exec;
	u8 pkey;
};

static bool in_slot(const struct memslot *slot, gfn_t gfn)
{
	return slot && gfn - slot->base_gfn < slot->npages;
}

static void __user *entry_address(struct walk *w, gpa_t gpa)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;

	if (!in_slot(w->slot, gfn)) {
		w->slot = memslot_find(w->vcpu->vm, gfn);
		if (!w->slot)
			return NULL;
	}
	return (void __user *)(memslot_hva(w->slot, gfn) + offset_in_page(gpa));
}

static int read_entry(struct walk *w, gpa_t gpa, u64 *entry)
{
	void __user *user = entry_address(w, gpa);
	u32 narrow;
	int r;

	if (!user)
		return -EFAULT;
	if (w->pae) {
		r = __get_user(*entry, (u64 __user *)user);
	} else {
		r = __get_user(narrow, (u32 __user *)user);
		*entry = narrow;
	}
	return r;
}

/* Accessed, and dirty: set as the CPU would, unless the guest was faster. */
static int mark_entry(struct walk *w, gpa_t gpa, u64 entry, u64 bits)
{
	u64 new = entry | bits;
	int r;

	if (likely(new == entry))
		return 0;
	r = guest_cmpxchg(w->vcpu->vm, gpa, &entry, &new, w->pae ? 8 : 4);
	/* A table in ROM stays as it is. */
	return r == -EAGAIN ? r : 0;
}

static int page_fault(struct walk *w, gva_t gva, u32 code, struct guest_fault *fault)
{
	code |= w->access & (X86_PF_WRITE | X86_PF_USER);
	/* The fetch bit exists where something can forbid fetching. */
	if ((w->access & X86_PF_INSTR) &&
	    (w->nx || (w->vcpu->arch.cr4 & X86_CR4_SMEP)))
		code |= X86_PF_INSTR;
	fault->vector = X86_TRAP_PF;
	fault->error_code = code;
	fault->address = gva;
	return -EFAULT;
}

/* --- Entries: which bits must be 0 (SDM 4.4, 4.5). --- */

static bool is_leaf(const struct walk *w, u64 entry, int level)
{
	if (level == 1)
		return true;
	if (!(entry & _PAGE_PSE))
		return false;
	if (w->pae)
		return level == 2 || (level == 3 && w->levels >= 4 &&
				      guest_has(w->vcpu, X86_FEATURE_GBPAGES));
	return level == 2 && (w->vcpu->arch.cr4 & X86_CR4_PSE);
}

static u64 reserved_bits(const struct walk *w, u64 entry, int level, bool leaf)
{
	unsigned int phys = w->vcpu->arch.cpuid.max_phyaddr;
	u64 reserved;

	/* 32-bit entries: only a 4M page has any, between its PSE-36 bits. */
	if (!w->pae)
		return leaf && level == 2 ? BIT_ULL(21) : 0;
	reserved = phys < 52 ? GENMASK_ULL(51, phys) : 0;
	if (!w->nx)
		reserved |= _PAGE_NX;
	/* The four PDPTEs of 32-bit PAE have no rights of their own. */
	if (w->levels == 3 && level == 3)
		return reserved | GENMASK_ULL(63, 52) | GENMASK_ULL(8, 5) | GENMASK_ULL(2, 1);
	if (w->levels == 3)
		reserved |= GENMASK_ULL(62, 52);
	if (leaf && level > 1)
		return reserved | GENMASK_ULL(12 + 9 * (level - 1) - 1, 13);
	/* PS where no page of that size exists. */
	return level > 3 || (level == 3 && !leaf) ? reserved | _PAGE_PSE : reserved;
}

static void add_rights(struct walk *w, u64 entry, int level)
{
	if (w->levels == 3 && level == 3)
		return;
	w->writable &= !!(entry & _PAGE_RW);
	w->user &= !!(entry & _PAGE_USER);
	w->no_exec |= w->nx && (entry & _PAGE_NX);
}

/* --- What the rights come to (SDM 4.6). --- */

static bool pkey_denies(const struct walk *w)
{
	const struct vcpu_arch *arch = &w->vcpu->arch;
	u32 rights;

	if (!(arch->cr4 & X86_CR4_PKE) || w->levels < 4 || !w->user ||
	    (w->access & X86_PF_INSTR))
		return false;
	rights = arch->pkru >> (w->pkey * 2);
	if (rights & 1)
		return true;
	return (rights & 2) && (w->access & X86_PF_WRITE) &&
	       ((w->access & X86_PF_USER) || (arch->cr0 & X86_CR0_WP));
}

static bool supervisor_denied(const struct walk *w)
{
	const struct vcpu_arch *arch = &w->vcpu->arch;

	if (!w->user)
		return false;
	if (w->access & X86_PF_INSTR)
		return arch->cr4 & X86_CR4_SMEP;
	return (arch->cr4 & X86_CR4_SMAP) && !(arch->rflags & X86_EFLAGS_AC);
}

static bool denied(const struct walk *w)
{
	bool user = w->access & X86_PF_USER;

	if ((w->access & X86_PF_INSTR) && w->no_exec)
		return true;
	if (user ? !w->user : supervisor_denied(w))
		return true;
	return (w->access & X86_PF_WRITE) && !w->writable &&
	       (user || (w->vcpu->arch.cr0 & X86_CR0_WP));
}

/* --- The walk. --- */

static gpa_t leaf_gpa(const struct walk *w, u64 entry, int level, gva_t gva)
{
	unsigned int shift = PAGE_SHIFT + (level - 1) * (w->pae ? 9 : 10);
	u64 offset = gva & (BIT_ULL(shift) - 1);
	u64 frame = entry & GENMASK_ULL(51, shift);

	/* A 4M page's frame goes on in bits 13 to 20 (PSE-36). */
	if (!w->pae && level == 2)
		frame = (entry & 0xffc00000) | (entry & GENMASK_ULL(20, 13)) << 19;
	return frame | offset;
}

static int walk(struct walk *w, gva_t gva, gpa_t *gpa, struct guest_fault *fault)
{
	unsigned int bits = w->pae ? 9 : 10, size = w->pae ? 8 : 4;
	u64 table = static_call(vendor_get_cr3)(w->vcpu);
	u64 entry, dirty;
	int level;

	table &= w->levels == 3 ? 0xffffffe0ULL : w->pae ? GENMASK_ULL(51, 12) : 0xfffff000ULL;
	for (level = w->levels; ; level--) {
		unsigned int shift = PAGE_SHIFT + (level - 1) * bits;
		unsigned int mask = w->levels == 3 && level == 3 ? 3 : BIT(bits) - 1;
		gpa_t at = table + ((gva >> shift) & mask) * size;
		bool leaf;

		/* A table that is not in memory reads as nothing mapped. */
		if (read_entry(w, at, &entry) || !(entry & _PAGE_PRESENT))
			return page_fault(w, gva, 0, fault);
		leaf = is_leaf(w, entry, level);
		if (entry & reserved_bits(w, entry, level, leaf))
			return page_fault(w, gva, X86_PF_PROT | X86_PF_RSVD, fault);
		add_rights(w, entry, level);
		if (leaf) {
			w->pkey = (entry >> 59) & 0xf;
			if (denied(w))
				return page_fault(w, gva, X86_PF_PROT, fault);
			if (pkey_denies(w))
				return page_fault(w, gva, X86_PF_PROT | X86_PF_PK, fault);
			dirty = w->access & X86_PF_WRITE ? _PAGE_DIRTY : 0;
			*gpa = leaf_gpa(w, entry, level, gva);
			return mark_entry(w, at, entry, _PAGE_ACCESSED | dirty);
		}
		if (!(w->levels == 3 && level == 3)) {
			int r = mark_entry(w, at, entry, _PAGE_ACCESSED);

			if (r)
				return r;
		}
		table = entry & (w->pae ? GENMASK_ULL(51, 12) : 0xfffff000ULL);
	}
}

static int walk_levels(const struct vcpu *vcpu)
{
	if (vcpu->arch.efer & EFER_LMA)
		return vcpu->arch.cr4 & X86_CR4_LA57 ? 5 : 4;
	return vcpu->arch.cr4 & X86_CR4_PAE ? 3 : 2;
}

/**
 * guest_translate() - from a linear to a guest physical address
 * @vcpu:	the vCPU, loaded; vm->srcu is held
 * @gva:	linear address
 * @access:	X86_PF_WRITE, X86_PF_USER, X86_PF_INSTR
 * @gpa:	the result
 * @fault:	what to raise, on -EFAULT
 *
 * Sets accessed and dirty bits. Context: may sleep.
 * Return: 0 or -EFAULT.
 */
int guest_translate(struct vcpu *vcpu, gva_t gva, u32 access, gpa_t *gpa,
		    struct guest_fault *fault)
{
	struct walk w = {
		.vcpu = vcpu, .access = access, .levels = walk_levels(vcpu),
		.pae = vcpu->arch.cr4 & X86_CR4_PAE,
		.nx = vcpu->arch.efer & EFER_NX,
	};
	int r;

	if (!(vcpu->arch.cr0 & X86_CR0_PG)) {
		*gpa = gva;
		return 0;
	}
	if (w.levels >= 4 && !__is_canonical_address(gva, w.levels == 5 ? 57 : 48)) {
		*fault = (struct guest_fault){ .vector = X86_TRAP_GP };
		return -EFAULT;
	}
	do {
		w.writable = w.user = true;
		w.no_exec = false;
		/* -EAGAIN: the guest changed the entry under us. */
		r = walk(&w, gva, gpa, fault);
	} while (r == -EAGAIN);
	return r;
}

/**
 * guest_read_virt() - read guest memory by linear address
 * @vcpu:	the vCPU, loaded; vm->srcu is held
 * @gva:	linear address
 * @data:	destination
 * @len:	bytes; pages may be crossed
 * @access:	as for guest_translate()
 * @fault:	what to raise, on -EFAULT
 *
 * Return: 0; -EFAULT; -ENXIO if it translates to no memory.
 */
int guest_read_virt(struct vcpu *vcpu, gva_t gva, void *data, unsigned int len,
		    u32 access, struct guest_fault *fault)
{
	while (len) {
		unsigned int n = min_t(u64, len, PAGE_SIZE - offset_in_page(gva));
		gpa_t gpa;

		if (guest_translate(vcpu, gva, access, &gpa, fault))
			return -EFAULT;
		if (guest_read(vcpu->vm, gpa, data, n))
			return -ENXIO;
		gva += n;
		data += n;
		len -= n;
	}
	return 0;
}

/**
 * guest_write_virt() - write guest memory by linear address
 * @vcpu:	the vCPU, loaded; vm->srcu is held
 * @gva:	linear address
 * @data:	source
 * @len:	bytes; pages may be crossed
 * @access:	as for guest_translate(), with X86_PF_WRITE
 * @fault:	what to raise, on -EFAULT
 *
 * Return: 0; -EFAULT; -ENXIO if it translates to no memory. Pages before the
 * one that failed have been written.
 */
int guest_write_virt(struct vcpu *vcpu, gva_t gva, const void *data,
		     unsigned int len, u32 access, struct guest_fault *fault)
{
	while (len) {
		unsigned int n = min_t(u64, len, PAGE_SIZE - offset_in_page(gva));
		gpa_t gpa;

		if (guest_translate(vcpu, gva, access, &gpa, fault))
			return -EFAULT;
		if (guest_write(vcpu->vm, gpa, data, n))
			return -ENXIO;
		gva += n;
		data += n;
		len -= n;
	}
	return 0;
}
