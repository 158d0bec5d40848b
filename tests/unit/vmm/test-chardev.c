/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/chardev*.c: each backend with a front end of the test, on a domain without a machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chardev-rig.h"
#include "vmm/chardev-internal.h"
#include "vmm/domain.h"
#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/host.h"

/* ---- file, null, ringbuf, pipe ---- */

static void test_file_gets_the_output(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("file,id=c,path=%s", r->path), *got = NULL;

    rig_add(r, text);
    rig_say(r, "hello ");
    rig_say(r, "world");
    got = rig_contents(r->path);
    assert_string_equal(got, "hello world");
}

static void test_file_is_truncated_or_appended_to(void **state)
{
    Rig *r = *state;
    g_autofree char *fresh = g_strdup_printf("file,id=fresh,path=%s", r->path);
    g_autofree char *more = g_strdup_printf("file,id=more,path=%s,append=on", r->path), *got = NULL;

    assert_true(g_file_set_contents(r->path, "old", -1, NULL));
    assert_non_null(chardev_add_text(r->domain, fresh, NULL));
    assert_int_equal(chardev_write(chardev_find(r->domain, "fresh", NULL), (const uint8_t *)"a", 1), 1);
    assert_true(chardev_remove(r->domain, "fresh", NULL));
    assert_non_null(chardev_add_text(r->domain, more, NULL));
    assert_int_equal(chardev_write(chardev_find(r->domain, "more", NULL), (const uint8_t *)"b", 1), 1);
    got = rig_contents(r->path);
    assert_string_equal(got, "ab");
}

static void test_file_gives_input(void **state)
{
    Rig *r = *state;
    g_autofree char *in = g_strconcat(r->path, "-in", NULL);
    g_autofree char *text = g_strdup_printf("file,id=c,path=%s,input-path=%s", r->path, in);

    assert_true(g_file_set_contents(in, "typed", -1, NULL));
    rig_add(r, text);
    assert_string_equal(r->in, "typed");
}

static void test_input_waits_until_the_front_end_has_room(void **state)
{
    Rig *r = *state;
    g_autofree char *in = g_strconcat(r->path, "-in", NULL);
    g_autofree char *text = g_strdup_printf("file,id=c,path=%s,input-path=%s", r->path, in);

    assert_true(g_file_set_contents(in, "typed", -1, NULL));
    r->room = 2;
    rig_add(r, text);
    assert_string_equal(r->in, "ty");
    r->room = 2;
    chardev_accept_input(r->chr);
    rig_settle(r);
    assert_string_equal(r->in, "type");
}

static void test_null_takes_everything(void **state)
{
    Rig *r = *state;

    rig_add(r, "null,id=c");
    rig_say(r, "gone");
    assert_string_equal(r->events, "O");
}

static void test_ringbuf_keeps_the_newest(void **state)
{
    Rig *r = *state;
    uint8_t got[16] = { 0 };

    rig_add(r, "ringbuf,id=c,size=8");
    rig_say(r, "0123456789");
    assert_int_equal(chardev_ringbuf_read(r->chr, got, 3), 3);
    assert_memory_equal(got, "234", 3);
    assert_int_equal(chardev_ringbuf_read(r->chr, got, sizeof(got)), 5);
    assert_memory_equal(got, "56789", 5);
}

static void test_ringbuf_of_an_odd_size_is_refused(void **state)
{
    g_autofree char *message = rig_error(*state, "ringbuf,id=c,size=100");

    assert_non_null(strstr(message, "power of two"));
}

static void test_pipe_goes_both_ways(void **state)
{
    Rig *r = *state;
    g_autofree char *in = g_strconcat(r->path, ".in", NULL), *out = g_strconcat(r->path, ".out", NULL);
    g_autofree char *text = g_strdup_printf("pipe,id=c,path=%s", r->path), *got = NULL;
    int to, from;

    assert_int_equal(mkfifo(in, 0600), 0);
    assert_int_equal(mkfifo(out, 0600), 0);
    rig_add(r, text);
    to = open(in, O_WRONLY | O_CLOEXEC);
    from = open(out, O_RDONLY | O_CLOEXEC);
    assert_int_equal(write(to, "in", 2), 2);
    rig_say(r, "out");
    got = rig_drain(from);
    assert_string_equal(r->in, "in");
    assert_string_equal(got, "out");
    close(to);
    close(from);
}

