/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timers: see vmm/timer.h for the contract.
 *
 * A loop keeps one binary heap per clock it has timers on.  The heaps are under
 * the loop's timer mutex, since any thread may move a timer.
 */
#include "vmm/epoch.h"
#include "vmm/loop-internal.h"
#include "vmm/timer-internal.h"

/* CLOCK_REALTIME may be set by somebody; a wait on it is cut, so that this is noticed in time. */
#define HOST_CLOCK_WAIT_MAX_NS NS_PER_SEC

struct Timer {
    LoopTimers *timers;
    TimerHeap *heap;
    Lock *lock; /* NULL: none */
    void (*fn)(void *opaque);
    void *opaque;
    int64_t deadline_ns; /* under the timer mutex; INT64_MAX: not armed */
    unsigned index;      /* in the heap */
};

/* ---- heaps; timer mutex held ---- */

static Timer *heap_at(const TimerHeap *heap, unsigned i)
{
    return g_ptr_array_index(heap->timers, i);
}

static void heap_put(TimerHeap *heap, unsigned i, Timer *timer)
{
    heap->timers->pdata[i] = timer;
    timer->index = i;
}

/* Moves the timer from place i to where its deadline belongs. */
static void heap_settle(TimerHeap *heap, unsigned i, Timer *timer)
{
    unsigned n = heap->timers->len;

    while (i > 0 && heap_at(heap, (i - 1) / 2)->deadline_ns > timer->deadline_ns) {
        heap_put(heap, i, heap_at(heap, (i - 1) / 2));
        i = (i - 1) / 2;
    }
    for (;;) {
        unsigned child = 2 * i + 1;

        if (child + 1 < n && heap_at(heap, child + 1)->deadline_ns < heap_at(heap, child)->deadline_ns) {
            child++;
        }
        if (child >= n || heap_at(heap, child)->deadline_ns >= timer->deadline_ns) {
            break;
        }
        heap_put(heap, i, heap_at(heap, child));
        i = child;
    }
    heap_put(heap, i, timer);
}

static void disarm(Timer *timer)
{
    TimerHeap *heap = timer->heap;
    unsigned i = timer->index;
    Timer *last;

    if (timer->deadline_ns == INT64_MAX) {
        return;
    }
    timer->deadline_ns = INT64_MAX;
    last = g_ptr_array_steal_index(heap->timers, heap->timers->len - 1);
    if (last != timer) {
        heap_settle(heap, i, last);
    }
}

static void arm(Timer *timer, int64_t deadline_ns)
{
    disarm(timer);
    timer->deadline_ns = deadline_ns;
    g_ptr_array_add(timer->heap->timers, timer);
    heap_settle(timer->heap, timer->heap->timers->len - 1, timer);
}

/* What timers are held against. */
static int64_t due_ns(const Clock *clock)
{
    return clock->counter ? __atomic_load_n(&clock->allowed, __ATOMIC_SEQ_CST) : clock_ns(clock);
}

static bool is_due(const TimerHeap *heap)
{
    return heap->timers->len && clock_running(heap->clock)
        && heap_at(heap, 0)->deadline_ns <= due_ns(heap->clock);
}

/* ---- a loop's timers ---- */

LoopTimers *loop_timers_new(Loop *loop)
{
    LoopTimers *timers = g_new0(LoopTimers, 1);

    timers->loop = loop;
    timers->heaps = g_ptr_array_new();
    timers->alarm_ns = INT64_MAX;
    pthread_mutex_init(&timers->mutex, NULL);
    return timers;
}

static void heap_free(LoopTimers *timers, TimerHeap *heap)
{
    g_assert(!heap->timers->len);
    pthread_mutex_lock(&heap->clock->mutex);
    g_ptr_array_remove(heap->clock->loops, timers);
    pthread_mutex_unlock(&heap->clock->mutex);
    g_ptr_array_unref(heap->timers);
    g_free(heap);
}

void loop_timers_free(LoopTimers *timers)
{
    for (unsigned i = 0; i < timers->heaps->len; i++) {
        heap_free(timers, g_ptr_array_index(timers->heaps, i));
    }
    g_ptr_array_unref(timers->heaps);
    pthread_mutex_destroy(&timers->mutex);
    g_free(timers);
}

