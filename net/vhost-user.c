/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `vhost-user` backend: another process, at the end of a local socket (a chardev), serves the NIC's queues in guest
 * memory: a switch, passt.  Frames never pass through this process.
 *
 * What it cannot do is not offered to the guest, as nobody here could do it instead.  When it goes (dies, hangs), that
 * is as if the cable were pulled: the queues come back here, frames are lost, and the guest runs on.  When one comes
 * again over the same chardev (server=on, or reconnect=), it gets the queues where they stand.
 *
 * Locking: the socket is the main thread's, but for exchanges, which vmm/vhost-user.c locks; rings are their loops'.
 */
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <unistd.h>

#include "net/netdev-options.h"
#include "vmm/chardev.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/migrate.h"

#define WAIT_S 30 /* for one that is still to come, at the start */
#define BIT(F) (UINT64_C(1) << (F))
/* What it does, and so must know of. */
#define ITS_FEATURES                                                                                                   \
    (BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |                            \
     BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_HOST_TSO4) |                        \
     BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_MQ) |   \
     BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_RING_PACKED) |                     \
     BIT(VIRTIO_F_VERSION_1))

typedef struct NetVhostUser {
    NetBackend backend; /* first */
    Chardev *chr;
    VhostUser *user;
    int fd;             /* a copy of the chardev's; -1: there is no peer */
    LoopFd *watch;
} NetVhostUser;

static const StateDesc cannot_log = {
    .name = "vhost-user", .unmigratable = "its back end cannot tell which memory it writes"
};

static NetVhostUser *net_vhost_user(NetBackend *b)
{
    return (NetVhostUser *)b;
}

/* ---- the peer comes and goes ---- */

static void close_socket(NetVhostUser *s)
{
    loop_remove_fd(s->watch);
    s->watch = NULL;
    close(s->fd);
    s->fd = -1;
}

static void lose_peer(NetVhostUser *s)
{
    if (s->fd < 0) {
        return;
    }
    vhost_user_disconnect(s->user);
    close_socket(s);
    __atomic_store_n(&s->backend.no_peer, true, __ATOMIC_RELAXED);
    log_warning("%s: the vhost-user back end has gone: the NIC has no link until one comes", s->backend.id);
    net_peer_changed(&s->backend);
}

static void socket_ready(int fd, LoopEvents events, void *opaque)
{
    NetVhostUser *s = opaque;

    if (!vhost_user_is_alive(s->user)) {
        lose_peer(s);
        chardev_hang_up(s->chr);
    }
}

static bool take_socket(NetVhostUser *s, GError **error)
{
    int fd = chardev_borrow_socket(s->chr);

    s->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    return s->fd >= 0 || error_set(error, "chardev '%s' is no local socket that is connected", chardev_id(s->chr));
}

static void watch_socket(NetVhostUser *s)
{
    s->watch = loop_add_fd(domain_loop(s->backend.domain), s->fd, LOOP_READ, socket_ready, s);
}

static void peer_came(NetVhostUser *s)
{
    g_autoptr(GError) error = NULL;

    if (!take_socket(s, &error)) {
        return;
    }
    if (!vhost_user_connect(s->user, s->fd, &error)) {
        log_warning("%s: %s", s->backend.id, error->message);
        close(s->fd);
        s->fd = -1;
        chardev_hang_up(s->chr);
        return;
    }
    watch_socket(s);
    __atomic_store_n(&s->backend.no_peer, false, __ATOMIC_RELAXED);
    net_peer_changed(&s->backend);
}

static void chardev_event_came(void *opaque, ChardevEvent event)
{
    NetVhostUser *s = opaque;

    if (!s->user) {
        return; /* open_peer() is at it */
    }
    if (event == CHARDEV_CLOSED) {
        lose_peer(s);
    } else if (event == CHARDEV_OPENED && s->fd < 0) {
        peer_came(s);
    }
}

static size_t can_receive(void *opaque)
{
    return 0;
}

static void receive(void *opaque, const uint8_t *data, size_t length)
{
}

/* ---- rings: the queue's loop ---- */

static bool vhost_user_start_ring(NetBackend *b, NetQueue *q, const VhostRing *ring, uint64_t features)
{
    NetVhostUser *s = net_vhost_user(b);
    g_autoptr(GError) error = NULL;

    if (vhost_start_ring(vhost_user_device(s->user), ring, features & ITS_FEATURES, &error)) {
        return true;
    }
    log_warning("%s: queue %u carries nothing: %s", b->id, ring->index, error->message);
    return false;
}

static bool vhost_user_stop_ring(NetBackend *b, NetQueue *q, unsigned ring, uint32_t *ret_base)
{
    return vhost_stop_ring(vhost_user_device(net_vhost_user(b)->user), ring, ret_base);
}

static NetSent vhost_user_send(NetBackend *b, NetQueue *q, const NetPacket *packet)
{
    return NET_LOST;
}

static void nothing(NetBackend *b, NetQueue *q)
{
}

