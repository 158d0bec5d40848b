/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/locks.c: ranks, turns, and when effects are delivered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/locks.h"

typedef struct Trace {
    Lock *lock;
    char text[16];
    struct Trace *also;
} Trace;

static void note(Trace *t, char c)
{
    size_t n = strlen(t->text);

    assert_true(n + 1 < sizeof(t->text));
    t->text[n] = c;
    t->text[n + 1] = '\0';
}

static void deliver_a(void *opaque)
{
    lock_assert_none_held();
    note(opaque, 'a');
}

static void deliver_b(void *opaque)
{
    note(opaque, 'b');
}

static void deliver_and_post(void *opaque)
{
    note(opaque, '<');
    effect_post(deliver_a, opaque);
    note(opaque, '>');
}

/* As an interrupt line does: takes a lock of its own while it is delivered. */
static void deliver_locking(void *opaque)
{
    Trace *t = opaque;

    note(t, '(');
    lock_acquire(t->lock);
    effect_post(deliver_b, t);
    lock_release(t->lock);
    note(t, ')');
}

static void test_effect_without_lock_is_delivered_at_once(void **state)
{
    Trace t = { 0 };

    effect_post(deliver_a, &t);
    assert_string_equal(t.text, "a");
}

static void test_effects_wait_for_the_last_lock_in_order(void **state)
{
    Trace t = { 0 };
    Lock device, line;

    lock_init(&device, LOCK_DEVICE, "device");
    lock_init(&line, LOCK_IRQ_LINE, "line");
    lock_acquire(&device);
    lock_acquire(&line);
    effect_post(deliver_a, &t);
    effect_post(deliver_b, &t);
    lock_release(&device);
    assert_string_equal(t.text, "");
    lock_release(&line);
    assert_string_equal(t.text, "ab");
    lock_finish(&device);
    lock_finish(&line);
}

static void test_waiting_effect_is_not_added_twice(void **state)
{
    Trace t = { 0 }, other = { 0 };
    Lock device;

    lock_init(&device, LOCK_DEVICE, "device");
    lock_acquire(&device);
    effect_post(deliver_a, &t);
    effect_post(deliver_a, &other);
    effect_post(deliver_a, &t);
    lock_release(&device);
    assert_string_equal(t.text, "a");
    assert_string_equal(other.text, "a");
    lock_finish(&device);
}

static void test_effect_of_an_effect_comes_after_it(void **state)
{
    Trace t = { 0 };

    effect_post(deliver_and_post, &t);
    assert_string_equal(t.text, "<>a");
}

static void test_lock_taken_by_an_effect_does_not_nest_delivery(void **state)
{
    Lock device, line;
    Trace t = { .lock = &line };

    lock_init(&device, LOCK_DEVICE, "device");
    lock_init(&line, LOCK_IRQ_LINE, "line");
    lock_acquire(&device);
    effect_post(deliver_locking, &t);
    effect_post(deliver_a, &t);
    lock_release(&device);
    assert_string_equal(t.text, "()ab");
    lock_finish(&device);
    lock_finish(&line);
}

static void test_more_effects_than_the_first_allocation_keep_their_order(void **state)
{
    Trace t[40] = { 0 };
    Lock device;

    lock_init(&device, LOCK_DEVICE, "device");
    lock_acquire(&device);
    for (int i = 0; i < 40; i++) {
        effect_post(deliver_and_post, &t[i]);
    }
    lock_release(&device);
    assert_string_equal(t[0].text, "<>a");
    assert_string_equal(t[39].text, "<>a");
    lock_finish(&device);
}

typedef struct Waiter {
    Lock lock;
    bool had_it; /* under lock */
} Waiter;

static void *wait_for_it(void *opaque)
{
    Waiter *w = opaque;

    lock_acquire(&w->lock);
    w->had_it = true;
    lock_release(&w->lock);
    return NULL;
}

static bool somebody_waits(const Lock *lock)
{
    return __atomic_load_n(&lock->last_ticket, __ATOMIC_SEQ_CST) != __atomic_load_n(&lock->serving, __ATOMIC_SEQ_CST);
}

