/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules of the egress policy, as people write them.  Any thread; a rule is constant once parsed.
 *
 *     [tcp:|udp:|icmp:]WHERE[:PORTS]
 *
 *     WHERE   *                      any address outside
 *             192.0.2.0/24  192.0.2.7  2001:db8::/32  [2001:db8::7]
 *             example.org            the addresses that the guest has got for this name from the network's name server
 *             *.example.org          ... for any name below it
 *             host                   the host itself: every address of the user network, the loopback
 *     PORTS   443  80+443  8000-8010+9000        of TCP and UDP; without: all, and ICMP echo
 */
#pragma once

#include "net/egress-packet.h"

#define EGRESS_RANGES_MAX 16
#define EGRESS_RULES_MAX  1024
#define EGRESS_NAME_MAX   253

typedef enum EgressWhere { EGRESS_ANY, EGRESS_PREFIX, EGRESS_NAME, EGRESS_BELOW, EGRESS_HOST } EgressWhere;

typedef struct EgressRange { uint16_t from, to; } EgressRange;

typedef struct EgressRule {
    char *text;
    bool deny;
    EgressWhere where;
    uint8_t protocol; /* 0: each */
    EgressAddress prefix;
    unsigned bits;
    char *name;       /* lower case; EGRESS_BELOW: what stands behind the star's dot */
    EgressRange range[EGRESS_RANGES_MAX];
    unsigned ranges;  /* 0: every port */
    uint64_t hits;    /* decisions that it made */
} EgressRule;

EgressRule *egress_rule_parse(const char *text, bool deny, GError **error);
void egress_rule_free(EgressRule *rule);

/* Where a packet is going to. */
typedef struct EgressTarget {
    EgressAddress address;
    bool host;                /* the host itself */
    uint8_t protocol;
    uint16_t port;
    const char *const *names; /* of the address; NULL-terminated */
} EgressTarget;
/* *ret_name: the target's name by which it matches; NULL: by address. */
bool egress_rule_matches(const EgressRule *rule, const EgressTarget *target, const char **ret_name);
bool egress_rule_names(const EgressRule *rule, const char *name); /* lower case */
/* false: no name of a host (RFC 1123), as far as this matters. */
bool egress_name_is_good(const char *name);
