/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clocks: see vmm/timer.h for the contract, vmm/timer-internal.h for what they share with
 * timers.
 */
#include <time.h>

#include "vmm/loop-internal.h"
#include "vmm/timer-internal.h"

static Clock realtime = { .kind = CLOCK_KIND_REALTIME, .mutex = PTHREAD_MUTEX_INITIALIZER };
static Clock host = { .kind = CLOCK_KIND_HOST, .mutex = PTHREAD_MUTEX_INITIALIZER };
Clock *const clock_realtime = &realtime;
Clock *const clock_host = &host;

/* ---- reading, starting, stopping ---- */

static int64_t read_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static int64_t counted_ns(const Clock *clock)
{
    return clock->counter->now(clock->counter_opaque);
}

/* Every load is an acquire, so the second read of the count cannot move up. */
static int64_t virtual_ns(const Clock *clock)
{
    unsigned before;
    int64_t ns;

    do {
        before = __atomic_load_n(&clock->sequence, __ATOMIC_ACQUIRE);
        ns = __atomic_load_n(&clock->value, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&clock->ticking, __ATOMIC_ACQUIRE)) {
            ns += read_ns(CLOCK_MONOTONIC);
        }
    } while ((before & 1) || __atomic_load_n(&clock->sequence, __ATOMIC_ACQUIRE) != before);
    return ns;
}

int64_t clock_ns(const Clock *clock)
{
    switch (clock->kind) {
    case CLOCK_KIND_REALTIME:
        return read_ns(CLOCK_MONOTONIC);
    case CLOCK_KIND_HOST:
        return read_ns(CLOCK_REALTIME);
    default:
        return clock->counter ? counted_ns(clock) : virtual_ns(clock);
    }
}

Clock *clock_new_virtual(void)
{
    Clock *clock = g_new0(Clock, 1);

    clock->kind = CLOCK_KIND_VIRTUAL;
    pthread_mutex_init(&clock->mutex, NULL);
    return clock;
}

void clock_free(Clock *clock)
{
    if (!clock) {
        return;
    }
    g_assert(!clock->loops || !clock->loops->len);
    g_clear_pointer(&clock->loops, g_ptr_array_unref);
    pthread_mutex_destroy(&clock->mutex);
    g_free(clock);
}

/* Clock mutex held. */
static void wake_loops(Clock *clock)
{
    for (unsigned i = 0; clock->loops && i < clock->loops->len; i++) {
        loop_wake(((LoopTimers *)g_ptr_array_index(clock->loops, i))->loop);
    }
}

static void change(Clock *clock, bool ticking, int64_t value)
{
    g_assert(clock->kind == CLOCK_KIND_VIRTUAL);
    pthread_mutex_lock(&clock->mutex);
    __atomic_add_fetch(&clock->sequence, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&clock->ticking, ticking, __ATOMIC_RELEASE);
    __atomic_store_n(&clock->value, value, __ATOMIC_RELEASE);
    __atomic_add_fetch(&clock->sequence, 1, __ATOMIC_SEQ_CST);
    wake_loops(clock);
    pthread_mutex_unlock(&clock->mutex);
}

bool clock_running(const Clock *clock)
{
    return clock->kind != CLOCK_KIND_VIRTUAL || clock->manual || __atomic_load_n(&clock->ticking, __ATOMIC_ACQUIRE);
}

int64_t clock_when(const Clock *clock, int64_t ns)
{
    unsigned before;
    int64_t value, when;
    bool ticking;

    do {
        before = __atomic_load_n(&clock->sequence, __ATOMIC_ACQUIRE);
        value = __atomic_load_n(&clock->value, __ATOMIC_ACQUIRE);
        ticking = __atomic_load_n(&clock->ticking, __ATOMIC_ACQUIRE);
    } while ((before & 1) || __atomic_load_n(&clock->sequence, __ATOMIC_ACQUIRE) != before);
    return !ticking || clock->counter || __builtin_sub_overflow(ns, value, &when) ? INT64_MAX : when;
}

void clock_start(Clock *clock)
{
    if (!clock_running(clock)) {
        change(clock, true, clock->counter ? 0 : clock->value - read_ns(CLOCK_MONOTONIC));
    }
}

void clock_stop(Clock *clock)
{
    if (!clock->manual && clock_running(clock)) {
        change(clock, false, clock_ns(clock));
    }
}

/* ---- clocks that are counted ---- */

void clock_set_counter(Clock *clock, const ClockCounter *counter, void *opaque)
{
    g_assert(clock->kind == CLOCK_KIND_VIRTUAL && (!counter || !clock->loops));
    clock->counter = counter;
    clock->counter_opaque = opaque;
    clock->allowed = INT64_MIN;
}

bool clock_is_counted(const Clock *clock)
{
    return clock->counter;
}

void clock_hold(Clock *clock)
{
    __atomic_store_n(&clock->allowed, INT64_MIN, __ATOMIC_SEQ_CST);
}

void clock_allow(Clock *clock, int64_t ns)
{
    __atomic_store_n(&clock->allowed, ns, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&clock->mutex);
    wake_loops(clock);
    pthread_mutex_unlock(&clock->mutex);
}

void clock_due_begin(Clock *clock)
{
    if (clock->counter) {
        __atomic_fetch_add(&clock->due, 1, __ATOMIC_SEQ_CST);
        clock->counter->earlier(clock->counter_opaque);
    }
}

void clock_due_end(Clock *clock)
{
    if (clock->counter) {
        __atomic_fetch_sub(&clock->due, 1, __ATOMIC_SEQ_CST);
        clock->counter->ran(clock->counter_opaque);
    }
}

int64_t clock_next_deadline(Clock *clock)
{
    int64_t next = __atomic_load_n(&clock->due, __ATOMIC_SEQ_CST) ? INT64_MIN : INT64_MAX;

    pthread_mutex_lock(&clock->mutex);
    for (unsigned i = 0; clock->loops && i < clock->loops->len; i++) {
        next = MIN(next, loop_timers_deadline(g_ptr_array_index(clock->loops, i), clock));
    }
    pthread_mutex_unlock(&clock->mutex);
    return next;
}

/* ---- clocks that tests move ---- */

void clock_set_manual(Clock *clock)
{
    clock->manual = true;
}

/* The loop with the earliest deadline on this clock, of those that the calling thread may run. */
static LoopTimers *next_due(Clock *clock, int64_t *deadline)
{
    LoopTimers *found = NULL;

    pthread_mutex_lock(&clock->mutex);
    for (unsigned i = 0; clock->loops && i < clock->loops->len; i++) {
        LoopTimers *timers = g_ptr_array_index(clock->loops, i);
        int64_t first = loop_timers_deadline(timers, clock);

        if (loop_is_here(timers->loop) && first != INT64_MAX && first <= *deadline) {
            *deadline = first;
            found = timers;
        }
    }
    pthread_mutex_unlock(&clock->mutex);
    return found;
}

/* A manual clock stops at each deadline on its way, as time would. */
void clock_set(Clock *clock, int64_t ns)
{
    LoopTimers *due;

    g_assert(!clock_running(clock) || clock->manual);
    while (clock->manual) {
        int64_t deadline = ns;

        due = next_due(clock, &deadline);
        if (!due) {
            break;
        }
        change(clock, false, MAX(deadline, virtual_ns(clock)));
        loop_timers_fire_first(due, clock);
    }
    if (clock->counter) {
        clock->counter->set(clock->counter_opaque, ns);
    }
    change(clock, false, ns);
}
