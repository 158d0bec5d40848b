/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/loop*.c, each test on both engines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/epoch.h"
#include "vmm/loop-internal.h"
#include "vmm/loop.h"
#include "vmm/timer.h"

static int setup_engine(void **state, LoopEngine engine)
{
    *state = loop_new("test", engine, NULL);
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
    loop_free(*state);
    epoch_synchronize();
    return 0;
}

/* The loop of a test; where the host has no io_uring the test is skipped by name. */
static Loop *loop_of(void **state)
{
    if (!*state) {
        skip();
    }
    return *state;
}

typedef struct Calls {
    Loop *loop;
    int count;
    char order[16];
    LoopEvents events;
    LoopFd *lfd;
    LoopEvent *event;
    LoopBatch batch;
    int fd;
} Calls;

static void count_call(void *opaque)
{
    ((Calls *)opaque)->count++;
}

static void stop_loop(void *opaque)
{
    Calls *c = opaque;

    c->count++;
    loop_stop(c->loop);
}

static void note_1(void *opaque)
{
    strcat(((Calls *)opaque)->order, "1");
}

static void note_2(void *opaque)
{
    strcat(((Calls *)opaque)->order, "2");
}

static void test_posts_run_in_order(void **state)
{
    Calls c = { .loop = loop_of(state) };

    loop_post(c.loop, note_1, &c);
    loop_post(c.loop, note_2, &c);
    loop_post(c.loop, note_1, &c);
    assert_true(loop_run_once(c.loop, false));
    assert_string_equal(c.order, "121");
    assert_false(loop_run_once(c.loop, false));
}

static void *post_later(void *opaque)
{
    usleep(10000);
    loop_post(((Calls *)opaque)->loop, stop_loop, opaque);
    return NULL;
}

static void test_post_wakes_a_sleeping_loop(void **state)
{
    Calls c = { .loop = loop_of(state) };
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, post_later, &c), 0);
    loop_run(c.loop);
    assert_int_equal(c.count, 1);
    pthread_join(thread, NULL);
}

static void *post_many(void *opaque)
{
    for (int i = 0; i < 10000; i++) {
        loop_post(((Calls *)opaque)->loop, count_call, opaque);
    }
    return NULL;
}

static void test_no_post_of_two_threads_is_lost(void **state)
{
    Calls c = { .loop = loop_of(state) };
    pthread_t threads[2];

    assert_int_equal(pthread_create(&threads[0], NULL, post_many, &c), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, post_many, &c), 0);
    while (c.count < 20000) {
        loop_run_once(c.loop, true);
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_int_equal(c.count, 20000);
}

static void read_byte(int fd, LoopEvents events, void *opaque)
{
    Calls *c = opaque;
    char byte;

    c->count++;
    c->events = events;
    if (c->fd != -1) {
        assert_int_equal(read(fd, &byte, 1), events & LOOP_HANGUP ? 0 : 1);
    }
}

static void test_readable_descriptor_is_reported_until_it_is_drained(void **state)
{
    Calls c = { .loop = loop_of(state) };
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    c.lfd = loop_add_fd(c.loop, fds[0], LOOP_READ, read_byte, &c);
    loop_run_once(c.loop, false);
    assert_int_equal(c.count, 0);
    assert_int_equal(write(fds[1], "ab", 2), 2);
    loop_run_once(c.loop, true);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.events, LOOP_READ);
    loop_run_once(c.loop, true);
    assert_int_equal(c.count, 2);
    loop_run_once(c.loop, false);
    assert_int_equal(c.count, 2);
    loop_remove_fd(c.lfd);
    close(fds[0]);
    close(fds[1]);
}

static void test_end_of_the_peer_shows_as_readable_and_hangup(void **state)
{
    Calls c = { .loop = loop_of(state) };
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    c.lfd = loop_add_fd(c.loop, fds[0], LOOP_READ, read_byte, &c);
    close(fds[1]);
    loop_run_once(c.loop, true);
    assert_int_equal(c.events, LOOP_READ | LOOP_HANGUP);
    loop_remove_fd(c.lfd);
    close(fds[0]);
}

