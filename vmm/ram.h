/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest memory: one block of host memory, seen by the guest in two pieces with
 * a hole below 4 GiB where PCI, the APICs and KVM's own pages live. Every
 * access by guest physical address goes through ram_at(), which checks it.
 */
#ifndef MINIVMM_RAM_H
#define MINIVMM_RAM_H

#include <stddef.h>
#include <stdint.h>

#define HOLE_START	0xc0000000ULL
#define HOLE_END	0x100000000ULL

struct ram {
	uint8_t *base;
	uint64_t size;		/* bytes, without the hole */
};

/* Bytes below the hole: guest physical 0 up to this. */
static inline uint64_t ram_low(const struct ram *ram)
{
	return ram->size < HOLE_START ? ram->size : HOLE_START;
}

/* Bytes above it: guest physical HOLE_END and up. */
static inline uint64_t ram_high(const struct ram *ram)
{
	return ram->size - ram_low(ram);
}

/* @len bytes of guest memory at @gpa, or NULL if not all of them are memory. */
static inline void *ram_at(const struct ram *ram, uint64_t gpa, uint64_t len)
{
	uint64_t low = ram_low(ram), high = ram_high(ram);

	if (gpa <= low && len <= low - gpa)
		return ram->base + gpa;
	if (gpa >= HOLE_END && gpa - HOLE_END <= high && len <= high - (gpa - HOLE_END))
		return ram->base + low + (gpa - HOLE_END);
	return NULL;
}

#endif
