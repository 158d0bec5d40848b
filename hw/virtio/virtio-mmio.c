/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio over MMIO, Virtio 1.2 section 4.2, version 2 (no legacy interface, no
 * shared memory regions): one transport, 512 bytes and one interrupt, with room
 * for one device.  An empty one reads as device id 0.
 *
 * Locking: the device lock (the framework's) around every hook; notify hooks come
 * from the queues' loops and touch atomics only.
 */
#include <linux/virtio_mmio.h>

#include "hw/virtio/virtio.h"
#include "vmm/domain.h"
#include "vmm/error.h"

#define MAGIC        0x74726976 /* "virt" */
#define VERSION      2
#define VENDOR       0x554d4551 /* "QEMU": what drivers have seen so far */
#define REGION_SIZE  0x200
#define CONFIG_SPACE 0x100
#define QUEUE_RESET  0x0c0

typedef struct VirtioMmio {
    Device dev;
    VirtioTransport transport;
    VirtioBus bus;
    DmaSpace dma;
    MemoryRegion mr;
    /* Configuration */
    uint64_t base;
    uint32_t gsi;
    IrqLine *irq;
    /* Guest state */
    uint32_t queue_select;
} VirtioMmio;

static VirtioMmio *virtio_mmio(Device *dev)
{
    return (VirtioMmio *)dev;
}

static VirtioMmio *of_transport(VirtioTransport *t)
{
    return virtio_mmio(t->dev);
}

/* ---- interrupts ---- */

/* The line follows InterruptStatus.  Two threads may race; who sets it last saw the newest bits. */
static void update_irq(VirtioMmio *m)
{
    Virtio *v = m->transport.virtio;
    bool level;

    if (!v) {
        irq_set(m->irq, false);
        return;
    }
    do {
        level = __atomic_load_n(&v->isr, __ATOMIC_SEQ_CST) != 0;
        irq_set(m->irq, level);
    } while (level != (__atomic_load_n(&v->isr, __ATOMIC_SEQ_CST) != 0));
}

static void notify_queue(VirtioTransport *t, Virtqueue *vq)
{
    __atomic_fetch_or(&t->virtio->isr, VIRTIO_ISR_QUEUE, __ATOMIC_SEQ_CST);
    update_irq(of_transport(t));
}

static void notify_config(VirtioTransport *t)
{
    __atomic_fetch_or(&t->virtio->isr, VIRTIO_ISR_CONFIG, __ATOMIC_SEQ_CST);
    update_irq(of_transport(t));
}

/* ---- registers, 4.2.2 ---- */

static uint64_t queue_read(const VirtioMmio *m, uint64_t offset)
{
    Virtqueue *vq = virtio_queue(m->transport.virtio, m->queue_select);

    if (!vq) {
        return 0;
    }
    switch (offset) {
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return virtqueue_setup(vq)->size_max;
    case VIRTIO_MMIO_QUEUE_READY:
        return virtqueue_setup(vq)->enabled;
    case QUEUE_RESET:
        return virtio_queue_resetting(vq);
    default:
        return 0; /* write-only */
    }
}

static uint64_t register_read(const VirtioMmio *m, uint64_t offset)
{
    Virtio *v = m->transport.virtio;
    uint64_t features;

    switch (offset) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return MAGIC;
    case VIRTIO_MMIO_VERSION:
        return VERSION;
    case VIRTIO_MMIO_DEVICE_ID:
        return v ? v->class->id : 0;
    case VIRTIO_MMIO_VENDOR_ID:
        return VENDOR;
    }
    if (!v) {
        return 0;
    }
    switch (offset) {
    case VIRTIO_MMIO_DEVICE_FEATURES:
        features = virtio_offered_features(v);
        return v->device_features_sel < 2 ? (uint32_t)(features >> (32 * v->device_features_sel)) : 0;
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        return __atomic_load_n(&v->isr, __ATOMIC_SEQ_CST);
    case VIRTIO_MMIO_STATUS:
        return virtio_status(v);
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return __atomic_load_n(&v->config_generation, __ATOMIC_ACQUIRE);
    case VIRTIO_MMIO_SHM_LEN_LOW:
    case VIRTIO_MMIO_SHM_LEN_HIGH:
        return UINT32_MAX; /* 4.2.2.1: there is no such region */
    default:
        return queue_read(m, offset);
    }
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    const VirtioMmio *m = opaque;
    uint64_t value = 0;

    if (offset >= CONFIG_SPACE) {
        if (m->transport.virtio) {
            virtio_config_load(m->transport.virtio, (uint32_t)(offset - CONFIG_SPACE), &value, size);
        }
        return value;
    }
    return size == 4 ? register_read(m, offset) : 0;
}

