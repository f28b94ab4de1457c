// SPDX-License-Identifier: GPL-2.0
/*
 * What an operation costs on one device ($MINIKVM_DEVICE), through KVM's ABI
 * alone: a line "name<TAB>ticks<TAB>limit" for each bench. scripts/bench runs
 * this for stock KVM and for minikvm in one boot and makes a table of it.
 *
 * Usage: bench [NAME...]
 */
#include "bench.h"

static u64 take_report(struct vcpu *vcpu)
{
	struct kvm_regs regs = vcpu_regs(vcpu);

	if (regs.rax == REPORT_TRAP)
		die("the guest had exception %llu at %#llx", regs.rsi, regs.rcx);
	if (regs.rax != REPORT_VALUE)
		die("the guest made report %llu", regs.rax);
	return regs.rdi;
}

u64 bench_run(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	while (!ioctl(vcpu->fd, KVM_RUN, 0)) {
		if (run->exit_reason == KVM_EXIT_MMIO)
			continue;
		if (run->exit_reason != KVM_EXIT_IO)
			die("unexpected exit %u", run->exit_reason);
		if (run->io.port == REPORT_PORT)
			return take_report(vcpu);
	}
	die("KVM_RUN: %m");
}

static bool wanted(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	static const struct bench *const groups[] = {
		exit_benches, fault_benches, dirty_log_benches,
	};
	const struct bench *bench;
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		for (bench = groups[i]; bench->name; bench++)
			if (wanted(bench->name, argv + 1))
				printf("%s\t%.0f\t%.4g\n", bench->name, bench->measure(),
				       bench->limit);
	return 0;
}
