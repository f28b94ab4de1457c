// SPDX-License-Identifier: GPL-2.0
/*
 * Compare and exchange in user memory. Only some architectures have
 * unsafe_try_cmpxchg_user(), so it is not for the common part to call.
 */
#include <linux/uaccess.h>
#include <minikvm/guest_memory.h>

/* Goes to the label "fault" where the page is not there. */
#define CMPXCHG_USER(type)						\
	unsafe_try_cmpxchg_user((type __user *)user, (type *)old, *(const type *)new, fault)

/**
 * arch_cmpxchg_user() - replace @old by @new in user memory, at once
 * @user:	where, aligned to @len
 * @old:	what must be there; on -EAGAIN, what was
 * @new:	what shall be there
 * @len:	1, 2, 4 or 8 bytes
 *
 * Context: may sleep. Return: 0; -EAGAIN if something else was there; -EFAULT.
 */
int arch_cmpxchg_user(void __user *user, void *old, const void *new, unsigned int len)
{
	bool swapped = false;

	if (!user_access_begin(user, len))
		return -EFAULT;
	switch (len) {
	case 1:
		swapped = CMPXCHG_USER(u8);
		break;
	case 2:
		swapped = CMPXCHG_USER(u16);
		break;
	case 4:
		swapped = CMPXCHG_USER(u32);
		break;
	case 8:
		swapped = CMPXCHG_USER(u64);
		break;
	default:
		goto fault;
	}
	user_access_end();
	return swapped ? 0 : -EAGAIN;
fault:
	user_access_end();
	return -EFAULT;
}
