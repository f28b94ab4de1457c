// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls by which user space reads and writes a vCPU's state: a table of
 * commands, each with a short handler. What they may be given and which errno
 * they answer is KVM's ABI (Documentation/virt/kvm/api.rst).
 *
 * All handlers run under vcpu->lock with the vCPU loaded, outside the guest.
 * Each checks everything before it changes anything.
 */
#include <linux/bitmap.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/fpu/xcr.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <minikvm/ioctl.h>
#include "x86/hyperv/hyperv.h"
#include "x86/irq/irqchip.h"
#include "x86/irq/lapic.h"
#include "x86/x86.h"

/* The order in which struct kvm_regs has them. */
static const u8 regs_order[GPRS] = {
	GPR_RAX, GPR_RBX, GPR_RCX, GPR_RDX, GPR_RSI, GPR_RDI, GPR_RSP, GPR_RBP,
	GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15,
};
static_assert(offsetof(struct kvm_regs, rip) == GPRS * sizeof(u64));

/**
 * state_get_regs() - KVM_GET_REGS
 * @vcpu:	the vCPU
 * @regs:	where they go
 */
void state_get_regs(struct vcpu *vcpu, struct kvm_regs *regs)
{
	u64 *out = (u64 *)regs;
	int i;

	for (i = 0; i < GPRS; i++)
		out[i] = vcpu->arch.gpr[regs_order[i]];
	regs->rip = vcpu->arch.rip;
	regs->rflags = vcpu_rflags(vcpu);
}

/**
 * state_set_regs() - KVM_SET_REGS
 * @vcpu:	the vCPU
 * @regs:	the new values
 *
 * A pending exception belonged to the old RIP, and goes; so does the rest of an
 * instruction that left KVM_RUN in its middle, if RIP is another one now.
 */
void state_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs)
{
	const u64 *in = (const u64 *)regs;
	int i;

	for (i = 0; i < GPRS; i++)
		vcpu->arch.gpr[regs_order[i]] = in[i];
	if (vcpu->arch.rip != regs->rip)
		vcpu->arch.complete = NULL;
	vcpu->arch.rip = regs->rip;
	vcpu_set_rflags(vcpu, regs->rflags);
	vcpu->arch.events.exception.pending = false;
	vcpu_request(vcpu, VCPU_REQ_EVENT);
}

/* Which member of struct kvm_sregs (and kvm_sregs2) each segment is. */
const u16 sregs_segments[SEGS] = {
	[SEG_ES] = offsetof(struct kvm_sregs, es),
	[SEG_CS] = offsetof(struct kvm_sregs, cs),
	[SEG_SS] = offsetof(struct kvm_sregs, ss),
	[SEG_DS] = offsetof(struct kvm_sregs, ds),
	[SEG_FS] = offsetof(struct kvm_sregs, fs),
	[SEG_GS] = offsetof(struct kvm_sregs, gs),
	[SEG_TR] = offsetof(struct kvm_sregs, tr),
	[SEG_LDTR] = offsetof(struct kvm_sregs, ldt),
};
/* Up to apic_base the two structs are one. */
static_assert(offsetof(struct kvm_sregs, interrupt_bitmap) == offsetof(struct kvm_sregs2, flags));

static void get_sregs_common(struct vcpu *vcpu, struct kvm_sregs *s)
{
	int seg;

	for (seg = 0; seg < SEGS; seg++)
		static_call(vendor_get_segment)(vcpu, seg, (void *)s + sregs_segments[seg]);
	static_call(vendor_get_gdt)(vcpu, &s->gdt);
	static_call(vendor_get_idt)(vcpu, &s->idt);
	s->cr0 = vcpu->arch.cr0;
	s->cr2 = vcpu->arch.cr2;
	s->cr3 = static_call(vendor_get_cr3)(vcpu);
	s->cr4 = vcpu->arch.cr4;
	s->cr8 = lapic_get_tpr(vcpu);
	s->efer = vcpu->arch.efer;
	s->apic_base = vcpu->arch.apic_base;
}

/**
 * state_get_sregs() - KVM_GET_SREGS
 * @vcpu:	the vCPU
 * @s:		where they go; zeroed by the caller
 */
