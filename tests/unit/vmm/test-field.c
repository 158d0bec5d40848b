/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The field language on the tables that are hardest for it (qmp-tables.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "qmp-tables.h"
#include "vmm/error.h"
#include "vmm/field.h"

static void parse_json(const FieldStruct *desc, const char *text, FieldParseFlags flags, void *value)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Json) json = json_parse(text, strlen(text), &error);

    if (!json || !field_struct_parse(desc, json, flags, value, &error)) {
        fail_msg("%s", error->message);
    }
}

static void parse_text(const FieldStruct *desc, const char *text, const char *implied, void *value)
{
    g_autoptr(GError) error = NULL;

    if (!field_struct_parse_text(desc, text, implied, value, &error)) {
        fail_msg("%s", error->message);
    }
}

static void assert_written(const FieldStruct *desc, void *value, const char *expected)
{
    JsonWriter *w = json_writer_new(false);
    g_autofree char *text = NULL;

    field_struct_write(desc, value, w, NULL);
    text = json_writer_finish(w);
    field_struct_clear(desc, value);
    assert_string_equal(text, expected);
}

static void assert_error(GError *error, const char *expected)
{
    g_autofree char *text = error ? error_text(error) : NULL;

    assert_non_null(text);
    assert_string_equal(text, expected);
    g_error_free(error);
}

#define JSON_REFUSED(DESC, TYPE, TEXT, FLAGS, EXPECTED) \
    do { \
        TYPE value_; \
        GError *error_ = NULL; \
        Json *json_ = json_parse(TEXT, strlen(TEXT), NULL); \
        assert_non_null(json_); \
        assert_false(field_struct_parse(&DESC, json_, FLAGS, &value_, &error_)); \
        json_unref(json_); \
        assert_error(error_, EXPECTED); \
    } while (0)

#define TEXT_REFUSED(DESC, TYPE, TEXT, IMPLIED, EXPECTED) \
    do { \
        TYPE value_; \
        GError *error_ = NULL; \
        assert_false(field_struct_parse_text(&DESC, TEXT, IMPLIED, &value_, &error_)); \
        assert_error(error_, EXPECTED); \
    } while (0)

/* ---- tables ---- */

static void test_tables_have_no_mistakes(void **state)
{
    assert_null(field_struct_check(&blockdev_table));
    assert_null(field_struct_check(&netdev_table));
    assert_null(field_struct_check(&chardev_add_table));
}

static const FieldStruct bad_table = {
    .name = "Bad", .size = sizeof(InetAddress),
    .fields = (const Field[]){
        F_STR("host", InetAddress, host, NULL),
        F_UINT("host", InetAddress, port, 9, .min = 1, .max = 8, .help = "Port."),
        FIELD_END,
    },
};

static void test_check_finds_mistakes(void **state)
{
    g_autofree char *mistakes = field_struct_check(&bad_table);

    assert_non_null(strstr(mistakes, "Bad.host: has no help"));
    assert_non_null(strstr(mistakes, "Bad.host: is there twice"));
    assert_non_null(strstr(mistakes, "full stop"));
    assert_non_null(strstr(mistakes, "default out of its range"));
}

/* ---- blockdev-add ---- */

static void test_blockdev_defaults_and_absence(void **state)
{
    Blockdev b;

    parse_json(&blockdev_table, "{\"driver\": \"file\", \"filename\": \"a.img\"}", FIELD_STRICT, &b);
    assert_int_equal(b.driver, DRIVER_FILE);
    assert_false(b.has_read_only);
    assert_true(b.auto_read_only);
    assert_null(b.node_name);
    assert_string_equal(((BlockdevFile *)b.u)->filename, "a.img");
    assert_int_equal(((BlockdevFile *)b.u)->workers, 4);
    assert_written(&blockdev_table, &b,
                   "{\"driver\": \"file\", \"auto-read-only\": true, \"discard\": \"ignore\", "
                   "\"cache\": {\"direct\": false, \"no-flush\": false}, "
                   "\"filename\": \"a.img\", \"locking\": \"auto\", \"workers\": 4}");
}

