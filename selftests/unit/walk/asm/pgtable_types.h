/* SPDX-License-Identifier: GPL-2.0 */
/* Bits of an entry: SDM vol. 3, tables 4-14 to 4-20. */
#ifndef MINIKVM_UNIT_WALK_PGTABLE_H
#define MINIKVM_UNIT_WALK_PGTABLE_H

#define _PAGE_PRESENT	BIT_ULL(0)
#define _PAGE_RW	BIT_ULL(1)
#define _PAGE_USER	BIT_ULL(2)
#define _PAGE_ACCESSED	BIT_ULL(5)
#define _PAGE_DIRTY	BIT_ULL(6)
#define _PAGE_PSE	BIT_ULL(7)
#define _PAGE_NX	BIT_ULL(63)

#define __is_canonical_address(a, bits) \
	((u64)((s64)(a) << (64 - (bits)) >> (64 - (bits))) == (a))

#endif
