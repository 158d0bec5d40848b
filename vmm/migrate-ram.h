/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The RAM of a domain that moves (vmm/migrate-format.h has the forms): which blocks, what
 * is dirty of them, and both layouts, written and read.
 *
 * A MigrateRam belongs to one thread, which is that of the migration; a sender or a loader to one of any, while the
 * blocks stay as they are.  Blocks are referenced.  The guest may run while pages are written: what it changes is dirty
 * again.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/migrate-channel.h"
#include "vmm/migrate-compress.h"
#include "vmm/migrate-format.h"
#include "vmm/ram-fill.h"

typedef struct MigrateBlock {
    char *id;
    RamBlock *block;
    uint64_t pages;
    uint64_t offset; /* mapped: in the file */
    uint8_t *filled; /* for each RAM_HUGE_PAGE whether something has come into it, atomic */
} MigrateBlock;

/* What has been moved: atomic, each number for itself. */
typedef struct MigrateCount {
    uint64_t normal, zero; /* pages */
    uint64_t remaining;    /* pages known to be dirty */
} MigrateCount;

typedef struct MigrateRam {
    unsigned n;
    MigrateBlock *block;
    uint64_t pages;
    MigrateCount count;
    bool logging;
} MigrateRam;

/* All writable blocks of the process, in order of their ids. */
MigrateRam *migrate_ram_new(void);
void migrate_ram_add(MigrateRam *ram, const char *id, RamBlock *block);
void migrate_ram_free(MigrateRam *ram); /* ends the log; NULL is fine */
/* Fills header->ram; mapped: chooses places in the file, from `first` on. */
void migrate_ram_describe(MigrateRam *ram, uint64_t first, MigrateHeader *header);
/* Puts the blocks in the order of a header that fits, with its places. */
bool migrate_ram_arrange(MigrateRam *ram, const MigrateHeader *header, GError **error);

/* ---- writing ---- */
/* Logs what is written from now on; everything is dirty. */
void migrate_ram_log_start(MigrateRam *ram);
void migrate_ram_log_stop(MigrateRam *ram);
/* Brings the log up to date.  Returns the pages that are dirty. */
uint64_t migrate_ram_sync(MigrateRam *ram);
/* Takes what is dirty, at most MIGRATE_RUN_MAX pages at a time. */
typedef bool (*MigrateDirtyFn)(void *opaque, unsigned block, uint64_t page, uint64_t n, GError **error);
bool migrate_ram_each_dirty(MigrateRam *ram, MigrateDirtyFn fn, void *opaque, GError **error);
/* Who writes runs of pages to one channel. */
typedef struct MigrateSender {
    MigrateRam *ram;
    MigrateChannel *channel;
    MigrateCompression method;
    MigrateCompressor *compressor;
    uint8_t *buffer, *packed; /* a run's header and pages; the same, compressed */
} MigrateSender;
void migrate_sender_init(MigrateSender *s, MigrateRam *ram, MigrateChannel *channel, MigrateCompression method,
                         int level);
void migrate_sender_finish(MigrateSender *s);
bool migrate_sender_run(MigrateSender *s, unsigned block, uint64_t page, uint64_t n, GError **error);
/* Writes what is dirty: one pass. */
bool migrate_ram_send(MigrateRam *ram, MigrateChannel *channel, GError **error);
bool migrate_send_record(MigrateChannel *channel, MigrateType type, const void *payload, size_t length, GError **error);
bool migrate_send_state(MigrateChannel *channel, const GByteArray *state, GError **error);
bool migrate_send_end(MigrateRam *ram, MigrateChannel *channel, const char *run_state, GError **error);
/* The same into a file that is empty at first.  `first`: it holds nothing of RAM yet, so zero pages need no writing. */
bool migrate_ram_store(MigrateRam *ram, int fd, bool first, MigrateChannel *pace, GError **error);

/* ---- reading ---- */
typedef bool (*MigrateReadFn)(void *opaque, void *data, size_t length, GError **error);
typedef struct MigrateEnd { GByteArray *state; char *run_state; } MigrateEnd;
/* Prefix and header.  *ret owns nothing on failure. */
bool migrate_take_header(MigrateReadFn read, void *opaque, MigrateHeader *ret, GError **error);
/* Who loads pages from one channel. */
typedef struct MigrateLoader {
    MigrateRam *ram;
    MigrateReadFn read;
    void *opaque;
    MigrateDecompressor *decompressor;
    uint8_t *buffer; /* a record's payload */
} MigrateLoader;
void migrate_loader_init(MigrateLoader *l, MigrateRam *ram, MigrateReadFn read, void *opaque);
void migrate_loader_finish(MigrateLoader *l);
bool migrate_loader_head(MigrateLoader *l, MigrateRecord *ret, GError **error);
/* Into l->buffer, MIGRATE_RUN_HEADER and MIGRATE_RUN_MAX pages at most. */
bool migrate_loader_payload(MigrateLoader *l, const MigrateRecord *r, uint32_t most, GError **error);
/* A record with pages, when its head has been read; any other is an error. */
bool migrate_load_pages(MigrateLoader *l, const MigrateRecord *r, GError **error);
/* Records up to END.  complete: waits for memory, which comes through other channels; NULL: it is in these records.
 * *ret owns what is in it, on success. */
typedef bool (*MigrateCompleteFn)(void *opaque, GError **error);
bool migrate_take_records(MigrateRam *ram, MigrateReadFn read, MigrateCompleteFn complete, void *opaque,
                          MigrateEnd *ret, GError **error);
/* One record that is expected now, at most MIGRATE_TEXT_MAX bytes of payload.  *ret_text: of REFUSED and ABORT. */
bool migrate_take_answer(MigrateReadFn read, void *opaque, MigrateType *ret, char **ret_text, GError **error);

typedef enum MigrateLazy { MIGRATE_LAZY_ON, MIGRATE_LAZY_OFF, MIGRATE_LAZY_PREFAULT } MigrateLazy;
/* Whether the file is long enough for what its header says, and the places are sound. */
bool migrate_check_mapped(const MigrateHeader *header, uint64_t file_size, GError **error);
/* Bytes that were read at once, and that are to come as they are touched. */
typedef struct MigrateMapped { uint64_t read, filled; } MigrateMapped;
/* Maps each block, or, where that is not possible, leaves it to fill (NULL: that cannot be had) or reads it. */
bool migrate_ram_map(MigrateRam *ram, int fd, MigrateLazy lazy, RamFill *fill, MigrateMapped *ret, GError **error);
