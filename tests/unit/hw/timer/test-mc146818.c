/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real-time clock: time, updates, alarms, periodic interrupts, memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hw/timer/mc146818-time.h"
#include "hw/timer/mc146818.h"
#include "tests/unit/rig.h"

#define RTC_A 0x0a
#define RTC_B 0x0b
#define RTC_C 0x0c
#define RTC_D 0x0d

#define HALF (NS_PER_SEC / 2)

/* Thursday 2026-11-26 23:59:58.5, on a clock that only the test moves. */
static void start_at(Domain *domain)
{
    Machine *machine = domain_machine(domain);

    machine->rtc.clock = RTC_CLOCK_VM;
    machine->rtc.offset_ns = INT64_C(1795737598) * NS_PER_SEC + HALF - clock_ns(clock_host);
}

static void start_with_slew(Domain *domain)
{
    start_at(domain);
    domain_machine(domain)->rtc.slew = true;
}

static void start_in_9999(Domain *domain)
{
    Machine *machine = domain_machine(domain);

    machine->rtc.clock = RTC_CLOCK_VM;
    machine->rtc.base = RTC_BASE_DATE;
    machine->rtc.offset_ns = (__int128)INT64_C(253370764800) * NS_PER_SEC;
}

static int setup(void **state)
{
    *state = rig_new_with("mc146818rtc", start_at);
    return 0;
}

