/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The queues of a virtio device: start, stop, reset and pause (Virtio 1.2,
 * 2.6.1), their saved state.  The rules between their loops and the registers
 * are drawn in virtio.h.
 */
#include "hw/virtio/virtio-internal.h"
#include "hw/virtio/virtqueue-ring.h"
#include "vmm/domain.h"
#include "vmm/epoch.h"
#include "vmm/error.h"

/* ---- on the queue's loop ---- */

static void queue_ready(void *opaque)
{
    Virtqueue *vq = opaque;

    if (vq->event) {
        vq->virtio->class->queue_ready(vq->virtio, vq);
    }
}

static void unref_queue(void *opaque)
{
    Virtqueue *vq = opaque;

    if (!__atomic_sub_fetch(&vq->references, 1, __ATOMIC_ACQ_REL)) {
        virtqueue_free(vq);
    }
}

/* fn(vq) ends with unref_queue(). */
static void post_queue(Virtqueue *vq, LoopFn fn)
{
    __atomic_fetch_add(&vq->references, 1, __ATOMIC_RELAXED);
    loop_post(vq->loop, fn, vq);
}

/* For what the guest can ask for again and again: one post is under way at most.  fn begins with begin_once(). */
static void post_once(Virtqueue *vq, bool *posted, LoopFn fn)
{
    if (!__atomic_exchange_n(posted, true, __ATOMIC_SEQ_CST)) {
        post_queue(vq, fn);
    }
}

/* Whoever finds it posted before this is seen by what follows; who comes later posts anew. */
static void begin_once(bool *posted)
{
    (void)__atomic_exchange_n(posted, false, __ATOMIC_SEQ_CST);
}

static void serve(Virtqueue *vq)
{
    if (!virtqueue_hand_out(vq)) {
        virtqueue_run(vq, queue_ready);
    }
}

static void cease(Virtqueue *vq)
{
    virtqueue_take_back(vq);
    virtqueue_suspend(vq);
}

/* From the request on, its registers speak of the next start. */
static bool is_to_stop(const Virtqueue *vq)
{
    return __atomic_load_n(&vq->stop_pending, __ATOMIC_ACQUIRE);
}

static void queue_run(void *opaque)
{
    Virtqueue *vq = opaque;
    Virtio *v = vq->virtio;

    begin_once(&vq->run);
    if (v && vq->ring && !virtqueue_is_served(vq) && !is_to_stop(vq) &&
        !__atomic_load_n(&v->paused, __ATOMIC_ACQUIRE)) {
        serve(vq);
    }
    unref_queue(vq);
}

static void queue_serve_anew(void *opaque)
{
    Virtqueue *vq = opaque;

    begin_once(&vq->anew);
    if (vq->virtio && virtqueue_is_served(vq)) {
        virtio_serve_anew(vq);
    }
    unref_queue(vq);
}

void virtio_serve_anew(Virtqueue *vq)
{
    if (virtqueue_is_served(vq)) {
        cease(vq);
        if (!is_to_stop(vq)) {
            serve(vq);
        }
    }
}

void virtio_serve_anew_soon(Virtqueue *vq)
{
    post_once(vq, &vq->anew, queue_serve_anew);
}

static void nothing(void *opaque)
{
}

/* Wakes the main thread, which may be waiting for this queue. */
static void queue_is_quiet(Virtqueue *vq)
{
    __atomic_store_n(&vq->quiet, true, __ATOMIC_RELEASE);
    if (loop_current() != vq->virtio->dev.loop) {
        loop_post(vq->virtio->dev.loop, nothing, NULL);
    }
}

void virtio_queue_progress(Virtio *v, Virtqueue *vq)
{
    if (!virtqueue_is_quiet(vq)) {
        return;
    }
    if (!vq->stopping) {
        queue_is_quiet(vq);
    } else if (vq->in_flight == 0) {
        vq->stopping = false;
        virtqueue_unmap(vq);
        virtqueue_reset_positions(vq);
        queue_is_quiet(vq);
        __atomic_store_n(&vq->stopped, true, __ATOMIC_RELEASE);
        device_post(v->transport->dev, v->transport->settle);
    }
}

