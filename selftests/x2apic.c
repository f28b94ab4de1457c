// SPDX-License-Identifier: GPL-2.0
/*
 * More vCPUs than 8 bits can number: 320 of them, most of which wait for an
 * INIT that never comes, and a few that run and send each other interrupts by
 * every kind of destination; messages from outside to ids over 255
 * (KVM_CAP_X2APIC_API); and what an id over 255 reads like.
 */
#include "lib/test.h"

#define VCPUS		320
#define VECTOR		0x61
#define LOWEST		(1 << 8)
#define LOGICAL		(1 << 11)
#define INIT		0x4500
#define SIPI		0x4600
#define ICR		0x300

#define MSR_APIC_BASE	0x1b
#define MSI_ADDRESS	0xfee00000
#define MSI_LOGICAL	(1 << 2)

#define HC_SEND_IPI	10

/*
 * Those that run, by their place in each array. 44 is what is left of 300 in 8
 * bits; 256 and 271 share a cluster with nobody else who runs.
 */
#define RUNNING		6
#define AT_0		0
#define AT_44		1
#define AT_255		2
#define AT_256		3
#define AT_271		4
#define AT_300		5

static const u32 ids[RUNNING] = { 0, 44, 255, 256, 271, 300 };

static volatile u64 hits[RUNNING], ready;
static volatile bool stop;
static volatile u64 intel;

static inline u32 ldr_of(u32 id)
{
	return (id >> 4) << 16 | 1u << (id & 15);
}

static __guest int my_place(void)
{
	u32 id = x2apic_read(0x20);
	int i = 0;

	while (ids[i] != id)
		i++;
	return i;
}

static __guest void hit(struct trap_frame *f)
{
	hits[my_place()]++;
	x2apic_write(0xb0, 0);
}

static __guest void guest_up(u64 place)
{
	guest_handlers[VECTOR] = hit;
	x2apic_enable();
	GUEST_ASSERT_EQ(ids[place], x2apic_read(0x20));
	GUEST_ASSERT_EQ(ldr_of(ids[place]), x2apic_read(0xd0));
	GUEST_ASSERT_EQ(ids[place], cpuid(0xb, 0).edx);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
}

static __guest void guest_receiver(u64 place)
{
	cli();
	guest_up(place);
	while (!stop)
		sti_hlt(), cli();
}

/* ---- a VM of 320, and its threads ---- */

struct many {
	struct vm *vm;
	struct vcpu *vcpus[RUNNING];
	pthread_t threads[RUNNING];
	int idle[VCPUS];		/* fds of the others */
};

static bool runs(int id)
{
	int i;

	for (i = 0; i < RUNNING; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* A running one has the block of guest memory that is its place's, not its id's. */
static struct vcpu *vcpu_at(struct vm *vm, int place, void *entry)
{
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct vcpu *vcpu = vcpu_create(vm, ids[place], NULL, 0);

	vcpu->id = place;
	vcpu_start64(vcpu, entry, place);
	do_ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp);
	return vcpu;
}

static struct many *many_create(u64 api, void *first)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X2APIC_API, .args[0] = api };
	struct many *m = calloc(1, sizeof(*m));
	int i;

	m->vm = vm_create(VM_IRQCHIP);
	guest_var(m->vm, intel) = host_is_intel();
	if (api)
		do_ioctl(m->vm->fd, KVM_ENABLE_CAP, &cap);
	for (i = 0; i < RUNNING; i++)
		m->vcpus[i] = vcpu_at(m->vm, i, i || !first ? guest_receiver : first);
	for (i = 0; i < VCPUS; i++)
		if (!runs(i))
			m->idle[i] = do_ioctl(m->vm->fd, KVM_CREATE_VCPU, i);
	return m;
}

static void many_start(struct many *m)
{
	int i;

	for (i = 0; i < RUNNING; i++)
		vcpu_run_thread(m->vcpus[i], &m->threads[i]);
}

