/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As much of a kernel as the irqchips need, for one thread and with a clock
 * that a test moves: included before every file (-include). The kernel's own
 * headers of these names are empty here (see Makefile); <asm/apicdef.h> is the
 * real one.
 */
#ifndef MINIKVM_UNIT_IRQ_KERNEL_H
#define MINIKVM_UNIT_IRQ_KERNEL_H

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef int32_t s32;
typedef long long s64;

#define __rcu
#define __user
#define __releases(x)
#define READ_ONCE(x)		(*(volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v)	((void)(*(volatile __typeof__(x) *)&(x) = (v)))
#define smp_store_release(p, v)	WRITE_ONCE(*(p), v)
#define smp_load_acquire(p)	READ_ONCE(*(p))
#define smp_wmb()		do { } while (0)
#define smp_rmb()		do { } while (0)
#define smp_mb()		do { } while (0)
#define smp_mb__after_atomic()	do { } while (0)
#define likely(x)		(x)
#define unlikely(x)		(x)

#define BIT(n)			(1ul << (n))
#define BIT_ULL(n)		(1ull << (n))
#define GENMASK(h, l)		((~0ul >> (63 - (h))) & (~0ul << (l)))
#define GENMASK_ULL(h, l)	((~0ull >> (63 - (h))) & (~0ull << (l)))
#define sizeof_field(t, f)	sizeof(((t *)0)->f)
#define struct_size(p, f, n)	(sizeof(*(p)) + sizeof((p)->f[0]) * (n))
#define container_of(p, t, f)	((t *)((char *)(p) - offsetof(t, f)))
#define min(a, b)		((a) < (b) ? (a) : (b))
#define max(a, b)		((a) > (b) ? (a) : (b))
#define min_t(t, a, b)		min((t)(a), (t)(b))
#define max_t(t, a, b)		max((t)(a), (t)(b))
#define array_index_nospec(i, n)	((i) < (n) ? (i) : 0)
#define is_power_of_2(n)	((n) && !((n) & ((n) - 1)))
#define DIV_ROUND_UP_ULL(a, b)	(((a) + (b) - 1) / (b))

#define PAGE_SHIFT		12
#define PAGE_SIZE		4096ul
#define PAGE_MASK		(~(PAGE_SIZE - 1))
#define U32_MAX			(~0u)
#define HZ			250
#define NSEC_PER_USEC		1000ul
#define NSEC_PER_MSEC		1000000ul
#define NSEC_PER_SEC		1000000000ul
#define USEC_PER_SEC		1000000ul

typedef struct { int counter; } atomic_t;
#define atomic_read(v)		READ_ONCE((v)->counter)
#define get_cpu()		0
#define put_cpu()		do { } while (0)

/* Bits: the kernel's are atomic, and there is one thread here. */
static inline bool test_bit(unsigned long n, const volatile unsigned long *p)
{
	return p[n / 64] >> (n % 64) & 1;
}

static inline void __set_bit(unsigned long n, volatile unsigned long *p)
{
	p[n / 64] |= BIT(n % 64);
}

static inline void __clear_bit(unsigned long n, volatile unsigned long *p)
{
	p[n / 64] &= ~BIT(n % 64);
}

static inline bool test_and_set_bit(unsigned long n, volatile unsigned long *p)
{
	bool was = test_bit(n, p);

	__set_bit(n, p);
	return was;
}

static inline bool test_and_clear_bit(unsigned long n, volatile unsigned long *p)
{
	bool was = test_bit(n, p);

	__clear_bit(n, p);
	return was;
}

#define set_bit			__set_bit
#define clear_bit		__clear_bit
#define assign_bit(n, p, v)	((v) ? set_bit(n, p) : clear_bit(n, p))
#define __assign_bit		assign_bit
#define __change_bit(n, p)	assign_bit(n, p, !test_bit(n, p))
#define __fls(x)		(63 - __builtin_clzl(x))
#define DECLARE_BITMAP(name, n)	unsigned long name[((n) + 63) / 64]
#define bitmap_zero(p, n)	memset(p, 0, (n) / 8)
#define bitmap_copy(d, s, n)	memcpy(d, s, (n) / 8)
#define bitmap_equal(a, b, n)	(!memcmp(a, b, (n) / 8))
#define for_each_set_bit(i, p, n) \
	for ((i) = 0; (i) < (n); (i)++) \
		if (test_bit(i, p))

/* Memory */
#define GFP_KERNEL		0
#define GFP_KERNEL_ACCOUNT	0
#define kzalloc(n, gfp)		calloc(1, n)
#define kcalloc(n, size, gfp)	calloc(n, size)
#define kvzalloc(n, gfp)	calloc(1, n)
#define kfree(p)		free(p)
#define kvfree(p)		free(p)
#define kvfree_rcu(p, f)	free(p)
#define get_zeroed_page(gfp)	((unsigned long)calloc(1, PAGE_SIZE))
#define free_page(p)		free((void *)(p))
struct rcu_head { int unused; };

