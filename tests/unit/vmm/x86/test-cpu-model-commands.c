/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPU models, as a QMP client sees what this accelerator gives of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/monitor/machine-rig.h"

#define EXPAND(TYPE, MODEL) \
    "{\"execute\": \"query-cpu-model-expansion\", \"arguments\": {\"type\": \"" TYPE "\", \"model\": {" MODEL "}}}"
#define ERROR(TEXT) "{\"error\": {\"class\": \"GenericError\", \"desc\": \"" TEXT "\"}}"

static void test_definitions_say_what_cannot_be_given(void **state)
{
    g_autofree char *list = machine_rig_answer(state, "{\"execute\": \"query-cpu-definitions\"}");

    assert_non_null(strstr(list, "{\"name\": \"max\", \"migration-safe\": false, \"static\": false, "
                                 "\"unavailable-features\": [], \"typename\": \"max-x86_64-cpu\", \"deprecated\": false}"));
    assert_non_null(strstr(list, "{\"name\": \"base\", \"migration-safe\": true, \"static\": true, "
                                 "\"unavailable-features\": [], "));
    assert_non_null(strstr(list, "{\"name\": \"EPYC-Milan\", \"migration-safe\": true, "));
}

static void test_a_static_expansion_is_of_base_and_says_every_feature(void **state)
{
    g_autofree char *max = machine_rig_answer(state, EXPAND("static", "\"name\": \"max\""));

    assert_true(g_str_has_prefix(max, "{\"return\": {\"model\": {\"name\": \"base\", \"props\": {\"fpu\": true, "));
    assert_non_null(strstr(max, "\"kvmclock\": "));
    assert_non_null(strstr(max, "\"vendor\": \""));
    assert_null(strstr(max, "\"tsc-frequency\""));
}

/* Given back whole, an expansion expands to itself. */
static void test_an_expansion_is_the_model(void **state)
{
    g_autofree char *first = machine_rig_answer(state, EXPAND("static", "\"name\": \"qemu64\""));
    const char *model = strstr(first, "{\"name\": ");
    g_autofree char *request = g_strdup_printf("{\"execute\": \"query-cpu-model-expansion\", \"arguments\": "
                                               "{\"type\": \"static\", \"model\": %.*s}}", (int)(strlen(model) - 2), model);
    g_autofree char *second = machine_rig_answer(state, request);

    assert_string_equal(first, second);
}

static void test_properties_change_what_is_expanded(void **state)
{
    g_autofree char *changed = machine_rig_answer(
        state, EXPAND("full", "\"name\": \"qemu64\", \"props\": {\"cx16\": false, \"stepping\": 9, \"vendor\": \"GenuineIntel\", "
                              "\"tsc-frequency\": 1000000000}"));

    assert_true(g_str_has_prefix(changed, "{\"return\": {\"model\": {\"name\": \"qemu64\", \"props\": {"));
    assert_non_null(strstr(changed, "\"cx16\": false"));
    assert_non_null(strstr(changed, "\"stepping\": 9,"));
    assert_non_null(strstr(changed, "\"vendor\": \"GenuineIntel\""));
    assert_non_null(strstr(changed, "\"tsc-frequency\": 1000000000"));
}

static void test_mistakes_are_told(void **state)
{
    machine_rig_ask(state, EXPAND("static", "\"name\": \"qemu65\""),
                    ERROR("there is no CPU model 'qemu65'. Did you mean 'qemu64'?"));
    machine_rig_ask(state, EXPAND("full", "\"name\": \"host\", \"props\": {\"hv-passthrough\": true}"),
                    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"-cpu: there is no feature or option 'hv-passthrough...");
    machine_rig_ask(state, EXPAND("static", "\"name\": \"max\", \"props\": 1"), ERROR("'props' must be an object"));
    machine_rig_ask(state, EXPAND("static", "\"name\": \"max\", \"props\": {\"model-id\": \"a,+avx2\"}"),
                    ERROR("'props.model-id': there can be no comma in it"));
    machine_rig_ask(state, EXPAND("static", "\"name\": \"max\", \"props\": {\"avx\": []}"),
                    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"'props.avx' is not true...");
    machine_rig_ask(state, EXPAND("static", "\"name\": \"max,enforce\""), ERROR("there is no CPU model 'max,enforce'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RIGGED(TEST) cmocka_unit_test_setup_teardown(TEST, machine_rig_setup, machine_rig_teardown)
        RIGGED(test_definitions_say_what_cannot_be_given),
        RIGGED(test_a_static_expansion_is_of_base_and_says_every_feature),
        RIGGED(test_an_expansion_is_the_model),
        RIGGED(test_properties_change_what_is_expanded),
        RIGGED(test_mistakes_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
