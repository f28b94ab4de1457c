// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/minikvm/<pid>-<n>/: see lib/debugfs.h. <n> counts up.
 */
#include <dirent.h>

#include "lib/debugfs.h"

#define DEBUGFS	"/sys/kernel/debug/minikvm"

static FILE *open_file(const char *name, const char *mode)
{
	DIR *dir = opendir(DEBUGFS);
	unsigned int n, last = 0;
	struct dirent *entry;
	char path[300];
	int pid;

	if (!dir)
		return NULL;
	while ((entry = readdir(dir)))
		if (sscanf(entry->d_name, "%d-%u", &pid, &n) == 2 && pid == getpid() && n > last)
			last = n;
	closedir(dir);
	snprintf(path, sizeof(path), DEBUGFS "/%d-%u/%s", getpid(), last, name);
	return fopen(path, mode);
}

static s64 find_value(const char *file, const char *name)
{
	FILE *f = open_file(file, "r");
	char line[256], word[64];
	long long n, value = -1;

	while (f && value < 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %lld", word, &n) == 2 && !strcmp(word, name))
			value = n;
	if (f)
		fclose(f);
	return value;
}

s64 mmu_stat(const char *name)
{
	s64 value = find_value("mmu_stats", name);

	return value >= 0 ? value : find_value("mmu_tables", name);
}

bool mmu_is_mmio(u64 gpa)
{
	FILE *f = open_file("mmu_tables", "r");
	unsigned long first, last;
	char line[256], word[64];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%lx-%lx %63s", &first, &last, word) == 3 &&
			!strcmp(word, "mmio") && gpa >= first && gpa <= last;
	if (f)
		fclose(f);
	return found;
}

void mmu_collapse_now(void)
{
	FILE *f = open_file("collapse_now", "w");

	if (!f || fputs("1\n", f) < 0 || fclose(f))
		die("collapse_now: %m");
}

int module_parameter_set(const char *name, const char *value)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/minikvm/parameters/%s", name);
	f = fopen(path, "w");
	if (!f)
		return errno;
	fprintf(f, "%s\n", value);
	return fclose(f) ? errno : 0;
}

void tlb_debug(bool on)
{
	module_parameter_set("tlb_debug", on ? "1" : "0");
}
