/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filters of netdevs: their list, the copies of queues, the waiting.  See net/filter.h.  Names and meanings of the
 * properties are QEMU 7.2's (qapi/qom.json: NetfilterProperties); a filter that others are placed by is named `id=ID`.
 */
#include "net/filter.h"

#include <string.h>

#include "vmm/error.h"
#include "vmm/timer.h"

/* A queue's copy. */
struct NetQueueFilters {
    NetQueue *queue;
    unsigned n;
    NetFilter **filter;
    unsigned passed[NET_WAYS]; /* how many of them the frame that is under way has behind it */
    Timer *wait[NET_WAYS];
};

enum { STATUS_ON, STATUS_OFF };
enum { QUEUE_ALL, QUEUE_RX, QUEUE_TX };
enum { INSERT_BEHIND, INSERT_BEFORE };

static const NetFilterClass *class_of(const NetFilter *f)
{
    return (const NetFilterClass *)f->object.class; /* ObjectClass comes first in it */
}

bool net_filter_is_on(const NetFilter *f)
{
    return f->status == STATUS_ON;
}

/* ---- the queue's loop ---- */

static bool looks_at(const NetFilter *f, NetWay way)
{
    return f->queue == QUEUE_ALL || (f->queue == QUEUE_RX) == (way == NET_FROM_GUEST);
}

bool net_filters_pass(NetQueue *q, NetWay way, const NetPacket *packet)
{
    struct NetQueueFilters *all = q->filters;
    unsigned *passed = &all->passed[way];

    for (; *passed < all->n; ++*passed) {
        NetFilter *f = all->filter[way == NET_TO_GUEST ? *passed : all->n - 1 - *passed];
        int64_t again = looks_at(f, way) ? class_of(f)->pass(f, way, packet) : 0;

        if (again) {
            timer_mod(all->wait[way], again);
            return false;
        }
    }
    return true;
}

void net_filters_done(NetQueue *q, NetWay way)
{
    q->filters->passed[way] = 0;
}

static void send_again(void *opaque)
{
    struct NetQueueFilters *all = opaque;

    net_send_ready(all->queue->nic->backend, all->queue);
}

static void receive_again(void *opaque)
{
    struct NetQueueFilters *all = opaque;

    net_receive_ready(all->queue->nic, all->queue->index);
}

void net_filters_attach(NetQueue *q, NetBackend *b)
{
    struct NetQueueFilters *all;
    Clock *clock = domain_clock(b->domain);

    if (!b->filters || !b->filters->len) {
        return;
    }
    all = g_new0(struct NetQueueFilters, 1);
    all->queue = q;
    all->filter = g_new(NetFilter *, b->filters->len);
    for (unsigned i = 0; i < b->filters->len; i++) {
        if (net_filter_is_on(b->filters->pdata[i])) {
            all->filter[all->n++] = b->filters->pdata[i];
        }
    }
    all->wait[NET_FROM_GUEST] = timer_new(q->loop, clock, send_again, all);
    all->wait[NET_TO_GUEST] = timer_new(q->loop, clock, receive_again, all);
    q->filters = all;
}

void net_filters_detach(NetQueue *q)
{
    struct NetQueueFilters *all = g_steal_pointer(&q->filters);

    if (all) {
        timer_free(all->wait[NET_FROM_GUEST]);
        timer_free(all->wait[NET_TO_GUEST]);
        g_free(all->filter);
        g_free(all);
    }
}

/* ---- the list: main thread, which waits for the queues' loops ---- */

static void take_list(void *opaque)
{
    NetQueue *q = opaque;

    net_filters_detach(q);
    net_filters_attach(q, q->nic->backend);
    net_tell_rings(q);
    /* What has waited for one that is gone, or has changed. */
    net_send_ready(q->nic->backend, q);
    net_receive_ready(q->nic, q->index);
}

static void leave_list(void *opaque)
{
    net_filters_detach(opaque);
}

static void call_queues(NetBackend *b, LoopFn fn)
{
    for (unsigned i = 0; b->nic && i < MIN(b->nic->queues, b->queues); i++) {
        loop_call(b->nic->queue[i].loop, fn, &b->nic->queue[i]);
    }
}

