/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The command line and what it says. Pure: parsing opens no file and no device.
 */
#ifndef MINIVMM_CLI_H
#define MINIVMM_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_CPUS	254	/* 8-bit APIC IDs, less the broadcast and the IOAPIC's */

struct config {
	const char *kernel;
	const char *initrd;	/* NULL: none */
	const char *append;
	const char *device;
	uint64_t memory;	/* bytes, whole pages */
	unsigned int cpus;
	unsigned int timeout;	/* seconds; 0: none */
	bool verbose;
};

enum cli_action { CLI_RUN, CLI_HELP, CLI_VERSION, CLI_ERROR };

/**
 * cli_parse - read the command line
 * @config: filled in; strings point into @argv
 * @error: what is wrong, and what to do, when the answer is CLI_ERROR
 * @size: bytes in @error
 */
enum cli_action cli_parse(int argc, char **argv, struct config *config,
			  char *error, size_t size);

extern const char cli_help[];

#endif
