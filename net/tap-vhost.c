/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `tap` with vhost-net: the host's kernel moves frames between the guest's rings and the interface; none of them passes
 * through this process, so neither does it filter or count them.  Where that cannot be (no /dev/vhost-net, packed
 * rings, a pulled cable), this process serves the rings as ever, unless vhostforce=on or a descriptor that was passed
 * demands the kernel.
 *
 * Locking: a pair of rings is its loop's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net/tap.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"

#define VHOST_DEVICE "/dev/vhost-net"
#define BIT(F) (UINT64_C(1) << (F))
/* What the kernel must know of; all else is between driver and device, or the TAP interface's. */
#define ITS_FEATURES                                                                                                   \
    (BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_VERSION_1) |                       \
     BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_NET_F_MRG_RXBUF))

/* ---- opening ---- */

/* Asked without a change to what it may be instead. */
static bool is_vhost_net(int fd)
{
    uint64_t features;

    return ioctl(fd, VHOST_GET_FEATURES, &features) == 0 && features & BIT(VHOST_NET_F_VIRTIO_NET_HDR);
}

/* By number it may be anybody's: it is not closed if it is refused. */
static void refuse_device(int fd, const char *passed)
{
    if (!passed || !g_ascii_isdigit(passed[0])) {
        close(fd);
    }
}

static int take_passed(const char *text, GError **error)
{
    int fd = host_passed_fd(text, error);

    if (fd >= 0 && !is_vhost_net(fd)) {
        error_set(error, "descriptor '%s' is no /dev/vhost-net", text);
        error_hint(error, "Leave vhostfd and vhostfds out, and lodge opens it.");
        refuse_device(fd, text);
        return -1;
    }
    return fd;
}

static int open_device(char **passed, unsigned n, GError **error)
{
    return passed ? take_passed(passed[n], error)
                  : tap_open_device(VHOST_DEVICE, "Load the module vhost_net (modprobe vhost_net), run as one who may "
                                                  "open it, or leave vhost and vhostforce out.", error);
}

static bool open_all(NetTap *tap, char **passed, GError **error)
{
    if (passed && g_strv_length(passed) != tap->backend.queues) {
        return error_set(error, "vhostfds has %u descriptors, and the interface %u queues", g_strv_length(passed),
                         tap->backend.queues);
    }
    if (!tap->vnet_hdr) {
        return error_set(error, "vhost needs virtio-net headers, and interface '%s' has none", tap->name);
    }
    for (unsigned i = 0; i < tap->backend.queues; i++) {
        int fd = open_device(passed, i, error);

        if (fd < 0) {
            return false;
        }
        tap->queue[i].vhost = vhost_kernel_new(tap->backend.domain, fd, tap->queue[i].fd, error);
        if (!tap->queue[i].vhost) {
            refuse_device(fd, passed ? passed[i] : NULL);
            return false;
        }
    }
    tap->header_bytes = sizeof(struct virtio_net_hdr_v1); /* what it writes into the ring */
    return true;
}

bool tap_open_vhost(NetTap *tap, const NetTapOptions *o, GError **error)
{
    bool on = o->has_vhost ? o->vhost : o->vhostforce || o->vhostfd || o->vhostfds;
    g_auto(GStrv) passed = o->vhostfds ? g_strsplit(o->vhostfds, ":", -1) : NULL;
    g_autoptr(GError) reason = NULL;

    if (!on && (o->vhostfd || o->vhostfds || o->vhostforce)) {
        return error_set(error, "vhostfd, vhostfds and vhostforce need vhost=on");
    }
    if (o->vhostfd && o->vhostfds) {
        return error_set(error, "vhostfd and vhostfds exclude each other");
    }
    if (o->vhostfd) {
        passed = g_strsplit(o->vhostfd, "\n", -1);
    }
    if (!on || open_all(tap, passed, &reason)) {
        return true;
    }
    tap_close_vhost(tap);
    if (o->vhostforce || passed) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return false;
    }
    log_warning("%s: vhost=on has no effect: %s", tap->backend.id, reason->message);
    return true;
}

void tap_close_vhost(NetTap *tap)
{
    for (unsigned i = 0; i < tap->backend.queues; i++) {
        vhost_kernel_free(g_steal_pointer(&tap->queue[i].vhost));
    }
}

/* ---- rings: the pair's loop ---- */

static void complain_of_vhost(TapQueue *t, const GError *error)
{
    if (!t->complained) {
        t->complained = true;
        log_warning("%s: vhost is not used: %s", t->tap->backend.id, error->message);
    }
}

bool tap_start_ring(NetBackend *b, NetQueue *q, const VhostRing *ring, uint64_t features)
{
    TapQueue *t = &net_tap(b)->queue[q->index];
    VhostRing mine = *ring;
    g_autoptr(GError) error = NULL;
    unsigned n = ring->index % 2;

    if (!t->vhost) {
        return false;
    }
    if (features & ITS_FEATURES & ~t->vhost->features) {
        log_if(LOG_VIRTIO, "%s: the kernel's vhost lacks features 0x%" G_GINT64_MODIFIER "x of this driver", b->id,
               features & ITS_FEATURES & ~t->vhost->features);
        return false;
    }
    mine.index = n;
    if (!vhost_start_ring(t->vhost, &mine, features & ITS_FEATURES, &error)) {
        complain_of_vhost(t, error);
        return false;
    }
    t->outside |= 1u << n;
    if (n == 0) {
        tap_stop_reading(t->receiver); /* what waits here is older than all that the kernel will take */
    }
    return true;
}

bool tap_stop_ring(NetBackend *b, NetQueue *q, unsigned ring, uint32_t *ret_base)
{
    TapQueue *t = &net_tap(b)->queue[q->index];
    unsigned n = ring % 2;
    bool ok = vhost_stop_ring(t->vhost, n, ret_base);

    t->outside &= ~(1u << n);
    if (n == 0) {
        tap_start_reading(t->receiver);
    }
    return ok;
}
