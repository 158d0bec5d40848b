/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a persistent domain gets of the host at each start: CONFIG/tuning/NAME.conf, a key file (GKeyFile) beside the
 * definition, since these are lodgectl's doing and no options of lodge.  It is replaced as a whole, and goes with the
 * definition.
 *
 *     [vcpupin]  0=2-3     [iothreadpin]  io1=4     [emulatorpin]  *=0-1     [schedinfo]  cpu_shares=200
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "tools/lodgectl/domains.h"

#define TUNING_VCPUS     "vcpupin"
#define TUNING_IOTHREADS "iothreadpin"
#define TUNING_EMULATOR  "emulatorpin"
#define TUNING_SCHED     "schedinfo"

/* Empty if there is none, or if it cannot be read: *error says so then. */
GKeyFile *tuning_read(const char *name, GError **error);
/* Changes one value under the lock of definitions; NULL takes it away. */
bool tuning_set(const char *name, const char *group, const char *key, const char *value, GError **error);
void tuning_remove(const char *name);
/* Gives the domain, which was just started, what it is to get; a warning for each that cannot be. */
void tuning_apply(const char *name);
/* ... and vCPUs that were plugged in, by their numbers (char *): their own place, or any that the domain has. A new
 * thread comes where the one is that made it, which may be pinned elsewhere. */
void tuning_apply_to_new_vcpus(const Dom *dom, const GPtrArray *labels);
