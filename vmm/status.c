// SPDX-License-Identifier: GPL-2.0
/*
 * Messages to the user: one line each, one write each, so that lines of several
 * threads do not mix.
 */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

bool verbose;

static void print_line(const char *fmt, va_list args)
{
	char line[1024];
	int len;

	len = snprintf(line, sizeof(line), "minivmm: ");
	len += vsnprintf(line + len, sizeof(line) - len - 2, fmt, args);
	if (len > (int)sizeof(line) - 3)
		len = sizeof(line) - 3;
	/* A terminal in raw mode does not return the carriage by itself. */
	line[len++] = '\r';
	line[len++] = '\n';
	if (!isatty(STDERR_FILENO)) {
		line[len - 2] = '\n';
		len--;
	}
	if (write(STDERR_FILENO, line, len) < 0)
		return;		/* nobody left to tell */
}

void say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_line(fmt, args);
	va_end(args);
}

void say_verbose(const char *fmt, ...)
{
	va_list args;

	if (!verbose)
		return;
	va_start(args, fmt);
	print_line(fmt, args);
	va_end(args);
}

int fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_line(fmt, args);
	va_end(args);
	return -1;
}
