// SPDX-License-Identifier: GPL-2.0
/*
 * Model-specific registers: the index list and its round trip, host and guest
 * seeing the same value, #GP for what is not there and for bad values, and
 * those that exist on one vendor only.
 */
#include "lib/test.h"

#define MSR_TSC			0x10
#define MSR_APIC_BASE		0x1b
#define MSR_TSC_ADJUST		0x3b
#define MSR_MTRRCAP		0xfe
#define MSR_ARCH_CAPABILITIES	0x10a
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_MCG_CAP		0x179
#define MSR_MISC_ENABLE		0x1a0
#define MSR_MTRR_PHYSBASE0	0x200
#define MSR_MTRR_PHYSMASK0	0x201
#define MSR_MTRR_FIX64K		0x250
#define MSR_PAT			0x277
#define MSR_MTRR_DEFTYPE	0x2ff
#define MSR_RAPL_POWER_UNIT	0x606
#define MSR_P5_MC_ADDR		0
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_SFMASK		0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103
#define MSR_ARCH_CAPABILITIES	0x10a
#define MSR_NOWHERE		0x40ffff	/* not architectural, nor any hypervisor's */

static struct kvm_msr_list *get_list(int fd, unsigned long request)
{
	struct kvm_msr_list probe = { 0 }, *list;

	if (ioctl(fd, request, &probe) == 0 || errno != E2BIG)
		return NULL;
	list = calloc(1, sizeof(*list) + probe.nmsrs * sizeof(u32));
	list->nmsrs = probe.nmsrs;
	if (ioctl(fd, request, list))
		return NULL;
	return list;
}

static bool listed(struct kvm_msr_list *list, u32 msr)
{
	u32 i;

	for (i = 0; i < list->nmsrs; i++)
		if (list->indices[i] == msr)
			return true;
	return false;
}

/* ---- the list ---- */

TEST(index_list)
{
	static const u32 basic[] = {
		MSR_TSC, MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_PAT, MSR_STAR,
		MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_KERNEL_GS_BASE, 0x4b564d00, 0x4b564d01,
	};
	struct kvm_msr_list *list, small = { 1 };
	int fd = device_open(), i, j;

	list = get_list(fd, KVM_GET_MSR_INDEX_LIST);
	ASSERT_NE(NULL, list);
	for (i = 0; i < ARRAY_SIZE(basic); i++) {
		EXPECT_TRUE(listed(list, basic[i])) TH_LOG("%#x is not listed", basic[i]);
	}
	for (i = 0; i < list->nmsrs; i++)
		for (j = i + 1; j < list->nmsrs; j++) {
			EXPECT_NE(list->indices[i], list->indices[j]);
		}

	EXPECT_EQ(E2BIG, ioctl_errno(fd, KVM_GET_MSR_INDEX_LIST, &small));
	EXPECT_EQ(list->nmsrs, small.nmsrs);
	EXPECT_EQ(EFAULT, ioctl_errno(fd, KVM_GET_MSR_INDEX_LIST, NULL));
}

/* All that is listed can be read at creation, and written back as it was read. */
TEST(list_round_trip)
{
	struct kvm_msr_list *list = get_list(device_open(), KVM_GET_MSR_INDEX_LIST);
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } m;
	u32 i;

	ASSERT_NE(NULL, list);
	for (i = 0; i < list->nmsrs; i++) {
		memset(&m, 0, sizeof(m));
		m.head.nmsrs = 1;
		m.entry.index = list->indices[i];
		EXPECT_EQ(1, ioctl(vcpu->fd, KVM_GET_MSRS, &m))
			TH_LOG("cannot read %#x", list->indices[i]);
		EXPECT_EQ(1, ioctl(vcpu->fd, KVM_SET_MSRS, &m))
			TH_LOG("cannot write %#llx to %#x", m.entry.data, list->indices[i]);
	}
	free(list);
}

