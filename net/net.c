/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The net core: the table of backends, NICs, their links and whether these are up.  net/net.h draws it; frames are
 * net-frames.c's.
 *
 * Locking: a queue's members are its loop's; what other threads may look at are atomics.  A link is made and
 * undone on the main thread, which has each queue attached and detached by its own loop.
 */
#include "net/net.h"

#include <string.h>

#include "net/announce.h"
#include "net/backend.h"
#include "net/filter.h"
#include "vmm/error.h"
#include "vmm/log.h"

/* ---- the table of backends ---- */

void netdev_unref(NetBackend *b)
{
    if (--b->references == 0) {
        g_free(b->info);
        g_free(b->id);
        g_free(b);
    }
}

NetBackend *netdev_create(Domain *domain, const char *id, const NetClass *class, const void *options, GError **error)
{
    NetBackend *b;

    if (!domain_check_id(domain, TABLE_NETDEVS, id, "netdev", error)) {
        return NULL;
    }
    b = g_malloc0(class->size);
    b->class = class;
    b->domain = domain;
    b->id = g_strdup(id);
    b->queues = 1;
    b->offloads = class->offloads;
    b->references = 1;
    if (!class->open(b, options, error)) {
        error_subject(error, id);
        netdev_unref(b);
        return NULL;
    }
    g_hash_table_insert(domain_table(domain, TABLE_NETDEVS), g_strdup(id), b);
    return b;
}

NetBackend *netdev_find(Domain *domain, const char *id, GError **error)
{
    NetBackend *b = g_hash_table_lookup(domain_table(domain, TABLE_NETDEVS), id);
    g_autofree const char **ids = NULL;
    const char *nearest;

    if (b) {
        return b;
    }
    ids = (const char **)g_hash_table_get_keys_as_array(domain_table(domain, TABLE_NETDEVS), NULL);
    nearest = error_nearest(id, ids);
    error_set_class(error, ERROR_DEVICE_NOT_FOUND, "netdev '%s' does not exist", id);
    if (nearest) {
        error_hint(error, "Did you mean '%s'?", nearest);
    }
    return NULL;
}

bool netdev_each(Domain *domain, NetBackendFn fn, void *opaque)
{
    GHashTable *table = domain_table(domain, TABLE_NETDEVS);
    g_autoptr(GList) ids = g_list_sort(g_hash_table_get_keys(table), (GCompareFunc)strcmp);

    for (GList *l = ids; l; l = l->next) {
        if (!fn(g_hash_table_lookup(table, l->data), opaque)) {
            return false;
        }
    }
    return true;
}

bool net_nic_each(Domain *domain, NetNicFn fn, void *opaque)
{
    GHashTable *table = domain_table(domain, TABLE_NICS);
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(table), (GCompareFunc)strcmp);

    for (GList *l = names; l; l = l->next) {
        if (!fn(g_hash_table_lookup(table, l->data), opaque)) {
            return false;
        }
    }
    return true;
}

/* ---- links ---- */

static void attach_queue(void *opaque)
{
    NetQueue *q = opaque;
    NetBackend *b = q->nic->backend;

    q->attached = true;
    net_filters_attach(q, b);
    b->class->attach(b, q);
}

void net_tell_rings(NetQueue *q)
{
    if (q->nic->ops->rings_changed && q->nic->backend->class->start_ring) {
        q->nic->ops->rings_changed(q->nic, q->index);
    }
}

static void tell_rings(void *opaque)
{
    net_tell_rings(opaque);
}

static void detach_queue(void *opaque)
{
    NetQueue *q = opaque;
    NetBackend *b = q->nic->backend;

    q->attached = false;
    net_tell_rings(q);
    b->class->detach(b, q);
    net_filters_detach(q);
}

/* A backend with fewer queues than the NIC leaves the others without. */
static unsigned linked_queues(const NetNic *nic)
{
    return MIN(nic->queues, nic->backend->queues);
}

static void set_linked(NetNic *nic, bool linked)
{
    lock_acquire(&nic->lock);
    nic->linked = linked;
    lock_release(&nic->lock);
}

static void unlink_nic(NetNic *nic)
{
    if (!nic->linked) {
        return;
    }
    for (unsigned i = 0; i < linked_queues(nic); i++) {
        loop_call(nic->queue[i].loop, detach_queue, &nic->queue[i]);
    }
    nic->backend->nic = NULL;
    set_linked(nic, false);
}

static bool check_loops(const NetNic *nic, GError **error)
{
    for (unsigned i = 0; i < linked_queues(nic); i++) {
        if (nic->backend->class->main_loop_only && nic->queue[i].loop != domain_loop(nic->domain)) {
            error_set(error, "a netdev of type %s works on the main loop, and this device has an iothread",
                      nic->backend->class->name);
            return error_hint(error, "Leave iothread= out, or use another netdev.");
        }
    }
    return true;
}

