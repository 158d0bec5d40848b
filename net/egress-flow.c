/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of connections of a user network with an egress policy.  See net/egress-internal.h.
 *
 * Bounded by the policy's max-connections; a connection leaves when it is over (both ends, or a reset), when nothing
 * has passed it for the time of its kind, or when it is cut.  libslirp has timeouts of its own, none longer than these
 * but for TCP, which it keeps as long as its socket lives.  Times are the guest's.
 */
#include <string.h>

#include "net/egress-internal.h"

#define SWEEP_TIME       (5 * NS_PER_SEC)
#define TCP_TIME         (24 * 3600 * NS_PER_SEC)
#define TCP_OPENING_TIME (150 * NS_PER_SEC)
#define TCP_CLOSED_TIME  (10 * NS_PER_SEC)
#define UDP_TIME         (300 * NS_PER_SEC)
#define ICMP_TIME        (30 * NS_PER_SEC)

/* ---- the table ---- */

static guint flow_hash(gconstpointer key)
{
    const EgressFlow *f = key;
    uint32_t hash = EGRESS_HASH;

    hash = egress_hash(hash, &f->guest, sizeof(f->guest));
    hash = egress_hash(hash, &f->remote, sizeof(f->remote));
    hash = egress_hash(hash, &f->guest_port, sizeof(f->guest_port));
    hash = egress_hash(hash, &f->remote_port, sizeof(f->remote_port));
    return egress_hash(hash, &f->protocol, sizeof(f->protocol));
}

static gboolean flow_equal(gconstpointer a, gconstpointer b)
{
    const EgressFlow *x = a, *y = b;

    return x->protocol == y->protocol && x->guest_port == y->guest_port && x->remote_port == y->remote_port &&
           egress_same(&x->guest, &y->guest) && egress_same(&x->remote, &y->remote);
}

static void flow_free(gpointer data)
{
    EgressFlow *f = data;

    g_free(f->name);
    g_free(f->rule);
    g_free(f);
}

GHashTable *egress_flows_new(void)
{
    return g_hash_table_new_full(flow_hash, flow_equal, flow_free, NULL);
}

static void put_key(EgressFlow *f, const EgressPacket *p, bool from_guest)
{
    f->protocol = p->protocol;
    f->guest = from_guest ? p->source : p->destination;
    f->remote = from_guest ? p->destination : p->source;
    f->guest_port = from_guest ? p->source_port : p->destination_port;
    f->remote_port = from_guest ? p->destination_port : p->source_port;
    if (p->protocol == EGRESS_ICMP) { /* one identifier, both ways */
        f->guest_port = p->source_port;
        f->remote_port = 0;
    }
}

EgressFlow *egress_flow_find(NetEgress *e, const EgressPacket *p, bool from_guest)
{
    EgressFlow key;

    put_key(&key, p, from_guest);
    return g_hash_table_lookup(e->flows, &key);
}

static EgressEntry entry_of(const NetEgress *e, const EgressFlow *f, const char *verdict)
{
    return (EgressEntry) {
        .egress = e, .verdict = verdict, .rule = f->rule, .name = f->name, .protocol = f->protocol,
        .source = f->inward ? &f->remote : &f->guest, .destination = f->inward ? &f->guest : &f->remote,
        .source_port = f->inward ? f->remote_port : f->guest_port,
        .destination_port = f->inward ? f->guest_port : f->remote_port,
    };
}

EgressFlow *egress_flow_add(NetEgress *e, const EgressPacket *p, bool from_guest, const char *rule, const char *name)
{
    EgressFlow *f = g_new0(EgressFlow, 1);
    EgressEntry entry;

    put_key(f, p, from_guest);
    f->inward = !from_guest;
    f->host = egress_is_host(e, &f->remote);
    f->started = egress_now(e);
    f->rule = g_strdup(rule);
    f->name = g_strdup(name);
    memcpy(f->mac_guest, p->frame + (from_guest ? 6 : 0), sizeof(f->mac_guest));
    memcpy(f->mac_network, p->frame + (from_guest ? 0 : 6), sizeof(f->mac_network));
    g_hash_table_add(e->flows, f);
    e->policy->connections++;
    e->policy->allowed++;
    entry = entry_of(e, f, "allow");
    egress_audit(&entry);
    if (!timer_pending(e->sweep)) {
        timer_mod(e->sweep, f->started + SWEEP_TIME);
    }
    return f;
}

void egress_flow_end(NetEgress *e, EgressFlow *f, const char *verdict)
{
    EgressEntry entry = entry_of(e, f, verdict);

    entry.flow = f;
    egress_audit(&entry);
    e->policy->connections--;
    g_hash_table_remove(e->flows, f);
}

/* ---- what passes ---- */

