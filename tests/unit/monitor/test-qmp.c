/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor-rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/event.h"
#include "vmm/host.h"

#define STATUS "{\"execute\": \"query-status\"}"
#define STATUS_PRELAUNCH "{\"return\": {\"running\": false, \"singlestep\": false, \"status\": \"prelaunch\"}"

static void test_a_client_is_greeted(void **state)
{
    g_autofree char *line = monitor_rig_line(*state);

    assert_string_equal(line, "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2, \"micro\": 0}, "
                              "\"package\": \"lodge " LODGE_VERSION "\"}, \"capabilities\": [\"oob\"]}}");
}

static void test_negotiation_comes_first_and_once(void **state)
{
    monitor_rig_ask(*state, "", "{\"QMP\": ...");
    monitor_rig_ask(*state, STATUS, "{\"error\": {\"class\": \"CommandNotFound\", "
                                    "\"desc\": \"Expecting capabilities negotiation with 'qmp_capabilities'\"}}");
    monitor_rig_ask(*state, "{\"execute\": \"qmp_capabilities\"}", "{\"return\": {}}");
    monitor_rig_ask(*state, STATUS, STATUS_PRELAUNCH "}");
    monitor_rig_ask(*state, "{\"execute\": \"qmp_capabilities\"}", "{\"error\": {\"class\": \"CommandNotFound\", ...");
}

static void test_id_comes_back_as_it_is(void **state)
{
    monitor_rig_ask(*state, "{\"execute\": \"query-status\", \"id\": [1, {\"x\": null}]}",
                    STATUS_PRELAUNCH ", \"id\": [1, {\"x\": null}]}");
    monitor_rig_ask(*state, "{\"id\": 7, \"execute\": \"x\"}",
                    "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"The command x has not been found\"}, \"id\": 7}");
    monitor_rig_ask(*state, "{\"id\": 7, \"exec\": \"x\"}", "{\"error\": {\"class\": \"GenericError\", ...");
}

static void test_requests_in_pieces_and_in_heaps_are_answered_in_order(void **state)
{
    MonitorRig *r = *state;
    g_autoptr(GString) heap = g_string_new(NULL);

    for (const char *p = STATUS; *p; p++) {
        monitor_rig_send(r, p, 1, -1);
        if (p[1]) {
            assert_true(monitor_rig_is_silent(r));
        }
    }
    monitor_rig_ask(r, "", STATUS_PRELAUNCH "}");
    for (unsigned i = 0; i < 500; i++) {
        g_string_append_printf(heap, "{\"execute\":\"query-status\",\"id\":%u}", i);
    }
    monitor_rig_send(r, heap->str, heap->len, -1);
    for (unsigned i = 0; i < 500; i++) {
        g_autofree char *expected = g_strdup_printf(STATUS_PRELAUNCH ", \"id\": %u}", i);

        monitor_rig_ask(r, "", expected);
    }
}

static void test_bad_requests_are_told_what_is_wrong(void **state)
{
    monitor_rig_ask(*state, "nonsense\n", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON: an object is expected\"}}");
    monitor_rig_ask(*state, "[]", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP input must be a JSON object\"}}");
    monitor_rig_ask(*state, "{}", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP input lacks member 'execute'\"}}");
    monitor_rig_ask(*state, "{\"execute\": 1}", "{\"error\": {\"class\": \"GenericError\", ...");
    monitor_rig_ask(*state, "{\"execute\": \"stop\", \"exec-oob\": \"stop\"}", "{\"error\": {\"class\": \"GenericError\", ...");
    monitor_rig_ask(*state, "{\"execute\": \"stop\", \"arguments\": []}", "{\"error\": {\"class\": \"GenericError\", "
                                                                         "\"desc\": \"QMP input member 'arguments' must be an object\"}}");
    monitor_rig_ask(*state, "{\"execute\": \"stop\", \"arguments\": {\"now\": 1}}",
                    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Parameter 'now' is un...");
    monitor_rig_ask(*state, "{\"execute\": \"query-uuidd\"}",
                    "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"The command query-uuidd has not been found. "
                    "Did you mean 'query-uuid'?\"}}");
    monitor_rig_ask(*state, STATUS, STATUS_PRELAUNCH "}");
}

static void test_events_are_told_with_their_time_before_the_reply(void **state)
{
    MonitorRig *r = *state;
    g_autofree char *stop = NULL;

    monitor_rig_ask(r, "{\"execute\": \"cont\"}", "{\"timestamp\": {\"seconds\": ...");
    monitor_rig_ask(r, "", "{\"return\": {}}");
    monitor_rig_send(r, "{\"execute\": \"stop\"}", 19, -1);
    stop = monitor_rig_line(r);
    assert_true(g_str_has_suffix(stop, "\"event\": \"STOP\"}"));
    monitor_rig_ask(r, "", "{\"return\": {}}");
}

static void test_out_of_band_must_be_asked_for(void **state)
{
    MonitorRig *r = *state;
    monitor_rig_ask(r, "{\"exec-oob\": \"query-status\"}", "{\"error\": {\"class\": \"GenericError\", "
                       "\"desc\": \"Out-of-band execution is not enabled. Enable the capability 'oob' with qmp_capabilities.\"}}");
    monitor_rig_disconnect(r);
    monitor_rig_connect(r);
    monitor_rig_ask(r, "", "{\"QMP\": ...");
    monitor_rig_ask(r, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}}", "{\"return\": {}}");
    monitor_rig_ask(r, "{\"exec-oob\": \"query-status\", \"id\": 1}", STATUS_PRELAUNCH ", \"id\": 1}");
    monitor_rig_ask(r, "{\"exec-oob\": \"stop\"}",
                    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"The command stop does not support OOB\"}}");
}

