/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several connections for the memory of one migration, each with a thread of its own (vmm/migrate-format.h has what
 * goes through them).  What goes wrong in one of them ends the migration.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/migrate-ram.h"

/* ---- the source: all on the migration's thread ---- */
typedef struct MultifdOut MultifdOut;
typedef struct MultifdOptions {
    unsigned channels;
    uint64_t token;
    MigrateCompression method;
    int level;
} MultifdOptions;
/* Beside `first`, which keeps the pace of all. */
MultifdOut *multifd_out_new(MigrateRam *ram, MigrateChannel *first, const MultifdOptions *options);
/* One more connection; takes fd, on success. */
bool multifd_out_add(MultifdOut *out, int fd, GError **error);
/* Writes what is dirty: one pass, which is out when this returns. */
bool multifd_out_pass(MultifdOut *out, GError **error);
uint64_t multifd_out_written(const MultifdOut *out); /* bytes, when no pass is under way */
bool multifd_out_finish(MultifdOut *out, GError **error); /* there is no other pass */
void multifd_out_free(MultifdOut *out); /* breaks off what is under way; NULL is fine */

/* ---- the destination ---- */
typedef struct MultifdIn MultifdIn;
/* failed: called once, by any thread; it ends what the migration's thread waits for. */
MultifdIn *multifd_in_new(MigrateRam *ram, MigrateChannel *first, unsigned channels, uint64_t token,
                          void (*failed)(void *opaque), void *opaque);
/* One more connection has come, main thread.  Takes fd.  Whether more are to come. */
bool multifd_in_add(MultifdIn *in, int fd);
/* Until all of memory is there. */
bool multifd_in_wait(MultifdIn *in, GError **error);
/* What went wrong in a channel takes the place of the error that this made elsewhere. */
void multifd_in_explain(MultifdIn *in, GError **error);
void multifd_in_cancel(MultifdIn *in); /* `first` is cancelled: nobody waits any more.  Any thread */
void multifd_in_free(MultifdIn *in);   /* breaks off what is under way; NULL is fine */
