// SPDX-License-Identifier: GPL-2.0
/* Coalesced MMIO and PIO: zones, the ring, what happens when it is full. */
#include "lib/test.h"

#define MMIO	0xd0000000ul
#define PORT	0x80

static struct kvm_coalesced_mmio_ring *ring_of(struct vcpu *vcpu)
{
	int page = check_extension(KVM_CAP_COALESCED_MMIO);
	void *p;

	if (page <= 0)
		die("KVM_CAP_COALESCED_MMIO is %d", page);
	if (vcpu->run_size < (page + 1) * PAGE_SIZE)
		die("the ring is not in the run mapping");
	p = (char *)vcpu->run + page * PAGE_SIZE;
	return p;
}

static int zone(struct vm *vm, unsigned long cmd, u64 addr, u32 size, u32 pio)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = addr, .size = size, .pio = pio };

	return ioctl_errno(vm->fd, cmd, &zone);
}

static __guest void guest_writes(void)
{
	*(volatile u32 *)(MMIO + 8) = 0x11223344;
	*(volatile u16 *)(MMIO + 14) = 0x5566;
	outb(0x77, PORT);
	GUEST_SYNC(1);
	*(volatile u32 *)(MMIO + 14) = 1;		/* across the zone's end */
	GUEST_SYNC(2);
	GUEST_VALUE(*(volatile u32 *)(MMIO + 8));	/* reads exit */
}

