/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The module's own reads and writes of guest memory, by guest physical
 * address in an address space: that which a vCPU is in, for what it does itself;
 * SPACE_MAIN for what the module and the guest share. Everything that the module
 * writes is logged as dirty here, so that no writer can forget it. It writes for
 * a vCPU, in that vCPU's thread: the dirty ring knows no other pages.
 *
 * All of these take vm->srcu to be held, and may sleep, as they fault in host
 * pages; but guest_write_nofault() does neither.
 */
#ifndef MINIKVM_GUEST_MEMORY_H
#define MINIKVM_GUEST_MEMORY_H

#include <minikvm/types.h>

int guest_read(struct vm *vm, unsigned int space, gpa_t gpa, void *data, size_t len);
int guest_write(struct vcpu *vcpu, unsigned int space, gpa_t gpa, const void *data, size_t len);
int guest_write_nofault(struct vm *vm, gpa_t gpa, const void *data, size_t len);
int guest_cmpxchg(struct vcpu *vcpu, unsigned int space, gpa_t gpa, void *old, const void *new,
		  unsigned int len);

/* The architecture's part of guest_cmpxchg(): the same, in user memory. */
int arch_cmpxchg_user(void __user *user, void *old, const void *new, unsigned int len);

#endif
