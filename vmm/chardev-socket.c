/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stream sockets: local and TCP, server and client, one peer at a time.
 *
 * A server listens while it has no peer.  A client that is told to reconnect does
 * so from a worker thread, since looking a name up and connecting may take long;
 * the attempt outlives a chardev that is removed meanwhile.  Descriptors that come
 * with the bytes (SCM_RIGHTS) wait for chardev_take_fd() until the next bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/chardev-internal.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"

#define PASSED_MAX   16
#define DISCARDS_MAX 64
#define WAIT_STEP_MS 100 /* between looks for a signal, while start-up waits for a peer */

typedef struct Connect Connect;

typedef struct Socket {
    ChardevFd fd; /* first */
    char *path;   /* local: "@NAME" is abstract; NULL: TCP or a given descriptor */
    char *host, *port;
    bool ipv4, ipv6, server, nodelay;
    uint32_t reconnect_s;
    int listener;
    LoopFd *listener_watch;
    Timer *retry;
    Connect *connect; /* an attempt under way */
    bool complained;  /* one log line a time of trouble */
    int passed[PASSED_MAX];
    unsigned n_passed;
} Socket;

/* An attempt to connect, with copies of what it needs. */
struct Connect {
    LoopIo io; /* first */
    Socket *socket; /* NULL: the chardev is gone */
    char *path, *host, *port;
    bool ipv4, ipv6;
    int fd;
    GError *error;
};

/* ---- descriptors that are passed ---- */

static void drop_passed(Socket *s)
{
    for (unsigned i = 0; i < s->n_passed; i++) {
        close(s->passed[i]);
    }
    s->n_passed = 0;
}

static void keep_passed(Socket *s, const struct cmsghdr *cmsg)
{
    size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    for (size_t i = 0; i < n; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
        if (s->n_passed < PASSED_MAX) {
            s->passed[s->n_passed++] = fd;
        } else {
            close(fd);
        }
    }
}

static ssize_t socket_receive(ChardevFd *c, uint8_t *data, size_t length)
{
    Socket *s = (Socket *)c;
    struct iovec iov = { data, length };
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(PASSED_MAX * sizeof(int))];
    } control;
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    ssize_t n = recvmsg(c->in, &msg, MSG_CMSG_CLOEXEC);

    if (n < 0) {
        return n;
    }
    if (msg.msg_controllen) {
        drop_passed(s);
    }
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
        if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS) {
            keep_passed(s, cmsg);
        }
    }
    return n;
}

static int socket_take_fd(Chardev *chr)
{
    Socket *s = (Socket *)chr;
    int fd = -1;

    if (s->n_passed) {
        fd = s->passed[0];
        s->n_passed--;
        memmove(s->passed, s->passed + 1, s->n_passed * sizeof(s->passed[0]));
    }
    return fd;
}

static int socket_borrow(Chardev *chr)
{
    return ((Socket *)chr)->host || ((Socket *)chr)->port ? -1 : ((ChardevFd *)chr)->in;
}

