/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tools/lodgectl/groups.c: groups leave a definition, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/lodgectl/groups.h"

static const char text[] = "# first\n"
                           "[device \"d1\"] # by heading\n"
                           "  driver = \"x\"\n"
                           "\n"
                           "# of the node\n"
                           "[blockdev]\n"
                           "  driver = \"file\"\n"
                           "  # inside\n"
                           "  node-name =  \"n1\" # of the disk\n"
                           "[device \"d10\"]\n"
                           "  drive = \"n1\"\n";

static void leaves(const char *kind, const char *id_key, const char *id, const char *wanted)
{
    g_autofree char *rest = groups_without(text, kind, id_key, id);

    if (wanted) {
        assert_string_equal(rest, wanted);
    } else {
        assert_null(rest);
    }
}

static void test_group_by_its_heading(void **state)
{
    leaves("device", "id", "d1",
           "# first\n\n# of the node\n[blockdev]\n  driver = \"file\"\n  # inside\n"
           "  node-name =  \"n1\" # of the disk\n"
           "[device \"d10\"]\n  drive = \"n1\"\n");
}

static void test_group_by_a_key(void **state)
{
    leaves("blockdev", "node-name", "n1",
           "# first\n[device \"d1\"] # by heading\n  driver = \"x\"\n\n"
           "# of the node\n[device \"d10\"]\n  drive = \"n1\"\n");
}

static void test_last_group(void **state)
{
    leaves("device", "id", "d10",
           "# first\n[device \"d1\"] # by heading\n  driver = \"x\"\n\n# of the node\n"
           "[blockdev]\n  driver = \"file\"\n  # inside\n"
           "  node-name =  \"n1\" # of the disk\n");
}

static void test_what_is_not_there(void **state)
{
    leaves("device", "id", "d", NULL);
    leaves("device", "id", "n1", NULL);
    leaves("object", "id", "d1", NULL);
    leaves("blockdev", "node-name", "d1", NULL);
}

static void test_join_begins_a_line(void **state)
{
    g_autofree char *a = groups_join("a", "b"), *b = groups_join("a\n", "b"), *c = groups_join("", "b");

    assert_string_equal(a, "a\nb");
    assert_string_equal(b, "a\nb");
    assert_string_equal(c, "b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group_by_its_heading),
        cmocka_unit_test(test_group_by_a_key),
        cmocka_unit_test(test_last_group),
        cmocka_unit_test(test_what_is_not_there),
        cmocka_unit_test(test_join_begins_a_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
