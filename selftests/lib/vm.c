// SPDX-License-Identifier: GPL-2.0
/*
 * VMs and vCPUs of the tests: building a guest's memory (lib/guest_layout.h),
 * starting it in a mode, running it and taking its reports.
 */
#include <link.h>
#include <signal.h>
#include <stdarg.h>

#include "lib/vm.h"

extern const char guest_vector_stubs[], guest_return[];

void __die(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "# %s:%d: ", file, line);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	_exit(1);
}

int __do_ioctl(const char *file, int line, const char *name, int fd, unsigned long req,
	       unsigned long arg)
{
	int ret = ioctl(fd, req, arg);

	if (ret < 0)
		__die(file, line, "%s: %m", name);
	return ret;
}

void *map_memory(size_t size)
{
	char *p = mmap(NULL, size + HUGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("mmap %zu: %m", size);
	p = (char *)(((unsigned long)p + HUGE_SIZE - 1) & ~(HUGE_SIZE - 1));
	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

int vm_set_slot(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size, void *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (unsigned long)hva,
	};

	return ioctl_errno(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

/* ---- the guest's memory ---- */

static int load_segment(struct dl_phdr_info *info, size_t size, void *ram)
{
	int i;

	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD)
			continue;
		if (p->p_vaddr < GUEST_IMAGE || p->p_vaddr + p->p_memsz > GUEST_FREE)
			die("the program is too large for its guest");
		memcpy((char *)ram + p->p_vaddr, (void *)p->p_vaddr, p->p_memsz);
	}
	return 1;	/* a static program has one object */
}

static void build_page_tables(struct vm *vm)
{
	u64 *pml4 = guest_ptr(vm, GUEST_PML4), *pdpt = pml4 + 512, *pd = pdpt + 512;
	u64 i;

	pml4[0] = (GUEST_PML4 + 0x1000) | PTE_P | PTE_W | PTE_U;
	for (i = 0; i < 4; i++)
		pdpt[i] = (GUEST_PML4 + 0x2000 + i * 0x1000) | PTE_P | PTE_W | PTE_U;
	for (i = 0; i < 4 * 512; i++)
		pd[i] = i << 21 | PTE_P | PTE_W | PTE_U | PTE_PS;
	vm->next_table = GUEST_TABLES;
}

static u64 *next_level(struct vm *vm, u64 *table, u64 index)
{
	if (!(table[index] & PTE_P)) {
		if (vm->next_table == GUEST_TABLES_END)
			die("no room for another page table");
		table[index] = vm->next_table | PTE_P | PTE_W | PTE_U;
		vm->next_table += PAGE_SIZE;
	}
	return guest_ptr(vm, table[index] & ~0xfffull);
}

void vm_map_page(struct vm *vm, u64 gva, u64 gpa, u64 flags)
{
	u64 *table = guest_ptr(vm, GUEST_PML4);

	if (gva < GVA_TEST)
		die("%#llx is in the guest's fixed mapping", (unsigned long long)gva);
	table = next_level(vm, table, gva >> 39 & 511);
	table = next_level(vm, table, gva >> 30 & 511);
	table = next_level(vm, table, gva >> 21 & 511);
	table[gva >> 12 & 511] = gpa | flags | PTE_P;
}

/* A 64-bit interrupt gate, open to CPL 3 so that INT n works from anywhere. */
static void build_idt(struct vm *vm)
{
	u64 *idt = guest_ptr(vm, GUEST_IDT);
	u64 entry, ist;
	int i;

	for (i = 0; i < 256; i++) {
		entry = (u64)guest_vector_stubs + i * VECTOR_STUB_SIZE;
		ist = i == 8 ? 1 : 0;
		idt[2 * i] = (entry & 0xffff) | (u64)SEL_CODE64 << 16 | ist << 32 |
			     0xeeull << 40 | (entry >> 16 & 0xffff) << 48;
		idt[2 * i + 1] = entry >> 32;
	}
}

static void build_cpu_block(struct vm *vm, int id)
{
	char *block = guest_ptr(vm, GUEST_CPU(id));
	u64 tss = GUEST_CPU(id) + GUEST_CPU_TSS;
	u64 gdt[GUEST_GDT_SIZE / 8] = {
		[SEL_CODE64 / 8]	= 0x00af9b000000ffff,
		[SEL_DATA / 8]		= 0x00cf93000000ffff,
		[SEL_CODE32 / 8]	= 0x00cf9b000000ffff,
		[SEL_CODE16 / 8]	= 0x008f9b000000ffff,
		[SEL_DATA16 / 8]	= 0x008f93000000ffff,
		[SEL_USER_DATA / 8]	= 0x00cff3000000ffff,
		[SEL_USER_CODE64 / 8]	= 0x00affb000000ffff,
		[SEL_TSS / 8]		= 0x67 | (tss & 0xffffff) << 16 | 0x8bull << 40,
		[SEL_NOT_PRESENT / 8]	= 0x00cf13000000ffff,
	};
	u64 rsp0 = GUEST_CPU(id) + GUEST_CPU_RSP0_TOP, ist1 = GUEST_CPU(id) + GUEST_CPU_IST1_TOP;

	memcpy(block + GUEST_CPU_GDT, gdt, sizeof(gdt));
	memset(block + GUEST_CPU_TSS, 0, 104);
	memcpy(block + GUEST_CPU_TSS + 4, &rsp0, 8);
	memcpy(block + GUEST_CPU_TSS + 36, &ist1, 8);
}

struct vm *vm_create(unsigned int flags)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct vm *vm = calloc(1, sizeof(*vm));
	int i;

	vm->dev = device_open();
	vm->fd = do_ioctl(vm->dev, KVM_CREATE_VM, 0);
	if (flags & (VM_IRQCHIP | VM_PIT))
		do_ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0);
	if (flags & VM_PIT)
		do_ioctl(vm->fd, KVM_CREATE_PIT2, &pit);
	if (flags & VM_BARE)
		return vm;

	vm->ram = map_memory(GUEST_MEMORY);
	build_page_tables(vm);
	build_idt(vm);
	for (i = 0; i < GUEST_MAX_CPUS; i++)
		build_cpu_block(vm, i);
	dl_iterate_phdr(load_segment, vm->ram);

	errno = vm_set_slot(vm, 0, 0, 0, GUEST_MEMORY, vm->ram);
	if (errno)
		die("slot 0: %m");
	return vm;
}