static ssize_t socket_send(ChardevFd *c, const uint8_t *data, size_t length)
{
    return send(c->out, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- the peer comes and goes ---- */

static void set_connected(Socket *s, int fd)
{
    int on = 1;

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (s->nodelay) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    s->complained = false;
    chardev_fd_open(&s->fd, fd, fd);
    chardev_event(&s->fd.chr, CHARDEV_OPENED);
}

static void retry_later(Socket *s)
{
    timer_mod(s->retry, clock_ns(clock_realtime) + s->reconnect_s * NS_PER_SEC);
}

static void socket_hung_up(ChardevFd *c)
{
    Socket *s = (Socket *)c;

    chardev_event(&c->chr, CHARDEV_CLOSED);
    chardev_fd_close(c);
    chardev_drop_output(&c->chr);
    drop_passed(s);
    if (s->listener_watch) {
        loop_fd_set_events(s->listener_watch, LOOP_READ);
    } else if (s->retry) {
        retry_later(s);
    }
}

static void socket_hang_up(Chardev *chr)
{
    if (((ChardevFd *)chr)->in >= 0) {
        socket_hung_up((ChardevFd *)chr);
    }
}

static void peer_comes(int fd, LoopEvents events, void *opaque)
{
    Socket *s = opaque;
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    if (peer >= 0) {
        loop_fd_set_events(s->listener_watch, 0);
        set_connected(s, peer);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        log_warning("%s: cannot accept a connection: %s", s->fd.chr.id, g_strerror(errno));
    }
}

/* ---- connecting from a worker ---- */

static int try_to_connect(void *opaque)
{
    Connect *c = opaque;

    c->fd = c->path ? host_connect_unix(c->path, &c->error)
                    : host_connect_tcp(c->host, c->port, c->ipv4, c->ipv6, &c->error);
    return 0;
}

static void complain(Socket *s, const GError *error)
{
    if (!s->complained) {
        log_warning("%s: %s; it is tried again every %u s", s->fd.chr.id, error->message, s->reconnect_s);
        s->complained = true;
    }
}

static void connect_done(LoopIo *io, int result)
{
    Connect *c = (Connect *)io;
    Socket *s = c->socket;

    if (s) {
        s->connect = NULL;
    }
    if (s && c->fd >= 0) {
        set_connected(s, c->fd);
    } else if (s) {
        complain(s, c->error);
        retry_later(s);
    } else if (c->fd >= 0) {
        close(c->fd);
    }
    g_clear_error(&c->error);
    g_free(c->path);
    g_free(c->host);
    g_free(c->port);
    g_free(c);
}

static void start_connecting(void *opaque)
{
    Socket *s = opaque;
    Connect *c = g_new0(Connect, 1);

    c->io = (LoopIo) { .op = LOOP_IO_CALL, .call = try_to_connect, .opaque = c, .done = connect_done };
    c->socket = s;
    c->path = g_strdup(s->path);
    c->host = g_strdup(s->host);
    c->port = g_strdup(s->port);
    c->ipv4 = s->ipv4;
    c->ipv6 = s->ipv6;
    s->connect = c;
    loop_submit(domain_loop(s->fd.chr.domain), &c->io);
}

/* ---- opening ---- */

static bool check_options(const ChardevSocketOptions *o, GError **error)
{
    unsigned ways = (o->path != NULL) + (o->host || o->port) + (o->fd != NULL);

    if (ways != 1) {
        error_set(error, "a socket needs one of 'path', 'host' with 'port', and 'fd'");
        return error_hint(error, "For example path=/run/x.sock,server=on,wait=off.");
    }
    if ((o->host || o->port) && !o->port) {
        return error_set(error, "'port' is missing");
    }
    if (!o->path && o->abstract) {
        return error_set(error, "'abstract' needs 'path'");
    }
    if (!o->server && (o->has_wait || o->nowait)) {
        return error_set(error, "'wait' needs 'server=on'");
    }
    if (o->server && o->reconnect) {
        return error_set(error, "'reconnect' is for clients, 'server=on' makes a server");
    }
    if (o->fd && o->reconnect) {
        return error_set(error, "'reconnect' needs an address, 'fd' has none");
    }
    if (o->path && o->nodelay) {
        return error_set(error, "'nodelay' is for TCP");
    }
    return true;
}

/* A passed descriptor that is none would only be seen by an endless row of failures. */
static bool is_stream_socket(int fd, bool listens, GError **error)
{
    int type = 0, accepts = 0;
    socklen_t length = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_STREAM) {
        return error_set(error, "the descriptor is no stream socket");
    }
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &length);
    if (listens && !accepts) {
        error_set(error, "the socket does not listen");
        return error_hint(error, "Say server=off if it is connected.");
    }
    if (!listens && accepts) {
        error_set(error, "the socket listens, it is not connected");
        return error_hint(error, "Say server=on.");
    }
    return true;
}

static int open_passed(const Socket *s, const char *text, GError **error)
{
    int fd = host_passed_fd(text, error);

    if (fd >= 0 && !is_stream_socket(fd, s->server, error)) {
        if (!g_ascii_isdigit(text[0])) { /* one by number may be anybody's */
            close(fd);
        }
        fd = -1;
    }
    return fd;
}

static int open_descriptor(const Socket *s, const ChardevSocketOptions *o, GError **error)
{
    if (o->fd) {
        return open_passed(s, o->fd, error);
    }
    if (s->server) {
        return s->path ? host_listen_unix(s->path, error) : host_listen_tcp(s->host, s->port, s->ipv4, s->ipv6, error);
    }
    return s->path ? host_connect_unix(s->path, error) : host_connect_tcp(s->host, s->port, s->ipv4, s->ipv6, error);
}

static char *address_text(const Socket *s)
{
    const char *role = s->server ? ",server=on" : "";

    if (s->path) {
        return g_strdup_printf("unix:%s%s", s->path, role);
    }
    return s->port ? g_strdup_printf("tcp:%s:%s%s", s->host ? s->host : "", s->port, role)
                   : g_strdup_printf("fd%s", role);
}

static char *socket_filename(const Chardev *chr)
{
    g_autofree char *address = address_text((const Socket *)chr);

    return g_strconcat(__atomic_load_n(&chr->connected, __ATOMIC_SEQ_CST) ? "" : "disconnected:", address, NULL);
}

