// SPDX-License-Identifier: GPL-2.0
/*
 * 1,000 VMs created, run and destroyed: nothing may be left of them, neither
 * pages nor slab objects. Also VMs whose creation is cut short, and fds that are
 * closed in every order.
 */
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "lib/test.h"

#define VMS		1000

/*
 * The VMs are made by several processes at a time. Destroying one waits for
 * grace periods, which is time and not work, and can be waited for together.
 */
#define PROCESSES	20

/*
 * What is compared, after a warm-up that fills the caches of the allocators and
 * after a pause for RCU and workers:
 *
 * - the objects in use of each slab cache. One object that each VM leaves behind
 *   makes as many as there were VMs; per-CPU slabs, which SLUB counts as in use,
 *   and the rest of the system make a hundred or two. Half an object a VM tells
 *   them apart.
 * - free memory, with what waits on the CPUs' own lists of free pages and may be
 *   tens of MB (it was, with nothing lost); page tables, and vmalloc'ed memory. One page a VM is 4 MB;
 *   noise on an idle host is some hundred KB. So half a page a VM, again.
 */
#define SLACK_OBJECTS(vms)	((vms) / 2)
#define SLACK_KB(vms)		((vms) * 4 / 2)

#define MAX_CACHES	400

struct snapshot {
	int nr_caches;
	struct {
		char name[48];
		long objects;
	} caches[MAX_CACHES];
	long free_kb, page_tables_kb, vmalloc_kb;
};

static void settle(void)
{
	FILE *f;

	usleep(300000);
	sync();
	f = fopen("/proc/sys/vm/drop_caches", "w");
	if (f) {
		fputs("3\n", f);
		fclose(f);
	}
	usleep(300000);
}

/* Free pages that each CPU keeps for itself: MemFree has not got them. */
static long percpu_free_kb(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	long pages = 0, n;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %ld", &n) == 1)
			pages += n;
	if (f)
		fclose(f);
	return pages * (PAGE_SIZE / 1024);
}

/*
 * What a kernel that watches keeps of all objects, in use or not; and the addresses that vmalloc
 * keeps until it flushes for many of them at once, on 6.12 one by one: VmallocUsed has the pages.
 */
static bool is_kept(const char *cache)
{
	return !strncmp(cache, "debug_objects", 13) || !strncmp(cache, "kmemleak", 8) ||
	       !strcmp(cache, "vmap_area");
}

static void take_snapshot(struct snapshot *s)
{
	char line[512];
	FILE *f;

	settle();
	memset(s, 0, sizeof(*s));
	f = fopen("/proc/slabinfo", "r");
	while (f && s->nr_caches < MAX_CACHES && fgets(line, sizeof(line), f))
		if (sscanf(line, "%47s %ld", s->caches[s->nr_caches].name,
			   &s->caches[s->nr_caches].objects) == 2 &&
		    !is_kept(s->caches[s->nr_caches].name))
			s->nr_caches++;
	if (f)
		fclose(f);
	s->free_kb = meminfo_kb("MemFree") + percpu_free_kb();
	s->page_tables_kb = meminfo_kb("PageTables");
	s->vmalloc_kb = meminfo_kb("VmallocUsed");
}

static long objects_of(const struct snapshot *s, const char *name)
{
	int i;

	for (i = 0; i < s->nr_caches; i++)
		if (!strcmp(s->caches[i].name, name))
			return s->caches[i].objects;
	return 0;
}

/* Is there more than compare() lets pass? A slab page of small objects alone can be. */
static bool more(const struct snapshot *a, const struct snapshot *b, int vms)
{
	int i;

	for (i = 0; i < b->nr_caches; i++)
		if (b->caches[i].objects - objects_of(a, b->caches[i].name) >= SLACK_OBJECTS(vms))
			return true;
	return a->free_kb - b->free_kb >= SLACK_KB(vms);
}

static void compare(struct __test_metadata *_metadata, const struct snapshot *a,
		    const struct snapshot *b, int vms)
{
	long grown;
	int i;

	for (i = 0; i < b->nr_caches; i++) {
		grown = b->caches[i].objects - objects_of(a, b->caches[i].name);
		EXPECT_LT(grown, SLACK_OBJECTS(vms)) {
			TH_LOG("slab %s: %ld objects more", b->caches[i].name, grown);
		}
	}
	/* KASAN keeps back what was freed, up to a share of all memory: kmemleak finds leaks there. */
	if (access("/sys/kernel/debug/kmemleak", F_OK)) {
		EXPECT_LT(a->free_kb - b->free_kb, SLACK_KB(vms));
	}
	EXPECT_LT(b->page_tables_kb - a->page_tables_kb, SLACK_KB(vms));
	EXPECT_LT(b->vmalloc_kb - a->vmalloc_kb, SLACK_KB(vms));
}