static void test_write_interest_can_be_switched(void **state)
{
    Calls c = { .loop = loop_of(state), .fd = -1 };
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    c.lfd = loop_add_fd(c.loop, fds[0], LOOP_READ, read_byte, &c);
    loop_run_once(c.loop, false);
    loop_fd_set_events(c.lfd, LOOP_READ | LOOP_WRITE);
    while (!c.count) {
        loop_run_once(c.loop, true);
    }
    assert_int_equal(c.events, LOOP_WRITE);
    loop_fd_set_events(c.lfd, 0);
    c.count = 0;
    loop_run_once(c.loop, false);
    loop_run_once(c.loop, false);
    assert_int_equal(c.count, 0);
    loop_remove_fd(c.lfd);
    close(fds[0]);
    close(fds[1]);
}

static void fill(int fd)
{
    char bytes[4096] = "";

    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
}

static void drain(int fd)
{
    char bytes[4096];

    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
}

/* A peer that has ended its side may still read, sooner or later: until then nothing happens, and the loop sleeps. */
static void test_half_a_peer_is_waited_for_asleep(void **state)
{
    Calls c = { .loop = loop_of(state), .fd = -1 }, late = { .loop = c.loop };
    Timer *timer = timer_new(c.loop, clock_realtime, count_call, &late);
    unsigned rounds = 0;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fill(fds[0]);
    shutdown(fds[1], SHUT_WR);
    c.lfd = loop_add_fd(c.loop, fds[0], LOOP_WRITE, read_byte, &c);
    timer_mod(timer, clock_ns(clock_realtime) + 50 * NS_PER_MS);
    for (; !late.count; rounds++) {
        loop_run_once(c.loop, true);
    }
    assert_in_range(rounds, 1, 5);
    assert_int_equal(c.count, 0);
    drain(fds[1]);
    while (!c.count) {
        loop_run_once(c.loop, true);
    }
    assert_int_equal(c.events, LOOP_WRITE);
    loop_fd_set_events(c.lfd, LOOP_READ);
    c.count = 0;
    while (!c.count) {
        loop_run_once(c.loop, true);
    }
    assert_int_equal(c.events, LOOP_READ);
    loop_remove_fd(c.lfd);
    timer_free(timer);
    close(fds[0]);
    close(fds[1]);
}

static void remove_itself(int fd, LoopEvents events, void *opaque)
{
    Calls *c = opaque;

    c->count++;
    loop_remove_fd(c->lfd);
}

static void test_descriptor_removed_in_its_callback_is_silent(void **state)
{
    Calls c = { .loop = loop_of(state) };
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "ab", 2), 2);
    c.lfd = loop_add_fd(c.loop, fds[0], LOOP_READ, remove_itself, &c);
    loop_run_once(c.loop, true);
    loop_run_once(c.loop, false);
    assert_int_equal(c.count, 1);
    close(fds[0]);
    close(fds[1]);
}

static void remove_other(int fd, LoopEvents events, void *opaque)
{
    Calls *c = opaque;

    c->count++;
    if (c->lfd) {
        loop_remove_fd(c->lfd);
        c->lfd = NULL;
    }
}

static void test_descriptor_removed_by_another_callback_is_silent(void **state)
{
    Calls c = { .loop = loop_of(state) }, other = { .loop = c.loop, .fd = -1 };
    LoopFd *first;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "a", 1), 1);
    first = loop_add_fd(c.loop, fds[0], LOOP_READ, remove_other, &c);
    c.lfd = loop_add_fd(c.loop, fds[0], LOOP_READ, read_byte, &other);
    loop_run_once(c.loop, true);
    loop_run_once(c.loop, false);
    assert_int_equal(other.count, 0);
    loop_remove_fd(first);
    close(fds[0]);
    close(fds[1]);
}

static void test_regular_file_is_always_ready(void **state)
{
    Calls c = { .loop = loop_of(state), .fd = -1 };
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    c.lfd = loop_add_fd(c.loop, fd, LOOP_READ, read_byte, &c);
    loop_run_once(c.loop, true);
    loop_run_once(c.loop, true);
    assert_int_equal(c.count, 2);
    loop_remove_fd(c.lfd);
    close(fd);
}

