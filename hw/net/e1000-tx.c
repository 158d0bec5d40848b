/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transmitting (SDM 3.3; DS 7.2): the descriptors from head to tail become frames.
 *
 *   TDT -> doorbell -> work() on the loop -> gather() a frame's descriptors -> finish -> [lock dropped: net_send()]
 *     -> status written back, TDH moves -> TXDW
 *
 * A frame begins anew from TDH whenever it could not go: no descriptor is half done, so nothing but registers and
 * contexts is state.  A frame of too many descriptors or bytes is given up, to its end.
 *
 * Each call does a bounded piece of work and rings again for the rest, whatever is in the rings.
 *
 * Locking: the loop; the device's lock is taken here.
 */
#include "hw/net/e1000.h"

#include <string.h>

#include "vmm/error.h"

#define PER_ROUND 128 /* frames, and contexts */
#define DATA_MAX  (NET_FRAME_MAX - E1000_VLAN_BYTES)

typedef struct Descriptor { uint64_t address; uint32_t lower, upper; } Descriptor; /* little-endian hosts only */

typedef enum Gathered { GATHERED, GATHER_MORE, GATHER_GIVE_UP } Gathered;

/* The descriptors of a frame, from TDH on. */
typedef struct Gather {
    uint64_t base;      /* of the ring */
    uint32_t entries;
    unsigned n;
    E1000Frame frame;
} Gather;

/* ---- descriptors ---- */

static uint64_t descriptor_at(const Gather *g, uint32_t n)
{
    return g->base + (uint64_t)(n % g->entries) * E1000_DESCRIPTOR_BYTES;
}

static bool is_context(const Descriptor *d)
{
    return d->lower & TXD_DEXT && (d->lower & TXD_DTYP) != TXD_DTYP_DATA;
}

static void take_context(const E1000 *e, E1000TxRing *q, const Descriptor *d)
{
    bool segments = d->lower & TXD_TSE;

    q->context[segments && !e1000_is_82574(e)] = (E1000Context) {
        .ip = (uint32_t)d->address, .tu = (uint32_t)(d->address >> 32), .command = d->lower, .status = d->upper,
    };
}

static bool is_first_data(const Gather *g, const Descriptor *d)
{
    return d->lower & TXD_DEXT && !(g->frame.options & TXD_DEXT);
}

static void take_options(Gather *g, const Descriptor *d)
{
    E1000Frame *f = &g->frame;

    if (is_first_data(g, d)) {
        f->options = (d->lower & (TXD_TSE | TXD_DEXT)) | (d->upper & (TXD_IXSM | TXD_TXSM));
    }
    if (!(d->lower & TXD_DEXT) && d->lower & TXD_IC) {
        f->legacy_sum = true;
        f->cso = (uint8_t)(d->lower >> 16);
        f->css = (uint8_t)(d->upper >> 8);
    }
    if (d->lower & TXD_VLE) {
        f->tagged = true;
        f->tag = (uint16_t)(d->upper >> 16);
    }
}

static bool take_data(E1000 *e, E1000Frame *f, const Descriptor *d)
{
    uint32_t length = d->lower & (d->lower & TXD_DEXT ? 0xfffff : 0xffff);

    if (length > DATA_MAX - f->length) {
        return false;
    }
    if (dma_read(&e->pci.dma, d->address, e->tx_frame + E1000_VLAN_BYTES + f->length, length) < 0) {
        guest_error(e->nic.name, "a transmit buffer is not in memory");
        return false;
    }
    f->length += length;
    return true;
}

static bool read_descriptor(E1000 *e, const Gather *g, uint32_t at, Descriptor *ret)
{
    return dma_read(&e->pci.dma, descriptor_at(g, at), ret, sizeof(*ret)) == 0;
}

static Gathered gather(E1000 *e, E1000TxRing *q, Gather *g)
{
    uint32_t there = (q->tdt + g->entries - q->tdh) % g->entries;
    bool failed = q->skipping;
    Descriptor d;

    while (g->n < there && g->n < E1000_FRAME_DESCRIPTORS) {
        if (!read_descriptor(e, g, q->tdh + g->n, &d)) {
            guest_error(e->nic.name, "a transmit descriptor is not in memory");
            g->n++;
            return GATHER_GIVE_UP;
        }
        e->tx_seen[g->n][0] = d.lower;
        e->tx_seen[g->n][1] = d.upper;
        g->n++;
        if (is_context(&d)) {
            take_context(e, q, &d);
            if (g->n == 1) {
                return GATHERED; /* on its own */
            }
            continue;
        }
        take_options(g, &d);
        failed = failed || !take_data(e, &g->frame, &d);
        if (d.lower & TXD_EOP) {
            q->skipping = false;
            return failed ? GATHER_GIVE_UP : GATHERED;
        }
    }
    if (g->n < E1000_FRAME_DESCRIPTORS && g->n + 1 < g->entries) {
        return GATHER_MORE;
    }
    q->skipping = true;
    return GATHER_GIVE_UP;
}

