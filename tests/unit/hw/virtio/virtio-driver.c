/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a virtqueue.
 */
#include "virtio-driver.h"

#include <assert.h>
#include <string.h>

enum { F_NEXT = 1, F_WRITE = 2, F_INDIRECT = 4, F_AVAIL = 0x80, F_USED = 0x8000 };

void driver_put16(DriverQueue *q, uint64_t address, uint16_t value)
{
    __atomic_store_n((uint16_t *)(q->ram + address), value, __ATOMIC_SEQ_CST);
}

void driver_put32(DriverQueue *q, uint64_t address, uint32_t value)
{
    __atomic_store_n((uint32_t *)(q->ram + address), value, __ATOMIC_SEQ_CST);
}

void driver_put64(DriverQueue *q, uint64_t address, uint64_t value)
{
    __atomic_store_n((uint64_t *)(q->ram + address), value, __ATOMIC_SEQ_CST);
}

uint16_t driver_get16(const DriverQueue *q, uint64_t address)
{
    return __atomic_load_n((uint16_t *)(q->ram + address), __ATOMIC_SEQ_CST);
}

static uint32_t get32(const DriverQueue *q, uint64_t address)
{
    return __atomic_load_n((uint32_t *)(q->ram + address), __ATOMIC_SEQ_CST);
}

void driver_put_desc(DriverQueue *q, uint64_t address, uint64_t buffer, uint32_t length, uint16_t a, uint16_t b)
{
    driver_put64(q, address, buffer);
    driver_put32(q, address + 8, length);
    driver_put16(q, address + 12, a);
    driver_put16(q, address + 14, b);
}

void driver_queue_init(DriverQueue *q, uint8_t *ram, uint64_t at, unsigned size, bool packed, bool event_idx)
{
    assert(size <= DRIVER_QUEUE_MAX && at % 16 == 0);
    memset(q, 0, sizeof(*q));
    q->ram = ram;
    q->packed = packed;
    q->event_idx = event_idx;
    q->size = size;
    q->desc = at;
    q->avail = at + 16 * size;
    q->used = packed ? q->avail + 4 : (q->avail + 6 + 2 * size + 3) / 4 * 4;
    q->free = size;
    q->avail_wrap = true;
    q->used_wrap = true;
    memset(ram + at, 0, driver_queue_end(q) - at);
    for (unsigned i = 0; i < size; i++) {
        q->next_free[i] = (uint16_t)(i + 1);
    }
}

uint64_t driver_queue_end(const DriverQueue *q)
{
    return q->packed ? q->used + 4 : q->used + 6 + 8 * q->size;
}

static uint16_t take_free(DriverQueue *q)
{
    uint16_t i = q->first_free;

    q->first_free = q->next_free[i];
    return i;
}

static void publish_split(DriverQueue *q, uint16_t head, unsigned n)
{
    q->free -= n;
    q->chain_length[head] = (uint16_t)n;
    driver_put16(q, q->avail + 4 + 2 * (q->avail_idx % q->size), head);
    driver_put16(q, q->avail + 2, ++q->avail_idx);
}

static uint16_t add_split(DriverQueue *q, const DriverBuffer *buffers, unsigned n)
{
    uint16_t head = take_free(q), at = head;

    for (unsigned i = 0; i < n; i++) {
        uint16_t flags = (uint16_t)((buffers[i].write ? F_WRITE : 0) | (i + 1 < n ? F_NEXT : 0));
        uint16_t next = i + 1 < n ? take_free(q) : 0;

        driver_put_desc(q, q->desc + 16 * at, buffers[i].address, buffers[i].length, flags, next);
        q->next_free[at] = next;
        at = next;
    }
    publish_split(q, head, n);
    return head;
}

/* The flags of the first descriptor are written last. */
static uint16_t add_packed(DriverQueue *q, const DriverBuffer *buffers, unsigned n, uint16_t more)
{
    uint16_t id = take_free(q), first = q->avail_idx, first_flags = 0;

    for (unsigned i = 0; i < n; i++) {
        uint16_t flags = (uint16_t)((buffers[i].write ? F_WRITE : 0) | (i + 1 < n ? F_NEXT : 0) | more |
                                    (q->avail_wrap ? F_AVAIL : F_USED));
        uint64_t at = q->desc + 16 * q->avail_idx;

        driver_put64(q, at, buffers[i].address);
        driver_put32(q, at + 8, buffers[i].length);
        driver_put16(q, at + 12, id);
        if (i == 0) {
            first_flags = flags;
        } else {
            driver_put16(q, at + 14, flags);
        }
        if (++q->avail_idx == q->size) {
            q->avail_idx = 0;
            q->avail_wrap = !q->avail_wrap;
        }
    }
    driver_put16(q, q->desc + 16 * first + 14, first_flags);
    q->free -= n;
    q->chain_length[id] = (uint16_t)n;
    q->kicked = (uint16_t)(q->kicked + n);
    return id;
}

