/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the loop core (loop.c, loop-handle.c, loop-poll.c), its engines (loop-uring.c,
 * loop-epoll.c), workers (loop-workers.c), threads (loop-thread.c), timers (timer.c)
 * and its GLib guest (loop-glib.c) share.  Nobody else includes this.
 *
 * One round of a loop:
 *
 *   quiescent -> batches -> [spin] -> engine wait -> completions, handles, timers,
 *                                                    posts, GLib sources
 *
 * An engine's wait() only notes what happened (loop_handle_ready(), loop_io_finished());
 * the core calls back afterwards.  So a callback may remove anything.
 */
#pragma once

#include <glib.h>
#include <pthread.h>

#include "vmm/loop.h"
#include "vmm/sandbox.h"

typedef struct LoopEngineOps LoopEngineOps;
typedef struct LoopGlib LoopGlib;
typedef struct LoopPost LoopPost;
typedef struct LoopTimers LoopTimers;
typedef struct LoopWorkers LoopWorkers;

/* What LoopFd and LoopEvent have in common: a descriptor an engine watches. */
typedef struct LoopHandle {
    Loop *loop;
    int fd;
    bool is_event;      /* an eventfd that is read; else a descriptor that is polled */
    bool removed;       /* its user has let go; the engine frees it */
    bool ready;         /* in loop->ready */
    LoopEvents wanted;  /* a descriptor's */
    LoopEvents happened;
    GList link;         /* in loop->handles */
    GList ready_link;   /* in loop->ready */
    /* the engine's */
    bool in_kernel;     /* io_uring: a request is out; epoll: it is in the set */
    bool changed;       /* to be looked at before the next wait */
    LoopEvents armed;   /* what the kernel was asked for */
    bool linked_read;   /* io_uring: a non-blocking eventfd is polled, then read */
    uint64_t value;     /* io_uring: where an eventfd is read to */
    int epoll_fd;       /* io_uring: what is polled in its place; -1: nothing, it is polled itself */
} LoopHandle;

struct LoopFd {
    LoopHandle handle; /* first */
    LoopFdFn fn;
    void *opaque;
};

struct LoopEvent {
    LoopHandle handle; /* first */
    LoopFn fn;
    bool (*poll)(void *opaque);
    void *opaque;
};

/* loop-poll.c's */
typedef struct LoopPolling {
    uint64_t max_ns, grow, shrink; /* of idle waits, as set; max_ns 0: never */
    bool no_io;                    /* I/O waits never spin */
    uint64_t spin_ns;              /* how long an idle wait spins now */
    unsigned io_waits;
    /* Averages of I/O waits; 0: not known yet */
    uint64_t io_slept_ns;          /* with a sleep */
    uint64_t io_awake_ns;          /* without one */
    uint64_t io_spun_ns;           /* of that, spinning */
    /* This wait */
    bool measured, io_wait;
    int64_t began_at, spun_at, slept_at;
} LoopPolling;

struct Loop {
    char *name;
    const LoopEngineOps *ops;
    void *engine;
    /* The loop's thread. */
    pthread_t thread; /* the one it is bound to, once `bound` */
    bool bound;
    GQueue handles, ready;
    GQueue polled;              /* LoopEvent with poll(): LoopHandle * as data */
    LoopBatch *batches, **batches_tail;
    LoopBatch *batches_running; /* what is left of this round's */
    LoopBatch *deferred, **deferred_tail;
    unsigned rounds;            /* that are under way, each within the one before */
    LoopIo *finished, **finished_tail;
    LoopIo *finished_running;   /* what is left of this round's */
    unsigned io_in_flight;      /* but for patient ones */
    LoopTimers *timers;
    LoopWorkers *workers;       /* NULL until the first blocking call */
    LoopGlib *glib;             /* NULL: none */
    LoopPolling polling;
    /* Any thread. */
    LoopPost *posts;            /* atomic: a stack, newest first */
    LoopIo *worker_done;        /* atomic: a stack */
    bool asleep;                /* atomic: the next poster must ring the wake-up event */
    bool stopping;              /* atomic */
    int tid;                    /* atomic */
    int wake_fd;
    LoopEvent *wake_event;
    int alarm_fd;               /* a timerfd: ends its sleep at the deadline that another thread gives a timer */
    LoopFd *alarm_watch;
    pthread_t runner;           /* loop_thread_start()'s */
    bool has_runner;
};

