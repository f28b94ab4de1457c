// SPDX-License-Identifier: GPL-2.0
/*
 * The TLB protocol: who may believe that a translation is gone. All of it is
 * in this file.
 *
 *	remover				vCPU, interrupts off
 *	-------				-----
 *	change the entry		mode = IN_GUEST
 *	tlb_gen++	 (mark)		full barrier
 *	full barrier			gen = tlb_gen
 *	look at each mode:		if own gen differs: flush at this entry,
 *	  IN_GUEST: IPI, wait		    own gen = gen
 *	tlb_done = the gen it read	enter
 *
 * Invariant: a vCPU that is in the guest runs with a flush behind it that is
 * no older than mmu->tlb_done. So once tlb_done has reached the generation
 * that a remover made, no translation of what it removed is in use.
 *
 * The mark comes before mmu_lock is released. Hence who takes the lock and
 * finds an entry gone already (two invalidations of one page) finds the mark
 * as well: mmu_tlb_flush_vm() then waits for the flush it has not caused, and
 * is a comparison of two numbers when there is none outstanding.
 *
 * A vCPU acknowledges by setting its own generation only here, after its last
 * check: from this point on it enters, or hardware keeps the flush armed.
 * Vendors flush by themselves when a vCPU comes to a CPU that it did not run
 * on last, and when it comes to another root (vendor_load_root): a flush, and
 * the acknowledgement of it, is of the root that the vCPU is about to use. What
 * hardware keeps of the other one is used by nobody until then.
 *
 * selftests/model/tlb.pml goes through all interleavings of this; who changes
 * the one changes the other.
 */
#include <linux/jump_label.h>
#include <linux/moduleparam.h>
#include "x86/mmu/tdp.h"
#include "x86/vendor.h"

static DEFINE_STATIC_KEY_FALSE(tlb_debug);

static int set_tlb_debug(const char *val, const struct kernel_param *kp)
{
	bool on;
	int r = kstrtobool(val, &on);

	if (r)
		return r;
	if (on)
		static_branch_enable(&tlb_debug);
	else
		static_branch_disable(&tlb_debug);
	return 0;
}

static int get_tlb_debug(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%c\n", static_key_enabled(&tlb_debug) ? 'Y' : 'N');
}

static const struct kernel_param_ops tlb_debug_ops = {
	.flags	= KERNEL_PARAM_OPS_FL_NOARG,
	.set	= set_tlb_debug,
	.get	= get_tlb_debug,
};
module_param_cb(tlb_debug, &tlb_debug_ops, NULL, 0644);
MODULE_PARM_DESC(tlb_debug, "check the TLB protocol's invariant at every entry");

/**
 * tlb_mark() - translations must go: those of entries just changed
 * @vm: the VM; its mmu_lock is held
 */
void tlb_mark(struct vm *vm)
{
	lockdep_assert_held(&vm->mmu_lock);
	/* The entry first, then the generation, for mmu_tlb_sync(). */
	smp_mb__before_atomic();
	atomic64_inc(&vm->tlb_gen);
}

static void raise_done(struct mmu *mmu, s64 gen)
{
	s64 done = atomic64_read(&mmu->tlb_done);

	while (done < gen && !atomic64_try_cmpxchg(&mmu->tlb_done, &done, gen))
		;
}

/**
 * mmu_tlb_flush_vm() - wait until nothing that was marked is in use
 * @vm: the VM
 *
 * Context: interrupts on; spins for vCPUs in the guest, does not sleep. May be
 * called with or without mmu_lock.
 */
void mmu_tlb_flush_vm(struct vm *vm)
{
	struct mmu *mmu = vm->arch.mmu;
	s64 gen = atomic64_read(&vm->tlb_gen);

	if (atomic64_read(&mmu->tlb_done) >= gen)
		return;
	vcpus_kick_and_wait(vm);
	raise_done(mmu, gen);
	mmu_count(mmu, MMU_STAT_flushes);
}

static noinline void check_invariant(struct vcpu *vcpu)
{
	s64 done = atomic64_read(&vcpu->vm->arch.mmu->tlb_done);

	WARN_ONCE((s64)vcpu->tlb_gen < done,
		  "vcpu %d enters with TLB generation %llu, %lld is promised to be gone\n",
		  vcpu->id, vcpu->tlb_gen, done);
}

/**
 * mmu_tlb_sync() - have this entry flush what it must
 * @vcpu: the vCPU; IN_GUEST with a full barrier after it, all checks passed
 *
 * Context: interrupts off, on the way in.
 */
void mmu_tlb_sync(struct vcpu *vcpu)
{
	u64 gen = atomic64_read(&vcpu->vm->tlb_gen);

	if (unlikely(vcpu->tlb_gen != gen)) {
		static_call(vendor_tlb_flush)(vcpu);
		vcpu->tlb_gen = gen;
		vcpu->arch.stats.tlb_flush++;
	}
	if (static_branch_unlikely(&tlb_debug))
		check_invariant(vcpu);
}
