/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor commands as tables, each beside the subsystem that owns the state.
 * monitor/ knows them by its list of tables (monitor/commands.c) and does the rest: it
 * checks arguments, writes replies, introspects.
 *
 *     typedef struct SetActionArgs ...                      a FieldStruct describes it
 *     static bool set_action(CommandCall *call, const void *args, void *ret, GError **error)
 *     const Command runstate_commands[] = { { "set-action", set_action, &set_action_args, .help = "..." }, ... };
 *
 * A handler never sees bad arguments.  It fills *ret, which is laid out as Command.ret says
 * and starts absent; what *ret owns is freed after it is written.  Main thread, no lock held;
 * it does not wait for the guest.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/field.h"

typedef struct Domain Domain;

/* The descriptors of one monitor client. */
typedef struct CommandFds {
    int (*receive)(void *opaque); /* the next that came with its requests, the callee's then; -1: none.  NULL: cannot */
    void *opaque;
    GHashTable *named; /* char * to descriptor (GINT_TO_POINTER), both the table's: getfd, closefd */
} CommandFds;

typedef struct CommandCall {
    Domain *domain;
    const Json *arguments; /* as they came; NULL: none */
    CommandFds *fds;       /* NULL: the client has none */
    void *session;         /* monitor/'s own */
    bool lenient;          /* arguments are text, from people: numbers stand in strings, "on" is true */
} CommandCall;

typedef enum CommandFlags {
    COMMAND_OOB = 1 << 0, /* may be called by exec-oob, while another one is under way */
    /* The handler takes call->arguments: properties that no table here knows, or another parser's.
     * `args` is what introspection shows. */
    COMMAND_UNCHECKED = 1 << 1,
} CommandFlags;

typedef struct Command {
    const char *name;
    bool (*run)(CommandCall *call, const void *args, void *ret, GError **error);
    const FieldStruct *args; /* NULL: none */
    const Field *ret;        /* a FIELD_VALUE; NULL: {} */
    unsigned flags;
    const char *const *features; /* NULL-terminated; NULL: none */
    const char *help;            /* one line, no full stop */
} Command;
#define COMMAND_END { .name = NULL }

/* A value that a command returns: *ret is a TYPE. */
#define COMMAND_RETURNS(TYPE, DESC) \
    (&(const Field)FIELD_VALUE(FIELD_STRUCT, TYPE, .of.structure = DESC, .flags = FIELD_REQUIRED))
#define COMMAND_RETURNS_LIST(ELEMENT) \
    (&(const Field)FIELD_VALUE(FIELD_LIST, FieldList, .of.element = ELEMENT, .flags = FIELD_REQUIRED))
