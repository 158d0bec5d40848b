/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/acpi/aml.c against encodings worked out by hand from ACPI 6.4 chapter 20. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "hw/acpi/aml.h"

#define assert_aml(AML, ...)                                             \
    do {                                                                 \
        static const uint8_t expected[] = { __VA_ARGS__ };               \
        g_autoptr(GByteArray) got = aml_finish(AML);                     \
        assert_int_equal(got->len, sizeof(expected));                    \
        assert_memory_equal(got->data, expected, sizeof(expected));      \
    } while (0)

static void test_integers_take_the_shortest_form(void **state)
{
    Aml *aml = aml_new();

    aml_int(aml, 0);
    aml_int(aml, 1);
    aml_int(aml, 2);
    aml_int(aml, 0x100);
    aml_int(aml, 0x10000);
    aml_int(aml, UINT64_C(0x100000000));
    assert_aml(aml, 0x00, 0x01, 0x0a, 0x02, 0x0b, 0x00, 0x01, 0x0c, 0x00, 0x00, 0x01, 0x00, 0x0e, 0, 0, 0, 0, 1, 0, 0, 0);
}

static void test_paths_use_dual_and_multi_prefixes(void **state)
{
    Aml *aml = aml_new();

    aml_path(aml, "\\_SB.PCI0");
    aml_path(aml, "^A.B.C");
    aml_path(aml, "\\");
    assert_aml(aml, '\\', 0x2e, '_', 'S', 'B', '_', 'P', 'C', 'I', '0', '^', 0x2f, 3, 'A', '_', '_', '_', 'B', '_', '_', '_', 'C',
               '_', '_', '_', '\\', 0);
}

static void test_a_loop_holds_a_mutex(void **state)
{
    Aml *aml = aml_new();

    aml_mutex(aml, "LOCK");
    aml_acquire(aml, "LOCK");
    aml_begin_while(aml);
    aml_local(aml, 0);
    aml_end(aml);
    aml_release(aml, "LOCK");
    assert_aml(aml, 0x5b, 0x01, 'L', 'O', 'C', 'K', 0, 0x5b, 0x23, 'L', 'O', 'C', 'K', 0xff, 0xff, 0xa2, 2, 0x60, 0x5b, 0x27,
               'L', 'O', 'C', 'K');
}

static void test_eisa_ids_are_compressed(void **state)
{
    Aml *aml = aml_new();

    aml_name_eisa(aml, "_HID", "PNP0A08");
    assert_aml(aml, 0x08, '_', 'H', 'I', 'D', 0x0c, 0x41, 0xd0, 0x0a, 0x08);
}

static void test_a_long_scope_gets_a_two_byte_length(void **state)
{
    Aml *aml = aml_new();
    g_autoptr(GByteArray) got = NULL;
    char text[80];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    aml_begin_scope(aml, "_SB");
    aml_string(aml, text);
    aml_end(aml);
    got = aml_finish(aml);
    /* 2 length bytes + 4 of the name + 1 prefix + 80 = 87 = 0x57 */
    assert_int_equal(got->data[1], 0x47);
    assert_int_equal(got->data[2], 0x05);
    assert_int_equal(got->len, 1 + 87);
}

static void test_a_resource_buffer_ends_in_an_end_tag_and_knows_its_size(void **state)
{
    Aml *aml = aml_new();

    aml_begin_resources(aml);
    aml_res_irq(aml, 4);
    aml_end(aml);
    assert_aml(aml, 0x11, 0x09, 0x0b, 0x05, 0x00, 0x22, 0x10, 0x00, 0x79, 0x00);
}

static void test_a_uuid_is_mixed_endian(void **state)
{
    Aml *aml = aml_new();

    aml_to_uuid(aml, "33db4d5b-1ff7-401c-9657-7441c03dd766");
    assert_aml(aml, 0x11, 0x13, 0x0a, 0x10, 0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40, 0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d,
               0xd7, 0x66);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_take_the_shortest_form),
        cmocka_unit_test(test_paths_use_dual_and_multi_prefixes),
        cmocka_unit_test(test_a_loop_holds_a_mutex),
        cmocka_unit_test(test_eisa_ids_are_compressed),
        cmocka_unit_test(test_a_long_scope_gets_a_two_byte_length),
        cmocka_unit_test(test_a_resource_buffer_ends_in_an_end_tag_and_knows_its_size),
        cmocka_unit_test(test_a_uuid_is_mixed_endian),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
