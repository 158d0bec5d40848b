/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line, as a QMP client sees it described. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/monitor/machine-rig.h"
#include "vmm/options.h"

#define OPTION(NAME) "{\"execute\": \"query-command-line-options\", \"arguments\": {\"option\": \"" NAME "\"}}"

static void test_every_option_with_a_group_is_listed(void **state)
{
    g_autofree char *all = machine_rig_answer(state, "{\"execute\": \"query-command-line-options\"}");

    for (const Option *o = option_table; o->name; o++) {
        g_autofree char *entry = o->group ? g_strdup_printf("{\"option\": \"%s\", \"parameters\": [", o->group) : NULL;

        assert_true(!entry || strstr(all, entry));
    }
}

static void test_keys_have_types_and_help(void **state)
{
    machine_rig_ask(state, OPTION("overcommit"),
                    "{\"return\": [{\"option\": \"overcommit\", \"parameters\": [{\"name\": \"mem-lock\", "
                    "\"type\": \"boolean\", \"help\": \"keep all memory in RAM (mlockall)\"}...");
    machine_rig_ask(state, OPTION("overcomit"),
                    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"invalid option name: overcomit\"}}");
}

static void test_languages_of_upper_floors_and_of_every_machine_are_known(void **state)
{
    g_autofree char *drive = machine_rig_answer(state, OPTION("drive"));
    g_autofree char *machine = machine_rig_answer(state, OPTION("machine"));

    assert_non_null(strstr(drive, "{\"name\": \"if\", "));
    assert_non_null(strstr(machine, "{\"name\": \"memory-backend\", "));
    assert_null(strstr(machine, "{\"name\": \"hpet\", ")); /* else libvirt 9.0 refuses who asks for one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RIGGED(TEST) cmocka_unit_test_setup_teardown(TEST, machine_rig_setup, machine_rig_teardown)
        RIGGED(test_every_option_with_a_group_is_listed),
        RIGGED(test_keys_have_types_and_help),
        RIGGED(test_languages_of_upper_floors_and_of_every_machine_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
