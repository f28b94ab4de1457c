// SPDX-License-Identifier: GPL-2.0
/*
 * The host is suspended to RAM (S3) under running guests, and woken by its RTC: what the firmware
 * starts then are CPUs as after a reset. Each guest goes on with its registers, its memory and its
 * timer, and no clock of it goes back, nor apart from that of another vCPU.
 */
#include <fcntl.h>

#include "lib/test.h"

#define MSR_STAR	0xc0000081
#define MSR_LSTAR	0xc0000082
#define MSR_CSTAR	0xc0000083
#define MSR_KERNEL_GS	0xc0000102
#define MSR_SYSENTER_EIP 0x176
#define MSR_SYSTEM_TIME	0x4b564d01
#define CLOCK_PAGE	(GUEST_FREE + 0x100)
#define PAGES		64
#define VECTOR		0xec
#define APIC_LVTT	0x320
#define APIC_TMICT	0x380
#define APIC_TDCR	0x3e0
#define APIC_EOI	0xb0
#define PIN		20		/* which no PIC has */
#define PERIODIC	(1u << 17)
#define PERIOD		2000000		/* ns */

/* Of the vCPU that runs: the guest's, seen by the host. */
static volatile u64 rounds, ticks, last_tsc, last_clock;
static volatile bool stop;
/* Of the one that sleeps. */
static volatile u64 wakes, woken_tsc;

/* ---- the host's suspend ---- */

static bool write_file(const char *path, const char *s)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, s, strlen(s)) == (ssize_t)strlen(s);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Its first line, or an empty string. */
static const char *read_file(const char *path)
{
	static char line[128];
	FILE *f = fopen(path, "r");

	if (!f || !fgets(line, sizeof(line), f))
		line[0] = 0;
	if (f)
		fclose(f);
	return line;
}

/* NULL: it can be suspended. */
static const char *obstacle(void)
{
	if (!host_is_emulated())
		return "this machine is no emulated host: it stays awake";
	if (!strstr(read_file("/sys/power/state"), "mem") ||
	    !strstr(read_file("/sys/power/mem_sleep"), "deep"))
		return "the host's kernel has no suspend to RAM";
	if (access("/sys/class/rtc/rtc0/wakealarm", W_OK))
		return "the host has no clock to wake it";
	return NULL;
}

/*
 * An alarm that goes off before there is sleep would wake nobody. The count of such events, given
 * back, makes it end the attempt instead (the kernel's Documentation/ABI, sysfs-power).
 */
static bool sleep_for(int seconds)
{
	char alarm[16];

	snprintf(alarm, sizeof(alarm), "+%d", seconds);
	return write_file("/sys/power/mem_sleep", "deep") &&
	       write_file("/sys/class/rtc/rtc0/wakealarm", "0") &&
	       write_file("/sys/power/wakeup_count", read_file("/sys/power/wakeup_count")) &&
	       write_file("/sys/class/rtc/rtc0/wakealarm", alarm) &&
	       write_file("/sys/power/state", "mem");
}

/* Not always: one that comes in the last moments is lost. QEMU's RTC goes by real time. */
static bool suspend(void)
{
	return sleep_for(10) || sleep_for(30);
}

/* ---- the guest that runs ---- */

static __guest void tick(struct trap_frame *f)
{
	ticks++;
	xapic_write(APIC_EOI, 0);
}

static u64 word(u64 page)
{
	return page * 0x9e3779b97f4a7c15 + 1;
}

static const struct { u32 msr; u64 value; } kept[] = {
	{ MSR_STAR,		0x0023001000000000 },
	{ MSR_LSTAR,		0x123450 },
	{ MSR_CSTAR,		0x123460 },
	{ MSR_KERNEL_GS,	0xffff800000001000 },
	{ MSR_SYSENTER_EIP,	0x123470 },
};

static __guest void set_state(void)
{
	u64 i;

	for (i = 0; i < PAGES; i++)
		*(volatile u64 *)(GUEST_FREE + (i + 1) * PAGE_SIZE) = word(i);
	for (i = 0; i < ARRAY_SIZE(kept); i++)
		wrmsr(kept[i].msr, kept[i].value);
	write_dr0(0x5555aaaa);
	asm volatile("movq %0, %%xmm7" : : "r"(word(7)));
}

static __guest void check_state(void)
{
	u64 i, v;

	for (i = 0; i < PAGES; i++)
		GUEST_ASSERT_EQ(word(i), *(volatile u64 *)(GUEST_FREE + (i + 1) * PAGE_SIZE));
	for (i = 0; i < ARRAY_SIZE(kept); i++)
		GUEST_ASSERT_EQ(kept[i].value, rdmsr(kept[i].msr));
	GUEST_ASSERT_EQ(0x5555aaaa, read_dr0());
	asm volatile("movq %%xmm7, %0" : "=r"(v));
	GUEST_ASSERT_EQ(word(7), v);
}

static __guest void check_clocks(void)
{
	u64 tsc = rdtsc(), clock = page_time((void *)CLOCK_PAGE);

	GUEST_ASSERT(tsc >= last_tsc);
	GUEST_ASSERT(clock >= last_clock);
	last_tsc = tsc;
	last_clock = clock;
}

