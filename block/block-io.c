/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests to a block node: bounds, splitting, alignment, serialising, fallbacks.
 *
 * A driver sees requests that fit its limits.  What does not fit goes through a
 * bounce buffer: reads take in the whole blocks, writes read what they do not
 * cover first.  Such a read-modify-write excludes every other write to its blocks;
 * nodes with byte granularity, and requests that fit, never pay for it beyond
 * being noted in a list.
 *
 * Locking: coroutines of any loop; node->lock guards the list of writes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/node.h"
#include "vmm/coroutine.h"
#include "vmm/iov.h"

#define BOUNCE_MAX (UINT64_C(1) << 20)

/* ---- serialising ---- */

struct BlockTracked {
    uint64_t start, end;
    bool serialising;
    GSList *waiters; /* Coroutine */
    BlockTracked *next;
};

static BlockTracked *find_conflict(BlockNode *node, const BlockTracked *t)
{
    for (BlockTracked *other = node->tracked; other; other = other->next) {
        if (other->start < t->end && t->start < other->end && (other->serialising || t->serialising)) {
            return other;
        }
    }
    return NULL;
}

static void track_begin(BlockNode *node, BlockTracked *t, uint64_t start, uint64_t end, bool serialising)
{
    BlockTracked *conflict;

    *t = (BlockTracked) { .start = start, .end = end, .serialising = serialising };
    if (node->limits.request_alignment == 1) {
        return;
    }
    lock_acquire(&node->lock);
    while ((conflict = find_conflict(node, t))) {
        conflict->waiters = g_slist_append(conflict->waiters, coroutine_self());
        lock_release(&node->lock);
        coroutine_yield();
        lock_acquire(&node->lock);
    }
    t->next = node->tracked;
    node->tracked = t;
    lock_release(&node->lock);
}

static void track_end(BlockNode *node, BlockTracked *t)
{
    GSList *waiters;

    if (node->limits.request_alignment == 1) {
        return;
    }
    lock_acquire(&node->lock);
    for (BlockTracked **p = &node->tracked; *p; p = &(*p)->next) {
        if (*p == t) {
            *p = t->next;
            break;
        }
    }
    waiters = t->waiters;
    lock_release(&node->lock);
    for (GSList *w = waiters; w; w = w->next) {
        coroutine_wake(w->data);
    }
    g_slist_free(waiters);
}

/* ---- pieces that the driver can take ---- */

static uint64_t align_down(uint64_t x, uint64_t alignment)
{
    return x & ~(alignment - 1);
}

static uint64_t align_up(uint64_t x, uint64_t alignment)
{
    return align_down(x + alignment - 1, alignment);
}

static bool fits(const BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov)
{
    const BlockLimits *l = &node->limits;

    return !((offset | bytes) & (l->request_alignment - 1)) && (l->request_alignment == 1 || niov <= l->max_iov) &&
           (l->memory_alignment == 1 || iov_is_aligned(iov, niov, l->memory_alignment));
}

typedef int (*TransferFn)(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov,
                          unsigned flags);

static int driver_read(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov,
                       unsigned flags)
{
    return node->driver->co_preadv(node, offset, bytes, iov, niov);
}

static int driver_write(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov,
                        unsigned flags)
{
    return node->driver->co_pwritev(node, offset, bytes, iov, niov, flags);
}

/* A request that fits, in pieces of at most max_transfer bytes and max_iov iovecs. */
static int transfer(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov,
                    unsigned flags, TransferFn fn)
{
    const BlockLimits *l = &node->limits;
    g_autofree struct iovec *piece = NULL;
    uint64_t done = 0;

    if (G_LIKELY(bytes <= l->max_transfer && niov <= l->max_iov)) {
        return fn(node, offset, bytes, iov, niov, flags);
    }
    piece = g_try_new(struct iovec, niov);
    if (!piece) {
        return -ENOMEM;
    }
    while (done < bytes) {
        uint64_t length = MIN(bytes - done, l->max_transfer);
        unsigned n = iov_slice(iov, niov, done, length, piece);
        int ret;

        if (n > l->max_iov) {
            n = l->max_iov;
            length = iov_total(piece, n);
        }
        ret = fn(node, offset + done, length, piece, n, flags);
        if (ret < 0) {
            return ret;
        }
        done += length;
    }
    return 0;
}

/* ---- bounce buffers ---- */

static void *bounce_new(const BlockNode *node, uint64_t bytes)
{
    void *buffer;

    return posix_memalign(&buffer, MAX(MAX(node->limits.memory_alignment, node->limits.request_alignment), 64), bytes)
               ? NULL : buffer;
}

