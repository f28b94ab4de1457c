// SPDX-License-Identifier: GPL-2.0
/*
 * Between the core and the emulator: the emulator's operations on a real vcpu,
 * and what becomes of its results. How instructions work is in emulate/; what
 * guest memory is, in mmu/ and guest_memory.c.
 *
 * All of this runs under vm->srcu with the guest's FPU state loaded.
 */
#include <linux/cache.h>
#include <linux/cpufeature.h>
#include <linux/percpu.h>
#include <asm/debugreg.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>
#include <minikvm/bus.h>
#include <minikvm/guest_memory.h>
#include "compat/fpregs.h"
#include "compat/guest_context.h"
#include "x86/irq/lapic.h"
#include "x86/x86.h"

/* Iterations of a string instruction before the guest's events have a look. */
#define STRING_BATCH	256

static struct vcpu *emul_vcpu(struct emul *e)
{
	return container_of(e, struct vcpu, arch.emul);
}

static u32 user_access(struct vcpu *vcpu)
{
	return static_call(vendor_cpl)(vcpu) == 3 ? X86_PF_USER : 0;
}

static u32 access_rights(struct vcpu *vcpu, bool write, enum emul_access as)
{
	return (as == EMUL_DATA ? user_access(vcpu) : WALK_IMPLICIT) | (write ? X86_PF_WRITE : 0);
}

/* What became of an access to guest memory that failed with @error */
static int no_access(struct emul *e, int error, const struct guest_fault *fault)
{
	if (error == -EAGAIN)
		return EMUL_AGAIN;
	if (error != -EFAULT)
		return EMUL_UNHANDLED;
	e->fault.vector = fault->vector;
	e->fault.has_error_code = true;
	e->fault.error_code = fault->error_code;
	e->fault.cr2 = fault->address;
	return EMUL_FAULT;
}

/* --- Memory: one piece of an access, within a page. --- */

struct piece {
	gpa_t gpa;
	unsigned int len;
	bool memory;		/* a slot is there, and may be used so */
};

static bool is_memory(struct vcpu *vcpu, gpa_t gpa, bool write)
{
	struct memslot *slot = vcpu_memslot(vcpu, gpa >> PAGE_SHIFT);

	return slot && !(write && memslot_read_only(slot));
}

static int locate(struct emul *e, u64 la, unsigned int len, u32 access, struct piece *p)
{
	struct vcpu *vcpu = emul_vcpu(e);
	struct guest_fault fault;
	int r;

	p->len = min_t(u64, len, PAGE_SIZE - offset_in_page(la));
	r = guest_translate(vcpu, la, access, &p->gpa, &fault);
	if (r)
		return no_access(e, r, &fault);
	p->memory = is_memory(vcpu, p->gpa, access & X86_PF_WRITE);
	return EMUL_OK;
}

/* An access has at most two pages; both are looked at before either is used. */
static int locate_all(struct emul *e, u64 la, unsigned int len, u32 access,
		      struct piece p[2])
{
	int rc = locate(e, la, len, access, &p[0]);

	p[1].len = 0;
	if (rc || p[0].len == len)
		return rc;
	return locate(e, la + p[0].len, len - p[0].len, access, &p[1]);
}

static bool device_read(struct vcpu *vcpu, struct emul_piece *piece)
{
	return !lapic_mmio_read(vcpu, piece->addr, piece->len, piece->data) ||
	       !io_bus_read(vcpu, BUS_MMIO, piece->addr, piece->len, piece->data);
}

static bool device_write(struct vcpu *vcpu, struct emul_piece *piece)
{
	return !lapic_mmio_write(vcpu, piece->addr, piece->len, piece->data) ||
	       !io_bus_write(vcpu, BUS_MMIO, piece->addr, piece->len, piece->data);
}

static int mmio(struct emul *e, gpa_t gpa, void *buf, unsigned int len, bool write)
{
	struct vcpu *vcpu = emul_vcpu(e);
	struct emul_replay *replay = &vcpu->arch.replay;
	int rc;

	while ((rc = emul_replay_mmio(replay, gpa, buf, len, write)) == EMUL_SUSPEND) {
		struct emul_piece *piece = emul_replay_pending(replay);

		if (!(write ? device_write(vcpu, piece) : device_read(vcpu, piece)))
			return EMUL_SUSPEND;
		emul_replay_answered(replay);
	}
	return rc;
}

