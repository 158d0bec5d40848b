/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loops on threads of their own, and calls that wait for another loop.
 */
#include "vmm/loop.h"

#include <stdlib.h>

#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/locks.h"
#include "vmm/log.h"
#include "vmm/loop-internal.h"
#include "vmm/thread.h"

typedef struct LoopCall {
    LoopFn fn;
    void *opaque;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
} LoopCall;

static void run_call(void *opaque)
{
    LoopCall *call = opaque;

    call->fn(call->opaque);
    pthread_mutex_lock(&call->mutex);
    call->done = true;
    pthread_cond_signal(&call->cond);
    pthread_mutex_unlock(&call->mutex);
}

void loop_call(Loop *loop, LoopFn fn, void *opaque)
{
    LoopCall call = {
        .fn = fn, .opaque = opaque, .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER
    };

    lock_assert_none_held();
    if (loop_current() == loop) {
        fn(opaque);
        return;
    }
    epoch_offline();
    loop_post(loop, run_call, &call);
    pthread_mutex_lock(&call.mutex);
    while (!call.done) {
        pthread_cond_wait(&call.cond, &call.mutex);
    }
    pthread_mutex_unlock(&call.mutex);
    epoch_online();
}

#define THREAD_NAME_MAX 15 /* the kernel's limit */

void loop_enter_sandbox(SandboxRole role)
{
    g_autoptr(GError) error = NULL;

    if (!sandbox_enter(role, &error)) {
        log_error(error);
        exit(EXIT_FAILURE); /* what is not confined must not run */
    }
}

static void *thread_main(void *opaque)
{
    Loop *loop = opaque;
    g_autofree char *name = g_strndup(loop->name, THREAD_NAME_MAX);

    pthread_setname_np(pthread_self(), name);
    loop_enter_sandbox(SANDBOX_IO);
    loop_run(loop);
    loop_unbind(loop);
    return NULL;
}

bool loop_thread_start(Loop *loop, GError **error)
{
    int err;

    g_assert(!loop->has_runner && !loop->bound);
    err = thread_create(&loop->runner, NULL, thread_main, loop);
    if (err) {
        return error_set_errno(error, err, "cannot start the thread of loop '%s'", loop->name);
    }
    loop->has_runner = true;
    return true;
}

void loop_thread_join(Loop *loop)
{
    if (loop->has_runner) {
        loop_stop(loop);
        epoch_offline();
        pthread_join(loop->runner, NULL);
        epoch_online();
        loop->has_runner = false;
    }
}
