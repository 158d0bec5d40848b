/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RAM blocks: what each backing can do, what is refused, and dirty bits.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib/gstdio.h>

#include "vmm/ram.h"

#define PAGE GUEST_PAGE_SIZE
#define MIB  UINT64_C(0x100000)

static RamBlock *make(uint64_t size, RamBacking backing)
{
    g_autoptr(GError) error = NULL;
    RamBlock *block;

    backing.dump = true;
    block = ram_block_new("ram", size, &backing, &error);
    if (!block) {
        fail_msg("%s", error->message);
    }
    return block;
}

static char *temporary_file(const void *data, size_t length)
{
    char *path = g_strdup("/tmp/lodge-test-ram-XXXXXX");
    int fd = g_mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, length), length);
    close(fd);
    return path;
}

/* ---- backings ---- */

static void test_anonymous_memory_is_zero_and_aligned_for_huge_pages(void **state)
{
    RamBlock *b = make(4 * MIB, (RamBacking) { .kind = RAM_ANONYMOUS });

    assert_int_equal((uintptr_t)ram_block_host(b) % (2 * MIB), 0);
    assert_int_equal(ram_block_host(b)[4 * MIB - 1], 0);
    assert_int_equal(ram_block_abilities(b), RAM_CAN_COPY_ON_WRITE | RAM_CAN_PUNCH);
    assert_int_equal(ram_block_fd(b, NULL), -1);
    ram_block_unref(b);
}

static void test_size_is_rounded_up_to_pages(void **state)
{
    RamBlock *b = make(PAGE + 1, (RamBacking) { .kind = RAM_ANONYMOUS });

    assert_int_equal(ram_block_size(b), 2 * PAGE);
    ram_block_unref(b);
}

static void touch_in_child(volatile uint8_t *p)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct sigaction act = { .sa_handler = SIG_DFL };

        sigaction(SIGSEGV, &act, NULL);
        *p = 1;
        _exit(0);
    }
    waitpid(pid, &status, 0);
    assert_true(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}

static void test_guard_pages_surround_the_block(void **state)
{
    RamBlock *b = make(4 * PAGE, (RamBacking) { .kind = RAM_ANONYMOUS });

    touch_in_child(ram_block_host(b) - 1);
    touch_in_child(ram_block_host(b) + 4 * PAGE);
    ram_block_unref(b);
}

static void test_memfd_can_be_mapped_by_others(void **state)
{
    RamBlock *b = make(4 * PAGE, (RamBacking) { .kind = RAM_MEMFD, .shared = true, .reserve = true });
    uint64_t offset = 99;
    int fd = ram_block_fd(b, &offset);
    uint8_t *other = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

    assert_int_equal(offset, 0);
    assert_true(other != MAP_FAILED);
    other[5] = 0x5a;
    assert_int_equal(ram_block_host(b)[5], 0x5a);
    assert_int_equal(ram_block_abilities(b), RAM_CAN_SHARE | RAM_CAN_PUNCH);
    assert_int_equal(ftruncate(fd, 0), -1); /* sealed */
    munmap(other, 4 * PAGE);
    ram_block_unref(b);
}

static void test_private_file_shows_the_file_and_keeps_it(void **state)
{
    g_autofree char *path = NULL, *contents = NULL;
    g_autofree uint8_t *data = g_malloc(2 * PAGE);
    RamBlock *b;

    memset(data, 0x11, PAGE);
    memset(data + PAGE, 0x22, PAGE);
    path = temporary_file(data, 2 * PAGE);
    b = make(PAGE, (RamBacking) { .kind = RAM_FILE, .path = path, .file_offset = PAGE });
    assert_int_equal(ram_block_host(b)[0], 0x22);
    ram_block_host(b)[0] = 0x33;
    assert_int_equal(ram_block_discard(b, 0, PAGE), 0);
    assert_int_equal(ram_block_host(b)[0], 0);
    ram_block_unref(b);
    g_file_get_contents(path, &contents, NULL, NULL);
    assert_int_equal(contents[PAGE], 0x22);
    g_unlink(path);
}

