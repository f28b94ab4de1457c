// SPDX-License-Identifier: GPL-2.0
/*
 * System management mode: SMI, RSM, and the map in SMRAM in which a vCPU's state
 * is kept in between (SDM vol. 3, ch. 31; APM vol. 2, ch. 10).
 *
 * A vCPU is in SMM exactly if it is in address space SPACE_SMM: what that has
 * at an address and SPACE_MAIN has not is SMRAM. So going in and out is a change
 * of space, hence of root (mmu/tlb.c), and all of its own accesses, in hardware
 * and in software, follow.
 *
 * The map's layouts are those that KVM writes, which VMMs and their firmware
 * know: AMD's for a vCPU whose CPUID has long mode, Intel's 32-bit one for others.
 * One row says of each field where it is, for both ways. What comes back at RSM is
 * whatever the handler has made of it: all is checked before any of it counts, and
 * what no CPU could run with is a shutdown.
 */
#include <linux/srcu.h>
#include <minikvm/guest_memory.h>
#include "x86/irq/lapic.h"
#include "x86/x86.h"

#define MAP_OFFSET	0xfe00		/* from SMBASE */
#define MAP_SIZE	512
#define HANDLER		0x8000		/* from SMBASE */

/* What the map has, in the shape that the rest of the module has it. */
struct smm_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	u64 dr6, dr7;
	u32 smbase, revision;
	u8 shadow;			/* SHADOW_*: kept where KVM keeps it since 6.2 */
	u32 rights[SEGS];		/* as in the upper word of a descriptor */
};

struct map_row {
	u16 at;				/* in the map */
	u8 size;			/* there; the rest of a larger member is 0 */
	u8 member_size;
	u16 member;
};

#define ROW(a, s, m)							\
	{ .at = (a), .size = (s), .member_size = sizeof_field(struct smm_state, m),	\
	  .member = offsetof(struct smm_state, m) }

#define SEGMENT64(a, m, seg)						\
	ROW((a), 2, sregs.m.selector), ROW((a) + 2, 2, rights[seg]),	\
	ROW((a) + 4, 4, sregs.m.limit), ROW((a) + 8, 8, sregs.m.base)

/* APM vol. 2, table 10-1. */
static const struct map_row rows64[] = {
	SEGMENT64(0x00, es, SEG_ES), SEGMENT64(0x10, cs, SEG_CS),
	SEGMENT64(0x20, ss, SEG_SS), SEGMENT64(0x30, ds, SEG_DS),
	SEGMENT64(0x40, fs, SEG_FS), SEGMENT64(0x50, gs, SEG_GS),
	SEGMENT64(0x70, ldt, SEG_LDTR), SEGMENT64(0x90, tr, SEG_TR),
	ROW(0x64, 4, sregs.gdt.limit), ROW(0x68, 8, sregs.gdt.base),
	ROW(0x84, 4, sregs.idt.limit), ROW(0x88, 8, sregs.idt.base),
	ROW(0xcb, 1, shadow), ROW(0xd0, 8, sregs.efer),
	ROW(0xfc, 4, revision), ROW(0x100, 4, smbase),
	ROW(0x148, 8, sregs.cr4), ROW(0x150, 8, sregs.cr3), ROW(0x158, 8, sregs.cr0),
	ROW(0x160, 8, dr7), ROW(0x168, 8, dr6),
	ROW(0x170, 4, regs.rflags), ROW(0x178, 8, regs.rip),
	ROW(0x180, 8, regs.r15), ROW(0x188, 8, regs.r14),
	ROW(0x190, 8, regs.r13), ROW(0x198, 8, regs.r12),
	ROW(0x1a0, 8, regs.r11), ROW(0x1a8, 8, regs.r10),
	ROW(0x1b0, 8, regs.r9), ROW(0x1b8, 8, regs.r8),
	ROW(0x1c0, 8, regs.rdi), ROW(0x1c8, 8, regs.rsi),
	ROW(0x1d0, 8, regs.rbp), ROW(0x1d8, 8, regs.rsp),
	ROW(0x1e0, 8, regs.rbx), ROW(0x1e8, 8, regs.rdx),
	ROW(0x1f0, 8, regs.rcx), ROW(0x1f8, 8, regs.rax),
};

