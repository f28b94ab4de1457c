// SPDX-License-Identifier: GPL-2.0
/*
 * Raw mode of the user's terminal. The one saved state here is global because a
 * signal handler has to find it.
 */
#include "term.h"

#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#define CTRL_A	0x01

static struct termios saved;
static volatile sig_atomic_t raw;

bool term_is_raw(void)
{
	return raw;
}

void term_restore(void)
{
	if (!raw)
		return;
	raw = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

static void end(int signal_number)
{
	term_restore();
	/* SA_RESETHAND has put the default action back. */
	raise(signal_number);
}

/* Crashes, and whatever else ends a program that expects no such signal. */
static const int ends[] = {
	SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS,
	SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGXFSZ, SIGPOLL, SIGPWR, SIGSTKFLT, SIGUSR2,
};

static void catch_ends(void)
{
	struct sigaction action = { .sa_handler = end, .sa_flags = SA_RESETHAND | SA_NODEFER };

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		sigaction(ends[i], &action, NULL);
	for (int i = SIGRTMIN; i <= SIGRTMAX; i++)
		sigaction(i, &action, NULL);
}

void term_raw(void)
{
	static bool once;
	struct termios settings;

	if (raw || tcgetattr(STDIN_FILENO, &settings))
		return;
	saved = settings;
	if (!once) {
		once = true;
		atexit(term_restore);
		catch_ends();
	}
	cfmakeraw(&settings);
	raw = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &settings);
}

bool escape_filter(struct escape *escape, uint8_t *bytes, size_t *count)
{
	size_t kept = 0;

	for (size_t i = 0; i < *count; i++) {
		bool escaped = escape->pending;

		escape->pending = !escaped && bytes[i] == CTRL_A;
		if (escape->pending)
			continue;
		if (!escaped)
			bytes[kept++] = bytes[i];
		else if (bytes[i] == 'x')
			return true;
		else if (bytes[i] == 'a')
			bytes[kept++] = CTRL_A;
		/* Ctrl-a and anything else is swallowed. */
	}
	*count = kept;
	return false;
}
