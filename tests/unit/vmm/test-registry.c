/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/registry*.c: entries of domains, in a folder of the test's own.  Locks are of open files, so one process can be
 * two domains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/registry.h"

static const uint8_t uuid[16] = {
    0x55, 0x0e, 0x84, 0x00, 0xe2, 0x9b, 0x41, 0xd4, 0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0x00, 0x00
};
#define UUID_TEXT "550e8400-e29b-41d4-a716-446655440000"

typedef struct Rig {
    char *folder, *root;
} Rig;

static int setup(void **state)
{
    Rig *r = g_new0(Rig, 1);

    r->folder = g_dir_make_tmp("lodge-registry-XXXXXX", NULL);
    r->root = g_build_filename(r->folder, "run", NULL);
    g_setenv("LODGE_RUNTIME_DIR", r->root, TRUE);
    g_unsetenv(REGISTRY_REQUIRED);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    Rig *r = *state;
    g_autofree char *remove = g_strdup_printf("rm -rf %s", r->folder);

    g_spawn_command_line_sync(remove, NULL, NULL, NULL, NULL);
    g_free(r->folder);
    g_free(r->root);
    g_free(r);
    return 0;
}

static Registry *enter(const char *name, const uint8_t *id)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *why = NULL;
    Registry *registry;

    assert_true(registry_enter(name, id, &registry, &why, &error));
    assert_true((registry == NULL) == (why != NULL));
    return registry;
}

static void refused(const char *name, const uint8_t *id, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *why = NULL;
    Registry *registry;

    assert_false(registry_enter(name, id, &registry, &why, &error));
    assert_null(why);
    assert_non_null(strstr(error->message, words));
}

static unsigned count_files(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    unsigned n = 0;

    while (dir && g_dir_read_name(dir)) {
        n++;
    }
    return n;
}