uint16_t driver_add(DriverQueue *q, const DriverBuffer *buffers, unsigned n)
{
    assert(n && n <= q->free);
    return q->packed ? add_packed(q, buffers, n, 0) : add_split(q, buffers, n);
}

uint16_t driver_add_indirect(DriverQueue *q, const DriverBuffer *buffers, unsigned n, uint64_t table)
{
    DriverBuffer whole = { table, 16 * n, false };
    uint16_t head;

    assert(q->free);
    for (unsigned i = 0; i < n; i++) {
        uint16_t write = buffers[i].write ? F_WRITE : 0;

        driver_put_desc(q, table + 16 * i, buffers[i].address, buffers[i].length,
                        q->packed ? 0 : (uint16_t)(write | (i + 1 < n ? F_NEXT : 0)),
                        q->packed ? write : (uint16_t)(i + 1));
    }
    if (q->packed) {
        return add_packed(q, &whole, 1, F_INDIRECT);
    }
    head = take_free(q);
    driver_put_desc(q, q->desc + 16 * head, table, 16 * n, F_INDIRECT, 0);
    publish_split(q, head, 1);
    return head;
}

static bool passed(uint16_t event, uint16_t new, uint16_t old)
{
    return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

static bool must_kick_packed(DriverQueue *q)
{
    uint16_t off_wrap = driver_get16(q, q->used), flags = driver_get16(q, q->used + 2) & 3;
    uint16_t event = off_wrap & 0x7fff, added = q->kicked;

    q->kicked = 0;
    if (flags != 2) {
        return flags == 0;
    }
    if (!!(off_wrap & 0x8000) != q->avail_wrap) {
        event = (uint16_t)(event - q->size);
    }
    return passed(event, q->avail_idx, (uint16_t)(q->avail_idx - added));
}

bool driver_must_kick(DriverQueue *q)
{
    uint16_t old = q->kicked;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (q->packed) {
        return must_kick_packed(q);
    }
    q->kicked = q->avail_idx;
    if (q->event_idx) {
        return passed(driver_get16(q, q->used + 4 + 8 * q->size), q->avail_idx, old);
    }
    return !(driver_get16(q, q->used) & 1);
}

static void give_back(DriverQueue *q, uint16_t id)
{
    uint16_t last = id;

    for (unsigned i = 1; i < q->chain_length[id] && !q->packed; i++) {
        last = q->next_free[last];
    }
    q->next_free[last] = q->first_free;
    q->first_free = id;
    q->free += q->chain_length[id];
}

static bool take_used_packed(DriverQueue *q, uint16_t *ret_id, uint32_t *ret_length)
{
    uint64_t at = q->desc + 16 * q->used_idx;
    uint16_t flags = driver_get16(q, at + 14);

    if (!!(flags & F_AVAIL) != q->used_wrap || !!(flags & F_USED) != q->used_wrap) {
        return false;
    }
    *ret_id = driver_get16(q, at + 12);
    *ret_length = get32(q, at + 8);
    q->used_idx = (uint16_t)(q->used_idx + q->chain_length[*ret_id]);
    if (q->used_idx >= q->size) {
        q->used_idx = (uint16_t)(q->used_idx - q->size);
        q->used_wrap = !q->used_wrap;
    }
    give_back(q, *ret_id);
    return true;
}

bool driver_take_used(DriverQueue *q, uint16_t *ret_id, uint32_t *ret_length)
{
    uint64_t entry;

    if (q->packed) {
        return take_used_packed(q, ret_id, ret_length);
    }
    if (driver_get16(q, q->used + 2) == q->used_idx) {
        return false;
    }
    entry = q->used + 4 + 8 * (q->used_idx % q->size);
    *ret_id = (uint16_t)get32(q, entry);
    *ret_length = get32(q, entry + 4);
    q->used_idx++;
    give_back(q, *ret_id);
    return true;
}

void driver_allow_interrupts(DriverQueue *q, bool allow)
{
    driver_put16(q, q->packed ? q->avail + 2 : q->avail, allow ? 0 : 1);
}

void driver_interrupt_after(DriverQueue *q, unsigned n)
{
    unsigned event = q->used_idx + n - 1;
    bool wrap = q->used_wrap;

    if (!q->packed) {
        driver_put16(q, q->avail + 4 + 2 * q->size, (uint16_t)event);
        return;
    }
    if (event >= q->size) {
        event -= q->size;
        wrap = !wrap;
    }
    driver_put16(q, q->avail, (uint16_t)(event | (wrap ? 0x8000 : 0)));
    driver_put16(q, q->avail + 2, 2);
}
