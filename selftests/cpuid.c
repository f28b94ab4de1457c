// SPDX-License-Identifier: GPL-2.0
/*
 * CPUID: what the device offers, what user space sets, what the guest reads,
 * and the bits that follow the vCPU's state.
 */
#include <cpuid.h>

#include "lib/test.h"

/* The guest executes CPUID for each entry of its list and leaves the answer there. */
static struct {
	u32 leaf, sub;
	struct cpuid_regs seen;
} probes[256];
static u32 nr_probes;

static __guest void guest_probe(void)
{
	u32 i;

	for (i = 0; i < nr_probes; i++)
		probes[i].seen = cpuid(probes[i].leaf, probes[i].sub);
}

static struct kvm_cpuid2 *alloc_cpuid(u32 nent)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + nent * sizeof(c->entries[0]));

	c->nent = nent;
	return c;
}

static bool is_dynamic(u32 leaf, u32 sub)
{
	/* Bits that follow CR4, XCR0 and the APIC base; KVM's PV leaf may too. */
	return leaf == 1 || (leaf == 7 && !sub) || (leaf == 0xd && sub < 2) ||
	       leaf == 0x40000001;
}

/* ---- what is offered ---- */

TEST(supported)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *e;
	u32 eax, ebx, ecx, edx, i, j;

	ASSERT_GT(c->nent, 10);
	e = cpuid_find(c, 0, 0);
	ASSERT_NE(NULL, e);
	__cpuid(0, eax, ebx, ecx, edx);
	EXPECT_EQ(ebx, e->ebx);
	EXPECT_EQ(ecx, e->ecx);
	EXPECT_EQ(edx, e->edx);
	EXPECT_LE(e->eax, 0x24);

	/* No entry twice. */
	for (i = 0; i < c->nent; i++)
		for (j = i + 1; j < c->nent; j++) {
			EXPECT_FALSE(c->entries[i].function == c->entries[j].function &&
				     c->entries[i].index == c->entries[j].index)
				TH_LOG("leaf %#x.%u twice", c->entries[i].function,
				       c->entries[i].index);
		}

	e = cpuid_find(c, 0x40000000, 0);
	ASSERT_NE(NULL, e);
	EXPECT_EQ(0, memcmp(&e->ebx, "KVMKVMKVM\0\0\0", 12));
	EXPECT_LE(0x40000001, e->eax);
	ASSERT_NE(NULL, cpuid_find(c, 0x40000001, 0));

	e = cpuid_find(c, 0x80000000, 0);
	ASSERT_NE(NULL, e);
	EXPECT_GE(e->eax, 0x80000008);
	e = cpuid_find(c, 0x80000008, 0);
	ASSERT_NE(NULL, e);
	EXPECT_GE(e->eax & 0xff, 32);
	free(c);
}

