// SPDX-License-Identifier: GPL-2.0
/*
 * The module without VMX features that CPUs may lack (vmx_without=): each has
 * its way to do without, and no guest is offered an instruction that VMX would
 * make a #UD. Run on Intel hosts; others have no VMX.
 */
#include "lib/module.h"
#include "lib/test.h"

static const struct feature {
	const char *option;
	u32 function, index;
	char reg;			/* 'a', 'b', 'c', 'd', or 0: no CPUID feature */
	u8 bit;
} features[] = {
	{ "vnmi" }, { "preemption-timer" }, { "tpr-shadow" }, { "vpid" }, { "wbinvd" }, { "ple" }, { "tsc-scaling" }, { "apicv" },
	{ "posted-interrupts" }, { "bus-lock" },
	{ "rdtscp", 0x80000001, 0, 'd', 27 },
	{ "invpcid", 7, 0, 'b', 10 },
	{ "xsaves", 0xd, 1, 'a', 3 },
};

static u32 *feature_reg(struct kvm_cpuid2 *c, const struct feature *f)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(c, f->function, f->index);

	if (!e)
		return NULL;
	switch (f->reg) {
	case 'a':
		return &e->eax;
	case 'b':
		return &e->ebx;
	case 'c':
		return &e->ecx;
	default:
		return &e->edx;
	}
}

static bool offered(const struct feature *f)
{
	u32 *reg = feature_reg(supported_cpuid(), f);

	return reg && *reg & 1u << f->bit;
}

static volatile u64 nmis;

static __guest void handle_nmi(struct trap_frame *f)
{
	nmis++;
}

/*
 * A bit of all that the options are about: the TPR, NMIs (with interrupts on,
 * for without virtual NMIs a window for the one is a window for the other), a
 * hint to the host, a flush of the caches.
 */
static __guest void guest_all(void)
{
	u64 cr8;

	guest_handlers[2] = handle_nmi;
	sti();
	asm volatile("mov %0, %%cr8; mov %%cr8, %1" : "=r"(cr8) : "0"(5ul), "r"(0ul));
	asm volatile("mov %1, %%cr8; mov %%cr8, %0" : "=r"(cr8) : "r"(5ul));
	GUEST_ASSERT_EQ(5, cr8);
	asm volatile("mov %0, %%cr8" : : "r"(0ul));
	asm volatile("pause; wbinvd" : : : "memory");
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(1, nmis);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(2, nmis);
}

static void run_with_nmis(void *guest)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest, 0);

	vcpu_run_sync(vcpu, 1);
	do_ioctl(vcpu->fd, KVM_NMI, 0);
	vcpu_run_sync(vcpu, 2);
	do_ioctl(vcpu->fd, KVM_NMI, 0);
	vcpu_run_done(vcpu);
	vcpu_free(vcpu);
	vm_free(vm);
}

static __guest void guest_rdtscp(void)
{
	GUEST_VALUE(TRY("rdtscp", , : "rax", "rcx", "rdx"));
}

static __guest void guest_invpcid(void)
{
	u64 descriptor[2] = { 0, 0 };

	GUEST_VALUE(TRY("invpcid %1, %2", , "m"(descriptor), "r"(2ul)));
}

/* XSAVES faults as CR4.OSXSAVE is clear, before and after #UD is asked for: no guest. */
static void *guest_of(const struct feature *f)
{
	if (!strcmp(f->option, "rdtscp"))
		return guest_rdtscp;
	return !strcmp(f->option, "invpcid") ? guest_invpcid : NULL;
}

/* What the guest sees when user space claims the feature. */
static u64 trap_when_claimed(const struct feature *f)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm *vm = vm_create(0);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_of(f), 0);
	u64 trap;

	*feature_reg(c, f) |= 1u << f->bit;
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	trap = vcpu_run_value(vcpu);
	vcpu_free(vcpu);
	vm_free(vm);
	return trap;
}

static void reload(const char *option)
{
	char args[256];

	snprintf(args, sizeof(args), "%s%s", option ? "vmx_without=" : "", option ?: module_args());
	module_reload(args);
}

#define NEED_INTEL() do {							\
	if (!host_is_intel())							\
		SKIP(return, "the CPU is not Intel's: it has no VMX");		\
	NEED_MODULE();								\
} while (0)

