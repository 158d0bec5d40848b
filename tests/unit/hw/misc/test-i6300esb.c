/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/misc/i6300esb.c: the watchdog, driven as Linux' driver does (drivers/watchdog/i6300esb.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/rig.h"

#define DEVFN   0x20 /* addr=4 */
#define BAR     0xf0000000
#define PRELOAD_1 0x0
#define PRELOAD_2 0x4
#define GISR    0x8
#define RELOAD  0xc
#define CONFIG  0x60
#define LOCK    0x68
#define TICK_NS (INT64_C(32768) * 1000 / 33) /* a "millisecond" of the PCI clock */

static void map(Rig *r)
{
    rig_config_write(r, DEVFN, 0x10, BAR, 4);
    rig_config_write(r, DEVFN, 0x04, 0x2, 2);
}

static int setup(void **state)
{
    Rig *r = rig_new("i6300esb,addr=4");

    map(r);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static void unlock(Rig *r)
{
    rig_write(r, BAR + RELOAD, 0x80, 2);
    rig_write(r, BAR + RELOAD, 0x86, 2);
}

static void preload(Rig *r, uint32_t first, uint32_t second)
{
    unlock(r);
    rig_write(r, BAR + PRELOAD_1, first, 4);
    unlock(r);
    rig_write(r, BAR + PRELOAD_2, second, 4);
}

static void reload(Rig *r)
{
    unlock(r);
    rig_write(r, BAR + RELOAD, 0x100, 2);
}

/* Firing has the machine reset, which unmaps it. */
static bool fired(Rig *r)
{
    uint64_t reload;

    map(r);
    reload = rig_read(r, BAR + RELOAD, 2);
    assert_int_equal(reload & ~UINT64_C(0x200), 0);
    return reload;
}

static void test_it_fires_after_both_stages(void **state)
{
    Rig *r = *state;

    preload(r, 100, 50);
    rig_config_write(r, DEVFN, LOCK, 2, 1);
    rig_advance(r, 99 * TICK_NS);
    assert_int_equal(rig_read(r, BAR + GISR, 4), 0);
    rig_advance(r, 2 * TICK_NS);
    assert_int_equal(rig_read(r, BAR + GISR, 4), 1);
    rig_advance(r, 48 * TICK_NS);
    assert_false(fired(r));
    rig_advance(r, 2 * TICK_NS);
    assert_true(fired(r));
    assert_int_equal(rig_config_read(r, DEVFN, LOCK, 1), 0);
    unlock(r);
    rig_write(r, BAR + RELOAD, 0x200, 2);
    assert_false(fired(r));
}

static void test_who_reloads_in_time_is_left_alone(void **state)
{
    Rig *r = *state;

    preload(r, 100, 50);
    rig_config_write(r, DEVFN, LOCK, 2, 1);
    for (unsigned i = 0; i < 20; i++) {
        rig_advance(r, 140 * TICK_NS);
        reload(r);
    }
    assert_false(fired(r));
    rig_config_write(r, DEVFN, LOCK, 0, 1);
    rig_advance(r, 1000 * TICK_NS);
    assert_false(fired(r));
}

static void test_the_fast_clock_counts_microseconds(void **state)
{
    Rig *r = *state;

    rig_config_write(r, DEVFN, CONFIG, 0x07, 2);
    preload(r, 1000, 1000);
    rig_config_write(r, DEVFN, LOCK, 2, 1);
    rig_advance(r, 1930 * 1000);
    assert_false(fired(r));
    rig_advance(r, 20 * 1000);
    assert_true(fired(r));
}

static void test_registers_need_the_key(void **state)
{
    Rig *r = *state;

    rig_write(r, BAR + PRELOAD_1, 5, 4);
    assert_int_equal(rig_read(r, BAR + PRELOAD_1, 4), 0xfffff);
    rig_write(r, BAR + RELOAD, 0x80, 2);
    rig_write(r, BAR + RELOAD, 0x85, 2);
    rig_write(r, BAR + PRELOAD_1, 5, 4);
    assert_int_equal(rig_read(r, BAR + PRELOAD_1, 4), 0xfffff);
    preload(r, 0xfff00005, 6);
    assert_int_equal(rig_read(r, BAR + PRELOAD_1, 4), 5);
    rig_write(r, BAR + PRELOAD_1, 7, 4); /* one write a key */
    assert_int_equal(rig_read(r, BAR + PRELOAD_1, 4), 5);
}

static void test_a_lock_holds_until_a_reset(void **state)
{
    Rig *r = *state;

    preload(r, 10, 10);
    rig_config_write(r, DEVFN, LOCK, 3, 1);
    rig_config_write(r, DEVFN, LOCK, 0, 1);
    assert_int_equal(rig_config_read(r, DEVFN, LOCK, 1), 3);
    rig_advance(r, 21 * TICK_NS);
    assert_int_equal(rig_config_read(r, DEVFN, LOCK, 1), 0);
    assert_true(fired(r)); /* the guest can tell why it was reset */
}

static void test_without_its_output_it_does_nothing(void **state)
{
    Rig *r = *state;

    rig_config_write(r, DEVFN, CONFIG, 0x23, 2);
    preload(r, 10, 10);
    rig_config_write(r, DEVFN, LOCK, 2, 1);
    rig_advance(r, 50 * TICK_NS);
    assert_false(fired(r));
}

static void test_a_free_running_one_counts_its_second_stage_again_and_again(void **state)
{
    Rig *r = *state;

    domain_actions(r->domain)->watchdog = WATCHDOG_NONE;
    preload(r, 1000, 50);
    rig_config_write(r, DEVFN, LOCK, 6, 1);
    for (unsigned i = 0; i < 3; i++) {
        rig_advance(r, 45 * TICK_NS);
        assert_false(fired(r));
        rig_advance(r, 10 * TICK_NS);
        assert_true(fired(r));
        assert_int_equal(rig_config_read(r, DEVFN, LOCK, 1), 6);
        assert_int_equal(rig_read(r, BAR + GISR, 4), 0);
        unlock(r);
        rig_write(r, BAR + RELOAD, 0x300, 2);
    }
}

static void test_one_that_runs_goes_on_where_it_is_restored(void **state)
{
    Rig *r = *state;

    preload(r, 100, 50);
    rig_config_write(r, DEVFN, LOCK, 2, 1);
    rig_advance(r, 120 * TICK_NS);
    *state = r = rig_save_restore(r);
    assert_int_equal(rig_read(r, BAR + GISR, 4), 1);
    rig_advance(r, 25 * TICK_NS);
    assert_false(fired(r));
    rig_advance(r, 10 * TICK_NS);
    assert_true(fired(r));
}

int main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_fires_after_both_stages),
        TEST(who_reloads_in_time_is_left_alone),
        TEST(the_fast_clock_counts_microseconds),
        TEST(registers_need_the_key),
        TEST(a_lock_holds_until_a_reset),
        TEST(without_its_output_it_does_nothing),
        TEST(a_free_running_one_counts_its_second_stage_again_and_again),
        TEST(one_that_runs_goes_on_where_it_is_restored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
