/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtqueue on its loop, over RAM that the test owns, with a transport that
 * counts: for unit tests and fuzz targets of the rings.
 */
#pragma once

#include "hw/virtio/virtio.h"
#include "hw/virtio/virtqueue-ring.h"
#include "virtio-driver.h"

#define RIG_RAM_SIZE (UINT64_C(1) << 20)

typedef struct QueueRig {
    Virtio virtio;
    VirtioClass class;
    VirtioTransport transport;
    Device device;
    DmaSpace dma;
    AddressSpace *space;
    MemoryRegion root, mr;
    RamBlock *block;
    Loop *loop;
    Virtqueue *vq;
    DriverQueue driver;
    unsigned interrupts, interrupts_soon, config_interrupts, readies;
} QueueRig;

/* Fills *r; rig_teardown() frees what it made. */
void rig_setup(QueueRig *r);
/* An empty ring of `size` entries at address 0x1000, running. */
void rig_start(QueueRig *r, unsigned size, uint64_t features);
void rig_stop(QueueRig *r);
void rig_teardown(QueueRig *r);
