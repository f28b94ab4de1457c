# SPDX-License-Identifier: GPL-2.0
# The test "refused": machines on which the module must not load, each with a boot of its own.
# It says why in exactly one line, with the right errno, and leaves nothing behind.
# shellcheck shell=bash

# Host, what makes it such a machine (of its back end; of the kernel's command line), the errno,
# and what the line says. IA32_FEATURE_CONTROL has one of its two bits on that host, and a kernel
# that is told to overlook VMX does not say that it is the one that counts (feature_control.h).
REFUSALS='amd|QEMU_CPU=EPYC,-svm||19|this CPU has neither AMD SVM nor Intel VMX
amd|QEMU_CPU=EPYC,+svm,-npt||95|this CPU has no nested paging
intel|BOCHS_MODEL=corei7_skylake_x|clearcpuid=vmx|95|VMX is disabled by the firmware
intel|BOCHS_MODEL=corei5_lynnfield_750||95|what minikvm needs: secondary controls 0x80, unrestricted guest
intel|BOCHS_MODEL=core2_penryn_t9600||95|what minikvm needs: secondary controls 0x82, EPT
amd-bochs|BOCHS_MODEL=turion64_tyler||95|this CPU has no nested paging'

# What the host runs. Busybox's insmod tries again, in another way: the same line, then.
refusal_script()
{
	cat <<-END
		dmesg -c >/dev/null
		insmod minikvm.ko $1 2>/dev/null
		echo "errno \$?"
		[ ! -e /dev/minikvm ] || { echo "it is loaded"; rmmod minikvm; }
		dmesg | sed -n 's/.*\\] minikvm: //p' | grep -v taint | sort -u
	END
}

# refused_so ERRNO TEXT OUTPUT
refused_so()
{
	[ "$(head -n 1 <<<"$3")" = "errno $1" ] && [ "$(wc -l <<<"$3")" = 2 ] && grep -qF -- "$2" <<<"$3"
}

# refusals LABEL HOST KERNEL MODULE MODULE_ARGS: prints what run-tests does.
refusals()
{
	local label=$1 host=$2 kernel=$3 module=$4 args=$5 n=0 of machine append errno text output ok

	echo "@test $label/refused"
	while IFS='|' read -r of machine append errno text; do
		[ "$of" = "$host" ] || continue
		n=$((n + 1))
		output=$(env "$machine" "$TOP/scripts/testhost" "$host" --kernel "$kernel" --append "$append" \
			--no-module --add "$module:/root/minikvm.ko" -- "$(refusal_script "$args")" </dev/null |
			tr -d '\r') || output+=$'\n'"the host's end: status $?"
		ok='not ok'
		! refused_so "$errno" "$text" "$output" || ok=ok
		printf '# %s\n' "$machine $append" "${output//$'\n'/$'\n'# }"
		echo "$ok $n - $text"
	done <<<"$REFUSALS"
	echo "1..$n"
	echo
	echo "@exit 0"
}
