/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output of chardevs: what the host does not take at once is kept and follows; at the domain's end the hosts of all
 * get a second to take the rest.
 *
 * Locking: the chardev's own lock for what is kept; the rest as vmm/chardev-internal.h says.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "vmm/chardev-internal.h"
#include "vmm/log.h"

#define FLUSH_NS      NS_PER_SEC /* for all chardevs together */
#define FLUSH_LOOK_MS 10         /* between looks at what a peer has not read yet */

/* ---- room ---- */

static bool has_room(Chardev *chr)
{
    bool room;

    lock_acquire(&chr->lock);
    room = chr->out_used < CHARDEV_OUT_MAX / 2;
    lock_release(&chr->lock);
    return room;
}

void chardev_tell_writable(Chardev *chr)
{
    if (chr->attached && chr->fe.writable && has_room(chr)
        && __atomic_exchange_n(&chr->wants_write, false, __ATOMIC_SEQ_CST)) {
        chardev_lock_front(chr);
        chr->fe.writable(chr->fe.opaque);
        chardev_unlock_front(chr);
    }
}

/* ---- from the front end ---- */

/* Lock held. */
static size_t keep(Chardev *chr, const uint8_t *data, size_t length)
{
    size_t n = MIN(length, CHARDEV_OUT_MAX - chr->out_used);
    size_t tail = (chr->out_head + chr->out_used) % CHARDEV_OUT_MAX;
    size_t first = MIN(n, CHARDEV_OUT_MAX - tail);

    if (n && !chr->out) {
        chr->out = g_malloc(CHARDEV_OUT_MAX);
    }
    if (n) {
        memcpy(chr->out + tail, data, first);
        memcpy(chr->out, data + first, n - first);
    }
    chr->out_used += n;
    return n;
}

/* Lock held.  Bytes written; the rest may be kept. */
static size_t write_now(Chardev *chr, const uint8_t *data, size_t length)
{
    ssize_t n = chr->out_used ? 0 : chr->class->write(chr, data, length);

    if (n < 0) {
        __atomic_store_n(&chr->lost, true, __ATOMIC_SEQ_CST);
        return length; /* nobody can read it any more */
    }
    return (size_t)n;
}

/* Lock held. */
static void log_output(Chardev *chr, const uint8_t *data, size_t length)
{
    if (chr->log_fd >= 0 && length && write(chr->log_fd, data, length) < 0) {
        log_warning("%s: cannot write the log file: %s; it ends here", chr->id, g_strerror(errno));
        close(chr->log_fd);
        chr->log_fd = -1;
    }
}

/* Lock held.  Goes out or is kept, to the last byte: half of an escape would be something else. */
static void put_whole(Chardev *chr, const uint8_t *data, size_t length)
{
    size_t n = write_now(chr, data, length);

    keep(chr, data + n, length - n);
}

/* Lock held. */
static size_t room(const Chardev *chr)
{
    return CHARDEV_OUT_MAX - chr->out_used;
}

static size_t write_encoded(Chardev *chr, const uint8_t *data, size_t length)
{
    uint8_t piece[CHARDEV_ENCODED_MAX];
    size_t taken = 0;

    while (taken < length && room(chr) >= sizeof(piece)) {
        size_t n = MIN(length - taken, CHARDEV_ENCODE_MAX);

        put_whole(chr, piece, chr->encode(chr, data + taken, n, piece));
        taken += n;
    }
    return taken;
}

size_t chardev_write(Chardev *chr, const uint8_t *data, size_t length)
{
    size_t taken = length;
    bool pending;

    if (chr->class->pass) {
        return chr->class->pass(chr, data, length);
    }
    lock_acquire(&chr->lock);
    if (chardev_connected(chr) && chr->encode) {
        taken = write_encoded(chr, data, length);
    } else if (chardev_connected(chr)) {
        taken = write_now(chr, data, length);
        taken += keep(chr, data + taken, length - taken);
    }
    log_output(chr, data, taken);
    pending = chr->out_used > 0;
    lock_release(&chr->lock);
    if (pending) {
        chardev_leave_work(chr, CHARDEV_WORK_OUTPUT);
    }
    return taken;
}

void chardev_say(Chardev *chr, const uint8_t *data, size_t length)
{
    bool pending;

    lock_acquire(&chr->lock);
    if (room(chr) >= length) {
        put_whole(chr, data, length);
    }
    pending = chr->out_used > 0;
    lock_release(&chr->lock);
    if (pending) {
        chardev_leave_work(chr, CHARDEV_WORK_OUTPUT);
    }
}