static int index_of(const NetBackend *b, const char *id)
{
    for (unsigned i = 0; b->filters && i < b->filters->len; i++) {
        if (strcmp(((NetFilter *)b->filters->pdata[i])->object.id, id) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool choose_place(const NetFilter *f, const NetBackend *b, int *ret, GError **error)
{
    if (strcmp(f->position, "head") == 0 || strcmp(f->position, "tail") == 0) {
        *ret = f->position[0] == 'h' ? 0 : -1;
        return true;
    }
    *ret = g_str_has_prefix(f->position, "id=") ? index_of(b, f->position + strlen("id=")) : -1;
    if (*ret < 0) {
        error_set(error, "position '%s' is neither head nor tail nor id=FILTER of a filter at netdev '%s'", f->position,
                  b->id);
        return false;
    }
    *ret += f->insert == INSERT_BEHIND;
    return true;
}

bool net_filter_create(Object *obj, GError **error)
{
    NetFilter *f = (NetFilter *)obj;
    NetBackend *b = netdev_find(obj->domain, f->netdev, error);
    int place;

    if (b && b->class->elsewhere) {
        return error_set(error, "netdev '%s' (%s) takes no filters: its frames do not pass through lodge", b->id,
                         b->class->name);
    }
    if (!b || !choose_place(f, b, &place, error) || !class_of(f)->open(f, error)) {
        return false;
    }
    if (!b->filters) {
        b->filters = g_ptr_array_new();
    }
    f->backend = b;
    g_ptr_array_insert(b->filters, place, f);
    call_queues(b, take_list);
    return true;
}

void net_filter_destroy(Object *obj)
{
    NetFilter *f = (NetFilter *)obj;

    if (f->backend) {
        g_ptr_array_remove(f->backend->filters, f);
        call_queues(f->backend, take_list);
    }
    class_of(f)->close(f);
}

bool net_filter_property_set(Object *obj, const char *name, GError **error)
{
    NetFilter *f = (NetFilter *)obj;

    call_queues(f->backend, leave_list);
    if (class_of(f)->set) {
        class_of(f)->set(f);
    }
    call_queues(f->backend, take_list);
    return true;
}

void net_filters_remove(NetBackend *b)
{
    GPtrArray *filters = g_steal_pointer(&b->filters);

    for (unsigned i = 0; filters && i < filters->len; i++) {
        NetFilter *f = filters->pdata[i];

        f->backend = NULL;
        object_del(b->domain, f->object.id, NULL);
    }
    if (filters) {
        g_ptr_array_unref(filters);
    }
}

/* ---- properties ---- */

static const FieldEnum queue_enum = { "NetFilterDirection", (const char *const[]) { "all", "rx", "tx", NULL } };
static const FieldEnum status_enum = { "NetFilterStatus", (const char *const[]) { "on", "off", NULL } };
static const FieldEnum insert_enum = { "NetfilterInsert", (const char *const[]) { "behind", "before", NULL } };

const FieldStruct net_filter_props = {
    .name = "NetfilterProperties", .size = sizeof(NetFilter),
    .fields = (const Field[]) {
        F_STR("netdev", NetFilter, netdev, NULL, .flags = FIELD_REQUIRED, .help = "Id of the netdev that it stands at"),
        F_ENUM("queue", NetFilter, queue, &queue_enum, QUEUE_ALL,
               .help = "rx: what the netdev receives from the guest; tx: what it sends to it; all: both"),
        F_ENUM("status", NetFilter, status, &status_enum, STATUS_ON, .flags = FIELD_RUNTIME,
               .help = "off: frames pass as if it were not there"),
        F_STR("position", NetFilter, position, "tail",
              .help = "Place among the netdev's filters: head (at the netdev), tail (at the NIC), or id=FILTER"),
        F_ENUM("insert", NetFilter, insert, &insert_enum, INSERT_BEHIND,
               .help = "With position=id=FILTER: on which side of it"),
        FIELD_END
    },
};
