/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/chardev-output.c: what a slow reader gets of the domain's last words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chardev-rig.h"
#include "vmm/chardev-internal.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/timer.h"

#define BLOCK 600000 /* more than the host and the chardev keep together */

/* A device that has more to say than there is room for: it goes on when it is told. */
typedef struct Talker {
    Chardev *chr;
    uint8_t *block;
    size_t said;
} Talker;

static void talk(void *opaque)
{
    Talker *t = opaque;

    t->said += chardev_write(t->chr, t->block + t->said, BLOCK - t->said);
    if (t->said < BLOCK) {
        chardev_want_write(t->chr);
    }
}

static void talk_into(Rig *r, Talker *t)
{
    const ChardevFrontend fe = { .writable = talk, .opaque = t };

    t->block = g_malloc(BLOCK);
    for (size_t i = 0; i < BLOCK; i++) {
        t->block[i] = (uint8_t)(i * 7 + i / 251);
    }
    t->chr = r->chr;
    chardev_detach(r->chr, r);
    assert_true(chardev_attach(r->chr, &fe, NULL));
    talk(t);
    assert_true(t->said < BLOCK);
}

/* Begins to read after a while, and reads to the end. */
typedef struct Reader {
    int fd;
    GByteArray *got;
    pthread_t thread;
} Reader;

static void *read_late(void *opaque)
{
    Reader *reader = opaque;
    uint8_t data[4096];
    ssize_t n;

    g_usleep(200000);
    while ((n = read(reader->fd, data, sizeof(data))) > 0) {
        g_byte_array_append(reader->got, data, (guint)n);
    }
    return NULL;
}

static void start_reader(Reader *reader, int fd)
{
    reader->fd = fd;
    reader->got = g_byte_array_new();
    assert_int_equal(pthread_create(&reader->thread, NULL, read_late, reader), 0);
}

/* The domain ends. */
static void end(Rig *r, void *front)
{
    chardev_flush_all(r->domain);
    chardev_detach(r->chr, front);
    r->chr = NULL;
    chardev_remove_all(r->domain);
    rig_settle(r); /* an engine lets go of descriptors in its next round */
}

static void assert_all_is_heard(Rig *r, Talker *t, Reader *reader)
{
    end(r, t);
    pthread_join(reader->thread, NULL);
    assert_int_equal(reader->got->len, BLOCK);
    assert_memory_equal(reader->got->data, t->block, BLOCK);
    g_byte_array_unref(reader->got);
    close(reader->fd);
    g_free(t->block);
}

static void add_fifos(Rig *r)
{
    g_autofree char *in = g_strconcat(r->path, ".in", NULL), *out = g_strconcat(r->path, ".out", NULL);
    g_autofree char *text = g_strdup_printf("pipe,id=c,path=%s", r->path);

    assert_int_equal(mkfifo(in, 0600), 0);
    assert_int_equal(mkfifo(out, 0600), 0);
    rig_add(r, text);
}

