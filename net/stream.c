/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `stream` backend, and `socket`: frames over a stream socket, each behind its length (4 bytes,
 * big endian), as QEMU and passt speak it.  A server has one peer at a time; a client may connect
 * again when its peer has gone (reconnect=).
 *
 * Without a peer frames are lost, as on a wire with nothing at its end.  What the socket does not take
 * at once waits here, OUT_MAX bytes of it; then the guest is told to wait.  A length that no frame has
 * is no way to go on: the connection ends, and the log says why.
 *
 * Connecting blocks, and is a worker's; the attempt outlives a backend that is removed meanwhile.
 * Main loop only.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net-commands.h"
#include "net/netdev-options.h"
#include "vmm/bytes.h"
#include "vmm/error.h"
#include "vmm/iov.h"
#include "vmm/log.h"

#define LENGTH_BYTES 4
#define IN_BYTES     (256 * 1024)
#define OUT_MAX      (256 * 1024)
#define PIECES_MAX   1024 /* of a frame */

typedef struct Connect Connect;

typedef struct NetStream {
    NetBackend backend; /* first */
    SocketAddress address;
    bool server;
    uint32_t reconnect_s;
    int listener, fd; /* -1: none */
    LoopFd *listener_watch, *watch;
    LoopEvents events;
    Timer *retry;
    Connect *connect; /* an attempt under way */
    bool complained;  /* one line a time of trouble */
    NetQueue *queue;  /* NULL: no NIC */
    uint8_t *in;
    size_t in_head, in_tail; /* what was read and not handed on */
    GByteArray *out;         /* what was not sent */
    size_t out_done;
    bool full;               /* net_send_ready() is owed */
} NetStream;

struct Connect {
    LoopIo io; /* first */
    NetStream *stream; /* NULL: it is gone */
    SocketAddress address;
    int fd;
    GError *error;
};

static NetStream *net_stream(NetBackend *b)
{
    return (NetStream *)b;
}

static void set_events(NetStream *s, LoopEvents events)
{
    if (s->watch && s->events != events) {
        s->events = events;
        loop_fd_set_events(s->watch, events);
    }
}

/* ---- the peer comes and goes ---- */

static void tell_room(NetStream *s)
{
    if (s->full && s->queue) {
        s->full = false;
        net_send_ready(&s->backend, s->queue);
    }
}

static void drop_peer(NetStream *s)
{
    loop_remove_fd(s->watch);
    s->watch = NULL;
    close(s->fd);
    s->fd = -1;
    s->in_head = s->in_tail = 0;
    g_byte_array_set_size(s->out, 0);
    s->out_done = 0;
}

static void retry_later(NetStream *s)
{
    timer_mod(s->retry, clock_ns(clock_realtime) + s->reconnect_s * NS_PER_SEC);
}

static void hung_up(NetStream *s)
{
    drop_peer(s);
    net_stream_disconnected(&s->backend);
    if (s->listener_watch) {
        loop_fd_set_events(s->listener_watch, LOOP_READ);
    } else if (s->retry) {
        retry_later(s);
    }
    tell_room(s); /* there is, and frames are lost in it */
}

static void descriptor_ready(int fd, LoopEvents events, void *opaque);

static void set_connected(NetStream *s, int fd)
{
    int on = 1;

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* a local socket has no such thing */
    s->fd = fd;
    s->complained = false;
    s->events = LOOP_READ;
    s->watch = loop_add_fd(domain_loop(s->backend.domain), fd, s->events, descriptor_ready, s);
    net_stream_connected(&s->backend, &s->address);
}

static void peer_comes(int fd, LoopEvents events, void *opaque)
{
    NetStream *s = opaque;
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    if (peer >= 0) {
        loop_fd_set_events(s->listener_watch, 0);
        set_connected(s, peer);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        log_warning("%s: cannot accept a connection: %s", s->backend.id, g_strerror(errno));
    }
}

/* ---- frames for the guest ---- */

/* Hands on what is whole.  false: the guest has no room, or the peer is gone. */
static bool hand_on(NetStream *s)
{
    while (s->in_tail - s->in_head >= LENGTH_BYTES) {
        const uint8_t *p = s->in + s->in_head;
        size_t length = get_be32(p);
        struct iovec iov = { (void *)(p + LENGTH_BYTES), length };
        const NetPacket packet = { .iov = &iov, .n = 1, .length = length };

        if (length > NET_FRAME_MAX) {
            log_warning("%s: the peer sends a frame of %zu bytes; it is disconnected", s->backend.id, length);
            hung_up(s);
            return false;
        }
        if (s->in_tail - s->in_head < LENGTH_BYTES + length) {
            break;
        }
        if (s->queue && !net_receive(&s->backend, s->queue, &packet)) {
            set_events(s, s->events & ~(LoopEvents)LOOP_READ);
            return false;
        }
        s->in_head += LENGTH_BYTES + length;
    }
    memmove(s->in, s->in + s->in_head, s->in_tail - s->in_head);
    s->in_tail -= s->in_head;
    s->in_head = 0;
    return true;
}

