/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a loop watches: descriptors (LoopFd) and doorbells (LoopEvent).  An engine
 * notes what happened; loop_run_handles() calls back.  The loop's thread only.
 */
#include "vmm/loop.h"

#include <errno.h>
#include <unistd.h>

#include "vmm/log.h"
#include "vmm/loop-internal.h"

static void handle_init(Loop *loop, LoopHandle *handle, int fd, bool is_event)
{
    g_assert(loop_is_here(loop));
    handle->loop = loop;
    handle->fd = fd;
    handle->is_event = is_event;
    handle->epoll_fd = -1;
    handle->link.data = handle;
    handle->ready_link.data = handle;
    g_queue_push_tail_link(&loop->handles, &handle->link);
}

LoopFd *loop_add_fd(Loop *loop, int fd, LoopEvents events, LoopFdFn fn, void *opaque)
{
    LoopFd *lfd = g_new0(LoopFd, 1);

    lfd->fn = fn;
    lfd->opaque = opaque;
    handle_init(loop, &lfd->handle, fd, false);
    loop_fd_set_events(lfd, events);
    return lfd;
}

void loop_fd_set_events(LoopFd *lfd, LoopEvents events)
{
    g_assert(loop_is_here(lfd->handle.loop));
    events &= LOOP_READ | LOOP_WRITE;
    if (events != lfd->handle.wanted) {
        lfd->handle.wanted = events;
        lfd->handle.loop->ops->change(&lfd->handle);
    }
}

LoopEvent *loop_add_event(Loop *loop, int eventfd, LoopFn fn, bool (*poll)(void *opaque), void *opaque)
{
    LoopEvent *event = g_new0(LoopEvent, 1);

    event->fn = fn;
    event->poll = poll;
    event->opaque = opaque;
    handle_init(loop, &event->handle, eventfd, true);
    event->handle.wanted = LOOP_READ;
    if (poll) {
        g_queue_push_tail(&loop->polled, event);
    }
    loop->ops->change(&event->handle);
    return event;
}

void loop_handle_forget(LoopHandle *handle)
{
    Loop *loop = handle->loop;

    g_assert(loop_is_here(loop));
    handle->removed = true;
    g_queue_unlink(&loop->handles, &handle->link);
    if (handle->ready) {
        g_queue_unlink(&loop->ready, &handle->ready_link);
        handle->ready = false;
    }
}

void loop_remove_fd(LoopFd *lfd)
{
    if (lfd) {
        loop_handle_forget(&lfd->handle);
        lfd->handle.loop->ops->remove(&lfd->handle);
    }
}

/* A bell that was taken from the eventfd but not passed on goes back: the next user must hear it. */
void loop_remove_event(LoopEvent *event)
{
    LoopHandle *handle;
    bool rung;
    uint64_t one = 1;

    if (!event) {
        return;
    }
    handle = &event->handle;
    rung = handle->ready;
    if (event->poll) {
        g_queue_remove(&handle->loop->polled, event);
    }
    loop_handle_forget(handle);
    if (rung && write(handle->fd, &one, sizeof(one)) < 0) {
        log_warning("loop '%s': cannot ring the eventfd %d again: %s", handle->loop->name, handle->fd,
                    g_strerror(errno));
    }
    handle->loop->ops->remove(handle);
}

void loop_handle_ready(LoopHandle *handle, LoopEvents happened)
{
    handle->happened |= happened;
    if (!handle->ready && !handle->removed) {
        handle->ready = true;
        g_queue_push_tail_link(&handle->loop->ready, &handle->ready_link);
    }
}

static void dispatch_handle(LoopHandle *handle)
{
    LoopEvents happened = handle->happened & (handle->wanted | LOOP_HANGUP);

    handle->ready = false;
    handle->happened = 0;
    if (handle->is_event) {
        LoopEvent *event = (LoopEvent *)handle;

        event->fn(event->opaque);
    } else if (handle->wanted && happened) {
        LoopFd *lfd = (LoopFd *)handle;

        lfd->fn(handle->fd, happened, lfd->opaque);
    }
}

/* EAGAIN: nobody has heard the last 2^64 - 2 rings; it is ringing. */
void loop_ring_now(Loop *loop, int eventfd)
{
    uint64_t one = 1;

    if (write(eventfd, &one, sizeof(one)) < 0 && errno != EAGAIN) {
        log_warning("loop '%s': cannot ring the eventfd %d: %s", loop->name, eventfd, g_strerror(errno));
    }
}

void loop_ring(Loop *loop, int eventfd)
{
    g_assert(loop_is_here(loop));
    loop->ops->ring(loop, eventfd);
}

/* As many as are ready now: what becomes ready meanwhile waits for the next round. */
bool loop_run_handles(Loop *loop)
{
    bool ran = false;

    for (unsigned n = loop->ready.length; n && loop->ready.head; n--) {
        LoopHandle *handle = g_queue_pop_head_link(&loop->ready)->data;

        ran |= handle != &loop->wake_event->handle && handle != &loop->alarm_watch->handle;
        dispatch_handle(handle);
    }
    return ran;
}