/*
 * Memory that was located could not be used. If its slot went meanwhile, the
 * instruction begins anew, and finds what is there now.
 */
static int unusable(struct emul *e, const struct piece *p, bool write)
{
	return is_memory(emul_vcpu(e), p->gpa, write) ? EMUL_UNHANDLED : EMUL_AGAIN;
}

static int read_piece(struct emul *e, const struct piece *p, void *buf)
{
	struct vcpu *vcpu = emul_vcpu(e);

	if (!p->memory)
		return mmio(e, p->gpa, buf, p->len, false);
	if (guest_read(vcpu->vm, vcpu->space, p->gpa, buf, p->len))
		return unusable(e, p, false);
	return EMUL_OK;
}

static int write_piece(struct emul *e, const struct piece *p, const void *buf)
{
	struct vcpu *vcpu = emul_vcpu(e);

	if (!p->memory)
		return mmio(e, p->gpa, (void *)buf, p->len, true);
	if (guest_write(vcpu, vcpu->space, p->gpa, buf, p->len))
		return unusable(e, p, true);
	return EMUL_OK;
}

static int op_fetch(struct emul *e, u64 la, void *buf, unsigned int len)
{
	struct vcpu *vcpu = emul_vcpu(e);
	struct guest_fault fault;
	int r = guest_read_virt(vcpu, la, buf, len,
				user_access(vcpu) | X86_PF_INSTR, &fault);

	return r ? no_access(e, r, &fault) : EMUL_OK;
}

static int op_read(struct emul *e, u64 la, void *buf, unsigned int len, enum emul_access as)
{
	struct piece p[2];
	int rc = locate_all(e, la, len, access_rights(emul_vcpu(e), false, as), p);

	if (!rc)
		rc = read_piece(e, &p[0], buf);
	if (!rc && p[1].len)
		rc = read_piece(e, &p[1], buf + p[0].len);
	return rc;
}

static int op_write(struct emul *e, u64 la, const void *buf, unsigned int len,
		    enum emul_access as)
{
	struct piece p[2];
	int rc = locate_all(e, la, len, access_rights(emul_vcpu(e), true, as), p);
	unsigned int first;

	if (rc)
		return rc;
	if (!p[1].len)
		return write_piece(e, &p[0], buf);
	/* A device before memory, which must not have changed when user space is asked. */
	first = p[0].memory && !p[1].memory;
	rc = write_piece(e, &p[first], buf + (first ? p[0].len : 0));
	if (rc)
		return rc;
	rc = write_piece(e, &p[!first], buf + (first ? 0 : p[0].len));
	/* Half of it is in memory: to begin anew would do it twice. A device's half is replayed. */
	return rc == EMUL_AGAIN && p[first].memory ? EMUL_UNHANDLED : rc;
}

/*
 * A host that watches for split locks raises #AC for ours as well (SDM vol. 3, 9.1.2.3), and
 * its kernel dies of one of its own.
 */
static bool lock_is_split(gpa_t gpa, unsigned int len)
{
	gpa_t line = cache_line_size();

	return boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT) &&
	       gpa / line != (gpa + len - 1) / line;
}

static int op_cmpxchg(struct emul *e, u64 la, const void *old, const void *new,
		      unsigned int len, enum emul_access as)
{
	struct vcpu *vcpu = emul_vcpu(e);
	struct piece p[2];
	int rc = locate_all(e, la, len, access_rights(vcpu, true, as), p);

	if (rc)
		return rc;
	/* No bus locks two pages, or a device: write what a CPU would. */
	if (p[1].len || !p[0].memory || lock_is_split(p[0].gpa, len))
		return op_write(e, la, new, len, as);
	rc = guest_cmpxchg(vcpu, vcpu->space, p[0].gpa, (void *)old, new, len);
	if (rc == -EAGAIN)
		return EMUL_AGAIN;
	return rc ? unusable(e, &p[0], true) : EMUL_OK;
}

