/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See net/coalesce.h.  Documents: RFC 9293 (TCP), Virtio 1.2, 5.1.6.4.1 (what a large packet's header says).
 *
 * Only segments that differ in what changes from one to the next are put together: sequence and
 * acknowledgement number, window, PSH, and the packet's length, number and checksums.
 */
#include "net/coalesce.h"

#include <netinet/in.h>
#include <string.h>

#include "vmm/bytes.h"

#define IP4_VARIES_FROM 2 /* length and number; then flags, TTL and protocol; the checksum; addresses */
#define IP4_FLAGS_AT    6
#define IP4_CHECK_AT    10
#define IP4_ADDRESSES   12
#define SEQ_AT          4
#define OFFSET_AT       12
#define FLAGS_AT        13
#define CHECK_AT        16
#define OPTIONS_AT      20
#define PACKET_MAX      65535
enum { FLAG_PSH = 0x08, FLAG_ACK = 0x10 };

static bool can_begin(const uint8_t *frame, size_t length, unsigned takes, NetTcp *ret)
{
    return takes & NET_CSUM && length <= NET_FRAME_MAX && net_find_tcp(frame, length, ret) && ret->end == length &&
           ret->end > ret->payload && takes & (ret->ipv6 ? NET_TSO6 : NET_TSO4) &&
           (frame[ret->tcp + FLAGS_AT] & ~FLAG_PSH) == FLAG_ACK;
}

static bool same(const uint8_t *a, const uint8_t *b, size_t from, size_t to)
{
    return memcmp(a + from, b + from, to - from) == 0;
}

static bool same_stream(const NetCoalescer *c, const uint8_t *frame, const NetTcp *t)
{
    const uint8_t *a = c->frame;
    size_t ip = t->ip, tcp = t->tcp;

    if (t->ipv6 != c->tcp.ipv6 || ip != c->tcp.ip || tcp != c->tcp.tcp || t->payload != c->tcp.payload ||
        !same(a, frame, 0, ip)) {
        return false;
    }
    if (t->ipv6 ? !same(a, frame, ip, ip + 4) || !same(a, frame, ip + 6, tcp)
                : !same(a, frame, ip, ip + IP4_VARIES_FROM) ||
                      !same(a, frame, ip + IP4_FLAGS_AT, ip + IP4_CHECK_AT) ||
                      !same(a, frame, ip + IP4_ADDRESSES, tcp)) {
        return false;
    }
    return same(a, frame, tcp, tcp + SEQ_AT) && same(a, frame, tcp + OPTIONS_AT, t->payload) &&
           get_be32(frame + tcp + SEQ_AT) == c->next;
}

static void note(NetCoalescer *c, const uint8_t *frame, const NetTcp *t, size_t bytes)
{
    c->next = get_be32(frame + t->tcp + SEQ_AT) + (uint32_t)bytes;
    c->closed = bytes < c->size || frame[t->tcp + FLAGS_AT] & FLAG_PSH;
    c->segments++;
}

static void begin(NetCoalescer *c, const uint8_t *frame, const NetTcp *t)
{
    memcpy(c->frame, frame, t->end);
    c->tcp = *t;
    c->length = t->end;
    c->size = t->end - t->payload;
    c->segments = 0;
    note(c, frame, t, c->size);
}

static void append(NetCoalescer *c, const uint8_t *frame, const NetTcp *t, size_t bytes)
{
    /* Acknowledgement number, flags and window are the newest. */
    memcpy(c->frame + t->tcp + SEQ_AT + 4, frame + t->tcp + SEQ_AT + 4, CHECK_AT - SEQ_AT - 4);
    memcpy(c->frame + c->length, frame + t->payload, bytes);
    c->length += bytes;
    note(c, frame, t, bytes);
}

bool net_coalesce(NetCoalescer *c, const void *frame, size_t length, unsigned takes)
{
    size_t bytes;
    NetTcp t;

    if (!can_begin(frame, length, takes, &t)) {
        return false;
    }
    if (!c->length) {
        begin(c, frame, &t);
        return true;
    }
    bytes = t.end - t.payload;
    if (c->closed || bytes > c->size || c->length + bytes - t.ip > PACKET_MAX || !same_stream(c, frame, &t)) {
        return false;
    }
    append(c, frame, &t, bytes);
    return true;
}

/* The sum of the pseudo header, to be completed over the rest. */
static void prepare_checksum(uint8_t *frame, const NetTcp *t, size_t bytes)
{
    uint16_t end = (uint16_t)~net_sum_end(net_sum_pseudo(frame + t->ip, t->ipv6, IPPROTO_TCP, bytes));

    memcpy(frame + t->tcp + CHECK_AT, &end, sizeof(end));
}

static void finish_headers(const NetCoalescer *c)
{
    const NetTcp *t = &c->tcp;
    uint8_t *ip = c->frame + t->ip;

    if (t->ipv6) {
        put_be16(ip + 4, (uint16_t)(c->length - t->tcp));
    } else {
        uint16_t end;

        put_be16(ip + 2, (uint16_t)(c->length - t->ip));
        memset(ip + IP4_CHECK_AT, 0, 2);
        end = net_sum_end(net_sum(ip, t->tcp - t->ip, 0));
        memcpy(ip + IP4_CHECK_AT, &end, sizeof(end));
    }
    prepare_checksum(c->frame, t, c->length - t->tcp);
}

bool net_coalesced(NetCoalescer *c, struct iovec *iov, NetPacket *ret)
{
    const NetTcp *t = &c->tcp;

    if (!c->length) {
        return false;
    }
    *iov = (struct iovec) { c->frame, c->length };
    *ret = (NetPacket) { .header = { .flags = VIRTIO_NET_HDR_F_DATA_VALID }, .iov = iov, .n = 1, .length = c->length };
    if (c->segments > 1) {
        finish_headers(c);
        ret->header = (struct virtio_net_hdr) {
            .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
            .gso_type = t->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
            .hdr_len = (uint16_t)t->payload, .gso_size = (uint16_t)c->size,
            .csum_start = (uint16_t)t->tcp, .csum_offset = CHECK_AT,
        };
    }
    c->length = 0;
    return true;
}
