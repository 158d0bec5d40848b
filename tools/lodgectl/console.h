/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's console on this terminal: its serial port, if that ends at a unix socket or a pseudo terminal.
 */
#pragma once

#include "tools/lodgectl/domains.h"

typedef struct Console Console;

bool console_check_terminal(GError **error);
/* device NULL: the one that lodgectl adds, else the first that can be attached to.  NULL: error is set. */
Console *console_open(const Dom *dom, const char *device, GError **error);
/* Until Ctrl-] or the end of the domain; frees it. */
bool console_run(const Cmd *cmd, Console *console, GError **error);
void console_free(Console *console);
