// SPDX-License-Identifier: GPL-2.0
/*
 * Page-modification logging (SDM vol. 3, 29.3.6): each time the CPU sets a
 * dirty bit in an EPT leaf, it writes the page's address into a page of ours,
 * from the last entry to the first, and exits when there is none left.
 */
#include "x86/vmx/vmx.h"

/**
 * vmx_pml_reset() - what is in the log is forgotten
 * @vmx: the vCPU, loaded
 */
void vmx_pml_reset(struct vmx_vcpu *vmx)
{
	if (!(vmx_caps.proc2 & SECONDARY_EXEC_ENABLE_PML))
		return;
	vmcs_write(PML_ADDRESS, __pa(vmx->pml));
	vmcs_write(GUEST_PML_INDEX, VMX_PML_ENTRIES - 1);
}

/**
 * vmx_take_written() - pages that hardware has seen written
 * @vcpu:	the vCPU, loaded
 * @gpas:	where their addresses are, until the next entry
 *
 * Return: how many.
 */
unsigned int vmx_take_written(struct vcpu *vcpu, const u64 **gpas)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	/* Of the next to be written; beyond the page when it is full. */
	u16 index = vmcs_read(GUEST_PML_INDEX);
	unsigned int first = index < VMX_PML_ENTRIES ? index + 1 : 0;

	*gpas = vmx->pml + first;
	if (first < VMX_PML_ENTRIES)
		vmcs_write(GUEST_PML_INDEX, VMX_PML_ENTRIES - 1);
	return VMX_PML_ENTRIES - first;
}
