/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues, what both layouts share: life of a queue, popping and giving back
 * of chains, doorbells.  Virtio 1.2 sections 2.6 to 2.9; VIRTIO_F_IN_ORDER and
 * VIRTIO_F_NOTIFICATION_DATA are not offered.
 *
 * Locking: none; see the invariants and the states in the headers.  Ring areas
 * stay mapped while the queue is started, so a change of the memory map does not
 * pull them away.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hw/virtio/virtio.h"
#include "hw/virtio/virtqueue-ring.h"
#include "vmm/error.h"

Virtqueue *virtqueue_new(Virtio *virtio, unsigned index, uint16_t size_max, Loop *loop, GError **error)
{
    Virtqueue *vq;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0) {
        error_set_errno(error, errno, "cannot make the doorbell of queue %u", index);
        return NULL;
    }
    vq = g_new0(Virtqueue, 1);
    vq->virtio = virtio;
    vq->index = index;
    vq->loop = loop;
    vq->doorbell = fd;
    vq->setup.size_max = size_max;
    vq->quiet = true;
    vq->references = 1;
    virtqueue_reset_setup(vq);
    virtqueue_reset_positions(vq);
    return vq;
}

void virtqueue_free(Virtqueue *vq)
{
    if (!vq) {
        return;
    }
    g_assert(!vq->ring && !virtqueue_is_served(vq));
    close(vq->doorbell);
    g_free(vq);
}

void virtqueue_reset_setup(Virtqueue *vq)
{
    VirtqueueSetup *setup = &vq->setup;

    setup->size = setup->size_max;
    setup->enabled = false;
    setup->desc = 0;
    setup->avail = 0;
    setup->used = 0;
    /* The queue's loop may be looking at it. */
    __atomic_store_n(&setup->vector, VIRTQUEUE_NO_VECTOR, __ATOMIC_RELAXED);
}

void virtqueue_reset_positions(Virtqueue *vq)
{
    vq->next_avail = 0;
    vq->next_used = 0;
    vq->avail_wrap = true;
    vq->used_wrap = true;
}

void virtqueue_broken(Virtqueue *vq, const char *fmt, ...)
{
    g_autofree char *what = NULL;
    va_list ap;

    va_start(ap, fmt);
    what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    vq->broken = true;
    virtio_set_broken(vq->virtio, "queue %u: %s", vq->index, what);
}

static bool is_dead(const Virtqueue *vq)
{
    return vq->broken || virtio_is_broken(vq->virtio);
}

/* ---- start and stop ---- */

static bool map_area(Virtqueue *vq, const char *name, uint64_t address, uint64_t bytes, unsigned align,
                     DmaDirection direction, DmaMapping *ret)
{
    if (address % align) {
        virtqueue_broken(vq, "%s area at 0x%" PRIx64 " is not aligned to %u", name, address, align);
        return false;
    }
    if (!dma_map(vq->dma, address, bytes, direction, ret)) {
        virtqueue_broken(vq, "%s area at 0x%" PRIx64 " is not in RAM", name, address);
        return false;
    }
    if (ret->length < bytes) {
        virtqueue_broken(vq, "%s area at 0x%" PRIx64 " leaves its piece of RAM", name, address);
        return false;
    }
    return true;
}

