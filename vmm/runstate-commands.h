/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run states as monitor clients see them: commands and events.
 */
#pragma once

#include "vmm/command.h"
#include "vmm/event.h"
#include "vmm/runstate.h"

extern const Command runstate_commands[];
extern const EventType event_stop, event_resume, event_reset, event_shutdown, event_powerdown, event_suspend,
    event_suspend_disk, event_wakeup, event_guest_panicked, event_guest_crashloaded, event_watchdog;

/* For vmm/runstate.c: emits the event that clients know this one by, if there is one.  Main thread. */
void run_event_emit(Domain *domain, RunEvent event, RequestReason reason);
void run_event_emit_panic(Domain *domain, PanicKind kind);
void run_event_emit_watchdog(Domain *domain);
