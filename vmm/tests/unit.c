// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of what in minivmm is pure: command line, kernel image checks,
 * memory map, boot memory, ACPI tables, CPUID, ports, UART, Ctrl-a; and that the
 * terminal is put back whatever ends the program. Prints TAP; exit status 1 if a
 * test failed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/serial_reg.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "acpi.h"
#include "boot.h"
#include "cli.h"
#include "cpuid.h"
#include "platform.h"
#include "term.h"

#define MIB		(1ULL << 20)
#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))
#define HEADER(image)	((struct setup_header *)((image) + 0x1f1))

static bool failed;

/* Report the expression that is not true, and go on. */
#define CHECK(condition) check(condition, #condition, __LINE__)

static void check(bool condition, const char *text, int line)
{
	if (condition)
		return;
	failed = true;
	printf("# line %d: not true: %s\n", line, text);
}

static enum cli_action parse(struct config *config, char **argv)
{
	char error[256] = "";
	int argc = 0;

	while (argv[argc])
		argc++;
	return cli_parse(argc, argv, config, error, sizeof(error));
}

#define ARGV(...) ((char *[]){ "minivmm", ##__VA_ARGS__, NULL })

static void test_cli_good(void)
{
	struct config config;

	CHECK(parse(&config, ARGV("run", "--kernel", "k")) == CLI_RUN);
	CHECK(!strcmp(config.kernel, "k") && !config.initrd);
	CHECK(!strcmp(config.device, "/dev/minikvm") && !strcmp(config.append, "console=ttyS0"));
	CHECK(config.memory == 512 * MIB && config.cpus == 1 && !config.timeout);

	CHECK(parse(&config, ARGV("run", "-k", "k", "-i", "i", "-a", "a=b c", "-m", "4G", "-c", "254",
				  "-d", "/dev/kvm", "-t", "9", "-v")) == CLI_RUN);
	CHECK(!strcmp(config.initrd, "i") && !strcmp(config.append, "a=b c"));
	CHECK(config.memory == 4096 * MIB && config.cpus == 254 && config.timeout == 9);
	CHECK(!strcmp(config.device, "/dev/kvm") && config.verbose);

	CHECK(parse(&config, ARGV("run", "--kernel=k", "--append=a=b", "--memory=32768K")) == CLI_RUN);
	CHECK(!strcmp(config.append, "a=b") && config.memory == 32 * MIB);
	CHECK(parse(&config, ARGV("--help")) == CLI_HELP);
	CHECK(parse(&config, ARGV("run", "-h")) == CLI_HELP);
	CHECK(parse(&config, ARGV("--version")) == CLI_VERSION);
}

static void test_cli_bad(void)
{
	char **const bad[] = {
		ARGV(),
		ARGV("run"),
		ARGV("walk", "--kernel", "k"),
		ARGV("--kernel", "k"),
		ARGV("run", "--kernel"),
		ARGV("run", "--kernel", ""),
		ARGV("run", "--kernel", "k", "stray"),
		ARGV("run", "--kernel", "k", "--bogus"),
		ARGV("run", "--kernel", "k", "--kern", "k"),
		ARGV("run", "--kernel", "k", "--verbose=1"),
		ARGV("run", "--kernel", "k", "--cpus", "0"),
		ARGV("run", "--kernel", "k", "--cpus", "255"),
		ARGV("run", "--kernel", "k", "--cpus", "-1"),
		ARGV("run", "--kernel", "k", "--cpus", "2x"),
		ARGV("run", "--kernel", "k", "--cpus", "18446744073709551617"),
		ARGV("run", "--kernel", "k", "--memory", ""),
		ARGV("run", "--kernel", "k", "--memory", "31M"),
		ARGV("run", "--kernel", "k", "--memory", "33554433"),
		ARGV("run", "--kernel", "k", "--memory", "512MB"),
		ARGV("run", "--kernel", "k", "--memory", "1025G"),
		ARGV("run", "--kernel", "k", "--memory", "18014398509481984K"),
		ARGV("run", "--kernel", "k", "--timeout", "0"),
		ARGV("run", "--kernel", "k", "--timeout", " 5"),
	};
	struct config config;

	for (size_t i = 0; i < COUNT(bad); i++) {
		if (parse(&config, bad[i]) == CLI_ERROR)
			continue;
		printf("# bad command line %zu was accepted\n", i);
		failed = true;
	}
}

/* A kernel image of 4 setup sectors and 64 KiB of code that passes all checks. */
#define IMAGE_BYTES	(5 * 512 + 0x10000)

