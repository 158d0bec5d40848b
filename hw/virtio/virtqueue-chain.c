/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptor chains: collecting and mapping descriptors, their form in saved
 * state.  What a guest may do wrong in a chain is
 * decided here, for both ring layouts (Virtio 1.2, 2.7.4, 2.7.5, 2.8.5 to 2.8.8).
 *
 * Locking: the queue's loop.
 */
#include <inttypes.h>
#include <string.h>

#include "hw/virtio/virtio.h"
#include "hw/virtio/virtqueue-ring.h"
#include "vmm/error.h"

#define CHAIN_BYTES_MAX (UINT64_C(1) << 32) /* 2.7.5 */

/* ---- collecting ---- */

static void unmap_scratch(VirtqueueScratch *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        dma_unmap(&s->segments[i].mapping, 0);
    }
    s->n = 0;
}

static bool refuse(Virtqueue *vq, const char *what)
{
    unmap_scratch(vq->scratch);
    virtqueue_broken(vq, "%s", what);
    return false;
}

void virtqueue_collect_begin(Virtqueue *vq)
{
    VirtqueueScratch *s = vq->scratch;

    s->n = 0;
    s->outs = 0;
    s->out_bytes = 0;
    s->in_bytes = 0;
}

void virtqueue_collect_abort(Virtqueue *vq)
{
    unmap_scratch(vq->scratch);
}

bool virtqueue_collect(Virtqueue *vq, uint64_t address, uint32_t length, bool write)
{
    VirtqueueScratch *s = vq->scratch;

    if (!write && s->n > s->outs) {
        return refuse(vq, "a device-readable descriptor follows a device-writable one");
    }
    if (s->out_bytes + s->in_bytes + length > CHAIN_BYTES_MAX) {
        return refuse(vq, "a chain describes more than 4 GiB");
    }
    while (length) {
        VirtqueueSegment *segment = &s->segments[s->n];

        if (s->n == VIRTQUEUE_CHAIN_MAX) {
            return refuse(vq, "a chain has too many segments");
        }
        if (!dma_map(vq->dma, address, length, write ? DMA_TO_GUEST : DMA_FROM_GUEST, &segment->mapping)) {
            unmap_scratch(s);
            virtqueue_broken(vq, "a descriptor points at 0x%" PRIx64 ", which is not RAM", address);
            return false;
        }
        segment->address = address;
        s->n++;
        if (write) {
            s->in_bytes += segment->mapping.length;
        } else {
            s->outs++;
            s->out_bytes += segment->mapping.length;
        }
        address += segment->mapping.length;
        length -= (uint32_t)segment->mapping.length;
    }
    return true;
}

unsigned virtqueue_read_table(Virtqueue *vq, uint64_t address, uint32_t length)
{
    unsigned n = length / VIRTQ_DESC_SIZE;

    if (!vq->indirect) {
        return refuse(vq, "an indirect descriptor, which was not negotiated");
    }
    if (!n || length % VIRTQ_DESC_SIZE || n > VIRTQUEUE_CHAIN_MAX) {
        return refuse(vq, "an indirect table of a wrong length");
    }
    if (dma_read(vq->dma, address, vq->scratch->table, length) < 0) {
        return refuse(vq, "an indirect table outside RAM");
    }
    return n;
}

/* ---- chains ---- */

/* One allocation: the device's struct, iovecs, segments. */
VirtqueueChain *virtqueue_chain_new(Virtqueue *vq, size_t size, uint16_t index, uint16_t length)
{
    VirtqueueScratch *s = vq->scratch;
    size_t head = (size + sizeof(void *) - 1) & ~(sizeof(void *) - 1);
    VirtqueueChain *chain = g_malloc(head + s->n * (sizeof(struct iovec) + sizeof(VirtqueueSegment)));
    struct iovec *iov = (struct iovec *)((char *)chain + head);

    memset(chain, 0, size);
    chain->index = index;
    chain->length = length;
    chain->outs = s->outs;
    chain->ins = s->n - s->outs;
    chain->out = iov;
    chain->in = iov + s->outs;
    chain->out_bytes = s->out_bytes;
    chain->in_bytes = s->in_bytes;
    chain->segments = (VirtqueueSegment *)(iov + s->n);
    for (unsigned i = 0; i < s->n; i++) {
        iov[i] = (struct iovec) { s->segments[i].mapping.host, s->segments[i].mapping.length };
        chain->segments[i] = s->segments[i];
    }
    return chain;
}

void virtqueue_chain_unmap(VirtqueueChain *chain, uint64_t written)
{
    for (unsigned i = 0; i < chain->outs + chain->ins; i++) {
        DmaMapping *mapping = &chain->segments[i].mapping;
        uint64_t bytes = i < chain->outs ? 0 : MIN(written, mapping->length);

        dma_unmap(mapping, bytes);
        written -= bytes;
    }
    chain->outs = 0;
    chain->ins = 0;
}

void virtqueue_chain_free(VirtqueueChain *chain, uint64_t written)
{
    virtqueue_chain_unmap(chain, written);
    g_free(chain);
}

/* ---- saved state: index, length, outs, ins; then address and length of each; little endian ---- */

static void put(GByteArray *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));

        g_byte_array_append(out, &byte, 1);
    }
}

static bool take(const uint8_t **data, size_t *length, unsigned bytes, uint64_t *ret)
{
    if (*length < bytes) {
        return false;
    }
    *ret = 0;
    for (unsigned i = 0; i < bytes; i++) {
        *ret |= (uint64_t)(*data)[i] << (8 * i);
    }
    *data += bytes;
    *length -= bytes;
    return true;
}

void virtqueue_chain_save(const VirtqueueChain *chain, GByteArray *out)
{
    put(out, chain->index, 2);
    put(out, chain->length, 2);
    put(out, chain->outs, 4);
    put(out, chain->ins, 4);
    for (unsigned i = 0; i < chain->outs + chain->ins; i++) {
        put(out, chain->segments[i].address, 8);
        put(out, chain->segments[i].mapping.length, 4);
    }
}

static bool load_segments(Virtqueue *vq, unsigned outs, unsigned n, const uint8_t **data, size_t *length)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t address, bytes;

        if (!take(data, length, 8, &address) || !take(data, length, 4, &bytes)) {
            unmap_scratch(vq->scratch);
            return false;
        }
        if (!virtqueue_collect(vq, address, (uint32_t)bytes, i >= outs)) {
            return false;
        }
    }
    return true;
}

void *virtqueue_chain_load(Virtqueue *vq, size_t size, const uint8_t **data, size_t *length, GError **error)
{
    uint64_t index, entries, outs, ins;
    VirtqueueChain *chain;

    g_assert(vq->ring);
    virtqueue_collect_begin(vq);
    if (!take(data, length, 2, &index) || !take(data, length, 2, &entries) || !take(data, length, 4, &outs) ||
        !take(data, length, 4, &ins) || outs > VIRTQUEUE_CHAIN_MAX || ins > VIRTQUEUE_CHAIN_MAX ||
        outs + ins > VIRTQUEUE_CHAIN_MAX || !entries || entries > vq->size ||
        vq->in_flight >= vq->size || !load_segments(vq, (unsigned)outs, (unsigned)(outs + ins), data, length)) {
        error_set(error, "a saved request of queue %u is malformed", vq->index);
        return NULL;
    }
    chain = virtqueue_chain_new(vq, size, (uint16_t)index, (uint16_t)entries);
    chain->held = true;
    vq->in_flight++;
    vq->held++;
    return chain;
}
