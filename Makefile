# SPDX-License-Identifier: GPL-2.0
# User-facing targets; what the module is made of stands in Kbuild.

KDIR ?= $(firstword $(wildcard /lib/modules/$(shell uname -r)/build) \
	$(lastword $(sort $(wildcard /lib/modules/6.1.*/build))) \
	$(lastword $(sort $(wildcard /usr/src/linux-headers-6.1.*-amd64))))

.PHONY: all modules clean

all: modules

modules:
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(if $(W),W=$(W)) modules

clean:
	$(MAKE) -C $(KDIR) M=$(CURDIR) clean
