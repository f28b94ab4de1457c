// SPDX-License-Identifier: GPL-2.0
/*
 * Eventfds at both ends: KVM_IOEVENTFD (by address, length and data, on both
 * buses) and KVM_IRQFD (messages, edges, resampled levels), assigned,
 * deassigned and closed in every order, also while they are in use.
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "lib/test.h"

#define PORT		0x540
#define MMIO		0xd0000000ul
#define VECTOR		0x51
#define GSI		20

static volatile u64 interrupts;

static __guest void count(struct trap_frame *f)
{
	interrupts++;
	xapic_write(0xb0, 0);
}

static int ioeventfd(struct vm *vm, int fd, u64 addr, u32 len, u32 flags, u64 data)
{
	struct kvm_ioeventfd args = {
		.fd = fd, .addr = addr, .len = len, .flags = flags, .datamatch = data,
	};

	return ioctl_errno(vm->fd, KVM_IOEVENTFD, &args);
}

static int irqfd(struct vm *vm, int fd, u32 gsi, u32 flags, int resamplefd)
{
	struct kvm_irqfd args = { .fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resamplefd };

	return ioctl_errno(vm->fd, KVM_IRQFD, &args);
}

/* How often it was signalled since the last look. */
static u64 signalled(int fd)
{
	u64 n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		die("eventfd: %s", strerror(errno));
	return fd;
}

static void signal_it(int fd)
{
	u64 one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		die("write to an eventfd: %s", strerror(errno));
}

/* ---- ioeventfd ---- */

static __guest void guest_out(void)
{
	outb(1, PORT);
	outb(2, PORT);
	outw(2, PORT);
	outl(2, PORT);
	GUEST_SYNC(1);
	*(volatile u8 *)MMIO = 1;
	*(volatile u32 *)MMIO = 2;
	*(volatile u64 *)MMIO = 0x200000002;
	GUEST_SYNC(2);
}

