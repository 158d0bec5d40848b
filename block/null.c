/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * null-co: a disk that forgets; for benchmarks of what lies above it.  Options as
 * QEMU's BlockdevOptionsNull.
 *
 * Locking: none; nothing changes after open.
 */
#include "block/node.h"
#include "vmm/coroutine.h"
#include "vmm/error.h"
#include "vmm/iov.h"

typedef struct NullOptions {
    uint64_t size, latency_ns;
    bool read_zeroes;
} NullOptions;

static bool null_open(BlockNode *node, const void *options, GError **error)
{
    const NullOptions *o = options;

    if (o->size > INT64_MAX - 512 || o->latency_ns > INT64_MAX) {
        return error_set(error, "size and latency-ns are below 2^63");
    }
    *(NullOptions *)node->state = *o;
    return true;
}

static int64_t null_length(BlockNode *node)
{
    return (int64_t)((NullOptions *)node->state)->size;
}

static void take_time(BlockNode *node)
{
    const NullOptions *o = node->state;

    if (o->latency_ns) {
        co_sleep_ns((int64_t)o->latency_ns);
    }
}

static int null_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov)
{
    take_time(node);
    if (((NullOptions *)node->state)->read_zeroes) {
        iov_fill(iov, niov, 0, 0, bytes);
    }
    return 0;
}

static int null_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov,
                           unsigned flags)
{
    take_time(node);
    return 0;
}

static int null_co_flush(BlockNode *node)
{
    take_time(node);
    return 0;
}

static int null_co_discard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    take_time(node);
    return 0;
}

static int null_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    take_time(node);
    return 0;
}

static const Field null_fields[] = {
    F_SIZE("size", NullOptions, size, UINT64_C(1) << 30, .help = "Size of the disk"),
    F_UINT("latency-ns", NullOptions, latency_ns, 0, .help = "How long a request takes"),
    F_BOOL("read-zeroes", NullOptions, read_zeroes, false, .help = "Reads give zeroes instead of leaving memory alone"),
    FIELD_END
};

const FieldStruct block_null_options = {
    .name = "BlockdevOptionsNull",
    .size = sizeof(NullOptions),
    .fields = null_fields,
};

const BlockDriver block_null_co = {
    .name = "null-co",
    .size = sizeof(NullOptions),
    .open = null_open,
    .co_preadv = null_co_preadv,
    .co_pwritev = null_co_pwritev,
    .co_flush = null_co_flush,
    .co_discard = null_co_discard,
    .co_pwrite_zeroes = null_co_pwrite_zeroes,
    .length = null_length,
};
