// SPDX-License-Identifier: GPL-2.0
/*
 * Which exits of VMX tell of a bus lock (src/x86/vmx/bus_lock.h). The numbers are the
 * manual's own (SDM vol. 3, 24.9.1 and appendix C), so that a slip in a name shows.
 */
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;

#include "unit.h"
#include "x86/vmx/bus_lock.h"

static const struct {
	const char *name;
	u32 reason;
	bool locked;
} exits[] = {
	{ "an exit for nothing else",			74,			true },
	{ "the same, with the bit",			74 | 1u << 26,		true },
	{ "an EPT violation",				48,			false },
	{ "an EPT violation behind a bus lock",		48 | 1u << 26,		true },
	{ "an exception",				0,			false },
	{ "an exception behind a bus lock",		1u << 26,		true },
	{ "an exit out of an enclave",			48 | 1u << 27,		false },
	{ "notification, with a pending MTF exit",	75 | 1u << 28,		false },
	{ "an entry that failed",			33 | 1u << 31,		false },
	{ "an entry that the CPU refused",		0xffff | 1u << 31,	false },
};

int main(int argc, char **argv)
{
	unsigned int i;

	unit_options(argc, argv, 1);
	for (i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
		unit_result(exit_has_bus_lock(exits[i].reason) == exits[i].locked, exits[i].name);
	return unit_done();
}