static int op_probe(struct emul *e, u64 la, unsigned int len, bool write, enum emul_access as)
{
	struct piece p[2];
	int rc = locate_all(e, la, len, access_rights(emul_vcpu(e), write, as), p);

	if (rc)
		return rc;
	return p[0].memory && (!p[1].len || p[1].memory) ? EMUL_OK : EMUL_SUSPEND;
}

/* --- Registers. --- */

static void op_segment(struct emul *e, enum emul_seg seg, struct kvm_segment *out)
{
	BUILD_BUG_ON((int)EMUL_SEG_CS != SEG_CS || (int)EMUL_SEG_GS != SEG_GS ||
		     (int)EMUL_SEG_TR != SEG_TR || (int)EMUL_SEG_LDTR != SEG_LDTR);
	static_call(vendor_get_segment)(emul_vcpu(e), (enum seg)seg, out);
}

static void op_set_segment(struct emul *e, enum emul_seg seg, const struct kvm_segment *s)
{
	static_call(vendor_set_segment)(emul_vcpu(e), (enum seg)seg, s);
}

static int op_lmsw(struct emul *e, u16 msw)
{
	if (!set_msw(emul_vcpu(e), msw))
		return EMUL_OK;
	e->fault = (struct emul_fault){
		.vector = X86_TRAP_GP,
		.has_error_code = e->mode != EMUL_REAL,
	};
	return EMUL_FAULT;
}

static int op_task_registers(struct emul *e, const u64 *cr3)
{
	struct vcpu *vcpu = emul_vcpu(e);

	vcpu->arch.dr7 &= ~(u64)DR7_LOCAL;
	static_call(vendor_debug_regs_changed)(vcpu);
	if (!set_cr0(vcpu, vcpu->arch.cr0 | X86_CR0_TS) &&
	    (!cr3 || !(vcpu->arch.cr0 & X86_CR0_PG) || !set_cr3(vcpu, *cr3)))
		return EMUL_OK;
	e->fault = (struct emul_fault){ .vector = X86_TRAP_GP, .has_error_code = true };
	return EMUL_FAULT;
}

static struct kvm_dtable gdt(struct vcpu *vcpu)
{
	struct kvm_dtable dt;

	static_call(vendor_get_gdt)(vcpu, &dt);
	return dt;
}

static u64 op_sysreg(struct emul *e, enum emul_sysreg reg)
{
	struct vcpu *vcpu = emul_vcpu(e);

	switch (reg) {
	case EMUL_CPL:
		return static_call(vendor_cpl)(vcpu);
	case EMUL_CR0:
		return vcpu->arch.cr0;
	case EMUL_CR4:
		return vcpu->arch.cr4;
	case EMUL_XCR0:
		return vcpu->arch.xcr0;
	case EMUL_EFER:
		return vcpu->arch.efer;
	case EMUL_GDT_BASE:
		return gdt(vcpu).base;
	case EMUL_GDT_LIMIT:
		return gdt(vcpu).limit;
	}
	return 0;
}

/* --- Ports: string I/O alone comes here; plain IN and OUT is exits.c's. --- */

/*
 * A device may leave off in the middle: a ring is full, an eventfd is for another value. What
 * it has had is not done again; the piece is that much, and the rest will be one of its own.
 */
static bool port_served(struct emul_piece *piece, unsigned int n)
{
	if (n)
		piece->count = n;
	return n;
}

static bool port_read(struct vcpu *vcpu, struct emul_piece *piece)
{
	void *data = vcpu->arch.pio_data;
	unsigned int i;

	for (i = 0; i < piece->count; i++, data += piece->len)
		if (io_bus_read(vcpu, BUS_PIO, piece->addr, piece->len, data))
			break;
	return port_served(piece, i);
}

static bool port_write(struct vcpu *vcpu, struct emul_piece *piece)
{
	const void *data = vcpu->arch.pio_data;
	unsigned int i;

	for (i = 0; i < piece->count; i++, data += piece->len)
		if (io_bus_write(vcpu, BUS_PIO, piece->addr, piece->len, data))
			break;
	return port_served(piece, i);
}

