// SPDX-License-Identifier: GPL-2.0
/*
 * Walks of the guest's own page tables, as its CPU does them (SDM vol. 3,
 * ch. 4; APM vol. 2, ch. 5), and reads and writes by linear address on top.
 *
 * Where exits do not tell an instruction's length, each of them comes through
 * here. So a walk adds up what its entries have in common instead of looking at
 * each of their rights, and the next one of the same page may find it repeated
 * (see "The last walk").
 */
#include <linux/uaccess.h>
#include <asm/pgtable_types.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>
#include <minikvm/guest_memory.h>
#include "x86/x86.h"

struct walk {
	struct vcpu *vcpu;
	struct walk_memo *memo;
	u32 access;			/* X86_PF_WRITE, _USER, _INSTR; WALK_IMPLICIT */
	bool pae;			/* entries of 8 bytes */
	bool nx;			/* EFER.NXE */
	int levels;
	u64 reserved;			/* bits that are 0 in every entry */
	u64 all, any;			/* the levels' entries, ANDed and ORed: their rights */
	u8 pkey;
};

/* The PDPTEs of 32-bit PAE paging: four, with no rights of their own. */
static bool is_pdpte(const struct walk *w, int level)
{
	return w->levels == 3 && level == 3;
}

/* Guest memory at hand, for a read within a page; NULL where there is none. */
static void __user *user_address(struct vcpu *vcpu, gpa_t gpa)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;
	struct memslot *slot = vcpu_memslot(vcpu, gfn);

	return slot ? (void __user *)(memslot_hva(slot, gfn) + offset_in_page(gpa)) : NULL;
}

static int read_entry(struct walk *w, gpa_t gpa, u64 *entry)
{
	void __user *user = user_address(w->vcpu, gpa);
	u32 narrow;
	int r;

	if (!user)
		return -EFAULT;
	w->memo->read[w->memo->n].at = user;
	if (w->pae)
		return __get_user(*entry, (u64 __user *)user);
	r = __get_user(narrow, (u32 __user *)user);
	*entry = narrow;
	return r;
}

