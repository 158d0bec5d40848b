/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio core: status and feature negotiation (Virtio 1.2, 2.1, 2.2, 3.1),
 * config space (2.5), the bus between a transport and its device.  The queues are
 * in virtio-queues.c.
 *
 * Modern devices only: a driver that does not accept VIRTIO_F_VERSION_1 is not
 * given FEATURES_OK.  Locking: see virtio.h.
 */
#include <inttypes.h>
#include <string.h>

#include "hw/virtio/virtio-internal.h"
#include "hw/virtio/virtqueue-ring.h"
#include "vmm/error.h"
#include "vmm/log.h"

/* ---- notifications towards the driver ---- */

void virtio_notify_queue(Virtio *v, Virtqueue *vq)
{
    v->transport->notify_queue(v->transport, vq);
}

void virtio_notify_queue_soon(Virtio *v, Virtqueue *vq)
{
    VirtioTransport *t = v->transport;

    (t->notify_queue_soon ? t->notify_queue_soon : t->notify_queue)(t, vq);
}

void virtio_config_changed(Virtio *v)
{
    __atomic_fetch_add(&v->config_generation, 1, __ATOMIC_RELEASE);
    if (__atomic_load_n(&v->status, __ATOMIC_RELAXED) & VIRTIO_S_DRIVER_OK) {
        v->transport->notify_config(v->transport);
    }
}

void virtio_set_broken(Virtio *v, const char *fmt, ...)
{
    g_autofree char *what = NULL;
    uint8_t old;
    va_list ap;

    va_start(ap, fmt);
    what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    /* A queue that is still being stopped speaks of what the driver has reset already. */
    old = __atomic_load_n(&v->status, __ATOMIC_RELAXED);
    do {
        if (!(old & VIRTIO_S_DRIVER_OK) || old & VIRTIO_S_NEEDS_RESET) {
            return;
        }
    } while (!__atomic_compare_exchange_n(&v->status, &old, old | VIRTIO_S_NEEDS_RESET, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    guest_error(device_name(v->transport->dev), "%s; it does nothing until the driver resets it", what);
    v->transport->notify_config(v->transport);
}

/* ---- registers: lock held ---- */

uint64_t virtio_offered_features(Virtio *v)
{
    uint64_t impossible = v->class->impossible ? v->class->impossible(v) : 0;

    return (v->class->features(v) | VIRTIO_BIT(VIRTIO_F_VERSION_1) |
           (v->indirect_desc ? VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) : 0) |
           (v->event_idx ? VIRTIO_BIT(VIRTIO_F_EVENT_IDX) : 0) |
           (v->packed ? VIRTIO_BIT(VIRTIO_F_RING_PACKED) : 0) |
           (v->iommu_platform ? VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM) : 0) |
           (v->queue_reset ? VIRTIO_BIT(VIRTIO_F_RING_RESET) : 0)) & ~impossible;
}

void virtio_set_driver_features(Virtio *v, unsigned word, uint32_t bits)
{
    unsigned shift = 32 * word;

    if (word > 1) {
        return; /* none is defined there */
    }
    if (v->status & VIRTIO_S_FEATURES_OK) {
        guest_error(device_name(v->transport->dev), "features are written after FEATURES_OK");
        return;
    }
    v->driver_features = (v->driver_features & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)bits << shift;
}

void virtio_accept_features(Virtio *v)
{
    if (v->class->set_features) {
        v->class->set_features(v, v->driver_features);
    }
}

/* 2.2.2, 6.1, 6.2: what it must not accept and what it must. */
static bool features_fit(Virtio *v)
{
    uint64_t offered = virtio_offered_features(v);
    uint64_t musts = VIRTIO_BIT(VIRTIO_F_VERSION_1) | (offered & VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM));

    return !(v->driver_features & ~offered) && (v->driver_features & musts) == musts;
}

uint8_t virtio_status(const Virtio *v)
{
    if (v->resetting && v->transport->polls_reset) {
        return v->status_before;
    }
    return __atomic_load_n(&v->status, __ATOMIC_RELAXED);
}

static void clear_registers(Virtio *v)
{
    __atomic_store_n(&v->status, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&v->isr, 0, __ATOMIC_RELAXED);
    v->device_features_sel = 0;
    v->driver_features_sel = 0;
    v->driver_features = 0;
    v->started = false;
    for (unsigned i = 0; i < v->queues; i++) {
        virtqueue_reset_setup(v->queue[i]);
    }
}

static void begin_reset(Virtio *v)
{
    uint8_t before = virtio_status(v);

    clear_registers(v);
    virtio_stop_queues(v);
    if (before) {
        v->status_before = before;
        if (!v->resetting) { /* else that is under way */
            v->resetting = true;
            device_post(v->transport->dev, v->transport->settle);
        }
    }
}

void virtio_set_status(Virtio *v, uint8_t status)
{
    const char *name = device_name(v->transport->dev);
    uint8_t old = __atomic_load_n(&v->status, __ATOMIC_RELAXED);
    uint8_t set = status & (uint8_t)~old & (uint8_t)~VIRTIO_S_NEEDS_RESET;

    log_if(LOG_VIRTIO, "%s: status 0x%02x, was 0x%02x", name, status, old);
    if (status == 0) {
        begin_reset(v);
        return;
    }
    if (old & ~(status | VIRTIO_S_NEEDS_RESET)) {
        guest_error(name, "the driver clears status bits 0x%02x (2.1.1)", old & ~status);
    }
    if (set & VIRTIO_S_FEATURES_OK) {
        if (!features_fit(v)) {
            guest_error(name, "the driver's features 0x%" PRIx64 " do not fit 0x%" PRIx64, v->driver_features,
                        virtio_offered_features(v));
            set &= (uint8_t)~VIRTIO_S_FEATURES_OK;
        } else if (!v->resetting) {
            virtio_accept_features(v);
        }
    }
    if (set & VIRTIO_S_DRIVER_OK && !((old | set) & VIRTIO_S_FEATURES_OK)) {
        guest_error(name, "DRIVER_OK without FEATURES_OK");
        set &= (uint8_t)~VIRTIO_S_DRIVER_OK;
    }
    __atomic_fetch_or(&v->status, set, __ATOMIC_RELAXED);
    if (set & VIRTIO_S_DRIVER_OK) {
        virtio_settle(v);
    }
}