TEST(feature_list)
{
	struct kvm_msr_list *list;
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } m;
	int fd = device_open();
	u32 i;

	if (check_extension(KVM_CAP_GET_MSR_FEATURES) <= 0)
		SKIP(return, "no KVM_CAP_GET_MSR_FEATURES");
	list = get_list(fd, KVM_GET_MSR_FEATURE_INDEX_LIST);
	ASSERT_NE(NULL, list);
	for (i = 0; i < list->nmsrs; i++) {
		memset(&m, 0, sizeof(m));
		m.head.nmsrs = 1;
		m.entry.index = list->indices[i];
		EXPECT_EQ(1, ioctl(fd, KVM_GET_MSRS, &m));
	}
	m.entry.index = MSR_NOWHERE;
	EXPECT_NE(1, ioctl(fd, KVM_GET_MSRS, &m));
}

/* What the host says of its own CPU is promised to guests, though no MSR says so on old ones. */
TEST(immunities)
{
	static const struct {
		const char *file;
		int bit;
	} promises[] = {
		{ "meltdown", 0 }, { "mds", 5 }, { "gather_data_sampling", 26 },
		{ "reg_file_data_sampling", 27 }, { "indirect_target_selection", 62 },
	};
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } m = {
		{ .nmsrs = 1 }, { .index = MSR_ARCH_CAPABILITIES },
	};
	char path[100], says[100];
	FILE *f;

	if (ioctl(device_open(), KVM_GET_MSRS, &m) != 1)
		SKIP(return, "no IA32_ARCH_CAPABILITIES");
	for (int i = 0; i < ARRAY_SIZE(promises); i++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/vulnerabilities/%s",
			 promises[i].file);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fgets(says, sizeof(says), f) && !strcmp(says, "Not affected\n")) {
			EXPECT_TRUE(m.entry.data & 1ull << promises[i].bit) TH_LOG("%s", path);
		}
		fclose(f);
	}
}

/* Both ioctls stop at the first that fails, and return how many went well. */
TEST(stop_at_the_first_bad_one)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e[3]; } m = {
		.head.nmsrs = 3,
		.e = { { .index = MSR_STAR, .data = 0x11 }, { .index = MSR_NOWHERE, .data = 1 },
		       { .index = MSR_LSTAR, .data = 0x22 } },
	};
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);

	EXPECT_EQ(1, ioctl(vcpu->fd, KVM_SET_MSRS, &m));
	EXPECT_EQ(0x11, vcpu_get_msr(vcpu, MSR_STAR));
	EXPECT_EQ(0, vcpu_get_msr(vcpu, MSR_LSTAR));
	m.e[0].data = 0;
	EXPECT_EQ(1, ioctl(vcpu->fd, KVM_GET_MSRS, &m));
	EXPECT_EQ(0x11, m.e[0].data);
	m.head.nmsrs = 0;
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_GET_MSRS, &m));
	m.head.nmsrs = 100000;
	EXPECT_EQ(E2BIG, ioctl_errno(vcpu->fd, KVM_GET_MSRS, &m));
	EXPECT_EQ(E2BIG, ioctl_errno(vcpu->fd, KVM_SET_MSRS, &m));
	EXPECT_EQ(EFAULT, ioctl_errno(vcpu->fd, KVM_SET_MSRS, NULL));
}

/* ---- host and guest see one register ---- */

