/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Receiving (SDM 3.2; DS 7.1): a frame that passes the filters goes into the buffers of a ring's descriptors, in the
 * form that the driver chose:
 *
 *   legacy    16 bytes: address; written back: length, packet checksum, status, errors, VLAN
 *   extended  16 bytes (82574, RFCTL.EXTEN): address; written back: RSS hash or checksum, status, length, VLAN
 *   split     32 bytes (and RCTL.DTYP): four addresses; headers go into the first, where they are understood
 *
 * A frame takes all its descriptors or none; while there are too few, the backend keeps it.  The FCS reads as zero
 * where the driver wants it.  A status is written last, by one store, as the driver waits for it.
 *
 * Locking: frames come on the loop and take the device's lock here.
 */
#include "hw/net/e1000.h"

#include <netinet/in.h>
#include <string.h>

#include "net/offload.h"
#include "vmm/bytes.h"
#include "vmm/error.h"
#include "vmm/iov.h"

#define FRAME_USUAL   1518 /* with a VLAN tag, without FCS */
#define BUFFERS       4    /* of a split descriptor */
#define RETA_QUEUE    0x80

/* How a ring's descriptors are laid out.  Head and tail count in 16 bytes whatever a descriptor has. */
typedef struct Layout {
    bool extended, split;
    uint32_t step;          /* of the head, for a descriptor */
    uint32_t size[BUFFERS]; /* of the buffers */
    uint32_t total;         /* of them together */
    uint32_t steps;         /* of the ring */
} Layout;

/* What descriptors say of a frame. */
typedef struct Verdict {
    uint32_t status;  /* RXD_* */
    uint8_t errors;
    uint16_t tag;     /* VLAN */
    uint16_t sum;     /* packet checksum */
    bool hashed;
    uint32_t hash;
    uint8_t hash_type;
    size_t header;    /* bytes of headers that may go apart; 0: not understood */
} Verdict;

static E1000 *of_nic(NetNic *nic)
{
    return (E1000 *)((char *)nic - offsetof(E1000, nic));
}

/* ---- layout ---- */

static uint32_t buffer_bytes(const E1000 *e)
{
    unsigned flexible = e1000_is_82574(e) ? e->rctl >> 27 & 15 : 0, size = e->rctl >> 16 & 3;

    if (flexible) {
        return flexible * 1024;
    }
    return e->rctl & RCTL_BSEX && size ? 32768u >> size : 2048u >> size;
}

static void get_layout(const E1000 *e, const E1000RxRing *r, Layout *ret)
{
    *ret = (Layout) { .step = 1, .steps = r->rdlen / E1000_DESCRIPTOR_BYTES, .size = { buffer_bytes(e) } };
    ret->extended = e1000_is_82574(e) && e->rfctl & RFCTL_EXTEN;
    ret->split = ret->extended && (e->rctl >> 10 & 3) == 1;
    if (ret->split) {
        ret->step = 2;
        ret->size[0] = (e->psrctl & 0x7f) * 128;
        for (unsigned i = 1; i < BUFFERS; i++) {
            ret->size[i] = (e->psrctl >> (8 * i) & 0x3f) * 1024;
        }
    }
    for (unsigned i = 0; i < BUFFERS; i++) {
        ret->total += ret->size[i];
    }
}

/* Descriptors that the hardware has. */
static uint32_t free_entries(const E1000RxRing *r, const Layout *l)
{
    if (r->rdh >= l->steps || r->rdt >= l->steps) {
        return 0;
    }
    return (r->rdt >= r->rdh ? r->rdt - r->rdh : l->steps - r->rdh + r->rdt) / l->step;
}

bool e1000_has_room(const E1000 *e)
{
    for (unsigned i = 0; i < e->model->queues; i++) {
        Layout l;

        get_layout(e, &e->rx[i], &l);
        if (l.total && (uint64_t)free_entries(&e->rx[i], &l) * l.total >= FRAME_USUAL + E1000_FCS_BYTES) {
            return true;
        }
    }
    return false;
}

/* ---- what the frame is ---- */

