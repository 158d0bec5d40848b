/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tools/lodgectl/cgroup.c in a folder that looks like cgroup v2: which group is chosen, and what is written where.  Files
 * appear in a new group by the kernel's doing only, so what is set is set in one that is there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/lodgectl/cgroup.h"

#define PID 4242
#define SCOPE "lodge-4242.scope"

static char *root;

/* A group with its files; controllers and enabled are "cpu" or "". */
static void add_group(const char *path, const char *controllers, const char *enabled, const char *procs)
{
    const struct { const char *name, *text; } files[] = {
        { "cgroup.controllers", controllers }, { "cgroup.subtree_control", enabled }, { "cgroup.procs", procs },
        { "cgroup.type", "domain" }, { "cgroup.threads", "" }, { "cpu.max", "max 100000\n" }, { "cpu.weight", "100\n" },
    };
    g_autofree char *folder = g_build_filename(root, path, NULL);

    assert_int_equal(g_mkdir_with_parents(folder, 0700), 0);
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *file = g_build_filename(folder, files[i].name, NULL);

        assert_true(g_file_set_contents(file, files[i].text, -1, NULL));
    }
}

static void written(const char *path, const char *wanted)
{
    g_autofree char *file = g_build_filename(root, path, NULL), *text = NULL;

    assert_true(g_file_get_contents(file, &text, NULL, NULL));
    assert_memory_equal(text, wanted, strlen(wanted)); /* a file of the kernel would not keep what is behind */
}

static void chosen_for(pid_t pid, const char *process, const char *wanted)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Cgroup) c = cgroup_open_in(root, process, pid, true, &error);

    if (wanted) {
        g_autofree char *folder = g_build_filename(root, wanted, NULL);

        assert_non_null(c);
        assert_string_equal(cgroup_folder(c), folder);
    } else {
        assert_null(c);
        assert_non_null(error);
    }
}

static void chosen(const char *process, const char *wanted)
{
    chosen_for(PID, process, wanted);
}

static int set_up(void **state)
{
    root = g_dir_make_tmp("lodge-cgroup-XXXXXX", NULL);
    add_group("", "cpu memory", "memory", "1\n");
    return root ? 0 : -1;
}

static int tear_down(void **state)
{
    char *argv[] = { (char *)"rm", (char *)"-rf", root, NULL };

    g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
    g_free(root);
    return 0;
}

static void test_no_cpu_controller(void **state)
{
    add_group("", "memory", "", "1\n");
    chosen("/", NULL);
}

static void test_outside_of_the_namespace(void **state)
{
    chosen("/../a", NULL);
}

static void test_process_that_is_alone_keeps_its_group(void **state)
{
    add_group("unit", "cpu", "", "4242\n");
    chosen("/unit", "unit");
    chosen("/unit/emulator", "unit");
}

static void test_what_the_process_has_started_is_no_other(void **state)
{
    g_autofree char *family = g_strdup_printf("%d\n%d\n", getppid(), getpid());
    g_autofree char *scope = g_strdup_printf("lodge-%d.scope", getpid());

    add_group("unit", "cpu", "", family);
    chosen_for(getppid(), "/unit", "unit");
    chosen_for(getpid(), "/unit", scope); /* its parent is another */
}

static void test_who_looks_is_no_other(void **state)
{
    g_autofree char *both = g_strdup_printf("%d\n%d\n", getpid(), PID);

    add_group("unit", "cpu", "", both);
    chosen("/unit", "unit");
}

static void test_group_of_others_is_not_divided(void **state)
{
    add_group("shell", "cpu", "", "1\n4242\n");
    chosen("/shell", SCOPE);
    add_group("slice", "cpu", "cpu", "");
    add_group("slice/shell", "cpu", "", "1\n4242\n");
    chosen("/slice/shell", "slice/" SCOPE);
}

static void test_group_that_was_made_before_is_found(void **state)
{
    add_group("slice/" SCOPE "/vcpu0", "cpu", "", "");
    chosen("/slice/" SCOPE, "slice/" SCOPE);
    chosen("/slice/" SCOPE "/emulator", "slice/" SCOPE);
}

static void test_what_is_not_delegated_is_left_alone(void **state)
{
    g_autoptr(GError) error = NULL;

    if (geteuid() != 0) {
        skip(); /* what we make is ours */
    }
    assert_null(cgroup_open_in(root, "/", PID, false, &error));
    assert_non_null(strstr(error->message, "delegated"));
}

static void test_values_go_to_the_whole_and_to_parts(void **state)
{
    g_autoptr(GArray) tids = g_array_new(FALSE, FALSE, sizeof(pid_t));
    pid_t tid = 77;
    g_autoptr(Cgroup) c = NULL;
    g_autofree char *max = NULL, *none = NULL;

    add_group("unit", "cpu", "", "4242\n");
    add_group("unit/vcpu0", "cpu", "", "");
    c = cgroup_open_in(root, "/unit", PID, true, NULL);
    g_array_append_val(tids, tid);
    assert_true(cgroup_set(c, "cpu.weight", "50", NULL));
    assert_true(cgroup_set_part(c, "vcpu0", tids, "cpu.max", "2000 10000", NULL));
    written("unit/cpu.weight", "50");
    written("unit/cgroup.subtree_control", "+cpu");
    written("unit/vcpu0/cpu.max", "2000 10000");
    written("unit/vcpu0/cgroup.threads", "77");
    max = cgroup_get(c, "vcpu0", "cpu.max");
    assert_string_equal(max, "2000 10000");
    none = cgroup_get(c, "vcpu1", "cpu.max");
    assert_null(none);
}

static void test_group_that_cannot_be_joined_is_not_left_behind(void **state)
{
    g_autofree char *scope = g_build_filename(root, SCOPE, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Cgroup) c = cgroup_open_in(root, "/", PID, true, NULL);

    assert_false(cgroup_set(c, "cpu.weight", "50", &error)); /* here no file appears in it */
    assert_non_null(strstr(error->message, "cgroup.procs"));
    assert_false(g_file_test(scope, G_FILE_TEST_EXISTS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_cpu_controller, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_outside_of_the_namespace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_process_that_is_alone_keeps_its_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_the_process_has_started_is_no_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_looks_is_no_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_group_of_others_is_not_divided, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_group_that_was_made_before_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_delegated_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_values_go_to_the_whole_and_to_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_group_that_cannot_be_joined_is_not_left_behind, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
