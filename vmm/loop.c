/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loop core: rounds, posted calls and batches over one of two engines.
 * vmm/loop-internal.h draws a round; what is watched is in loop-handle.c.
 *
 * How another thread reaches a loop: it pushes on a lock-free stack, then takes
 * `asleep` away; only who finds it set writes the wake-up eventfd.  The loop sets
 * `asleep`, then looks at everything others may have changed (posts, timers), then
 * waits.  So one of the two sees the other, and a busy loop costs its posters no
 * system call.  Who gives a sleeping loop's timer an earlier deadline sets its alarm
 * to it, and the loop sleeps on until then.
 */
#include "vmm/loop.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/locks.h"
#include "vmm/log.h"
#include "vmm/loop-internal.h"
#include "vmm/timer.h"

struct LoopPost {
    LoopFn fn;
    void *opaque;
    LoopPost *next;
};

static __thread Loop *current;

/* ---- creation ---- */

static bool open_engine(Loop *loop, const LoopEngineOps *ops, GError **error)
{
    loop->ops = ops;
    return ops->open(loop, error);
}

static bool choose_engine(Loop *loop, LoopEngine engine, GError **error)
{
    static gsize said;
    g_autoptr(GError) why = NULL;
    const char *override = g_getenv("LODGE_LOOP");

    if (engine == LOOP_ENGINE_AUTO && override) {
        if (g_str_equal(override, "epoll")) {
            engine = LOOP_ENGINE_EPOLL;
        } else if (g_str_equal(override, "io_uring")) {
            engine = LOOP_ENGINE_IO_URING;
        } else {
            return error_set(error, "LODGE_LOOP is '%s', which is neither 'epoll' nor 'io_uring'", override);
        }
    }
    if (engine == LOOP_ENGINE_IO_URING) {
        return open_engine(loop, &loop_engine_uring, error);
    }
    if (engine == LOOP_ENGINE_AUTO) {
        if (open_engine(loop, &loop_engine_uring, &why)) {
            return true;
        }
        if (g_once_init_enter(&said)) {
            log_info("event loops use epoll and worker threads: %s", why->message);
            g_once_init_leave(&said, 1);
        }
    }
    return open_engine(loop, &loop_engine_epoll, error);
}

static void drain_wake_event(void *opaque)
{
}

/* Who moved it meanwhile has taken the bell back: then there is nothing to read. */
static void alarm_rang(int fd, LoopEvents events, void *opaque)
{
    Loop *loop = opaque;
    uint64_t rings;

    if (read(fd, &rings, sizeof(rings)) == sizeof(rings)) {
        loop_timers_alarm_rang(loop->timers);
    }
}

static bool open_wakers(Loop *loop, GError **error)
{
    loop->wake_fd = eventfd(0, EFD_CLOEXEC);
    loop->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->wake_fd >= 0 && loop->alarm_fd >= 0) {
        return true;
    }
    return error_set_errno(error, errno, "cannot make an eventfd and a timerfd for loop '%s'", loop->name);
}

static void close_wakers(Loop *loop)
{
    if (loop->wake_fd >= 0) {
        close(loop->wake_fd);
    }
    if (loop->alarm_fd >= 0) {
        close(loop->alarm_fd);
    }
}

Loop *loop_new(const char *name, LoopEngine engine, GError **error)
{
    Loop *loop = g_new0(Loop, 1);

    loop->name = g_strdup(name);
    loop->batches_tail = &loop->batches;
    loop->deferred_tail = &loop->deferred;
    loop->finished_tail = &loop->finished;
    if (open_wakers(loop, error) && choose_engine(loop, engine, error)) {
        loop->timers = loop_timers_new(loop);
        loop->wake_event = loop_add_event(loop, loop->wake_fd, drain_wake_event, NULL, NULL);
        loop->alarm_watch = loop_add_fd(loop, loop->alarm_fd, LOOP_READ, alarm_rang, loop);
        return loop;
    }
    close_wakers(loop);
    g_free(loop->name);
    g_free(loop);
    return NULL;
}

