/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The definitions of persistent domains: -readconfig files CONFIG/domains/NAME.conf, and links
 * CONFIG/autostart/NAME.conf to those that start with the host.  A file is replaced as a whole or not at all.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "vmm/options.h"

/* Their names, sorted; char *, owned. */
GPtrArray *definitions_list(void);
char *definition_path(const char *name);
bool definition_exists(const char *name);
bool definition_autostarts(const char *name);

/* Whole and checked; the caller's.  NULL: error is set. */
char *definition_read(const char *name, GError **error);
/* What it says, or another file; for options_clear(). */
bool definition_parse(const char *path, Options *ret, GError **error);
/* from: what errors call the text. */
bool definition_parse_text(const char *text, const char *from, Options *ret, GError **error);
bool definition_load(const char *name, Options *ret, GError **error);
/* Its UUID, the caller's; NULL: it has none, or cannot be read. */
char *definition_uuid(const char *name);
char *options_uuid(const Options *options);

/* Checks by lodge's own parser, and writes; `from` is what errors call the text.  A UUID that is missing is added.
 * The name is the text's own, else that of the file `from`.
 * Returns the name, the caller's. */
char *definition_write(const char *text, const char *from, GError **error);
/* The same for a domain that is defined by the text `before`, and must still be.  Its name stays. */
bool definition_replace(const char *name, const char *before, const char *text, const char *from, GError **error);
/* Who writes what belongs to definitions holds this lock, and closes it.  -1: error is set. */
int definitions_lock(GError **error);
bool definition_remove(const char *name, GError **error);
bool definition_set_autostart(const char *name, bool on, GError **error);
