// SPDX-License-Identifier: GPL-2.0
/* libFuzzer's way into property.c: make -C selftests/unit fuzz */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "property.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *what = property_check(data, size);

	if (what) {
		fprintf(stderr, "%s: %d and %d\n", what, property_results[0], property_results[1]);
		abort();
	}
	return 0;
}
