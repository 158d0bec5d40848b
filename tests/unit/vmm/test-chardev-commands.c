/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chardevs as a QMP client makes, sees and removes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/monitor/monitor-rig.h"

#define RUN(COMMAND, ARGUMENTS) "{\"execute\": \"" COMMAND "\", \"arguments\": " ARGUMENTS "}"
#define DONE "{\"return\": {}}"
#define ERROR(CLASS, TEXT) "{\"error\": {\"class\": \"" CLASS "\", \"desc\": \"" TEXT "\"}}"
#define ADD_RINGBUF RUN("chardev-add", "{\"id\": \"ring\", \"backend\": {\"type\": \"ringbuf\", \"data\": {\"size\": 16}}}")

static void test_what_was_added_is_listed_until_it_is_removed(void **state)
{
    monitor_rig_ask(*state, ADD_RINGBUF, DONE);
    monitor_rig_ask(*state, "{\"execute\": \"query-chardev\"}",
                    "{\"return\": [{\"label\": \"mon\", \"filename\": \"unix:...");
    monitor_rig_ask(*state, ADD_RINGBUF, ERROR("GenericError", "Duplicate chardev id 'ring'"));
    monitor_rig_ask(*state, RUN("chardev-remove", "{\"id\": \"ring\"}"), DONE);
    monitor_rig_ask(*state, RUN("chardev-remove", "{\"id\": \"ring\"}"),
                    ERROR("GenericError", "chardev 'ring' does not exist"));
}

static void test_the_monitors_own_chardev_is_in_use(void **state)
{
    monitor_rig_ask(*state, RUN("chardev-remove", "{\"id\": \"mon\"}"),
                    ERROR("GenericError", "chardev 'mon' is in use. Remove the device that uses it first."));
}

static void test_a_backend_is_changed_where_that_is_possible(void **state)
{
    monitor_rig_ask(*state, ADD_RINGBUF, DONE);
    monitor_rig_ask(*state, RUN("ringbuf-write", "{\"device\": \"ring\", \"data\": \"old\"}"), DONE);
    monitor_rig_ask(*state, RUN("chardev-change", "{\"id\": \"ring\", \"backend\": {\"type\": \"file\", \"data\": "
                                "{\"out\": \"/nowhere/at/all\"}}}"), "{\"error\": ...");
    monitor_rig_ask(*state, RUN("ringbuf-read", "{\"device\": \"ring\", \"size\": 9}"), "{\"return\": \"old\"}");
    monitor_rig_ask(*state, RUN("chardev-change", "{\"id\": \"ring\", \"backend\": {\"type\": \"pty\", \"data\": {}}}"),
                    "{\"return\": {\"pty\": \"/dev/pts/...");
    monitor_rig_ask(*state, RUN("chardev-change", "{\"id\": \"ring\", \"backend\": {\"type\": \"null\", \"data\": {}}}"), DONE);
    monitor_rig_ask(*state, RUN("chardev-remove", "{\"id\": \"ring\"}"), DONE);
    monitor_rig_ask(*state, RUN("chardev-change", "{\"id\": \"ring\", \"backend\": {\"type\": \"null\", \"data\": {}}}"),
                    ERROR("GenericError", "chardev 'ring' does not exist"));
    monitor_rig_ask(*state, RUN("chardev-change", "{\"id\": \"mon\", \"backend\": {\"type\": \"null\", \"data\": {}}}"),
                    ERROR("GenericError", "chardev 'mon' is used by what cannot change it: a mux, a monitor or an object"));
}

static void test_a_pty_tells_its_name(void **state)
{
    monitor_rig_ask(*state, RUN("chardev-add", "{\"id\": \"p\", \"backend\": {\"type\": \"pty\", \"data\": {}}}"),
                    "{\"return\": {\"pty\": \"/dev/pts/...");
}

static void test_a_ring_buffer_keeps_the_newest_bytes(void **state)
{
    monitor_rig_ask(*state, ADD_RINGBUF, DONE);
    monitor_rig_ask(*state, RUN("ringbuf-write", "{\"device\": \"ring\", \"data\": \"0123456789abcdefgh\"}"), DONE);
    monitor_rig_ask(*state, RUN("ringbuf-read", "{\"device\": \"ring\", \"size\": 4}"), "{\"return\": \"2345\"}");
    monitor_rig_ask(*state, RUN("ringbuf-read", "{\"device\": \"ring\", \"size\": 9223372036854775807}"),
                    "{\"return\": \"6789abcdefgh\"}");
    monitor_rig_ask(*state, RUN("ringbuf-read", "{\"device\": \"ring\", \"size\": 1}"), "{\"return\": \"\"}");
}

