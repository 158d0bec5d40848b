/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole virtio devices on PCI that are too small for a target each (balloon, rng, serial with its ports), against a
 * driver and a peer that do anything: the input chooses the device, then it is a list of chains with buffers anywhere,
 * what is in them, bytes from the peer, writes to the rings and the device's registers, time that passes, resets,
 * pauses and saves.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fuzz/virtio-steps.h"
#include "vmm/chardev.h"
#include "vmm/timer.h"

#define DATA       0x10000
#define DATA_BYTES 0x8000
#define QUEUES_MAX 8
#define QUEUE_SIZE 8
#define CHAIN_MAX  4

typedef struct Kind {
    const char *device;
    unsigned queues;
    const char *ports[3]; /* of serial */
} Kind;

static const Kind kinds[] = {
    { "virtio-balloon-pci,addr=5,packed=on,guest-stats-polling-interval=1,free-page-reporting=on", 4 },
    { "virtio-rng-pci,addr=5,packed=on", 1 },
    { "virtio-rng-pci,addr=5,packed=on,max-bytes=64,period=10", 1 },
    { "virtio-serial-pci,id=s,addr=5,packed=on,max_ports=3", 8,
      { "virtconsole,bus=s.0,chardev=c", "virtserialport,bus=s.0,chardev=d,name=org.test,nr=1" } },
};

typedef struct Fuzz {
    VirtioGuest g;
    const Kind *kind;
    DriverQueue q[QUEUES_MAX];
} Fuzz;

static int peers[2] = { -1, -1 }; /* ends of the ports' sockets; what the setup of the rig leaves */

static void connect_peers(Domain *domain)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(peers); i++) {
        g_autofree char *text = NULL;
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
            abort();
        }
        peers[i] = pair[0];
        text = g_strdup_printf("socket,id=%c,fd=%d", (char)('c' + i), pair[1]);
        if (!chardev_add_text(domain, text, NULL)) {
            abort();
        }
    }
}

static void add_ports(Fuzz *f)
{
    Device *serial = f->g.rig->dev;

    for (unsigned i = 0; f->kind->ports[i]; i++) {
        if (rig_try_add(f->g.rig, f->kind->ports[i])) {
            abort();
        }
    }
    f->g.rig->dev = serial;
}

static void start(Fuzz *f, unsigned features)
{
    guest_negotiate(&f->g, ring_features(features) | UINT32_C(0xffffff));
    for (unsigned i = 0; i < f->kind->queues; i++) {
        guest_add_queue(&f->g, i, &f->q[i], QUEUE_SIZE);
    }
    guest_driver_ok(&f->g);
}

/* Mostly in the data, else anywhere. */
static DriverBuffer choose_buffer(Input *in)
{
    unsigned shape = take(in), at = take16(in);
    uint64_t address = shape & 0xe0 ? DATA + at % DATA_BYTES : (uint64_t)at << (shape & 0x1f);

    return (DriverBuffer) { address, shape & 2 ? take16(in) : take(in) % 64, shape & 1 };
}

static void add_chain(Fuzz *f, Input *in)
{
    unsigned shape = take(in), n = 1 + shape % CHAIN_MAX;
    unsigned queue = (shape >> 4) % f->kind->queues;
    DriverBuffer buffers[CHAIN_MAX];
    DriverQueue *q = &f->q[queue];

    for (unsigned i = 0; i < n; i++) {
        buffers[i] = choose_buffer(in);
    }
    if (q->free < n) {
        return;
    }
    if (shape & 8) {
        driver_add_indirect(q, buffers, n, DATA + DATA_BYTES + 0x100 * queue);
    } else {
        driver_add(q, buffers, n);
    }
    guest_kick(&f->g, queue);
}

/* What devices read: control messages, page frame numbers, statistics. */
static void fill(Fuzz *f, Input *in)
{
    uint8_t *at = (uint8_t *)rig_ram(f->g.rig, DATA) + take16(in) % (DATA_BYTES - 16);

    for (unsigned i = 0; i < 12; i++) {
        at[i] = (uint8_t)take(in);
    }
}

static void use_peer(Input *in)
{
    unsigned shape = take(in);
    uint8_t bytes[4096];
    ssize_t n;

    while (read(peers[shape & 1], bytes, sizeof(bytes)) > 0) {
    }
    memset(bytes, shape, sizeof(bytes));
    n = send(peers[shape & 1], bytes, take16(in) % sizeof(bytes), MSG_NOSIGNAL);
    (void)n;
    if (shape == 0xff) {
        shutdown(peers[1], SHUT_RDWR);
    }
}

static void step(Fuzz *f, Input *in)
{
    unsigned what = take(in);

    switch (what % 16) {
    default:
        add_chain(f, in);
        break;
    case 6:
    case 7:
        fill(f, in);
        break;
    case 8:
        use_peer(in);
        break;
    case 9:
        rig_advance(f->g.rig, NS_PER_MS << (what >> 4));
        break;
    case 10:
        scribble(&f->g, GUEST_QUEUES_AT, 0x4000 * f->kind->queues, in);
        break;
    case 11:
        write_register(&f->g, f->g.common, what >> 4, in);
        break;
    case 12:
        write_register(&f->g, f->g.device, what >> 4, in);
        break;
    case 13:
        stop_and_go(f->g.rig);
        break;
    case 14:
        rig_settle(f->g.rig);
        break;
    case 15:
        if (take(in) % 8 == 0) {
            start(f, what >> 4);
        }
    }
    for (unsigned i = 0; i < f->kind->queues; i++) {
        take_used(&f->q[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    Input in = { data, length };
    Fuzz f = { .kind = &kinds[take(&in) % G_N_ELEMENTS(kinds)] };

    guest_init(&f.g, rig_new_with(f.kind->device, connect_peers));
    add_ports(&f);
    start(&f, take(&in));
    for (unsigned n = 0; in.length && n < 400; n++) {
        step(&f, &in);
    }
    rig_settle(f.g.rig);
    rig_free(f.g.rig);
    close(peers[0]);
    close(peers[1]);
    return 0;
}