bool virtqueue_map(Virtqueue *vq, DmaSpace *dma, uint64_t features)
{
    bool packed = features & VIRTIO_BIT(VIRTIO_F_RING_PACKED);
    const VirtqueueRing *ring = packed ? &virtqueue_packed : &virtqueue_split;
    const VirtqueueSetup *setup = &vq->setup;
    unsigned align[3];
    uint64_t bytes[3];

    g_assert(!vq->ring);
    vq->event_idx = features & VIRTIO_BIT(VIRTIO_F_EVENT_IDX);
    vq->indirect = features & VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC);
    vq->dma = dma;
    vq->features = features;
    vq->used_address = setup->used;
    vq->size = setup->size;
    if (!vq->size || vq->size > setup->size_max || !ring->areas(vq->size, vq->event_idx, bytes, align)) {
        virtqueue_broken(vq, "%u is no size for it", vq->size);
        return false;
    }
    /* A split ring's positions count freely, a packed ring's are indices: saved state may lie. */
    if (packed && (vq->next_avail >= vq->size || vq->next_used >= vq->size)) {
        virtqueue_broken(vq, "its position lies outside the ring");
        return false;
    }
    /* The packed ring's descriptors are written by the device too. */
    if (!map_area(vq, "descriptor", setup->desc, bytes[0], align[0], packed ? DMA_TO_GUEST : DMA_FROM_GUEST,
                  &vq->desc) ||
        !map_area(vq, "driver", setup->avail, bytes[1], align[1], DMA_FROM_GUEST, &vq->driver) ||
        !map_area(vq, "device", setup->used, bytes[2], align[2], DMA_TO_GUEST, &vq->device)) {
        dma_unmap(&vq->desc, 0);
        dma_unmap(&vq->driver, 0);
        dma_unmap(&vq->device, 0);
        return false;
    }
    vq->scratch = g_new(VirtqueueScratch, 1); /* touched only as far as chains are long */
    vq->ring = ring;
    vq->seen_avail = vq->next_avail;
    vq->broken = false;
    vq->notification = true;
    vq->unsignalled = 0;
    vq->signalled_valid = false;
    return true;
}

void virtqueue_unmap(Virtqueue *vq)
{
    if (!vq->ring) {
        return;
    }
    g_assert(!virtqueue_is_served(vq) && vq->in_flight == 0);
    dma_unmap(&vq->desc, 0);
    dma_unmap(&vq->driver, 0);
    dma_unmap(&vq->device, 0);
    g_clear_pointer(&vq->scratch, g_free);
    vq->ring = NULL;
}

static bool virtqueue_has_work(void *opaque)
{
    Virtqueue *vq = opaque;

    return vq->notification && !virtqueue_empty(vq); /* else whoever serves it waits for something else */
}

void virtqueue_run(Virtqueue *vq, LoopFn ready)
{
    g_assert(vq->ring && !vq->event);
    __atomic_store_n(&vq->quiet, false, __ATOMIC_RELEASE);
    vq->event = loop_add_event(vq->loop, vq->doorbell, ready, vq->unpolled ? NULL : virtqueue_has_work, vq);
    /* Whatever came before the doorbell was watched. */
    vq->ring->set_notification(vq, true);
    vq->notification = true;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ready(vq);
}

/* What was used is signalled now: nothing may be owed to the guest when it is saved. */
void virtqueue_suspend(Virtqueue *vq)
{
    if (vq->event) {
        loop_remove_event(vq->event);
        vq->event = NULL;
        loop_batch_cancel(vq->loop, &vq->notify_batch);
        virtqueue_notify(vq);
    }
}

bool virtqueue_mapped(const Virtqueue *vq)
{
    return vq->ring;
}

bool virtqueue_running(const Virtqueue *vq)
{
    return vq->event;
}

/* ---- chains ---- */

static bool may_read(const Virtqueue *vq)
{
    return __atomic_load_n(&vq->dma->enabled, __ATOMIC_RELAXED);
}

void *virtqueue_pop(Virtqueue *vq, size_t size)
{
    VirtqueueChain *chain;
    uint16_t index, length;

    if (!vq->event || is_dead(vq) || !may_read(vq)) {
        return NULL;
    }
    if (!vq->ring->next(vq, &index, &length)) {
        return NULL;
    }
    chain = virtqueue_chain_new(vq, size, index, length);
    vq->in_flight++;
    return chain;
}

static void chain_gone(Virtqueue *vq, VirtqueueChain *chain, uint64_t written)
{
    vq->in_flight--;
    vq->held -= chain->held;
    virtqueue_chain_free(chain, written);
    virtio_queue_progress(vq->virtio, vq);
}

void virtqueue_push(Virtqueue *vq, VirtqueueChain *chain, uint64_t written)
{
    virtqueue_push_many(vq, &chain, &written, 1);
}