/* ---- the lives of VMs ---- */

static char *memory;	/* one page of real-mode code, and pages for it to touch */

static const u8 code[] = {
	0xa2, 0x00, 0x30,	/* mov %al, 0x3000 */
	0xa2, 0x00, 0x40,	/* mov %al, 0x4000 */
	0xe6, 0x10,		/* out %al, $0x10 */
};

static void set_memory(int vm)
{
	struct kvm_userspace_memory_region region = {
		.memory_size = 16 * PAGE_SIZE,
		.userspace_addr = (unsigned long)memory,
	};

	do_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
}

/* A VM with most that there is, run as far as its first exit. */
static void live_and_die(int dev, int how)
{
	struct kvm_pit_config pit = { 0 };
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = 0x2000, .rflags = 2, .rsp = 0x1000 };
	size_t run_size = do_ioctl(dev, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_run *run;
	int vm, vcpu;

	vm = do_ioctl(dev, KVM_CREATE_VM, 0);
	if (how % 4 != 1)
		do_ioctl(vm, KVM_CREATE_IRQCHIP, 0);
	if (how % 4 == 2)
		do_ioctl(vm, KVM_CREATE_PIT2, &pit);
	set_memory(vm);
	vcpu = do_ioctl(vm, KVM_CREATE_VCPU, 0);
	run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		die("mmap: %m");
	do_ioctl(vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs.base = sregs.cs.selector = 0;
	do_ioctl(vcpu, KVM_SET_SREGS, &sregs);
	do_ioctl(vcpu, KVM_SET_REGS, &regs);
	do_ioctl(vcpu, KVM_RUN, 0);
	if (run->exit_reason != KVM_EXIT_IO)
		die("exit %u", run->exit_reason);

	/* Every order of going. */
	if (how & 1)
		close(vm);
	munmap(run, run_size);
	close(vcpu);
	if (!(how & 1))
		close(vm);
}

/* fn(dev, n) for n from 0 to count - 1, shared out to PROCESSES children. */
static void in_processes(struct __test_metadata *_metadata, void (*fn)(int dev, int n), int count)
{
	int i, n, dev, status;

	for (i = 0; i < PROCESSES; i++) {
		if (fork())
			continue;
		dev = device_open();
		for (n = i; n < count; n += PROCESSES)
			fn(dev, n);
		_exit(0);
	}
	for (i = 0; i < PROCESSES; i++) {
		wait(&status);
		EXPECT_EQ(0, status);
	}
}

static void churn(struct __test_metadata *_metadata, void (*fn)(int dev, int n), int vms)
{
	static struct snapshot before, after;
	int i;

	memory = map_memory(16 * PAGE_SIZE);
	memcpy(memory + 0x2000, code, sizeof(code));
	in_processes(_metadata, fn, vms / 2);
	/* The kernel's own caches fill once; what leaks, leaks each time. */
	for (i = 0; i < 3; i++) {
		take_snapshot(&before);
		in_processes(_metadata, fn, vms);
		take_snapshot(&after);
		if (!more(&before, &after, vms))
			break;
	}
	compare(_metadata, &before, &after, vms);
}

TEST(thousand_vms)
{
	churn(_metadata, live_and_die, VMS);
}

/* An irqfd of each kind, an ioeventfd and a coalesced zone: they go with their VM. */
static void possess_eventfds(int vm, int n)
{
	struct kvm_irqfd irqfd = { .gsi = 2 * n };
	struct kvm_ioeventfd ioeventfd = { .addr = 0x100 + 2 * n, .len = 2,
					   .flags = KVM_IOEVENTFD_FLAG_PIO };
	struct kvm_coalesced_mmio_zone zone = { .addr = 0xd0000000 + n * 0x100, .size = 0x100 };
	int edge = eventfd(0, 0), level = eventfd(0, 0), resample = eventfd(0, 0);

	irqfd.fd = edge;
	do_ioctl(vm, KVM_IRQFD, &irqfd);
	irqfd.fd = level;
	irqfd.gsi = 2 * n + 1;
	irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
	irqfd.resamplefd = resample;
	do_ioctl(vm, KVM_IRQFD, &irqfd);
	ioeventfd.fd = edge;
	do_ioctl(vm, KVM_IOEVENTFD, &ioeventfd);
	do_ioctl(vm, KVM_REGISTER_COALESCED_MMIO, &zone);
	close(edge);
	close(level);
	close(resample);
}

/* Slots, dirty bitmaps, routing tables, CPUID and MSR lists: all that a VM may own. */
static void possessions(int dev)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[30];
	} routing = { .head.nr = 30 };
	struct kvm_userspace_memory_region region = { 0 };
	struct kvm_cpuid2 *cpuid = supported_cpuid();
	struct kvm_xsave *xsave;
	int vm, vcpu, i;

	vm = do_ioctl(dev, KVM_CREATE_VM, 0);
	do_ioctl(vm, KVM_CREATE_IRQCHIP, 0);
	for (i = 0; i < 30; i++) {
		routing.entries[i].gsi = i;
		routing.entries[i].type = KVM_IRQ_ROUTING_MSI;
	}
	/* Four, since one VM in four comes here: of what leaks, one a VM is seen. */
	for (i = 0; i < 4; i++)
		possess_eventfds(vm, i);
	do_ioctl(vm, KVM_SET_GSI_ROUTING, &routing);
	do_ioctl(vm, KVM_SET_GSI_ROUTING, &routing);
	for (i = 0; i < 10; i++) {
		region.slot = i;
		region.flags = i & 1 ? KVM_MEM_LOG_DIRTY_PAGES : 0;
		region.guest_phys_addr = i * 16 * PAGE_SIZE;
		region.memory_size = 16 * PAGE_SIZE;
		region.userspace_addr = (unsigned long)memory;
		do_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
	}
	for (i = 0; i < 3; i++) {
		vcpu = do_ioctl(vm, KVM_CREATE_VCPU, i);
		do_ioctl(vcpu, KVM_SET_CPUID2, cpuid);
		do_ioctl(vcpu, KVM_SET_CPUID2, cpuid);
		xsave = malloc(sizeof(*xsave));
		ioctl(vcpu, KVM_GET_XSAVE, xsave);
		free(xsave);
		close(vcpu);
	}
	close(vm);
	free(cpuid);
}

