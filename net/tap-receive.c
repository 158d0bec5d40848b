/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a TAP interface has for the guest, of one queue.
 *
 *   waiting reads (io_uring)   Reads wait in the kernel for frames, and are renewed when all are used up, by the system
 *                              call that the loop makes anyway.  So frames that come together cost one, not one each.
 *                              How many wait follows how many came: a frame that comes alone wakes all that wait.
 *   polling (epoll)            The descriptor is watched, and read until it has no more.  So, too, where a kernel
 *                              answers reads of such a descriptor at once.
 *
 * A frame that the guest has no room for stays in its place, and those behind it; so at most ROOM frames are here, and
 * the kernel's own queue is bounded.  They are lost with the link, and when the kernel takes the ring (vhost).
 *
 * An interface that cannot be read (it is gone, or down) is tried again when the guest has given buffers.
 *
 * Locking: the queue's loop.
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/tap.h"
#include "vmm/log.h"

#define ROOM       16 /* frames */
#define PER_ROUND  64 /* frames received by polling, before others on the loop get their turn */
#define LOST_MAX   64 /* frames in a row that could not be read: then the interface cannot */
#define SLOT_BYTES ((sizeof(struct virtio_net_hdr_v1) + NET_FRAME_MAX + 63) & ~(size_t)63)

struct TapReceiver {
    TapQueue *queue;
    bool reading;           /* not stopped */
    bool polls;
    bool failed;            /* it is not read any more until the guest has new room */
    unsigned lost;          /* reads in a row that failed */
    uint8_t *room;          /* ROOM places, touched only as far as frames come */
    struct iovec iov[ROOM]; /* each place, header and frame */
    LoopIo io[ROOM];
    size_t length[ROOM];    /* of what is in it */
    unsigned waiting[ROOM]; /* places of frames that have come: a ring, oldest first */
    unsigned first, frames;
    unsigned unused;        /* places with neither a read nor a frame */
    unsigned reads;         /* how many were submitted at last */
    unsigned came;          /* of them, with frames, since the loop last slept */
    LoopBatch round;
};

static void renew(TapReceiver *r);

static size_t header_of(const TapReceiver *r)
{
    return r->queue->tap->vnet_hdr ? r->queue->tap->header_bytes : 0;
}

static bool hand_on(TapReceiver *r, unsigned place)
{
    TapQueue *t = r->queue;
    size_t header = header_of(r);
    struct iovec iov = { (uint8_t *)r->iov[place].iov_base + header, r->length[place] - header };
    NetPacket packet = { .iov = &iov, .n = 1, .length = iov.iov_len };

    memcpy(&packet.header, r->iov[place].iov_base, header ? sizeof(packet.header) : 0);
    return net_receive(&t->tap->backend, t->link, &packet);
}

/* Oldest first, as long as the guest takes them. */
static void hand_all_on(TapReceiver *r)
{
    while (r->frames && hand_on(r, r->waiting[r->first])) {
        r->first = (r->first + 1) % ROOM;
        r->frames--;
        r->unused++;
    }
}

/* What a read has brought: bytes, or negative errno. */
static void take(TapReceiver *r, unsigned place, ssize_t result)
{
    TapQueue *t = r->queue;

    if (result > (ssize_t)header_of(r)) {
        r->lost = 0;
        r->length[place] = (size_t)result;
        r->waiting[(r->first + r->frames++) % ROOM] = place;
        return;
    }
    r->unused++;
    if (result >= 0 || result == -EINTR || result == -EAGAIN) {
        return;
    }
    if (result == -EINVAL || result == -EFAULT || result == -ENOMEM) { /* of this frame alone, mostly */
        net_drop_received(t->link);
        r->failed = ++r->lost >= LOST_MAX;
    } else {
        r->failed = true;
    }
    tap_complain(t, "read from", (int)-result);
}

/* ---- waiting reads ---- */

static void read_done(LoopIo *io, int result)
{
    TapReceiver *r = io->opaque;

    take(r, (unsigned)(io - r->io), result);
    r->came++;
    loop_batch(r->queue->link->loop, &r->round);
    r->polls |= result == -EAGAIN;
    hand_all_on(r);
    renew(r);
}

/* Before the loop sleeps. */
static void round_ends(void *opaque)
{
    TapReceiver *r = opaque;

    r->came = 0;
}

static void submit_reads(TapReceiver *r)
{
    r->reads = r->came >= r->reads ? MIN(2 * r->reads, ROOM) : MAX(r->came, 1);
    r->came = 0;
    for (unsigned i = 0; i < r->reads; i++) {
        r->io[i] = (LoopIo) { .op = LOOP_IO_READV, .fd = r->queue->fd, .iov = &r->iov[i], .niov = 1, .patient = true,
                              .done = read_done, .opaque = r };
        loop_submit(r->queue->link->loop, &r->io[i]);
    }
    r->unused -= r->reads;
}

/* ---- polling ---- */

void tap_readable(TapReceiver *r)
{
    for (unsigned i = 0; i < PER_ROUND && r->reading && r->polls && r->unused == ROOM && !r->failed; i++) {
        ssize_t n = read(r->queue->fd, r->iov[0].iov_base, r->iov[0].iov_len);

        r->unused--;
        take(r, 0, n < 0 ? -errno : n);
        if (!r->frames) {
            break;
        }
        hand_all_on(r);
    }
    renew(r);
}

/* ---- both ---- */

static void set_polling(TapReceiver *r, bool on)
{
    TapQueue *t = r->queue;

    tap_set_events(t, on ? t->events | LOOP_READ : t->events & ~(LoopEvents)LOOP_READ);
}

/* Asks for more, if all that came has been handed on. */
static void renew(TapReceiver *r)
{
    bool wanted = r->reading && r->unused == ROOM && !r->failed;

    if (wanted && !r->polls) {
        submit_reads(r);
    }
    set_polling(r, wanted && r->polls);
}

void tap_receive_ready(NetBackend *b, NetQueue *q)
{
    TapReceiver *r = net_tap(b)->queue[q->index].receiver;

    if (r->reading) {
        r->failed = false;
        r->lost = 0;
        hand_all_on(r);
        renew(r);
    }
}

void tap_start_reading(TapReceiver *r)
{
    if (!r->reading) {
        r->reading = true;
        r->failed = false;
        renew(r);
    }
}

void tap_stop_reading(TapReceiver *r)
{
    r->reading = false;
    for (unsigned i = 0; i < ROOM; i++) {
        loop_cancel(r->queue->link->loop, &r->io[i]);
    }
    r->frames = 0;
    r->unused = ROOM;
    renew(r);
}

/* The queue is attached. */
TapReceiver *tap_receiver_new(TapQueue *t)
{
    TapReceiver *r = g_new0(TapReceiver, 1);

    r->queue = t;
    r->polls = !loop_io_waits(t->link->loop);
    r->room = g_malloc(ROOM * SLOT_BYTES);
    for (unsigned i = 0; i < ROOM; i++) {
        r->iov[i] = (struct iovec) { r->room + i * SLOT_BYTES, header_of(r) + NET_FRAME_MAX };
        r->io[i].patient = true;
    }
    r->unused = ROOM;
    r->reads = 1;
    r->round = (LoopBatch) { .fn = round_ends, .opaque = r };
    return r;
}

void tap_receiver_free(TapReceiver *r)
{
    tap_stop_reading(r);
    loop_batch_cancel(r->queue->link->loop, &r->round);
    g_free(r->room);
    g_free(r);
}