/* What is in registers alone: 12 of them, through a loop that has no exits. */
#define BUSY(out) asm volatile(							\
	"mov $1, %%rax; mov $2, %%rbx; mov $3, %%rcx; mov $4, %%rdx; mov $5, %%rsi\n"	\
	"mov $6, %%rdi; mov $7, %%r8; mov $8, %%r9; mov $9, %%r10; mov $10, %%r11\n"	\
	"mov $11, %%r12; mov $2000, %%r13\n"						\
	"1: add %%rbx, %%rax; add %%rcx, %%rbx; add %%rdx, %%rcx; add %%rsi, %%rdx\n"	\
	"add %%rdi, %%rsi; add %%r8, %%rdi; add %%r9, %%r8; add %%r10, %%r9\n"		\
	"add %%r11, %%r10; add %%r12, %%r11; add %%rax, %%r12\n"			\
	"dec %%r13; jnz 1b\n"								\
	: "=&a"(out) : : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",	\
	  "r13", "cc")

static __guest void guest_runs(void)
{
	u64 first, again;

	guest_handlers[VECTOR] = tick;
	wrmsr(MSR_SYSTEM_TIME, CLOCK_PAGE | 1);
	set_state();
	xapic_enable();
	xapic_write(APIC_TDCR, 0xb);
	xapic_write(APIC_LVTT, VECTOR | PERIODIC);
	xapic_write(APIC_TMICT, PERIOD);
	sti();
	BUSY(first);
	while (!stop) {
		BUSY(again);
		GUEST_ASSERT_EQ(first, again);
		check_clocks();
		check_state();
		rounds++;
	}
}

/* ---- and the one that sleeps ---- */

static __guest void wake(struct trap_frame *f)
{
	woken_tsc = rdtsc();
	wakes++;
	xapic_write(APIC_EOI, 0);
}

static __guest void guest_sleeps(void)
{
	guest_handlers[VECTOR + 1] = wake;
	xapic_enable();
	ioapic_route(PIN, (u64)1 << 56 | (VECTOR + 1));
	for (cli(); !stop; cli())
		sti_hlt();
}

/* ---- both, over suspends ---- */

/* All threads stop for a suspend, as for a signal. */
static void *run(void *arg)
{
	struct vcpu *vcpu = arg;

	while (vcpu_run_once(vcpu) == EINTR)
		;
	if (vcpu_report(vcpu).kind != REPORT_DONE)
		die("vCPU %d: exit reason %u", vcpu->id, vcpu->run->exit_reason);
	return NULL;
}

static bool comes_to(volatile u64 *count, u64 n)
{
	int i;

	for (i = 0; i < 1000 && *count < n; i++)
		usleep(10000);
	return *count >= n;
}

FIXTURE(suspend) {
	struct vm *vm;
	pthread_t threads[2];
	volatile u64 *rounds, *ticks, *wakes, *woken_tsc;
};

static void wake_sleeper(struct vm *vm)
{
	vm_irq_line(vm, PIN, 1);
	vm_irq_line(vm, PIN, 0);
}

FIXTURE_SETUP(suspend)
{
	struct kvm_mp_state runs = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct vcpu *vcpu;
	int i;

	self->vm = NULL;
	if (obstacle())
		return;
	self->vm = vm_create(VM_IRQCHIP);
	self->rounds = &guest_var(self->vm, rounds);
	self->ticks = &guest_var(self->vm, ticks);
	self->wakes = &guest_var(self->vm, wakes);
	self->woken_tsc = &guest_var(self->vm, woken_tsc);
	for (i = 0; i < 2; i++) {
		vcpu = vcpu_create(self->vm, i, i ? guest_sleeps : guest_runs, 0);
		do_ioctl(vcpu->fd, KVM_SET_MP_STATE, &runs);
		ASSERT_EQ(0, pthread_create(&self->threads[i], NULL, run, vcpu));
	}
	ASSERT_TRUE(comes_to(self->ticks, 3));
}

FIXTURE_TEARDOWN(suspend)
{
}

TEST_F(suspend, guest_goes_on)
{
	u64 n, t;

	if (obstacle())
		SKIP(return, "%s", obstacle());
	ASSERT_TRUE(suspend());
	n = *self->rounds;
	t = *self->ticks;
	EXPECT_TRUE(comes_to(self->rounds, n + 3));
	EXPECT_TRUE(comes_to(self->ticks, t + 3));
	guest_var(self->vm, stop) = true;
	pthread_join(self->threads[0], NULL);
	wake_sleeper(self->vm);
	pthread_join(self->threads[1], NULL);

	/* And another VM is made, and runs, as before. */
	self->vm = vm_create(VM_IRQCHIP);
	guest_var(self->vm, stop) = true;
	vcpu_run_done(vcpu_create(self->vm, 0, guest_runs, 0));
}

/* One has seen the host's TSC last long before the suspend, and the other just before it. */
TEST_F(suspend, tscs_stay_together)
{
	u64 tsc;

	if (obstacle())
		SKIP(return, "%s", obstacle());
	wake_sleeper(self->vm);
	ASSERT_TRUE(comes_to(self->wakes, 1));
	usleep(300000);
	ASSERT_TRUE(suspend());
	ASSERT_TRUE(comes_to(self->rounds, *self->rounds + 3));
	tsc = guest_var(self->vm, last_tsc);
	wake_sleeper(self->vm);
	ASSERT_TRUE(comes_to(self->wakes, 2));
	EXPECT_GE(*self->woken_tsc, tsc);
	/* And not ahead of it. */
	ASSERT_TRUE(comes_to(self->rounds, *self->rounds + 3));
	EXPECT_GE(guest_var(self->vm, last_tsc), *self->woken_tsc);
}

TEST_HARNESS_MAIN