static const struct {
	u32 msr;
	u64 a, b;
} shared[] = {
	{ MSR_STAR, 0x0023001000000000, 0x1122334455667788 },
	{ MSR_LSTAR, 0x401000, 0xffffffff81000000 },
	{ MSR_CSTAR, 0x402000, 0xffff800000000000 },
	{ MSR_SFMASK, 0x200, 0x47700 },
	{ MSR_FS_BASE, 0x403000, 0x00007ffffffff000 },
	{ MSR_GS_BASE, 0x404000, 0xffff800012345678 },
	{ MSR_KERNEL_GS_BASE, 0x405000, 0xffff888000000000 },
	{ MSR_SYSENTER_CS, 8, 0x10 },
	{ MSR_SYSENTER_ESP, 0x406000, 0x407000 },
	{ MSR_SYSENTER_EIP, 0x408000, 0x409000 },
	{ MSR_PAT, 0x0007040600070406, 0x0606060606060606 },
	{ MSR_MTRR_DEFTYPE, 0xc06, 0xc00 },
	{ MSR_MTRR_PHYSBASE0, 0x80000006, 0xc0000000 },
	{ MSR_MTRR_PHYSMASK0, 0xf80000800, 0xfc0000800 },
	{ MSR_MTRR_FIX64K, 0x0606060606060606, 0 },
};

static __guest void guest_shared(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(shared); i++) {
		GUEST_ASSERT_EQ(shared[i].a, rdmsr(shared[i].msr));
		wrmsr(shared[i].msr, shared[i].b);
		GUEST_ASSERT_EQ(shared[i].b, rdmsr(shared[i].msr));
	}
}

TEST(host_and_guest_agree)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_shared, 0);
	int i;

	for (i = 0; i < ARRAY_SIZE(shared); i++) {
		ASSERT_EQ(1, vcpu_set_msr(vcpu, shared[i].msr, shared[i].a))
			TH_LOG("%#x", shared[i].msr);
	}
	vcpu_run_done(vcpu);
	for (i = 0; i < ARRAY_SIZE(shared); i++) {
		EXPECT_EQ(shared[i].b, vcpu_get_msr(vcpu, shared[i].msr))
			TH_LOG("%#x", shared[i].msr);
	}
}

/* SYSCALL, SYSENTER's MSRs and SWAPGS work on the guest's values, not the host's. */
static u64 syscall_rcx;
asm(".pushsection .text\n"
    "syscall_entry:\n"
    "	mov	%rcx, syscall_rcx\n"
    "	mov	$1, %eax\n"
    "	jmp	*%rcx\n"
    ".popsection");
extern const char syscall_entry[];

static __guest void guest_syscall(void)
{
	u64 rax = 0;

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1);
	wrmsr(MSR_STAR, (u64)SEL_CODE64 << 32);
	wrmsr(MSR_LSTAR, (u64)syscall_entry);
	wrmsr(MSR_SFMASK, 0);
	asm volatile("syscall" : "+a"(rax) : : "rcx", "r11", "memory");
	GUEST_ASSERT_EQ(1, rax);
	wrmsr(MSR_GS_BASE, 0x1000);
	wrmsr(MSR_KERNEL_GS_BASE, 0x2000);
	asm volatile("swapgs");
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(0x2000, rdmsr(MSR_GS_BASE));
	GUEST_ASSERT_EQ(0x1000, rdmsr(MSR_KERNEL_GS_BASE));
}

TEST(syscall_swapgs)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_syscall, 0);

	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(0x2000, vcpu_sregs(vcpu).gs.base);
	EXPECT_EQ(0x1000, vcpu_get_msr(vcpu, MSR_KERNEL_GS_BASE));
	vcpu_run_done(vcpu);
	EXPECT_NE(0, guest_var(vm, syscall_rcx));
}

/* ---- faults ---- */

static __guest void guest_faults(void)
{
	u64 v;

	GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(MSR_NOWHERE, &v));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_NOWHERE, 0));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(0xc0001fff, &v));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(0xdeadbeef, 1));

	/* Read-only ones, and values that the manuals forbid. */
	GUEST_ASSERT_EQ(NO_TRAP, try_rdmsr(MSR_MTRRCAP, &v));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_MTRRCAP, v ^ 1));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_PAT, 2));		/* no such type */
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_PAT, 1ull << 63));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_MTRR_DEFTYPE, 2));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1 << 1));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(1ull << 8)));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 1));

	/* x2APIC registers while the APIC is not in that mode. */
	GUEST_ASSERT_EQ(TRAP(13, 0), try_rdmsr(0x802, &v));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(0x80b, 0));
	/* Straight into x2APIC from disabled is not a way. */
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(1ull << 11));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 3 << 10));

	/* After all that, the registers are as they were. */
	GUEST_ASSERT_EQ(0x0007040600070406, rdmsr(MSR_PAT));
	GUEST_ASSERT_EQ(0xd00, rdmsr(MSR_EFER));
}