static void test_a_new_client_begins_anew(void **state)
{
    MonitorRig *r = *state;
    monitor_rig_send(r, "{\"execute\": ", 12, -1);
    monitor_rig_disconnect(r);
    monitor_rig_connect(r);
    monitor_rig_ask(r, "", "{\"QMP\": ...");
    monitor_rig_ask(r, STATUS, "{\"error\": {\"class\": \"CommandNotFound\", ...");
}

/* How many chardevs the requests of the last client have made. */
static unsigned chardevs_made(MonitorRig *r)
{
    g_autofree char *line = NULL;
    unsigned n = 0;

    monitor_rig_connect(r);
    monitor_rig_ask(r, "", "{\"QMP\": ...");
    monitor_rig_ask(r, "{\"execute\": \"qmp_capabilities\"}", "{\"return\": {}}");
    monitor_rig_send(r, "{\"execute\": \"query-chardev\"}", 28, -1);
    line = monitor_rig_line(r);
    for (const char *at = strstr(line, "\"made-"); at; at = strstr(at + 1, "\"made-")) {
        n++;
    }
    return n;
}

static void make_chardevs(MonitorRig *r, unsigned n)
{
    g_autoptr(GString) heap = g_string_new(NULL);

    for (unsigned i = 0; i < n; i++) {
        g_string_append_printf(heap, "{\"execute\": \"chardev-add\", \"arguments\": {\"id\": \"made-%u\", "
                               "\"backend\": {\"type\": \"null\", \"data\": {}}}}", i);
    }
    assert_int_equal(send(r->client, heap->str, heap->len, MSG_DONTWAIT | MSG_NOSIGNAL), heap->len);
}

static void test_a_client_that_asks_and_leaves_is_served(void **state)
{
    MonitorRig *r = *state;

    make_chardevs(r, 3);
    monitor_rig_disconnect(r);
    assert_int_equal(chardevs_made(r), 3);
}

static void test_a_client_that_leaves_takes_its_heap_of_requests_along(void **state)
{
    MonitorRig *r = *state;

    make_chardevs(r, 400);
    monitor_rig_disconnect(r);
    assert_in_range(chardevs_made(r), 1, 60); /* what was read at once */
}

static void test_descriptors_have_names_in_one_session(void **state)
{
    static const char getfd[] = "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"x\"}}";
    MonitorRig *r = *state;
    g_autofree char *done = NULL;
    int ends[2];
    char byte;

    assert_int_equal(pipe(ends), 0);
    monitor_rig_ask(r, getfd, "{\"error\": {\"class\": \"GenericError\", "
                              "\"desc\": \"No file descriptor supplied via SCM_RIGHTS\"}}");
    monitor_rig_send(r, getfd, 10, ends[1]);
    assert_true(monitor_rig_is_silent(r));
    monitor_rig_send(r, getfd + 10, strlen(getfd) - 10, -1);
    done = monitor_rig_line(r);
    assert_string_equal(done, "{\"return\": {}}");
    close(ends[1]);
    monitor_rig_disconnect(r); /* which closes the last writer of the pipe */
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
    monitor_rig_connect(r);
    monitor_rig_ask(r, "", "{\"QMP\": ...");
    monitor_rig_ask(r, "{\"execute\": \"qmp_capabilities\"}", "{\"return\": {}}");
    monitor_rig_ask(r, "{\"execute\": \"closefd\", \"arguments\": {\"fdname\": \"x\"}}",
                    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"File descriptor named 'x' not found\"}}");
}