void state_get_sregs(struct vcpu *vcpu, struct kvm_sregs *s)
{
	get_sregs_common(vcpu, s);
	if (vcpu->arch.events.irq.injected)
		__set_bit(vcpu->arch.events.irq.vector, (unsigned long *)s->interrupt_bitmap);
}

static bool sregs_valid(struct vcpu *vcpu, const struct kvm_sregs *s)
{
	if ((s->efer & EFER_LME) && (s->cr0 & X86_CR0_PG)) {
		if (!(s->cr4 & X86_CR4_PAE) || !(s->efer & EFER_LMA))
			return false;
		if (s->cr3 >> vcpu->arch.cpuid.max_phyaddr)
			return false;
	} else if ((s->efer & EFER_LMA) || s->cs.l) {
		return false;
	}
	return cr4_valid(vcpu, s->cr4) && cr0_valid(s->cr0) &&
	       !(s->efer & ~efer_allowed());
}

static void set_segments(struct vcpu *vcpu, const struct kvm_sregs *s)
{
	int seg;

	for (seg = 0; seg < SEGS; seg++)
		static_call(vendor_set_segment)(vcpu, seg, (void *)s + sregs_segments[seg]);
	static_call(vendor_set_gdt)(vcpu, &s->gdt);
	static_call(vendor_set_idt)(vcpu, &s->idt);
}

static void set_control_registers(struct vcpu *vcpu, const struct kvm_sregs *s,
				  const u64 *pdptrs)
{
	vcpu->arch.cr2 = s->cr2;
	/* KVM ignores a CR8 that is out of range, and so do we. */
	set_cr8(vcpu, s->cr8);
	vcpu->arch.efer = s->efer;
	vcpu->arch.cr0 = s->cr0 | X86_CR0_ET;
	vcpu->arch.cr4 = s->cr4;
	/* The vendor takes them along. Bad ones are the guest's to fault on. */
	if (pdptrs)
		pdptrs_set(vcpu, pdptrs);
	else if (is_pae_paging(vcpu))
		pdptrs_load(vcpu, s->cr3);
	static_call(vendor_efer_changed)(vcpu);
	static_call(vendor_cr0_changed)(vcpu);
	static_call(vendor_cr4_changed)(vcpu);
	static_call(vendor_set_cr3)(vcpu, s->cr3);
	static_call(vendor_tlb_flush)(vcpu);
	cpuid_runtime(vcpu);
}

/* Old VMMs reset the boot CPU by setting its registers, and expect it to run. */
static void unhalt_after_reset(struct vcpu *vcpu, const struct kvm_sregs *s)
{
	if (vcpu->id == vcpu->vm->arch.bsp_id && vcpu->arch.rip == 0xfff0 &&
	    s->cs.selector == 0xf000 && s->cs.base == 0xffff0000 && !(s->cr0 & X86_CR0_PE))
		vcpu->arch.mp_state = KVM_MP_STATE_RUNNABLE;
}

/* @pdptrs: of PAE paging, as user space has them; NULL: from where CR3 points */
static int set_sregs_common(struct vcpu *vcpu, const struct kvm_sregs *s, const u64 *pdptrs)
{
	if (!sregs_valid(vcpu, s) || lapic_set_base(vcpu, s->apic_base, true))
		return -EINVAL;
	/* Control registers first: what a segment means depends on the mode. */
	set_control_registers(vcpu, s, pdptrs);
	set_segments(vcpu, s);
	unhalt_after_reset(vcpu, s);
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	return 0;
}

/**
 * state_set_sregs() - KVM_SET_SREGS
 * @vcpu:	the vCPU
 * @s:		the new values
 *
 * Context: may sleep. Return: 0, or -EINVAL with nothing changed.
 */
int state_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *s)
{
	unsigned int vector;
	int r = set_sregs_common(vcpu, s, NULL);

	if (r)
		return r;
	vector = find_first_bit((const unsigned long *)s->interrupt_bitmap, KVM_NR_INTERRUPTS);
	if (vector < KVM_NR_INTERRUPTS) {
		vcpu->arch.events.irq.injected = true;
		vcpu->arch.events.irq.vector = vector;
	}
	return 0;
}

static long get_regs(void *obj, void *arg, unsigned long raw)
{
	state_get_regs(obj, arg);
	return 0;
}

static long set_regs(void *obj, void *arg, unsigned long raw)
{
	state_set_regs(obj, arg);
	return 0;
}

