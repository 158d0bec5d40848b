/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tools/lodgectl/client.c: against a server that says what the test has written down, and then nothing or goodbye. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tools/lodgectl/client.h"
#include "vmm/error.h"
#include "vmm/host.h"

#define TIMEOUT_MS 300
#define HELLO "{\"QMP\": {}}\r\n{\"return\": {}}\r\n"

typedef struct Rig {
    char *folder, *path;
    const char *says;
    const char *at_last; /* what it says when it hears "last"; NULL: nothing */
    bool hangs_up;
    int listener;
    GThread *thread;
} Rig;

/* Says all of it at once but for the end, and reads what comes until the client leaves. */
static gpointer serve(gpointer opaque)
{
    Rig *r = opaque;
    int fd = accept(r->listener, NULL, NULL);
    char heard[256];
    ssize_t n;

    if (fd >= 0) {
        send(fd, r->says, strlen(r->says), MSG_NOSIGNAL);
        while (!r->hangs_up && (n = read(fd, heard, sizeof(heard))) > 0) {
            if (r->at_last && g_strstr_len(heard, n, "last")) {
                send(fd, r->at_last, strlen(r->at_last), MSG_NOSIGNAL);
            }
        }
        close(fd);
    }
    return NULL;
}

static int setup(void **state)
{
    Rig *r = g_new0(Rig, 1);

    r->folder = g_dir_make_tmp("lodge-client-XXXXXX", NULL);
    r->path = g_build_filename(r->folder, "s", NULL);
    r->listener = host_listen_unix(r->path, NULL);
    assert_true(r->listener >= 0);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    Rig *r = *state;

    shutdown(r->listener, SHUT_RDWR);
    if (r->thread) {
        g_thread_join(r->thread);
    }
    close(r->listener);
    unlink(r->path);
    rmdir(r->folder);
    g_free(r->folder);
    g_free(r->path);
    g_free(r);
    return 0;
}

static Client *open_client(Rig *r, const char *says, GError **error)
{
    r->says = says;
    r->thread = g_thread_new("server", serve, r);
    return client_open("x", r->path, TIMEOUT_MS, error);
}

static void test_value_and_events_in_order(void **state)
{
    static const char says[] = HELLO "{\"event\": \"A\"}\r\n{\"return\": 7}\r\n{\"event\": \"B\"}\r\n";
    g_autoptr(Client) c = open_client(*state, says, NULL);
    g_autoptr(Json) value = client_run(c, "query", NULL, NULL);
    g_autoptr(Json) a = NULL;
    g_autoptr(Json) b = NULL;
    g_autoptr(Json) none = NULL;

    assert_int_equal(json_get_int(value), 7);
    assert_true(client_event(c, 100, &a, NULL));
    assert_string_equal(json_get_string(json_object_get_member(a, "event")), "A");
    assert_true(client_event(c, 100, &b, NULL));
    assert_string_equal(json_get_string(json_object_get_member(b, "event")), "B");
    assert_true(client_event(c, 10, &none, NULL));
    assert_null(none);
    assert_int_equal(client_pid(c), getpid());
}

static void test_error_keeps_its_class(void **state)
{
    static const char says[] = HELLO "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}}\r\n";
    g_autoptr(GError) error = NULL;
    g_autoptr(Client) c = open_client(*state, says, NULL);

    assert_false(client_do(c, "query", &error));
    assert_string_equal(error_class_name(error), "CommandNotFound");
    assert_string_equal(error->message, "Domain 'x': no");
}

static void fails_to_open(Rig *r, const char *says, const char *words)
{
    g_autoptr(GError) error = NULL;
    int64_t started = g_get_monotonic_time();

    assert_null(open_client(r, says, &error));
    assert_non_null(strstr(error->message, words));
    assert_true(g_get_monotonic_time() - started < 10 * TIMEOUT_MS * 1000);
}

static void test_silence_ends(void **state)
{
    fails_to_open(*state, "", "does not answer");
}

static void test_half_a_greeting_ends(void **state)
{
    fails_to_open(*state, "{\"QMP\"", "does not answer");
}

static void test_hanging_up(void **state)
{
    Rig *r = *state;

    r->hangs_up = true;
    fails_to_open(r, "", "has ended");
}

static void test_no_greeting(void **state)
{
    fails_to_open(*state, "[1]\n", "does not greet");
}

static void test_no_json(void **state)
{
    fails_to_open(*state, "SSH-2.0\n", "does not speak QMP");
}

static void test_neither_return_nor_error(void **state)
{
    fails_to_open(*state, "{\"QMP\": {}}\n{\"error\": 5}\n", "neither");
}

static void test_answer_that_is_no_object(void **state)
{
    fails_to_open(*state, "{\"QMP\": {}}\n[1]\n", "neither");
}

static void test_answer_in_no_time(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Client) c = open_client(*state, HELLO, NULL);

    assert_false(client_do(c, "query", &error));
    assert_non_null(strstr(error->message, "does not answer"));
}

static void test_late_answers_are_no_others(void **state)
{
    Rig *r = *state;
    g_autoptr(Client) c = NULL;
    g_autoptr(Json) value = NULL;

    r->at_last = "{\"return\": 1}\n{\"event\": \"A\"}\n{\"return\": 2}\n{\"return\": 3}\n";
    c = open_client(r, HELLO, NULL);
    assert_false(client_do(c, "first", NULL));
    assert_false(client_do(c, "second", NULL));
    value = client_run(c, "last", NULL, NULL);
    assert_int_equal(json_get_int(value), 3);
}

static void test_too_many_events_drop_the_oldest(void **state)
{
    g_autoptr(GString) says = g_string_new(HELLO);
    g_autoptr(Client) c = NULL;
    g_autoptr(Json) first = NULL;

    for (unsigned i = 0; i < CLIENT_EVENTS_MAX + 1; i++) {
        g_string_append_printf(says, "{\"event\": \"%u\"}\n", i);
    }
    g_string_append(says, "{\"return\": {}}\n");
    c = open_client(*state, says->str, NULL);
    assert_true(client_do(c, "query", NULL));
    assert_true(client_event(c, 0, &first, NULL));
    assert_string_equal(json_get_string(json_object_get_member(first, "event")), "1");
    g_clear_pointer(&c, client_free); /* before what it was told is freed */
}

static void test_nobody_listens(void **state)
{
    Rig *r = *state;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_strconcat(r->path, "x", NULL);

    assert_null(client_open("x", path, TIMEOUT_MS, &error));
    assert_non_null(strstr(error->message, "not running"));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_value_and_events_in_order), TEST(test_error_keeps_its_class), TEST(test_silence_ends),
        TEST(test_half_a_greeting_ends), TEST(test_hanging_up), TEST(test_no_greeting), TEST(test_no_json),
        TEST(test_neither_return_nor_error), TEST(test_answer_that_is_no_object), TEST(test_answer_in_no_time),
        TEST(test_late_answers_are_no_others), TEST(test_too_many_events_drop_the_oldest), TEST(test_nobody_listens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
