/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ioctls as tables. A row names a command and its handler; what is copied in
 * and out, and how much, is in the command itself (_IOC_DIR, _IOC_SIZE), so
 * that no handler copies by hand. Rows marked IOCTL_RAW get the user's own
 * argument: a number, or a pointer to something with a flexible end.
 */
#ifndef MINIKVM_IOCTL_H
#define MINIKVM_IOCTL_H

#include <linux/types.h>

#define IOCTL_RAW	(1u << 0)
#define IOCTL_IN	(1u << 1)	/* reads its argument, though its number says _IOR */

struct ioctl_row {
	unsigned int cmd;
	unsigned int flags;
	/*
	 * @obj: the vm or vcpu. @arg: the kernel's copy, zeroed where the
	 * command only reads; or, with IOCTL_RAW, NULL. @raw: the argument as
	 * it came. The copy goes back to user space on a result >= 0.
	 */
	long (*fn)(void *obj, void *arg, unsigned long raw);
};

/**
 * ioctl_call() - find @cmd in @rows and run it
 * @rows:	the table
 * @nrows:	its length
 * @obj:	handed to the handler
 * @cmd:	as user space gave it
 * @raw:	likewise
 *
 * Context: may sleep. Return: the handler's result, -EFAULT or -ENOMEM from
 * copying, -ENOTTY if no row has @cmd.
 */
long ioctl_call(const struct ioctl_row *rows, unsigned int nrows, void *obj,
		unsigned int cmd, unsigned long raw);

#endif
