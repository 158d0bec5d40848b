/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects as a QMP client makes and removes them; secrets. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/monitor/monitor-rig.h"
#include "vmm/object-commands.h"
#include "vmm/object.h"
#include "vmm/secret.h"

#define ADD(MEMBERS) "{\"execute\": \"object-add\", \"arguments\": {" MEMBERS "}}"
#define DEL(ID) "{\"execute\": \"object-del\", \"arguments\": {\"id\": \"" ID "\"}}"
#define DONE "{\"return\": {}}"
#define ERROR(TEXT) "{\"error\": {\"class\": \"GenericError\", \"desc\": \"" TEXT "\"}}"

static int teardown(void **state)
{
    objects_free(((MonitorRig *)*state)->domain);
    return monitor_rig_teardown(state);
}

static void test_introspection_knows_every_class(void **state)
{
    const Field *type = field_struct_find(&object_options, "qom-type");
    size_t i;

    for (i = 0; object_classes[i]; i++) {
        assert_string_equal(type->of.enumeration->values[i], object_classes[i]->name);
        assert_string_equal(object_options.cases[i].value, object_classes[i]->name);
        assert_ptr_equal(object_options.cases[i].structure, object_classes[i]->props);
    }
    assert_null(type->of.enumeration->values[i]);
}

static void test_an_object_comes_and_goes(void **state)
{
    MonitorRig *r = *state;

    monitor_rig_ask(r, ADD("\"qom-type\": \"rng-builtin\", \"id\": \"r\""), DONE);
    assert_non_null(object_find(r->domain, "r", NULL, NULL));
    monitor_rig_ask(r, DEL("r"), DONE);
    monitor_rig_ask(r, DEL("r"), ERROR("There is no object 'r'"));
}

static void test_a_thread_comes_and_goes(void **state)
{
    monitor_rig_ask(*state, ADD("\"qom-type\": \"iothread\", \"id\": \"t\", \"poll-max-ns\": 0"), DONE);
    monitor_rig_ask(*state, DEL("t"), DONE);
}

static void test_mistakes_are_told(void **state)
{
    monitor_rig_ask(*state, "{\"execute\": \"object-add\"}", ERROR("An object needs a type. Write -object TYPE,id=NAME."));
    monitor_rig_ask(*state, ADD("\"qom-type\": \"secrt\", \"id\": \"s\""),
                    ERROR("There is no object type 'secrt'. Did you mean 'secret'?"));
    monitor_rig_ask(*state, ADD("\"qom-type\": \"iothread\", \"id\": \"t\", \"pol-max-ns\": 1"),
                    ERROR("t: Parameter 'pol-max-ns' is unknown. Did you mean 'poll-max-ns'?"));
}

static void test_an_object_in_use_stays(void **state)
{
    MonitorRig *r = *state;

    monitor_rig_ask(r, ADD("\"qom-type\": \"rng-builtin\", \"id\": \"r\""), DONE);
    object_find(r->domain, "r", NULL, NULL)->users++;
    monitor_rig_ask(r, DEL("r"), ERROR("Object 'r' is in use. Remove what uses it first."));
}

static void test_a_secret_is_its_text(void **state)
{
    MonitorRig *r = *state;
    const uint8_t *bytes;
    size_t length;

    monitor_rig_ask(r, ADD("\"qom-type\": \"secret\", \"id\": \"s\", \"data\": \"open sesame\""), DONE);
    bytes = secret_find(r->domain, "s", &length, NULL);
    assert_int_equal(length, strlen("open sesame"));
    assert_memory_equal(bytes, "open sesame", length);
}

static void test_a_secret_may_be_any_bytes_of_a_file(void **state)
{
    MonitorRig *r = *state;
    g_autofree char *path = g_build_filename(r->folder, "key", NULL);
    g_autofree char *raw = g_strdup_printf(ADD("\"qom-type\": \"secret\", \"id\": \"raw\", \"file\": \"%s\""), path);
    g_autofree char *coded = g_strdup_printf(ADD("\"qom-type\": \"secret\", \"id\": \"coded\", \"file\": \"%s\", "
                                                 "\"format\": \"base64\""), path);
    const uint8_t *bytes;
    size_t length;

    assert_true(g_file_set_contents(path, "\0\xff" "A", 3, NULL));
    monitor_rig_ask(r, raw, DONE);
    bytes = secret_find(r->domain, "raw", &length, NULL);
    assert_int_equal(length, 3);
    assert_memory_equal(bytes, "\0\xff" "A", 3);
    monitor_rig_ask(r, coded, ERROR("coded: the base64 text has a zero byte in it"));
    assert_true(g_file_set_contents(path, "AP9B\n", -1, NULL));
    monitor_rig_ask(r, coded, DONE);
    bytes = secret_find(r->domain, "coded", &length, NULL);
    assert_int_equal(length, 3);
    assert_memory_equal(bytes, "\0\xff" "A", 3);
    unlink(path);
}

static void test_secrets_that_cannot_be_are_refused(void **state)
{
    monitor_rig_ask(*state, ADD("\"qom-type\": \"secret\", \"id\": \"s\""),
                    ERROR("s: a secret needs one of 'data' and 'file'"));
    monitor_rig_ask(*state, ADD("\"qom-type\": \"secret\", \"id\": \"s\", \"data\": \"a\", \"file\": \"b\""),
                    ERROR("s: a secret needs one of 'data' and 'file'"));
    monitor_rig_ask(*state, ADD("\"qom-type\": \"secret\", \"id\": \"s\", \"data\": \"a\", \"keyid\": \"k\""),
                    ERROR("s: encrypted secrets ('keyid', 'iv') are not supported. "
                          "Give the secret as it is, in a file that only this process may read."));
    monitor_rig_ask(*state, ADD("\"qom-type\": \"secret\", \"id\": \"s\", \"data\": \"a!\", \"format\": \"base64\""),
                    ERROR("s: '!' is no base64 digit"));
    monitor_rig_ask(*state, ADD("\"qom-type\": \"secret\", \"id\": \"s\", \"data\": \"QQ==QQ==\", \"format\": \"base64\""),
                    ERROR("s: the base64 text goes on after its end"));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, monitor_rig_negotiated, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_introspection_knows_every_class),
        TEST(test_an_object_comes_and_goes),
        TEST(test_a_thread_comes_and_goes),
        TEST(test_mistakes_are_told),
        TEST(test_an_object_in_use_stays),
        TEST(test_a_secret_is_its_text),
        TEST(test_a_secret_may_be_any_bytes_of_a_file),
        TEST(test_secrets_that_cannot_be_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
