/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What guest code in a test may use: instructions as functions, the report
 * port, trapping and catching exceptions, the local APIC. Everything here runs
 * in the guest, in 64-bit mode at CPL 0 (lib/vm.h says how it gets there);
 * nothing here may call libc. The host's side is lib/vm.h.
 */
#ifndef SELFTESTS_LIB_GUEST_H
#define SELFTESTS_LIB_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/guest_layout.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

/* Marks a function of the guest. A guest function may return: that is "done". */
#define __guest __attribute__((noinline, noclone, used))

/* ---- reports: "out %eax, $REPORT_PORT" with arguments in registers ---- */

#define REPORT_PORT 0x900

enum report_kind {
	REPORT_DONE = 1,	/* the guest has finished and all was well */
	REPORT_FAIL,		/* rdi: struct guest_check, rsi, rcx: its two values */
	REPORT_TRAP,		/* rdi: struct trap_frame of an exception nobody expected */
	REPORT_VALUE,		/* rdi: a value for the host */
	REPORT_SYNC,		/* rdi: the stage reached; the host does something now */
	REPORT_EXIT,		/* never sent: the host's name for any other exit */
};

/*
 * A check's constant part. The guest runs the image of the test program at the
 * addresses it was linked for, so the host finds this in its own memory.
 */
struct guest_check {
	const char *file;
	const char *text;
	u32 line;
};

static inline void guest_report(u32 kind, u64 a, u64 b, u64 c)
{
	asm volatile("outl %%eax, %%dx" : : "a"(kind), "d"(REPORT_PORT), "D"(a), "S"(b), "c"(c)
		     : "memory");
}

#define GUEST_DONE()	guest_report(REPORT_DONE, 0, 0, 0)
#define GUEST_VALUE(v)	guest_report(REPORT_VALUE, (u64)(v), 0, 0)
#define GUEST_SYNC(n)	guest_report(REPORT_SYNC, (n), 0, 0)

#define GUEST_CHECK(ok, str, x, y) do {						\
	static const struct guest_check __check = { __FILE__, str, __LINE__ };	\
	if (!(ok))								\
		guest_report(REPORT_FAIL, (u64)&__check, (u64)(x), (u64)(y));	\
} while (0)

#define GUEST_ASSERT(cond) GUEST_CHECK((cond), #cond, 0, 0)
#define GUEST_ASSERT_EQ(expected, seen) do {					\
	u64 __exp = (u64)(expected), __seen = (u64)(seen);			\
	GUEST_CHECK(__exp == __seen, #expected " == " #seen, __exp, __seen);	\
} while (0)

/* ---- exceptions and interrupts ---- */

/* What lib/vectors.S leaves on the stack, lowest address first. */
struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

typedef void (*trap_handler)(struct trap_frame *frame);

/* One table for all vCPUs of a VM; the default of a vector is REPORT_TRAP. */
extern trap_handler guest_handlers[256];

/*
 * TRY(): run one faulting instruction and say which exception it raised.
 * NO_TRAP if none. Operand 0 is TRY()'s own, so the caller's begin with %1; the
 * instruction may not use r15.
 */
#define NO_TRAP		(~0ull)
#define TRAP_VECTOR(t)	((u8)(t))
#define TRAP_ERROR(t)	((u32)((t) >> 32))
#define TRAP(vec, err)	((u64)(vec) | (u64)(err) << 32)

#define TRY(insn, outputs, ...) ({						\
	register u64 __trap asm("r15") = NO_TRAP;				\
	asm volatile("1: " insn "\n"						\
		     "2:\n"							\
		     ".pushsection trap_fixups, \"a\"\n"			\
		     ".quad 1b, 2b\n"						\
		     ".popsection\n"						\
		     : "+r"(__trap) outputs : __VA_ARGS__);			\
	__trap; })
#define AND ,

/* ---- instructions ---- */

