// SPDX-License-Identifier: GPL-2.0
/*
 * VMX as a vendor. Not there yet: every CPU is somebody else's.
 */
#include "x86/vendor.h"

int vmx_probe(struct vendor_ops *ops)
{
	return -ENODEV;
}
