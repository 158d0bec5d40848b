/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The io_uring engine: one io_uring_enter() a round sends everything that was
 * asked for and waits for whatever comes first.
 *
 *   descriptors   one-shot POLL_ADD, asked again before the next wait.  That is
 *                 level-triggered for the price of an entry; a multishot poll is
 *                 edge-triggered and would ask every user to drain.  It always asks
 *                 for POLLRDHUP too, so a socket whose peer has ended its side is
 *                 polled through an epoll instance, which can leave that out.
 *   eventfds      READ, so the bell is rung and answered without a read(2); a
 *                 non-blocking eventfd is a POLL_ADD linked to a READ; to ring one
 *                 is a WRITE
 *   timers        the timeout of the wait (IORING_FEAT_EXT_ARG, Linux 5.11; older
 *                 kernels get the epoll engine)
 *   file I/O      READ(V), WRITE(V), FSYNC, FALLOCATE; a read of what has nothing yet waits
 *
 * The ring is created disabled, restricted to these operations, and enabled by the
 * thread that runs the loop: under IORING_SETUP_SINGLE_ISSUER (Linux 6.1) that
 * thread is then the only one that can use it, and completions are run only when
 * it asks (DEFER_TASKRUN).  Older kernels get the plain set-up.  The loop's thread
 * only.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/loop-internal.h"

#define RING_ENTRIES 128

/* The low bits of a completion's user data say what the rest points to. */
enum { TAG_IO, TAG_HANDLE, TAG_LINKED_POLL, TAG_IGNORED, TAG_MASK = 3 };

typedef struct Uring {
    struct io_uring ring;
    GPtrArray *changed;   /* LoopHandle to be looked at before the next wait */
    LoopIo *early;        /* submitted before bind(), newest first */
    unsigned in_kernel;   /* handles with a request out */
    bool bound;
    bool skip_success;    /* IOSQE_CQE_SKIP_SUCCESS is known (Linux 5.17) */
} Uring;

/* ---- the ring ---- */

static const uint8_t allowed_ops[] = {
    IORING_OP_READ, IORING_OP_READV, IORING_OP_WRITE, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE,
    IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL,
};

/* liburing 2.3 declares a function for this, and for enabling, but does not export it. */
static int restrict_ring(struct io_uring *ring)
{
    struct io_uring_restriction rows[G_N_ELEMENTS(allowed_ops) + 2];
    unsigned n = 0;

    memset(rows, 0, sizeof(rows));
    for (; n < G_N_ELEMENTS(allowed_ops); n++) {
        rows[n].opcode = IORING_RESTRICTION_SQE_OP;
        rows[n].sqe_op = allowed_ops[n];
    }
    rows[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    rows[n++].sqe_flags = IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    rows[n].opcode = IORING_RESTRICTION_REGISTER_OP;
    rows[n++].register_op = IORING_REGISTER_ENABLE_RINGS;
    return io_uring_register(ring->ring_fd, IORING_REGISTER_RESTRICTIONS, rows, n);
}

static int create_ring(struct io_uring *ring, unsigned flags)
{
    struct io_uring_params params = { .flags = flags | IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP };
    int err = io_uring_queue_init_params(RING_ENTRIES, ring, &params);

    if (err) {
        return err;
    }
    err = params.features & IORING_FEAT_EXT_ARG ? restrict_ring(ring) : -ENOSYS;
    if (err) {
        io_uring_queue_exit(ring);
    }
    return err;
}

static bool uring_open(Loop *loop, GError **error)
{
    Uring *u = g_new0(Uring, 1);
    int err =
        create_ring(&u->ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG);

    if (err == -EINVAL) {
        err = create_ring(&u->ring, 0);
    }
    if (err) {
        g_free(u);
        error_set_errno(error, err, "io_uring is not available");
        if (err == -ENOMEM) {
            error_hint(error, "Raise the limit on locked memory (ulimit -l).");
        } else if (err == -EPERM) {
            error_hint(error, "Set the sysctl kernel.io_uring_disabled to 0, or permit it in the container's seccomp "
                              "profile.");
        }
        return false;
    }
    u->skip_success = u->ring.features & IORING_FEAT_CQE_SKIP;
    u->changed = g_ptr_array_new();
    loop->engine = u;
    return true;
}

static void uring_close(Loop *loop)
{
    Uring *u = loop->engine;

    io_uring_queue_exit(&u->ring);
    g_ptr_array_unref(u->changed);
    g_free(u);
}

static void reap(Loop *loop);

static struct io_uring_sqe *get_sqe(Loop *loop)
{
    Uring *u = loop->engine;
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(&u->ring))) {
        /* Full: send what is there.  -EBUSY: completions must be taken first. */
        if (io_uring_submit_and_get_events(&u->ring) < 0) {
            reap(loop);
        }
    }
    return sqe;
}

