// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's half of the library: where its exceptions and interrupts end up,
 * and the memory functions that the compiler may call, which here must work in
 * the guest as well (libc's pick vector code by the host's CPUID).
 */
#include <stddef.h>

#include "lib/guest.h"

trap_handler guest_handlers[256];

struct trap_fixup {
	u64 insn, resume;
};

extern const struct trap_fixup __start_trap_fixups[], __stop_trap_fixups[];

void guest_trap(struct trap_frame *frame);

static bool fix_up(struct trap_frame *frame)
{
	const struct trap_fixup *f;

	for (f = __start_trap_fixups; f < __stop_trap_fixups; f++) {
		if (f->insn != frame->rip)
			continue;
		frame->rip = f->resume;
		frame->r15 = TRAP(frame->vector, frame->error);
		return true;
	}
	return false;
}

void guest_trap(struct trap_frame *frame)
{
	/* A handler that a test installed wins; NMI and interrupts never fix up. */
	if (guest_handlers[frame->vector])
		guest_handlers[frame->vector](frame);
	else if (frame->vector == 2 || frame->vector >= 32 || !fix_up(frame))
		guest_report(REPORT_TRAP, (u64)frame, frame->vector, frame->rip);
}

void *memcpy(void *dst, const void *src, size_t n)
{
	size_t words = n / 8, bytes = n % 8;
	void *d = dst;

	asm volatile("rep movsq" : "+D"(d), "+S"(src), "+c"(words) : : "memory");
	asm volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(bytes) : : "memory");
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	size_t words = n / 8, bytes = n % 8;
	u64 word = (u8)c * 0x0101010101010101;
	void *d = dst;

	asm volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(word) : "memory");
	asm volatile("rep stosb" : "+D"(d), "+c"(bytes) : "a"(word) : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n >= 8 && *(const u64 *)x == *(const u64 *)y; n -= 8)
		x += 8, y += 8;
	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}
