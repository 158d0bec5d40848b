/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Announcements: switches and neighbours are told where a NIC is now, after a migration or because somebody
 * asks for it (announce-self).  Each round sends a RARP request (RFC 903) in the NIC's name, which nobody answers
 * and every switch learns from, and asks the guest's driver, where it knows that, to do the same for its addresses
 * and VLANs.  Rounds, and the time between them, are QEMU 7.2's: one at once, then after `initial` ms, each later
 * one `step` ms later than the one before, at most `max`.
 *
 * Each announcement has an id; one that begins ends the one of the same id.  That of a restored domain waits until
 * the guest runs, and is none that a user can name.
 *
 * Main thread; frames are sent by the queue's loop.
 */
#include "net/announce.h"

#include <string.h>

#include "vmm/migrate.h"
#include "vmm/timer.h"

/* In the table, those of users have "user:" before their id. */
#define ARRIVAL "arrival"
#define OF_USER "user:"

typedef struct Announcement {
    Domain *domain;
    char *id;
    NetAnnounce parameters; /* interfaces: its own copy */
    uint64_t round;         /* made so far */
    Timer *timer;
    bool waits;             /* for the guest to run */
} Announcement;

/* ---- one round ---- */

typedef struct Rarp { NetNic *nic; uint8_t frame[60]; } Rarp;

static void send_rarp(void *opaque)
{
    Rarp *r = opaque;
    struct iovec iov = { r->frame, sizeof(r->frame) };
    const NetPacket packet = { .iov = &iov, .n = 1, .length = sizeof(r->frame) };

    net_send(r->nic, 0, &packet);
}

/* "Who am I", broadcast, for both hardware addresses its own. */
static void announce(NetNic *nic)
{
    Rarp r = { nic, { [12] = 0x80, 0x35, 0x00, 0x01, 0x08, 0x00, 6, 4, 0x00, 0x03 } };
    uint8_t mac[NET_MAC_BYTES];

    memcpy(mac, nic->mac, sizeof(mac));
    if (nic->ops->announce) {
        nic->ops->announce(nic, mac);
    }
    memset(r.frame, 0xff, NET_MAC_BYTES);
    memcpy(r.frame + 6, mac, NET_MAC_BYTES);
    memcpy(r.frame + 22, mac, NET_MAC_BYTES);
    memcpy(r.frame + 32, mac, NET_MAC_BYTES);
    if (nic->linked && nic->backend->class->announce) {
        nic->backend->class->announce(nic->backend, mac);
    }
    loop_call(nic->queue[0].loop, send_rarp, &r);
}

static bool announce_if_meant(NetNic *nic, void *opaque)
{
    const Announcement *a = opaque;

    if (!a->parameters.interfaces || g_strv_contains((const char *const *)a->parameters.interfaces, nic->name)) {
        announce(nic);
    }
    return true;
}

/* ---- rounds ---- */

static void arrived(Domain *domain, RunEvent event, RequestReason reason, void *opaque);

static void end(Announcement *a)
{
    if (a->waits) {
        domain_unobserve(a->domain, arrived, a);
    }
    timer_free(a->timer);
    g_strfreev(a->parameters.interfaces);
    g_free(a->id);
    g_free(a);
}

static void next_round(void *opaque)
{
    Announcement *a = opaque;
    const NetAnnounce *p = &a->parameters;

    net_nic_each(a->domain, announce_if_meant, a);
    if (++a->round >= p->rounds) {
        g_hash_table_remove(domain_table(a->domain, TABLE_ANNOUNCEMENTS), a->id);
        end(a);
        return;
    }
    timer_mod(a->timer, clock_ns(clock_realtime) +
                            (int64_t)MIN(p->initial + (a->round - 1) * p->step, p->max) * NS_PER_MS);
}

static Announcement *begin(Domain *domain, const char *id, const NetAnnounce *parameters)
{
    GHashTable *table = domain_table(domain, TABLE_ANNOUNCEMENTS);
    Announcement *a = g_hash_table_lookup(table, id);

    if (a) {
        g_hash_table_remove(table, id);
        end(a);
    }
    if (!parameters->rounds) {
        return NULL;
    }
    a = g_new0(Announcement, 1);
    a->domain = domain;
    a->id = g_strdup(id);
    a->parameters = *parameters;
    a->parameters.interfaces = g_strdupv(parameters->interfaces);
    a->timer = timer_new(domain_loop(domain), clock_realtime, next_round, a);
    g_hash_table_insert(table, g_strdup(id), a);
    return a;
}

void net_announce_self(Domain *domain, const char *id, const NetAnnounce *parameters)
{
    g_autofree char *key = g_strconcat(OF_USER, id, NULL);
    Announcement *a = begin(domain, key, parameters);

    if (a) {
        next_round(a);
    }
}

void net_announce_end(Domain *domain)
{
    GHashTable *table = domain_table(domain, TABLE_ANNOUNCEMENTS);
    GHashTableIter iter;
    gpointer a;

    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, NULL, &a)) {
        g_hash_table_iter_remove(&iter);
        end(a);
    }
}

/* ---- where a domain has arrived ---- */

/* Observers are being called, so what is made here may not go: a timer goes on. */
static void arrived(Domain *domain, RunEvent event, RequestReason reason, void *opaque)
{
    Announcement *a = opaque;

    if (event == RUN_EVENT_RESUME && a->waits) {
        a->waits = false;
        domain_unobserve(domain, arrived, a);
        timer_mod(a->timer, clock_ns(clock_realtime));
    }
}

NetAnnounce net_announce_parameters(Domain *domain)
{
    MigrateAnnounce a = migrate_announce(domain);

    return (NetAnnounce) { .initial = a.initial, .max = a.max, .rounds = a.rounds, .step = a.step };
}

void net_nic_loaded(NetNic *nic)
{
    NetAnnounce parameters = net_announce_parameters(nic->domain);
    Announcement *a = begin(nic->domain, ARRIVAL, &parameters);

    if (a) {
        a->waits = true;
        domain_observe(nic->domain, arrived, a);
    }
}
