/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Types and the tree of objects, as a QMP client sees them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/monitor/machine-rig.h"

#define GET(PATH, PROPERTY) \
    "{\"execute\": \"qom-get\", \"arguments\": {\"path\": \"" PATH "\", \"property\": \"" PROPERTY "\"}}"
#define SET(PATH, PROPERTY, VALUE) \
    "{\"execute\": \"qom-set\", \"arguments\": {\"path\": \"" PATH "\", \"property\": \"" PROPERTY "\", \"value\": " VALUE "}}"
#define LIST(PATH) "{\"execute\": \"qom-list\", \"arguments\": {\"path\": \"" PATH "\"}}"
#define OF_TYPE(COMMAND, TYPE) "{\"execute\": \"" COMMAND "\", \"arguments\": {\"typename\": \"" TYPE "\"}}"
#define ERROR(CLASS, TEXT) "{\"error\": {\"class\": \"" CLASS "\", \"desc\": \"" TEXT "\"}}"
#define RETURN(VALUE) "{\"return\": " VALUE "}"

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        fail_msg("'%s' is not in: %s", part, text);
    }
}

static void test_every_kind_of_type_is_listed(void **state)
{
    g_autofree char *all = machine_rig_answer(state, "{\"execute\": \"qom-list-types\"}");

    assert_has(all, "{\"name\": \"tcg-accel\", \"abstract\": false, \"parent\": \"accel\"}");
    assert_has(all, "{\"name\": \"virtio-rng-pci\", \"abstract\": false, \"parent\": \"virtio-pci\"}");
    assert_has(all, "{\"name\": \"iothread\", \"abstract\": false, \"parent\": \"object\"}");
    assert_has(all, "{\"name\": \"pc-q35-7.2-machine\", \"abstract\": false, \"parent\": \"machine\"}");
    assert_has(all, "{\"name\": \"max-x86_64-cpu\", \"abstract\": false, \"parent\": \"x86_64-cpu\"}");
    assert_has(all, "{\"name\": \"virtio-blk-pci-non-transitional\", \"abstract\": false, \"parent\": \"virtio-blk-pci\"}");
    assert_null(strstr(all, "\"abstract\": true"));
}

static void test_types_are_found_by_what_they_derive_from(void **state)
{
    machine_rig_ask(state, "{\"execute\": \"qom-list-types\", \"arguments\": {\"implements\": \"accel\", \"abstract\": true}}",
                    RETURN("[{\"name\": \"accel\", \"abstract\": true, \"parent\": \"object\"}, "
                           "{\"name\": \"kvm-accel\", \"abstract\": false, \"parent\": \"accel\"}, "
                           "{\"name\": \"tcg-accel\", \"abstract\": false, \"parent\": \"accel\"}]"));
    machine_rig_ask(state, "{\"execute\": \"qom-list-types\", \"arguments\": {\"implements\": \"nothing\"}}", RETURN("[]"));
}

static void test_properties_of_a_device_include_its_backends(void **state)
{
    g_autofree char *list = machine_rig_answer(state, OF_TYPE("device-list-properties", "virtio-rng-pci"));

    assert_has(list, "{\"name\": \"multifunction\", \"type\": \"bool\", ");
    assert_has(list, "{\"name\": \"period\", \"type\": \"uint32\", \"description\": \"Length of a period, ms\", "
                     "\"default-value\": 65536}");
    assert_has(list, "{\"name\": \"rng\", \"type\": \"str\", ");
    machine_rig_ask(state, OF_TYPE("device-list-properties", "virtio-ring-pci"),
                    ERROR("DeviceNotFound", "Device 'virtio-ring-pci' not found"));
    machine_rig_ask(state, OF_TYPE("device-list-properties", "iothread"),
                    ERROR("DeviceNotFound", "Device 'iothread' not found"));
}

static void test_properties_of_other_types(void **state)
{
    g_autofree char *cpu = machine_rig_answer(state, OF_TYPE("qom-list-properties", "max-x86_64-cpu"));
    g_autofree char *none = machine_rig_answer(state, OF_TYPE("qom-list-properties", "none-machine"));
    g_autofree char *file = machine_rig_answer(state, OF_TYPE("qom-list-properties", "memory-backend-file"));

    assert_has(cpu, "{\"name\": \"sse4.2\", \"type\": \"bool\", ");
    assert_has(cpu, "{\"name\": \"unavailable-features\", \"type\": \"strList\", ");
    assert_has(cpu, "{\"name\": \"migratable\", \"type\": \"bool\", ");
    assert_has(none, "{\"name\": \"memory-backend\", \"type\": \"str\", ");
    assert_has(file, "{\"name\": \"reserve\", \"type\": \"bool\", ");
    machine_rig_ask(state, OF_TYPE("qom-list-properties", "nothing"), ERROR("DeviceNotFound", "Class 'nothing' not found"));
}

