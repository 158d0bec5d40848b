/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/chardev-mux.c: commands, front ends that share a device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chardev-rig.h"
#include "vmm/domain.h"

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

#define ROW(TEST) cmocka_unit_test_setup_teardown(TEST, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_mux_passes_what_is_no_command),
        ROW(test_mux_help_lists_the_commands),
        ROW(test_mux_break_reaches_the_front_end),
        ROW(test_mux_switches_between_front_ends),
        ROW(test_mux_commands_work_while_the_guest_takes_nothing),
        ROW(test_mux_timestamps_lines),
        ROW(test_mux_x_asks_for_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
