/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/epoch.c: nothing is freed under a reader, everything is freed in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "vmm/epoch.h"

static void count(void *opaque)
{
    __atomic_add_fetch((int *)opaque, 1, __ATOMIC_SEQ_CST);
}

static void test_retired_waits_for_the_next_quiescent_point(void **state)
{
    int freed = 0;

    epoch_thread_begin();
    epoch_retire(count, &freed);
    assert_int_equal(freed, 0);
    epoch_quiescent();
    assert_int_equal(freed, 1);
    epoch_thread_end();
}

static void test_going_offline_reclaims(void **state)
{
    int freed = 0;

    epoch_thread_begin();
    epoch_retire(count, &freed);
    epoch_offline();
    assert_int_equal(freed, 1);
    epoch_online();
    epoch_thread_end();
}

static void test_nested_offline_ends_with_the_outer(void **state)
{
    int freed = 0;

    epoch_thread_begin();
    epoch_offline();
    epoch_offline();
    epoch_online();
    epoch_retire(count, &freed);
    epoch_quiescent(); /* still offline: says nothing */
    assert_int_equal(freed, 0);
    epoch_online();
    epoch_quiescent();
    assert_int_equal(freed, 1);
    epoch_thread_end();
}

static void test_unregistered_thread_reclaims_by_synchronize(void **state)
{
    int freed = 0;

    epoch_retire(count, &freed);
    epoch_synchronize();
    assert_int_equal(freed, 1);
}

static void retire_again(void *opaque)
{
    epoch_retire(count, opaque);
}

static void test_callback_may_retire_more(void **state)
{
    int freed = 0;

    epoch_thread_begin();
    epoch_retire(retire_again, &freed);
    epoch_offline();
    assert_int_equal(freed, 1);
    epoch_online();
    epoch_thread_end();
}

typedef struct Reader {
    pthread_t thread;
    pthread_barrier_t barrier;
    int seen; /* freed, when the reader looked while it held its reference */
    int *freed;
} Reader;

static void *hold_then_sleep(void *opaque)
{
    Reader *r = opaque;

    epoch_thread_begin();
    pthread_barrier_wait(&r->barrier); /* online: has a reference */
    pthread_barrier_wait(&r->barrier); /* retired */
    usleep(20000);
    r->seen = __atomic_load_n(r->freed, __ATOMIC_SEQ_CST);
    epoch_offline();
    pthread_barrier_wait(&r->barrier);
    epoch_online();
    epoch_thread_end();
    return NULL;
}

static void test_synchronize_waits_for_an_online_reader(void **state)
{
    int freed = 0;
    Reader r = { .freed = &freed };

    pthread_barrier_init(&r.barrier, NULL, 2);
    assert_int_equal(pthread_create(&r.thread, NULL, hold_then_sleep, &r), 0);
    pthread_barrier_wait(&r.barrier);
    epoch_retire(count, &freed);
    pthread_barrier_wait(&r.barrier);
    epoch_synchronize();
    assert_int_equal(__atomic_load_n(&freed, __ATOMIC_SEQ_CST), 1);
    pthread_barrier_wait(&r.barrier);
    pthread_join(r.thread, NULL);
    assert_int_equal(r.seen, 0);
    pthread_barrier_destroy(&r.barrier);
}

/* Two readers dereference what a writer replaces: ASan and TSan would tell of a use after free. */
typedef struct Shared {
    int *value; /* atomic */
    bool stop;  /* atomic */
    long sum[2];
} Shared;

typedef struct Worker {
    Shared *shared;
    int n;
} Worker;

static void *read_values(void *opaque)
{
    Worker *w = opaque;

    epoch_thread_begin();
    while (!__atomic_load_n(&w->shared->stop, __ATOMIC_ACQUIRE)) {
        w->shared->sum[w->n] += *__atomic_load_n(&w->shared->value, __ATOMIC_ACQUIRE);
        if (w->shared->sum[w->n] % 64 == 0) {
            epoch_offline();
            sched_yield();
            epoch_online();
        } else {
            epoch_quiescent();
        }
    }
    epoch_thread_end();
    return NULL;
}

static void test_readers_never_see_freed_memory(void **state)
{
    Shared shared = { .value = g_new(int, 1) };
    Worker workers[2] = { { &shared, 0 }, { &shared, 1 } };
    pthread_t threads[2];

    *shared.value = 1;
    assert_int_equal(pthread_create(&threads[0], NULL, read_values, &workers[0]), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, read_values, &workers[1]), 0);
    for (int i = 0; i < 5000; i++) {
        int *fresh = g_new(int, 1);

        *fresh = 1;
        epoch_retire(g_free, __atomic_exchange_n(&shared.value, fresh, __ATOMIC_ACQ_REL));
        if (i % 100 == 0) {
            epoch_synchronize();
        }
    }
    __atomic_store_n(&shared.stop, true, __ATOMIC_RELEASE);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    epoch_synchronize();
    assert_true(shared.sum[0] >= 0 && shared.sum[1] >= 0);
    g_free(shared.value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retired_waits_for_the_next_quiescent_point),
        cmocka_unit_test(test_going_offline_reclaims),
        cmocka_unit_test(test_nested_offline_ends_with_the_outer),
        cmocka_unit_test(test_unregistered_thread_reclaims_by_synchronize),
        cmocka_unit_test(test_callback_may_retire_more),
        cmocka_unit_test(test_synchronize_waits_for_an_online_reader),
        cmocka_unit_test(test_readers_never_see_freed_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