static void set_data(struct io_uring_sqe *sqe, void *pointer, unsigned tag)
{
    io_uring_sqe_set_data64(sqe, (uintptr_t)pointer | tag);
}

/* ---- handles ---- */

static void mark_changed(Uring *u, LoopHandle *handle)
{
    if (!handle->changed) {
        handle->changed = true;
        g_ptr_array_add(u->changed, handle);
    }
}

static short wanted_mask(const LoopHandle *handle)
{
    return (handle->wanted & LOOP_READ ? POLLIN : 0) | (handle->wanted & LOOP_WRITE ? POLLOUT : 0);
}

static int control_epoll(const LoopHandle *handle, int how)
{
    struct epoll_event event = { .events = (uint32_t)wanted_mask(handle) }; /* the same bits */

    return epoll_ctl(handle->epoll_fd, how, handle->fd, &event);
}

/* From now on, if there can be one. */
static void poll_through_epoll(LoopHandle *handle)
{
    handle->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (handle->epoll_fd >= 0 && control_epoll(handle, EPOLL_CTL_ADD) < 0) {
        close(handle->epoll_fd);
        handle->epoll_fd = -1;
    }
}

static int poll_now(const LoopHandle *handle)
{
    struct pollfd p = { .fd = handle->fd, .events = wanted_mask(handle) };

    return poll(&p, 1, 0) < 0 ? -errno : p.revents;
}

static void send_poll(Loop *loop, LoopHandle *handle)
{
    struct io_uring_sqe *sqe = get_sqe(loop);

    if (handle->epoll_fd < 0) {
        io_uring_prep_poll_add(sqe, handle->fd, (unsigned)wanted_mask(handle));
    } else {
        control_epoll(handle, EPOLL_CTL_MOD);
        io_uring_prep_poll_add(sqe, handle->epoll_fd, POLLIN);
    }
    set_data(sqe, handle, TAG_HANDLE);
    handle->armed = handle->wanted;
}

static void free_handle(LoopHandle *handle)
{
    if (handle->epoll_fd >= 0) {
        close(handle->epoll_fd);
    }
    g_free(handle);
}

/* A link must not be torn apart by a submission in between, so room is made first. */
static void send_read(Loop *loop, LoopHandle *handle)
{
    Uring *u = loop->engine;
    struct io_uring_sqe *sqe;

    if (handle->linked_read) {
        while (io_uring_sq_space_left(&u->ring) < 2) {
            if (io_uring_submit_and_get_events(&u->ring) < 0) {
                reap(loop);
            }
        }
        sqe = get_sqe(loop);
        io_uring_prep_poll_add(sqe, handle->fd, POLLIN);
        set_data(sqe, handle, TAG_LINKED_POLL);
        io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK | (u->skip_success ? IOSQE_CQE_SKIP_SUCCESS : 0));
    }
    sqe = get_sqe(loop);
    io_uring_prep_read(sqe, handle->fd, &handle->value, sizeof(handle->value), 0);
    set_data(sqe, handle, TAG_HANDLE);
    handle->armed = LOOP_READ;
}

static void send_cancel(Loop *loop, const void *pointer, unsigned tag)
{
    struct io_uring_sqe *sqe = get_sqe(loop);

    io_uring_prep_cancel64(sqe, (uintptr_t)pointer | tag, 0);
    set_data(sqe, NULL, TAG_IGNORED);
}

/* Cancelling the poll of a linked pair cancels the read; if the poll is over, the read is it. */
static void send_cancels(Loop *loop, LoopHandle *handle)
{
    if (handle->linked_read) {
        send_cancel(loop, handle, TAG_LINKED_POLL);
    }
    send_cancel(loop, handle, TAG_HANDLE);
}

static void update_handle(Loop *loop, LoopHandle *handle)
{
    Uring *u = loop->engine;

    handle->changed = false;
    if (handle->in_kernel) {
        /* Less than was asked for may stay: what is not wanted is not reported. */
        if (handle->removed || handle->wanted & ~handle->armed) {
            send_cancels(loop, handle);
        }
    } else if (handle->wanted && !handle->removed) {
        if (handle->is_event) {
            send_read(loop, handle);
        } else {
            send_poll(loop, handle);
        }
        handle->in_kernel = true;
        u->in_kernel++;
    }
}

