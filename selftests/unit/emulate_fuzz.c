// SPDX-License-Identifier: GPL-2.0
/* libFuzzer's way into property.c: make -C selftests/unit fuzz */
#include <stdint.h>
#include <stdlib.h>

#include "property.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *what = property_check(data, size);

	if (what) {
		property_report(what);
		abort();
	}
	return 0;
}
