/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues: split (2.7) and packed (2.8) rings of Virtio 1.2.
 *
 * Invariants:
 *  1. Only the queue's loop touches a started queue.
 *  2. Ring memory is read at most once per field; every index, address and length
 *     is checked before use; nothing a guest writes into a ring can make us loop
 *     more than `size` times per chain or allocate more than VIRTQUEUE_CHAIN_MAX.
 *  3. A popped chain is pushed or detached exactly once.
 *  4. A broken rule sets NEEDS_RESET on the device; the queue then pops nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/dma.h"
#include "vmm/loop.h"

typedef struct Virtio Virtio;
typedef struct Virtqueue Virtqueue;

#define VIRTQUEUE_SIZE_MAX  32768
#define VIRTQUEUE_CHAIN_MAX 1024 /* segments */

/* A popped chain: what the device reads (out) and writes (in), mapped. */
typedef struct VirtqueueChain {
    uint16_t index;    /* head, or packed buffer id */
    uint16_t length;   /* descriptors used, packed */
    unsigned outs, ins;
    const struct iovec *out, *in;
    uint64_t out_bytes, in_bytes;
    /* the queue's */
    DmaMapping *mappings;
    unsigned n_mappings;
} VirtqueueChain;

/* ---- the queue's loop ---- */
/* NULL: empty or broken.  `size` bytes are allocated, the chain first: a device's request struct. */
void *virtqueue_pop(Virtqueue *vq, size_t size);
/* Gives it back with `written` bytes written; the chain is freed.  virtqueue_notify() tells the guest. */
void virtqueue_push(Virtqueue *vq, VirtqueueChain *chain, uint64_t written);
void virtqueue_notify(Virtqueue *vq);                       /* if the guest wants to be told, once per batch */
void virtqueue_detach(Virtqueue *vq, VirtqueueChain *chain); /* frees it without using it (reset) */
void virtqueue_unpop(Virtqueue *vq, VirtqueueChain *chain);  /* puts the last popped one back */
bool virtqueue_empty(Virtqueue *vq);
/* Suppresses or asks for doorbells; enable returns true if chains arrived meanwhile. */
bool virtqueue_set_notification(Virtqueue *vq, bool enable);
unsigned virtqueue_in_flight(const Virtqueue *vq);

Virtio *virtqueue_device(const Virtqueue *vq);
unsigned virtqueue_index(const Virtqueue *vq);
Loop *virtqueue_loop(const Virtqueue *vq);
/* Device code: moves a stopped queue to another loop. */
void virtqueue_set_loop(Virtqueue *vq, Loop *loop);

/* iovec arithmetic used by every device; return bytes done. */
uint64_t iov_to_buffer(const struct iovec *iov, unsigned n, uint64_t offset, void *buffer, uint64_t length);
uint64_t iov_from_buffer(const struct iovec *iov, unsigned n, uint64_t offset, const void *buffer, uint64_t length);
uint64_t iov_total(const struct iovec *iov, unsigned n);

/* ---- core and transports; device lock held, queue stopped ---- */
typedef struct VirtqueueSetup {
    uint16_t size;            /* 0: not available */
    uint16_t size_max;
    uint16_t vector;          /* MSI-X; 0xffff: none */
    bool enabled;
    uint64_t desc, avail, used; /* driver and device areas */
} VirtqueueSetup;
VirtqueueSetup *virtqueue_setup(Virtqueue *vq);
int virtqueue_doorbell(Virtqueue *vq); /* eventfd the transport hands to memory_add_doorbell() */
void virtqueue_kick(Virtqueue *vq);    /* a doorbell write that reached us: any thread */
