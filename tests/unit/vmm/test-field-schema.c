/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Introspection as QMP clients read it: entities are looked up by name, from a command on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "qmp-tables.h"
#include "vmm/error.h"
#include "vmm/field.h"

static const char *const oob_features[] = { "savevm-monitor-nodes", NULL };
static const Field strings_result = FIELD_VALUE(FIELD_LIST, FieldList, .of.element = &string_element);

static int setup(void **state)
{
    FieldSchema *s = field_schema_new();
    JsonWriter *w = json_writer_new(false);
    g_autofree char *text = NULL;

    field_schema_add_command(s, "blockdev-add", &blockdev_table, NULL, false, NULL);
    field_schema_add_command(s, "netdev_add", &netdev_table, NULL, false, NULL);
    field_schema_add_command(s, "chardev-add", &chardev_add_table, &strings_result, true, oob_features);
    field_schema_add_event(s, "STOP", NULL);
    field_schema_write(s, w, NULL);
    field_schema_free(s);
    text = json_writer_finish(w);
    *state = json_parse(text, strlen(text), NULL);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    json_unref(*state);
    return 0;
}

static const char *string(const Json *object, const char *name)
{
    const Json *value = json_object_get_member(object, name);

    return value ? json_get_string(value) : NULL;
}

/* The element of an array whose member `key` is `value`. */
static Json *find(const Json *array, const char *key, const char *value)
{
    for (size_t i = 0; array && i < json_array_length(array); i++) {
        Json *item = json_array_get(array, i);

        if (g_strcmp0(string(item, key), value) == 0) {
            return item;
        }
    }
    fail_msg("no %s '%s'", key, value);
    return NULL;
}

static Json *entity(void **state, const char *name)
{
    return find(*state, "name", name);
}

static Json *member(const Json *entity, const char *name)
{
    return find(json_object_get_member(entity, "members"), "name", name);
}

static void test_command_names_its_argument_and_result(void **state)
{
    Json *command = entity(state, "blockdev-add");

    assert_string_equal(string(command, "meta-type"), "command");
    assert_string_equal(string(entity(state, string(command, "arg-type")), "meta-type"), "object");
    assert_int_equal(json_array_length(json_object_get_member(entity(state, string(command, "ret-type")), "members")),
                     0);
    assert_null(json_object_get_member(command, "allow-oob"));
}

static void test_command_shows_oob_and_features(void **state)
{
    Json *command = entity(state, "chardev-add");

    assert_true(json_get_bool(json_object_get_member(command, "allow-oob")));
    assert_string_equal(json_get_string(json_array_get(json_object_get_member(command, "features"), 0)),
                        "savevm-monitor-nodes");
}

static void test_result_may_be_a_list(void **state)
{
    Json *list = entity(state, string(entity(state, "chardev-add"), "ret-type"));

    assert_string_equal(string(list, "meta-type"), "array");
    assert_string_equal(string(list, "name"), "[str]");
    assert_string_equal(string(list, "element-type"), "str");
}

static void test_event_without_data(void **state)
{
    Json *event = entity(state, "STOP");

    assert_string_equal(string(event, "meta-type"), "event");
    assert_int_equal(json_array_length(json_object_get_member(entity(state, string(event, "arg-type")), "members")), 0);
}

static void test_optional_members_have_a_null_default(void **state)
{
    Json *arg = entity(state, string(entity(state, "blockdev-add"), "arg-type"));

    assert_null(json_object_get_member(member(arg, "driver"), "default"));
    assert_int_equal(json_type_of(json_object_get_member(member(arg, "node-name"), "default")), JSON_NULL);
}

static void test_member_features(void **state)
{
    Json *arg = entity(state, string(entity(state, "blockdev-add"), "arg-type"));

    assert_string_equal(json_get_string(json_array_get(json_object_get_member(member(arg, "discard"), "features"), 0)),
                        "deprecated");
}

static void test_union_lists_every_case(void **state)
{
    Json *arg = entity(state, string(entity(state, "blockdev-add"), "arg-type"));
    Json *variants = json_object_get_member(arg, "variants");
    Json *file = entity(state, string(find(variants, "case", "file"), "type"));

    assert_string_equal(string(arg, "tag"), "driver");
    assert_int_equal(json_array_length(variants), 4);
    assert_string_equal(string(member(file, "filename"), "type"), "str");
    assert_string_equal(json_get_string(json_array_get(json_object_get_member(file, "features"), 0)),
                        "dynamic-auto-read-only");
    assert_int_equal(json_array_length(json_object_get_member(
                         entity(state, string(find(variants, "case", "null-co"), "type")), "members")), 0);
}

static void test_alternate_leads_back_to_its_own_union(void **state)
{
    const char *arg_name = string(entity(state, "blockdev-add"), "arg-type");
    Json *variants = json_object_get_member(entity(state, arg_name), "variants");
    Json *raw = entity(state, string(find(variants, "case", "raw"), "type"));
    Json *ref = entity(state, string(member(raw, "file"), "type"));
    Json *branches = json_object_get_member(ref, "members");

    assert_string_equal(string(ref, "meta-type"), "alternate");
    find(branches, "type", "str");
    find(branches, "type", arg_name);
}

static void test_list_of_alternates(void **state)
{
    Json *arg = entity(state, string(entity(state, "blockdev-add"), "arg-type"));
    Json *variants = json_object_get_member(arg, "variants");
    Json *quorum = entity(state, string(find(variants, "case", "quorum"), "type"));
    Json *list = entity(state, string(member(quorum, "children"), "type"));

    assert_string_equal(string(list, "meta-type"), "array");
    assert_string_equal(string(entity(state, string(list, "element-type")), "meta-type"), "alternate");
}

static void test_enum_lists_values_and_members(void **state)
{
    Json *arg = entity(state, string(entity(state, "netdev_add"), "arg-type"));
    Json *type = entity(state, string(member(arg, "type"), "type"));

    assert_string_equal(string(type, "meta-type"), "enum");
    assert_string_equal(json_get_string(json_array_get(json_object_get_member(type, "values"), 1)), "tap");
    find(json_object_get_member(type, "members"), "name", "tap");
}

static void test_builtins_are_entities(void **state)
{
    assert_string_equal(string(entity(state, "int"), "json-type"), "int");
    assert_string_equal(string(entity(state, "bool"), "json-type"), "boolean");
    assert_string_equal(string(entity(state, "str"), "json-type"), "string");
    assert_string_equal(string(entity(state, "number"), "json-type"), "number");
}

static void test_base_members_are_shown_flat(void **state)
{
    Json *arg = entity(state, string(entity(state, "chardev-add"), "arg-type"));
    Json *backend = entity(state, string(member(arg, "backend"), "type"));
    Json *wrapper = entity(state, string(find(json_object_get_member(backend, "variants"), "case", "socket"), "type"));
    Json *socket = entity(state, string(member(wrapper, "data"), "type"));

    member(socket, "logfile");
    member(socket, "addr");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_names_its_argument_and_result),
        cmocka_unit_test(test_command_shows_oob_and_features),
        cmocka_unit_test(test_result_may_be_a_list),
        cmocka_unit_test(test_event_without_data),
        cmocka_unit_test(test_optional_members_have_a_null_default),
        cmocka_unit_test(test_member_features),
        cmocka_unit_test(test_union_lists_every_case),
        cmocka_unit_test(test_alternate_leads_back_to_its_own_union),
        cmocka_unit_test(test_list_of_alternates),
        cmocka_unit_test(test_enum_lists_values_and_members),
        cmocka_unit_test(test_builtins_are_entities),
        cmocka_unit_test(test_base_members_are_shown_flat),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
