/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decisions of the egress policy.  See net/egress.h, which draws the way.
 *
 * What is the user network's own is not asked about: ARP and neighbour discovery, DHCP, TFTP where tftp= is given,
 * echoes of the gateway and the name server, and what hostfwd and guestfwd have opened.  Every other address of the
 * network, the loopback and the like lead to the host itself (libslirp), so only `host` rules are about them, never `*`
 * or a prefix.
 *
 * Names are asked for at the network's name server, by UDP; where `dns` says so, only names that some rule allows, so
 * that names carry nothing to others' servers.  Its answers say which addresses a name's rules are about.
 *
 * What is refused whatever the rules say: packets that egress-packet.h calls odd; senders outside of the network, or
 * with the gateway's addresses; what comes for the guest without belonging to a connection.
 */
#include "net/egress.h"

#include <string.h>

#include "net/egress-internal.h"
#include "vmm/error.h"

enum { PORT_DNS = 53, PORT_BOOTPS = 67, PORT_BOOTPC = 68, PORT_TFTP = 69, PORT_DHCPV6_CLIENT = 546, PORT_DHCPV6 = 547 };

int64_t egress_now(const NetEgress *e)
{
    return clock_ns(domain_clock(e->domain));
}

/* ---- places of the network ---- */

static bool in_network(const NetEgress *e, const EgressAddress *a)
{
    return egress_is_ipv4(a) ? egress_in(a, &e->place.network4, e->place.bits4)
                             : egress_in(a, &e->place.network6, e->place.bits6);
}

