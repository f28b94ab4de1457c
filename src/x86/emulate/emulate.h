/* SPDX-License-Identifier: GPL-2.0 */
/* A placeholder, until the emulator lands. */
#ifndef MINIKVM_X86_EMULATE_H
#define MINIKVM_X86_EMULATE_H
struct emul { int unused; };
struct emul_replay { int unused; };
#endif
