/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chardevs that end in this process: null, which takes everything, and ringbuf,
 * which keeps the newest bytes.  The ring is under the chardev's lock.
 */
#include <string.h>

#include "vmm/chardev-internal.h"
#include "vmm/error.h"

#define RINGBUF_MAX (64u << 20)

static void no_watch(Chardev *chr, bool on)
{
}

/* ---- null ---- */

static bool null_open(Chardev *chr, const void *options, GError **error)
{
    chr->connected = true;
    return true;
}

static void null_close(Chardev *chr)
{
}

static ssize_t null_write(Chardev *chr, const uint8_t *data, size_t length)
{
    return length;
}

const ChardevClass chardev_null_class = {
    .name = "null",
    .size = sizeof(Chardev),
    .open = null_open,
    .close = null_close,
    .write = null_write,
    .watch_output = no_watch,
};

/* ---- ringbuf ---- */

typedef struct Ringbuf {
    Chardev chr; /* first */
    uint8_t *data;
    size_t size; /* a power of two */
    uint64_t head, tail; /* written up to, read up to */
} Ringbuf;

static bool ringbuf_open(Chardev *chr, const void *opaque, GError **error)
{
    const ChardevRingbufOptions *options = opaque;
    Ringbuf *r = (Ringbuf *)chr;

    if (options->size == 0 || options->size > RINGBUF_MAX || (options->size & (options->size - 1))) {
        return error_set(error, "'size' must be a power of two up to 64M, it is %" G_GUINT64_FORMAT, options->size);
    }
    r->data = g_try_malloc(options->size);
    if (!r->data) {
        return error_set(error, "there is no memory for %" G_GUINT64_FORMAT " bytes", options->size);
    }
    r->size = options->size;
    chr->connected = true;
    return true;
}

static void ringbuf_close(Chardev *chr)
{
    g_free(((Ringbuf *)chr)->data);
}

static ssize_t ringbuf_write(Chardev *chr, const uint8_t *data, size_t length)
{
    Ringbuf *r = (Ringbuf *)chr;

    for (size_t i = 0; i < length; i++) {
        r->data[r->head++ & (r->size - 1)] = data[i];
    }
    if (r->head - r->tail > r->size) {
        r->tail = r->head - r->size;
    }
    return length;
}

size_t chardev_ringbuf_read(Chardev *chr, uint8_t *data, size_t length)
{
    Ringbuf *r = (Ringbuf *)chr;
    size_t n = 0;

    g_assert(chr->class == &chardev_ringbuf_class);
    lock_acquire(&chr->lock);
    while (n < length && r->tail < r->head) {
        data[n++] = r->data[r->tail++ & (r->size - 1)];
    }
    lock_release(&chr->lock);
    return n;
}

const ChardevClass chardev_ringbuf_class = {
    .name = "ringbuf",
    .size = sizeof(Ringbuf),
    .open = ringbuf_open,
    .close = ringbuf_close,
    .write = ringbuf_write,
    .watch_output = no_watch,
};
