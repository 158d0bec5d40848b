/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run states, requests and what is done about them.
 *
 *   prelaunch --cont--> running <--cont/stop--> paused
 *   running --request--> (vCPUs parked) reset -> running | shutdown
 *   running --guest sleeps (ACPI S3)--> suspended --wake-up--> running
 *   running --guest panic--> guest-panicked;  failure --> internal-error;  I/O --> io-error
 *   inmigrate --incoming done--> paused | running
 *   running --domain_freeze()--> save-vm --domain_thaw()--> running
 *
 * A request may come from any thread (a device hook, a signal, the monitor); the
 * main loop parks the vCPUs and carries it out.  -action, -no-reboot and
 * -no-shutdown say what becomes of it.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "vmm/field.h"

typedef struct Domain Domain;

typedef enum RunState {
    RUN_STATE_PRELAUNCH,
    RUN_STATE_INMIGRATE,
    RUN_STATE_RUNNING,
    RUN_STATE_PAUSED,
    RUN_STATE_DEBUG,
    RUN_STATE_INTERNAL_ERROR,
    RUN_STATE_IO_ERROR,
    RUN_STATE_SHUTDOWN,
    RUN_STATE_SUSPENDED,
    RUN_STATE_WATCHDOG,
    RUN_STATE_GUEST_PANICKED,
    RUN_STATE_SAVE_VM,
    RUN_STATE_RESTORE_VM,
    RUN_STATE_FINISH_MIGRATE,
    RUN_STATE_POSTMIGRATE,
    RUN_STATES
} RunState;
extern const FieldEnum run_state_enum; /* names as in QMP */

typedef enum RequestReason {
    REASON_NONE, REASON_HOST_ERROR, REASON_HOST_QMP_QUIT, REASON_HOST_QMP_RESET, REASON_HOST_SIGNAL, REASON_HOST_UI,
    REASON_GUEST_SHUTDOWN, REASON_GUEST_RESET, REASON_GUEST_PANIC, REASON_SUBSYSTEM_RESET
} RequestReason;

/* ---- any thread ---- */
RunState domain_run_state(const Domain *domain);
bool domain_is_running(const Domain *domain);
void domain_request_reset(Domain *domain, RequestReason reason);
void domain_request_shutdown(Domain *domain, RequestReason reason);
void domain_request_suspend(Domain *domain); /* ACPI S3 */
void domain_request_wakeup(Domain *domain);  /* what is awake by then stays as it is */
void domain_request_powerdown(Domain *domain); /* press the power button */
typedef enum PanicKind { PANIC_PANICKED, PANIC_CRASHLOADED } PanicKind;
void domain_request_panic(Domain *domain, PanicKind kind);
void domain_request_pause(Domain *domain, RunState why); /* io-error, internal-error */
void domain_request_debug(Domain *domain); /* a vCPU has stopped for a debugger: vcpu_take_stop() */
void domain_request_watchdog(Domain *domain); /* one has fired: what -action watchdog= says */

/* ---- main thread ---- */
/* The reset under way is that of a wake-up: what has a supply of its own while the machine sleeps keeps its state. */
bool domain_is_waking(const Domain *domain);
void domain_carry_out_requests(Domain *domain); /* what was asked for until now, not in the next round of the loop */
bool domain_cont(Domain *domain, GError **error);
bool domain_stop(Domain *domain, RunState why);
/* It stands still until domain_thaw(), in state save-vm if it ran.  Who lets it run, stops or resets it meanwhile says
 * what it does then; only the end of the process does not wait. */
void domain_freeze(Domain *domain);
void domain_thaw(Domain *domain);
bool domain_is_frozen(const Domain *domain);
bool domain_is_to_run(const Domain *domain); /* now, or by itself when save-vm or finish-migrate is over */
bool domain_inject_nmi(Domain *domain, GError **error); /* into every vCPU */
void domain_quit(Domain *domain, int status); /* leaves domain_main() */
bool domain_is_quitting(const Domain *domain);
int domain_exit_status(const Domain *domain); /* what was said so last; 0 before */

/* -action reboot=reset|shutdown,shutdown=poweroff|pause,panic=pause|shutdown|exit-failure|none,watchdog=... */
typedef enum RebootAction { REBOOT_RESET, REBOOT_SHUTDOWN } RebootAction;
typedef enum ShutdownAction { SHUTDOWN_POWEROFF, SHUTDOWN_PAUSE } ShutdownAction;
typedef enum PanicAction { PANIC_PAUSE, PANIC_SHUTDOWN, PANIC_EXIT_FAILURE, PANIC_NONE } PanicAction;
typedef enum WatchdogAction { WATCHDOG_RESET, WATCHDOG_SHUTDOWN, WATCHDOG_POWEROFF, WATCHDOG_PAUSE, WATCHDOG_DEBUG,
                              WATCHDOG_NONE, WATCHDOG_INJECT_NMI } WatchdogAction;
extern const FieldEnum reboot_action_enum, shutdown_action_enum, panic_action_enum, watchdog_action_enum;
typedef struct Actions { int reboot, shutdown, panic, watchdog; } Actions; /* the above, in this order */
extern const FieldStruct action_options;
/* A panic stops the guest for somebody to look at it, though it may be said otherwise than by panic=pause. */
bool actions_pause_panic(const Actions *actions);

/* Observers: the monitor's events, the ACPI PM block (power button), devices that must know.  At EXIT the vCPUs stand,
 * but devices work on, if they did: it is the time to bring away what they still say. */
typedef enum RunEvent { RUN_EVENT_STOP, RUN_EVENT_RESUME, RUN_EVENT_RESET, RUN_EVENT_SHUTDOWN, RUN_EVENT_POWERDOWN,
                        RUN_EVENT_SUSPEND, RUN_EVENT_WAKEUP, RUN_EVENT_PANIC, RUN_EVENT_EXIT } RunEvent;
typedef void (*RunEventFn)(Domain *domain, RunEvent event, RequestReason reason, void *opaque);
void domain_observe(Domain *domain, RunEventFn fn, void *opaque);
void domain_unobserve(Domain *domain, RunEventFn fn, void *opaque);
