/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The human monitor: commands for people, over the tables that programs use (QMP).  Main thread.
 *
 * A session (-monitor, Ctrl-A c) has a line editor; human-monitor-command runs one line without.
 */
#pragma once

#include "vmm/chardev.h"
#include "vmm/command.h"
#include "vmm/loop.h"
#include "vmm/vcpu.h"

typedef struct Hmp Hmp;

extern const Command hmp_qmp_commands[]; /* human-monitor-command */

Hmp *hmp_new(Domain *domain, Chardev *chr, GError **error);
void hmp_free(Hmp *hmp); /* NULL is fine */

/* ---- lines ---- */
/* What stays from line to line. */
typedef struct HmpSession HmpSession;
struct HmpSession {
    Domain *domain;
    CommandFds *fds;          /* NULL: none */
    unsigned cpu;             /* index of the vCPU that commands for one are about */
    const GPtrArray *history; /* char *, oldest first; NULL: none is kept */
    /* A command that takes its time has `later` run when it is over, and says by end() how it went; the next line
     * comes after that.  later NULL: nobody can wait. */
    LoopBatch *later;
    bool (*end)(HmpSession *session, GError **error); /* NULL: nothing is waited for */
};

/* Runs one and adds what it says to out. */
bool hmp_run(HmpSession *session, const char *line, GString *out, GError **error);
/* The same, and what goes wrong is said too. */
void hmp_say(HmpSession *session, const char *line, GString *out);
void hmp_say_error(const GError *error, GString *out);
/* The words (owned, to be freed) that the line may end in. */
void hmp_complete(HmpSession *session, const char *before, GPtrArray *words);

/* ---- tables ---- */
typedef struct HmpCall {
    HmpSession *session;
    Domain *domain;
    const char *rest;  /* of the line */
    GString *out;
} HmpCall;

/* Adds the words that begin like `begin` and may stand where a command's arguments end. */
typedef void (*HmpCompleteFn)(HmpSession *session, const char *begin, GPtrArray *words);

typedef struct HmpCommand {
    const char *name, *alias;
    /* Either a QMP command, its arguments in the order of its table or, with `implied`, as key=value text whose first
     * key may be left out; and what its reply looks like (NULL: nothing is said). */
    const char *command, *implied;
    void (*print)(const Json *reply, GString *out);
    /* ... or a function. */
    bool (*run)(HmpCall *call, GError **error);
    const char *params; /* as help shows them; what is literal ("on|off", "[-d]") is completed; NULL: none, or those of
                         * the QMP command */
    const char *help;   /* NULL: that of the QMP command */
    HmpCompleteFn complete; /* NULL: nothing is known but params, and what the fields of the QMP command say */
    const char *option; /* of the command line, which explains "NAME help" and "NAME WHAT,help"; NULL: none does */
} HmpCommand;

extern const HmpCommand hmp_commands[];   /* name NULL ends */
extern const HmpCommand hmp_info_topics[]; /* "info NAME" */
/* Words, with quotations as a shell has them, but no comments.  False: a quotation does not end. */
bool hmp_split(const char *text, int *ret_n, char ***ret_words);
/* A QMP command; takes `arguments`, where numbers may stand in strings.  ret_reply NULL: nobody asks. */
bool hmp_call_qmp(HmpCall *call, const char *command, Json *arguments, Json **ret_reply, GError **error);
/* Of such arguments. */
void hmp_put_number(Json *arguments, const char *name, uint64_t value);
/* The vCPU that the session is about: the first one, if that has gone; NULL: there is none. */
Vcpu *hmp_vcpu(const HmpSession *session, GError **error);
/* Splits the first word off (owned); *rest is what follows. */
char *hmp_first_word(const char *line, const char **rest);
/* Any reply, as lines of "name: value". */
void hmp_print_reply(const Json *reply, GString *out);
