/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run states: the domain is either running or quiet, and its state says why.
 *
 *                 domain_cont()                  run_go_quiet(), domain_stop(why)
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
 *     running --domain_freeze()--> save-vm --domain_thaw()--> running (vmm/dump.h)
 *
 * What is asked for in the two that end by themselves, finish-migrate and save-vm, counts for what follows: a stop
 * makes that paused, and a domain_cont() running again.  A reset is done at once in finish-migrate, and in save-vm when
 * the domain thaws.
 *
 * Quiet means, in the order it is made: every vCPU is parked, guest time stands
 * still, the queues of every device are paused (last realized first).  run_go_on() is
 * the exact reverse.  Save, restore, reset and unplug rely on it.  A suspended domain
 * is quiet, but its time goes on, for the alarm that may wake it; not while it moves.
 *
 * What is asked for, and what is done about it: runstate-requests.c.
 */
#include "vmm/runstate.h"

#include "vmm/domain-internal.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/migrate-internal.h"
#include "vmm/runstate-commands.h"
#include "vmm/runstate-internal.h"

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
    F_ENUM("shutdown", Actions, shutdown, &shutdown_action_enum, SHUTDOWN_POWEROFF,
           .help = "When the guest powers off"),
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

void run_set_state(Domain *domain, RunState state)
{
    __atomic_store_n(&domain->run.state, state, __ATOMIC_RELEASE);
}

RunState run_state_to_be(const Domain *domain)
{
    RunState state = domain_run_state(domain);

    return state == RUN_STATE_FINISH_MIGRATE ? domain->run.next : state;
}

void run_set_state_to_be(Domain *domain, RunState state)
{
    if (domain_run_state(domain) == RUN_STATE_FINISH_MIGRATE) {
        domain->run.next = state;
    } else {
        run_set_state(domain, state);
    }
}

bool domain_is_to_run(const Domain *domain)
{
    RunState state = run_state_to_be(domain);

    return state == RUN_STATE_RUNNING || state == RUN_STATE_SAVE_VM;
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
void run_notify(Domain *domain, RunEvent event, RequestReason reason)
{
    g_autoptr(GArray) now = g_array_copy(domain->run.observers);

    run_event_emit(domain, event, reason);
    for (unsigned i = 0; i < now->len; i++) {
        const Observer *o = &g_array_index(now, Observer, i);

        o->fn(domain, event, reason, o->opaque);
    }
}

/* ---- guest time ---- */

void run_stop_time(Domain *domain)
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

void run_start_time(Domain *domain)
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

void run_go_quiet(Domain *domain)
{
    if (domain->run.quiet) {
        run_stop_time(domain); /* of a domain that sleeps */
        return;
    }
    vcpus_park(domain);
    run_stop_time(domain);
    for (unsigned i = domain->devices->len; i > 0; i--) {
        device_pause(g_ptr_array_index(domain->devices, i - 1));
    }
    domain->run.quiet = true;
}

void run_go_on(Domain *domain)
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
    run_start_time(domain);
    vcpus_unpark(domain);
}

bool domain_cont(Domain *domain, GError **error)
{
    RunState state = run_state_to_be(domain);

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
    if (domain->run.frozen || domain_run_state(domain) == RUN_STATE_FINISH_MIGRATE) {
        run_set_state_to_be(domain, domain->run.frozen ? RUN_STATE_SAVE_VM : RUN_STATE_RUNNING);
        return true;
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
    run_set_state(domain, RUN_STATE_RUNNING);
    run_notify(domain, RUN_EVENT_RESUME, REASON_NONE);
    run_go_on(domain);
    return true;
}

bool domain_stop(Domain *domain, RunState why)
{
    if (!domain_is_to_run(domain)) {
        return false;
    }
    run_go_quiet(domain);
    if (run_fell_asleep(domain)) {
        return false;
    }
    if (domain_run_state(domain) == RUN_STATE_FINISH_MIGRATE) {
        domain->run.next = why;
        return true;
    }
    run_set_state(domain, why);
    run_notify(domain, RUN_EVENT_STOP, REASON_NONE);
    return true;
}

void domain_freeze(Domain *domain)
{
    g_assert(!domain->run.frozen);
    domain_stop(domain, RUN_STATE_SAVE_VM);
    domain->run.frozen = true;
}

/* What waited is done before a vCPU that asked for it goes on. */
void domain_thaw(Domain *domain)
{
    bool goes_on = domain_is_to_run(domain);
    g_autoptr(GError) error = NULL;
    RunState state;

    domain->run.frozen = false;
    run_handle_kept(domain);
    state = domain_run_state(domain);
    if (goes_on && (state == RUN_STATE_SAVE_VM || state == RUN_STATE_PRELAUNCH) && !domain_cont(domain, &error)) {
        log_error(error);
    }
}

bool domain_is_frozen(const Domain *domain)
{
    return domain->run.frozen;
}

void domain_quit(Domain *domain, int status)
{
    domain->run.quit = true;
    domain->run.status = status;
    loop_stop(domain->loop);
}

bool domain_is_quitting(const Domain *domain)
{
    return domain->run.quit;
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
    }
    loop_run_once(domain->loop, false); /* queues whose bell was rung last; what vCPUs left for devices that go now */
    run_notify(domain, RUN_EVENT_EXIT, REASON_NONE);
    run_go_quiet(domain);
    return domain->run.status;
}

/* ---- with the domain ---- */

void run_control_init(Domain *domain)
{
    RunControl *run = &domain->run;

    run->state = RUN_STATE_PRELAUNCH;
    run->quiet = true;
    run->later = (LoopBatch) { .fn = run_handle_requests, .opaque = domain };
    run->observers = g_array_new(FALSE, FALSE, sizeof(Observer));
    run->time.domain = domain;
    field_struct_init(&action_options, &domain->actions);
    state_list_add(domain->state, "/machine/clock", &time_state, &run->time, sizeof(run->time), NULL);
}

void run_control_set_state(Domain *domain, RunState state)
{
    g_assert(domain->run.quiet);
    if (domain_run_state(domain) == RUN_STATE_SUSPENDED) {
        run_stop_time(domain);
    }
    run_set_state(domain, state);
    if (state == RUN_STATE_SUSPENDED) {
        migrate_catch_up(domain);
        run_start_time(domain);
    }
}

void run_control_finish_migrate(Domain *domain)
{
    domain->run.next = domain_run_state(domain);
    if (!domain_stop(domain, RUN_STATE_FINISH_MIGRATE)) {
        domain->run.next = domain_run_state(domain);
        run_control_set_state(domain, RUN_STATE_FINISH_MIGRATE);
    }
}

void run_control_ready(Domain *domain)
{
    domain->run.quiet = false;
    run_go_quiet(domain);
}

void run_control_finish(Domain *domain)
{
    state_list_remove(domain->state, &domain->run.time);
    g_array_unref(domain->run.observers);
}
