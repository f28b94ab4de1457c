// SPDX-License-Identifier: GPL-2.0
/*
 * The dirty log of a memslot: one bit a page, in three levels, so that nothing
 * costs more than there is dirt.
 *
 *	log	chunks by number; a chunk that is dirty is tagged DIRTY
 *	chunk	128 MiB of guest: 64 groups, and which of them are dirty
 *	group	2 MiB of guest: 8 words of 64 pages
 *
 * A chunk is allocated with the first page that is dirty in it. One that is
 * not there is clean; or, if the log began with all pages dirty
 * (KVM_DIRTY_LOG_INITIALLY_SET), dirty as a whole.
 *
 * Order, so that no write is lost:
 *  - Who makes a page writable maps it first, and sets its bit before a vCPU
 *    runs again. Who reads the log takes the bit first, write-protects the
 *    page then, and flushes the TLBs before user space is told.
 *  - A bit is set from the page up, and a level that says clean is looked at
 *    again after it was made to say so: see mark() and tidy().
 */
#include <linux/bitops.h>
#include <linux/compat.h>
#include <linux/kvm.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>
#include <minikvm/dirty_log.h>
#include <minikvm/mmu.h>
#include <minikvm/vcpu.h>

#define DIRTY		XA_MARK_0

#define GROUP_WORDS	8
#define CHUNK_GROUPS	64
#define CHUNK_WORDS	(CHUNK_GROUPS * GROUP_WORDS)
#define CHUNK_PAGES	(CHUNK_WORDS * 64UL)

struct dirty_chunk {
	unsigned long index;
	u64 groups;			/* which have a bit set, or had */
	u64 words[CHUNK_WORDS];
};

struct dirty_log {
	struct xarray chunks;
	struct dirty_chunk *recent;	/* one of them; NULL at first */
	bool initially_set;		/* what a missing chunk says */
	struct llist_node dead;
};

/* --- Life. --- */

/**
 * dirty_log_alloc() - a log for a slot that begins to be logged
 * @vm:		the VM
 * @slot:	not yet published
 *
 * Context: sleeps. Return: 0 or -ENOMEM. Costs the same for any size.
 */
int dirty_log_alloc(struct vm *vm, struct memslot *slot)
{
	struct dirty_log *log = kzalloc(sizeof(*log), GFP_KERNEL_ACCOUNT);

	if (!log)
		return -ENOMEM;
	xa_init(&log->chunks);
	/* Rings begin empty. */
	log->initially_set = !vm->dirty_ring_bytes &&
			     (vm->manual_dirty_log & KVM_DIRTY_LOG_INITIALLY_SET);
	slot->log = log;
	return 0;
}

/*
 * A log has as many chunks as the guest has written to: who stops logging a
 * large slot is not to wait for them to be freed. The worker begins a tick
 * later, so as not to run in place of who woke it.
 */
static LLIST_HEAD(dead_logs);

static void free_log(struct dirty_log *log)
{
	struct dirty_chunk *chunk;
	unsigned long index;

	xa_for_each(&log->chunks, index, chunk) {
		kfree(chunk);
		cond_resched();
	}
	xa_destroy(&log->chunks);
	kfree(log);
}

static void free_dead_logs(struct work_struct *work)
{
	struct dirty_log *log, *next;

	llist_for_each_entry_safe(log, next, llist_del_all(&dead_logs), dead)
		free_log(log);
}

static DECLARE_DELAYED_WORK(free_dead_logs_work, free_dead_logs);

/**
 * dirty_log_free() - the reverse of dirty_log_alloc()
 * @slot: logged, not reachable any more
 *
 * Context: any. Costs the same for any size; the memory is free some time soon.
 */
void dirty_log_free(struct memslot *slot)
{
	llist_add(&slot->log->dead, &dead_logs);
	queue_delayed_work(system_unbound_wq, &free_dead_logs_work, 1);
	slot->log = NULL;
}

