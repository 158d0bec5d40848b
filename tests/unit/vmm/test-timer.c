/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/timer.c: clocks, and timers on the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "vmm/epoch.h"
#include "vmm/timer.h"

typedef struct Rig {
    Loop *loop;
    Clock *clock;
    Timer *timer;
    int count;
    char order[16];
    int64_t at[8];
    Lock lock;
} Rig;

static int setup(void **state)
{
    Rig *r = g_new0(Rig, 1);

    r->loop = loop_new("test", LOOP_ENGINE_AUTO, NULL);
    r->clock = clock_new_virtual();
    *state = r;
    return !r->loop;
}

static int teardown(void **state)
{
    Rig *r = *state;

    timer_free(r->timer);
    loop_free(r->loop);
    clock_free(r->clock);
    epoch_synchronize();
    g_free(r);
    return 0;
}

static void note(void *opaque)
{
    Rig *r = opaque;

    r->at[r->count++] = clock_ns(r->clock);
}

static void test_virtual_clock_stands_until_started(void **state)
{
    Rig *r = *state;

    assert_int_equal(clock_ns(r->clock), 0);
    clock_start(r->clock);
    usleep(1000);
    assert_true(clock_ns(r->clock) >= NS_PER_MS);
}

static void test_virtual_clock_goes_on_where_it_was_stopped(void **state)
{
    Rig *r = *state;
    int64_t stopped;

    clock_set(r->clock, 5 * NS_PER_SEC);
    clock_start(r->clock);
    clock_stop(r->clock);
    stopped = clock_ns(r->clock);
    usleep(2000);
    assert_int_equal(clock_ns(r->clock), stopped);
    clock_start(r->clock);
    assert_true(clock_ns(r->clock) >= stopped);
    assert_true(clock_ns(r->clock) < stopped + NS_PER_SEC);
}

static void test_timer_on_a_stopped_clock_does_not_run(void **state)
{
    Rig *r = *state;

    r->timer = timer_new(r->loop, r->clock, note, r);
    timer_mod(r->timer, 0);
    loop_run_once(r->loop, false);
    assert_int_equal(r->count, 0);
    clock_start(r->clock);
    loop_run_once(r->loop, true);
    assert_int_equal(r->count, 1);
    assert_false(timer_pending(r->timer));
}

static void test_timer_runs_at_its_deadline_not_before(void **state)
{
    Rig *r = *state;
    int64_t deadline = clock_ns(clock_realtime) + 3 * NS_PER_MS;

    r->timer = timer_new(r->loop, clock_realtime, note, r);
    timer_mod(r->timer, deadline);
    while (!r->count) {
        loop_run_once(r->loop, true);
    }
    assert_true(clock_ns(clock_realtime) >= deadline);
}

static void test_host_clock_timer_runs(void **state)
{
    Rig *r = *state;

    r->timer = timer_new(r->loop, clock_host, note, r);
    timer_mod(r->timer, clock_ns(clock_host) + NS_PER_MS);
    while (!r->count) {
        loop_run_once(r->loop, true);
    }
    assert_int_equal(r->count, 1);
}

static void test_deleted_timer_does_not_run(void **state)
{
    Rig *r = *state;

    clock_set_manual(r->clock);
    r->timer = timer_new(r->loop, r->clock, note, r);
    timer_mod(r->timer, 10);
    assert_int_equal(timer_deadline(r->timer), 10);
    timer_del(r->timer);
    assert_int_equal(timer_deadline(r->timer), INT64_MAX);
    clock_set(r->clock, 20);
    assert_int_equal(r->count, 0);
}

static void first(void *opaque)
{
    strcat(((Rig *)opaque)->order, "1");
}

static void second(void *opaque)
{
    strcat(((Rig *)opaque)->order, "2");
}

static void third(void *opaque)
{
    strcat(((Rig *)opaque)->order, "3");
}

static void test_timers_run_in_order_of_deadline(void **state)
{
    Rig *r = *state;
    Timer *a = timer_new(r->loop, r->clock, first, r);
    Timer *b = timer_new(r->loop, r->clock, second, r);
    Timer *c = timer_new(r->loop, r->clock, third, r);

    clock_set_manual(r->clock);
    timer_mod(c, 30);
    timer_mod(a, 40);
    timer_mod(b, 20);
    timer_mod(a, 10);
    clock_set(r->clock, 100);
    assert_string_equal(r->order, "123");
    timer_free(a);
    timer_free(b);
    timer_free(c);
}