void vm_free(struct vm *vm)
{
	close(vm->fd);
	close(vm->dev);
	if (vm->ram)
		munmap(vm->ram, GUEST_MEMORY);
	free(vm);
}

const u64 delivery_pages[DELIVERY_PAGES] = {
	GUEST_IDT, GUEST_CPU(0) + GUEST_CPU_GDT, GUEST_CPU(0) + GUEST_CPU_STACK_TOP - PAGE_SIZE,
};

void vm_drop_page(struct vm *vm, u64 gpa)
{
	void *page = guest_ptr(vm, gpa);

	if (mprotect(page, PAGE_SIZE, PROT_NONE) || mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE))
		die("mprotect: %m");
}

void vm_irq_line(struct vm *vm, u32 gsi, int level)
{
	struct kvm_irq_level irq = { .irq = gsi, .level = level };

	do_ioctl(vm->fd, KVM_IRQ_LINE, &irq);
}

#define MSI_ADDRESS	0xfee00000

void vm_signal_msi(struct vm *vm, u32 data)
{
	struct kvm_msi msi = { .address_lo = MSI_ADDRESS, .data = data };

	if (do_ioctl(vm->fd, KVM_SIGNAL_MSI, &msi) != 1)
		die("an MSI was not taken");
}

int vm_set_msi_route(struct vm *vm, u32 gsi, u64 address, u32 data)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} routing = {
		.head.nr = 1,
		.entry = {
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_hi = address >> 32, .address_lo = address, .data = data },
		},
	};

	return ioctl_errno(vm->fd, KVM_SET_GSI_ROUTING, &routing);
}

void vm_route_msi(struct vm *vm, u32 gsi, u32 data)
{
	if (vm_set_msi_route(vm, gsi, MSI_ADDRESS, data))
		die("there is no route for GSI %u: %m", gsi);
}

