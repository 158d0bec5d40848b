/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues over ring memory that a guest filled with anything.
 *
 * The input is a byte of features, a size, then RAM; the device pops, holds, puts
 * back and pushes in an order that the input chooses, while it also rewrites RAM.
 * Checked: nothing outside RAM is touched (sanitizers), a chain lies in RAM, its
 * sums hold, and it is bounded.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/input.h"
#include "tests/unit/hw/virtio/queue-rig.h"

#define RINGS     0x1000
#define IN_FLIGHT 32

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_chain(QueueRig *r, const VirtqueueChain *c)
{
    const uint8_t *ram = ram_block_host(r->block);

    check(c->outs + c->ins <= VIRTQUEUE_CHAIN_MAX);
    check(iov_total(c->out, c->outs) == c->out_bytes && iov_total(c->in, c->ins) == c->in_bytes);
    for (unsigned i = 0; i < c->outs + c->ins; i++) {
        const struct iovec *iov = i < c->outs ? &c->out[i] : &c->in[i - c->outs];
        uint64_t offset = (uint64_t)((const uint8_t *)iov->iov_base - ram);

        check(iov->iov_len && offset < RIG_RAM_SIZE && iov->iov_len <= RIG_RAM_SIZE - offset);
    }
}

/* Saved and loaded, as it would be in another process. */
static VirtqueueChain *reload(QueueRig *r, VirtqueueChain *c)
{
    g_autoptr(GByteArray) saved = g_byte_array_new();
    const uint8_t *data;
    size_t length;

    virtqueue_chain_save(c, saved);
    virtqueue_detach(r->vq, c);
    data = saved->data;
    length = saved->len;
    return virtqueue_chain_load(r->vq, sizeof(*c), &data, &length, NULL);
}

static void step(QueueRig *r, Input *in, VirtqueueChain **chain)
{
    unsigned what = take(in), slot = what / 8 % IN_FLIGHT;
    unsigned at = RINGS + take16(in) % 0x2000;

    switch (what % 8) {
    case 0:
    case 1:
    case 2:
        if (!chain[slot] && (chain[slot] = virtqueue_pop(r->vq, sizeof(VirtqueueChain)))) {
            check_chain(r, chain[slot]);
        }
        break;
    case 3:
        if (chain[slot]) {
            virtqueue_push(r->vq, g_steal_pointer(&chain[slot]), at);
        }
        break;
    case 4:
        if (!chain[slot] && (chain[slot] = virtqueue_pop(r->vq, sizeof(VirtqueueChain)))) {
            virtqueue_unpop(r->vq, g_steal_pointer(&chain[slot]));
        }
        break;
    case 5:
        virtqueue_set_notification(r->vq, at & 1);
        virtqueue_notify(r->vq);
        break;
    case 6:
        if (chain[slot]) {
            chain[slot] = reload(r, chain[slot]);
        }
        break;
    case 7:
        ram_block_host(r->block)[at] = (uint8_t)take(in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static QueueRig *r; /* made once: a rig is a megabyte */
    VirtqueueChain *chain[IN_FLIGHT] = { NULL };
    Input in = { data, length };
    unsigned features = take(&in), size = take(&in) % DRIVER_QUEUE_MAX + 1;
    size_t bytes;

    if (!r) {
        r = g_new0(QueueRig, 1);
        rig_setup(r);
    }
    r->virtio.status = VIRTIO_S_DRIVER_OK | VIRTIO_S_FEATURES_OK;
    virtqueue_reset_positions(r->vq);
    rig_start(r, features & 8 ? size : 1u << (size % 9), /* split rings want powers of two */
              (features & 1 ? VIRTIO_BIT(VIRTIO_F_RING_PACKED) : 0) | (features & 2 ? VIRTIO_BIT(VIRTIO_F_EVENT_IDX) : 0) |
                  (features & 4 ? VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) : 0));
    bytes = MIN(in.length / 2, 0x2000);
    memcpy(ram_block_host(r->block) + RINGS, in.data, bytes);
    in.data += bytes;
    in.length -= bytes;
    for (unsigned n = 0; in.length && n < 1000 && virtqueue_running(r->vq); n++) {
        step(r, &in, chain);
    }
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        if (chain[i]) {
            virtqueue_detach(r->vq, chain[i]);
        }
    }
    rig_stop(r);
    loop_run_once(r->loop, false);
    return 0;
}
