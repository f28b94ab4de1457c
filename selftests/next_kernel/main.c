// SPDX-License-Identifier: GPL-2.0
/*
 * Usage: next_kernel kexec|crash VMLINUX INITRD CMDLINE
 *
 * While a VM runs, with a vCPU in guest mode on each CPU: has another kernel take the machine
 * over, by kexec, or by a crash and the kernel that was loaded for one. Does not come back.
 * What the CPUs are like then, the next kernel finds out: see scripts/lib/next-kernel.
 */
#include <fcntl.h>
#include <linux/reboot.h>
#include <sched.h>
#include <sys/syscall.h>

#include "lib/vm.h"
#include "next_kernel/next_kernel.h"

static volatile u64 counts[GUEST_MAX_CPUS];

/* No exit of its own accord. */
static __guest void guest_count(u64 i)
{
	for (;;)
		counts[i]++;
}

static void *run(void *arg)
{
	struct vcpu *vcpu = arg;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(vcpu->id, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	/* From the moment on that its CPU has left virtualization mode, an entry fails. */
	while (vcpu_run_once(vcpu) == EINTR)
		;
	return NULL;
}

/* A vCPU a CPU; returns when all of them have been in the guest. */
static void run_vm(void)
{
	int i, n = host_cpus() < GUEST_MAX_CPUS ? host_cpus() : GUEST_MAX_CPUS;
	struct vm *vm = vm_create(0);
	pthread_t thread;

	for (i = 0; i < n; i++)
		if (pthread_create(&thread, NULL, run, vcpu_create(vm, i, guest_count, i)))
			die("a thread: %m");
	for (i = 0; i < n; i++)
		while (!guest_var(vm, counts)[i])
			usleep(1000);
	printf("# %d vCPUs are running\n", n);
}

static void crash(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY);

	if (fd < 0 || write(fd, "c", 1) != 1)
		die("sysrq: %m");
}

static void kexec(void)
{
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
}

int main(int argc, char **argv)
{
	bool by_crash = argc > 1 && !strcmp(argv[1], "crash");

	if (argc != 5)
		die("usage: next_kernel kexec|crash VMLINUX INITRD CMDLINE");
	setlinebuf(stdout);
	next_kernel_load(by_crash, argv[2], argv[3], argv[4]);
	run_vm();
	if (by_crash)
		crash();
	else
		kexec();
	die("%s: %m", argv[1]);
}
