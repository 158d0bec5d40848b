/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/runstate-commands.h.  Names and members are QEMU 7.2's (qapi/run-state.json, misc.json).
 */
#include "vmm/runstate-commands.h"

#include <string.h>

#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/machine.h"
#include "vmm/migrate.h"

/* ---- events ---- */

static const char *const cause_names[] = {
    "none", "host-error", "host-qmp-quit", "host-qmp-system-reset", "host-signal", "host-ui",
    "guest-shutdown", "guest-reset", "guest-panic", "subsystem-reset", NULL
};
static const FieldEnum cause_enum = { "ShutdownCause", cause_names };

typedef struct CauseData { bool guest; int reason; } CauseData;
static const FieldStruct cause_data = {
    .name = "CauseData", .size = sizeof(CauseData),
    .fields = (const Field[]) {
        F_BOOL("guest", CauseData, guest, false, .flags = FIELD_REQUIRED, .help = "Whether the guest asked for it"),
        F_ENUM("reason", CauseData, reason, &cause_enum, 0, .flags = FIELD_REQUIRED, .help = "What caused it"),
        FIELD_END
    },
};

/* What a panic comes to: "run" is nothing. */
enum { PANIC_DATA_PAUSE, PANIC_DATA_POWEROFF, PANIC_DATA_RUN };
static const FieldEnum panic_data_enum = { "GuestPanicAction", (const char *const[]) { "pause", "poweroff", "run", NULL } };
typedef struct ActionData { int action; } ActionData;
static const FieldStruct panic_data = {
    .name = "GuestPanicData", .size = sizeof(ActionData),
    .fields = (const Field[]) {
        F_ENUM("action", ActionData, action, &panic_data_enum, 0, .flags = FIELD_REQUIRED,
               .help = "What is done about it"),
        FIELD_END
    },
};
static const FieldStruct watchdog_data = {
    .name = "WatchdogData", .size = sizeof(ActionData),
    .fields = (const Field[]) {
        F_ENUM("action", ActionData, action, &watchdog_action_enum, 0, .flags = FIELD_REQUIRED,
               .help = "What is done about it"),
        FIELD_END
    },
};

const EventType event_stop = { "STOP", NULL, .help = "The CPUs have stopped" };
const EventType event_resume = { "RESUME", NULL, .help = "The CPUs go on" };
const EventType event_reset = { "RESET", &cause_data, .help = "The machine was reset" };
const EventType event_shutdown = { "SHUTDOWN", &cause_data, .help = "The machine is off, or the process ends" };
const EventType event_powerdown = { "POWERDOWN", NULL, .help = "The power button was pressed" };
const EventType event_suspend = { "SUSPEND", NULL, .help = "The guest sleeps (ACPI S3)" };
const EventType event_suspend_disk = { "SUSPEND_DISK", NULL,
                                       .help = "The guest is off and has kept its state on a disk (ACPI S4)" };
const EventType event_wakeup = { "WAKEUP", NULL, .help = "The guest was woken" };
const EventType event_guest_panicked = { "GUEST_PANICKED", &panic_data, .help = "The guest's kernel gave up" };
const EventType event_guest_crashloaded = { "GUEST_CRASHLOADED", &panic_data,
                                            .help = "The guest's crash kernel was loaded, and takes over" };
const EventType event_watchdog = { "WATCHDOG", &watchdog_data, .interval_ms = 1000, .help = "A watchdog fired" };

void run_event_emit(Domain *domain, RunEvent event, RequestReason reason)
{
    static const EventType *const types[] = {
        [RUN_EVENT_STOP] = &event_stop, [RUN_EVENT_RESUME] = &event_resume, [RUN_EVENT_RESET] = &event_reset,
        [RUN_EVENT_SHUTDOWN] = &event_shutdown, [RUN_EVENT_POWERDOWN] = &event_powerdown,
        [RUN_EVENT_SUSPEND] = &event_suspend, [RUN_EVENT_WAKEUP] = &event_wakeup,
        [RUN_EVENT_PANIC] = NULL, [RUN_EVENT_EXIT] = NULL,
    };
    CauseData cause = { reason == REASON_GUEST_SHUTDOWN || reason == REASON_GUEST_RESET || reason == REASON_GUEST_PANIC,
                        (int)reason };

    if (types[event]) {
        event_emit(domain, types[event], types[event]->data ? &cause : NULL);
    }
}

void run_event_emit_panic(Domain *domain, PanicKind kind)
{
    const Actions *actions = domain_actions(domain);
    bool run = kind == PANIC_CRASHLOADED || actions->panic == PANIC_NONE;
    ActionData data = { run ? PANIC_DATA_RUN : actions_pause_panic(actions) ? PANIC_DATA_PAUSE : PANIC_DATA_POWEROFF };

    event_emit(domain, kind == PANIC_CRASHLOADED ? &event_guest_crashloaded : &event_guest_panicked, &data);
}

void run_event_emit_watchdog(Domain *domain)
{
    event_emit(domain, &event_watchdog, &(ActionData) { domain_actions(domain)->watchdog });
}

/* ---- commands ---- */

typedef struct StatusInfo { bool running, singlestep; int status; } StatusInfo;
static const FieldStruct status_info = {
    .name = "StatusInfo", .size = sizeof(StatusInfo),
    .fields = (const Field[]) {
        F_BOOL("running", StatusInfo, running, false, .flags = FIELD_REQUIRED, .help = "Whether the CPUs run"),
        F_BOOL("singlestep", StatusInfo, singlestep, false, .flags = FIELD_REQUIRED,
               .help = "Always false: there is no such mode"),
        F_ENUM("status", StatusInfo, status, &run_state_enum, 0, .flags = FIELD_REQUIRED, .help = "The state"),
        FIELD_END
    },
};

