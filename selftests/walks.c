// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's page tables as the module reads them, for an access to a device
 * and for the length of an instruction: what counts is what they say at that
 * moment, whatever they said at the last exit of the same address.
 */
#include "lib/test.h"

#define MMIO		0xd0000000ul
#define ROUNDS		8
#define CODE		GUEST_FREE		/* pages of code, one a variant */
#define OTHER_PML4	(GUEST_FREE + 0x10000)

static inline void invlpg(u64 gva)
{
	asm volatile("invlpg (%0)" : : "r"(gva) : "memory");
}

/* A write to the device at @gva; which page of it, as user space sees. */
static u64 device_page(struct __test_metadata *_metadata, struct vcpu *vcpu)
{
	vcpu_run_exit(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(1, vcpu->run->mmio.is_write);
	EXPECT_EQ(0x10, vcpu->run->mmio.phys_addr & 0xfff);
	return (vcpu->run->mmio.phys_addr - MMIO) >> 12;
}

static __guest void guest_writes(void)
{
	for (u32 i = 0; i < 2 * ROUNDS; i++) {
		invlpg(GVA_TEST);
		*(volatile u32 *)(GVA_TEST + 0x10) = i;
	}
}

TEST(a_leaf_that_changes)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_writes, 0);
	u64 i;

	for (i = 0; i < 2 * ROUNDS; i++) {
		vm_map_page(vm, GVA_TEST, MMIO + (i / 2 << 12), PTE_W);
		ASSERT_EQ(i / 2, device_page(_metadata, vcpu));
		ASSERT_EQ(i, *(u32 *)vcpu->run->mmio.data);
	}
	vcpu_run_done(vcpu);
}

/* The leaf of each table stays; the entry above it chooses between two. */
TEST(a_table_that_changes)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_writes, 0);
	u64 *pd, entry[2], i;

	/* GVA_TEST and the next 2M: one page directory, two tables. */
	vm_map_page(vm, GVA_TEST, MMIO, PTE_W);
	vm_map_page(vm, GVA_TEST + HUGE_SIZE, MMIO + 0x1000, PTE_W);
	pd = guest_ptr(vm, GUEST_TABLES + PAGE_SIZE);
	entry[0] = pd[0];
	entry[1] = pd[1];
	ASSERT_NE(entry[0], entry[1]);
	for (i = 0; i < 2 * ROUNDS; i++) {
		pd[0] = entry[i / 2 & 1];
		ASSERT_EQ(i / 2 & 1, device_page(_metadata, vcpu));
	}
	vcpu_run_done(vcpu);
}

/* ---- KVM_TRANSLATE ---- */

static struct kvm_translation translate(struct vcpu *vcpu, u64 gva)
{
	struct kvm_translation t = { .linear_address = gva };

	do_ioctl(vcpu->fd, KVM_TRANSLATE, &t);
	return t;
}

TEST(translated_for_user_space)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_writes, 0);
	struct kvm_translation t;
	struct kvm_sregs s;

	vm_map_page(vm, GVA_TEST, CODE, 0);
	vm_map_page(vm, GVA_TEST + PAGE_SIZE, MMIO, PTE_W);
	t = translate(vcpu, GVA_TEST + 0x123);
	EXPECT_EQ(1, t.valid);
	EXPECT_EQ(CODE + 0x123, t.physical_address);
	/* Memory need not be there. */
	t = translate(vcpu, GVA_TEST + PAGE_SIZE + 5);
	EXPECT_EQ(1, t.valid);
	EXPECT_EQ(MMIO + 5, t.physical_address);
	/* No table is there. */
	EXPECT_EQ(0, translate(vcpu, 3 * GVA_TEST).valid);
	s = vcpu_sregs(vcpu);
	s.cr0 &= ~(1ul << 31 | 1);
	s.efer = s.cr4 = 0;
	s.cs.l = 0;
	do_ioctl(vcpu->fd, KVM_SET_SREGS, &s);
	t = translate(vcpu, 0x12345678);
	EXPECT_EQ(1, t.valid);
	EXPECT_EQ(0x12345678, t.physical_address);
}