static void test_shared_file_takes_the_writes(void **state)
{
    g_autofree char *path = temporary_file("", 0), *contents = NULL;
    RamBlock *b = make(2 * PAGE, (RamBacking) { .kind = RAM_FILE, .path = path, .shared = true });
    size_t length;

    ram_block_host(b)[PAGE] = 'x';
    ram_block_unref(b);
    g_file_get_contents(path, &contents, &length, NULL);
    assert_int_equal(length, 2 * PAGE);
    assert_int_equal(contents[PAGE], 'x');
    g_unlink(path);
}

static void test_directory_gets_an_unnamed_file(void **state)
{
    g_autofree char *dir = g_dir_make_tmp("lodge-test-XXXXXX", NULL);
    RamBlock *b = make(PAGE, (RamBacking) { .kind = RAM_FILE, .path = dir, .shared = true });

    ram_block_host(b)[0] = 1;
    assert_int_equal(g_rmdir(dir), 0);
    ram_block_unref(b);
}

static void test_discarded_pages_read_as_zero(void **state)
{
    RamBlock *a = make(4 * PAGE, (RamBacking) { .kind = RAM_ANONYMOUS });

    memset(ram_block_host(a), 1, 4 * PAGE);
    assert_int_equal(ram_block_discard(a, PAGE, 2 * PAGE), 0);
    assert_int_equal(ram_block_host(a)[PAGE - 1], 1);
    assert_int_equal(ram_block_host(a)[PAGE], 0);
    assert_int_equal(ram_block_host(a)[3 * PAGE], 1);
    assert_int_equal(ram_block_discard(a, 1, PAGE), -EINVAL);
    assert_int_equal(ram_block_discard(a, 3 * PAGE, 2 * PAGE), -EINVAL);
    ram_block_unref(a);
}

static void test_discarded_shared_pages_read_as_zero(void **state)
{
    RamBlock *m = make(4 * PAGE, (RamBacking) { .kind = RAM_MEMFD, .shared = true, .reserve = true });

    memset(ram_block_host(m), 1, 4 * PAGE);
    assert_int_equal(ram_block_discard(m, 0, PAGE), 0);
    assert_int_equal(ram_block_host(m)[0], 0);
    assert_int_equal(ram_block_host(m)[PAGE], 1);
    ram_block_unref(m);
}

static void test_preallocated_memory_is_resident(void **state)
{
    RamBlock *b = make(3 * MIB, (RamBacking) { .kind = RAM_ANONYMOUS, .prealloc = true, .prealloc_threads = 4 });
    g_autofree unsigned char *resident = g_malloc0(3 * MIB / PAGE);

    assert_int_equal(mincore(ram_block_host(b), 3 * MIB, resident), 0);
    assert_true(resident[0] & resident[3 * MIB / PAGE - 1] & 1);
    ram_block_unref(b);
}

static unsigned resident_pages(RamBlock *b, uint64_t length)
{
    g_autofree unsigned char *resident = g_malloc0(length / PAGE);
    unsigned n = 0;

    assert_int_equal(mincore(ram_block_host(b), length, resident), 0);
    for (uint64_t i = 0; i < length / PAGE; i++) {
        n += resident[i] & 1;
    }
    return n;
}

static void test_what_is_cleared_is_there_only_if_it_must_be(void **state)
{
    const struct { RamBacking backing; bool sparse; unsigned resident; } cases[] = {
        { { .kind = RAM_ANONYMOUS }, true, 0 },
        { { .kind = RAM_ANONYMOUS }, false, MIB / PAGE }, /* what is not a whole huge page */
        { { .kind = RAM_ANONYMOUS, .prealloc = true, .prealloc_threads = 1 }, true, 3 * MIB / PAGE },
        { { .kind = RAM_MEMFD, .shared = true }, true, 3 * MIB / PAGE },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        RamBlock *b = make(3 * MIB, cases[i].backing);

        memset(ram_block_host(b), 0xaa, 3 * MIB);
        ram_block_clear(b, 0, 3 * MIB, cases[i].sparse);
        assert_int_equal(resident_pages(b, 3 * MIB), cases[i].resident);
        assert_int_equal(ram_block_host(b)[0] | ram_block_host(b)[3 * MIB - 1], 0);
        memset(ram_block_host(b), 0xaa, 3 * MIB);
        ram_block_clear(b, PAGE, PAGE, cases[i].sparse); /* and nothing around it */
        assert_int_equal(ram_block_host(b)[PAGE - 1] & ram_block_host(b)[2 * PAGE], 0xaa);
        assert_int_equal(ram_block_host(b)[PAGE] | ram_block_host(b)[2 * PAGE - 1], 0);
        ram_block_unref(b);
    }
}