static void test_blockdev_ref_is_a_name_or_a_node(void **state)
{
    Blockdev b;
    BlockdevFormat *raw;
    Blockdev *inner;

    parse_json(&blockdev_table, "{\"driver\": \"raw\", \"file\": \"node0\"}", FIELD_STRICT, &b);
    raw = b.u;
    assert_ptr_equal(raw->file.branch, &blockdev_ref_string);
    assert_string_equal(*(char **)raw->file.value, "node0");
    field_struct_clear(&blockdev_table, &b);

    parse_json(&blockdev_table,
               "{\"driver\": \"raw\", \"offset\": 512, \"file\": {\"driver\": \"file\", \"filename\": \"x\"}}",
               FIELD_STRICT, &b);
    raw = b.u;
    assert_ptr_equal(raw->file.branch, &blockdev_ref_object);
    inner = raw->file.value;
    assert_int_equal(inner->driver, DRIVER_FILE);
    assert_true(raw->has_offset);
    assert_false(raw->has_size);
    field_struct_clear(&blockdev_table, &b);
}

static void test_blockdev_as_key_value_text(void **state)
{
    Blockdev b;

    parse_text(&blockdev_table,
               "raw,node-name=disk,read-only=on,size=1M,cache.direct=on,file.driver=file,file.filename=a,,b.img",
               "driver", &b);
    assert_written(&blockdev_table, &b,
                   "{\"driver\": \"raw\", \"node-name\": \"disk\", \"read-only\": true, \"auto-read-only\": true, "
                   "\"discard\": \"ignore\", \"cache\": {\"direct\": true, \"no-flush\": false}, "
                   "\"file\": {\"driver\": \"file\", \"auto-read-only\": true, \"discard\": \"ignore\", "
                   "\"cache\": {\"direct\": false, \"no-flush\": false}, "
                   "\"filename\": \"a,b.img\", \"locking\": \"auto\", \"workers\": 4}, \"size\": 1048576}");
}

static void test_blockdev_list_of_alternates_as_text(void **state)
{
    Blockdev b;
    BlockdevQuorum *q;

    parse_text(&blockdev_table,
               "quorum,vote-threshold=1,children.1=b,children.0.driver=null-co", "driver", &b);
    q = b.u;
    assert_int_equal(q->children.n, 2);
    assert_int_equal(((Blockdev *)FIELD_LIST_AT(q->children, FieldAlternate, 0).value)->driver, DRIVER_NULL);
    assert_string_equal(*(char **)FIELD_LIST_AT(q->children, FieldAlternate, 1).value, "b");
    field_struct_clear(&blockdev_table, &b);
}

static void test_blockdev_text_may_be_json(void **state)
{
    Blockdev b;

    parse_text(&blockdev_table, "{\"driver\": \"null-co\"}", "driver", &b);
    assert_int_equal(b.driver, DRIVER_NULL);
    assert_null(b.u);
    field_struct_clear(&blockdev_table, &b);
}

static void test_blockdev_errors_name_the_whole_path(void **state)
{
    JSON_REFUSED(blockdev_table, Blockdev, "{\"driver\": \"raw\", \"file\": {\"driver\": \"file\"}}", FIELD_STRICT,
                 "Parameter 'file.filename' is missing");
    JSON_REFUSED(blockdev_table, Blockdev, "{\"driver\": \"raw\", \"file\": 7}", FIELD_STRICT,
                 "Parameter 'file' expects a string or an object, not an integer");
    JSON_REFUSED(blockdev_table, Blockdev,
                 "{\"driver\": \"quorum\", \"vote-threshold\": 1, \"children\": [\"a\", true]}", FIELD_STRICT,
                 "Parameter 'children[1]' expects a string or an object, not a boolean");
}

static void test_unknown_member_gets_the_nearest_of_the_chosen_case(void **state)
{
    JSON_REFUSED(blockdev_table, Blockdev, "{\"driver\": \"file\", \"filename\": \"x\", \"loking\": \"on\"}",
                 FIELD_STRICT,
                 "Parameter 'loking' is unknown. Did you mean 'locking'?");
    JSON_REFUSED(blockdev_table, Blockdev, "{\"driver\": \"null-co\", \"filename\": \"x\"}", FIELD_STRICT,
                 "Parameter 'filename' is unknown. "
                 "There is: driver, node-name, read-only, auto-read-only, discard, cache.");
    JSON_REFUSED(blockdev_table, Blockdev, "{\"driver\": \"null-co\", \"cache\": {\"dircet\": true}}", FIELD_STRICT,
                 "Parameter 'cache.dircet' is unknown. Did you mean 'direct'?");
}

