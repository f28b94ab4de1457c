/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every test program includes: the kselftest harness, and lib/vm.h. Only
 * for files with a TEST_HARNESS_MAIN, for the harness defines its state here.
 */
#ifndef SELFTESTS_LIB_TEST_H
#define SELFTESTS_LIB_TEST_H

#include <stdlib.h>
#include <unistd.h>

/* A kernel that watches is slow: MINIKVM_SLOW is how many times as long a test may take. */
static unsigned int slow_alarm(unsigned int seconds)
{
	const char *slow = getenv("MINIKVM_SLOW");

	return alarm(slow ? seconds * atoi(slow) : seconds);
}

#define alarm slow_alarm
#include "kselftest_harness.h"
#undef alarm
#include "lib/vm.h"

/*
 * The harness's 30 s are too few for the slowest of the emulated hosts. Every
 * test is done in seconds on the others, and has a watchdog outside as well.
 */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 120

/*
 * Here minikvm does as the manuals and the ABI's documents say, and the kernel's
 * own KVM (6.1's, if no other is named) does something else: @what.
 */
#define SKIP_ON_STOCK(what) do {						\
	if (device_is_stock())							\
		SKIP(return, "the kernel's own KVM " what);			\
} while (0)

#endif /* SELFTESTS_LIB_TEST_H */
