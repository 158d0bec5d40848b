/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work on frames that a sender left to the receiver: checksums and cutting TCP streams into segments (Virtio 1.2,
 * 5.1.6.2), for receivers that take neither.  Pure functions on bytes; any thread.
 */
#pragma once

#include "net/net.h"

/* What the packet leaves to its receiver (NetOffload). */
unsigned net_packet_needs(const NetPacket *packet);
/* Whether the header makes sense for this frame; a guest may have written anything there. */
bool net_packet_is_sane(const NetPacket *packet);

/* Where the parts of a TCP packet lie in its frame. */
typedef struct NetTcp {
    bool ipv6;
    size_t ip, tcp, payload; /* offsets */
    size_t end;              /* of the packet: a short frame is padded */
} NetTcp;
/* false: it is none, or one of a kind that is left alone. */
bool net_find_tcp(const uint8_t *frame, size_t length, NetTcp *ret);

typedef bool (*NetFrameFn)(void *opaque, const NetPacket *frame); /* false: the rest is not wanted */
/* Completes checksums and, where `takes` lacks it, cuts; each resulting frame goes to fn.  frame: NET_FRAME_MAX bytes
 * of room.  A packet that is kept whole has a complete checksum nevertheless.  false: it is no TCP packet that can be
 * cut, and fn was not called. */
bool net_finish(const NetPacket *packet, unsigned takes, uint8_t *frame, NetFrameFn fn, void *opaque);

/* The Internet checksum (RFC 1071): a sum to go on with, and its end. */
uint32_t net_sum(const void *data, size_t length, uint32_t sum);
/* Of the pseudo header for `length` bytes of TCP, UDP or ICMPv6 behind the IP header (RFC 9293, 3.1; RFC 8200, 8.1). */
uint32_t net_sum_pseudo(const uint8_t *ip, bool ipv6, uint8_t protocol, size_t length);
uint16_t net_sum_end(uint32_t sum); /* as it is stored: in memory order */