static void follow_tcp(EgressFlow *f, const EgressPacket *p, bool from_guest)
{
    uint32_t end = p->seq + (uint32_t)(p->end - p->payload) + !!(p->flags & EGRESS_SYN) + !!(p->flags & EGRESS_FIN);
    uint32_t *next = from_guest ? &f->guest_next : &f->remote_next;

    if (!*next || (int32_t)(end - *next) > 0) {
        *next = end;
    }
    if (!from_guest && p->flags & EGRESS_ACK && (!f->has_acked || (int32_t)(p->ack - f->acked) > 0)) {
        f->acked = p->ack;
        f->has_acked = true;
    }
    if (p->flags & EGRESS_FIN) {
        f->fins |= from_guest ? 1 : 2;
    }
}

static int64_t time_of(const EgressFlow *f)
{
    switch (f->protocol) {
    case EGRESS_TCP:
        return f->fins == 3 ? TCP_CLOSED_TIME : f->answered ? TCP_TIME : TCP_OPENING_TIME;
    case EGRESS_UDP:
        return UDP_TIME;
    default:
        return ICMP_TIME;
    }
}

/* Each side is reset at the place where it waits for the next byte.  libslirp's is what it has acknowledged itself,
 * since the guest may have sent other numbers; before, it looks at the acknowledgement only (a hostfwd's SYN is under
 * way), or at nothing while it connects. */
static size_t make_reset(const EgressFlow *f, bool to_guest, uint8_t frame[EGRESS_ANSWER_MAX])
{
    const EgressSegment reset = {
        .mac_from = to_guest ? f->mac_network : f->mac_guest,
        .mac_to = to_guest ? f->mac_guest : f->mac_network,
        .from = to_guest ? f->remote : f->guest,
        .to = to_guest ? f->guest : f->remote,
        .from_port = to_guest ? f->remote_port : f->guest_port,
        .to_port = to_guest ? f->guest_port : f->remote_port,
        .seq = to_guest ? f->remote_next : f->has_acked ? f->acked : f->guest_next,
        .ack = to_guest ? f->guest_next : f->remote_next,
        .flags = EGRESS_RST | EGRESS_ACK,
    };

    return egress_make_segment(&reset, frame);
}

/* One that libslirp ignores (a wrong number or checksum) would leave its socket behind, which nothing counts any more;
 * so another goes after it.  While libslirp connects it hears none, and the connection is still one. */
static void end_by_reset(NetEgress *e, EgressFlow *f, bool from_guest)
{
    uint8_t frame[EGRESS_ANSWER_MAX];

    if (from_guest && !f->has_acked && !f->inward) {
        return;
    }
    if (from_guest) {
        e->place.to_network(e->place.opaque, frame, make_reset(f, false, frame));
    }
    egress_flow_end(e, f, "closed");
}

void egress_flow_track(NetEgress *e, EgressFlow *f, const EgressPacket *p, bool from_guest)
{
    size_t bytes = p->end - p->ip;

    *(from_guest ? &f->sent : &f->received) += bytes;
    f->answered |= from_guest == f->inward;
    if (f->protocol == EGRESS_TCP) {
        follow_tcp(f, p, from_guest);
    }
    f->until = egress_now(e) + time_of(f);
    if (f->protocol == EGRESS_TCP && p->flags & EGRESS_RST) {
        end_by_reset(e, f, from_guest);
    }
}

/* ---- the end ---- */

/* Who is elsewhere asks (RFC 5961), and is refused then, since the connection is not known any more: it is forgotten
 * first, as libslirp answers at once. */
void egress_flow_cut(NetEgress *e, EgressFlow *f)
{
    uint8_t to_guest[EGRESS_ANSWER_MAX], to_network[EGRESS_ANSWER_MAX];
    bool tells = f->protocol == EGRESS_TCP && f->fins != 3;
    size_t guest_bytes = make_reset(f, true, to_guest), network_bytes = make_reset(f, false, to_network);

    egress_flow_end(e, f, "cut");
    if (tells) {
        e->place.to_network(e->place.opaque, to_network, network_bytes);
        e->place.to_guest(e->place.opaque, to_guest, guest_bytes);
    }
}

void egress_sweep(void *opaque)
{
    NetEgress *e = opaque;
    int64_t now = egress_now(e);
    g_autoptr(GList) all = g_hash_table_get_keys(e->flows);

    for (GList *l = all; l; l = l->next) {
        EgressFlow *f = l->data;

        if (f->until <= now) {
            egress_flow_end(e, f, f->fins == 3 ? "closed" : "expired");
        }
    }
    if (g_hash_table_size(e->flows)) {
        timer_mod(e->sweep, now + SWEEP_TIME);
    }
}
