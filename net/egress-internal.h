/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The egress policy, between its files: egress.c (decisions), egress-flow.c (the table of connections),
 * egress-policy.c (the object), egress-audit.c (the log), egress-commands.c (monitors).  Main loop.
 */
#pragma once

#include "net/egress-names.h"
#include "net/egress-rule.h"
#include "net/egress.h"
#include "vmm/chardev.h"
#include "vmm/timer.h"

typedef enum EgressDefault { EGRESS_DENY, EGRESS_ALLOW } EgressDefault;
extern const FieldEnum egress_default_enum;
typedef enum EgressDns { EGRESS_DNS_AUTO, EGRESS_DNS_NAMES, EGRESS_DNS_ANY, EGRESS_DNS_OFF } EgressDns;

typedef struct EgressAudit {
    int fd;          /* -1: none */
    Chardev *chr;    /* NULL: none */
    bool failed;
    GString *waiting; /* for chr */
    int64_t free_at; /* of the meter that bounds what a guest makes it write; ns */
    uint64_t left_out;
} EgressAudit;

typedef struct EgressPolicy {
    Object object; /* first */
    /* Configuration */
    int otherwise; /* EgressDefault */
    int dns;       /* EgressDns */
    FieldList allow, deny; /* char *: what `rules` are made from */
    char *file, *audit_file, *audit_chardev;
    uint64_t quota_bytes;
    uint32_t max_connections, max_rate;
    /* Derived */
    GPtrArray *rules;    /* EgressRule: deny first */
    GPtrArray *networks; /* NetEgress */
    EgressAudit audit;
    unsigned connections;
    int64_t free_at;     /* of the meter of new connections; ns */
    uint64_t bytes, allowed, denied;
    bool used_up;        /* the quota of bytes: all is cut */
} EgressPolicy;

typedef struct EgressFlow {
    /* The key, first */
    EgressAddress guest, remote;
    uint16_t guest_port, remote_port;
    uint8_t protocol;
    /* --- */
    bool inward, host;
    uint8_t fins;     /* 1: the guest's; 2: the other side's */
    bool answered, has_acked;
    uint8_t mac_guest[6], mac_network[6];
    uint32_t guest_next, remote_next; /* TCP sequence numbers */
    uint32_t acked;   /* of the guest's, what libslirp waits for; has_acked */
    int64_t started, until;
    uint64_t sent, received; /* bytes of packets */
    char *name;       /* by which it was allowed; NULL: none */
    char *rule;       /* that allowed it */
} EgressFlow;

struct NetEgress {
    Domain *domain;
    EgressPolicy *policy;
    EgressPlace place;
    char *id;
    EgressNames *names;
    GHashTable *flows; /* EgressFlow to itself */
    Timer *sweep;
};

/* ---- egress-flow.c ---- */
GHashTable *egress_flows_new(void);
EgressFlow *egress_flow_find(NetEgress *e, const EgressPacket *p, bool from_guest);
EgressFlow *egress_flow_add(NetEgress *e, const EgressPacket *p, bool from_guest, const char *rule, const char *name);
/* Notes what passes it.  The flow may be gone afterwards. */
void egress_flow_track(NetEgress *e, EgressFlow *f, const EgressPacket *p, bool from_guest);
void egress_flow_end(NetEgress *e, EgressFlow *f, const char *verdict);
void egress_flow_cut(NetEgress *e, EgressFlow *f); /* both sides are told */
void egress_sweep(void *opaque);

/* ---- egress.c ---- */
int64_t egress_now(const NetEgress *e);
/* Rules or quotas have changed: what is not allowed any more is cut. */
void egress_review(NetEgress *e);
bool egress_is_host(const NetEgress *e, const EgressAddress *a);

/* ---- egress-audit.c ---- */
typedef struct EgressEntry {
    const NetEgress *egress;
    const char *verdict;  /* allow, deny, answer, closed, cut, expired */
    const char *rule;
    const char *name;     /* NULL: none */
    uint8_t protocol;     /* 0: `what` says it */
    const char *what;
    const EgressAddress *source, *destination;
    uint16_t source_port, destination_port;
    const EgressFlow *flow; /* it has ended; NULL: it has not */
    unsigned addresses;   /* learned */
} EgressEntry;
bool egress_audit_open(EgressPolicy *policy, GError **error);
void egress_audit_close(EgressPolicy *policy);
void egress_audit(const EgressEntry *entry);
const char *egress_protocol_name(uint8_t protocol);

/* ---- egress-policy.c ---- */
bool egress_policy_each(Domain *domain, bool (*fn)(EgressPolicy *policy, void *opaque), void *opaque);
EgressPolicy *egress_policy_find(Domain *domain, const char *id, GError **error);
/* So many bytes have passed; where these use the quota up, all connections are cut. */
void egress_policy_count(EgressPolicy *policy, size_t bytes);
/* Adds or removes them all, or none. */
bool egress_policy_change(EgressPolicy *policy, bool deny, bool add, const FieldList *rules, GError **error);