static void queue_stop(void *opaque)
{
    Virtqueue *vq = opaque;
    Virtio *v = vq->virtio;

    /* A system reset may have stopped it meanwhile, and a driver started it anew. */
    if (v && vq->ring && is_to_stop(vq)) {
        cease(vq);
        vq->stopping = true;
        if (v->class->drop_queue) {
            v->class->drop_queue(v, vq);
        }
        if (vq->stopping) {
            virtio_queue_progress(v, vq);
        }
    }
    unref_queue(vq);
}

static void queue_suspend(void *opaque)
{
    Virtqueue *vq = opaque;

    cease(vq);
    if (vq->in_flight == vq->held) {
        __atomic_store_n(&vq->quiet, true, __ATOMIC_RELEASE);
    }
}

/* ---- settling: lock held ---- */

static void start_queue(Virtio *v, Virtqueue *vq)
{
    vq->active = virtqueue_map(vq, v->dma, v->driver_features);
}

static void stop_queue(Virtqueue *vq)
{
    vq->active = false;
    __atomic_store_n(&vq->stop_pending, true, __ATOMIC_RELEASE);
    post_queue(vq, queue_stop);
}

void virtio_stop_queues(Virtio *v)
{
    for (unsigned i = 0; i < v->queues; i++) {
        if (v->queue[i]->active) {
            stop_queue(v->queue[i]);
        }
    }
}

static bool wants_to_run(const Virtio *v)
{
    const uint8_t ready = VIRTIO_S_DRIVER_OK | VIRTIO_S_FEATURES_OK;
    uint8_t status = __atomic_load_n(&v->status, __ATOMIC_RELAXED);

    return (status & ready) == ready && !(status & VIRTIO_S_NEEDS_RESET) && !v->resetting &&
           !__atomic_load_n(&v->paused, __ATOMIC_ACQUIRE);
}

/* A queue may be enabled after DRIVER_OK, too (after its own reset, 2.6.1). */
static void run_queues(Virtio *v)
{
    bool first = !v->started;

    for (unsigned i = 0; i < v->queues; i++) {
        Virtqueue *vq = v->queue[i];

        if (vq->setup.enabled && !vq->active && !vq->stop_pending) {
            start_queue(v, vq);
        }
    }
    v->started = true;
    if (first && v->class->start) {
        g_autoptr(GError) error = NULL;

        if (!v->class->start(v, &error)) {
            virtio_set_broken(v, "%s", error->message);
        }
    }
    for (unsigned i = 0; i < v->queues && !virtio_is_broken(v); i++) {
        if (v->queue[i]->active) {
            post_once(v->queue[i], &v->queue[i]->run, queue_run);
        }
    }
}

void virtio_settle(Virtio *v)
{
    bool stopping = false;

    for (unsigned i = 0; i < v->queues; i++) {
        Virtqueue *vq = v->queue[i];

        if (vq->stop_pending && __atomic_exchange_n(&vq->stopped, false, __ATOMIC_ACQUIRE)) {
            __atomic_store_n(&vq->stop_pending, false, __ATOMIC_RELEASE);
        }
        stopping |= vq->stop_pending;
    }
    if (v->resetting && !stopping) {
        v->resetting = false;
        if (v->class->reset) {
            v->class->reset(v);
        }
        /* What the driver did since its reset, if it did not wait. */
        if (v->status & VIRTIO_S_FEATURES_OK) {
            virtio_accept_features(v);
        }
    }
    if (wants_to_run(v)) {
        run_queues(v);
    }
}

/* ---- registers: lock held ---- */

Virtqueue *virtio_queue(const Virtio *v, unsigned n)
{
    return n < v->queues ? v->queue[n] : NULL;
}

void virtio_enable_queue(Virtio *v, Virtqueue *vq)
{
    vq->setup.enabled = true;
    if (v->started) {
        virtio_settle(v);
    }
}

void virtio_reset_queue(Virtio *v, Virtqueue *vq)
{
    virtqueue_reset_setup(vq);
    if (vq->active) {
        stop_queue(vq);
    }
}

bool virtio_queue_resetting(const Virtqueue *vq)
{
    return vq->stop_pending;
}

/* ---- saved state ---- */

