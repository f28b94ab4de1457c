// SPDX-License-Identifier: GPL-2.0
/*
 * Restarting is invisible: every random instruction, in every mode, does to devices that user
 * space answers, and while it loses races with the page tables, what it does to memory. property.c
 * says it in full.
 */
#include "generate.h"
#include "property.h"
#include "unit.h"

#define INPUT_SIZE 200

static unsigned long with_devices, executed;

/* Random state, and an instruction that is likely to be one: property.c takes it from the end. */
static bool one_case(uint64_t *random)
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
		property_report(what);
	return !what;
}

int main(int argc, char **argv)
{
	unsigned long i, bad = 0;
	uint64_t random;

	unit_options(argc, argv, 50000);
	random = unit_seed;
	for (i = 0; i < unit_count && bad < 10; i++)
		bad += !one_case(&random);
	printf("# %lu run, %lu executed, %lu of them suspended, %lu bad\n", i, executed,
	       with_devices, bad);
	unit_result(!bad && with_devices > unit_count / 50, "restarting is invisible");
	return unit_done();
}