static void many_join(struct many *m)
{
	int i;

	for (i = 0; i < RUNNING; i++)
		pthread_join(m->threads[i], NULL);
}

static u64 count_hits(struct vm *vm)
{
	u64 n = 0;
	int i;

	for (i = 0; i < RUNNING; i++)
		n += guest_var(vm, hits)[i];
	return n;
}

/* What has not come after so long won't: seconds, on any host. */
#define PATIENCE	20000

static void wait_hits(struct vm *vm, u64 n)
{
	int i;

	for (i = 0; count_hits(vm) < n; i++) {
		usleep(1000);
		if (i > PATIENCE)
			die("%lu of %lu interrupts came", count_hits(vm), n);
	}
}

/* ---- IPIs ---- */

#define GUEST_PATIENCE	2000000

static u64 expected[RUNNING];

/* One more for each place of @who, and for nobody else. */
static __guest void wait_for(u32 who)
{
	int i, n;

	for (i = 0; i < RUNNING; i++)
		expected[i] += who >> i & 1;
	for (i = 0; i < RUNNING; i++)
		for (n = 0; hits[i] < expected[i] && n < GUEST_PATIENCE; n++)
			cpu_pause();
	for (i = 0; i < RUNNING; i++)
		GUEST_CHECK(hits[i] == expected[i], "each has its interrupts, and no other",
			    i << 16 | who, hits[i]);
}

static __guest void send(u32 dest, u32 icr)
{
	x2apic_write(ICR, (u64)dest << 32 | icr);
}

#define EVERYBODY	((1 << RUNNING) - 1)

static __guest void guest_sender(u64 place)
{
	u64 sum;
	int i;

	guest_up(place);
	sti();
	while (ready < RUNNING)
		cpu_pause();
	for (i = 0; i < RUNNING; i++) {
		send(ids[i], VECTOR);
		wait_for(1 << i);
		send(ldr_of(ids[i]), LOGICAL | VECTOR);
		wait_for(1 << i);
	}
	/* In one cluster: both; those of them that are asked for; one of them. */
	send(16 << 16 | 0x8001, LOGICAL | VECTOR);
	wait_for(1 << AT_256 | 1 << AT_271);
	send(16 << 16 | 0xffff, LOGICAL | VECTOR);
	wait_for(1 << AT_256 | 1 << AT_271);
	send(16 << 16 | 0x8000, LOGICAL | VECTOR);
	wait_for(1 << AT_271);
	sum = hits[AT_256] + hits[AT_271];
	send(16 << 16 | 0x8001, LOGICAL | LOWEST | VECTOR);
	while (hits[AT_256] + hits[AT_271] == sum)
		cpu_pause();
	expected[AT_256] = hits[AT_256];
	expected[AT_271] = hits[AT_271];
	GUEST_ASSERT_EQ(sum + 1, hits[AT_256] + hits[AT_271]);
	/* Nobody: an idle one, ids past the last, no bit, a cluster that isn't. */
	send(257, VECTOR);
	send(4000, VECTOR);
	send(300 | 1 << 16, VECTOR);
	send(16 << 16, LOGICAL | VECTOR);
	send(17 << 16 | 0xffff, LOGICAL | VECTOR);
	send(0x1000u << 16 | 0xffff, LOGICAL | VECTOR);
	wait_for(0);
	/* 255 is an id like any other; all ones is everybody. */
	send(255, VECTOR);
	wait_for(1 << AT_255);
	send(~0u, VECTOR);
	wait_for(EVERYBODY);
	send(~0u, LOGICAL | VECTOR);
	wait_for(EVERYBODY);
	/* Shorthands */
	send(300, 1 << 18 | VECTOR);
	wait_for(1 << AT_0);
	send(300, 2 << 18 | VECTOR);
	wait_for(EVERYBODY);
	send(300, 3 << 18 | VECTOR);
	wait_for(EVERYBODY & ~(1 << AT_0));
	stop = true;
	send(0, 3 << 18 | VECTOR);
}

TEST(ipi)
{
	struct many *m = many_create(0, guest_sender);

	many_start(m);
	many_join(m);
}