/* A feature that the CPU lacks may be offered only if software can be all of it. */
TEST(no_more_than_the_host)
{
	static const struct {
		u32 leaf, sub;
		int reg;		/* 0 EAX .. 3 EDX */
		u32 emulated;
	} words[] = {
		{ 1, 0, 2, 1u << 21 | 1u << 31 },		/* x2APIC, hypervisor */
		{ 1, 0, 3, 0 },
		{ 7, 0, 1, 1u << 1 },				/* TSC_ADJUST */
		{ 7, 0, 2, 1u << 2 | 1u << 22 },		/* UMIP, by descriptor exits; RDPID, by RDTSCP's */
		/* SPEC_CTRL, STIBP, ARCH_CAPABILITIES, SSBD: named otherwise on AMD */
		{ 7, 0, 3, 1u << 26 | 1u << 27 | 1u << 29 | 1u << 31 },
		{ 0xd, 1, 0, 0 },
		{ 0x80000001, 0, 3, 0 },
	};
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *e;
	u32 host[4], offered[4];
	int i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		e = cpuid_find(c, words[i].leaf, words[i].sub);
		if (!e)
			continue;
		__cpuid_count(words[i].leaf, words[i].sub, host[0], host[1], host[2], host[3]);
		memcpy(offered, &e->eax, sizeof(offered));
		EXPECT_EQ(0, offered[words[i].reg] & ~host[words[i].reg] & ~words[i].emulated)
			TH_LOG("leaf %#x.%u register %d: %#x", words[i].leaf, words[i].sub,
			       words[i].reg, offered[words[i].reg] & ~host[words[i].reg]);
	}
	/* TSC deadline: KVM_CAP_TSC_DEADLINE_TIMER says it, for a LAPIC of ours only. */
	e = cpuid_find(c, 1, 0);
	EXPECT_EQ(0, e->ecx & 1u << 24);
	/* What every 64-bit guest needs. */
	ASSERT_EQ(0x07888b71, e->edx & 0x07888b71);	/* FPU PSE TSC MSR PAE CX8 SEP PGE CMOV ... */
	e = cpuid_find(c, 0x80000001, 0);
	ASSERT_EQ(1u << 29 | 1u << 11, e->edx & (1u << 29 | 1u << 11));
	free(c);
}

TEST(get_supported_sizes)
{
	struct kvm_cpuid2 *c = alloc_cpuid(256);
	int fd = device_open();
	u32 n;

	ASSERT_EQ(0, ioctl_errno(fd, KVM_GET_SUPPORTED_CPUID, c));
	n = c->nent;
	c->nent = 0;
	EXPECT_EQ(E2BIG, ioctl_errno(fd, KVM_GET_SUPPORTED_CPUID, c));
	c->nent = n - 1;
	EXPECT_EQ(E2BIG, ioctl_errno(fd, KVM_GET_SUPPORTED_CPUID, c));
	c->nent = n;
	EXPECT_EQ(0, ioctl_errno(fd, KVM_GET_SUPPORTED_CPUID, c));
	EXPECT_EQ(n, c->nent);
	EXPECT_EQ(EFAULT, ioctl_errno(fd, KVM_GET_SUPPORTED_CPUID, NULL));
}

/* ---- what is set is what the guest sees ---- */

TEST(guest_sees_what_was_set)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_probe, 0);
	u32 i;

	ASSERT_LE(c->nent, ARRAY_SIZE(probes));
	guest_var(vm, nr_probes) = c->nent;
	for (i = 0; i < c->nent; i++) {
		guest_var(vm, probes)[i].leaf = c->entries[i].function;
		guest_var(vm, probes)[i].sub = c->entries[i].index;
	}
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	vcpu_run_done(vcpu);
	for (i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];
		struct cpuid_regs *seen = &guest_var(vm, probes)[i].seen;

		if (is_dynamic(e->function, e->index))
			continue;
		EXPECT_EQ(0, memcmp(&e->eax, seen, sizeof(*seen)))
			TH_LOG("leaf %#x.%u", e->function, e->index);
	}
	free(c);
}

static void set_probe(struct vm *vm, int i, u32 leaf, u32 sub)
{
	guest_var(vm, probes)[i].leaf = leaf;
	guest_var(vm, probes)[i].sub = sub;
	guest_var(vm, nr_probes) = i + 1;
}

/* Own leaves, sub-leaves that count and that do not, and leaves that are not there. */
static struct kvm_cpuid2 *own_leaves(const char *vendor)
{
	struct kvm_cpuid2 *c = alloc_cpuid(6);

	c->entries[0] = (struct kvm_cpuid_entry2) { .function = 0, .eax = 0xa };
	memcpy(&c->entries[0].ebx, vendor, 4);
	memcpy(&c->entries[0].edx, vendor + 4, 4);
	memcpy(&c->entries[0].ecx, vendor + 8, 4);
	c->entries[1] = (struct kvm_cpuid_entry2) { .function = 2, .eax = 0x22, .edx = 0x33 };
	c->entries[2] = (struct kvm_cpuid_entry2) {
		.function = 4, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .ebx = 0x41,
	};
	c->entries[3] = (struct kvm_cpuid_entry2) {
		.function = 4, .index = 2, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .ebx = 0x42,
	};
	c->entries[4] = (struct kvm_cpuid_entry2) { .function = 0xa, .ebx = 0xdd };
	c->entries[5] = (struct kvm_cpuid_entry2) { .function = 0x80000000, .eax = 0x80000008 };
	return c;
}

