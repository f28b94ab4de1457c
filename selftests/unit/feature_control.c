// SPDX-License-Identifier: GPL-2.0
/*
 * IA32_FEATURE_CONTROL (src/x86/vmx/feature_control.h) over all of its inputs: what a CPU in or
 * outside SMX operation does with VMXON (SDM vol. 3, 23.7), against what the module decides.
 */
#include "unit.h"

typedef uint64_t u64;
#define BIT(n)	(1ull << (n))

#include "x86/vmx/feature_control.h"

/* Of no concern: SGX, local machine checks, SENTER. */
static const u64 others[] = { 0, 1u << 18, 1u << 20, 0xff00, ~7ull };

/* VMXON does not raise #GP. */
static bool cpu_allows(u64 value, bool in_smx)
{
	return (value & 1) && (value & (in_smx ? 2 : 4));
}

/* As init_ia32_feat_ctl() of the kernel leaves the flag, if the MSR is locked. */
static bool kernel_flag(u64 value, bool in_smx)
{
	return cpu_allows(value, in_smx);
}

/* WRMSR raises no #GP: a locked MSR takes none, and one bit wants SMX. */
static bool can_write(u64 old, u64 value, bool has_smx)
{
	return value == old || (!(old & 1) && (has_smx || !(value & 2)));
}

static bool locked_right(u64 value, bool in_smx, bool has_smx)
{
	return feature_control_unlocked(value, has_smx) == value &&
	       feature_control_allows(value, kernel_flag(value, in_smx)) == cpu_allows(value, in_smx);
}

static bool unlocked_right(u64 value, bool in_smx, bool has_smx)
{
	u64 after = feature_control_unlocked(value, has_smx);

	return can_write(value, after, has_smx) && (after & value) == value &&
	       (after & ~value & ~7ull) == 0 && feature_control_allows(value, false) &&
	       cpu_allows(after, in_smx);
}

static void one(u64 bits, bool in_smx, bool has_smx)
{
	bool ok = true;
	char name[96];
	unsigned int i;

	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		ok &= bits & 1 ? locked_right(bits | others[i], in_smx, has_smx) :
				 unlocked_right(bits | others[i], in_smx, has_smx);
	snprintf(name, sizeof(name), "feature control: %s, VMX in SMX %u, outside %u; the CPU %s",
		 bits & 1 ? "locked" : "unlocked", !!(bits & 2), !!(bits & 4),
		 in_smx ? "is in SMX operation" : has_smx ? "has SMX" : "has no SMX");
	unit_result(ok, name);
}

int main(int argc, char **argv)
{
	unsigned int bits;

	unit_options(argc, argv, 1);
	for (bits = 0; bits < 8; bits++) {
		/* Firmware can't have set what the CPU has not got. */
		if (!(bits & 2))
			one(bits, false, false);
		one(bits, false, true);
		one(bits, true, true);
	}
	/* What the user has cleared (clearcpuid=) does not change what is possible. */
	unit_result(feature_control_allows(7, false) && !feature_control_allows(5, false) &&
		    !feature_control_allows(3, false) && !feature_control_allows(1, true),
		    "feature control: what the kernel's flag can't give, and can't take");
	return unit_done();
}
