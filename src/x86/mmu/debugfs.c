// SPDX-License-Identifier: GPL-2.0
/*
 * debugfs: minikvm/<pid>-<n>/ has what a VM's MMU did and what its tables say.
 *
 *	mmu_stats	the counters, a line each
 *	mmu_tables	a walk: runs of frames that are mapped alike, space after space
 *	collapse_now	write anything: huge mappings are rebuilt at once
 *
 * Nothing here changes a table.
 */
#include <linux/debugfs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include "x86/mmu/debugfs.h"
#include "x86/mmu/tdp.h"

static struct dentry *root;
static atomic_t numbers;

#define S(name) [MMU_STAT_##name] = #name,
static const char *const stat_names[] = { MMU_STATS(S) };
#undef S

static int mmu_stats_show(struct seq_file *m, void *unused)
{
	struct mmu *mmu = m->private;
	unsigned int i;

	for (i = 0; i < NR_MMU_STATS; i++)
		seq_printf(m, "%-18s %lld\n", stat_names[i], atomic64_read(&mmu->stats[i]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(mmu_stats);

/* --- The walk. --- */

struct tables_walk {
	struct seq_file *m;
	gfn_t first, next;		/* the run so far; empty if equal */
	int level;
	u64 bits;			/* that make a run: see LIKE */
	u64 pages[LEVEL_1G + 1];
};

#define LIKE	(SPTE_PRESENT | SPTE_WRITE | SPTE_HOST_WRITABLE | SPTE_MMIO)

static void end_run(struct tables_walk *w)
{
	static const char *const sizes[] = { "", "4K", "2M", "1G" };

	if (w->first != w->next && (w->bits & SPTE_MMIO))
		seq_printf(w->m, "%012llx-%012llx mmio\n", w->first << PAGE_SHIFT,
			   (w->next << PAGE_SHIFT) - 1);
	else if (w->first != w->next && (w->bits & SPTE_PRESENT))
		seq_printf(w->m, "%012llx-%012llx %s r%c%s\n", w->first << PAGE_SHIFT,
			   (w->next << PAGE_SHIFT) - 1, sizes[w->level],
			   w->bits & SPTE_WRITE ? 'w' : '-',
			   w->bits & SPTE_HOST_WRITABLE ? " host-writable" : "");
	w->first = w->next;
}

/* Entries of tables that say no take the leaf's permission away. */
static u64 effective(u64 *root, gfn_t gfn, int *level)
{
	u64 *table = root, spte, write = SPTE_WRITE;

	for (*level = spte_bits.levels;; (*level)--) {
		spte = READ_ONCE(*spte_ptr(table, gfn, *level));
		write &= spte;
		if (!spte_is_table(spte, *level))
			return (spte & ~SPTE_WRITE) | write;
		table = spte_table(spte);
	}
}

static void add_entry(struct tables_walk *w, gfn_t gfn, u64 spte, int level)
{
	if ((spte & LIKE) != w->bits || level != w->level || gfn != w->next)
		end_run(w);
	w->bits = spte & LIKE;
	w->level = level;
	if (w->first == w->next)
		w->first = gfn;
	w->next = level_next(gfn, level);
	if (spte_present(spte))
		w->pages[level]++;
}

static void walk_tables(struct mmu *mmu, u64 *root, struct tables_walk *w)
{
	gfn_t gfn = 0;
	int level;
	u64 spte;

	read_lock(&mmu->vm->mmu_lock);
	while (gfn <= mmu_max_gfn()) {
		spte = effective(root, gfn, &level);
		if (spte)
			add_entry(w, gfn, spte, level);
		gfn = level_next(gfn, level);
		cond_resched_rwlock_read(&mmu->vm->mmu_lock);
	}
	read_unlock(&mmu->vm->mmu_lock);
}

static int mmu_tables_show(struct seq_file *m, void *unused)
{
	struct tables_walk w = { .m = m };
	struct mmu *mmu = m->private;
	unsigned int space;

	for (space = 0; space < MINIKVM_ADDRESS_SPACES; space++) {
		u64 *root = tdp_root(mmu, space);

		if (!root)
			continue;
		if (space != SPACE_MAIN)
			seq_printf(m, "space %u\n", space);
		walk_tables(mmu, root, &w);
		end_run(&w);
	}
	seq_printf(m, "pages_4k %llu\npages_2m %llu\npages_1g %llu\n",
		   w.pages[LEVEL_4K], w.pages[LEVEL_2M], w.pages[LEVEL_1G]);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(mmu_tables);

static ssize_t collapse_write(struct file *file, const char __user *buf, size_t n, loff_t *pos)
{
	collapse_now(file->private_data);
	return n;
}

static const struct file_operations collapse_fops = {
	.open	= simple_open,
	.write	= collapse_write,
};

/* --- Life. --- */

/**
 * mmu_debugfs_add() - a new VM's directory
 * @mmu: the VM's, all of it in place; the name is the current process's
 *
 * What debugfs refuses is not there to be seen, and no reason to refuse a VM.
 *
 * Context: sleeps.
 */
void mmu_debugfs_add(struct mmu *mmu)
{
	char name[32];

	snprintf(name, sizeof(name), "%d-%u", task_pid_nr(current), atomic_inc_return(&numbers));
	mmu->debugfs = debugfs_create_dir(name, root);
	debugfs_create_file("mmu_stats", 0444, mmu->debugfs, mmu, &mmu_stats_fops);
	debugfs_create_file("mmu_tables", 0400, mmu->debugfs, mmu, &mmu_tables_fops);
	debugfs_create_file("collapse_now", 0200, mmu->debugfs, mmu, &collapse_fops);
}

/**
 * mmu_debugfs_remove() - and away with it
 * @mmu: the VM's; on return nobody is in one of its files
 *
 * Context: sleeps.
 */
void mmu_debugfs_remove(struct mmu *mmu)
{
	debugfs_remove(mmu->debugfs);
}

/**
 * mmu_debugfs_init() - the module's directory, at module load
 *
 * Context: sleeps.
 */
void mmu_debugfs_init(void)
{
	root = debugfs_create_dir(KBUILD_MODNAME, NULL);
}

/**
 * mmu_debugfs_exit() - at module unload, when all VMs are gone
 *
 * Context: sleeps.
 */
void mmu_debugfs_exit(void)
{
	debugfs_remove(root);
}
