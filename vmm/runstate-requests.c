/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests: what a guest, a signal or a client asks of the domain, and what is done about it as -action says.
 *
 * They come from any thread: a bit and its argument are stored, and the first bit posts run_handle_requests() to the
 * main loop.  A vCPU thread never waits for what it asked for.
 */
#include "vmm/domain-internal.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/machine.h"
#include "vmm/runstate-commands.h"
#include "vmm/runstate-internal.h"

/* ---- carrying out requests: main thread ---- */

/* The user closes it, whatever -no-shutdown says. */
static bool is_final(RequestReason reason)
{
    return reason == REASON_HOST_QMP_QUIT || reason == REASON_HOST_SIGNAL || reason == REASON_HOST_UI;
}

static void shutdown(Domain *domain, RequestReason reason)
{
    run_notify(domain, RUN_EVENT_SHUTDOWN, reason);
    if (domain->actions.shutdown == SHUTDOWN_POWEROFF || is_final(reason)) {
        domain_quit(domain, reason == REASON_GUEST_PANIC && domain->actions.panic == PANIC_EXIT_FAILURE);
        return;
    }
    if (!domain_stop(domain, RUN_STATE_SHUTDOWN)) {
        run_go_quiet(domain);
        run_set_state_to_be(domain, RUN_STATE_SHUTDOWN);
    }
}

static void reset(Domain *domain, RequestReason reason)
{
    RunState state = run_state_to_be(domain);
    bool goes_on = state == RUN_STATE_RUNNING || state == RUN_STATE_SUSPENDED;

    if (state == RUN_STATE_INMIGRATE) {
        return; /* it is reset already, and what comes is not to be overwritten */
    }
    if (domain->actions.reboot == REBOOT_SHUTDOWN && reason != REASON_SUBSYSTEM_RESET) {
        shutdown(domain, reason);
        return;
    }
    run_go_quiet(domain);
    domain->run.time.restored = false; /* there is no time that it remembers */
    if (domain->machine) { /* tests have domains without one */
        machine_reset(domain->machine);
    }
    run_notify(domain, RUN_EVENT_RESET, reason);
    run_set_state_to_be(domain, goes_on ? RUN_STATE_RUNNING : RUN_STATE_PRELAUNCH);
    if (domain_is_running(domain)) {
        run_go_on(domain);
    }
}

static void fall_asleep(Domain *domain)
{
    run_set_state_to_be(domain, RUN_STATE_SUSPENDED);
    if (domain_run_state(domain) == RUN_STATE_SUSPENDED) {
        run_start_time(domain);
    }
    run_notify(domain, RUN_EVENT_SUSPEND, REASON_NONE);
}

static void suspend(Domain *domain)
{
    if (domain_is_to_run(domain)) {
        run_go_quiet(domain);
        fall_asleep(domain);
    }
}

bool run_fell_asleep(Domain *domain)
{
    unsigned asked = __atomic_fetch_and(&domain->run.requests, ~(unsigned)REQUEST_SUSPEND, __ATOMIC_ACQ_REL);

    asked |= domain->run.kept;
    domain->run.kept &= ~(unsigned)REQUEST_SUSPEND;
    if (asked & REQUEST_SUSPEND) {
        fall_asleep(domain);
    }
    return asked & REQUEST_SUSPEND;
}

/* ACPI S3.  A guest that left no way back into it starts anew, as it does with firmware. */
static void wakeup(Domain *domain)
{
    g_autoptr(GError) error = NULL;
    bool resumes;

    if (domain_run_state(domain) != RUN_STATE_SUSPENDED) {
        return;
    }
    run_stop_time(domain);
    resumes = machine_wakeup(domain->machine, &error);
    run_set_state(domain, RUN_STATE_RUNNING);
    run_notify(domain, RUN_EVENT_WAKEUP, REASON_NONE);
    if (resumes) {
        run_go_on(domain);
    } else {
        log_error(error);
        reset(domain, REASON_GUEST_RESET);
    }
}

bool domain_is_waking(const Domain *domain)
{
    return domain->run.waking;
}

static void panic(Domain *domain, PanicKind kind)
{
    run_event_emit_panic(domain, kind);
    run_notify(domain, RUN_EVENT_PANIC, REASON_GUEST_PANIC);
    if (kind == PANIC_CRASHLOADED || domain->actions.panic == PANIC_NONE) {
        return; /* the guest takes care of itself */
    }
    log_info("the guest panicked");
    domain_stop(domain, RUN_STATE_GUEST_PANICKED);
    if (!actions_pause_panic(&domain->actions)) {
        shutdown(domain, REASON_GUEST_PANIC);
    }
}

bool domain_inject_nmi(Domain *domain, GError **error)
{
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        if (!domain->accel->class->nmi(domain_vcpu(domain, i), error)) {
            return false;
        }
    }
    return true;
}

static void watchdog(Domain *domain)
{
    g_autoptr(GError) error = NULL;

    run_event_emit_watchdog(domain);
    switch (domain->actions.watchdog) {
    case WATCHDOG_RESET:
        reset(domain, REASON_GUEST_RESET);
        break;
    case WATCHDOG_SHUTDOWN:
        run_notify(domain, RUN_EVENT_POWERDOWN, REASON_NONE);
        break;
    case WATCHDOG_POWEROFF:
        domain_quit(domain, 0);
        break;
    case WATCHDOG_PAUSE:
        domain_stop(domain, RUN_STATE_WATCHDOG);
        break;
    case WATCHDOG_DEBUG:
        log_info("the watchdog fired");
        break;
    case WATCHDOG_INJECT_NMI:
        if (!domain_inject_nmi(domain, &error)) {
            log_error(error);
        }
        break;
    }
}