static void update_handles(Loop *loop)
{
    Uring *u = loop->engine;

    for (unsigned i = 0; i < u->changed->len; i++) {
        update_handle(loop, g_ptr_array_index(u->changed, i));
    }
    g_ptr_array_set_size(u->changed, 0);
}

static void uring_change(LoopHandle *handle)
{
    if (handle->is_event) {
        handle->linked_read = fcntl(handle->fd, F_GETFL) & O_NONBLOCK;
    }
    mark_changed(handle->loop->engine, handle);
}

/* A poll may stay in the kernel until its cancellation comes back.  An eventfd's read may have
 * taken a bell that nobody will hear: it is waited for, and what it took is put back. */
static void uring_remove(LoopHandle *handle)
{
    Loop *loop = handle->loop;
    Uring *u = loop->engine;

    if (handle->changed) {
        g_ptr_array_remove(u->changed, handle);
        handle->changed = false;
    }
    if (handle->in_kernel) {
        send_cancels(loop, handle);
        if (!handle->is_event) {
            return;
        }
        handle->value = 0;
        while (handle->in_kernel) {
            io_uring_submit_and_wait(&u->ring, 1);
            reap(loop);
        }
        if (handle->value && write(handle->fd, &handle->value, sizeof(handle->value)) < 0) {
            log_warning("loop '%s': cannot ring the eventfd %d again: %s", loop->name, handle->fd, g_strerror(errno));
        }
    }
    free_handle(handle);
}

static LoopEvents to_loop_events(const LoopHandle *handle, int res)
{
    LoopEvents happened = 0;

    if (res < 0) { /* not pollable, or closed under us: the user's read or write will say so */
        return handle->wanted;
    }
    if (res & (POLLIN | POLLHUP | POLLERR)) {
        happened |= LOOP_READ;
    }
    if (res & (POLLOUT | POLLERR)) {
        happened |= LOOP_WRITE;
    }
    if (res & (POLLHUP | POLLERR)) {
        happened |= LOOP_HANGUP;
    }
    return happened & (handle->wanted | LOOP_HANGUP);
}

static void handle_completed(Uring *u, LoopHandle *handle, int res)
{
    handle->in_kernel = false;
    u->in_kernel--;
    if (handle->removed) {
        if (!handle->is_event) {
            free_handle(handle);
        } else if (res != sizeof(handle->value)) {
            handle->value = 0;
        }
        return;
    }
    mark_changed(u, handle);
    if (res == -ECANCELED) {
        return;
    }
    if (!handle->is_event) {
        if (res == POLLRDHUP) {
            poll_through_epoll(handle);
        }
        loop_handle_ready(handle, to_loop_events(handle, handle->epoll_fd < 0 ? res : poll_now(handle)));
    } else if (res == sizeof(handle->value)) {
        loop_handle_ready(handle, LOOP_READ);
    }
}

static void reap(Loop *loop)
{
    Uring *u = loop->engine;
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;

    io_uring_for_each_cqe(&u->ring, head, cqe) {
        void *pointer = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK);

        n++;
        switch (cqe->user_data & TAG_MASK) {
        case TAG_IO:
            loop_io_finished(pointer, cqe->res);
            break;
        case TAG_HANDLE:
            handle_completed(u, pointer, cqe->res);
            break;
        case TAG_LINKED_POLL:
            /* Fails when it is cancelled.  Where its success makes no completion, its failure
             * makes none for the linked read. */
            if (u->skip_success) {
                handle_completed(u, pointer, cqe->res);
            }
            break;
        default:
            break;
        }
    }
    io_uring_cq_advance(&u->ring, n);
}

/* ---- file I/O ---- */

static void prepare_io(struct io_uring_sqe *sqe, const LoopIo *io)
{
    switch (io->op) {
    case LOOP_IO_READV:
        if (io->niov == 1) {
            io_uring_prep_read(sqe, io->fd, io->iov->iov_base, io->iov->iov_len, io->offset);
            sqe->rw_flags = io->flags;
        } else {
            io_uring_prep_readv2(sqe, io->fd, io->iov, io->niov, io->offset, io->flags);
        }
        break;
    case LOOP_IO_WRITEV:
        if (io->niov == 1) {
            io_uring_prep_write(sqe, io->fd, io->iov->iov_base, io->iov->iov_len, io->offset);
            sqe->rw_flags = io->flags;
        } else {
            io_uring_prep_writev2(sqe, io->fd, io->iov, io->niov, io->offset, io->flags);
        }
        break;
    case LOOP_IO_FDATASYNC:
        io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
        break;
    default:
        io_uring_prep_fallocate(sqe, io->fd, io->flags, io->offset, io->length);
        break;
    }
}

