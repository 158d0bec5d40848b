/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line as one table.  A row is an option; from the rows come parsing,
 * -help, "-X help", the manual page (lodge --man), -readconfig and the error that
 * names the nearest option.
 *
 * Parsing only collects and checks: what texts mean beyond their own language (is
 * there such a device?) is found out when main.c acts on them.  Main thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/field.h"
#include "vmm/runstate.h"

typedef struct NameOptions { char *guest, *process; bool always; } NameOptions;
typedef struct RtcOptions { char *base; int clock, driftfix; } RtcOptions;
typedef struct IcountOptions { char *shift; bool sleep; } IcountOptions; /* shift NULL: not asked for */
typedef struct OvercommitOptions { bool mem_lock; } OvercommitOptions;
typedef struct MessageOptions { bool timestamp; } MessageOptions;

#define GDB_DEFAULT "tcp::1234" /* -s */

/* What the command line says.  Texts are as given; lists are in the order given. */
typedef struct Options {
    /* machine */
    char *machine_type;  /* NULL: the default */
    GPtrArray *machine;  /* keys of -machine, which add up */
    GPtrArray *accel;
    char *cpu;
    GPtrArray *smp, *memory, *numa, *smbios;
    NameOptions name;
    uint8_t uuid[16];
    bool has_uuid;
    RtcOptions rtc;
    IcountOptions icount;
    OvercommitOptions overcommit;
    GPtrArray *globals;  /* driver=,property=,value= */
    /* boot */
    char *kernel, *initrd, *append, *dtb, *bios;
    /* devices and backends */
    GPtrArray *devices, *objects, *chardevs, *serials, *drives, *blockdevs;
    GPtrArray *netdevs, *nics, *nets;
    GPtrArray *images;   /* positional: raw disk images */
    GPtrArray *monitors, *hmp, *qmp, *qmp_pretty;
    bool nodefaults, nographic;
    /* process */
    Actions actions;
    bool paused;         /* -S */
    bool only_migratable;
    char *incoming;      /* where the domain comes from; NULL: it starts */
    char *gdb;           /* what its server is on; NULL: none */
    char *sandbox, *log_file, *log_categories, *pidfile;
    MessageOptions message;
    bool daemonize;
    GPtrArray *fds;
    /* instead of running */
    GString *output;     /* help and the like: to be printed, exit status 0; NULL: run */
    /* the parser's */
    GHashTable *merged;  /* option's name to the Json of its uses so far */
} Options;

typedef enum OptionSection {
    SECTION_MACHINE,
    SECTION_BOOT,
    SECTION_DEVICES,
    SECTION_DISKS,
    SECTION_NETWORK,
    SECTION_MONITOR,
    SECTION_RUN,
    SECTION_PROCESS,
    SECTION_HELP,
    SECTIONS
} OptionSection;

typedef enum OptionKind {
    OPTION_FLAG,   /* bool */
    OPTION_TEXT,   /* char *, the last one counts */
    OPTION_TEXTS,  /* GPtrArray *, each one counts */
    OPTION_STRUCT, /* a struct of `language`; uses add up, later keys win */
    OPTION_CALL,   /* call() */
} OptionKind;

typedef struct Option {
    const char *name;     /* without the dash */
    const char *alias;    /* another name; NULL */
    OptionSection section;
    OptionKind kind;
    size_t offset;        /* in Options */
    const char *argument; /* as help shows it; NULL: takes none */
    const char *help;     /* sentences without the last full stop */
    const char *group;    /* section of a -readconfig file; NULL: not possible there */
    const FieldStruct *language; /* its keys; NULL: plain text, or see `topic` */
    const char *implied;
    const char *asks;     /* another key whose value "help" is a question; NULL: none */
    bool (*call)(Options *options, const char *argument, GError **error);
    /* Answers "-X help": subject ("-X SUBJECT,help") or NULL. */
    bool (*topic)(const char *subject, GString *out, GError **error);
    bool plain;           /* the argument is no key=value text: "help" is asked for by itself only */
} Option;

extern const Option option_table[]; /* name NULL ends */
extern const char *const option_sections[SECTIONS];

/* The languages of floors above the core: -drive, -blockdev. */
typedef struct OptionLanguage {
    const char *option;
    const FieldStruct *language;
    /* "-X help", "-X SUBJECT,help" (else NULL); NULL: the language's keys. */
    bool (*help)(const char *subject, GString *out, GError **error);
} OptionLanguage;

/* languages: option NULL ends.  On failure *ret is empty and needs no options_clear(). */
bool options_parse(int argc, char **argv, const OptionLanguage *languages, Options *ret, GError **error);
void options_clear(Options *options);

/* One option as if it had been typed; name without dashes.  For -readconfig. */
bool options_apply(Options *options, const Option *option, const char *argument, GError **error);
const Option *option_find(const char *name);
/* vmm/readconfig.c: INI text as QEMU's -readconfig reads it. */
bool options_read_config(Options *options, const char *path, GError **error);
/* Where what began in a line of it ends: at the `closing` behind which nothing follows but a comment.  NULL:
 * nowhere. */
const char *options_config_end(const char *line, char closing);
bool options_read_config_text(Options *options, const char *path, const char *text, GError **error);

/* vmm/options-help.c */
void options_help(GString *out);      /* -help */
void options_man(GString *out, const OptionLanguage *languages); /* lodge(1) */
