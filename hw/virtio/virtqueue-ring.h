/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside a virtqueue: what virtqueue.c shares with its two ring layouts
 * (virtqueue-split.c, virtqueue-packed.c) and with the virtio core.
 *
 *   stopped --virtqueue_map()--> mapped --virtqueue_run()--> running
 *   mapped --virtqueue_hand_out()--> outside --virtqueue_take_back()--> mapped
 *   running --virtqueue_suspend()--> mapped --virtqueue_unmap()--> stopped
 *
 * Mapping needs the transport's lock or a paused device; run and suspend the
 * queue's loop.
 */
#pragma once

#include "hw/virtio/virtqueue.h"
#include "vmm/ram.h"
#include "vmm/state.h"

/* 2.7.5, 2.8.13 */
enum { VIRTQ_DESC_F_NEXT = 1, VIRTQ_DESC_F_WRITE = 2, VIRTQ_DESC_F_INDIRECT = 4,
       VIRTQ_DESC_F_AVAIL = 1 << 7, VIRTQ_DESC_F_USED = 1 << 15 };
#define VIRTQ_DESC_SIZE 16

/* A descriptor as both layouts lay it down: `low` is flags (split) or id (packed), `high` is next or flags. */
typedef struct VirtqDesc {
    uint64_t address;
    uint32_t length;
    uint16_t low, high;
} VirtqDesc;

/* Where the chain being popped is collected; bounded by VIRTQUEUE_CHAIN_MAX. */
typedef struct VirtqueueScratch {
    unsigned n, outs;
    uint64_t out_bytes, in_bytes;
    VirtqueueSegment segments[VIRTQUEUE_CHAIN_MAX];
    VirtqDesc table[VIRTQUEUE_CHAIN_MAX]; /* copy of an indirect table */
} VirtqueueScratch;

/* A chain that is given back. */
typedef struct VirtqUsed {
    uint16_t index, length;
    uint32_t written;
} VirtqUsed;

typedef struct VirtqueueRing {
    /* Byte sizes of the three areas for `size` entries; false: no such size. */
    bool (*areas)(unsigned size, bool event_idx, uint64_t ret_bytes[3], unsigned ret_align[3]);
    bool (*empty)(Virtqueue *vq);
    /* Collects the next chain in the scratch and moves on; false: none, or broken. */
    bool (*next)(Virtqueue *vq, uint16_t *ret_index, uint16_t *ret_length);
    void (*rewind)(Virtqueue *vq, uint16_t length);
    void (*use)(Virtqueue *vq, const VirtqUsed *used, unsigned n); /* all of them become visible together */
    bool (*wants_interrupt)(Virtqueue *vq);
    void (*set_notification)(Virtqueue *vq, bool enable); /* without the barrier after it */
} VirtqueueRing;

extern const VirtqueueRing virtqueue_split, virtqueue_packed;

struct Virtqueue {
    /* Configuration */
    Virtio *virtio;            /* NULL: removed, but something is still posted for it */
    unsigned index;
    Loop *loop;
    int doorbell;
    bool unpolled;             /* the loop does not look into it unasked */
    /* Guest state */
    VirtqueueSetup setup;
    uint16_t next_avail, next_used;
    bool avail_wrap, used_wrap; /* packed; start as true */
    /* Derived: set while mapped */
    const VirtqueueRing *ring; /* NULL: stopped */
    DmaSpace *dma;
    uint64_t features, used_address; /* the registers may be those of the next driver already */
    unsigned size;
    bool event_idx, indirect;
    DmaMapping desc, driver, device;
    VirtqueueScratch *scratch;
    /* The loop's */
    LoopEvent *event;          /* NULL: suspended */
    LoopBatch notify_batch;
    uint16_t seen_avail;       /* split: avail->idx as last read */
    bool notification;         /* doorbells are asked for */
    unsigned unsignalled;      /* entries used since the last interrupt decision */
    bool signalled_valid;
    unsigned in_flight, held;
    bool outside;              /* somebody else serves it */
    int call;                  /* their bell, if it is ours; with a watch */
    struct LoopFd *call_watch;
    bool broken;               /* the ring broke a rule; also when the device is being reset and does not say so */
    /* The virtio core's */
    unsigned references;       /* atomic: the device's, and one of each post under way */
    bool run, anew;            /* atomic: it is posted that the loop serves it, or does so anew */
    bool active;               /* mapped for the loop to run; transport's lock */
    bool stop_pending;         /* from the request to stop until settled; transport's lock */
    bool stopping;             /* the loop's: waits for busy chains */
    bool stopped;              /* the loop is done with it; atomic */
    bool quiet;                /* suspended and no chain is busy; atomic */
};

