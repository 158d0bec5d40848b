/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole virtio-blk device on PCI over a file, against a driver that does
 * anything: the input is a list of requests, well-formed to a degree, writes to
 * RAM, to the device's registers, resets, pauses and saves.
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/block.h"
#include "tests/fuzz/input.h"
#include "tests/unit/hw/virtio/virtio-guest.h"

#define RINGS_END (GUEST_QUEUES_AT + 0x4000)
#define REQUESTS  0x10000

static void make_disk(Domain *domain)
{
    char path[] = "/tmp/lodge-fuzz-blk-XXXXXX";
    int fd = mkstemp(path);
    g_autofree char *text = g_strdup_printf("driver=raw,node-name=disk0,discard=unmap,detect-zeroes=unmap,"
                                            "file.driver=file,file.filename=%s", path);

    if (fd < 0 || ftruncate(fd, 1 << 20) < 0 || !blockdev_add_text(domain, text, NULL)) {
        abort();
    }
    close(fd);
    unlink(path);
}

/* A request whose parts are likely, not certain. */
static void add_request(VirtioGuest *g, DriverQueue *q, Input *in)
{
    static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID,
                                      VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, 99, VIRTIO_BLK_T_IN };
    unsigned shape = take(in), sector = take16(in), bytes = take16(in);
    uint32_t type = types[shape & 7];
    uint64_t header = REQUESTS + 64 * (shape >> 3), data = REQUESTS + 0x4000 + (uint64_t)(sector % 64) * 512;
    const DriverBuffer buffers[] = {
        { header, 16 + (shape & 8 ? bytes % 40 : 0), shape & 0x80 },
        { data, type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_OUT ? bytes & 0xfe00 : bytes % 64,
          type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID },
        { header + 32, 1 + (shape & 0x40 ? bytes % 17 : 0), true },
    };

    if (q->free < 3) {
        return;
    }
    driver_put32(q, header, type);
    driver_put64(q, header + 8, sector % 2100);
    if (shape & 0x10) {
        driver_add_indirect(q, buffers, 3, REQUESTS + 0x2000 + 64 * (shape >> 3));
    } else {
        driver_add(q, buffers + (shape & 0x20 ? 1 : 0), shape & 0x20 ? 2 : 3);
    }
    if (driver_must_kick(q)) {
        guest_kick(g, 0);
    }
}

static void take_used(DriverQueue *q)
{
    uint32_t length;
    uint16_t id;

    /* A driver that trusts the ring; after a scribble it may be anything, and ours must not trip over it. */
    while (driver_get16(q, q->used + 2) != q->used_idx && !q->packed && q->free < q->size) {
        uint64_t entry = q->used + 4 + 8 * (q->used_idx % q->size);

        if (driver_get16(q, entry) >= q->size || !q->chain_length[driver_get16(q, entry)] ||
            !driver_take_used(q, &id, &length)) {
            return;
        }
        q->chain_length[id] = 0;
    }
}

static void start(VirtioGuest *g, DriverQueue *q, unsigned features)
{
    uint64_t wanted = (features & 1 ? UINT64_C(1) << VIRTIO_F_RING_PACKED : 0) | (features & 2 ? 1 << 29 : 0) |
                      (features & 4 ? 1 << 28 : 0) | UINT64_C(1) << 40 | UINT32_C(0xffff);

    guest_negotiate(g, wanted);
    guest_add_queue(g, 0, q, 32);
    guest_driver_ok(g);
}

static void stop_and_go(Rig *r)
{
    device_pause(r->dev->backend);
    g_byte_array_unref(rig_save(r));
    device_resume(r->dev->backend);
}

static void step(VirtioGuest *g, DriverQueue *q, Input *in)
{
    unsigned what = take(in);

    switch (what % 16) {
    default:
        add_request(g, q, in);
        break;
    case 8:
        guest_kick(g, take(in));
        break;
    case 9:
        rig_settle(g->rig);
        break;
    case 10:
        ((uint8_t *)rig_ram(g->rig, GUEST_QUEUES_AT))[take16(in) % 0x1000] = (uint8_t)take(in);
        break;
    case 11:
        ((uint8_t *)rig_ram(g->rig, REQUESTS))[take16(in) % 0x4000] = (uint8_t)take(in);
        break;
    case 12:
        rig_write(g->rig, g->common + take(in) % 64, take16(in), 1u << (what >> 4) % 4);
        break;
    case 13:
        stop_and_go(g->rig);
        break;
    case 14:
        rig_write(g->rig, g->device + take(in) % 64, take16(in), 1u << (what >> 4) % 4);
        break;
    case 15:
        if (take(in) % 8 == 0) {
            start(g, q, what >> 4);
        }
    }
    take_used(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static VirtioGuest g; /* made once; each input begins with a reset */
    Input in = { data, length };
    DriverQueue q;

    if (!g.rig) {
        guest_init(&g, rig_new_with("virtio-blk-pci,drive=disk0,addr=5,packed=on", make_disk));
    }
    start(&g, &q, take(&in));
    for (unsigned n = 0; in.length && n < 400; n++) {
        step(&g, &q, &in);
    }
    guest_reset(&g);
    rig_settle(g.rig);
    return 0;
}