static void write_file(const char *root, const char *name, const char *file, const char *text)
{
    g_autofree char *folder = g_build_filename(root, name, NULL);
    g_autofree char *path = g_build_filename(folder, file, NULL);

    g_mkdir_with_parents(folder, 0700);
    assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* ---- entries ---- */

static void test_entry_says_who_runs(void **state)
{
    Rig *r = *state;
    Registry *registry = enter("x", uuid);
    g_autoptr(RegistryEntry) entry = registry_read(r->root, "x");
    struct stat st;

    assert_true(entry->alive);
    assert_int_equal(entry->id, 1);
    assert_int_equal(entry->pid, getpid());
    assert_string_equal(entry->uuid, UUID_TEXT);
    assert_int_equal(stat(entry->folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    registry_leave(registry);
}

static void test_leaving_removes_everything(void **state)
{
    Rig *r = *state;
    Registry *registry = enter("x", uuid);

    write_file(r->root, "x", REGISTRY_CONSOLE_LOCK, "");
    registry_leave(registry);
    assert_int_equal(count_files(r->root), 1); /* .lock */
}

static void test_name_is_taken_while_its_domain_lives(void **state)
{
    Registry *first = enter("x", NULL), *second;

    refused("x", NULL, "'x' runs already");
    registry_leave(first);
    second = enter("x", NULL);
    assert_non_null(second);
    registry_leave(second);
}

static void test_refusal_leaves_the_owner_as_it_is(void **state)
{
    Rig *r = *state;
    Registry *registry = enter("x", uuid);
    g_autofree char *folder = g_build_filename(r->root, "x", NULL);
    unsigned before = count_files(folder);

    refused("x", NULL, "'x' runs already");
    assert_int_equal(count_files(folder), before);
    assert_true(registry_is_alive(r->root, "x"));
    registry_leave(registry);
}

static void test_uuid_is_taken_while_its_domain_lives(void **state)
{
    Rig *r = *state;
    Registry *first = enter("x", uuid), *second;

    refused("y", uuid, "'x' has the UUID " UUID_TEXT);
    assert_false(registry_is_alive(r->root, "y"));
    registry_leave(first);
    second = enter("y", uuid);
    assert_non_null(second);
    registry_leave(second);
}

static void test_dead_entry_is_taken_over(void **state)
{
    Rig *r = *state;
    Registry *registry;
    g_autoptr(RegistryEntry) entry = NULL;

    write_file(r->root, "x", "lock", "");
    write_file(r->root, "x", "pid", "12\n");
    write_file(r->root, "x", "id", "7\n");
    write_file(r->root, "x", "uuid", UUID_TEXT "\n");
    write_file(r->root, "x", REGISTRY_CONTROL, "no socket");
    registry = enter("x", NULL);
    entry = registry_read(r->root, "x");
    assert_true(entry->alive);
    assert_int_equal(entry->id, 1);
    assert_int_equal(entry->pid, getpid());
    assert_null(entry->uuid);
    registry_leave(registry);
}

static void test_uuid_of_a_dead_domain_is_free(void **state)
{
    Rig *r = *state;
    g_autofree char *link = g_build_filename(r->root, ".uuid-" UUID_TEXT, NULL);
    Registry *registry;

    write_file(r->root, "dead", "lock", "");
    assert_int_equal(symlink("dead", link), 0);
    registry = enter("x", uuid);
    assert_non_null(registry);
    registry_leave(registry);
}

static void test_ids_count_up(void **state)
{
    Rig *r = *state;
    Registry *a = enter("a", NULL), *b, *c;
    g_autoptr(GPtrArray) entries = NULL;

    b = enter("b", NULL);
    registry_leave(a);
    c = enter("c", NULL);
    entries = registry_list(r->root);
    assert_int_equal(entries->len, 2);
    assert_string_equal(((RegistryEntry *)entries->pdata[0])->name, "b");
    assert_int_equal(((RegistryEntry *)entries->pdata[1])->id, 3);
    registry_leave(b);
    registry_leave(c);
}

static void test_lost_counter_gives_no_id_twice(void **state)
{
    Rig *r = *state;
    g_autofree char *counter = g_build_filename(r->root, ".lock", NULL);
    g_autoptr(RegistryEntry) entry = NULL;
    Registry *a = enter("a", NULL), *b = enter("b", NULL), *c;

    assert_int_equal(unlink(counter), 0);
    c = enter("c", NULL);
    entry = registry_read(r->root, "c");
    assert_int_equal(entry->id, 3);
    registry_leave(a);
    registry_leave(b);
    registry_leave(c);
}

static void test_asking_whether_it_lives_does_not_look_like_a_domain(void **state)
{
    Rig *r = *state;
    g_autoptr(RegistryEntry) entry = NULL;
    Registry *registry;

    write_file(r->root, "x", "lock", "");
    assert_false(registry_is_alive(r->root, "x"));
    entry = registry_read(r->root, "x");
    registry = enter("x", NULL);
    assert_non_null(registry);
    registry_leave(registry);
}

static void test_nonsense_in_a_folder_is_no_domain(void **state)
{
    Rig *r = *state;
    g_autoptr(GPtrArray) entries = NULL;

    write_file(r->root, "x", "id", "-5\n");
    write_file(r->root, "x", "pid", "99999999999999999999\n");
    write_file(r->root, "x", "uuid", "\xff\xfe\n");
    write_file(r->root, ".hidden", "id", "1\n");
    entries = registry_list(r->root);
    assert_int_equal(entries->len, 1);
    assert_false(((RegistryEntry *)entries->pdata[0])->alive);
    assert_null(((RegistryEntry *)entries->pdata[0])->uuid);
    assert_null(registry_read(r->root, "../x"));
}

/* ---- where nothing can be written ---- */

static void test_folder_in_the_way(void **state)
{
    Rig *r = *state;
    g_autoptr(GError) error = NULL;
    g_autofree char *why = NULL;
    Registry *registry;

    assert_true(g_file_set_contents(r->root, "", -1, NULL));
    assert_null(enter("x", NULL));
    g_setenv(REGISTRY_REQUIRED, "1", TRUE);
    assert_false(registry_enter("x", NULL, &registry, &why, &error));
    assert_non_null(strstr(error->message, "cannot be listed"));
}

static void test_folder_that_others_may_write_is_not_used(void **state)
{
    Rig *r = *state;

    assert_int_equal(g_mkdir(r->root, 0700), 0);
    assert_int_equal(chmod(r->root, 0777), 0);
    assert_null(enter("x", NULL));
    assert_int_equal(count_files(r->root), 0);
}

static void test_symbolic_link_is_not_followed(void **state)
{
    Rig *r = *state;
    g_autofree char *link = g_build_filename(r->root, "x", NULL);

    registry_leave(enter("a", NULL));
    assert_int_equal(symlink(r->folder, link), 0);
    assert_null(enter("x", NULL));
    assert_int_equal(count_files(r->folder), 1);
}

static void test_full_disk_leaves_nothing_behind(void **state)
{
    struct rlimit before, none = { 0, 0 };
    Rig *r = *state;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_null(enter("x", uuid));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(count_files(r->root), 1); /* .lock */
}

static void test_names_that_are_no_folders(void **state)
{
    g_autofree char *long_name = g_strnfill(120, 'x');

    assert_false(registry_check_name("", NULL));
    assert_false(registry_check_name(".x", NULL));
    assert_false(registry_check_name("a/b", NULL));
    assert_false(registry_check_name("a\nb", NULL));
    assert_false(registry_check_name("\xff", NULL));
    assert_false(registry_check_name(long_name, NULL));
    assert_true(registry_check_name("my domain, the 2nd", NULL));
    assert_null(enter("a/b", NULL));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_entry_says_who_runs),
        TEST(test_leaving_removes_everything),
        TEST(test_name_is_taken_while_its_domain_lives),
        TEST(test_refusal_leaves_the_owner_as_it_is),
        TEST(test_uuid_is_taken_while_its_domain_lives),
        TEST(test_dead_entry_is_taken_over),
        TEST(test_uuid_of_a_dead_domain_is_free),
        TEST(test_ids_count_up),
        TEST(test_lost_counter_gives_no_id_twice),
        TEST(test_asking_whether_it_lives_does_not_look_like_a_domain),
        TEST(test_nonsense_in_a_folder_is_no_domain),
        TEST(test_folder_in_the_way),
        TEST(test_folder_that_others_may_write_is_not_used),
        TEST(test_symbolic_link_is_not_followed),
        TEST(test_full_disk_leaves_nothing_behind),
        TEST(test_names_that_are_no_folders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