static void write_ready(Virtio *v, Virtqueue *vq, uint32_t value)
{
    if (value == 1) {
        virtio_enable_queue(v, vq);
    } else if (value == 0 && virtqueue_setup(vq)->enabled) {
        virtio_reset_queue(v, vq); /* 4.2.2.2: stops the queue */
    }
}

static void setup_write(VirtioMmio *m, VirtqueueSetup *s, uint64_t offset, uint32_t value)
{
    if (s->enabled) {
        guest_error(device_name(&m->dev), "a register of an enabled queue is written");
        return;
    }
    switch (offset) {
    case VIRTIO_MMIO_QUEUE_NUM:
        s->size = (uint16_t)MIN(value, UINT16_MAX);
        break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
        s->desc = (s->desc >> 32 << 32) | value;
        break;
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        s->desc = (uint32_t)s->desc | (uint64_t)value << 32;
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
        s->avail = (s->avail >> 32 << 32) | value;
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
        s->avail = (uint32_t)s->avail | (uint64_t)value << 32;
        break;
    case VIRTIO_MMIO_QUEUE_USED_LOW:
        s->used = (s->used >> 32 << 32) | value;
        break;
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        s->used = (uint32_t)s->used | (uint64_t)value << 32;
        break;
    }
}

static void queue_write(VirtioMmio *m, uint64_t offset, uint32_t value)
{
    Virtio *v = m->transport.virtio;
    Virtqueue *vq = virtio_queue(v, m->queue_select);

    if (!vq) {
        return;
    }
    switch (offset) {
    case VIRTIO_MMIO_QUEUE_READY:
        write_ready(v, vq, value);
        break;
    case QUEUE_RESET:
        if (value == 1 && virtio_has(v, VIRTIO_F_RING_RESET)) {
            virtio_reset_queue(v, vq);
        }
        break;
    default:
        setup_write(m, virtqueue_setup(vq), offset, value);
    }
}

static void register_write(VirtioMmio *m, uint64_t offset, uint32_t value)
{
    Virtio *v = m->transport.virtio;
    Virtqueue *vq;

    switch (offset) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        v->device_features_sel = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        v->driver_features_sel = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        virtio_set_driver_features(v, v->driver_features_sel, value);
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        m->queue_select = value;
        break;
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        if ((vq = virtio_queue(v, value))) {
            virtqueue_kick(vq);
        }
        break;
    case VIRTIO_MMIO_INTERRUPT_ACK:
        __atomic_fetch_and(&v->isr, (uint8_t)~value, __ATOMIC_SEQ_CST);
        update_irq(m);
        break;
    case VIRTIO_MMIO_STATUS:
        virtio_set_status(v, (uint8_t)value);
        if (value == 0) {
            m->queue_select = 0;
            update_irq(m);
        }
        break;
    default:
        queue_write(m, offset, value);
    }
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    VirtioMmio *m = opaque;

    if (!m->transport.virtio) {
        return;
    }
    if (offset >= CONFIG_SPACE) {
        virtio_config_store(m->transport.virtio, (uint32_t)(offset - CONFIG_SPACE), &value, size);
    } else if (size == 4) {
        register_write(m, offset, (uint32_t)value);
    }
}