static void again(void *opaque)
{
    Rig *r = opaque;

    note(r);
    timer_mod(r->timer, clock_ns(r->clock) + 10);
}

static void test_manual_clock_stops_at_each_deadline(void **state)
{
    Rig *r = *state;

    clock_set_manual(r->clock);
    r->timer = timer_new(r->loop, r->clock, again, r);
    timer_mod(r->timer, 10);
    clock_set(r->clock, 35);
    assert_int_equal(r->count, 3);
    assert_int_equal(r->at[0], 10);
    assert_int_equal(r->at[2], 30);
    assert_int_equal(clock_ns(r->clock), 35);
    assert_int_equal(timer_deadline(r->timer), 40);
}

static void test_deadline_in_the_past_runs_in_the_next_round(void **state)
{
    Rig *r = *state;

    r->timer = timer_new(r->loop, clock_realtime, note, r);
    timer_mod(r->timer, INT64_MIN);
    loop_run_once(r->loop, true);
    assert_int_equal(r->count, 1);
}

static void test_far_deadline_is_kept(void **state)
{
    Rig *r = *state;

    r->timer = timer_new(r->loop, clock_realtime, note, r);
    timer_mod(r->timer, INT64_MAX);
    assert_true(timer_pending(r->timer));
    loop_run_once(r->loop, false);
    assert_int_equal(r->count, 0);
}

static void *arm_later(void *opaque)
{
    Rig *r = opaque;

    usleep(5000);
    timer_mod(r->timer, clock_ns(clock_realtime) + NS_PER_MS);
    return NULL;
}

static void test_timer_armed_by_another_thread_wakes_the_loop(void **state)
{
    Rig *r = *state;
    pthread_t thread;

    r->timer = timer_new(r->loop, clock_realtime, note, r);
    loop_run_once(r->loop, false);
    assert_int_equal(pthread_create(&thread, NULL, arm_later, r), 0);
    while (!r->count) {
        loop_run_once(r->loop, true);
    }
    pthread_join(thread, NULL);
    assert_int_equal(r->count, 1);
}

static void *arm_and_delete(void *opaque)
{
    Rig *r = opaque;
    int64_t now;

    usleep(5000);
    now = clock_ns(clock_realtime);
    for (unsigned i = 0; i < 100 && clock_ns(clock_realtime) < now + 5 * NS_PER_MS; i++) {
        timer_mod(r->timer, now + 10 * NS_PER_MS);
        timer_del(r->timer);
    }
    return NULL;
}

/* Whether the loop sleeps to the deadline that it knows while another thread moves an earlier timer. */
static bool sleeps_through(Rig *r)
{
    Rig other = { .loop = r->loop, .clock = r->clock };
    int64_t until = clock_ns(clock_realtime) + 60 * NS_PER_MS;
    pthread_t thread;
    bool slept;

    other.timer = timer_new(r->loop, clock_realtime, note, &other);
    timer_mod(other.timer, until);
    loop_run_once(r->loop, false);
    assert_int_equal(pthread_create(&thread, NULL, arm_and_delete, r), 0);
    loop_run_once(r->loop, true);
    slept = clock_ns(clock_realtime) >= until;
    pthread_join(thread, NULL);
    timer_free(other.timer);
    return slept;
}

/* Either may lose the processor meanwhile: the timer is due then, or the loop finds it before it sleeps. */
static void test_timer_moved_back_and_forth_wakes_nobody(void **state)
{
    Rig *r = *state;
    bool slept = false;

    r->timer = timer_new(r->loop, clock_realtime, note, r);
    for (unsigned i = 0; i < 20 && !slept; i++) {
        r->count = 0;
        slept = sleeps_through(r);
    }
    assert_true(slept);
}

static void count_locked(void *opaque)
{
    Rig *r = opaque;

    lock_assert_held(&r->lock);
    r->count++;
}

/* Another thread deletes the timer under its lock, over and over; after that it must be silent. */
static void *delete_under_lock(void *opaque)
{
    Rig *r = opaque;

    for (int i = 0; i < 2000; i++) {
        int before;

        timer_mod(r->timer, INT64_MIN);
        lock_acquire(&r->lock);
        timer_del(r->timer);
        before = r->count;
        g_thread_yield();
        assert_int_equal(r->count, before);
        lock_release(&r->lock);
    }
    loop_stop(r->loop);
    return NULL;
}

