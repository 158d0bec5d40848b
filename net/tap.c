/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `tap` backend: a TAP interface of the host (Linux, Documentation/networking/tuntap.rst), made
 * here or passed as descriptors; with one queue or several, and with virtio-net headers (vnet_hdr), by
 * which checksums and segmentation are the kernel's work, both ways.
 *
 * A frame that the guest has no room for stays here, and its queue is not read until there is some.
 *
 * Locking: a queue is its loop's.  Which queues the kernel spreads frames over, and what it may leave
 * undone in them, may be set from any thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/netdev-options.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"

#define TUN_DEVICE     "/dev/net/tun"
#define DEFAULT_UP     "/etc/qemu-ifup"
#define DEFAULT_DOWN   "/etc/qemu-ifdown"
#define PER_ROUND      64   /* frames received, before others on the loop get their turn */
#define QUEUES_MAX     128
#define PIECES_MAX     1024 /* of a frame */

typedef struct NetTap NetTap;

typedef struct TapQueue {
    NetTap *tap;
    int fd;
    /* The loop's */
    NetQueue *link; /* NULL: not attached */
    LoopFd *watch;
    LoopEvents events;
    uint8_t *frame;
    struct virtio_net_hdr header;
    size_t pending; /* bytes of a frame that the guest had no room for */
    bool complained;
} TapQueue;

struct NetTap {
    NetBackend backend; /* first */
    TapQueue *queue;
    bool vnet_hdr;
    bool ours;          /* made here, not passed */
    char name[IFNAMSIZ];
    char *downscript;   /* NULL: none */
};

static NetTap *net_tap(NetBackend *b)
{
    return (NetTap *)b;
}

/* ---- frames ---- */

static void set_events(TapQueue *t, LoopEvents events)
{
    if (t->events != events) {
        t->events = events;
        loop_fd_set_events(t->watch, events);
    }
}

/* The interface is gone, or down: once in the log, and not read any more if there is no end to it. */
static void complain(TapQueue *t, const char *what, int err)
{
    if (!t->complained) {
        t->complained = true;
        log_warning("%s: cannot %s interface '%s': %s", t->tap->backend.id, what, t->tap->name, g_strerror(err));
    }
}

static bool hand_on(TapQueue *t, size_t length)
{
    struct iovec iov = { t->frame, length };
    const NetPacket packet = { .header = t->header, .iov = &iov, .n = 1, .length = length };

    return net_receive(&t->tap->backend, t->link, &packet);
}

/* Bytes of the next frame; 0: none. */
static size_t read_frame(TapQueue *t)
{
    struct iovec iov[] = { { &t->header, sizeof(t->header) }, { t->frame, NET_FRAME_MAX } };
    unsigned skip = t->tap->vnet_hdr ? 0 : 1;
    ssize_t n = readv(t->fd, iov + skip, 2 - (int)skip);

    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        complain(t, "read from", errno);
        set_events(t, t->events & ~(LoopEvents)LOOP_READ);
    }
    n -= t->tap->vnet_hdr ? (ssize_t)sizeof(t->header) : 0;
    return n > 0 ? (size_t)n : 0;
}

static void receive(TapQueue *t)
{
    for (unsigned i = 0; i < PER_ROUND; i++) {
        size_t length = read_frame(t);

        if (!length) {
            return;
        }
        if (!hand_on(t, length)) {
            t->pending = length;
            set_events(t, t->events & ~(LoopEvents)LOOP_READ);
            return;
        }
    }
}

static void tap_receive_ready(NetBackend *b, NetQueue *q)
{
    TapQueue *t = &net_tap(b)->queue[q->index];

    if (t->pending && hand_on(t, t->pending)) {
        t->pending = 0;
        set_events(t, t->events | LOOP_READ);
    }
}

static void descriptor_ready(int fd, LoopEvents events, void *opaque)
{
    TapQueue *t = opaque;

    if (events & LOOP_WRITE) {
        set_events(t, t->events & ~(LoopEvents)LOOP_WRITE);
        net_send_ready(&t->tap->backend, t->link);
    }
    if (events & LOOP_READ && t->watch) {
        receive(t);
    }
}

static NetSent tap_send(NetBackend *b, NetQueue *q, const NetPacket *packet)
{
    TapQueue *t = &net_tap(b)->queue[q->index];
    struct iovec iov[PIECES_MAX + 1] = { { (void *)&packet->header, sizeof(packet->header) } };
    unsigned skip = net_tap(b)->vnet_hdr ? 0 : 1;
    ssize_t n;

    if (packet->n > PIECES_MAX) {
        return NET_LOST;
    }
    memcpy(iov + 1, packet->iov, packet->n * sizeof(iov[0]));
    do {
        n = writev(t->fd, iov + skip, (int)(packet->n + 1 - skip));
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        set_events(t, t->events | LOOP_WRITE);
        return NET_NO_ROOM;
    }
    if (n < 0 && errno != EINVAL) { /* EINVAL: the guest's header makes no sense to the kernel */
        complain(t, "send on", errno);
    }
    return n < 0 ? NET_LOST : NET_SENT;
}