static long get_sregs(void *obj, void *arg, unsigned long raw)
{
	state_get_sregs(obj, arg);
	return 0;
}

static long set_sregs(void *obj, void *arg, unsigned long raw)
{
	return state_set_sregs(obj, arg);
}

static long get_sregs2(void *obj, void *arg, unsigned long raw)
{
	struct kvm_sregs2 *s = arg;
	struct vcpu *vcpu = obj;

	get_sregs_common(vcpu, arg);
	s->flags = 0;
	if (is_pae_paging(vcpu)) {
		static_call(vendor_get_pdptrs)(vcpu, s->pdptrs);
		s->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	}
	return 0;
}

static long set_sregs2(void *obj, void *arg, unsigned long raw)
{
	struct kvm_sregs2 *s = arg;
	struct vcpu *vcpu = obj;
	bool valid = s->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
	bool pae = (s->cr0 & X86_CR0_PG) && (s->cr4 & X86_CR4_PAE) && !(s->efer & EFER_LMA);

	if ((s->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID) || (valid && !pae))
		return -EINVAL;
	return set_sregs_common(vcpu, arg, valid ? s->pdptrs : NULL);
}

static long get_fpu(void *obj, void *arg, unsigned long raw)
{
	return fpu_get(obj, arg);
}

static long set_fpu(void *obj, void *arg, unsigned long raw)
{
	return fpu_set(obj, arg);
}

/* Of @size bytes, by way of a kernel buffer: user memory may fault. */
static long copy_out_xsave(struct vcpu *vcpu, void __user *to, size_t size)
{
	void *region = kvzalloc(size, GFP_KERNEL_ACCOUNT);
	long r;

	if (!region)
		return -ENOMEM;
	fpu_get_xsave(vcpu, region, size);
	r = copy_to_user(to, region, size) ? -EFAULT : 0;
	kvfree(region);
	return r;
}

static long get_xsave(void *obj, void *arg, unsigned long raw)
{
	if (fpu_xsave_size() > sizeof(struct kvm_xsave))
		return -EINVAL;
	return copy_out_xsave(obj, (void __user *)raw, sizeof(struct kvm_xsave));
}

static long get_xsave2(void *obj, void *arg, unsigned long raw)
{
	return copy_out_xsave(obj, (void __user *)raw, fpu_xsave_size());
}

static long set_xsave(void *obj, void *arg, unsigned long raw)
{
	void *region = memdup_user((void __user *)raw, fpu_xsave_size());
	long r;

	if (IS_ERR(region))
		return PTR_ERR(region);
	r = fpu_set_xsave(obj, region);
	kfree(region);
	return r;
}

static long get_xcrs(void *obj, void *arg, unsigned long raw)
{
	struct vcpu *vcpu = obj;
	struct kvm_xcrs *x = arg;

	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return 0;
	x->nr_xcrs = 1;
	x->xcrs[0].xcr = XCR_XFEATURE_ENABLED_MASK;
	x->xcrs[0].value = vcpu->arch.xcr0;
	return 0;
}

static long set_xcrs(void *obj, void *arg, unsigned long raw)
{
	struct kvm_xcrs *x = arg;
	unsigned int i;

	if (!boot_cpu_has(X86_FEATURE_XSAVE) || x->nr_xcrs > KVM_MAX_XCRS || x->flags)
		return -EINVAL;
	for (i = 0; i < x->nr_xcrs; i++)
		if (x->xcrs[i].xcr == XCR_XFEATURE_ENABLED_MASK)
			return set_xcr(obj, XCR_XFEATURE_ENABLED_MASK, x->xcrs[i].value) ?
				-EINVAL : 0;
	return 0;
}

static long get_debugregs(void *obj, void *arg, unsigned long raw)
{
	struct kvm_debugregs *d = arg;
	struct vcpu *vcpu = obj;

	memcpy(d->db, vcpu->arch.db, sizeof(d->db));
	d->dr6 = vcpu->arch.dr6;
	d->dr7 = vcpu->arch.dr7;
	return 0;
}

static long set_debugregs(void *obj, void *arg, unsigned long raw)
{
	struct kvm_debugregs *d = arg;
	struct vcpu *vcpu = obj;

	if (d->flags || upper_32_bits(d->dr6) || upper_32_bits(d->dr7))
		return -EINVAL;
	memcpy(vcpu->arch.db, d->db, sizeof(d->db));
	vcpu->arch.dr6 = d->dr6;
	vcpu->arch.dr7 = d->dr7;
	static_call(vendor_debug_regs_changed)(vcpu);
	return 0;
}

