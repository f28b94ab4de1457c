// SPDX-License-Identifier: GPL-2.0
/*
 * Several vCPUs: INIT and SIPI from real mode up, MP states, IPIs by every
 * shorthand and destination mode, remote TLB shootdown as guests do it, and a
 * counter that all of them increment.
 */
#include <cpuid.h>
#include <signal.h>

#include "lib/test.h"

#define ICR_LO		0x300
#define ICR_HI		0x310
#define VECTOR		0x61
#define CPUS		3

static volatile u64 hits[GUEST_MAX_CPUS];
static volatile u64 ready;
static volatile bool stop;

static u32 my_id(void)
{
	return xapic_read(0x20) >> 24;
}

static __guest void hit(struct trap_frame *f)
{
	hits[my_id()]++;
	xapic_write(0xb0, 0);
}

static void send(u32 dest, u32 icr)
{
	xapic_write(ICR_HI, dest << 24);
	xapic_write(ICR_LO, icr);
}

static u64 total(void)
{
	u64 n = 0;
	int i;

	for (i = 0; i < CPUS; i++)
		n += hits[i];
	return n;
}

/* ---- MP states and INIT/SIPI ---- */

asm(".pushsection .rodata\n"
    "ap_start: .code16\n"			/* cs = 0x0200 or whatever the SIPI said */
    "	mov	%cs, %ax\n"
    "	mov	%ax, %ds\n"
    "	movw	$0x1234, 0xff0\n"
    "	mov	%ax, 0xff2\n"
    "	xor	%ax, %ax\n"
    "	mov	%ax, %ds\n"
    "	mov	$1, %eax\n"			/* REPORT_DONE */
    "	mov	$0x900, %dx\n"
    "	out	%eax, %dx\n"
    "ap_end: .code64\n"
    ".popsection");
extern const char ap_start[], ap_end[];

#define SIPI_PAGE 3

static __guest void guest_bsp(void)
{
	xapic_enable();
	send(1, 0x4500);		/* INIT, assert */
	GUEST_SYNC(1);
	send(1, 0x4600 | SIPI_PAGE);
	GUEST_SYNC(2);
	/* A second SIPI to a vCPU that is up is nothing. */
	send(1, 0x4600 | (SIPI_PAGE + 1));
}

TEST(init_sipi)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *bsp = vcpu_create(vm, 0, guest_bsp, 0), *ap = vcpu_create(vm, 1, NULL, 0);
	struct kvm_mp_state mp;
	struct kvm_sregs s;
	pthread_t thread;

	memcpy(guest_ptr(vm, SIPI_PAGE << 12), ap_start, ap_end - ap_start);
	do_ioctl(bsp->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp.mp_state);
	do_ioctl(ap->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, mp.mp_state);
	EXPECT_NE(0, vcpu_get_msr(bsp, 0x1b) & 1 << 8);
	EXPECT_EQ(0, vcpu_get_msr(ap, 0x1b) & 1 << 8);

	vcpu_run_thread(ap, &thread);	/* waits in the kernel */
	vcpu_run_sync(bsp, 1);
	vcpu_run_sync(bsp, 2);
	pthread_join(thread, NULL);
	EXPECT_EQ(0x1234, *(u16 *)guest_ptr(vm, (SIPI_PAGE << 12) + 0xff0));
	EXPECT_EQ(SIPI_PAGE << 8, *(u16 *)guest_ptr(vm, (SIPI_PAGE << 12) + 0xff2));
	s = vcpu_sregs(ap);
	EXPECT_EQ(SIPI_PAGE << 12, s.cs.base);
	EXPECT_EQ(SIPI_PAGE << 8, s.cs.selector);
	EXPECT_EQ(0, s.cr0 & 0x80000001);
	do_ioctl(ap->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp.mp_state);
	vcpu_run_done(bsp);
}

/* INIT takes a running vCPU back to waiting, with its registers as at reset. */
static __guest void guest_victim(void)
{
	xapic_enable();
	asm volatile("mov %0, %%cr2" : : "r"(0x1234ul));
	write_dr0(0x5678);
	ready = 1;
	for (;;)
		cpu_pause();
}

static __guest void guest_init_sender(void)
{
	xapic_enable();
	while (!ready)
		cpu_pause();
	send(1, 0x4500);
	send(1, 0x4600 | SIPI_PAGE);
}