static bool is_link_local(const EgressAddress *a)
{
    return !egress_is_ipv4(a) && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

/* The gateway's link-local address ends as its other one. */
static bool is_gateway(const NetEgress *e, const EgressAddress *a)
{
    return egress_same(a, egress_is_ipv4(a) ? &e->place.gateway4 : &e->place.gateway6) ||
           (is_link_local(a) && memcmp(a->bytes + 8, e->place.gateway6.bytes + 8, 8) == 0);
}

static bool is_name_server(const NetEgress *e, const EgressAddress *a)
{
    return egress_same(a, egress_is_ipv4(a) ? &e->place.dns4 : &e->place.dns6);
}

bool egress_is_host(const NetEgress *e, const EgressAddress *a)
{
    static const uint8_t zero[15];

    if (in_network(e, a) || is_link_local(a)) {
        return true;
    }
    return egress_is_ipv4(a)
               ? a->bytes[12] == 127 || a->bytes[12] == 0 || memcmp(a->bytes + 12, "\xff\xff\xff\xff", 4) == 0
               : memcmp(a->bytes, zero, sizeof(zero)) == 0 && a->bytes[15] <= 1;
}

static bool may_send(const NetEgress *e, const EgressAddress *a)
{
    return (in_network(e, a) || is_link_local(a)) && !is_gateway(e, a) && !is_name_server(e, a);
}

/* ---- what is the network's own ---- */

/* Only where libslirp answers itself: it sends the same ports at other groups into the host's network. */
static bool is_dhcp(const NetEgress *e, const EgressPacket *p)
{
    static const EgressAddress all4 = { { [10] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
                               servers6 = { { 0xff, 0x02, [13] = 1, 0, 2 } }; /* RFC 8415, 7.1 */

    if (p->protocol != EGRESS_UDP) {
        return false;
    }
    return p->ipv6 ? p->destination_port == PORT_DHCPV6 && egress_same(&p->destination, &servers6)
                   : p->destination_port == PORT_BOOTPS && p->source_port == PORT_BOOTPC &&
                         (egress_same(&p->destination, &e->place.gateway4) || egress_same(&p->destination, &all4));
}

static bool is_own(const NetEgress *e, const EgressPacket *p)
{
    if (p->protocol == EGRESS_ICMP) {
        return p->request && (is_gateway(e, &p->destination) || is_name_server(e, &p->destination));
    }
    return e->place.tftp && p->protocol == EGRESS_UDP && p->destination_port == PORT_TFTP &&
           is_gateway(e, &p->destination);
}

static bool is_own_answer(const NetEgress *e, const EgressPacket *p)
{
    if (p->protocol == EGRESS_ICMP) {
        return !p->request && (is_gateway(e, &p->source) || is_name_server(e, &p->source));
    }
    return p->protocol == EGRESS_UDP && is_gateway(e, &p->source) &&
           (p->source_port == PORT_TFTP || (p->source_port == PORT_BOOTPS && p->destination_port == PORT_BOOTPC) ||
            (p->source_port == PORT_DHCPV6 && p->destination_port == PORT_DHCPV6_CLIENT));
}

static bool is_forwarded(const NetEgress *e, const EgressPacket *p, bool inward)
{
    for (unsigned i = 0; i < e->place.forwards->len; i++) {
        const EgressForward *f = &g_array_index(e->place.forwards, EgressForward, i);

        if (f->inward == inward && p->protocol == (f->udp ? EGRESS_UDP : EGRESS_TCP) &&
            p->destination_port == f->port && (inward || egress_same(&p->destination, &f->address))) {
            return true;
        }
    }
    return false;
}

/* ---- rules ---- */

typedef struct Decision {
    bool allow;
    const char *rule, *name;
} Decision;

static Decision ask_rules(const EgressPolicy *policy, const EgressTarget *target)
{
    Decision d = { .allow = policy->otherwise == EGRESS_ALLOW, .rule = "default" };

    for (unsigned i = 0; i < policy->rules->len; i++) { /* deny first */
        EgressRule *rule = policy->rules->pdata[i];

        if (egress_rule_matches(rule, target, &d.name)) {
            d.allow = !rule->deny;
            d.rule = rule->text;
            rule->hits++;
            break;
        }
    }
    return d;
}

static Decision refuse(const char *rule)
{
    return (Decision) { .allow = false, .rule = rule };
}

/* Bounds on what the rules allow. */
static Decision ask_quotas(EgressPolicy *policy, int64_t now, Decision d)
{
    int64_t step = policy->max_rate ? NS_PER_SEC / policy->max_rate : 0;

    if (!d.allow) {
        return d;
    }
    if (policy->used_up) {
        return refuse("quota-bytes");
    }
    if (policy->connections >= policy->max_connections) {
        return refuse("max-connections");
    }
    if (policy->max_rate && policy->free_at > now + NS_PER_SEC - step) {
        return refuse("max-rate");
    }
    policy->free_at = MAX(policy->free_at, now) + step;
    return d;
}

static bool may_ask_anything(const EgressPolicy *policy)
{
    return policy->dns == EGRESS_DNS_ANY || (policy->dns == EGRESS_DNS_AUTO && policy->otherwise == EGRESS_ALLOW);
}

static Decision decide(NetEgress *e, const EgressPacket *p)
{
    int64_t now = egress_now(e);
    EgressTarget target = {
        .address = p->destination, .host = egress_is_host(e, &p->destination), .protocol = p->protocol,
        .port = p->destination_port, .names = egress_names_of(e->names, &p->destination, now),
    };
    Decision d;

    if (!may_send(e, &p->source)) {
        return refuse("source");
    }
    if (egress_is_multicast(&p->destination)) {
        return refuse("multicast");
    }
    if (p->protocol == EGRESS_ICMP && !p->request) {
        return refuse("reply");
    }
    d = is_forwarded(e, p, false) ? (Decision) { .allow = true, .rule = "guestfwd" }
      : is_name_server(e, &p->destination) && p->destination_port == PORT_DNS
          ? (Decision) { .allow = may_ask_anything(e->policy), .rule = "dns" } /* by TCP: nobody reads along */
          : ask_rules(e->policy, &target);
    if (d.allow && is_name_server(e, &p->destination) && p->destination_port != PORT_DNS &&
        strcmp(d.rule, "default") != 0) {
        d = refuse("dns"); /* libslirp leads to the real server, which is not the host that the rule is about */
    }
    return ask_quotas(e->policy, now, d);
}

/* ---- refusals ---- */

static void tell_refused(NetEgress *e, const EgressPacket *p, const char *rule, const char *what)
{
    uint8_t frame[EGRESS_ANSWER_MAX];
    size_t length = egress_make_refusal(p, p->ipv6 ? &e->place.gateway6 : &e->place.gateway4, frame);
    const char *const *names = egress_names_of(e->names, &p->destination, egress_now(e));
    const EgressEntry entry = {
        .egress = e, .verdict = "deny", .rule = rule, .name = names[0], .protocol = p->protocol, .what = what,
        .source = &p->source, .destination = &p->destination, .source_port = p->source_port,
        .destination_port = p->destination_port,
    };

    e->policy->denied++;
    egress_audit(&entry);
    if (length) {
        e->place.to_guest(e->place.opaque, frame, length);
    }
}

/* ---- names ---- */

static bool may_ask(const EgressPolicy *policy, const char *name)
{
    bool any = may_ask_anything(policy);

    if (policy->dns == EGRESS_DNS_OFF || !egress_name_is_good(name)) {
        return any;
    }
    for (unsigned i = 0; i < policy->rules->len; i++) {
        const EgressRule *rule = policy->rules->pdata[i];

        if (!egress_rule_names(rule, name) && (rule->deny || rule->where != EGRESS_ANY)) {
            continue;
        }
        if (!rule->deny) {
            return true;
        }
        if (!rule->ranges && !rule->protocol) {
            return false;
        }
    }
    return any;
}

static bool ask_name(NetEgress *e, const EgressPacket *p)
{
    const uint8_t *dns = p->frame + p->payload;
    uint8_t answer[EGRESS_ANSWER_MAX], frame[EGRESS_ANSWER_MAX];
    EgressEntry entry = {
        .egress = e,
        .verdict = "allow",
        .rule = "dns",
        .what = "dns",
        .source = &p->source,
        .destination = &p->destination,
    };
    EgressQuestion q;
    size_t length;

    if (!may_send(e, &p->source) || !egress_question_parse(dns, p->end - p->payload, &q)) {
        tell_refused(e, p, may_send(e, &p->source) ? "dns" : "source", "dns");
        return false;
    }
    entry.name = q.name;
    if (!e->policy->used_up && may_ask(e->policy, q.name)) {
        egress_names_ask(e->names, p, &q, egress_now(e));
        egress_audit(&entry);
        egress_policy_count(e->policy, p->end - p->ip);
        return true;
    }
    entry.verdict = "deny";
    e->policy->denied++;
    egress_audit(&entry);
    length = egress_make_no_such_name(dns, &q, answer, sizeof(answer));
    length = length ? egress_make_udp_answer(p, answer, length, frame) : 0;
    if (length) {
        e->place.to_guest(e->place.opaque, frame, length);
    }
    return false;
}

static bool take_answer(NetEgress *e, const EgressPacket *p)
{
    char name[256];
    EgressEntry entry = {
        .egress = e,
        .verdict = "answer",
        .what = "dns",
        .source = &p->source,
        .destination = &p->destination,
        .name = name,
    };

    if (!egress_names_answer(e->names, p, egress_now(e), &entry.addresses, name)) {
        return false;
    }
    egress_audit(&entry);
    egress_policy_count(e->policy, p->end - p->ip);
    return true;
}

/* ---- frames ---- */

static bool send_flow(NetEgress *e, const EgressPacket *p)
{
    EgressFlow *f = egress_flow_find(e, p, true);
    Decision d;

    if (f && f->fins == 3 && p->protocol == EGRESS_TCP && (p->flags & (EGRESS_SYN | EGRESS_ACK)) == EGRESS_SYN) {
        egress_flow_end(e, f, "closed"); /* the same ports anew */
        f = NULL;
    }
    if (!f) {
        d = decide(e, p);
        if (!d.allow) {
            tell_refused(e, p, d.rule, NULL);
            return false;
        }
        f = egress_flow_add(e, p, true, d.rule, d.name);
    }
    egress_flow_track(e, f, p, true);
    egress_policy_count(e->policy, p->end - p->ip);
    return true;
}

bool net_egress_send(NetEgress *e, const uint8_t *frame, size_t length)
{
    EgressPacket p;

    egress_parse(frame, length, &p);
    switch (p.kind) {
    case EGRESS_LINK:
        return true;
    case EGRESS_NOTHING:
    case EGRESS_CONTROL: /* libslirp makes nothing of them */
        return false;
    case EGRESS_ODD:
        if (!egress_is_multicast(&p.destination)) { /* every guest tells its groups */
            tell_refused(e, &p, p.why, "ip");
        }
        return false;
    case EGRESS_FLOW:
        break;
    }
    if (is_dhcp(e, &p) || (is_own(e, &p) && may_send(e, &p.source))) {
        return true;
    }
    if (p.protocol == EGRESS_UDP && p.destination_port == PORT_DNS && is_name_server(e, &p.destination)) {
        return ask_name(e, &p);
    }
    return send_flow(e, &p);
}

/* A connection that a hostfwd lets in. */
static EgressFlow *let_in(NetEgress *e, const EgressPacket *p)
{
    bool begins = p->protocol == EGRESS_UDP || (p->flags & (EGRESS_SYN | EGRESS_ACK)) == EGRESS_SYN;

    if (!begins || !is_forwarded(e, p, true) ||
        !ask_quotas(e->policy, egress_now(e), (Decision) { .allow = true, .rule = "hostfwd" }).allow) {
        return NULL;
    }
    return egress_flow_add(e, p, false, "hostfwd", NULL);
}

bool net_egress_receive(NetEgress *e, const uint8_t *frame, size_t length)
{
    EgressFlow *f;
    EgressPacket p;

    egress_parse(frame, length, &p);
    if (p.kind == EGRESS_LINK || p.kind == EGRESS_CONTROL) {
        return true;
    }
    if (p.kind != EGRESS_FLOW) {
        return false;
    }
    if (is_own_answer(e, &p)) {
        return true;
    }
    if (p.protocol == EGRESS_UDP && p.source_port == PORT_DNS && is_name_server(e, &p.source)) {
        return take_answer(e, &p);
    }
    f = egress_flow_find(e, &p, false);
    f = f || p.protocol == EGRESS_ICMP ? f : let_in(e, &p);
    if (f) {
        egress_flow_track(e, f, &p, false);
        egress_policy_count(e->policy, p.end - p.ip);
    } else if (p.protocol == EGRESS_TCP && p.flags & EGRESS_RST) {
        return true; /* libslirp's word on what it does not know either */
    }
    return f != NULL;
}

/* ---- changes ---- */

static bool is_still_allowed(NetEgress *e, const EgressFlow *f)
{
    const char *const *known = egress_names_of(e->names, &f->remote, egress_now(e));
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    EgressTarget target = { .address = f->remote, .host = f->host, .protocol = f->protocol, .port = f->remote_port };

    if (e->policy->used_up) {
        return false;
    }
    if (f->inward || strcmp(f->rule, "guestfwd") == 0) {
        return true;
    }
    if (f->name) { /* it may not be known any more */
        g_ptr_array_add(names, f->name);
    }
    for (; *known; known++) {
        g_ptr_array_add(names, (char *)*known);
    }
    g_ptr_array_add(names, NULL);
    target.names = (const char *const *)names->pdata;
    return strcmp(f->rule, "dns") == 0 ? may_ask_anything(e->policy) : ask_rules(e->policy, &target).allow;
}

void egress_review(NetEgress *e)
{
    g_autoptr(GPtrArray) over = g_ptr_array_new();
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, e->flows);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (!is_still_allowed(e, key)) {
            g_ptr_array_add(over, g_memdup2(key, sizeof(EgressFlow))); /* its key: what is cut may end others */
        }
    }
    for (unsigned i = 0; i < over->len; i++) {
        EgressFlow *f = g_hash_table_lookup(e->flows, over->pdata[i]);

        if (f) {
            egress_flow_cut(e, f);
        }
        g_free(over->pdata[i]);
    }
}

void net_egress_reset(NetEgress *e)
{
    g_autoptr(GList) all = g_hash_table_get_keys(e->flows);

    for (GList *l = all; l; l = l->next) {
        egress_flow_end(e, l->data, "closed");
    }
}

/* ---- life ---- */

NetEgress *net_egress_new(Domain *domain, const char *id, const EgressPlace *place, GError **error)
{
    EgressPolicy *policy = egress_policy_find(domain, id, error);
    NetEgress *e;

    if (!policy) {
        return NULL;
    }
    e = g_new0(NetEgress, 1);
    e->domain = domain;
    e->policy = policy;
    e->place = *place;
    e->id = g_strdup(place->id);
    e->names = egress_names_new();
    e->flows = egress_flows_new();
    e->sweep = timer_new(domain_loop(domain), domain_clock(domain), egress_sweep, e);
    policy->object.users++;
    g_ptr_array_add(policy->networks, e);
    return e;
}

void net_egress_free(NetEgress *e)
{
    if (!e) {
        return;
    }
    net_egress_reset(e);
    e->policy->object.users--;
    g_ptr_array_remove(e->policy->networks, e);
    timer_free(e->sweep);
    g_hash_table_unref(e->flows);
    egress_names_free(e->names);
    g_free(e->id);
    g_free(e);
}