#define SEGMENT32(sel, a, m, seg)					\
	ROW((sel), 2, sregs.m.selector), ROW((a), 4, rights[seg]),	\
	ROW((a) + 4, 4, sregs.m.limit), ROW((a) + 8, 4, sregs.m.base)

/* SDM vol. 3, table 31-1; what that calls reserved as KVM has it. */
static const struct map_row rows32[] = {
	ROW(0xf8, 4, smbase), ROW(0xfc, 4, revision),
	ROW(0x114, 4, sregs.cr4), ROW(0x11a, 1, shadow),
	SEGMENT32(0x1b4, 0x12c, ds, SEG_DS), SEGMENT32(0x1b8, 0x138, fs, SEG_FS),
	SEGMENT32(0x1bc, 0x144, gs, SEG_GS), SEGMENT32(0x1c4, 0x15c, tr, SEG_TR),
	SEGMENT32(0x1c0, 0x178, ldt, SEG_LDTR), SEGMENT32(0x1a8, 0x184, es, SEG_ES),
	SEGMENT32(0x1ac, 0x190, cs, SEG_CS), SEGMENT32(0x1b0, 0x19c, ss, SEG_SS),
	ROW(0x154, 4, sregs.idt.limit), ROW(0x158, 4, sregs.idt.base),
	ROW(0x170, 4, sregs.gdt.limit), ROW(0x174, 4, sregs.gdt.base),
	ROW(0x1c8, 4, dr7), ROW(0x1cc, 4, dr6),
	ROW(0x1d0, 4, regs.rax), ROW(0x1d4, 4, regs.rcx),
	ROW(0x1d8, 4, regs.rdx), ROW(0x1dc, 4, regs.rbx),
	ROW(0x1e0, 4, regs.rsp), ROW(0x1e4, 4, regs.rbp),
	ROW(0x1e8, 4, regs.rsi), ROW(0x1ec, 4, regs.rdi),
	ROW(0x1f0, 4, regs.rip), ROW(0x1f4, 4, regs.rflags),
	ROW(0x1f8, 4, sregs.cr3), ROW(0x1fc, 4, sregs.cr0),
};

static const struct map_layout {
	const struct map_row *rows;
	unsigned int n;
	u32 revision;			/* with SMBASE's relocation, without restart of I/O */
	u8 rights_shift;
} layout32 = { rows32, ARRAY_SIZE(rows32), 0x20000, 0 },
  layout64 = { rows64, ARRAY_SIZE(rows64), 0x20064, 8 };

static const struct map_layout *layout(struct vcpu *vcpu)
{
	return guest_has(vcpu, X86_FEATURE_LM) ? &layout64 : &layout32;
}

/* --- From and to the map. --- */

static u32 pack_rights(const struct kvm_segment *s)
{
	return s->type << 8 | s->s << 12 | s->dpl << 13 | s->present << 15 |
	       s->avl << 20 | s->l << 21 | s->db << 22 | s->g << 23;
}

/* A limit that only the one granularity can have says which it is, for VM entry (26.3.1.2). */
static void unpack_rights(struct kvm_segment *s, u32 rights)
{
	s->type = rights >> 8 & 15;
	s->s = rights >> 12 & 1;
	s->dpl = rights >> 13 & 3;
	s->present = rights >> 15 & 1;
	s->unusable = !s->present;
	s->avl = rights >> 20 & 1;
	s->l = rights >> 21 & 1;
	s->db = rights >> 22 & 1;
	s->g = (rights >> 23 & 1) && (s->limit & 0xfff) == 0xfff;
	if (s->limit > 0xfffff) {
		s->g = 1;
		s->limit |= 0xfff;
	}
}