static void test_misspelt_member_is_not_said_to_be_missing(void **state)
{
    JSON_REFUSED(blockdev_table, Blockdev, "{\"drvier\": \"file\", \"filename\": \"x\"}", FIELD_STRICT,
                 "Parameter 'drvier' is unknown. Did you mean 'driver'?");
    JSON_REFUSED(blockdev_table, Blockdev, "{\"filename\": \"x\"}", FIELD_STRICT, "Parameter 'driver' is missing");
}

static void test_unknown_enum_value_gets_the_nearest_or_all(void **state)
{
    JSON_REFUSED(blockdev_table, Blockdev, "{\"driver\": \"rwa\"}", FIELD_STRICT,
                 "Parameter 'driver' does not accept 'rwa'. Did you mean 'raw'?");
    JSON_REFUSED(blockdev_table, Blockdev, "{\"driver\": \"vvfat\"}", FIELD_STRICT,
                 "Parameter 'driver' does not accept 'vvfat'. It is one of: file, raw, quorum, null-co.");
}

static void test_out_of_range_names_the_range(void **state)
{
    JSON_REFUSED(blockdev_table, Blockdev, "{\"driver\": \"file\", \"filename\": \"x\", \"workers\": 65}", FIELD_STRICT,
                 "Parameter 'workers' expects a number from 1 to 64, not 65");
    JSON_REFUSED(blockdev_table, Blockdev, "{\"driver\": \"file\", \"filename\": \"x\", \"workers\": -1}", FIELD_STRICT,
                 "Parameter 'workers' expects a number from 1 to 64, not -1");
    TEXT_REFUSED(blockdev_table, Blockdev, "file,filename=x,workers=many", "driver",
                 "Parameter 'workers' expects a number from 1 to 64, not 'many'");
}

static void test_strict_mixes_no_types(void **state)
{
    JSON_REFUSED(blockdev_table, Blockdev, "{\"driver\": \"null-co\", \"read-only\": \"on\"}", FIELD_STRICT,
                 "Parameter 'read-only' expects a boolean, not a string");
    JSON_REFUSED(blockdev_table, Blockdev, "{\"driver\": \"null-co\", \"node-name\": 5}", FIELD_STRICT,
                 "Parameter 'node-name' expects a string, not an integer");
}

static void test_lenient_mixes_types(void **state)
{
    Blockdev b;

    parse_json(&blockdev_table,
               "{\"driver\": \"file\", \"read-only\": \"on\", \"filename\": 5, \"workers\": \"0x10\"}",
               FIELD_LENIENT, &b);
    assert_true(b.read_only);
    assert_string_equal(((BlockdevFile *)b.u)->filename, "5");
    assert_int_equal(((BlockdevFile *)b.u)->workers, 16);
    field_struct_clear(&blockdev_table, &b);
}

static void test_lenient_still_refuses_json_lists_for_one_value(void **state)
{
    JSON_REFUSED(blockdev_table, Blockdev, "{\"driver\": \"null-co\", \"node-name\": [\"a\"]}", FIELD_LENIENT,
                 "Parameter 'node-name' expects a string, not an array");
}

static void test_null_is_no_value_for_an_optional_member(void **state)
{
    JSON_REFUSED(blockdev_table, Blockdev, "{\"driver\": \"null-co\", \"node-name\": null}", FIELD_STRICT,
                 "Parameter 'node-name' expects a string, not null");
}

/* ---- netdev_add ---- */

static void test_repeated_key_makes_a_list(void **state)
{
    Netdev n;
    NetdevUser *u;

    parse_text(&netdev_table, "user,id=n0,hostfwd=tcp::1-:2,hostfwd=tcp::3-:4", "type", &n);
    u = n.u;
    assert_int_equal(u->hostfwd.n, 2);
    assert_string_equal(FIELD_LIST_AT(u->hostfwd, char *, 0), "tcp::1-:2");
    assert_string_equal(FIELD_LIST_AT(u->hostfwd, char *, 1), "tcp::3-:4");
    field_struct_clear(&netdev_table, &n);
}

