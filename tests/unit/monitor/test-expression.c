/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/expression.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/error.h"

static bool registers(const char *name, uint64_t *ret, void *opaque, GError **error)
{
    *ret = 0x1000;
    return g_str_equal(name, "rip") || error_set(error, "no %s", name);
}

static void assert_value(const char *text, uint64_t expected)
{
    g_autoptr(GError) error = NULL;
    uint64_t value;

    if (!expression_parse(&text, registers, NULL, &value, &error)) {
        fail_msg("%s", error->message);
    }
    assert_int_equal(value, expected);
    assert_string_equal(text, "");
}

static void assert_refused(const char *text, const char *why)
{
    g_autoptr(GError) error = NULL;
    uint64_t value;

    assert_false(expression_parse(&text, registers, NULL, &value, &error));
    assert_string_equal(error->message, why);
}

static void test_operators_bind_as_in_c(void **state)
{
    assert_value("1+2*3", 7);
    assert_value(" (1 + 2) * 3 ", 9);
    assert_value("0x10-010", 8);
    assert_value("6|1&3^2", 6 | (3 ^ 2 ^ 2) | 2);
    assert_value("10-2-3", 5);
    assert_value("-1", UINT64_MAX);
    assert_value("~0 & 0xff", 0xff);
    assert_value("17%5/2", 1);
    assert_value("'a'+1", 'b');
    assert_value("$rip+0x20", 0x1020);
}

static void test_mistakes_are_told(void **state)
{
    assert_refused("", "a number is expected at the end");
    assert_refused("1+", "a number is expected at the end");
    assert_refused("(1", "a ')' is missing");
    assert_refused("1/0", "a division by zero");
    assert_refused("$foo", "no foo");
    assert_refused("0x10000000000000000+1", "'0x10000000000000000' has more than 64 bits");
    assert_refused("x", "a number is expected at 'x'");
    assert_refused("((((((((((((((((((((((((((((((((((((((((1", "the expression is nested too deeply");
    assert_refused("----------------------------------------1", "the expression is nested too deeply");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operators_bind_as_in_c),
        cmocka_unit_test(test_mistakes_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