/*
 * The same where nothing can be looked up by the logical ids, since one of
 * those that wait has a logical id of xAPIC's: then each is asked.
 */
TEST(ipi_in_mixed_modes)
{
	struct many *m = many_create(0, guest_sender);
	struct kvm_lapic_state l;

	do_ioctl(m->idle[9], KVM_GET_LAPIC, &l);
	*(u32 *)(l.regs + 0xd0) = 1 << 24;
	do_ioctl(m->idle[9], KVM_SET_LAPIC, &l);
	many_start(m);
	many_join(m);
}

/* ---- KVM_HC_SEND_IPI: a window of 128 ids, from anywhere ---- */

static __guest long send_ipi(u64 low, u64 high, u64 first)
{
	long ret;

	if (intel)
		asm volatile("vmcall" : "=a"(ret) : "a"(HC_SEND_IPI), "b"(low), "c"(high), "d"(first),
			     "S"(VECTOR) : "memory");
	else
		asm volatile("vmmcall" : "=a"(ret) : "a"(HC_SEND_IPI), "b"(low), "c"(high), "d"(first),
			     "S"(VECTOR) : "memory");
	return ret;
}

static __guest void guest_pv_sender(u64 place)
{
	guest_up(place);
	sti();
	while (ready < RUNNING)
		cpu_pause();
	GUEST_ASSERT_EQ(4, send_ipi(1ull << 0 | 1ull << 1 | 1ull << 16 | 1ull << 45, 0, 255));
	wait_for(1 << AT_255 | 1 << AT_256 | 1 << AT_271 | 1 << AT_300);
	GUEST_ASSERT_EQ(1, send_ipi(0, 1ull << 36, 200));
	wait_for(1 << AT_300);
	GUEST_ASSERT_EQ(2, send_ipi(1, 1ull << 63, 44) + send_ipi(0, 1ull << 63, 300 - 127));
	wait_for(1 << AT_44 | 1 << AT_300);
	/* Idle ones, whose APICs are off, take none. */
	GUEST_ASSERT_EQ(0, send_ipi(0x7ffe, 0, 256));
	/* No id of all ones, and none past it. */
	GUEST_ASSERT_EQ(0, send_ipi(3, 0, ~0u));
	GUEST_ASSERT_EQ(0, send_ipi(~0ull, ~0ull, 5000));
	wait_for(0);
	stop = true;
	send(0, 3 << 18 | VECTOR);
}

TEST(pv_ipi)
{
	struct many *m = many_create(0, guest_pv_sender);

	many_start(m);
	many_join(m);
}

/* ---- INIT and SIPI to an id over 255, which is in xAPIC mode still ---- */

asm(".pushsection .rodata\n"
    "ap_start: .code16\n"
    "	mov	$1, %eax\n"			/* REPORT_DONE */
    "	mov	$0x900, %dx\n"
    "	out	%eax, %dx\n"
    "ap_end: .code64\n"
    ".popsection");
extern const char ap_start[], ap_end[];

#define SIPI_PAGE	3

static __guest void guest_boots_300(void)
{
	x2apic_enable();
	send(300, INIT);
	send(300, SIPI | SIPI_PAGE);
}

TEST(init_sipi)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *bsp = vcpu_create(vm, 0, guest_boots_300, 0);
	struct vcpu *low = vcpu_create(vm, 44, NULL, 0), *high = vcpu_create(vm, 300, NULL, 0);
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	pthread_t thread;

	memcpy(guest_ptr(vm, SIPI_PAGE << 12), ap_start, ap_end - ap_start);
	vcpu_run_thread(high, &thread);
	vcpu_run_done(bsp);
	pthread_join(thread, NULL);
	EXPECT_EQ(SIPI_PAGE << 12, vcpu_sregs(high).cs.base);
	do_ioctl(low->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, mp.mp_state);
	do_ioctl(low->fd, KVM_GET_VCPU_EVENTS, &events);
	EXPECT_EQ(0, events.sipi_vector);
}