static void make_image(uint8_t *image)
{
	struct setup_header *header = HEADER(image);

	memset(image, 0xcc, IMAGE_BYTES);
	memset(image, 0, 5 * 512);
	image[0x200] = 0xeb;
	image[0x201] = 0x66;
	header->setup_sects = 4;
	header->boot_flag = 0xaa55;
	header->header = 0x53726448;
	header->version = 0x20f;
	header->loadflags = LOADED_HIGH;
	header->xloadflags = XLF_KERNEL_64;
	header->syssize = 0x10000 / 16;
	header->initrd_addr_max = 0x7fffffff;
	header->kernel_alignment = 2 * MIB;
	header->relocatable_kernel = 1;
	header->cmdline_size = 2047;
	header->pref_address = 16 * MIB;
	header->init_size = 4 * MIB;
}

static const char *check_image(const uint8_t *image, size_t size)
{
	struct blob blob = { image, size };

	return boot_check_image(&blob);
}

static void test_image_good(void)
{
	static uint8_t image[IMAGE_BYTES];

	make_image(image);
	CHECK(!check_image(image, IMAGE_BYTES));
	/* 0 setup sectors means 4 */
	HEADER(image)->setup_sects = 0;
	CHECK(!check_image(image, IMAGE_BYTES));
}

static void test_image_malformed(void)
{
	static uint8_t image[IMAGE_BYTES];

	make_image(image);
	CHECK(check_image(image, 0));
	CHECK(check_image(image, 0x1f1));
	CHECK(check_image(image, 0x202));
	CHECK(check_image(image, 5 * 512));
	CHECK(check_image(image, IMAGE_BYTES - 16));
	HEADER(image)->boot_flag = 0;
	CHECK(check_image(image, IMAGE_BYTES));
	make_image(image);
	HEADER(image)->header ^= 1;
	CHECK(check_image(image, IMAGE_BYTES));
	make_image(image);
	HEADER(image)->version = 0x20b;
	CHECK(check_image(image, IMAGE_BYTES));
	make_image(image);
	HEADER(image)->loadflags = 0;
	CHECK(check_image(image, IMAGE_BYTES));
	make_image(image);
	HEADER(image)->xloadflags = 0;
	CHECK(check_image(image, IMAGE_BYTES));
	make_image(image);
	HEADER(image)->setup_sects = 255;
	CHECK(check_image(image, IMAGE_BYTES));
	make_image(image);
	HEADER(image)->syssize = 0xffffffff;
	CHECK(check_image(image, IMAGE_BYTES));
}

static void test_ram_bounds(void)
{
	struct ram small = { NULL, 64 * MIB }, large = { NULL, 4096 * MIB };

	CHECK(ram_low(&small) == 64 * MIB && !ram_high(&small));
	CHECK(ram_low(&large) == HOLE_START && ram_high(&large) == 1024 * MIB);
	small.base = large.base = (void *)4096;
	CHECK(ram_at(&small, 64 * MIB - 1, 1) && !ram_at(&small, 64 * MIB, 1));
	CHECK(!ram_at(&small, 1, 64 * MIB) && !ram_at(&small, 4096, ~0ULL));
	CHECK(!ram_at(&small, HOLE_END, 1));
	CHECK(!ram_at(&large, HOLE_START, 1) && !ram_at(&large, HOLE_START - 1, 2));
	CHECK(ram_at(&large, HOLE_END, 1) == large.base + HOLE_START);
	CHECK(ram_at(&large, HOLE_END, 1024 * MIB) && !ram_at(&large, HOLE_END, 1024 * MIB + 1));
}

static void test_e820(void)
{
	static const uint64_t sizes[] = { 32, 3071, 3072, 3073, 8192 };
	struct boot_e820_entry table[E820_MAX_ENTRIES_ZEROPAGE];

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct ram ram = { NULL, sizes[i] * MIB };
		unsigned int n = boot_e820(&ram, table);
		uint64_t usable = 0, end = 0;

		for (unsigned int j = 0; j < n; j++) {
			CHECK(table[j].addr >= end && table[j].size);
			end = table[j].addr + table[j].size;
			CHECK(end <= HOLE_START || table[j].addr >= HOLE_END);
			if (table[j].type == 1)
				usable += table[j].size;
		}
		/* All but the top of the first MiB. */
		CHECK(usable == ram.size - (MIB - LOWMEM_END));
	}
}

