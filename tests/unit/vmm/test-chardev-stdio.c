/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/chardev-stdio.c: a child with a terminal of its own uses it, then ends in various ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "vmm/chardev.h"
#include "vmm/domain.h"
#include "vmm/epoch.h"

typedef struct Rig {
    int terminal; /* our end */
    int side;     /* the child's end, to ask for its mode */
    pid_t child;
} Rig;

static int setup(void **state)
{
    Rig *r = g_new0(Rig, 1);

    *state = r;
    return openpty(&r->terminal, &r->side, NULL, NULL, NULL);
}

static int teardown(void **state)
{
    Rig *r = *state;

    close(r->terminal);
    close(r->side);
    g_free(r);
    return 0;
}

static void echo(void *opaque, const uint8_t *data, size_t length)
{
    chardev_write(opaque, data, length);
    if (memchr(data, 'q', length)) {
        loop_stop(loop_current());
    } else if (memchr(data, '!', length)) {
        abort();
    }
}

/* Sends back what is typed; q ends in order, ! crashes. */
static void child(const Rig *r, const char *text)
{
    Domain *domain;
    Chardev *chr;

    signal(SIGINT, SIG_DFL); /* what a shell starts in the background ignores it */
    login_tty(r->side);
    domain = domain_new("test", NULL);
    chr = chardev_add_text(domain, text, NULL);
    chardev_attach(chr, &(ChardevFrontend) { .receive = echo, .opaque = chr }, NULL);
    loop_run(domain_loop(domain));
    chardev_detach(chr, chr);
    chardev_remove_all(domain);
    domain_free(domain);
    epoch_synchronize();
    exit(0);
}

static void start(Rig *r, const char *text)
{
    r->child = fork();
    assert_true(r->child >= 0);
    if (r->child == 0) {
        close(r->terminal);
        child(r, text);
    }
}

static bool is_raw(const Rig *r)
{
    struct termios mode;

    assert_int_equal(tcgetattr(r->side, &mode), 0);
    return !(mode.c_lflag & (ECHO | ICANON));
}

static void wait_until_raw(const Rig *r)
{
    for (int i = 0; i < 500 && !is_raw(r); i++) {
        usleep(10000);
    }
    assert_true(is_raw(r));
}

static int end_of(Rig *r)
{
    int status;

    assert_int_equal(waitpid(r->child, &status, 0), r->child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_terminal_is_raw_and_put_back_at_the_end(void **state)
{
    Rig *r = *state;
    char got[8] = "";

    assert_false(is_raw(r));
    start(r, "stdio,id=c");
    wait_until_raw(r);
    assert_int_equal(write(r->terminal, "q", 1), 1);
    assert_int_equal(end_of(r), 0);
    assert_false(is_raw(r));
    assert_int_equal(read(r->terminal, got, sizeof(got)), 1);
    assert_string_equal(got, "q");
}

static void test_terminal_is_put_back_by_a_crash(void **state)
{
    Rig *r = *state;

    start(r, "stdio,id=c");
    wait_until_raw(r);
    assert_int_equal(write(r->terminal, "!", 1), 1);
    assert_int_equal(end_of(r), -SIGABRT);
    assert_false(is_raw(r));
}

static void test_ctrl_c_is_a_signal(void **state)
{
    Rig *r = *state;

    start(r, "stdio,id=c");
    wait_until_raw(r);
    assert_int_equal(write(r->terminal, "\003", 1), 1);
    assert_int_equal(end_of(r), -SIGINT);
}

static void test_ctrl_c_is_a_byte_without_signals(void **state)
{
    Rig *r = *state;

    start(r, "stdio,id=c,signal=off");
    wait_until_raw(r);
    assert_int_equal(write(r->terminal, "\003q", 2), 2);
    assert_int_equal(end_of(r), 0);
}

static void test_shells_descriptors_stay_blocking(void **state)
{
    Rig *r = *state;

    start(r, "stdio,id=c");
    wait_until_raw(r);
    assert_false(fcntl(r->side, F_GETFL) & O_NONBLOCK);
    assert_int_equal(write(r->terminal, "q", 1), 1);
    assert_int_equal(end_of(r), 0);
}

static void test_second_stdio_is_refused(void **state)
{
    Rig *r = *state;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        Domain *domain;

        login_tty(r->side);
        domain = domain_new("test", NULL);
        _exit(!chardev_add_text(domain, "stdio,id=a", NULL) || chardev_add_text(domain, "stdio,id=b", NULL));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

#define ROW(TEST) cmocka_unit_test_setup_teardown(TEST, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_terminal_is_raw_and_put_back_at_the_end),
        ROW(test_terminal_is_put_back_by_a_crash),
        ROW(test_ctrl_c_is_a_signal),
        ROW(test_ctrl_c_is_a_byte_without_signals),
        ROW(test_shells_descriptors_stay_blocking),
        ROW(test_second_stdio_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