static void ring(int fd)
{
    uint64_t one = 1;

    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void test_bell_is_heard_once_for_several_rings(void **state)
{
    Calls c = { .loop = loop_of(state) };
    int fd = eventfd(0, EFD_CLOEXEC);

    c.event = loop_add_event(c.loop, fd, count_call, NULL, &c);
    loop_run_once(c.loop, false);
    ring(fd);
    ring(fd);
    loop_run_once(c.loop, true);
    loop_run_once(c.loop, false);
    assert_int_equal(c.count, 1);
    ring(fd);
    loop_run_once(c.loop, true);
    assert_int_equal(c.count, 2);
    loop_remove_event(c.event);
    close(fd);
}

static void test_nonblocking_bell_is_heard(void **state)
{
    Calls c = { .loop = loop_of(state) };
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    c.event = loop_add_event(c.loop, fd, count_call, NULL, &c);
    loop_run_once(c.loop, false);
    ring(fd);
    loop_run_once(c.loop, true);
    assert_int_equal(c.count, 1);
    ring(fd);
    loop_run_once(c.loop, true);
    assert_int_equal(c.count, 2);
    loop_remove_event(c.event);
    close(fd);
}

static void test_removed_bell_keeps_a_ring_for_the_next_user(void **state)
{
    Calls c = { .loop = loop_of(state) };
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t value = 0;

    c.event = loop_add_event(c.loop, fd, count_call, NULL, &c);
    loop_run_once(c.loop, false);
    ring(fd);
    loop_remove_event(c.event);
    assert_int_equal(c.count, 0);
    assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
    assert_int_equal(value, 1);
    close(fd);
}

static bool has_work(void *opaque)
{
    ((Calls *)opaque)->fd++;
    return true;
}

static void test_polling_finds_work_without_a_ring(void **state)
{
    Calls c = { .loop = loop_of(state) };
    int fd = eventfd(0, EFD_CLOEXEC);
    Timer *timer = timer_new(c.loop, clock_realtime, count_call, &(Calls) { .loop = c.loop });

    c.event = loop_add_event(c.loop, fd, count_call, has_work, &c);
    loop_set_poll(c.loop, NS_PER_SEC, 0, 0);
    /* One short sleep teaches the loop to spin; there is none where the processor comes back too late for it. */
    while (!c.fd) {
        timer_mod(timer, clock_ns(clock_realtime) + 2 * NS_PER_MS);
        loop_run_once(c.loop, true);
        assert_int_equal(c.count, c.fd);
    }
    assert_int_equal(c.fd, 1);
    assert_int_equal(c.count, 1);
    timer_free(timer);
    loop_remove_event(c.event);
    close(fd);
}

static void requeue(void *opaque)
{
    Calls *c = opaque;

    if (++c->count < 3) {
        loop_batch(c->loop, &c->batch);
    }
}

static void test_io_is_spun_for_where_a_sleep_costs_more(void **state)
{
    LoopPolling p = { 0 };

    assert_int_equal(loop_poll_io_limit(&p), 0);
    loop_poll_io_slept(&p, 200000);
    loop_poll_io_spun(&p, 80000, 50000);
    assert_int_equal(loop_poll_io_limit(&p), 120000);
}

static void test_slow_io_is_spun_for_in_one_wait_of_128_only(void **state)
{
    LoopPolling p = { 0 };
    unsigned spins = 0;

    loop_poll_io_slept(&p, 5010000);
    loop_poll_io_spun(&p, 5000000, 250000);
    for (unsigned i = 0; i < 1280; i++) {
        uint64_t limit = loop_poll_io_limit(&p);

        if (limit) {
            spins++;
            loop_poll_io_spun(&p, 5000000, limit);
        } else {
            loop_poll_io_slept(&p, 5010000);
        }
    }
    assert_int_equal(spins, 10);
}

static void test_one_disturbed_spin_does_not_end_spinning(void **state)
{
    LoopPolling p = { 0 };

    loop_poll_io_slept(&p, 200000);
    loop_poll_io_spun(&p, 60000, 50000);
    loop_poll_io_spun(&p, 8000000, 8000000);
    assert_true(loop_poll_io_limit(&p) > 0);
}

static void test_one_disturbed_sleep_does_not_start_spinning(void **state)
{
    LoopPolling p = { 0 };

    loop_poll_io_slept(&p, 60000);
    loop_poll_io_spun(&p, 50000, 40000);
    loop_poll_io_slept(&p, 8000000);
    assert_int_equal(loop_poll_io_limit(&p), 0);
}

static void test_batch_runs_once_a_round(void **state)
{
    Calls c = { .loop = loop_of(state) };

    c.batch = (LoopBatch) { .fn = requeue, .opaque = &c };
    loop_batch(c.loop, &c.batch);
    loop_batch(c.loop, &c.batch);
    loop_run_once(c.loop, true);
    assert_int_equal(c.count, 1);
    loop_run_once(c.loop, true);
    assert_int_equal(c.count, 2);
    loop_run_once(c.loop, true);
    loop_run_once(c.loop, false);
    assert_int_equal(c.count, 3);
}

/* Counts, but not within a wait. */
static void reshape(void *opaque)
{
    Calls *c = opaque;

    if (!loop_defer(c->loop, &c->batch)) {
        c->count++;
    }
}

static void wait_for_requests(void *opaque)
{
    for (unsigned i = 0; i < 3; i++) {
        loop_run_once(((Calls *)opaque)->loop, false);
    }
}

static void wait_while_somebody_reshapes(void *opaque)
{
    Calls *c = opaque;

    loop_post(c->loop, reshape, c);
    wait_for_requests(c);
    assert_int_equal(c->count, 0);
}

static void test_what_reshapes_is_deferred_while_somebody_waits(void **state)
{
    Calls c = { .loop = loop_of(state) };

    c.batch = (LoopBatch) { .fn = reshape, .opaque = &c };
    loop_post(c.loop, wait_while_somebody_reshapes, &c);
    loop_run_once(c.loop, true);
    assert_int_equal(c.count, 0);
    loop_run_once(c.loop, true); /* does not sleep */
    assert_int_equal(c.count, 1);
    loop_run_once(c.loop, false);
    assert_int_equal(c.count, 1);
}

static void test_what_was_deferred_can_be_cancelled(void **state)
{
    Calls c = { .loop = loop_of(state) };

    c.batch = (LoopBatch) { .fn = reshape, .opaque = &c };
    loop_post(c.loop, wait_while_somebody_reshapes, &c);
    loop_run_once(c.loop, true);
    loop_batch_cancel(c.loop, &c.batch);
    loop_run_once(c.loop, false);
    assert_int_equal(c.count, 0);
}

static void test_batches_of_a_round_are_run_though_one_of_them_waits(void **state)
{
    Calls waiting = { .loop = loop_of(state) }, other = { .loop = waiting.loop };

    waiting.batch = (LoopBatch) { .fn = wait_for_requests, .opaque = &waiting };
    other.batch = (LoopBatch) { .fn = count_call, .opaque = &other };
    loop_batch(waiting.loop, &waiting.batch);
    loop_batch(waiting.loop, &other.batch);
    loop_run_once(waiting.loop, true);
    assert_int_equal(other.count, 1);
    assert_false(other.batch.queued);
}

static void ring_bell(void *opaque)
{
    Calls *c = opaque;

    loop_ring(c->loop, c->fd);
}

static void hear_bell(void *opaque)
{
    Calls *c = opaque;
    uint64_t rings = 0;

    if (read(c->fd, &rings, sizeof(rings)) == sizeof(rings)) {
        c->count += (int)rings;
    }
}

static void test_bell_that_a_batch_rings_is_heard_in_the_same_round(void **state)
{
    Calls c = { .loop = loop_of(state), .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };

    loop_run_once(c.loop, false);
    c.batch = (LoopBatch) { .fn = ring_bell, .opaque = &c };
    loop_batch(c.loop, &c.batch);
    loop_post(c.loop, hear_bell, &c);
    loop_run_once(c.loop, false);
    assert_int_equal(c.count, 1);
    close(c.fd);
}

static void test_bell_is_rung_before_the_loop_runs(void **state)
{
    Calls c = { .loop = loop_of(state), .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };

    loop_ring(c.loop, c.fd);
    hear_bell(&c);
    assert_int_equal(c.count, 1);
    close(c.fd);
}

typedef struct Request {
    LoopIo io;
    int result;
    bool done;
    pthread_t thread;
} Request;

static void request_done(LoopIo *io, int result)
{
    Request *r = io->opaque;

    r->result = result;
    r->done = true;
    r->thread = pthread_self();
}

static int run_request(Loop *loop, Request *r)
{
    r->io.done = request_done;
    r->io.opaque = r;
    r->done = false;
    loop_submit(loop, &r->io);
    while (!r->done) {
        loop_run_once(loop, true);
    }
    return r->result;
}

static int temporary_file(void)
{
    char name[] = "/tmp/lodge-test-XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    unlink(name);
    return fd;
}

static void test_written_bytes_are_read_back(void **state)
{
    Loop *loop = loop_of(state);
    char a[] = "hello ", b[] = "world", in[12] = "";
    struct iovec out[2] = { { a, 6 }, { b, 5 } }, back = { in, 11 };
    Request w = { .io = { .op = LOOP_IO_WRITEV, .fd = temporary_file(), .iov = out, .niov = 2, .offset = 4096 } };
    Request s = { .io = { .op = LOOP_IO_FDATASYNC, .fd = w.io.fd } };
    Request r = { .io = { .op = LOOP_IO_READV, .fd = w.io.fd, .iov = &back, .niov = 1, .offset = 4096 } };

    assert_int_equal(run_request(loop, &w), 11);
    assert_int_equal(run_request(loop, &s), 0);
    assert_int_equal(run_request(loop, &r), 11);
    assert_string_equal(in, "hello world");
    close(w.io.fd);
}

static void test_fallocate_sets_the_length(void **state)
{
    Loop *loop = loop_of(state);
    Request r = { .io = { .op = LOOP_IO_FALLOCATE, .fd = temporary_file(), .length = 65536 } };

    assert_int_equal(run_request(loop, &r), 0);
    assert_int_equal(lseek(r.io.fd, 0, SEEK_END), 65536);
    close(r.io.fd);
}

static void test_failed_io_completes_with_its_errno(void **state)
{
    Loop *loop = loop_of(state);
    char byte;
    struct iovec iov = { &byte, 1 };
    Request r = { .io = { .op = LOOP_IO_READV, .fd = -1, .iov = &iov, .niov = 1 } };

    assert_int_equal(run_request(loop, &r), -EBADF);
}

typedef struct Blocking {
    pthread_t thread;
} Blocking;

static int block(void *opaque)
{
    ((Blocking *)opaque)->thread = pthread_self();
    usleep(1000);
    return -ENODATA;
}

static void call_done(LoopIo *io, int result)
{
    *(int *)io->iov = result;
}

static void test_call_runs_on_a_worker_and_completes_on_the_loop(void **state)
{
    Loop *loop = loop_of(state);
    Blocking b;
    int result = 0;
    LoopIo io = { .op = LOOP_IO_CALL, .call = block, .done = call_done, .opaque = &b, .iov = (void *)&result };

    loop_submit(loop, &io);
    while (!result) {
        loop_run_once(loop, true);
    }
    assert_int_equal(result, -ENODATA);
    assert_false(pthread_equal(b.thread, pthread_self()));
}

static int block_long(void *opaque)
{
    usleep(50000);
    return -ENODATA;
}

static void test_call_under_way_completes_before_the_loop_is_gone(void **state)
{
    Loop *loop = loop_of(state);
    int result = 0;
    LoopIo io = { .op = LOOP_IO_CALL, .call = block_long, .done = call_done, .iov = (void *)&result };

    loop_submit(loop, &io);
    loop_free(loop);
    *state = NULL;
    assert_int_equal(result, -ENODATA);
}

typedef struct Many {
    LoopIo io[300];
    char bytes[300];
    struct iovec iov[300];
    int done;
} Many;

static void many_done(LoopIo *io, int result)
{
    assert_int_equal(result, 1);
    ((Many *)io->opaque)->done++;
}

static void test_more_requests_than_the_ring_holds_all_complete(void **state)
{
    Loop *loop = loop_of(state);
    Many *m = g_new0(Many, 1);
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    for (int i = 0; i < 300; i++) {
        m->iov[i] = (struct iovec) { &m->bytes[i], 1 };
        m->io[i] = (LoopIo) {
            .op = LOOP_IO_READV, .fd = fd, .iov = &m->iov[i], .niov = 1, .done = many_done, .opaque = m
        };
        loop_submit(loop, &m->io[i]);
    }
    while (m->done < 300) {
        loop_run_once(loop, true);
    }
    close(fd);
    g_free(m);
}

static void thread_of(void *opaque)
{
    *(pthread_t *)opaque = pthread_self();
}

static void test_call_waits_for_a_loop_on_its_own_thread(void **state)
{
    Loop *loop = loop_of(state);
    pthread_t there = pthread_self();

    assert_int_equal(loop_thread_id(loop), 0);
    assert_true(loop_thread_start(loop, NULL));
    loop_call(loop, thread_of, &there);
    assert_false(pthread_equal(there, pthread_self()));
    assert_int_not_equal(loop_thread_id(loop), 0);
    loop_thread_join(loop);
    assert_int_equal(loop_thread_id(loop), 0);
}

static void test_descriptor_added_before_the_thread_starts_is_served_by_it(void **state)
{
    Loop *loop = loop_of(state);
    Calls c = { .loop = loop };
    int fd = eventfd(0, EFD_CLOEXEC);

    c.event = loop_add_event(loop, fd, stop_loop, NULL, &c);
    ring(fd);
    assert_true(loop_thread_start(loop, NULL));
    while (loop_thread_id(loop) == 0 && !__atomic_load_n(&c.count, __ATOMIC_SEQ_CST)) {
        usleep(100);
    }
    loop_thread_join(loop);
    assert_int_equal(c.count, 1);
    loop_remove_event(c.event);
    close(fd);
}

static gboolean idle_source(gpointer data)
{
    ((Calls *)data)->count++;
    return G_SOURCE_REMOVE;
}

static void test_glib_sources_run_in_the_loop(void **state)
{
    Calls idle = { .loop = loop_of(state) }, late = { .loop = idle.loop };
    GMainContext *context = g_main_context_new();
    GSource *source = g_idle_source_new(), *timeout = g_timeout_source_new(5);

    loop_attach_glib(idle.loop, context);
    g_source_set_callback(source, idle_source, &idle, NULL);
    g_source_attach(source, context);
    g_source_set_callback(timeout, idle_source, &late, NULL);
    g_source_attach(timeout, context);
    loop_run_once(idle.loop, true);
    assert_int_equal(idle.count, 1);
    while (!late.count) {
        loop_run_once(idle.loop, true);
    }
    g_source_unref(source);
    g_source_unref(timeout);
    g_main_context_unref(context);
}

static gboolean glib_fd_source(gint fd, GIOCondition condition, gpointer data)
{
    Calls *c = data;
    char byte;

    c->count++;
    assert_int_equal(read(fd, &byte, 1), 1);
    return G_SOURCE_CONTINUE;
}

static void test_glib_descriptors_are_polled_by_the_loop(void **state)
{
    Calls c = { .loop = loop_of(state) };
    GMainContext *context = g_main_context_new();
    GSource *source;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    loop_attach_glib(c.loop, context);
    source = g_unix_fd_source_new(fds[0], G_IO_IN);
    g_source_set_callback(source, G_SOURCE_FUNC(glib_fd_source), &c, NULL);
    g_source_attach(source, context);
    loop_run_once(c.loop, false);
    assert_int_equal(c.count, 0);
    assert_int_equal(write(fds[1], "ab", 2), 2);
    while (c.count < 2) {
        loop_run_once(c.loop, true);
    }
    loop_run_once(c.loop, false);
    assert_int_equal(c.count, 2);
    g_source_destroy(source);
    g_source_unref(source);
    loop_run_once(c.loop, false);
    close(fds[0]);
    close(fds[1]);
    g_main_context_unref(context);
}

static gboolean stop_source(gpointer data)
{
    stop_loop(data);
    return G_SOURCE_REMOVE;
}

typedef struct Attach {
    GMainContext *context;
    Calls *calls;
} Attach;

static void *attach_later(void *opaque)
{
    Attach *a = opaque;

    usleep(10000);
    g_main_context_invoke(a->context, stop_source, a->calls);
    return NULL;
}

static void test_glib_source_attached_by_another_thread_wakes_the_loop(void **state)
{
    Calls c = { .loop = loop_of(state) };
    Attach a = { g_main_context_new(), &c };
    pthread_t thread;

    loop_attach_glib(c.loop, a.context);
    assert_int_equal(pthread_create(&thread, NULL, attach_later, &a), 0);
    loop_run(c.loop);
    assert_int_equal(c.count, 1);
    pthread_join(thread, NULL);
    g_main_context_unref(a.context);
}

#define BOTH(TEST)                                                                                                     \
    { #TEST " on io_uring", TEST, setup_uring, teardown, NULL }, { #TEST " on epoll", TEST, setup_epoll, teardown, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_posts_run_in_order),
        BOTH(test_post_wakes_a_sleeping_loop),
        BOTH(test_no_post_of_two_threads_is_lost),
        BOTH(test_readable_descriptor_is_reported_until_it_is_drained),
        BOTH(test_end_of_the_peer_shows_as_readable_and_hangup),
        BOTH(test_write_interest_can_be_switched),
        BOTH(test_half_a_peer_is_waited_for_asleep),
        BOTH(test_descriptor_removed_in_its_callback_is_silent),
        BOTH(test_descriptor_removed_by_another_callback_is_silent),
        BOTH(test_regular_file_is_always_ready),
        BOTH(test_bell_is_heard_once_for_several_rings),
        BOTH(test_nonblocking_bell_is_heard),
        BOTH(test_removed_bell_keeps_a_ring_for_the_next_user),
        BOTH(test_polling_finds_work_without_a_ring),
        cmocka_unit_test(test_io_is_spun_for_where_a_sleep_costs_more),
        cmocka_unit_test(test_slow_io_is_spun_for_in_one_wait_of_128_only),
        cmocka_unit_test(test_one_disturbed_spin_does_not_end_spinning),
        cmocka_unit_test(test_one_disturbed_sleep_does_not_start_spinning),
        BOTH(test_batch_runs_once_a_round),
        BOTH(test_what_reshapes_is_deferred_while_somebody_waits),
        BOTH(test_what_was_deferred_can_be_cancelled),
        BOTH(test_batches_of_a_round_are_run_though_one_of_them_waits),
        BOTH(test_bell_that_a_batch_rings_is_heard_in_the_same_round),
        BOTH(test_bell_is_rung_before_the_loop_runs),
        BOTH(test_written_bytes_are_read_back),
        BOTH(test_fallocate_sets_the_length),
        BOTH(test_failed_io_completes_with_its_errno),
        BOTH(test_call_runs_on_a_worker_and_completes_on_the_loop),
        BOTH(test_call_under_way_completes_before_the_loop_is_gone),
        BOTH(test_more_requests_than_the_ring_holds_all_complete),
        BOTH(test_call_waits_for_a_loop_on_its_own_thread),
        BOTH(test_descriptor_added_before_the_thread_starts_is_served_by_it),
        BOTH(test_glib_sources_run_in_the_loop),
        BOTH(test_glib_descriptors_are_polled_by_the_loop),
        BOTH(test_glib_source_attached_by_another_thread_wakes_the_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
