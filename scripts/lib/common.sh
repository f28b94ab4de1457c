# SPDX-License-Identifier: GPL-2.0
# Shared by all scripts: paths, messages, kernels. Nothing here boots or builds.
# shellcheck shell=bash disable=SC2034

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
MINIKVM_CACHE=${MINIKVM_CACHE:-${HOME:?}/.cache/minikvm}
export MINIKVM_CACHE
# The emulator of the host amd, where scripts/setup qemu has built it.
QEMU_DIR=$MINIKVM_CACHE/qemu
# A guest's firmware, code.fd and vars.fd, where scripts/setup ovmf has put it.
OVMF_DIR=$MINIKVM_CACHE/ovmf
# What a 32-bit guest is made of, where scripts/setup guest-i386 has put it.
GUEST_I386=$MINIKVM_CACHE/guest-i386
# Where modprobe and others are, for those who are not root.
PATH=$PATH:/usr/sbin:/sbin

me=${0##*/}

# What no run of a test may leave in the console log.
SPLATS='WARNING: |BUG: |Oops|general protection fault|unable to handle|Call Trace:|Kernel panic'
SPLATS+='|INFO: (rcu|task|possible|trying)|rcu: INFO|rcu_[a-z]* (self-)?detected|soft lockup|hard LOCKUP'
SPLATS+='|possible recursive locking|circular locking|suspicious RCU|inconsistent lock state'
SPLATS+='|unreferenced object|UBSAN:|KASAN:|list_(add|del) corruption|refcount_t:|scheduling while atomic'
SPLATS+='|bad page state|Bad page|nobody cared|leak detector disabled|lockdep is turned off|Memory cgroup out of memory|Out of memory'

# What looks like it, and is not: our own marks, and what a small kernel says of itself.
NO_SPLATS='minikvm-host:|kernel not compiled with'

# Of a host's command line: each of these takes a boot up to half a second, and serves nothing here.
QUICK_BOOT='cryptomgr.notests=1 initcall_blacklist=load_system_certificate_list,init_kprobe_trace'
QUICK_BOOT+=',cubictcp_register,trace_eval_init,bpf_rstat_kfunc_init'

# Architectures, in the kernel's own names, for which the common code is compiled.
CROSS_ARCHES="arm64 s390"

# cross_prefix ARCH: of Debian's compiler for it.
cross_prefix()
{
	case $1 in
	arm64) echo aarch64-linux-gnu- ;;
	s390) echo s390x-linux-gnu- ;;
	esac
}

say()
{
	printf '%s: %s\n' "$me" "$*" >&2
}

# The message says what to do about it.
die()
{
	say "$*"
	exit 125
}

# on_exit COMMAND: to be done when the script ends, or the subshell that says so. If a signal
# ends it, it dies of that signal then: a shell that waits for it goes on otherwise, as if
# nothing had happened.
on_exit()
{
	local signal

	# shellcheck disable=SC2064
	trap "$1" EXIT
	for signal in INT TERM HUP; do
		# shellcheck disable=SC2064
		trap "trap '' INT TERM HUP; $1; trap - EXIT $signal; kill -s $signal \$BASHPID" "$signal"
	done
}

# Temporary files, and those of the scripts that this one runs, go when it ends.
own_tmpdir()
{
	TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/minikvm.XXXXXX")
	export TMPDIR
	on_exit 'rm -rf "$TMPDIR"'
}

# Prints the comment at the top of the script, which is its manual.
usage()
{
	sed -n '3,/^[^#]/ { /^#/ { s/^# \{0,1\}//; p; } }' "$0"
}

# Arguments as one line that a shell reads back as the same arguments.
quote()
{
	local arg out=

	for arg; do
		out+=" '${arg//\'/\'\\\'\'}'"
	done
	printf '%s' "${out# }"
}

# kernel_dir VERSION: prints the directory with a kernel set up by scripts/setup:
#	release		its name, as uname -r prints it
#	vmlinuz
#	lib/modules/	what modprobe -d wants
#	build/		what make -C wants (not there for every kernel)
# VERSION local is the running kernel, of which there is no more than release and build/.
kernel_dir()
{
	local dir=$MINIKVM_CACHE/kernel-$1

	[ "$1" != local ] || { local_kernel_dir; return; }
	[ -e "$dir/release" ] || die "kernel $1 is not set up: run scripts/setup kernel-$1"
	printf '%s\n' "$dir"
}

local_kernel_dir()
{
	local dir=$TOP/build/kernel-local release

	release=$(uname -r)
	[ -e "/lib/modules/$release/build" ] ||
		die "no headers of the running kernel: apt install linux-headers-$release"
	mkdir -p "$dir"
	printf '%s\n' "$release" >"$dir/release"
	ln -sfn "/lib/modules/$release/build" "$dir/build"
	printf '%s\n' "$dir"
}

# stamp PART: the file that is there once scripts/setup has done PART.
stamp()
{
	printf '%s\n' "$MINIKVM_CACHE/.stamp-$1"
}

# Runs a command that is only worth reading when it fails.
quietly()
{
	local log

	log=$(mktemp)
	if ! "$@" >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}

# Lines shall come out as they come in, which Debian's awk must be told.
awk_lines()
{
	if command -v mawk >/dev/null; then
		mawk -W interactive "$@"
	else
		awk "$@"
	fi
}
