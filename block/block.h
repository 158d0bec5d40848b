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

typedef enum BlockPermission { BLOCK_READ = 1, BLOCK_WRITE = 2, BLOCK_RESIZE = 8 } BlockPermission;
typedef enum BlockRequestFlags {
    BLOCK_FUA = 1,         /* done means that it is on stable storage */
    BLOCK_MAY_UNMAP = 2,   /* zeroes may give space back */
    BLOCK_NO_FALLBACK = 4, /* zeroes: -ENOTSUP rather than writing them */
} BlockRequestFlags;

typedef struct BlockLimits {
    uint32_t request_alignment; /* bytes, power of two; 1: any */
    uint32_t memory_alignment;  /* of buffers (O_DIRECT); 1: any */
    uint64_t max_transfer;      /* bytes */
    uint32_t max_iov;
    uint32_t discard_alignment, zeroes_alignment; /* powers of two */
} BlockLimits;

struct BlockDriver {
    const char *name;            /* "file", "raw" */
    size_t size;                 /* of the driver's state, zeroed before open */
    /* Main thread.  After it, node->child, read_only and limits are final. */
    bool (*open)(BlockNode *node, const void *options, GError **error);
    void (*close)(BlockNode *node);
    /* Coroutines, any loop.  Offsets, lengths and buffers are aligned as the limits say.  A read beyond the
     * end of the file gives zeroes. */
    int (*co_preadv)(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov);
    int (*co_pwritev)(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov,
                      unsigned flags);
    int (*co_flush)(BlockNode *node);                                       /* NULL: the child's */
    int (*co_discard)(BlockNode *node, uint64_t offset, uint64_t bytes);    /* NULL: -ENOTSUP */
    int (*co_pwrite_zeroes)(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags); /* NULL: -ENOTSUP */
    int64_t (*length)(BlockNode *node); /* bytes; any thread */
    int64_t (*allocated)(BlockNode *node); /* bytes it takes on the host; NULL: the child's, or none */
    /* Host locks for what the users above do (BlockPermission bits) and do not let others do.  NULL: none. */
    bool (*lock)(BlockNode *node, unsigned used, unsigned unshared, GError **error);
};
extern const BlockDriver *const block_drivers[]; /* NULL-terminated */
extern const FieldStruct blockdev_options;       /* -blockdev / blockdev-add, tagged by "driver" */

/* ---- main thread ---- */
/* -blockdev and blockdev-add; node-name is required.  The caller owns nothing. */
BlockNode *blockdev_add(Domain *domain, const Json *options, GError **error);
BlockNode *blockdev_add_text(Domain *domain, const char *text, GError **error);
/* Refuses while it is in use, and says by whom. */
bool blockdev_del(Domain *domain, const char *node_name, GError **error);
/* A node's name or a drive's id. */
BlockNode *block_find(Domain *domain, const char *name, GError **error);
const char *block_node_name(const BlockNode *node);
const char *block_filename(const BlockNode *node); /* of the file below it, or its name: for messages */
bool block_read_only(const BlockNode *node);
bool block_discards(const BlockNode *node);        /* discard=unmap */
int64_t block_length(BlockNode *node);             /* bytes, rounded up to 512; any thread */
typedef bool (*BlockNodeFn)(BlockNode *node, void *opaque);
bool block_each(Domain *domain, BlockNodeFn fn, void *opaque); /* by name */
/* A domain that moves: gives its locks on images to whom it moves to, and takes them (vmm/migrate.h). */
bool block_flush_all(Domain *domain, GError **error); /* waits, going on with the main loop */
bool block_inactivate_all(Domain *domain, GError **error);
bool block_activate_all(Domain *domain, GError **error);
void block_close_all(Domain *domain); /* what devices still use is closed when they let go of it */

/* What becomes of a failed request; BLOCK_ERROR_AUTO: the drive's or the default. */
typedef enum BlockErrorAction { BLOCK_ERROR_AUTO, BLOCK_ERROR_REPORT, BLOCK_ERROR_IGNORE, BLOCK_ERROR_ENOSPC,
                                BLOCK_ERROR_STOP } BlockErrorAction;
extern const FieldEnum block_error_enum;

/* -drive: a node or two and a name for the device; "file=x,format=raw,if=virtio,id=...". */
typedef struct Drive {
    char *id;
    char *interface;  /* "virtio", "none" */
    char *address;    /* of the device; NULL: any */
    unsigned index;   /* among those of its interface */
    BlockNode *node;
    int werror, rerror;
    bool write_cache;
} Drive;
extern const FieldStruct drive_options;
bool drive_add(Domain *domain, const char *text, GError **error);
/* A disk named without an option: "lodge disk.img". */
bool drive_add_positional(Domain *domain, const char *path, GError **error);
/* Makes the devices of drives with an interface that no -device took.  The machine is built. */
bool drives_plug(Domain *domain, GError **error);
const Drive *drive_of_node(const BlockNode *node); /* NULL: none */

/* What was asked of a disk.  One thread counts at a time; any thread may look. */
typedef enum BlockOp { BLOCK_OP_READ, BLOCK_OP_WRITE, BLOCK_OP_FLUSH, BLOCK_OP_UNMAP, BLOCK_OPS } BlockOp;
typedef struct BlockCounters {
    struct BlockOpCounters {
        uint64_t operations, bytes, time_ns; /* that were done */
        uint64_t failed, invalid;            /* the disk could not; the request could not be */
        uint64_t merged;                     /* became part of another one */
    } op[BLOCK_OPS];
} BlockCounters;
static inline void block_count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}
void block_counters_add(BlockCounters *sum, const BlockCounters *counters);

typedef enum BlockIoStatus { BLOCK_IO_OK, BLOCK_IO_FAILED, BLOCK_IO_NO_SPACE } BlockIoStatus;
typedef struct BlockUserStatus {
    BlockCounters counters; /* starts at 0 */
    BlockIoStatus io_status; /* not OK: the domain stopped for it */
    bool write_cache;
} BlockUserStatus;

/* A user of a node: a device.  Takes permissions: two writers are refused unless both share. */
struct BlockUser {
    BlockNode *node; /* NULL: not attached */
    const char *name; /* for messages */
    const char *drive; /* id of the node's drive; NULL: none */
    unsigned permissions;
    bool share_rw;
    /* For the monitor; set after block_user_attach(). */
    const char *path; /* its device's */
    void (*look)(const BlockUser *user, BlockUserStatus *ret); /* main thread */
};
bool block_user_attach(BlockUser *user, const char *name, BlockNode *node, unsigned permissions, bool share_rw,
                       GError **error);
void block_user_detach(BlockUser *user);
extern const LinkClass block_link; /* slot: BlockNode * */

/* ---- coroutines, any loop ---- */
int block_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov);
int block_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov,
                     unsigned flags);
int block_co_flush(BlockNode *node);
int block_co_discard(BlockNode *node, uint64_t offset, uint64_t bytes);
int block_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags);