static void test_timer_deleted_under_its_lock_is_silent(void **state)
{
    Rig *r = *state;
    pthread_t thread;

    lock_init(&r->lock, LOCK_DEVICE, "test");
    r->timer = timer_new_locked(r->loop, clock_realtime, &r->lock, count_locked, r);
    assert_int_equal(pthread_create(&thread, NULL, delete_under_lock, r), 0);
    loop_run(r->loop);
    pthread_join(thread, NULL);
    lock_finish(&r->lock);
}

/* ---- counted ---- */

typedef struct Count { int64_t now; unsigned earlier, ran; } Count;

static int64_t count_now(void *opaque)
{
    return ((Count *)opaque)->now;
}

static void count_set(void *opaque, int64_t ns)
{
    ((Count *)opaque)->now = ns;
}

static void count_earlier(void *opaque)
{
    ((Count *)opaque)->earlier++;
}

static void count_ran(void *opaque)
{
    ((Count *)opaque)->ran++;
}

static const ClockCounter counter = { count_now, count_set, count_earlier, count_ran };

static void test_counted_clock_runs_timers_when_it_allows_them(void **state)
{
    Rig *r = *state;
    Count count = { .now = 500 };

    clock_set_counter(r->clock, &counter, &count);
    clock_start(r->clock);
    assert_int_equal(clock_next_deadline(r->clock), INT64_MAX);
    r->timer = timer_new(r->loop, r->clock, note, r);
    timer_mod(r->timer, 1000);
    assert_int_equal(count.earlier, 1);
    assert_int_equal(clock_next_deadline(r->clock), 1000);
    count.now = 1001;
    loop_run_once(r->loop, false);
    assert_int_equal(r->count, 0);
    clock_allow(r->clock, 1001);
    loop_run_once(r->loop, false);
    assert_int_equal(r->count, 1);
    assert_int_equal(r->at[0], 1001);
    assert_int_equal(count.ran, 1);
    clock_hold(r->clock);
    timer_mod(r->timer, 900);
    loop_run_once(r->loop, false);
    assert_int_equal(r->count, 1);
    assert_int_equal(count.earlier, 2);
}

static void look_at_deadline(void *opaque)
{
    Rig *r = opaque;

    timer_mod(r->timer, 2000);
    r->at[r->count++] = clock_next_deadline(r->clock);
}

static void test_counted_clock_is_due_while_something_is(void **state)
{
    Rig *r = *state;
    Count count = { .now = 10 };

    clock_set_counter(r->clock, &counter, &count);
    clock_start(r->clock);
    r->timer = timer_new(r->loop, r->clock, look_at_deadline, r);
    timer_mod(r->timer, 10);
    clock_allow(r->clock, 10);
    loop_run_once(r->loop, false);
    assert_int_equal(r->at[0], INT64_MIN);
    assert_int_equal(clock_next_deadline(r->clock), 2000);
    clock_due_begin(r->clock);
    assert_int_equal(count.earlier, 3);
    assert_int_equal(clock_next_deadline(r->clock), INT64_MIN);
    clock_due_end(r->clock);
    assert_int_equal(count.ran, 2);
    assert_int_equal(clock_next_deadline(r->clock), 2000);
}

static void test_counted_clock_is_set_through_its_counter(void **state)
{
    Rig *r = *state;
    Count count = { 0 };

    clock_set_counter(r->clock, &counter, &count);
    clock_set(r->clock, 77);
    assert_int_equal(count.now, 77);
    assert_int_equal(clock_ns(r->clock), 77);
}

#define ROW(TEST) cmocka_unit_test_setup_teardown(TEST, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_virtual_clock_stands_until_started),
        ROW(test_virtual_clock_goes_on_where_it_was_stopped),
        ROW(test_timer_on_a_stopped_clock_does_not_run),
        ROW(test_timer_runs_at_its_deadline_not_before),
        ROW(test_host_clock_timer_runs),
        ROW(test_deleted_timer_does_not_run),
        ROW(test_timers_run_in_order_of_deadline),
        ROW(test_manual_clock_stops_at_each_deadline),
        ROW(test_deadline_in_the_past_runs_in_the_next_round),
        ROW(test_far_deadline_is_kept),
        ROW(test_timer_armed_by_another_thread_wakes_the_loop),
        ROW(test_timer_moved_back_and_forth_wakes_nobody),
        ROW(test_timer_deleted_under_its_lock_is_silent),
        ROW(test_counted_clock_runs_timers_when_it_allows_them),
        ROW(test_counted_clock_is_due_while_something_is),
        ROW(test_counted_clock_is_set_through_its_counter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
