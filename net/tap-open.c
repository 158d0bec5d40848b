/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the `tap` backend (tap.c) comes to its interface: made here, through /dev/net/tun; by descriptors that were
 * passed; or by the bridge helper.  Main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net/tap.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"

#define TUN_DEVICE     "/dev/net/tun"
#define DEFAULT_UP     "/etc/qemu-ifup"
#define DEFAULT_DOWN   "/etc/qemu-ifdown"

static void add_queue(NetTap *tap, int fd)
{
    tap->queue[tap->backend.queues++] = (TapQueue) { .tap = tap, .fd = fd };
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int tap_open_device(const char *path, const char *hint, GError **error)
{
    g_autoptr(GError) reason = NULL;
    int fd = host_open(path, O_RDWR, 0, &reason);

    if (fd < 0) {
        error_set(error, "%s", reason->message);
        error_hint(error, "%s", hint);
    }
    return fd;
}

static bool set_interface(const NetTap *tap, int fd, struct ifreq *request, GError **error)
{
    int err;

    if (ioctl(fd, TUNSETIFF, request) == 0) {
        return true;
    }
    err = errno;
    if (*tap->name) {
        error_set_errno(error, err, "cannot make the TAP interface '%s'", tap->name);
    } else {
        error_set_errno(error, err, "cannot make a TAP interface");
    }
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
        int fd = tap_open_device(TUN_DEVICE, "Load the module tun (modprobe tun), run as one who may open it, or use "
                                             "-netdev user.", error);

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

/* An open one: its name, and what it can. */
static bool take_descriptor(NetTap *tap, int fd, const char *text, GError **error)
{
    struct ifreq request = { 0 };

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
    return false;
}

/* By number it may be anybody's: it is not closed if it is refused. */
static bool take_passed(NetTap *tap, const char *text, GError **error)
{
    int fd = host_passed_fd(text, error);

    if (fd >= 0 && take_descriptor(tap, fd, text, error)) {
        return true;
    }
    if (fd >= 0 && !g_ascii_isdigit(text[0])) {
        close(fd);
    }
    return false;
}

static bool take_all_passed(NetTap *tap, const NetTapOptions *o, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(o->fds ? o->fds : o->fd, o->fds ? ":" : "\n", -1);

    if (g_strv_length(parts) > TAP_QUEUES_MAX) {
        return error_set(error, "fds names more than %d descriptors", TAP_QUEUES_MAX);
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

static bool ask_helper(NetTap *tap, const NetTapOptions *o, GError **error)
{
    int fd = tap_run_helper(o->helper, o->br, tap->vnet_hdr, error);

    if (fd >= 0 && !take_descriptor(tap, fd, "of the bridge helper", error)) {
        close(fd);
        fd = -1;
    }
    return fd >= 0;
}

static bool check_options(const NetTapOptions *o, GError **error)
{
    bool passed = o->fd || o->fds, helper = o->br || o->helper;

    if (o->fd && o->fds) {
        return error_set(error, "fd and fds exclude each other");
    }
    if (passed && (o->ifname || o->script || o->downscript || o->has_vnet_hdr || o->has_queues || helper)) {
        error_set(error, "ifname, script, downscript, vnet_hdr, queues, br and helper are for an interface that is "
                         "made here");
        return error_hint(error, "Leave them out beside fd and fds.");
    }
    if (helper && (o->ifname || o->script || o->downscript || o->has_queues)) {
        error_set(error, "ifname, script, downscript and queues are nothing that the bridge helper can be told");
        return error_hint(error, "Leave them out beside br and helper.");
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
        tap_batch_free(tap->queue[i].batch);
        close(tap->queue[i].fd);
    }
    g_free(tap->queue);
}

void tap_close(NetBackend *b)
{
    NetTap *tap = net_tap(b);
    g_autoptr(GError) error = NULL;

    if (tap->downscript && !host_run((const char *const[]) { tap->downscript, tap->name, NULL }, &error)) {
        log_warning("%s: interface '%s' is not taken down: %s", b->id, tap->name, error->message);
    }
    tap_close_vhost(tap);
    close_queues(tap);
    g_free(tap->downscript);
}

/* Who has made it may have chosen one, unless another is given.  TAP's interface has one, each descriptor of macvtap
 * its own. */
static bool set_sndbuf(NetTap *tap, const NetTapOptions *o, GError **error)
{
    int sndbuf = o->sndbuf ? (int)MIN(o->sndbuf, INT32_MAX) : INT32_MAX;

    for (unsigned i = 0; i < tap->backend.queues && (tap->ours || o->sndbuf); i++) {
        if (ioctl(tap->queue[i].fd, TUNSETSNDBUF, &sndbuf) < 0 && o->sndbuf) {
            return error_set_errno(error, errno, "sndbuf cannot be set");
        }
    }
    return true;
}

static bool set_up(const NetTap *tap, const NetTapOptions *o, GError **error)
{
    g_autofree char *script = choose_script(o->script, DEFAULT_UP);

    if (script && !host_run((const char *const[]) { script, tap->name, NULL }, error)) {
        g_prefix_error(error, "interface '%s' is not set up: ", tap->name);
        return error_hint(error, "Mend the script, or say script=no and set the interface up by other means.");
    }
    return true;
}

static bool open_queues(NetTap *tap, const NetTapOptions *o, GError **error)
{
    if (o->fd || o->fds) {
        return take_all_passed(tap, o, error);
    }
    return o->br || o->helper ? ask_helper(tap, o, error)
                              : make_interface(tap, o, error) && set_up(tap, o, error);
}

/* Who had it before may have left another size: TAP's interface has one, each descriptor of macvtap its own. */
static bool set_header(NetTap *tap, GError **error)
{
    int size = (int)tap->header_bytes;

    for (unsigned i = 0; i < tap->backend.queues && tap->vnet_hdr; i++) {
        if (ioctl(tap->queue[i].fd, TUNSETVNETHDRSZ, &size) < 0) {
            return error_set_errno(error, errno, "interface '%s' has no headers of %d bytes", tap->name, size);
        }
    }
    return true;
}

/* Without a limit on what waits to be sent no frame is ever refused for want of room, so some may wait for others. */
static void make_batches(NetTap *tap)
{
    for (unsigned i = 0; i < tap->backend.queues && tap->vnet_hdr; i++) {
        TapQueue *t = &tap->queue[i];
        int sndbuf;

        if (ioctl(t->fd, TUNGETSNDBUF, &sndbuf) == 0 && sndbuf == INT32_MAX) {
            t->batch = tap_batch_new();
        }
    }
}

bool tap_open(NetBackend *b, const void *opaque, GError **error)
{
    const NetTapOptions *o = opaque;
    NetTap *tap = net_tap(b);

    if (!check_options(o, error)) {
        return false;
    }
    tap->queue = g_new0(TapQueue, TAP_QUEUES_MAX);
    tap->vnet_hdr = o->has_vnet_hdr ? o->vnet_hdr : true;
    tap->header_bytes = sizeof(struct virtio_net_hdr);
    b->queues = 0;
    if (!open_queues(tap, o, error) || !set_sndbuf(tap, o, error) || !tap_open_vhost(tap, o, error) ||
        !set_header(tap, error)) {
        tap_close_vhost(tap);
        close_queues(tap);
        return false;
    }
    make_batches(tap);
    tap->downscript = tap->ours ? choose_script(o->downscript, DEFAULT_DOWN) : NULL;
    b->offloads = tap->vnet_hdr ? b->class->offloads : 0;
    b->info = g_strdup_printf("ifname=%s,queues=%u,vnet_hdr=%s,vhost=%s", tap->name, b->queues,
                              tap->vnet_hdr ? "on" : "off", tap->queue[0].vhost ? "on" : "off");
    tap_set_queues(b, 1);
    return true;
}

/* -netdev bridge. */
bool tap_bridge_open(NetBackend *b, const void *opaque, GError **error)
{
    static char usual[] = TAP_BRIDGE;
    const NetBridgeOptions *o = opaque;
    const NetTapOptions tap = { .br = o->br ? o->br : usual, .helper = o->helper };

    return tap_open(b, &tap, error);
}