static bool link_nic(NetNic *nic, GError **error)
{
    NetBackend *b = nic->backend;

    if (b->nic) {
        error_set(error, "netdev '%s' is in use by '%s'", b->id, b->nic->name);
        return error_hint(error, "Give each device a netdev of its own.");
    }
    if (b->class->elsewhere && !nic->ops->rings_changed) {
        error_set(error, "netdev '%s' is another process that serves the rings of a NIC, and '%s' has none for it",
                  b->id, nic->name);
        return error_hint(error, "Use virtio-net-pci, or another netdev.");
    }
    if (!check_loops(nic, error) || (b->class->check && !b->class->check(b, error))) {
        return false;
    }
    b->nic = nic;
    set_linked(nic, true);
    for (unsigned i = 0; i < linked_queues(nic); i++) {
        loop_call(nic->queue[i].loop, attach_queue, &nic->queue[i]);
    }
    return true;
}

static bool link_attach(Device *dev, const char *id, void **slot, GError **error)
{
    NetBackend *b = netdev_find(dev->domain, id, error);

    if (!b) {
        return false;
    }
    b->references++;
    *slot = b;
    return true;
}

static void link_detach(Device *dev, void **slot)
{
    netdev_unref(*slot);
    *slot = NULL;
}

const LinkClass netdev_link = { .kind = "netdev", .attach = link_attach, .detach = link_detach };

/* ---- removal of backends ---- */

static void remove_backend(NetBackend *b)
{
    NetNic *nic = b->nic;

    if (nic) {
        unlink_nic(nic);
        nic->ops->link_changed(nic);
    }
    net_filters_remove(b);
    b->class->close(b);
    b->deleted = true;
    g_hash_table_remove(domain_table(b->domain, TABLE_NETDEVS), b->id);
    netdev_unref(b);
}

/* A NIC that is linked to it stays, without a link. */
bool netdev_del(Domain *domain, const char *id, GError **error)
{
    NetBackend *b = netdev_find(domain, id, error);

    if (!b) {
        return false;
    }
    remove_backend(b);
    return true;
}

static bool first(NetBackend *b, void *opaque)
{
    *(NetBackend **)opaque = b;
    return false;
}

void net_remove_all(Domain *domain)
{
    NetBackend *b;

    net_announce_end(domain);
    while (!netdev_each(domain, first, &b)) {
        remove_backend(b);
    }
}

/* ---- NICs ---- */

typedef struct MacSearch { const uint8_t *mac; bool taken; } MacSearch;

static bool has_mac(NetNic *nic, void *opaque)
{
    MacSearch *s = opaque;

    s->taken = memcmp(nic->mac, s->mac, NET_MAC_BYTES) == 0;
    return !s->taken;
}

/* As QEMU numbers them: 52:54:00:12:34:56 and on. */
static void choose_mac(NetNic *nic)
{
    static const uint8_t none[NET_MAC_BYTES], base[NET_MAC_BYTES] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
    MacSearch search = { .mac = nic->mac, .taken = true };

    if (memcmp(nic->mac, none, NET_MAC_BYTES) != 0) {
        return;
    }
    for (unsigned n = 0; search.taken && n < 256; n++) {
        memcpy(nic->mac, base, NET_MAC_BYTES);
        nic->mac[5] = (uint8_t)(base[5] + n);
        search.taken = false;
        net_nic_each(nic->domain, has_mac, &search);
    }
}

static char *choose_name(const NetNic *nic)
{
    GHashTable *table = domain_table(nic->domain, TABLE_NICS);
    char *name = nic->id ? g_strdup(nic->id) : g_strdup_printf("%s.0", nic->model);

    for (unsigned n = 1; g_hash_table_contains(table, name); n++) {
        g_free(name);
        name = g_strdup_printf("%s.%u", nic->model, n);
    }
    return name;
}

static void free_queues(NetNic *nic)
{
    for (unsigned i = 0; i < nic->queues; i++) {
        g_free(nic->queue[i].scratch);
    }
    g_clear_pointer(&nic->queue, g_free);
    nic->queues = 0;
}

bool net_nic_realize(NetNic *nic, Domain *domain, Loop *const *loops, unsigned queues, GError **error)
{
    lock_init(&nic->lock, LOCK_LEAF, "nic");
    nic->domain = domain;
    nic->queues = queues;
    nic->queue = g_new0(NetQueue, queues);
    for (unsigned i = 0; i < queues; i++) {
        nic->queue[i].nic = nic;
        nic->queue[i].index = i;
        nic->queue[i].loop = loops[i] ? loops[i] : domain_loop(domain);
    }
    nic->name = nic->model ? choose_name(nic) : g_strdup(nic->id);
    if (nic->model) {
        choose_mac(nic);
    }
    if (nic->backend && !link_nic(nic, error)) {
        free_queues(nic);
        g_clear_pointer(&nic->name, g_free);
        lock_finish(&nic->lock);
        return false;
    }
    if (nic->model) {
        g_hash_table_insert(domain_table(domain, TABLE_NICS), g_strdup(nic->name), nic);
    }
    return true;
}

