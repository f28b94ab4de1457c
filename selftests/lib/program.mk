# SPDX-License-Identifier: GPL-2.0
#
# A static program NAME from selftests/NAME and the selftests' library: build/NAME. What
# includes this sets NAME, and may add to OBJECTS' dependencies.

TOP	:= $(abspath $(dir $(lastword $(MAKEFILE_LIST)))/../..)
OUT	?= $(TOP)/build
SRCDIR	:= $(TOP)/selftests
OBJDIR	:= $(OUT)/selftests/$(NAME)
SOURCES	:= $(wildcard $(SRCDIR)/$(NAME)/*.c) $(addprefix $(SRCDIR)/lib/,vm.c device.c guest.c)
OBJECTS	:= $(SOURCES:$(SRCDIR)/%.c=$(OBJDIR)/%.o) $(OBJDIR)/lib/vectors.o

# As the selftests: the guest runs this program's own functions.
CFLAGS	?= -O2 -g
CFLAGS	+= -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	   -Wno-missing-field-initializers -Wstrict-prototypes \
	   -fno-pie -fno-stack-protector -fcf-protection=none -mno-red-zone \
	   -fno-strict-aliasing -fno-omit-frame-pointer \
	   -fno-tree-loop-distribute-patterns -U_FORTIFY_SOURCE -pthread
CPPFLAGS += -D_GNU_SOURCE -I$(SRCDIR) -I$(OBJDIR)
LDFLAGS	+= -static -no-pie -pthread -Wl,-Ttext-segment=0x400000 -Wl,-z,noexecstack

$(OUT)/$(NAME): $(OBJECTS)
	$(CC) $(LDFLAGS) -o $@ $^

$(OBJDIR)/%.o: $(SRCDIR)/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -c -o $@ $<

$(OBJDIR)/%.o: $(SRCDIR)/%.S
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -MMD -c -o $@ $<

clean:
	rm -rf $(OBJDIR) $(OUT)/$(NAME)

.PHONY: clean
-include $(OBJECTS:.o=.d)