/* Nor does it come to be looked at. */
static void test_what_is_not_there_is_not_cleared(void **state)
{
    RamBlock *b = make(3 * MIB, (RamBacking) { .kind = RAM_MEMFD, .shared = true });

    ram_block_host(b)[MIB + 1] = 1;
    ram_block_clear(b, 0, 3 * MIB, true);
    assert_int_equal(ram_block_host(b)[MIB + 1], 0);
    assert_int_equal(resident_pages(b, 3 * MIB), 1);
    ram_block_unref(b);
}

/* What we wrote over a hole of the file is ours, and the file still has a hole there. */
static void test_a_private_copy_is_cleared_wherever_the_file_has_holes(void **state)
{
    g_autofree char *path = temporary_file("", 0);
    RamBlock *b;

    assert_int_equal(truncate(path, 3 * MIB), 0);
    b = make(3 * MIB, (RamBacking) { .kind = RAM_FILE, .path = path });
    ram_block_host(b)[MIB + 1] = 1;
    ram_block_clear(b, 0, 3 * MIB, true);
    assert_int_equal(ram_block_host(b)[MIB + 1], 0);
    ram_block_unref(b);
    g_unlink(path);
}

static void test_alignment_is_kept(void **state)
{
    RamBlock *b = make(PAGE, (RamBacking) { .kind = RAM_ANONYMOUS, .align = 64 * MIB });

    assert_int_equal((uintptr_t)ram_block_host(b) % (64 * MIB), 0);
    ram_block_unref(b);
}

static void test_block_is_found_by_host_address(void **state)
{
    RamBlock *b = make(4 * PAGE, (RamBacking) { .kind = RAM_ANONYMOUS });
    uint64_t offset = 0;

    assert_ptr_equal(ram_block_find_host(ram_block_host(b) + 0x1234, &offset), b);
    assert_int_equal(offset, 0x1234);
    assert_null(ram_block_find_host(ram_block_host(b) + 4 * PAGE, &offset));
    assert_null(ram_block_find_host(ram_block_host(b) - 1, &offset));
    ram_block_unref(b);
}

/* ---- refusals ---- */

static void refused(uint64_t size, RamBacking backing, const char *expected)
{
    g_autoptr(GError) error = NULL;

    assert_null(ram_block_new("ram", size, &backing, &error));
    assert_non_null(error);
    if (!strstr(error->message, expected)) {
        fail_msg("'%s' does not say '%s'", error->message, expected);
    }
}

static void test_impossible_sizes_are_refused(void **state)
{
    refused(0, (RamBacking) { .kind = RAM_ANONYMOUS }, "cannot have 0 bytes");
    refused(UINT64_MAX, (RamBacking) { .kind = RAM_ANONYMOUS }, "the size must be");
    refused(PAGE, (RamBacking) { .kind = RAM_ANONYMOUS, .align = 3 }, "power of two");
    refused(UINT64_C(1) << 46, (RamBacking) { .kind = RAM_ANONYMOUS, .reserve = true }, "MiB of memory");
}

static void test_unreserved_huge_pages_are_refused_with_their_number(void **state)
{
    refused(UINT64_C(1) << 40, (RamBacking) { .kind = RAM_ANONYMOUS, .hugetlb = true, .reserve = true }, "huge pages");
    refused(PAGE, (RamBacking) { .kind = RAM_ANONYMOUS, .hugetlb = true, .hugetlb_size = 3 * MIB },
            "no huge pages of 3072");
}

