/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes over files: requests, alignment, permissions and locks.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/block.h"
#include "vmm/coroutine.h"
#include "vmm/domain.h"
#include "vmm/json.h"

#define SIZE 65536

typedef struct Bench {
    Domain *domain;
    char path[64];
} Bench;

static int setup(void **state)
{
    Bench *b = g_new0(Bench, 1);
    int fd;

    strcpy(b->path, "/var/tmp/lodge-test-XXXXXX"); /* not tmpfs: holes and O_DIRECT */
    fd = mkstemp(b->path);
    assert_true(fd >= 0);
    for (unsigned i = 0; i < SIZE / 512; i++) {
        char sector[512];

        memset(sector, 'A' + i % 26, sizeof(sector));
        assert_int_equal(write(fd, sector, sizeof(sector)), sizeof(sector));
    }
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

static BlockNode *add(Bench *b, const char *name, const char *more, GError **error)
{
    g_autofree char *text = g_strdup_printf("driver=raw,node-name=%s,file.driver=file,file.filename=%s%s", name, b->path, more);

    return blockdev_add_text(b->domain, text, error);
}

/* ---- requests, each in a coroutine ---- */

typedef enum Op { READ, WRITE, FLUSH, DISCARD, ZEROES } Op;
typedef struct Request {
    Op op;
    BlockNode *node;
    uint64_t offset, bytes;
    const void *data;
    unsigned flags;
    int ret;
    bool done;
} Request;

static void request_run(void *opaque)
{
    Request *r = opaque;
    struct iovec iov = { (void *)r->data, r->bytes };

    switch (r->op) {
    case READ:
        r->ret = block_co_preadv(r->node, r->offset, r->bytes, &iov, 1);
        break;
    case WRITE:
        r->ret = block_co_pwritev(r->node, r->offset, r->bytes, &iov, 1, r->flags);
        break;
    case FLUSH:
        r->ret = block_co_flush(r->node);
        break;
    case DISCARD:
        r->ret = block_co_discard(r->node, r->offset, r->bytes);
        break;
    case ZEROES:
        r->ret = block_co_pwrite_zeroes(r->node, r->offset, r->bytes, r->flags);
        break;
    }
    r->done = true;
}

static void finish(Bench *b, Request *r)
{
    while (!r->done) {
        loop_run_once(domain_loop(b->domain), true);
    }
}

static int request(Bench *b, Op op, BlockNode *node, uint64_t offset, uint64_t bytes, const void *data, unsigned flags)
{
    Request r = { op, node, offset, bytes, data, flags, 0, false };

    coroutine_start(request_run, &r);
    finish(b, &r);
    return r.ret;
}

static void check_bytes(const char *data, char expected, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(data[i], expected);
    }
}

static void file_bytes(const Bench *b, uint64_t offset, char *data, size_t n)
{
    int fd = open(b->path, O_RDONLY);

    assert_int_equal(pread(fd, data, n, (off_t)offset), n);
    close(fd);
}

/* ---- reading and writing ---- */

static void roundtrip(Bench *b, const char *options)
{
    BlockNode *node = add(b, "disk", options, NULL);
    char data[1024], seen[1024];

    assert_non_null(node);
    memset(data, 'x', sizeof(data));
    assert_int_equal(request(b, WRITE, node, 1024, 1024, data, 0), 0);
    assert_int_equal(request(b, READ, node, 1024, 1024, seen, 0), 0);
    check_bytes(seen, 'x', 1024);
    assert_int_equal(request(b, READ, node, 512, 512, seen, 0), 0);
    check_bytes(seen, 'B', 512);
    assert_int_equal(request(b, FLUSH, node, 0, 0, NULL, 0), 0);
    file_bytes(b, 1024, seen, 1024);
    check_bytes(seen, 'x', 1024);
}

static void test_what_is_written_is_read(void **state)
{
    roundtrip(*state, "");
}

static void test_what_is_written_is_read_with_threads(void **state)
{
    roundtrip(*state, ",file.aio=threads");
}

static void test_what_is_written_is_read_directly(void **state)
{
    roundtrip(*state, ",cache.direct=on,file.aio=native");
}

