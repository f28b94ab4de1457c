// SPDX-License-Identifier: GPL-2.0
/*
 * The Linux/x86 boot protocol, 64-bit entry (Documentation/x86/boot.rst,
 * "64-bit Boot Protocol"). Pure: works on buffers, for the unit tests.
 */
#include "boot.h"

#include <string.h>

#include "status.h"

#define SETUP_OFFSET	0x1f1		/* of struct setup_header in the image */
#define SECTOR		512
#define MAGIC_HDRS	0x53726448	/* "HdrS" */
#define PROTOCOL_2_12	0x20c		/* xloadflags, and with it the 64-bit entry */
#define ENTRY_64	0x200		/* of the protected-mode code */
#define LOADER_UNKNOWN	0xff
#define ONE_MIB		0x100000ULL
#define PAGE_BYTES	4096ULL
#define HUGE_BYTES	(2ULL << 20)
#define PTE_TABLE	0x3		/* present, writable */
#define PTE_HUGE	0x83		/* present, writable, 2 MiB */

static const struct setup_header *image_header(const struct blob *image)
{
	return (const void *)(image->data + SETUP_OFFSET);
}

/* Bytes of real-mode code in front of the kernel proper: not used here. */
static size_t setup_bytes(const struct setup_header *header)
{
	unsigned int sectors = header->setup_sects ? header->setup_sects : 4;

	return (1 + sectors) * SECTOR;
}

const char *boot_check_image(const struct blob *image)
{
	const struct setup_header *header = image_header(image);

	if (image->size < SETUP_OFFSET + sizeof(*header))
		return "too short for a bzImage";
	if (header->boot_flag != 0xaa55 || header->header != MAGIC_HDRS)
		return "not a bzImage (an uncompressed vmlinux will not do)";
	if (header->version < PROTOCOL_2_12)
		return "too old: boot protocol 2.12 (Linux 3.8) or later is needed";
	if (!(header->loadflags & LOADED_HIGH))
		return "a zImage, not a bzImage";
	if (!(header->xloadflags & XLF_KERNEL_64))
		return "a 32-bit kernel: it has no 64-bit entry";
	if (image->size <= setup_bytes(header) + ENTRY_64)
		return "cut short: there is nothing behind its setup code";
	if (header->syssize * 16ULL > image->size - setup_bytes(header) + 15)
		return "cut short: the header promises more than the file holds";
	return NULL;
}

unsigned int boot_e820(const struct ram *ram, struct boot_e820_entry *table)
{
	unsigned int n = 0;

	table[n++] = (struct boot_e820_entry){ 0, LOWMEM_END, 1 };
	table[n++] = (struct boot_e820_entry){ LOWMEM_END, 0xa0000 - LOWMEM_END, 2 };
	table[n++] = (struct boot_e820_entry){ BIOS_START, BIOS_END - BIOS_START, 2 };
	table[n++] = (struct boot_e820_entry){ ONE_MIB, ram_low(ram) - ONE_MIB, 1 };
	if (ram_high(ram))
		table[n++] = (struct boot_e820_entry){ HOLE_END, ram_high(ram), 1 };
	return n;
}

/* Map the first 4 GiB one to one with 2 MiB pages. */
static void build_page_tables(const struct ram *ram)
{
	uint64_t *pml4 = ram_at(ram, BOOT_PML4, 6 * PAGE_BYTES);
	uint64_t *pdpt = pml4 + 512, *pd = pml4 + 1024;

	pml4[0] = (BOOT_PML4 + PAGE_BYTES) | PTE_TABLE;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (BOOT_PML4 + (2 + i) * PAGE_BYTES) | PTE_TABLE;
	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i * HUGE_BYTES | PTE_HUGE;
}

static void build_gdt(const struct ram *ram)
{
	uint64_t *gdt = ram_at(ram, BOOT_GDT, 4 * sizeof(*gdt));

	gdt[BOOT_CS / 8] = 0x00af9b000000ffff;	/* 64-bit code */
	gdt[BOOT_DS / 8] = 0x00cf93000000ffff;	/* data */
}

/*
 * Where the kernel goes: the address it was linked for if memory reaches that
 * far, else the lowest it can be moved to. 0 if neither.
 */
