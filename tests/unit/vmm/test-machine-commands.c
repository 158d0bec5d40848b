/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a QMP client is told of the domain, its machine, vCPUs, memory and threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/monitor/machine-rig.h"

#define ASK(COMMAND) "{\"execute\": \"" COMMAND "\"}"
#define RETURN(VALUE) "{\"return\": " VALUE "}"

static void test_the_domain_is_identified(void **state)
{
    static const uint8_t uuid[16] = { 0x55, 0x0e, 0x84, 0, 0xe2, 0x9b, 0x41, 0xd4, 0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0, 1 };

    machine_rig_ask(state, ASK("query-name"), RETURN("{\"name\": \"rig\"}"));
    machine_rig_ask(state, ASK("query-target"), RETURN("{\"arch\": \"x86_64\"}"));
    machine_rig_ask(state, ASK("query-uuid"), RETURN("{\"UUID\": \"00000000-0000-0000-0000-000000000000\"}"));
    domain_set_uuid(((MachineRig *)*state)->rig->domain, uuid);
    machine_rig_ask(state, ASK("query-uuid"), RETURN("{\"UUID\": \"550e8400-e29b-41d4-a716-446655440001\"}"));
    machine_rig_ask(state, ASK("query-kvm"), RETURN("{\"enabled\": false, \"present\": true}"));
}

static void test_machines_are_listed_as_tools_choose_them(void **state)
{
    g_autofree char *list = machine_rig_answer(state, ASK("query-machines"));

    assert_non_null(strstr(list, "{\"name\": \"pc-q35-7.2\", \"alias\": \"q35\", \"is-default\": true, \"cpu-max\": 288, "));
    assert_non_null(strstr(list, "\"default-cpu-type\": \"qemu64-x86_64-cpu\", \"default-ram-id\": \"pc.ram\"}"));
    assert_non_null(strstr(list, "{\"name\": \"none\", \"cpu-max\": 1, "));
    machine_rig_ask(state, ASK("query-current-machine"), RETURN("{\"wakeup-suspend-support\": false}"));
    machine_rig_ask(state, ASK("system_wakeup"), "{\"error\": {\"class\": \"GenericError\", \"desc\": "
                                                 "\"wake-up from suspend is not supported by this guest\"}}");
    machine_rig_ask(state, ASK("query-memory-size-summary"), RETURN("{\"base-memory\": 16777216}"));
}

static void test_vcpus_have_a_path_and_a_place(void **state)
{
    machine_rig_ask(state, ASK("query-cpus-fast"),
                    RETURN("[{\"cpu-index\": 0, \"qom-path\": \"/machine/cpu[0]\", \"thread-id\": 0, \"props\": "
                           "{\"socket-id\": 0, \"core-id\": 0, \"thread-id\": 0}, \"target\": \"x86_64\"}, "
                           "{\"cpu-index\": 1, \"qom-path\": \"/machine/cpu[1]\", \"thread-id\": 0, \"props\": "
                           "{\"socket-id\": 1, \"core-id\": 0, \"thread-id\": 0}, \"target\": \"x86_64\"}]"));
}

static void test_places_for_cpus_are_listed_from_the_last_on(void **state)
{
    g_autofree char *machines = machine_rig_answer(state, ASK("query-machines"));

    assert_non_null(strstr(machines, "\"cpu-max\": 288, \"hotpluggable-cpus\": true, "));
    machine_rig_ask(state, ASK("query-hotpluggable-cpus"),
                    RETURN("[{\"type\": \"qemu64-x86_64-cpu\", \"vcpus-count\": 1, \"props\": "
                           "{\"socket-id\": 1, \"core-id\": 0, \"thread-id\": 0}, \"qom-path\": \"/machine/cpu[1]\"}, "
                           "{\"type\": \"qemu64-x86_64-cpu\", \"vcpus-count\": 1, \"props\": "
                           "{\"socket-id\": 0, \"core-id\": 0, \"thread-id\": 0}, "
                           "\"qom-path\": \"/machine/cpu[0]\"}]"));
}