static void to_map(const struct map_layout *l, struct smm_state *s, u8 *map)
{
	unsigned int i;
	u64 value;

	for (i = 0; i < SEGS; i++)
		s->rights[i] = pack_rights((void *)&s->sregs + sregs_segments[i]) >> l->rights_shift;
	for (i = 0; i < l->n; i++) {
		value = 0;
		memcpy(&value, (void *)s + l->rows[i].member, l->rows[i].member_size);
		memcpy(map + l->rows[i].at, &value, l->rows[i].size);
	}
}

static void from_map(const struct map_layout *l, const u8 *map, struct smm_state *s)
{
	unsigned int i;
	u64 value;

	for (i = 0; i < l->n; i++) {
		value = 0;
		memcpy(&value, map + l->rows[i].at, l->rows[i].size);
		memcpy((void *)s + l->rows[i].member, &value, l->rows[i].member_size);
	}
	for (i = 0; i < SEGS; i++)
		unpack_rights((void *)&s->sregs + sregs_segments[i],
			      s->rights[i] << l->rights_shift);
}

/* What is not in the map stays as it is. */
static void get_state(struct vcpu *vcpu, struct smm_state *s)
{
	memset(s, 0, sizeof(*s));
	state_get_regs(vcpu, &s->regs);
	state_get_sregs(vcpu, &s->sregs);
	/* Of what is on its way, not of the state. */
	memset(s->sregs.interrupt_bitmap, 0, sizeof(s->sregs.interrupt_bitmap));
	s->dr6 = get_dr(vcpu, 6);
	s->dr7 = get_dr(vcpu, 7);
	s->smbase = vcpu->arch.msr.smbase;
	s->shadow = static_call(vendor_get_shadow)(vcpu);
}

static void set_state(struct vcpu *vcpu, const struct smm_state *s)
{
	/* Segments, and so where RIP is, before a debugger's TF is thought of. */
	state_set_sregs(vcpu, &s->sregs);
	state_set_regs(vcpu, &s->regs);
}

/* --- In. --- */

/**
 * smm_set() - come into SMM, or out of it
 * @vcpu:	the vCPU, loaded
 * @in:		whether it shall be there
 *
 * Registers are the caller's business.
 */
