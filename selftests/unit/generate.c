// SPDX-License-Identifier: GPL-2.0
#include "generate.h"
#include "unit.h"

static unsigned int put_prefixes(uint64_t *random, uint8_t *bytes)
{
	static const uint8_t prefixes[] = {
		0x66, 0x66, 0x66, 0x67, 0xf0, 0xf2, 0xf2, 0xf3, 0xf3, 0x26, 0x2e, 0x36, 0x3e,
		0x64, 0x65,
	};
	static const uint8_t how_many[] = { 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 4, 9 };
	unsigned int n = how_many[unit_below(random, sizeof(how_many))], i;

	for (i = 0; i < n; i++)
		bytes[i] = prefixes[unit_below(random, sizeof(prefixes))];
	return n;
}

/* Opcodes of 0F that there is something to know about. */
static uint8_t random_0f(uint64_t *random)
{
	static const uint8_t ranges[][2] = {
		{ 0x00, 0x0f }, { 0x10, 0x1f }, { 0x20, 0x2f }, { 0x40, 0x4f }, { 0x6e, 0x6f },
		{ 0x7e, 0x7f }, { 0x80, 0x9f }, { 0xa0, 0xaf }, { 0xb0, 0xbf }, { 0xc0, 0xcf },
		{ 0xa3, 0xa5 }, { 0xab, 0xad }, { 0xc0, 0xc7 }, { 0x10, 0x17 }, { 0x28, 0x2b },
		{ 0xd6, 0xd6 }, { 0xe7, 0xe7 }, { 0xf0, 0xf0 }, { 0x00, 0xff },
	};
	unsigned int i = unit_below(random, sizeof(ranges) / sizeof(ranges[0]));

	return ranges[i][0] + unit_below(random, ranges[i][1] - ranges[i][0] + 1);
}

static unsigned int put_opcode(uint64_t *random, uint8_t *bytes)
{
	static const uint8_t opcodes_38[] = { 0xf0, 0xf1, 0xf9, 0x2a, 0x80, 0x81, 0x82 };

	switch (unit_below(random, 16)) {
	case 0 ... 5:
		bytes[0] = 0x0f;
		bytes[1] = random_0f(random);
		return 2;
	case 6:
		bytes[0] = 0x0f;
		bytes[1] = 0x38;
		bytes[2] = opcodes_38[unit_below(random, sizeof(opcodes_38))];
		return 3;
	case 7:
		bytes[0] = 0xc5;
		if (unit_below(random, 2))
			bytes[1] |= 0x78;
		bytes[2] = random_0f(random);
		return 3;
	case 8:
		bytes[0] = 0xc4;
		bytes[1] = (bytes[1] & 0xe0) | (1 + unit_below(random, 2));
		if (unit_below(random, 2))
			bytes[2] |= 0x78;
		bytes[3] = random_0f(random);
		return 4;
	default:
		return 1;
	}
}

void generate(uint64_t *random, enum emul_mode mode, uint8_t bytes[16])
{
	uint64_t noise[2] = { unit_random(random), unit_random(random) };
	unsigned int n;

	memcpy(bytes, noise, 16);
	n = put_prefixes(random, bytes);
	if (mode == EMUL_LONG64 && unit_below(random, 2))
		bytes[n++] = 0x40 | unit_below(random, 16);
	n += put_opcode(random, bytes + n);
	/* Displacements and immediates near 0 and -1 */
	if (n < 12 && unit_below(random, 3) == 0)
		memset(bytes + n + 2, unit_below(random, 2) ? 0xff : 0, 2);
}

uint64_t generate_value(uint64_t *random)
{
	uint64_t val = unit_random(random);

	switch (unit_below(random, 6)) {
	case 0:
		return val & 0x1f;
	case 1:
		return -(val & 0xf);
	case 2:
		/* a run of ones, from some bit to some other */
		return (~0ULL >> (val & 63)) & (~0ULL << ((val >> 8) & 63));
	case 3:
		return (1ULL << (val & 63)) - ((val >> 8) & 1);
	case 4:
		return (uint32_t)val;
	default:
		return val;
	}
}
