/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The HPET: counter, comparators, and the three ways of its interrupts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hw/timer/hpet.h"
#include "tests/unit/rig.h"

#define ID      (HPET_ADDRESS + 0x000)
#define CONFIG  (HPET_ADDRESS + 0x010)
#define STATUS  (HPET_ADDRESS + 0x020)
#define COUNTER (HPET_ADDRESS + 0x0f0)
#define TN(N, REG) (HPET_ADDRESS + 0x100 + 0x20 * (N) + (REG))
#define TN_CONFIG  0x00
#define TN_COMPARE 0x08
#define TN_FSB     0x10

#define LEVEL      0x2u
#define ENABLE     0x4u
#define PERIODIC   0x8u
#define SET_VALUE  0x40u
#define BITS32     0x100u
#define ROUTE(PIN) ((PIN) << 9)
#define FSB        0x4000u

#define TICK 10 /* ns */

static int setup(void **state)
{
    *state = rig_new("hpet");
    return 0;
}

static int setup_msi(void **state)
{
    *state = rig_new("hpet,msi=on,timers=4");
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static void one_shot(Rig *r, unsigned n, uint64_t config, uint64_t compare)
{
    rig_write(r, TN(n, TN_CONFIG), config, 8);
    rig_write(r, TN(n, TN_COMPARE), compare, 8);
}

static void test_identification(void **state)
{
    Rig *r = *state;

    assert_int_equal(rig_read(r, ID, 8), UINT64_C(0x009896808086a201));
    assert_int_equal(rig_read(r, ID + 4, 4), 10000000); /* femtoseconds */
    assert_int_equal(rig_read(r, TN(2, TN_CONFIG), 8), UINT64_C(0x00ff010400000430));
    assert_int_equal(rig_read(r, TN(3, TN_CONFIG), 8), 0);
}

static void test_counter_runs_while_enabled(void **state)
{
    Rig *r = *state;

    rig_advance(r, 1000);
    assert_int_equal(rig_read(r, COUNTER, 8), 0);
    rig_write(r, CONFIG, 1, 4);
    rig_advance(r, 1000);
    assert_int_equal(rig_read(r, COUNTER, 8), 100);
    rig_write(r, CONFIG, 0, 4);
    rig_advance(r, 1000);
    assert_int_equal(rig_read(r, COUNTER, 8), 100);
    rig_write(r, COUNTER + 4, 7, 4);
    assert_int_equal(rig_read(r, COUNTER, 8), UINT64_C(0x700000064));
    assert_int_equal(rig_read(r, COUNTER + 4, 4), 7);
}

static void test_one_shot_matches_once(void **state)
{
    Rig *r = *state;

    rig_write(r, CONFIG, 1, 4);
    one_shot(r, 0, ENABLE | ROUTE(20), 100000);
    rig_advance(r, 99999 * TICK);
    assert_int_equal(r->edges[20], 0);
    rig_advance(r, TICK);
    assert_int_equal(r->edges[20], 1);
    rig_advance(r, 100 * NS_PER_SEC);
    assert_int_equal(r->edges[20], 1);
}

static void test_32_bit_one_shot_matches_at_each_wrap(void **state)
{
    Rig *r = *state;

    rig_write(r, CONFIG, 1, 4);
    one_shot(r, 0, ENABLE | BITS32 | ROUTE(20), 100000);
    rig_advance(r, 100000 * TICK);
    assert_int_equal(r->edges[20], 1);
    rig_advance(r, (INT64_C(1) << 32) * TICK);
    assert_int_equal(r->edges[20], 2);
}

static void test_comparator_just_passed_matches_at_once(void **state)
{
    Rig *r = *state;

    rig_write(r, CONFIG, 1, 4);
    rig_advance(r, NS_PER_MS);
    one_shot(r, 0, ENABLE | ROUTE(20), rig_read(r, COUNTER, 8) - 5);
    rig_advance(r, 1);
    assert_int_equal(r->edges[20], 1);
}

static void test_periodic_timer_keeps_its_pace(void **state)
{
    Rig *r = *state;

    one_shot(r, 0, ENABLE | PERIODIC | SET_VALUE | ROUTE(20), 100000);
    rig_write(r, TN(0, TN_COMPARE), 50000, 8); /* the period */
    rig_write(r, CONFIG, 1, 4);
    rig_advance(r, 100000 * TICK);
    assert_int_equal(r->edges[20], 1);
    assert_int_equal(rig_read(r, TN(0, TN_COMPARE), 8), 150000);
    rig_advance(r, 50000 * TICK);
    assert_int_equal(r->edges[20], 2);
    rig_advance(r, 200000 * TICK);
    assert_int_equal(r->edges[20], 6);
    assert_int_equal(rig_read(r, TN(0, TN_COMPARE), 8), 400000);
}

static void test_comparator_without_interrupt_goes_on_unseen(void **state)
{
    Rig *r = *state;

    one_shot(r, 0, PERIODIC | SET_VALUE | ROUTE(20), 100000);
    rig_write(r, CONFIG, 1, 4);
    rig_advance(r, 350000 * TICK);
    assert_int_equal(rig_read(r, TN(0, TN_COMPARE), 8), 400000);
    rig_write(r, TN(0, TN_CONFIG), ENABLE | PERIODIC | ROUTE(20), 4);
    rig_advance(r, 49999 * TICK);
    assert_int_equal(r->edges[20], 0);
    rig_advance(r, TICK);
    assert_int_equal(r->edges[20], 1);
}

static void test_shortest_period_does_not_stop_the_world(void **state)
{
    Rig *r = *state;

    one_shot(r, 0, ENABLE | PERIODIC | SET_VALUE | ROUTE(20), 1);
    rig_write(r, CONFIG, 1, 4);
    rig_advance(r, NS_PER_MS);
    rig_advance(r, NS_PER_MS);
    assert_in_range(r->edges[20], 1, 50);
}

static void test_level_interrupt_stays_until_cleared(void **state)
{
    Rig *r = *state;

    rig_write(r, CONFIG, 1, 4);
    one_shot(r, 1, ENABLE | LEVEL | ROUTE(20), 100000);
    rig_advance(r, 100000 * TICK);
    assert_true(rig_irq(r, 20));
    assert_int_equal(rig_read(r, STATUS, 8), 2);
    rig_write(r, STATUS, 1, 4);
    assert_true(rig_irq(r, 20));
    rig_write(r, STATUS, 2, 4);
    assert_false(rig_irq(r, 20));
}

static void test_disabled_level_timer_sets_status_only(void **state)
{
    Rig *r = *state;

    rig_write(r, CONFIG, 1, 4);
    one_shot(r, 0, LEVEL | ROUTE(20), 100000);
    rig_advance(r, 100000 * TICK);
    assert_int_equal(rig_read(r, STATUS, 4), 1);
    assert_false(rig_irq(r, 20));
    rig_write(r, TN(0, TN_CONFIG), ENABLE | LEVEL | ROUTE(20), 4);
    assert_true(rig_irq(r, 20));
}

static void test_pin_that_is_not_offered_gets_nothing(void **state)
{
    Rig *r = *state;

    rig_write(r, CONFIG, 1, 4);
    one_shot(r, 0, ENABLE | ROUTE(5), 100000);
    rig_advance(r, 100000 * TICK);
    assert_int_equal(r->edges[5], 0);
}

static void test_pin_2_is_the_timer_interrupt(void **state)
{
    Rig *r = *state;

    rig_write(r, CONFIG, 1, 4);
    one_shot(r, 0, ENABLE | ROUTE(2), 100000);
    rig_advance(r, 100000 * TICK);
    assert_int_equal(r->edges[0], 1);
}

static void test_legacy_replacement_takes_interrupts_0_and_8(void **state)
{
    Rig *r = *state;

    irq_set(gsi_line(domain_irqs(r->domain), 8), true);
    rig_write(r, CONFIG, 3, 4);
    assert_false(rig_irq(r, 8));
    one_shot(r, 0, ENABLE | ROUTE(20), 100000);
    one_shot(r, 1, ENABLE | ROUTE(20), 100000);
    rig_advance(r, 100000 * TICK);
    assert_int_equal(r->edges[0], 1);
    assert_int_equal(r->edges[8], 2);
    assert_int_equal(r->edges[20], 0);
    rig_write(r, CONFIG, 1, 4);
    assert_true(rig_irq(r, 8));
}

static void test_messages_are_sent_as_written(void **state)
{
    Rig *r = *state;

    rig_write(r, CONFIG, 1, 4);
    rig_write(r, TN(3, TN_FSB), UINT64_C(0xfee0100000004055), 8);
    one_shot(r, 3, ENABLE | FSB | ROUTE(20), 100000);
    rig_advance(r, 100000 * TICK);
    assert_int_equal(fake_accel_msi(r->domain).count, 1);
    assert_int_equal(fake_accel_msi(r->domain).last.address, 0xfee01000);
    assert_int_equal(fake_accel_msi(r->domain).last.data, 0x4055);
    assert_int_equal(r->edges[20], 0);
}

static void test_without_msi_the_bit_does_not_exist(void **state)
{
    Rig *r = *state;

    rig_write(r, TN(0, TN_CONFIG), FSB, 4);
    assert_int_equal(rig_read(r, TN(0, TN_CONFIG), 4) & (FSB | 0x8000), 0);
}

static void test_narrow_and_unaligned_accesses_are_refused(void **state)
{
    Rig *r = *state;

    assert_int_equal(rig_read(r, ID, 1), 0xff);
    assert_int_equal(rig_read(r, ID + 4, 8), UINT64_MAX);
}

static void test_wrong_properties_are_refused(void **state)
{
    Rig *r = *state;
    g_autofree char *few = NULL, *unaligned = NULL, *nowhere = NULL;

    few = rig_try_add(r, "hpet,timers=2");
    assert_non_null(few);
    unaligned = rig_try_add(r, "hpet,base=0xfed00100");
    assert_non_null(unaligned);
    nowhere = rig_try_add(r, "hpet,hpet-intcap=1");
    assert_non_null(nowhere);
}

static int setup_empty(void **state)
{
    *state = rig_new(NULL);
    return 0;
}

static void test_periodic_timer_survives_save_and_restore(void **state)
{
    Rig *r = *state;

    one_shot(r, 0, ENABLE | PERIODIC | SET_VALUE | ROUTE(20), 100000);
    rig_write(r, CONFIG, 3, 4);
    rig_advance(r, 150000 * TICK);
    *state = r = rig_save_restore(r);
    assert_int_equal(rig_read(r, COUNTER, 8), 150000);
    assert_int_equal(rig_read(r, TN(0, TN_COMPARE), 8), 200000);
    rig_advance(r, 50000 * TICK);
    assert_int_equal(r->edges[0], 1);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_identification),
        TEST(test_counter_runs_while_enabled),
        TEST(test_one_shot_matches_once),
        TEST(test_32_bit_one_shot_matches_at_each_wrap),
        TEST(test_comparator_just_passed_matches_at_once),
        TEST(test_periodic_timer_keeps_its_pace),
        TEST(test_comparator_without_interrupt_goes_on_unseen),
        TEST(test_shortest_period_does_not_stop_the_world),
        TEST(test_level_interrupt_stays_until_cleared),
        TEST(test_disabled_level_timer_sets_status_only),
        TEST(test_pin_that_is_not_offered_gets_nothing),
        TEST(test_pin_2_is_the_timer_interrupt),
        TEST(test_legacy_replacement_takes_interrupts_0_and_8),
        cmocka_unit_test_setup_teardown(test_messages_are_sent_as_written, setup_msi, teardown),
        TEST(test_without_msi_the_bit_does_not_exist),
        TEST(test_narrow_and_unaligned_accesses_are_refused),
        cmocka_unit_test_setup_teardown(test_wrong_properties_are_refused, setup_empty, teardown),
        TEST(test_periodic_timer_survives_save_and_restore),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
