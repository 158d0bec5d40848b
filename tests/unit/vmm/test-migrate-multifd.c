/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/migrate-multifd-*.c and vmm/migrate-compress.c: memory through several channels, within one process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/bytes.h"
#include "vmm/error.h"
#include "vmm/migrate-multifd.h"

#define PAGES    2000
#define SIZE     (PAGES * GUEST_PAGE_SIZE)
#define CHANNELS 4
#define TOKEN    99

typedef struct Rig {
    MigrateRam *from, *to;
    MigrateChannel *source, *destination; /* the first ones, without a descriptor */
    MultifdOut *out;
    MultifdIn *in;
} Rig;

static MigrateRam *new_ram(const char *id)
{
    RamBacking backing = { .kind = RAM_ANONYMOUS, .reserve = true, .dump = true };
    RamBlock *block = ram_block_new(id, SIZE, &backing, NULL);
    MigrateRam *ram = g_new0(MigrateRam, 1);

    assert_non_null(block);
    migrate_ram_add(ram, "pc.ram", block);
    ram_block_unref(block);
    return ram;
}

static uint8_t *page_of(MigrateRam *ram, unsigned page)
{
    return ram_block_host(ram->block[0].block) + page * GUEST_PAGE_SIZE;
}

static void failed(void *opaque)
{
    migrate_channel_cancel(((Rig *)opaque)->destination);
}

static void set_up(Rig *r, MigrateCompression method, int level)
{
    const MultifdOptions options = { CHANNELS, TOKEN, method, level };

    r->from = new_ram("from");
    r->to = new_ram("to");
    r->source = migrate_channel_new();
    r->destination = migrate_channel_new();
    r->out = multifd_out_new(r->from, r->source, &options);
    r->in = multifd_in_new(r->to, r->destination, CHANNELS, TOKEN, failed, r);
    for (unsigned i = 0; i < CHANNELS; i++) {
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(multifd_in_add(r->in, fds[0]), i < CHANNELS - 1);
        assert_true(multifd_out_add(r->out, fds[1], NULL));
    }
    migrate_ram_log_start(r->from);
}

static void tear_down(Rig *r)
{
    multifd_out_free(r->out);
    multifd_in_free(r->in);
    migrate_ram_free(r->from);
    migrate_ram_free(r->to);
    migrate_channel_free(r->source);
    migrate_channel_free(r->destination);
}

/* Every third page is zero, one in sixteen is noise; the others compress to about a half. */
static void fill(Rig *r)
{
    uint32_t x = 1;

    for (unsigned i = 0; i < PAGES; i++) {
        for (unsigned k = 0; i % 3 && k < GUEST_PAGE_SIZE; k += i % 16 ? 2 : 1) {
            x = x * 1664525 + 1013904223;
            page_of(r->from, i)[k] = (uint8_t)(x >> 24);
        }
    }
    memset(page_of(r->to, 0), 0xff, SIZE); /* what a reset put there */
}

/* Of many rounds in which one page gets another content each, the last stays, whatever channel it comes through. */
static void check_moves(MigrateCompression method, int level)
{
    Rig r;

    set_up(&r, method, level);
    fill(&r);
    assert_int_equal(migrate_ram_sync(r.from), PAGES);
    assert_true(multifd_out_pass(r.out, NULL));
    for (unsigned round = 1; round < 200; round++) {
        unsigned other = 8 + round * 37 % 1000;

        put32(page_of(r.from, 7), round);
        memset(page_of(r.from, other), round % 2 ? (int)round : 0, GUEST_PAGE_SIZE);
        ram_dirty_set(r.from->block[0].block, 7 * GUEST_PAGE_SIZE, 1);
        ram_dirty_set(r.from->block[0].block, other * GUEST_PAGE_SIZE, GUEST_PAGE_SIZE);
        assert_int_equal(migrate_ram_sync(r.from), 2);
        assert_true(multifd_out_pass(r.out, NULL));
    }
    assert_true(multifd_out_finish(r.out, NULL));
    assert_true(multifd_in_wait(r.in, NULL));
    assert_memory_equal(page_of(r.from, 0), page_of(r.to, 0), SIZE);
    assert_int_equal(r.to->count.normal, r.from->count.normal);
    assert_int_equal(r.to->count.zero, r.from->count.zero);
    assert_int_equal(r.from->count.normal + r.from->count.zero, PAGES + 199 * 2);
    assert_int_equal(r.from->count.remaining, 0);
    assert_int_equal(migrate_channel_written(r.source), multifd_out_written(r.out));
    if (method != MIGRATE_COMPRESS_NONE) {
        assert_in_range(multifd_out_written(r.out), 1, r.from->count.normal * GUEST_PAGE_SIZE * 3 / 4);
    }
    tear_down(&r);
}

static void test_the_last_content_of_a_page_stays(void **state)
{
    check_moves(MIGRATE_COMPRESS_NONE, 0);
}

static void test_zlib_makes_it_less(void **state)
{
    check_moves(MIGRATE_COMPRESS_ZLIB, 1);
}

static void test_zstd_makes_it_less(void **state)
{
#ifdef HAVE_ZSTD
    check_moves(MIGRATE_COMPRESS_ZSTD, 1);
#else
    skip();
#endif
}

