/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The egress policy of user networks: what a guest may reach through one.  It is Lodge's own.
 *
 *     -object egress-policy,id=ci,allow=*.debian.org:80+443,allow=10.1.0.0/16,deny=10.1.9.0/24,audit=ci.log
 *     -nic user,egress=ci
 *
 * It stands in front of libslirp, and sees every frame of the guest first (net/egress-packet.h), keeps a table of
 * connections (net/egress-flow.c), and decides of each new one by the rules (net/egress-rule.h):
 *
 *     frame of the guest -> parsed -> known connection?  -> libslirp
 *                                  -> question for a name -> allowed? -> the name server -> its answer: learned
 *                                  -> new: deny rules, allow rules, default, quotas -> noted and handed on, or refused
 *     frame for the guest -> parsed -> known connection, or one that a hostfwd lets in -> the guest
 *
 * A deny rule wins over each allow rule; what no rule is about is decided by `default`.  Who is refused is told at
 * once: a reset, or that it is prohibited.  Main loop only.
 */
#pragma once

#include "net/egress-packet.h"
#include "vmm/command.h"
#include "vmm/domain.h"
#include "vmm/object.h"

typedef struct NetEgress NetEgress;

/* What hostfwd and guestfwd have opened: they are allowed by having been asked for. */
typedef struct EgressForward {
    bool udp, inward; /* inward: to the guest (hostfwd) */
    EgressAddress address; /* guestfwd: of the network */
    uint16_t port;         /* inward: the guest's */
    EgressAddress host;    /* inward: by this and host_port it is removed */
    uint16_t host_port;
} EgressForward;

/* The user network that it stands in front of. */
typedef struct EgressPlace {
    const char *id;    /* of the netdev */
    bool ipv4, ipv6;
    EgressAddress network4, gateway4, dns4;
    unsigned bits4;    /* of 128 */
    EgressAddress network6, gateway6, dns6;
    unsigned bits6;
    bool tftp;
    const GArray *forwards; /* EgressForward; the network's */
    void (*to_guest)(void *opaque, const uint8_t *frame, size_t length);
    void (*to_network)(void *opaque, const uint8_t *frame, size_t length); /* later, not from within the call */
    void *opaque;
} EgressPlace;

extern const ObjectClass egress_policy_class;

/* policy: id of the object. */
NetEgress *net_egress_new(Domain *domain, const char *policy, const EgressPlace *place, GError **error);
void net_egress_free(NetEgress *e); /* NULL is fine */
/* A frame of the guest, and one for it; false: it is not to be handed on. */
bool net_egress_send(NetEgress *e, const uint8_t *frame, size_t length);
bool net_egress_receive(NetEgress *e, const uint8_t *frame, size_t length);
/* Every connection is over, without a word to anybody: the network has been made anew. */
void net_egress_reset(NetEgress *e);

/* ---- monitors ---- */
extern const Command egress_commands[];
extern const FieldStruct egress_policy_props;
bool egress_rules_change(Domain *domain, const char *id, bool deny, bool add, const char *rule, GError **error);
void egress_info(Domain *domain, GString *out);
