// SPDX-License-Identifier: GPL-2.0
/*
 * What a vCPU's state was when something went wrong. Best effort: what cannot
 * be read is left out.
 */
#include <stdio.h>
#include <sys/ioctl.h>

#include "status.h"
#include "vm.h"

#define CODE_BYTES	15

typedef unsigned long long ull;

static void dump_regs(const struct kvm_regs *regs)
{
	say("  rip %016llx rflags %08llx", (ull)regs->rip, (ull)regs->rflags);
	say("  rax %016llx rbx %016llx rcx %016llx rdx %016llx",
	    (ull)regs->rax, (ull)regs->rbx, (ull)regs->rcx, (ull)regs->rdx);
	say("  rsi %016llx rdi %016llx rbp %016llx rsp %016llx",
	    (ull)regs->rsi, (ull)regs->rdi, (ull)regs->rbp, (ull)regs->rsp);
	say("  r8  %016llx r9  %016llx r10 %016llx r11 %016llx",
	    (ull)regs->r8, (ull)regs->r9, (ull)regs->r10, (ull)regs->r11);
	say("  r12 %016llx r13 %016llx r14 %016llx r15 %016llx",
	    (ull)regs->r12, (ull)regs->r13, (ull)regs->r14, (ull)regs->r15);
}

static void dump_segment(const char *name, const struct kvm_segment *segment)
{
	say("  %s  %04x base %016llx limit %08x type %x s %u dpl %u p %u l %u db %u g %u", name,
	    segment->selector, (ull)segment->base, segment->limit, segment->type, segment->s,
	    segment->dpl, segment->present, segment->l, segment->db, segment->g);
}

static void dump_sregs(const struct kvm_sregs *sregs)
{
	say("  cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx cr8 %llx efer %llx",
	    (ull)sregs->cr0, (ull)sregs->cr2, (ull)sregs->cr3, (ull)sregs->cr4,
	    (ull)sregs->cr8, (ull)sregs->efer);
	dump_segment("cs", &sregs->cs);
	dump_segment("ss", &sregs->ss);
	dump_segment("ds", &sregs->ds);
	dump_segment("tr", &sregs->tr);
	say("  gdt %016llx/%04x idt %016llx/%04x apic base %llx", (ull)sregs->gdt.base,
	    sregs->gdt.limit, (ull)sregs->idt.base, sregs->idt.limit, (ull)sregs->apic_base);
}

static void dump_events(const struct vcpu *vcpu)
{
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;

	if (ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) ||
	    ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp))
		return;
	say("  mp state %u, exception %u/%u vector %u error %x, interrupt %u vector %u shadow %x, nmi %u/%u",
	    mp.mp_state, events.exception.injected, events.exception.pending,
	    events.exception.nr, events.exception.error_code, events.interrupt.injected,
	    events.interrupt.nr, events.interrupt.shadow, events.nmi.injected,
	    events.nmi.pending);
}

static void dump_code(const struct vcpu *vcpu, uint64_t linear)
{
	struct kvm_translation translation = { .linear_address = linear };
	char text[CODE_BYTES * 3 + 1];
	const uint8_t *code;

	if (ioctl(vcpu->fd, KVM_TRANSLATE, &translation) || !translation.valid)
		return;
	code = ram_at(&vcpu->vm->ram, translation.physical_address, CODE_BYTES);
	if (!code)
		return;
	for (unsigned int i = 0; i < CODE_BYTES; i++)
		sprintf(text + 3 * i, " %02x", code[i]);
	say("  code%s", text);
}

void vcpu_dump(const struct vcpu *vcpu)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	say("vCPU %u:", vcpu->index);
	if (!ioctl(vcpu->fd, KVM_GET_REGS, &regs))
		dump_regs(&regs);
	if (!ioctl(vcpu->fd, KVM_GET_SREGS, &sregs)) {
		dump_sregs(&sregs);
		dump_code(vcpu, (sregs.efer & 0x400 && sregs.cs.l ? 0 : sregs.cs.base) + regs.rip);
	}
	dump_events(vcpu);
}