static int op_pio_in(struct emul *e, u16 port, unsigned int size, void *buf, u32 *count)
{
	struct vcpu *vcpu = emul_vcpu(e);
	struct emul_replay *replay = &vcpu->arch.replay;
	int rc;

	while ((rc = emul_replay_pio(replay, port, size, count, false)) == EMUL_SUSPEND) {
		if (!port_read(vcpu, emul_replay_pending(replay)))
			return EMUL_SUSPEND;
		emul_replay_answered(replay);
	}
	if (rc == EMUL_OK)
		memcpy(buf, vcpu->arch.pio_data, size * *count);
	return rc;
}

static int op_pio_out(struct emul *e, u16 port, unsigned int size, const void *buf, u32 *count)
{
	struct vcpu *vcpu = emul_vcpu(e);
	struct emul_replay *replay = &vcpu->arch.replay;
	int rc;

	while ((rc = emul_replay_pio(replay, port, size, count, true)) == EMUL_SUSPEND) {
		struct emul_piece *piece = emul_replay_pending(replay);

		memcpy(vcpu->arch.pio_data, buf, size * piece->count);
		if (!port_write(vcpu, piece))
			return EMUL_SUSPEND;
		emul_replay_answered(replay);
	}
	return rc;
}

/* --- Vector registers: the guest's are in the CPU while KVM_RUN lasts. --- */

#define VECTOR_REGS(V)							\
	V(0) V(1) V(2) V(3) V(4) V(5) V(6) V(7)				\
	V(8) V(9) V(10) V(11) V(12) V(13) V(14) V(15)

#define LOAD_XMM(n)	case n: asm volatile("movdqu %0, %%xmm" #n : : "m" (*v)); break;
#define SAVE_XMM(n)	case n: asm volatile("movdqu %%xmm" #n ", %0" : "=m" (*v)); break;
#define LOAD_YMM(n)	case n: asm volatile("vmovdqu %0, %%ymm" #n : : "m" (*v)); break;
#define SAVE_YMM(n)	case n: asm volatile("vmovdqu %%ymm" #n ", %0" : "=m" (*v)); break;

struct xmm { u8 bytes[16]; };
struct ymm { u8 bytes[32]; };

static void save_xmm(unsigned int reg, struct xmm *v)
{
	switch (reg) { VECTOR_REGS(SAVE_XMM) }
}

static void load_xmm(unsigned int reg, const struct xmm *v)
{
	switch (reg) { VECTOR_REGS(LOAD_XMM) }
}

static void save_ymm(unsigned int reg, struct ymm *v)
{
	switch (reg) { VECTOR_REGS(SAVE_YMM) }
}

static void load_ymm(unsigned int reg, const struct ymm *v)
{
	switch (reg) { VECTOR_REGS(LOAD_YMM) }
}

static void op_read_vec(struct emul *e, unsigned int reg, void *buf, unsigned int len)
{
	compat_fpregs_lock();
	if (len == sizeof(struct ymm))
		save_ymm(reg, buf);
	else
		save_xmm(reg, buf);
	fpregs_unlock();
}

static void op_write_vec(struct emul *e, unsigned int reg, const void *buf, unsigned int len)
{
	compat_fpregs_lock();
	if (len == sizeof(struct ymm))
		load_ymm(reg, buf);
	else
		load_xmm(reg, buf);
	fpregs_unlock();
}

#define MMX_REGS(M)	M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7)
#define LOAD_MM(n)	case n: asm volatile("movq %0, %%mm" #n : : "m" (*v)); break;
#define SAVE_MM(n)	case n: asm volatile("movq %%mm" #n ", %0" : "=m" (*v)); break;

static void save_mm(unsigned int reg, u64 *v)
{
	switch (reg) { MMX_REGS(SAVE_MM) }
}

static void load_mm(unsigned int reg, const u64 *v)
{
	switch (reg) { MMX_REGS(LOAD_MM) }
}

/* With an x87 exception pending, MOVQ would raise #MF here, in the host. */
static int op_check_mmx(struct emul *e)
{
	u16 status;

	compat_fpregs_lock();
	asm volatile("fnstsw %0" : "=m" (status));
	fpregs_unlock();
	if (!(status & 0x80))
		return EMUL_OK;
	e->fault = (struct emul_fault){ .vector = X86_TRAP_MF };
	return EMUL_FAULT;
}

