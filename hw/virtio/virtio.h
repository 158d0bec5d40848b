/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio devices (Virtual I/O Device 1.2, OASIS): status, feature negotiation,
 * config space, queues.  A device is a VirtioClass; the transports (virtio-pci,
 * virtio-mmio) know no device and a device knows no transport.
 *
 * Threads: registers (status, features, config, queue setup) are guarded by the
 * transport's device lock.  Each virtqueue belongs to one loop, which alone
 * touches it.  The two meet in one place, virtio_settle(): it runs under the
 * lock and brings the queues to what status, queue setup and pause ask for.
 *
 *   driver                  core (lock)                 queue's loop
 *   DRIVER_OK        ---->  settle: map, post    ---->  run: doorbell, queue_ready
 *   status 0         ---->  post                 ---->  suspend, drop_queue, wait for busy
 *                           settle: class->reset <----  unmap
 *   (reads status 0  <----  when settled)
 *   queue_reset 1    the same for one queue; it reads 1 until settled
 *   pause (main thread)     calls                ---->  suspend; waits until all are quiet
 *
 * A reset is never waited for on a vCPU thread.  A PCI driver polls until status
 * reads 0 (4.1.4.3.2); for MMIO the registers read as reset at once and a new
 * DRIVER_OK takes effect when the old requests are done.
 */
#pragma once

#include <linux/virtio_config.h>

#include "hw/virtio/virtqueue.h"
#include "vmm/device.h"
#include "vmm/dma.h"
#include "vmm/vhost.h"

typedef struct Virtio Virtio;
typedef struct VirtioClass VirtioClass;
typedef struct VirtioTransport VirtioTransport;

#define VIRTIO_QUEUES_MAX 1024
#define VIRTIO_CONFIG_MAX 256

/* 2.1 */
enum { VIRTIO_S_ACKNOWLEDGE = 1, VIRTIO_S_DRIVER = 2, VIRTIO_S_DRIVER_OK = 4, VIRTIO_S_FEATURES_OK = 8,
       VIRTIO_S_NEEDS_RESET = 64, VIRTIO_S_FAILED = 128 };
/* 6; the other reserved bits are named by <linux/virtio_config.h> */
enum { VIRTIO_F_INDIRECT_DESC = 28, VIRTIO_F_EVENT_IDX = 29 };
#define VIRTIO_BIT(F) (UINT64_C(1) << (F))
/* 4.1.4.5, 4.2.2: interrupt status */
enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };

struct VirtioClass {
    DeviceClass device;   /* name "virtio-blk-device", base virtio_device_class; struct begins with Virtio */
    uint16_t id;          /* 5 */
    uint16_t pci_class;   /* class code of its PCI function */
    uint32_t config_size; /* at most VIRTIO_CONFIG_MAX */
    uint64_t (*features)(Virtio *v);                 /* device bits offered; ring bits are the core's */
    void (*set_features)(Virtio *v, uint64_t bits);  /* at FEATURES_OK and after a load; NULL: nothing */
    void (*config_read)(Virtio *v, uint8_t *config); /* fills config_size bytes, little endian */
    void (*config_write)(Virtio *v, uint32_t offset, const uint8_t *data, uint32_t length); /* NULL: read-only */
    /* The queue's loop: chains may be there.  Pops what it can take. */
    void (*queue_ready)(Virtio *v, Virtqueue *vq);
    /* Optional: offered features (of the ring, too) that are impossible now. */
    uint64_t (*impossible)(Virtio *v);
    /* Optional; the queue's loop: somebody else serves it from now on (vmm/vhost.h), with the features that the driver
     * had when it was mapped; false: nobody.  And no longer; false: they have not said how far they came. */
    bool (*start_outside)(Virtio *v, Virtqueue *vq, const VhostRing *ring, uint64_t features);
    bool (*stop_outside)(Virtio *v, Virtqueue *vq, uint32_t *ret_base);
    /* DRIVER_OK, or resumed after a load: queues are mapped and do not run yet; lock held.  NULL: nothing. */
    bool (*start)(Virtio *v, GError **error);
    /* The queue is being reset, suspended: detach every held chain.  Its loop, or the main thread while
     * paused.  NULL: the device holds none. */
    void (*drop_queue)(Virtio *v, Virtqueue *vq);
    /* All queues are stopped: forget what the driver set up.  Control loop, lock held.  NULL: nothing. */
    void (*reset)(Virtio *v);
    /* Main thread: after the queues became quiet; before they run again.  NULL: nothing. */
    void (*paused)(Virtio *v);
    void (*resuming)(Virtio *v);
};

