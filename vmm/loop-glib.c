/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A GLib main context inside a loop, so that libraries may use GSource: each round
 * of the loop is an iteration of the context too (prepare, query, poll, check,
 * dispatch), and the polling is the loop's own wait.  The loop's thread only.
 */
#include "vmm/loop.h"

#include "vmm/loop-internal.h"
#include "vmm/timer.h"

typedef struct GlibFd {
    LoopFd *lfd;
    GPollFD poll; /* revents: what happened since the last check */
} GlibFd;

struct LoopGlib {
    Loop *loop;
    GMainContext *context;
    int priority;
    GPollFD *wanted; /* what the context asked for at last */
    int n_wanted, allocated;
    GPtrArray *fds; /* GlibFd, in the order of `wanted` */
};

static void fd_ready(int fd, LoopEvents events, void *opaque)
{
    GlibFd *g = opaque;

    g->poll.revents |= (events & LOOP_READ ? g->poll.events & (G_IO_IN | G_IO_PRI) : 0)
        | (events & LOOP_WRITE ? g->poll.events & G_IO_OUT : 0) | (events & LOOP_HANGUP ? G_IO_HUP : 0);
}

static void glib_fd_free(gpointer data)
{
    GlibFd *g = data;

    loop_remove_fd(g->lfd);
    g_free(g);
}

static GlibFd *glib_fd_new(LoopGlib *glib, const GPollFD *poll)
{
    GlibFd *g = g_new0(GlibFd, 1);
    LoopEvents events =
        (poll->events & (G_IO_IN | G_IO_PRI) ? LOOP_READ : 0) | (poll->events & G_IO_OUT ? LOOP_WRITE : 0);

    g->poll = *poll;
    g->poll.revents = 0;
    g->lfd = loop_add_fd(glib->loop, poll->fd, events, fd_ready, g);
    return g;
}

/* The set rarely changes: what is the same, at the same place, stays. */
static void watch(LoopGlib *glib)
{
    for (int i = 0; i < glib->n_wanted; i++) {
        const GPollFD *want = &glib->wanted[i];

        if ((unsigned)i < glib->fds->len) {
            GlibFd *have = g_ptr_array_index(glib->fds, i);

            if (have->poll.fd == want->fd && have->poll.events == want->events) {
                continue;
            }
            glib_fd_free(have);
            glib->fds->pdata[i] = glib_fd_new(glib, want);
        } else {
            g_ptr_array_add(glib->fds, glib_fd_new(glib, want));
        }
    }
    g_ptr_array_set_size(glib->fds, glib->n_wanted);
}

int64_t loop_glib_prepare(LoopGlib *glib)
{
    int timeout_ms;

    g_main_context_prepare(glib->context, &glib->priority);
    while ((glib->n_wanted = g_main_context_query(
                glib->context, glib->priority, &timeout_ms, glib->wanted, glib->allocated)) > glib->allocated) {
        glib->allocated = glib->n_wanted;
        glib->wanted = g_renew(GPollFD, glib->wanted, glib->allocated);
    }
    watch(glib);
    return timeout_ms < 0 ? LOOP_FOREVER : timeout_ms * NS_PER_MS;
}

bool loop_glib_dispatch(LoopGlib *glib)
{
    for (int i = 0; i < glib->n_wanted; i++) {
        GlibFd *g = g_ptr_array_index(glib->fds, i);

        glib->wanted[i].revents = g->poll.revents;
        g->poll.revents = 0;
    }
    if (!g_main_context_check(glib->context, glib->priority, glib->wanted, glib->n_wanted)) {
        return false;
    }
    g_main_context_dispatch(glib->context);
    return true;
}

void loop_attach_glib(Loop *loop, GMainContext *context)
{
    LoopGlib *glib = g_new0(LoopGlib, 1);

    g_assert(!loop->glib);
    loop_bind(loop);
    glib->loop = loop;
    glib->context = context ? g_main_context_ref(context) : g_main_context_ref(g_main_context_default());
    glib->fds = g_ptr_array_new_with_free_func(glib_fd_free);
    g_main_context_acquire(glib->context);
    loop->glib = glib;
}

void loop_glib_free(LoopGlib *glib)
{
    g_ptr_array_unref(glib->fds);
    g_main_context_release(glib->context);
    g_main_context_unref(glib->context);
    g_free(glib->wanted);
    g_free(glib);
}