void chardev_want_write(Chardev *chr)
{
    Chardev *below = chr->class->below ? chr->class->below(chr) : NULL;

    __atomic_store_n(&chr->wants_write, true, __ATOMIC_SEQ_CST);
    if (below) {
        chardev_want_write(below);
    } else {
        chardev_leave_work(chr, CHARDEV_WORK_WRITABLE);
    }
}

void chardev_send_break(Chardev *chr)
{
    if (chr->class->below) {
        chardev_send_break(chr->class->below(chr));
    } else if (chr->class->send_break) {
        chr->class->send_break(chr);
    }
}

/* ---- to the host ---- */

bool chardev_output_pending(Chardev *chr)
{
    bool pending;

    lock_acquire(&chr->lock);
    pending = chr->out_used > 0;
    lock_release(&chr->lock);
    return pending;
}

void chardev_output_ready(Chardev *chr)
{
    ssize_t n = 1;
    bool empty;

    lock_acquire(&chr->lock);
    while (chr->out_used && n > 0) {
        size_t length = MIN(chr->out_used, CHARDEV_OUT_MAX - chr->out_head);

        n = chr->class->write(chr, chr->out + chr->out_head, length);
        if (n < 0) {
            chr->out_used = 0;
            __atomic_store_n(&chr->lost, true, __ATOMIC_SEQ_CST);
        } else {
            chr->out_head = (chr->out_head + n) % CHARDEV_OUT_MAX;
            chr->out_used -= n;
        }
    }
    empty = chr->out_used == 0;
    lock_release(&chr->lock);
    if (empty) {
        chr->class->watch_output(chr, false);
    }
    chardev_tell_writable(chr);
}

void chardev_drop_output(Chardev *chr)
{
    lock_acquire(&chr->lock);
    chr->out_used = 0;
    lock_release(&chr->lock);
    chardev_tell_writable(chr);
}

/* ---- the last words ---- */

typedef struct Flush {
    GArray *fds;     /* struct pollfd, of those that wait for the host */
    GPtrArray *chrs; /* theirs, in the same order */
    bool unread;     /* a peer has not read all that it has */
} Flush;

static size_t kept_bytes(Chardev *chr)
{
    size_t bytes;

    lock_acquire(&chr->lock);
    bytes = chr->out_used;
    lock_release(&chr->lock);
    return bytes;
}

static size_t unread_bytes(Chardev *chr)
{
    return chr->class->unread && chardev_connected(chr) ? chr->class->unread(chr) : 0;
}

/* The front end follows with what it holds itself, which may be more than there is room for at once. */
static bool flush_one(Chardev *chr, void *opaque)
{
    struct pollfd p = { .events = POLLOUT };
    Flush *flush = opaque;

    if (!chr->class->output_fd) {
        return true;
    }
    chardev_output_ready(chr);
    if (chardev_output_pending(chr)) {
        p.fd = chr->class->output_fd(chr);
        g_array_append_val(flush->fds, p);
        g_ptr_array_add(flush->chrs, chr);
    } else if (unread_bytes(chr)) {
        flush->unread = true;
    }
    return true;
}

/* Waits until the host may take more; who has hung up takes nothing any more. */
static void flush_wait(const Flush *flush)
{
    struct pollfd *fds = (struct pollfd *)(void *)flush->fds->data;

    poll(fds, flush->fds->len, FLUSH_LOOK_MS);
    for (guint i = 0; i < flush->fds->len; i++) {
        if (fds[i].revents & (POLLHUP | POLLERR | POLLNVAL)) {
            chardev_output_ready(flush->chrs->pdata[i]);
            chardev_drop_output(flush->chrs->pdata[i]);
        }
    }
}

static bool flush_round(Domain *domain)
{
    Flush flush = { .fds = g_array_new(FALSE, FALSE, sizeof(struct pollfd)), .chrs = g_ptr_array_new() };
    bool more;

    chardev_each(domain, flush_one, &flush);
    more = flush.unread || flush.fds->len;
    if (more) {
        flush_wait(&flush);
    }
    g_array_unref(flush.fds);
    g_ptr_array_unref(flush.chrs);
    return more;
}

static bool tell_lost(Chardev *chr, void *opaque)
{
    size_t bytes = kept_bytes(chr) + unread_bytes(chr);

    if (bytes) {
        log_warning("%s: its reader is slow: the last %zu bytes are lost", chr->id, bytes);
    }
    return true;
}

void chardev_flush_all(Domain *domain)
{
    int64_t end = clock_ns(clock_realtime) + FLUSH_NS;

    while (flush_round(domain)) {
        if (clock_ns(clock_realtime) >= end) {
            chardev_each(domain, tell_lost, NULL);
            return;
        }
    }
}
