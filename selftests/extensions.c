// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_CHECK_EXTENSION is honest: what every VMM needs is there, what is claimed
 * has its ioctl, what is not claimed has none, and device and VM say the same.
 */
#include "lib/test.h"

static const struct {
	int cap;
	const char *name;
	int at_least;
} basics[] = {
#define CAP(name, n) { KVM_CAP_##name, #name, n }
	CAP(IRQCHIP, 1), CAP(HLT, 1), CAP(USER_MEMORY, 1), CAP(SET_TSS_ADDR, 1),
	CAP(EXT_CPUID, 1), CAP(NR_VCPUS, 1), CAP(NR_MEMSLOTS, 32764), CAP(PIT, 0),
	CAP(NOP_IO_DELAY, 1), CAP(MP_STATE, 1), CAP(SYNC_MMU, 1), CAP(PIT2, 1),
	CAP(DESTROY_MEMORY_REGION_WORKS, 1), CAP(JOIN_MEMORY_REGIONS_WORKS, 1),
	CAP(IRQ_ROUTING, 24), CAP(ADJUST_CLOCK, 1), CAP(VCPU_EVENTS, 1),
	CAP(PIT_STATE2, 1), CAP(DEBUGREGS, 1), CAP(SET_IDENTITY_MAP_ADDR, 1),
	CAP(GET_TSC_KHZ, 1), CAP(TSC_DEADLINE_TIMER, 1), CAP(READONLY_MEM, 1),
	CAP(MAX_VCPUS, 4), CAP(MAX_VCPU_ID, 4), CAP(IMMEDIATE_EXIT, 1), CAP(CLOCKSOURCE, 1),
	CAP(USER_NMI, 1), CAP(IRQ_INJECT_STATUS, 1), CAP(CHECK_EXTENSION_VM, 1),
	CAP(XSAVE, 1), CAP(XCRS, 1), CAP(GET_MSR_FEATURES, 1),
};

TEST(needed)
{
	struct vm *vm = vm_create(VM_BARE);
	int i, n;

	for (i = 0; i < ARRAY_SIZE(basics); i++) {
		n = ioctl(vm->dev, KVM_CHECK_EXTENSION, basics[i].cap);
		EXPECT_GE(n, basics[i].at_least) {
			TH_LOG("KVM_CAP_%s is %d", basics[i].name, n);
		}
		EXPECT_EQ(n, ioctl(vm->fd, KVM_CHECK_EXTENSION, basics[i].cap));
	}
	EXPECT_LE(check_extension(KVM_CAP_NR_VCPUS), check_extension(KVM_CAP_MAX_VCPUS));
	EXPECT_LE(check_extension(KVM_CAP_MAX_VCPUS), check_extension(KVM_CAP_MAX_VCPU_ID));
}

/*
 * A capability and the ioctl that it is for, called with a null pointer or 0:
 * where it is claimed that is EFAULT, EINVAL or even success; "no such ioctl" is
 * ENOTTY of a VM, and EINVAL of a vCPU, which is why only VM ioctls stand here.
 */
static const struct {
	int cap;
	unsigned long request;
	const char *name;
} vm_ioctls[] = {
#define IOCTL(cap, request) { KVM_CAP_##cap, request, #request }
	IOCTL(IRQCHIP, KVM_GET_IRQCHIP), IOCTL(PIT_STATE2, KVM_GET_PIT2),
	IOCTL(IRQ_ROUTING, KVM_SET_GSI_ROUTING), IOCTL(ADJUST_CLOCK, KVM_GET_CLOCK),
	IOCTL(IRQFD, KVM_IRQFD), IOCTL(IOEVENTFD, KVM_IOEVENTFD),
	IOCTL(SIGNAL_MSI, KVM_SIGNAL_MSI), IOCTL(COALESCED_MMIO, KVM_REGISTER_COALESCED_MMIO),
	IOCTL(MANUAL_DIRTY_LOG_PROTECT2, KVM_CLEAR_DIRTY_LOG),
	IOCTL(X86_MSR_FILTER, KVM_X86_SET_MSR_FILTER), IOCTL(PMU_EVENT_FILTER,
	KVM_SET_PMU_EVENT_FILTER), IOCTL(BINARY_STATS_FD, KVM_GET_STATS_FD),
	IOCTL(DIRTY_LOG_RING, KVM_RESET_DIRTY_RINGS), IOCTL(DEVICE_CTRL, KVM_CREATE_DEVICE),
	IOCTL(ENABLE_CAP_VM, KVM_ENABLE_CAP),
};

TEST(claims_have_ioctls)
{
	struct vm *vm = vm_create(VM_BARE | VM_IRQCHIP);
	int i, claimed, err;

	for (i = 0; i < ARRAY_SIZE(vm_ioctls); i++) {
		claimed = check_extension(vm_ioctls[i].cap);
		err = ioctl_errno(vm->fd, vm_ioctls[i].request, 0);
		if (claimed > 0) {
			EXPECT_NE(ENOTTY, err) {
				TH_LOG("%s is claimed and missing", vm_ioctls[i].name);
			}
		} else {
			EXPECT_NE(0, err) {
				TH_LOG("%s is not claimed and works", vm_ioctls[i].name);
			}
		}
	}
}

/* Of what nobody has heard, nothing is claimed. */
TEST(unknown)
{
	struct vm *vm = vm_create(VM_BARE);
	int cap;

	for (cap = 1000; cap < 2000; cap++) {
		ASSERT_EQ(0, ioctl(vm->dev, KVM_CHECK_EXTENSION, cap));
		ASSERT_EQ(0, ioctl(vm->fd, KVM_CHECK_EXTENSION, cap));
	}
	EXPECT_EQ(0, ioctl(vm->dev, KVM_CHECK_EXTENSION, -1));
}

/* As many vCPUs as are recommended can be made, and one is refused past the end. */
TEST(as_many_vcpus_as_claimed)
{
	struct vm *vm = vm_create(VM_BARE | VM_IRQCHIP);
	int n = check_extension(KVM_CAP_NR_VCPUS), i;

	EXPECT_LE(n, check_extension(KVM_CAP_MAX_VCPUS));
	if (n > 64)
		n = 64;
	for (i = 0; i < n; i++) {
		ASSERT_GE(ioctl(vm->fd, KVM_CREATE_VCPU, i), 0);
	}
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_CREATE_VCPU,
				      (void *)(long)check_extension(KVM_CAP_MAX_VCPU_ID)));
}

TEST_HARNESS_MAIN