void virtqueue_push_many(Virtqueue *vq, VirtqueueChain *const *chains, const uint64_t *written, unsigned n)
{
    VirtqUsed used[VIRTQUEUE_PUSH_MAX];
    unsigned entries = 0;

    g_assert(n <= VIRTQUEUE_PUSH_MAX);
    for (unsigned i = 0; i < n; i++) {
        used[i] = (VirtqUsed) { chains[i]->index, chains[i]->length, (uint32_t)MIN(written[i], UINT32_MAX) };
        entries += chains[i]->length;
        /* Pages are marked dirty before the guest can see that they are done. */
        virtqueue_chain_unmap(chains[i], written[i]);
    }
    if (!is_dead(vq)) {
        vq->ring->use(vq, used, n);
        vq->unsignalled += entries;
    }
    for (unsigned i = 0; i < n; i++) {
        chain_gone(vq, chains[i], 0);
    }
}

void virtqueue_detach(Virtqueue *vq, VirtqueueChain *chain)
{
    chain_gone(vq, chain, chain->in_bytes);
}

void virtqueue_unpop(Virtqueue *vq, VirtqueueChain *chain)
{
    vq->ring->rewind(vq, chain->length);
    chain_gone(vq, chain, 0);
}

void virtqueue_hold(Virtqueue *vq, VirtqueueChain *chain, bool held)
{
    if (chain->held == held) {
        return;
    }
    chain->held = held;
    if (held) {
        vq->held++;
        virtio_queue_progress(vq->virtio, vq);
    } else {
        vq->held--;
    }
}

/* Whether the driver is to be told of what was used; from now on that counts as told. */
static bool must_notify(Virtqueue *vq)
{
    bool must;

    if (!vq->ring || !vq->unsignalled || is_dead(vq)) {
        return false;
    }
    /* Used entries are visible before the driver's wish is read: pairs with the driver's barrier
     * between writing its wish and looking at the ring. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    must = !vq->signalled_valid || vq->unsignalled > vq->size || vq->ring->wants_interrupt(vq);
    vq->signalled_valid = true;
    vq->unsignalled = 0;
    return must;
}

void virtqueue_notify(Virtqueue *vq)
{
    if (must_notify(vq)) {
        virtio_notify_queue(vq->virtio, vq);
    }
}

static void notify_batch(void *opaque)
{
    Virtqueue *vq = opaque;

    if (must_notify(vq)) {
        virtio_notify_queue_soon(vq->virtio, vq);
    }
}

void virtqueue_notify_soon(Virtqueue *vq)
{
    if (!vq->event) {
        virtqueue_notify(vq); /* no batch outlives a suspended queue */
        return;
    }
    vq->notify_batch.fn = notify_batch;
    vq->notify_batch.opaque = vq;
    loop_batch(vq->loop, &vq->notify_batch);
}

bool virtqueue_empty(Virtqueue *vq)
{
    return !vq->ring || is_dead(vq) || !may_read(vq) || vq->ring->empty(vq); /* of what could be popped */
}

bool virtqueue_set_notification(Virtqueue *vq, bool enable)
{
    if (!vq->event) {
        return false;
    }
    vq->notification = enable;
    vq->ring->set_notification(vq, enable);
    if (!enable) {
        return false;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return !virtqueue_empty(vq);
}

/* ---- accessors ---- */

void virtqueue_set_unpolled(Virtqueue *vq)
{
    vq->unpolled = true;
}

unsigned virtqueue_in_flight(const Virtqueue *vq)
{
    return vq->in_flight;
}

unsigned virtqueue_index(const Virtqueue *vq)
{
    return vq->index;
}

Loop *virtqueue_loop(const Virtqueue *vq)
{
    return vq->loop;
}

VirtqueueSetup *virtqueue_setup(Virtqueue *vq)
{
    return &vq->setup;
}

int virtqueue_doorbell(Virtqueue *vq)
{
    return vq->doorbell;
}

void virtqueue_kick(Virtqueue *vq)
{
    uint64_t one = 1;
    ssize_t n = write(vq->doorbell, &one, sizeof(one));

    /* Full means that it is ringing already. */
    g_assert(n == sizeof(one) || errno == EAGAIN);
}
