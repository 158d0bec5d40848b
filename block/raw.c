/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The raw format: a file, or a window into it, as it is.  Options as QEMU's
 * BlockdevOptionsRaw.
 *
 * Locking: none; nothing changes after open.
 */
#include "block/node.h"
#include "vmm/error.h"

typedef struct RawOptions {
    FieldAlternate file;
    bool has_offset, has_size;
    uint64_t offset, size;
} RawOptions;

typedef struct Raw {
    uint64_t offset;
    int64_t size;
} Raw;

static bool raw_open(BlockNode *node, const void *options, GError **error)
{
    const RawOptions *o = options;
    Raw *raw = node->state;
    int64_t length;

    if (!block_open_child(node, &o->file, error)) {
        return false;
    }
    length = block_length(node->child);
    raw->offset = o->has_offset ? o->offset : 0;
    if (raw->offset > (uint64_t)length) {
        return error_set(error, "offset %" G_GUINT64_FORMAT " lies beyond the end of '%s', which has %" G_GINT64_FORMAT
                         " bytes", raw->offset, block_filename(node), length);
    }
    raw->size = length - (int64_t)raw->offset;
    if (o->has_size) {
        if (o->size % 512) {
            return error_set(error, "size %" G_GUINT64_FORMAT " is not a multiple of 512", o->size);
        }
        if (o->size > (uint64_t)raw->size) {
            return error_set(error, "size %" G_GUINT64_FORMAT " at offset %" G_GUINT64_FORMAT
                             " does not fit into '%s', which has %" G_GINT64_FORMAT " bytes", o->size, raw->offset,
                             block_filename(node), length);
        }
        raw->size = (int64_t)o->size;
    }
    node->limits.max_transfer = node->child->limits.max_transfer;
    node->limits.max_iov = node->child->limits.max_iov;
    return true;
}

static int64_t raw_length(BlockNode *node)
{
    return ((Raw *)node->state)->size;
}

static uint64_t below(BlockNode *node, uint64_t offset)
{
    return ((Raw *)node->state)->offset + offset;
}

static int raw_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov)
{
    return block_co_preadv(node->child, below(node, offset), bytes, iov, niov);
}

static int raw_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov,
                          unsigned flags)
{
    return block_co_pwritev(node->child, below(node, offset), bytes, iov, niov, flags);
}

static int raw_co_discard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return block_co_discard(node->child, below(node, offset), bytes);
}

static int raw_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    return block_co_pwrite_zeroes(node->child, below(node, offset), bytes, flags);
}

static const Field raw_fields[] = {
    F_ALTERNATE("file", RawOptions, file, &blockdev_reference, .flags = FIELD_REQUIRED, .help = "Node below it"),
    F_SIZE("offset", RawOptions, offset, 0, FIELD_HAS(RawOptions, has_offset), .help = "Where in it the disk begins"),
    F_SIZE("size", RawOptions, size, 0, FIELD_HAS(RawOptions, has_size), .help = "Size of the disk"),
    FIELD_END
};

const FieldStruct block_raw_options = {
    .name = "BlockdevOptionsRaw",
    .size = sizeof(RawOptions),
    .fields = raw_fields,
};

const BlockDriver block_raw = {
    .name = "raw",
    .size = sizeof(Raw),
    .open = raw_open,
    .co_preadv = raw_co_preadv,
    .co_pwritev = raw_co_pwritev,
    .co_discard = raw_co_discard,
    .co_pwrite_zeroes = raw_co_pwrite_zeroes,
    .length = raw_length,
};