static void judge_sums(const E1000 *e, const E1000Packet *p, bool checked, Verdict *v)
{
    bool any = false;

    if (p->ipv4 && e->rxcsum & RXCSUM_IPOFL) {
        any = true;
        v->status |= RXD_IPCS;
        v->errors |= checked || e1000_ip_sum_is_right(p) ? 0 : RXD_IPE;
    }
    if (e1000_l4_has_sum(p) && e->rxcsum & RXCSUM_TUOFL &&
        (p->ipv4 || e1000_is_82574(e) || e->rxcsum & RXCSUM_IPV6OFL)) {
        any = true;
        v->status |= RXD_TCPCS | (p->protocol == IPPROTO_UDP && e1000_is_82574(e) ? RXD_UDPCS : 0);
        v->errors |= checked || e1000_l4_sum_is_right(p) ? 0 : RXD_TCPE;
    }
    v->status |= any ? 0 : RXD_IXSM;
}

static void judge(const E1000 *e, const uint8_t *frame, size_t length, bool checked, Verdict *v)
{
    unsigned start = e->rxcsum & 0xff; /* PCSS */
    E1000Packet p;

    e1000_parse(frame, length, &p);
    judge_sums(e, &p, checked, v);
    v->header = p.l4 ? p.payload : 0;
    v->hashed = e1000_rss(e, &p, &v->hash, &v->hash_type);
    if (!(e1000_is_82574(e) && e->rxcsum & RXCSUM_PCSD) && start < length) {
        v->sum = (uint16_t)~net_sum_end(net_sum(frame + start, length - start, 0));
    }
}

/* ---- into the buffers ---- */

typedef struct Source { const uint8_t *frame; size_t length, at, padded; } Source; /* behind length: zeros */

static void write_guest(E1000 *e, uint64_t address, const void *data, size_t length)
{
    if (length && dma_write(&e->pci.dma, address, data, length) < 0) {
        guest_error(e->nic.name, "a receive descriptor or its buffer is not in memory");
    }
}

/* The next bytes of the frame, as many as fit. */
static uint32_t fill(E1000 *e, uint64_t address, uint32_t room, Source *s)
{
    static const uint8_t zeros[E1000_FRAME_MIN + E1000_FCS_BYTES];
    size_t bytes = MIN(room, s->padded - s->at), real = s->at < s->length ? MIN(bytes, s->length - s->at) : 0;

    write_guest(e, address, s->frame + s->at, real);
    write_guest(e, address + real, zeros, bytes - real);
    s->at += bytes;
    return (uint32_t)bytes;
}

static uint32_t extended_status(const Verdict *v, bool last)
{
    return last ? (v->status | RXD_EOP | (uint32_t)v->errors << 24) : RXD_DD;
}

static void put_hash_or_sum(uint8_t *d, const E1000 *e, const Verdict *v)
{
    if (e->rxcsum & RXCSUM_PCSD) {
        pci_set32(d, v->hashed ? v->hash_type : 0);
        pci_set32(d + 4, v->hashed ? v->hash : 0);
    } else {
        pci_set32(d, v->hashed ? v->hash_type : 0);
        pci_set32(d + 4, (uint32_t)v->sum << 16);
    }
}

static void fill_legacy(E1000 *e, const Layout *l, uint64_t at, const uint8_t *d, Source *s, const Verdict *v)
{
    uint64_t buffer = pci_get32(d) | (uint64_t)pci_get32(d + 4) << 32;
    uint32_t bytes = fill(e, buffer, l->size[0], s);
    bool last = s->at == s->padded;
    uint8_t back[8];

    pci_set16(back, (uint16_t)bytes);
    pci_set16(back + 2, v->sum);
    pci_set32(back + 4, RXD_DD | (last ? (v->status & 0xff) | RXD_EOP | (uint32_t)v->errors << 8 |
                                         (uint32_t)v->tag << 16 : 0));
    write_guest(e, at + 8, back, 4);
    write_guest(e, at + 12, back + 4, 4);
}