/**
 * dirty_log_exit() - at module unload, when all VMs are gone
 *
 * Context: sleeps, until the last log is freed.
 */
void dirty_log_exit(void)
{
	flush_delayed_work(&free_dead_logs_work);
}

/* --- One bit, from the page up, and back down. --- */

static void tag(struct dirty_log *log, const struct dirty_chunk *chunk)
{
	xa_set_mark(&log->chunks, chunk->index, DIRTY);
}

static void set_group(struct dirty_log *log, struct dirty_chunk *chunk, unsigned int group)
{
	u64 before;

	if (READ_ONCE(chunk->groups) & BIT_ULL(group))
		return;
	before = atomic64_fetch_or(BIT_ULL(group), (atomic64_t *)&chunk->groups);
	if (!before)
		tag(log, chunk);
}

/*
 * A group, and a chunk, that may have become clean. What is set meanwhile is
 * seen here, if whoever set it still saw the old summary.
 */
static void tidy(struct dirty_log *log, struct dirty_chunk *chunk, unsigned int group)
{
	u64 *word = chunk->words + group * GROUP_WORDS;

	if (memchr_inv(word, 0, GROUP_WORDS * sizeof(*word)))
		return;
	atomic64_andnot(BIT_ULL(group), (atomic64_t *)&chunk->groups);
	smp_mb();
	if (memchr_inv(word, 0, GROUP_WORDS * sizeof(*word))) {
		set_group(log, chunk, group);
		return;
	}
	if (READ_ONCE(chunk->groups))
		return;
	xa_clear_mark(&log->chunks, chunk->index, DIRTY);
	smp_mb();
	if (READ_ONCE(chunk->groups))
		tag(log, chunk);
}

/* The pages after the slot's last are never dirty. */
static void fill(struct dirty_chunk *chunk, unsigned long npages)
{
	unsigned long n = min(npages, CHUNK_PAGES), words = n / 64;

	memset(chunk->words, 0xff, words * sizeof(u64));
	if (n % 64)
		chunk->words[words] = GENMASK_ULL(n % 64 - 1, 0);
	chunk->groups = ~0ULL;
}

/* The chunk, made if need be; NULL where there is no memory for it, and @gfp lets that be. */
static noinline struct dirty_chunk *get_chunk(struct memslot *slot, unsigned long index, gfp_t gfp)
{
	struct dirty_log *log = slot->log;
	struct dirty_chunk *chunk, *other;
	bool dirty;

	chunk = xa_load(&log->chunks, index);
	if (likely(chunk))
		return chunk;
	/* Pairs with make_chunks(): if this says no, there is a chunk by now. */
	dirty = smp_load_acquire(&log->initially_set);
	chunk = kzalloc(sizeof(*chunk), gfp);
	if (!chunk)
		return NULL;
	chunk->index = index;
	if (dirty)
		fill(chunk, slot->npages - index * CHUNK_PAGES);
	other = xa_cmpxchg(&log->chunks, index, NULL, chunk, gfp);
	if (other) {
		kfree(chunk);
		return xa_is_err(other) ? NULL : other;
	}
	if (dirty)
		tag(log, chunk);
	return chunk;
}

/*
 * Writes come in heaps: mostly it is the chunk of last time. Running out of memory must not
 * lose a write that has happened: these allocations do not fail.
 */
static struct dirty_chunk *recent_chunk(struct memslot *slot, unsigned long index)
{
	struct dirty_log *log = slot->log;
	struct dirty_chunk *chunk = READ_ONCE(log->recent);