TEST(faults)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_faults, 0);

	vcpu_run_done(vcpu);
}

/* The guest may not fault for it, but user space may not set it, either. */
TEST(bad_values_from_user_space)
{
	static const struct { u32 msr; u64 value; } bad[] = {
		{ MSR_LSTAR, 0x8000000000000000 }, { MSR_CSTAR, 0x0100000000000000 },
		{ MSR_FS_BASE, 0x8000000000000000 }, { MSR_GS_BASE, 0x0100000000000000 },
		{ MSR_KERNEL_GS_BASE, 0x8000000000000000 },
		{ MSR_PAT, 2 }, { MSR_MTRR_DEFTYPE, 2 }, { MSR_EFER, 1 << 1 },
		{ MSR_APIC_BASE, 1ull << 10 | APIC_PHYS }, { MSR_NOWHERE, 1 },
		{ MSR_RAPL_POWER_UNIT, 1 },		/* reads as zero, and is */
		{ MSR_P5_MC_ADDR, 1 }, { MSR_P5_MC_ADDR, 0 },	/* likewise, and can't be written */
	};
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(0, vcpu_set_msr(vcpu, bad[i].msr, bad[i].value))
			TH_LOG("%#x = %#lx", bad[i].msr, bad[i].value);
	}
}

/* Sweep: whatever the number, the guest gets a value or #GP, and stays alive. */
static __guest void guest_sweep(u64 first)
{
	u32 msr;
	u64 v, trap, faults = 0;

	for (msr = first; msr < first + 0x1000; msr++) {
		trap = try_rdmsr(msr, &v);
		GUEST_CHECK(trap == NO_TRAP || trap == TRAP(13, 0), "value or #GP(0)", msr, trap);
		faults += trap != NO_TRAP;
	}
	GUEST_VALUE(faults);
}

/* As wide as the CPU can have them, in whatever mode this one is. */
TEST(linear_addresses)
{
	static const u32 msrs[] = {
		MSR_LSTAR, MSR_CSTAR, MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	};
	bool la57 = cpuid_find(supported_cpuid(), 7, 0)->ecx & 1 << 16;
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	u64 half = 1ul << (la57 ? 56 : 47);
	int i;

	if (la57)
		SKIP_ON_STOCK("wants CR4.LA57 to come first");
	for (i = 0; i < ARRAY_SIZE(msrs); i++) {
		EXPECT_EQ(1, vcpu_set_msr(vcpu, msrs[i], half - 1));
		EXPECT_EQ(half - 1, vcpu_get_msr(vcpu, msrs[i]));
		EXPECT_EQ(1, vcpu_set_msr(vcpu, msrs[i], -half));
		EXPECT_EQ(0, vcpu_set_msr(vcpu, msrs[i], half));
		EXPECT_EQ(0, vcpu_set_msr(vcpu, msrs[i], -half - 1));
		EXPECT_EQ(-half, vcpu_get_msr(vcpu, msrs[i]));
	}
}

TEST(sweep)
{
	static const u32 ranges[] = { 0, 0x1000, 0x40000000, 0x4b564000, 0xc0000000, 0xc0010000 };
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		vcpu_start64(vcpu, guest_sweep, ranges[i]);
		EXPECT_GT(vcpu_run_value(vcpu), 0xd00);
	}
}

/* ---- SYSENTER ---- */

#define WIDE_ESP	0x23456789abcdull
#define WIDE_EIP	0x3456789abcdeull