static void op_read_mmx(struct emul *e, unsigned int reg, void *buf)
{
	compat_fpregs_lock();
	save_mm(reg, buf);
	fpregs_unlock();
}

static void op_write_mmx(struct emul *e, unsigned int reg, const void *buf)
{
	compat_fpregs_lock();
	load_mm(reg, buf);
	fpregs_unlock();
}

static const struct emul_ops emul_ops = {
	.fetch		= op_fetch,
	.read		= op_read,
	.write		= op_write,
	.compare_swap	= op_cmpxchg,
	.probe		= op_probe,
	.segment	= op_segment,
	.set_segment	= op_set_segment,
	.lmsw		= op_lmsw,
	.task_registers	= op_task_registers,
	.sysreg		= op_sysreg,
	.pio_in		= op_pio_in,
	.pio_out	= op_pio_out,
	.read_vec	= op_read_vec,
	.write_vec	= op_write_vec,
	.check_mmx	= op_check_mmx,
	.read_mmx	= op_read_mmx,
	.write_mmx	= op_write_mmx,
};

/* --- The instruction at RIP. --- */

static enum emul_mode code_mode(struct vcpu *vcpu)
{
	bool db, l;

	if (!(vcpu->arch.cr0 & X86_CR0_PE))
		return EMUL_REAL;
	if (vcpu->arch.rflags & X86_EFLAGS_VM)
		return EMUL_VM86;
	static_call(vendor_cs_mode)(vcpu, &db, &l);
	if (l && is_long_mode(vcpu))
		return EMUL_LONG64;
	return db ? EMUL_PROT32 : EMUL_PROT16;
}

static struct emul *context(struct vcpu *vcpu)
{
	struct emul *e = &vcpu->arch.emul;

	e->ops = &emul_ops;
	e->gpr = vcpu->arch.gpr;
	e->rip = vcpu->arch.rip;
	e->rflags = vcpu->arch.rflags;
	e->mode = code_mode(vcpu);
	return e;
}

static int decode(struct vcpu *vcpu)
{
	return emul_decode(context(vcpu));
}

static void raise(struct vcpu *vcpu, const struct emul_fault *f)
{
	struct guest_fault fault = {
		.vector = f->vector, .error_code = f->error_code, .address = f->cr2,
	};

	if (f->vector == X86_TRAP_PF)
		queue_page_fault(vcpu, &fault);
	else if (f->has_error_code)
		queue_exception_ec(vcpu, f->vector, f->error_code);
	else
		queue_exception(vcpu, f->vector);
}

/*
 * 1: the instruction is in arch.emul.insn; 0: the emulator does not know it; -EFAULT: it is no
 * longer there, and the fault is queued; -EAGAIN: enter the guest again.
 */
static int decode_or_raise(struct vcpu *vcpu)
{
	switch (decode(vcpu)) {
	case EMUL_OK:
		return 1;
	case EMUL_FAULT:
		raise(vcpu, &vcpu->arch.emul.fault);
		return -EFAULT;
	case EMUL_AGAIN:
		return -EAGAIN;
	default:
		return 0;
	}
}

/* The flags, two words of bytes if they could be fetched, and the exit in hardware's words. */
static void report_failure(struct vcpu *vcpu)
{
	const struct emul *e = &vcpu->arch.emul;
	struct kvm_run *run = vcpu->run;
	unsigned int ndata = 1;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.flags = 0;
	if (e->fetched) {
		ndata += 2;
		run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = e->fetched;
		memset(run->emulation_failure.insn_bytes, 0x90,
		       sizeof(run->emulation_failure.insn_bytes));
		memcpy(run->emulation_failure.insn_bytes, e->insn.bytes, e->fetched);
	}
	static_call(vendor_exit_words)(vcpu, &run->internal.data[ndata]);
	run->emulation_failure.ndata = ndata + EXIT_WORDS;
}

/**
 * emulate_failed() - give up on an instruction
 * @vcpu: the vCPU, loaded
 *
 * A guest's kernel ends in KVM_EXIT_INTERNAL_ERROR with the bytes, and has a #UD if
 * user space goes on; the guest's user space may not bring the machine down and gets
 * #UD alone. Who has asked for the exit gets it for both, with no #UD.
 *
 * Return: as exit_dispatch().
 */
