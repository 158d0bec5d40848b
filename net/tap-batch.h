/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several writes to one descriptor by one system call (tap-batch.c).  The queue's loop.
 */
#pragma once

#include <linux/virtio_net.h>
#include <sys/uio.h>

#define TAP_BATCH_MAX    32
#define TAP_BATCH_PIECES 18 /* of a frame, its header among them */

typedef struct TapSlot {
    struct virtio_net_hdr_v1 header;
    struct iovec iov[TAP_BATCH_PIECES + 1];
    unsigned pieces;
    int result; /* bytes, or negative errno */
} TapSlot;

typedef struct TapBatch TapBatch;

TapBatch *tap_batch_new(void); /* NULL: this host has no io_uring for us */
void tap_batch_free(TapBatch *batch);
/* In order; every slot has a result afterwards.  The descriptor takes every frame at once. */
void tap_batch_write(TapBatch *batch, int fd, TapSlot *slots, unsigned n);