static void test_one_text_is_a_list_of_one(void **state)
{
    Netdev n;

    parse_text(&netdev_table, "user,id=n0,hostfwd=tcp::1-:2", "type", &n);
    assert_int_equal(((NetdevUser *)n.u)->hostfwd.n, 1);
    field_struct_clear(&netdev_table, &n);
}

static void test_repeated_scalar_takes_the_last(void **state)
{
    Netdev n;

    parse_text(&netdev_table, "tap,id=a,id=b,sndbuf=1,sndbuf=2K", "type", &n);
    assert_string_equal(n.id, "b");
    assert_int_equal(((NetdevTap *)n.u)->sndbuf, 2048);
    field_struct_clear(&netdev_table, &n);
}

static void test_ranges_of_integers_spread(void **state)
{
    Netdev n;
    NetdevTap *t;

    parse_text(&netdev_table, "tap,id=a,queues=0-2,queues=7", "type", &n);
    t = n.u;
    assert_int_equal(t->queues.n, 4);
    assert_int_equal(FIELD_LIST_AT(t->queues, uint16_t, 2), 2);
    assert_int_equal(FIELD_LIST_AT(t->queues, uint16_t, 3), 7);
    field_struct_clear(&netdev_table, &n);
}

static void test_range_beyond_the_type_is_refused(void **state)
{
    TEXT_REFUSED(netdev_table, Netdev, "tap,id=a,queues=65535-65536", "type",
                 "Parameter 'queues[1]' expects a number from 0 to 65535, not 65536");
    TEXT_REFUSED(netdev_table, Netdev, "tap,id=a,queues=0-99999999999", "type",
                 "Parameter 'queues[0]' expects a number from 0 to 65535, not '0-99999999999'");
}

static void test_key_alone_is_on_and_no_key_is_off(void **state)
{
    Netdev n;

    parse_text(&netdev_table, "tap,id=a,vhost", "type", &n);
    assert_true(((NetdevTap *)n.u)->vhost);
    field_struct_clear(&netdev_table, &n);
    parse_text(&netdev_table, "tap,id=a,novhost", "type", &n);
    assert_true(((NetdevTap *)n.u)->has_vhost);
    assert_false(((NetdevTap *)n.u)->vhost);
    field_struct_clear(&netdev_table, &n);
}

static void test_numbers_take_fractions(void **state)
{
    Netdev n;

    parse_text(&netdev_table, "user,id=a,loss=0.25", "type", &n);
    assert_true(((NetdevUser *)n.u)->loss == 0.25);
    field_struct_clear(&netdev_table, &n);
    TEXT_REFUSED(netdev_table, Netdev, "user,id=a,loss=nan", "type", "Parameter 'loss' expects a number, not 'nan'");
}

static void test_an_empty_list_is_not_an_absent_one(void **state)
{
    Netdev n;

    parse_json(&netdev_table, "{\"type\": \"user\", \"id\": \"a\", \"hostfwd\": []}", FIELD_STRICT, &n);
    assert_written(&netdev_table, &n, "{\"id\": \"a\", \"type\": \"user\", \"hostfwd\": [], \"loss\": 0}");
}

/* ---- chardev-add ---- */

static void test_wrapped_union_round_trip(void **state)
{
    static const char text[] = "{\"id\": \"c\", \"backend\": {\"type\": \"socket\", \"data\": {\"logfile\": \"l\", "
                               "\"addr\": {\"type\": \"inet\", \"data\": {\"host\": \"h\", \"port\": \"1\"}}, "
                               "\"server\": false}}}";
    ChardevAdd c;

    parse_json(&chardev_add_table, text, FIELD_STRICT, &c);
    assert_string_equal(((ChardevSocketWrapper *)c.backend.u)->data->common.logfile, "l");
    assert_written(&chardev_add_table, &c, text);
}