static void test_a_cpu_is_an_object_with_its_place(void **state)
{
    g_autofree char *properties = machine_rig_answer(state, "{\"execute\": \"device-list-properties\", \"arguments\": "
                                                            "{\"typename\": \"qemu64-x86_64-cpu\"}}");

    assert_non_null(strstr(properties, "{\"name\": \"socket-id\", "));
    machine_rig_ask(state, "{\"execute\": \"qom-get\", \"arguments\": {\"path\": \"/machine/cpu[1]\", "
                           "\"property\": \"socket-id\"}}", RETURN("1"));
    machine_rig_ask(state, "{\"execute\": \"qom-get\", \"arguments\": {\"path\": \"/machine/cpu[1]\", "
                           "\"property\": \"hotplugged\"}}", RETURN("false"));
}

static void test_objects_are_listed_by_kind(void **state)
{
#define RAM "{\"id\": \"rig.ram\", \"size\": 16777216, \"merge\": true, \"dump\": true, \"prealloc\": false, " \
            "\"share\": false, \"reserve\": true, \"host-nodes\": [], \"policy\": \"default\"}"
    g_autofree char *threads = NULL;

    machine_rig_ask(state, ASK("query-iothreads"), RETURN("[]"));
    machine_rig_ask(state, ASK("query-memdev"), RETURN("[" RAM "]"));
    machine_rig_ask(state, "{\"execute\": \"qom-get\", \"arguments\": {\"path\": \"/objects/rig.ram\", "
                           "\"property\": \"size\"}}", RETURN("16777216"));
    machine_rig_ask(state, "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": \"iothread\", \"id\": \"io\", "
                           "\"poll-max-ns\": 7}}", RETURN("{}"));
    machine_rig_ask(state, "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": \"memory-backend-ram\", "
                           "\"id\": \"m\", \"size\": 4096, \"merge\": false}}", RETURN("{}"));
    threads = machine_rig_answer(state, ASK("query-iothreads"));
    assert_true(g_str_has_prefix(threads, "{\"return\": [{\"id\": \"io\", \"thread-id\": "));
    assert_null(strstr(threads, "\"thread-id\": 0,"));
    assert_true(g_str_has_suffix(threads, "\"poll-max-ns\": 7, \"poll-grow\": 0, \"poll-shrink\": 0, \"aio-max-batch\": 0}]}"));
    machine_rig_ask(state, ASK("query-memdev"),
                    RETURN("[{\"id\": \"m\", \"size\": 4096, \"merge\": false, \"dump\": true, \"prealloc\": false, "
                           "\"share\": false, \"reserve\": true, \"host-nodes\": [], \"policy\": \"default\"}, " RAM "]"));
#undef RAM
}

static void test_capabilities_of_migrations_are_those_with_an_effect(void **state)
{
#define SET(NAME, STATE) "{\"execute\": \"migrate-set-capabilities\", \"arguments\": {\"capabilities\": " \
                         "[{\"capability\": \"" NAME "\", \"state\": " STATE "}]}}"
    machine_rig_ask(state, ASK("query-migrate-capabilities"),
                    "{\"return\": [{\"capability\": \"events\", \"state\": true}, "
                    "{\"capability\": \"pause-before-switchover\", \"state\": false}, "
                    "{\"capability\": \"return-path\", \"state\": true}, ...");
    machine_rig_ask(state, SET("events", "false"), RETURN("{}"));
    machine_rig_ask(state, ASK("query-migrate-capabilities"),
                    "{\"return\": [{\"capability\": \"events\", \"state\": false}, ...");
    machine_rig_ask(state, SET("xbzrle", "true"), "{\"error\": {\"class\": \"GenericError\", ...");
}

static void test_an_accelerator_without_statistics_has_none(void **state)
{
    machine_rig_ask(state, ASK("query-stats-schemas"), RETURN("[]"));
    machine_rig_ask(state, "{\"execute\": \"query-stats\", \"arguments\": {\"target\": \"vcpu\"}}", RETURN("[]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RIGGED(TEST) cmocka_unit_test_setup_teardown(TEST, machine_rig_setup, machine_rig_teardown)
        RIGGED(test_the_domain_is_identified),
        RIGGED(test_machines_are_listed_as_tools_choose_them),
        RIGGED(test_vcpus_have_a_path_and_a_place),
        RIGGED(test_places_for_cpus_are_listed_from_the_last_on),
        RIGGED(test_a_cpu_is_an_object_with_its_place),
        RIGGED(test_objects_are_listed_by_kind),
        RIGGED(test_capabilities_of_migrations_are_those_with_an_effect),
        RIGGED(test_an_accelerator_without_statistics_has_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