static int setup_slew(void **state)
{
    *state = rig_new_with("mc146818rtc", start_with_slew);
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static uint8_t get(Rig *r, uint8_t index)
{
    rig_out8(r, 0x70, index);
    return rig_in8(r, 0x71);
}

static void put(Rig *r, uint8_t index, uint8_t value)
{
    rig_out8(r, 0x70, index);
    rig_out8(r, 0x71, value);
}

static void test_time_is_bcd_of_24_hours_at_start(void **state)
{
    Rig *r = *state;

    assert_int_equal(get(r, RTC_SECONDS), 0x58);
    assert_int_equal(get(r, RTC_MINUTES), 0x59);
    assert_int_equal(get(r, RTC_HOURS), 0x23);
    assert_int_equal(get(r, RTC_WEEKDAY), 5);
    assert_int_equal(get(r, RTC_DAY), 0x26);
    assert_int_equal(get(r, RTC_MONTH), 0x11);
    assert_int_equal(get(r, RTC_YEAR), 0x26);
    assert_int_equal(get(r, RTC_CENTURY), 0x20);
    assert_int_equal(get(r, RTC_D), 0x80);
    assert_int_equal(get(r, RTC_A), 0x26);
    assert_int_equal(get(r, RTC_B), 0x02);
}

static void test_midnight_changes_the_date(void **state)
{
    Rig *r = *state;

    rig_advance(r, 2 * NS_PER_SEC);
    assert_int_equal(get(r, RTC_SECONDS), 0x00);
    assert_int_equal(get(r, RTC_HOURS), 0x00);
    assert_int_equal(get(r, RTC_WEEKDAY), 6);
    assert_int_equal(get(r, RTC_DAY), 0x27);
}

static void test_binary_and_12_hours(void **state)
{
    Rig *r = *state;

    put(r, RTC_B, 0x04);
    assert_int_equal(get(r, RTC_SECONDS), 58);
    assert_int_equal(get(r, RTC_HOURS), 0x80 | 11);
    put(r, RTC_B, 0x00);
    assert_int_equal(get(r, RTC_HOURS), 0x91);
    rig_advance(r, 2 * NS_PER_SEC);
    assert_int_equal(get(r, RTC_HOURS), 0x12);
}

static void test_held_clock_is_set_and_goes_on(void **state)
{
    Rig *r = *state;

    put(r, RTC_B, 0x82);
    put(r, RTC_HOURS, 0x12);
    put(r, RTC_MINUTES, 0x34);
    put(r, RTC_SECONDS, 0x56);
    put(r, RTC_DAY, 0x29);
    put(r, RTC_MONTH, 0x02);
    put(r, RTC_YEAR, 0x28);
    rig_advance(r, 100 * NS_PER_SEC);
    assert_int_equal(get(r, RTC_SECONDS), 0x56);
    put(r, RTC_B, 0x02);
    assert_int_equal(get(r, RTC_SECONDS), 0x56);
    rig_advance(r, HALF);
    assert_int_equal(get(r, RTC_SECONDS), 0x57);
    rig_advance(r, 12 * 3600 * NS_PER_SEC);
    assert_int_equal(get(r, RTC_DAY), 0x01);
    assert_int_equal(get(r, RTC_MONTH), 0x03);
}

static void hear(const Event *event, void *opaque)
{
    assert_string_equal(event->type->name, "RTC_CHANGE");
    *(int64_t *)opaque = json_get_int(json_object_get_member(event->data, "offset"));
}

static void test_setting_is_told_by_an_event(void **state)
{
    Rig *r = *state;
    int64_t offset = 0;

    event_listen(r->domain, hear, &offset);
    put(r, RTC_B, 0x82);
    put(r, RTC_HOURS, 0x20);
    rig_settle(r);
    assert_int_equal(offset, 0);
    put(r, RTC_B, 0x02);
    rig_settle(r);
    assert_int_equal(offset, -3 * 3600);
    event_unlisten(r->domain, hear, &offset);
}

static void test_first_update_comes_half_a_second_after_divider_reset(void **state)
{
    Rig *r = *state;

    put(r, RTC_A, 0x60);
    rig_advance(r, 10 * NS_PER_SEC);
    assert_int_equal(get(r, RTC_SECONDS), 0x58);
    put(r, RTC_A, 0x26);
    rig_advance(r, HALF - 1000);
    assert_int_equal(get(r, RTC_SECONDS), 0x58);
    rig_advance(r, 1000);
    assert_int_equal(get(r, RTC_SECONDS), 0x59);
}

static void test_uip_warns_of_the_update(void **state)
{
    Rig *r = *state;

    put(r, RTC_A, 0x60); /* an exact phase */
    put(r, RTC_A, 0x26);
    rig_advance(r, HALF - 245000);
    assert_int_equal(get(r, RTC_A), 0x26);
    rig_advance(r, 2000);
    assert_int_equal(get(r, RTC_A), 0xa6);
    rig_advance(r, 243000);
    assert_int_equal(get(r, RTC_A), 0x26);
}

static void test_update_interrupt_every_second(void **state)
{
    Rig *r = *state;

    put(r, RTC_B, 0x12);
    rig_advance(r, HALF + 1000000);
    assert_true(rig_irq(r, 8));
    assert_int_equal(get(r, RTC_C) & 0x90, 0x90);
    assert_false(rig_irq(r, 8));
    assert_int_equal(get(r, RTC_C), 0);
    rig_advance(r, NS_PER_SEC);
    assert_true(rig_irq(r, 8));
}

static void test_flags_are_set_without_interrupts_too(void **state)
{
    Rig *r = *state;

    get(r, RTC_C);
    rig_advance(r, NS_PER_SEC);
    assert_int_equal(get(r, RTC_C), 0x50);
    assert_false(rig_irq(r, 8));
}

static void test_alarm_at_the_time_given(void **state)
{
    Rig *r = *state;

    put(r, RTC_HOURS_ALARM, 0x00);
    put(r, RTC_MINUTES_ALARM, 0x01);
    put(r, RTC_SECONDS_ALARM, 0x30);
    put(r, RTC_B, 0x22);
    rig_advance(r, 91 * NS_PER_SEC);
    assert_false(rig_irq(r, 8));
    rig_advance(r, NS_PER_SEC);
    assert_true(rig_irq(r, 8));
    assert_int_equal(get(r, RTC_C) & 0xa0, 0xa0);
}

static unsigned alarms;

static void note_alarm(Device *dev)
{
    alarms++;
}

static void test_enabled_alarm_is_told_once(void **state)
{
    Rig *r = *state;

    alarms = 0;
    mc146818_set_alarm(r->dev, r->dev, note_alarm);
    put(r, RTC_SECONDS_ALARM, 0xc0);
    put(r, RTC_MINUTES_ALARM, 0xc0);
    put(r, RTC_HOURS_ALARM, 0xc0); /* each second */
    rig_advance(r, NS_PER_SEC);
    assert_int_equal(alarms, 0);
    get(r, RTC_C);
    put(r, RTC_B, 0x22);
    rig_advance(r, 2 * NS_PER_SEC);
    assert_int_equal(alarms, 1);
    get(r, RTC_C);
    rig_advance(r, NS_PER_SEC);
    assert_int_equal(alarms, 2);
}

static void test_alarm_with_wildcards_every_minute(void **state)
{
    Rig *r = *state;

    put(r, RTC_HOURS_ALARM, 0xc0);
    put(r, RTC_MINUTES_ALARM, 0xff);
    put(r, RTC_SECONDS_ALARM, 0x05);
    put(r, RTC_B, 0x22);
    rig_advance(r, 7 * NS_PER_SEC);
    assert_int_equal(get(r, RTC_C) & 0x20, 0x20);
    rig_advance(r, 59 * NS_PER_SEC);
    assert_int_equal(get(r, RTC_C) & 0x20, 0);
    rig_advance(r, NS_PER_SEC);
    assert_int_equal(get(r, RTC_C) & 0x20, 0x20);
}

static void test_impossible_alarm_never_comes(void **state)
{
    Rig *r = *state;

    put(r, RTC_SECONDS_ALARM, 0x75);
    put(r, RTC_B, 0x22);
    rig_advance(r, 200000 * NS_PER_SEC);
    assert_false(rig_irq(r, 8));
}

static void test_periodic_interrupt_at_the_rate(void **state)
{
    Rig *r = *state;

    put(r, RTC_B, 0x42); /* 1024 Hz */
    get(r, RTC_C);
    rig_advance(r, NS_PER_SEC / 1024 + 1);
    assert_true(rig_irq(r, 8));
    assert_int_equal(get(r, RTC_C) & 0xc0, 0xc0);
    rig_advance(r, NS_PER_SEC / 1024 + 1);
    assert_true(rig_irq(r, 8));
    put(r, RTC_A, 0x2f); /* 2 Hz */
    get(r, RTC_C);
    rig_advance(r, NS_PER_SEC / 4);
    get(r, RTC_C);
    rig_advance(r, NS_PER_SEC / 4);
    get(r, RTC_C);
    assert_false(rig_irq(r, 8));
    rig_advance(r, HALF);
    assert_true(rig_irq(r, 8));
}

static void test_unserved_interrupt_does_not_repeat(void **state)
{
    Rig *r = *state;

    put(r, RTC_B, 0x42);
    get(r, RTC_C);
    rig_advance(r, NS_PER_SEC);
    assert_int_equal(r->edges[8], 1);
    get(r, RTC_C);
    rig_advance(r, NS_PER_SEC / 2000);
    assert_int_equal(r->edges[8], 1);
}

static void test_slew_makes_up_for_lost_ticks(void **state)
{
    Rig *r = *state;
    unsigned served = 0;

    put(r, RTC_B, 0x42);
    get(r, RTC_C);
    rig_advance(r, 10 * NS_PER_SEC / 1024); /* nine lost */
    for (unsigned i = 0; i < 200; i++) {    /* then a guest that is quick: 50 periods long */
        rig_advance(r, NS_PER_SEC / 4096);
        served += (get(r, RTC_C) & 0x40) != 0;
    }
    assert_in_range(served, 58, 60);
}

static void test_lost_ticks_are_forgotten_when_told(void **state)
{
    Rig *r = *state;
    unsigned served = 0;

    put(r, RTC_B, 0x42);
    get(r, RTC_C);
    rig_advance(r, 10 * NS_PER_SEC / 1024);
    mc146818_forget_lost_ticks(r->dev);
    get(r, RTC_C);
    for (unsigned i = 0; i < 200; i++) {
        rig_advance(r, NS_PER_SEC / 4096);
        served += (get(r, RTC_C) & 0x40) != 0;
    }
    assert_in_range(served, 49, 51);
}

static void test_reset_keeps_time_and_memory(void **state)
{
    Rig *r = *state;

    put(r, 0x40, 0xa5);
    put(r, RTC_B, 0x7a);
    rig_advance(r, NS_PER_SEC);
    device_reset(r->dev);
    assert_false(rig_irq(r, 8));
    assert_int_equal(get(r, RTC_B), 0x02);
    assert_int_equal(get(r, 0x40), 0xa5);
    assert_int_equal(get(r, RTC_SECONDS), 0x59);
}

static void test_address_cannot_be_read_and_its_top_bit_is_not_ours(void **state)
{
    Rig *r = *state;

    rig_out8(r, 0x70, 0x80 | RTC_D);
    assert_int_equal(rig_in8(r, 0x70), 0xff);
    assert_int_equal(rig_in8(r, 0x71), 0x80);
}

static void test_memory_size_is_where_firmware_looks(void **state)
{
    Rig *r = *state;

    mc146818_set_memory(r->dev, UINT64_C(3) << 30, UINT64_C(5) << 30);
    assert_int_equal(get(r, 0x15) | get(r, 0x16) << 8, 640);
    assert_int_equal(get(r, 0x17) | get(r, 0x18) << 8, 0xffff);
    assert_int_equal(get(r, 0x30) | get(r, 0x31) << 8, 0xffff);
    assert_int_equal(get(r, 0x34) | get(r, 0x35) << 8, (3072 - 16) * 16);
    assert_int_equal(get(r, 0x5b) | get(r, 0x5c) << 8 | get(r, 0x5d) << 16, 5120 * 16);
}

static void test_state_survives_save_and_restore(void **state)
{
    Rig *r = *state;
    g_autoptr(GByteArray) saved = NULL;

    put(r, 0x40, 0xa5);
    put(r, RTC_HOURS, 0x12);
    put(r, RTC_B, 0x12);
    rig_advance(r, NS_PER_SEC);
    saved = rig_save(r);
    rig_free(r);
    *state = r = rig_new_with("mc146818rtc", start_at);
    assert_null(rig_load(r, saved));
    assert_true(rig_irq(r, 8));
    assert_int_equal(get(r, RTC_HOURS), 0x12);
    assert_int_equal(get(r, RTC_SECONDS), 0x59);
    assert_int_equal(get(r, 0x40), 0xa5);
    get(r, RTC_C);
    rig_advance(r, NS_PER_SEC);
    assert_true(rig_irq(r, 8));
}

/* Nanoseconds of them do not fit 64 bits. */
static void test_any_year_that_the_bytes_can_tell(void **state)
{
    static const uint8_t centuries[] = { 0x00, 0x16, 0x23, 0x99 };
    Rig *r = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(centuries); i++) {
        g_autoptr(GByteArray) near = rig_save(r), far = NULL;

        put(r, RTC_CENTURY, centuries[i]);
        put(r, RTC_B, 0x12);
        get(r, RTC_C);
        rig_advance(r, NS_PER_SEC);
        assert_int_equal(get(r, RTC_CENTURY), centuries[i]);
        assert_int_equal(get(r, RTC_YEAR), 0x26);
        assert_int_equal(get(r, RTC_C) & 0x10, 0x10);
        far = rig_save(r);
        assert_null(rig_load(r, near));
        assert_int_equal(get(r, RTC_CENTURY), i ? centuries[i - 1] : 0x20);
        assert_null(rig_load(r, far));
        assert_int_equal(get(r, RTC_CENTURY), centuries[i]);
        rig_advance(r, NS_PER_SEC);
        assert_int_equal(get(r, RTC_C) & 0x10, 0x10);
    }
}