static void test_short_file_is_refused(void **state)
{
    g_autofree char *path = temporary_file("short", 5);

    refused(PAGE, (RamBacking) { .kind = RAM_FILE, .path = path }, "has 5 bytes, and 4096 are needed");
    refused(PAGE, (RamBacking) { .kind = RAM_FILE, .path = path, .file_offset = 1 }, "not a multiple");
    refused(PAGE, (RamBacking) { .kind = RAM_FILE, .path = "/nonexistent/ram" }, "/nonexistent/ram");
    refused(PAGE, (RamBacking) { .kind = RAM_FILE, .path = path, .pmem = true }, "persistent memory");
    refused(PAGE, (RamBacking) { .kind = RAM_FILE, .path = "/tmp", .readonly = true }, "is a directory");
    g_unlink(path);
}

static void test_same_id_twice_is_refused(void **state)
{
    RamBlock *b = make(PAGE, (RamBacking) { .kind = RAM_ANONYMOUS });

    refused(PAGE, (RamBacking) { .kind = RAM_ANONYMOUS }, "'ram' exists already");
    ram_block_unref(b);
}

/* ---- dirty bits ---- */

static void clean(RamBlock *b, DirtyClient client, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++) {
        ram_dirty_take(b, client, i * PAGE);
    }
}

static void test_enabled_client_starts_with_everything_dirty(void **state)
{
    RamBlock *b = make(3 * PAGE, (RamBacking) { .kind = RAM_ANONYMOUS });

    assert_false(ram_dirty_test(b, DIRTY_CHECKPOINT, 0, 3 * PAGE));
    ram_dirty_enable(b, DIRTY_CHECKPOINT);
    assert_int_equal(ram_dirty_clients(b), 1 << DIRTY_CHECKPOINT);
    assert_true(ram_dirty_take(b, DIRTY_CHECKPOINT, 2 * PAGE));
    assert_false(ram_dirty_take(b, DIRTY_CHECKPOINT, 2 * PAGE));
    assert_false(ram_dirty_take(b, DIRTY_CHECKPOINT, 3 * PAGE));
    ram_block_unref(b);
}

static void test_clients_do_not_see_each_other(void **state)
{
    RamBlock *b = make(2 * PAGE, (RamBacking) { .kind = RAM_ANONYMOUS });

    ram_dirty_enable(b, DIRTY_MIGRATION);
    ram_dirty_enable(b, DIRTY_DISPLAY);
    clean(b, DIRTY_MIGRATION, 2);
    clean(b, DIRTY_DISPLAY, 2);
    ram_dirty_set(b, PAGE + 5, 1);
    assert_true(ram_dirty_take(b, DIRTY_MIGRATION, PAGE));
    assert_true(ram_dirty_take(b, DIRTY_DISPLAY, PAGE));
    ram_dirty_disable(b, DIRTY_DISPLAY);
    ram_dirty_set(b, 0, 1);
    assert_false(ram_dirty_test(b, DIRTY_DISPLAY, 0, PAGE));
    ram_block_unref(b);
}

static void test_range_across_words_is_set_exactly(void **state)
{
    RamBlock *b = make(200 * PAGE, (RamBacking) { .kind = RAM_ANONYMOUS });

    ram_dirty_enable(b, DIRTY_MIGRATION);
    clean(b, DIRTY_MIGRATION, 200);
    ram_dirty_set(b, 63 * PAGE, 70 * PAGE);
    assert_false(ram_dirty_test(b, DIRTY_MIGRATION, 0, 63 * PAGE));
    assert_true(ram_dirty_take(b, DIRTY_MIGRATION, 63 * PAGE));
    assert_true(ram_dirty_take(b, DIRTY_MIGRATION, 100 * PAGE));
    assert_true(ram_dirty_take(b, DIRTY_MIGRATION, 132 * PAGE));
    assert_false(ram_dirty_test(b, DIRTY_MIGRATION, 133 * PAGE, UINT64_MAX));
    ram_dirty_set(b, 199 * PAGE, UINT64_MAX);
    assert_true(ram_dirty_test(b, DIRTY_MIGRATION, 199 * PAGE, 1));
    ram_dirty_set(b, 200 * PAGE, 1);
    ram_block_unref(b);
}

