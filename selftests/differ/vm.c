// SPDX-License-Identifier: GPL-2.0
/* Steps on the device, and on a VM: capabilities, memory, clock, filters. */
#include "differ.h"

/* docs/abi.md: what minikvm does not claim need not be the same. */
#define FD_device	1
#define FD_vm		2
#define FD_vcpu		4

enum answer { CAP_no, CAP_yes, CAP_host };

#define ROW(name)
#define HEADER(name)
#define IOCTL(name, minikvm, kvm)
#define CAP(name, minikvm, kvm)		{ name, minikvm, kvm },
static const struct {
	u32 cap;
	enum answer minikvm, kvm;
} caps[] = {
#include "abi_rows.h"
};
#undef IOCTL
#undef CAP
#define CAP(name, minikvm, kvm)
#define IOCTL(name, minikvm, kvm)	{ #name, name, (minikvm) | (kvm) },
static const struct {
	const char *name;
	unsigned long cmd;
	int on;
} ioctls[] = {
#include "abi_rows.h"
};

static bool cap_claimed(u32 cap)
{
	for (int i = 0; i < ARRAY_SIZE(caps); i++)
		if (caps[i].cap == cap)
			return caps[i].minikvm != CAP_no || caps[i].kvm == CAP_no;
	return true;
}

/* ---- device ---- */

static void check_extension_step(struct world *w)
{
	u64 cap = one_in(8) ? value() : below(300);
	u64 high = one_in(8) ? below(2) << 32 : 0;

	/* C-states are taken, but have no bit. */
	if (!cap_claimed(cap) || cap == KVM_CAP_X86_DISABLE_EXITS)
		return;
	say(" %#llx", (long long)(cap | high));
	CALL_RAW(one_in(2) ? w->dev : w->vm, KVM_CHECK_EXTENSION, cap | high);
}

static void device_numbers(struct world *w)
{
	u64 arg = one_in(2) ? 0 : value();

	say(" %#llx", (long long)arg);
	switch (below(4)) {
	case 0: CALL_RAW(w->dev, KVM_GET_API_VERSION, arg); break;
	case 1: CALL_RAW(w->dev, KVM_GET_VCPU_MMAP_SIZE, arg); break;
	default:
		if (arg)
			close(CALL_RAW(w->dev, KVM_CREATE_VM, arg) >= 0 ? 1000 : -1);
	}
}

static void mce_cap(struct world *w)
{
	u64 *cap = argument(8);

	if (CALL(w->dev, KVM_X86_GET_MCE_CAP_SUPPORTED, cap) < 0)
		return;
	*cap &= ~MCE_NOT_CLAIMED;
	say_bytes("cap", cap, 8);
}

/* KVM offers more: only the errors are compared. */
static void supported_cpuid_step(struct world *w)
{
	u32 nent = one_in(2) ? below(4) : value() | 256;
	struct kvm_cpuid2 *c;

	/* KVM emulates MOVBE and RDPID: three entries. */
	if (one_in(2) && nent < 4)
		nent = 0;
	c = argument(sizeof(*c) + (nent < 4 ? nent : 256) * sizeof(c->entries[0]));
	c->nent = nent;
	say(" %#x", nent);
	CALL(w->dev, KVM_GET_SUPPORTED_CPUID, c);
}

static void msr_index_list(struct world *w)
{
	u32 n = one_in(2) ? below(8) : value() | 1024;	/* KVM has some more */
	bool features = one_in(2);
	struct kvm_msr_list *list;

	/* On Intel KVM has those of nesting, minikvm is left with three. */
	if (features && n < 8)
		n &= 1;
	list = argument(sizeof(*list) + (n < 8 ? n : 1024) * 4);
	list->nmsrs = n;
	say(" %#x", n);
	if (features)
		CALL(w->dev, KVM_GET_MSR_FEATURE_INDEX_LIST, list);
	else
		CALL(w->dev, KVM_GET_MSR_INDEX_LIST, list);
}

/* What KVM promises for the sake of guests' guests: no flush of the L1D, no large pages' machine checks. */
#define CAPS_FOR_NESTING	0x48ull

static void mask_feature(struct kvm_msr_entry *e)
{
	if (e->index == 0x10a)
		e->data &= ~CAPS_FOR_NESTING;
}

