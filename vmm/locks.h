/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks, their ranks, and effects.
 *
 * A thread takes locks in rising rank only; builds with LODGE_DEBUG_LOCKS (configure)
 * assert it, and that none is held over a coroutine's yield or a wait.
 *
 *   LOCK_DEVICE     a device's registers and guest state; taken by the framework
 *   LOCK_IRQ_LINE   delivery of one interrupt line
 *   LOCK_INTC       an interrupt controller's registers (taken inside a line's delivery)
 *   LOCK_MAPPING    the memory map; a leaf towards devices: it calls none
 *   LOCK_RAM        backings, dirty bitmaps
 *   LOCK_LEAF       anything that takes no other lock
 *
 * A thread that takes a lock over and over (a vCPU whose guest writes one register in
 * a loop) keeps nobody from it: who waits is served in the order of arrival, before
 * any newcomer.
 *
 * Nothing is called upwards with a lock held.  What a hook causes outside its
 * device (an interrupt, a completion, an event) is an effect: effect_post()
 * collects it on the thread, and the lock_release() of the last lock the thread
 * holds delivers it.  Without a lock held effect_post() delivers at once.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

typedef enum LockRank {
    LOCK_DEVICE = 1,
    LOCK_IRQ_LINE,
    LOCK_INTC,
    LOCK_MAPPING,
    LOCK_RAM,
    LOCK_LEAF,
} LockRank;

typedef struct Lock {
    pthread_mutex_t mutex;
    LockRank rank;
    const char *name; /* not owned */
    unsigned last_ticket, serving; /* atomic; unequal while threads wait, served in the order of their tickets */
} Lock;

void lock_init(Lock *lock, LockRank rank, const char *name);
void lock_finish(Lock *lock);
void lock_acquire(Lock *lock);
void lock_release(Lock *lock); /* delivers effects when it was the thread's last lock */
void lock_assert_held(const Lock *lock);
void lock_assert_none_held(void);

/* Calls deliver(opaque) after the thread's last lock is dropped, in order.  An entry equal
 * to one still waiting is not added twice.  The object must outlive the delivery: objects that
 * devices own are freed by epoch_retire(), which comes later than any delivery. */
void effect_post(void (*deliver)(void *opaque), void *opaque);
