/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See net/egress-packet.h.  Documents: RFC 791, RFC 8200 (IP), RFC 792, RFC 4443 (ICMP), RFC 9293 (TCP).
 *
 * It must not see less than libslirp, which gets the same bytes afterwards; so whatever would need a second reading is
 * refused for its form: fragments (libslirp would put them together), IP options (it would strip them), extension
 * headers of IPv6, IPv4 addresses in IPv6 packets, tags of VLANs, lengths that do not fit.
 */
#include "net/egress-packet.h"

#include <arpa/inet.h>
#include <string.h>

#include "vmm/bytes.h"

#define ETHER_BYTES 14
#define IP4_BYTES   20
#define IP6_BYTES   40
#define ICMP_BYTES  8
#define UDP_BYTES   8
#define TCP_BYTES   20

enum { ETHER_IP4 = 0x0800, ETHER_ARP = 0x0806, ETHER_IP6 = 0x86dd };
enum { ICMP_ECHO_REPLY = 0, ICMP_ECHO = 8, ICMP6_ECHO = 128, ICMP6_ECHO_REPLY = 129 };
enum { ICMP6_ROUTER_SOLICIT = 133, ICMP6_REDIRECT = 137 };

/* ---- addresses ---- */

static const uint8_t mapped[12] = { [10] = 0xff, 0xff };

EgressAddress egress_address4(uint32_t network_order)
{
    EgressAddress a;

    memcpy(a.bytes, mapped, sizeof(mapped));
    memcpy(a.bytes + 12, &network_order, 4);
    return a;
}

EgressAddress egress_address6(const void *bytes)
{
    EgressAddress a;

    memcpy(a.bytes, bytes, sizeof(a.bytes));
    return a;
}

bool egress_is_ipv4(const EgressAddress *a)
{
    return memcmp(a->bytes, mapped, sizeof(mapped)) == 0;
}

bool egress_same(const EgressAddress *a, const EgressAddress *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

uint32_t egress_hash(uint32_t hash, const void *bytes, size_t length)
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ p[i]) * 16777619u;
    }
    return hash;
}

bool egress_in(const EgressAddress *a, const EgressAddress *prefix, unsigned bits)
{
    unsigned bytes = bits / 8, rest = bits % 8;

    return memcmp(a->bytes, prefix->bytes, bytes) == 0 &&
           (!rest || ((a->bytes[bytes] ^ prefix->bytes[bytes]) >> (8 - rest)) == 0);
}

bool egress_is_multicast(const EgressAddress *a)
{
    static const uint8_t all[4] = { 255, 255, 255, 255 };

    return egress_is_ipv4(a) ? (a->bytes[12] & 0xf0) == 0xe0 || memcmp(a->bytes + 12, all, 4) == 0
                             : a->bytes[0] == 0xff;
}

const char *egress_address_text(const EgressAddress *a, char text[EGRESS_ADDRESS_TEXT])
{
    bool ipv4 = egress_is_ipv4(a);

    return inet_ntop(ipv4 ? AF_INET : AF_INET6, a->bytes + (ipv4 ? 12 : 0), text, EGRESS_ADDRESS_TEXT);
}

/* ---- parsing ---- */

static void odd(EgressPacket *p, const char *why)
{
    p->kind = EGRESS_ODD;
    p->why = why;
}

static void parse_icmp(EgressPacket *p)
{
    const uint8_t *icmp = p->frame + p->transport;
    uint8_t request = p->ipv6 ? ICMP6_ECHO : ICMP_ECHO, reply = p->ipv6 ? ICMP6_ECHO_REPLY : ICMP_ECHO_REPLY;

    if (p->end < p->transport + ICMP_BYTES) {
        odd(p, "length");
        return;
    }
    p->protocol = EGRESS_ICMP;
    if (icmp[0] == request || icmp[0] == reply) {
        p->kind = EGRESS_FLOW;
        p->request = icmp[0] == request;
        p->source_port = get_be16(icmp + 4);
        p->payload = p->transport + ICMP_BYTES;
    } else {
        p->kind = p->ipv6 && icmp[0] >= ICMP6_ROUTER_SOLICIT && icmp[0] < ICMP6_REDIRECT ? EGRESS_LINK : EGRESS_CONTROL;
    }
}

