/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor-rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/commands.h"
#include "monitor/hmp.h"
#include "vmm/error.h"

static void assert_said(MonitorRig *r, const char *line, const char *expected)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    HmpSession session = { .domain = r->domain };

    if (!hmp_run(&session, line, out, &error)) {
        g_autofree char *text = error_text(error);

        g_string_append(out, text);
    }
    assert_string_equal(out->str, expected);
}

static void test_commands_are_those_of_qmp(void **state)
{
    assert_said(*state, "info status", "VM status: paused (prelaunch)\n");
    assert_said(*state, "cont", "");
    assert_said(*state, "info status", "VM status: running\n");
    assert_said(*state, "  s  ", "");
    assert_said(*state, "info status", "VM status: paused\n");
    assert_said(*state, "info version", "7.2.0 (lodge " LODGE_VERSION ")\n");
}

static void test_mistakes_are_told(void **state)
{
    assert_said(*state, "stp", "unknown command: 'stp'. Did you mean 'stop'?");
    assert_said(*state, "xyzzy", "unknown command: 'xyzzy'. 'help' lists them.");
    assert_said(*state, "info sttus", "unknown topic: 'sttus'. Did you mean 'status'?");
    assert_said(*state, "stop now", "'now' is one argument too many");
    assert_said(*state, "info name # now", "'#' is one argument too many");
    assert_said(*state, "info name '#'\\## \"#\"", "'###' is one argument too many");
    assert_said(*state, "info history now", "'now' is one argument too many");
    assert_said(*state, "x", "an argument is missing. Write x /FORMAT ADDRESS.");
    assert_said(*state, "stop \"now", "a quotation in '\"now' does not end");
    assert_said(*state, "info registers 0", "there is no vCPU 0; this domain has 0");
    assert_said(*state, "info registers x", "'x' is not the number of a vCPU");
}

static void test_help_knows_each_command(void **state)
{
    MonitorRig *r = *state;
    HmpSession session = { .domain = r->domain };

    for (const HmpCommand *c = hmp_commands; c->name; c++) {
        g_autofree char *line = g_strdup_printf("help %s", c->name);
        g_autoptr(GString) out = g_string_new(NULL);

        assert_true(hmp_run(&session, line, out, NULL));
        assert_true(out->len > 36 && g_str_has_prefix(out->str, c->name));
    }
}

/* A row that names a QMP command which does not exist would be found only when somebody types it. */
static void test_rows_name_commands_that_exist(void **state)
{
    for (const HmpCommand *c = hmp_commands; c->name; c++) {
        assert_true(c->run || command_find(c->command, NULL));
    }
    for (const HmpCommand *c = hmp_info_topics; c->name; c++) {
        assert_true(c->run || (c->print && command_find(c->command, NULL)));
    }
}

static void test_words_are_completed(void **state)
{
    MonitorRig *r = *state;
    HmpSession session = { .domain = r->domain };
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);

    hmp_complete(&session, "info regi", words);
    assert_int_equal(words->len, 1);
    assert_string_equal(words->pdata[0], "registers");
    hmp_complete(&session, "hel", words);
    assert_string_equal(words->pdata[1], "help");
}

static void test_programs_get_it_as_text(void **state)
{
    monitor_rig_ask(*state, "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": \"info status\"}}",
                    "{\"return\": \"VM status: paused (prelaunch)\\r\\n\"}");
    monitor_rig_ask(*state, "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": \"xyzzy\"}}",
                    "{\"return\": \"Error: unknown command: 'xyzzy'...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define NEGOTIATED(TEST) cmocka_unit_test_setup_teardown(TEST, monitor_rig_negotiated, monitor_rig_teardown)
        NEGOTIATED(test_commands_are_those_of_qmp), NEGOTIATED(test_mistakes_are_told),
        NEGOTIATED(test_help_knows_each_command),   NEGOTIATED(test_rows_name_commands_that_exist),
        NEGOTIATED(test_words_are_completed),       NEGOTIATED(test_programs_get_it_as_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