/* 64 MiB of guest memory, zeroed. */
static struct ram make_ram(void)
{
	return (struct ram){ calloc(1, 64 * MIB), 64 * MIB };
}

static void test_boot_load(void)
{
	static uint8_t image[IMAGE_BYTES], initrd[5000] = { 0x42 };
	struct blob kernel_blob = { image, IMAGE_BYTES }, initrd_blob = { initrd, sizeof(initrd) };
	struct ram ram = make_ram();
	struct boot_params *params = ram_at(&ram, BOOT_PARAMS, sizeof(*params));
	uint64_t *pml4 = ram_at(&ram, BOOT_PML4, 8), *pdpt, *pd;
	uint64_t entry;

	make_image(image);
	CHECK(!boot_load(&ram, &kernel_blob, &initrd_blob, "a b", &entry));
	CHECK(entry == 16 * MIB + 0x200);
	CHECK(*(uint8_t *)ram_at(&ram, entry, 1) == 0xcc);
	CHECK(params->hdr.header == 0x53726448 && params->hdr.type_of_loader == 0xff);
	CHECK(params->hdr.ramdisk_size == sizeof(initrd));
	CHECK(params->hdr.ramdisk_image % 4096 == 0);
	CHECK(params->hdr.ramdisk_image + sizeof(initrd) <= ram.size);
	CHECK(*(uint8_t *)ram_at(&ram, params->hdr.ramdisk_image, 1) == 0x42);
	CHECK(!strcmp(ram_at(&ram, params->hdr.cmd_line_ptr, 4), "a b"));
	CHECK(params->e820_entries == 4);
	/* Page tables: the last 2 MiB below 4 GiB map to themselves. */
	pdpt = ram_at(&ram, pml4[0] & ~0xfffULL, 4096);
	pd = ram_at(&ram, pdpt[3] & ~0xfffULL, 4096);
	CHECK(pd[511] == (0xffe00000 | 0x83));
	free(ram.base);
}

static void test_boot_does_not_fit(void)
{
	static uint8_t image[IMAGE_BYTES], initrd[1];
	struct blob kernel_blob = { image, IMAGE_BYTES }, no_initrd = { NULL, 0 };
	struct blob huge_initrd = { initrd, 45 * MIB };
	struct ram ram = make_ram();
	char cmdline[3000];
	uint64_t entry;

	make_image(image);
	CHECK(boot_load(&ram, &kernel_blob, &huge_initrd, "", &entry));
	memset(cmdline, 'x', sizeof(cmdline));
	cmdline[2048] = 0;
	CHECK(boot_load(&ram, &kernel_blob, &no_initrd, cmdline, &entry));
	cmdline[2047] = 0;
	CHECK(!boot_load(&ram, &kernel_blob, &no_initrd, cmdline, &entry));
	/* Not at its preferred address: moved if it can be, else refused. */
	HEADER(image)->pref_address = 62 * MIB;
	CHECK(!boot_load(&ram, &kernel_blob, &no_initrd, "", &entry));
	CHECK(entry == 2 * MIB + 0x200);
	HEADER(image)->relocatable_kernel = 0;
	CHECK(boot_load(&ram, &kernel_blob, &no_initrd, "", &entry));
	HEADER(image)->relocatable_kernel = 1;
	HEADER(image)->init_size = 63 * MIB;
	CHECK(boot_load(&ram, &kernel_blob, &no_initrd, "", &entry));
	HEADER(image)->pref_address = ~0ULL;
	CHECK(boot_load(&ram, &kernel_blob, &no_initrd, "", &entry));
	free(ram.base);
}