static bool run_posts(Loop *loop);

/* What is not bound yet belongs to who set it up; what has lost its thread, to who frees it. */
bool loop_is_here(const Loop *loop)
{
    return !loop->bound || pthread_equal(loop->thread, pthread_self());
}

void loop_unbind(Loop *loop)
{
    if (loop->bound) {
        loop->ops->unbind(loop);
        loop->bound = false;
    }
    if (current == loop) {
        current = NULL;
        epoch_thread_end();
    }
}

void loop_free(Loop *loop)
{
    if (!loop) {
        return;
    }
    g_assert(!loop->has_runner);
    g_assert(loop_is_here(loop));
    /* Requests under way end first: what waits for them (a client that was connecting) is to be freed by them. */
    while (run_posts(loop) || loop->io_in_flight) {
        if (loop->io_in_flight) {
            loop_run_once(loop, true);
        }
    }
    g_clear_pointer(&loop->workers, loop_workers_free);
    g_assert(!loop->io_in_flight);
    g_clear_pointer(&loop->glib, loop_glib_free);
    loop_remove_fd(loop->alarm_watch);
    loop_remove_event(loop->wake_event);
    loop_unbind(loop);
    g_assert(!loop->handles.length);
    loop->ops->close(loop);
    loop_timers_free(loop->timers);
    close_wakers(loop);
    g_free(loop->name);
    g_free(loop);
}

LoopEngine loop_engine(const Loop *loop)
{
    return loop->ops->engine;
}

Loop *loop_current(void)
{
    return current;
}

int loop_thread_id(Loop *loop)
{
    return __atomic_load_n(&loop->tid, __ATOMIC_ACQUIRE);
}

/* ---- posted calls ---- */

void loop_wake(Loop *loop)
{
    uint64_t one = 1;

    if (__atomic_load_n(&loop->asleep, __ATOMIC_SEQ_CST)
        && __atomic_exchange_n(&loop->asleep, false, __ATOMIC_SEQ_CST)) {
        /* An eventfd takes 2^64 - 2 rings: this cannot fail or block. */
        ssize_t n = write(loop->wake_fd, &one, sizeof(one));

        g_assert(n == sizeof(one));
    }
}

void loop_set_alarm(Loop *loop, int64_t monotonic_ns)
{
    struct itimerspec alarm = { 0 }; /* none */

    if (monotonic_ns != INT64_MAX) {
        monotonic_ns = MAX(monotonic_ns, 1);
        alarm.it_value.tv_sec = monotonic_ns / NS_PER_SEC;
        alarm.it_value.tv_nsec = monotonic_ns % NS_PER_SEC;
    }
    if (timerfd_settime(loop->alarm_fd, TFD_TIMER_ABSTIME, &alarm, NULL) < 0) {
        g_error("loop '%s': cannot set its alarm: %s", loop->name, g_strerror(errno));
    }
}

bool loop_is_asleep(const Loop *loop)
{
    return __atomic_load_n(&loop->asleep, __ATOMIC_SEQ_CST);
}

