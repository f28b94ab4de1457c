/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The two address spaces (MMIO and PIO) on which devices inside the module
 * answer. An access that no device claims goes to user space.
 *
 * Devices are found under vm->srcu; they come and go under vm->slots_lock,
 * which the caller of io_bus_register() and io_bus_unregister() holds.
 */
#ifndef MINIKVM_BUS_H
#define MINIKVM_BUS_H

#include <minikvm/types.h>

enum bus_kind { BUS_MMIO, BUS_PIO, BUS_KINDS };

struct io_device;

/*
 * A handler returns 0 when it took the access, or -EOPNOTSUPP to let the next
 * device, and at last user space, have it. Handlers run in a vCPU's thread,
 * under vm->srcu.
 */
struct io_device_ops {
	int (*read)(struct vcpu *vcpu, struct io_device *dev, gpa_t addr,
		    unsigned int len, void *data);
	int (*write)(struct vcpu *vcpu, struct io_device *dev, gpa_t addr,
		     unsigned int len, const void *data);
	/* The device has left all its ranges and nobody is inside. May be NULL. */
	void (*destroy)(struct io_device *dev);
};

struct io_device {
	const struct io_device_ops *ops;
};

struct io_bus;

int io_bus_init(struct vm *vm);
void io_bus_destroy(struct vm *vm);
int io_bus_register(struct vm *vm, enum bus_kind kind, gpa_t addr,
		    unsigned int len, struct io_device *dev);
void io_bus_unregister(struct vm *vm, enum bus_kind kind, struct io_device *dev);
int io_bus_read(struct vcpu *vcpu, enum bus_kind kind, gpa_t addr,
		unsigned int len, void *data);
int io_bus_write(struct vcpu *vcpu, enum bus_kind kind, gpa_t addr,
		 unsigned int len, const void *data);

#endif
