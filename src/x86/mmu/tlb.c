// SPDX-License-Identifier: GPL-2.0
/*
 * The TLB protocol, whole.
 *
 * vm->tlb_gen counts the flushes that the VM has asked for; vcpu->tlb_gen is
 * the count that the vCPU's own last flush covers. The invariant:
 *
 *	No vCPU executes guest code with vcpu->tlb_gen older than the value of
 *	vm->tlb_gen at the time of its last check, and every increment of
 *	vm->tlb_gen has all vCPUs make a new check before it returns.
 *
 * The flusher changes the tables, increments vm->tlb_gen, and then kicks all
 * who are in guest mode and waits for them to come out. The vCPU enters guest
 * mode, has a full barrier, and then compares. Either the flusher sees it in
 * guest mode and waits; or it sees the new generation (see enum vcpu_mode).
 *
 * A vCPU takes the generation over only when the entry that flushes can no
 * longer be called off: after the last check of the run loop.
 */
#include <linux/atomic.h>
#include <minikvm/vcpu.h>
#include "x86/x86.h"

void mmu_tlb_flush_vm(struct vm *vm)
{
	/* Full barrier: the tables were changed before, modes are read after. */
	atomic64_inc_return(&vm->tlb_gen);
	vcpus_kick_and_wait(vm);
}

void mmu_tlb_sync(struct vcpu *vcpu)
{
	u64 gen = atomic64_read(&vcpu->vm->tlb_gen);

	if (likely(vcpu->tlb_gen == gen))
		return;
	static_call(vendor_tlb_flush)(vcpu);
	vcpu->tlb_gen = gen;
}