static void receive(NetStream *s)
{
    ssize_t n = recv(s->fd, s->in + s->in_tail, IN_BYTES - s->in_tail, MSG_DONTWAIT);

    if (n > 0) {
        s->in_tail += (size_t)n;
        hand_on(s);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        hung_up(s);
    }
}

static void stream_receive_ready(NetBackend *b, NetQueue *q)
{
    NetStream *s = net_stream(b);

    if (s->fd >= 0 && !(s->events & LOOP_READ) && hand_on(s)) {
        set_events(s, s->events | LOOP_READ);
    }
}

/* ---- frames from the guest ---- */

static void flush(NetStream *s)
{
    ssize_t n = send(s->fd, s->out->data + s->out_done, s->out->len - s->out_done, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        hung_up(s);
        return;
    }
    s->out_done += n > 0 ? (size_t)n : 0;
    if (s->out_done == s->out->len) {
        g_byte_array_set_size(s->out, 0);
        s->out_done = 0;
        set_events(s, s->events & ~(LoopEvents)LOOP_WRITE);
        tell_room(s);
    } else if (s->out_done > OUT_MAX) {
        g_byte_array_remove_range(s->out, 0, (guint)s->out_done);
        s->out_done = 0;
    }
}

static void descriptor_ready(int fd, LoopEvents events, void *opaque)
{
    NetStream *s = opaque;

    if (events & LOOP_WRITE) {
        flush(s);
    }
    if (events & LOOP_READ && s->fd == fd) {
        receive(s);
    }
}

static void keep(NetStream *s, const struct iovec *iov, unsigned n, size_t from, size_t length)
{
    guint old = s->out->len;

    g_byte_array_set_size(s->out, old + (guint)(length - from));
    iov_to_buffer(iov, n, from, s->out->data + old, length - from);
    set_events(s, s->events | LOOP_WRITE);
}

