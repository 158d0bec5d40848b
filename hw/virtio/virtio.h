/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio devices (Virtual I/O Device 1.2, OASIS): status, feature negotiation,
 * config space, queues.  A device is a VirtioClass; the transports (virtio-pci,
 * virtio-mmio) know no device and a device knows no transport.
 *
 * Threads: register accesses come with the transport's device lock held; each
 * virtqueue belongs to one loop, which alone touches it (vmm design, owners).
 * DRIVER_OK starts the queues on their loops, reset and pause quiesce them.
 */
#pragma once

#include "hw/virtio/virtqueue.h"
#include "vmm/device.h"
#include "vmm/dma.h"

typedef struct Virtio Virtio;
typedef struct VirtioClass VirtioClass;
typedef struct VirtioTransport VirtioTransport;

#define VIRTIO_QUEUES_MAX 1024

/* 2.1 */
enum { VIRTIO_S_ACKNOWLEDGE = 1, VIRTIO_S_DRIVER = 2, VIRTIO_S_DRIVER_OK = 4, VIRTIO_S_FEATURES_OK = 8,
       VIRTIO_S_NEEDS_RESET = 64, VIRTIO_S_FAILED = 128 };
/* 6 */
enum { VIRTIO_F_NOTIFY_ON_EMPTY = 24, VIRTIO_F_ANY_LAYOUT = 27, VIRTIO_F_INDIRECT_DESC = 28, VIRTIO_F_EVENT_IDX = 29,
       VIRTIO_F_VERSION_1 = 32, VIRTIO_F_ACCESS_PLATFORM = 33, VIRTIO_F_RING_PACKED = 34, VIRTIO_F_IN_ORDER = 35,
       VIRTIO_F_ORDER_PLATFORM = 36, VIRTIO_F_NOTIFICATION_DATA = 38, VIRTIO_F_RING_RESET = 40 };
#define VIRTIO_BIT(F) (UINT64_C(1) << (F))

struct VirtioClass {
    DeviceClass device;   /* name "virtio-blk-device", plugs into virtio_bus_class; struct begins with Virtio */
    const char *pci_name; /* "virtio-blk-pci"; NULL: none */
    uint16_t id;          /* 5 */
    uint16_t pci_class;   /* class code of its PCI function */
    uint32_t config_size;
    uint64_t (*features)(Virtio *v);                 /* device bits offered; ring bits are the core's */
    void (*set_features)(Virtio *v, uint64_t bits);  /* at FEATURES_OK */
    void (*config_read)(Virtio *v, uint8_t *config); /* fills config_size bytes, little endian */
    void (*config_write)(Virtio *v, uint32_t offset, const uint8_t *data, uint32_t length); /* NULL: read-only */
    void (*queue_ready)(Virtio *v, Virtqueue *vq);   /* on the queue's loop: chains are there */
    bool (*start)(Virtio *v, GError **error);        /* DRIVER_OK; NULL: nothing */
    void (*stop)(Virtio *v);   /* queues are detached from their loops; in-flight requests are done or held */
    void (*reset_queue)(Virtio *v, Virtqueue *vq);
};

struct Virtio {
    Device dev;
    const VirtioClass *class;
    VirtioTransport *transport;
    DmaSpace *dma;
    /* Configuration: properties of every virtio device */
    bool indirect_desc, event_idx, packed, iommu_platform, in_order, queue_reset;
    /* Guest state */
    uint8_t status, isr;
    uint32_t device_features_sel, driver_features_sel;
    uint64_t driver_features;
    uint32_t config_generation;
    /* Set by the device's realize */
    unsigned queues;
    Virtqueue **queue;
    bool started;
};

extern const DeviceClass virtio_device_class; /* abstract base: the properties above */
extern const BusClass virtio_bus_class;

static inline bool virtio_has(const Virtio *v, unsigned feature)
{
    return v->driver_features & VIRTIO_BIT(feature);
}

/* ---- for devices ---- */
/* realize: a queue of at most `size` entries on `loop` (NULL: the main loop). */
Virtqueue *virtio_add_queue(Virtio *v, uint16_t size, Loop *loop);
void virtio_remove_queues(Virtio *v);
void virtio_config_changed(Virtio *v); /* any thread: generation and interrupt */
void virtio_set_broken(Virtio *v, const char *fmt, ...) G_GNUC_PRINTF(2, 3); /* 2.1.2: NEEDS_RESET, interrupt */

/* ---- between device and transport ---- */
struct VirtioTransport {
    void (*notify_queue)(VirtioTransport *t, Virtqueue *vq); /* used buffers; the queue's loop */
    void (*notify_config)(VirtioTransport *t);
    void *opaque;
};
uint64_t virtio_offered_features(Virtio *v);
void virtio_set_status(Virtio *v, uint8_t status); /* 3.1; 0 resets */
void virtio_reset(Virtio *v);
void virtio_config_load(Virtio *v, uint32_t offset, void *data, uint32_t length);
void virtio_config_store(Virtio *v, uint32_t offset, const void *data, uint32_t length);
extern const StateDesc virtio_state; /* of Virtio: status, features, queues */
