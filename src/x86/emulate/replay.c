// SPDX-License-Identifier: GPL-2.0
/* The log of device accesses of one instruction: see replay.h. Nothing is allocated here. */
#include "x86/emulate/replay.h"

void emul_replay_forget(struct emul_replay *r)
{
	r->answered = 0;
	r->next = 0;
	r->waiting = false;
}

void emul_replay_restart(struct emul_replay *r)
{
	r->next = 0;
}

static bool is_same(const struct emul_piece *a, const struct emul_piece *b)
{
	return a->addr == b->addr && a->kind == b->kind && a->len == b->len;
}

/*
 * Serve @piece from the log or append it. Return the answered piece, or NULL if it waits for an
 * answer or there is no room (*@rc says which).
 */
static struct emul_piece *serve(struct emul_replay *r, const struct emul_piece *piece, int *rc)
{
	struct emul_piece *logged;

	*rc = EMUL_UNHANDLED;
	if (r->next == EMUL_REPLAY_MAX)
		return NULL;
	logged = &r->log[r->next];
	if (r->next < r->answered && is_same(logged, piece)) {
		r->next++;
		*rc = EMUL_OK;
		return logged;
	}
	*logged = *piece;
	r->answered = r->next;
	r->waiting = true;
	*rc = EMUL_SUSPEND;
	return NULL;
}

static int serve_mmio(struct emul_replay *r, u64 gpa, u8 *buf, unsigned int len, bool write)
{
	struct emul_piece piece = {
		.addr = gpa,
		.kind = write ? EMUL_PIECE_MMIO_WRITE : EMUL_PIECE_MMIO_READ,
		.len = len,
		.count = 1,
	};
	struct emul_piece *logged;
	int rc;

	if (write)
		memcpy(piece.data, buf, len);
	logged = serve(r, &piece, &rc);
	if (logged && !write)
		memcpy(buf, logged->data, len);
	return rc;
}

int emul_replay_mmio(struct emul_replay *r, u64 gpa, void *buf, unsigned int len, bool write)
{
	unsigned int done, n;
	u8 first = r->next;
	int rc;

	for (done = 0; done < len; done += n) {
		n = len - done < 8 ? len - done : 8;
		rc = serve_mmio(r, gpa + done, (u8 *)buf + done, n, write);
		if (rc) {
			/* The caller repeats the whole access once the piece is answered. */
			r->next = first;
			return rc;
		}
	}
	return EMUL_OK;
}

int emul_replay_pio(struct emul_replay *r, u16 port, unsigned int size, u32 *count, bool write)
{
	struct emul_piece piece = {
		.addr = port,
		.kind = write ? EMUL_PIECE_PIO_OUT : EMUL_PIECE_PIO_IN,
		.len = size,
		.count = *count,
	};
	struct emul_piece *logged;
	int rc;

	logged = serve(r, &piece, &rc);
	if (logged && logged->count < *count)
		*count = logged->count;
	return rc;
}

struct emul_piece *emul_replay_pending(struct emul_replay *r)
{
	return r->waiting ? &r->log[r->answered] : NULL;
}

void emul_replay_answered(struct emul_replay *r)
{
	if (!r->waiting)
		return;
	r->waiting = false;
	r->answered++;
}
