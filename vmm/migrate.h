/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moving a domain: `migrate` to sockets, a descriptor, a command or a file, and -incoming.
 *
 *   none --migrate--> setup --channel, header taken--> active --little is dirty--> (vCPUs stop)
 *     [pre-switchover --migrate-continue--> device] --all is there, and the other end runs--> completed
 *   until then: migrate_cancel --> cancelling --> cancelled;  a failure --> failed;  the guest goes on
 *
 * One migration at a time, on a thread of its own, "migration", and maybe others (vmm/migrate-multifd.h).  What it
 * needs of the domain (stopping it, its state) is a step that it has the main thread take.
 *
 * Main thread, but for what says otherwise.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "vmm/command.h"
#include "vmm/event.h"
#include "vmm/loop.h"
#include "vmm/state.h"

typedef struct Domain Domain;

/* The floor above that owns disks: images are another process' between inactivate() and activate(). */
typedef struct MigrateStorage {
    bool (*flush)(Domain *domain, GError **error); /* while it runs: so that little is left for inactivate() */
    bool (*inactivate)(Domain *domain, GError **error); /* what was written is there for others */
    bool (*activate)(Domain *domain, GError **error);
} MigrateStorage;
void migrate_set_storage(Domain *domain, const MigrateStorage *storage);

/* -incoming: the domain waits for its state in run state inmigrate.  uri: "defer" (for migrate-incoming) or where
 * it comes from.  run: it runs when it is there.  ready (NULL: nobody wants to know) is called when nothing more can go
 * wrong that whoever started this process could mend: at once, or, if it is in a file, when it is restored. */
bool migrate_incoming(Domain *domain, const char *uri, bool run, void (*ready)(void), GError **error);
/* `cont` and `stop` meanwhile: whether it runs when it is there.  False: nothing comes. */
bool migrate_incoming_set_run(Domain *domain, bool run);
/* Whether no device may come or go: a migration is under way, and not only waits for its source. */
bool migrate_keeps_devices(const Domain *domain);
/* How NICs are announced where a domain has arrived, as migrate-set-parameters says (net/announce.h); ms. */
typedef struct MigrateAnnounce {
    uint64_t initial, max, rounds, step;
} MigrateAnnounce;
MigrateAnnounce migrate_announce(Domain *domain);
/* -only-migratable: what would keep the domain from moving is refused from now on. */
void migrate_set_only(Domain *domain);
/* Whether something with this state may be added. */
bool migrate_may_add(Domain *domain, const StateDesc *desc, GError **error);
/* Whether nothing is there that should not be, when all is. */
bool migrate_check_only(Domain *domain, GError **error);
/* The batch is run when the migration that is under way has ended, or at once if there is none. */
void migrate_wait(Domain *domain, LoopBatch *batch);
void migrate_wait_cancel(Domain *domain, LoopBatch *batch); /* fine if it does not wait */
/* Why the last one did not come to its end, by a word or more; NULL: it did. */
const char *migrate_failure(const Domain *domain);
/* Ends what is under way; before the machine goes. */
void migrate_stop(Domain *domain);
/* Before the sandbox, where a domain is to come in.  locked: its memory is to stay in the host's RAM, so all of it is
 * there from the start. */
void migrate_prepare_incoming(Domain *domain, const char *uri, bool locked);

extern const Command migrate_commands[], migrate_check_commands[], migrate_parameter_commands[];
extern const EventType event_migration, event_migration_pass;
