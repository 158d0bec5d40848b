/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames as the egress policy sees them: what a frame is about, and the answers that turn a sender away.
 * Pure functions on bytes; any thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* IPv4 as it is mapped into IPv6 (::ffff:a.b.c.d).  Such addresses in IPv6 packets are no packets of ours. */
typedef struct EgressAddress { uint8_t bytes[16]; } EgressAddress;

#define EGRESS_ADDRESS_TEXT 46

enum { EGRESS_ICMP = 1, EGRESS_TCP = 6, EGRESS_UDP = 17, EGRESS_ICMPV6 = 58 };
enum { EGRESS_FIN = 1, EGRESS_SYN = 2, EGRESS_RST = 4, EGRESS_ACK = 16 };

typedef enum EgressKind {
    EGRESS_LINK,    /* ARP, neighbour and router discovery: the network's own */
    EGRESS_NOTHING, /* nobody behind libslirp would ever see it */
    EGRESS_ODD,     /* an IP packet that is refused for its form; `why` says which */
    EGRESS_CONTROL, /* an ICMP message that is no echo */
    EGRESS_FLOW,    /* TCP, UDP, ICMP echo */
} EgressKind;

typedef struct EgressPacket {
    EgressKind kind;
    const char *why;
    const uint8_t *frame;
    size_t ip, transport, payload, end; /* offsets; end: of the IP packet */
    bool ipv6;
    bool request;    /* ICMP: an echo request, no reply */
    uint8_t protocol; /* ICMPv6 is EGRESS_ICMP */
    uint8_t flags;   /* TCP */
    uint32_t seq, ack;
    EgressAddress source, destination;
    uint16_t source_port, destination_port; /* ICMP: source_port is its identifier */
} EgressPacket;

void egress_parse(const uint8_t *frame, size_t length, EgressPacket *ret);

EgressAddress egress_address4(uint32_t network_order);
EgressAddress egress_address6(const void *bytes);
bool egress_is_ipv4(const EgressAddress *a);
bool egress_same(const EgressAddress *a, const EgressAddress *b);
/* Of tables: FNV-1a, to go on with; begins with EGRESS_HASH. */
#define EGRESS_HASH 2166136261u
uint32_t egress_hash(uint32_t hash, const void *bytes, size_t length);
bool egress_in(const EgressAddress *a, const EgressAddress *prefix, unsigned bits);
bool egress_is_multicast(const EgressAddress *a); /* or broadcast to all */
const char *egress_address_text(const EgressAddress *a, char text[EGRESS_ADDRESS_TEXT]);

/* ---- answers ---- */
#define EGRESS_ANSWER_MAX 640

/* A TCP segment without payload; from, to: of its sender and receiver.  Length of the frame. */
typedef struct EgressSegment {
    const uint8_t *mac_from, *mac_to;
    EgressAddress from, to;
    uint16_t from_port, to_port;
    uint32_t seq, ack;
    uint8_t flags;
} EgressSegment;
size_t egress_make_segment(const EgressSegment *s, uint8_t *ret);
/* What a refused packet's sender is told: a reset, or (by gateway) that it is prohibited.  0: nothing. */
size_t egress_make_refusal(const EgressPacket *p, const EgressAddress *gateway, uint8_t *ret);
/* A UDP packet with that payload in answer to p.  0: it is too long. */
size_t egress_make_udp_answer(const EgressPacket *p, const uint8_t *payload, size_t length, uint8_t *ret);
