/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Epochs: see vmm/epoch.h for the contract.
 *
 * Quiescent-state-based reclamation.  `now` counts retirements.  Each registered
 * thread publishes in `seen` the count it last observed while it held no
 * reference, or 0 while it is offline.  An entry retired as number N is free to
 * run once every thread's `seen` is 0 or at least N:
 *
 *   - a thread with seen >= N read `now` after the entry's memory was unpublished,
 *     so whatever it has loaded since is newer;
 *   - a thread that comes online exchanges `seen` (a full barrier) before it loads
 *     anything: either the reclaimer sees it online, or it sees the unpublishing.
 *
 * Nobody is woken to reclaim: whoever passes a quiescent point, or goes offline,
 * with entries pending runs what has become free.  As the last thread to do so
 * sees all the others done, nothing stays behind when all threads sleep.
 */
#include "vmm/epoch.h"

#include <glib.h>
#include <pthread.h>
#include <stdint.h>

#include "vmm/locks.h"

#define OFFLINE 0

typedef struct EpochThread {
    uint64_t seen; /* atomic; OFFLINE or a value of `now` */
    unsigned offline_depth;
    GList link; /* in epoch.threads */
} EpochThread;

typedef struct Retired {
    void (*fn)(void *opaque);
    void *opaque;
    uint64_t number;
    GList link; /* in epoch.retired, by rising number */
} Retired;

static struct {
    pthread_mutex_t mutex; /* protects the queues */
    pthread_cond_t progress;
    GQueue threads;
    GQueue retired;
    unsigned running;   /* batches of callbacks being run; under mutex */
    unsigned waiters;   /* threads in epoch_synchronize(); under mutex */
    uint64_t now;       /* atomic; the number of the last entry */
    bool pending;       /* atomic; something is retired or somebody waits */
} epoch = { .mutex = PTHREAD_MUTEX_INITIALIZER, .progress = PTHREAD_COND_INITIALIZER, .now = 1 };

static __thread EpochThread *self;

/* Entries up to this number are free.  Mutex held. */
static uint64_t oldest_seen(void)
{
    uint64_t oldest = UINT64_MAX;

    for (GList *l = epoch.threads.head; l; l = l->next) {
        EpochThread *t = l->data;
        uint64_t seen = __atomic_load_n(&t->seen, __ATOMIC_SEQ_CST);

        if (seen != OFFLINE && seen < oldest) {
            oldest = seen;
        }
    }
    return oldest;
}

static void update_pending(void)
{
    __atomic_store_n(&epoch.pending, epoch.retired.length || epoch.waiters, __ATOMIC_SEQ_CST);
}

static void publish(uint64_t seen)
{
    __atomic_exchange_n(&self->seen, seen, __ATOMIC_SEQ_CST);
}

static void take_free(GQueue *batch)
{
    uint64_t oldest = oldest_seen();

    while (epoch.retired.head && ((Retired *)epoch.retired.head->data)->number <= oldest) {
        g_queue_push_tail_link(batch, g_queue_pop_head_link(&epoch.retired));
    }
    update_pending();
}

static void run_batch(GQueue *batch)
{
    while (batch->head) {
        Retired *r = g_queue_pop_head_link(batch)->data;

        r->fn(r->opaque);
        g_free(r);
    }
}

/* Runs what has become free.  Mutex held; dropped around the callbacks.  They may use what epochs
 * protect, so an offline thread is online while it runs them; what that held up is taken next. */
static void reclaim(void)
{
    bool offline = self && self->offline_depth;
    GQueue batch = G_QUEUE_INIT;

    for (take_free(&batch); batch.length; take_free(&batch)) {
        epoch.running++;
        pthread_mutex_unlock(&epoch.mutex);
        if (offline) {
            publish(__atomic_load_n(&epoch.now, __ATOMIC_SEQ_CST));
        }
        run_batch(&batch);
        if (offline) {
            publish(OFFLINE);
        }
        pthread_mutex_lock(&epoch.mutex);
        epoch.running--;
        pthread_cond_broadcast(&epoch.progress);
    }
}

static void reclaim_if_pending(void)
{
    if (G_LIKELY(!__atomic_load_n(&epoch.pending, __ATOMIC_SEQ_CST))) {
        return;
    }
    pthread_mutex_lock(&epoch.mutex);
    reclaim();
    if (epoch.waiters) {
        pthread_cond_broadcast(&epoch.progress);
    }
    pthread_mutex_unlock(&epoch.mutex);
}

void epoch_thread_begin(void)
{
    g_assert(!self);
    self = g_new0(EpochThread, 1);
    self->link.data = self;
    pthread_mutex_lock(&epoch.mutex);
    g_queue_push_tail_link(&epoch.threads, &self->link);
    publish(__atomic_load_n(&epoch.now, __ATOMIC_SEQ_CST));
    pthread_mutex_unlock(&epoch.mutex);
}

void epoch_thread_end(void)
{
    g_assert(self);
    epoch_quiescent();
    pthread_mutex_lock(&epoch.mutex);
    g_queue_unlink(&epoch.threads, &self->link);
    reclaim();
    pthread_cond_broadcast(&epoch.progress);
    pthread_mutex_unlock(&epoch.mutex);
    g_free(self);
    self = NULL;
}

bool epoch_thread_registered(void)
{
    return self != NULL;
}

void epoch_quiescent(void)
{
    uint64_t now;

    lock_assert_none_held();
    if (!self || self->offline_depth) {
        return;
    }
    now = __atomic_load_n(&epoch.now, __ATOMIC_ACQUIRE);
    if (now != __atomic_load_n(&self->seen, __ATOMIC_RELAXED)) {
        __atomic_store_n(&self->seen, now, __ATOMIC_SEQ_CST);
    }
    reclaim_if_pending();
}

void epoch_offline(void)
{
    lock_assert_none_held();
    if (!self || self->offline_depth++) {
        return;
    }
    publish(OFFLINE);
    reclaim_if_pending();
}

void epoch_online(void)
{
    if (!self || --self->offline_depth) {
        return;
    }
    publish(__atomic_load_n(&epoch.now, __ATOMIC_SEQ_CST));
}

void epoch_retire(void (*fn)(void *opaque), void *opaque)
{
    Retired *r = g_new0(Retired, 1);

    r->fn = fn;
    r->opaque = opaque;
    r->link.data = r;
    pthread_mutex_lock(&epoch.mutex);
    r->number = __atomic_add_fetch(&epoch.now, 1, __ATOMIC_SEQ_CST);
    g_queue_push_tail_link(&epoch.retired, &r->link);
    update_pending();
    pthread_mutex_unlock(&epoch.mutex);
}

void epoch_synchronize(void)
{
    uint64_t target;

    lock_assert_none_held();
    epoch_offline();
    pthread_mutex_lock(&epoch.mutex);
    target = __atomic_add_fetch(&epoch.now, 1, __ATOMIC_SEQ_CST);
    epoch.waiters++;
    update_pending();
    reclaim();
    while (oldest_seen() < target || epoch.running
        || (epoch.retired.head && ((Retired *)epoch.retired.head->data)->number <= target)) {
        pthread_cond_wait(&epoch.progress, &epoch.mutex);
        reclaim();
    }
    epoch.waiters--;
    update_pending();
    pthread_mutex_unlock(&epoch.mutex);
    epoch_online();
}
