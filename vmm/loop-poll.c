/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adaptive polling: a loop spins for a while before it sleeps, where that pays.
 * The loop's thread only.
 *
 * There are two kinds of wait, which have nothing in common but the spinning:
 *
 *   idle   for whatever comes next, a doorbell mostly.  What a user sets with
 *          poll-max-ns: the spin grows after a sleep that it would have caught, and
 *          shrinks after a longer one.
 *   I/O    with requests under way.  To sleep and be woken takes two switches, and on
 *          a host that is a guest itself its exits.  How much that is shows in what
 *          such waits take with and without a sleep.  Spinning is right where it takes
 *          less than that, and then for no longer than that.  Every IO_PROBE_PERIOD-th
 *          wait goes the other way, to keep the figures fresh.
 */
#include "vmm/loop.h"

#include "vmm/epoch.h"
#include "vmm/loop-internal.h"
#include "vmm/timer.h"

#define POLL_START_NS 4000 /* the first step of growing */
#define POLL_GROW_DEFAULT 2

#define IO_PROBE_PERIOD 128
#define IO_SPIN_MAX_NS 250000 /* no sleep costs more */
#define IO_WEIGHT 8           /* of the past in an average, against one wait */

void loop_set_poll(Loop *loop, uint64_t max_ns, uint64_t grow, uint64_t shrink)
{
    g_assert(loop_is_here(loop));
    loop->polling = (LoopPolling) { .max_ns = max_ns, .grow = grow, .shrink = shrink, .no_io = !max_ns };
}

void loop_get_poll(Loop *loop, uint64_t *max_ns, uint64_t *grow, uint64_t *shrink)
{
    *max_ns = loop->polling.max_ns;
    *grow = loop->polling.grow;
    *shrink = loop->polling.shrink;
}

/* ---- how long ---- */

uint64_t loop_poll_io_limit(LoopPolling *p)
{
    uint64_t sleep_cost = p->io_slept_ns - MIN(p->io_slept_ns, p->io_awake_ns);
    bool probe = ++p->io_waits % IO_PROBE_PERIOD == 0;

    if (!p->io_slept_ns) {
        return 0; /* the first one sleeps */
    }
    if (!p->io_awake_ns || p->io_spun_ns > sleep_cost) {
        return probe || !p->io_awake_ns ? MIN(p->io_slept_ns, IO_SPIN_MAX_NS) : 0;
    }
    return probe ? 0 : MIN(sleep_cost, IO_SPIN_MAX_NS);
}

static void learn(uint64_t *average_ns, uint64_t ns)
{
    *average_ns = *average_ns ? (*average_ns * (IO_WEIGHT - 1) + ns) / IO_WEIGHT : ns;
}

/* One wait in which something else had the processor would tip the scales for long: its weight is bounded. */
void loop_poll_io_slept(LoopPolling *p, uint64_t waited_ns)
{
    learn(&p->io_slept_ns, p->io_slept_ns ? MIN(waited_ns, 2 * p->io_slept_ns) : waited_ns);
}

void loop_poll_io_spun(LoopPolling *p, uint64_t waited_ns, uint64_t spun_ns)
{
    learn(&p->io_awake_ns, MIN(waited_ns, p->io_slept_ns));
    learn(&p->io_spun_ns, MIN(spun_ns, p->io_slept_ns));
}

/* Spinning up to max_ns would have caught a short sleep; it would be wasted on a long one. */
static void learn_idle(LoopPolling *p, uint64_t slept_ns)
{
    if (slept_ns <= p->spin_ns) {
        return;
    }
    if (slept_ns > p->max_ns) {
        p->spin_ns = p->shrink ? p->spin_ns / p->shrink : 0;
    } else {
        uint64_t grown = p->spin_ns * (p->grow ? p->grow : POLL_GROW_DEFAULT);

        p->spin_ns = MIN(MAX(grown, POLL_START_NS), p->max_ns);
    }
}

/* ---- waiting ---- */

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

static bool has_work(Loop *loop)
{
    return poll_events(loop) || loop_has_posts(loop) || loop->ready.length || loop->finished
        || (loop->ops->peek && loop->ops->peek(loop));
}

/* Submissions go out before the spin. */
static bool spin(Loop *loop, uint64_t limit_ns)
{
    LoopPolling *p = &loop->polling;
    int64_t now = clock_ns(clock_realtime);
    int64_t end = now + (int64_t)limit_ns;
    bool found;

    p->spun_at = now;
    while (!(found = has_work(loop)) && (now = clock_ns(clock_realtime)) < end) {
        __builtin_ia32_pause();
        epoch_quiescent();
    }
    p->slept_at = now;
    return found;
}

bool loop_poll(Loop *loop, int64_t timeout_ns)
{
    LoopPolling *p = &loop->polling;
    bool found = false;
    uint64_t limit;

    p->io_wait = !p->no_io && loop->io_in_flight;
    p->measured = p->io_wait || p->max_ns;
    if (!p->measured) {
        return false;
    }
    p->began_at = p->spun_at = p->slept_at = clock_ns(clock_realtime);
    limit = MIN(p->io_wait ? loop_poll_io_limit(p) : p->spin_ns, (uint64_t)timeout_ns);
    if (limit) {
        loop->ops->wait(loop, 0);
        found = spin(loop, limit);
    }
    if (found && p->io_wait) {
        loop_poll_io_spun(p, (uint64_t)(p->slept_at - p->began_at), (uint64_t)(p->slept_at - p->spun_at));
    }
    return found;
}

void loop_poll_slept(Loop *loop)
{
    LoopPolling *p = &loop->polling;
    int64_t now;

    if (!p->measured) {
        return;
    }
    now = clock_ns(clock_realtime);
    if (!p->io_wait) {
        learn_idle(p, (uint64_t)(now - p->slept_at));
    } else if (p->slept_at == p->began_at) {
        loop_poll_io_slept(p, (uint64_t)(now - p->began_at));
    } else {
        loop_poll_io_spun(p, (uint64_t)(now - p->began_at), (uint64_t)(p->slept_at - p->spun_at));
    }
}
