/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-rng: an entropy device, Virtio 1.2 section 5.4.  The bytes come from an
 * rng object, at most max-bytes in a period.
 *
 * One request is with the source at a time; its chain is held, because entropy may
 * take any time.  A pause takes the request back and a resume makes it again.
 *
 * Locking: everything happens on the main loop.
 */
#include <linux/virtio_ids.h>

#include "hw/virtio/virtio-pci.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/rng.h"

#define QUEUE_SIZE       8
#define PCI_CLASS_OTHERS 0x00ff
#define CHAIN_BYTES_MAX  (1 << 20) /* of a saved chain */

typedef struct VirtioRng {
    Virtio virtio;
    /* Configuration */
    Rng *rng; /* NULL: builtin */
    uint64_t max_bytes;
    uint32_t period_ms;
    /* Set by realize */
    Rng *source, *builtin;
    Timer *timer; /* NULL: no limit */
    /* The loop's */
    VirtqueueChain *waiting; /* NULL: none */
    bool asked;              /* the source has the request */
    uint64_t quota;          /* left in this period */
    /* Saved state only */
    GByteArray *saved;
} VirtioRng;

static VirtioRng *virtio_rng(Virtio *v)
{
    return (VirtioRng *)v;
}

static void serve(VirtioRng *r);

static void have_bytes(void *opaque, const uint8_t *data, size_t length)
{
    VirtioRng *r = opaque;
    Virtqueue *vq = r->virtio.queue[0];
    VirtqueueChain *c = g_steal_pointer(&r->waiting);

    r->asked = false;
    virtqueue_push(vq, c, iov_from_buffer(c->in, c->ins, 0, data, length));
    virtqueue_notify(vq);
    r->quota -= MIN(r->quota, length);
    serve(r);
}

static void serve(VirtioRng *r)
{
    Virtqueue *vq = r->virtio.queue[0];

    if (r->asked || !virtqueue_running(vq)) {
        return;
    }
    while (!r->waiting && (r->waiting = virtqueue_pop(vq, sizeof(VirtqueueChain)))) {
        if (r->waiting->in_bytes == 0) {
            virtqueue_push(vq, g_steal_pointer(&r->waiting), 0); /* 5.4.6: nothing to fill */
            virtqueue_notify(vq);
        }
    }
    if (!r->waiting) {
        return;
    }
    virtqueue_hold(vq, r->waiting, true);
    if (r->timer && !timer_pending(r->timer)) {
        r->quota = r->max_bytes;
        timer_mod(r->timer, clock_ns(domain_clock(r->virtio.dev.domain)) + r->period_ms * NS_PER_MS);
    }
    if (r->quota) {
        r->asked = true;
        rng_request(r->source, MIN(MIN(r->waiting->in_bytes, r->quota), RNG_REQUEST_MAX), have_bytes, r);
    }
}

static void rng_queue_ready(Virtio *v, Virtqueue *vq)
{
    serve(virtio_rng(v));
}

static void period_over(Device *dev)
{
    serve(virtio_rng((Virtio *)dev)); /* the timer is not pending any more: a new quota */
}

static void take_back(Virtio *v)
{
    VirtioRng *r = virtio_rng(v);

    if (r->asked) {
        rng_cancel(r->source, r);
        r->asked = false;
    }
}

static void rng_drop_queue(Virtio *v, Virtqueue *vq)
{
    VirtioRng *r = virtio_rng(v);

    take_back(v);
    if (r->waiting) {
        virtqueue_detach(vq, g_steal_pointer(&r->waiting));
    }
}

static void rng_reset(Virtio *v)
{
    VirtioRng *r = virtio_rng(v);

    if (r->timer) {
        timer_del(r->timer);
    } else {
        r->quota = UINT64_MAX;
    }
    g_byte_array_set_size(r->saved, 0);
}

static uint64_t rng_features(Virtio *v)
{
    return 0;
}

/* ---- saved state ---- */