static void test_failure_deep_inside_owns_nothing(void **state)
{
    JSON_REFUSED(chardev_add_table, ChardevAdd,
                 "{\"id\": \"c\", \"backend\": {\"type\": \"socket\", \"data\": {\"logfile\": \"l\", "
                 "\"addr\": {\"type\": \"inet\", \"data\": {\"host\": \"h\"}}}}}",
                 FIELD_STRICT, "Parameter 'backend.data.addr.data.port' is missing");
}

static void test_missing_branch_is_named(void **state)
{
    JSON_REFUSED(chardev_add_table, ChardevAdd, "{\"id\": \"c\", \"backend\": {\"type\": \"socket\"}}", FIELD_STRICT,
                 "Parameter 'backend.data' is missing");
}

/* ---- one field ---- */

static void test_a_refused_value_leaves_the_old_one(void **state)
{
    const Field *field = field_struct_find(&netdev_tap_table, "sndbuf");
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    NetdevTap t;

    field_struct_init(&netdev_tap_table, &t);
    assert_true(field_parse_text(field, "64K", &t, &error));
    assert_false(field_parse_text(field, "lots", &t, &error));
    assert_string_equal(error->message, "Parameter 'sndbuf' expects a size, but 'lots' is no size");
    text = field_format(field, &t);
    assert_string_equal(text, "64K");
    field_struct_clear(&netdev_tap_table, &t);
}

static void test_help_shows_type_default_and_cases(void **state)
{
    g_autoptr(GString) out = g_string_new(NULL);

    field_struct_help(&netdev_table, "netdev options", out);
    assert_string_equal(out->str,
                        "netdev options:\n"
                        "  id=<str>                       - name (required)\n"
                        "  type=<user|tap|none>           - kind (required)\n"
                        " type=user:\n"
                        "  ipv4=<bool>                    - IPv4\n"
                        "  hostfwd=<[str]>                - forwarded ports\n"
                        "  loss=<number>                  - share of lost packets (default: 0)\n"
                        " type=tap:\n"
                        "  ifname=<str>                   - interface\n"
                        "  vhost=<bool>                   - vhost-net\n"
                        "  queues=<[uint16]>              - queue numbers\n"
                        "  sndbuf=<size>                  - send buffer (default: 1M)\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_have_no_mistakes),
        cmocka_unit_test(test_check_finds_mistakes),
        cmocka_unit_test(test_blockdev_defaults_and_absence),
        cmocka_unit_test(test_blockdev_ref_is_a_name_or_a_node),
        cmocka_unit_test(test_blockdev_as_key_value_text),
        cmocka_unit_test(test_blockdev_list_of_alternates_as_text),
        cmocka_unit_test(test_blockdev_text_may_be_json),
        cmocka_unit_test(test_blockdev_errors_name_the_whole_path),
        cmocka_unit_test(test_unknown_member_gets_the_nearest_of_the_chosen_case),
        cmocka_unit_test(test_misspelt_member_is_not_said_to_be_missing),
        cmocka_unit_test(test_unknown_enum_value_gets_the_nearest_or_all),
        cmocka_unit_test(test_out_of_range_names_the_range),
        cmocka_unit_test(test_strict_mixes_no_types),
        cmocka_unit_test(test_lenient_mixes_types),
        cmocka_unit_test(test_lenient_still_refuses_json_lists_for_one_value),
        cmocka_unit_test(test_null_is_no_value_for_an_optional_member),
        cmocka_unit_test(test_repeated_key_makes_a_list),
        cmocka_unit_test(test_one_text_is_a_list_of_one),
        cmocka_unit_test(test_repeated_scalar_takes_the_last),
        cmocka_unit_test(test_ranges_of_integers_spread),
        cmocka_unit_test(test_range_beyond_the_type_is_refused),
        cmocka_unit_test(test_key_alone_is_on_and_no_key_is_off),
        cmocka_unit_test(test_numbers_take_fractions),
        cmocka_unit_test(test_an_empty_list_is_not_an_absent_one),
        cmocka_unit_test(test_wrapped_union_round_trip),
        cmocka_unit_test(test_failure_deep_inside_owns_nothing),
        cmocka_unit_test(test_missing_branch_is_named),
        cmocka_unit_test(test_a_refused_value_leaves_the_old_one),
        cmocka_unit_test(test_help_shows_type_default_and_cases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