TEST(pio)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_out, 0);
	int any = new_eventfd(), two = new_eventfd(), word = new_eventfd();

	ASSERT_EQ(0, ioeventfd(vm, two, PORT, 1, KVM_IOEVENTFD_FLAG_PIO |
			       KVM_IOEVENTFD_FLAG_DATAMATCH, 2));
	ASSERT_EQ(0, ioeventfd(vm, word, PORT, 2, KVM_IOEVENTFD_FLAG_PIO, 0));
	/* What matches nothing goes to user space. */
	vcpu_run_exit(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(1, vcpu->run->io.size);
	EXPECT_EQ(1, *((u8 *)vcpu->run + vcpu->run->io.data_offset));
	vcpu_run_exit(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(4, vcpu->run->io.size);
	EXPECT_EQ(1, signalled(two));
	EXPECT_EQ(1, signalled(word));
	vcpu_run_sync(vcpu, 1);

	/* One of any length takes all. */
	ASSERT_EQ(0, ioeventfd(vm, two, PORT, 1, KVM_IOEVENTFD_FLAG_PIO |
			       KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_DEASSIGN, 2));
	ASSERT_EQ(0, ioeventfd(vm, word, PORT, 2, KVM_IOEVENTFD_FLAG_PIO |
			       KVM_IOEVENTFD_FLAG_DEASSIGN, 0));
	ASSERT_EQ(0, ioeventfd(vm, any, PORT, 0, KVM_IOEVENTFD_FLAG_PIO, 0));
	vcpu_start64(vcpu, guest_out, 0);
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(4, signalled(any));
	EXPECT_EQ(0, signalled(two));
}

TEST(mmio)
{
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_out, 0);
	int any = new_eventfd(), quad = new_eventfd(), pio = new_eventfd();

	ASSERT_EQ(0, ioeventfd(vm, pio, PORT, 0, KVM_IOEVENTFD_FLAG_PIO, 0));
	ASSERT_EQ(0, ioeventfd(vm, quad, MMIO, 8, KVM_IOEVENTFD_FLAG_DATAMATCH, 0x200000002));
	vcpu_run_sync(vcpu, 1);
	vcpu_run_exit(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(1, vcpu->run->mmio.len);
	vcpu_run_exit(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(4, vcpu->run->mmio.len);
	vcpu_run_sync(vcpu, 2);
	EXPECT_EQ(1, signalled(quad));

	ASSERT_EQ(0, ioeventfd(vm, quad, MMIO, 8, KVM_IOEVENTFD_FLAG_DATAMATCH |
			       KVM_IOEVENTFD_FLAG_DEASSIGN, 0x200000002));
	ASSERT_EQ(0, ioeventfd(vm, any, MMIO, 0, 0, 0));
	vcpu_start64(vcpu, guest_out, 0);
	vcpu_run_sync(vcpu, 1);
	vcpu_run_sync(vcpu, 2);
	EXPECT_EQ(3, signalled(any));
}

TEST(ioeventfd_input)
{
	struct vm *vm = vm_create(VM_BARE);
	int a = new_eventfd(), b = new_eventfd(), i;
	const u32 match = KVM_IOEVENTFD_FLAG_DATAMATCH, off = KVM_IOEVENTFD_FLAG_DEASSIGN;

	EXPECT_EQ(EINVAL, ioeventfd(vm, a, MMIO, 3, 0, 0));
	EXPECT_EQ(EINVAL, ioeventfd(vm, a, MMIO, 16, 0, 0));
	EXPECT_EQ(EINVAL, ioeventfd(vm, a, ~0ull, 8, 0, 0));
	EXPECT_EQ(EINVAL, ioeventfd(vm, a, MMIO, 0, match, 0));
	EXPECT_EQ(EINVAL, ioeventfd(vm, a, MMIO, 4, 1u << 31, 0));
	EXPECT_EQ(EBADF, ioeventfd(vm, -1, MMIO, 4, 0, 0));
	EXPECT_EQ(EINVAL, ioeventfd(vm, vm->fd, MMIO, 4, 0, 0));
	EXPECT_EQ(ENOENT, ioeventfd(vm, a, MMIO, 4, off, 0));

	EXPECT_EQ(0, ioeventfd(vm, a, MMIO, 4, match, 1));
	EXPECT_EQ(0, ioeventfd(vm, b, MMIO, 4, match, 2));
	EXPECT_EQ(EEXIST, ioeventfd(vm, b, MMIO, 4, match, 1));
	EXPECT_EQ(EEXIST, ioeventfd(vm, b, MMIO, 4, 0, 0));
	EXPECT_EQ(EEXIST, ioeventfd(vm, b, MMIO, 0, 0, 0));
	EXPECT_EQ(0, ioeventfd(vm, b, MMIO, 2, 0, 0));
	EXPECT_EQ(0, ioeventfd(vm, b, MMIO, 4, KVM_IOEVENTFD_FLAG_PIO, 0));
	EXPECT_EQ(ENOENT, ioeventfd(vm, b, MMIO, 4, match | off, 1));
	EXPECT_EQ(ENOENT, ioeventfd(vm, a, MMIO, 4, match | off, 2));
	EXPECT_EQ(0, ioeventfd(vm, a, MMIO, 4, match | off, 1));
	EXPECT_EQ(ENOENT, ioeventfd(vm, a, MMIO, 4, match | off, 1));
	/* Many; the VM takes them with it. */
	for (i = 0; i < 2000; i++)
		ASSERT_EQ(0, ioeventfd(vm, a, MMIO + 0x1000 + 8 * i, 8, 0, 0));
	vm_free(vm);
}

/* ---- irqfd ---- */

static __guest void guest_wait(void)
{
	guest_handlers[VECTOR] = count;
	xapic_enable();
	GUEST_SYNC(1);
	sti();
	while (!interrupts)
		cpu_pause();
	GUEST_SYNC(2);
	GUEST_VALUE(interrupts);
	GUEST_SYNC(3);
	GUEST_VALUE(interrupts);
}

TEST(irqfd_msi)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_wait, 0);
	int fd = new_eventfd();

	vm_route_msi(vm, 40, VECTOR);
	ASSERT_EQ(0, irqfd(vm, fd, 40, 0, 0));
	vcpu_run_sync(vcpu, 1);
	signal_it(fd);
	EXPECT_EQ(0, signalled(fd));		/* taken */
	vcpu_run_sync(vcpu, 2);
	EXPECT_EQ(1, vcpu_run_value(vcpu));
	vcpu_run_sync(vcpu, 3);
	/* Off: it stays in the eventfd. */
	ASSERT_EQ(0, irqfd(vm, fd, 40, KVM_IRQFD_FLAG_DEASSIGN, 0));
	signal_it(fd);
	EXPECT_EQ(1, vcpu_run_value(vcpu));
	EXPECT_EQ(1, signalled(fd));
}