static const MemoryOps mmio_ops = { .read = mmio_read, .write = mmio_write, .min = 1, .max = 8, .impl_min = 1,
                                    .impl_max = 4 };

/* ---- life ---- */

static void settle(Device *dev)
{
    Virtio *v = virtio_mmio(dev)->transport.virtio;

    if (v) {
        virtio_settle(v);
    }
}

/* Writes to QueueNotify of queue n ring its doorbell without an exit. */
static void set_doorbells(VirtioTransport *t, bool on)
{
    VirtioMmio *m = of_transport(t);
    Virtio *v = t->virtio;

    memory_begin();
    for (unsigned i = 0; i < v->queues; i++) {
        MemoryDoorbell doorbell = { .offset = VIRTIO_MMIO_QUEUE_NOTIFY, .size = 4, .match = true, .data = i,
                                    .eventfd = virtqueue_doorbell(v->queue[i]) };

        (on ? memory_add_doorbell : memory_remove_doorbell)(&m->mr, &doorbell);
    }
    memory_commit();
}

static void name_bus(VirtioMmio *m)
{
    for (unsigned n = 0;; n++) {
        g_autofree char *name = g_strdup_printf("virtio-mmio-bus.%u", n);

        if (!bus_find(m->dev.domain, name)) {
            bus_init(&m->bus.bus, &virtio_bus_class, m->dev.domain, &m->dev, name);
            return;
        }
    }
}

static bool virtio_mmio_realize(Device *dev, GError **error)
{
    VirtioMmio *m = virtio_mmio(dev);

    dma_space_init(&m->dma, domain_memory(dev->domain));
    dma_space_set_enabled(&m->dma, true);
    m->irq = gsi_line(domain_irqs(dev->domain), m->gsi);
    m->transport = (VirtioTransport) { .dev = dev, .dma = &m->dma, .notify_queue = notify_queue,
                                       .notify_config = notify_config, .settle = settle,
                                       .set_doorbells = set_doorbells };
    m->bus.transport = &m->transport;
    name_bus(m);
    device_init_io(dev, &m->mr, "virtio-mmio", &mmio_ops, REGION_SIZE);
    memory_add(domain_memory_root(dev->domain), m->base, &m->mr, 0);
    return true;
}

static void virtio_mmio_unrealize(Device *dev)
{
    bus_finish(&virtio_mmio(dev)->bus.bus);
}

static void virtio_mmio_reset(Device *dev)
{
    VirtioMmio *m = virtio_mmio(dev);

    m->queue_select = 0;
    update_irq(m);
}

static bool virtio_mmio_loaded(void *opaque, GError **error)
{
    irq_resync(((VirtioMmio *)opaque)->irq);
    return true;
}

static const StateDesc virtio_mmio_state = {
    .name = "virtio-mmio",
    .version = 1,
    .loaded = virtio_mmio_loaded,
    .fields = (const StateField[]) {
        STATE_U32(VirtioMmio, queue_select),
        STATE_END
    },
};

static const Property virtio_mmio_props[] = {
    PROP_UINT("base", VirtioMmio, base, 0, .flags = FIELD_REQUIRED, .help = "Guest-physical address"),
    PROP_UINT("gsi", VirtioMmio, gsi, 0, .max = IRQ_GSIS - 1, .help = "Interrupt"),
    PROP_END
};

const DeviceClass virtio_mmio_class = {
    .name = "virtio-mmio",
    .desc = "Virtio transport over MMIO",
    .category = "Bridge",
    .size = sizeof(VirtioMmio),
    .props = virtio_mmio_props,
    .state = &virtio_mmio_state,
    .board_only = true,
    .realize = virtio_mmio_realize,
    .unrealize = virtio_mmio_unrealize,
    .reset = virtio_mmio_reset,
};
