/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host's half of the library: open the device, make VMs, vCPUs and slots,
 * run a vCPU and understand what its guest reports. The guest's half is
 * lib/guest.h.
 *
 * A guest is a function of the test program. The program is linked at a fixed
 * address, and a copy of its image as it is at vm_create() lies at the same
 * guest-physical address, mapped one to one; so guest and host agree on where
 * code and constants are, while each has its own copy of every variable.
 * guest_var() is the guest's copy, seen from the host.
 *
 * A helper that fails ends the test at once, with the line of its caller.
 */
#ifndef SELFTESTS_LIB_VM_H
#define SELFTESTS_LIB_VM_H

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include "lib/guest.h"
#include "lib/guest_layout.h"

#define PAGE_SIZE	4096ul
#define HUGE_SIZE	(2ul << 20)

/* ---- failing ---- */

#define die(fmt, ...) __die(__FILE__, __LINE__, fmt, ##__VA_ARGS__)
void __die(const char *file, int line, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 3, 4)));

/* ioctl() that must work; its result. */
#define do_ioctl(fd, req, arg) __do_ioctl(__FILE__, __LINE__, #req, fd, req, (unsigned long)(arg))
int __do_ioctl(const char *file, int line, const char *name, int fd, unsigned long req,
	       unsigned long arg);

/* ioctl() that should fail; its errno, 0 if it worked. */
static inline int ioctl_errno(int fd, unsigned long req, const void *arg)
{
	return ioctl(fd, req, arg) < 0 ? errno : 0;
}

/* ---- device and host ---- */

const char *device_path(void);		/* $MINIKVM_DEVICE, or /dev/minikvm */
bool device_is_stock(void);		/* the kernel's own KVM, not minikvm */
int device_open(void);
int check_extension(int cap);		/* of the device, not of a VM */
bool host_is_intel(void);
bool host_is_tcg(void);			/* QEMU, which emulates some things less well */
bool host_is_emulated(void);		/* made for tests; else somebody's machine, which stays as it is */
int host_cpus(void);			/* online now */
void host_go_to(int cpu);		/* this thread, and those that it makes */
void host_give_way(void);		/* in a loop that waits for another thread, or for a guest */
bool host_swap_on(void);		/* 32 MiB of it, on a host that is there for tests */
bool cgroup_enter(void);			/* one of its own; false: no memory cgroups, or not root */
void cgroup_leave(void);
bool cgroup_write(const char *file, const char *text);	/* of the group */
long cgroup_memory(void);		/* bytes that it pays for */
bool host_logged(const char *what);	/* in the kernel's log */
long host_splats(void);			/* what it knows of its own, as taints; -1: it can't be asked */
u64 option(const char *name, u64 otherwise);	/* a number out of the environment */
long meminfo_kb(const char *field);	/* a line of /proc/meminfo, -1 if not there */
struct kvm_cpuid2 *supported_cpuid(void);	/* not shared: the caller's */
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, u32 function, u32 index);

/* ---- a VM ---- */

#define VM_IRQCHIP	1		/* PIC, IOAPIC and LAPICs in the kernel */
#define VM_PIT		2		/* and a PIT, its speaker port included */
#define VM_BARE		4		/* no memory, no guest */

struct vm {
	int dev, fd;
	void *ram;			/* slot 0, at guest-physical 0 */
	u64 next_table;			/* of vm_map_page() */
};

struct vcpu {
	struct vm *vm;
	int fd, id;
	struct kvm_run *run;
	size_t run_size;
};

struct vm *vm_create(unsigned int flags);
void vm_free(struct vm *vm);		/* after its vCPUs */
/* KVM_SET_USER_MEMORY_REGION; 0 or errno. Size 0 deletes. */
int vm_set_slot(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size, void *hva);
/* 4K page at a guest-virtual address of 512 GiB and up; flags: page table bits. */
void vm_map_page(struct vm *vm, u64 gva, u64 gpa, u64 flags);
void vm_irq_line(struct vm *vm, u32 gsi, int level);
/* An MSI to the LAPIC whose ID is 0; and the only route there is, of a GSI that sends one. */
void vm_signal_msi(struct vm *vm, u32 data);
void vm_route_msi(struct vm *vm, u32 gsi, u32 data);
int vm_set_msi_route(struct vm *vm, u32 gsi, u64 address, u32 data);	/* likewise, anywhere; errno */
/* Mapped no more for the guest, whose next access to it faults and finds it as it was. */
void vm_drop_page(struct vm *vm, u64 gpa);
/* What vCPU 0 needs to deliver an event: IDT, GDT, stack. */
#define DELIVERY_PAGES	3
extern const u64 delivery_pages[DELIVERY_PAGES];

