/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filters: objects that stand between a NIC and its backend, as QEMU's netfilters do, and look at frames or make them
 * wait (filter-dump, filter-rate).  A netdev has a list of them:
 *
 *     host -> backend -> first ... last -> NIC -> guest      "tx": what the netdev sends
 *     host <- backend <- first ... last <- NIC <- guest      "rx": what the netdev receives
 *
 * What the guest sends passes before its checksums are completed and its segments cut, what comes for it after they are
 * put together.  A netdev without filters costs its frames one look at a pointer of the queue's.
 *
 * Locking: the list is the main thread's.  Each queue has a copy that its loop alone looks at, and that is replaced by
 * loop_call(); so pass() comes from several loops at once where a NIC has several queues on them.
 */
#pragma once

#include "net/backend.h"
#include "vmm/object.h"

typedef enum NetWay { NET_FROM_GUEST, NET_TO_GUEST, NET_WAYS } NetWay;

typedef struct NetFilter NetFilter;
typedef struct NetFilterClass {
    ObjectClass object; /* first */
    /* On failure nothing is left. */
    bool (*open)(NetFilter *f, GError **error);
    void (*close)(NetFilter *f); /* no frame comes any more */
    /* Any loop.  0: the frame passes; else the guest's time at which to ask again: it waits, and all behind it. */
    int64_t (*pass)(NetFilter *f, NetWay way, const NetPacket *packet);
    /* Main thread, optional: a property has changed, but for `status`; no frame is under way. */
    void (*set)(NetFilter *f);
} NetFilterClass;

struct NetFilter {
    Object object; /* first */
    /* Configuration */
    char *netdev, *position;
    int queue, status, insert;
    /* Derived; the main thread's */
    NetBackend *backend;
};

extern const FieldStruct net_filter_props; /* the base of every filter's */
/* ObjectClass hooks of every filter. */
bool net_filter_create(Object *obj, GError **error);
void net_filter_destroy(Object *obj);
bool net_filter_property_set(Object *obj, const char *name, GError **error);
bool net_filter_is_on(const NetFilter *f);

extern const NetFilterClass filter_dump_class, filter_rate_class;

/* ---- for net.c, net-frames.c ---- */
/* Main thread: the backend goes, and its filters with it. */
void net_filters_remove(NetBackend *b);
/* The queue's loop. */
void net_filters_attach(NetQueue *q, NetBackend *b);
void net_filters_detach(NetQueue *q);
/* A frame is about to go that way; false: it waits, and send_ready() or receive_ready() follows.  q->filters is not
 * NULL. */
bool net_filters_pass(NetQueue *q, NetWay way, const NetPacket *packet);
/* The frame that has passed is gone, whatever became of it.  One that finds no room comes again, and does not pass
 * again. */
void net_filters_done(NetQueue *q, NetWay way);