/* The signals that end the process are blocked, for the main loop, which does not run yet. */
static bool end_is_asked_for(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0
        && (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM) || sigismember(&pending, SIGHUP));
}

/* wait=on: the machine is not built before somebody listens to it. */
static bool wait_for_peer(Socket *s, GError **error)
{
    struct pollfd p = { .fd = s->listener, .events = POLLIN };
    g_autofree char *name = address_text(s);
    int peer;

    log_info("waiting for connection on: %s", name);
    while (poll(&p, 1, WAIT_STEP_MS) == 0) {
        if (end_is_asked_for()) {
            return error_set(error, "nobody connected to '%s' before a signal came", name);
        }
    }
    peer = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0) {
        return error_set_errno(error, errno, "nobody connected to '%s'", name);
    }
    set_connected(s, peer);
    return true;
}

static bool open_server(Socket *s, const ChardevSocketOptions *o, GError **error)
{
    bool wait = o->has_wait ? o->wait : !o->nowait;

    s->listener = open_descriptor(s, o, error);
    if (s->listener < 0 || (wait && !wait_for_peer(s, error))) {
        return false;
    }
    fcntl(s->listener, F_SETFL, fcntl(s->listener, F_GETFL) | O_NONBLOCK);
    s->listener_watch = loop_add_fd(
        domain_loop(s->fd.chr.domain), s->listener, s->fd.chr.connected ? 0 : LOOP_READ, peer_comes, s);
    return true;
}

static bool open_client(Socket *s, const ChardevSocketOptions *o, GError **error)
{
    int fd;

    if (s->reconnect_s) {
        s->retry = timer_new(domain_loop(s->fd.chr.domain), clock_realtime, start_connecting, s);
        start_connecting(s);
        return true;
    }
    fd = open_descriptor(s, o, error);
    if (fd >= 0) {
        set_connected(s, fd);
    }
    return fd >= 0;
}

/* Closed with something unread, a TCP socket resets the connection, and what is under way to the peer is lost. */
static void discard_input(int fd)
{
    char data[CHARDEV_INPUT_MAX];

    for (int i = 0; i < DISCARDS_MAX && recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0; i++) {
    }
}

static void socket_close(Chardev *chr)
{
    Socket *s = (Socket *)chr;

    chardev_output_ready(chr);
    discard_input(s->fd.in);
    if (s->connect) {
        s->connect->socket = NULL;
    }
    timer_free(s->retry);
    loop_remove_fd(s->listener_watch);
    chardev_fd_close(&s->fd);
    drop_passed(s);
    if (s->listener >= 0) {
        close(s->listener);
        if (s->path && s->path[0] != '@') {
            unlink(s->path);
        }
    }
    g_free(s->path);
    g_free(s->host);
    g_free(s->port);
}

/* host.h knows an abstract name by its '@', so a path that begins with one is spelled out. */
static char *local_name(const ChardevSocketOptions *o)
{
    if (!o->path) {
        return NULL;
    }
    return g_strconcat(o->abstract ? "@" : o->path[0] == '@' ? "./" : "", o->path, NULL);
}

static bool socket_open(Chardev *chr, const void *opaque, GError **error)
{
    const ChardevSocketOptions *o = opaque;
    Socket *s = (Socket *)chr;

    if (!check_options(o, error)) {
        return false;
    }
    s->path = local_name(o);
    s->host = g_strdup(o->host);
    s->port = g_strdup(o->port);
    s->ipv4 = o->has_ipv4 ? o->ipv4 : !(o->has_ipv6 && o->ipv6);
    s->ipv6 = o->has_ipv6 ? o->ipv6 : !(o->has_ipv4 && o->ipv4);
    s->server = o->server;
    s->nodelay = o->nodelay;
    s->reconnect_s = o->reconnect;
    s->listener = -1;
    s->fd.in = s->fd.out = -1;
    s->fd.receive = socket_receive;
    s->fd.send = socket_send;
    s->fd.hung_up = socket_hung_up;
    if (o->server ? open_server(s, o, error) : open_client(s, o, error)) {
        return true;
    }
    socket_close(chr);
    return false;
}

const ChardevClass chardev_socket_class = {
    .name = "socket",
    .size = sizeof(Socket),
    .open = socket_open,
    .close = socket_close,
    .write = chardev_fd_write,
    .watch_output = chardev_fd_watch_output,
    .resume_input = chardev_fd_resume_input,
    .output_fd = chardev_fd_output_fd,
    .filename = socket_filename,
    .take_fd = socket_take_fd,
    .borrow_socket = socket_borrow,
    .hang_up = socket_hang_up,
};
