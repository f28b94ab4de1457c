# SPDX-License-Identifier: GPL-2.0
# The kernel's own KVM selftests (scripts/setup upstream builds them) in test hosts, judged
# by the tables in selftests/upstream/, whose README says what a row is.
# shellcheck shell=bash

UPSTREAM=$MINIKVM_CACHE/upstream-6.1
# A test whose limit, in seconds, is no more than this one runs in each run of all tests.
UPSTREAM_QUICK=120

# upstream_table HOST
upstream_table()
{
	local table=$TOP/selftests/upstream/$1.txt

	[ -e "$table" ] || die "there is no table of upstream's selftests for host $1"
	printf '%s\n' "$table"
}

# upstream_names HOST
upstream_names()
{
	awk '!/^#/ { print $1 }' "$(upstream_table "$1")"
}

upstream_quick_names()
{
	awk -v quick=$UPSTREAM_QUICK '!/^#/ && $2 <= quick { print $1 }' "$(upstream_table "$1")"
}

# upstream_overlay ROWS_FILE: prints an overlay with the programs that it names.
upstream_overlay()
{
	local rows=$1 work name

	work=$(mktemp -d)
	while read -r name _; do
		install -D "$UPSTREAM/$name" "$work/root/upstream/$name"
	done <"$rows"
	pack "$work" "$rows.cpio"
	rm -rf "$work"
	printf '%s\n' "$rows.cpio"
}

# Prints the name of the test that was running when the host ended.
upstream_hung()
{
	awk '/^@test / { name = $2 } /^@exit / { name = "" } END { print name }'
}

# Prints "NAME: LINE" for the first splat in a host's log, if there is one.
upstream_splat()
{
	awk -v splats="$SPLATS" -v no_splats="$NO_SPLATS" -v name=boot '/minikvm-host: test / { name = $NF; sub(/\r/, "", name); next }
		$0 ~ no_splats { next }
		$0 ~ splats { print name ": " $0; exit }' "$1"
}

# upstream_boot HOST WORK TESTHOST_ARGUMENT...: one boot, for all of WORK/left. Takes what
# was run out of it; fails if that was nothing.
upstream_boot()
{
	local host=$1 work=$2 hung splat before limit

	shift 2
	before=$(wc -l <"$work/left")
	limit=$(awk '{ n += $2 + 60 } END { print 3 * n + 120 }' "$work/left")
	: >"$work/log"
	"$TOP/scripts/testhost" "$host" "$@" --once --timeout "$limit" --keep-log "$work/log" \
		--add "$work/left" --add "$TOP/scripts/lib/run-upstream" -- 'run-upstream <left' |
		tr -d '\r' | tee "$work/output" || true
	hung=$(upstream_hung <"$work/output")
	[ -z "$hung" ] || echo "@hang $hung"
	splat=$(upstream_splat "$work/log")
	[ -z "$splat" ] || echo "@fail $host/upstream/${splat%%: *} made a splat: ${splat#*: }"
	awk 'NR == FNR { if ($1 == "@test") done[$2] = 1; next } !($1 in done)' \
		"$work/output" "$work/left" >"$work/rest"
	mv "$work/rest" "$work/left"
	[ "$(wc -l <"$work/left")" -lt "$before" ]
}

# run_upstream HOST TESTHOST_ARGUMENT... -- NAME...: a test that takes the host with it
# costs only itself, for the host is booted again for the rest.
run_upstream()
{
	local host=$1 args=() work memory=2048 idle=0 name

	shift
	while [ "$1" != -- ]; do
		args+=("$1")
		shift
	done
	shift
	[ "$host" != amd ] || memory=4096
	work=$(mktemp -d)
	printf '%s\n' "$@" | awk 'NR == FNR { wanted[$1] = 1; next } $1 in wanted { print $1, $2 }' \
		- "$(upstream_table "$host")" >"$work/left"
	args+=(--memory "$memory" --overlay "$(upstream_overlay "$work/left")")
	while [ -s "$work/left" ] && [ "$idle" -lt 2 ]; do
		upstream_boot "$host" "$work" "${args[@]}" && idle=0 || idle=$((idle + 1))
	done
	while read -r name _; do
		echo "@fail $host/upstream/$name did not run, for two hosts ran nothing"
	done <"$work/left"
	rm -rf "$work"
}
