/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scheduler parameters of a running domain, named as virsh has them: through a group of cgroup v2 (cgroup.h) where
 * there can be one, else through nice values, which know shares alone.  Which it is, is always said.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "tools/lodgectl/domain-threads.h"

/* NULL ends. */
extern const char *const sched_names[];
/* Is there such a parameter, and can it have that value, wherever it is set? */
bool sched_check(const char *name, const char *value, GError **error);
/* How parameters are set, the caller's: "cgroup v2, FOLDER", "nice, as WHY". */
char *sched_means(const Threads *threads);
/* The caller's; NULL: the means know no such thing. */
char *sched_get(const Threads *threads, const char *name);
bool sched_set(const Threads *threads, const char *name, const char *value, GError **error);
