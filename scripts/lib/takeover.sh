# SPDX-License-Identifier: GPL-2.0
# The tests in which the next kernel takes a host over, each with a boot of its own.
# shellcheck shell=bash

# shellcheck disable=SC2034
TAKEOVER_TESTS="kexec crash"

# takeover TEST HOST LABEL KERNEL CPUS TESTHOST_OPTION...: prints what run-tests does.
takeover()
{
	local name=$1 host=$2 label=$3 kernel=$4 cpus=$5 work status=0
	local programs=$TOP/build/selftests

	shift 5
	[ "$name" != crash ] || set -- --append crashkernel=256M "$@"
	work=$(mktemp -d)
	echo "$label/$name 200 next-kernel found $name $cpus" >"$work/tests"
	"$TOP/scripts/testhost" "$host" --kernel "$kernel" --cpus "$cpus" "$@" --add "$work/tests" \
		--add "$TOP/scripts/lib/run-tests" --add "$TOP/scripts/lib/next-kernel" \
		--add "$programs/next_kernel" --add "$programs/smp" \
		--add "$(unpacked_kernel "$(kernel_dir "$kernel")/vmlinuz"):/root/vmlinux" \
		-- "next-kernel $name" || status=$?
	rm -rf "$work"
	echo
	return $status
}
