/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run states: the domain is either running or quiet, and its state says why.
 *
 *                 domain_cont()                     go_quiet(), domain_stop(why)
 *     prelaunch ----------------> running <--------------------------> paused, debug,
 *                                 |  |  ^       domain_cont()          io-error, watchdog,
 *             suspend(), on request  |  | wakeup(), on request         guest-panicked
 *                                 v  |  |
 *                            suspended -+
 *                                    |
 *          shutdown(), a vCPU failed v
 *                            shutdown, internal-error --reset()--> prelaunch
 *
 *     any --reset()--> running if it was running or suspended, else prelaunch
 *
 *     running, paused ... --migrate--> finish-migrate --> postmigrate --domain_cont()--> running (vmm/migrate.h)
 *
 * Quiet means, in the order it is made: every vCPU is parked, guest time stands
 * still, the queues of every device are paused (last realized first).  go_on() is
 * the exact reverse.  Save, restore, reset and unplug rely on it.  A suspended domain
 * is quiet, but its time goes on, for the alarm that may wake it; not while it moves.
 *
 * Requests come from any thread: a bit and its argument are stored, and the first
 * bit posts handle_requests() to the main loop.  A vCPU thread never waits for what
 * it asked for.
 */
#include "vmm/runstate.h"

#include "vmm/domain-internal.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/machine.h"
#include "vmm/migrate-internal.h"
#include "vmm/runstate-commands.h"

typedef struct Observer {
    RunEventFn fn;
    void *opaque;
} Observer;

static const char *const run_state_names[] = {
    "prelaunch", "inmigrate", "running", "paused", "debug", "internal-error", "io-error", "shutdown", "suspended",
    "watchdog", "guest-panicked", "save-vm", "restore-vm", "finish-migrate", "postmigrate", NULL,
};
G_STATIC_ASSERT(G_N_ELEMENTS(run_state_names) == RUN_STATES + 1);
const FieldEnum run_state_enum = { "RunState", run_state_names };

/* ---- -action ---- */

static const char *const reboot_names[] = { "reset", "shutdown", NULL };
static const char *const shutdown_names[] = { "poweroff", "pause", NULL };
static const char *const panic_names[] = { "pause", "shutdown", "exit-failure", "none", NULL };
static const char *const watchdog_names[] = {
    "reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi", NULL
};
const FieldEnum reboot_action_enum = { "RebootAction", reboot_names };
const FieldEnum shutdown_action_enum = { "ShutdownAction", shutdown_names };
const FieldEnum panic_action_enum = { "PanicAction", panic_names };
const FieldEnum watchdog_action_enum = { "WatchdogAction", watchdog_names };

static const Field action_fields[] = {
    F_ENUM("reboot", Actions, reboot, &reboot_action_enum, REBOOT_RESET, .help = "When the guest reboots"),
    F_ENUM("shutdown", Actions, shutdown, &shutdown_action_enum, SHUTDOWN_POWEROFF, .help = "When the guest powers off"),
    F_ENUM("panic", Actions, panic, &panic_action_enum, PANIC_SHUTDOWN, .help = "When the guest panics"),
    F_ENUM("watchdog", Actions, watchdog, &watchdog_action_enum, WATCHDOG_RESET, .help = "When a watchdog fires"),
    FIELD_END
};
const FieldStruct action_options = { .name = "Actions", .size = sizeof(Actions), .fields = action_fields };

bool actions_pause_panic(const Actions *actions)
{
    return actions->panic == PANIC_PAUSE ||
           (actions->panic == PANIC_SHUTDOWN && actions->shutdown == SHUTDOWN_PAUSE);
}

/* ---- states and observers ---- */

RunState domain_run_state(const Domain *domain)
{
    return __atomic_load_n(&domain->run.state, __ATOMIC_ACQUIRE);
}

bool domain_is_running(const Domain *domain)
{
    return domain_run_state(domain) == RUN_STATE_RUNNING;
}

