/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the net core (net.c, net-frames.c), its option language (netdev-options.c) and the backends share.
 */
#pragma once

#include "net/net.h"
#include "vmm/domain.h"
#include "vmm/vhost.h"

typedef enum NetSent { NET_SENT, NET_NO_ROOM, NET_LOST } NetSent;

typedef struct NetClass {
    const char *name; /* "user" */
    size_t size;      /* struct with NetBackend first */
    bool elsewhere;   /* frames pass between the guest and another process, never through here */
    unsigned offloads; /* NetOffload: what send() takes as it is; a backend may have less (NetBackend.offloads) */
    /* options: what its row of the language describes.  On failure nothing is left. */
    bool (*open)(NetBackend *b, const void *options, GError **error);
    void (*close)(NetBackend *b); /* no queue is attached */
    /* The queue's loop: begin and end to watch the host for it. */
    void (*attach)(NetBackend *b, NetQueue *q);
    void (*detach)(NetBackend *b, NetQueue *q);
    /* After NET_NO_ROOM, net_send_ready() follows.  A packet that is cut comes as several frames: when the first is
     * taken, others that find no room are lost. */
    NetSent (*send)(NetBackend *b, NetQueue *q, const NetPacket *packet);
    /* Optional: NetQueue.held packets may wait in send(), by reference, until this; it counts those that are lost then
     * (net_drop_sent()). */
    void (*flush)(NetBackend *b, NetQueue *q);
    /* The NIC has room again, after net_receive() said no. */
    void (*receive_ready)(NetBackend *b, NetQueue *q);
    /* Optional.  Any thread: the guest uses so many queues; takes these offloads. */
    void (*set_queues)(NetBackend *b, unsigned queues);
    void (*set_offloads)(NetBackend *b, unsigned offloads);
    /* Optional.  Main thread: the NIC is announced, and frames do not pass through here. */
    void (*announce)(NetBackend *b, const uint8_t mac[NET_MAC_BYTES]);
    /* Optional: rings that somebody else serves (vmm/vhost.h), by their numbers in the device: 2n to the guest, 2n + 1
     * from it.  The queue's loop; start: false, with a word in the log if it should work: they stay with the NIC.
     * stop: false: nobody knows how far they came. */
    bool (*start_ring)(NetBackend *b, NetQueue *q, const VhostRing *ring, uint64_t features);
    bool (*stop_ring)(NetBackend *b, NetQueue *q, unsigned ring, uint32_t *ret_base);
    /* Optional: rings that the guest does not use are out, too, and change their use there, after set_queues().  Main
     * thread. */
    void (*use_queues)(NetBackend *b);
    /* Optional: features of the device (Virtio 5.1.3, 6) that are impossible with it.  Main thread. */
    uint64_t (*impossible)(NetBackend *b);
    /* Optional: a NIC is to be linked. */
    bool (*check)(NetBackend *b, GError **error);
    bool main_loop_only; /* its NIC's queues must be there */
} NetClass;

struct NetBackend {
    const NetClass *class;
    Domain *domain;
    char *id;
    char *info;        /* "net=10.0.2.0,restrict=off" */
    unsigned queues;   /* it has; open() sets more than 1 */
    unsigned offloads; /* it takes; open() may clear some of its class' */
    NetNic *nic;       /* linked to it; NULL: none */
    bool needs_no_nic; /* another backend stands in the place of one */
    unsigned references; /* the table's and the links of devices */
    bool deleted;      /* closed: only links hold it */
    bool link_down;    /* set_link; atomic */
    GPtrArray *filters; /* NetFilter; NULL: none */
    bool no_peer;      /* its other end is away, which is as if the cable were pulled; atomic */
};

/* ---- for backends ---- */
/* A frame for the guest.  The queue's loop. */
bool net_receive(NetBackend *b, NetQueue *q, const NetPacket *packet);
void net_send_ready(NetBackend *b, NetQueue *q);
/* Rings of it that are out come back if they no longer may be, or go again. */
void net_tell_rings(NetQueue *q);

/* no_peer has changed.  Main thread. */
void net_peer_changed(NetBackend *b);

/* Makes one that no option language describes (-net's hub ports). */
NetBackend *netdev_create(Domain *domain, const char *id, const NetClass *class, const void *options, GError **error);
void netdev_unref(NetBackend *b);
typedef bool (*NetBackendFn)(NetBackend *b, void *opaque);
bool netdev_each(Domain *domain, NetBackendFn fn, void *opaque); /* by id; false: stopped */
typedef bool (*NetNicFn)(NetNic *nic, void *opaque);
bool net_nic_each(Domain *domain, NetNicFn fn, void *opaque); /* by name */
bool net_is_up(const NetNic *nic); /* neither end was taken down.  Any thread */
