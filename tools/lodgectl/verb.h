/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verbs as tables: a row is what `lodgectl VERB` does and takes.  From the rows come parsing, `lodgectl help`, the
 * manual page and bash completion.  Verbs, options and what they print are virsh's, wherever virsh has them.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum ArgKind {
    ARG_FLAG,   /* --name */
    ARG_TEXT,   /* --name VALUE, --name=VALUE, or the next word that belongs to no option */
    ARG_NUMBER, /* --name N, --name=N, from 0 on */
    ARG_LIST,   /* the same, any number of times: Cmd.list; the last that takes a word by itself */
    ARG_REST,   /* every word from here on, but for options of the verb up to "--"; last */
    ARG_END,
} ArgKind;

typedef enum ArgOf { OF_ANY, OF_DOMAIN, OF_ACTIVE, OF_INACTIVE, OF_DEFINED, OF_FILE, OF_EVENT } ArgOf; /* completion */

typedef struct Arg {
    const char *name;
    ArgKind kind;
    bool required;
    ArgOf of;
    const char *help; /* no full stop */
} Arg;
#define ARG_DOMAIN(OF) { "domain", ARG_TEXT, true, OF, "Name, id or UUID of the domain" }
#define ARGS(...) ((const Arg[]) { __VA_ARGS__, { NULL, ARG_END } })
#define NO_ARGS ((const Arg[]) { { NULL, ARG_END } })

typedef struct Verb Verb;
typedef struct Cmd {
    const Verb *verb;
    const char **values; /* beside verb->args: NULL, or the text; "" of a flag */
    char **rest;         /* NULL-terminated, of ARG_REST */
    GPtrArray *list;     /* const char *, of ARG_LIST; empty: none */
    bool quiet;
} Cmd;

struct Verb {
    const char *name;
    const Arg *args;
    bool (*run)(const Cmd *cmd, GError **error);
    const char *help; /* one line, no full stop */
    const char *more; /* sentences; NULL: none */
};

typedef struct VerbSection {
    const char *title;
    const Verb *verbs; /* name NULL ends */
} VerbSection;
extern const VerbSection verb_sections[]; /* title NULL ends: tools/lodgectl/verbs.c */

const Verb *verb_find(const char *name, GError **error);
/* words: what follows the verb; NULL-terminated, and outlives *ret, which may move them.  On failure *ret owns
 * nothing. */
bool cmd_parse(const Verb *verb, char **words, Cmd *ret, GError **error);
void cmd_clear(Cmd *cmd);

bool cmd_flag(const Cmd *cmd, const char *name);
const char *cmd_text(const Cmd *cmd, const char *name); /* NULL: not given */
uint32_t cmd_number(const Cmd *cmd, const char *name, uint32_t otherwise);

/* tools/lodgectl/help.c */
void help_all(GString *out);
void help_verb(const Verb *verb, GString *out);
void help_man(GString *out);        /* lodgectl(1) */
void help_completion(GString *out); /* for bash */
