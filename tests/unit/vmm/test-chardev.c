/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/chardev*.c: files, pipes, rings and terminals; the table of devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chardev-rig.h"
#include "vmm/chardev-internal.h"
#include "vmm/error.h"

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
    assert_string_equal(error_class_name(error), "GenericError");
    assert_non_null(strstr(error_get_hint(error), "serial0"));
}

static void test_unknown_backend_is_named(void **state)
{
    g_autofree char *message = rig_error(*state, "udp,id=c,port=1");

    assert_non_null(strstr(message, "udp"));
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
        ROW(test_pty_connects_when_it_is_opened),
        ROW(test_second_front_end_is_refused_without_mux),
        ROW(test_chardev_in_use_is_not_removed),
        ROW(test_id_is_checked),
        ROW(test_unknown_chardev_suggests_the_nearest),
        ROW(test_unknown_backend_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