static void tap_attach(NetBackend *b, NetQueue *q)
{
    TapQueue *t = &net_tap(b)->queue[q->index];

    t->link = q;
    t->frame = g_malloc(NET_FRAME_MAX);
    t->events = LOOP_READ;
    t->watch = loop_add_fd(q->loop, t->fd, t->events, descriptor_ready, t);
}

static void tap_detach(NetBackend *b, NetQueue *q)
{
    TapQueue *t = &net_tap(b)->queue[q->index];

    loop_remove_fd(t->watch);
    t->watch = NULL;
    t->link = NULL;
    t->pending = 0;
    g_clear_pointer(&t->frame, g_free);
}

/* ---- what the kernel is told ---- */

static void tap_set_offloads(NetBackend *b, unsigned offloads)
{
    const NetTap *tap = net_tap(b);
    unsigned flags = offloads & NET_CSUM ? TUN_F_CSUM : 0;

    if (flags) { /* without it there are no others */
        flags |= (offloads & NET_TSO4 ? TUN_F_TSO4 : 0) | (offloads & NET_TSO6 ? TUN_F_TSO6 : 0) |
                 (offloads & NET_ECN && offloads & (NET_TSO4 | NET_TSO6) ? TUN_F_TSO_ECN : 0);
    }
    if (tap->vnet_hdr && ioctl(tap->queue[0].fd, TUNSETOFFLOAD, flags) < 0) {
        ioctl(tap->queue[0].fd, TUNSETOFFLOAD, 0);
    }
}

/* Frames are spread over the queues that the guest uses. */
static void tap_set_queues(NetBackend *b, unsigned queues)
{
    const NetTap *tap = net_tap(b);

    for (unsigned i = 1; i < b->queues; i++) {
        struct ifreq request = { .ifr_flags = i < queues ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

        ioctl(tap->queue[i].fd, TUNSETQUEUE, &request); /* EINVAL: it is so already */
    }
}

/* ---- opening ---- */

static void add_queue(NetTap *tap, int fd)
{
    tap->queue[tap->backend.queues++] = (TapQueue) { .tap = tap, .fd = fd };
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static bool set_interface(const NetTap *tap, int fd, struct ifreq *request, GError **error)
{
    int err;

    if (ioctl(fd, TUNSETIFF, request) == 0) {
        return true;
    }
    err = errno;
    error_set_errno(error, err, "cannot make the TAP interface '%s'", *tap->name ? tap->name : "tap%d");
    if (err == EPERM) {
        return error_hint(error, "Make it first (ip tuntap add mode tap user $USER name NAME), run as root, or use "
                                 "-netdev user.");
    }
    if (err == EBUSY) {
        return error_hint(error, "Another process has it: choose another ifname.");
    }
    if (err == EINVAL) {
        return error_hint(error, "An interface of that name may be of another kind, or have been made with%s queues.",
                          request->ifr_flags & IFF_MULTI_QUEUE ? "out several" : " several");
    }
    return false;
}

static bool make_interface(NetTap *tap, const NetTapOptions *o, GError **error)
{
    unsigned queues = o->has_queues ? o->queues : 1;

    if (o->ifname && strlen(o->ifname) >= IFNAMSIZ) {
        return error_set(error, "ifname='%s' is longer than %d bytes", o->ifname, IFNAMSIZ - 1);
    }
    g_strlcpy(tap->name, o->ifname ? o->ifname : "", IFNAMSIZ);
    for (unsigned i = 0; i < queues; i++) {
        struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (tap->vnet_hdr ? IFF_VNET_HDR : 0) |
                                                      (queues > 1 ? IFF_MULTI_QUEUE : 0)) };
        int fd = host_open(TUN_DEVICE, O_RDWR, 0, error);

        if (fd < 0) {
            return false;
        }
        g_strlcpy(request.ifr_name, tap->name, IFNAMSIZ);
        if (!set_interface(tap, fd, &request, error)) {
            close(fd);
            return false;
        }
        g_strlcpy(tap->name, request.ifr_name, IFNAMSIZ);
        add_queue(tap, fd);
    }
    tap->ours = true;
    return true;
}

