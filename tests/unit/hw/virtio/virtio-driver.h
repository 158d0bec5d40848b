/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a virtqueue, in guest RAM that the test owns: written from
 * Virtio 1.2, sections 2.7 and 2.8, and from nothing that the device side is made
 * of.  For unit tests and fuzz targets.  Addresses are guest-physical; RAM begins
 * at 0.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DRIVER_QUEUE_MAX 256

typedef struct DriverBuffer {
    uint64_t address;
    uint32_t length;
    bool write; /* for the device */
} DriverBuffer;

typedef struct DriverQueue {
    uint8_t *ram;
    bool packed, event_idx;
    unsigned size;
    uint64_t desc, avail, used; /* the three areas */
    /* Free descriptors; per chain: its first descriptor (split) or its id (packed). */
    unsigned free;
    uint16_t chain_length[DRIVER_QUEUE_MAX];
    uint16_t next_free[DRIVER_QUEUE_MAX]; /* split: list of free descriptors; packed: list of free ids */
    uint16_t first_free;
    uint16_t avail_idx, used_idx; /* split: free running; packed: ring positions */
    bool avail_wrap, used_wrap;
    uint16_t kicked; /* split: avail_idx at the last kick decision; packed: descriptors since it */
} DriverQueue;

/* Lays an empty queue at `at` (16 aligned); size is at most DRIVER_QUEUE_MAX. */
void driver_queue_init(DriverQueue *q, uint8_t *ram, uint64_t at, unsigned size, bool packed, bool event_idx);
uint64_t driver_queue_end(const DriverQueue *q); /* first byte behind it */

/* Makes a chain available and returns its id; the queue has room. */
uint16_t driver_add(DriverQueue *q, const DriverBuffer *buffers, unsigned n);
/* The same through an indirect table that is written to `table`. */
uint16_t driver_add_indirect(DriverQueue *q, const DriverBuffer *buffers, unsigned n, uint64_t table);
/* After adding: does the device want a doorbell? */
bool driver_must_kick(DriverQueue *q);
/* The next used chain; false: none. */
bool driver_take_used(DriverQueue *q, uint16_t *ret_id, uint32_t *ret_length);
void driver_allow_interrupts(DriverQueue *q, bool allow);
/* Event index: interrupt when `n` more chains (split) or descriptors (packed) are used. */
void driver_interrupt_after(DriverQueue *q, unsigned n);

/* Raw bytes, for drivers that do wrong. */
void driver_put16(DriverQueue *q, uint64_t address, uint16_t value);
void driver_put32(DriverQueue *q, uint64_t address, uint32_t value);
void driver_put64(DriverQueue *q, uint64_t address, uint64_t value);
uint16_t driver_get16(const DriverQueue *q, uint64_t address);
/* A descriptor at `address`: the last two words are flags, next (split) or id, flags (packed). */
void driver_put_desc(DriverQueue *q, uint64_t address, uint64_t buffer, uint32_t length, uint16_t a, uint16_t b);
