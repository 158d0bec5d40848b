/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/i386/mptable.c: what a kernel that follows the pointers finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "hw/i386/mptable.h"

#define BASE 0xf8000

static GByteArray *build(unsigned cpus, uint32_t last_id)
{
    static uint32_t ids[4];
    MpFacts facts = { .apic_ids = ids, .cpus = cpus, .lapic_address = 0xfee00000, .ioapic_address = 0xfec00000,
                      .ioapic_id = 7, .pit = true, .level_irqs = 1u << 9 };

    for (unsigned i = 0; i < cpus; i++) {
        ids[i] = i + 1 == cpus ? last_id : i;
    }
    return mptable_build(&facts, BASE, 4096, NULL);
}

static unsigned sum(const uint8_t *p, unsigned length)
{
    uint8_t s = 0;

    while (length--) {
        s = (uint8_t)(s + *p++);
    }
    return s;
}

static void test_both_checksums_come_out_as_zero(void **state)
{
    g_autoptr(GByteArray) t = build(2, 1);

    assert_int_equal(sum(t->data, 16), 0);
    assert_int_equal(sum(t->data + 16, t->len - 16), 0);
}

static void test_the_pointer_leads_to_the_table_behind_it(void **state)
{
    g_autoptr(GByteArray) t = build(1, 0);
    uint32_t at;

    memcpy(&at, t->data + 4, 4);
    assert_int_equal(at, BASE + 16);
    assert_memory_equal(t->data + 16, "PCMP", 4);
}

static void test_the_first_processor_is_the_boot_processor(void **state)
{
    g_autoptr(GByteArray) t = build(2, 1);

    assert_int_equal(t->data[16 + 44 + 3], 3);
    assert_int_equal(t->data[16 + 44 + 20 + 3], 1);
}

static void test_the_timer_is_at_input_two(void **state)
{
    g_autoptr(GByteArray) t = build(1, 0);
    const uint8_t *irq0 = t->data + 16 + 44 + 20 + 8 + 8;

    assert_int_equal(irq0[0], 3);
    assert_int_equal(irq0[5], 0);
    assert_int_equal(irq0[7], 2);
}

static void test_apic_ids_that_need_x2apic_are_refused(void **state)
{
    assert_null(build(2, 300));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_checksums_come_out_as_zero),
        cmocka_unit_test(test_the_pointer_leads_to_the_table_behind_it),
        cmocka_unit_test(test_the_first_processor_is_the_boot_processor),
        cmocka_unit_test(test_the_timer_is_at_input_two),
        cmocka_unit_test(test_apic_ids_that_need_x2apic_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
