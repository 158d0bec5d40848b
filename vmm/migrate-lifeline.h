/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How either end of a migration knows for certain that the other has died, whatever
 * stands between them.
 *
 * Over a unix socket the source passes one end of a socket pair along with the first
 * byte of the container.  A relay (socat, ssh -L) passes on bytes, and no descriptors;
 * so whoever has that end is a process of this host that reads the stream itself, and
 * it reads as ended only when that process has closed it.  Where the destination did not
 * get it, the end of the connection says nothing about the other process.
 *
 *   source              destination
 *     descriptor  ---->
 *                 <----  TAKEN, before HELLO
 *     GAVE_UP     ---->  it lives, and its guest goes on there
 *                 <----  RUNS, before RUNNING
 *
 * The migration's thread, after migrate_lifeline_new().
 */
#pragma once

#include <stdbool.h>

#include "vmm/migrate-channel.h"

typedef struct MigrateLifeline MigrateLifeline;

typedef enum MigrateFate {
    MIGRATE_FATE_UNKNOWN, /* there is no lifeline, or no word in time */
    MIGRATE_FATE_DEAD,    /* the other process has ended, or does not want to hear of it any more */
    MIGRATE_FATE_SPOKEN,  /* it has said its word: GAVE_UP, RUNS */
} MigrateFate;

/* Source, main thread, where a socket pair may be made.  NULL: there are no descriptors left. */
MigrateLifeline *migrate_lifeline_new(void);
void migrate_lifeline_free(MigrateLifeline *lifeline); /* NULL is fine */
/* Source: the first write to the channel takes the other end along. */
void migrate_lifeline_pass(MigrateLifeline *lifeline, MigrateChannel *channel);
/* Source, when the destination has answered: whether it has it. */
bool migrate_lifeline_is_taken(MigrateLifeline *lifeline);
/* Destination, when the container's header is read: what came with it; NULL: nothing. */
MigrateLifeline *migrate_lifeline_take(MigrateChannel *channel);
/* GAVE_UP or RUNS, by whose end it is.  NULL is fine. */
void migrate_lifeline_say(MigrateLifeline *lifeline);
/* What has become of the other end, now that its connection has ended.  Waits so long, or until the channel is
 * cancelled.  NULL is fine. */
MigrateFate migrate_lifeline_fate(MigrateLifeline *lifeline, MigrateChannel *channel, int ms);
