/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/error.h"
#include "vmm/log.h"

static char *path;

static int setup(void **state)
{
    int fd = g_file_open_tmp("lodge-log-XXXXXX", &path, NULL);

    close(fd);
    return fd < 0;
}

static int teardown(void **state)
{
    unlink(path);
    g_free(path);
    return 0;
}

/* What the log holds since the last call. */
static char *take_log(void)
{
    char *text = NULL;

    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_int_equal(truncate(path, 0), 0);
    return text;
}

static void configure(const char *categories, bool timestamps)
{
    g_autoptr(GError) error = NULL;

    if (!log_configure(path, categories, timestamps, &error)) {
        fail_msg("%s", error->message);
    }
}

static void test_lines_name_the_program(void **state)
{
    g_autofree char *text = NULL;

    configure(NULL, false);
    log_info("hello %d", 1);
    log_warning("careful");
    text = take_log();
    assert_string_equal(text, "lodge: hello 1\nlodge: warning: careful\n");
}

static void test_line_of_any_length_is_whole(void **state)
{
    configure(NULL, false);
    for (int length = 1; length < 600; length++) {
        g_autofree char *words = g_strnfill((gsize)length, 'x'), *text = NULL;
        g_autofree char *wanted = g_strdup_printf("lodge: %s\n", words);

        log_info("%s", words);
        text = take_log();
        assert_string_equal(text, wanted);
    }
}

static void test_errors_show_their_hint(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;

    configure(NULL, false);
    error_set(&error, "it broke");
    error_hint(&error, "Mend it.");
    log_error(error);
    text = take_log();
    assert_string_equal(text, "lodge: it broke. Mend it.\n");
}

static void test_categories_are_switched(void **state)
{
    g_autofree char *text = NULL;

    configure("pci,guest_errors", false);
    log_if(LOG_PCI, "moved");
    log_if(LOG_VIRTIO, "never");
    text = take_log();
    assert_string_equal(text, "pci: moved\n");
}

static void test_unknown_category_names_the_nearest(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;

    assert_false(log_configure(NULL, "guest_error", false, &error));
    text = error_text(error);
    assert_string_equal(text, "There is no log category 'guest_error'. Did you mean 'guest_errors'?");
}

static void test_control_characters_do_not_reach_a_terminal(void **state)
{
    g_autofree char *text = NULL;

    configure(NULL, false);
    log_info("a\x1b[2Jb\nc");
    text = take_log();
    assert_string_equal(text, "lodge: a?[2Jb?c\n");
}

static void test_timestamps_come_first(void **state)
{
    g_autofree char *text = NULL;

    configure(NULL, true);
    log_info("x");
    text = take_log();
    assert_true(g_regex_match_simple("^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z lodge: x\n$", text, 0, 0));
}

static void test_guest_errors_are_limited_for_one_site(void **state)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    configure("guest_errors", false);
    for (int i = 0; i < 1000; i++) {
        guest_error("nic0", "bad descriptor %d", i);
    }
    guest_error("nic0", "another site");
    text = take_log();
    lines = g_strsplit(text, "\n", -1);
    assert_in_range(g_strv_length(lines), 3, 30);
    assert_string_equal(lines[0], "guest_errors: nic0: bad descriptor 0");
    assert_non_null(strstr(text, "another site"));
}

static void test_guest_errors_are_silent_unless_asked_for(void **state)
{
    g_autofree char *text = NULL;

    configure("pci", false);
    guest_error("nic0", "bad");
    text = take_log();
    assert_string_equal(text, "");
}

static void test_a_log_that_cannot_be_opened(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_false(log_configure("/nonexistent/log", NULL, false, &error));
    assert_non_null(strstr(error->message, "/nonexistent/log"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_name_the_program),
        cmocka_unit_test(test_line_of_any_length_is_whole),
        cmocka_unit_test(test_errors_show_their_hint),
        cmocka_unit_test(test_categories_are_switched),
        cmocka_unit_test(test_unknown_category_names_the_nearest),
        cmocka_unit_test(test_control_characters_do_not_reach_a_terminal),
        cmocka_unit_test(test_timestamps_come_first),
        cmocka_unit_test(test_guest_errors_are_limited_for_one_site),
        cmocka_unit_test(test_guest_errors_are_silent_unless_asked_for),
        cmocka_unit_test(test_a_log_that_cannot_be_opened),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
