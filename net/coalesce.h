/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segments of one TCP stream that come one after the other, put together into one large packet for a
 * guest that takes such (VIRTIO_NET_HDR_GSO_TCPV4 and 6): it has less to do.  One thread at a time.
 */
#pragma once

#include "net/offload.h"

typedef struct NetCoalescer {
    uint8_t *frame;  /* NET_FRAME_MAX bytes; the owner's */
    NetTcp tcp;      /* of what is there */
    size_t length;   /* 0: nothing is */
    size_t size;     /* payload of each segment but the last */
    unsigned segments;
    uint32_t next;   /* sequence number that would go on */
    bool closed;     /* what is there ends */
} NetCoalescer;

/* Takes a frame whose checksums are right; false: it does not fit, and what is there goes first.  A frame that an
 * empty one does not take is none to be put together.  takes: NetOffload of the guest. */
bool net_coalesce(NetCoalescer *c, const void *frame, size_t length, unsigned takes);
/* What is there, which is handed out: false: nothing.  *iov and *ret stand until the next call. */
bool net_coalesced(NetCoalescer *c, struct iovec *iov, NetPacket *ret);
