/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/coroutine.c: switching, awaiting, queues and mutexes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmm/coroutine.h"
#include "vmm/epoch.h"
#include "vmm/timer.h"

typedef struct Rig {
    Loop *loop;
    char order[32];
    Coroutine *co;
    CoQueue queue;
    CoMutex mutex;
    int result, count;
    pthread_t thread;
    Loop *seen;
} Rig;

static int setup_engine(void **state, LoopEngine engine)
{
    Rig *r = g_new0(Rig, 1);

    r->loop = loop_new("test", engine, NULL);
    *state = r;
    if (r->loop) {
        loop_run_once(r->loop, false);
    }
    return 0;
}

static int setup_uring(void **state)
{
    return setup_engine(state, LOOP_ENGINE_IO_URING);
}

static int setup_epoll(void **state)
{
    return setup_engine(state, LOOP_ENGINE_EPOLL);
}

static int teardown(void **state)
{
    Rig *r = *state;

    loop_free(r->loop);
    epoch_synchronize();
    g_free(r);
    return 0;
}

static Rig *rig_of(void **state)
{
    Rig *r = *state;

    if (!r->loop) {
        skip();
    }
    return r;
}

static void note(Rig *r, const char *text)
{
    g_strlcat(r->order, text, sizeof(r->order));
}

static void yields_twice(void *opaque)
{
    Rig *r = opaque;

    r->co = coroutine_self();
    note(r, "1");
    coroutine_yield();
    note(r, "2");
    coroutine_yield();
    note(r, "3");
}

static void test_start_runs_to_the_first_yield_and_wake_goes_on(void **state)
{
    Rig *r = rig_of(state);

    coroutine_start(yields_twice, r);
    note(r, "a");
    coroutine_wake(r->co);
    note(r, "b");
    coroutine_wake(r->co);
    assert_string_equal(r->order, "1a2b3");
    assert_false(coroutine_running());
}

static void starts_another(void *opaque)
{
    Rig *r = opaque;

    note(r, "(");
    coroutine_start(yields_twice, r);
    note(r, ")");
    coroutine_wake(r->co); /* from a coroutine: not now */
    note(r, "!");
}

static void test_wake_from_a_coroutine_waits_for_the_round(void **state)
{
    Rig *r = rig_of(state);

    coroutine_start(starts_another, r);
    assert_string_equal(r->order, "(1)!");
    loop_run_once(r->loop, false);
    assert_string_equal(r->order, "(1)!2");
    coroutine_wake(r->co);
    assert_string_equal(r->order, "(1)!23");
}

static void keeps_registers(void *opaque)
{
    Rig *r = opaque;
    double x = 1.5;
    uint64_t a = 1, b = 2, c = 3, d = 4, e = 5;

    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+x"(x));
    r->co = coroutine_self();
    coroutine_yield();
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+x"(x));
    r->result = a + b + c + d + e == 15 && x == 1.5;
}

static void test_values_survive_a_yield(void **state)
{
    Rig *r = rig_of(state);

    coroutine_start(keeps_registers, r);
    coroutine_wake(r->co);
    assert_true(r->result);
}

static void uses_a_deep_stack(void *opaque)
{
    Rig *r = opaque;
    char big[128 * 1024];

    memset(big, 'x', sizeof(big));
    coroutine_yield();
    r->result = big[0] == 'x' && big[sizeof(big) - 1] == 'x';
}

static void remember_and_use(void *opaque)
{
    ((Rig *)opaque)->co = coroutine_self();
    uses_a_deep_stack(opaque);
}

static void test_stack_is_deep(void **state)
{
    Rig *r = rig_of(state);

    coroutine_start(remember_and_use, r);
    coroutine_wake(r->co);
    assert_true(r->result);
}

static void does_io(void *opaque)
{
    Rig *r = opaque;
    char byte = 'x';
    struct iovec iov = { &byte, 1 };
    LoopIo io = { .op = LOOP_IO_READV, .fd = -1, .iov = &iov, .niov = 1 };

    r->result = co_io(r->loop, &io);
}

static void test_io_is_awaited(void **state)
{
    Rig *r = rig_of(state);

    coroutine_start(does_io, r);
    while (!r->result) {
        loop_run_once(r->loop, true);
    }
    assert_int_equal(r->result, -EBADF);
}

static int blocking(void *opaque)
{
    Rig *r = opaque;

    r->thread = pthread_self();
    return 42;
}

static void calls(void *opaque)
{
    Rig *r = opaque;

    r->result = co_call(r->loop, blocking, r);
}

static void test_blocking_call_runs_elsewhere(void **state)
{
    Rig *r = rig_of(state);

    coroutine_start(calls, r);
    while (!r->result) {
        loop_run_once(r->loop, true);
    }
    assert_int_equal(r->result, 42);
    assert_false(pthread_equal(r->thread, pthread_self()));
}

static void sleeps(void *opaque)
{
    co_sleep_ns(2 * NS_PER_MS);
    ((Rig *)opaque)->count++;
}