static void set_sysenter(struct __test_metadata *_metadata, struct vcpu *vcpu)
{
	ASSERT_EQ(1, vcpu_set_msr(vcpu, MSR_SYSENTER_ESP, WIDE_ESP));
	ASSERT_EQ(1, vcpu_set_msr(vcpu, MSR_SYSENTER_EIP, WIDE_EIP));
}

static __guest void guest_sysenter(void)
{
	GUEST_ASSERT_EQ(WIDE_ESP, rdmsr(MSR_SYSENTER_ESP));
	GUEST_ASSERT_EQ(WIDE_EIP, rdmsr(MSR_SYSENTER_EIP));
	wrmsr(MSR_SYSENTER_ESP, WIDE_EIP);
	wrmsr(MSR_SYSENTER_EIP, WIDE_ESP);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(WIDE_EIP, rdmsr(MSR_SYSENTER_ESP));
	GUEST_ASSERT_EQ(WIDE_ESP, rdmsr(MSR_SYSENTER_EIP));
}

/*
 * The two addresses have 64 bits in a guest of Intel's, whatever the host's CPU makes of them:
 * those that user space set before it said whose the CPU is, and those that the guest writes.
 */
TEST(sysenter_of_intels)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0, 0);
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_sysenter, 0);

	set_sysenter(_metadata, vcpu);
	memcpy(&e->ebx, "Genu", 4);
	memcpy(&e->edx, "ineI", 4);
	memcpy(&e->ecx, "ntel", 4);
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	/* On SVM, KVM keeps 32 bits of what comes before that. */
	if (device_is_stock())
		set_sysenter(_metadata, vcpu);
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(WIDE_EIP, vcpu_get_msr(vcpu, MSR_SYSENTER_ESP));
	EXPECT_EQ(WIDE_ESP, vcpu_get_msr(vcpu, MSR_SYSENTER_EIP));
	vcpu_run_done(vcpu);
}

/* ---- TSC ---- */

static __guest void guest_tsc(void)
{
	u64 a = rdtsc(), b = rdmsr(MSR_TSC), c = rdtsc();

	GUEST_ASSERT(a <= b && b <= c);
	GUEST_VALUE(a);
	GUEST_VALUE(rdtsc());
	wrmsr(MSR_TSC, 1ull << 50);
	a = rdtsc();
	GUEST_ASSERT(a >= 1ull << 50 && a < (1ull << 50) + (1ull << 40));
	GUEST_SYNC(1);
	a = rdtsc();
	wrmsr(MSR_TSC_ADJUST, rdmsr(MSR_TSC_ADJUST) + (1ull << 51));
	b = rdtsc();
	GUEST_ASSERT(b - a >= 1ull << 51 && b - a < (1ull << 51) + (1ull << 40));
}

TEST(tsc)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_tsc, 0);
	u64 a, b;

	a = vcpu_run_value(vcpu);
	ASSERT_EQ(1, vcpu_set_msr(vcpu, MSR_TSC, a + (1ull << 45)));
	b = vcpu_run_value(vcpu);
	EXPECT_GE(b - a, 1ull << 45);
	EXPECT_LT(b - a, (1ull << 45) + (1ull << 40));
	vcpu_run_sync(vcpu, 1);
	b = vcpu_get_msr(vcpu, MSR_TSC);
	EXPECT_GE(b, 1ull << 50);
	EXPECT_LT(b, (1ull << 50) + (1ull << 40));
	vcpu_run_done(vcpu);
}

/* A guest whose CPUID lacks TSC_ADJUST may use it all the same, to no effect. */
static __guest void guest_no_tsc_adjust(void)
{
	u64 v, a, b;

	GUEST_ASSERT_EQ(NO_TRAP, try_rdmsr(MSR_TSC_ADJUST, &v));
	GUEST_ASSERT_EQ(0, v);
	a = rdtsc();
	GUEST_ASSERT_EQ(NO_TRAP, try_wrmsr(MSR_TSC_ADJUST, 1ull << 51));
	b = rdtsc();
	GUEST_ASSERT(b - a < 1ull << 40);
	GUEST_ASSERT_EQ(0, rdmsr(MSR_TSC_ADJUST));
}