static NetSent stream_send(NetBackend *b, NetQueue *q, const NetPacket *packet)
{
    NetStream *s = net_stream(b);
    uint8_t length[LENGTH_BYTES];
    struct iovec iov[PIECES_MAX + 1]; /* large: only what is used is set */
    const struct msghdr message = { .msg_iov = iov, .msg_iovlen = packet->n + 1 };
    size_t all = sizeof(length) + packet->length;
    ssize_t n = 0;

    if (s->fd < 0 || packet->n > PIECES_MAX) {
        return NET_LOST;
    }
    if (s->out->len - s->out_done > OUT_MAX) {
        s->full = true;
        return NET_NO_ROOM;
    }
    put_be32(length, (uint32_t)packet->length);
    iov[0] = (struct iovec) { length, sizeof(length) };
    memcpy(iov + 1, packet->iov, packet->n * sizeof(iov[0]));
    if (!s->out->len) {
        n = sendmsg(s->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        return NET_LOST; /* the watch sees that it is gone */
    }
    if (n < (ssize_t)all) {
        keep(s, iov, packet->n + 1, n > 0 ? (size_t)n : 0, all);
    }
    return NET_SENT;
}

static void stream_attach(NetBackend *b, NetQueue *q)
{
    net_stream(b)->queue = q;
    stream_receive_ready(b, q);
}

static void stream_detach(NetBackend *b, NetQueue *q)
{
    NetStream *s = net_stream(b);

    s->queue = NULL;
    s->full = false;
    stream_receive_ready(b, q); /* what waited for it is lost, and more is read */
}

/* ---- connecting from a worker ---- */

static int try_to_connect(void *opaque)
{
    Connect *c = opaque;

    c->fd = socket_address_connect(&c->address, &c->error);
    return 0;
}

static void connect_done(LoopIo *io, int result)
{
    Connect *c = (Connect *)io;
    NetStream *s = c->stream;

    if (s) {
        s->connect = NULL;
    }
    if (s && c->fd >= 0) {
        set_connected(s, c->fd);
    } else if (s) {
        if (!s->complained) {
            log_warning("%s: %s; it is tried again every %u s", s->backend.id, c->error->message, s->reconnect_s);
            s->complained = true;
        }
        retry_later(s);
    } else if (c->fd >= 0) {
        close(c->fd);
    }
    g_clear_error(&c->error);
    socket_address_clear(&c->address);
    g_free(c);
}

static void start_connecting(void *opaque)
{
    NetStream *s = opaque;
    Connect *c = g_new0(Connect, 1);

    c->io = (LoopIo) { .op = LOOP_IO_CALL, .call = try_to_connect, .opaque = c, .done = connect_done };
    c->stream = s;
    c->address = socket_address_copy(&s->address);
    s->connect = c;
    loop_submit(domain_loop(s->backend.domain), &c->io);
}

/* ---- life ---- */

static void stream_close(NetBackend *b)
{
    NetStream *s = net_stream(b);

    if (s->connect) {
        s->connect->stream = NULL;
    }
    timer_free(s->retry);
    if (s->fd >= 0) {
        drop_peer(s);
    }
    loop_remove_fd(s->listener_watch);
    if (s->listener >= 0) {
        close(s->listener);
        socket_address_unlink(&s->address);
    }
    socket_address_clear(&s->address);
    g_byte_array_unref(s->out);
    g_free(s->in);
}

static bool open_server(NetStream *s, GError **error)
{
    s->listener = socket_address_listen(&s->address, error);
    if (s->listener < 0) {
        return false;
    }
    fcntl(s->listener, F_SETFL, fcntl(s->listener, F_GETFL) | O_NONBLOCK);
    s->listener_watch = loop_add_fd(domain_loop(s->backend.domain), s->listener, LOOP_READ, peer_comes, s);
    return true;
}

static bool open_client(NetStream *s, GError **error)
{
    int fd;

    if (s->reconnect_s) {
        s->retry = timer_new(domain_loop(s->backend.domain), clock_realtime, start_connecting, s);
        start_connecting(s);
        return true;
    }
    fd = socket_address_connect(&s->address, error);
    if (fd >= 0) {
        set_connected(s, fd);
    }
    return fd >= 0;
}

static bool open_at(NetStream *s, const NetStreamOptions *o, GError **error)
{
    g_autofree char *text = socket_address_text(&o->addr);

    if (o->reconnect && (o->server || o->addr.type == SOCKET_ADDRESS_FD)) {
        return error_set(error, "reconnect is for clients that have an address");
    }
    s->address = socket_address_copy(&o->addr);
    s->server = o->server;
    s->reconnect_s = o->reconnect;
    s->listener = s->fd = -1;
    s->in = g_malloc(IN_BYTES);
    s->out = g_byte_array_new();
    s->backend.info = g_strdup_printf("%s%s", text, s->server ? ",server=on" : "");
    if (!(s->server ? open_server(s, error) : open_client(s, error))) {
        stream_close(&s->backend);
        return false;
    }
    return true;
}

static bool stream_open(NetBackend *b, const void *opaque, GError **error)
{
    return open_at(net_stream(b), opaque, error);
}

static bool socket_open(NetBackend *b, const void *opaque, GError **error)
{
    const NetSocketOptions *o = opaque;
    FdSocketAddress fd = { o->fd };
    NetStreamOptions stream = { .addr = { SOCKET_ADDRESS_FD, &fd }, .server = o->listen != NULL };
    bool ok;

    if ((o->fd != NULL) + (o->listen != NULL) + (o->connect != NULL) != 1) {
        error_set(error, "a socket needs one of fd, listen, connect, mcast, and udp with localaddr");
        return error_hint(error, "For example listen=127.0.0.1:1234, and connect=127.0.0.1:1234 in another.");
    }
    if (o->fd) {
        return open_at(net_stream(b), &stream, error);
    }
    stream.addr.data = NULL;
    ok = socket_address_parse(o->listen ? o->listen : o->connect, &stream.addr, error) &&
         open_at(net_stream(b), &stream, error);
    socket_address_clear(&stream.addr);
    return ok;
}

#define STREAM_CLASS                                                                                                   \
    .size = sizeof(NetStream), .close = stream_close, .attach = stream_attach, .detach = stream_detach,                \
    .send = stream_send, .receive_ready = stream_receive_ready, .main_loop_only = true

const NetClass net_stream_class = { .name = "stream", .open = stream_open, STREAM_CLASS };
const NetClass net_socket_class = { .name = "socket", .open = socket_open, STREAM_CLASS };
