// SPDX-License-Identifier: GPL-2.0
/*
 * Steps that run a guest: a few instructions with registers at boundaries, in a mode and at
 * a privilege of its own. Exceptions come to handlers that say their vector through a port.
 */
#include <signal.h>
#include <sys/time.h>

#include "differ.h"

#define HANDLER_SIZE	8
#define CR0_NE		0x20		/* TCG ends itself over FERR# */
#define CR4_SMEP	0x100000

enum mode { REAL, PROTECTED, PAGED32, PAE, COMPAT, LONG, MODES };

static const char *const mode_names[] = { "real", "protected", "paged32", "pae", "compat", "long" };

/* ---- memory ---- */

static void put_handlers(char *ram)
{
	static const u8 code[HANDLER_SIZE] = { 0xb0, 0, 0xe6, VECTOR_PORT, 0xf4, 0xeb, 0xfd };

	for (int i = 0; i < 256; i++) {
		u64 at = HANDLERS + i * HANDLER_SIZE;
		u64 gate = at | 8 << 16 | 0xeeull << 40;

		memcpy(ram + at, code, sizeof(code));
		ram[at + 1] = i;
		((u32 *)ram)[i] = at;			/* the real mode's table */
		((u64 *)(ram + IDT32))[i] = gate;
		((u64 *)(ram + IDT64))[2 * i] = gate;
		((u64 *)(ram + IDT64))[2 * i + 1] = 0;
	}
}

static void put_tables(char *ram, bool is_long)
{
	u64 gdt[] = {
		0, is_long ? 0x00af9b000000ffff : 0x00cf9b000000ffff, 0x00cf93000000ffff,
		is_long ? 0x00affb000000ffff : 0x00cffb000000ffff, 0x00cff3000000ffff,
		0x67 | (u64)TSS << 16 | 0x8bull << 40, 0, 0x00cf13000000ffff, 0x009f9b000000ffff,
	};
	u64 *pml4 = (u64 *)(ram + PML4), *pae = (u64 *)(ram + PDPT_PAE);
	u32 *tss = (u32 *)(ram + TSS), *dir = (u32 *)(ram + DIR32);

	memcpy(ram + GDT, gdt, sizeof(gdt));
	memset(tss, 0, 0x68);
	tss[1] = RSP0_TOP;
	tss[2] = is_long ? 0 : 16;
	memset(pml4, 0, 2 * PAGE_SIZE);
	pml4[0] = (PML4 + 0x1000) | 7;
	for (u64 i = 0; i < 4; i++) {
		pml4[512 + i] = (PML4 + 0x2000 + i * PAGE_SIZE) | 7;
		pae[i] = (PML4 + 0x2000 + i * PAGE_SIZE) | 1;
	}
	for (u64 i = 0; i < 2048; i++)
		pml4[1024 + i] = i << 21 | 0x87;
	for (u64 i = 0; i < 1024; i++)
		dir[i] = i << 22 | 0x87;
}

/* ---- modes ---- */

/* One of the two tables, for LGDT as for LIDT. */
static void put_table_pointer(char *at, const struct kvm_sregs *s)
{
	u16 limit = rnd();
	u64 base = one_in(2) ? s->gdt.base : s->idt.base;

	memcpy(at, &limit, sizeof(limit));
	memcpy(at + 2, &base, sizeof(base));
}

static void set_segments(struct kvm_sregs *s, enum mode mode, int cpl)
{
	struct kvm_segment data = {
		.limit = ~0u, .selector = cpl ? 0x23 : 0x10, .type = 3, .s = 1, .present = 1, .db = 1,
		.g = 1, .dpl = cpl,
	}, code = data, real = { .limit = 0xffff, .type = 3, .s = 1, .present = 1 };

	code.selector = cpl ? 0x1b : 8;
	code.type = 11;
	code.l = mode == LONG;
	code.db = mode != LONG;
	if (mode == REAL)
		data = code = real;
	s->cs = code;
	s->ds = s->es = s->ss = s->fs = s->gs = data;
	/* TCG ends itself when it needs a TSS whose type is the busy one: it keeps the other. */
	s->tr = (struct kvm_segment){
		.base = TSS, .limit = 0x67, .selector = 0x28, .type = host_is_tcg() ? 9 : 11, .present = 1,
	};
	s->ldt = (struct kvm_segment){ .type = 2, .present = 1 };
	s->gdt = (struct kvm_dtable){ GDT, 9 * 8 - 1 };
	s->idt = (struct kvm_dtable){ mode >= COMPAT ? IDT64 : IDT32, mode >= COMPAT ? 0xfff : 0x7ff };
	if (mode == REAL)
		s->idt = (struct kvm_dtable){ 0, 0x3ff };
}

static const u64 cr3_of[] = { 0, 0, DIR32, PDPT_PAE, PML4, PML4 };