static inline u8 inb(u16 port)
{
	u8 v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline u16 inw(u16 port)
{
	u16 v;

	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline u32 inl(u16 port)
{
	u32 v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline void outb(u8 v, u16 port)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outw(u16 v, u16 port)
{
	asm volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outl(u32 v, u16 port)
{
	asm volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return lo | (u64)hi << 32;
}

static inline void wrmsr(u32 msr, u64 v)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

/* As rdmsr() and wrmsr(), but a fault is returned in the way of TRY(). */
static inline u64 try_rdmsr(u32 msr, u64 *v)
{
	u32 lo = 0, hi = 0;
	u64 trap = TRY("rdmsr", AND "+a"(lo) AND "+d"(hi), "c"(msr));

	*v = lo | (u64)hi << 32;
	return trap;
}

static inline u64 try_wrmsr(u32 msr, u64 v)
{
	return TRY("wrmsr", , "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (u64)hi << 32;
}

struct cpuid_regs {
	u32 eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid(u32 leaf, u32 sub)
{
	struct cpuid_regs r;

	asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
		     : "a"(leaf), "c"(sub));
	return r;
}

#define DEFINE_REG_ACCESS(name)							\
static inline u64 read_##name(void)						\
{										\
	u64 v;									\
										\
	asm volatile("mov %%" #name ", %0" : "=r"(v) : : "memory");		\
	return v;								\
}										\
static inline void write_##name(u64 v)						\
{										\
	asm volatile("mov %0, %%" #name : : "r"(v) : "memory");			\
}

DEFINE_REG_ACCESS(cr0)
DEFINE_REG_ACCESS(cr2)
DEFINE_REG_ACCESS(cr3)
DEFINE_REG_ACCESS(cr4)
DEFINE_REG_ACCESS(cr8)
DEFINE_REG_ACCESS(dr0)
DEFINE_REG_ACCESS(dr1)
DEFINE_REG_ACCESS(dr2)
DEFINE_REG_ACCESS(dr3)
DEFINE_REG_ACCESS(dr6)
DEFINE_REG_ACCESS(dr7)

static inline u64 read_flags(void)
{
	u64 v;

	asm volatile("pushfq; pop %0" : "=r"(v));
	return v;
}

static inline void cli(void)
{
	asm volatile("cli" : : : "memory");
}

static inline void sti(void)
{
	asm volatile("sti" : : : "memory");
}

static inline void hlt(void)
{
	asm volatile("hlt" : : : "memory");
}

/* No interrupt can come between the two: STI holds them for one instruction. */
static inline void sti_hlt(void)
{
	asm volatile("sti; hlt" : : : "memory");
}

static inline void sti_nop_cli(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

static inline void cpu_pause(void)
{
	asm volatile("pause" : : : "memory");
}

static inline void barrier(void)
{
	asm volatile("" : : : "memory");
}

/* What maps a 4K page of the guest's own tables. */
static inline u64 *guest_pte(u64 gva)
{
	u64 *table = (u64 *)GUEST_PML4;
	int shift;

	for (shift = 39; shift > 12; shift -= 9)
		table = (u64 *)(table[gva >> shift & 511] & ~0xfffull);
	return &table[gva >> 12 & 511];
}

static inline void write_mem8(volatile void *p, u8 v)
{
	*(volatile u8 *)p = v;
}

/* ---- the local APIC, both ways of reaching it ---- */

#define APIC_PHYS	0xfee00000ul
#define MSR_X2APIC	0x800

static inline u32 xapic_read(u32 reg)
{
	u32 v;

	asm volatile("movl (%1), %0" : "=r"(v) : "r"(APIC_PHYS + reg) : "memory");
	return v;
}

static inline void xapic_write(u32 reg, u32 v)
{
	asm volatile("movl %0, (%1)" : : "r"(v), "r"(APIC_PHYS + reg) : "memory");
}

static inline u64 x2apic_read(u32 reg)
{
	return rdmsr(MSR_X2APIC + (reg >> 4));
}

static inline void x2apic_write(u32 reg, u64 v)
{
	wrmsr(MSR_X2APIC + (reg >> 4), v);
}

/* Turn the APIC on by its spurious vector register, LVTs masked as at reset. */
static inline void xapic_enable(void)
{
	xapic_write(0xf0, 0x1ff);
}

static inline void x2apic_enable(void)
{
	wrmsr(0x1b, rdmsr(0x1b) | 1 << 11 | 1 << 10);
	x2apic_write(0xf0, 0x1ff);
}

/* ---- the IOAPIC ---- */

#define IOAPIC_PHYS	0xfec00000ul

static inline u32 ioapic_read(u32 reg)
{
	*(volatile u32 *)IOAPIC_PHYS = reg;
	return *(volatile u32 *)(IOAPIC_PHYS + 0x10);
}

static inline void ioapic_write(u32 reg, u32 v)
{
	*(volatile u32 *)IOAPIC_PHYS = reg;
	*(volatile u32 *)(IOAPIC_PHYS + 0x10) = v;
}

/* A redirection entry: vector 7:0, mode 10:8, logical 11, level 15, masked 16, to 63:56. */
static inline void ioapic_route(int pin, u64 entry)
{
	ioapic_write(0x11 + 2 * pin, entry >> 32);
	ioapic_write(0x10 + 2 * pin, entry);
}

/* ---- kvmclock ---- */

struct time_info {
	u32 version, pad0;
	u64 tsc_timestamp, system_time;
	u32 tsc_to_system_mul;
	signed char tsc_shift;
	u8 flags, pad[2];
};

/* Nanoseconds, by the page as it is and the TSC of the caller. */
static inline u64 page_time(volatile struct time_info *t)
{
	u64 delta, ns;
	u32 version;

	do {
		version = t->version;
		barrier();
		delta = rdtsc() - t->tsc_timestamp;
		delta = t->tsc_shift < 0 ? delta >> -t->tsc_shift : delta << t->tsc_shift;
		ns = t->system_time + (u64)(((unsigned __int128)delta * t->tsc_to_system_mul) >> 32);
		barrier();
	} while (version & 1 || version != t->version);
	return ns;
}

#endif /* SELFTESTS_LIB_GUEST_H */
