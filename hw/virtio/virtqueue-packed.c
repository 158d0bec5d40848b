/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed virtqueues, Virtio 1.2 section 2.8.
 *
 * One ring of descriptors that both sides write; AVAIL and USED flags against
 * wrap counters say whose a descriptor is.  The driver and device areas are event
 * suppression structures { u16 off_wrap, u16 flags }.
 *
 * Locking: the queue's loop.
 */
#include "hw/virtio/virtqueue-ring.h"

/* 2.8.14 */
enum { EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESC = 2, EVENT_FLAGS_MASK = 3 };
enum { EVENT_OFF_WRAP = 0, EVENT_FLAGS = 2, EVENT_WRAP_BIT = 1 << 15 };

enum { DESC_ID = 12, DESC_FLAGS = 14, DESC_LENGTH = 8 };

static bool packed_areas(unsigned size, bool event_idx, uint64_t ret_bytes[3], unsigned ret_align[3])
{
    ret_bytes[0] = VIRTQ_DESC_SIZE * (uint64_t)size;
    ret_bytes[1] = 4;
    ret_bytes[2] = 4;
    ret_align[0] = 16;
    ret_align[1] = 4;
    ret_align[2] = 4;
    return size <= VIRTQUEUE_SIZE_MAX;
}

static bool is_available(uint16_t flags, bool wrap)
{
    return !!(flags & VIRTQ_DESC_F_AVAIL) == wrap && !!(flags & VIRTQ_DESC_F_USED) != wrap;
}

static uint16_t load_flags(Virtqueue *vq, unsigned at)
{
    return ring_load16(&vq->desc, (uint64_t)at * VIRTQ_DESC_SIZE + DESC_FLAGS);
}

static bool packed_empty(Virtqueue *vq)
{
    return !is_available(load_flags(vq, vq->next_avail), vq->avail_wrap);
}

static void store_event(Virtqueue *vq)
{
    ring_store16(&vq->device, EVENT_OFF_WRAP, (uint16_t)(vq->next_avail | (vq->avail_wrap ? EVENT_WRAP_BIT : 0)));
    ring_store16(&vq->device, EVENT_FLAGS, EVENT_DESC);
}

static bool refuse(Virtqueue *vq, const char *what)
{
    virtqueue_collect_abort(vq);
    virtqueue_broken(vq, "%s", what);
    return false;
}

/* 2.8.7: only the WRITE flag counts in a table. */
static bool collect_table(Virtqueue *vq, const VirtqDesc *indirect)
{
    unsigned n = virtqueue_read_table(vq, indirect->address, indirect->length);

    for (unsigned i = 0; i < n; i++) {
        const VirtqDesc *d = &vq->scratch->table[i];

        if (!virtqueue_collect(vq, d->address, d->length, d->high & VIRTQ_DESC_F_WRITE)) {
            return false;
        }
    }
    return n > 0;
}

static bool look(Virtqueue *vq)
{
    if (!packed_empty(vq)) {
        return true;
    }
    if (vq->notification && vq->event_idx) {
        store_event(vq);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        return !packed_empty(vq);
    }
    return false;
}

static bool packed_next(Virtqueue *vq, uint16_t *ret_index, uint16_t *ret_length)
{
    unsigned at = vq->next_avail;
    bool wrap = vq->avail_wrap;
    unsigned length = 0;
    VirtqDesc d;

    if (!look(vq)) {
        return false;
    }
    virtqueue_collect_begin(vq);
    do {
        if (length == vq->size) {
            return refuse(vq, "a chain longer than the ring");
        }
        d = ring_load_desc(&vq->desc, at);
        if (++at == vq->size) {
            at = 0;
            wrap = !wrap;
        }
        length++;
        if (d.high & VIRTQ_DESC_F_INDIRECT) {
            if (length > 1 || d.high & VIRTQ_DESC_F_NEXT) {
                return refuse(vq, "an indirect descriptor in a chain");
            }
            if (!collect_table(vq, &d)) {
                return false;
            }
        } else if (!virtqueue_collect(vq, d.address, d.length, d.high & VIRTQ_DESC_F_WRITE)) {
            return false;
        }
    } while (d.high & VIRTQ_DESC_F_NEXT);
    vq->next_avail = (uint16_t)at;
    vq->avail_wrap = wrap;
    *ret_index = d.low;
    *ret_length = (uint16_t)length;
    return true;
}

static void packed_rewind(Virtqueue *vq, uint16_t length)
{
    if (vq->next_avail < length) {
        vq->next_avail = (uint16_t)(vq->next_avail + vq->size);
        vq->avail_wrap = !vq->avail_wrap;
    }
    vq->next_avail -= length;
}

static void advance_used(Virtqueue *vq, uint16_t length)
{
    vq->next_used += length;
    if (vq->next_used >= vq->size) {
        vq->next_used = (uint16_t)(vq->next_used - vq->size);
        vq->used_wrap = !vq->used_wrap;
    }
}

/* The driver reads them in order: the flags of the first, stored last, show them all. */
static void packed_use(Virtqueue *vq, const VirtqUsed *used, unsigned n)
{
    uint64_t first_offset = 0;
    uint16_t first_flags = 0;

    for (unsigned i = 0; i < n; i++) {
        uint64_t offset = (uint64_t)vq->next_used * VIRTQ_DESC_SIZE;
        char *desc = (char *)vq->desc.host + offset;
        uint16_t flags = (uint16_t)((vq->used_wrap ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0) |
                                    (used[i].written ? VIRTQ_DESC_F_WRITE : 0));

        __atomic_store_n((uint32_t *)(desc + DESC_LENGTH), used[i].written, __ATOMIC_RELAXED);
        __atomic_store_n((uint16_t *)(desc + DESC_ID), used[i].index, __ATOMIC_RELAXED);
        ring_dirty(&vq->desc, offset, VIRTQ_DESC_SIZE);
        if (i == 0) {
            first_offset = offset;
            first_flags = flags;
        } else {
            ring_store16(&vq->desc, offset + DESC_FLAGS, flags);
        }
        advance_used(vq, used[i].length);
    }
    ring_store16(&vq->desc, first_offset + DESC_FLAGS, first_flags);
}

/* 2.8.10: the driver's event suppression structure. */
static bool packed_wants_interrupt(Virtqueue *vq)
{
    uint16_t flags = ring_load16(&vq->driver, EVENT_FLAGS) & EVENT_FLAGS_MASK;
    uint16_t off_wrap, event;

    if (flags == EVENT_DISABLE) {
        return false;
    }
    if (flags != EVENT_DESC || !vq->event_idx) {
        return true;
    }
    off_wrap = ring_load16(&vq->driver, EVENT_OFF_WRAP);
    event = off_wrap & (EVENT_WRAP_BIT - 1);
    if (!!(off_wrap & EVENT_WRAP_BIT) != vq->used_wrap) {
        event = (uint16_t)(event - vq->size);
    }
    return (uint16_t)(vq->next_used - event - 1) < vq->unsignalled;
}

static void packed_set_notification(Virtqueue *vq, bool enable)
{
    if (!enable) {
        ring_store16(&vq->device, EVENT_FLAGS, EVENT_DISABLE);
    } else if (vq->event_idx) {
        store_event(vq);
    } else {
        ring_store16(&vq->device, EVENT_FLAGS, EVENT_ENABLE);
    }
}

const VirtqueueRing virtqueue_packed = {
    .areas = packed_areas,
    .empty = packed_empty,
    .next = packed_next,
    .rewind = packed_rewind,
    .use = packed_use,
    .wants_interrupt = packed_wants_interrupt,
    .set_notification = packed_set_notification,
};
