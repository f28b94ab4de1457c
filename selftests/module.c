// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and unloading: refused while a VM, a vCPU or the device is open,
 * complete afterwards, and again and again.
 *
 * MINIKVM_MODULE is the path of the .ko; without it these tests cannot be run
 * and say so. (The host then has the module under test built in, or it is not
 * ours to unload.)
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/test.h"

static const char *module_path(void)
{
	return getenv("MINIKVM_MODULE");
}

/* The kernel's name of it: the file's, without its suffix, - as _. */
static const char *module_name(void)
{
	static char name[64];
	const char *base = strrchr(module_path(), '/');
	char *p;

	snprintf(name, sizeof(name), "%s", base ? base + 1 : module_path());
	name[strcspn(name, ".")] = 0;
	for (p = name; *p; p++)
		if (*p == '-')
			*p = '_';
	return name;
}

static int load(void)
{
	int fd = open(module_path(), O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		die("%s: %m", module_path());
	/* MODULE_INIT_COMPRESSED_FILE for .ko.xz */
	ret = syscall(SYS_finit_module, fd, "", strstr(module_path(), ".ko.") ? 4 : 0) ? errno : 0;
	close(fd);
	return ret;
}

static int unload(void)
{
	return syscall(SYS_delete_module, module_name(), O_NONBLOCK) ? errno : 0;
}

/* "In use": EWOULDBLOCK is delete_module()'s own word for it, EBUSY a module's. */
#define EXPECT_IN_USE() do {							\
	int __err = unload();							\
	EXPECT_TRUE(__err == EBUSY || __err == EWOULDBLOCK) {			\
		TH_LOG("unload: %s", __err ? strerror(__err) : "it went");	\
		if (!__err)							\
			load();							\
	}									\
} while (0)

static bool loaded(void)
{
	char line[256], name[64];
	FILE *f = fopen("/proc/modules", "r");
	bool found = false;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s", name) == 1 && !strcmp(name, module_name()))
			found = true;
	if (f)
		fclose(f);
	return found;
}

/* The node comes by devtmpfs; udev may be slower than we are. */
static bool device_appears(void)
{
	struct stat st;
	int i;

	for (i = 0; i < 100 && stat(device_path(), &st); i++)
		usleep(20000);
	return i < 100;
}

/* A reference that was just dropped may take a moment (RCU, a worker). */
static int unload_soon(void)
{
	int i, err = 0;

	for (i = 0; i < 100; i++) {
		err = unload();
		if (err != EWOULDBLOCK && err != EBUSY)
			break;
		usleep(20000);
	}
	return err;
}

#define NEED_MODULE() do {							\
	if (!module_path())							\
		SKIP(return, "MINIKVM_MODULE does not say which module to unload"); \
	ASSERT_TRUE(loaded());							\
} while (0)

static __guest void guest_nothing(void)
{
}

static void run_a_vm(void)
{
	struct vm *vm = vm_create(VM_PIT);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_nothing, 0);

	vcpu_run_done(vcpu);
	vcpu_free(vcpu);
	vm_free(vm);
}

TEST(refused_while_in_use)
{
	int dev, vm, vcpu;
	void *run;

	NEED_MODULE();
	dev = device_open();
	EXPECT_IN_USE();
	vm = do_ioctl(dev, KVM_CREATE_VM, 0);
	close(dev);
	EXPECT_IN_USE();
	vcpu = do_ioctl(vm, KVM_CREATE_VCPU, 0);
	close(vm);
	EXPECT_IN_USE();
	/* The run page alone keeps the vCPU, and so the module. */
	run = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, vcpu, 0);
	ASSERT_NE(MAP_FAILED, run);
	close(vcpu);
	EXPECT_IN_USE();
	munmap(run, PAGE_SIZE);

	EXPECT_EQ(0, unload_soon());
	EXPECT_FALSE(loaded());
	EXPECT_NE(0, access(device_path(), F_OK));
	EXPECT_EQ(0, load());
	EXPECT_TRUE(device_appears());
	run_a_vm();
}

TEST(again_and_again)
{
	int i;

	NEED_MODULE();
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, unload_soon());
		ASSERT_EQ(0, load());
		ASSERT_TRUE(device_appears());
		run_a_vm();
	}
}

/* Loading twice is refused, and the first stays. */
TEST(twice)
{
	NEED_MODULE();
	EXPECT_EQ(EEXIST, load());
	run_a_vm();
}

TEST_HARNESS_MAIN