/* By number it may be anybody's: it is not closed if it is refused. */
static bool take_passed(NetTap *tap, const char *text, GError **error)
{
    struct ifreq request = { 0 };
    int fd = host_passed_fd(text, error);

    if (fd < 0) {
        return false;
    }
    if (ioctl(fd, TUNGETIFF, &request) < 0 || !(request.ifr_flags & IFF_TAP)) {
        error_set(error, "descriptor '%s' is no TAP interface", text);
    } else if (!(request.ifr_flags & IFF_NO_PI)) {
        error_set(error, "TAP interface '%s' was made with packet information", request.ifr_name);
        error_hint(error, "Set IFF_NO_PI.");
    } else {
        tap->vnet_hdr = request.ifr_flags & IFF_VNET_HDR;
        g_strlcpy(tap->name, request.ifr_name, IFNAMSIZ);
        add_queue(tap, fd);
        return true;
    }
    if (!g_ascii_isdigit(text[0])) {
        close(fd);
    }
    return false;
}

static bool take_all_passed(NetTap *tap, const NetTapOptions *o, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(o->fds ? o->fds : o->fd, o->fds ? ":" : "\n", -1);

    if (g_strv_length(parts) > QUEUES_MAX) {
        return error_set(error, "fds names more than %d descriptors", QUEUES_MAX);
    }
    for (unsigned i = 0; parts[i]; i++) {
        bool vnet_hdr = tap->vnet_hdr;

        if (!take_passed(tap, parts[i], error)) {
            return false;
        }
        if (i && vnet_hdr != tap->vnet_hdr) {
            return error_set(error, "some descriptors have virtio-net headers, and some do not");
        }
    }
    return true;
}

static bool check_options(const NetTapOptions *o, GError **error)
{
    bool passed = o->fd || o->fds;

    if (o->fd && o->fds) {
        return error_set(error, "fd and fds exclude each other");
    }
    if (passed && (o->ifname || o->script || o->downscript || o->has_vnet_hdr || o->has_queues)) {
        error_set(error, "ifname, script, downscript, vnet_hdr and queues are for an interface that is made here");
        return error_hint(error, "Leave them out beside fd and fds.");
    }
    return true;
}

/* What is given must be there; a default only counts if it is. */
static char *choose_script(const char *given, const char *otherwise)
{
    if (!given) {
        return access(otherwise, X_OK) == 0 ? g_strdup(otherwise) : NULL;
    }
    return *given && !g_str_equal(given, "no") ? g_strdup(given) : NULL;
}

static void close_queues(NetTap *tap)
{
    for (unsigned i = 0; i < tap->backend.queues; i++) {
        close(tap->queue[i].fd);
    }
    g_free(tap->queue);
}

static void tap_close(NetBackend *b)
{
    NetTap *tap = net_tap(b);
    g_autoptr(GError) error = NULL;

    if (tap->downscript && !host_run((const char *const[]) { tap->downscript, tap->name, NULL }, &error)) {
        log_warning("%s: %s", b->id, error->message);
    }
    close_queues(tap);
    g_free(tap->downscript);
}

static bool set_up(NetTap *tap, const NetTapOptions *o, GError **error)
{
    g_autofree char *script = choose_script(o->script, DEFAULT_UP);
    int sndbuf = o->sndbuf ? (int)MIN(o->sndbuf, INT32_MAX) : INT32_MAX;

    if (ioctl(tap->queue[0].fd, TUNSETSNDBUF, &sndbuf) < 0 && o->sndbuf) {
        return error_set_errno(error, errno, "sndbuf cannot be set");
    }
    return !script || host_run((const char *const[]) { script, tap->name, NULL }, error);
}

static bool tap_open(NetBackend *b, const void *opaque, GError **error)
{
    const NetTapOptions *o = opaque;
    NetTap *tap = net_tap(b);
    bool passed = o->fd || o->fds;

    if (!check_options(o, error)) {
        return false;
    }
    tap->queue = g_new0(TapQueue, QUEUES_MAX);
    tap->vnet_hdr = o->has_vnet_hdr ? o->vnet_hdr : true;
    b->queues = 0;
    if (!(passed ? take_all_passed(tap, o, error) : make_interface(tap, o, error)) ||
        (tap->ours && !set_up(tap, o, error))) {
        close_queues(tap);
        return false;
    }
    tap->downscript = tap->ours ? choose_script(o->downscript, DEFAULT_DOWN) : NULL;
    b->offloads = tap->vnet_hdr ? b->class->offloads : 0;
    b->info = g_strdup_printf("ifname=%s,queues=%u,vnet_hdr=%s", tap->name, b->queues, tap->vnet_hdr ? "on" : "off");
    tap_set_queues(b, 1);
    return true;
}

const NetClass net_tap_class = {
    .name = "tap",
    .size = sizeof(NetTap),
    .offloads = NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN,
    .open = tap_open,
    .close = tap_close,
    .attach = tap_attach,
    .detach = tap_detach,
    .send = tap_send,
    .receive_ready = tap_receive_ready,
    .set_queues = tap_set_queues,
    .set_offloads = tap_set_offloads,
};