static void set_mode(struct kvm_sregs *s, enum mode mode, int cpl)
{
	static const u64 cr4[] = { 0, 0, 0x10, 0x20, 0x20, 0x20 };
	static const u32 cr0_bits[] = { 1, 2, 4, 8, 1 << 16, 1 << 18, 1 << 29, 1 << 30, 1u << 31, 3u << 29 };
	static const u64 efer_bits[] = { 0x1, 0x800, 0x801, 0x100 };

	set_segments(s, mode, cpl);
	s->cr0 = (mode == REAL ? 0x10 : mode == PROTECTED ? 0x11 : 0x80010011) | CR0_NE;
	s->cr3 = cr3_of[mode];
	s->cr4 = cr4[mode] | 0x600;
	s->efer = mode >= COMPAT ? 0x500 : 0;
	if (one_in(4))
		s->cr4 |= 1 << below(23);
	s->cr4 &= ~cr4_not_claimed();
	/* All pages are the user's: each fetch of the kernel's would fault, until the stack is used up. */
	if (mode >= PAGED32)
		s->cr4 &= ~CR4_SMEP;
	if (one_in(8))
		s->cr0 |= pick(cr0_bits);
	/* KVM refuses no EFER, and then to enter the guest. */
	if (one_in(4))
		s->efer |= pick(efer_bits);
}

/* ---- instructions ---- */

struct insn {
	const char *name;
	u8 len;
	u8 code[10];
};

#define I(name, ...) { name, sizeof((u8[]){ __VA_ARGS__ }), { __VA_ARGS__ } }

static const struct insn privileged[] = {
	I("cpuid", 0x0f, 0xa2), I("rdmsr", 0x0f, 0x32), I("wrmsr", 0x0f, 0x30), I("rdmsr", 0x0f, 0x32),
	I("wrmsr", 0x0f, 0x30), I("wrmsr", 0x0f, 0x30), I("wrmsr, rdmsr", 0x0f, 0x30, 0x0f, 0x32),
	I("mov cr0,eax", 0x0f, 0x22, 0xc0), I("mov cr2,eax", 0x0f, 0x22, 0xd0),
	I("mov cr3,eax", 0x0f, 0x22, 0xd8), I("mov cr4,eax", 0x0f, 0x22, 0xe0),
	I("mov cr1,eax", 0x0f, 0x22, 0xc8), I("mov cr5,eax", 0x0f, 0x22, 0xe8),
	I("mov cr8,rax", 0x44, 0x0f, 0x22, 0xc0), I("mov rax,cr8", 0x44, 0x0f, 0x20, 0xc0),
	I("mov eax,cr0", 0x0f, 0x20, 0xc0), I("mov eax,cr2", 0x0f, 0x20, 0xd0),
	I("mov eax,cr3", 0x0f, 0x20, 0xd8), I("mov eax,cr4", 0x0f, 0x20, 0xe0),
	I("mov dr0,eax", 0x0f, 0x23, 0xc0), I("mov dr3,eax", 0x0f, 0x23, 0xd8),
	I("mov dr4,eax", 0x0f, 0x23, 0xe0), I("mov dr6,eax", 0x0f, 0x23, 0xf0),
	I("mov dr7,eax", 0x0f, 0x23, 0xf8), I("mov eax,dr0", 0x0f, 0x21, 0xc0),
	I("mov eax,dr6", 0x0f, 0x21, 0xf0), I("mov eax,dr7", 0x0f, 0x21, 0xf8),
	I("mov eax,dr5", 0x0f, 0x21, 0xe8),
	I("lmsw ax", 0x0f, 0x01, 0xf0), I("smsw ax", 0x0f, 0x01, 0xe0), I("clts", 0x0f, 0x06),
	I("xgetbv", 0x0f, 0x01, 0xd0), I("xsetbv", 0x0f, 0x01, 0xd1), I("invlpg", 0x0f, 0x01, 0x3b),
	I("invd", 0x0f, 0x08), I("wbinvd", 0x0f, 0x09), I("hlt", 0xf4), I("rsm", 0x0f, 0xaa),
	I("rdpmc", 0x0f, 0x33), I("lgdt", 0x0f, 0x01, 0x13), I("lidt", 0x0f, 0x01, 0x1b),
	I("sgdt", 0x0f, 0x01, 0x03), I("sidt", 0x0f, 0x01, 0x0b), I("lldt", 0x0f, 0x00, 0xd0),
	I("ltr", 0x0f, 0x00, 0xd8), I("str", 0x0f, 0x00, 0xc8), I("sldt", 0x0f, 0x00, 0xc0),
	I("swapgs", 0x0f, 0x01, 0xf8), I("cli", 0xfa), I("sti", 0xfb), I("sti, hlt", 0xfb, 0xf4),
	I("popf", 0x9d), I("pushf, pop", 0x9c, 0x58), I("iret", 0xcf),
	I("sysexit", 0x0f, 0x35), I("syscall", 0x0f, 0x05), I("sysret", 0x0f, 0x07),
	I("monitor", 0x0f, 0x01, 0xc8), I("mwait", 0x0f, 0x01, 0xc9), I("pause", 0xf3, 0x90),
	I("monitorx", 0x0f, 0x01, 0xfa), I("mwaitx", 0x0f, 0x01, 0xfb),
	I("clac", 0x0f, 0x01, 0xca), I("stac", 0x0f, 0x01, 0xcb), I("invpcid", 0x66, 0x0f, 0x38, 0x82, 0x03),
	I("rdpid", 0xf3, 0x0f, 0xc7, 0xf8), I("rdpkru", 0x0f, 0x01, 0xee), I("wrpkru", 0x0f, 0x01, 0xef),
	I("xsaves", 0x0f, 0xc7, 0x2b), I("xrstors", 0x0f, 0xc7, 0x1b),
	I("rdfsbase", 0xf3, 0x0f, 0xae, 0xc0), I("wrgsbase", 0xf3, 0x0f, 0xae, 0xd8),
};

