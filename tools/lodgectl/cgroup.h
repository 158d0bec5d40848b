/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The group of cgroup v2 (Linux, Documentation/admin-guide/cgroup-v2.rst) that a domain's process has to itself:
 *
 *     DELEGATED/lodge-PID.scope/       cpu.weight, cpu.max: of the whole domain
 *         vcpu0/ ... emulator/ ...     threaded: cpu.max of those threads
 *
 * DELEGATED is the nearest group above the process that is ours to divide: systemd says so (Delegate=), or it belongs
 * to this user, or there is no systemd and we are root.  A process that is alone in such a group (the unit lodge@NAME)
 * keeps it as its own.  Nothing is made before something is set.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct Cgroup Cgroup;

/* NULL: *error says why that process can have no group of its own. */
Cgroup *cgroup_open(pid_t pid, GError **error);
/* The same in a tree that looks like this host's; for tests.  process: what /proc/PID/cgroup says of version 2. */
Cgroup *cgroup_open_in(const char *mount, const char *process, pid_t pid, bool all_is_ours, GError **error);
void cgroup_free(Cgroup *cgroup); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Cgroup, cgroup_free)
const char *cgroup_folder(const Cgroup *cgroup);

/* A line of a file of the group, or of a part of it (part NULL: of the whole); NULL: there is none, or no such part.
 * The caller's. */
char *cgroup_get(const Cgroup *cgroup, const char *part, const char *file);
/* Makes the group if need be, and moves the process there. */
bool cgroup_set(Cgroup *cgroup, const char *file, const char *value, GError **error);
/* ... and the part, with those threads in it. */
bool cgroup_set_part(Cgroup *cgroup, const char *part, const GArray *tids, const char *file, const char *value,
                     GError **error);
