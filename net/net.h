/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Networking between a device and the host.  A NIC (embedded in its device) is linked to a backend
 * (-netdev); neither knows the other's kind.
 *
 *   guest  -> NIC's queue n     -> net_send()    -> [finish] -> class->send     -> host
 *   guest  <- ops->receive      <- net_receive() <-------------- backend        <- host
 *
 * Threads: a NIC has one or more queues, and queue n of the link belongs to one loop, which alone
 * touches it, on both sides: what the backend watches for that queue, it watches there.  Making,
 * linking and removing is the main thread's; it reaches a queue by loop_call().
 *
 * Back pressure, both ways: who is handed a frame and has no room returns false, keeps nothing of it,
 * and says so when there is room again (net_send_ready(), net_receive_ready()).
 *
 * Offloads: a frame comes with a virtio-net header.  What it may leave to the receiver (checksums,
 * segments) is what the receiver takes: a NIC says so by net_set_offloads(), a backend in its
 * class; what a backend does not take is finished here (net/offload.c).  So a guest sees the same
 * features whatever stands behind its NIC.
 */
#pragma once

#include <glib.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/device.h"
#include "vmm/field.h"
#include "vmm/loop.h"

typedef struct NetBackend NetBackend;
typedef struct NetNic NetNic;

#define NET_MAC_BYTES    6
#define NET_FRAME_MIN    14 /* an Ethernet header */
#define NET_FRAME_MAX    (65535 + 40 + 18) /* the largest IPv6 packet, with a VLAN tag; without checksum (FCS) */
#define NET_QUEUES_MAX   256 /* pairs of a NIC */

typedef enum NetOffload {
    NET_CSUM = 1 << 0, /* VIRTIO_NET_HDR_F_NEEDS_CSUM: the checksum is to be completed */
    NET_TSO4 = 1 << 1, /* VIRTIO_NET_HDR_GSO_TCPV4 */
    NET_TSO6 = 1 << 2, /* VIRTIO_NET_HDR_GSO_TCPV6 */
    NET_ECN  = 1 << 3, /* ... with VIRTIO_NET_HDR_GSO_ECN */
} NetOffload;

/* An Ethernet frame without FCS.  Borrowed for the call. */
typedef struct NetPacket {
    struct virtio_net_hdr header; /* all zero: nothing was left to do */
    const struct iovec *iov;
    unsigned n;
    size_t length;
} NetPacket;

typedef struct NetCounters { uint64_t packets, bytes, dropped, errors; } NetCounters;

/* ---- a NIC ---- */
/* Of query-rx-filter (QEMU 7.2, qapi/net.json). */
typedef struct NetRxFilter {
    bool promiscuous, broadcast, unicast_overflow, multicast_overflow;
    int unicast, multicast, vlan; /* NetRxState */
    uint8_t mac[NET_MAC_BYTES];
    GArray *unicasts, *multicasts; /* NET_MAC_BYTES an element */
    GArray *vlans;                 /* uint16_t */
} NetRxFilter;
typedef enum NetRxState { NET_RX_NORMAL, NET_RX_NONE, NET_RX_ALL } NetRxState;

typedef struct NetNicOps {
    /* The queue's loop.  false: no room, net_receive_ready() follows. */
    bool (*receive)(NetNic *nic, unsigned queue, const NetPacket *packet);
    /* net_send() said no, and there is room again. */
    void (*send_ready)(NetNic *nic, unsigned queue);
    /* Main thread: net_nic_link_up() may have changed. */
    void (*link_changed)(NetNic *nic);
    /* Whether net_start_ring() works may have changed: the NIC gives rings of this queue that are out back, and tries
     * again.  The queue's loop.  NULL: it has none out. */
    void (*rings_changed)(NetNic *nic, unsigned queue);
    /* Main thread, in each round of an announcement: asks the driver, if it knows that, to announce itself, and puts
     * the address that the guest has given it in place of nic->mac.  NULL: there is no such thing. */
    void (*announce)(NetNic *nic, uint8_t mac[NET_MAC_BYTES]);
    /* Main thread: fills *ret, whose arrays are there and empty.  NULL: the NIC has no filter. */
    void (*look_at_filter)(NetNic *nic, NetRxFilter *ret);
} NetNicOps;

typedef struct NetQueue {
    NetNic *nic;
    unsigned index;
    Loop *loop;
    /* The loop's */
    bool attached;
    bool held; /* net_hold() */
    uint8_t *scratch; /* where frames are finished; NULL until needed */
    struct NetQueueFilters *filters; /* net/filter.h; NULL: none */
    NetCounters sent, received; /* by the guest; written with relaxed atomics, read by any thread */
} NetQueue;

