/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The boot sector of an emulated host: PC BIOS to an uncompressed 64-bit Linux kernel.
 *
 * Emulated, unpacking a bzImage takes longer than all the rest of a boot.  So mkboot.py unpacks it
 * beforehand and lays kernel, boot_params, command line and initramfs down on a disk as a table of
 * extents (disk sectors -> physical address).  What is left to do here is: ask the BIOS for the
 * memory map, copy the extents, map the first 4 GiB one to one and enter the kernel by the 64-bit
 * boot protocol (Documentation/arch/x86/boot.rst).  Every number is computed by mkboot.py; no
 * checks, no messages, no choice is made here.
 *
 * Memory:  0x07c00  this code, the first 16 sectors of the disk
 *          0x09c00  the extent table, sector 16
 *          0x20000  boot_params (an extent)
 *          0x30000  page tables
 */

	.set	SECTOR,		512
	.set	CODE_SECTORS,	16
	.set	BASE,		0x7c00
	.set	TABLE,		BASE + CODE_SECTORS * SECTOR
	.set	BOOT_PARAMS,	0x20000
	.set	PAGE_TABLES,	0x30000

	/* struct boot_params */
	.set	BP_E820_ENTRIES, 0x1e8
	.set	BP_E820_TABLE,	0x2d0
	.set	E820_ENTRY_SIZE, 20
	.set	E820_MAX,	128

	/* The extent table: the kernel's entry, then extents up to one of zero sectors. */
	.set	TABLE_ENTRY,	TABLE
	.set	TABLE_EXTENTS,	TABLE + 4
	.set	EXTENT_LBA,	0
	.set	EXTENT_SECTORS,	4
	.set	EXTENT_DEST,	8
	.set	EXTENT_SIZE,	12

	/* The first ATA channel */
	.set	ATA_DATA,	0x1f0
	.set	ATA_COUNT,	0x1f2
	.set	ATA_LBA_LOW,	0x1f3
	.set	ATA_DEVICE,	0x1f6
	.set	ATA_COMMAND,	0x1f7
	.set	ATA_CONTROL,	0x3f6
	.set	ATA_BSY,	0x80
	.set	ATA_DRQ,	0x08
	.set	ATA_READ,	0x20

	.set	CR0_PE,		1 << 0
	.set	CR0_PG,		1 << 31
	.set	CR4_PAE,	1 << 5
	.set	MSR_EFER,	0xc0000080
	.set	EFER_LME,	1 << 8

	/* Selectors; CS64 and DS are what the boot protocol asks for. */
	.set	CS32,		0x08
	.set	CS64,		0x10
	.set	DS,		0x18

	.text
	.code16
	.globl	_start
_start:
	ljmp	$0, $1f
1:	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$BASE, %sp
	movw	$disk_packet, %si	/* %dl is the boot drive, from the BIOS */
	movb	$0x42, %ah
	int	$0x13
	jc	.
	jmp	stage2

	/* INT 13h/42h: the rest of the code, and the table, to just behind this sector */
disk_packet:
	.byte	16, 0
	.word	CODE_SECTORS
	.word	BASE + SECTOR, 0
	.quad	1

	.org	_start + SECTOR - 2
	.word	0xaa55

	/* The BIOS's memory map, kept in e820_map until boot_params has been loaded */
stage2:
	movw	%ax, %es
	movw	$e820_map, %di
	xorl	%ebx, %ebx
1:	movl	$0xe820, %eax
	movl	$0x534d4150, %edx	/* "SMAP" */
	movl	$E820_ENTRY_SIZE, %ecx
	int	$0x15
	jc	2f
	incb	e820_count
	addw	$E820_ENTRY_SIZE, %di
	cmpb	$E820_MAX, e820_count
	je	2f
	testl	%ebx, %ebx
	jnz	1b

2:	cli				/* the BIOS may have set IF */
	inb	$0x92, %al		/* A20, by the fast gate */
	orb	$2, %al
	outb	%al, $0x92
	lgdt	gdt_pointer
	movl	%cr0, %eax
	orb	$CR0_PE, %al
	movl	%eax, %cr0
	ljmp	$CS32, $stage3

	.code32
