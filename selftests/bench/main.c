// SPDX-License-Identifier: GPL-2.0
/*
 * What an operation costs on one device ($MINIKVM_DEVICE), through KVM's ABI
 * alone: a line "name<TAB>ticks<TAB>limit<TAB>flat" for each bench. scripts/bench
 * runs this for stock KVM and for minikvm in one boot and makes a table of it.
 *
 * Usage: bench [NAME...]	NAME: of a row, or how the names of several begin
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

static char **names;	/* of the command line */

bool bench_wanted(const char *row)
{
	char **name = names;

	if (!*name)
		return true;
	while (*name && strncmp(row, *name, strlen(*name)))
		name++;
	return *name;
}

void bench_report(const char *name, double ticks, double limit, const char *flat)
{
	printf("%s\t%.0f\t%.4g\t%s\n", name, ticks, limit, flat);
}

int main(int argc, char **argv)
{
	static const struct bench *const groups[] = {
		exit_benches, fault_benches, dirty_log_benches,
	};
	const struct bench *bench;
	size_t i;

	names = argv + 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		for (bench = groups[i]; bench->name; bench++)
			if (bench_wanted(bench->name))
				bench_report(bench->name, bench->measure(), bench->limit, "-");
	slot_size_benches();
	return 0;
}