static __guest void guest_two_spaces(void)
{
	u64 cr3 = read_cr3();

	for (u32 i = 0; i < 2 * ROUNDS; i++) {
		write_cr3(i / 2 & 1 ? OTHER_PML4 : cr3);
		*(volatile u32 *)(GVA_TEST + 0x10) = i;
	}
}

TEST(two_address_spaces)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_two_spaces, 0);
	u64 *pml4 = guest_ptr(vm, GUEST_PML4), *other = guest_ptr(vm, OTHER_PML4), i;

	/* The next 512 GiB of the first space are at GVA_TEST in the other. */
	vm_map_page(vm, GVA_TEST, MMIO, PTE_W);
	vm_map_page(vm, 2 * GVA_TEST, MMIO + 0x1000, PTE_W);
	memcpy(other, pml4, PAGE_SIZE);
	other[1] = pml4[2];
	for (i = 0; i < 2 * ROUNDS; i++)
		ASSERT_EQ(i / 2 & 1, device_page(_metadata, vcpu));
	vcpu_run_done(vcpu);
}

/* The table's own memory is exchanged by the host: the guest sees nothing of it. */
TEST(a_slot_that_changes)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_writes, 0);
	u64 *memory[2] = { map_memory(PAGE_SIZE), map_memory(PAGE_SIZE) };
	u64 *pd, gpa = GUEST_MEMORY, i;

	vm_map_page(vm, GVA_TEST, 0, 0);
	pd = guest_ptr(vm, GUEST_TABLES + PAGE_SIZE);
	pd[0] = gpa | PTE_P | PTE_W;
	for (i = 0; i < 2; i++)
		memory[i][0] = (MMIO + (i << 12)) | PTE_P | PTE_W;
	for (i = 0; i < 2 * ROUNDS; i++) {
		if (!(i & 1)) {
			if (i)
				ASSERT_EQ(0, vm_set_slot(vm, 1, 0, gpa, 0, NULL));
			ASSERT_EQ(0, vm_set_slot(vm, 1, 0, gpa, PAGE_SIZE, memory[i / 2 & 1]));
		}
		ASSERT_EQ(i / 2 & 1, device_page(_metadata, vcpu));
	}
	vcpu_run_done(vcpu);
}

/* ---- whose access it is ---- */

#define SPLIT_GDT	(GUEST_FREE + 0x20000)	/* a GDT of two pages at GVA_TEST */
#define SEL_SPLIT	0x1000			/* the first descriptor of the second one */
#define DATA_DESC	0x00cf93000000ffffull	/* flat, accessed */

struct dtr {
	u16 limit;
	u64 base;
} __attribute__((packed));

/* FS out of a device, by a descriptor in a page that is a user's. */
static __guest u64 load_fs(u64 flags)
{
	u64 trap;

	asm volatile("push %0; popf" : : "r"(flags) : "memory", "cc");
	trap = TRY("movw (%1), %%fs", , "r"(MMIO) : "memory");
	asm volatile("push $2; popf" : : : "memory", "cc");
	return trap;
}

static __guest void guest_implicit(void)
{
	struct dtr gdtr = { SEL_SPLIT + 7, GVA_TEST };
	u64 ac = 2 | 1 << 18;

	asm volatile("lgdt %0" : : "m"(gdtr));
	GUEST_ASSERT_EQ(NO_TRAP, load_fs(2));
	write_cr4(read_cr4() | 1 << 21);		/* SMAP */
	GUEST_ASSERT_EQ(TRAP(14, 1), load_fs(2));
	GUEST_ASSERT_EQ(GVA_TEST + SEL_SPLIT, read_cr2());
	GUEST_ASSERT_EQ(TRAP(14, 1), load_fs(ac));
}

