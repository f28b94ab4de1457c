// SPDX-License-Identifier: GPL-2.0
/*
 * What a guest leaves of the host's own MSRs: all of it. A VM exit loads some from the
 * VMCS and clears others (SDM vol. 3, 27.5.1), SVM switches a few by VMLOAD (APM vol. 2,
 * 15.5.2), and the guest has values of its own for most of these.
 *
 * The host's are read by the kernel's msr.ko, on the CPU that the vCPU has run on.
 */
#include <fcntl.h>

#include "lib/module.h"
#include "lib/test.h"

#define MSR_DEBUGCTL	0x1d9
#define DEBUGCTL_BTF	2

static const struct { u32 index; const char *name; } msrs[] = {
	{ 0x174, "SYSENTER_CS" }, { 0x175, "SYSENTER_ESP" }, { 0x176, "SYSENTER_EIP" },
	{ MSR_DEBUGCTL, "DEBUGCTL" }, { 0x277, "PAT" }, { 0xda0, "XSS" },
	{ 0xc0000080, "EFER" }, { 0xc0000081, "STAR" }, { 0xc0000082, "LSTAR" },
	{ 0xc0000083, "CSTAR" }, { 0xc0000084, "FMASK" }, { 0xc0000103, "TSC_AUX" },
};

static int msrs_of_this_cpu(void)
{
	host_go_to(0);
	return host_msrs_open(0, O_RDONLY);
}

/* One that this CPU has not is 0 at each time. */
static u64 host_msr(int fd, u32 index)
{
	u64 value = 0;

	if (pread(fd, &value, sizeof(value), index) != sizeof(value))
		return 0;
	return value;
}

static __guest void guest_msrs(void)
{
	u64 v;

	try_wrmsr(0x174, 0x1234);
	try_wrmsr(0x175, 0x123456789000);
	try_wrmsr(0x176, 0x123456789000);
	try_wrmsr(MSR_DEBUGCTL, DEBUGCTL_BTF);
	try_wrmsr(0x277, 0x0606060606060606);
	try_wrmsr(0xc0000081, 0x0010002000300040);
	try_wrmsr(0xc0000082, 0x123456789000);
	try_wrmsr(0xc0000083, 0x123456789000);
	try_wrmsr(0xc0000084, 0x40000);
	try_wrmsr(0xc0000103, 0x4321);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(NO_TRAP, try_rdmsr(0xc0000082, &v));
	GUEST_ASSERT_EQ(0x123456789000, v);
}

static void run_guest(void)
{
	struct vcpu *vcpu = vcpu_create(vm_create(0), 0, guest_msrs, 0);

	vcpu_run_sync(vcpu, 1);
	vcpu_run_done(vcpu);
}

TEST(msrs_stay)
{
	u64 before[ARRAY_SIZE(msrs)], after;
	int fd = msrs_of_this_cpu(), i;

	if (fd < 0)
		SKIP(return, "there is no /dev/cpu/0/msr");
	for (i = 0; i < ARRAY_SIZE(msrs); i++)
		before[i] = host_msr(fd, msrs[i].index);
	run_guest();
	for (i = 0; i < ARRAY_SIZE(msrs); i++) {
		after = host_msr(fd, msrs[i].index);
		EXPECT_EQ(before[i], after) {
			TH_LOG("%s", msrs[i].name);
		}
	}
}

TEST_HARNESS_MAIN