static s64 stat_of(int owner, const char *name)
{
	struct kvm_stats_header header;
	struct kvm_stats_desc *desc;
	int fd = ioctl(owner, KVM_GET_STATS_FD, 0);
	size_t size;
	s64 value = -1;
	u32 i;

	if (fd < 0)
		return -1;
	if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		die("no header in the statistics");
	size = sizeof(*desc) + header.name_size;
	desc = malloc(size);
	for (i = 0; i < header.num_desc && value < 0; i++) {
		if (pread(fd, desc, size, header.desc_offset + i * size) != (ssize_t)size)
			die("no descriptor %u in the statistics", i);
		if (!strcmp(desc->name, name) &&
		    pread(fd, &value, 8, header.data_offset + desc->offset) != 8)
			die("no value of %s in the statistics", name);
	}
	free(desc);
	close(fd);
	return value;
}

s64 vm_stat(struct vm *vm, const char *name)
{
	return stat_of(vm->fd, name);
}

s64 vcpu_stat(struct vcpu *vcpu, const char *name)
{
	return stat_of(vcpu->fd, name);
}

/* ---- vCPUs ---- */

static void set_supported_cpuid(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = supported_cpuid();
	u32 i;

	/* The APIC id is the vCPU's: KVM leaves that to user space. */
	for (i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 1) {
			e->ebx = (e->ebx & 0x00ffffff) | (u32)vcpu->id << 24;
			/* So is TSC deadline, which the capability tells of. */
			if (check_extension(KVM_CAP_TSC_DEADLINE_TIMER) > 0)
				e->ecx |= 1u << 24;
		} else if (e->function == 0xb || e->function == 0x1f)
			e->edx = vcpu->id;
	}
	do_ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	free(cpuid);
}

struct vcpu *vcpu_create(struct vm *vm, int id, void *entry, u64 arg)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));

	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fd = do_ioctl(vm->fd, KVM_CREATE_VCPU, id);
	vcpu->run_size = do_ioctl(vm->dev, KVM_GET_VCPU_MMAP_SIZE, 0);
	vcpu->run = mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		die("mmap of vCPU %d: %m", id);
	set_supported_cpuid(vcpu);
	if (entry)
		vcpu_start64(vcpu, entry, arg);
	return vcpu;
}

void vcpu_free(struct vcpu *vcpu)
{
	munmap(vcpu->run, vcpu->run_size);
	close(vcpu->fd);
	free(vcpu);
}

static const struct kvm_segment code64 = {
	.limit = ~0u, .selector = SEL_CODE64, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1,
};

static const struct kvm_segment code32 = {
	.limit = ~0u, .selector = SEL_CODE32, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1,
};

static const struct kvm_segment data32 = {
	.limit = ~0u, .selector = SEL_DATA, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1,
};

static void set_data_segments(struct kvm_sregs *s, struct kvm_segment seg)
{
	s->ds = s->es = s->fs = s->gs = s->ss = seg;
}

static void set_tables(struct vcpu *vcpu, struct kvm_sregs *s)
{
	u64 block = GUEST_CPU(vcpu->id);

	s->gdt.base = block + GUEST_CPU_GDT;
	s->gdt.limit = GUEST_GDT_SIZE + 7;
	s->idt.base = GUEST_IDT;
	s->idt.limit = 256 * 16 - 1;
	s->tr = (struct kvm_segment) {
		.base = block + GUEST_CPU_TSS, .limit = 0x67, .selector = SEL_TSS,
		.type = 11, .present = 1,
	};
}

static void start(struct vcpu *vcpu, struct kvm_sregs *sregs, u64 rip, u64 rsp, u64 arg)
{
	struct kvm_regs regs = { .rip = rip, .rsp = rsp, .rdi = arg, .rflags = 2 };

	do_ioctl(vcpu->fd, KVM_SET_SREGS, sregs);
	do_ioctl(vcpu->fd, KVM_SET_REGS, &regs);
}