static void fill_extended(E1000 *e, const Layout *l, uint64_t at, const uint8_t *d, Source *s, const Verdict *v)
{
    uint64_t buffer = pci_get32(d) | (uint64_t)pci_get32(d + 4) << 32;
    uint32_t bytes = fill(e, buffer, l->size[0], s);
    bool last = s->at == s->padded;
    uint8_t back[16];

    put_hash_or_sum(back, e, v);
    pci_set32(back + 8, RXD_DD | extended_status(v, last));
    pci_set16(back + 12, (uint16_t)bytes);
    pci_set16(back + 14, last ? v->tag : 0);
    write_guest(e, at, back, 8);
    write_guest(e, at + 12, back + 12, 4);
    write_guest(e, at + 8, back + 8, 4);
}

static void fill_split(E1000 *e, const Layout *l, uint64_t at, const uint8_t *d, Source *s, const Verdict *v)
{
    bool apart = s->at == 0 && v->header && v->header <= l->size[0];
    uint32_t bytes[BUFFERS];
    uint8_t back[32] = { 0 };
    bool last;

    for (unsigned i = 0; i < BUFFERS; i++) {
        uint64_t buffer = pci_get32(d + 8 * i) | (uint64_t)pci_get32(d + 8 * i + 4) << 32;

        bytes[i] = fill(e, buffer, i == 0 && apart ? (uint32_t)v->header : l->size[i], s);
        pci_set16(back + (i ? 16 + 2 * i : 12), (uint16_t)bytes[i]);
    }
    last = s->at == s->padded;
    put_hash_or_sum(back, e, v);
    pci_set32(back + 8, RXD_DD | extended_status(v, last));
    pci_set16(back + 14, last ? v->tag : 0);
    pci_set16(back + 16, apart ? (uint16_t)(v->header | RXD_HEADER_SPLIT) : 0);
    write_guest(e, at, back, 8);
    write_guest(e, at + 12, back + 12, 20);
    write_guest(e, at + 8, back + 8, 4);
}

/* The free descriptors suffice. */
static void fill_ring(E1000 *e, E1000RxRing *r, const Layout *l, Source *s, const Verdict *v)
{
    uint64_t base = r->rdbal | (uint64_t)r->rdbah << 32;

    while (s->at < s->padded) {
        uint64_t at = base + (uint64_t)r->rdh * E1000_DESCRIPTOR_BYTES;
        uint8_t d[2 * E1000_DESCRIPTOR_BYTES] = { 0 };

        if (dma_read(&e->pci.dma, at, d, l->step * E1000_DESCRIPTOR_BYTES) < 0) {
            guest_error(e->nic.name, "a receive descriptor is not in memory");
        }
        if (l->split) {
            fill_split(e, l, at, d, s, v);
        } else if (l->extended) {
            fill_extended(e, l, at, d, s, v);
        } else {
            fill_legacy(e, l, at, d, s, v);
        }
        r->rdh = (r->rdh + l->step) % l->steps;
    }
}

/* A header that goes apart leaves part of the first buffer empty. */
static uint64_t entries_for(const Layout *l, size_t bytes, const Verdict *v)
{
    size_t first = l->split && v->header && v->header <= l->size[0] ? l->total - l->size[0] + v->header : l->total;

    return bytes <= first ? 1 : 1 + (bytes - first + l->total - 1) / l->total;
}

/* ---- the way of a frame ---- */

static unsigned choose_queue(const E1000 *e, const Verdict *v)
{
    const uint8_t *reta = (const uint8_t *)e->reta;

    return v->hashed && reta[v->hash & 127] & RETA_QUEUE ? 1 : 0;
}

static bool is_too_long(const E1000 *e, size_t length)
{
    size_t wire = length + E1000_FCS_BYTES, limit = 1522;

    if (e->rctl & RCTL_LPE) {
        limit = e1000_is_82574(e) && e->rlpml ? e->rlpml : 16384;
    }
    return wire > limit && !(e->rctl & RCTL_SBP);
}