TEST(init_while_running)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *bsp = vcpu_create(vm, 0, guest_init_sender, 0);
	struct vcpu *ap = vcpu_create(vm, 1, guest_victim, 0);
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct kvm_debugregs dr;
	pthread_t thread;

	memcpy(guest_ptr(vm, SIPI_PAGE << 12), ap_start, ap_end - ap_start);
	do_ioctl(ap->fd, KVM_SET_MP_STATE, &mp);
	vcpu_run_thread(ap, &thread);
	vcpu_run_done(bsp);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, vcpu_sregs(ap).efer);
	EXPECT_EQ(0, vcpu_sregs(ap).cr2);
	EXPECT_EQ(0, vcpu_sregs(ap).cr3);
	do_ioctl(ap->fd, KVM_GET_DEBUGREGS, &dr);
	EXPECT_EQ(0, dr.db[0]);
	EXPECT_EQ(SIPI_PAGE << 12, vcpu_sregs(ap).cs.base);
}

/*
 * What a SIPI and an INIT do in each state: SDM vol. 3, 9.4.4. The boot processor waits for no
 * SIPI, and neither does who runs or sleeps.
 */
static __guest void guest_sends_one(u64 icr)
{
	xapic_enable();
	send(1, icr);
}

static u32 state_after(u32 state, u64 icr)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *sender = vcpu_create(vm, 0, guest_sends_one, icr);
	struct vcpu *target = vcpu_create(vm, 1, NULL, 0);
	struct kvm_mp_state mp = { state };

	do_ioctl(target->fd, KVM_SET_MP_STATE, &mp);
	vcpu_run_done(sender);
	do_ioctl(target->fd, KVM_GET_MP_STATE, &mp);
	vm_free(vm);
	return mp.mp_state;
}

TEST(init_or_sipi_in_each_state)
{
	static const struct { u32 state, sipi; } rows[] = {
		{ KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_RUNNABLE },
		{ KVM_MP_STATE_HALTED, KVM_MP_STATE_HALTED },
		{ KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_UNINITIALIZED },
		{ KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_RUNNABLE },
		{ KVM_MP_STATE_SIPI_RECEIVED, KVM_MP_STATE_RUNNABLE },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		EXPECT_EQ(rows[i].sipi, state_after(rows[i].state, 0x4600 | SIPI_PAGE)) {
			TH_LOG("a SIPI in state %u", rows[i].state);
		}
		EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, state_after(rows[i].state, 0x4500)) {
			TH_LOG("an INIT in state %u", rows[i].state);
		}
	}
}

/* ---- IPIs ---- */

static __guest void cpu_init(void)
{
	guest_handlers[VECTOR] = hit;
	xapic_enable();
	xapic_write(0xe0, ~0u);				/* flat */
	xapic_write(0xd0, 1u << 24 << my_id());
	sti();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
}

static __guest void guest_receiver(void)
{
	cpu_init();
	while (!stop)
		cpu_pause();
}

static __guest void guest_sleeper(void)
{
	cpu_init();
	cli();
	while (!stop)
		sti_hlt(), cli();
}

/* No fewer, and none of them twice. */
static __guest void wait_for(u64 n)
{
	while (total() < n)
		cpu_pause();
	GUEST_ASSERT_EQ(n, total());
}

static __guest void guest_sender(void)
{
	u64 n = 0;
	int i;

	cpu_init();
	while (ready < CPUS)
		cpu_pause();

	/* physical, each, the sender included */
	for (i = 0; i < CPUS; i++) {
		send(i, VECTOR);
		wait_for(++n);
		GUEST_ASSERT_EQ(1, hits[i]);
	}
	/* logical: one, two, all */
	send(1 << 2, 1 << 11 | VECTOR);
	wait_for(++n);
	GUEST_ASSERT_EQ(2, hits[2]);
	send(1 << 1 | 1 << 2, 1 << 11 | VECTOR);
	wait_for(n += 2);
	GUEST_ASSERT_EQ(3, hits[2]);
	send(0xff, 1 << 11 | VECTOR);
	wait_for(n += CPUS);
	/* physical broadcast */
	send(0xff, VECTOR);
	wait_for(n += CPUS);
	/* shorthands: self, all, all but self */
	send(0, 1 << 18 | VECTOR);
	wait_for(++n);
	send(0, 2 << 18 | VECTOR);
	wait_for(n += CPUS);
	i = hits[0];
	send(0, 3 << 18 | VECTOR);
	wait_for(n += CPUS - 1);
	GUEST_ASSERT_EQ(i, hits[0]);
	/* lowest priority: exactly one of them */
	send(7, 1 << 11 | 1 << 8 | VECTOR);
	wait_for(++n);
	/* nobody's id */
	send(9, VECTOR);
	wait_for(n);

	/* there and back, many times */
	for (i = 0; i < 40; i++) {
		send(1 + i % 2, VECTOR);
		wait_for(++n);
	}
	stop = true;
	send(0, 3 << 18 | VECTOR);
}

