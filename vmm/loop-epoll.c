/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The epoll engine: for hosts without io_uring, or where it is forbidden.
 *
 * Descriptors and eventfds are in one level-triggered epoll set; timers are its
 * timeout (nanoseconds: epoll_pwait2, or ppoll on the set where that is missing);
 * file I/O goes to the worker pool.  What epoll refuses (regular files) is always
 * ready, as poll(2) has it.  The loop's thread only.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/loop-internal.h"

#define EVENTS_MAX 64

typedef struct Epoll {
    int fd;
    bool no_pwait2;      /* found missing */
    GPtrArray *always;   /* LoopHandle of descriptors that epoll refuses */
} Epoll;

static bool epoll_open(Loop *loop, GError **error)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    Epoll *e;

    if (fd < 0) {
        return error_set_errno(error, errno, "cannot make an epoll set for loop '%s'", loop->name);
    }
    e = g_new0(Epoll, 1);
    e->fd = fd;
    e->always = g_ptr_array_new();
    loop->engine = e;
    return true;
}

static void epoll_bind(Loop *loop)
{
}

static void epoll_unbind(Loop *loop)
{
}

static void epoll_close(Loop *loop)
{
    Epoll *e = loop->engine;

    g_ptr_array_unref(e->always);
    close(e->fd);
    g_free(e);
}

static void take_out(Epoll *e, LoopHandle *handle)
{
    if (handle->in_kernel) {
        epoll_ctl(e->fd, EPOLL_CTL_DEL, handle->fd, NULL); /* fails if the user has closed it: fine */
        handle->in_kernel = false;
    }
    g_ptr_array_remove(e->always, handle);
}

static void epoll_change(LoopHandle *handle)
{
    Epoll *e = handle->loop->engine;
    struct epoll_event ev = { .data.ptr = handle };

    if (!handle->wanted) {
        take_out(e, handle);
        return;
    }
    ev.events = (handle->wanted & LOOP_READ ? EPOLLIN : 0) | (handle->wanted & LOOP_WRITE ? EPOLLOUT : 0);
    if (g_ptr_array_find(e->always, handle, NULL)) {
        return;
    }
    if (epoll_ctl(e->fd, handle->in_kernel ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, handle->fd, &ev) < 0) {
        g_ptr_array_add(e->always, handle);
    } else {
        handle->in_kernel = true;
    }
}

static void epoll_remove(LoopHandle *handle)
{
    take_out(handle->loop->engine, handle);
    g_free(handle);
}

/* An error shows as whatever was asked for: the user's read or write will say which it is. */
static LoopEvents to_loop_events(const LoopHandle *handle, uint32_t events)
{
    LoopEvents happened = 0;

    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        happened |= LOOP_READ;
    }
    if (events & (EPOLLOUT | EPOLLERR)) {
        happened |= LOOP_WRITE;
    }
    if (events & (EPOLLHUP | EPOLLERR)) {
        happened |= LOOP_HANGUP;
    }
    return happened & (handle->wanted | LOOP_HANGUP);
}

static int wait_ns(Epoll *e, struct epoll_event *events, int64_t timeout_ns)
{
    struct timespec ts = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
    struct pollfd pfd = { .fd = e->fd, .events = POLLIN };

    if (timeout_ns == 0 || timeout_ns == LOOP_FOREVER) {
        return epoll_wait(e->fd, events, EVENTS_MAX, timeout_ns ? -1 : 0);
    }
    if (!e->no_pwait2) {
        int n = epoll_pwait2(e->fd, events, EVENTS_MAX, &ts, NULL);

        if (n >= 0 || errno != ENOSYS) {
            return n;
        }
        e->no_pwait2 = true;
    }
    ppoll(&pfd, 1, &ts, NULL);
    return epoll_wait(e->fd, events, EVENTS_MAX, 0);
}

static void note(LoopHandle *handle, uint32_t events)
{
    uint64_t value;

    if (!handle->is_event) {
        loop_handle_ready(handle, to_loop_events(handle, events));
    } else if (read(handle->fd, &value, sizeof(value)) == sizeof(value)) {
        loop_handle_ready(handle, LOOP_READ);
    }
}

static void epoll_engine_wait(Loop *loop, int64_t timeout_ns)
{
    Epoll *e = loop->engine;
    struct epoll_event events[EVENTS_MAX];
    int n = wait_ns(e, events, e->always->len ? 0 : timeout_ns);

    for (int i = 0; i < n; i++) {
        note(events[i].data.ptr, events[i].events);
    }
    for (unsigned i = 0; i < e->always->len; i++) {
        LoopHandle *handle = g_ptr_array_index(e->always, i);

        loop_handle_ready(handle, handle->wanted);
    }
}

const LoopEngineOps loop_engine_epoll = {
    .name = "epoll",
    .engine = LOOP_ENGINE_EPOLL,
    .open = epoll_open,
    .bind = epoll_bind,
    .unbind = epoll_unbind,
    .close = epoll_close,
    .change = epoll_change,
    .remove = epoll_remove,
    .submit = loop_workers_submit,
    .ring = loop_ring_now,
    .wait = epoll_engine_wait,
};