static bool query_status(CommandCall *call, const void *args, void *ret, GError **error)
{
    *(StatusInfo *)ret = (StatusInfo) { domain_is_running(call->domain), false, (int)domain_run_state(call->domain) };
    return true;
}

static bool stop(CommandCall *call, const void *args, void *ret, GError **error)
{
    RunState state = domain_run_state(call->domain);

    if (state == RUN_STATE_FINISH_MIGRATE) {
        migrate_outgoing_pause(call->domain);
    } else if (state != RUN_STATE_INMIGRATE || !migrate_incoming_set_run(call->domain, false)) {
        domain_stop(call->domain, RUN_STATE_PAUSED);
    }
    return true;
}

static bool cont(CommandCall *call, const void *args, void *ret, GError **error)
{
    return domain_cont(call->domain, error);
}

static bool system_reset(CommandCall *call, const void *args, void *ret, GError **error)
{
    domain_request_reset(call->domain, REASON_HOST_QMP_RESET);
    domain_carry_out_requests(call->domain); /* `cont` may follow, and be possible only then */
    return true;
}

static bool system_powerdown(CommandCall *call, const void *args, void *ret, GError **error)
{
    domain_request_powerdown(call->domain);
    return true;
}

static bool system_wakeup(CommandCall *call, const void *args, void *ret, GError **error)
{
    if (!machine_can_sleep(call->domain)) {
        return error_set(error, "wake-up from suspend is not supported by this guest");
    }
    if (domain_run_state(call->domain) != RUN_STATE_SUSPENDED) {
        return error_set(error, "Unable to wake up: guest is not in suspended state");
    }
    domain_request_wakeup(call->domain);
    domain_carry_out_requests(call->domain); /* it runs when the client hears of it */
    return true;
}

static bool quit(CommandCall *call, const void *args, void *ret, GError **error)
{
    domain_request_shutdown(call->domain, REASON_HOST_QMP_QUIT);
    return true;
}

static bool inject_nmi(CommandCall *call, const void *args, void *ret, GError **error)
{
    if (!domain_vcpus(call->domain)) {
        return error_set(error, "This machine has no CPU to interrupt");
    }
    return domain_inject_nmi(call->domain, error);
}

/* What is not given stays as it is. */
typedef struct SetActionArgs { Actions actions; bool has_reboot, has_shutdown, has_panic, has_watchdog; } SetActionArgs;
static const FieldStruct set_action_args = {
    .name = "SetActionArguments", .size = sizeof(SetActionArgs),
    .fields = (const Field[]) {
        F_ENUM("reboot", SetActionArgs, actions.reboot, &reboot_action_enum, 0,
               FIELD_HAS(SetActionArgs, has_reboot), .help = "When the guest reboots"),
        F_ENUM("shutdown", SetActionArgs, actions.shutdown, &shutdown_action_enum, 0,
               FIELD_HAS(SetActionArgs, has_shutdown), .help = "When the guest powers off"),
        F_ENUM("panic", SetActionArgs, actions.panic, &panic_action_enum, 0,
               FIELD_HAS(SetActionArgs, has_panic), .help = "When the guest panics"),
        F_ENUM("watchdog", SetActionArgs, actions.watchdog, &watchdog_action_enum, 0,
               FIELD_HAS(SetActionArgs, has_watchdog), .help = "When a watchdog fires"),
        FIELD_END
    },
};

static bool set_action(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const SetActionArgs *args = opaque;
    Actions *actions = domain_actions(call->domain);

    actions->reboot = args->has_reboot ? args->actions.reboot : actions->reboot;
    actions->shutdown = args->has_shutdown ? args->actions.shutdown : actions->shutdown;
    actions->panic = args->has_panic ? args->actions.panic : actions->panic;
    actions->watchdog = args->has_watchdog ? args->actions.watchdog : actions->watchdog;
    return true;
}

typedef struct WatchdogArgs { int action; } WatchdogArgs;
static const FieldStruct watchdog_args = {
    .name = "WatchdogSetActionArguments", .size = sizeof(WatchdogArgs),
    .fields = (const Field[]) {
        F_ENUM("action", WatchdogArgs, action, &watchdog_action_enum, 0, .flags = FIELD_REQUIRED,
               .help = "What is done"),
        FIELD_END
    },
};

static bool watchdog_set_action(CommandCall *call, const void *args, void *ret, GError **error)
{
    domain_actions(call->domain)->watchdog = ((const WatchdogArgs *)args)->action;
    return true;
}

const Command runstate_commands[] = {
    { "query-status", query_status, NULL, COMMAND_RETURNS(StatusInfo, &status_info), .flags = COMMAND_OOB,
      .help = "Tell whether the machine runs, and why not" },
    { "stop", stop, .help = "Stop the CPUs" },
    { "cont", cont, .help = "Let the CPUs go on" },
    { "system_reset", system_reset, .help = "Reset the machine" },
    { "system_powerdown", system_powerdown, .help = "Press the power button" },
    { "system_wakeup", system_wakeup, .help = "Wake a guest that sleeps" },
    { "quit", quit, .help = "End the process" },
    { "inject-nmi", inject_nmi, .help = "Interrupt every CPU by an NMI" },
    { "set-action", set_action, &set_action_args, .help = "Say what a reboot, shutdown, panic or watchdog does" },
    { "watchdog-set-action", watchdog_set_action, &watchdog_args, .help = "Say what a watchdog does that fires" },
    COMMAND_END
};
