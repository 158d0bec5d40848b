/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arithmetic on iovecs.
 */
#include <glib.h>
#include <string.h>

#include "vmm/iov.h"

typedef struct IovCursor {
    const struct iovec *iov;
    unsigned n;
    uint64_t offset; /* in iov[0] */
} IovCursor;

/* The next piece of at most `length` bytes; 0: none left. */
static size_t next_piece(IovCursor *c, uint64_t length, char **ret_piece)
{
    size_t bytes;

    while (c->n && c->offset >= c->iov->iov_len) {
        c->offset -= c->iov->iov_len;
        c->iov++;
        c->n--;
    }
    if (!c->n || !length) {
        return 0;
    }
    bytes = MIN(c->iov->iov_len - c->offset, length);
    *ret_piece = (char *)c->iov->iov_base + c->offset;
    c->offset += bytes;
    return bytes;
}

uint64_t iov_to_buffer(const struct iovec *iov, unsigned n, uint64_t offset, void *buffer, uint64_t length)
{
    IovCursor c = { iov, n, offset };
    uint64_t done = 0;
    size_t bytes;
    char *piece;

    while ((bytes = next_piece(&c, length - done, &piece))) {
        memcpy((char *)buffer + done, piece, bytes);
        done += bytes;
    }
    return done;
}

uint64_t iov_from_buffer(const struct iovec *iov, unsigned n, uint64_t offset, const void *buffer, uint64_t length)
{
    IovCursor c = { iov, n, offset };
    uint64_t done = 0;
    size_t bytes;
    char *piece;

    while ((bytes = next_piece(&c, length - done, &piece))) {
        memcpy(piece, (const char *)buffer + done, bytes);
        done += bytes;
    }
    return done;
}

uint64_t iov_fill(const struct iovec *iov, unsigned n, uint64_t offset, int byte, uint64_t length)
{
    IovCursor c = { iov, n, offset };
    uint64_t done = 0;
    size_t bytes;
    char *piece;

    while ((bytes = next_piece(&c, length - done, &piece))) {
        memset(piece, byte, bytes);
        done += bytes;
    }
    return done;
}

uint64_t iov_total(const struct iovec *iov, unsigned n)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < n; i++) {
        total += iov[i].iov_len;
    }
    return total;
}

unsigned iov_slice(const struct iovec *iov, unsigned n, uint64_t offset, uint64_t length, struct iovec *ret)
{
    IovCursor c = { iov, n, offset };
    unsigned pieces = 0;
    size_t bytes;
    char *piece;

    while ((bytes = next_piece(&c, length, &piece))) {
        ret[pieces++] = (struct iovec) { piece, bytes };
        length -= bytes;
    }
    return pieces;
}

static bool is_zero(const char *p, size_t bytes)
{
    /* All equal to the first one, which is zero; memcmp() is the fastest loop there is. */
    return !bytes || (!p[0] && !memcmp(p, p + 1, bytes - 1));
}

bool iov_is_zero(const struct iovec *iov, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!is_zero(iov[i].iov_base, iov[i].iov_len)) {
            return false;
        }
    }
    return true;
}

bool iov_is_aligned(const struct iovec *iov, unsigned n, uint64_t alignment)
{
    for (unsigned i = 0; i < n; i++) {
        if (((uintptr_t)iov[i].iov_base | iov[i].iov_len) & (alignment - 1)) {
            return false;
        }
    }
    return true;
}
