// SPDX-License-Identifier: GPL-2.0
/*
 * Steps in which a guest programs PIC, IOAPIC and LAPIC, a register after another, and
 * takes their interrupts: what it read, and in which order they came, is said.
 */
#include "differ.h"

#define LOG		0xe000		/* a vector a byte */
#define LOG_PLACES	16
#define LOG_NEXT	0xe100		/* the next place in it */
#define READS		0xe200		/* what was read, a word each */
#define STUB_SIZE	16
#define COMMON		(STUBS + 256 * STUB_SIZE)
#define OPS_MAX		16

/* ---- code ---- */

struct code {
	char *ram;
	u32 at, read;			/* where the next byte, and the next word that is read, go */
};

static void put(struct code *c, const char *bytes, u32 n)
{
	memcpy(c->ram + c->at, bytes, n);
	c->at += n;
}

#define BYTES(c, ...) put(c, (char[]){ __VA_ARGS__ }, sizeof((char[]){ __VA_ARGS__ }))

static void put_word(struct code *c, u32 word)
{
	put(c, (char *)&word, 4);
}

/* An opcode, and a word behind it. */
#define INSN(c, word, ...) do { BYTES(c, __VA_ARGS__); put_word(c, word); } while (0)

static void put_done(struct code *c)
{
	BYTES(c, 0xe6, DONE_PORT, 0xf4);
}

/* EAX, to where it is compared. */
static void put_result(struct code *c)
{
	INSN(c, c->read, 0xa3);
	c->read += 4;
}

static void put_eoi(struct code *c)
{
	INSN(c, 0xfee000b0, 0xc7, 0x05);		/* mov [eoi],0 */
	put_word(c, 0);
	BYTES(c, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20);	/* both PICs' */
}

/* Vector on the stack: into the log; EOI. The guest ends when the log is full. */
static void put_common(char *ram)
{
	struct code c = { ram, COMMON };

	BYTES(&c, 0x50, 0x52);				/* push eax, edx */
	INSN(&c, LOG_NEXT, 0xa1);
	BYTES(&c, 0x8a, 0x54, 0x24, 0x08);		/* mov dl,[esp+8] */
	INSN(&c, LOG, 0x88, 0x90);			/* mov [eax+LOG],dl */
	INSN(&c, LOG_NEXT, 0xff, 0x05);			/* inc */
	BYTES(&c, 0x83, 0xf8, LOG_PLACES - 1, 0x72, 0x03);	/* full: done */
	put_done(&c);
	put_eoi(&c);
	BYTES(&c, 0x5a, 0x58, 0x83, 0xc4, 0x04, 0xcf);	/* pop; add esp,4; iret */
}

/* Of what is no exception. */
static void put_stubs(char *ram)
{
	for (u32 i = 32; i < 256; i++) {
		struct code c = { ram, STUBS + i * STUB_SIZE };

		((u64 *)(ram + IDT32))[i] = (c.at & 0xffff) | 8 << 16 | 0x8eull << 40 |
					    (u64)(c.at >> 16) << 48;
		INSN(&c, i, 0x68);			/* push */
		BYTES(&c, 0xe9);			/* jmp */
		put_word(&c, COMMON - c.at - 4);
	}
	put_common(ram);
}

/* ---- accesses ---- */

static void port_write(struct code *c, u16 port, u8 v)
{
	say(" %x<%x", port, v);
	INSN(c, port, 0xba);
	BYTES(c, 0xb0, v, 0xee);
}

static void port_read(struct code *c, u16 port)
{
	say(" %x?", port);
	INSN(c, port, 0xba);
	BYTES(c, 0x31, 0xc0, 0xec);
	put_result(c);
}

static void mmio_write(struct code *c, u32 address, u32 v)
{
	say(" %x<%x", address, v);
	INSN(c, address, 0xc7, 0x05);
	put_word(c, v);
}

static void mmio_read(struct code *c, u32 address)
{
	say(" %x?", address);
	INSN(c, address, 0xa1);
	put_result(c);
}

/* ---- what a guest does with them ---- */

/* An SMI would begin where no step has put a handler: no message is one. */
static u32 no_smi(u32 message)
{
	return (message >> 8 & 7) == 2 ? message & ~0x700 : message;
}

/* ICW1 leaves nothing in service; in KVM it does, unless it had an edge waiting as well. */
static void pic_end_all(struct code *c, u16 port)
{
	INSN(c, 8, 0xb9);				/* mov ecx,8 */
	INSN(c, port, 0xba);
	BYTES(c, 0x8d, 0x41, 0x5f, 0xee, 0xe2, 0xfa);	/* lea eax,[ecx+5fh]; out; loop */
}

/* Down to an OCW1: only then KVM takes back the request that ICW1 has reset. */
static void pic_init(struct code *c)
{
	u16 port = one_in(2) ? 0x20 : 0xa0;
	u8 icw1 = 0x10 | (one_in(2) ? 1 : below(16));

	pic_end_all(c, port);
	port_write(c, port, icw1);
	port_write(c, port + 1, one_in(2) ? 0x20 + (port & 0x80) / 16 : below(256));
	port_write(c, port + 1, port == 0x20 ? 4 : 2);
	if (icw1 & 1)
		port_write(c, port + 1, one_in(2) ? 1 : below(32));
	port_write(c, port + 1, one_in(2) ? 0 : below(256));
}