void vcpu_start64(struct vcpu *vcpu, void *entry, u64 arg)
{
	struct kvm_sregs s = vcpu_sregs(vcpu);
	u64 rsp = GUEST_CPU(vcpu->id) + GUEST_CPU_STACK_TOP - 8;

	s.cs = code64;
	set_data_segments(&s, data32);
	set_tables(vcpu, &s);
	s.cr0 = 0x80010033;	/* PG WP NE ET MP PE */
	s.cr3 = GUEST_PML4;
	s.cr4 = 0x620;		/* OSXMMEXCPT OSFXSR PAE */
	s.efer = 0xd00;		/* NXE LMA LME */
	*(u64 *)guest_ptr(vcpu->vm, rsp) = (u64)guest_return;
	start(vcpu, &s, (u64)entry, rsp, arg);
}

void vcpu_start32(struct vcpu *vcpu, u32 eip)
{
	struct kvm_sregs s = vcpu_sregs(vcpu);

	s.cs = code32;
	set_data_segments(&s, data32);
	set_tables(vcpu, &s);
	s.cr0 = 0x11;
	s.cr3 = s.cr4 = s.efer = 0;
	start(vcpu, &s, eip, GUEST_CPU(vcpu->id) + GUEST_CPU_STACK_TOP, 0);
}

void vcpu_start16(struct vcpu *vcpu, u16 ip)
{
	struct kvm_sregs s = vcpu_sregs(vcpu);
	struct kvm_segment seg = { .limit = 0xffff, .type = 3, .present = 1, .s = 1 };

	set_data_segments(&s, seg);
	seg.type = 11;
	s.cs = seg;
	s.idt.base = 0;
	s.idt.limit = 0x3ff;
	s.cr0 = 0x10;
	s.cr3 = s.cr4 = s.efer = 0;
	start(vcpu, &s, ip, 0x8000, 0);
}

struct kvm_regs vcpu_regs(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	do_ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	return regs;
}

struct kvm_sregs vcpu_sregs(struct vcpu *vcpu)
{
	struct kvm_sregs sregs;

