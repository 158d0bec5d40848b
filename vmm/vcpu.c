/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPU threads: the run loop, parking, kicks and calls.
 *
 * A request (park, call, quit) is written under vcpu->mutex, then the vCPU is
 * kicked.  No wakeup is lost: the accelerator promises that a kick makes the present
 * or the next run() return, and the loop looks at the requests after each return,
 * under the mutex.  Nobody polls: a parked or halted vCPU sleeps on vcpu->cond.
 *
 * A vCPU whose run ends badly (triple fault, failure, breakpoint) asks the domain
 * for what follows and parks itself; the main loop unparks it when it is to go on.
 *
 * The thread is a registered reader of epochs; the accelerator goes offline around
 * the guest, this file around its own waits.
 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/accel.h"
#include "vmm/domain-internal.h"
#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/machine.h"
#include "vmm/sandbox.h"
#include "vmm/thread.h"
#include "vmm/timer.h"

typedef struct VcpuCall {
    void (*fn)(Vcpu *vcpu, void *opaque);
    void *opaque;
    bool done;
} VcpuCall;

static __thread Vcpu *current_vcpu;

static const AccelClass *accel_of(const Vcpu *vcpu)
{
    return domain_accel(vcpu->domain)->class;
}

/* Waits for a change; the caller holds the mutex and loops.  A wait holds no reference. */
static void vcpu_wait(Vcpu *vcpu)
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

/* ---- saved state ---- */

static bool state_save_vcpu(void *struct_, GError **error)
{
    return vcpu_fetch(struct_, error);
}

static bool state_loaded_vcpu(void *struct_, GError **error)
{
    Vcpu *vcpu = struct_;

    vcpu->fetched = true;
    vcpu->dirty = false;
    return accel_of(vcpu)->store(vcpu, true, error);
}

static const StateDesc vcpu_state = {
    .name = "vcpu", .version = 1, .save = state_save_vcpu, .loaded = state_loaded_vcpu,
    .fields = (const StateField[]) { STATE_STRUCT(Vcpu, cpu, &x86_cpu_state), STATE_END },
};

/* ---- creation ---- */

Vcpu *vcpu_new(Domain *domain, unsigned index, uint32_t apic_id, GError **error)
{
    const Machine *machine = domain_machine(domain);
    const AccelClass *accel = domain_accel(domain)->class;
    g_autofree X86Cpuid *cpuid = g_new(X86Cpuid, X86_CPUID_MAX);
    g_autofree char *path = g_strdup_printf("/machine/cpu[%u]", index);
    unsigned leaves;
    Vcpu *vcpu = g_new0(Vcpu, 1);

    vcpu->domain = domain;
    vcpu->index = index;
    vcpu->apic_id = apic_id;
    vcpu->model = machine->cpu_model;
    vcpu->node = machine_cpu_node(machine, index);
    cpu_topology_place(&machine->topology, index, &vcpu->socket, &vcpu->die, &vcpu->core, &vcpu->thread);
    pthread_mutex_init(&vcpu->mutex, NULL);
    pthread_cond_init(&vcpu->cond, NULL);
    if (!accel->vcpu_create(domain_accel(domain), vcpu, error)) {
        vcpu_free(vcpu);
        return NULL;
    }
    leaves = cpu_model_cpuid(vcpu->model, &machine->topology, apic_id, cpuid, X86_CPUID_MAX);
    if (!accel->vcpu_set_cpuid(vcpu, cpuid, leaves, error)) {
        vcpu_free(vcpu);
        return NULL;
    }
    domain_add_vcpu(domain, vcpu);
    state_list_add(domain_state(domain), path, &vcpu_state, vcpu, sizeof(*vcpu), NULL);
    return vcpu;
}

static void stop_thread(Vcpu *vcpu)
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

void vcpu_retire(Vcpu *vcpu)
{
    if (vcpu->tid) {
        stop_thread(vcpu);
        vcpu_reset(vcpu);
        vcpu_store(vcpu, NULL);
    }
}

void vcpu_free(Vcpu *vcpu)
{
    if (!vcpu) {
        return;
    }
    if (vcpu->tid) {
        stop_thread(vcpu);
    }
    state_list_remove(domain_state(vcpu->domain), vcpu);
    domain_remove_vcpu(vcpu->domain, vcpu);
    if (vcpu->accel) {
        accel_of(vcpu)->vcpu_destroy(vcpu);
    }
    pthread_cond_destroy(&vcpu->cond);
    pthread_mutex_destroy(&vcpu->mutex);
    g_free(vcpu);
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

/* Without a LAPIC in the kernel: sleeps until vcpu_kick(), a request, or what the CPU itself waits for. */
static void halt(Vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->mutex);
    __atomic_store_n(&vcpu->halted, true, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&vcpu->kicked, __ATOMIC_SEQ_CST) && !vcpu->park_wanted && !vcpu->quit &&
           g_queue_is_empty(&vcpu->work) && vcpu_wait_until(vcpu, vcpu->halt_until)) {
    }
    __atomic_store_n(&vcpu->halted, false, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&vcpu->mutex);
}

static void fail(Vcpu *vcpu, GError *error)
{
    log_error(error);
    domain_request_pause(vcpu->domain, RUN_STATE_INTERNAL_ERROR);
}

/* Takes error. */
static void handle_exit(Vcpu *vcpu, VcpuExit why, GError *error)
{
    Domain *domain = vcpu->domain;

    switch (why) {
    case VCPU_EXIT_KICKED:
        return;
    case VCPU_EXIT_HALTED:
        halt(vcpu);
        return;
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
        park_self(vcpu, true);
        domain_request_pause(domain, RUN_STATE_DEBUG);
        return;
    case VCPU_EXIT_FAILED:
        fail(vcpu, error);
        g_error_free(error);
        break;
    }
    /* Parked before the main loop can have carried it out, or unparked by it right after: then it
     * runs into the same once more. */
    park_self(vcpu, false);
}

