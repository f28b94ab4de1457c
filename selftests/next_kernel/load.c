// SPDX-License-Identifier: GPL-2.0
/*
 * kexec_load(2) of an uncompressed kernel. Not kexec_file_load(2), nor kexec-tools: both take a
 * digest of all that they load, twice, which is two minutes in Bochs; and here no bzImage is
 * unpacked either.
 *
 * From a base address on, in this order: the kernel, a page each of boot_params, command line and
 * the first instructions, then the initramfs. The base is where vmlinux was linked for, or the
 * memory for a crash kernel: a vmlinux runs wherever its distance to that is a multiple of 2 MiB.
 */
#include <asm/bootparam.h>
#include <elf.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/vm.h"
#include "next_kernel/next_kernel.h"

#define E820_RAM	1
#define CMDLINE_MAX	2047

struct file {
	const char *data;
	u64 size;
};

struct range {
	u64 start, end;			/* the last byte, as /proc/iomem has it */
};

static struct kexec_segment segments[KEXEC_SEGMENT_MAX];
static int nr_segments;

static struct file map_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *data;

	if (fd < 0 || fstat(fd, &st))
		die("%s: %m", path);
	data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		die("map %s: %m", path);
	close(fd);
	return (struct file){ data, st.st_size };
}

static u64 page_align(u64 v)
{
	return (v + PAGE_SIZE - 1) & -PAGE_SIZE;
}

/* Returns where the next one can begin. */
static u64 add_segment(const void *buf, u64 size, u64 address, u64 mem_size)
{
	if (nr_segments == KEXEC_SEGMENT_MAX)
		die("more than %d segments", KEXEC_SEGMENT_MAX);
	segments[nr_segments++] = (struct kexec_segment){
		.buf = buf, .bufsz = size, .mem = (void *)address, .memsz = page_align(mem_size),
	};
	return address + page_align(mem_size);
}

static struct range crash_memory(void)
{
	FILE *f = fopen("/proc/iomem", "r");
	struct range r = { 0 };
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "Crash kernel"))
			sscanf(line, "%lx-%lx", &r.start, &r.end);
	if (f)
		fclose(f);
	if (!r.end)
		die("no memory for a crash kernel: crashkernel= is missing");
	return r;
}

/* Its first address: a multiple of 2 MiB, as the kernel's alignment is. */
static u64 linked_for(const Elf64_Ehdr *elf, const Elf64_Phdr *p)
{
	u64 base = ~0ull;
	int i;

	for (i = 0; i < elf->e_phnum; i++)
		if (p[i].p_type == PT_LOAD && p[i].p_paddr < base)
			base = p[i].p_paddr;
	return base & -HUGE_SIZE;
}

/* The kernel from @base on, or where it was linked for. Returns its end; *entry as it is there. */
static u64 add_kernel(struct file vmlinux, u64 base, u64 *entry)
{
	const Elf64_Ehdr *elf = (const void *)vmlinux.data;
	const Elf64_Phdr *p = (const void *)(vmlinux.data + elf->e_phoff);
	u64 moved = base ? base - linked_for(elf, p) : 0, end = 0, after;
	int i;

	if (vmlinux.size < sizeof(*elf) || memcmp(elf->e_ident, ELFMAG, SELFMAG))
		die("the kernel is no ELF file");
	for (i = 0; i < elf->e_phnum; i++) {
		if (p[i].p_type != PT_LOAD)
			continue;
		after = add_segment(vmlinux.data + p[i].p_offset, p[i].p_filesz, p[i].p_paddr + moved,
				    p[i].p_memsz);
		if (after > end)
			end = after;
	}
	*entry = elf->e_entry + moved;
	return end;
}

/* A crash kernel leaves the memory alone that it is to look into. Below 1 MiB its CPUs start. */
static void only_crash_memory(struct boot_params *params, struct range r)
{
	int i, n = 0;

	for (i = 0; i < params->e820_entries; i++)
		if (params->e820_table[i].type != E820_RAM || !params->e820_table[i].addr)
			params->e820_table[n++] = params->e820_table[i];
	params->e820_table[n++] = (struct boot_e820_entry){ r.start, r.end - r.start + 1, E820_RAM };
	params->e820_entries = n;
}

/* As the running kernel was given them, by Documentation/arch/x86/boot.rst. */
static void read_params(struct boot_params *params)
{
	int fd = open("/sys/kernel/boot_params/data", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, params, sizeof(*params)) != sizeof(*params))
		die("read /sys/kernel/boot_params/data: %m");
	close(fd);
	params->hdr.setup_data = 0;
	params->ext_ramdisk_image = params->ext_ramdisk_size = params->ext_cmd_line_ptr = 0;
}

/* The 64-bit entry wants boot_params in RSI: mov $params, %rsi; mov $entry, %rax; jmp *%rax */
static void first_instructions(u8 *code, u64 params, u64 entry)
{
	memcpy(code, "\x48\xbe", 2);
	memcpy(code + 2, &params, 8);
	memcpy(code + 10, "\x48\xb8", 2);
	memcpy(code + 12, &entry, 8);
	memcpy(code + 20, "\xff\xe0", 2);
}

void next_kernel_load(bool crash, const char *vmlinux, const char *initrd, const char *cmdline)
{
	static struct {
		struct boot_params params;
		char cmdline[PAGE_SIZE];
		u8 code[PAGE_SIZE];
	} pages __attribute__((aligned(4096)));
	struct range memory = crash ? crash_memory() : (struct range){ 0, ~0ull };
	struct file ramdisk = map_file(initrd);
	u64 entry, at, end;

	at = add_kernel(map_file(vmlinux), (memory.start + HUGE_SIZE - 1) & -HUGE_SIZE, &entry);
	read_params(&pages.params);
	if (crash)
		only_crash_memory(&pages.params, memory);
	snprintf(pages.cmdline, CMDLINE_MAX, "%s", cmdline);
	pages.params.hdr.cmd_line_ptr = at + sizeof(pages.params);
	pages.params.hdr.ramdisk_image = at + sizeof(pages);
	pages.params.hdr.ramdisk_size = ramdisk.size;
	first_instructions(pages.code, at, entry);
	entry = at + ((char *)pages.code - (char *)&pages);
	at = add_segment(&pages, sizeof(pages), at, sizeof(pages));
	end = add_segment(ramdisk.data, ramdisk.size, at, ramdisk.size);
	if (end > memory.end)
		die("it needs %lu MiB of memory", (end - memory.start) >> 20);
	if (syscall(SYS_kexec_load, entry, nr_segments, segments,
		    KEXEC_ARCH_X86_64 | (crash ? KEXEC_ON_CRASH : 0)))
		die("kexec_load: %m");
}