/* ---- messages from outside ---- */

/* A destination is 8 bits here and, where user space asked for it, 24 there. */
static struct kvm_msi message(u32 dest, u32 bits)
{
	struct kvm_msi msi = {
		.address_lo = MSI_ADDRESS | (dest & 0xff) << 12 | bits,
		.address_hi = dest & ~0xffu,
		.data = VECTOR,
	};

	return msi;
}

static int signal_msi(struct vm *vm, u32 dest, u32 bits)
{
	struct kvm_msi msi = message(dest, bits);

	return do_ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

static int route_msi(struct vm *vm, u32 gsi, u32 address_hi, u32 address_lo)
{
	return vm_set_msi_route(vm, gsi, (u64)address_hi << 32 | address_lo, VECTOR);
}

static void stop_all(struct many *m)
{
	guest_var(m->vm, stop) = true;
	signal_msi(m->vm, ~0u, 0);
	signal_msi(m->vm, 0xff, 0);
}

static void start_all(struct many *m)
{
	many_start(m);
	while (guest_var(m->vm, ready) < RUNNING)
		usleep(1000);
}

TEST(msi)
{
	struct many *m = many_create(KVM_X2APIC_API_USE_32BIT_IDS |
				     KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK, NULL);
	struct kvm_msi bad = message(300, 0);
	struct vm *vm = m->vm;
	u64 n = 0;
	int i;

	start_all(m);
	/* One at a time: two of a vector that nobody has taken yet are one. */
	for (i = 0; i < RUNNING; i++) {
		EXPECT_EQ(1, signal_msi(vm, ids[i], 0));
		wait_hits(vm, ++n);
		EXPECT_EQ(1, signal_msi(vm, ldr_of(ids[i]), MSI_LOGICAL));
		wait_hits(vm, ++n);
		EXPECT_EQ(2, guest_var(vm, hits)[i]);
	}
	/* With the quirk off, 0xff is one of them, and all ones is all. */
	EXPECT_EQ(1, signal_msi(vm, 0xff, 0));
	wait_hits(vm, ++n);
	EXPECT_EQ(RUNNING, signal_msi(vm, ~0u, 0));
	wait_hits(vm, n += RUNNING);
	EXPECT_EQ(4, guest_var(vm, hits)[AT_255]);
	EXPECT_EQ(0, signal_msi(vm, 257, 0));
	EXPECT_EQ(0, signal_msi(vm, 17 << 16 | 0xffff, MSI_LOGICAL));
	/* By a route */
	EXPECT_EQ(0, route_msi(vm, 30, 0x100, MSI_ADDRESS | 44 << 12));
	vm_irq_line(vm, 30, 1);
	wait_hits(vm, ++n);
	EXPECT_EQ(4, guest_var(vm, hits)[AT_300]);
	EXPECT_EQ(3, guest_var(vm, hits)[AT_44]);
	/* The lowest byte is the other half's. */
	bad.address_hi |= 1;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_SIGNAL_MSI, &bad));
	EXPECT_EQ(EINVAL, route_msi(vm, 30, 0x180, MSI_ADDRESS));
	EXPECT_EQ(n, count_hits(vm));
	stop_all(m);
	many_join(m);
}

/* Without the capability: 8 bits, and 0xff is everybody. */
TEST(msi_of_8_bits)
{
	struct many *m = many_create(0, NULL);
	struct vm *vm = m->vm;

	start_all(m);
	EXPECT_EQ(1, signal_msi(vm, 300, 0));
	wait_hits(vm, 1);
	EXPECT_EQ(1, guest_var(vm, hits)[AT_44]);
	EXPECT_EQ(RUNNING, signal_msi(vm, 0xff, 0));
	wait_hits(vm, 1 + RUNNING);
	EXPECT_EQ(0, route_msi(vm, 30, 0x101, MSI_ADDRESS | 44 << 12));
	stop_all(m);
	many_join(m);
}

/* ---- state ---- */

