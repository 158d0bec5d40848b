/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/migrate-channel.c, vmm/migrate-lifeline.c: what a domain moves through, and whether the other end lives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/migrate-lifeline.h"
#include "vmm/timer.h"

static MigrateChannel *channel_on(int fd)
{
    MigrateChannel *channel = migrate_channel_new();

    assert_true(migrate_channel_adopt(channel, fd, NULL));
    return channel;
}

static void *cancel_soon(void *opaque)
{
    usleep(20000);
    migrate_channel_cancel(opaque);
    return NULL;
}

static void test_who_waits_can_be_cancelled(void **state)
{
    g_autofree uint8_t *much = g_malloc0(8 << 20);
    g_autoptr(GError) error = NULL;
    MigrateChannel *channel;
    pthread_t thread;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    channel = channel_on(fds[0]);
    pthread_create(&thread, NULL, cancel_soon, channel);
    assert_false(migrate_channel_write(channel, NULL, 0, much, 8 << 20, &error));
    assert_string_equal(error->message, "the migration was cancelled");
    pthread_join(thread, NULL);
    migrate_channel_free(channel);
    close(fds[1]);
}

static void *read_soon(void *opaque)
{
    const int *fd = opaque;
    uint8_t bytes[4096], last = 0;
    ssize_t n;

    usleep(20000);
    while ((n = read(*fd, bytes, sizeof(bytes))) > 0) {
        last = bytes[n - 1];
    }
    return GUINT_TO_POINTER(last);
}

static void test_the_last_word_waits_for_its_place(void **state)
{
    MigrateChannel *channel;
    pthread_t thread;
    void *last;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    channel = channel_on(fds[0]);
    while (send(fds[0], "aaaaaaaaaaaaaaa", 15, MSG_NOSIGNAL) > 0) {
    }
    assert_int_equal(pthread_create(&thread, NULL, read_soon, &fds[1]), 0);
    migrate_channel_say(channel, "word", 4);
    migrate_channel_free(channel);
    pthread_join(thread, &last);
    assert_int_equal(GPOINTER_TO_UINT(last), 'd');
    close(fds[1]);
}

static void test_a_limit_is_kept(void **state)
{
    g_autofree uint8_t *bytes = g_malloc0(1 << 16);
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    MigrateChannel *channel = channel_on(fd);
    int64_t began = clock_ns(clock_realtime), took;

    migrate_channel_set_limit(channel, 10 << 20);
    for (unsigned i = 0; i < 32; i++) { /* 2 MiB at 10 MiB a second */
        assert_true(migrate_channel_write(channel, NULL, 0, bytes, 1 << 16, NULL));
    }
    took = clock_ns(clock_realtime) - began;
    assert_true(took > 140 * NS_PER_MS);
    migrate_channel_free(channel);
}

/* ---- whether the other end lives ---- */

/* Both ends of a migration that has begun, over whatever lies between. */
typedef struct Ends {
    MigrateChannel *source, *destination;
    MigrateLifeline *ours, *theirs;
} Ends;

static Ends ends_over(int source, int destination)
{
    Ends e = { channel_on(source), channel_on(destination), migrate_lifeline_new(), NULL };

    assert_non_null(e.ours);
    migrate_lifeline_pass(e.ours, e.source);
    assert_true(migrate_channel_write(e.source, "header", 6, NULL, 0, NULL));
    return e;
}

static void arrive(Ends *e)
{
    char text[6];

    assert_true(migrate_channel_read(e->destination, text, sizeof(text), NULL));
    assert_memory_equal(text, "header", sizeof(text));
    e->theirs = migrate_lifeline_take(e->destination);
}

static void ends_free(Ends *e)
{
    migrate_channel_free(e->source);
    migrate_channel_free(e->destination);
    migrate_lifeline_free(e->ours);
    migrate_lifeline_free(e->theirs);
}

static void test_an_end_that_dies_is_told_from_one_that_lives(void **state)
{
    int fds[2];
    Ends e;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    e = ends_over(fds[0], fds[1]);
    assert_false(migrate_lifeline_is_taken(e.ours));
    arrive(&e);
    assert_non_null(e.theirs);
    assert_true(migrate_lifeline_is_taken(e.ours));
    assert_int_equal(migrate_lifeline_fate(e.theirs, e.destination, 20), MIGRATE_FATE_UNKNOWN);
    migrate_lifeline_say(e.theirs); /* it runs there */
    g_clear_pointer(&e.theirs, migrate_lifeline_free);
    assert_int_equal(migrate_lifeline_fate(e.ours, e.source, 20), MIGRATE_FATE_SPOKEN);
    assert_int_equal(migrate_lifeline_fate(e.ours, e.source, 20), MIGRATE_FATE_DEAD);
    ends_free(&e);
}

