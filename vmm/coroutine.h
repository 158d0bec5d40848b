/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Coroutines for I/O paths (block, NBD, migration, jobs): straight code that
 * waits.  A coroutine is pinned to the loop that started it, for life.  Stacks
 * are pooled per thread, with a guard page; sanitizers are told of each switch.
 * No lock is held over a yield (asserted in debug builds).  Never in device code.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/loop.h"

typedef struct Coroutine Coroutine;
typedef void (*CoroutineFn)(void *opaque);

/* Creates it and runs it on the calling thread until its first yield.  Beyond some thousands at a
 * time, it starts when another of the thread has ended. */
void coroutine_start(CoroutineFn fn, void *opaque);
Coroutine *coroutine_self(void); /* NULL outside */
bool coroutine_running(void);
/* Gives the thread back to who entered; returns when coroutine_wake() is called. */
void coroutine_yield(void);
/* Continues it on its own loop's thread: at once when called there outside a coroutine, else posted. */
void coroutine_wake(Coroutine *co);

/* Awaitables. */
int co_io(Loop *loop, LoopIo *io);              /* submit, yield, result */
int co_call(Loop *loop, int (*fn)(void *opaque), void *opaque); /* blocking call on a worker */
void co_sleep_ns(int64_t ns);

/* A FIFO of waiting coroutines, one loop. */
typedef struct CoQueue { Coroutine *first, *last; } CoQueue;
void co_queue_wait(CoQueue *q);
bool co_queue_next(CoQueue *q); /* wakes one; false: none */
void co_queue_all(CoQueue *q);

/* Fair mutex between coroutines, of any loops. */
typedef struct CoMutex { bool locked; CoQueue waiters; bool busy; } CoMutex; /* busy: atomic, guards the others */
void co_mutex_lock(CoMutex *m);
void co_mutex_unlock(CoMutex *m);
