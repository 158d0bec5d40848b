/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8254: counts, outputs, and interrupt 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hw/timer/i8254.h"
#include "tests/unit/rig.h"

#define COUNTER0 0x40
#define COUNTER2 0x42
#define CONTROL  0x43
#define PORT61   0x61

static int setup(void **state)
{
    *state = rig_new("isa-pit");
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

/* The whole of `ticks` periods of the chip's clock, and a little. */
static void tick(Rig *r, int64_t ticks)
{
    rig_advance(r, ticks * NS_PER_SEC / I8254_HZ + 1);
}

static void load(Rig *r, uint16_t port, uint16_t count)
{
    rig_out8(r, port, (uint8_t)count);
    rig_out8(r, port, (uint8_t)(count >> 8));
}

static uint16_t read_count(Rig *r, uint16_t port)
{
    uint8_t low = rig_in8(r, port);

    return (uint16_t)(low | rig_in8(r, port) << 8);
}

static void test_rate_generator_interrupts_every_period(void **state)
{
    Rig *r = *state;
    uint32_t before;

    rig_out8(r, CONTROL, 0x34);
    load(r, COUNTER0, 1193);
    before = r->edges[0];
    tick(r, 1192);
    assert_int_equal(r->edges[0] - before, 0);
    tick(r, 1);
    assert_int_equal(r->edges[0] - before, 1);
    tick(r, 1193);
    tick(r, 1193);
    assert_int_equal(r->edges[0] - before, 3);
}

static void test_square_wave_interrupts_every_period(void **state)
{
    Rig *r = *state;
    uint32_t before;

    rig_out8(r, CONTROL, 0x36);
    load(r, COUNTER0, 0); /* 65536 */
    before = r->edges[0];
    tick(r, 65535);
    assert_int_equal(r->edges[0] - before, 0);
    tick(r, 1);
    assert_int_equal(r->edges[0] - before, 1);
}

static void test_terminal_count_raises_the_line_once(void **state)
{
    Rig *r = *state;

    rig_out8(r, CONTROL, 0x30);
    assert_false(rig_irq(r, 0));
    load(r, COUNTER0, 100);
    tick(r, 99);
    assert_false(rig_irq(r, 0));
    tick(r, 1);
    assert_true(rig_irq(r, 0));
    tick(r, 70000);
    assert_int_equal(r->edges[0], 2); /* one at reset, when the line went high */
    load(r, COUNTER0, 100);
    assert_false(rig_irq(r, 0));
}

static void test_software_strobe_is_one_shot(void **state)
{
    Rig *r = *state;
    uint32_t before;

    rig_out8(r, CONTROL, 0x38);
    load(r, COUNTER0, 1000);
    before = r->edges[0];
    tick(r, 1001);
    assert_int_equal(r->edges[0] - before, 1);
    tick(r, 200000);
    assert_int_equal(r->edges[0] - before, 1);
}

static void test_control_word_stops_counting_until_a_count_is_loaded(void **state)
{
    Rig *r = *state;
    uint32_t before;

    rig_out8(r, CONTROL, 0x34);
    load(r, COUNTER0, 1193);
    rig_out8(r, CONTROL, 0x34);
    before = r->edges[0];
    tick(r, 5000);
    assert_int_equal(r->edges[0] - before, 0);
    rig_out8(r, CONTROL, 0xe2); /* status of counter 0 */
    assert_int_equal(rig_in8(r, COUNTER0), 0xf4); /* null count */
}

static void test_count_falls_with_time(void **state)
{
    Rig *r = *state;

    rig_out8(r, CONTROL, 0x34);
    load(r, COUNTER0, 1000);
    tick(r, 300);
    assert_int_equal(read_count(r, COUNTER0), 700);
    tick(r, 699);
    assert_int_equal(read_count(r, COUNTER0), 1);
    tick(r, 1);
    assert_int_equal(read_count(r, COUNTER0), 1000);
}

static void test_square_wave_counts_by_two(void **state)
{
    Rig *r = *state;

    rig_out8(r, CONTROL, 0x36);
    load(r, COUNTER0, 1000);
    tick(r, 100);
    assert_int_equal(read_count(r, COUNTER0), 800);
    tick(r, 500);
    assert_int_equal(read_count(r, COUNTER0), 800);
}

static void test_one_shot_count_goes_on_below_zero(void **state)
{
    Rig *r = *state;

    rig_out8(r, CONTROL, 0x30);
    load(r, COUNTER0, 10);
    tick(r, 11);
    assert_int_equal(read_count(r, COUNTER0), 0xffff);
}

static void test_latched_count_stands_still_until_read(void **state)
{
    Rig *r = *state;

    rig_out8(r, CONTROL, 0x34);
    load(r, COUNTER0, 1000);
    tick(r, 100);
    rig_out8(r, CONTROL, 0x00);
    tick(r, 100);
    rig_out8(r, CONTROL, 0x00); /* ignored */
    assert_int_equal(read_count(r, COUNTER0), 900);
    assert_int_equal(read_count(r, COUNTER0), 800);
}

static void test_read_back_gives_status_then_count(void **state)
{
    Rig *r = *state;

    rig_out8(r, CONTROL, 0x34);
    load(r, COUNTER0, 1000);
    tick(r, 100);
    rig_out8(r, CONTROL, 0xc2);
    assert_int_equal(rig_in8(r, COUNTER0), 0xb4); /* output high, both bytes, mode 2 */
    assert_int_equal(read_count(r, COUNTER0), 900);
}

static void test_single_byte_access(void **state)
{
    Rig *r = *state;

    rig_out8(r, CONTROL, 0x24); /* counter 0, MSB only */
    rig_out8(r, COUNTER0, 0x10);
    tick(r, 1);
    assert_int_equal(rig_in8(r, COUNTER0), 0x0f);
    assert_int_equal(rig_in8(r, COUNTER0), 0x0f);
    rig_out8(r, CONTROL, 0x14); /* LSB only */
    rig_out8(r, COUNTER0, 0x10);
    tick(r, 1);
    assert_int_equal(rig_in8(r, COUNTER0), 0x0f);
}

static void test_bcd_counts_in_decimal(void **state)
{
    Rig *r = *state;

    rig_out8(r, CONTROL, 0x35);
    load(r, COUNTER0, 0x1000);
    tick(r, 1);
    assert_int_equal(read_count(r, COUNTER0), 0x0999);
    load(r, COUNTER0, 0); /* 10000 */
    tick(r, 1);
    assert_int_equal(read_count(r, COUNTER0), 0x9999);
}

static void test_modes_6_and_7_are_2_and_3(void **state)
{
    Rig *r = *state;

    rig_out8(r, CONTROL, 0x3c);
    rig_out8(r, CONTROL, 0xe2);
    assert_int_equal(rig_in8(r, COUNTER0) & 0x0e, 0x04);
}

static void test_control_word_reads_as_ones(void **state)
{
    Rig *r = *state;

    assert_int_equal(rig_in8(r, CONTROL), 0xff);
}

static void test_speaker_port_shows_output_2(void **state)
{
    Rig *r = *state;

    rig_out8(r, PORT61, 0x01);
    rig_out8(r, CONTROL, 0xb0); /* counter 2, mode 0: how kernels calibrate */
    load(r, COUNTER2, 1000);
    assert_int_equal(rig_in8(r, PORT61) & 0x23, 0x01);
    tick(r, 999);
    assert_int_equal(rig_in8(r, PORT61) & 0x20, 0);
    tick(r, 1);
    assert_int_equal(rig_in8(r, PORT61) & 0x20, 0x20);
}

static void test_gate_2_starts_the_one_shot(void **state)
{
    Rig *r = *state;

    rig_out8(r, CONTROL, 0xb2); /* mode 1 */
    load(r, COUNTER2, 1000);
    tick(r, 5000);
    rig_out8(r, PORT61, 0x03);
    assert_int_equal(rig_in8(r, PORT61) & 0x23, 0x03);
    tick(r, 1000);
    assert_int_equal(rig_in8(r, PORT61) & 0x20, 0x20);
}

static void test_refresh_bit_toggles(void **state)
{
    Rig *r = *state;
    uint8_t first = rig_in8(r, PORT61) & 0x10;

    rig_advance(r, 15085);
    assert_int_equal(rig_in8(r, PORT61) & 0x10, first ^ 0x10);
}

static void test_counting_survives_save_and_restore(void **state)
{
    Rig *r = *state;
    uint32_t before;

    rig_out8(r, CONTROL, 0x34);
    load(r, COUNTER0, 1193);
    tick(r, 1000);
    *state = r = rig_save_restore(r);
    before = r->edges[0];
    assert_int_equal(read_count(r, COUNTER0), 193);
    tick(r, 193);
    assert_int_equal(r->edges[0] - before, 1);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rate_generator_interrupts_every_period),
        TEST(test_square_wave_interrupts_every_period),
        TEST(test_terminal_count_raises_the_line_once),
        TEST(test_software_strobe_is_one_shot),
        TEST(test_control_word_stops_counting_until_a_count_is_loaded),
        TEST(test_count_falls_with_time),
        TEST(test_square_wave_counts_by_two),
        TEST(test_one_shot_count_goes_on_below_zero),
        TEST(test_latched_count_stands_still_until_read),
        TEST(test_read_back_gives_status_then_count),
        TEST(test_single_byte_access),
        TEST(test_bcd_counts_in_decimal),
        TEST(test_modes_6_and_7_are_2_and_3),
        TEST(test_control_word_reads_as_ones),
        TEST(test_speaker_port_shows_output_2),
        TEST(test_gate_2_starts_the_one_shot),
        TEST(test_refresh_bit_toggles),
        TEST(test_counting_survives_save_and_restore),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
