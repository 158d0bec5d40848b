/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small io_uring for one TAP descriptor: frames that go out together cost one system call, not one each.  The kernel
 * writes them in order and at once, as an interface without a limit (sndbuf) never lets a frame wait; nothing is under
 * way when tap_batch_write() returns.  Reads are not for it: one that finds no frame would wait for the next.
 *
 * Locking: the queue's loop.
 */
#include "net/tap-batch.h"

#include <errno.h>
#include <glib.h>
#include <liburing.h>

struct TapBatch {
    struct io_uring ring;
};

TapBatch *tap_batch_new(void)
{
    TapBatch *batch = g_new0(TapBatch, 1);

    if (io_uring_queue_init(TAP_BATCH_MAX, &batch->ring, 0) < 0) {
        g_free(batch);
        return NULL;
    }
    return batch;
}

void tap_batch_free(TapBatch *batch)
{
    if (batch) {
        io_uring_queue_exit(&batch->ring);
        g_free(batch);
    }
}

/* Takes what is done; how many. */
static unsigned reap(TapBatch *batch, TapSlot *slots)
{
    struct io_uring_cqe *done;
    unsigned n = 0;

    while (io_uring_peek_cqe(&batch->ring, &done) == 0) {
        slots[io_uring_cqe_get_data64(done)].result = done->res;
        io_uring_cqe_seen(&batch->ring, done);
        n++;
    }
    return n;
}

void tap_batch_write(TapBatch *batch, int fd, TapSlot *slots, unsigned n)
{
    unsigned left = n;

    g_assert(n <= TAP_BATCH_MAX);
    for (unsigned i = 0; i < n; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&batch->ring);

        io_uring_prep_writev(sqe, fd, slots[i].iov, slots[i].pieces, 0);
        io_uring_sqe_set_data64(sqe, i);
    }
    while (left) {
        io_uring_submit_and_wait(&batch->ring, left);
        left -= reap(batch, slots);
    }
}
