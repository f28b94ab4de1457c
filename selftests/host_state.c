// SPDX-License-Identifier: GPL-2.0
/*
 * What a guest leaves of the host's own MSRs: all of it. A VM exit loads some from the
 * VMCS and clears others (SDM vol. 3, 27.5.1), SVM switches a few by VMLOAD (APM vol. 2,
 * 15.5.2), and the guest has values of its own for most of these. The host's are read by the
 * kernel's msr.ko, on the CPU that the vCPU has run on. And of the host's NMIs: all as well.
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

/* ---- an NMI that ends a guest is the host's ---- */

#define APIC_BASE	0xfee00000
#define APIC_ICR	0x300
#define ICR_NMI_OTHERS	0xc4400		/* to all CPUs but this one */
#define NMIS		10

static volatile bool spins, stop;

static __guest void guest_spins(void)
{
	while (!stop)
		spins = true;
}

/* What CPU 1 has had; of its own there are none on an emulator, which has no counters. */
static long nmis_of_cpu1(void)
{
	long cpu0, cpu1 = -1;
	char line[256];
	FILE *f = fopen("/proc/interrupts", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " NMI: %ld %ld", &cpu0, &cpu1) == 2)
			break;
	if (f)
		fclose(f);
	return cpu1;
}

static volatile u32 *map_apic(void)
{
	int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
	void *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, APIC_BASE);

	if (fd >= 0)
		close(fd);
	return page == MAP_FAILED ? NULL : page;
}

static bool nmi_comes(volatile u32 *apic)
{
	long before = nmis_of_cpu1();
	int i;

	apic[APIC_ICR / 4] = ICR_NMI_OTHERS;
	for (i = 0; i < 1000 && nmis_of_cpu1() == before; i++)
		usleep(1000);
	return nmis_of_cpu1() > before;
}

/*
 * The exit that an NMI causes on VMX is all that becomes of it, unless its handler is called then
 * (SDM vol. 3, 27.1); on SVM it is pending until STGI.
 */
TEST(nmis_come_to_the_host)
{
	volatile u32 *apic = map_apic();
	struct vcpu *vcpu;
	pthread_t thread;
	int i;

	if (!host_is_emulated())
		SKIP(return, "this machine is no emulated host: nobody expects an NMI");
	if (host_cpus() < 2)
		SKIP(return, "one CPU");
	if (!apic)
		SKIP(return, "the host's LAPIC can't be got at");
	vcpu = vcpu_create(vm_create(0), 0, guest_spins, 0);
	host_go_to(1);
	vcpu_run_thread(vcpu, &thread);
	host_go_to(0);
	while (!guest_var(vcpu->vm, spins))
		usleep(1000);
	for (i = 0; i < NMIS; i++)
		ASSERT_TRUE(nmi_comes(apic));
	guest_var(vcpu->vm, stop) = true;
	pthread_join(thread, NULL);
}

TEST_HARNESS_MAIN
