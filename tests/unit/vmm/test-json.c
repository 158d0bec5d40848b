/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/json.h"

static Json *parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    Json *json = json_parse(text, strlen(text), &error);

    if (!json) {
        fail_msg("%s", error->message);
    }
    return json;
}

static void assert_refused(const char *text, size_t length, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Json) json = json_parse(text, length, &error);

    assert_null(json);
    assert_non_null(error);
    if (!strstr(error->message, part)) {
        fail_msg("'%s' does not contain '%s'", error->message, part);
    }
}
#define REFUSED(TEXT, PART) assert_refused(TEXT, sizeof(TEXT) - 1, PART)

static void assert_written(Json *json, const char *expected)
{
    JsonWriter *w = json_writer_new(false);
    g_autofree char *text = NULL;

    json_write_value(w, NULL, json);
    text = json_writer_finish(w);
    assert_string_equal(text, expected);
    json_unref(json);
}

static void test_every_type_survives_a_round_trip(void **state)
{
    assert_written(parse(" {\"a\": [null, true, -1, 18446744073709551615, 1.5, \"x\\n\"], \"b\": {}} "),
                   "{\"a\": [null, true, -1, 18446744073709551615, 1.5, \"x\\n\"], \"b\": {}}");
}

static void test_uint_is_told_only_above_int64(void **state)
{
    g_autoptr(Json) i = parse("9223372036854775807");
    g_autoptr(Json) u = parse("9223372036854775808");

    assert_int_equal(json_type_of(i), JSON_INT);
    assert_int_equal(json_type_of(u), JSON_UINT);
    assert_true(json_get_uint(u) == UINT64_C(9223372036854775808));
}

static void test_extreme_integers_survive(void **state)
{
    assert_written(parse("[-9223372036854775808, 9223372036854775807, 0, -0]"),
                   "[-9223372036854775808, 9223372036854775807, 0, 0]");
}

static void test_null_is_a_value_and_absent_is_not(void **state)
{
    g_autoptr(Json) json = parse("{\"a\": null}");

    assert_non_null(json_object_get_member(json, "a"));
    assert_int_equal(json_type_of(json_object_get_member(json, "a")), JSON_NULL);
    assert_null(json_object_get_member(json, "b"));
}

static void test_null_at_the_top_is_a_value(void **state)
{
    g_autoptr(Json) json = parse("null");

    assert_int_equal(json_type_of(json), JSON_NULL);
}

static void test_duplicate_names_are_refused(void **state)
{
    REFUSED("{\"a\": 1, \"a\": 2}", "two members of one name");
    REFUSED("{\"x\": {\"a\": 1, \"\\u0061\": 2}}", "two members of one name");
}

static void test_text_after_the_value_is_refused(void **state)
{
    REFUSED("{} {}", "at byte");
    REFUSED("1 2", "at byte");
}

static void test_what_is_cut_short_is_refused(void **state)
{
    REFUSED("", "ends too early");
    REFUSED("{\"a\":", "ends too early");
    REFUSED("\"abc", "does not end");
    REFUSED("tru", "ends too early");
}

static void test_lenient_spellings_of_json_c_are_refused(void **state)
{
    REFUSED("{'a': 1}", "single quotes");
    REFUSED("[1,]", "at byte");
    REFUSED("{\"a\": 1,}", "at byte");
    REFUSED("NaN", "out of range");
    REFUSED("[Infinity]", "out of range");
    REFUSED("[-Infinity]", "malformed number");
    REFUSED("/* x */ 1", "at byte");
    REFUSED("[TRUE]", "at byte");
    REFUSED("-01", "malformed number");
    REFUSED("[1.]", "malformed number");
    REFUSED("1e+", "malformed number");
    REFUSED("-", "malformed number");
}

static void test_numbers_beyond_64_bits_are_refused(void **state)
{
    REFUSED("18446744073709551616", "does not fit 64 bits");
    REFUSED("-9223372036854775809", "does not fit 64 bits");
    REFUSED("1e999", "out of range");
}

static void test_bad_characters_are_refused(void **state)
{
    REFUSED("\"a\nb\"", "control character");
    REFUSED("\"a\\u0000b\"", "zero character");
    REFUSED("\"\\ud83d\"", "half of a surrogate pair, at byte 1");
    REFUSED("\"\\ude00\"", "half of a surrogate pair");
    REFUSED("\"\\ud83d\\u0041\"", "half of a surrogate pair");
    REFUSED("\"\xc0\x80\"", "invalid utf-8, at byte 1");
    REFUSED("\"\xed\xa0\x80\"", "invalid utf-8");
    REFUSED("\"\xf4\x90\x80\x80\"", "invalid utf-8");
    REFUSED("\"\xff\"", "utf-8");
    REFUSED("1\0", "zero byte");
}

static void test_nesting_is_bounded(void **state)
{
    g_autoptr(GString) deep = g_string_new(NULL);
    g_autoptr(GString) fits = g_string_new(NULL);
    g_autofree char *open = g_strnfill(JSON_DEPTH_MAX, '[');
    g_autofree char *close = g_strnfill(JSON_DEPTH_MAX, ']');
    Json *json;

    g_string_printf(fits, "%s%s", open, close);
    g_string_printf(deep, "[%s", fits->str);
    assert_refused(deep->str, deep->len, "levels of nesting");
    json = parse(fits->str);
    json_unref(json);
}

static void test_number_of_values_is_bounded(void **state)
{
    g_autofree char *commas = g_strnfill(5u << 20, ',');

    assert_refused(commas, 5u << 20, "too many values");
}

static void test_writer_escapes_and_repairs_strings(void **state)
{
    JsonWriter *w = json_writer_new(false);
    g_autofree char *text = NULL;

    json_write_string(w, NULL, "q\" b\\ \x01 \xff");
    text = json_writer_finish(w);
    assert_string_equal(text, "\"q\\\" b\\\\ \\u0001 \xef\xbf\xbd\"");
}

static void test_pretty_writer_indents(void **state)
{
    JsonWriter *w = json_writer_new(true);
    g_autofree char *text = NULL;

    json_write_begin_object(w, NULL);
    json_write_int(w, "a", 1);
    json_write_begin_array(w, "b");
    json_write_end_array(w);
    json_write_end_object(w);
    text = json_writer_finish(w);
    assert_string_equal(text, "{\n    \"a\": 1,\n    \"b\": []\n}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_survives_a_round_trip),
        cmocka_unit_test(test_uint_is_told_only_above_int64),
        cmocka_unit_test(test_extreme_integers_survive),
        cmocka_unit_test(test_null_is_a_value_and_absent_is_not),
        cmocka_unit_test(test_null_at_the_top_is_a_value),
        cmocka_unit_test(test_duplicate_names_are_refused),
        cmocka_unit_test(test_text_after_the_value_is_refused),
        cmocka_unit_test(test_what_is_cut_short_is_refused),
        cmocka_unit_test(test_lenient_spellings_of_json_c_are_refused),
        cmocka_unit_test(test_numbers_beyond_64_bits_are_refused),
        cmocka_unit_test(test_bad_characters_are_refused),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_number_of_values_is_bounded),
        cmocka_unit_test(test_writer_escapes_and_repairs_strings),
        cmocka_unit_test(test_pretty_writer_indents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
