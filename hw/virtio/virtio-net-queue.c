/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames of virtio-net: Virtio 1.2, 5.1.6.1 to 5.1.6.4.
 *
 * Every frame is copied or handed on within the call, so no chain is ever under way: a pause never
 * waits for the network.  A receive queue asks for doorbells only while it lacks buffers.
 *
 * Locking: each queue's loop.
 */
#include <string.h>

#include "hw/virtio/virtio-net.h"
#include "vmm/error.h"

#define PER_ROUND 256 /* frames sent, before others on the loop get their turn */
#define HOLD_MAX  32  /* of them that may go out together */
#define HEAD_BYTES 18 /* of a frame, that filters look at */

static VirtioNet *of_nic(NetNic *nic)
{
    return (VirtioNet *)((char *)nic - offsetof(VirtioNet, nic));
}

/* ---- receiving ---- */

/* Bytes [offset, +length) of the packet to the chain. */
static void copy_in(const VirtqueueChain *c, uint64_t at, const NetPacket *packet, size_t offset, size_t length)
{
    for (unsigned i = 0; i < packet->n && length; i++) {
        const struct iovec *piece = &packet->iov[i];
        size_t bytes;

        if (offset >= piece->iov_len) {
            offset -= piece->iov_len;
            continue;
        }
        bytes = MIN(piece->iov_len - offset, length);
        iov_from_buffer(c->in, c->ins, at, (const uint8_t *)piece->iov_base + offset, bytes);
        at += bytes;
        length -= bytes;
        offset = 0;
    }
}

typedef struct Buffers {
    VirtqueueChain *chain[VIRTQUEUE_PUSH_MAX];
    uint64_t written[VIRTQUEUE_PUSH_MAX];
    unsigned n;
} Buffers;

static void give_back(Virtqueue *vq, Buffers *b)
{
    while (b->n) {
        virtqueue_unpop(vq, b->chain[--b->n]);
    }
}

typedef enum Room { ROOM_ENOUGH, ROOM_LATER, ROOM_NEVER } Room;

/* Buffers for `bytes`: one, or as many as it takes. */
static Room take_buffers(VirtioNet *n, Virtqueue *vq, uint64_t bytes, Buffers *b)
{
    bool merged = virtio_has(&n->virtio, VIRTIO_NET_F_MRG_RXBUF);

    for (uint64_t have = 0; have < bytes; have += b->written[b->n++]) {
        VirtqueueChain *c = b->n < (merged ? VIRTQUEUE_PUSH_MAX : 1) ? virtqueue_pop(vq, sizeof(VirtqueueChain)) : NULL;

        if (!c) {
            bool never = b->n == (merged ? VIRTQUEUE_PUSH_MAX : 1);

            give_back(vq, b);
            return never ? ROOM_NEVER : ROOM_LATER;
        }
        b->chain[b->n] = c;
        b->written[b->n] = MIN(c->in_bytes, bytes - have);
        if (c->in_bytes < (b->n ? 1 : NET_HEADER_BYTES)) {
            virtio_set_broken(&n->virtio, "queue %u: a buffer has no room for a header", virtqueue_index(vq));
            b->n++;
            give_back(vq, b);
            return ROOM_LATER;
        }
    }
    return ROOM_ENOUGH;
}

static void fill(VirtioNet *n, const Buffers *b, const NetPacket *packet)
{
    struct virtio_net_hdr_v1 header = { .num_buffers = GUINT16_TO_LE((uint16_t)b->n) };
    uint64_t offloads = virtio_net_offloads(n);
    size_t done = 0;

    memcpy(&header, &packet->header, sizeof(packet->header));
    if (!(offloads & VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM))) {
        header.flags &= (uint8_t)~VIRTIO_NET_HDR_F_DATA_VALID;
    }
    iov_from_buffer(b->chain[0]->in, b->chain[0]->ins, 0, &header, sizeof(header));
    for (unsigned i = 0; i < b->n; i++) {
        uint64_t at = i ? 0 : sizeof(header);

        copy_in(b->chain[i], at, packet, done, b->written[i] - at);
        done += b->written[i] - at;
    }
}

/* What the driver has not agreed to must not reach it. */
static bool fits_offloads(const VirtioNet *n, const NetPacket *packet)
{
    uint64_t offloads = virtio_net_offloads(n);
    uint8_t gso = packet->header.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

    if (packet->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && !(offloads & VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM))) {
        return false;
    }
    return gso == VIRTIO_NET_HDR_GSO_NONE ||
           (gso == VIRTIO_NET_HDR_GSO_TCPV4 && offloads & VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4)) ||
           (gso == VIRTIO_NET_HDR_GSO_TCPV6 && offloads & VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6));
}

static bool net_nic_receive(NetNic *nic, unsigned queue, const NetPacket *packet)
{
    VirtioNet *n = of_nic(nic);
    Virtqueue *vq = n->virtio.queue[2 * queue];
    uint8_t head[HEAD_BYTES] = { 0 };
    Buffers b; /* large: only what is used is set */
    Room room;

    if (!virtqueue_running(vq)) {
        return false;
    }
    iov_to_buffer(packet->iov, packet->n, 0, head, MIN(sizeof(head), packet->length));
    if (queue >= __atomic_load_n(&n->current_pairs, __ATOMIC_RELAXED) || !virtio_net_takes(n, head)) {
        return true;
    }
    if (!fits_offloads(n, packet)) {
        net_drop_received(&nic->queue[queue]);
        return true;
    }
    b.n = 0;
    room = take_buffers(n, vq, NET_HEADER_BYTES + packet->length, &b);
    if (room == ROOM_LATER) {
        virtqueue_set_notification(vq, true);
        room = take_buffers(n, vq, NET_HEADER_BYTES + packet->length, &b); /* what came before the bell was asked for */
    }
    if (room == ROOM_NEVER) {
        net_drop_received(&nic->queue[queue]);
        return true;
    }
    if (room == ROOM_LATER) {
        return false;
    }
    fill(n, &b, packet);
    virtqueue_push_many(vq, b.chain, b.written, b.n);
    virtqueue_notify_soon(vq);
    return true;
}

