// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and unloading the module under test: lib/module.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/module.h"
#include "lib/vm.h"

/* Empty on a host that runs the kernel's own KVM. */
const char *module_path(void)
{
	const char *path = getenv("MINIKVM_MODULE");

	return path && *path ? path : NULL;
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

/* Those that the host's own script loaded it with. */
const char *module_args(void)
{
	return getenv("MINIKVM_MODULE_ARGS") ?: "";
}

int module_load_file(const char *path, const char *args)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		die("%s: %m", path);
	/* MODULE_INIT_COMPRESSED_FILE for .ko.xz */
	ret = syscall(SYS_finit_module, fd, args, strstr(path, ".ko.") ? 4 : 0) ? errno : 0;
	close(fd);
	return ret;
}

int module_load(const char *args)
{
	return module_load_file(module_path(), args);
}

int module_unload(void)
{
	return syscall(SYS_delete_module, module_name(), O_NONBLOCK) ? errno : 0;
}

bool module_loaded(void)
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
bool module_device_appears(void)
{
	struct stat st;
	int i;

	for (i = 0; i < 100 && stat(device_path(), &st); i++)
		usleep(20000);
	return i < 100;
}

/* A reference that was just dropped may take a moment (RCU, a worker). */
int module_unload_soon(void)
{
	int i, err = 0;

	for (i = 0; i < 100; i++) {
		err = module_unload();
		if (err != EWOULDBLOCK && err != EBUSY)
			break;
		usleep(20000);
	}
	return err;
}

void module_reload(const char *args)
{
	if (module_unload_soon())
		die("the module can't be unloaded");
	if (module_load(args) || !module_device_appears())
		die("the module can't be loaded with '%s'", args);
}

int host_msrs_open(int cpu, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/cpu/%d/msr", cpu);
	if (access(path, F_OK) && !access("/modules/msr.ko", R_OK))
		module_load_file("/modules/msr.ko", "");
	return open(path, flags | O_CLOEXEC);
}