TEST(writes)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_writes, 0);
	struct kvm_coalesced_mmio_ring *ring = ring_of(vcpu);

	ASSERT_EQ(0, zone(vm, KVM_REGISTER_COALESCED_MMIO, MMIO, 16, 0));
	ASSERT_EQ(0, zone(vm, KVM_REGISTER_COALESCED_MMIO, PORT, 1, 1));
	EXPECT_EQ(0, ring->first);
	EXPECT_EQ(0, ring->last);
	vcpu_run_sync(vcpu, 1);
	ASSERT_EQ(3, ring->last);
	EXPECT_EQ(MMIO + 8, ring->coalesced_mmio[0].phys_addr);
	EXPECT_EQ(4, ring->coalesced_mmio[0].len);
	EXPECT_EQ(0, ring->coalesced_mmio[0].pio);
	EXPECT_EQ(0x11223344, *(u32 *)ring->coalesced_mmio[0].data);
	EXPECT_EQ(MMIO + 14, ring->coalesced_mmio[1].phys_addr);
	EXPECT_EQ(2, ring->coalesced_mmio[1].len);
	EXPECT_EQ(PORT, ring->coalesced_mmio[2].phys_addr);
	EXPECT_EQ(1, ring->coalesced_mmio[2].pio);
	EXPECT_EQ(0x77, ring->coalesced_mmio[2].data[0]);
	vcpu_run_exit(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(MMIO + 14, vcpu->run->mmio.phys_addr);
	vcpu_run_sync(vcpu, 2);
	vcpu_run_exit(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(0, vcpu->run->mmio.is_write);
	*(u32 *)vcpu->run->mmio.data = 0x99;
	EXPECT_EQ(0x99, vcpu_run_value(vcpu));

	/* A zone goes with the one around it, and only on its own bus. */
	ASSERT_EQ(0, zone(vm, KVM_UNREGISTER_COALESCED_MMIO, MMIO + 8, 4, 1));
	ASSERT_EQ(0, zone(vm, KVM_UNREGISTER_COALESCED_MMIO, MMIO + 8, 16, 0));
	vcpu_start64(vcpu, guest_writes, 0);
	ring->first = ring->last;
	vcpu_run_sync(vcpu, 1);
	ASSERT_EQ(6, ring->last);
	ASSERT_EQ(0, zone(vm, KVM_UNREGISTER_COALESCED_MMIO, MMIO + 8, 4, 0));
	vcpu_start64(vcpu, guest_writes, 0);
	vcpu_run_exit(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(MMIO + 8, vcpu->run->mmio.phys_addr);
	ASSERT_EQ(6, ring->last);
}

static __guest void guest_fill(u64 n)
{
	u64 i;

	for (i = 0; i < n; i++)
		outb(i, PORT);
}

/* Full, with indices that go round, and with indices that make no sense. */
TEST(ring)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_fill, 10);
	struct kvm_coalesced_mmio_ring *ring = ring_of(vcpu);
	u32 i, slots = (PAGE_SIZE - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0]);

	ASSERT_EQ(0, zone(vm, KVM_REGISTER_COALESCED_MMIO, PORT, 1, 1));
	ring->first = ring->last = slots - 3;
	vcpu_run_done(vcpu);
	ASSERT_EQ(7, ring->last);
	for (i = 0; i < 10; i++)
		EXPECT_EQ(i, ring->coalesced_mmio[(slots - 3 + i) % slots].data[0]);

	ring->first = 9;			/* room for one */
	vcpu_start64(vcpu, guest_fill, 10);
	vcpu_run_exit(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(1, *((u8 *)vcpu->run + vcpu->run->io.data_offset));
	EXPECT_EQ(8, ring->last);

	ring->last = slots;			/* off the page, all but */
	vcpu_start64(vcpu, guest_fill, 1);
	vcpu_run_exit(vcpu, KVM_EXIT_IO);
	ring->last = ~0u;
	vcpu_start64(vcpu, guest_fill, 1);
	vcpu_run_exit(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(~0u, ring->last);
	ring->last = 0;
	ring->first = ~0u;			/* no harm in any value */
	vcpu_start64(vcpu, guest_fill, 1);
	vcpu_run_once(vcpu);
	EXPECT_GT(slots, ring->last);
}

/* One string of more bytes than the ring takes: each is written once, in order. */
#define BATCH	200

static u8 batch[BATCH] __attribute__((aligned(256)));

static __guest void guest_string(void)
{
	u64 count = BATCH;
	void *from = batch;
	int i;

	for (i = 0; i < BATCH; i++)
		batch[i] = i;
	asm volatile("rep outsb" : "+S" (from), "+c" (count) : "d" (PORT) : "memory");
	GUEST_ASSERT_EQ(0, count);
}

TEST(string)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_string, 0);
	struct kvm_coalesced_mmio_ring *ring = ring_of(vcpu);
	u32 i, slots = (PAGE_SIZE - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0]);
	const u8 *rest = (u8 *)vcpu->run;

	SKIP_ON_STOCK("drops what does not fit");
	ASSERT_EQ(0, zone(vm, KVM_REGISTER_COALESCED_MMIO, PORT, 1, 1));
	vcpu_run_exit(vcpu, KVM_EXIT_IO);
	ASSERT_EQ(slots - 1, ring->last);
	for (i = 0; i < slots - 1; i++)
		EXPECT_EQ(i, ring->coalesced_mmio[i].data[0]);
	ASSERT_EQ(BATCH - (slots - 1), vcpu->run->io.count);
	rest += vcpu->run->io.data_offset;
	for (i = 0; i < vcpu->run->io.count; i++)
		EXPECT_EQ(slots - 1 + i, rest[i]);
	vcpu_run_done(vcpu);
	EXPECT_EQ(slots - 1, ring->last);
}

TEST(input)
{
	struct vm *vm = vm_create(VM_BARE);

	EXPECT_EQ(EINVAL, zone(vm, KVM_REGISTER_COALESCED_MMIO, MMIO, 16, 2));
	EXPECT_EQ(EINVAL, zone(vm, KVM_UNREGISTER_COALESCED_MMIO, MMIO, 16, 2));
	EXPECT_EQ(0, zone(vm, KVM_UNREGISTER_COALESCED_MMIO, MMIO, 16, 0));
	EXPECT_EQ(0, zone(vm, KVM_REGISTER_COALESCED_MMIO, MMIO, 16, 0));
	EXPECT_EQ(0, zone(vm, KVM_REGISTER_COALESCED_MMIO, MMIO + 8, 16, 0));
	vm_free(vm);
}

TEST_HARNESS_MAIN
