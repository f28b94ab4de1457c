/* SPDX-License-Identifier: GPL-2.0 */
/* A property of every instruction in every state, for random and for coverage-guided input. */
#ifndef MINIKVM_SELFTESTS_UNIT_PROPERTY_H
#define MINIKVM_SELFTESTS_UNIT_PROPERTY_H

#include <stddef.h>

#include "world.h"

/*
 * Take a mode, page rights, segments, registers and an instruction out of @data (any @size; zeros
 * behind it), and run it in two worlds that differ in one thing: what is memory in the first is
 * in the second a device that user space answers. Both must end in the same state. NULL if so,
 * else what is wrong.
 */
const char *property_check(const u8 *data, size_t size);

/* Print it, and what was run. */
void property_report(const char *what);

/* If @property_code_mode is not negative: the code, in place of what @data has. */
extern u8 property_code[16];
extern int property_code_mode;

/* The two worlds after the last check, and its results. */
extern struct world property_worlds[2];
extern int property_results[2];

#endif
