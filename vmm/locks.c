/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks, their ranks, and effects: see vmm/locks.h for the rules.
 *
 * Everything here is per thread: the locks it holds (for the assertions) and the
 * effects it has collected.  Nothing is shared but the locks themselves.
 */
#include "vmm/locks.h"

#include <glib.h>
#include <stddef.h>
#include <string.h>

#include "vmm/thread.h"

typedef struct Effect {
    void (*deliver)(void *opaque);
    void *opaque;
} Effect;

/* The effects a thread has collected: a FIFO in items[head, head + n). */
typedef struct EffectQueue {
    Effect *items;
    size_t head, n, allocated;
    bool delivering;
} EffectQueue;

#define HELD_MAX 16 /* more ranks than exist; a thread cannot get there */

static __thread unsigned locks_held;
static __thread const Lock *held[HELD_MAX];
static __thread EffectQueue *effects;

/* Frees a thread's queue when the thread ends. */
static void effect_queue_free(gpointer data)
{
    EffectQueue *q = data;

    effects = NULL;
    g_free(q->items);
    g_free(q);
}

static GPrivate effects_owner = G_PRIVATE_INIT(effect_queue_free);

#ifdef LODGE_DEBUG_LOCKS

static void check_rank(const Lock *lock)
{
    for (unsigned i = 0; i < locks_held; i++) {
        if (held[i]->rank >= lock->rank) {
            g_error("lock order: '%s' (rank %d) is wanted while '%s' (rank %d) is held", lock->name, lock->rank,
                held[i]->name, held[i]->rank);
        }
    }
}

static bool is_held(const Lock *lock)
{
    for (unsigned i = 0; i < locks_held; i++) {
        if (held[i] == lock) {
            return true;
        }
    }
    return false;
}

void lock_assert_held(const Lock *lock)
{
    if (!is_held(lock)) {
        g_error("lock '%s' should be held here", lock->name);
    }
}

void lock_assert_none_held(void)
{
    if (locks_held) {
        g_error("lock '%s' is held where none may be", held[locks_held - 1]->name);
    }
}

#else

static void check_rank(const Lock *lock)
{
}

void lock_assert_held(const Lock *lock)
{
}

void lock_assert_none_held(void)
{
}

#endif

static void remember(const Lock *lock)
{
    g_assert(locks_held < HELD_MAX);
    held[locks_held++] = lock;
}

/* Locks are mostly, not always, released in the reverse order. */
static void forget(const Lock *lock)
{
    unsigned i = locks_held;

    do {
        g_assert(i > 0);
        i--;
    } while (held[i] != lock);
    locks_held--;
    memmove(&held[i], &held[i + 1], (locks_held - i) * sizeof(held[0]));
}

/* ---- turns ---- */

#define SPINS 50 /* some microseconds: device locks are held for less */

static bool has_queue(const Lock *lock)
{
    return __atomic_load_n(&lock->last_ticket, __ATOMIC_RELAXED) != __atomic_load_n(&lock->serving, __ATOMIC_RELAXED);
}

/* pthread_mutex_unlock() wakes a waiter but leaves the mutex to who comes first, which is mostly the
 * thread that has just released it.  So while there is a queue, newcomers join it, and its head alone
 * goes for the mutex. */
static void take_turn(Lock *lock)
{
    unsigned ticket = __atomic_fetch_add(&lock->last_ticket, 1, __ATOMIC_SEQ_CST), serving;

    while ((serving = __atomic_load_n(&lock->serving, __ATOMIC_SEQ_CST)) != ticket) {
        thread_wait_while(&lock->serving, serving, INT64_MAX);
    }
    pthread_mutex_lock(&lock->mutex);
    __atomic_store_n(&lock->serving, ticket + 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&lock->last_ticket, __ATOMIC_SEQ_CST) != ticket + 1) {
        thread_wake_all(&lock->serving);
    }
}

static bool try_at_once(Lock *lock)
{
    return !has_queue(lock) && pthread_mutex_trylock(&lock->mutex) == 0;
}

static void acquire(Lock *lock)
{
    if (try_at_once(lock)) {
        return;
    }
    for (unsigned i = 0; i < SPINS; i++) {
        __builtin_ia32_pause();
        if (try_at_once(lock)) {
            return;
        }
    }
    take_turn(lock);
}

/* ---- locks ---- */

void lock_init(Lock *lock, LockRank rank, const char *name)
{
    pthread_mutex_init(&lock->mutex, NULL);
    lock->last_ticket = lock->serving = 0;
    lock->rank = rank;
    lock->name = name;
}

void lock_finish(Lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}

void lock_acquire(Lock *lock)
{
    check_rank(lock);
    acquire(lock);
    remember(lock);
}

/* Delivery may post more effects (a line that drives another line): they are appended and
 * delivered by the same call, so the stack does not grow with the length of the chain. */
static void deliver_effects(EffectQueue *q)
{
    q->delivering = true;
    while (q->n) {
        Effect e = q->items[q->head];

        q->head++;
        q->n--;
        e.deliver(e.opaque);
    }
    q->head = 0;
    q->delivering = false;
}

void lock_release(Lock *lock)
{
    forget(lock);
    pthread_mutex_unlock(&lock->mutex);
    if (!locks_held && effects && effects->n && !effects->delivering) {
        deliver_effects(effects);
    }
}

static EffectQueue *own_effects(void)
{
    if (!effects) {
        effects = g_new0(EffectQueue, 1);
        g_private_set(&effects_owner, effects);
    }
    return effects;
}

void effect_post(void (*deliver)(void *opaque), void *opaque)
{
    EffectQueue *q = own_effects();

    if (!locks_held && !q->delivering) {
        q->delivering = true; /* what it posts in turn comes after it */
        deliver(opaque);
        deliver_effects(q);
        return;
    }
    for (size_t i = q->head; i < q->head + q->n; i++) {
        if (q->items[i].deliver == deliver && q->items[i].opaque == opaque) {
            return;
        }
    }
    if (q->head + q->n == q->allocated) {
        if (q->head) {
            memmove(q->items, q->items + q->head, q->n * sizeof(q->items[0]));
            q->head = 0;
        } else {
            q->allocated = q->allocated ? 2 * q->allocated : 16;
            q->items = g_renew(Effect, q->items, q->allocated);
        }
    }
    q->items[q->head + q->n++] = (Effect) { deliver, opaque };
}