	if (likely(chunk && chunk->index == index))
		return chunk;
	chunk = get_chunk(slot, index, GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	smp_store_release(&log->recent, chunk);
	return chunk;
}

/**
 * dirty_log_mark() - a page was, or may be, written
 * @vcpu:	by whom: its thread; vm->srcu is held
 * @slot:	its slot
 * @gfn:	its frame
 *
 * Context: may sleep, the first time in each 128 MiB.
 */
void dirty_log_mark(struct vcpu *vcpu, struct memslot *slot, gfn_t gfn)
{
	unsigned long page = gfn - slot->base_gfn, index = page / CHUNK_PAGES;
	unsigned int bit = page % 64;
	struct dirty_chunk *chunk;
	unsigned long *word;
	bool first;

	if (!slot->log)
		return;
	chunk = recent_chunk(slot, index);
	word = (unsigned long *)&chunk->words[page % CHUNK_PAGES / 64];
	/*
	 * Who takes the bit that we find set reads what we have written:
	 * pairs with xchg() in emit_word(), fetch_andnot() in take_mask().
	 */
	smp_mb();
	/* The test spares the cache line of a page that is dirty already. */
	first = !test_bit(bit, word) && !test_and_set_bit(bit, word);
	smp_mb__after_atomic();
	set_group(slot->log, chunk, page % CHUNK_PAGES / 64 / GROUP_WORDS);
	if (first && vcpu->dirty_ring.gfns)
		dirty_ring_push(vcpu, slot, page);
}

/* Between two chunks: others may want the CPU, and somebody the end of the process. */
static int breathe(void)
{
	cond_resched();
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/*
 * A log that began with all pages dirty is about to be gone through: it gets
 * the chunks that it has been spared so far, and is like any other from then
 * on. A writer that makes one at the same time is content with ours. Who fails in
 * the middle leaves full chunks behind, and a log that says still that it is full.
 */
static int make_chunks(struct memslot *slot)
{
	struct dirty_log *log = slot->log;
	struct dirty_chunk *chunk;
	unsigned long index;

	if (!log->initially_set)
		return 0;
	for (index = 0; index * CHUNK_PAGES < slot->npages; index++) {
		chunk = get_chunk(slot, index, GFP_KERNEL_ACCOUNT);
		if (!chunk)
			return -ENOMEM;
		/* Who made it, if not we, may not have come to this yet. */
		tag(log, chunk);
		if (breathe())
			return -EINTR;
	}
	smp_store_release(&log->initially_set, false);
	return 0;
}

/* A 32-bit program leaves the upper half of the field to chance. */
static void __user *user_bitmap(u64 field)
{
	return in_compat_syscall() ? compat_ptr(field) : u64_to_user_ptr(field);
}

/* --- KVM_GET_DIRTY_LOG. --- */

struct reader {
	struct vm *vm;
	struct memslot *slot;
	u64 __user *user;
	unsigned long words;		/* of the bitmap */
	unsigned long done;		/* of them, written */
	bool take;			/* reading clears */
	bool flush;
};

/* Clean words, up to but without @until. */
static int emit_clean(struct reader *r, unsigned long until)
{
	unsigned long n = until - r->done;

	if (n && clear_user(r->user + r->done, n * sizeof(u64)))
		return -EFAULT;
	r->done = until;
	return 0;
}

static int emit_word(struct reader *r, u64 *word)
{
	gfn_t gfn = r->slot->base_gfn + r->done * 64;
	u64 mask = READ_ONCE(*word);

	if (mask && r->take) {
		mask = xchg(word, 0);
		mmu_write_protect(r->vm, r->slot, gfn, mask);
		r->flush = true;
	}
	if (put_user(mask, r->user + r->done)) {
		/* What was not handed over is still dirty. */
		atomic64_or(mask, (atomic64_t *)word);
		return -EFAULT;
	}
	r->done++;
	return 0;
}

static int emit_group(struct reader *r, struct dirty_chunk *chunk, unsigned int group)
{
	unsigned long first = chunk->index * CHUNK_WORDS + group * GROUP_WORDS;
	int i, ret = emit_clean(r, first);

	for (i = 0; !ret && i < GROUP_WORDS && r->done < r->words; i++)
		ret = emit_word(r, &chunk->words[group * GROUP_WORDS + i]);
	if (r->take)
		tidy(r->slot->log, chunk, group);
	return ret;
}

static int emit_chunk(struct reader *r, struct dirty_chunk *chunk)
{
	unsigned long groups = READ_ONCE(chunk->groups);
	unsigned int group;
	int ret;

	for_each_set_bit(group, &groups, CHUNK_GROUPS) {
		if (chunk->index * CHUNK_WORDS + group * GROUP_WORDS >= r->words)
			break;
		ret = emit_group(r, chunk, group);
		if (ret)
			return ret;
	}
	return breathe();
}

static int emit_log(struct reader *r)
{
	struct dirty_chunk *chunk;
	unsigned long index;
	int ret = make_chunks(r->slot);

	if (ret)
		return ret;
	xa_for_each_marked(&r->slot->log->chunks, index, chunk, DIRTY) {
		ret = emit_chunk(r, chunk);
		if (ret)
			return ret;
	}
	return emit_clean(r, r->words);
}

static struct memslot *logged_slot(struct vm *vm, u32 id)
{
	struct memslot *slot = memslot_by_id(vm, id);

	return slot && slot->log ? slot : NULL;
}

static int get_locked(struct vm *vm, const struct kvm_dirty_log *log)
{
	struct reader r = {
		.vm = vm,
		.slot = logged_slot(vm, log->slot),
		.user = user_bitmap(log->padding2),
		.take = !vm->manual_dirty_log,
	};
	int ret;

	if (!r.slot)
		return -ENOENT;
	mmu_dirty_sync(vm);
	r.words = DIV_ROUND_UP(r.slot->npages, 64);
	ret = emit_log(&r);
	if (r.flush)
		mmu_tlb_flush_vm(vm);
	return ret;
}

/**
 * dirty_log_get() - KVM_GET_DIRTY_LOG
 * @vm:		the VM
 * @log:	slot and destination
 *
 * What is dirty is gone through, and the rest of user space's bitmap is
 * cleared, which is all that grows with the slot.
 *
 * Context: sleeps. Return: 0; -EINVAL, -ENOENT (not logged), -EFAULT, -ENXIO
 * (there are rings instead), -ENOMEM, before a page is read; -EINTR, if the process is being
 * killed.
 */
int dirty_log_get(struct vm *vm, const struct kvm_dirty_log *log)
{
	int r;

	if (vm->dirty_ring_bytes)
		return -ENXIO;
	if (!memslot_id_valid(log->slot))
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	r = get_locked(vm, log);
	mutex_unlock(&vm->slots_lock);
	return r;
}

/* --- Pages that user space has dealt with: clean, and logged anew. --- */

static bool take_mask(struct vm *vm, struct memslot *slot, struct dirty_chunk *chunk,
		      unsigned int nr, u64 mask)
{
	mask &= atomic64_fetch_andnot(mask, (atomic64_t *)&chunk->words[nr]);
	if (!mask)
		return false;
	mmu_write_protect(vm, slot, slot->base_gfn + (chunk->index * CHUNK_WORDS + nr) * 64, mask);
	return true;
}

/**
 * dirty_log_take() - some pages are to be logged anew
 * @vm:		the VM; its slots_lock is held
 * @id:		of the slot; user space's word for it
 * @nr:		which 64 pages of it; likewise
 * @mask:	which of them
 *
 * For rings: their logs begin empty, so a chunk that is not there is clean.
 *
 * Return: must the TLBs be flushed before user space reads the pages?
 */
bool dirty_log_take(struct vm *vm, u32 id, u64 nr, u64 mask)
{
	struct memslot *slot = logged_slot(vm, id);
	struct dirty_chunk *chunk;

	chunk = slot ? xa_load(&slot->log->chunks, nr / CHUNK_WORDS) : NULL;
	nr %= CHUNK_WORDS;
	if (!chunk || !take_mask(vm, slot, chunk, nr, mask))
		return false;
	tidy(slot->log, chunk, nr / GROUP_WORDS);
	return true;
}

/* --- KVM_CLEAR_DIRTY_LOG. --- */

struct cleaner {
	struct vm *vm;
	struct memslot *slot;
	const u64 __user *user;		/* the word of @first */
	unsigned long first, end;	/* words of the slot's bitmap */
	bool flush;
};

/* Of a word that is not clean, what user space says; @at: in the slot's bitmap. */
static int clear_word(struct cleaner *c, unsigned long at, struct dirty_chunk *chunk,
		      unsigned int nr)
{
	u64 mask;

	if (get_user(mask, c->user + at - c->first))
		return -EFAULT;
	if (take_mask(c->vm, c->slot, chunk, nr, mask))
		c->flush = true;
	return 0;
}

static int clear_group(struct cleaner *c, struct dirty_chunk *chunk, unsigned int group)
{
	unsigned int nr = group * GROUP_WORDS, end = nr + GROUP_WORDS;
	unsigned long at = chunk->index * CHUNK_WORDS + nr;
	int ret = 0;

	for (; !ret && nr < end; nr++, at++)
		if (at >= c->first && at < c->end && READ_ONCE(chunk->words[nr]))
			ret = clear_word(c, at, chunk, nr);
	tidy(c->slot->log, chunk, group);
	return ret;
}

static int clear_chunk(struct cleaner *c, struct dirty_chunk *chunk)
{
	unsigned long groups = READ_ONCE(chunk->groups);
	unsigned int group;
	int ret;

	for_each_set_bit(group, &groups, CHUNK_GROUPS) {
		ret = clear_group(c, chunk, group);
		if (ret)
			return ret;
	}
	return breathe();
}

static int clear_log(struct cleaner *c)
{
	unsigned long index, last = (c->end - 1) / CHUNK_WORDS;
	struct xarray *chunks = &c->slot->log->chunks;
	struct dirty_chunk *chunk;
	int ret = make_chunks(c->slot);

	if (ret)
		return ret;
	for (index = c->first / CHUNK_WORDS;
	     (chunk = xa_find(chunks, &index, last, DIRTY)); index++) {
		ret = clear_chunk(c, chunk);
		if (ret)
			return ret;
	}
	return 0;
}

static bool clear_valid(const struct memslot *slot, const struct kvm_clear_dirty_log *log)
{
	unsigned long rest;

	if (log->first_page > slot->npages)
		return false;
	rest = slot->npages - log->first_page;
	/* Whole words, but for those of the slot's end. */
	return log->num_pages <= rest && (log->num_pages == rest || !(log->num_pages & 63));
}

static int clear_locked(struct vm *vm, const struct kvm_clear_dirty_log *log)
{
	struct cleaner c = {
		.vm = vm,
		.slot = logged_slot(vm, log->slot),
		.user = user_bitmap(log->padding2),
		.first = log->first_page / 64,
		.end = log->first_page / 64 + DIV_ROUND_UP(log->num_pages, 64),
	};
	int r;

	if (!c.slot)
		return -ENOENT;
	if (!clear_valid(c.slot, log))
		return -EINVAL;
	if (c.first == c.end)
		return 0;
	if (!access_ok(c.user, (c.end - c.first) * sizeof(*c.user)))
		return -EFAULT;
	r = clear_log(&c);
	if (c.flush)
		mmu_tlb_flush_vm(vm);
	return r;
}

/**
 * dirty_log_clear() - KVM_CLEAR_DIRTY_LOG
 * @vm:		the VM
 * @log:	which pages of which slot
 *
 * Of user space's bitmap, only the words are read whose pages are not all
 * clean. So an idle slot costs the same at any size, and a bitmap that isn't
 * there goes unnoticed where there is nothing to clear.
 *
 * Context: sleeps. Return: as dirty_log_get().
 */
int dirty_log_clear(struct vm *vm, const struct kvm_clear_dirty_log *log)
{
	int r;

	if (vm->dirty_ring_bytes)
		return -ENXIO;
	if (!memslot_id_valid(log->slot) || (log->first_page & 63))
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	r = clear_locked(vm, log);
	mutex_unlock(&vm->slots_lock);
	return r;
}