static void test_kvm_bitmap_is_merged_at_any_page(void **state)
{
    RamBlock *b = make(130 * PAGE, (RamBacking) { .kind = RAM_ANONYMOUS });
    const uint64_t bitmap[2] = { UINT64_C(1) | UINT64_C(1) << 63, UINT64_MAX };

    ram_dirty_enable(b, DIRTY_MIGRATION);
    clean(b, DIRTY_MIGRATION, 130);
    ram_dirty_or(b, 3 * PAGE, bitmap, 66);
    assert_true(ram_dirty_take(b, DIRTY_MIGRATION, 3 * PAGE));
    assert_true(ram_dirty_take(b, DIRTY_MIGRATION, 66 * PAGE));
    assert_true(ram_dirty_take(b, DIRTY_MIGRATION, 67 * PAGE));
    assert_true(ram_dirty_take(b, DIRTY_MIGRATION, 68 * PAGE));
    assert_false(ram_dirty_test(b, DIRTY_MIGRATION, 0, 130 * PAGE));
    ram_dirty_or(b, 128 * PAGE, bitmap, 128);
    assert_true(ram_dirty_take(b, DIRTY_MIGRATION, 128 * PAGE));
    assert_false(ram_dirty_take(b, DIRTY_MIGRATION, 129 * PAGE));
    ram_block_unref(b);
}

/* ---- writers ---- */

typedef struct Heard {
    RamWriteHook hook;
    unsigned calls;
    uint64_t offset, length;
} Heard;

static void heard(RamWriteHook *hook, RamBlock *block, uint64_t offset, uint64_t length)
{
    Heard *h = (Heard *)hook;

    h->calls++;
    h->offset = offset;
    h->length = length;
}

static void test_runs_of_dirty_pages_are_taken_in_order_and_cut(void **state)
{
    RamBlock *b = make(200 * PAGE, (RamBacking) { .kind = RAM_ANONYMOUS, .reserve = true });
    uint64_t first = 77;

    assert_int_equal(ram_dirty_take_run(b, DIRTY_MIGRATION, 0, 64, &first), 0);
    ram_dirty_enable(b, DIRTY_MIGRATION);
    assert_int_equal(ram_dirty_count(b, DIRTY_MIGRATION), 200);
    assert_int_equal(ram_dirty_take_run(b, DIRTY_MIGRATION, 0, 1000, &first), 200);
    assert_int_equal(first, 0);
    assert_int_equal(ram_dirty_count(b, DIRTY_MIGRATION), 0);
    ram_dirty_set(b, 60 * PAGE, 10 * PAGE);
    ram_dirty_set(b, 199 * PAGE, 1);
    assert_int_equal(ram_dirty_take_run(b, DIRTY_MIGRATION, 0, 7, &first), 7);
    assert_int_equal(first, 60);
    assert_int_equal(ram_dirty_take_run(b, DIRTY_MIGRATION, 67, 7, &first), 3);
    assert_int_equal(first, 67);
    assert_int_equal(ram_dirty_take_run(b, DIRTY_MIGRATION, 70, 7, &first), 1);
    assert_int_equal(first, 199);
    assert_int_equal(ram_dirty_take_run(b, DIRTY_MIGRATION, 0, 7, &first), 0);
    ram_block_unref(b);
}

/* Not by the square: then it would be half a minute. */
static void test_taking_runs_takes_time_by_the_pages_there_are(void **state)
{
    RamBlock *b = make(32 * 1024 * MIB, (RamBacking) { .kind = RAM_ANONYMOUS });
    uint64_t first, n, next = 0, taken = 0;
    clock_t begun = clock();

    ram_dirty_enable(b, DIRTY_MIGRATION);
    while ((n = ram_dirty_take_run(b, DIRTY_MIGRATION, next, 64, &first))) {
        taken += n;
        next = first + n;
    }
    assert_int_equal(taken, 32 * 1024 * MIB / PAGE);
    assert_true(clock() - begun < 3 * CLOCKS_PER_SEC);
    ram_block_unref(b);
}