static void tell(E1000 *e, unsigned queue, const Layout *l, size_t bytes)
{
    uint32_t queue_cause = e1000_is_82574(e) ? ICR_RXQ0 << queue : 0;
    uint32_t few = l->steps / l->step >> (1 + (e->rctl >> 8 & 3)); /* RDMTS */
    uint32_t now = bytes <= e->rsrpd ? ICR_SRPD : 0;

    now |= free_entries(&e->rx[queue], l) <= few ? ICR_RXDMT0 : 0;
    e1000_raise_rx(e, ICR_RXT0 | queue_cause);
    if (now) {
        e1000_raise(e, now);
        e1000_flush_rx(e);
    }
}

/* The tag goes out of the frame into the descriptor: `flat` then holds the rest. */
static const uint8_t *strip_tag(E1000 *e, const uint8_t *frame, size_t *length, Verdict *v)
{
    if (get_be16(frame + 12) != (uint16_t)e->vet || *length < NET_FRAME_MIN + E1000_VLAN_BYTES) {
        return frame;
    }
    v->status |= RXD_VP;
    if (!(e->ctrl & CTRL_VME)) {
        return frame;
    }
    v->tag = get_be16(frame + 14);
    memmove(e->rx_frame + 12, frame + 16, *length - 16);
    memmove(e->rx_frame, frame, 12);
    *length -= E1000_VLAN_BYTES;
    return e->rx_frame;
}

bool e1000_receive_frame(E1000 *e, const uint8_t *frame, size_t length, bool checked)
{
    E1000Match match = length >= 16 ? e1000_filter(e, frame) : MATCH_NONE;
    Verdict v = { .status = match == MATCH_HASH ? RXD_PIF : 0 };
    E1000RxRing *r;
    Source s;
    Layout l;
    unsigned queue;

    if (match == MATCH_NONE) {
        e->stat[STAT_RUC] += length < 16;
        return true;
    }
    if (is_too_long(e, length)) {
        e->stat[STAT_ROC]++;
        return true;
    }
    frame = strip_tag(e, frame, &length, &v);
    judge(e, frame, length, checked, &v);
    queue = choose_queue(e, &v);
    r = &e->rx[queue];
    get_layout(e, r, &l);
    s = (Source) { .frame = frame, .length = length, .padded = MAX(length, E1000_FRAME_MIN) };
    s.padded += e->rctl & RCTL_SECRC ? 0 : E1000_FCS_BYTES;
    if (!l.total || entries_for(&l, s.padded, &v) >= l.steps / l.step) {
        e->stat[STAT_MPC]++; /* it never fits */
        return true;
    }
    if (free_entries(r, &l) < entries_for(&l, s.padded, &v)) {
        return false;
    }
    e1000_count_received(e, frame, length);
    fill_ring(e, r, &l, &s, &v);
    tell(e, queue, &l, length + E1000_FCS_BYTES);
    return true;
}

static bool receive_packet(E1000 *e, const NetPacket *packet)
{
    const uint8_t *frame = packet->iov[0].iov_base;

    if (!e->running) {
        return false;
    }
    if (!(e->rctl & RCTL_EN) || !e->link || e->rctl & RCTL_LBM ||
        !__atomic_load_n(&e->pci.dma.enabled, __ATOMIC_RELAXED)) {
        return true; /* nobody listens */
    }
    if (packet->n > 1) {
        iov_to_buffer(packet->iov, packet->n, 0, e->rx_frame, packet->length);
        frame = e->rx_frame;
    }
    return e1000_receive_frame(e, frame, packet->length, packet->header.flags & VIRTIO_NET_HDR_F_DATA_VALID);
}

bool e1000_nic_receive(NetNic *nic, unsigned queue, const NetPacket *packet)
{
    E1000 *e = of_nic(nic);
    bool taken;

    if (packet->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM || packet->header.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
        net_drop_received(&nic->queue[queue]); /* it never said that it takes such */
        return true;
    }
    lock_acquire(e->pci.dev.lock);
    taken = receive_packet(e, packet);
    e->rx_waits = !taken;
    lock_release(e->pci.dev.lock);
    return taken;
}
