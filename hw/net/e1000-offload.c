/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What descriptors ask for before a frame goes: checksums, cutting into segments, a VLAN tag (SDM 3.3.3 to 3.3.7, 3.5;
 * DS 7.2.4 to 7.2.11).  The IP header is finished here, as is a checksum that has an end of its own; what virtio-net's
 * header can say (the last checksum of a frame, segments of TCP) is left to whoever takes it.
 *
 * Left out: cutting of UDP, which no driver that we know asks for.
 *
 * Locking: the device's lock is held.  Every offset is the guest's and is checked here.
 */
#include "hw/net/e1000.h"

#include <string.h>

#include "net/offload.h"
#include "vmm/bytes.h"
#include "vmm/error.h"

#define MACS_BYTES  12
#define IPV4_BYTES  20
#define IPV6_BYTES  40
#define TCP_BYTES   20
#define TCP_SUM_AT  16

/* Where a context has something summed and put. */
typedef struct Sum { size_t start, offset, end; } Sum;

static Sum get_sum(uint32_t context, size_t length)
{
    Sum s = { .start = context & 0xff, .offset = context >> 8 & 0xff, .end = context >> 16 };

    s.end = s.end && s.end < length ? s.end + 1 : length; /* it is the last byte; 0: all of it */
    return s;
}

static bool sum_is_sane(const Sum *s, size_t length)
{
    return s->start < s->end && s->offset + 2 <= length;
}

/* What stands at the offset counts, unless it is to be zero. */
static void sum_in_place(uint8_t *frame, const Sum *s)
{
    uint16_t end = net_sum_end(net_sum(frame + s->start, s->end - s->start, 0));

    memcpy(frame + s->offset, &end, sizeof(end));
}

static bool sum_ip(uint8_t *frame, const E1000Context *c, size_t length)
{
    Sum s = get_sum(c->ip, length);

    if (!sum_is_sane(&s, length)) {
        return false;
    }
    memset(frame + s.offset, 0, 2); /* SDM 3.5.6: the hardware fills in all of it */
    sum_in_place(frame, &s);
    return true;
}

/* The checksum of layer 4 is the receiver's if it ends where the frame does. */
static bool sum_l4(uint8_t *frame, const E1000Context *c, size_t length, struct virtio_net_hdr *header)
{
    Sum s = get_sum(c->tu, length);

    if (!sum_is_sane(&s, length)) {
        return false;
    }
    if (s.end == length && s.offset >= s.start) {
        header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        header->csum_start = (uint16_t)s.start;
        header->csum_offset = (uint16_t)(s.offset - s.start);
    } else {
        sum_in_place(frame, &s);
    }
    return true;
}

/* SDM 3.5.7: the driver leaves lengths out of the headers and of the pseudo header's sum, as they differ by segment. */
static bool prepare_segments(uint8_t *frame, const E1000Context *c, size_t length, struct virtio_net_hdr *header)
{
    Sum ip = get_sum(c->ip, length), tu = get_sum(c->tu, length);
    bool ipv4 = c->command & TUCMD_IP;
    size_t headers = c->status >> 8 & 0xff, mss = c->status >> 16;
    uint32_t sum;
    uint16_t field, folded;

    if (!(c->command & TUCMD_TCP) || !mss || headers >= length || tu.start + TCP_BYTES > headers ||
        ip.start + (ipv4 ? IPV4_BYTES : IPV6_BYTES) > tu.start || tu.offset != tu.start + TCP_SUM_AT ||
        length - ip.start > UINT16_MAX + (ipv4 ? 0 : IPV6_BYTES)) {
        return false;
    }
    if (ipv4) {
        put_be16(frame + ip.start + 2, (uint16_t)(length - ip.start));
        if (!sum_ip(frame, c, length)) {
            return false;
        }
    } else {
        put_be16(frame + ip.start + 4, (uint16_t)(length - ip.start - IPV6_BYTES));
    }
    memcpy(&field, frame + tu.offset, sizeof(field));
    sum = (uint32_t)field + GUINT16_TO_BE((uint16_t)(length - tu.start));
    folded = (uint16_t)~net_sum_end(sum);
    memcpy(frame + tu.offset, &folded, sizeof(folded));
    *header = (struct virtio_net_hdr) {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = ipv4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6,
        .hdr_len = (uint16_t)headers, .gso_size = (uint16_t)mss,
        .csum_start = (uint16_t)tu.start, .csum_offset = TCP_SUM_AT,
    };
    return true;
}

static bool apply_options(const E1000 *e, const E1000TxRing *q, const E1000Frame *f, uint8_t *frame,
                          struct virtio_net_hdr *header)
{
    bool segments = f->options & TXD_TSE;
    const E1000Context *c = &q->context[segments && !e1000_is_82574(e)];

    if (segments) {
        return prepare_segments(frame, c, f->length, header);
    }
    return (!(f->options & TXD_IXSM) || sum_ip(frame, c, f->length)) &&
           (!(f->options & TXD_TXSM) || sum_l4(frame, c, f->length, header));
}

static bool sum_legacy(const E1000Frame *f, uint8_t *frame)
{
    Sum s = { .start = f->css, .offset = f->cso, .end = f->length };

    if (!sum_is_sane(&s, f->length)) {
        return false;
    }
    sum_in_place(frame, &s);
    return true;
}

/* In the room before the frame. */
static uint8_t *put_tag(const E1000 *e, E1000Frame *f, uint8_t *frame, struct virtio_net_hdr *header)
{
    memmove(frame - E1000_VLAN_BYTES, frame, MACS_BYTES);
    put_be16(frame + MACS_BYTES - E1000_VLAN_BYTES, (uint16_t)e->vet);
    put_be16(frame + MACS_BYTES - E1000_VLAN_BYTES + 2, f->tag);
    f->length += E1000_VLAN_BYTES;
    if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        header->csum_start += E1000_VLAN_BYTES;
        header->hdr_len += header->hdr_len ? E1000_VLAN_BYTES : 0;
    }
    return frame - E1000_VLAN_BYTES;
}

uint8_t *e1000_finish_frame(E1000 *e, const E1000TxRing *q, E1000Frame *f, struct virtio_net_hdr *ret_header)
{
    uint8_t *frame = e->tx_frame + E1000_VLAN_BYTES;

    *ret_header = (struct virtio_net_hdr) { .flags = 0 };
    if (f->length < NET_FRAME_MIN) {
        return NULL;
    }
    if (!(f->legacy_sum ? sum_legacy(f, frame) : apply_options(e, q, f, frame, ret_header))) {
        return NULL;
    }
    if (f->length < E1000_FRAME_MIN && e->tctl & TCTL_PSP) {
        if (ret_header->flags) { /* a sum to the end of the frame would take the padding in */
            const Sum s = { .start = ret_header->csum_start, .end = f->length,
                            .offset = (size_t)ret_header->csum_start + ret_header->csum_offset };

            sum_in_place(frame, &s);
            *ret_header = (struct virtio_net_hdr) { .flags = 0 };
        }
        memset(frame + f->length, 0, E1000_FRAME_MIN - f->length);
        f->length = E1000_FRAME_MIN;
    }
    return f->tagged && e->ctrl & CTRL_VME ? put_tag(e, f, frame, ret_header) : frame;
}