/* A table's header as the specification lays it out, read from bytes alone. */
static uint32_t u32_at(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static uint64_t u64_at(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static const uint8_t *valid_table(const struct ram *ram, uint64_t gpa, const char *signature)
{
	const uint8_t *table = ram_at(ram, gpa, 36);

	CHECK(gpa >= BIOS_START && gpa < BIOS_END);
	CHECK(!memcmp(table, signature, 4));
	CHECK(gpa + u32_at(table + 4) <= BIOS_END);
	CHECK(acpi_sum(table, u32_at(table + 4)) == 0);
	return table;
}

static void check_acpi(unsigned int cpus)
{
	struct ram ram = make_ram();
	const uint8_t *rsdp, *xsdt, *fadt, *madt;
	unsigned int lapics = 0, ioapics = 0;

	acpi_build(&ram, cpus);
	rsdp = ram_at(&ram, BIOS_START, 36);
	CHECK(!memcmp(rsdp, "RSD PTR ", 8));
	CHECK(acpi_sum(rsdp, 20) == 0 && acpi_sum(rsdp, 36) == 0);
	xsdt = valid_table(&ram, u64_at(rsdp + 24), "XSDT");
	CHECK(u32_at(xsdt + 4) == 36 + 2 * 8);
	fadt = valid_table(&ram, u64_at(xsdt + 36), "FACP");
	valid_table(&ram, u64_at(fadt + 140), "DSDT");
	CHECK(!memcmp(ram_at(&ram, u32_at(fadt + 36), 4), "FACS", 4));
	CHECK(u32_at(fadt + 36) % 64 == 0);
	madt = valid_table(&ram, u64_at(xsdt + 44), "APIC");
	for (uint32_t at = 44; at < u32_at(madt + 4); at += madt[at + 1]) {
		CHECK(madt[at + 1]);
		if (!madt[at + 1])
			break;
		if (madt[at] == 0)
			CHECK(madt[at + 3] == lapics++);
		if (madt[at] == 1)
			ioapics++;
	}
	CHECK(lapics == cpus && ioapics == 1);
	free(ram.base);
}

static void test_acpi(void)
{
	check_acpi(1);
	check_acpi(2);
	check_acpi(MAX_CPUS);
}

static void test_cpuid(void)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[4];
	} cpuid = {
		.head.nent = 4,
		.entries = {
			{ .function = 1, .ebx = 0x07100800, .ecx = 1 << 24 },
			{ .function = 0xb, .index = 0, .edx = 7 },
			{ .function = 0xb, .index = 1, .edx = 7 },
			{ .function = 0x80000008, .eax = 0x3030, .ecx = 0xf00f },
		},
	};

	cpuid_personalize(&cpuid.head, 2, 3, false);
	CHECK(cpuid.entries[0].ebx == 0x02040800);
	CHECK(cpuid.entries[0].ecx == 1U << 31);
	CHECK(cpuid.entries[0].edx == 1U << 28);
	CHECK(cpuid.entries[1].edx == 2 && cpuid.entries[1].eax == 0);
	CHECK(cpuid.entries[2].edx == 2 && cpuid.entries[2].eax == 2 && cpuid.entries[2].ebx == 3);
	CHECK(cpuid.entries[3].eax == 0x3030 && cpuid.entries[3].ecx == 0x2002);

	cpuid_personalize(&cpuid.head, 0, 1, true);
	CHECK(cpuid.entries[0].ebx == 0x00010800);
	CHECK(cpuid.entries[0].ecx == (1U << 31 | 1 << 24) && !cpuid.entries[0].edx);
}

/* A board whose operations only count. */
struct board {
	struct platform platform;
	char sent[64];
	size_t count;
	unsigned int offs, resets, wants;
	bool irq;
};

static void on_transmit(void *context, uint8_t byte)
{
	struct board *board = context;

	board->sent[board->count++ % sizeof(board->sent)] = byte;
}

static void on_irq(void *context, bool level)
{
	((struct board *)context)->irq = level;
}

static void on_want(void *context)
{
	((struct board *)context)->wants++;
}

static void on_power_off(void *context)
{
	((struct board *)context)->offs++;
}

static void on_reset(void *context)
{
	((struct board *)context)->resets++;
}

static const struct platform_ops board_ops = {
	.uart = { on_transmit, on_irq, on_want },
	.power_off = on_power_off,
	.reset = on_reset,
};

static struct platform *make_board(struct board *board)
{
	memset(board, 0, sizeof(*board));
	platform_init(&board->platform, &board_ops, board);
	return &board->platform;
}

