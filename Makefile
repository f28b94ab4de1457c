# SPDX-License-Identifier: GPL-2.0
# User-facing targets; what the module is made of stands in Kbuild.
#
#   make                the module, minivmm
#   make modules        the module alone: W=1 more warnings, C=2 sparse
#   make vmm selftests  the programs (build/minivmm, build/selftests/*)
#   make unit           user-space unit tests
#   make check demo     scripts/check, scripts/demo: need no virtualization hardware
#   make install        module, udev rule, minivmm (DESTDIR, PREFIX)
#
# KDIR is the kernel to build against: the running one if its headers are here,
# else the newest 6.1 whose headers are, installed or brought by scripts/setup.

MINIKVM_CACHE ?= $(HOME)/.cache/minikvm
PREFIX	?= /usr/local
KDIR ?= $(firstword $(wildcard /lib/modules/$(shell uname -r)/build) \
	$(lastword $(sort $(wildcard /lib/modules/6.1.*/build))) \
	$(lastword $(sort $(wildcard /usr/src/linux-headers-6.1.*-amd64))) \
	$(wildcard $(MINIKVM_CACHE)/kernel-6.1/build))

.PHONY: all modules vmm selftests unit check demo install uninstall clean

all: modules vmm

modules:
	$(if $(KDIR),,$(error no kernel headers: install linux-headers-amd64, or run scripts/setup))
	+$(MAKE) -C $(KDIR) M=$(CURDIR) $(if $(W),W=$(W)) $(if $(C),C=$(C)) modules

vmm selftests:
	+$(MAKE) -C $@

unit:
	+$(MAKE) -C selftests/unit check
	+$(MAKE) -C vmm test

check demo:
	scripts/$@

install: modules
	+$(MAKE) -C $(KDIR) M=$(CURDIR) INSTALL_MOD_PATH=$(DESTDIR) INSTALL_MOD_DIR=updates modules_install
	install -D -m 644 scripts/udev/60-minikvm.rules $(DESTDIR)/lib/udev/rules.d/60-minikvm.rules
	+$(MAKE) -C vmm install DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)
	$(if $(DESTDIR),,-udevadm control --reload)

uninstall:
	rm -f $(DESTDIR)/lib/modules/*/updates/minikvm.ko $(DESTDIR)/lib/udev/rules.d/60-minikvm.rules
	rm -f $(DESTDIR)$(PREFIX)/bin/minivmm $(DESTDIR)$(PREFIX)/share/man/man1/minivmm.1
	$(if $(DESTDIR),,-depmod)

clean:
	+$(if $(KDIR),$(MAKE) -C $(KDIR) M=$(CURDIR) clean)
	rm -rf build
