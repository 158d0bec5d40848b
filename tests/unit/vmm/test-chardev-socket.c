/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/chardev-socket.c: servers, clients, descriptors, TELNET. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chardev-rig.h"
#include "vmm/host.h"

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

/* What is kept is the process': this one never closes it, either. */
static void test_connections_that_are_kept_outlive_their_server(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,server,nowait", r->path);
    int peer, waits;
    char byte;

    rig_add(r, text);
    peer = host_connect_unix(r->path, NULL);
    rig_settle(r);
    waits = host_connect_unix(r->path, NULL);
    assert_true(peer >= 0 && waits >= 0);
    chardev_keep_connections(r->domain);
    chardev_detach(r->chr, r);
    assert_true(chardev_remove(r->domain, "c", NULL));
    r->chr = NULL;
    assert_int_equal(recv(peer, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(recv(waits, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    close(peer);
    close(waits);
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

static size_t count_until_nothing_comes(Rig *r, int peer)
{
    g_autofree char *data = g_malloc(1 << 20);
    size_t total = 0;
    ssize_t n;

    while ((n = recv(peer, data, 1 << 20, MSG_DONTWAIT)) > 0) {
        total += (size_t)n;
        rig_settle(r);
    }
    return total;
}

static void test_peer_that_has_said_all_hears_all(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,server=on,wait=off", r->path);
    g_autofree uint8_t *block = g_malloc0(4 << 20);
    size_t taken;
    int peer;

    rig_add(r, text);
    peer = host_connect_unix(r->path, NULL);
    rig_settle(r);
    taken = chardev_write(r->chr, block, 4 << 20);
    shutdown(peer, SHUT_WR);
    rig_settle(r);
    assert_string_equal(r->events, "O");
    assert_int_equal(count_until_nothing_comes(r, peer), taken);
    rig_run_until(r, "OC");
    assert_string_equal(r->events, "OC");
    close(peer);
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

static void test_client_that_reconnects_finds_a_local_server_at_once(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,reconnect=1", r->path);
    int listener = host_listen_unix(r->path, NULL);

    assert_non_null(chardev_add_text(r->domain, text, NULL));
    assert_true(chardev_connected(chardev_find(r->domain, "c", NULL)));
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

/* ---- TELNET ---- */

#define OFFERS "\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00"

static int begin_telnet(Rig *r)
{
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,server=on,wait=off,telnet=on", r->path);
    char offers[sizeof(OFFERS) - 1];
    int peer;

    rig_add(r, text);
    peer = host_connect_unix(r->path, NULL);
    assert_true(peer >= 0);
    rig_settle(r);
    assert_int_equal(read(peer, offers, sizeof(offers)), sizeof(offers));
    assert_memory_equal(offers, OFFERS, sizeof(offers));
    return peer;
}

static void test_telnet_client_is_asked_for_keys_and_bytes(void **state)
{
    Rig *r = *state;
    g_autofree char *got = NULL;
    int peer = begin_telnet(r);

    assert_int_equal(write(peer, "\xff\xfd\x03k\xff\xfb\x18\xff\xfb\x00\xff\xff", 12), 12);
    rig_settle(r);
    assert_string_equal(r->in, "k\xff");
    rig_say(r, "<\xff>");
    got = rig_drain(peer);
    assert_string_equal(got, "\xff\xfe\x18<\xff\xff>");
    close(peer);
}

static void test_telnet_commands_alone_are_no_end_of_the_stream(void **state)
{
    Rig *r = *state;
    int peer = begin_telnet(r);

    assert_int_equal(write(peer, "\xff\xf1", 2), 2);
    rig_settle(r);
    assert_int_equal(write(peer, "k", 1), 1);
    rig_settle(r);
    assert_string_equal(r->in, "k");
    assert_string_equal(r->events, "O");
    close(peer);
}

static void test_telnet_break_is_one_of_the_line(void **state)
{
    Rig *r = *state;
    int peer = begin_telnet(r);

    assert_int_equal(write(peer, "a\xff\xf3" "b", 4), 4);
    rig_settle(r);
    assert_string_equal(r->in, "ab");
    assert_string_equal(r->events, "OB");
    close(peer);
}

static void test_break_of_the_line_is_one_of_telnet(void **state)
{
    Rig *r = *state;
    g_autofree char *got = NULL;
    int peer = begin_telnet(r);

    chardev_send_break(r->chr);
    rig_settle(r);
    got = rig_drain(peer);
    assert_string_equal(got, "\xff\xf3");
    close(peer);
}

static void test_telnet_output_that_waits_is_cut_at_no_escape(void **state)
{
    Rig *r = *state;
    g_autofree uint8_t *block = g_malloc(1 << 20);
    g_autofree char *got = NULL;
    size_t taken;
    int peer = begin_telnet(r);

    memset(block, 0xff, 1 << 20);
    taken = chardev_write(r->chr, block, 1 << 20);
    assert_true(taken > 65536 / 2 && taken < 1 << 20);
    rig_settle(r);
    got = rig_drain(peer);
    rig_settle(r);
    {
        g_autofree char *rest = rig_drain(peer);

        assert_int_equal(strlen(got) + strlen(rest), 2 * taken);
    }
    close(peer);
}

static void test_urgent_data_mark_is_no_key(void **state)
{
    Rig *r = *state;
    int peer;

    rig_add(r, "socket,id=c,host=127.0.0.1,port=47115,server=on,wait=off,telnet=on");
    peer = host_connect_tcp("127.0.0.1", "47115", true, false, NULL);
    assert_true(peer >= 0);
    rig_settle(r);
    assert_int_equal(send(peer, "a\xff\xf2", 3, MSG_OOB), 3);
    assert_int_equal(write(peer, "b", 1), 1);
    rig_settle(r);
    assert_string_equal(r->in, "ab");
    close(peer);
}

/* ---- kinds of sockets ---- */

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

    assert_non_null(strstr(none, "'path'"));
    assert_non_null(strstr(both, "one of"));
    assert_non_null(strstr(wait, "'wait'"));
    assert_non_null(strstr(reconnect, "'reconnect'"));
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

#define ROW(TEST) cmocka_unit_test_setup_teardown(TEST, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_server_takes_one_peer_after_the_other),
        ROW(test_socket_of_a_server_is_private_and_removed_with_it),
        ROW(test_connections_that_are_kept_outlive_their_server),
        ROW(test_output_without_a_peer_is_taken_and_lost),
        ROW(test_peer_that_vanishes_with_output_pending_frees_the_writer),
        ROW(test_peer_that_has_said_all_hears_all),
        ROW(test_descriptor_comes_with_the_bytes),
        ROW(test_client_reconnects),
        ROW(test_client_that_reconnects_finds_a_local_server_at_once),
        ROW(test_client_removed_while_it_connects_leaves_nothing),
        ROW(test_tcp_goes_both_ways),
        ROW(test_telnet_client_is_asked_for_keys_and_bytes),
        ROW(test_telnet_commands_alone_are_no_end_of_the_stream),
        ROW(test_telnet_break_is_one_of_the_line),
        ROW(test_break_of_the_line_is_one_of_telnet),
        ROW(test_telnet_output_that_waits_is_cut_at_no_escape),
        ROW(test_urgent_data_mark_is_no_key),
        ROW(test_abstract_socket_leaves_no_file),
        ROW(test_given_descriptor_is_used),
        ROW(test_waiting_server_is_added_when_the_peer_is_there),
        ROW(test_socket_options_that_contradict_are_refused),
        ROW(test_socket_in_use_is_refused_and_a_dead_one_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
