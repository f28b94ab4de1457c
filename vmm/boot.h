/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The Linux/x86 64-bit boot protocol: what guest memory holds when the first
 * instruction of the kernel runs. Pure: works on buffers, knows no KVM.
 */
#ifndef MINIVMM_BOOT_H
#define MINIVMM_BOOT_H

#include <asm/bootparam.h>
#include <stddef.h>
#include <stdint.h>

#include "ram.h"

/* Guest physical memory map of the first MiB, below the kernel. */
#define BOOT_GDT	0x500ULL
#define BOOT_PARAMS	0x7000ULL
#define BOOT_PML4	0x9000ULL	/* and one PDPT, four PDs behind it */
#define BOOT_STACK	0x1f000ULL
#define BOOT_CMDLINE	0x20000ULL
#define LOWMEM_END	0x9fc00ULL	/* where a BIOS would keep its data */
#define BIOS_START	0xe0000ULL	/* the ACPI tables */
#define BIOS_END	0x100000ULL

/* Selectors that the protocol asks for. */
#define BOOT_CS		0x10
#define BOOT_DS		0x18

struct blob {
	const uint8_t *data;
	size_t size;
};

/**
 * boot_check_image - is this a kernel that can be booted here?
 *
 * Return: NULL if so, else what is wrong with it, in a few words.
 */
const char *boot_check_image(const struct blob *image);

/**
 * boot_e820 - the memory map for the guest
 * @ram: its memory
 * @table: room for E820_MAX_ENTRIES_ZEROPAGE entries
 *
 * Return: the number of entries written.
 */
unsigned int boot_e820(const struct ram *ram, struct boot_e820_entry *table);

/**
 * boot_load - put kernel, initrd, command line, page tables and GDT in memory
 * @ram: guest memory, zeroed
 * @image: the bzImage, checked by boot_check_image()
 * @initrd: size 0 for none
 * @entry: guest physical address of the 64-bit entry, on success
 *
 * Return: 0, or -1 after having said what does not fit.
 */
int boot_load(const struct ram *ram, const struct blob *image, const struct blob *initrd,
	      const char *cmdline, uint64_t *entry);

#endif
