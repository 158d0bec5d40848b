/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queues that somebody else serves (vmm/vhost.h): what they are told of a ring, and where it stands when it comes back.
 *
 *   mapped --virtqueue_hand_out()--> outside --virtqueue_take_back()--> mapped
 *
 * A device that may not master the bus keeps its queues here, where nothing is popped.
 *
 * The doorbell is theirs then.  Their bell is the MSI-X vector's own descriptor where there is one; else a descriptor
 * that the queue's loop watches, and interrupts as it does for its own queues.
 *
 * Locking: the queue's loop.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hw/virtio/virtio.h"
#include "hw/virtio/virtqueue-ring.h"
#include "vmm/log.h"

#define PACKED_INDEX 0x7fff
#define PACKED_WRAP  0x8000

/* ---- interrupts ---- */

static void interrupt(Virtqueue *vq)
{
    uint64_t count;

    if (read(vq->call, &count, sizeof(count)) == sizeof(count)) {
        virtio_notify_queue(vq->virtio, vq);
    }
}

static void called(int fd, LoopEvents events, void *opaque)
{
    interrupt(opaque);
}

/* -1: there is no descriptor left. */
static int choose_call(Virtqueue *vq)
{
    VirtioTransport *t = vq->virtio->transport;
    int fd = t->queue_bell ? t->queue_bell(t, vq) : -1;

    if (fd >= 0) {
        return fd;
    }
    vq->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vq->call >= 0) {
        vq->call_watch = loop_add_fd(vq->loop, vq->call, LOOP_READ, called, vq);
    }
    return vq->call;
}

static void release_call(Virtqueue *vq)
{
    if (vq->call_watch) {
        interrupt(vq);
        loop_remove_fd(vq->call_watch);
        close(vq->call);
        vq->call_watch = NULL;
        vq->call = -1;
    }
}

/* ---- positions ---- */

static uint32_t base_of(const Virtqueue *vq)
{
    uint32_t avail = vq->next_avail | (vq->avail_wrap ? PACKED_WRAP : 0u);
    uint32_t used = vq->next_used | (vq->used_wrap ? PACKED_WRAP : 0u);

    return vq->ring == &virtqueue_packed ? avail | used << 16 : vq->next_avail;
}

static bool set_packed(Virtqueue *vq, uint32_t base)
{
    uint16_t avail = base & PACKED_INDEX, used = base >> 16 & PACKED_INDEX;

    if (avail >= vq->size || used >= vq->size) {
        return false;
    }
    vq->next_avail = avail;
    vq->next_used = used;
    vq->avail_wrap = base & PACKED_WRAP;
    vq->used_wrap = base >> 16 & PACKED_WRAP;
    return true;
}

/* Of a split ring the used index stands in memory, and tells how many chains are done.  When somebody dies with chains
 * in hand, these are served again: a frame may leave twice, as on a wire.  That takes it that chains are used in the
 * order in which they came, which is not demanded of anybody: of one who used a later one first and died, that head is
 * used twice and an earlier one never.  A driver may take this for an error of the device, and reset it. */
static bool set_split(Virtqueue *vq, uint32_t base, bool known)
{
    vq->next_used = ring_load16(&vq->device, sizeof(uint16_t));
    vq->next_avail = known ? (uint16_t)base : vq->next_used;
    vq->seen_avail = vq->next_avail;
    return true;
}

/* ---- out and back ---- */

bool virtqueue_hand_out(Virtqueue *vq)
{
    const VirtioClass *class = vq->virtio->class;
    VhostRing ring = { .index = vq->index, .size = vq->size, .desc = vq->desc.host, .avail = vq->driver.host,
                       .used = vq->device.host, .used_address = vq->used_address, .kick = vq->doorbell,
                       .base = base_of(vq) };

    if (!class->start_outside || vq->broken || virtio_is_broken(vq->virtio) ||
        !__atomic_load_n(&vq->dma->enabled, __ATOMIC_ACQUIRE)) {
        return false;
    }
    ring.call = choose_call(vq);
    if (ring.call < 0 || !class->start_outside(vq->virtio, vq, &ring, vq->features)) {
        release_call(vq);
        return false;
    }
    vq->outside = true;
    __atomic_store_n(&vq->quiet, false, __ATOMIC_RELEASE);
    virtqueue_kick(vq); /* for what was there before they listened */
    return true;
}

/* They log the ring's pages or do not; what is saved after this never hangs on it. */
static void mark_written(const Virtqueue *vq)
{
    ring_dirty(&vq->device, 0, vq->device.length);
    if (vq->ring == &virtqueue_packed) {
        ring_dirty(&vq->desc, 0, vq->desc.length);
    }
}

void virtqueue_take_back(Virtqueue *vq)
{
    uint32_t base = 0;
    bool known;

    if (!vq->outside) {
        return;
    }
    vq->outside = false;
    known = vq->virtio->class->stop_outside(vq->virtio, vq, &base);
    mark_written(vq);
    vq->unsignalled = 0;
    vq->signalled_valid = false;
    if (vq->ring == &virtqueue_packed ? !known || !set_packed(vq, base) : !set_split(vq, base, known)) {
        virtqueue_broken(vq, "who served it has gone, and only they knew how far it was");
    }
    release_call(vq);
}
