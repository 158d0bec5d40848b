/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames that turn a sender away at once, so that it need not wait for a timeout: TCP resets (RFC 9293, 3.10.7.1),
 * "communication administratively prohibited" (RFC 1812, 5.2.7.1; RFC 4443, 3.1).  See net/egress-packet.h.
 */
#include <string.h>

#include "net/egress-packet.h"
#include "net/offload.h"
#include "vmm/bytes.h"

#define ETHER_BYTES 14
#define TCP_BYTES   20
#define UDP_BYTES   8
#define ICMP_BYTES  8
#define TTL         64
#define QUOTED_MAX  512

static size_t ip_bytes(bool ipv6)
{
    return ipv6 ? 40 : 20;
}

/* Ethernet and IP headers in front of `length` bytes; where these go. */
static uint8_t *begin(uint8_t *frame, const uint8_t *mac_from, const uint8_t *mac_to, const EgressAddress *from,
                      const EgressAddress *to, uint8_t protocol, size_t length)
{
    bool ipv6 = !egress_is_ipv4(from);
    uint8_t *ip = frame + ETHER_BYTES;

    memset(frame, 0, ETHER_BYTES + ip_bytes(ipv6));
    memcpy(frame, mac_to, 6);
    memcpy(frame + 6, mac_from, 6);
    put_be16(frame + 12, ipv6 ? 0x86dd : 0x0800);
    if (ipv6) {
        ip[0] = 0x60;
        put_be16(ip + 4, (uint16_t)length);
        ip[6] = protocol;
        ip[7] = 255;
        memcpy(ip + 8, from->bytes, 16);
        memcpy(ip + 24, to->bytes, 16);
    } else {
        uint16_t sum;

        ip[0] = 0x45;
        put_be16(ip + 2, (uint16_t)(20 + length));
        ip[8] = TTL;
        ip[9] = protocol;
        memcpy(ip + 12, from->bytes + 12, 4);
        memcpy(ip + 16, to->bytes + 12, 4);
        sum = net_sum_end(net_sum(ip, 20, 0));
        memcpy(ip + 10, &sum, sizeof(sum));
    }
    return ip + ip_bytes(ipv6);
}

/* Over the payload and, but for ICMP of IPv4, the addresses. */
static void put_checksum(uint8_t *payload, size_t length, size_t at, bool ipv6, uint8_t protocol)
{
    bool alone = protocol == EGRESS_ICMP;
    uint32_t sum = alone ? 0 : net_sum_pseudo(payload - ip_bytes(ipv6), ipv6, protocol, length);
    uint16_t end = net_sum_end(net_sum(payload, length, sum));

    end = end || protocol != EGRESS_UDP ? end : 0xffff; /* RFC 768: no zero */
    memcpy(payload + at, &end, sizeof(end));
}

size_t egress_make_segment(const EgressSegment *s, uint8_t *ret)
{
    bool ipv6 = !egress_is_ipv4(&s->from);
    uint8_t *tcp = begin(ret, s->mac_from, s->mac_to, &s->from, &s->to, EGRESS_TCP, TCP_BYTES);

    memset(tcp, 0, TCP_BYTES);
    put_be16(tcp, s->from_port);
    put_be16(tcp + 2, s->to_port);
    put_be32(tcp + 4, s->seq);
    put_be32(tcp + 8, s->flags & EGRESS_ACK ? s->ack : 0);
    tcp[12] = TCP_BYTES / 4 << 4;
    tcp[13] = s->flags;
    put_checksum(tcp, TCP_BYTES, 16, ipv6, EGRESS_TCP);
    return (size_t)(tcp - ret) + TCP_BYTES;
}

static size_t refuse_segment(const EgressPacket *p, uint8_t *ret)
{
    bool has_ack = p->flags & EGRESS_ACK;
    const EgressSegment reset = {
        .mac_from = p->frame, .mac_to = p->frame + 6, .from = p->destination, .to = p->source,
        .from_port = p->destination_port, .to_port = p->source_port,
        .seq = has_ack ? p->ack : 0, .flags = EGRESS_RST | (has_ack ? 0 : EGRESS_ACK),
        .ack = p->seq + (uint32_t)(p->end - p->payload) + !!(p->flags & EGRESS_SYN) + !!(p->flags & EGRESS_FIN),
    };

    return p->flags & EGRESS_RST ? 0 : egress_make_segment(&reset, ret);
}

static size_t prohibit(const EgressPacket *p, const EgressAddress *gateway, uint8_t *ret)
{
    size_t quoted = MIN(p->end - p->ip, p->ipv6 ? QUOTED_MAX : ip_bytes(false) + 8);
    uint8_t *icmp = begin(ret, p->frame, p->frame + 6, gateway, &p->source, p->ipv6 ? EGRESS_ICMPV6 : EGRESS_ICMP,
                          ICMP_BYTES + quoted);

    memset(icmp, 0, ICMP_BYTES);
    icmp[0] = p->ipv6 ? 1 : 3;
    icmp[1] = p->ipv6 ? 1 : 13;
    memcpy(icmp + ICMP_BYTES, p->frame + p->ip, quoted);
    put_checksum(icmp, ICMP_BYTES + quoted, 2, p->ipv6, p->ipv6 ? EGRESS_ICMPV6 : EGRESS_ICMP);
    return (size_t)(icmp - ret) + ICMP_BYTES + quoted;
}

static bool later_fragment(const EgressPacket *p)
{
    return !p->ipv6 && (p->frame[p->ip + 6] & 0x1f || p->frame[p->ip + 7]);
}

size_t egress_make_refusal(const EgressPacket *p, const EgressAddress *gateway, uint8_t *ret)
{
    /* No error is told about errors, to many, or about the rest of a packet (RFC 1122, 3.2.2). */
    if (egress_is_multicast(&p->destination) || (p->kind != EGRESS_FLOW && p->kind != EGRESS_ODD) ||
        later_fragment(p) || (p->kind == EGRESS_ODD && strcmp(p->why, "length") == 0) ||
        p->ipv6 == egress_is_ipv4(gateway)) {
        return 0;
    }
    if (p->kind == EGRESS_FLOW && p->protocol == EGRESS_TCP) {
        return refuse_segment(p, ret);
    }
    return p->kind == EGRESS_FLOW && p->protocol == EGRESS_ICMP && !p->request ? 0 : prohibit(p, gateway, ret);
}

size_t egress_make_udp_answer(const EgressPacket *p, const uint8_t *payload, size_t length, uint8_t *ret)
{
    uint8_t *udp;

    if (ETHER_BYTES + ip_bytes(p->ipv6) + UDP_BYTES + length > EGRESS_ANSWER_MAX) {
        return 0;
    }
    udp = begin(ret, p->frame, p->frame + 6, &p->destination, &p->source, EGRESS_UDP, UDP_BYTES + length);
    put_be16(udp, p->destination_port);
    put_be16(udp + 2, p->source_port);
    put_be16(udp + 4, (uint16_t)(UDP_BYTES + length));
    put_be16(udp + 6, 0);
    memcpy(udp + UDP_BYTES, payload, length);
    put_checksum(udp, UDP_BYTES + length, 6, p->ipv6, EGRESS_UDP);
    return (size_t)(udp - ret) + UDP_BYTES + length;
}
