/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The virtual machine: the KVM file descriptors, its memory, board and vCPUs.
 */
#ifndef MINIVMM_VM_H
#define MINIVMM_VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "cli.h"
#include "platform.h"
#include "ram.h"

#define STATUS_RUNNING	(-1)

struct vcpu {
	struct vm *vm;
	unsigned int index;	/* and APIC ID; 0 boots */
	int fd;
	struct kvm_run *run;
	pthread_t thread;
};

struct vm {
	const struct config *config;
	int device_fd;
	int fd;
	int wake_fd;		/* eventfd: the main thread has something to look at */
	size_t run_size;	/* bytes of a vCPU's struct kvm_run mapping */
	struct ram ram;
	struct platform platform;
	struct vcpu *vcpus;
	atomic_int status;	/* STATUS_RUNNING, or how it ended: set once */
};

/**
 * vm_create - open the device, create VM, memory, interrupt controllers, vCPUs
 * @vm: filled in; what it holds lives until the process ends
 *
 * Return: 0, or -1 after having said what is wrong.
 */
int vm_create(struct vm *vm, const struct config *config);

/**
 * vm_set_entry - make the boot CPU start in 64-bit mode
 * @entry: guest physical address, mapped one to one by the boot page tables
 */
int vm_set_entry(struct vm *vm, uint64_t entry);

/* End the run; the first status stays. From any thread; does not wait. */
void vm_stop(struct vm *vm, int status);

/* Start all vCPUs' threads. Return: 0 or -1, said. */
int vm_start(struct vm *vm);

/*
 * Wait until all vCPUs have left KVM_RUN, after vm_stop(). Return: 0, or -1 if
 * one of them does not come out.
 */
int vm_join(struct vm *vm);

/* run.c: a vCPU's thread; @argument is the struct vcpu. */
void *vcpu_thread(void *argument);

/* dump.c: registers and code bytes on stderr. No thread may be in its KVM_RUN. */
void vcpu_dump(const struct vcpu *vcpu);

#endif