void smm_set(struct vcpu *vcpu, bool in)
{
	unsigned int space = in ? SPACE_SMM : SPACE_MAIN;

	if (!in)
		vcpu->arch.events.smi.inside_nmi = false;
	if (vcpu->space == space)
		return;
	/* Others ask whether an INIT would be taken. */
	WRITE_ONCE(vcpu->space, space);
	/* Both know the slots of one space. */
	vcpu->slot_cache = (struct memslot_cache){ };
	memset(vcpu->arch.walks, 0, sizeof(vcpu->arch.walks));
	vcpu_request(vcpu, VCPU_REQ_LOAD_ROOT);
	/* What it held back: an INIT, another SMI. */
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/* Where there is no memory, the state is lost, as on a bus. */
static void save(struct vcpu *vcpu, struct smm_state *s)
{
	const struct map_layout *l = layout(vcpu);
	u8 map[MAP_SIZE] = { };
	int idx;

	s->revision = l->revision;
	to_map(l, s, map);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	guest_write(vcpu, SPACE_SMM, (gpa_t)s->smbase + MAP_OFFSET, map, sizeof(map));
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

/* SDM vol. 3, table 31-4; APM vol. 2, table 10-2. An IDT without entries, as KVM's. */
static void handler_state(struct smm_state *s, bool long_mode)
{
	const struct kvm_segment data = {
		.limit = 0xffffffff, .type = 3, .s = 1, .present = 1, .g = 1,
	};

	s->regs.rip = HANDLER;
	s->regs.rflags = X86_EFLAGS_FIXED;
	s->sregs.cs = s->sregs.ss = s->sregs.ds = data;
	s->sregs.es = s->sregs.fs = s->sregs.gs = data;
	s->sregs.cs.base = s->smbase;
	s->sregs.cs.selector = s->smbase >> 4;
	s->sregs.idt = (struct kvm_dtable){ };
	s->sregs.cr0 &= ~(u64)(X86_CR0_PE | X86_CR0_EM | X86_CR0_TS | X86_CR0_PG);
	s->sregs.cr4 = 0;
	/* Not in the 32-bit map, so it can't be given back. */
	if (long_mode)
		s->sregs.efer = 0;
	else
		s->sregs.efer &= ~(u64)EFER_LMA;
}

/*
 * A shadow goes into the map; what it held back of a trap (in VMX, pending) comes anew when RSM
 * brings it and TF back. Where neither TF nor a shadow is, hardware wants nothing pending.
 */
static void drop_shadow(struct vcpu *vcpu)
{
	static_call(vendor_set_shadow)(vcpu, SHADOW_STI);
	static_call(vendor_set_shadow)(vcpu, 0);
}

/**
 * smm_open() - would the vCPU take an SMI now?
 * @vcpu: the vCPU, loaded
 *
 * Like a CPU it holds one in service, and latches one more until RSM.
 */
bool smm_open(struct vcpu *vcpu)
{
	return vcpu->arch.events.smi.pending && !in_smm(vcpu);
}

/**
 * smm_enter() - take the SMI that is pending
 * @vcpu: the vCPU, loaded, between two instructions, with nothing in flight; smm_open()
 *
 * NMIs are masked until an IRET or RSM (SDM vol. 3, 31.8). Context: may sleep.
 */
void smm_enter(struct vcpu *vcpu)
{
	struct vcpu_events *e = &vcpu->arch.events;
	struct smm_state s;

	e->smi.pending = false;
	vcpu->arch.msr.smi_count++;
	get_state(vcpu, &s);
	save(vcpu, &s);
	smm_set(vcpu, true);
	e->smi.inside_nmi = static_call(vendor_get_nmi_mask)(vcpu);
	static_call(vendor_set_nmi_mask)(vcpu, true);
	handler_state(&s, guest_has(vcpu, X86_FEATURE_LM));
	set_state(vcpu, &s);
	set_dr(vcpu, 7, DR7_RESTING);
	if (s.shadow)
		drop_shadow(vcpu);
	static_call(vendor_leave_hlt)(vcpu);
}

/* --- Out. --- */

#define RFLAGS_DEFINED	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF |	\
			 X86_EFLAGS_SF | X86_EFLAGS_TF | X86_EFLAGS_IF | X86_EFLAGS_DF |	\
			 X86_EFLAGS_OF | X86_EFLAGS_IOPL | X86_EFLAGS_NT | X86_EFLAGS_RF |	\
			 X86_EFLAGS_VM | X86_EFLAGS_AC | X86_EFLAGS_VIF | X86_EFLAGS_VIP |	\
			 X86_EFLAGS_ID)

/* What a CPU does not look at in the mode that it returns to. */
static void ignore_unused(struct smm_state *s)
{
	bool long_mode;

	s->sregs.cr0 = (s->sregs.cr0 & (CR0_DEFINED | GENMASK_ULL(63, 32))) | X86_CR0_ET;
	s->sregs.efer &= ~(u64)EFER_LMA;
	long_mode = (s->sregs.efer & EFER_LME) && (s->sregs.cr0 & X86_CR0_PG);
	if (long_mode) {
		s->sregs.efer |= EFER_LMA;
	} else {
		s->sregs.cr3 = (u32)s->sregs.cr3;
		s->sregs.cs.l = 0;
	}
	if (!s->sregs.cs.l)
		s->regs.rip = (u32)s->regs.rip;
	s->regs.rflags = (s->regs.rflags & RFLAGS_DEFINED) | X86_EFLAGS_FIXED;
	/* No CPU has STI's with interrupts off. */
	s->shadow &= s->regs.rflags & X86_EFLAGS_IF ? SHADOW_STI | SHADOW_MOV_SS : SHADOW_MOV_SS;
}

static bool paging_valid(struct vcpu *vcpu, const struct kvm_sregs *s)
{
	u64 pdptrs[4];

	if (s->efer & EFER_LMA)
		return true;		/* state_set_sregs() will say */
	if (s->cr4 & X86_CR4_PCIDE)
		return false;
	return !(s->cr0 & X86_CR0_PG) || !(s->cr4 & X86_CR4_PAE) ||
	       pdptrs_read(vcpu, s->cr3, pdptrs);
}

/* The vCPU is out of SMM: CR3 points to memory as it is there. */
static bool valid(struct vcpu *vcpu, const struct smm_state *s)
{
	bool vm86 = s->regs.rflags & X86_EFLAGS_VM;
	bool la57 = s->sregs.cr4 & X86_CR4_LA57;

	if (!efer_fits_cpuid(vcpu, s->sregs.efer) || !paging_valid(vcpu, &s->sregs))
		return false;
	if (vm86 && (!(s->sregs.cr0 & X86_CR0_PE) || (s->sregs.efer & EFER_LMA)))
		return false;
	if (s->sregs.cs.l && (s->sregs.cs.db || !__is_canonical_address(s->regs.rip, la57 ? 57 : 48)))
		return false;
	return !upper_32_bits(s->dr6) && !upper_32_bits(s->dr7);
}

static bool load(struct vcpu *vcpu, struct smm_state *s, const u8 *map)
{
	from_map(layout(vcpu), map, s);
	ignore_unused(s);
	if (!valid(vcpu, s) || state_set_sregs(vcpu, &s->sregs))
		return false;
	state_set_regs(vcpu, &s->regs);
	set_dr(vcpu, 6, s->dr6);
	set_dr(vcpu, 7, s->dr7);
	vcpu->arch.msr.smbase = s->smbase;
	static_call(vendor_set_shadow)(vcpu, s->shadow);
	return true;
}

/**
 * smm_leave() - RSM
 * @vcpu: the vCPU, loaded, in SMM, at the instruction; vm->srcu held
 *
 * A map that no CPU could run with shuts it down (SDM vol. 3, 31.5), as does one that is
 * not there. Context: may sleep. Return: as exit_dispatch().
 */
int smm_leave(struct vcpu *vcpu)
{
	gpa_t at = (gpa_t)(u32)vcpu->arch.msr.smbase + MAP_OFFSET;
	u8 map[MAP_SIZE];
	struct smm_state s;
	bool read = !guest_read(vcpu->vm, SPACE_SMM, at, map, sizeof(map));

	if (!vcpu->arch.events.smi.inside_nmi)
		static_call(vendor_set_nmi_mask)(vcpu, false);
	smm_set(vcpu, false);
	get_state(vcpu, &s);
	if (!read || !load(vcpu, &s, map))
		vcpu_request(vcpu, VCPU_REQ_TRIPLE_FAULT);
	/* A CPU that runs is not waiting for one: it is lost. */
	clear_bit(PENDING_SIPI, &vcpu->arch.pending_init_sipi);
	return 1;
}

/**
 * smm_reset() - RESET or INIT
 * @vcpu:	the vCPU, loaded
 * @init:	INIT, which leaves SMBASE (SDM vol. 3, 31.11)
 */
void smm_reset(struct vcpu *vcpu, bool init)
{
	smm_set(vcpu, false);
	vcpu->arch.msr.smi_count = 0;
	if (!init)
		vcpu->arch.msr.smbase = SMBASE_RESET;
}
