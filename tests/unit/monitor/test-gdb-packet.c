/* SPDX-License-Identifier: GPL-2.0-or-later */
/* monitor/gdb-packet.c: what bytes on the wire become, and what is answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/gdb-packet.h"

typedef struct Fixture {
    GdbWire wire;
    GString *packets;  /* each with a '|' behind it */
    GString *sent;
    unsigned interrupts;
} Fixture;

static void note_packet(void *opaque, const char *data, size_t length)
{
    Fixture *f = opaque;

    assert_int_equal(data[length], 0);
    g_string_append_len(f->packets, data, (gssize)length);
    g_string_append_c(f->packets, '|');
}

static void note_interrupt(void *opaque)
{
    ((Fixture *)opaque)->interrupts++;
}

static void note_sent(void *opaque, const uint8_t *data, size_t length)
{
    g_string_append_len(((Fixture *)opaque)->sent, (const char *)data, (gssize)length);
}

static const GdbWireOps ops = { note_packet, note_interrupt, note_sent };

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->packets = g_string_new(NULL);
    f->sent = g_string_new(NULL);
    gdb_wire_init(&f->wire, &ops, f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    gdb_wire_finish(&f->wire);
    g_string_free(f->packets, TRUE);
    g_string_free(f->sent, TRUE);
    g_free(f);
    return 0;
}

static void receive(Fixture *f, const char *text)
{
    gdb_wire_receive(&f->wire, (const uint8_t *)text, strlen(text));
}

static void test_packet_is_acknowledged_and_handed_on(void **state)
{
    Fixture *f = *state;

    receive(f, "$qC#b4");
    assert_string_equal(f->packets->str, "qC|");
    assert_string_equal(f->sent->str, "+");
}

static void test_packet_in_pieces_is_one(void **state)
{
    Fixture *f = *state;

    receive(f, "+$q");
    receive(f, "C#b");
    assert_string_equal(f->packets->str, "");
    receive(f, "4");
    assert_string_equal(f->packets->str, "qC|");
}

static void test_wrong_checksum_is_asked_for_again(void **state)
{
    Fixture *f = *state;

    receive(f, "$qC#b5");
    assert_string_equal(f->packets->str, "");
    assert_string_equal(f->sent->str, "-");
}

static void test_checksum_that_is_no_number_is_wrong(void **state)
{
    Fixture *f = *state;

    receive(f, "$qC#zz$qC#bz");
    assert_string_equal(f->packets->str, "");
    assert_string_equal(f->sent->str, "--");
}

static void test_escaped_bytes_are_data(void **state)
{
    Fixture *f = *state;

    receive(f, "$X}\x03}]#b2"); /* '#' and '}' */
    assert_string_equal(f->packets->str, "X#}|");
}

static void test_packet_begins_anew_at_a_dollar(void **state)
{
    Fixture *f = *state;

    receive(f, "$half a pack$?#3f");
    assert_string_equal(f->packets->str, "?|");
}

static void test_interrupt_counts_between_packets_only(void **state)
{
    Fixture *f = *state;

    receive(f, "\x03$X\x03#5b\x03");
    assert_int_equal(f->interrupts, 2);
    assert_string_equal(f->packets->str, "X\x03|");
}

static void test_longest_packet_is_taken(void **state)
{
    Fixture *f = *state;
    g_autofree char *data = g_strnfill(GDB_PACKET_MAX, 'a');
    g_autofree char *packet = g_strdup_printf("$%s#%02x", data, (unsigned)('a' * GDB_PACKET_MAX % 256));

    receive(f, packet);
    assert_int_equal(f->packets->len, GDB_PACKET_MAX + 1);
}

static void test_longer_packet_is_refused(void **state)
{
    Fixture *f = *state;
    g_autofree char *data = g_strnfill(GDB_PACKET_MAX + 1, 'a');
    g_autofree char *packet = g_strdup_printf("$%s#%02x", data, (unsigned)('a' * (GDB_PACKET_MAX + 1) % 256));

    receive(f, packet);
    assert_string_equal(f->packets->str, "");
    assert_string_equal(f->sent->str, "+$E22#a9");
    receive(f, "+$?#3f");
    assert_string_equal(f->packets->str, "?|");
}

static void test_reply_is_framed_and_escaped(void **state)
{
    Fixture *f = *state;

    gdb_wire_send(&f->wire, "a#}*$b", 6);
    assert_string_equal(f->sent->str, "$a}\x03}]}\x0a}\x04\x62#25");
}

static void test_reply_is_sent_again_until_it_is_acknowledged(void **state)
{
    Fixture *f = *state;

    gdb_wire_send_text(&f->wire, "OK");
    receive(f, "-+-");
    assert_string_equal(f->sent->str, "$OK#9a$OK#9a");
}

static void test_without_acknowledgement_nothing_is_acknowledged(void **state)
{
    Fixture *f = *state;

    f->wire.acknowledge = false;
    receive(f, "$qC#b4");
    gdb_wire_send_text(&f->wire, "OK");
    receive(f, "-");
    assert_string_equal(f->sent->str, "$OK#9a");
}

static void test_without_acknowledgement_a_wrong_checksum_is_an_error(void **state)
{
    Fixture *f = *state;

    f->wire.acknowledge = false;
    receive(f, "$qC#b5");
    assert_string_equal(f->packets->str, "");
    assert_string_equal(f->sent->str, "$E22#a9");
}

/* ---- content ---- */

static void test_numbers_have_1_to_16_digits(void **state)
{
    const char *text = "FfffFFFFffffffff,12345678901234567,,g";
    uint64_t value = 0;

    assert_true(gdb_parse_hex(&text, &value));
    assert_int_equal(value, UINT64_MAX);
    assert_true(gdb_parse_char(&text, ','));
    assert_false(gdb_parse_hex(&text, &value));
    text += 18;
    assert_false(gdb_parse_hex(&text, &value));
    assert_true(gdb_parse_char(&text, ','));
    assert_false(gdb_parse_hex(&text, &value));
    assert_int_equal(value, UINT64_MAX);
}

static void test_bytes_are_two_digits_each(void **state)
{
    const char *whole = "01fF", *half = "01f";
    uint8_t bytes[2];

    assert_true(gdb_parse_bytes(&whole, bytes, 2));
    assert_int_equal(bytes[1], 0xff);
    assert_int_equal(*whole, 0);
    assert_false(gdb_parse_bytes(&half, bytes, 2));
}

#define TEST(F) cmocka_unit_test_setup_teardown(F, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_packet_is_acknowledged_and_handed_on),
        TEST(test_packet_in_pieces_is_one),
        TEST(test_wrong_checksum_is_asked_for_again),
        TEST(test_checksum_that_is_no_number_is_wrong),
        TEST(test_escaped_bytes_are_data),
        TEST(test_packet_begins_anew_at_a_dollar),
        TEST(test_interrupt_counts_between_packets_only),
        TEST(test_longest_packet_is_taken),
        TEST(test_longer_packet_is_refused),
        TEST(test_reply_is_framed_and_escaped),
        TEST(test_reply_is_sent_again_until_it_is_acknowledged),
        TEST(test_without_acknowledgement_nothing_is_acknowledged),
        TEST(test_without_acknowledgement_a_wrong_checksum_is_an_error),
        cmocka_unit_test(test_numbers_have_1_to_16_digits),
        cmocka_unit_test(test_bytes_are_two_digits_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