stage3:
	movw	$DS, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	cld
	movb	$2, %al			/* polled: no interrupts from the disk */
	movw	$ATA_CONTROL, %dx
	outb	%al, %dx

	movl	$TABLE_EXTENTS, %ebp
1:	movl	EXTENT_SECTORS(%ebp), %ecx
	jecxz	2f
	movl	EXTENT_LBA(%ebp), %ebx
	movl	EXTENT_DEST(%ebp), %edi
	call	read_extent
	addl	$EXTENT_SIZE, %ebp
	jmp	1b

2:	movb	e820_count, %al
	movb	%al, BOOT_PARAMS + BP_E820_ENTRIES
	movl	$e820_map, %esi
	movl	$BOOT_PARAMS + BP_E820_TABLE, %edi
	movl	$E820_MAX * E820_ENTRY_SIZE / 4, %ecx
	rep movsl

	call	map_4g
	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$PAGE_TABLES, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$CR0_PG, %eax
	movl	%eax, %cr0
	ljmp	$CS64, $stage4

	/* Read %ecx sectors from sector %ebx on to address %edi; one command reads up to 256. */
read_extent:
	movl	%ecx, %esi
	cmpl	$256, %esi
	jbe	1f
	movl	$256, %esi
1:	subl	%esi, %ecx
	pushl	%ecx
	movw	$ATA_COUNT, %dx
	movl	%esi, %eax		/* 256 is written as 0 */
	outb	%al, %dx
	movl	%ebx, %eax
	movw	$ATA_LBA_LOW, %dx
	outb	%al, %dx
	shrl	$8, %eax
	incw	%dx
	outb	%al, %dx
	shrl	$8, %eax
	incw	%dx
	outb	%al, %dx
	movb	%ah, %al
	orb	$0xe0, %al		/* LBA, device 0 */
	movw	$ATA_DEVICE, %dx
	outb	%al, %dx
	addl	%esi, %ebx
	movb	$ATA_READ, %al
	movw	$ATA_COMMAND, %dx
	outb	%al, %dx
2:	movw	$ATA_COMMAND, %dx
	inb	%dx, %al
	andb	$ATA_BSY | ATA_DRQ, %al
	cmpb	$ATA_DRQ, %al
	jne	2b
	movl	$SECTOR / 2, %ecx
	movw	$ATA_DATA, %dx
	rep insw
	decl	%esi
	jnz	2b
	popl	%ecx
	testl	%ecx, %ecx
	jnz	read_extent
	ret

	/* One PML4, one page of PDPT, four of PDs with 2 MiB pages, in this order */
map_4g:
	movl	$PAGE_TABLES, %edi
	movl	$2 * 1024, %ecx
	xorl	%eax, %eax
	rep stosl
	movl	$PAGE_TABLES + 0x1003, PAGE_TABLES
	movl	$PAGE_TABLES + 0x2003, %eax
	movl	$PAGE_TABLES + 0x1000, %edi
	movl	$4, %ecx
1:	movl	%eax, (%edi)
	addl	$0x1000, %eax
	addl	$8, %edi
	loop	1b
	movl	$PAGE_TABLES + 0x2000, %edi
	movl	$4 * 512, %ecx
	movl	$0x83, %eax		/* present, writable, 2 MiB */
1:	movl	%eax, (%edi)
	movl	$0, 4(%edi)
	addl	$1 << 21, %eax
	addl	$8, %edi
	loop	1b
	ret

	.code64
stage4:
	movl	$DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$BOOT_PARAMS, %esi
	movl	TABLE_ENTRY, %eax
	jmp	*%rax

	.balign	8
gdt:	.quad	0
	.quad	0x00cf9b000000ffff	/* CS32 */
	.quad	0x00af9b000000ffff	/* CS64 */
	.quad	0x00cf93000000ffff	/* DS */
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

e820_count:
	.byte	0
	.balign	4
e820_map:
	.fill	E820_MAX * E820_ENTRY_SIZE, 1, 0

	.org	_start + CODE_SECTORS * SECTOR
