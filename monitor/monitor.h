/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitors of a domain: -mon, its short forms -monitor, -qmp, -qmp-pretty, and "mon:" of -serial; and its gdb
 * server (-gdb, -s).  Main thread.
 */
#pragma once

#include "vmm/domain.h"
#include "vmm/options.h"

extern const FieldStruct monitor_options; /* -mon */

typedef struct Monitors Monitors;
/* The chardevs of -mon are there already.  NULL: error is set. */
Monitors *monitors_new(Domain *domain, const Options *options, GError **error);
/* Programs that come to this listening socket, which is the monitors' then, get a monitor each. */
void monitors_serve(Monitors *monitors, int listener);
void monitors_free(Monitors *monitors); /* before the chardevs go; NULL is fine */