static void probe_own_leaves(struct __test_metadata *_metadata, const char *vendor,
			     u32 beyond_basic)
{
	struct kvm_cpuid2 *c = own_leaves(vendor);
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	typeof(&probes[0]) seen = guest_var(vm, probes);

	set_probe(vm, 0, 2, 0);
	set_probe(vm, 1, 2, 7);
	set_probe(vm, 2, 4, 1);
	set_probe(vm, 3, 4, 2);
	set_probe(vm, 4, 4, 3);
	set_probe(vm, 5, 5, 0);
	set_probe(vm, 6, 0x20, 0);
	set_probe(vm, 7, 0x80000005, 0);
	/* In that order: a table without long mode must not stop a vCPU that is in it. */
	vcpu_start64(vcpu, guest_probe, 0);
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	vcpu_run_done(vcpu);
	EXPECT_EQ(0x22, seen[0].seen.eax);
	EXPECT_EQ(0x33, seen[0].seen.edx);
	EXPECT_EQ(0x22, seen[1].seen.eax);
	EXPECT_EQ(0x41, seen[2].seen.ebx);
	EXPECT_EQ(0x42, seen[3].seen.ebx);
	EXPECT_EQ(0, seen[4].seen.ebx);
	EXPECT_EQ(0, seen[5].seen.eax | seen[5].seen.ebx);
	EXPECT_EQ(beyond_basic, seen[6].seen.ebx);
	EXPECT_EQ(0, seen[7].seen.eax | seen[7].seen.ebx);
	free(c);
	vm_free(vm);
}

/* Beyond the last basic leaf, Intel answers with that leaf's data and AMD with zero. */
TEST(own_leaves_amd)
{
	probe_own_leaves(_metadata, "AuthenticAMD", 0);
}

TEST(own_leaves_intel)
{
	probe_own_leaves(_metadata, "GenuineIntel", 0xdd);
}

/* ---- bits that follow state ---- */

static __guest void guest_dynamic(u64 has_xsave)
{
	GUEST_ASSERT_EQ(0, cpuid(1, 0).ecx >> 27 & 1);
	if (has_xsave) {
		write_cr4(read_cr4() | 1 << 18);
		GUEST_ASSERT_EQ(1, cpuid(1, 0).ecx >> 27 & 1);
		asm volatile("xsetbv" : : "c"(0), "a"(1), "d"(0));
		GUEST_ASSERT_EQ(576, cpuid(0xd, 0).ebx);
		write_cr4(read_cr4() & ~(1ul << 18));
		GUEST_ASSERT_EQ(0, cpuid(1, 0).ecx >> 27 & 1);
	}
	/* APIC: the bit goes with the global enable. */
	GUEST_ASSERT_EQ(1, cpuid(1, 0).edx >> 9 & 1);
	wrmsr(0x1b, rdmsr(0x1b) & ~(1ull << 11));
	GUEST_ASSERT_EQ(0, cpuid(1, 0).edx >> 9 & 1);
}

TEST(follows_state)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_dynamic, cpuid_find(c, 1, 0)->ecx >> 26 & 1);

	vcpu_run_done(vcpu);
}

/* ---- the ioctls ---- */

/*
 * The entries that the vCPU has. Kernels before 6.7 leave nent as it was, later
 * ones store the number, so it is told from the entries instead.
 */
