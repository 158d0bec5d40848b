/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The human monitor: commands for people, over the tables that programs use (QMP).  Main thread.
 *
 * A session (-monitor, Ctrl-A c) has a line editor; human-monitor-command runs one line without.
 */
#pragma once

#include "vmm/chardev.h"
#include "vmm/command.h"

typedef struct Hmp Hmp;

extern const Command hmp_qmp_commands[]; /* human-monitor-command */

Hmp *hmp_new(Domain *domain, Chardev *chr, GError **error);
void hmp_free(Hmp *hmp); /* NULL is fine */

/* ---- lines ---- */
/* Runs one and adds what it says to out.  fds NULL: none. */
bool hmp_run(Domain *domain, CommandFds *fds, const char *line, GString *out, GError **error);
/* The same, and what goes wrong is said too. */
void hmp_say(Domain *domain, CommandFds *fds, const char *line, GString *out);
/* The words (owned, to be freed) that the line may end in. */
void hmp_complete(Domain *domain, const char *before, GPtrArray *words);

/* ---- tables ---- */
typedef struct HmpCall {
    Domain *domain;
    CommandFds *fds;
    const char *rest;  /* of the line */
    GString *out;
} HmpCall;

typedef struct HmpCommand {
    const char *name, *alias;
    /* Either a QMP command, its arguments in the order of its table or, with `implied`, as key=value text whose first key
     * may be left out; and what its reply looks like (NULL: nothing is said). */
    const char *command, *implied;
    void (*print)(const Json *reply, GString *out);
    /* ... or a function. */
    bool (*run)(HmpCall *call, GError **error);
    const char *params; /* as help shows them; NULL: none, or those of the QMP command */
    const char *help;   /* NULL: that of the QMP command */
} HmpCommand;

extern const HmpCommand hmp_commands[];   /* name NULL ends */
extern const HmpCommand hmp_info_topics[]; /* "info NAME" */
/* A QMP command with key=value text. */
bool hmp_call_qmp(HmpCall *call, const char *command, const char *arguments, GError **error);
/* Any reply, as lines of "name: value". */
void hmp_print_reply(const Json *reply, GString *out);