/* Accessed, and dirty: set as the CPU would, unless the guest was faster. */
static int mark_entry(struct walk *w, gpa_t gpa, u64 entry, u64 bits)
{
	u64 new = entry | bits;
	int r;

	w->memo->read[w->memo->n++].entry = new;

	if (likely(new == entry))
		return 0;
	r = guest_cmpxchg(w->vcpu, w->vcpu->space, gpa, &entry, &new, w->pae ? 8 : 4);
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

static u64 reserved_everywhere(const struct walk *w)
{
	unsigned int phys = w->vcpu->arch.cpuid.max_phyaddr;
	u64 reserved = phys < 52 ? GENMASK_ULL(51, phys) : 0;

	if (!w->pae)
		return 0;
	if (!w->nx)
		reserved |= _PAGE_NX;
	return w->levels == 3 ? reserved | GENMASK_ULL(62, 52) : reserved;
}

static u64 reserved_bits(const struct walk *w, int level, bool leaf)
{
	if (level == 1)
		return w->reserved;
	/* 32-bit entries: only a 4M page has any, between its PSE-36 bits. */
	if (!w->pae)
		return leaf ? BIT_ULL(21) : 0;
	/* Without bit 5, for a CPU that marks them as accessed, as QEMU's does. */
	if (is_pdpte(w, level))
		return w->reserved | _PAGE_NX | GENMASK_ULL(8, 6) | GENMASK_ULL(2, 1);
	/* An entry that is no leaf in spite of its PS: no page has that size. */
	if (!leaf)
		return w->reserved | _PAGE_PSE;
	return w->reserved | GENMASK_ULL(12 + 9 * (level - 1) - 1, 13);
}

/* --- What the rights come to (SDM 4.6). --- */

static bool pkey_denies(const struct walk *w)
{
	const struct vcpu_arch *arch = &w->vcpu->arch;
	u32 rights;

	if (!(arch->cr4 & X86_CR4_PKE) || w->levels < 4 || !(w->all & _PAGE_USER) ||
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

	if (!(w->all & _PAGE_USER))
		return false;
	if (w->access & X86_PF_INSTR)
		return arch->cr4 & X86_CR4_SMEP;
	if (!(arch->cr4 & X86_CR4_SMAP))
		return false;
	return (w->access & WALK_IMPLICIT) || !(arch->rflags & X86_EFLAGS_AC);
}

static bool denied(const struct walk *w)
{
	bool user = w->access & X86_PF_USER;

	if ((w->access & X86_PF_INSTR) && (w->any & _PAGE_NX))
		return true;
	if (user ? !(w->all & _PAGE_USER) : supervisor_denied(w))
		return true;
	return (w->access & X86_PF_WRITE) && !(w->all & _PAGE_RW) &&
	       (user || (w->vcpu->arch.cr0 & X86_CR0_WP));
}

/* --- The walk. --- */

#define FRAME	GENMASK_ULL(51, 12)	/* of an entry of either size */

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

static int finish(struct walk *w, gpa_t at, u64 entry, int level, gva_t gva,
		  gpa_t *gpa, struct guest_fault *fault)
{
	u64 bits = _PAGE_ACCESSED | (w->access & X86_PF_WRITE ? _PAGE_DIRTY : 0);

	w->pkey = (entry >> 59) & 0xf;
	if (denied(w))
		return page_fault(w, gva, X86_PF_PROT, fault);
	if (pkey_denies(w))
		return page_fault(w, gva, X86_PF_PROT | X86_PF_PK, fault);
	*gpa = leaf_gpa(w, entry, level, gva);
	return mark_entry(w, at, entry, bits);
}

static gpa_t top_table(const struct walk *w)
{
	u64 cr3 = static_call(vendor_get_cr3)(w->vcpu);

	if (w->levels == 3)
		return cr3 & 0xffffffe0;
	return cr3 & (w->pae ? FRAME : 0xfffff000);
}

/*
 * VMX's PDPTEs are registers, loaded with CR3 (SDM vol. 3, 4.4.1) and checked then. SVM
 * reads them from memory on each walk, like any other table: APM vol. 2, 15.25.10.
 */
static bool pdptes_held(const struct walk *w)
{
	return w->levels == 3 && vendor_caps.pdptes_held;
}

static u64 held_pdpte(const struct walk *w, gva_t gva)
{
	u64 pdptes[4];

	static_call(vendor_get_pdptrs)(w->vcpu, pdptes);
	return pdptes[(gva >> 30) & 3];
}

static int walk(struct walk *w, gva_t gva, gpa_t *gpa, struct guest_fault *fault)
{
	unsigned int bits = w->pae ? 9 : 10, size = w->pae ? 8 : 4;
	gpa_t at, table = top_table(w);
	int level = w->levels, r;
	u64 entry;
	bool leaf;

	if (pdptes_held(w)) {
		entry = held_pdpte(w, gva);
		if (!(entry & _PAGE_PRESENT))
			return page_fault(w, gva, 0, fault);
		table = entry & FRAME;
		level--;
	}
	for (;; level--) {
		at = table + ((gva >> (PAGE_SHIFT + (level - 1) * bits)) &
			      (is_pdpte(w, level) ? 3 : BIT(bits) - 1)) * size;
		/* A table that is not in memory reads as nothing mapped. */
		if (read_entry(w, at, &entry) || !(entry & _PAGE_PRESENT))
			return page_fault(w, gva, 0, fault);
		leaf = is_leaf(w, entry, level);
		if (entry & reserved_bits(w, level, leaf))
			return page_fault(w, gva, X86_PF_PROT | X86_PF_RSVD, fault);
		if (!is_pdpte(w, level)) {
			w->all &= entry;
			w->any |= entry;
		}
		if (leaf)
			return finish(w, at, entry, level, gva, gpa, fault);
		r = mark_entry(w, at, entry, is_pdpte(w, level) ? 0 : _PAGE_ACCESSED);
		if (r)
			return r;
		table = entry & FRAME;
	}
}

static int walk_levels(const struct vcpu *vcpu)
{
	if (vcpu->arch.efer & EFER_LMA)
		return vcpu->arch.cr4 & X86_CR4_LA57 ? 5 : 4;
	return vcpu->arch.cr4 & X86_CR4_PAE ? 3 : 2;
}

/* --- The last walk. --- */

/*
 * What a walk comes to depends on the registers in walk_key() and on the
 * entries that it reads, and on nothing else: so where the registers are the
 * same, and each entry still reads as it did, so is the result. The entries
 * are read anew every time. A guest owes us no word when it changes one, and
 * does not get away with less than from a whole walk.
 *
 * Their host addresses are good for as long as no slot has changed
 * (slots.generation, as in vcpu_memslot()). CPUID, which says what bits are
 * reserved, does not change once the vCPU has run.
 */
static struct walk_key walk_key(struct vcpu *vcpu, gva_t gva, u32 access)
{
	const struct vcpu_arch *arch = &vcpu->arch;

	return (struct walk_key){
		.generation = smp_load_acquire(&vcpu->vm->slots.generation),
		.page = gva >> PAGE_SHIFT,
		.cr0 = arch->cr0,
		.cr3 = static_call(vendor_get_cr3)(vcpu),
		.cr4 = arch->cr4,
		.efer = arch->efer,
		.rights = access | (arch->rflags & X86_EFLAGS_AC) | (u64)arch->pkru << 32,
	};
}

static bool same_key(const struct walk_key *a, const struct walk_key *b)
{
	return !((a->generation ^ b->generation) | (a->page ^ b->page) |
		 (a->cr0 ^ b->cr0) | (a->cr3 ^ b->cr3) | (a->cr4 ^ b->cr4) |
		 (a->efer ^ b->efer) | (a->rights ^ b->rights));
}

static bool repeats(const struct walk_memo *memo)
{
	unsigned int i;
	u64 entry;

	for (i = 0; i < memo->n; i++)
		if (__get_user(entry, memo->read[i].at) || entry != memo->read[i].entry)
			return false;
	return memo->n;
}

/* A guest that changes its tables as fast as they are read shall not keep us here. */
#define WALK_TRIES	8

static noinline int walk_and_note(struct vcpu *vcpu, struct walk_memo *memo, gva_t gva,
				  u32 access, gpa_t *gpa, struct guest_fault *fault)
{
	struct walk w = {
		.vcpu = vcpu, .memo = memo, .access = access, .levels = walk_levels(vcpu),
		.pae = vcpu->arch.cr4 & X86_CR4_PAE,
		.nx = vcpu->arch.efer & EFER_NX,
	};
	int r, tries = WALK_TRIES;

	if (w.levels >= 4 && !__is_canonical_address(gva, w.levels == 5 ? 57 : 48)) {
		*fault = (struct guest_fault){ .vector = X86_TRAP_GP };
		return -EFAULT;
	}
	w.reserved = reserved_everywhere(&w);
	do {
		w.all = ~0ULL;
		w.any = 0;
		memo->n = 0;
		/* -EAGAIN: the guest changed the entry under us. */
		r = walk(&w, gva, gpa, fault);
	} while (r == -EAGAIN && --tries);
	/* Entries of 4 bytes or in registers, and CPUID that may still change, are not worth it. */
	if (r || !w.pae || pdptes_held(&w) || !vcpu->arch.has_run)
		memo->n = 0;
	else
		memo->gfn = *gpa >> PAGE_SHIFT;
	return r;
}

/**
 * guest_translate() - from a linear to a guest physical address
 * @vcpu:	the vCPU, loaded; vm->srcu is held
 * @gva:	linear address
 * @access:	X86_PF_WRITE, X86_PF_USER, X86_PF_INSTR, WALK_IMPLICIT
 * @gpa:	the result
 * @fault:	what to raise, on -EFAULT
 *
 * Sets accessed and dirty bits. Context: may sleep.
 * Return: 0 or -EFAULT; -EAGAIN if the guest kept changing its tables: enter it
 * again.
 */
int guest_translate(struct vcpu *vcpu, gva_t gva, u32 access, gpa_t *gpa,
		    struct guest_fault *fault)
{
	struct walk_memo *memo = &vcpu->arch.walks[!!(access & X86_PF_INSTR)];
	struct walk_key key = walk_key(vcpu, gva, access);

	if (!(vcpu->arch.cr0 & X86_CR0_PG)) {
		*gpa = gva;
		return 0;
	}
	if (same_key(&key, &memo->key) && repeats(memo)) {
		*gpa = (memo->gfn << PAGE_SHIFT) | offset_in_page(gva);
		return 0;
	}
	memo->n = 0;
	memo->key = key;
	return walk_and_note(vcpu, memo, gva, access, gpa, fault);
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
 * Return: 0; -EFAULT; -ENXIO if it translates to no memory; -EAGAIN, as
 * guest_translate().
 */
int guest_read_virt(struct vcpu *vcpu, gva_t gva, void *data, unsigned int len,
		    u32 access, struct guest_fault *fault)
{
	while (len) {
		unsigned int n = min_t(u64, len, PAGE_SIZE - offset_in_page(gva));
		void __user *user;
		gpa_t gpa;
		int r;

		r = guest_translate(vcpu, gva, access, &gpa, fault);
		if (r)
			return r;
		user = user_address(vcpu, gpa);
		if (!user || copy_from_user(data, user, n))
			return -ENXIO;
		gva += n;
		data += n;
		len -= n;
	}
	return 0;
}

/**
 * guest_peek_code() - four bytes of code, if they come cheap
 * @vcpu:	the vCPU, loaded; vm->srcu is held
 * @gva:	linear address
 * @access:	X86_PF_USER, or 0
 * @code:	the bytes, the first one lowest
 *
 * Return: false if they are not all in one page, or cannot be fetched: nothing
 * is said then of why.
 */
bool guest_peek_code(struct vcpu *vcpu, gva_t gva, u32 access, u32 *code)
{
	struct guest_fault fault;
	void __user *user;
	gpa_t gpa;

	if (offset_in_page(gva) > PAGE_SIZE - sizeof(*code))
		return false;
	if (guest_translate(vcpu, gva, access | X86_PF_INSTR, &gpa, &fault))
		return false;
	user = user_address(vcpu, gpa);
	return user && !__get_user(*code, (u32 __user *)user);
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
 * Return: 0; -EFAULT; -ENXIO if it translates to no memory; -EAGAIN, as
 * guest_translate(). Pages before the one that failed have been written.
 */
int guest_write_virt(struct vcpu *vcpu, gva_t gva, const void *data,
		     unsigned int len, u32 access, struct guest_fault *fault)
{
	while (len) {
		unsigned int n = min_t(u64, len, PAGE_SIZE - offset_in_page(gva));
		gpa_t gpa;
		int r;

		r = guest_translate(vcpu, gva, access, &gpa, fault);
		if (r)
			return r;
		if (guest_write(vcpu, vcpu->space, gpa, data, n))
			return -ENXIO;
		gva += n;
		data += n;
		len -= n;
	}
	return 0;
}
