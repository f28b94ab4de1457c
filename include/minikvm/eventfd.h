/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interrupts that come in by an eventfd (irqfd) and guest writes that go out
 * by one (ioeventfd).
 */
#ifndef MINIKVM_EVENTFD_H
#define MINIKVM_EVENTFD_H

#include <linux/kvm.h>
#include <minikvm/types.h>

int eventfds_init(struct vm *vm);
void eventfds_release(struct vm *vm);	/* the VM's fd closes */
void eventfds_destroy(struct vm *vm);
int irqfd_set(struct vm *vm, const struct kvm_irqfd *args);
int ioeventfd_set(struct vm *vm, const struct kvm_ioeventfd *args);

#endif
