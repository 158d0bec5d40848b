/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adaptive polling: a loop spins for a while before it sleeps, where that pays.
 * The loop's thread only.
 */
#include "vmm/loop.h"

#include "vmm/epoch.h"
#include "vmm/loop-internal.h"
#include "vmm/timer.h"

#define POLL_START_NS 4000 /* the first step of growing */
#define POLL_GROW_DEFAULT 2

void loop_set_poll(Loop *loop, uint64_t max_ns, uint64_t grow, uint64_t shrink)
{
    g_assert(loop_is_here(loop));
    loop->polling = (LoopPolling) { .max_ns = max_ns, .grow = grow, .shrink = shrink };
}

void loop_get_poll(Loop *loop, uint64_t *max_ns, uint64_t *grow, uint64_t *shrink)
{
    *max_ns = loop->polling.max_ns;
    *grow = loop->polling.grow;
    *shrink = loop->polling.shrink;
}

/* Asks every pollable event whether it has work. */
static bool poll_events(Loop *loop)
{
    bool found = false;

    for (GList *l = loop->polled.head; l; l = l->next) {
        LoopEvent *event = l->data;

        if (event->poll(event->opaque)) {
            loop_handle_ready(&event->handle, LOOP_READ);
            found = true;
        }
    }
    return found;
}

/* True: there is something to do. */
static bool spin_until(Loop *loop, int64_t end_ns)
{
    loop->ops->wait(loop, 0); /* submissions go out before the spin */
    do {
        if (poll_events(loop) || loop_has_posts(loop) || loop->ready.length || loop->finished
            || (loop->ops->peek && loop->ops->peek(loop))) {
            return true;
        }
        __builtin_ia32_pause();
        epoch_quiescent();
    } while (clock_ns(clock_realtime) < end_ns);
    return false;
}

bool loop_poll(Loop *loop, int64_t timeout_ns)
{
    LoopPolling *p = &loop->polling;
    int64_t now;

    if (!p->max_ns) {
        return false;
    }
    now = clock_ns(clock_realtime);
    if (p->spin_ns && timeout_ns && spin_until(loop, now + MIN((int64_t)p->spin_ns, timeout_ns))) {
        return true;
    }
    p->slept_at = clock_ns(clock_realtime);
    return false;
}

/* Spinning up to max_ns would have caught a short sleep; it would be wasted on a long one. */
void loop_poll_slept(Loop *loop)
{
    LoopPolling *p = &loop->polling;
    uint64_t slept;

    if (!p->max_ns) {
        return;
    }
    slept = (uint64_t)(clock_ns(clock_realtime) - p->slept_at);
    if (slept <= p->spin_ns) {
        return;
    }
    if (slept > p->max_ns) {
        p->spin_ns = p->shrink ? p->spin_ns / p->shrink : 0;
    } else {
        uint64_t grown = p->spin_ns * (p->grow ? p->grow : POLL_GROW_DEFAULT);

        p->spin_ns = MIN(MAX(grown, POLL_START_NS), p->max_ns);
    }
}