static uint64_t kernel_address(const struct ram *ram, const struct setup_header *header)
{
	uint64_t align = header->kernel_alignment ? header->kernel_alignment : HUGE_BYTES;
	uint64_t lowest = (ONE_MIB + align - 1) / align * align;

	if (header->pref_address >= ONE_MIB &&
	    ram_at(ram, header->pref_address, header->init_size))
		return header->pref_address;
	if (header->relocatable_kernel && ram_at(ram, lowest, header->init_size))
		return lowest;
	return 0;
}

/* As high as the kernel and the memory allow, clear of the kernel's own @end. */
static uint64_t initrd_address(const struct ram *ram, const struct setup_header *header,
			       uint64_t size, uint64_t end)
{
	uint64_t top = ram_low(ram);

	if (top > (uint64_t)header->initrd_addr_max + 1)
		top = (uint64_t)header->initrd_addr_max + 1;
	if (size > top || top - size < end)
		return 0;
	return (top - size) & ~(PAGE_BYTES - 1);
}

static int load_initrd(const struct ram *ram, struct boot_params *params,
		       const struct blob *initrd, uint64_t kernel_end)
{
	uint64_t gpa;

	if (!initrd->size)
		return 0;
	gpa = initrd_address(ram, &params->hdr, initrd->size, kernel_end);
	if (gpa < kernel_end)
		return fail("the initrd (%zu KiB) does not fit behind the kernel, which ends at %llu MiB: give more --memory",
			    initrd->size >> 10, (unsigned long long)(kernel_end >> 20));
	memcpy(ram_at(ram, gpa, initrd->size), initrd->data, initrd->size);
	params->hdr.ramdisk_image = gpa;
	params->hdr.ramdisk_size = initrd->size;
	say_verbose("initrd at %#llx, %zu bytes", (unsigned long long)gpa, initrd->size);
	return 0;
}

static int load_cmdline(const struct ram *ram, struct boot_params *params, const char *cmdline)
{
	size_t len = strlen(cmdline);
	size_t max = params->hdr.cmdline_size;

	if (max > LOWMEM_END - BOOT_CMDLINE - 1)
		max = LOWMEM_END - BOOT_CMDLINE - 1;
	if (len > max)
		return fail("the command line has %zu characters, this kernel takes %zu: shorten --append",
			    len, max);
	memcpy(ram_at(ram, BOOT_CMDLINE, len + 1), cmdline, len + 1);
	params->hdr.cmd_line_ptr = BOOT_CMDLINE;
	return 0;
}

/* The zero page: the image's own header, as long as it says it is, and ours. */
static struct boot_params *build_params(const struct ram *ram, const struct blob *image)
{
	struct boot_params *params = ram_at(ram, BOOT_PARAMS, sizeof(*params));
	/* The header's end is where its first instruction, a short jump, leads. */
	size_t len = 0x202 + image->data[0x201] - SETUP_OFFSET;

	if (len > sizeof(params->hdr))
		len = sizeof(params->hdr);
	memcpy(&params->hdr, image_header(image), len);
	params->hdr.type_of_loader = LOADER_UNKNOWN;
	params->hdr.loadflags &= ~CAN_USE_HEAP;
	params->e820_entries = boot_e820(ram, params->e820_table);
	return params;
}

int boot_load(const struct ram *ram, const struct blob *image, const struct blob *initrd,
	      const char *cmdline, uint64_t *entry)
{
	size_t setup = setup_bytes(image_header(image));
	struct boot_params *params = build_params(ram, image);
	uint64_t gpa = kernel_address(ram, &params->hdr);
	uint64_t end = gpa + params->hdr.init_size;
	uint8_t *kernel = gpa ? ram_at(ram, gpa, image->size - setup) : NULL;

	if (!kernel)
		return fail("the kernel needs %u MiB of memory behind its start: give more --memory",
			    params->hdr.init_size >> 20);
	memcpy(kernel, image->data + setup, image->size - setup);
	if (end < gpa + image->size - setup)
		end = gpa + image->size - setup;
	if (load_initrd(ram, params, initrd, end) || load_cmdline(ram, params, cmdline))
		return -1;
	params->hdr.code32_start = gpa;
	build_page_tables(ram);
	build_gdt(ram);
	*entry = gpa + ENTRY_64;
	say_verbose("kernel at %#llx, %u MiB with its working space",
		    (unsigned long long)gpa, params->hdr.init_size >> 20);
	return 0;
}