/* What was written before it was assigned counts. */
TEST(irqfd_written_before)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_wait, 0);
	int fd = new_eventfd();

	vm_route_msi(vm, 40, VECTOR);
	vcpu_run_sync(vcpu, 1);
	signal_it(fd);
	ASSERT_EQ(0, irqfd(vm, fd, 40, 0, 0));
	vcpu_run_sync(vcpu, 2);
	EXPECT_EQ(1, vcpu_run_value(vcpu));
}

static __guest void guest_edge(void)
{
	guest_handlers[VECTOR] = count;
	xapic_enable();
	ioapic_route(GSI, VECTOR);
	sti();
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(1, interrupts);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(2, interrupts);
}

TEST(irqfd_edge)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_edge, 0);
	int fd = new_eventfd();

	ASSERT_EQ(0, irqfd(vm, fd, GSI, 0, 0));
	vcpu_run_sync(vcpu, 1);
	signal_it(fd);
	vcpu_run_sync(vcpu, 2);
	signal_it(fd);
	vcpu_run_done(vcpu);
}

static void *raise_later(void *fd)
{
	usleep(20000);
	signal_it((long)fd);
	return NULL;
}

/* While the guest spins, and while it sleeps. */
static __guest void guest_spin_and_halt(void)
{
	guest_handlers[VECTOR] = count;
	xapic_enable();
	GUEST_SYNC(1);
	sti();
	while (!interrupts)
		;
	cli();
	GUEST_SYNC(2);
	while (interrupts < 2)
		sti_hlt(), cli();
}

TEST(irqfd_from_another_thread)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_spin_and_halt, 0);
	long fd = new_eventfd();
	pthread_t thread;

	vm_route_msi(vm, 40, VECTOR);
	ASSERT_EQ(0, irqfd(vm, fd, 40, 0, 0));
	vcpu_run_sync(vcpu, 1);
	pthread_create(&thread, NULL, raise_later, (void *)fd);
	vcpu_run_sync(vcpu, 2);
	pthread_join(thread, NULL);
	pthread_create(&thread, NULL, raise_later, (void *)fd);
	vcpu_run_done(vcpu);
	pthread_join(thread, NULL);
}

/* Level: up until the EOI, then its owner is asked. */
static volatile u64 eois;

static __guest void count_no_eoi(struct trap_frame *f)
{
	interrupts++;
}

static __guest void guest_level(void)
{
	guest_handlers[VECTOR] = count_no_eoi;
	xapic_enable();
	ioapic_route(GSI, VECTOR | 1 << 15);
	sti();
	GUEST_SYNC(1);			/* both raise it */
	GUEST_ASSERT_EQ(1, interrupts);
	GUEST_SYNC(2);			/* nobody was asked yet */
	xapic_write(0xb0, 0);
	GUEST_ASSERT_EQ(1, interrupts);
	GUEST_SYNC(3);			/* both were; one raises it again */
	GUEST_ASSERT_EQ(2, interrupts);
	xapic_write(0xb0, 0);
	GUEST_SYNC(4);
}

TEST(irqfd_resample)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_level, 0);
	int a = new_eventfd(), b = new_eventfd(), ask_a = new_eventfd(), ask_b = new_eventfd();

	ASSERT_EQ(0, irqfd(vm, a, GSI, KVM_IRQFD_FLAG_RESAMPLE, ask_a));
	ASSERT_EQ(0, irqfd(vm, b, GSI, KVM_IRQFD_FLAG_RESAMPLE, ask_b));
	vcpu_run_sync(vcpu, 1);
	EXPECT_EQ(0, signalled(ask_a));
	signal_it(a);
	signal_it(b);
	vcpu_run_sync(vcpu, 2);
	EXPECT_EQ(0, signalled(ask_a));
	EXPECT_EQ(0, signalled(ask_b));
	vcpu_run_sync(vcpu, 3);
	EXPECT_EQ(1, signalled(ask_a));
	EXPECT_EQ(1, signalled(ask_b));
	signal_it(b);
	vcpu_run_sync(vcpu, 4);
	EXPECT_EQ(1, signalled(ask_a));
	EXPECT_EQ(1, signalled(ask_b));
	/* One leaves, and the other is still asked; then none, by closing. */
	ASSERT_EQ(0, irqfd(vm, a, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0));
	close(b);
	close(ask_b);
	vcpu_run_done(vcpu);
	EXPECT_EQ(0, signalled(ask_a));
}