static long get_vcpu_events(void *obj, void *arg, unsigned long raw)
{
	events_get(obj, arg);
	return 0;
}

static long set_vcpu_events(void *obj, void *arg, unsigned long raw)
{
	return events_set(obj, arg);
}

static long get_mp_state(void *obj, void *arg, unsigned long raw)
{
	struct kvm_mp_state *s = arg;
	struct vcpu *vcpu = obj;

	lapic_take_init_sipi(vcpu);
	s->mp_state = vcpu->arch.mp_state;
	/* KVM_HC_KICK_CPU has ended the sleep, if not yet in fact. */
	if (s->mp_state == KVM_MP_STATE_HALTED && vcpu->arch.pv.unhalted)
		s->mp_state = KVM_MP_STATE_RUNNABLE;
	return 0;
}

static long set_mp_state(void *obj, void *arg, unsigned long raw)
{
	struct kvm_mp_state *s = arg;
	struct vcpu *vcpu = obj;
	u32 state = s->mp_state;

	switch (state) {
	case KVM_MP_STATE_RUNNABLE:
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_SIPI_RECEIVED:
	case KVM_MP_STATE_AP_RESET_HOLD:
		if (vcpu->arch.lapic)
			break;
		fallthrough;
	default:
		return -EINVAL;
	}
	/* They would have to be latched: in KVM_SET_VCPU_EVENTS. */
	if ((state == KVM_MP_STATE_INIT_RECEIVED || state == KVM_MP_STATE_SIPI_RECEIVED) &&
	    (in_smm(vcpu) || vcpu->arch.events.smi.pending))
		return -EINVAL;
	/* A SIPI that came and was not acted on: its vector is in the events. */
	if (state == KVM_MP_STATE_SIPI_RECEIVED) {
		set_bit(PENDING_SIPI, &vcpu->arch.pending_init_sipi);
		state = KVM_MP_STATE_INIT_RECEIVED;
	}
	vcpu->arch.mp_state = state;
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	return 0;
}

static long get_msrs(void *obj, void *arg, unsigned long raw)
{
	return msr_io(obj, (void __user *)raw, false);
}

static long set_msrs(void *obj, void *arg, unsigned long raw)
{
	return msr_io(obj, (void __user *)raw, true);
}

static long set_cpuid(void *obj, void *arg, unsigned long raw)
{
	struct kvm_cpuid __user *user = (void __user *)raw;

	return cpuid_set_legacy(obj, arg, user->entries);
}

static long set_cpuid2(void *obj, void *arg, unsigned long raw)
{
	struct kvm_cpuid2 __user *user = (void __user *)raw;

	return cpuid_set(obj, arg, user->entries);
}

static long get_cpuid2(void *obj, void *arg, unsigned long raw)
{
	struct kvm_cpuid2 __user *user = (void __user *)raw;

	return cpuid_get(obj, arg, user->entries);
}

static long get_lapic(void *obj, void *arg, unsigned long raw)
{
	return lapic_get_state(obj, arg);
}

static long set_lapic(void *obj, void *arg, unsigned long raw)
{
	return lapic_set_state(obj, arg);
}

static long get_tsc_khz(void *obj, void *arg, unsigned long raw)
{
	return ((struct vcpu *)obj)->arch.tsc.khz;
}

static long set_tsc_khz(void *obj, void *arg, unsigned long raw)
{
	return raw > U32_MAX ? -EINVAL : tsc_set_khz(obj, raw);
}

static long kvmclock_ctrl(void *obj, void *arg, unsigned long raw)
{
	return clock_guest_paused(obj);
}

/* The only device attribute of a vCPU: its TSC's distance from the host's. */
static bool attr_known(const struct kvm_device_attr *attr)
{
	return attr->group == KVM_VCPU_TSC_CTRL && attr->attr == KVM_VCPU_TSC_OFFSET;
}

static long has_attr(void *obj, void *arg, unsigned long raw)
{
	return attr_known(arg) ? 0 : -ENXIO;
}

