/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads that wait in the kernel until there is something (vmm/loop.h: patient requests, loop_cancel()). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/epoch.h"
#include "vmm/loop-internal.h"
#include "vmm/loop.h"

#define READS 4

typedef struct Reads {
    Loop *loop;
    int wire[2]; /* datagrams; the loop reads from [0] */
    LoopIo io[READS];
    char byte[READS];
    struct iovec iov[READS];
    char order[READS + 1]; /* what came, as it came */
    unsigned done;
    LoopIo *victim; /* cancelled by the first that is done */
} Reads;

static int setup(void **state)
{
    Reads *r = g_new0(Reads, 1);

    r->loop = loop_new("test", LOOP_ENGINE_IO_URING, NULL);
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, r->wire) < 0) {
        return -1;
    }
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    Reads *r = *state;

    loop_free(r->loop);
    epoch_synchronize();
    close(r->wire[0]);
    close(r->wire[1]);
    g_free(r);
    return 0;
}

static void came(LoopIo *io, int result)
{
    Reads *r = io->opaque;

    assert_int_equal(result, 1);
    r->order[r->done++] = r->byte[io - r->io];
    if (r->victim) {
        loop_cancel(r->loop, r->victim);
        r->victim = NULL;
    }
}

/* Skips the test where the host has no io_uring. */
static Reads *reads_of(void **state, unsigned n)
{
    Reads *r = *state;

    if (!r->loop) {
        skip();
    }
    for (unsigned i = 0; i < n; i++) {
        r->iov[i] = (struct iovec) { &r->byte[i], 1 };
        r->io[i] = (LoopIo) { .op = LOOP_IO_READV, .fd = r->wire[0], .iov = &r->iov[i], .niov = 1, .patient = true,
                              .done = came, .opaque = r };
        loop_submit(r->loop, &r->io[i]);
    }
    return r;
}

static void say(Reads *r, const char *bytes)
{
    for (; *bytes; bytes++) {
        assert_int_equal(write(r->wire[1], bytes, 1), 1);
    }
}

static void test_engines_say_whether_reads_wait(void **state)
{
    Reads *r = reads_of(state, 0);
    Loop *epoll = loop_new("epoll", LOOP_ENGINE_EPOLL, NULL);

    assert_true(loop_io_waits(r->loop));
    assert_false(loop_io_waits(epoll));
    loop_free(epoll);
}

static void test_read_waits_until_there_is_something(void **state)
{
    Reads *r = reads_of(state, 1);

    assert_false(loop_run_once(r->loop, false));
    say(r, "x");
    loop_run_once(r->loop, true);
    assert_string_equal(r->order, "x");
}

static void test_what_comes_together_is_read_in_one_round_and_in_order(void **state)
{
    Reads *r = reads_of(state, READS);

    loop_run_once(r->loop, false);
    say(r, "abcd");
    loop_run_once(r->loop, true);
    assert_string_equal(r->order, "abcd");
}

static void test_what_was_there_before_is_read_in_one_round_and_in_order(void **state)
{
    Reads *r = *state;

    say(r, "abcd");
    reads_of(state, READS);
    loop_run_once(r->loop, true);
    assert_string_equal(r->order, "abcd");
}

static void test_cancelled_read_is_silent_and_leaves_what_comes_to_others(void **state)
{
    Reads *r = reads_of(state, 1);
    char byte = 0;

    loop_run_once(r->loop, false);
    loop_cancel(r->loop, &r->io[0]);
    say(r, "x");
    loop_run_once(r->loop, false);
    assert_int_equal(r->done, 0);
    assert_int_equal(read(r->wire[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
}

static void test_read_can_be_cancelled_before_the_loop_has_run(void **state)
{
    Reads *r = reads_of(state, 2);

    loop_cancel(r->loop, &r->io[0]);
    say(r, "x");
    loop_run_once(r->loop, true);
    assert_string_equal(r->order, "x");
    assert_int_equal(r->byte[1], 'x');
}

static void test_read_that_is_done_can_be_cancelled_by_one_before_it(void **state)
{
    Reads *r = reads_of(state, 3);

    loop_run_once(r->loop, false);
    r->victim = &r->io[1];
    say(r, "abc");
    loop_run_once(r->loop, true);
    assert_string_equal(r->order, "ac");
}

static void test_read_can_be_cancelled_twice_and_begin_again(void **state)
{
    Reads *r = reads_of(state, 1);

    loop_run_once(r->loop, false);
    loop_cancel(r->loop, &r->io[0]);
    loop_cancel(r->loop, &r->io[0]);
    reads_of(state, 1);
    say(r, "x");
    loop_run_once(r->loop, true);
    assert_string_equal(r->order, "x");
}

static void test_waiting_reads_are_no_io_to_spin_for(void **state)
{
    Reads *r = reads_of(state, READS);

    loop_run_once(r->loop, false);
    assert_int_equal(r->loop->io_in_flight, 0);
    for (unsigned i = 0; i < READS; i++) {
        loop_cancel(r->loop, &r->io[i]);
    }
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(engines_say_whether_reads_wait),
        TEST(read_waits_until_there_is_something),
        TEST(what_comes_together_is_read_in_one_round_and_in_order),
        TEST(what_was_there_before_is_read_in_one_round_and_in_order),
        TEST(cancelled_read_is_silent_and_leaves_what_comes_to_others),
        TEST(read_can_be_cancelled_before_the_loop_has_run),
        TEST(read_that_is_done_can_be_cancelled_by_one_before_it),
        TEST(read_can_be_cancelled_twice_and_begin_again),
        TEST(waiting_reads_are_no_io_to_spin_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
