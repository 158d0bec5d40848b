/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The container of a saved or moving domain: a header that says what it holds, then
 * RAM and the state of every device (vmm/state-format.h).  Numbers are little endian.
 *
 *   container = prefix, header, contents
 *   prefix    = "LODGESAV", u32 version, u32 length of header, u32 CRC-32C of header,
 *               u32 CRC-32C of these 20 bytes
 *   header    = JSON, the members of migrate_header
 *
 * The header names one of two layouts.
 *
 * inline: for any descriptor, pipes too.  contents = record...
 *
 *   record = u32 type, u32 length of payload, u32 CRC-32C of payload, u32 CRC-32C of these 12 bytes, payload
 *   RAM    = u32 block (its place in the header's list), u32 n, u64 first page, n pages
 *   ZERO   = the same without the pages: they are zero
 *   ZLIB   = the same, and the pages, compressed as one stream of zlib; shorter than they are
 *   ZSTD   = the same by zstd, one frame
 *   PASS   = u32: a round of RAM begins; a page may come again, and the last one counts
 *   STATE  = sections of vmm/state-format.h
 *   END    = u64 pages with content, u64 pages in ZERO records, name of the run state
 *
 * In the first pass every page comes.  STATE follows the last RAM, END is last.  What stands behind END is not read.
 *
 * Where the header has `channels`, there are as many connections more, and RAM comes through them only.  Each begins
 *
 *   greeting = "LODGECHN", u64 the header's `token`, u32 its number from 0 on, u32 CRC-32C of these 20 bytes
 *
 * and goes on with records: PASS at the beginning of each round, then RAM, ZERO, ZLIB and ZSTD, at last LAST (empty).
 * What follows a PASS is loaded when every channel has come to that PASS, so that a page's last content is the one that
 * stays; END counts when every channel has come to LAST.
 *
 * mapped: a regular file, which is RAM of the restored domain (MAP_PRIVATE), so that it runs at once.  Each block lies
 * at its `offset`, a multiple of MIGRATE_ALIGN; zero pages are holes.  The sections lie at `state-offset`.  The prefix
 * is written last: a file that is not whole has none.  RAM has no checksum here, since nobody reads all of it.
 *
 * Where the channel has two ways and the header says `return-path`, the destination answers in records:
 *
 *   source                                destination
 *     prefix, header  ------------------->  compares, before anything is overwritten
 *                     <-------------------  HELLO | REFUSED text
 *     records, END    ------------------->  loads
 *                     <-------------------  LOADED | REFUSED text
 *     never resumes   GO ---------------->  takes the images
 *                     <-------------------  RUNNING; then it runs | REFUSED text
 *     done; what goes wrong before RUNNING  ABORT at any time before GO: gives up
 *     leaves a source that can resume
 *
 * Where the header says `check`, that is all after HELLO or REFUSED, and a destination that listens goes on to.
 *
 * A destination that has sent LOADED and reads the end of the connection runs without GO if it knows that the source
 * has died, not a relay between them (vmm/migrate-lifeline.h): a source that lives says GO or ABORT before it closes.
 * Likewise a source that has said GO and hears nothing goes on only if it knows that the destination has died.
 *
 * Versions: a later program reads what an earlier one wrote.  The version of the container grows when a program that
 * does not know of a change could misread it; members of the header are only added.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/field.h"

typedef struct Domain Domain;

#define MIGRATE_MAGIC      "LODGESAV"
#define MIGRATE_VERSION    1
#define MIGRATE_PREFIX     24
#define MIGRATE_HEADER_MAX (4u << 20)
#define MIGRATE_RECORD     16
#define MIGRATE_CHANNEL_MAGIC "LODGECHN"
#define MIGRATE_GREETING   24
#define MIGRATE_CHANNELS   255
#define MIGRATE_RUN_MAX    64 /* pages in one RAM record */
#define MIGRATE_RUN_HEADER 16
#define MIGRATE_STATE_MAX  (1u << 30)
#define MIGRATE_TEXT_MAX   4096
#define MIGRATE_ALIGN      (UINT64_C(2) << 20)

typedef enum MigrateType {
    MIGRATE_RAM = 1, MIGRATE_ZERO, MIGRATE_PASS, MIGRATE_STATE, MIGRATE_END, MIGRATE_ZLIB, MIGRATE_ZSTD, MIGRATE_LAST,
    MIGRATE_HELLO = 16, MIGRATE_REFUSED, MIGRATE_LOADED, MIGRATE_GO, MIGRATE_RUNNING, MIGRATE_ABORT,
} MigrateType;

typedef enum MigrateLayout { MIGRATE_INLINE, MIGRATE_MAPPED } MigrateLayout;

/* 32 bits of CPUID, as the guest sees them. */
typedef struct MigrateFeatures { uint32_t leaf, subleaf; int reg; uint32_t bits; } MigrateFeatures;
typedef struct MigrateBlockInfo { char *id; uint64_t size, offset; } MigrateBlockInfo;
/* at: its bus and its address there; NULL: nobody says. */
typedef struct MigrateDeviceInfo { char *path, *state; uint32_t version; char *at; } MigrateDeviceInfo;

typedef struct MigrateHeader {
    char *program, *name, *machine, *accelerator, *cpu;
    uint32_t cpus;
    FieldList features; /* MigrateFeatures */
    uint32_t tsc_khz;   /* 0: nobody says */
    FieldList ram;      /* MigrateBlockInfo */
    FieldList devices;  /* MigrateDeviceInfo */
    int layout;
    bool return_path;
    uint32_t channels;  /* more connections; 0: RAM comes through this one */
    uint64_t token;     /* that they begin with */
    bool check, has_check; /* nothing follows: the source wants HELLO or REFUSED */
    char *definition;   /* of the domain, that a client gave (`migrate`); NULL: none */
    char *run_state;                               /* mapped; NULL else */
    uint64_t state_offset, state_length, checksum; /* mapped: of the sections */
} MigrateHeader;
extern const FieldStruct migrate_header;

typedef struct MigrateRecord { uint32_t type, length, checksum; } MigrateRecord;

/* Main thread: what a container of this domain says of it; layout and what follows are the caller's. */
void migrate_header_collect(Domain *domain, MigrateHeader *ret);
void migrate_header_clear(MigrateHeader *header);
/* Prefix and header. */
GByteArray *migrate_header_write(const MigrateHeader *header);
/* The prefix: how long the header is, and its checksum. */
bool migrate_prefix_read(const uint8_t prefix[MIGRATE_PREFIX], uint32_t *ret_length, uint32_t *ret_checksum,
                         GError **error);
bool migrate_header_read(const uint8_t *data, uint32_t length, uint32_t checksum, MigrateHeader *ret, GError **error);
/* Main thread: whether the domain still has the devices that its header names. */
bool migrate_header_holds(const MigrateHeader *header, Domain *domain, GError **error);
/* Whether a domain like `ours` can be what `theirs` tells of; one sentence that names the difference. */
bool migrate_header_fits(const MigrateHeader *theirs, const MigrateHeader *ours, GError **error);

/* The same, and whether its accelerator can go on as it was there; any thread, while the domain has its CPUs. */
bool migrate_domain_fits(Domain *domain, const MigrateHeader *theirs, const MigrateHeader *ours, GError **error);

void migrate_greeting_write(uint8_t out[MIGRATE_GREETING], uint64_t token, uint32_t number);
bool migrate_greeting_read(const uint8_t in[MIGRATE_GREETING], uint64_t token, uint32_t *ret_number, GError **error);
void migrate_record_write(uint8_t out[MIGRATE_RECORD], MigrateType type, uint32_t length, uint32_t checksum);
bool migrate_record_read(const uint8_t in[MIGRATE_RECORD], MigrateRecord *ret, GError **error);