/* AC lifts SMAP for what an instruction reads, not for what the CPU looks up on its behalf. */
TEST(descriptors_and_smap)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_implicit, 0);
	struct report r;

	if (!(cpuid_find(supported_cpuid(), 7, 0)->ebx & 1 << 20))
		SKIP(return, "the host has no SMAP");
	memcpy(guest_ptr(vm, SPLIT_GDT), guest_ptr(vm, GUEST_CPU(0) + GUEST_CPU_GDT),
	       GUEST_GDT_SIZE);
	*(u64 *)guest_ptr(vm, SPLIT_GDT + SEL_SPLIT) = DATA_DESC;
	/* All below GVA_TEST is the kernel's. */
	*(u64 *)guest_ptr(vm, GUEST_PML4) &= ~PTE_U;
	vm_map_page(vm, GVA_TEST, SPLIT_GDT, PTE_W);
	vm_map_page(vm, GVA_TEST + PAGE_SIZE, SPLIT_GDT + PAGE_SIZE, PTE_W | PTE_U);
	while ((r = vcpu_run(vcpu)).kind == REPORT_EXIT) {
		ASSERT_EQ(KVM_EXIT_MMIO, r.exit);
		*(u16 *)vcpu->run->mmio.data = SEL_SPLIT;
	}
	EXPECT_EQ(REPORT_DONE, r.kind);
}

/* ---- code: its length, where hardware does not tell ---- */

/* The same exit, in 2, 3 and 4 bytes. */
static const u8 cpuid_variants[][8] = {
	{ 0x0f, 0xa2, 0xc3 },
	{ 0x66, 0x0f, 0xa2, 0xc3 },
	{ 0x66, 0x48, 0x0f, 0xa2, 0xc3 },
};
#define VARIANTS	ARRAY_SIZE(cpuid_variants)

/* The function there is a CPUID and a RET; its page is mapped anew each time. */
static __guest void guest_calls(u64 gva)
{
	for (u64 i = 0; i < VARIANTS * ROUNDS; i++) {
		u64 rax = 0, rcx = 0, fn = gva;

		GUEST_SYNC(i);
		invlpg(gva);
		asm volatile("call *%2" : "+a"(rax), "+c"(rcx), "+r"(fn) : : "rbx", "rdx", "memory");
		GUEST_ASSERT(rax);
	}
}

static void run_code_at(struct __test_metadata *_metadata, u64 offset)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_calls, GVA_TEST + offset);
	u64 i;

	for (i = 0; i < VARIANTS; i++)
		memcpy(guest_ptr(vm, CODE + i * 2 * PAGE_SIZE + offset), cpuid_variants[i],
		       sizeof(cpuid_variants[i]));
	for (i = 0; i < VARIANTS * ROUNDS; i++) {
		u64 page = CODE + i % VARIANTS * 2 * PAGE_SIZE;

		vcpu_run_sync(vcpu, i);
		vm_map_page(vm, GVA_TEST, page, 0);
		vm_map_page(vm, GVA_TEST + PAGE_SIZE, page + PAGE_SIZE, 0);
	}
	vcpu_run_done(vcpu);
	vcpu_free(vcpu);
	vm_free(vm);
}

TEST(code_that_changes)
{
	run_code_at(_metadata, 0x100);
}

/* The end of the instruction, or what is read beyond it, is on the next page. */
TEST(code_that_crosses_pages)
{
	u64 left;

	for (left = 1; left < sizeof(cpuid_variants[0]); left++)
		run_code_at(_metadata, PAGE_SIZE - left);
}

static __guest void guest_last_bytes(u64 gva)
{
	u64 rax = 0, rcx = 0;

	asm volatile("call *%2" : "+a"(rax), "+c"(rcx) : "r"(gva) : "rbx", "rdx", "memory");
	GUEST_ASSERT(rax);
}

/* The function ends with its page, and no page is behind it. */
TEST(nothing_behind_the_page)
{
	struct vm *vm = vm_create(0);
	u64 offset = PAGE_SIZE - 3;
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_last_bytes, GVA_TEST + offset);

	memcpy(guest_ptr(vm, CODE + offset), cpuid_variants[0], 3);
	vm_map_page(vm, GVA_TEST, CODE, 0);
	vcpu_run_done(vcpu);
}

TEST_HARNESS_MAIN
