/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dumps of guest memory with the vCPUs' registers, for crash, gdb and makedumpfile: dump-guest-memory, query-dump,
 * DUMP_COMPLETED.
 *
 *     dump-commands.c   the commands; stops the domain meanwhile
 *     dump.c            what is dumped; the thread; the file
 *     dump-notes.c      the vCPUs, as ELF notes
 *     dump-elf.c, dump-kdump.c   the formats
 */
#pragma once

#include "vmm/command.h"
#include "vmm/event.h"
#include "vmm/ram.h"

typedef enum DumpFormat { DUMP_ELF, DUMP_KDUMP_ZLIB, DUMP_FORMATS } DumpFormat;
typedef enum DumpStatus { DUMP_NONE, DUMP_ACTIVE, DUMP_COMPLETED, DUMP_FAILED } DumpStatus;

/* A piece of guest RAM, by rising address. */
typedef struct DumpRange {
    uint64_t address, length;
    const uint8_t *host;
    RamBlock *block; /* a reference */
} DumpRange;

typedef struct Dump Dump;
typedef struct DumpOptions {
    DumpFormat format;
    uint64_t begin, length; /* length 0: everything */
    int fd;                 /* the dump's from dump_start() on */
} DumpOptions;

/* ---- main thread ---- */
/* Collects RAM and registers; the vCPUs are parked.  NULL: error. */
Dump *dump_new(Domain *domain, const DumpOptions *options, GError **error);
void dump_free(Dump *dump); /* stops it, if it runs */
/* Writes it all, on the calling thread / on one of its own, which calls done() on the main loop. */
bool dump_run(Dump *dump, GError **error);
bool dump_start(Dump *dump, void (*done)(const GError *error, void *opaque), void *opaque, GError **error);
uint64_t dump_total(const Dump *dump);
uint64_t dump_written(const Dump *dump); /* bytes of guest memory */

/* ---- for the formats: the thread that writes ---- */
const GArray *dump_ranges(const Dump *dump); /* DumpRange */
const GByteArray *dump_notes(const Dump *dump);
unsigned dump_vcpus(const Dump *dump);
/* false: error is set, or the dump is to end. */
bool dump_write(Dump *dump, const void *data, size_t length, GError **error);
void dump_progress(Dump *dump, uint64_t bytes);
bool dump_write_elf(Dump *dump, GError **error);
bool dump_write_kdump(Dump *dump, GError **error);
struct X86Cpu;
void dump_add_notes(GByteArray *notes, const struct X86Cpu *cpu, unsigned number);

extern const Command dump_commands[];
extern const EventType event_dump_completed;
