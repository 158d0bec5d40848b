/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtqueue on its loop.
 */
#include "queue-rig.h"

#include <string.h>

static void notify_queue(VirtioTransport *t, Virtqueue *vq)
{
    ((QueueRig *)((char *)t - offsetof(QueueRig, transport)))->interrupts++;
}

static void notify_queue_soon(VirtioTransport *t, Virtqueue *vq)
{
    ((QueueRig *)((char *)t - offsetof(QueueRig, transport)))->interrupts_soon++;
}

static void notify_config(VirtioTransport *t)
{
    ((QueueRig *)((char *)t - offsetof(QueueRig, transport)))->config_interrupts++;
}

static void ready(void *opaque)
{
    Virtqueue *vq = opaque;

    ((QueueRig *)vq->virtio)->readies++; /* virtio comes first in it */
}

void rig_setup(QueueRig *r)
{
    const RamBacking backing = { .kind = RAM_ANONYMOUS };

    memset(r, 0, sizeof(*r));
    r->loop = loop_new("rig", LOOP_ENGINE_AUTO, NULL);
    loop_run_once(r->loop, false); /* it is this thread's */
    r->block = ram_block_new("rig", RIG_RAM_SIZE, &backing, NULL);
    memory_region_init(&r->root, "root", UINT64_MAX);
    memory_region_init_ram(&r->mr, "ram", r->block, 0, RIG_RAM_SIZE);
    memory_add(&r->root, 0, &r->mr, 0);
    r->space = address_space_new("rig", &r->root, false);
    dma_space_init(&r->dma, r->space);
    dma_space_set_enabled(&r->dma, true);
    r->device.id = (char *)"rig";
    r->device.lock = &r->device.own_lock;
    r->transport = (VirtioTransport) { .dev = &r->device, .virtio = &r->virtio, .dma = &r->dma,
                                       .notify_queue = notify_queue, .notify_queue_soon = notify_queue_soon,
                                       .notify_config = notify_config };
    r->virtio.class = &r->class;
    r->virtio.transport = &r->transport;
    r->virtio.dev.loop = r->loop;
    r->virtio.status = VIRTIO_S_DRIVER_OK | VIRTIO_S_FEATURES_OK;
    r->vq = virtqueue_new(&r->virtio, 0, DRIVER_QUEUE_MAX, r->loop, NULL);
}

void rig_start(QueueRig *r, unsigned size, uint64_t features)
{
    VirtqueueSetup *setup = virtqueue_setup(r->vq);

    driver_queue_init(&r->driver, ram_block_host(r->block), 0x1000, size, features & VIRTIO_BIT(VIRTIO_F_RING_PACKED),
                      features & VIRTIO_BIT(VIRTIO_F_EVENT_IDX));
    setup->size = (uint16_t)size;
    setup->desc = r->driver.desc;
    setup->avail = r->driver.avail;
    setup->used = r->driver.used;
    if (virtqueue_map(r->vq, &r->dma, features)) {
        virtqueue_run(r->vq, ready);
    }
}

void rig_stop(QueueRig *r)
{
    virtqueue_suspend(r->vq);
    virtqueue_unmap(r->vq);
}

void rig_teardown(QueueRig *r)
{
    rig_stop(r);
    virtqueue_free(r->vq);
    address_space_free(r->space);
    memory_remove(&r->mr);
    memory_region_finish(&r->mr);
    memory_region_finish(&r->root);
    ram_block_unref(r->block);
    loop_free(r->loop);
}
