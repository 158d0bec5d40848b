/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checksums and segmentation in software.  Documents: RFC 1071 (checksum), RFC 791, 8200 and 9293 (the headers that
 * change from segment to segment), RFC 3168 section 6.1.2 (CWR goes with the first segment).
 *
 * Not done: UDP fragmentation, IPv6 extension headers, IPv4 fragments: such packets are not cut.
 */
#include "net/offload.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

#include "vmm/bytes.h"
#include "vmm/iov.h"

#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHER_BYTES    14
#define VLAN_BYTES     4
#define ID_AT          4  /* of the IPv4 header */
#define SEQ_AT         4  /* of the TCP header */
#define FLAGS_AT       13
#define CHECK_AT       16
enum { FLAG_FIN = 0x01, FLAG_PSH = 0x08, FLAG_CWR = 0x80 };

/* ---- the checksum ---- */

uint32_t net_sum(const void *data, size_t length, uint32_t sum)
{
    const uint8_t *p = data;
    uint64_t wide = sum;

    for (; length >= 4; p += 4, length -= 4) {
        uint32_t word;

        memcpy(&word, p, sizeof(word));
        wide += word;
    }
    if (length >= 2) {
        uint16_t half;

        memcpy(&half, p, sizeof(half));
        wide += half;
        p += 2;
        length -= 2;
    }
    if (length) {
        wide += *p; /* padded with a zero behind it: little endian */
    }
    wide = (wide & UINT32_MAX) + (wide >> 32);
    wide = (wide & UINT32_MAX) + (wide >> 32);
    return (uint32_t)wide;
}

uint32_t net_sum_pseudo(const uint8_t *ip, bool ipv6, uint8_t protocol, size_t length)
{
    uint8_t tail[8];

    put_be32(tail, (uint32_t)length);
    put_be32(tail + 4, protocol);
    return net_sum(tail, sizeof(tail), net_sum(ip + (ipv6 ? 8 : 12), ipv6 ? 32 : 8, 0));
}

uint16_t net_sum_end(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void store_sum(uint8_t *p, uint32_t sum)
{
    uint16_t end = net_sum_end(sum);

    memcpy(p, &end, sizeof(end));
}

/* What stands at `offset` is the sum of the pseudo header.  UDP has no checksum of zero (RFC 768). */
static void complete(uint8_t *from, size_t length, size_t offset)
{
    uint16_t end = net_sum_end(net_sum(from, length, 0));

    end = end ? end : 0xffff;
    memcpy(from + offset, &end, sizeof(end));
}

/* ---- headers ---- */

unsigned net_packet_needs(const NetPacket *packet)
{
    const struct virtio_net_hdr *h = &packet->header;
    unsigned needs = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? NET_CSUM : 0;

    if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
        return needs;
    }
    needs |= h->gso_type & VIRTIO_NET_HDR_GSO_ECN ? NET_ECN : 0;
    return needs | ((h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV4 ? NET_TSO4 : NET_TSO6);
}

bool net_packet_is_sane(const NetPacket *packet)
{
    const struct virtio_net_hdr *h = &packet->header;
    uint8_t gso = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

    if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && (size_t)h->csum_start + h->csum_offset + 2 > packet->length) {
        return false;
    }
    if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
        return true;
    }
    /* 5.1.6.2: a packet that is to be cut has its checksums left to do, too. */
    return (gso == VIRTIO_NET_HDR_GSO_TCPV4 || gso == VIRTIO_NET_HDR_GSO_TCPV6) && h->gso_size &&
           h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
}

static bool find_ipv4(const uint8_t *frame, size_t length, NetTcp *ret)
{
    const uint8_t *ip = frame + ret->ip;
    size_t header = (size_t)(ip[0] & 15) * 4, total = get_be16(ip + 2);

    if (ip[0] >> 4 != 4 || header < sizeof(struct ip) || ip[9] != IPPROTO_TCP ||
        get_be16(ip + 6) & (IP_MF | IP_OFFMASK)) {
        return false;
    }
    ret->tcp = ret->ip + header;
    ret->end = ret->ip + total;
    return ret->end <= length && ret->tcp + sizeof(struct tcphdr) <= ret->end;
}

static bool find_ipv6(const uint8_t *frame, size_t length, NetTcp *ret)
{
    const uint8_t *ip = frame + ret->ip;

    ret->tcp = ret->ip + sizeof(struct ip6_hdr);
    if (ret->tcp > length || ip[0] >> 4 != 6 || ip[6] != IPPROTO_TCP) {
        return false;
    }
    ret->end = ret->tcp + get_be16(ip + 4);
    return ret->end <= length && ret->tcp + sizeof(struct tcphdr) <= ret->end;
}