static const struct insn virtual[] = {
	I("vmcall", 0x0f, 0x01, 0xc1), I("vmmcall", 0x0f, 0x01, 0xd9), I("vmlaunch", 0x0f, 0x01, 0xc2),
	I("vmresume", 0x0f, 0x01, 0xc3), I("vmxoff", 0x0f, 0x01, 0xc4), I("vmrun", 0x0f, 0x01, 0xd8),
	I("vmload", 0x0f, 0x01, 0xda), I("vmsave", 0x0f, 0x01, 0xdb), I("stgi", 0x0f, 0x01, 0xdc),
	I("clgi", 0x0f, 0x01, 0xdd), I("skinit", 0x0f, 0x01, 0xde), I("invlpga", 0x0f, 0x01, 0xdf),
	I("vmxon", 0xf3, 0x0f, 0xc7, 0x33), I("vmptrld", 0x0f, 0xc7, 0x33), I("vmread", 0x0f, 0x78, 0xc0),
	I("vmfunc", 0x0f, 0x01, 0xd4), I("getsec", 0x0f, 0x37), I("invept", 0x66, 0x0f, 0x38, 0x80, 0x03),
	I("invvpid", 0x66, 0x0f, 0x38, 0x81, 0x03), I("encls", 0x0f, 0x01, 0xcf), I("enclu", 0x0f, 0x01, 0xd7),
};

static const struct insn exceptions[] = {
	I("ud2", 0x0f, 0x0b), I("int3", 0xcc), I("int1", 0xf1), I("int 0x80", 0xcd, 0x80), I("int 0xd", 0xcd, 0x0d),
	I("int 8", 0xcd, 8), I("int 2", 0xcd, 2),
	I("into", 0xce), I("div", 0xf7, 0xf1), I("bound", 0x62, 0x03), I("mov ss", 0x8e, 0xd0),
	I("mov ds", 0x8e, 0xd8), I("mov fs", 0x8e, 0xe0), I("mov cs", 0x8e, 0xc8), I("pop ss", 0x17),
	I("mov ss, int3", 0x8e, 0xd0, 0xcc), I("retf", 0xcb), I("ret", 0xc3), I("jmp rax", 0xff, 0xe0),
	I("call [rbx]", 0xff, 0x13), I("lcall [rbx]", 0xff, 0x1b), I("mov eax,[rbx]", 0x8b, 0x03),
	I("mov [rbx],eax", 0x89, 0x03), I("push rax", 0x50), I("mov rsp,rax; push", 0x89, 0xc4, 0x50),
	I("fninit, fld1, fdivp", 0xdb, 0xe3, 0xd9, 0xe8, 0xde, 0xf9), I("fwait", 0x9b),
	I("movaps", 0x0f, 0x28, 0x03), I("divps", 0x0f, 0x5e, 0xc1), I("ldmxcsr", 0x0f, 0xae, 0x13),
	I("rsp+tf", 0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90),
	I("fxsave", 0x0f, 0xae, 0x03), I("fxrstor", 0x0f, 0xae, 0x0b), I("xsave", 0x0f, 0xae, 0x23),
	I("xrstor", 0x0f, 0xae, 0x2b), I("cmpxchg8b", 0x0f, 0xc7, 0x0b), I("lock ud", 0xf0, 0x89, 0xc0),
};

