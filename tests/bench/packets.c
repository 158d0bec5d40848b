/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many packets a second a virtio NIC moves through its queues with no CPU in the way: the driver's side is this
 * program (tests/unit/hw/virtio), the wire a datagram socket that a thread empties or fills.  Beside it, what the socket
 * alone gives in the same thread: the rest is the queues'.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net.h"
#include "tests/unit/hw/virtio/virtio-guest.h"

#define DEVICE  "virtio-net-pci,netdev=n,addr=5"
#define RX      0
#define TX      1
#define SIZE    256
#define BUFFERS 0x200000
#define HEADER  12
#define FRAME   200
#define SECONDS 2.0

static int wire[2];
static bool stop;

static double now(void)
{
    return (double)clock_ns(clock_realtime) / NS_PER_SEC;
}

static void with_socket(Domain *domain)
{
    g_autofree char *text = NULL;
    int room = 4 << 20;

    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, wire) < 0) {
        perror("socketpair");
        _exit(1);
    }
    for (unsigned i = 0; i < 2; i++) {
        setsockopt(wire[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    }
    text = g_strdup_printf("dgram,id=n,local.type=fd,local.str=%d", wire[1]);
    netdev_add_text(domain, text, NULL);
}

static void *empty_wire(void *opaque)
{
    char frame[2048];

    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        recv(wire[0], frame, sizeof(frame), 0);
    }
    return NULL;
}

static void *fill_wire(void *opaque)
{
    char frame[FRAME] = { [0] = (char)0xff, [12] = 8 };

    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        send(wire[0], frame, sizeof(frame), MSG_NOSIGNAL);
    }
    return NULL;
}

static void add_one(VirtioGuest *g, DriverQueue *q, unsigned slot, bool receive)
{
    const DriverBuffer buffer = { BUFFERS + (uint64_t)slot * 2048, receive ? 2048 : HEADER + FRAME, receive };

    driver_add(q, &buffer, 1);
}

/* Packets a second. */
static double run_queue(VirtioGuest *g, DriverQueue *q, unsigned index, unsigned depth)
{
    bool receive = index == RX;
    double begin = now(), end;
    unsigned long done = 0;
    uint32_t length;
    uint16_t id;

    for (unsigned i = 0; i < depth; i++) {
        add_one(g, q, i, receive);
    }
    guest_kick(g, index);
    do {
        unsigned used = 0;

        guest_run(g);
        while (driver_take_used(q, &id, &length)) {
            used++;
        }
        for (unsigned i = 0; i < used; i++) {
            add_one(g, q, (unsigned)(done + i) % depth, receive);
        }
        if (used && driver_must_kick(q)) {
            guest_kick(g, index);
        }
        done += used;
        end = now();
    } while (end - begin < SECONDS);
    return (double)done / (end - begin);
}

static double run_socket(bool receive)
{
    char frame[2048] = { 0 };
    double begin = now(), end;
    unsigned long done = 0;

    do {
        for (unsigned i = 0; i < 64; i++) {
            done += (receive ? recv(wire[1], frame, sizeof(frame), 0) : send(wire[1], frame, FRAME, 0)) > 0;
        }
        end = now();
    } while (end - begin < SECONDS);
    return (double)done / (end - begin);
}

static void measure(const char *layout, const char *device, uint64_t features, unsigned index)
{
    VirtioGuest g;
    DriverQueue rx, tx;
    pthread_t thread;
    double queue, alone;

    guest_init(&g, rig_new_with(device, with_socket));
    guest_negotiate(&g, features | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
    guest_add_queue(&g, RX, &rx, SIZE);
    guest_add_queue(&g, TX, &tx, SIZE);
    guest_driver_ok(&g);
    memset(rig_ram(g.rig, BUFFERS), 0, SIZE * 2048);
    stop = false;
    pthread_create(&thread, NULL, index == TX ? empty_wire : fill_wire, NULL);
    queue = run_queue(&g, index == TX ? &tx : &rx, index, SIZE / 2);
    alone = run_socket(index == RX);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    shutdown(wire[0], SHUT_RDWR);
    shutdown(wire[1], SHUT_RDWR);
    pthread_join(thread, NULL);
    printf("%-8s %-4s %10.0f packets/s  (the socket alone: %.0f)\n", layout, index == TX ? "sent" : "recv", queue, alone);
    rig_free(g.rig);
    close(wire[0]);
}

int main(void)
{
    for (unsigned index = RX; index <= TX; index++) {
        measure("split", DEVICE, 0, index);
        measure("packed", DEVICE ",packed=on", UINT64_C(1) << VIRTIO_F_RING_PACKED, index);
    }
    return 0;
}
