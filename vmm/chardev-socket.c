/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stream sockets: local and TCP, server and client, one peer at a time, who may speak
 * TELNET (vmm/telnet.h).
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
#include "vmm/telnet.h"

#define PASSED_MAX   16
#define DISCARDS_MAX 64
#define WAIT_STEP_MS 100 /* between looks for a signal, while start-up waits for a peer */

typedef struct Connect Connect;

typedef struct Socket {
    ChardevFd fd; /* first */
    SocketAddress address;
    bool server, nodelay, speaks_telnet;
    Telnet telnet; /* the chardev's lock protects it, since a vCPU encodes */
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
    SocketAddress address;
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
    const Socket *s = (const Socket *)chr;

    return s->address.type == SOCKET_ADDRESS_INET || s->speaks_telnet ? -1 : s->fd.in;
}

static ssize_t socket_send(ChardevFd *c, const uint8_t *data, size_t length)
{
    return send(c->out, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- TELNET ---- */

G_STATIC_ASSERT(TELNET_ENCODED_MAX(CHARDEV_ENCODE_MAX) <= CHARDEV_ENCODED_MAX);

static size_t socket_encode(Chardev *chr, const uint8_t *data, size_t length, uint8_t *out)
{
    return telnet_encode(&((Socket *)chr)->telnet, data, length, out);
}

/* The break comes between the bytes before it and those behind it. */
static void deliver_break(Socket *s, const uint8_t *data, size_t length)
{
    if (length) {
        chardev_input(&s->fd.chr, data, length);
    }
    chardev_event(&s->fd.chr, CHARDEV_BREAK);
}

/* Decodes in place; returns what is still to be delivered. */
static size_t decode(Socket *s, uint8_t *data, size_t length)
{
    g_autoptr(GByteArray) answer = g_byte_array_new();
    size_t used = 0, got = 0;

    while (used < length) {
        TelnetInput in;

        lock_acquire(&s->fd.chr.lock);
        in = telnet_decode(&s->telnet, data + used, length - used, data + got, answer);
        lock_release(&s->fd.chr.lock);
        used += in.used;
        got += in.length;
        if (in.is_break) {
            deliver_break(s, data, got);
            got = 0;
        }
    }
    if (answer->len) {
        chardev_say(&s->fd.chr, answer->data, answer->len);
    }
    return got;
}

static ssize_t telnet_receive(ChardevFd *c, uint8_t *data, size_t length)
{
    ssize_t n = socket_receive(c, data, length);
    size_t got = n > 0 ? decode((Socket *)c, data, (size_t)n) : 0;

    if (n > 0 && !got) {
        errno = EAGAIN;
        return -1;
    }
    return n > 0 ? (ssize_t)got : n;
}

/* A client's data mark is urgent; out of line it would leave its command without its second byte. */
static void begin_telnet(Socket *s, int fd)
{
    g_autoptr(GByteArray) offers = g_byte_array_new();
    int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
    lock_acquire(&s->fd.chr.lock);
    telnet_start(&s->telnet, s->server, offers);
    lock_release(&s->fd.chr.lock);
    chardev_say(&s->fd.chr, offers->data, offers->len);
}

static void socket_send_break(Chardev *chr)
{
    if (((Socket *)chr)->speaks_telnet && chardev_connected(chr)) {
        chardev_say(chr, telnet_break, sizeof(telnet_break));
    }
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
    if (s->speaks_telnet) {
        begin_telnet(s, fd);
    }
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

    c->fd = socket_address_connect(&c->address, &c->error);
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
    socket_address_clear(&c->address);
    g_free(c);
}

static void start_connecting(void *opaque)
{
    Socket *s = opaque;
    Connect *c = g_new0(Connect, 1);

    c->io = (LoopIo) { .op = LOOP_IO_CALL, .call = try_to_connect, .opaque = c, .done = connect_done };
    c->socket = s;
    c->address = socket_address_copy(&s->address);
    s->connect = c;
    loop_submit(domain_loop(s->fd.chr.domain), &c->io);
}

/* ---- opening ---- */

static char *address_text(const Socket *s)
{
    g_autofree char *text = socket_address_text(&s->address);

    const char *kind = s->speaks_telnet ? "telnet:" : "tcp:";

    return g_strconcat(s->address.type == SOCKET_ADDRESS_INET ? kind : "", text, s->server ? ",server=on" : "", NULL);
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

    s->listener = socket_address_listen(&s->address, error);
    if (s->listener < 0 || (wait && !wait_for_peer(s, error))) {
        return false;
    }
    fcntl(s->listener, F_SETFL, fcntl(s->listener, F_GETFL) | O_NONBLOCK);
    s->listener_watch = loop_add_fd(
        domain_loop(s->fd.chr.domain), s->listener, s->fd.chr.connected ? 0 : LOOP_READ, peer_comes, s);
    return true;
}

/* A local socket is there or is not, and who follows at once (netdev_add) may need its peer. */
static void open_reconnecting(Socket *s)
{
    g_autoptr(GError) error = NULL;
    int fd;

    s->retry = timer_new(domain_loop(s->fd.chr.domain), clock_realtime, start_connecting, s);
    if (s->address.type != SOCKET_ADDRESS_UNIX) {
        start_connecting(s);
    } else if ((fd = socket_address_connect(&s->address, &error)) >= 0) {
        set_connected(s, fd);
    } else {
        complain(s, error);
        retry_later(s);
    }
}

static bool open_client(Socket *s, GError **error)
{
    int fd;

    if (s->reconnect_s) {
        open_reconnecting(s);
        return true;
    }
    fd = socket_address_connect(&s->address, error);
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

/* Copies that nobody closes, but for the process' end. */
static void socket_keep(Chardev *chr)
{
    const Socket *s = (const Socket *)chr;
    const int fds[] = { s->fd.in, s->listener };

    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        if (fds[i] >= 0) {
            fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        }
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
        socket_address_unlink(&s->address);
    }
    socket_address_clear(&s->address);
}

static bool socket_open(Chardev *chr, const void *opaque, GError **error)
{
    const ChardevSocketOptions *o = opaque;
    Socket *s = (Socket *)chr;

    s->server = o->server;
    s->nodelay = o->nodelay;
    s->reconnect_s = o->reconnect;
    s->listener = -1;
    s->fd.in = s->fd.out = -1;
    s->fd.receive = o->telnet ? telnet_receive : socket_receive;
    s->speaks_telnet = o->telnet;
    chr->encode = o->telnet ? socket_encode : NULL;
    s->fd.send = socket_send;
    s->fd.hung_up = socket_hung_up;
    s->fd.half_closes = true;
    if (chardev_socket_address(o, &s->address, error) &&
        (o->server ? open_server(s, o, error) : open_client(s, error))) {
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
    .keep = socket_keep,
    .write = chardev_fd_write,
    .watch_output = chardev_fd_watch_output,
    .resume_input = chardev_fd_resume_input,
    .output_fd = chardev_fd_output_fd,
    .filename = socket_filename,
    .send_break = socket_send_break,
    .take_fd = socket_take_fd,
    .borrow_socket = socket_borrow,
    .hang_up = socket_hang_up,
};
