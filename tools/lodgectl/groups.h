/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text of a definition as the person wrote it: groups are taken out of it, and all else stays as it is, comments
 * too.  What the text means is vmm/readconfig.c's matter; here it is one that was accepted there.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Without the group [kind] whose key `id_key`, or whose heading, says id.  The caller's; NULL: there is none. */
char *groups_without(const char *text, const char *kind, const char *id_key, const char *id);
/* Both, one after the other.  The caller's. */
char *groups_join(const char *text, const char *more);