static void test_hook_hears_of_writes_cut_to_the_block(void **state)
{
    RamBlock *b = make(4 * PAGE, (RamBacking) { .kind = RAM_ANONYMOUS });
    Heard h = { { heard } };

    assert_false(ram_is_watched(b));
    ram_set_write_hook(b, &h.hook);
    assert_true(ram_is_watched(b));
    assert_int_equal(ram_dirty_clients(b), 0);
    ram_dirty_set(b, 3 * PAGE + 8, UINT64_MAX);
    assert_int_equal(h.calls, 1);
    assert_int_equal(h.offset, 3 * PAGE + 8);
    assert_int_equal(h.length, PAGE - 8);
    ram_dirty_set(b, 4 * PAGE, 1);
    ram_dirty_set(b, 0, 0);
    ram_dirty_mark(b, 0, PAGE);
    assert_int_equal(h.calls, 1);
    ram_set_write_hook(b, NULL);
    ram_dirty_set(b, 0, 1);
    assert_int_equal(h.calls, 1);
    assert_false(ram_is_watched(b));
    ram_block_unref(b);
}

static void test_discard_counts_as_a_write(void **state)
{
    RamBlock *b = make(4 * PAGE, (RamBacking) { .kind = RAM_ANONYMOUS });
    Heard h = { { heard } };

    ram_set_write_hook(b, &h.hook);
    ram_dirty_enable(b, DIRTY_MIGRATION);
    clean(b, DIRTY_MIGRATION, 4);
    assert_int_equal(ram_block_discard(b, 1, PAGE), -EINVAL);
    assert_int_equal(h.calls, 0);
    assert_int_equal(ram_block_discard(b, PAGE, 2 * PAGE), 0);
    assert_int_equal(h.calls, 1);
    assert_int_equal(h.length, 2 * PAGE);
    assert_true(ram_dirty_test(b, DIRTY_MIGRATION, 2 * PAGE, 1));
    assert_false(ram_dirty_test(b, DIRTY_MIGRATION, 3 * PAGE, 1));
    ram_set_write_hook(b, NULL);
    ram_block_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anonymous_memory_is_zero_and_aligned_for_huge_pages),
        cmocka_unit_test(test_size_is_rounded_up_to_pages),
        cmocka_unit_test(test_guard_pages_surround_the_block),
        cmocka_unit_test(test_memfd_can_be_mapped_by_others),
        cmocka_unit_test(test_private_file_shows_the_file_and_keeps_it),
        cmocka_unit_test(test_shared_file_takes_the_writes),
        cmocka_unit_test(test_directory_gets_an_unnamed_file),
        cmocka_unit_test(test_discarded_pages_read_as_zero),
        cmocka_unit_test(test_discarded_shared_pages_read_as_zero),
        cmocka_unit_test(test_preallocated_memory_is_resident),
        cmocka_unit_test(test_what_is_cleared_is_there_only_if_it_must_be),
        cmocka_unit_test(test_what_is_not_there_is_not_cleared),
        cmocka_unit_test(test_a_private_copy_is_cleared_wherever_the_file_has_holes),
        cmocka_unit_test(test_alignment_is_kept),
        cmocka_unit_test(test_block_is_found_by_host_address),
        cmocka_unit_test(test_impossible_sizes_are_refused),
        cmocka_unit_test(test_unreserved_huge_pages_are_refused_with_their_number),
        cmocka_unit_test(test_short_file_is_refused),
        cmocka_unit_test(test_same_id_twice_is_refused),
        cmocka_unit_test(test_enabled_client_starts_with_everything_dirty),
        cmocka_unit_test(test_clients_do_not_see_each_other),
        cmocka_unit_test(test_range_across_words_is_set_exactly),
        cmocka_unit_test(test_kvm_bitmap_is_merged_at_any_page),
        cmocka_unit_test(test_runs_of_dirty_pages_are_taken_in_order_and_cut),
        cmocka_unit_test(test_taking_runs_takes_time_by_the_pages_there_are),
        cmocka_unit_test(test_hook_hears_of_writes_cut_to_the_block),
        cmocka_unit_test(test_discard_counts_as_a_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
