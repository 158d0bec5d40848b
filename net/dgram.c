/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `dgram` backend, and `socket` with udp= or mcast=: a frame is a datagram of a local or UDP socket.
 *
 * What the socket has no room for, the guest keeps; a peer that is not there loses frames, as on a
 * wire.
 *
 * Locking: none; the loop of the NIC's queue.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/dgram-group.h"
#include "net/netdev-options.h"
#include "vmm/error.h"
#include "vmm/log.h"

#define PER_ROUND 64

typedef struct NetDgram {
    NetBackend backend; /* first */
    int fd, out;            /* out: what is sent by, the same but in a multicast group */
    struct sockaddr_in own; /* family 0: it does not hear itself */
    HostAddress remote;     /* length 0: the socket is connected */
    SocketAddress local;    /* data NULL: nothing to remove */
    /* The loop's */
    NetQueue *queue;    /* NULL: no NIC */
    LoopFd *watch;
    LoopEvents events;
    uint8_t *frame;
    size_t pending;     /* bytes of a frame that the guest had no room for */
    bool complained;
} NetDgram;

static NetDgram *net_dgram(NetBackend *b)
{
    return (NetDgram *)b;
}

static void set_events(NetDgram *d, LoopEvents events)
{
    if (d->events != events) {
        d->events = events;
        loop_fd_set_events(d->watch, events);
    }
}

static bool hand_on(NetDgram *d, size_t length)
{
    struct iovec iov = { d->frame, length };
    const NetPacket packet = { .iov = &iov, .n = 1, .length = length };

    return net_receive(&d->backend, d->queue, &packet);
}

/* The bytes of the next frame, 0 if it is our own, -1. */
static ssize_t take_frame(NetDgram *d)
{
    struct sockaddr_in from = { 0 };
    socklen_t length = sizeof(from);
    ssize_t n;

    if (!d->own.sin_family) {
        return recv(d->fd, d->frame, NET_FRAME_MAX, MSG_DONTWAIT);
    }
    n = recvfrom(d->fd, d->frame, NET_FRAME_MAX, MSG_DONTWAIT, (struct sockaddr *)&from, &length);
    return from.sin_addr.s_addr == d->own.sin_addr.s_addr && from.sin_port == d->own.sin_port ? MIN(n, 0) : n;
}

/* A peer that is gone shows as an error once, at the next call. */
static void receive(NetDgram *d)
{
    for (unsigned i = 0; i < PER_ROUND; i++) {
        ssize_t n = take_frame(d);

        if (n < 0 && errno != ECONNREFUSED && errno != EINTR) {
            return;
        }
        if (n > 0 && !hand_on(d, (size_t)n)) {
            d->pending = (size_t)n;
            set_events(d, d->events & ~(LoopEvents)LOOP_READ);
            return;
        }
    }
}

static void descriptor_ready(int fd, LoopEvents events, void *opaque)
{
    NetDgram *d = opaque;

    if (events & LOOP_WRITE) {
        set_events(d, d->events & ~(LoopEvents)LOOP_WRITE);
        net_send_ready(&d->backend, d->queue);
    }
    if (events & LOOP_READ) {
        receive(d);
    }
}

static void dgram_receive_ready(NetBackend *b, NetQueue *q)
{
    NetDgram *d = net_dgram(b);

    if (d->pending && hand_on(d, d->pending)) {
        d->pending = 0;
        set_events(d, d->events | LOOP_READ);
    }
}