/* At [rbx] or [rsi] and [rdi] is a device, as often as not. */
static const struct insn io[] = {
	I("in al,dx", 0xec), I("in eax,dx", 0xed), I("in ax,dx", 0x66, 0xed), I("out dx,al", 0xee),
	I("out dx,eax", 0xef), I("out dx,ax", 0x66, 0xef), I("in al,imm", 0xe4, 0x60), I("out imm,eax", 0xe7, 0x80),
	I("insb", 0x6c), I("insd", 0x6d), I("outsb", 0x6e), I("outsd", 0x6f), I("rep insb", 0xf3, 0x6c),
	I("rep insw", 0x66, 0xf3, 0x6d),
	I("mov al,[rbx]", 0x8a, 0x03), I("mov [rbx],al", 0x88, 0x03), I("mov eax,[rbx]", 0x8b, 0x03),
	I("mov [rbx],eax", 0x89, 0x03), I("mov [rbx],ax", 0x66, 0x89, 0x03), I("mov rax,[rbx]", 0x48, 0x8b, 0x03),
	I("mov [rbx],rax", 0x48, 0x89, 0x03), I("movzx", 0x0f, 0xb6, 0x03), I("movsx", 0x0f, 0xbf, 0x03),
	I("add [rbx],eax", 0x01, 0x03), I("lock add", 0xf0, 0x01, 0x03), I("xchg [rbx],eax", 0x87, 0x03),
	I("cmpxchg", 0x0f, 0xb1, 0x0b), I("xadd", 0x0f, 0xc1, 0x0b), I("bts", 0x0f, 0xab, 0x0b),
	I("inc [rbx]", 0xff, 0x03), I("not [rbx]", 0xf7, 0x13), I("shl [rbx]", 0xd3, 0x23),
	I("push [rbx]", 0xff, 0x33), I("pop [rbx]", 0x8f, 0x03), I("movsb", 0xa4), I("movsd", 0xa5),
	I("rep movsb", 0xf3, 0xa4), I("rep stosd", 0xf3, 0xab), I("lodsb", 0xac), I("scasb", 0xae),
	I("cmpsb", 0xa6), I("repe cmpsb", 0xf3, 0xa6), I("test [rbx],1", 0xf6, 0x03, 1), I("cmp [rbx],eax", 0x39, 0x03),
	I("movnti", 0x0f, 0xc3, 0x03), I("movups", 0x0f, 0x10, 0x03), I("movups store", 0x0f, 0x11, 0x03),
	I("movaps", 0x0f, 0x28, 0x03),
	I("or eax,[rbx]", 0x0b, 0x03), I("prefetch", 0x0f, 0x18, 0x0b), I("jmp [rbx]", 0xff, 0x23),
	I("and eax,[rbx]", 0x23, 0x03), I("sete [rbx]", 0x0f, 0x94, 0x03), I("cmovz", 0x0f, 0x44, 0x03),
I("enter", 0xc8, 8, 0, 0), I("leave", 0xc9), I("pusha", 0x60),
	I("mov [rbx],imm", 0xc7, 0x03, 1, 2, 3, 4),
};

static const struct {
	const struct insn *insns;
	int n;
} groups[] = {
	{ privileged, ARRAY_SIZE(privileged) }, { virtual, ARRAY_SIZE(virtual) },
	{ exceptions, ARRAY_SIZE(exceptions) }, { io, ARRAY_SIZE(io) },
	{ privileged, ARRAY_SIZE(privileged) }, { io, ARRAY_SIZE(io) },
};

/* What an instruction asks of the registers. */
#define USE_MEMORY	1	/* RBX is no device: not all can be executed in software */
#define USE_STRING_IO	2	/* nor RSI and RDI: KVM reads ahead what it can't write at once */
#define USE_REP		4	/* RCX counts */
#define USE_CR3		8	/* RAX is in memory: KVM looks for tables elsewhere for ever */
/*
 * RBX is at no APIC: of so wide a read KVM tells what was there before; and a write of so few
 * bytes the LAPIC takes where VMX makes it.
 */
#define USE_ODD_SIZE	32
#define USE_STACK	64	/* RAX becomes RSP: an event that comes then goes to memory */
#define USE_TABLE	16	/* RBX is at where the table is, likewise */
#define USE_MODE	128	/* it is not compared in each mode: see odd() */
#define USE_NO_LAPIC	256	/* KVM on VMX has memory where a LAPIC is that is off, or elsewhere */

static bool is_others_hypercall(const struct insn *insn)
{
	return !strcmp(insn->name, host_is_intel() ? "vmmcall" : "vmcall");
}

