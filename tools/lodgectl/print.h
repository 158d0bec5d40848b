/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What people read: tables as virsh prints them, and text from a domain, whose control characters must not reach the
 * terminal.
 */
#pragma once

#include <glib.h>

#include "tools/lodgectl/verb.h"
#include "vmm/json.h"

/* What went well, and an empty line; nothing with -q. */
void say(const Cmd *cmd, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* "error: message. Hint" on standard error. */
void say_error(const GError *error);
void say_warning(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* A copy that is UTF-8 without control characters, but for those of `keep`.  The caller's. */
char *clean_text(const char *text, const char *keep);

typedef struct Table Table;
Table *table_new(unsigned columns, ...) G_GNUC_WARN_UNUSED_RESULT; /* the headings */
void table_row(Table *table, ...); /* as many strings; copied */
void table_print(Table *table); /* and frees it */
/* The same; on a terminal that is too narrow, that column is cut. */
void table_print_narrow(Table *table, unsigned column);
void table_free(Table *table);

/* Prints one value as lines of JSON, and frees the writer. */
void print_json(JsonWriter *w);