/* Raised while the pin is masked: asked when it opens (KVM has this since 6.3). */
static __guest void guest_masked(void)
{
	guest_handlers[VECTOR] = count_no_eoi;
	xapic_enable();
	ioapic_route(GSI, VECTOR | 1 << 15 | 1 << 16);
	sti();
	GUEST_SYNC(1);			/* raised */
	ioapic_route(GSI, VECTOR | 1 << 15);
	asm volatile("nop");
	GUEST_SYNC(2);			/* asked, and raised again */
	asm volatile("nop");
	GUEST_ASSERT_EQ(1, interrupts);
}

TEST(irqfd_resample_masked)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_masked, 0);
	int fd = new_eventfd(), ask = new_eventfd();

	ASSERT_EQ(0, irqfd(vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, ask));
	vcpu_run_sync(vcpu, 1);
	signal_it(fd);
	EXPECT_EQ(0, signalled(ask));
	vcpu_run_sync(vcpu, 2);
	if (!signalled(ask))
		SKIP(return, "this KVM does not ask when a pin is unmasked");
	EXPECT_EQ(0, guest_var(vm, interrupts));
	signal_it(fd);
	vcpu_run_done(vcpu);
}

TEST(irqfd_input)
{
	struct vm *vm = vm_create(VM_BARE), *with = vm_create(VM_BARE | VM_IRQCHIP);
	int fd = new_eventfd(), other = new_eventfd();

	EXPECT_EQ(EINVAL, irqfd(vm, fd, GSI, 0, 0));		/* no irqchip */
	EXPECT_EQ(EINVAL, irqfd(with, fd, GSI, 4, 0));
	EXPECT_EQ(EBADF, irqfd(with, -1, GSI, 0, 0));
	EXPECT_EQ(EINVAL, irqfd(with, with->fd, GSI, 0, 0));
	EXPECT_EQ(EBADF, irqfd(with, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, -1));
	EXPECT_EQ(0, irqfd(with, fd, GSI, 0, 0));
	EXPECT_EQ(EBUSY, irqfd(with, fd, GSI, 0, 0));
	EXPECT_EQ(EBUSY, irqfd(with, fd, GSI + 1, 0, 0));
	EXPECT_EQ(0, irqfd(with, other, GSI, 0, 0));		/* two may share a GSI */
	EXPECT_EQ(0, irqfd(with, fd, GSI + 1, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT_EQ(EBUSY, irqfd(with, fd, GSI, 0, 0));		/* that was another */
	EXPECT_EQ(0, irqfd(with, fd, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT_EQ(0, irqfd(with, fd, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT_EQ(0, irqfd(with, fd, GSI, 0, 0));
	EXPECT_EQ(0, irqfd(with, fd, 1 << 30, KVM_IRQFD_FLAG_DEASSIGN, 0));
}

/* ---- all of it against each other ---- */

static volatile bool stop;

struct chaos { struct vm *vm; int fd; };

static void *write_always(void *arg)
{
	struct chaos *chaos = arg;
	u64 one = 1;

	while (!stop) {
		if (write(chaos->fd, &one, sizeof(one)) < 0)
			signalled(chaos->fd);
	}
	return NULL;
}

/* Assigned, deassigned and closed while the other thread writes to a copy. */
TEST(irqfd_races)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct chaos chaos = { vm, new_eventfd() };
	int ask = new_eventfd(), i;
	pthread_t thread;

	vcpu_create(vm, 0, guest_wait, 0);
	vm_route_msi(vm, 40, VECTOR);
	pthread_create(&thread, NULL, write_always, &chaos);
	for (i = 0; i < 300; i++) {
		u32 flags = i & 1 ? KVM_IRQFD_FLAG_RESAMPLE : 0;
		int fd = i & 2 ? new_eventfd() : dup(chaos.fd);

		ASSERT_EQ(0, irqfd(vm, fd, 40, flags, ask));
		if (i & 2 ? i & 4 : 1)
			ASSERT_EQ(0, irqfd(vm, fd, 40, KVM_IRQFD_FLAG_DEASSIGN, 0));
		close(fd);
	}
	ASSERT_EQ(0, irqfd(vm, chaos.fd, 40, KVM_IRQFD_FLAG_RESAMPLE, ask));
	close(vm->fd);			/* with one assigned, and being written to */
	usleep(10000);
	stop = true;
	pthread_join(thread, NULL);
	close(chaos.fd);
}

TEST_HARNESS_MAIN
