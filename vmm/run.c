// SPDX-License-Identifier: GPL-2.0
/*
 * A vCPU's life: KVM_RUN, again and again, and what to do about each exit. One
 * table of exits; those that are not in it end the run with a dump.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "status.h"
#include "vm.h"

static void stop_with_dump(struct vcpu *vcpu, int status)
{
	/* The first to fail is the one worth seeing. */
	if (atomic_load(&vcpu->vm->status) == STATUS_RUNNING)
		vcpu_dump(vcpu);
	vm_stop(vcpu->vm, status);
}

static void on_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint32_t value;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		value = 0;
		if (run->io.direction == KVM_EXIT_IO_IN) {
			value = platform_in(&vcpu->vm->platform, run->io.port, run->io.size);
			memcpy(data, &value, run->io.size);
		} else {
			memcpy(&value, data, run->io.size);
			platform_out(&vcpu->vm->platform, run->io.port, run->io.size, value);
		}
	}
}

/* No device of ours is memory-mapped: reads float high, writes go nowhere. */
static void on_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	say_verbose("vCPU %u: %s at %#llx, where nothing is", vcpu->index,
		    run->mmio.is_write ? "write" : "read",
		    (unsigned long long)run->mmio.phys_addr);
	if (!run->mmio.is_write)
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
}

static void on_interrupted(struct vcpu *vcpu)
{
	(void)vcpu;
}

static void on_shutdown(struct vcpu *vcpu)
{
	say("vCPU %u: triple fault", vcpu->index);
	stop_with_dump(vcpu, STATUS_SHUTDOWN);
}

static void on_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_stop(vcpu->vm, STATUS_POWEROFF);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_stop(vcpu->vm, STATUS_RESET);
		break;
	default:
		say("vCPU %u: system event %u", vcpu->index, vcpu->run->system_event.type);
		stop_with_dump(vcpu, STATUS_KVM);
	}
}

static void on_internal_error(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	char data[16 * 17 + 1] = "";
	unsigned int len = 0;

	for (uint32_t i = 0; i < run->internal.ndata && i < 16; i++)
		len += snprintf(data + len, sizeof(data) - len, " %llx",
				(unsigned long long)run->internal.data[i]);
	say("vCPU %u: KVM internal error, suberror %u%s, data%s", vcpu->index,
	    run->internal.suberror,
	    run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ?
	    " (an instruction that it cannot emulate)" : "",
	    len ? data : ": none");
	stop_with_dump(vcpu, STATUS_KVM);
}

static void on_fail_entry(struct vcpu *vcpu)
{
	say("vCPU %u: the CPU refused to enter the guest, reason %#llx, on host CPU %u",
	    vcpu->index,
	    (unsigned long long)vcpu->run->fail_entry.hardware_entry_failure_reason,
	    vcpu->run->fail_entry.cpu);
	stop_with_dump(vcpu, STATUS_KVM);
}

static void on_unknown(struct vcpu *vcpu)
{
	say("vCPU %u: KVM does not know hardware exit %#llx", vcpu->index,
	    (unsigned long long)vcpu->run->hw.hardware_exit_reason);
	stop_with_dump(vcpu, STATUS_KVM);
}

static void on_unexpected(struct vcpu *vcpu)
{
	say("vCPU %u: exit %u, for which nobody asked", vcpu->index, vcpu->run->exit_reason);
	stop_with_dump(vcpu, STATUS_KVM);
}

static void (*const exits[])(struct vcpu *vcpu) = {
	[KVM_EXIT_UNKNOWN] = on_unknown,
	[KVM_EXIT_IO] = on_io,
	[KVM_EXIT_MMIO] = on_mmio,
	[KVM_EXIT_INTR] = on_interrupted,
	[KVM_EXIT_SHUTDOWN] = on_shutdown,
	[KVM_EXIT_FAIL_ENTRY] = on_fail_entry,
	[KVM_EXIT_INTERNAL_ERROR] = on_internal_error,
	[KVM_EXIT_SYSTEM_EVENT] = on_system_event,
};

static void dispatch(struct vcpu *vcpu)
{
	uint32_t reason = vcpu->run->exit_reason;

	if (reason < sizeof(exits) / sizeof(exits[0]) && exits[reason])
		exits[reason](vcpu);
	else
		on_unexpected(vcpu);
}

void *vcpu_thread(void *argument)
{
	struct vcpu *vcpu = argument;
	struct vm *vm = vcpu->vm;
	sigset_t kick;

	sigemptyset(&kick);
	sigaddset(&kick, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);

	while (atomic_load(&vm->status) == STATUS_RUNNING) {
		if (!ioctl(vcpu->fd, KVM_RUN, 0)) {
			dispatch(vcpu);
		} else if (errno != EINTR && errno != EAGAIN) {
			say("vCPU %u: KVM_RUN: %s", vcpu->index, strerror(errno));
			stop_with_dump(vcpu, STATUS_KVM);
		}
	}
	return NULL;
}