static void test_a_source_that_gives_up_has_not_died(void **state)
{
    int fds[2];
    Ends e;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    e = ends_over(fds[0], fds[1]);
    arrive(&e);
    migrate_lifeline_say(e.ours);
    g_clear_pointer(&e.ours, migrate_lifeline_free);
    assert_int_equal(migrate_lifeline_fate(e.theirs, e.destination, 20), MIGRATE_FATE_SPOKEN);
    ends_free(&e);
}

static void test_no_relay_passes_a_lifeline_on(void **state)
{
    int near[2], far[2];
    char text[6];
    Ends e;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, near), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, far), 0);
    e = ends_over(near[0], far[1]);
    assert_int_equal(read(near[1], text, sizeof(text)), sizeof(text));
    assert_int_equal(write(far[0], text, sizeof(text)), sizeof(text));
    arrive(&e);
    assert_null(e.theirs);
    assert_false(migrate_lifeline_is_taken(e.ours));
    assert_int_equal(migrate_lifeline_fate(e.theirs, e.destination, 20), MIGRATE_FATE_UNKNOWN);
    ends_free(&e);
    close(near[1]);
    close(far[0]);
}

/* Two ends of a connection, and a pipe beside it. */
static void connect_ends(MigrateChannel **ret_source, MigrateChannel **ret_destination, int ret_pipe[2])
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(pipe2(ret_pipe, O_CLOEXEC), 0);
    *ret_source = channel_on(fds[0]);
    *ret_destination = channel_on(fds[1]);
}

static void test_a_descriptor_that_is_no_socket_is_no_lifeline(void **state)
{
    MigrateChannel *source, *destination;
    char text[4];
    int other[2];

    connect_ends(&source, &destination, other);
    migrate_channel_attach(source, other[1]);
    assert_true(migrate_channel_write(source, "text", 4, NULL, 0, NULL));
    assert_true(migrate_channel_read(destination, text, sizeof(text), NULL));
    assert_null(migrate_lifeline_take(destination));
    assert_int_equal(read(other[0], text, 1), 0); /* nobody has kept it */
    migrate_channel_free(source);
    migrate_channel_free(destination);
    close(other[0]);
}

static void test_a_source_takes_no_descriptor_with_the_answer(void **state)
{
    MigrateChannel *source, *destination;
    char text[4];
    int other[2];

    connect_ends(&source, &destination, other);
    assert_true(migrate_channel_write(source, "text", 4, NULL, 0, NULL));
    assert_true(migrate_channel_read(destination, text, sizeof(text), NULL));
    migrate_channel_attach(destination, other[1]);
    assert_true(migrate_channel_write(destination, "text", 4, NULL, 0, NULL));
    assert_true(migrate_channel_read(source, text, sizeof(text), NULL));
    assert_int_equal(migrate_channel_detach(source), -1);
    assert_int_equal(read(other[0], text, 1), 0); /* nobody has kept it */
    migrate_channel_free(source);
    migrate_channel_free(destination);
    close(other[0]);
}

/* A descriptor that is none cannot be sent, as one cannot where too many are on their way. */
static void test_a_descriptor_that_cannot_go_stays_behind(void **state)
{
    int fds[2], bad;
    MigrateChannel *source, *destination;
    char text[4];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    source = channel_on(fds[0]);
    destination = channel_on(fds[1]);
    bad = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(bad);
    migrate_channel_attach(source, bad);
    assert_true(migrate_channel_write(source, "text", 4, NULL, 0, NULL));
    assert_true(migrate_channel_read(destination, text, sizeof(text), NULL));
    assert_memory_equal(text, "text", 4);
    assert_int_equal(migrate_channel_detach(destination), -1);
    migrate_channel_free(source);
    migrate_channel_free(destination);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_waits_can_be_cancelled),
        cmocka_unit_test(test_the_last_word_waits_for_its_place),
        cmocka_unit_test(test_a_limit_is_kept),
        cmocka_unit_test(test_an_end_that_dies_is_told_from_one_that_lives),
        cmocka_unit_test(test_a_source_that_gives_up_has_not_died),
        cmocka_unit_test(test_no_relay_passes_a_lifeline_on),
        cmocka_unit_test(test_a_descriptor_that_is_no_socket_is_no_lifeline),
        cmocka_unit_test(test_a_source_takes_no_descriptor_with_the_answer),
        cmocka_unit_test(test_a_descriptor_that_cannot_go_stays_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
