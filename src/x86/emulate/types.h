/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The few types and helpers that the emulator takes from its surroundings: the kernel's own when
 * built into the module, the same names on top of the uapi headers when built for the unit tests.
 * The only file of this folder that may tell the two apart.
 */
#ifndef MINIKVM_X86_EMULATE_TYPES_H
#define MINIKVM_X86_EMULATE_TYPES_H

#include <linux/types.h>

#ifdef __KERNEL__

#include <linux/build_bug.h>
#include <linux/kernel.h>
#include <linux/string.h>

#else

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif

/* After the types: both are uapi headers that exist in both worlds. */
#include <asm/kvm.h>
#include <asm/processor-flags.h>

#endif