TEST(tsc_adjust_without_the_feature)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_no_tsc_adjust, 0);

	cpuid_find(c, 7, 0)->ebx &= ~2;
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	vcpu_run_done(vcpu);
}

/* TSC_AUX: what RDTSCP and RDPID return in the guest is the guest's. */
static __guest void guest_rdtscp(void)
{
	u32 aux;

	wrmsr(MSR_TSC_AUX, 0x1234);
	asm volatile("rdtscp" : "=c"(aux) : : "eax", "edx");
	GUEST_ASSERT_EQ(0x1234, aux);
	GUEST_SYNC(1);
	asm volatile("rdtscp" : "=c"(aux) : : "eax", "edx");
	GUEST_ASSERT_EQ(0x5678, aux);
}

TEST(tsc_aux)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_rdtscp, 0);
	u32 before, after;

	if (!(cpuid_find(c, 0x80000001, 0)->edx & 1u << 27))
		SKIP(return, "the CPU has no RDTSCP");
	asm volatile("rdtscp" : "=c"(before) : : "eax", "edx");
	vcpu_run_sync(vcpu, 1);
	asm volatile("rdtscp" : "=c"(after) : : "eax", "edx");
	if (host_cpus() == 1) {
		EXPECT_EQ(before, after);
	}
	EXPECT_EQ(0x1234, vcpu_get_msr(vcpu, MSR_TSC_AUX));
	ASSERT_EQ(1, vcpu_set_msr(vcpu, MSR_TSC_AUX, 0x5678));
	/* Only AMD's CPUs drop what is above 32 bits. */
	EXPECT_EQ(!host_is_intel(), vcpu_set_msr(vcpu, MSR_TSC_AUX, 1ull << 32 | 0x5678));
	vcpu_run_done(vcpu);
}

#define MSR_VIRT_SPEC_CTRL	0xc001011f
#define VIRT_SSBD		(1u << 25)	/* CPUID 80000008.EBX */
#define SSBD			4

static __guest void guest_virtual_ssbd(u64 has)
{
	u64 v;

	GUEST_ASSERT_EQ(has ? NO_TRAP : TRAP(13, 0), try_wrmsr(MSR_VIRT_SPEC_CTRL, SSBD));
	GUEST_ASSERT_EQ(has ? NO_TRAP : TRAP(13, 0), try_rdmsr(MSR_VIRT_SPEC_CTRL, &v));
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(MSR_VIRT_SPEC_CTRL, SSBD | 1));
	if (has)
		GUEST_ASSERT_EQ(SSBD, v);
	GUEST_SYNC(1);
	if (has)
		GUEST_ASSERT_EQ(0, rdmsr(MSR_VIRT_SPEC_CTRL));
}

/* How a guest of CPUs before Zen 2 asks for speculative store bypass to be off. */
TEST(virtual_ssbd)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0x80000008, 0);
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu;

	if (!e || !(e->ebx & VIRT_SSBD))
		SKIP(return, "the host's CPU has it by SPEC_CTRL, or not at all");
	vcpu = vcpu_create(vm, 0, guest_virtual_ssbd, true);
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(SSBD, vcpu_get_msr(vcpu, MSR_VIRT_SPEC_CTRL));
	EXPECT_EQ(0, vcpu_set_msr(vcpu, MSR_VIRT_SPEC_CTRL, 2));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_VIRT_SPEC_CTRL, 0));
	vcpu_run_done(vcpu);
	vm_free(vm);

	vm = vm_create(0);
	vcpu = vcpu_create(vm, 0, NULL, 0);
	e->ebx &= ~VIRT_SSBD;
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	vcpu_start64(vcpu, guest_virtual_ssbd, false);
	vcpu_run_sync(vcpu, 1);
	vcpu_run_done(vcpu);
	vm_free(vm);
}

TEST_HARNESS_MAIN