static int use_of(const struct insn *insn, const struct insn *group)
{
	bool rep = !strncmp(insn->name, "rep", 3);
	u8 last = insn->code[insn->len - 1];

	return (group == io ? 0 : USE_MEMORY) | (rep ? USE_REP : 0) |
	       (strstr(insn->name, "cr3") ? USE_CR3 : 0) |
	       (strstr(insn->name, "mov rax,[") || strstr(insn->name, "movups") ||
		strstr(insn->name, "movaps") || strstr(insn->name, "jmp [") ||
		strstr(insn->name, "movsb") || strstr(insn->name, "sete") ||
		strstr(insn->name, "mov [rbx],a") ? USE_ODD_SIZE : 0) |
	       (strstr(insn->name, "mov rsp") ? USE_STACK : 0) |
	       (is_others_hypercall(insn) ? USE_MODE : 0) |
	       (!strcmp(insn->name, "lgdt") || !strcmp(insn->name, "lidt") ? USE_TABLE : 0) |
	       (insn->len < 4 && last >= 0x6c && last <= 0x6f ? USE_STRING_IO : 0);
}

/* What is not to be compared: what the one or the other, or the host's CPU, lacks. */
static bool odd(const struct insn *insn, enum mode mode, int cpl)
{
	const char *name = insn->name;

	/* The other vendor's hypercall KVM knows in protected mode only, and there for the kernel. */
	if (is_others_hypercall(insn))
		return mode == REAL || cpl;
	/* KVM has counters on AMD even without its PMU. */
	if (!strcmp(name, "rdpmc"))
		return !host_is_intel();
	/* KVM makes Intel's of it, for guests that came from there. */
	if (!strcmp(name, "sysexit"))
		return !host_is_intel() && mode >= COMPAT;
	/* TCG takes any MXCSR. */
	return host_is_tcg() && !strcmp(name, "ldmxcsr");
}

/*
 * The port of the end is written from CPL 3 as well: IOPL says so. Return: what is asked of the
 * registers.
 */
static int put_code(char *ram, enum mode mode, int cpl)
{
	static const u8 done[] = { 0xe6, DONE_PORT, 0xf4 };
	const struct insn *insn;
	char *at = ram + CODE;
	int use = 0;

	say(" {");
	for (int n = one_in(3) ? 1 + below(3) : 1; n > 0; n--) {
		int i = below(ARRAY_SIZE(groups));

		insn = &groups[i].insns[below(groups[i].n)];
		if (odd(insn, mode, cpl))
			insn = &privileged[0];
		say("%s%s", insn->name, n > 1 ? "; " : "");
		memcpy(at, insn->code, insn->len);
		at += insn->len;
		use |= use_of(insn, groups[i].insns);
	}
	say("}");
	memcpy(at, done, sizeof(done));
	return use;
}

/* ---- registers ---- */

static u64 device_or_memory(void)
{
	static const u64 places[] = {
		DATA, DATA + 1, DATA + PAGE_SIZE - 2, 0xd0000000, 0xd0000001, 0xd0000ffe, 0xfee00020,
		0xfee00030, 0xfee00080, 0xfee000f0, 0xfee00300, 0xfec00000, 0xfec00010, RAM_SIZE - 1,
		RAM_SIZE, TSS, 0xd0000100,
	};

	return one_in(8) ? value() : pick(places);
}

static u64 counter(void)
{
	static const u32 hypercalls[] = { 1, 5, 9, 10, 11, 12, 0xc0000000, 0x40000000, 0x40000001, 0x80000008 };

	return one_in(2) ? value() : pick(hypercalls);
}

static u64 not_the_lapic(u64 address)
{
	return address >> 12 == 0xfee00 ? address & 0xd0000fff : address;
}

static void set_regs(struct kvm_regs *r, enum mode mode, int cpl, int use)
{
	/* None that reads as the time: the PIT's counters, and what refreshes memory. */
	static const u16 ports[] = { 0x3f8, 0x20, 0x21, 0xa0, 0x43, 0xa1, 0x4d0, 0x1000, 0xffff, 0x60, 0xfffd, 0xcf8 };
	u64 v;

	memset(r, 0, sizeof(*r));
	r->rcx = one_in(3) ? below(8) : some_msr();
	v = msr_value(r->rcx);
	r->rax = one_in(3) ? counter() : v;
	r->rdx = one_in(2) ? pick(ports) : v >> 32;
	r->rbx = device_or_memory();
	r->rsi = device_or_memory();
	r->rdi = device_or_memory();
	if (use & USE_REP)
		r->rcx = below(9);
	if (use & USE_CR3)
		r->rax = one_in(4) ? below(RAM_SIZE) : cr3_of[mode];
	if (use & USE_STACK)
		r->rax = STACK_TOP - 64 - below(64);
	if (use & USE_MEMORY)
		r->rbx = DATA + below(64);
	/* What wraps around at 4 GiB may fault, or not: SDM vol. 3, 5.3. */
	if (mode != LONG && r->rbx > 0xffffff00)
		r->rbx = 0xfffff000;
	if ((use & USE_ODD_SIZE) && r->rbx >> 24 == 0xfe)
		r->rbx &= 0xd0000fff;
	if (use & USE_ODD_SIZE)
		r->rdi = not_the_lapic(r->rdi);
	if (use & USE_NO_LAPIC) {
		r->rbx = not_the_lapic(r->rbx);
		r->rsi = not_the_lapic(r->rsi);
		r->rdi = not_the_lapic(r->rdi);
	}
	if (use & USE_STRING_IO) {
		r->rsi = DATA + below(8);
		r->rdi = DATA + 32 + below(8);
	}
	r->rbp = STACK_TOP - 128;
	r->r8 = value();
	r->rsp = STACK_TOP - 64;
	r->rip = CODE;
	/* Not TF: KVM loses the trap of what writes to user space's device. */
	r->rflags = 2 | (one_in(2) ? 0x200 : 0) | (one_in(8) ? value() & 0x250cd5 : 0);
	r->rflags &= ~rflags_not_here();
	/* Backwards, KVM reads ahead, and minikvm does not. */
	if (use & USE_STRING_IO)
		r->rflags &= ~0x400ull;
	if (cpl)
		r->rflags |= 0x3000;
	if (mode != LONG)
		for (int i = 0; i < 8; i++)	/* TCG takes the upper halves for part of them */
			((u64 *)r)[i] &= 0xffffffff;
	say(" a %llx b %llx c %llx d %llx si %llx di %llx f %llx", r->rax, r->rbx, r->rcx, r->rdx,
	    r->rsi, r->rdi, r->rflags);
}

