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
#include "tests/fuzz/virtio-steps.h"

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

static void start(VirtioGuest *g, DriverQueue *q, unsigned features)
{
    guest_negotiate(g, ring_features(features) | UINT32_C(0xffff));
    guest_add_queue(g, 0, q, 32);
    guest_driver_ok(g);
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
        scribble(g, GUEST_QUEUES_AT, 0x1000, in);
        break;
    case 11:
        scribble(g, REQUESTS, 0x4000, in);
        break;
    case 12:
        write_register(g, g->common, what >> 4, in);
        break;
    case 13:
        stop_and_go(g->rig);
        break;
    case 14:
        write_register(g, g->device, what >> 4, in);
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