static void parse_udp(EgressPacket *p)
{
    const uint8_t *udp = p->frame + p->transport;

    if (p->end < p->transport + UDP_BYTES || get_be16(udp + 4) < UDP_BYTES ||
        get_be16(udp + 4) > p->end - p->transport) {
        odd(p, "length");
        return;
    }
    p->kind = EGRESS_FLOW;
    p->end = p->transport + get_be16(udp + 4);
    p->payload = p->transport + UDP_BYTES;
    p->source_port = get_be16(udp);
    p->destination_port = get_be16(udp + 2);
}

static void parse_tcp(EgressPacket *p)
{
    const uint8_t *tcp = p->frame + p->transport;
    size_t bytes;

    if (p->end < p->transport + TCP_BYTES) {
        odd(p, "length");
        return;
    }
    bytes = (size_t)(tcp[12] >> 4) * 4;
    if (bytes < TCP_BYTES || p->transport + bytes > p->end) {
        odd(p, "length");
        return;
    }
    p->kind = EGRESS_FLOW;
    p->payload = p->transport + bytes;
    p->source_port = get_be16(tcp);
    p->destination_port = get_be16(tcp + 2);
    p->seq = get_be32(tcp + 4);
    p->ack = get_be32(tcp + 8);
    p->flags = tcp[13];
}

static void parse_transport(EgressPacket *p)
{
    if (p->protocol == EGRESS_TCP) {
        parse_tcp(p);
    } else if (p->protocol == EGRESS_UDP) {
        parse_udp(p);
    } else if (p->protocol == (p->ipv6 ? EGRESS_ICMPV6 : EGRESS_ICMP)) {
        parse_icmp(p);
    } else {
        odd(p, "protocol");
    }
}

static void parse_ip4(EgressPacket *p, size_t length)
{
    const uint8_t *ip = p->frame + ETHER_BYTES;
    uint32_t address[2];
    size_t total;

    if (length < ETHER_BYTES + IP4_BYTES || ip[0] >> 4 != 4) {
        p->kind = EGRESS_NOTHING;
        return;
    }
    memcpy(address, ip + 12, sizeof(address));
    p->source = egress_address4(address[0]);
    p->destination = egress_address4(address[1]);
    p->protocol = ip[9];
    total = get_be16(ip + 2);
    p->end = ETHER_BYTES + total;
    p->transport = ETHER_BYTES + IP4_BYTES;
    if (total < IP4_BYTES || p->end > length) {
        odd(p, "length");
    } else if (ip[0] != 0x45) {
        odd(p, "options");
    } else if (get_be16(ip + 6) & 0x3fff) {
        odd(p, "fragment");
    } else {
        parse_transport(p);
    }
}

static bool holds_ipv4(const EgressAddress *a)
{
    static const uint8_t zero[12];

    /* ::a.b.c.d, but for :: and ::1 */
    return egress_is_ipv4(a) || (memcmp(a->bytes, zero, sizeof(zero)) == 0 && get_be32(a->bytes + 12) > 1);
}

static void parse_ip6(EgressPacket *p, size_t length)
{
    const uint8_t *ip = p->frame + ETHER_BYTES;

    if (length < ETHER_BYTES + IP6_BYTES || ip[0] >> 4 != 6) {
        p->kind = EGRESS_NOTHING;
        return;
    }
    p->ipv6 = true;
    p->source = egress_address6(ip + 8);
    p->destination = egress_address6(ip + 24);
    p->protocol = ip[6];
    p->transport = ETHER_BYTES + IP6_BYTES;
    p->end = p->transport + get_be16(ip + 4);
    if (p->end > length) {
        odd(p, "length");
    } else if (holds_ipv4(&p->source) || holds_ipv4(&p->destination)) {
        odd(p, "mapped-address");
    } else {
        parse_transport(p);
    }
}

void egress_parse(const uint8_t *frame, size_t length, EgressPacket *ret)
{
    uint16_t type = length >= ETHER_BYTES ? get_be16(frame + 12) : 0;

    *ret = (EgressPacket) { .kind = EGRESS_NOTHING, .frame = frame, .ip = ETHER_BYTES };
    if (type == ETHER_ARP) {
        ret->kind = EGRESS_LINK;
    } else if (type == ETHER_IP4) {
        parse_ip4(ret, length);
    } else if (type == ETHER_IP6) {
        parse_ip6(ret, length);
    }
}