static void device_msrs(struct world *w)
{
	/* The last only on Intel. */
	static const u32 features[] = {
		0xfe, 0xc0011029, 0x8b, 0x345, 0xc0000080, 0, 0xc0010015, 0x10a,
	};
	u32 n = below(4);
	struct kvm_msrs *m = argument(sizeof(*m) + n * sizeof(m->entries[0]));
	int ret;

	m->nmsrs = n;
	for (u32 i = 0; i < n; i++) {
		m->entries[i].index = features[below(ARRAY_SIZE(features) - !host_is_intel())];
		say(" %x", m->entries[i].index);
	}
	ret = CALL(w->dev, KVM_GET_MSRS, m);
	for (int i = 0; i < ret; i++)
		mask_feature(&m->entries[i]);
	if (ret > 0)
		say_bytes("msrs", m->entries, ret * sizeof(m->entries[0]));
}

static void device_attr(struct world *w)
{
	struct kvm_device_attr *a = argument(sizeof(*a));
	u64 *out = (u64 *)a - 1;

	a->addr = (u64)out;
	*out = 0;
	tweak(a, sizeof(*a));
	if (one_in(2))
		CALL(w->dev, KVM_HAS_DEVICE_ATTR, a);
	else
		CALL(w->dev, KVM_GET_DEVICE_ATTR, a);
	say_bytes("value", out, 8);
}

/* On an fd that is not its own. */
static void misplaced(struct world *w)
{
	int i = below(ARRAY_SIZE(ioctls)), on = 1 << below(3);
	int fd = on == FD_device ? w->dev : on == FD_vm ? w->vm : w->vcpu[0];

	if (ioctls[i].on & on)
		return;
	say(" %s on %d", ioctls[i].name, on);
	CALL_RAW(fd, ioctls[i].cmd, argument(4096));
}

/* Numbers near those that are there: the size or the direction is another one. */
static void misspelt(struct world *w)
{
	int i = below(ARRAY_SIZE(ioctls)), fd = one_in(3) ? w->dev : one_in(2) ? w->vm : w->vcpu[0];
	unsigned long cmd = ioctls[i].cmd;

	cmd ^= one_in(2) ? 1ul << (16 + below(14)) : 0x4000ul << 16;
	for (i = 0; i < ARRAY_SIZE(ioctls); i++)
		if (ioctls[i].cmd == cmd)
			return;
	say(" %lx", cmd);
	CALL_RAW(fd, cmd, argument(32 << 10));
}

const struct step device_steps[] = {
	{ "check_extension", 4, check_extension_step },
	{ "device_numbers", 1, device_numbers },
	{ "mce_cap", 1, mce_cap },
	{ "supported_cpuid", 1, supported_cpuid_step },
	{ "msr_index_list", 1, msr_index_list },
	{ "device_msrs", 2, device_msrs },
	{ "device_attr", 1, device_attr },
	{ "misplaced", 2, misplaced },
	{ "misspelt", 2, misspelt },
	{ }
};

/* ---- a VM ---- */

static void memory_region(struct world *w)
{
	struct kvm_userspace_memory_region *r = argument(sizeof(*r));
	u64 page = below(OTHER_SIZE / PAGE_SIZE);

	r->slot = one_in(8) ? 32763 + below(3) : below(4);
	r->flags = one_in(3) ? below(4) : 0;
	/* An exception's frame in ROM: KVM delivers it for ever. */
	if (!r->slot)
		r->flags &= KVM_MEM_LOG_DIRTY_PAGES;
	r->guest_phys_addr = one_in(8) ? value() & -PAGE_SIZE : RAM_SIZE + page * PAGE_SIZE;
	r->memory_size = one_in(4) ? 0 : (1 + below(16)) * PAGE_SIZE;
	r->userspace_addr = (u64)w->other + (one_in(2) ? page * PAGE_SIZE : 0);
	if (r->slot == 0) {
		r->guest_phys_addr = 0;
		r->userspace_addr = (u64)w->ram;
		r->memory_size = one_in(16) ? 0 : RAM_SIZE;
	}
	if (one_in(16))
		r->slot |= 1 << 16;
	say(" slot %x flags %x gpa %llx size %llx", r->slot, r->flags, r->guest_phys_addr,
	    r->memory_size);
	if (one_in(3))
		tweak(r, sizeof(*r));
	/* KVM on VMX keeps the LAPICs' page in a slot of its own. */
	if (r->memory_size >> 30)
		r->memory_size = (u32)r->memory_size & 0x3fffffff;
	/* and there its APICs' page */
	if (r->guest_phys_addr - 0xfec00000 < 0x400000)
		r->guest_phys_addr = RAM_SIZE;
	if (!CALL(w->vm, KVM_SET_USER_MEMORY_REGION, r) && !r->slot)
		w->has_ram = r->memory_size == RAM_SIZE && !r->guest_phys_addr;
}