static void test_full_pipe_blocks_nobody_and_loses_nothing(void **state)
{
    Rig *r = *state;
    g_autofree char *in = g_strconcat(r->path, ".in", NULL), *out = g_strconcat(r->path, ".out", NULL);
    g_autofree char *text = g_strdup_printf("pipe,id=c,path=%s", r->path);
    g_autofree uint8_t *block = g_malloc(300000);
    g_autofree char *first = NULL, *rest = NULL;
    size_t taken;
    int from;

    assert_int_equal(mkfifo(in, 0600), 0);
    assert_int_equal(mkfifo(out, 0600), 0);
    memset(block, 'x', 300000);
    rig_add(r, text);
    from = open(out, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    taken = chardev_write(r->chr, block, 300000); /* 64K in the pipe, 64K kept */
    assert_true(taken >= 65536 && taken < 300000);
    chardev_want_write(r->chr);
    rig_settle(r);
    assert_int_equal(r->writable, 0);
    first = rig_drain(from);
    rig_settle(r);
    assert_int_equal(r->writable, 1);
    rest = rig_drain(from);
    assert_int_equal(strlen(first) + strlen(rest), taken);
    close(from);
}

static void test_log_file_gets_a_copy(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("null,id=c,logfile=%s", r->path), *got = NULL;

    rig_add(r, text);
    rig_say(r, "logged");
    got = rig_contents(r->path);
    assert_string_equal(got, "logged");
}

/* ---- socket ---- */

static void test_server_takes_one_peer_after_the_other(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,server=on,wait=off", r->path);
    g_autofree char *got = NULL;
    int peer;

    rig_add(r, text);
    assert_string_equal(r->events, "");
    peer = host_connect_unix(r->path, NULL);
    assert_true(peer >= 0);
    assert_int_equal(write(peer, "in", 2), 2);
    rig_settle(r);
    rig_say(r, "out");
    got = rig_drain(peer);
    assert_string_equal(got, "out");
    assert_string_equal(r->in, "in");
    close(peer);
    rig_settle(r);
    peer = host_connect_unix(r->path, NULL);
    assert_int_equal(write(peer, "again", 5), 5);
    rig_settle(r);
    assert_string_equal(r->in, "inagain");
    assert_string_equal(r->events, "OCO");
    close(peer);
}

static void test_socket_of_a_server_is_private_and_removed_with_it(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,server,nowait", r->path);
    struct stat st;

    rig_add(r, text);
    assert_int_equal(stat(r->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    chardev_detach(r->chr, r);
    assert_true(chardev_remove(r->domain, "c", NULL));
    r->chr = NULL;
    assert_int_not_equal(stat(r->path, &st), 0);
}

static void test_output_without_a_peer_is_taken_and_lost(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,server=on,wait=off", r->path), *got = NULL;
    int peer;

    rig_add(r, text);
    rig_say(r, "lost");
    peer = host_connect_unix(r->path, NULL);
    rig_settle(r);
    rig_say(r, "heard");
    got = rig_drain(peer);
    assert_string_equal(got, "heard");
    close(peer);
}

static void test_peer_that_vanishes_with_output_pending_frees_the_writer(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,server=on,wait=off", r->path);
    g_autofree uint8_t *block = g_malloc0(4 << 20);
    int peer;

    rig_add(r, text);
    peer = host_connect_unix(r->path, NULL);
    rig_settle(r);
    assert_true(chardev_write(r->chr, block, 4 << 20) < 4 << 20);
    chardev_want_write(r->chr);
    rig_settle(r);
    assert_int_equal(r->writable, 0);
    close(peer);
    rig_settle(r);
    assert_int_equal(r->writable, 1);
    assert_string_equal(r->events, "OC");
    rig_say(r, "to nobody");
}

static void test_descriptor_comes_with_the_bytes(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,server=on,wait=off", r->path);
    char byte = 'f';
    struct iovec iov = { &byte, 1 };
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    int peer, sent = open("/dev/null", O_RDONLY | O_CLOEXEC);

    control.header = (struct cmsghdr) { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
    memcpy(CMSG_DATA(&control.header), &sent, sizeof(sent));
    rig_add(r, text);
    peer = host_connect_unix(r->path, NULL);
    rig_settle(r);
    assert_int_equal(sendmsg(peer, &msg, 0), 1);
    rig_settle(r);
    assert_string_equal(r->in, "f");
    assert_true(r->fd >= 0 && r->fd != sent);
    assert_int_equal(chardev_take_fd(r->chr), -1);
    close(r->fd);
    close(sent);
    close(peer);
}

static void test_client_reconnects(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,reconnect=1", r->path);
    int listener, peer;

    rig_add(r, text);
    assert_string_equal(r->events, "");
    listener = host_listen_unix(r->path, NULL);
    assert_true(listener >= 0);
    rig_run_until(r, "O");
    peer = accept(listener, NULL, NULL);
    close(peer);
    rig_run_until(r, "OCO");
    close(listener);
}

static void test_client_removed_while_it_connects_leaves_nothing(void **state)
{
    Rig *r = *state;

    assert_non_null(chardev_add_text(r->domain, "socket,id=c,host=127.0.0.1,port=1,reconnect=1", NULL));
    assert_true(chardev_remove(r->domain, "c", NULL));
    rig_settle(r);
}

static void test_tcp_goes_both_ways(void **state)
{
    Rig *r = *state;
    g_autofree char *got = NULL;
    int peer;

    rig_add(r, "socket,id=c,host=127.0.0.1,port=47113,server=on,wait=off,nodelay=on");
    peer = host_connect_tcp("127.0.0.1", "47113", true, false, NULL);
    assert_true(peer >= 0);
    assert_int_equal(write(peer, "in", 2), 2);
    rig_settle(r);
    rig_say(r, "out");
    got = rig_drain(peer);
    assert_string_equal(got, "out");
    assert_string_equal(r->in, "in");
    close(peer);
}

static void test_abstract_socket_leaves_no_file(void **state)
{
    Rig *r = *state;
    int peer;

    rig_add(r, "socket,id=c,path=lodge-test-abstract,abstract=on,server=on,wait=off");
    peer = host_connect_unix("@lodge-test-abstract", NULL);
    assert_true(peer >= 0);
    rig_settle(r);
    assert_string_equal(r->events, "O");
    assert_false(g_file_test("lodge-test-abstract", G_FILE_TEST_EXISTS));
    close(peer);
}

static void test_given_descriptor_is_used(void **state)
{
    Rig *r = *state;
    g_autofree char *text = NULL, *got = NULL;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    text = g_strdup_printf("socket,id=c,fd=%d", fds[0]);
    rig_add(r, text);
    rig_say(r, "out");
    got = rig_drain(fds[1]);
    assert_string_equal(got, "out");
    close(fds[1]);
}

typedef struct LatePeer {
    const char *path;
    int fd;
} LatePeer;

static void *connect_late(void *opaque)
{
    LatePeer *p = opaque;

    while ((p->fd = host_connect_unix(p->path, NULL)) < 0) {
        g_usleep(5000);
    }
    return NULL;
}

static void test_waiting_server_is_added_when_the_peer_is_there(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,server=on", r->path);
    LatePeer p = { .path = r->path };
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, connect_late, &p), 0);
    rig_add(r, text);
    pthread_join(thread, NULL);
    assert_string_equal(r->events, "O");
    close(p.fd);
}

static void test_socket_options_that_contradict_are_refused(void **state)
{
    Rig *r = *state;
    g_autofree char *none = rig_error(r, "socket,id=c");
    g_autofree char *both = rig_error(r, "socket,id=c,path=/x,host=h,port=1");
    g_autofree char *wait = rig_error(r, "socket,id=c,path=/x,wait=on");
    g_autofree char *reconnect = rig_error(r, "socket,id=c,path=/x,server=on,reconnect=1");
    g_autofree char *telnet = rig_error(r, "socket,id=c,path=/x,telnet=on");

    assert_non_null(strstr(none, "'path'"));
    assert_non_null(strstr(both, "one of"));
    assert_non_null(strstr(wait, "'wait'"));
    assert_non_null(strstr(reconnect, "'reconnect'"));
    assert_non_null(strstr(telnet, "telnet"));
}

static void test_socket_in_use_is_refused_and_a_dead_one_replaced(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,server=on,wait=off", r->path), *message = NULL;
    int other = host_listen_unix(r->path, NULL);

    message = rig_error(r, text);
    assert_non_null(strstr(message, "cannot listen"));
    close(other);
    rig_add(r, text);
}

/* ---- pty ---- */

static void test_pty_connects_when_it_is_opened(void **state)
{
    Rig *r = *state;
    g_autofree char *name = NULL, *got = NULL;
    int fd;

    rig_add(r, "pty,id=c");
    name = chardev_filename(r->chr);
    assert_true(g_str_has_prefix(name, "pty:/dev/pts/"));
    rig_say(r, "lost");
    fd = open(name + strlen("pty:"), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(fd >= 0);
    rig_run_until(r, "O");
    assert_int_equal(write(fd, "in", 2), 2);
    rig_say(r, "out");
    got = rig_drain(fd);
    assert_string_equal(got, "out");
    assert_string_equal(r->in, "in");
    close(fd);
    rig_run_until(r, "OC");
    fd = open(name + strlen("pty:"), O_RDWR | O_NOCTTY | O_CLOEXEC);
    rig_run_until(r, "OCO");
    close(fd);
}

/* ---- mux ---- */

static void add_mux(Rig *r, int *ret_fd)
{
    g_autofree char *text = NULL;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    text = g_strdup_printf("socket,id=c,fd=%d,mux=on", fds[0]);
    rig_add(r, text);
    *ret_fd = fds[1];
}

static void type(Rig *r, int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    rig_settle(r);
}

static void test_mux_passes_what_is_no_command(void **state)
{
    Rig *r = *state;
    g_autofree char *got = NULL;
    int fd;

    add_mux(r, &fd);
    assert_string_equal(r->events, "OI");
    type(r, fd, "ab\001\001c\001zd");
    assert_string_equal(r->in, "ab\001cd");
    rig_say(r, "out");
    got = rig_drain(fd);
    assert_string_equal(got, "out");
    close(fd);
}

static void test_mux_help_lists_the_commands(void **state)
{
    Rig *r = *state;
    g_autofree char *got = NULL;
    int fd;

    add_mux(r, &fd);
    type(r, fd, "\001h");
    got = rig_drain(fd);
    assert_non_null(strstr(got, "Ctrl-A x"));
    assert_string_equal(r->in, "");
    close(fd);
}

static void test_mux_break_reaches_the_front_end(void **state)
{
    Rig *r = *state;
    int fd;

    add_mux(r, &fd);
    type(r, fd, "\001b");
    assert_string_equal(r->events, "OIB");
    close(fd);
}

static void test_mux_switches_between_front_ends(void **state)
{
    Rig *r = *state, second = { .room = 100, .fd = -1 };
    ChardevFrontend fe = rig_front(&second);
    int fd;

    lock_init(&second.lock, LOCK_DEVICE, "second");
    add_mux(r, &fd);
    second.chr = r->chr;
    assert_true(chardev_attach(r->chr, &fe, NULL));
    rig_settle(r);
    type(r, fd, "new\001cold");
    assert_string_equal(second.in, "new");
    assert_string_equal(r->in, "old");
    assert_string_equal(second.events, "OIo");
    type(r, fd, "\001cx");
    assert_string_equal(second.in, "newx");
    chardev_detach(r->chr, &second);
    type(r, fd, "y");
    assert_string_equal(r->in, "oldy");
    lock_finish(&second.lock);
    close(fd);
}

static void test_mux_commands_work_while_the_guest_takes_nothing(void **state)
{
    Rig *r = *state;
    int fd;

    r->room = 0;
    add_mux(r, &fd);
    type(r, fd, "typed\001b");
    assert_string_equal(r->events, "OIB");
    r->room = 100;
    chardev_accept_input(r->chr);
    rig_settle(r);
    assert_string_equal(r->in, "typed");
    close(fd);
}

static void test_mux_timestamps_lines(void **state)
{
    Rig *r = *state;
    g_autofree char *got = NULL;
    int fd;

    add_mux(r, &fd);
    type(r, fd, "\001t");
    rig_say(r, "a\nb");
    rig_say(r, "c\n");
    got = rig_drain(fd);
    assert_true(g_regex_match_simple(
        "^\\[00:00:00\\.\\d{3}\\] a\n\\[00:00:00\\.\\d{3}\\] bc\n$", got, 0, 0));
    close(fd);
}

static void test_mux_x_asks_for_the_end(void **state)
{
    Rig *r = *state;
    g_autofree char *got = NULL;
    int fd;

    add_mux(r, &fd);
    assert_int_equal(write(fd, "\001x", 2), 2);
    assert_int_equal(domain_main(r->domain), 0);
    got = rig_drain(fd);
    assert_non_null(strstr(got, "terminated"));
    close(fd);
}

/* ---- the table ---- */

static void test_second_front_end_is_refused_without_mux(void **state)
{
    Rig *r = *state;
    ChardevFrontend fe = rig_front(r);
    g_autoptr(GError) error = NULL;

    rig_add(r, "null,id=c");
    assert_false(chardev_attach(r->chr, &fe, &error));
    assert_non_null(strstr(error_get_hint(error), "mux=on"));
}

static void test_chardev_in_use_is_not_removed(void **state)
{
    Rig *r = *state;

    rig_add(r, "null,id=c");
    assert_false(chardev_remove(r->domain, "c", NULL));
    chardev_detach(r->chr, r);
    assert_true(chardev_remove(r->domain, "c", NULL));
    assert_null(chardev_find(r->domain, "c", NULL));
    r->chr = NULL;
}

static void test_id_is_checked(void **state)
{
    Rig *r = *state;
    g_autofree char *twice = NULL, *bad = NULL, *missing = NULL;

    rig_add(r, "null,id=c");
    twice = rig_error(r, "null,id=c");
    bad = rig_error(r, "null,id=1c");
    missing = rig_error(r, "null");
    assert_non_null(strstr(twice, "'c'"));
    assert_non_null(strstr(bad, "'1c'"));
    assert_non_null(strstr(missing, "id"));
}

static void test_unknown_chardev_suggests_the_nearest(void **state)
{
    Rig *r = *state;
    g_autoptr(GError) error = NULL;

    assert_non_null(chardev_add_text(r->domain, "null,id=serial0", NULL));
    assert_null(chardev_find(r->domain, "serail0", &error));
    assert_string_equal(error_class_name(error), "DeviceNotFound");
    assert_non_null(strstr(error_get_hint(error), "serial0"));
}

static void test_unknown_backend_is_named(void **state)
{
    g_autofree char *message = rig_error(*state, "udp,id=c,port=1");

    assert_non_null(strstr(message, "udp"));
}

/* ---- languages ---- */

static Chardev *add_json(Rig *r, const char *text, GError **error)
{
    g_autoptr(Json) json = json_parse(text, strlen(text), error);

    assert_non_null(json);
    return chardev_add(r->domain, json, error);
}

static void test_chardev_add_makes_a_socket(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("{\"id\": \"c\", \"backend\": {\"type\": \"socket\", \"data\": "
                                            "{\"addr\": {\"type\": \"unix\", \"data\": {\"path\": \"%s\"}}}}}", r->path);
    g_autofree char *name = NULL, *expected = g_strdup_printf("disconnected:unix:%s,server=on", r->path);
    Chardev *chr = add_json(r, text, NULL);

    assert_non_null(chr);
    name = chardev_filename(chr);
    assert_string_equal(name, expected);
}

static void test_chardev_add_makes_a_file_and_a_pty(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("{\"id\": \"f\", \"backend\": {\"type\": \"file\", \"data\": "
                                            "{\"out\": \"%s\"}}}", r->path);

    assert_non_null(add_json(r, text, NULL));
    assert_non_null(add_json(r, "{\"id\": \"p\", \"backend\": {\"type\": \"pty\", \"data\": {}}}", NULL));
}

static void test_chardev_add_names_what_is_wrong(void **state)
{
    Rig *r = *state;
    g_autoptr(GError) error = NULL;

    assert_null(add_json(r, "{\"id\": \"c\", \"backend\": {\"type\": \"file\", \"data\": "
                              "{\"out\": \"/x\", \"path\": \"/x\"}}}", &error));
    assert_non_null(strstr(error->message, "path"));
}

static void test_table_has_no_mistakes(void **state)
{
    g_autofree char *mistakes = field_struct_check(&chardev_options);

    assert_null(mistakes);
}

static void test_help_lists_backends_with_their_options(void **state)
{
    GString *help = g_string_new(NULL);

    chardev_help(help);
    assert_non_null(strstr(help->str, "ringbuf"));
    assert_non_null(strstr(help->str, "input-path"));
    assert_null(strstr(help->str, "nowait"));
    g_string_free(help, TRUE);
}

static void check_short(Rig *r, const char *text, const char *filename)
{
    Chardev *chr = NULL;
    g_autofree char *name = NULL;
    g_autoptr(GError) error = NULL;

    if (!chardev_add_short(r->domain, "s", text, &chr, &error)) {
        fail_msg("%s: %s", text, error->message);
    }
    name = chardev_filename(chr);
    assert_string_equal(name, filename);
    chardev_remove_all(r->domain);
}

static void test_short_forms(void **state)
{
    Rig *r = *state;
    g_autofree char *file = g_strdup_printf("file:%s,x", r->path), *odd = g_strconcat(r->path, ",x", NULL);
    g_autofree char *local = g_strdup_printf("unix:%s,server,nowait", r->path);
    g_autofree char *local_name = g_strdup_printf("disconnected:unix:%s,server=on", r->path);
    Chardev *chr = (Chardev *)r;

    check_short(r, "null", "null");
    check_short(r, "mon:null", "null");
    check_short(r, file, "file");
    assert_true(g_file_test(odd, G_FILE_TEST_EXISTS));
    check_short(r, local, local_name);
    check_short(r, "tcp:127.0.0.1:47114,server=on,wait=off", "disconnected:tcp:127.0.0.1:47114,server=on");
    check_short(r, "tcp::47114,server=on,wait=off", "disconnected:tcp::47114,server=on");
    check_short(r, "tcp:[::1]:47114,server=on,wait=off", "disconnected:tcp:::1:47114,server=on");
    assert_true(chardev_add_short(r->domain, "s", "none", &chr, NULL));
    assert_null(chr);
}

static void test_short_form_that_is_none_is_refused_with_the_list(void **state)
{
    Rig *r = *state;
    g_autoptr(GError) error = NULL;
    Chardev *chr;

    assert_false(chardev_add_short(r->domain, "s", "telnet:localhost:1", &chr, &error));
    assert_non_null(strstr(error->message, "telnet:"));
    assert_non_null(strstr(error_get_hint(error), "unix:"));
}

#define ROW(TEST) cmocka_unit_test_setup_teardown(TEST, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_file_gets_the_output),
        ROW(test_file_is_truncated_or_appended_to),
        ROW(test_file_gives_input),
        ROW(test_input_waits_until_the_front_end_has_room),
        ROW(test_null_takes_everything),
        ROW(test_ringbuf_keeps_the_newest),
        ROW(test_ringbuf_of_an_odd_size_is_refused),
        ROW(test_pipe_goes_both_ways),
        ROW(test_full_pipe_blocks_nobody_and_loses_nothing),
        ROW(test_log_file_gets_a_copy),
        ROW(test_server_takes_one_peer_after_the_other),
        ROW(test_socket_of_a_server_is_private_and_removed_with_it),
        ROW(test_output_without_a_peer_is_taken_and_lost),
        ROW(test_peer_that_vanishes_with_output_pending_frees_the_writer),
        ROW(test_descriptor_comes_with_the_bytes),
        ROW(test_client_reconnects),
        ROW(test_client_removed_while_it_connects_leaves_nothing),
        ROW(test_tcp_goes_both_ways),
        ROW(test_abstract_socket_leaves_no_file),
        ROW(test_given_descriptor_is_used),
        ROW(test_waiting_server_is_added_when_the_peer_is_there),
        ROW(test_socket_options_that_contradict_are_refused),
        ROW(test_socket_in_use_is_refused_and_a_dead_one_replaced),
        ROW(test_pty_connects_when_it_is_opened),
        ROW(test_mux_passes_what_is_no_command),
        ROW(test_mux_help_lists_the_commands),
        ROW(test_mux_break_reaches_the_front_end),
        ROW(test_mux_switches_between_front_ends),
        ROW(test_mux_commands_work_while_the_guest_takes_nothing),
        ROW(test_mux_timestamps_lines),
        ROW(test_mux_x_asks_for_the_end),
        ROW(test_second_front_end_is_refused_without_mux),
        ROW(test_chardev_in_use_is_not_removed),
        ROW(test_id_is_checked),
        ROW(test_unknown_chardev_suggests_the_nearest),
        ROW(test_unknown_backend_is_named),
        ROW(test_chardev_add_makes_a_socket),
        ROW(test_chardev_add_makes_a_file_and_a_pty),
        ROW(test_chardev_add_names_what_is_wrong),
        cmocka_unit_test(test_table_has_no_mistakes),
        cmocka_unit_test(test_help_lists_backends_with_their_options),
        ROW(test_short_forms),
        ROW(test_short_form_that_is_none_is_refused_with_the_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
