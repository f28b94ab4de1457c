#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes the disk that boot.S boots: an uncompressed kernel, its boot_params, an initramfs.

  mkboot.py kernel VMLINUZ OUT
        unpack the vmlinux inside a bzImage; done once a kernel, the result is worth caching
  mkboot.py disk --boot BOOT.BIN --vmlinuz VMLINUZ --vmlinux VMLINUX --initrd FILE
                 --cmdline STRING --memory MIB --out DISK
        lay out a bootable disk

The layouts read here are those of Documentation/arch/x86/boot.rst and of ELF; the one written
is described in boot.S.
"""

import argparse
import gzip
import lzma
import os
import struct
import subprocess
import sys

SECTOR = 512
CODE_SECTORS = 16
BOOT_PARAMS = 0x20000
CMDLINE = BOOT_PARAMS + 0x1000
CMDLINE_MAX = 0x1000
MIB = 1 << 20
# Bochs wants whole cylinders of 16 heads with 63 sectors, in files too.
CYLINDER = 16 * 63 * SECTOR

SETUP_HEADER = 0x1f1


class SetupHeader:
    """struct setup_header, which is at the same offset in a bzImage and in boot_params."""

    def __init__(self, image):
        if image[0x202:0x206] != b"HdrS":
            raise ValueError("not a bzImage")
        self.end = 0x202 + image[0x201]
        self.bytes = bytearray(image[:self.end])
        self.setup_size = ((image[SETUP_HEADER] or 4) + 1) * SECTOR
        self.payload, self.payload_length = struct.unpack_from("<II", image, 0x248)

    def boot_params(self, initrd_address, initrd_size):
        page = bytearray(4096)
        page[SETUP_HEADER:self.end] = self.bytes[SETUP_HEADER:]
        page[0x210] = 0xff                                  # type_of_loader: undefined
        struct.pack_into("<II", page, 0x218, initrd_address, initrd_size)
        struct.pack_into("<I", page, 0x228, CMDLINE)
        return page


def decompress(data):
    """The payload of a bzImage, which ends in four bytes of size that are no part of the stream."""
    if data[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor().decompress(data)
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)        # that size is the end of gzip's own format
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return subprocess.run(["zstd", "-dc"], input=data[:-4], stdout=subprocess.PIPE,
                              check=True).stdout
    raise ValueError("kernel compressed by an unknown method")


def unpack_kernel(vmlinuz, out):
    with open(vmlinuz, "rb") as f:
        image = f.read()
    header = SetupHeader(image)
    start = header.setup_size + header.payload
    elf = decompress(image[start:start + header.payload_length])
    if elf[:4] != b"\x7fELF":
        raise ValueError("no ELF file in the bzImage")
    # Two that unpack the same one at a time do not meet.
    new = "%s.%d" % (out, os.getpid())
    with open(new, "wb") as f:
        f.write(elf)
    os.rename(new, out)


def load_segments(vmlinux):
    """(entry, [(physical address, contents)]) of an ELF file."""
    with open(vmlinux, "rb") as f:
        elf = f.read()
    entry, phoff = struct.unpack_from("<QQ", elf, 24)
    phentsize, phnum = struct.unpack_from("<HH", elf, 54)
    segments = []
    for i in range(phnum):
        kind, _, offset, _, paddr, filesz, _, _ = struct.unpack_from("<IIQQQQQQ", elf,
                                                                     phoff + i * phentsize)
        if kind == 1:                                       # PT_LOAD
            # Memory is zero at power-on: the .bss and .brk that a vmlinux carries can stay out.
            segments.append((paddr, elf[offset:offset + filesz].rstrip(b"\0")))
    return entry, segments


class Disk:
    def __init__(self, path, boot):
        self.out = open(path, "wb")
        self.extents = []
        self.lba = CODE_SECTORS + 1
        self.out.write(boot)

    def add(self, address, data):
        sectors = -(-len(data) // SECTOR)
        self.extents.append((self.lba, sectors, address))
        self.out.seek(self.lba * SECTOR)
        self.out.write(data)
        self.lba += sectors

    def finish(self, entry):
        table = struct.pack("<I", entry)
        for extent in self.extents:
            table += struct.pack("<III", *extent)
        if len(table) + 12 > SECTOR:
            raise ValueError("too many extents")
        self.out.seek(CODE_SECTORS * SECTOR)
        self.out.write(table)
        self.out.truncate(-(-self.lba * SECTOR // CYLINDER) * CYLINDER)
        self.out.close()


def make_disk(args):
    with open(args.boot, "rb") as f:
        boot = f.read()
    with open(args.vmlinuz, "rb") as f:
        header = SetupHeader(f.read(4096))
    cmdline = args.cmdline.encode() + b"\0"
    if len(cmdline) > min(CMDLINE_MAX, 2048):
        raise ValueError("command line too long")
    with open(args.initrd, "rb") as f:
        initrd = f.read()
    # Below the megabyte at the top, where the BIOS keeps its ACPI tables.
    initrd_address = (args.memory * MIB - MIB - len(initrd)) & ~0xfff
    entry, segments = load_segments(args.vmlinux)

    disk = Disk(args.out, boot)
    disk.add(BOOT_PARAMS, header.boot_params(initrd_address, len(initrd)))
    disk.add(CMDLINE, cmdline)
    # Whole sectors are copied, so a segment drags up to 511 zeroes behind it; in ascending order
    # the next one puts that right.
    for address, data in sorted(segments):
        disk.add(address, data)
    disk.add(initrd_address, initrd)
    disk.finish(entry)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    kernel = commands.add_parser("kernel")
    kernel.add_argument("vmlinuz")
    kernel.add_argument("out")
    disk = commands.add_parser("disk")
    for name in ("boot", "vmlinuz", "vmlinux", "initrd", "cmdline", "out"):
        disk.add_argument("--" + name, required=True)
    disk.add_argument("--memory", type=int, required=True, help="MiB")
    args = parser.parse_args()
    try:
        if args.command == "kernel":
            unpack_kernel(args.vmlinuz, args.out)
        else:
            make_disk(args)
    except (OSError, ValueError) as error:
        sys.exit(f"mkboot: {error}")


if __name__ == "__main__":
    main()