void loop_post(Loop *loop, LoopFn fn, void *opaque)
{
    LoopPost *post = g_new(LoopPost, 1);

    *post = (LoopPost) { fn, opaque, __atomic_load_n(&loop->posts, __ATOMIC_RELAXED) };
    while (!__atomic_compare_exchange_n(&loop->posts, &post->next, post, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
    loop_wake(loop);
}

static bool run_posts(Loop *loop)
{
    LoopPost *newest = __atomic_exchange_n(&loop->posts, NULL, __ATOMIC_SEQ_CST);
    LoopPost *oldest = NULL;
    bool ran = newest != NULL;

    while (newest) {
        LoopPost *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        LoopPost *post = oldest;

        oldest = post->next;
        post->fn(post->opaque);
        g_free(post);
    }
    return ran;
}

/* ---- batches and file I/O ---- */

void loop_batch(Loop *loop, LoopBatch *batch)
{
    g_assert(loop_is_here(loop));
    if (!batch->queued) {
        batch->queued = true;
        batch->next = NULL;
        *loop->batches_tail = batch;
        loop->batches_tail = &batch->next;
    }
}

static LoopBatch **end_of(LoopBatch **list)
{
    while (*list) {
        list = &(*list)->next;
    }
    return list;
}

bool loop_defer(Loop *loop, LoopBatch *batch)
{
    g_assert(loop_is_here(loop));
    if (loop->rounds <= 1) {
        return false;
    }
    if (!batch->queued) {
        batch->queued = true;
        batch->next = NULL;
        *loop->deferred_tail = batch;
        loop->deferred_tail = &batch->next;
    }
    return true;
}

/* What was deferred is next. */
static void take_deferred(Loop *loop)
{
    if (loop->deferred) {
        *loop->batches_tail = loop->deferred;
        loop->batches_tail = loop->deferred_tail;
        loop->deferred = NULL;
        loop->deferred_tail = &loop->deferred;
    }
}

static bool unlink_batch(LoopBatch **list, LoopBatch *batch)
{
    for (; *list; list = &(*list)->next) {
        if (*list == batch) {
            *list = batch->next;
            return true;
        }
    }
    return false;
}

void loop_batch_cancel(Loop *loop, LoopBatch *batch)
{
    g_assert(loop_is_here(loop));
    if (!batch->queued) {
        return;
    }
    batch->queued = false;
    if (unlink_batch(&loop->batches_running, batch)) {
        return;
    }
    if (unlink_batch(&loop->batches, batch)) {
        loop->batches_tail = end_of(&loop->batches);
    } else if (unlink_batch(&loop->deferred, batch)) {
        loop->deferred_tail = end_of(&loop->deferred);
    }
}

/* What a batch queues again waits for the next round, so that I/O gets its turn.  In a round within another, what is
 * left of that one's is run first. */
static bool run_batches(Loop *loop)
{
    bool ran = loop->batches || loop->batches_running;

    *end_of(&loop->batches_running) = loop->batches;
    loop->batches = NULL;
    loop->batches_tail = &loop->batches;
    while (loop->batches_running) {
        LoopBatch *batch = loop->batches_running;

        loop->batches_running = batch->next;
        batch->queued = false;
        batch->fn(batch->opaque);
    }
    return ran;
}

void loop_submit(Loop *loop, LoopIo *io)
{
    g_assert(loop_is_here(loop));
    g_assert(loop->ops->cancel || !io->patient);
    io->loop = loop;
    io->under_way = true;
    loop->io_in_flight += io->patient ? 0 : 1;
    if (io->op == LOOP_IO_CALL) {
        loop_workers_submit(loop, io);
    } else {
        loop->ops->submit(loop, io);
    }
}

void loop_io_finished(LoopIo *io, int result)
{
    Loop *loop = io->loop;

    io->result = result;
    io->under_way = false;
    io->next = NULL;
    *loop->finished_tail = io;
    loop->finished_tail = &io->next;
}

bool loop_io_waits(const Loop *loop)
{
    return loop->ops->cancel;
}

static LoopIo **end_of_io(LoopIo **list)
{
    while (*list) {
        list = &(*list)->next;
    }
    return list;
}

static bool unlink_io(LoopIo **list, const LoopIo *io)
{
    for (; *list; list = &(*list)->next) {
        if (*list == io) {
            *list = io->next;
            return true;
        }
    }
    return false;
}

void loop_cancel(Loop *loop, LoopIo *io)
{
    g_assert(loop_is_here(loop));
    g_assert(io->patient);
    if (io->under_way) {
        loop->ops->cancel(loop, io);
    }
    if (!unlink_io(&loop->finished_running, io) && unlink_io(&loop->finished, io)) {
        loop->finished_tail = end_of_io(&loop->finished);
    }
}

static bool run_finished(Loop *loop)
{
    bool ran;

    loop_workers_collect(loop);
    *end_of_io(&loop->finished_running) = loop->finished; /* behind those of the round that this one is within */
    ran = loop->finished_running != NULL;
    loop->finished = NULL;
    loop->finished_tail = &loop->finished;
    while (loop->finished_running) {
        LoopIo *io = loop->finished_running;

        loop->finished_running = io->next;
        loop->io_in_flight -= io->patient ? 0 : 1;
        io->done(io, io->result);
    }
    return ran;
}

bool loop_has_posts(const Loop *loop)
{
    return __atomic_load_n(&loop->posts, __ATOMIC_SEQ_CST) || __atomic_load_n(&loop->worker_done, __ATOMIC_SEQ_CST)
        || __atomic_load_n(&loop->stopping, __ATOMIC_SEQ_CST);
}

/* ---- rounds ---- */

static void sleep_until_something(Loop *loop, int64_t timeout_ns)
{
    epoch_offline();
    loop->ops->wait(loop, timeout_ns);
    epoch_online();
    loop_poll_slept(loop);
}

static void wait_for_events(Loop *loop, bool wait)
{
    int64_t timeout_ns = wait && !loop->batches && !loop->ready.length && !loop->finished ? LOOP_FOREVER : 0;

    if (loop->glib) {
        timeout_ns = MIN(timeout_ns, loop_glib_prepare(loop->glib));
    }
    if (timeout_ns && loop_poll(loop, MIN(timeout_ns, loop_timers_wait_ns(loop->timers)))) {
        timeout_ns = 0;
    }
    if (timeout_ns) {
        __atomic_store_n(&loop->asleep, true, __ATOMIC_SEQ_CST);
        timeout_ns = loop_has_posts(loop) ? 0 : MIN(timeout_ns, loop_timers_wait_ns(loop->timers));
    }
    if (timeout_ns) {
        sleep_until_something(loop, timeout_ns);
    } else {
        loop->ops->wait(loop, 0);
    }
    __atomic_store_n(&loop->asleep, false, __ATOMIC_SEQ_CST);
}

static bool one_round(Loop *loop, bool wait_anyway, bool wait)
{
    bool ran;

    epoch_quiescent();
    if (loop->rounds++ == 0) {
        take_deferred(loop);
    }
    ran = run_batches(loop);
    wait_for_events(loop, wait_anyway || (wait && !ran));
    ran |= run_finished(loop);
    ran |= loop_run_handles(loop);
    ran |= loop_timers_run(loop->timers);
    ran |= run_posts(loop);
    if (loop->glib) {
        ran |= loop_glib_dispatch(loop->glib);
    }
    loop->rounds--;
    return ran;
}

void loop_bind(Loop *loop)
{
    if (loop->bound) {
        g_assert(pthread_equal(loop->thread, pthread_self()));
        return;
    }
    g_assert(!current);
    loop->thread = pthread_self();
    loop->bound = true;
    current = loop;
    epoch_thread_begin();
    prctl(PR_SET_TIMERSLACK, 1); /* timers mean what they say */
    loop->ops->bind(loop);
}

bool loop_run_once(Loop *loop, bool wait)
{
    loop_bind(loop);
    return one_round(loop, false, wait);
}

void loop_run(Loop *loop)
{
    loop_bind(loop);
    __atomic_store_n(&loop->tid, gettid(), __ATOMIC_RELEASE);
    while (!__atomic_load_n(&loop->stopping, __ATOMIC_SEQ_CST)) {
        one_round(loop, true, true);
    }
    __atomic_store_n(&loop->stopping, false, __ATOMIC_SEQ_CST);
    __atomic_store_n(&loop->tid, 0, __ATOMIC_RELEASE);
}

void loop_stop(Loop *loop)
{
    __atomic_store_n(&loop->stopping, true, __ATOMIC_SEQ_CST);
    loop_wake(loop);
}