static u32 *reg_of(struct kvm_lapic_state *l, int offset)
{
	return (u32 *)(l->regs + offset);
}

static struct vcpu *in_x2apic_mode(struct vm *vm, int id)
{
	struct vcpu *vcpu = vcpu_create(vm, id, NULL, 0);

	if (vcpu_set_msr(vcpu, MSR_APIC_BASE, vcpu_get_msr(vcpu, MSR_APIC_BASE) | 1 << 10) != 1)
		die("vCPU %d does not go to x2APIC mode", id);
	return vcpu;
}

TEST(state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X2APIC_API };
	struct vm *vm = vm_create(VM_IRQCHIP), *old = vm_create(VM_IRQCHIP);
	struct kvm_lapic_state l;
	struct vcpu *vcpu;

	cap.args[0] = 1 << 2;
	EXPECT_EQ(EINVAL, ioctl_errno(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = KVM_X2APIC_API_USE_32BIT_IDS;
	do_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
	vcpu = in_x2apic_mode(vm, 300);
	do_ioctl(vcpu->fd, KVM_GET_LAPIC, &l);
	EXPECT_EQ(300, *reg_of(&l, 0x20));
	EXPECT_EQ(ldr_of(300), *reg_of(&l, 0xd0));
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_LAPIC, &l));
	*reg_of(&l, 0x20) = 44;
	EXPECT_EQ(EINVAL, ioctl_errno(vcpu->fd, KVM_SET_LAPIC, &l));
	EXPECT_EQ(300, vcpu_get_msr(vcpu, 0x802));

	/* 8 bits of it; what is set is the vCPU's all the same. */
	vcpu = in_x2apic_mode(old, 44);
	do_ioctl(vcpu->fd, KVM_GET_LAPIC, &l);
	EXPECT_EQ(44u << 24, *reg_of(&l, 0x20));
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_LAPIC, &l));
	EXPECT_EQ(44, vcpu_get_msr(vcpu, 0x802));
	EXPECT_EQ(ldr_of(44), vcpu_get_msr(vcpu, 0x80d));
}

TEST(claims)
{
	struct vm *vm = vm_create(VM_IRQCHIP | VM_BARE);
	int max = check_extension(KVM_CAP_MAX_VCPUS), ids = check_extension(KVM_CAP_MAX_VCPU_ID);

	ASSERT_LE(VCPUS, max);
	EXPECT_LE(max, ids);
	EXPECT_EQ(host_cpus(), check_extension(KVM_CAP_NR_VCPUS));
	/* The last id there is, and the first there is not. */
	EXPECT_LE(0, ioctl(vm->fd, KVM_CREATE_VCPU, ids - 1));
	EXPECT_EQ(-1, ioctl(vm->fd, KVM_CREATE_VCPU, ids));
	EXPECT_EQ(EINVAL, errno);
}

TEST(id_of_64_bits)
{
	struct vm *vm = vm_create(VM_IRQCHIP | VM_BARE);

	SKIP_ON_STOCK("up to 6.10 takes the low half for the id");
	EXPECT_EQ(-1, ioctl(vm->fd, KVM_CREATE_VCPU, 1ul << 32));
	EXPECT_EQ(EINVAL, errno);
}

/* An image that has room for 8 bits of it does not change the id. */
TEST(id_by_an_old_image)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct kvm_lapic_state l;
	struct vcpu *vcpu;

	SKIP_ON_STOCK("up to 6.10 takes the id from the image");
	vcpu = in_x2apic_mode(vm, 300);
	do_ioctl(vcpu->fd, KVM_GET_LAPIC, &l);
	EXPECT_EQ(44u << 24, *reg_of(&l, 0x20));
	EXPECT_EQ(0, ioctl_errno(vcpu->fd, KVM_SET_LAPIC, &l));
	EXPECT_EQ(300, vcpu_get_msr(vcpu, 0x802));
	EXPECT_EQ(ldr_of(300), vcpu_get_msr(vcpu, 0x80d));
}

TEST_HARNESS_MAIN