/* A number out of KVM_GET_STATS_FD; -1 where the module has not got it. */
s64 vm_stat(struct vm *vm, const char *name);
struct vcpu;
s64 vcpu_stat(struct vcpu *vcpu, const char *name);

#define PTE_P		(1ull << 0)
#define PTE_W		(1ull << 1)
#define PTE_U		(1ull << 2)
#define PTE_PS		(1ull << 7)
#define PTE_NX		(1ull << 63)
#define GVA_TEST	(1ull << 39)	/* where vm_map_page() may begin */

static inline void *guest_ptr(struct vm *vm, u64 gpa)
{
	return (char *)vm->ram + gpa;
}

#define guest_var(vm, var) (*(typeof(&(var)))guest_ptr(vm, (u64)&(var)))

/* Zeroed anonymous memory, aligned to 2M; small pages unless a test asks for others. */
void *map_memory(size_t size);

/* ---- a vCPU ---- */

/* With all supported CPUID; in 64-bit mode about to call entry(arg), if any. */
struct vcpu *vcpu_create(struct vm *vm, int id, void *entry, u64 arg);
void vcpu_free(struct vcpu *vcpu);
void vcpu_start64(struct vcpu *vcpu, void *entry, u64 arg);
void vcpu_start32(struct vcpu *vcpu, u32 eip);	/* flat, paging off */
void vcpu_start16(struct vcpu *vcpu, u16 ip);	/* real mode, all bases 0, sp 0x8000 */
struct kvm_regs vcpu_regs(struct vcpu *vcpu);
struct kvm_sregs vcpu_sregs(struct vcpu *vcpu);
u64 vcpu_get_msr(struct vcpu *vcpu, u32 msr);
int vcpu_set_msr(struct vcpu *vcpu, u32 msr, u64 value);	/* KVM_SET_MSRS's result */

/* One KVM_RUN: 0, or errno. */
static inline int vcpu_run_once(struct vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_RUN, 0) ? errno : 0;
}

struct signal_mask {
	struct kvm_signal_mask head;
	u64 bits;
} __attribute__((packed));

/* Does this thread hold back @sig? */
void signal_block(int sig, bool block);
/* It does from now on, and KVM_RUN does not. */
void signal_in_run_alone(struct vcpu *vcpu, int sig);

struct report {
	enum report_kind kind;
	u64 value;			/* of REPORT_VALUE, stage of REPORT_SYNC */
	u32 exit;			/* vcpu->run->exit_reason if REPORT_EXIT */
};

/* Run to the next report or other exit. A guest that fails or traps ends the test. */
#define vcpu_run(vcpu) __vcpu_run(__FILE__, __LINE__, vcpu)
struct report __vcpu_run(const char *file, int line, struct vcpu *vcpu);

/* The same, of a KVM_RUN that the caller has made. */
#define vcpu_report(vcpu) __vcpu_report(__FILE__, __LINE__, vcpu)
struct report __vcpu_report(const char *file, int line, struct vcpu *vcpu);

/* Run, and end the test unless what comes next is: */
#define vcpu_run_done(vcpu) \
	((void)__vcpu_expect(__FILE__, __LINE__, vcpu, REPORT_DONE, 0))
#define vcpu_run_sync(vcpu, n) \
	((void)__vcpu_expect(__FILE__, __LINE__, vcpu, REPORT_SYNC, n))
#define vcpu_run_exit(vcpu, reason) \
	((void)__vcpu_expect(__FILE__, __LINE__, vcpu, REPORT_EXIT, reason))
#define vcpu_run_value(vcpu) \
	__vcpu_expect(__FILE__, __LINE__, vcpu, REPORT_VALUE, 0)
u64 __vcpu_expect(const char *file, int line, struct vcpu *vcpu, enum report_kind kind, u64 n);

/* What the vCPU has exited for is complete then, and nothing behind it has run. */
void vcpu_complete(struct vcpu *vcpu);
/* The same of an OUT, to which it runs. */
#define vcpu_run_to_out(vcpu) do {		\
	vcpu_run_exit(vcpu, KVM_EXIT_IO);	\
	vcpu_complete(vcpu);			\
} while (0)

/* vcpu_run_done() in a thread of its own. */
void vcpu_run_thread(struct vcpu *vcpu, pthread_t *thread);

#endif /* SELFTESTS_LIB_VM_H */