static long get_attr(void *obj, void *arg, unsigned long raw)
{
	struct kvm_device_attr *attr = arg;
	struct vcpu *vcpu = obj;

	if (!attr_known(attr))
		return -ENXIO;
	return put_user(vcpu->arch.tsc.offset, (u64 __user *)(unsigned long)attr->addr);
}

static long set_attr(void *obj, void *arg, unsigned long raw)
{
	struct kvm_device_attr *attr = arg;
	u64 offset;

	if (!attr_known(attr))
		return -ENXIO;
	if (get_user(offset, (u64 __user *)(unsigned long)attr->addr))
		return -EFAULT;
	tsc_set_offset(obj, offset);
	return 0;
}

/* An external interrupt's vector, from a PIC that user space has. */
static long interrupt(void *obj, void *arg, unsigned long raw)
{
	const struct kvm_interrupt *irq = arg;
	struct vcpu *vcpu = obj;

	if (irq->irq >= KVM_NR_INTERRUPTS)
		return -EINVAL;
	if (vcpu->vm->arch.irqchip == IRQCHIP_KERNEL)
		return -ENXIO;
	if (vcpu->vm->arch.irqchip == IRQCHIP_NONE) {
		/* User space asked whether it may (ready_for_interrupt_injection). */
		vcpu->arch.events.irq.injected = true;
		vcpu->arch.events.irq.vector = irq->irq;
	} else if (vcpu->arch.user_irq >= 0) {
		return -EEXIST;
	} else {
		/* The LAPIC may hold it back. */
		vcpu->arch.user_irq = irq->irq;
	}
	vcpu_request(vcpu, VCPU_REQ_EVENT);
	return 0;
}

static long nmi(void *obj, void *arg, unsigned long raw)
{
	queue_nmi(obj);
	return 0;
}

static long smi(void *obj, void *arg, unsigned long raw)
{
	vcpu_request(obj, VCPU_REQ_SMI);
	return 0;
}

static long setup_mce(void *obj, void *arg, unsigned long raw)
{
	return mce_configure(obj, *(u64 *)arg);
}

static long set_mce(void *obj, void *arg, unsigned long raw)
{
	return mce_inject(obj, arg);
}

/*
 * There is no TPR shadow in guest memory (KVM_CAP_VAPIC is 0), but QEMU turns
 * it off at every reset without asking, and dies if it may not.
 */
static long set_vapic_addr(void *obj, void *arg, unsigned long raw)
{
	struct kvm_vapic_addr *vapic = arg;
	struct vcpu *vcpu = obj;

	return vcpu->arch.lapic && !vapic->vapic_addr ? 0 : -EINVAL;
}

static long translate(void *obj, void *arg, unsigned long raw)
{
	struct kvm_translation *t = arg;
	struct guest_fault fault;
	struct vcpu *vcpu = obj;
	gpa_t gpa;
	int idx, r;

	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = guest_translate(vcpu, t->linear_address, 0, &gpa, &fault);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (r == -EAGAIN)
		return r;
	t->valid = !r;
	t->physical_address = t->valid ? gpa : ~0ULL;
	t->writeable = 1;
	t->usermode = 0;
	return 0;
}

/* What is on its way already makes room, as for any other: see queue(). */
static int debug_inject(struct vcpu *vcpu, u32 control)
{
	if (!(control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)))
		return 0;
	if (vcpu->arch.events.exception.pending || vcpu_requested(vcpu, VCPU_REQ_TRIPLE_FAULT))
		return -EBUSY;
	queue_exception(vcpu, control & KVM_GUESTDBG_INJECT_DB ? X86_TRAP_DB : X86_TRAP_BP);
	return 0;
}

static long set_guest_debug(void *obj, void *arg, unsigned long raw)
{
	struct kvm_guest_debug *d = arg;
	struct vcpu *vcpu = obj;
	u64 rflags;
	int r;

	r = debug_inject(vcpu, d->control);
	if (r)
		return r;
	/* Without the old TF, or with the guest's own. */
	rflags = vcpu_rflags(vcpu);
	vcpu->arch.guest_debug = d->control & KVM_GUESTDBG_ENABLE ? d->control : 0;
	if (vcpu->arch.guest_debug & KVM_GUESTDBG_USE_HW_BP) {
		memcpy(vcpu->arch.guest_debug_db, d->arch.debugreg,
		       sizeof(vcpu->arch.guest_debug_db));
		vcpu->arch.guest_debug_dr7 = d->arch.debugreg[7];
	}
	if (vcpu->arch.guest_debug & KVM_GUESTDBG_SINGLESTEP)
		vcpu->arch.singlestep_rip = linear_rip(vcpu);
	vcpu_set_rflags(vcpu, rflags);
	static_call(vendor_debug_regs_changed)(vcpu);
	static_call(vendor_intercepts_changed)(vcpu);
	lapic_hardware_update(vcpu);
	return 0;
}