/* Locks: a lock that is taken twice would hang, and fails here. */
typedef struct { bool held; } raw_spinlock_t;
struct mutex { bool held; };

static inline void lock_take(bool *held)
{
	assert(!*held);
	*held = true;
}

static inline void lock_drop(bool *held)
{
	assert(*held);
	*held = false;
}

#define raw_spin_lock_init(l)		((l)->held = false)
#define raw_spin_lock(l)		lock_take(&(l)->held)
#define raw_spin_unlock(l)		lock_drop(&(l)->held)
#define raw_spin_lock_irqsave(l, f)	((void)((f) = 0), lock_take(&(l)->held))
#define raw_spin_unlock_irqrestore(l, f) ((void)(f), lock_drop(&(l)->held))
#define mutex_lock(l)			lock_take(&(l)->held)
#define mutex_unlock(l)			lock_drop(&(l)->held)
#define lockdep_is_held(l)		true
#define rcu_read_lock()			do { } while (0)
#define rcu_read_unlock()		do { } while (0)
#define rcu_dereference(p)		(p)
#define rcu_dereference_protected(p, c)	(p)
#define RCU_INIT_POINTER(p, v)		((p) = (v))
#define rcu_replace_pointer(p, v, c)	({ __typeof__(p) old__ = (p); (p) = (v); old__; })

/* Time */
typedef s64 ktime_t;
enum hrtimer_restart { HRTIMER_NORESTART, HRTIMER_RESTART };
enum hrtimer_mode { HRTIMER_MODE_ABS_HARD, HRTIMER_MODE_ABS_PINNED_HARD };
struct hrtimer {
	enum hrtimer_restart (*fn)(struct hrtimer *);
	ktime_t expires;
	bool active;
	struct hrtimer *next;		/* all that were set up */
};

extern ktime_t unit_now;
extern struct hrtimer *unit_timers;

static inline void hrtimer_setup(struct hrtimer *t, enum hrtimer_restart (*fn)(struct hrtimer *),
				 int clock, enum hrtimer_mode mode)
{
	t->fn = fn;
	t->active = false;
	t->next = unit_timers;
	unit_timers = t;
}

static inline bool hrtimer_cancel(struct hrtimer *t)
{
	bool was = t->active;

	t->active = false;
	return was;
}

static inline void hrtimer_start(struct hrtimer *t, ktime_t at, enum hrtimer_mode mode)
{
	t->expires = at;
	t->active = true;
}

static inline u64 hrtimer_forward(struct hrtimer *t, ktime_t now, s64 interval)
{
	u64 n = t->expires <= now ? (now - t->expires) / interval + 1 : 0;

	t->expires += n * interval;
	return n;
}

#define hrtimer_forward_now(t, interval)	hrtimer_forward(t, unit_now, interval)
#define CLOCK_MONOTONIC			1
#define ktime_get()			unit_now
#define ktime_get_ns()			((u64)unit_now)
#define ktime_to_ns(t)			(t)
#define ns_to_ktime(t)			(t)
#define ktime_sub(a, b)			((a) - (b))
#define ktime_after(a, b)		((a) > (b))
#define ktime_add_ns(a, b)		((a) + (s64)(b))
#define hrtimer_active(t)		((t)->active)
#define hrtimer_get_expires(t)		((t)->expires)
#define hrtimer_set_expires(t, at)	((void)((t)->expires = (at)))
#define hrtimer_add_expires_ns(t, ns)	((void)((t)->expires += (ns)))
#define hrtimer_get_remaining(t)	((t)->expires - unit_now)
#define hrtimer_start_expires(t, m)	hrtimer_start(t, (t)->expires, m)

static inline u64 mul_u64_u32_div(u64 a, u32 mul, u32 divisor)
{
	return (unsigned __int128)a * mul / divisor;
}

#define div64_u64(a, b)			((u64)(a) / (u64)(b))

static inline u64 div_u64_rem(u64 a, u32 b, u32 *rest)
{
	*rest = a % b;
	return a / b;
}

#define bin2bcd(x)	((x) / 10 * 16 + (x) % 10)
#define bcd2bin(x)	(((x) >> 4) * 10 + ((x) & 15))

/* Work that nobody does */
struct work_struct { int unused; };
struct delayed_work { struct work_struct work; bool queued; };
#define INIT_DELAYED_WORK(w, fn)	((void)(fn), (w)->queued = false)
#define schedule_delayed_work(w, t)	((w)->queued = true)
#define cancel_delayed_work_sync(w)	((w)->queued = false)
#define to_delayed_work(w)		container_of(w, struct delayed_work, work)

struct hlist_node { struct hlist_node *next, **pprev; };

#endif
