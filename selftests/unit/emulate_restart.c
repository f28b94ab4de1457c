// SPDX-License-Identifier: GPL-2.0
/*
 * Restarting is invisible: every random instruction, in every mode, does to devices that user
 * space answers what it does to memory. property.c says it in full.
 */
#include "generate.h"
#include "property.h"
#include "unit.h"

#define INPUT_SIZE 200

static unsigned long with_devices, executed;

static void report(const char *what, unsigned long i)
{
	const struct world *a = &property_worlds[0], *b = &property_worlds[1];
	unsigned int n;

	printf("# case %lu: %s: mode %d, %d and %d:", i, what, a->e.mode, property_results[0],
	       property_results[1]);
	for (n = 0; n < b->e.insn.len; n++)
		printf(" %02x", b->e.insn.bytes[n]);
	printf(", #%d and #%d\n", a->e.fault.vector, b->e.fault.vector);
}

/* Random state, and an instruction that is likely to be one: property.c takes it from the end. */
static bool one_case(uint64_t *random, unsigned long i)
{
	uint64_t input[INPUT_SIZE / 8];
	const char *what;
	unsigned int n;

	for (n = 0; n < INPUT_SIZE / 8; n++)
		input[n] = unit_random(random);
	property_code_mode = ((u8 *)input)[0] % (EMUL_LONG64 + 1);
	generate(random, property_code_mode, property_code);
	what = property_check((u8 *)input, sizeof(input));
	executed += property_results[1] <= EMUL_AGAIN;
	with_devices += property_results[1] <= EMUL_AGAIN && property_worlds[1].exit_count;
	if (what)
		report(what, i);
	return !what;
}

int main(int argc, char **argv)
{
	unsigned long i, bad = 0;
	uint64_t random;

	unit_options(argc, argv, 50000);
	random = unit_seed;
	for (i = 0; i < unit_count && bad < 10; i++)
		bad += !one_case(&random, i);
	printf("# %lu run, %lu executed, %lu of them suspended, %lu bad\n", i, executed,
	       with_devices, bad);
	unit_result(!bad && with_devices > unit_count / 50, "restarting is invisible");
	return unit_done();
}
