/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The terminal: raw mode, and back to what it was on every way out, a crash of
 * minivmm included (SIGKILL and SIGSTOP alone cannot be seen).
 */
#ifndef MINIVMM_TERM_H
#define MINIVMM_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* If stdin is a terminal: make it raw. Restored at exit and by term_restore(). */
void term_raw(void);
/* Safe at any time, from any thread and from a signal handler. */
void term_restore(void);
bool term_is_raw(void);

/* What the user typed, with Ctrl-a as the way to talk to minivmm. */
struct escape {
	bool pending;		/* the last byte was Ctrl-a */
};

/**
 * escape_filter - take Ctrl-a sequences out of typed bytes
 * @bytes: in: what was typed; out: what is for the guest
 * @count: in and out
 *
 * Return: true if the user wants to leave (Ctrl-a x).
 */
bool escape_filter(struct escape *escape, uint8_t *bytes, size_t *count);

#endif