static void dirty_log(struct world *w)
{
	struct kvm_dirty_log *log = argument(sizeof(*log));
	u64 *bits = (u64 *)log - 64;

	log->slot = one_in(4) ? below(5) : 0;
	log->dirty_bitmap = bits;
	if (one_in(4))
		tweak(log, 8);
	if (one_in(8))
		log->dirty_bitmap = one_in(2) ? NULL : (void *)((char *)log + sizeof(*log) - 4);
	memset(bits, 0, 512);
	/* KVM has what was only read as well, if the host may write it. */
	CALL(w->vm, KVM_GET_DIRTY_LOG, log);
	if (log->slot)
		say_bytes("dirty", bits, 512);
}

static void clear_log(struct world *w)
{
	struct kvm_clear_dirty_log *log = argument(sizeof(*log));
	u64 *bits = (u64 *)log - 64;

	log->slot = one_in(4) ? below(5) : 0;
	log->first_page = one_in(2) ? 0 : below(9) * 64;
	log->num_pages = one_in(2) ? 512 : one_in(2) ? 16 : below(9) * 64;
	log->dirty_bitmap = bits;
	say(" slot %x first %llx n %x", log->slot, log->first_page, log->num_pages);
	if (one_in(4))
		tweak(log, 16);
	for (int i = 0; i < 64; i++)
		bits[i] = one_in(2) ? -1ull : rnd();
	CALL(w->vm, KVM_CLEAR_DIRTY_LOG, log);
}

static void enable_cap_vm(struct world *w)
{
	static const u32 often[] = {
		KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API, KVM_CAP_X86_DISABLE_EXITS,
		KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_MAX_VCPU_ID,
		KVM_CAP_EXIT_HYPERCALL, KVM_CAP_EXIT_ON_EMULATION_FAILURE,
		KVM_CAP_X86_TRIPLE_FAULT_EVENT, KVM_CAP_DISABLE_QUIRKS, KVM_CAP_DISABLE_QUIRKS2,
		KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_HALT_POLL, KVM_CAP_MSR_PLATFORM_INFO,
		KVM_CAP_DIRTY_LOG_RING,
	};
	struct kvm_enable_cap *cap = argument(sizeof(*cap));

	cap->cap = one_in(4) ? below(300) : pick(often);
	cap->args[0] = one_in(3) ? value() : below(32);
	if (cap->cap == KVM_CAP_DIRTY_LOG_RING)
		cap->args[0] = 1ull << below(22);
	say(" %u %llx", cap->cap, cap->args[0]);
	if (one_in(4))
		tweak(cap, sizeof(*cap));
	if (!cap_claimed(cap->cap))
		return;
	/* KVM of 6.1 takes that too late, to no effect. */
	if (cap->cap == KVM_CAP_X86_DISABLE_EXITS && (w->vcpu[0] >= 0 || w->vcpu[1] >= 0))
		return;
	CALL(w->vm, KVM_ENABLE_CAP, cap);
}

static void vm_clock(struct world *w)
{
	struct kvm_clock_data *c = argument(sizeof(*c));

	if (one_in(2)) {
		c->flags = one_in(2) ? 0 : value();
		c->clock = value();
		say(" %x %llx", c->flags, c->clock);
		CALL(w->vm, KVM_SET_CLOCK, c);
		return;
	}
	CALL(w->vm, KVM_GET_CLOCK, c);
	/* The rest is time; and KVM's flags are of whether vCPUs' TSCs are the same. */
}

static void vm_addresses(struct world *w)
{
	u64 *addr = argument(8), arg = one_in(2) ? 0xfffbd000 : value();

	say(" %llx", (long long)arg);
	switch (below(4)) {
	case 0: CALL_RAW(w->vm, KVM_SET_TSS_ADDR, arg); break;
	case 1: CALL_RAW(w->vm, KVM_SET_BOOT_CPU_ID, one_in(2) ? below(4) : arg); break;
	default:
		*addr = arg;
		CALL(w->vm, KVM_SET_IDENTITY_MAP_ADDR, addr);
	}
}

bool scales(void)
{
	return check_extension(KVM_CAP_TSC_CONTROL) > 0;
}

