/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `tap` backend: a TAP interface of the host (Linux, Documentation/networking/tuntap.rst), made
 * here or passed as descriptors; with one queue or several, and with virtio-net headers (vnet_hdr), by
 * which checksums and segmentation are the kernel's work, both ways.  macvtap's descriptors are used alike, though each
 * has a header size of its own.
 *
 * Frames that the guest sends together go out by one system call (tap-batch.c), and those that come together are read
 * by one (tap-receive.c).
 *
 * Locking: a queue is its loop's.  Which queues the kernel spreads frames over, and what it may leave
 * undone in them, may be set from any thread.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/tap.h"
#include "vmm/log.h"

#define PIECES_MAX 1024 /* of a frame */

/* ---- frames ---- */

void tap_set_events(TapQueue *t, LoopEvents events)
{
    if (t->events != events) {
        t->events = events;
        loop_fd_set_events(t->watch, events);
    }
}

/* The interface is gone, or down: once in the log, and not read any more if there is no end to it. */
void tap_complain(TapQueue *t, const char *what, int err)
{
    if (!t->complained) {
        t->complained = true;
        log_warning("%s: cannot %s interface '%s': %s", t->tap->backend.id, what, t->tap->name, g_strerror(err));
    }
}

static void descriptor_ready(int fd, LoopEvents events, void *opaque)
{
    TapQueue *t = opaque;

    if (events & LOOP_WRITE) {
        tap_set_events(t, t->events & ~(LoopEvents)LOOP_WRITE);
        net_send_ready(&t->tap->backend, t->link);
    }
    if (events & LOOP_READ && t->watch) {
        tap_readable(t->receiver);
    }
}

/* The pieces of a frame behind its header; false: too many. */
static bool fill_slot(const TapQueue *t, TapSlot *slot, const NetPacket *packet)
{
    if (packet->n + 1 > TAP_BATCH_PIECES) {
        return false;
    }
    slot->header.num_buffers = 0;
    memcpy(&slot->header, &packet->header, sizeof(packet->header));
    slot->iov[0] = (struct iovec) { &slot->header, t->tap->header_bytes };
    memcpy(slot->iov + 1, packet->iov, packet->n * sizeof(slot->iov[0]));
    slot->pieces = packet->n + 1;
    return true;
}

static void write_held(TapQueue *t)
{
    unsigned n = t->out_n;

    t->out_n = 0;
    if (n) {
        tap_batch_write(t->batch, t->fd, t->out, n);
    }
    for (unsigned i = 0; i < n; i++) {
        if (t->out[i].result < 0) {
            net_drop_sent(t->link);
        }
        if (t->out[i].result < 0 && t->out[i].result != -EINVAL) {
            tap_complain(t, "send on", -t->out[i].result);
        }
    }
}

static void tap_flush(NetBackend *b, NetQueue *q)
{
    write_held(&net_tap(b)->queue[q->index]);
}

/* Bytes, or -1. */
static ssize_t write_frame(const TapQueue *t, const NetPacket *packet)
{
    struct virtio_net_hdr_v1 header = { .num_buffers = 0 };
    struct iovec iov[PIECES_MAX + 1]; /* large: only what is used is set */
    unsigned skip = t->tap->vnet_hdr ? 0 : 1;
    ssize_t n;

    memcpy(&header, &packet->header, sizeof(packet->header));
    iov[0] = (struct iovec) { &header, t->tap->header_bytes };
    memcpy(iov + 1, packet->iov, packet->n * sizeof(iov[0]));
    do {
        n = writev(t->fd, iov + skip, (int)(packet->n + 1 - skip));
    } while (n < 0 && errno == EINTR);
    return n;
}

static NetSent tap_send(NetBackend *b, NetQueue *q, const NetPacket *packet)
{
    TapQueue *t = &net_tap(b)->queue[q->index];
    ssize_t n;

    if (packet->n > PIECES_MAX) {
        return NET_LOST;
    }
    if (q->held && t->batch && fill_slot(t, &t->out[t->out_n], packet)) {
        if (++t->out_n == TAP_BATCH_MAX) {
            write_held(t);
        }
        return NET_SENT;
    }
    write_held(t); /* they came before this one */
    n = write_frame(t, packet);
    if (n < 0 && errno == EAGAIN) {
        tap_set_events(t, t->events | LOOP_WRITE);
        return NET_NO_ROOM;
    }
    if (n < 0 && errno != EINVAL) { /* EINVAL: the guest's header makes no sense to the kernel */
        tap_complain(t, "send on", errno);
    }
    return n < 0 ? NET_LOST : NET_SENT;
}

static void tap_attach(NetBackend *b, NetQueue *q)
{
    TapQueue *t = &net_tap(b)->queue[q->index];

    t->link = q;
    t->out = g_new0(TapSlot, TAP_BATCH_MAX);
    t->events = 0;
    t->watch = loop_add_fd(q->loop, t->fd, t->events, descriptor_ready, t);
    t->receiver = tap_receiver_new(t);
    tap_start_reading(t->receiver);
}

static void tap_detach(NetBackend *b, NetQueue *q)
{
    TapQueue *t = &net_tap(b)->queue[q->index];

    g_clear_pointer(&t->receiver, tap_receiver_free);
    loop_remove_fd(t->watch);
    t->watch = NULL;
    t->link = NULL;
    t->out_n = 0;
    g_clear_pointer(&t->out, g_free);
}

/* ---- what the kernel is told ---- */

static void tap_set_offloads(NetBackend *b, unsigned offloads)
{
    const NetTap *tap = net_tap(b);
    unsigned flags = offloads & NET_CSUM ? TUN_F_CSUM : 0;

    if (flags) { /* without it there are no others */
        flags |= (offloads & NET_TSO4 ? TUN_F_TSO4 : 0) | (offloads & NET_TSO6 ? TUN_F_TSO6 : 0) |
                 (offloads & NET_ECN && offloads & (NET_TSO4 | NET_TSO6) ? TUN_F_TSO_ECN : 0);
    }
    if (tap->vnet_hdr && ioctl(tap->queue[0].fd, TUNSETOFFLOAD, flags) < 0) {
        ioctl(tap->queue[0].fd, TUNSETOFFLOAD, 0);
    }
}

/* Frames are spread over the queues that the guest uses. */
void tap_set_queues(NetBackend *b, unsigned queues)
{
    const NetTap *tap = net_tap(b);

    for (unsigned i = 1; i < b->queues; i++) {
        struct ifreq request = { .ifr_flags = i < queues ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

        ioctl(tap->queue[i].fd, TUNSETQUEUE, &request); /* EINVAL: it is so already */
    }
}

#define TAP_CLASS                                                                                                      \
    .size = sizeof(NetTap), .offloads = NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN, .close = tap_close,                  \
    .attach = tap_attach, .detach = tap_detach, .send = tap_send, .flush = tap_flush,                                  \
    .receive_ready = tap_receive_ready,                                                                                \
    .set_queues = tap_set_queues, .set_offloads = tap_set_offloads, .start_ring = tap_start_ring,                      \
    .stop_ring = tap_stop_ring

const NetClass net_tap_class = { .name = "tap", .open = tap_open, TAP_CLASS };
const NetClass net_bridge_class = { .name = "bridge", .open = tap_bridge_open, TAP_CLASS };