static bool queue_check(const void *opaque, GError **error)
{
    const Virtqueue *vq = opaque;

    if (vq->setup.size > vq->setup.size_max) {
        return error_set(error, "queue %u has %u saved entries, this device has at most %u", vq->index, vq->setup.size,
                         vq->setup.size_max);
    }
    return true;
}

const StateDesc virtqueue_state = {
    .name = "virtqueue",
    .version = 1,
    .check = queue_check,
    .fields = (const StateField[]) {
        STATE_U16(Virtqueue, setup.size),
        STATE_U16(Virtqueue, setup.vector),
        STATE_BOOL(Virtqueue, setup.enabled),
        STATE_U64(Virtqueue, setup.desc),
        STATE_U64(Virtqueue, setup.avail),
        STATE_U64(Virtqueue, setup.used),
        STATE_U16(Virtqueue, next_avail),
        STATE_U16(Virtqueue, next_used),
        STATE_BOOL(Virtqueue, avail_wrap),
        STATE_BOOL(Virtqueue, used_wrap),
        STATE_END
    },
};

/* ---- lifecycle: main thread ---- */

Virtqueue *virtio_add_queue(Virtio *v, uint16_t size, Loop *loop, GError **error)
{
    g_autofree char *path = NULL;
    Virtqueue *vq;

    g_assert(v->queues < VIRTIO_QUEUES_MAX && size <= VIRTQUEUE_SIZE_MAX);
    vq = virtqueue_new(v, v->queues, size, loop ? loop : v->dev.loop, error);
    if (!vq) {
        return NULL;
    }
    v->queue = g_renew(Virtqueue *, v->queue, v->queues + 1);
    v->queue[v->queues++] = vq;
    path = g_strdup_printf("%s/queue[%u]", v->dev.path, vq->index);
    state_list_add(domain_state(v->dev.domain), path, &virtqueue_state, vq, sizeof(*vq), v->dev.lock);
    return vq;
}

/* Paused, so that the main thread may touch the queues. */
void virtio_drop_queues(Virtio *v)
{
    for (unsigned i = 0; i < v->queues; i++) {
        Virtqueue *vq = v->queue[i];

        if (vq->ring) {
            vq->stopping = false;
            if (v->class->drop_queue) {
                v->class->drop_queue(v, vq);
            }
            virtqueue_unmap(vq);
        }
        virtqueue_reset_positions(vq);
        vq->active = false;
        vq->stop_pending = false;
        vq->stopped = false;
    }
}

static bool all_quiet(const Virtio *v)
{
    for (unsigned i = 0; i < v->queues; i++) {
        if (!__atomic_load_n(&v->queue[i]->quiet, __ATOMIC_ACQUIRE)) {
            return false;
        }
    }
    return true;
}

void virtio_pause(Device *dev)
{
    Virtio *v = (Virtio *)dev;

    __atomic_store_n(&v->paused, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < v->queues; i++) {
        loop_call(v->queue[i]->loop, queue_suspend, v->queue[i]);
    }
    while (!all_quiet(v)) {
        loop_run_once(dev->loop, true);
    }
    if (v->class->paused) {
        v->class->paused(v);
    }
}

void virtio_resume(Device *dev)
{
    Virtio *v = (Virtio *)dev;

    if (!v->paused) {
        return;
    }
    if (v->class->resuming) {
        v->class->resuming(v);
    }
    __atomic_store_n(&v->paused, false, __ATOMIC_RELEASE);
    device_post(v->transport->dev, v->transport->settle);
}

void virtio_remove_queues(Virtio *v)
{
    virtio_pause(&v->dev); /* once more: since then vCPUs could still reset it, until it left the memory map */
    virtio_drop_queues(v);
    if (v->plugged && v->transport->set_doorbells) {
        v->transport->set_doorbells(v->transport, false);
    }
    v->plugged = false;
    for (unsigned i = 0; i < v->queues; i++) {
        state_list_remove(domain_state(v->dev.domain), v->queue[i]);
        v->queue[i]->virtio = NULL; /* this loop's; other loops ran what was posted, in the pause */
        epoch_retire(unref_queue, v->queue[i]);
    }
    g_clear_pointer(&v->queue, g_free);
    v->queues = 0;
}