int emulate_failed(struct vcpu *vcpu)
{
	bool asked = vcpu->vm->arch.exit_on_emulation_error;

	vcpu->arch.stats.insn_emulation_fail++;
	if (!asked)
		queue_exception(vcpu, X86_TRAP_UD);
	if (!asked && static_call(vendor_cpl)(vcpu))
		return 1;
	report_failure(vcpu);
	return 0;
}

static int resume(struct vcpu *vcpu);

/* What is left to do when the VMM has answered: a plain store is done then, as OUT is. */
static void complete_piece_later(struct vcpu *vcpu, const struct emul_piece *piece)
{
	const struct emul *e = &vcpu->arch.emul;

	if (piece->kind == EMUL_PIECE_MMIO_WRITE && emul_is_store(e, piece->len)) {
		vcpu->arch.exit.len = e->insn.len;
		complete_later(vcpu, vcpu_skip);
	} else {
		complete_later(vcpu, resume);
	}
}

/* EMUL_SUSPEND: the VMM is asked. */
static int ask_user(struct vcpu *vcpu)
{
	const struct emul_piece *piece = emul_replay_pending(&vcpu->arch.replay);
	struct kvm_run *run = vcpu->run;

	complete_piece_later(vcpu, piece);
	if (piece->kind == EMUL_PIECE_PIO_IN || piece->kind == EMUL_PIECE_PIO_OUT) {
		run->exit_reason = KVM_EXIT_IO;
		run->io.direction = piece->kind == EMUL_PIECE_PIO_IN ?
			KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
		run->io.size = piece->len;
		run->io.port = piece->addr;
		run->io.count = piece->count;
		run->io.data_offset = PAGE_SIZE;
		return 0;
	}
	vcpu->arch.stats.mmio_exits++;
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = piece->addr;
	run->mmio.len = piece->len;
	run->mmio.is_write = piece->kind == EMUL_PIECE_MMIO_WRITE;
	if (run->mmio.is_write)
		memcpy(run->mmio.data, piece->data, sizeof(piece->data));
	return 0;
}

/* Returns as exit_dispatch(). */
static int commit(struct vcpu *vcpu)
{
	const struct emul *e = &vcpu->arch.emul;

	vcpu->arch.rip = e->rip;
	vcpu->arch.rflags = e->rflags;
	static_call(vendor_set_shadow)(vcpu, e->mov_ss ? SHADOW_MOV_SS : 0);
	/* Behind a load of SS the step is held back: SDM vol. 3, 6.8.3. */
	return e->single_step && !e->mov_ss ? vcpu_single_step(vcpu) : 1;
}

static bool interrupted(struct vcpu *vcpu)
{
	return READ_ONCE(vcpu->requests) || host_work_pending();
}

static int execute(struct vcpu *vcpu)
{
	struct emul *e = &vcpu->arch.emul;
	unsigned int n = STRING_BATCH;
	int rc, r = 1;

	do {
		emul_replay_restart(&vcpu->arch.replay);
		rc = emul_execute(e);
		if (rc == EMUL_SUSPEND)
			return ask_user(vcpu);
		/* A race was lost: what devices have answered stays answered. */
		if (rc == EMUL_AGAIN && !e->repeat)
			continue;
		emul_replay_forget(&vcpu->arch.replay);
		if (rc == EMUL_OK || rc == EMUL_AGAIN)
			r = commit(vcpu);
	} while (rc == EMUL_AGAIN && !e->single_step && --n && !interrupted(vcpu));
	emul_replay_forget(&vcpu->arch.replay);

	if (rc == EMUL_FAULT)
		raise(vcpu, &e->fault);
	return rc == EMUL_UNHANDLED ? emulate_failed(vcpu) : r;
}

static int resume_locked(struct vcpu *vcpu)
{
	struct emul_replay *replay = &vcpu->arch.replay;
	struct emul_piece *piece = emul_replay_pending(replay);

	/* User space may have set registers; the general ones are read where they are. */
	vcpu->arch.emul.rflags = vcpu->arch.rflags;
	if (piece->kind == EMUL_PIECE_MMIO_READ)
		memcpy(piece->data, vcpu->run->mmio.data, sizeof(piece->data));
	emul_replay_answered(replay);
	return execute(vcpu);
}

