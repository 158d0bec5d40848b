/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files of coroutines; nothing else includes it.
 */
#pragma once

#include "vmm/coroutine.h"
#include "vmm/loop.h"

/* What the sanitizers want to know about a switch. */
typedef struct SwitchNotes {
    void *fake_stack;          /* ASan's, of the coroutine while it is switched out */
    const void *caller_bottom; /* ASan: the stack it was entered from */
    size_t caller_size;
    void *fiber, *caller_fiber; /* TSan's */
} SwitchNotes;

struct Coroutine {
    void *sp;        /* while it is switched out */
    void *caller_sp; /* while it runs */
    Coroutine *caller; /* NULL: entered from the thread's own stack */
    Coroutine *next;   /* in a CoQueue or in the pool */
    CoroutineFn fn;
    void *opaque;
    Loop *loop; /* NULL: the thread has none */
    uint8_t *stack; /* the mapping, guard page first */
    LoopBatch batch; /* to be woken at the end of the round */
    bool finished;
    SwitchNotes notes;
};