static TimerHeap *heap_of(LoopTimers *timers, Clock *clock)
{
    TimerHeap *heap;

    for (unsigned i = 0; i < timers->heaps->len; i++) {
        heap = g_ptr_array_index(timers->heaps, i);
        if (heap->clock == clock) {
            return heap;
        }
    }
    heap = g_new0(TimerHeap, 1);
    heap->clock = clock;
    heap->timers = g_ptr_array_new();
    g_ptr_array_add(timers->heaps, heap);
    if (!clock->loops) {
        clock->loops = g_ptr_array_new();
    }
    g_ptr_array_add(clock->loops, timers);
    return heap;
}

static int64_t heap_wait_ns(const TimerHeap *heap)
{
    int64_t wait;

    if (!heap->timers->len || !clock_running(heap->clock)) {
        return LOOP_FOREVER;
    }
    if (__builtin_sub_overflow(heap_at(heap, 0)->deadline_ns, due_ns(heap->clock), &wait)) {
        return heap_at(heap, 0)->deadline_ns < 0 ? 0 : LOOP_FOREVER;
    }
    if (heap->clock->manual || heap->clock->counter) {
        return wait > 0 ? LOOP_FOREVER : 0;
    }
    if (heap->clock->kind == CLOCK_KIND_HOST) {
        wait = MIN(wait, HOST_CLOCK_WAIT_MAX_NS);
    }
    return MAX(wait, 0);
}

/* Timer mutex held. */
static int64_t wait_ns(const LoopTimers *timers)
{
    int64_t wait = LOOP_FOREVER;

    for (unsigned i = 0; wait && i < timers->heaps->len; i++) {
        wait = MIN(wait, heap_wait_ns(g_ptr_array_index(timers->heaps, i)));
    }
    return wait;
}

int64_t loop_timers_wait_ns(LoopTimers *timers)
{
    int64_t wait;

    pthread_mutex_lock(&timers->mutex);
    wait = wait_ns(timers);
    pthread_mutex_unlock(&timers->mutex);
    return wait;
}

/* A timer was moved; `first`: to before all others of its heap.  A loop that is awake looks at its timers before it
 * sleeps; one that sleeps knew the deadlines of then, and the alarm has to tell it of an earlier one only.  It goes
 * with its timer, so one that is moved back and forth wakes nobody.  Timer mutex held. */
static void tell_loop(LoopTimers *timers, bool first)
{
    int64_t wait, alarm = INT64_MAX;

    if (!loop_is_asleep(timers->loop) || !(first || timers->alarm_ns != INT64_MAX)) {
        return;
    }
    wait = wait_ns(timers);
    if (wait != LOOP_FOREVER && __builtin_add_overflow(clock_ns(clock_realtime), wait, &alarm)) {
        alarm = INT64_MAX;
    }
    if (alarm != timers->alarm_ns) {
        timers->alarm_ns = alarm;
        loop_set_alarm(timers->loop, alarm);
    }
}

void loop_timers_alarm_rang(LoopTimers *timers)
{
    pthread_mutex_lock(&timers->mutex);
    timers->alarm_ns = INT64_MAX;
    pthread_mutex_unlock(&timers->mutex);
}

/* Takes the timer off and calls it, unless it was moved meanwhile.  Timer mutex held at entry and
 * exit.  A timer's lock comes before the mutex, so the mutex is dropped to take it.  Another thread
 * may free the timer then: the memory stays until this thread is quiescent, and `due` says whether
 * to call. */
static void fire(LoopTimers *timers, Timer *timer)
{
    Lock *lock = timer->lock;
    bool due;

    if (lock) {
        pthread_mutex_unlock(&timers->mutex);
        lock_acquire(lock);
        pthread_mutex_lock(&timers->mutex);
    }
    due = timer->deadline_ns != INT64_MAX && clock_running(timer->heap->clock)
        && timer->deadline_ns <= due_ns(timer->heap->clock);
    if (due) {
        disarm(timer);
    }
    pthread_mutex_unlock(&timers->mutex);
    if (due) {
        timer->fn(timer->opaque);
    }
    if (lock) {
        lock_release(lock);
    }
    pthread_mutex_lock(&timers->mutex);
}

