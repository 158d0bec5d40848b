/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network with an egress policy around which there is nothing: frames that the guest sends and is sent are the
 * test's.
 */
#pragma once

#include "net/egress.h"

#define GUEST   "10.0.2.15"
#define GATEWAY "10.0.2.2"
#define SERVER  "10.0.2.3"

typedef struct EgressRig {
    Domain *domain;
    NetEgress *egress;
    GArray *forwards;
    char *folder, *audit;
    /* What the policy itself said last. */
    uint8_t to_guest[2048], to_network[2048];
    size_t guest_bytes, network_bytes;
} EgressRig;

/* Properties behind egress-policy,id=p.  `audit` is its log; with audit-chardev=log, the socket at which that is read. */
EgressRig *egress_rig_new(const char *policy);
void egress_rig_free(EgressRig *r);
void egress_rig_at(EgressRig *r, int64_t ms); /* guest time, since the beginning */

/* Ethernet, IP and transport headers; addresses of either family.  flags: of TCP; echo: 1 request, 0 reply. */
size_t frame_tcp(uint8_t *frame, const char *from, unsigned from_port, const char *to, unsigned to_port, unsigned flags,
                 uint32_t seq, uint32_t ack, size_t payload);
size_t frame_udp(uint8_t *frame, const char *from, unsigned from_port, const char *to, unsigned to_port,
                 const void *payload, size_t length);
size_t frame_echo(uint8_t *frame, const char *from, const char *to, bool request, unsigned id);
/* A question for `name`; an answer to it with these addresses (NULL ends; "=NAME" is a CNAME). */
size_t dns_question(uint8_t *dns, unsigned id, const char *name, unsigned type);
size_t dns_answer(uint8_t *dns, unsigned id, const char *name, unsigned type, unsigned ttl, const char *const *records);

/* Of a frame to the guest: what it is. */
bool is_reset(const uint8_t *frame, size_t length);
bool is_prohibited(const uint8_t *frame, size_t length);
