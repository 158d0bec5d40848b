/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way of a frame between a NIC and its backend, both ways, and what is counted on it; and rings that somebody else
 * serves, whose frames do not come by here.  net/net.h draws it.
 *
 * Locking: all of this runs on the queue's loop, which alone writes the counters.
 */
#include "net/backend.h"
#include "net/filter.h"
#include "net/net.h"
#include "net/offload.h"

/* ---- counters: one writer ---- */

static void add(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static void count(NetCounters *c, size_t bytes)
{
    add(&c->packets, 1);
    add(&c->bytes, bytes);
}

/* ---- rings that others serve: the queue's loop ---- */

bool net_start_ring(NetNic *nic, const VhostRing *ring, uint64_t features)
{
    NetQueue *q = &nic->queue[ring->index / 2];
    NetBackend *b = nic->backend;

    return q->attached && !q->filters && b->class->start_ring && net_is_up(nic) &&
           b->class->start_ring(b, q, ring, features);
}

bool net_stop_ring(NetNic *nic, unsigned ring, uint32_t *ret_base)
{
    NetBackend *b = nic->backend;

    return b->class->stop_ring(b, &nic->queue[ring / 2], ring, ret_base);
}

/* ---- frames from the guest: the queue's loop ---- */

typedef struct Pieces { NetBackend *backend; NetQueue *queue; bool began; NetSent first; } Pieces;

static bool send_piece(void *opaque, const NetPacket *frame)
{
    Pieces *p = opaque;
    NetSent sent = p->backend->class->send(p->backend, p->queue, frame);

    if (!p->began) {
        p->began = true;
        p->first = sent;
    } else if (sent != NET_SENT) {
        add(&p->queue->sent.dropped, 1); /* and those behind it: TCP sends them again */
    }
    return sent == NET_SENT;
}

static NetSent send_finished(NetBackend *b, NetQueue *q, const NetPacket *packet)
{
    Pieces pieces = { .backend = b, .queue = q };

    if (!q->scratch) {
        q->scratch = g_malloc(NET_FRAME_MAX);
    }
    return net_finish(packet, b->offloads, q->scratch, send_piece, &pieces) ? pieces.first : NET_LOST;
}

bool net_send(NetNic *nic, unsigned queue, const NetPacket *packet)
{
    NetQueue *q = &nic->queue[queue];
    NetBackend *b = nic->backend;
    NetSent sent;

    if (packet->length < NET_FRAME_MIN || packet->length > NET_FRAME_MAX || !net_packet_is_sane(packet)) {
        add(&q->sent.errors, 1);
        return true;
    }
    if (!q->attached || !net_is_up(nic)) {
        add(&q->sent.dropped, 1);
        if (G_UNLIKELY(q->filters)) {
            net_filters_done(q, NET_FROM_GUEST);
        }
        return true;
    }
    if (G_UNLIKELY(q->filters) && !net_filters_pass(q, NET_FROM_GUEST, packet)) {
        return false;
    }
    sent = net_packet_needs(packet) & ~b->offloads ? send_finished(b, q, packet) : b->class->send(b, q, packet);
    if (G_UNLIKELY(q->filters) && sent != NET_NO_ROOM) {
        net_filters_done(q, NET_FROM_GUEST);
    }
    if (sent == NET_SENT) {
        count(&q->sent, packet->length);
    } else if (sent == NET_LOST) {
        add(&q->sent.dropped, 1);
    }
    return sent != NET_NO_ROOM;
}

void net_hold(NetNic *nic, unsigned queue)
{
    NetQueue *q = &nic->queue[queue];

    q->held = q->attached && nic->backend->class->flush;
}

void net_flush(NetNic *nic, unsigned queue)
{
    NetQueue *q = &nic->queue[queue];

    if (q->held) {
        q->held = false;
        nic->backend->class->flush(nic->backend, q);
    }
}

void net_drop_sent(NetQueue *q)
{
    add(&q->sent.dropped, 1);
}

void net_receive_ready(NetNic *nic, unsigned queue)
{
    NetQueue *q = &nic->queue[queue];

    if (q->attached) {
        nic->backend->class->receive_ready(nic->backend, q);
    }
}

/* ---- frames for the guest: the queue's loop ---- */

bool net_receive(NetBackend *b, NetQueue *q, const NetPacket *packet)
{
    NetNic *nic = q->nic;

    if (packet->length < NET_FRAME_MIN || packet->length > NET_FRAME_MAX) {
        add(&q->received.errors, 1);
        return true;
    }
    if (!net_is_up(nic)) {
        add(&q->received.dropped, 1);
        if (G_UNLIKELY(q->filters)) {
            net_filters_done(q, NET_TO_GUEST); /* it may have been waiting at one */
        }
        return true;
    }
    if (G_UNLIKELY(q->filters) && !net_filters_pass(q, NET_TO_GUEST, packet)) {
        return false;
    }
    if (!nic->ops->receive(nic, q->index, packet)) {
        return false;
    }
    if (G_UNLIKELY(q->filters)) {
        net_filters_done(q, NET_TO_GUEST);
    }
    count(&q->received, packet->length);
    return true;
}

void net_drop_received(NetQueue *q)
{
    add(&q->received.dropped, 1);
}

void net_send_ready(NetBackend *b, NetQueue *q)
{
    q->nic->ops->send_ready(q->nic, q->index);
}
