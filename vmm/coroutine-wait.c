/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What coroutines wait for: I/O, calls on other threads, time, each other.  See vmm/coroutine.h.
 *
 * All state is the waiting thread's, but for CoMutex, which a spinlock of its own guards.
 */
#include <glib.h>

#include "vmm/coroutine-internal.h"
#include "vmm/timer.h"

/* ---- awaitables ---- */

typedef struct Await {
    Coroutine *co;
    int result;
} Await;

static void io_done(LoopIo *io, int result)
{
    Await *await = io->opaque;

    await->result = result;
    coroutine_wake(await->co);
}

int co_io(Loop *loop, LoopIo *io)
{
    Await await = { .co = coroutine_self() };

    g_assert(await.co && loop == await.co->loop);
    io->done = io_done;
    io->opaque = &await;
    loop_submit(loop, io);
    coroutine_yield();
    return await.result;
}

typedef struct Call {
    LoopIo io; /* first */
    Coroutine *co;
    int result;
} Call;

static void call_done(LoopIo *io, int result)
{
    Call *call = (Call *)io;

    call->result = result;
    coroutine_wake(call->co);
}

int co_call(Loop *loop, int (*fn)(void *opaque), void *opaque)
{
    Call call = {
        .io = { .op = LOOP_IO_CALL, .call = fn, .opaque = opaque, .done = call_done }, .co = coroutine_self()
    };

    g_assert(call.co && loop == call.co->loop);
    loop_submit(loop, &call.io);
    coroutine_yield();
    return call.result;
}

static void wake_sleeper(void *opaque)
{
    coroutine_wake(opaque);
}

void co_sleep_ns(int64_t ns)
{
    Timer *timer = timer_new(loop_current(), clock_realtime, wake_sleeper, coroutine_self());

    timer_mod(timer, clock_ns(clock_realtime) + ns);
    coroutine_yield();
    timer_free(timer);
}

/* ---- queues and mutexes ---- */

static void queue_push(CoQueue *q, Coroutine *co)
{
    co->next = NULL;
    if (q->last) {
        q->last->next = co;
    } else {
        q->first = co;
    }
    q->last = co;
}

static Coroutine *queue_pop(CoQueue *q)
{
    Coroutine *co = q->first;

    if (co) {
        q->first = co->next;
        if (!q->first) {
            q->last = NULL;
        }
    }
    return co;
}

void co_queue_wait(CoQueue *q)
{
    queue_push(q, coroutine_self());
    coroutine_yield();
}

bool co_queue_next(CoQueue *q)
{
    Coroutine *co = queue_pop(q);

    if (co) {
        coroutine_wake(co);
    }
    return co != NULL;
}

/* Those that wait now: who waits again in its turn is not woken twice. */
void co_queue_all(CoQueue *q)
{
    CoQueue all = *q;

    *q = (CoQueue) { 0 };
    while (co_queue_next(&all)) {
    }
}

static void mutex_enter(CoMutex *m)
{
    while (__atomic_exchange_n(&m->busy, true, __ATOMIC_ACQUIRE)) {
        __builtin_ia32_pause();
    }
}

static void mutex_leave(CoMutex *m)
{
    __atomic_store_n(&m->busy, false, __ATOMIC_RELEASE);
}

/* A waiter of another loop may be handed the mutex, and its wake posted, before it has yielded:
 * the post runs on its own thread, hence after. */
void co_mutex_lock(CoMutex *m)
{
    mutex_enter(m);
    if (!m->locked) {
        m->locked = true;
        mutex_leave(m);
        return;
    }
    queue_push(&m->waiters, coroutine_self());
    mutex_leave(m);
    coroutine_yield();
}

void co_mutex_unlock(CoMutex *m)
{
    Coroutine *next;

    mutex_enter(m);
    g_assert(m->locked);
    next = queue_pop(&m->waiters);
    m->locked = next != NULL; /* handed over: nobody overtakes */
    mutex_leave(m);
    if (next) {
        coroutine_wake(next);
    }
}