/* What fails leaves nothing, either. */
static void failures(int dev)
{
	struct kvm_userspace_memory_region region = { .memory_size = 12345 };
	struct kvm_irq_routing routing = { .nr = 1, .flags = 1 };
	struct kvm_cpuid2 cpuid = { .nent = 100000 };
	struct kvm_msrs msrs = { .nmsrs = 100000 };
	int vm, vcpu;

	ioctl(dev, KVM_CREATE_VM, 12345);
	vm = do_ioctl(dev, KVM_CREATE_VM, 0);
	vcpu = do_ioctl(vm, KVM_CREATE_VCPU, 0);
	ioctl(vm, KVM_CREATE_VCPU, 0);
	ioctl(vm, KVM_CREATE_VCPU, 1 << 20);
	ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
	ioctl(vm, KVM_CREATE_IRQCHIP, 0);
	ioctl(vm, KVM_SET_GSI_ROUTING, &routing);
	ioctl(vcpu, KVM_SET_CPUID2, &cpuid);
	ioctl(vcpu, KVM_GET_MSRS, &msrs);
	close(vm);
	close(vcpu);
}

static void possess_and_fail(int dev, int n)
{
	if (n % 4 == 0)
		possessions(dev);	/* three vCPUs and ten slots each */
	else
		failures(dev);
}

TEST(possessions_and_failures)
{
	churn(_metadata, possess_and_fail, VMS / 2);
}

/* Many at once, destroyed at once by the end of their process. */
TEST(many_at_once)
{
	int dev = device_open(), i, vm;
	static int fds[100][2];

	memory = map_memory(16 * PAGE_SIZE);
	for (i = 0; i < 100; i++) {
		vm = do_ioctl(dev, KVM_CREATE_VM, 0);
		set_memory(vm);
		fds[i][0] = vm;
		fds[i][1] = do_ioctl(vm, KVM_CREATE_VCPU, 0);
	}
	for (i = 0; i < 100; i += 3) {
		close(fds[i][0]);
		close(fds[i][1]);
	}
}

TEST_HARNESS_MAIN
