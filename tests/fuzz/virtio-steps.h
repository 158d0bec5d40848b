/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the fuzz targets of virtio devices have in common: a driver that trusts nothing of its own, and bad manners. */
#pragma once

#include <linux/virtio_config.h>

#include "tests/fuzz/input.h"
#include "tests/unit/hw/virtio/virtio-guest.h"

/* Packed rings or not, event index, indirect descriptors: by the input's bits.  And ring reset. */
static inline uint64_t ring_features(unsigned bits)
{
    return (bits & 1 ? UINT64_C(1) << VIRTIO_F_RING_PACKED : 0) | (bits & 2 ? 1 << 29 : 0) |
           (bits & 4 ? 1 << 28 : 0) | UINT64_C(1) << 40;
}

/* Our driver trusts the ring; after a scribble it may be anything, and that must not trip over it. */
static inline void take_used(DriverQueue *q)
{
    uint32_t length;
    uint16_t id;

    while (!q->packed && driver_get16(q, q->used + 2) != q->used_idx && q->free < q->size) {
        uint64_t entry = q->used + 4 + 8 * (q->used_idx % q->size);

        if (driver_get16(q, entry) >= q->size || !q->chain_length[driver_get16(q, entry)] ||
            !driver_take_used(q, &id, &length)) {
            return;
        }
        q->chain_length[id] = 0;
    }
}

static inline void stop_and_go(Rig *r)
{
    device_pause(r->dev->backend);
    g_byte_array_unref(rig_save(r));
    device_resume(r->dev->backend);
}

/* A byte of guest RAM, below `at` + range. */
static inline void scribble(VirtioGuest *g, uint64_t at, unsigned range, Input *in)
{
    unsigned offset = take16(in);

    ((uint8_t *)rig_ram(g->rig, at))[offset % range] = (uint8_t)take(in);
}

/* A register of a window: the common configuration, or the device's. */
static inline void write_register(VirtioGuest *g, uint64_t window, unsigned size_log2, Input *in)
{
    unsigned offset = take(in) % 64;

    rig_write(g->rig, window + offset, take16(in), 1u << size_log2 % 4);
}
