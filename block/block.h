/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block graph: protocols (file), formats (raw), and users on top.  A node is
 * opened and closed on the main thread; its I/O functions are coroutine functions
 * that may be called on any loop's thread and use that loop.
 *
 * Byte granularity at the top: the core splits, aligns (read-modify-write) and
 * serialises what a driver's request_alignment asks for.  I/O results are 0 or
 * negative errno.  Guest-written data never decides an image's format.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/device.h"
#include "vmm/field.h"
#include "vmm/loop.h"

typedef struct BlockNode BlockNode;
typedef struct BlockDriver BlockDriver;
typedef struct BlockUser BlockUser;

typedef enum BlockPermission { BLOCK_READ = 1, BLOCK_WRITE = 2, BLOCK_RESIZE = 4, BLOCK_ALL = 7 } BlockPermission;
typedef enum BlockRequestFlags { BLOCK_FUA = 1, BLOCK_MAY_UNMAP = 2, BLOCK_NO_FALLBACK = 4 } BlockRequestFlags;

typedef struct BlockLimits {
    uint32_t request_alignment; /* bytes, power of two; 1: any */
    uint32_t memory_alignment;  /* of buffers (O_DIRECT) */
    uint64_t max_transfer;      /* bytes; 0: any */
    uint32_t max_iov;
    uint64_t discard_alignment, max_discard, zeroes_alignment, max_zeroes;
} BlockLimits;

struct BlockDriver {
    const char *name;            /* "file", "raw" */
    const FieldStruct *options;  /* beyond those common to all nodes */
    size_t size;                 /* of the driver's state */
    bool (*open)(BlockNode *node, const void *options, GError **error); /* main thread */
    void (*close)(BlockNode *node);
    int (*co_preadv)(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov, unsigned flags);
    int (*co_pwritev)(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov, unsigned flags);
    int (*co_flush)(BlockNode *node);
    int (*co_discard)(BlockNode *node, uint64_t offset, uint64_t bytes);
    int (*co_pwrite_zeroes)(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags);
    int (*co_truncate)(BlockNode *node, uint64_t size);
    int64_t (*length)(BlockNode *node); /* bytes */
    int64_t (*allocated)(BlockNode *node);
    void (*limits)(BlockNode *node, BlockLimits *ret);
    const char *const *features;
};
extern const BlockDriver *const block_drivers[]; /* NULL-terminated */
extern const FieldStruct blockdev_options;       /* -blockdev / blockdev-add, tagged by "driver" */

/* ---- main thread ---- */
BlockNode *blockdev_add(Domain *domain, const Json *options, GError **error);
bool blockdev_del(Domain *domain, const char *node_name, GError **error);
BlockNode *block_find(Domain *domain, const char *node_name, GError **error);
void *block_state(BlockNode *node);           /* driver's */
BlockNode *block_child(BlockNode *node);      /* "file"; NULL */
const char *block_node_name(const BlockNode *node);
bool block_read_only(const BlockNode *node);
int64_t block_length(BlockNode *node);        /* any thread */
const BlockLimits *block_limits(const BlockNode *node);
typedef bool (*BlockNodeFn)(BlockNode *node, void *opaque);
bool block_each(Domain *domain, BlockNodeFn fn, void *opaque);
void blockdev_help(GString *out);

/* -drive: a node or two and a name for the device; "file=x,format=raw,if=virtio,id=...". */
typedef struct Drive { char *id, *interface, *serial; BlockNode *node; int werror, rerror; bool write_cache; int index; char *addr; } Drive;
extern const FieldStruct drive_options;

/* A user of a node: a device.  Takes permissions (two writers are refused unless both share). */
typedef enum BlockErrorAction { BLOCK_ERROR_AUTO, BLOCK_ERROR_REPORT, BLOCK_ERROR_IGNORE, BLOCK_ERROR_STOP, BLOCK_ERROR_ENOSPC } BlockErrorAction;
struct BlockUser {
    BlockNode *node;
    Device *dev;
    unsigned permissions;
    bool share_rw, write_cache;
    unsigned in_flight;   /* atomic */
    bool quiesced;
    struct { uint64_t bytes, operations, failed, time_ns; } stats[4]; /* read, write, flush, discard */
};
bool block_user_attach(BlockUser *user, Device *dev, BlockNode *node, unsigned permissions, bool share_rw, GError **error);
void block_user_detach(BlockUser *user);
extern const LinkClass block_link; /* slot: BlockNode * */

/* ---- coroutines, any loop ---- */
int block_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov, unsigned flags);
int block_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov, unsigned flags);
int block_co_flush(BlockNode *node);
int block_co_discard(BlockNode *node, uint64_t offset, uint64_t bytes);
int block_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags);
/* Starts a coroutine on the calling loop per request; done runs there. */