static int resume(struct vcpu *vcpu)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	int r = resume_locked(vcpu);

	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

/**
 * emulate_instruction() - execute the instruction at RIP in software
 * @vcpu: the vCPU, loaded; vm->srcu held
 *
 * Context: may sleep, for guest memory. Return: as exit_dispatch().
 */
int emulate_instruction(struct vcpu *vcpu)
{
	int rc = decode(vcpu);

	vcpu->arch.stats.insn_emulation++;
	emul_replay_forget(&vcpu->arch.replay);
	switch (rc) {
	case EMUL_OK:
		return execute(vcpu);
	case EMUL_FAULT:
		raise(vcpu, &vcpu->arch.emul.fault);
		return 1;
	case EMUL_AGAIN:
		return 1;
	default:
		return emulate_failed(vcpu);
	}
}

/*
 * Most exits are of an instruction without prefixes, and which one is known:
 * if its bytes (lowest first) are there, so is its length.
 */
static const struct { u8 len; u32 code; } plain[EXIT_REASONS] = {
	[EXIT_CPUID]		= { 2, 0xa20f },
	[EXIT_MSR_READ]		= { 2, 0x320f },
	[EXIT_MSR_WRITE]	= { 2, 0x300f },
	[EXIT_HLT]		= { 1, 0xf4 },
	[EXIT_HYPERCALL]	= { 3, 0xd9010f },
	[EXIT_XSETBV]		= { 3, 0xd1010f },
	[EXIT_INVD]		= { 2, 0x080f },
	[EXIT_WBINVD]		= { 2, 0x090f },
	[EXIT_PAUSE]		= { 2, 0x90f3 },
	[EXIT_MONITOR]		= { 3, 0xc8010f },
	[EXIT_MWAIT]		= { 3, 0xc9010f },
};

static int plain_length(struct vcpu *vcpu)
{
	unsigned int reason = vcpu->arch.exit.reason, len = plain[reason].len;
	u32 code;

	if (!len || !guest_peek_code(vcpu, linear_rip(vcpu), user_access(vcpu), &code))
		return 0;
	return (code & GENMASK(8 * len - 1, 0)) == plain[reason].code ? len : 0;
}

static int length(struct vcpu *vcpu)
{
	int len = plain_length(vcpu), r;

	if (likely(len))
		return len;
	r = decode_or_raise(vcpu);
	return r > 0 ? vcpu->arch.emul.insn.len : r;
}

/**
 * emulate_length() - how long is the instruction at RIP?
 * @vcpu: the vCPU, loaded
 *
 * For hosts whose exits do not tell (no NRIPS).
 *
 * Context: may sleep, for guest memory. Return: bytes; 0 if the emulator does
 * not know it; -EFAULT, with the fault queued, if it is no longer there;
 * -EAGAIN: enter the guest again.
 */
int emulate_length(struct vcpu *vcpu)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	int len = length(vcpu);

	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return len;
}

/**
 * emulate_is_rsm() - is the instruction at RIP an RSM?
 * @vcpu: the vCPU, loaded; vm->srcu held
 *
 * Context: may sleep, for guest memory.
 */
bool emulate_is_rsm(struct vcpu *vcpu)
{
	return decode(vcpu) == EMUL_OK && vcpu->arch.emul.insn.id == EMUL_OP_RSM;
}

/* Which register a MOV to or from CR or DR names, where the exit did not. */
static bool operand(struct vcpu *vcpu, const struct emul_insn *insn)
{
	struct exit *exit = &vcpu->arch.exit;

	switch (insn->id) {
	case EMUL_OP_MOV:
		if (exit->reason == EXIT_DR_ACCESS) {
			exit->dr.gpr = insn->rm;
			return true;
		}
		exit->cr.gpr = insn->rm;
		return true;
	case EMUL_OP_CLTS:
		exit->cr.clts = true;
		return true;
	case EMUL_OP_LMSW:
		if (insn->modrm < 0xc0)
			return false;
		exit->cr.lmsw = true;
		exit->cr.msw = vcpu->arch.gpr[insn->rm];
		return true;
	case EMUL_OP_SMSW:
		if (insn->modrm < 0xc0)
			return false;
		exit->cr.smsw = insn->opsize;
		exit->cr.gpr = insn->rm;
		return true;
	default:
		return false;
	}
}