static void test_the_tree_has_a_path_for_everything(void **state)
{
    g_autofree char *device = NULL, *machine = NULL;

    machine_rig_ask(state, LIST("/"), RETURN("[{\"name\": \"type\", \"type\": \"string\"}, "
                                             "{\"name\": \"objects\", \"type\": \"child<container>\"}, "
                                             "{\"name\": \"machine\", \"type\": \"child<rig-machine>\"}]"));
    machine = machine_rig_answer(state, LIST("/machine/"));
    assert_has(machine, "{\"name\": \"cpu[1]\", \"type\": \"child<qemu64-x86_64-cpu>\"}");
    machine_rig_ask(state, LIST("/machine/peripheral"),
                    RETURN("[{\"name\": \"type\", \"type\": \"string\"}, "
                           "{\"name\": \"rng0\", \"type\": \"child<virtio-rng-pci>\"}]"));
    machine_rig_ask(state, LIST("/machine/peripheral-anon"), RETURN("[{\"name\": \"type\", \"type\": \"string\"}]"));
    device = machine_rig_answer(state, LIST("/machine/peripheral/rng0"));
    assert_has(device, "{\"name\": \"virtio-backend\", \"type\": \"child<virtio-rng-device>\"}");
    assert_has(device, "{\"name\": \"addr\", \"type\": ");
    machine_rig_ask(state, LIST("/machine/peripheral/rng1"),
                    ERROR("DeviceNotFound", "Device '/machine/peripheral/rng1' not found"));
}

static void test_properties_are_read(void **state)
{
    machine_rig_ask(state, GET("/machine/peripheral/rng0", "type"), RETURN("\"virtio-rng-pci\""));
    machine_rig_ask(state, GET("/machine/peripheral/rng0", "realized"), RETURN("true"));
    machine_rig_ask(state, GET("/machine/peripheral/rng0", "packed"), RETURN("true"));
    machine_rig_ask(state, GET("rng0/virtio-backend", "packed"), RETURN("true"));
    machine_rig_ask(state, GET("/machine/peripheral/rng0", "rng"), RETURN("\"\""));
    machine_rig_ask(state, GET("/machine/peripheral/rng0", "virtio-backend"),
                    RETURN("\"/machine/peripheral/rng0/virtio-backend\""));
    machine_rig_ask(state, GET("/machine", "mem-merge"), RETURN("true"));
    machine_rig_ask(state, GET("/machine/cpu[0]", "fpu"), RETURN("true"));
    machine_rig_ask(state, GET("/machine/cpu[0]", "avx2"), RETURN("false"));
    machine_rig_ask(state, GET("/machine/peripheral/rng0", "colour"),
                    ERROR("GenericError", "Property 'virtio-rng-pci.colour' not found. qom-list shows what there is."));
}

static void test_a_short_path_must_be_the_only_one(void **state)
{
    char *wrong = rig_try_add(((MachineRig *)*state)->rig, "virtio-rng-pci,id=other");

    assert_null(wrong);
    machine_rig_ask(state, GET("other/virtio-backend", "packed"), RETURN("false"));
    machine_rig_ask(state, GET("virtio-backend", "packed"),
                    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Path 'virtio-backend' is ambiguous. ...");
}

static void test_only_what_may_change_at_run_time_is_set(void **state)
{
    machine_rig_ask(state, "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": \"iothread\", \"id\": \"io\"}}",
                    RETURN("{}"));
    machine_rig_ask(state, SET("/objects/io", "poll-max-ns", "4711"), RETURN("{}"));
    machine_rig_ask(state, GET("/objects/io", "poll-max-ns"), RETURN("4711"));
    machine_rig_ask(state, SET("/objects/io", "poll-max-ns", "\"never\""), "{\"error\": {\"class\": \"GenericError\", ...");
    machine_rig_ask(state, SET("/machine/peripheral/rng0", "packed", "false"),
                    ERROR("GenericError", "Property 'packed' of device 'rng0' cannot be changed any more once the device is in use"));
    machine_rig_ask(state, SET("/machine", "mem-merge", "false"),
                    ERROR("GenericError", "Property 'mem-merge' of '/machine' cannot be changed"));
    machine_rig_ask(state, SET("/machine/cpu[0]", "fpu", "false"),
                    ERROR("GenericError", "Property 'fpu' of '/machine/cpu[0]' cannot be changed"));
    machine_rig_ask(state, SET("/objects/io", "type", "\"x\""),
                    ERROR("GenericError", "Property 'type' of '/objects/io' cannot be changed"));
    machine_rig_ask(state, SET("/objects/io", "colour", "1"), "{\"error\": {\"class\": \"GenericError\", ...");
}

static void test_a_secret_is_not_told(void **state)
{
    machine_rig_ask(state, "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": \"secret\", \"id\": \"s\", "
                           "\"data\": \"open sesame\"}}", RETURN("{}"));
    machine_rig_ask(state, GET("/objects/s", "data"), RETURN("\"\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RIGGED(TEST) cmocka_unit_test_setup_teardown(TEST, machine_rig_setup, machine_rig_teardown)
        RIGGED(test_every_kind_of_type_is_listed),
        RIGGED(test_types_are_found_by_what_they_derive_from),
        RIGGED(test_properties_of_a_device_include_its_backends),
        RIGGED(test_properties_of_other_types),
        RIGGED(test_the_tree_has_a_path_for_everything),
        RIGGED(test_properties_are_read),
        RIGGED(test_a_short_path_must_be_the_only_one),
        RIGGED(test_only_what_may_change_at_run_time_is_set),
        RIGGED(test_a_secret_is_not_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
