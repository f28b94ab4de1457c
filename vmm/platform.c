// SPDX-License-Identifier: GPL-2.0
/*
 * I/O ports, one table of who answers where, and the small devices: ACPI power
 * management, reset port, keyboard controller (for its reset line only), CMOS
 * clock. PIC, PIT, IOAPIC and the speaker port are the kernel's.
 */
#include "platform.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

#include "acpi.h"

#define KBD_STATUS		0x64
#define KBD_PULSE_RESET		0xfe
#define CMOS_INDEX		0x70
#define PM1_SLEEP_ENABLE	(1 << 13)
#define PM1_SLEEP_TYPE(value)	((value) >> 10 & 7)
#define PM1_SCI_ENABLE		1
#define PM_TIMER_HZ		3579545ULL

/*
 * A range of ports: registers of @width bytes each. Accesses that are wider are
 * split, as on the ISA bus; handlers see whole registers, by offset in the range.
 */
struct port_row {
	uint16_t first, last;
	unsigned int width;
	uint32_t (*in)(struct platform *platform, unsigned int offset);
	void (*out)(struct platform *platform, unsigned int offset, uint32_t value);
};

static uint32_t uart_in(struct platform *platform, unsigned int offset)
{
	return uart_read(&platform->uart, offset);
}

static void uart_out(struct platform *platform, unsigned int offset, uint32_t value)
{
	uart_write(&platform->uart, offset, value);
}

static uint32_t pm1_event_in(struct platform *platform, unsigned int offset)
{
	return offset ? platform->pm1_enable : platform->pm1_status;
}

static void pm1_event_out(struct platform *platform, unsigned int offset, uint32_t value)
{
	if (offset)
		platform->pm1_enable = value;
	else
		platform->pm1_status &= ~value;
}

static uint32_t pm1_control_in(struct platform *platform, unsigned int offset)
{
	(void)offset;
	return platform->pm1_control | PM1_SCI_ENABLE;
}

static void pm1_control_out(struct platform *platform, unsigned int offset, uint32_t value)
{
	(void)offset;
	platform->pm1_control = value & ~PM1_SLEEP_ENABLE;
	if (value & PM1_SLEEP_ENABLE && PM1_SLEEP_TYPE(value) == ACPI_S5)
		platform->ops->power_off(platform->context);
}

static uint32_t pm_timer_in(struct platform *platform, unsigned int offset)
{
	struct timespec now;

	(void)platform;
	(void)offset;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * PM_TIMER_HZ + now.tv_nsec * PM_TIMER_HZ / 1000000000;
}

static void reset_out(struct platform *platform, unsigned int offset, uint32_t value)
{
	(void)offset;
	if (value & 4)		/* the bit that pulls the line; 2 says how hard */
		platform->ops->reset(platform->context);
}

/* Never busy, nothing to read: enough for whoever only wants the reset line. */
static uint32_t keyboard_in(struct platform *platform, unsigned int offset)
{
	(void)platform;
	(void)offset;
	return 0;
}

static void keyboard_out(struct platform *platform, unsigned int offset, uint32_t value)
{
	(void)offset;
	if (value == KBD_PULSE_RESET)
		platform->ops->reset(platform->context);
}

static uint8_t bcd(int value)
{
	return value / 10 << 4 | value % 10;
}

/* MC146818 registers; the clock shows UTC, 24 hours, BCD, and cannot be set. */
static uint8_t cmos_register(uint8_t index)
{
	time_t seconds = time(NULL);
	struct tm now;

	gmtime_r(&seconds, &now);
	switch (index) {
	case 0x00:
		return bcd(now.tm_sec);
	case 0x02:
		return bcd(now.tm_min);
	case 0x04:
		return bcd(now.tm_hour);
	case 0x06:
		return now.tm_wday + 1;
	case 0x07:
		return bcd(now.tm_mday);
	case 0x08:
		return bcd(now.tm_mon + 1);
	case 0x09:
		return bcd(now.tm_year % 100);
	case 0x32:
		return bcd(19 + now.tm_year / 100);
	case 0x0a:
		return 0x26;	/* 32768 Hz, no update in progress */
	case 0x0b:
		return 0x02;	/* 24 hours */
	case 0x0d:
		return 0x80;	/* the battery is good */
	default:
		return 0;
	}
}