/* doorbell: the eventfd is made here. */
Virtqueue *virtqueue_new(Virtio *virtio, unsigned index, uint16_t size_max, Loop *loop, GError **error);
void virtqueue_free(Virtqueue *vq);
void virtqueue_reset_setup(Virtqueue *vq);     /* transport's lock */
void virtqueue_reset_positions(Virtqueue *vq); /* stopped */
/* Maps the rings that `setup` describes; false: they are not in RAM, said by virtio_set_broken(). */
bool virtqueue_map(Virtqueue *vq, DmaSpace *dma, uint64_t features);
void virtqueue_unmap(Virtqueue *vq);
/* ready(vq) is called when chains may be there. */
void virtqueue_run(Virtqueue *vq, LoopFn ready);
void virtqueue_suspend(Virtqueue *vq);
/* virtqueue-outside.c: instead of running it.  false: nobody takes it. */
bool virtqueue_hand_out(Virtqueue *vq);
void virtqueue_take_back(Virtqueue *vq); /* fine if it is not out */
static inline bool virtqueue_is_served(const Virtqueue *vq)
{
    return vq->event || vq->outside;
}
static inline bool virtqueue_is_quiet(const Virtqueue *vq)
{
    return !virtqueue_is_served(vq) && vq->in_flight == vq->held;
}

extern const StateDesc virtqueue_state;

/* ---- chains ---- */
VirtqueueChain *virtqueue_chain_new(Virtqueue *vq, size_t size, uint16_t index, uint16_t length); /* from the scratch */
void virtqueue_chain_unmap(VirtqueueChain *chain, uint64_t written);
void virtqueue_chain_free(VirtqueueChain *chain, uint64_t written);

/* ---- for the layouts ---- */
void virtqueue_collect_begin(Virtqueue *vq);
void virtqueue_collect_abort(Virtqueue *vq);
/* Adds a descriptor to the scratch; false: it broke a rule. */
bool virtqueue_collect(Virtqueue *vq, uint64_t address, uint32_t length, bool write);
/* Copies an indirect table; number of descriptors, 0: it broke a rule. */
unsigned virtqueue_read_table(Virtqueue *vq, uint64_t address, uint32_t length);
void virtqueue_broken(Virtqueue *vq, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static inline uint16_t ring_load16(const DmaMapping *area, uint64_t offset)
{
    return __atomic_load_n((const uint16_t *)((const char *)area->host + offset), __ATOMIC_ACQUIRE);
}

static inline void ring_dirty(const DmaMapping *area, uint64_t offset, uint64_t length)
{
    if (G_UNLIKELY(ram_is_watched(area->block))) {
        ram_dirty_set(area->block, area->offset + offset, length);
    }
}

static inline void ring_store16(const DmaMapping *area, uint64_t offset, uint16_t value)
{
    __atomic_store_n((uint16_t *)((char *)area->host + offset), value, __ATOMIC_RELEASE);
    ring_dirty(area, offset, sizeof(value));
}

static inline VirtqDesc ring_load_desc(const DmaMapping *area, unsigned index)
{
    const uint64_t *words = (const uint64_t *)((const char *)area->host + (uint64_t)index * VIRTQ_DESC_SIZE);
    uint64_t high = __atomic_load_n(&words[1], __ATOMIC_RELAXED);

    return (VirtqDesc) { .address = __atomic_load_n(&words[0], __ATOMIC_RELAXED),
                         .length = (uint32_t)high, .low = (uint16_t)(high >> 32), .high = (uint16_t)(high >> 48) };
}
