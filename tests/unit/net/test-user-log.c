/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net/user-log.c: libslirp's words in our log, and how many of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/user.h"
#include "vmm/log.h"

#define LINE "lodge: warning: user network: "

static void test_a_hundred_lines_are_written_and_then_one_that_says_so(void **state)
{
    g_autofree char *path = NULL, *text = NULL;
    g_auto(GStrv) lines = NULL;
    int fd = g_file_open_tmp("lodge-log-XXXXXX", &path, NULL);

    assert_true(fd >= 0);
    close(fd);
    assert_true(log_configure(path, NULL, false, NULL));
    net_user_hear_slirp();
    net_user_hear_slirp(); /* another netdev */
    for (unsigned i = 0; i < 150; i++) {
        g_log("Slirp", G_LOG_LEVEL_WARNING, "odd %u\nand more", i);
    }
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    unlink(path);
    lines = g_strsplit(text, "\n", -1);
    assert_int_equal(g_strv_length(lines), 100 + 1 + 1); /* and what follows the last */
    assert_string_equal(lines[0], LINE "odd 0");
    assert_string_equal(lines[99], LINE "odd 99");
    assert_string_equal(lines[100], LINE "100 lines were written, more are left out");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hundred_lines_are_written_and_then_one_that_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