static uint32_t cmos_in(struct platform *platform, unsigned int offset)
{
	return offset ? cmos_register(platform->cmos_index) : 0xff;
}

static void cmos_out(struct platform *platform, unsigned int offset, uint32_t value)
{
	if (!offset)
		platform->cmos_index = value & 0x7f;
}

static const struct port_row ports[] = {
	{ UART_PORT, UART_PORT + UART_PORTS - 1, 1, uart_in, uart_out },
	{ ACPI_PM1_EVENT, ACPI_PM1_EVENT + 3, 2, pm1_event_in, pm1_event_out },
	{ ACPI_PM1_CONTROL, ACPI_PM1_CONTROL + 1, 2, pm1_control_in, pm1_control_out },
	{ ACPI_PM_TIMER, ACPI_PM_TIMER + 3, 4, pm_timer_in, NULL },
	{ ACPI_RESET_PORT, ACPI_RESET_PORT, 1, NULL, reset_out },
	{ KBD_STATUS, KBD_STATUS, 1, keyboard_in, keyboard_out },
	{ CMOS_INDEX, CMOS_INDEX + 1, 1, cmos_in, cmos_out },
};

/*
 * Who answers all @size bytes. Nobody, if they reach outside the range: a dword
 * at 0xcf8 asks for PCI, and must not touch the reset port inside of it.
 */
static const struct port_row *find_row(uint16_t port, unsigned int size)
{
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		if (port >= ports[i].first && port + size - 1U <= ports[i].last)
			return &ports[i];
	}
	return NULL;
}

static uint32_t mask(unsigned int size)
{
	return size >= 4 ? ~0U : (1U << size * 8) - 1;
}

/*
 * The part of an access to @size bytes at @port that falls into one register:
 * how many bytes, the register's @offset in its row, the part's @shift within it.
 */
static unsigned int split(const struct port_row *row, uint16_t port, unsigned int size,
			  unsigned int *offset, unsigned int *shift)
{
	unsigned int within = (port - row->first) % row->width;
	unsigned int step = row->width - within;

	*offset = port - row->first - within;
	*shift = within * 8;
	return step < size ? step : size;
}

void platform_init(struct platform *platform, const struct platform_ops *ops, void *context)
{
	*platform = (struct platform){ .ops = ops, .context = context };
	pthread_mutex_init(&platform->lock, NULL);
	uart_init(&platform->uart, &ops->uart, context);
}

uint32_t platform_in(struct platform *platform, uint16_t port, unsigned int size)
{
	const struct port_row *row = find_row(port, size);
	unsigned int offset, shift, step;
	uint32_t value = 0;

	if (!row || !row->in)
		return mask(size);
	pthread_mutex_lock(&platform->lock);
	for (unsigned int done = 0; done < size; done += step) {
		step = split(row, port + done, size - done, &offset, &shift);
		value |= (row->in(platform, offset) >> shift & mask(step)) << done * 8;
	}
	pthread_mutex_unlock(&platform->lock);
	return value;
}

void platform_out(struct platform *platform, uint16_t port, unsigned int size, uint32_t value)
{
	const struct port_row *row = find_row(port, size);
	unsigned int offset, shift, step;

	if (!row || !row->out)
		return;
	pthread_mutex_lock(&platform->lock);
	for (unsigned int done = 0; done < size; done += step) {
		step = split(row, port + done, size - done, &offset, &shift);
		row->out(platform, offset, (value >> done * 8 & mask(step)) << shift);
	}
	pthread_mutex_unlock(&platform->lock);
}