static void test_bytes_that_are_no_text_come_as_base64(void **state)
{
    monitor_rig_ask(*state, ADD_RINGBUF, DONE);
    monitor_rig_ask(*state, RUN("ringbuf-write", "{\"device\": \"ring\", \"data\": \"AP9B\", \"format\": \"base64\"}"),
                    DONE);
    monitor_rig_ask(*state, RUN("ringbuf-read", "{\"device\": \"ring\", \"size\": 3, \"format\": \"base64\"}"),
                    "{\"return\": \"AP9B\"}");
    monitor_rig_ask(*state, RUN("ringbuf-write", "{\"device\": \"ring\", \"data\": \"AP9\", \"format\": \"base64\"}"),
                    ERROR("GenericError", "data: the base64 text is incomplete"));
}

static void test_only_ring_buffers_are_read(void **state)
{
    monitor_rig_ask(*state, RUN("ringbuf-read", "{\"device\": \"mon\", \"size\": 1}"),
                    ERROR("GenericError", "chardev 'mon' is no ringbuf but a socket"));
    monitor_rig_ask(*state, ADD_RINGBUF, DONE);
    monitor_rig_ask(*state, RUN("ringbuf-read", "{\"device\": \"ring\", \"size\": 0}"),
                    "{\"error\": {\"class\": \"GenericError\", ...");
}

static void test_a_listening_socket_may_come_by_name(void **state)
{
    MonitorRig *r = *state;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    g_autofree char *reply = NULL;
    const char *getfd = RUN("getfd", "{\"fdname\": \"source\"}");

    g_snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "lodge-test-%d", (int)getpid());
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    monitor_rig_send(r, getfd, strlen(getfd), listener);
    close(listener);
    monitor_rig_ask(r, "", DONE);
    monitor_rig_ask(r, RUN("chardev-add", "{\"id\": \"c\", \"backend\": {\"type\": \"socket\", \"data\": {\"addr\": "
                           "{\"type\": \"fd\", \"data\": {\"str\": \"source\"}}, \"wait\": false, \"server\": true}}}"),
                    DONE);
    monitor_rig_send(r, "{\"execute\": \"query-chardev\"}", 29, -1);
    reply = monitor_rig_line(r);
    assert_non_null(strstr(reply, "{\"label\": \"c\", \"filename\": \"disconnected:fd:source,server=on\", "
                                  "\"frontend-open\": false}"));
}

static void test_a_descriptor_that_is_no_listening_socket_is_refused(void **state)
{
    MonitorRig *r = *state;
    int pair[2];
    const char *getfd = RUN("getfd", "{\"fdname\": \"source\"}");

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    monitor_rig_send(r, getfd, strlen(getfd), pair[0]);
    close(pair[0]);
    monitor_rig_ask(r, "", DONE);
    monitor_rig_ask(r, RUN("chardev-add", "{\"id\": \"c\", \"backend\": {\"type\": \"socket\", \"data\": {\"addr\": "
                           "{\"type\": \"fd\", \"data\": {\"str\": \"source\"}}}}}"),
                    ERROR("GenericError",
                          "c: the socket 'source' does not listen. Say server=off if it is connected."));
    assert_int_equal(recv(pair[1], &(char) { 0 }, 1, 0), 0); /* closed: nothing is left of it */
    close(pair[1]);
}

static void test_nobody_is_waited_for(void **state)
{
    monitor_rig_ask(*state, RUN("chardev-add", "{\"id\": \"c\", \"backend\": {\"type\": \"socket\", \"data\": {\"addr\": "
                                "{\"type\": \"unix\", \"data\": {\"path\": \"/nowhere\"}}, \"wait\": true}}}"),
                    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"'wait' is for the start...");
}

static void test_a_break_needs_a_chardev(void **state)
{
    monitor_rig_ask(*state, RUN("chardev-send-break", "{\"id\": \"rin\"}"),
                    ERROR("GenericError", "chardev 'rin' does not exist"));
    monitor_rig_ask(*state, ADD_RINGBUF, DONE);
    monitor_rig_ask(*state, RUN("chardev-send-break", "{\"id\": \"ring\"}"), DONE);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, monitor_rig_negotiated, monitor_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_added_is_listed_until_it_is_removed),
        TEST(test_the_monitors_own_chardev_is_in_use),
        TEST(test_a_backend_is_changed_where_that_is_possible),
        TEST(test_a_pty_tells_its_name),
        TEST(test_a_ring_buffer_keeps_the_newest_bytes),
        TEST(test_bytes_that_are_no_text_come_as_base64),
        TEST(test_only_ring_buffers_are_read),
        TEST(test_a_listening_socket_may_come_by_name),
        TEST(test_a_descriptor_that_is_no_listening_socket_is_refused),
        TEST(test_nobody_is_waited_for),
        TEST(test_a_break_needs_a_chardev),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