TEST(one_at_a_time)
{
	const struct feature *f;
	bool had;

	NEED_INTEL();
	for (f = features; f < features + ARRAY_SIZE(features); f++) {
		reload(NULL);
		had = f->reg && offered(f);
		reload(f->option);
		run_with_nmis(guest_all);
		if (!had)
			continue;
		EXPECT_FALSE(offered(f)) {
			TH_LOG("without %s", f->option);
		}
		if (guest_of(f))
			EXPECT_EQ(TRAP(6, 0), trap_when_claimed(f));
	}
	reload(NULL);
	for (f = features; f < features + ARRAY_SIZE(features); f++)
		if (guest_of(f) && offered(f))
			EXPECT_EQ(NO_TRAP, trap_when_claimed(f));
}

TEST(all_at_once)
{
	char all[256] = "";
	int i;

	NEED_INTEL();
	for (i = 0; i < ARRAY_SIZE(features); i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? "," : "",
			 features[i].option);
	reload(all);
	run_with_nmis(guest_all);
	reload(NULL);
}

static volatile u64 nested;
static volatile bool in_handler, stay;

/* Stays in there for a while, with the next NMI on its way. */
static __guest void handle_nmi_slowly(struct trap_frame *f)
{
	u64 start = rdtsc();

	nested += in_handler;
	in_handler = true;
	nmis++;
	if (stay) {
		stay = false;
		GUEST_SYNC(2);
		while (rdtsc() - start < 10000000)
			cpu_pause();
	}
	in_handler = false;
}

/* Interrupts stay off: nothing tells that the handler has returned. */
static __guest void guest_without_interrupts(void)
{
	guest_handlers[2] = handle_nmi_slowly;
	stay = true;
	GUEST_SYNC(1);
	while (nmis < 2)
		cpu_pause();
	GUEST_ASSERT_EQ(0, nested);
}

static __guest void guest_waits(void)
{
	guest_handlers[2] = handle_nmi;
	GUEST_SYNC(1);
	while (!nmis)
		cpu_pause();
}

/*
 * Without virtual NMIs none nests; and one that finds the last one's handler left
 * comes in the end, though interrupts are never on.
 */
TEST(nmis_without_vnmi)
{
	struct kvm_vcpu_events ev;
	struct vcpu *vcpu;
	struct vm *vm;

	NEED_INTEL();
	reload("vnmi");
	run_with_nmis(guest_without_interrupts);
	/* A shadow of MOV SS, which interrupts being off makes no window for. */
	vm = vm_create(0);
	vcpu = vcpu_create(vm, 0, guest_waits, 0);
	vcpu_run_sync(vcpu, 1);
	do_ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	ev.flags = KVM_VCPUEVENT_VALID_SHADOW;
	ev.interrupt.shadow = KVM_X86_SHADOW_INT_MOV_SS;
	do_ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	do_ioctl(vcpu->fd, KVM_NMI, 0);
	vcpu_run_done(vcpu);
	vcpu_free(vcpu);
	vm_free(vm);
	reload(NULL);
}

#define TIMER_VECTOR	0xec
#define TIMER_TICKS	20

static volatile u64 ticked;

static __guest void handle_tick(struct trap_frame *f)
{
	ticked = rdtsc();
	x2apic_write(0xb0, 0);
}

/* Nothing here exits but the timer: TSC deadlines, in x2APIC mode, and a loop. */
static __guest void guest_spins(u64 khz)
{
	u64 when, best = ~0ull;
	int i;

	guest_handlers[TIMER_VECTOR] = handle_tick;
	x2apic_enable();
	x2apic_write(0x320, TIMER_VECTOR | 2u << 17);
	sti();
	for (i = 0; i < TIMER_TICKS; i++) {
		ticked = 0;
		when = rdtsc() + khz / 2;
		wrmsr(0x6e0, when);
		while (!ticked)
			;
		GUEST_ASSERT(ticked >= when);
		if (ticked - when < best)
			best = ticked - when;
	}
	GUEST_VALUE(best);
}

