/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files of the `tap` backend: tap.c (frames), tap-receive.c (those for the guest), tap-open.c (how an
 * interface is made or found), tap-bridge.c (the helper that may), tap-vhost.c (queues that the kernel serves).
 */
#pragma once

#include <linux/virtio_net.h>
#include <net/if.h>

#include "net/netdev-options.h"
#include "net/tap-batch.h"
#include "vmm/vhost.h"

#define TAP_QUEUES_MAX 128
#define TAP_BRIDGE     "br0"

typedef struct NetTap NetTap;
typedef struct TapReceiver TapReceiver;

typedef struct TapQueue {
    NetTap *tap;
    int fd;
    VhostDevice *vhost; /* NULL: there is none */
    /* The loop's */
    NetQueue *link; /* NULL: not attached */
    LoopFd *watch;
    LoopEvents events;
    TapReceiver *receiver;
    TapBatch *batch;  /* NULL: frames are written one by one */
    TapSlot *out;     /* held */
    unsigned out_n;
    bool complained;
    unsigned outside; /* bit n: ring n of the pair is the kernel's */
} TapQueue;

struct NetTap {
    NetBackend backend; /* first */
    TapQueue *queue;
    bool vnet_hdr;
    size_t header_bytes; /* that stand before each frame: the first of a struct virtio_net_hdr_v1 */
    bool ours;          /* made here, not passed */
    char name[IFNAMSIZ];
    char *downscript;   /* NULL: none */
};

static inline NetTap *net_tap(NetBackend *b)
{
    return (NetTap *)b;
}

/* tap.c */
void tap_set_events(TapQueue *t, LoopEvents events);
void tap_complain(TapQueue *t, const char *what, int err);
void tap_set_queues(NetBackend *b, unsigned queues);

/* tap-receive.c */
TapReceiver *tap_receiver_new(TapQueue *t);
void tap_receiver_free(TapReceiver *r);
void tap_start_reading(TapReceiver *r);
void tap_stop_reading(TapReceiver *r); /* frames that have come are dropped */
void tap_readable(TapReceiver *r);
void tap_receive_ready(NetBackend *b, NetQueue *q);

/* tap-open.c */
/* A device that may be missing; -1: error, with that hint. */
int tap_open_device(const char *path, const char *hint, GError **error);
bool tap_open(NetBackend *b, const void *options, GError **error);
bool tap_bridge_open(NetBackend *b, const void *options, GError **error);
void tap_close(NetBackend *b);

/* tap-bridge.c: a descriptor of a new interface at a bridge, made by the helper program (NULL: the usual one; also
 * NULL: the usual bridge); -1: error. */
int tap_run_helper(const char *helper, const char *bridge, bool vnet_hdr, GError **error);

/* tap-vhost.c */
bool tap_open_vhost(NetTap *tap, const NetTapOptions *options, GError **error);
void tap_close_vhost(NetTap *tap);
bool tap_start_ring(NetBackend *b, NetQueue *q, const VhostRing *ring, uint64_t features);
bool tap_stop_ring(NetBackend *b, NetQueue *q, unsigned ring, uint32_t *ret_base);