static void set_state(Domain *domain, RunState state)
{
    __atomic_store_n(&domain->run.state, state, __ATOMIC_RELEASE);
}

void domain_observe(Domain *domain, RunEventFn fn, void *opaque)
{
    Observer o = { fn, opaque };

    g_array_append_val(domain->run.observers, o);
}

void domain_unobserve(Domain *domain, RunEventFn fn, void *opaque)
{
    GArray *observers = domain->run.observers;

    for (unsigned i = 0; i < observers->len; i++) {
        const Observer *o = &g_array_index(observers, Observer, i);

        if (o->fn == fn && o->opaque == opaque) {
            g_array_remove_index(observers, i);
            return;
        }
    }
}

/* An observer may come or go while they are told. */
static void notify(Domain *domain, RunEvent event, RequestReason reason)
{
    g_autoptr(GArray) now = g_array_copy(domain->run.observers);

    run_event_emit(domain, event, reason);
    for (unsigned i = 0; i < now->len; i++) {
        const Observer *o = &g_array_index(now, Observer, i);

        o->fn(domain, event, reason, o->opaque);
    }
}

/* ---- guest time ---- */

static void stop_time(Domain *domain)
{
    struct GuestTime *time = &domain->run.time;
    g_autoptr(GError) error = NULL;

    if (!clock_running(domain->clock)) {
        return;
    }
    clock_stop(domain->clock);
    time->stopped_at_ns = g_get_real_time() * 1000;
    time->virtual_ns = clock_ns(domain->clock);
    time->has_kvmclock = domain->accel && domain->accel->class->clock_get &&
                         domain->accel->class->clock_get(domain->accel, &time->kvmclock_ns, &error);
    if (error) {
        log_error(error);
    }
}

static void start_time(Domain *domain)
{
    struct GuestTime *time = &domain->run.time;
    g_autoptr(GError) error = NULL;

    migrate_catch_up_rest(domain);
    if (time->has_kvmclock && domain->accel && domain->accel->class->clock_set &&
        !domain->accel->class->clock_set(domain->accel, time->kvmclock_ns, &error)) {
        log_error(error);
    }
    clock_start(domain->clock);
}

/* Also right for a domain that never ran. */
static bool time_save(void *struct_, GError **error)
{
    struct GuestTime *time = struct_;

    time->virtual_ns = clock_ns(time->domain->clock);
    return true;
}

static bool time_loaded(void *struct_, GError **error)
{
    struct GuestTime *time = struct_;

    clock_set(time->domain->clock, time->virtual_ns);
    time->restored = true;
    return true;
}

static const StateDesc time_state = {
    .name = "clock", .version = 2, .save = time_save, .loaded = time_loaded,
    .fields = (const StateField[]) {
        STATE_ROW(struct GuestTime, virtual_ns, STATE_TYPE_I64, .max = INT64_MAX),
        STATE_U64(struct GuestTime, kvmclock_ns), STATE_BOOL(struct GuestTime, has_kvmclock),
        STATE_ROW(struct GuestTime, stopped_at_ns, STATE_TYPE_I64, .max = INT64_MAX, .since = 2), STATE_END
    },
};

/* ---- quiet and running ---- */

static void go_quiet(Domain *domain)
{
    if (domain->run.quiet) {
        stop_time(domain); /* of a domain that sleeps */
        return;
    }
    vcpus_park(domain);
    stop_time(domain);
    for (unsigned i = domain->devices->len; i > 0; i--) {
        device_pause(g_ptr_array_index(domain->devices, i - 1));
    }
    domain->run.quiet = true;
}

static void go_on(Domain *domain)
{
    if (!domain->run.quiet) {
        return;
    }
    domain->run.quiet = false;
    migrate_catch_up(domain);
    for (unsigned i = 0; i < domain->devices->len; i++) {
        device_resume(g_ptr_array_index(domain->devices, i));
    }
    vcpus_store(domain);
    start_time(domain);
    vcpus_unpark(domain);
}

