/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk requests as the driver sends them: Virtio 1.2 section 5.2.6.
 *
 *   popped --> virtio_blk_start() --> done --> pushed        (virtio-blk-work.c)
 *                                 \-> failed, policy "stop" --> held --resume--> virtio_blk_start()
 *
 * Reads and writes of one batch that are adjacent on the disk go out as one
 * (request-merging).  Used buffers are signalled once in a round of the loop.
 *
 * Locking: the queue's loop; see BlkQueue.
 */
#include <stdlib.h>
#include <string.h>

#include "hw/virtio/virtio-blk.h"
#include "vmm/error.h"
#include "vmm/iov.h"
#include "vmm/timer.h"

#define MERGE_MAX     32              /* requests */
#define MERGE_BYTES   (UINT64_C(1) << 20)
#define ID_BYTES      VIRTIO_BLK_ID_BYTES
#define HEADER_BYTES  sizeof(struct virtio_blk_outhdr)

/* Adjacent requests as one. */
typedef struct BlkRun {
    BlkRequest *first;
    uint64_t bytes;
    unsigned n_data;
} BlkRun;

typedef struct BlkBatch {
    BlkRequest *request[MERGE_MAX];
    unsigned n;
} BlkBatch;

/* ---- merging ---- */

static int by_offset(const void *a, const void *b)
{
    const BlkRequest *x = *(BlkRequest *const *)a, *y = *(BlkRequest *const *)b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool joins(const BlkRun *run, const BlkRequest *last, const BlkRequest *r)
{
    return last->type == r->type && last->offset + last->bytes == r->offset &&
           run->bytes + r->bytes <= MERGE_BYTES && run->n_data + r->n_data <= VIRTIO_BLK_MERGE_IOVS;
}

static void submit(BlkBatch *batch)
{
    BlkRun run = { 0 };
    BlkRequest *last = NULL;

    if (batch->n > 1) {
        qsort(batch->request, batch->n, sizeof(batch->request[0]), by_offset);
    }
    for (unsigned i = 0; i < batch->n; i++) {
        BlkRequest *r = batch->request[i];

        if (last && joins(&run, last, r)) {
            last->next = r;
            run.bytes += r->bytes;
            run.n_data += r->n_data;
        } else {
            if (last) {
                virtio_blk_start(run.first);
            }
            run = (BlkRun) { r, r->bytes, r->n_data };
        }
        last = r;
    }
    if (last) {
        virtio_blk_start(run.first);
    }
    batch->n = 0;
}

/* ---- what the driver sent ---- */

/* Everything between header and status.  false: no memory. */
static bool find_data(BlkRequest *r)
{
    const VirtqueueChain *c = &r->chain;
    bool in = r->type == VIRTIO_BLK_T_IN;
    const struct iovec *iov = in ? c->in : c->out;
    unsigned n = in ? c->ins : c->outs;
    uint64_t skip = in ? 0 : HEADER_BYTES, bytes = in ? c->in_bytes - 1 : c->out_bytes - HEADER_BYTES;

    /* As drivers lay it out: header and status have descriptors of their own. */
    if (in && iov[n - 1].iov_len == 1) {
        r->data = iov;
        r->n_data = n - 1;
        return true;
    }
    if (!in && iov[0].iov_len == HEADER_BYTES) {
        r->data = iov + 1;
        r->n_data = n - 1;
        return true;
    }
    r->slices = g_try_new(struct iovec, n);
    if (!r->slices) {
        return false;
    }
    r->data = r->slices;
    r->n_data = iov_slice(iov, n, skip, bytes, r->slices);
    return true;
}

static bool in_range(const VirtioBlk *b, uint64_t sector, uint64_t bytes)
{
    uint64_t sectors = bytes / VIRTIO_BLK_SECTOR, block = b->logical_block_size / VIRTIO_BLK_SECTOR;

    return bytes % b->logical_block_size == 0 && sector % block == 0 && sector <= b->capacity &&
           sectors <= b->capacity - sector;
}

static void take_transfer(BlkRequest *r, uint64_t sector, BlkBatch *batch)
{
    VirtioBlk *b = r->q->blk;

    r->bytes = r->type == VIRTIO_BLK_T_IN ? r->chain.in_bytes - 1 : r->chain.out_bytes - HEADER_BYTES;
    if (!in_range(b, sector, r->bytes) || (r->type == VIRTIO_BLK_T_OUT && block_read_only(b->node)) || !find_data(r)) {
        virtio_blk_refuse(r);
        return;
    }
    r->offset = sector * VIRTIO_BLK_SECTOR;
    if (!b->request_merging) {
        virtio_blk_start(r);
        return;
    }
    if (batch->n == MERGE_MAX) {
        submit(batch);
    }
    batch->request[batch->n++] = r;
}

/* 5.2.6.2: one segment, as config space says. */
static void take_range(BlkRequest *r)
{
    VirtioBlk *b = r->q->blk;
    bool discard = r->type == VIRTIO_BLK_T_DISCARD;
    uint32_t max = discard ? b->max_discard_sectors : b->max_write_zeroes_sectors;
    struct virtio_blk_discard_write_zeroes range;
    uint32_t flags, sectors;
    uint64_t sector;

    if (r->chain.out_bytes != HEADER_BYTES + sizeof(range) || block_read_only(b->node)) {
        virtio_blk_refuse(r);
        return;
    }
    iov_to_buffer(r->chain.out, r->chain.outs, HEADER_BYTES, &range, sizeof(range));
    flags = GUINT32_FROM_LE(range.flags);
    sectors = GUINT32_FROM_LE(range.num_sectors);
    sector = GUINT64_FROM_LE(range.sector);
    if (flags & ~(discard ? 0u : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)) {
        virtio_blk_finish(r, VIRTIO_BLK_S_UNSUPP);
        return;
    }
    if (sectors > max || !in_range(b, sector, sectors * VIRTIO_BLK_SECTOR)) {
        virtio_blk_refuse(r);
        return;
    }
    r->offset = sector * VIRTIO_BLK_SECTOR;
    r->bytes = sectors * VIRTIO_BLK_SECTOR;
    r->may_unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    virtio_blk_start(r);
}

static void take_id(BlkRequest *r)
{
    const char *serial = r->q->blk->serial ? r->q->blk->serial : "";
    char id[ID_BYTES] = { 0 };
    uint64_t room = r->chain.in_bytes - 1;

    memcpy(id, serial, MIN(strlen(serial), sizeof(id))); /* 5.2.6.1: not terminated if it fills the field */
    iov_from_buffer(r->chain.in, r->chain.ins, 0, id, MIN(room, sizeof(id)));
    virtio_blk_finish(r, VIRTIO_BLK_S_OK);
}

/* Ends it, starts it, or puts it in the batch.  false: the chain is no request. */
static bool take(BlkQueue *q, BlkRequest *r, BlkBatch *batch, int64_t now_ns)
{
    VirtioBlk *b = q->blk;
    struct virtio_blk_outhdr header;

    r->q = q;
    r->start_ns = now_ns;
    if (r->chain.in_bytes < 1 || r->chain.out_bytes < HEADER_BYTES) {
        virtio_set_broken(&b->virtio, "queue %u: a request has no header or no status byte", virtqueue_index(q->vq));
        virtqueue_detach(q->vq, &r->chain);
        return false;
    }
    iov_to_buffer(r->chain.out, r->chain.outs, 0, &header, sizeof(header));
    r->type = GUINT32_FROM_LE(header.type);
    switch (r->type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        take_transfer(r, GUINT64_FROM_LE(header.sector), batch);
        return true;
    case VIRTIO_BLK_T_FLUSH:
        submit(batch);
        virtio_blk_start(r);
        return true;
    case VIRTIO_BLK_T_GET_ID:
        take_id(r);
        return true;
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        if (r->type == VIRTIO_BLK_T_DISCARD ? b->discard : b->write_zeroes) {
            take_range(r);
            return true;
        }
        break;
    }
    virtio_blk_finish(r, VIRTIO_BLK_S_UNSUPP);
    return true;
}

static void retry_held(BlkQueue *q, BlkBatch *batch, int64_t now_ns)
{
    while (q->retry) {
        BlkRequest *r = q->retry;

        q->retry = r->next;
        r->next = NULL;
        g_clear_pointer(&r->slices, g_free);
        virtqueue_hold(q->vq, &r->chain, false);
        take(q, r, batch, now_ns);
    }
    submit(batch);
}

void virtio_blk_queue_ready(Virtio *v, Virtqueue *vq)
{
    BlkQueue *q = &((VirtioBlk *)v)->queue[virtqueue_index(vq)];
    unsigned left = virtqueue_setup(vq)->size_max;
    int64_t now_ns = clock_ns(clock_realtime);
    BlkBatch batch = { .n = 0 };

    retry_held(q, &batch, now_ns);
    do {
        BlkRequest *r = NULL;

        virtqueue_set_notification(vq, false);
        while (left && (r = virtqueue_pop(vq, sizeof(*r))) && take(q, r, &batch, now_ns)) {
            left--;
        }
        submit(&batch);
        if (!left) {
            /* Others live on this loop: go on in its next round. */
            virtqueue_kick(vq);
            return;
        }
    } while (virtqueue_set_notification(vq, true));
}

/* ---- held requests ---- */

static void detach_all(BlkQueue *q, BlkRequest **list)
{
    while (*list) {
        BlkRequest *r = *list;

        *list = r->next;
        g_free(r->slices);
        virtqueue_detach(q->vq, &r->chain);
    }
}

void virtio_blk_drop_queue(Virtio *v, Virtqueue *vq)
{
    BlkQueue *q = &((VirtioBlk *)v)->queue[virtqueue_index(vq)];

    detach_all(q, &q->held);
    detach_all(q, &q->retry);
}

void virtio_blk_resuming(Virtio *v)
{
    VirtioBlk *b = (VirtioBlk *)v;

    __atomic_store_n(&b->io_status, BLOCK_IO_OK, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < v->queues; i++) {
        BlkRequest **last = &b->queue[i].retry;

        while (*last) {
            last = &(*last)->next;
        }
        *last = g_steal_pointer(&b->queue[i].held);
    }
}

/* Saved form: queue number (2 bytes, little endian) and chain, for each. */
static void save_list(const BlkRequest *list, unsigned index, GByteArray *out)
{
    const uint8_t number[2] = { (uint8_t)index, (uint8_t)(index >> 8) };

    for (const BlkRequest *r = list; r; r = r->next) {
        g_byte_array_append(out, number, sizeof(number));
        virtqueue_chain_save(&r->chain, out);
    }
}

void virtio_blk_save_held(VirtioBlk *b)
{
    g_byte_array_set_size(b->waiting, 0);
    for (unsigned i = 0; i < b->virtio.queues; i++) {
        save_list(b->queue[i].retry, i, b->waiting);
        save_list(b->queue[i].held, i, b->waiting);
    }
}

bool virtio_blk_load_held(VirtioBlk *b, GError **error)
{
    const uint8_t *data = b->waiting->data;
    size_t length = b->waiting->len;

    while (length) {
        unsigned index = length >= 2 ? data[0] | (unsigned)data[1] << 8 : UINT16_MAX;
        BlkRequest *r, **last;
        BlkQueue *q;

        if (index >= b->virtio.queues || !virtqueue_mapped(b->queue[index].vq)) {
            return error_set(error, "a saved request names queue %u, which does not run", index);
        }
        q = &b->queue[index];
        data += 2;
        length -= 2;
        r = virtqueue_chain_load(q->vq, sizeof(*r), &data, &length, error);
        if (!r) {
            return false;
        }
        r->q = q;
        for (last = &q->retry; *last; last = &(*last)->next) {
        }
        *last = r;
    }
    g_byte_array_set_size(b->waiting, 0);
    return true;
}