static void test_ports(void)
{
	struct board board;
	struct platform *platform = make_board(&board);
	uint32_t now;

	CHECK(platform_in(platform, 0xcfc, 4) == 0xffffffff);
	CHECK(platform_in(platform, 0x1234, 2) == 0xffff && platform_in(platform, 0x60, 1) == 0xff);
	/* A PCI address is not a reset, although it covers that port. */
	platform_out(platform, 0xcf8, 4, 0xffffffff);
	platform_out(platform, ACPI_RESET_PORT, 1, 2);
	CHECK(!board.resets);
	platform_out(platform, ACPI_RESET_PORT, 1, ACPI_RESET_VALUE);
	CHECK(board.resets == 1);
	CHECK(!(platform_in(platform, 0x64, 1) & 2));
	platform_out(platform, 0x64, 1, 0xfe);
	CHECK(board.resets == 2);
	CHECK(platform_in(platform, ACPI_PM1_CONTROL, 2) & 1);
	platform_out(platform, ACPI_PM1_CONTROL, 2, ACPI_S5 << 10);
	platform_out(platform, ACPI_PM1_CONTROL, 2, 1 << 13 | (ACPI_S5 - 1) << 10);
	CHECK(!board.offs);
	platform_out(platform, ACPI_PM1_CONTROL, 2, 1 << 13 | ACPI_S5 << 10);
	CHECK(board.offs == 1);
	now = platform_in(platform, ACPI_PM_TIMER, 4);
	CHECK(platform_in(platform, ACPI_PM_TIMER, 4) - now < 0x80000000);
	platform_out(platform, 0x70, 1, 0x8d);
	CHECK(platform_in(platform, 0x71, 1) == 0x80);
	/* Only half of it is there: nobody answers. */
	CHECK(platform_in(platform, 0x71, 2) == 0xffff);
}

static void put(struct platform *platform, unsigned int reg, uint8_t value)
{
	platform_out(platform, UART_PORT + reg, 1, value);
}

static uint8_t get(struct platform *platform, unsigned int reg)
{
	return platform_in(platform, UART_PORT + reg, 1);
}

static void test_uart_output(void)
{
	struct board board;
	struct platform *platform = make_board(&board);

	CHECK(get(platform, UART_LSR) == (UART_LSR_TEMT | UART_LSR_THRE));
	put(platform, UART_TX, 'h');
	put(platform, UART_LCR, UART_LCR_DLAB);
	put(platform, UART_DLL, 1);
	CHECK(get(platform, UART_DLL) == 1);
	put(platform, UART_LCR, 3);
	put(platform, UART_TX, 'i');
	CHECK(board.count == 2 && !memcmp(board.sent, "hi", 2));
	/* Transmitter empty: on enabling, gone when read, back after a byte. */
	CHECK(!board.irq);
	put(platform, UART_IER, UART_IER_THRI);
	CHECK(board.irq && (get(platform, UART_IIR) & 0xf) == UART_IIR_THRI);
	CHECK(!board.irq && (get(platform, UART_IIR) & 0xf) == UART_IIR_NO_INT);
	put(platform, UART_TX, '!');
	CHECK(board.irq);
	put(platform, UART_IER, 0);
	CHECK(!board.irq);
	/* What is in the loop does not leave. */
	put(platform, UART_MCR, UART_MCR_LOOP | UART_MCR_RTS);
	put(platform, UART_TX, 'x');
	CHECK(board.count == 3 && get(platform, UART_RX) == 'x');
	CHECK(get(platform, UART_MSR) == UART_MSR_CTS);
}

static void test_uart_input(void)
{
	struct board board;
	struct platform *platform = make_board(&board);
	struct uart *uart = &platform->uart;

	/* Nobody listens: nothing is taken, so nothing is lost. */
	put(platform, UART_IER, UART_IER_RDI);
	CHECK(!uart_wants_input(uart));
	uart_receive(uart, 'a');
	CHECK(!(get(platform, UART_LSR) & UART_LSR_DR));
	put(platform, UART_MCR, UART_MCR_OUT2);
	CHECK(board.wants == 1 && uart_wants_input(uart));
	for (unsigned int i = 0; i < UART_FIFO; i++)
		uart_receive(uart, 'a' + i);
	CHECK(!uart_wants_input(uart) && board.irq);
	uart_receive(uart, '!');
	for (unsigned int i = 0; i < UART_FIFO; i++) {
		CHECK((get(platform, UART_IIR) & 0xf) == UART_IIR_RDI);
		CHECK(get(platform, UART_RX) == 'a' + i);
	}
	CHECK(!board.irq && board.wants == 2 && !(get(platform, UART_LSR) & UART_LSR_DR));
	uart_receive(uart, 'z');
	put(platform, UART_FCR, UART_FCR_CLEAR_RCVR | UART_FCR_ENABLE_FIFO);
	CHECK(!board.irq && (get(platform, UART_IIR) & 0xc0) == 0xc0);
}

