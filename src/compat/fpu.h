/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's guest-FPU calls, by the arguments that the newest kernels give
 * them.
 */
#ifndef MINIKVM_COMPAT_FPU_H
#define MINIKVM_COMPAT_FPU_H

#include <asm/fpu/api.h>
#include <asm/fpu/types.h>

/*
 * Before 6.6 (and late in the stable series of 6.1) there was no @features: it
 * copied what the image had. Which of the two it is, its own type says.
 */
typedef void compat_fpu_out4(struct fpu_guest *, void *, unsigned int, u32);
typedef void compat_fpu_out5(struct fpu_guest *, void *, unsigned int, u64, u32);

static __always_inline void compat_fpu_call4(compat_fpu_out4 *fn, struct fpu_guest *fpu,
					     void *buf, unsigned int size, u64 features,
					     u32 pkru)
{
	fn(fpu, buf, size, pkru);
}

static __always_inline void compat_fpu_call5(compat_fpu_out5 *fn, struct fpu_guest *fpu,
					     void *buf, unsigned int size, u64 features,
					     u32 pkru)
{
	fn(fpu, buf, size, features, pkru);
}

#define compat_fpu_copy_out(fpu, buf, size, features, pkru)		\
	_Generic(&fpu_copy_guest_fpstate_to_uabi,			\
		 compat_fpu_out4 *: compat_fpu_call4,			\
		 compat_fpu_out5 *: compat_fpu_call5)			\
		(&fpu_copy_guest_fpstate_to_uabi, fpu, buf, size, features, pkru)

#endif
