/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lists of commands and events, and what is done with a row: it is found, its arguments are checked, it runs, its
 * reply is written.  Main thread, but for the lists, which are const.
 */
#pragma once

#include "vmm/command.h"
#include "vmm/event.h"

extern const Command *const command_tables[];   /* each ends with COMMAND_END; NULL ends */
extern const EventType *const event_types[];    /* NULL ends */

/* CommandNotFound with the nearest name. */
const Command *command_find(const char *name, GError **error);
typedef void (*CommandFn)(const Command *command, void *opaque);
void command_each(CommandFn fn, void *opaque);
/* Checks call->arguments and runs it.  On success its value is written as member `name` of w. */
bool command_run(const Command *command, CommandCall *call, JsonWriter *w, const char *name, GError **error);