static int read_block(BlockNode *node, uint64_t offset, void *buffer, uint64_t bytes)
{
    struct iovec iov = { buffer, bytes };

    return node->driver->co_preadv(node, offset, bytes, &iov, 1);
}

static int read_bounced(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov)
{
    const uint64_t alignment = node->limits.request_alignment;
    uint64_t start = align_down(offset, alignment), end = align_up(offset + bytes, alignment);
    char *buffer = bounce_new(node, MIN(end - start, BOUNCE_MAX));
    int ret = buffer ? 0 : -ENOMEM;

    for (uint64_t at = start; at < end && ret >= 0; at += BOUNCE_MAX) {
        uint64_t length = MIN(end - at, BOUNCE_MAX);
        uint64_t from = MAX(at, offset), to = MIN(at + length, offset + bytes);

        ret = read_block(node, at, buffer, length);
        if (ret >= 0) {
            iov_from_buffer(iov, niov, from - offset, buffer + (from - at), to - from);
        }
    }
    free(buffer);
    return ret;
}

/* Fills what a write to [from, to) does not cover of the blocks at [at, at + length). */
static int read_margins(BlockNode *node, uint64_t at, uint64_t length, uint64_t from, uint64_t to, char *buffer)
{
    const uint64_t alignment = node->limits.request_alignment;
    uint64_t last = at + length - alignment;
    int ret = 0;

    if (from > at) {
        ret = read_block(node, at, buffer, alignment);
    }
    if (ret >= 0 && to < at + length && !(from > at && last == at)) {
        ret = read_block(node, last, buffer + length - alignment, alignment);
    }
    return ret;
}

/* iov NULL: zeroes.  The caller tracks the range. */
static int write_bounced(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov,
                         unsigned flags)
{
    const uint64_t alignment = node->limits.request_alignment;
    uint64_t start = align_down(offset, alignment), end = align_up(offset + bytes, alignment);
    char *buffer = bounce_new(node, MIN(end - start, BOUNCE_MAX));
    int ret = buffer ? 0 : -ENOMEM;

    for (uint64_t at = start; at < end && ret >= 0; at += BOUNCE_MAX) {
        uint64_t length = MIN(end - at, BOUNCE_MAX);
        uint64_t from = MAX(at, offset), to = MIN(at + length, offset + bytes);
        struct iovec piece = { buffer, length };

        ret = read_margins(node, at, length, from, to, buffer);
        if (ret < 0) {
            break;
        }
        if (iov) {
            iov_to_buffer(iov, niov, from - offset, buffer + (from - at), to - from);
        } else {
            memset(buffer + (from - at), 0, to - from);
        }
        ret = node->driver->co_pwritev(node, at, length, &piece, 1, flags);
    }
    free(buffer);
    return ret;
}

/* ---- requests ---- */

static int check_range(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    int64_t length = block_length(node);

    if (length < 0) {
        return (int)length;
    }
    return offset > (uint64_t)length || bytes > (uint64_t)length - offset ? -EIO : 0;
}

static int check_write(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return node->read_only ? -EPERM : check_range(node, offset, bytes);
}

/* After data reached the driver: a flush that begins from now on must not be left out. */
static int wrote(BlockNode *node, int ret)
{
    __atomic_fetch_add(&node->write_generation, 1, __ATOMIC_RELEASE);
    return ret;
}

static int wrote_to(BlockNode *node, uint64_t end, int ret)
{
    uint64_t old = __atomic_load_n(&node->highest_write, __ATOMIC_RELAXED);

    while (old < end && !__atomic_compare_exchange_n(&node->highest_write, &old, end, false, __ATOMIC_RELAXED,
                                                     __ATOMIC_RELAXED)) {
    }
    return wrote(node, ret);
}

int block_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov)
{
    int ret = check_range(node, offset, bytes);

    if (ret < 0 || !bytes) {
        return ret;
    }
    if (!fits(node, offset, bytes, iov, niov)) {
        return read_bounced(node, offset, bytes, iov, niov);
    }
    return transfer(node, offset, bytes, iov, niov, 0, driver_read);
}

static int write_zeroes_tracked(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags);