/* ---- exits ---- */

/* A stack in no memory: on SVM KVM never ends. On VMX its first attempt may fault, to a shutdown. */
static bool stack_is_nowhere(struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
	       run->internal.suberror == KVM_INTERNAL_ERROR_DELIVERY_EV;
}

static void say_exit(struct kvm_run *run)
{
	if (stack_is_nowhere(run))
		run->exit_reason = KVM_EXIT_SHUTDOWN;
	/* Of #BP there is neither, and KVM leaves what was there. */
	if (run->exit_reason == KVM_EXIT_DEBUG && run->debug.arch.exception == 3)
		run->debug.arch.dr6 = run->debug.arch.dr7 = 0;
	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY && !host_is_intel())
		run->if_flag = run->ready_for_interrupt_injection = 0;
	/* KVM has a store done by then. */
	if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.is_write)
		run->ready_for_interrupt_injection = 0;
	say(" | exit %u rdy %u if %u fl %x cr8 %llx base %llx", run->exit_reason,
	    run->ready_for_interrupt_injection, run->if_flag, run->flags, run->cr8, run->apic_base);
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		say(" io %u size %u port %x count %u", run->io.direction, run->io.size, run->io.port,
		    run->io.count);
		if (run->io.direction == KVM_EXIT_IO_OUT && run->io.size * run->io.count <= PAGE_SIZE)
			say_bytes("data", (char *)run + run->io.data_offset,
				  run->io.size * run->io.count);
		break;
	case KVM_EXIT_MMIO:
		say(" mmio %llx len %u write %u", run->mmio.phys_addr, run->mmio.len, run->mmio.is_write);
		if (run->mmio.is_write)
			say_bytes("data", run->mmio.data, run->mmio.len < 8 ? run->mmio.len : 8);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		say(" suberror %u ndata %u", run->internal.suberror, run->internal.ndata);
		if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION && run->internal.ndata < 16)
			say_bytes("data", run->internal.data, 8 * run->internal.ndata);
		if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && run->internal.ndata >= 4)
			say_bytes("data", &run->emulation_failure.flags, 24);
		break;
	case KVM_EXIT_DEBUG: say_bytes("debug", &run->debug.arch, sizeof(run->debug.arch)); break;
	/* KVM clears the VMCB. */
	case KVM_EXIT_SHUTDOWN: episode_over(); break;
	case KVM_EXIT_FAIL_ENTRY:
		say(" fail %llx", run->fail_entry.hardware_entry_failure_reason);
		/* Bochs puts into the VMCB what the host has; KVM on VMX takes a length from there. */
		episode_over();
		break;
	case KVM_EXIT_HYPERCALL:
		say_bytes("hypercall", &run->hypercall, sizeof(run->hypercall));
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		say(" msr %x why %u data %llx", run->msr.index, run->msr.reason,
		    run->exit_reason == KVM_EXIT_X86_WRMSR ? run->msr.data : 0);
		break;
	case KVM_EXIT_SYSTEM_EVENT: say_bytes("event", &run->system_event, 16); break;
	case KVM_EXIT_IOAPIC_EOI: say(" eoi %x", run->eoi.vector); break;
	}
}

static void answer(struct kvm_run *run)
{
	if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_IN &&
	    run->io.size * run->io.count <= PAGE_SIZE)
		memset((char *)run + run->io.data_offset, 0x5a, run->io.size * run->io.count);
	else if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write)
		memset(run->mmio.data, 0xa5, 8);
	else if (run->exit_reason == KVM_EXIT_HYPERCALL)
		run->hypercall.ret = 0x1234;
	else if (run->exit_reason == KVM_EXIT_X86_RDMSR)
		run->msr.data = 0x5555, run->msr.error = one_in(2);
	else if (run->exit_reason == KVM_EXIT_X86_WRMSR)
		run->msr.error = one_in(2);
}

