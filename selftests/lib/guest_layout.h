/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where things are in a test guest's memory: guest-physical addresses, which
 * the guest's page tables map one to one up to 4 GiB. Also read by assembly.
 */
#ifndef SELFTESTS_LIB_GUEST_LAYOUT_H
#define SELFTESTS_LIB_GUEST_LAYOUT_H

#define GUEST_IDT		0x1000
#define GUEST_LOW		0x2000		/* a test's own: real-mode code and data */
#define GUEST_LOW_END		0x10000
#define GUEST_PML4		0x10000		/* then one PDPT and four page directories */
#define GUEST_TABLES		0x16000		/* tables of vm_map_page() */
#define GUEST_TABLES_END	0x80000
#define GUEST_CPU(id)		(0x100000 + (id) * 0x10000)	/* a block for each vCPU: */
#define GUEST_CPU_GDT		0x0000
#define GUEST_CPU_TSS		0x1000
#define GUEST_CPU_IST1_TOP	0x4000		/* the double fault's own stack */
#define GUEST_CPU_RSP0_TOP	0x8000		/* entered from CPL 3 */
#define GUEST_CPU_STACK_TOP	0x10000
#define GUEST_MAX_CPUS		16
#define GUEST_IMAGE		0x400000	/* the test program itself */
#define GUEST_FREE		0x1000000	/* a test's own, up to the end of memory */
#define GUEST_MEMORY		0x2000000

#define SEL_CODE64		0x08
#define SEL_DATA		0x10
#define SEL_CODE32		0x18
#define SEL_CODE16		0x20
#define SEL_DATA16		0x28
#define SEL_USER_DATA		0x33
#define SEL_USER_CODE64		0x3b
#define SEL_TSS			0x40
#define SEL_NOT_PRESENT		0x50
#define GUEST_GDT_SIZE		0x58

#define VECTOR_STUB_SIZE	16

#endif /* SELFTESTS_LIB_GUEST_LAYOUT_H */