static void run(Vcpu *vcpu)
{
    GError *error = NULL;
    VcpuExit why = VCPU_EXIT_FAILED;

    __atomic_store_n(&vcpu->kicked, false, __ATOMIC_SEQ_CST);
    vcpu->halt_until = INT64_MAX;
    if (!vcpu->dirty || accel_of(vcpu)->store(vcpu, vcpu->full, &error)) {
        vcpu->dirty = false;
        vcpu->full = false;
        vcpu->fetched = false;
        why = accel_of(vcpu)->run(vcpu, &error);
        vcpu->told = false;
    }
    handle_exit(vcpu, why, error);
    epoch_quiescent();
}

static void name_thread(const Vcpu *vcpu)
{
    g_autofree char *accel = g_ascii_strup(accel_of(vcpu)->name, -1);
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
    ok = accel_of(vcpu)->vcpu_begin(vcpu, &error) && sandbox_enter(SANDBOX_VCPU, &error);
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
        stop_thread(vcpu);
        g_propagate_error(error, g_steal_pointer(&vcpu->failure));
        return false;
    }
    return true;
}

/* ---- parking ---- */

static void ask_park(Vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->mutex);
    vcpu->park_wanted = true;
    pthread_cond_broadcast(&vcpu->cond);
    pthread_mutex_unlock(&vcpu->mutex);
    vcpu_kick(vcpu);
}

void vcpus_park(Domain *domain)
{
    lock_assert_none_held();
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        ask_park(domain_vcpu(domain, i));
    }
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        Vcpu *vcpu = domain_vcpu(domain, i);

        pthread_mutex_lock(&vcpu->mutex);
        while (vcpu->tid && !vcpu->parked) {
            vcpu_wait(vcpu);
        }
        pthread_mutex_unlock(&vcpu->mutex);
    }
}

bool vcpu_store(Vcpu *vcpu, GError **error)
{
    if (vcpu->dirty && !accel_of(vcpu)->store(vcpu, vcpu->full, error)) {
        return false;
    }
    vcpu->dirty = vcpu->full = vcpu->fetched = false;
    return true;
}

/* What fails here fails again, and is said, on the vCPU's own thread. */
void vcpus_store(Domain *domain)
{
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        if (domain_vcpu(domain, i)->dirty) {
            vcpu_store(domain_vcpu(domain, i), NULL);
        }
    }
}

static void unpark(Vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->mutex);
    if (!vcpu->held && !vcpu->stopped) {
        vcpu->park_wanted = false;
        vcpu->parked = false;
        pthread_cond_broadcast(&vcpu->cond);
    }
    pthread_mutex_unlock(&vcpu->mutex);
}

void vcpus_unpark(Domain *domain)
{
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        unpark(domain_vcpu(domain, i));
    }
}

void vcpu_join_others(Vcpu *vcpu)
{
    if (!vcpu->domain->run.quiet) {
        unpark(vcpu);
    }
}

/* ---- for a debugger ---- */

void vcpu_hold(Vcpu *vcpu, bool held)
{
    pthread_mutex_lock(&vcpu->mutex);
    vcpu->held = held;
    pthread_mutex_unlock(&vcpu->mutex);
}

bool vcpu_take_stop(Vcpu *vcpu, VcpuStop *ret)
{
    bool stopped;

    pthread_mutex_lock(&vcpu->mutex);
    stopped = vcpu->stopped;
    vcpu->stopped = false;
    pthread_mutex_unlock(&vcpu->mutex);
    if (stopped && ret) {
        *ret = vcpu->stop;
        vcpu->told = true;
    }
    return stopped;
}

bool vcpus_parked(Domain *domain)
{
    bool parked = true;

    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        Vcpu *vcpu = domain_vcpu(domain, i);

        pthread_mutex_lock(&vcpu->mutex);
        parked &= vcpu->parked || !vcpu->tid;
        pthread_mutex_unlock(&vcpu->mutex);
    }
    return parked;
}

bool vcpus_freeze(Domain *domain)
{
    bool ran = !vcpus_parked(domain);

    if (ran) {
        vcpus_park(domain);
    }
    return ran;
}

void vcpus_thaw(Domain *domain, bool ran)
{
    if (ran) {
        vcpus_unpark(domain);
    }
}

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

/* ---- architectural state: parked ---- */

bool vcpu_fetch(Vcpu *vcpu, GError **error)
{
    if (!vcpu->fetched && !vcpu->dirty) {
        if (!accel_of(vcpu)->fetch(vcpu, error)) {
            return false;
        }
        vcpu->fetched = true;
    }
    return true;
}

void vcpu_set_dirty(Vcpu *vcpu)
{
    vcpu->dirty = true;
}

void vcpu_reset(Vcpu *vcpu)
{
    x86_cpu_reset(&vcpu->cpu, vcpu->apic_id, vcpu->index == 0, cpu_model_signature(vcpu->model));
    vcpu->fetched = true;
    vcpu->dirty = true;
    vcpu->full = true;
}

/* ---- any thread ---- */

/* No wakeup is lost: run() forgets it before it looks at what was signalled, halt() after. */
void vcpu_wake(Vcpu *vcpu)
{
    __atomic_store_n(&vcpu->kicked, true, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&vcpu->halted, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&vcpu->mutex);
        pthread_cond_broadcast(&vcpu->cond);
        pthread_mutex_unlock(&vcpu->mutex);
    }
}

void vcpu_kick(Vcpu *vcpu)
{
    accel_of(vcpu)->kick(vcpu);
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
