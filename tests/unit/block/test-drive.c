/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -drive: what it makes and what it refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/block.h"
#include "vmm/domain.h"
#include "vmm/error.h"

typedef struct Bench {
    Domain *domain;
    char path[64];
} Bench;

static int setup(void **state)
{
    Bench *b = g_new0(Bench, 1);
    int fd;

    strcpy(b->path, "/var/tmp/lodge-test-XXXXXX");
    fd = mkstemp(b->path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    close(fd);
    b->domain = domain_new(NULL, NULL);
    loop_run_once(domain_loop(b->domain), false);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    Bench *b = *state;

    block_close_all(b->domain);
    domain_free(b->domain);
    unlink(b->path);
    g_free(b);
    return 0;
}

static void write_head(const Bench *b, const char *bytes)
{
    FILE *f = fopen(b->path, "r+");

    fputs(bytes, f);
    fclose(f);
}

static bool add(Bench *b, const char *more, GError **error)
{
    g_autofree char *text = g_strdup_printf("file=%s%s", b->path, more);

    return drive_add(b->domain, text, error);
}

static void check_refused(Bench *b, const char *options, const char *message)
{
    g_autoptr(GError) error = NULL;

    assert_false(add(b, options, &error));
    assert_non_null(strstr(error->message, message));
}

static void test_drive_is_found_by_its_id(void **state)
{
    Bench *b = *state;
    BlockNode *node;

    assert_true(add(b, ",format=raw,if=none,id=disk0,cache=none,werror=stop", NULL));
    node = block_find(b->domain, "disk0", NULL);
    assert_int_equal(block_length(node), 1 << 20);
    assert_string_equal(drive_of_node(node)->id, "disk0");
    assert_int_equal(drive_of_node(node)->werror, BLOCK_ERROR_STOP);
    assert_true(drive_of_node(node)->write_cache);
}

static void test_drives_without_a_name_are_numbered(void **state)
{
    Bench *b = *state;

    assert_true(add(b, ",format=raw,if=virtio", NULL));
    assert_true(add(b, ",format=raw,if=virtio,index=2,read-only=on", NULL));
    assert_non_null(block_find(b->domain, "virtio0", NULL));
    assert_true(block_read_only(block_find(b->domain, "virtio2", NULL)));
}

static void test_writethrough_has_no_write_cache(void **state)
{
    Bench *b = *state;

    assert_true(add(b, ",format=raw,if=none,id=disk0,cache=writethrough", NULL));
    assert_false(drive_of_node(block_find(b->domain, "disk0", NULL))->write_cache);
}

static void test_image_of_another_format_is_not_taken_for_raw(void **state)
{
    Bench *b = *state;
    g_autoptr(GError) error = NULL;

    write_head(b, "QFI\xfb");
    assert_false(add(b, ",if=none", &error));
    assert_non_null(strstr(error->message, "looks like a qcow2 image, and no format was given"));
    assert_non_null(strstr(error_get_hint(error), "qemu-img convert"));
}

static void test_format_decides_not_the_image(void **state)
{
    Bench *b = *state;

    write_head(b, "QFI\xfb");
    assert_true(add(b, ",if=none,format=raw", NULL));
}

static void test_positional_disk_is_a_virtio_drive(void **state)
{
    Bench *b = *state;

    assert_true(drive_add_positional(b->domain, b->path, NULL));
    assert_string_equal(drive_of_node(block_find(b->domain, "virtio0", NULL))->interface, "virtio");
}

static void test_what_is_not_supported_is_refused_by_name(void **state)
{
    check_refused(*state, ",format=raw,if=none,snapshot=on", "snapshot=on is not supported");
    check_refused(*state, ",format=raw,if=none,serial=abc", "serial= belongs to the device");
    check_refused(*state, ",format=raw,if=none,media=cdrom", "media=cdrom is not supported");
    check_refused(*state, ",format=qcow2,if=none", "format 'qcow2' is not supported");
    check_refused(*state, ",format=raw,if=scsi", "if=scsi is not supported");
    check_refused(*state, ",format=raw,if=none,cashe=none", "cashe");
    check_refused(*state, ",format=raw,if=none,cache=sometimes", "sometimes");
}

static void test_same_index_twice_is_refused(void **state)
{
    Bench *b = *state;

    assert_true(add(b, ",format=raw,if=virtio,index=1", NULL));
    check_refused(b, ",format=raw,if=virtio,index=1", "two drives with if=virtio,index=1");
}

static void test_same_id_twice_is_refused(void **state)
{
    Bench *b = *state;

    assert_true(add(b, ",format=raw,if=none,id=disk0", NULL));
    check_refused(b, ",format=raw,if=none,id=disk0", "disk0");
}

static void test_missing_file_is_named(void **state)
{
    Bench *b = *state;
    g_autoptr(GError) error = NULL;

    assert_false(drive_add(b->domain, "file=/nonexistent/disk.img,format=raw,if=virtio", &error));
    assert_non_null(strstr(error->message, "/nonexistent/disk.img"));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(drive_is_found_by_its_id),
        TEST(drives_without_a_name_are_numbered),
        TEST(writethrough_has_no_write_cache),
        TEST(image_of_another_format_is_not_taken_for_raw),
        TEST(format_decides_not_the_image),
        TEST(positional_disk_is_a_virtio_drive),
        TEST(what_is_not_supported_is_refused_by_name),
        TEST(same_index_twice_is_refused),
        TEST(same_id_twice_is_refused),
        TEST(missing_file_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