int block_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov,
                     unsigned flags)
{
    const uint64_t alignment = node->limits.request_alignment;
    int ret = check_write(node, offset, bytes);
    BlockTracked tracked;

    if (ret < 0 || !bytes) {
        return ret;
    }
    track_begin(node, &tracked, align_down(offset, alignment), align_up(offset + bytes, alignment),
                (offset | bytes) & (alignment - 1));
    if (node->detect_zeroes != BLOCK_DETECT_OFF && iov_is_zero(iov, niov)) {
        ret = write_zeroes_tracked(node, offset, bytes,
                                   flags | (node->detect_zeroes == BLOCK_DETECT_UNMAP ? BLOCK_MAY_UNMAP : 0));
    } else if (fits(node, offset, bytes, iov, niov)) {
        ret = transfer(node, offset, bytes, iov, niov, flags, driver_write);
    } else {
        ret = write_bounced(node, offset, bytes, iov, niov, flags);
    }
    track_end(node, &tracked);
    return wrote_to(node, offset + bytes, ret);
}

int block_co_flush(BlockNode *node)
{
    uint64_t generation = __atomic_load_n(&node->write_generation, __ATOMIC_ACQUIRE);
    int ret;

    if (node->no_flush || node->read_only) {
        return 0;
    }
    if (__atomic_load_n(&node->flushed_generation, __ATOMIC_ACQUIRE) == generation) {
        return 0; /* nothing was written since */
    }
    ret = node->driver->co_flush ? node->driver->co_flush(node) : block_co_flush(node->child);
    if (ret == 0) {
        uint64_t old = __atomic_load_n(&node->flushed_generation, __ATOMIC_RELAXED);

        while (old < generation && !__atomic_compare_exchange_n(&node->flushed_generation, &old, generation, false,
                                                                __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
        }
    }
    return ret;
}

int block_co_discard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    const uint64_t alignment = node->limits.discard_alignment;
    int ret = check_write(node, offset, bytes);
    BlockTracked tracked;
    uint64_t start, end;

    if (ret < 0 || node->discard == BLOCK_DISCARD_IGNORE || !node->driver->co_discard) {
        return ret; /* a hint */
    }
    start = align_up(offset, alignment);
    end = align_down(offset + bytes, alignment);
    if (start >= end) {
        return 0;
    }
    track_begin(node, &tracked, start, end, false);
    for (uint64_t at = start; at < end && ret >= 0; at += node->limits.max_transfer) {
        ret = node->driver->co_discard(node, at, MIN(end - at, node->limits.max_transfer));
    }
    track_end(node, &tracked);
    return wrote(node, ret == -ENOTSUP ? 0 : ret);
}

/* Zeroes [offset, offset + bytes) by writing. */
static int write_zero_buffers(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    return bytes ? write_bounced(node, offset, bytes, NULL, 0, flags & BLOCK_FUA) : 0;
}

static int write_zeroes_tracked(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    const uint64_t alignment = MAX(node->limits.zeroes_alignment, node->limits.request_alignment);
    uint64_t start = align_up(offset, alignment), end = align_down(offset + bytes, alignment);
    int ret = -ENOTSUP;

    if (node->discard == BLOCK_DISCARD_IGNORE) {
        flags &= ~(unsigned)BLOCK_MAY_UNMAP;
    }
    if (node->driver->co_pwrite_zeroes && start < end) {
        ret = 0;
        for (uint64_t at = start; at < end && ret >= 0; at += node->limits.max_transfer) {
            ret = node->driver->co_pwrite_zeroes(node, at, MIN(end - at, node->limits.max_transfer), flags);
        }
    }
    if (ret == -ENOTSUP) {
        return flags & BLOCK_NO_FALLBACK ? ret : write_zero_buffers(node, offset, bytes, flags);
    }
    if (ret >= 0) {
        ret = write_zero_buffers(node, offset, start - offset, flags);
    }
    if (ret >= 0) {
        ret = write_zero_buffers(node, end, offset + bytes - end, flags);
    }
    /* Zeroed ranges have no FUA of their own. */
    if (ret >= 0 && flags & BLOCK_FUA) {
        wrote(node, 0);
        ret = block_co_flush(node);
    }
    return ret;
}

int block_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    const uint64_t alignment = node->limits.request_alignment;
    int ret = check_write(node, offset, bytes);
    BlockTracked tracked;

    if (ret < 0 || !bytes) {
        return ret;
    }
    track_begin(node, &tracked, align_down(offset, alignment), align_up(offset + bytes, alignment),
                (offset | bytes) & (alignment - 1));
    ret = write_zeroes_tracked(node, offset, bytes, flags);
    track_end(node, &tracked);
    return wrote_to(node, offset + bytes, ret);
}
