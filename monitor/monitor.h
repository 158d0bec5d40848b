/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitors of a domain: -mon, and its short forms -qmp, -qmp-pretty.  Main thread.
 */
#pragma once

#include "vmm/domain.h"
#include "vmm/options.h"

extern const FieldStruct monitor_options; /* -mon */

typedef struct Monitors Monitors;
/* The chardevs of -mon are there already.  NULL: error is set. */
Monitors *monitors_new(Domain *domain, const Options *options, GError **error);
void monitors_free(Monitors *monitors); /* before the chardevs go; NULL is fine */
