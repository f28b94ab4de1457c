// SPDX-License-Identifier: GPL-2.0
/*
 * docs/abi.md is true and complete: each capability answers what its row says,
 * on the device and on a VM; each ioctl is there on the fds of its row, and on
 * no other; no other number is answered; each name of <linux/kvm.h> has its row.
 *
 * On the kernel's own KVM the table's other column is checked.
 */
#include "lib/test.h"

#define FD_device	1
#define FD_vm		2
#define FD_vcpu		4

enum answer { CAP_no, CAP_yes, CAP_host };

static const struct cap_row {
	const char *name;
	int cap;
	enum answer minikvm, kvm;
} caps[] = {
#define CAP(name, minikvm, kvm)		{ #name, name, minikvm, kvm },
#define IOCTL(name, minikvm, kvm)
#define ROW(name)
#define HEADER(name)
#include "abi_rows.h"
#undef CAP
#undef IOCTL
};

static const struct ioctl_row {
	const char *name;
	unsigned long cmd;
	int minikvm, kvm;
} ioctls[] = {
#define CAP(name, minikvm, kvm)
#define IOCTL(name, minikvm, kvm)	{ #name, name, minikvm, kvm },
#include "abi_rows.h"
#undef IOCTL
#undef ROW
#undef HEADER
};

static const char *const rows[] = {
#define IOCTL(name, minikvm, kvm)
#define ROW(name)			name,
#define HEADER(name)
#include "abi_rows.h"
#undef ROW
#undef HEADER
};

static const char *const header[] = {
#define ROW(name)
#define HEADER(name)			name,
#include "abi_rows.h"
};

static int times(const char *name, const char *const *list, int n)
{
	int i, found = 0;

	for (i = 0; i < n; i++)
		found += !strcmp(name, list[i]);
	return found;
}

TEST(every_name_has_one_row)
{
	int i;

	ASSERT_GT(ARRAY_SIZE(header), 300);
	for (i = 0; i < ARRAY_SIZE(header); i++) {
		EXPECT_EQ(1, times(header[i], rows, ARRAY_SIZE(rows))) {
			TH_LOG("%s", header[i]);
		}
	}
}

TEST(capabilities)
{
	struct vm *vm = vm_create(VM_BARE);
	enum answer want;
	int i, of_device, of_vm;

	for (i = 0; i < ARRAY_SIZE(caps); i++) {
		want = device_is_stock() ? caps[i].kvm : caps[i].minikvm;
		of_device = ioctl(vm->dev, KVM_CHECK_EXTENSION, caps[i].cap);
		of_vm = ioctl(vm->fd, KVM_CHECK_EXTENSION, caps[i].cap);
		EXPECT_EQ(of_device, of_vm) TH_LOG("%s", caps[i].name);
		if (want == CAP_host)
			continue;
		EXPECT_EQ(want, of_device ? CAP_yes : CAP_no) {
			TH_LOG("%s is %d", caps[i].name, of_device);
		}
	}
}

/* ---- ioctls ---- */

#define BAD_POINTER	0xffff888000000000ul

/*
 * Those without a struct do what their argument says; here is one that has them
 * answer something else than "no such ioctl", which a vCPU's and the device's
 * EINVAL says as well.
 */
static const struct {
	unsigned long cmd, arg;
} arguments[] = {
	{ KVM_GET_API_VERSION, 0 }, { KVM_CREATE_VM, 0 }, { KVM_GET_VCPU_MMAP_SIZE, 0 },
	{ KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY }, { KVM_RUN, 0 }, { KVM_NMI, 0 },
	{ KVM_SMI, 0 }, { KVM_GET_TSC_KHZ, 0 }, { KVM_SET_TSC_KHZ, 0 },
	{ KVM_GET_STATS_FD, 0 }, { KVM_RESET_DIRTY_RINGS, 0 },
};

/* EINVAL from a guest that has no kvmclock, too; and what KVM has on some hosts. */
static bool cannot_tell(unsigned long cmd)
{
	return cmd == KVM_KVMCLOCK_CTRL ||
	       (device_is_stock() && (cmd == KVM_MEMORY_ENCRYPT_OP ||
			       cmd == KVM_MEMORY_ENCRYPT_REG_REGION ||
			       cmd == KVM_MEMORY_ENCRYPT_UNREG_REGION));
}

static unsigned long argument(unsigned long cmd)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(arguments); i++)
		if (arguments[i].cmd == cmd)
			return arguments[i].arg;
	return BAD_POINTER;
}

/* The fds that the table gives this number: more than one name may have it. */
static int table_fds(unsigned long cmd)
{
	int i, fds = 0;

	for (i = 0; i < ARRAY_SIZE(ioctls); i++)
		if (ioctls[i].cmd == cmd)
			fds |= device_is_stock() ? ioctls[i].kvm : ioctls[i].minikvm;
	return fds;
}

static bool answered(int fd, int which, unsigned long cmd)
{
	return ioctl_errno(fd, cmd, (void *)argument(cmd)) != (which == FD_vm ? ENOTTY : EINVAL);
}

/* A table of the three fds, of a VM that has all that an ioctl may ask for. */
struct fds {
	int fd[3];
	const char *name[3];
};

static struct fds make_fds(void)
{
	struct vm *vm = vm_create(VM_PIT);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);

	vcpu->run->immediate_exit = 1;
	return (struct fds) {
		.fd = { vm->dev, vm->fd, vcpu->fd },
		.name = { "device", "VM", "vCPU" },
	};
}

TEST(ioctls_by_name)
{
	struct fds fds = make_fds();
	int i, n;

	for (i = 0; i < ARRAY_SIZE(ioctls); i++) {
		for (n = 0; n < 3; n++) {
			if (cannot_tell(ioctls[i].cmd))
				continue;
			EXPECT_EQ(!!(table_fds(ioctls[i].cmd) & 1 << n),
				  answered(fds.fd[n], 1 << n, ioctls[i].cmd)) {
				TH_LOG("%s on the %s: %s", ioctls[i].name, fds.name[n],
				       strerror(ioctl_errno(fds.fd[n], ioctls[i].cmd,
							    (void *)argument(ioctls[i].cmd))));
			}
		}
	}
}

/* Sizes that some ioctl has; those of other architectures are among them. */
static const int sizes[] = {
	0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 80, 104, 112, 120, 128, 256,
	288, 312, 320, 392, 416, 520, 1024, 1032, 2048, 4096,
};

static void sweep(struct __test_metadata *_metadata, struct fds *fds, int which, int nr)
{
	unsigned long cmd;
	int i, dir;

	for (dir = _IOC_NONE; dir <= (_IOC_READ | _IOC_WRITE); dir++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			cmd = (u32)_IOC(dir, KVMIO, nr, sizes[i]);
			if (cannot_tell(cmd) || table_fds(cmd) & 1 << which)
				continue;
			EXPECT_FALSE(answered(fds->fd[which], 1 << which, cmd)) {
				TH_LOG("%#lx on the %s", cmd, fds->name[which]);
			}
		}
	}
}

TEST(nothing_else_is_answered)
{
	struct fds fds = make_fds();
	int n, nr;

	for (n = 0; n < 3; n++)
		for (nr = 0; nr < 256; nr++)
			sweep(_metadata, &fds, n, nr);
}

TEST_HARNESS_MAIN
