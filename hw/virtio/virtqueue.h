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
 *
 * A chain is busy (the host works on it) or held (it waits for something: a port
 * that is read, entropy, a resume after an I/O error).  A queue is quiet when it
 * has no busy chain; pausing a device waits for that, so busy must end by itself.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/dma.h"
#include "vmm/iov.h"
#include "vmm/loop.h"

typedef struct Virtio Virtio;
typedef struct Virtqueue Virtqueue;

#define VIRTQUEUE_SIZE_MAX  32768
#define VIRTQUEUE_CHAIN_MAX 1024 /* segments */
#define VIRTQUEUE_PUSH_MAX  128  /* chains that are given back as one */

/* One mapped piece of a chain; the queue's. */
typedef struct VirtqueueSegment {
    DmaMapping mapping;
    uint64_t address; /* in the device's DMA space */
} VirtqueueSegment;

/* A popped chain: what the device reads (out) and writes (in), mapped. */
typedef struct VirtqueueChain {
    uint16_t index;  /* head, or packed buffer id */
    uint16_t length; /* ring entries it takes: 1, or packed descriptors */
    bool held;
    unsigned outs, ins;
    const struct iovec *out, *in;
    uint64_t out_bytes, in_bytes;
    VirtqueueSegment *segments; /* outs, then ins */
} VirtqueueChain;

/* ---- the queue's loop ---- */
/* NULL: empty or broken.  `size` bytes are allocated, the chain first: a device's request struct,
 * whose other members are zero. */
void *virtqueue_pop(Virtqueue *vq, size_t size);
/* Gives it back with `written` bytes written; the chain is freed.  virtqueue_notify() tells the guest. */
void virtqueue_push(Virtqueue *vq, VirtqueueChain *chain, uint64_t written);
/* Several at once: the driver sees all of them or none (merged receive buffers).  n is at most VIRTQUEUE_PUSH_MAX. */
void virtqueue_push_many(Virtqueue *vq, VirtqueueChain *const *chains, const uint64_t *written, unsigned n);
void virtqueue_notify(Virtqueue *vq);                        /* if the guest wants to be told, once per batch */
void virtqueue_notify_soon(Virtqueue *vq);                   /* the same, once in this round of the loop */
void virtqueue_detach(Virtqueue *vq, VirtqueueChain *chain); /* frees it without using it (reset) */
void virtqueue_unpop(Virtqueue *vq, VirtqueueChain *chain);  /* puts the last popped one back */
void virtqueue_hold(Virtqueue *vq, VirtqueueChain *chain, bool held);
bool virtqueue_empty(Virtqueue *vq);
/* Suppresses or asks for doorbells; enable returns true if chains arrived meanwhile. */
bool virtqueue_set_notification(Virtqueue *vq, bool enable);
/* Realize: its chains are room, not work (receive buffers), so a loop that polls does not look for them. */
void virtqueue_set_unpolled(Virtqueue *vq);
unsigned virtqueue_in_flight(const Virtqueue *vq); /* popped chains, busy and held */

unsigned virtqueue_index(const Virtqueue *vq);
Loop *virtqueue_loop(const Virtqueue *vq);
bool virtqueue_mapped(const Virtqueue *vq);  /* started: its ring is mapped */
bool virtqueue_running(const Virtqueue *vq); /* and its loop serves it: until a reset or a pause */

/* A held chain in saved state.  load: the queue is mapped but does not run yet; `size` as for pop,
 * NULL and error if the bytes are no chain of this queue.  *data moves on. */
void virtqueue_chain_save(const VirtqueueChain *chain, GByteArray *out);
void *virtqueue_chain_load(Virtqueue *vq, size_t size, const uint8_t **data, size_t *length, GError **error);

/* ---- core and transports; device lock held ---- */
#define VIRTQUEUE_NO_VECTOR 0xffff
typedef struct VirtqueueSetup {
    uint16_t size;     /* 0: not available */
    uint16_t size_max;
    uint16_t vector;   /* MSI-X */
    bool enabled;
    uint64_t desc, avail, used; /* descriptor, driver and device areas */
} VirtqueueSetup;
VirtqueueSetup *virtqueue_setup(Virtqueue *vq);
int virtqueue_doorbell(Virtqueue *vq); /* eventfd the transport hands to memory_add_doorbell() */
void virtqueue_kick(Virtqueue *vq);    /* a doorbell write that reached us: any thread */
