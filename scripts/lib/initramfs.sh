# SPDX-License-Identifier: GPL-2.0
# Images: the initramfs that a host boots, that a guest boots, and overlays for both, all of
# them cpio archives, not compressed, which the kernel unpacks one after another; and kernels
# without their compression.
# shellcheck shell=bash disable=SC2034

# Modules of the kernel's own that a host may load: stock KVM for comparison, and
# what minikvm or a test may want.
HOST_MODULES="kvm_amd kvm_intel irqbypass zram msr"

# pack DIR FILE
pack()
{
	(cd "$1" && find . -mindepth 1 | LC_ALL=C sort |
		cpio --quiet --reproducible -o -H newc -R 0:0) >"$2.new"
	mv "$2.new" "$2"
}

# module_files KERNEL_DIR MODULE: its file and those it needs, in the order to load.
module_files()
{
	modprobe -d "$1" -S "$(cat "$1/release")" --show-depends "$2" 2>/dev/null |
		sed -n 's/^insmod \([^ ]*\).*/\1/p'
}

# host_initramfs KERNEL_DIR: prints the image, made when it is not there yet.
host_initramfs()
{
	local dir=$1 init=$TOP/scripts/lib/host-init busybox=/bin/busybox
	local work sum out module file

	sum=$(cat "$init" "$busybox" "$dir/release" "${BASH_SOURCE[0]}" "$dir/vmlinuz" | sha256sum)
	out=$MINIKVM_CACHE/initramfs/host-${sum%% *}.cpio
	if [ ! -e "$out" ]; then
		mkdir -p "${out%/*}"
		work=$(mktemp -d)
		mkdir -p "$work"/{bin,dev,etc,modules,root}
		install -m 755 "$busybox" "$work/bin/busybox"
		install -m 755 "$init" "$work/init" || return
		for module in $HOST_MODULES; do
			for file in $(module_files "$dir" "$module"); do
				[ -e "$work/modules/${file##*/}" ] && continue
				cp "$file" "$work/modules/"
				strip --strip-debug "$work/modules/${file##*/}"
			done
		done
		pack "$work" "$out"
		rm -rf "$work"
	fi
	printf '%s\n' "$out"
}

# guest_initramfs: prints the image with which a guest shows that it lives.
guest_initramfs()
{
	local init=$TOP/scripts/lib/guest-init busybox=/bin/busybox
	local work sum out

	sum=$(cat "$init" "$busybox" "${BASH_SOURCE[0]}" | sha256sum)
	out=$MINIKVM_CACHE/initramfs/guest-${sum%% *}.cpio
	if [ ! -e "$out" ]; then
		mkdir -p "${out%/*}"
		work=$(mktemp -d)
		mkdir -p "$work"/{bin,dev}
		install -m 755 "$busybox" "$work/bin/busybox"
		install -m 755 "$init" "$work/init" || return
		pack "$work" "$out"
		rm -rf "$work"
	fi
	printf '%s\n' "$out"
}

# qemu_overlay: prints an overlay with QEMU in it, to be run inside the host.
qemu_overlay()
{
	local qemu=/usr/bin/qemu-system-x86_64 work sum out file

	sum=$(cat "$qemu" "${BASH_SOURCE[0]}" | sha256sum)
	out=$MINIKVM_CACHE/initramfs/qemu-${sum%% *}.cpio
	if [ ! -e "$out" ]; then
		mkdir -p "${out%/*}"
		work=$(mktemp -d)
		for file in $qemu $(ldd $qemu | grep -o '/[^ )]*') /usr/share/seabios/bios-256k.bin \
			/usr/share/qemu/{linuxboot_dma,linuxboot,kvmvapic,bios-microvm}.bin; do
			mkdir -p "$work/$(dirname "$file")"
			cp -L "$file" "$work/$file"
		done
		pack "$work" "$out"
		rm -rf "$work"
	fi
	printf '%s\n' "$out"
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
