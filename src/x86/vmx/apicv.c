// SPDX-License-Identifier: GPL-2.0
/*
 * APIC virtualization (SDM vol. 3, ch. 29), as far as an x2APIC goes: registers are
 * read from, and some are written to, the virtual-APIC page; pending interrupts are
 * delivered by RVI and SVI, the two halves of the guest interrupt status. Others come
 * by vcpu->arch.posted, which the CPU empties when the notification reaches it (29.6).
 */
#include "compat/posted_intr.h"
#include "x86/irq/lapic.h"
#include "x86/vmx/vmx.h"

#define MSR_X2APIC_FIRST	0x800
#define MSR_X2APIC_LAST		0x8ff

/**
 * vmx_apicv_controls() - put in order what depends on whose page is in use
 * @vmx:	the vCPU, loaded
 * @pin:	the pin-based controls, and
 * @proc2:	the secondary ones, with all that this CPU has of it
 */
void vmx_apicv_controls(struct vmx_vcpu *vmx, u32 *pin, u32 *proc2)
{
	if (!vmx_apicv_on(vmx)) {
		*pin &= ~PIN_BASED_POSTED_INTR;
		*proc2 &= ~VMX_APICV;
	}
	if (vmx_caps.proc & CPU_BASED_TPR_SHADOW)
		vmcs_write(VIRTUAL_APIC_PAGE_ADDR, __pa(vmx->apic_page));
	if (*pin & PIN_BASED_POSTED_INTR) {
		vmcs_write(POSTED_INTR_DESC_ADDR, __pa(vmx->vcpu.arch.posted));
		vmcs_write(POSTED_INTR_NV, COMPAT_POSTED_INTR_VECTOR);
	}
}

static void pass_msrs(struct vcpu *vcpu, bool on)
{
	u32 msr;

	for (msr = MSR_X2APIC_FIRST; msr <= MSR_X2APIC_LAST; msr++)
		vmx_pass_msr(vcpu, msr, on && lapic_hardware_msr(vcpu, msr, false),
			     on && lapic_hardware_msr(vcpu, msr, true));
}

/**
 * vmx_apic_hardware() - vendor_apic_hardware()
 * @vcpu:	the vCPU, loaded
 * @page:	its LAPIC's registers
 * @on:		whether
 */
void vmx_apic_hardware(struct vcpu *vcpu, void *page, bool on)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 pin = vmx_caps.pin, proc2 = vmcs_read(SECONDARY_VM_EXEC_CONTROL) | VMX_APICV;

	vmx->apic_page = on ? page : vmx->vapic;
	vmx_apicv_controls(vmx, &pin, &proc2);
	vmcs_write(PIN_BASED_VM_EXEC_CONTROL, pin);
	vmcs_write(SECONDARY_VM_EXEC_CONTROL, proc2);
	pass_msrs(vcpu, on);
}

/**
 * vmx_apic_notify() - vendor_apic_notify()
 * @cpu:	that is in the guest, or just was: then the kernel's handler has nothing to do
 */
void vmx_apic_notify(int cpu)
{
	compat_post_intr(cpu);
}

/**
 * vmx_apic_irqs() - vendor_apic_irqs()
 * @vcpu:	the vCPU, loaded
 * @pending:	RVI
 * @in_service:	SVI
 */
void vmx_apic_irqs(struct vcpu *vcpu, u8 pending, u8 in_service)
{
	u16 status = in_service << 8 | pending;

	if ((u16)vmcs_read(GUEST_INTR_STATUS) != status)
		vmcs_write(GUEST_INTR_STATUS, status);
}

/**
 * vmx_apic_eoi_exits() - vendor_apic_eoi_exits()
 * @vcpu:	the vCPU, loaded
 * @vectors:	256 bits
 */
void vmx_apic_eoi_exits(struct vcpu *vcpu, const u64 *vectors)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		vmcs_write(EOI_EXIT_BITMAP0 + 2 * i, vectors[i]);
}
