/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/error.h"
#include "vmm/field.h"

static void assert_parsed(const char *text, const char *implied, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Json) json = keyval_parse(text, implied, &error);
    JsonWriter *w = json_writer_new(false);
    g_autofree char *written = NULL;

    if (!json) {
        fail_msg("%s", error->message);
    }
    json_write_value(w, NULL, json);
    written = json_writer_finish(w);
    assert_string_equal(written, expected);
}

static void assert_refused(const char *text, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Json) json = keyval_parse(text, NULL, &error);

    assert_null(json);
    if (!strstr(error->message, part)) {
        fail_msg("'%s' does not contain '%s'", error->message, part);
    }
}

static void test_values_are_strings(void **state)
{
    assert_parsed("a=1,b=on,c=", NULL, "{\"a\": \"1\", \"b\": \"on\", \"c\": \"\"}");
}

static void test_two_commas_are_one_in_a_value(void **state)
{
    assert_parsed("a=x,,y,b=,,", NULL, "{\"a\": \"x,y\", \"b\": \",\"}");
}

static void test_a_quoted_value_comes_back(void **state)
{
    g_autofree char *quoted = keyval_quote(",a,,b"), *text = g_strdup_printf("a=%s,b=1", quoted);

    assert_parsed(text, NULL, "{\"a\": \",a,,b\", \"b\": \"1\"}");
}

static void test_a_value_may_hold_equal_signs(void **state)
{
    assert_parsed("a=b=c", NULL, "{\"a\": \"b=c\"}");
}

static void test_first_value_goes_to_the_implied_key(void **state)
{
    assert_parsed("x,,y,b=1", "driver", "{\"driver\": \"x,y\", \"b\": \"1\"}");
}

static void test_a_key_instead_of_the_implied_value(void **state)
{
    assert_parsed("b=1", "driver", "{\"b\": \"1\"}");
}

static void test_a_key_alone_is_on(void **state)
{
    assert_parsed("a=1,server,nowait", NULL, "{\"a\": \"1\", \"server\": \"on\", \"nowait\": \"on\"}");
}

static void test_dots_nest(void **state)
{
    assert_parsed("a.b.c=1,a.b.d=2,a.e=3", NULL, "{\"a\": {\"b\": {\"c\": \"1\", \"d\": \"2\"}, \"e\": \"3\"}}");
}

static void test_numbers_are_list_indices_in_any_order(void **state)
{
    assert_parsed("l.1=b,l.0=a,m.0.x=1", NULL, "{\"l\": [\"a\", \"b\"], \"m\": [{\"x\": \"1\"}]}");
}

static void test_repeated_keys_are_collected(void **state)
{
    assert_parsed("a=1,a=2,a=3", NULL, "{\"a\": [\"1\", \"2\", \"3\"]}");
}

static void test_empty_text_is_an_empty_object(void **state)
{
    assert_parsed("", "driver", "{}");
}

static void test_a_last_comma_is_nothing(void **state)
{
    assert_parsed("a=1,", NULL, "{\"a\": \"1\"}");
}

static void test_braces_begin_json(void **state)
{
    assert_parsed("{\"a\": [1, true]}", "driver", "{\"a\": [1, true]}");
}

static void test_a_missing_index_is_named(void **state)
{
    assert_refused("l.0=a,l.2=c", "none with the index 1");
    assert_refused("l.18446744073709551615=c", "none with the index 0");
}

static void test_indices_and_names_do_not_mix(void **state)
{
    assert_refused("l.0=a,l.x=c", "the member 'x'");
}

static void test_a_value_has_no_members(void **state)
{
    assert_refused("a=1,a.b=2", "as a value and by its members");
    assert_refused("a.b=2,a=1", "as a value and by its members");
}

static void test_malformed_keys_are_refused(void **state)
{
    assert_refused("=x", "no well-formed key");
    assert_refused("a..b=x", "no well-formed key");
    assert_refused("a b=x", "no well-formed key");
    assert_refused("a=1,,=2,=3", "no well-formed key");
}

static void test_depth_is_bounded(void **state)
{
    g_autoptr(GString) key = g_string_new("a");

    for (int i = 0; i < 40; i++) {
        g_string_append(key, ".a");
    }
    g_string_append(key, "=1");
    assert_refused(key->str, "nests too deeply");
}

static void test_length_is_bounded(void **state)
{
    g_autofree char *text = g_strnfill((1 << 20) + 1, 'a');

    assert_refused(text, "longer than");
}

static void test_what_is_not_utf8_is_refused(void **state)
{
    assert_refused("a=\xff", "UTF-8");
}

/* ---- questions ---- */