static void test_a_destination_that_breaks_off_is_an_error_at_the_source(void **state)
{
    g_autoptr(GError) error = NULL;
    Rig r;

    set_up(&r, MIGRATE_COMPRESS_NONE, 0);
    fill(&r);
    migrate_ram_sync(r.from);
    g_clear_pointer(&r.in, multifd_in_free);
    assert_false(multifd_out_pass(r.out, &error));
    assert_non_null(error);
    tear_down(&r);
}

static void test_a_source_that_breaks_off_is_an_error_at_the_destination(void **state)
{
    g_autoptr(GError) error = NULL;
    Rig r;

    set_up(&r, MIGRATE_COMPRESS_NONE, 0);
    fill(&r);
    migrate_ram_sync(r.from);
    assert_true(multifd_out_pass(r.out, NULL));
    g_clear_pointer(&r.out, multifd_out_free);
    assert_false(multifd_in_wait(r.in, &error));
    multifd_in_explain(r.in, &error);
    assert_string_equal(error->message, "the other end of the migration has closed the channel too early");
    g_clear_pointer(&r.in, multifd_in_free); /* its threads have ended: who failed has said so */
    assert_true(migrate_channel_cancelled(r.destination));
    tear_down(&r);
}

static void test_who_waits_for_a_channel_can_be_cancelled(void **state)
{
    g_autoptr(GError) error = NULL;
    Rig r;

    set_up(&r, MIGRATE_COMPRESS_NONE, 0);
    fill(&r);
    migrate_ram_sync(r.from);
    migrate_channel_cancel(r.source);
    assert_false(multifd_out_pass(r.out, &error));
    assert_string_equal(error->message, "the migration was cancelled");
    migrate_channel_cancel(r.destination);
    multifd_in_cancel(r.in);
    assert_false(multifd_in_wait(r.in, NULL));
    tear_down(&r);
}

/* ---- compression ---- */

static void put_noise(uint8_t *page, size_t n)
{
    uint32_t x = 1;

    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        page[i] = (uint8_t)(x >> 24);
    }
}

static void test_noise_is_not_what_gets_smaller(void **state)
{
    uint8_t page[GUEST_PAGE_SIZE];

    put_noise(page, GUEST_PAGE_SIZE);
    assert_true(migrate_page_is_noise(page));
    memset(page, 'x', 64);
    assert_false(migrate_page_is_noise(page));
    put_noise(page, GUEST_PAGE_SIZE / 2);
    memcpy(page + GUEST_PAGE_SIZE / 2, page, GUEST_PAGE_SIZE / 2);
    assert_false(migrate_page_is_noise(page));
    memset(page, 0, GUEST_PAGE_SIZE);
    assert_false(migrate_page_is_noise(page));
    for (unsigned i = 0; i < GUEST_PAGE_SIZE; i++) {
        page[i] = (uint8_t)(i * i >> 4);
    }
    assert_false(migrate_page_is_noise(page));
}

static void check_hostile(MigrateCompression method)
{
    g_autofree uint8_t *data = g_malloc0(4 * GUEST_PAGE_SIZE), *out = g_malloc(4 * GUEST_PAGE_SIZE);
    g_autofree uint8_t *back = g_malloc(4 * GUEST_PAGE_SIZE);
    MigrateCompressor *c = migrate_compressor_new(method, 1);
    MigrateDecompressor *d = migrate_decompressor_new();
    size_t n;

    memset(data, 'x', 1000);
    n = migrate_compress(c, data, 4 * GUEST_PAGE_SIZE, out, 4 * GUEST_PAGE_SIZE);
    assert_in_range(n, 1, 1000);
    assert_true(migrate_decompress(d, method, out, n, back, 4 * GUEST_PAGE_SIZE));
    assert_memory_equal(back, data, 4 * GUEST_PAGE_SIZE);
    assert_false(migrate_decompress(d, method, out, n - 1, back, 4 * GUEST_PAGE_SIZE));
    assert_false(migrate_decompress(d, method, out, n, back, 3 * GUEST_PAGE_SIZE));
    assert_false(migrate_decompress(d, method, out, 0, back, 4 * GUEST_PAGE_SIZE));
    assert_false(migrate_decompress(d, method, data, 1000, back, 4 * GUEST_PAGE_SIZE));
    assert_true(migrate_decompress(d, method, out, n, back, 4 * GUEST_PAGE_SIZE));
    assert_int_equal(migrate_compress(c, out, n, back, 5), 0); /* no room */
    migrate_compressor_free(c);
    migrate_decompressor_free(d);
}

static void test_compressed_pages_of_another_length_are_refused(void **state)
{
    check_hostile(MIGRATE_COMPRESS_ZLIB);
#ifdef HAVE_ZSTD
    check_hostile(MIGRATE_COMPRESS_ZSTD);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_content_of_a_page_stays),
        cmocka_unit_test(test_zlib_makes_it_less),
        cmocka_unit_test(test_zstd_makes_it_less),
        cmocka_unit_test(test_a_destination_that_breaks_off_is_an_error_at_the_source),
        cmocka_unit_test(test_a_source_that_breaks_off_is_an_error_at_the_destination),
        cmocka_unit_test(test_who_waits_for_a_channel_can_be_cancelled),
        cmocka_unit_test(test_noise_is_not_what_gets_smaller),
        cmocka_unit_test(test_compressed_pages_of_another_length_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