static long enable_pv_enforce(struct vcpu *vcpu, const struct kvm_enable_cap *cap)
{
	vcpu->arch.cpuid.pv_enforce = cap->args[0];
	return 0;
}

static long enable_hv_enforce(struct vcpu *vcpu, const struct kvm_enable_cap *cap)
{
	return hv_enforce_cpuid(vcpu, cap->args[0]);
}

static long enable_synic(struct vcpu *vcpu, const struct kvm_enable_cap *cap)
{
	return hv_synic_activate(vcpu, false);
}

static long enable_synic2(struct vcpu *vcpu, const struct kvm_enable_cap *cap)
{
	return cap->args[0] ? -EINVAL : hv_synic_activate(vcpu, true);
}

static const struct {
	u32 cap;
	long (*enable)(struct vcpu *vcpu, const struct kvm_enable_cap *cap);
} enablers[] = {
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID,	enable_pv_enforce },
	{ KVM_CAP_HYPERV_ENFORCE_CPUID,		enable_hv_enforce },
	{ KVM_CAP_HYPERV_SYNIC,			enable_synic },
	{ KVM_CAP_HYPERV_SYNIC2,		enable_synic2 },
};

static long enable_cap(void *obj, void *arg, unsigned long raw)
{
	const struct kvm_enable_cap *cap = arg;
	unsigned int i;

	for (i = 0; !cap->flags && i < ARRAY_SIZE(enablers); i++)
		if (enablers[i].cap == cap->cap)
			return enablers[i].enable(obj, cap);
	return -EINVAL;
}

static long get_supported_hv_cpuid(void *obj, void *arg, unsigned long raw)
{
	struct kvm_cpuid2 __user *user = (void __user *)raw;

	return hv_cpuid_supported(obj, arg, user->entries);
}

/* --- The same by way of the run page: KVM_CAP_SYNC_REGS. --- */

/*
 * User space may write to the page at any time, so each part is copied before
 * anything looks at it.
 */
static int sync_in_regs(struct vcpu *vcpu)
{
	struct kvm_regs regs = vcpu->run->s.regs.regs;

	state_set_regs(vcpu, &regs);
	return 0;
}

static int sync_in_sregs(struct vcpu *vcpu)
{
	struct kvm_sregs sregs = vcpu->run->s.regs.sregs;

	return state_set_sregs(vcpu, &sregs);
}

static int sync_in_events(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events = vcpu->run->s.regs.events;

	return events_set(vcpu, &events);
}

static void sync_out_regs(struct vcpu *vcpu)
{
	state_get_regs(vcpu, &vcpu->run->s.regs.regs);
}

static void sync_out_sregs(struct vcpu *vcpu)
{
	struct kvm_sregs sregs = {};

	state_get_sregs(vcpu, &sregs);
	vcpu->run->s.regs.sregs = sregs;
}

static void sync_out_events(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events = {};

	events_get(vcpu, &events);
	vcpu->run->s.regs.events = events;
}

static const struct {
	u64 flag;
	int (*in)(struct vcpu *vcpu);
	void (*out)(struct vcpu *vcpu);
} sync_rows[] = {
	{ KVM_SYNC_X86_REGS,	sync_in_regs,	sync_out_regs },
	{ KVM_SYNC_X86_SREGS,	sync_in_sregs,	sync_out_sregs },
	{ KVM_SYNC_X86_EVENTS,	sync_in_events,	sync_out_events },
};

/**
 * state_sync_in() - take the state that user space left in the run page
 * @vcpu: the vCPU, at the beginning of KVM_RUN
 *
 * Context: may sleep. Return: 0, or -EINVAL for parts that there are not, or
 * what is not valid in one of them.
 */