void virtio_config_load(Virtio *v, uint32_t offset, void *data, uint32_t length)
{
    uint8_t config[VIRTIO_CONFIG_MAX] = { 0 };

    memset(data, 0, length);
    if (offset < v->class->config_size) {
        v->class->config_read(v, config);
        memcpy(data, config + offset, MIN(length, v->class->config_size - offset));
    }
}

void virtio_config_store(Virtio *v, uint32_t offset, const void *data, uint32_t length)
{
    if (v->class->config_write && offset < v->class->config_size && length <= v->class->config_size - offset) {
        v->class->config_write(v, offset, data, length);
    }
}

/* ---- saved state ---- */

/* Until FEATURES_OK a driver may have written anything there. */
static bool virtio_check(const void *opaque, GError **error)
{
    const Virtio *v = opaque;
    uint64_t unknown = v->driver_features & ~virtio_offered_features((Virtio *)v);

    if ((v->status & VIRTIO_S_FEATURES_OK) && unknown) {
        return error_set(error, "the saved driver uses features 0x%" PRIx64 " that this device does not offer",
                         unknown);
    }
    return true;
}

static bool virtio_loaded(void *opaque, GError **error)
{
    Virtio *v = opaque;

    if (v->status & VIRTIO_S_FEATURES_OK) {
        virtio_accept_features(v);
    }
    return true;
}

static const StateDesc virtio_state = {
    .name = "virtio",
    .version = 1,
    .check = virtio_check,
    .loaded = virtio_loaded,
    .fields = (const StateField[]) {
        STATE_U8(Virtio, status),
        STATE_U8(Virtio, isr),
        STATE_U32(Virtio, device_features_sel),
        STATE_U32(Virtio, driver_features_sel),
        STATE_U64(Virtio, driver_features),
        STATE_U32(Virtio, config_generation),
        STATE_END
    },
};

/* ---- lifecycle: main thread ---- */

static Virtio *virtio(Device *dev)
{
    return (Virtio *)dev;
}

static void virtio_device_reset(Device *dev)
{
    Virtio *v = virtio(dev);

    g_assert(v->paused || !v->started);
    virtio_drop_queues(v);
    clear_registers(v);
    v->config_generation = 0;
    v->resetting = false;
    if (v->class->reset) {
        v->class->reset(v);
    }
}

static bool virtio_realize(Device *dev, GError **error)
{
    Virtio *v = virtio(dev);

    v->class = (const VirtioClass *)dev->class;
    v->transport = ((VirtioBus *)dev->bus)->transport;
    v->dma = v->transport->dma;
    v->transport->virtio = v;
    return true;
}

static void virtio_unrealize(Device *dev)
{
    Virtio *v = virtio(dev);

    g_assert(v->queues == 0);
    v->transport->virtio = NULL;
}

static const Property virtio_props[] = {
    PROP_BOOL("indirect_desc", Virtio, indirect_desc, true, .help = "Offer indirect descriptors"),
    PROP_BOOL("event_idx", Virtio, event_idx, true, .help = "Offer event indices, which save exits and interrupts"),
    PROP_BOOL("packed", Virtio, packed, false, .help = "Offer packed rings"),
    PROP_BOOL("iommu_platform", Virtio, iommu_platform, false,
              .help = "Demand that DMA goes through the platform's IOMMU"),
    PROP_BOOL("queue_reset", Virtio, queue_reset, true, .help = "Offer the reset of single queues"),
    PROP_END
};

const DeviceClass virtio_device_class = {
    .name = "virtio-device",
    .desc = "Virtio device",
    .size = sizeof(Virtio),
    .bus = &virtio_bus_class,
    .props = virtio_props,
    .state = &virtio_state,
    .abstract = true,
    .realize = virtio_realize,
    .unrealize = virtio_unrealize,
    .reset = virtio_device_reset,
    .pause = virtio_pause,
    .resume = virtio_resume,
};

/* ---- the bus between a transport and its device ---- */

static bool virtio_bus_attach(Bus *bus, Device *dev, GError **error)
{
    if (bus->full) {
        return error_set(error, "bus '%s' has a device already", bus->name);
    }
    bus->full = true;
    return true;
}

static void virtio_bus_detach(Bus *bus, Device *dev)
{
    bus->full = false;
}

static void virtio_bus_plugged(Bus *bus, Device *dev)
{
    VirtioTransport *t = ((VirtioBus *)bus)->transport;

    t->virtio->plugged = true;
    if (t->set_doorbells) {
        t->set_doorbells(t, true);
    }
}

static char *virtio_bus_address(Device *dev)
{
    return g_strdup("virtio-backend");
}

const BusClass virtio_bus_class = {
    .name = "virtio-bus",
    .missing = "On machines with PCI the device's name ends in -pci.",
    .size = sizeof(VirtioBus),
    .attach = virtio_bus_attach,
    .detach = virtio_bus_detach,
    .plugged = virtio_bus_plugged,
    .address = virtio_bus_address,
};
