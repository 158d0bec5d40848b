/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/input/i8042.c: the controller's commands, keyboard and mouse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/rig.h"

enum { DATA = 0x60, COMMAND = 0x64, STATUS = 0x64 };
enum { OBF = 1 << 0, MOUSE_OBF = 1 << 5 };

static int setup(void **state)
{
    *state = rig_new("i8042");
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

/* The byte in the output buffer; waits for it as long as it may take. */
static uint8_t take(Rig *r)
{
    uint8_t byte;

    assert_true(rig_in8(r, STATUS) & OBF);
    byte = rig_in8(r, DATA);
    rig_settle(r);
    return byte;
}

static void test_the_self_test_passes(void **state)
{
    Rig *r = *state;

    rig_out8(r, COMMAND, 0xaa);
    assert_int_equal(take(r), 0x55);
    assert_true(rig_in8(r, STATUS) & 1 << 2); /* the system flag */
    assert_false(rig_in8(r, STATUS) & OBF);
}

static void test_the_mode_byte_is_kept(void **state)
{
    Rig *r = *state;

    rig_out8(r, COMMAND, 0x60);
    rig_out8(r, DATA, 0x65);
    rig_out8(r, COMMAND, 0x20);
    assert_int_equal(take(r), 0x65);
}

static void test_both_interfaces_test_well(void **state)
{
    Rig *r = *state;

    rig_out8(r, COMMAND, 0xab);
    assert_int_equal(take(r), 0);
    rig_out8(r, COMMAND, 0xa9);
    assert_int_equal(take(r), 0);
}

static void test_the_keyboard_identifies_itself_with_an_edge_a_byte(void **state)
{
    Rig *r = *state;

    rig_out8(r, DATA, 0xf2);
    assert_true(rig_irq(r, 1));
    assert_int_equal(take(r), 0xfa);
    assert_int_equal(take(r), 0xab);
    assert_int_equal(take(r), 0x83);
    assert_false(rig_irq(r, 1));
    assert_int_equal(r->edges[1], 3);
}

static void test_without_its_interrupt_the_keyboard_is_polled(void **state)
{
    Rig *r = *state;

    rig_out8(r, COMMAND, 0x60);
    rig_out8(r, DATA, 0x00);
    rig_out8(r, DATA, 0xee);
    assert_false(rig_irq(r, 1));
    assert_int_equal(take(r), 0xee);
}

static void test_the_mouse_answers_on_its_own_interrupt(void **state)
{
    Rig *r = *state;

    rig_out8(r, COMMAND, 0xd4);
    rig_out8(r, DATA, 0xff);
    assert_true(rig_in8(r, STATUS) & MOUSE_OBF);
    assert_true(rig_irq(r, 12));
    assert_false(rig_irq(r, 1));
    assert_int_equal(take(r), 0xfa);
    assert_int_equal(take(r), 0xaa);
    assert_int_equal(take(r), 0x00);
}

static void test_a_disabled_keyboard_keeps_its_answer(void **state)
{
    Rig *r = *state;

    rig_out8(r, DATA, 0xf2);
    assert_int_equal(rig_in8(r, DATA), 0xfa);
    rig_out8(r, COMMAND, 0xad);
    rig_settle(r);
    assert_false(rig_in8(r, STATUS) & OBF);
    rig_out8(r, COMMAND, 0xae);
    assert_int_equal(take(r), 0xab);
}

static void test_unknown_device_commands_ask_to_resend(void **state)
{
    Rig *r = *state;

    rig_out8(r, DATA, 0xe1);
    assert_int_equal(take(r), 0xfe);
}

static void test_a_flood_of_commands_is_bounded(void **state)
{
    Rig *r = *state;
    unsigned answers = 0;

    for (unsigned i = 0; i < 1000; i++) {
        rig_out8(r, DATA, 0xee);
    }
    while (rig_in8(r, STATUS) & OBF) {
        take(r);
        answers++;
    }
    assert_int_equal(answers, 17); /* the queue and the output buffer */
}

static void test_answers_on_their_way_survive_save_and_restore(void **state)
{
    Rig *r = *state;

    rig_out8(r, DATA, 0xf2);
    r = *state = rig_save_restore(r);
    assert_true(rig_irq(r, 1));
    assert_int_equal(take(r), 0xfa);
    assert_int_equal(take(r), 0xab);
    assert_int_equal(take(r), 0x83);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_self_test_passes),
        TEST(test_the_mode_byte_is_kept),
        TEST(test_both_interfaces_test_well),
        TEST(test_the_keyboard_identifies_itself_with_an_edge_a_byte),
        TEST(test_without_its_interrupt_the_keyboard_is_polled),
        TEST(test_the_mouse_answers_on_its_own_interrupt),
        TEST(test_a_disabled_keyboard_keeps_its_answer),
        TEST(test_unknown_device_commands_ask_to_resend),
        TEST(test_a_flood_of_commands_is_bounded),
        TEST(test_answers_on_their_way_survive_save_and_restore),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
