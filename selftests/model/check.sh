#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Usage: selftests/model/check.sh [OUT]: goes through all states of each model, and sees
# that each bug that can be built into one (#define NAME n, in front of BUG) is found. TAP.
set -euo pipefail
cd "$(dirname "$0")"
out=${1:-../../build/model}
mkdir -p "$out"
out=$(cd "$out" && pwd)

# Prints the names and numbers of a model's bugs.
bugs()
{
	sed -n '/^#ifndef BUG/q; s/^#define \([A-Z_]*\)[[:space:]]*\([0-9]*\).*/\1 \2/p' "$1"
}

# search MODEL BUG: true if an assertion fails or there is a deadlock. A search that was
# not complete ends the script.
search()
{
	local dir=$out/$1-$2

	rm -rf "$dir"
	mkdir -p "$dir"
	(
		cd "$dir"
		spin -a -DBUG="$2" "$OLDPWD/$1.pml"
		gcc -O2 -w -DSAFETY -DCOLLAPSE -DMEMLIM=2048 -o pan pan.c
		./pan -m1000000
	) >"$dir/log" 2>&1
	if grep -qE 'error:|max search depth too small|out of memory|MEMLIM' "$dir/log" ||
	   ! grep -q 'errors: ' "$dir/log"; then
		cat "$dir/log"
		exit 1
	fi
	! grep -q 'errors: 0' "$dir/log"
}

failed=0 count=0
# result STATUS TEXT
result()
{
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		failed=1
	fi
}

for model in *.pml; do
	model=${model%.pml}
	search "$model" 0 && found=1 || found=0
	states=$(sed -n 's/ *\([0-9]*\) states, stored.*/\1/p' "$out/$model-0/log")
	[ "$found" = 0 ] || cat "$out/$model-0/log"
	result "$found" "$model: $states states, nothing wrong in any"
	while read -r name number; do
		search "$model" "$number" && found=0 || found=1
		result "$found" "$model: finds $name"
	done < <(bugs "$model.pml")
done
echo "1..$count"
exit "$failed"