static void run_all(struct __test_metadata *_metadata, void *sender, void *receiver)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	pthread_t threads[CPUS];
	struct vcpu *vcpu;
	int i;

	for (i = 0; i < CPUS; i++) {
		vcpu = vcpu_create(vm, i, i ? receiver : sender, i);
		do_ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp);
		vcpu_run_thread(vcpu, &threads[i]);
	}
	for (i = 0; i < CPUS; i++)
		pthread_join(threads[i], NULL);
}

TEST(ipi_to_running)
{
	run_all(_metadata, guest_sender, guest_receiver);
}

TEST(ipi_to_halted)
{
	run_all(_metadata, guest_sender, guest_sleeper);
}

/* ---- x2APIC ---- */

static __guest void x2_hit(struct trap_frame *f)
{
	hits[x2apic_read(0x20)]++;
	x2apic_write(0xb0, 0);
}

static __guest void x2_init(void)
{
	guest_handlers[VECTOR] = x2_hit;
	x2apic_enable();
	sti();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
}

static __guest void guest_x2_receiver(u64 id)
{
	x2_init();
	GUEST_ASSERT_EQ(id, x2apic_read(0x20));
	GUEST_ASSERT_EQ(1u << id, x2apic_read(0xd0));	/* cluster 0 */
	while (!stop)
		cpu_pause();
}

static __guest void guest_x2_sender(void)
{
	u64 n = 0;
	int i;

	x2_init();
	while (ready < CPUS)
		cpu_pause();
	for (i = 0; i < CPUS; i++) {
		x2apic_write(ICR_LO, (u64)i << 32 | VECTOR);
		wait_for(++n);
		GUEST_ASSERT_EQ(1, hits[i]);
	}
	x2apic_write(ICR_LO, 6ull << 32 | 1 << 11 | VECTOR);	/* cluster 0, ids 1 and 2 */
	wait_for(n += 2);
	x2apic_write(ICR_LO, 0xffffffffull << 32 | VECTOR);
	wait_for(n += CPUS);
	x2apic_write(ICR_LO, 3 << 18 | VECTOR);
	wait_for(n += CPUS - 1);
	x2apic_write(0x3f0, VECTOR);				/* self IPI */
	wait_for(++n);
	/* Reserved, and xAPIC's: #GP. */
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(0x831, 0));	/* ICR2 */
	GUEST_ASSERT_EQ(TRAP(13, 0), try_wrmsr(0x802, 0));	/* id */
	stop = true;
}

TEST(x2apic)
{
	run_all(_metadata, guest_x2_sender, guest_x2_receiver);
}

/* ---- memory ---- */

/* Atomic operations of all vCPUs on one word, and one of them flushing the others. */
#define ROUNDS 5000

static volatile u64 shared;

static __guest void guest_count(u64 id)
{
	int i;

	for (i = 0; i < ROUNDS; i++)
		asm volatile("lock incq %0" : "+m"(shared));
}

TEST(atomics)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	pthread_t threads[CPUS];
	struct vcpu *vcpu;
	int i;

	for (i = 0; i < CPUS; i++) {
		vcpu = vcpu_create(vm, i, guest_count, i);
		do_ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp);
		vcpu_run_thread(vcpu, &threads[i]);
	}
	for (i = 0; i < CPUS; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(CPUS * ROUNDS, guest_var(vm, shared));
}

/* A guest changes a page table entry, and has the others flush by IPI. */
#define PAGE_A	GUEST_FREE
#define PAGE_B	(GUEST_FREE + 0x1000)

