// SPDX-License-Identifier: GPL-2.0
/*
 * Where tables go that are out of use: freed by a worker, a whole tree at a
 * time, after a grace period. By then no TLB knows them (the caller flushed)
 * and no lockless walker is in them.
 *
 * The worker is the module's, not a VM's: a VM may be gone long before all of
 * its tables are. mmu_exit() waits for it.
 */
#include <linux/gfp.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/workqueue.h>
#include "x86/mmu/tdp.h"

/* Tables that the end of a VM waits for: those of half a GiB, or so. */
#define RECLAIM_NOW	256

static LLIST_HEAD(dead_tables);
static struct workqueue_struct *reclaim_wq;

static void free_table(u64 *table)
{
	set_page_private(virt_to_page(table), 0);
	free_page((unsigned long)table);
	cond_resched();
}

static void free_tree(u64 *table, int level)
{
	unsigned int i;

	for (i = 0; level > LEVEL_4K && i < SPTES_PER_TABLE; i++)
		if (spte_is_table(table[i], level))
			free_tree(spte_table(table[i]), level - 1);
	free_table(table);
}

/* As free_tree(), for at most @budget tables. True: all of them are gone. */
static bool free_some(u64 *table, int level, unsigned int *budget)
{
	unsigned int i;

	for (i = 0; level > LEVEL_4K && i < SPTES_PER_TABLE; i++) {
		if (!spte_is_table(table[i], level))
			continue;
		if (!free_some(spte_table(table[i]), level - 1, budget))
			return false;
		table[i] = 0;
	}
	if (!*budget)
		return false;
	--*budget;
	free_table(table);
	return true;
}

static void reclaim(struct work_struct *work)
{
	struct llist_node *node = llist_del_all(&dead_tables), *next;

	if (!node)
		return;
	synchronize_rcu();
	llist_for_each_safe(node, next, node) {
		u64 *table = page_address(list_entry((void *)node, struct page, lru));

		free_tree(table, table_level(table));
	}
}

static struct rcu_work reclaim_work;

/**
 * reclaim_tables() - have trees freed some time soon
 * @dead: of reclaim_add(); empty on return. The TLBs were flushed since.
 *
 * Context: any but interrupts.
 */
void reclaim_tables(struct dead_tables *dead)
{
	/*
	 * Who unlinks tables wakes nobody, and sets no timer: RCU comes by anyway. The worker
	 * still waits for a grace period, of what has been added since.
	 */
	if (!dead_tables_empty(dead) && llist_add_batch(dead->head.next, dead->last, &dead_tables))
		queue_rcu_work(reclaim_wq, &reclaim_work);
	dead->last = &dead->head;
}

/**
 * reclaim_root() - free the tables of a VM that is no more
 * @root: its root; no CPU, no walker will use it again
 *
 * A small VM leaves nothing behind; of a large one the worker frees the rest.
 *
 * Context: sleeps.
 */
void reclaim_root(u64 *root)
{
	unsigned int budget = RECLAIM_NOW;
	struct dead_tables dead = DEAD_TABLES_INIT(dead);

	if (free_some(root, table_level(root), &budget))
		return;
	reclaim_add(&dead, spte_make_table(root));
	reclaim_tables(&dead);
}

/**
 * reclaim_init() - the worker, at module load
 *
 * Context: sleeps. Return: 0 or -ENOMEM.
 */
int reclaim_init(void)
{
	reclaim_wq = alloc_workqueue("minikvm_reclaim", WQ_UNBOUND | WQ_MEM_RECLAIM, 1);
	INIT_RCU_WORK(&reclaim_work, reclaim);
	return reclaim_wq ? 0 : -ENOMEM;
}

/**
 * reclaim_exit() - all VMs are gone: what they left is freed when this returns
 *
 * Context: sleeps.
 */
void reclaim_exit(void)
{
	flush_rcu_work(&reclaim_work);
	destroy_workqueue(reclaim_wq);
}
