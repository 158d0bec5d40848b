/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole virtio-net device on PCI over a stream socket, against a driver and a peer that do anything:
 * the input is a list of frames, receive buffers, commands and bytes from the wire, well-formed to a
 * degree, writes to RAM and to the device's registers, resets, pauses and saves.
 */
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/net.h"
#include "tests/fuzz/virtio-steps.h"

#define DATA       0x10000
#define DATA_BYTES 0x8000
#define QUEUES     3
#define DEVICE     "virtio-net-pci,netdev=n,addr=5"

typedef struct Fuzz { VirtioGuest g; DriverQueue q[QUEUES]; } Fuzz;

static int wire = -1; /* the peer's end; what the setup of the rig leaves */

static void connect_wire(Domain *domain)
{
    g_autofree char *text = NULL;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
        abort();
    }
    wire = pair[0];
    text = g_strdup_printf("stream,id=n,addr.type=fd,addr.str=%d", pair[1]);
    if (!netdev_add_text(domain, text, NULL)) {
        abort();
    }
}

static void add_chain(Fuzz *f, unsigned queue, const DriverBuffer *buffers, unsigned n)
{
    if (f->q[queue].free >= n) {
        driver_add(&f->q[queue], buffers, n);
        guest_kick(&f->g, queue);
    }
}

/* A header that is likely to make sense, in front of bytes that are likely TCP. */
static void send_frame(Fuzz *f, Input *in)
{
    static const uint8_t ip[] = { 0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2, 8, 0,
                                  0x45, 0, 4, 0, 0, 1, 0, 0, 64, 6 };
    uint8_t *ram = rig_ram(f->g.rig, DATA);
    unsigned shape = take(in), bytes = take16(in) % 6000;
    struct virtio_net_hdr header = { .flags = shape & 3, .gso_type = (shape >> 2 & 7), .gso_size = (uint16_t)take16(in),
                                     .csum_start = shape & 0x40 ? 34 : (uint16_t)take16(in), .csum_offset = 16 };
    const DriverBuffer buffers[] = { { DATA, shape & 0x80 ? bytes % 20 : 12, false }, { DATA + 12, bytes, false } };

    memcpy(ram, &header, sizeof(header));
    if (shape & 0x20) {
        memcpy(ram + 12, ip, sizeof(ip));
        ram[12 + 16] = (uint8_t)((bytes - 14) >> 8);
        ram[12 + 17] = (uint8_t)(bytes - 14);
        ram[12 + 46] = 0x50;
    }
    add_chain(f, 1, buffers, 2);
}

static void offer_buffer(Fuzz *f, Input *in)
{
    unsigned shape = take(in);
    const DriverBuffer buffer = { DATA + DATA_BYTES / 2 + 64 * shape, take16(in) % 3000, shape != 7 };

    add_chain(f, 0, &buffer, 1);
}

static void give_command(Fuzz *f, Input *in)
{
    uint8_t *ram = rig_ram(f->g.rig, DATA + 0x7000);
    unsigned length = take(in) % 64;
    const DriverBuffer buffers[] = { { DATA + 0x7000, 2 + length, false }, { DATA + 0x7800, 1, true } };

    ram[0] = (uint8_t)(take(in) % 8);
    ram[1] = (uint8_t)(take(in) % 8);
    for (unsigned i = 0; i < length; i++) {
        ram[2 + i] = (uint8_t)take(in);
    }
    add_chain(f, 2, buffers, 2);
}

static void use_wire(Input *in)
{
    uint8_t bytes[2048] = { 0 };
    unsigned length = take16(in) % 1600, shape = take(in);
    ssize_t n;

    while (read(wire, bytes, sizeof(bytes)) > 0) {
    }
    bytes[2] = (uint8_t)(length >> 8);
    bytes[3] = (uint8_t)length;
    bytes[0] = shape == 9 ? 0xff : 0;
    memset(bytes + 4, shape, 14);
    n = send(wire, bytes, 4 + length, MSG_NOSIGNAL);
    (void)n;
}

static void start(Fuzz *f, unsigned features)
{
    guest_negotiate(&f->g, ring_features(features) | (features & 8 ? 1 << VIRTIO_NET_F_MRG_RXBUF : 0) |
                           (UINT32_C(0x7f7fff) & ~(1u << VIRTIO_NET_F_MRG_RXBUF)));
    for (unsigned i = 0; i < QUEUES; i++) {
        guest_add_queue(&f->g, i, &f->q[i], 32);
    }
    guest_driver_ok(&f->g);
}

static void step(Fuzz *f, Input *in)
{
    unsigned what = take(in);

    switch (what % 16) {
    default:
        send_frame(f, in);
        break;
    case 4:
    case 5:
    case 6:
        offer_buffer(f, in);
        break;
    case 7:
        give_command(f, in);
        break;
    case 8:
    case 9:
        use_wire(in);
        break;
    case 10:
        scribble(&f->g, GUEST_QUEUES_AT, 0xa000, in);
        break;
    case 11:
        write_register(&f->g, f->g.common, what >> 4, in);
        break;
    case 12:
        stop_and_go(f->g.rig);
        break;
    case 13:
        net_set_link(f->g.rig->domain, "n", take(in) & 1, NULL);
        break;
    case 14:
        rig_settle(f->g.rig);
        break;
    case 15:
        if (take(in) % 8 == 0) {
            start(f, what >> 4);
        }
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        take_used(&f->q[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    Input in = { data, length };
    Fuzz f = { 0 };
    bool packed = take(&in) & 1;

    guest_init(&f.g, rig_new_with(packed ? DEVICE ",packed=on" : DEVICE, connect_wire));
    start(&f, take(&in));
    for (unsigned n = 0; in.length && n < 400; n++) {
        step(&f, &in);
    }
    rig_settle(f.g.rig);
    rig_free(f.g.rig);
    close(wire);
    return 0;
}
