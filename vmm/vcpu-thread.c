/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPU threads: the run loop, kicks and calls.
 *
 * A request (park, call, quit) is written under vcpu->mutex, then the vCPU is
 * kicked.  No wakeup is lost: the accelerator promises that a kick makes the present
 * or the next run() return, and the loop looks at the requests after each return,
 * under the mutex.  Nobody polls: a parked vCPU sleeps on vcpu->cond, a halted one, which wakes often, on
 * vcpu->kicked alone.
 *
 * A vCPU whose run ends badly (triple fault, failure, breakpoint) asks the domain
 * for what follows and parks itself; the main loop unparks it when it is to go on.
 *
 * The thread is a registered reader of epochs; the accelerator goes offline around
 * the guest, this file around its own waits.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/domain-internal.h"
#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/sandbox.h"
#include "vmm/thread.h"
#include "vmm/timer.h"
#include "vmm/vcpu-internal.h"

typedef struct VcpuCall {
    void (*fn)(Vcpu *vcpu, void *opaque);
    void *opaque;
    bool done;
} VcpuCall;

static __thread Vcpu *current_vcpu;

/* Waits for a change; the caller holds the mutex and loops.  A wait holds no reference. */
void vcpu_wait(Vcpu *vcpu)
{
    epoch_offline();
    pthread_cond_wait(&vcpu->cond, &vcpu->mutex);
    epoch_online();
}

/* The same until a time of clock_realtime, or INT64_MAX; false: it has come. */
static bool vcpu_wait_until(Vcpu *vcpu, int64_t until)
{
    struct timespec ts = { .tv_sec = until / NS_PER_SEC, .tv_nsec = until % NS_PER_SEC };
    int err = 0;

    if (until == INT64_MAX) {
        vcpu_wait(vcpu);
    } else if (until > 0) {
        epoch_offline();
        err = pthread_cond_clockwait(&vcpu->cond, &vcpu->mutex, CLOCK_MONOTONIC, &ts);
        epoch_online();
    }
    return until > 0 && err != ETIMEDOUT;
}

void vcpu_stop_thread(Vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->mutex);
    vcpu->quit = true;
    pthread_cond_broadcast(&vcpu->cond);
    pthread_mutex_unlock(&vcpu->mutex);
    vcpu_kick(vcpu);
    epoch_offline();
    pthread_join(vcpu->pthread, NULL);
    epoch_online();
    vcpu->tid = 0;
}

/* ---- the thread ---- */

static void call_one(Vcpu *vcpu)
{
    VcpuCall *call = g_queue_pop_head(&vcpu->work);

    pthread_mutex_unlock(&vcpu->mutex);
    call->fn(vcpu, call->opaque);
    pthread_mutex_lock(&vcpu->mutex);
    call->done = true;
    pthread_cond_broadcast(&vcpu->cond);
}

static void stay_out(Vcpu *vcpu)
{
    int64_t until = vcpu->out_until;

    if (!vcpu_wait_until(vcpu, until) && vcpu->out_until == until) {
        vcpu->out_until = 0;
    }
}

/* Does what was asked for; returns when the vCPU is to run, or false: to end. */
static bool serve_requests(Vcpu *vcpu)
{
    bool run;

    pthread_mutex_lock(&vcpu->mutex);
    while (!vcpu->quit && (vcpu->park_wanted || vcpu->out_until || !g_queue_is_empty(&vcpu->work))) {
        if (!g_queue_is_empty(&vcpu->work)) {
            call_one(vcpu);
            continue;
        }
        if (!vcpu->park_wanted) {
            stay_out(vcpu);
            continue;
        }
        if (!vcpu->parked) {
            vcpu->parked = true;
            pthread_cond_broadcast(&vcpu->cond);
        }
        vcpu_wait(vcpu);
    }
    run = !vcpu->quit;
    if (vcpu->parked == run) {
        vcpu->parked = !run; /* who is gone is out of the guest for good */
        pthread_cond_broadcast(&vcpu->cond);
    }
    pthread_mutex_unlock(&vcpu->mutex);
    return run;
}

static void park_self(Vcpu *vcpu, bool stopped)
{
    pthread_mutex_lock(&vcpu->mutex);
    vcpu->park_wanted = true;
    vcpu->stopped |= stopped;
    pthread_mutex_unlock(&vcpu->mutex);
}

/* Without a LAPIC in the kernel: sleeps until vcpu_kick(), which follows every request, or what the CPU itself waits
 * for. */
static void halt(Vcpu *vcpu)
{
    int64_t until = vcpu->halt_until;

    epoch_offline();
    __atomic_store_n(&vcpu->halted, true, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&vcpu->kicked, __ATOMIC_SEQ_CST) &&
           (until == INT64_MAX || until > clock_ns(clock_realtime))) {
        thread_wait_while(&vcpu->kicked, 0, until);
    }
    __atomic_store_n(&vcpu->halted, false, __ATOMIC_SEQ_CST);
    epoch_online();
}

static void fail(Vcpu *vcpu, GError *error)
{
    log_error(error);
    domain_request_pause(vcpu->domain, RUN_STATE_INTERNAL_ERROR);
}