bool domain_cont(Domain *domain, GError **error)
{
    RunState state = domain_run_state(domain);

    if (state == RUN_STATE_RUNNING || state == RUN_STATE_SUSPENDED || domain->run.quit) {
        return true;
    }
    if (state == RUN_STATE_SHUTDOWN || state == RUN_STATE_INTERNAL_ERROR) {
        error_set(error, "The domain cannot go on in state '%s'", run_state_names[state]);
        return error_hint(error, "Reset it first.");
    }
    if (state == RUN_STATE_INMIGRATE && migrate_incoming_set_run(domain, true)) {
        return true;
    }
    if (state == RUN_STATE_FINISH_MIGRATE) {
        error_set(error, "The domain cannot go on while the rest of its state goes out");
        return error_hint(error, "Cancel the migration first.");
    }
    if (domain->storage_inactive && !migrate_storage_activate(domain->migration, error)) {
        return false;
    }
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        Vcpu *vcpu = domain_vcpu(domain, i);

        if (!vcpu->held) {
            vcpu_take_stop(vcpu, NULL); /* whatever stopped it, it goes on */
        }
    }
    set_state(domain, RUN_STATE_RUNNING);
    notify(domain, RUN_EVENT_RESUME, REASON_NONE);
    go_on(domain);
    return true;
}

bool domain_stop(Domain *domain, RunState why)
{
    if (!domain_is_running(domain)) {
        return false;
    }
    go_quiet(domain);
    set_state(domain, why);
    notify(domain, RUN_EVENT_STOP, REASON_NONE);
    return true;
}

void domain_quit(Domain *domain, int status)
{
    domain->run.quit = true;
    domain->run.status = status;
    loop_stop(domain->loop);
}

int domain_exit_status(const Domain *domain)
{
    return domain->run.status;
}

int domain_main(Domain *domain)
{
    if (!domain->run.quit) {
        loop_run(domain->loop);
    }
    if (!domain->run.quiet) {
        vcpus_park(domain);
        loop_run_once(domain->loop, false); /* queues whose bell was rung last */
    }
    notify(domain, RUN_EVENT_EXIT, REASON_NONE);
    go_quiet(domain);
    return domain->run.status;
}

/* ---- carrying out requests: main thread ---- */

/* The user closes it, whatever -no-shutdown says. */
static bool is_final(RequestReason reason)
{
    return reason == REASON_HOST_QMP_QUIT || reason == REASON_HOST_SIGNAL || reason == REASON_HOST_UI;
}

static void shutdown(Domain *domain, RequestReason reason)
{
    notify(domain, RUN_EVENT_SHUTDOWN, reason);
    if (domain->actions.shutdown == SHUTDOWN_POWEROFF || is_final(reason)) {
        domain_quit(domain, reason == REASON_GUEST_PANIC && domain->actions.panic == PANIC_EXIT_FAILURE);
        return;
    }
    if (!domain_stop(domain, RUN_STATE_SHUTDOWN)) {
        go_quiet(domain);
        set_state(domain, RUN_STATE_SHUTDOWN);
    }
}

static void reset(Domain *domain, RequestReason reason)
{
    RunState state = domain_run_state(domain);

    if (state == RUN_STATE_INMIGRATE) {
        return; /* it is reset already, and what comes is not to be overwritten */
    }
    if (domain->actions.reboot == REBOOT_SHUTDOWN && reason != REASON_SUBSYSTEM_RESET) {
        shutdown(domain, reason);
        return;
    }
    go_quiet(domain);
    domain->run.time.restored = false; /* there is no time that it remembers */
    if (domain->machine) { /* tests have domains without one */
        machine_reset(domain->machine);
    }
    notify(domain, RUN_EVENT_RESET, reason);
    if (state == RUN_STATE_RUNNING || state == RUN_STATE_SUSPENDED) {
        set_state(domain, RUN_STATE_RUNNING);
        go_on(domain);
    } else if (state != RUN_STATE_FINISH_MIGRATE) {
        set_state(domain, RUN_STATE_PRELAUNCH);
    }
}

