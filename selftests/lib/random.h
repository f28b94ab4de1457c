/* SPDX-License-Identifier: GPL-2.0 */
/* Random numbers that are the same everywhere, in the host and in the guest. */
#ifndef SELFTESTS_LIB_RANDOM_H
#define SELFTESTS_LIB_RANDOM_H

#include "lib/vm.h"

/* Marsaglia's xorshift; the state is never 0. */
static inline u64 xorshift(u64 *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

#endif /* SELFTESTS_LIB_RANDOM_H */