static void test_bytes_are_the_unit_of_a_cached_file(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", "", NULL);
    char seen[4];

    assert_int_equal(request(b, WRITE, node, 511, 2, "xy", BLOCK_FUA), 0);
    assert_int_equal(request(b, READ, node, 510, 4, seen, 0), 0);
    assert_memory_equal(seen, "AxyB", 4);
}

static void test_direct_write_of_a_few_bytes_keeps_its_neighbours(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", ",cache.direct=on", NULL);
    char seen[1024];

    assert_int_equal(request(b, WRITE, node, 511, 2, "xy", 0), 0);
    assert_int_equal(request(b, READ, node, 1, 1023, seen, 0), 0);
    check_bytes(seen, 'A', 510);
    assert_memory_equal(seen + 510, "xy", 2);
    check_bytes(seen + 512, 'B', 511);
}

static void test_direct_writes_into_one_block_exclude_each_other(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", ",cache.direct=on", NULL);
    Request first = { WRITE, node, 100, 1, "x", 0, 0, false }, second = { WRITE, node, 200, 1, "y", 0, 0, false };
    char seen[512];

    coroutine_start(request_run, &first);
    coroutine_start(request_run, &second);
    finish(b, &first);
    finish(b, &second);
    assert_int_equal(request(b, READ, node, 0, 512, seen, 0), 0);
    assert_int_equal(seen[100], 'x');
    assert_int_equal(seen[200], 'y');
    assert_int_equal(seen[150], 'A');
}

static void test_request_beyond_the_end_is_refused(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", "", NULL);
    char data[1024];

    assert_int_equal(request(b, READ, node, SIZE - 512, 1024, data, 0), -EIO);
    assert_int_equal(request(b, WRITE, node, UINT64_MAX - 100, 1024, data, 0), -EIO);
    assert_int_equal(request(b, DISCARD, node, SIZE, 512, NULL, 0), -EIO);
}

static void odd_tail(Bench *b, const char *options)
{
    BlockNode *node;
    char data[512], seen[512];

    assert_int_equal(truncate(b->path, SIZE + 100), 0);
    node = add(b, "disk", options, NULL);
    assert_int_equal(block_length(node), SIZE + 512);
    memset(seen, 1, sizeof(seen));
    assert_int_equal(request(b, READ, node, SIZE, 512, seen, 0), 0);
    check_bytes(seen, 0, 512);
    memset(data, 't', sizeof(data));
    assert_int_equal(request(b, WRITE, node, SIZE, 512, data, 0), 0);
    assert_int_equal(request(b, READ, node, SIZE, 512, seen, 0), 0);
    check_bytes(seen, 't', 512);
}

static void test_tail_of_an_odd_file_reads_as_zeroes_and_can_be_written(void **state)
{
    odd_tail(*state, "");
}

static void test_tail_of_an_odd_file_can_be_written_directly(void **state)
{
    odd_tail(*state, ",cache.direct=on");
}

static void test_raw_window_begins_at_its_offset(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", ",offset=1024,size=1024", NULL);
    char seen[512];

    assert_int_equal(block_length(node), 1024);
    assert_int_equal(request(b, READ, node, 0, 512, seen, 0), 0);
    check_bytes(seen, 'C', 512);
    assert_int_equal(request(b, READ, node, 1024, 512, seen, 0), -EIO);
}

static void test_raw_window_beyond_the_file_is_refused(void **state)
{
    Bench *b = *state;
    g_autoptr(GError) error = NULL;

    assert_null(add(b, "disk", ",offset=64K,size=512", &error));
    assert_non_null(strstr(error->message, "size 512 at offset 65536 does not fit into"));
}

/* ---- zeroes and discards ---- */