#define LOOP_FOREVER INT64_MAX

struct LoopEngineOps {
    const char *name;
    LoopEngine engine;
    /* On any thread; false: the host has no such thing, or forbids it. */
    bool (*open)(Loop *loop, GError **error);
    /* On the thread that will run the loop, once, before any wait. */
    void (*bind)(Loop *loop);
    /* On the same thread, for the last time: nothing is left in the kernel. */
    void (*unbind)(Loop *loop);
    void (*close)(Loop *loop);
    /* The handle is new or wants something else.  Before bind() too. */
    void (*change)(LoopHandle *handle);
    /* The user is gone; frees the handle, at once or later.  No bell of an event gets lost. */
    void (*remove)(LoopHandle *handle);
    void (*submit)(Loop *loop, LoopIo *io);
    /* Until it has finished, one way or the other.  NULL: its reads do not wait (loop_io_waits()). */
    void (*cancel)(Loop *loop, LoopIo *io);
    void (*ring)(Loop *loop, int eventfd);
    /* Sends what is to be sent and waits at most this long (0: only looks). */
    void (*wait)(Loop *loop, int64_t timeout_ns);
    /* Spinning: is there something for wait() to find?  NULL: asking costs as much as waiting. */
    bool (*peek)(Loop *loop);
};

extern const LoopEngineOps loop_engine_uring, loop_engine_epoll;

/* ---- for engines ---- */
void loop_handle_ready(LoopHandle *handle, LoopEvents happened);
void loop_io_finished(LoopIo *io, int result);
/* Takes the handle out of the core's lists. */
void loop_handle_forget(LoopHandle *handle);
/* By a system call of its own. */
void loop_ring_now(Loop *loop, int eventfd);
bool loop_is_here(const Loop *loop); /* the calling thread may touch it */
void loop_wake(Loop *loop);          /* any thread: makes a sleeping loop take another round */
/* The same at a time of clock_realtime, INT64_MAX: never; the last one holds.  Any thread. */
void loop_set_alarm(Loop *loop, int64_t monotonic_ns);
bool loop_is_asleep(const Loop *loop); /* or about to look at its timers and sleep.  Any thread */
bool loop_has_posts(const Loop *loop); /* or something else that other threads left for it */

/* ---- for loop-thread.c and loop-glib.c ---- */
void loop_bind(Loop *loop);   /* to the calling thread, if it is not yet */
void loop_unbind(Loop *loop); /* nothing is left in the kernel; the thread is free again */

/* ---- handles ---- */
/* Calls back for what is ready; true if it was more than the loop's own wake-up. */
bool loop_run_handles(Loop *loop);

/* ---- adaptive polling ---- */
/* Spins, if that is worth it, for at most timeout_ns.  True: there is something to do. */
bool loop_poll(Loop *loop, int64_t timeout_ns);
void loop_poll_slept(Loop *loop); /* a sleep that followed is over */
/* For how long the next I/O wait spins; what one took that slept at once, or spun first. */
uint64_t loop_poll_io_limit(LoopPolling *p);
void loop_poll_io_slept(LoopPolling *p, uint64_t waited_ns);
void loop_poll_io_spun(LoopPolling *p, uint64_t waited_ns, uint64_t spun_ns);

/* ---- threads of loops and workers ---- */
void loop_enter_sandbox(SandboxRole role);

/* ---- worker pool: any engine ---- */
void loop_workers_submit(Loop *loop, LoopIo *io);
void loop_workers_free(LoopWorkers *workers); /* waits for what runs */
/* Moves what workers have done to the finished list. */
void loop_workers_collect(Loop *loop);

/* ---- timers ---- */
LoopTimers *loop_timers_new(Loop *loop);
void loop_timers_free(LoopTimers *timers);
/* Until the next is due: 0 if one is, LOOP_FOREVER if there is none. */
int64_t loop_timers_wait_ns(LoopTimers *timers);
bool loop_timers_run(LoopTimers *timers); /* true: one ran */
void loop_timers_alarm_rang(LoopTimers *timers);

/* ---- GLib ---- */
/* Notes which descriptors the context wants polled; the bound on the wait it asks for. */
int64_t loop_glib_prepare(LoopGlib *glib);
bool loop_glib_dispatch(LoopGlib *glib);
void loop_glib_free(LoopGlib *glib);