/**
 * emulate_decode_operand() - complete exit.cr or exit.dr from the instruction
 * @vcpu: the vCPU, loaded; vm->srcu held
 *
 * Context: may sleep, for guest memory. Return: 1; 0 if the emulator does not know it;
 * -EFAULT with the fault queued; -EAGAIN: enter the guest again.
 */
int emulate_decode_operand(struct vcpu *vcpu)
{
	struct exit *exit = &vcpu->arch.exit;
	int r = decode_or_raise(vcpu);

	if (r <= 0)
		return r;
	exit->len = vcpu->arch.emul.insn.len;
	return operand(vcpu, &vcpu->arch.emul.insn);
}

/* --- Switches of tasks. --- */

static int task_switch_failed(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	/* No instruction was decoded: there are no bytes to show. */
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->internal.ndata = 0;
	return 0;
}

/* The old task goes on behind the instruction that switches; or, after an event, at RIP. */
static int old_task_rip(struct vcpu *vcpu, bool event, u64 *rip)
{
	int len = vcpu->arch.exit.len;

	*rip = vcpu->arch.rip;
	if (event)
		return 1;
	if (!len)
		len = emulate_length(vcpu);
	*rip += len;
	return len;
}

/* User space's single step goes on: its TF belongs to neither task. */
static void commit_task(struct vcpu *vcpu)
{
	const struct emul *e = &vcpu->arch.emul;
	u64 tf = vcpu->arch.guest_debug & KVM_GUESTDBG_SINGLESTEP ? X86_EFLAGS_TF : 0;

	vcpu->arch.rip = e->rip;
	vcpu->arch.rflags = e->rflags | tf;
	static_call(vendor_set_shadow)(vcpu, 0);
}

static int switch_task(struct vcpu *vcpu, const struct emul_task *task, u64 rip)
{
	struct emul *e = context(vcpu);
	int rc;

	e->rip = rip;
	e->rflags = vcpu_rflags(vcpu);
	rc = emul_task_switch(e, task);
	if (rc == EMUL_AGAIN)
		return 1;
	if (e->switched)
		commit_task(vcpu);
	if (task->returns)
		static_call(vendor_set_nmi_mask)(vcpu, false);
	if (rc == EMUL_UNHANDLED)
		return task_switch_failed(vcpu);
	if (rc == EMUL_FAULT)
		raise(vcpu, &e->fault);
	/* After what the delivery raised, for two faults may make a third. */
	events_delivered(vcpu);
	if (rc == EMUL_OK && e->task_trap)
		queue_exception_payload(vcpu, X86_TRAP_DB, DR_SWITCH);
	return 1;
}

/**
 * emulate_task_switch() - carry out what EXIT_TASK_SWITCH asks for
 * @vcpu: the vCPU, loaded; vm->srcu held; what the exit broke off is in flight again
 *
 * Hardware has checked the gate, if there was one, and the right to use it
 * (SDM vol. 3, 25.4.2; APM 15.14.1).
 *
 * Context: may sleep, for guest memory. Return: as exit_dispatch().
 */
int emulate_task_switch(struct vcpu *vcpu)
{
	const struct exit *exit = &vcpu->arch.exit;
	bool gate = exit->task.source == TASK_SWITCH_GATE;
	bool event = gate && exit->vectoring.type != VECTORING_SOFT;
	struct emul_task task = {
		.selector = exit->task.selector,
		.nests = gate || exit->task.source == TASK_SWITCH_CALL,
		.returns = exit->task.source == TASK_SWITCH_IRET,
		.external = event,
		.has_error_code = event && exit->task.has_error_code,
		.error_code = exit->task.error_code,
	};
	u64 rip;
	int r = old_task_rip(vcpu, event, &rip);

	if (r <= 0)
		return r ? 1 : task_switch_failed(vcpu);
	return switch_task(vcpu, &task, rip);
}
