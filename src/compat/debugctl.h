/* SPDX-License-Identifier: GPL-2.0 */
/*
 * get_debugctlmsr() and update_debugctlmsr(), which moved from <asm/processor.h>. In this
 * order: before 6.12 the other header does not stand by itself.
 */
#ifndef MINIKVM_COMPAT_DEBUGCTL_H
#define MINIKVM_COMPAT_DEBUGCTL_H

#include <asm/processor.h>
#include <asm/debugreg.h>

#endif
