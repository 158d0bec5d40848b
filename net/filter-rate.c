/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * filter-rate: limits what passes a netdev, in bytes and frames a second, each way for itself.  It is Lodge's own; its
 * units are those of disks' throttling (bps: bytes a second).
 *
 * A limit is a meter that knows when the line would be free, if it carried what has passed at just that rate (the
 * "virtual scheduling" of ITU-T I.371, annex A).  A frame passes while that moment lies at most one burst ahead; else
 * it waits, and what is behind it: the guest's queue fills, or the backend's.  Nothing is dropped here.  Time is the
 * guest's.
 *
 * Locking: `lock`, around the meters; frames come from several loops.
 */
#include "net/filter.h"
#include "vmm/error.h"
#include "vmm/timer.h"

typedef struct Meter { int64_t free_at; } Meter; /* ns; in the past: it is free */

typedef struct Limits { uint64_t bps, burst, pps; } Limits;

typedef struct FilterRate {
    NetFilter filter; /* first */
    /* Configuration */
    Limits given;
    /* Derived */
    Lock lock; /* LOCK_LEAF */
    Limits limits; /* set while no frame is under way */
    Meter bytes[NET_WAYS], frames[NET_WAYS];
} FilterRate;

static FilterRate *filter_rate(NetFilter *f)
{
    return (FilterRate *)f;
}

/* So many units at `rate` a second. */
static int64_t duration(uint64_t units, uint64_t rate)
{
    double ns = (double)units * NS_PER_SEC / (double)rate;

    return ns < (double)(INT64_MAX / 4) ? (int64_t)ns : INT64_MAX / 4;
}

/* 0: now; else when. */
static int64_t when(const Meter *m, int64_t now, int64_t ahead)
{
    return m->free_at - ahead > now ? m->free_at - ahead : 0;
}

static void charge(Meter *m, int64_t now, int64_t cost)
{
    m->free_at = MAX(m->free_at, now) + cost;
}

static int64_t rate_pass(NetFilter *f, NetWay way, const NetPacket *packet)
{
    FilterRate *r = filter_rate(f);
    const Limits *l = &r->limits;
    int64_t now = clock_ns(domain_clock(f->object.domain)), later = 0;

    lock_acquire(&r->lock);
    if (l->bps) {
        later = when(&r->bytes[way], now, duration(l->burst, l->bps));
    }
    if (l->pps) {
        later = MAX(later, when(&r->frames[way], now, 0));
    }
    if (!later && l->bps) {
        charge(&r->bytes[way], now, duration(packet->length, l->bps));
    }
    if (!later && l->pps) {
        charge(&r->frames[way], now, duration(1, l->pps));
    }
    lock_release(&r->lock);
    return later;
}

static bool rate_open(NetFilter *f, GError **error)
{
    FilterRate *r = filter_rate(f);

    lock_init(&r->lock, LOCK_LEAF, "filter-rate");
    r->limits = r->given;
    return true;
}

static void rate_close(NetFilter *f)
{
    lock_finish(&filter_rate(f)->lock);
}

/* What was charged at the rate of before is forgotten. */
static void rate_set(NetFilter *f)
{
    FilterRate *r = filter_rate(f);

    r->limits = r->given;
    for (unsigned i = 0; i < NET_WAYS; i++) {
        r->bytes[i] = r->frames[i] = (Meter) { 0 };
    }
}

static const FieldStruct filter_rate_props = {
    .name = "FilterRateProperties",
    .size = sizeof(FilterRate),
    .base = &net_filter_props,
    .fields = (const Field[]){F_SIZE("bps", FilterRate, given.bps, 0, .flags = FIELD_RUNTIME,
                                     .help = "Bytes a second, each way; 0: any number"),
                              F_SIZE("burst", FilterRate, given.burst, 65536, .flags = FIELD_RUNTIME,
                                     .help = "Bytes that may pass at once after a silence"),
                              F_UINT("pps", FilterRate, given.pps, 0, .flags = FIELD_RUNTIME,
                                     .help = "Frames a second, each way; 0: any number"),
                              FIELD_END},
};

const NetFilterClass filter_rate_class = {
    .object = {
        .name = "filter-rate",
        .desc = "Limits what passes a netdev, in bytes and frames a second",
        .size = sizeof(FilterRate),
        .props = &filter_rate_props,
        .create = net_filter_create,
        .destroy = net_filter_destroy,
        .changed = net_filter_property_set,
        .late = true,
    },
    .open = rate_open,
    .close = rate_close,
    .pass = rate_pass,
    .set = rate_set,
};
