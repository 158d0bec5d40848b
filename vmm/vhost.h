/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost: somebody else serves a virtio device's rings in guest memory.
 *
 *   vhost.c         what both ways have in common: the table of memory, rings, the log of writes
 *   vhost-kernel.c  the host's kernel (linux/vhost.h: /dev/vhost-net)
 *   vhost-user.c    another process, over a local socket (QEMU, docs/interop/vhost-user)
 *
 *   vhost_start_ring() -- features, memory, log (with the first), ring, kick and call --> they serve it
 *   vhost_stop_ring()  <-- the position that they have reached; from then on they touch it no more
 *
 * Who uses this knows the device (hw/virtio), this knows only rings: a NIC's, and later a disk's or a file system's.
 *
 * Locking: `lock` (LOCK_LEAF) is held over each exchange; the table and the log change with LOCK_MAPPING held too,
 * since they follow the memory map.  A ring is started and stopped by its own loop.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/domain.h"
#include "vmm/memory.h"

#define VHOST_RINGS_MAX 256
#define VHOST_F_LOGS    26 /* VHOST_F_LOG_ALL: a feature bit that is between the two of us */

typedef struct VhostDevice VhostDevice;

/* Areas are addresses of this process; those of a packed ring are its descriptors and both event suppressions. */
typedef struct VhostRing {
    unsigned index, size;
    void *desc, *avail, *used;
    uint64_t used_address; /* of `used`, guest-physical: for the log */
    int kick, call;        /* eventfds */
    uint32_t base;         /* split: the next available one; packed: both positions and their wrap counters */
} VhostRing;

typedef struct VhostRegion {
    uint64_t address, size; /* guest-physical */
    RamBlock *block;        /* a reference */
    uint64_t offset;
    bool logged;
} VhostRegion;

/* A bit for each page of the guest's address space. */
typedef struct VhostLog {
    uint64_t *bits; /* NULL: there is none */
    uint64_t bytes;
    int fd;
} VhostLog;

/* false: they are gone, or refuse; with `lock` held. */
typedef struct VhostOps {
    bool shared; /* only memory that another process can map */
    bool (*set_features)(VhostDevice *d, uint64_t features, GError **error);
    bool (*set_table)(VhostDevice *d, const VhostRegion *regions, unsigned n, GError **error);
    bool (*set_log)(VhostDevice *d, GError **error); /* d->log */
    bool (*set_addresses)(VhostDevice *d, const VhostRing *ring, bool logged, GError **error);
    bool (*start_ring)(VhostDevice *d, const VhostRing *ring, bool logged, GError **error);
    bool (*stop_ring)(VhostDevice *d, const VhostRing *ring, uint32_t *ret_base);
} VhostOps;

struct VhostDevice {
    const VhostOps *ops;
    Domain *domain;
    uint64_t features; /* they have */
    Lock lock;
    MemoryListener listener;
    GArray *table, *gone; /* VhostRegion: those there are; those that a commit takes away */
    bool table_changed;
    uint64_t accepted;
    unsigned running;
    VhostRing ring[VHOST_RINGS_MAX];
    bool runs[VHOST_RINGS_MAX];
    VhostLog log;  /* while somebody migrates */
    GArray *kept;  /* VhostLog: who runs a ring may still write there, as telling them failed */
    bool unlogged; /* they may have written what is in no log: until nobody migrates, all of memory counts as written */
};

/* ---- for the two ways ---- */
void vhost_device_init(VhostDevice *d, const VhostOps *ops, Domain *domain);
void vhost_device_finish(VhostDevice *d); /* no ring is running */

/* ---- for who has rings; the ring's loop ---- */
bool vhost_start_ring(VhostDevice *d, const VhostRing *ring, uint64_t features, GError **error);
/* false: they are gone, and have not said how far they came. */
bool vhost_stop_ring(VhostDevice *d, unsigned ring, uint32_t *ret_base);

/* ---- main thread ---- */
/* fd is an open /dev/vhost-net, and closed with it; backend: the TAP descriptor of the pair, borrowed. */
VhostDevice *vhost_kernel_new(Domain *domain, int fd, int backend, GError **error);
void vhost_kernel_free(VhostDevice *d);

/* ---- another process (vhost-user) ---- */
typedef struct VhostUser VhostUser;
/* Fails if it does not answer.  fd: a connected local socket, borrowed until vhost_user_disconnect(). */
VhostUser *vhost_user_new(Domain *domain, unsigned queues, int fd, GError **error);
void vhost_user_free(VhostUser *u);
VhostDevice *vhost_user_device(VhostUser *u);
/* It has gone: every exchange fails at once.  Rings that are out must be stopped, and started when there is one
 * again. */
void vhost_user_disconnect(VhostUser *u);
/* Another one, or the same again; fails if it has not what the one before had. */
bool vhost_user_connect(VhostUser *u, int fd, GError **error);
bool vhost_user_is_alive(VhostUser *u); /* false: it has gone, or says what nobody has asked for */
/* The first `rings` are the ones that the guest uses (any thread); those that run are enabled or not (main thread). */
void vhost_user_set_used(VhostUser *u, unsigned rings);
void vhost_user_enable_used(VhostUser *u);
bool vhost_user_logs(const VhostUser *u);           /* it can tell what it writes: the domain can move */
void vhost_user_announce(VhostUser *u, const uint8_t mac[6]); /* sends the guest's RARP, if it can */