struct NetNic {
    /* Set by the device before net_nic_realize() */
    const NetNicOps *ops;
    const char *model; /* "virtio-net-pci"; NULL: it is no device of the guest, and not listed */
    const char *id;    /* NULL: "MODEL.N" is its name */
    const char *path;  /* in the object tree */
    uint8_t mac[NET_MAC_BYTES]; /* all zero: chosen */
    NetBackend *backend;        /* the netdev link's; NULL: none */
    /* net.c's */
    Domain *domain;
    char *name;
    NetQueue *queue;
    unsigned queues;
    Lock lock;       /* LOCK_LEAF: what other threads tell the backend, against its end */
    bool linked;     /* to the backend; the main thread writes, under `lock` */
    bool link_down;  /* set_link; atomic */
    unsigned offloads; /* what it takes; atomic */
    bool filter_told;  /* the event is out, and nobody has asked since; atomic */
};

/* ---- for devices, main thread ---- */
/* Chooses a MAC address and a name, and links it; loops: `queues` of them.  On failure nothing is left. */
bool net_nic_realize(NetNic *nic, Domain *domain, Loop *const *loops, unsigned queues, GError **error);
void net_nic_unrealize(NetNic *nic); /* fine if it is not realized */
bool net_nic_link_up(const NetNic *nic);
unsigned net_nic_backend_queues(const NetNic *nic); /* at most so many are of use; 0: no backend */
uint64_t net_nic_impossible(const NetNic *nic); /* features that the device cannot offer with this backend */
/* The guest uses the first `queues`; what it takes.  Any thread. */
void net_set_queues(NetNic *nic, unsigned queues);
void net_set_offloads(NetNic *nic, unsigned offloads);
/* Rings of queues that the guest does not use go out, too: net_use_queues() tells who has them what it uses.  It is the
 * main thread's; the former any thread's. */
bool net_has_unused(const NetNic *nic);
void net_use_queues(NetNic *nic);
/* The state of the NIC was restored: when the guest runs, it is announced (net/announce.h).  For the `loaded` hook of
 * its state. */
void net_nic_loaded(NetNic *nic);
/* The NIC's filter has changed in a way that others may want to know (NIC_RX_FILTER_CHANGED).  Any thread. */
void net_filter_changed(NetNic *nic);
extern const LinkClass netdev_link;
extern const FieldCodec net_mac_codec;

/* ---- the queue's loop ---- */
bool net_send(NetNic *nic, unsigned queue, const NetPacket *packet); /* false: no room, send_ready() follows */
/* What is sent from here to net_flush() may stay by reference until then, so that it goes out together. */
void net_hold(NetNic *nic, unsigned queue);
void net_flush(NetNic *nic, unsigned queue);
void net_receive_ready(NetNic *nic, unsigned queue);
/* Has a ring of the device (2n to the guest, 2n + 1 from it) served by what stands behind the NIC, if that can: false:
 * by the NIC itself.  features: the driver's. */
struct VhostRing;
bool net_start_ring(NetNic *nic, const struct VhostRing *ring, uint64_t features);
bool net_stop_ring(NetNic *nic, unsigned ring, uint32_t *ret_base); /* false: they have not said how far they came */
/* A frame that was held, and then lost. */
void net_drop_sent(NetQueue *q);
/* A frame that came and could not be handed to the guest. */
void net_drop_received(NetQueue *q);

/* ---- what users type, main thread ---- */
extern const FieldStruct netdev_options;      /* netdev_add */
bool netdev_add(Domain *domain, const Json *options, bool lenient, GError **error);
bool netdev_add_text(Domain *domain, const char *text, GError **error);
bool netdev_del(Domain *domain, const char *id, GError **error);
/* What netdev_add() would take; NULL: no key=value text. */
Json *netdev_json_from_text(const char *text, GError **error);
/* type: its options; NULL: the types.  false: there is none. */
bool netdev_help(const char *type, GString *out, GError **error);
/* What -nic and -net take: models of NICs; type, unless it is NULL: that backend's options. */
bool nic_help(const char *type, GString *out, GError **error);
/* The n-th -nic and -net, in two steps: the backend; when there is a machine, the device. */
bool net_add_nic(Domain *domain, unsigned n, const char *text, GError **error);
bool net_plug_nic(Domain *domain, unsigned n, const char *text, GError **error);
bool net_add_net(Domain *domain, unsigned n, const char *text, GError **error);
bool net_plug_net(Domain *domain, unsigned n, const char *text, GError **error);
/* At the start, when all devices are there: who stands alone is named in the log. */
void net_warn_unlinked(Domain *domain);
void net_remove_all(Domain *domain); /* the domain's end: no device is left */

NetBackend *netdev_find(Domain *domain, const char *id, GError **error);
bool net_set_link(Domain *domain, const char *name, bool up, GError **error);