static void test_sleep_takes_its_time(void **state)
{
    Rig *r = rig_of(state);
    int64_t before = clock_ns(clock_realtime);

    coroutine_start(sleeps, r);
    while (!r->count) {
        loop_run_once(r->loop, true);
    }
    assert_true(clock_ns(clock_realtime) - before >= 2 * NS_PER_MS);
}

static void waits_a(void *opaque)
{
    Rig *r = opaque;

    co_queue_wait(&r->queue);
    note(r, "a");
}

static void waits_b(void *opaque)
{
    Rig *r = opaque;

    co_queue_wait(&r->queue);
    note(r, "b");
}

static void test_queue_wakes_in_order(void **state)
{
    Rig *r = rig_of(state);

    coroutine_start(waits_a, r);
    coroutine_start(waits_b, r);
    assert_true(co_queue_next(&r->queue));
    assert_string_equal(r->order, "a");
    co_queue_all(&r->queue);
    assert_string_equal(r->order, "ab");
    assert_false(co_queue_next(&r->queue));
}

static void locks_and_sleeps(void *opaque)
{
    Rig *r = opaque;

    co_mutex_lock(&r->mutex);
    note(r, "(");
    co_sleep_ns(NS_PER_MS);
    note(r, ")");
    co_mutex_unlock(&r->mutex);
    r->count++;
}

static void test_mutex_excludes_across_yields(void **state)
{
    Rig *r = rig_of(state);

    coroutine_start(locks_and_sleeps, r);
    coroutine_start(locks_and_sleeps, r);
    coroutine_start(locks_and_sleeps, r);
    while (r->count < 3) {
        loop_run_once(r->loop, true);
    }
    assert_string_equal(r->order, "()()()");
}

/* Two loops count under one mutex; a plain counter shows (to TSan too) that it excludes. */
typedef struct Contest {
    CoMutex mutex;
    int count;
    int finished; /* atomic */
} Contest;

static void counts(void *opaque)
{
    Contest *c = opaque;

    for (int i = 0; i < 2000; i++) {
        co_mutex_lock(&c->mutex);
        c->count++;
        co_mutex_unlock(&c->mutex);
    }
    __atomic_add_fetch(&c->finished, 1, __ATOMIC_SEQ_CST);
}

static void start_counting(void *opaque)
{
    coroutine_start(counts, opaque);
}

static void test_mutex_excludes_across_loops(void **state)
{
    Rig *r = rig_of(state);
    Contest c = { 0 };
    Loop *other = loop_new("other", loop_engine(r->loop), NULL);

    assert_true(loop_thread_start(other, NULL));
    loop_post(other, start_counting, &c);
    coroutine_start(counts, &c);
    while (__atomic_load_n(&c.finished, __ATOMIC_SEQ_CST) < 2) {
        loop_run_once(r->loop, false);
    }
    loop_thread_join(other);
    loop_free(other);
    assert_int_equal(c.count, 4000);
}

static void wait_in_queue(void *opaque)
{
    Rig *r = opaque;

    co_queue_wait(&r->queue);
    r->count++;
}

static void test_thousands_beyond_the_limit_run_in_the_end(void **state)
{
    Rig *r = rig_of(state);

    for (int i = 0; i < 5000; i++) {
        coroutine_start(wait_in_queue, r);
    }
    while (r->count < 5000) {
        co_queue_all(&r->queue);
        loop_run_once(r->loop, false);
    }
    assert_int_equal(r->count, 5000);
}

static void sees_loop(void *opaque)
{
    Rig *r = opaque;

    r->co = coroutine_self();
    coroutine_yield();
    r->seen = loop_current();
}

static void *wake_from_here(void *opaque)
{
    coroutine_wake(((Rig *)opaque)->co);
    return NULL;
}

static void test_wake_from_another_thread_continues_on_its_own_loop(void **state)
{
    Rig *r = rig_of(state);
    pthread_t thread;

    coroutine_start(sees_loop, r);
    assert_int_equal(pthread_create(&thread, NULL, wake_from_here, r), 0);
    while (!r->seen) {
        loop_run_once(r->loop, true);
    }
    pthread_join(thread, NULL);
    assert_ptr_equal(r->seen, r->loop);
}

#define BOTH(TEST)                                                                                                     \
    { #TEST " on io_uring", TEST, setup_uring, teardown, NULL }, { #TEST " on epoll", TEST, setup_epoll, teardown, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_start_runs_to_the_first_yield_and_wake_goes_on),
        BOTH(test_wake_from_a_coroutine_waits_for_the_round),
        BOTH(test_values_survive_a_yield),
        BOTH(test_stack_is_deep),
        BOTH(test_io_is_awaited),
        BOTH(test_blocking_call_runs_elsewhere),
        BOTH(test_sleep_takes_its_time),
        BOTH(test_queue_wakes_in_order),
        BOTH(test_mutex_excludes_across_yields),
        BOTH(test_mutex_excludes_across_loops),
        BOTH(test_thousands_beyond_the_limit_run_in_the_end),
        BOTH(test_wake_from_another_thread_continues_on_its_own_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