bool net_find_tcp(const uint8_t *frame, size_t length, NetTcp *ret)
{
    uint16_t type;

    if (length < ETHER_BYTES + VLAN_BYTES + sizeof(struct ip)) {
        return false;
    }
    ret->ip = ETHER_BYTES;
    type = get_be16(frame + 12);
    if (type == ETHERTYPE_VLAN) {
        type = get_be16(frame + 16);
        ret->ip += VLAN_BYTES;
    }
    ret->ipv6 = type == ETHERTYPE_IPV6;
    if (!(type == ETHERTYPE_IPV4 ? find_ipv4(frame, length, ret) : ret->ipv6 && find_ipv6(frame, length, ret))) {
        return false;
    }
    ret->payload = ret->tcp + (size_t)(frame[ret->tcp + 12] >> 4) * 4;
    return ret->payload >= ret->tcp + sizeof(struct tcphdr) && ret->payload <= ret->end;
}

/* Of the TCP header and `payload` bytes, with the pseudo header. */
static uint32_t tcp_sum(const uint8_t *frame, const NetTcp *t, const uint8_t *payload, size_t bytes)
{
    size_t header = t->payload - t->tcp;
    uint32_t sum = net_sum_pseudo(frame + t->ip, t->ipv6, IPPROTO_TCP, header + bytes);

    return net_sum(payload, bytes, net_sum(frame + t->tcp, header, sum));
}

static void finish_tcp(uint8_t *frame, const NetTcp *t, const uint8_t *payload, size_t bytes)
{
    memset(frame + t->tcp + CHECK_AT, 0, 2);
    store_sum(frame + t->tcp + CHECK_AT, tcp_sum(frame, t, payload, bytes));
}

/* ---- cutting ---- */

/* The headers in front of the segment that begins `at` bytes into the payload. */
static void head_segment(uint8_t *head, const uint8_t *frame, const NetTcp *t, size_t at, size_t bytes, bool last,
                         unsigned number)
{
    uint8_t *ip = head + t->ip, *tcp = head + t->tcp;

    memcpy(head, frame, t->payload);
    if (t->ipv6) {
        put_be16(ip + 4, (uint16_t)(t->payload - t->tcp + bytes));
    } else {
        put_be16(ip + 2, (uint16_t)(t->payload - t->ip + bytes));
        put_be16(ip + ID_AT, (uint16_t)(get_be16(ip + ID_AT) + number));
        memset(ip + 10, 0, 2);
        store_sum(ip + 10, net_sum(ip, t->tcp - t->ip, 0));
    }
    put_be32(tcp + SEQ_AT, get_be32(tcp + SEQ_AT) + (uint32_t)at);
    if (!last) {
        tcp[FLAGS_AT] &= (uint8_t)~(FLAG_FIN | FLAG_PSH);
    }
    if (number) {
        tcp[FLAGS_AT] &= (uint8_t)~FLAG_CWR;
    }
    finish_tcp(head, t, frame + t->payload + at, bytes);
}

/* Headers of up to 14 + 4 + 60 + 60 bytes. */
#define HEADERS_MAX 138

static void cut(uint8_t *frame, const NetTcp *t, size_t size, NetFrameFn fn, void *opaque)
{
    size_t all = t->end - t->payload;
    size_t at = 0;
    unsigned number = 0;

    do {
        size_t bytes = MIN(size, all - at);
        uint8_t head[HEADERS_MAX];
        const struct iovec iov[] = { { head, t->payload }, { frame + t->payload + at, bytes } };
        const NetPacket segment = { .iov = iov, .n = 2, .length = t->payload + bytes };

        head_segment(head, frame, t, at, bytes, at + bytes == all, number++);
        if (!fn(opaque, &segment)) {
            return;
        }
        at += bytes;
    } while (at < all);
}

bool net_finish(const NetPacket *packet, unsigned takes, uint8_t *frame, NetFrameFn fn, void *opaque)
{
    const struct virtio_net_hdr *h = &packet->header;
    struct iovec iov = { frame, packet->length };
    const NetPacket whole = { .iov = &iov, .n = 1, .length = packet->length };
    unsigned gso = net_packet_needs(packet) & (NET_TSO4 | NET_TSO6);
    NetTcp t;

    iov_to_buffer(packet->iov, packet->n, 0, frame, packet->length);
    if (!gso) {
        if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
            complete(frame + h->csum_start, packet->length - h->csum_start, h->csum_offset);
        }
        fn(opaque, &whole);
        return true;
    }
    if (!net_find_tcp(frame, packet->length, &t) || t.payload > HEADERS_MAX) {
        return false;
    }
    if (takes & gso) {
        finish_tcp(frame, &t, frame + t.payload, t.end - t.payload);
        fn(opaque, &whole);
    } else {
        cut(frame, &t, h->gso_size, fn, opaque);
    }
    return true;
}
