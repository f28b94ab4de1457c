// SPDX-License-Identifier: GPL-2.0
/*
 * The device under test and the host it is on: what does not need a VM.
 */
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <cpuid.h>
#include <fcntl.h>
#include <sched.h>

#include "lib/vm.h"

const char *device_path(void)
{
	return getenv("MINIKVM_DEVICE") ?: "/dev/minikvm";
}

bool device_is_stock(void)
{
	return !strstr(device_path(), "minikvm");
}

int device_open(void)
{
	int fd = open(device_path(), O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("open %s: %m", device_path());
	return fd;
}

int check_extension(int cap)
{
	int fd = device_open();
	int ret = ioctl(fd, KVM_CHECK_EXTENSION, cap);

	close(fd);
	return ret;
}

bool host_is_intel(void)
{
	u32 eax, ebx, ecx, edx;

	__cpuid(0, eax, ebx, ecx, edx);
	return ebx == signature_INTEL_ebx;
}

bool host_is_tcg(void)
{
	u32 eax, ebx, ecx, edx;

	__cpuid(0x40000000, eax, ebx, ecx, edx);
	return ebx == 0x54474354;	/* "TCGT" */
}

bool host_swap_on(void)
{
	if (!access("/dev/zram0", F_OK))
		return true;
	return !access("/modules", R_OK) &&
	       !system("for n in 1 2 3; do for m in lzo_compress lzo lzo-rle zsmalloc zram; do "
		       "insmod /modules/$m.ko; done; done 2>/dev/null; "
		       "echo 32M >/sys/block/zram0/disksize && mkswap /dev/zram0 >/dev/null && "
		       "swapon /dev/zram0");
}

bool host_is_emulated(void)
{
	return getenv("HOST");
}

/* An emulator of several CPUs goes on to the next one at a PAUSE; who sleeps waits for a tick. */
void host_give_way(void)
{
	cpu_pause();
	sched_yield();
}

int host_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN);
}

void host_go_to(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		die("CPU %d: %m", cpu);
}

#define CGROUP	"/tmp/selftest-cgroup"

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

bool cgroup_enter(void)
{
	mkdir(CGROUP, 0700);
	if (mount("none", CGROUP, "cgroup2", 0, NULL))
		return false;
	write_text(CGROUP "/cgroup.subtree_control", "+memory");
	mkdir(CGROUP "/test", 0700);
	if (cgroup_memory() >= 0 && write_text(CGROUP "/test/cgroup.procs", "0"))
		return true;
	cgroup_leave();
	return false;
}

void cgroup_leave(void)
{
	write_text(CGROUP "/cgroup.procs", "0");
	rmdir(CGROUP "/test");
	umount(CGROUP);
	rmdir(CGROUP);
}

bool cgroup_write(const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), CGROUP "/test/%s", file);
	return write_text(path, text);
}

long cgroup_memory(void)
{
	FILE *f = fopen(CGROUP "/test/memory.current", "r");
	long bytes = -1;

	if (f && fscanf(f, "%ld", &bytes) != 1)
		bytes = -1;
	if (f)
		fclose(f);
	return bytes;
}

bool host_logged(const char *what)
{
	static char log[1 << 18];
	int n = klogctl(3, log, sizeof(log) - 1);	/* SYSLOG_ACTION_READ_ALL */

	log[n > 0 ? n : 0] = 0;
	return strstr(log, what);
}

long meminfo_kb(const char *field)
{
	FILE *f = fopen("/proc/meminfo", "r");
	size_t len = strlen(field);
	char line[256];
	long kb = -1;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, len) && line[len] == ':')
			kb = atol(line + len + 1);
	if (f)
		fclose(f);
	return kb;
}

struct kvm_cpuid2 *supported_cpuid(void)
{
	const int max = 256;
	struct kvm_cpuid2 *cpuid;
	int fd = device_open();

	cpuid = calloc(1, sizeof(*cpuid) + max * sizeof(cpuid->entries[0]));
	cpuid->nent = max;
	do_ioctl(fd, KVM_GET_SUPPORTED_CPUID, cpuid);
	close(fd);
	return cpuid;
}

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, u32 function, u32 index)
{
	struct kvm_cpuid_entry2 *e;
	u32 i;

	for (i = 0; i < cpuid->nent; i++) {
		e = &cpuid->entries[i];
		if (e->function == function &&
		    (e->index == index || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return e;
	}
	return NULL;
}

u64 option(const char *name, u64 otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 0) : otherwise;
}

#define TAINT_SPLAT (1 << 7 | 1 << 9 | 1 << 14)	/* oops, WARN, soft lockup */

long host_splats(void)
{
	FILE *f = fopen("/proc/sys/kernel/tainted", "r");
	long v;

	if (!f || fscanf(f, "%ld", &v) != 1)
		v = -1;
	if (f)
		fclose(f);
	return v < 0 ? v : v & TAINT_SPLAT;
}