static int get_entries(struct vcpu *vcpu, struct kvm_cpuid2 *c)
{
	int n = 0;

	memset(c->entries, 0xff, 256 * sizeof(c->entries[0]));
	c->nent = 256;
	do_ioctl(vcpu->fd, KVM_GET_CPUID2, c);
	while (n < 256 && c->entries[n].function != ~0u)
		n++;
	return n;
}

TEST(set_get)
{
	struct kvm_cpuid2 *c = own_leaves("AuthenticAMD"), *got = alloc_cpuid(256);
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);

	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	got->nent = 5;
	EXPECT_EQ(E2BIG, ioctl_errno(vcpu->fd, KVM_GET_CPUID2, got));
	ASSERT_EQ(6, get_entries(vcpu, got));
	EXPECT_EQ(0, memcmp(c->entries, got->entries, 6 * sizeof(c->entries[0])));

	c = realloc(c, sizeof(*c) + 257 * sizeof(c->entries[0]));
	c->nent = 257;
	EXPECT_EQ(E2BIG, ioctl_errno(vcpu->fd, KVM_SET_CPUID2, c));
	EXPECT_EQ(EFAULT, ioctl_errno(vcpu->fd, KVM_SET_CPUID2, NULL));

	/* A failed one left the old table alone; none at all is allowed. */
	EXPECT_EQ(6, get_entries(vcpu, got));
	c->nent = 0;
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_CPUID2, c));
	EXPECT_EQ(0, get_entries(vcpu, got));
}

static __guest void guest_nothing(void)
{
}

/* Wider than any CPU's, and wider than a u64: such a vCPU is like one of the widest. */
TEST(physical_width)
{
	static const u8 widths[] = { 52, 53, 64, 65, 255 };
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0x80000008, 0);

	for (int i = 0; i < ARRAY_SIZE(widths); i++) {
		struct vcpu *vcpu = vcpu_create(vm_create(0), 0, guest_nothing, 0);
		struct kvm_sregs sregs = vcpu_sregs(vcpu);

		e->eax = (e->eax & ~0xffu) | widths[i];
		do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
		EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_SREGS, &sregs))
			TH_LOG("%d bits", widths[i]);
		/* IA32_MTRR_PHYSMASK0 */
		EXPECT_EQ(1, vcpu_set_msr(vcpu, 0x201, 0xffffff0000800))
			TH_LOG("%d bits", widths[i]);
		vcpu_run_done(vcpu);
	}
	free(c);
}

/* What a vCPU keeps of it is paid for by who gave it. */
TEST(charged)
{
	struct kvm_cpuid2 *c = alloc_cpuid(256);
	struct vm *vm = vm_create(VM_BARE);
	long before, after;
	int fds[64], i;

	SKIP_ON_STOCK("gives them away");
	if (!cgroup_enter())
		SKIP(return, "no memory cgroups here, or not root");
	for (i = 0; i < 64; i++)
		fds[i] = do_ioctl(vm->fd, KVM_CREATE_VCPU, i);
	before = cgroup_memory();
	for (i = 0; i < 64; i++)
		do_ioctl(fds[i], KVM_SET_CPUID2, c);
	after = cgroup_memory();
	cgroup_leave();
	EXPECT_GE(after - before, 64 * 256 * (long)sizeof(c->entries[0]));
	free(c);
}

/* Once the vCPU has run, the same table may be set again, another not. */
TEST(set_after_run)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);

	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	/* A KVM_RUN that does not enter the guest is none. */
	vcpu->run->immediate_exit = 1;
	EXPECT_EQ(EINTR, vcpu_run_once(vcpu));
	vcpu->run->immediate_exit = 0;
	cpuid_find(c, 1, 0)->eax ^= 0x10;
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_CPUID2, c));
	vcpu_start64(vcpu, guest_probe, 0);
	vcpu_run_done(vcpu);
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_CPUID2, c));
	cpuid_find(c, 1, 0)->eax ^= 0x10;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_CPUID2, c));
	free(c);
}

TEST_HARNESS_MAIN