static void suspend(Domain *domain)
{
    if (domain_is_running(domain)) {
        go_quiet(domain);
        start_time(domain);
        set_state(domain, RUN_STATE_SUSPENDED);
        notify(domain, RUN_EVENT_SUSPEND, REASON_NONE);
    }
}

/* ACPI S3.  A guest that left no way back into it starts anew, as it does with firmware. */
static void wakeup(Domain *domain)
{
    g_autoptr(GError) error = NULL;
    bool resumes;

    if (domain_run_state(domain) != RUN_STATE_SUSPENDED) {
        return;
    }
    stop_time(domain);
    resumes = machine_wakeup(domain->machine, &error);
    set_state(domain, RUN_STATE_RUNNING);
    notify(domain, RUN_EVENT_WAKEUP, REASON_NONE);
    if (resumes) {
        go_on(domain);
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
    notify(domain, RUN_EVENT_PANIC, REASON_GUEST_PANIC);
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
        notify(domain, RUN_EVENT_POWERDOWN, REASON_NONE);
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

static void handle_requests(void *opaque)
{
    Domain *domain = opaque;
    RunControl *run = &domain->run;
    unsigned requests = __atomic_exchange_n(&run->requests, 0, __ATOMIC_ACQ_REL);

    if (run->quit) {
        return; /* too late: what the requests are about may be gone */
    }
    if (requests & REQUEST_PANIC) {
        panic(domain, argument(&run->panic_kind));
    }
    if (requests & REQUEST_WATCHDOG) {
        watchdog(domain);
    }
    if (requests & REQUEST_PAUSE) {
        domain_stop(domain, argument(&run->pause_state));
    }
    if (requests & REQUEST_SUSPEND) {
        suspend(domain);
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
        notify(domain, RUN_EVENT_POWERDOWN, REASON_NONE);
    }
    wake_askers(domain);
}

void domain_carry_out_requests(Domain *domain)
{
    if (__atomic_load_n(&domain->run.requests, __ATOMIC_ACQUIRE)) {
        handle_requests(domain);
    }
}

/* ---- requests: any thread ---- */

static void request(Domain *domain, unsigned bit)
{
    if (!__atomic_fetch_or(&domain->run.requests, bit, __ATOMIC_ACQ_REL)) {
        loop_post(domain->loop, handle_requests, domain);
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

void domain_request_shutdown(Domain *domain, RequestReason reason)
{
    request_with(domain, REQUEST_SHUTDOWN, &domain->run.shutdown_reason, reason);
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

void domain_request_watchdog(Domain *domain)
{
    request(domain, REQUEST_WATCHDOG);
}

/* ---- with the domain ---- */

void run_control_init(Domain *domain)
{
    RunControl *run = &domain->run;

    run->state = RUN_STATE_PRELAUNCH;
    run->quiet = true;
    run->observers = g_array_new(FALSE, FALSE, sizeof(Observer));
    run->time.domain = domain;
    field_struct_init(&action_options, &domain->actions);
    state_list_add(domain->state, "/machine/clock", &time_state, &run->time, sizeof(run->time), NULL);
}

void run_control_set_state(Domain *domain, RunState state)
{
    g_assert(domain->run.quiet);
    if (domain_run_state(domain) == RUN_STATE_SUSPENDED) {
        stop_time(domain);
    }
    set_state(domain, state);
    if (state == RUN_STATE_SUSPENDED) {
        migrate_catch_up(domain);
        start_time(domain);
    }
}

void run_control_ready(Domain *domain)
{
    domain->run.quiet = false;
    go_quiet(domain);
}

void run_control_finish(Domain *domain)
{
    state_list_remove(domain->state, &domain->run.time);
    g_array_unref(domain->run.observers);
}
