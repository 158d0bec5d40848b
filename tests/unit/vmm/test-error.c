/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "vmm/error.h"

static void test_set_returns_false_and_fills_the_message(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_false(error_set(&error, "cannot open '%s'", "a.img"));
    assert_string_equal(error->message, "cannot open 'a.img'");
    assert_string_equal(error_class_name(error), "GenericError");
}

static void test_a_caller_may_want_no_error(void **state)
{
    assert_false(error_set(NULL, "x"));
    assert_false(error_hint(NULL, "x"));
    assert_false(error_subject(NULL, "x"));
}

static void test_class_is_named_as_on_the_wire(void **state)
{
    g_autoptr(GError) error = NULL;

    error_set_class(&error, ERROR_DEVICE_NOT_FOUND, "no such device");
    assert_string_equal(error_class_name(error), "DeviceNotFound");
}

static void test_errno_may_have_either_sign(void **state)
{
    g_autoptr(GError) a = NULL;
    g_autoptr(GError) b = NULL;

    error_set_errno(&a, ENOENT, "x");
    error_set_errno(&b, -ENOENT, "x");
    assert_string_equal(a->message, "x: No such file or directory");
    assert_string_equal(b->message, "x: No such file or directory");
}

static void test_subject_is_put_in_front_once(void **state)
{
    g_autoptr(GError) error = NULL;

    error_set(&error, "is full");
    error_subject(&error, "disk0");
    error_subject(&error, "outer");
    assert_string_equal(error->message, "disk0: is full");
    assert_string_equal(error_get_subject(error), "disk0");
}

static void test_first_hint_stays(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;

    error_set(&error, "is full");
    error_hint(&error, "Delete %s.", "something");
    error_hint(&error, "Give up.");
    text = error_text(error);
    assert_string_equal(text, "is full. Delete something.");
}

static void test_a_copy_keeps_subject_and_hint(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) copy = NULL;

    error_set(&error, "is full");
    error_subject(&error, "disk0");
    error_hint(&error, "Delete it.");
    copy = g_error_copy(error);
    assert_string_equal(error_get_subject(copy), "disk0");
    assert_string_equal(error_get_hint(copy), "Delete it.");
}

static void test_an_error_of_glib_can_take_a_hint(void **state)
{
    g_autoptr(GError) error = g_error_new_literal(G_FILE_ERROR, G_FILE_ERROR_NOENT, "gone");

    assert_null(error_get_hint(error));
    error_hint(&error, "Look elsewhere.");
    assert_string_equal(error->message, "gone");
    assert_string_equal(error_get_hint(error), "Look elsewhere.");
}

static const char *const words[] = { "socket", "stdio", "virtio-blk-pci", "virtio-rng-pci", "a", NULL };

static void test_nearest_finds_swapped_letters(void **state)
{
    assert_string_equal(error_nearest("sokcet", words), "socket");
}

static void test_nearest_ignores_case(void **state)
{
    assert_string_equal(error_nearest("STDIO", words), "stdio");
}

static void test_nearest_prefers_the_closer_one(void **state)
{
    assert_string_equal(error_nearest("virtio-rnq-pci", words), "virtio-rng-pci");
}

static void test_nearest_takes_a_beginning_without_its_dashes(void **state)
{
    assert_string_equal(error_nearest("virtiorng", words), "virtio-rng-pci");
}

static void test_nearest_keeps_silent_about_what_is_far(void **state)
{
    assert_null(error_nearest("kernel", words));
    assert_null(error_nearest("b", words));
    assert_null(error_nearest("", words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_returns_false_and_fills_the_message),
        cmocka_unit_test(test_a_caller_may_want_no_error),
        cmocka_unit_test(test_class_is_named_as_on_the_wire),
        cmocka_unit_test(test_errno_may_have_either_sign),
        cmocka_unit_test(test_subject_is_put_in_front_once),
        cmocka_unit_test(test_first_hint_stays),
        cmocka_unit_test(test_a_copy_keeps_subject_and_hint),
        cmocka_unit_test(test_an_error_of_glib_can_take_a_hint),
        cmocka_unit_test(test_nearest_finds_swapped_letters),
        cmocka_unit_test(test_nearest_ignores_case),
        cmocka_unit_test(test_nearest_prefers_the_closer_one),
        cmocka_unit_test(test_nearest_takes_a_beginning_without_its_dashes),
        cmocka_unit_test(test_nearest_keeps_silent_about_what_is_far),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
