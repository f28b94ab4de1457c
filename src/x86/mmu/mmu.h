/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The MMU as the rest of the module sees it: second-level faults, zapping,
 * write protection, and walks of the guest's own page tables.
 */
#ifndef MINIKVM_X86_MMU_H
#define MINIKVM_X86_MMU_H

#include <minikvm/mmu.h>
#include <minikvm/types.h>

/* The format of the second-level tables, said once by the vendor at load. */
struct spte_format {
	bool ept;		/* EPT bits, else the CPU's own page-table bits (NPT) */
	bool ad_bits;		/* hardware sets accessed and dirty */
	bool page_1g, page_2m;
	bool small_exec;	/* the guest may execute from 4K pages alone; EPT only */
	u16 dirty_burst;	/* hardware logs so many pages before it exits; 0: none */
	u8 levels;		/* of the walk: 4, or 5 */
	u8 phys_bits;
	u64 reserved;		/* address bits that no entry may have; none: 0 */
};

enum mmu_fault_result {
	MMU_FAULT_DONE,		/* mapped, or somebody else did: enter again */
	MMU_FAULT_EMULATE,	/* no slot, or a write to a read-only one: MMIO */
	/* below 0: -EFAULT (user space gave no page), -ENOMEM, -EINTR,
	 * -EHWPOISON: the VMM is to be told */
};

int mmu_init(const struct spte_format *format);	/* at module load */
void mmu_exit(void);
int mmu_vm_init(struct vm *vm);
void mmu_vm_stop(struct vm *vm);
void mmu_vm_destroy(struct vm *vm);
int mmu_vcpu_init(struct vcpu *vcpu);
void mmu_vcpu_destroy(struct vcpu *vcpu);
hpa_t mmu_root(struct vm *vm, unsigned int space);

/* vm->srcu held, may sleep. @access: NPF_*. */
int mmu_fault(struct vcpu *vcpu, gpa_t gpa, u32 access);
/* After each exit, with vendor_caps.pml: what hardware has logged is logged. May sleep. */
void mmu_log_written(struct vcpu *vcpu);
void mmu_mmio_exit(struct vcpu *vcpu);	/* EXIT_NPF_MISCONFIG */
/* Before an entry, vcpu loaded, interrupts off: flush what the protocol says. */
void mmu_tlb_sync(struct vcpu *vcpu);

/*
 * A walk of the guest's own tables, as its CPU would do it. @access has the
 * bits of a #PF error code (X86_PF_WRITE, _USER, _INSTR), and WALK_IMPLICIT. On
 * failure the #PF is described by @fault and the result is -EFAULT; it is -EAGAIN
 * where the guest kept changing its tables under the walk. vm->srcu held; may sleep.
 */

/*
 * It is the CPU that looks into a system table (GDT, LDT, IDT, TSS), not the
 * instruction: a supervisor's access, at any CPL, which EFLAGS.AC does not
 * exempt from SMAP (SDM vol. 3, 4.6.1).
 */
#define WALK_IMPLICIT	(1u << 31)

struct guest_fault {
	u8 vector;		/* #PF, or #GP for a non-canonical address */
	u32 error_code;
	u64 address;
};

int guest_translate(struct vcpu *vcpu, gva_t gva, u32 access, gpa_t *gpa,
		    struct guest_fault *fault);
/* Linear reads and writes; on a fault @fault is filled, -EFAULT returned. */
int guest_read_virt(struct vcpu *vcpu, gva_t gva, void *data, unsigned int len,
		    u32 access, struct guest_fault *fault);
bool guest_peek_code(struct vcpu *vcpu, gva_t gva, u32 access, u32 *code);
int guest_write_virt(struct vcpu *vcpu, gva_t gva, const void *data,
		     unsigned int len, u32 access, struct guest_fault *fault);

#endif
