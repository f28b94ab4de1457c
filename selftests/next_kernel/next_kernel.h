/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_NEXT_KERNEL_H
#define SELFTESTS_NEXT_KERNEL_H

#include <stdbool.h>

/*
 * Have the running kernel load the next one: for kexec, or into the memory that crashkernel= has
 * set aside, for a crash. Ends the program, with a message, if it can't.
 */
void next_kernel_load(bool crash, const char *vmlinux, const char *initrd, const char *cmdline);

#endif /* SELFTESTS_NEXT_KERNEL_H */
