/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of a virtio-blk request, or of several that are adjacent on the disk: a coroutine carries it out, it is
 * counted, and it completes, or is held where the policy for errors says so (Virtio 1.2 section 5.2.6).
 *
 * Locking: the queue's loop; see BlkQueue.
 */
#include <errno.h>

#include "block/block-commands.h"
#include "hw/virtio/virtio-blk.h"
#include "vmm/coroutine.h"
#include "vmm/domain.h"
#include "vmm/iov.h"
#include "vmm/runstate.h"
#include "vmm/timer.h"

/* ---- completion ---- */

void virtio_blk_finish(BlkRequest *r, uint8_t status)
{
    BlkQueue *q = r->q;

    iov_from_buffer(r->chain.in, r->chain.ins, r->chain.in_bytes - 1, &status, 1);
    g_free(r->slices);
    virtqueue_push(q->vq, &r->chain, r->chain.in_bytes);
    virtqueue_notify_soon(q->vq);
}

/* ---- counting ---- */

static BlockOp op_of(const BlkRequest *r)
{
    switch (r->type) {
    case VIRTIO_BLK_T_IN:
        return BLOCK_OP_READ;
    case VIRTIO_BLK_T_FLUSH:
        return BLOCK_OP_FLUSH;
    case VIRTIO_BLK_T_DISCARD:
        return BLOCK_OP_UNMAP;
    default:
        return BLOCK_OP_WRITE;
    }
}

static void count_done(const BlkRequest *r, int64_t now_ns)
{
    struct BlockOpCounters *c = &r->q->counters.op[op_of(r)];

    block_count(&c->operations, 1);
    block_count(&c->bytes, r->bytes);
    block_count(&c->time_ns, (uint64_t)(now_ns - r->start_ns));
}

/* What the driver may not ask for. */
void virtio_blk_refuse(BlkRequest *r)
{
    block_count(&r->q->counters.op[op_of(r)].invalid, 1);
    virtio_blk_finish(r, VIRTIO_BLK_S_IOERR);
}

/* ---- errors ---- */

static BlockErrorAction action_for(const BlkRequest *r, int ret)
{
    const VirtioBlk *b = r->q->blk;
    int action = r->type == VIRTIO_BLK_T_IN ? b->rerror : b->werror;

    if (action == BLOCK_ERROR_ENOSPC) {
        return ret == -ENOSPC ? BLOCK_ERROR_STOP : BLOCK_ERROR_REPORT;
    }
    return (BlockErrorAction)action;
}

static void hold(BlkRequest *r)
{
    BlkRequest **last = &r->q->held;

    while (*last) {
        last = &(*last)->next;
    }
    r->next = NULL;
    *last = r;
    virtqueue_hold(r->q->vq, &r->chain, true);
}

static void complete(BlkRequest *r, int ret, int64_t now_ns)
{
    VirtioBlk *b = r->q->blk;
    BlockErrorAction action;

    if (ret >= 0) {
        count_done(r, now_ns);
        virtio_blk_finish(r, VIRTIO_BLK_S_OK);
        return;
    }
    action = action_for(r, ret);
    block_count(&r->q->counters.op[op_of(r)].failed, 1);
    block_io_error_emit(&b->user, op_of(r), action, ret);
    switch (action) {
    case BLOCK_ERROR_IGNORE:
        virtio_blk_finish(r, VIRTIO_BLK_S_OK);
        break;
    case BLOCK_ERROR_STOP:
        __atomic_store_n(&b->io_status, ret == -ENOSPC ? BLOCK_IO_NO_SPACE : BLOCK_IO_FAILED, __ATOMIC_RELAXED);
        domain_request_pause(b->virtio.dev.domain, RUN_STATE_IO_ERROR);
        hold(r);
        break;
    default:
        virtio_blk_finish(r, VIRTIO_BLK_S_IOERR);
    }
}

/* ---- work, in a coroutine ---- */

static unsigned write_flags(const VirtioBlk *b)
{
    return __atomic_load_n(&b->writeback, __ATOMIC_RELAXED) ? 0 : BLOCK_FUA;
}

static int transfer(const VirtioBlk *b, uint32_t type, uint64_t offset, uint64_t bytes, const struct iovec *iov,
                    unsigned n)
{
    return type == VIRTIO_BLK_T_IN ? block_co_preadv(b->node, offset, bytes, iov, n)
                                   : block_co_pwritev(b->node, offset, bytes, iov, n, write_flags(b));
}

static int perform(const BlkRequest *r)
{
    const VirtioBlk *b = r->q->blk;

    switch (r->type) {
    case VIRTIO_BLK_T_FLUSH:
        return block_co_flush(b->node);
    case VIRTIO_BLK_T_DISCARD:
        return block_co_discard(b->node, r->offset, r->bytes);
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return block_co_pwrite_zeroes(b->node, r->offset, r->bytes,
                                      write_flags(b) | (r->may_unmap ? BLOCK_MAY_UNMAP : 0));
    default:
        return transfer(b, r->type, r->offset, r->bytes, r->data, r->n_data);
    }
}

static void serve(void *opaque)
{
    BlkRequest *r = opaque;

    complete(r, perform(r), clock_ns(clock_realtime));
}

static int perform_run(const BlkRequest *first)
{
    struct iovec iov[VIRTIO_BLK_MERGE_IOVS];
    uint64_t bytes = 0;
    unsigned n = 0;

    for (const BlkRequest *r = first; r; r = r->next) {
        memcpy(iov + n, r->data, r->n_data * sizeof(*iov));
        n += r->n_data;
        bytes += r->bytes;
    }
    return transfer(first->q->blk, first->type, first->offset, bytes, iov, n);
}

static void serve_run(void *opaque)
{
    BlkRequest *r = opaque;
    int ret = perform_run(r);
    int64_t now_ns = clock_ns(clock_realtime);

    while (r) {
        BlkRequest *next = r->next;

        block_count(&r->q->counters.op[op_of(r)].merged, next ? 1 : 0);
        r->next = NULL;
        complete(r, ret, now_ns);
        r = next;
    }
}

void virtio_blk_start(BlkRequest *first)
{
    coroutine_start(first->next ? serve_run : serve, first);
}
