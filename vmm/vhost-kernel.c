/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost by the host's kernel: /dev/vhost-net, Linux include/uapi/linux/vhost.h and drivers/vhost/net.c.  An open
 * descriptor serves one pair of rings, 0 to the guest and 1 from it, for one TAP interface's queue.  It works in this
 * process' memory, by its addresses.
 *
 * Not used: zero-copy control, its IOTLB (there is no vIOMMU), busy polling.  The kernel has no packed rings.
 *
 * Locking: the device's `lock`, which vhost.c holds.
 */
#include <errno.h>
#include <linux/vhost.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/vhost.h"

typedef struct VhostKernel {
    VhostDevice device; /* first */
    int fd, backend;
} VhostKernel;

static int descriptor(VhostDevice *d)
{
    return ((VhostKernel *)d)->fd;
}

/* `what` failed. */
static bool refused(GError **error, const char *what)
{
    return error_set_errno(error, errno, "the kernel's vhost refuses %s", what);
}

static bool kernel_set_features(VhostDevice *d, uint64_t features, GError **error)
{
    return ioctl(descriptor(d), VHOST_SET_FEATURES, &features) == 0 || refused(error, "the features");
}

static bool kernel_set_table(VhostDevice *d, const VhostRegion *regions, unsigned n, GError **error)
{
    g_autofree struct vhost_memory *table = g_malloc0(sizeof(*table) + n * sizeof(table->regions[0]));

    table->nregions = n;
    for (unsigned i = 0; i < n; i++) {
        table->regions[i] = (struct vhost_memory_region) {
            .guest_phys_addr = regions[i].address, .memory_size = regions[i].size,
            .userspace_addr = (uintptr_t)(ram_block_host(regions[i].block) + regions[i].offset),
        };
    }
    return ioctl(descriptor(d), VHOST_SET_MEM_TABLE, table) == 0 || refused(error, "the table of memory");
}

static bool kernel_set_log(VhostDevice *d, GError **error)
{
    uint64_t log = (uintptr_t)d->log.bits;

    return ioctl(descriptor(d), VHOST_SET_LOG_BASE, &log) == 0 || refused(error, "the log");
}

static bool kernel_set_addresses(VhostDevice *d, const VhostRing *ring, bool logged, GError **error)
{
    struct vhost_vring_addr addresses = {
        .index = ring->index, .flags = logged ? 1 << VHOST_VRING_F_LOG : 0, .desc_user_addr = (uintptr_t)ring->desc,
        .avail_user_addr = (uintptr_t)ring->avail, .used_user_addr = (uintptr_t)ring->used,
        .log_guest_addr = ring->used_address,
    };

    return ioctl(descriptor(d), VHOST_SET_VRING_ADDR, &addresses) == 0 || refused(error, "the addresses of a ring");
}

static bool set_backend(VhostDevice *d, unsigned ring, int fd)
{
    struct vhost_vring_file file = { ring, fd };

    return ioctl(descriptor(d), VHOST_NET_SET_BACKEND, &file) == 0;
}

static void set_events(VhostDevice *d, unsigned ring, int kick, int call)
{
    struct vhost_vring_file file = { ring, kick };

    ioctl(descriptor(d), VHOST_SET_VRING_KICK, &file);
    file.fd = call;
    ioctl(descriptor(d), VHOST_SET_VRING_CALL, &file);
}

static bool kernel_start_ring(VhostDevice *d, const VhostRing *ring, bool logged, GError **error)
{
    struct vhost_vring_state size = { ring->index, ring->size }, base = { ring->index, ring->base };
    int fd = descriptor(d);

    if (ioctl(fd, VHOST_SET_VRING_NUM, &size) < 0 || ioctl(fd, VHOST_SET_VRING_BASE, &base) < 0) {
        return refused(error, "a ring");
    }
    if (!kernel_set_addresses(d, ring, logged, error)) {
        return false;
    }
    set_events(d, ring->index, ring->kick, ring->call);
    if (!set_backend(d, ring->index, ((VhostKernel *)d)->backend)) {
        refused(error, "the TAP interface");
        set_events(d, ring->index, -1, -1);
        return false;
    }
    return true;
}

static bool kernel_stop_ring(VhostDevice *d, const VhostRing *ring, uint32_t *ret_base)
{
    struct vhost_vring_state base = { .index = ring->index };
    bool ok;

    set_backend(d, ring->index, -1); /* returns when nothing is under way */
    ok = ioctl(descriptor(d), VHOST_GET_VRING_BASE, &base) == 0;
    set_events(d, ring->index, -1, -1);
    *ret_base = base.num;
    return ok;
}

static const VhostOps kernel_ops = {
    .set_features = kernel_set_features,
    .set_table = kernel_set_table,
    .set_log = kernel_set_log,
    .set_addresses = kernel_set_addresses,
    .start_ring = kernel_start_ring,
    .stop_ring = kernel_stop_ring,
};

VhostDevice *vhost_kernel_new(Domain *domain, int fd, int backend, GError **error)
{
    uint64_t features;
    VhostKernel *k;

    if (ioctl(fd, VHOST_SET_OWNER, NULL) < 0 || ioctl(fd, VHOST_GET_FEATURES, &features) < 0) {
        if (errno == ENOTTY) {
            error_set(error, "the descriptor is no /dev/vhost-net");
        } else {
            refused(error, "to begin");
        }
        return NULL;
    }
    k = g_new0(VhostKernel, 1);
    k->fd = fd;
    k->backend = backend;
    k->device.features = features;
    vhost_device_init(&k->device, &kernel_ops, domain);
    return &k->device;
}

void vhost_kernel_free(VhostDevice *d)
{
    if (d) {
        vhost_device_finish(d);
        close(descriptor(d));
        g_free(d);
    }
}