static void uring_submit(Loop *loop, LoopIo *io)
{
    Uring *u = loop->engine;
    struct io_uring_sqe *sqe;

    if (!u->bound) { /* the ring is not enabled yet */
        io->next = u->early;
        u->early = io;
        return;
    }
    sqe = get_sqe(loop);
    prepare_io(sqe, io);
    set_data(sqe, io, TAG_IO);
}

/* Before bind() it waits in the list only. */
static void uring_cancel(Loop *loop, LoopIo *io)
{
    Uring *u = loop->engine;

    for (LoopIo **early = &u->early; *early; early = &(*early)->next) {
        if (*early == io) {
            *early = io->next;
            loop_io_finished(io, -ECANCELED);
            return;
        }
    }
    while (io->under_way) {
        send_cancel(loop, io, TAG_IO);
        io_uring_submit_and_wait(&u->ring, 1);
        reap(loop);
    }
}

/* A write to a non-blocking eventfd is done while it is submitted. */
static void uring_ring(Loop *loop, int eventfd)
{
    static const uint64_t one = 1;
    Uring *u = loop->engine;
    struct io_uring_sqe *sqe;

    if (!u->bound) {
        loop_ring_now(loop, eventfd);
        return;
    }
    sqe = get_sqe(loop);
    io_uring_prep_write(sqe, eventfd, &one, sizeof(one), 0);
    set_data(sqe, NULL, TAG_IGNORED);
    io_uring_sqe_set_flags(sqe, u->skip_success ? IOSQE_CQE_SKIP_SUCCESS : 0);
}

/* ---- the thread ---- */

static void uring_bind(Loop *loop)
{
    Uring *u = loop->engine;
    LoopIo *list = u->early, *oldest = NULL;
    int err = io_uring_register(u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

    if (err) {
        g_error("loop '%s': cannot enable its ring: %s", loop->name, g_strerror(-err));
    }
    u->bound = true;
    u->early = NULL;
    while (list) {
        LoopIo *next = list->next;

        list->next = oldest;
        oldest = list;
        list = next;
    }
    while (oldest) {
        LoopIo *next = oldest->next;

        uring_submit(loop, oldest);
        oldest = next;
    }
}

static void uring_unbind(Loop *loop)
{
    Uring *u = loop->engine;

    for (GList *l = loop->handles.head; l; l = l->next) {
        LoopHandle *handle = l->data;

        if (handle->in_kernel) {
            send_cancels(loop, handle);
        }
    }
    while (u->in_kernel) {
        io_uring_submit_and_wait(&u->ring, 1);
        reap(loop);
    }
}

/* With DEFER_TASKRUN, what has happened becomes a completion only when it is asked for. */
static bool must_enter(Uring *u)
{
    return io_uring_sq_ready(&u->ring)
        || IO_URING_READ_ONCE(*u->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static bool uring_peek(Loop *loop)
{
    Uring *u = loop->engine;

    return io_uring_cq_ready(&u->ring) || must_enter(u);
}

static void uring_wait(Loop *loop, int64_t timeout_ns)
{
    Uring *u = loop->engine;
    struct io_uring_cqe *cqe;

    update_handles(loop);
    if (timeout_ns == 0) {
        if (must_enter(u)) {
            io_uring_submit_and_get_events(&u->ring);
        }
    } else if (timeout_ns == LOOP_FOREVER) {
        io_uring_submit_and_wait(&u->ring, 1);
    } else {
        struct __kernel_timespec ts = { timeout_ns / 1000000000, timeout_ns % 1000000000 };

        io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &ts, NULL);
    }
    reap(loop);
}

const LoopEngineOps loop_engine_uring = {
    .name = "io_uring",
    .engine = LOOP_ENGINE_IO_URING,
    .open = uring_open,
    .bind = uring_bind,
    .unbind = uring_unbind,
    .close = uring_close,
    .change = uring_change,
    .remove = uring_remove,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .ring = uring_ring,
    .wait = uring_wait,
    .peek = uring_peek,
};
