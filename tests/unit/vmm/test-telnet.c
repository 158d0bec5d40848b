/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/telnet.c: options, line ends, commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <string.h>

#include "vmm/telnet.h"

#define DATA(TEXT) ((const uint8_t *)(TEXT)), sizeof(TEXT) - 1
#define WILL "\xff\xfb"
#define WONT "\xff\xfc"
#define DO   "\xff\xfd"
#define DONT "\xff\xfe"
#define BINARY "\x00"
#define ECHO   "\x01"
#define SGA    "\x03"
#define TTYPE  "\x18"

typedef struct Fixture {
    Telnet telnet;
    GByteArray *answer;
} Fixture;

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->answer = g_byte_array_new();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    g_byte_array_unref(f->answer);
    g_free(f);
    return 0;
}

static void begin(Fixture *f, bool server)
{
    telnet_start(&f->telnet, server, f->answer);
    g_byte_array_set_size(f->answer, 0);
}

static void assert_answer(Fixture *f, const uint8_t *expected, size_t length)
{
    assert_int_equal(f->answer->len, length);
    assert_memory_equal(f->answer->data, expected, length);
    g_byte_array_set_size(f->answer, 0);
}

/* What came means this, and is no break. */
static void assert_heard(Fixture *f, const uint8_t *data, size_t length, const char *expected)
{
    uint8_t out[64];
    TelnetInput in = telnet_decode(&f->telnet, data, length, out, f->answer);

    assert_int_equal(in.used, length);
    assert_false(in.is_break);
    assert_int_equal(in.length, strlen(expected));
    assert_memory_equal(out, expected, in.length);
}

static void assert_sent(Fixture *f, const uint8_t *data, size_t length, const uint8_t *expected, size_t expected_length)
{
    uint8_t out[TELNET_ENCODED_MAX(64)];

    assert_int_equal(telnet_encode(&f->telnet, data, length, out), expected_length);
    assert_memory_equal(out, expected, expected_length);
}

static void test_server_offers_to_echo_and_eight_bits(void **state)
{
    Fixture *f = *state;

    telnet_start(&f->telnet, true, f->answer);
    assert_answer(f, DATA(WILL ECHO WILL SGA WILL BINARY DO BINARY));
}

static void test_client_offers_no_echo(void **state)
{
    Fixture *f = *state;

    telnet_start(&f->telnet, false, f->answer);
    assert_answer(f, DATA(WILL SGA WILL BINARY DO BINARY));
}

static void test_agreement_is_not_answered(void **state)
{
    Fixture *f = *state;

    begin(f, true);
    assert_heard(f, DATA(DO ECHO DO SGA DO BINARY WILL BINARY DO BINARY), "");
    assert_answer(f, DATA(""));
}

static void test_what_is_asked_for_unasked_is_agreed_to_once(void **state)
{
    Fixture *f = *state;

    begin(f, true);
    assert_heard(f, DATA(WILL SGA WILL SGA), "");
    assert_answer(f, DATA(DO SGA));
}

static void test_what_is_not_known_is_refused(void **state)
{
    Fixture *f = *state;

    begin(f, true);
    assert_heard(f, DATA(WILL TTYPE DO TTYPE WILL ECHO), "");
    assert_answer(f, DATA(DONT TTYPE WONT TTYPE DONT ECHO));
}

static void test_refusals_of_offers_are_not_answered(void **state)
{
    Fixture *f = *state;

    begin(f, true);
    assert_heard(f, DATA(DONT ECHO DONT BINARY WONT BINARY WONT TTYPE), "");
    assert_answer(f, DATA(""));
}

static void test_what_is_taken_back_is_confirmed(void **state)
{
    Fixture *f = *state;

    begin(f, true);
    assert_heard(f, DATA(DO BINARY WILL BINARY DONT BINARY WONT BINARY), "");
    assert_answer(f, DATA(WONT BINARY DONT BINARY));
}

static void test_client_lets_the_server_echo(void **state)
{
    Fixture *f = *state;

    begin(f, false);
    assert_heard(f, DATA(WILL ECHO DO ECHO), "");
    assert_answer(f, DATA(DO ECHO WONT ECHO));
}

static void test_escape_is_doubled_both_ways(void **state)
{
    Fixture *f = *state;

    begin(f, true);
    assert_sent(f, DATA("a\xff z"), DATA("a\xff\xff z"));
    assert_heard(f, DATA("a\xff\xff z"), "a\xff z");
}

static void test_commands_are_taken_out_wherever_they_are_cut(void **state)
{
    Fixture *f = *state;

    begin(f, true);
    assert_heard(f, DATA("a\xff"), "a");
    assert_heard(f, DATA("\xfb"), "");
    assert_heard(f, DATA(TTYPE "b\xff\xfa\x18\x00wxyz\xff"), "b");
    assert_heard(f, DATA("\xff" "mn\xff"), "");
    assert_heard(f, DATA("\xf0" "c\xff\xf1" "d\xff\xf6" "e"), "cde");
    assert_answer(f, DATA(DONT TTYPE));
}

static void test_break_comes_between_the_bytes(void **state)
{
    Fixture *f = *state;
    uint8_t out[16];
    TelnetInput in;

    begin(f, true);
    in = telnet_decode(&f->telnet, DATA("ab\xff\xf3" "cd"), out, f->answer);
    assert_true(in.is_break);
    assert_int_equal(in.used, 4);
    assert_int_equal(in.length, 2);
    assert_heard(f, DATA("cd"), "cd");
}

static void test_line_end_is_the_key_where_lines_are_text(void **state)
{
    Fixture *f = *state;

    begin(f, true);
    assert_heard(f, DATA("a\r\nb\r\0c\r"), "a\rb\rc\r");
    assert_heard(f, DATA("\nd\n"), "d\n");
    assert_sent(f, DATA("a\r\nb\rc\r"), DATA("a\r\nb\r\0c\r"));
    assert_sent(f, DATA("\r\n"), DATA("\0\r\n"));
}

static void test_line_end_is_as_it_is_where_bytes_are_agreed_on(void **state)
{
    Fixture *f = *state;

    begin(f, true);
    assert_heard(f, DATA(DO BINARY WILL BINARY "a\r\nb"), "a\r\nb");
    assert_sent(f, DATA("a\rb"), DATA("a\rb"));
}

#define ROW(TEST) cmocka_unit_test_setup_teardown(TEST, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_server_offers_to_echo_and_eight_bits),
        ROW(test_client_offers_no_echo),
        ROW(test_agreement_is_not_answered),
        ROW(test_what_is_asked_for_unasked_is_agreed_to_once),
        ROW(test_what_is_not_known_is_refused),
        ROW(test_refusals_of_offers_are_not_answered),
        ROW(test_what_is_taken_back_is_confirmed),
        ROW(test_client_lets_the_server_echo),
        ROW(test_escape_is_doubled_both_ways),
        ROW(test_commands_are_taken_out_wherever_they_are_cut),
        ROW(test_break_comes_between_the_bytes),
        ROW(test_line_end_is_the_key_where_lines_are_text),
        ROW(test_line_end_is_as_it_is_where_bytes_are_agreed_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