static unsigned argument(const unsigned *field)
{
    return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}

/* A vCPU that asked has parked itself; if the domain still runs, it goes on. */
static void wake_askers(Domain *domain)
{
    if (domain_is_running(domain) && !domain->run.quit) {
        vcpus_unpark(domain);
    }
}

/* Not for a stop that a debugger has been told of before, or had taken out when it went: nobody would let the domain go
 * on. */
static void stop_to_debug(Domain *domain)
{
    if (vcpus_any_stopped(domain)) {
        domain_stop(domain, RUN_STATE_DEBUG);
    }
}

/* Keeps those that have to wait, and returns the others: what would change the memory or the state of a domain that is
 * frozen, or end it, if it is not the user who does. */
static unsigned keep(Domain *domain, unsigned requests)
{
    RunControl *run = &domain->run;
    unsigned now = REQUEST_POWERDOWN | REQUEST_PAUSE | REQUEST_DEBUG;

    if (!run->frozen) {
        return requests;
    }
    if (is_final(argument(&run->shutdown_reason))) {
        now |= REQUEST_SHUTDOWN;
    }
    run->kept |= requests & ~now;
    return requests & now;
}

static void handle(Domain *domain, unsigned requests)
{
    RunControl *run = &domain->run;

    if (run->quit) {
        return; /* too late: what the requests are about may be gone */
    }
    requests = keep(domain, requests);
    if (requests & REQUEST_PANIC) {
        panic(domain, argument(&run->panic_kind));
    }
    if (requests & REQUEST_SUSPEND) {
        suspend(domain);
    }
    if (requests & REQUEST_WATCHDOG) {
        watchdog(domain);
    }
    if (requests & REQUEST_PAUSE) {
        domain_stop(domain, argument(&run->pause_state));
    }
    if (requests & REQUEST_DEBUG) {
        stop_to_debug(domain);
    }
    if (requests & REQUEST_SHUTDOWN) {
        shutdown(domain, argument(&run->shutdown_reason));
    } else if (requests & REQUEST_RESET) {
        reset(domain, argument(&run->reset_reason));
    }
    if (requests & REQUEST_WAKEUP) {
        wakeup(domain);
    }
    if (requests & REQUEST_POWERDOWN) {
        run_notify(domain, RUN_EVENT_POWERDOWN, REASON_NONE);
    }
    wake_askers(domain);
}

void run_handle_requests(void *opaque)
{
    Domain *domain = opaque;

    if (!loop_defer(domain->loop, &domain->run.later)) {
        handle(domain, __atomic_exchange_n(&domain->run.requests, 0, __ATOMIC_ACQ_REL));
    }
}

void run_handle_kept(Domain *domain)
{
    unsigned kept = domain->run.kept;

    domain->run.kept = 0;
    handle(domain, kept | __atomic_exchange_n(&domain->run.requests, 0, __ATOMIC_ACQ_REL));
}

void domain_carry_out_requests(Domain *domain)
{
    if (__atomic_load_n(&domain->run.requests, __ATOMIC_ACQUIRE)) {
        run_handle_requests(domain);
    }
}

/* ---- requests: any thread ---- */

static void request(Domain *domain, unsigned bit)
{
    if (!__atomic_fetch_or(&domain->run.requests, bit, __ATOMIC_ACQ_REL)) {
        loop_post(domain->loop, run_handle_requests, domain);
    }
}

static void request_with(Domain *domain, unsigned bit, unsigned *field, unsigned value)
{
    __atomic_store_n(field, value, __ATOMIC_RELEASE);
    request(domain, bit);
}

void domain_request_reset(Domain *domain, RequestReason reason)
{
    request_with(domain, REQUEST_RESET, &domain->run.reset_reason, reason);
}

/* A final one is not overwritten by what the guest asks for before it is carried out. */
void domain_request_shutdown(Domain *domain, RequestReason reason)
{
    unsigned *field = &domain->run.shutdown_reason, before = argument(field);

    while (!(is_final(before) && !is_final(reason)) &&
           !__atomic_compare_exchange_n(field, &before, reason, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) {
    }
    request(domain, REQUEST_SHUTDOWN);
}

void domain_request_suspend(Domain *domain)
{
    request(domain, REQUEST_SUSPEND);
}

void domain_request_wakeup(Domain *domain)
{
    request(domain, REQUEST_WAKEUP);
}

void domain_request_powerdown(Domain *domain)
{
    request(domain, REQUEST_POWERDOWN);
}

void domain_request_panic(Domain *domain, PanicKind kind)
{
    request_with(domain, REQUEST_PANIC, &domain->run.panic_kind, kind);
}

void domain_request_pause(Domain *domain, RunState why)
{
    request_with(domain, REQUEST_PAUSE, &domain->run.pause_state, why);
}

void domain_request_debug(Domain *domain)
{
    request(domain, REQUEST_DEBUG);
}

void domain_request_watchdog(Domain *domain)
{
    request(domain, REQUEST_WATCHDOG);
}