static void vhost_user_set_queues(NetBackend *b, unsigned queues)
{
    vhost_user_set_used(net_vhost_user(b)->user, 2 * queues);
}

/* ---- what it is to the NIC: main thread ---- */

static void vhost_user_use_queues(NetBackend *b)
{
    vhost_user_enable_used(net_vhost_user(b)->user);
}

static uint64_t vhost_user_impossible(NetBackend *b)
{
    /* Its offloads are agreed on once, with the features. */
    return (ITS_FEATURES & ~vhost_user_device(net_vhost_user(b)->user)->features) |
           BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
}

/* Guest memory that nobody else can map is nothing to work in. */
static bool vhost_user_check(NetBackend *b, GError **error)
{
    MemoryRange range;

    if (memory_lookup(domain_memory(b->domain), 0, &range) && range.region->ram &&
        ram_block_abilities(range.region->ram) & RAM_CAN_SHARE) {
        return true;
    }
    error_set(error, "netdev '%s' (vhost-user) needs guest memory that another process can map", b->id);
    return error_hint(error, "Use -object memory-backend-memfd,id=mem,size=SIZE,share=on -machine memory-backend=mem.");
}

static void vhost_user_tell(NetBackend *b, const uint8_t mac[NET_MAC_BYTES])
{
    vhost_user_announce(net_vhost_user(b)->user, mac);
}

/* ---- life ---- */

static void vhost_user_close(NetBackend *b)
{
    NetVhostUser *s = net_vhost_user(b);

    chardev_detach(s->chr, s);
    state_list_remove(domain_state(b->domain), s);
    if (s->fd >= 0) {
        vhost_user_disconnect(s->user);
        close_socket(s);
    }
    vhost_user_free(s->user);
}

/* What it can do is to be known before there is a NIC.  At the start of the process nothing else is disturbed. */
static bool wait_for_peer(NetVhostUser *s, GError **error)
{
    Domain *domain = s->backend.domain;
    int64_t until = clock_ns(clock_realtime) + WAIT_S * NS_PER_SEC;

    if (domain_is_complete(domain) || chardev_connected(s->chr)) {
        return true;
    }
    log_info("%s: waiting for the vhost-user back end at chardev '%s'", s->backend.id, chardev_id(s->chr));
    while (!chardev_connected(s->chr) && clock_ns(clock_realtime) < until) {
        if (domain_is_quitting(domain)) {
            return error_set(error, "nobody connected to chardev '%s' before a signal came", chardev_id(s->chr));
        }
        loop_run_once(domain_loop(domain), true);
    }
    return true;
}

static bool open_peer(NetVhostUser *s, unsigned queues, GError **error)
{
    if (!wait_for_peer(s, error)) {
        return false;
    }
    if (!take_socket(s, error)) {
        return error_hint(error, "Start the back end first, and use -chardev socket,id=...,path=....");
    }
    s->user = vhost_user_new(s->backend.domain, queues, s->fd, error);
    if (s->user && !(vhost_user_device(s->user)->features & BIT(VIRTIO_F_VERSION_1))) {
        vhost_user_free(s->user);
        s->user = NULL;
        error_set(error, "the vhost-user back end does not know Virtio 1");
    }
    if (!s->user) {
        close(s->fd);
        return false;
    }
    watch_socket(s);
    return true;
}

static bool vhost_user_open(NetBackend *b, const void *opaque, GError **error)
{
    const NetVhostUserOptions *o = opaque;
    NetVhostUser *s = net_vhost_user(b);
    const ChardevFrontend front = { .can_receive = can_receive, .receive = receive, .event = chardev_event_came,
                                    .opaque = s };

    s->fd = -1;
    s->chr = chardev_find(b->domain, o->chardev, error);
    b->queues = o->has_queues ? o->queues : 1;
    if (!s->chr || !chardev_attach(s->chr, &front, error)) {
        return false;
    }
    if (!open_peer(s, b->queues, error)) {
        chardev_detach(s->chr, s);
        return false;
    }
    if (!vhost_user_logs(s->user) && !migrate_may_add(b->domain, &cannot_log, error)) {
        vhost_user_close(b);
        return false;
    }
    if (!vhost_user_logs(s->user)) {
        state_list_add(domain_state(b->domain), b->id, &cannot_log, s, sizeof(*s), NULL);
    }
    b->info = g_strdup_printf("chardev=%s,queues=%u", o->chardev, b->queues);
    return true;
}

const NetClass net_vhost_user_class = {
    .name = "vhost-user",
    .size = sizeof(NetVhostUser),
    .elsewhere = true,
    .offloads = NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN,
    .open = vhost_user_open,
    .close = vhost_user_close,
    .attach = nothing,
    .detach = nothing,
    .send = vhost_user_send,
    .receive_ready = nothing,
    .set_queues = vhost_user_set_queues,
    .use_queues = vhost_user_use_queues,
    .announce = vhost_user_tell,
    .start_ring = vhost_user_start_ring,
    .stop_ring = vhost_user_stop_ring,
    .impossible = vhost_user_impossible,
    .check = vhost_user_check,
};
