/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a received frame is: where its headers lie, whether its checksums are right (SDM 3.2.9; DS 7.1.9), and the hash
 * that spreads flows over queues (DS 7.1.8).  IPv6 extension headers and fragments end the search: such a packet has no
 * layer 4.
 *
 * Pure functions on bytes, which may be anything.
 */
#include "hw/net/e1000.h"

#include <netinet/in.h>
#include <string.h>

#include "net/offload.h"
#include "vmm/bytes.h"

#define ETHER_BYTES    14
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define IPV4_BYTES     20
#define IPV6_BYTES     40
#define TCP_BYTES      20
#define UDP_BYTES      8
#define IPV4_FRAGMENT  0x3fff /* MF and the offset */
/* RSS types in a descriptor (DS 7.1.8.1) */
enum { RSS_NONE, RSS_TCP_IPV4, RSS_IPV4, RSS_TCP_IPV6, RSS_IPV6_EX, RSS_IPV6 };

/* ---- where things are ---- */

static void find_l4(E1000Packet *p, size_t at)
{
    size_t header = p->protocol == IPPROTO_UDP ? UDP_BYTES : TCP_BYTES;

    if ((p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP) || p->fragment || at + header > p->end) {
        return;
    }
    if (p->protocol == IPPROTO_TCP) {
        header = (size_t)(p->frame[at + 12] >> 4) * 4;
        if (header < TCP_BYTES || at + header > p->end) {
            return;
        }
    }
    p->l4 = at;
    p->payload = at + header;
}

static void find_ipv4(E1000Packet *p)
{
    const uint8_t *ip = p->frame + p->l3;
    size_t header, total;

    if (p->l3 + IPV4_BYTES > p->length || ip[0] >> 4 != 4) {
        return;
    }
    header = (size_t)(ip[0] & 15) * 4;
    total = get_be16(ip + 2);
    if (header < IPV4_BYTES || total < header || p->l3 + total > p->length) {
        return;
    }
    p->ipv4 = true;
    p->protocol = ip[9];
    p->fragment = get_be16(ip + 6) & IPV4_FRAGMENT;
    p->end = p->l3 + total;
    find_l4(p, p->l3 + header);
}

static void find_ipv6(E1000Packet *p)
{
    const uint8_t *ip = p->frame + p->l3;

    if (p->l3 + IPV6_BYTES > p->length || ip[0] >> 4 != 6 || p->l3 + IPV6_BYTES + get_be16(ip + 4) > p->length) {
        return;
    }
    p->ipv6 = true;
    p->protocol = ip[6];
    p->end = p->l3 + IPV6_BYTES + get_be16(ip + 4);
    find_l4(p, p->l3 + IPV6_BYTES);
}

void e1000_parse(const uint8_t *frame, size_t length, E1000Packet *ret)
{
    uint16_t type = get_be16(frame + ETHER_BYTES - 2);

    *ret = (E1000Packet) { .frame = frame, .length = length, .l3 = ETHER_BYTES };
    if (type == ETHERTYPE_VLAN && length >= ETHER_BYTES + E1000_VLAN_BYTES) {
        ret->l3 += E1000_VLAN_BYTES;
        type = get_be16(frame + ret->l3 - 2);
    }
    if (type == ETHERTYPE_IPV4) {
        find_ipv4(ret);
    } else if (type == ETHERTYPE_IPV6) {
        find_ipv6(ret);
    }
}

/* ---- checksums ---- */

bool e1000_ip_sum_is_right(const E1000Packet *p)
{
    const uint8_t *ip = p->frame + p->l3;

    return net_sum_end(net_sum(ip, (size_t)(ip[0] & 15) * 4, 0)) == 0;
}

/* UDP over IPv4 may do without (RFC 768). */
bool e1000_l4_has_sum(const E1000Packet *p)
{
    return p->l4 && !(p->protocol == IPPROTO_UDP && p->ipv4 && get_be16(p->frame + p->l4 + 6) == 0);
}

bool e1000_l4_sum_is_right(const E1000Packet *p)
{
    size_t length = p->end - p->l4;
    uint32_t sum = net_sum_pseudo(p->frame + p->l3, p->ipv6, p->protocol, length);

    return net_sum_end(net_sum(p->frame + p->l4, length, sum)) == 0;
}

/* ---- RSS ---- */

/* Toeplitz: for each bit of the input that is set, the 32 bits of the key that begin there. */
static uint32_t toeplitz(const E1000 *e, const uint8_t *input, unsigned length)
{
    const uint8_t *key = (const uint8_t *)e->rssrk; /* in the order of its bytes; little-endian hosts only */
    uint64_t window = 0;
    uint32_t hash = 0;

    for (unsigned i = 0; i < 4; i++) {
        window = window << 8 | key[i];
    }
    for (unsigned i = 0; i < length; i++) {
        window = window << 8 | key[i + 4];
        for (unsigned bit = 0; bit < 8; bit++) {
            hash ^= input[i] & 0x80 >> bit ? (uint32_t)(window >> (8 - bit)) : 0;
        }
    }
    return hash;
}

bool e1000_rss(const E1000 *e, const E1000Packet *p, uint32_t *ret_hash, uint8_t *ret_type)
{
    bool tcp = p->l4 && p->protocol == IPPROTO_TCP;
    unsigned addresses = p->ipv4 ? 8 : 32;
    uint8_t input[36];

    if ((e->mrqc & 3) != 1) {
        return false;
    }
    if (p->ipv4 && tcp && e->mrqc & MRQC_TCP_IPV4) {
        *ret_type = RSS_TCP_IPV4;
    } else if (p->ipv6 && tcp && e->mrqc & MRQC_TCP_IPV6) {
        *ret_type = RSS_TCP_IPV6;
    } else if (p->ipv4 && e->mrqc & MRQC_IPV4) {
        *ret_type = RSS_IPV4;
    } else if (p->ipv6 && e->mrqc & (MRQC_IPV6 | MRQC_IPV6_EX)) {
        *ret_type = e->mrqc & MRQC_IPV6 ? RSS_IPV6 : RSS_IPV6_EX;
    } else {
        return false;
    }
    memcpy(input, p->frame + p->l3 + (p->ipv4 ? 12 : 8), addresses);
    if (*ret_type == RSS_TCP_IPV4 || *ret_type == RSS_TCP_IPV6) {
        memcpy(input + addresses, p->frame + p->l4, 4); /* the ports */
        addresses += 4;
    }
    *ret_hash = toeplitz(e, input, addresses);
    return true;
}
