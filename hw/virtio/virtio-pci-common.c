/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio over PCI: the registers of the common configuration, Virtio 1.2 section
 * 4.1.4.3.  A queue's registers are those of the queue that queue_select names.
 *
 * Left out: queue_notify_data (no VIRTIO_F_NOTIF_CONFIG_DATA) and the administration
 * queue; they read as zero.
 *
 * Locking: the device lock is held; vectors, which queues' loops read, are atomics.
 */
#include <linux/virtio_pci.h>

#include "hw/virtio/virtio-pci-internal.h"
#include "vmm/error.h"

uint16_t virtio_pci_usable_vector(const VirtioPci *p, uint16_t vector)
{
    return vector < p->vectors ? vector : VIRTQUEUE_NO_VECTOR; /* 4.1.5.1.2.1: reads back as "none" */
}

static uint32_t feature_word(uint64_t features, uint32_t word)
{
    return word < 2 ? (uint32_t)(features >> (32 * word)) : 0;
}

static uint64_t queue_register(const VirtioPci *p, uint64_t offset)
{
    Virtqueue *vq = virtio_queue(p->transport.virtio, p->queue_select);
    const VirtqueueSetup *s;

    if (!vq) {
        return 0; /* queue_size 0: there is no such queue */
    }
    s = virtqueue_setup(vq);
    switch (offset) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
        return s->size;
    case VIRTIO_PCI_COMMON_Q_MSIX:
        return s->vector;
    case VIRTIO_PCI_COMMON_Q_ENABLE:
        return s->enabled;
    case VIRTIO_PCI_COMMON_Q_NOFF:
        return virtqueue_index(vq);
    case VIRTIO_PCI_COMMON_Q_DESCLO:
        return (uint32_t)s->desc;
    case VIRTIO_PCI_COMMON_Q_DESCHI:
        return s->desc >> 32;
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
        return (uint32_t)s->avail;
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
        return s->avail >> 32;
    case VIRTIO_PCI_COMMON_Q_USEDLO:
        return (uint32_t)s->used;
    case VIRTIO_PCI_COMMON_Q_USEDHI:
        return s->used >> 32;
    case VIRTIO_PCI_COMMON_Q_NDATA:
        return 0;
    case VIRTIO_PCI_COMMON_Q_RESET:
        return virtio_queue_resetting(vq);
    default:
        return 0;
    }
}

static uint64_t common_read(void *opaque, uint64_t offset, unsigned size)
{
    const VirtioPci *p = opaque;
    Virtio *v = p->transport.virtio;

    switch (offset) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        return v->device_features_sel;
    case VIRTIO_PCI_COMMON_DF:
        return feature_word(virtio_offered_features(v), v->device_features_sel);
    case VIRTIO_PCI_COMMON_GFSELECT:
        return v->driver_features_sel;
    case VIRTIO_PCI_COMMON_GF:
        return feature_word(v->driver_features, v->driver_features_sel);
    case VIRTIO_PCI_COMMON_MSIX:
        return p->config_vector;
    case VIRTIO_PCI_COMMON_NUMQ:
        return v->queues;
    case VIRTIO_PCI_COMMON_STATUS:
        return virtio_status(v);
    case VIRTIO_PCI_COMMON_CFGGENERATION:
        return (uint8_t)__atomic_load_n(&v->config_generation, __ATOMIC_ACQUIRE);
    case VIRTIO_PCI_COMMON_Q_SELECT:
        return p->queue_select;
    default:
        return queue_register(p, offset);
    }
}

static void set_low(uint64_t *address, uint64_t value)
{
    *address = (*address & ~(uint64_t)UINT32_MAX) | (uint32_t)value;
}

static void set_high(uint64_t *address, uint64_t value)
{
    *address = (uint32_t)*address | value << 32;
}

static void set_size(VirtioPci *p, VirtqueueSetup *s, uint16_t size)
{
    if (size == 0 || size > s->size_max) {
        guest_error(device_name(&p->pci.dev), "%u is no size for a queue of at most %u entries", size, s->size_max);
        return;
    }
    s->size = size;
}

/* What may only be written while the queue is off, 4.1.4.3.2. */
static void queue_setup(VirtioPci *p, VirtqueueSetup *s, uint64_t offset, uint64_t value)
{
    if (s->enabled) {
        guest_error(device_name(&p->pci.dev), "a register of an enabled queue is written");
        return;
    }
    switch (offset) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
        set_size(p, s, (uint16_t)value);
        break;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
        set_low(&s->desc, value);
        break;
    case VIRTIO_PCI_COMMON_Q_DESCHI:
        set_high(&s->desc, value);
        break;
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
        set_low(&s->avail, value);
        break;
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
        set_high(&s->avail, value);
        break;
    case VIRTIO_PCI_COMMON_Q_USEDLO:
        set_low(&s->used, value);
        break;
    case VIRTIO_PCI_COMMON_Q_USEDHI:
        set_high(&s->used, value);
        break;
    }
}

static void queue_write(VirtioPci *p, uint64_t offset, uint64_t value)
{
    Virtio *v = p->transport.virtio;
    Virtqueue *vq = virtio_queue(v, p->queue_select);
    VirtqueueSetup *s;

    if (!vq) {
        return;
    }
    s = virtqueue_setup(vq);
    switch (offset) {
    case VIRTIO_PCI_COMMON_Q_MSIX:
        __atomic_store_n(&s->vector, virtio_pci_usable_vector(p, (uint16_t)value), __ATOMIC_RELAXED);
        if (v->class->start_outside) {
            virtio_serve_anew_soon(vq); /* who serves it may ring the vector without asking */
        }
        break;
    case VIRTIO_PCI_COMMON_Q_ENABLE:
        if (value == 1) {
            virtio_enable_queue(v, vq);
        }
        break;
    case VIRTIO_PCI_COMMON_Q_RESET:
        if (value == 1 && virtio_has(v, VIRTIO_F_RING_RESET)) {
            virtio_reset_queue(v, vq);
        }
        break;
    default:
        queue_setup(p, s, offset, value);
    }
}

static void write_status(VirtioPci *p, uint8_t status)
{
    virtio_set_status(p->transport.virtio, status);
    if (status == 0) {
        __atomic_store_n(&p->config_vector, VIRTQUEUE_NO_VECTOR, __ATOMIC_RELAXED);
        p->queue_select = 0;
        virtio_pci_update_intx(p);
    }
}

static void common_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    VirtioPci *p = opaque;
    Virtio *v = p->transport.virtio;

    switch (offset) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        v->device_features_sel = (uint32_t)value;
        break;
    case VIRTIO_PCI_COMMON_GFSELECT:
        v->driver_features_sel = (uint32_t)value;
        break;
    case VIRTIO_PCI_COMMON_GF:
        virtio_set_driver_features(v, v->driver_features_sel, (uint32_t)value);
        break;
    case VIRTIO_PCI_COMMON_MSIX:
        __atomic_store_n(&p->config_vector, virtio_pci_usable_vector(p, (uint16_t)value), __ATOMIC_RELAXED);
        break;
    case VIRTIO_PCI_COMMON_STATUS:
        write_status(p, (uint8_t)value);
        break;
    case VIRTIO_PCI_COMMON_Q_SELECT:
        p->queue_select = (uint16_t)value;
        break;
    default:
        queue_write(p, offset, value);
    }
}

const MemoryOps virtio_pci_common_ops = {
    .read = common_read, .write = common_write, .min = 1, .max = 8, .impl_min = 1, .impl_max = 4
};