static void test_help_alone(void **state)
{
    g_autofree char *subject = NULL;
    g_autofree char *key = NULL;

    assert_true(keyval_wants_help("help", "driver", NULL, &subject, &key));
    assert_null(subject);
    assert_null(key);
}

static void test_help_about_a_subject(void **state)
{
    g_autofree char *subject = NULL;
    g_autofree char *key = NULL;

    assert_true(keyval_wants_help("virtio-blk-pci,help", "driver", NULL, &subject, &key));
    assert_string_equal(subject, "virtio-blk-pci");
    assert_null(key);
}

static void test_help_about_a_key(void **state)
{
    g_autofree char *subject = NULL;
    g_autofree char *key = NULL;

    assert_true(keyval_wants_help("file=x,format=?", NULL, NULL, &subject, &key));
    assert_string_equal(key, "format");
}

static void test_help_about_a_key_that_asks(void **state)
{
    g_autofree char *subject = NULL;
    g_autofree char *key = NULL;

    assert_true(keyval_wants_help("user,model=help", "type", "model", &subject, &key));
    assert_string_equal(subject, "user");
    assert_string_equal(key, "model");
}

static void test_help_is_not_asked_for_inside_a_value(void **state)
{
    g_autofree char *subject = NULL;
    g_autofree char *key = NULL;

    assert_false(keyval_wants_help("file=a,,help", NULL, NULL, &subject, &key));
    assert_false(keyval_wants_help("x,model=help", "driver", NULL, &subject, &key));
    assert_false(keyval_wants_help("x,id=help", "driver", NULL, &subject, &key));
    assert_false(keyval_wants_help("{\"driver\": \"help\"}", "driver", NULL, &subject, &key));
}

/* ---- sizes ---- */

static uint64_t size(const char *text, uint64_t unit)
{
    g_autoptr(GError) error = NULL;
    uint64_t value = 0;

    if (!size_parse(text, unit, &value, &error)) {
        fail_msg("%s", error->message);
    }
    return value;
}

static void test_sizes(void **state)
{
    assert_int_equal(size("17", 1), 17);
    assert_int_equal(size("512", 1 << 20), 512u << 20);
    assert_int_equal(size("1.5G", 1), 1536u << 20);
    assert_int_equal(size("2k", 1 << 20), 2048);
    assert_int_equal(size("0x10", 1), 16);
    assert_int_equal(size("0.5", 1 << 20), 1 << 19);
    assert_true(size("18446744073709551615", 1) == UINT64_MAX);
    assert_true(size("15E", 1) == UINT64_C(15) << 60);
}

static void test_what_is_no_size(void **state)
{
    uint64_t value;

    assert_false(size_parse("", 1, &value, NULL));
    assert_false(size_parse("-1", 1, &value, NULL));
    assert_false(size_parse(" 1", 1, &value, NULL));
    assert_false(size_parse("1X", 1, &value, NULL));
    assert_false(size_parse("1GB", 1, &value, NULL));
    assert_false(size_parse("1.5", 1, &value, NULL));
    assert_false(size_parse("1.G", 1, &value, NULL));
    assert_false(size_parse("16E", 1, &value, NULL));
    assert_false(size_parse("18446744073709551616", 1, &value, NULL));
    assert_false(size_parse("0x", 1, &value, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_strings),
        cmocka_unit_test(test_two_commas_are_one_in_a_value),
        cmocka_unit_test(test_a_quoted_value_comes_back),
        cmocka_unit_test(test_a_value_may_hold_equal_signs),
        cmocka_unit_test(test_first_value_goes_to_the_implied_key),
        cmocka_unit_test(test_a_key_instead_of_the_implied_value),
        cmocka_unit_test(test_a_key_alone_is_on),
        cmocka_unit_test(test_dots_nest),
        cmocka_unit_test(test_numbers_are_list_indices_in_any_order),
        cmocka_unit_test(test_repeated_keys_are_collected),
        cmocka_unit_test(test_empty_text_is_an_empty_object),
        cmocka_unit_test(test_a_last_comma_is_nothing),
        cmocka_unit_test(test_braces_begin_json),
        cmocka_unit_test(test_a_missing_index_is_named),
        cmocka_unit_test(test_indices_and_names_do_not_mix),
        cmocka_unit_test(test_a_value_has_no_members),
        cmocka_unit_test(test_malformed_keys_are_refused),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_length_is_bounded),
        cmocka_unit_test(test_what_is_not_utf8_is_refused),
        cmocka_unit_test(test_help_alone),
        cmocka_unit_test(test_help_about_a_subject),
        cmocka_unit_test(test_help_about_a_key),
        cmocka_unit_test(test_help_about_a_key_that_asks),
        cmocka_unit_test(test_help_is_not_asked_for_inside_a_value),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_what_is_no_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
