# SPDX-License-Identifier: GPL-2.0
# Images: the initramfs that a host boots, that a guest boots, and overlays for both, all of
# them cpio archives, not compressed, which the kernel unpacks one after another; and kernels
# without their compression.
# shellcheck shell=bash disable=SC2034

# Modules of the kernel's own that a host may load: stock KVM for comparison, and
# what minikvm or a test may want.
HOST_MODULES="kvm_amd kvm_intel irqbypass zram msr"

# pack DIR FILE: FILE is there whole, or not at all, whoever else makes it meanwhile.
pack()
{
	local new

	new=$(mktemp "$2.XXXXXX") || return
	if ! (cd "$1" && find . -mindepth 1 | LC_ALL=C sort |
			cpio --quiet --reproducible -o -H newc -R 0:0) >"$new"; then
		rm -f "$new"
		return 1
	fi
	mv "$new" "$2"
}

# cached_image NAME SUM FILL [ARGUMENT]...: prints the image of that name and content. When it
# is not there yet it is made of what FILL puts into a directory, its first argument; if FILL
# fails there is none.
cached_image()
{
	local out=$MINIKVM_CACHE/initramfs/$1-${2%% *}.cpio work

	if [ ! -e "$out" ]; then
		mkdir -p "${out%/*}"
		work=$(mktemp -d)
		if ! "$3" "$work" "${@:4}" || ! pack "$work" "$out"; then
			rm -rf "$work"
			die "could not make $out"
		fi
		rm -rf "$work"
	fi
	printf '%s\n' "$out"
}

# module_files KERNEL_DIR MODULE: its file and those it needs, in the order to load.
module_files()
{
	modprobe -d "$1" -S "$(cat "$1/release")" --show-depends "$2" 2>/dev/null |
		sed -n 's/^insmod \([^ ]*\).*/\1/p'
}

# fill_init DIR INIT [BUSYBOX]: what INIT needs.
fill_init()
{
	mkdir -p "$1"/{bin,dev} &&
		install -m 755 "${3:-/bin/busybox}" "$1/bin/busybox" &&
		install -m 755 "$2" "$1/init"
}

# fill_host DIR INIT KERNEL_DIR
fill_host()
{
	local module file

	fill_init "$1" "$2" && mkdir -p "$1"/{etc,modules,root} || return
	for module in $HOST_MODULES; do
		for file in $(module_files "$3" "$module"); do
			[ -e "$1/modules/${file##*/}" ] && continue
			cp "$file" "$1/modules/" && strip --strip-debug "$1/modules/${file##*/}" || return
		done
	done
}

# host_initramfs KERNEL_DIR: prints the image.
host_initramfs()
{
	local dir=$1 init=$TOP/scripts/lib/host-init sum

	sum=$(cat "$init" /bin/busybox "$dir/release" "${BASH_SOURCE[0]}" "$dir/vmlinuz" | sha256sum)
	cached_image host "$sum" fill_host "$init" "$dir"
}

# guest_initramfs [BUSYBOX]: prints the image with which a guest shows that it lives.
guest_initramfs()
{
	local init=$TOP/scripts/lib/guest-init busybox=${1:-/bin/busybox} sum

	sum=$(cat "$init" "$busybox" "${BASH_SOURCE[0]}" | sha256sum)
	cached_image guest "$sum" fill_init "$init" "$busybox"
}

# fill_qemu DIR QEMU
fill_qemu()
{
	local file

	for file in "$2" $(ldd "$2" | grep -o '/[^ )]*') /usr/share/seabios/bios-256k.bin \
		/usr/share/qemu/{linuxboot_dma,linuxboot,pvh,kvmvapic,bios-microvm}.bin; do
		mkdir -p "$1/$(dirname "$file")" && cp -L "$file" "$1/$file" || return
	done
}

# qemu_overlay: prints an overlay with QEMU in it, to be run inside the host.
qemu_overlay()
{
	local qemu=/usr/bin/qemu-system-x86_64 sum

	sum=$(cat "$qemu" "${BASH_SOURCE[0]}" | sha256sum)
	cached_image qemu "$sum" fill_qemu "$qemu"
}

# unpacked_kernel VMLINUZ: prints the ELF file that is in it, kept in the cache by its content.
unpacked_kernel()
{
	local sum out

	sum=$(sha256sum <"$1")
	out=$MINIKVM_CACHE/vmlinux/${sum%% *}
	if [ ! -e "$out" ]; then
		mkdir -p "${out%/*}"
		"$TOP/scripts/lib/bochs/mkboot.py" kernel "$1" "$out" || return
	fi
	printf '%s\n' "$out"
}