/* KVM takes what no vCPU will have any more, and what its hardware can't do. */
static void vm_tsc_khz(struct world *w)
{
	u64 khz = one_in(2) || !scales() ? 0 : value();

	if (one_in(3) || w->vcpu[0] >= 0 || w->vcpu[1] >= 0) {
		CALL_RAW(w->vm, KVM_GET_TSC_KHZ, 0);
		return;
	}
	say(" %llx", (long long)khz);
	CALL_RAW(w->vm, KVM_SET_TSC_KHZ, khz);
}

static void msr_filter(struct world *w)
{
	struct kvm_msr_filter *f = argument(sizeof(*f));
	u8 *bits = (u8 *)f - 1024;

	f->flags = one_in(8) ? value() : below(2);
	for (int i = 0; i < 16; i++) {
		if (!one_in(4))
			continue;
		f->ranges[i].flags = one_in(16) ? below(8) : 1 + below(3);
		f->ranges[i].base = pick_msr() & -8;
		f->ranges[i].nmsrs = one_in(16) ? value() : 1 + below(64);
		f->ranges[i].bitmap = one_in(16) ? NULL : bits;
	}
	for (int i = 0; i < 1024; i++)
		bits[i] = rnd();
	if (one_in(4))
		tweak(f, sizeof(*f));
	CALL(w->vm, KVM_X86_SET_MSR_FILTER, f);
}

static void coalesced(struct world *w)
{
	struct kvm_coalesced_mmio_zone *z = argument(sizeof(*z));

	z->pio = one_in(4);
	z->addr = z->pio ? 0x1000 : 0xd0000000 + below(4) * 0x100;
	z->size = 1 + below(8);
	if (one_in(4))
		tweak(z, sizeof(*z));
	say(" %x %llx %x", z->pio, z->addr, z->size);
	if (one_in(2))
		CALL(w->vm, KVM_REGISTER_COALESCED_MMIO, z);
	else
		CALL(w->vm, KVM_UNREGISTER_COALESCED_MMIO, z);
}

static void ioeventfd(struct world *w)
{
	static const u32 lens[] = { 0, 1, 2, 4, 8, 3, 16 };
	struct kvm_ioeventfd *e = argument(sizeof(*e));

	/* KVM takes two more, which mean nothing here. */
	e->flags = one_in(8) ? value() & ~0x18ull : below(8);
	e->addr = e->flags & KVM_IOEVENTFD_FLAG_PIO ? 0x1000 : 0xd0000000 + below(4) * 0x100;
	e->len = pick(lens);
	e->fd = one_in(8) ? -1 : w->event[below(2)];
	e->datamatch = below(2);
	say(" %x %llx %x", e->flags, e->addr, e->len);
	if (one_in(4))
		tweak(e, sizeof(*e));
	CALL(w->vm, KVM_IOEVENTFD, e);
}

static void create_vcpu(struct world *w)
{
	u64 id = one_in(2) ? (u32)value() : below(8);	/* KVM of 6.1 knows 32 bits of it */
	int fd;

	if (one_in(2)) {
		add_vcpu(w, below(VCPUS), id);
		return;
	}
	say(" %llx", (long long)id);
	fd = CALL_RAW(w->vm, KVM_CREATE_VCPU, id);
	if (fd >= 0)
		close(fd);
}

static void reset_rings(struct world *w)
{
	CALL_RAW(w->vm, KVM_RESET_DIRTY_RINGS, one_in(2) ? 0 : value());
}

static void events_counted(struct world *w)
{
	for (int i = 0; i < ARRAY_SIZE(w->event); i++) {
		u64 n = 0;

		say(" %zd", read(w->event[i], &n, 8));
		say("/%llu", (long long)n);
	}
}

static void vm_all(struct world *w)
{
	say_vm(w);
}

const struct step vm_steps[] = {
	{ "memory_region", 6, memory_region },
	{ "dirty_log", 3, dirty_log },
	{ "clear_log", 2, clear_log },
	{ "enable_cap_vm", 5, enable_cap_vm },
	{ "vm_clock", 1, vm_clock },
	{ "vm_addresses", 1, vm_addresses },
	{ "vm_tsc_khz", 1, vm_tsc_khz },
	{ "msr_filter", 2, msr_filter },
	{ "coalesced", 2, coalesced },
	{ "ioeventfd", 2, ioeventfd },
	{ "create_vcpu", 2, create_vcpu },
	{ "reset_rings", 1, reset_rings },
	{ "events_counted", 1, events_counted },
	{ "vm_all", 1, vm_all },
	{ }
};
