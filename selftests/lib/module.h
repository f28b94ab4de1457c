/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Loading and unloading the module under test. MINIKVM_MODULE is the path of
 * the .ko; without it the module is not ours to unload.
 */
#ifndef SELFTESTS_LIB_MODULE_H
#define SELFTESTS_LIB_MODULE_H

#include <stdbool.h>

const char *module_path(void);		/* NULL: not ours */
const char *module_args(void);		/* the host's own for it */
/* 0, or errno. */
int module_load(const char *args);
int module_load_file(const char *path, const char *args);
int module_unload(void);
int module_unload_soon(void);		/* while it is in use, for a moment: again */
void module_reload(const char *args);	/* or the test ends */
bool module_loaded(void);
bool module_device_appears(void);
/* A CPU's MSRs, by the kernel's msr.ko: pread() and pwrite() at the MSR's number; -1: none. */
int host_msrs_open(int cpu, int flags);

#define NEED_MODULE() do {							\
	if (!module_path())							\
		SKIP(return, "MINIKVM_MODULE does not say which module to unload"); \
	ASSERT_TRUE(module_loaded());						\
} while (0)

#endif /* SELFTESTS_LIB_MODULE_H */
