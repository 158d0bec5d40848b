/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I/O APIC: which messages its pins send, and when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hw/intc/ioapic.h"
#include "tests/unit/rig.h"

#define SELECT (IOAPIC_ADDRESS + 0x00)
#define WINDOW (IOAPIC_ADDRESS + 0x10)
#define EOI    (IOAPIC_ADDRESS + 0x40)

#define LEVEL      0x8000u
#define MASKED     0x10000u
#define REMOTE_IRR 0x4000u

static int setup(void **state)
{
    *state = rig_new("ioapic");
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static uint32_t get(Rig *r, uint8_t index)
{
    rig_write(r, SELECT, index, 4);
    return (uint32_t)rig_read(r, WINDOW, 4);
}

static void put(Rig *r, uint8_t index, uint32_t value)
{
    rig_write(r, SELECT, index, 4);
    rig_write(r, WINDOW, value, 4);
}

static void redirect(Rig *r, unsigned pin, uint8_t destination, uint32_t low)
{
    put(r, (uint8_t)(0x11 + 2 * pin), (uint32_t)destination << 24);
    put(r, (uint8_t)(0x10 + 2 * pin), low);
}

static void set(Rig *r, unsigned gsi, bool level)
{
    irq_set(gsi_line(domain_irqs(r->domain), gsi), level);
}

static unsigned sent(Rig *r)
{
    return (unsigned)fake_accel_msi(r->domain).count;
}

static MsiMessage last(Rig *r)
{
    return fake_accel_msi(r->domain).last;
}

static void test_identification(void **state)
{
    Rig *r = *state;

    assert_int_equal(get(r, 1), 0x00170020);
    put(r, 0, 0xff000000);
    assert_int_equal(get(r, 0), 0x0f000000);
    assert_int_equal(get(r, 2), 0x0f000000);
    assert_int_equal(get(r, 0x10), MASKED);
    assert_int_equal(get(r, 0x3f), 0);
    assert_int_equal(get(r, 0x40), 0xffffffff);
}

static void test_edge_sends_one_message(void **state)
{
    Rig *r = *state;

    redirect(r, 4, 3, 0x41);
    set(r, 4, true);
    assert_int_equal(sent(r), 1);
    assert_int_equal(last(r).address, 0xfee03000);
    assert_int_equal(last(r).data, 0x4041);
    set(r, 4, false);
    set(r, 4, true);
    assert_int_equal(sent(r), 2);
}

static void test_destination_and_mode_are_passed_on(void **state)
{
    Rig *r = *state;

    redirect(r, 4, 0x81, 0x0941); /* logical, lowest priority */
    set(r, 4, true);
    assert_int_equal(last(r).address, 0xfee8100c);
    assert_int_equal(last(r).data, 0x4141);
}

static void test_nmi_is_an_edge_whatever_the_trigger_says(void **state)
{
    Rig *r = *state;

    redirect(r, 4, 0, LEVEL | 0x400);
    set(r, 4, true);
    assert_int_equal(sent(r), 1);
    assert_int_equal(last(r).data, 0x4400);
    assert_int_equal(get(r, 0x18) & REMOTE_IRR, 0);
}

static void test_edge_at_a_masked_pin_is_lost(void **state)
{
    Rig *r = *state;

    redirect(r, 4, 0, MASKED | 0x41);
    set(r, 4, true);
    redirect(r, 4, 0, 0x41);
    assert_int_equal(sent(r), 0);
}

static void test_level_is_sent_again_after_each_eoi_while_high(void **state)
{
    Rig *r = *state;

    redirect(r, 17, 0, LEVEL | 0x51);
    set(r, 17, true);
    assert_int_equal(sent(r), 1);
    assert_int_equal(last(r).data, 0xc051);
    assert_true(get(r, 0x10 + 34) & REMOTE_IRR);
    ioapic_eoi(r->dev, 0x50);
    assert_int_equal(sent(r), 1);
    ioapic_eoi(r->dev, 0x51);
    assert_int_equal(sent(r), 2);
    set(r, 17, false);
    rig_write(r, EOI, 0x51, 4);
    assert_int_equal(sent(r), 2);
    assert_false(get(r, 0x10 + 34) & REMOTE_IRR);
}

static void test_masked_level_is_sent_when_unmasked(void **state)
{
    Rig *r = *state;

    redirect(r, 17, 0, MASKED | LEVEL | 0x51);
    set(r, 17, true);
    assert_int_equal(sent(r), 0);
    redirect(r, 17, 0, LEVEL | 0x51);
    assert_int_equal(sent(r), 1);
}

static void test_switch_to_edge_clears_remote_irr(void **state)
{
    Rig *r = *state;

    redirect(r, 17, 0, LEVEL | 0x51);
    set(r, 17, true);
    redirect(r, 17, 0, MASKED | 0x51);
    assert_int_equal(get(r, 0x10 + 34), MASKED | 0x51);
    redirect(r, 17, 0, LEVEL | 0x51); /* still high: asks again */
    assert_int_equal(sent(r), 2);
}

static void test_read_only_bits_are_kept(void **state)
{
    Rig *r = *state;

    redirect(r, 17, 0, MASKED | REMOTE_IRR | 0x1000 | LEVEL | 0x51);
    assert_int_equal(get(r, 0x10 + 34), MASKED | LEVEL | 0x51);
}

static void test_timer_arrives_at_pin_2(void **state)
{
    Rig *r = *state;

    redirect(r, 0, 0, 0x40);
    redirect(r, 2, 0, 0x42);
    set(r, 0, true);
    assert_int_equal(sent(r), 1);
    assert_int_equal(last(r).data, 0x4042);
}

static void test_level_in_service_survives_save_and_restore(void **state)
{
    Rig *r = *state;

    redirect(r, 17, 5, LEVEL | 0x51);
    set(r, 17, true);
    *state = r = rig_save_restore(r);
    assert_int_equal(sent(r), 0);
    ioapic_eoi(r->dev, 0x51);
    assert_int_equal(sent(r), 1);
    assert_int_equal(last(r).address, 0xfee05000);
}

static void test_people_see_its_pins(void **state)
{
    Rig *r = *state;
    g_autoptr(GString) out = g_string_new(NULL);

    redirect(r, 17, 5, LEVEL | 0x51);
    set(r, 17, true);
    assert_true(r->dev->class->print(r->dev, out, NULL));
    assert_non_null(strstr(out->str, "ioapic0: ver=0x20 id=0x00 sel=0x32 (redir[17])\n"));
    assert_non_null(strstr(out->str, "  pin 16 0x0000000000010000 dest=0 vec=0   active-hi edge  masked fixed  physical\n"));
    assert_non_null(strstr(out->str, "  pin 17 0x050000000000c051 dest=5 vec=81  active-hi level        fixed  physical\n"));
    assert_non_null(strstr(out->str, "  IRR      17\n  Remote IRR 17\n"));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_identification),
        TEST(test_edge_sends_one_message),
        TEST(test_destination_and_mode_are_passed_on),
        TEST(test_nmi_is_an_edge_whatever_the_trigger_says),
        TEST(test_edge_at_a_masked_pin_is_lost),
        TEST(test_level_is_sent_again_after_each_eoi_while_high),
        TEST(test_masked_level_is_sent_when_unmasked),
        TEST(test_switch_to_edge_clears_remote_irr),
        TEST(test_read_only_bits_are_kept),
        TEST(test_timer_arrives_at_pin_2),
        TEST(test_level_in_service_survives_save_and_restore),
        TEST(test_people_see_its_pins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