/* A timer that is late by more than its period re-arms itself in the past; n bounds the round. */
static bool run_heap(LoopTimers *timers, TimerHeap *heap)
{
    const Clock *clock = heap->clock;
    bool ran = false;

    for (unsigned n = heap->timers->len; n && is_due(heap); n--) {
        heap->firing = ran = true;
        fire(timers, heap_at(heap, 0));
    }
    heap->firing = false;
    if (ran && clock->counter) {
        pthread_mutex_unlock(&timers->mutex);
        clock->counter->ran(clock->counter_opaque);
        pthread_mutex_lock(&timers->mutex);
    }
    return ran;
}

bool loop_timers_run(LoopTimers *timers)
{
    bool ran = false;

    pthread_mutex_lock(&timers->mutex);
    for (unsigned i = 0; i < timers->heaps->len; i++) {
        ran |= run_heap(timers, g_ptr_array_index(timers->heaps, i));
    }
    pthread_mutex_unlock(&timers->mutex);
    return ran;
}

/* ---- timers ---- */

Timer *timer_new_locked(Loop *loop, Clock *clock, Lock *lock, void (*fn)(void *opaque), void *opaque)
{
    LoopTimers *timers = loop->timers;
    Timer *timer = g_new0(Timer, 1);

    timer->timers = timers;
    timer->lock = lock;
    timer->fn = fn;
    timer->opaque = opaque;
    timer->deadline_ns = INT64_MAX;
    pthread_mutex_lock(&clock->mutex);
    pthread_mutex_lock(&timers->mutex);
    timer->heap = heap_of(timers, clock);
    pthread_mutex_unlock(&timers->mutex);
    pthread_mutex_unlock(&clock->mutex);
    return timer;
}

Timer *timer_new(Loop *loop, Clock *clock, void (*fn)(void *opaque), void *opaque)
{
    return timer_new_locked(loop, clock, NULL, fn, opaque);
}

void timer_free(Timer *timer)
{
    if (timer) {
        timer_del(timer);
        epoch_retire(g_free, timer);
    }
}

void timer_mod(Timer *timer, int64_t deadline_ns)
{
    LoopTimers *timers = timer->timers;
    const Clock *clock = timer->heap->clock;
    int64_t earliest = INT64_MAX;
    bool first;

    deadline_ns = MIN(deadline_ns, INT64_MAX - 1);
    pthread_mutex_lock(&timers->mutex);
    if (timer->heap->timers->len) {
        earliest = heap_at(timer->heap, 0)->deadline_ns;
    }
    arm(timer, deadline_ns);
    first = deadline_ns < earliest;
    if (!clock->counter) {
        tell_loop(timers, first);
    }
    pthread_mutex_unlock(&timers->mutex);
    if (first && clock->counter) {
        clock->counter->earlier(clock->counter_opaque);
    }
}

void timer_del(Timer *timer)
{
    pthread_mutex_lock(&timer->timers->mutex);
    disarm(timer);
    tell_loop(timer->timers, false);
    pthread_mutex_unlock(&timer->timers->mutex);
}

int64_t timer_deadline(const Timer *timer)
{
    int64_t deadline;

    pthread_mutex_lock(&timer->timers->mutex);
    deadline = timer->deadline_ns;
    pthread_mutex_unlock(&timer->timers->mutex);
    return deadline;
}

bool timer_pending(const Timer *timer)
{
    return timer_deadline(timer) != INT64_MAX;
}

/* ---- for clocks ---- */

int64_t loop_timers_deadline(LoopTimers *timers, Clock *clock)
{
    const TimerHeap *heap;
    int64_t deadline = INT64_MAX;

    pthread_mutex_lock(&timers->mutex);
    heap = heap_of(timers, clock);
    if (heap->firing) {
        deadline = INT64_MIN;
    } else if (heap->timers->len) {
        deadline = heap_at(heap, 0)->deadline_ns;
    }
    pthread_mutex_unlock(&timers->mutex);
    return deadline;
}

void loop_timers_fire_first(LoopTimers *timers, Clock *clock)
{
    TimerHeap *heap;

    pthread_mutex_lock(&timers->mutex);
    heap = heap_of(timers, clock);
    if (heap->timers->len) {
        fire(timers, heap_at(heap, 0));
    }
    pthread_mutex_unlock(&timers->mutex);
}