/* What ended it badly.  Parked before it asks: the main loop may have done what was asked for, and unparked it, before
 * this returns.  Unparked too early, by what another asked for, it runs into the same once more.  Takes error. */
static void end_badly(Vcpu *vcpu, VcpuExit why, GError *error)
{
    Domain *domain = vcpu->domain;

    park_self(vcpu, why == VCPU_EXIT_DEBUG);
    switch (why) {
    case VCPU_EXIT_RESET:
        domain_request_reset(domain, REASON_GUEST_RESET);
        break;
    case VCPU_EXIT_SHUTDOWN:
        domain_request_shutdown(domain, REASON_GUEST_SHUTDOWN);
        break;
    case VCPU_EXIT_CRASH:
        domain_request_panic(domain, PANIC_PANICKED);
        break;
    case VCPU_EXIT_DEBUG:
        domain_request_debug(domain);
        break;
    default:
        fail(vcpu, error);
        g_error_free(error);
    }
}

static void run(Vcpu *vcpu)
{
    GError *error = NULL;
    VcpuExit why = VCPU_EXIT_FAILED;

    __atomic_store_n(&vcpu->kicked, 0, __ATOMIC_SEQ_CST);
    vcpu->halt_until = INT64_MAX;
    if (!vcpu->dirty || vcpu_accel(vcpu)->store(vcpu, vcpu->full, &error)) {
        vcpu->dirty = false;
        vcpu->full = false;
        vcpu->fetched = false;
        why = vcpu_accel(vcpu)->run(vcpu, &error);
        vcpu->told = false;
    }
    if (why == VCPU_EXIT_HALTED) {
        halt(vcpu);
    } else if (why != VCPU_EXIT_KICKED) {
        end_badly(vcpu, why, error);
    }
    epoch_quiescent();
}

static void name_thread(const Vcpu *vcpu)
{
    g_autofree char *accel = g_ascii_strup(vcpu_accel(vcpu)->name, -1);
    char name[16];

    g_snprintf(name, sizeof(name), "CPU %u/%s", vcpu->index, accel);
    pthread_setname_np(pthread_self(), name);
}

static void *vcpu_thread(void *opaque)
{
    Vcpu *vcpu = opaque;
    GError *error = NULL;
    bool ok;

    current_vcpu = vcpu;
    name_thread(vcpu);
    epoch_thread_begin();
    ok = vcpu_accel(vcpu)->vcpu_begin(vcpu, &error) && sandbox_enter(SANDBOX_VCPU, &error);
    pthread_mutex_lock(&vcpu->mutex);
    vcpu->tid = (int)syscall(SYS_gettid);
    vcpu->failure = error;
    vcpu->quit |= !ok;
    pthread_cond_broadcast(&vcpu->cond);
    pthread_mutex_unlock(&vcpu->mutex);
    while (serve_requests(vcpu)) {
        run(vcpu);
    }
    epoch_thread_end();
    return NULL;
}

bool vcpu_start(Vcpu *vcpu, GError **error)
{
    int err;

    vcpu->park_wanted = true;
    err = thread_create(&vcpu->pthread, NULL, vcpu_thread, vcpu);
    if (err) {
        return error_set_errno(error, err, "cannot create the thread of vCPU %u", vcpu->index);
    }
    pthread_mutex_lock(&vcpu->mutex);
    while (!vcpu->tid || !vcpu->parked) {
        vcpu_wait(vcpu);
    }
    pthread_mutex_unlock(&vcpu->mutex);
    if (vcpu->failure) {
        vcpu_stop_thread(vcpu);
        g_propagate_error(error, g_steal_pointer(&vcpu->failure));
        return false;
    }
    return true;
}

/* ---- from other threads ---- */

void vcpu_call(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque)
{
    VcpuCall call = { fn, opaque, false };

    if (vcpu == current_vcpu || !vcpu->tid) {
        fn(vcpu, opaque);
        return;
    }
    lock_assert_none_held();
    pthread_mutex_lock(&vcpu->mutex);
    g_queue_push_tail(&vcpu->work, &call);
    pthread_cond_broadcast(&vcpu->cond);
    pthread_mutex_unlock(&vcpu->mutex);
    vcpu_kick(vcpu);
    pthread_mutex_lock(&vcpu->mutex);
    while (!call.done) {
        vcpu_wait(vcpu);
    }
    pthread_mutex_unlock(&vcpu->mutex);
}

/* No wakeup is lost: run() forgets it before it looks at what was signalled, halt() after. */
void vcpu_wake(Vcpu *vcpu)
{
    __atomic_store_n(&vcpu->kicked, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&vcpu->halted, __ATOMIC_SEQ_CST)) {
        thread_wake_all(&vcpu->kicked);
    }
}

void vcpu_kick(Vcpu *vcpu)
{
    vcpu_accel(vcpu)->kick(vcpu);
    vcpu_wake(vcpu);
}

void vcpu_stay_out(Vcpu *vcpu, int64_t until)
{
    pthread_mutex_lock(&vcpu->mutex);
    vcpu->out_until = until;
    pthread_cond_broadcast(&vcpu->cond);
    pthread_mutex_unlock(&vcpu->mutex);
    if (until) {
        vcpu_kick(vcpu);
    }
}

Vcpu *vcpu_current(void)
{
    return current_vcpu;
}