static void test_it_may_start_in_any_year(void **state)
{
    Rig *r = *state = rig_new_with("mc146818rtc", start_in_9999);

    assert_int_equal(get(r, RTC_CENTURY), 0x99);
    assert_int_equal(get(r, RTC_YEAR), 0x99);
    assert_int_equal(get(r, RTC_MONTH), 0x01);
}

/* ---- calendar ---- */

static void round_trip(int64_t seconds, const char *expected)
{
    uint8_t cmos[128] = { 0 };
    char text[32];

    rtc_time_to_bytes(seconds, (RtcForm) { .hours24 = true }, cmos);
    g_snprintf(text, sizeof(text), "%02x%02x-%02x-%02x %02x:%02x:%02x %u", cmos[RTC_CENTURY], cmos[RTC_YEAR],
               cmos[RTC_MONTH], cmos[RTC_DAY], cmos[RTC_HOURS], cmos[RTC_MINUTES], cmos[RTC_SECONDS],
               cmos[RTC_WEEKDAY]);
    assert_string_equal(text, expected);
    assert_int_equal(rtc_time_from_bytes(cmos, (RtcForm) { .hours24 = true }), seconds);
}

static void test_calendar_knows_leap_years_and_the_past(void **state)
{
    round_trip(0, "1970-01-01 00:00:00 5");
    round_trip(-1, "1969-12-31 23:59:59 4");
    round_trip(951782400, "2000-02-29 00:00:00 3");
    round_trip(4107542400, "2100-03-01 00:00:00 2");
    round_trip(1709251199, "2024-02-29 23:59:59 5");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_time_is_bcd_of_24_hours_at_start),
        TEST(test_midnight_changes_the_date),
        TEST(test_binary_and_12_hours),
        TEST(test_held_clock_is_set_and_goes_on),
        TEST(test_setting_is_told_by_an_event),
        TEST(test_first_update_comes_half_a_second_after_divider_reset),
        TEST(test_uip_warns_of_the_update),
        TEST(test_update_interrupt_every_second),
        TEST(test_flags_are_set_without_interrupts_too),
        TEST(test_alarm_at_the_time_given),
        TEST(test_enabled_alarm_is_told_once),
        TEST(test_alarm_with_wildcards_every_minute),
        TEST(test_impossible_alarm_never_comes),
        TEST(test_periodic_interrupt_at_the_rate),
        TEST(test_unserved_interrupt_does_not_repeat),
        cmocka_unit_test_setup_teardown(test_slew_makes_up_for_lost_ticks, setup_slew, teardown),
        cmocka_unit_test_setup_teardown(test_lost_ticks_are_forgotten_when_told, setup_slew, teardown),
        TEST(test_reset_keeps_time_and_memory),
        TEST(test_address_cannot_be_read_and_its_top_bit_is_not_ours),
        TEST(test_memory_size_is_where_firmware_looks),
        TEST(test_state_survives_save_and_restore),
        TEST(test_any_year_that_the_bytes_can_tell),
        cmocka_unit_test_teardown(test_it_may_start_in_any_year, teardown),
        cmocka_unit_test(test_calendar_knows_leap_years_and_the_past),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
