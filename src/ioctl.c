// SPDX-License-Identifier: GPL-2.0
/*
 * The one place where an ioctl's argument crosses between user space and the
 * kernel by the size that its number carries. No command is known here.
 */
#include <linux/ioctl.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <minikvm/ioctl.h>

static long call_copied(const struct ioctl_row *row, void *obj, unsigned long raw)
{
	bool in = (_IOC_DIR(row->cmd) & _IOC_WRITE) || (row->flags & IOCTL_IN);
	bool out = (_IOC_DIR(row->cmd) & _IOC_READ) && !(row->flags & IOCTL_IN);
	void __user *user = (void __user *)raw;
	size_t size = _IOC_SIZE(row->cmd);
	u64 small[8];
	void *arg = small;
	long r = -EFAULT;

	if (size > sizeof(small)) {
		arg = kmalloc(size, GFP_KERNEL_ACCOUNT);
		if (!arg)
			return -ENOMEM;
	}
	if (!in)
		memset(arg, 0, size);
	else if (copy_from_user(arg, user, size))
		goto out;
	r = row->fn(obj, arg, raw);
	if (r >= 0 && out && copy_to_user(user, arg, size))
		r = -EFAULT;
out:
	if (arg != small)
		kfree(arg);
	return r;
}

long ioctl_call(const struct ioctl_row *rows, unsigned int nrows, void *obj,
		unsigned int cmd, unsigned long raw)
{
	const struct ioctl_row *row;

	for (row = rows; row < rows + nrows; row++) {
		if (row->cmd != cmd)
			continue;
		if ((row->flags & IOCTL_RAW) || _IOC_DIR(cmd) == _IOC_NONE)
			return row->fn(obj, NULL, raw);
		return call_copied(row, obj, raw);
	}
	return -ENOTTY;
}
