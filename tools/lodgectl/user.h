/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Root acts for another user: --user NAME.  Domains of two users may have one name, so whose it is has to be said; and
 * what that user's folders hold (a pid, a socket, a link) is not to be trusted by root, so lodgectl becomes that user.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* For the rest of the process.  who: a name, or a number. */
bool user_become(const char *who, GError **error);