static uint64_t allocated(const Bench *b)
{
    struct stat st;

    assert_int_equal(stat(b->path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void test_zeroes_are_written(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", "", NULL);
    char seen[8192];

    assert_int_equal(request(b, ZEROES, node, 100, 8000, NULL, BLOCK_FUA), 0);
    assert_int_equal(request(b, READ, node, 0, 8192, seen, 0), 0);
    check_bytes(seen, 'A', 100);
    check_bytes(seen + 100, 0, 8000);
    assert_int_equal(seen[8100], 'A' + 15);
}

static void test_zeroes_may_give_space_back(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", ",discard=unmap", NULL);

    assert_int_equal(request(b, FLUSH, node, 0, 0, NULL, 0), 0);
    assert_int_equal(request(b, ZEROES, node, 0, SIZE, NULL, BLOCK_MAY_UNMAP), 0);
    assert_int_equal(allocated(b), 0);
}

static void test_discard_gives_space_back(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", ",discard=unmap", NULL);

    assert_int_equal(request(b, DISCARD, node, 0, SIZE, NULL, 0), 0);
    assert_int_equal(allocated(b), 0);
}

static void test_discard_is_ignored_unless_asked_for(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", "", NULL);
    char seen[512];

    assert_int_equal(request(b, DISCARD, node, 0, SIZE, NULL, 0), 0);
    assert_int_equal(request(b, READ, node, 0, 512, seen, 0), 0);
    check_bytes(seen, 'A', 512);
}

static void test_detected_zeroes_are_unmapped(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", ",discard=unmap,detect-zeroes=unmap", NULL);
    g_autofree char *zeroes = g_malloc0(SIZE);

    assert_int_equal(request(b, WRITE, node, 0, SIZE, zeroes, 0), 0);
    assert_int_equal(allocated(b), 0);
}

/* ---- permissions and locks ---- */

static void test_read_only_node_takes_no_writes(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", ",read-only=on", NULL);
    g_autoptr(GError) error = NULL;
    BlockUser user;

    assert_int_equal(request(b, WRITE, node, 0, 1, "x", 0), -EPERM);
    assert_false(block_user_attach(&user, "blk0", node, BLOCK_READ | BLOCK_WRITE, false, &error));
    assert_non_null(strstr(error->message, "is read-only"));
}

static void test_second_writer_is_refused(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", "", NULL);
    g_autoptr(GError) error = NULL;
    BlockUser first, second;

    assert_true(block_user_attach(&first, "blk0", node, BLOCK_READ | BLOCK_WRITE, false, NULL));
    assert_false(block_user_attach(&second, "blk1", node, BLOCK_READ, false, &error));
    assert_non_null(strstr(error->message, "is used by blk0 already"));
    block_user_detach(&first);
    assert_true(block_user_attach(&second, "blk1", node, BLOCK_READ, false, NULL));
    block_user_detach(&second);
}

static void test_writers_that_share_are_allowed(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", "", NULL);
    BlockUser first, second;

    assert_true(block_user_attach(&first, "blk0", node, BLOCK_READ | BLOCK_WRITE, true, NULL));
    assert_true(block_user_attach(&second, "blk1", node, BLOCK_READ | BLOCK_WRITE, true, NULL));
    block_user_detach(&first);
    block_user_detach(&second);
}

static bool byte_is_held(const Bench *b, off_t byte)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    int fd = open(b->path, O_RDWR);

    assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
    close(fd);
    return lock.l_type != F_UNLCK;
}

static void test_writer_holds_the_bytes_that_qemu_looks_at(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", "", NULL);
    BlockUser user;

    assert_true(block_user_attach(&user, "blk0", node, BLOCK_READ | BLOCK_WRITE, false, NULL));
    assert_true(byte_is_held(b, 100));  /* consistent read is used */
    assert_true(byte_is_held(b, 101));  /* write is used */
    assert_false(byte_is_held(b, 200)); /* reading is shared */
    assert_true(byte_is_held(b, 201));  /* writing is not */
    block_user_detach(&user);
    assert_false(byte_is_held(b, 101));
    assert_false(byte_is_held(b, 201));
}

static void test_image_that_another_opens_is_refused_in_one_sentence(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", "", NULL), *again = add(b, "again", "", NULL);
    g_autofree char *expected = g_strdup_printf("'%s' is already in use", b->path);
    g_autoptr(GError) error = NULL;
    BlockUser first, second;

    assert_true(block_user_attach(&first, "blk0", node, BLOCK_READ | BLOCK_WRITE, false, NULL));
    assert_false(block_user_attach(&second, "blk1", again, BLOCK_READ | BLOCK_WRITE, false, &error));
    assert_string_equal(error->message, expected);
    block_user_detach(&first);
}

static void test_image_is_not_locked_without_locking(void **state)
{
    Bench *b = *state;
    BlockNode *node = add(b, "disk", ",file.locking=off", NULL);
    BlockUser user;

    assert_true(block_user_attach(&user, "blk0", node, BLOCK_READ | BLOCK_WRITE, false, NULL));
    assert_false(byte_is_held(b, 101));
    block_user_detach(&user);
}

/* ---- the graph ---- */

static void test_node_that_is_used_cannot_be_deleted(void **state)
{
    Bench *b = *state;
    g_autofree char *file = g_strdup_printf("driver=file,node-name=proto,filename=%s", b->path);
    g_autoptr(GError) error = NULL;

    assert_non_null(blockdev_add_text(b->domain, file, NULL));
    assert_non_null(blockdev_add_text(b->domain, "driver=raw,node-name=fmt,file=proto", NULL));
    assert_false(blockdev_del(b->domain, "proto", &error));
    assert_string_equal(error->message, "block node 'proto' is in use: 'fmt' lies over it");
    assert_true(blockdev_del(b->domain, "fmt", NULL));
    assert_true(blockdev_del(b->domain, "proto", NULL));
    assert_null(block_find(b->domain, "proto", NULL));
}

static void test_json_is_as_good_as_text(void **state)
{
    Bench *b = *state;
    g_autofree char *text = g_strdup_printf("{\"driver\":\"raw\",\"node-name\":\"disk\",\"cache\":{\"direct\":false},"
                                            "\"file\":{\"driver\":\"file\",\"filename\":\"%s\"}}", b->path);
    g_autoptr(Json) json = json_parse(text, strlen(text), NULL);

    assert_non_null(blockdev_add(b->domain, json, NULL));
    assert_int_equal(block_length(block_find(b->domain, "disk", NULL)), SIZE);
}

static void check_refused(Bench *b, const char *options, const char *message)
{
    g_autoptr(GError) error = NULL;

    assert_null(add(b, "disk", options, &error));
    assert_non_null(strstr(error->message, message));
    assert_null(block_find(b->domain, "disk", NULL));
}

static void test_wrong_options_are_named(void **state)
{
    check_refused(*state, ",detect-zeroes=unmap", "detect-zeroes=unmap needs discard=unmap");
    check_refused(*state, ",file.aio=native", "aio=native needs cache.direct=on");
    check_refused(*state, ",force-share=on", "force-share=on needs read-only=on");
    check_refused(*state, ",file.lockign=off", "lockign");
}

static void test_missing_file_is_named(void **state)
{
    Bench *b = *state;
    g_autoptr(GError) error = NULL;

    assert_null(blockdev_add_text(b->domain, "driver=file,node-name=x,filename=/nonexistent/disk.img", &error));
    assert_non_null(strstr(error->message, "/nonexistent/disk.img"));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(what_is_written_is_read_with_threads),
        TEST(what_is_written_is_read_directly),
        TEST(bytes_are_the_unit_of_a_cached_file),
        TEST(direct_write_of_a_few_bytes_keeps_its_neighbours),
        TEST(direct_writes_into_one_block_exclude_each_other),
        TEST(request_beyond_the_end_is_refused),
        TEST(tail_of_an_odd_file_reads_as_zeroes_and_can_be_written),
        TEST(tail_of_an_odd_file_can_be_written_directly),
        TEST(raw_window_begins_at_its_offset),
        TEST(raw_window_beyond_the_file_is_refused),
        TEST(zeroes_are_written),
        TEST(zeroes_may_give_space_back),
        TEST(discard_gives_space_back),
        TEST(discard_is_ignored_unless_asked_for),
        TEST(detected_zeroes_are_unmapped),
        TEST(read_only_node_takes_no_writes),
        TEST(second_writer_is_refused),
        TEST(writers_that_share_are_allowed),
        TEST(writer_holds_the_bytes_that_qemu_looks_at),
        TEST(image_that_another_opens_is_refused_in_one_sentence),
        TEST(image_is_not_locked_without_locking),
        TEST(node_that_is_used_cannot_be_deleted),
        TEST(json_is_as_good_as_text),
        TEST(wrong_options_are_named),
        TEST(missing_file_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