static u64 pte_gpa;
static volatile u64 generation, acks;

static __guest void flush(struct trap_frame *f)
{
	write_cr3(read_cr3());
	__atomic_fetch_add(&acks, 1, __ATOMIC_SEQ_CST);
	xapic_write(0xb0, 0);
}

static __guest void guest_flush_receiver(void)
{
	guest_handlers[VECTOR] = flush;
	xapic_enable();
	sti();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	while (!stop) {
		u64 g = generation;

		barrier();
		u64 v = *(volatile u64 *)GVA_TEST;

		/* Seen after generation g: the page of g, or a later one. */
		GUEST_CHECK(v >= g, "not older than the last flush", g, v);
	}
}

static __guest void guest_flush_sender(void)
{
	u64 i;

	guest_handlers[VECTOR] = flush;
	xapic_enable();
	sti();
	while (ready < CPUS - 1)
		cpu_pause();
	for (i = 1; i <= 60; i++) {
		u64 next = i & 1 ? PAGE_B : PAGE_A;

		*(volatile u64 *)next = i;
		*(volatile u64 *)pte_gpa = next | PTE_P | PTE_W;
		acks = 0;
		send(0, 3 << 18 | VECTOR);
		while (acks < CPUS - 1)
			cpu_pause();
		generation = i;
	}
	stop = true;
}

TEST(shootdown)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	pthread_t threads[CPUS];
	struct vcpu *vcpu;
	int i;

	vm_map_page(vm, GVA_TEST, PAGE_A, PTE_W);
	guest_var(vm, pte_gpa) = vm->next_table - PAGE_SIZE;	/* its last level: entry 0 */
	for (i = 0; i < CPUS; i++) {
		vcpu = vcpu_create(vm, i, i ? guest_flush_receiver : guest_flush_sender, i);
		do_ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp);
		vcpu_run_thread(vcpu, &threads[i]);
	}
	for (i = 0; i < CPUS; i++)
		pthread_join(threads[i], NULL);
}

/* ---- whoever runs a vCPU before its creator has its fd ---- */

static volatile int guessed;
static volatile bool creating, created, creator_waited;

static void *run_guessed(void *unused)
{
	while (!created)
		ioctl(guessed, KVM_RUN, 0);
	return NULL;
}

static void on_signal(int sig)
{
}

/* A guest that never exits, from the reset vector on: JMP to itself. */
static int vm_that_spins(void)
{
	int vm = do_ioctl(device_open(), KVM_CREATE_VM, 0);
	u16 *rom = map_memory(PAGE_SIZE);
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = 0xfffff000, .memory_size = PAGE_SIZE, .userspace_addr = (u64)rom,
	};

	rom[0xff0 / 2] = 0xfeeb;
	do_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
	do_ioctl(vm, KVM_CREATE_IRQCHIP, 0);
	return vm;
}

/* Whoever waits for the guest has what else the VM is asked for wait, too. */
static void *end_wait(void *guesser)
{
	int ms = 0;

	while (!created) {
		usleep(1000);
		ms = creating ? ms + 1 : 0;
		if (ms > 500) {
			creator_waited = true;
			pthread_kill(*(pthread_t *)guesser, SIGUSR1);
		}
	}
	return NULL;
}

TEST(run_before_created)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pthread_t guesser, watch;

	SKIP_ON_STOCK("waits for the guest, if with fewer locks held");
	sigaction(SIGUSR1, &sa, NULL);
	for (int i = 0; i < 50 && !creator_waited; i++) {
		int vm = vm_that_spins(), fd;

		created = false;
		guessed = dup(vm);
		close(guessed);
		pthread_create(&guesser, NULL, run_guessed, NULL);
		pthread_create(&watch, NULL, end_wait, &guesser);
		usleep(1000);
		creating = true;
		fd = ioctl(vm, KVM_CREATE_VCPU, 0);
		creating = false;
		EXPECT_EQ(guessed, fd);
		created = true;
		pthread_join(watch, NULL);
		while (pthread_tryjoin_np(guesser, NULL)) {
			pthread_kill(guesser, SIGUSR1);
			usleep(1000);
		}
		close(fd);
		close(vm);
	}
	EXPECT_FALSE(creator_waited);
}

TEST_HARNESS_MAIN