void net_nic_unrealize(NetNic *nic)
{
    if (!nic->name) {
        return;
    }
    if (nic->model) {
        g_hash_table_remove(domain_table(nic->domain, TABLE_NICS), nic->name);
    }
    unlink_nic(nic);
    free_queues(nic);
    g_clear_pointer(&nic->name, g_free);
    lock_finish(&nic->lock);
}

unsigned net_nic_backend_queues(const NetNic *nic)
{
    return nic->backend && !nic->backend->deleted ? nic->backend->queues : 0;
}

bool net_is_up(const NetNic *nic)
{
    return !__atomic_load_n(&nic->link_down, __ATOMIC_RELAXED) &&
           !__atomic_load_n(&nic->backend->link_down, __ATOMIC_RELAXED) &&
           !__atomic_load_n(&nic->backend->no_peer, __ATOMIC_RELAXED);
}

uint64_t net_nic_impossible(const NetNic *nic)
{
    const NetBackend *b = nic->backend;

    return b && !b->deleted && b->class->impossible ? b->class->impossible(nic->backend) : 0;
}

bool net_nic_link_up(const NetNic *nic)
{
    return nic->linked && net_is_up(nic);
}

void net_set_queues(NetNic *nic, unsigned queues)
{
    lock_acquire(&nic->lock);
    if (nic->linked && nic->backend->class->set_queues) {
        nic->backend->class->set_queues(nic->backend, queues);
    }
    lock_release(&nic->lock);
}

bool net_has_unused(const NetNic *nic)
{
    return nic->backend && nic->backend->class->use_queues;
}

void net_use_queues(NetNic *nic)
{
    if (nic->linked) {
        nic->backend->class->use_queues(nic->backend);
    }
}

void net_set_offloads(NetNic *nic, unsigned offloads)
{
    __atomic_store_n(&nic->offloads, offloads, __ATOMIC_RELAXED);
    lock_acquire(&nic->lock);
    if (nic->linked && nic->backend->class->set_offloads) {
        nic->backend->class->set_offloads(nic->backend, offloads);
    }
    lock_release(&nic->lock);
}

/* ---- who stands alone ---- */

static bool warn_backend(NetBackend *b, void *opaque)
{
    if (!b->nic && !b->needs_no_nic) {
        log_warning("netdev '%s' has no NIC: nothing is sent or received through it", b->id);
    }
    return true;
}

static bool warn_nic(NetNic *nic, void *opaque)
{
    if (!nic->linked) {
        log_warning("NIC '%s' has no netdev: the guest finds its cable pulled", nic->name);
    }
    return true;
}

void net_warn_unlinked(Domain *domain)
{
    netdev_each(domain, warn_backend, NULL);
    net_nic_each(domain, warn_nic, NULL);
}

/* ---- set_link ---- */

static bool add_nic_name(NetNic *nic, void *names)
{
    g_ptr_array_add(names, nic->name);
    return true;
}

static bool add_backend_name(NetBackend *b, void *names)
{
    g_ptr_array_add(names, b->id);
    return true;
}

static bool no_such_link(Domain *domain, const char *name, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *nearest;

    net_nic_each(domain, add_nic_name, names);
    netdev_each(domain, add_backend_name, names);
    g_ptr_array_add(names, NULL);
    nearest = error_nearest(name, (const char *const *)names->pdata);
    error_set_class(error, ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", name);
    return nearest ? error_hint(error, "Did you mean '%s'?", nearest) : false;
}

static void link_changed(NetNic *nic)
{
    for (unsigned i = 0; nic->linked && i < linked_queues(nic); i++) {
        loop_call(nic->queue[i].loop, tell_rings, &nic->queue[i]);
    }
    nic->ops->link_changed(nic);
}

void net_peer_changed(NetBackend *b)
{
    if (b->nic) {
        link_changed(b->nic);
    }
}

bool net_set_link(Domain *domain, const char *name, bool up, GError **error)
{
    NetNic *nic = g_hash_table_lookup(domain_table(domain, TABLE_NICS), name);
    NetBackend *b = nic ? NULL : g_hash_table_lookup(domain_table(domain, TABLE_NETDEVS), name);

    if (!nic && !b) {
        return no_such_link(domain, name, error);
    }
    __atomic_store_n(nic ? &nic->link_down : &b->link_down, !up, __ATOMIC_RELAXED);
    nic = nic ? nic : b->nic;
    if (nic) {
        link_changed(nic);
    }
    return true;
}
