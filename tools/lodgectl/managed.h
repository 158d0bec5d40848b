/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Managed saves: of a defined domain, at a place that lodgectl knows, from which its next start goes on.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Where that of the domain is or would be, the caller's; NULL: error is set, there is no place. */
char *managed_path(const char *name, GError **error);
bool managed_exists(const char *name);
/* Makes the folder. */
bool managed_prepare(GError **error);
bool managed_remove(const char *name, GError **error); /* there may be none */