static void watch(long us)
{
	struct itimerval t = { { 0, us }, { 0, us } };

	setitimer(ITIMER_REAL, &t, NULL);
}

/* Who waits for an interrupt comes out by a signal; who spins does as well, somewhere. */
static int run_watched(int fd, struct kvm_run *run)
{
	struct kvm_mp_state mp = { 0 };
	int err, times = 0;

	watch(20000);
	do
		err = ioctl(fd, KVM_RUN, 0) ? errno : 0;
	while (err == EINTR && !ioctl(fd, KVM_GET_MP_STATE, &mp) &&
	       mp.mp_state == KVM_MP_STATE_RUNNABLE && times++ < 20);
	watch(0);
	if (err == EINTR && mp.mp_state == KVM_MP_STATE_RUNNABLE)
		episode_over();
	/* Waiting for INIT or SIPI, KVM wakes for what can't be taken there: an NMI. */
	return err == EAGAIN ? EINTR : err;
}

static bool goes_on(struct kvm_run *run)
{
	switch (run->exit_reason) {
	case KVM_EXIT_IO: return run->io.port != DONE_PORT && run->io.port != VECTOR_PORT;
	case KVM_EXIT_MMIO:
	case KVM_EXIT_HYPERCALL:
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_IOAPIC_EOI:
	case KVM_EXIT_DEBUG:
		return true;
	default:
		return false;
	}
}

/*
 * What the last exit left half done. An instruction may exit some more times for it; KVM's
 * state at an exit is that of the end of it.
 */
static void complete(struct world *w, int n)
{
	struct kvm_run *run = w->run[n];

	run->immediate_exit = 1;
	for (int i = 0; i < 32; i++) {
		if (ioctl(w->vcpu[n], KVM_RUN, 0))
			break;
		answer(run);
	}
	say(" completed %s", strerrorname_np(errno));
	run->immediate_exit = 0;
}

bool say_run(struct world *w, int n)
{
	struct kvm_run *run = w->run[n];
	int err = 0;

	for (int i = 0; i < 24; i++) {
		run->exit_reason = 99;
		err = run_watched(w->vcpu[n], run);
		if (err)
			say(" | %s", strerrorname_np(err));
		if (!err && stack_is_nowhere(run) && !host_is_intel()) {
			say(" | EINTR");
			episode_over();
			return false;
		}
		if (err == EINTR)
			return !episode_is_over();
		say_exit(run);
		if (err || (run->exit_reason != KVM_EXIT_IO && !goes_on(run)))
			return !episode_is_over();
		answer(run);
		if (!goes_on(run))
			break;
	}
	complete(w, n);
	return true;
}

static void say_memory(struct world *w)
{
	say_bytes("stack", w->ram + STACK_TOP - 128, 128);
	say_bytes("stack0", w->ram + RSP0_TOP - 64, 64);
	say_bytes("memory", w->ram + DATA, 64);
}

int ready_vcpu(struct world *w)
{
	int n = one_in(4);

	/* Without memory KVM has no room for tables, either: ENOSPC. */
	return w->has_ram && w->vcpu[n] >= 0 && w->run[n] ? n : -1;
}

/* With an event on its way a vCPU has not halted: KVM lets it sleep nevertheless. */
static bool contradictory(int fd)
{
	struct kvm_vcpu_events e;
	struct kvm_mp_state mp;

	return !ioctl(fd, KVM_GET_MP_STATE, &mp) && mp.mp_state == KVM_MP_STATE_HALTED &&
	       !ioctl(fd, KVM_GET_VCPU_EVENTS, &e) &&
	       (e.exception.injected || e.interrupt.injected || e.nmi.injected);
}

static void put_layout(char *ram, bool is_long)
{
	memset(ram, 0, LAYOUT_END);
	put_handlers(ram);
	put_tables(ram, is_long);
}

bool start_flat(struct world *w, int n, struct kvm_regs *regs)
{
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct kvm_sregs sregs;

	if (ioctl(w->vcpu[n], KVM_GET_SREGS, &sregs))
		return false;
	put_layout(w->ram, false);
	set_segments(&sregs, PROTECTED, 0);
	sregs.cr0 = 0x11 | CR0_NE;
	sregs.cr3 = 0;
	sregs.cr4 = 0x600;
	sregs.efer = 0;
	CALL_RAW(w->vcpu[n], KVM_SET_MP_STATE, &runnable);
	if (CALL_RAW(w->vcpu[n], KVM_SET_SREGS, &sregs))
		return false;
	CALL_RAW(w->vcpu[n], KVM_SET_REGS, regs);
	return true;
}

