/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/json-stream.h"

/* What comes out, separated by spaces: values as text, errors as "!". */
static char *feed(JsonStream *s, const char *bytes, size_t length, size_t piece)
{
    GString *out = g_string_new(NULL);

    for (size_t at = 0; at < length;) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Json) json = NULL;

        at += json_stream_read(s, (const uint8_t *)bytes + at, MIN(piece, length - at), &json, &error);
        if (json) {
            JsonWriter *w = json_writer_new(false);
            g_autofree char *text = NULL;

            json_write_value(w, NULL, json);
            text = json_writer_finish(w);
            g_string_append_printf(out, "%s ", text);
        } else if (error) {
            g_string_append(out, "! ");
        }
    }
    return g_string_free(out, FALSE);
}

static void assert_read(const char *bytes, size_t piece, const char *expected)
{
    JsonStream *s = json_stream_new();
    g_autofree char *out = feed(s, bytes, strlen(bytes), piece);

    assert_string_equal(out, expected);
    json_stream_free(s);
}

static void test_values_come_out_whatever_the_pieces(void **state)
{
    static const char text[] = "{\"a\": \"}\\\"{\"}\r\n [1]{\"b\":{}}\n";

    for (size_t piece = 1; piece <= sizeof(text); piece++) {
        assert_read(text, piece, "{\"a\": \"}\\\"{\"} [1] {\"b\": {}} ");
    }
}

static void test_the_stream_goes_on_behind_a_bad_line(void **state)
{
    assert_read("hello {}\n{}", 100, "! {} ");
    assert_read("{\"a\n{}", 100, "! {} ");
    assert_read("{\x01}\n{}", 1, "! {} ");
    assert_read("]\n{}", 100, "! {} ");
}

static void test_single_quotes_are_double_ones(void **state)
{
    static const char text[] = "{'a': '}\"\\'{\\\\', \"b\": \"it's\"}{}";

    for (size_t piece = 1; piece <= sizeof(text); piece++) {
        assert_read(text, piece, "{\"a\": \"}\\\"'{\\\\\", \"b\": \"it's\"} {} ");
    }
}

static void test_what_is_no_json_is_told_at_its_end(void **state)
{
    assert_read("{a}{}", 100, "! {} ");
    assert_read("{]{}", 100, "! {} ");
}

static void test_a_byte_ff_forgets_what_came_before(void **state)
{
    assert_read("{\"a\": [[\xff{}", 100, "{} ");
    assert_read("junk\xff{}", 100, "! {} ");
}

static void test_deep_nesting_is_refused_at_once(void **state)
{
    g_autofree char *deep = g_malloc(100000 + 4);

    memset(deep, '[', 100000);
    strcpy(deep + 100000, "\n{}");
    assert_read(deep, 4096, "! {} ");
}

static void test_a_value_that_is_too_long_is_told_once_and_skipped(void **state)
{
    size_t length = JSON_STREAM_MAX + 100;
    g_autofree char *text = g_malloc(length + 1);

    memset(text, 'x', length);
    text[length] = '\0';
    memcpy(text, "{\"a\": \"", 7);
    memcpy(text + length - 4, "\"}{}", 4);
    assert_read(text, 4096, "! {} ");
}

static void test_reset_forgets_half_a_value(void **state)
{
    JsonStream *s = json_stream_new();
    g_autofree char *before = feed(s, "{\"a", 3, 3), *after = NULL;

    json_stream_reset(s);
    after = feed(s, "{}", 2, 2);
    assert_string_equal(before, "");
    assert_string_equal(after, "{} ");
    json_stream_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_come_out_whatever_the_pieces),
        cmocka_unit_test(test_the_stream_goes_on_behind_a_bad_line),
        cmocka_unit_test(test_single_quotes_are_double_ones),
        cmocka_unit_test(test_what_is_no_json_is_told_at_its_end),
        cmocka_unit_test(test_a_byte_ff_forgets_what_came_before),
        cmocka_unit_test(test_deep_nesting_is_refused_at_once),
        cmocka_unit_test(test_a_value_that_is_too_long_is_told_once_and_skipped),
        cmocka_unit_test(test_reset_forgets_half_a_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