	do_ioctl(vcpu->fd, KVM_GET_SREGS, &sregs);
	return sregs;
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

u64 vcpu_get_msr(struct vcpu *vcpu, u32 msr)
{
	struct one_msr m = { .head.nmsrs = 1, .entry.index = msr };

	if (do_ioctl(vcpu->fd, KVM_GET_MSRS, &m) != 1)
		die("MSR %#x cannot be read", msr);
	return m.entry.data;
}

int vcpu_set_msr(struct vcpu *vcpu, u32 msr, u64 value)
{
	struct one_msr m = { .head.nmsrs = 1, .entry = { .index = msr, .data = value } };

	return do_ioctl(vcpu->fd, KVM_SET_MSRS, &m);
}

/* ---- running and reports ---- */

static const char *const exit_names[] = {
	[KVM_EXIT_UNKNOWN] = "UNKNOWN", [KVM_EXIT_EXCEPTION] = "EXCEPTION",
	[KVM_EXIT_IO] = "IO", [KVM_EXIT_HYPERCALL] = "HYPERCALL", [KVM_EXIT_DEBUG] = "DEBUG",
	[KVM_EXIT_HLT] = "HLT", [KVM_EXIT_MMIO] = "MMIO",
	[KVM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN", [KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
	[KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY", [KVM_EXIT_INTR] = "INTR",
	[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR", [KVM_EXIT_SYSTEM_EVENT] = "SYSTEM_EVENT",
};

static const char *describe_exit(struct vcpu *vcpu, u32 reason, char *buf, size_t size)
{
	struct kvm_run *run = vcpu->run;
	const char *name = reason < sizeof(exit_names) / sizeof(exit_names[0]) &&
			   exit_names[reason] ? exit_names[reason] : "?";
	int n = snprintf(buf, size, "KVM_EXIT_%s (%u) rip %#llx", name, reason,
			 vcpu_regs(vcpu).rip);

	if (reason == KVM_EXIT_IO)
		snprintf(buf + n, size - n, " %s port %#x size %u count %u",
			 run->io.direction ? "out" : "in", run->io.port, run->io.size, run->io.count);
	else if (reason == KVM_EXIT_MMIO)
		snprintf(buf + n, size - n, " %s %#llx size %u", run->mmio.is_write ? "write" : "read",
			 run->mmio.phys_addr, run->mmio.len);
	else if (reason == KVM_EXIT_INTERNAL_ERROR)
		snprintf(buf + n, size - n, " suberror %u", run->internal.suberror);
	else if (reason == KVM_EXIT_FAIL_ENTRY)
		snprintf(buf + n, size - n, " hardware reason %#llx",
			 run->fail_entry.hardware_entry_failure_reason);
	return buf;
}

static void __attribute__((noreturn)) die_of_check(const char *file, int line, struct kvm_regs *r)
{
	const struct guest_check *c = (void *)r->rdi;

	if (r->rdi < GUEST_IMAGE || r->rdi >= GUEST_FREE)
		__die(file, line, "guest failed, and lost its reason: rdi %#llx", r->rdi);
	__die(c->file, c->line, "guest: %s: %#llx, %#llx", c->text, r->rsi, r->rcx);
}

static void __attribute__((noreturn)) die_of_trap(const char *file, int line, struct vcpu *vcpu,
						  struct kvm_regs *r)
{
	struct trap_frame *f = guest_ptr(vcpu->vm, r->rdi);

	if (r->rdi > GUEST_MEMORY - sizeof(*f))
		__die(file, line, "guest trapped: vector %lld at %#llx", r->rsi, r->rcx);
	__die(file, line, "guest trapped: vector %lu error %#lx rip %#lx rsp %#lx cr2 %#llx",
	      f->vector, f->error, f->rip, f->rsp, vcpu_sregs(vcpu).cr2);
}

struct report __vcpu_report(const char *file, int line, struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct report report = { REPORT_EXIT };
	struct kvm_regs regs;

	report.exit = run->exit_reason;
	if (run->exit_reason != KVM_EXIT_IO || run->io.port != REPORT_PORT || run->io.size != 4 ||
	    run->io.direction != KVM_EXIT_IO_OUT || run->io.count != 1)
		return report;

	regs = vcpu_regs(vcpu);
	report.kind = *(u32 *)((char *)run + run->io.data_offset);
	report.value = regs.rdi;
	if (report.kind == REPORT_FAIL)
		die_of_check(file, line, &regs);
	if (report.kind == REPORT_TRAP)
		die_of_trap(file, line, vcpu, &regs);
	return report;
}

void signal_block(int sig, bool block)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

void signal_in_run_alone(struct vcpu *vcpu, int sig)
{
	struct signal_mask none = { .head.len = 8 };

	signal_block(sig, true);
	do_ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &none);
}

struct report __vcpu_run(const char *file, int line, struct vcpu *vcpu)
{
	do
		errno = vcpu_run_once(vcpu);
	while (errno == EAGAIN);	/* a vCPU that waited for INIT and SIPI was woken */
	if (errno)
		__die(file, line, "KVM_RUN: %m");
	return __vcpu_report(file, line, vcpu);
}

u64 __vcpu_expect(const char *file, int line, struct vcpu *vcpu, enum report_kind kind, u64 n)
{
	static const char *const names[] = { "?", "DONE", "FAIL", "TRAP", "VALUE", "SYNC", "EXIT" };
	struct report r = __vcpu_run(file, line, vcpu);
	char buf[160];

	if (r.kind == REPORT_EXIT && (kind != REPORT_EXIT || r.exit != n))
		__die(file, line, "vCPU %d: expected %s %lu, not %s", vcpu->id, names[kind], n,
		      describe_exit(vcpu, r.exit, buf, sizeof(buf)));
	if (r.kind != kind || (kind == REPORT_SYNC && r.value != n))
		__die(file, line, "vCPU %d: expected %s %lu, not report %u (%#lx)", vcpu->id,
		      names[kind], n, r.kind, r.value);
	return r.value;
}

static void *run_done(void *arg)
{
	vcpu_run_done((struct vcpu *)arg);
	return NULL;
}

void vcpu_complete(struct vcpu *vcpu)
{
	int error;

	vcpu->run->immediate_exit = 1;
	error = vcpu_run_once(vcpu);
	if (error != EINTR)
		die("KVM_RUN with immediate_exit: %s", strerror(error));
	vcpu->run->immediate_exit = 0;
}

void vcpu_run_thread(struct vcpu *vcpu, pthread_t *thread)
{
	if (pthread_create(thread, NULL, run_done, vcpu))
		die("no thread for vCPU %d", vcpu->id);
}
