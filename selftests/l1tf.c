// SPDX-License-Identifier: GPL-2.0
/*
 * The warning that SMT leaves L1TF open: at the creation of a VM, once, if siblings are
 * online then, whatever was when the host booted. The host has to be open to it:
 *
 *	BOCHS_COUNT=1:1:2 BOCHS_MITIGATIONS='auto retbleed=off' \
 *		scripts/check l1tf --host intel --cpus 2
 */
#include <fcntl.h>
#include "lib/module.h"
#include "lib/test.h"

#define CPU		"/sys/devices/system/cpu/"
#define MESSAGE		"L1TF: SMT siblings are online"

static bool file_says(const char *path, const char *what)
{
	char text[4096] = "";
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return strstr(text, what);
}

static void set_cpu1(bool online)
{
	int fd = open(CPU "cpu1/online", O_WRONLY);

	if (fd < 0 || write(fd, online ? "1" : "0", 1) != 1)
		die("CPU 1 does not go %s", online ? "online" : "offline");
	close(fd);
}

/* Lines of the kernel's log since it was cleared. */
static int messages(void)
{
	FILE *log = popen("dmesg", "r");
	char line[1024];
	int n = 0;

	if (!log)
		die("no dmesg");
	while (fgets(line, sizeof(line), log))
		n += !!strstr(line, MESSAGE);
	pclose(log);
	return n;
}

static int new_messages(int *before)
{
	int was = *before;

	vm_free(vm_create(VM_BARE));
	*before = messages();
	return *before - was;
}

TEST(siblings_come_and_go)
{
	int seen;

	NEED_MODULE();
	if (!host_is_intel() || !file_says(CPU "smt/control", "on"))
		SKIP(return, "no Intel CPU with siblings that can go offline");
	if (file_says(CPU "vulnerabilities/l1tf", "Not affected") ||
	    file_says("/proc/cmdline", "mitigations=off"))
		SKIP(return, "nothing to be said here about L1TF");
	ASSERT_EQ(0, module_unload_soon());
	ASSERT_EQ(0, module_load(module_args()));
	ASSERT_TRUE(module_device_appears());
	seen = messages();
	set_cpu1(false);
	EXPECT_EQ(0, new_messages(&seen));
	set_cpu1(true);
	EXPECT_EQ(1, new_messages(&seen));
	EXPECT_EQ(0, new_messages(&seen));
	set_cpu1(false);
	set_cpu1(true);
	EXPECT_EQ(0, new_messages(&seen));
}

TEST_HARNESS_MAIN
