/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event loops: descriptors, timers, posted calls and asynchronous file I/O in one
 * wait.  Two engines behind it: io_uring, and epoll with a small worker pool where
 * io_uring is forbidden (chosen automatically, said once in the log; LODGE_LOOP=
 * epoll|io_uring overrides for tests).
 *
 * A loop belongs to the thread that runs it.  "Loop thread" functions assert that;
 * the only things another thread does to a loop are loop_post(), loop_stop() and
 * timer_mod()/timer_del() under the rule of vmm/timer.h.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct Loop Loop;
typedef enum LoopEngine { LOOP_ENGINE_AUTO, LOOP_ENGINE_IO_URING, LOOP_ENGINE_EPOLL } LoopEngine;

Loop *loop_new(const char *name, LoopEngine engine, GError **error);
void loop_free(Loop *loop); /* not running; pending posts are run, I/O must be done */
LoopEngine loop_engine(const Loop *loop);
/* The loop of the calling thread, or NULL. */
Loop *loop_current(void);

/* The first run binds the loop to the calling thread, for life, and registers that with epochs. */
void loop_run(Loop *loop);             /* until loop_stop() */
bool loop_run_once(Loop *loop, bool wait); /* one round; true if anything ran.  Tests and start-up */
void loop_stop(Loop *loop);            /* any thread */
/* A thread of its own, named after the loop, that runs it. */
bool loop_thread_start(Loop *loop, GError **error);
void loop_thread_join(Loop *loop); /* stops and joins; it does not start again */
int loop_thread_id(Loop *loop);    /* Linux tid; 0: not running */

/* ---- any thread ---- */
typedef void (*LoopFn)(void *opaque);
void loop_post(Loop *loop, LoopFn fn, void *opaque); /* in order, on the loop's thread */
/* Posts and waits for it; runs at once if the caller is the loop.  The caller goes epoch-offline. */
void loop_call(Loop *loop, LoopFn fn, void *opaque);

/* ---- loop thread ---- */
typedef struct LoopFd LoopFd;
typedef enum LoopEvents { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 } LoopEvents; /* HANGUP: reported only */
typedef void (*LoopFdFn)(int fd, LoopEvents events, void *opaque);
/* Level-triggered.  May be called before the loop runs, from the thread that set it up.  An error
 * or the peer's end shows as what was asked for; remove it before closing fd. */
LoopFd *loop_add_fd(Loop *loop, int fd, LoopEvents events, LoopFdFn fn, void *opaque);
void loop_fd_set_events(LoopFd *lfd, LoopEvents events); /* 0: off */
/* Removes it; fn is not called any more.  Safe inside fn. */
void loop_remove_fd(LoopFd *lfd);

/* An eventfd owned by the loop's user: a doorbell.  The loop reads it, then calls fn.  poll, if
 * given, is asked during adaptive polling whether there is work (true: fn is called). */
typedef struct LoopEvent LoopEvent;
LoopEvent *loop_add_event(Loop *loop, int eventfd, LoopFn fn, bool (*poll)(void *opaque), void *opaque);
void loop_remove_event(LoopEvent *event);
/* Adaptive polling: spins up to max_ns before it sleeps; 0: never.  A loop to which this is not said
 * spins only while I/O is under way, as long as that is cheaper than to sleep. */
void loop_set_poll(Loop *loop, uint64_t max_ns, uint64_t grow, uint64_t shrink);
void loop_get_poll(Loop *loop, uint64_t *max_ns, uint64_t *grow, uint64_t *shrink);

/* Calls fn once before the loop would next sleep: batches submissions and used-ring kicks. */
typedef struct LoopBatch { LoopFn fn; void *opaque; bool queued; struct LoopBatch *next; } LoopBatch;
void loop_batch(Loop *loop, LoopBatch *batch);
void loop_batch_cancel(Loop *loop, LoopBatch *batch); /* fine if it is not queued, or deferred */
/* Whoever waits for requests to end runs rounds of the loop from within one (loop_run_once()), and what it is about
 * must stay as it is meanwhile.  So what reshapes the domain (a reset, a card that goes, a command) begins with this.
 * True: it is within such a wait, and the batch is called when that is over. */
bool loop_defer(Loop *loop, LoopBatch *batch);
/* Rings an eventfd (non-blocking) with what the loop submits next: by a system call that it makes anyway.
 * Called by a batch, the bell has rung before anything else runs on the loop. */
void loop_ring(Loop *loop, int eventfd);

/* ---- file I/O ---- */
typedef enum LoopIoOp {
    LOOP_IO_READV,
    LOOP_IO_WRITEV,
    LOOP_IO_FDATASYNC,
    LOOP_IO_FALLOCATE, /* mode in flags */
    LOOP_IO_CALL,      /* call(opaque) on a worker thread: blocking system calls without an opcode */
} LoopIoOp;

typedef struct LoopIo LoopIo;
struct LoopIo {
    LoopIoOp op;
    int fd;
    int flags;               /* RWF_* or FALLOC_FL_* */
    const struct iovec *iov; /* borrowed until done */
    int niov;
    uint64_t offset, length; /* length: FALLOCATE */
    int (*call)(void *opaque);
    bool patient;            /* loop_io_waits(): it may wait for ever, for something from outside: no reason to spin.
                              * loop_cancel() ends it before the loop ends */
    void (*done)(LoopIo *io, int result); /* bytes or 0, or negative errno; on the loop's thread */
    void *opaque;
    /* engine's */
    Loop *loop;
    int result;
    bool under_way;
    LoopIo *next;
};
/* The caller owns *io; it stays untouched until done.  Submissions of one round go out together. */
void loop_submit(Loop *loop, LoopIo *io);
/* Whether this loop's READV of a descriptor that has nothing yet waits in the kernel until it has. */
bool loop_io_waits(const Loop *loop);
/* Ends a patient request: done is not called any more.  Fine if it is not under way. */
void loop_cancel(Loop *loop, LoopIo *io);

/* Binds the loop to this thread; from then on each of its rounds is an iteration of the context
 * too, so that libraries may use GSource: loop_run() is the main loop.  NULL: the default context. */
void loop_attach_glib(Loop *loop, GMainContext *context);
