/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a run of minivmm may end, and how it talks to its user. Nothing here
 * knows of KVM. The numbers are documented in minivmm.1: scripts use them.
 */
#ifndef MINIVMM_STATUS_H
#define MINIVMM_STATUS_H

#include <stdbool.h>

enum status {
	STATUS_POWEROFF	= 0,	/* the guest powered itself off */
	STATUS_ERROR	= 1,	/* a file, the host or the device would not do it */
	STATUS_USAGE	= 2,	/* the command line makes no sense */
	STATUS_RESET	= 3,	/* the guest asked for a reset */
	STATUS_SHUTDOWN	= 4,	/* triple fault */
	STATUS_KVM	= 5,	/* KVM gave up on the guest: internal error, failed entry */
	STATUS_TIMEOUT	= 6,	/* --timeout ran out */
	STATUS_LEFT	= 7,	/* the user left by Ctrl-a x */
	STATUS_SIGNAL	= 128,	/* plus the signal's number */
};

extern bool verbose;

/* Print "minivmm: ..." and a newline on stderr, in raw mode as well. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, only with --verbose. */
void say_verbose(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same as say(), and returns -1, so that "return fail(...)" is an error path. */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
