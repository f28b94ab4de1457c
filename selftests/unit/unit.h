/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every user-space unit test needs: TAP output, options, a seeded random number generator.
 * A test prints one TAP line for each subject, and details of the first failures behind '#'.
 */
#ifndef MINIKVM_SELFTESTS_UNIT_H
#define MINIKVM_SELFTESTS_UNIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned int unit_ran, unit_failed;
static unsigned long unit_seed = 1, unit_count;

static inline void unit_result(bool ok, const char *name)
{
	printf("%s %u - %s\n", ok ? "ok" : "not ok", ++unit_ran, name);
	fflush(stdout);
	unit_failed += !ok;
}

static inline void unit_skip(const char *name, const char *why)
{
	printf("ok %u - %s # SKIP %s\n", ++unit_ran, name, why);
}

/* Print the plan; the value is the program's exit status. */
static inline int unit_done(void)
{
	printf("1..%u\n", unit_ran);
	return unit_failed != 0;
}

/* -n COUNT: random cases for each subject; -s SEED */
static inline void unit_options(int argc, char **argv, unsigned long default_count)
{
	int opt;

	unit_count = default_count;
	while ((opt = getopt(argc, argv, "n:s:")) != -1) {
		if (opt == 'n') {
			unit_count = strtoul(optarg, NULL, 0);
		} else if (opt == 's') {
			unit_seed = strtoul(optarg, NULL, 0);
		} else {
			fprintf(stderr, "usage: %s [-n COUNT] [-s SEED]\n", argv[0]);
			exit(2);
		}
	}
	printf("# seed %lu, %lu cases a subject\n", unit_seed, unit_count);
}

/* splitmix64: every seed gives a good sequence */
static inline uint64_t unit_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* 0 to n - 1 */
static inline unsigned int unit_below(uint64_t *state, unsigned int n)
{
	return unit_random(state) % n;
}

#endif