void virtio_net_rx_ready(VirtioNet *n, Virtqueue *vq)
{
    virtqueue_set_notification(vq, false);
    net_receive_ready(&n->nic, virtqueue_index(vq) / 2);
}

/* ---- sending ---- */

/* Offloads that were not negotiated have no meaning. */
static bool take_header(VirtioNet *n, const VirtqueueChain *c, struct virtio_net_hdr *ret)
{
    struct virtio_net_hdr_v1 header;
    uint8_t gso;

    iov_to_buffer(c->out, c->outs, 0, &header, sizeof(header));
    memcpy(ret, &header, sizeof(*ret));
    ret->flags &= virtio_has(&n->virtio, VIRTIO_NET_F_CSUM) ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0;
    gso = ret->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
    return gso == VIRTIO_NET_HDR_GSO_NONE ||
           (gso == VIRTIO_NET_HDR_GSO_TCPV4 && virtio_has(&n->virtio, VIRTIO_NET_F_HOST_TSO4)) ||
           (gso == VIRTIO_NET_HDR_GSO_TCPV6 && virtio_has(&n->virtio, VIRTIO_NET_F_HOST_TSO6));
}

/* false: no room. */
static bool send_chain(VirtioNet *n, unsigned queue, const VirtqueueChain *c)
{
    struct iovec iov[VIRTQUEUE_CHAIN_MAX];
    NetPacket packet = { .iov = iov, .length = c->out_bytes - NET_HEADER_BYTES };

    if (!take_header(n, c, &packet.header)) {
        guest_error(n->nic.name, "a frame asks for segmentation that was not negotiated");
        return true;
    }
    packet.n = iov_slice(c->out, c->outs, NET_HEADER_BYTES, packet.length, iov);
    return net_send(&n->nic, queue, &packet);
}

/* Chains whose frames may still be held. */
typedef struct Sent { VirtqueueChain *chain[HOLD_MAX]; unsigned n; } Sent;

static void give_back_sent(VirtioNet *n, Virtqueue *vq, Sent *sent)
{
    static const uint64_t written[HOLD_MAX];

    net_flush(&n->nic, virtqueue_index(vq) / 2);
    if (sent->n) {
        virtqueue_push_many(vq, sent->chain, written, sent->n);
        virtqueue_notify_soon(vq);
        sent->n = 0;
    }
}

/* false: it is not to go on. */
static bool send_one(VirtioNet *n, Virtqueue *vq, VirtqueueChain *c, Sent *sent)
{
    if (c->out_bytes < NET_HEADER_BYTES) {
        virtio_set_broken(&n->virtio, "queue %u: a frame without a header", virtqueue_index(vq));
        virtqueue_detach(vq, c);
        return false;
    }
    if (!send_chain(n, virtqueue_index(vq) / 2, c)) {
        virtqueue_unpop(vq, c); /* until net_nic_send_ready() */
        return false;
    }
    sent->chain[sent->n++] = c;
    if (sent->n == HOLD_MAX) {
        give_back_sent(n, vq, sent);
        net_hold(&n->nic, virtqueue_index(vq) / 2);
    }
    return true;
}

void virtio_net_tx_ready(VirtioNet *n, Virtqueue *vq)
{
    unsigned queue = virtqueue_index(vq) / 2, left = PER_ROUND;
    Sent sent;
    VirtqueueChain *c;

    if (queue >= __atomic_load_n(&n->current_pairs, __ATOMIC_RELAXED)) {
        return;
    }
    sent.n = 0;
    do {
        virtqueue_set_notification(vq, false);
        net_hold(&n->nic, queue);
        while (left && (c = virtqueue_pop(vq, sizeof(*c)))) {
            if (!send_one(n, vq, c, &sent)) {
                give_back_sent(n, vq, &sent);
                return;
            }
            left--;
        }
        give_back_sent(n, vq, &sent);
        if (!left) {
            virtqueue_kick(vq);
            return;
        }
    } while (virtqueue_set_notification(vq, true));
}

static void net_nic_send_ready(NetNic *nic, unsigned queue)
{
    VirtioNet *n = of_nic(nic);
    Virtqueue *vq = n->virtio.queue[2 * queue + 1];

    if (virtqueue_running(vq)) {
        virtio_net_tx_ready(n, vq);
    }
}

static void net_nic_rings_changed(NetNic *nic, unsigned queue)
{
    VirtioNet *n = of_nic(nic);

    for (unsigned i = 2 * queue; i < 2 * queue + 2 && i < n->virtio.queues; i++) {
        virtio_serve_anew(n->virtio.queue[i]);
    }
}

static void net_nic_link_changed(NetNic *nic)
{
    virtio_config_changed(&of_nic(nic)->virtio);
}

const NetNicOps virtio_net_nic_ops = {
    .receive = net_nic_receive,
    .send_ready = net_nic_send_ready,
    .link_changed = net_nic_link_changed,
    .rings_changed = net_nic_rings_changed,
    .announce = virtio_net_announce,
    .look_at_filter = virtio_net_look_at_filter,
};