static void send_with_fds(MonitorRig *r, const char *request, const int *fds, size_t n)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(4 * sizeof(int))];
    } control = { .header = { CMSG_LEN(n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
    struct iovec iov = { (void *)(uintptr_t)request, strlen(request) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                          .msg_controllen = CMSG_SPACE(n * sizeof(int)) };

    memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
    assert_int_equal(sendmsg(r->client, &msg, MSG_NOSIGNAL), strlen(request));
}

/* As in QEMU: the others that come with it are closed, and newer ones replace what no request took. */
static void test_a_request_takes_one_descriptor_of_its_own(void **state)
{
    static const char getfd[] = "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"x\"}}";
    static const char name[] = "{\"execute\": \"query-name\"}";
    MonitorRig *r = *state;
    int unwanted[2], wanted[2];
    char byte;

    assert_int_equal(pipe(unwanted), 0);
    assert_int_equal(pipe(wanted), 0);
    assert_int_equal(fcntl(unwanted[0], F_SETFL, O_NONBLOCK) | fcntl(wanted[0], F_SETFL, O_NONBLOCK), 0);
    send_with_fds(r, name, (const int[]) { unwanted[1], unwanted[1] }, 2);
    g_free(monitor_rig_line(r));
    send_with_fds(r, getfd, (const int[]) { wanted[1], unwanted[1], unwanted[1] }, 3);
    g_free(monitor_rig_line(r));
    close(unwanted[1]);
    assert_int_equal(read(unwanted[0], &byte, 1), 0); /* none is left */
    monitor_rig_ask(r, getfd, "{\"error\": {\"class\": \"GenericError\", "
                              "\"desc\": \"No file descriptor supplied via SCM_RIGHTS\"}}");
    close(wanted[1]);
    assert_int_equal(read(wanted[0], &byte, 1), -1); /* "x" is its writer */
    monitor_rig_ask(r, "{\"execute\": \"closefd\", \"arguments\": {\"fdname\": \"x\"}}", "{\"return\": {}}");
    assert_int_equal(read(wanted[0], &byte, 1), 0);
    close(wanted[0]);
    close(unwanted[0]);
}

static void test_a_client_that_reads_nothing_is_not_read_from(void **state)
{
    MonitorRig *r = *state;
    static const char request[] = "{\"execute\": \"query-qmp-schema\"}";
    unsigned sent = 0;

    while (sent < 200 && send(r->client, request, strlen(request), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
        for (unsigned i = 0; i < 20; i++) {
            loop_run_once(domain_loop(r->domain), false);
        }
        sent++;
    }
    for (unsigned i = 0; i < sent; i++) {
        g_autofree char *line = monitor_rig_line(r);

        assert_true(g_str_has_prefix(line, "{\"return\": [{"));
    }
    monitor_rig_ask(r, STATUS, STATUS_PRELAUNCH "}");
}

static void test_every_command_is_listed_and_described(void **state)
{
    MonitorRig *r = *state;
    g_autofree char *commands = NULL, *schema = NULL;

    monitor_rig_send(r, "{\"execute\": \"query-commands\"}", 29, -1);
    commands = monitor_rig_line(r);
    assert_non_null(strstr(commands, "{\"name\": \"set-action\"}"));
    monitor_rig_send(r, "{\"execute\": \"query-qmp-schema\"}", 31, -1);
    schema = monitor_rig_line(r);
    assert_non_null(strstr(schema, "\"name\": \"set-action\""));
    assert_non_null(strstr(schema, "\"name\": \"SHUTDOWN\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_client_is_greeted, monitor_rig_setup, monitor_rig_teardown),
        cmocka_unit_test_setup_teardown(test_negotiation_comes_first_and_once, monitor_rig_setup, monitor_rig_teardown),
#define NEGOTIATED(TEST) cmocka_unit_test_setup_teardown(TEST, monitor_rig_negotiated, monitor_rig_teardown)
        NEGOTIATED(test_id_comes_back_as_it_is),
        NEGOTIATED(test_requests_in_pieces_and_in_heaps_are_answered_in_order),
        NEGOTIATED(test_bad_requests_are_told_what_is_wrong),
        NEGOTIATED(test_events_are_told_with_their_time_before_the_reply),
        NEGOTIATED(test_out_of_band_must_be_asked_for),
        NEGOTIATED(test_a_new_client_begins_anew),
        NEGOTIATED(test_a_client_that_asks_and_leaves_is_served),
        NEGOTIATED(test_a_client_that_leaves_takes_its_heap_of_requests_along),
        NEGOTIATED(test_descriptors_have_names_in_one_session),
        NEGOTIATED(test_a_request_takes_one_descriptor_of_its_own),
        NEGOTIATED(test_a_client_that_reads_nothing_is_not_read_from),
        NEGOTIATED(test_every_command_is_listed_and_described),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
