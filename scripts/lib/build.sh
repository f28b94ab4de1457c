# SPDX-License-Identifier: GPL-2.0
# Builds of the module, each in a copy of the sources below build/, so that builds
# for several kernels do not disturb one another.
# shellcheck shell=bash

# module_path KERNEL: where build_module leaves the module.
module_path()
{
	printf '%s\n' "$TOP/build/module-$1/minikvm.ko"
}

# copy_sources DIR: copies what has changed, removes what has gone.
copy_sources()
{
	local dir=$1 file

	mkdir -p "$dir"
	cd "$TOP" || return
	find Kbuild include src -name '*.[chS]' -print0 -o -name Kbuild -print0 |
		xargs -0 cp -pu --parents -t "$dir"
	cd "$dir" || return
	find include src -name '*.[chS]' | while read -r file; do
		[ -e "$TOP/$file" ] || rm -f "$file" "${file%.*}.o"
	done
}

# make_module KERNEL DIR [MAKE_ARGUMENT]...: of the sources in DIR
make_module()
{
	local kernel dir=$2

	kernel=$(kernel_dir "$1") || return
	shift 2
	# No BTF: it is of no use here, and wants pahole.
	make -j"$(nproc)" -C "$kernel/build" M="$dir" CONFIG_DEBUG_INFO_BTF_MODULES= "$@" modules 2>&1 |
		sed -u "s,$dir/,,g"
	return "${PIPESTATUS[0]}"
}

# build_module KERNEL [MAKE_ARGUMENT]...
# A warning is an error, for it would be seen in the first build only; $werror says otherwise.
build_module()
{
	local kernel=$1 dir=$TOP/build/module-$1

	shift
	(copy_sources "$dir") || return
	make_module "$kernel" "$dir" W=1 KCFLAGS="${werror--Werror}" "$@"
}

# compile_common ARCH: each file of the common code, against an architecture that has
# headers of its own and nothing of x86: of that, the copy has no file.
compile_common()
{
	local arch=$1 dir=$TOP/build/cross-$1 objects

	rm -rf "$dir"
	mkdir -p "$dir/include" "$dir/src"
	cp -r "$TOP/include/minikvm" "$TOP/include/arch/$arch" "$TOP/include/arch/unported" "$dir/include/"
	cp -r "$TOP"/src/*.c "$TOP/src/compat" "$dir/src/"
	objects=$(cd "$dir" && echo src/*.c)
	objects=${objects//.c/.o}
	cat >"$dir/Kbuild" <<-END
		obj-m := common.o
		common-y := $objects
		ccflags-y += -I\$(src)/include -I\$(src)/include/$arch -I\$(src)/include/unported -I\$(src)/src
	END
	# shellcheck disable=SC2086
	make -j"$(nproc)" -C "$MINIKVM_CACHE/cross-$arch" M="$dir" ARCH="$arch" \
		CROSS_COMPILE="$(cross_prefix "$arch")" W=1 KCFLAGS=-Werror $objects
}

# sparse_module KERNEL: sparse over every file; what it says of kernel headers is not ours.
sparse_module()
{
	local log status

	log=$(mktemp)
	build_module "$1" C=2 >"$log" 2>&1 && status=0 || status=$?
	grep -E '^(src|include)/.*(warning|error):' "$log" | sort -u
	[ "$status" = 0 ] || cat "$log"
	! grep -qE '^(src|include)/.*(warning|error):' "$log" || status=1
	rm -f "$log"
	return "$status"
}