static bool rng_start(Virtio *v, GError **error)
{
    VirtioRng *r = virtio_rng(v);
    const uint8_t *data = r->saved->data;
    size_t length = r->saved->len;

    if (length) {
        if (!virtqueue_mapped(v->queue[0])) {
            return error_set(error, "there is a saved request, but the queue does not run");
        }
        r->waiting = virtqueue_chain_load(v->queue[0], sizeof(VirtqueueChain), &data, &length, error);
        g_byte_array_set_size(r->saved, 0);
        return r->waiting != NULL;
    }
    return true;
}

static bool rng_save(void *opaque, GError **error)
{
    VirtioRng *r = opaque;

    if (r->virtio.started) { /* else it is still as it was loaded */
        g_byte_array_set_size(r->saved, 0);
        if (r->waiting) {
            virtqueue_chain_save(r->waiting, r->saved);
        }
    }
    return true;
}

static const StateDesc rng_state = {
    .name = "virtio-rng",
    .version = 1,
    .save = rng_save,
    .fields = (const StateField[]) {
        STATE_BLOB(VirtioRng, saved, CHAIN_BYTES_MAX),
        STATE_END
    },
};

/* ---- realize ---- */

static bool rng_realize(Device *dev, GError **error)
{
    VirtioRng *r = virtio_rng((Virtio *)dev);

    if (!virtio_add_queue(&r->virtio, QUEUE_SIZE, NULL, error)) {
        return false;
    }
    if (!r->rng) {
        r->builtin = rng_new_builtin(dev->domain);
    }
    r->source = r->rng ? r->rng : r->builtin;
    if (r->max_bytes < INT64_MAX) {
        r->timer = device_timer_new(dev, domain_clock(dev->domain), period_over);
    }
    r->quota = UINT64_MAX;
    r->saved = g_byte_array_new();
    return true;
}

static void rng_unrealize(Device *dev)
{
    VirtioRng *r = virtio_rng((Virtio *)dev);

    virtio_remove_queues(&r->virtio);
    timer_free(g_steal_pointer(&r->timer));
    rng_free_builtin(g_steal_pointer(&r->builtin));
    g_clear_pointer(&r->saved, g_byte_array_unref);
}

static const Property rng_props[] = {
    PROP_LINK("rng", VirtioRng, rng, &rng_link, .help = "Source of the bytes; without it the host's getrandom()"),
    PROP_UINT("max-bytes", VirtioRng, max_bytes, INT64_MAX, .min = 1, .max = INT64_MAX,
              .help = "Most bytes in a period"),
    PROP_UINT("period", VirtioRng, period_ms, 1 << 16, .min = 1, .max = UINT32_MAX, .help = "Length of a period, ms"),
    PROP_END
};

static const char *const rng_pci_aliases[] = { "virtio-rng", "virtio-rng-pci-non-transitional", NULL };
static const char *const rng_aliases[] = { "virtio-rng", NULL };

const VirtioClass virtio_rng_class = {
    .device = {
        .name = "virtio-rng-device",
        .desc = "Virtio entropy source",
        .aliases = rng_aliases,
        .category = "Misc",
        .base = &virtio_device_class,
        .size = sizeof(VirtioRng),
        .bus = &virtio_bus_class,
        .props = rng_props,
        .state = &rng_state,
        .realize = rng_realize,
        .unrealize = rng_unrealize,
    },
    .id = VIRTIO_ID_RNG,
    .pci_class = PCI_CLASS_OTHERS,
    .features = rng_features,
    .queue_ready = rng_queue_ready,
    .start = rng_start,
    .drop_queue = rng_drop_queue,
    .reset = rng_reset,
    .paused = take_back,
};

const DeviceClass virtio_rng_pci_class = {
    VIRTIO_PCI_CLASS(virtio_rng_class),
    .name = "virtio-rng-pci",
    .desc = "Virtio entropy source on PCI",
    .aliases = rng_pci_aliases,
    .category = "Misc",
};