/* Exits that the timer made, of TIMER_TICKS deadlines; the least delay, in us. */
static s64 timer_exits(u64 *late, int percent)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, NULL, 0);
	struct kvm_cpuid2 *c = supported_cpuid();
	u64 khz = do_ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0) * percent / 100;
	s64 exits;

	do_ioctl(vcpu->fd, KVM_SET_TSC_KHZ, khz);
	cpuid_find(c, 1, 0)->ecx |= 1u << 24;
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	vcpu_start64(vcpu, guest_spins, khz);
	*late = vcpu_run_value(vcpu) * 1000 / khz;
	exits = vcpu_stat(vcpu, "timer_exits");
	vcpu_free(vcpu);
	vm_free(vm);
	return exits;
}

/*
 * By the stats, the exits come from the hardware's timer. Not before each deadline
 * does a host leave a guest alone, so some may be found due at another exit.
 */
TEST(preemption_timer)
{
	static const int percents[] = { 100, 50, 130 };
	u64 late;
	int i, n;

	NEED_INTEL();
	reload(NULL);
	n = check_extension(KVM_CAP_TSC_CONTROL) ? ARRAY_SIZE(percents) : 1;
	for (i = 0; i < n; i++) {
		s64 exits = timer_exits(&late, percents[i]);

		EXPECT_GE(exits, TIMER_TICKS / 2);
		EXPECT_LE(exits, TIMER_TICKS);
		EXPECT_LT(late, 50);
	}
	reload("preemption-timer");
	EXPECT_EQ(0, timer_exits(&late, 100));
	EXPECT_LT(late, 1000);
	reload(NULL);
}

#define IPIS	100

static volatile u64 ipis;

static __guest void handle_ipi(struct trap_frame *f)
{
	ipis++;
	x2apic_write(0xb0, 0);
}

static __guest void guest_ipis(void)
{
	guest_handlers[TIMER_VECTOR] = handle_ipi;
	x2apic_enable();
	sti();
	GUEST_SYNC(1);
	while (ipis < IPIS) {
		u64 seen = ipis;

		write_cr8(1);
		x2apic_write(0x80, x2apic_read(0x80) & 0xf);
		x2apic_write(0x3f0, TIMER_VECTOR);
		while (ipis == seen)
			;
	}
	GUEST_SYNC(2);
}

/* Exits of IPIS self-IPIs with their EOIs, and what a guest does with its TPR. */
static s64 ipi_exits(void)
{
	struct vm *vm = vm_create(VM_IRQCHIP);
	struct vcpu *vcpu = vcpu_create(vm, 0, guest_ipis, 0);
	s64 exits;

	vcpu_run_sync(vcpu, 1);
	exits = vcpu_stat(vcpu, "exits") - vcpu_stat(vcpu, "irq_exits");
	vcpu_run_sync(vcpu, 2);
	exits = vcpu_stat(vcpu, "exits") - vcpu_stat(vcpu, "irq_exits") - exits;
	vcpu_free(vcpu);
	vm_free(vm);
	return exits;
}

/* An x2APIC of which hardware does the most takes no exits; in software, four a turn. */
TEST(apicv)
{
	NEED_INTEL();
	reload(NULL);
	EXPECT_LT(ipi_exits(), IPIS / 10);
	reload("apicv");
	EXPECT_GT(ipi_exits(), 3 * IPIS);
	reload(NULL);
}

/* Where the CPU has it, it is offered unless that is turned off. */
TEST(bus_lock)
{
	int modes = KVM_BUS_LOCK_DETECTION_OFF | KVM_BUS_LOCK_DETECTION_EXIT;

	NEED_INTEL();
	reload(NULL);
	if (check_extension(KVM_CAP_X86_BUS_LOCK_EXIT) != modes)
		SKIP(return, "this CPU does not tell of bus locks");
	reload("bus-lock");
	EXPECT_EQ(0, check_extension(KVM_CAP_X86_BUS_LOCK_EXIT));
	reload(NULL);
}

/* A name that is none is a typing error, and says so by not loading. */
TEST(no_such_name)
{
	NEED_INTEL();
	ASSERT_EQ(0, module_unload_soon());
	EXPECT_EQ(EINVAL, module_load("vmx_without=vnmy"));
	EXPECT_EQ(0, module_load(module_args()));
	EXPECT_TRUE(module_device_appears());
}

TEST_HARNESS_MAIN