static int open_pipe_reader(Rig *r)
{
    g_autofree char *out = g_strconcat(r->path, ".out", NULL);
    int fd = open(out, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static int connect_peer(Rig *r)
{
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,server=on,wait=off", r->path);
    int peer;

    rig_add(r, text);
    peer = host_connect_unix(r->path, NULL);
    assert_true(peer >= 0);
    fcntl(peer, F_SETFL, 0);
    rig_settle(r);
    return peer;
}

static int open_terminal(Rig *r)
{
    g_autofree char *name = NULL;
    int fd;

    rig_add(r, "pty,id=c");
    name = chardev_filename(r->chr);
    fd = open(name + strlen("pty:"), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(fd >= 0);
    rig_run_until(r, "O");
    return fd;
}

static void test_slow_reader_of_a_pipe_gets_all(void **state)
{
    Rig *r = *state;
    Reader reader;
    Talker t = { 0 };

    add_fifos(r);
    start_reader(&reader, open_pipe_reader(r));
    talk_into(r, &t);
    assert_all_is_heard(r, &t, &reader);
}

static void test_slow_peer_of_a_socket_gets_all(void **state)
{
    Rig *r = *state;
    Reader reader;
    Talker t = { 0 };

    start_reader(&reader, connect_peer(r));
    talk_into(r, &t);
    assert_all_is_heard(r, &t, &reader);
}

static void test_slow_peer_of_a_terminal_gets_all(void **state)
{
    Rig *r = *state;
    Reader reader;
    Talker t = { 0 };

    start_reader(&reader, open_terminal(r));
    talk_into(r, &t);
    assert_all_is_heard(r, &t, &reader);
}

static void test_terminal_waits_for_what_the_kernel_has(void **state)
{
    Rig *r = *state;
    Reader reader;

    start_reader(&reader, open_terminal(r));
    rig_say(r, "last words");
    end(r, r);
    pthread_join(reader.thread, NULL);
    assert_int_equal(reader.got->len, strlen("last words"));
    assert_memory_equal(reader.got->data, "last words", strlen("last words"));
    g_byte_array_unref(reader.got);
    close(reader.fd);
}

static void test_tcp_peer_that_was_not_listened_to_gets_all(void **state)
{
    Rig *r = *state;
    g_autofree uint8_t *block = g_malloc0(BLOCK);
    size_t said;
    Reader reader;
    int peer;

    rig_add(r, "socket,id=c,host=127.0.0.1,port=47116,server=on,wait=off");
    peer = host_connect_tcp("127.0.0.1", "47116", true, false, NULL);
    assert_true(peer >= 0);
    fcntl(peer, F_SETFL, 0);
    rig_settle(r);
    r->room = 0;
    assert_int_equal(write(peer, "unread", 6), 6);
    rig_settle(r);
    said = chardev_write(r->chr, block, BLOCK);
    start_reader(&reader, peer);
    end(r, r);
    pthread_join(reader.thread, NULL);
    assert_int_equal(reader.got->len, said);
    g_byte_array_unref(reader.got);
    close(peer);
}

/* Standard error, where the log goes, is a pipe meanwhile. */
static char *end_and_hear_the_log(Rig *r, void *front)
{
    int err = dup(STDERR_FILENO), p[2];
    char *text;

    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    dup2(p[1], STDERR_FILENO);
    close(p[1]);
    end(r, front);
    dup2(err, STDERR_FILENO);
    close(err);
    text = rig_drain(p[0]);
    close(p[0]);
    return text;
}

static void test_reader_that_never_reads_is_given_up_and_named(void **state)
{
    Rig *r = *state;
    g_autofree char *log = NULL, *expected = NULL;
    Talker t = { 0 };
    int64_t began;
    int peer;

    add_fifos(r);
    peer = open_pipe_reader(r);
    talk_into(r, &t);
    rig_settle(r);
    expected = g_strdup_printf("lodge: warning: c: its reader is slow: the last %zu bytes are lost\n",
                               r->chr->out_used);
    assert_true(r->chr->out_used > 0);
    began = clock_ns(clock_realtime);
    log = end_and_hear_the_log(r, &t);
    assert_in_range(clock_ns(clock_realtime) - began, NS_PER_SEC, 3 * NS_PER_SEC);
    assert_string_equal(log, expected);
    close(peer);
    g_free(t.block);
}

static void test_reader_that_leaves_is_not_waited_for(void **state)
{
    Rig *r = *state;
    g_autofree char *log = NULL;
    Talker t = { 0 };
    int64_t began;
    int peer = open_terminal(r);

    talk_into(r, &t);
    close(peer);
    began = clock_ns(clock_realtime);
    log = end_and_hear_the_log(r, &t);
    assert_true(clock_ns(clock_realtime) - began < NS_PER_SEC / 2);
    assert_string_equal(log, "");
    g_free(t.block);
}

static void test_nothing_pending_delays_nothing(void **state)
{
    Rig *r = *state;
    int peer = connect_peer(r);
    int64_t began;

    rig_say(r, "in the socket's buffer");
    began = clock_ns(clock_realtime);
    end(r, r);
    assert_true(clock_ns(clock_realtime) - began < NS_PER_SEC / 10);
    close(peer);
}

#define ROW(TEST) cmocka_unit_test_setup_teardown(TEST, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_slow_reader_of_a_pipe_gets_all),
        ROW(test_slow_peer_of_a_socket_gets_all),
        ROW(test_slow_peer_of_a_terminal_gets_all),
        ROW(test_terminal_waits_for_what_the_kernel_has),
        ROW(test_tcp_peer_that_was_not_listened_to_gets_all),
        ROW(test_reader_that_never_reads_is_given_up_and_named),
        ROW(test_reader_that_leaves_is_not_waited_for),
        ROW(test_nothing_pending_delays_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
