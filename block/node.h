/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside a block node: for the graph, the I/O core and the drivers.
 */
#pragma once

#include "block/block.h"
#include "vmm/locks.h"

typedef enum BlockDiscard { BLOCK_DISCARD_IGNORE, BLOCK_DISCARD_UNMAP } BlockDiscard;
typedef enum BlockDetectZeroes { BLOCK_DETECT_OFF, BLOCK_DETECT_ON, BLOCK_DETECT_UNMAP } BlockDetectZeroes;

typedef struct BlockdevCache { bool has_direct, direct, has_no_flush, no_flush; } BlockdevCache;

/* What blockdev_options describes. */
typedef struct BlockdevOptions {
    int driver;
    char *node_name;
    bool has_read_only, read_only, has_auto_read_only, auto_read_only, has_discard;
    bool force_share;
    int discard, detect_zeroes;
    BlockdevCache cache;
    void *variant; /* the driver's */
} BlockdevOptions;

/* A write under way, for serialising; lives on its coroutine's stack. */
typedef struct BlockTracked BlockTracked;

struct BlockNode {
    Domain *domain;
    const BlockDriver *driver;
    void *state;          /* the driver's */
    char *name;
    bool named;           /* made by blockdev_add, deleted by blockdev_del */
    unsigned references;  /* blockdev_add's, parents, links */
    BlockNode *child;
    GPtrArray *users;     /* BlockUser, those above its parents included */
    char *filename;       /* NULL: the child's */
    /* Configuration */
    bool read_only, auto_read_only, force_share, direct, no_flush;
    BlockDiscard discard;
    BlockDetectZeroes detect_zeroes;
    BlockLimits limits;
    /* I/O, any loop */
    Lock lock;            /* LOCK_LEAF: tracked */
    BlockTracked *tracked;
    uint64_t write_generation, flushed_generation; /* atomic */
    uint64_t highest_write; /* atomic: end of the furthest one */
};

/* A node without a name of its own, for a drive; the caller holds its one reference. */
BlockNode *block_open(Domain *domain, const Json *options, GError **error);
void drive_free(Drive *drive);
/* Opens a child from a BlockdevRef: a name, or options that inherit the parent's.  false: error. */
bool block_open_child(BlockNode *node, const FieldAlternate *reference, GError **error);
extern const FieldAlternateDesc blockdev_reference;

void block_node_unref(BlockNode *node); /* the last one closes it; NULL is fine */

/* What the monitor calls a disk: a device on a node, or a drive without one. */
typedef struct BlockDisk {
    BlockNode *node;
    const char *drive;     /* its id; NULL: none */
    const BlockUser *user; /* NULL: no device */
    BlockUserStatus status;
} BlockDisk;
void block_each_disk(Domain *domain, void (*fn)(const BlockDisk *disk, void *opaque), void *opaque);

extern const FieldStruct block_file_options, block_null_options, block_raw_options;
extern const FieldEnum block_discard_enum, block_detect_zeroes_enum;
extern const BlockDriver block_file, block_host_device, block_null_co, block_raw;