static NetSent dgram_send(NetBackend *b, NetQueue *q, const NetPacket *packet)
{
    NetDgram *d = net_dgram(b);
    const struct msghdr message = { .msg_name = d->remote.length ? &d->remote.address : NULL,
                                    .msg_namelen = d->remote.length, .msg_iov = (struct iovec *)packet->iov,
                                    .msg_iovlen = packet->n };
    ssize_t n;

    do {
        n = sendmsg(d->out, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        d->complained = false;
        return NET_SENT;
    }
    if (errno == EAGAIN && d->out == d->fd) { /* else it is lost: nobody looks when `out` has room */
        set_events(d, d->events | LOOP_WRITE);
        return NET_NO_ROOM;
    }
    if (!d->complained) {
        d->complained = true;
        log_warning("%s: a frame is lost: %s", b->id, g_strerror(errno));
    }
    return NET_LOST;
}

static void dgram_attach(NetBackend *b, NetQueue *q)
{
    NetDgram *d = net_dgram(b);

    d->queue = q;
    d->frame = g_malloc(NET_FRAME_MAX);
    d->events = LOOP_READ;
    d->watch = loop_add_fd(q->loop, d->fd, d->events, descriptor_ready, d);
}

static void dgram_detach(NetBackend *b, NetQueue *q)
{
    NetDgram *d = net_dgram(b);

    loop_remove_fd(d->watch);
    d->watch = NULL;
    d->queue = NULL;
    d->pending = 0;
    g_clear_pointer(&d->frame, g_free);
}

static void dgram_close(NetBackend *b)
{
    NetDgram *d = net_dgram(b);

    if (d->out != d->fd) {
        close(d->out);
    }
    close(d->fd);
    if (d->local.data) {
        socket_address_unlink(&d->local);
        socket_address_clear(&d->local);
    }
}

static bool open_at(NetDgram *d, const SocketAddress *local, const SocketAddress *remote, GError **error)
{
    g_autofree char *here = NULL, *there = NULL;

    d->fd = socket_address_dgram(local, remote, &d->remote, error);
    if (d->fd < 0) {
        return false;
    }
    d->out = d->fd;
    fcntl(d->fd, F_SETFL, fcntl(d->fd, F_GETFL) | O_NONBLOCK);
    d->local = socket_address_copy(local);
    here = socket_address_text(local);
    there = remote ? socket_address_text(remote) : NULL;
    d->backend.info = there ? g_strdup_printf("local=%s,remote=%s", here, there) : g_strdup(here);
    return true;
}

static bool open_group(NetDgram *d, const char *host, const char *port, const char *interface, GError **error)
{
    NetGroup group;

    if (!net_group_open(host, port, interface, &group, error)) {
        return false;
    }
    d->fd = group.in;
    d->out = group.out;
    d->own = group.own;
    d->backend.info = g_strdup_printf("group=%s:%s", host, port);
    return true;
}

/* ipv4=off, or ipv6=on alone, as host names are looked up. */
static bool excludes_ipv4(const InetSocketAddress *a)
{
    return a && (a->has_ipv4 ? !a->ipv4 : a->has_ipv6 && a->ipv6);
}

static bool dgram_open(NetBackend *b, const void *opaque, GError **error)
{
    const NetDgramOptions *o = opaque;
    const InetSocketAddress *there = o->remote && o->remote->type == SOCKET_ADDRESS_INET ? o->remote->data : NULL;
    const InetSocketAddress *here = o->local && o->local->type == SOCKET_ADDRESS_INET ? o->local->data : NULL;

    if (there && net_group_is(there->host) && (here || !o->local)) {
        if (excludes_ipv4(there) || excludes_ipv4(here)) {
            return error_set(error, "'%s' is a group of IPv4, which ipv4= or ipv6= excludes", there->host);
        }
        return open_group(net_dgram(b), there->host, there->port, here ? here->host : NULL, error);
    }
    return open_at(net_dgram(b), o->local, o->remote, error);
}

static bool open_mcast(NetDgram *d, const NetSocketOptions *o, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(o->mcast, ":", 2);

    if (o->udp || o->fd || o->listen || o->connect) {
        error_set(error, "mcast goes with localaddr only");
        return error_hint(error, "Write mcast=GROUP:PORT[,localaddr=ADDRESS].");
    }
    if (g_strv_length(parts) != 2) {
        return error_set(error, "mcast='%s' is not GROUP:PORT", o->mcast);
    }
    return open_group(d, parts[0], parts[1], o->localaddr, error);
}

static bool socket_dgram_open(NetBackend *b, const void *opaque, GError **error)
{
    const NetSocketOptions *o = opaque;
    SocketAddress local = { 0 }, remote = { 0 };
    bool ok;

    if (o->mcast) {
        return open_mcast(net_dgram(b), o, error);
    }
    if (!o->udp || !o->localaddr || o->fd || o->listen || o->connect) {
        error_set(error, "udp and localaddr go together, and with nothing else");
        return error_hint(error, "Write udp=HOST:PORT,localaddr=HOST:PORT.");
    }
    ok = socket_address_parse(o->localaddr, &local, error) && socket_address_parse(o->udp, &remote, error) &&
         open_at(net_dgram(b), &local, &remote, error);
    socket_address_clear(&local);
    socket_address_clear(&remote);
    return ok;
}

#define DGRAM_CLASS                                                                                                    \
    .size = sizeof(NetDgram), .close = dgram_close, .attach = dgram_attach, .detach = dgram_detach,                    \
    .send = dgram_send, .receive_ready = dgram_receive_ready

const NetClass net_dgram_class = { .name = "dgram", .open = dgram_open, DGRAM_CLASS };
const NetClass net_socket_dgram_class = { .name = "socket", .open = socket_dgram_open, DGRAM_CLASS };