int state_sync_in(struct vcpu *vcpu)
{
	u64 dirty = READ_ONCE(vcpu->run->kvm_dirty_regs);
	unsigned int i;

	if ((dirty | READ_ONCE(vcpu->run->kvm_valid_regs)) & ~KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(sync_rows); i++) {
		if (!(dirty & sync_rows[i].flag))
			continue;
		if (sync_rows[i].in(vcpu))
			return -EINVAL;
		vcpu->run->kvm_dirty_regs &= ~sync_rows[i].flag;
	}
	return 0;
}

/**
 * state_sync_out() - leave the state that user space wants in the run page
 * @vcpu: the vCPU, at the end of KVM_RUN
 */
void state_sync_out(struct vcpu *vcpu)
{
	u64 wanted = READ_ONCE(vcpu->run->kvm_valid_regs);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sync_rows); i++)
		if (wanted & sync_rows[i].flag)
			sync_rows[i].out(vcpu);
}

static const struct ioctl_row state_ioctls[] = {
	{ KVM_GET_REGS,		0,		get_regs },
	{ KVM_SET_REGS,		0,		set_regs },
	{ KVM_GET_SREGS,	0,		get_sregs },
	{ KVM_SET_SREGS,	0,		set_sregs },
	{ KVM_GET_SREGS2,	0,		get_sregs2 },
	{ KVM_SET_SREGS2,	0,		set_sregs2 },
	{ KVM_GET_FPU,		0,		get_fpu },
	{ KVM_SET_FPU,		0,		set_fpu },
	{ KVM_GET_XSAVE,	IOCTL_RAW,	get_xsave },
	{ KVM_GET_XSAVE2,	IOCTL_RAW,	get_xsave2 },
	{ KVM_SET_XSAVE,	IOCTL_RAW,	set_xsave },
	{ KVM_GET_XCRS,		0,		get_xcrs },
	{ KVM_SET_XCRS,		0,		set_xcrs },
	{ KVM_GET_DEBUGREGS,	0,		get_debugregs },
	{ KVM_SET_DEBUGREGS,	0,		set_debugregs },
	{ KVM_GET_VCPU_EVENTS,	0,		get_vcpu_events },
	{ KVM_SET_VCPU_EVENTS,	0,		set_vcpu_events },
	{ KVM_GET_MP_STATE,	0,		get_mp_state },
	{ KVM_SET_MP_STATE,	0,		set_mp_state },
	{ KVM_GET_MSRS,		IOCTL_RAW,	get_msrs },
	{ KVM_SET_MSRS,		IOCTL_RAW,	set_msrs },
	{ KVM_SET_CPUID,	0,		set_cpuid },
	{ KVM_SET_CPUID2,	0,		set_cpuid2 },
	{ KVM_GET_CPUID2,	0,		get_cpuid2 },
	{ KVM_GET_SUPPORTED_HV_CPUID, 0,	get_supported_hv_cpuid },
	{ KVM_GET_LAPIC,	0,		get_lapic },
	{ KVM_SET_LAPIC,	0,		set_lapic },
	{ KVM_SET_VAPIC_ADDR,	0,		set_vapic_addr },
	{ KVM_GET_TSC_KHZ,	IOCTL_RAW,	get_tsc_khz },
	{ KVM_SET_TSC_KHZ,	IOCTL_RAW,	set_tsc_khz },
	{ KVM_KVMCLOCK_CTRL,	IOCTL_RAW,	kvmclock_ctrl },
	{ KVM_HAS_DEVICE_ATTR,	0,		has_attr },
	{ KVM_GET_DEVICE_ATTR,	0,		get_attr },
	{ KVM_SET_DEVICE_ATTR,	0,		set_attr },
	{ KVM_INTERRUPT,	0,		interrupt },
	{ KVM_NMI,		IOCTL_RAW,	nmi },
	{ KVM_SMI,		IOCTL_RAW,	smi },
	{ KVM_X86_SETUP_MCE,	0,		setup_mce },
	{ KVM_X86_SET_MCE,	0,		set_mce },
	{ KVM_TRANSLATE,	0,		translate },
	{ KVM_SET_GUEST_DEBUG,	0,		set_guest_debug },
	{ KVM_ENABLE_CAP,	0,		enable_cap },
};

long arch_vcpu_ioctl(struct vcpu *vcpu, unsigned int cmd, unsigned long raw)
{
	return ioctl_call(state_ioctls, ARRAY_SIZE(state_ioctls), vcpu, cmd, raw);
}