static void program(struct world *w)
{
	/*
	 * Of hardware breakpoints TCG knows nothing, and KVM where it executes in software. Nor
	 * steps: of what KVM injects, it pushes another TF.
	 */
	static const u32 controls[] = { 0x10001, 0x20001 };
	struct kvm_guest_debug debug = { .arch.debugreg = { CODE, [7] = 0x401 } };
	int n = ready_vcpu(w), cpl;
	struct kvm_sregs sregs;
	int use;
	struct kvm_regs regs;
	enum mode mode = below(MODES);
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };

	if (n < 0 || ioctl(w->vcpu[n], KVM_GET_SREGS, &sregs))
		return;
	cpl = mode == REAL || !one_in(4) ? 0 : 3;
	put_layout(w->ram, mode >= COMPAT);
	say(" %d %s/%d", n, mode_names[mode], cpl);
	use = put_code(w->ram, mode, cpl);
	for (int i = 0; i < 64; i++)
		w->ram[DATA + i] = rnd();
	if (host_is_intel() && (sregs.apic_base & 0xffffffc00) != 0xfee00800)
		use |= USE_NO_LAPIC;
	set_mode(&sregs, mode, cpl);
	set_regs(&regs, mode, cpl, use);
	if (use & USE_TABLE)
		put_table_pointer(w->ram + regs.rbx, &sregs);
	say(" cr0 %llx cr4 %llx efer %llx", sregs.cr0, sregs.cr4, sregs.efer);
	if (!one_in(8) || contradictory(w->vcpu[n]))
		CALL_RAW(w->vcpu[n], KVM_SET_MP_STATE, &runnable);
	if (CALL_RAW(w->vcpu[n], KVM_SET_SREGS, &sregs) && (use & USE_MODE))
		return;
	CALL_RAW(w->vcpu[n], KVM_SET_REGS, &regs);
	say_now();
	debug.control = one_in(8) ? controls[!host_is_tcg() && one_in(2)] : 0;
	if (debug.control) {
		say(" debug %x", debug.control);
		CALL_RAW(w->vcpu[n], KVM_SET_GUEST_DEBUG, &debug);
	}
	w->run[n]->request_interrupt_window = one_in(8);
	if (!say_run(w, n))
		return;
	debug.control = 0;
	ioctl(w->vcpu[n], KVM_SET_GUEST_DEBUG, &debug);
	say_vcpu(w, n);
	say_memory(w);
}

/* Where it is, whatever that is. */
static void run_on(struct world *w)
{
	int n = ready_vcpu(w);

	if (n < 0 || contradictory(w->vcpu[n]))
		return;
	w->run[n]->immediate_exit = one_in(2);
	say(" %d imm %u", n, w->run[n]->immediate_exit);
	if (say_run(w, n))
		say_vcpu(w, n);
	w->run[n]->immediate_exit = 0;
}

static void sync_regs(struct world *w)
{
	int n = ready_vcpu(w);
	struct kvm_mp_state mp;
	struct kvm_run *run;

	if (n < 0 || ioctl(w->vcpu[n], KVM_GET_MP_STATE, &mp) || mp.mp_state)
		return;		/* what waits for an IPI waits before it looks at them */
	run = w->run[n];
	run->kvm_valid_regs = one_in(4) ? value() : below(8);
	run->kvm_dirty_regs = one_in(2) ? 0 : one_in(4) ? value() : below(8);
	say(" %d valid %llx dirty %llx", n, run->kvm_valid_regs, run->kvm_dirty_regs);
	/* No handler of SMM's is there; INT n executes again. */
	run->s.regs.events.flags &= ~KVM_VCPUEVENT_VALID_SMM;
	run->s.regs.events.interrupt.soft = 0;
	if (one_in(2))
		tweak(&run->s.regs.regs, sizeof(run->s.regs.regs));
	run->s.regs.regs.rflags &= ~rflags_not_here();
	run->immediate_exit = 1;
	CALL_RAW(w->vcpu[n], KVM_RUN, 0);
	run->immediate_exit = 0;
	say(" dirty %llx", run->kvm_dirty_regs);
	run->kvm_valid_regs = run->kvm_dirty_regs = 0;
	mask_sregs(&run->s.regs.sregs);
	mask_events(&run->s.regs.events);
	/* What KVM on VMX takes from the page, it changes there to what was made of it. */
	for (int i = 0; i < 7; i++)
		(&run->s.regs.sregs.cs)[i].type |= 1;
	say_bytes("sync", &run->s.regs, sizeof(run->s.regs));
}

const struct step guest_steps[] = {
	{ "program", 24, program },
	{ "run_on", 1, run_on },
	{ "sync_regs", 2, sync_regs },
	{ }
};