/* ---- the end of a frame ---- */

/* Status of those that want it; TDH. */
static void write_back(E1000 *e, E1000TxRing *q, unsigned number, const Gather *g)
{
    uint32_t few = (q->txdctl >> TXDCTL_LWTHRESH_SHIFT) * 8, causes = 0;
    bool told = false, delay = true;

    for (unsigned i = 0; i < g->n; i++) {
        uint32_t lower = e->tx_seen[i][0], upper = e->tx_seen[i][1] | TXD_DD;

        if (lower & TXD_RS) {
            dma_write(&e->pci.dma, descriptor_at(g, q->tdh + i) + 12, &upper, sizeof(upper));
            told = true;
            delay = delay && lower & TXD_IDE;
        }
    }
    q->tdh = (q->tdh + g->n) % g->entries;
    causes |= q->tdh == q->tdt ? ICR_TXQE : 0;
    causes |= few && (q->tdt + g->entries - q->tdh) % g->entries < few ? ICR_TXD_LOW : 0;
    if (told) {
        e1000_raise_tx(e, ICR_TXDW | (e1000_is_82574(e) ? ICR_TXQ0 << number : 0), delay);
    }
    if (causes) {
        e1000_raise(e, causes);
    }
}

/* ---- the way of a frame ---- */

static bool loops_back(const E1000 *e)
{
    return e->phy[PHY_CTRL] & PHY_CTRL_LOOPBACK || e->rctl & RCTL_LBM;
}

/* false: no room, or the ring is no longer what it was: its descriptors stay.  The lock is dropped meanwhile. */
static bool send_frame(E1000 *e, const NetPacket *packet)
{
    unsigned generation = e->generation;
    bool sent = true;

    if (loops_back(e)) {
        if (packet->header.gso_type == VIRTIO_NET_HDR_GSO_NONE && e->rctl & RCTL_EN) {
            e1000_receive_frame(e, packet->iov[0].iov_base, packet->length, true);
        }
    } else if (e->link) {
        lock_release(e->pci.dev.lock);
        sent = net_send(&e->nic, 0, packet);
        lock_acquire(e->pci.dev.lock);
    }
    if (!sent || generation != e->generation) {
        return false;
    }
    e1000_count_sent(e, packet);
    return true;
}

static bool is_running(const E1000 *e, const E1000TxRing *q)
{
    uint32_t entries = q->tdlen / E1000_DESCRIPTOR_BYTES;

    return e->running && e->tctl & TCTL_EN && q->tdh != q->tdt && q->tdh < entries && q->tdt < entries &&
           __atomic_load_n(&e->pci.dma.enabled, __ATOMIC_RELAXED);
}

/* One frame, or a context; false: nothing more goes now. */
static bool transmit_one(E1000 *e, unsigned number)
{
    E1000TxRing *q = &e->tx[number];
    Gather g = { .base = q->tdbal | (uint64_t)q->tdbah << 32, .entries = q->tdlen / E1000_DESCRIPTOR_BYTES };
    Gathered gathered = gather(e, q, &g);
    struct iovec iov;
    NetPacket packet = { .iov = &iov, .n = 1 };

    if (gathered == GATHER_MORE) {
        return false;
    }
    if (gathered == GATHERED && g.frame.length) {
        iov.iov_base = e1000_finish_frame(e, q, &g.frame, &packet.header);
        packet.length = iov.iov_len = g.frame.length;
        if (!iov.iov_base) {
            guest_error(e->nic.name, "a frame asks for what cannot be done to it");
        } else if (!send_frame(e, &packet)) {
            return false;
        }
    }
    write_back(e, q, number, &g);
    return true;
}

/* Frames of all rings, of which none waits for another: how many. */
static unsigned transmit_some(E1000 *e, unsigned most)
{
    unsigned done = 0;

    for (unsigned i = 0; i < e->model->queues; i++) {
        for (unsigned n = 0; n < most && is_running(e, &e->tx[i]) && transmit_one(e, i); n++) {
            done++;
        }
    }
    return done;
}

void e1000_transmit(E1000 *e)
{
    unsigned left = PER_ROUND, done;

    lock_acquire(e->pci.dev.lock);
    if (!e->transmitting) { /* a backend may say that it has room before net_send() returns */
        e->transmitting = true;
        do {
            done = transmit_some(e, left);
            left -= MIN(done, left);
        } while (done && left);
        e->transmitting = false;
        if (!left) {
            e1000_ring_doorbell(e);
        }
    }
    lock_release(e->pci.dev.lock);
}
