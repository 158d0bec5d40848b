/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What domstats tells of a domain that runs, by groups, under virsh's names; and what it shares with the verbs that
 * show one thing.  What the domain, or the host, cannot tell is left out.
 */
#pragma once

#include "tools/lodgectl/client.h"
#include "vmm/json.h"

typedef struct StatsGroup {
    const char *flag; /* of the verb; NULL ends the list */
    void (*put)(Json *out, Client *client);
} StatsGroup;
extern const StatsGroup stats_groups[];

void stats_put(Json *out, const char *key, int64_t value);

/* virsh's name for domblkstat, for domstats, and the member of query-blockstats. */
typedef struct DiskStat { const char *stat, *key, *member; } DiskStat;
extern const DiskStat disk_stats[]; /* NULL ends it */

char *stats_disk_name(const Json *item); /* its drive, its device's id or path, its node; the caller's */
int64_t stats_thread(const Json *cpu);         /* of query-cpus-fast; 0: none */
