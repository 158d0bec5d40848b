/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The logs of domains that lodgectl starts: LOGS/NAME.log of the newest start, NAME.log.1 of the one before.  They stay
 * when the domain has ended, and when it is undefined.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

char *domain_log_path(const char *name, bool previous); /* NULL: there is no place for logs */
/* An empty file, which has no name of a log yet: of two that start a domain at once, only one is to have its log.
 * Returns its path, the caller's.  NULL: error is set, and the domain can do without. */
char *domain_log_begin(GError **error);
/* It becomes the log of that domain, and the one that was there goes aside. */
void domain_log_keep(const char *name, const char *path);
