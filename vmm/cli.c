// SPDX-License-Identifier: GPL-2.0
/*
 * The command line: one table of options. Pure, for the unit tests.
 */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN_MEMORY	(32ULL << 20)
#define MAX_MEMORY	(1ULL << 40)
#define PAGE_BYTES	4096ULL
#define MAX_TIMEOUT	(30 * 24 * 3600)

const char cli_help[] =
"Usage: minivmm run --kernel FILE [OPTION]...\n"
"Boot a Linux bzImage on KVM, with its serial console on this terminal.\n"
"\n"
"  -k, --kernel FILE    the bzImage to boot (needed)\n"
"  -i, --initrd FILE    its initial RAM disk\n"
"  -a, --append STRING  its command line (default: console=ttyS0)\n"
"  -m, --memory SIZE    guest memory, with a suffix K, M or G (default: 512M)\n"
"  -c, --cpus N         virtual CPUs, 1 to 254 (default: 1)\n"
"  -d, --device FILE    /dev/minikvm, /dev/kvm or the like (default: /dev/minikvm)\n"
"  -t, --timeout SECS   stop the guest after so many seconds\n"
"  -v, --verbose        say what is being done\n"
"  -h, --help           this text\n"
"      --version        the version\n"
"\n"
"On a terminal, Ctrl-a x leaves, and Ctrl-a a sends a Ctrl-a to the guest.\n"
"\n"
"Exit status: 0 the guest powered off, 1 error, 2 usage, 3 the guest asked for a\n"
"reset, 4 triple fault, 5 KVM gave up on the guest, 6 timeout, 7 left by\n"
"Ctrl-a x, 128+N stopped by signal N.\n";

struct parser {
	struct config *config;
	char *error;
	size_t size;
};

struct option_row {
	const char *name;
	const char *brief;
	bool (*set)(struct parser *parser, const char *value);
	bool takes_value;
};

static bool bad(struct parser *parser, const char *what, const char *value, const char *hint)
{
	snprintf(parser->error, parser->size, "%s '%s': %s", what, value, hint);
	return false;
}

/* A plain decimal number: strtoull() alone takes signs, blanks and wraps. */
static bool parse_number(const char *text, unsigned long long *number, char **end)
{
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*number = strtoull(text, end, 10);
	return errno == 0;
}

static bool parse_count(const char *text, unsigned long long max, unsigned int *count)
{
	unsigned long long number;
	char *end;

	if (!parse_number(text, &number, &end) || *end || number < 1 || number > max)
		return false;
	*count = number;
	return true;
}

static bool set_kernel(struct parser *parser, const char *value)
{
	parser->config->kernel = value;
	return true;
}

static bool set_initrd(struct parser *parser, const char *value)
{
	parser->config->initrd = value;
	return true;
}

static bool set_append(struct parser *parser, const char *value)
{
	parser->config->append = value;
	return true;
}

static bool set_device(struct parser *parser, const char *value)
{
	parser->config->device = value;
	return true;
}

static bool set_memory(struct parser *parser, const char *value)
{
	static const char hint[] = "give a size from 32M to 1024G, such as 512M";
	unsigned long long number;
	unsigned int shift = 0;
	char *end;

	if (!parse_number(value, &number, &end))
		return bad(parser, "--memory", value, hint);
	switch (*end) {
	case 'k': case 'K':
		shift = 10;
		break;
	case 'm': case 'M':
		shift = 20;
		break;
	case 'g': case 'G':
		shift = 30;
		break;
	}
	if (end[shift ? 1 : 0] || number > MAX_MEMORY >> shift || number << shift < MIN_MEMORY)
		return bad(parser, "--memory", value, hint);
	if ((number << shift) % PAGE_BYTES)
		return bad(parser, "--memory", value, "give a multiple of 4K");
	parser->config->memory = number << shift;
	return true;
}

static bool set_cpus(struct parser *parser, const char *value)
{
	return parse_count(value, MAX_CPUS, &parser->config->cpus) ||
	       bad(parser, "--cpus", value, "give a number from 1 to 254");
}

static bool set_timeout(struct parser *parser, const char *value)
{
	return parse_count(value, MAX_TIMEOUT, &parser->config->timeout) ||
	       bad(parser, "--timeout", value, "give a number of seconds, at least 1");
}

static bool set_verbose(struct parser *parser, const char *value)
{
	(void)value;
	parser->config->verbose = true;
	return true;
}

static const struct option_row options[] = {
	{ "--kernel",  "-k", set_kernel,  true },
	{ "--initrd",  "-i", set_initrd,  true },
	{ "--append",  "-a", set_append,  true },
	{ "--memory",  "-m", set_memory,  true },
	{ "--cpus",    "-c", set_cpus,    true },
	{ "--device",  "-d", set_device,  true },
	{ "--timeout", "-t", set_timeout, true },
	{ "--verbose", "-v", set_verbose, false },
};

/* The row of @arg, and in @value what stands behind a '=', or NULL. */
static const struct option_row *find_option(const char *arg, const char **value)
{
	const char *equals = strchr(arg, '=');
	size_t len = equals ? (size_t)(equals - arg) : strlen(arg);

	*value = equals ? equals + 1 : NULL;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (!strcmp(arg, options[i].brief)) {
			*value = NULL;
			return &options[i];
		}
		if (strlen(options[i].name) == len && !strncmp(arg, options[i].name, len))
			return &options[i];
	}
	return NULL;
}

/* One option at argv[*at]; moves *at over its value. */
static bool parse_option(struct parser *parser, int argc, char **argv, int *at)
{
	const char *arg = argv[*at];
	const struct option_row *row;
	const char *value;

	row = find_option(arg, &value);
	if (!row)
		return bad(parser, "unknown option", arg, "see minivmm --help");
	if (!row->takes_value && value)
		return bad(parser, "option", row->name, "takes no value");
	if (row->takes_value && !value) {
		if (*at + 1 == argc)
			return bad(parser, "option", arg, "needs a value");
		value = argv[++*at];
	}
	return row->set(parser, value);
}

static bool is_word(const char *arg, const char *name, const char *brief)
{
	return !strcmp(arg, name) || !strcmp(arg, brief);
}

enum cli_action cli_parse(int argc, char **argv, struct config *config, char *error, size_t size)
{
	struct parser parser = { config, error, size };

	*config = (struct config){
		.append = "console=ttyS0",
		.device = "/dev/minikvm",
		.memory = 512ULL << 20,
		.cpus = 1,
	};
	for (int i = 1; i < argc; i++) {
		if (is_word(argv[i], "--help", "-h"))
			return CLI_HELP;
		if (is_word(argv[i], "--version", "-V"))
			return CLI_VERSION;
		if (i == 1 && !strcmp(argv[i], "run"))
			continue;
		if (i == 1) {
			bad(&parser, "unknown command", argv[i],
			    "the command is: minivmm run --kernel FILE");
			return CLI_ERROR;
		}
		if (!parse_option(&parser, argc, argv, &i))
			return CLI_ERROR;
	}
	if (argc < 2) {
		snprintf(error, size, "no command: minivmm run --kernel FILE, or minivmm --help");
		return CLI_ERROR;
	}
	if (!config->kernel || !*config->kernel) {
		snprintf(error, size, "no kernel: give the bzImage to boot with --kernel FILE");
		return CLI_ERROR;
	}
	return CLI_RUN;
}
