/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The log that lets an instruction be run again from the start after user space answered one of
 * its device accesses. Accesses are handed out in pieces of at most 8 bytes, as KVM_EXIT_MMIO has
 * them; a piece that has been answered is served from the log in every later run.
 *
 * Use, from the ops of struct emul_ops, for an access that hit no memory:
 *
 *	while ((rc = emul_replay_mmio(r, gpa, buf, len, write)) == EMUL_SUSPEND) {
 *		if (!in_kernel_device(emul_replay_pending(r)))
 *			return EMUL_SUSPEND;	(user space answers into pending->data)
 *		emul_replay_answered(r);
 *	}
 *
 * emul_replay_restart() goes before every run; emul_replay_forget() after EMUL_OK, EMUL_FAULT and
 * EMUL_UNHANDLED, EMUL_AGAIN with emul.repeat, and whenever the vCPU's registers are set from
 * outside.
 */
#ifndef MINIKVM_X86_EMULATE_REPLAY_H
#define MINIKVM_X86_EMULATE_REPLAY_H

#include "x86/emulate/emulate.h"

/* PUSHA over a page boundary: 9 pieces. */
#define EMUL_REPLAY_MAX	9

enum emul_piece_kind {
	EMUL_PIECE_MMIO_READ,
	EMUL_PIECE_MMIO_WRITE,
	EMUL_PIECE_PIO_IN,
	EMUL_PIECE_PIO_OUT,
};

/**
 * struct emul_piece - one access to a device
 * @addr: guest-physical address or port
 * @kind: enum emul_piece_kind
 * @len: bytes, 1 to 8; for ports 1, 2 or 4
 * @count: repetitions; more than 1 for ports only
 * @data: MMIO only, port data is kept by the caller
 */
struct emul_piece {
	u64 addr;
	u8 kind;
	u8 len;
	u16 count;
	u8 data[8];
};

/**
 * struct emul_replay - the accesses of one instruction
 * @log: pieces in order
 * @answered: number of pieces in @log that have an answer
 * @next: piece that the run has come to
 * @waiting: log[answered] waits for its answer
 */
struct emul_replay {
	struct emul_piece log[EMUL_REPLAY_MAX];
	u8 answered;
	u8 next;
	bool waiting;
};

/**
 * emul_replay_forget() - a new instruction, or iteration, begins
 * @r: log
 */
void emul_replay_forget(struct emul_replay *r);

/**
 * emul_replay_restart() - the instruction is run from the start
 * @r: log
 */
void emul_replay_restart(struct emul_replay *r);

/**
 * emul_replay_mmio() - access guest-physical memory that is a device's
 * @r: log
 * @gpa: first address; the access must not leave its page
 * @buf: data, read or written
 * @len: bytes, at most EMUL_DATA_MAX
 * @write: direction
 *
 * If the access is not the one that the log has at this place (the guest was changed between two
 * runs), the log is cut there, and the access counts as new.
 *
 * Return: EMUL_OK: every piece was answered; EMUL_SUSPEND: emul_replay_pending() was not;
 * EMUL_UNHANDLED: too many pieces.
 */
int emul_replay_mmio(struct emul_replay *r, u64 gpa, void *buf, unsigned int len, bool write);

/**
 * emul_replay_pio() - access a port
 * @r: log
 * @port: port
 * @size: 1, 2 or 4 bytes
 * @count: repetitions, in: wanted; out, with EMUL_OK: answered, if that is fewer
 * @write: direction
 *
 * Return: as emul_replay_mmio(). The data of the answer is where the caller put it.
 */
int emul_replay_pio(struct emul_replay *r, u16 port, unsigned int size, u32 *count, bool write);

/**
 * emul_replay_pending() - the piece that waits for its answer
 * @r: log
 *
 * Return: the piece, or NULL.
 */
struct emul_piece *emul_replay_pending(struct emul_replay *r);

/**
 * emul_replay_answered() - the pending piece has been answered
 * @r: log; for a read, the data has been put into the piece
 */
void emul_replay_answered(struct emul_replay *r);

#endif
