/* SPDX-License-Identifier: GPL-2.0 */
/* Random instructions: random bytes, made more likely to mean something. */
#ifndef MINIKVM_SELFTESTS_UNIT_GENERATE_H
#define MINIKVM_SELFTESTS_UNIT_GENERATE_H

#include <stdint.h>

#include "x86/emulate/emulate.h"

/*
 * Fill @bytes with an instruction and random bytes behind it. It has prefixes more often than
 * compilers use them, an opcode from all the maps, and small displacements and extreme immediates
 * more often than chance would have it.
 */
void generate(uint64_t *random, enum emul_mode mode, uint8_t bytes[16]);

/* A number that is likely to be at some edge. */
uint64_t generate_value(uint64_t *random);

#endif