/* As a vCPU does whose guest writes a register in a loop.  Many times: a mutex alone is fair at times. */
static void test_waiting_thread_is_served_before_one_that_comes_again(void **state)
{
    for (int i = 0; i < 100; i++) {
        Waiter w = { .had_it = false };
        pthread_t thread;
        bool had_it;

        lock_init(&w.lock, LOCK_DEVICE, "device");
        lock_acquire(&w.lock);
        assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &w), 0);
        while (!somebody_waits(&w.lock)) {
            usleep(10);
        }
        lock_release(&w.lock);
        lock_acquire(&w.lock);
        had_it = w.had_it;
        lock_release(&w.lock);
        pthread_join(thread, NULL);
        lock_finish(&w.lock);
        assert_true(had_it);
    }
}

typedef struct Counted {
    Lock lock;
    unsigned count; /* under lock */
} Counted;

static void *count_up(void *opaque)
{
    Counted *c = opaque;

    for (int i = 0; i < 20000; i++) {
        lock_acquire(&c->lock);
        c->count++;
        lock_release(&c->lock);
    }
    return NULL;
}

static void test_threads_that_crowd_a_lock_exclude_each_other(void **state)
{
    pthread_t thread[4];
    Counted c = { .count = 0 };

    lock_init(&c.lock, LOCK_DEVICE, "device");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, count_up, &c), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
    }
    assert_int_equal(c.count, 80000);
    lock_finish(&c.lock);
}

#ifdef LODGE_DEBUG_LOCKS

/* The signal that ends a child which runs fn. */
static int death_of(void (*fn)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGTRAP, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        assert_non_null(freopen("/dev/null", "w", stderr));
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void take_in_falling_rank(void)
{
    Lock ram, device;

    lock_init(&ram, LOCK_RAM, "ram");
    lock_init(&device, LOCK_DEVICE, "device");
    lock_acquire(&ram);
    lock_acquire(&device);
}

static void take_two_of_a_rank(void)
{
    Lock a, b;

    lock_init(&a, LOCK_DEVICE, "a");
    lock_init(&b, LOCK_DEVICE, "b");
    lock_acquire(&a);
    lock_acquire(&b);
}

static void claim_a_lock(void)
{
    Lock a;

    lock_init(&a, LOCK_DEVICE, "a");
    lock_assert_held(&a);
}

static void hold_one_too_many(void)
{
    Lock a;

    lock_init(&a, LOCK_DEVICE, "a");
    lock_acquire(&a);
    lock_assert_none_held();
}

static void test_falling_rank_aborts(void **state)
{
    assert_int_not_equal(death_of(take_in_falling_rank), 0);
}

static void test_equal_rank_aborts(void **state)
{
    assert_int_not_equal(death_of(take_two_of_a_rank), 0);
}

static void test_assertion_of_a_lock_that_is_not_held_aborts(void **state)
{
    assert_int_not_equal(death_of(claim_a_lock), 0);
}

static void test_assertion_of_none_held_aborts(void **state)
{
    assert_int_not_equal(death_of(hold_one_too_many), 0);
}

#define DEBUG_TESTS                                                                                                    \
    cmocka_unit_test(test_falling_rank_aborts), cmocka_unit_test(test_equal_rank_aborts),                             \
        cmocka_unit_test(test_assertion_of_a_lock_that_is_not_held_aborts),                                           \
        cmocka_unit_test(test_assertion_of_none_held_aborts),
#else
#define DEBUG_TESTS
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_effect_without_lock_is_delivered_at_once),
        cmocka_unit_test(test_effects_wait_for_the_last_lock_in_order),
        cmocka_unit_test(test_waiting_effect_is_not_added_twice),
        cmocka_unit_test(test_effect_of_an_effect_comes_after_it),
        cmocka_unit_test(test_lock_taken_by_an_effect_does_not_nest_delivery),
        cmocka_unit_test(test_more_effects_than_the_first_allocation_keep_their_order),
        cmocka_unit_test(test_waiting_thread_is_served_before_one_that_comes_again),
        cmocka_unit_test(test_threads_that_crowd_a_lock_exclude_each_other),
        DEBUG_TESTS
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
