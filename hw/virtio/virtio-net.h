/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-net, between its files: virtio-net.c (what it is: properties, config space, life),
 * virtio-net-queue.c (frames), virtio-net-control.c (the control queue, filters).
 */
#pragma once

#include <linux/virtio_net.h>

#include "hw/virtio/virtio.h"
#include "net/net.h"
#include "vmm/object.h"

#define NET_MACS_MAX  64 /* of a table, 5.1.6.5.2: more means all */
#define NET_VLANS     4096
#define NET_PAIRS_MAX 128
/* 5.1.6: with VERSION_1 the header always has num_buffers */
#define NET_HEADER_BYTES sizeof(struct virtio_net_hdr_v1)

/* Offloads that the driver may switch (5.1.6.5.6), and so negotiate. */
#define NET_GUEST_OFFLOADS (VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | \
                            VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN))

/* Which frames it takes.  Each change is published as a new copy: receiving queues may be on other loops. */
typedef struct NetFilter {
    uint8_t mac[NET_MAC_BYTES];
    bool promiscuous, all_multicast, all_unicast, no_multicast, no_unicast, no_broadcast;
    bool unicast_overflow, multicast_overflow;
    uint32_t unicasts, multicasts;
    uint8_t unicast[NET_MACS_MAX * NET_MAC_BYTES], multicast[NET_MACS_MAX * NET_MAC_BYTES];
    uint8_t vlan[NET_VLANS / 8]; /* bit n: VLAN n is taken */
} NetFilter;

typedef struct VirtioNet {
    Virtio virtio;
    /* Configuration */
    NetNic nic; /* its MAC address and backend are properties */
    IoThread *iothread;
    bool offered[64];  /* by VIRTIO_NET_F_*: those that are properties */
    uint16_t host_mtu, rx_queue_size, tx_queue_size;
    int32_t speed, bootindex;
    int duplex, tx;
    bool gso; /* has no effect */
    /* Set by realize */
    unsigned pairs;
    /* Guest state: the control queue's loop, or the main thread while paused */
    NetFilter filter;
    uint64_t offloads_off;   /* that the driver has and does not want now; atomic */
    uint16_t current_pairs;  /* atomic */
    bool announce;           /* atomic: the driver is asked to announce itself */
    /* Derived */
    NetFilter *published;    /* atomic; epochs */
} VirtioNet;

static inline VirtioNet *virtio_net(Virtio *v)
{
    return (VirtioNet *)v;
}

static inline bool virtio_net_is_control(VirtioNet *n, const Virtqueue *vq)
{
    unsigned at = virtio_has(&n->virtio, VIRTIO_NET_F_MQ) ? 2 * n->pairs : 2; /* 5.1.2 */

    return virtqueue_index(vq) == at;
}

/* What the driver takes, VIRTIO_NET_F_GUEST_*. */
static inline uint64_t virtio_net_offloads(const VirtioNet *n)
{
    return n->virtio.driver_features & NET_GUEST_OFFLOADS & ~__atomic_load_n(&n->offloads_off, __ATOMIC_RELAXED);
}

/* virtio-net-queue.c */
void virtio_net_rx_ready(VirtioNet *n, Virtqueue *vq);
void virtio_net_tx_ready(VirtioNet *n, Virtqueue *vq);
extern const NetNicOps virtio_net_nic_ops;

/* virtio-net-control.c */
void virtio_net_control_ready(VirtioNet *n, Virtqueue *vq);
void virtio_net_publish_filter(VirtioNet *n);
bool virtio_net_takes(const VirtioNet *n, const uint8_t *head); /* head: 18 bytes of a frame */
void virtio_net_apply_offloads(VirtioNet *n); /* tells the backend what the driver takes */
void virtio_net_announce(NetNic *nic, uint8_t mac[NET_MAC_BYTES]);
void virtio_net_look_at_filter(NetNic *nic, NetRxFilter *ret);
