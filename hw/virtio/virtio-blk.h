/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk, between its files: virtio-blk.c (what it is: properties, config space, life), virtio-blk-request.c (what
 * the driver asks for) and virtio-blk-work.c (what becomes of it).
 */
#pragma once

#include <linux/virtio_blk.h>

#include "block/block.h"
#include "hw/virtio/virtio.h"
#include "vmm/object.h"

#define VIRTIO_BLK_SECTOR     UINT64_C(512)
#define VIRTIO_BLK_MERGE_IOVS 256 /* of requests that go out as one */

typedef struct VirtioBlk VirtioBlk;
typedef struct BlkRequest BlkRequest;

/* The loop's; the main thread's while paused. */
typedef struct BlkQueue {
    VirtioBlk *blk;
    Virtqueue *vq;
    BlkRequest *held;  /* failed, policy "stop": wait for the domain to go on */
    BlkRequest *retry; /* the domain goes on: to be done again */
    BlockCounters counters;
} BlkQueue;

struct VirtioBlk {
    Virtio virtio;
    /* Configuration */
    BlockNode *node;
    IoThread *iothread;
    FieldList mapping; /* BlkMapping */
    char *serial;
    uint16_t num_queues, queue_size; /* num_queues 0: one a vCPU */
    uint32_t logical_block_size, physical_block_size, min_io_size, opt_io_size, discard_granularity;
    uint32_t max_discard_sectors, max_write_zeroes_sectors;
    int32_t bootindex;
    int write_cache, werror, rerror;
    bool config_wce, discard, write_zeroes, share_rw, seg_max_adjust, request_merging, report_discard_granularity;
    /* Set by realize */
    BlockUser user;
    BlkQueue *queue;   /* num_queues of them */
    void **mapped;     /* IoThread, one a row of mapping */
    uint64_t capacity; /* sectors */
    bool write_cache_default;
    /* Guest state */
    bool writeback;     /* atomic: the driver may change it */
    int io_status;      /* atomic: BlockIoStatus */
    GByteArray *waiting; /* held requests, in saved state only */
};

struct BlkRequest {
    VirtqueueChain chain;
    BlkQueue *q;
    uint32_t type;
    int64_t start_ns;
    uint64_t offset, bytes;    /* on the disk */
    const struct iovec *data;  /* without header and status */
    unsigned n_data;
    struct iovec *slices;      /* owned, where data is not a part of the chain's iovecs */
    bool may_unmap;
    BlkRequest *next;          /* merged with it, or held after it */
};

/* Carries out a request, and those merged with it. */
void virtio_blk_start(BlkRequest *first);
void virtio_blk_finish(BlkRequest *r, uint8_t status);
void virtio_blk_refuse(BlkRequest *r); /* what the driver may not ask for */

void virtio_blk_queue_ready(Virtio *v, Virtqueue *vq);
void virtio_blk_drop_queue(Virtio *v, Virtqueue *vq);
void virtio_blk_resuming(Virtio *v);
/* Held requests to and from saved state. */
void virtio_blk_save_held(VirtioBlk *b);
bool virtio_blk_load_held(VirtioBlk *b, GError **error);