struct Virtio {
    Device dev;
    const VirtioClass *class;
    VirtioTransport *transport;
    DmaSpace *dma;
    /* Configuration: properties of every virtio device */
    bool indirect_desc, event_idx, packed, iommu_platform, queue_reset;
    unsigned queues;
    Virtqueue **queue;
    bool plugged;
    /* Guest state */
    uint8_t status; /* atomic: NEEDS_RESET comes from any thread */
    uint8_t isr;    /* atomic */
    uint32_t device_features_sel, driver_features_sel;
    uint64_t driver_features;
    uint32_t config_generation; /* atomic */
    /* Data plane; transport's lock */
    bool started;           /* queues run, or will when resumed */
    bool resetting;         /* a reset waits for queues */
    uint8_t status_before;  /* what PCI drivers see until it is settled */
    bool paused;            /* atomic; main thread writes */
};

/* A transport provides this bus with room for one device. */
typedef struct VirtioBus {
    Bus bus;
    VirtioTransport *transport;
} VirtioBus;

extern const DeviceClass virtio_device_class; /* abstract base: the properties above */
extern const BusClass virtio_bus_class;

static inline bool virtio_has(const Virtio *v, unsigned feature)
{
    return v->driver_features & VIRTIO_BIT(feature);
}

/* ---- for devices ---- */
/* realize: a queue of at most `size` entries on `loop` (NULL: the main loop).  NULL: error. */
Virtqueue *virtio_add_queue(Virtio *v, uint16_t size, Loop *loop, GError **error);
void virtio_remove_queues(Virtio *v); /* unrealize, or when realize fails */
/* A queue that is served is stopped, and served again by whom it may: the queue's loop; _soon: any thread. */
void virtio_serve_anew(Virtqueue *vq);
void virtio_serve_anew_soon(Virtqueue *vq);
void virtio_config_changed(Virtio *v); /* any thread: generation and interrupt */
void virtio_set_broken(Virtio *v, const char *fmt, ...) G_GNUC_PRINTF(2, 3); /* 2.1.2: any thread */
static inline bool virtio_is_broken(const Virtio *v)
{
    return __atomic_load_n(&v->status, __ATOMIC_RELAXED) & VIRTIO_S_NEEDS_RESET;
}

/* ---- between device and transport ---- */
struct VirtioTransport {
    Device *dev;       /* whose lock guards the registers */
    Virtio *virtio;    /* NULL: nothing plugged */
    DmaSpace *dma;
    bool polls_reset;  /* its drivers wait until status reads 0 */
    void (*notify_queue)(VirtioTransport *t, Virtqueue *vq); /* used buffers; the queue's loop */
    void (*notify_queue_soon)(VirtioTransport *t, Virtqueue *vq); /* in a batch of that loop; NULL: as notify_queue */
    int (*queue_bell)(VirtioTransport *t, Virtqueue *vq); /* an eventfd that interrupts; -1, or NULL: there is none */
    void (*notify_config)(VirtioTransport *t);               /* any thread */
    void (*settle)(Device *dev);                             /* calls virtio_settle(); posted to dev */
    void (*set_doorbells)(VirtioTransport *t, bool on);      /* the device came, or goes; NULL: nothing to do */
};

/* Register accesses: lock held. */
uint64_t virtio_offered_features(Virtio *v);
void virtio_set_driver_features(Virtio *v, unsigned word, uint32_t bits); /* 32 bits each, words 0 and 1 */
uint8_t virtio_status(const Virtio *v);
void virtio_set_status(Virtio *v, uint8_t status); /* 3.1; 0 resets */
void virtio_settle(Virtio *v);
/* queue_enable (QueueReady): 1 only; setup is complete. */
void virtio_enable_queue(Virtio *v, Virtqueue *vq);
void virtio_reset_queue(Virtio *v, Virtqueue *vq); /* 2.6.1: starts it */
bool virtio_queue_resetting(const Virtqueue *vq);
Virtqueue *virtio_queue(const Virtio *v, unsigned n); /* NULL: there is none */
void virtio_config_load(Virtio *v, uint32_t offset, void *data, uint32_t length); /* zeroes beyond it */
void virtio_config_store(Virtio *v, uint32_t offset, const void *data, uint32_t length);

/* ---- for virtqueue.c ---- */
void virtio_notify_queue(Virtio *v, Virtqueue *vq);
void virtio_notify_queue_soon(Virtio *v, Virtqueue *vq); /* in a batch of the queue's loop */
void virtio_queue_progress(Virtio *v, Virtqueue *vq); /* a chain was given back or held */