/* EOIs, rotations, what is read next, the special mask, a poll. */
static void pic_command(struct code *c)
{
	u16 port = one_in(2) ? 0x20 : 0xa0;

	port_write(c, port, one_in(2) ? below(8) << 5 | below(8) : 8 | below(8) | below(4) << 5);
	if (one_in(2))
		port_read(c, port + one_in(4));
}

static void pic_mask(struct code *c)
{
	u16 port = one_in(2) ? 0x21 : 0xa1;

	if (one_in(4))
		port_read(c, port);
	else
		port_write(c, port, one_in(2) ? 0 : below(256));
}

static void pic_levels(struct code *c)
{
	u16 port = 0x4d0 + below(2);

	if (one_in(2))
		port_write(c, port, below(256));
	port_read(c, port);
}

static void ioapic(struct code *c)
{
	u32 index = one_in(4) ? below(0x42) : 0x10 + below(48);
	u32 low = below(256) | (one_in(2) ? 0 : below(8) << 8) | below(2) << 11 | below(8) << 12;

	mmio_write(c, 0xfec00000, index);
	if (index & 1)
		low = one_in(4) ? value() : below(4) << 24;
	else if (!one_in(4))
		low &= ~0x10000;
	if (!one_in(4))
		mmio_write(c, 0xfec00010, no_smi(low));
	if (one_in(2))
		mmio_read(c, 0xfec00010);
}

static u32 icr(void)
{
	static const u32 shorthands[] = { 0, 1 << 18, 2 << 18, 3 << 18 };

	return (0x20 + below(0xe0)) | (one_in(3) ? below(8) << 8 : 0) | one_in(4) << 11 |
	       (one_in(8) ? 0 : 1 << 14) | one_in(8) << 15 | pick(shorthands);
}

static void lapic_ipi(struct code *c)
{
	mmio_write(c, 0xfee00310, one_in(8) ? value() : below(4) << 24);
	mmio_write(c, 0xfee00300, no_smi(one_in(16) ? value() : icr()));
}

/* Of the timer, what is not a matter of time. */
static u32 lapic_value(u32 reg)
{
	switch (reg) {
	case 0xf0: return one_in(4) ? value() : 0x100 | below(256);
	case 0x320: return 0x10000 | (one_in(2) ? below(256) : value());
	case 0x350:
	case 0x360: return one_in(2) ? below(8) << 8 | below(256) : 0x10000 | value();
	case 0xd0: return one_in(2) ? 1u << (24 + below(8)) : value();
	case 0xe0: return one_in(2) ? -1 : value();
	/* On SVM KVM loses what CR8 has no room for. */
	case 0x80: return (one_in(2) ? below(256) : 0) & (host_is_intel() ? 0xff : 0xf0);
	case 0x300: return no_smi(value());
	/* KVM detects no errors. */
	case 0x370: return 0x10000 | value();
	default: return value();
	}
}

/*
 * Of what can't be read KVM tells what was read before. Nor does it detect errors: a vector below 16
 * is in its IRR, and in TMR.
 */
static bool lapic_can_read(u32 reg)
{
	switch (reg) {
	case 0x90:
	case 0xb0:
	case 0xc0:
	case 0x180:
	case 0x200:
	case 0x280:
	case 0x2f0:
		return false;
	default:
		return reg < 0x3f0;
	}
}

static void lapic(struct code *c)
{
	static const u32 regs[] = {
		0x20, 0x30, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0, 0x100, 0x170, 0x180,
		0x200, 0x210, 0x270, 0x280, 0x2f0, 0x300, 0x310, 0x320, 0x330, 0x340, 0x350, 0x360,
		0x370, 0x3e0, 0x3f0, 0x400, 0x350, 0xd0, 0xf0, 0x80,
	};
	u32 reg = pick(regs);

	if (!one_in(3))
		mmio_write(c, 0xfee00000 | reg, lapic_value(reg));
	if (lapic_can_read(reg) && one_in(2))
		mmio_read(c, 0xfee00000 | reg);
}

/* Interrupts come here, if any wait. */
static void window(struct code *c)
{
	say(" window");
	BYTES(c, 0xfb, 0x90, 0xfa);
}

static void (*const accesses[])(struct code *c) = {
	pic_init, pic_command, pic_mask, pic_levels, ioapic, ioapic, lapic_ipi, lapic_ipi, lapic,
	lapic, lapic, window, window, window,
};

static void say_results(struct world *w, u32 reads)
{
	say_bytes("log", w->ram + LOG, LOG_PLACES);
	say_bytes("reads", w->ram + READS, reads);
}

static void devices(struct world *w)
{
	struct kvm_regs regs = { .rip = CODE, .rsp = STACK_TOP, .rflags = 2 };
	int n = ready_vcpu(w);
	struct code c = { w->ram, CODE, READS };

	if (n < 0)
		return;
	say(" %d", n);
	if (!start_flat(w, n, &regs))
		return;
	put_stubs(w->ram);
	for (int i = 1 + below(OPS_MAX); i > 0; i--)
		pick(accesses)(&c);
	window(&c);
	put_done(&c);
	say_now();
	if (!say_run(w, n))
		return;
	say_results(w, c.read - READS);
	say_vm(w);
	for (int i = 0; i < VCPUS; i++)
		say_vcpu(w, i);
}

const struct step device_access_steps[] = {
	{ "devices", 12, devices },
	{ }
};
