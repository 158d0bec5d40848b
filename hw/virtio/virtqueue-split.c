/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Split virtqueues, Virtio 1.2 section 2.7.
 *
 *   driver area (avail): flags, idx, ring[size] of u16, used_event
 *   device area (used):  flags, idx, ring[size] of { u32 id, u32 len }, avail_event
 *
 * Locking: the queue's loop.
 */
#include "hw/virtio/virtqueue-ring.h"

enum { AVAIL_F_NO_INTERRUPT = 1, USED_F_NO_NOTIFY = 1 };
enum { RING_FLAGS = 0, RING_IDX = 2, RING_ENTRIES = 4 };

static bool split_areas(unsigned size, bool event_idx, uint64_t ret_bytes[3], unsigned ret_align[3])
{
    unsigned event = event_idx ? 2 : 0;

    ret_bytes[0] = VIRTQ_DESC_SIZE * (uint64_t)size;
    ret_bytes[1] = RING_ENTRIES + 2 * (uint64_t)size + event;
    ret_bytes[2] = RING_ENTRIES + 8 * (uint64_t)size + event;
    ret_align[0] = 16;
    ret_align[1] = 2;
    ret_align[2] = 4;
    return (size & (size - 1)) == 0 && size <= VIRTQUEUE_SIZE_MAX;
}

static void store_avail_event(Virtqueue *vq)
{
    ring_store16(&vq->device, RING_ENTRIES + 8 * (uint64_t)vq->size, vq->next_avail);
}

static bool split_empty(Virtqueue *vq)
{
    return vq->next_avail == vq->seen_avail && vq->next_avail == ring_load16(&vq->driver, RING_IDX);
}

/* Looks for new entries.  With doorbells on, the event index is moved first, so that none is missed. */
static bool look(Virtqueue *vq)
{
    if (vq->next_avail != vq->seen_avail) {
        return true;
    }
    vq->seen_avail = ring_load16(&vq->driver, RING_IDX);
    if (vq->seen_avail == vq->next_avail && vq->notification && vq->event_idx) {
        store_avail_event(vq);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        vq->seen_avail = ring_load16(&vq->driver, RING_IDX);
    }
    if ((uint16_t)(vq->seen_avail - vq->next_avail) > vq->size) {
        virtqueue_broken(vq, "avail index %u is further than the ring from %u", vq->seen_avail, vq->next_avail);
        vq->seen_avail = vq->next_avail;
        return false;
    }
    return vq->seen_avail != vq->next_avail;
}

static bool refuse(Virtqueue *vq, const char *what)
{
    virtqueue_collect_abort(vq);
    virtqueue_broken(vq, "%s", what);
    return false;
}

/* 2.7.5.3.1: within a table, NEXT may be set, INDIRECT not; a chain visits each entry once at most. */
static bool collect_table(Virtqueue *vq, const VirtqDesc *indirect)
{
    unsigned n = virtqueue_read_table(vq, indirect->address, indirect->length);
    unsigned at = 0;

    for (unsigned visited = 0; n; visited++) {
        const VirtqDesc *d = &vq->scratch->table[at];

        if (visited == n) {
            return refuse(vq, "a loop in an indirect table");
        }
        if (d->low & VIRTQ_DESC_F_INDIRECT) {
            return refuse(vq, "an indirect table within an indirect table");
        }
        if (!virtqueue_collect(vq, d->address, d->length, d->low & VIRTQ_DESC_F_WRITE)) {
            return false;
        }
        if (!(d->low & VIRTQ_DESC_F_NEXT)) {
            return true;
        }
        at = d->high;
        if (at >= n) {
            return refuse(vq, "a descriptor's next lies outside its table");
        }
    }
    return false;
}

static bool collect_chain(Virtqueue *vq, unsigned at)
{
    for (unsigned visited = 0;; visited++) {
        VirtqDesc d;

        if (at >= vq->size) {
            return refuse(vq, "a descriptor index lies outside the ring");
        }
        if (visited == vq->size) {
            return refuse(vq, "a loop in a descriptor chain");
        }
        d = ring_load_desc(&vq->desc, at);
        if (d.low & VIRTQ_DESC_F_INDIRECT) {
            if (d.low & VIRTQ_DESC_F_NEXT) {
                return refuse(vq, "an indirect descriptor that has a next one");
            }
            return collect_table(vq, &d);
        }
        if (!virtqueue_collect(vq, d.address, d.length, d.low & VIRTQ_DESC_F_WRITE)) {
            return false;
        }
        if (!(d.low & VIRTQ_DESC_F_NEXT)) {
            return true;
        }
        at = d.high;
    }
}

static bool split_next(Virtqueue *vq, uint16_t *ret_index, uint16_t *ret_length)
{
    uint16_t head;

    if (!look(vq)) {
        return false;
    }
    head = ring_load16(&vq->driver, RING_ENTRIES + 2 * (uint64_t)(vq->next_avail % vq->size));
    virtqueue_collect_begin(vq);
    if (!collect_chain(vq, head)) {
        return false;
    }
    vq->next_avail++;
    *ret_index = head;
    *ret_length = 1;
    return true;
}

static void split_rewind(Virtqueue *vq, uint16_t length)
{
    vq->next_avail -= length;
}

static void split_use(Virtqueue *vq, const VirtqUsed *used, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t offset = RING_ENTRIES + 8 * (uint64_t)(vq->next_used++ % vq->size);
        uint32_t *entry = (uint32_t *)((char *)vq->device.host + offset);

        __atomic_store_n(&entry[0], used[i].index, __ATOMIC_RELAXED);
        __atomic_store_n(&entry[1], used[i].written, __ATOMIC_RELAXED);
        ring_dirty(&vq->device, offset, 8);
    }
    ring_store16(&vq->device, RING_IDX, vq->next_used);
}

/* 2.7.7.2 */
static bool split_wants_interrupt(Virtqueue *vq)
{
    uint16_t event;

    if (!vq->event_idx) {
        return !(ring_load16(&vq->driver, RING_FLAGS) & AVAIL_F_NO_INTERRUPT);
    }
    event = ring_load16(&vq->driver, RING_ENTRIES + 2 * (uint64_t)vq->size);
    return (uint16_t)(vq->next_used - event - 1) < vq->unsignalled;
}

static void split_set_notification(Virtqueue *vq, bool enable)
{
    if (!vq->event_idx) {
        ring_store16(&vq->device, RING_FLAGS, enable ? 0 : USED_F_NO_NOTIFY);
    } else if (enable) {
        store_avail_event(vq);
    }
}

const VirtqueueRing virtqueue_split = {
    .areas = split_areas,
    .empty = split_empty,
    .next = split_next,
    .rewind = split_rewind,
    .use = split_use,
    .wants_interrupt = split_wants_interrupt,
    .set_notification = split_set_notification,
};
