/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The TLB protocol of src/x86/mmu/tlb.c, for spin: two vCPUs that fault and
 * run, the host that takes the page behind a guest frame away and gives
 * another, and one more remover (a slot that goes, a collapse) that keeps
 * nothing but the protocol in common with it. One guest frame is enough: the
 * protocol knows no addresses.
 *
 * What must hold in every interleaving:
 *  - a guest never uses a page that the host has taken back;
 *  - a vCPU in the guest has a flush behind it that is no older than tlb_done,
 *    which is check_invariant() of tlb.c;
 *  - nobody waits for ever (spin's own check for deadlock).
 *
 * A step that is one for all others, by hardware or by a lock, is atomic here.
 * Memory is sequentially consistent: the one reordering that x86 allows and
 * the protocol cannot bear, a mode that others see only after the vCPU has read
 * the generation, is the bug NO_BARRIER below. Variables that have served are
 * set to 0, so that states which differ in nothing else are one.
 *
 * -DBUG=n breaks one step; check.sh wants each to be found.
 */
#define NO_BARRIER	1	/* enter_guest(): no smp_mb() after the mode */
#define LATE_MARK	2	/* tlb_mark() after mmu_lock was released */
#define NO_WAIT		3	/* vcpus_kick_and_wait() does not wait */
#define LATEST_DONE	4	/* raise_done() to the generation of now */
#define EMPTY_NO_FLUSH	5	/* mmu_zap() that finds nothing flushes nothing */
#define NO_STALE_CHECK	6	/* map_locked() without invalidation_since() */
#define NO_FLUSH	7	/* mmu_tlb_sync() acknowledges, and does not flush */
#define LATE_NOTE	8	/* the notifier zaps, and only then does begin() */

#ifndef BUG
#define BUG		0
#endif

#define NOTHING		0

byte host_page = 1;		/* what is at the hva */
bool taken[3];			/* pages that are somebody else's by now */
byte entry = NOTHING;		/* the guest frame's leaf */
byte readers;			/* of mmu_lock; a writer's sections are atomic */
bool writer;
bool seq, running;		/* struct invalidation */
byte tlb_gen = 1, tlb_done;
bool in_guest[2];		/* mode is not OUTSIDE, as far as others see */
bool ipi[2];			/* sent, not yet answered */

/* ---- who removes ---- */

/* vcpus_kick_and_wait(), one vCPU */
#define kick(v)	if :: in_guest[v] -> ipi[v] = true :: else fi

/* mmu_tlb_flush_vm() */
inline flush_vm(gen)
{
	gen = tlb_gen;
	if
	:: tlb_done >= gen
	:: else ->
		atomic { kick(0) };
		atomic { kick(1) };
		BUG == NO_WAIT || !ipi[0];
		BUG == NO_WAIT || !ipi[1];
		atomic {							/* raise_done() */
			if
			:: BUG == LATEST_DONE -> tlb_done = tlb_gen
			:: BUG != LATEST_DONE && tlb_done < gen -> tlb_done = gen
			:: else
			fi
		}
	fi;
	gen = 0
}

/* tlb_mark() */
#define mark(removed)	if :: removed -> tlb_gen++ :: else fi

/* mmu_zap() */
inline zap(gen, removed)
{
	atomic {
		!readers && !writer -> writer = true;			/* write_lock() */
		removed = (entry != NOTHING);
		entry = NOTHING						/* zap_entry(): xchg */
	};
	if
	:: BUG == LATE_MARK -> writer = false; atomic { mark(removed) }
	:: else -> atomic { mark(removed); writer = false }
	fi;
	if
	:: BUG == EMPTY_NO_FLUSH && !removed
	:: else -> flush_vm(gen)
	fi
}

/* invalidate_range_start(), what the host does then, invalidate_range_end() */
proctype host()
{
	byte gen;
	bool removed;

	if
	:: BUG != LATE_NOTE -> running = true; zap(gen, removed)	/* begin() */
	:: else -> zap(gen, removed); running = true
	fi;
	atomic { taken[host_page] = true; host_page++ };
	atomic { running = false; seq = true }				/* end() */
}

/* mmu_slot_removed(), replace_locked(): the host is not concerned */
proctype other_remover()
{
	byte gen;
	bool removed;

	zap(gen, removed)
}

/* ---- a vCPU ---- */

/* map() and map_locked() */
inline fault(s, page)
{
	s = seq;							/* invalidation_seq() */
	page = host_page;						/* host_page_get() */
	atomic {
		!writer -> readers++;					/* read_lock() */
		if
		:: BUG != NO_STALE_CHECK && (running || seq != s) -> page = NOTHING
		:: else
		fi							/* invalidation_since() */
	};
	atomic {
		if
		:: entry == NOTHING -> entry = page			/* set_leaf(): cmpxchg */
		:: else
		fi;
		readers--;						/* read_unlock() */
		s = 0;
		page = 0
	}
}

/* enter_guest(), up to the instruction that enters */
inline enter(gen)
{
	if
	:: BUG != NO_BARRIER -> in_guest[v] = true; gen = tlb_gen
	:: else -> gen = tlb_gen; in_guest[v] = true
	fi;
	atomic {							/* mmu_tlb_sync() */
		if
		:: own_gen != gen && BUG != NO_FLUSH -> tlb = NOTHING
		:: else
		fi;
		own_gen = gen;
		gen = 0
	}
}

/* The guest walks, and uses what its TLB has, until there is an exit. */
inline in_the_guest(walked)
{
	do
	:: tlb == NOTHING && entry != NOTHING -> walked = entry; atomic { tlb = walked; walked = 0 }
	:: atomic {
		tlb != NOTHING ->
		assert(!taken[tlb]);
		assert(own_gen >= tlb_done)				/* check_invariant() */
	   }
	:: break							/* an exit, for any reason */
	od
}

/* leave_guest_mode(); an IPI is answered in interrupts_on() */
inline leave()
{
	atomic { in_guest[v] = false; ipi[v] = false }
}

proctype vcpu(bit v)
{
	byte own_gen, tlb;		/* vcpu->tlb_gen; what its TLB has of the frame */
	byte gen, s, page, walked;

end:	do
	:: enter(gen); in_the_guest(walked); leave()
	:: in_guest[v] = true; leave()					/* must_not_enter() */
	:: entry == NOTHING -> fault(s, page)
	od
}

init
{
	atomic { run host(); run other_remover(); run vcpu(0); run vcpu(1) }
}