static void check_escape(const char *typed, const char *expected, bool leaves)
{
	struct escape escape = { false };
	uint8_t bytes[16];
	char result[16] = "";
	size_t length = 0;
	bool left = false;

	/* Byte by byte, as a terminal gives them. */
	for (size_t i = 0; typed[i] && !left; i++) {
		size_t count = 1;

		bytes[0] = typed[i];
		left = escape_filter(&escape, bytes, &count);
		if (!left && count)
			result[length++] = bytes[0];
	}
	CHECK(left == leaves && !strcmp(result, expected));
	/* And in one piece. */
	length = strlen(typed);
	memcpy(bytes, typed, length);
	escape = (struct escape){ false };
	CHECK(escape_filter(&escape, bytes, &length) == leaves);
	CHECK(leaves || (length == strlen(expected) && !memcmp(bytes, expected, length)));
}

static void test_escape(void)
{
	check_escape("ls\n", "ls\n", false);
	check_escape("x\1x", "x", true);
	check_escape("\1ab", "\1b", false);
	check_escape("\1a\1ax", "\1\1x", false);
	check_escape("\1zb", "b", false);
	check_escape("\1\1x", "x", false);
}

/* What minivmm answers by itself, and what does not end a program. */
static bool ends_by_default(int signal_number)
{
	switch (signal_number) {
	case SIGINT: case SIGTERM: case SIGHUP: case SIGQUIT: case SIGTSTP: case SIGUSR1: case SIGPIPE:
	case SIGKILL: case SIGSTOP: case SIGTTIN: case SIGTTOU:
	case SIGCONT: case SIGCHLD: case SIGURG: case SIGWINCH:
		return false;
	default:
		return true;
	}
}

/* A process with @terminal as its standard input, which it makes raw, and which then ends. */
static int end_in_raw_mode(int terminal, int signal_number)
{
	struct rlimit no_core = { 0, 0 };
	struct termios now;
	int status;

	fflush(stdout);
	if (!fork()) {
		setrlimit(RLIMIT_CORE, &no_core);
		dup2(terminal, STDIN_FILENO);
		term_raw();
		if (tcgetattr(STDIN_FILENO, &now) || (now.c_lflag & (ICANON | ECHO)))
			_exit(1);
		if (signal_number)
			raise(signal_number);
		exit(0);
	}
	wait(&status);
	return status;
}

static void check_terminal(int terminal, int signal_number)
{
	struct termios before = { 0 }, after = { 0 };
	int status;

	tcgetattr(terminal, &before);
	status = end_in_raw_mode(terminal, signal_number);
	tcgetattr(terminal, &after);
	if (memcmp(&before, &after, sizeof(before)) || status != signal_number)
		printf("# signal %d, status %#x\n", signal_number, status);
	CHECK(!memcmp(&before, &after, sizeof(before)));
	CHECK(status == signal_number);
	tcsetattr(terminal, TCSANOW, &before);
}

static void test_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), terminal = -1;

	if (master >= 0 && !grantpt(master) && !unlockpt(master))
		terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
	CHECK(terminal >= 0);
	if (terminal < 0)
		return;
	check_terminal(terminal, 0);
	for (int i = 1; i <= SIGRTMAX; i++) {
		/* Those between are libc's own. */
		if (ends_by_default(i) && (i < 32 || i >= SIGRTMIN))
			check_terminal(terminal, i);
	}
	close(terminal);
	close(master);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "command line: what is right", test_cli_good },
	{ "command line: what is wrong", test_cli_bad },
	{ "kernel image: good ones", test_image_good },
	{ "kernel image: malformed ones", test_image_malformed },
	{ "guest memory: bounds and the hole", test_ram_bounds },
	{ "guest memory: e820", test_e820 },
	{ "boot: memory as the protocol wants it", test_boot_load },
	{ "boot: what does not fit is refused", test_boot_does_not_fit },
	{ "ACPI: tables and their sums", test_acpi },
	{ "CPUID: identity and topology", test_cpuid },
	{ "ports: reset, power-off, clock, nothing", test_ports },
	{ "UART: output and its interrupt", test_uart_output },
	{ "UART: input and its interrupt", test_uart_input },
	{ "terminal: Ctrl-a", test_escape },
	{ "terminal: as it was, whatever ends minivmm", test_terminal },
};

int main(void)
{
	unsigned int failures = 0;

	printf("TAP version 13\n1..%zu\n", COUNT(tests));
	for (size_t i = 0; i < COUNT(tests); i++) {
		failed = false;
		tests[i].run();
		failures += failed;
		printf("%s %zu - minivmm: %s\n", failed ? "not ok" : "ok", i + 1, tests[i].name);
		fflush(stdout);
	}
	return failures ? 1 : 0;
}
